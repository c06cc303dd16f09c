//! Waiting until a server has finished what was under way: nothing in flight, every position open with its stop and its
//! target, or flat.

use net::http::client::Client;
use serde_json::{Value, json};

use super::calls::{get, list, text};
use super::people::Person;
use super::wait_until;

/// What a shard reports that is zero once it has finished.
const UNDER_WAY: [&str; 5] =
    ["fan_outs", "uncommitted", "orders_in_flight", "effects_waiting", "closes_waiting"];

/// The status document, with the books: their sums are zero whenever one looks.
pub fn status(client: &mut Client) -> Value {
    let status = get(client, "/api/enterprise/status", "");
    let sums = status["books"]["ledger_sum"].as_object().expect("the books are summed up");
    assert!(sums.values().all(|sum| *sum == json!("0")), "the books do not sum to zero: {sums:?}");
    status
}

/// What is under way, if anything is.
pub fn under_way(client: &mut Client) -> Option<String> {
    let status = status(client);
    list(&status, "shards").iter().find_map(|shard| {
        let busy = UNDER_WAY.iter().find(|name| shard[**name] != json!(0));
        busy.map(|name| format!("{name} of shard {}: {}", shard["shard"], shard[*name]))
    })
}

/// What is missing for every position of somebody to be open and protected.
pub fn unprotected(client: &mut Client, person: &Person) -> Option<String> {
    let positions = get(client, "/api/positions", &person.token);
    let orders = get(client, "/api/orders", &person.token);
    list(&positions, "open").iter().find_map(|position| {
        if position["state"] != "OPEN" {
            return Some(format!("position {position} of {}", person.email));
        }
        let live = |kind: &str| {
            let guards = |o: &&Value| {
                o["position"] == position["id"]
                    && o["account"] == position["account"]
                    && o["kind"] == kind
                    && o["state"] == "SUBMITTED"
            };
            list(&orders, "live").iter().filter(guards).count()
        };
        let (stops, targets) = (live("stop_market"), live("take_profit_market"));
        assert!(stops <= 1 && targets <= 1, "{stops} stops, {targets} targets of {position}: {orders}");
        (stops == 0 || targets == 0)
            .then(|| format!("{stops} stops, {targets} targets for {} of {}", position["id"], person.email))
    })
}

/// Waits until nothing is under way and everything open is protected.
pub fn settle(client: &mut Client, people: &[Person]) {
    wait_until("nothing is under way", || under_way(client));
    for person in people {
        wait_until("positions are open with stop and target, or flat", || unprotected(client, person));
    }
}

/// What a receipt lacks to be complete: it is finished and has a line of each of so many subscribers.
pub fn unfinished(client: &mut Client, signal: &str, secret: &str, subscribers: usize) -> Option<String> {
    let receipt = get(client, &format!("/api/signals/{signal}"), secret);
    let rows = list(&receipt, "rows");
    let mut users: Vec<&str> = rows.iter().map(|row| text(row, "user")).collect();
    users.sort_unstable();
    users.dedup();
    assert_eq!(users.len(), rows.len(), "a subscriber has two lines: {receipt}");
    assert!(rows.len() <= subscribers, "there are more lines than subscribers: {receipt}");
    let waits = receipt["state"] != "finished"
        || rows.len() < subscribers
        || rows.iter().any(|row| row["outcome"] == "sent" && row["filled_at"].is_null());
    waits.then(|| receipt.to_string())
}
