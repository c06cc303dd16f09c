//! Whatever is sent, signed or not, is answered with a code and never with a panic; and money stays where it belongs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use proptest::prelude::*;

const PATHS: &[(&str, &str)] = &[
    ("GET", "/v5/market/instruments-info"),
    ("GET", "/v5/market/tickers"),
    ("GET", "/v5/market/kline"),
    ("GET", "/v5/market/funding/history"),
    ("GET", "/v5/order/realtime"),
    ("GET", "/v5/order/history"),
    ("GET", "/v5/execution/list"),
    ("GET", "/v5/position/list"),
    ("GET", "/v5/position/closed-pnl"),
    ("GET", "/v5/account/wallet-balance"),
    ("GET", "/v5/account/transaction-log"),
    ("POST", "/v5/order/create"),
    ("POST", "/v5/order/amend"),
    ("POST", "/v5/order/cancel"),
    ("POST", "/v5/order/cancel-all"),
    ("POST", "/v5/order/create-batch"),
    ("POST", "/v5/position/set-leverage"),
    ("POST", "/v5/position/switch-mode"),
    ("POST", "/v5/position/trading-stop"),
    ("POST", "/v5/account/set-margin-mode"),
];

const NAMES: &[&str] = &[
    "category",
    "symbol",
    "side",
    "orderType",
    "qty",
    "price",
    "timeInForce",
    "orderLinkId",
    "orderId",
    "reduceOnly",
    "closeOnTrigger",
    "triggerPrice",
    "triggerDirection",
    "stopLoss",
    "takeProfit",
    "positionIdx",
    "limit",
    "cursor",
    "startTime",
    "endTime",
    "start",
    "end",
    "interval",
    "settleCoin",
    "request",
    "buyLeverage",
    "sellLeverage",
    "mode",
    "coin",
    "setMarginMode",
    "accountType",
];

fn values() -> impl Strategy<Value = Value> {
    let words = [
        "linear",
        "BTCUSDT",
        "Buy",
        "Sell",
        "Market",
        "Limit",
        "0.1",
        "0",
        "60000",
        "-1",
        "1e300",
        "9.2e-7",
        "99999999999",
        "92233720368.54775807",
        "GTC",
        "FOK",
        "PostOnly",
        "1",
        "5",
        "USDT",
        "UNIFIED",
        "a",
        "",
        "NaN",
        "1,5",
        "é",
        "61000",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(|word| json!(word)),
        1 => any::<u64>().prop_map(|number| json!(number)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(|flag| json!(flag)),
        1 => Just(json!(null)),
        1 => Just(json!([{ "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.1" }, {}])),
        1 => Just(json!({ "a": [1, 2] })),
    ]
}

/// A path, fields by their names' places, and chance.
type Request = (usize, Vec<(usize, Value)>, u8);

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let fields = prop::collection::vec((0..NAMES.len(), values()), 0..10);
    prop::collection::vec((0..PATHS.len(), fields, any::<u8>()), 1..40)
}

/// A body that is likely to be taken, with the fields of the case over it.
fn body(fields: &[(usize, Value)], plain: bool) -> Value {
    let mut body = if plain { order(&json!({})) } else { json!({}) };
    for (name, value) in fields {
        body[NAMES[*name]] = value.clone();
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_breaks_it(requests in requests()) {
        let mut bench = Bench::new();
        let client = bench.client("10000");
        let conn = bench.private(&client, &["order", "execution", "position", "wallet"]);
        let trade = bench.trade(&client);
        for (at, (path, fields, chance)) in requests.iter().enumerate() {
            let (method, path) = PATHS[*path];
            let body = body(fields, chance % 2 == 0);
            let query: Vec<_> = body.as_object().unwrap().iter().map(|(name, value)| {
                format!("{name}={}", value.as_str().map_or_else(|| value.to_string().replace(['"', ' '], ""), str::to_owned))
            }).collect();
            let call = match method {
                "GET" => bench.signed(&client, method, path, &query.join("&"), ""),
                _ => bench.signed(&client, method, path, "", &body.to_string()),
            };
            let answer = bench.http(HERE, &call);
            prop_assert_eq!(answer.status, 200);
            let told: Value = serde_json::from_str(&answer.body).unwrap();
            prop_assert!(told["retCode"].is_u64() && told["result"].is_object(), "{}", answer.body);
            let header = json!({ "X-BAPI-TIMESTAMP": bench.ms() });
            let op = ["order.create", "order.cancel", "order.amend", "order.create-batch"][at % 4];
            let message = json!({ "reqId": at.to_string(), "header": header, "op": op, "args": [body] });
            prop_assert_eq!(bench.say(trade, &message).len(), 1);
            let price = 60_000 + i64::from(*chance) * 10 - 1_280;
            bench.price("BTCUSDT", &price.to_string());
        }
        bench.heard(conn);
        // What the face tells is what the venue holds.
        let core = &bench.exchange.core;
        let held = core.account(client.no).unwrap();
        let sum = held.incomes.iter().map(|income| income.amount).reduce(|a, b| a.checked_add(b).unwrap()).unwrap();
        prop_assert_eq!(sum, held.wallet);
    }

    #[test]
    fn bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        let mut bench = Bench::new();
        let client = bench.client("10000");
        let text_of = String::from_utf8_lossy(&bytes).into_owned();
        let mut call = bench.signed(&client, "POST", "/v5/order/create", "", &text_of);
        call.body = text_of.clone().into_bytes();
        let told: Value = serde_json::from_str(&bench.http(HERE, &call).body).unwrap();
        prop_assert_eq!(code(&told), 10001);
        let target = format!("/v5/market/tickers?{text}");
        let told = bench.public(&target);
        prop_assert!(told["retCode"].is_u64());
        let conn = bench.trade(&client);
        for text in [&text, &text_of] {
            bench.exchange.socket_message(bench.now, conn, text);
            prop_assert_eq!(bench.heard(conn).len(), 1);
        }
    }
}
