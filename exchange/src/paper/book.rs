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
#[derive(Clone, Copy, Debug)]
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

/// A level as it is ordered: by how far the price has to go in its direction (units; negated for falling), then by
/// target. So both directions are walked upwards.
type Key = (i64, Target);

fn key(level: Level, rising: bool) -> Key {
    (if rising { level.price.units() } else { -level.price.units() }, level.target)
}

/// Everything that waits on one instrument.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) mark: Option<Mark>,
    /// Fire when the price rises to them.
    rising: BTreeSet<Key>,
    /// Fire when the price falls to them.
    falling: BTreeSet<Key>,
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
        assert!(levels.insert(key(level, rising)), "two levels for {level:?}");
    }

    pub(super) fn remove(&mut self, level: Level, rising: bool) {
        let levels = if rising { &mut self.rising } else { &mut self.falling };
        assert!(levels.remove(&key(level, rising)), "no level for {level:?}");
    }

    /// The next level that `price` has reached, after `last`: lowest first among the rising, highest first among the
    /// falling, and within one price in the order of targets.
    pub(super) fn next_reached(&self, price: Price, rising: bool, last: Option<Level>) -> Option<Level> {
        let levels = if rising { &self.rising } else { &self.falling };
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(key(last, rising)));
        let (reach, target) = levels.range((from, Bound::Unbounded)).next().copied()?;
        let level = Level { price: Price::from_units(if rising { reach } else { -reach }), target };
        super::rules::reached(price, level.price, rising).then_some(level)
    }
}
