//! Answers, written into a byte vector.
//!
//! **Invariants**: each answer has exactly one framing (Content-Length; chunks, or the connection's end for HTTP/1.0, when
//! the length is not known at its beginning; none where the standard forbids it); a header's value cannot end its line.
//! **Never** uses `format!`, and allocates only when the vector grows.

use super::{HttpDate, HttpError, ReplyMode};

/// The interim answer that lets a client send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer whose head is being written.
#[must_use = "an answer without `body`, `chunked` or `empty` has no end"]
pub struct Response<'a> {
    out: &'a mut Vec<u8>,
    status: u16,
    mode: ReplyMode,
    /// Where Connection is written, if it is.
    connection_at: usize,
}

/// The body of an answer whose length is not known when it begins. It is a value without the bytes, to keep beside the
/// ticket while the answer is streamed over several turns ([`super::Pipeline::append`]). An answer that cannot be brought
/// to its end is not finished: abort the connection, so that the client does not take a part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a streamed body has no end without `finish`"]
pub struct Chunks {
    form: ChunksForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunksForm {
    /// HTTP/1.1.
    Chunked,
    /// HTTP/1.0: as it is, until the connection ends.
    UntilClose,
    /// HEAD, and statuses that forbid a body.
    Bodiless,
}

/// Begins an answer: status line, Date, and Connection where it is needed.
///
/// # Panics
/// When `status` is not within 200–999; interim answers are written as they are.
pub fn begin<'a>(out: &'a mut Vec<u8>, status: u16, mode: ReplyMode, date: &HttpDate) -> Response<'a> {
    assert!((200..1000).contains(&status), "a final status has three digits and begins with 2 or more");
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\nDate: ");
    }
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
    let connection_at = out.len();
    if !mode.keep_alive {
        out.extend_from_slice(CLOSE);
    } else if mode.http10 {
        // A client of that version takes silence for a close.
        out.extend_from_slice(KEEP_ALIVE);
    }
    Response { out, status, mode, connection_at }
}

/// Writes a whole answer with a body.
pub fn write(
    out: &mut Vec<u8>,
    status: u16,
    mode: ReplyMode,
    date: &HttpDate,
    content_type: &str,
    body: &[u8],
) {
    begin(out, status, mode, date).body(content_type, body);
}

/// Answers a request that could not be parsed: `{"error":{"code":…,"message":…}}`, and the connection closes.
pub fn write_error(out: &mut Vec<u8>, error: HttpError, date: &HttpDate) {
    let mode = ReplyMode { keep_alive: false, ..ReplyMode::default() };
    begin(out, error.status(), mode, date).body_with("application/json", |out| {
        out.extend_from_slice(b"{\"error\":{\"code\":\"");
        out.extend_from_slice(error.code().as_bytes());
        out.extend_from_slice(b"\",\"message\":\"");
        out.extend_from_slice(error.message().as_bytes());
        out.extend_from_slice(b"\"}}");
    });
}

impl Response<'_> {
    /// Adds a header. Control characters in the value become blanks, so that it stays one line.
    pub fn header(self, name: &str, value: &str) -> Self {
        debug_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name:?}");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend(value.bytes().map(|byte| if byte < b' ' || byte == 0x7F { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a header with a number.
    pub fn header_number(self, name: &str, value: u64) -> Self {
        self.header(name, itoa::Buffer::new().format(value))
    }

    /// Ends the answer with this body (left out for HEAD and where the status forbids one).
    pub fn body(mut self, content_type: &str, body: &[u8]) {
        if self.bodiless() {
            return self.end_head();
        }
        self = self.header("Content-Type", content_type);
        self.out.extend_from_slice(b"Content-Length: ");
        self.out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
        if !self.mode.head_only {
            self.out.extend_from_slice(body);
        }
    }

    /// Ends the answer with the body that `write` appends: no copy and no second buffer. Its length is filled in
    /// afterwards, behind the blanks that the standard allows before a value.
    pub fn body_with(mut self, content_type: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.bodiless() {
            return self.end_head();
        }
        self = self.header("Content-Type", content_type);
        self.out.extend_from_slice(b"Content-Length: ");
        let length_at = self.out.len();
        self.out.extend_from_slice(&[b' '; LENGTH_DIGITS]);
        self.out.extend_from_slice(b"\r\n\r\n");
        let body_at = self.out.len();
        write(self.out);
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(self.out.len() - body_at).as_bytes();
        assert!(digits.len() <= LENGTH_DIGITS, "a body is below 10 GB");
        self.out[length_at + LENGTH_DIGITS - digits.len()..length_at + LENGTH_DIGITS].copy_from_slice(digits);
        if self.mode.head_only {
            self.out.truncate(body_at);
        }
    }

    /// Ends the head of an answer whose body follows piece by piece and ends with [`Chunks::finish`].
    ///
    /// For HTTP/1.0 the connection must be closed behind it ([`ReplyMode::streamed`]); the head says so even when `mode`
    /// did not.
    pub fn chunked(mut self, content_type: &str) -> Chunks {
        if self.bodiless() {
            self.end_head();
            return Chunks { form: ChunksForm::Bodiless };
        }
        if self.mode != self.mode.streamed() {
            let end = self.connection_at + KEEP_ALIVE.len();
            self.out.splice(self.connection_at..end, CLOSE.iter().copied());
        }
        self = self.header("Content-Type", content_type);
        if !self.mode.http10 {
            self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        let form = match self.mode {
            ReplyMode { head_only: true, .. } => ChunksForm::Bodiless,
            ReplyMode { http10: true, .. } => ChunksForm::UntilClose,
            ReplyMode { .. } => ChunksForm::Chunked,
        };
        self.end_head();
        Chunks { form }
    }

    /// Ends an answer without a body.
    pub fn empty(self) {
        if !self.bodiless() {
            self.out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        self.end_head();
    }

    fn bodiless(&self) -> bool {
        matches!(self.status, 204 | 304)
    }

    fn end_head(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

impl Chunks {
    /// Writes a piece of the body as one chunk; nothing for an empty piece, because an empty chunk would end the body.
    pub fn chunk(self, out: &mut Vec<u8>, piece: &[u8]) {
        self.chunk_with(out, |out| out.extend_from_slice(piece));
    }

    /// Writes what `write` appends as one chunk: no copy and no second buffer. Its size is filled in afterwards, behind
    /// leading zeros.
    ///
    /// # Panics
    /// When a piece is 4 GiB or more.
    pub fn chunk_with(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        match self.form {
            ChunksForm::UntilClose => write(out),
            ChunksForm::Bodiless => {
                write(out);
                out.truncate(start);
            }
            ChunksForm::Chunked => {
                out.extend_from_slice(&[b'0'; SIZE_DIGITS]);
                out.extend_from_slice(b"\r\n");
                let data_at = out.len();
                write(out);
                let mut size = u32::try_from(out.len() - data_at).expect("a piece is below 4 GiB");
                if size == 0 {
                    return out.truncate(start);
                }
                for digit in out[start..start + SIZE_DIGITS].iter_mut().rev() {
                    *digit = b"0123456789abcdef"[(size & 0xF) as usize];
                    size >>= 4;
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Ends the body.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.form == ChunksForm::Chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

const CLOSE: &[u8] = b"Connection: close\r\n";
const KEEP_ALIVE: &[u8] = b"Connection: keep-alive\r\n";

const LENGTH_DIGITS: usize = 10;
/// Hexadecimal digits of a chunk's size.
const SIZE_DIGITS: usize = 8;

/// The standard's phrase for a status.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        423 => "Locked",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        // The phrase may be empty, and clients must ignore it.
        _ => "",
    }
}
