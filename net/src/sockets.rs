//! Outgoing WebSockets: what a shard listens to at exchanges and asks them over.
//!
//! **Runs on**: the shard that owns the wire. **Owns**: a session for each connection that was handed in.
//! **Invariants**: a [`Feed`] hears of each WebSocket's opening at most once and of its end exactly once; after its end
//! nothing is delivered. A connection that is not established in time ends.
//! **Bounds**: [`SocketsLimits`].
//! **Never**: opens a connection, resolves a name, reads a clock or makes randomness: those are handed in.
//!
//! The loop: begin a connection (plain or TLS) on the wire and hand it to [`Sockets::begin`]; route the wire's events by
//! [`Sockets::owns`]; call [`Sockets::tick`] in each turn.

use std::rc::Rc;

use crate::waiting::Waiting;
use crate::wire::{ConnId, Ending, Patience, Stream, Wire};
use crate::ws::handshake::client::{ClientHandshake, ClientRequest, HandshakeError, InvalidRequest};
use crate::ws::{self, CloseCode, Event, Fault, Message, Session};

/// Bounds of outgoing WebSockets.
#[derive(Clone, Copy, Debug)]
pub struct SocketsLimits {
    /// Of one incoming message. 1 MiB and more: exchanges send whole order books in one.
    pub message: ws::Limits,
    /// Connection, TLS and handshake must be done within this, in nanoseconds.
    pub open_ns: u64,
    /// A WebSocket that was silent for so long is sent a ping, in nanoseconds.
    pub ping_ns: u64,
    /// A WebSocket that was silent for so long in spite of pings is given up, in nanoseconds.
    pub silence_ns: u64,
    /// How long the peer's part of a close handshake is awaited, in nanoseconds.
    pub close_ns: u64,
    /// Bytes that may wait to be sent on one connection: beyond it nothing more is sent, and nothing is read that could be
    /// answered.
    pub queue_bytes_max: usize,
}

impl Default for SocketsLimits {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            message: ws::Limits { message_bytes_max: 1 << 20, ..ws::Limits::default() },
            open_ns: 10 * SECOND,
            ping_ns: 20 * SECOND,
            silence_ns: 50 * SECOND,
            close_ns: 5 * SECOND,
            queue_bytes_max: 256 << 10,
        }
    }
}

/// Why a WebSocket ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketEnd {
    /// The server refused the handshake or did not understand it.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// The close handshake was made.
    #[error("closed by the peer: {code:?} {reason}")]
    Closed {
        /// `None` when the peer gave none.
        code: Option<u16>,
        /// For people; often empty.
        reason: String,
    },
    /// The peer broke the protocol.
    #[error("the peer broke the WebSocket protocol: {0}")]
    Fault(Fault),
    /// The peer ended the connection without a close handshake.
    #[error("the peer ended the connection without a close handshake")]
    Abrupt,
    /// The connection failed, or this side gave it up.
    #[error("the connection ended: {0:?}")]
    Connection(Ending),
}

/// Who is told.
pub trait Feed {
    /// The handshake is done; `protocol` is the sub-protocol that the server chose.
    fn opened(&mut self, conn: ConnId, protocol: Option<&str>, talk: &mut Talk<'_>);
    /// A message came.
    fn message(&mut self, conn: ConnId, message: Message<'_>, talk: &mut Talk<'_>);
    /// A ping or a pong of the protocol came: a sign of life without content.
    fn alive(&mut self, conn: ConnId) {
        let _ = conn;
    }
    /// The WebSocket ended, before or after it was open.
    fn ended(&mut self, conn: ConnId, end: SocketEnd);
}

/// The sending side of a WebSocket, while one of its events is handled.
pub struct Talk<'a> {
    session: &'a mut Session,
    out: &'a mut Vec<u8>,
}

impl Talk<'_> {
    /// Sends a message. False once the WebSocket is closing.
    pub fn send(&mut self, message: Message<'_>) -> bool {
        self.session.send(message, self.out).is_ok()
    }

    /// Begins the close handshake.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let _already_closing = self.session.close(code, reason, self.out);
    }
}

enum Phase {
    /// The request leaves when the connection is established, and waits for its answer then.
    Opening {
        request: Vec<u8>,
        handshake: ClientHandshake,
        masks: Option<ws::MaskSource>,
    },
    Open(Session),
    /// Its end was told.
    Ended,
}

struct Entry {
    conn: ConnId,
    phase: Phase,
    /// When it began; when open, when the last byte came; when ended, since when. In nanoseconds.
    since_ns: u64,
    pinged: bool,
    closing_ns: Option<u64>,
}

/// See the module's contract.
pub struct Sockets {
    limits: SocketsLimits,
    entries: Vec<Option<Box<Entry>>>,
    inbox: Option<ws::Inbox>,
    codecs: Rc<ws::Codecs>,
    now_ns: u64,
    /// Established connections whose request is to be written.
    established: Vec<ConnId>,
    /// Not read until their output has shrunk.
    choked: Waiting<ConnId>,
    swept_ns: u64,
    count: usize,
}

