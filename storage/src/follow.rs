//! Reading a shard's log while it is being written, and finding where to begin.
//!
//! **Runs on**: any thread that has the disk. **Owns**: one open segment and a chunk of it.
//! **Invariants**: gives records in order, each once, and never one beyond what the caller says is durable: what is in flight
//! may be torn, or may never be acknowledged. The chain of sequences decides as in [`crate::recover`]; what is durable and not
//! found is an error, never stepped over.
//! **Bounds**: one chunk of a segment in memory; pages of a torn write are looked through to the end of their segment.
//! **Never**: writes.

use std::convert::Infallible;
use std::path::PathBuf;

use engine::seam::Disk;

use crate::block::{self, BlockFault, BlockHeader};
use crate::error::{RecoverError, StorageError};
use crate::generation::ShardHome;
use crate::identity::{BlockSequence, Epoch, Generation, Lsn, SegmentNumber};
use crate::limits::PAGE_BYTES;
use crate::path;
use crate::relay::RelayReader;
use crate::scan::{covering, first_lsn, read_block};
use crate::snapshot::DurableSnapshot;
use crate::snapshot_file;
use crate::window::Window;

/// See the module's head.
pub struct Follower<D: Disk> {
    disk: D,
    home: ShardHome,
    segment: SegmentNumber,
    window: Window<D::File>,
    /// Which segment the window is of: another one while blocks come from a relay.
    opened: SegmentNumber,
    /// Where the next block is looked for.
    offset: u64,
    /// What it must be, when that is known.
    sequence: Option<BlockSequence>,
    epoch: Epoch,
    /// The next record to give.
    next: Lsn,
}

async fn open<D: Disk>(
    disk: &D,
    home: &ShardHome,
    number: SegmentNumber,
) -> Result<Window<D::File>, StorageError> {
    let path = home.dir().join(path::segment_name(number));
    let file = disk.open(&path).await.map_err(StorageError::io("open", &path))?;
    Window::new(file).await.map_err(StorageError::io("measure", &path))
}

async fn listed<D: Disk>(disk: &D, home: &ShardHome) -> Result<(Vec<SegmentNumber>, Vec<Lsn>), StorageError> {
    let names = disk.list(home.dir()).await.map_err(StorageError::io("list", home.dir()))?;
    let mut segments: Vec<_> = names.iter().filter_map(|name| path::parse_segment(name)).collect();
    segments.sort_unstable();
    let mut snapshots: Vec<_> = names.iter().filter_map(|name| path::parse_snapshot(name)).collect();
    snapshots.sort_unstable_by(|a, b| b.cmp(a));
    Ok((segments, snapshots))
}

impl<D: Disk> Follower<D> {
    /// One whose first record is `from`.
    ///
    /// # Errors
    /// [`StorageError::NoBase`] when the log does not reach back that far, else [`StorageError::Io`].
    pub async fn open(disk: D, home: &ShardHome, from: Lsn) -> Result<Self, StorageError> {
        let (segments, _) = listed(&disk, home).await?;
        let offset = PAGE_BYTES as u64;
        let found = covering(&disk, home.dir(), home.identity(), &segments, from).await?;
        let (place, sequence) = match found {
            Some(place) => (place, None),
            // The very first block may be a torn write that was stepped over: the chain begins with the first good one.
            None if segments.first() == Some(&SegmentNumber(1)) => (0, Some(BlockSequence(1))),
            None => return Err(Self::reaches_not(&disk, home, &segments, from).await?),
        };
        let segment = segments[place];
        let window = open(&disk, home, segment).await?;
        let home = home.clone();
        let (opened, epoch) = (segment, Epoch(0));
        Ok(Self { disk, home, segment, window, opened, offset, sequence, epoch, next: from })
    }

    async fn reaches_not(
        disk: &D,
        home: &ShardHome,
        segments: &[SegmentNumber],
        from: Lsn,
    ) -> Result<StorageError, StorageError> {
        let first = match segments.first() {
            Some(&number) => first_lsn(disk, home.dir(), home.identity(), number).await?,
            None => None,
        };
        let (dir, first) = (home.dir().to_owned(), first.unwrap_or_default());
        Ok(StorageError::NoBase { dir, first, detail: format!("record {from} is wanted") })
    }

