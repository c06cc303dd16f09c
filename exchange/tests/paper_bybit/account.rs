//! The account: settings and how "already so" is told, wallet, key, transaction log.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::paper_exchange::keys::{KeySpec, Rights};

fn leverage(buy: &str, sell: &str) -> Value {
    json!({ "category": "linear", "symbol": "BTCUSDT", "buyLeverage": buy, "sellLeverage": sell })
}

#[test]
fn case_l2_leverage_that_is_so_already_has_its_own_code() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let path = "/v5/position/set-leverage";
    for (buy, sell, expected) in [
        ("10", "10", 0),
        ("10", "10", 110_043),
        ("126", "126", 110_013),
        ("0", "0", 110_013),
        ("10", "11", 10001),
        ("2.5", "2.5", 10001),
        ("x", "x", 10001),
    ] {
        assert_eq!(code(&bench.post(&client, path, &leverage(buy, sell))), expected, "{buy} {sell}");
    }
    assert_eq!(bench.position(&client)["leverage"], "10");
    bench.placed(&client, &json!({ "qty": "1" }));
    assert_eq!(bench.position(&client)["positionIM"], "6000");
    // The margin of lower leverage is not there.
    assert_eq!(code(&bench.post(&client, path, &leverage("2", "2"))), 110_012);
    assert_eq!(code(&bench.post(&client, path, &leverage("20", "20"))), 0);
    let position = bench.position(&client);
    assert_eq!((&position["leverage"], &position["positionIM"]), (&json!("20"), &json!("3000")));
}

#[test]
fn case_h5_modes_that_are_so_already_have_their_own_codes() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let mode = |mode: u8| json!({ "category": "linear", "coin": "USDT", "mode": mode });
    let path = "/v5/position/switch-mode";
    assert_eq!(code(&bench.post(&client, path, &mode(0))), 110_025);
    assert_eq!(code(&bench.post(&client, path, &mode(1))), 10001);
    let margin = |mode: &str| json!({ "setMarginMode": mode });
    let margin_path = "/v5/account/set-margin-mode";
    for (asked, expected) in
        [("REGULAR_MARGIN", 110_026), ("ISOLATED_MARGIN", 0), ("ISOLATED_MARGIN", 110_026), ("NONE", 10001)]
    {
        assert_eq!(code(&bench.post(&client, margin_path, &margin(asked))), expected, "{asked}");
    }
    assert_eq!(bench.get(&client, "/v5/account/info", "")["result"]["marginMode"], "ISOLATED_MARGIN");
    // Case H2: not beside orders or positions.
    let id = bench.placed(&client, &json!({ "orderType": "Limit", "price": "50000" }));
    assert_eq!(code(&bench.post(&client, path, &mode(3))), 110_028);
    let body = json!({ "category": "linear", "symbol": "BTCUSDT", "orderId": id });
    bench.post(&client, "/v5/order/cancel", &body);
    bench.placed(&client, &json!({}));
    assert_eq!(code(&bench.post(&client, path, &mode(3))), 110_024);
}

#[test]
fn case_h1_in_hedge_mode_orders_name_their_side() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    let mode = json!({ "category": "linear", "coin": "USDT", "mode": 3 });
    assert_eq!(code(&bench.post(&client, "/v5/position/switch-mode", &mode)), 0);
    let told = bench.create(&client, &json!({}));
    assert_eq!((code(&told), &told["retMsg"]), (10001, &json!("position idx not match position mode")));
    bench.placed(&client, &json!({ "positionIdx": 1 }));
    let position = bench.position(&client);
    assert_eq!((&position["positionIdx"], &position["side"]), (&json!(1), &json!("Buy")));
    // A sell on the long side closes it, also without reduceOnly.
    bench.placed(&client, &json!({ "positionIdx": 1, "side": "Sell", "qty": "0.5" }));
    assert_eq!(bench.position(&client)["size"], "0");
}

#[test]
fn the_wallet_tells_what_is_there_and_what_is_used() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({ "qty": "1" }));
    bench.price("BTCUSDT", "60100");
    let told = bench.get(&client, "/v5/account/wallet-balance", "accountType=UNIFIED");
    let (account, coin) = (&told["result"]["list"][0], &told["result"]["list"][0]["coin"][0]);
    assert_eq!(
        (&coin["coin"], &coin["walletBalance"], &coin["unrealisedPnl"]),
        (&json!("USDT"), &json!("9970"), &json!("100"))
    );
    assert_eq!((&account["totalEquity"], &account["totalInitialMargin"]), (&json!("10070"), &json!("3000")));
    assert_eq!(account["totalAvailableBalance"], "6970");
    assert_eq!(code(&bench.get(&client, "/v5/account/wallet-balance", "accountType=SPOT")), 10001);
}

