//! What is kept of one connection.

use crate::http::Pipeline;
use crate::wire::ConnId;
use crate::ws;

/// One place in the table of connections.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) id: Option<ConnId>,
    pub(super) protocol: Protocol,
}

/// Which protocol a connection speaks now.
#[derive(Default)]
pub(super) enum Protocol {
    /// Nobody is connected.
    #[default]
    None,
    /// HTTP/1.1.
    Http(HttpState),
    /// WebSocket, after the upgrade. Boxed, so that places of other connections stay small.
    Socket(Box<SocketState>),
}

/// A connection that speaks HTTP.
pub(super) struct HttpState {
    pub(super) pipeline: Pipeline,
    /// The peer sends no more: close after the last answer.
    pub(super) ended: bool,
}

/// A connection that speaks WebSocket.
pub(super) struct SocketState {
    pub(super) session: ws::Session,
    /// When the last byte came, in nanoseconds.
    pub(super) heard_ns: u64,
    /// A ping was sent since.
    pub(super) pinged: bool,
    /// Our close frame was sent, at this moment in nanoseconds.
    pub(super) closing_ns: Option<u64>,
    /// Messages left out since there was no room.
    pub(super) missed: u64,
}
