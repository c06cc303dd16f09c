//! Every refusal of a signal has its status and code, tells no secret, and nothing comes of it.

mod http;

use engine::core::rules::Rules;
use http::{House, code, publisher, receipt, send, value};
use serde_json::json;

#[test]
fn every_refusal_has_its_status_and_code() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    let (person, _, secret) = publisher(client, "ana@example.com");
    let with = |fields: &str| format!(r#"{{"secret":"{secret}",{fields}}}"#);
    let last = if secret.ends_with('A') { "B" } else { "A" };
    let wrong = format!("{}{last}", &secret[..secret.len() - 1]);
    let now = jiff::Timestamp::now();
    let at = |seconds: i64| (now + jiff::SignedDuration::from_secs(seconds)).to_string();
    let table = [
        (with(r#""ticker":"{{ticker}}","action":"buy""#), 400, "unexpanded_placeholder"),
        (with(r#""action":"buy""#), 400, "missing_symbol"),
        (with(r#""ticker":"BTCUSDT""#), 400, "missing_action"),
        (with(r#""ticker":"BTCUSDT","action":"buy now""#), 400, "unknown_action"),
        (with(r#""ticker":"BTCUSDT","action":"don't sell""#), 400, "unknown_action"),
        (with(r#""ticker":"BTCUSDT","action":"buy","price":"62500,5""#), 400, "decimal_comma"),
        (with(r#""ticker":"BTCUSDT","action":"buy","price":"NaN""#), 400, "not_finite"),
        (with(r#""ticker":"BTCUSDT","action":"buy"}{"a":1"#), 400, "multiple_documents"),
        (
            with(&format!(r#""ticker":"BTCUSDT","action":"buy","note":"{}""#, "x".repeat(65_536))),
            400,
            "body_too_large",
        ),
        (String::new(), 400, "empty_body"),
        ("[]".to_owned(), 400, "not_an_object"),
        (r#"{"ticker":"BTCUSDT" "action":"buy"}"#.to_owned(), 400, "malformed_json"),
        (with(r#""ticker":"NOSUCHUSDT","action":"buy""#), 400, "unknown_symbol"),
        (
            with(&format!(r#""ticker":"BTCUSDT","action":"buy","timenow":"{}""#, at(60))),
            400,
            "signal_from_future",
        ),
        (
            with(&format!(r#""ticker":"BTCUSDT","action":"buy","timenow":"{}""#, at(-60))),
            422,
            "signal_expired",
        ),
        (r#"{"ticker":"BTCUSDT","action":"buy"}"#.to_owned(), 401, "unauthorized"),
        (r#"{"ticker":"BTCUSDT","action":"buy","secret":"guess"}"#.to_owned(), 401, "unauthorized"),
        (with(r#""ticker":"BTCUSDT","action":"buy""#).replace(&secret, &wrong), 401, "unauthorized"),
    ];
    for (body, status, word) in &table {
        let response = send(client, "POST", "/api/webhooks/signal", "", body);
        assert_eq!(code(&response), (*status, (*word).to_owned()), "{}", &body[..body.len().min(200)]);
        let told = String::from_utf8_lossy(&response.body).into_owned();
        assert!(!told.contains(&secret) && !told.contains("guess"), "a secret is echoed: {told}");
    }
    // The expired one is on record, without an order; a close of the same age is taken.
    let sources = value(&send(client, "GET", "/api/sources", &person.token, ""));
    let recent = sources["sources"][0]["recent"].as_array().expect("signals");
    assert_eq!(recent.len(), 1, "only the expired signal left a record: {sources}");
    let expired = receipt(client, recent[0]["id"].as_str().expect("an id"), &secret);
    assert_eq!((&expired["decided"], &expired["state"]), (&json!(0), &json!("finished")));
    let close = with(&format!(r#""ticker":"BTCUSDT","action":"close","timenow":"{}""#, at(-60)));
    assert_eq!(send(client, "POST", "/api/webhooks/signal", "", &close).status, 200);
    let orders = value(&send(client, "GET", "/api/orders", &person.token, ""));
    assert_eq!((&orders["live"], &orders["recent"]), (&json!([]), &json!([])), "nothing came of any of them");
}

#[test]
fn every_way_in_is_taken() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    let (_, _, secret) = publisher(client, "ana@example.com");
    let alert =
        r#"{"ticker":"BINANCE:BTCUSDT.P","action":"CLOSE","price":"62500","more":{"kept":[1]},"signal_id":"#;
    let plain = |id: &str| format!("{alert}\"{id}\"}}");
    let inside = |id: &str| format!("{alert}\"{id}\",\"secret\":\"{secret}\"}}");
    let form: String = inside("form").bytes().map(|b| format!("%{b:02X}")).collect();
    let posts = [
        ("/api/webhooks/signal".to_owned(), "", "application/json", inside("a")),
        ("/webhook".to_owned(), "", "text/plain; charset=utf-8", format!("{}\r\n", inside("b"))),
        (format!("/webhook/{secret}"), "", "application/json", plain("c")),
        (format!("/api/webhooks/signal/{secret}"), "", "text/plain", plain("d")),
        ("/api/signals".to_owned(), secret.as_str(), "application/json", plain("e")),
        ("/api/webhooks/signal".to_owned(), "", "application/x-www-form-urlencoded", format!("text={form}")),
    ];
    for (path, bearer, kind, body) in posts {
        let authorization = format!("Bearer {bearer}");
        let mut headers = vec![("Content-Type", kind)];
        if !bearer.is_empty() {
            headers.push(("Authorization", authorization.as_str()));
        }
        let response = client.request("POST", &path, &headers, body.as_bytes()).expect("an answer");
        assert_eq!(response.status, 200, "{path} {kind}: {}", value(&response));
        let id = value(&response)["id"].as_str().expect("an id").to_owned();
        let kept = receipt(client, &id, &secret)["body"].as_str().expect("the body").to_owned();
        assert!(
            kept.contains("kept") && !kept.contains(&secret),
            "unknown fields are kept, the secret is not: {kept}"
        );
    }
}
