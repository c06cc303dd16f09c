//! A WebSocket that reads too slowly costs the server no more than its bound: messages are left out, counted, and the
//! service is told when there is room again. Those that keep up are not disturbed, and all share one encoding.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::rc::Rc;

use crate::support::SECOND_NS;
use net::http::Request;
use net::server::{Acceptance, Requested, Server, ServerLimits, Service, Socket};
use net::wire::memory::{self, MemoryNetwork, MemoryWire, PeerId, Pieces};
use net::wire::{ConnId, Wire, WireConfig};
use net::ws::handshake::server::Upgrade;
use net::ws::{CloseCode, Inbox, Message, Session, encode_shared};

#[derive(Default)]
struct Hub {
    opened: Vec<ConnId>,
    lagged: Vec<(ConnId, u64)>,
    closed: Vec<ConnId>,
}

impl Service for Hub {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        requested.accept(&Upgrade::check(request.head).unwrap(), &Acceptance::default());
    }

    fn opened(&mut self, conn: ConnId, _socket: &mut Socket<'_>) {
        self.opened.push(conn);
    }

    fn lagged(&mut self, conn: ConnId, missed: u64, socket: &mut Socket<'_>) {
        self.lagged.push((conn, missed));
        socket.send(Message::Text("snapshot"));
    }

    fn socket_closed(&mut self, conn: ConnId) {
        self.closed.push(conn);
    }
}

struct Bench {
    wire: MemoryWire,
    network: MemoryNetwork,
    server: Server,
    hub: Hub,
    now_ns: u64,
}

impl Bench {
    fn new(limits: ServerLimits) -> Self {
        let (wire, network) = memory::network(WireConfig::default(), Pieces::Whole);
        Self { wire, network, server: Server::new(limits), hub: Hub::default(), now_ns: 0 }
    }

    fn turn(&mut self) {
        self.server.set_time(self.now_ns, 0);
        for _ in 0..3 {
            self.wire.poll(self.now_ns, &mut self.server.with(&mut self.hub)).unwrap();
        }
        self.server.tick(&mut self.wire, &mut self.hub);
        self.wire.poll(self.now_ns, &mut self.server.with(&mut self.hub)).unwrap();
    }

