//! The network seam: connections as bounded byte buffers, polled by their shard.
//!
//! Purpose: let a shard's loop serve many connections without futures, callbacks across turns or locks.
//! **Runs on**: the one thread that made it; a [`Wire`] belongs to one shard.
//! **Owns**: listener, sockets, input and output buffers, time-outs.
//! **Invariants**: a [`ConnId`] never names another connection than the one it was made for. Each `accepted` and each
//! successful [`Wire::connect`] is followed by exactly one `closed`. Bytes are delivered and sent in order; at most one send per connection is under way.
//! **Bounds**: see [`WireConfig`]; each has its counter in [`WireMetrics`].
//! **Never**: blocks, reads a clock (callers hand `now_ns` in), delivers an event outside of [`Wire::poll`].
//!
//! The loop: `poll`; act on what was delivered; queue answers with [`Wire::output`] or [`Wire::send`]; again. What was
//! queued leaves at the next `poll`, together with the collection of new completions, in one system call. When
//! [`Wire::has_work`] is false the loop may wait until [`Wire::descriptor`] is readable, though not past
//! [`Wire::next_deadline_ns`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::rc::Rc;

mod addresses;
mod config;
pub(crate) mod inbox;
mod listener;
pub mod memory;
mod metrics;
pub(crate) mod pool;
pub(crate) mod stream;
pub(crate) mod timing;
pub mod uring;

pub use config::WireConfig;
pub use listener::{ListenOptions, Listener, listen};
pub use metrics::{CloseReason, WireMetrics};
pub use stream::Stream;

/// A connection. Stays unique: when its slot is used again, the generation differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The slot, below [`WireConfig::connections_max`]: for a caller's own table, which must compare the whole id.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// How often the slot had been used before.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// What a poll delivers.
pub trait WireEvents {
    /// A connection was accepted.
    fn accepted(&mut self, conn: ConnId, arrival: Arrival);
    /// A connection that [`Wire::connect`] began is established and can be written.
    fn connected(&mut self, conn: ConnId) {
        let _ = conn;
    }
    /// Unconsumed bytes are there, or the peer will send no more ([`Stream::ended`]).
    ///
    /// Bytes left unconsumed are delivered again, with what follows them, once more arrived (at least
    /// [`Stream::wait_for`] bytes if that was called) or after [`Wire::resume`]. A consumer that sees `ended` closes
    /// the connection as soon as its last answer is queued; until then it stays half open and can be written.
    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>);
    /// The connection is gone; the last event that names it.
    fn closed(&mut self, conn: ConnId, ending: Ending);
}

/// Where an accepted connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The other end.
    pub peer: SocketAddr,
    /// Which of the wire's listeners it came to, counted from zero in the order they were given.
    pub listener: usize,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub reason: CloseReason,
    /// How many of the bytes queued during its life the kernel took, and so may have left. Those after them have not.
    pub handed_bytes: u64,
    /// The system's error, where there is one.
    pub os_error: Option<i32>,
}

/// How long a connection may take. Set per connection, because a request, a WebSocket and an answer that is awaited differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// As [`WireConfig::request_ns`].
    pub request_ns: u64,
    /// As [`WireConfig::idle_ns`].
    pub idle_ns: u64,
}

/// Why an outgoing connection was not begun.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// All places are in use.
    #[error("all {0} connections are in use")]
    Full(u32),
    /// No socket, or its source address is not one of this machine's.
    #[error("no socket for a connection to {to}{}: {source}", from_words(*.from))]
    Socket {
        /// Where to.
        to: SocketAddr,
        /// The source address that was asked for.
        from: Option<IpAddr>,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn from_words(from: Option<IpAddr>) -> String {
    from.map_or_else(String::new, |from| format!(" from {from}"))
}

/// Why bytes were not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is closed or closing: the answer has no reader.
    #[error("the connection is gone")]
    Gone,
    /// The peer reads too slowly: its output buffer is full, and the connection was closed for it.
    #[error("the output buffer is full: the connection was closed")]
    Overflow,
}

/// A shard's network. See the module's contract.
pub trait Wire {
    /// Sends what is queued, accepts and receives, and delivers up to a bounded number of events. Never blocks.
    /// `now_ns` is monotonic, from any origin. Returns the number of completions handled.
    ///
    /// # Errors
    /// Only when the network as a whole has failed (the ring is gone): the shard stops. A connection's failure is a
    /// `closed` event.
    fn poll(&mut self, now_ns: u64, events: &mut impl WireEvents) -> io::Result<usize>;

    /// Queues bytes; they leave at the next poll.
    ///
    /// # Errors
    /// [`SendError`], after which nothing of `bytes` is queued.
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), SendError>;

    /// Queues bytes that other connections send too, without a copy of its own when nothing else is queued here.
    ///
    /// # Errors
    /// [`SendError`], after which nothing of `bytes` is queued.
    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>) -> Result<(), SendError>;

    /// Begins a connection to `to`, from the address `from` of this machine or from the one its routes prefer.
    /// [`WireEvents::connected`] or [`WireEvents::closed`] follows; nothing can be queued before the former.
    ///
    /// # Errors
    /// [`ConnectError`]; no event follows.
    fn connect(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Result<ConnId, ConnectError>;

    /// Changes how long the connection may take; in force from its next byte or look.
    fn set_patience(&mut self, conn: ConnId, patience: Patience);

    /// The connection's output buffer, to append to without a copy. `None` when it is gone or closing. Its bound is
    /// checked at the next poll.
    fn output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>>;

    /// Bytes queued and not yet taken by the kernel; zero when the connection is gone.
    fn queued_bytes(&self, conn: ConnId) -> usize;

    /// Closes after what is queued was sent. Reads no more from this moment; `closed` follows.
    fn close(&mut self, conn: ConnId);

    /// Closes at once, so that the peer sees a reset and no end; what is queued is dropped. `closed` follows.
    fn abort(&mut self, conn: ConnId);

    /// Delivers no more input until [`Wire::resume`]: too many requests of this connection are under way.
    fn pause(&mut self, conn: ConnId);

    /// Delivers input again, first what arrived before.
    fn resume(&mut self, conn: ConnId);

    /// Accepts no more. Connections stay.
    fn stop_accepting(&mut self);

    /// Number of connections, closing ones included.
    fn connections(&self) -> usize;

    /// Readable (level-triggered) while completions wait. Only to be waited on.
    fn descriptor(&self) -> RawFd;

    /// True when a poll has something to do now: the loop must not park.
    fn has_work(&mut self) -> bool;

    /// When the next poll is due even if nothing arrives, for time-outs. `None`: no time-out is running.
    fn next_deadline_ns(&self) -> Option<u64>;

    /// Counters since the start.
    fn metrics(&self) -> WireMetrics;
}
