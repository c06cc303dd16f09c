//! Writing a snapshot in slices while the shard goes on.
//!
//! **Runs on**: the shard, as a task in its background lane: [`SnapshotWriter::add`] is synchronous and copies, so it may
//! look at the state; [`SnapshotWriter::drain`] moves the copies to the disk and looks at nothing.
//!
//! **Owns**: `snap-….snap.tmp` until it is finished.
//!
//! **Invariants**: a file named `snap-….snap` is complete and synced, except for later damage. The snapshot is fuzzy:
//! sections may reflect records at and after its start, which recovery replays all the same; the log must hold all of
//! those records, so a snapshot is finished only when the last record it reflects is durable.
//!
//! **Bounds**: [`SNAPSHOT_PENDING_BYTES_MAX`] between two drains ([`SectionError::Full`]).

use crate::error::StorageError;
use crate::generation::ShardHome;
use crate::head::{FileKind, Head};
use crate::identity::{Lsn, SegmentNumber};
use crate::limits::{
    PAGE_BYTES, SECTION_BYTES_MAX, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_PENDING_BYTES_MAX, whole_pages,
};
use crate::log::LogPosition;
use crate::path;
use crate::snapshot_file::{Footer, SECTION_ALIGNMENT, extend_sections_crc, section_header};
use engine::seam::{Disk, DiskFile};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

/// Proof of a complete snapshot on the disk. Only a finished writer and recovery make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableSnapshot {
    pub(crate) path: PathBuf,
    pub(crate) start: Lsn,
    pub(crate) reflects: Lsn,
    pub(crate) segment: SegmentNumber,
    pub(crate) sections: u64,
    pub(crate) bytes: u64,
}

impl DurableSnapshot {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The first record to replay on top of it.
    #[must_use]
    pub fn start(&self) -> Lsn {
        self.start
    }
    /// The last record whose effect it may contain.
    #[must_use]
    pub fn reflects(&self) -> Lsn {
        self.reflects
    }
    /// Those of the log's segments that may hold its first record: none that was begun after it was finished.
    pub(crate) fn among<'a>(&self, segments: &'a [SegmentNumber]) -> &'a [SegmentNumber] {
        match self.segment {
            // What a generation begins with needs no log before it.
            SegmentNumber(0) => segments,
            last => &segments[..segments.partition_point(|number| *number <= last)],
        }
    }
    /// How many sections it has.
    #[must_use]
    pub fn sections(&self) -> u64 {
        self.sections
    }
    /// Bytes in them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Why a section was not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// Drain first.
    #[error("{pending} bytes of the snapshot wait for the disk, its bound")]
    Full {
        /// Bytes waiting.
        pending: usize,
    },
    /// The section can never be taken: split it.
    #[error("a section of {bytes} bytes is larger than {SECTION_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

/// A snapshot being written. See the module's head. Dropping it leaves a `.tmp` file that the next start removes.
pub struct SnapshotWriter<D: Disk> {
    disk: D,
    home: ShardHome,
    start: Lsn,
    file: D::File,
    tmp: PathBuf,
    full: VecDeque<<D::File as DiskFile>::Buffer>,
    filling: <D::File as DiskFile>::Buffer,
    filled: usize,
    free: Vec<<D::File as DiskFile>::Buffer>,
    offset: u64,
    sections: u64,
    bytes: u64,
    sections_crc: u32,
}

