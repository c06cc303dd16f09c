//! Positions without a live stop: for how long each one is, and how much of that counts.
//!
//! **Checks**: a clock for each position adds up the time in which nothing disturbed its protection ([`Regard::Judged`]), over all
//! disturbances in between, and holds it against a bound; another adds up the time in which its protection was possible, however
//! many single answers went wrong ([`Regard::Capped`] too), and holds it against [`CAP`].
//! **Invariants**: no disturbance sets a clock back; only a live stop, or the position's end, does.

use std::collections::BTreeMap;

use engine::seam::Nanos;

/// The longest that a position is without a live stop while its shard works and the exchange can be asked, whatever becomes of
/// single requests, answers and events. What is promised: after 5 s it is closed (DOMAIN.md §2). What single faults can add: an exit
/// that nobody answers is asked about after 2 s, that question after its 10 s again, and a way there and back.
pub(super) const CAP: Nanos = Nanos::from_millis(20_000);

/// What a moment of a position without a stop counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Regard {
    /// Nothing disturbs its protection.
    Judged,
    /// Something did, or does to single requests; its protection is possible.
    Capped,
    /// Nobody could protect it: no process, no way to the exchange, no leave to ask.
    Excused,
}

/// Position-time without a live stop, and the longest clocks, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BareTime {
    /// Nothing disturbed its protection: held against the bound, and against the cap.
    pub judged_ms: u64,
    /// Held against the cap alone.
    pub capped_ms: u64,
    /// Held against nobody.
    pub excused_ms: u64,
    /// The longest that a position was, undisturbed.
    pub longest_ms: u64,
    /// The longest that a position was while its protection was possible.
    pub longest_capped_ms: u64,
}

impl BareTime {
    /// How many numbers it is.
    pub const NUMBERS: usize = 5;

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.judged_ms += other.judged_ms;
        self.capped_ms += other.capped_ms;
        self.excused_ms += other.excused_ms;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
        self.longest_capped_ms = self.longest_capped_ms.max(other.longest_capped_ms);
    }

    /// As numbers, for passing it between processes.
    #[must_use]
    pub const fn numbers(&self) -> [u64; Self::NUMBERS] {
        [self.judged_ms, self.capped_ms, self.excused_ms, self.longest_ms, self.longest_capped_ms]
    }

    /// From such numbers.
    #[must_use]
    pub const fn from_numbers(numbers: [u64; Self::NUMBERS]) -> Self {
        let [judged_ms, capped_ms, excused_ms, longest_ms, longest_capped_ms] = numbers;
        Self { judged_ms, capped_ms, excused_ms, longest_ms, longest_capped_ms }
    }
}

#[derive(Clone, Copy, Default)]
struct Clock {
    undisturbed: Nanos,
    possible: Nanos,
}

/// The clocks of the positions that are without a live stop now.
pub(super) struct Clocks<K> {
    open: BTreeMap<K, Clock>,
    looked: Nanos,
    bound: Nanos,
    nanos: [u64; 3],
    longest: Clock,
}

impl<K: Ord + Copy> Clocks<K> {
    /// No clocks; the undisturbed ones are held against this bound.
    pub(super) const fn new(bound: Nanos) -> Self {
        let longest = Clock { undisturbed: Nanos(0), possible: Nanos(0) };
        Self { open: BTreeMap::new(), looked: Nanos(0), bound, nanos: [0; 3], longest }
    }

    /// How long ago it was looked last.
    pub(super) const fn passed(&self, now: Nanos) -> Nanos {
        now.since(self.looked)
    }

    /// These are without a live stop now. The first whose clock is over, and what is to be said of it.
    pub(super) fn look(
        &mut self,
        now: Nanos,
        found: impl IntoIterator<Item = (K, Regard)>,
    ) -> Option<(K, String)> {
        let passed = now.since(self.looked);
        self.looked = now;
        let mut open = BTreeMap::new();
        for (key, regard) in found {
            let mut clock = Clock::default();
            if let Some(before) = self.open.get(&key) {
                clock = *before;
                self.nanos[regard as usize] += passed.0;
                if regard == Regard::Judged {
                    clock.undisturbed = clock.undisturbed.plus(passed);
                }
                if regard <= Regard::Capped {
                    clock.possible = clock.possible.plus(passed);
                }
            }
            self.longest.undisturbed = self.longest.undisturbed.max(clock.undisturbed);
            self.longest.possible = self.longest.possible.max(clock.possible);
            open.insert(key, clock);
        }
        self.open = open;
        self.open.iter().find_map(|(key, clock)| {
            let ms = |span: Nanos| span.as_micros() / 1_000;
            if clock.undisturbed > self.bound {
                return Some((
                    *key,
                    format!("for {} ms in which nothing disturbed that", ms(clock.undisturbed)),
                ));
            }
            (clock.possible > CAP)
                .then(|| (*key, format!("for {} ms in which it could have got one", ms(clock.possible))))
        })
    }

    /// What it came to.
    pub(super) const fn time(&self) -> BareTime {
        let [judged, capped, excused] = self.nanos;
        BareTime {
            judged_ms: judged / 1_000_000,
            capped_ms: capped / 1_000_000,
            excused_ms: excused / 1_000_000,
            longest_ms: self.longest.undisturbed.0 / 1_000_000,
            longest_capped_ms: self.longest.possible.0 / 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 100 ms at one position, each moment regarded as it is said; when its clock is over.
    fn over_at(of: impl Fn(u64) -> Option<Regard>) -> Option<u64> {
        let mut clocks = Clocks::new(Nanos::from_millis(8_000));
        (0..1_000_u64)
            .map(|n| n * 100)
            .find(|ms| clocks.look(Nanos::from_millis(*ms), of(*ms).map(|regard| (1, regard))).is_some())
    }

    #[test]
    fn no_disturbance_sets_a_clock_back() {
        assert_eq!(over_at(|_| Some(Regard::Judged)), Some(8_100));
        // A second of each four is undisturbed: the bound is reached all the same.
        let now_and_then = |ms: u64| if ms % 4_000 < 1_000 { Regard::Judged } else { Regard::Excused };
        assert_eq!(over_at(|ms| Some(now_and_then(ms))), Some(32_100));
        // Something strikes all the time: the cap is what holds.
        assert_eq!(over_at(|_| Some(Regard::Capped)), Some(20_100));
        assert_eq!(over_at(|_| Some(Regard::Excused)), None);
    }

    #[test]
    fn a_stop_sets_it_back() {
        assert_eq!(over_at(|ms| (ms % 8_000 > 500).then_some(Regard::Judged)), None);
    }

    #[test]
    fn time_is_counted_once_and_by_what_it_is_for() {
        let mut clocks = Clocks::new(Nanos::from_millis(8_000));
        for (second, regard) in
            [Regard::Judged, Regard::Judged, Regard::Capped, Regard::Excused].iter().enumerate()
        {
            let now = Nanos::from_millis(1_000 * (7 + u64::try_from(second).expect("small")));
            assert!(clocks.look(now, [(1, *regard)]).is_none());
        }
        let time = clocks.time();
        assert_eq!(time.numbers(), [1_000, 1_000, 1_000, 1_000, 2_000]);
        assert_eq!(BareTime::from_numbers(time.numbers()), time);
    }
}
