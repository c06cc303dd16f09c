//! What holds of a user, as far as faults and the end of a run care.

use engine::core::fixed::Quantity;
use engine::core::ids::{AccountId, Leg, SignalId};
use engine::core::order::OrderState;
use engine::core::user::{User, VenueKind};

/// Counts and names of what is not settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// Signals whose fan-out is not finished.
    pub(super) working: usize,
    /// Orders that the venue has not confirmed.
    pub(super) pending: usize,
    /// Orders whose outcome is not known.
    pub(super) unknown: usize,
    /// Entries and closes that are live.
    pub(super) live: usize,
    /// Positions that are being closed.
    pub(super) closing: usize,
    /// Open positions without a live stop that nobody closes, and where they are.
    pub(super) unprotected: Vec<(AccountId, SignalId, VenueKind)>,
    /// Opens that wait for a flat position.
    pub(super) reversals: usize,
}

impl Flags {
    pub(super) fn plus(mut self, other: &Self) -> Self {
        self.working += other.working;
        self.pending += other.pending;
        self.unknown += other.unknown;
        self.live += other.live;
        self.closing += other.closing;
        self.reversals += other.reversals;
        self.unprotected.extend(&other.unprotected);
        self
    }

    /// Whether nothing is left to wait for.
    pub(super) fn is_settled(&self) -> bool {
        self.working + self.pending + self.unknown + self.live + self.closing + self.reversals == 0
            && self.unprotected.is_empty()
    }
}

/// What holds of this user.
pub(super) fn flags_of(user: &User) -> Flags {
    let mut flags = Flags {
        working: user.sources.iter().map(|source| source.working.len()).sum(),
        reversals: user.reversals.len(),
        ..Flags::default()
    };
    for order in &user.orders {
        match order.state {
            OrderState::Pending => flags.pending += 1,
            OrderState::Unknown => flags.unknown += 1,
            _ if order.cancelling || !order.new.kind.is_trigger() => flags.live += 1,
            _ => {}
        }
    }
    for position in &user.positions {
        if position.closing.is_some() {
            flags.closing += 1;
        } else if position.quantity > Quantity::ZERO {
            let has_stop = user.orders.iter().any(|order| {
                order.new.id.leg == Leg::Stop
                    && order.position == position.signal
                    && order.new.id.account.index == position.account
                    && matches!(order.state, OrderState::Submitted | OrderState::PartiallyFilled)
                    && !order.cancelling
            });
            if !has_stop {
                let account = AccountId { user: user.id, index: position.account };
                let of = user.accounts.get(usize::from(position.account));
                let venue = of.map_or(VenueKind::Paper, |of| of.venue);
                flags.unprotected.push((account, position.signal, venue));
            }
        }
    }
    flags
}
