//! Fan-outs: a signal on its way to the subscribers of this shard, in bounded slices.
//!
//! **Runs on**: its shard. **Owns**: the lists of subscribers still to come.
//! **Invariants**: opens are worked in the order they came, closes likewise and before opens; a close marks the opens of
//! the same source, symbol and side that came before it, so that subscribers it overtakes are skipped.
//! **Bounds**: a source has a bounded number of signals at work (`core::decide::signal`).

use std::collections::VecDeque;

use super::foresight::Recent;
use crate::core::ids::{SignalId, SourceId};
use crate::core::signal::{FanOutCounts, Signal};
use crate::core::state::{IdMap, State, UserIndex};

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
    /// An open on a symbol that its source had not signalled lately: subscribers may trade it from now on.
    pub is_news: bool,
    subscribers: Vec<UserIndex>,
    cursor: usize,
}

impl FanOut {
    /// The next subscriber.
    pub fn step(&mut self) -> Option<UserIndex> {
        if planted::planted!("fan_out_forgets_the_last") && self.cursor + 1 == self.subscribers.len() {
            return None;
        }
        let next = self.subscribers.get(self.cursor).copied();
        self.cursor += 1;
        next
    }
}

/// The fan-outs of a shard.
#[derive(Debug, Default)]
pub struct FanOuts {
    opens: VecDeque<FanOut>,
    /// How many opens were ended: the number of the first of `opens`.
    opens_ended: u64,
    /// The numbers of each source's opens, so that a close looks at its own source's only.
    opens_of: IdMap<SourceId, VecDeque<u64>>,
    closes: VecDeque<FanOut>,
    /// What was signalled lately.
    pub recent: Recent,
}

impl FanOuts {
    /// Begins a fan-out to everyone who is subscribed now.
    pub fn begin(&mut self, state: &State, order: FanOutOrder) {
        let signal = order.signal;
        let is_news = self.recent.note(&signal);
        let fan_out = FanOut {
            order,
            is_news,
            counts: FanOutCounts::default(),
            subscribers: state.subscribers(signal.id.source).to_vec(),
            cursor: 0,
        };
        if signal.kind.opens().is_some() {
            let number = self.opens_ended + self.opens.len() as u64;
            self.opens_of.entry(signal.id.source).or_default().push_back(number);
            self.opens.push_back(fan_out);
            return;
        }
        for &number in self.opens_of.get(&signal.id.source).into_iter().flatten() {
            let place = usize::try_from(number - self.opens_ended).expect("a place in `opens`");
            let open = &mut self.opens[place];
            let earlier = &open.order.signal;
            open.order.superseded |= !planted::planted!("close_overtakes_without_a_mark")
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
        let ended = self.opens.pop_front()?;
        self.opens_ended += 1;
        let source = ended.order.signal.id.source;
        if let Some(numbers) = self.opens_of.get_mut(&source) {
            // Opens end in the order they began, so it is its source's first.
            numbers.pop_front();
            if numbers.is_empty() {
                self.opens_of.remove(&source);
            }
        }
        Some((ended.order.signal.id, ended.counts))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{SourceId, Timestamp, UserId};
    use crate::core::signal::SignalKind;

    fn order(source: u8, number: u32, kind: SignalKind) -> FanOutOrder {
        let source = SourceId { owner: UserId(1), index: source };
        let signal = Signal {
            id: SignalId { source, number },
            kind,
            symbol: crate::core::instrument::Symbol::new("BTCUSDT").unwrap(),
            price: None,
            leverage: None,
            stop_loss: None,
            take_profit: None,
            signal_at: None,
            accepted_at: Timestamp(0),
            expires_at: Timestamp(1),
        };
        FanOutOrder { signal, superseded: false, source_halted: false }
    }

    #[test]
    fn a_close_marks_the_earlier_opens_of_its_own_source_wherever_they_stand() {
        let (state, mut fan_outs) = (State::default(), FanOuts::default());
        for (source, number) in [(1, 1), (2, 1), (1, 2), (1, 3), (2, 2)] {
            fan_outs.begin(&state, order(source, number, SignalKind::OpenLong { strong: false }));
        }
        // Ended ones move the places of those that stay.
        assert_eq!(fan_outs.end_open().unwrap().0.number, 1);
        fan_outs.begin(&state, order(1, 5, SignalKind::OpenLong { strong: false }));
        fan_outs.begin(&state, order(1, 4, SignalKind::CloseLong));
        let mut marked = Vec::new();
        while let Some(open) = fan_outs.open() {
            let id = open.order.signal.id;
            marked.push((id.source.index, id.number, open.order.superseded));
            fan_outs.end_open();
        }
        assert_eq!(marked, [(2, 1, false), (1, 2, true), (1, 3, true), (2, 2, false), (1, 5, false)]);
        assert!(fan_outs.opens_of.is_empty());
    }
}
