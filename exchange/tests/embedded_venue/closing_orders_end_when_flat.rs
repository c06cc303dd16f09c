//! When a position is gone its other closing orders end by themselves, and opening orders stay (O8, O10).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{OrderKind, OrderState, Side, VenueReason};
use exchange::paper::PaperSettings;

#[test]
fn by_a_take_profit() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), candles(0, &["1000,1040,999,1035"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    let stop = id(a, 1, Leg::Stop);
    let rest = id(a, 1, Leg::SignalClose);
    let other = id(a, 2, Leg::Entry);
    desk.send(order(stop, Side::Sell, OrderKind::StopMarket(price("980")), "1", true));
    desk.send(order(rest, Side::Sell, OrderKind::Limit(price("1100")), "1", true));
    desk.send(order(other, Side::Buy, OrderKind::Limit(price("900")), "1", false));
    desk.send(order(
        id(a, 1, Leg::TakeProfit),
        Side::Sell,
        OrderKind::TakeProfitMarket(price("1030")),
        "1",
        true,
    ));
    gate.release_all();
    let reports = desk.drain();
    assert_eq!(fills(&reports), [(Leg::TakeProfit, "1030".to_owned(), "1".to_owned())]);
    for gone in [stop, rest] {
        assert!(reports.contains(&ended(gone, OrderState::Expired, VenueReason::PositionClosed)), "{gone}");
    }
    assert_eq!(reason(&reports, other), None);
    assert_eq!(desk.venue.account(a).unwrap().orders.len(), 1);
    desk.agree();
}

#[test]
fn by_a_liquidation() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), trades(0, &["1000", "500"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    let take = id(a, 1, Leg::TakeProfit);
    desk.send(order(take, Side::Sell, OrderKind::TakeProfitMarket(price("1030")), "1", true));
    gate.release_all();
    assert_eq!(reason(&desk.drain(), take), Some(VenueReason::PositionClosed));
    desk.agree();
}

#[test]
fn and_not_those_of_another_account() {
    let (mut desk, _) = Desk::held(PaperSettings::default(), trades(0, &["1000"]));
    for user in [1, 2] {
        desk.open(account(user), "10000");
        desk.enter(account(user), Side::Buy, "1");
        let stop = id(account(user), 1, Leg::Stop);
        desk.send(order(stop, Side::Sell, OrderKind::StopMarket(price("980")), "1", true));
    }
    desk.send(order(id(account(1), 1, Leg::ManualClose), Side::Sell, OrderKind::Market, "1", true));
    assert_eq!(desk.venue.account(account(2)).unwrap().orders.len(), 1);
    desk.agree();
}
