//! WebSockets and outgoing connections under pressure: answers without bound, messages after a gap, peers that do not let go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{Clock, Recorder, SECOND_NS, drive};
use net::http::Request;
use net::server::{Acceptance, Requested, Server, ServerLimits, Service, Socket, Unsent};
use net::sockets::{Feed, SocketEnd, Sockets, SocketsLimits, Talk};
use net::wire::memory::{Pieces, network};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};
use net::ws::Message;
use net::ws::handshake::client::ClientRequest;
use net::ws::handshake::server::Upgrade;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Default)]
struct Talker {
    conn: Option<ConnId>,
    answer_bytes: usize,
    most: usize,
    closed: usize,
    lagged: Vec<u64>,
}

impl Service for Talker {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        requested.accept(&Upgrade::check(request.head).unwrap(), &Acceptance::default());
    }
    fn opened(&mut self, conn: ConnId, _socket: &mut Socket<'_>) {
        self.conn = Some(conn);
    }
    fn message(&mut self, _conn: ConnId, _message: Message<'_>, socket: &mut Socket<'_>) {
        self.most += self.answer_bytes;
        socket.send(Message::Binary(&vec![b'x'; self.answer_bytes]));
    }
    fn lagged(&mut self, _conn: ConnId, missed: u64, _socket: &mut Socket<'_>) {
        self.lagged.push(missed);
    }
    fn socket_closed(&mut self, _conn: ConnId) {
        self.closed += 1;
    }
}

/// Answers that are far larger than the messages that ask for them, to a peer that reads everything.
#[test]
fn answers_to_messages_are_bounded() {
    let (mut wire, net) = network(WireConfig::default(), Pieces::Whole);
    let mut server = Server::new(ServerLimits::default());
    let mut service = Talker { answer_bytes: 60 << 10, ..Talker::default() };
    let peer = net.connect("127.0.0.1:9".parse().unwrap());
    net.write(peer, UPGRADE);
    for _ in 0..5 {
        wire.poll(0, &mut server.with(&mut service)).unwrap();
    }
    drop(net.read(peer));
    net.write(peer, &[0x82, 0x81, 0, 0, 0, 0, b'?'].repeat(1000));
    let mut read = 0;
    for _ in 0..3000 {
        wire.poll(0, &mut server.with(&mut service)).unwrap();
        server.tick(&mut wire, &mut service);
        read += net.read(peer).len();
    }
    assert_eq!(
        (service.closed, read > 1000 * (60 << 10)),
        (0, true),
        "read {read} of {} bytes",
        service.most
    );
}

/// A small message would fit where a large one did not.
#[test]
fn nothing_is_sent_between_a_miss_and_its_signal() {
    let (mut wire, net) = network(WireConfig::default(), Pieces::Whole);
    let mut server = Server::new(ServerLimits::default());
    let mut service = Talker::default();
    let peer = net.connect("127.0.0.1:9".parse().unwrap());
    net.write(peer, UPGRADE);
    for _ in 0..5 {
        wire.poll(0, &mut server.with(&mut service)).unwrap();
    }
    net.set_window(peer, 0);
    let conn = service.conn.unwrap();
    assert_eq!(server.send(&mut wire, conn, Message::Binary(&[1; 200 << 10])), Ok(()));
    assert_eq!(server.send(&mut wire, conn, Message::Binary(&[2; 100 << 10])), Err(Unsent::Lagged));
    assert_eq!(server.send(&mut wire, conn, Message::Binary(&[3; 10])), Err(Unsent::Lagged));
}

#[derive(Default)]
struct Ends(Vec<SocketEnd>, Vec<ConnId>);

impl Feed for Ends {
    fn opened(&mut self, _: ConnId, _: Option<&str>, _: &mut Talk<'_>) {}
    fn message(&mut self, _: ConnId, _: Message<'_>, _: &mut Talk<'_>) {}
    fn alive(&mut self, conn: ConnId) {
        self.1.push(conn);
    }
    fn ended(&mut self, _: ConnId, end: SocketEnd) {
        self.0.push(end);
    }
}

struct Outgoing(Sockets, Ends);

impl WireEvents for Outgoing {
    fn accepted(&mut self, _: ConnId, _: Arrival) {}
    fn connected(&mut self, conn: ConnId) {
        self.0.connected(conn);
    }
    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.0.received(conn, stream, &mut self.1);
    }
    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.0.closed(conn, ending, &mut self.1);
    }
}

/// After the close handshake the server goes on sending a byte now and then.
#[test]
fn a_closed_websocket_ends_in_time() {
    let (mut wire, net) = network(WireConfig::default(), Pieces::Whole);
    let mut run = Outgoing(Sockets::new(SocketsLimits::default()), Ends::default());
    let conn = wire.connect("127.0.0.1:9".parse().unwrap(), None).unwrap();
    let key = *b"the sample nonce";
    let request = ClientRequest { host: "a", target: "/", headers: &[], protocols: &[], deflate: None };
    run.0.begin(conn, &request, key, Box::new(|| [0; 4])).unwrap();
    let (peer, _) = net.dialled().unwrap();
    net.take(peer);
    let mut now_ns = 0;
    let mut turn = |run: &mut Outgoing, now_ns| {
        wire.poll(now_ns, run).unwrap();
        run.0.tick(now_ns, &mut wire);
    };
    (0..5).for_each(|_| turn(&mut run, now_ns));
    net.write(
        peer,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x89\x00\x8a\x00\x88\x00",
    );
    (0..5).for_each(|_| turn(&mut run, now_ns));
    assert_eq!(run.1.1, [conn, conn], "a ping and a pong are signs of life");
    assert_eq!(run.1.0, [SocketEnd::Closed { code: None, reason: String::new() }]);
    for _ in 0..100 {
        net.write(peer, b"x");
        now_ns += 4 * SECOND_NS;
        turn(&mut run, now_ns);
    }
    assert!(run.0.is_empty(), "400 s after the close handshake the connection is still held");
}

/// `closed` follows, and `connected` does not.
#[test]
fn a_connection_under_way_can_be_closed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wire = UringWire::with_listeners(Vec::new(), WireConfig::default()).unwrap();
    let conn = wire.connect(listener.local_addr().unwrap(), None).unwrap();
    wire.close(conn);
    let (mut events, clock) = (Recorder::default(), Clock::new());
    drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 0);
    assert_eq!(events.connected, []);
    assert_eq!(events.closed.len(), 1);
}
