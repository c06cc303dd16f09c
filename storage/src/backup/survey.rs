//! Looking at one shard, perhaps while it is being written to, and finding the place behind which its copy ends.
//!
//! **Invariants**: blocks are written one at a time, so a reader that finds block n has block n - 1 on the disk before it. A reader
//! that missed it and begins anew therefore finds it, or it is damaged: a chain that breaks twice at one block is damage,
//! one that breaks later every time is a log that grows.

use super::{TRIES_MAX, list, segments_of};
use crate::block::BlockHeader;
use crate::error::{RecoverError, StorageError};
use crate::generation::ShardHome;
use crate::identity::{BlockSequence, Generation, Lsn, SegmentNumber};
use crate::path;
use crate::scan::{ScanEvent, ScanPlan, covering, scan};
use crate::snapshot::DurableSnapshot;
use crate::snapshot_file;
use engine::seam::Disk;
use std::convert::Infallible;
use std::io;

/// Snapshots that a copy holds: damage to the newest then costs a longer recovery and nothing else.
const SNAPSHOTS: usize = 2;

/// The records of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The earliest record that a copy of this directory can end with; 0 for none at all.
    pub earliest: Lsn,
    /// The last record of the copy.
    pub last: Lsn,
    /// The last record there is.
    pub newest: Lsn,
}

/// Where a copy ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The segment that the log ends in.
    pub(super) segment: SegmentNumber,
    /// Bytes of it that are copied as they are.
    pub(super) bytes: u64,
    /// The block after them, of which only the first records are kept, and how many.
    pub(super) part: Option<(BlockHeader, u32)>,
    pub(super) last: Lsn,
}

/// What is to be copied of a shard.
#[derive(Clone, Debug)]
pub struct ShardSurvey {
    pub(super) home: ShardHome,
    pub(super) snapshots: Vec<DurableSnapshot>,
    pub(super) segments: Vec<SegmentNumber>,
    pub(super) cut: Option<Cut>,
    range: LogRange,
}

impl ShardSurvey {
    /// The shard's home in the source.
    #[must_use]
    pub fn home(&self) -> &ShardHome {
        &self.home
    }
    /// Its records.
    #[must_use]
    pub fn range(&self) -> LogRange {
        self.range
    }
}

/// What one scan has met.
#[derive(Default)]
struct Met {
    cut: Option<Cut>,
    block: Option<(SegmentNumber, u64, BlockHeader)>,
    newest: Lsn,
    /// The copy may end with the record before the first block.
    may_end_before: bool,
    kept: bool,
    refused: bool,
}

impl Met {
    /// No record was wanted, and the one before the first is not known to be either.
    fn begins_too_late(&self) -> bool {
        self.refused && !self.kept && !self.may_end_before
    }

    fn event(&mut self, event: &ScanEvent<'_>, keep: &mut impl FnMut(Lsn, Option<&[u8]>) -> bool) {
        match *event {
            ScanEvent::Block { offset, header, .. } => {
                let (segment, before) = (header.segment, Lsn(header.first_lsn.0 - 1));
                self.block = Some((segment, offset, *header));
                self.newest = Lsn(header.next_lsn().0 - 1);
                // The first block stays, without its records if need be: it says where the chain goes on.
                let first = Cut { segment, bytes: offset, part: Some((*header, 0)), last: before };
                if self.cut.is_none() {
                    self.may_end_before = keep(before, None);
                }
                let cut = self.cut.get_or_insert(first);
                // The first block of a start holds nothing: it belongs to what is before it.
                if header.records == 0 && cut.last == before {
                    let bytes = offset + header.padded_bytes() as u64;
                    (cut.segment, cut.bytes, cut.part) = (segment, bytes, None);
                }
            }
            ScanEvent::Record { lsn, bytes, .. } => {
                if !keep(lsn, Some(bytes)) {
                    self.refused = true;
                    return;
                }
                self.kept = true;
                let (segment, offset, header) = self.block.expect("a record's block comes before it");
                let whole = header.next_lsn() == lsn.next();
                let kept = u32::try_from(lsn.0 + 1 - header.first_lsn.0).expect("records of one block");
                self.cut = Some(Cut {
                    segment,
                    bytes: offset + if whole { header.padded_bytes() as u64 } else { 0 },
                    part: (!whole).then_some((header, kept)),
                    last: lsn,
                });
            }
            _ => {}
        }
    }

    fn reached(&self) -> BlockSequence {
        self.block.map_or(BlockSequence(0), |(_, _, header)| header.sequence)
    }
}

/// Surveys a shard that may be written to meanwhile.
pub(super) async fn settled<D: Disk>(
    disk: &D,
    home: &ShardHome,
    keep: &mut impl FnMut(Lsn, Option<&[u8]>) -> bool,
) -> Result<ShardSurvey, StorageError> {
    let mut broke_at = None;
    let mut tries = 1;
    loop {
        let mut met = Met::default();
        let error = match survey(disk, home, keep, &mut met).await {
            Ok(survey) => return Ok(survey),
            Err(error) => error,
        };
        let again = match &error {
            StorageError::Corruption(_) => broke_at.is_none_or(|before| met.reached() > before),
            StorageError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            // Newer snapshots had the log pruned between the look at the snapshots and the look at the log.
            StorageError::NoBase { .. } => true,
            _ => false,
        };
        if !again || tries == TRIES_MAX {
            return Err(error);
        }
        if matches!(error, StorageError::Corruption(_)) {
            broke_at = Some(met.reached());
        }
        tries += 1;
    }
}

