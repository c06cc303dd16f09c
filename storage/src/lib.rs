//! The write-ahead log of one shard, its snapshots, and finding the way back after a crash.
//!
//! Record payloads and snapshot sections are opaque bytes here; the caller validates them before it reads them.
//!
//! **Runs on**: the shard's own executor; start-up work (directory, lock, generation switch) on any one executor
//! before the shards serve. Generic over [`engine::seam::Disk`], so that the simulator runs the same code.
//!
//! **Owns**: everything below the data directory:
//! `CURRENT`, `LOCK`, `gen-00000001/shard-000/{seg-0000000000000001.log, snap-<lsn>.snap}`.
//!
//! **Invariants**:
//! - Nothing is reported durable before a write and a data sync of it have succeeded; after one that failed nothing
//!   is ever reported durable again ([`LogFailed`]).
//! - An acknowledged block is never written to again: each block starts at a fresh page.
//! - Recovery yields the records in order, without a hole or a repetition, and contains everything acknowledged; or it
//!   stops with file and offset, and then it has written nothing.
//! - A restart needs nothing but what one listing shows: each step of a rotation, a snapshot, a pruning or a
//!   generation switch leaves a directory that recovers.
//! - State changes are synchronous; futures only move bytes and own all they touch.
//!
//! **Bounds**: see [`limits`]; every one has a typed answer when it is reached.
//!
//! **Never**: allocates per flush after warm-up, rewrites, guesses about damage, or contains unsafe code.

#![forbid(unsafe_code)]

pub mod backup;
mod batch;
mod block;
mod current;
mod error;
pub mod follow;
mod generation;
mod head;
pub mod history;
mod identity;
pub mod inspect;
pub mod limits;
mod lock;
mod log;
mod pace;
mod path;
pub mod postgres;
mod prune;
mod read_only_disk;
mod recover;
pub mod relay;
mod scan;
mod segment;
pub mod sim_disk;
mod snapshot;
mod snapshot_file;
mod window;

pub use batch::{Batch, Flushed};
pub use block::{BlockFault, BlockHeader, FORMAT_VERSION, check_block, peek_block, records};
pub use error::{AppendError, Corruption, LogFailed, PrepareError, RecoverError, StorageError};
pub use generation::{DataDirectory, NextGeneration, ShardHome};
pub use identity::{BlockSequence, Epoch, Generation, LogIdentity, Lsn, Salt, SegmentNumber, ShardNumber};
pub use lock::DirectoryLock;
pub use log::{Log, LogOptions, LogPosition, LogStats};
pub use prune::{Pruned, prune};
pub use read_only_disk::{ReadOnlyDisk, ReadOnlyFile};
pub use recover::{Recovered, Replayed, recover};
pub use scan::{LogTail, TornTail};
pub use segment::{Preparation, Prepared};
pub use snapshot::{DurableSnapshot, SectionError, SnapshotWriter};
