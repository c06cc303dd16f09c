//! What is listed and by which filters it is traded.

use crate::support::{answer, money, price, quantity, symbol};
use engine::core::fixed::Quantity;
use engine::core::instrument::InstrumentStatus;
use exchange::live::protocol::{Answer, Ask, InstrumentView, Millis};

const PRICE: &str =
    r#"{"filterType":"PRICE_FILTER","maxPrice":"300","minPrice":"0.0001","tickSize":"0.0001"}"#;
const LOT: &str = r#"{"filterType":"LOT_SIZE","maxQty":"10000000","minQty":"1","stepSize":"1"}"#;
const MARKET: &str = r#"{"filterType":"MARKET_LOT_SIZE","maxQty":"590119","minQty":"1","stepSize":"1"}"#;
const NOTIONAL: &str = r#"{"filterType":"MIN_NOTIONAL","notional":"5.0"}"#;
const OTHERS: &str = r#"{"filterType":"MAX_NUM_ORDERS","limit":200},{"filterType":"PERCENT_PRICE","multiplierUp":"1.1500","multiplierDown":"0.8500","multiplierDecimal":4}"#;

fn row(name: &str, filters: &[&str]) -> String {
    let filters = filters.join(",");
    format!(
        r#"{{"symbol":"{name}","pair":"{name}","contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1598252400000,"status":"TRADING","maintMarginPercent":"2.5000","requiredMarginPercent":"5.0000","baseAsset":"BLZ","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":5,"quantityPrecision":0,"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"COIN","underlyingSubType":["STORAGE"],"settlePlan":0,"triggerProtect":"0.15","filters":[{filters}],"orderTypes":["LIMIT","MARKET"],"timeInForce":["GTC","IOC"],"liquidationFee":"0.010000","marketTakeBound":"0.30"}}"#
    )
}

fn listed(rows: &[String]) -> Vec<InstrumentView> {
    let body = format!(
        r#"{{"exchangeFilters":[],"rateLimits":[],"serverTime":1565613908500,"assets":[],"symbols":[{}],"timezone":"UTC"}}"#,
        rows.join(",")
    );
    match answer(&Ask::Instruments(String::new()), &body) {
        Ok(Answer::Instruments(instruments, None)) => instruments,
        other => panic!("{other:?}"),
    }
}

