//! One answer, from bytes as they come.

use super::body::BodyReader;
use super::head::HeadEnd;
use super::{Answer, AnswerError, AnswerHead, AnswerLimits, CompleteBy, HeaderSpan};

/// What is known after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that belong to the answer; what follows them does not.
    pub taken: usize,
    /// The answer is complete: [`AnswerReader::finish`] gives it.
    pub complete: bool,
}

/// Reads the answer to one request.
#[derive(Debug)]
pub struct AnswerReader {
    limits: AnswerLimits,
    to_head: bool,
    end: HeadEnd,
    head_bytes: Vec<u8>,
    interims: u32,
    /// The final head and its body.
    rest: Option<(AnswerHead, BodyReader, Vec<HeaderSpan>)>,
}

impl AnswerReader {
    /// For the answer to a request; `to_head`: its method was HEAD.
    ///
    /// # Panics
    /// When `headers_max` exceeds [`super::ANSWER_HEADERS_MAX`].
    #[must_use]
    pub fn new(to_head: bool, limits: AnswerLimits) -> Self {
        assert!(limits.headers_max <= super::ANSWER_HEADERS_MAX, "headers_max is at most ANSWER_HEADERS_MAX");
        let end = HeadEnd::default();
        Self { limits, to_head, end, head_bytes: Vec::new(), interims: 0, rest: None }
    }

    /// Whether bytes of an answer, an interim one included, have arrived.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.interims > 0 || !self.head_bytes.is_empty()
    }

    /// The final head, once it is there.
    #[must_use]
    pub fn head(&self) -> Option<&AnswerHead> {
        self.rest.as_ref().map(|(head, ..)| head)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`AnswerError`]; where the answer ends is then not known, and the connection of no further use.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, AnswerError> {
        let mut taken = 0;
        loop {
            if let Some((_, body, _)) = &mut self.rest {
                taken += body.feed(&bytes[taken..], &self.limits)?;
                return Ok(Progress { taken, complete: body.is_done() });
            }
            let rest = &bytes[taken..];
            let Some(count) = self.end.find(rest, self.limits.head_bytes_max)? else {
                self.head_bytes.extend_from_slice(rest);
                return Ok(Progress { taken: bytes.len(), complete: false });
            };
            self.head_bytes.extend_from_slice(&rest[..count]);
            taken += count;
            self.take_head()?;
        }
    }

    fn take_head(&mut self) -> Result<(), AnswerError> {
        let whole = self.head_bytes.as_slice();
        let span = |part: &[u8]| {
            let start = part.as_ptr() as usize - whole.as_ptr() as usize;
            start..start + part.len()
        };
        let mut headers = Vec::new();
        let head = AnswerHead::parse(whole, self.to_head, &self.limits, |name, value| {
            headers.push(HeaderSpan { name: span(name), value: span(value) });
        })?;
        if head.status == 101 {
            return Err(AnswerError::SwitchedProtocols);
        }
        if !head.is_interim() {
            self.rest = Some((head, BodyReader::new(head.framing, &self.limits)?, headers));
            return Ok(());
        }
        self.interims += 1;
        if self.interims > self.limits.interim_max {
            return Err(AnswerError::HeadTooLarge);
        }
        self.head_bytes.clear();
        self.end = HeadEnd::default();
        Ok(())
    }

    /// The answer, when it is complete. `ended`: the server ended the connection in an orderly way.
    #[must_use]
    pub fn finish(self, ended: bool) -> Option<Answer> {
        let (head, body, headers) = self.rest?;
        let complete_by = if body.is_done() {
            CompleteBy::Length
        } else if ended && body.is_until_close() {
            CompleteBy::Close
        } else {
            return None;
        };
        let body = body.into_body();
        Some(Answer { status: head.status, body, complete_by, head: self.head_bytes, headers })
    }

    /// Whether [`AnswerReader::finish`] would give an answer.
    #[must_use]
    pub fn is_complete(&self, ended: bool) -> bool {
        self.rest.as_ref().is_some_and(|(_, body, _)| body.is_done() || ended && body.is_until_close())
    }
}
