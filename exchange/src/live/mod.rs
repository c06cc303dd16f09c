//! Connectors to real exchanges: Binance USD-M futures and Bybit V5 linear.
//!
//! * [`protocol`]: what a connector asks of an exchange and what it is told, in words that are the same for both; the trait
//!   that turns them into bytes and back.
//! * [`credential`]: a key and what it signs with. [`params`]: percent-encoding before signing, in one place.
//! * [`key_check`]: whether a key is taken, from what the exchange says about it.
//! * [`marks`]: the mark prices of an exchange, shared by all shards. [`klines`]: spans and pages of candles. [`tickers`]: the last
//!   24 hours of contracts; [`pulse`]: the Market Pulse, which is made of them.
//! * [`binance`], [`bybit`]: the two protocols, without I/O.
//! * `backlog`: what a socket cannot take yet. [`pacing`]: what may be sent when, without I/O: budgets, stops, bans, circuits, the exchange's clock.
//!
//! **Runs on**: the shard that owns the accounts. **Invariants**: what is signed is what is sent, byte for byte; a secret is
//! never printed; a number with a decimal point never passes through a float.
//! **Never**: reads a clock or opens a connection: time and answers are handed in.

mod backlog;
pub mod binance;
pub mod bybit;
pub mod connector;
pub mod credential;
pub mod key_check;
pub mod klines;
pub mod marks;
pub mod pacing;
pub mod params;
pub mod protocol;
pub mod pulse;
pub mod tickers;
pub mod transport;
pub mod views;
