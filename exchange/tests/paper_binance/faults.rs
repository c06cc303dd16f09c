//! Faults by rule: what was executed was executed, whatever was answered, and streams fail as they are told to.

use crate::support::{Paper, answer, code};
use exchange::paper_exchange::ConnNo;
use exchange::paper_exchange::faults::{Fault, Rule, When};
use exchange::paper_exchange::transport::{Outcome, SocketOut};

const ORDER: [(&str, &str); 5] = [
    ("symbol", "BTCUSDT"),
    ("side", "BUY"),
    ("type", "MARKET"),
    ("quantity", "0.01"),
    ("newClientOrderId", "intent"),
];

fn rule(on: &str, fault: Fault) -> Rule {
    Rule { on: on.to_owned(), when: When::Next(1), fault }
}

fn position(paper: &mut Paper) -> String {
    let told = paper.ok("GET", "/fapi/v3/positionRisk", &[]);
    told[0]["positionAmt"].as_str().unwrap_or("0").to_owned()
}

#[test]
fn case_u1_u2_u4_a_failed_answer_says_nothing_about_the_order() {
    for executed in [false, true] {
        for (fault, expected) in [
            (Fault::Unknown { executed }, Some((503, -1000, "Unknown error"))),
            (Fault::Unavailable { executed }, Some((503, -1000, "Service Unavailable"))),
            (Fault::Overload { executed }, Some((503, -1008, "throttled"))),
            (Fault::Code { code: -1007, executed }, Some((408, -1007, "Timeout"))),
            (Fault::Lost { executed }, None),
        ] {
            let mut paper = Paper::new();
            paper.exchange.faults.add(rule("POST /fapi/v1/order", fault.clone())).unwrap();
            let out = paper.out("POST", "/fapi/v1/order", &ORDER);
            match expected {
                Some((status, number, text)) => {
                    let answer = answer(out);
                    assert_eq!((answer.status, code(&answer)), (status, number), "{fault:?}");
                    assert!(answer.body.contains(text), "{}", answer.body);
                }
                None => assert_eq!(out.what, Outcome::Drop),
            }
            let known = paper.signed(
                "GET",
                "/fapi/v1/order",
                &[("symbol", "BTCUSDT"), ("origClientOrderId", "intent")],
            );
            assert_eq!(known.status == 200, executed, "{fault:?}");
            assert_eq!(position(&mut paper), if executed { "0.01" } else { "0" }, "{fault:?}");
        }
    }
}

#[test]
fn latency_delays_the_answer_and_not_the_order() {
    let mut paper = Paper::new();
    paper.exchange.faults.add(rule("POST *", Fault::Latency { ms: 700 })).unwrap();
    let out = paper.out("POST", "/fapi/v1/order", &ORDER);
    assert_eq!(out.at, paper.now.plus_micros(700_000));
    assert_eq!(position(&mut paper), "0.01");
}

#[test]
fn requests_over_a_socket_fail_as_over_http() {
    let mut paper = Paper::new();
    paper.open(9, "/ws-fapi/v1");
    let time = r#"{"id":5,"method":"time"}"#;
    paper.exchange.faults.add(rule("time", Fault::Unknown { executed: true })).unwrap();
    paper.say(9, time);
    let told = paper.texts(9);
    assert_eq!((told.len(), told[0]["id"].as_u64(), told[0]["status"].as_u64()), (1, Some(5), Some(503)));
    paper.exchange.faults.add(rule("time", Fault::Latency { ms: 300 })).unwrap();
    paper.say(9, time);
    assert!(paper.texts(9).is_empty());
    paper.wait_ms(300);
    assert_eq!(paper.texts(9)[0]["status"].as_u64(), Some(200));
    paper.exchange.faults.add(rule("time", Fault::Lost { executed: true })).unwrap();
    paper.say(9, time);
    assert_eq!(paper.heard, [(ConnNo(9), SocketOut::Drop)]);
}

