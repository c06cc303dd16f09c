//! Whatever the pieces in which ciphertext arrives, the records it is cut into, and the way a consumer takes it:
//! the same plaintext, in order, in both directions and both roles.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::authority::{Authority, MemoryPeer, converse, in_memory, localhost, only};
use crate::support::{Echo, Recorder};
use net::http::Limits;
use net::tls::ServerSide;
use net::wire::memory::Pieces;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};

const REQUESTS: &[u8] = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\
    POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
    HEAD /3 HTTP/1.1\r\nHost: x\r\n\r\n\
    POST /4 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyzBAD\r\n\r\n";

fn served(authority: &Authority, pieces: Pieces) -> Vec<u8> {
    let (mut wire, network) = in_memory(WireConfig::default(), pieces, only(&authority.server()));
    let mut echo = Echo::new(Limits::default());
    let mut peer = MemoryPeer::client(&network, &authority.client());
    peer.write(REQUESTS);
    converse(&mut wire, &mut echo, &mut peer, |_, _, peer| peer.ended);
    assert!(network.is_closed(peer.peer));
    assert_eq!(peer.error, None);
    peer.received
}

#[test]
fn a_server_gives_the_same_answers() {
    let authority = Authority::new();
    let expected = served(&authority, Pieces::Whole);
    assert!(expected.len() > 300);
    let fixed = [1, 2, 5, 64].map(Pieces::Fixed);
    let seeded = (0..10).map(|seed| Pieces::Seeded { seed, max: 600 });
    for pieces in fixed.into_iter().chain(seeded) {
        assert!(served(&authority, pieces) == expected, "{pieces:?}");
    }
}

#[test]
fn a_client_gets_the_same_bytes() {
    let authority = Authority::new();
    for pieces in [Pieces::Whole, Pieces::Fixed(1), Pieces::Seeded { seed: 3, max: 5000 }] {
        let (mut wire, network) = in_memory(WireConfig::default(), pieces, ServerSide::default());
        let mut events = Recorder::default();
        let address = "127.0.0.1:443".parse().unwrap();
        let conn = wire.connect_tls(address, None, localhost(), &authority.client()).unwrap();
        let mut peer = MemoryPeer::server(&network, &authority.server());
        peer.write(REQUESTS);
        let mut asked = false;
        converse(&mut wire, &mut events, &mut peer, |wire, events, peer| {
            if events.connected == [conn] && !std::mem::replace(&mut asked, true) {
                wire.send(conn, &[7; 40_000]).unwrap();
            }
            events.bytes(conn) == REQUESTS.len() && peer.received.len() == 40_000
        });
        assert_eq!(events.input[&conn], REQUESTS, "{pieces:?}");
    }
}

/// Takes bytes in the ways that a consumer may: some of them, not before there are enough, after a pause.
struct Whimsical {
    /// What to do at each delivery, over and over.
    moods: Vec<u8>,
    deliveries: usize,
    /// What a `wait_for` asked for, until it is met.
    awaited: usize,
    received: Vec<u8>,
    ended: bool,
    paused: Vec<ConnId>,
    closed: usize,
}

impl WireEvents for Whimsical {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        assert!(self.paused.is_empty(), "nothing is delivered while paused");
        let input = stream.input();
        assert!(input.len() >= self.awaited || stream.ended());
        self.awaited = 0;
        let mood = usize::from(self.moods[self.deliveries % self.moods.len()]);
        self.deliveries += 1;
        let count = if stream.ended() { input.len() } else { input.len().min(1 + mood * mood / 2) };
        self.received.extend_from_slice(&input[..count]);
        stream.consume(count);
        stream.output().extend_from_slice(&input[..count]);
        if stream.ended() {
            self.ended = true;
            return stream.close();
        }
        match mood % 4 {
            0 => {
                stream.pause();
                self.paused.push(conn);
            }
            1 => {
                self.awaited = input.len() - count + mood * 16;
                stream.wait_for(self.awaited);
            }
            _ => {}
        }
    }

    fn closed(&mut self, _conn: ConnId, ending: Ending) {
        assert_eq!(ending.handed_bytes, self.received.len() as u64);
        self.closed += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_consumer_sees_each_byte_once(
        pieces in prop_oneof![
            Just(Pieces::Whole),
            (10..400_usize).prop_map(Pieces::Fixed),
            (any::<u64>(), 100..3000_usize).prop_map(|(seed, max)| Pieces::Seeded { seed, max }),
        ],
        writes in proptest::collection::vec(1..1500_usize, 1..8),
        moods in proptest::collection::vec(any::<u8>(), 1..12),
    ) {
        static AUTHORITY: std::sync::LazyLock<Authority> = std::sync::LazyLock::new(Authority::new);
        let (mut wire, network) = in_memory(WireConfig::default(), pieces, only(&AUTHORITY.server()));
        let mut events = Whimsical {
            moods, deliveries: 0, awaited: 0, received: Vec::new(), ended: false, paused: Vec::new(), closed: 0,
        };
        let mut peer = MemoryPeer::client(&network, &AUTHORITY.client());
        let mut sent = Vec::new();
        for bytes in writes {
            let start = sent.len();
            sent.extend((start..start + bytes).map(|n| u8::try_from(n % 251).unwrap()));
            peer.write(&sent[start..]);
        }
        let mut said_goodbye = false;
        converse(&mut wire, &mut events, &mut peer, |wire, events, peer| {
            if !peer.connection.is_handshaking() && !std::mem::replace(&mut said_goodbye, true) {
                peer.connection.send_close_notify();
            }
            for conn in std::mem::take(&mut events.paused) {
                events.awaited = 0;
                wire.resume(conn);
            }
            peer.ended && events.closed == 1
        });
        prop_assert!(events.ended && events.received == sent);
        prop_assert!(peer.received == sent);
        prop_assert!(wire.tls_metrics().ends_without_notice == 0);
    }
}
