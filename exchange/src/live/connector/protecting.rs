//! Triggers that are a position's own (Bybit): they come with its entry or are set, and an order of ours stands for each.
//!
//! **Invariants**: an order that the engine takes for live has its trigger at the exchange, or is being set again for at most
//! [`RESET_SPAN`], or its end is told: what cannot be set again is the engine's to replace, or to close the position
//! (CASES.md O9). A trigger whose price was passed meanwhile is told as that.

use engine::core::fixed::{Price, Quantity};
use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::order::{OrderState, VenueReason, VenueReport};

use super::account::{Account, Slot};
use super::limits::{AGAIN_PAUSE, RESET_SPAN, STREAM_PATIENCE, UNEXPLAINED_PAUSE};
use super::order::{Cancel, Phase};
use super::placing::Ended;
use super::queue::{Timer, Why};
use super::{Connector, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Ask, FailureKind, OrderView, Protection, ViewKind, ViewState};

/// How often a trigger that is said to have no position is looked for in the positions before it counts as gone: the exchange
/// contradicts itself then.
const CONTRADICTIONS_MAX: usize = 3;
/// How often the price of a trigger that protects is corrected without waiting for the rotation.
const CORRECTIONS_MAX: usize = 8;

/// Whether the engine is told of a trigger that cannot be set again.
fn is_told_when_lost() -> bool {
    !planted::planted!("refused_stop_left_to_the_next_comparison")
}

/// Whether all that is open of a symbol is known to be somebody else's.
fn is_only_foreign(account: &Account, symbol: Symbol) -> bool {
    account.expected(symbol) == 0 && account.foreign.contains_key(&symbol)
}

