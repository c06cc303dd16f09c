//! The head of an answer: where it ends, and what it says.
//!
//! **Invariants**: lines end in CR LF and nothing else; exactly one way to find the body's end, or the head is refused.

use super::{ANSWER_HEADERS_MAX, AnswerError, AnswerLimits};
use crate::http::Version;

/// How the end of an answer's body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes follow.
    Length(usize),
    /// In the chunked coding.
    Chunked,
    /// All until the server ends the connection.
    UntilClose,
}

/// What a head says about the message and its connection. See [`AnswerHead::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// 100–599.
    pub status: u16,
    /// The version.
    pub version: Version,
    /// How the body's end is found.
    pub framing: Framing,
    /// Whether the server keeps the connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// How long the server keeps it without a request, in seconds (`Keep-Alive: timeout=`).
    pub keep_alive_s: Option<u32>,
}

impl AnswerHead {
    /// Parses a whole head, its closing empty line included; each header goes to `note`, with its value free of
    /// surrounding blanks. `to_head`: the request's method was HEAD, so that no body follows.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn parse<'a>(
        head: &'a [u8],
        to_head: bool,
        limits: &AnswerLimits,
        mut note: impl FnMut(&'a [u8], &'a [u8]),
    ) -> Result<Self, AnswerError> {
        if !head.starts_with(b"HTTP/1.") {
            // httparse skips empty lines before the status line; here they would be bytes nobody asked for.
            return Err(AnswerError::Malformed);
        }
        let mut slots = [httparse::EMPTY_HEADER; ANSWER_HEADERS_MAX];
        let mut raw = httparse::Response::new(&mut slots[..limits.headers_max]);
        match raw.parse(head) {
            Ok(httparse::Status::Complete(head_bytes)) if head_bytes == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(AnswerError::HeadTooLarge),
            _ => return Err(AnswerError::Malformed),
        }
        let status = raw.code.filter(|status| (100..600).contains(status)).ok_or(AnswerError::Malformed)?;
        let version = if raw.version == Some(1) { Version::Http11 } else { Version::Http10 };
        let mut facts = Facts::default();
        for header in raw.headers.iter() {
            let value = header.value.trim_ascii();
            facts.note(header.name, value)?;
            note(header.name.as_bytes(), value);
        }
        Ok(Self {
            status,
            version,
            framing: facts.framing(status, version, to_head)?,
            keep_alive: !facts.close && (version == Version::Http11 || facts.keep_alive),
            keep_alive_s: facts.keep_alive_s,
        })
    }

    /// Whether another answer to the same request follows (RFC 9110 §15.2).
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status < 200
    }
}

/// The facts that headers state about the message itself.
#[derive(Default)]
struct Facts {
    content_length: Option<usize>,
    transfer_encodings: u32,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    keep_alive_s: Option<u32>,
}

