//! The real server with a real database: load, kills of either, another number of shards; in the end the database's sums are the
//! ledger's, account by account, and its orders and positions those of the engine.

#[path = "../../storage/tests/cluster/mod.rs"]
mod cluster;
mod crash;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use api::server::recovery::recover_shard;
use cluster::{Cluster, Node, may_mount};
use crash::calls::{get, list, post, text};
use crash::load::Load;
use crash::people::{People, Person, RULES, Source, create_source, sign_up, signal_body, subscription};
use crash::promises::Promises;
use crash::server::{Place, Server};
use crash::settled::settle;
use crash::{Repeat, seed, wait_until};
use engine::core::user::User;
use engine::shard::runtime::{ExecutorOptions, GlommioDisk, run_pinned};
use serde_json::json;
use storage::DataDirectory;

/// What is in the database, or how many records it is behind and why.
fn missing(server: &Server) -> Option<String> {
    let status = get(&mut server.client(), "/api/enterprise/status", "");
    let shards = status["history"]["shards"].as_array().expect("history is set up");
    shards.iter().find(|shard| shard["behind_records"] != 0).map(ToString::to_string)
}

/// Every user of a data directory that no server uses.
fn users(place: &Place) -> Vec<User> {
    let data = place.data();
    let options = ExecutorOptions { name: "recover".to_owned(), cpu: None, heartbeat: None };
    let work = run_pinned(options, move |runtime| async move {
        let disk = GlommioDisk::new(&runtime);
        let mut users = Vec::new();
        for home in DataDirectory::look(&disk, &data).await.expect("readable").expect("a data directory") {
            let found = recover_shard(&disk, &home).await.expect("recoverable");
            users.extend(found.state.into_users());
        }
        users
    });
    work.expect("an executor").join().expect("it does not panic")
}

