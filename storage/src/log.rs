//! The running log of one shard.
//!
//! **Runs on**: its shard, and only there.
//!
//! **Owns**: the segment being written, the next one, and the buffers of what waits.
//!
//! **Invariants**:
//! - One block is in flight at a time: written, then synced. So nothing valid can follow a torn block on the disk, and
//!   what is appended meanwhile is the next batch: group commit without a timer.
//! - The sequence of blocks has no gap, over segments and epochs; it advances when a block is handed to the disk.
//! - The first block of an epoch is empty and durable before [`Log::start`] returns.
//! - A failed write or sync is remembered for ever, and `durable` never moves again.
//!
//! **Bounds**: [`PENDING_BLOCKS_MAX`] waiting blocks ([`AppendError::Full`]); one segment ahead. When the next segment is
//! not ready in time, flushing pauses and is counted in [`LogStats::stalls`].
//!
//! **Never**: waits inside a call, or allocates per flush once [`PENDING_BLOCKS_MAX`] buffers exist (they are made as
//! they are first needed).

use crate::batch::{Batch, Flushed, failed};
use crate::block::{BlockBuilder, HEADER_BYTES};
use crate::error::{AppendError, LogFailed, PrepareError, StorageError};
use crate::generation::ShardHome;
use crate::identity::{BlockSequence, Epoch, Lsn, SegmentNumber};
use crate::limits::{
    BLOCK_BYTES_MAX, PAGE_BYTES, PENDING_BLOCKS_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_DEFAULT,
    SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, in_memory,
};
use crate::pace::{Pace, PaceHold};
use crate::path;
use crate::relay::RelayWriter;
use crate::scan::LogTail;
use crate::segment::{Preparation, Prepared, Segment};
use engine::seam::{Disk, DiskFile};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Settings of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Length of new segments in bytes: a multiple of a page from [`SEGMENT_BYTES_MIN`] to [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES_DEFAULT }
    }
}

impl LogOptions {
    fn check(&self) -> Result<(), StorageError> {
        let n = self.segment_bytes;
        if (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&n) && n.is_multiple_of(PAGE_BYTES as u64) {
            return Ok(());
        }
        let range =
            format!("a multiple of {PAGE_BYTES} between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX} bytes");
        Err(StorageError::Setting { name: "the segment size", value: n, range })
    }
}

/// What the log has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Records made durable.
    pub records: u64,
    /// Blocks made durable.
    pub flushes: u64,
    /// Bytes written in them, padding included.
    pub bytes: u64,
    /// Segments begun.
    pub segments: u64,
    /// Batches that had to wait for the next segment to be ready.
    pub stalls: u64,
    /// Records refused because too much was waiting.
    pub refused: u64,
}

/// Where the log is: what a finished snapshot needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The last durable record.
    pub durable: Lsn,
    /// The segment being written.
    pub segment: SegmentNumber,
}

/// The running log. See the module's head.
pub struct Log<D: Disk> {
    disk: D,
    home: ShardHome,
    options: LogOptions,
    epoch: Epoch,
    sequence: BlockSequence,
    next_lsn: Lsn,
    durable: Lsn,
    current: Segment<D::File>,
    /// Where the next block goes.
    offset: u64,
    spares: VecDeque<Segment<D::File>>,
    last_segment: SegmentNumber,
    /// Of the preparation that is out.
    preparing: Option<PaceHold>,
    queue: VecDeque<BlockBuilder<Buffer<D>>>,
    free: Vec<Buffer<D>>,
    in_flight: bool,
    stalled: bool,
    failed: Option<LogFailed>,
    /// To whoever follows.
    relay: Option<RelayWriter>,
    stats: LogStats,
}

type Buffer<D> = <<D as Disk>::File as DiskFile>::Buffer;

