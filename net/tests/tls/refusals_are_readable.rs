//! What is queued and closed before the handshake is complete reaches the client after it: a full server can say so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::authority::{Authority, MemoryPeer, converse, in_memory, localhost, only};
use crate::support::Recorder;
use net::tls::ServerSide;
use net::wire::memory::Pieces;
use net::wire::{CloseReason, SendError, Wire, WireConfig};

#[test]
fn an_answer_before_the_handshake() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Fixed(100), only(&authority.server()));
    let mut events = Recorder::default();
    let mut peer = MemoryPeer::client(&network, &authority.client());
    peer.write(b"a request that nobody reads");
    wire.poll(0, &mut events).unwrap();
    let conn = events.accepted[0];
    wire.send(conn, b"503").unwrap();
    wire.close(conn);
    assert_eq!(wire.send(conn, b"more"), Err(SendError::Gone));
    converse(&mut wire, &mut events, &mut peer, |_, events, peer| !events.closed.is_empty() && peer.ended);
    assert_eq!(peer.received, b"503");
    assert_eq!(events.closed, [(conn, CloseReason::Local)]);
    assert_eq!((events.endings[0].handed_bytes, events.deliveries), (3, 0));
}

#[test]
fn closing_without_an_answer_is_at_once() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
    let mut events = Recorder::default();
    let peer = MemoryPeer::client(&network, &authority.client());
    wire.poll(0, &mut events).unwrap();
    wire.close(events.accepted[0]);
    wire.poll(0, &mut events).unwrap();
    assert_eq!(events.closed, [(events.accepted[0], CloseReason::Local)]);
    assert!(network.is_closed(peer.peer));
}

#[test]
fn an_outgoing_connection_can_be_given_up_at_any_time() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, ServerSide::default());
    let mut events = Recorder::default();
    let address = "127.0.0.1:443".parse().unwrap();
    for polls in 0..4 {
        let conn = wire.connect_tls(address, None, localhost(), &authority.client()).unwrap();
        let (peer, _) = network.dialled().unwrap();
        network.take(peer);
        for _ in 0..polls {
            wire.poll(0, &mut events).unwrap();
        }
        assert_eq!(wire.send(conn, b"too early"), Err(SendError::Gone));
        wire.abort(conn);
        wire.poll(0, &mut events).unwrap();
        assert_eq!(events.closed[polls..], [(conn, CloseReason::Local)]);
    }
    assert_eq!((wire.connections(), wire.tls_metrics().sessions), (0, 0));
    assert!(events.connected.is_empty());
}
