//! Fixed bytes of an order's length there and of its answer's length back, over the same client and TLS: nobody signs them,
//! nobody reads them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use net::client::{Dial, Origin, OriginId, OriginLimits, Outcome, Pool, PoolLimits, Request, Security};
use net::http::response;
use net::server::{Acceptance, Requested, Server as HttpServer, ServerLimits, Service, Socket};
use net::sockets::{Feed, SocketEnd, Sockets, SocketsLimits, Talk};
use net::tls::{ServerSide, TlsWire, inner_config};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, Listener, Stream, Wire, WireConfig, WireEvents};
use net::ws::Message;
use net::ws::handshake::client::ClientRequest;
use net::ws::handshake::server::Upgrade;

use crate::desk::{Server, calling, nanos};
use crate::ways::{Parts, Way};
use crate::{Cost, each};

/// Calls under way at once, and their connections: those of a connector and its transport.
const CALLS_UNDER_WAY: usize = 48;
const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);
const SECOND_NS: u64 = 1_000_000_000;

/// Answers everything with the same bytes.
struct Fixed {
    headers: Vec<(String, String)>,
    answer: String,
}

impl Service for Fixed {
    fn request(&mut self, request: &net::http::Request<'_>, requested: Requested<'_>) {
        if request.head.upgrade {
            return match Upgrade::check(request.head) {
                Ok(upgrade) => requested.accept(&upgrade, &Acceptance::default()),
                Err(refusal) => requested.refuse(refusal),
            };
        }
        requested.answer(|out, mode, date| {
            let begun = response::begin(out, 200, mode, date);
            let begun = self.headers.iter().fold(begun, |begun, (name, value)| begun.header(name, value));
            begun.body("application/json", self.answer.as_bytes());
        });
    }

    fn message(&mut self, _conn: ConnId, _message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(Message::Text(&self.answer));
    }
}

fn serve(listener: Listener, tls: ServerSide, stop: &AtomicBool, mut fixed: Fixed) -> Result<(), String> {
    let config = WireConfig::default();
    let inner = UringWire::new(listener, inner_config(config)).map_err(|error| error.to_string())?;
    let mut wire = TlsWire::new(inner, config, tls).map_err(|error| error.to_string())?;
    let mut server = HttpServer::new(ServerLimits::default());
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now_ns = nanos(start);
        server.set_time(now_ns, now_ns / SECOND_NS);
        wire.poll(now_ns, &mut server.with(&mut fixed)).map_err(|error| error.to_string())?;
        server.tick(&mut wire, &mut fixed);
        if !wire.has_work() {
            wire.wait(Duration::from_millis(20)).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Counts what comes.
#[derive(Default)]
struct Heard {
    opened: bool,
    ended: bool,
    messages: usize,
}

impl Feed for Heard {
    fn opened(&mut self, _conn: ConnId, _protocol: Option<&str>, _talk: &mut Talk<'_>) {
        self.opened = true;
    }
    fn message(&mut self, _conn: ConnId, _message: Message<'_>, _talk: &mut Talk<'_>) {
        self.messages += 1;
    }
    fn ended(&mut self, _conn: ConnId, _end: SocketEnd) {
        self.ended = true;
    }
}

struct Client {
    wire: TlsWire<UringWire>,
    sockets: Sockets,
    pool: Pool,
    origin: OriginId,
    heard: Heard,
    under_way: usize,
    start: Instant,
    server: Server,
}

struct Routed<'a>(&'a mut Sockets, &'a mut Pool, &'a mut Heard);

impl WireEvents for Routed<'_> {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}
    fn connected(&mut self, conn: ConnId) {
        if self.1.owns(conn) { self.1.connected(conn) } else { self.0.connected(conn) }
    }
    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        if self.1.owns(conn) { self.1.received(conn, stream) } else { self.0.received(conn, stream, self.2) }
    }
    fn closed(&mut self, conn: ConnId, ending: Ending) {
        if self.1.owns(conn) { self.1.closed(conn, ending) } else { self.0.closed(conn, ending, self.2) }
    }
}

impl Client {
    fn open(parts: &Parts) -> Result<Self, String> {
        let fixed = Fixed { headers: parts.headers.clone(), answer: parts.answer.clone() };
        let server = Server::start(move |listener, tls, stop| serve(listener, tls, stop, fixed))?;
        let mut pool = Pool::new(PoolLimits::default());
        let mut origin = Origin::new("localhost", vec![server.address], Security::Tls);
        origin.limits = OriginLimits { connections_max: CONNECTIONS, ..OriginLimits::default() };
        let origin = pool.register(origin).map_err(|error| error.to_string())?;
        Ok(Self {
            wire: calling()?,
            sockets: Sockets::new(SocketsLimits::default()),
            pool,
            origin,
            heard: Heard::default(),
            under_way: 0,
            start: Instant::now(),
            server,
        })
    }

