//! The last 24 hours of all contracts, and which of these the Market Pulse is made of.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::fixed::Rate;
use exchange::live::bybit::Bybit;
use exchange::live::protocol::{
    Answer, Ask, Cost, DayTickerView, Failure, FailureKind, Group, Millis, Protocol,
};

/// The maker's example, with fields that only some contracts have.
const ROW: &str = r#"{"symbol":"BTCUSDT","lastPrice":"16597.00","indexPrice":"16598.54","markPrice":"16596.00","prevPrice24h":"16464.50","price24hPcnt":"0.008047","highPrice24h":"30912.50","lowPrice24h":"15700.00","prevPrice1h":"16595.50","openInterest":"373504107","openInterestValue":"22505.67","turnover24h":"2352.94950046","volume24h":"49337318","fundingRate":"-0.001034","nextFundingTime":"1672387200000","predictedDeliveryPrice":"","basisRate":"","deliveryFeeRate":"","deliveryTime":"0","ask1Size":"1","bid1Price":"16596.00","ask1Price":"16597.50","bid1Size":"1","preOpenPrice":"","preQty":"","curPreListingPhase":""}"#;

fn told(rows: &[String]) -> Result<Vec<DayTickerView>, Failure> {
    match list(&Ask::DayTickers, &rows.join(","), "") {
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
    let call = Bybit::request(&Ask::DayTickers, None, Millis(0));
    assert_eq!((call.method, call.target.as_str()), ("GET", "/v5/market/tickers?category=linear"));
    assert!(call.headers.is_empty() && call.body.is_empty());
    assert_eq!(Bybit::cost(&Ask::DayTickers), Cost { group: Group::Public, address: 1, account: 0 });
}

#[test]
fn a_change_is_a_fraction_and_the_turnover_is_in_the_quote_coin() {
    let want = DayTickerView {
        symbol: symbol("BTCUSDT"),
        change: "0.008047".parse().unwrap(),
        turnover: "2352.94950046".parse().unwrap(),
        at: Millis(1_672_132_481_405),
    };
    assert_eq!(told(&[ROW.to_owned()]), Ok(vec![want]));
    assert_eq!(told(&[]), Ok(Vec::new()));
    for (told_as, fraction) in [("0", "0"), ("-0.000001", "-0.000001"), ("-1", "-1"), ("9999.9", "9999.9")] {
        let views = told(&[row("AUSDT", "0.008047", told_as)]).unwrap();
        assert_eq!(views[0].change, fraction.parse::<Rate>().unwrap(), "{told_as}");
    }
    // As numbers, beyond what 64 bits of 1e-8 hold, and with more places than are kept.
    let views = told(&[row("AUSDT", "\"2352.94950046\"", "412233720368.5477589999")]).unwrap();
    assert_eq!(views[0].turnover.units(), 41_223_372_036_854_775_899);
}

#[test]
fn case_f9_case_f10_no_price_is_no_change_and_what_is_no_number_takes_nothing_from_the_others() {
    let good = ROW.to_owned();
    for odd in [
        row("AUSDT", "\"16597.00\"", "\"\""),
        row("AUSDT", "\"16597.00\"", "\"0\""),
        row("AUSDT", "\"16597.00\"", "\"NaN\""),
        row("AUSDT", "\"0.008047\"", "\"\""),
        row("AUSDT", "\"0.008047\"", "\"NaN\""),
        row("AUSDT", "\"0.008047\"", "\"-1.000001\""),
        row("AUSDT", "\"0.008047\"", "\"10000.1\""),
        row("AUSDT", "\"0.008047\"", "\"0.0000000001\""),
        row("AUSDT", "\"2352.94950046\"", "\"\""),
        row("AUSDT", "\"2352.94950046\"", "\"-1\""),
        row("AUSDT", "\"2352.94950046\"", "\"Infinity\""),
        row("AUSDT", "\"2352.94950046\"", "\"1000000000000001\""),
        row("AUSDT", "\"turnover24h\"", "\"turnover\""),
        row("ASYMBOLOFMORETHANTWENTYFOURLETTERS", "16597", "16597"),
        "{}".to_owned(),
    ] {
        assert_eq!(told(&[odd.clone(), good.clone()]).map(|views| views.len()), Ok(1), "{odd}");
    }
    // Nothing of it can be read: that is no market without contracts.
    assert!(refused(&["{}".to_owned(), row("AUSDT", "0.008047", "x")]));
    assert_eq!(told(&[row("AUSDT", "16597.00", "")]), Ok(Vec::new()), "no price is told as none");
    // Whose time is not told, nobody can say how old it is.
    let timeless =
        format!(r#"{{"retCode":0,"retMsg":"OK","result":{{"category":"linear","list":[{ROW}]}}}}"#);
    assert!(answer(&Ask::DayTickers, &timeless).is_err());
    let inverse = format!(r#"{{"category":"inverse","list":[{ROW}]}}"#);
    assert!(success(&Ask::DayTickers, &inverse).is_err());
}

#[test]
fn a_symbol_that_is_told_twice_is_told_by_nobody() {
    let again = row("BTCUSDT", "0.008047", "1");
    assert!(refused(&[ROW.to_owned(), row("AUSDT", "2352", "1"), again]));
}

#[test]
fn whether_a_contract_is_a_perpetual_one_in_usdt_says_the_list() {
    let is_one = |kind: &str, quote: &str| {
        let row = format!(
            r#"{{"symbol":"XUSDT","contractType":"{kind}","status":"Trading","quoteCoin":"{quote}","settleCoin":"USDT","deliveryTime":"0","leverageFilter":{{"maxLeverage":"50"}},"priceFilter":{{"tickSize":"0.1"}},"lotSizeFilter":{{"maxOrderQty":"9","minOrderQty":"1","qtyStep":"1"}}}}"#
        );
        match list(&Ask::Instruments(String::new()), &row, "") {
            Ok(Answer::Instruments(views, None)) => views[0].is_usdt_perpetual,
            other => panic!("{other:?}"),
        }
    };
    assert!(is_one("LinearPerpetual", "USDT"));
    assert!(!is_one("LinearFutures", "USDT"), "it is delivered on a date");
    assert!(!is_one("LinearPerpetual", "USDC"));
    assert!(!is_one("", "USDT"), "nothing is concluded from its name");
}
