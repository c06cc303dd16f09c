//! Conditional orders: wait for a price from the side that they name, then are orders like others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;

#[test]
fn an_entry_waits_for_its_price() {
    for (rising, trigger, to) in [(1, "61000", "61200"), (2, "59000", "58800")] {
        let mut bench = Bench::new();
        let client = bench.client("10000");
        let id = bench.placed(&client, &json!({ "triggerPrice": trigger, "triggerDirection": rising }));
        let told = bench.order(&client, &id);
        assert_eq!((&told["orderStatus"], &told["stopOrderType"]), (&json!("Untriggered"), &json!("Stop")));
        assert_eq!((&told["triggerPrice"], &told["triggerDirection"]), (&json!(trigger), &json!(rising)));
        assert_eq!(bench.position(&client)["size"], "0");
        bench.price("BTCUSDT", to);
        assert_eq!(bench.order(&client, &id)["orderStatus"], "Filled");
        assert_eq!(bench.position(&client)["size"], "0.1");
    }
}

#[test]
fn a_triggered_limit_rests() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let more =
        json!({ "triggerPrice": "61000", "triggerDirection": 1, "orderType": "Limit", "price": "60500" });
    let id = bench.placed(&client, &more);
    let conn = bench.private(&client, &["order"]);
    bench.price("BTCUSDT", "61000");
    let heard = bench.heard(conn);
    assert_eq!(column(&heard, "order", "orderStatus"), ["Triggered", "New"]);
    bench.price("BTCUSDT", "60400");
    assert_eq!(bench.order(&client, &id)["orderStatus"], "Filled");
}

#[test]
fn a_conditional_close_ends_when_it_finds_nothing() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let more = json!({ "side": "Sell", "triggerPrice": "59000", "triggerDirection": 2, "reduceOnly": true, "closeOnTrigger": true });
    // Taken without a position, as Bybit does.
    let early = bench.placed(&client, &more);
    bench.price("BTCUSDT", "58900");
    assert_eq!(bench.order(&client, &early)["cumExecQty"], "0");
    assert_eq!(bench.position(&client)["size"], "0");
    bench.price("BTCUSDT", "60000");
    bench.placed(&client, &json!({}));
    let id = bench.placed(&client, &more);
    bench.price("BTCUSDT", "58900");
    assert_eq!(bench.order(&client, &id)["orderStatus"], "Filled");
    assert_eq!(bench.position(&client)["size"], "0");
}

#[test]
fn one_that_never_fired_is_deactivated_by_a_cancel() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let id = bench.placed(&client, &json!({ "triggerPrice": "61000", "triggerDirection": 1 }));
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderId": id });
    assert_eq!(code(&bench.post(&client, "/v5/order/cancel", &body)), 0);
    assert_eq!(bench.order(&client, &id)["orderStatus"], "Deactivated");
    bench.price("BTCUSDT", "62000");
    assert_eq!(bench.position(&client)["size"], "0");
}

#[test]
fn lives_of_orders_are_kept() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    for (more, status, reason, filled) in [
        (json!({ "timeInForce": "IOC", "price": "59000" }), "Cancelled", "EC_NoImmediateQtyToFill", "0"),
        (json!({ "timeInForce": "FOK", "price": "59000" }), "Cancelled", "EC_CancelForNoFullFill", "0"),
        (
            json!({ "timeInForce": "PostOnly", "price": "61000" }),
            "Cancelled",
            "EC_PostOnlyWillTakeLiquidity",
            "0",
        ),
        (json!({ "timeInForce": "PostOnly", "price": "59000" }), "New", "EC_NoError", "0"),
        (json!({ "timeInForce": "IOC", "price": "61000" }), "Filled", "EC_NoError", "0.1"),
    ] {
        let mut more = more;
        more["orderType"] = "Limit".into();
        let id = bench.placed(&client, &more);
        let told = bench.order(&client, &id);
        assert_eq!((&told["orderStatus"], &told["rejectReason"]), (&json!(status), &json!(reason)), "{more}");
        assert_eq!(told["cumExecQty"], filled, "{more}");
    }
}

#[test]
fn the_price_that_it_watches_is_told_as_it_was_asked_for() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    for (asked, told) in [
        (Value::Null, "LastPrice"),
        (json!("LastPrice"), "LastPrice"),
        (json!("MarkPrice"), "MarkPrice"),
        (json!("IndexPrice"), "IndexPrice"),
    ] {
        let mut more = json!({ "triggerPrice": "61000", "triggerDirection": 1 });
        if !asked.is_null() {
            more["triggerBy"] = asked;
        }
        let id = bench.placed(&client, &more);
        assert_eq!(bench.order(&client, &id)["triggerBy"], told);
    }
    let plain = bench.placed(&client, &json!({}));
    assert_eq!(bench.order(&client, &plain)["triggerBy"], "");
}
