//! The same id again is answered with the state of the order it made, and never makes a second one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{NewOrder, OrderKind, OrderState, Side, VenueReason, VenueReport};
use exchange::paper::{PaperLimits, PaperSettings};
use exchange::venue::Venue;

fn desk() -> Desk {
    let limits = PaperLimits { finished_kept: 2, ..PaperLimits::default() };
    let (mut desk, _) =
        Desk::held(PaperSettings { limits, ..PaperSettings::default() }, trades(0, &["1000"]));
    desk.open(account(1), "10000");
    desk
}

fn entry(number: u32) -> NewOrder {
    order(id(account(1), number, Leg::Entry), Side::Buy, OrderKind::Market, "1", false)
}

#[test]
fn a_filled_order() {
    let mut desk = desk();
    let first = desk.send(entry(1));
    let again = desk.send(entry(1));
    assert_eq!(again, first[1..], "the fill is told again, with its number");
    let other_body = NewOrder { quantity: quantity("2"), ..entry(1) };
    assert_eq!(desk.send(other_body), first[1..]);
    desk.agree();
}

#[test]
fn a_live_order() {
    let mut desk = desk();
    let limit = NewOrder { kind: OrderKind::Limit(price("900")), ..entry(1) };
    let first = desk.send(limit);
    assert_eq!(desk.send(limit), first);
    assert_eq!(desk.venue.account(account(1)).unwrap().orders.len(), 1);
    desk.venue.query(NOW, limit.id).unwrap();
    assert_eq!(desk.drain(), first);
}

#[test]
fn a_refused_order() {
    let mut desk = desk();
    let refused = NewOrder { leverage: 200, ..entry(1) };
    let told = [VenueReport::Rejected { id: refused.id, reason: VenueReason::Leverage }];
    assert_eq!(desk.send(refused), told);
    assert_eq!(desk.send(entry(1)), told);
}

#[test]
fn cancel_is_confirmed_once_and_told_again() {
    let mut desk = desk();
    let limit = NewOrder { kind: OrderKind::Limit(price("900")), ..entry(1) };
    desk.send(limit);
    let gone = [ended(limit.id, OrderState::Cancelled, VenueReason::Requested)];
    for _ in 0..2 {
        desk.venue.cancel(NOW, limit.id).unwrap();
        assert_eq!(desk.drain(), gone);
    }
    let filled = desk.send(entry(2));
    desk.venue.cancel(NOW, entry(2).id).unwrap();
    assert_eq!(desk.drain(), filled[1..], "an order that is gone is answered with its final state");
    desk.agree();
}

#[test]
fn what_was_never_there_is_not_found() {
    let mut desk = desk();
    for account in [account(1), account(2)] {
        let id = id(account, 5, Leg::Entry);
        desk.venue.query(NOW, id).unwrap();
        desk.venue.cancel(NOW, id).unwrap();
        assert_eq!(desk.drain(), [VenueReport::NotFound { id }; 2]);
    }
}

#[test]
fn the_memory_of_finished_orders_is_bounded() {
    let mut desk = desk();
    (1..=3).for_each(|number| drop(desk.send(entry(number))));
    let known = |desk: &mut Desk, number| {
        desk.venue.query(NOW, entry(number).id).unwrap();
        !matches!(desk.drain()[..], [VenueReport::NotFound { .. }])
    };
    assert_eq!([1, 2, 3].map(|number| known(&mut desk, number)), [false, true, true]);
}
