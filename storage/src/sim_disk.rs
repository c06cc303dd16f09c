//! A disk in memory that crashes, fills up, fails and rots on command, repeatably.
//!
//! **The fault model** (what code that runs on it may rely on, and no more):
//! - A write is visible at once to every reader. Until [`DiskFile::sync_data`] of that file has returned `Ok`, a crash
//!   keeps or loses each of its sectors on its own: sectors of 512 or of 4,096 bytes, chosen per crash. A lost
//!   sector has the content of the last sync, or zeros.
//! - Creating, renaming, removing and making a directory are visible at once. Until [`Disk::sync_dir`] of the parent has
//!   returned `Ok`, a crash keeps or loses each on its own; a rename is one step. What is below a lost directory is lost.
//! - [`SimDisk::crash_at`] stops the disk at one operation that changes something: a write or a change of a name may or
//!   may not have happened, a sync has not; every later operation fails until [`SimDisk::power_cycle`].
//! - A failed sync ([`SimDisk::fail_sync_at`]) has synced nothing; the next one may well succeed, as on Linux, after some
//!   of the sectors were dropped. A failed write ([`SimDisk::fail_write_at`]) has written any of its sectors.
//! - A full disk ([`SimDisk::set_capacity`]) refuses the write or creation that would exceed it, whole.
//! - Bits flip only where [`SimDisk::flip_bit`] says. Reads do not fail by themselves and are not reordered.
//! - [`SimDisk::kill_process`] is the end of the program, not of the machine: nothing that was written is lost, nothing is
//!   synced.
//!
//! Every operation suspends once before it acts, so that two tasks on one executor interleave.
//!
//! **Runs on**: one thread. **Bounds**: none; it is for tests.

use crate::limits::{PAGE_BYTES, in_memory};
use engine::seam::{Disk, DiskFile};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Runs `future` to its end on this thread, polling again and again. For futures that only wait for a [`SimDisk`].
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// A small seeded generator (SplitMix64): the same numbers for the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct SimRandom(u64);

impl SimRandom {
    /// A generator for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
}

/// An open file of it.
pub struct SimFile {
    state: Rc<RefCell<State>>,
    inode: Rc<Inode>,
    /// Of [`State::mount`] when it was opened.
    mount: u64,
}

#[derive(Default)]
struct Inode {
    /// What readers see.
    seen: RefCell<Vec<u8>>,
    /// What survives a crash for certain.
    durable: RefCell<Vec<u8>>,
    /// Pages written since the last sync.
    dirty: RefCell<BTreeSet<u64>>,
}

#[derive(Clone)]
enum Entry {
    File(Rc<Inode>),
    Directory,
}

/// A change of names that no directory sync has made durable yet.
enum Change {
    Add(PathBuf, Entry),
    Rename(PathBuf, PathBuf, Rc<Inode>),
    Remove(PathBuf),
}

impl Change {
    fn parent(&self) -> Option<&Path> {
        match self {
            Self::Add(path, _) | Self::Remove(path) | Self::Rename(_, path, _) => path.parent(),
        }
    }
    fn apply(self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Self::Add(path, entry) => drop(names.insert(path, entry)),
            Self::Remove(path) => drop(names.remove(&path)),
            Self::Rename(from, to, inode) => {
                names.remove(&from);
                names.insert(to, Entry::File(inode));
            }
        }
    }
}

struct State {
    random: SimRandom,
    seen: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    changes: Vec<Change>,
    operations: u64,
    buffers: u64,
    crash_at: Option<u64>,
    fail_sync_at: Option<u64>,
    fail_write_at: Option<u64>,
    capacity: u64,
    /// Grows with each crash; files opened before it are dead.
    mount: u64,
    down: bool,
}

/// What an operation is to come to.
enum Verdict {
    Go,
    /// Do part of it or nothing, then fail with this.
    Fail(io::Error),
}

