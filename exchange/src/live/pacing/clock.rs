//! The exchange's clock as seen from here.
//!
//! **Runs on**: the shard that signs. **Owns**: the last [`SAMPLES`] measurements.
//! **Invariants**: the time it gives is ahead of the exchange's by less than the second that both allow
//! (CASES.md, T3), as long as the host's clock runs: it is the middle of the best round trip, moved back by
//! what half of that may be wrong beyond [`AHEAD_MICROS`]. Times are [`Millis`], a type of their own (T5).
//! **Never**: reads a clock: the caller hands the host's time in, at the moment of sending (T4).

use engine::core::ids::Timestamp;

use crate::live::protocol::Millis;

use super::limits::{MINUTE, SECOND};

/// Measurements that are kept.
pub const SAMPLES: usize = 8;
/// How far ahead the given time may be, in microseconds: half of what the exchanges allow.
pub const AHEAD_MICROS: u64 = SECOND / 2;
/// A clock that is off by more than this is told to the operator, in microseconds (CASES.md, T2).
pub const ALARM_MICROS: u64 = SECOND / 2;
/// A round trip that took longer says too little, in microseconds.
pub const ROUND_TRIP_MAX_MICROS: u64 = 5 * SECOND;
/// Largest offset that is believed, in microseconds: beyond a day the host's date is wrong.
pub const OFFSET_MAX_MICROS: u64 = 24 * 60 * MINUTE;
/// How long a measurement is good, in microseconds: a quartz at 100 ppm is 60 ms off after it.
pub const SYNC_MICROS: u64 = 10 * MINUTE;
/// How fast a quartz may run off, in parts per million; beyond it the host's clock was set.
const DRIFT_MAX_PPM: u64 = 200;

/// One question for the exchange's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// The host's clock when it was sent.
    pub sent: Timestamp,
    /// The host's clock when the answer came.
    pub received: Timestamp,
    /// The answer.
    pub venue: Millis,
}

/// Why a measurement is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSample {
    /// The answer came before the question: the host's clock was set in between.
    #[error("the host's clock was put back during the measurement")]
    Backwards,
    /// The round trip took too long.
    #[error("the round trip took {0} microseconds: at most {ROUND_TRIP_MAX_MICROS} say something")]
    TooSlow(u64),
    /// The clocks are more than a day apart.
    #[error("the exchange's clock and this host's are more than a day apart: set the host's date")]
    TooFar,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    at: Timestamp,
    offset: i64,
    round_trip: u64,
}

/// The clock for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockView {
    /// Exchange's minus host's, in microseconds; zero before the first measurement.
    pub offset_micros: i64,
    /// By how much it may be wrong, in microseconds; `None` before the first measurement.
    pub uncertain_micros: Option<u64>,
    /// How fast the offset changes, in parts per million; `None` until measurements lie a minute apart.
    pub drift_ppm: Option<i64>,
    /// Whether the host's clock is off by more than [`ALARM_MICROS`].
    pub is_alarm: bool,
    /// Whether the exchange said since the last measurement that a time was wrong.
    pub is_refuted: bool,
}

/// The exchange's clock. See the file's head.
#[derive(Clone, Debug, Default)]
pub struct VenueClock {
    /// Newest last; the first `count` are there.
    samples: [Option<Measured>; SAMPLES],
    best: Option<Measured>,
    refuted_at: Option<Timestamp>,
}

