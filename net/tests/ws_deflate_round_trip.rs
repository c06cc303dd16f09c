//! What one side compresses, the other reads, with every window and with or without takeover; broken, endless or too
//! large data ends the session.

mod ws_support;

use std::rc::Rc;

use net::ws::{
    Codecs, Compression, Deflate, DeflateAgreement, Direction, Fault, Limits, Message, Session, encode_shared,
};
use proptest::prelude::*;
use ws_support::{BINARY, CLOSE, CONTINUATION, FIN, KEY, PING, RSV1, Seen, TEXT, feed, masked, plain, split};

const LIMITS: Limits = Limits { message_bytes_max: 1 << 20, fragments_max: 1 << 10 };

const NO_TAKEOVER: Direction = Direction { window_bits: 15, takeover: false };

/// "Hello", compressed: the example of RFC 7692 §7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// Both ends of connections whose messages are compressed whatever their size.
struct Ends {
    codecs: Rc<Codecs>,
    agreement: DeflateAgreement,
}

impl Ends {
    fn new(server: Direction, client: Direction) -> Self {
        let codecs = Codecs::new(Compression { payload_bytes_min: 0, ..Compression::default() });
        Self { codecs, agreement: DeflateAgreement { server, client } }
    }

    fn deflate(&self) -> Option<Deflate> {
        Some(Deflate { agreement: self.agreement, codecs: Rc::clone(&self.codecs) })
    }

    fn server(&self, limits: Limits) -> Session {
        Session::server(limits, self.deflate())
    }

    fn client(&self) -> Session {
        Session::client(LIMITS, self.deflate(), Box::new(|| KEY))
    }
}

fn server(limits: Limits) -> Session {
    Ends::new(NO_TAKEOVER, NO_TAKEOVER).server(limits)
}

fn direction() -> impl Strategy<Value = Direction> {
    (8_u8..=15, any::<bool>()).prop_map(|(window_bits, takeover)| Direction { window_bits, takeover })
}

/// Messages that repeat themselves and each other, near and far, and some that do not compress.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let words =
        prop::collection::vec(prop::sample::select(vec!["BTCUSDT ", "price ", "43210.5 ", "é", ""]), 0..200);
    prop_oneof![
        4 => words.prop_map(|words| words.concat().into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..600),
        1 => (prop::collection::vec(any::<u8>(), 1..300), 1_usize..400).prop_map(|(part, times)| part.repeat(times)),
    ]
}

fn send(session: &mut Session, payload: &[u8], out: &mut Vec<u8>) -> Seen {
    if let Ok(text) = std::str::from_utf8(payload) {
        session.send_text(text, out).expect("the session is open");
        Seen::Text(text.to_owned())
    } else {
        session.send_binary(payload, out).expect("the session is open");
        Seen::Binary(payload.to_vec())
    }
}

proptest! {
    #[test]
    fn in_both_directions(
        directions in (direction(), direction()),
        messages in prop::collection::vec(message(), 1..6),
        places in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let ends = Ends::new(directions.0, directions.1);
        let (mut server, mut client) = (ends.server(LIMITS), ends.client());
        // The other pair uses the same pool in between.
        let (mut other_server, mut other_client) = (ends.server(LIMITS), ends.client());
        let (mut down, mut up, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for payload in &messages {
            expected.push(send(&mut server, payload, &mut down));
            send(&mut client, payload, &mut up);
            let mut other = Vec::new();
            let sent = send(&mut other_server, b"something else, something else", &mut other);
            prop_assert_eq!(feed(&mut other_client, [&other[..]]).0, [sent]);
        }
        prop_assert_eq!(&feed(&mut client, split(&down, &places)).0, &expected);
        prop_assert_eq!(&feed(&mut server, split(&up, &places)).0, &expected);
        prop_assert_eq!(feed(&mut other_server, [&[][..]]).0, []);
    }

    #[test]
    fn no_compressed_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), takeover: bool) {
        let direction = Direction { window_bits: 9, takeover };
        let ends = Ends::new(direction, direction);
        let limits = Limits { message_bytes_max: 5000, ..LIMITS };
        let frames = [masked(FIN | RSV1 | BINARY, &bytes), masked(FIN | RSV1 | TEXT, &HELLO)].concat();
        let whole = feed(&mut ends.server(limits), [&frames[..]]);
        prop_assert_eq!(&whole, &feed(&mut ends.server(limits), frames.chunks(1)));
        if !takeover && !whole.0.iter().any(|seen| matches!(seen, Seen::Fault(_))) {
            // Whatever the first message was, the second begins with an empty window.
            prop_assert_eq!(whole.0.last(), Some(&Seen::Text("Hello".into())));
        }
    }
}

