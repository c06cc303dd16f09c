//! The seam to the database: a real one is [`crate::postgres`], another is in the simulator.

use std::future::Future;

use engine::seam::Nanos;

use super::batch::Batch;
use crate::identity::{LogIdentity, Lsn};

/// Why something did not come into the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It was not reached, or was lost in the middle, or is busy, full or read-only: whether the last write happened is not
    /// known. Asking for the position tells.
    #[error("the database is not there: {0}")]
    Unreachable(String),
    /// It stands elsewhere than the batch begins: another primary, or another projector.
    #[error("the database stands at record {found:?}, and this batch goes on after {expected:?}")]
    Moved {
        /// Where it stands.
        found: Option<Lsn>,
        /// Where the batch begins.
        expected: Option<Lsn>,
    },
    /// It belongs to another data directory, or lacks what was between.
    #[error("the database's history does not belong to these logs: {0}")]
    Foreign(String),
    /// It does not take these rows, now or later.
    #[error("the database refuses a row: {0}")]
    Refused(String),
}

/// How far a log is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no history at all.
    Nothing,
    /// There is none of this log, and all of those that it goes on from.
    Earlier,
    /// Up to this record.
    At(Lsn),
}

impl Standing {
    /// The last record of this log that is in the database.
    #[must_use]
    pub fn record(self) -> Option<Lsn> {
        match self {
            Self::At(lsn) => Some(lsn),
            Self::Nothing | Self::Earlier => None,
        }
    }
}

/// One shard's way into the database.
pub trait History {
    /// How far the log is in it. Connects where there is no connection.
    ///
    /// # Errors
    /// [`HistoryError::Unreachable`] or [`HistoryError::Foreign`].
    fn position(&mut self, place: LogIdentity) -> impl Future<Output = Result<Standing, HistoryError>>;

    /// Writes a batch, and how far the log is with it, in one transaction.
    ///
    /// # Errors
    /// [`HistoryError`]; after all but `Unreachable` nothing was written.
    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<(), HistoryError>>;

    /// Says that these logs, all of a generation, have ended with these records and are in the database: the next generation's
    /// history goes on from there.
    ///
    /// # Errors
    /// [`HistoryError::Moved`] when one of them is not there (any more), [`HistoryError::Unreachable`].
    fn complete(&mut self, ends: &[(LogIdentity, Lsn)]) -> impl Future<Output = Result<(), HistoryError>>;

    /// Notes a record that is refused, and passes over it, in one transaction.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn pass_over(
        &mut self,
        place: LogIdentity,
        after: Option<Lsn>,
        lsn: Lsn,
        why: &str,
    ) -> impl Future<Output = Result<(), HistoryError>>;
}

/// Waiting, as the thread of the projector does it.
pub trait Pause: Clone {
    /// Returns after at least `span`.
    fn pause(&self, span: Nanos) -> impl Future<Output = ()>;
    /// A monotonic clock.
    fn now(&self) -> Nanos;
}
