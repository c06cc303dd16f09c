//! The network in memory: the same consumer gives the same answers, whatever the pieces; bounds and ends hold as well.

use std::net::SocketAddr;

use crate::support::{Clock, Echo, Recorder, SECOND_NS, TestServer, drive, raw_exchange};
use net::http::Limits;
use net::wire::memory::{Pieces, network};
use net::wire::{CloseReason, SendError, Wire, WireConfig};

fn peer_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4000))
}

fn served_in_memory(request: &[u8], pieces: Pieces) -> Vec<u8> {
    let (mut wire, network) = network(WireConfig::default(), pieces);
    let mut echo = Echo::new(Limits::default());
    let peer = network.connect(peer_address());
    network.write(peer, request);
    network.end(peer);
    drive(&mut wire, &mut echo, &Clock::new(), |wire, _| !wire.has_work());
    assert!(network.is_closed(peer));
    assert_eq!(wire.connections(), 0);
    network.read(peer)
}

#[test]
fn any_pieces_give_the_answers_of_the_real_network() {
    let requests = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
        HEAD /3 HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /4 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyzBAD\r\n\r\n";
    let server = TestServer::start();
    let real = raw_exchange(server.address, requests);
    assert!(real.len() > 300);
    let fixed = [1, 2, 5, 64].map(Pieces::Fixed);
    let seeded = (0..20).map(|seed| Pieces::Seeded { seed, max: 40 });
    for pieces in fixed.into_iter().chain(seeded).chain([Pieces::Whole]) {
        assert!(served_in_memory(requests, pieces) == real, "{pieces:?}");
    }
}

#[test]
fn a_slow_reader_is_closed_by_size_and_by_time() {
    let config = WireConfig { output_bytes_max: 1000, send_ns: SECOND_NS, ..WireConfig::default() };
    let (mut wire, network) = network(config, Pieces::Whole);
    let mut events = Recorder::default();
    let peers = [network.connect(peer_address()), network.connect(peer_address())];
    peers.iter().for_each(|&peer| network.set_window(peer, 10));
    wire.poll(0, &mut events).unwrap();
    let [by_size, by_time] = peers.map(|peer| network.conn(peer).unwrap());
    wire.send(by_time, &[1; 100]).unwrap();
    wire.poll(1, &mut events).unwrap();
    assert_eq!(wire.queued_bytes(by_time), 90);
    wire.send(by_size, &[1; 1000]).unwrap();
    assert_eq!(wire.send(by_size, &[1]), Err(SendError::Overflow));
    assert_eq!(wire.send(by_size, &[1]), Err(SendError::Gone));
    assert!(wire.next_deadline_ns().unwrap() <= SECOND_NS + 2);
    wire.poll(SECOND_NS + 2, &mut events).unwrap();
    assert_eq!(events.closed, [(by_size, CloseReason::SlowReader), (by_time, CloseReason::SlowReader)]);
    assert_eq!(network.read(peers[1]).len(), 10);
}

#[test]
fn pause_reset_cap_and_ids() {
    let config = WireConfig { connections_max: 1, ..WireConfig::default() };
    let (mut wire, network) = network(config, Pieces::Fixed(4));
    let mut events = Recorder { pause: true, ..Recorder::default() };
    let first = network.connect(peer_address());
    let refused = network.connect(peer_address());
    network.write(first, b"eightbytes");
    for _ in 0..5 {
        wire.poll(0, &mut events).unwrap();
    }
    let conn = network.conn(first).unwrap();
    assert!(network.is_closed(refused) && !network.is_closed(first));
    assert_eq!(events.input[&conn], b"eigh");
    wire.resume(conn);
    wire.poll(0, &mut events).unwrap();
    assert_eq!(events.input[&conn], b"eightbyt");
    network.reset(first);
    wire.poll(0, &mut events).unwrap();
    assert_eq!(events.closed, [(conn, CloseReason::PeerReset)]);
    let second = network.connect(peer_address());
    wire.poll(0, &mut events).unwrap();
    let next = network.conn(second).unwrap();
    assert_eq!(next.index(), conn.index());
    assert_eq!(wire.send(conn, b"for another"), Err(SendError::Gone));
    wire.output(next).unwrap().extend_from_slice(b"right");
    wire.poll(0, &mut events).unwrap();
    assert_eq!(network.read(second), b"right");
}
