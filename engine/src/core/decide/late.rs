//! An entry that is filled after its end was told. It happened all the same, so it is booked, and what it opened is no position that
//! nobody follows: it goes into the position that is open on its symbol, or becomes one that is closed at once (docs/rules.md).
//!
//! **Invariants**: each fill is booked once, by its number on its order; the books hold what the venue nets; a close that follows
//! has an id that no earlier close of that signal had.

use super::{Calendar, Context, close, day, report};
use crate::core::command::Reply;
use crate::core::event::Event;
use crate::core::fixed::{Money, Quantity};
use crate::core::ids::{Leg, Timestamp};
use crate::core::instrument::MarketView;
use crate::core::order::{Fill, NewOrder, Told};
use crate::core::position::{CloseReason, Closing, Order, Position, PositionState};
use crate::core::user::User;

pub(super) fn entry<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    order: &NewOrder,
    before: Told,
    fill: &Fill,
    out: &mut Vec<Event>,
) -> Reply {
    let (id, account) = (order.id, order.id.account.index);
    if user.order(id).is_some() {
        // Its end is not in these books: a fill like any other.
        return report::filled(user, cx, id, fill, false, Timestamp(0), out);
    }
    let is_known_account = user.accounts.len() > usize::from(account);
    if id.leg != Leg::Entry || order.reduce_only || !is_known_account || !is_next(user, order, before, fill) {
        return Reply::Ignored;
    }
    let held = user.positions.iter().find(|p| takes(p, order));
    if held.is_none() && user.position(id.signal, account).is_some() {
        // Another symbol under the same id: not ours.
        return Reply::Ignored;
    }
    let position = held.copied().unwrap_or_else(|| Position::of_late_entry(order, cx.now));
    if !report::position_has_room(user, &position, fill) {
        return Reply::Ignored;
    }
    day::current(user, cx, account, out);
    let (mut after, mut realised) = (position, Money::ZERO);
    if position.side == order.side {
        after.enter_late(fill, cx.now);
    } else {
        let quantity = fill.quantity.min(position.quantity);
        realised = position.realise(fill.price, quantity).unwrap_or(Money::ZERO);
        after.exit(quantity, fill.fee, realised);
        after.state = PositionState::Closing;
    }
    let (signal, opens) = (position.signal, held.is_none());
    let known = user.final_orders.iter().any(|o| o.new.id == id);
    let before = (!known && !planted::planted!("forgotten_entry_decided_anew")).then(|| Box::new(before));
    out.push(Event::LateEntry {
        order: Box::new(*order),
        fill: *fill,
        position: signal,
        opens,
        realised,
        before,
    });
    if opens {
        if !planted::planted!("late_entry_not_closed") {
            let forced = close::forced(&after, CloseReason::Unprotected);
            let closing = Closing { round: first_free_round(user, &after), ..forced };
            close::request(user, cx, &after, closing, None, out);
        }
    } else if position.side == order.side {
        report::conclude(user, cx, &after, None, CloseReason::Signal, out);
    } else {
        report::conclude(user, cx, &after, None, CloseReason::External, out);
    }
    Reply::Done
}

/// Whether a position takes in what an entry that is over does: one that was entered and so has a stop or is being closed, and one
/// of the other side as long as something of it is open.
fn takes(position: &Position, order: &NewOrder) -> bool {
    (position.account, position.symbol) == (order.id.account.index, order.symbol)
        && !position.entry_quantity.is_zero()
        && (position.side == order.side || !position.quantity.is_zero())
}

/// Whether it is the next fill of its order, as far as that is remembered, and the order can have it.
fn is_next(user: &User, order: &NewOrder, before: Told, fill: &Fill) -> bool {
    match user.final_orders.iter().rev().find(|o| o.new.id == order.id) {
        Some(known) => known.fills.checked_add(1) == Some(fill.number) && report::order_has_room(known, fill),
        None => {
            let Told { decided_at, filled, notional, fees } = before;
            let fresh =
                Order { filled, notional, fees, ..Order::pending(*order, order.id.signal, decided_at) };
            let makes_sense = filled >= Quantity::ZERO && notional >= Money::ZERO;
            fill.number > 0 && makes_sense && report::order_has_room(&fresh, fill)
        }
    }
}

/// The round at which the close of a position begins whose signal may have had a position before: behind those of its closes.
fn first_free_round(user: &User, position: &Position) -> u8 {
    let before =
        user.closed_positions.iter().filter(|p| (p.signal, p.account) == (position.signal, position.account));
    let used = before.filter_map(|p| p.closing).filter(|c| c.leg == Leg::UnprotectedClose).map(|c| c.round);
    used.max().unwrap_or(0)
}
