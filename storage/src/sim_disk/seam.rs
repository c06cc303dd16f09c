//! The seam on the simulated disk.

use super::SimDisk;
use super::inode::Inode;
use super::state::{Change, Entry, Kind, State, Verdict};
use crate::limits::{PAGE_BYTES, in_memory};
use engine::seam::{Disk, DiskFile};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;

/// An open file of it.
pub struct SimFile {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) inode: Rc<Inode>,
    /// Of [`State::mount`] when it was opened.
    pub(super) mount: u64,
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
        let bytes = seen[from..seen.len().min(from + len)].to_vec();
        self.state.borrow_mut().bytes_read += bytes.len() as u64;
        Ok(bytes)
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
