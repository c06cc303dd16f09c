//! The private socket: who may listen, to what, and in which order an account's events are told (EXCHANGES.md §3.5).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::paper_exchange::faults::{Fault, Rule, When};

const ALL: &[&str] = &["order", "execution", "position", "wallet"];

fn topics(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["topic"].as_str().unwrap()).collect()
}

#[test]
fn only_who_signed_listens() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.open(HERE, "/v5/private");
    let subscribe = json!({ "op": "subscribe", "args": ["order"] });
    assert_eq!(bench.say(conn, &subscribe)[0]["success"], false);
    let mut auth = bench.auth(&client);
    auth["args"][2] = "c0ffee".into();
    assert_eq!(bench.say(conn, &auth)[0]["success"], false);
    let mut auth = bench.auth(&client);
    auth["args"][1] = (bench.ms() - 1).into();
    assert_eq!(bench.say(conn, &auth)[0]["success"], false);
    auth["args"][0] = "NOBODY".into();
    assert_eq!(bench.say(conn, &auth)[0]["ret_msg"], "API key is invalid.");
    let auth = bench.auth(&client);
    let told = bench.say(conn, &auth)[0].clone();
    assert_eq!((&told["success"], &told["op"], &told["ret_msg"]), (&json!(true), &json!("auth"), &json!("")));
    assert_eq!(bench.say(conn, &auth)[0]["success"], false, "once is enough");
    assert_eq!(bench.say(conn, &subscribe)[0]["success"], true);
}

#[test]
fn a_subscription_brings_no_snapshot() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({ "stopLoss": "59000" }));
    // `private` checks that the answer to the subscription is all that is heard.
    let conn = bench.private(&client, ALL);
    bench.pass(1_000);
    assert_eq!(bench.heard(conn), Vec::<Value>::new());
}

#[test]
fn a_market_order_is_told_from_new_to_filled() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.private(&client, ALL);
    let id = bench.placed(&client, &json!({ "orderLinkId": "mine" }));
    let heard = bench.heard(conn);
    assert_eq!(topics(&heard), ["order", "position", "execution", "order", "position", "wallet"]);
    assert_eq!(column(&heard, "order", "orderStatus"), ["New", "Filled"]);
    assert_eq!(column(&heard, "order", "orderLinkId"), ["mine", "mine"]);
    assert_eq!(column(&heard, "order", "category"), ["linear", "linear"]);
    // The first position message is of the order's arrival: nothing is changed yet.
    assert_eq!(column(&heard, "position", "size"), ["0", "0.1"]);
    assert_eq!(column(&heard, "position", "side"), ["", "Buy"]);
    assert_eq!(column(&heard, "position", "entryPrice"), ["0", "60000"]);
    assert_eq!(column(&heard, "execution", "orderId"), [id]);
    assert_eq!(column(&heard, "execution", "execType"), ["Trade"]);
    assert_eq!(column(&heard, "execution", "execFee"), ["3"]);
    assert_eq!(column(&heard, "execution", "closedSize"), ["0"]);
    assert_eq!(heard[5]["data"][0]["coin"][0]["walletBalance"], "9997");
    assert_eq!(heard[5]["data"][0]["accountType"], "UNIFIED");
    assert!(heard.iter().all(|message| message["creationTime"].as_u64() == Some(bench.ms())));
    let seqs: Vec<u64> = column(&heard, "position", "seq").iter().map(|seq| seq.parse().unwrap()).collect();
    assert!(seqs[0] < seqs[1]);
}

#[test]
fn a_position_is_told_at_every_operation_on_an_order() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.private(&client, &["position"]);
    let id = bench.placed(&client, &json!({ "orderType": "Limit", "price": "50000" }));
    assert_eq!(column(&bench.heard(conn), "position", "size"), ["0"]);
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderId": id });
    bench.post(&client, "/v5/order/cancel", &body);
    assert_eq!(column(&bench.heard(conn), "position", "size"), ["0"]);
}

#[test]
fn stops_are_told_as_they_fire() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({ "stopLoss": "59000", "takeProfit": "62000", "orderLinkId": "entry" }));
    let conn = bench.private(&client, &["order", "execution"]);
    bench.price("BTCUSDT", "58900");
    let heard = bench.heard(conn);
    assert_eq!(column(&heard, "order", "stopOrderType"), ["StopLoss", "StopLoss", "StopLoss", "TakeProfit"]);
    assert_eq!(column(&heard, "order", "orderStatus"), ["Triggered", "New", "Filled", "Deactivated"]);
    assert_eq!(column(&heard, "order", "parentOrderLinkId"), ["entry"; 4]);
    assert_eq!(column(&heard, "execution", "execPnl"), ["-100"]);
    assert_eq!(column(&heard, "execution", "closedSize"), ["0.1"]);
    assert_eq!(column(&heard, "execution", "stopOrderType"), ["StopLoss"]);
}

