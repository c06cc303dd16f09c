//! takeProfit and stopLoss of an order (mode Full) become orders of the position: the exchange's own, without an
//! orderLinkId, which close the position and end with it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;

fn open_orders(bench: &mut Bench, client: &Client) -> Vec<Value> {
    let told = bench.get(client, "/v5/order/realtime", "category=linear&settleCoin=USDT");
    told["result"]["list"].as_array().unwrap().clone()
}

fn of_type<'a>(orders: &'a [Value], kind: &str) -> &'a Value {
    orders.iter().find(|order| order["stopOrderType"] == kind).unwrap()
}

fn protected(bench: &mut Bench, side: &str, stop: &str, target: &str) -> Client {
    let client = bench.client("10000");
    let more = json!({ "side": side, "stopLoss": stop, "takeProfit": target, "tpslMode": "Full", "orderLinkId": "entry" });
    bench.placed(&client, &more);
    client
}

#[test]
fn they_are_told_as_the_exchanges_own() {
    let mut bench = Bench::new();
    let client = protected(&mut bench, "Buy", "59000", "62000");
    let orders = open_orders(&mut bench, &client);
    assert_eq!(orders.len(), 2);
    for (kind, create, price, direction) in
        [("StopLoss", "CreateByStopLoss", "59000", 2), ("TakeProfit", "CreateByTakeProfit", "62000", 1)]
    {
        let order = of_type(&orders, kind);
        assert_eq!(order["orderLinkId"], "");
        assert_eq!(order["parentOrderLinkId"], "entry");
        assert_eq!(order["createType"], create);
        assert_eq!(order["triggerPrice"], price);
        assert_eq!(order["triggerDirection"], direction);
        assert_eq!(order["orderStatus"], "Untriggered");
        assert_eq!((&order["side"], &order["reduceOnly"]), (&json!("Sell"), &json!(true)));
    }
    let position = bench.position(&client);
    assert_eq!((&position["stopLoss"], &position["takeProfit"]), (&json!("59000"), &json!("62000")));
}

#[test]
fn a_stop_closes_the_position_and_the_other_ends() {
    for (side, stop, target, to) in [("Buy", "59000", "62000", "58000"), ("Sell", "61000", "58000", "61500")]
    {
        let mut bench = Bench::new();
        let client = protected(&mut bench, side, stop, target);
        let orders = open_orders(&mut bench, &client);
        let (stop_id, target_id) = (
            of_type(&orders, "StopLoss")["orderId"].clone(),
            of_type(&orders, "TakeProfit")["orderId"].clone(),
        );
        bench.price("BTCUSDT", to);
        assert_eq!(bench.position(&client)["size"], "0");
        assert_eq!(bench.position(&client)["side"], "");
        let stop_order = bench.order(&client, stop_id.as_str().unwrap());
        assert_eq!((&stop_order["orderStatus"], &stop_order["avgPrice"]), (&json!("Filled"), &json!(stop)));
        assert_eq!(stop_order["cumExecQty"], "0.1");
        // Case O8: nothing is left that could open a position.
        let target_order = bench.order(&client, target_id.as_str().unwrap());
        assert_eq!(target_order["orderStatus"], "Deactivated");
        assert_eq!(target_order["cancelType"], "CancelByTpSlTsClear");
        assert_eq!(open_orders(&mut bench, &client), Vec::<Value>::new());
    }
}

#[test]
fn a_target_closes_the_position() {
    let mut bench = Bench::new();
    let client = protected(&mut bench, "Buy", "59000", "62000");
    bench.price("BTCUSDT", "62500");
    assert_eq!(bench.position(&client)["size"], "0");
    let closed = bench.get(&client, "/v5/position/closed-pnl", "category=linear&symbol=BTCUSDT");
    let row = &closed["result"]["list"][0];
    assert_eq!(
        (&row["avgEntryPrice"], &row["avgExitPrice"], &row["closedSize"]),
        (&json!("60000"), &json!("62000"), &json!("0.1"))
    );
    // 200 earned; 0.05 % of 6000 paid for the entry, and of 6200 for the exit.
    assert_eq!(
        (&row["closedPnl"], &row["openFee"], &row["closeFee"], &row["side"]),
        (&json!("193.9"), &json!("3"), &json!("3.1"), &json!("Sell"))
    );
    assert_eq!(bench.order(&client, row["orderId"].as_str().unwrap())["closedPnl"], "193.9");
}

#[test]
fn a_part_of_a_position_closes_with_its_part_of_the_fees() {
    let mut bench = Bench::new();
    let client = protected(&mut bench, "Buy", "59000", "62000");
    for (quantity, fee) in [("0.04", "1.2"), ("0.06", "1.8")] {
        bench.placed(&client, &json!({ "side": "Sell", "qty": quantity, "reduceOnly": true }));
        let closed = bench.get(&client, "/v5/position/closed-pnl", "category=linear&symbol=BTCUSDT&limit=1");
        let row = &closed["result"]["list"][0];
        assert_eq!((&row["closedSize"], &row["openFee"]), (&json!(quantity), &json!(fee)));
        assert_eq!(row["closeFee"], fee, "closed where it was opened");
        let net = format!("-{}", if fee == "1.2" { "2.4" } else { "3.6" });
        assert_eq!(row["closedPnl"], net.as_str());
    }
}

