//! Refusals of requests that are not well-formed or too large.

/// Why a request cannot be served. The connection is closed after the answer: where the next request would begin is not
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpError {
    /// The head breaks the grammar.
    Malformed,
    /// A line ends in a bare line feed.
    BareLineFeed,
    /// The target is not a path on this server (or `*` for OPTIONS), or holds bytes that do not belong there.
    RequestTarget,
    /// Host is missing, repeated, empty or not a host.
    Host,
    /// Content-Length is not one number, or there are several.
    ContentLength,
    /// Both Content-Length and Transfer-Encoding: two ways to read one body.
    ConflictingLengths,
    /// Transfer-Encoding does not end in one `chunked`, is repeated, or comes with HTTP/1.0: the body's end is unknown.
    TransferEncoding,
    /// The chunked body breaks the grammar.
    Chunk,
    /// A trailer breaks the grammar or tries to change how the request is read.
    Trailer,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// An expectation other than 100-continue.
    Expectation,
    /// The head, the number of headers or the trailers exceed the limits.
    HeadTooLarge,
    /// A method or transfer coding this server does not know.
    NotImplemented,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
}

impl HttpError {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed
            | Self::BareLineFeed
            | Self::RequestTarget
            | Self::Host
            | Self::ContentLength
            | Self::ConflictingLengths
            | Self::TransferEncoding
            | Self::Chunk
            | Self::Trailer => 400,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge => 431,
            Self::NotImplemented => 501,
            Self::Version => 505,
        }
    }

    /// A stable code for the body of the answer.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_request",
            Self::BareLineFeed => "bare_line_feed",
            Self::RequestTarget => "request_target",
            Self::Host => "host_header",
            Self::ContentLength => "content_length",
            Self::ConflictingLengths => "conflicting_lengths",
            Self::TransferEncoding => "transfer_encoding",
            Self::Chunk => "malformed_chunk",
            Self::Trailer => "malformed_trailer",
            Self::BodyTooLarge => "body_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::Expectation => "expectation_failed",
            Self::HeadTooLarge => "headers_too_large",
            Self::NotImplemented => "not_implemented",
            Self::Version => "http_version",
        }
    }

    /// What is wrong, in a sentence without quotes or backslashes.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Malformed => "the request is not well-formed HTTP/1.1",
            Self::BareLineFeed => "lines must end in CR LF",
            Self::RequestTarget => "the request target must be a path on this server",
            Self::Host => "exactly one Host header with a host is needed",
            Self::ContentLength => "Content-Length must be one decimal number",
            Self::ConflictingLengths => "Content-Length and Transfer-Encoding exclude each other",
            Self::TransferEncoding => "Transfer-Encoding must be chunked, once, in HTTP/1.1",
            Self::Chunk => "the chunked body is not well-formed",
            Self::Trailer => "a trailer is not well-formed or not allowed",
            Self::BodyTooLarge => "the body is too large",
            Self::TargetTooLong => "the request target is too long",
            Self::Expectation => "only the expectation 100-continue is known",
            Self::HeadTooLarge => "the request's headers are too large",
            Self::NotImplemented => "the method or transfer coding is not implemented",
            Self::Version => "only HTTP/1.0 and HTTP/1.1 are spoken here",
        }
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for HttpError {}
