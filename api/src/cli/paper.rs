//! `coinbitclub paper`: the paper exchange as a server, plain HTTP and WebSocket; [`serve`] also speaks TLS.
//!
//! **Runs on**: the thread that calls it, alone. **Owns**: the wire, the connections, the exchange, answers that are due later.
//! **Invariants**: an answer leaves no earlier than the exchange says; nothing but this file reads a clock.
//! **Bounds**: those of `net::server` and of the exchange; answers that wait are at most the requests under way.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use engine::core::ids::Timestamp;
use exchange::market::{Market, MarketFile, symbol_from_file_name};
use exchange::paper_exchange::transport::{HttpAnswer, HttpIn, Outcome, SocketOut};
use exchange::paper_exchange::{ConnNo, CoreSettings, PaperExchange};
use net::http::{HttpDate, Method, ReplyMode, Request, response};
use net::server::{Acceptance, RequestId, Requested, Server, ServerLimits, Service, Socket};
use net::tls::{ServerSide, TlsWire, inner_config};
use net::wire::uring::UringWire;
use net::wire::{
    Arrival, ConnId, Ending, ListenOptions, Listener, Stream, Wire, WireConfig, WireEvents, listen,
};
use net::ws::handshake::server::Upgrade;
use net::ws::{CloseCode, Message};

/// Longest wait, so that a signal is seen.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// How long a stop waits for connections to end.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer or of what waits on a WebSocket: a client that follows many accounts reads in bursts.
const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// `paper`.
#[derive(Args)]
pub struct PaperArgs {
    /// Address and port to listen on; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:3100")]
    pub listen: SocketAddr,
    /// Seed of the built-in market and of faults by chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Play the prices of this CSV of candles or trades instead; may be given several times.
    #[arg(long = "market", value_name = "FILE")]
    pub markets: Vec<PathBuf>,
}

fn settings(args: &PaperArgs, now: Timestamp) -> Result<CoreSettings, String> {
    let generated = CoreSettings::generated(args.seed, now);
    if args.markets.is_empty() {
        return Ok(generated);
    }
    let mut market = Market::new();
    for path in &args.markets {
        let name = path.to_string_lossy();
        let symbol = symbol_from_file_name(&name)
            .ok_or_else(|| format!("{name}: the name does not begin with a symbol"))?;
        let listing = generated.venue.listings.iter().find(|listing| listing.instrument.symbol == symbol);
        let listing = listing.ok_or_else(|| format!("{name}: {symbol} is not listed"))?;
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let file = MarketFile::parse(&name, &text).map_err(|error| error.to_string())?;
        market.add_file(&file, symbol, listing.instrument.tick).map_err(|error| error.to_string())?;
    }
    let market_from = market.peek().map_or(now, |tick| tick.venue_at);
    Ok(CoreSettings { market, market_from, ..generated })
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

/// Everything that a turn of the loop needs.
struct Turn {
    wire: TlsWire<UringWire>,
    server: Server,
    paper: Paper,
}

impl Turn {
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

    /// How long nothing is due.
    fn quiet(&self, mono_ns: u64) -> Duration {
        let network = self.wire.next_deadline_ns().into_iter().chain(self.server.next_deadline_ns()).min();
        let network = network.map(|due| Duration::from_nanos(due.saturating_sub(mono_ns)));
        let now = self.paper.now;
        let due = self.paper.exchange.next_due(now).into_iter();
        let due = due.chain(self.paper.pending.keys().next().map(|key| key.0)).min();
        let due = due.map(|due| Duration::from_micros(due.micros_since(now)));
        network.into_iter().chain(due).min().unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }
}

/// Runs the paper exchange until SIGTERM or Ctrl-C.
///
/// # Errors
/// What to do about it.
pub fn paper(args: &PaperArgs) -> Result<(), String> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let _logging = super::serve::start_logging("info");
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| format!("signals: {error}"))?;
    }
    let settings = settings(args, wall_clock())?;
    let exchange = PaperExchange::new(settings, args.seed).map_err(|error| error.to_string())?;
    let listener = listen(args.listen, &ListenOptions::default())
        .map_err(|error| format!("{}: {error}", args.listen))?;
    println!("paper exchange on http://{}", listener.address());
    serve(exchange, listener, ServerSide::default(), &stop)
}

/// This machine's clock.
#[must_use]
pub fn wall_clock() -> Timestamp {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX).max(1))
}

/// Serves an exchange until `stop` is set, over TLS where `tls` says so.
///
/// # Errors
/// What the system refuses.
pub fn serve(
    exchange: PaperExchange,
    listener: Listener,
    tls: ServerSide,
    stop: &AtomicBool,
) -> Result<(), String> {
    let (start, wall) = (Instant::now(), wall_clock());
    let address = listener.address();
    let text = |error: std::io::Error| format!("{address}: {error}");
    let config = WireConfig { output_bytes_max: OUTPUT_BYTES_MAX, ..WireConfig::default() };
    let wire = UringWire::new(listener, inner_config(config)).map_err(|error| error.to_string())?;
    let wire = TlsWire::new(wire, config, tls).map_err(|error| error.to_string())?;
    let server =
        Server::new(ServerLimits { socket_queue_bytes_max: OUTPUT_BYTES_MAX / 2, ..ServerLimits::default() });
    let paper = Paper { exchange, now: wall, peers: BTreeMap::new(), pending: BTreeMap::new(), asked: 0 };
    let mut turn = Turn { wire, server, paper };
    let mut stopped_at: Option<Instant> = None;
    loop {
        let elapsed = start.elapsed();
        let mono_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let now = wall.plus_micros(mono_ns / 1_000);
        turn.paper.now = now;
        if stop.load(Ordering::Relaxed) && stopped_at.is_none() {
            stopped_at = Some(Instant::now());
            turn.wire.stop_accepting();
            turn.server.drain(&mut turn.wire);
        }
        turn.server.set_time(mono_ns, now.0 / 1_000_000);
        let Turn { wire, server, paper } = &mut turn;
        wire.poll(mono_ns, &mut Noting { server, paper }).map_err(text)?;
        let more = turn.send_due();
        turn.server.tick(&mut turn.wire, &mut turn.paper);
        if stopped_at.is_some_and(|at| turn.wire.connections() == 0 || at.elapsed() > STOP_PATIENCE) {
            return Ok(());
        }
        if !more && !turn.wire.has_work() {
            let span = turn.quiet(mono_ns);
            turn.wire.wait(span).map_err(text)?;
        }
    }
}
