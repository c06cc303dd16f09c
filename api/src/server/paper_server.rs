//! The paper exchange over a wire: plain HTTP and WebSocket, whatever the wire is made of.
//!
//! **Runs on**: its caller's thread; `coinbitclub paper` and the simulator drive it. **Owns**: the wire, the connections, the
//! exchange, answers that are due later. **Invariants**: an answer leaves no earlier than the exchange says.
//! **Bounds**: those of `net::server` and of the exchange; answers that wait are at most the requests under way.
//! **Never**: reads a clock.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use engine::core::ids::Timestamp;
use exchange::paper_exchange::transport::{HttpAnswer, HttpIn, Outcome, SocketOut};
use exchange::paper_exchange::{ConnNo, PaperExchange};
use net::http::{HttpDate, Method, ReplyMode, Request, response};
use net::server::{Acceptance, RequestId, Requested, Server, ServerLimits, Service, Socket};
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};
use net::ws::handshake::server::Upgrade;
use net::ws::{CloseCode, Message};

/// Bytes of an answer or of what waits on a WebSocket: a client that follows many accounts reads in bursts.
const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// The bounds of the wire that it needs.
#[must_use]
pub fn wire_config() -> WireConfig {
    WireConfig { output_bytes_max: OUTPUT_BYTES_MAX, ..WireConfig::default() }
}

/// What a request came to, until it may be seen.
struct Pending {
    id: RequestId,
    outcome: Outcome,
}

/// The exchange as a service.
struct Paper {
    exchange: PaperExchange,
    now: Timestamp,
    peers: BTreeMap<ConnId, IpAddr>,
    pending: BTreeMap<(Timestamp, u64), Pending>,
    asked: u64,
}

/// A connection's number at the exchange.
fn number(conn: ConnId) -> ConnNo {
    ConnNo(u64::from(conn.generation()) << 32 | u64::try_from(conn.index()).unwrap_or(u64::MAX))
}

impl Paper {
    fn peer(&self, conn: ConnId) -> IpAddr {
        self.peers.get(&conn).copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The target as it was sent, which is what is signed.
fn target_of(request: &Request<'_>) -> String {
    let (path, query) = (request.head.path, request.head.query);
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

const fn method_of(request: &Request<'_>) -> &'static str {
    match request.head.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
    }
}

fn write_answer(out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate, answer: &HttpAnswer) {
    let begun = response::begin(out, answer.status, mode, date);
    let begun = answer.headers.iter().fold(begun, |begun, (name, value)| begun.header(name, value));
    begun.body("application/json", answer.body.as_bytes());
}

impl Service for Paper {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        let conn = requested.id().conn();
        let from = self.peer(conn);
        if request.head.upgrade {
            let upgrade = match Upgrade::check(request.head) {
                Ok(upgrade) => upgrade,
                Err(refusal) => return requested.refuse(refusal),
            };
            match self.exchange.socket_open(self.now, number(conn), from, &target_of(request)) {
                Ok(()) => requested.accept(&upgrade, &Acceptance::default()),
                Err(answer) => {
                    requested.answer(|out, mode, date| write_answer(out, mode, date, &answer));
                }
            }
            return;
        }
        let call = HttpIn {
            method: method_of(request).to_owned(),
            target: target_of(request),
            headers: request.head.headers().map(|(name, value)| (text(name), text(value))).collect(),
            body: request.body.to_vec(),
        };
        let told = self.exchange.http(self.now, from, &call);
        self.asked += 1;
        self.pending.insert((told.at, self.asked), Pending { id: requested.id(), outcome: told.what });
    }

    fn message(&mut self, conn: ConnId, message: Message<'_>, _socket: &mut Socket<'_>) {
        if let Message::Text(text) = message {
            self.exchange.socket_message(self.now, number(conn), text);
        }
    }

    fn socket_closed(&mut self, conn: ConnId) {
        self.exchange.socket_closed(number(conn));
    }
}

/// The server's events, with a note of who is at the other end.
struct Noting<'a> {
    server: &'a mut Server,
    paper: &'a mut Paper,
}

impl WireEvents for Noting<'_> {
    fn accepted(&mut self, conn: ConnId, arrival: Arrival) {
        self.paper.peers.insert(conn, arrival.peer.ip());
        self.server.with(self.paper).accepted(conn, arrival);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.server.with(self.paper).received(conn, stream);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.server.with(self.paper).closed(conn, ending);
        self.paper.peers.remove(&conn);
    }
}

