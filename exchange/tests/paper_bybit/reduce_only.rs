//! Reduce-only orders never flip a position, whatever happens between their arrival and their fill.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;

#[test]
fn case_o2_resting_closes_are_capped_when_they_fill() {
    let mut bench = Bench::new();
    let client = bench.client("100000");
    bench.placed(&client, &json!({ "qty": "1" }));
    let close = |price: &str| json!({ "side": "Sell", "orderType": "Limit", "price": price, "qty": "0.7", "reduceOnly": true });
    let first = bench.placed(&client, &close("60500"));
    let second = bench.placed(&client, &close("60600"));
    bench.price("BTCUSDT", "61000");
    let position = bench.position(&client);
    assert_eq!((&position["size"], &position["side"]), (&json!("0"), &json!("")));
    assert_eq!(bench.order(&client, &first)["cumExecQty"], "0.7");
    let told = bench.order(&client, &second);
    // Case P3: a cancelled order may hold fills.
    assert_eq!((&told["cumExecQty"], &told["orderStatus"]), (&json!("0.3"), &json!("Cancelled")));
    assert_eq!(told["cancelType"], "CancelByReduceOnly");
}

#[test]
fn case_o3_a_close_larger_than_the_position_closes_it_and_no_more() {
    for (open, close) in [("Buy", "Sell"), ("Sell", "Buy")] {
        let mut bench = Bench::new();
        let client = bench.client("10000");
        bench.placed(&client, &json!({ "side": open }));
        let id = bench.placed(&client, &json!({ "side": close, "qty": "5", "reduceOnly": true }));
        let told = bench.order(&client, &id);
        assert_eq!((&told["cumExecQty"], &told["orderStatus"]), (&json!("0.1"), &json!("Filled")));
        assert_eq!(bench.position(&client)["size"], "0");
        assert_eq!(code(&bench.create(&client, &json!({ "side": close, "reduceOnly": true }))), 110_017);
    }
}

#[test]
fn a_quantity_of_zero_closes_all() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({ "qty": "0.123" }));
    bench.placed(&client, &json!({ "side": "Sell", "qty": "0", "reduceOnly": true, "closeOnTrigger": true }));
    assert_eq!(bench.position(&client)["size"], "0");
}

#[test]
fn case_h8_without_reduce_only_a_sell_goes_through_flat() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({}));
    bench.placed(&client, &json!({ "side": "Sell", "qty": "0.3" }));
    let position = bench.position(&client);
    assert_eq!((&position["side"], &position["size"]), (&json!("Sell"), &json!("0.2")));
}