    /// A WebSocket whose handshake is done and read.
    fn open(&mut self) -> PeerId {
        let peer = self.network.connect(SocketAddr::from(([192, 0, 2, 1], 1)));
        self.network.write(
            peer,
            b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        self.turn();
        self.turn();
        assert!(self.network.read(peer).starts_with(b"HTTP/1.1 101 "));
        peer
    }
}

/// The texts in what a server sent.
fn texts(bytes: &[u8]) -> Vec<String> {
    let mut session = Session::client(net::ws::Limits::default(), None, Box::new(|| [0; 4]));
    let (mut inbox, mut out, mut at, mut texts) = (Inbox::new(), Vec::new(), 0, Vec::new());
    loop {
        let step = session.step(&bytes[at..], &mut inbox, &mut out).unwrap();
        at += step.consumed_bytes;
        match step.event {
            Some(net::ws::Event::Message(Message::Text(text))) => texts.push(text.to_owned()),
            Some(_) => {}
            None => return texts,
        }
    }
}

#[test]
fn the_slow_one_misses_and_the_quick_one_does_not() {
    let limits = ServerLimits { socket_queue_bytes_max: 4096, ..ServerLimits::default() };
    let mut bench = Bench::new(limits);
    let (slow, quick) = (bench.open(), bench.open());
    bench.network.set_window(slow, 100);
    let mut taken = [0_u64; 2];
    for number in 0..1000 {
        let frame = encode_shared(Message::Text(&format!("message {number:05}")));
        let to = bench.server.broadcast(&mut bench.wire, &frame);
        taken[to - 1] += 1;
        bench.turn();
        assert_eq!(texts(&bench.network.read(quick)), [format!("message {number:05}")]);
        assert!(bench.wire.queued_bytes(bench.network.conn(slow).unwrap()) <= 4096);
    }
    assert!(taken[0] > 500 && taken[1] > 100, "{taken:?}");
    assert!(bench.hub.lagged.is_empty(), "no room yet");
    // The slow one reads what waited for it.
    bench.network.set_window(slow, usize::MAX);
    bench.turn();
    bench.turn();
    let got = texts(&bench.network.read(slow));
    let slow_conn = bench.network.conn(slow).unwrap();
    assert_eq!(bench.hub.lagged, [(slow_conn, taken[0])]);
    assert_eq!(got.len() as u64, taken[1] + 1, "all it was not told of missing, and the snapshot");
    assert_eq!(got.last().unwrap(), "snapshot");
    assert!(got[..got.len() - 1].is_sorted());
    assert_eq!(bench.server.metrics().messages_missed, taken[0]);
    // From here on it is as good as any.
    assert_eq!(bench.server.broadcast(&mut bench.wire, &encode_shared(Message::Text("again"))), 2);
}

#[test]
fn after_a_gap_nothing_is_sent_before_the_service_knows() {
    let limits = ServerLimits { socket_queue_bytes_max: 64, ..ServerLimits::default() };
    let mut bench = Bench::new(limits);
    let slow = bench.open();
    bench.network.set_window(slow, 0);
    let large = encode_shared(Message::Text(&"x".repeat(50)));
    assert_eq!(bench.server.broadcast(&mut bench.wire, &large), 1);
    assert_eq!(bench.server.broadcast(&mut bench.wire, &large), 0);
    // A small one would fit, but would stand where the large one is missing.
    let small = encode_shared(Message::Text("y"));
    assert_eq!(bench.server.broadcast(&mut bench.wire, &small), 0);
    bench.network.set_window(slow, usize::MAX);
    bench.turn();
    bench.turn();
    assert_eq!(texts(&bench.network.read(slow)), ["x".repeat(50), "snapshot".to_owned()]);
    assert_eq!(bench.hub.lagged[0].1, 2);
}

#[test]
fn hundreds_that_have_room_at_once_are_told_without_another_event() {
    let mut bench = Bench::new(ServerLimits { socket_queue_bytes_max: 64, ..ServerLimits::default() });
    let peers: Vec<_> = (0..200).map(|_| bench.open()).collect();
    peers.iter().for_each(|&peer| bench.network.set_window(peer, 0));
    let frame = encode_shared(Message::Text(&"x".repeat(50)));
    assert_eq!(bench.server.broadcast(&mut bench.wire, &frame), 200);
    assert_eq!(bench.server.broadcast(&mut bench.wire, &frame), 0);
    // The whole round that finds nobody ready.
    (0..10).for_each(|_| bench.server.tick(&mut bench.wire, &mut bench.hub));
    peers.iter().for_each(|&peer| bench.network.set_window(peer, usize::MAX));
    bench.wire.poll(0, &mut bench.server.with(&mut bench.hub)).unwrap();
    bench.server.tick(&mut bench.wire, &mut bench.hub);
    // A loop that goes on only when something is due, as a parked one does.
    while bench.hub.lagged.len() < 200 {
        let due_ns = bench.server.next_deadline_ns().unwrap();
        assert!(due_ns < SECOND_NS / 10, "{} are told", bench.hub.lagged.len());
        bench.now_ns = bench.now_ns.max(due_ns);
        bench.server.set_time(bench.now_ns, 0);
        bench.server.tick(&mut bench.wire, &mut bench.hub);
    }
    assert_eq!(bench.hub.lagged.len(), 200);
}

#[test]
fn all_receivers_share_one_encoding() {
    let mut bench = Bench::new(ServerLimits::default());
    let peers: Vec<_> = (0..20).map(|_| bench.open()).collect();
    let frame: Rc<[u8]> = encode_shared(Message::Text("once"));
    assert_eq!(bench.server.broadcast(&mut bench.wire, &frame), 20);
    bench.turn();
    for peer in peers {
        assert_eq!(bench.network.read(peer), frame.as_ref());
    }
}

#[test]
fn the_silent_are_asked_and_then_given_up() {
    let mut bench = Bench::new(ServerLimits::default());
    let (dead, alive) = (bench.open(), bench.open());
    for second in 1..=120_u64 {
        bench.now_ns = second * SECOND_NS;
        bench.turn();
        // An answer to each ping, masked with zeroes.
        for _ in bench.network.read(alive).windows(2).filter(|frame| *frame == [0x89, 0]) {
            bench.network.write(alive, &[0x8A, 0x80, 0, 0, 0, 0]);
        }
    }
    assert!(bench.network.is_closed(dead) && !bench.network.is_closed(alive));
    assert_eq!(bench.hub.closed.len(), 1);
    assert_eq!(bench.server.metrics().sockets_silent, 1);
    assert_eq!(bench.server.sockets(), 1);
}

#[test]
fn a_peer_that_does_not_close_its_part_is_closed_all_the_same() {
    let mut bench = Bench::new(ServerLimits::default());
    let peer = bench.open();
    let conn = bench.network.conn(peer).unwrap();
    bench.server.close_socket(&mut bench.wire, conn, CloseCode::POLICY, "enough");
    bench.turn();
    assert_eq!(&bench.network.read(peer)[..4], &[0x88, 8, 0x03, 0xF0]);
    assert_eq!(bench.server.send(&mut bench.wire, conn, Message::Text("no")), Err(net::server::Unsent::Gone));
    for second in 1..=8_u64 {
        bench.now_ns = second * SECOND_NS;
        bench.turn();
    }
    assert!(bench.network.is_closed(peer));
    assert_eq!(bench.hub.closed, [conn]);
}
