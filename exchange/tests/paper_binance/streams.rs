//! Streams and the WebSocket API of Binance's face.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{Paper, answer, code, credential};
use engine::core::ids::Timestamp;
use exchange::live::credential::{Credential, KeyKind};
use exchange::paper_exchange::ConnNo;
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::transport::SocketOut;
use serde_json::{Value, json};

fn listen_key(paper: &mut Paper) -> String {
    paper.ok("POST", "/fapi/v1/listenKey", &[])["listenKey"].as_str().unwrap().to_owned()
}

/// Kind, execution type and state of each event.
fn kinds(events: &[Value]) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .map(|event| {
            format!("{} {} {}", word(&event["e"]), word(&event["o"]["x"]), word(&event["o"]["X"]))
                .trim()
                .replace("  ", " ")
        })
        .collect()
}

const STOP: [(&str, &str); 7] = [
    ("algoType", "CONDITIONAL"),
    ("symbol", "BTCUSDT"),
    ("side", "SELL"),
    ("type", "STOP_MARKET"),
    ("triggerPrice", "59000"),
    ("closePosition", "true"),
    ("clientAlgoId", "stop"),
];

#[test]
fn an_account_is_told_what_happens_to_it_and_nobody_else_is() {
    let mut paper = Paper::new();
    let key = listen_key(&mut paper);
    paper.credential = credential("bob");
    let other = listen_key(&mut paper);
    paper.credential = credential("ana");
    assert_ne!(key, other);
    paper.open(1, &format!("/private/ws?listenKey={key}"));
    paper.open(2, &format!("/ws/{other}"));
    paper.open(3, &format!("/private/stream?listenKey={other}&listenKey={key}&events=ORDER_TRADE_UPDATE"));
    paper.market("BUY", "0.1");
    paper.ok("POST", "/fapi/v1/algoOrder", &STOP);
    paper.price("BTCUSDT", "58900");
    let told = paper.texts(1);
    assert_eq!(
        kinds(&told),
        [
            "ORDER_TRADE_UPDATE NEW NEW",
            "ORDER_TRADE_UPDATE TRADE FILLED",
            "ACCOUNT_UPDATE",
            "ALGO_UPDATE NEW",
            "ALGO_UPDATE TRIGGERING",
            "ALGO_UPDATE TRIGGERED",
            "ORDER_TRADE_UPDATE NEW NEW",
            "ORDER_TRADE_UPDATE TRADE FILLED",
            "ALGO_UPDATE FINISHED",
            "ACCOUNT_UPDATE",
        ]
    );
    let fill = &told[7]["o"];
    assert_eq!(
        (fill["L"].as_str(), fill["rp"].as_str(), fill["n"].as_str()),
        (Some("59000"), Some("-100"), Some("2.95"))
    );
    assert_eq!((fill["c"].as_str(), fill["ot"].as_str()), (Some("stop"), Some("STOP_MARKET")));
    assert_eq!(fill["i"].to_string(), told[5]["o"]["ai"].as_str().unwrap());
    let balance = &told[9]["a"]["B"][0];
    assert_eq!((balance["wb"].as_str(), balance["bc"].as_str()), (Some("9894.05"), Some("0")));
    assert_eq!(told[9]["a"]["P"][0]["pa"].as_str(), Some("0"));
    assert!(paper.texts(2).is_empty());
    let wrapped = paper.texts(3);
    assert_eq!(wrapped.len(), 4, "the filter applies");
    assert!(wrapped.iter().all(|event| event["stream"] == key && event["data"]["e"] == "ORDER_TRADE_UPDATE"));
}

