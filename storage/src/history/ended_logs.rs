//! The logs of a generation that has ended, made durable before the history gets the last of them.
//!
//! What a killed process wrote last can be read at once, and no sync may have followed: a power failure can take it, and nobody
//! was told of it. In the database it would stay: other records would get the same numbers, and the history, which is that far
//! already, would never hold them.
//!
//! **Runs on**: an executor that has the disk that the shards write with, with the directory's lock held.
//! **Invariants**: of what is read from these logs, nothing disappears any more and nothing is added. Names need nothing here: a
//! log is begun only in a generation whose name is durable, and writes only to segments whose names are.
//! **Never**: changes a byte.

use engine::seam::{Disk, DiskFile};

use crate::error::StorageError;
use crate::generation::ShardHome;
use crate::path;

/// See the module's head.
#[derive(Debug)]
pub struct EndedLogs {
    homes: Vec<ShardHome>,
}

impl EndedLogs {
    /// Waits for writes that an earlier process left behind (an open of a disk that writes does), and makes all that the segments
    /// hold durable. Snapshots are, before they get their names.
    ///
    /// # Errors
    /// [`StorageError::Io`]: what is there may not stay. This start may not go on from it, not even after a sync that succeeds.
    pub async fn settle<D: Disk>(disk: &D, homes: Vec<ShardHome>) -> Result<Self, StorageError> {
        if planted::planted!("history_gets_what_is_not_durable") {
            return Ok(Self { homes });
        }
        for home in &homes {
            let names = disk.list(home.dir()).await.map_err(StorageError::io("list", home.dir()))?;
            for name in names.iter().filter(|name| path::parse_segment(name).is_some()) {
                let path = home.dir().join(name);
                let file = disk.open(&path).await.map_err(StorageError::io("open", &path))?;
                let synced = file.sync_data().await;
                file.close().await.map_err(StorageError::io("close", &path))?;
                synced.map_err(StorageError::io("sync", &path))?;
            }
        }
        Ok(Self { homes })
    }

    /// Where they are, shard by shard.
    #[must_use]
    pub fn homes(&self) -> &[ShardHome] {
        &self.homes
    }
}