    fn path(&self) -> PathBuf {
        self.home.dir().join(path::segment_name(self.segment))
    }

    /// Gives records up to `durable`, at most `records_max` of them and no more once they have `bytes_max` bytes; how many.
    /// Fewer than there are only for these bounds. What the relay of this log has is not read from its files.
    ///
    /// # Errors
    /// [`StorageError::Corruption`] when what is durable is not there; [`StorageError::Io`].
    pub async fn next(
        &mut self,
        mut relay: Option<&mut RelayReader>,
        durable: Lsn,
        (records_max, bytes_max): (usize, usize),
        visit: &mut impl FnMut(Lsn, &[u8]),
    ) -> Result<usize, StorageError> {
        let mut room = Room { durable, records: records_max, bytes: bytes_max };
        while self.next <= durable && room.records > 0 && room.bytes > 0 {
            let before = room.records;
            if let Some(relay) = &mut relay
                && let Some(relayed) = relay.at(self.next, self.home.identity())
                && self.fault_of_chain(&relayed.header).is_none()
            {
                (self.segment, self.offset) = (relayed.segment, relayed.offset);
                let (header, block) = (relayed.header, relayed.block);
                if give(block, &header, &mut self.next, &mut room, visit) {
                    self.pass(&header);
                    relay.let_go();
                }
                relay.count(before - room.records);
                continue;
            }
            let header = self.find(durable).await?;
            let path = self.path();
            let block = self.window.at(self.offset, header.bytes()).await;
            let block = block.map_err(StorageError::io("read", &path))?;
            if give(block, &header, &mut self.next, &mut room, visit) {
                self.pass(&header);
            }
        }
        Ok(records_max - room.records)
    }

    /// Stands behind this block.
    fn pass(&mut self, header: &BlockHeader) {
        self.offset += header.padded_bytes() as u64;
        self.sequence = Some(header.sequence.next());
        self.epoch = header.epoch;
    }

    /// Has the file open that it stands in.
    async fn enter(&mut self) -> Result<(), StorageError> {
        if self.opened == self.segment {
            return Ok(());
        }
        let window = open(&self.disk, &self.home, self.segment).await?;
        let path = self.home.dir().join(path::segment_name(self.opened));
        let spent = std::mem::replace(&mut self.window, window);
        self.opened = self.segment;
        spent.close().await.map_err(StorageError::io("close", &path))
    }

    /// Stands at the next block of the chain and gives its header. There is one: something durable is in it or after it.
    async fn find(&mut self, durable: Lsn) -> Result<BlockHeader, StorageError> {
        let mut first_fault: Option<(PathBuf, u64, BlockFault)> = None;
        self.enter().await?;
        loop {
            let fault = match self.look().await? {
                Ok(header) => {
                    let path = self.path();
                    self.check_chain(&header, &path)?;
                    return Ok(header);
                }
                Err(fault) => fault,
            };
            let blank = fault == BlockFault::Blank;
            if first_fault.as_ref().is_none_or(|(_, _, first)| *first == BlockFault::Blank && !blank) {
                first_fault = Some((self.path(), self.offset, fault));
            }
            if self.go_over().await? {
                continue;
            }
            self.offset += PAGE_BYTES as u64;
            // The next segment may begin with a torn write as well.
            if self.offset >= self.window.len() && !self.enter_next().await? {
                let (path, offset, fault) = first_fault.expect("it was just set");
                let reason =
                    format!("{fault}; record {} belongs here or after, and {durable} is durable", self.next);
                return Err(StorageError::corrupt(&path, offset, reason));
            }
        }
    }

    /// The block at `offset`, read anew when what is in memory may be older than it.
    async fn look(&mut self) -> Result<Result<BlockHeader, BlockFault>, StorageError> {
        let path = self.path();
        if self.offset >= self.window.len() {
            return Ok(Err(BlockFault::Blank));
        }
        let (identity, segment) = (*self.home.identity(), self.segment);
        let found = read_block(&mut self.window, self.offset, &identity, segment).await;
        let found = found.map_err(StorageError::io("read", &path))?;
        if found.is_ok() {
            return Ok(found);
        }
        self.window.forget();
        let found = read_block(&mut self.window, self.offset, &identity, segment).await;
        found.map_err(StorageError::io("read", &path))
    }