impl SimDisk {
    /// An empty disk. `seed` decides what each crash keeps.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Entry::Directory)]);
        Self {
            state: Rc::new(RefCell::new(State {
                random: SimRandom::new(seed),
                seen: root.clone(),
                durable: root,
                changes: Vec::new(),
                operations: 0,
                buffers: 0,
                crash_at: None,
                fail_sync_at: None,
                fail_write_at: None,
                capacity: u64::MAX,
                mount: 0,
                down: false,
            })),
        }
    }

    /// How many operations that change something were begun so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.borrow().operations
    }

    /// How many buffers were allocated so far.
    #[must_use]
    pub fn buffers(&self) -> u64 {
        self.state.borrow().buffers
    }

    /// Stops the disk at operation `n`, counted from 0 as [`SimDisk::operations`] does.
    pub fn crash_at(&self, n: u64) {
        self.state.borrow_mut().crash_at = Some(n);
    }

    /// Takes back [`SimDisk::crash_at`], if it has not been reached.
    pub fn cancel_crash(&self) {
        self.state.borrow_mut().crash_at = None;
    }

    /// True after the operation named to [`SimDisk::crash_at`] has been reached.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.state.borrow().down
    }

    /// Lets operation `n`, if it is a data or directory sync, fail once.
    pub fn fail_sync_at(&self, n: u64) {
        self.state.borrow_mut().fail_sync_at = Some(n);
    }

    /// Lets operation `n`, if it is a write, fail once.
    pub fn fail_write_at(&self, n: u64) {
        self.state.borrow_mut().fail_write_at = Some(n);
    }

    /// Sets how many bytes the disk holds in all files together.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.borrow_mut().capacity = bytes;
    }

    /// Power fails and comes back: what was not synced is lost in part, by the seed. Open files are dead.
    pub fn power_cycle(&self) {
        let state = &mut *self.state.borrow_mut();
        let keep_all = state.random.one_in(4);
        let sector = if state.random.one_in(2) { 512 } else { PAGE_BYTES };
        let mut names = std::mem::take(&mut state.durable);
        for change in std::mem::take(&mut state.changes) {
            if keep_all || state.random.one_in(2) {
                change.apply(&mut names);
            }
        }
        let whole: BTreeSet<_> = names.keys().cloned().collect();
        names.retain(|path, _| path.ancestors().skip(1).all(|dir| whole.contains(dir)));
        for entry in names.values() {
            if let Entry::File(inode) = entry {
                inode.crash(&mut state.random, sector, keep_all);
            }
        }
        state.durable = names.clone();
        state.seen = names;
        state.restart();
    }

    /// The program ends and the machine goes on. Open files are dead.
    pub fn kill_process(&self) {
        self.state.borrow_mut().restart();
    }

    /// Flips bit `bit` (0 to 7) of the byte at `offset`, for readers and for ever.
    ///
    /// # Panics
    /// When there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        let inode = self.inode(path).expect("a bit is flipped in an existing file");
        inode.seen.borrow_mut()[in_memory(offset)] ^= 1 << bit;
        let mut durable = inode.durable.borrow_mut();
        if let Some(byte) = durable.get_mut(in_memory(offset)) {
            *byte ^= 1 << bit;
        }
    }

    /// The whole content of a file, or `None` when there is none.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.inode(path).map(|inode| inode.seen.borrow().clone())
    }

    /// Puts a file there, durably, replacing what was there; its directory too.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let state = &mut *self.state.borrow_mut();
        let inode = Rc::new(Inode {
            seen: RefCell::new(bytes.to_vec()),
            durable: RefCell::new(bytes.to_vec()),
            ..Inode::default()
        });
        for names in [&mut state.seen, &mut state.durable] {
            for dir in path.ancestors().skip(1) {
                names.insert(dir.to_owned(), Entry::Directory);
            }
            names.insert(path.to_owned(), Entry::File(Rc::clone(&inode)));
        }
    }

    /// Removes a file, durably.
    pub fn delete(&self, path: &Path) {
        let state = &mut *self.state.borrow_mut();
        state.seen.remove(path);
        state.durable.remove(path);
    }

    /// Paths and contents of all files: to see whether anything changed.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state.borrow();
        let file = |(path, entry): (&PathBuf, &Entry)| match entry {
            Entry::File(inode) => Some((path.clone(), inode.seen.borrow().clone())),
            Entry::Directory => None,
        };
        state.seen.iter().filter_map(file).collect()
    }

    fn inode(&self, path: &Path) -> Option<Rc<Inode>> {
        match self.state.borrow().seen.get(path) {
            Some(Entry::File(inode)) => Some(Rc::clone(inode)),
            _ => None,
        }
    }

    fn open_inode(&self, inode: Rc<Inode>) -> SimFile {
        SimFile { mount: self.state.borrow().mount, state: Rc::clone(&self.state), inode }
    }

    fn change(&self, make: impl FnOnce(&State) -> io::Result<Change>) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        let verdict = state.begin(Kind::Name)?;
        let change = make(state)?;
        if let Verdict::Fail(error) = verdict {
            if state.random.one_in(2) {
                state.record(change);
            }
            return Err(error);
        }
        state.record(change);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Sync,
    Name,
}

