//! What Bybit's answers by HTTP mean: samples as in the maker's documents, lists to their end, instruments.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::instrument::{Brackets, InstrumentStatus};
use engine::core::order::Side;
use exchange::live::bybit::{Bybit, CURSOR_MAX};
use exchange::live::protocol::{
    AccountView, Answer, Ask, BalanceView, BracketView, FailureKind, FundingView, InstrumentView, KeyView,
    Maker, MarkView, Millis, PositionMode, PositionView, Protocol, SettingsView, StreamEvent, ViewKind,
    ViewState,
};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}
fn price(text: &str) -> Price {
    text.parse().unwrap()
}
fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}
fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

const ORDER: &str = r#"{"orderId":"fd4300ae-7847-404e-b947-b46980a4d140","orderLinkId":"@ID","blockTradeId":"",
 "symbol":"ETHUSDT","price":"1600.00","qty":"0.10","side":"Buy","isLeverage":"","positionIdx":1,
 "orderStatus":"New","cancelType":"UNKNOWN","rejectReason":"EC_NoError","avgPrice":"0","leavesQty":"0.10",
 "leavesValue":"160","cumExecQty":"0.00","cumExecValue":"0","cumExecFee":"0","timeInForce":"GTC",
 "orderType":"Limit","stopOrderType":"UNKNOWN","orderIv":"","triggerPrice":"0.00","takeProfit":"2500.00",
 "stopLoss":"1500.00","tpTriggerBy":"LastPrice","slTriggerBy":"LastPrice","triggerDirection":0,
 "triggerBy":"UNKNOWN","lastPriceOnCreated":"","reduceOnly":false,"closeOnTrigger":false,"smpType":"None",
 "smpGroup":0,"smpOrderId":"","tpslMode":"Full","tpLimitPrice":"","slLimitPrice":"","placeType":"",
 "createdTime":"1684738540559","updatedTime":"1684738540561"}"#;

