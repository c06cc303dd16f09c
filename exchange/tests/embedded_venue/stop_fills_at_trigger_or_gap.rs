//! A stop that the price moves through fills at its trigger; one that the price jumps over fills at the gap.

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{OrderKind, Side};
use exchange::paper::PaperSettings;

fn check(market: exchange::market::Market, side: Side, stop: &str, filled_at: &str) {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), market);
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, side, "0.1");
    desk.send(order(id(a, 1, Leg::Stop), side.opposite(), OrderKind::StopMarket(price(stop)), "0.1", true));
    gate.release_all();
    let reports = desk.drain();
    assert_eq!(fills(&reports), [(Leg::Stop, filled_at.to_owned(), "0.1".to_owned())]);
    assert!(desk.books[&a].positions.is_empty());
    desk.agree();
}

#[test]
fn through_it_inside_a_candle() {
    check(candles(0, &["1000,1001,950,960"]), Side::Buy, "980", "980");
    check(candles(0, &["1000,1050,999,1040"]), Side::Sell, "1020", "1020");
}

#[test]
fn over_it_between_candles() {
    check(candles(0, &["1000,1001,999,1000", "970,975,960,972"]), Side::Buy, "980", "970");
    check(candles(0, &["1000,1001,999,1000", "1030,1031,1029,1030"]), Side::Sell, "1020", "1030");
}

#[test]
fn over_it_between_trades() {
    check(trades(0, &["1000", "990", "975", "985"]), Side::Buy, "980", "975");
}
