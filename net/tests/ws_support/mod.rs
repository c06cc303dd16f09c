//! What the WebSocket tests share: frames made by hand, and a peer that feeds a session as a wire would.

#![allow(dead_code, reason = "each test uses its part")]

use net::ws::{Event, Fault, Inbox, Limits, Message, Session};

/// The key of all frames that clients send here.
pub(crate) const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// First bytes of frames.
pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Option<u16>, String),
    Fault(Fault),
}

/// A frame with this first byte, written without the code under test.
pub(crate) fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    let length = payload.len();
    if length <= 125 {
        bytes.push(masked | u8::try_from(length).expect("at most 125"));
    } else if length <= 65_535 {
        bytes.push(masked | 126);
        bytes.extend(u16::try_from(length).expect("at most 65,535").to_be_bytes());
    } else {
        bytes.push(masked | 127);
        bytes.extend((length as u64).to_be_bytes());
    }
    bytes.extend(key.into_iter().flatten());
    let key = key.unwrap_or_default();
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    bytes
}

/// A client's frame.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some(KEY))
}

/// A server's frame.
pub(crate) fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, None)
}

/// The payload of a close frame.
pub(crate) fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// A server's end without extensions.
pub(crate) fn server(limits: Limits) -> Session {
    Session::server(limits, None)
}

/// A client's end without extensions.
pub(crate) fn client(limits: Limits) -> Session {
    Session::client(limits, None, Box::new(|| KEY))
}

/// Feeds the pieces one by one, keeping what was not consumed, and returns the events and the output.
pub(crate) fn feed<'a>(
    session: &mut Session,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Seen>, Vec<u8>) {
    let mut inbox = Inbox::new();
    let (mut input, mut seen, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match session.step(&input, &mut inbox, &mut out) {
                Err(fault) => {
                    assert!(session.is_ended());
                    seen.push(Seen::Fault(fault));
                    return (seen, out);
                }
                Ok(step) => {
                    let event = step.event.map(own);
                    input.drain(..step.consumed_bytes);
                    let Some(event) = event else { break };
                    seen.push(event);
                }
            }
        }
        assert!(input.len() <= 138, "only an unfinished header or control frame is left to the caller");
    }
    (seen, out)
}

fn own(event: Event<'_>) -> Seen {
    match event {
        Event::Message(Message::Text(text)) => Seen::Text(text.to_owned()),
        Event::Message(Message::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Closed { code, reason } => Seen::Closed(code.map(|code| code.get()), reason.to_owned()),
    }
}

/// Splits `bytes` at the given places (taken modulo the length).
pub(crate) fn split<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}