impl Sockets {
    /// Without connections.
    ///
    /// # Panics
    /// When a peer would be given up before it is asked.
    #[must_use]
    pub fn new(limits: SocketsLimits) -> Self {
        assert!(limits.ping_ns < limits.silence_ns, "a peer is asked before it is given up");
        Self {
            limits,
            entries: Vec::new(),
            inbox: Some(ws::Inbox::new()),
            codecs: ws::Codecs::new(ws::Compression::default()),
            now_ns: 0,
            established: Vec::new(),
            choked: Waiting::default(),
            swept_ns: 0,
            count: 0,
        }
    }

    /// Takes a connection that was just begun and makes it a WebSocket once it is established. `key`: 16 random bytes;
    /// `masks`: see [`ws::MaskSource`].
    ///
    /// # Errors
    /// [`InvalidRequest`]; the connection is the caller's as before.
    pub fn begin(
        &mut self,
        conn: ConnId,
        request: &ClientRequest<'_>,
        key: [u8; 16],
        masks: ws::MaskSource,
    ) -> Result<(), InvalidRequest> {
        let mut bytes = Vec::new();
        let handshake = request.write(key, &mut bytes)?;
        if conn.index() >= self.entries.len() {
            self.entries.resize_with(conn.index() + 1, || None);
        }
        let phase = Phase::Opening { request: bytes, handshake, masks: Some(masks) };
        let entry = Entry { conn, phase, since_ns: self.now_ns, pinged: false, closing_ns: None };
        self.entries[conn.index()] = Some(Box::new(entry));
        self.count += 1;
        Ok(())
    }

    /// Whether a connection is one of these.
    #[must_use]
    pub fn owns(&self, conn: ConnId) -> bool {
        self.entries.get(conn.index()).and_then(Option::as_ref).is_some_and(|entry| entry.conn == conn)
    }

