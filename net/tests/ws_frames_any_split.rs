//! What a session makes of bytes depends on the bytes, not on how they arrive; valid frames give what was sent, and no
//! bytes make it panic.

mod ws_support;

use net::ws::{Limits, Session};
use proptest::prelude::*;
use ws_support::{
    BINARY, CONTINUATION, FIN, KEY, PING, PONG, Seen, TEXT, client, feed, frame, server, split,
};

const LIMITS: Limits = Limits { message_bytes_max: 70_000, fragments_max: 64 };

/// A message or control frame as it is sent.
#[derive(Clone, Debug)]
enum Sent {
    /// With the places where it is cut into frames, and pings between the frames.
    Message {
        text: bool,
        payload: Vec<u8>,
        cuts: Vec<usize>,
        ping_between: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let short = || prop::collection::vec(any::<u8>(), 0..=125);
    let cuts = || prop::collection::vec(any::<usize>(), 0..5);
    prop_oneof![
        4 => ("\\PC{0,80}", cuts(), any::<bool>()).prop_map(|(text, cuts, ping_between)| Sent::Message {
            text: true,
            payload: text.into_bytes(),
            cuts,
            ping_between
        }),
        3 => (prop::collection::vec(any::<u8>(), 0..400), cuts(), any::<bool>()).prop_map(
            |(payload, cuts, ping_between)| Sent::Message { text: false, payload, cuts, ping_between }
        ),
        1 => (65_500_usize..70_000, cuts()).prop_map(|(length, cuts)| Sent::Message {
            text: true,
            payload: vec![b'x'; length],
            cuts,
            ping_between: false
        }),
        1 => short().prop_map(Sent::Ping),
        1 => short().prop_map(Sent::Pong),
    ]
}

/// The bytes of all that is sent, the events it must lead to, and the pongs that must answer.
fn encode(all: &[Sent], key: Option<[u8; 4]>, answer_key: Option<[u8; 4]>) -> (Vec<u8>, Vec<Seen>, Vec<u8>) {
    let (mut bytes, mut events, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    let mut ping = |payload: &[u8], bytes: &mut Vec<u8>, events: &mut Vec<Seen>| {
        bytes.extend(frame(FIN | PING, payload, key));
        answers.extend(frame(FIN | PONG, payload, answer_key));
        events.push(Seen::Ping(payload.to_vec()));
    };
    for sent in all {
        match sent {
            Sent::Ping(payload) => ping(payload, &mut bytes, &mut events),
            Sent::Pong(payload) => {
                bytes.extend(frame(FIN | PONG, payload, key));
                events.push(Seen::Pong(payload.clone()));
            }
            Sent::Message { text, payload, cuts, ping_between } => {
                let pieces = split(payload, cuts);
                for (at, piece) in pieces.iter().enumerate() {
                    if at > 0 && *ping_between {
                        ping(b"between", &mut bytes, &mut events);
                    }
                    let opcode = match (at, text) {
                        (0, true) => TEXT,
                        (0, false) => BINARY,
                        _ => CONTINUATION,
                    };
                    let fin = if at == pieces.len() - 1 { FIN } else { 0 };
                    bytes.extend(frame(fin | opcode, piece, key));
                }
                events.push(match text {
                    true => Seen::Text(String::from_utf8(payload.clone()).expect("it was made of text")),
                    false => Seen::Binary(payload.clone()),
                });
            }
        }
    }
    (bytes, events, answers)
}

type Side = (fn(Limits) -> Session, Option<[u8; 4]>, Option<[u8; 4]>);

/// A session, the key of what it receives, the key of what it sends.
const SIDES: [Side; 2] = [(server, Some(KEY), None), (client, None, Some(KEY))];

proptest! {
    #[test]
    fn valid_frames_give_what_was_sent(
        all in prop::collection::vec(sent(), 0..6),
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        for (session, key, answer_key) in SIDES {
            let (bytes, events, answers) = encode(&all, key, answer_key);
            let whole = feed(&mut session(LIMITS), [&bytes[..]]);
            prop_assert_eq!(&whole.0, &events);
            prop_assert_eq!(&whole.1, &answers);
            prop_assert_eq!(&whole, &feed(&mut session(LIMITS), split(&bytes, &places)));
            if bytes.len() < 2000 {
                prop_assert_eq!(&whole, &feed(&mut session(LIMITS), bytes.chunks(1)));
            }
        }
    }

    /// Valid frames of which one byte was changed: the fault, if it is one, is the same in every split.
    #[test]
    fn spoilt_frames_fail_alike(
        all in prop::collection::vec(sent(), 1..4),
        at in any::<usize>(),
        change in 1_u8..=255,
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        for (session, key, answer_key) in SIDES {
            let (mut bytes, _, _) = encode(&all, key, answer_key);
            let at = at % bytes.len();
            bytes[at] ^= change;
            let whole = feed(&mut session(LIMITS), [&bytes[..]]);
            prop_assert_eq!(&whole, &feed(&mut session(LIMITS), split(&bytes, &places)));
            if bytes.len() < 2000 {
                prop_assert_eq!(&whole, &feed(&mut session(LIMITS), bytes.chunks(1)));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (session, _, _) in SIDES {
            let whole = feed(&mut session(LIMITS), [&bytes[..]]);
            prop_assert_eq!(whole, feed(&mut session(LIMITS), bytes.chunks(1)));
        }
    }
}
