//! Whatever people, programs and venues do, and whatever happens to the database: in the end it holds every event once, and its
//! sums are the ledger's, entry by entry.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../engine/tests/desk/mod.rs"]
mod desk;
mod projecting;
mod rig;
#[path = "../../engine/tests/desk/steps.rs"]
mod steps;
#[path = "../../engine/tests/desk/world.rs"]
mod world;

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use desk::{Desk, LONG, money, price, quantity};
use engine::core::command::Command;
use engine::core::ids::{Leg, UserId};
use engine::core::ledger::Currency;
use engine::core::order::{Fill, Liquidity, Told, VenueReason, VenueReport};
use engine::core::position::Order;
use engine::core::rules::{MINUTE, Settings};
use engine::core::user::ORDER_HISTORY_MAX;
use engine::seam::Nanos;
use futures_lite::future::yield_now;
use projecting::Logged;
use proptest::prelude::*;
use steps::{Step, step};
use storage::history::sim_database::{SimDatabase, Ticks, WriteFault};
use storage::history::{
    Batch, History, HistoryError, Mark, Progress, Projector, ROW_BYTES_MAX, Reached, Sizes, Standing, Table,
    Whose, tuple,
};
use storage::sim_disk::block_on;
use storage::{Generation, LogIdentity, Lsn, Salt, ShardNumber, prune};

#[derive(Clone, Debug)]
enum Happening {
    Step(Step),
    /// The projector gets so many turns.
    Turns(u16),
    /// The database goes away or comes back.
    Down(bool),
    Fault(bool),
    /// The standby, which has all but so many commits, takes over.
    FailOver(usize),
    /// A snapshot, and perhaps everything pruned that the database does not need any more.
    Snapshot(bool),
    /// The projector's process ends; another begins.
    Restart,
    /// Batches of more rows than this take too long for a while.
    Slow(Option<usize>),
    /// It begins to let everybody wait, or ends it.
    Stall(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        60 => step().prop_map(Happening::Step),
        12 => (1..400_u16).prop_map(Happening::Turns),
        2 => any::<bool>().prop_map(Happening::Down),
        2 => any::<bool>().prop_map(Happening::Fault),
        1 => (0..4_usize).prop_map(Happening::FailOver),
        3 => any::<bool>().prop_map(Happening::Snapshot),
        1 => Just(Happening::Restart),
        2 => prop::option::of(40..200_usize).prop_map(Happening::Slow),
        3 => any::<bool>().prop_map(Happening::Stall),
    ]
}

/// A desk with a log, a database, and a projector's settings.
struct Place {
    logged: Logged,
    database: SimDatabase,
    stop: Rc<AtomicBool>,
    sizes: Sizes,
}

impl std::ops::Deref for Place {
    type Target = Logged;
    fn deref(&self) -> &Logged {
        &self.logged
    }
}

impl std::ops::DerefMut for Place {
    fn deref_mut(&mut self) -> &mut Logged {
        &mut self.logged
    }
}

type Running = std::pin::Pin<Box<dyn Future<Output = ()>>>;

impl Place {
    fn new(records_max: usize) -> Self {
        let sizes = Sizes {
            records_max,
            bytes_max: 1 << 20,
            row_bytes_max: 1 << 20,
            linger: Nanos::from_millis(20),
            idle: Nanos::from_millis(5),
        };
        let stop = Rc::new(AtomicBool::new(false));
        Self { logged: Logged::new(), database: SimDatabase::default(), stop, sizes }
    }

    fn projector(&self) -> Running {
        let (disk, home, database) = (self.disk.clone(), self.home.clone(), self.database.clone());
        let (progress, stop, sizes) = (Rc::clone(&self.progress), Rc::clone(&self.stop), self.sizes);
        Box::pin(async move {
            let mut projector = Projector::new(disk, home, database, Ticks::default(), sizes);
            projector.run(&progress, &stop).await;
        })
    }
}

fn turns(running: &mut Running, count: u32) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    (0..count).any(|_| pin!(&mut *running).poll(&mut context).is_ready())
}

