//! Requests, parsed in place.
//!
//! **Runs on**: any thread; one [`Parser`] per shard serves all its connections.
//! **Owns**: a table of header positions and a buffer for bodies of several chunks, both reused.
//! **Invariants**: the result depends on the bytes alone, not on how they arrived (a property test splits everywhere).
//! Where two implementations could disagree about where a request ends or what it asks for, it is refused (`facts`,
//! `chunked` and `target::split` hold the rules; `tests/framing_table.rs` lists the cases).
//! **Bounds**: [`Limits`]. **Never** allocates for a request without a body of several chunks.

use std::mem::MaybeUninit;

use super::HttpError;
use super::chunked::{self, Chunked};
use super::facts::{Facts, Framing};
use super::target;

/// Bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request line and headers with the closing empty line, in bytes. 16 KiB holds the largest cookies; at most 64 KiB.
    pub head_bytes_max: usize,
    /// Number of headers, at most [`HEADERS_MAX`]. Browsers behind two proxies send about 30.
    pub headers_max: usize,
    /// The request target, in bytes.
    pub target_bytes_max: usize,
    /// The body, decoded, in bytes. 64 KiB: alerts are at most a few KiB.
    pub body_bytes_max: usize,
    /// Chunks of one body: each costs a few bytes of work on every delivery.
    pub chunks_max: usize,
    /// All trailers of one body, in bytes.
    pub trailer_bytes_max: usize,
}

/// The most headers any [`Limits`] may allow: as many as Apache allows by default, and three times what
/// [`Limits::headers_max`] speaks of.
pub const HEADERS_MAX: usize = 100;

/// Empty lines that are skipped before a request. RFC 9112 §2.2 asks for at least one; more than a few are no client's
/// slip.
const EMPTY_LINES_MAX: usize = 4;

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 << 10,
            headers_max: HEADERS_MAX,
            target_bytes_max: 8 << 10,
            body_bytes_max: 64 << 10,
            chunks_max: 256,
            trailer_bytes_max: 4 << 10,
        }
    }
}

/// The methods this server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => return None,
        })
    }
}

/// The protocol's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Version {
    Http10,
    Http11,
}

/// The result of a parse that found no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole request.
    Complete(Request<'a>),
    /// More bytes are needed.
    Incomplete {
        /// Parsing again is useless before this many bytes are there in all.
        bytes_min: usize,
        /// The client waits for `100 Continue` before it sends the body.
        expects_continue: bool,
        /// The head is complete and well-formed; only the body is missing.
        in_body: bool,
    },
}

/// A request, borrowed from the input (and from the parser when its body had several chunks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Method, target, version, headers.
    pub head: Head<'a>,
    /// The body, decoded.
    pub body: &'a [u8],
    /// Bytes of input the request took: consume as many.
    pub input_bytes: usize,
}

/// The head of a request.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// The path, percent-encoded as it came; begins with `/`, or is `*`.
    pub path: &'a str,
    /// What follows the first `?`, percent-encoded as it came; empty when there is none.
    pub query: &'a str,
    /// Whether the connection goes on after the answer.
    pub keep_alive: bool,
    /// Whether the client asks to change the protocol (Connection: upgrade).
    pub upgrade: bool,
    input: &'a [u8],
    headers: &'a [HeaderSpan],
}

impl<'a> Head<'a> {
    /// The first header of this name (ASCII case ignored), without surrounding blanks. Bytes, because a value need not
    /// be UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// As [`Head::header`], `None` also when the value is not UTF-8.
    #[must_use]
    pub fn header_str(&self, name: &str) -> Option<&'a str> {
        self.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let input = self.input;
        self.headers.iter().map(move |span| (span.name.of(input), span.value.of(input)))
    }
}

impl std::fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values are left out: they hold keys and cookies, and debug output ends in logs.
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("version", &self.version)
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.method, self.version, self.path, self.query, self.keep_alive, self.upgrade)
            == (other.method, other.version, other.path, other.query, other.keep_alive, other.upgrade)
            && self.headers().eq(other.headers())
    }
}

impl Eq for Head<'_> {}

/// A range of the head. 16 bits each, because a head is at most 64 KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    fn new(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize;
        let narrow = |at: usize| u16::try_from(at).expect("Parser::new bounds the head to 64 KiB - 1");
        Self { start: narrow(start), end: narrow(start + part.len()) }
    }

    fn of(self, whole: &[u8]) -> &[u8] {
        &whole[usize::from(self.start)..usize::from(self.end)]
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct HeaderSpan {
    name: Span,
    value: Span,
}

/// Parses requests. See the module's contract.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    headers: Vec<HeaderSpan>,
    scratch: Vec<u8>,
}

