//! The shard's timers: earliest first, each a command that is decided when its time has come.
//!
//! **Runs on**: its shard. **Bounds**: one per thing that can be waited for (a position without a stop, a close to try
//! again), so bounded by the open positions; a timer whose cause is gone is decided as `Ignored`.
//! Timers are not logged: after a restart they are set again from the state.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::core::ids::{AccountId, SignalId, Timestamp};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Does the position have a live stop?
    CheckProtection(AccountId, SignalId),
    /// Try again to close the position.
    DriveClose(AccountId, SignalId),
}

/// The timers of a shard.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, Alarm)>>,
}

impl Timers {
    /// Sets a timer.
    pub fn set(&mut self, at: Timestamp, alarm: Alarm) {
        self.heap.push(Reverse((at, alarm)));
    }

    /// The next alarm that is due.
    pub fn due(&mut self, now: Timestamp) -> Option<Alarm> {
        if self.heap.peek()?.0.0 > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, alarm))| alarm)
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// How many are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}
