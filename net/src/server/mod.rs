//! HTTP and WebSocket connections, between a wire and a service.
//!
//! **Runs on**: the shard that owns the wire. **Owns**: the parser, a pipeline per connection, the WebSocket sessions.
//! **Invariants**: answers leave in the order of their requests, each exactly once; a fault is answered once and ends its
//! connection; a WebSocket's service hears of its end exactly once. The service sees whole requests and messages only.
//! **Bounds**: [`ServerLimits`] and the wire's [`crate::wire::WireConfig`].
//! **Never**: blocks, reads a clock, keeps an answer it was handed.
//!
//! The loop: `wire.poll(now_ns, &mut server.with(&mut service))`, then [`Server::answer`] for what has become ready, then
//! [`Server::tick`].

mod connection;
mod events;
mod limits;
mod sockets;

use std::rc::Rc;

use crate::http::{Appended, HttpDate, HttpError, Parser, Released, ReplyMode, Request, Ticket, response};
use crate::waiting::Waiting;
use crate::wire::{ConnId, Wire};
use crate::ws;

use connection::{Connection, HttpState, Protocol};
pub use events::Events;
pub use limits::ServerLimits;
pub use sockets::{Acceptance, Socket, Unsent};

/// What serves requests and messages.
pub trait Service {
    /// A request is complete. Answer it here, or keep [`Requested::id`] and call [`Server::answer`] later.
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>);

    /// A streamed answer ([`Server::append`]) can go on: it had been refused a piece and there is room, its turn has come, or
    /// its connection is gone and the next piece finds that out.
    fn may_stream(&mut self, id: RequestId) {
        let _ = id;
    }

    /// A WebSocket is open.
    fn opened(&mut self, conn: ConnId, socket: &mut Socket<'_>) {
        let _ = (conn, socket);
    }

    /// A message came over a WebSocket.
    fn message(&mut self, conn: ConnId, message: ws::Message<'_>, socket: &mut Socket<'_>) {
        let _ = (conn, message, socket);
    }

    /// A WebSocket that had no room for `missed` messages has room again: send what it needs to catch up.
    fn lagged(&mut self, conn: ConnId, missed: u64, socket: &mut Socket<'_>) {
        let _ = (conn, missed, socket);
    }

    /// A WebSocket has ended, in whatever way.
    fn socket_closed(&mut self, conn: ConnId) {
        let _ = conn;
    }
}

/// A request that waits for its answer. Answering it when its connection is gone does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    conn: ConnId,
    ticket: Ticket,
}

impl RequestId {
    /// The connection it came over.
    #[must_use]
    pub fn conn(self) -> ConnId {
        self.conn
    }
}

/// The place of a request's answer, while the request is read.
pub struct Requested<'a> {
    id: RequestId,
    http: &'a mut HttpState,
    out: &'a mut Vec<u8>,
    date: &'a HttpDate,
    outcome: &'a mut Outcome,
    message: ws::Limits,
    codecs: &'a Rc<ws::Codecs>,
    draining: bool,
}

/// What became of a request while it was read.
#[derive(Default)]
enum Outcome {
    /// It will be answered later.
    #[default]
    Kept,
    /// It was answered.
    Answered { close: bool, turn: Option<Ticket> },
    /// The connection speaks WebSocket from here on.
    Upgraded(Box<ws::Session>),
}

