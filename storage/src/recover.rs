//! Recovery of one shard: its newest usable snapshot, then every record from the snapshot's start on.
//!
//! **Runs on**: any executor that has the disk; several shards' recoveries may run side by side.
//!
//! **Invariants**: a snapshot is read to its end and checked before its first section is handed out. A damaged one gives
//! way to an older one, or to none, when the log reaches back that far. A whole one, used or not, proves which records there
//! were: a log that ends before them is refused. What is handed out is synced first, so nothing that recovery saw can
//! disappear in a later crash.
//!
//! **Never**: creates, changes or removes a file.

use crate::error::{RecoverError, StorageError};
use crate::generation::ShardHome;
use crate::identity::{BlockSequence, Generation, Lsn, SegmentNumber};
use crate::limits::PAGE_BYTES;
use crate::path;
use crate::scan::{LogTail, ScanEvent, ScanPlan, TornTail, covering, first_block, first_lsn, scan};
use crate::snapshot::DurableSnapshot;
use crate::snapshot_file;
use engine::seam::Disk;
use std::convert::Infallible;
use std::path::PathBuf;

/// What recovery hands out, in this order: all sections, then all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed<'a> {
    /// A section of the snapshot, 16-byte aligned.
    Section {
        /// Its index, from 0.
        index: u64,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A record, 16-byte aligned.
    Record {
        /// Its LSN: one more than the last one's.
        lsn: Lsn,
        /// Its bytes.
        bytes: &'a [u8],
    },
}

/// What recovery found.
#[derive(Debug)]
pub struct Recovered {
    /// The snapshot it began with.
    pub snapshot: Option<DurableSnapshot>,
    /// Snapshots that were damaged and not used, with what is wrong.
    pub damaged_snapshots: Vec<(PathBuf, String)>,
    /// Records handed out.
    pub records: u64,
    /// Blocks read.
    pub blocks: u64,
    /// Bytes of these blocks, padding included.
    pub bytes: u64,
    /// The last run's torn write, if it left one.
    pub torn: Option<TornTail>,
    /// Torn writes of earlier runs that were stepped over.
    pub gaps: u64,
    /// Where the log goes on; see [`crate::Log::start`].
    pub tail: LogTail,
}

/// Where to begin.
struct Base {
    snapshot: Option<DurableSnapshot>,
    /// The newest whole snapshot, whether the log reaches back to it or not.
    newest_whole: Option<DurableSnapshot>,
    /// Index of the first segment to scan.
    from: usize,
    /// What its first block must be, when that is known.
    first: Option<(BlockSequence, Option<Lsn>)>,
}

impl Base {
    fn start(&self) -> Lsn {
        self.snapshot.as_ref().map_or(Lsn(1), |snapshot| snapshot.start)
    }
}

