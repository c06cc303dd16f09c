//! Walking the blocks of a shard's segments in order and deciding what a bad one means.
//!
//! **Invariants**: the chain of sequences decides. The blocks of a log carry 1, 2, 3 … without a gap, over segments,
//! epochs and torn writes, because only a block that became durable uses its number up. So:
//! - a valid block that continues the chain proves that nothing acknowledged lies between: what does is an earlier
//!   run's torn write, stepped over;
//! - a valid block that does not continue the chain, anywhere later in this generation, proves that something is missing
//!   or damaged before it: [`Corruption`](crate::Corruption);
//! - no valid block at all any more: what is there instead is the torn tail of the last run, cut by not being read.
//!
//! The search looks at every page to the end of the last segment; the salt keeps payload bytes from posing as a block.
//!
//! **Bounds**: one chunk of [`READ_CHUNK_BYTES`](crate::limits::READ_CHUNK_BYTES) in memory.
//! **Never**: writes.

use crate::block::{self, BlockFault, BlockHeader};
use crate::error::{RecoverError, StorageError};
use crate::head::{FileKind, Head};
use crate::identity::{BlockSequence, Epoch, LogIdentity, Lsn, SegmentNumber};
use crate::limits::{BLOCK_BYTES_MAX, PAGE_BYTES};
use crate::path;
use crate::window::Window;
use engine::seam::{Disk, DiskFile};
use std::path::{Path, PathBuf};

/// Where a log ended: what [`crate::Log::start`] needs to go on. Only recovery makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTail {
    /// The last segment that holds anything, and the first page after it.
    pub(crate) resume: Option<(SegmentNumber, u64)>,
    /// Segments after it, still blank.
    pub(crate) spares: Vec<SegmentNumber>,
    pub(crate) last_segment: SegmentNumber,
    pub(crate) next_sequence: BlockSequence,
    pub(crate) next_lsn: Lsn,
    pub(crate) last_epoch: Epoch,
}

impl LogTail {
    /// The LSN the next record will get.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }
}

/// A write that was cut off by the end of the last run. None of it had been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How far non-zero bytes reach, in whole pages.
    pub bytes: u64,
    /// What is wrong at its beginning.
    pub fault: BlockFault,
}

/// What a scan meets.
#[derive(Debug)]
pub(crate) enum ScanEvent<'a> {
    Segment { file: &'a Path, head: &'a Head },
    Block { file: &'a Path, offset: u64, header: &'a BlockHeader },
    Record { file: &'a Path, offset: u64, lsn: Lsn, bytes: &'a [u8] },
    Gap(&'a TornTail),
}

/// What is known before a scan.
pub(crate) struct ScanPlan {
    /// The log; taken from the first segment when unknown.
    pub(crate) identity: Option<LogIdentity>,
    /// Sequence and, where known, LSN of the first block; whatever comes first when unknown.
    pub(crate) first: Option<(BlockSequence, Option<Lsn>)>,
    /// Sync each segment before reading it, so that what was read cannot be lost later.
    pub(crate) sync: bool,
}

