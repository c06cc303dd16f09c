//! What the exchange does by itself: funding arrives as an execution, a liquidation as one of type BustTrade.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Timestamp;

/// 2023-11-15 00:00 UTC.
const BOUNDARY_MS: u64 = 1_700_006_400_000;

#[test]
fn case_f3_funding_is_an_execution_that_longs_pay_and_shorts_receive() {
    for (side, fee, change, rate) in [("Buy", "0.6", "-0.6", "0.0001"), ("Sell", "-0.6", "0.6", "-0.0001")] {
        let mut bench = Bench::new();
        let client = bench.client("10000");
        bench.placed(&client, &json!({ "side": side }));
        let conn = bench.private(&client, &["execution", "position", "wallet"]);
        bench.now = Timestamp::from_millis(BOUNDARY_MS);
        bench.price("BTCUSDT", "60000");
        let heard = bench.heard(conn);
        assert_eq!(column(&heard, "execution", "execType"), ["Funding"]);
        assert_eq!(column(&heard, "execution", "execFee"), [fee]);
        assert_eq!(column(&heard, "execution", "feeRate"), [rate]);
        assert_eq!(column(&heard, "execution", "orderLinkId"), [""]);
        assert_eq!(column(&heard, "wallet", "accountType").len(), 1);
        let told = bench.get(&client, "/v5/execution/list", "category=linear&execType=Funding");
        let rows = told["result"]["list"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["execId"]), (1, &heard[0]["data"][0]["execId"]));
        let told = bench.get(&client, "/v5/account/transaction-log", "accountType=UNIFIED&type=SETTLEMENT");
        assert_eq!(
            (&told["result"]["list"][0]["funding"], &told["result"]["list"][0]["change"]),
            (&json!(change), &json!(change))
        );
        // Case F1: once, however many prices follow.
        bench.price("BTCUSDT", "60001");
        assert_eq!(column(&bench.heard(conn), "execution", "execType"), Vec::<String>::new());
    }
}

#[test]
fn case_f6_a_liquidation_is_told_by_its_marks() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let body =
        json!({ "category": "linear", "symbol": "BTCUSDT", "buyLeverage": "100", "sellLeverage": "100" });
    bench.post(&client, "/v5/position/set-leverage", &body);
    bench.placed(&client, &json!({ "qty": "1", "orderLinkId": "doomed" }));
    let liquidation = bench.position(&client)["liqPrice"].as_str().unwrap().to_owned();
    let conn = bench.private(&client, &["order", "execution", "position"]);
    bench.price("BTCUSDT", "59000");
    let heard = bench.heard(conn);
    assert_eq!(column(&heard, "execution", "execType"), ["BustTrade"]);
    assert_eq!(column(&heard, "execution", "execPrice"), [liquidation]);
    assert_eq!(column(&heard, "execution", "orderLinkId"), [""]);
    assert_eq!(column(&heard, "execution", "createType"), ["CreateByLiq"]);
    assert_eq!(column(&heard, "order", "createType").first().map(String::as_str), Some("CreateByLiq"));
    assert_eq!(column(&heard, "position", "size").last().map(String::as_str), Some("0"));
    assert_eq!(bench.position(&client)["size"], "0");
}

#[test]
fn executions_are_listed_newest_first_and_by_order() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let first = bench.placed(&client, &json!({ "orderLinkId": "one" }));
    bench.placed(&client, &json!({ "symbol": "ETHUSDT", "orderLinkId": "two" }));
    let told = bench.get(&client, "/v5/execution/list", "category=linear");
    let links: Vec<_> =
        told["result"]["list"].as_array().unwrap().iter().map(|row| row["orderLinkId"].clone()).collect();
    assert_eq!(links, ["two", "one"]);
    for query in [format!("orderId={first}"), "orderLinkId=one".to_owned(), "symbol=BTCUSDT".to_owned()] {
        let told = bench.get(&client, "/v5/execution/list", &format!("category=linear&{query}"));
        let rows = told["result"]["list"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["orderId"]), (1, &json!(first)), "{query}");
        assert_eq!(
            (&rows[0]["execValue"], &rows[0]["feeRate"], &rows[0]["isMaker"]),
            (&json!("6000"), &json!("0.0005"), &json!(false))
        );
    }
    let told = bench.get(&client, "/v5/execution/list", "category=linear&limit=1");
    let cursor = told["result"]["nextPageCursor"].as_str().unwrap().to_owned();
    let told = bench.get(&client, "/v5/execution/list", &format!("category=linear&limit=1&cursor={cursor}"));
    assert_eq!(told["result"]["list"][0]["orderLinkId"], "one");
    assert_eq!(told["result"]["nextPageCursor"], "");
}
