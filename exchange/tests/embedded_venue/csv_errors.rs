//! A file that cannot be used is refused with its name, the line and what to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::market::{CsvError, Market, MarketFile, Problem, symbol_from_file_name};
use exchange::paper::FundingTable;

const CANDLES: &str = "time_ms,open,high,low,close,volume";
const TRADES: &str = "time_ms,id,side,price,quantity";

fn check(text: &str, line: usize, problem: &str) {
    let error = MarketFile::parse("m.csv", text).map(|_| ()).unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with(&format!("m.csv:{line}: ")) && told.contains(problem), "{told}");
}

#[test]
fn headers() {
    check("", 1, "unknown header");
    check("time,price\n1,2\n", 1, "unknown header");
    check(&format!("{CANDLES}\n"), 2, "no rows");
    check(TRADES, 2, "no rows");
}

#[test]
fn rows() {
    let candle = |rows: &str| format!("{CANDLES}\n1000,10,12,9,11,5\n{rows}\n");
    check(&candle("2000,10,12,9,11"), 3, "5 columns instead of 6");
    check(&candle("2000,10,5,12,9,11,5"), 3, "decimal comma");
    check(&candle("\n2000,10,12,9,11,5"), 3, "1 columns instead of 6");
    check(&candle("2000,ten,12,9,11,5"), 3, "column open: not a number");
    check(&candle("2000,NaN,12,9,11,5"), 3, "column open: not a finite number");
    check(&candle("2000,10,inf,9,11,5"), 3, "column high");
    check(&candle("2000,10,12,9,11,x"), 3, "column volume");
    check(&candle("2000,10,12,0,11,5"), 3, "column low must be above zero");
    check(&candle("2000,10,12,-9,11,5"), 3, "column low must be above zero");
    check(&candle("2000,10,10.5,9,11,5"), 3, "do not contain open and close");
    check(&candle("1000,10,12,9,11,5"), 3, "goes back or repeats");
    check(&candle("999,10,12,9,11,5"), 3, "goes back or repeats");
    check(&candle("2000.5,10,12,9,11,5"), 3, "time_ms is not milliseconds");
    check(&candle("-2000,10,12,9,11,5"), 3, "time_ms is not milliseconds");
    check(&candle("99999999999999,10,12,9,11,5"), 3, "time_ms is not milliseconds");
    check(&candle("2000,1000,1200,900,1100,5"), 3, "more than 64 times");
    check(&format!("{TRADES}\n5,1,buy,10,1\n4,2,buy,10,1\n"), 3, "goes back");
    check(&format!("{TRADES}\n5,1,buy,1;5,1\n"), 2, "column price");
}

#[test]
fn what_is_fine() {
    let text = format!("\u{feff}{TRADES}\r\n5,1,buy,10.5,1\r\n5,2,sell,10.4,1\r\n\r\n");
    let file = MarketFile::parse("m.csv", &text).unwrap();
    assert_eq!((file.ticks(), file.starts_at().millis()), (2, 5));
    assert_eq!(MarketFile::parse("m.csv", &format!("{CANDLES}\n1,10,12,9,11,5")).unwrap().ticks(), 4);
}

#[test]
fn a_price_below_the_tick() {
    let file = MarketFile::parse("m.csv", &format!("{TRADES}\n5,1,buy,0.2,1\n6,1,buy,0.04,1\n")).unwrap();
    let error = Market::new().add_file(&file, btc(), price("0.1")).unwrap_err();
    assert_eq!(error, CsvError { file: "m.csv".to_owned(), line: 3, problem: Problem::BelowTick });
}

#[test]
fn prices_off_the_tick_go_to_the_nearest() {
    let mut market = file_market(&format!("{TRADES}\n5,1,buy,10.04,1\n6,1,buy,10.05,1\n7,1,buy,10.16,1\n"));
    let prices: Vec<_> = std::iter::from_fn(|| market.advance()).map(|tick| tick.price.to_string()).collect();
    assert_eq!(prices, ["10", "10.1", "10.2"]);
}

#[test]
fn funding_files() {
    let check = |text: &str, line: usize, problem: &str| {
        let told = FundingTable::parse("f.csv", text).unwrap_err().to_string();
        assert!(told.starts_with(&format!("f.csv:{line}: ")) && told.contains(problem), "{told}");
    };
    check("time_ms,rate\n", 1, "unknown header");
    check("time_ms,funding_rate\n", 2, "no rows");
    check("time_ms,funding_rate\n0,0,0001\n", 2, "3 columns instead of 2");
    check("time_ms,funding_rate\n0,1\n", 2, "not percent");
    check("time_ms,funding_rate\n0,abc\n", 2, "column funding_rate");
    check("time_ms,funding_rate\n28800017,0.1\n28800006,0.1\n", 3, "goes back or repeats");
}

#[test]
fn symbols_of_file_names() {
    for (path, name) in [
        ("btcusdt-5m-2023-01.csv", "BTCUSDT"),
        ("/some/where/1000pepeusdt_trades.csv", "1000PEPEUSDT"),
        ("XRPUSDT", "XRPUSDT"),
    ] {
        assert_eq!(symbol_from_file_name(path), Some(symbol(name)), "{path}");
    }
    assert_eq!(symbol_from_file_name("/tmp/-.csv"), None);
}
