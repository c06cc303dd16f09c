//! The client's side of the opening handshake (RFC 6455 §4.1).
//!
//! **Invariants**: only an answer that satisfies §4.1 in full makes a WebSocket. Redirects are reported, not followed.
//! **Bounds**: [`HEAD_BYTES_MAX`], [`HEADERS_MAX`], [`BODY_START_BYTES_MAX`].

use super::negotiation::Unacceptable;
use super::{DeflatePolicy, accept_value, is_token, key_text, lists};
use crate::ws::DeflateAgreement;

/// The largest head of an answer, in bytes; exchanges send well below 2 KiB.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// The most headers of an answer.
pub const HEADERS_MAX: usize = 64;

/// How much of a refusal's body is kept, in bytes: enough for the message of an exchange.
pub const BODY_START_BYTES_MAX: usize = 1 << 10;

/// What to ask for. No `Debug`: headers hold keys, and debug output ends in logs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientRequest<'a> {
    /// The value of Host: the name, and the port unless it is the scheme's.
    pub host: &'a str,
    /// Path and query, percent-encoded; begins with `/`.
    pub target: &'a str,
    /// Further headers (Origin, keys, User-Agent).
    pub headers: &'a [(&'a str, &'a str)],
    /// Sub-protocols, the preferred one first.
    pub protocols: &'a [&'a str],
    /// Whether to offer permessage-deflate.
    pub deflate: Option<DeflatePolicy>,
}

/// A request that would not be well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} of the WebSocket request cannot be written")]
pub struct InvalidRequest(&'static str);

impl ClientRequest<'_> {
    /// Appends the request to `out`. `key` is 16 bytes that are random anew for each connection (RFC 6455 §4.1); it
    /// guards against answers from caches and servers that do not speak WebSocket, and is no secret.
    ///
    /// # Errors
    /// [`InvalidRequest`] when a part would end its line or be empty; nothing is written then.
    ///
    /// # Panics
    /// When a window of the policy is out of its range.
    pub fn write(&self, key: [u8; 16], out: &mut Vec<u8>) -> Result<ClientHandshake, InvalidRequest> {
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.host.is_empty() || !printable(self.host) {
            return Err(InvalidRequest("host"));
        }
        if !self.target.starts_with('/') || !printable(self.target) || self.target.contains('#') {
            return Err(InvalidRequest("target"));
        }
        let is_line = |value: &str| !value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t');
        if !self.headers.iter().all(|(name, value)| is_token(name.as_bytes()) && is_line(value)) {
            return Err(InvalidRequest("headers"));
        }
        if !self.protocols.iter().all(|protocol| is_token(protocol.as_bytes())) {
            return Err(InvalidRequest("sub-protocols"));
        }
        let key = key_text(key);
        let mut line = |parts: &[&[u8]]| {
            parts.iter().for_each(|part| out.extend_from_slice(part));
            out.extend_from_slice(b"\r\n");
        };
        line(&[b"GET ", self.target.as_bytes(), b" HTTP/1.1"]);
        line(&[b"Host: ", self.host.as_bytes()]);
        line(&[b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"]);
        line(&[b"Sec-WebSocket-Key: ", &key]);
        if !self.protocols.is_empty() {
            line(&[b"Sec-WebSocket-Protocol: ", self.protocols.join(", ").as_bytes()]);
        }
        for (name, value) in self.headers {
            line(&[name.as_bytes(), b": ", value.as_bytes()]);
        }
        if let Some(policy) = &self.deflate {
            policy.check();
            let mut offer = Vec::new();
            policy.offer(&mut offer);
            line(&[b"Sec-WebSocket-Extensions: ", &offer]);
        }
        line(&[]);
        Ok(ClientHandshake {
            accept: accept_value(&key),
            protocols: self.protocols.iter().map(|&protocol| protocol.to_owned()).collect(),
            deflate: self.deflate,
        })
    }
}

/// A request that was written and waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHandshake {
    accept: [u8; super::ACCEPT_TEXT_BYTES],
    protocols: Vec<String>,
    deflate: Option<DeflatePolicy>,
}

/// The connection is a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// Bytes of the input that the answer took; what follows is the session's.
    pub consumed_bytes: usize,
    /// The sub-protocol that the server chose.
    pub protocol: Option<String>,
    /// The extension that the server accepted.
    pub deflate: Option<DeflateAgreement>,
}

