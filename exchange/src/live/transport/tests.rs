//! What only the bytes show: a burst over a socket whose network takes little at a time, who gets a connection first, and what a
//! refused dial says.

use base64::Engine as _;
use engine::core::ids::Timestamp;
use net::client::PlainDial;
use net::wire::memory::{MemoryNetwork, PeerId, Pieces, network};
use net::wire::{Arrival, WireConfig, WireEvents};

use super::*;
use crate::live::binance::Binance;
use crate::live::bybit::Bybit;
use crate::live::pacing::limits::VenueLimits;
use crate::live::pacing::{AddressBudget, Pacer};
use crate::live::protocol::HttpCall;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

#[derive(Clone)]
struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

struct Routed<'a>(&'a mut Transport<Zeroes>);

impl WireEvents for Routed<'_> {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}
    fn connected(&mut self, conn: ConnId) {
        self.0.connected(conn);
    }
    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.0.received(conn, stream);
    }
    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.0.closed(conn, ending);
    }
}

/// A transport to one server, which is the test.
fn transport() -> Transport<Zeroes> {
    let endpoint = Endpoint {
        host: "exchange.example".to_owned(),
        addresses: vec![([192, 0, 2, 1], 443).into()],
        security: Security::Plain,
        source: None,
    };
    Transport::new(Endpoints::all_at(&endpoint), Zeroes).unwrap()
}

/// The other end takes the handshake.
fn accept(there: &MemoryNetwork, peer: PeerId) {
    let head = String::from_utf8(there.read(peer)).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    there.write(peer, answer.as_bytes());
}

#[test]
fn a_burst_larger_than_the_network_takes_at_once_is_sent_whole_and_in_order() {
    const MESSAGES: usize = 4_000;
    let (mut wire, there) = network(WireConfig::default(), Pieces::Whole);
    let mut transport = transport();
    let budget = AddressBudget::new(VenueLimits::BINANCE, 1).unwrap();
    let mut connector = Connector::<Binance>::new(Pacer::new(budget), 1);
    let mut dial = PlainDial;
    let socket = SocketId(7);
    let open = Outgoing::Open { socket, server: Server::Trade, target: "/ws".to_owned() };
    transport.perform(NOW, 0, open, &mut connector, &mut wire, &mut dial);
    let (peer, _) = there.dialled().expect("dialled");
    there.take(peer);
    let mut turn = |transport: &mut Transport<Zeroes>, wire: &mut _, ns: u64| {
        Wire::poll(wire, ns, &mut Routed(transport)).unwrap();
        transport.tick(NOW, ns, &mut connector, wire, &mut dial);
    };
    for ns in 1..4 {
        turn(&mut transport, &mut wire, ns);
    }
    accept(&there, peer);
    turn(&mut transport, &mut wire, 4);
    // From here on the network takes 20 KB in each turn.
    there.set_window(peer, 20_000);
    let budget = AddressBudget::new(VenueLimits::BINANCE, 1).unwrap();
    let mut other = Connector::<Binance>::new(Pacer::new(budget), 1);
    let mut came = Vec::new();
    for n in 0..MESSAGES {
        let text = format!("{n:0>500}");
        let send = Outgoing::Send { socket, text };
        transport.perform(NOW, 5, send, &mut other, &mut wire, &mut PlainDial);
        if n % 512 == 511 {
            turn(&mut transport, &mut wire, 5 + n as u64);
            came.extend(there.read(peer));
        }
    }
    assert!(transport.is_crowded(socket, &wire));
    for ns in 0..400 {
        turn(&mut transport, &mut wire, 10_000 + ns);
        came.extend(there.read(peer));
    }
    assert!(!there.is_closed(peer), "the socket was given up");
    assert!(!transport.is_crowded(socket, &wire));
    // Each frame: 4 bytes of head, a mask of zeroes, 500 of text.
    assert_eq!(came.len(), MESSAGES * 508);
    for (n, frame) in came.chunks(508).enumerate() {
        assert_eq!(frame[8..], *format!("{n:0>500}").as_bytes());
    }
}

#[test]
fn an_exit_by_http_finds_a_connection_while_entries_have_all_that_they_may() {
    let (mut wire, there) = network(WireConfig::default(), Pieces::Whole);
    let mut transport = transport();
    let budget = AddressBudget::new(VenueLimits::BINANCE, 1).unwrap();
    let mut connector = Connector::<Binance>::new(Pacer::new(budget), 1);
    let mut dial = PlainDial;
    let mut ns = 0;
    let mut turn = |transport: &mut Transport<Zeroes>, asks: Vec<Outgoing>| {
        for outgoing in asks {
            transport.perform(NOW, ns, outgoing, &mut connector, &mut wire, &mut dial);
        }
        for _ in 0..3 {
            ns += 1;
            Wire::poll(&mut wire, ns, &mut Routed(transport)).unwrap();
            transport.tick(NOW, ns, &mut connector, &mut wire, &mut dial);
        }
    };
    let ask = |n: u64, purpose| {
        let call = HttpCall { method: "GET", target: format!("/{n}"), headers: Vec::new(), body: Vec::new() };
        let deadline = NOW.plus_micros(5_000_000);
        Outgoing::Call { tag: Tag(n), server: Server::Rest, call, deadline, purpose }
    };
    let taken = || {
        let peers: Vec<PeerId> = std::iter::from_fn(|| there.dialled()).map(|(peer, _)| peer).collect();
        peers.iter().for_each(|peer| there.take(*peer));
        peers
    };
    turn(&mut transport, (0..40).map(|n| ask(n, Purpose::Open)).collect());
    let entries = taken();
    assert_eq!(entries.len(), CONNECTIONS_MAX - CONNECTIONS_KEPT);
    turn(&mut transport, Vec::new());
    let at_work = entries.iter().filter(|peer| !there.read(**peer).is_empty()).count();
    assert_eq!(at_work, entries.len(), "each carries an entry");
    turn(&mut transport, vec![ask(98, Purpose::Background), ask(99, Purpose::Close)]);
    let exits = taken();
    assert_eq!(exits.len(), 1, "one for the exit");
    turn(&mut transport, Vec::new());
    let text = String::from_utf8(there.read(exits[0])).unwrap();
    assert!(text.starts_with("GET /99 "), "{text}");
}

