//! An orderLinkId makes at most one order, for ever (EXCHANGES.md §3.4), and finds it in every state.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::paper_exchange::faults::{Fault, Rule, When};
use exchange::paper_exchange::transport::Outcome;

fn by_link(bench: &mut Bench, client: &Client, link: &str) -> Value {
    let told = bench.get(client, "/v5/order/realtime", &format!("category=linear&orderLinkId={link}"));
    told["result"]["list"].clone()
}

#[test]
fn case_u13_a_filled_orders_id_is_refused_when_it_is_sent_again() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let more = json!({ "orderLinkId": "once-1_A" });
    bench.placed(&client, &more);
    assert_eq!(code(&bench.create(&client, &more)), 110_072);
    assert_eq!(bench.position(&client)["size"], "0.1");
    // Also that of a cancelled one.
    let more = json!({ "orderLinkId": "two", "orderType": "Limit", "price": "50000" });
    bench.placed(&client, &more);
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderLinkId": "two" });
    assert_eq!(code(&bench.post(&client, "/v5/order/cancel", &body)), 0);
    assert_eq!(code(&bench.create(&client, &more)), 110_072);
    // Another account's ids are its own.
    let other = bench.client("10000");
    bench.placed(&other, &more);
}

#[test]
fn case_u9_an_order_whose_answer_was_a_timeout_is_found_by_its_id() {
    for executed in [true, false] {
        let mut bench = Bench::new();
        let client = bench.client("10000");
        let on = "POST /v5/order/create".to_owned();
        let rule = Rule { on, when: When::Next(1), fault: Fault::Code { code: 10000, executed } };
        bench.exchange.faults.add(rule).unwrap();
        let more = json!({ "orderLinkId": "asked" });
        assert_eq!(code(&bench.create(&client, &more)), 10000);
        let found = by_link(&mut bench, &client, "asked");
        assert_eq!(found.as_array().unwrap().len(), usize::from(executed));
        // Sending it again is safe in both cases.
        let again = code(&bench.create(&client, &more));
        assert_eq!(again, if executed { 110_072 } else { 0 });
        assert_eq!(bench.position(&client)["size"], "0.1");
    }
}

#[test]
fn a_lost_answer_leaves_the_order() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let on = "POST /v5/order/*".to_owned();
    bench
        .exchange
        .faults
        .add(Rule { on, when: When::Next(1), fault: Fault::Lost { executed: true } })
        .unwrap();
    let body = order(&json!({ "orderLinkId": "lost" })).to_string();
    let call = bench.signed(&client, "POST", "/v5/order/create", "", &body);
    assert_eq!(bench.exchange.http(bench.now, HERE, &call).what, Outcome::Drop);
    assert_eq!(by_link(&mut bench, &client, "lost")[0]["orderStatus"], "Filled");
}

#[test]
fn an_order_is_found_in_every_state() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let id = bench.placed(&client, &json!({ "orderLinkId": "a", "orderType": "Limit", "price": "50000" }));
    let told = by_link(&mut bench, &client, "a")[0].clone();
    assert_eq!(
        (&told["orderStatus"], &told["orderId"], &told["leavesQty"]),
        (&json!("New"), &json!(id), &json!("0.1"))
    );
    assert_eq!(
        (&told["avgPrice"], &told["price"], &told["timeInForce"]),
        (&json!(""), &json!("50000"), &json!("GTC"))
    );
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderId": id });
    assert_eq!(bench.post(&client, "/v5/order/cancel", &body)["result"]["orderLinkId"], "a");
    let told = by_link(&mut bench, &client, "a")[0].clone();
    assert_eq!((&told["orderStatus"], &told["cancelType"]), (&json!("Cancelled"), &json!("CancelByUser")));
    assert_eq!(told["rejectReason"], "EC_PerCancelRequest");
    // Too late to cancel, and unknown, are one code.
    assert_eq!(code(&bench.post(&client, "/v5/order/cancel", &body)), 110_001);
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderLinkId": "never" });
    assert_eq!(code(&bench.post(&client, "/v5/order/cancel", &body)), 110_001);
    assert_eq!(by_link(&mut bench, &client, "never"), json!([]));
    // It is not among the open ones, and among those that ended.
    let open = bench.get(&client, "/v5/order/realtime", "category=linear&settleCoin=USDT");
    assert_eq!(open["result"]["list"], json!([]));
    let ended = bench.get(&client, "/v5/order/history", "category=linear");
    assert_eq!(ended["result"]["list"][0]["orderId"], json!(id));
    assert_eq!(code(&bench.get(&client, "/v5/order/realtime", "category=linear")), 10001);
}

