//! What is asked for and what is told: settings name their field, entries balance, figures move, methods are known.

mod http;

use std::collections::BTreeSet;

use engine::core::fixed::Money;
use engine::core::rules::Rules;
use http::{House, code, publisher, receipt, send, value};
use serde_json::json;

#[test]
fn invalid_settings_name_their_field() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    let (ana, source, _) = publisher(client, "ana@example.com");
    for (fields, part) in [
        (r#""leverage":11"#, "leverage"),
        (r#""stop_multiplier":"5""#, "stop_multiplier"),
        (r#""take_profit_multiplier":2"#, "take_profit_multiplier"),
        (r#""sizing":{"mode":"percent_of_balance","value":"60"}"#, "percent"),
        (r#""sizing":{"mode":"all_in","value":"1"}"#, "sizing.mode"),
        (r#""trade_max":"0""#, "trade_max"),
        (r#""trade_max":"1,5""#, "decimal comma"),
        (r#""symbols":["NOSUCHUSDT"]"#, "symbol"),
        (r#""account":3"#, "account"),
    ] {
        let body = format!(r#"{{"source":"{source}",{fields}}}"#);
        let response = send(client, "POST", "/api/subscriptions", &ana.token, &body);
        assert!(matches!(response.status, 400 | 404), "{fields}: {}", value(&response));
        let message = value(&response)["error"]["message"].to_string();
        assert!(message.contains(part), "{fields}: {message}");
    }
    let refused = send(client, "POST", "/api/accounts", &ana.token, r#"{"venue":"binance"}"#);
    assert_eq!(code(&refused), (400, "venue_unavailable".into()));
}

#[test]
fn a_trade_shows_in_every_page_and_every_entry_balances() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    let (ana, _, secret) = publisher(client, "ana@example.com");
    let before = value(&send(client, "GET", "/api/enterprise/metrics", "", ""));
    let body = format!(r#"{{"secret":"{secret}","ticker":"BTCUSDT","action":"buy"}}"#);
    let id = value(&send(client, "POST", "/webhook", "", &body))["id"].as_str().expect("an id").to_owned();
    let told = receipt(client, &id, &secret);
    assert_eq!(told["counts"], json!([{ "outcome": "filled", "users": 1 }]));
    let open = value(&send(client, "GET", "/api/positions", &ana.token, ""));
    assert_eq!((&open["open"][0]["side"], &open["open"][0]["state"]), (&json!("long"), &json!("OPEN")));
    let closed = send(client, "POST", "/api/positions/close", &ana.token, r#"{"symbol":"BTCUSDT"}"#);
    assert_eq!(closed.status, 202, "{}", value(&closed));
    let began = std::time::Instant::now();
    let positions = loop {
        let positions = value(&send(client, "GET", "/api/positions", &ana.token, ""));
        if positions["open"] == json!([]) {
            break positions;
        }
        assert!(began.elapsed().as_secs() < 30, "{positions}");
    };
    assert_eq!(positions["recent"][0]["close_reason"], "MANUAL");
    let again = send(client, "POST", "/api/positions/close", &ana.token, r#"{"symbol":"BTCUSDT"}"#);
    assert_eq!(code(&again), (404, "unknown_position".into()));
    let ledger = value(&send(client, "GET", "/api/ledger", &ana.token, ""));
    let entries = ledger["entries"].as_array().expect("entries");
    assert!(entries.len() >= 4, "{ledger}");
    let keys: BTreeSet<&str> = entries.iter().map(|entry| entry["key"].as_str().expect("a key")).collect();
    assert_eq!(keys.len(), entries.len(), "each key is there once: {ledger}");
    for entry in entries {
        let postings = entry["postings"].as_array().expect("postings");
        let amounts = postings
            .iter()
            .map(|p| p["amount"].as_str().expect("an amount").parse::<Money>().expect("exact"));
        assert_eq!(amounts.map(Money::units).sum::<i64>(), 0, "{entry}");
    }
    let after = value(&send(client, "GET", "/api/enterprise/metrics", "", ""));
    for name in ["signals", "intents", "fills", "positions_closed", "orders_sent"] {
        let count = |metrics: &serde_json::Value| metrics["counters"][name].as_u64().expect("a count");
        assert!(count(&after) > count(&before), "{name} moves: {} {}", before["counters"], after["counters"]);
    }
    let status = value(&send(client, "GET", "/api/enterprise/status", "", ""));
    assert!(
        status["books"]["ledger_sum"].as_object().expect("sums").values().all(|sum| sum == "0"),
        "{status}"
    );
}

#[test]
fn health_readiness_and_prometheus() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    assert_eq!(send(client, "GET", "/health", "", "").status, 200);
    assert_eq!(send(client, "GET", "/ready", "", "").status, 200);
    let head = send(client, "HEAD", "/health", "", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let metrics = send(client, "GET", "/metrics", "", "");
    let text = String::from_utf8(metrics.body).expect("text");
    let (mut typed, mut series) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and kind");
            assert!(
                ["counter", "gauge", "summary"].contains(&kind) && typed.insert(name.to_owned()),
                "{line}"
            );
            continue;
        }
        let (name, number) = line.rsplit_once(' ').expect("series and value");
        assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        assert!(series.insert(name.to_owned()), "twice: {line}");
        let family = name.split('{').next().expect("a name");
        let family = family.strip_suffix("_sum").or_else(|| family.strip_suffix("_count")).unwrap_or(family);
        assert!(typed.contains(family), "a type comes before: {line}");
    }
    assert!(series.contains("coinbitclub_ready"), "{text}");
}

#[test]
fn paths_and_methods_are_known() {
    let house = House::open(1, Rules::default());
    let client = &mut house.client();
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/api/nowhere", 404),
        ("GET", "/webhook", 405),
        ("GET", "/api/auth/login", 405),
        ("DELETE", "/health", 405),
        ("POST", "/metrics", 405),
        ("GET", "/api/signals/not-an-id", 404),
    ] {
        let response = send(client, method, path, "", "");
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.header("allow").is_some(), status == 405, "{method} {path}");
    }
}
