//! The paper exchange: the paper venue behind the protocols of Binance and Bybit.
//!
//! **Runs on**: any one thread; a server, a test or the simulator drives it. **Owns**: the venue, accounts, keys, open
//! WebSockets, limits and faults. **Invariants**: sans-I/O and deterministic: time, addresses and bytes are handed in, and
//! the same calls give the same answers. **Never**: reads a clock or a socket, contacts anything, uses a float.
//!
//! [`Core`] is the exchange without a protocol; `binance` and `bybit` are its faces ([`face::Face`]); [`PaperExchange`] is
//! what a transport talks to. `docs/paper-exchange.md` says what is emulated and what is not.

pub mod accounts;
mod admin;
pub mod binance;
pub mod bybit;
pub mod candles;
pub mod core;
pub mod events;
mod exchange;
pub mod face;
pub mod faults;
pub mod keys;
pub mod limits;
pub mod orders;
mod placing;
mod refusal;
mod reports;
pub mod transport;
mod triggers;

pub use self::core::{Clock, Core, CoreSettings};
pub use accounts::{AccountNo, FaceKind};
pub use exchange::{CONNECTIONS_MAX, PaperExchange};
pub use face::ConnNo;
pub use refusal::Refusal;