    fn turn(&mut self) -> Result<(), String> {
        let now_ns = nanos(self.start);
        let Self { wire, sockets, pool, heard, .. } = self;
        wire.poll(now_ns, &mut Routed(sockets, pool, heard)).map_err(|error| error.to_string())?;
        pool.tick(now_ns, wire, &mut self.server.dial);
        sockets.tick(now_ns, wire);
        while let Some(finished) = pool.take_finished() {
            let Outcome::Answered(_) = finished.outcome else {
                return Err(format!("a call ended: {:?}", finished.outcome));
            };
            heard.messages += 1;
            self.under_way -= 1;
        }
        if heard.ended {
            return Err("the socket ended".to_owned());
        }
        if !wire.has_work() {
            wire.wait(Duration::from_millis(20)).map_err(|error| error.to_string())?;
        }
        if self.start.elapsed() > PATIENCE {
            return Err(format!("not within {PATIENCE:?}"));
        }
        Ok(())
    }

    fn call(&mut self, parts: &Parts) -> Result<(), String> {
        let headers: Vec<(&str, &str)> =
            parts.call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = Request {
            method: parts.call.method,
            target: &parts.call.target,
            headers: &headers,
            body: &parts.call.body,
            answer_bytes_max: None,
            urgency: net::client::Urgency::Usual,
        };
        let deadline_ns = nanos(self.start).saturating_add(30 * SECOND_NS);
        self.pool.call(self.origin, &request, deadline_ns).map_err(|refused| format!("{refused:?}"))?;
        self.under_way += 1;
        let now_ns = nanos(self.start);
        self.pool.tick(now_ns, &mut self.wire, &mut self.server.dial);
        Ok(())
    }

    /// `count` calls, at most so many at once.
    fn calls(&mut self, parts: &Parts, count: usize, at_once: usize) -> Result<(), String> {
        let end = self.heard.messages + count;
        let mut left = count;
        while self.heard.messages < end {
            while left > 0 && self.under_way < at_once {
                self.call(parts)?;
                left -= 1;
            }
            self.turn()?;
        }
        Ok(())
    }

    fn socket(&mut self) -> Result<ConnId, String> {
        let origin = Origin::new("localhost", vec![self.server.address], Security::Tls);
        let address = self.server.address;
        let conn = self.server.dial.dial(&mut self.wire, &origin, address).map_err(|e| e.to_string())?;
        let request =
            ClientRequest { host: "localhost", target: "/", headers: &[], protocols: &[], deflate: None };
        let mut mask = 0x9e37_79b9_u32;
        let masks = Box::new(move || {
            mask = mask.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            mask.to_le_bytes()
        });
        self.sockets.begin(conn, &request, [7; 16], masks).map_err(|error| error.to_string())?;
        while !self.heard.opened {
            self.turn()?;
        }
        Ok(conn)
    }

    /// `count` messages, each after the answer to the one before or all at once.
    fn messages(&mut self, conn: ConnId, text: &str, count: usize, at_once: bool) -> Result<(), String> {
        let end = self.heard.messages + count;
        for n in 1..=count {
            if !self.sockets.send(&mut self.wire, conn, Message::Text(text)) {
                return Err("no room for a message".to_owned());
            }
            while !at_once && self.heard.messages < end - count + n {
                self.turn()?;
            }
            // As many as a connector sends in a turn.
            if at_once && n % 512 == 0 {
                self.turn()?;
            }
        }
        while self.heard.messages < end {
            self.turn()?;
        }
        Ok(())
    }
}

/// What the bytes of a way's orders cost by themselves.
pub(crate) fn measure(way: &Way, parts: &Parts) -> Result<Cost, String> {
    let mut client = Client::open(parts)?;
    let [alone, together] = way.counts;
    if way.socket {
        let text = std::str::from_utf8(&parts.call.body).map_err(|error| error.to_string())?;
        let conn = client.socket()?;
        client.messages(conn, text, 64, true)?;
        return Ok(Cost {
            alone: each(alone, || client.messages(conn, text, alone, false))?,
            together: each(together, || client.messages(conn, text, together, true))?,
        });
    }
    client.calls(parts, 64, CALLS_UNDER_WAY)?;
    Ok(Cost {
        alone: each(alone, || client.calls(parts, alone, 1))?,
        together: each(together, || client.calls(parts, together, CALLS_UNDER_WAY))?,
    })
}
