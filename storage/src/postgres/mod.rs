//! PostgreSQL: where it is, connections to it, the schema's migrations, writing history to the primary and reading it from
//! replicas.
//!
//! **Runs on**: threads with a tokio runtime of their own (current-thread); never a shard.
//! **Owns**: nothing by itself; each connection belongs to who asked for it.
//! **Invariants**: a password comes from the environment or a file and is never in an address, an error or a log.
//! **Bounds**: every wait has a limit, which the constant beside it names.
//! **Never**: decides about money or risk: what is written and read here is history.

pub mod connect;
pub mod migrate;
pub mod password;
mod pause;
pub mod replicas;
pub mod target;
mod tls;
pub mod writer;

use migrate::Migration;
pub use pause::TokioPause;

/// The schema, step by step.
pub const MIGRATIONS: &[Migration] = crate::migrations![
    (1, "history", "0001_history.sql"),
    (2, "exchange_keys", "0002_exchange_keys.sql"),
    (3, "record_mark", "0003_record_mark.sql"),
    (4, "keys_by_user", "0004_keys_by_user.sql"),
    (5, "refused_users", "0005_refused_users.sql"),
];
