//! Reads go to healthy replicas, elsewhere when one fails, and never show less than their token.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "cluster/mod.rs"]
mod cluster;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cluster::{Cluster, Node, WAIT_MAX};
use storage::postgres::replicas::{
    GATE_MAX, ReadError, Readers, ReadersOptions, ReplicaState, STATEMENTS_MAX, Source, Token,
};
use storage::postgres::target::Target;
use storage::{Generation, Lsn, ShardNumber};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

const ONE: Source = Source::Replica(1);
const TWO: Source = Source::Replica(2);
const SCHEMA: &str = "create schema coinbitclub; \
     create table coinbitclub.projector_progress \
       (generation bigint, shard int, lsn bigint not null, primary key (generation, shard)); \
     insert into coinbitclub.projector_progress values (3, 1, 0); \
     create table rows (lsn bigint)";

fn target(node: &Node) -> Target {
    Target::parse(&node.url_without_password(), None).unwrap()
}

fn options(primary: &Node, replicas: &[&Node]) -> ReadersOptions {
    ReadersOptions {
        health_interval: Duration::from_millis(200),
        // Where no server is silent, none must seem so on a machine that does much else.
        gate_max: WAIT_MAX,
        ..ReadersOptions::new(target(primary), replicas.iter().map(|node| target(node)).collect())
    }
}

/// Runs a test beside the watch.
fn with<T>(options: ReadersOptions, test: impl AsyncFnOnce(Readers) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let readers = Readers::new(options);
    let watched = readers.clone();
    let _watch = local.spawn_local(async move { watched.watch().await });
    local.block_on(&runtime, async {
        until("the primary is looked at", async || {
            readers.primary_fault().is_none_or(|fault| !fault.contains("not been looked at"))
        })
        .await;
        test(readers).await
    })
}

fn token(lsn: u64) -> Option<Token> {
    Some(Token { generation: Generation(3), shard: ShardNumber(1), lsn: Lsn(lsn) })
}

/// A write as the projector makes it: the row and the progress in one transaction.
fn write(primary: &Node, lsn: u64) -> Result<String, String> {
    primary.try_psql(&format!(
        "insert into rows values ({lsn}); update coinbitclub.projector_progress set lsn = {lsn}"
    ))
}

async fn read(readers: &Readers, lsn: Option<u64>) -> Result<(i64, Source), ReadError> {
    let sql = "select coalesce(max(lsn), 0) from rows";
    readers.read(lsn.and_then(token), async |session| Ok(session.query(sql, &[]).await?[0].get(0))).await
}