impl State {
    fn begin(&mut self, kind: Kind) -> io::Result<Verdict> {
        self.up()?;
        let n = self.operations;
        self.operations += 1;
        if self.crash_at == Some(n) {
            self.down = true;
            return Ok(Verdict::Fail(io::Error::other("simulated crash")));
        }
        let fails = |at: Option<u64>, failing| kind == failing && at == Some(n);
        if fails(self.fail_sync_at, Kind::Sync) || fails(self.fail_write_at, Kind::Write) {
            return Ok(Verdict::Fail(io::Error::other("simulated I/O error")));
        }
        Ok(Verdict::Go)
    }

    fn up(&self) -> io::Result<()> {
        if self.down { Err(io::Error::other("simulated crash before")) } else { Ok(()) }
    }

    fn record(&mut self, change: Change) {
        match &change {
            Change::Add(path, entry) => drop(self.seen.insert(path.clone(), entry.clone())),
            Change::Remove(path) => drop(self.seen.remove(path)),
            Change::Rename(from, to, inode) => {
                self.seen.remove(from);
                self.seen.insert(to.clone(), Entry::File(Rc::clone(inode)));
            }
        }
        self.changes.push(change);
    }

    fn restart(&mut self) {
        self.crash_at = None;
        self.fail_sync_at = None;
        self.fail_write_at = None;
        self.mount += 1;
        self.down = false;
    }

    fn used(&self) -> u64 {
        let bytes = |entry: &Entry| match entry {
            Entry::File(inode) => inode.seen.borrow().len() as u64,
            Entry::Directory => 0,
        };
        self.seen.values().map(bytes).sum()
    }

    fn is_dir(&self, path: &Path) -> bool {
        matches!(self.seen.get(path), Some(Entry::Directory))
    }
}

impl Inode {
    fn crash(&self, random: &mut SimRandom, sector: usize, keep_all: bool) {
        let seen = std::mem::take(&mut *self.seen.borrow_mut());
        let mut survives = std::mem::take(&mut *self.durable.borrow_mut());
        for page in std::mem::take(&mut *self.dirty.borrow_mut()) {
            let from = in_memory(page) * PAGE_BYTES;
            for at in (from..from + PAGE_BYTES).step_by(sector) {
                if keep_all || random.one_in(2) {
                    if survives.len() < at + sector {
                        survives.resize((at + sector).next_multiple_of(PAGE_BYTES), 0);
                    }
                    survives[at..at + sector].copy_from_slice(&seen[at..at + sector]);
                }
            }
        }
        self.seen.borrow_mut().clone_from(&survives);
        *self.durable.borrow_mut() = survives;
    }

    fn sync(&self) {
        let seen = self.seen.borrow();
        let mut durable = self.durable.borrow_mut();
        durable.resize(seen.len(), 0);
        for page in std::mem::take(&mut *self.dirty.borrow_mut()) {
            let at = in_memory(page) * PAGE_BYTES;
            durable[at..at + PAGE_BYTES].copy_from_slice(&seen[at..at + PAGE_BYTES]);
        }
    }

    /// Writes those pages of `bytes` that `keep` says, in order.
    fn write(&self, bytes: &[u8], offset: u64, mut keep: impl FnMut() -> bool) {
        let mut seen = self.seen.borrow_mut();
        let mut at = in_memory(offset);
        if seen.len() < at + bytes.len() {
            seen.resize(at + bytes.len(), 0);
        }
        for page in bytes.chunks_exact(PAGE_BYTES) {
            if keep() {
                seen[at..at + PAGE_BYTES].copy_from_slice(page);
                self.dirty.borrow_mut().insert((at / PAGE_BYTES) as u64);
            }
            at += PAGE_BYTES;
        }
    }
}

