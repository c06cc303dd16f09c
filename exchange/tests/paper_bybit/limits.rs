//! Limits per address, per account and group, per message, and how a breach of each is told (EXCHANGES.md §3.3).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::paper_exchange::FaceKind;
use exchange::paper_exchange::faults::{Fault, Rule, When};
use exchange::paper_exchange::transport::{HttpAnswer, HttpIn};

fn time() -> HttpIn {
    HttpIn { method: "GET".to_owned(), target: "/v5/market/time".to_owned(), ..HttpIn::default() }
}

fn header<'a>(answer: &'a HttpAnswer, name: &str) -> &'a str {
    answer.headers.iter().find(|(told, _)| *told == name).map(|(_, value)| value.as_str()).unwrap()
}

#[test]
fn case_r1_all_of_an_address_share_600_requests_in_5_seconds_and_more_shut_it_out_for_10_minutes() {
    let mut bench = Bench::new();
    let (one, other) = (bench.client("1000"), bench.client("1000"));
    for at in 0..600 {
        let client = if at % 2 == 0 { &one } else { &other };
        let call = bench.signed(client, "GET", "/v5/account/info", "", "");
        let status = bench.http(HERE, &call).status;
        assert_eq!(status, 200, "{at}");
    }
    let refused = bench.http(HERE, &time());
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("access too frequent"), "{}", refused.body);
    assert_eq!(bench.http(THERE, &time()).status, 200, "another address is another budget");
    // Case R2: who goes on is still shut out; nobody is let in before the time is over.
    bench.pass(9 * 60_000);
    assert_eq!(bench.http(HERE, &time()).status, 403);
    bench.pass(61_000);
    assert_eq!(bench.http(HERE, &time()).status, 200);
}

#[test]
fn a_window_of_an_address_rolls() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        for _ in 0..600 {
            assert_eq!(bench.http(HERE, &time()).status, 200);
        }
        bench.pass(5_000);
    }
}

