//! The way out: a close is asked for once and then driven, one market order at a time, until nothing is open.

use engine::core::command::{Refusal, Reply};
use engine::core::ids::{ClientOrderId, Leg, SignalId};
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, OrderKind, OrderState, Side};
use engine::core::position::{CloseReason, PositionState};
use engine::core::signal::Signal;
use engine::core::user::{OutcomeKind, Skip};

use super::Turn;
use super::numbers::{Units, down, quantity};
use super::signals::closes_side;
use super::user::{Closing, Order, Position};

/// A close whose own time is older than a position by more than this, in microseconds, was not meant for it.
const SENDER_LAG: u64 = 5_000_000;

/// The other side.
pub(super) fn other(side: Side) -> Side {
    if side == Side::Buy { Side::Sell } else { Side::Buy }
}

/// Whether a leg is a market close.
pub(super) fn closes_at_market(leg: Leg) -> bool {
    !matches!(leg, Leg::Entry | Leg::Stop | Leg::TakeProfit)
}

/// The leg, signal and round of the next order of a close, while there is one. Requests have rounds 0 to 122, behind them come 0
/// to 247 of a forced close and 124 to 247 of one by hand; those of a signal that comes after all that are 124 to 247.
fn next_try(position: &Position) -> Option<(Leg, SignalId, u8)> {
    let closing = position.closing?;
    let forced = closing.leg == Leg::UnprotectedClose;
    match (forced, closing.round) {
        (true, 248..) => Some((Leg::ManualClose, position.signal, 124)),
        (false, 248..) => None,
        (false, 123) => Some((Leg::UnprotectedClose, position.signal, 0)),
        (_, round) => Some((closing.leg, closing.signal, round)),
    }
}

/// Whether a close is under way that has rounds left.
fn under_way(position: &Position) -> bool {
    next_try(position).is_some()
}

/// A close of our own making: neither the user nor a signal asked for it.
pub(super) fn forced(position: &Position, reason: CloseReason) -> Closing {
    Closing { reason, leg: Leg::UnprotectedClose, signal: position.signal, round: 0 }
}

