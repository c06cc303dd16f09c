//! Each check of a new order and its retCode (EXCHANGES.md §3.6).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::instrument::InstrumentStatus;
use exchange::paper::PaperSettings;

#[test]
fn each_check_has_its_code() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let limit = |price: &str| json!({ "orderType": "Limit", "price": price });
    let cases = [
        (json!({ "category": "option" }), 10001),
        (json!({ "category": null }), 10001),
        (json!({ "symbol": "NOPEUSDT" }), 10001),
        (json!({ "side": "buy" }), 10001),
        (json!({ "orderType": "Stop" }), 10001),
        (json!({ "orderType": "Limit" }), 10001),
        (json!({ "timeInForce": "GTD" }), 10001),
        (json!({ "qty": 0.1 }), 10001),
        (json!({ "qty": null }), 10001),
        (json!({ "qty": "1,5" }), 10001),
        (json!({ "qty": "0.000000001" }), 10001),
        (json!({ "reduceOnly": "true" }), 10001),
        (json!({ "positionIdx": 1 }), 10001),
        (json!({ "positionIdx": 3 }), 10001),
        (json!({ "tpslMode": "Partial" }), 10001),
        (json!({ "orderLinkId": "a b" }), 10001),
        (json!({ "orderLinkId": "a".repeat(37) }), 10001),
        (json!({ "triggerPrice": "61000" }), 10001),
        // Filters.
        (limit("0"), 110_003),
        (limit("-1"), 110_003),
        (limit("99999999"), 110_003),
        (limit("60000.05"), 10001),
        (json!({ "qty": "0" }), 110_017),
        (json!({ "qty": "0.0001" }), 110_017),
        (json!({ "qty": "0.1005" }), 10001),
        (json!({ "qty": "121" }), 10001),
        (json!({ "qty": "0.001" }), 110_094),
        (json!({ "qty": "119" }), 110_007),
        (json!({ "stopLoss": "60000" }), 10001),
        (json!({ "takeProfit": "59999" }), 10001),
        (json!({ "stopLoss": "59000.05" }), 10001),
        (json!({ "triggerPrice": "60000", "triggerDirection": 1 }), 110_092),
        (json!({ "triggerPrice": "60000", "triggerDirection": 2 }), 110_093),
        // Reduce-only.
        (json!({ "reduceOnly": true, "side": "Sell" }), 110_017),
        (json!({ "reduceOnly": true, "takeProfit": "70000" }), 10001),
    ];
    for (more, expected) in cases {
        let told = bench.create(&client, &more);
        assert_eq!(code(&told), expected, "{more}: {told}");
    }
    assert_eq!(bench.position(&client)["size"], "0", "nothing of it was executed");
    let open = bench.get(&client, "/v5/order/realtime", "category=linear&settleCoin=USDT&openOnly=1");
    assert_eq!(open["result"]["list"], json!([]), "nothing of it left an order");
}

#[test]
fn a_symbol_that_only_closes_or_does_not_trade_says_so() {
    let mut venue = PaperSettings::default();
    for (symbol, status) in [("BTCUSDT", InstrumentStatus::CloseOnly), ("ETHUSDT", InstrumentStatus::Halted)]
    {
        let found = venue.listings.iter_mut().find(|l| l.instrument.symbol.as_str() == symbol).unwrap();
        found.instrument.status = status;
    }
    let mut bench = Bench::with(venue);
    let client = bench.client("10000");
    assert_eq!(code(&bench.create(&client, &json!({}))), 110_023);
    assert_eq!(code(&bench.create(&client, &json!({ "symbol": "ETHUSDT" }))), 110_074);
}

#[test]
fn texts_say_what_it_was() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let cases = [
        (json!({ "qty": "0.001" }), "Order does not meet minimum order value 100USDT"),
        (json!({ "qty": "119" }), "ab not enough for new order"),
        (json!({ "reduceOnly": true }), "current position is zero, cannot fix reduce-only order qty"),
        (json!({ "positionIdx": 2 }), "position idx not match position mode"),
    ];
    for (more, expected) in cases {
        assert_eq!(bench.create(&client, &more)["retMsg"], expected);
    }
}

#[test]
fn a_close_on_the_positions_own_side_reduces_nothing() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({}));
    let told = bench.create(&client, &json!({ "reduceOnly": true }));
    assert_eq!((code(&told), &told["retMsg"]), (110_017, &json!("Reduce-only rule not satisfied")));
}

#[test]
fn an_empty_wallet_is_told_as_such() {
    let mut bench = Bench::new();
    let client = bench.client("0");
    assert_eq!(code(&bench.create(&client, &json!({}))), 110_004);
}

#[test]
fn case_x11_a_close_below_the_smallest_notional_is_taken() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({ "qty": "0.002" }));
    bench.placed(&client, &json!({ "side": "Sell", "qty": "0.001", "reduceOnly": true }));
    assert_eq!(bench.position(&client)["size"], "0.001");
}

#[test]
fn a_symbol_has_ten_conditional_orders() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let more = json!({ "triggerPrice": "61000", "triggerDirection": 1 });
    for _ in 0..10 {
        bench.placed(&client, &more);
    }
    assert_eq!(code(&bench.create(&client, &more)), 110_009);
}

#[test]
fn active_orders_have_an_end() {
    let mut bench = Bench::new();
    let client = bench.client("1000000");
    let more = json!({ "orderType": "Limit", "price": "50000", "qty": "0.002" });
    let mut placed = 0;
    let refused = loop {
        let told = bench.create(&client, &more);
        if code(&told) != 0 {
            break code(&told);
        }
        placed += 1;
        assert!(placed <= 500);
    };
    assert_eq!(refused, 110_020);
}

#[test]
fn case_l6_a_position_above_the_risk_limit_of_its_leverage_is_refused() {
    let mut bench = Bench::new();
    bench.price("ARBUSDT", "1");
    let client = bench.client("10000");
    let told = bench.public("/v5/market/risk-limit?category=linear&symbol=ARBUSDT");
    let rows = told["result"]["list"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    let row = |name: &str| rows[2][name].as_str().unwrap();
    assert_eq!((row("riskLimitValue"), row("maxLeverage"), row("mmDeduction")), ("12000", "20", "137.5"));
    // 20 is what nobody has set.
    let arb = |quantity: &str| json!({ "symbol": "ARBUSDT", "qty": quantity });
    assert_eq!(code(&bench.create(&client, &arb("12000.1"))), 110_090);
    assert_eq!(code(&bench.create(&client, &arb("12000"))), 0);
    assert_eq!(code(&bench.create(&client, &arb("10"))), 110_090);
}