    /// The next segment, when there is one.
    async fn next_segment(&self) -> Result<Option<Window<D::File>>, StorageError> {
        let path = self.home.dir().join(path::segment_name(self.segment.next()));
        match self.disk.open(&path).await {
            Ok(file) => Window::new(file).await.map(Some).map_err(StorageError::io("measure", &path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("open", &path)(error)),
        }
    }

    /// Looks on in the next segment, whatever it begins with. False when there is none.
    async fn enter_next(&mut self) -> Result<bool, StorageError> {
        let Some(window) = self.next_segment().await? else { return Ok(false) };
        let path = self.path();
        let spent = std::mem::replace(&mut self.window, window);
        (self.segment, self.offset) = (self.segment.next(), PAGE_BYTES as u64);
        self.opened = self.segment;
        spent.close().await.map_err(StorageError::io("close", &path))?;
        Ok(true)
    }

    /// Goes over to the next segment, when the chain goes on at its beginning.
    async fn go_over(&mut self) -> Result<bool, StorageError> {
        let number = self.segment.next();
        let path = self.home.dir().join(path::segment_name(number));
        let Some(mut window) = self.next_segment().await? else { return Ok(false) };
        let identity = *self.home.identity();
        let found = read_block(&mut window, PAGE_BYTES as u64, &identity, number).await;
        let found = found.map_err(StorageError::io("read", &path))?;
        let goes_on = found.is_ok_and(|header| {
            self.sequence.map_or(header.first_lsn <= self.next, |sequence| header.sequence == sequence)
        });
        let spent = if goes_on {
            (self.segment, self.opened, self.offset) = (number, number, PAGE_BYTES as u64);
            std::mem::replace(&mut self.window, window)
        } else {
            window
        };
        spent.close().await.map_err(StorageError::io("close", &path))?;
        Ok(goes_on)
    }

    fn check_chain(&self, header: &BlockHeader, path: &std::path::Path) -> Result<(), StorageError> {
        match self.fault_of_chain(header) {
            None => Ok(()),
            Some(reason) => Err(StorageError::corrupt(path, self.offset, reason)),
        }
    }

    /// Why this block is not the next one of the chain.
    fn fault_of_chain(&self, header: &BlockHeader) -> Option<String> {
        let right = self.sequence.is_none_or(|sequence| sequence == header.sequence);
        let is_next = right && header.epoch >= self.epoch && header.first_lsn <= self.next;
        let reason = || {
            format!(
                "block {} (record {}) of epoch {} is where block {:?} (record {}) of epoch {} or later belongs",
                header.sequence, header.first_lsn, header.epoch, self.sequence, self.next, self.epoch
            )
        };
        (!is_next).then(reason)
    }
}

/// What may be given yet.
struct Room {
    durable: Lsn,
    records: usize,
    bytes: usize,
}

/// Gives a block's records from `next` on as far as there is room. Whether that was all of them.
fn give(
    block: &[u8],
    header: &BlockHeader,
    next: &mut Lsn,
    room: &mut Room,
    visit: &mut impl FnMut(Lsn, &[u8]),
) -> bool {
    for (place, (_, record)) in block::records(block, header).enumerate() {
        let lsn = Lsn(header.first_lsn.0 + place as u64);
        if lsn < *next {
            continue;
        }
        if lsn > room.durable || room.records == 0 || room.bytes == 0 {
            return false;
        }
        visit(lsn, record);
        room.records -= 1;
        room.bytes = room.bytes.saturating_sub(record.len());
        *next = lsn.next();
    }
    true
}

/// The bytes of a durable record; `None` when the log does not reach back to it.
///
/// # Errors
/// [`StorageError`].
pub async fn record_at<D: Disk>(
    disk: &D,
    home: &ShardHome,
    lsn: Lsn,
) -> Result<Option<Vec<u8>>, StorageError> {
    let (segments, _) = listed(disk, home).await?;
    let covered = covering(disk, home.dir(), home.identity(), &segments, lsn).await?.is_some();
    if !covered && first_record(disk, home, &segments).await?.is_none_or(|first| first > lsn) {
        return Ok(None);
    }
    let mut follower = Follower::open(disk.clone(), home, lsn).await?;
    let path = follower.path();
    let mut record = None;
    let take = &mut |_, bytes: &[u8]| record = Some(bytes.to_vec());
    let read = follower.next(None, lsn, (1, usize::MAX), take).await;
    follower.window.close().await.map_err(StorageError::io("close", &path))?;
    read.map(|_| record)
}

/// Where a copy of the state can begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// With nothing: the log is whole.
    Beginning,
    /// With a snapshot.
    Snapshot(DurableSnapshot),
}

