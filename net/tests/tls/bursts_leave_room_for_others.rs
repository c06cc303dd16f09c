//! A thousand clients that begin a handshake at once: each poll does a bounded part of it, so that others have
//! their turn meanwhile, and all are served in the end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::authority::{Authority, MemoryPeer, in_memory, only};
use crate::support::Echo;
use net::http::Limits;
use net::wire::memory::Pieces;
use net::wire::{Wire, WireConfig};

const BURST: usize = 300;

#[test]
fn each_poll_takes_its_part() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
    let mut echo = Echo::new(Limits::default());
    let client = authority.client();
    let mut peers: Vec<_> = (0..BURST).map(|_| MemoryPeer::client(&network, &client)).collect();
    wire.poll(0, &mut echo).unwrap();
    peers.iter_mut().for_each(MemoryPeer::put_out);
    let mut polls = 0;
    let mut before = 0;
    while wire.tls_metrics().handshakes_full < BURST as u64 {
        wire.poll(1, &mut echo).unwrap();
        let done = wire.tls_metrics().handshakes_full;
        assert!(done - before <= 8, "{} handshakes in one poll", done - before);
        before = done;
        peers.iter_mut().for_each(MemoryPeer::pump);
        polls += 1;
        assert!(
            polls < 10 * BURST,
            "{done} handshakes are done and no more follow: {:?}",
            wire.tls_metrics()
        );
    }
    assert!(wire.tls_metrics().handshakes_postponed > 0);
    assert!(polls >= BURST / 8);
    assert_eq!(wire.connections(), BURST);
}
