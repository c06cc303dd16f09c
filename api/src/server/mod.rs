//! A running server: its shards, and the threads around them.
//!
//! **Runs on**: [`start`] on the caller's thread; then one pinned thread per shard, one for passwords, one for
//! housekeeping and, with Postgres, one that writes history and one that reads it; with Telegram, two for the alerts.
//! **Invariants**: nothing is served before every shard has recovered; a start that fails leaves the data as it was.

pub mod assembly;
pub mod boot;
pub mod config;
pub mod dump;
#[cfg(planted)]
pub mod failing_disk;
pub mod gateway;
pub mod hashing;
pub mod history;
pub mod housekeeping;
pub mod inside;
pub mod journal;
mod keys_at_start;
pub mod paper_server;
pub mod readers;
pub mod receipts;
pub mod recovery;
pub mod shard_loop;
pub mod snapshots;
pub mod venues;

pub use boot::{Server, StartError, Tls, start};
pub use config::{CONNECTIONS_PER_ADDRESS, MarketPace, MarketSource, ServerConfig, TlsFiles};
