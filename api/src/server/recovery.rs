//! Finding back: a shard's users from its snapshot and log, and the way to another number of shards.
//!
//! **Invariants**: a record is applied to a user exactly once: a snapshot's section says up to which record it holds.
//! What cannot be read stops the start with file, place and remedy; nothing is overwritten.

use std::collections::HashMap;
use std::path::PathBuf;

use engine::core::apply::apply_record;
use engine::core::codec::{CodecError, Encoder, decode_record, decode_user};
use engine::core::ids::{Timestamp, UserId};
use engine::core::state::{IdMap, State};
use engine::core::user::User;
use engine::seam::Disk;
use engine::shard::ports::owner;
use storage::{
    DataDirectory, Lsn, RecoverError, Recovered, Replayed, Salt, ShardHome, SnapshotWriter, StorageError,
    TornTail, recover,
};

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A record or section that passed its checksum and still cannot be read.
    #[error("{} at byte {offset}: {cause}", file.display())]
    Record {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// Why.
        cause: CodecError,
    },
}

/// A shard found back.
pub struct FoundShard {
    /// Its users.
    pub state: State,
    /// What the files said.
    pub found: Recovered,
    /// Events applied from records.
    pub events: u64,
}

/// Reads one shard.
///
/// # Errors
/// See [`RecoveryError`].
pub async fn recover_shard<D: Disk>(disk: &D, home: &ShardHome) -> Result<FoundShard, RecoveryError> {
    let mut state = State::default();
    let mut as_of: IdMap<UserId, u64> = HashMap::default();
    let mut events = 0;
    let outcome = recover(disk, home, |replayed| -> Result<(), CodecError> {
        match replayed {
            Replayed::Section { bytes, .. } => {
                let (mut user, through) = decode_user(bytes)?;
                if planted::planted!("repeats_forgotten_on_recovery") {
                    user.sources.iter_mut().for_each(|source| source.seen.clear());
                }
                as_of.insert(user.id, through);
                state.put(user);
                Ok(())
            }
            Replayed::Record { lsn, bytes } => {
                let record = decode_record(bytes)?;
                if as_of.get(&record.user).is_none_or(|through| {
                    lsn.0 > *through || planted::planted!("record_applied_though_the_snapshot_holds_it")
                }) {
                    events += record.events.len() as u64;
                    apply_record(&mut state, &record);
                }
                Ok(())
            }
        }
    })
    .await;
    match outcome {
        Ok(found) => {
            report(&found);
            Ok(FoundShard { state, found, events })
        }
        Err(RecoverError::Storage(error)) => Err(error.into()),
        Err(RecoverError::Visitor { file, offset, source }) => {
            Err(RecoveryError::Record { file, offset, cause: source })
        }
    }
}

/// Says what recovery stepped over: it is in order, and whoever looks after the disk should know of it.
fn report(found: &Recovered) {
    if let Some(TornTail { file, offset, bytes, fault }) = &found.torn {
        let file = file.display();
        tracing::warn!(%file, offset, bytes, %fault, "the last write was torn and is cut: none of it was acknowledged");
    }
    for (file, fault) in &found.damaged_snapshots {
        let file = file.display();
        tracing::warn!(%file, fault, "a snapshot is damaged: an older one and more of the log were read instead");
    }
}

/// Hands all users to `shards` new shards: a new generation whose shards begin with complete snapshots.
///
/// # Errors
/// See [`RecoveryError`]; the old generation stays current until the new one is complete.
pub async fn reshard<D: Disk>(
    disk: &D,
    directory: DataDirectory<D>,
    shards: u16,
    salt: Salt,
) -> Result<DataDirectory<D>, RecoveryError> {
    let mut parts: Vec<Vec<User>> = (0..shards).map(|_| Vec::new()).collect();
    let mut start = Lsn(1);
    for home in directory.shards() {
        let found = recover_shard(disk, &home).await?;
        start = start.max(found.found.tail.next_lsn());
        for user in found.state.into_users() {
            let place = if planted::planted!("user_stays_when_shards_change") {
                usize::from(home.identity().shard.0).min(parts.len() - 1)
            } else {
                owner(user.id, shards).place()
            };
            parts[place].push(user);
        }
    }
    let next = directory.begin_generation(shards, salt).await?;
    let mut encoder = Encoder::default();
    for (home, users) in next.shards().into_iter().zip(&parts) {
        let mut writer = SnapshotWriter::begin(disk.clone(), home, start).await?;
        for user in users {
            if writer.needs_drain() {
                writer.drain().await?;
            }
            let section = encoder.user(user, start.0 - 1);
            writer.add(section).expect("a drained writer takes a section, and a user fits one");
        }
        writer.finish_seed().await?;
    }
    Ok(next.switch().await?)
}

/// The newest time that the venue told these users: where its market goes on.
#[must_use]
pub fn newest_venue_time(state: &State) -> Timestamp {
    state
        .users()
        .iter()
        .flat_map(|user| user.positions.iter().chain(&user.closed_positions))
        .map(|position| position.opened_venue_at.max(position.funded_at))
        .max()
        .unwrap_or_default()
}
