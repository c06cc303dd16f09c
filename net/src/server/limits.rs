//! The bounds of the server side, together, each with the reason for its number.

use crate::http;
use crate::ws;

/// Bounds of a [`super::Server`]. Those of connections and bytes are in [`crate::wire::WireConfig`].
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Of one request.
    pub request: http::Limits,
    /// Unanswered requests of one connection; then its reading pauses. 64: more than browsers and programs send ahead.
    pub pipeline_max: usize,
    /// Of one incoming WebSocket message.
    pub message: ws::Limits,
    /// Bytes that may wait to be sent to one WebSocket, below [`crate::wire::WireConfig::output_bytes_max`]. A message that
    /// finds no room is left out and counted, and the service is told when there is room again. 256 KiB: a thousand updates.
    pub socket_queue_bytes_max: usize,
    /// Bytes that may wait to be sent on a connection before a streamed answer has to pause, below
    /// [`crate::wire::WireConfig::output_bytes_max`].
    pub stream_queue_bytes_max: usize,
    /// A WebSocket that was silent for so long is sent a ping, in nanoseconds. 25 s: proxies and NATs forget connections
    /// after 30 to 60 s of silence.
    pub ping_ns: u64,
    /// A WebSocket that was silent for so long in spite of pings is given up, in nanoseconds.
    pub silence_ns: u64,
    /// How long the peer's part of a close handshake is awaited, in nanoseconds.
    pub close_ns: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            request: http::Limits::default(),
            pipeline_max: 64,
            message: ws::Limits::default(),
            socket_queue_bytes_max: 256 << 10,
            stream_queue_bytes_max: 256 << 10,
            ping_ns: 25 * SECOND,
            silence_ns: 60 * SECOND,
            close_ns: 5 * SECOND,
        }
    }
}

impl ServerLimits {
    pub(super) fn check(&self) {
        assert!(self.pipeline_max > 0, "a connection has at least one request under way");
        assert!(self.ping_ns < self.silence_ns, "a peer is asked before it is given up");
    }
}
