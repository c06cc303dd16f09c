//! Copying a data directory, whole or up to a record of each shard: what a backup and a restore have in common.
//!
//! **Runs on**: any one executor that has both disks; beside the running server when it is a backup, which then only reads
//! (give it a disk that opens nothing for writing).
//!
//! **Owns**: everything below the target, which must be new.
//!
//! **Invariants**:
//! - A copy recovers to exactly the records up to its cut. What is before the cut never changes any more, for a block that
//!   was acknowledged is not written to again; what is behind it is zeros in the copy. So nothing that is read while it is
//!   being written gets into a copy, in whatever order its pages arrive.
//! - The cut is found before anything is copied, and everything that was durable when the survey began is before the last
//!   block that it can be put behind.
//! - A snapshot that shows a record behind the cut is not copied, and a cut that no snapshot or beginning reaches is refused.
//! - `CURRENT` is written last and was the same before and after.
//!
//! **Bounds**: one chunk of [`ZERO_CHUNK_BYTES`](crate::limits::ZERO_CHUNK_BYTES) or one block in memory; [`TRIES_MAX`]
//! attempts when files disappear or grow while they are read.
//!
//! **Never**: changes, syncs or removes anything below the source.

mod copy;
mod survey;

pub use survey::{LogRange, ShardSurvey};

use crate::current::Current;
use crate::error::StorageError;
use crate::generation::{ShardHome, homes};
use crate::identity::{Generation, Lsn, Salt, ShardNumber};
use crate::path;
use engine::seam::Disk;
use std::io;
use std::path::{Path, PathBuf};

/// How often a survey or a copy begins anew because the server has removed, renamed or added something meanwhile.
pub const TRIES_MAX: u32 = 16;

/// Segments of a shard that are held open while it is copied: what the snapshots of a shard need at the usual settings is less, and
/// 16 shards together stay below the 1,024 descriptors that a process may have. Older ones are kept by a follower that is behind.
const HELD_SEGMENTS: usize = 48;

/// Of the names in a shard's directory those that a copy needs, oldest first, for these go first.
#[must_use]
pub fn needed(names: &[String]) -> Vec<String> {
    let mut snapshots: Vec<_> = names.iter().filter_map(|name| path::parse_snapshot(name)).collect();
    snapshots.sort_unstable();
    let segments = segments_of(names);
    let newest = &segments[segments.len().saturating_sub(HELD_SEGMENTS)..];
    let snapshots = snapshots.into_iter().map(path::snapshot_name);
    snapshots.chain(newest.iter().copied().map(path::segment_name)).collect()
}

/// The directories of the shards of the data directory `root`.
///
/// # Errors
/// [`StorageError::Current`] when there is no data; [`StorageError::Io`].
pub async fn directories<D: Disk>(disk: &D, root: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let current = read_current(disk, root).await?;
    Ok(homes(root, &current).iter().map(|home| home.dir().to_owned()).collect())
}

/// Which records a copy may end with: the last one for which this says true is the last one copied. Asked without bytes for
/// the record before the first that is there.
pub trait Keep: FnMut(ShardNumber, Lsn, Option<&[u8]>) -> bool {}
impl<T: FnMut(ShardNumber, Lsn, Option<&[u8]>) -> bool> Keep for T {}

/// A data directory that was looked at for a copy.
#[derive(Clone, Debug)]
pub struct Survey {
    current: Current,
    shards: Vec<ShardSurvey>,
}

impl Survey {
    /// Looks at the data directory `root` and decides where each shard's copy ends.
    ///
    /// # Errors
    /// Damage; [`StorageError::Setting`] when a shard cannot be copied up to that record; [`StorageError::Current`] when
    /// there is no data or its generation changed; [`StorageError::Io`].
    pub async fn take<D: Disk>(disk: &D, root: &Path, keep: &mut impl Keep) -> Result<Self, StorageError> {
        let current = read_current(disk, root).await?;
        let mut shards = Vec::new();
        for home in homes(root, &current) {
            let shard = home.identity().shard;
            let mut keep = |lsn, bytes: Option<&[u8]>| keep(shard, lsn, bytes);
            match survey::settled(disk, &home, &mut keep).await {
                Ok(survey) => shards.push(survey),
                Err(error) => {
                    same_current(disk, root, &current).await?;
                    return Err(error);
                }
            }
        }
        same_current(disk, root, &current).await?;
        Ok(Self { current, shards })
    }

    /// The shards, in order.
    #[must_use]
    pub fn shards(&self) -> &[ShardSurvey] {
        &self.shards
    }
    /// The generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.current.generation
    }
    /// The generation's salt.
    #[must_use]
    pub fn salt(&self) -> Salt {
        self.current.salt
    }

    /// Copies what was surveyed below `source` to `target`, a new directory of `to`, and syncs all of it.
    ///
    /// # Errors
    /// [`StorageError::Io`] with the kind `NotFound` when the server has removed a file meanwhile: remove the target and take
    /// a new survey. [`StorageError::Current`] when the generation changed. Anything else the disks answer.
    pub async fn copy<D: Disk>(
        &self,
        from: &D,
        source: &Path,
        to: &D,
        target: &Path,
    ) -> Result<(), StorageError> {
        for (shard, home) in self.shards.iter().zip(homes(target, &self.current)) {
            to.create_dir_all(home.dir()).await.map_err(StorageError::io("create", home.dir()))?;
            copy::shard(from, shard, to, &home).await?;
        }
        let generation = target.join(path::generation_name(self.current.generation));
        to.sync_dir(&generation).await.map_err(StorageError::io("sync", &generation))?;
        same_current(from, source, &self.current).await?;
        self.current.write(to, target).await
    }
}

/// Removes what a failed copy has left below `target`: files only, since the seam removes no directories.
///
/// # Errors
/// [`StorageError::Io`].
pub async fn remove_copy<D: Disk>(disk: &D, target: &Path, survey: &Survey) -> Result<(), StorageError> {
    for home in homes(target, &survey.current) {
        let names = match disk.list(home.dir()).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            listed => listed.map_err(StorageError::io("list", home.dir()))?,
        };
        for name in names {
            let path = home.dir().join(name);
            disk.remove(&path).await.map_err(StorageError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// True when the error says that the server went on while its directory was copied: begin anew.
#[must_use]
pub fn went_on(error: &StorageError) -> bool {
    match error {
        StorageError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        StorageError::Current { reason, .. } => reason == CHANGED,
        _ => false,
    }
}

const CHANGED: &str =
    "the server was started with another number of shards while its directory was read: begin anew";

async fn read_current<D: Disk>(disk: &D, root: &Path) -> Result<Current, StorageError> {
    Current::read(disk, root).await?.ok_or_else(|| StorageError::Current {
        file: root.join(path::CURRENT),
        reason: "not there, so this is no data directory".to_owned(),
    })
}

async fn same_current<D: Disk>(disk: &D, root: &Path, before: &Current) -> Result<(), StorageError> {
    if read_current(disk, root).await? == *before {
        return Ok(());
    }
    Err(StorageError::Current { file: root.join(path::CURRENT), reason: CHANGED.to_owned() })
}

fn segments_of(names: &[String]) -> Vec<crate::identity::SegmentNumber> {
    let mut segments: Vec<_> = names.iter().filter_map(|name| path::parse_segment(name)).collect();
    segments.sort_unstable();
    segments
}

async fn list<D: Disk>(disk: &D, home: &ShardHome) -> Result<Vec<String>, StorageError> {
    disk.list(home.dir()).await.map_err(StorageError::io("list", home.dir()))
}
