//! WebSocket sessions of both sides, with and without compression.

use std::rc::Rc;

use net::ws::{
    Codecs, Compression, Deflate, DeflateAgreement, Direction, Event, Fault, Inbox, Limits, Message, Session,
};

use super::{BYTEWISE_MAX, cuts};

/// Bounds that short inputs reach.
const LIMITS: Limits = Limits { message_bytes_max: 600, fragments_max: 5 };

/// What a step may leave to its caller: an unfinished header or control frame.
const LEFT_BYTES_MAX: usize = 138;

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

/// Events and output are the same however the bytes are cut; messages and what is left over keep their bounds, and the
/// output is in proportion to the input; and messages that are sent on arrive as they were.
pub(crate) fn check(bytes: &[u8]) {
    // Short messages are compressed too, or the fuzzer would seldom reach it.
    let codecs = Codecs::new(Compression { payload_bytes_min: 1, ..Compression::default() });
    for agreement in [None, Some(takeover(true)), Some(takeover(false))] {
        for side in [Side::Server, Side::Client] {
            let open = || session(side, agreement, &codecs);
            let whole = feed(open(), bytes, std::iter::once(bytes.len()));
            let cuts = cuts(bytes).into_iter().chain([bytes.len()]);
            assert_eq!(feed(open(), bytes, cuts), whole, "{side:?} {agreement:?}, cut by chance");
            if bytes.len() <= BYTEWISE_MAX {
                assert_eq!(
                    feed(open(), bytes, 1..=bytes.len()),
                    whole,
                    "{side:?} {agreement:?}, byte by byte"
                );
            }
            send_on(&whole.0, side, agreement, &codecs);
        }
    }
}

fn takeover(takeover: bool) -> DeflateAgreement {
    let direction = Direction { window_bits: 15, takeover };
    DeflateAgreement { server: direction, client: direction }
}

fn session(side: Side, agreement: Option<DeflateAgreement>, codecs: &Rc<Codecs>) -> Session {
    let deflate = agreement.map(|agreement| Deflate { agreement, codecs: Rc::clone(codecs) });
    match side {
        Side::Server => Session::server(LIMITS, deflate),
        Side::Client => Session::client(LIMITS, deflate, Box::new(|| KEY)),
    }
}

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Option<u16>, String),
    Fault(Fault),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(Message::Text(text)) => Self::Text(text.to_owned()),
            Event::Message(Message::Binary(bytes)) => Self::Binary(bytes.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Closed { code, reason } => Self::Closed(code.map(|code| code.get()), reason.to_owned()),
        }
    }
}

/// Feeds the bytes up to each of `ends` and returns events and output.
fn feed(mut session: Session, bytes: &[u8], ends: impl Iterator<Item = usize>) -> (Vec<Seen>, Vec<u8>) {
    let mut inbox = Inbox::new();
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    let mut start = 0;
    'pieces: for end in ends {
        loop {
            match session.step(&bytes[start..end], &mut inbox, &mut out) {
                Err(fault) => {
                    assert!(session.is_ended());
                    seen.push(Seen::Fault(fault));
                    break 'pieces;
                }
                Ok(step) => {
                    assert!(step.consumed_bytes <= end - start);
                    let event = step.event.map(Seen::from);
                    start += step.consumed_bytes;
                    let Some(event) = event else { break };
                    assert!(!matches!(seen.last(), Some(Seen::Closed(..))), "nothing follows a close");
                    seen.push(event);
                }
            }
        }
        assert!(end - start <= LEFT_BYTES_MAX, "{} bytes are left to the caller", end - start);
    }
    for event in &seen {
        let message_bytes = match event {
            Seen::Text(text) => text.len(),
            Seen::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        assert!(message_bytes <= LIMITS.message_bytes_max as usize);
    }
    // Pongs, and one close frame of at most 8 bytes.
    assert!(out.len() <= 3 * bytes.len() + 8, "{} bytes of output", out.len());
    (seen, out)
}

/// What `side` received, sent on by it, reaches the other side unchanged.
fn send_on(seen: &[Seen], side: Side, agreement: Option<DeflateAgreement>, codecs: &Rc<Codecs>) {
    let mut sender = session(side, agreement, codecs);
    let mut frames = Vec::new();
    let messages: Vec<Seen> =
        seen.iter().filter(|event| matches!(event, Seen::Text(_) | Seen::Binary(_))).cloned().collect();
    for message in &messages {
        let sent = match message {
            Seen::Text(text) => sender.send_text(text, &mut frames),
            Seen::Binary(bytes) => sender.send_binary(bytes, &mut frames),
            _ => Ok(()),
        };
        assert_eq!(sent, Ok(()), "an open session sends");
    }
    let other = if side == Side::Server { Side::Client } else { Side::Server };
    let receiver = session(other, agreement, codecs);
    let (received, out) = feed(receiver, &frames, std::iter::once(frames.len()));
    assert_eq!(received, messages, "{side:?} {agreement:?}");
    assert!(out.is_empty());
}
