//! PostgreSQL: connecting, migrating, writing history to the primary and reading it from replicas.
//!
//! **Runs on**: threads of their own, each with a tokio current-thread runtime; never on a shard.
//! **Never**: decides about money or risk.

pub mod connect;
pub mod migrate;
mod tls;
pub mod writer;
