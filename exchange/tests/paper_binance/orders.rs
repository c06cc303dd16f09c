//! Orders over Binance's REST: every filter has its code, and queries tell what streams and the venue tell.

use crate::support::Paper;
use engine::core::instrument::{Instrument, InstrumentStatus};

const ORDER: &str = "/fapi/v1/order";
const ALGO: &str = "/fapi/v1/algoOrder";

/// The base values with some replaced; an empty one is left out.
fn with<'a>(base: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = base.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes).filter(|(_, value)| !value.is_empty()).copied().collect()
}

const LIMIT: [(&str, &str); 6] = [
    ("symbol", "BTCUSDT"),
    ("side", "BUY"),
    ("type", "LIMIT"),
    ("timeInForce", "GTC"),
    ("quantity", "0.01"),
    ("price", "59000"),
];

#[test]
fn case_x1_x2_x5_every_filter_has_its_code() {
    let mut paper = Paper::new();
    for (changes, code) in [
        (&[("price", "59000.123")][..], -1111),
        (&[("price", "59000.05")], -4014),
        (&[("price", "0.05")], -4013),
        (&[("side", "SELL"), ("price", "1000000.1")], -4002),
        (&[("price", "5.9e4")], -1100),
        (&[("price", "0")], -4001),
        (&[("price", "")], -1102),
        (&[("price", "63000.1")], -4016),
        (&[("side", "SELL"), ("price", "56999.9")], -4024),
        (&[("quantity", "0.0105")], -1111),
        (&[("quantity", "0")], -4003),
        (&[("quantity", "1001")], -4005),
        (&[("quantity", "121"), ("type", "MARKET"), ("price", ""), ("timeInForce", "")], -4005),
        (&[("quantity", "0.001"), ("price", "59000")], -4164),
        (&[("quantity", "10")], -2019),
        (&[("symbol", "NOPEUSDT")], -1121),
        (&[("symbol", "")], -1102),
        (&[("side", "HOLD")], -1117),
        (&[("type", "ICEBERG")], -1116),
        (&[("timeInForce", "NEVER")], -1115),
        (&[("timeInForce", "")], -1102),
        (&[("timeInForce", "GTX"), ("price", "60000")], -5022),
        (&[("timeInForce", "FOK")], -5021),
        (&[("timeInForce", "GTD"), ("goodTillDate", "1700000100000")], -4209),
        (&[("newClientOrderId", "a b")], -4015),
        (&[("newClientOrderId", "1234567890123456789012345678901234567")], -4015),
        (&[("positionSide", "LONG")], -4061),
        (&[("reduceOnly", "true"), ("side", "SELL"), ("price", "61000")], -2022),
        (&[("type", "STOP_MARKET"), ("stopPrice", "59000")], -4120),
    ] {
        assert_eq!(paper.code("POST", ORDER, &with(&LIMIT, changes)), code, "{changes:?}");
    }
    assert!(paper.ok("GET", "/fapi/v1/openOrders", &[]).as_array().unwrap().is_empty());
    let all = paper.ok("GET", "/fapi/v1/allOrders", &[("symbol", "BTCUSDT")]);
    assert!(all.as_array().unwrap().is_empty(), "what was refused is in no history: {all}");
}

#[test]
fn what_a_listing_does_not_take_has_its_code() {
    let mut venue = exchange::paper_exchange::CoreSettings::venue();
    let mut listed = |symbol: &str, change: fn(&mut Instrument)| {
        let found = venue.listings.iter_mut().find(|l| l.instrument.symbol.as_str() == symbol).unwrap();
        change(&mut found.instrument);
    };
    listed("BTCUSDT", |btc| btc.status = InstrumentStatus::CloseOnly);
    listed("ETHUSDT", |eth| eth.status = InstrumentStatus::Halted);
    listed("SOLUSDT", |sol| {
        sol.step = "0.05".parse().unwrap();
        sol.quantity_min = "0.25".parse().unwrap();
    });
    let mut paper = Paper::with(venue);
    paper.price("SOLUSDT", "150");
    let sol = [("symbol", "SOLUSDT"), ("price", "149")];
    for (changes, code) in [
        (vec![], -4140),
        (vec![("reduceOnly", "true")], -2022),
        (vec![("symbol", "ETHUSDT"), ("price", "2999")], -4141),
        (with(&sol, &[("quantity", "0.2")]), -4004),
        (with(&sol, &[("quantity", "0.28")]), -4023),
    ] {
        assert_eq!(paper.code("POST", ORDER, &with(&LIMIT, &changes)), code, "{changes:?}");
    }
    paper.ok("POST", ORDER, &with(&LIMIT, &with(&sol, &[("quantity", "0.25")])));
}