#[test]
fn case_r4_an_account_has_a_limit_per_group_beside_that_of_its_address() {
    let mut bench = Bench::new();
    let client = bench.client("1000000");
    let body = order(&json!({ "qty": "0.01" })).to_string();
    let call = |bench: &mut Bench| {
        let call = bench.signed(&client, "POST", "/v5/order/create", "", &body);
        bench.http(HERE, &call)
    };
    for left in (0..10).rev() {
        let answer = call(&mut bench);
        assert!(answer.body.contains(r#""retCode":0"#), "{}", answer.body);
        assert_eq!(header(&answer, "X-Bapi-Limit"), "10");
        assert_eq!(header(&answer, "X-Bapi-Limit-Status"), left.to_string());
        assert_eq!(header(&answer, "X-Bapi-Limit-Reset-Timestamp"), bench.ms().to_string());
    }
    let answer = call(&mut bench);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, code(&told)), (200, 10006));
    assert_eq!(header(&answer, "X-Bapi-Limit-Reset-Timestamp"), (bench.ms() + 1_000).to_string());
    assert_eq!(bench.position(&client)["size"], "0.1", "the eleventh was not executed");
    // Questions are counted apart; and the second rolls.
    assert_eq!(code(&bench.get(&client, "/v5/order/realtime", "category=linear&settleCoin=USDT")), 0);
    bench.pass(1_000);
    assert!(call(&mut bench).body.contains(r#""retCode":0"#));
}

#[test]
fn orders_of_a_batch_are_counted_one_by_one_and_fail_one_by_one() {
    let mut bench = Bench::new();
    let client = bench.client("1000000");
    let item = |at: usize| json!({ "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.01", "orderLinkId": format!("b{at}") });
    let items: Vec<_> = (0..12).map(item).collect();
    let told =
        bench.post(&client, "/v5/order/create-batch", &json!({ "category": "linear", "request": items }));
    assert_eq!(code(&told), 0);
    let codes: Vec<_> = told["retExtInfo"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [[0; 10].as_slice(), &[10006, 10006]].concat());
    assert_eq!(told["result"]["list"][3]["orderLinkId"], "b3");
    assert_eq!(told["result"]["list"][11]["orderId"], "");
    assert_eq!(bench.position(&client)["size"], "0.1");
    // A single order has its own budget.
    assert_eq!(code(&bench.create(&client, &json!({}))), 0);
    let many: Vec<_> = (0..21).map(item).collect();
    let told =
        bench.post(&client, "/v5/order/create-batch", &json!({ "category": "linear", "request": many }));
    assert_eq!(code(&told), 10001);
}

#[test]
fn http_and_the_trade_socket_share_an_accounts_limit() {
    let mut bench = Bench::new();
    let client = bench.client("1000000");
    let conn = bench.trade(&client);
    for at in 0..5 {
        let more = json!({ "qty": "0.01" });
        assert_eq!(code(&bench.create(&client, &more)), 0);
        let told = enter(&mut bench, conn, &format!("r{at}"), &more);
        assert_eq!((code(&told), &told["header"]["X-Bapi-Limit"]), (0, &json!("10")));
    }
    let told = enter(&mut bench, conn, "last", &json!({ "qty": "0.01" }));
    assert_eq!((code(&told), &told["header"]["X-Bapi-Limit-Status"]), (10006, &json!("0")));
}

fn enter(bench: &mut Bench, conn: exchange::paper_exchange::ConnNo, id: &str, more: &Value) -> Value {
    let header = json!({ "X-BAPI-TIMESTAMP": bench.ms().to_string() });
    let message = json!({ "reqId": id, "header": header, "op": "order.create", "args": [order(more)] });
    bench.say(conn, &message)[0].clone()
}

#[test]
fn trade_sockets_of_an_address_take_3000_messages_a_second() {
    let mut bench = Bench::new();
    let client = bench.client("1000");
    let conn = bench.trade(&client);
    for at in 0..3_000 {
        let told = enter(&mut bench, conn, &format!("{at}"), &json!({ "qty": "bad" }));
        assert_ne!(code(&told), 10403, "{at}");
    }
    assert_eq!(code(&enter(&mut bench, conn, "over", &json!({}))), 10403);
    bench.pass(1_000);
    assert_ne!(code(&enter(&mut bench, conn, "later", &json!({}))), 10403);
}

#[test]
fn an_address_opens_500_sockets_in_5_minutes() {
    let mut bench = Bench::new();
    for _ in 0..500 {
        bench.open(HERE, "/v5/private");
    }
    let conn = exchange::paper_exchange::ConnNo(9_999);
    let refused = bench.exchange.socket_open(bench.now, conn, HERE, "/v5/private").unwrap_err();
    assert_eq!(refused.status, 403);
    bench.open(THERE, "/v5/trade");
    bench.pass(300_000);
    bench.open(HERE, "/v5/private");
}

#[test]
fn case_t1_a_request_is_judged_and_stamped_by_a_clock_that_is_off() {
    for (ms, expected) in [(-3_000, 10002), (-999, 0), (4_000, 0), (5_001, 10002)] {
        let mut bench = Bench::new();
        let client = bench.client("10000");
        let skew = |on: &str| Rule { on: on.to_owned(), when: When::Next(1), fault: Fault::Skew { ms } };
        bench.exchange.faults.add(skew("POST /v5/order/create")).unwrap();
        let told = bench.create(&client, &json!({ "orderLinkId": "l" }));
        assert_eq!(code(&told), expected, "{ms}: {told}");
        let by = i64::try_from(bench.ms()).unwrap() + ms;
        assert_eq!(told["time"].as_i64(), Some(by), "the answer has the time of that clock");
        assert_eq!(bench.position(&client)["size"], if expected == 0 { "0.1" } else { "0" }, "{ms}");
        // And over the trade socket; the clock was right in between.
        let conn = bench.trade(&client);
        bench.exchange.faults.add(skew("order.create")).unwrap();
        let header = json!({ "X-BAPI-TIMESTAMP": bench.ms() });
        let asked =
            json!({ "reqId": "1", "header": header, "op": "order.create", "args": [order(&json!({}))] });
        let told = bench.say(conn, &asked);
        assert_eq!((told.len(), code(&told[0])), (1, expected), "{ms}: {told:?}");
    }
}

#[test]
fn the_end_of_a_listen_key_is_nothing_that_can_happen_here() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let stream = bench.private(&client, &["order"]);
    let rule = Rule { on: "*".to_owned(), when: When::Every(1), fault: Fault::ExpireListenKey };
    bench.exchange.faults.add(rule).unwrap();
    bench.placed(&client, &json!({}));
    assert_eq!(column(&bench.heard(stream), "order", "orderStatus"), ["New", "Filled"]);
    assert_eq!(
        bench.exchange.faults.rules().map(|(.., matched, applied)| (matched, applied)).collect::<Vec<_>>(),
        [(0, 0)]
    );
}

#[test]
fn an_account_whose_orders_are_used_up_is_refused_until_the_window_ends() {
    let mut bench = Bench::new();
    let (client, other) = (bench.client("10000"), bench.client("10000"));
    let until = bench.exchange.exhaust(bench.now, FaceKind::Bybit, client.no);
    assert_eq!(code(&bench.create(&client, &json!({}))), 10006);
    bench.placed(&other, &json!({}));
    let span = until.micros_since(bench.now).div_ceil(1_000);
    bench.pass(span);
    bench.placed(&client, &json!({}));
}