impl Facts {
    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), AnswerError> {
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            10 if name.eq_ignore_ascii_case("keep-alive") => {
                for parameter in list(value) {
                    if let Some((b"timeout=", digits)) = parameter.split_at_checked(8) {
                        // A wish about time, not about framing: what cannot be read is passed over.
                        let seconds = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                        self.keep_alive_s = seconds.or(self.keep_alive_s);
                    }
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                // Even equal repetitions are refused: they are a sign of two writers.
                if self.content_length.is_some() {
                    return Err(AnswerError::ContentLength);
                }
                self.content_length = Some(content_length(value)?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.transfer_encodings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, status: u16, version: Version, to_head: bool) -> Result<Framing, AnswerError> {
        let length = self.content_length;
        if self.transfer_encodings > 0 {
            // RFC 9112 §6.1: not with a length, not in HTTP/1.0, not where no body can be.
            if length.is_some() || version == Version::Http10 || status < 200 || status == 204 {
                return Err(AnswerError::ConflictingLengths);
            }
            if self.transfer_encodings > 1 || !self.chunked {
                return Err(AnswerError::TransferCoding);
            }
        }
        if status < 200 || status == 204 {
            // Nothing may follow (RFC 9110 §8.6); a length other than zero says that something does.
            return match length {
                None | Some(0) => Ok(Framing::Length(0)),
                Some(_) => Err(AnswerError::ConflictingLengths),
            };
        }
        if to_head || status == 304 {
            // What the headers say is about the answer to a GET.
            return Ok(Framing::Length(0));
        }
        Ok(match length {
            _ if self.transfer_encodings > 0 => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    }
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn content_length(value: &[u8]) -> Result<usize, AnswerError> {
    // 18 digits cannot overflow 64 bits; no sign, blank or list is a digit.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(AnswerError::ContentLength);
    }
    let length = value.iter().fold(0_u64, |length, &digit| length * 10 + u64::from(digit - b'0'));
    usize::try_from(length).map_err(|_| AnswerError::BodyTooLarge)
}

/// Looks for the end of a head, each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadEnd {
    seen_bytes: usize,
    line_bytes: usize,
    after_return: bool,
}

impl HeadEnd {
    /// How many of these next bytes belong to the head, when they hold its end.
    pub(super) fn find(&mut self, bytes: &[u8], bytes_max: usize) -> Result<Option<usize>, AnswerError> {
        const START: &[u8] = b"HTTP/1.";
        for (position, &byte) in bytes.iter().enumerate() {
            // What speaks another protocol is told at once, not when it falls silent.
            if START.get(self.seen_bytes).is_some_and(|&expected| byte != expected) {
                return Err(AnswerError::Malformed);
            }
            self.seen_bytes += 1;
            if self.seen_bytes > bytes_max {
                return Err(AnswerError::HeadTooLarge);
            }
            match (self.after_return, byte) {
                (true, b'\n') => {
                    if self.line_bytes == 0 {
                        return Ok(Some(position + 1));
                    }
                    self.line_bytes = 0;
                    self.after_return = false;
                }
                (true, _) | (false, b'\n') => return Err(AnswerError::BareLineEnd),
                (false, b'\r') => self.after_return = true,
                (false, _) => self.line_bytes += 1,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<AnswerHead, AnswerError> {
        AnswerHead::parse(head.as_bytes(), false, &AnswerLimits::default(), |_, _| {})
    }

    #[test]
    fn framing_has_one_reading() {
        let framing =
            |headers: &str| parse(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).map(|head| head.framing);
        assert_eq!(framing("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
        assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Ok(Framing::Chunked));
        assert_eq!(framing(""), Ok(Framing::UntilClose));
        for lengths in ["+5", "5, 5", "0x5", "-1", "", "5 5", "9999999999999999999"] {
            let found = framing(&format!("Content-Length: {lengths}\r\n"));
            assert_eq!(found, Err(AnswerError::ContentLength), "{lengths}");
        }
        assert_eq!(framing("Content-Length: 5\r\nContent-Length: 5\r\n"), Err(AnswerError::ContentLength));
        let both = framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
        assert_eq!(both, Err(AnswerError::ConflictingLengths));
        for coding in ["gzip", "chunked, gzip", "gzip, chunked", "identity", ""] {
            let found = framing(&format!("Transfer-Encoding: {coding}\r\n"));
            assert_eq!(found, Err(AnswerError::TransferCoding), "{coding}");
        }
        let twice = framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
        assert_eq!(twice, Err(AnswerError::TransferCoding));
        let old = parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old, Err(AnswerError::ConflictingLengths));
    }

    #[test]
    fn some_answers_have_no_body() {
        for status in [100, 103, 204, 304] {
            let head = parse(&format!("HTTP/1.1 {status} X\r\n\r\n")).unwrap();
            assert_eq!(head.framing, Framing::Length(0), "{status}");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
        let to_head = AnswerHead::parse(head.as_bytes(), true, &AnswerLimits::default(), |_, _| {});
        assert_eq!(to_head.unwrap().framing, Framing::Length(0));
        let contradiction = parse("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n");
        assert_eq!(contradiction, Err(AnswerError::ConflictingLengths));
    }

    #[test]
    fn status_lines_are_exact() {
        for line in [
            "HTTP/1.1 099 X",
            "HTTP/1.1 600 X",
            "HTTP/1.1 20 X",
            "HTTP/1.1  200 X",
            "HTTP/2.0 200 X",
            "HTTP/1.1 2000 X",
            "HTTP/1.1 200 a\u{1}b",
            "\r\nHTTP/1.1 200 X",
        ] {
            assert_eq!(parse(&format!("{line}\r\n\r\n")), Err(AnswerError::Malformed), "{line}");
        }
        for header in ["A : b", "A\r\n b: c", "A: b\r\n folded", ": b", "A: \u{0}"] {
            let found = parse(&format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n"));
            assert_eq!(found, Err(AnswerError::Malformed), "{header}");
        }
    }

    #[test]
    fn who_keeps_the_connection() {
        let keeps = |head: &str| parse(head).map(|head| (head.keep_alive, head.keep_alive_s)).unwrap();
        assert_eq!(keeps("HTTP/1.1 204 X\r\n\r\n"), (true, None));
        assert_eq!(keeps("HTTP/1.1 204 X\r\nConnection: a, Close\r\n\r\n"), (false, None));
        assert_eq!(keeps("HTTP/1.0 204 X\r\n\r\n"), (false, None));
        assert_eq!(keeps("HTTP/1.0 204 X\r\nConnection: keep-alive\r\n\r\n"), (true, None));
        let timed = "HTTP/1.1 204 X\r\nKeep-Alive: max=9, timeout=7\r\n\r\n";
        assert_eq!(keeps(timed), (true, Some(7)));
        assert_eq!(keeps("HTTP/1.1 204 X\r\nKeep-Alive: timeout=x\r\n\r\n"), (true, None));
    }
}