impl<D: Disk> Log<D> {
    /// Goes on after `tail`, where recovery left off: removes interrupted files, opens or makes the segment to write to,
    /// and makes a new epoch durable. Nothing written before is touched.
    ///
    /// # Errors
    /// [`StorageError::Setting`], [`StorageError::NoSpace`] or [`StorageError::Io`].
    pub async fn start(
        disk: D,
        home: ShardHome,
        tail: LogTail,
        options: LogOptions,
    ) -> Result<Self, StorageError> {
        options.check()?;
        remove_interrupted(&disk, &home).await?;
        let mut spares = VecDeque::new();
        for number in tail.spares {
            spares.push_back(open_segment(&disk, &home, number).await?);
        }
        let mut last_segment = tail.last_segment;
        let resumed = match tail.resume {
            Some((number, offset)) => {
                let segment = open_segment(&disk, &home, number).await?;
                (segment.bytes >= offset + PAGE_BYTES as u64).then_some((segment, offset))
            }
            None => None,
        };
        let (current, offset) = match (resumed, spares.pop_front()) {
            (Some(resumed), spare) => {
                spare.into_iter().for_each(|spare| spares.push_front(spare));
                resumed
            }
            (None, Some(spare)) => (spare, PAGE_BYTES as u64),
            (None, None) => {
                last_segment = last_segment.next();
                let (disk, home, bytes) = (disk.clone(), home.clone(), options.segment_bytes);
                let pace = Pace::new(bytes, 0);
                let made = Preparation { disk, home, number: last_segment, bytes, pace }.run_at_once().await;
                (made.result?, PAGE_BYTES as u64)
            }
        };
        let durable = Lsn(tail.next_lsn.0 - 1);
        let mut log = Self {
            disk,
            home,
            options,
            epoch: if planted::planted!("epoch_used_again") {
                tail.last_epoch
            } else {
                tail.last_epoch.next()
            },
            sequence: tail.next_sequence,
            next_lsn: tail.next_lsn,
            durable,
            current,
            offset,
            spares,
            last_segment,
            preparing: None,
            queue: VecDeque::with_capacity(PENDING_BLOCKS_MAX),
            free: Vec::with_capacity(PENDING_BLOCKS_MAX + 1),
            in_flight: false,
            stalled: false,
            failed: None,
            relay: None,
            stats: LogStats::default(),
        };
        log.begin_epoch().await?;
        Ok(log)
    }

    async fn begin_epoch(&mut self) -> Result<(), StorageError> {
        let buffer = self.current.file.buffer(BLOCK_BYTES_MAX);
        let batch = self.hand_over(BlockBuilder::new(buffer, self.next_lsn), None);
        let flushed = batch.write().await;
        self.committed(flushed).map_err(|failure| StorageError::Io {
            operation: "begin a new epoch of the log",
            path: failure.path.clone(),
            source: io::Error::new(failure.cause.kind(), failure.to_string()),
        })?;
        self.stats = LogStats { segments: 1, ..LogStats::default() };
        Ok(())
    }

    /// Hands every block to a follower from now on, as soon as it is durable.
    pub fn set_relay(&mut self, relay: RelayWriter) {
        self.relay = Some(relay);
    }