#[test]
fn case_o10_a_manual_close_ends_the_stops_before_a_new_position_begins() {
    let mut bench = Bench::new();
    let client = protected(&mut bench, "Buy", "59000", "62000");
    bench.placed(&client, &json!({ "side": "Sell", "qty": "0", "reduceOnly": true, "closeOnTrigger": true }));
    assert_eq!(open_orders(&mut bench, &client), Vec::<Value>::new());
    bench.placed(&client, &json!({}));
    bench.price("BTCUSDT", "58000");
    assert_eq!(bench.position(&client)["size"], "0.1", "the old stop is gone");
    assert_eq!(bench.position(&client)["stopLoss"], "");
}

#[test]
fn a_reversal_ends_the_stops_of_the_old_position() {
    let mut bench = Bench::new();
    let client = protected(&mut bench, "Buy", "59000", "62000");
    bench.placed(&client, &json!({ "side": "Sell", "qty": "0.3", "stopLoss": "61000" }));
    let position = bench.position(&client);
    assert_eq!((&position["side"], &position["size"]), (&json!("Sell"), &json!("0.2")));
    assert_eq!((&position["stopLoss"], &position["takeProfit"]), (&json!("61000"), &json!("")));
    assert_eq!(open_orders(&mut bench, &client).len(), 1);
}

#[test]
fn trading_stop_sets_moves_and_takes_away() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let stop = |more: Value| {
        let mut body =
            json!({ "category": "linear", "symbol": "BTCUSDT", "positionIdx": 0, "tpslMode": "Full" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let path = "/v5/position/trading-stop";
    assert_eq!(code(&bench.post(&client, path, &stop(json!({ "stopLoss": "59000" })))), 10001, "no position");
    bench.placed(&client, &json!({}));
    for (more, expected, told) in [
        (json!({ "stopLoss": "59000", "takeProfit": "62000" }), 0, ("59000", "62000")),
        (json!({ "stopLoss": "59000" }), 34_040, ("59000", "62000")),
        (json!({ "stopLoss": "59500" }), 0, ("59500", "62000")),
        (json!({ "takeProfit": "0" }), 0, ("59500", "")),
        (json!({ "stopLoss": "60000" }), 10001, ("59500", "")),
        (json!({ "stopLoss": "59500.05" }), 10001, ("59500", "")),
        (json!({ "trailingStop": "100" }), 10001, ("59500", "")),
        (json!({ "stopLoss": "59000", "positionIdx": 1 }), 10001, ("59500", "")),
    ] {
        let answer = bench.post(&client, path, &stop(more.clone()));
        assert_eq!(code(&answer), expected, "{more}: {answer}");
        let position = bench.position(&client);
        assert_eq!(
            (&position["stopLoss"], &position["takeProfit"]),
            (&json!(told.0), &json!(told.1)),
            "{more}"
        );
    }
    assert_eq!(open_orders(&mut bench, &client).len(), 1);
    bench.price("BTCUSDT", "59400");
    assert_eq!(bench.position(&client)["size"], "0");
}

#[test]
fn a_size_of_triggers_is_nothing_in_mode_full() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({}));
    // Sizes are of mode Partial, which is not there.
    for (mode, more, expected) in [
        ("Full", json!({ "slSize": "0.02", "tpSize": "0.02" }), 0),
        ("Partial", json!({ "slSize": "0.02" }), 10001),
        ("", json!({ "slSize": "0.02" }), 10001),
        ("Full", json!({ "slLimitPrice": "59200" }), 10001),
    ] {
        let mut body =
            json!({ "category": "linear", "symbol": "BTCUSDT", "positionIdx": 0, "tpslMode": mode });
        body["stopLoss"] = "59000".into();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = bench.post(&client, "/v5/position/trading-stop", &body);
        assert_eq!(code(&answer), expected, "{body}: {answer}");
    }
    bench.price("BTCUSDT", "58900");
    assert_eq!(bench.position(&client)["size"], "0", "the whole position");
}

#[test]
fn a_resting_entry_is_protected_when_it_fills_and_not_before() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let more = json!({ "orderType": "Limit", "price": "59000", "stopLoss": "58000", "orderLinkId": "rest" });
    let id = bench.placed(&client, &more);
    assert_eq!(open_orders(&mut bench, &client).len(), 1);
    assert_eq!(bench.order(&client, &id)["stopLoss"], "58000");
    bench.price("BTCUSDT", "58900");
    let orders = open_orders(&mut bench, &client);
    assert_eq!((orders.len(), &orders[0]["stopOrderType"]), (1, &json!("StopLoss")));
    bench.price("BTCUSDT", "57900");
    assert_eq!(bench.position(&client)["size"], "0");
}