/// Reads a snapshot's sections.
///
/// # Errors
/// [`StorageError`]; sections given before it are void.
pub async fn read_sections<D: Disk>(
    disk: &D,
    home: &ShardHome,
    snapshot: &DurableSnapshot,
    visit: &mut impl FnMut(&[u8]),
) -> Result<(), StorageError> {
    let section = &mut |_, _, bytes: &[u8]| {
        visit(bytes);
        Ok::<_, Infallible>(())
    };
    let read =
        snapshot_file::read(disk, &snapshot.path, snapshot.start, Some(home.identity()), section).await;
    read.map(|_| ()).map_err(certain)
}

fn certain(error: RecoverError<Infallible>) -> StorageError {
    match error {
        RecoverError::Storage(error) => error,
        RecoverError::Visitor { source, .. } => match source {},
    }
}

/// Whether the log is whole from its first record on.
async fn is_whole<D: Disk>(
    disk: &D,
    home: &ShardHome,
    segments: &[SegmentNumber],
) -> Result<bool, StorageError> {
    if home.identity().generation != Generation(1) || segments.first() != Some(&SegmentNumber(1)) {
        return Ok(false);
    }
    // A first block that is torn was stepped over by the first start.
    let first = first_lsn(disk, home.dir(), home.identity(), SegmentNumber(1)).await?;
    Ok(first.is_none_or(|first| first == Lsn(1)))
}