    /// Takes a record; it is durable once [`Log::durable`] has reached its LSN.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&mut self, payload: &[u8]) -> Result<Lsn, AppendError> {
        self.append_with(payload.len(), |bytes| bytes.copy_from_slice(payload))
    }

    /// Takes a record of `length` bytes that `fill` writes in place, at 16-byte alignment. `fill` must set every byte:
    /// what it finds there is left from earlier records.
    ///
    /// # Errors
    /// See [`AppendError`]; then `fill` was not called.
    pub fn append_with(&mut self, length: usize, fill: impl FnOnce(&mut [u8])) -> Result<Lsn, AppendError> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone().into());
        }
        if length > RECORD_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: length, max: RECORD_BYTES_MAX });
        }
        if self.queue.back().is_none_or(|block| !block.has_room(length)) {
            if self.queue.len() == PENDING_BLOCKS_MAX {
                self.stats.refused += 1;
                return Err(AppendError::Full { pending: self.pending_bytes() });
            }
            let buffer = self.free.pop().unwrap_or_else(|| self.current.file.buffer(BLOCK_BYTES_MAX));
            self.queue.push_back(BlockBuilder::new(buffer, self.next_lsn));
        }
        let block = self.queue.back_mut().expect("a block with room was just made sure of");
        block.push_with(length, fill);
        let lsn = self.next_lsn;
        self.next_lsn = lsn.next();
        Ok(lsn)
    }

    /// Bytes that wait for a batch to take them; what is in flight does not count.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.queue.iter().map(BlockBuilder::used_bytes).sum()
    }

    /// Records that fit before [`AppendError::Full`], whatever their sizes and in whatever order: at least as many as sum
    /// up to this, each counted as its length and [`RECORD_OVERHEAD_BYTES`](crate::limits::RECORD_OVERHEAD_BYTES).
    #[must_use]
    pub fn room_bytes(&self) -> usize {
        // A record goes to a new block only when the current one has no room for it, so of any two neighbours the
        // contents fill more than one block: n blocks take at least (n - 1) / 2 blocks full of records.
        let blocks = PENDING_BLOCKS_MAX - self.queue.len();
        blocks.saturating_sub(1) * (BLOCK_BYTES_MAX - HEADER_BYTES) / 2
    }

    /// The next batch: the oldest block that waits. `None` while one is in flight, when nothing waits, and when the next
    /// segment is needed but not ready: then take it again after [`Log::prepared`].
    ///
    /// # Errors
    /// [`LogFailed`] once anything has failed.
    pub fn take_batch(&mut self) -> Result<Option<Batch<D::File>>, LogFailed> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let Some(block) = self.queue.front().filter(|_| !self.in_flight) else { return Ok(None) };
        let mut full = None;
        if self.offset + block.padded_bytes() as u64 > self.current.bytes {
            let Some(spare) = self.spares.pop_front() else {
                self.stats.stalls += u64::from(!self.stalled);
                self.stalled = true;
                if let Some(PaceHold(pace)) = &self.preparing {
                    pace.hurry();
                }
                return Ok(None);
            };
            full = Some(std::mem::replace(&mut self.current, spare));
            self.offset = PAGE_BYTES as u64;
            self.stats.segments += 1;
        }
        self.stalled = false;
        let block = self.queue.pop_front().expect("it was just looked at");
        Ok(Some(self.hand_over(block, full)))
    }

    fn hand_over(
        &mut self,
        block: BlockBuilder<Buffer<D>>,
        full: Option<Segment<D::File>>,
    ) -> Batch<D::File> {
        let (used, padded) = (block.used_bytes(), block.padded_bytes());
        let last_lsn = Lsn(block.next_lsn().0 - 1);
        let sequence = self.sequence;
        let batch = Batch {
            segment: Segment {
                file: Rc::clone(&self.current.file),
                path: Rc::clone(&self.current.path),
                ..self.current
            },
            records: u64::from(block.records()),
            buffer: block.close(self.home.identity(), self.epoch, self.current.number, sequence),
            used,
            padded,
            offset: self.offset,
            last_lsn,
            full,
        };
        self.offset += padded as u64;
        self.sequence = sequence.next();
        self.in_flight = true;
        batch
    }

    /// Takes back what became of the batch, and says up to which record everything is durable now.
    ///
    /// # Errors
    /// [`LogFailed`]: nothing of this batch or after it will ever be durable in this run.
    pub fn committed(&mut self, flushed: Flushed<D::File>) -> Result<Lsn, LogFailed> {
        assert!(self.in_flight, "a batch is committed to the log that handed it out, once");
        self.in_flight = false;
        match flushed.result {
            Ok(buffer) => {
                if let Some(relay) = self.relay.as_mut().filter(|_| self.failed.is_none()) {
                    relay.give(flushed.segment, flushed.offset, &buffer.as_ref()[..flushed.used]);
                }
                self.free.push(buffer);
            }
            Err(failure) => self.failed = Some(self.failed.take().unwrap_or(failure)),
        }
        if let Some(failure) = &self.failed {
            if let Some(PaceHold(pace)) = &self.preparing {
                pace.end();
            }
            return Err(failure.clone());
        }
        self.durable = if planted::planted!("durable_as_soon_as_appended") {
            Lsn(self.next_lsn.0 - 1)
        } else {
            flushed.last_lsn
        };
        self.stats.flushes += 1;
        self.stats.records += flushed.records;
        self.stats.bytes += flushed.padded as u64;
        if let Some(PaceHold(pace)) = &self.preparing {
            pace.wrote(flushed.padded as u64);
        }
        Ok(self.durable)
    }

    /// The work of making the next segment, when it is due: there is none ahead and nobody makes one. Run it in the
    /// background and hand the result to [`Log::prepared`].
    pub fn take_preparation(&mut self) -> Option<Preparation<D>> {
        if self.preparing.is_some() || !self.spares.is_empty() || self.failed.is_some() {
            return None;
        }
        let pace = Pace::new(self.options.segment_bytes, self.current.bytes - self.offset);
        if self.stalled {
            pace.hurry();
        }
        self.preparing = Some(PaceHold(Rc::clone(&pace)));
        Some(Preparation {
            disk: self.disk.clone(),
            home: self.home.clone(),
            number: self.last_segment.next(),
            bytes: self.options.segment_bytes,
            pace,
        })
    }

    /// Takes the next segment, or why there is none.
    ///
    /// # Errors
    /// [`PrepareError::NoSpace`] leaves the log in order: it goes on in its current segment, and
    /// [`Log::take_preparation`] gives the work out again. Anything else ends the log.
    pub fn prepared(&mut self, prepared: Prepared<D::File>) -> Result<(), PrepareError> {
        assert!(self.preparing.is_some(), "a segment is handed to the log that asked for it, once");
        self.preparing = None;
        match prepared.result {
            Ok(segment) => {
                self.last_segment = segment.number;
                self.spares.push_back(segment);
                Ok(())
            }
            Err(fault) if fault.is_no_space() => {
                Err(PrepareError::NoSpace { path: fault.path, needed: fault.needed })
            }
            Err(fault) => {
                let failure = failed("prepare", &fault.path, fault.offset, fault.source);
                Err(self.failed.get_or_insert(failure).clone().into())
            }
        }
    }

    /// Closes the files. What was not durable is lost, as in a crash; flush before.
    ///
    /// # Errors
    /// [`StorageError::Io`]; nothing durable is in danger.
    pub async fn close(mut self) -> Result<(), StorageError> {
        self.spares.push_back(self.current);
        for segment in self.spares {
            if let Ok(file) = Rc::try_unwrap(segment.file) {
                file.close().await.map_err(StorageError::io("close", &segment.path))?;
            }
        }
        Ok(())
    }

    /// The last durable record.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// The LSN the next record will get.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// This start's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where the log is.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        LogPosition { durable: self.durable, segment: self.current.number }
    }

    /// True while a batch is out.
    #[must_use]
    pub fn is_flushing(&self) -> bool {
        self.in_flight
    }

    /// True when a batch waits for the next segment.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Bytes left in the current segment.
    #[must_use]
    pub fn segment_room_bytes(&self) -> usize {
        in_memory(self.current.bytes - self.offset)
    }

    /// The failure that ended the log, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<&LogFailed> {
        self.failed.as_ref()
    }

    /// What it has done since it started.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.stats
    }
}

async fn open_segment<D: Disk>(
    disk: &D,
    home: &ShardHome,
    number: SegmentNumber,
) -> Result<Segment<D::File>, StorageError> {
    let path = home.dir().join(path::segment_name(number));
    let file = disk.open(&path).await.map_err(StorageError::io("open", &path))?;
    let bytes = file.len().await.map_err(StorageError::io("measure", &path))?;
    Ok(Segment { file: Rc::new(file), path: Rc::from(path.as_path()), number, bytes })
}

async fn remove_interrupted<D: Disk>(disk: &D, home: &ShardHome) -> Result<(), StorageError> {
    let names = disk.list(home.dir()).await.map_err(StorageError::io("list", home.dir()))?;
    for name in names.iter().filter(|name| path::is_tmp(name)) {
        let path = home.dir().join(name);
        match disk.remove(&path).await {
            // A preparation of a log that ended in this very process removes its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(StorageError::io("remove", &path))?,
        }
    }
    // A segment that is gone on with may have got its name from a process that was killed before the name was durable.
    if planted::planted!("names_of_a_killed_start_not_synced") {
        return Ok(());
    }
    disk.sync_dir(home.dir()).await.map_err(StorageError::io("sync", home.dir()))
}
