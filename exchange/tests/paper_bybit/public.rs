//! What needs no key: instruments to the last page, prices, and the public socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;

#[test]
fn case_x18_instruments_are_paged_to_the_end() {
    let mut bench = Bench::new();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let told =
            bench.public(&format!("/v5/market/instruments-info?category=linear&limit=5&cursor={cursor}"));
        let list = told["result"]["list"].as_array().unwrap().clone();
        assert!(list.len() <= 5);
        seen.extend(list.iter().map(|row| row["symbol"].as_str().unwrap().to_owned()));
        cursor = told["result"]["nextPageCursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    let listed: Vec<_> = bench.exchange.core.instruments().iter().map(|one| one.symbol.to_string()).collect();
    assert_eq!(seen, listed);
}

#[test]
fn an_instrument_tells_its_filters() {
    let mut bench = Bench::new();
    let told = bench.public("/v5/market/instruments-info?category=linear&symbol=BTCUSDT");
    let row = &told["result"]["list"][0];
    assert_eq!(row["priceFilter"]["tickSize"], "0.1");
    let lots = &row["lotSizeFilter"];
    assert_eq!(
        (&lots["qtyStep"], &lots["minOrderQty"], &lots["maxMktOrderQty"]),
        (&json!("0.001"), &json!("0.001"), &json!("120"))
    );
    assert_eq!((&lots["maxOrderQty"], &lots["minNotionalValue"]), (&json!("1000"), &json!("100")));
    assert_eq!(
        (&row["leverageFilter"]["maxLeverage"], &row["fundingInterval"]),
        (&json!("125"), &json!(480))
    );
    assert_eq!((&row["status"], &row["settleCoin"]), (&json!("Trading"), &json!("USDT")));
    assert_eq!(code(&bench.public("/v5/market/instruments-info?category=linear&symbol=NOPE")), 10001);
    assert_eq!(code(&bench.public("/v5/market/instruments-info")), 10001);
    let spot = bench.public("/v5/market/instruments-info?category=spot");
    assert_eq!(spot["result"]["list"], json!([]));
}

#[test]
fn prices_are_those_of_the_market() {
    let mut bench = Bench::new();
    bench.price("BTCUSDT", "60600");
    let told = bench.public("/v5/market/tickers?category=linear&symbol=BTCUSDT");
    let row = &told["result"]["list"][0];
    assert_eq!((&row["lastPrice"], &row["markPrice"]), (&json!("60600"), &json!("60600")));
    assert_eq!((&row["bid1Price"], &row["ask1Price"]), (&json!("60600"), &json!("60600.1")));
    assert_eq!((&row["price24hPcnt"], &row["highPrice24h"]), (&json!("0.01"), &json!("60600")));
    // Two prices, each a trade of the smallest quantity.
    assert_eq!((&row["volume24h"], &row["turnover24h"]), (&json!("0.002"), &json!("120.6")));
    // 2023-11-15 00:00 UTC.
    assert_eq!(row["nextFundingTime"], "1700006400000");
    let told = bench.public("/v5/market/kline?category=linear&symbol=BTCUSDT&interval=5");
    let rows = told["result"]["list"].as_array().unwrap();
    assert_eq!(
        rows[0].as_array().unwrap()[1..5],
        [json!("60000"), json!("60600"), json!("60000"), json!("60600")]
    );
    assert_eq!((&rows[0][5], &rows[0][6]), (&json!("0.002"), &json!("120.6")));
    let told = bench.public("/v5/market/orderbook?category=linear&symbol=BTCUSDT");
    assert_eq!(told["result"]["b"][0][0], "60600");
    let told = bench.public("/v5/market/time");
    assert_eq!(told["result"]["timeSecond"], (bench.ms() / 1_000).to_string());
    let told = bench.public("/v5/market/risk-limit?category=linear&symbol=BTCUSDT");
    assert_eq!(told["result"]["list"][0]["maintenanceMargin"], "0.004");
    let told = bench.public("/v5/market/funding/history?category=linear&symbol=BTCUSDT&limit=2");
    assert_eq!(told["result"]["list"][0]["fundingRateTimestamp"], "1699977600000");
}

#[test]
fn the_day_of_a_ticker_is_the_last_24_hours() {
    let mut bench = Bench::new();
    let hours = |bench: &mut Bench, hours: u64| bench.pass(hours * 3_600_000);
    let day = |bench: &mut Bench| {
        let told = bench.public("/v5/market/tickers?category=linear&symbol=BTCUSDT");
        let row = told["result"]["list"][0].clone();
        ["prevPrice24h", "price24hPcnt", "volume24h"].map(|name| row[name].as_str().unwrap().to_owned())
    };
    hours(&mut bench, 2);
    bench.price("BTCUSDT", "63000");
    assert_eq!(day(&mut bench), ["60000", "0.05", "0.002"]);
    hours(&mut bench, 22);
    bench.price("BTCUSDT", "62000");
    assert_eq!(day(&mut bench), ["63000", "-0.01587302", "0.002"]);
    hours(&mut bench, 25);
    assert_eq!(day(&mut bench), ["62000", "0", "0"]);
}

#[test]
fn the_public_socket_tells_a_snapshot_and_every_change() {
    let mut bench = Bench::new();
    let conn = bench.open(HERE, "/v5/public/linear");
    let args = json!(["tickers.BTCUSDT", "orderbook.1.BTCUSDT", "kline.1.BTCUSDT", "publicTrade.BTCUSDT"]);
    let told = bench.say(conn, &json!({ "op": "subscribe", "req_id": "s", "args": args }));
    assert_eq!(
        (&told[0]["success"], &told[0]["req_id"], &told[0]["op"]),
        (&json!(true), &json!("s"), &json!("subscribe"))
    );
    let topics: Vec<_> = told[1..].iter().map(|message| message["topic"].as_str().unwrap()).collect();
    assert_eq!(topics, ["tickers.BTCUSDT", "orderbook.1.BTCUSDT", "kline.1.BTCUSDT"]);
    bench.price("ETHUSDT", "3001");
    assert_eq!(bench.heard(conn), Vec::<Value>::new());
    bench.price("BTCUSDT", "60001");
    let told = bench.heard(conn);
    assert_eq!(told.len(), 4);
    let of = |topic: &str| told.iter().find(|message| message["topic"] == topic).unwrap()["data"].clone();
    assert_eq!(of("tickers.BTCUSDT")["markPrice"], "60001");
    assert_eq!(of("orderbook.1.BTCUSDT")["b"][0][0], "60001");
    assert_eq!(of("kline.1.BTCUSDT")[0]["close"], "60001");
    assert_eq!(of("publicTrade.BTCUSDT")[0]["p"], "60001");
    let told = bench.say(conn, &json!({ "op": "ping", "req_id": "p" }))[0].clone();
    assert_eq!((&told["ret_msg"], &told["op"]), (&json!("pong"), &json!("ping")));
    bench.say(conn, &json!({ "op": "unsubscribe", "args": args }));
    bench.price("BTCUSDT", "60002");
    assert_eq!(bench.heard(conn), Vec::<Value>::new());
    let told = bench.say(conn, &json!({ "op": "subscribe", "args": ["tickers.NOPE"] }));
    assert_eq!((told.len(), &told[0]["success"]), (1, &json!(false)));
}

#[test]
fn other_paths_are_not_there() {
    let mut bench = Bench::new();
    let conn = exchange::paper_exchange::ConnNo(99);
    assert_eq!(bench.exchange.socket_open(bench.now, conn, HERE, "/v5/public/spot").unwrap_err().status, 404);
    let client = bench.client("1");
    for (method, path) in
        [("GET", "/v5/order/nothing"), ("POST", "/v5/order/realtime"), ("GET", "/v5/order/create")]
    {
        let call = bench.signed(&client, method, path, "", "");
        assert_eq!(bench.http(HERE, &call).status, 404, "{path}");
    }
}
