//! The server's side of the opening handshake (RFC 6455 §4.2).
//!
//! **Invariants**: whatever is accepted satisfies §4.2.1 in full; the answer names only what the client offered.
//! **Never** decides about the origin: [`Upgrade::origin`] hands it to the caller, who knows which pages are its own.

use super::{DeflatePolicy, accept_value, is_key, is_token, list, lists};
use crate::http::{Head, HttpDate, Method, ReplyMode, Version, response};
use crate::ws::DeflateAgreement;

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Not GET: 405.
    #[error("a WebSocket begins with GET")]
    Method,
    /// Not HTTP/1.1: 400.
    #[error("a WebSocket needs HTTP/1.1")]
    HttpVersion,
    /// The request does not ask for a WebSocket: 426.
    #[error("this resource is a WebSocket: ask for the upgrade")]
    NotAnUpgrade,
    /// Another version of the protocol than 13: 426.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    WebSocketVersion,
    /// Sec-WebSocket-Key is missing, repeated, or not 16 bytes in base64: 400.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64, once")]
    Key,
    /// Sec-WebSocket-Protocol or Origin breaks the grammar: 400.
    #[error("a header of the WebSocket handshake is not well-formed")]
    Malformed,
    /// For the caller: the origin is not welcome: 403.
    #[error("this origin is not welcome")]
    Origin,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::HttpVersion | Self::Key | Self::Malformed => 400,
            Self::NotAnUpgrade | Self::WebSocketVersion => 426,
            Self::Origin => 403,
        }
    }

    /// A stable code for the body of the answer.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Method => "method_not_allowed",
            Self::HttpVersion => "http_version",
            Self::NotAnUpgrade => "upgrade_required",
            Self::WebSocketVersion => "websocket_version",
            Self::Key => "websocket_key",
            Self::Malformed => "websocket_handshake",
            Self::Origin => "origin_refused",
        }
    }

    /// Writes the answer, with the headers that its status demands.
    pub fn write(self, out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate) {
        let mut answer = response::begin(out, self.status(), mode, date);
        if self == Self::Method {
            answer = answer.header("Allow", "GET");
        }
        if self.status() == 426 {
            // RFC 9110 §15.5.22: the answer says which protocol; as it is of this hop only, Connection names the header.
            answer = answer.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
            if mode.keep_alive {
                answer = answer.header("Connection", "Upgrade");
            }
        }
        answer.body_with("application/json", |out| {
            for part in ["{\"error\":{\"code\":\"", self.code(), "\",\"message\":\""] {
                out.extend_from_slice(part.as_bytes());
            }
            out.extend_from_slice(self.to_string().as_bytes());
            out.extend_from_slice(b"\"}}");
        });
    }
}

/// A request that may become a WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'a> {
    head: Head<'a>,
    key: &'a [u8],
}

impl<'a> Upgrade<'a> {
    /// Checks a request.
    ///
    /// # Errors
    /// [`Refusal`], in the order of its variants; write it with [`Refusal::write`].
    pub fn check(head: Head<'a>) -> Result<Self, Refusal> {
        if head.method != Method::Get {
            return Err(Refusal::Method);
        }
        if head.version != Version::Http11 {
            return Err(Refusal::HttpVersion);
        }
        let asks = values(head, "upgrade").any(|value| lists(value, "websocket"));
        if !head.upgrade || !asks {
            return Err(Refusal::NotAnUpgrade);
        }
        if only(head, "sec-websocket-version") != Some(b"13") {
            return Err(Refusal::WebSocketVersion);
        }
        let key = only(head, "sec-websocket-key").filter(|key| is_key(key)).ok_or(Refusal::Key)?;
        let protocols_are_tokens = values(head, "sec-websocket-protocol").flat_map(list).all(is_token);
        let origins = values(head, "origin").count();
        let origin_is_text = head.header("origin").is_none_or(|origin| std::str::from_utf8(origin).is_ok());
        if !protocols_are_tokens || origins > 1 || !origin_is_text {
            return Err(Refusal::Malformed);
        }
        Ok(Self { head, key })
    }

    /// The request.
    #[must_use]
    pub fn head(&self) -> Head<'a> {
        self.head
    }

    /// The page that the request comes from, as browsers say (RFC 6454); programs say nothing. Whoever decides by
    /// cookies must compare it with its own: other pages can open WebSockets too.
    #[must_use]
    pub fn origin(&self) -> Option<&'a str> {
        self.head.header_str("origin")
    }

    /// The sub-protocols that the client offers, the preferred one first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        values(self.head, "sec-websocket-protocol")
            .flat_map(list)
            .filter_map(|protocol| std::str::from_utf8(protocol).ok())
    }

    /// The first of `supported` that the client offers (compared exactly).
    #[must_use]
    pub fn choose<'s>(&self, supported: &[&'s str]) -> Option<&'s str> {
        supported.iter().copied().find(|supported| self.protocols().any(|offered| offered == *supported))
    }

    /// Writes the answer that makes the connection a WebSocket, with the chosen sub-protocol, and permessage-deflate
    /// where `deflate` allows it and the client offers it. What follows the request in the input is the session's.
    ///
    /// # Panics
    /// When the client did not offer `protocol`, or a window of `deflate` is out of its range.
    pub fn accept(
        &self,
        protocol: Option<&str>,
        deflate: Option<&DeflatePolicy>,
        out: &mut Vec<u8>,
    ) -> Option<DeflateAgreement> {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&accept_value(self.key));
        if let Some(protocol) = protocol {
            assert!(
                self.protocols().any(|offered| offered == protocol),
                "the client did not offer {protocol:?}"
            );
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(protocol.as_bytes());
        }
        let agreement = deflate.and_then(|policy| {
            policy.check();
            let before = out.len();
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            let offers = values(self.head, "sec-websocket-extensions")
                .filter_map(|value| std::str::from_utf8(value).ok());
            let agreement = policy.accept(offers, out);
            if agreement.is_none() {
                out.truncate(before);
            }
            agreement
        });
        out.extend_from_slice(b"\r\n\r\n");
        agreement
    }
}

fn values<'a>(head: Head<'a>, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    head.headers()
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

/// The value of a header that is there exactly once.
fn only<'a>(head: Head<'a>, name: &'static str) -> Option<&'a [u8]> {
    let mut values = values(head, name);
    values.next().filter(|_| values.next().is_none())
}
