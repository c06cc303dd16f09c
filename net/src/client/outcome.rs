//! What became of a call.

use super::OriginId;
use super::request::RequestError;
use crate::http::answer::{Answer, AnswerError};
use crate::wire::CloseReason;

/// A call; unique within its pool, and later calls are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// A call that has its outcome.
#[derive(Debug)]
pub struct Finished {
    /// The call.
    pub call: CallId,
    /// Whom it called.
    pub origin: OriginId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a call.
#[derive(Debug)]
pub enum Outcome {
    /// No byte of the request left: calling again cannot make it happen twice.
    NotSent(NotSent),
    /// Some of the request may have left, and no complete answer came: whether the server acted on it is not known.
    NoAnswer(NoAnswer),
    /// A complete answer, of any status.
    Answered(Answer),
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Its deadline passed before.
    #[error("the deadline passed before a connection took the request")]
    Deadline,
    /// It was taken back while it waited for a connection ([`Pool::withdraw_waiting`](super::Pool::withdraw_waiting)).
    #[error("it was taken back before a connection took the request")]
    Withdrawn,
    /// No address could be connected to; the last failure.
    #[error("no connection could be made: {} (error {os_error:?})", reason.name())]
    Connect {
        /// How the last attempt ended.
        reason: CloseReason,
        /// The system's error, where there is one.
        os_error: Option<i32>,
    },
    /// Every address's connection ended before it took a byte.
    #[error("the connection ended before it took the request: {}", .0.name())]
    Closed(CloseReason),
    /// The wire has no place for another connection.
    #[error("the wire has no place for a connection")]
    NoPlace,
    /// The wire's output buffer is smaller than the request.
    #[error("the request is larger than the wire's output buffer")]
    TooLarge,
}

/// Why no complete answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Its deadline passed.
    #[error("the deadline passed before the answer was complete")]
    Deadline,
    /// The server ended the connection in the middle.
    #[error("the server ended the connection before the answer was complete")]
    Ended,
    /// The connection broke.
    #[error("the connection broke before the answer was complete: {} (error {os_error:?})", reason.name())]
    Broken {
        /// How the connection ended.
        reason: CloseReason,
        /// The system's error, where there is one.
        os_error: Option<i32>,
    },
    /// The answer is malformed, larger than the limits, or has two readings.
    #[error("{0}")]
    Answer(AnswerError),
    /// Bytes came before the request had left: not an answer to it.
    #[error("the server spoke before it was asked")]
    Unasked,
}

/// Why a call was not accepted; it has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many calls of this origin as may wait do.
    #[error("{0} calls wait for a connection already")]
    QueueFull(usize),
    /// As many calls as the pool holds are under way, or their outcomes have not been taken.
    #[error("the pool holds {0} calls already")]
    PoolFull(usize),
    /// The request is larger than the pool takes.
    #[error("the request has {bytes} bytes, {bytes_max} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The request would be another one on the wire.
    #[error(transparent)]
    Request(#[from] RequestError),
}
