//! Moves a connector's requests and messages over the shard's wire, and what came of them back.
//!
//! **Runs on**: the shard that owns the wire and the connector. **Owns**: the HTTP pool and the WebSockets of one connector.
//! **Invariants**: every call that a connector hands over is told its end exactly once, and every socket its end: whether any
//! byte left is told as `net` knows it, never guessed. What the wire tells is kept until [`Transport::tick`], in its order.
//! **Bounds**: those of `net::client`, `net::sockets` and `backlog`; [`NEWS_MAX`] messages between two ticks.
//! **Never**: resolves a name or reads a clock.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use engine::core::ids::Timestamp;
use engine::seam::Entropy;
use net::client::{
    CallId, Dial, NotSent, Origin, OriginError, OriginId, OriginLimits, Outcome, Pool, PoolLimits, Request,
    Security, Urgency,
};
use net::sockets::{Feed, SocketEnd, Sockets, SocketsLimits, Talk};
use net::wire::{ConnId, Ending, Patience, Stream, Wire};
use net::ws::handshake::client::{ClientRequest, HandshakeError};
use net::ws::{CloseCode, Message};

use super::backlog::{Backlog, SOCKET_BYTES};
use super::connector::{CallEnd, Connector, Outgoing, Server, Shape, SocketId, Tag};
use super::pacing::Purpose;
use super::protocol::HttpReply;

/// Messages kept between two ticks; beyond it the socket that brings them is ended, and the connector asks for what it
/// missed. A shard ticks in each of its turns, so that this is far more than one turn's reading.
pub const NEWS_MAX: usize = 16_384;
/// Largest answer: the instrument lists of both exchanges are 1 to 3 MB.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Connections to an exchange's requests at once: enough for the calls that a connector has under way.
const CONNECTIONS_MAX: usize = 16;
/// Of these, how many entries and what can wait leave to exits and to finding out: a fifth, as of every budget.
const CONNECTIONS_KEPT: usize = 3;

/// One of an exchange's servers, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// For the Host header and the certificate.
    pub host: String,
    /// Where it is.
    pub addresses: Vec<SocketAddr>,
    /// Whether the connection is protected.
    pub security: Security,
    /// The address of this machine that the exchange knows the keys by.
    pub source: Option<IpAddr>,
}

/// All servers of an exchange in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Requests.
    pub rest: Endpoint,
    /// Requests about keys.
    pub wallet: Endpoint,
    /// Order entry by WebSocket.
    pub trade: Endpoint,
    /// Private streams.
    pub private: Endpoint,
    /// Streams of the market; `None` where the environment has none: prices then come by requests.
    pub public: Option<Endpoint>,
}

impl Endpoints {
    /// All servers at one place: the paper exchange.
    #[must_use]
    pub fn all_at(endpoint: &Endpoint) -> Self {
        Self {
            rest: endpoint.clone(),
            wallet: endpoint.clone(),
            trade: endpoint.clone(),
            private: endpoint.clone(),
            public: Some(endpoint.clone()),
        }
    }

    const fn of(&self, server: Server) -> Option<&Endpoint> {
        match server {
            Server::Rest => Some(&self.rest),
            Server::Wallet => Some(&self.wallet),
            Server::Trade => Some(&self.trade),
            Server::Private => Some(&self.private),
            Server::Public => self.public.as_ref(),
        }
    }
}

fn urgency_of(purpose: Purpose) -> Urgency {
    match purpose {
        Purpose::Close if !planted::planted!("exit_waits_for_connections_behind_entries") => Urgency::First,
        Purpose::Ascertain | Purpose::Reconcile => Urgency::Soon,
        _ => Urgency::Usual,
    }
}

enum News {
    Opened(ConnId),
    Text(ConnId, String),
    Alive(ConnId),
    Ended(ConnId),
    Refused(ConnId, Refused),
}

/// How a server said that it opens no socket.
struct Refused {
    status: u16,
    retry_after: Option<String>,
    body_start: String,
}

/// See the module's head.
pub struct Transport<E> {
    endpoints: Endpoints,
    pool: Pool,
    rest: OriginId,
    wallet: OriginId,
    sockets: Sockets,
    calls: BTreeMap<CallId, Tag>,
    conns: BTreeMap<SocketId, ConnId>,
    ids: BTreeMap<ConnId, SocketId>,
    backlog: Backlog,
    news: VecDeque<News>,
    flooded: Vec<ConnId>,
    /// Which address a socket is opened to next, so that a dead one is not tried for ever.
    turn: usize,
    entropy: E,
}

