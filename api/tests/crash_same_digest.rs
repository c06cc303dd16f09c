//! Same log, same state: the digest of the state is equal in the running server, after it has stopped, after a snapshot, after
//! SIGTERM and after kill -9, and with 1, 2 and 3 shards, however often and in whichever order.
//!
//! The market stands still, so that nothing happens by itself once what was under way is finished.

mod crash;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::cli::rules_file;
use api::reads::{Found, Question};
use api::server::inside::nobody;
use api::server::shard_loop::Inside;
use api::server::{MarketSource, Server, ServerConfig, start};
use crash::load::{Load, post_signal};
use crash::people::{People, RULES, SYMBOLS, signal_body};
use crash::promises::Promises;
use crash::server::Place;
use crash::settled::settle;
use crash::{Repeat, seed, wait_until};
use engine::core::instrument::Symbol;
use engine::core::state::combine_digests;
use engine::shard::ask::{Answer, Ask, Auth, Op};
use engine::shard::ports::ShardId;
use exchange::market::MarketFile;
use net::http::client::{Client, ClientOptions};

/// A price each, and the next one a day later.
const STILL: [(&str, &str); 2] = [
    (
        "BTCUSDT",
        "time_ms,id,side,price,quantity\n1675329600000,1,buy,23000.5,1\n1675416000000,2,buy,23000.5,1\n",
    ),
    (
        "ETHUSDT",
        "time_ms,id,side,price,quantity\n1675329600000,1,buy,1666.8,1\n1675416000000,2,buy,1666.8,1\n",
    ),
];
/// For how long a server is loaded.
const LOAD: Duration = Duration::from_millis(400);

fn config(data: &Path, shards: u16) -> ServerConfig {
    let mut config = ServerConfig::embedded(data.to_owned());
    config.listen = ([127, 0, 0, 1], 0).into();
    config.shards = Some(shards);
    config.pin = false;
    config.rules = rules_file::parse(RULES).expect("the rules are valid");
    config.segment_bytes = 1 << 20;
    config.snapshot_log_bytes = 1 << 20;
    let file = |(symbol, csv): &(&str, &str)| {
        (Symbol::new(symbol).expect("a symbol"), MarketFile::parse(symbol, csv).expect("a market file"))
    };
    config.market = MarketSource::Files(STILL.iter().map(file).collect());
    config
}

fn client(server: &Server) -> Client {
    Client::connect(server.address, ClientOptions::default()).expect("the server listens")
}

/// The digest of the running server's state, as `coinbitclub log digest` prints it.
fn live_digest(server: &Server) -> String {
    let mut parts = Vec::new();
    for shard in (0..server.shards()).map(ShardId) {
        let mut from = Some(0);
        while let Some(place) = from {
            let op = Op::Question(Question::Digests(place));
            let ask = Ask { auth: Auth::Open, op, user: nobody() };
            match server.lines.ask_at(shard, ask, crash::WAIT_MAX) {
                Ok(Answer::Read(Found::Digests(page, next))) => {
                    parts.extend(page);
                    from = next;
                }
                other => panic!("no digests: {other:?}"),
            }
        }
    }
    let users = parts.len();
    let hex: String = combine_digests(parts).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex} {users} users")
}

fn snapshots_taken(server: &Server) -> Vec<u64> {
    server.gauges.shards.iter().map(|shard| shard.snapshot_lsn.load(Ordering::Relaxed)).collect()
}

/// Has every shard take a snapshot, and waits for it.
fn take_snapshots(server: &Server) {
    let before = snapshots_taken(server);
    for shard in (0..server.shards()).map(ShardId) {
        server.lines.tell(shard, Inside::Snapshot).expect("the line has room");
    }
    wait_until("every shard has a snapshot of its own", || {
        let now = snapshots_taken(server);
        now.iter().zip(&before).any(|(now, before)| now == before).then(|| format!("{before:?} {now:?}"))
    });
}

#[test]
fn the_running_state_is_the_recovered_one_with_any_number_of_shards() {
    let seed = seed();
    let command = format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test crash_same_digest");
    let _repeat = Repeat { command };
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    let begin = |shards: u16| start(&config(&place.data(), shards)).expect("it starts");
    let server = begin(2);
    let people = People::gather(&mut client(&server));
    let promises = Mutex::new(Promises::default());
    let address = server.address;
    let load = Load { people: &people, promises: &promises, address, round: 0, seed };
    load.run(|| {
        std::thread::sleep(LOAD);
        let promised = || promises.lock().expect("nobody failed").count;
        wait_until("the load is real", || (promised() <= 100).then(|| promised().to_string()));
        server.stop().expect("it ends in order");
    });

    // What the stop interrupted is taken up and finished; then nothing changes any more. One more signal, so that there is
    // something that only this server's snapshot can have told.
    let server = begin(2);
    settle(&mut client(&server), &people.traders);
    let body = signal_body(&people.flood, "last", "close", SYMBOLS[0]);
    let last = load.note("last".to_owned(), None, false, body);
    assert_eq!(post_signal(&mut client(&server), &promises, &last), Some(true));
    settle(&mut client(&server), &people.traders);
    let digest = live_digest(&server);
    assert_eq!(live_digest(&server), digest, "nothing happens by itself");
    take_snapshots(&server);
    server.stop().expect("it ends in order");
    assert_eq!(place.digest(), digest, "what is on the disk is what was running");

    for shards in [2, 1, 3, 3, 2] {
        let server = begin(shards);
        settle(&mut client(&server), &people.traders);
        assert_eq!(live_digest(&server), digest, "running with {shards} shards");
        take_snapshots(&server);
        assert_eq!(live_digest(&server), digest, "after a snapshot of {shards} shards");
        server.stop().expect("it ends in order");
        assert_eq!(place.digest(), digest, "after {shards} shards have stopped");
    }
}

#[test]
fn the_state_is_the_same_after_the_end_of_the_process_however_it_ends() {
    let seed = seed();
    let command = format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test crash_same_digest");
    let _repeat = Repeat { command };
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    for (symbol, csv) in STILL {
        let file = dir.path().join(format!("{symbol}-still.csv"));
        std::fs::write(&file, csv).expect("the market file is written");
        place.arguments.extend(["--market".to_owned(), file.display().to_string()]);
    }
    let mut server = place.start(1);
    let people = People::gather(&mut server.client());
    let promises = Mutex::new(Promises::default());
    let address = server.address;
    let load = Load { people: &people, promises: &promises, address, round: 0, seed };
    load.run(|| {
        std::thread::sleep(LOAD);
        server.kill();
    });
    // The recovered state, before anything goes on, is a function of the files alone.
    assert_eq!(place.digest(), place.digest());
    let server = place.start(2);
    settle(&mut server.client(), &people.traders);
    assert!(server.stop().success(), "SIGTERM is an end in order: {}", place.logged());
    let digest = place.digest();
    for (shards, killed) in [(2, true), (1, false), (3, true), (1, true), (2, false)] {
        let mut server = place.start(shards);
        settle(&mut server.client(), &people.traders);
        if killed {
            server.kill();
        } else {
            assert!(server.stop().success(), "SIGTERM is an end in order: {}", place.logged());
        }
        assert_eq!(place.digest(), digest, "after {shards} shards, killed: {killed}");
    }
}