/// Lines of a query, as pairs of all but the last field and the last.
fn pairs(node: &Node, query: &str) -> BTreeMap<String, String> {
    let text = node.psql(query);
    text.lines()
        .map(|line| {
            let (key, value) = line.rsplit_once('|').expect("fields are parted by bars");
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

fn compare(place: &Place, node: &Node) {
    let users = users(place);
    let (mut balances, mut orders, mut positions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for user in &users {
        for (currency, account, balance) in user.ledger.balances().iter().filter(|(_, _, b)| !b.is_zero()) {
            let key = format!("{}|{}|{}", user.id.0, currency.as_str(), account.name());
            balances.insert(key, balance.to_string());
        }
        for order in user.orders.iter().chain(&user.final_orders) {
            let key = format!("{}|{}|{}", order.new.id, order.state.as_str(), order.fills);
            orders.insert(key, order.filled.to_string());
        }
        for position in user.positions.iter().chain(&user.closed_positions) {
            let state = position.state.as_str();
            let key = format!("{}|{}|{}|{state}", user.id.0, position.signal, position.account);
            positions.insert(key, position.realised.to_string());
        }
    }
    let sums = "SELECT user_id, currency, account, trim_scale(sum(amount)) FROM coinbitclub.postings \
                GROUP BY 1, 2, 3 HAVING sum(amount) <> 0";
    assert_eq!(pairs(node, sums), balances, "the ledger");
    assert_eq!(node.psql("SELECT count(*) FROM coinbitclub.users"), users.len().to_string());
    // The state keeps the newest; the database has them all.
    let known = pairs(
        node,
        "SELECT o.order_id, o.state, (SELECT count(*) FROM coinbitclub.fills f WHERE f.order_id = o.order_id), \
         trim_scale(o.filled) FROM coinbitclub.orders o",
    );
    assert!(orders.iter().all(|(key, filled)| known.get(key) == Some(filled)), "orders");
    let twice = "SELECT order_id FROM coinbitclub.orders GROUP BY 1 HAVING count(*) > 1 LIMIT 1";
    assert_eq!(node.psql(twice), "", "an order is there once");
    assert!(known.len() >= orders.len());
    let known = pairs(
        node,
        "SELECT user_id, position_id, account, state, trim_scale(realised) FROM coinbitclub.positions",
    );
    assert!(positions.iter().all(|(key, realised)| known.get(key) == Some(realised)), "positions");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM coinbitclub.entries GROUP BY user_id, key HAVING count(*) > 1) x";
    assert_eq!(node.psql(twice), "0", "no business event is booked twice");
    assert_eq!(node.psql("SELECT count(*) FROM coinbitclub.refused_records"), "0");
}

#[test]
fn every_acknowledged_event_is_in_the_database_once_whatever_was_killed() {
    let seed = seed();
    let command = format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test postgres_history");
    let _repeat = Repeat { command };
    let cluster = Cluster::start(0);
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    let mut server = place.start(2);
    let people = People::gather(&mut server.client());
    let promises = Mutex::new(Promises::default());
    // Shards of the next start, and whether the database is killed under load before the server is.
    for (round, (shards, database)) in (0..).zip([(2, false), (2, true), (3, false), (1, true), (2, false)]) {
        let address = server.address;
        let load = Load { people: &people, promises: &promises, address, round, seed: seed + round };
        load.run(|| {
            std::thread::sleep(Duration::from_millis(250));
            if database {
                cluster.primary().kill();
                std::thread::sleep(Duration::from_millis(250));
            }
            server.kill();
        });
        promises.lock().expect("nobody failed").server_gone();
        if database {
            cluster.primary().restart();
        }
        server = place.start(shards);
        assert_eq!(server.shards, shards, "{}", place.logged());
    }
    settle(&mut server.client(), &people.traders);
    wait_until("the database has everything", || missing(&server));
    assert!(server.stop().success(), "{}", place.logged());
    // What the stop itself recorded comes with the next start.
    let server = place.start(2);
    settle(&mut server.client(), &people.traders);
    wait_until("the database has everything", || missing(&server));
    assert!(server.stop().success(), "{}", place.logged());
    compare(&place, cluster.primary());
    assert!(promises.lock().expect("nobody failed").count > 0, "there was load");
    assert_ne!(cluster.primary().psql("SELECT count(*) FROM coinbitclub.fills"), "0", "and trade");
}

#[test]
fn a_server_starts_and_trades_without_its_database_and_keeps_its_shards() {
    let cluster = Cluster::start(0);
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    cluster.primary().stop();
    let server = place.start(2);
    let people = People::gather(&mut server.client());
    wait_until("the status says what fails", || {
        let status = get(&mut server.client(), "/api/enterprise/status", "");
        let failing = &status["history"]["shards"][0]["failing"];
        (failing != "unreachable").then(|| status["history"].to_string())
    });
    // Where the database is, nobody is told who has shown no session; whoever runs the server is.
    let port = cluster.primary().port().to_string();
    let told = server.client().get("/api/enterprise/status").expect("it answers").text();
    assert!(!told.contains(&format!(":{port}")), "{told}");
    assert!(place.logged().contains(&port), "{}", place.logged());
    assert!(server.stop().success());
    cluster.primary().restart();
    let server = place.start(2);
    settle(&mut server.client(), &people.traders);
    wait_until("the database has everything", || missing(&server));
    assert!(server.stop().success());
    compare(&place, cluster.primary());
}

/// The primary dies under load and a replica takes over that was away for a while before, so that it lacks a tail which the server
/// knows to be written: in the end the new primary has every event, once, and its sums are the ledger's.
#[test]
fn a_promoted_replica_without_the_tail_gets_everything() {
    let seed = seed();
    let command =
        format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test postgres_history promoted");
    let _repeat = Repeat { command };
    let cluster = Cluster::start(1);
    let (primary, replica) = (cluster.primary(), cluster.replica(1));
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    let (role, database) = (cluster::USER, cluster::DATABASE);
    let (one, other) = (primary.port(), replica.port());
    let either = format!("postgresql://{role}@127.0.0.1:{one},127.0.0.1:{other}/{database}");
    place.arguments.extend(["--postgres-primary".to_owned(), either]);
    let mut server = place.start(2);
    let people = People::gather(&mut server.client());
    wait_until("the primary has everything", || missing(&server));
    cluster.catch_up(replica, primary);
    replica.stop();
    let promises = Mutex::new(Promises::default());
    let load = Load { people: &people, promises: &promises, address: server.address, round: 0, seed };
    load.run(|| {
        wait_until("there is a tail", || {
            let orders: u64 =
                primary.psql("SELECT count(*) FROM coinbitclub.orders").parse().expect("a number");
            (orders < 20).then(|| format!("{orders} orders"))
        });
        primary.kill();
        replica.restart();
        replica.promote();
        server.kill();
    });
    promises.lock().expect("nobody failed").server_gone();
    assert!(promises.lock().expect("nobody failed").count > 0, "there was load");
    for _ in 0..2 {
        let server = place.start(2);
        settle(&mut server.client(), &people.traders);
        wait_until("the new primary has everything", || missing(&server));
        assert!(server.stop().success(), "{}", place.logged());
    }
    // What the second stop itself recorded, and nobody trades any more.
    let server = place.start(2);
    wait_until("the new primary has everything", || missing(&server));
    assert!(server.stop().success(), "{}", place.logged());
    compare(&place, replica);
    assert_ne!(replica.psql("SELECT count(*) FROM coinbitclub.fills"), "0", "and trade");
}

/// Somebody else's transaction that is left open, with its snapshot, while everything is written: nothing waits for it. Where it holds
/// a table, the history waits and nobody else.
#[test]
fn a_foreign_transaction_that_is_left_open_holds_nothing_back() {
    let cluster = Cluster::start(0);
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    let mut server = place.start(2);
    let people = People::gather(&mut server.client());
    wait_until("the database has everything", || missing(&server));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = cluster.primary().url();
    let (foreign, connection) =
        runtime.block_on(tokio_postgres::connect(&url, tokio_postgres::NoTls)).expect("it answers");
    let _driver = runtime.spawn(connection);
    let all =
        "SELECT (SELECT count(*) FROM coinbitclub.orders) + (SELECT count(*) FROM coinbitclub.postings)";
    let counted =
        |query: &str| runtime.block_on(foreign.query_one(query, &[])).expect("it answers").get::<_, i64>(0);
    let before = counted(all);
    runtime.block_on(foreign.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")).expect("it begins");
    assert_eq!(counted(all), before, "it has its snapshot, and locks the tables that grow as a reader does");

    let promises = Mutex::new(Promises::default());
    let load = Load { people: &people, promises: &promises, address: server.address, round: 0, seed: 7 };
    load.run(|| {
        wait_until("some trade", || {
            let count = promises.lock().expect("nobody failed").count;
            (count < 150).then(|| count.to_string())
        });
        server.kill();
    });
    let server = place.start(2);
    settle(&mut server.client(), &people.traders);
    wait_until("the database has everything", || missing(&server));
    assert_eq!(counted(all), before, "it still sees what was there when it began");
    runtime.block_on(foreign.batch_execute("ROLLBACK")).expect("it ends");
    assert!(counted(all) > before, "everything came meanwhile");

    // A table is locked as an operator's ALTER TABLE does it: what is decided goes on, what waits is shown, also after a restart.
    let lock = "BEGIN; LOCK TABLE coinbitclub.orders IN ACCESS EXCLUSIVE MODE";
    runtime.block_on(foreign.batch_execute(lock)).expect("it is locked");
    let sum = |server: &Server, name: &str| -> u64 {
        let status = get(&mut server.client(), "/api/enterprise/status", "");
        list(&status["history"], "shards").iter().map(|shard| shard[name].as_u64().expect("a number")).sum()
    };
    let durable = sum(&server, "durable_lsn");
    let promises = Mutex::new(Promises::default());
    let load = Load { people: &people, promises: &promises, address: server.address, round: 1, seed: 8 };
    let mut server = server;
    load.run(|| {
        wait_until("orders are acknowledged", || {
            let count = promises.lock().expect("nobody failed").count;
            (count < 150).then(|| count.to_string())
        });
        wait_until("the status shows what waits", || {
            let behind = sum(&server, "behind_records");
            (behind < 100).then(|| behind.to_string())
        });
        assert!(sum(&server, "durable_lsn") >= durable + 100);
        server.kill();
    });
    let server = place.start(2);
    settle(&mut server.client(), &people.traders);
    assert!(sum(&server, "behind_records") > 0, "it waits still");
    runtime.block_on(foreign.batch_execute("ROLLBACK")).expect("it ends");
    wait_until("the database has everything", || missing(&server));
    assert!(server.stop().success(), "{}", place.logged());
    let server = place.start(2);
    wait_until("the database has everything", || missing(&server));
    assert!(server.stop().success(), "{}", place.logged());
    compare(&place, cluster.primary());
}

/// How long a server may take to end, less than anything of the database is waited for.
const END_MAX: Duration = Duration::from_secs(20);

/// The database freezes with a batch on its way: the server ends all the same, and the next one has everything in it once.
#[test]
fn a_stop_does_not_wait_for_a_database_that_is_frozen() {
    let cluster = Cluster::start(0);
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    let server = place.start(2);
    let people = People::gather(&mut server.client());
    wait_until("the database has everything", || missing(&server));
    cluster.primary().pause();
    // A record for each shard: both write.
    for person in &people.traders {
        let settings = subscription(0, &people.flood, 7);
        post(&mut server.client(), "/api/subscriptions", &person.token, &settings, 200);
    }
    wait_until("it is behind", || missing(&server).is_none().then(|| "it is not".to_owned()));
    let began = Instant::now();
    assert!(server.stop().success(), "{}", place.logged());
    assert!(began.elapsed() < END_MAX, "it took {:?}", began.elapsed());
    cluster.primary().resume();
    let server = place.start(2);
    wait_until("the database has everything", || missing(&server));
    assert!(server.stop().success(), "{}", place.logged());
    compare(&place, cluster.primary());
}

/// A file system of its own that a test can fill.
struct SmallDisk<'a>(&'a std::path::Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a std::path::Path, mib: u32) -> Self {
        std::fs::create_dir(at).expect("a directory");
        let size = format!("size={mib}M,mode=0700");
        let mounted =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        assert!(mounted.expect("mount is there").success());
        Self(at)
    }

    /// Leaves room for so many percent less one.
    fn fill(&self, used_percent: u64) {
        let output =
            std::process::Command::new("df").args(["-B1", "--output=size,used"]).arg(self.0).output();
        let text = String::from_utf8(output.expect("df is there").stdout).expect("text");
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [size, used] = numbers[..] else { panic!("{text}") };
        let filler = (size * used_percent / 100).saturating_sub(used);
        std::fs::write(self.filler(), vec![1; usize::try_from(filler).expect("a few MiB")])
            .expect("there is room");
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn signal(server: &Server, source: &Source, id: &str, action: &str, symbol: &str) -> String {
    let body = signal_body(source, id, action, symbol);
    let answer = server.client().request("POST", "/webhook", &[], body.as_bytes()).expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    text(&document, "id").to_owned()
}

fn open_positions(server: &Server, trader: &Person) -> usize {
    list(&get(&mut server.client(), "/api/positions", &trader.token), "open").len()
}

fn metric(server: &Server, name: &str) -> String {
    let text = server.client().get("/metrics").expect("it answers").text();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
    line.rsplit(' ').next().expect("a value").to_owned()
}

/// The database is away and what waits for it fills the disk to 90 %: opens stop and say why, closes go through; with room again
/// opens go on. Needs a file system of its own, so it runs where one may be mounted.
#[test]
fn a_backlog_that_fills_the_disk_stops_opens_and_never_closes() {
    if !may_mount() {
        return;
    }
    let cluster = Cluster::start(0);
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("disk");
    let disk = SmallDisk::mount(&root, 96);
    let mut place = Place::new(&root, RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    let server = place.start(1);
    let client = &mut server.client();
    let owner = sign_up(client, "owner@example.com".to_owned());
    let source = create_source(client, &owner, "source");
    let trader = sign_up(client, "trader@example.com".to_owned());
    post(client, "/api/accounts", &trader.token, &json!({ "venue": "paper" }), 201);
    post(client, "/api/subscriptions", &trader.token, &subscription(1, &source, 5), 200);
    signal(&server, &source, "1", "buy", "BTCUSDT");
    settle(client, std::slice::from_ref(&trader));
    wait_until("the database has everything", || missing(&server));
    assert_eq!(open_positions(&server, &trader), 1);

    // A disk that others fill is no reason while the database has everything.
    disk.fill(92);
    cluster.primary().stop();
    signal(&server, &source, "2", "buy", "ETHUSDT");
    wait_until("opens are stopped", || {
        let stopped = metric(&server, "coinbitclub_history_opens_stopped");
        (stopped != "1").then_some(stopped)
    });
    let mut number = 3;
    wait_until("an open is refused for that reason", || {
        let id = signal(&server, &source, &number.to_string(), "buy", "SOLUSDT");
        number += 1;
        let mut why = String::new();
        wait_until("it is decided", || {
            let receipt = get(&mut server.client(), &format!("/api/signals/{id}"), &source.secret);
            let reason = list(&receipt, "rows").first().map(|row| row["reason"].to_string());
            why = reason.clone().unwrap_or_default();
            reason.is_none().then(|| receipt.to_string())
        });
        (why != "\"halted_global\"").then_some(why)
    });
    // One of these may have come before the shard heard of it.
    for (id, symbol) in [("close-1", "BTCUSDT"), ("close-2", "ETHUSDT"), ("close-3", "SOLUSDT")] {
        signal(&server, &source, id, "close_long", symbol);
    }
    wait_until("closes go through", || {
        let open = open_positions(&server, &trader);
        (open > 0).then(|| open.to_string())
    });
    assert_eq!(metric(&server, "coinbitclub_history_opens_stopped"), "1");

    std::fs::remove_file(disk.filler()).expect("it is there");
    wait_until("opens go on", || {
        let stopped = metric(&server, "coinbitclub_history_opens_stopped");
        (stopped != "0").then_some(stopped)
    });
    let mut number = 100;
    wait_until("an open is taken", || {
        signal(&server, &source, &number.to_string(), "buy", "XRPUSDT");
        number += 1;
        settle(&mut server.client(), std::slice::from_ref(&trader));
        (open_positions(&server, &trader) != 1).then(|| "none is open".to_owned())
    });
    assert!(server.stop().success(), "{}", place.logged());
}