#[test]
fn an_order_is_placed_and_its_fills_come_by_other_ways() {
    let result = r#"{"orderId":"1321003749386327552","orderLinkId":"spot-test-postonly"}"#;
    let venue_id = "1321003749386327552".to_owned();
    assert_eq!(success(&entry(), result), Ok(Answer::Placed { venue_id }));
    let cancel = Ask::Cancel(order_ref());
    assert_eq!(success(&cancel, r#"{"orderId":"c6f055d9","orderLinkId":"x"}"#), Ok(Answer::Done));
}

#[test]
fn case_u10_a_query_finds_the_order_of_the_id_and_no_other() {
    let ask = Ask::Query(order_ref());
    let ours = ORDER.replace("@ID", ENTRY);
    let other = ORDER.replace("@ID", "somebody-elses");
    let Ok(Answer::Order(view)) = list(&ask, &format!("{other},{ours}"), "") else { panic!("no order") };
    assert_eq!((view.client_id.as_str(), view.state, view.kind), (ENTRY, ViewState::New, ViewKind::Limit));
    assert_eq!((view.quantity, view.filled, view.average), (quantity("0.1"), Quantity::ZERO, None));
    assert_eq!((view.trigger, view.reason, view.maker), (None, None, Maker::Client));
    assert_eq!((view.symbol, view.side), (symbol("ETHUSDT"), Side::Buy));
    assert_eq!(view.updated_at, Millis(1_684_738_540_561));
    for rows in ["", other.as_str()] {
        assert_eq!(list(&ask, rows, "").unwrap_err().kind, FailureKind::NotFound, "{rows}");
    }
}

#[test]
fn case_x18_a_list_goes_on_until_its_cursor_ends_and_never_in_circles() {
    let row = ORDER.replace("@ID", "x");
    let next = |asked: &str, rows: &str, cursor: &str| {
        let Answer::Orders(views, next) = list(&Ask::OpenOrders(asked.to_owned()), rows, cursor).unwrap()
        else {
            panic!("not orders")
        };
        (views.len(), next)
    };
    let cursor = "page_args%3Dfd4300ae-7847%26symbol%3D6%26";
    assert_eq!(next("", &row, cursor), (1, Some(cursor.to_owned())));
    assert_eq!(next(cursor, &row, "second"), (1, Some("second".to_owned())));
    assert_eq!(next("second", &row, ""), (1, None));
    // An empty page, and a cursor that does not move, are the end.
    assert_eq!(next("second", "", "third"), (0, None));
    assert_eq!(next("second", &row, "second"), (1, None));
    let long = "c".repeat(CURSOR_MAX + 1);
    let failure = list(&Ask::OpenOrders(String::new()), &row, &long).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreadable);
}

#[test]
fn an_order_of_the_account_that_cannot_be_read_makes_the_list_unreadable() {
    let row = ORDER.replace("@ID", "x");
    let bad = row.replace(r#""qty":"0.10""#, r#""qty":"0.000000001""#);
    let failure = list(&Ask::OpenOrders(String::new()), &format!("{row},{bad}"), "").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreadable);
    assert_eq!(failure.text, "qty: more than 8 decimal places");
    for status in ["", "Unheard"] {
        let bad = row.replace(r#""orderStatus":"New""#, &format!(r#""orderStatus":"{status}""#));
        assert!(list(&Ask::OpenOrders(String::new()), &bad, "").is_err());
    }
}

const POSITION: &str = r#"{"positionIdx":0,"riskId":1,"riskLimitValue":"150","symbol":"BTCUSDT","side":"Sell",
 "size":"0.299","avgPrice":"30004.5006751","positionValue":"8971.34570186","tradeMode":0,"positionStatus":"Normal",
 "autoAddMargin":1,"adlRankIndicator":2,"leverage":"10","positionBalance":"100","markPrice":"30000.12",
 "liqPrice":"","bustPrice":"999999.00","positionMM":"0.0000015","positionIM":"0.00010923","tpslMode":"Full",
 "takeProfit":"29000","stopLoss":"0.00","trailingStop":"0.00","unrealisedPnl":"-0.00113932",
 "curRealisedPnl":"-121.48","cumRealisedPnl":"-121.48","isReduceOnly":false,"mmrSysUpdatedTime":"",
 "leverageSysUpdatedTime":"1676538056444","createdTime":"1676538056258","updatedTime":"1697673600012","seq":4688002127}"#;

#[test]
fn positions_are_those_that_are_not_flat() {
    let flat = POSITION.replace(r#""side":"Sell","#, r#""side":"","#).replace("0.299", "0");
    let ask = Ask::Positions(String::new());
    let expected = PositionView {
        symbol: symbol("BTCUSDT"),
        side: Side::Sell,
        quantity: quantity("0.299"),
        entry: price("30004.5006751"),
        leverage: 10,
        stop: None,
        take_profit: Some(price("29000")),
        updated_at: Millis(1_697_673_600_012),
    };
    assert_eq!(list(&ask, &format!("{flat},{POSITION}"), ""), Ok(Answer::Positions(vec![expected], None)));
}

#[test]
fn case_h6_settings_are_per_symbol_and_the_mode_is_never_the_accounts() {
    let flat = POSITION.replace(r#""side":"Sell","#, r#""side":"","#).replace("0.299", "0");
    let mode = Some(PositionMode::OneWay);
    let view = SettingsView { symbol: symbol("BTCUSDT"), leverage: 10, isolated: None, mode };
    let ask = Ask::Settings(Some(symbol("BTCUSDT")));
    assert_eq!(list(&ask, &flat, ""), Ok(Answer::Settings(vec![view])));
    let info = |status: u8, mode: &str| {
        let row = format!(
            r#"{{"marginMode":"{mode}","updatedTime":"1697078946000","unifiedMarginStatus":{status},"dcpStatus":"OFF","timeWindow":10,"smpGroup":0,"isMasterTrader":false,"spotHedgingStatus":"OFF"}}"#
        );
        success(&Ask::Account, &row)
    };
    let view = |may_trade, isolated| {
        Ok(Answer::Account(AccountView { mode: None, may_trade, isolated: Some(isolated) }))
    };
    assert_eq!(info(5, "ISOLATED_MARGIN"), view(true, true));
    assert_eq!(info(6, "REGULAR_MARGIN"), view(true, false));
    assert_eq!(info(1, "PORTFOLIO_MARGIN"), view(false, false));
}

#[test]
fn balances_tell_what_may_be_used() {
    let coin = |coin: &str, wallet: &str, position: &str| {
        format!(
            r#"{{"coin":"{coin}","equity":"1","usdValue":"1","walletBalance":"{wallet}","totalPositionIM":"{position}","totalOrderIM":"0.5","locked":"0","bonus":"","availableToWithdraw":"","unrealisedPnl":"0"}}"#
        )
    };
    let wallet = |kind: &str, available: &str, coins: &str| {
        format!(r#"{{"accountType":"{kind}","totalAvailableBalance":"{available}","coin":[{coins}]}}"#)
    };
    let balances = |row: &str| list(&Ask::Balances, row, "");
    let view = |asset: &str, wallet: &str, available: &str| BalanceView {
        asset: asset.to_owned(),
        wallet: money(wallet),
        available: Some(money(available)),
        account: None,
    };
    // Isolated: the account as a whole tells nothing.
    let coins = format!("{},{}", coin("USDT", "11728.54414904", "2.72589075"), coin("BTC", "0.06", "0"));
    let expected = vec![view("USDT", "11728.54414904", "11725.31825829"), view("BTC", "0.06", "0")];
    assert_eq!(balances(&wallet("UNIFIED", "", &coins)), Ok(Answer::Balances(expected)));
    // Otherwise it bounds the settlement coin.
    let usdt = coin("USDT", "100", "0");
    assert_eq!(
        balances(&wallet("UNIFIED", "50.25", &usdt)),
        Ok(Answer::Balances(vec![view("USDT", "100", "50.25")]))
    );
    assert_eq!(balances(&wallet("CONTRACT", "", &usdt)), Ok(Answer::Balances(Vec::new())));
    // Dust of another coin hides nothing; of the settlement coin nothing is rounded.
    let dust = coin("SHIB", "0.000000000000000001", "0");
    let both = format!("{dust},{usdt}");
    assert_eq!(
        balances(&wallet("UNIFIED", "", &both)),
        Ok(Answer::Balances(vec![view("USDT", "100", "99.5")]))
    );
    let failure = balances(&wallet("UNIFIED", "", &coin("USDT", "1.123456789", "0"))).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreadable);
}

const EXECUTION: &str = r#"{"symbol":"ETHUSDT","orderType":"Market","underlyingPrice":"","orderLinkId":"",
 "side":"Buy","indexPrice":"","orderId":"8c065341-7b52-4ca9-ac2c-37e31ac55c94","stopOrderType":"UNKNOWN",
 "leavesQty":"0.3","execTime":"1672282722429","feeCurrency":"","isMaker":false,"execFee":"0.071409",
 "feeRate":"0.0006","execId":"e0cbe81d-0f18-5866-9415-cf319b5dab3b","tradeIv":"","blockTradeId":"",
 "markPrice":"1183.54","execPrice":"1190.15","markIv":"","orderQty":"0.4","orderPrice":"1236.9",
 "execValue":"119.015","execType":"Trade","execQty":"0.1","closedSize":"","seq":4688002127}"#;

const FUNDING: &str = r#"{"symbol":"XMRUSDT","orderType":"UNKNOWN","underlyingPrice":"","orderLinkId":"",
 "orderId":"a11e5fe2-1dbf-4bab-a9b2-af80a14efc5d","stopOrderType":"UNKNOWN","execTime":"1710950400000",
 "feeCurrency":"","createType":"","feeRate":"-0.000761","tradeIv":"","blockTradeId":"","markPrice":"136.79",
 "execPrice":"137.11","markIv":"","orderQty":"0","orderPrice":"0","execValue":"134.3678","closedSize":"0",
 "execType":"Funding","seq":"28097658790","side":"Sell","indexPrice":"","leavesQty":"0","isMaker":false,
 "execFee":"-0.10232512","execId":"8d1ef156-4ec6-4445-9a6c-1c0c24dbd046","marketUnit":"","execQty":"0.98"}"#;

/// Some days before the time of the answers here.
const SINCE: Millis = Millis(1_672_132_481_405 - 5 * 86_400_000);

#[test]
fn case_x18_executions_are_read_in_windows_of_seven_days_to_the_newest() {
    const WEEK: u64 = 7 * 86_400_000;
    let since = Millis(SINCE.0 - 2 * WEEK);
    let mut cursor = String::new();
    let mut cursors = Vec::new();
    // A page more in the first week, nothing in the second, a row in the third.
    for (rows, told) in [(EXECUTION, "a:b"), (EXECUTION, ""), ("", ""), (EXECUTION, "")] {
        let ask = Ask::Executions { symbol: symbol("ETHUSDT"), order: None, since, cursor };
        let Ok(Answer::Executions(_, next)) = list(&ask, rows, told) else { panic!("no executions") };
        cursors.push(next.clone());
        cursor = next.unwrap_or_default();
        if !cursor.is_empty() {
            let ask = Ask::Funding { since, cursor: cursor.clone() };
            let target = Bybit::request(&ask, None, Millis(1)).target;
            let (begin, within) = cursor[1..].split_once(':').unwrap();
            assert!(target.contains(&format!("&startTime={begin}&")), "{target}");
            assert_eq!(target.contains("&cursor=a%3Ab"), !within.is_empty(), "{target}");
        }
    }
    let week = |n: u64, within: &str| Some(format!("w{}:{within}", since.0 + n * WEEK));
    assert_eq!(cursors, [week(0, "a:b"), week(1, ""), week(2, ""), None]);
}

#[test]
fn executions_come_oldest_first_and_without_funding() {
    let later = EXECUTION
        .replace("1672282722429", "1672282722430")
        .replace("e0cbe81d", "later")
        .replace(r#""leavesQty":"0.3""#, r#""leavesQty":"0""#);
    let ask = Ask::Executions { symbol: symbol("ETHUSDT"), order: None, since: SINCE, cursor: String::new() };
    let rows = format!("{later},{FUNDING},{EXECUTION}");
    let Ok(Answer::Executions(views, None)) = list(&ask, &rows, "") else { panic!("no executions") };
    assert_eq!(views.len(), 2);
    let first = &views[0];
    assert_eq!((first.price, first.quantity), (price("1190.15"), quantity("0.1")));
    assert_eq!((first.filled, first.is_last), (Some(quantity("0.1")), Some(false)));
    assert_eq!((first.fee, first.fee_asset.as_str()), (money("0.071409"), ""));
    assert_eq!((first.sequence, first.at), (4_688_002_127, Millis(1_672_282_722_429)));
    assert_eq!((views[1].filled, views[1].is_last), (Some(quantity("0.4")), Some(true)));
}

#[test]
fn case_f1_funding_told_by_list_and_by_stream_is_the_same() {
    let ask = Ask::Funding { since: SINCE, cursor: String::new() };
    let expected = FundingView {
        symbol: Some(symbol("XMRUSDT")),
        amount: money("0.10232512"),
        asset: "USDT".to_owned(),
        rate: Some(rate("0.000761")),
        mark: Some(price("136.79")),
        at: Millis(1_710_950_400_000),
    };
    let listed = list(&ask, &format!("{FUNDING},{EXECUTION}"), "next").unwrap();
    assert_eq!(listed, Answer::Funding(vec![expected.clone()], Some(format!("w{}:next", SINCE.0))));
    assert_eq!(event("execution", FUNDING), StreamEvent::Funding(expected));
}

#[test]
fn a_key_is_told_with_its_rights_and_its_end() {
    let key = |read_only: u8, contract: &str, wallet: &str, ips: &str, end: &str| {
        let row = format!(
            r#"{{"id":"16651472","note":"testxxx","apiKey":"xxxxxx","readOnly":{read_only},"secret":"","permissions":{{"ContractTrade":[{contract}],"Spot":[],"Wallet":[{wallet}],"Options":[],"Derivatives":[],"CopyTrading":[],"NFT":[]}},"ips":[{ips}],"type":1,{end},"createdAt":"2023-02-15T03:13:24Z","unified":0,"uta":1,"userID":53888001}}"#
        );
        match success(&Ask::Key, &row) {
            Ok(Answer::Key(view)) => view,
            other => panic!("{other:?}"),
        }
    };
    let ends = r#""deadlineDay":88,"expiredAt":"2023-05-15T03:13:24Z""#;
    let bound = r#""deadlineDay":-2,"expiredAt":"1970-01-01T00:00:00Z""#;
    let view = |may_trade, may_withdraw, bound_to_address, expires_at: Option<u64>| KeyView {
        may_trade,
        may_withdraw,
        bound_to_address,
        expires_at: expires_at.map(Millis),
        account: Some("53888001".to_owned()),
    };
    let trade = r#""Order","Position""#;
    assert_eq!(key(0, trade, "", r#""*""#, ends), view(true, false, false, Some(1_684_120_404_000)));
    assert_eq!(key(0, trade, r#""Withdraw""#, r#""1.2.3.4""#, bound), view(true, true, true, None));
    assert_eq!(key(1, trade, r#""AccountTransfer""#, "", bound), view(false, false, false, None));
    assert_eq!(key(0, "", "", r#""1.2.3.4""#, bound), view(false, false, true, None));
    // Days are enough where the date is missing: 88 of them after the answer's own time.
    let days = r#""deadlineDay":88"#;
    assert_eq!(key(0, trade, "", "", days).expires_at, Some(Millis(1_672_132_481_405 + 88 * 86_400_000)));
    assert_eq!(success(&Ask::Key, "{}").unwrap_err().kind, FailureKind::Unreadable);
}

#[test]
fn case_t5_the_clock_is_told_in_milliseconds() {
    let result = r#"{"timeSecond":"1688639403","timeNano":"1688639403423213947"}"#;
    assert_eq!(success(&Ask::Time, result), Ok(Answer::Time(Millis(1_688_639_403_423))));
    assert_eq!(success(&Ask::Time, "{}"), Ok(Answer::Time(Millis(1_672_132_481_405))));
    assert!(answer(&Ask::Time, r#"{"retCode":0,"result":{}}"#).is_err());
    // There is no listen key to keep.
    assert_eq!(success(&Ask::KeepListenKey, result), Ok(Answer::Done));
    assert_eq!(success(&Ask::OpenListenKey, result), Ok(Answer::Done));
}

fn instrument_row(symbol: &str, status: &str, delivery: &str, tick: &str, lots: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","contractType":"LinearPerpetual","status":"{status}","baseCoin":"BTC","quoteCoin":"USDT","launchTime":"1585526400000","deliveryTime":"{delivery}","deliveryFeeRate":"","priceScale":"2","leverageFilter":{{"minLeverage":"1","maxLeverage":"100.00","leverageStep":"0.01"}},"priceFilter":{{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"{tick}"}},"lotSizeFilter":{{{lots}}},"unifiedMarginTrade":true,"fundingInterval":480,"settleCoin":"USDT","copyTrading":"both","isPreListing":false,"preListingInfo":null}}"#
    )
}

const LOTS: &str = r#""maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001","postOnlyMaxOrderQty":"1190.000","maxMktOrderQty":"500.000","minNotionalValue":"5""#;

fn instruments(rows: &str) -> Vec<InstrumentView> {
    match list(&Ask::Instruments(String::new()), rows, "") {
        Ok(Answer::Instruments(views, None)) => views,
        other => panic!("{other:?}"),
    }
}

#[test]
fn case_x13_filters_come_from_their_own_fields() {
    let row = |lots: &str| instrument_row("BTCUSDT", "Trading", "0", "0.10", lots);
    let view = instruments(&row(LOTS))[0];
    let instrument = view.instrument;
    assert_eq!((instrument.tick, instrument.step), (price("0.1"), quantity("0.001")));
    assert_eq!(instrument.quantity_min, quantity("0.001"));
    assert_eq!(instrument.quantity_max_limit, quantity("1190"));
    assert_eq!(instrument.quantity_max_market, quantity("500"));
    assert_eq!((instrument.notional_min, instrument.leverage_max), (money("5"), 100));
    assert_eq!((instrument.fee_taker, instrument.fee_maker), (rate("0.00055"), rate("0.0002")));
    assert_eq!(instrument.maintenance, rate("0.005"));
    assert_eq!((instrument.status, view.ends_at), (InstrumentStatus::Trading, None));
    // No minimum of the notional is none; no maximum of a market order is that of a limit order.
    let sparse = r#""maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001""#;
    let instrument = instruments(&row(sparse))[0].instrument;
    assert_eq!((instrument.notional_min, instrument.quantity_max_market), (Money::ZERO, quantity("1190")));
}

#[test]
fn case_x6_the_smallest_steps_are_held_and_what_cannot_be_is_left_out() {
    let rows = [
        instrument_row("1000PEPEUSDT", "Trading", "0", "9.2e-7", LOTS),
        instrument_row("TINYUSDT", "Trading", "0", "0.000000001", LOTS),
        instrument_row("ASYMBOLTHATISFARTOOLONGUSDT", "Trading", "0", "0.1", LOTS),
        instrument_row("BTCPERP", "Trading", "0", "0.1", LOTS)
            .replace(r#""settleCoin":"USDT""#, r#""settleCoin":"USDC""#),
        instrument_row("ZEROUSDT", "Trading", "0", "0", LOTS),
        instrument_row("NOLOTSUSDT", "Trading", "0", "0.1", ""),
        instrument_row("SATSUSDT", "Trading", "0", "0.00000001", LOTS),
    ];
    let views = instruments(&rows.join(","));
    let names: Vec<_> = views.iter().map(|view| view.instrument.symbol.to_string()).collect();
    assert_eq!(names, ["1000PEPEUSDT", "SATSUSDT"]);
    assert_eq!(views[0].instrument.tick, Price::from_units(92));
}

#[test]
fn case_y5_case_y6_what_does_not_trade_is_halted_and_the_end_is_told() {
    for (status, expected) in [
        ("Trading", InstrumentStatus::Trading),
        ("PreLaunch", InstrumentStatus::Halted),
        ("Settling", InstrumentStatus::Halted),
        ("Delivering", InstrumentStatus::Halted),
        ("Closed", InstrumentStatus::Halted),
        ("Unheard", InstrumentStatus::Halted),
    ] {
        let view = instruments(&instrument_row("XUSDT", status, "1700000000000", "0.1", LOTS))[0];
        assert_eq!(view.instrument.status, expected, "{status}");
        assert_eq!(view.ends_at, Some(Millis(1_700_000_000_000)));
    }
}

#[test]
fn case_x19_more_than_five_hundred_instruments_all_come() {
    let page = |from: u32, to: u32| {
        (from..to)
            .map(|n| instrument_row(&format!("COIN{n}USDT"), "Trading", "0", "0.1", LOTS))
            .collect::<Vec<_>>()
            .join(",")
    };
    // The server of this test gives 300 a page, whatever the limit; the client goes on while it is told to.
    let (mut cursor, mut all) = (Some(String::new()), Vec::new());
    while let Some(at) = cursor {
        let ask = Ask::Instruments(at.clone());
        assert!(request(&ask).target.contains("limit=1000"), "{}", request(&ask).target);
        let from = at.trim_start_matches("first%3D").parse().unwrap_or(0);
        let next = if from + 300 < 700 { format!("first%3D{}", from + 300) } else { String::new() };
        let Ok(Answer::Instruments(views, next)) = list(&ask, &page(from, (from + 300).min(700)), &next)
        else {
            panic!("no instruments")
        };
        all.extend(views);
        cursor = next;
    }
    assert_eq!(all.len(), 700);
    assert_eq!(all[699].instrument.symbol, symbol("COIN699USDT"));
}

#[test]
fn brackets_and_marks() {
    let tiers = r#"{"id":1,"symbol":"BTCUSDT","riskLimitValue":"2000000","maintenanceMargin":"0.005","initialMargin":"0.01","isLowestRisk":1,"maxLeverage":"100.00","mmDeduction":""},
        {"id":2,"symbol":"BTCUSDT","riskLimitValue":"4000000","maintenanceMargin":"0.01","initialMargin":"0.0175","isLowestRisk":0,"maxLeverage":"57.14"},
        {"id":3,"symbol":"BTCUSDT","riskLimitValue":"-6","maintenanceMargin":"0.015","maxLeverage":"40"},
        {"id":4,"symbol":"BTCUSDT","riskLimitValue":"8000000","maintenanceMargin":"1.5","maxLeverage":"30"},
        {"id":5,"symbol":"BTCUSDT","riskLimitValue":"9000000","maintenanceMargin":"NaN","maxLeverage":"0"}"#;
    let row = |cap: &str, leverage_max, kept: &str| BracketView {
        symbol: symbol("BTCUSDT"),
        notional_max: cap.parse().unwrap(),
        leverage_max,
        maintenance: rate(kept),
    };
    // What cannot be held takes nothing from the others.
    let rows = vec![row("2000000", 100, "0.005"), row("4000000", 57, "0.01")];
    let all = Brackets::of(rows.iter().map(|row| (row.notional_max, row.leverage_max, row.maintenance)));
    assert_eq!(all.rows()[1].deduction.to_string(), "10000", "what Bybit calls mmDeduction");
    let told = list(&Ask::Brackets(String::new()), tiers, "on");
    assert_eq!(told, Ok(Answer::Brackets(rows, Some("on".to_owned()))));
    let tickers = r#"{"symbol":"BTCUSDT","lastPrice":"16597.00","indexPrice":"16598.54","markPrice":"16596.00","fundingRate":"-0.001034"},
        {"symbol":"NEWUSDT","lastPrice":"","markPrice":""},{"symbol":"ODDUSDT","markPrice":"NaN"}"#;
    let mark = MarkView { symbol: symbol("BTCUSDT"), mark: price("16596"), at: Millis(1_672_132_481_405) };
    // No price is none: neither zero nor a reason to tell nothing of the others (CASES.md, F9, F10).
    assert_eq!(list(&Ask::Marks, tickers, ""), Ok(Answer::Marks(vec![mark])));
}

#[test]
fn a_list_of_another_category_is_not_ours() {
    let result = format!(r#"{{"category":"inverse","list":[{}]}}"#, ORDER.replace("@ID", "x"));
    let failure = success(&Ask::OpenOrders(String::new()), &result).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreadable);
}
