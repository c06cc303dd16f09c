//! What the headers of a request state about the message itself: where it ends, whom it is for, what follows it.
//!
//! **Invariants**: one way to find the body's end, or a refusal. Where RFC 9110 or 9112 lets a server be lenient and two
//! servers in a row could differ, this one refuses: a proxy in front may have read the other meaning.

use std::net::Ipv6Addr;

use super::HttpError;
use super::parse::Version;

/// How the body's end is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
}

/// The facts, gathered header by header.
#[derive(Default)]
pub(super) struct Facts {
    hosts: u32,
    content_length: Option<usize>,
    transfer_coding: Option<Coding>,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) expects_continue: bool,
}

/// A Transfer-Encoding field that ends in `chunked`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Exactly `chunked`.
    Chunked,
    /// Other codings below it, which this server does not know.
    Layered,
}

impl Facts {
    /// Takes note of one header.
    pub(super) fn note(&mut self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        // The length decides most names without comparing them.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                self.hosts += 1;
                if !is_host(value) {
                    return Err(HttpError::Host);
                }
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(HttpError::Expectation);
                }
                self.expects_continue = true;
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                // RFC 9112 §6.3 would allow equal repetitions; a proxy may count them otherwise.
                if self.content_length.is_some() {
                    return Err(HttpError::ContentLength);
                }
                self.content_length = Some(content_length(value)?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                // Two fields are one list (RFC 9110 §5.2), but not for everyone.
                if self.transfer_coding.is_some() {
                    return Err(HttpError::TransferEncoding);
                }
                self.transfer_coding = Some(transfer_coding(value)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// What all headers together say about the end of the body.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, HttpError> {
        if self.hosts > 1 || self.hosts == 0 && version == Version::Http11 {
            return Err(HttpError::Host);
        }
        match (self.transfer_coding, self.content_length) {
            (None, length) => Ok(Framing::Length(length.unwrap_or(0))),
            (Some(_), Some(_)) => Err(HttpError::ConflictingLengths),
            // HTTP/1.0 has no transfer codings, and a proxy of that version would pass the body on uncut (RFC 9112 §6.1).
            (Some(_), None) if version == Version::Http10 => Err(HttpError::TransferEncoding),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::Layered), None) => Err(HttpError::NotImplemented),
        }
    }
}

/// `chunked` last and once, without parameters, and no empty element: RFC 9112 §6.3 wants 400 for any other end, since the
/// body's length is then unknown; §6.1 wants 501 for unknown codings below it.
fn transfer_coding(value: &[u8]) -> Result<Coding, HttpError> {
    let mut elements = value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let is_chunked = |element: &[u8]| element.eq_ignore_ascii_case(b"chunked");
    if !elements.next().is_some_and(is_chunked) {
        return Err(HttpError::TransferEncoding);
    }
    let mut coding = Coding::Chunked;
    for below in elements {
        if below.is_empty() || is_chunked(below) {
            return Err(HttpError::TransferEncoding);
        }
        coding = Coding::Layered;
    }
    Ok(coding)
}

fn content_length(value: &[u8]) -> Result<usize, HttpError> {
    // 18 digits cannot overflow 64 bits; no sign, blank or list is a digit.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(HttpError::ContentLength);
    }
    let length = value.iter().fold(0_u64, |length, &digit| length * 10 + u64::from(digit - b'0'));
    usize::try_from(length).map_err(|_| HttpError::BodyTooLarge)
}

/// A name as DNS has them, or an address, and a port: less than RFC 3986 §3.2.2 allows. A comma (two hosts merged into
/// one), `@` (user information) or `%` is read differently by different servers, and no browser sends them. Not empty
/// (RFC 9110 §4.2.1).
fn is_host(value: &[u8]) -> bool {
    if let Some(literal) = value.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', literal) else { return false };
        let (address, after) = (&literal[..end], &literal[end + 1..]);
        return std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
            && (after.is_empty() || after.strip_prefix(b":").is_some_and(is_port));
    }
    let end = memchr::memchr(b':', value).unwrap_or(value.len());
    let name = &value[..end];
    let of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.iter().all(of_a_name) && value.get(end + 1..).is_none_or(is_port)
}

/// A port may be empty (RFC 3986 §3.2.3).
fn is_port(port: &[u8]) -> bool {
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in
            ["x", "a-b.example.org", "x:", "x:65535", "127.0.0.1:80", "[::1]", "[2001:db8::1]:443", "my_app"]
        {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a,b",
            "a, b",
            "u@x",
            "x/y",
            "x?y",
            "x#y",
            "a%62",
            "x:8x",
            "x:123456",
            "x:80:80",
            "[::1",
            "[::1]x",
            "[]",
            "[::1%25eth0]",
            "::1",
            "\u{e9}.org",
            "a\\b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
    }

    #[test]
    fn transfer_codings() {
        for value in ["chunked", "Chunked", "CHUNKED"] {
            assert!(transfer_coding(value.as_bytes()) == Ok(Coding::Chunked), "{value:?}");
        }
        assert!(transfer_coding(b"gzip, chunked") == Ok(Coding::Layered));
        for value in
            ["", "identity", "chunked, identity", "chunked,chunked", ",chunked", "chunked,", "chunked;q=1"]
        {
            assert!(transfer_coding(value.as_bytes()) == Err(HttpError::TransferEncoding), "{value:?}");
        }
    }
}
