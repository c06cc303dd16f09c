//! Plaintext that a consumer leaves, and records that do not become whole, are bounded in size and time; a body may come
//! slowly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use crate::authority::{Authority, MemoryPeer, converse, in_memory, only};
use crate::support::{Recorder, SECOND_NS};
use net::wire::memory::Pieces;
use net::wire::{Arrival, CloseReason, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};

#[test]
fn in_size() {
    let authority = Authority::new();
    let (mut wire, network) =
        in_memory(WireConfig::default(), Pieces::Fixed(5000), only(&authority.server()));
    let mut events = Recorder { hoard: true, ..Recorder::default() };
    let mut peer = MemoryPeer::client(&network, &authority.client());
    peer.connection.set_buffer_limit(None);
    peer.write(&vec![b'x'; 200_000]);
    converse(&mut wire, &mut events, &mut peer, |_, events, _| !events.closed.is_empty());
    assert_eq!(events.closed, [(events.accepted[0], CloseReason::InputOverflow)]);
    assert_eq!(wire.metrics().closed_for(CloseReason::InputOverflow), 1);
}

#[test]
fn in_time() {
    let authority = Authority::new();
    // A request that is not consumed, and a record of which half is there.
    for half in [false, true] {
        let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
        let mut events = Recorder { hoard: true, ..Recorder::default() };
        let mut peer = MemoryPeer::client(&network, &authority.client());
        converse(&mut wire, &mut events, &mut peer, |wire, _, _| wire.tls_metrics().handshakes_full == 1);
        if half {
            network.write(peer.peer, &[23, 3, 3, 0, 100, 1, 2, 3]);
        } else {
            peer.write(b"GET");
        }
        let start_ns = 100 * SECOND_NS;
        wire.set_patience(peer.conn(), net::wire::Patience { request_ns: 10 * SECOND_NS, idle_ns: u64::MAX });
        wire.poll(start_ns, &mut events).unwrap();
        assert_eq!(events.deliveries, usize::from(!half));
        let mut now_ns = start_ns;
        while events.closed.is_empty() {
            assert!(now_ns < start_ns + 12 * SECOND_NS);
            now_ns = wire.next_deadline_ns().unwrap().max(now_ns + 1);
            wire.poll(now_ns, &mut events).unwrap();
        }
        assert!(now_ns > start_ns + 10 * SECOND_NS);
        assert_eq!(events.closed, [(peer.conn(), CloseReason::SlowRequest)]);
    }
}

/// Waits for a body of which it consumes nothing before it is whole.
#[derive(Default)]
struct Patient {
    body: usize,
    whole: bool,
    closed: bool,
}

impl WireEvents for Patient {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn received(&mut self, _conn: ConnId, stream: &mut Stream<'_>) {
        self.whole = stream.input().len() >= self.body;
        if self.whole {
            stream.consume(self.body);
        } else {
            stream.wait_for_body(self.body);
        }
    }

    fn closed(&mut self, _conn: ConnId, _ending: Ending) {
        self.closed = true;
    }
}

#[test]
fn a_body_may_come_slowly_even_within_one_record() {
    let authority = Authority::new();
    for (bytes_per_second, arrives) in [(2000, true), (200, false)] {
        let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
        let mut events = Patient { body: 60_000, ..Patient::default() };
        let mut peer = MemoryPeer::client(&network, &authority.client());
        converse(&mut wire, &mut events, &mut peer, |wire, _, _| wire.tls_metrics().handshakes_full == 1);
        peer.connection.writer().write_all(&vec![b'x'; 60_000]).unwrap();
        let mut cipher = Vec::new();
        while peer.connection.wants_write() {
            peer.connection.write_tls(&mut cipher).unwrap();
        }
        let mut now_ns = SECOND_NS;
        for piece in cipher.chunks(bytes_per_second) {
            network.write(peer.peer, piece);
            wire.poll(now_ns, &mut events).unwrap();
            now_ns += SECOND_NS;
        }
        wire.poll(now_ns, &mut events).unwrap();
        assert_eq!((events.whole, events.closed), (arrives, !arrives), "{bytes_per_second}");
    }
}