    /// How many there are, those being opened or closed included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn entry(&mut self, conn: ConnId) -> Option<&mut Entry> {
        self.entries.get_mut(conn.index())?.as_deref_mut().filter(|entry| entry.conn == conn)
    }

    /// The wire established a connection.
    pub fn connected(&mut self, conn: ConnId) {
        self.established.push(conn);
    }

    /// The wire delivers bytes.
    pub fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>, feed: &mut impl Feed) {
        let (now_ns, codecs, message) = (self.now_ns, Rc::clone(&self.codecs), self.limits.message);
        let patience = Patience { request_ns: self.limits.silence_ns, idle_ns: 2 * self.limits.silence_ns };
        let Some(entry) = self.entry(conn) else { return stream.close() };
        if let Phase::Opening { handshake, masks, .. } = &mut entry.phase {
            match handshake.read(stream.input(), stream.ended()) {
                Ok(None) => return,
                Ok(Some(established)) => {
                    stream.consume(established.consumed_bytes);
                    stream.set_patience(patience);
                    let deflate = established.deflate.map(|agreement| ws::Deflate { agreement, codecs });
                    let masks = masks.take().expect("taken once, when the phase ends");
                    entry.phase = Phase::Open(Session::client(message, deflate, masks));
                    entry.since_ns = now_ns;
                    let Phase::Open(session) = &mut entry.phase else { return };
                    let mut talk = Talk { session, out: stream.output() };
                    feed.opened(conn, established.protocol.as_deref(), &mut talk);
                }
                Err(error) => {
                    entry.phase = Phase::Ended;
                    entry.since_ns = now_ns;
                    feed.ended(conn, error.into());
                    stream.consume(stream.input().len());
                    return stream.close();
                }
            }
        }
        if matches!(self.entry(conn), Some(Entry { phase: Phase::Ended, .. })) {
            stream.consume(stream.input().len());
            if stream.ended() {
                stream.close();
            }
            return;
        }
        self.read_messages(conn, stream, feed);
    }

    fn read_messages(&mut self, conn: ConnId, stream: &mut Stream<'_>, feed: &mut impl Feed) {
        let mut inbox = self.inbox.take().expect("events do not nest");
        let (now_ns, queue_bytes_max) = (self.now_ns, self.limits.queue_bytes_max);
        if let Some(entry) = self.entry(conn) {
            entry.since_ns = now_ns;
            entry.pinged = false;
        }
        // Taken, because the entry is borrowed beside it.
        let mut choked = std::mem::take(&mut self.choked);
        let end = self
            .entry(conn)
            .and_then(|entry| read(entry, stream, &mut inbox, feed, queue_bytes_max, &mut choked));
        self.choked = choked;
        if let Some(entry) = self.entry(conn)
            && let Some(end) = end
        {
            entry.phase = Phase::Ended;
            // After a close handshake it is the server that ends the connection (RFC 6455 §7.1.1); this end waits a while.
            let waits = matches!(end, SocketEnd::Closed { .. }) && !stream.ended();
            feed.ended(conn, end);
            if !waits {
                stream.close();
            }
        }
        self.inbox = Some(inbox);
    }

    /// The wire ended a connection.
    pub fn closed(&mut self, conn: ConnId, ending: Ending, feed: &mut impl Feed) {
        if !self.owns(conn) {
            return;
        }
        self.count -= 1;
        if let Some(entry) = self.entries[conn.index()].take()
            && !matches!(entry.phase, Phase::Ended)
        {
            feed.ended(conn, SocketEnd::Connection(ending));
        }
    }

    /// Sends a message. False when the WebSocket is not open, or its output is full.
    pub fn send(&mut self, wire: &mut impl Wire, conn: ConnId, message: Message<'_>) -> bool {
        if wire.queued_bytes(conn) > self.limits.queue_bytes_max {
            return false;
        }
        let Some(Entry { phase: Phase::Open(session), .. }) = self.entry(conn) else { return false };
        wire.output(conn).is_some_and(|out| session.send(message, out).is_ok())
    }

    /// Begins the close handshake; a WebSocket that is not open yet ends at once.
    pub fn close(&mut self, wire: &mut impl Wire, conn: ConnId, code: CloseCode, reason: &str) {
        let now_ns = self.now_ns;
        let Some(entry) = self.entry(conn) else { return };
        entry.closing_ns.get_or_insert(now_ns);
        match &mut entry.phase {
            Phase::Open(session) => {
                if let Some(out) = wire.output(conn) {
                    let _already_closing = session.close(code, reason, out);
                }
            }
            Phase::Opening { .. } => wire.abort(conn),
            Phase::Ended => {}
        }
    }

    /// Writes the requests of established connections; sends pings; gives up what takes too long.
    pub fn tick(&mut self, now_ns: u64, wire: &mut impl Wire) {
        self.now_ns = now_ns;
        for conn in std::mem::take(&mut self.established) {
            if let Some(Entry { phase: Phase::Opening { request, .. }, .. }) = self.entry(conn)
                && let Some(out) = wire.output(conn)
            {
                out.append(request);
            }
        }
        self.relieve(wire);
        if self.count == 0 || now_ns.saturating_sub(self.swept_ns) < SWEEP_NS {
            return;
        }
        self.swept_ns = now_ns;
        let limits = self.limits;
        for entry in self.entries.iter_mut().flatten() {
            let silent_ns = now_ns.saturating_sub(entry.since_ns);
            let over = match &mut entry.phase {
                Phase::Opening { .. } => silent_ns > limits.open_ns,
                Phase::Ended => silent_ns > limits.close_ns,
                Phase::Open(session) => {
                    if !session.is_open() {
                        entry.closing_ns.get_or_insert(now_ns);
                    }
                    if silent_ns > limits.ping_ns
                        && !entry.pinged
                        && let Some(out) = wire.output(entry.conn)
                    {
                        entry.pinged = session.ping(b"", out).is_ok();
                    }
                    let since = entry.closing_ns;
                    since.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) > limits.close_ns)
                        || silent_ns > limits.silence_ns
                }
            };
            if over {
                wire.abort(entry.conn);
            }
        }
    }

    /// Reads on where enough of what waited was sent.
    fn relieve(&mut self, wire: &mut impl Wire) {
        let room = self.limits.queue_bytes_max / 2;
        for conn in self.choked.slice() {
            // One that is gone has nothing queued, and its resumption does nothing.
            if wire.queued_bytes(conn) <= room {
                self.choked.remove(conn);
                wire.resume(conn);
            }
        }
    }

    /// When [`Sockets::tick`] has something to do even if nothing arrives.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let looking_ns = self.choked.due_ns(self.now_ns);
        let sweep_ns = (self.count > 0).then_some(self.swept_ns.saturating_add(SWEEP_NS));
        looking_ns.into_iter().chain(sweep_ns).min()
    }
}

/// Every WebSocket is looked at this often, in nanoseconds.
const SWEEP_NS: u64 = 500_000_000;

/// Reads messages up to the end of the input, or of the WebSocket.
fn read(
    entry: &mut Entry,
    stream: &mut Stream<'_>,
    inbox: &mut ws::Inbox,
    feed: &mut impl Feed,
    queue_bytes_max: usize,
    choked: &mut Waiting<ConnId>,
) -> Option<SocketEnd> {
    let Phase::Open(session) = &mut entry.phase else { return None };
    loop {
        if stream.queued_bytes() > queue_bytes_max {
            stream.pause();
            choked.insert(entry.conn);
            return None;
        }
        match session.step(stream.input(), inbox, stream.output()) {
            Ok(ws::Step { consumed_bytes, event }) => {
                stream.consume(consumed_bytes);
                match event {
                    Some(Event::Message(message)) => {
                        feed.message(entry.conn, message, &mut Talk { session, out: stream.output() });
                    }
                    Some(Event::Ping(_) | Event::Pong(_)) => feed.alive(entry.conn),
                    Some(Event::Closed { code, reason }) => {
                        let code = code.map(CloseCode::get);
                        return Some(SocketEnd::Closed { code, reason: reason.to_owned() });
                    }
                    None if stream.ended() => return Some(SocketEnd::Abrupt),
                    None => return None,
                }
            }
            Err(fault) => {
                stream.consume(stream.input().len());
                return Some(SocketEnd::Fault(fault));
            }
        }
    }
}
