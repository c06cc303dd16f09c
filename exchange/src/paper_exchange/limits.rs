//! Windows that count, and bans: what the faces' rate limits are made of (EXCHANGES.md §2.3, §3.3).
//!
//! **Invariants**: time is handed in; a window never lets more through than its limit. **Bounds**: [`KEYS_MAX`] keys per
//! window; the one that was looked at first is forgotten.

use std::collections::{BTreeMap, VecDeque};

use engine::core::ids::Timestamp;

/// Addresses or accounts counted at once.
pub const KEYS_MAX: usize = 50_000;

/// Whether something fits into a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Used in the window, with what was asked for now.
    pub used: u64,
    /// Whether that is within the limit.
    pub fits: bool,
    /// When there is room again (fixed windows: the next begins).
    pub resets_at: Timestamp,
}

/// Windows that begin at multiples of their span (Binance's minutes), each key with a count of its own.
#[derive(Debug)]
pub struct Fixed<K> {
    span_micros: u64,
    max: u64,
    counts: BTreeMap<K, (u64, u64)>,
}

impl<K: Ord + Clone> Fixed<K> {
    /// Windows of this span and limit.
    #[must_use]
    pub const fn new(span_micros: u64, max: u64) -> Self {
        Self { span_micros, max, counts: BTreeMap::new() }
    }

    /// Counts `amount`, also when it does not fit: exchanges count what they refuse.
    pub fn spend(&mut self, now: Timestamp, key: &K, amount: u64) -> Count {
        let window = now.0 / self.span_micros;
        if self.counts.len() >= KEYS_MAX && !self.counts.contains_key(key) {
            self.counts.pop_first();
        }
        let count = self.counts.entry(key.clone()).or_insert((window, 0));
        if count.0 != window {
            *count = (window, 0);
        }
        count.1 = count.1.saturating_add(amount);
        let resets_at = Timestamp((window + 1).saturating_mul(self.span_micros));
        Count { used: count.1, fits: count.1 <= self.max, resets_at }
    }
}

/// A window that ends now (Bybit's seconds), each key with a count of its own. What does not fit is not counted.
#[derive(Debug)]
pub struct Rolling<K> {
    span_micros: u64,
    max: usize,
    times: BTreeMap<K, VecDeque<Timestamp>>,
}

impl<K: Ord + Clone> Rolling<K> {
    /// A window of this span and limit.
    #[must_use]
    pub const fn new(span_micros: u64, max: usize) -> Self {
        Self { span_micros, max, times: BTreeMap::new() }
    }

    /// The limit.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Counts one, if it fits.
    pub fn spend(&mut self, now: Timestamp, key: &K) -> Count {
        if self.times.len() >= KEYS_MAX && !self.times.contains_key(key) {
            self.times.pop_first();
        }
        let times = self.times.entry(key.clone()).or_default();
        let span = self.span_micros;
        while times.front().is_some_and(|first| now.micros_since(*first) >= span) {
            times.pop_front();
        }
        let fits = times.len() < self.max;
        if fits {
            times.push_back(now);
        }
        let resets_at = times.front().copied().unwrap_or(now).plus_micros(span);
        let used = u64::try_from(times.len()).unwrap_or(u64::MAX) + u64::from(!fits);
        Count { used, fits, resets_at }
    }
}

/// How often limits were exceeded. What a rule of faults answers counts nowhere here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaches {
    /// Requests beyond what an address may ask.
    pub of_addresses: u64,
    /// Requests and orders beyond what an account may ask.
    pub of_accounts: u64,
    /// WebSockets beyond what an address may open.
    pub of_sockets: u64,
    /// Requests and WebSockets of addresses that were shut out.
    pub while_banned: u64,
}

/// Who is shut out, and until when. Each ban of the same key within a day is longer than the last.
#[derive(Debug)]
pub struct Bans<K> {
    bans: BTreeMap<K, Ban>,
}

impl<K> Default for Bans<K> {
    fn default() -> Self {
        Self { bans: BTreeMap::new() }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Ban {
    until: Timestamp,
    times: u32,
}

impl<K: Ord + Clone> Bans<K> {
    /// Until when a key is shut out; `None`: it is not.
    #[must_use]
    pub fn until(&self, now: Timestamp, key: &K) -> Option<Timestamp> {
        self.bans.get(key).map(|ban| ban.until).filter(|until| now < *until)
    }

    /// Shuts a key out for so long (in microseconds), which counts towards no longer one.
    pub fn impose(&mut self, now: Timestamp, key: &K, micros: u64) {
        let times = self.bans.get(key).map_or(0, |ban| ban.times);
        self.ban(now, key, micros, 1, micros);
        if let Some(ban) = self.bans.get_mut(key) {
            ban.times = times;
        }
    }

    /// Shuts a key out for `first`, or for `growth` times as long as the last time, up to `most` (all in microseconds).
    pub fn ban(&mut self, now: Timestamp, key: &K, first: u64, growth: u64, most: u64) -> Timestamp {
        const FORGIVEN_AFTER: u64 = 24 * 3_600 * 1_000_000;
        if self.bans.len() >= KEYS_MAX && !self.bans.contains_key(key) {
            self.bans.pop_first();
        }
        let ban = self.bans.entry(key.clone()).or_default();
        if now.micros_since(ban.until) > FORGIVEN_AFTER {
            ban.times = 0;
        }
        let span = (0..ban.times).fold(first, |span, _| span.saturating_mul(growth).min(most)).min(most);
        ban.times = ban.times.saturating_add(1);
        ban.until = now.plus_micros(span);
        ban.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_fixed_window_counts_refusals_and_begins_again() {
        let mut window = Fixed::new(60 * SECOND, 10);
        assert!(window.spend(Timestamp(59 * SECOND), &1, 10).fits);
        let over = window.spend(Timestamp(59 * SECOND), &1, 1);
        assert_eq!(over, Count { used: 11, fits: false, resets_at: Timestamp(60 * SECOND) });
        assert!(window.spend(Timestamp(59 * SECOND), &2, 10).fits, "each key has its own");
        assert!(window.spend(Timestamp(60 * SECOND), &1, 1).fits);
    }

    #[test]
    fn a_rolling_window_never_holds_more_than_its_limit() {
        let mut window = Rolling::new(SECOND, 2);
        let fits: Vec<_> =
            [0, 400, 900, 1_000, 1_100, 1_400].map(|ms| window.spend(Timestamp(ms * 1_000), &1).fits).into();
        assert_eq!(fits, [true, true, false, true, false, true]);
    }

    #[test]
    fn bans_grow_up_to_their_most() {
        let mut bans = Bans::default();
        let mut now = Timestamp(0);
        let mut spans = Vec::new();
        for _ in 0..4 {
            let until = bans.ban(now, &1, 2, 10, 100);
            spans.push(until.micros_since(now));
            assert!(bans.until(now, &1).is_some() && bans.until(until, &1).is_none());
            now = until;
        }
        assert_eq!(spans, [2, 20, 100, 100]);
    }
}
