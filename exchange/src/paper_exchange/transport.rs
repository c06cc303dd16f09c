//! What comes over a wire and what goes back, without the wire.

use engine::core::ids::Timestamp;

/// A request as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpIn {
    /// `GET`, `POST`, `PUT`, `DELETE`.
    pub method: String,
    /// Path and query, exactly as sent: signatures are over these bytes.
    pub target: String,
    /// Names in any case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, exactly as sent.
    pub body: Vec<u8>,
}

impl HttpIn {
    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(told, _)| told.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What follows the first `?`, undecoded; empty without one.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Headers beside those of the framing; the type of the body is JSON.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    /// An answer without further headers.
    #[must_use]
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This is answered.
    Answer(HttpAnswer),
    /// The connection breaks without an answer.
    Drop,
}

/// What becomes of a request, and when it may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOut {
    /// Not before this time of the caller's clock.
    pub at: Timestamp,
    /// What.
    pub what: Outcome,
}

/// What goes out over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOut {
    /// A text message.
    Text(String),
    /// A ping of the protocol.
    Ping,
    /// The connection is closed with this code (RFC 6455 §7.4).
    Close(u16),
    /// The connection breaks without a word.
    Drop,
}
