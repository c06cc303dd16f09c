//! A disk that lets nobody read more than a file can hold, and nobody change anything.
//!
//! **Invariants**: a read is of whole chunks of what the file has, whatever a length in the file says: what a real disk
//! would allocate for it is bounded by the file's own size.

use engine::seam::{Disk, DiskFile};
use std::io;
use std::path::Path;
use storage::limits::{PAGE_BYTES, READ_CHUNK_BYTES};
use storage::sim_disk::{SimDisk, SimFile};

/// A disk for recovery and inspection.
#[derive(Clone)]
pub(super) struct Watched(pub(super) SimDisk);

pub(super) struct WatchedFile(SimFile);

impl Disk for Watched {
    type File = WatchedFile;

    async fn open(&self, path: &Path) -> io::Result<WatchedFile> {
        self.0.open(path).await.map(WatchedFile)
    }
    async fn create_new(&self, path: &Path) -> io::Result<WatchedFile> {
        panic!("{} is created", path.display());
    }
    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir).await
    }
    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        panic!("{} is created", dir.display());
    }
    async fn rename(&self, from: &Path, _: &Path) -> io::Result<()> {
        panic!("{} is renamed", from.display());
    }
    async fn remove(&self, path: &Path) -> io::Result<()> {
        panic!("{} is removed", path.display());
    }
    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir).await
    }
}

impl DiskFile for WatchedFile {
    type Buffer = Vec<u8>;

    fn buffer(&self, _: usize) -> Vec<u8> {
        panic!("a reader asks for a buffer to write from");
    }
    async fn len(&self) -> io::Result<u64> {
        self.0.len().await
    }
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file_bytes = usize::try_from(self.0.len().await?).expect("a simulated file is in memory");
        let most = READ_CHUNK_BYTES.max(file_bytes.next_multiple_of(PAGE_BYTES));
        assert!(len <= most, "{len} bytes are read from a file of {file_bytes}");
        self.0.read_at(offset, len).await
    }
    async fn write_at(&self, _: Vec<u8>, _: usize, _: u64) -> io::Result<Vec<u8>> {
        panic!("a reader writes");
    }
    async fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data().await
    }
    async fn close(self) -> io::Result<()> {
        self.0.close().await
    }
}