#[test]
fn takeover_makes_repetitions_smaller() {
    let text = "a message of some length that does not repeat within itself: 0123456789";
    let sizes = |takeover| {
        let direction = Direction { window_bits: 15, takeover };
        let mut server = Ends::new(direction, direction).server(LIMITS);
        [(); 2].map(|()| {
            let mut out = Vec::new();
            server.send_text(text, &mut out).unwrap();
            out.len()
        })
    };
    let [first, second] = sizes(true);
    assert!(second * 3 < first, "{first} {second}");
    let [first, second] = sizes(false);
    assert_eq!(first, second);
}

/// Decompressors are shared, but what one connection said cannot be read through another, nor does its unfinished data
/// spoil the other's.
#[test]
fn a_shared_decompressor_forgets() {
    let secret = "the secret of another connection, the secret of another connection";
    let keeping = Direction { window_bits: 15, takeover: true };
    let mut spy = Ends::new(keeping, keeping).client();
    let (mut first, mut reference) = (Vec::new(), Vec::new());
    spy.send_text(secret, &mut first).unwrap();
    spy.send_text(secret, &mut reference).unwrap();
    let ends = Ends::new(NO_TAKEOVER, NO_TAKEOVER);
    let read = |bytes: &[u8]| feed(&mut ends.server(LIMITS), [bytes]).0;
    assert_eq!(read(&first), [Seen::Text(secret.into())]);
    assert_eq!(read(&reference), [Seen::Fault(Fault::Compression)]);
    // A stored block whose length is cut off.
    assert_eq!(read(&masked(FIN | RSV1 | BINARY, &[0x00, 0x09])), [Seen::Fault(Fault::Compression)]);
    assert_eq!(read(&masked(FIN | RSV1 | BINARY, b"")), [Seen::Binary(vec![])]);
    assert_eq!(read(&masked(FIN | RSV1 | TEXT, &HELLO)), [Seen::Text("Hello".into())]);
}

#[test]
fn fragments_of_a_compressed_message_are_joined() {
    let frames = [
        masked(RSV1 | TEXT, &HELLO[..3]),
        masked(FIN | PING, b""),
        masked(CONTINUATION, b""),
        masked(FIN | CONTINUATION, &HELLO[3..]),
        // An uncompressed one in between (RFC 7692 §6.1).
        masked(FIN | TEXT, b"plain"),
        masked(FIN | RSV1 | TEXT, &HELLO),
    ]
    .concat();
    let (seen, _) = feed(&mut server(LIMITS), [&frames[..]]);
    assert_eq!(
        seen,
        [
            Seen::Ping(vec![]),
            Seen::Text("Hello".into()),
            Seen::Text("plain".into()),
            Seen::Text("Hello".into())
        ]
    );
}

