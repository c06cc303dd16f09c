//! What venues had no room for.
//!
//! **Invariants**: what is for one venue leaves in the order in which it was decided; a venue that takes nothing, be it for one of
//! its accounts, holds up no other one: a stop for Binance does not wait for the paper venue. **Bounds**: as many queues as accounts
//! have places; at most an order, a question and a cancel for each order that the state holds.

use std::collections::VecDeque;

use super::Effect;
use crate::core::venue_account::VenuePlace;

/// See the module's head.
#[derive(Default)]
pub(super) struct Unsent {
    queues: Vec<(VenuePlace, VecDeque<Effect>)>,
}

impl Unsent {
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|(_, queue)| queue.is_empty())
    }

    /// How many effects wait.
    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(|(_, queue)| queue.len()).sum()
    }

    /// Whether something for this venue waits.
    pub(super) fn waits_for(&self, place: VenuePlace) -> bool {
        self.queues.iter().any(|(of, queue)| *of == place && !queue.is_empty())
    }

    pub(super) fn push(&mut self, place: VenuePlace, effect: Effect) {
        let at = self.queues.iter().position(|(of, _)| *of == place).unwrap_or_else(|| {
            self.queues.push((place, VecDeque::new()));
            self.queues.len() - 1
        });
        self.queues[at].1.push_back(effect);
    }

    /// How many venues there are to ask for room; they are numbered from zero.
    pub(super) fn venues(&self) -> usize {
        self.queues.len()
    }

    /// What leaves next for the venue of this number.
    pub(super) fn front(&self, venue: usize) -> Option<Effect> {
        self.queues.get(venue)?.1.front().copied()
    }

    pub(super) fn pop(&mut self, venue: usize) {
        self.queues[venue].1.pop_front();
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
    }
}