#[test]
fn case_f6_liquidation_and_funding_are_told_by_their_marks() {
    let mut paper = Paper::new();
    let key = listen_key(&mut paper);
    paper.open(1, &format!("/private/ws/{key}"));
    paper.ok("POST", "/fapi/v1/leverage", &[("symbol", "BTCUSDT"), ("leverage", "100")]);
    paper.market("BUY", "0.1");
    assert_eq!(kinds(&paper.texts(1))[0], "ACCOUNT_CONFIG_UPDATE");
    // 2023-11-14 22:13:20 is START; the next boundary is at midnight.
    for _ in 0..2 {
        paper.wait_ms(54 * 60_000);
        paper.ok("PUT", "/fapi/v1/listenKey", &[]);
    }
    paper.price("BTCUSDT", "60000");
    let told = paper.texts(1);
    let funding = &told[0]["a"];
    assert_eq!((funding["m"].as_str(), funding["B"][0]["bc"].as_str()), (Some("FUNDING_FEE"), Some("-0.6")));
    let income = paper.ok("GET", "/fapi/v1/income", &[("incomeType", "FUNDING_FEE")]);
    assert_eq!(
        (income[0]["income"].as_str(), income[0]["time"].as_u64()),
        (Some("-0.6"), Some(1_700_006_400_000))
    );
    paper.price("BTCUSDT", "59000");
    let told = paper.texts(1);
    assert_eq!(
        kinds(&told),
        ["ORDER_TRADE_UPDATE NEW NEW", "ORDER_TRADE_UPDATE CALCULATED FILLED", "ACCOUNT_UPDATE"]
    );
    assert!(told[1]["o"]["c"].as_str().unwrap().starts_with("autoclose-"));
}

#[test]
fn case_s2_s5_a_listen_key_lives_an_hour_from_its_last_keeping() {
    let mut paper = Paper::new();
    let key = listen_key(&mut paper);
    assert_eq!(listen_key(&mut paper), key, "one key per account");
    paper.open(1, &format!("/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE"));
    paper.wait_ms(3_599_000);
    paper.ok("PUT", "/fapi/v1/listenKey", &[]);
    paper.wait_ms(3_599_999);
    assert!(paper.texts(1).is_empty());
    assert!(paper.exchange.next_due(paper.now).unwrap() <= paper.now.plus_micros(1_000));
    paper.wait_ms(1);
    let told = paper.texts(1);
    assert_eq!(
        (told[0]["e"].as_str(), told[0]["listenKey"].as_str()),
        (Some("listenKeyExpired"), Some(key.as_str()))
    );
    assert_eq!(paper.code("PUT", "/fapi/v1/listenKey", &[]), -1125);
    let next = listen_key(&mut paper);
    assert_ne!(next, key);
    // Case S1: who deletes the key ends the stream of every program.
    paper.open(2, &format!("/private/ws?listenKey={next}"));
    paper.ok("DELETE", "/fapi/v1/listenKey", &[]);
    paper.market("BUY", "0.1");
    assert!(paper.texts(2).is_empty());
}

