//! What is asked, and its bytes.
//!
//! **Invariants**: what is written is one request with one reading: no part of it can end its line, and its framing is
//! written here alone.

/// How soon a request is wanted: of those that wait for a connection, the more urgent ones come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Before all others.
    First,
    /// Before the usual ones.
    Soon,
    /// In its turn.
    #[default]
    Usual,
}

/// A request; Host and Content-Length are added.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in the case it is sent in; not CONNECT.
    pub method: &'a str,
    /// Path and query, percent-encoded; begins with `/`, or is `*`.
    pub target: &'a str,
    /// Names and values. Those that frame the message or rule the connection are refused.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// The largest body of the answer, in bytes; `None`: the pool's.
    pub answer_bytes_max: Option<usize>,
    /// How soon it is wanted.
    pub urgency: Urgency,
}

impl<'a> Request<'a> {
    /// A GET.
    #[must_use]
    pub const fn get(target: &'a str) -> Self {
        Self {
            method: "GET",
            target,
            headers: &[],
            body: &[],
            answer_bytes_max: None,
            urgency: Urgency::Usual,
        }
    }
}

/// Why a request cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The method is not a token, or is CONNECT.
    #[error("the method is not one that can be sent")]
    Method,
    /// The target has another form, or a byte that has no place in it.
    #[error("the target is not a percent-encoded path")]
    Target,
    /// A header's name is not a token (its position in the list).
    #[error("the name of header {0} is not a token")]
    HeaderName(usize),
    /// A header's value holds a control character (its position in the list).
    #[error("the value of header {0} holds a control character")]
    HeaderValue(usize),
    /// A header that only the client may write (its position in the list).
    #[error("header {0} is the client's own")]
    HeaderReserved(usize),
}

/// Headers that frame the message or rule the connection, so that two writers could contradict each other.
const RESERVED: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "expect",
    "te",
    "trailer",
];

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let pure = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(pure)
}

impl Request<'_> {
    /// The bytes of the request to `host`.
    pub(super) fn encode(&self, host: &str) -> Result<Vec<u8>, RequestError> {
        if !is_token(self.method) || self.method == "CONNECT" {
            return Err(RequestError::Method);
        }
        let printable = self.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !printable || !(self.target.starts_with('/') || self.target == "*") {
            return Err(RequestError::Target);
        }
        let mut bytes = Vec::with_capacity(256 + self.target.len() + self.body.len());
        let mut write =
            |parts: &[&str]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        write(&[self.method, " ", self.target, " HTTP/1.1\r\nHost: ", host, "\r\n"]);
        for (position, (name, value)) in self.headers.iter().enumerate() {
            if !is_token(name) {
                return Err(RequestError::HeaderName(position));
            }
            if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(RequestError::HeaderReserved(position));
            }
            if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
                return Err(RequestError::HeaderValue(position));
            }
            write(&[name, ": ", value, "\r\n"]);
        }
        // RFC 9110 §8.6: also when it is empty, where a body is expected.
        if !self.body.is_empty() || matches!(self.method, "POST" | "PUT" | "PATCH") {
            write(&["Content-Length: ", itoa::Buffer::new().format(self.body.len()), "\r\n"]);
        }
        write(&["\r\n"]);
        bytes.extend_from_slice(self.body);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_request() {
        let headers = [("X-Key", "k"), ("X-Blank", "")];
        let request =
            Request { method: "POST", headers: &headers, body: b"{}", ..Request::get("/order?symbol=A%20B") };
        let expected = "POST /order?symbol=A%20B HTTP/1.1\r\nHost: h\r\nX-Key: k\r\nX-Blank: \r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(request.encode("h").unwrap()).unwrap(), expected);
        assert_eq!(Request::get("/").encode("h").unwrap(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let empty = Request { method: "PUT", ..Request::get("*") }.encode("h").unwrap();
        assert_eq!(empty, b"PUT * HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn nothing_can_end_its_line() {
        let fails = |request: Request<'_>| request.encode("h").unwrap_err();
        for method in ["", "GE T", "GET\r\n", "CONNECT", "G\u{e9}T"] {
            assert_eq!(fails(Request { method, ..Request::get("/") }), RequestError::Method, "{method:?}");
        }
        for target in ["", "a", "/a b", "/\r\nX: y", "/\u{7f}", "/\u{e9}", "http://x/", "/a#b", "**"] {
            assert_eq!(fails(Request::get(target)), RequestError::Target, "{target:?}");
        }
        for name in ["", "A B", "A:", "A\r\nB", "\u{e9}"] {
            let headers = [("ok", "1"), (name, "v")];
            assert_eq!(
                fails(Request { headers: &headers, ..Request::get("/") }),
                RequestError::HeaderName(1)
            );
        }
        for value in ["a\r\nB: c", "a\nb", "a\rb", "\0", "\u{7f}"] {
            let headers = [("A", value)];
            assert_eq!(
                fails(Request { headers: &headers, ..Request::get("/") }),
                RequestError::HeaderValue(0)
            );
        }
        for name in ["Host", "CONTENT-LENGTH", "Transfer-Encoding", "Connection", "upgrade", "Expect"] {
            let headers = [(name, "v")];
            let reserved = RequestError::HeaderReserved(0);
            assert_eq!(fails(Request { headers: &headers, ..Request::get("/") }), reserved);
        }
    }
}
