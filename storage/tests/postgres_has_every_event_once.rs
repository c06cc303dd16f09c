//! The projector against real servers: the primary is stopped, killed and failed over to a replica that misses the tail, locked
//! by others, its disk filled up, and cut off in the middle of batches; in the end every row is there once, byte for byte what the engine holds.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;
#[path = "../../engine/tests/desk/mod.rs"]
mod desk;
mod projecting;
mod rig;
#[path = "../../engine/tests/desk/steps.rs"]
mod steps;
#[path = "../../engine/tests/desk/world.rs"]
mod world;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::{Cluster, DATABASE, Node, Options, USER, may_mount};
use engine::core::command::Command;
use engine::core::ledger::Currency;
use engine::seam::Nanos;
use engine::shard::runtime::HostClock;
use futures_util::StreamExt;
use projecting::Logged;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use steps::step;
use storage::history::sim_database::SimDatabase;
use storage::history::tuple;
use storage::history::{History, Progress, Projector, Sizes, Standing, Table};
use storage::postgres::connect::{Role, connect};
use storage::postgres::migrate::migrate;
use storage::postgres::target::{SessionSettings, Target};
use storage::postgres::writer::Writer;
use storage::postgres::{MIGRATIONS, TokioPause};
use storage::sim_disk::block_on;
use storage::{Generation, LogIdentity, Lsn, Salt, ShardNumber, prune};
use tokio_postgres::SimpleQueryMessage;

/// Nothing here takes longer, however busy the machine.
const WAIT_MAX: Duration = Duration::from_secs(90);

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A desk with random people at it; steps are drawn from a seed.
struct Desk {
    logged: Logged,
    runner: TestRunner,
}

impl Desk {
    fn new() -> Self {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        Self { logged: Logged::new(), runner: TestRunner::new_with_rng(Config::default(), rng) }
    }

    fn work(&mut self, steps: usize) {
        for _ in 0..steps {
            let step = step().new_tree(&mut self.runner).unwrap().current();
            self.logged.world.step(&step);
        }
        self.logged.commit();
    }

    fn projector<H: History>(
        &self,
        history: H,
        records_max: usize,
    ) -> Projector<storage::sim_disk::SimDisk, H, TokioPause<HostClock>> {
        let sizes = Sizes {
            records_max,
            bytes_max: 1 << 20,
            row_bytes_max: 1 << 20,
            linger: Nanos::from_millis(5),
            idle: Nanos::from_millis(5),
        };
        let pause = TokioPause(HostClock);
        Projector::new(self.logged.disk.clone(), self.logged.home.clone(), history, pause, sizes)
    }

    /// Waits until the projector says once more that it cannot go on, and why.
    async fn failing(&self, why: &str) {
        self.failing_after(self.logged.progress.report().failures, why).await;
    }

