//! Fan-outs: a signal on its way to the subscribers of this shard, in bounded slices.
//!
//! **Runs on**: its shard. **Owns**: the lists of subscribers still to come.
//! **Invariants**: opens are worked in the order they came, closes likewise and before opens; a close marks the opens of
//! the same source, symbol and side that came before it, so that subscribers it overtakes are skipped.
//! **Bounds**: a source has a bounded number of signals at work (`core::decide::signal`).

use std::collections::VecDeque;

use crate::core::ids::SignalId;
use crate::core::signal::{FanOutCounts, Signal};
use crate::core::state::{State, UserIndex};

/// What a shard is told of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FanOutOrder {
    /// The signal.
    pub signal: Signal,
    /// A later close covers it.
    pub superseded: bool,
    /// The source's halt latch.
    pub source_halted: bool,
}

/// A fan-out at work.
#[derive(Debug)]
pub struct FanOut {
    /// What it is about.
    pub order: FanOutOrder,
    /// What came of it so far.
    pub counts: FanOutCounts,
    subscribers: Vec<UserIndex>,
    cursor: usize,
}

impl FanOut {
    /// The next subscriber.
    pub fn step(&mut self) -> Option<UserIndex> {
        let next = self.subscribers.get(self.cursor).copied();
        self.cursor += 1;
        next
    }
}

/// The fan-outs of a shard.
#[derive(Debug, Default)]
pub struct FanOuts {
    opens: VecDeque<FanOut>,
    closes: VecDeque<FanOut>,
}

impl FanOuts {
    /// Begins a fan-out to everyone who is subscribed now.
    pub fn begin(&mut self, state: &State, order: FanOutOrder) {
        let signal = order.signal;
        let fan_out = FanOut {
            order,
            counts: FanOutCounts::default(),
            subscribers: state.subscribers(signal.id.source).to_vec(),
            cursor: 0,
        };
        if signal.kind.opens().is_some() {
            self.opens.push_back(fan_out);
            return;
        }
        for open in &mut self.opens {
            let earlier = &open.order.signal;
            open.order.superseded |= earlier.id.source == signal.id.source
                && earlier.id.number < signal.id.number
                && earlier.symbol == signal.symbol
                && earlier.kind.opens().is_some_and(|side| signal.kind.closes(side));
        }
        self.closes.push_back(fan_out);
    }

    /// The close that is at work.
    pub fn close(&mut self) -> Option<&mut FanOut> {
        self.closes.front_mut()
    }

    /// The open that is at work.
    pub fn open(&mut self) -> Option<&mut FanOut> {
        self.opens.front_mut()
    }

    /// Ends the close at work.
    pub fn end_close(&mut self) -> Option<(SignalId, FanOutCounts)> {
        self.closes.pop_front().map(|f| (f.order.signal.id, f.counts))
    }

    /// Ends the open at work.
    pub fn end_open(&mut self) -> Option<(SignalId, FanOutCounts)> {
        self.opens.pop_front().map(|f| (f.order.signal.id, f.counts))
    }

    /// Whether closes are at work.
    #[must_use]
    pub fn has_closes(&self) -> bool {
        !self.closes.is_empty()
    }

    /// Whether opens are at work.
    #[must_use]
    pub fn has_opens(&self) -> bool {
        !self.opens.is_empty()
    }

    /// How many are at work or waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.opens.len() + self.closes.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
