//! What the state tells without a database is what the database would.

use engine::core::ids::UserId;
use serde_json::{Value, json};
use storage::history::Table;

use super::{answered_by, place, projected, rows};
use crate::cluster::Cluster;
use crate::crash::calls::{get, list, post};
use crate::crash::people::{Person, create_source, sign_up, signal_body, subscription};
use crate::crash::server::Server;
use crate::crash::settled::settle;
use crate::crash::wait_until;

/// Somebody who has opened and closed a few positions, and nothing since.
fn quiet_trader(server: &Server) -> Person {
    let client = &mut server.client();
    let owner = sign_up(client, "owner@example.com".to_owned());
    let source = create_source(client, &owner, "quiet");
    let who = json!({ "email": "quiet@example.com", "password": crate::crash::people::PASSWORD, "zone": "America/New_York" });
    post(client, "/api/auth/signup", "", &who, 201);
    let session = post(client, "/api/auth/login", "", &who, 200);
    let trader = Person {
        email: "quiet@example.com".to_owned(),
        token: session["token"].as_str().expect("one").to_owned(),
    };
    post(client, "/api/accounts", &trader.token, &json!({ "venue": "paper" }), 201);
    post(client, "/api/subscriptions", &trader.token, &subscription(1, &source, 5), 200);
    for (round, (open, close)) in
        [("buy", "close_long"), ("sell", "close_short"), ("buy", "close_long")].iter().enumerate()
    {
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            for (step, action) in [open, close].iter().enumerate() {
                let body = signal_body(&source, &format!("{round}-{symbol}-{step}"), action, symbol);
                let (status, said) = {
                    let answer =
                        client.request("POST", "/webhook", &[], body.as_bytes()).expect("it answers");
                    (answer.status, answer.text())
                };
                assert_eq!(status, 200, "{said}");
                settle(client, std::slice::from_ref(&trader));
                wait_until("it is open, or flat", || {
                    let positions = get(client, "/api/positions", &trader.token);
                    (list(&positions, "open").len() != usize::from(step == 0)).then(|| positions.to_string())
                });
            }
        }
    }
    trader
}

/// The newest position of somebody becomes that of an entry which had been given up before it was filled: the projector's rows of
/// a late entry are one more position under the same id, without a fill and decided earlier.
fn given_up_first(cluster: &Cluster, trader: &Person) {
    let user = UserId::from_email(&trader.email).0.cast_signed();
    let (columns, mut values) = (Table::Positions.columns().join(", "), Vec::new());
    for column in Table::Positions.columns() {
        values.push(match *column {
            "decided_at" => "decided_at - interval '1 millisecond'",
            "state" => "'VOIDED'",
            "quantity" | "entry_cost" | "entry_quantity" | "realised" | "fees" | "funding" | "stop"
            | "take_profit" | "liquidation" => "0",
            "opened_at" | "closed_at" | "close_reason" => "NULL",
            same => same,
        });
    }
    cluster.primary().psql(&format!(
        "INSERT INTO coinbitclub.positions ({columns}) SELECT {} FROM coinbitclub.positions \
         WHERE user_id = {user} ORDER BY decided_at DESC LIMIT 1",
        values.join(", ")
    ));
}

const KINDS: [&str; 10] = [
    "orders",
    "fills",
    "positions",
    "ledger",
    "receipts",
    "fees",
    "performance?by=day",
    "performance?by=symbol",
    "performance?by=strategy",
    "performance?by=position",
];

/// Issue 5: every kind is answered from the state, and each field is what the projector wrote, or null where the state does not
/// know it.
#[test]
fn every_kind_is_answered_from_the_state_with_what_the_database_says() {
    let cluster = Cluster::start(0);
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path(), &cluster, 0);
    let server = place.start(2);
    let trader = quiet_trader(&server);
    projected(&server);
    answered_by(&server, &trader, "primary");
    given_up_first(&cluster, &trader);
    let of = |kind: &str| {
        let limit = if kind.contains('?') { "&limit=10000" } else { "?limit=10000" };
        rows(&server, &trader, &format!("{kind}{limit}"))
    };
    let mut from_database: Vec<_> = KINDS.iter().map(|kind| of(kind)).collect();
    // What was given up is in the database only.
    let (_, positions) = &mut from_database[2];
    let all = positions.len();
    positions.retain(|row| row["state"] != "VOIDED");
    assert_eq!(positions.len() + 1, all);
    // A receipt of one signal only.
    let (_, receipts) = &from_database[4];
    let signal = receipts[0]["signal_id"].as_str().expect("an id");
    let only = format!("receipts?signal={signal}");
    assert_eq!(rows(&server, &trader, &only), ("primary".to_owned(), vec![receipts[0].clone()]));
    cluster.primary().kill();
    wait_until("the state answers", || {
        let (source, _) = of("orders");
        (source != "memory").then_some(source)
    });
    assert_eq!(rows(&server, &trader, &only), ("memory".to_owned(), vec![receipts[0].clone()]));
    for (kind, (source, database)) in KINDS.iter().zip(&from_database) {
        assert_eq!(source, "primary", "{kind}");
        let (source, memory) = of(kind);
        assert_eq!(source, "memory", "{kind}");
        assert!(!memory.is_empty(), "{kind}: there was trade");
        assert_eq!(memory.len(), database.len(), "{kind}: {memory:?}\nin the database {database:?}");
        let mut known = 0;
        for (state, row) in memory.iter().zip(database) {
            for (name, value) in state.as_object().expect("a row") {
                if !value.is_null() {
                    assert_eq!(*value, row[name], "{kind}, {name}: {state}\nin the database {row}");
                    known += 1;
                }
            }
            let unknown: Vec<&str> = state
                .as_object()
                .expect("a row")
                .iter()
                .filter(|(name, value)| value.is_null() && row[*name] != Value::Null)
                .map(|(name, _)| name.as_str())
                .collect();
            let may: &[&str] = match *kind {
                "fills" => &["liquidity", "price", "quantity", "venue_at"],
                "fees" => &["carried_loss"],
                _ => &[],
            };
            assert!(unknown.iter().all(|name| may.contains(name)), "{kind}: {unknown:?} of {state}");
        }
        assert!(known > 0, "{kind}");
    }
    server.stop();
}