    /// The same, where it may have said so since there were so many failures.
    async fn failing_after(&self, failures: u64, why: &str) {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let now = self.logged.progress.report();
            if now.failures > failures && now.failing.as_deref().is_some_and(|text| text.contains(why)) {
                return;
            }
            assert!(Instant::now() < deadline, "not {why}: {now:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the projector says that everything is in the database.
    async fn drained(&self) {
        let deadline = Instant::now() + WAIT_MAX;
        while self.logged.progress.projected() != self.logged.log.durable() {
            assert!(Instant::now() < deadline, "not everything arrives: {:?}", self.logged.progress.report());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Every row of a table, as COPY gives it.
async fn rows(url: &str, table: Table) -> Vec<Vec<u8>> {
    let target = Target::parse(url, None).unwrap();
    let connected = connect(&target, Role::Any, Duration::from_secs(20)).await.unwrap();
    // The database writes JSON in its own order of keys.
    let columns: Vec<String> = table
        .columns()
        .iter()
        .map(|column| match *column {
            "settings" | "detail" => format!("NULL AS {column}"),
            column => column.to_owned(),
        })
        .collect();
    let question = format!(
        "COPY (SELECT {} FROM coinbitclub.{}) TO STDOUT (FORMAT binary)",
        columns.join(", "),
        table.name()
    );
    let stream = connected.copy_out(&question).await.unwrap();
    let chunks: Vec<_> = stream.map(|chunk| chunk.unwrap()).collect().await;
    let all: Vec<u8> = chunks.concat();
    let mut rest = &all[tuple::COPY_HEADER.len()..];
    let mut rows = Vec::new();
    while rest != tuple::COPY_TRAILER {
        let (_, after) = tuple::split(rest).unwrap();
        rows.push(rest[..rest.len() - after.len()].to_vec());
        rest = after;
    }
    rows.sort_unstable();
    rows
}

/// The row with its JSON taken out.
fn without_json(table: Table, row: &[u8]) -> Vec<u8> {
    let (fields, _) = tuple::split(row).unwrap();
    let mut bytes = row[..2].to_vec();
    for (field, column) in fields.iter().zip(table.columns()) {
        match field.filter(|_| !matches!(*column, "settings" | "detail")) {
            Some(field) => {
                bytes.extend_from_slice(&i32::try_from(field.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(field);
            }
            None => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    bytes
}

/// Compares the servers' rows with those that a simulated database gets from the same log, and that one with the engine.
async fn compare(desk: &Desk, url: &str) {
    let simulated = SimDatabase::default();
    let (stop, progress) = (AtomicBool::new(false), Progress::default());
    progress.set_durable(desk.logged.log.durable());
    let mut projector = desk.projector(simulated.clone(), 10_000);
    let watch = async {
        let deadline = Instant::now() + WAIT_MAX;
        while simulated.stands() != Some(desk.logged.log.durable()) {
            assert!(Instant::now() < deadline, "the simulated database does not get everything");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    futures_lite::future::zip(projector.run(&progress, &stop), watch).await;
    simulated.compare(desk.logged.users()).unwrap();
    let contents = simulated.contents();
    for table in Table::ALL {
        let of_table = contents.iter().filter(|(of, _)| *of == table);
        let mut expected: Vec<Vec<u8>> = of_table.map(|(_, row)| without_json(table, row)).collect();
        expected.sort_unstable();
        let found = rows(url, table).await;
        assert_eq!(found.len(), expected.len(), "rows of {}", table.name());
        assert!(found == expected, "{} differs", table.name());
    }
}

/// The sums that an operator would look at, by the database itself.
fn sums_are_the_ledgers(desk: &Desk, node: &Node) {
    assert_eq!(node.psql("SELECT count(*) FROM (SELECT 1 FROM coinbitclub.postings GROUP BY currency HAVING sum(amount) <> 0) x"), "0");
    for user in desk.logged.users() {
        for (currency, account, balance) in user.ledger.balances() {
            let question = format!(
                "SELECT coalesce(sum(amount), 0) = {balance} FROM coinbitclub.postings \
                 WHERE user_id = {} AND currency = '{}' AND account = '{}'",
                user.id.0,
                currency.as_str(),
                account.name()
            );
            assert_eq!(node.psql(&question), "t", "{} {} {}", user.id, currency.as_str(), account.name());
        }
    }
}

#[test]
fn through_stops_kills_locks_and_a_fail_over_that_loses_the_tail() {
    let cluster = Cluster::start(1);
    let (primary, replica) = (cluster.primary().port(), cluster.replica(1).port());
    let both = format!("postgresql://{USER}@127.0.0.1:{primary},127.0.0.1:{replica}/{DATABASE}");
    let mut desk = Desk::new();
    run(async {
        migrate(&Target::parse(&both, None).unwrap(), MIGRATIONS).await.unwrap();
        let stop = Rc::new(AtomicBool::new(false));
        let mut projector = desk.projector(Writer::new(Target::parse(&both, None).unwrap()), 40);
        let progress = Rc::clone(&desk.logged.progress);
        let told = Rc::clone(&stop);
        let driver = async {
            desk.work(400);
            desk.drained().await;
            compare(&desk, &cluster.primary().url_without_password()).await;

            // A database from before there were marks of records, and then one that has been given those of another history.
            let mark = |value: &str| {
                let text = format!("UPDATE coinbitclub.projector_progress SET record_mark = {value}");
                cluster.primary().psql(&text);
            };
            mark("NULL");
            desk.work(50);
            desk.drained().await;
            let found = "SELECT encode(record_mark, 'hex') FROM coinbitclub.projector_progress";
            let own = cluster.primary().psql(found);
            assert_eq!(own.len(), 32, "{own}");
            mark("substr(sha256('another'), 1, 16)");
            desk.failing("another record").await;
            assert_eq!(desk.logged.progress.projected(), Lsn(0));
            let rows = "SELECT count(*) FROM coinbitclub.users";
            let before = cluster.primary().psql(rows);
            desk.work(50);
            desk.failing("another record").await;
            assert_eq!(cluster.primary().psql(rows), before, "nothing is written over it");
            mark(&format!("'\\x{own}'"));
            desk.drained().await;
            compare(&desk, &cluster.primary().url_without_password()).await;

            // Killed in the middle of work, and back.
            desk.work(400);
            tokio::time::sleep(Duration::from_millis(20)).await;
            cluster.primary().kill();
            desk.work(300);
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(desk.logged.progress.report().failing.is_some(), "an operator can see it");
            cluster.primary().restart();
            desk.work(100);
            desk.drained().await;
            compare(&desk, &cluster.primary().url_without_password()).await;
            assert_eq!(desk.logged.progress.report().failing, None);

            // A foreign client holds a lock for a while.
            let locker = Target::parse(&cluster.primary().url_without_password(), None).unwrap();
            let locker = connect(&locker, Role::Any, Duration::from_secs(20)).await.unwrap();
            let lock = "BEGIN; LOCK TABLE coinbitclub.signals IN ACCESS EXCLUSIVE MODE";
            locker.batch_execute(lock).await.unwrap();
            desk.work(300);
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(desk.logged.progress.projected() < desk.logged.log.durable(), "the lock was real");
            locker.batch_execute("ROLLBACK").await.unwrap();
            desk.drained().await;

            // It wants, in the other order, what the projector has, and the server ends the projector's transaction.
            loop {
                let lock = "BEGIN; SET LOCAL deadlock_timeout = '20s'; \
                            LOCK TABLE coinbitclub.postings IN SHARE ROW EXCLUSIVE MODE";
                locker.batch_execute(lock).await.unwrap();
                let waits = "SELECT count(*) > 0 FROM pg_locks \
                             WHERE relation = 'coinbitclub.postings'::regclass AND NOT granted";
                while cluster.primary().psql(waits) == "f" {
                    desk.work(20);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let row = "SELECT FROM coinbitclub.projector_progress FOR UPDATE";
                let failures = desk.logged.progress.report().failures;
                let taken = locker.batch_execute(row).await;
                if taken.is_ok() {
                    desk.failing_after(failures, "40P01").await;
                }
                locker.batch_execute("ROLLBACK").await.unwrap();
                // Where that came late, the server ended this one's.
                if taken.is_ok() {
                    break;
                }
            }
            desk.drained().await;
            compare(&desk, &cluster.primary().url_without_password()).await;

            // The replica is away while more is committed; then the primary is lost and the replica takes over.
            cluster.replica(1).kill();
            desk.work(300);
            desk.drained().await;
            let before = desk.logged.progress.projected();
            cluster.primary().kill();
            cluster.replica(1).restart();
            cluster.replica(1).promote();
            let missing = "SELECT max(lsn) FROM coinbitclub.projector_progress";
            let found: u64 = cluster.replica(1).psql(missing).parse().unwrap();
            desk.work(200);
            desk.drained().await;
            assert!(found < before.0, "the tail was missing: {found} of {before}");
            compare(&desk, &cluster.replica(1).url_without_password()).await;
            stop.store(true, Ordering::Relaxed);
        };
        futures_lite::future::zip(projector.run(&progress, &told), driver).await;
    });
    sums_are_the_ledgers(&desk, cluster.replica(1));
}

/// Takes all room of a file system that is left, to the last page.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let page = [1_u8; 4096];
    while file.write_all(&page).is_ok() {}
}

#[test]
fn through_a_disk_that_fills_up() {
    if !may_mount() {
        println!("LEFT OUT: a file system of the test's own can only be mounted by root");
        // `cargo xtask test` shows it in its summary.
        let told = Path::new(env!("CARGO_TARGET_TMPDIR")).join("left-out-through_a_disk_that_fills_up.txt");
        std::fs::write(told, "a file system of the test's own can only be mounted by root").unwrap();
        return;
    }
    let cluster = Cluster::start_with(&Options {
        room_mib: Some(160),
        // What is written ahead takes part of the room, and no more of it.
        settings: vec![
            "min_wal_size = 32MB".into(),
            "max_wal_size = 48MB".into(),
            "wal_keep_size = 0".into(),
        ],
        ..Options::default()
    });
    let primary = cluster.primary();
    let url = primary.url_without_password();
    let mut desk = Desk::new();
    run(async {
        migrate(&Target::parse(&url, None).unwrap(), MIGRATIONS).await.unwrap();
        let stop = Rc::new(AtomicBool::new(false));
        let mut projector = desk.projector(Writer::new(Target::parse(&url, None).unwrap()), 40);
        let progress = Rc::clone(&desk.logged.progress);
        let told = Rc::clone(&stop);
        let driver = async {
            desk.work(300);
            desk.drained().await;
            let filler = cluster.directory().join("primary/filler");
            fill(&filler);
            // Until a table has to grow; what it has room for still comes in.
            let deadline = Instant::now() + WAIT_MAX;
            while desk.logged.progress.report().failing.is_none() {
                assert!(Instant::now() < deadline, "a full disk was never met");
                desk.work(200);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(primary.log().contains("No space left on device"), "{}", primary.log());
            // The log goes on meanwhile.
            desk.work(300);
            assert!(desk.logged.progress.projected() < desk.logged.log.durable());
            std::fs::remove_file(&filler).unwrap();
            // A server that could not even write ahead has ended itself, and is started by whoever keeps it.
            primary.revive();
            desk.drained().await;
            assert_eq!(desk.logged.progress.report().failing, None);
            assert_eq!(
                primary.psql("SELECT count(*) FROM coinbitclub.refused_records"),
                "0",
                "nothing is passed over"
            );
            compare(&desk, &url).await;
            stop.store(true, Ordering::Relaxed);
        };
        futures_lite::future::zip(projector.run(&progress, &told), driver).await;
    });
    sums_are_the_ledgers(&desk, primary);
}

/// What an operator and other programs do to a database that is at work: an old schema, a dump that runs all the time, a partition
/// taken out, a table that refuses a row, a server that got slow.
#[test]
fn through_what_operators_and_other_programs_do() {
    let cluster = Cluster::start(0);
    let primary = cluster.primary();
    let target = Target::parse(&primary.url_without_password(), None).unwrap();
    let mut desk = Desk::new();
    let email = "poison@example.com";
    run(async {
        // A database of the version before keys began with the user, with a partition made in the old way.
        migrate(&target, &MIGRATIONS[..3]).await.unwrap();
        primary.psql(
            "CREATE TABLE coinbitclub.postings_p2020_01 PARTITION OF coinbitclub.postings \
             FOR VALUES FROM ('2020-01-01 00:00:00Z') TO ('2020-02-01 00:00:00Z')",
        );
        let old = "INSERT INTO coinbitclub.postings VALUES ('2020-01-05', 1, 1, 0, 'real', 'USDT', 0)";
        primary.psql(old);
        migrate(&target, MIGRATIONS).await.unwrap();
        let index = "SELECT indexdef FROM pg_indexes WHERE tablename = 'postings_p2020_01'";
        assert!(primary.psql(index).ends_with("(user_id, at, number, line)"));
        assert_eq!(primary.psql("DELETE FROM coinbitclub.postings RETURNING number"), "1");

        // Statements that take longer than this are ended by the server.
        let settings =
            SessionSettings { statement_timeout: Duration::from_secs(1), ..SessionSettings::default() };
        let stop = Rc::new(AtomicBool::new(false));
        let mut projector = desk.projector(Writer::new(target.clone().with_settings(settings)), 200);
        let progress = Rc::clone(&desk.logged.progress);
        let told = Rc::clone(&stop);
        let driver = async {
            // A dump, which reads one old state of everything, from before the first partition to the end.
            let dump = connect(&target, Role::Any, Duration::from_secs(20)).await.unwrap();
            let names: Vec<String> = Table::ALL.iter().map(|t| format!("coinbitclub.{}", t.name())).collect();
            let begin = format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM coinbitclub.users; \
                 LOCK TABLE {} IN ACCESS SHARE MODE",
                names.join(", ")
            );
            dump.batch_execute(&begin).await.unwrap();
            desk.work(300);
            desk.drained().await;
            let partitions = "SELECT count(*) > 5 FROM pg_class WHERE relispartition AND relkind = 'r'";
            assert_eq!(primary.psql(partitions), "t", "made beside the dump");
            let seen = dump.simple_query("SELECT 1 FROM coinbitclub.orders").await.unwrap();
            let rows = seen.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count();
            assert_eq!(rows, 0, "the dump sees what it began with");
            dump.batch_execute("ROLLBACK").await.unwrap();

            // A partition that is taken out while it is written to.
            let name =
                "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'coinbitclub.orders'::regclass";
            let name = primary.psql(name);
            primary.psql(&format!("ALTER TABLE coinbitclub.orders DETACH PARTITION {name}"));
            desk.work(300);
            desk.drained().await;
            // What was taken out stays out; what came late went into another. Together they are everything.
            assert!(primary.psql("SELECT count(*) FROM coinbitclub.orders").parse::<u64>().unwrap() > 0);
            primary.psql(&format!("INSERT INTO coinbitclub.orders SELECT * FROM {name} ON CONFLICT DO NOTHING; DROP TABLE {name}"));
            compare(&desk, &primary.url_without_password()).await;

            // Twenty users a second: the batch that waits is too much for one statement.
            primary.psql(
                "CREATE FUNCTION coinbitclub.slow() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END'; \
                 CREATE TRIGGER slow BEFORE INSERT ON coinbitclub.users FOR EACH ROW EXECUTE FUNCTION coinbitclub.slow()",
            );
            for n in 0..60 {
                desk.logged.world.desk.sign_up(&format!("slow{n}@example.com"), "UTC");
            }
            desk.logged.commit();
            desk.failing("the database is too slow").await;
            desk.drained().await;
            primary.psql("DROP FUNCTION coinbitclub.slow CASCADE");
            compare(&desk, &primary.url_without_password()).await;

            // A row that the database does not take is looked for, noted and passed over; all others come.
            primary.psql(&format!("ALTER TABLE coinbitclub.users ADD CHECK (email <> '{email}')"));
            desk.work(50);
            desk.logged.world.desk.sign_up(email, "UTC");
            desk.work(50);
            desk.drained().await;

            let other = |own: LogIdentity| LogIdentity { shard: ShardNumber(own.shard.0 + 1), ..own };
            let own = *desk.logged.home.identity();
            assert_eq!(desk.logged.progress.report().refused, 1);
            let mut counted = Writer::new(target.clone());
            assert_eq!((counted.refusals(own).await, counted.refusals(other(own)).await), (Ok(1), Ok(0)));
            let next = LogIdentity { generation: Generation(own.generation.0 + 1), ..own };
            assert_eq!((counted.refusals(next).await, counted.refusals(other(next)).await), (Ok(1), Ok(0)));

            // A directory of a generation that the database has nothing of, and has gone on from.
            let mut writer = Writer::new(target.clone());
            let earlier = LogIdentity { generation: Generation(0), ..*desk.logged.home.identity() };
            let refused = writer.position(earlier).await.unwrap_err().to_string();
            assert!(refused.contains("it has gone on with generation 1"), "{refused}");

            // A shard that the database has nothing of, beside one of another directory.
            let beside = LogIdentity { shard: ShardNumber(1), salt: Salt(1), ..*desk.logged.home.identity() };
            let refused = writer.position(beside).await.unwrap_err().to_string();
            assert!(refused.contains("generation 1 of another log"), "{refused}");
            let own = LogIdentity { shard: ShardNumber(1), ..*desk.logged.home.identity() };
            assert_eq!(writer.position(own).await, Ok(Standing::Nothing));

            // The number of shards was changed, and the data directory then put back to before that.
            let next = "INSERT INTO coinbitclub.projector_progress (generation, shard, lsn, salt) VALUES (2, 0, 1, '\\x00')";
            primary.psql(next);
            desk.failing("it has gone on with generation 2").await;
            let rows = "SELECT count(*) FROM coinbitclub.users";
            let before = primary.psql(rows);
            desk.work(50);
            desk.failing("it has gone on with generation 2").await;
            assert_eq!(primary.psql(rows), before, "nothing is written beside it");
            primary.psql("DELETE FROM coinbitclub.projector_progress WHERE generation = 2");
            desk.drained().await;
            stop.store(true, Ordering::Relaxed);
        };
        futures_lite::future::zip(projector.run(&progress, &told), driver).await;
    });
    let log = &desk.logged.world.desk.log;
    let holds = |record: &[u8]| record.windows(email.len()).any(|window| window == email.as_bytes());
    let refused = log.iter().position(|record| holds(record)).unwrap() + 1;
    let noted = primary.psql("SELECT lsn, error LIKE '%users_email_check%' FROM coinbitclub.refused_records");
    assert_eq!(noted, format!("{refused}|t"));
    let users = desk.logged.users().count() - 1;
    assert_eq!(primary.psql("SELECT count(*) FROM coinbitclub.users"), users.to_string());
    sums_are_the_ledgers(&desk, primary);
}

/// A history that begins in the middle, given up half-way by a full disk and made again from a later snapshot; one user is refused.
#[test]
fn through_a_beginning_in_the_middle_that_is_made_again() {
    let cluster = Cluster::start(0);
    let primary = cluster.primary();
    let target = Target::parse(&primary.url_without_password(), None).unwrap();
    let mut desk = Desk::new();
    desk.work(100);
    for n in 0..150 {
        desk.logged.world.desk.sign_up(&format!("filler{n}@example.com"), "UTC");
        // Each a block of its own, so that there is more than a segment.
        desk.logged.commit();
    }
    let left_out = desk.logged.world.desk.sign_up("left-out@example.com", "UTC");
    let cut = |desk: &mut Desk| {
        desk.logged.commit();
        desk.logged.snapshot(false);
        let base = desk.logged.snapshots.last().unwrap();
        block_on(prune(&desk.logged.disk, &desk.logged.home, base)).unwrap();
        assert!(desk.logged.disk.read(&rig::segment_path(1)).is_none());
    };
    cut(&mut desk);
    let project = |desk: &Desk| desk.projector(Writer::new(target.clone()), 40);
    run(async {
        migrate(&target, MIGRATIONS).await.unwrap();
        primary.psql("ALTER TABLE coinbitclub.users ADD CHECK (email <> 'left-out@example.com')");
        primary.psql(
            "CREATE FUNCTION coinbitclub.no_space() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION USING MESSAGE = $$no space$$, ERRCODE = $$53100$$; END'; \
             CREATE TRIGGER no_space BEFORE INSERT ON coinbitclub.users FOR EACH ROW \
             WHEN (NEW.email = 'filler140@example.com') EXECUTE FUNCTION coinbitclub.no_space()",
        );
        let (stop, progress) = (AtomicBool::new(false), Rc::clone(&desk.logged.progress));
        let mut projector = project(&desk);
        let given_up = async {
            desk.failing("53100: no space").await;
            stop.store(true, Ordering::Relaxed);
        };
        futures_lite::future::zip(projector.run(&progress, &stop), given_up).await;
        let there = "SELECT count(*) FROM coinbitclub.users";
        let part: usize = primary.psql(there).parse().unwrap();
        assert!((100..150).contains(&part), "{part}");

        // More than a statement keeps, of somebody who is there already.
        let user = desk.logged.world.users[0];
        for _ in 0..200 {
            let number = desk.logged.world.desk.user(user).recharges + 1;
            let (currency, amount) = (Currency::PaperUsdt, desk::money("7"));
            desk.logged.world.desk.run(Command::Recharge { user, number, currency, amount }).unwrap();
        }
        cut(&mut desk);
        primary.psql("DROP FUNCTION coinbitclub.no_space CASCADE");
        stop.store(false, Ordering::Relaxed);
        let mut projector = project(&desk);
        let driver = async {
            desk.work(100);
            desk.drained().await;
            stop.store(true, Ordering::Relaxed);
        };
        futures_lite::future::zip(projector.run(&progress, &stop), driver).await;
        let users = desk.logged.users().count() - 1;
        assert_eq!(primary.psql(there), users.to_string());
    });
    assert_eq!(desk.logged.progress.report().refused, 1);
    let noted =
        primary.psql("SELECT user_id, error LIKE '%users_email_check%' FROM coinbitclub.refused_records");
    assert_eq!(noted, format!("{}|t", left_out.0.cast_signed()));
    sums_are_the_ledgers(&desk, primary);
}