impl Requested<'_> {
    /// For answering later.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Answers now: `write` appends one complete answer.
    pub fn answer(self, write: impl FnOnce(&mut Vec<u8>, ReplyMode, &HttpDate)) {
        let date = self.date;
        let released =
            self.http.pipeline.complete(self.id.ticket, self.out, |out, mode| write(out, mode, date));
        *self.outcome = Outcome::Answered { close: released.close, turn: released.turn };
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerMetrics {
    /// Requests read.
    pub requests: u64,
    /// Requests that were no HTTP this server speaks, or too large.
    pub malformed: u64,
    /// WebSockets opened.
    pub sockets_opened: u64,
    /// WebSockets ended.
    pub sockets_closed: u64,
    /// WebSockets that broke the protocol.
    pub socket_faults: u64,
    /// WebSockets given up because nothing came from them.
    pub sockets_silent: u64,
    /// WebSocket messages received.
    pub messages_in: u64,
    /// WebSocket messages queued for sending.
    pub messages_out: u64,
    /// WebSocket messages left out for want of room.
    pub messages_missed: u64,
}

/// See the module's contract.
pub struct Server {
    limits: ServerLimits,
    parser: Option<Parser>,
    inbox: Option<ws::Inbox>,
    codecs: Rc<ws::Codecs>,
    date: HttpDate,
    now_ns: u64,
    connections: Vec<Connection>,
    /// Streamed answers that wait for room or are to be told that they can go on.
    streams: Waiting<RequestId>,
    /// Connections that are not read until what waits to be sent on them has shrunk.
    choked: Waiting<ConnId>,
    /// WebSockets that have missed messages.
    lagging: Waiting<ConnId>,
    /// Where the sweep over WebSockets goes on.
    sweep_at: usize,
    sweep_ns: u64,
    sockets: usize,
    draining: bool,
    metrics: ServerMetrics,
}

impl Server {
    /// A server without connections.
    ///
    /// # Panics
    /// When the limits contradict each other.
    #[must_use]
    pub fn new(limits: ServerLimits) -> Self {
        limits.check();
        Self {
            limits,
            parser: Some(Parser::new(limits.request)),
            inbox: Some(ws::Inbox::new()),
            codecs: ws::Codecs::new(ws::Compression::default()),
            date: HttpDate::from_unix(0),
            now_ns: 0,
            connections: Vec::new(),
            streams: Waiting::default(),
            choked: Waiting::default(),
            lagging: Waiting::default(),
            sweep_at: 0,
            sweep_ns: 0,
            sockets: 0,
            draining: false,
            metrics: ServerMetrics::default(),
        }
    }

    /// Sets the time: monotonic as for the wire, and the calendar's for the Date header.
    pub fn set_time(&mut self, now_ns: u64, unix_seconds: u64) {
        self.now_ns = now_ns;
        self.date.update(unix_seconds);
    }

    /// The consumer of the wire's events, with the service that is to be called.
    pub fn with<'a, S: Service>(&'a mut self, service: &'a mut S) -> Events<'a, S> {
        Events { server: self, service }
    }

    /// Appends a piece of a streamed answer, whose end [`Server::answer`] makes; the first piece begins with the head
    /// ([`response::Response::chunked`]). A piece that finds [`Appended::Full`] is offered again after
    /// [`Service::may_stream`].
    ///
    /// [`Appended::Full`]: crate::http::Appended::Full
    pub fn append(
        &mut self,
        wire: &mut impl Wire,
        id: RequestId,
        write: impl FnOnce(&mut Vec<u8>, ReplyMode, &HttpDate),
    ) -> Appended {
        let queued = wire.queued_bytes(id.conn);
        let Some(http) = http_of(&mut self.connections, id.conn) else { return Appended::Gone };
        if queued > self.limits.stream_queue_bytes_max {
            self.streams.insert(id);
            return Appended::Full;
        }
        let Some(out) = wire.output(id.conn) else { return Appended::Gone };
        let date = &self.date;
        let appended = http.pipeline.append(id.ticket, out, |out, mode| write(out, mode, date));
        if appended == Appended::Full {
            self.streams.insert(id);
        }
        appended
    }

    /// Tells the streams that can go on.
    fn tell_streams<S: Service>(&mut self, wire: &impl Wire, service: &mut S) {
        let room = self.limits.stream_queue_bytes_max / 2;
        for id in self.streams.slice() {
            let ready = http_of(&mut self.connections, id.conn)
                .is_none_or(|http| http.pipeline.is_turn(id.ticket) && wire.queued_bytes(id.conn) <= room);
            if ready {
                self.streams.remove(id);
                service.may_stream(id);
            }
        }
    }

    /// Goes on with connections that have sent enough of what waited.
    fn relieve(&mut self, wire: &mut impl Wire) {
        for conn in self.choked.slice() {
            let Some(connection) = self.connections.get(conn.index()).filter(|place| place.id == Some(conn))
            else {
                self.choked.remove(conn);
                continue;
            };
            let limits = &self.limits;
            let (room, held) = match &connection.protocol {
                Protocol::Http(http) => (limits.stream_queue_bytes_max / 2, http.pipeline.is_held()),
                Protocol::Socket(_) => (limits.socket_queue_bytes_max / 2, false),
                Protocol::None => (0, false),
            };
            if wire.queued_bytes(conn) > room {
                continue;
            }
            self.choked.remove(conn);
            if held {
                self.release(wire, conn);
            } else {
                wire.resume(conn);
            }
        }
    }

    /// Writes more of the answers that wait in a pipeline.
    fn release(&mut self, wire: &mut impl Wire, conn: ConnId) {
        let Some(http) = http_of(&mut self.connections, conn) else { return };
        let Some(out) = wire.output(conn) else { return };
        let released = http.pipeline.release(out);
        self.follow(wire, conn, released);
    }

    /// Does what follows from answers that were written.
    fn follow(&mut self, wire: &mut impl Wire, conn: ConnId, released: Released) {
        let Some(http) = http_of(&mut self.connections, conn) else { return };
        if let Some(ticket) = released.turn {
            self.streams.insert(RequestId { conn, ticket });
        }
        if released.close || (http.ended && http.pipeline.depth() == 0) {
            wire.close(conn);
        } else if http.pipeline.is_held() {
            self.choked.insert(conn);
        } else {
            // It may be paused because the pipeline was full, or because it held answers.
            wire.resume(conn);
        }
    }

    /// Answers a request: `write` appends one complete answer, or the end of a streamed one. Does nothing when its
    /// connection is gone.
    pub fn answer(
        &mut self,
        wire: &mut impl Wire,
        id: RequestId,
        write: impl FnOnce(&mut Vec<u8>, ReplyMode, &HttpDate),
    ) {
        let Some(http) = http_of(&mut self.connections, id.conn) else { return };
        let Some(out) = wire.output(id.conn) else { return };
        let date = &self.date;
        let released = http.pipeline.complete(id.ticket, out, |out, mode| write(out, mode, date));
        if released.answers > 0 || http.pipeline.is_held() {
            self.follow(wire, id.conn, released);
        }
    }

    /// Ends gracefully: from here on a connection ends with the answer to its last whole request, connections without one are
    /// closed, and WebSockets are told that the server goes away (1001). Stop accepting first, and give it a deadline.
    pub fn drain(&mut self, wire: &mut impl Wire) {
        self.draining = true;
        for place in 0..self.connections.len() {
            let Some(conn) = self.connections[place].id else { continue };
            match &mut self.connections[place].protocol {
                Protocol::Http(http) if http.pipeline.depth() == 0 => wire.close(conn),
                Protocol::Http(http) => http.pipeline.end(),
                Protocol::Socket(_) => self.close_socket(wire, conn, ws::CloseCode::GOING_AWAY, ""),
                Protocol::None => {}
            }
        }
    }

    /// Connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.iter().filter(|connection| connection.id.is_some()).count()
    }

    /// WebSockets that are open.
    #[must_use]
    pub const fn sockets(&self) -> usize {
        self.sockets
    }

    /// Counters since the start.
    #[must_use]
    pub const fn metrics(&self) -> ServerMetrics {
        self.metrics
    }
}

fn http_of(connections: &mut [Connection], conn: ConnId) -> Option<&mut HttpState> {
    let connection = connections.get_mut(conn.index()).filter(|connection| connection.id == Some(conn))?;
    match &mut connection.protocol {
        Protocol::Http(http) => Some(http),
        Protocol::Socket(_) | Protocol::None => None,
    }
}

/// Writes the answer to what was no request, in its turn. True when the connection is to be closed now.
fn answer_fault(http: &mut HttpState, error: HttpError, out: &mut Vec<u8>, date: &HttpDate) -> bool {
    let mode = ReplyMode { keep_alive: false, ..ReplyMode::default() };
    let Some(ticket) = http.pipeline.reserve(mode) else { return false };
    http.pipeline.complete(ticket, out, |out, _| response::write_error(out, error, date)).close
}
