//! A paused TLS connection is not read from, delivers nothing, and loses nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::authority::{Authority, MemoryPeer, converse, in_memory, only};
use crate::support::Recorder;
use net::wire::memory::Pieces;
use net::wire::{Wire, WireConfig};

#[test]
fn paused_during_the_handshake() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
    let mut events = Recorder::default();
    let mut peer = MemoryPeer::client(&network, &authority.client());
    peer.write(b"early words");
    wire.poll(0, &mut events).unwrap();
    let conn = events.accepted[0];
    wire.pause(conn);
    converse(&mut wire, &mut events, &mut peer, |wire, _, _| {
        wire.tls_metrics().handshakes_full == 1 && !wire.has_work()
    });
    assert_eq!(events.deliveries, 0);
    wire.resume(conn);
    converse(&mut wire, &mut events, &mut peer, |_, events, _| events.deliveries == 1);
    assert_eq!(events.input[&conn], b"early words");
}

#[test]
fn nothing_is_read_while_paused() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
    // Pauses at each delivery.
    let mut events = Recorder { pause: true, ..Recorder::default() };
    let mut peer = MemoryPeer::client(&network, &authority.client());
    converse(&mut wire, &mut events, &mut peer, |wire, _, _| wire.tls_metrics().handshakes_full == 1);
    let conn = peer.conn();
    let mut sent = Vec::new();
    for round in 1..=20_u8 {
        peer.write(&[round; 1000]);
        sent.extend_from_slice(&[round; 1000]);
        if round == 1 {
            wire.poll(1, &mut events).unwrap();
        }
    }
    let before = wire.metrics().bytes_in;
    for now_ns in 2..10 {
        wire.poll(now_ns, &mut events).unwrap();
    }
    assert_eq!((wire.metrics().bytes_in, events.deliveries), (before, 1));
    assert!(!wire.has_work());
    wire.resume(conn);
    converse(&mut wire, &mut events, &mut peer, |_, events, _| events.deliveries == 2);
    assert_eq!(events.input[&conn], sent);
}
