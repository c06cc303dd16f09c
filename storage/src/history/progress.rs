//! What a shard and its projector tell each other, and what the status page shows of it.
//!
//! **Runs on**: any thread. **Bounds**: the last failure's text, replaced by the next one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use engine::seam::Nanos;

use super::batch::Batch;
use crate::identity::Lsn;
use crate::relay::{RelayReader, RelayWriter, relay};

/// The log is kept for so long after it came into the database: a replica that takes over within that time gets what it missed.
pub const KEPT: Nanos = Nanos::from_millis(600_000);
/// A shard whose database lacks so many records is left behind: a few of the largest batches.
pub const FAR_BEHIND: u64 = 500_000;
/// Between two of the places that are remembered for it.
const SAMPLE_EVERY: Nanos = Nanos::from_millis(30_000);

/// Whose history the database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// It was not asked since the start.
    #[default]
    Unknown,
    /// This log's, or there is none.
    Ours,
    /// Not this log's: of another data directory, or of another past of this one, which was put back.
    Another,
}

/// What fails, as a word that anybody may read: hosts, statements and rows are in the log only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The database is not there, or busy, full or read-only.
    Unreachable,
    /// It takes longer than it may.
    TooSlow,
    /// It stands elsewhere than it did.
    Moved,
    /// It holds another history.
    AnotherHistory,
    /// It refuses a row, which is looked for.
    Refused,
    /// The log, or a snapshot, cannot be read.
    Log,
    /// Its schema cannot be brought up to date.
    Schema,
    /// The thread could not begin.
    Start,
}

impl Fault {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::Moved => "moved",
            Self::AnotherHistory => "another_history",
            Self::Refused => "refused",
            Self::Log => "log_unreadable",
            Self::Schema => "schema",
            Self::Start => "not_started",
        }
    }
}

/// See the module's head.
#[derive(Default)]
pub struct Progress {
    durable: AtomicU64,
    /// As [`Whose`] counts.
    whose: AtomicU8,
    /// The last record in the database, as far as is known.
    projected: AtomicU64,
    /// When that record was decided, in microseconds since 1970.
    projected_at: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
    failing: Mutex<Option<(Fault, String)>>,
    /// What [`Progress::hold`] says: found by who writes `samples`, so that a shard waits for no lock.
    held: AtomicU64,
    /// Where the database stood, and when.
    samples: Mutex<VecDeque<(Nanos, Lsn)>>,
    /// The ends of the way from the log to the projector, until each is taken.
    relay: Mutex<(Option<RelayWriter>, Option<RelayReader>)>,
    /// Records that came over it.
    relayed: AtomicU64,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report().fmt(f)
    }
}

/// What the status page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressReport {
    /// The last durable record.
    pub durable: Lsn,
    /// The last one in the database.
    pub projected: Lsn,
    /// When it was decided, microseconds since 1970; zero when not known.
    pub projected_at: u64,
    /// Rows written.
    pub rows: u64,
    /// Batches written.
    pub batches: u64,
    /// Failures so far.
    pub failures: u64,
    /// Records of these logs that were passed over, and users that their history began without.
    pub refused: u64,
    /// Records that came through memory and were not read from the log's files.
    pub relayed: u64,
    /// What fails now, in a word; none while it works.
    pub fault: Option<Fault>,
    /// The same in all its words, which name hosts and rows: for the log, and for whoever runs the server.
    pub failing: Option<String>,
}

impl Progress {
    /// One with a relay of so many blocks between the log and its projector; without it, the projector reads the log's files.
    #[must_use]
    pub fn with_relay(blocks: usize) -> Self {
        let (writer, reader) = relay(blocks);
        Self { relay: Mutex::new((Some(writer), Some(reader))), ..Self::default() }
    }

    /// The log's end of the relay, once.
    #[must_use]
    pub fn take_relay_writer(&self) -> Option<RelayWriter> {
        self.relay.lock().unwrap_or_else(PoisonError::into_inner).0.take()
    }

    /// The projector's, once.
    pub(super) fn take_relay_reader(&self) -> Option<RelayReader> {
        self.relay.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }

    pub(super) fn set_relayed(&self, relay: Option<&RelayReader>) {
        self.relayed.store(relay.map_or(0, RelayReader::records), Ordering::Relaxed);
    }

    /// The shard: everything up to here is durable.
    pub fn set_durable(&self, lsn: Lsn) {
        self.durable.store(lsn.0, Ordering::Release);
    }

    /// Up to where the log may be read.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// Whose history the database held when it was asked last.
    #[must_use]
    pub fn whose(&self) -> Whose {
        let stored = self.whose.load(Ordering::Acquire);
        [Whose::Ours, Whose::Another].into_iter().find(|whose| *whose as u8 == stored).unwrap_or_default()
    }

    pub(super) fn set_whose(&self, whose: Whose) {
        self.whose.store(whose as u8, Ordering::Release);
    }

    /// Whether the database was found to have everything up to here, also when that is nothing.
    #[must_use]
    pub fn is_at(&self, end: Lsn) -> bool {
        let asked = !self.samples.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        asked && self.projected() >= end
    }

    /// Whether the log waits for the database: something fails, or [`FAR_BEHIND`] records and more are not there yet. The last
    /// few milliseconds never are.
    #[must_use]
    pub fn is_left_behind(&self) -> bool {
        let behind = self.durable().0.saturating_sub(self.projected().0);
        let fails = self.failing.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        behind >= FAR_BEHIND || behind > 0 && fails
    }

