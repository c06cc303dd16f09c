//! A simulated disk that refuses one kind of call on one name, and does everything else.

use engine::seam::Disk;
use std::io;
use std::path::Path;
use storage::sim_disk::{SimDisk, SimFile};

/// See the module's head.
#[derive(Clone)]
pub(crate) struct Refusing {
    pub(crate) disk: SimDisk,
    /// `open`, `create`, `list`, `remove` or `sync_dir`.
    pub(crate) call: &'static str,
    /// The end of the path it is refused for.
    pub(crate) name: &'static str,
    pub(crate) kind: io::ErrorKind,
}

impl Refusing {
    fn ask(&self, call: &str, path: &Path) -> io::Result<()> {
        if self.call == call && path.ends_with(self.name) { Err(self.kind.into()) } else { Ok(()) }
    }
}

impl Disk for Refusing {
    type File = SimFile;

    async fn open(&self, path: &Path) -> io::Result<SimFile> {
        self.ask("open", path)?;
        self.disk.open(path).await
    }
    async fn create_new(&self, path: &Path) -> io::Result<SimFile> {
        self.ask("create", path)?;
        self.disk.create_new(path).await
    }
    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.ask("list", dir)?;
        self.disk.list(dir).await
    }
    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir).await
    }
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to).await
    }
    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask("remove", path)?;
        self.disk.remove(path).await
    }
    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.ask("sync_dir", dir)?;
        self.disk.sync_dir(dir).await
    }
}