#[test]
fn streams_fail_as_they_are_told_to() {
    let run = |fault: Fault| {
        let mut paper = Paper::new();
        let key = paper.ok("POST", "/fapi/v1/listenKey", &[])["listenKey"].as_str().unwrap().to_owned();
        paper.open(1, &format!("/private/ws?listenKey={key}"));
        paper.exchange.faults.add(rule("stream ORDER_TRADE_UPDATE", fault)).unwrap();
        paper.ok("POST", "/fapi/v1/order", &ORDER);
        paper.poll();
        let broke = paper.heard.contains(&(ConnNo(1), SocketOut::Drop));
        let names = |paper: &mut Paper| -> Vec<String> {
            let told = paper.texts(1);
            told.iter().map(|event| event["o"]["x"].as_str().unwrap_or("ACCOUNT").to_owned()).collect()
        };
        let now = names(&mut paper);
        paper.wait_ms(1_000);
        (now.join(" "), names(&mut paper).join(" "), broke)
    };
    let told = |now: &str, later: &str, broke| (now.to_owned(), later.to_owned(), broke);
    assert_eq!(run(Fault::Duplicate), told("NEW NEW TRADE ACCOUNT", "", false));
    assert_eq!(run(Fault::Lose), told("TRADE ACCOUNT", "", false));
    assert_eq!(run(Fault::Reorder), told("TRADE ACCOUNT", "NEW", false));
    assert_eq!(run(Fault::Withhold { ms: 1_000 }), told("TRADE ACCOUNT", "NEW", false));
    assert!(run(Fault::Drop).2);
}