#[test]
fn a_symbol_has_two_hundred_orders_and_an_account_two_hundred_triggers() {
    let mut paper = Paper::new();
    paper.market("BUY", "0.1");
    let order = with(&LIMIT, &[("quantity", "0.002"), ("price", "57000")]);
    let stop = [
        ("algoType", "CONDITIONAL"),
        ("symbol", "BTCUSDT"),
        ("side", "SELL"),
        ("type", "STOP_MARKET"),
        ("triggerPrice", "50000"),
        ("quantity", "0.002"),
        ("reduceOnly", "true"),
    ];
    for (path, values, code) in [(ORDER, &order[..], -2025), (ALGO, &stop[..], -4045)] {
        for _ in 0..200 {
            // Ten seconds have room for 300.
            paper.wait_ms(50);
            paper.ok("POST", path, values);
        }
        assert_eq!(paper.code("POST", path, values), code);
    }
}

#[test]
fn an_order_is_acknowledged_first_and_told_fully_when_asked() {
    let mut paper = Paper::new();
    let order =
        with(&LIMIT, &[("type", "MARKET"), ("price", ""), ("timeInForce", ""), ("newClientOrderId", "mine")]);
    let told = paper.ok("POST", ORDER, &order);
    assert_eq!((told["status"].as_str(), told["executedQty"].as_str()), (Some("NEW"), Some("0")));
    assert!(told.get("avgPrice").is_none() && told.get("cumQuote").is_none(), "EXCHANGES.md §2.4");
    let told = paper.ok("GET", ORDER, &[("symbol", "BTCUSDT"), ("origClientOrderId", "mine")]);
    assert_eq!(
        (told["status"].as_str(), told["avgPrice"].as_str(), told["cumQuote"].as_str()),
        (Some("FILLED"), Some("60000"), Some("600"))
    );
    let id = told["orderId"].to_string();
    assert_eq!(paper.ok("GET", ORDER, &[("symbol", "BTCUSDT"), ("orderId", &id)]), told);
    assert_eq!(paper.code("GET", ORDER, &[("symbol", "ETHUSDT"), ("orderId", &id)]), -2013);
    assert_eq!(paper.code("DELETE", ORDER, &[("symbol", "BTCUSDT"), ("orderId", &id)]), -2011);
    let trades = paper.ok("GET", "/fapi/v1/userTrades", &[("symbol", "BTCUSDT")]);
    assert_eq!((trades[0]["orderId"].to_string(), trades[0]["commission"].as_str()), (id, Some("0.3")));
    let position = paper.ok("GET", "/fapi/v3/positionRisk", &[]);
    assert_eq!(
        (position[0]["positionAmt"].as_str(), position[0]["entryPrice"].as_str()),
        (Some("0.01"), Some("60000"))
    );
    let incomes = paper.ok("GET", "/fapi/v1/income", &[]);
    let kinds: Vec<_> =
        incomes.as_array().unwrap().iter().map(|i| i["incomeType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["TRANSFER", "COMMISSION"]);
    assert_eq!(paper.ok("GET", "/fapi/v3/balance", &[])[0]["balance"].as_str(), Some("9999.7"));
    // What it looked like is another account's business.
    paper.credential = crate::support::credential("bob");
    assert_eq!(paper.code("GET", ORDER, &[("symbol", "BTCUSDT"), ("origClientOrderId", "mine")]), -2013);
}

#[test]
fn case_u13_a_client_id_is_unique_among_open_orders_only() {
    let mut paper = Paper::new();
    let resting = with(&LIMIT, &[("newClientOrderId", "twice")]);
    paper.ok("POST", ORDER, &resting);
    assert_eq!(paper.code("POST", ORDER, &resting), -4116);
    paper.ok("DELETE", ORDER, &[("symbol", "BTCUSDT"), ("origClientOrderId", "twice")]);
    paper.ok("POST", ORDER, &resting);
    let all = paper.ok("GET", "/fapi/v1/allOrders", &[("symbol", "BTCUSDT")]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    // A market order that was filled is taken again under its id: a blind resend doubles the position.
    let market = with(
        &LIMIT,
        &[("type", "MARKET"), ("price", ""), ("timeInForce", ""), ("newClientOrderId", "blind")],
    );
    paper.ok("POST", ORDER, &market);
    paper.ok("POST", ORDER, &market);
    assert_eq!(paper.ok("GET", "/fapi/v3/positionRisk", &[])[0]["positionAmt"].as_str(), Some("0.02"));
}

#[test]
fn case_o11_conditional_orders_live_at_the_algo_endpoints() {
    let mut paper = Paper::new();
    paper.market("BUY", "0.1");
    let stop = [
        ("algoType", "CONDITIONAL"),
        ("symbol", "BTCUSDT"),
        ("side", "SELL"),
        ("type", "STOP_MARKET"),
        ("triggerPrice", "59000"),
        ("closePosition", "true"),
        ("clientAlgoId", "stop"),
    ];
    for (changes, code) in [
        (&[("triggerPrice", "60000")][..], -2021),
        (&[("quantity", "0.1")], -1106),
        (&[("reduceOnly", "true")], -1106),
        (&[("closePosition", "false")], -1102),
        (&[("algoType", "VP")], -4137),
        (&[("type", "LIMIT")], -1116),
        (&[("triggerPrice", "58999.99")], -4014),
    ] {
        assert_eq!(paper.code("POST", ALGO, &with(&stop, changes)), code, "{changes:?}");
    }
    let told = paper.ok("POST", ALGO, &stop);
    assert_eq!((told["algoStatus"].as_str(), told["actualOrderId"].as_str()), (Some("NEW"), Some("")));
    assert_eq!(paper.code("POST", ALGO, &stop), -4116);
    let id = told["algoId"].to_string();
    assert_eq!(paper.code("GET", ORDER, &[("symbol", "BTCUSDT"), ("origClientOrderId", "stop")]), -2013);
    assert_eq!(paper.code("DELETE", ORDER, &[("symbol", "BTCUSDT"), ("orderId", &id)]), -2011);
    assert_eq!(paper.ok("GET", "/fapi/v1/openAlgoOrders", &[])[0]["clientAlgoId"].as_str(), Some("stop"));
    assert!(paper.ok("GET", "/fapi/v1/openOrders", &[]).as_array().unwrap().is_empty());
    paper.price("BTCUSDT", "58000");
    let told = paper.ok("GET", ALGO, &[("clientAlgoId", "stop")]);
    assert_eq!(
        (told["algoStatus"].as_str(), told["actualPrice"].as_str()),
        (Some("FINISHED"), Some("59000"))
    );
    let actual = told["actualOrderId"].as_str().unwrap().to_owned();
    let order = paper.ok("GET", ORDER, &[("symbol", "BTCUSDT"), ("orderId", &actual)]);
    assert_eq!((order["status"].as_str(), order["origType"].as_str()), (Some("FILLED"), Some("STOP_MARKET")));
    assert_eq!(paper.code("DELETE", ALGO, &[("clientAlgoId", "stop")]), -2011);
}

#[test]
fn batches_answer_item_by_item() {
    let mut paper = Paper::new();
    let orders = r#"[{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","quantity":"0.01","price":"59000","newClientOrderId":"a"},
        {"symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","quantity":"0.0105","price":"59000"}]"#;
    let told = paper.ok("POST", "/fapi/v1/batchOrders", &[("batchOrders", orders)]);
    assert_eq!((told[0]["status"].as_str(), told[1]["code"].as_i64()), (Some("NEW"), Some(-1111)));
    let told = paper.ok(
        "DELETE",
        "/fapi/v1/batchOrders",
        &[("symbol", "BTCUSDT"), ("origClientOrderIdList", r#"["a","b"]"#)],
    );
    assert_eq!((told[0]["status"].as_str(), told[1]["code"].as_i64()), (Some("CANCELED"), Some(-2011)));
    let many = format!("[{}]", ["{}"; 6].join(","));
    assert_eq!(paper.code("POST", "/fapi/v1/batchOrders", &[("batchOrders", &many)]), -4082);
    assert_eq!(paper.code("POST", "/fapi/v1/batchOrders", &[("batchOrders", "[1]")]), -1100);
}

#[test]
fn changing_an_order_keeps_its_id() {
    let mut paper = Paper::new();
    let placed = paper.ok("POST", ORDER, &LIMIT);
    let id = placed["orderId"].to_string();
    let change =
        [("symbol", "BTCUSDT"), ("orderId", &id), ("side", "BUY"), ("quantity", "0.02"), ("price", "58000")];
    let told = paper.ok("PUT", ORDER, &change);
    assert_eq!(
        (told["orderId"].to_string(), told["price"].as_str(), told["origQty"].as_str()),
        (id.clone(), Some("58000"), Some("0.02"))
    );
    assert_eq!(paper.code("PUT", ORDER, &change), -5027);
    paper.ok("DELETE", "/fapi/v1/allOpenOrders", &[("symbol", "BTCUSDT")]);
    assert_eq!(paper.code("PUT", ORDER, &change), -2013);
    assert_eq!(paper.code("GET", "/fapi/v1/openOrder", &[("symbol", "BTCUSDT"), ("orderId", &id)]), -2013);
}

#[test]
fn case_l1_settings_have_their_codes() {
    let mut paper = Paper::new();
    let btc = ("symbol", "BTCUSDT");
    let set = |paper: &mut Paper, path: &str, pair: (&str, &str)| {
        let answer = paper.signed("POST", path, &[btc, pair]);
        if answer.status == 200 { 0 } else { crate::support::code(&answer) }
    };
    assert_eq!(set(&mut paper, "/fapi/v1/leverage", ("leverage", "10")), 0);
    assert_eq!(
        set(&mut paper, "/fapi/v1/leverage", ("leverage", "10")),
        0,
        "no change needed is success here"
    );
    assert_eq!(set(&mut paper, "/fapi/v1/leverage", ("leverage", "126")), -4028);
    assert_eq!(set(&mut paper, "/fapi/v1/leverage", ("leverage", "1000")), -4028);
    assert_eq!(set(&mut paper, "/fapi/v1/marginType", ("marginType", "CROSSED")), -4046);
    assert_eq!(set(&mut paper, "/fapi/v1/marginType", ("marginType", "ISOLATED")), 0);
    assert_eq!(set(&mut paper, "/fapi/v1/positionSide/dual", ("dualSidePosition", "false")), -4059);
    let told = paper.ok("GET", "/fapi/v1/symbolConfig", &[btc]);
    assert_eq!((told[0]["leverage"].as_u64(), told[0]["marginType"].as_str()), (Some(10), Some("ISOLATED")));
    paper.ok("POST", ORDER, &LIMIT);
    assert_eq!(set(&mut paper, "/fapi/v1/marginType", ("marginType", "CROSSED")), -4047);
    assert_eq!(set(&mut paper, "/fapi/v1/positionSide/dual", ("dualSidePosition", "true")), -4067);
    paper.ok("DELETE", "/fapi/v1/allOpenOrders", &[btc]);
    paper.market("BUY", "0.01");
    assert_eq!(set(&mut paper, "/fapi/v1/marginType", ("marginType", "CROSSED")), -4048);
    assert_eq!(set(&mut paper, "/fapi/v1/positionSide/dual", ("dualSidePosition", "true")), -4068);
    assert_eq!(set(&mut paper, "/fapi/v1/leverage", ("leverage", "5")), -4161);
    // With cross margin it may go down as far as the wallet goes.
    let eth = [("symbol", "ETHUSDT"), ("side", "BUY"), ("type", "MARKET"), ("quantity", "5")];
    paper.ok("POST", ORDER, &eth);
    assert_eq!(paper.code("POST", "/fapi/v1/leverage", &[("symbol", "ETHUSDT"), ("leverage", "1")]), -2028);
    paper.ok("POST", ORDER, &with(&eth, &[("side", "SELL")]));
    paper.market("SELL", "0.01");
    assert_eq!(set(&mut paper, "/fapi/v1/positionSide/dual", ("dualSidePosition", "true")), 0);
    assert_eq!(paper.ok("GET", "/fapi/v1/accountConfig", &[])["dualSidePosition"].as_bool(), Some(true));
    assert_eq!(paper.code("POST", ORDER, &LIMIT), -4061, "case H1");
    paper.ok("POST", ORDER, &with(&LIMIT, &[("positionSide", "LONG")]));
}

#[test]
fn the_price_that_a_trigger_watches_is_told_as_it_was_asked_for() {
    let mut paper = Paper::new();
    for (asked, told) in
        [("", "CONTRACT_PRICE"), ("CONTRACT_PRICE", "CONTRACT_PRICE"), ("MARK_PRICE", "MARK_PRICE")]
    {
        let stop = [
            ("algoType", "CONDITIONAL"),
            ("symbol", "BTCUSDT"),
            ("side", "SELL"),
            ("type", "STOP_MARKET"),
            ("triggerPrice", "59000"),
            ("quantity", "0.01"),
        ];
        let placed = paper.ok("POST", ALGO, &with(&stop, &[("workingType", asked)]));
        assert_eq!(placed["workingType"], told);
        let id = placed["algoId"].to_string();
        assert_eq!(paper.ok("GET", ALGO, &[("algoId", &id)])["workingType"], told);
    }
}

#[test]
fn case_l6_brackets_are_told_and_hold() {
    let mut paper = Paper::new();
    paper.price("ARBUSDT", "1");
    let arb = ("symbol", "ARBUSDT");
    let told = paper.ok("GET", "/fapi/v1/leverageBracket", &[arb]);
    let rows = told["brackets"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    let of = |name: &str| rows[3][name].to_string();
    assert_eq!(
        (of("initialLeverage"), of("notionalFloor"), of("notionalCap")),
        ("10".into(), "12000".into(), "20000".into())
    );
    // 5000 · 0.0035 + 8000 · 0.015 + 12000 · 0.025
    assert_eq!((of("maintMarginRatio"), of("cum")), ("0.05".into(), "437.5".into()));
    let one = paper.ok("GET", "/fapi/v1/leverageBracket", &[("symbol", "BTCUSDT")]);
    assert_eq!(one["brackets"].as_array().unwrap().len(), 1, "most symbols have one for every size");

    let set = |leverage| [arb, ("leverage", leverage)];
    let told = paper.ok("POST", "/fapi/v1/leverage", &set("10"));
    assert_eq!(told["maxNotionalValue"], "20000");
    assert_eq!(paper.ok("GET", "/fapi/v1/symbolConfig", &[arb])[0]["maxNotionalValue"], "20000");
    let order = |side, quantity| [arb, ("side", side), ("type", "MARKET"), ("quantity", quantity)];
    assert_eq!(paper.code("POST", ORDER, &order("BUY", "20000.1")), -2027);
    paper.ok("POST", ORDER, &order("BUY", "15000"));
    assert_eq!(paper.code("POST", ORDER, &order("BUY", "5000.1")), -2027, "with what is held");
    paper.ok("POST", ORDER, &order("BUY", "5000"));
    let resting = [("type", "LIMIT"), ("timeInForce", "GTC"), ("price", "0.9")];
    assert_eq!(paper.code("POST", ORDER, &with(&order("BUY", "10"), &resting)), -2027, "with what may be");
    assert_eq!(paper.code("POST", "/fapi/v1/leverage", &set("20")), -4028, "12000 are allowed at 20");
    // An order against the position closes it first.
    assert_eq!(paper.code("POST", ORDER, &order("SELL", "40000.1")), -2027);
    paper.ok("POST", ORDER, &order("SELL", "40000"));
}
