//! History over HTTP: from replicas, from the primary when they are away, from memory when nobody is there; every kind and form,
//! page by page, and never less than the position that is asked for.

#[path = "../../storage/tests/cluster/mod.rs"]
mod cluster;
mod crash;
mod history_checks;

use std::collections::BTreeSet;
use std::sync::Mutex;

use cluster::Cluster;
use crash::calls::{call, get, list, text};
use crash::load::Load;
use crash::people::{People, Person, RULES, subscription};
use crash::promises::Promises;
use crash::server::{Place, Server};
use crash::settled::settle;
use crash::wait_until;
use engine::core::ids::{SourceId, UserId};
use serde_json::Value;

const KINDS: [&str; 10] = [
    "orders",
    "fills",
    "positions",
    "ledger",
    "receipts",
    "fees",
    "performance",
    "performance?by=symbol",
    "performance?by=strategy",
    "performance?by=position",
];

fn history(server: &Server, person: &Person, what: &str) -> Value {
    get(&mut server.client(), &format!("/api/history/{what}"), &person.token)
}

fn source(server: &Server, person: &Person, what: &str) -> String {
    text(&history(server, person, what), "source").to_owned()
}

/// Trades for a while, and has everything in the database.
fn trade(place: &Place) -> (Server, People) {
    let server = place.start(2);
    let people = People::gather(&mut server.client());
    let promises = Mutex::new(Promises::default());
    let load = Load { people: &people, promises: &promises, address: server.address, round: 0, seed: 7 };
    load.run(|| {
        wait_until("some trade", || {
            let count = promises.lock().expect("nobody failed").count;
            (count < 150).then(|| count.to_string())
        });
        server.stop();
    });
    let server = place.start(2);
    settle(&mut server.client(), &people.traders);
    (server, people)
}

fn projected(server: &Server) {
    wait_until("the database has everything", || {
        let status = get(&mut server.client(), "/api/enterprise/status", "");
        list(&status["history"], "shards")
            .iter()
            .find(|shard| shard["behind_records"] != 0)
            .map(Value::to_string)
    });
}

/// The first source, as the database keys it.
fn source_key(people: &People) -> String {
    let source = SourceId::parse(&people.sources[0].id).expect("an id");
    format!("{}/{}", source.owner.0, source.index)
}

/// All rows of a kind, a few at a time.
fn all(server: &Server, person: &Person, what: &str, id: &str) -> Vec<String> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = history(server, person, &format!("{what}?limit=3{cursor}"));
        rows.extend(list(&page, "rows").iter().map(|row| row[id].to_string()));
        assert!(list(&page, "rows").len() <= 3);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[test]
fn from_replicas_then_the_primary_then_memory() {
    let cluster = Cluster::start(2);
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    for replica in [1, 2] {
        let url = cluster.replica(replica).url_without_password();
        place.arguments.extend(["--postgres-replica".to_owned(), url]);
    }
    let (server, people) = trade(&place);
    projected(&server);
    let trader = &people.traders[0];
    for replica in [1, 2] {
        cluster.catch_up(cluster.replica(replica), cluster.primary());
    }
    wait_until("the replicas are known to be well", || {
        let source = source(&server, trader, "orders");
        (!source.starts_with("replica-")).then_some(source)
    });

    // Every kind, whole, each row once.
    let user = UserId::from_email(&trader.email).0;
    for (kind, id) in [("orders", "order_id"), ("receipts", "signal_id"), ("positions", "position_id")] {
        let rows = all(&server, trader, kind, id);
        let count = format!("SELECT count(*) FROM coinbitclub.{kind} WHERE user_id = {user}");
        assert_eq!(rows.len().to_string(), cluster.primary().psql(&count), "{kind}");
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len(), "{kind}: no row twice");
        assert!(!rows.is_empty(), "{kind}: there was trade");
    }
    for kind in KINDS {
        let page = history(&server, trader, kind);
        assert!(text(&page, "source").starts_with("replica-"), "{kind}: {page}");
        let csv =
            if kind.contains('?') { format!("{kind}&format=csv") } else { format!("{kind}?format=csv") };
        let path = format!("/api/history/{csv}");
        let authorization = format!("Bearer {}", trader.token);
        let answer = server.client().request("GET", &path, &[("Authorization", &authorization)], &[]);
        let answer = answer.expect("it answers");
        assert_eq!(answer.status, 200, "{csv}");
        assert_eq!(answer.text().lines().count(), list(&page, "rows").len() + 1, "{csv}");
    }
    // A trader sees no one else's.
    let other = all(&server, &people.traders[1], "orders", "order_id");
    assert!(all(&server, trader, "orders", "order_id").iter().all(|id| !other.contains(id)));

    // Written just now, and read from whoever has it already.
    let authorization = format!("Bearer {}", trader.token);
    for leverage in [3, 4] {
        let body = subscription(0, &people.sources[0], leverage).to_string();
        let headers = [("Authorization", authorization.as_str())];
        let answer = server.client().request("POST", "/api/subscriptions", &headers, body.as_bytes());
        let answer = answer.expect("it answers");
        let position = answer.header("x-position").expect("an answer to a write says where it is").to_owned();
        // Until somebody has it, memory answers; that takes as long as the machine is busy.
        wait_until("a server has what was written", || {
            let source = source(&server, trader, &format!("orders?position={position}"));
            (source == "memory").then_some(source)
        });
        let shown = "SELECT settings->>'leverage' FROM coinbitclub.subscriptions";
        let at = format!(
            "{shown} WHERE user_id = {user} AND owner_id || '/' || source = '{}'",
            source_key(&people)
        );
        assert_eq!(cluster.primary().psql(&at), leverage.to_string());
    }
    let (status, error) =
        call(&mut server.client(), "GET", "/api/history/orders?limit=0", &trader.token, &Value::Null);
    assert_eq!((status, error["error"]["code"].as_str()), (400, Some("invalid")));
    let (status, _) = call(&mut server.client(), "GET", "/api/history/orders", "nonsense", &Value::Null);
    assert_eq!(status, 401);

    // One replica away, then both, then the primary.
    cluster.replica(1).kill();
    wait_until("the other replica answers", || {
        let source = source(&server, trader, "fills");
        (source != "replica-2").then_some(source)
    });
    cluster.replica(2).kill();
    wait_until("the primary answers", || {
        let (_, page) = call(&mut server.client(), "GET", "/api/history/fills", &trader.token, &Value::Null);
        (page["source"] != "primary").then(|| page.to_string())
    });
    goes_on_from_memory(&server, trader, &cluster);
    server.stop();
}

