//! Orders fill in parts: market orders by the depth of a tick, limit orders by how far the price comes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{Liquidity, OrderKind, OrderState, Side, VenueReason, VenueReport};
use exchange::market::Market;
use exchange::paper::{MARKET_FILLS_MAX, PaperSettings, listings};

fn desk(depth: &str, market: Market) -> (Desk, std::sync::Arc<exchange::market::Gate>) {
    let mut listings = listings();
    listings.iter_mut().for_each(|listing| listing.depth = listing.depth.max(listing.instrument.step));
    listings.iter_mut().filter(|l| l.instrument.symbol == btc()).for_each(|l| l.depth = quantity(depth));
    let (mut desk, gate) = Desk::held(PaperSettings { listings, ..PaperSettings::default() }, market);
    desk.open(account(1), "100000");
    (desk, gate)
}

fn sizes(reports: &[VenueReport]) -> Vec<(String, String)> {
    fills(reports).into_iter().map(|(_, price, size)| (price, size)).collect()
}

fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(price, size)| ((*price).to_owned(), (*size).to_owned())).collect()
}

#[test]
fn a_market_order_takes_the_depth_of_each_tick() {
    let (mut desk, gate) = desk("0.4", trades(0, &["1000", "1001", "1002", "1003"]));
    let first = desk.enter(account(1), Side::Buy, "1");
    assert_eq!(sizes(&first), text(&[("1000", "0.4")]));
    gate.release_all();
    let rest = desk.drain();
    assert_eq!(sizes(&rest), text(&[("1001", "0.4"), ("1002", "0.2")]));
    assert!(matches!(rest.last(), Some(VenueReport::Filled { last: true, fill, .. }) if fill.number == 3));
    desk.agree();
}

#[test]
fn a_market_order_gives_up_after_a_bound_and_keeps_its_fills() {
    let prices = ["1000"; 40];
    let (mut desk, gate) = desk("0.1", trades(0, &prices));
    desk.enter(account(1), Side::Buy, "5");
    gate.release_all();
    desk.drain();
    let entry = id(account(1), 1, Leg::Entry);
    assert_eq!(reason(&desk.reports, entry), Some(VenueReason::Liquidity));
    assert_eq!(fills(&desk.reports).len(), usize::try_from(MARKET_FILLS_MAX).unwrap());
    assert_eq!(desk.books[&account(1)].positions[&btc()].quantity, 100_000_000);
    desk.agree();
}

#[test]
fn a_limit_order_fills_in_full_when_the_price_goes_through_and_in_part_when_it_touches() {
    let (mut desk, gate) = desk("100", trades(0, &["1000", "990", "990", "990.1", "989.9"]));
    let limit = order(id(account(1), 1, Leg::Entry), Side::Buy, OrderKind::Limit(price("990")), "1", false);
    assert_eq!(fills(&desk.send(limit)).len(), 0);
    gate.release_all();
    let reports = desk.drain();
    assert_eq!(sizes(&reports), text(&[("990", "0.5"), ("990", "0.25"), ("990", "0.25")]));
    for report in &reports {
        if let VenueReport::Filled { fill, .. } = report {
            assert_eq!(fill.liquidity, Liquidity::Maker);
            let notional = fill.price.notional(fill.quantity).unwrap();
            assert_eq!(
                fill.fee,
                notional.times(rate("0.0002"), engine::core::fixed::Rounding::HalfEven).unwrap()
            );
        }
    }
    desk.agree();
}

#[test]
fn a_limit_order_that_is_marketable_takes_at_the_market_and_rests_with_what_is_left() {
    let (mut desk, gate) = desk("0.3", trades(0, &["1000", "1005", "999"]));
    let limit = order(id(account(1), 1, Leg::Entry), Side::Buy, OrderKind::Limit(price("1002")), "1", false);
    let first = desk.send(limit);
    assert_eq!(sizes(&first), text(&[("1000", "0.3")]));
    assert!(matches!(first[1], VenueReport::Filled { fill, .. } if fill.liquidity == Liquidity::Taker));
    gate.release_all();
    assert_eq!(sizes(&desk.drain()), text(&[("1002", "0.7")]));
    desk.agree();
}

#[test]
fn a_fired_stop_goes_on_with_the_next_ticks() {
    let (mut desk, gate) = desk("0.5", candles(0, &["1000,1000,970,975"]));
    desk.enter(account(1), Side::Buy, "0.5");
    // A second entry makes the position larger than one tick's depth.
    desk.send(order(id(account(1), 2, Leg::Entry), Side::Buy, OrderKind::Market, "0.5", false));
    desk.send(order(
        id(account(1), 1, Leg::Stop),
        Side::Sell,
        OrderKind::StopMarket(price("980")),
        "1",
        true,
    ));
    gate.release_all();
    let reports = desk.drain();
    // Close below open: the high comes first, then the low through the stop, then the close.
    assert_eq!(sizes(&reports), text(&[("980", "0.5"), ("975", "0.5")]));
    assert!(matches!(reports.last(), Some(VenueReport::Filled { last: true, .. })));
    desk.agree();
}

#[test]
fn a_cancelled_order_keeps_its_fills() {
    let (mut desk, _) = desk("0.4", trades(0, &["1000", "1001"]));
    desk.enter(account(1), Side::Buy, "1");
    let entry = id(account(1), 1, Leg::Entry);
    exchange::venue::Venue::cancel(&mut desk.venue, NOW, entry).unwrap();
    assert_eq!(desk.drain(), [ended(entry, OrderState::Cancelled, VenueReason::Requested)]);
    assert_eq!(desk.books[&account(1)].positions[&btc()].quantity, 40_000_000);
    desk.agree();
}