async fn suspend() {
    let mut suspended = false;
    poll_fn(|context| {
        if std::mem::replace(&mut suspended, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such file or directory: {}", path.display()))
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, path: &Path) -> io::Result<SimFile> {
        suspend().await;
        self.state.borrow().up()?;
        self.inode(path).map(|inode| self.open_inode(inode)).ok_or_else(|| missing(path))
    }

    async fn create_new(&self, path: &Path) -> io::Result<SimFile> {
        suspend().await;
        let inode = Rc::new(Inode::default());
        self.change(|state| {
            if state.seen.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !path.parent().is_some_and(|parent| state.is_dir(parent)) {
                return Err(missing(path));
            }
            if state.used() >= state.capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(Change::Add(path.to_owned(), Entry::File(Rc::clone(&inode))))
        })?;
        Ok(self.open_inode(inode))
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        suspend().await;
        let state = self.state.borrow();
        state.up()?;
        if !state.is_dir(dir) {
            return Err(missing(dir));
        }
        let child = |path: &&PathBuf| path.parent() == Some(dir);
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(state.seen.keys().filter(child).filter_map(name).collect())
    }

    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        suspend().await;
        let dirs: Vec<_> = dir.ancestors().map(Path::to_owned).collect();
        for dir in dirs.into_iter().rev() {
            if !self.state.borrow().is_dir(&dir) {
                self.change(|_| Ok(Change::Add(dir, Entry::Directory)))?;
            }
        }
        Ok(())
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        suspend().await;
        let inode = self.inode(from);
        self.change(|_| {
            Ok(Change::Rename(from.to_owned(), to.to_owned(), inode.ok_or_else(|| missing(from))?))
        })
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        suspend().await;
        self.change(|state| match state.seen.get(path) {
            Some(Entry::File(_)) => Ok(Change::Remove(path.to_owned())),
            _ => Err(missing(path)),
        })
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        suspend().await;
        let state = &mut *self.state.borrow_mut();
        if let Verdict::Fail(error) = state.begin(Kind::Sync)? {
            return Err(error);
        }
        if !state.is_dir(dir) {
            return Err(missing(dir));
        }
        for change in std::mem::take(&mut state.changes) {
            if change.parent() == Some(dir) {
                change.apply(&mut state.durable);
            } else {
                state.changes.push(change);
            }
        }
        Ok(())
    }
}

impl SimFile {
    fn alive(&self) -> io::Result<()> {
        if self.mount == self.state.borrow().mount {
            return Ok(());
        }
        Err(io::Error::other("this file was opened before the crash"))
    }
}

impl DiskFile for SimFile {
    type Buffer = Vec<u8>;

    fn buffer(&self, len: usize) -> Vec<u8> {
        self.state.borrow_mut().buffers += 1;
        vec![0; len]
    }

    async fn len(&self) -> io::Result<u64> {
        suspend().await;
        self.state.borrow().up()?;
        Ok(self.inode.seen.borrow().len() as u64)
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        suspend().await;
        self.state.borrow().up()?;
        check_aligned(offset, len);
        let seen = self.inode.seen.borrow();
        let from = in_memory(offset).min(seen.len());
        Ok(seen[from..seen.len().min(from + len)].to_vec())
    }

    async fn write_at(&self, buffer: Vec<u8>, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        suspend().await;
        self.alive()?;
        check_aligned(offset, len);
        let state = &mut *self.state.borrow_mut();
        let verdict = state.begin(Kind::Write)?;
        let grows = (offset + len as u64).saturating_sub(self.inode.seen.borrow().len() as u64);
        if grows > 0 && state.used() + grows > state.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match verdict {
            Verdict::Go => {
                self.inode.write(&buffer[..len], offset, || true);
                Ok(buffer)
            }
            Verdict::Fail(error) => {
                self.inode.write(&buffer[..len], offset, || state.random.one_in(2));
                Err(error)
            }
        }
    }

    async fn sync_data(&self) -> io::Result<()> {
        suspend().await;
        self.alive()?;
        match self.state.borrow_mut().begin(Kind::Sync)? {
            Verdict::Go => self.inode.sync(),
            Verdict::Fail(error) => return Err(error),
        }
        Ok(())
    }

    async fn close(self) -> io::Result<()> {
        suspend().await;
        Ok(())
    }
}

fn check_aligned(offset: u64, len: usize) {
    assert!(offset.is_multiple_of(PAGE_BYTES as u64), "direct I/O at an unaligned offset");
    assert!(len.is_multiple_of(PAGE_BYTES) && len > 0, "direct I/O of an unaligned length");
}
