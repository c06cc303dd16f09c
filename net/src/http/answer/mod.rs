//! Answers as a client receives them.
//!
//! * [`AnswerHead`]: a head, parsed in place.
//! * [`AnswerReader`]: bytes as they come to an [`Answer`].
//!
//! **Invariants**: strict wherever two readers could disagree about where an answer ends, because what follows would be
//! taken for the answer of somebody else's request. The result depends on the bytes alone, not on how they arrived.
//! **Bounds**: [`AnswerLimits`].

mod body;
mod head;
mod reader;

pub use head::{AnswerHead, Framing};
pub use reader::{AnswerReader, Progress};

/// Bounds of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Status line and headers with the closing empty line, in bytes. 16 KiB: exchanges send about 1 KiB, content
    /// delivery networks in front of them add as much again.
    pub head_bytes_max: usize,
    /// Number of headers, at most [`ANSWER_HEADERS_MAX`].
    pub headers_max: usize,
    /// Interim answers (100–199) before the final one. 8: one is usual.
    pub interim_max: u32,
    /// The body, decoded, in bytes. 1 MiB: the open orders of an account with all its pairs.
    pub body_bytes_max: usize,
    /// All trailers of one body, in bytes.
    pub trailer_bytes_max: usize,
}

/// The most headers any [`AnswerLimits`] may allow.
pub const ANSWER_HEADERS_MAX: usize = 100;

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 << 10,
            headers_max: ANSWER_HEADERS_MAX,
            interim_max: 8,
            body_bytes_max: 1 << 20,
            trailer_bytes_max: 4 << 10,
        }
    }
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AnswerError {
    /// It breaks the grammar.
    #[error("the answer is not well-formed HTTP/1.1")]
    Malformed,
    /// A line of the head or of the chunked coding does not end in CR LF.
    #[error("a line of the answer does not end in CR LF")]
    BareLineEnd,
    /// Content-Length is not one number, or there are several.
    #[error("the answer's Content-Length is not one decimal number")]
    ContentLength,
    /// Two ways to read one body, or one that its status or version forbids.
    #[error("the answer says in conflicting ways where it ends")]
    ConflictingLengths,
    /// A transfer coding other than chunked.
    #[error("the answer's transfer coding is not known")]
    TransferCoding,
    /// The chunked body breaks the grammar.
    #[error("the answer's chunked body is not well-formed")]
    Chunk,
    /// 101 although nobody asked for another protocol.
    #[error("the answer switches to a protocol nobody asked for")]
    SwitchedProtocols,
    /// The head, the number of headers, of interim answers, or the trailers exceed the limits.
    #[error("the answer's headers are too large or too many")]
    HeadTooLarge,
    /// The body exceeds the limit.
    #[error("the answer's body is too large")]
    BodyTooLarge,
}

/// How the end of an answer was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompleteBy {
    /// By its own length: nothing is missing.
    Length,
    /// By the end of the connection (RFC 9112 §6.3, rule 8): whether something is missing cannot be told.
    Close,
}

/// A received answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200–599.
    pub status: u16,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// How its end was known.
    pub complete_by: CompleteBy,
    head: Vec<u8>,
    headers: Vec<HeaderSpan>,
}

impl Answer {
    /// The first header of this name (ASCII case ignored), without surrounding blanks.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// As [`Answer::header`], `None` also when the value is not UTF-8.
    #[must_use]
    pub fn header_str(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(|span| (&self.head[span.name.clone()], &self.head[span.value.clone()]))
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values and the body are left out: they hold account data, and debug output ends in logs.
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .field("complete_by", &self.complete_by)
            .finish_non_exhaustive()
    }
}

/// Where a header lies in its head.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HeaderSpan {
    name: std::ops::Range<usize>,
    value: std::ops::Range<usize>,
}