/// What a scan came to.
#[derive(Debug)]
pub(crate) struct ScanEnd {
    pub(crate) tail: LogTail,
    pub(crate) torn: Option<TornTail>,
    pub(crate) gaps: u64,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// Scans `segments`, sorted, of `dir`.
pub(crate) async fn scan<D: Disk, E>(
    disk: &D,
    dir: &Path,
    segments: &[SegmentNumber],
    plan: ScanPlan,
    visit: &mut impl FnMut(ScanEvent<'_>) -> Result<(), E>,
) -> Result<ScanEnd, RecoverError<E>> {
    for pair in segments.windows(2) {
        if pair[1] != pair[0].next() {
            let missing = dir.join(path::segment_name(pair[0].next()));
            let reason = format!("this segment is missing between {} and {}", pair[0], pair[1]);
            return Err(StorageError::corrupt(&missing, 0, reason).into());
        }
    }
    let mut walk = Walk {
        identity: plan.identity,
        next: plan.first,
        epoch: Epoch(0),
        last_good: None,
        hole: None,
        junk: None,
        counts: Counts::default(),
    };
    for &number in segments {
        let file = dir.join(path::segment_name(number));
        let opened = disk.open(&file).await.map_err(StorageError::io("open", &file))?;
        if plan.sync && !planted::planted!("recovered_log_not_synced") {
            opened.sync_data().await.map_err(StorageError::io("sync", &file))?;
        }
        let mut window = Window::new(opened).await.map_err(StorageError::io("measure", &file))?;
        walk.segment(&mut window, &file, number, visit).await?;
        window.close().await.map_err(StorageError::io("close", &file))?;
    }
    Ok(walk.end(segments))
}

#[derive(Default)]
struct Counts {
    gaps: u64,
    blocks: u64,
    bytes: u64,
}

/// The first page since the last good block at which the next should have been.
struct Hole {
    file: PathBuf,
    offset: u64,
    fault: BlockFault,
}

/// Non-zero pages since the last good block.
struct Junk {
    torn: TornTail,
    end: (SegmentNumber, u64),
}

struct Walk {
    identity: Option<LogIdentity>,
    next: Option<(BlockSequence, Option<Lsn>)>,
    epoch: Epoch,
    last_good: Option<(SegmentNumber, u64)>,
    hole: Option<Hole>,
    junk: Option<Junk>,
    counts: Counts,
}

impl Walk {
    async fn segment<F: DiskFile, E>(
        &mut self,
        window: &mut Window<F>,
        file: &Path,
        number: SegmentNumber,
        visit: &mut impl FnMut(ScanEvent<'_>) -> Result<(), E>,
    ) -> Result<(), RecoverError<E>> {
        let page = window.at(0, PAGE_BYTES).await.map_err(StorageError::io("read", file))?;
        let head = Head::decode(page, FileKind::Segment, number.0, file)?;
        let identity = *self.identity.get_or_insert(head.identity);
        let head = head.of(&identity, file)?;
        if window.len() != head.file_bytes {
            let reason =
                format!("the file has {} bytes, its first page says {}", window.len(), head.file_bytes);
            return Err(StorageError::corrupt(file, window.len().min(head.file_bytes), reason).into());
        }
        call(visit, file, 0, ScanEvent::Segment { file, head: &head })?;
        let mut offset = PAGE_BYTES as u64;
        while offset < window.len() {
            match read_block(window, offset, &identity, number)
                .await
                .map_err(StorageError::io("read", file))?
            {
                Ok(header) => {
                    self.check_chain(file, offset, &header)?;
                    self.accept(file, offset, &header, visit)?;
                    call(visit, file, offset, ScanEvent::Block { file, offset, header: &header })?;
                    let bytes =
                        window.at(offset, header.bytes()).await.map_err(StorageError::io("read", file))?;
                    for (lsn, (at, bytes)) in (header.first_lsn.0..).zip(block::records(bytes, &header)) {
                        let offset = offset + at as u64;
                        call(visit, file, offset, ScanEvent::Record { file, offset, lsn: Lsn(lsn), bytes })?;
                    }
                    offset += header.padded_bytes() as u64;
                    self.last_good = Some((number, offset));
                }
                Err(fault) => {
                    self.reject(file, number, offset, fault);
                    offset += PAGE_BYTES as u64;
                }
            }
        }
        Ok(())
    }

    /// A valid block must be the next one.
    fn check_chain(&self, file: &Path, offset: u64, header: &BlockHeader) -> Result<(), StorageError> {
        let Some((sequence, lsn)) = self.next else { return Ok(()) };
        let right_lsn = lsn.is_none_or(|lsn| lsn == header.first_lsn);
        let right_lsn = right_lsn || planted::planted!("lsn_gap_accepted");
        let right_epoch = header.epoch >= self.epoch || planted::planted!("block_of_an_earlier_epoch");
        if header.sequence == sequence && right_lsn && right_epoch {
            return Ok(());
        }
        if planted::planted!("hole_in_the_middle_accepted")
            && self.hole.is_some()
            && header.sequence > sequence
        {
            return Ok(());
        }
        let found =
            format!("block {} (record {}) of epoch {}", header.sequence, header.first_lsn, header.epoch);
        let record = lsn.map(|lsn| format!(" (record {lsn})")).unwrap_or_default();
        let expected = format!("block {sequence}{record} of epoch {} or later", self.epoch);
        Err(match &self.hole {
            None => StorageError::corrupt(file, offset, format!("{found} is where {expected} belongs")),
            Some(hole) => {
                let reason = format!(
                    "{}; {expected} belongs here or after, but the next valid one is {found} at byte {offset} of {}",
                    hole.fault,
                    file.display()
                );
                StorageError::corrupt(&hole.file, hole.offset, reason)
            }
        })
    }

    fn accept<E>(
        &mut self,
        file: &Path,
        offset: u64,
        header: &BlockHeader,
        visit: &mut impl FnMut(ScanEvent<'_>) -> Result<(), E>,
    ) -> Result<(), RecoverError<E>> {
        self.next = Some((header.sequence.next(), Some(header.next_lsn())));
        self.epoch = header.epoch;
        self.hole = None;
        self.counts.blocks += 1;
        self.counts.bytes += header.padded_bytes() as u64;
        if let Some(junk) = self.junk.take() {
            self.counts.gaps += 1;
            call(visit, file, offset, ScanEvent::Gap(&junk.torn))?;
        }
        Ok(())
    }

    fn reject(&mut self, file: &Path, number: SegmentNumber, offset: u64, fault: BlockFault) {
        let blank = fault == BlockFault::Blank;
        // Blank pages before the damage are the ordinary rest of a segment: the damage is the better place to name.
        if self.hole.as_ref().is_none_or(|hole| hole.fault == BlockFault::Blank && !blank) {
            self.hole = Some(Hole { file: file.to_owned(), offset, fault });
        }
        if blank {
            return;
        }
        let end = offset + PAGE_BYTES as u64;
        match &mut self.junk {
            None => {
                let torn = TornTail { file: file.to_owned(), offset, bytes: PAGE_BYTES as u64, fault };
                self.junk = Some(Junk { torn, end: (number, end) });
            }
            Some(junk) => {
                junk.torn.bytes = if junk.end.0 == number && junk.torn.file == file {
                    end - junk.torn.offset
                } else {
                    junk.torn.bytes + PAGE_BYTES as u64
                };
                junk.end = (number, end);
            }
        }
    }

    fn end(self, segments: &[SegmentNumber]) -> ScanEnd {
        let torn = self.junk.as_ref().filter(|_| !planted::planted!("torn_tail_not_cut"));
        let resume = torn.map(|junk| junk.end).or(self.last_good);
        let used = resume.map_or(SegmentNumber(0), |(number, _)| number);
        let (next_sequence, next_lsn) = self.next.unwrap_or((BlockSequence(1), None));
        let next_lsn = next_lsn.unwrap_or(Lsn(1));
        ScanEnd {
            tail: LogTail {
                resume,
                spares: segments.iter().copied().filter(|number| *number > used).collect(),
                last_segment: segments.last().copied().unwrap_or_default(),
                next_sequence,
                next_lsn,
                last_epoch: self.epoch,
            },
            torn: self.junk.map(|junk| junk.torn),
            gaps: self.counts.gaps,
            blocks: self.counts.blocks,
            bytes: self.counts.bytes,
        }
    }
}

/// The block at `offset`, checked whole, or what is wrong with it.
pub(crate) async fn read_block<F: DiskFile>(
    window: &mut Window<F>,
    offset: u64,
    identity: &LogIdentity,
    segment: SegmentNumber,
) -> std::io::Result<Result<BlockHeader, BlockFault>> {
    let page = window.at(offset, PAGE_BYTES).await?;
    let header = match block::peek_block(page, identity, segment) {
        Ok(header) => header,
        Err(fault) => return Ok(Err(fault)),
    };
    let bytes = window.at(offset, header.bytes()).await?;
    Ok(block::check_block(bytes, &header).map(|()| header))
}

fn call<E>(
    visit: &mut impl FnMut(ScanEvent<'_>) -> Result<(), E>,
    file: &Path,
    offset: u64,
    event: ScanEvent<'_>,
) -> Result<(), RecoverError<E>> {
    visit(event).map_err(|source| RecoverError::Visitor { file: file.to_owned(), offset, source })
}

/// The last of `segments`, sorted, whose first block is valid and begins at or before `lsn`: everything from `lsn` on is
/// in it and after it. Looks from the newest back.
pub(crate) async fn covering<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &LogIdentity,
    segments: &[SegmentNumber],
    lsn: Lsn,
) -> Result<Option<usize>, StorageError> {
    for (index, &number) in segments.iter().enumerate().rev() {
        if first_lsn(disk, dir, identity, number).await?.is_some_and(|first| first <= lsn) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// LSN of the first block of a segment, when that block is valid.
pub(crate) async fn first_lsn<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &LogIdentity,
    number: SegmentNumber,
) -> Result<Option<Lsn>, StorageError> {
    Ok(first_block(disk, dir, identity, number).await?.ok())
}

/// LSN of the first block of a segment, or what is wrong with that block.
pub(crate) async fn first_block<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &LogIdentity,
    number: SegmentNumber,
) -> Result<Result<Lsn, BlockFault>, StorageError> {
    let path = dir.join(path::segment_name(number));
    let file = disk.open(&path).await.map_err(StorageError::io("open", &path))?;
    let read = file.read_at(PAGE_BYTES as u64, BLOCK_BYTES_MAX).await;
    file.close().await.map_err(StorageError::io("close", &path))?;
    let bytes = read.map_err(StorageError::io("read", &path))?;
    Ok(block::peek_block(&bytes, identity, number)
        .and_then(|header| block::check_block(&bytes, &header).map(|()| header.first_lsn)))
}
