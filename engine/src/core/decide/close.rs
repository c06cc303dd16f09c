//! Closing: whatever asked for it, a position is driven to flat by reduce-only market orders, one at a time, each with a
//! new round of its leg, until nothing is open. Nothing here looks at market filters, cool-downs, plans or debts.

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

/// Whether a close is at work that can still send an order: one that has used up its rounds gives way to a new one.
fn is_closing(position: &Position) -> bool {
    position.closing.is_some_and(|closing| closing.round <= ClientOrderId::ROUND_MAX)
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
            let closing =
                Closing { reason: CloseReason::Signal, leg: Leg::SignalClose, signal: signal.id, round: 0 };
            request(user, cx, position, closing, None, out);
            result = Ok(());
        }
    }
    result
}

/// The user closes a position.
pub(super) fn manual<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    symbol: Symbol,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    let position = user.position_on(account, symbol).ok_or(Refusal::UnknownPosition)?;
    if is_closing(position) || position.closing.is_some_and(|closing| closing.leg == Leg::ManualClose) {
        return Err(Refusal::AlreadyClosing);
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
    if close_at_work || position.quantity.is_zero() || closing.round > ClientOrderId::ROUND_MAX {
        return;
    }
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
