//! The simulated disk under the server: takes time, stalls, fills up, fails.
//!
//! **Runs on**: the simulator's thread. **Owns**: what is under way on it, by kind of file, and what was made to fail in this life.
//! **Invariants**: what the inner disk keeps and loses in a crash is its own fault model (`storage::sim_disk`); here are time and
//! errors. A failed sync has synced nothing, a late one has.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine::seam::{Disk, DiskFile, Nanos};
use storage::sim_disk::{SimDisk, SimFile, SimRandom};

use super::disk_check::Failure;
use super::executor::Executor;
use super::faults::Fault;

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment of the log in use.
    Log,
    /// A segment in the making.
    Segment,
    /// A snapshot.
    Snapshot,
    /// `CURRENT`, directories.
    Other,
}

const KINDS: usize = 4;

impl Kind {
    /// Whether a shard's log ends with a failed write or sync of such a file.
    pub(super) const fn is_of_log(self) -> bool {
        matches!(self, Self::Log | Self::Segment)
    }
}

/// Whose directory a path is in.
fn shard_of(path: &Path) -> Option<u16> {
    path.iter().find_map(|part| part.to_str()?.strip_prefix("shard-")?.parse().ok())
}

fn kind_of(path: &Path) -> Kind {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    match (name.starts_with("seg-"), name.starts_with("snap-"), name.ends_with(".tmp")) {
        (true, _, true) => Kind::Segment,
        (true, _, false) => Kind::Log,
        (_, true, _) => Kind::Snapshot,
        _ => Kind::Other,
    }
}

/// What the disk says of an operation that was made to fail; the disk within says the same.
pub(super) const IO_ERROR: &str = "simulated I/O error";
/// The longest that a late sync takes.
pub(super) const SYNC_LATE_MAX: Nanos = Nanos::from_millis(4_000);

/// What the disk is to do, and what it is doing.
pub(super) struct Controls {
    executor: Rc<Executor>,
    random: RefCell<SimRandom>,
    /// Longest time of an operation without a fault, in nanoseconds.
    operation_ns_max: u64,
    /// The next sync of a file or a directory fails.
    pub(super) sync_fails: Cell<bool>,
    /// The next data sync takes this long.
    pub(super) sync_late: Cell<Option<Nanos>>,
    /// The next write, creation or renaming fails.
    pub(super) write_fails: Cell<bool>,
    /// Every operation waits until then.
    stalled_until: Cell<Nanos>,
    /// Nobody has waited for that yet.
    stall_unfelt: Cell<bool>,
    /// The disk is full, and nobody was refused for it yet.
    full_unfelt: Cell<bool>,
    under_way: [Cell<u32>; KINDS],
    /// What was made to fail since the last start began.
    pub(super) failures: RefCell<Vec<Failure>>,
    /// Is told of a fault when it strikes.
    pub(super) on_strike: RefCell<Option<OnStrike>>,
}

/// Who is told of a fault when it strikes.
pub(super) type OnStrike = Rc<dyn Fn(Fault)>;

impl Controls {
    fn strike(&self, fault: Fault) {
        let told = self.on_strike.borrow().clone();
        if let Some(told) = told {
            told(fault);
        }
    }

    /// An operation on a file of this kind in this directory fails.
    fn fail(&self, fault: Fault, what: &'static str, kind: Kind, shard: Option<u16>) {
        self.failures.borrow_mut().push(Failure { at: self.executor.now(), what, kind, shard });
        self.strike(fault);
    }

    /// Strikes with an armed fault: the operation is not done.
    fn refuse(&self, fault: Fault, what: &'static str, kind: Kind, shard: Option<u16>) -> io::Result<()> {
        let armed = if fault == Fault::SyncFails { &self.sync_fails } else { &self.write_fails };
        if !armed.replace(false) {
            return Ok(());
        }
        self.fail(fault, what, kind, shard);
        Err(io::Error::other(format!("{IO_ERROR} of a {what}")))
    }

    /// Every operation waits until then.
    pub(super) fn stall(&self, until: Nanos) {
        self.stalled_until.set(until);
        self.stall_unfelt.set(true);
    }

    /// Nothing more fits on the disk within: who is refused first is counted.
    pub(super) fn fill(&self) {
        self.full_unfelt.set(true);
    }

    /// Counts the first who was refused for room.
    fn refused<T>(&self, result: &io::Result<T>) {
        let refused = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        if refused && self.full_unfelt.replace(false) {
            self.strike(Fault::DiskFull);
        }
    }

    pub(super) fn is_under_way(&self, kind: Kind) -> bool {
        self.under_way[kind as usize].get() > 0
    }

    /// No fault from now on; what was lost is lost.
    pub(super) fn heal(&self) {
        self.sync_fails.set(false);
        self.sync_late.set(None);
        self.write_fails.set(false);
        self.stalled_until.set(Nanos(0));
        self.stall_unfelt.set(false);
        self.full_unfelt.set(false);
    }

    async fn take_time(&self) {
        let span = Nanos(self.random.borrow_mut().below(self.operation_ns_max) + 10_000);
        self.executor.sleep(span).await;
        while self.executor.now() < self.stalled_until.get() {
            if self.stall_unfelt.replace(false) {
                self.strike(Fault::DiskStalls);
            }
            self.executor.sleep_until(self.stalled_until.get()).await;
        }
    }
}

/// An operation under way; its end is seen when it is dropped.
struct UnderWay<'a>(&'a Cell<u32>);

