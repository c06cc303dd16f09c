//! What a shard and its projector tell each other, and what the status page shows of it.
//!
//! **Runs on**: any thread. **Bounds**: the last failure's text, replaced by the next one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::batch::Batch;
use crate::identity::Lsn;

/// See the module's head.
#[derive(Debug)]
pub struct Progress {
    durable: AtomicU64,
    /// The last record in the database, as far as is known.
    projected: AtomicU64,
    /// When that record was decided, in microseconds since 1970.
    projected_at: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
    failing: Mutex<Option<String>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            durable: AtomicU64::new(0),
            projected: AtomicU64::new(0),
            projected_at: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failing: Mutex::new(None),
        }
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
    /// Records passed over.
    pub refused: u64,
    /// What fails now; none while it works.
    pub failing: Option<String>,
}

impl Progress {
    /// The shard: everything up to here is durable.
    pub fn set_durable(&self, lsn: Lsn) {
        self.durable.store(lsn.0, Ordering::Release);
    }

    /// Up to where the log may be read.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// The last record in the database, as far as is known; what comes after it has to stay in the log.
    #[must_use]
    pub fn projected(&self) -> Lsn {
        Lsn(self.projected.load(Ordering::Acquire))
    }

    /// All of it.
    #[must_use]
    pub fn report(&self) -> ProgressReport {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let failing = self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        ProgressReport {
            durable: self.durable(),
            projected: self.projected(),
            projected_at: load(&self.projected_at),
            rows: load(&self.rows),
            batches: load(&self.batches),
            failures: load(&self.failures),
            refused: load(&self.refused),
            failing,
        }
    }

    fn set_failing(&self, failing: Option<&str>) {
        let mut place = self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (place.as_deref(), failing) {
            (None, Some(why)) => tracing::warn!(why, "history is not written; the log keeps it"),
            (Some(_), None) => tracing::info!("history is written again"),
            _ => {}
        }
        if place.as_deref() != failing {
            *place = failing.map(str::to_owned);
        }
    }

    pub(super) fn stands(&self, found: Option<Lsn>) {
        self.projected.store(found.unwrap_or(Lsn(0)).0, Ordering::Release);
    }

    pub(super) fn failed(&self, why: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.set_failing(Some(why));
    }

    pub(super) fn written(&self, batch: &Batch) {
        self.projected.store(batch.through.0, Ordering::Release);
        self.projected_at.store(batch.at.0, Ordering::Relaxed);
        self.rows.fetch_add(batch.rows() as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.set_failing(None);
    }

    pub(super) fn passed_over(&self, lsn: Lsn) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.stands(Some(lsn));
    }
}
