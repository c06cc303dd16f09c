//! States and decisions that nobody made: a judge that agrees with one of them compares less than it says.
//!
//! Each turn spoils another part, as small as it gets: a judge that looked at some parts only would agree with the next.

use engine::core::command::{Refusal, Reply};
use engine::core::event::Event;
use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::Timestamp;
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::user::User;

use super::intended_order;

/// Changes one part, where there is one.
type Spoil<T> = (&'static str, fn(&mut T) -> bool);

fn with<T>(found: Option<T>, change: impl FnOnce(T)) -> bool {
    found.map(change).is_some()
}

const STATES: [Spoil<User>; 13] = [
    ("a stop", |u| with(u.positions.last_mut(), |p| p.stop = next_price(p.stop))),
    ("the size of a position", |u| with(u.positions.last_mut(), |p| p.quantity = next_quantity(p.quantity))),
    ("funding of a closed position", |u| {
        with(u.closed_positions.back_mut(), |p| p.funding = next(p.funding))
    }),
    ("the size of an order", |u| {
        with(u.orders.last_mut(), |o| o.new.quantity = next_quantity(o.new.quantity))
    }),
    ("whether an order is taken back", |u| with(u.orders.first_mut(), |o| o.cancelling = !o.cancelling)),
    ("fees of a final order", |u| with(u.final_orders.back_mut(), |o| o.fees = next(o.fees))),
    ("a receipt line's time", |u| with(u.outcomes.back_mut(), |o| o.done_at.0 += 1)),
    ("a subscription's mark", |u| with(u.subscriptions.last_mut(), |s| s.last_open += 1)),
    ("a session's end", |u| with(u.sessions.last_mut(), |s| s.expires_at.0 += 1)),
    ("signals of a source", |u| with(u.sources.last_mut(), |s| s.accepted += 1)),
    ("the day's equity", |u| with(u.accounts.last_mut(), |a| a.day_equity = next(a.day_equity))),
    ("the books", |u| {
        let (wallet, unit) = (LedgerAccount::Wallet(0), Money::from_units(1));
        let lines = [(wallet, unit), (LedgerAccount::Outside, unit.negated())];
        u.ledger.post(Timestamp(1), EntryKey::Recharge(u64::MAX), Currency::Usdt, &lines);
        true
    }),
    ("the halt latch", |u| {
        u.halted = !u.halted;
        true
    }),
];

const DECISIONS: [Spoil<Vec<Event>>; 4] = [
    ("an order that was not sent", |events| {
        let sent = events.iter().position(|event| intended_order(event).is_some());
        with(sent, |at| drop(events.remove(at)))
    }),
    ("an order that was sent twice", |events| {
        let sent = events.iter().find(|event| intended_order(event).is_some()).cloned();
        with(sent, |event| events.push(event))
    }),
    ("a cancel that was not sent", |events| {
        let taken_back = events.iter().position(|event| matches!(event, Event::CancelIntended { .. }));
        with(taken_back, |at| drop(events.remove(at)))
    }),
    // Whatever was decided, something was put on record.
    ("nothing", |events| {
        events.clear();
        true
    }),
];

fn next(money: Money) -> Money {
    Money::from_units(money.units().wrapping_add(1))
}

fn next_price(price: Price) -> Price {
    Price::from_units(price.units().wrapping_add(1))
}

fn next_quantity(quantity: Quantity) -> Quantity {
    Quantity::from_units(quantity.units().wrapping_add(1))
}

/// Spoils the part whose turn it is, or the next that there is; the last is always there.
fn spoil<T>(parts: &[Spoil<T>], turn: u64, whole: &mut T) -> &'static str {
    let first = usize::try_from(turn % parts.len() as u64).expect("below a length");
    let spoilt = parts[first..].iter().find(|(_, change)| change(whole));
    spoilt.expect("the last part is always there").0
}

/// Another state than this one, and what differs.
pub(super) fn state(found: &User, turn: u64) -> (&'static str, User) {
    let mut other = found.clone();
    (spoil(&STATES, turn, &mut other), other)
}

/// Another decision than this one: with other events or, every other turn, another answer.
pub(super) fn decision(
    events: &[Event],
    told: &Result<Reply, Refusal>,
    turn: u64,
) -> (&'static str, Vec<Event>, Result<Reply, Refusal>) {
    let mut others = events.to_vec();
    if turn.is_multiple_of(2) {
        let answer = if *told == Err(Refusal::Locked) { Ok(Reply::Done) } else { Err(Refusal::Locked) };
        return ("the answer", others, answer);
    }
    (spoil(&DECISIONS, turn / 2, &mut others), others, *told)
}

#[cfg(test)]
mod tests {
    use engine::core::ids::UserId;

    use super::*;

    #[test]
    fn every_turn_spoils_something() {
        let user = User::new(UserId(7), Timestamp(1));
        for turn in 0..30 {
            assert_ne!(state(&user, turn).1, user, "{turn}");
            let events = [Event::HaltSet { latch: engine::core::event::Latch::User, on: true }];
            let (_, others, answer) = decision(&events, &Ok(Reply::Done), turn);
            assert!((&others[..], &answer) != (&events[..], &Ok(Reply::Done)), "{turn}");
        }
    }
}