impl<D: Disk> SnapshotWriter<D> {
    /// Begins a snapshot on top of which recovery replays the records from `start` on: the LSN of the next record at the
    /// moment the first section is taken.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] or [`StorageError::Io`].
    pub async fn begin(disk: D, home: ShardHome, start: Lsn) -> Result<Self, StorageError> {
        assert!(start > Lsn(0), "records count from 1");
        let tmp = home.dir().join(path::tmp(&path::snapshot_name(start)));
        match disk.remove(&tmp).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &tmp)(error));
            }
            _ => {}
        }
        let file = disk.create_new(&tmp).await.map_err(|error| full_or("create", &tmp, 0, error))?;
        let mut filling = file.buffer(SNAPSHOT_CHUNK_BYTES);
        Head { kind: FileKind::Snapshot, identity: *home.identity(), number: start.0, file_bytes: 0 }
            .encode(filling.as_mut());
        Ok(Self {
            disk,
            home,
            start,
            file,
            tmp,
            full: VecDeque::new(),
            filling,
            filled: PAGE_BYTES,
            free: Vec::new(),
            offset: 0,
            sections: 0,
            bytes: 0,
            sections_crc: 0,
        })
    }

    /// Copies a section.
    ///
    /// # Errors
    /// See [`SectionError`].
    pub fn add(&mut self, section: &[u8]) -> Result<(), SectionError> {
        if section.len() > SECTION_BYTES_MAX {
            return Err(SectionError::TooLarge { bytes: section.len() });
        }
        if self.pending_bytes() + section.len() > SNAPSHOT_PENDING_BYTES_MAX {
            return Err(SectionError::Full { pending: self.pending_bytes() });
        }
        let (header, crc) = section_header(self.sections, section);
        self.put(&header);
        self.put(section);
        self.put(
            &[0; SECTION_ALIGNMENT][..section.len().next_multiple_of(SECTION_ALIGNMENT) - section.len()],
        );
        self.sections += 1;
        self.bytes += section.len() as u64;
        self.sections_crc = extend_sections_crc(self.sections_crc, crc);
        Ok(())
    }

    /// Bytes that wait for [`SnapshotWriter::drain`].
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.full.len() * SNAPSHOT_CHUNK_BYTES + self.filled
    }

    /// True when a section of the largest size might not be taken any more.
    #[must_use]
    pub fn needs_drain(&self) -> bool {
        self.pending_bytes() + SECTION_BYTES_MAX > SNAPSHOT_PENDING_BYTES_MAX
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = SNAPSHOT_CHUNK_BYTES - self.filled;
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.filling.as_mut()[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == SNAPSHOT_CHUNK_BYTES {
                let fresh = self.free.pop().unwrap_or_else(|| self.file.buffer(SNAPSHOT_CHUNK_BYTES));
                self.full.push_back(std::mem::replace(&mut self.filling, fresh));
                self.filled = 0;
            }
        }
    }

    /// Writes the full chunks, one at a time.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] or [`StorageError::Io`]: [`SnapshotWriter::abandon`] it then; log and older snapshots
    /// are not affected.
    pub async fn drain(&mut self) -> Result<(), StorageError> {
        while let Some(buffer) = self.full.pop_front() {
            let buffer = self.write(buffer, SNAPSHOT_CHUNK_BYTES).await?;
            self.free.push(buffer);
        }
        Ok(())
    }

    async fn write(
        &mut self,
        buffer: <D::File as DiskFile>::Buffer,
        len: usize,
    ) -> Result<<D::File as DiskFile>::Buffer, StorageError> {
        let needed = self.offset + len as u64;
        let buffer = self
            .file
            .write_at(buffer, len, self.offset)
            .await
            .map_err(|error| full_or("write", &self.tmp, needed, error))?;
        self.offset = needed;
        Ok(buffer)
    }

    /// Finishes the snapshot of a running shard. `reflects` is the last record whose effect any section may contain;
    /// it must be durable by now, which `log`, the log's position, must show.
    ///
    /// # Errors
    /// As [`SnapshotWriter::drain`].
    ///
    /// # Panics
    /// When `reflects` is not durable: such a snapshot would hold what a crash could still take back.
    pub async fn finish(self, reflects: Lsn, log: LogPosition) -> Result<DurableSnapshot, StorageError> {
        assert!(reflects <= log.durable, "a snapshot reflects only durable records");
        assert!(
            reflects >= Lsn(self.start.0 - 1),
            "a snapshot reflects at least everything before its start"
        );
        self.complete(reflects, log.segment).await
    }

    /// Finishes the snapshot that a shard of a new generation begins with: it needs no log before it.
    ///
    /// # Errors
    /// As [`SnapshotWriter::drain`].
    pub async fn finish_seed(self) -> Result<DurableSnapshot, StorageError> {
        let reflects = Lsn(self.start.0 - 1);
        self.complete(reflects, SegmentNumber(0)).await
    }

    async fn complete(
        mut self,
        reflects: Lsn,
        segment: SegmentNumber,
    ) -> Result<DurableSnapshot, StorageError> {
        let footer = Footer {
            sections: self.sections,
            bytes: self.bytes,
            reflects,
            segment,
            sections_crc: self.sections_crc,
        };
        self.put(&footer.encode());
        self.drain().await?;
        if self.filled > 0 {
            let len = whole_pages(self.filled);
            self.filling.as_mut()[self.filled..len].fill(0);
            let empty = self.file.buffer(PAGE_BYTES);
            let last = std::mem::replace(&mut self.filling, empty);
            self.write(last, len).await?;
        }
        let path = self.home.dir().join(path::snapshot_name(self.start));
        let sync = match segment {
            SegmentNumber(0) if planted::planted!("generation_switched_before_its_snapshots_are_synced") => {
                Ok(())
            }
            SegmentNumber(1..) if planted::planted!("snapshot_named_before_it_is_synced") => Ok(()),
            _ => self.file.sync_data().await,
        };
        sync.map_err(|error| full_or("sync", &self.tmp, self.offset, error))?;
        self.file.close().await.map_err(StorageError::io("close", &self.tmp))?;
        self.disk.rename(&self.tmp, &path).await.map_err(StorageError::io("rename", &self.tmp))?;
        if !planted::planted!("snapshot_name_not_synced") {
            self.disk.sync_dir(self.home.dir()).await.map_err(StorageError::io("sync", self.home.dir()))?;
        }
        let (start, sections, bytes) = (self.start, self.sections, self.bytes);
        Ok(DurableSnapshot { path, start, reflects, segment, sections, bytes })
    }

    /// Gives up and removes what was written.
    ///
    /// # Errors
    /// [`StorageError::Io`]; the next start removes the file then.
    pub async fn abandon(self) -> Result<(), StorageError> {
        self.file.close().await.map_err(StorageError::io("close", &self.tmp))?;
        self.disk.remove(&self.tmp).await.map_err(StorageError::io("remove", &self.tmp))
    }
}

fn full_or(operation: &'static str, path: &Path, needed: u64, source: io::Error) -> StorageError {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return StorageError::NoSpace { path: path.to_owned(), needed };
    }
    StorageError::Io { operation, path: path.to_owned(), source }
}
