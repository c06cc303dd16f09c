//! Reduce-only is capped when it fills, not when it arrives (O2, O3), and a plain order that crosses flat does so in
//! two fills.

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{OrderKind, OrderState, Side, VenueReason};
use exchange::paper::PaperSettings;

#[test]
fn a_resting_close_is_capped_by_what_is_still_open() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), trades(0, &["1000", "1020"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    // Both fit when they arrive; together they are more than the position.
    let first = id(a, 1, Leg::SignalClose);
    let second = id(a, 1, Leg::ManualClose);
    desk.send(order(first, Side::Sell, OrderKind::Limit(price("1005")), "0.7", true));
    desk.send(order(second, Side::Sell, OrderKind::Limit(price("1010")), "0.7", true));
    gate.release_all();
    let reports = desk.drain();
    assert_eq!(
        fills(&reports),
        [
            (Leg::SignalClose, "1005".to_owned(), "0.7".to_owned()),
            (Leg::ManualClose, "1010".to_owned(), "0.3".to_owned())
        ]
    );
    assert_eq!(reports.last(), Some(&ended(second, OrderState::Expired, VenueReason::PositionClosed)));
    assert!(desk.books[&a].positions.is_empty(), "flipped");
    desk.agree();
}

#[test]
fn a_market_close_larger_than_the_position_closes_it_and_no_more() {
    for side in [Side::Buy, Side::Sell] {
        let (mut desk, _) = Desk::held(PaperSettings::default(), trades(0, &["1000"]));
        let a = account(1);
        desk.open(a, "10000");
        desk.enter(a, side, "1");
        let close = id(a, 1, Leg::ManualClose);
        let reports = desk.send(order(close, side.opposite(), OrderKind::Market, "5", true));
        assert_eq!(fills(&reports), [(Leg::ManualClose, "1000".to_owned(), "1".to_owned())]);
        assert_eq!(reports.last(), Some(&ended(close, OrderState::Expired, VenueReason::PositionClosed)));
        assert!(desk.books[&a].positions.is_empty());
        desk.agree();
    }
}

#[test]
fn a_trigger_closes_what_is_open_when_it_fires() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), trades(0, &["1000", "970"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    desk.send(order(id(a, 1, Leg::Stop), Side::Sell, OrderKind::StopMarket(price("980")), "1", true));
    desk.send(order(id(a, 1, Leg::ManualClose), Side::Sell, OrderKind::Market, "0.4", true));
    gate.release_all();
    assert_eq!(fills(&desk.drain()), [(Leg::Stop, "970".to_owned(), "0.6".to_owned())]);
    desk.agree();
}

#[test]
fn a_plain_order_crosses_flat_in_two_fills() {
    let (mut desk, _) = Desk::held(PaperSettings::default(), trades(0, &["1000"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    let stop = id(a, 1, Leg::Stop);
    desk.send(order(stop, Side::Sell, OrderKind::StopMarket(price("980")), "1", true));
    let flip = order(id(a, 2, Leg::Entry), Side::Sell, OrderKind::Market, "3", false);
    let reports = desk.send(flip);
    let both =
        [(Leg::Entry, "1000".to_owned(), "1".to_owned()), (Leg::Entry, "1000".to_owned(), "2".to_owned())];
    assert_eq!(fills(&reports), both);
    // The old position's stop is gone before the new position begins (O10).
    assert_eq!(reason(&reports, stop), Some(VenueReason::PositionClosed));
    assert_eq!(desk.books[&a].positions[&btc()].side, Side::Sell);
    desk.agree();
}
