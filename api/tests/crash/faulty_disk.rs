//! A disk around the simulated one whose next write or sync of a running log fails: the flush's own, not that of a segment in
//! the making, which has another name.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine::seam::{Disk, DiskFile};
use storage::sim_disk::{SimDisk, SimFile};

use super::sim_server::Fault;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk {
    /// The disk that does the work.
    pub inner: SimDisk,
    fault: Rc<Cell<Option<Fault>>>,
    /// Files by their names when they were made, and whether they have become segments.
    made: Rc<RefCell<BTreeMap<PathBuf, Rc<Cell<bool>>>>>,
}

/// A file of it.
pub struct FaultyFile {
    inner: SimFile,
    /// Of the disk.
    fault: Rc<Cell<Option<Fault>>>,
    /// Whether it is a segment of the log, by the name that it has now.
    is_segment: Rc<Cell<bool>>,
}

impl FaultyDisk {
    /// A disk without faults so far.
    pub fn new(inner: SimDisk) -> Self {
        Self { inner, fault: Rc::default(), made: Rc::default() }
    }

    /// The next write or sync of a segment fails; from then on none does.
    pub fn fail(&self, fault: Fault) {
        self.fault.set(Some(fault));
    }

    fn file(&self, path: &Path, inner: SimFile) -> FaultyFile {
        let is_segment = Rc::new(Cell::new(is_segment(path)));
        FaultyFile { inner, fault: Rc::clone(&self.fault), is_segment }
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

impl FaultyFile {
    fn take(&self, fault: Fault) -> io::Result<()> {
        if self.is_segment.get() && self.fault.get() == Some(fault) {
            self.fault.set(None);
            return Err(io::Error::other(format!("simulated failure of a {fault:?}")));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    type File = FaultyFile;

    async fn open(&self, path: &Path) -> io::Result<FaultyFile> {
        Ok(self.file(path, self.inner.open(path).await?))
    }

    async fn create_new(&self, path: &Path) -> io::Result<FaultyFile> {
        let file = self.file(path, self.inner.create_new(path).await?);
        self.made.borrow_mut().insert(path.to_owned(), Rc::clone(&file.is_segment));
        Ok(file)
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir).await
    }

    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to).await?;
        if let Some(file) = self.made.borrow_mut().remove(from) {
            file.set(is_segment(to));
        }
        Ok(())
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path).await
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
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
        self.inner.read_at(offset, len).await
    }

    async fn write_at(&self, buffer: Self::Buffer, len: usize, offset: u64) -> io::Result<Self::Buffer> {
        self.take(Fault::Write)?;
        self.inner.write_at(buffer, len, offset).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.take(Fault::Sync)?;
        self.inner.sync_data().await
    }

    async fn close(self) -> io::Result<()> {
        self.inner.close().await
    }
}
