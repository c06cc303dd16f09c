//! The heart of CoinBitClub.
//!
//! [`core`] is the pure, deterministic state machine: users, signals, risk, orders, positions, ledger.
//! [`seam`] names the narrow traits through which everything below `api` reaches clock, disk, tasks and
//! randomness. `shard` (feature `shard`) is the pinned executor that feeds the core.
//!
//! **Never**: `core` and `seam` import no runtime, no socket, no file and no `std::time`; a build without the
//! `shard` feature has no such dependency (checked by `cargo xtask test`).

pub mod core;
pub mod seam;
#[cfg(feature = "shard")]
pub mod shard;
