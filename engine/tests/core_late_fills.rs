//! An entry that fills after its end was told: booked once, and nothing that it opened stays without somebody who follows it.

mod desk;

use desk::{Desk, LONG, NOON, SHORT, money, price, quantity};
use engine::core::command::Reply;
use engine::core::ids::{Leg, UserId};
use engine::core::order::{Fill, Liquidity, NewOrder, OrderState, Side, Told, VenueReason, VenueReport};
use engine::core::position::{CloseReason, Order, PositionState};
use engine::core::rules::{MINUTE, Settings};
use engine::core::user::{ORDER_HISTORY_MAX, OutcomeKind};

const BTC: &str = "BTCUSDT";

/// A trader whose long entry of 0.75 was refused.
fn refused() -> (Desk, UserId, NewOrder) {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.rules.cooldown = 0;
    desk.send(LONG, BTC);
    let order = desk.order(user, Leg::Entry).new;
    desk.venue_rejects(order.id, VenueReason::Margin);
    assert!(desk.is_flat(user) && order.quantity == quantity("0.75"));
    (desk, user, order)
}

fn late(desk: &mut Desk, order: NewOrder, number: u32, at: &str, size: &str) -> Reply {
    let (price, quantity, fee) = (price(at), quantity(size), money("0.1"));
    let fill = Fill { number, price, quantity, fee, liquidity: Liquidity::Taker, venue_at: NOON };
    // What the engine remembers needs no telling.
    desk.report(VenueReport::LateEntry { order, before: Told::default(), fill })
}

/// An entry that the engine has forgotten stays the one that it was: its time is a part of its name in the history, and what was
/// filled of it before is not lost.
#[test]
fn a_forgotten_entry_that_fills_is_the_one_that_was_decided() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.rules.cooldown = 0;
    desk.send(LONG, BTC);
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20000", "0.3", false);
    desk.venue_cancels(entry.id, VenueReason::Liquidity);
    let find = |desk: &Desk| desk.user(user).final_orders.iter().find(|o| o.new.id == entry.id).copied();
    let known = find(&desk).expect("it ended a moment ago");
    desk.close_by_hand(user, BTC).expect("it is open");
    desk.exit(user, "20000");
    desk.sweep(user);
    for _ in 0..ORDER_HISTORY_MAX {
        desk.wait(MINUTE);
        desk.send(LONG, "ETHUSDT");
        let id = desk.order(user, Leg::Entry).new.id;
        desk.venue_rejects(id, VenueReason::Margin);
    }
    assert_eq!(find(&desk), None, "it is forgotten");
    let Order { decided_at, filled, notional, fees, .. } = known;
    let before = Told { decided_at, filled, notional, fees };
    let fill = |size: &str| {
        let (price, quantity, fee) = (price("20000"), quantity(size), money("0.1"));
        Fill { number: 2, price, quantity, fee, liquidity: Liquidity::Taker, venue_at: NOON }
    };
    let more = VenueReport::LateEntry { order: entry, before, fill: fill("0.5") };
    assert_eq!(desk.report(more), Reply::Ignored, "more than was asked");
    assert_eq!(desk.report(VenueReport::LateEntry { order: entry, before, fill: fill("0.2") }), Reply::Done);
    let again = find(&desk).expect("it is known again");
    assert!(again.decided_at == known.decided_at && again.decided_at < desk.now);
    assert_eq!((again.filled, again.fills), (quantity("0.5"), 2));
    assert_eq!(again.notional, money("10000"));
    assert_eq!(again.fees, known.fees.checked_add(money("0.1")).unwrap());
    desk.restart();
    assert_eq!(find(&desk), Some(again), "and so it is read again");
}

#[test]
fn case_u3_an_entry_that_fills_after_its_end_is_booked_and_closed_at_once() {
    let (mut desk, user, order) = refused();
    let before = desk.user(user).wallet(0);
    let kind = |desk: &Desk| desk.outcome(user, order.id.signal).kind;
    assert_eq!(kind(&desk), OutcomeKind::Failed(VenueReason::Margin));
    assert_eq!(late(&mut desk, order, 1, "20000", "0.75"), Reply::Done);
    let position = desk.position(user);
    assert_eq!((position.state, position.quantity), (PositionState::Closing, quantity("0.75")));
    assert_eq!(position.closing.map(|c| c.reason), Some(CloseReason::Unprotected));
    assert_eq!(desk.user(user).wallet(0), before.checked_sub(money("0.1")).unwrap());
    assert_eq!(kind(&desk), OutcomeKind::Filled);
    let close = desk.close_order(user);
    assert_eq!((close.id.leg, close.id.round), (Leg::UnprotectedClose, 0));
    assert_eq!((close.side, close.quantity, close.reduce_only), (Side::Sell, quantity("0.75"), true));
    // Told again, before and after a restart.
    assert_eq!(late(&mut desk, order, 1, "20000", "0.75"), Reply::Ignored);
    desk.restart();
    assert_eq!(late(&mut desk, order, 1, "20000", "0.75"), Reply::Ignored);
    let closed = desk.exit(user, "20100");
    assert_eq!((closed.closed, closed.realised), (Some(CloseReason::Unprotected), money("75")));
    assert!(desk.is_flat(user) && desk.user(user).orders.is_empty());
    assert_eq!(late(&mut desk, order, 1, "20000", "0.75"), Reply::Ignored);
    // Nothing but the profit and the fees: no share is taken of what nobody meant to open.
    let fees = closed.fees;
    let expected = before.checked_add(money("75")).and_then(|sum| sum.checked_sub(fees)).unwrap();
    assert_eq!(desk.user(user).wallet(0), expected);
}

