//! TLS 1.3 and 1.2 by rustls, for both ends, as a wrapper over the network seam.
//!
//! * [`TlsWire`]: a [`Wire`](crate::wire::Wire) over another; which connections speak TLS is decided per listener, and
//!   per outgoing connection by [`TlsWire::connect_tls`].
//! * [`config`]: certificates, keys and trusted authorities from files, and what is offered with them.
//! * [`store`]: a certificate that is replaced while connections are being made.
//!
//! **Runs on**: the thread of the inner wire. Configurations are shared by all shards, so that a session begun on one is
//! resumed on another.
//! **Invariants**: TLS 1.2 at least; no early data, no renegotiation, no client certificates (a `rustls` configuration
//! made elsewhere may ask for them: [`TlsWire`] takes any). What is not TLS is passed through.
//! **Never**: blocks. rustls reads the system's clock, to judge certificates and tickets, and its random source.

pub mod config;
mod delivery;
mod dial;
mod ledger;
mod metrics;
mod record;
mod session;
pub mod store;
mod table;
mod wire;

pub use dial::TlsDial;
pub use metrics::TlsMetrics;
pub use rustls::{ClientConfig, ServerConfig};
pub use rustls_pki_types::ServerName;
pub use wire::{ServerSide, TlsConnectError, TlsDetails, TlsWire, inner_config};