#[test]
fn topics_of_a_category_are_told_under_their_name() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.private(&client, &["order.linear", "execution.fast"]);
    bench.placed(&client, &json!({}));
    let heard = bench.heard(conn);
    assert_eq!(topics(&heard), ["order.linear", "execution.fast", "order.linear"]);
    assert_eq!(heard[1]["data"][0]["execPrice"], "60000");
    assert_eq!(heard[1]["data"][0].get("execFee"), None);
    let mixed = json!({ "op": "subscribe", "args": ["order", "order.linear"] });
    assert_eq!(bench.say(conn, &mixed)[0]["success"], false);
    let unknown = json!({ "op": "subscribe", "args": ["orders"] });
    assert_eq!(bench.say(conn, &unknown)[0]["ret_msg"], "error:handler not found,topic:orders");
    let end = json!({ "op": "unsubscribe", "args": ["order.linear", "execution.fast"] });
    assert_eq!(bench.say(conn, &end)[0]["success"], true);
    bench.placed(&client, &json!({}));
    assert_eq!(bench.heard(conn), Vec::<Value>::new());
}

#[test]
fn accounts_hear_their_own_events_on_all_their_sockets() {
    let mut bench = Bench::new();
    let (one, other) = (bench.client("10000"), bench.client("10000"));
    let (a, b, c) =
        (bench.private(&one, &["order"]), bench.private(&one, &["order"]), bench.private(&other, &["order"]));
    bench.placed(&one, &json!({}));
    assert_eq!((bench.heard(a).len(), bench.heard(b).len(), bench.heard(c).len()), (2, 2, 0));
    bench.exchange.socket_closed(a);
    bench.placed(&one, &json!({}));
    assert_eq!((bench.heard(a).len(), bench.heard(b).len()), (0, 2));
}

#[test]
fn pings_are_answered_and_silence_ends() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.private(&client, &["order"]);
    let short = bench.open(HERE, "/v5/private?max_active_time=30s");
    let told = bench.say(conn, &json!({ "op": "ping", "req_id": "p" }))[0].clone();
    assert_eq!(
        (&told["op"], &told["req_id"], &told["args"][0]),
        (&json!("pong"), &json!("p"), &json!(bench.ms().to_string()))
    );
    bench.pass(30_000);
    assert_eq!(bench.closed, [short]);
    bench.exchange.socket_closed(short);
    bench.pass(500_000);
    assert_eq!(bench.say(conn, &json!({ "op": "ping" }))[0]["op"], "pong");
    bench.pass(599_000);
    assert_eq!(bench.closed, [short]);
    bench.pass(1_001);
    assert_eq!(bench.closed, [short, conn]);
}

#[test]
fn faults_of_streams_apply() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let conn = bench.private(&client, &["order", "execution"]);
    let fault = |bench: &mut Bench, fault| {
        bench.exchange.faults.clear();
        let rule = Rule { on: "stream execution".to_owned(), when: When::Next(1), fault };
        bench.exchange.faults.add(rule).unwrap();
        bench.placed(&client, &json!({ "qty": "0.01" }));
        bench.heard(conn)
    };
    assert_eq!(topics(&fault(&mut bench, Fault::Duplicate)), ["order", "execution", "execution", "order"]);
    assert_eq!(topics(&fault(&mut bench, Fault::Lose)), ["order", "order"]);
    assert_eq!(topics(&fault(&mut bench, Fault::Reorder)), ["order", "order"]);
    bench.pass(50);
    assert_eq!(topics(&bench.heard(conn)), ["execution"]);
    fault(&mut bench, Fault::Drop);
    assert_eq!(bench.closed, [conn]);
}

#[test]
fn what_is_no_message_is_answered() {
    let mut bench = Bench::new();
    let conn = bench.open(HERE, "/v5/private");
    for text in [
        "",
        "{",
        "[]",
        "{\"op\":7}",
        "{\"op\":\"dance\"}",
        "{\"op\":\"auth\"}",
        "{\"op\":\"auth\",\"args\":[1,2]}",
    ] {
        bench.exchange.socket_message(bench.now, conn, text);
        let told = bench.heard(conn);
        assert_eq!((told.len(), &told[0]["success"]), (1, &json!(false)), "{text}");
    }
}
