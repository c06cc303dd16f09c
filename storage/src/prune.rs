//! Removing what a durable snapshot makes unnecessary.
//!
//! **Runs on**: the shard, in the background lane, beside the running log.
//! **Invariants**: recovery works after every single removal, in whatever order they become durable: it begins at the
//! segment that covers the snapshot's start and never looks at an older one. The segment being written is never removed.

use crate::error::StorageError;
use crate::generation::ShardHome;
use crate::path;
use crate::scan::covering;
use crate::snapshot::DurableSnapshot;
use engine::seam::Disk;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Segments whose records all come before the snapshot's start.
    pub segments: u64,
    /// Older snapshots.
    pub snapshots: u64,
}

/// Removes the segments and snapshots of `home` that recovery from `snapshot` does not need. Pass the last but one
/// snapshot to keep two, so that damage to the newest costs nothing but a longer recovery.
///
/// # Errors
/// [`StorageError::Io`]; the rest is removed next time.
pub async fn prune<D: Disk>(
    disk: &D,
    home: &ShardHome,
    snapshot: &DurableSnapshot,
) -> Result<Pruned, StorageError> {
    assert_eq!(snapshot.path.parent(), Some(home.dir()), "a snapshot prunes its own shard only");
    let names = disk.list(home.dir()).await.map_err(StorageError::io("list", home.dir()))?;
    let mut pruned = Pruned::default();
    let older =
        names.iter().filter(|name| path::parse_snapshot(name).is_some_and(|lsn| lsn < snapshot.start));
    for name in older {
        let path = home.dir().join(name);
        disk.remove(&path).await.map_err(StorageError::io("remove", &path))?;
        pruned.snapshots += 1;
    }
    let mut segments: Vec<_> = names.iter().filter_map(|name| path::parse_segment(name)).collect();
    segments.sort_unstable();
    let covered =
        covering(disk, home.dir(), home.identity(), snapshot.among(&segments), snapshot.start).await?;
    let covered = covered.unwrap_or(0);
    let covered = if planted::planted!("one_segment_too_many_pruned") {
        segments.len().min(covered + 1)
    } else {
        covered
    };
    for &number in &segments[..covered] {
        let path = home.dir().join(path::segment_name(number));
        disk.remove(&path).await.map_err(StorageError::io("remove", &path))?;
        pruned.segments += 1;
    }
    if pruned != Pruned::default() {
        disk.sync_dir(home.dir()).await.map_err(StorageError::io("sync", home.dir()))?;
    }
    Ok(pruned)
}
