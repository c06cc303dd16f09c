//! Bytes on wires: the socket driver, TLS, HTTP/1.1 and WebSocket.
//!
//! * [`wire`]: the network seam. One trait, [`wire::Wire`], and two implementations: `uring` (one io_uring per
//!   shard) and `memory` (tests and the simulator).
//! * [`tls`]: the same seam once more, encrypted: a wire over either of them.
//! * [`server`]: HTTP and WebSocket connections between a wire and a service.
//! * [`client`]: the shard's HTTP client: kept connections, and for each call exactly what became of it.
//! * [`sockets`]: outgoing WebSockets.
//! * [`http`]: HTTP/1.1 without I/O: a parser over a byte slice, a response writer over a byte vector, a pipeline
//!   that keeps answers in the order of their requests, and a small blocking client for tools.
//! * [`ws`]: WebSocket without I/O, both sides.
//!
//! **Runs on**: a shard's thread, which owns its `Wire` alone. The client runs on threads that may block.
//! **Invariants**: knows nothing of trading; imports no other room. `unsafe` lives in the private module `sys` only.
//! **Never**: blocks (the client excepted), reads a clock (time is handed in), spawns.

pub mod client;
pub mod http;
pub mod server;
pub mod sockets;
mod sys;
pub mod tls;
mod waiting;
pub mod wire;
pub mod ws;