/// The sources of some reads, each of which must have shown its token. A machine that does much else may let a server
/// seem to be gone for a moment, so a read is asked again.
async fn sources(readers: &Readers, lsn: u64) -> BTreeSet<Source> {
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        let mut answer = None;
        until("some server answers", async || {
            answer = read(readers, Some(lsn)).await.ok();
            answer.is_some()
        })
        .await;
        let (shown, source) = answer.unwrap();
        assert!(shown >= i64::try_from(lsn).unwrap(), "{source} shows {shown} for the token {lsn}");
        seen.insert(source);
    }
    seen
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !condition().await {
        assert!(Instant::now() < end, "not within {WAIT_MAX:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn until_sources(readers: &Readers, lsn: u64, expected: &[Source]) {
    let expected: BTreeSet<Source> = expected.iter().copied().collect();
    until(&format!("reads come from {expected:?}, states {:?}", readers.states()), async || {
        sources(readers, lsn).await == expected
    })
    .await;
}

#[test]
fn reads_go_elsewhere_while_a_replica_is_paused_frozen_or_stopped() {
    let cluster = Cluster::start(2);
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    primary.psql(SCHEMA);
    write(primary, 1).unwrap();
    let options = ReadersOptions { gate_max: GATE_MAX, ..options(primary, &[first, second]) };
    with(options, async |readers| {
        until_sources(&readers, 1, &[ONE, TWO]).await;

        first.pause_replay();
        write(primary, 2).unwrap();
        let seen = sources(&readers, 2).await;
        assert!(!seen.contains(&ONE), "it does not show this yet: {seen:?}");
        until("it shows the one before", async || sources(&readers, 1).await.contains(&ONE)).await;
        first.resume_replay();
        until_sources(&readers, 2, &[ONE, TWO]).await;

        // Nobody shows what is not there yet, and memory answers.
        until("all are behind", async || matches!(read(&readers, Some(3)).await, Err(ReadError::Behind)))
            .await;
        let elsewhere = Some(Token { generation: Generation(4), shard: ShardNumber(1), lsn: Lsn(0) });
        until("another set of shards is none of theirs", async || {
            matches!(readers.read(elsewhere, async |_| Ok(())).await, Err(ReadError::Behind))
        })
        .await;

        first.pause();
        until_sources(&readers, 2, &[TWO]).await;
        assert!(matches!(readers.states()[0], ReplicaState::Unreachable(_)), "{:?}", readers.states());
        first.resume();
        until_sources(&readers, 2, &[ONE, TWO]).await;

        second.stop();
        until_sources(&readers, 2, &[ONE]).await;
        first.kill();
        until_sources(&readers, 2, &[Source::Primary]).await;
        primary.kill();
        let error = read(&readers, None).await.unwrap_err();
        assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
        for node in [primary, first, second] {
            node.restart();
        }
        until_sources(&readers, 2, &[ONE, TWO]).await;

        // A replica that becomes a primary is none any more.
        first.promote();
        until_sources(&readers, 2, &[TWO]).await;
        until("it is refused", async || matches!(readers.states()[0], ReplicaState::Refused(_))).await;
    });
}

/// Runs a test with replicas that are healthy and are not looked at again unless a read fails: no round of health comes to its
/// help. Where nothing is measured, a server that is silent is waited for longer than a busy machine lets one seem so.
fn without_rounds(primary: &Node, replicas: &[&Node], test: impl AsyncFn(&Readers)) {
    let health_interval = Duration::from_secs(3_600);
    let options =
        ReadersOptions { health_interval, gate_max: Duration::from_secs(4), ..options(primary, replicas) };
    for _ in 0..10 {
        let ran = with(options.clone(), async |readers| {
            until("both are judged", async || !readers.states().contains(&ReplicaState::Unknown)).await;
            let healthy = readers.states().iter().all(|state| *state == ReplicaState::Healthy);
            if healthy {
                test(&readers).await;
            }
            healthy
        });
        if ran {
            return;
        }
    }
    panic!("the replicas do not answer");
}

/// How a server goes, by name, and how it comes back.
type Way = (&'static str, fn(&Node), fn(&Node));

/// "Within a second", without a clock: the one read that finds a replica silent waits for it once (`GATE_MAX`, of which three are
/// below a second) and is answered elsewhere; no later one asks it.
#[test]
fn the_first_read_that_finds_a_replica_gone_is_answered_elsewhere_and_is_the_last_to_ask_it() {
    let cluster = Cluster::start(2);
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    assert_eq!(ReadersOptions::new(target(primary), Vec::new()).gate_max, GATE_MAX);
    primary.psql(SCHEMA);
    write(primary, 1).unwrap();
    for node in [first, second] {
        cluster.catch_up(node, primary);
    }
    let ways: [Way; 3] = [
        ("frozen", Node::pause, Node::resume),
        ("stopped", Node::stop, Node::restart),
        ("killed", Node::kill, Node::restart),
    ];
    for (way, take_away, bring_back) in ways {
        without_rounds(primary, &[first, second], async |readers| {
            until_sources(readers, 1, &[ONE, TWO]).await;
            let before = readers.asked()[0];
            take_away(first);
            for number in 1..=8 {
                let answer = read(readers, Some(1)).await;
                let (_, source) = answer.unwrap_or_else(|error| panic!("{way}, read {number}: {error}"));
                assert_ne!(source, ONE, "{way}, read {number}");
            }
            let asked = readers.asked()[0] - before;
            assert_eq!(asked, 1, "{way}: reads that asked it, {:?}", readers.states());
            assert!(
                matches!(readers.states()[0], ReplicaState::Unreachable(_)),
                "{way}: {:?}",
                readers.states()
            );
        });
        bring_back(first);
    }
    // One that is there again when a read fails at it is looked at at once.
    without_rounds(primary, &[first, second], async |readers| {
        until_sources(readers, 1, &[ONE, TWO]).await;
        first.kill();
        first.restart();
        for number in 1..=8 {
            let answer = read(readers, Some(1)).await;
            answer.unwrap_or_else(|error| panic!("restarted, read {number}: {error}"));
        }
        until_sources(readers, 1, &[ONE, TWO]).await;
    });
    // One that shows nothing new is not waited for while another shows it.
    without_rounds(primary, &[first, second], async |readers| {
        until_sources(readers, 1, &[ONE, TWO]).await;
        first.pause_replay();
        write(primary, 2).unwrap();
        cluster.catch_up(second, primary);
        for number in 1..=8 {
            let before = readers.asked()[0];
            let answer = read(readers, Some(2)).await;
            let (shown, source) = answer.unwrap_or_else(|error| panic!("paused, read {number}: {error}"));
            assert_eq!((shown, source), (2, TWO), "paused, read {number}");
            assert!(readers.asked()[0] - before <= 1, "it is asked once and not waited for");
        }
        first.resume_replay();
    });
}

/// A server that falls silent in the middle of an answer is waited for as long as a statement may take, and no longer.
#[test]
fn a_read_whose_replica_freezes_in_the_middle_is_answered_elsewhere() {
    let cluster = Cluster::start(2);
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    primary.psql(SCHEMA);
    write(primary, 1).unwrap();
    for node in [first, second] {
        cluster.catch_up(node, primary);
    }
    without_rounds(primary, &[first, second], async |readers| {
        let frozen = std::cell::Cell::new(0);
        // The second read goes to the one that the first did not.
        for _ in 0..2 {
            let answered = readers
                .read(token(1), async |session| {
                    let port: i32 = session.query("select inet_server_port()", &[]).await?[0].get(0);
                    if port == i32::from(first.port()) {
                        frozen.set(frozen.get() + 1);
                        first.pause();
                    }
                    Ok(session.query("select coalesce(max(lsn), 0) from rows", &[]).await?[0]
                        .get::<_, i64>(0))
                })
                .await;
            assert_eq!(answered.unwrap(), (1, TWO));
        }
        assert_eq!(frozen.get(), 1, "nobody asks it again");
        assert!(matches!(readers.states()[0], ReplicaState::Unreachable(_)), "{:?}", readers.states());
    });
    first.resume();
}

#[test]
fn a_replica_that_is_too_far_behind_is_left_alone() {
    let cluster = Cluster::start(2);
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    primary.psql(SCHEMA);
    let lag_max = Duration::from_millis(400);
    with(ReadersOptions { lag_max, ..options(primary, &[first, second]) }, async |readers| {
        until_sources(&readers, 0, &[ONE, TWO]).await;
        first.pause_replay();
        write(primary, 1).unwrap();
        until("it is behind", async || {
            let _answer = read(&readers, None).await;
            matches!(readers.states()[0], ReplicaState::Behind { .. })
        })
        .await;
        until_sources(&readers, 0, &[TWO]).await;
        first.resume_replay();
        until_sources(&readers, 1, &[ONE, TWO]).await;
        // A quiet primary leaves nobody behind.
        sleep(lag_max * 3).await;
        until_sources(&readers, 1, &[ONE, TWO]).await;
    });
}

/// A replica that shows nothing new since before anybody looked is found out at the first look: also a read without a token is
/// never answered with what was true long ago.
#[test]
fn a_replica_that_was_paused_before_the_readers_began_answers_nothing() {
    let cluster = Cluster::start(2);
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    primary.psql(SCHEMA);
    write(primary, 1).unwrap();
    for node in [first, second] {
        cluster.catch_up(node, primary);
    }
    first.pause_replay();
    write(primary, 2).unwrap();
    cluster.catch_up(second, primary);
    // Ten seconds of lag are allowed, and none of them has passed.
    with(options(primary, &[first, second]), async |readers| {
        until("the other one answers", async || match read(&readers, None).await {
            Ok((shown, source)) => {
                assert_eq!(shown, 2, "{source} shows what was, states {:?}", readers.states());
                source == TWO
            }
            Err(_) => false,
        })
        .await;
        until("it is known to be behind", async || {
            let (shown, source) = read(&readers, None).await.unwrap_or((2, TWO));
            assert_eq!(shown, 2, "{source} shows what was, states {:?}", readers.states());
            matches!(readers.states()[0], ReplicaState::Behind { .. })
        })
        .await;
        first.resume_replay();
        until_sources(&readers, 2, &[ONE, TWO]).await;
    });
}

/// After a fail-over to a replica that lacked the tail the primary's positions begin anew, lower: a replica that is paused must
/// not pass for one that keeps up meanwhile.
#[test]
fn a_replica_that_is_paused_answers_nothing_after_a_fail_over_to_a_lower_position() {
    let cluster = Cluster::start(2);
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    primary.psql(SCHEMA);
    write(primary, 1).unwrap();
    for node in [first, second] {
        cluster.catch_up(node, primary);
    }
    let either = format!(
        "postgresql://{}@127.0.0.1:{},127.0.0.1:{}/{}",
        cluster::USER,
        primary.port(),
        first.port(),
        cluster::DATABASE
    );
    let options =
        ReadersOptions { primary: Target::parse(&either, None).unwrap(), ..options(primary, &[second]) };
    with(options, async |readers| {
        until_sources(&readers, 1, &[ONE]).await;
        // The tail that is lost, and a replica that stays where it is; it was healthy until now.
        first.stop();
        second.pause_replay();
        primary.psql("insert into rows select generate_series(2, 100000)");
        primary.kill();
        first.restart();
        first.promote();
        write(first, 500).unwrap();
        let answered = std::cell::Cell::new(0);
        until("the new primary answers", async || {
            if let Ok((shown, source)) = read(&readers, None).await {
                // Before the new primary is seen, nobody knows of the fail-over, and what the replica shows is young enough.
                let seen = readers.primary_fault().is_none();
                if source == Source::Primary {
                    assert_eq!(shown, 500);
                    answered.set(answered.get() + 1);
                } else if answered.get() > 0 && seen {
                    panic!("{source} shows {shown}, states {:?}", readers.states());
                }
            }
            answered.get() >= 20
        })
        .await;
        assert_ne!(readers.states()[0], ReplicaState::Healthy);
    });
}

#[test]
fn what_is_no_replica_of_the_primary_is_refused() {
    let (cluster, other) = (Cluster::start(0), Cluster::start(1));
    cluster.primary().psql(SCHEMA);
    other.primary().psql(SCHEMA);
    with(options(cluster.primary(), &[cluster.primary(), other.replica(1)]), async |readers| {
        until_sources(&readers, 0, &[Source::Primary]).await;
        until("both are judged", async || !readers.states().contains(&ReplicaState::Unknown)).await;
        let states: Vec<String> = readers.states().iter().map(ToString::to_string).collect();
        assert!(
            states[0].contains("refused") && states[0].contains("is a primary, not a replica"),
            "{states:?}"
        );
        assert!(states[1].contains("refused") && states[1].contains("another cluster"), "{states:?}");
        assert_eq!(sources(&readers, 0).await, BTreeSet::from([Source::Primary]));
    });
    // An identifier that is known from before outweighs a primary that appears.
    let known = ReadersOptions { system_identifier: Some(1), ..options(cluster.primary(), &[]) };
    with(known, async |readers| {
        until("it is judged", async || readers.primary_fault().is_some_and(|fault| fault.contains("was 1")))
            .await;
        assert!(matches!(read(&readers, None).await, Err(ReadError::Unavailable(_))));
    });
}

#[test]
fn the_primary_answers_no_more_reads_than_its_budget() {
    let cluster = Cluster::start(0);
    let primary = cluster.primary();
    primary.psql(SCHEMA);
    let statement_timeout = WAIT_MAX;
    let options = ReadersOptions { primary_reads_max: 1, statement_timeout, ..options(primary, &[]) };
    with(options, async |readers| {
        until_sources(&readers, 0, &[Source::Primary]).await;
        let (holder, connection) =
            tokio_postgres::connect(&primary.url(), tokio_postgres::NoTls).await.unwrap();
        let _driver = tokio::spawn(connection);
        holder.execute("select pg_advisory_lock(1)", &[]).await.unwrap();
        let long = readers.clone();
        let long = tokio::task::spawn_local(async move {
            let sql = "select pg_advisory_lock_shared(1)";
            long.read(None, async |session| session.query(sql, &[]).await.map(|rows| rows.len())).await
        });
        let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
        until("the first read waits", async || {
            holder.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        assert!(matches!(read(&readers, None).await, Err(ReadError::Busy)));
        holder.execute("select pg_advisory_unlock(1)", &[]).await.unwrap();
        assert_eq!(long.await.unwrap().unwrap(), (1, Source::Primary));
        assert!(read(&readers, None).await.is_ok(), "the budget is free again");
        let insert = "insert into rows values (1)";
        let error = readers.read(None, async |session| session.query(insert, &[]).await).await.unwrap_err();
        assert!(
            error.to_string().contains("read-only"),
            "a primary that is only read from takes no writes: {error}"
        );
    });
}

#[test]
fn statements_are_prepared_once_and_have_a_limit() {
    let cluster = Cluster::start(1);
    cluster.primary().psql(SCHEMA);
    let statement_timeout = Duration::from_millis(300);
    let options = ReadersOptions { statement_timeout, ..options(cluster.primary(), &[cluster.replica(1)]) };
    with(options, async |readers| {
        until_sources(&readers, 0, &[ONE]).await;
        let failed = async |sql: &'static str| {
            readers.read(None, async |session| session.query(sql, &[]).await).await.unwrap_err()
        };
        for (sql, part) in
            [("select nonsense", "does not exist"), ("select pg_sleep(60)", "statement timeout")]
        {
            let error = failed(sql).await;
            assert!(matches!(error, ReadError::Query(_)) && error.to_string().contains(part), "{error}");
        }
        assert_eq!(readers.states(), [ReplicaState::Healthy], "the server is not to blame");
        let (counted, _) = readers
            .read(None, async |session| {
                let sql =
                    "select prepare_time::text from pg_prepared_statements where statement like '%twice%'";
                let first = session.query(sql, &[]).await?[0].get::<_, String>(0);
                let again = session.query(sql, &[]).await?[0].get::<_, String>(0);
                for number in 0..STATEMENTS_MAX * 2 {
                    session.query(&format!("select {number}"), &[]).await?;
                }
                let all = session.query("select count(*) from pg_prepared_statements", &[]).await?;
                Ok((first == again, all[0].get::<_, i64>(0)))
            })
            .await
            .unwrap();
        assert!(counted.0, "prepared once");
        assert!(counted.1 <= i64::try_from(STATEMENTS_MAX).unwrap(), "{counted:?}");
    });
}

#[test]
fn no_read_shows_less_than_its_token_whatever_happens_to_the_servers() {
    let cluster = Cluster::start(2);
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    primary.psql(SCHEMA);
    let (written, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for lsn in (1..).take_while(|_| !over.load(Ordering::Relaxed)) {
                if write(primary, lsn).is_ok() {
                    written.store(lsn, Ordering::Release);
                }
            }
        });
        let chaos = scope.spawn(|| {
            for node in [first, second] {
                node.pause_replay();
                let paused_at = written.load(Ordering::Acquire);
                cluster::wait_for("writes go on", || written.load(Ordering::Acquire) > paused_at + 3);
                node.resume_replay();
                node.kill();
                node.restart();
                node.pause();
                let frozen_at = written.load(Ordering::Acquire);
                cluster::wait_for("writes go on", || written.load(Ordering::Acquire) > frozen_at + 3);
                node.resume();
            }
        });
        let options = ReadersOptions { gate_max: GATE_MAX, ..options(primary, &[first, second]) };
        let counts = with(options, async |readers| {
            let mut counts = (0, 0);
            let mut seen = BTreeSet::new();
            let end = Instant::now() + WAIT_MAX;
            while !chaos.is_finished() || !seen.contains(&ONE) || !seen.contains(&TWO) {
                assert!(Instant::now() < end, "sources {seen:?}, states {:?}", readers.states());
                let lsn = written.load(Ordering::Acquire);
                match read(&readers, Some(lsn)).await {
                    Ok((shown, source)) => {
                        assert!(shown >= i64::try_from(lsn).unwrap(), "{source} shows {shown} for {lsn}");
                        seen.insert(source);
                        counts.0 += 1;
                    }
                    Err(ReadError::Query(error)) => panic!("{error:?}"),
                    Err(_) => counts.1 += 1,
                }
                // The servers need the processors too.
                sleep(Duration::from_millis(1)).await;
            }
            counts
        });
        over.store(true, Ordering::Relaxed);
        assert!(counts.0 > 0, "{counts:?}");
    });
}
