//! Draining: what is under way is answered and told that it is the last, idle connections and WebSockets end at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use net::http::{Request, response};
use net::server::{Acceptance, RequestId, Requested, Server, ServerLimits, Service};
use net::wire::memory::{self, Pieces};
use net::wire::{Wire, WireConfig};
use net::ws::handshake::server::Upgrade;

/// Keeps requests until it is told to answer.
#[derive(Default)]
struct Later {
    kept: Vec<RequestId>,
}

impl Service for Later {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        match Upgrade::check(request.head) {
            Ok(upgrade) => requested.accept(&upgrade, &Acceptance::default()),
            Err(_) => self.kept.push(requested.id()),
        }
    }
}

#[test]
fn nothing_under_way_is_lost() {
    let (mut wire, network) = memory::network(WireConfig::default(), Pieces::Whole);
    let (mut server, mut service) = (Server::new(ServerLimits::default()), Later::default());
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let (idle, working, socket) =
        (network.connect(address), network.connect(address), network.connect(address));
    network.write(working, b"GET /1 HTTP/1.1\r\nHost: t\r\n\r\nGET /2 HTTP/1.1\r\nHost: t\r\n\r\n");
    network.write(
        socket,
        b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    for _ in 0..4 {
        wire.poll(0, &mut server.with(&mut service)).unwrap();
    }
    assert_eq!(service.kept.len(), 2);
    wire.stop_accepting();
    server.drain(&mut wire);
    for _ in 0..4 {
        wire.poll(0, &mut server.with(&mut service)).unwrap();
    }
    assert!(network.is_closed(idle));
    assert!(!network.is_closed(working), "its requests are under way");
    assert!(network.read(socket).ends_with(&[0x88, 2, 0x03, 0xE9]), "1001: going away");
    for id in service.kept.clone() {
        server.answer(&mut wire, id, |out, mode, date| {
            response::write(out, 200, mode, date, "text/plain", b"x")
        });
        wire.poll(0, &mut server.with(&mut service)).unwrap();
    }
    for _ in 0..4 {
        wire.poll(0, &mut server.with(&mut service)).unwrap();
    }
    let answers = String::from_utf8(network.read(working)).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(answers.matches("Connection: close").count(), 1, "{answers}");
    assert!(answers.rsplit("HTTP/1.1").next().unwrap().contains("Connection: close"), "{answers}");
    assert!(network.is_closed(working));
}