#[test]
fn another_accounts_orders_are_out_of_reach() {
    let mut bench = Bench::new();
    let (one, other) = (bench.client("10000"), bench.client("10000"));
    let id = bench.placed(&one, &json!({ "orderType": "Limit", "price": "50000" }));
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderId": id });
    assert_eq!(code(&bench.post(&other, "/v5/order/cancel", &body)), 110_001);
    assert_eq!(bench.order(&other, &id), Value::Null);
    assert_eq!(bench.order(&one, &id)["orderStatus"], "New");
}

#[test]
fn an_order_without_a_link_is_told_without() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let id = bench.placed(&client, &json!({}));
    assert_eq!(bench.order(&client, &id)["orderLinkId"], "");
}

#[test]
fn lists_are_paged_by_their_cursor() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let ids: Vec<_> = (0..7)
        .map(|_| bench.placed(&client, &json!({ "orderType": "Limit", "price": "50000", "qty": "0.002" })))
        .collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("category=linear&symbol=BTCUSDT&limit=3&cursor={cursor}");
        let told = bench.get(&client, "/v5/order/realtime", &query)["result"].clone();
        for row in told["list"].as_array().unwrap() {
            seen.push(row["orderId"].as_str().unwrap().to_owned());
        }
        cursor = told["nextPageCursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, ids);
}

#[test]
fn an_amended_order_keeps_its_ids() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let id = bench.placed(&client, &json!({ "orderLinkId": "m", "orderType": "Limit", "price": "50000" }));
    let amend = |more: Value| {
        let mut body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderId": id });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let path = "/v5/order/amend";
    assert_eq!(code(&bench.post(&client, path, &amend(json!({ "price": "51000", "qty": "0.2" })))), 0);
    let told = bench.order(&client, &id);
    assert_eq!(
        (&told["price"], &told["qty"], &told["orderStatus"]),
        (&json!("51000"), &json!("0.2"), &json!("New"))
    );
    assert_eq!(code(&bench.post(&client, path, &amend(json!({ "price": "51000" })))), 10001);
    assert_eq!(code(&bench.post(&client, path, &amend(json!({ "price": "51000.05" })))), 10001);
    bench.price("BTCUSDT", "50900");
    assert_eq!(bench.order(&client, &id)["orderStatus"], "Filled");
    assert_eq!(code(&bench.post(&client, path, &amend(json!({ "price": "40000" })))), 110_001);
}

#[test]
fn cancel_all_takes_what_it_names() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let limit = json!({ "orderType": "Limit", "price": "50000" });
    bench.placed(&client, &limit);
    bench.placed(&client, &json!({ "triggerPrice": "61000", "triggerDirection": 1 }));
    bench.placed(&client, &json!({ "symbol": "ETHUSDT", "orderType": "Limit", "price": "2000" }));
    let path = "/v5/order/cancel-all";
    assert_eq!(code(&bench.post(&client, path, &json!({ "category": "linear" }))), 10001);
    let count = |told: &Value| told["result"]["list"].as_array().unwrap().len();
    let told = bench.post(
        &client,
        path,
        &json!({ "category": "linear", "symbol": "BTCUSDT", "orderFilter": "Order" }),
    );
    assert_eq!(count(&told), 1);
    let told = bench.post(&client, path, &json!({ "category": "linear", "settleCoin": "USDT" }));
    assert_eq!((count(&told), &told["result"]["success"]), (2, &json!("1")));
    let told = bench.post(&client, path, &json!({ "category": "linear", "settleCoin": "USDT" }));
    assert_eq!(count(&told), 0);
}
