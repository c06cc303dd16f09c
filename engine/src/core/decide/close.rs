//! Closing: whatever asked for it, a position is driven to flat by reduce-only market orders, one at a time, each with a
//! new round of its leg, until nothing is open. Nothing here looks at market filters, cool-downs, plans or debts.
//!
//! **Invariants**: no id is used twice. What was asked for uses the first half of the rounds of its leg, then a venue has
//! refused it for hours: it goes on with all of [`Leg::UnprotectedClose`], and then with the second half of
//! [`Leg::ManualClose`]. After that, which is after a week, only a signal closes it, with the second half of its own.

use super::Context;
use crate::core::command::{Refusal, Reply};
use crate::core::event::Event;
use crate::core::fixed::Quantity;
use crate::core::ids::{ClientOrderId, Leg, SignalId};
use crate::core::instrument::{MarketView, Symbol};
use crate::core::order::{NewOrder, OrderKind, OrderState};
use crate::core::position::{CloseReason, Closing, Position, order_id};
use crate::core::signal::Signal;
use crate::core::user::{Skip, User};

/// Whether a leg is one of the market closes.
pub(super) const fn is_close_leg(leg: Leg) -> bool {
    matches!(leg, Leg::SignalClose | Leg::ManualClose | Leg::UnprotectedClose | Leg::ReversalClose)
}

/// The first round of the second half. The one before it is not used: it says that the first half is used up.
const SECOND_HALF: u8 = 124;

/// How the close goes on that has come to `closing`; `None` when no id is left.
fn carried_on(position: &Position, closing: Closing) -> Option<Closing> {
    let own = |leg, round| Closing { leg, signal: position.signal, round, ..closing };
    let over = closing.round > ClientOrderId::ROUND_MAX;
    match closing.leg {
        _ if over && planted::planted!("close_given_up_when_its_rounds_are_used_up") => None,
        Leg::UnprotectedClose if over => Some(own(Leg::ManualClose, SECOND_HALF)),
        Leg::UnprotectedClose => Some(closing),
        _ if closing.round == SECOND_HALF - 1 => Some(own(Leg::UnprotectedClose, 0)),
        _ if over => None,
        _ => Some(closing),
    }
}

/// Whether a close is at work that can still send an order: one that has used up all rounds gives way to a new one.
fn is_closing(position: &Position) -> bool {
    position.closing.is_some_and(|closing| carried_on(position, closing).is_some())
}

/// Whether the last try at closing it ended so long ago that the user may ask for the next one: as long as the quick pauses.
fn has_rested<M, C>(user: &User, cx: &Context<'_, M, C>, position: &Position) -> bool {
    let mut closes = user.final_orders.iter().rev().filter(|o| {
        (o.position, o.new.id.account.index) == (position.signal, position.account)
            && is_close_leg(o.new.id.leg)
    });
    closes
        .next()
        .is_none_or(|o| cx.now.micros_since(o.done_at) >= cx.rules.close_retry_span.saturating_mul(64))
}

/// A closing signal reaches a subscriber: it closes what its source opened on the symbol before it, on whichever account
/// (a subscription may have moved to another one since).
pub(super) fn by_signal<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    signal: &Signal,
    age_tolerance: u64,
    out: &mut Vec<Event>,
) -> Result<(), Skip> {
    if planted::planted!("close_stopped_by_halt") && user.halted {
        return Err(Skip::HaltedUser);
    }
    let mut result = Err(Skip::NoPosition);
    for position in user.positions.iter().filter(|p| {
        p.symbol == signal.symbol
            && (p.signal.source == signal.id.source || planted::planted!("close_reaches_other_sources"))
            && p.signal.number < signal.id.number
            && signal.kind.closes(p.side)
    }) {
        if is_closing(position) {
            result = result.or(Err(Skip::AlreadyClosing));
        } else if signal.signal_at.is_some_and(|at| at.plus_micros(age_tolerance) < position.decided_at) {
            result = result.or(Err(Skip::Expired));
        } else {
            let round = if position.closing.is_some() { SECOND_HALF } else { 0 };
            let closing =
                Closing { reason: CloseReason::Signal, leg: Leg::SignalClose, signal: signal.id, round };
            request(user, cx, position, closing, None, out);
            result = Ok(());
        }
    }
    result
}