#[test]
fn late_fills_are_booked_in_their_order_and_never_beyond_what_was_asked() {
    let (mut desk, user, order) = refused();
    assert_eq!(late(&mut desk, order, 2, "20000", "0.2"), Reply::Ignored, "one is missing");
    assert_eq!(late(&mut desk, order, 1, "20000", "0.8"), Reply::Ignored, "more than was asked");
    assert_eq!(late(&mut desk, order, 1, "20000", "0.3"), Reply::Done);
    assert_eq!(late(&mut desk, order, 2, "20000", "0.2"), Reply::Done);
    assert_eq!(late(&mut desk, order, 3, "20000", "0.3"), Reply::Ignored, "more than was asked");
    // The close that is at work is of the first; another one follows, for what came meanwhile.
    assert_eq!(desk.close_order(user).quantity, quantity("0.3"));
    let first = desk.close_order(user).id;
    desk.venue_fills(first, "20000", "0.3", true);
    assert_eq!((desk.close_order(user).quantity, desk.close_order(user).id.round), (quantity("0.2"), 1));
    desk.exit(user, "20000");
    assert!(desk.is_flat(user));
    // More of it after that is closed as well, under ids that were never used.
    assert_eq!(late(&mut desk, order, 3, "20000", "0.25"), Reply::Done);
    assert_eq!((desk.close_order(user).quantity, desk.close_order(user).id.round), (quantity("0.25"), 2));
    desk.exit(user, "20000");
    assert!(desk.is_flat(user));
    let entry = desk.user(user).final_orders.iter().find(|o| o.new.id == order.id).unwrap();
    assert_eq!((entry.state, entry.filled, entry.fills), (OrderState::Filled, quantity("0.75"), 3));
}

#[test]
fn the_rest_of_an_entry_that_fills_late_belongs_to_its_position() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, BTC);
    let order = desk.order(user, Leg::Entry).new;
    desk.venue_fills(order.id, "20000", "0.3", false);
    for leg in [Leg::Stop, Leg::TakeProfit] {
        let id = desk.order(user, leg).new.id;
        desk.venue_accepts(id);
    }
    desk.venue_cancels(order.id, VenueReason::Liquidity);
    assert_eq!(late(&mut desk, order, 2, "20000", "0.45"), Reply::Done);
    let position = desk.position(user);
    assert_eq!((position.state, position.quantity), (PositionState::Open, quantity("0.75")));
    assert!(position.closing.is_none() && position.reserved.is_zero(), "its stop closes all of it");
    assert_eq!(desk.check_protection(user, &position), Reply::Ignored);
}

#[test]
fn a_late_entry_goes_into_the_position_that_is_open_as_the_exchange_nets_it() {
    // The same side: more of it, under its stop.
    let (mut desk, user, order) = refused();
    desk.open(user, LONG, BTC, "20000");
    assert_eq!(late(&mut desk, order, 1, "20400", "0.25"), Reply::Done);
    let position = desk.position(user);
    assert_eq!((position.quantity, position.closing), (quantity("1"), None));
    assert_eq!(position.entry_price(), Some(price("20100")));
    // The other side: less of it, with what that realised; the last of it is its final account.
    let (mut desk, user, order) = refused();
    let short = desk.open(user, SHORT, BTC, "20000");
    assert_eq!((short.side, short.quantity), (Side::Sell, quantity("0.75")));
    assert_eq!(late(&mut desk, order, 1, "19900", "0.25"), Reply::Done);
    let position = desk.position(user);
    assert_eq!((position.quantity, position.realised), (quantity("0.5"), money("25")));
    assert_eq!(late(&mut desk, order, 2, "19900", "0.5"), Reply::Done);
    let closed = desk.closed(user);
    assert_eq!((closed.closed, closed.realised), (Some(CloseReason::External), money("75")));
    desk.sweep(user);
    assert!(desk.is_flat(user) && desk.user(user).orders.is_empty());
}

#[test]
fn a_late_entry_beside_one_that_is_on_its_way_is_closed_by_itself() {
    for kind in [LONG, SHORT] {
        let (mut desk, user, order) = refused();
        desk.send(kind, BTC);
        let next = desk.order(user, Leg::Entry).new;
        assert_eq!(late(&mut desk, order, 1, "20000", "0.75"), Reply::Done);
        assert_eq!(desk.user(user).positions.len(), 2);
        assert_eq!(desk.close_order(user).quantity, quantity("0.75"));
        desk.exit(user, "20000");
        assert_eq!(desk.position(user).signal, next.id.signal);
        desk.enter(user, "20000");
        assert_eq!(desk.position(user).state, PositionState::Open);
    }
}

#[test]
fn an_entry_that_is_forgotten_is_booked_when_it_fills() {
    let (mut desk, user, order) = refused();
    desk.edit(user, |user| user.final_orders.clear());
    assert_eq!(late(&mut desk, order, 0, "20000", "0.75"), Reply::Ignored);
    assert_eq!(late(&mut desk, order, 3, "20000", "0.5"), Reply::Done);
    assert_eq!(desk.position(user).quantity, quantity("0.5"));
    assert_eq!(late(&mut desk, order, 3, "20000", "0.5"), Reply::Ignored);
    assert_eq!(late(&mut desk, order, 4, "20000", "0.25"), Reply::Done);
    let exit = NewOrder { reduce_only: true, ..order };
    assert_eq!(late(&mut desk, exit, 5, "20000", "0.1"), Reply::Ignored);
}
