//! One connection and the call it carries.

use std::net::SocketAddr;

use super::{CallId, NoAnswer, OriginId};
use crate::http::answer::AnswerReader;

/// A connection of the pool.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) origin: OriginId,
    pub(super) address: SocketAddr,
    /// The call it was begun for; whichever comes first gets it.
    pub(super) begun_for: CallId,
    /// When it was first seen established, in nanoseconds.
    pub(super) opened_ns: u64,
    /// Requests given to it.
    pub(super) carried: u64,
    /// Bytes given to it: where the next request begins in its stream.
    pub(super) given_bytes: u64,
    /// How long it is kept without a call, in nanoseconds.
    pub(super) idle_ns: u64,
    pub(super) state: State,
}

/// Where a connection is in its life.
#[derive(Debug)]
pub(super) enum State {
    /// On its way.
    Opening,
    /// Established a moment ago; the pool has not looked at it.
    Opened,
    /// Without a call since this moment, in nanoseconds.
    Idle { since_ns: u64 },
    /// Something came or ended while it carried no call: to be closed.
    Stray,
    /// Carries a call.
    Busy(Box<Exchange>),
    /// Its end was asked for, and no call depends on how it ends.
    Closing,
}

/// A request and what has come of its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) call: CallId,
    pub(super) deadline_ns: u64,
    /// Where the request begins in the connection's stream.
    pub(super) start_bytes: u64,
    pub(super) request_bytes: usize,
    pub(super) reader: AnswerReader,
    /// Bytes came after the answer.
    pub(super) excess: bool,
    /// The server ended its direction.
    pub(super) ended: bool,
    /// Why no answer will be taken any more: the connection is ended at once, and its end tells what left.
    pub(super) failure: Option<NoAnswer>,
    /// The connection's end was asked for.
    pub(super) aborted: bool,
}

impl Exchange {
    /// Takes bytes that came, and the news that they are the last. Without a clean end an answer that has no length of its own
    /// may have been cut: it is none.
    pub(super) fn take(&mut self, bytes: &[u8], ended: bool, cleanly: bool) {
        if self.failure.is_some() {
            return;
        }
        if self.reader.is_complete(false) {
            self.excess |= !bytes.is_empty();
        } else {
            match self.reader.feed(bytes) {
                Ok(progress) => self.excess |= progress.complete && progress.taken < bytes.len(),
                Err(error) => self.failure = Some(NoAnswer::Answer(error)),
            }
        }
        self.ended |= ended;
        if ended && self.failure.is_none() && !self.reader.is_complete(cleanly) {
            self.failure = Some(NoAnswer::Ended);
        }
    }

    /// Whether the answer is there as a whole.
    pub(super) fn is_answered(&self) -> bool {
        self.failure.is_none() && self.reader.is_complete(self.ended)
    }
}