impl<'a> UnderWay<'a> {
    fn new(controls: &'a Controls, kind: Kind) -> Self {
        let count = &controls.under_way[kind as usize];
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(super) struct FaultyDisk {
    pub(super) inner: SimDisk,
    pub(super) controls: Rc<Controls>,
    /// What files that were made are now, by the name they were made under.
    made: Rc<RefCell<BTreeMap<PathBuf, Rc<Cell<Kind>>>>>,
    /// What got its name last in each directory, until the directory is synced: that sync is part of its making.
    named: Rc<RefCell<BTreeMap<PathBuf, Kind>>>,
}

impl FaultyDisk {
    pub(super) fn new(seed: u64, executor: &Rc<Executor>, operation_ns_max: u64) -> Self {
        Self {
            inner: SimDisk::new(seed),
            controls: Rc::new(Controls {
                executor: Rc::clone(executor),
                random: RefCell::new(SimRandom::new(!seed)),
                operation_ns_max,
                sync_fails: Cell::new(false),
                sync_late: Cell::new(None),
                write_fails: Cell::new(false),
                stalled_until: Cell::new(Nanos(0)),
                stall_unfelt: Cell::new(false),
                full_unfelt: Cell::new(false),
                under_way: Default::default(),
                failures: RefCell::default(),
                on_strike: RefCell::new(None),
            }),
            made: Rc::default(),
            named: Rc::default(),
        }
    }

    fn file(&self, path: &Path, inner: SimFile) -> FaultyFile {
        FaultyFile {
            inner,
            disk: self.inner.clone(),
            controls: Rc::clone(&self.controls),
            kind: Rc::new(Cell::new(kind_of(path))),
            shard: shard_of(path),
        }
    }
}

/// A file of it.
pub(super) struct FaultyFile {
    inner: SimFile,
    disk: SimDisk,
    controls: Rc<Controls>,
    kind: Rc<Cell<Kind>>,
    shard: Option<u16>,
}

impl Disk for FaultyDisk {
    type File = FaultyFile;

    async fn open(&self, path: &Path) -> io::Result<FaultyFile> {
        self.controls.take_time().await;
        Ok(self.file(path, self.inner.open(path).await?))
    }

    async fn create_new(&self, path: &Path) -> io::Result<FaultyFile> {
        let _under_way = UnderWay::new(&self.controls, kind_of(path));
        self.controls.take_time().await;
        self.controls.refuse(Fault::WriteFails, "creation", kind_of(path), shard_of(path))?;
        let created = self.inner.create_new(path).await;
        self.controls.refused(&created);
        let file = self.file(path, created?);
        self.made.borrow_mut().insert(path.to_owned(), Rc::clone(&file.kind));
        Ok(file)
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.controls.take_time().await;
        self.inner.list(dir).await
    }

    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.controls.take_time().await;
        self.inner.create_dir_all(dir).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _under_way = UnderWay::new(&self.controls, kind_of(from));
        self.controls.take_time().await;
        self.controls.refuse(Fault::WriteFails, "renaming", kind_of(from), shard_of(from))?;
        self.inner.rename(from, to).await?;
        if let Some(dir) = to.parent() {
            self.named.borrow_mut().insert(dir.to_owned(), kind_of(from));
        }
        if let Some(kind) = self.made.borrow_mut().remove(from) {
            kind.set(kind_of(to));
        }
        Ok(())
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.controls.take_time().await;
        self.inner.remove(path).await
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let _under_way = UnderWay::new(&self.controls, Kind::Other);
        // Who gives a file its name syncs the directory at once.
        let of = self.named.borrow_mut().remove(dir).unwrap_or(Kind::Other);
        self.controls.take_time().await;
        self.controls.refuse(Fault::SyncFails, "sync of a directory", of, shard_of(dir))?;
        self.inner.sync_dir(dir).await
    }
}

impl DiskFile for FaultyFile {
    type Buffer = <SimFile as DiskFile>::Buffer;

    fn buffer(&self, len: usize) -> Self::Buffer {
        self.inner.buffer(len)
    }

    async fn len(&self) -> io::Result<u64> {
        self.inner.len().await
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.controls.take_time().await;
        self.inner.read_at(offset, len).await
    }

    async fn write_at(&self, buffer: Self::Buffer, len: usize, offset: u64) -> io::Result<Self::Buffer> {
        let _under_way = UnderWay::new(&self.controls, self.kind.get());
        self.controls.take_time().await;
        if self.controls.write_fails.replace(false) {
            self.disk.fail_next_write();
        }
        let written = self.inner.write_at(buffer, len, offset).await;
        self.controls.refused(&written);
        // The disk may have been full, or the next operation somebody else's.
        if written.as_ref().is_err_and(|error| error.to_string() == IO_ERROR) {
            self.controls.fail(Fault::WriteFails, "write", self.kind.get(), self.shard);
        }
        written
    }

    async fn sync_data(&self) -> io::Result<()> {
        let _under_way = UnderWay::new(&self.controls, self.kind.get());
        self.controls.take_time().await;
        self.controls.refuse(Fault::SyncFails, "sync", self.kind.get(), self.shard)?;
        let synced = self.inner.sync_data().await;
        if let Some(span) = self.controls.sync_late.take() {
            self.controls.strike(Fault::SyncLate);
            self.controls.executor.sleep(span).await;
        }
        synced
    }

    async fn close(self) -> io::Result<()> {
        self.inner.close().await
    }
}
