//! An entry that fills after its end was told: booked once, and nothing that it opened stays without somebody who follows it.

mod desk;

use desk::{Desk, LONG, NOON, SHORT, money, price, quantity};
use engine::core::apply::apply_record;
use engine::core::command::Reply;
use engine::core::event::{Event, Record};
use engine::core::fixed::{Money, Quantity};
use engine::core::ids::{Leg, Timestamp, UserId};
use engine::core::ledger::Currency;
use engine::core::order::{Fill, Liquidity, NewOrder, OrderState, Side, Told, VenueReason, VenueReport};
use engine::core::position::{CloseReason, Order, Position, PositionState};
use engine::core::rules::{MINUTE, SECOND, Settings};
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
    let (price, quantity, fee, venue_at) = (price(at), quantity(size), money("0.1"), desk.now);
    let fill = Fill { number, price, quantity, fee, liquidity: Liquidity::Taker, venue_at };
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
    assert_eq!(
        Position::of_late_entry(&order, NOON).state,
        PositionState::Closing,
        "never one that waits for more"
    );
    assert_eq!(kind(&desk), OutcomeKind::Failed(VenueReason::Margin));
    assert_eq!(late(&mut desk, order, 1, "20000", "0.75"), Reply::Done);
    assert!(
        desk.last.iter().any(|event| matches!(event, Event::LateEntry { before: None, .. })),
        "it is remembered"
    );
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
    // What was told of it before has to be possible, and to leave room.
    let (mut desk, user, order) = refused();
    desk.edit(user, |user| user.final_orders.clear());
    let (price, quantity, fee, venue_at) = (price("20000"), quantity("0.25"), money("0.1"), desk.now);
    let fill = Fill { number: 3, price, quantity, fee, liquidity: Liquidity::Taker, venue_at };
    let told = Told { decided_at: NOON, filled: quantity, notional: money("5000"), fees: fee };
    for before in [
        Told { filled: Quantity::ZERO.checked_sub(quantity).expect("fits"), ..told },
        Told { notional: money("-5000"), ..told },
        Told { notional: Money::MAX, ..told },
        Told { fees: Money::MAX, ..told },
    ] {
        assert_eq!(desk.report(VenueReport::LateEntry { order, before, fill }), Reply::Ignored, "{before:?}");
    }
    assert_eq!(desk.report(VenueReport::LateEntry { order, before: told, fill }), Reply::Done);
    // Only an entry opens anything.
    let (mut desk, user, order) = refused();
    let mut stop = order;
    stop.id.leg = Leg::Stop;
    for exit in [NewOrder { reduce_only: true, ..order }, stop] {
        assert_eq!(late(&mut desk, exit, 1, "20000", "0.1"), Reply::Ignored);
    }
    assert!(desk.is_flat(user));
}

/// A position that was closed while its own entry still works holds nothing: of its side it takes in what fills late, under its
/// stop; of the other side there is nothing to make smaller.
#[test]
fn a_late_entry_beside_an_empty_position_goes_into_one_of_its_side_alone() {
    for (kind, positions) in [(LONG, 1), (SHORT, 2)] {
        let (mut desk, user, order) = refused();
        desk.send(kind, BTC);
        let entry = desk.order(user, Leg::Entry).new;
        desk.venue_fills(entry.id, "20000", "0.3", false);
        let stop = desk.order(user, Leg::Stop).new;
        desk.venue_fills(stop.id, "20000", "0.3", true);
        let empty = desk.position(user);
        assert!(empty.quantity.is_zero() && !empty.entry_quantity.is_zero() && empty.is_active());
        assert_eq!(late(&mut desk, order, 1, "20000", "0.25"), Reply::Done);
        let user = desk.user(user);
        assert_eq!(user.positions.len(), positions, "{kind:?}");
        let place = user.positions.iter().position(|p| p.quantity == quantity("0.25"));
        assert_eq!(place, Some(positions - 1), "{kind:?}");
    }
}

/// Version 3 of the records did not tell when an entry was decided that the state had forgotten: it counts as decided when it filled.
#[test]
fn a_forgotten_entry_in_a_record_of_version_3_begins_with_its_fill() {
    let (mut desk, user, order) = refused();
    desk.edit(user, |user| user.final_orders.clear());
    let (price, quantity, fee, venue_at) = (price("20000"), order.quantity, money("0.1"), NOON);
    let fill = Fill { number: 1, price, quantity, fee, liquidity: Liquidity::Taker, venue_at };
    let at = desk.now.plus_micros(SECOND);
    let (order, position) = (Box::new(order), order.id.signal);
    let late = Event::LateEntry { order, fill, position, opens: true, realised: Money::ZERO, before: None };
    let mut state = desk.state_of(user).clone();
    apply_record(&mut state, &Record { user, at, events: vec![late] });
    let known = state.find(user).map(|at| state.user(at).final_orders[0]).expect("remembered");
    assert_eq!((known.decided_at, known.filled_at, known.filled), (at, at, quantity));
}