fn one(row: String) -> InstrumentView {
    let mut all = listed(&[row]);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn the_makers_example() {
    let view = one(row("BLZUSDT", &[PRICE, LOT, MARKET, OTHERS, NOTIONAL]));
    let instrument = view.instrument;
    assert_eq!(view.ends_at, None);
    assert_eq!((instrument.symbol, instrument.status), (symbol("BLZUSDT"), InstrumentStatus::Trading));
    assert_eq!((instrument.tick, instrument.step), (price("0.0001"), quantity("1")));
    assert_eq!(instrument.quantity_min, quantity("1"));
    assert_eq!(instrument.quantity_max_limit, quantity("10000000"));
    assert_eq!(instrument.quantity_max_market, quantity("590119"));
    assert_eq!(instrument.notional_min, money("5"));
    // Until the brackets are known; fees are the standard ones.
    assert_eq!((instrument.leverage_max, instrument.maintenance.to_string()), (20, "0.005".to_owned()));
    assert_eq!(instrument.fee_taker.to_string(), "0.0005");
    assert_eq!(instrument.fee_maker.to_string(), "0.0002");
    assert_eq!(instrument.fee_liquidation.to_string(), "0.01");
}

#[test]
fn case_x2_grids_come_from_the_filters_and_not_from_the_precisions() {
    for precision in ["0", "8", "\"x\"", "null"] {
        let lot = LOT.replace(r#""stepSize":"1""#, r#""stepSize":"0.001""#);
        let row = row("BLZUSDT", &[PRICE, &lot])
            .replace(r#""quantityPrecision":0"#, &format!(r#""quantityPrecision":{precision}"#))
            .replace(r#""pricePrecision":5"#, &format!(r#""pricePrecision":{precision}"#));
        let instrument = one(row).instrument;
        assert_eq!((instrument.tick, instrument.step), (price("0.0001"), quantity("0.001")));
    }
}

#[test]
fn case_x3_case_x4_each_symbol_has_its_own_filters() {
    let fine = LOT.replace(r#""stepSize":"1""#, r#""stepSize":"0.001""#);
    let all = listed(&[row("AUSDT", &[PRICE, LOT]), row("BUSDT", &[PRICE, &fine])]);
    assert_eq!((all[0].instrument.step, all[1].instrument.step), (quantity("1"), quantity("0.001")));
}

#[test]
fn case_x13_filters_may_be_missing() {
    assert!(one(row("BLZUSDT", &[PRICE, LOT, MARKET])).instrument.notional_min.is_zero());
    // Only the futures' own field is the notional.
    let spot = r#"{"filterType":"NOTIONAL","minNotional":"10"}"#;
    assert!(one(row("BLZUSDT", &[PRICE, LOT, spot])).instrument.notional_min.is_zero());
    let number = r#"{"filterType":"MIN_NOTIONAL","notional":20}"#;
    assert_eq!(one(row("BLZUSDT", &[PRICE, LOT, number])).instrument.notional_min, money("20"));
    let unmarked = one(row("BLZUSDT", &[PRICE, LOT])).instrument;
    assert_eq!(unmarked.quantity_max_market, quantity("10000000"));
    // Whoever has no grid is listed, but takes no orders.
    for filters in [&[PRICE][..], &[LOT], &[]] {
        assert_eq!(one(row("BLZUSDT", filters)).instrument.status, InstrumentStatus::Halted);
    }
    let bare = r#"{"symbol":"BLZUSDT","contractType":"PERPETUAL","quoteAsset":"USDT"}"#;
    assert_eq!(one(bare.to_owned()).instrument.status, InstrumentStatus::Halted);
}

#[test]
fn numbers_come_as_numbers_and_as_texts() {
    let lot = r#"{"filterType":"LOT_SIZE","maxQty":1000,"minQty":0.001,"stepSize":1e-3}"#;
    let tick = r#"{"filterType":"PRICE_FILTER","tickSize":0.00000010}"#;
    let instrument = one(row("BLZUSDT", &[tick, lot])).instrument;
    assert_eq!((instrument.tick, instrument.step), (price("0.0000001"), quantity("0.001")));
    assert_eq!(
        (instrument.quantity_min, instrument.quantity_max_limit),
        (quantity("0.001"), quantity("1000"))
    );
    // A maximum beyond what can be counted limits nothing.
    let vast = r#"{"filterType":"LOT_SIZE","maxQty":"9999999999999","minQty":"1","stepSize":"1"}"#;
    assert_eq!(one(row("BLZUSDT", &[PRICE, vast])).instrument.quantity_max_limit, Quantity::MAX);
}

#[test]
fn the_coarser_grid_counts_where_they_differ() {
    let market = r#"{"filterType":"MARKET_LOT_SIZE","maxQty":"50","minQty":"10","stepSize":"10"}"#;
    let instrument = one(row("BLZUSDT", &[PRICE, LOT, market])).instrument;
    assert_eq!((instrument.step, instrument.quantity_min), (quantity("10"), quantity("10")));
}

#[test]
fn case_y5_only_trading_contracts_take_orders() {
    let filters = [PRICE, LOT, MARKET, NOTIONAL];
    for (status, want) in [
        ("TRADING", InstrumentStatus::Trading),
        ("PENDING_TRADING", InstrumentStatus::Halted),
        ("TRADING_HALT", InstrumentStatus::Halted),
        ("SETTLING", InstrumentStatus::Halted),
        ("CLOSE", InstrumentStatus::Halted),
        ("BRAND_NEW", InstrumentStatus::Halted),
    ] {
        let row = row("BLZUSDT", &filters).replace("\"TRADING\"", &format!("\"{status}\""));
        assert_eq!(one(row).instrument.status, want, "{status}");
    }
}

#[test]
fn case_y6_a_delivery_date_that_was_moved_is_told() {
    let moved = row("BLZUSDT", &[PRICE, LOT]).replace("4133404800000", "1791622800000");
    assert_eq!(one(moved).ends_at, Some(Millis(1_791_622_800_000)));
    let absent = row("BLZUSDT", &[PRICE, LOT]).replace("\"deliveryDate\":4133404800000,", "");
    assert_eq!(one(absent).ends_at, None);
}

#[test]
fn only_perpetual_contracts_in_dollars_are_listed() {
    let of = |from: &str, to: &str| row("BLZUSDT", &[PRICE, LOT]).replace(from, to);
    let all = listed(&[
        of("\"PERPETUAL\"", "\"CURRENT_QUARTER\""),
        of("\"PERPETUAL\"", "\"\""),
        of("\"quoteAsset\":\"USDT\"", "\"quoteAsset\":\"BTC\""),
        of("\"quoteAsset\":\"USDT\"", "\"quoteAsset\":\"USDC\""),
        row("ASYMBOLOFMORETHANTWENTYFOURLETTERS", &[PRICE, LOT]),
        row("币安人生USDT", &[PRICE, LOT]),
    ]);
    let names: Vec<_> = all.iter().map(|view| view.instrument.symbol).collect();
    assert_eq!(names, [symbol("BLZUSDT"), symbol("币安人生USDT")]);
}

#[test]
fn case_x18_the_list_is_complete_and_one_bad_row_does_not_empty_it() {
    let mut rows: Vec<String> = (0..700).map(|i| row(&format!("S{i}USDT"), &[PRICE, LOT])).collect();
    rows.insert(350, row("ODDUSDT", &[&PRICE.replace("\"0.0001\"}", "\"x\"}"), LOT]));
    rows.insert(351, "17".to_owned());
    assert_eq!(listed(&rows).len(), 700);
    let only_bad = r#"{"symbols":[17]}"#;
    assert!(answer(&Ask::Instruments(String::new()), only_bad).is_err());
}
