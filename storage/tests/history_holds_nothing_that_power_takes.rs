//! Before another number of shards begins, the database gets all that the old logs hold. A process that is killed leaves writes
//! that no sync has followed, and names: power can take them, and must not once the database has them. Else it stays ahead of
//! the log, whose next records get the same numbers, and never holds those. (Found by the simulator, seed 1769.)
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../engine/tests/desk/mod.rs"]
mod desk;
mod rig;

use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use desk::Desk;
use engine::core::codec::Encoder;
use engine::seam::Nanos;
use rig::{OPTIONS, SimLog};
use storage::history::sim_database::{SimDatabase, Ticks};
use storage::history::{EndedLogs, History, Standing, bring_all};
use storage::sim_disk::{SimDisk, block_on};
use storage::{DataDirectory, Log, Lsn, Salt, ShardHome, SnapshotWriter, recover};

const ROOT: &str = "/srv/data";
/// In virtual time; what does not come at once does not come.
const LIMIT: Nanos = Nanos::from_millis(5_000);

/// Everything of the current generation into the database, as a start does it that wishes for another number of shards.
async fn bring(disk: &SimDisk, database: &SimDatabase) -> Result<(), String> {
    let homes =
        DataDirectory::look(disk, Path::new(ROOT)).await.unwrap().ok_or("there is no directory yet")?;
    let logs = EndedLogs::settle(disk, homes).await.map_err(|error| error.to_string())?;
    bring_all(disk, &logs, || database.clone(), Ticks::default(), LIMIT).await
}

async fn log_of(disk: &SimDisk, home: &ShardHome) -> SimLog {
    let found = recover(disk, home, |_| Ok::<_, std::convert::Infallible>(())).await.unwrap();
    Log::start(disk.clone(), home.clone(), found.tail, OPTIONS).await.unwrap()
}

/// Each record in a block of its own.
async fn append(log: &mut SimLog, records: &[impl AsRef<[u8]>]) {
    for record in records {
        log.append(record.as_ref()).unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        log.committed(batch.write().await).unwrap();
    }
}

/// One shard with records, then two with those users, and new ones.
async fn serve(disk: &SimDisk, database: &SimDatabase, salt: u64, desk: &Desk) {
    let (old, new) = desk.log.split_at(desk.log.len() - 2);
    let directory = DataDirectory::open(disk.clone(), Path::new(ROOT), 1, Salt(salt)).await.unwrap();
    let mut log = log_of(disk, &directory.shards()[0]).await;
    append(&mut log, old).await;
    let start = log.durable().next();
    drop(log);
    bring(disk, database).await.unwrap();
    let next = directory.begin_generation(2, Salt(salt + 1)).await.unwrap();
    let (mut encoder, users) = (Encoder::default(), desk.states[0].users());
    for (home, place) in next.shards().into_iter().zip(0..) {
        let mut writer = SnapshotWriter::begin(disk.clone(), home, start).await.unwrap();
        for user in users[..users.len() - 2].iter().skip(place).step_by(2) {
            writer.add(encoder.user(user, start.0 - 1)).unwrap();
        }
        writer.finish_seed().await.unwrap();
    }
    let directory = next.switch().await.unwrap();
    for (home, record) in directory.shards().iter().zip(new) {
        append(&mut log_of(disk, home).await, &[record]).await;
    }
}

/// The last record of a shard, after a start.
fn last(disk: &SimDisk, home: &ShardHome) -> Lsn {
    let found = block_on(recover(disk, home, |_| Ok::<_, std::convert::Infallible>(()))).unwrap();
    Lsn(found.tail.next_lsn().0 - 1)
}

#[test]
fn whatever_step_the_kill_came_at() {
    let mut desk = Desk::new();
    for n in 0..4 {
        desk.sign_up(&format!("user{n}@example.com"), "UTC");
    }
    let (mut steps, mut unfinished, mut brought) = (0_u32, true, 0_u32);
    while unfinished {
        for seed in 0..8 {
            let (disk, database) = (SimDisk::new(seed), SimDatabase::default());
            unfinished = {
                let mut context = Context::from_waker(Waker::noop());
                let mut serving = pin!(serve(&disk, &database, 1, &desk));
                !(0..steps).any(|_| matches!(serving.as_mut().poll(&mut context), Poll::Ready(())))
            };
            disk.kill_process();
            let complete = block_on(bring(&disk, &database));
            disk.power_cycle();
            let context =
                format!("killed after {steps} steps, power gone after that, seed {seed}: {complete:?}");
            let opened = block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), 1, Salt(9)));
            for home in opened.unwrap_or_else(|error| panic!("{context}: {error}")).shards() {
                let (place, last) = (*home.identity(), last(&disk, &home));
                let standing = block_on(database.clone().position(place));
                let standing = standing.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert!(
                    standing.record().is_none_or(|record| record.lsn <= last),
                    "{context}: {standing:?}, {last}"
                );
            }
            if complete.is_ok() {
                brought += 1;
                let again = block_on(bring(&disk, &database));
                assert_eq!(again, Ok(()), "{context}");
                // Nor is there a generation that the next one would be taken for.
                let opened =
                    block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), 1, Salt(9))).unwrap();
                let next = block_on(opened.begin_generation(3, Salt(10))).unwrap();
                for home in next.shards() {
                    let standing = block_on(database.clone().position(*home.identity()));
                    assert_eq!(standing, Ok(Standing::Earlier), "{context}");
                }
            }
        }
        steps += 1;
    }
    assert!(
        steps > 50 && brought > 100,
        "it takes more steps than {steps}, and more come to an end than {brought}"
    );
}