/// The first of these snapshots that is whole, that the log reaches back to and that `wanted` says yes to, by its start and the
/// last record it reflects. Only one that says by its end that it may be it is read: each is as large as the state.
async fn choose<D: Disk>(
    disk: &D,
    home: &ShardHome,
    (segments, snapshots): (&[SegmentNumber], &[Lsn]),
    wanted: impl Fn(Lsn, Lsn) -> bool,
) -> Result<Option<DurableSnapshot>, StorageError> {
    for &start in snapshots {
        let file = home.dir().join(path::snapshot_name(start));
        let claimed = snapshot_file::claims(disk, &file).await?;
        if !claimed.is_some_and(|reflects| wanted(start, reflects)) {
            continue;
        }
        let mut only_check = |_, _, _: &[u8]| Ok::<_, Infallible>(());
        let read = snapshot_file::read(disk, &file, start, Some(home.identity()), &mut only_check).await;
        let snapshot = match read.map_err(certain) {
            Ok(snapshot) => snapshot,
            Err(StorageError::Corruption(_)) => continue,
            Err(error) => return Err(error),
        };
        if !wanted(start, snapshot.reflects) {
            continue;
        }
        // The log also reaches back to its first snapshot when its first block is a torn write that was stepped over.
        let from_first = segments.first() == Some(&SegmentNumber(1))
            && first_record(disk, home, segments).await?.is_none_or(|first| first == start);
        let held = snapshot.among(segments);
        if from_first || covering(disk, home.dir(), home.identity(), held, start).await?.is_some() {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

/// Where a copy of the state as of record `at` can begin: the newest snapshot that shows nothing after it.
///
/// # Errors
/// [`StorageError::NoBase`] when there is none and the log is not whole.
pub async fn base_for<D: Disk>(disk: &D, home: &ShardHome, at: Lsn) -> Result<Base, StorageError> {
    let (segments, snapshots) = listed(disk, home).await?;
    let chosen =
        choose(disk, home, (&segments, beginning_by(&snapshots, at)), |_, reflects| reflects <= at).await?;
    if let Some(snapshot) = chosen {
        return Ok(Base::Snapshot(snapshot));
    }
    if is_whole(disk, home, &segments).await? {
        return Ok(Base::Beginning);
    }
    let first = snapshots.last().copied().unwrap_or_default();
    let detail = format!("nothing from before record {} is left", at.next());
    Err(StorageError::NoBase { dir: home.dir().to_owned(), first, detail })
}

/// Those of these snapshots, newest first, that can show nothing after record `at`: each shows all before its start.
fn beginning_by(snapshots: &[Lsn], at: Lsn) -> &[Lsn] {
    &snapshots[snapshots.partition_point(|start| start.0 > at.0.saturating_add(1))..]
}

/// What may be removed behind the last but one snapshot `previous`, when everything after record `hold` has to stay for
/// whoever follows: behind the newest snapshot that shows nothing after it. `None`: nothing yet, or no more than was removed
/// behind `done`.
///
/// # Errors
/// [`StorageError`].
pub async fn removable_behind<D: Disk>(
    disk: &D,
    home: &ShardHome,
    previous: &DurableSnapshot,
    hold: Lsn,
    done: Option<&DurableSnapshot>,
) -> Result<Option<DurableSnapshot>, StorageError> {
    if previous.reflects <= hold {
        return Ok(Some(previous.clone()));
    }
    let (segments, mut snapshots) = listed(disk, home).await?;
    snapshots.retain(|start| *start < previous.start && done.is_none_or(|done| *start > done.start));
    choose(disk, home, (&segments, beginning_by(&snapshots, hold)), |_, reflects| reflects <= hold).await
}

/// Where the logs of a generation that goes on from another begin: a snapshot of everything before its first record.
///
/// # Errors
/// [`StorageError::NoBase`] when that is not there (any more), or damaged.
pub async fn seed_base<D: Disk>(disk: &D, home: &ShardHome) -> Result<Base, StorageError> {
    let (segments, snapshots) = listed(disk, home).await?;
    let begins = first_record(disk, home, &segments).await?;
    // A snapshot of the running shard that shows nothing more has the same name, and replaces the first one.
    let is_first = |start: Lsn, reflects: Lsn| {
        reflects.0 == start.0.saturating_sub(1) && begins.is_none_or(|first| first == start)
    };
    match choose(disk, home, (&segments, &snapshots), is_first).await? {
        Some(snapshot) => Ok(Base::Snapshot(snapshot)),
        None => {
            let detail = "the snapshot that this generation began with is wanted".to_owned();
            Err(StorageError::NoBase { dir: home.dir().to_owned(), first: Lsn(0), detail })
        }
    }
}

/// The number that the first record of a whole log has or will have; `None` when there is no block yet, or no first segment.
async fn first_record<D: Disk>(
    disk: &D,
    home: &ShardHome,
    segments: &[SegmentNumber],
) -> Result<Option<Lsn>, StorageError> {
    if segments.first() != Some(&SegmentNumber(1)) {
        return Ok(None);
    }
    let path = home.dir().join(path::segment_name(SegmentNumber(1)));
    let mut window = open(disk, home, SegmentNumber(1)).await?;
    let (mut offset, mut found) = (PAGE_BYTES as u64, None);
    while found.is_none() && offset < window.len() {
        let block = read_block(&mut window, offset, home.identity(), SegmentNumber(1)).await;
        found = block.map_err(StorageError::io("read", &path))?.ok().map(|header| header.first_lsn);
        offset += PAGE_BYTES as u64;
    }
    window.close().await.map_err(StorageError::io("close", &path))?;
    Ok(found)
}

/// The oldest place that a history can begin at.
///
/// # Errors
/// [`StorageError::NoBase`].
pub async fn oldest_base<D: Disk>(disk: &D, home: &ShardHome) -> Result<Base, StorageError> {
    let (segments, mut snapshots) = listed(disk, home).await?;
    if is_whole(disk, home, &segments).await? {
        return Ok(Base::Beginning);
    }
    snapshots.reverse();
    match choose(disk, home, (&segments, &snapshots), |_, _| true).await? {
        Some(snapshot) => Ok(Base::Snapshot(snapshot)),
        None => {
            let detail = "there is no usable snapshot".to_owned();
            Err(StorageError::NoBase { dir: home.dir().to_owned(), first: Lsn(0), detail })
        }
    }
}