#[test]
fn public_streams_are_subscribed_by_message_within_their_limits() {
    let mut paper = Paper::new();
    paper.open(1, "/stream?streams=btcusdt@markPrice@1s/!bookTicker");
    paper.open(2, "/ws");
    paper.say(2, r#"{"method":"SUBSCRIBE","params":["ethusdt@bookTicker"],"id":7}"#);
    assert_eq!(paper.texts(2), [json!({ "result": null, "id": 7 })]);
    paper.price("BTCUSDT", "60001");
    let told = paper.texts(1);
    assert!(
        told.iter().any(|event| event["stream"] == "!bookTicker" && event["data"]["b"] == "60000.9"),
        "{told:?}"
    );
    assert!(told.iter().any(|event| event["stream"] == "btcusdt@markPrice@1s"));
    assert!(paper.texts(2).is_empty());
    paper.price("ETHUSDT", "3001");
    assert_eq!(paper.texts(2)[0]["s"].as_str(), Some("ETHUSDT"));
    paper.say(2, r#"{"method":"LIST_SUBSCRIPTIONS","id":"x"}"#);
    paper.say(2, r#"{"method":"UNSUBSCRIBE","params":["ethusdt@bookTicker"],"id":8}"#);
    paper.say(2, "not json");
    let told = paper.texts(2);
    assert_eq!(told[0]["result"], json!(["ethusdt@bookTicker"]));
    assert!(told[2]["error"].is_object());
    for _ in 0..11 {
        paper.say(2, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    }
    assert!(paper.heard.contains(&(ConnNo(2), SocketOut::Close(1008))));
}

#[test]
fn a_path_is_silent_about_what_does_not_belong_to_it() {
    let mut paper = Paper::new();
    let all = "btcusdt@markPrice@1s/!markPrice@arr@1s/btcusdt@aggTrade/btcusdt@bookTicker";
    for (conn, path) in [(1, "/market"), (2, "/public"), (3, "/private"), (4, "")] {
        paper.open(conn, &format!("{path}/stream?streams={all}"));
    }
    paper.price("BTCUSDT", "60001");
    let mut told = |conn| {
        let texts = paper.texts(conn);
        let names = texts.iter().filter_map(|event| event["stream"].as_str().map(str::to_owned));
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(1), "!markPrice@arr@1s btcusdt@aggTrade btcusdt@markPrice@1s");
    assert_eq!(told(2), "btcusdt@bookTicker");
    assert_eq!(told(3), "");
    assert_eq!(told(4).split(' ').count(), 4, "an older client's path");
}

#[test]
fn candles_are_told_by_interval_from_a_start_or_the_newest() {
    let mut paper = Paper::new();
    for n in 1..=20 {
        paper.price("BTCUSDT", &format!("{}", 60_000 + n));
        paper.wait_ms(59_000);
    }
    let mut asked = |query: &str, weight: &str| {
        let out = answer(paper.raw("GET", &format!("/fapi/v1/klines?symbol=BTCUSDT&{query}"), "", ""));
        let used = out.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-mbx-used-weight-1m"));
        assert_eq!((out.status, used.map(|(_, used)| used.as_str())), (200, Some(weight)), "{}", out.body);
        paper.wait_ms(60_000);
        let rows: Vec<Value> = serde_json::from_str(&out.body).unwrap();
        rows.iter()
            .map(|row| (row[0].as_u64().unwrap(), row[4].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let minutes = asked("interval=1m&limit=1500", "10");
    assert!(minutes.len() >= 20 && minutes.windows(2).all(|pair| pair[0].0 + 60_000 == pair[1].0));
    let newest = asked("interval=1m&limit=3", "1");
    assert_eq!(newest, minutes[minutes.len() - 3..]);
    let (from, to) = (minutes[4].0, minutes[9].0);
    let span = format!("interval=1m&startTime={from}&endTime={to}");
    assert_eq!(asked(&format!("{span}&limit=1000"), "5"), minutes[4..=9]);
    assert_eq!(asked(&format!("{span}&limit=2"), "1"), minutes[4..=5], "the oldest from a start on");
    let five = asked("interval=5m&limit=499", "2");
    assert!(five.iter().all(|(at, _)| at % 300_000 == 0) && five.len() >= 4);
    let refused = answer(paper.raw("GET", "/fapi/v1/klines?symbol=BTCUSDT&interval=7m", "", ""));
    assert_eq!(code(&refused), -1120);
}

#[test]
fn case_s4_connections_end_after_a_day() {
    let mut paper = Paper::new();
    paper.open(1, "/public/ws/btcusdt@bookTicker");
    paper.wait_ms(180_000);
    assert!(paper.heard.contains(&(ConnNo(1), SocketOut::Ping)));
    paper.wait_ms(24 * 3_600_000);
    assert!(paper.heard.contains(&(ConnNo(1), SocketOut::Close(1001))));
}

/// A message of the WebSocket API, signed over its parameters in the order of their names.
fn message(credential: &Credential, now: Timestamp, method: &str, values: &[(&str, Value)]) -> String {
    let mut params = serde_json::Map::new();
    for (name, value) in values {
        params.insert((*name).to_owned(), value.clone());
    }
    params.insert("apiKey".to_owned(), credential.api_key().into());
    params.insert("timestamp".to_owned(), now.millis().into());
    let mut names: Vec<_> = params.iter().collect();
    names.sort_by_key(|(name, _)| *name);
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let payload: Vec<_> = names.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    let signature = credential.sign(payload.join("&").as_bytes());
    params.insert("signature".to_owned(), signature.into());
    json!({ "id": "r1", "method": method, "params": params }).to_string()
}

#[test]
fn one_connection_of_the_websocket_api_serves_many_accounts() {
    let mut paper = Paper::new();
    paper.open(9, "/ws-fapi/v1");
    for name in ["ana", "bob"] {
        let values = [
            ("symbol", json!("BTCUSDT")),
            ("side", json!("BUY")),
            ("type", json!("MARKET")),
            ("quantity", json!("0.01")),
            ("newClientOrderId", json!(format!("of-{name}"))),
        ];
        let text = message(&credential(name), paper.now, "order.place", &values);
        paper.say(9, &text);
        let told = &paper.texts(9)[0];
        assert_eq!((told["id"].as_str(), told["status"].as_u64()), (Some("r1"), Some(200)), "{told}");
        assert_eq!(told["result"]["clientOrderId"].as_str().unwrap(), format!("of-{name}"));
        let values = [("symbol", json!("BTCUSDT")), ("origClientOrderId", json!(format!("of-{name}")))];
        let text = message(&credential(name), paper.now, "order.status", &values);
        paper.say(9, &text);
        assert_eq!(paper.texts(9)[0]["result"]["status"].as_str(), Some("FILLED"));
        let tampered = text.replace("BTCUSDT", "ETHUSDT");
        paper.say(9, &tampered);
        let told = &paper.texts(9)[0];
        assert_eq!((told["status"].as_u64(), told["error"]["code"].as_i64()), (Some(400), Some(-1022)));
    }
    let text = message(&credential("ana"), paper.now, "session.logon", &[]);
    paper.say(9, &text);
    assert_eq!(paper.texts(9)[0]["status"].as_u64(), Some(400), "only Ed25519 keys log a session on");
    for text in [
        "{",
        r#"{"id":1,"method":"order.fly"}"#,
        r#"{"id":1,"method":"order.place","params":{"a":[1]}}"#,
        "[]",
    ] {
        paper.say(9, text);
        assert!(paper.texts(9)[0]["error"]["code"].is_i64(), "{text}");
    }
}

#[test]
fn a_session_stands_for_the_signature() {
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let mut paper = Paper::new();
    let spec = KeySpec { kind: KeyKind::Ed25519, secret: public.to_owned(), ..KeySpec::hmac("eddy", "") };
    paper.exchange.core.add_key(paper.account, &spec).unwrap();
    let eddy = Credential::new(KeyKind::Ed25519, "eddy", private).unwrap();
    paper.open(9, "/ws-fapi/v1");
    let order = json!({"id": 1, "method": "account.balance", "params": {"timestamp": paper.now.millis()}})
        .to_string();
    paper.say(9, &order);
    assert_eq!(paper.texts(9)[0]["error"]["code"].as_i64(), Some(-2014));
    let text = message(&eddy, paper.now, "session.logon", &[]);
    paper.say(9, &text);
    assert_eq!(paper.texts(9)[0]["result"]["apiKey"].as_str(), Some("eddy"));
    paper.say(9, &order);
    assert_eq!(paper.texts(9)[0]["result"][0]["balance"].as_str(), Some("10000"));
    paper.say(9, r#"{"id":2,"method":"session.logout"}"#);
    assert!(paper.texts(9)[0]["result"]["apiKey"].is_null());
    paper.say(9, &order);
    assert!(paper.texts(9)[0]["error"].is_object());
}