/// All pages of a kind, from a cursor on, and how the last one ended.
fn pages(server: &Server, person: &Person, kind: &str, mut cursor: String) -> (Vec<Value>, (u16, Value)) {
    let mut rows = Vec::new();
    loop {
        let path = format!("/api/history/{kind}?limit=7{cursor}");
        let (status, page) = call(&mut server.client(), "GET", &path, &person.token, &Value::Null);
        if status != 200 {
            return (rows, (status, page));
        }
        rows.extend(list(&page, "rows").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (rows, (status, page)),
        }
    }
}

/// What tells a row of a kind apart.
fn key(kind: &str, row: &Value) -> String {
    let names: &[&str] = match kind {
        "orders" => &["order_id"],
        "fills" => &["order_id", "number"],
        "positions" | "fees" => &["position_id", "account"],
        "ledger" => &["number", "line"],
        _ => &["signal_id"],
    };
    names.iter().map(|name| row[*name].to_string()).collect()
}

/// The database goes away between two pages: memory goes on with the very rows that follow, each with what the database said of it
/// or null; and where it holds no more, it says so and never that this was all.
fn goes_on_from_memory(server: &Server, trader: &Person, cluster: &Cluster) {
    let kinds = ["orders", "fills", "positions", "ledger", "receipts", "fees"];
    let mut whole = std::collections::BTreeMap::new();
    for kind in kinds {
        let (rows, (status, end)) = pages(server, trader, kind, String::new());
        assert_eq!(status, 200, "{kind}: {end}");
        // What was never filled is let go of by the state at once.
        let kept = rows.into_iter().filter(|row| row["state"] != "VOIDED").collect::<Vec<_>>();
        let first = history(server, trader, &format!("{kind}?limit=2"));
        whole.insert(kind, (kept, first));
    }
    cluster.primary().kill();
    wait_until("memory answers", || {
        let source = source(server, trader, "orders");
        (source != "memory").then_some(source)
    });
    for (kind, (rows, first)) in whole {
        // Few positions are closed in a short time, so that there may be no second page of what they cost.
        let Some(next) = first["next"].as_str() else {
            assert!(kind == "fees", "{kind}: there was trade: {first}");
            continue;
        };
        let last = list(&first, "rows").last().expect("two rows");
        let place = rows.iter().position(|row| key(kind, row) == key(kind, last)).expect("it is among all");
        let expected = &rows[place + 1..];
        let (got, (status, end)) = pages(server, trader, kind, format!("&cursor={next}"));
        let keys = |rows: &[Value]| rows.iter().map(|row| key(kind, row)).collect::<Vec<_>>();
        assert!(got.len() <= expected.len(), "{kind}: {got:?}");
        assert_eq!(keys(&got), keys(&expected[..got.len()]), "{kind}: they go on");
        for (memory, database) in got.iter().zip(expected) {
            let over = ["done_at", "closed_at"].iter().all(|name| database.get(*name) != Some(&Value::Null));
            for (name, value) in memory.as_object().expect("a row") {
                assert!(
                    !over || value.is_null() || *value == database[name],
                    "{kind}, {name}: {memory} and in the database {database}"
                );
            }
        }
        if got.len() < expected.len() {
            assert_eq!(
                (status, end["error"]["code"].as_str()),
                (503, Some("history_unavailable")),
                "{kind}: {end}"
            );
        } else if status == 200 {
            assert_eq!(end["truncated"], false, "{kind}: {end}");
        }
    }
}

#[test]
fn without_postgres_what_the_state_keeps() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    let (server, people) = trade(&place);
    for kind in ["orders", "positions", "ledger", "receipts"] {
        let page = history(&server, &people.traders[0], kind);
        assert_eq!(page["source"], "memory", "{kind}");
        assert!(!list(&page, "rows").is_empty(), "{kind}");
        assert!(page["complete_from"].is_u64() && page["truncated"].is_boolean(), "{kind}: {page}");
        let (rows, (status, end)) = pages(&server, &people.traders[0], kind, String::new());
        assert_eq!((status, &end["next"]), (200, &Value::Null), "{kind}");
        let keys: BTreeSet<String> = rows.iter().map(|row| key(kind, row)).collect();
        assert_eq!(keys.len(), rows.len(), "{kind}: each row once");
    }
    server.stop();
}
