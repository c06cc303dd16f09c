//! Python's `websockets` and npm's `ws` agree with our server and our client about every message.
//!
//! Run by `cargo xtask test`, which installs both (`--only websocket-peers` for this alone).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use net::sockets::{Feed, SocketEnd, Sockets, SocketsLimits, Talk};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};
use net::ws::handshake::DeflatePolicy;
use net::ws::handshake::client::ClientRequest;
use net::ws::{CloseCode, Message};
use support::{Clock, TestServer, drive};

/// A peer's program, with the interpreter that was installed for it.
fn peer(script: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let variable = |name| std::env::var_os(name).expect("cargo xtask test --only websocket-peers sets it");
    let mut command = if Path::new(script).extension().is_some_and(|extension| extension == "py") {
        Command::new(variable("PEER_PYTHON"))
    } else {
        let mut command = Command::new("node");
        command.env("NODE_PATH", variable("PEER_NODE_MODULES"));
        command
    };
    command.arg(path).stdin(Stdio::null());
    command
}

fn check_as_server(script: &str) {
    let server = TestServer::start();
    let output = peer(script).arg(server.address.to_string()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim() == "agreed", "{out}{err}");
}

#[test]
fn python_websockets_is_served() {
    check_as_server("websockets_client.py");
}

#[test]
fn npm_ws_is_served() {
    check_as_server("ws_client.js");
}

/// Sends one message after the other and compares what comes back.
struct Comparing {
    sent: Vec<String>,
    place: usize,
    end: Option<SocketEnd>,
}

impl Comparing {
    fn send(&self, talk: &mut Talk<'_>) {
        match self.sent.get(self.place) {
            Some(text) if self.place.is_multiple_of(2) => assert!(talk.send(Message::Text(text))),
            Some(text) => assert!(talk.send(Message::Binary(text.as_bytes()))),
            None => talk.close(CloseCode::NORMAL, "done"),
        }
    }
}

impl Feed for Comparing {
    fn opened(&mut self, _conn: ConnId, _protocol: Option<&str>, talk: &mut Talk<'_>) {
        self.send(talk);
    }

    fn message(&mut self, _conn: ConnId, message: Message<'_>, talk: &mut Talk<'_>) {
        assert_eq!(matches!(message, Message::Text(_)), self.place.is_multiple_of(2));
        assert_eq!(message.payload(), self.sent[self.place].as_bytes());
        self.place += 1;
        self.send(talk);
    }

    fn ended(&mut self, _conn: ConnId, end: SocketEnd) {
        self.end = Some(end);
    }
}

struct Client {
    sockets: Sockets,
    feed: Comparing,
}

impl WireEvents for Client {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn connected(&mut self, conn: ConnId) {
        self.sockets.connected(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.sockets.received(conn, stream, &mut self.feed);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.sockets.closed(conn, ending, &mut self.feed);
    }
}

/// A peer's server, which ends with this.
struct PeerServer(Child);

impl Drop for PeerServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn check_as_client(script: &str) {
    let mut child = peer(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _server = PeerServer(child);
    let address: SocketAddr = line.trim().parse().unwrap_or_else(|_| panic!("{line:?}"));
    for deflate in [None, Some(DeflatePolicy::default())] {
        let sent: Vec<String> = [0, 1, 124, 125, 126, 127, 1000, 65_534, 65_535, 65_536, 300_000]
            .into_iter()
            .map(|length| (0..length).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect())
            .collect();
        let feed = Comparing { sent, place: 0, end: None };
        let mut client = Client { sockets: Sockets::new(SocketsLimits::default()), feed };
        let mut wire = UringWire::with_listeners(Vec::new(), WireConfig::default()).unwrap();
        let clock = Clock::new();
        let conn = wire.connect(address, None).unwrap();
        let host = address.to_string();
        let request = ClientRequest { host: &host, target: "/", deflate, ..ClientRequest::default() };
        client.sockets.begin(conn, &request, [3; 16], Box::new(|| [9, 8, 7, 6])).unwrap();
        drive(&mut wire, &mut client, &clock, |wire, client| {
            client.sockets.tick(clock.now_ns(), wire);
            client.sockets.is_empty()
        });
        assert_eq!(client.feed.place, client.feed.sent.len());
        assert_eq!(
            client.feed.end.map(|end| end.to_string()).as_deref(),
            Some("closed by the peer: Some(1000) done")
        );
    }
}

#[test]
fn python_websockets_is_called() {
    check_as_client("websockets_server.py");
}

#[test]
fn npm_ws_is_called() {
    check_as_client("ws_server.js");
}