/// The user closes a position. One that is being closed already gets its next try now, if it waits long for that.
pub(super) fn manual<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    symbol: Symbol,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    let position = user.position_on(account, symbol).ok_or(Refusal::UnknownPosition)?;
    if position.closing.is_some() {
        if has_rested(user, cx, position) {
            drive(user, cx, position, None, out);
        }
        return if out.is_empty() { Err(Refusal::AlreadyClosing) } else { Ok(Reply::Closing) };
    }
    let closing =
        Closing { reason: CloseReason::Manual, leg: Leg::ManualClose, signal: position.signal, round: 0 };
    request(user, cx, position, closing, None, out);
    Ok(Reply::Closing)
}

/// Five seconds after the first fill: is there a live stop?
pub(super) fn check_protection<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    signal: SignalId,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(position) = user.position(signal, account) else { return Reply::Ignored };
    let live = |order: &crate::core::position::Order| {
        order.position == signal
            && order.new.id.account.index == account
            && order.new.id.leg == Leg::Stop
            && (matches!(order.state, OrderState::Submitted | OrderState::PartiallyFilled)
                || planted::planted!("unanswered_stop_counts_as_live"))
    };
    if position.quantity.is_zero() || position.closing.is_some() || user.orders.iter().any(live) {
        return Reply::Ignored;
    }
    if planted::planted!("position_without_a_stop_left_open") {
        return Reply::Ignored;
    }
    request(user, cx, position, forced(position, CloseReason::Unprotected), None, out);
    Reply::Closing
}

/// A close that we force, not a signal or the user.
pub(super) const fn forced(position: &Position, reason: CloseReason) -> Closing {
    Closing { reason, leg: Leg::UnprotectedClose, signal: position.signal, round: 0 }
}

/// Time to try again.
pub(super) fn retry<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    signal: SignalId,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(position) = user.position(signal, account) else { return Reply::Ignored };
    drive(user, cx, position, None, out);
    if out.is_empty() { Reply::Ignored } else { Reply::Closing }
}

/// Begins to close a position.
pub(super) fn request<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    position: &Position,
    closing: Closing,
    reversal: Option<Box<Signal>>,
    out: &mut Vec<Event>,
) {
    out.push(Event::CloseRequested {
        position: position.signal,
        account: position.account,
        closing,
        reversal,
    });
    let position = Position { closing: Some(closing), ..*position };
    drive(user, cx, &position, None, out);
}

/// The next step of a position that is being closed: take back what is left of its entry, and send a close for what is
/// open unless one is at work. `ended` is an order of the position that this decision has just seen end.
pub(super) fn drive<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    position: &Position,
    ended: Option<ClientOrderId>,
    out: &mut Vec<Event>,
) {
    let Some(closing) = position.closing else { return };
    let mut close_at_work = false;
    for order in user.orders.iter().filter(|o| {
        o.position == position.signal && o.new.id.account.index == position.account && Some(o.new.id) != ended
    }) {
        if order.new.id.leg == Leg::Entry && !order.cancelling {
            out.push(Event::CancelIntended { id: order.new.id });
        }
        close_at_work |=
            is_close_leg(order.new.id.leg) && !planted::planted!("second_close_beside_the_first");
    }
    if close_at_work || position.quantity.is_zero() {
        return;
    }
    let Some(closing) = carried_on(position, closing) else { return };
    let quantity = match cx.instrument(user, position.account, position.symbol) {
        Some(instrument) => {
            let most = position.quantity.min(instrument.quantity_max_market);
            let floored = if planted::planted!("close_rounded_up") {
                most.ceil_to(instrument.step)
            } else {
                most.floor_to(instrument.step)
            };
            // A rest below the step is left to the venue's close-position orders; never block on it.
            if floored.is_zero() { position.quantity } else { floored }
        }
        None => position.quantity,
    };
    debug_assert!(quantity > Quantity::ZERO, "a close has a size");
    out.push(Event::ExitIntended {
        order: NewOrder {
            id: order_id(closing.signal, user.id, position.account, closing.leg, closing.round),
            symbol: position.symbol,
            side: position.side.opposite(),
            kind: OrderKind::Market,
            quantity,
            reduce_only: true,
            leverage: position.leverage,
        },
        position: position.signal,
    });
}