#[test]
fn the_admin_routes_do_the_same_for_this_machine_alone() {
    let mut paper = Paper::new();
    let mut admin = |method: &str, path: &str, body: &str| {
        let answer = answer(paper.raw(method, path, "", body));
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, told)
    };
    let keys =
        r#"{"exchange":"binance","wallet":"5.5","keys":[{"api_key":"k","secret":"s","withdraw":true}]}"#;
    let (status, told) = admin("POST", "/paper/accounts", keys);
    assert_eq!((status, told["keys"][0]["api_key"].as_str()), (200, Some("k")));
    assert_eq!(admin("POST", "/paper/accounts", keys).0, 400, "the key is taken");
    assert_eq!(admin("POST", "/paper/accounts", r#"{"exchange":"bybit"}"#).1["account"].as_u64(), Some(3));
    for bad in [
        "",
        "{",
        r#"{"exchange":"x"}"#,
        r#"{"exchange":"binance","wallet":"-1"}"#,
        r#"{"exchange":"binance","wallet":"1,5"}"#,
        r#"{"exchange":"binance","unknown":1}"#,
    ] {
        assert_eq!(admin("POST", "/paper/accounts", bad).0, 400, "{bad}");
    }
    let rule = r#"{"on":"GET /fapi/v1/time","when":{"next":1},"fault":{"kind":"unknown","executed":false}}"#;
    assert_eq!(admin("POST", "/paper/faults", rule), (200, serde_json::json!({ "id": 1 })));
    assert_eq!(admin("GET", "/fapi/v1/time", "").0, 503);
    assert_eq!(admin("GET", "/fapi/v1/time", "").0, 200);
    assert_eq!(admin("GET", "/paper/faults", "").1[0]["applied"].as_u64(), Some(1));
    assert_eq!(admin("DELETE", "/paper/faults?id=1", "").0, 200);
    assert_eq!(admin("DELETE", "/paper/faults?id=1", "").0, 400);
    let (_, told) = admin(
        "POST",
        "/paper/market",
        r#"{"follow":false,"prices":[{"symbol":"BTCUSDT","price":"61000"}],"advance_ms":5000,"skew_ms":-50}"#,
    );
    assert_eq!(told["marks"]["BTCUSDT"].as_str(), Some("61000"));
    assert_eq!((told["follow"].as_bool(), told["skew_ms"].as_i64()), (Some(false), Some(-50)));
    let stands = told["time_ms"].as_u64().unwrap();
    assert_eq!(admin("GET", "/fapi/v1/time", "").1["serverTime"].as_u64(), Some(stands));
    assert_eq!(admin("POST", "/paper/market", r#"{"follow":true,"ticks":1}"#).0, 400);
    assert_eq!(admin("POST", "/paper/nothing", "").0, 404);
    paper.from = crate::support::ELSEWHERE;
    assert_eq!(answer(paper.raw("GET", "/paper/accounts", "", "")).status, 403);
}

#[test]
fn case_r1_the_weight_of_an_address_is_shared_by_its_accounts() {
    let mut paper = Paper::new();
    let mut last = 0;
    for turn in 0..60 {
        paper.credential = crate::support::credential(if turn % 2 == 0 { "ana" } else { "bob" });
        let answer = paper.signed("GET", "/fapi/v1/openOrders", &[]);
        assert_eq!(answer.status, 200, "{turn}");
        let used = answer.headers.iter().find(|(name, _)| *name == "X-MBX-USED-WEIGHT-1M").unwrap();
        last = used.1.parse().unwrap();
    }
    assert_eq!(last, 2_400);
    let answer = paper.signed("GET", "/fapi/v1/time", &[]);
    assert_eq!((answer.status, code(&answer)), (429, -1003));
    assert!(answer.headers.iter().any(|(name, _)| *name == "Retry-After"));
    // Orders weigh nothing: closes still leave.
    paper.market("BUY", "0.01");
    paper.from = crate::support::ELSEWHERE;
    paper.ok("GET", "/fapi/v1/time", &[]);
}

#[test]
fn case_t1_a_request_is_judged_and_stamped_by_a_clock_that_is_off() {
    for (ms, expected) in [(-3_000, Some(-1021)), (-999, None), (4_000, None), (5_001, Some(-1021))] {
        let mut paper = Paper::new();
        paper.exchange.faults.add(rule("POST /fapi/v1/order", Fault::Skew { ms })).unwrap();
        let answer = paper.signed("POST", "/fapi/v1/order", &ORDER);
        let taken = (answer.status != 200).then(|| code(&answer));
        assert_eq!(taken, expected, "{ms}: {}", answer.body);
        assert_eq!(position(&mut paper), if expected.is_none() { "0.01" } else { "0" }, "{ms}");
        if expected.is_none() {
            let named = [("symbol", "BTCUSDT"), ("origClientOrderId", "intent")];
            let order = paper.ok("GET", "/fapi/v1/order", &named);
            let off = order["time"].as_i64().unwrap() - i64::try_from(paper.now.millis()).unwrap();
            assert_eq!(off, ms, "the order has the time of that clock");
        } else if ms < 0 {
            assert!(answer.body.contains("ahead of the server's time"), "{}", answer.body);
        }
        // The clock is right again.
        let told = paper.ok("GET", "/fapi/v1/time", &[])["serverTime"].as_u64();
        assert_eq!(told, Some(paper.now.millis()));
    }
    // Over a socket alike.
    let mut paper = Paper::new();
    paper.open(9, "/ws-fapi/v1");
    paper.exchange.faults.add(rule("time", Fault::Skew { ms: -2_500 })).unwrap();
    let time = |paper: &mut Paper| {
        paper.say(9, r#"{"id":5,"method":"time"}"#);
        paper.texts(9)[0]["result"]["serverTime"].as_i64().unwrap()
    };
    let now = i64::try_from(paper.now.millis()).unwrap();
    assert_eq!((time(&mut paper), time(&mut paper)), (now - 2_500, now));
}

#[test]
fn case_s1_a_listen_key_ends_at_a_request_or_an_event_and_only_that_accounts() {
    let run = |on: &str| {
        let mut paper = Paper::new();
        let mut keys = Vec::new();
        for (conn, name) in [(1, "ana"), (2, "bob")] {
            paper.credential = crate::support::credential(name);
            let made = paper.ok("POST", "/fapi/v1/listenKey", &[]);
            keys.push(made["listenKey"].as_str().unwrap().to_owned());
            paper.open(conn, &format!("/private/ws?listenKey={}", keys[keys.len() - 1]));
        }
        paper.credential = crate::support::credential("ana");
        let rule = rule(on, Fault::ExpireListenKey);
        paper.exchange.faults.add(rule).unwrap();
        let placed = paper.ok("POST", "/fapi/v1/order", &ORDER);
        assert_eq!(placed["clientOrderId"], "intent", "the request is worked off");
        let told = paper.texts(1);
        let names: Vec<String> = told.iter().map(|event| event["e"].as_str().unwrap().to_owned()).collect();
        let end = told.last().unwrap();
        assert_eq!(end["listenKey"].as_str(), Some(keys[0].as_str()), "{told:?}");
        assert!(paper.texts(2).is_empty(), "the other account's lives");
        assert_eq!(paper.code("PUT", "/fapi/v1/listenKey", &[]), -1125);
        let next = paper.ok("POST", "/fapi/v1/listenKey", &[])["listenKey"].as_str().unwrap().to_owned();
        assert_ne!(next, keys[0]);
        paper.credential = crate::support::credential("bob");
        assert_eq!(paper.ok("PUT", "/fapi/v1/listenKey", &[])["listenKey"].as_str(), Some(keys[1].as_str()));
        names
    };
    const END: &str = "listenKeyExpired";
    assert_eq!(run("POST /fapi/v1/order"), [END], "before the request: what it causes is not told");
    assert_eq!(run("stream ORDER_TRADE_UPDATE"), [END], "instead of the event");
    assert_eq!(run("stream ACCOUNT_UPDATE"), ["ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", END]);
    assert_eq!(run("stream *"), [END], "its own end does not end it again");
    // What is nobody's ends nothing.
    let mut paper = Paper::new();
    paper.ok("POST", "/fapi/v1/listenKey", &[]);
    paper.exchange.faults.add(rule("GET /fapi/v1/time", Fault::ExpireListenKey)).unwrap();
    answer(paper.raw("GET", "/fapi/v1/time", "", ""));
    assert_eq!(
        paper.exchange.faults.rules().map(|(.., matched, applied)| (matched, applied)).collect::<Vec<_>>(),
        [(0, 0)]
    );
    paper.ok("PUT", "/fapi/v1/listenKey", &[]);
}

#[test]
fn the_new_faults_are_planted_by_route_as_they_are_written() {
    let mut paper = Paper::new();
    for fault in [r#"{"kind":"skew","ms":-3000}"#, r#"{"kind":"expire_listen_key"}"#] {
        let rule = format!(r#"{{"on":"POST /fapi/v1/order","when":{{"next":1}},"fault":{fault}}}"#);
        let answer = answer(paper.raw("POST", "/paper/faults", "", &rule));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let planted: Vec<_> = paper.exchange.faults.rules().map(|(_, rule, ..)| rule.fault.clone()).collect();
    assert_eq!(planted, [Fault::Skew { ms: -3_000 }, Fault::ExpireListenKey]);
}

#[test]
fn an_account_whose_orders_are_used_up_is_refused_until_the_window_ends() {
    let mut paper = Paper::new();
    let until = paper.exchange.exhaust(paper.now, exchange::paper_exchange::FaceKind::Binance, paper.account);
    let answer = paper.signed("POST", "/fapi/v1/order", &ORDER);
    assert_eq!((answer.status, code(&answer)), (429, -1015));
    paper.credential = crate::support::credential("bob");
    paper.market("BUY", "0.01");
    paper.credential = crate::support::credential("ana");
    paper.wait_ms(until.micros_since(paper.now).div_ceil(1_000));
    paper.market("BUY", "0.01");
}
