//! The real server with a real database: load, kills of either, another number of shards; in the end the database's sums are the
//! ledger's, account by account, and its orders and positions those of the engine.

#[path = "../../storage/tests/cluster/mod.rs"]
mod cluster;
mod crash;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use api::server::recovery::recover_shard;
use cluster::{Cluster, Node};
use crash::calls::get;
use crash::load::Load;
use crash::people::{People, RULES};
use crash::promises::Promises;
use crash::server::{Place, Server};
use crash::settled::settle;
use crash::{Repeat, seed, wait_until};
use engine::core::user::User;
use engine::shard::runtime::{ExecutorOptions, GlommioDisk, run_pinned};
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
        (!failing.as_str().is_some_and(|why| why.contains("PostgreSQL")))
            .then(|| status["history"].to_string())
    });
    assert!(server.stop().success());
    cluster.primary().restart();
    let server = place.start(2);
    settle(&mut server.client(), &people.traders);
    wait_until("the database has everything", || missing(&server));
    assert!(server.stop().success());
    compare(&place, cluster.primary());
}