/// Recovers the shard in `home`, handing snapshot sections and records to `visit`.
///
/// # Errors
/// [`StorageError::Corruption`] and the other variants that name a file: refuse to start.
/// [`RecoverError::Visitor`] as soon as `visit` fails.
pub async fn recover<D: Disk, E>(
    disk: &D,
    home: &ShardHome,
    mut visit: impl FnMut(Replayed<'_>) -> Result<(), E>,
) -> Result<Recovered, RecoverError<E>> {
    let names = disk.list(home.dir()).await.map_err(StorageError::io("list", home.dir()))?;
    let mut segments: Vec<_> = names.iter().filter_map(|name| path::parse_segment(name)).collect();
    segments.sort_unstable();
    let mut snapshots: Vec<_> = names.iter().filter_map(|name| path::parse_snapshot(name)).collect();
    snapshots.sort_unstable_by(|a, b| b.cmp(a));
    let mut damaged = Vec::new();
    let base = choose_base(disk, home, &segments, &snapshots, &mut damaged).await?;
    if let Some(snapshot) = &base.snapshot {
        let section = &mut |index, _, bytes: &[u8]| visit(Replayed::Section { index, bytes });
        snapshot_file::read(disk, &snapshot.path, snapshot.start, Some(home.identity()), section).await?;
    }
    let (start, mut records) = (base.start(), 0);
    let plan = ScanPlan { identity: Some(*home.identity()), first: base.first, sync: true };
    let end = scan(disk, home.dir(), &segments[base.from..], plan, &mut |event| match event {
        ScanEvent::Record { lsn, bytes, .. } if lsn >= start => {
            records += 1;
            visit(Replayed::Record { lsn, bytes })
        }
        _ => Ok(()),
    })
    .await?;
    if let Some(snapshot) = &base.newest_whole
        && end.tail.next_lsn <= snapshot.reflects
    {
        return Err(too_short(home, snapshot, &segments, Lsn(end.tail.next_lsn.0 - 1)).into());
    }
    Ok(Recovered {
        snapshot: base.snapshot,
        damaged_snapshots: damaged,
        records,
        blocks: end.blocks,
        bytes: end.bytes,
        torn: end.torn,
        gaps: end.gaps,
        tail: end.tail,
    })
}

fn too_short(
    home: &ShardHome,
    snapshot: &DurableSnapshot,
    segments: &[SegmentNumber],
    last: Lsn,
) -> StorageError {
    StorageError::LogTooShort {
        dir: home.dir().to_owned(),
        snapshot: snapshot.path.clone(),
        last,
        segment: segments.last().copied().unwrap_or_default(),
        reflects: snapshot.reflects,
        needed: snapshot.segment,
    }
}

async fn choose_base<D: Disk>(
    disk: &D,
    home: &ShardHome,
    segments: &[SegmentNumber],
    snapshots: &[Lsn],
    damaged: &mut Vec<(PathBuf, String)>,
) -> Result<Base, StorageError> {
    let (dir, identity) = (home.dir(), home.identity());
    let whole = segments.first().is_none_or(|first| *first == SegmentNumber(1));
    let (mut detail, mut newest_whole) = (Vec::new(), None);
    for &start in snapshots {
        let path = dir.join(path::snapshot_name(start));
        let mut only_check = |_, _, _: &[u8]| Ok::<_, Infallible>(());
        let snapshot = match snapshot_file::read(disk, &path, start, Some(identity), &mut only_check).await {
            Ok(snapshot) => snapshot,
            Err(RecoverError::Storage(StorageError::Corruption(corruption))) => {
                let name = path::snapshot_name(start);
                detail.push(format!("{name} is damaged at byte {}", corruption.offset));
                damaged.push((corruption.file, corruption.reason));
                continue;
            }
            Err(RecoverError::Storage(error)) => return Err(error),
            Err(RecoverError::Visitor { source, .. }) => match source {},
        };
        if segments.last().copied().unwrap_or_default() < snapshot.segment {
            let last = Lsn(start.0 - 1);
            return Err(too_short(home, &snapshot, segments, last));
        }
        newest_whole.get_or_insert_with(|| snapshot.clone());
        if let Some(from) = covering(disk, dir, identity, segments, start).await? {
            return Ok(Base { snapshot: Some(snapshot), newest_whole, from, first: None });
        }
        if snapshot.segment == SegmentNumber(0) && whole {
            return Ok(Base {
                snapshot: Some(snapshot),
                newest_whole,
                from: 0,
                first: Some((BlockSequence(1), Some(start))),
            });
        }
        detail.push(format!("snapshot {start} is older than the log"));
    }
    let first = match segments.first() {
        Some(&number) => first_lsn(disk, dir, identity, number).await?,
        None => None,
    };
    // Every later generation begins with a snapshot per shard, so only the first can begin with nothing. Not without its first
    // block, though, when all snapshots are damaged: their names say that there were records. (A whole one says up to which.)
    let from_nothing = home.identity().generation == Generation(1)
        && whole
        && first.map_or(snapshots.is_empty() || newest_whole.is_some(), |lsn| lsn == Lsn(1));
    if from_nothing && (!segments.is_empty() || snapshots.is_empty()) {
        let first = Some((BlockSequence(1), Some(Lsn(1))));
        return Ok(Base { snapshot: None, newest_whole, from: 0, first });
    }
    if snapshots.is_empty() {
        detail.push("there is none".to_owned());
    }
    for &number in segments {
        let name = path::segment_name(number);
        match first_block(disk, dir, identity, number).await? {
            Ok(first) => detail.push(format!("{name} begins with record {first} at byte {PAGE_BYTES}")),
            Err(fault) => detail.push(format!("{name}, at byte {PAGE_BYTES}: {fault}")),
        }
    }
    Err(StorageError::NoBase {
        dir: dir.to_owned(),
        first: first.unwrap_or_default(),
        detail: detail.join("; "),
    })
}
