//! Order entry over the trade socket: what it takes, once per reqId, and how it refuses.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::paper_exchange::ConnNo;
use exchange::paper_exchange::faults::{Fault, Rule, When};

fn say(bench: &mut Bench, conn: ConnNo, id: &str, op: &str, body: &Value) -> Value {
    let header = json!({ "X-BAPI-TIMESTAMP": bench.ms().to_string(), "X-BAPI-RECV-WINDOW": "5000" });
    let told = bench.say(conn, &json!({ "reqId": id, "header": header, "op": op, "args": [body] }));
    assert_eq!(told.len(), 1);
    told[0].clone()
}

#[test]
fn orders_are_placed_amended_and_cancelled() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.trade(&client);
    let body = order(&json!({ "orderType": "Limit", "price": "50000", "orderLinkId": "w" }));
    let told = say(&mut bench, conn, "1", "order.create", &body);
    assert_eq!(
        (code(&told), &told["retMsg"], &told["reqId"], &told["op"]),
        (0, &json!("OK"), &json!("1"), &json!("order.create"))
    );
    assert_eq!(told["data"]["orderLinkId"], "w");
    assert_eq!(told["header"]["X-Bapi-Limit-Status"], "9");
    let id = told["data"]["orderId"].as_str().unwrap().to_owned();
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderId": id, "price": "51000" });
    assert_eq!(code(&say(&mut bench, conn, "2", "order.amend", &body)), 0);
    assert_eq!(bench.order(&client, &id)["price"], "51000");
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderLinkId": "w" });
    assert_eq!(code(&say(&mut bench, conn, "3", "order.cancel", &body)), 0);
    assert_eq!(bench.order(&client, &id)["orderStatus"], "Cancelled");
    assert_eq!(code(&say(&mut bench, conn, "4", "order.cancel", &body)), 110_001);
}

#[test]
fn batches_tell_each_item() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.trade(&client);
    let item = |link: &str, qty: &str| json!({ "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": qty, "orderLinkId": link });
    let body =
        json!({ "category": "linear", "request": [item("a", "0.1"), item("b", "0"), item("a", "0.1")] });
    let told = say(&mut bench, conn, "1", "order.create-batch", &body);
    assert_eq!(code(&told), 0);
    let codes: Vec<_> =
        told["retExtInfo"]["list"].as_array().unwrap().iter().map(|item| item["code"].clone()).collect();
    assert_eq!(codes, [0, 110_017, 110_072]);
    assert_eq!(told["data"]["list"][0]["orderLinkId"], "a");
    assert_eq!(bench.position(&client)["size"], "0.1");
    let body = json!({ "category": "linear", "request": [{ "symbol": "BTCUSDT", "orderLinkId": "a" }] });
    let told = say(&mut bench, conn, "2", "order.cancel-batch", &body);
    assert_eq!(told["retExtInfo"]["list"][0]["code"], 110_001);
}

#[test]
fn a_request_id_is_used_once() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.trade(&client);
    assert_eq!(code(&say(&mut bench, conn, "same", "order.create", &order(&json!({})))), 0);
    assert_eq!(code(&say(&mut bench, conn, "same", "order.create", &order(&json!({})))), 20006);
    assert_eq!(bench.position(&client)["size"], "0.1");
    // Another socket has its own ids.
    let other = bench.trade(&client);
    assert_eq!(code(&say(&mut bench, other, "same", "order.create", &order(&json!({})))), 0);
    assert_eq!(code(&say(&mut bench, other, &"x".repeat(37), "order.create", &order(&json!({})))), 10001);
}

#[test]
fn who_and_when_are_checked() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.open(HERE, "/v5/trade");
    assert_eq!(code(&say(&mut bench, conn, "1", "order.create", &order(&json!({})))), 10003);
    let mut auth = bench.auth(&client);
    auth["args"][2] = "00".into();
    assert_eq!(code(&bench.say(conn, &auth)[0]), 10004);
    let auth = bench.auth(&client);
    assert_eq!(code(&bench.say(conn, &auth)[0]), 0);
    assert_eq!(code(&bench.say(conn, &auth)[0]), 20001);
    let mut late = json!({ "reqId": "2", "header": { "X-BAPI-TIMESTAMP": bench.ms() - 5_001 }, "op": "order.create", "args": [order(&json!({}))] });
    assert_eq!(code(&bench.say(conn, &late)[0]), 10002);
    late["reqId"] = "3".into();
    late["header"] = json!({});
    assert_eq!(code(&bench.say(conn, &late)[0]), 10001);
    assert_eq!(code(&say(&mut bench, conn, "4", "order.dance", &json!({}))), 10404);
    let told = bench.say(conn, &json!({ "op": "ping" }))[0].clone();
    assert_eq!((&told["op"], &told["data"][0]), (&json!("pong"), &json!(bench.ms().to_string())));
    assert_eq!(bench.position(&client)["size"], "0");
    for text in [
        "",
        "{",
        "[]",
        "{\"op\":\"order.create\"}",
        "{\"op\":\"order.create\",\"args\":[7],\"header\":{\"X-BAPI-TIMESTAMP\":\"x\"}}",
    ] {
        bench.exchange.socket_message(bench.now, conn, text);
        let told = bench.heard(conn);
        assert_eq!((told.len(), code(&told[0])), (1, 10001), "{text}");
    }
}

#[test]
fn a_restart_is_told_and_nothing_is_executed() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.trade(&client);
    let rule = Rule {
        on: "order.*".to_owned(),
        when: When::Next(1),
        fault: Fault::Code { code: 10019, executed: false },
    };
    bench.exchange.faults.add(rule).unwrap();
    let told = say(&mut bench, conn, "r", "order.create", &order(&json!({ "orderLinkId": "l" })));
    assert_eq!((code(&told), &told["reqId"], &told["op"]), (10019, &json!("r"), &json!("order.create")));
    assert_eq!(bench.position(&client)["size"], "0");
    let other = bench.trade(&client);
    assert_eq!(code(&say(&mut bench, other, "r", "order.create", &order(&json!({ "orderLinkId": "l" })))), 0);
}

#[test]
fn the_order_stream_may_come_before_the_answer() {
    // Case P10: the answer is held up; the fill is told by the stream.
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let (conn, stream) = (bench.trade(&client), bench.private(&client, &["order"]));
    let rule = Rule { on: "order.create".to_owned(), when: When::Next(1), fault: Fault::Latency { ms: 500 } };
    bench.exchange.faults.add(rule).unwrap();
    let header = json!({ "X-BAPI-TIMESTAMP": bench.ms() });
    let message =
        json!({ "reqId": "1", "header": header, "op": "order.create", "args": [order(&json!({}))] });
    assert_eq!(bench.say(conn, &message), Vec::<Value>::new());
    assert_eq!(column(&bench.heard(stream), "order", "orderStatus"), ["New", "Filled"]);
    bench.pass(500);
    assert_eq!(code(&bench.heard(conn)[0]), 0);
}