/// Lets the projector work until the database has everything.
fn drain(place: &Place, running: &mut Running) {
    for _ in 0..2_000 {
        if place.database.stands() == Some(place.log.durable()) {
            return;
        }
        assert!(!turns(running, 100), "the projector goes on for ever");
    }
    panic!("the database does not get everything: {:?}", place.progress.report());
}

/// What a stalled database waits by.
fn a_turn() -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(yield_now())
}

/// The bodies of all signals.
fn bodies(database: &SimDatabase) -> Vec<Vec<u8>> {
    let body = Table::Signals.once().unwrap();
    let of = |row: &[u8]| tuple::split(row).unwrap().0[body].unwrap().to_vec();
    database.contents().iter().filter(|(table, _)| *table == Table::Signals).map(|(_, row)| of(row)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_event_arrives_once_whatever_happens(
        happenings in prop::collection::vec(happening(), 1..250),
        records_max in 1..60_usize,
    ) {
        let mut place = Place::new(records_max);
        let mut running = place.projector();
        // A log that was pruned for a database which then loses its tail cannot bring it back: that is what the hold is for.
        let may_prune = !happenings.iter().any(|one| matches!(one, Happening::FailOver(1..)));
        for happening in happenings {
            match happening {
                Happening::Step(step) => {
                    place.world.step(&step);
                    place.commit();
                }
                Happening::Turns(count) => {
                    turns(&mut running, u32::from(count));
                }
                Happening::Down(down) => place.database.set_down(down),
                Happening::Fault(after) => {
                    place.database.set_fault(if after { WriteFault::LostAfter } else { WriteFault::LostBefore });
                }
                Happening::FailOver(missing) => {
                    place.database.replicate(missing);
                    place.database.fail_over();
                }
                Happening::Snapshot(pruned) => place.snapshot(pruned && may_prune),
                Happening::Restart => running = place.projector(),
                Happening::Slow(rows) => place.database.set_rows_in_time(rows),
                Happening::Stall(on) => {
                    let wait: Rc<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>> = Rc::new(a_turn);
                    place.database.set_stall(on.then_some(wait));
                }
            }
        }
        // It may stay slow for ever, as long as what a single record changes is in time.
        place.database.set_down(false);
        place.database.set_stall(None);
        drain(&place, &mut running);
        place.database.compare(place.users()).unwrap();
        prop_assert_eq!(place.database.users().len(), place.users().count());
        prop_assert!(place.database.refused().is_empty());
        prop_assert!(bodies(&place.database).iter().all(|body| body.ends_with(b"!")), "a body was cut");
        place.stop.store(true, Ordering::Relaxed);
        prop_assert!(turns(&mut running, 1_000), "it stops when it is told");
    }

    #[test]
    fn the_rows_do_not_depend_on_how_records_are_batched(steps in prop::collection::vec(step(), 1..150)) {
        let mut all = Vec::new();
        for records_max in [1, 7, 10_000] {
            let mut place = Place::new(records_max);
            let mut running = place.projector();
            for (number, step) in steps.iter().enumerate() {
                place.world.step(step);
                place.commit();
                turns(&mut running, if number % 5 == 0 { 60 } else { 0 });
            }
            drain(&place, &mut running);
            all.push(place.database.contents());
        }
        prop_assert!(all[0] == all[1] && all[1] == all[2]);
    }

    #[test]
    fn a_history_that_begins_in_the_middle_has_the_balances(
        before in prop::collection::vec(step(), 1..150),
        after in prop::collection::vec(step(), 1..60),
    ) {
        let mut place = Place::new(10);
        for n in 0..70 {
            place.world.desk.sign_up(&format!("filler{n}@example.com"), "UTC");
            place.commit();
        }
        for step in &before {
            place.world.step(step);
            place.commit();
        }
        place.snapshot(false);
        let base = place.snapshots.last().unwrap().clone();
        for step in &after[..after.len() / 2] {
            place.world.step(step);
            place.commit();
        }
        // The log no longer reaches back to its beginning: the fillers alone take more than a segment.
        let first = rig::segment_path(1);
        block_on(prune(&place.disk, &place.home, &base)).unwrap();
        prop_assert!(place.disk.read(&first).is_none());
        let mut running = place.projector();
        drain(&place, &mut running);
        for step in &after[after.len() / 2..] {
            place.world.step(step);
            place.commit();
        }
        drain(&place, &mut running);
        place.database.compare(place.users()).unwrap();
    }
}

/// A data directory that was put back to an earlier point gives numbers to other records, and the database has its own under
/// them. Neither before nor after the log has grown past the database's place is anything written, or let go.
#[test]
fn a_log_that_was_put_back_and_went_on_is_not_written_over_the_history_that_was_left_behind() {
    let sign_up = |place: &mut Place, kind: &str, count: usize| {
        for n in 0..count {
            place.world.desk.sign_up(&format!("{kind}{n}@example.com"), "UTC");
            place.commit();
        }
    };
    let mut left_behind = Place::new(7);
    sign_up(&mut left_behind, "before", 10);
    sign_up(&mut left_behind, "lost", 20);
    let mut running = left_behind.projector();
    drain(&left_behind, &mut running);
    let contents = left_behind.database.contents();
    let refuses = |place: &Place, running: &mut Running, why: &str| {
        assert!(!turns(running, 3_000));
        let report = place.progress.report();
        let failing = report.failing.unwrap_or_default();
        assert!(failing.contains(why), "{failing}");
        assert_eq!(report.projected, Lsn(0), "nothing of this log is there");
        assert_eq!(place.progress.whose(), Whose::Another, "and nobody is told what is");
        place.progress.passes(Nanos(u64::MAX));
        assert_eq!(place.progress.hold(), Lsn(0), "all of the log stays");
        assert!(place.database.contents() == contents);
    };

    // The same up to a point, as a copy that was put back.
    let mut place = Place::new(7);
    place.database = left_behind.database.clone();
    sign_up(&mut place, "before", 10);
    assert_eq!(place.progress.whose(), Whose::Unknown);
    let mut running = place.projector();
    refuses(&place, &mut running, "the log ends at");
    sign_up(&mut place, "after", 40);
    refuses(&place, &mut running, "another record");
    // Neither does a server that first looks when the log has grown.
    let mut running = place.projector();
    refuses(&place, &mut running, "another record");
    // The database is put back as well: it goes on.
    let restored = SimDatabase::default();
    let mut earlier = Place::new(7);
    earlier.database = restored.clone();
    sign_up(&mut earlier, "before", 10);
    drain(&earlier, &mut earlier.projector());
    place.database = restored;
    let mut running = place.projector();
    drain(&place, &mut running);
    place.database.compare(place.users()).unwrap();
    assert_eq!(place.database.users().len(), place.users().count());
    assert_eq!(place.progress.whose(), Whose::Ours);
}

/// A directory with more shards than the database has of another directory's same generation: those that it lacks are no new history.
#[test]
fn a_shard_beside_those_of_another_directory_is_not_begun() {
    let mut place = Place::new(7);
    place.world.desk.sign_up("new@example.com", "UTC");
    place.commit();
    let own = *place.home.identity();
    let another = LogIdentity { shard: ShardNumber(own.shard.0 + 1), salt: Salt(own.salt.0 + 1), ..own };
    let reached = Reached { lsn: Lsn(1), mark: Mark::Absent };
    block_on(place.database.clone().write(&Batch::new(another, None, reached))).unwrap();
    let contents = place.database.contents();
    assert!(!turns(&mut place.projector(), 3_000));
    assert_eq!(place.progress.whose(), Whose::Another);
    assert!(place.database.contents() == contents);
}

/// A database that takes only so many rows in the time that a statement has: what piled up while it was away arrives all the same.
#[test]
fn a_database_that_is_too_slow_for_a_batch_gets_smaller_ones() {
    let mut place = Place::new(10_000);
    for n in 0..500 {
        place.world.desk.sign_up(&format!("early{n}@example.com"), "UTC");
    }
    place.commit();
    place.database.set_rows_in_time(Some(40));
    let mut running = place.projector();
    drain(&place, &mut running);
    place.database.compare(place.users()).unwrap();
    // Once it is fast, batches grow again.
    place.database.set_rows_in_time(None);
    for n in 0..500 {
        place.world.desk.sign_up(&format!("later{n}@example.com"), "UTC");
        place.commit();
        turns(&mut running, 100);
    }
    drain(&place, &mut running);
    place.database.compare(place.users()).unwrap();
}

/// A database that notes how large the largest batch was.
#[derive(Clone)]
struct Weighed(SimDatabase, Rc<Cell<usize>>);

impl History for Weighed {
    async fn position(&mut self, place: LogIdentity) -> Result<Standing, HistoryError> {
        self.0.position(place).await
    }
    async fn write(&mut self, batch: &Batch) -> Result<(), HistoryError> {
        self.1.set(self.1.get().max(batch.row_bytes()));
        self.0.write(batch).await
    }
    async fn complete(&mut self, ends: &[(LogIdentity, Lsn)]) -> Result<(), HistoryError> {
        self.0.complete(ends).await
    }
    async fn pass_over(
        &mut self,
        place: LogIdentity,
        after: Option<Reached>,
        refused: Reached,
        why: &str,
    ) -> Result<(), HistoryError> {
        self.0.pass_over(place, after, refused, why).await
    }
    async fn refusals(&mut self, place: LogIdentity) -> Result<u64, HistoryError> {
        self.0.refusals(place).await
    }
    async fn leave_out(
        &mut self,
        place: LogIdentity,
        at: Reached,
        user: UserId,
        why: &str,
    ) -> Result<(), HistoryError> {
        self.0.leave_out(place, at, user, why).await
    }
}

/// What piles up while the database is away takes the memory that it may, and not what its records would make of it.
#[test]
fn a_batch_is_bounded_by_the_bytes_of_its_rows() {
    let mut place = Place::new(10_000);
    for n in 0..2_000 {
        place.world.desk.sign_up(&format!("early{n}@example.com"), "UTC");
    }
    place.commit();
    place.sizes.row_bytes_max = 20_000;
    let weighed = Weighed(place.database.clone(), Rc::default());
    let largest = Rc::clone(&weighed.1);
    let (disk, home, sizes) = (place.disk.clone(), place.home.clone(), place.sizes);
    let (progress, stop) = (Rc::clone(&place.progress), Rc::clone(&place.stop));
    let mut running: Running = Box::pin(async move {
        Projector::new(disk, home, weighed, Ticks::default(), sizes).run(&progress, &stop).await;
    });
    drain(&place, &mut running);
    place.database.compare(place.users()).unwrap();
    // One step of 32 records goes over it: a user and a line of the audit trail each.
    assert!((20_000..20_000 + 32 * 500).contains(&largest.get()), "{}", largest.get());
    let of_all = |shards: usize| 2 * shards * Sizes::of_each(shards).row_bytes_max;
    assert!((1..=128).all(|shards| of_all(shards) <= ROW_BYTES_MAX), "one total for all shards");
}

/// An order is one row, also when it fills after the state has forgotten it: then with all that was filled of it before.
#[test]
fn a_forgotten_entry_that_fills_is_the_row_that_it_was() {
    let mut place = Place::new(7);
    let mut running = place.projector();
    let desk = &mut place.world.desk;
    desk.rules.cooldown = 0;
    let user = desk.trader("late@example.com", "10000", Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20000", "0.3", false);
    desk.venue_cancels(entry.id, VenueReason::Liquidity);
    let ended = |desk: &Desk| desk.user(user).final_orders.iter().find(|o| o.new.id == entry.id).copied();
    let Order { decided_at, filled, notional, fees, .. } = ended(desk).unwrap();
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    desk.exit(user, "20000");
    for _ in 0..ORDER_HISTORY_MAX {
        desk.wait(MINUTE);
        desk.send(LONG, "ETHUSDT");
        let id = desk.order(user, Leg::Entry).new.id;
        desk.venue_rejects(id, VenueReason::Margin);
    }
    assert_eq!(ended(desk), None);
    place.commit();
    drain(&place, &mut running);
    let fill = Fill {
        number: 2,
        price: price("20000"),
        quantity: quantity("0.2"),
        fee: money("0.1"),
        liquidity: Liquidity::Taker,
        venue_at: place.world.desk.now,
    };
    let before = Told { decided_at, filled, notional, fees };
    place.world.desk.report(VenueReport::LateEntry { order: entry, before, fill });
    assert_eq!(ended(&place.world.desk).unwrap().filled, quantity("0.5"));
    place.commit();
    drain(&place, &mut running);
    place.database.compare(place.users()).unwrap();
}

/// The directory of an ended generation that was put back: its records are in the database to the last one, but what came after
/// them there are those of the next generation.
#[test]
fn an_ended_generation_that_was_put_back_is_not_written_beside_the_next() {
    let mut place = Place::new(7);
    for n in 0..10 {
        place.world.desk.sign_up(&format!("before{n}@example.com"), "UTC");
    }
    place.commit();
    drain(&place, &mut place.projector());
    let mut database = place.database.clone();
    let (identity, end) = (*place.home.identity(), place.log.durable());
    block_on(database.complete(&[(identity, end)])).unwrap();
    let next = LogIdentity { generation: Generation(identity.generation.0 + 1), ..identity };
    let reached = Reached { lsn: end, mark: Mark::Absent };
    block_on(database.write(&Batch::new(next, None, reached))).unwrap();
    let contents = database.contents();
    place.world.desk.sign_up("after@example.com", "UTC");
    place.commit();
    let mut running = place.projector();
    assert!(!turns(&mut running, 3_000));
    let failing = place.progress.report().failing.unwrap_or_default();
    assert!(failing.contains("a later generation"), "{failing}");
    assert!(database.contents() == contents);
}

/// A history that began in the middle knows which record was the last before it.
#[test]
fn a_history_that_began_in_the_middle_is_not_grown_over_either() {
    let grow = |place: &mut Place, kind: &str, count: usize| {
        for n in 0..count {
            place.world.desk.sign_up(&format!("{kind}{n}@example.com"), "UTC");
            place.commit();
        }
    };
    let begun = |kind: &str| {
        let mut place = Place::new(7);
        grow(&mut place, "before", 90);
        grow(&mut place, kind, 10);
        place.snapshot(false);
        let base = place.snapshots.last().unwrap().clone();
        block_on(prune(&place.disk, &place.home, &base)).unwrap();
        assert!(place.disk.read(&rig::segment_path(1)).is_none());
        place
    };
    let left_behind = begun("lost");
    drain(&left_behind, &mut left_behind.projector());
    let contents = left_behind.database.contents();
    let mut place = begun("after");
    grow(&mut place, "later", 10);
    place.database = left_behind.database.clone();
    let mut running = place.projector();
    assert!(!turns(&mut running, 3_000));
    assert!(place.progress.report().failing.unwrap_or_default().contains("another record"));
    assert!(place.database.contents() == contents);
}

/// So many people, and a log that does not reach back to its beginning any more.
fn crowd(users: usize) -> Place {
    let mut place = Place::new(10);
    for n in 0..users {
        place.world.desk.sign_up(&format!("filler{n}@example.com"), "UTC");
        place.commit();
    }
    place
}

fn cut(place: &mut Place) {
    place.snapshot(false);
    let base = place.snapshots.last().unwrap().clone();
    block_on(prune(&place.disk, &place.home, &base)).unwrap();
    assert!(place.disk.read(&rig::segment_path(1)).is_none());
}

fn recharge(place: &mut Place, times: u64) {
    let user = place.world.users[0];
    for _ in 0..times {
        let number = place.world.desk.user(user).recharges + 1;
        let (currency, amount) = (Currency::PaperUsdt, desk::money("7"));
        place.world.desk.run(Command::Recharge { user, number, currency, amount }).unwrap();
        place.commit();
    }
}

/// A beginning in the middle that was given up half-way, and made again from a later snapshot: its balances leave out other entries
/// than those of the first, whose rows are there.
#[test]
fn a_beginning_in_the_middle_that_is_made_again_counts_nothing_twice() {
    let mut place = crowd(150);
    recharge(&mut place, 5);
    cut(&mut place);
    place.database.set_fault(WriteFault::LostAfter);
    let mut running = place.projector();
    while place.database.rows(Table::Users) == 0 {
        assert!(!turns(&mut running, 1));
    }
    place.database.set_down(true);
    assert!(place.database.rows(Table::Users) < place.users().count(), "a part is there");
    // More than a statement keeps.
    recharge(&mut place, 200);
    cut(&mut place);
    place.database.set_down(false);
    let mut running = place.projector();
    drain(&place, &mut running);
    place.database.compare(place.users()).unwrap();
    assert_eq!(place.database.users().len(), place.users().count());
}

/// A user whose rows the database refuses is found, named and left out where a history begins in the middle; everybody else is there,
/// and what is recorded later.
#[test]
fn a_user_who_is_refused_at_the_beginning_is_left_out_alone() {
    let mut place = crowd(120);
    let email = "poison@example.com";
    let poison = place.world.desk.sign_up(email, "UTC");
    place.commit();
    cut(&mut place);
    place.database.set_poison(Some(email.as_bytes()));
    let mut running = place.projector();
    drain(&place, &mut running);
    assert_eq!(place.database.left_out(), [poison]);
    assert_eq!(place.progress.report().refused, 1);
    assert_eq!(place.database.users().len(), place.users().count() - 1);
    recharge(&mut place, 3);
    drain(&place, &mut running);
    place.database.compare(place.users().filter(|user| user.id != poison)).unwrap();
}

/// A beginning of many users takes its turn with others, and holds one batch at a time.
#[test]
fn a_beginning_in_the_middle_goes_on_a_batch_a_turn() {
    let mut place = crowd(450);
    cut(&mut place);
    let mut running = place.projector();
    let mut most = 0;
    while place.database.stands().is_none() {
        let before = place.database.rows(Table::Users);
        assert!(!turns(&mut running, 1));
        most = most.max(place.database.rows(Table::Users) - before);
    }
    assert_eq!(place.database.rows(Table::Users), place.users().count());
    assert_eq!(most, 100, "users of one turn");
}

/// A row that the database does not take is found, named by its record, and everything else arrives.
#[test]
fn a_record_that_is_refused_is_passed_over_alone() {
    let mut place = Place::new(64);
    let email = "poison@example.com";
    for n in 0..30 {
        place.world.desk.sign_up(&format!("before{n}@example.com"), "UTC");
    }
    place.world.desk.sign_up(email, "UTC");
    for n in 0..30 {
        place.world.desk.sign_up(&format!("after{n}@example.com"), "UTC");
    }
    place.commit();
    let refused = place
        .world
        .desk
        .log
        .iter()
        .position(|record| record.windows(email.len()).any(|window| window == email.as_bytes()));
    place.database.set_poison(Some(email.as_bytes()));
    let mut running = place.projector();
    drain(&place, &mut running);
    assert_eq!(place.database.refused(), [Lsn(refused.unwrap() as u64 + 1)]);
    assert_eq!(place.progress.report().refused, 1);
    // The next process counts on.
    let (progress, stop) = (Progress::default(), AtomicBool::new(false));
    progress.set_durable(place.log.durable());
    let (disk, home) = (place.disk.clone(), place.home.clone());
    let mut next = Projector::new(disk, home, place.database.clone(), Ticks::default(), place.sizes);
    let mut next: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(next.run(&progress, &stop));
    let mut context = Context::from_waker(Waker::noop());
    assert!((0..100).all(|_| next.as_mut().poll(&mut context).is_pending()));
    assert_eq!(progress.report().refused, 1);
    drop(next);
    assert_eq!(place.database.rows(Table::Users), place.users().count() - 1);
}