/// Until when the exchange wants nothing from an address that dialled it once and was answered so.
fn stopped_after<P: Shape>(limits: VenueLimits, answer: &str) -> Option<Timestamp> {
    let (mut wire, there) = network(WireConfig::default(), Pieces::Whole);
    let mut transport = transport();
    let budget = AddressBudget::new(limits, 1).unwrap();
    let mut connector = Connector::<P>::new(Pacer::new(budget.clone()), 1);
    let mut dial = PlainDial;
    let socket = SocketId(7);
    let open = Outgoing::Open { socket, server: Server::Public, target: "/ws".to_owned() };
    transport.perform(NOW, 0, open, &mut connector, &mut wire, &mut dial);
    let (peer, _) = there.dialled().expect("dialled");
    there.take(peer);
    for ns in 1..10 {
        if ns == 5 {
            there.write(peer, answer.as_bytes());
        }
        Wire::poll(&mut wire, ns, &mut Routed(&mut transport)).unwrap();
        transport.tick(NOW, ns, &mut connector, &mut wire, &mut dial);
    }
    assert!(transport.conns.is_empty(), "it is over");
    Pacer::new(budget).stopped_until(NOW)
}

/// What was let go before the ban was told and waits for a connection does not go into it.
#[test]
fn case_r2_calls_that_wait_for_a_connection_when_a_ban_is_told_are_taken_back() {
    let (mut wire, there) = network(WireConfig::default(), Pieces::Whole);
    let mut transport = transport();
    let budget = AddressBudget::new(VenueLimits::BINANCE, 1).unwrap();
    let mut connector = Connector::<Binance>::new(Pacer::new(budget), 1);
    let mut dial = PlainDial;
    let call = HttpCall { method: "GET", target: "/waits".to_owned(), headers: Vec::new(), body: Vec::new() };
    let deadline = NOW.plus_micros(60_000_000);
    let (server, purpose) = (Server::Rest, Purpose::Close);
    let ask = Outgoing::Call { tag: Tag(1), server, call, deadline, purpose };
    let open = Outgoing::Open { socket: SocketId(7), server: Server::Public, target: "/ws".to_owned() };
    let mut ns = 0;
    let mut turns = |transport: &mut Transport<Zeroes>, outgoing: Vec<Outgoing>| {
        for outgoing in outgoing {
            transport.perform(NOW, ns, outgoing, &mut connector, &mut wire, &mut dial);
        }
        for _ in 0..5 {
            ns += 1;
            Wire::poll(&mut wire, ns, &mut Routed(transport)).unwrap();
            transport.tick(NOW, ns, &mut connector, &mut wire, &mut dial);
        }
    };
    turns(&mut transport, vec![ask]);
    let (slow, _) = there.dialled().expect("a connection is on its way");
    turns(&mut transport, vec![open]);
    let (socket, _) = there.dialled().expect("dialled");
    there.take(socket);
    turns(&mut transport, Vec::new());
    assert_eq!(transport.pool.calls(), 1, "it waits");
    let end = NOW.millis() + 10_000;
    let body = format!(r#"{{"code":-1003,"msg":"Way too many requests; IP banned until {end}."}}"#);
    let told = format!("HTTP/1.1 418 I'm a teapot\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    there.write(socket, told.as_bytes());
    turns(&mut transport, Vec::new());
    assert_eq!(transport.pool.calls(), 0, "it is taken back");
    there.take(slow);
    turns(&mut transport, Vec::new());
    assert!(there.read(slow).is_empty(), "nothing of it left");
}

#[test]
fn case_r2_a_ban_that_a_refused_dial_tells_of_stops_everything() {
    let refused = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let often = r#"{"retCode":10018,"retMsg":"access too frequent. Exceeded the IP Rate Limit."}"#;
    let bybit = |answer: &str| stopped_after::<Bybit>(VenueLimits::BYBIT, answer);
    let until = bybit(&refused("403 Forbidden", often)).expect("all that goes there stops");
    assert!(until >= NOW.plus_micros(600_000_000), "for ten minutes");
    // Another 403 may be a firewall before this server alone.
    assert_eq!(bybit(&refused("403 Forbidden", "<html>no</html>")), None);
    assert_eq!(bybit(&refused("502 Bad Gateway", "")), None);

    let binance = |answer: &str| stopped_after::<Binance>(VenueLimits::BINANCE, answer);
    let end = NOW.millis() + 10_000;
    let body = format!(r#"{{"code":-1003,"msg":"Way too many requests; IP banned until {end}."}}"#);
    let until = binance(&refused("418 I'm a teapot", &body)).expect("all that goes there stops");
    assert!(
        (NOW.plus_micros(10_000_000)..NOW.plus_micros(60_000_000)).contains(&until),
        "as told: {until:?}"
    );
    assert!(binance(&refused("429 Too Many Requests", "")).is_some(), "to the end of the window");
    assert_eq!(binance(&refused("404 Not Found", "")), None);
}
