//! The shard's HTTP/1.1 client: keeps connections to servers, and tells for each call exactly what became of it.
//!
//! * [`Pool`]: the calls, connections and queues of a shard; driven by its loop over a [`Wire`](crate::wire::Wire).
//! * [`Origin`]: a server, registered once. [`Request`]: what is asked. [`Outcome`]: what became of it.
//! * [`Dial`]: the one place where a connection is opened; TLS is another implementation.
//!
//! **Runs on**: the shard's thread that owns the wire. Names are resolved elsewhere.
//! **Invariants**: each call that is accepted has exactly one [`Outcome`]. `NotSent` means that no byte of it was taken by
//! the kernel; `Answered` that a complete answer came on the connection that carried this call and no other at the time;
//! anything else is `NoAnswer`. A request is sent again only while the former holds.
//! **Bounds**: [`OriginLimits`] and [`PoolLimits`]; more is refused at once with a typed reason.
//! **Never**: blocks, reads a clock, pipelines, follows a redirect, keeps a connection after an ambiguous end.

mod connection;
mod dial;
mod events;
mod metrics;
mod origin;
mod outcome;
mod pool;
mod request;
mod schedule;

pub use dial::{Dial, PlainDial};
pub use metrics::OriginMetrics;
pub use origin::{Origin, OriginError, OriginId, OriginLimits, Security};
pub use outcome::{CallId, Finished, NoAnswer, NotSent, Outcome, Refused};
pub use pool::{Pool, PoolLimits};
pub use request::{Request, RequestError, Urgency};
