//! Exits that are sent a second time. A position must not wait for proof that the first copy is lost; but where a client id is free
//! again once its order is over (Binance), both copies may be executed.
//!
//! **Invariants**: a second copy goes without a look at the positions only where both together cannot close more than the one was
//! meant to: nothing beyond it is open, of ours or anybody's. Otherwise what is held has to show that the first did nothing: by a
//! list that was sent for when no exchange takes the first one any more, or, while no stop protects the position, by the first
//! list after [`RESEND_EXIT_SPAN`]; and if none comes, [`RESEND_BARE_SPAN`] after the first (CASES.md U2, U8). Should both be
//! executed all the same, the second is booked as what it is: a close that nobody decided on.

use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use planted::planted;

use super::account::{Account, Slot};
use super::limits::{CLOSED_DOUBT_SPAN, RESEND_BARE_SPAN, RESEND_EXIT_SPAN, TAKEN_SPAN};
use super::order::{LiveOrder, Phase};
use super::{Connector, Shape};

/// Whether a stop that is live protects what an exit closes.
fn is_protected(account: &Account, exit: &LiveOrder) -> bool {
    let protects = |o: &LiveOrder| {
        let rests = o.phase == Phase::Live && o.told_live && o.end.is_none() && o.fired.is_none();
        o.new.id.leg == Leg::Stop && o.new.symbol == exit.new.symbol && o.new.side == exit.new.side && rests
    };
    account.orders.values().any(protects)
}

impl LiveOrder {
    /// Whether the id of ours may mean another copy of the exit than the one that is followed, where ids may be used again.
    pub(super) fn has_copies(&self) -> bool {
        let exits = self.new.reduce_only && !self.new.kind.is_trigger();
        exits && self.retries > 0 && !self.venue_id.is_empty()
    }

    /// Whether what the exchange tells under this id of its own is of another copy.
    pub(super) fn is_another_copy(&self, venue_id: &str) -> bool {
        self.has_copies() && !venue_id.is_empty() && self.venue_id != venue_id
    }
}

impl<P: Shape> Connector<P> {
    /// The exchange does not know an exit: it goes once more, with the same id, if that cannot close too much. `Some`: whether it
    /// did, or is to be asked about again; `None`: it is for others to say what becomes of it.
    pub(super) fn go_again(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) -> Option<bool> {
        if !self.may_go_again(now, slot, id) {
            let account = self.account(slot);
            let order = account.orders.get(&id)?;
            let is_young = order.sent_at.is_some_and(|at| now.micros_since(at) < CLOSED_DOUBT_SPAN);
            // The first one has closed what is missing, most likely, and will be visible in a moment.
            return (is_young && !account.is_explained(order.new.symbol)).then_some(false);
        }
        let order = self.account_mut(slot).orders.get_mut(&id)?;
        order.retries += 1;
        order.phase = Phase::Waiting;
        order.asked = 0;
        self.go_on(now, slot, id);
        Some(true)
    }

    /// Whether an exit that the exchange does not know may go once more, as far as that could close too much.
    fn may_go_again(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) -> bool {
        let account = self.account(slot);
        let Some(order) = account.orders.get(&id) else { return false };
        let symbol = order.new.symbol;
        let open = account.held(symbol).abs().max(account.expected(symbol).abs());
        if !P::IDS_COME_BACK
            || order.new.kind.is_trigger()
            || open <= order.new.quantity.units()
            || planted!("exit_of_a_part_sent_again_unseen")
        {
            return true;
        }
        let Some(sent_at) = order.sent_at else { return true };
        let is_protected = is_protected(account, order);
        let span = if is_protected { TAKEN_SPAN } else { RESEND_EXIT_SPAN };
        if now.micros_since(sent_at) < span {
            return false;
        }
        let over = self.pacer.clock().now(sent_at.plus_micros(span));
        if account.views.is_listed_after(symbol, over) {
            return account.is_explained(symbol);
        }
        self.want_comparison(now, slot);
        !is_protected && now.micros_since(sent_at) >= RESEND_BARE_SPAN
    }
}
