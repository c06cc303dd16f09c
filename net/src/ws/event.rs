//! What a session tells its owner.
//!
//! **Owns**: nothing: payloads are borrowed from the input or from the [`Inbox`](super::Inbox), not from the session, so
//! that an answer can be sent while a message is still in use.

use super::CloseCode;
use super::frame::Opcode;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The bytes.
    #[must_use]
    pub const fn payload(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub(super) const fn opcode(self) -> Opcode {
        match self {
            Self::Text(_) => Opcode::Text,
            Self::Binary(_) => Opcode::Binary,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message is complete.
    Message(Message<'a>),
    /// A ping came. Its answer is in the output already.
    Ping(&'a [u8]),
    /// A pong came, asked for or not.
    Pong(&'a [u8]),
    /// The peer closed; the echo is in the output when one was due. A server sends its output and closes the
    /// connection; a client waits (not for ever) for the server to do so, RFC 6455 §7.1.1.
    Closed {
        /// `None` when the peer gave none.
        code: Option<CloseCode>,
        /// For people; often empty.
        reason: &'a str,
    },
}

/// The result of [`Session::step`](super::Session::step).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "consumed bytes must not be handed in again"]
pub struct Step<'a> {
    /// Bytes of the input that were used. What is left after a step without an event is an unfinished frame header or
    /// control frame, at most 138 bytes: hand it in again with what follows it.
    pub consumed_bytes: usize,
    /// The first event, if any; step again until there is none.
    pub event: Option<Event<'a>>,
}