async fn survey<D: Disk>(
    disk: &D,
    home: &ShardHome,
    keep: &mut impl FnMut(Lsn, Option<&[u8]>) -> bool,
    met: &mut Met,
) -> Result<ShardSurvey, StorageError> {
    let (dir, identity) = (home.dir(), home.identity());
    // The log is listed and read after the snapshots: whatever they show is in it by then.
    let snapshots = snapshots(disk, home).await?;
    let segments = segments_of(&list(disk, home).await?);
    let mut bases = Vec::new();
    let mut from = segments.len();
    for snapshot in snapshots {
        let found = match covering(disk, dir, identity, &segments, snapshot.start).await? {
            None if snapshot.segment == SegmentNumber(0) && segments.first().is_none_or(is_first) => Some(0),
            found => found,
        };
        if let Some(found) = found {
            from = from.min(found);
            bases.push(snapshot);
        }
    }
    let whole = identity.generation == Generation(1) && segments.first().is_some_and(is_first);
    if bases.len() < SNAPSHOTS {
        // What is older than the only snapshot still serves when that one is damaged.
        from = 0;
    }
    let from_nothing = whole && from == 0;
    let first = (segments.get(from) == Some(&SegmentNumber(1))).then_some((BlockSequence(1), None));
    let plan = ScanPlan { identity: Some(*identity), first, sync: false };
    let mut visit = |event: ScanEvent<'_>| {
        met.event(&event, keep);
        Ok::<(), Infallible>(())
    };
    match scan(disk, dir, &segments[from..], plan, &mut visit).await {
        Ok(_) => {}
        Err(RecoverError::Storage(error)) => return Err(error),
        Err(RecoverError::Visitor { source, .. }) => match source {},
    }
    finish(home, bases, &segments[from..], from_nothing, met)
}

fn is_first(number: &SegmentNumber) -> bool {
    *number == SegmentNumber(1)
}

/// Decides what a copy holds: the snapshots that show nothing behind the cut, and the segments that they and the log need.
fn finish(
    home: &ShardHome,
    bases: Vec<DurableSnapshot>,
    segments: &[SegmentNumber],
    from_nothing: bool,
    met: &mut Met,
) -> Result<ShardSurvey, StorageError> {
    let cut = met.cut.take();
    // Without a single block there is what the snapshot that the generation began with shows, and no more.
    let seed = bases.first().map_or(Lsn(0), |snapshot| snapshot.reflects);
    let last = cut.as_ref().map_or(seed, |cut| cut.last);
    let earliest = if from_nothing { Some(Lsn(0)) } else { bases.last().map(|oldest| oldest.reflects) };
    let newest = met.newest.max(seed);
    let Some(earliest) = earliest else {
        let detail = "no whole snapshot was found".to_owned();
        return Err(StorageError::NoBase { dir: home.dir().to_owned(), first: Lsn(0), detail });
    };
    let too_early = met.begins_too_late() && !from_nothing;
    if last < earliest || too_early {
        return Err(StorageError::Setting {
            name: "the last record to copy",
            value: last.0.min(earliest.0.saturating_sub(1)),
            range: format!(
                "in {} at least {earliest}, the earliest point its snapshots allow, and at most {newest}",
                home.dir().display()
            ),
        });
    }
    let snapshots: Vec<_> = bases.into_iter().filter(|snapshot| snapshot.reflects <= last).collect();
    let needed = snapshots.iter().map(|snapshot| snapshot.segment).max().unwrap_or_default();
    let end = needed.max(cut.as_ref().map_or(SegmentNumber(0), |cut| cut.segment));
    let mut kept: Vec<_> = segments.iter().copied().filter(|number| *number <= end).collect();
    // A generation that begins with nothing begins with a segment, though nothing may be in it.
    if kept.is_empty() && snapshots.is_empty() {
        kept.extend(segments.first());
    }
    let range = LogRange { earliest, last, newest };
    Ok(ShardSurvey { home: home.clone(), snapshots, segments: kept, cut, range })
}

/// The newest whole snapshots, newest first. Damaged ones are passed over.
async fn snapshots<D: Disk>(disk: &D, home: &ShardHome) -> Result<Vec<DurableSnapshot>, StorageError> {
    let names = list(disk, home).await?;
    let mut starts: Vec<_> = names.iter().filter_map(|name| path::parse_snapshot(name)).collect();
    starts.sort_unstable_by(|a, b| b.cmp(a));
    let mut found = Vec::new();
    for start in starts {
        let path = home.dir().join(path::snapshot_name(start));
        let mut only_check = |_, _, _: &[u8]| Ok::<_, Infallible>(());
        match snapshot_file::read(disk, &path, start, Some(home.identity()), &mut only_check).await {
            Ok(snapshot) => found.push(snapshot),
            Err(RecoverError::Storage(StorageError::Corruption(_))) => {}
            Err(RecoverError::Storage(error)) => return Err(error),
            Err(RecoverError::Visitor { source, .. }) => match source {},
        }
        if found.len() == SNAPSHOTS {
            break;
        }
    }
    Ok(found)
}
