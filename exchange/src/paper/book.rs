//! The levels that wait for a price, per instrument: ordered, so that a tick finds those it fires and no others.
//!
//! **Invariants**: each resting order and each position with a liquidation price has exactly one level here. Levels
//! at one price are ordered by kind (orders before liquidations), account and order id, never by time of arrival, so
//! that a restored venue fires them in the same order.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use engine::core::fixed::Price;
use engine::core::ids::{ClientOrderId, Timestamp};

use super::funding::FundingTable;
use crate::venue::Mark;

/// Place of an account in the venue's table.
pub(super) type Slot = u32;

/// One level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level {
    pub(super) price: Price,
    pub(super) target: Target,
}

/// What happens at a level. The order of the variants is the order at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Order(Slot, ClientOrderId),
    Liquidation(Slot),
}

/// Everything that waits on one instrument.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) mark: Option<Mark>,
    /// Fire when the price rises to them.
    rising: BTreeSet<Level>,
    /// Fire when the price falls to them.
    falling: BTreeSet<Level>,
    /// Orders that take from the market on each tick.
    pub(super) working: BTreeSet<(Slot, ClientOrderId)>,
    /// Accounts with a position.
    pub(super) holders: BTreeSet<Slot>,
    /// Every holder has been seen for boundaries up to here.
    pub(super) settled_through: Timestamp,
    pub(super) rates: Option<Arc<FundingTable>>,
}

impl Book {
    pub(super) fn insert(&mut self, level: Level, rising: bool) {
        let levels = if rising { &mut self.rising } else { &mut self.falling };
        assert!(levels.insert(level), "two levels for {level:?}");
    }

    pub(super) fn remove(&mut self, level: Level, rising: bool) {
        let levels = if rising { &mut self.rising } else { &mut self.falling };
        assert!(levels.remove(&level), "no level for {level:?}");
    }

    /// The next level that `price` has reached, after `last`: lowest first among the rising, highest first among the
    /// falling (and within one price in the order of targets).
    pub(super) fn next_reached(&self, price: Price, rising: bool, last: Option<Level>) -> Option<Level> {
        if rising {
            let from = last.map_or(Bound::Unbounded, Bound::Excluded);
            return self.rising.range((from, Bound::Unbounded)).next().copied().filter(|l| l.price <= price);
        }
        // Descending by price, ascending by target within a price: first the rest of the last price, then the
        // first level of the next lower price.
        if let Some(last) = last {
            let rest = self.falling.range((Bound::Excluded(last), Bound::Unbounded)).next();
            if let Some(level) = rest.filter(|level| level.price == last.price) {
                return Some(*level);
            }
        }
        let below = match last {
            None => self.falling.last(),
            Some(last) => self.falling.range(..first_at(last.price)).next_back(),
        };
        let next = below.filter(|level| level.price >= price)?.price;
        self.falling.range(first_at(next)..).next().copied()
    }
}

/// The lowest level that can be at this price.
fn first_at(price: Price) -> Level {
    use engine::core::ids::{AccountId, Leg, SignalId, SourceId, UserId};
    let least = ClientOrderId {
        signal: SignalId { source: SourceId { owner: UserId(0), index: 0 }, number: 0 },
        account: AccountId { user: UserId(0), index: 0 },
        leg: Leg::Entry,
        round: 0,
    };
    Level { price, target: Target::Order(0, least) }
}