#[test]
fn positions_are_asked_for_by_symbol_or_coin() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({}));
    bench.placed(&client, &json!({ "symbol": "ETHUSDT", "side": "Sell" }));
    let list = |bench: &mut Bench, query: &str| bench.get(&client, "/v5/position/list", query);
    assert_eq!(code(&list(&mut bench, "category=linear")), 10001);
    let told = list(&mut bench, "category=linear&settleCoin=USDT");
    let rows: Vec<_> = told["result"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["symbol"].clone(), row["side"].clone(), row["size"].clone()))
        .collect();
    assert_eq!(
        rows,
        [(json!("BTCUSDT"), json!("Buy"), json!("0.1")), (json!("ETHUSDT"), json!("Sell"), json!("0.1"))]
    );
    let told = list(&mut bench, "category=linear&settleCoin=USDT&limit=1");
    let cursor = told["result"]["nextPageCursor"].as_str().unwrap().to_owned();
    let told = list(&mut bench, &format!("category=linear&settleCoin=USDT&limit=1&cursor={cursor}"));
    assert_eq!(
        (&told["result"]["list"][0]["symbol"], &told["result"]["nextPageCursor"]),
        (&json!("ETHUSDT"), &json!(""))
    );
    // A flat one is told when it is named.
    let told = list(&mut bench, "category=linear&symbol=SOLUSDT");
    let row = &told["result"]["list"][0];
    assert_eq!((&row["size"], &row["side"], &row["leverage"]), (&json!("0"), &json!(""), &json!("20")));
}

#[test]
fn the_key_tells_its_rights_and_its_days() {
    let mut bench = Bench::new();
    let mut client = bench.client("1");
    let told = bench.get(&client, "/v5/user/query-api", "")["result"].clone();
    assert_eq!(
        (&told["readOnly"], &told["deadlineDay"], &told["ips"]),
        (&json!(0), &json!(90), &json!(["*"]))
    );
    assert_eq!(told["permissions"]["ContractTrade"], json!(["Order", "Position"]));
    assert_eq!((&told["permissions"]["Wallet"], &told["uta"]), (&json!([]), &json!(1)));
    bench.pass(10 * 24 * 3_600_000);
    assert_eq!(bench.get(&client, "/v5/user/query-api", "")["result"]["deadlineDay"], 80);
    client.key = "RICH".to_owned();
    let rights = Rights { trade: true, withdraw: true };
    let spec = KeySpec { rights, addresses: vec![HERE], ..KeySpec::hmac("RICH", &client.secret) };
    bench.exchange.core.add_key(client.no, &spec).unwrap();
    let told = bench.get(&client, "/v5/user/query-api", "")["result"].clone();
    assert_eq!((&told["ips"], &told["deadlineDay"]), (&json!(["10.0.0.1"]), &json!(-2)));
    assert!(told["permissions"]["Wallet"].as_array().unwrap().contains(&json!("Withdraw")));
}

#[test]
fn the_log_adds_up_to_the_wallet() {
    let mut bench = Bench::new();
    let client = bench.client("10000");
    bench.placed(&client, &json!({}));
    bench.price("BTCUSDT", "61000");
    bench.placed(&client, &json!({ "side": "Sell", "qty": "0.1", "reduceOnly": true }));
    let told = bench.get(&client, "/v5/account/transaction-log", "accountType=UNIFIED&limit=50");
    let rows = told["result"]["list"].as_array().unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["TRADE", "TRADE", "TRADE", "TRANSFER_IN"]);
    let change =
        |row: &Value| -> engine::core::fixed::Money { row["change"].as_str().unwrap().parse().unwrap() };
    let sum = rows.iter().map(change).reduce(|a, b| a.checked_add(b).unwrap()).unwrap();
    let wallet = bench.get(&client, "/v5/account/wallet-balance", "accountType=UNIFIED");
    assert_eq!(wallet["result"]["list"][0]["coin"][0]["walletBalance"], sum.to_string());
    assert_eq!(rows[0]["cashBalance"], sum.to_string());
    let told = bench.get(&client, "/v5/account/fee-rate", "category=linear&symbol=BTCUSDT");
    assert_eq!(told["result"]["list"][0]["takerFeeRate"], "0.0005");
}
