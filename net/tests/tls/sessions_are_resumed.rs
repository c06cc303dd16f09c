//! A peer that comes back resumes its session, in both roles and versions, and on another shard.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use crate::authority::{Authority, MemoryPeer, converse, in_memory, localhost, only};
use crate::support::Recorder;
use net::tls::ServerSide;
use net::wire::WireConfig;
use net::wire::memory::Pieces;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};

/// A foreign client connects to a new wire with this configuration, and gets an answer.
fn visit(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (HandshakeKind, u64, u64) {
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(server));
    let mut events = Recorder::default();
    let mut peer = MemoryPeer::client(&network, client);
    peer.write(b"hello");
    converse(&mut wire, &mut events, &mut peer, |_, events, _| events.deliveries > 0);
    // The server's ticket may come after that.
    converse(&mut wire, &mut events, &mut peer, |wire, _, _| !net::wire::Wire::has_work(wire));
    let metrics = wire.tls_metrics();
    (peer.connection.handshake_kind().unwrap(), metrics.handshakes_full, metrics.handshakes_resumed)
}

#[test]
fn a_client_that_comes_back_to_any_shard() {
    let authority = Authority::new();
    let server = authority.server();
    let client = authority.client();
    assert_eq!(visit(&server, &client), (HandshakeKind::Full, 1, 0));
    assert_eq!(visit(&server, &client), (HandshakeKind::Resumed, 0, 1));
    assert_eq!(visit(&server, &authority.client()), (HandshakeKind::Full, 1, 0), "another client");
    assert_eq!(visit(&authority.server(), &client), (HandshakeKind::Full, 1, 0), "another server");
}

#[test]
fn our_client_that_comes_back() {
    let authority = Authority::new();
    let server = authority.server();
    let client = authority.client();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, ServerSide::default());
    let mut events = Recorder::default();
    let address = "127.0.0.1:443".parse().unwrap();
    for round in 0..3 {
        let conn = wire.connect_tls(address, None, localhost(), &client).unwrap();
        let mut peer = MemoryPeer::server(&network, &server);
        peer.write(b"x");
        converse(&mut wire, &mut events, &mut peer, |_, events, _| events.bytes(conn) == 1);
        assert_eq!(wire.details(conn).unwrap().resumed, round > 0);
        net::wire::Wire::close(&mut wire, conn);
        converse(&mut wire, &mut events, &mut peer, |_, events, _| events.closed.len() == round + 1);
    }
    let metrics = wire.tls_metrics();
    assert_eq!((metrics.handshakes_full, metrics.handshakes_resumed), (1, 2));
}
