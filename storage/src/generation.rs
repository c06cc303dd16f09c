//! The data directory: its generations of shards, and switching to another number of them.
//!
//! **Runs on**: one executor at start-up, before the shards serve, with the [`DirectoryLock`](crate::DirectoryLock) held.
//!
//! **Owns**: `CURRENT` and the `gen-…` directories.
//!
//! **Invariants**: `CURRENT` decides. A generation is used only after it is named there, and it is named there only after
//! each of its shards has a complete snapshot. Everything of any other generation is what an interrupted switch left, and
//! is removed at the next start. A first start names generation 1 before any file is in it, so files without a `CURRENT`
//! mean that `CURRENT` was lost, and nothing is touched.
//!
//! The seam removes files, not directories: emptied ones stay until [`crate::DirectoryLock::remove_empty_directories`].

use crate::current::Current;
use crate::error::StorageError;
use crate::identity::{Generation, LogIdentity, Salt, ShardNumber};
use crate::limits::SHARDS_MAX;
use crate::path;
use engine::seam::Disk;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Where a shard's files are and what they carry. Cheap to clone, and goes to the shard's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardHome {
    dir: PathBuf,
    identity: LogIdentity,
}

impl ShardHome {
    /// A home outside any [`DataDirectory`], for tests and benchmarks. The directory must exist.
    #[must_use]
    pub fn new(dir: PathBuf, identity: LogIdentity) -> Self {
        Self { dir, identity }
    }
    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// What its files carry.
    #[must_use]
    pub fn identity(&self) -> &LogIdentity {
        &self.identity
    }
}

/// An opened data directory.
#[derive(Clone, Debug)]
pub struct DataDirectory<D> {
    disk: D,
    root: PathBuf,
    current: Current,
}

/// A generation being made: write a snapshot into each of [`NextGeneration::shards`], then
/// [`NextGeneration::switch`].
#[derive(Debug)]
pub struct NextGeneration<D> {
    disk: D,
    root: PathBuf,
    old: Current,
    new: Current,
}

impl<D: Disk> DataDirectory<D> {
    /// Opens `root`: makes it with `shards` shards when it is new, else removes what interrupted switches left.
    /// `salt` must be random; an existing directory keeps its own number of shards and salt.
    ///
    /// # Errors
    /// [`StorageError::Current`], [`StorageError::NewerVersion`], [`StorageError::Setting`] or [`StorageError::Io`].
    pub async fn open(disk: D, root: &Path, shards: u16, salt: Salt) -> Result<Self, StorageError> {
        check_shards(shards)?;
        disk.create_dir_all(root).await.map_err(StorageError::io("create", root))?;
        let current = match Current::read(&disk, root).await? {
            Some(current) => {
                // An earlier start may have been killed between naming it and making the name durable.
                disk.sync_dir(root).await.map_err(StorageError::io("sync", root))?;
                remove_others(&disk, root, current.generation).await?;
                current
            }
            None => create(&disk, root, Current { generation: Generation(1), shards, salt }).await?,
        };
        Ok(Self { disk, root: root.to_owned(), current })
    }

    /// The homes of the shards of an existing directory, in order, looking only: what interrupted switches left stays.
    /// `None` when there is no `CURRENT`.
    ///
    /// # Errors
    /// [`StorageError::Current`], [`StorageError::NewerVersion`] or [`StorageError::Io`].
    pub async fn look(disk: &D, root: &Path) -> Result<Option<Vec<ShardHome>>, StorageError> {
        Ok(Current::read(disk, root).await?.map(|current| homes(root, &current)))
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.current.generation
    }

    /// The homes of its shards, in order.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardHome> {
        homes(&self.root, &self.current)
    }

    /// Begins the switch to `shards` shards. Recover the old ones first; write nothing to them any more.
    /// `salt` must be random.
    ///
    /// # Errors
    /// [`StorageError::Setting`] or [`StorageError::Io`].
    pub async fn begin_generation(self, shards: u16, salt: Salt) -> Result<NextGeneration<D>, StorageError> {
        check_shards(shards)?;
        let new = Current { generation: self.current.generation.next(), shards, salt };
        make_directories(&self.disk, &self.root, &new).await?;
        Ok(NextGeneration { disk: self.disk, root: self.root, old: self.current, new })
    }
}

