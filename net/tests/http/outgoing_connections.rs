//! Outgoing connections: established, refused, timed out, from a chosen source address; what may have left is known.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};

use crate::support::{Clock, Recorder, SECOND_NS, any_port, drive, reset_on_close};
use net::wire::uring::UringWire;
use net::wire::{CloseReason, ConnectError, Wire, WireConfig};

fn outgoing(config: WireConfig) -> UringWire {
    UringWire::with_listeners(Vec::new(), config).unwrap()
}

#[test]
fn bytes_go_both_ways_and_the_source_address_is_the_chosen_one() {
    for single_shot in [false, true] {
        let mut wire = outgoing(WireConfig { single_shot, ..WireConfig::default() });
        assert_eq!(wire.kernel_floor(), if single_shot { "5.8" } else { "6.0" });
        let (mut events, clock) = (Recorder::default(), Clock::new());
        let listener = TcpListener::bind(any_port()).unwrap();
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
        let conn = wire.connect(listener.local_addr().unwrap(), Some(from)).unwrap();
        assert!(wire.output(conn).is_none(), "nothing can be queued before it is established");
        drive(&mut wire, &mut events, &clock, |_, events| events.connected == [conn]);
        let (mut socket, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), from);
        wire.send(conn, b"question").unwrap();
        drive(&mut wire, &mut events, &clock, |wire, _| wire.queued_bytes(conn) == 0);
        let mut question = [0; 8];
        socket.read_exact(&mut question).unwrap();
        socket.write_all(b"answer").unwrap();
        drive(&mut wire, &mut events, &clock, |_, events| events.bytes(conn) == 6);
        drop(socket);
        drive(&mut wire, &mut events, &clock, |_, events| events.ended == [conn]);
        wire.close(conn);
        drive(&mut wire, &mut events, &clock, |wire, events| {
            wire.connections() == 0 && events.closed.len() == 1
        });
        assert_eq!(events.endings[0].handed_bytes, 8);
        assert_eq!(wire.metrics().connected, 1);
    }
}

#[test]
fn a_refused_connection_is_told_with_its_error() {
    let mut wire = outgoing(WireConfig::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    // Bound and not listening: nobody else can take the port, and nobody accepts there.
    let socket = TcpListener::bind(any_port()).unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let conn = wire.connect(address, None).unwrap();
    drive(&mut wire, &mut events, &clock, |wire, events| {
        !events.closed.is_empty() && wire.connections() == 0
    });
    assert_eq!(events.closed, [(conn, CloseReason::ConnectFailed)]);
    assert_eq!(events.endings[0].os_error, Some(libc::ECONNREFUSED));
    assert_eq!(events.endings[0].handed_bytes, 0);
    assert!(events.connected.is_empty());
}

#[test]
fn an_address_that_is_not_ours_is_an_error_with_both_addresses() {
    let mut wire = outgoing(WireConfig::default());
    let from: IpAddr = "192.0.2.1".parse().unwrap();
    let error = wire.connect("127.0.0.1:9".parse().unwrap(), Some(from)).unwrap_err();
    assert!(matches!(error, ConnectError::Socket { .. }));
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:9") && text.contains("from 192.0.2.1"), "{text}");
    assert_eq!(wire.connections(), 0, "its place is free again");
}

#[test]
fn places_are_bounded() {
    let mut wire = outgoing(WireConfig { connections_max: 1, ..WireConfig::default() });
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    wire.connect(address, None).unwrap();
    assert!(matches!(wire.connect(address, None), Err(ConnectError::Full(1))));
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut wire = outgoing(WireConfig::default());
    let (mut events, mut clock) = (Recorder::default(), Clock::new());
    // A backlog of one that is full: the kernel answers no further connection.
    let listener = net::wire::listen(
        any_port(),
        &net::wire::ListenOptions { backlog: 0, reuse_port: false, ..Default::default() },
    )
    .unwrap();
    let conns: Vec<_> = (0..4).map(|_| wire.connect(listener.address(), None).unwrap()).collect();
    drive(&mut wire, &mut events, &clock, |_, events| !events.connected.is_empty());
    wire.poll(clock.now_ns(), &mut events).unwrap();
    assert!(events.closed.is_empty());
    clock.skew_ns = 6 * SECOND_NS;
    drive(&mut wire, &mut events, &clock, |_, events| {
        events.connected.len() + events.closed.len() == conns.len() && !events.closed.is_empty()
    });
    assert!(events.closed.iter().all(|&(_, reason)| reason == CloseReason::ConnectTimeout), "{events:?}");
}

#[test]
fn what_never_left_is_known_after_a_reset() {
    let mut wire = outgoing(WireConfig::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let listener = TcpListener::bind(any_port()).unwrap();
    let conn = wire.connect(listener.local_addr().unwrap(), None).unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| events.connected == [conn]);
    let (socket, _) = listener.accept().unwrap();
    wire.send(conn, b"first").unwrap();
    drive(&mut wire, &mut events, &clock, |wire, _| wire.queued_bytes(conn) == 0);
    reset_on_close(&socket);
    drop(socket);
    // The kernel knows of the reset before our wire does: this send reaches nobody, and the kernel says so.
    wire.send(conn, b"second").unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| !events.closed.is_empty());
    assert_eq!(events.closed, [(conn, CloseReason::PeerReset)]);
    assert_eq!(events.endings[0].handed_bytes, 5, "the second message was not taken by the kernel");
}
