//! One block on its way to the disk: all that its flush touches, owned.

use crate::block;
use crate::error::LogFailed;
use crate::identity::{Lsn, SegmentNumber};
use crate::segment::Segment;
use engine::seam::DiskFile;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// One block on its way to the disk. Run [`Batch::write`] as a task and hand the result to [`Log::committed`]. A batch
/// that is dropped is never committed, and the log hands out no other.
#[must_use = "nothing is durable before it is written and committed"]
pub struct Batch<F: DiskFile> {
    pub(crate) segment: Segment<F>,
    pub(crate) buffer: F::Buffer,
    /// Header and payload, in bytes.
    pub(crate) used: usize,
    /// The same with the padding: what is written.
    pub(crate) padded: usize,
    pub(crate) offset: u64,
    pub(crate) records: u64,
    pub(crate) last_lsn: Lsn,
    /// The segment before, when this is the first block of a new one.
    pub(crate) full: Option<Segment<F>>,
}

/// What became of a [`Batch`].
#[must_use = "hand it to the log"]
pub struct Flushed<F: DiskFile> {
    pub(crate) result: Result<F::Buffer, LogFailed>,
    pub(crate) segment: SegmentNumber,
    pub(crate) offset: u64,
    pub(crate) used: usize,
    pub(crate) padded: usize,
    pub(crate) records: u64,
    pub(crate) last_lsn: Lsn,
}

impl<F: DiskFile> Batch<F> {
    /// The last record in it.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    /// What is written, in bytes.
    #[must_use]
    pub fn write_bytes(&self) -> usize {
        self.padded
    }

    /// Writes the block and syncs it.
    pub async fn write(mut self) -> Flushed<F> {
        block::seal(&mut self.buffer.as_mut()[..self.used]);
        let file = &self.segment.file;
        let result = match file.write_at(self.buffer, self.padded, self.offset).await {
            Err(cause) => Err(failed("write", &self.segment.path, self.offset, cause)),
            Ok(buffer)
                if planted::planted!("sync_left_out_now_and_then") && self.last_lsn.0.is_multiple_of(7) =>
            {
                Ok(buffer)
            }
            Ok(buffer) => match file.sync_data().await {
                Err(_) if planted::planted!("failed_sync_ignored") => Ok(buffer),
                Err(cause) => Err(failed("sync", &self.segment.path, self.offset, cause)),
                Ok(()) => Ok(buffer),
            },
        };
        if let Some(file) = self.full.and_then(|full| Rc::try_unwrap(full.file).ok())
            && let Err(error) = file.close().await
        {
            // Everything in it was synced block by block; only the descriptor is in question.
            tracing::warn!(%error, "closing a full log segment failed");
        }
        Flushed {
            result,
            segment: self.segment.number,
            offset: self.offset,
            used: self.used,
            padded: self.padded,
            records: self.records,
            last_lsn: self.last_lsn,
        }
    }
}

pub(crate) fn failed(operation: &'static str, path: &Path, offset: u64, cause: io::Error) -> LogFailed {
    LogFailed { operation, path: path.to_owned(), offset, cause: Arc::new(cause) }
}