impl<D: Disk> NextGeneration<D> {
    /// The homes of the new shards, in order. Each needs one [`crate::SnapshotWriter`] with
    /// [`finish_seed`](crate::SnapshotWriter::finish_seed), all starting above every LSN of the old generation.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardHome> {
        homes(&self.root, &self.new)
    }

    /// Makes the new generation the current one, durably and as one step, then removes the old one.
    ///
    /// # Errors
    /// [`StorageError::Io`]. The next start is in the old generation or the new one, whole either way.
    ///
    /// # Panics
    /// When a new shard has no complete snapshot: its users would be lost.
    pub async fn switch(self) -> Result<DataDirectory<D>, StorageError> {
        for home in self.shards() {
            let names = self.disk.list(home.dir()).await.map_err(StorageError::io("list", home.dir()))?;
            let complete = names.iter().any(|name| path::parse_snapshot(name).is_some());
            assert!(complete, "each shard of a new generation begins with a complete snapshot");
        }
        self.new.write(&self.disk, &self.root).await?;
        remove_generation(&self.disk, &self.root, self.old.generation).await?;
        Ok(DataDirectory { disk: self.disk, root: self.root, current: self.new })
    }
}

fn check_shards(shards: u16) -> Result<(), StorageError> {
    if (1..=SHARDS_MAX).contains(&shards) {
        return Ok(());
    }
    let range = format!("between 1 and {SHARDS_MAX}");
    Err(StorageError::Setting { name: "the number of shards", value: u64::from(shards), range })
}

pub(crate) fn homes(root: &Path, current: &Current) -> Vec<ShardHome> {
    let home = |shard| ShardHome {
        dir: path::shard_dir(root, current.generation, shard),
        identity: LogIdentity { generation: current.generation, shard, salt: current.salt },
    };
    (0..current.shards).map(|shard| home(ShardNumber(shard))).collect()
}

async fn create<D: Disk>(disk: &D, root: &Path, current: Current) -> Result<Current, StorageError> {
    for generation in generations(disk, root).await? {
        if let Some(file) = files(disk, root, generation).await?.into_iter().next() {
            let reason = format!(
                "missing, although there is data ({}): restore it from a copy, or give an empty data directory",
                file.display()
            );
            return Err(StorageError::Current { file: root.join(path::CURRENT), reason });
        }
    }
    make_directories(disk, root, &current).await?;
    sync_ancestors(disk, root).await?;
    current.write(disk, root).await?;
    Ok(current)
}

/// Makes the way to a new `root` durable: any directory on it may have been made just now. One that this user may not
/// read was there before.
async fn sync_ancestors<D: Disk>(disk: &D, root: &Path) -> Result<(), StorageError> {
    for dir in root.ancestors().skip(1) {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        match disk.sync_dir(dir).await {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(StorageError::io("sync", dir))?,
        }
    }
    Ok(())
}

async fn make_directories<D: Disk>(disk: &D, root: &Path, current: &Current) -> Result<(), StorageError> {
    for home in homes(root, current) {
        disk.create_dir_all(home.dir()).await.map_err(StorageError::io("create", home.dir()))?;
    }
    let generation = root.join(path::generation_name(current.generation));
    disk.sync_dir(&generation).await.map_err(StorageError::io("sync", &generation))?;
    disk.sync_dir(root).await.map_err(StorageError::io("sync", root))
}

async fn generations<D: Disk>(disk: &D, root: &Path) -> Result<Vec<Generation>, StorageError> {
    let names = disk.list(root).await.map_err(StorageError::io("list", root))?;
    Ok(names.iter().filter_map(|name| path::parse_generation(name)).collect())
}

/// Every file of a generation.
async fn files<D: Disk>(disk: &D, root: &Path, generation: Generation) -> Result<Vec<PathBuf>, StorageError> {
    let dir = root.join(path::generation_name(generation));
    let mut found = Vec::new();
    for shard in disk.list(&dir).await.map_err(StorageError::io("list", &dir))? {
        if path::parse_shard(&shard).is_none() {
            continue;
        }
        let dir = dir.join(shard);
        let names = match disk.list(&dir).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(StorageError::io("list", &dir))?,
        };
        found.extend(names.into_iter().map(|name| dir.join(name)));
    }
    Ok(found)
}

async fn remove_others<D: Disk>(disk: &D, root: &Path, keep: Generation) -> Result<(), StorageError> {
    for generation in generations(disk, root).await? {
        if generation != keep {
            remove_generation(disk, root, generation).await?;
        }
    }
    Ok(())
}

async fn remove_generation<D: Disk>(
    disk: &D,
    root: &Path,
    generation: Generation,
) -> Result<(), StorageError> {
    let mut dirs = BTreeSet::new();
    for file in files(disk, root, generation).await? {
        disk.remove(&file).await.map_err(StorageError::io("remove", &file))?;
        dirs.extend(file.parent().map(Path::to_owned));
    }
    for dir in dirs {
        disk.sync_dir(&dir).await.map_err(StorageError::io("sync", &dir))?;
    }
    Ok(())
}
