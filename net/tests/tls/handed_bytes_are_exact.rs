//! How many plaintext bytes may have left is known to the record, wherever the kernel stopped taking ciphertext.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::authority::{Authority, MemoryPeer, converse, in_memory, only};
use crate::support::Recorder;
use net::wire::memory::Pieces;
use net::wire::{CloseReason, Wire, WireConfig};

const MESSAGES: [usize; 3] = [10, 300, 20_000];
/// With TLS 1.3: header, content type and tag.
const RECORD_OVERHEAD: usize = 5 + 1 + 16;

/// Sends the messages, one a poll, to a peer that takes `window` bytes; then the peer resets. Gives what was said to
/// have been handed, what was queued before that, and what the peer could read.
fn cut_after(authority: &Authority, window: usize) -> (u64, usize, usize) {
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
    let mut events = Recorder::default();
    let mut peer = MemoryPeer::client(&network, &authority.client());
    converse(&mut wire, &mut events, &mut peer, |wire, _, peer| {
        !peer.connection.is_handshaking() && wire.tls_metrics().handshakes_full == 1 && !wire.has_work()
    });
    let conn = peer.conn();
    network.set_window(peer.peer, window);
    for bytes in MESSAGES {
        wire.send(conn, &vec![1; bytes]).unwrap();
        wire.poll(0, &mut events).unwrap();
    }
    let queued_bytes = wire.queued_bytes(conn);
    let arrived = network.read(peer.peer);
    assert_eq!(arrived.len(), window.min(20_310 + 4 * RECORD_OVERHEAD));
    peer.take_in(&arrived);
    network.reset(peer.peer);
    wire.poll(0, &mut events).unwrap();
    assert_eq!(events.closed, [(conn, CloseReason::PeerReset)]);
    (events.endings[0].handed_bytes, queued_bytes, peer.received.len())
}

#[test]
fn at_every_cut() {
    let authority = Authority::new();
    // The third message has two records.
    let records = [10, 300, 16_384, 20_000 - 16_384];
    let total: usize = records.iter().map(|plain| plain + RECORD_OVERHEAD).sum();
    let near_edges = |&cut: &usize| {
        let mut edge = 0;
        records.iter().any(|plain| {
            edge += plain + RECORD_OVERHEAD;
            cut.abs_diff(edge) <= 2
        }) || cut <= 2
            || cut % 1009 == 0
    };
    for cut in (0..=total + 2).filter(near_edges) {
        let (handed_bytes, queued_bytes, readable) = cut_after(&authority, cut);
        let (mut begun, mut whole, mut start) = (0, 0, 0);
        for plain in records {
            let end = start + plain + RECORD_OVERHEAD;
            begun += if cut > start { plain } else { 0 };
            whole += if cut >= end { plain } else { 0 };
            start = end;
        }
        assert_eq!(handed_bytes, begun as u64, "cut after {cut}");
        assert_eq!(readable, whole, "cut after {cut}");
        assert_eq!(queued_bytes, 20_310 - whole, "cut after {cut}");
    }
}

#[test]
fn what_waits_for_the_next_poll_has_not_left() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
    let mut events = Recorder::default();
    let mut peer = MemoryPeer::client(&network, &authority.client());
    converse(&mut wire, &mut events, &mut peer, |_, _, peer| !peer.connection.is_handshaking());
    let conn = peer.conn();
    wire.send(conn, b"never").unwrap();
    assert_eq!(wire.queued_bytes(conn), 5);
    wire.abort(conn);
    wire.poll(0, &mut events).unwrap();
    assert_eq!(events.closed, [(conn, CloseReason::Local)]);
    assert_eq!(events.endings[0].handed_bytes, 0);
}
