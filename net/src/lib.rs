//! Bytes on wires: the socket driver, TLS and HTTP/1.1.
//!
//! * [`wire`]: the network seam. One trait, [`wire::Wire`], and two implementations: `uring` (one io_uring per
//!   shard) and `memory` (tests and the simulator).
//! * [`tls`]: the same seam once more, encrypted: a wire over either of them.
//! * [`http`]: HTTP/1.1 without I/O: a parser over a byte slice, a response writer over a byte vector, a pipeline
//!   that keeps answers in the order of their requests, and a small blocking client for tools.
//!
//! **Runs on**: a shard's thread, which owns its `Wire` alone. The client runs on threads that may block.
//! **Invariants**: knows nothing of trading; imports no other room. `unsafe` lives in the private module `sys` only.
//! **Never**: blocks (the client excepted), reads a clock (time is handed in), spawns.

pub mod http;
mod sys;
pub mod tls;
pub mod wire;
