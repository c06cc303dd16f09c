//! Looking at a data directory without changing anything: `coinbitclub log inspect`.
//!
//! **Runs on**: any executor that has the disk; best without a running server, whose newest blocks may look torn.
//! **Invariants**: every checksum is verified, from the oldest file on, whether recovery would need it or not. Damage in
//! one shard or snapshot does not keep the others from being looked at.
//! **Never**: writes, syncs, or removes anything.

use crate::block::BlockHeader;
use crate::current::Current;
use crate::error::{RecoverError, StorageError};
use crate::identity::{BlockSequence, LogIdentity, Lsn, SegmentNumber};
use crate::path;
use crate::scan::{ScanEvent, ScanPlan, TornTail, scan};
use crate::snapshot::DurableSnapshot;
use crate::snapshot_file;
use engine::seam::Disk;
use std::io;
use std::path::{Path, PathBuf};

/// One finding.
#[derive(Debug)]
pub enum Found<'a> {
    /// A shard's directory begins.
    Shard {
        /// The directory.
        dir: &'a Path,
    },
    /// A whole, undamaged snapshot. Its sections came before it.
    Snapshot(&'a DurableSnapshot),
    /// A section of a snapshot.
    Section {
        /// The snapshot.
        file: &'a Path,
        /// Where its bytes begin in the file.
        offset: u64,
        /// Its index, from 0.
        index: u64,
        /// Its bytes, 16-byte aligned.
        bytes: &'a [u8],
    },
    /// A segment begins.
    Segment {
        /// The file.
        file: &'a Path,
        /// Its number.
        number: SegmentNumber,
        /// Its length in bytes.
        bytes: u64,
        /// The log it belongs to.
        identity: &'a LogIdentity,
    },
    /// A valid block. Its records follow.
    Block {
        /// The segment.
        file: &'a Path,
        /// Where it begins.
        offset: u64,
        /// Its header.
        header: &'a BlockHeader,
    },
    /// A record.
    Record {
        /// The segment.
        file: &'a Path,
        /// Where its bytes begin.
        offset: u64,
        /// Its LSN.
        lsn: Lsn,
        /// Its bytes, 16-byte aligned.
        bytes: &'a [u8],
    },
    /// A torn write that a later run stepped over.
    Gap(&'a TornTail),
    /// The torn write at the end of the log.
    Torn(&'a TornTail),
    /// Damage, or a file that cannot be read: the rest of this log or snapshot is not looked at.
    Damage(&'a StorageError),
}

/// The sum of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Shards looked at.
    pub shards: u64,
    /// Whole snapshots.
    pub snapshots: u64,
    /// Segments.
    pub segments: u64,
    /// Valid blocks.
    pub blocks: u64,
    /// Valid records.
    pub records: u64,
    /// Bytes in the records.
    pub payload_bytes: u64,
    /// Torn writes: at the end of a log or stepped over later.
    pub torn: u64,
    /// Damaged logs and snapshots.
    pub damaged: u64,
}

/// Looks at `dir`: a data directory (all shards of its current generation) or the directory of one shard.
///
/// # Errors
/// [`RecoverError::Storage`] when `dir` is neither or cannot be listed; [`RecoverError::Visitor`] when `visit` fails.
/// Damage is a finding, not an error.
pub async fn inspect<D: Disk, E>(
    disk: &D,
    dir: &Path,
    mut visit: impl FnMut(Found<'_>) -> Result<(), E>,
) -> Result<Summary, RecoverError<E>> {
    let mut summary = Summary::default();
    for (dir, identity) in shards(disk, dir).await? {
        let names = disk.list(&dir).await.map_err(StorageError::io("list", &dir))?;
        summary.shards += 1;
        let mut look = Look { summary: &mut summary, visit: &mut visit };
        look.tell(&dir, 0, Found::Shard { dir: &dir })?;
        for start in names.iter().filter_map(|name| path::parse_snapshot(name)) {
            look.snapshot(disk, &dir, start, identity.as_ref()).await?;
        }
        let mut segments: Vec<_> = names.iter().filter_map(|name| path::parse_segment(name)).collect();
        segments.sort_unstable();
        look.log(disk, &dir, &segments, identity).await?;
    }
    Ok(summary)
}

async fn shards<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<(PathBuf, Option<LogIdentity>)>, StorageError> {
    if let Some(current) = Current::read(disk, dir).await? {
        let homes = crate::generation::homes(dir, &current);
        return Ok(homes.iter().map(|home| (home.dir().to_owned(), Some(*home.identity()))).collect());
    }
    let names = disk.list(dir).await.map_err(StorageError::io("list", dir))?;
    if names.iter().any(|name| path::parse_segment(name).is_some() || path::parse_snapshot(name).is_some()) {
        return Ok(vec![(dir.to_owned(), None)]);
    }
    let reason = "neither a data directory (no CURRENT) nor a shard's (no segment or snapshot)";
    Err(StorageError::io("inspect", dir)(io::Error::new(io::ErrorKind::InvalidInput, reason)))
}

struct Look<'a, V> {
    summary: &'a mut Summary,
    visit: &'a mut V,
}

impl<V> Look<'_, V> {
    fn tell<E>(&mut self, file: &Path, offset: u64, found: Found<'_>) -> Result<(), RecoverError<E>>
    where
        V: FnMut(Found<'_>) -> Result<(), E>,
    {
        (self.visit)(found).map_err(|source| RecoverError::Visitor { file: file.to_owned(), offset, source })
    }

    fn damage<E>(&mut self, dir: &Path, error: RecoverError<E>) -> Result<(), RecoverError<E>>
    where
        V: FnMut(Found<'_>) -> Result<(), E>,
    {
        let RecoverError::Storage(error) = error else { return Err(error) };
        self.summary.damaged += 1;
        self.tell(dir, 0, Found::Damage(&error))
    }

    async fn snapshot<D: Disk, E>(
        &mut self,
        disk: &D,
        dir: &Path,
        start: Lsn,
        identity: Option<&LogIdentity>,
    ) -> Result<(), RecoverError<E>>
    where
        V: FnMut(Found<'_>) -> Result<(), E>,
    {
        let path = dir.join(path::snapshot_name(start));
        let visit = &mut *self.visit;
        let section =
            &mut |index, offset, bytes: &[u8]| visit(Found::Section { file: &path, offset, index, bytes });
        match snapshot_file::read(disk, &path, start, identity, section).await {
            Ok(snapshot) => {
                self.summary.snapshots += 1;
                self.tell(&path, 0, Found::Snapshot(&snapshot))
            }
            Err(error) => self.damage(&path, error),
        }
    }

    async fn log<D: Disk, E>(
        &mut self,
        disk: &D,
        dir: &Path,
        segments: &[SegmentNumber],
        identity: Option<LogIdentity>,
    ) -> Result<(), RecoverError<E>>
    where
        V: FnMut(Found<'_>) -> Result<(), E>,
    {
        let first = (segments.first() == Some(&SegmentNumber(1))).then_some((BlockSequence(1), None));
        let plan = ScanPlan { identity, first, sync: false };
        let (summary, visit) = (&mut *self.summary, &mut *self.visit);
        let scanned = scan(disk, dir, segments, plan, &mut |event| match event {
            ScanEvent::Segment { file, head } => {
                summary.segments += 1;
                let number = SegmentNumber(head.number);
                visit(Found::Segment { file, number, bytes: head.file_bytes, identity: &head.identity })
            }
            ScanEvent::Block { file, offset, header } => {
                summary.blocks += 1;
                visit(Found::Block { file, offset, header })
            }
            ScanEvent::Record { file, offset, lsn, bytes } => {
                summary.records += 1;
                summary.payload_bytes += bytes.len() as u64;
                visit(Found::Record { file, offset, lsn, bytes })
            }
            ScanEvent::Gap(gap) => {
                summary.torn += 1;
                visit(Found::Gap(gap))
            }
        })
        .await;
        match scanned {
            Ok(end) => match &end.torn {
                Some(torn) => {
                    self.summary.torn += 1;
                    self.tell(&torn.file, torn.offset, Found::Torn(torn))
                }
                None => Ok(()),
            },
            Err(error) => self.damage(dir, error),
        }
    }
}