impl VenueClock {
    /// Takes a measurement. The best of those at hand is used from now on: the one with the shortest round
    /// trip.
    ///
    /// # Errors
    /// [`BadSample`]: it says nothing, and nothing has changed.
    pub fn measured(&mut self, sample: ClockSample) -> Result<(), BadSample> {
        if sample.received < sample.sent {
            return Err(BadSample::Backwards);
        }
        let round_trip = sample.received.micros_since(sample.sent);
        if round_trip > ROUND_TRIP_MAX_MICROS {
            return Err(BadSample::TooSlow(round_trip));
        }
        let middle = sample.sent.0 + round_trip / 2;
        let offset = i128::from(sample.venue.0) * 1_000 - i128::from(middle);
        let offset = i64::try_from(offset).map_err(|_| BadSample::TooFar)?;
        if offset.unsigned_abs() > OFFSET_MAX_MICROS {
            return Err(BadSample::TooFar);
        }
        let new = Measured { at: sample.received, offset, round_trip };
        // A measurement that contradicts the new one, or is too old, says nothing any more: the host's clock
        // was set.
        let agrees = |old: &Measured| {
            let age = new.at.micros_since(old.at);
            let slack = (new.round_trip + old.round_trip) / 2 + 2_000 + age / 1_000_000 * DRIFT_MAX_PPM;
            old.at <= new.at && age <= SYNC_MICROS && new.offset.abs_diff(old.offset) <= slack
        };
        let mut kept = [None; SAMPLES];
        let good = self.samples.iter().flatten().filter(|old| agrees(old)).copied();
        let skip = good.clone().count().saturating_sub(SAMPLES - 1);
        let mut count = 0;
        for (slot, old) in kept.iter_mut().zip(good.skip(skip)) {
            *slot = Some(old);
            count += 1;
        }
        kept[count] = Some(new);
        self.samples = kept;
        // Of two equally short the newer one.
        self.best = self.samples.iter().flatten().rev().min_by_key(|sample| sample.round_trip).copied();
        if self.refuted_at.is_some_and(|at| sample.sent >= at) {
            self.refuted_at = None;
        }
        Ok(())
    }

    /// The exchange said that the time of a request is wrong (`FailureKind::Clock`; CASES.md, T1).
    pub fn refuted(&mut self, now: Timestamp) {
        self.refuted_at = Some(now);
    }

    /// Whether to ask the exchange for its time: before the first request, after it refuted ours, and from
    /// time to time.
    #[must_use]
    pub fn wants_sample(&self, now: Timestamp) -> bool {
        let newest = self.samples.iter().flatten().next_back();
        self.refuted_at.is_some()
            || newest.is_none_or(|newest| {
                now < newest.at || now.micros_since(newest.at) >= SYNC_MICROS / SAMPLES as u64
            })
    }

    /// The time to sign a request with that is sent when the host's clock shows `wall`.
    #[must_use]
    pub fn now(&self, wall: Timestamp) -> Millis {
        let wrong = self.best.map_or(0, |best| best.round_trip / 2);
        Millis(self.venue_micros(wall).saturating_sub(wrong.saturating_sub(AHEAD_MICROS)) / 1_000)
    }

    /// The exchange's time, as likely before as after the true one, in microseconds.
    #[must_use]
    pub fn venue_micros(&self, wall: Timestamp) -> u64 {
        wall.0.saturating_add_signed(self.offset())
    }

    /// When the host's clock shows what the exchange calls `at`.
    #[must_use]
    pub fn local(&self, at: Millis) -> Timestamp {
        Timestamp(Timestamp::from_millis(at.0).0.saturating_add_signed(-self.offset()))
    }

    /// For people and metrics; what a start-up check looks at.
    #[must_use]
    pub fn view(&self) -> ClockView {
        ClockView {
            offset_micros: self.offset(),
            uncertain_micros: self.best.map(|best| best.round_trip / 2),
            drift_ppm: self.drift_ppm(),
            is_alarm: self.offset().unsigned_abs() > ALARM_MICROS,
            is_refuted: self.refuted_at.is_some(),
        }
    }

    fn offset(&self) -> i64 {
        self.best.map_or(0, |best| best.offset)
    }

    fn drift_ppm(&self) -> Option<i64> {
        let mut samples = self.samples.iter().flatten();
        let (oldest, newest) = (samples.next()?, samples.next_back()?);
        let span = newest.at.micros_since(oldest.at);
        if span < MINUTE {
            return None;
        }
        let change = i128::from(newest.offset) - i128::from(oldest.offset);
        i64::try_from(change * 1_000_000 / i128::from(span)).ok()
    }
}