/// Why there is no WebSocket. Close the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The server answered with another status: a redirect, a refusal, an overload.
    #[error("the server refused the WebSocket with status {status}: {body_start}")]
    Refused {
        /// The status.
        status: u16,
        /// Where a redirect leads.
        location: Option<String>,
        /// What Retry-After says, as it came: seconds or a date.
        retry_after: Option<String>,
        /// What had arrived of the body, at most [`BODY_START_BYTES_MAX`], as it was sent (a chunked one with its chunks'
        /// lengths), bytes that are not UTF-8 replaced.
        body_start: String,
    },
    /// The connection ended before the answer was complete.
    #[error("the server closed the connection before it had answered")]
    Closed,
    /// Not HTTP/1.1, or a head beyond the bounds.
    #[error("the server's answer is not well-formed HTTP/1.1 of a reasonable size")]
    Malformed,
    /// The server accepted, but not what was asked for; the name of the header that shows it.
    #[error("the server's answer does not fit the request: {0}")]
    Mismatch(&'static str),
}

impl ClientHandshake {
    /// Checks the answer at the beginning of `input`; `None` when bytes are missing. `ended`: no more will come.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn read(&self, input: &[u8], ended: bool) -> Result<Option<Established>, HandshakeError> {
        let window = &input[..input.len().min(HEAD_BYTES_MAX)];
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut slots);
        let head_bytes = match answer.parse(window).map_err(|_| HandshakeError::Malformed)? {
            httparse::Status::Complete(head_bytes) => head_bytes,
            httparse::Status::Partial if window.len() == HEAD_BYTES_MAX => {
                return Err(HandshakeError::Malformed);
            }
            httparse::Status::Partial if ended => return Err(HandshakeError::Closed),
            httparse::Status::Partial => return Ok(None),
        };
        let (status, headers) = (answer.code.unwrap_or_default(), &*answer.headers);
        if answer.version != Some(1) {
            return Err(HandshakeError::Malformed);
        }
        if status != 101 {
            return refused(status, headers, &input[head_bytes..], ended).map_or(Ok(None), Err);
        }
        let values = |name: &'static str| values(headers, name);
        if !values("upgrade").any(|value| lists(value, "websocket")) {
            return Err(HandshakeError::Mismatch("Upgrade"));
        }
        if !values("connection").any(|value| lists(value, "upgrade")) {
            return Err(HandshakeError::Mismatch("Connection"));
        }
        if !values("sec-websocket-accept").eq([&self.accept[..]]) {
            return Err(HandshakeError::Mismatch("Sec-WebSocket-Accept"));
        }
        let mut chosen = values("sec-websocket-protocol");
        let protocol = match (chosen.next(), chosen.next()) {
            (None, _) => None,
            (Some(value), None) if self.protocols.iter().any(|offered| offered.as_bytes() == value) => {
                Some(String::from_utf8_lossy(value).into_owned())
            }
            _ => return Err(HandshakeError::Mismatch("Sec-WebSocket-Protocol")),
        };
        let deflate = self
            .agree(values("sec-websocket-extensions"))
            .map_err(|Unacceptable| HandshakeError::Mismatch("Sec-WebSocket-Extensions"))?;
        Ok(Some(Established { consumed_bytes: head_bytes, protocol, deflate }))
    }

    fn agree<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<DeflateAgreement>, Unacceptable> {
        let mut texts = Vec::new();
        for value in values {
            texts.push(std::str::from_utf8(value).map_err(|_| Unacceptable)?);
        }
        match &self.deflate {
            Some(policy) => policy.agree(texts.into_iter()),
            None if texts.iter().all(|text| text.is_empty()) => Ok(None),
            None => Err(Unacceptable),
        }
    }
}

/// `None` while the start of the body that was announced is still on its way.
fn refused(
    status: u16,
    headers: &[httparse::Header<'_>],
    body: &[u8],
    ended: bool,
) -> Option<HandshakeError> {
    let text = |name| values(headers, name).next().map(|value| String::from_utf8_lossy(value).into_owned());
    let announced = text("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_usize);
    if body.len() < announced.min(BODY_START_BYTES_MAX) && !ended {
        return None;
    }
    let body = &body[..body.len().min(BODY_START_BYTES_MAX)];
    Some(HandshakeError::Refused {
        status,
        location: text("location"),
        retry_after: text("retry-after"),
        body_start: String::from_utf8_lossy(body).into_owned(),
    })
}

fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
}