#[test]
fn small_messages_and_shared_frames_stay_as_they_are() {
    let codecs = Codecs::new(Compression { payload_bytes_min: 100, ..Compression::default() });
    let agreement = DeflateAgreement { server: NO_TAKEOVER, client: NO_TAKEOVER };
    let mut session = Session::server(LIMITS, Some(Deflate { agreement, codecs }));
    let mut out = Vec::new();
    session.send_binary(&[1; 99], &mut out).unwrap();
    assert_eq!(out, plain(FIN | BINARY, &[1; 99]));
    out.clear();
    session.send_binary(&[1; 100], &mut out).unwrap();
    assert_eq!(out[0], FIN | RSV1 | BINARY);
    assert!(out.len() < 30);
    out.clear();
    let shared = [2; 500];
    session.send_shared(&encode_shared(Message::Binary(&shared)), &mut out).unwrap();
    assert_eq!(out, plain(FIN | BINARY, &shared));
}

/// What the server makes of a compressed message with these bytes.
fn fault(first: u8, payload: &[u8], limits: Limits) -> (Option<Seen>, Vec<u8>) {
    let (seen, out) = feed(&mut server(limits), [&masked(first, payload)[..]]);
    (seen.into_iter().next_back(), out)
}

fn closed(fault: Fault, code: u16) -> (Option<Seen>, Vec<u8>) {
    (Some(Seen::Fault(fault)), plain(FIN | CLOSE, &code.to_be_bytes()))
}

#[test]
fn faults_end_the_session() {
    // A block of the reserved kind.
    assert_eq!(fault(FIN | RSV1 | BINARY, &[0x07], LIMITS), closed(Fault::Compression, 1007));
    // A stored block of 8 bytes that breaks off after 4: the marker would be the rest of it.
    let cut = [&[0x00, 0x08, 0x00, 0xF7, 0xFF][..], b"abcd"].concat();
    assert_eq!(fault(FIN | RSV1 | BINARY, &cut, LIMITS), closed(Fault::Compression, 1007));
    // "\xFF" stored, as text.
    let stored = [0x00, 0x01, 0x00, 0xFE, 0xFF, 0xFF, 0x00];
    assert_eq!(fault(FIN | RSV1 | BINARY, &stored, LIMITS), (Some(Seen::Binary(vec![0xFF])), vec![]));
    assert_eq!(fault(FIN | RSV1 | TEXT, &stored, LIMITS), closed(Fault::Utf8, 1007));
    // Seen before the message ends.
    assert_eq!(fault(RSV1 | TEXT, &stored, LIMITS), closed(Fault::Utf8, 1007));
    // Only with the extension, and only on the first frame.
    assert_eq!(
        feed(&mut ws_support::server(LIMITS), [&masked(FIN | RSV1 | TEXT, &HELLO)[..]]).0,
        [Seen::Fault(Fault::ReservedBit)]
    );
    assert_eq!(
        feed(&mut server(LIMITS), [&[masked(RSV1 | TEXT, &HELLO[..3]), masked(RSV1, b"")].concat()[..]]).0,
        [Seen::Fault(Fault::ReservedBit)]
    );
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let limits = Limits { message_bytes_max: 1 << 16, ..LIMITS };
    let sizes = [
        (1 << 16, None),
        ((1 << 16) + 1, Some(Fault::MessageTooLarge)),
        (1 << 20, Some(Fault::MessageTooLarge)),
    ];
    for (size, expected) in sizes {
        let ends = Ends::new(NO_TAKEOVER, NO_TAKEOVER);
        let mut bomb = Vec::new();
        ends.client().send_binary(&vec![0; size], &mut bomb).unwrap();
        assert!(bomb.len() * 50 < size, "{}", bomb.len());
        let (seen, _) = feed(&mut ends.server(limits), [&bomb[..]]);
        assert_eq!(seen, [expected.map_or(Seen::Binary(vec![0; size]), Seen::Fault)]);
    }
}

#[test]
fn blocks_without_content_do_not_go_on_for_ever() {
    let limits = Limits { message_bytes_max: 100, ..LIMITS };
    let empty_blocks = [0x00, 0x00, 0x00, 0xFF, 0xFF].repeat(60);
    assert_eq!(fault(FIN | RSV1 | BINARY, &empty_blocks, limits), closed(Fault::MessageTooLarge, 1009));
}
