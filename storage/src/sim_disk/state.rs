//! The simulated disk's state: names, what of them is durable, and the faults to come.

use super::inode::Inode;
use super::random::SimRandom;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(Clone)]
pub(super) enum Entry {
    File(Rc<Inode>),
    Directory,
}

/// A change of names that no directory sync has made durable yet.
pub(super) enum Change {
    Add(PathBuf, Entry),
    Rename(PathBuf, PathBuf, Rc<Inode>),
    Remove(PathBuf),
}

impl Change {
    pub(super) fn parent(&self) -> Option<&Path> {
        match self {
            Self::Add(path, _) | Self::Remove(path) | Self::Rename(_, path, _) => path.parent(),
        }
    }
    pub(super) fn apply(self, names: &mut BTreeMap<PathBuf, Entry>) {
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

pub(super) struct State {
    pub(super) random: SimRandom,
    pub(super) seen: BTreeMap<PathBuf, Entry>,
    pub(super) durable: BTreeMap<PathBuf, Entry>,
    pub(super) changes: Vec<Change>,
    pub(super) operations: u64,
    pub(super) buffers: u64,
    pub(super) bytes_read: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) fail_sync_at: Option<u64>,
    pub(super) fail_write_at: Option<u64>,
    pub(super) capacity: u64,
    /// Grows with each crash; files opened before it are dead.
    pub(super) mount: u64,
    pub(super) down: bool,
}

/// What an operation is to come to.
pub(super) enum Verdict {
    Go,
    /// Do part of it or nothing, then fail with this.
    Fail(io::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Sync,
    Name,
}

impl State {
    pub(super) fn begin(&mut self, kind: Kind) -> io::Result<Verdict> {
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

    pub(super) fn up(&self) -> io::Result<()> {
        if self.down { Err(io::Error::other("simulated crash before")) } else { Ok(()) }
    }

    pub(super) fn record(&mut self, change: Change) {
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

    pub(super) fn restart(&mut self) {
        self.crash_at = None;
        self.fail_sync_at = None;
        self.fail_write_at = None;
        self.mount += 1;
        self.down = false;
    }

    pub(super) fn used(&self) -> u64 {
        let bytes = |entry: &Entry| match entry {
            Entry::File(inode) => inode.seen.borrow().len() as u64,
            Entry::Directory => 0,
        };
        self.seen.values().map(bytes).sum()
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        matches!(self.seen.get(path), Some(Entry::Directory))
    }
}
