//! The seam to the database: a real one is [`crate::postgres`], another is in the simulator.

use std::future::Future;

use engine::core::ids::UserId;
use engine::seam::Nanos;
use sha2::{Digest, Sha256};

use super::batch::Batch;
use crate::identity::{LogIdentity, Lsn};

/// Why something did not come into the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It was not reached, or was lost in the middle, or is busy, full or read-only: whether the last write happened is not
    /// known. Asking for the position tells.
    #[error("the database is not there: {0}")]
    Unreachable(String),
    /// It took longer than it may, by its own limit or by ours: whether the write happened is not known either. Fewer rows at once
    /// may be taken.
    #[error("the database is too slow: {0}")]
    TooSlow(String),
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

/// What tells a record from another of the same number, when a log was put back to an earlier point and went on from there. A
/// record says when it was decided, so that the same one does not come twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A database that was written before there were marks.
    Unknown,
    /// The log did not hold the record: it begins behind it.
    Absent,
    /// The first half of the record's SHA-256.
    Record([u8; 16]),
}

impl Mark {
    /// That of a record.
    ///
    /// # Panics
    /// Never: a digest has 32 bytes.
    #[must_use]
    pub fn of(record: &[u8]) -> Self {
        Self::Record(*Sha256::digest(record).first_chunk().expect("a digest has 32 bytes"))
    }
}

/// A place in a log: everything up to a record, and which record that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The record's number.
    pub lsn: Lsn,
    /// What tells it from others.
    pub mark: Mark,
}

/// How far a log is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no history at all.
    Nothing,
    /// There is none of this log, and all of those that it goes on from.
    Earlier,
    /// Up to this record.
    At(Reached),
}

impl Standing {
    /// The last record of this log that is in the database.
    #[must_use]
    pub fn record(self) -> Option<Reached> {
        match self {
            Self::At(reached) => Some(reached),
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

    /// Writes a batch, and how far the log is with it, in one transaction. A partial one ([`Batch::partial`]) takes the place of all
    /// that is there of its users, and moves the log nowhere.
    ///
    /// # Errors
    /// [`HistoryError`]; after all but `Unreachable` and `TooSlow` nothing was written.
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
        after: Option<Reached>,
        refused: Reached,
        why: &str,
    ) -> impl Future<Output = Result<(), HistoryError>>;

    /// How many records and users are noted as refused of this log; those of earlier generations count for the first shard.
    ///
    /// # Errors
    /// [`HistoryError::Unreachable`].
    fn refusals(&mut self, place: LogIdentity) -> impl Future<Output = Result<u64, HistoryError>>;

    /// Notes that a history which begins in the middle, at this place, begins without the rows of a user, and takes out what is
    /// there of them.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn leave_out(
        &mut self,
        place: LogIdentity,
        at: Reached,
        user: UserId,
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
