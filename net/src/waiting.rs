//! Those who wait for room, looked at a bounded number at a time, in turn.
//!
//! **Bounds**: each waits once; the set is bounded by what can wait.

use std::collections::BTreeSet;
use std::ops::Bound;

/// How many are looked at in one turn.
const SLICE: usize = 64;
/// The pause between two rounds when nothing else happens, in nanoseconds: who waits has waited for a network already.
const ROUND_NS: u64 = 10_000_000;

/// A set with a cursor.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    set: BTreeSet<T>,
    /// Looked at last.
    cursor: Option<T>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { set: BTreeSet::new(), cursor: None }
    }
}

impl<T: Ord + Copy> Waiting<T> {
    /// Adds one, if it does not wait already.
    pub(crate) fn insert(&mut self, item: T) {
        self.set.insert(item);
    }

    pub(crate) fn remove(&mut self, item: T) {
        self.set.remove(&item);
    }

    /// When to look again, in nanoseconds, even if nothing arrives: at once in the middle of a round, and soon while anybody
    /// waits, as those who were looked at before they had room are not told of by anything else.
    pub(crate) fn due_ns(&self, now_ns: u64) -> Option<u64> {
        let pause_ns = if self.cursor.is_some() { 0 } else { ROUND_NS };
        (!self.set.is_empty()).then(|| now_ns.saturating_add(pause_ns))
    }

    /// The next ones to look at; after the last the first.
    pub(crate) fn slice(&mut self) -> Vec<T> {
        if self.set.is_empty() {
            return Vec::new();
        }
        let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let slice: Vec<T> = self.set.range((after, Bound::Unbounded)).take(SLICE).copied().collect();
        self.cursor = if slice.len() == SLICE { slice.last().copied() } else { None };
        slice
    }
}

#[cfg(test)]
mod tests {
    use super::{SLICE, Waiting};

    #[test]
    fn all_are_looked_at_in_turn() {
        let mut waiting = Waiting::default();
        (0..SLICE * 2 + 5).for_each(|item| waiting.insert(item));
        waiting.insert(3);
        let mut seen: Vec<usize> = (0..3).flat_map(|_| waiting.slice()).collect();
        assert_eq!(seen.len(), SLICE * 2 + 5);
        seen.dedup();
        assert_eq!(seen.len(), SLICE * 2 + 5);
        assert_eq!(waiting.due_ns(5), Some(5 + super::ROUND_NS));
        assert_eq!(waiting.slice().first(), Some(&0), "and from the beginning again");
        assert_eq!(waiting.due_ns(5), Some(5));
        waiting.remove(0);
        (0..3).for_each(|_| drop(waiting.slice()));
        assert_eq!(waiting.slice().len(), SLICE);
    }
}