    /// The last record in the database, as far as is known.
    #[must_use]
    pub fn projected(&self) -> Lsn {
        Lsn(self.projected.load(Ordering::Acquire))
    }

    /// What comes after this record has to stay in the log: it was not in the database [`KEPT`] ago, or it is the last that was,
    /// which shows whose history the database holds. As of the last word of the projector, so rather too much than too little.
    #[must_use]
    pub fn hold(&self) -> Lsn {
        Lsn(self.held.load(Ordering::Acquire))
    }

    /// It is later now, whatever the database says.
    pub fn passes(&self, now: Nanos) {
        self.publish(now, &self.samples.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn publish(&self, now: Nanos, samples: &VecDeque<(Nanos, Lsn)>) {
        let old_enough = samples.iter().rev().find(|(at, _)| now.since(*at) >= KEPT);
        self.held.store(old_enough.map_or(0, |(_, lsn)| lsn.0.saturating_sub(1)), Ordering::Release);
    }

    fn sample(&self, now: Nanos, lsn: Lsn) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        // A database that was put back does not have what it had.
        while samples.back().is_some_and(|(_, later)| *later > lsn) {
            samples.pop_back();
        }
        if samples.back().is_none_or(|(at, _)| now.since(*at) >= SAMPLE_EVERY) {
            samples.push_back((now, lsn));
        }
        // One from before the time that counts is enough.
        while samples.get(1).is_some_and(|(at, _)| now.since(*at) >= KEPT) {
            samples.pop_front();
        }
        self.publish(now, &samples);
    }

    /// All of it.
    #[must_use]
    pub fn report(&self) -> ProgressReport {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (fault, failing) = failing.unzip();
        ProgressReport {
            durable: self.durable(),
            projected: self.projected(),
            projected_at: load(&self.projected_at),
            rows: load(&self.rows),
            batches: load(&self.batches),
            failures: load(&self.failures),
            refused: load(&self.refused),
            relayed: load(&self.relayed),
            fault,
            failing,
        }
    }

    fn set_failing(&self, failing: Option<(Fault, &str)>) {
        let mut place = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = place.as_ref().map(|(fault, _)| *fault);
        match failing {
            Some((fault, why)) if before != Some(fault) => {
                tracing::warn!(fault = fault.as_str(), why, "history is not written; the log keeps it");
            }
            None if before.is_some() => tracing::info!("history is written again"),
            _ => {}
        }
        if place.as_ref().map(|(fault, why)| (*fault, why.as_str())) != failing {
            *place = failing.map(|(fault, why)| (fault, why.to_owned()));
        }
    }

    /// The database was found to stand at this record of this log; none when it has nothing of it, or nothing that counts.
    pub(super) fn stands(&self, found: Option<Lsn>, now: Nanos) {
        let found = found.unwrap_or(Lsn(0));
        self.projected.store(found.0, Ordering::Release);
        self.sample(now, found);
    }

    /// Something does not work; what, in a word and in all of them.
    pub fn failed(&self, fault: Fault, why: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.set_failing(Some((fault, why)));
    }

    /// So many records and users are noted in the database as refused.
    pub(super) fn set_refused(&self, noted: u64) {
        self.refused.store(noted, Ordering::Relaxed);
    }

    pub(super) fn written(&self, batch: &Batch, now: Nanos) {
        self.stands(Some(batch.through.lsn), now);
        self.projected_at.store(batch.at.0, Ordering::Relaxed);
        self.rows.fetch_add(batch.rows() as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.set_failing(None);
    }

    pub(super) fn passed_over(&self, lsn: Lsn, now: Nanos) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.stands(Some(lsn), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_waits_when_something_fails_or_much_is_missing() {
        let progress = Progress::default();
        progress.set_durable(Lsn(10));
        assert!(!progress.is_left_behind(), "the last few are always on their way");
        progress.failed(Fault::Unreachable, "it is down");
        assert!(progress.is_left_behind());
        progress.stands(Some(Lsn(10)), Nanos(0));
        assert!(!progress.is_left_behind(), "nothing waits");
        let slow = Progress::default();
        slow.set_durable(Lsn(FAR_BEHIND));
        assert!(slow.is_left_behind());
    }

    #[test]
    fn the_log_is_kept_for_a_database_that_may_be_put_back() {
        let progress = Progress::default();
        let at = |seconds: u64| Nanos::from_millis(seconds * 1_000);
        for minute in 0..30 {
            progress.stands(Some(Lsn(minute)), at(minute * 60));
        }
        assert_eq!(progress.projected(), Lsn(29));
        assert_eq!(progress.hold(), Lsn(18), "ten minutes ago");
        progress.stands(Some(Lsn(5)), at(30 * 60));
        assert_eq!(progress.hold(), Lsn(0), "what it had it does not have any more");
        progress.passes(at(40 * 60));
        assert_eq!(progress.hold(), Lsn(4), "the database need not answer for time to pass");
    }

    /// A shard that asked for the lock here would wait for ever.
    #[test]
    fn a_shard_waits_for_no_lock() {
        let progress = Progress::default();
        progress.stands(Some(Lsn(7)), Nanos(0));
        progress.passes(KEPT);
        let _samples = progress.samples.lock();
        let _failing = progress.failing.lock();
        progress.set_durable(Lsn(9));
        assert_eq!((progress.hold(), progress.durable(), progress.projected()), (Lsn(6), Lsn(9), Lsn(7)));
    }
}
