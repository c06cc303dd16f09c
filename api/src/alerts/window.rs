//! A sliding window: at most so many sends in any span of time.
//!
//! **Runs on**: the thread of the alerts. **Owns**: when the newest sends ended.
//! **Invariants**: a send may have arrived at any moment from its beginning to its end, so it counts from the first until a
//! span after the second: whatever the way there takes, no span at its end sees more than the limit. **Bounds**: as many
//! moments as the limit. **Never**: reads a clock.

use std::collections::VecDeque;

use engine::seam::Nanos;

/// How many sends in which span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Sends, one at least.
    pub sends: usize,
    /// In any span of this length.
    pub span: Nanos,
}

/// What of a limit is used.
#[derive(Debug)]
pub(super) struct Window {
    limit: Limit,
    under_way: usize,
    /// Oldest first.
    ended: VecDeque<Nanos>,
}

impl Window {
    /// An unused one.
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, under_way: 0, ended: VecDeque::with_capacity(limit.sends) }
    }

    /// Whether another send may begin now.
    pub(super) fn has_room(&mut self, now: Nanos) -> bool {
        let Limit { sends, mut span } = self.limit;
        if planted::planted!("telegram_window_half_as_long") {
            span.0 /= 2;
        }
        while self.ended.front().is_some_and(|ended| now.since(*ended) >= span) {
            self.ended.pop_front();
        }
        self.under_way + self.ended.len() < sends
    }

    /// A send begins; there is room for it.
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// A send that began has ended, however.
    pub(super) fn end(&mut self, now: Nanos) {
        self.under_way = self.under_way.saturating_sub(1);
        self.ended.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = Nanos::from_millis(1_000);

    fn at(millis: u64) -> Nanos {
        Nanos::from_millis(millis)
    }

    #[test]
    fn a_send_counts_until_a_span_after_its_end() {
        let mut window = Window::new(Limit { sends: 2, span: SECOND });
        assert!(window.has_room(at(0)));
        window.begin();
        assert!(window.has_room(at(0)), "two may be under way");
        window.begin();
        assert!(!window.has_room(at(5_000)), "both may arrive only now, however long they take");
        window.end(at(5_000));
        assert!(!window.has_room(at(5_999)), "one under way, one that may have arrived at 5.0 s");
        assert!(window.has_room(at(6_000)));
        window.end(at(6_000));
        window.begin();
        assert!(!window.has_room(at(6_999)));
        window.end(at(6_500));
        assert!(window.has_room(at(7_000)), "of 6.0 s and 6.5 s the first is over");
    }
}