impl<P: Shape> Connector<P> {
    /// Bybit: the position's own triggers came with its entry, or are set now; this order stands for one of them.
    pub(super) fn attach(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id) else { return };
        let first_look = !order.attached;
        order.attached = true;
        order.sent_at = order.sent_at.or(Some(now));
        let new = order.new;
        let price = new.kind.words().1;
        if let Some(at) = account.trigger_there(&new) {
            // The one that came with the entry protects already; its price is corrected when it differs.
            self.is_set(now, slot, id);
            if Some(at) != price {
                self.set_trigger(slot, id, Purpose::Reconcile);
            }
        } else if first_look && account.attached.contains_key(&new.symbol) {
            // It went out with the entry; the stream tells of it in a moment.
            self.queue.set(now.plus_micros(STREAM_PATIENCE), Timer::GoOn(slot, id));
        } else {
            if let Some(order) = account.orders.get_mut(&id) {
                order.phase = Phase::Queued;
            }
            self.set_trigger(slot, id, Purpose::Close);
        }
    }

    pub(super) fn set_trigger(&mut self, slot: Slot, id: ClientOrderId, purpose: Purpose) {
        let account = self.account(slot);
        let Some(order) = account.orders.get(&id) else { return };
        let price = order.new.kind.words().1;
        let stop = order.new.id.leg == Leg::Stop;
        let ask = Ask::Protect {
            symbol: order.new.symbol,
            mode: account.mode,
            position: order.new.side.opposite(),
            protection: Protection { stop: price.filter(|_| stop), take_profit: price.filter(|_| !stop) },
        };
        self.ask(Some(slot), ask, Why::Protect(id), purpose);
    }

    /// What came of setting a position's trigger.
    pub(super) fn protected(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, end: &Ended) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| o.is_open()) else { return };
        if order.cancel == Cancel::Sent {
            return self.released(now, slot, id, end);
        }
        match end {
            Ended::Answered(Ok(_)) => {
                order.retries = 0;
                self.is_set(now, slot, id);
            }
            _ if order.told_live => self.not_set_again(now, slot, id, end),
            Ended::Answered(Err(failure)) => match failure.kind {
                FailureKind::Refused(reason) => {
                    if reason == VenueReason::NothingToReduce {
                        self.want_comparison(now, slot);
                    }
                    self.give_up(slot, id, reason);
                }
                FailureKind::UserMustAct => {
                    self.user_must_act(slot, failure);
                    self.give_up(slot, id, VenueReason::Account);
                }
                _ => self.protect_again(now, slot, id),
            },
            // Setting the same trigger again does no harm.
            Ended::NotSent | Ended::NoAnswer => self.protect_again(now, slot, id),
        }
        self.take_back(now, slot, id);
    }

    fn protect_again(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        order.retries += 1;
        if order.retries > 8 {
            self.give_up(slot, id, VenueReason::NotSent);
            return;
        }
        order.phase = Phase::Waiting;
        self.queue.set(now.plus_micros(AGAIN_PAUSE / 2), Timer::GoOn(slot, id));
    }

    /// The trigger that an order stands for is at the exchange.
    fn is_set(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        if let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| o.is_open()) {
            order.phase = Phase::Live;
            order.gone_since = None;
        }
        self.tell_live(now, slot, id);
    }

    /// A trigger that the engine takes for live is gone from its position: it is set again, quietly while that works at once.
    pub(super) fn set_again(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
            order.phase = Phase::Waiting;
            order.gone_since = order.gone_since.or(Some(now));
            self.queue.set(now.plus_micros(RESET_SPAN), Timer::Expire(slot, id));
        }
        self.go_on(now, slot, id);
    }

    /// A timer: whether a trigger that was to be set again is. If not, the engine decides, whose time to protect the position
    /// or to close it begins with that.
    pub(super) fn should_be_set(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let overdue = |o: &&super::LiveOrder| {
            matches!(o.phase, Phase::Waiting | Phase::Queued)
                && o.gone_since.is_some_and(|since| now.micros_since(since) >= RESET_SPAN)
                && is_told_when_lost()
        };
        if self.account(slot).orders.get(&id).filter(overdue).is_some() {
            self.lost(now, slot, id, VenueReason::NotSent);
        }
    }

    /// A trigger that the engine takes for live could not be set: it was to be set again, or to another price.
    fn not_set_again(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, end: &Ended) {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get(&id) else { return };
        let (is_there, retries) = (account.trigger_there(&order.new).is_some(), order.retries);
        if let Some(order) = account.orders.get_mut(&id) {
            order.retries += 1;
        }
        if !is_told_when_lost() {
            return;
        }
        let failure = match end {
            Ended::Answered(Err(failure)) => Some(failure),
            _ => None,
        };
        match failure.map(|failure| failure.kind) {
            // The price is beyond it, whatever else is there: what it was for is due.
            Some(FailureKind::Refused(VenueReason::WouldTrigger)) => {
                self.lost(now, slot, id, VenueReason::WouldTrigger);
            }
            // Flat, perhaps by this very trigger: what is held decides, and nothing is told before that.
            Some(FailureKind::Refused(VenueReason::NothingToReduce | VenueReason::PositionClosed))
                if retries < CONTRADICTIONS_MAX =>
            {
                if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
                    order.phase = Phase::Live;
                }
                self.want_comparison(now, slot);
            }
            // It protects; its price is all that is missing, and each comparison looks at that.
            _ if is_there => {
                self.is_set(now, slot, id);
                if retries < CORRECTIONS_MAX {
                    self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Compare(slot));
                }
            }
            kind => {
                if let Some(failure) = failure.filter(|_| kind == Some(FailureKind::UserMustAct)) {
                    self.user_must_act(slot, failure);
                }
                let reason = match kind {
                    Some(FailureKind::UserMustAct) => VenueReason::Account,
                    // It is said to be open, so this is no end of the position.
                    Some(FailureKind::Refused(VenueReason::PositionClosed)) => VenueReason::NothingToReduce,
                    Some(FailureKind::Refused(reason)) => reason,
                    _ => VenueReason::NotSent,
                };
                self.lost(now, slot, id, reason);
            }
        }
    }

    /// A trigger that the engine takes for live is gone for good.
    fn lost(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, reason: VenueReason) {
        let account = self.account_mut(slot);
        if let Some(symbol) = account.orders.get(&id).map(|o| o.new.symbol) {
            // Nothing is to be waited for that came with the entry.
            account.attached.remove(&symbol);
        }
        let state = OrderState::Cancelled;
        self.end(slot, id, VenueReport::Ended { id, state, reason });
        self.want_comparison(now, slot);
    }

    /// Bybit: a trigger goes with its position. While that is open, it stays; what is left of it when ours is closed is
    /// somebody else's, which our triggers must not close (CASES.md P6).
    pub(super) fn detach(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let account = self.account(slot);
        let Some(symbol) = account.orders.get(&id).map(|o| o.new.symbol) else { return };
        if account.held(symbol) == 0 {
            let (state, reason) = (OrderState::Cancelled, VenueReason::PositionClosed);
            self.end(slot, id, VenueReport::Ended { id, state, reason });
        } else if is_only_foreign(account, symbol) {
            self.release(slot, id);
        } else {
            self.want_comparison(now, slot);
        }
    }

    /// Triggers that were to be taken back go when the position is seen to be flat, or to be none of ours.
    pub(super) fn detach_flat(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account(slot);
        let over = |symbol| account.held(symbol) == 0 || is_only_foreign(account, symbol);
        let wanted: Vec<ClientOrderId> = account
            .orders
            .values()
            .filter(|o| o.attached && o.is_open() && o.cancel == Cancel::Wanted && over(o.new.symbol))
            .map(|o| o.new.id)
            .collect();
        for id in wanted {
            self.detach(now, slot, id);
        }
    }

    /// Takes a trigger of ours away from a position that is not. One with another price is not ours either.
    fn release(&mut self, slot: Slot, id: ClientOrderId) {
        let account = self.account_mut(slot);
        let mode = account.mode;
        let Some(order) = account.orders.get(&id) else { return };
        let (new, stop) = (order.new, order.new.id.leg == Leg::Stop);
        let there = account.trigger_there(&new);
        if there.is_none() || there != new.kind.words().1 {
            let (state, reason) = (OrderState::Cancelled, VenueReason::PositionClosed);
            self.end(slot, id, VenueReport::Ended { id, state, reason });
            return;
        }
        if let Some(order) = account.orders.get_mut(&id) {
            order.cancel = Cancel::Sent;
        }
        let none = Some(Price::ZERO);
        let ask = Ask::Protect {
            symbol: new.symbol,
            mode,
            position: new.side.opposite(),
            protection: Protection { stop: none.filter(|_| stop), take_profit: none.filter(|_| !stop) },
        };
        self.ask(Some(slot), ask, Why::Protect(id), Purpose::Close);
    }

    /// What came of taking a trigger away from a position that is not ours.
    fn released(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, end: &Ended) {
        let gone = match end {
            Ended::Answered(Ok(_)) => true,
            Ended::Answered(Err(failure)) => matches!(failure.kind, FailureKind::Refused(_)),
            Ended::NotSent | Ended::NoAnswer => false,
        };
        if gone {
            let (state, reason) = (OrderState::Cancelled, VenueReason::PositionClosed);
            self.end(slot, id, VenueReport::Ended { id, state, reason });
        } else if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
            // The comparison looks again whether it is there; soon only while the exchange may take it, else in its rotation.
            order.cancel = Cancel::Wanted;
            match end {
                Ended::Answered(Err(failure)) if failure.kind == FailureKind::UserMustAct => {
                    self.user_must_act(slot, failure);
                }
                Ended::Answered(_) => {
                    self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Compare(slot))
                }
                Ended::NotSent | Ended::NoAnswer => {
                    self.queue.set(now.plus_micros(AGAIN_PAUSE), Timer::Compare(slot));
                }
            }
        }
    }

    /// An order of the exchange that stands for one of a position's triggers.
    pub(super) fn trigger_told(
        &mut self,
        now: Timestamp,
        slot: Slot,
        view: &OrderView,
    ) -> Option<ClientOrderId> {
        let leg = match view.kind {
            ViewKind::Stop => Leg::Stop,
            ViewKind::TakeProfit => Leg::TakeProfit,
            _ => return None,
        };
        let id = self.account(slot).attached_leg(view.symbol, leg)?;
        self.account_mut(slot).name(&view.venue_id, id);
        let alive = matches!(view.state, ViewState::Untriggered | ViewState::New);
        let fired =
            matches!(view.state, ViewState::Triggered | ViewState::PartiallyFilled | ViewState::Filled)
                || view.filled > Quantity::ZERO;
        if alive {
            self.is_set(now, slot, id);
        } else if fired {
            return Some(id);
        } else {
            // One that was replaced by another price, or that went with its position: what is held decides.
            self.want_comparison(now, slot);
        }
        None
    }
}