impl Turn<'_> {
    /// A closing signal closes whatever its source opened on the symbol before it, on all accounts of the user.
    pub(super) fn close_by_signal(&mut self, signal: &Signal) -> Result<(), Skip> {
        let mut any = false;
        let mut skip = Skip::NoPosition;
        for place in 0..self.user.positions.len() {
            let position = &self.user.positions[place];
            if position.symbol != signal.symbol
                || position.signal.source != signal.id.source
                || position.signal.number >= signal.id.number
                || !closes_side(signal.kind, position.side)
            {
                continue;
            }
            let meant =
                signal.signal_at.is_none_or(|at| at.0.saturating_add(SENDER_LAG) >= position.decided_at);
            if under_way(position) {
                skip = Skip::AlreadyClosing;
            } else if !meant {
                skip = Skip::Expired;
            } else {
                let (leg, reason) = (Leg::SignalClose, CloseReason::Signal);
                let round = if position.closing.is_none() { 0 } else { 124 };
                let account = position.account;
                self.begin(place, Closing { reason, leg, signal: signal.id, round });
                self.decided_on(signal.id, false);
                self.receipt(signal.id, account, OutcomeKind::Sent);
                self.drive(place);
                any = true;
            }
        }
        if any { Ok(()) } else { Err(skip) }
    }

    /// An opposite signal: closes, and waits for flat.
    pub(super) fn close_to_reverse(&mut self, place: usize, signal: &Signal) {
        let account = self.user.positions[place].account;
        let (leg, reason) = (Leg::ReversalClose, CloseReason::Reversal);
        self.begin(place, Closing { reason, leg, signal: signal.id, round: 0 });
        self.decided_on(signal.id, true);
        self.user.waiting.push(*signal);
        self.receipt(signal.id, account, OutcomeKind::Sent);
        self.drive(place);
    }

    pub(super) fn close_by_hand(&mut self, account: u8, symbol: Symbol) -> Result<Reply, Refusal> {
        let place = self.user.place_on_symbol(account, symbol).ok_or(Refusal::UnknownPosition)?;
        let position = &self.user.positions[place];
        if position.closing.is_some() {
            // All it can do is to hasten the next order, 64 retry spans after the end of the last.
            let of_it = |o: &&Order| {
                o.position == position.signal
                    && o.new.id.account.index == account
                    && closes_at_market(o.new.id.leg)
            };
            let last = self.user.final_orders.iter().rfind(of_it).map_or(0, |o| o.done_at);
            if self.now.saturating_sub(last) >= 64 * self.rules.close_retry_span {
                self.drive(place);
            }
            return if self.changed { Ok(Reply::Closing) } else { Err(Refusal::AlreadyClosing) };
        }
        let (leg, reason) = (Leg::ManualClose, CloseReason::Manual);
        self.begin(place, Closing { reason, leg, signal: position.signal, round: 0 });
        self.drive(place);
        Ok(Reply::Closing)
    }

    pub(super) fn check_protection(&mut self, account: u8, signal: SignalId) -> Reply {
        let Some(place) = self.user.place_of_position(signal, account) else { return Reply::Ignored };
        let position = &self.user.positions[place];
        let protects = |o: &Order| {
            o.position == signal
                && o.new.id.account.index == account
                && o.new.id.leg == Leg::Stop
                && (o.state == OrderState::Submitted || o.state == OrderState::PartiallyFilled)
        };
        if position.open == 0 || position.closing.is_some() || self.user.orders.iter().any(protects) {
            return Reply::Ignored;
        }
        self.force_close(place, CloseReason::Unprotected);
        Reply::Closing
    }

    pub(super) fn drive_close(&mut self, account: u8, signal: SignalId) -> Reply {
        let Some(place) = self.user.place_of_position(signal, account) else { return Reply::Ignored };
        self.drive(place);
        if self.changed { Reply::Closing } else { Reply::Ignored }
    }

    /// Closes for a reason of our own.
    pub(super) fn force_close(&mut self, place: usize, reason: CloseReason) {
        self.begin(place, forced(&self.user.positions[place], reason));
        self.drive(place);
    }

    /// Closes what an entry opened that was over: under the first id that no close of ours had for that signal.
    pub(super) fn close_late(&mut self, place: usize) {
        let position = &self.user.positions[place];
        let of_it = |id: &&ClientOrderId| {
            id.signal == position.signal
                && id.account.index == position.account
                && id.leg == Leg::UnprotectedClose
        };
        let used = self.user.ever_ordered.iter().filter(of_it).map(|id| id.round + 1).max();
        let closing = Closing { round: used.unwrap_or(0), ..forced(position, CloseReason::Unprotected) };
        self.begin(place, closing);
        self.drive(place);
    }

    fn begin(&mut self, place: usize, closing: Closing) {
        let position = &mut self.user.positions[place];
        position.state = PositionState::Closing;
        position.closing = Some(closing);
        self.changed = true;
    }

    /// The next step of a close: what is left of the entry is taken back, and what is open gets an order unless one is at work.
    pub(super) fn drive(&mut self, place: usize) {
        let position = self.user.positions[place].clone();
        let Some(closing) = position.closing else { return };
        self.take_back(&position, |order| order.new.id.leg == Leg::Entry);
        let at_work = self.orders_of(&position).any(|order| closes_at_market(order.new.id.leg));
        let Some((leg, signal, round)) = next_try(&position).filter(|_| !at_work && position.open > 0) else {
            return;
        };
        let mut size = position.open;
        if let Some(instrument) = self.instrument_on(position.account, position.symbol) {
            let step = Units::from(instrument.step.units()).max(1);
            let most = size.min(Units::from(instrument.quantity_max_market.units()));
            let whole_steps = down(most, step) * step;
            // Less than a step cannot be rounded: it is sent as it is.
            if whole_steps > 0 {
                size = whole_steps;
            }
        }
        let id = ClientOrderId { signal, account: self.user.account_id(position.account), leg, round };
        let order = NewOrder {
            id,
            symbol: position.symbol,
            side: other(position.side),
            kind: OrderKind::Market,
            quantity: quantity(size),
            reduce_only: true,
            leverage: position.leverage,
        };
        self.user.positions[place].closing = Some(Closing { leg, signal, round: round + 1, ..closing });
        self.order(order, position.signal, position.open);
    }

    /// The live orders of a position.
    pub(super) fn orders_of(&self, position: &Position) -> impl Iterator<Item = &Order> {
        let (signal, account) = (position.signal, position.account);
        self.user.orders.iter().filter(move |o| o.position == signal && o.new.id.account.index == account)
    }

    /// Asks for the cancellation of those orders of a position, each once.
    pub(super) fn take_back(&mut self, position: &Position, which: impl Fn(&Order) -> bool) {
        let unasked = self.orders_of(position).filter(|order| !order.cancelling && which(order));
        let ids: Vec<ClientOrderId> = unasked.map(|order| order.new.id).collect();
        for id in ids {
            let place = self.user.place_of_order(id).expect("it was just found");
            self.user.orders[place].cancelling = true;
            self.cancels.push(id);
            self.changed = true;
        }
    }

    /// Decides a new order.
    pub(super) fn order(&mut self, new: NewOrder, position: SignalId, open_then: Units) {
        if !self.user.ever_ordered.insert(new.id) {
            self.user.ordered_twice.get_or_insert(new.id);
        }
        self.user.orders.push(Order {
            new,
            position,
            state: OrderState::Pending,
            filled: 0,
            notional: 0,
            fees: 0,
            fills: 0,
            reason: None,
            cancelling: false,
            decided_at: self.now,
            sent_at: 0,
            filled_at: 0,
            done_at: 0,
            open_then,
        });
        self.submits.push(new);
        self.changed = true;
    }
}
