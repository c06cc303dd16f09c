//! Making a segment ahead of its use.
//!
//! **Runs on**: the shard, as a background task of the caller's.
//! **Owns**: `seg-….log.tmp` while it runs.
//! **Invariants**: a file named `seg-….log` has its head page, its full length, and zeros or blocks after the head: the
//! name appears only after everything is synced.
//! **Bounds**: one write of [`ZERO_CHUNK_BYTES`] at a time, no faster than twice as fast as the log itself writes.

use crate::error::StorageError;
use crate::generation::ShardHome;
use crate::head::{FileKind, Head};
use crate::identity::SegmentNumber;
use crate::limits::{PAGE_BYTES, ZERO_CHUNK_BYTES, in_memory};
use crate::pace::Pace;
use crate::path;
use engine::seam::{Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// An open segment.
pub(crate) struct Segment<F> {
    pub(crate) file: Rc<F>,
    pub(crate) path: Rc<Path>,
    pub(crate) number: SegmentNumber,
    /// Length of the file in bytes.
    pub(crate) bytes: u64,
}

/// The work of making the next segment: run it as a task and hand the result to [`crate::Log::prepared`].
#[must_use = "the log waits for it"]
pub struct Preparation<D> {
    pub(crate) disk: D,
    pub(crate) home: ShardHome,
    pub(crate) number: SegmentNumber,
    pub(crate) bytes: u64,
    pub(crate) pace: Rc<Pace>,
}

/// What [`Preparation::run`] came to.
#[must_use = "hand it to the log"]
pub struct Prepared<F> {
    pub(crate) result: Result<Segment<F>, PrepareFault>,
}

pub(crate) struct PrepareFault {
    pub(crate) path: PathBuf,
    pub(crate) needed: u64,
    pub(crate) offset: u64,
    pub(crate) source: io::Error,
}

impl PrepareFault {
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl From<PrepareFault> for StorageError {
    fn from(fault: PrepareFault) -> Self {
        if fault.is_no_space() {
            Self::NoSpace { path: fault.path, needed: fault.needed }
        } else {
            Self::Io { operation: "prepare a segment", path: fault.path, source: fault.source }
        }
    }
}

impl<D: Disk> Preparation<D> {
    /// Writes, syncs and names the segment as the log fills the current one: it is ready when half of that one's rest is
    /// used, or as soon as the disk allows when the log has to wait for it. So it ends only while the log goes on being
    /// written to, or is dropped: spawn it, do not wait for it in the loop that flushes.
    pub async fn run(self) -> Prepared<D::File> {
        let path = self.home.dir().join(path::segment_name(self.number));
        let tmp = self.home.dir().join(path::tmp(&path::segment_name(self.number)));
        let mut offset = 0;
        let result = match self.make(&tmp, &path, &mut offset).await {
            Ok(file) => Ok(Segment {
                file: Rc::new(file),
                path: Rc::from(path.as_path()),
                number: self.number,
                bytes: self.bytes,
            }),
            Err(source) => {
                // Gives the space back. Should it fail too, the next attempt or the next start removes the file.
                self.disk.remove(&tmp).await.ok();
                Err(PrepareFault { path, needed: self.bytes, offset, source })
            }
        };
        Prepared { result }
    }

    /// The same as fast as the disk takes it, at the cost of every flush meanwhile.
    pub async fn run_at_once(self) -> Prepared<D::File> {
        self.pace.hurry();
        self.run().await
    }

    async fn make(&self, tmp: &Path, path: &Path, offset: &mut u64) -> io::Result<D::File> {
        match self.disk.remove(tmp).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create_new(tmp).await?;
        let filled = self.fill(&file, offset).await;
        if let Err(error) = filled {
            file.close().await.ok();
            return Err(error);
        }
        self.disk.rename(tmp, path).await?;
        if !planted::planted!("segment_name_not_synced") {
            self.disk.sync_dir(self.home.dir()).await?;
        }
        Ok(file)
    }

    async fn fill(&self, file: &D::File, offset: &mut u64) -> io::Result<()> {
        let mut buffer = file.buffer(ZERO_CHUNK_BYTES);
        Head {
            kind: FileKind::Segment,
            identity: *self.home.identity(),
            number: self.number.0,
            file_bytes: self.bytes,
        }
        .encode(buffer.as_mut());
        while *offset < self.bytes {
            let len = in_memory(self.bytes - *offset).min(ZERO_CHUNK_BYTES);
            self.pace.reach(*offset + len as u64).await?;
            buffer = file.write_at(buffer, len, *offset).await?;
            if *offset == 0 {
                buffer.as_mut()[..PAGE_BYTES].fill(0);
            }
            *offset += len as u64;
        }
        file.sync_data().await
    }
}
