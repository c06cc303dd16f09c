//! A liquidation closes at its price, or at the gap but never beyond bankruptcy: the isolated margin is the most a
//! position can lose (F6, F7).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{OrderKind, Side, VenueReason, VenueReport};
use exchange::market::Market;
use exchange::paper::PaperSettings;
use proptest::prelude::*;

/// Price and fee of the liquidation, and the wallet after it (before: 10000 less the entry fee of 0.5).
fn liquidated(market: Market, side: Side) -> (String, String, String) {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), market);
    let a = account(1);
    desk.open(a, "10000.5");
    desk.enter(a, side, "1");
    gate.release_all();
    let reports = desk.drain();
    desk.agree();
    let fill = reports
        .iter()
        .find_map(|report| match report {
            VenueReport::Liquidated { fill, .. } => Some(*fill),
            _ => None,
        })
        .unwrap();
    assert_eq!(fill.number, 1);
    (fill.price.to_string(), fill.fee.to_string(), desk.venue.account(a).unwrap().wallet.to_string())
}

fn check(market: Market, side: Side, price: &str, fee: &str, wallet: &str) {
    assert_eq!(liquidated(market, side), (price.to_owned(), fee.to_owned(), wallet.to_owned()));
}

#[test]
fn at_its_price_when_the_market_moves_through_it() {
    // 1000 * 0.8 / 0.996 = 803.21… and 1000 * 1.2 / 1.004 = 1195.21…; the fee would be more than what is left.
    check(candles(0, &["1000,1000,700,750"]), Side::Buy, "803.3", "3.3", "9800");
    check(candles(0, &["1000,1300,1000,1250"]), Side::Sell, "1195.2", "4.8", "9800");
}

#[test]
fn at_bankruptcy_when_the_market_jumps_far_beyond() {
    check(trades(0, &["1000", "100"]), Side::Buy, "800", "0", "9800");
    check(trades(0, &["1000", "5000"]), Side::Sell, "1200", "0", "9800");
}

#[test]
fn at_the_gap_when_the_market_jumps_a_little_beyond() {
    check(trades(0, &["1000", "801"]), Side::Buy, "801", "1", "9800");
}

#[test]
fn a_stop_inside_it_comes_first_on_the_way_and_not_in_a_jump() {
    for (market, by_stop) in
        [(candles(0, &["1000,1000,700,750"]), true), (trades(0, &["1000", "700"]), false)]
    {
        let (mut desk, gate) = Desk::held(PaperSettings::default(), market);
        let a = account(1);
        desk.open(a, "10000");
        desk.enter(a, Side::Buy, "1");
        let stop = id(a, 1, Leg::Stop);
        desk.send(order(stop, Side::Sell, OrderKind::StopMarket(price("980")), "1", true));
        gate.release_all();
        let reports = desk.drain();
        let told = reports.iter().any(|report| matches!(report, VenueReport::Liquidated { .. }));
        assert_eq!(told, !by_stop);
        assert_eq!(reason(&reports, stop).is_none(), by_stop);
        if !by_stop {
            assert_eq!(reason(&reports, stop), Some(VenueReason::PositionClosed));
        }
        desk.agree();
    }
}

proptest! {
    #[test]
    fn whatever_the_size_the_leverage_and_the_jump(
        size in 1_i64..50_000,
        leverage in 1_u8..=125,
        entry in 5_000_i64..2_000_000,
        gap in 20_i64..=2_000,
        long: bool,
    ) {
        let entry = entry / 10 * 10;
        let to = (entry * gap / 1000).max(1);
        let tenths = |n: i64| format!("{}.{}", n / 10, n % 10);
        let rows = [tenths(entry), tenths(to)];
        let market = trades(0, &[&rows[0], &rows[1]]);
        let (mut desk, gate) = Desk::held(PaperSettings::default(), market);
        let a = account(1);
        desk.open(a, "900000000");
        let side = if long { Side::Buy } else { Side::Sell };
        let size = engine::core::fixed::Quantity::from_units(size * 100_000);
        let entry = engine::core::order::NewOrder {
            leverage,
            quantity: size,
            ..order(id(a, 1, Leg::Entry), side, OrderKind::Market, "1", false)
        };
        desk.send(entry);
        if let Some(held) = desk.books[&a].positions.get(&btc()).cloned() {
            let before = desk.books[&a].wallet;
            gate.release_all();
            let reports = desk.drain();
            let lost = before - desk.books[&a].wallet;
            let margin = (held.cost + i128::from(leverage) - 1) / i128::from(leverage);
            if reports.iter().any(|report| matches!(report, VenueReport::Liquidated { .. })) {
                prop_assert!(lost <= margin, "lost {lost} of {margin}");
            }
            desk.agree();
        }
    }
}