/// See the module's head.
pub struct PaperServer<W> {
    wire: W,
    server: Server,
    paper: Paper,
}

impl<W: Wire> PaperServer<W> {
    /// An exchange behind a wire that was made with [`wire_config`].
    #[must_use]
    pub fn new(exchange: PaperExchange, wire: W, now: Timestamp) -> Self {
        let limits = ServerLimits { socket_queue_bytes_max: OUTPUT_BYTES_MAX / 2, ..ServerLimits::default() };
        let paper = Paper { exchange, now, peers: BTreeMap::new(), pending: BTreeMap::new(), asked: 0 };
        Self { wire, server: Server::new(limits), paper }
    }

    /// The exchange.
    #[must_use]
    pub const fn exchange(&self) -> &PaperExchange {
        &self.paper.exchange
    }

    /// The exchange, to be disturbed.
    pub const fn exchange_mut(&mut self) -> &mut PaperExchange {
        &mut self.paper.exchange
    }

    /// The wire, to wait on.
    pub const fn wire_mut(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Takes no more connections, and ends those that have nothing under way.
    pub fn stop(&mut self) {
        self.wire.stop_accepting();
        self.server.drain(&mut self.wire);
    }

    /// Takes in what arrived and sends what is due; `mono_ns` is the wire's clock. True when there may be more at once.
    ///
    /// # Errors
    /// The wire's.
    pub fn turn(&mut self, mono_ns: u64, now: Timestamp) -> io::Result<bool> {
        self.paper.now = now;
        self.server.set_time(mono_ns, now.0 / 1_000_000);
        let Self { wire, server, paper } = self;
        wire.poll(mono_ns, &mut Noting { server, paper })?;
        let more = self.send_due();
        self.server.tick(&mut self.wire, &mut self.paper);
        Ok(more || self.wire.has_work())
    }

    /// Sends what is due: answers, and messages on WebSockets.
    fn send_due(&mut self) -> bool {
        let Self { wire, server, paper } = self;
        let mut sent = Vec::new();
        let more = paper.exchange.poll(paper.now, &mut |conn, out| sent.push((conn, out)));
        while let Some(first) = paper.pending.first_entry().filter(|first| first.key().0 <= paper.now) {
            let Pending { id, outcome } = first.remove();
            match outcome {
                Outcome::Answer(answer) => {
                    server.answer(wire, id, |out, mode, date| write_answer(out, mode, date, &answer));
                }
                Outcome::Drop => wire.abort(id.conn()),
            }
        }
        let by_number: BTreeMap<ConnNo, ConnId> = if sent.is_empty() {
            BTreeMap::new()
        } else {
            paper.peers.keys().map(|conn| (number(*conn), *conn)).collect()
        };
        for (conn, out) in sent {
            let Some(conn) = by_number.get(&conn).copied() else { continue };
            match out {
                SocketOut::Text(text) => {
                    if server.send(wire, conn, Message::Text(&text)).is_err() {
                        // What was left out cannot be told later: the client has to begin anew.
                        wire.abort(conn);
                    }
                }
                // The server has pings of its own.
                SocketOut::Ping => {}
                SocketOut::Close(code) => {
                    let code = CloseCode::new(code).unwrap_or(CloseCode::GOING_AWAY);
                    server.close_socket(wire, conn, code, "");
                }
                SocketOut::Drop => wire.abort(conn),
            }
        }
        more
    }

    /// How long nothing is due, at [`PaperServer::turn`]'s time; `None`: until something arrives.
    #[must_use]
    pub fn quiet(&self, mono_ns: u64) -> Option<Duration> {
        let network = self.wire.next_deadline_ns().into_iter().chain(self.server.next_deadline_ns()).min();
        let network = network.map(|due| Duration::from_nanos(due.saturating_sub(mono_ns)));
        let now = self.paper.now;
        let due = self.paper.exchange.next_due(now).into_iter();
        let due = due.chain(self.paper.pending.keys().next().map(|key| key.0)).min();
        let due = due.map(|due| Duration::from_micros(due.micros_since(now)));
        network.into_iter().chain(due).min()
    }
}
