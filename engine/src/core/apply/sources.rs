//! What a source remembers of the signals that it accepted.
//!
//! **Bounds**: those of `user`: signals, keys, bytes of a body.

use crate::core::ids::Timestamp;
use crate::core::signal::{Signal, SourceSignal};
use crate::core::user::{BODY_KEPT_MAX, DEDUP_MAX, SIGNALS_MAX, Seen, Source};

impl Source {
    pub(super) fn accept(
        &mut self,
        at: Timestamp,
        signal: &Signal,
        (key, key_until): ([u8; 16], Timestamp),
        window_start: Timestamp,
        body: &str,
    ) {
        self.accepted = self.accepted.max(signal.id.number);
        if signal.kind.opens().is_some() || planted::planted!("closes_counted_as_opens") {
            if window_start != self.window_start {
                self.window_start = window_start;
                self.window_opens = 0;
            }
            self.window_opens = self.window_opens.saturating_add(1);
        } else {
            // Only those at work can be covered; the others are many.
            for place in 0..self.working.len() {
                let Some(place) = self.signal_place(self.working[place]) else { continue };
                let earlier = &mut self.signals[place];
                let covered = earlier.finished.is_none()
                    && earlier.superseded_by.is_none()
                    && earlier.signal.symbol == signal.symbol
                    && earlier.signal.kind.opens().is_some_and(|side| signal.kind.closes(side));
                if covered {
                    earlier.superseded_by = Some(signal.id.number);
                }
            }
        }
        let kept = body.len().min(BODY_KEPT_MAX);
        let kept = (0..=kept).rev().find(|end| body.is_char_boundary(*end)).unwrap_or(0);
        let entry = SourceSignal {
            signal: *signal,
            body: body[..kept].to_owned(),
            superseded_by: None,
            finished: None,
            finished_at: Timestamp(0),
        };
        if self.signals.len() >= SIGNALS_MAX
            && let Some(oldest_done) = self.signals.iter().position(|s| s.finished.is_some())
        {
            self.signals.remove(oldest_done);
        }
        self.signals.push_back(entry);
        self.working.push(signal.id.number);
        self.remember(at, signal.id.number, key, key_until);
    }

    pub(super) fn remember(&mut self, at: Timestamp, number: u32, key: [u8; 16], until: Timestamp) {
        if self.seen_order.len() >= DEDUP_MAX
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        if self.seen.insert(key, Seen { number, at, until }).is_none() {
            self.seen_order.push_back(key);
        }
    }
}
