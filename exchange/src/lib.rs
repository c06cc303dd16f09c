//! The exchange side of CoinBitClub: one trait, [`venue::Venue`], and the venues behind it.
//!
//! **Runs on**: the shard that owns the accounts; a venue is neither shared nor sent while it runs.
//! **Owns**: what an exchange owns: instruments, prices, open orders and positions as the exchange sees them.
//! **Invariants**: sans-I/O: a venue is told the time and asked for reports; it never waits. The paper venue is a
//! pure function of its market, its settings and the calls made to it, in their order.
//! **Bounds**: every queue and table here has a named limit ([`paper::PaperLimits`], [`market::ROWS_MAX`]).
//! **Never**: no clock, no file, no socket, no floating point, no randomness other than a seed.

pub mod live;
pub mod market;
pub mod paper;
pub mod paper_exchange;
pub mod venue;