impl Parser {
    /// A parser with these bounds.
    ///
    /// # Panics
    /// When `headers_max` exceeds [`HEADERS_MAX`] or `head_bytes_max` 64 KiB - 1.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        assert!(limits.headers_max <= HEADERS_MAX, "headers_max is at most HEADERS_MAX");
        assert!(limits.head_bytes_max <= usize::from(u16::MAX), "head_bytes_max is at most 64 KiB - 1");
        Self { limits, headers: Vec::with_capacity(HEADERS_MAX), scratch: Vec::new() }
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Parses the request at the beginning of `input`.
    ///
    /// # Errors
    /// [`HttpError`]; answer with its status and close.
    pub fn parse<'a>(&'a mut self, input: &'a [u8]) -> Result<Parsed<'a>, HttpError> {
        let window = &input[..input.len().min(self.limits.head_bytes_max)];
        let mut slots = [MaybeUninit::<httparse::Header<'_>>::uninit(); HEADERS_MAX];
        let mut raw = httparse::Request::new(&mut []);
        let start = skip_empty_lines(window)?;
        check_target_length(window, start, &self.limits)?;
        let parsed = raw.parse_with_uninit_headers(window, &mut slots[..self.limits.headers_max]);
        let head_bytes = match parsed.map_err(|error| explain(error, after_target(window, raw.path)))? {
            httparse::Status::Complete(head_bytes) => head_bytes,
            httparse::Status::Partial if window.len() == self.limits.head_bytes_max => {
                return Err(HttpError::HeadTooLarge);
            }
            httparse::Status::Partial => {
                return Ok(Parsed::Incomplete {
                    bytes_min: input.len() + 1,
                    expects_continue: false,
                    in_body: false,
                });
            }
        };
        let head_input = &input[..head_bytes];
        refuse_bare_line_feeds(head_input)?;
        let version = if raw.version == Some(1) { Version::Http11 } else { Version::Http10 };
        let method = Method::parse(raw.method.unwrap_or_default()).ok_or(HttpError::NotImplemented)?;
        let (path, query) = target::split(raw.path.unwrap_or_default(), method)?;
        let mut facts = Facts::default();
        self.headers.clear();
        for header in raw.headers.iter() {
            facts.note(header.name, header.value)?;
            self.headers.push(HeaderSpan {
                name: Span::new(header.name.as_bytes(), head_input),
                value: Span::new(header.value, head_input),
            });
        }
        let framing = facts.framing(version)?;
        let head = Head {
            method,
            version,
            path,
            query,
            keep_alive: !facts.close && (version == Version::Http11 || facts.keep_alive),
            upgrade: facts.upgrade,
            input: head_input,
            headers: &self.headers,
        };
        let coded = &input[head_bytes..];
        let expects_continue = facts.expects_continue && version == Version::Http11 && coded.is_empty();
        let complete = |body, coded_bytes| {
            Ok(Parsed::Complete(Request { head, body, input_bytes: head_bytes + coded_bytes }))
        };
        match framing {
            Framing::Length(length) if length > self.limits.body_bytes_max => Err(HttpError::BodyTooLarge),
            Framing::Length(length) => match coded.get(..length) {
                Some(body) => complete(body, length),
                None => {
                    Ok(Parsed::Incomplete { bytes_min: head_bytes + length, expects_continue, in_body: true })
                }
            },
            Framing::Chunked => match chunked::decode(coded, &self.limits, &mut self.scratch)? {
                Chunked::Incomplete { coded_bytes_min } => Ok(Parsed::Incomplete {
                    bytes_min: head_bytes + coded_bytes_min,
                    expects_continue,
                    in_body: true,
                }),
                Chunked::InPlace { start, end, coded_bytes } => complete(&coded[start..end], coded_bytes),
                Chunked::Gathered { coded_bytes } => complete(&self.scratch, coded_bytes),
            },
        }
    }
}

/// What httparse's refusal means. `after_target`: what follows the target and its blank, when it got as far.
fn explain(error: httparse::Error, after_target: &[u8]) -> HttpError {
    match error {
        httparse::Error::TooManyHeaders => HttpError::HeadTooLarge,
        // Another version only when it looks like one up to the first wrong byte: `http/1.1`, a second blank before the
        // version, or `HTTP/x` is not HTTP at all (RFC 9112 §2.3).
        httparse::Error::Version => {
            let at =
                after_target.iter().zip(b"HTTP/1.").take_while(|(found, wanted)| found == wanted).count();
            let digit = after_target.get(at).is_some_and(u8::is_ascii_digit);
            if digit && matches!(at, 5 | 7) { HttpError::Version } else { HttpError::Malformed }
        }
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => HttpError::Malformed,
    }
}

/// What follows `target` and the blank behind it in `window`, of which it is a part.
fn after_target<'a>(window: &'a [u8], target: Option<&str>) -> &'a [u8] {
    let Some(target) = target else { return &[] };
    let end = target.as_ptr() as usize - window.as_ptr() as usize + target.len();
    window.get(end + 1..).unwrap_or_default()
}

/// Where the request line begins: behind at most [`EMPTY_LINES_MAX`] empty lines.
fn skip_empty_lines(window: &[u8]) -> Result<usize, HttpError> {
    let mut start = 0;
    for _ in 0..=EMPTY_LINES_MAX {
        match &window[start..] {
            [b'\r', b'\n', ..] => start += 2,
            [b'\n', ..] => return Err(HttpError::BareLineFeed),
            [b'\r', _, ..] => return Err(HttpError::Malformed),
            _ => return Ok(start),
        }
    }
    Err(HttpError::Malformed)
}

/// Refuses a target that is too long as soon as that can be seen, unless something before its limit is wrong already.
fn check_target_length(window: &[u8], start: usize, limits: &Limits) -> Result<(), HttpError> {
    let Some(method_bytes) = memchr::memchr(b' ', &window[start..]) else { return Ok(()) };
    let target_start = start + method_bytes + 1;
    let too_long = target_start + limits.target_bytes_max + 1;
    let Some(target) = window.get(target_start..too_long) else { return Ok(()) };
    if memchr::memchr2(b' ', b'\n', target).is_some() {
        return Ok(());
    }
    let mut no_headers = [];
    let mut raw = httparse::Request::new(&mut no_headers);
    raw.parse(&window[..too_long]).map_err(|error| explain(error, &[]))?;
    Err(HttpError::TargetTooLong)
}

/// httparse takes a bare LF for a line end; a proxy in front may not, and would then see other headers than we do.
fn refuse_bare_line_feeds(head: &[u8]) -> Result<(), HttpError> {
    let bare = memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r');
    if bare { Err(HttpError::BareLineFeed) } else { Ok(()) }
}
