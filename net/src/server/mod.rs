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

use crate::http::{Appended, HttpDate, HttpError, Parser, ReplyMode, Request, Ticket, response};
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

    /// A streamed answer ([`Server::append`]) that had been refused a piece can go on.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
        let last = self.draining && self.http.pipeline.depth() == 1;
        let released = self.http.pipeline.complete(self.id.ticket, self.out, |out, mode| {
            write(out, settle(mode, last), date);
        });
        *self.outcome = Outcome::Answered { close: released.close || last, turn: released.turn };
    }
}

/// The last answer of a connection says so.
fn settle(mode: ReplyMode, last: bool) -> ReplyMode {
    ReplyMode { keep_alive: mode.keep_alive && !last, ..mode }
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
    /// Streamed answers that wait for room.
    streams: Vec<RequestId>,
    /// WebSockets that have missed messages.
    lagging: Vec<ConnId>,
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
            streams: Vec::new(),
            lagging: Vec::new(),
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
            if !self.streams.contains(&id) {
                self.streams.push(id);
            }
            return Appended::Full;
        }
        let Some(out) = wire.output(id.conn) else { return Appended::Gone };
        let date = &self.date;
        http.pipeline.append(id.ticket, out, |out, mode| write(out, mode, date))
    }

    /// Tells the streams that have room again.
    fn tell_streams<S: Service>(&mut self, wire: &impl Wire, service: &mut S) {
        let room = self.limits.stream_queue_bytes_max / 2;
        // A connection that is gone has nothing queued: its stream learns of that when it goes on.
        let ready = self.streams.extract_if(.., |id| wire.queued_bytes(id.conn) <= room);
        for id in ready.collect::<Vec<_>>() {
            service.may_stream(id);
        }
    }

    /// Answers a request: `write` appends one complete answer, or the end of a streamed one. Does nothing when its
    /// connection is gone. Gives the streamed answer whose turn has come by this, to be gone on with.
    pub fn answer(
        &mut self,
        wire: &mut impl Wire,
        id: RequestId,
        write: impl FnOnce(&mut Vec<u8>, ReplyMode, &HttpDate),
    ) -> Option<RequestId> {
        let http = http_of(&mut self.connections, id.conn)?;
        let out = wire.output(id.conn)?;
        let date = &self.date;
        let last = self.draining && http.pipeline.depth() == 1;
        let released = http.pipeline.complete(id.ticket, out, |out, mode| {
            write(out, settle(mode, last), date);
        });
        let done = (http.ended || self.draining) && http.pipeline.depth() == 0;
        if released.close || done {
            wire.close(id.conn);
        } else if released.room {
            wire.resume(id.conn);
        }
        released.turn.map(|ticket| RequestId { ticket, ..id })
    }

    /// Ends gracefully: from here on a connection ends with the answer to what it has under way, connections without such a
    /// request are closed, and WebSockets are told that the server goes away (1001). Stop accepting first, and give it a deadline.
    pub fn drain(&mut self, wire: &mut impl Wire) {
        self.draining = true;
        for place in 0..self.connections.len() {
            let Some(conn) = self.connections[place].id else { continue };
            match &self.connections[place].protocol {
                Protocol::Http(http) if http.pipeline.depth() == 0 => wire.close(conn),
                Protocol::Socket(_) => self.close_socket(wire, conn, ws::CloseCode::GOING_AWAY, ""),
                Protocol::Http(_) | Protocol::None => {}
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
