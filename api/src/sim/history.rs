//! The history under the simulator: projectors of each life write to a database that outlives them all, and that fails.
//!
//! **Runs on**: the simulator's thread. **Checks**: at the end, when the database is whole, it holds what the engine holds, row by
//! row and to the last unit of every balance; and as many fills, fees, journal entries, lines of the audit trail, users, accounts,
//! sources and signals as the judge has seen decided.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::core::user::User;
use engine::seam::Nanos;
use storage::ShardHome;
use storage::history::sim_database::{SimDatabase, Ticks};
use storage::history::{EndedLogs, Pause, Progress, Projector, Sizes, Table, bring_all};
use storage::sim_disk::block_on;

use super::executor::{Executor, Owner};
use super::world::World;
use crate::server::history;
use crate::server::recovery::recover_shard;

/// Batches are small here, so that there are many places to fail at.
const SIZES: Sizes = Sizes {
    records_max: 50,
    bytes_max: 1 << 20,
    linger: Nanos::from_millis(20),
    idle: Nanos::from_millis(200),
};
/// How long the end of a set of shards waits for the database before it keeps its number.
const FINISH_MAX: Nanos = Nanos::from_millis(10_000);
/// Time of the last check, which nobody else sees.
const CHECK_MAX: Nanos = Nanos::from_millis(600_000);

/// Virtual time.
#[derive(Clone)]
struct Virtual(Rc<Executor>);

impl Pause for Virtual {
    async fn pause(&self, span: Nanos) {
        self.0.sleep(span).await;
    }
    fn now(&self) -> Nanos {
        self.0.now()
    }
}

/// Begins a projector of each shard, as tasks of the life.
pub(super) fn begin(world: &World, life: u32, homes: &[ShardHome], progress: &[Arc<Progress>]) {
    let Some(database) = &world.database else { return };
    for ((home, progress), shard) in homes.iter().zip(progress).zip(0_u16..) {
        let (disk, pause) = (world.disk.clone(), Virtual(Rc::clone(&world.executor)));
        let mut projector = Projector::new(disk, home.clone(), database.clone(), pause, SIZES);
        let progress = Arc::clone(progress);
        world.executor.spawn(Owner::Life(life, shard), async move {
            // A life ends with its tasks.
            projector.run(&progress, &AtomicBool::new(false)).await;
        });
    }
}

/// With how many shards to start: as the server finds it out.
pub(super) async fn shards_to_start(world: &World, wished: u16) -> Result<u16, String> {
    let Some(database) = &world.database else { return Ok(wished) };
    let (disk, data) = (&world.disk, std::path::Path::new(super::server::DATA));
    let settle = async |homes| EndedLogs::settle(disk, homes).await.map_err(|error| error.to_string());
    let finish = async |logs: &EndedLogs| {
        bring_all(disk, logs, || database.clone(), Virtual(Rc::clone(&world.executor)), FINISH_MAX).await
    };
    history::shards_to_start(disk, data, wished, settle, finish).await
}

/// After the run: the database gets what is left, and is compared with what the files hold.
pub(super) fn compare(world: &World) -> Result<(), String> {
    let Some(database) = &world.database else { return Ok(()) };
    database.set_down(false);
    let disk = &world.disk.inner;
    disk.kill_process();
    let homes = world.homes.borrow().clone();
    let mut users: Vec<User> = Vec::new();
    let mut through = Vec::new();
    for home in &homes {
        let back = block_on(recover_shard(disk, home)).map_err(|error| error.to_string())?;
        through.push(back.found.tail.next_lsn().0 - 1);
        users.extend(back.state.into_users());
    }
    let logs = block_on(EndedLogs::settle(disk, homes)).map_err(|error| error.to_string())?;
    let brought = block_on(bring_all(disk, &logs, || database.clone(), Ticks::default(), CHECK_MAX));
    brought.map_err(|why| format!("the database does not get everything: {why}"))?;
    if !database.refused().is_empty() {
        return Err(format!("the database refused records {:?}", database.refused()));
    }
    database
        .compare(users.iter())
        .map_err(|what| format!("the history is not what the engine holds: {what}"))?;
    let judge = world.judge.borrow();
    let entries = judge.entries(&users).map(|entries| (Table::Entries, entries));
    for (table, must) in judge.rows(&through).each().chain(entries) {
        let found = database.rows(table) as u64;
        let doubtful = if table == Table::AuditTrail { judge.doubtful } else { 0 };
        if found > must || found + doubtful < must {
            return Err(format!("the history has {found} rows of {}, and {must} must be", table.name()));
        }
    }
    Ok(())
}

/// Whether the database has what was durable at `marks`.
pub(super) fn has(progress: &[Arc<Progress>], marks: &[storage::Lsn]) -> bool {
    progress.iter().zip(marks).all(|(progress, mark)| progress.projected() >= *mark)
}

/// A database for half of the seeds: with one, nothing is pruned for ten minutes.
pub(super) fn draw(world_random: &mut storage::sim_disk::SimRandom) -> Option<SimDatabase> {
    world_random.one_in(2).then(SimDatabase::default)
}
