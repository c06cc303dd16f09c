//! WebSockets between our server and our client, over real sockets: messages both ways, refusals, faults, the end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{Clock, TestServer, drive};
use net::sockets::{Feed, SocketEnd, Sockets, SocketsLimits, Talk};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};
use net::ws::handshake::DeflatePolicy;
use net::ws::handshake::client::{ClientRequest, HandshakeError};
use net::ws::{CloseCode, Message};

#[derive(Default)]
struct Heard {
    opened: usize,
    messages: Vec<Vec<u8>>,
    ends: Vec<SocketEnd>,
    /// Sent when it opens.
    greeting: Vec<String>,
}

impl Feed for Heard {
    fn opened(&mut self, _conn: ConnId, protocol: Option<&str>, talk: &mut Talk<'_>) {
        assert_eq!(protocol, None);
        self.opened += 1;
        for text in &self.greeting {
            assert!(talk.send(Message::Text(text)));
        }
    }

    fn message(&mut self, _conn: ConnId, message: Message<'_>, _talk: &mut Talk<'_>) {
        self.messages.push(message.payload().to_vec());
    }

    fn ended(&mut self, _conn: ConnId, end: SocketEnd) {
        self.ends.push(end);
    }
}

struct Client {
    sockets: Sockets,
    heard: Heard,
}

impl WireEvents for Client {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn connected(&mut self, conn: ConnId) {
        self.sockets.connected(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.sockets.received(conn, stream, &mut self.heard);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.sockets.closed(conn, ending, &mut self.heard);
    }
}

fn client() -> (UringWire, Client, Clock) {
    let wire = UringWire::with_listeners(Vec::new(), WireConfig::default()).unwrap();
    (wire, Client { sockets: Sockets::new(SocketsLimits::default()), heard: Heard::default() }, Clock::new())
}

fn begin(
    wire: &mut UringWire,
    client: &mut Client,
    to: std::net::SocketAddr,
    deflate: Option<DeflatePolicy>,
) -> ConnId {
    let conn = wire.connect(to, None).unwrap();
    let request = ClientRequest { host: "localhost", target: "/feed", deflate, ..ClientRequest::default() };
    client.sockets.begin(conn, &request, [7; 16], Box::new(|| [1, 2, 3, 4])).unwrap();
    conn
}

fn until(wire: &mut UringWire, client: &mut Client, clock: &Clock, mut done: impl FnMut(&Client) -> bool) {
    drive(wire, client, clock, |wire, client| {
        client.sockets.tick(clock.now_ns(), wire);
        done(client)
    });
}

#[test]
fn messages_go_both_ways_and_the_close_is_clean() {
    for deflate in [None, Some(DeflatePolicy::default())] {
        let server = TestServer::start();
        let (mut wire, mut client, clock) = client();
        client.heard.greeting = (0..50).map(|n| format!("{n} ").repeat(1 + n * 20)).collect();
        let conn = begin(&mut wire, &mut client, server.address, deflate);
        until(&mut wire, &mut client, &clock, |client| client.heard.messages.len() == 50);
        let expected: Vec<_> = client.heard.greeting.iter().map(|text| text.clone().into_bytes()).collect();
        assert_eq!(client.heard.messages, expected);
        assert!(client.sockets.send(&mut wire, conn, Message::Binary(&[0, 159, 146, 150])));
        until(&mut wire, &mut client, &clock, |client| client.heard.messages.len() == 51);
        client.sockets.close(&mut wire, conn, CloseCode::NORMAL, "done");
        until(&mut wire, &mut client, &clock, |client| client.sockets.is_empty());
        assert_eq!(client.heard.ends, [SocketEnd::Closed { code: Some(1000), reason: String::new() }]);
        assert_eq!(client.heard.opened, 1);
        assert!(!client.sockets.send(&mut wire, conn, Message::Text("late")));
        server.wait_until(|_, connections| connections == 0);
    }
}

#[test]
fn a_server_that_refuses_is_told_with_its_answer() {
    let listener = std::net::TcpListener::bind(crate::support::any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let (mut wire, mut client, clock) = client();
    begin(&mut wire, &mut client, address, None);
    let refuser = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        socket
            .write_all(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow")
            .unwrap();
    });
    until(&mut wire, &mut client, &clock, |client| client.sockets.is_empty());
    refuser.join().unwrap();
    let [SocketEnd::Handshake(HandshakeError::Refused { status: 429, retry_after, body_start, .. })] =
        client.heard.ends.as_slice()
    else {
        panic!("{:?}", client.heard.ends)
    };
    assert_eq!((retry_after.as_deref(), body_start.as_str()), (Some("7"), "slow"));
    assert_eq!(client.heard.opened, 0);
}

#[test]
fn a_connection_that_fails_ends_once() {
    let listener = std::net::TcpListener::bind(crate::support::any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (mut wire, mut client, clock) = client();
    begin(&mut wire, &mut client, address, None);
    until(&mut wire, &mut client, &clock, |client| client.sockets.is_empty());
    assert!(matches!(client.heard.ends.as_slice(), [SocketEnd::Connection(_)]), "{:?}", client.heard.ends);
}

#[test]
fn http_goes_on_beside_and_a_refused_upgrade_keeps_the_connection() {
    use std::io::{Read, Write};
    let server = TestServer::start();
    let mut socket = server.connect();
    socket
        .write_all(b"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n")
        .unwrap();
    let mut answer = [0; 4096];
    let count = socket.read(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(text.starts_with("HTTP/1.1 426 ") && text.contains("Sec-WebSocket-Version: 13"), "{text}");
    socket.write_all(b"GET /next HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let count = socket.read(&mut answer).unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 200 OK"));
}

#[test]
fn a_message_that_came_with_the_upgrade_is_not_lost() {
    use std::io::{Read, Write};
    let server = TestServer::start();
    let mut socket = server.connect();
    let mut bytes = b"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    bytes.extend_from_slice(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    socket.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"\x81\x02hi") {
        let count = socket.read(&mut piece).unwrap();
        assert!(count > 0, "{answer:?}");
        answer.extend_from_slice(&piece[..count]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
}
