//! A peer that does not read is closed, by size and by time, whichever way output is queued; the bound counts plaintext.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::rc::Rc;

use crate::authority::{
    Authority, MemoryPeer, beside, blocking_client, converse, in_memory, listening, only,
};
use crate::support::{Clock, Recorder, SECOND_NS, drive};
use net::wire::memory::Pieces;
use net::wire::{CloseReason, SendError, Wire, WireConfig};

const MAX: usize = 100_000;

#[test]
fn by_size_and_by_time() {
    let authority = Authority::new();
    let config = WireConfig { output_bytes_max: MAX, send_ns: SECOND_NS, ..WireConfig::default() };
    for way in 0..4 {
        let (mut wire, network) = in_memory(config, Pieces::Whole, only(&authority.server()));
        let mut events = Recorder::default();
        let mut peer = MemoryPeer::client(&network, &authority.client());
        converse(&mut wire, &mut events, &mut peer, |wire, _, _| wire.tls_metrics().handshakes_full == 1);
        let conn = peer.conn();
        let now_ns = 100 * SECOND_NS;
        wire.set_patience(conn, net::wire::Patience { request_ns: u64::MAX, idle_ns: u64::MAX });
        wire.poll(now_ns, &mut events).unwrap();
        let _handshake = network.read(peer.peer);
        network.set_window(peer.peer, 0);
        wire.send(conn, &[1; MAX - 1]).unwrap();
        wire.poll(now_ns, &mut events).unwrap();
        wire.send(conn, &[1]).unwrap();
        wire.poll(now_ns, &mut events).unwrap();
        assert_eq!(wire.queued_bytes(conn), MAX, "exactly the bound is allowed");
        assert!(events.closed.is_empty());
        match way {
            0 => assert_eq!(wire.send(conn, &[1]), Err(SendError::Overflow)),
            1 => assert_eq!(wire.send_shared(conn, &Rc::from([1])), Err(SendError::Overflow)),
            2 => wire.output(conn).unwrap().push(1),
            _ => {}
        }
        // No time passes where size is the reason.
        let later_ns = if way == 3 { now_ns + SECOND_NS + 1 } else { now_ns };
        for _ in 0..2 {
            wire.poll(later_ns, &mut events).unwrap();
        }
        assert_eq!(events.closed, [(conn, CloseReason::SlowReader)], "{way}");
        assert_eq!(events.endings[0].handed_bytes, 0);
        assert_eq!(wire.metrics().closed_for(CloseReason::SlowReader), 1);
        assert_eq!(wire.metrics().closed_for(CloseReason::Local), 0);
        assert_eq!(wire.send(conn, &[1]), Err(SendError::Gone));
    }
}

#[test]
fn on_the_real_network() {
    let authority = Authority::new();
    let (mut wire, address) = listening(WireConfig::default(), &authority.server());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    // A peer that completes its handshake with a first word and then reads nothing.
    let client = beside(&mut wire, &mut events, || {
        let mut client = blocking_client(address, &authority.client());
        std::io::Write::write_all(&mut client, b"hello").unwrap();
        client
    });
    drive(&mut wire, &mut events, &clock, |_, events| events.deliveries > 0);
    let conn = events.accepted[0];
    let mut sent = 0;
    drive(&mut wire, &mut events, &clock, |wire, _| {
        sent += 1;
        wire.send(conn, &[1; 50_000]) == Err(SendError::Overflow)
    });
    drive(&mut wire, &mut events, &clock, |wire, events| events.closed.len() == 1 && wire.connections() == 0);
    assert_eq!(events.closed, [(conn, CloseReason::SlowReader)]);
    assert!(events.endings[0].handed_bytes < sent * 50_000);
    drop(client);
}
