//! The framing table: requests, right and wrong ones, and what must become of each. The rows lie in the files of this
//! folder, by the part of the request they are about.

mod chunk_rows;
mod header_rows;
mod length_rows;
mod line_rows;

use net::http::{HttpError, Method, Parsed, Parser};

/// One case.
pub(crate) struct Row {
    /// Unique; also the name of its seed in the fuzzer's corpus.
    pub(crate) name: &'static str,
    /// The rule or the trick behind it. RFC 9112 is meant where no other is named.
    pub(crate) source: &'static str,
    /// What a client sends.
    pub(crate) bytes: Vec<u8>,
    /// What becomes of the first request in it.
    pub(crate) outcome: Outcome,
}

/// What becomes of the first request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is served.
    Complete(Served),
    /// It is refused.
    Refused(HttpError),
    /// The server waits for more.
    Incomplete,
}

/// A request as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// The method.
    pub(crate) method: Method,
    /// Path and query, with `?` between them when there is a query.
    pub(crate) target: String,
    /// The body, decoded.
    pub(crate) body: Vec<u8>,
    /// Whether the connection goes on.
    pub(crate) keep_alive: bool,
    /// Bytes of the input that are left for the next request.
    pub(crate) rest_bytes: usize,
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [line_rows::rows(), header_rows::rows(), length_rows::rows(), chunk_rows::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// Looks at the first request of `input`.
pub(crate) fn look(parser: &mut Parser, input: &[u8]) -> (Outcome, usize) {
    match parser.parse(input) {
        Ok(Parsed::Complete(request)) => {
            let head = request.head;
            let query = if head.query.is_empty() { String::new() } else { format!("?{}", head.query) };
            let served = Served {
                method: head.method,
                target: format!("{}{query}", head.path),
                body: request.body.to_vec(),
                keep_alive: head.keep_alive,
                rest_bytes: input.len() - request.input_bytes,
            };
            (Outcome::Complete(served), 0)
        }
        Ok(Parsed::Incomplete { bytes_min, .. }) => (Outcome::Incomplete, bytes_min),
        Err(error) => (Outcome::Refused(error), 0),
    }
}

/// Refused with this error.
fn refused(name: &'static str, source: &'static str, bytes: impl AsRef<[u8]>, error: HttpError) -> Row {
    Row { name, source, bytes: bytes.as_ref().to_vec(), outcome: Outcome::Refused(error) }
}

/// The server waits for more.
fn incomplete(name: &'static str, source: &'static str, bytes: impl AsRef<[u8]>) -> Row {
    Row { name, source, bytes: bytes.as_ref().to_vec(), outcome: Outcome::Incomplete }
}

/// A GET of this target is served, and the connection goes on.
fn got(name: &'static str, source: &'static str, bytes: impl AsRef<[u8]>, target: &str) -> Row {
    served(name, source, bytes, Served::new(Method::Get, target, b""))
}

/// A POST to `/` with this body is served, and the connection goes on; `rest_bytes` are left.
fn posted(
    name: &'static str,
    source: &'static str,
    bytes: impl AsRef<[u8]>,
    body: &[u8],
    rest_bytes: usize,
) -> Row {
    served(name, source, bytes, Served { rest_bytes, ..Served::new(Method::Post, "/", body) })
}

fn served(name: &'static str, source: &'static str, bytes: impl AsRef<[u8]>, served: Served) -> Row {
    Row { name, source, bytes: bytes.as_ref().to_vec(), outcome: Outcome::Complete(served) }
}

impl Served {
    fn new(method: Method, target: &str, body: &[u8]) -> Self {
        Self { method, target: target.to_owned(), body: body.to_vec(), keep_alive: true, rest_bytes: 0 }
    }

    fn closing(self) -> Self {
        Self { keep_alive: false, ..self }
    }
}
