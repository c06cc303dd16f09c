//! The last 24 hours of all contracts, and which of these the Market Pulse is made of.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{AT, answer, answer_with, symbol};
use engine::core::fixed::Rate;
use exchange::live::binance::Binance;
use exchange::live::protocol::{
    Answer, Ask, DayTickerView, Failure, FailureKind, Group, InstrumentView, Millis, Protocol,
};

/// The maker's example.
const ROW: &str = r#"{"symbol":"BTCUSDT","priceChange":"-94.99999800","priceChangePercent":"-95.960","weightedAvgPrice":"0.29628482","lastPrice":"4.00000200","lastQty":"200.00000000","openPrice":"99.00000000","highPrice":"100.00000000","lowPrice":"0.10000000","volume":"8913.30000000","quoteVolume":"15.30000000","openTime":1499783499040,"closeTime":1499869899040,"firstId":28385,"lastId":28460,"count":76}"#;

fn told(rows: &[String]) -> Result<Vec<DayTickerView>, Failure> {
    match answer(&Ask::DayTickers, &format!("[{}]", rows.join(","))) {
        Ok(Answer::DayTickers(views)) => Ok(views),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err(failure),
    }
}

fn row(name: &str, from: &str, to: &str) -> String {
    assert!(ROW.contains(from), "{from}");
    ROW.replace("BTCUSDT", name).replacen(from, to, 1)
}

fn refused(rows: &[String]) -> bool {
    told(rows).is_err_and(|failure| failure.kind == FailureKind::Unreadable)
}

#[test]
fn one_public_request_tells_all_symbols() {
    let call = Binance::request(&Ask::DayTickers, None, AT);
    assert_eq!((call.method, call.target.as_str()), ("GET", "/fapi/v1/ticker/24hr"));
    assert!(call.headers.is_empty() && call.body.is_empty());
    let cost = Binance::cost(&Ask::DayTickers);
    assert_eq!((cost.group, cost.address, cost.account), (Group::Public, 40, 0));
    assert!(!Ask::DayTickers.is_signed() && !Ask::DayTickers.is_write());
}

#[test]
fn a_percentage_is_an_exact_fraction_and_the_turnover_is_in_the_quote_asset() {
    let want = DayTickerView {
        symbol: symbol("BTCUSDT"),
        change: "-0.9596".parse().unwrap(),
        turnover: "15.3".parse().unwrap(),
        at: Millis(1_499_869_899_040),
    };
    assert_eq!(told(&[ROW.to_owned()]), Ok(vec![want]));
    assert_eq!(told(&[]), Ok(Vec::new()));
    for (percent, fraction) in
        [("0.000", "0"), ("0.001", "0.00001"), ("-0.000", "0"), ("123.456789", "1.23456789"), ("1e3", "10")]
    {
        let views = told(&[row("AUSDT", "-95.960", percent)]).unwrap();
        assert_eq!(views[0].change, fraction.parse::<Rate>().unwrap(), "{percent}");
    }
    // As numbers, with fields that came later, and beyond what 64 bits of 1e-8 hold.
    let views =
        told(&[row("AUSDT", "\"15.30000000\"", "412233720368.54775899,\"new\":{\"x\":[1]}")]).unwrap();
    assert_eq!(views[0].turnover.units(), 41_223_372_036_854_775_899);
    let name = "币安人生USDT";
    assert_eq!(told(&[row(name, "15.3", "15.4")]).unwrap()[0].symbol, symbol(name));
}

#[test]
fn case_f9_case_f10_no_price_is_no_change_and_what_is_no_number_takes_nothing_from_the_others() {
    let good = ROW.to_owned();
    for odd in [
        row("AUSDT", "\"4.00000200\"", "\"0.00\""),
        row("AUSDT", "\"4.00000200\"", "\"NaN\""),
        row("AUSDT", "\"4.00000200\"", "\"\""),
        row("AUSDT", "\"-95.960\"", "\"NaN\""),
        row("AUSDT", "\"-95.960\"", "\"-Infinity\""),
        row("AUSDT", "\"-95.960\"", "\"-100.001\""),
        row("AUSDT", "\"-95.960\"", "\"1000000.001\""),
        row("AUSDT", "\"-95.960\"", "\"0.0000001\""),
        row("AUSDT", "\"-95.960\"", "null"),
        row("AUSDT", "\"-95.960\"", "\"1,5\""),
        row("AUSDT", "\"15.30000000\"", "\"-15.3\""),
        row("AUSDT", "\"15.30000000\"", "\"inf\""),
        row("AUSDT", "\"15.30000000\"", "\"1000000000000000.01\""),
        row("AUSDT", "1499869899040", "\"yesterday\""),
        row("AUSDT", "\"quoteVolume\"", "\"quotevolume\""),
        row("ASYMBOLOFMORETHANTWENTYFOURLETTERS", "15.3", "15.3"),
        "17".to_owned(),
    ] {
        assert_eq!(told(&[odd.clone(), good.clone()]).map(|views| views.len()), Ok(1), "{odd}");
    }
    // Nothing of it can be read: that is no market without contracts.
    assert!(refused(&["17".to_owned(), row("AUSDT", "-95.960", "x")]));
    assert_eq!(told(&[row("AUSDT", "4.00000200", "0")]), Ok(Vec::new()), "no price is told as none");
    for body in ["{}", ROW, "", "[", "null"] {
        assert!(answer(&Ask::DayTickers, body).is_err(), "{body}");
    }
    let busy = r#"{"code":-1003,"msg":"Too many requests."}"#;
    let limited = answer_with(&Ask::DayTickers, 429, busy, &[]).unwrap_err();
    assert!(matches!(limited.kind, FailureKind::Limited { .. }), "{limited}");
}

#[test]
fn a_symbol_that_is_told_twice_is_told_by_nobody() {
    let again = row("BTCUSDT", "-95.960", "1");
    assert!(refused(&[ROW.to_owned(), row("AUSDT", "15.3", "1"), again]));
    assert!(refused(&[ROW.to_owned(), ROW.to_owned()]));
}

#[test]
fn whether_a_contract_is_a_perpetual_one_in_usdt_says_the_list() {
    let of = |kind: &str, quote: &str, margin: &str| {
        let filters =
            r#"{"filterType":"PRICE_FILTER","tickSize":"0.1"},{"filterType":"LOT_SIZE","stepSize":"1"}"#;
        let row = format!(
            r#"{{"symbol":"XUSDT","contractType":"{kind}","status":"TRADING","quoteAsset":"{quote}"{margin},"filters":[{filters}]}}"#
        );
        match answer(&Ask::Instruments(String::new()), &format!(r#"{{"symbols":[{row}]}}"#)) {
            Ok(Answer::Instruments(views, None)) => views,
            other => panic!("{other:?}"),
        }
    };
    let is_one =
        |views: &[InstrumentView]| views.iter().map(|view| view.is_usdt_perpetual).collect::<Vec<_>>();
    assert_eq!(is_one(&of("PERPETUAL", "USDT", r#","marginAsset":"USDT""#)), [true]);
    assert_eq!(is_one(&of("PERPETUAL", "USDT", "")), [true], "an older answer");
    assert_eq!(is_one(&of("PERPETUAL", "USDC", r#","marginAsset":"USDC""#)), [false]);
    assert_eq!(is_one(&of("PERPETUAL", "USDT", r#","marginAsset":"BNFCR""#)), [false]);
    assert_eq!(is_one(&of("CURRENT_QUARTER", "USDT", r#","marginAsset":"USDT""#)), [false; 0]);
}
