//! The face of Bybit V5: linear USDT contracts of a unified account, over REST and the public, private and trade sockets.
//!
//! * [`routes`]: which path is what; the face itself. [`sockets`]: the three sockets.
//! * [`sign`], [`groups`], [`fields`], [`wish`]: who asks, how often, with which parameters, for which order.
//! * [`market`], [`trade`], [`account`]: what is done. [`objects`], [`listing`], [`kline`], [`frames`], [`codes`]: how it is
//!   written.
//!
//! **Invariants**: a request counts against its address first, then is checked: key, address, time, signature, right, limit
//! of the account, parameters, filters; the first that fails names the retCode. **Bounds**: those of the parts.
//! Sources: EXCHANGES.md §3; what is emulated and what is not: `docs/paper-bybit.md`.

pub mod account;
pub mod codes;
pub mod fields;
pub mod frames;
pub mod groups;
pub mod kline;
pub mod listing;
pub mod market;
pub mod objects;
pub mod routes;
pub mod sign;
pub mod sockets;
pub mod trade;
pub mod wish;

pub use routes::Bybit;
