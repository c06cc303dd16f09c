//! What an idle TLS connection holds in memory is bounded, and nothing stays behind when it is gone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/counting.rs"]
mod counting;
mod support;
#[path = "support/tls.rs"]
mod tls;

use net::tls::{ServerSide, TlsWire};
use net::wire::memory::{MemoryNetwork, MemoryWire, PeerId, Pieces};
use net::wire::{Wire, WireConfig};
use support::Recorder;
use tls::{Authority, MemoryPeer, converse, in_memory, only};

/// The number in the contract of `tls::wire`, with a tenth to spare.
const BYTES_MAX: usize = 4_300;
const COUNT: usize = 200;

/// Opens connections that ask and are answered, and leaves them idle.
fn open(
    wire: &mut TlsWire<MemoryWire>,
    events: &mut Recorder,
    mut one: impl FnMut(&mut TlsWire<MemoryWire>, &mut Recorder) -> PeerId,
) -> Vec<PeerId> {
    let peers = (0..COUNT).map(|_| one(wire, events)).collect();
    events.input.clear();
    peers
}

#[test]
fn after_a_request() {
    let authority = Authority::new();
    let (server, client) = (authority.server(), authority.client());
    let measure =
        |side: ServerSide,
         one: &dyn Fn(&MemoryNetwork, &mut TlsWire<MemoryWire>, &mut Recorder) -> PeerId| {
            let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, side);
            let mut events = Recorder::default();
            let end = |wire: &mut TlsWire<MemoryWire>, events: &mut Recorder, peers: Vec<_>| {
                for peer in peers {
                    network.reset(peer);
                    wire.poll(0, events).unwrap();
                    network.forget(peer);
                }
                assert_eq!(wire.connections(), 0);
                *events = Recorder::default();
            };
            // Tables and buffers that all share have grown after some.
            let first = open(&mut wire, &mut events, |wire, events| one(&network, wire, events));
            end(&mut wire, &mut events, first);
            let before = counting::live_bytes();
            let peers = open(&mut wire, &mut events, |wire, events| one(&network, wire, events));
            let each = (counting::live_bytes() - before) / COUNT;
            end(&mut wire, &mut events, peers);
            let left = counting::live_bytes().saturating_sub(before);
            assert!(left < COUNT * 100, "{left} bytes stay behind");
            each
        };
    let secure = measure(only(&server), &|network, wire, events| {
        let mut peer = MemoryPeer::client(network, &client);
        peer.write(&[b'x'; 2000]);
        let mut asked = false;
        let before = events.deliveries;
        converse(wire, events, &mut peer, |wire, events, peer| {
            if events.deliveries > before && !std::mem::replace(&mut asked, true) {
                wire.send(peer.conn(), &[b'y'; 2000]).unwrap();
            }
            peer.received.len() == 2000 && !wire.has_work()
        });
        peer.peer
    });
    // About as many bytes as TLS sends, because the network in memory keeps the room they took.
    let plain = measure(ServerSide::default(), &|network, wire, events| {
        let peer = network.connect("127.0.0.1:4000".parse().unwrap());
        for bytes in [300, 2100] {
            network.write(peer, &vec![b'x'; bytes]);
            wire.poll(0, events).unwrap();
            wire.poll(0, events).unwrap();
        }
        wire.send(network.conn(peer).unwrap(), &[b'y'; 2000]).unwrap();
        wire.poll(0, events).unwrap();
        assert_eq!(network.read(peer).len(), 2000);
        peer
    });
    println!("an idle connection holds {plain} bytes when plain, {secure} with TLS");
    assert!(secure - plain <= BYTES_MAX, "{secure} - {plain}");
}
