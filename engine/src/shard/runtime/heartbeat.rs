//! The heartbeat of each executor and the watchdog that reads it.
//!
//! **Runs on**: a pulse on its executor, every [`HEARTBEAT`]; the watchdog on any thread.
//! **Invariants**: an executor that takes turns has a pulse younger than a heartbeat and the longest slice of work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time between two beats.
pub const HEARTBEAT: Duration = Duration::from_millis(10);

/// When each executor last took a turn.
#[derive(Clone, Debug)]
pub struct Watchdog {
    start: Instant,
    beats: Arc<[Beat]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Beat {
    /// Nanoseconds since the watchdog's start; zero before the first beat.
    at: AtomicU64,
    /// The longest time between two beats, in nanoseconds.
    longest: AtomicU64,
}

impl Watchdog {
    /// A watchdog over so many executors.
    #[must_use]
    pub fn new(executors: usize) -> Self {
        Self { start: Instant::now(), beats: (0..executors).map(|_| Beat::default()).collect() }
    }

    /// The pulse of one executor.
    ///
    /// # Panics
    /// When there is no such executor.
    #[must_use]
    pub fn pulse(&self, executor: usize) -> Pulse {
        assert!(executor < self.beats.len(), "executor {executor} of {}", self.beats.len());
        Pulse { watchdog: self.clone(), executor }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long ago each executor took a turn; zero for one that has not begun.
    #[must_use]
    pub fn ages(&self) -> Vec<Duration> {
        let now = self.now();
        self.beats
            .iter()
            .map(|beat| match beat.at.load(Ordering::Relaxed) {
                0 => Duration::ZERO,
                at => Duration::from_nanos(now.saturating_sub(at)),
            })
            .collect()
    }

    /// The executors that have begun and took no turn for longer than `limit`, with the age of their last.
    #[must_use]
    pub fn late(&self, limit: Duration) -> Vec<(usize, Duration)> {
        self.ages().into_iter().enumerate().filter(|&(_, age)| age > limit).collect()
    }

    /// The longest time between two turns of each executor so far.
    #[must_use]
    pub fn longest(&self) -> Vec<Duration> {
        self.beats.iter().map(|beat| Duration::from_nanos(beat.longest.load(Ordering::Relaxed))).collect()
    }
}

/// One executor's pulse.
#[derive(Clone, Debug)]
pub struct Pulse {
    watchdog: Watchdog,
    executor: usize,
}

impl Pulse {
    /// A turn was taken.
    pub fn beat(&self) {
        let beat = &self.watchdog.beats[self.executor];
        let now = self.watchdog.now().max(1);
        let before = beat.at.swap(now, Ordering::Relaxed);
        if before != 0 {
            beat.longest.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_of_the_last_beat() {
        let watchdog = Watchdog::new(2);
        assert_eq!(watchdog.ages(), [Duration::ZERO; 2]);
        let pulse = watchdog.pulse(1);
        pulse.beat();
        pulse.beat();
        assert_eq!(watchdog.ages()[0], Duration::ZERO);
        assert!(watchdog.longest()[1] > Duration::ZERO);
    }
}