/// Keeps what the sockets tell until the tick.
struct Kept<'a> {
    news: &'a mut VecDeque<News>,
    flooded: &'a mut Vec<ConnId>,
}

impl Feed for Kept<'_> {
    fn opened(&mut self, conn: ConnId, _protocol: Option<&str>, _talk: &mut Talk<'_>) {
        self.news.push_back(News::Opened(conn));
    }

    fn message(&mut self, conn: ConnId, message: Message<'_>, talk: &mut Talk<'_>) {
        let Message::Text(text) = message else { return };
        if self.news.len() >= NEWS_MAX {
            if !self.flooded.contains(&conn) {
                self.flooded.push(conn);
                talk.close(CloseCode::TRY_LATER, "too much at once");
            }
            return;
        }
        self.news.push_back(News::Text(conn, text.to_owned()));
    }

    fn alive(&mut self, conn: ConnId) {
        // One that does not fit is made up for by the messages that fill the list.
        if self.news.len() < NEWS_MAX {
            self.news.push_back(News::Alive(conn));
        }
    }

    fn ended(&mut self, conn: ConnId, end: SocketEnd) {
        self.news.push_back(match end {
            SocketEnd::Handshake(HandshakeError::Refused { status, retry_after, body_start, .. }) => {
                News::Refused(conn, Refused { status, retry_after, body_start })
            }
            _ => News::Ended(conn),
        });
    }
}

impl<E: Entropy + Clone> Transport<E> {
    /// A transport to these servers.
    ///
    /// # Errors
    /// [`OriginError`] for an endpoint without an address or with an unusable name.
    pub fn new(endpoints: Endpoints, entropy: E) -> Result<Self, OriginError> {
        let mut limits = PoolLimits::default();
        limits.answer.body_bytes_max = ANSWER_BYTES_MAX;
        let mut pool = Pool::new(limits);
        let origin = |endpoint: &Endpoint| {
            let mut origin = Origin::new(&endpoint.host, endpoint.addresses.clone(), endpoint.security);
            origin.source = endpoint.source;
            origin.limits = OriginLimits {
                connections_max: CONNECTIONS_MAX,
                connections_kept: CONNECTIONS_KEPT,
                ..OriginLimits::default()
            };
            origin
        };
        let rest = pool.register(origin(&endpoints.rest))?;
        let wallet = pool.register(origin(&endpoints.wallet))?;
        Ok(Self {
            endpoints,
            pool,
            rest,
            wallet,
            sockets: Sockets::new(SocketsLimits::default()),
            calls: BTreeMap::new(),
            conns: BTreeMap::new(),
            ids: BTreeMap::new(),
            backlog: Backlog::default(),
            news: VecDeque::new(),
            flooded: Vec::new(),
            turn: 0,
            entropy,
        })
    }

    /// The exchange is at other addresses now; connections that are open stay.
    ///
    /// # Errors
    /// [`OriginError`]; what is not usable is not taken.
    pub fn readdress(&mut self, endpoints: Endpoints) -> Result<(), OriginError> {
        self.pool.set_addresses(self.rest, endpoints.rest.addresses.clone())?;
        self.pool.set_addresses(self.wallet, endpoints.wallet.addresses.clone())?;
        self.endpoints = endpoints;
        Ok(())
    }

    /// Whether a connection of the wire is one of these.
    #[must_use]
    pub fn owns(&self, conn: ConnId) -> bool {
        self.pool.owns(conn) || self.sockets.owns(conn)
    }

    /// The wire's word that a connection is established.
    pub fn connected(&mut self, conn: ConnId) {
        if self.pool.owns(conn) {
            self.pool.connected(conn);
        } else {
            self.sockets.connected(conn);
        }
    }

