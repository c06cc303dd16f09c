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
