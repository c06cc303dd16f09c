//! The shard: a partition of the users on one core.
//!
//! [`worker::Shard`] is synchronous and free of I/O: it is handed the time, its log, its venue and its place in the mesh
//! through the traits of [`ports`]. The server's loop (`api::server`) moves bytes around it; the simulator will move
//! its own. [`runtime`] is the one place that knows the executor.

pub mod ask;
pub mod calendar;
pub mod fanout;
pub mod foresight;
pub mod lanes;
pub mod limits;
pub mod mesh;
pub mod metrics;
pub mod ports;
pub mod runtime;
pub mod timers;
pub mod worker;