    /// The wire's word that bytes came.
    pub fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        if self.pool.owns(conn) {
            self.pool.received(conn, stream);
        } else {
            let mut kept = Kept { news: &mut self.news, flooded: &mut self.flooded };
            self.sockets.received(conn, stream, &mut kept);
        }
    }

    /// The wire's word that a connection is gone.
    pub fn closed(&mut self, conn: ConnId, ending: Ending) {
        if self.pool.owns(conn) {
            self.pool.closed(conn, ending);
        } else {
            let mut kept = Kept { news: &mut self.news, flooded: &mut self.flooded };
            self.sockets.closed(conn, ending, &mut kept);
        }
    }

    /// Tells the connector what came, and does what it asks. True when there may be more at once.
    pub fn tick<P: Shape, W: Wire>(
        &mut self,
        now: Timestamp,
        now_ns: u64,
        connector: &mut Connector<P>,
        wire: &mut W,
        dial: &mut impl Dial<W>,
    ) -> bool {
        let mut busy = false;
        while let Some(news) = self.news.pop_front() {
            busy = true;
            match news {
                News::Opened(conn) => {
                    if let Some(socket) = self.ids.get(&conn) {
                        // From here on `net::sockets` keeps its time.
                        wire.set_patience(conn, Patience { request_ns: u64::MAX, idle_ns: u64::MAX });
                        connector.socket_opened(now, *socket);
                    }
                }
                News::Text(conn, text) => {
                    if let Some(socket) = self.ids.get(&conn) {
                        connector.socket_message(now, *socket, &text);
                    }
                }
                News::Alive(conn) => {
                    if let Some(socket) = self.ids.get(&conn) {
                        connector.socket_alive(now, *socket);
                    }
                }
                News::Ended(conn) => {
                    if let Some(socket) = self.forget(conn) {
                        connector.socket_closed(now, socket);
                    }
                }
                News::Refused(conn, Refused { status, retry_after, body_start }) => {
                    if let Some(socket) = self.forget(conn) {
                        let wanted = |name: &str| name.eq_ignore_ascii_case("retry-after");
                        let header = |name: &str| retry_after.as_deref().filter(|_| wanted(name));
                        let reply = HttpReply { status, header: &header, body: body_start.as_bytes() };
                        connector.socket_refused(now, socket, reply);
                    }
                }
            }
        }
        self.flooded.clear();
        self.pool.settle(now_ns, wire);
        busy |= self.tell_finished(now, connector);
        // What was let go before somebody was told so and has found no connection yet would be asked of an exchange that has shut
        // us out, which makes a ban longer (CASES.md, R2).
        if connector.pacer().is_shut_out(now) && !planted::planted!("calls_wait_through_a_ban") {
            self.pool.withdraw_waiting(self.rest);
            self.pool.withdraw_waiting(self.wallet);
        }
        self.pool.begin(now_ns, wire, dial);
        self.sockets.tick(now_ns, wire);
        busy |= self.tell_finished(now, connector);
        let Self { backlog, conns, sockets, .. } = self;
        busy |= backlog.flush(|socket, text| {
            conns.get(&socket).is_some_and(|conn| {
                wire.queued_bytes(*conn) < SOCKET_BYTES && sockets.send(wire, *conn, Message::Text(text))
            })
        });
        while let Some(outgoing) = connector.take_outgoing() {
            busy = true;
            self.perform(now, now_ns, outgoing, connector, wire, dial);
        }
        if let Some(socket) = connector.order_socket() {
            connector.set_crowded(socket, self.is_crowded(socket, wire));
        }
        self.pool.tick(now_ns, wire, dial);
        self.sockets.tick(now_ns, wire);
        busy
    }

    /// Tells the connector what became of its calls; true when there was any.
    fn tell_finished<P: Shape>(&mut self, now: Timestamp, connector: &mut Connector<P>) -> bool {
        let mut busy = false;
        while let Some(finished) = self.pool.take_finished() {
            busy = true;
            let Some(tag) = self.calls.remove(&finished.call) else { continue };
            match &finished.outcome {
                Outcome::NotSent(NotSent::Connect { .. } | NotSent::Closed(_)) => {
                    connector.call_done(now, tag, CallEnd::Unreachable);
                }
                Outcome::NotSent(_) => connector.call_done(now, tag, CallEnd::NotSent),
                // Also what broke the grammar: it may have come from the exchange or not.
                Outcome::NoAnswer(_) => connector.call_done(now, tag, CallEnd::NoAnswer),
                Outcome::Answered(answer) => {
                    let header = |name: &str| answer.header_str(name);
                    let reply = HttpReply { status: answer.status, header: &header, body: &answer.body };
                    connector.call_done(now, tag, CallEnd::Answered(reply));
                }
            }
        }
        busy
    }

    fn perform<P: Shape, W: Wire>(
        &mut self,
        now: Timestamp,
        now_ns: u64,
        outgoing: Outgoing,
        connector: &mut Connector<P>,
        wire: &mut W,
        dial: &mut impl Dial<W>,
    ) {
        match outgoing {
            Outgoing::Call { tag, server, call, deadline, purpose } => {
                let headers: Vec<(&str, &str)> =
                    call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let request = Request {
                    method: call.method,
                    target: &call.target,
                    headers: &headers,
                    body: &call.body,
                    answer_bytes_max: Some(ANSWER_BYTES_MAX),
                    urgency: urgency_of(purpose),
                };
                let origin = if server == Server::Wallet { self.wallet } else { self.rest };
                let deadline_ns = now_ns.saturating_add(deadline.micros_since(now).saturating_mul(1_000));
                match self.pool.call(origin, &request, deadline_ns) {
                    Ok(id) => {
                        self.calls.insert(id, tag);
                    }
                    Err(_refused) => connector.call_done(now, tag, CallEnd::NotSent),
                }
            }
            Outgoing::Open { socket, server, target } => {
                if self.open(socket, server, &target, wire, dial).is_none() {
                    connector.socket_closed(now, socket);
                }
            }
            Outgoing::Send { socket, text } => {
                let Some(conn) = self.conns.get(&socket).copied() else { return };
                let taken =
                    if self.is_crowded(socket, wire) && !planted::planted!("burst_over_a_socket_ends_it") {
                        self.backlog.push(socket, text)
                    } else {
                        self.sockets.send(wire, conn, Message::Text(&text))
                    };
                // A message that was not taken leaves the connector's picture wrong: it begins anew.
                if !taken {
                    wire.abort(conn);
                }
            }
            Outgoing::Close { socket } => match self.conns.get(&socket) {
                Some(conn) => self.sockets.close(wire, *conn, CloseCode::NORMAL, ""),
                None => connector.socket_closed(now, socket),
            },
        }
    }

    /// A connection of a socket is gone; which socket it was.
    fn forget(&mut self, conn: ConnId) -> Option<SocketId> {
        let socket = self.ids.remove(&conn)?;
        self.conns.remove(&socket);
        self.backlog.forget(socket);
        Some(socket)
    }

    /// Whether the network has as much of a socket's messages as it takes for now.
    fn is_crowded<W: Wire>(&self, socket: SocketId, wire: &W) -> bool {
        let full = |conn: &ConnId| wire.queued_bytes(*conn) >= SOCKET_BYTES;
        self.backlog.waits(socket) || self.conns.get(&socket).is_some_and(full)
    }

    fn open<W: Wire>(
        &mut self,
        socket: SocketId,
        server: Server,
        target: &str,
        wire: &mut W,
        dial: &mut impl Dial<W>,
    ) -> Option<()> {
        let endpoint = self.endpoints.of(server)?;
        let mut origin = Origin::new(&endpoint.host, endpoint.addresses.clone(), endpoint.security);
        origin.source = endpoint.source;
        self.turn = self.turn.wrapping_add(1);
        let address = *endpoint.addresses.get(self.turn % endpoint.addresses.len().max(1))?;
        let conn = dial.dial(wire, &origin, address).ok()?;
        let request =
            ClientRequest { host: &origin.host, target, headers: &[], protocols: &[], deflate: None };
        let mut key = [0; 16];
        self.entropy.fill(&mut key);
        let mut entropy = self.entropy.clone();
        let masks = Box::new(move || {
            let mut mask = [0; 4];
            entropy.fill(&mut mask);
            mask
        });
        if self.sockets.begin(conn, &request, key, masks).is_err() {
            wire.abort(conn);
            return None;
        }
        self.conns.insert(socket, conn);
        self.ids.insert(conn, socket);
        Some(())
    }

    /// When [`Transport::tick`] has something to do even if nothing arrives, in nanoseconds of the wire's clock.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.pool.next_deadline_ns().into_iter().chain(self.sockets.next_deadline_ns()).min()
    }
}

#[cfg(test)]
mod tests;
