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

mod inode;
mod random;
mod seam;
mod state;

pub use random::SimRandom;
pub use seam::SimFile;

use crate::limits::{PAGE_BYTES, in_memory};
use inode::Inode;
use state::{Change, Entry, Kind, State, Verdict};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
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

/// The simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
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
                bytes_read: 0,
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

    /// How many bytes of files were read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.state.borrow().bytes_read
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

    /// Lets the next operation that changes something fail once, if it is a write.
    pub fn fail_next_write(&self) {
        self.fail_write_at(self.operations());
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

    /// How many bytes all files have together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.borrow().used()
    }

    /// Names of the files in a directory, sorted.
    #[must_use]
    pub fn names(&self, dir: &Path) -> Vec<String> {
        let state = self.state.borrow();
        let here = state.seen.keys().filter(|path| path.parent() == Some(dir));
        here.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    }

    /// Puts other bytes into a file, for readers and for ever; false when there is no such file.
    ///
    /// # Panics
    /// When the file does not reach that far.
    pub fn overwrite(&self, path: &Path, offset: u64, bytes: &[u8]) -> bool {
        let Some(inode) = self.inode(path) else { return false };
        let range = in_memory(offset)..in_memory(offset) + bytes.len();
        inode.seen.borrow_mut()[range.clone()].copy_from_slice(bytes);
        if let Some(durable) = inode.durable.borrow_mut().get_mut(range) {
            durable.copy_from_slice(bytes);
        }
        true
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