#[test]
fn an_entry_of_an_account_that_nobody_has_is_not_booked() {
    let (mut desk, _, order) = refused();
    for index in [1, 7] {
        let mut unknown = order;
        unknown.id.account.index = index;
        assert_eq!(late(&mut desk, unknown, 1, "20000", "0.75"), Reply::Ignored, "{index}");
    }
}

#[test]
fn what_was_told_of_an_order_adds_up_and_stays_within_numbers() {
    let fill = |at: &str, size: &str, fee: Money| {
        let (price, quantity) = (price(at), quantity(size));
        Fill { number: 1, price, quantity, fee, liquidity: Liquidity::Taker, venue_at: NOON }
    };
    let told = Told { decided_at: NOON, ..Told::default() };
    let told = told.with(&fill("20000", "0.5", money("5"))).with(&fill("30000", "0.25", money("-1")));
    let sum = Told { decided_at: NOON, filled: quantity("0.75"), notional: money("17500"), fees: money("4") };
    assert_eq!(told, sum);
    // What no number can say is left as it was, each by itself.
    let more = told.with(&fill("90000000000", "2", Money::MAX));
    assert_eq!(more, Told { filled: quantity("2.75"), ..sum });
}

/// What was paid for holding each of the two positions that a signal had, the one that is over and the one that is open, and the
/// loss that is carried forward.
fn funded(desk: &Desk, user: UserId, order: &NewOrder) -> (Money, Money, Money) {
    let user = desk.user(user);
    let over = user.closed_positions.front().expect("the first is over");
    let second = user.position(order.id.signal, 0).or(user.closed_positions.get(1)).expect("there are two");
    (over.funding, second.funding, user.carried_loss(Currency::PaperUsdt))
}

/// Each funding belongs to the position that was open when it was settled. What comes after a final account is no part of it, and
/// makes the loss greater or smaller that is carried forward.
#[test]
fn case_f1_funding_of_a_signal_that_had_two_positions_is_of_the_one_that_was_open() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    // Another one on the same account, the first in the list.
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.send(LONG, BTC);
    let order = desk.order(user, Leg::Entry).new;
    desk.venue_rejects(order.id, VenueReason::Margin);
    let begins =
        |desk: &mut Desk, number: u32| assert_eq!(late(desk, order, number, "20000", "0.25"), Reply::Done);
    let pay = |desk: &mut Desk, at: Timestamp, amount: &str| {
        let wallet = desk.user(user).wallet(0);
        assert_eq!(desk.funding(user, BTC, at, "0.0001", amount), Reply::Done, "{amount}");
        assert_eq!(desk.user(user).wallet(0), wallet.checked_add(money(amount)).expect("fits"));
    };
    begins(&mut desk, 1);
    let first_at = desk.now;
    close_late(&mut desk, order.id.account.user);
    desk.wait(8 * 60 * MINUTE);
    begins(&mut desk, 2);
    let carried = desk.user(user).carried_loss(Currency::PaperUsdt);
    let more = |amount: &str| carried.checked_add(money(amount)).expect("fits");

    pay(&mut desk, first_at, "-0.15");
    assert_eq!(funded(&desk, user, &order), (money("-0.15"), Money::ZERO, more("0.15")));
    let second_at = desk.now;
    pay(&mut desk, second_at, "-0.2");
    assert_eq!(funded(&desk, user, &order), (money("-0.15"), money("-0.2"), more("0.15")));
    // Both are over.
    close_late(&mut desk, user);
    let carried = desk.user(user).carried_loss(Currency::PaperUsdt);
    let less = |amount: &str| carried.checked_sub(money(amount)).expect("fits");
    pay(&mut desk, second_at.plus_micros(SECOND), "0.05");
    assert_eq!(funded(&desk, user, &order), (money("-0.15"), money("-0.15"), less("0.05")));
    assert_eq!(desk.user(user).position_on(0, desk::symbol("ETHUSDT")).expect("open").funding, Money::ZERO);
    let (first, second, _) = funded(&desk, user, &order);
    desk.restart();
    assert_eq!(funded(&desk, user, &order), (first, second, less("0.05")));
}

/// Where clocks cannot tell which of two it was, it is the one that is open.
#[test]
fn funding_at_the_seam_of_two_positions_is_of_the_later_one() {
    let (mut desk, user, order) = refused();
    assert_eq!(late(&mut desk, order, 1, "20000", "0.25"), Reply::Done);
    close_late(&mut desk, user);
    let over = desk.now;
    desk.wait(30 * SECOND);
    assert_eq!(late(&mut desk, order, 2, "20000", "0.25"), Reply::Done);
    let before = desk.user(user).carried_loss(Currency::PaperUsdt);
    assert_eq!(desk.funding(user, BTC, over.plus_micros(10 * SECOND), "0.0001", "-0.15"), Reply::Done);
    assert_eq!(funded(&desk, user, &order), (Money::ZERO, money("-0.15"), before));
}

fn close_late(desk: &mut Desk, user: UserId) {
    let close = desk.find_order(user, Leg::UnprotectedClose).expect("it is being closed").new;
    desk.venue_fills(close.id, "20000", "0.25", true);
}
