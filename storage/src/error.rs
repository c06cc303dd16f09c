//! What can go wrong, one variant per thing a caller does differently.

use crate::identity::{Lsn, SegmentNumber};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Damage to what had been written and acknowledged, or may have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: corrupt at byte {offset}: {reason}. Nothing was changed; restore this shard's directory from a copy", file.display())]
pub struct Corruption {
    /// The damaged (or missing) file.
    pub file: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

/// Start-up, recovery, snapshots and everything else that is not the running log.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// See [`Corruption`]. Refuse to start.
    #[error(transparent)]
    Corruption(#[from] Corruption),
    /// Written by a later version of this program.
    #[error("{}: has format version {found}, this program reads up to {known}: start the newer program again", file.display())]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u16,
        /// The newest version this program knows.
        known: u16,
    },
    /// The log no longer reaches back to any usable snapshot.
    #[error("{}: the log begins at record {first} and no usable snapshot reaches that far ({detail}): restore the directory from a copy", dir.display())]
    NoBase {
        /// The shard's directory.
        dir: PathBuf,
        /// First record that the log still holds; 0 when it holds none.
        first: Lsn,
        /// Which snapshots exist and what is wrong with them.
        detail: String,
    },
    /// The log ends before what a complete snapshot says was durable.
    #[error("{}: the log ends at record {last} in segment {segment}, but snapshot {} was taken at record {reflects} in segment {needed}: newest segments are missing, restore them", dir.display(), snapshot.display())]
    LogTooShort {
        /// The shard's directory.
        dir: PathBuf,
        /// The snapshot.
        snapshot: PathBuf,
        /// Last record in the log.
        last: Lsn,
        /// Last segment of the log.
        segment: SegmentNumber,
        /// Last record that the snapshot reflects.
        reflects: Lsn,
        /// Segment that was written to when the snapshot was finished.
        needed: SegmentNumber,
    },
    /// `CURRENT` is missing or unreadable although there is data.
    #[error("{}: {reason}", file.display())]
    Current {
        /// The file.
        file: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// Another process has the data directory.
    #[error("{}: in use by another coinbitclub{}: stop it first, or give this one another data directory", path.display(), holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The holder's process id, when it could be read.
        holder: Option<u32>,
    },
    /// A setting is outside its range.
    #[error("{name} is {value}: it must be {range}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        range: String,
    },
    /// The disk is full.
    #[error("{}: no space on the disk for {needed} bytes: free some or enlarge it; nothing acknowledged is lost", path.display())]
    NoSpace {
        /// The file being made.
        path: PathBuf,
        /// Its full length in bytes.
        needed: u64,
    },
    /// Anything else the disk answered.
    #[error("{}: cannot {operation}: {source}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
}

impl StorageError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn corrupt(file: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corruption(Corruption { file: file.to_owned(), offset, reason: reason.into() })
    }
}

/// Recovery or inspection stopped: by what was found, or by the caller's own visitor.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError<E> {
    /// By what was found.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The visitor refused a section or a record.
    #[error("{}: byte {offset}: {source}", file.display())]
    Visitor {
        /// The file it came from.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The visitor's error.
        source: E,
    },
}

/// The log is out of order for good: a write or a sync failed, so what the disk holds is not known. Restart to recover.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {operation} at byte {offset} failed: {cause}. The shard has stopped; check the disk, then restart", path.display())]
pub struct LogFailed {
    /// `write`, `sync` or `prepare`.
    pub operation: &'static str,
    /// The segment.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// The disk's answer.
    pub cause: Arc<io::Error>,
}

/// Why a record was not taken. Nothing changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// As much waits for its flush as may. Refuse new work and try again after the next flush.
    #[error("the log has {pending} bytes waiting for the disk, its bound")]
    Full {
        /// Bytes waiting.
        pending: usize,
    },
    /// The record can never fit.
    #[error("a record of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// [`crate::limits::RECORD_BYTES_MAX`].
        max: usize,
    },
    /// See [`LogFailed`].
    #[error(transparent)]
    Failed(#[from] LogFailed),
}

/// Why the next segment could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PrepareError {
    /// The disk is full. The log goes on in what is left of its segment; preparing may be tried again.
    #[error("{}: no space on the disk for {needed} bytes: free some or enlarge it; nothing acknowledged is lost", path.display())]
    NoSpace {
        /// The segment.
        path: PathBuf,
        /// Its full length in bytes.
        needed: u64,
    },
    /// See [`LogFailed`].
    #[error(transparent)]
    Failed(#[from] LogFailed),
}
