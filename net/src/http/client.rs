//! A blocking HTTP/1.1 client on `std` sockets.
//!
//! **Runs on**: threads that may block: the demo, tools, tests. Never on a shard.
//! **Bounds**: each call has a deadline per read and write; head and body have limits.
//! **Invariants**: a request is sent at most once. The connection is kept when the server keeps it, and opened anew only
//! when the server had announced its end before.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Limits;
use super::chunked::{self, Chunked};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Sending or receiving failed, or took too long.
    #[error("the connection to {address} failed: {source}")]
    Transfer {
        /// The server.
        address: SocketAddr,
        /// The kernel's answer; `WouldBlock` or `TimedOut` is the time-out.
        source: io::Error,
    },
    /// The server closed before its answer was complete.
    #[error("the server closed the connection before its answer was complete")]
    Closed,
    /// The answer is not HTTP/1.
    #[error("the server's answer is not well-formed HTTP/1.1")]
    Malformed,
    /// The answer is larger than the limits.
    #[error("the server's answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// How to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// To open a connection.
    pub connect_timeout: Duration,
    /// For each read and write.
    pub transfer_timeout: Duration,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            transfer_timeout: Duration::from_secs(30),
            body_bytes_max: 64 << 20,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientResponse {
    /// The status.
    pub status: u16,
    /// Names as they came, and values (bytes that are not UTF-8 replaced).
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
}

impl ClientResponse {
    /// The first header of this name, ASCII case ignored.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, bytes that are not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection to one server.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    options: ClientOptions,
    socket: Option<TcpStream>,
    input: Vec<u8>,
}

/// Headers of an answer that are looked at.
const HEADERS_MAX: usize = 100;
/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How the end of an answer's body is found.
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

struct ResponseHead {
    status: u16,
    headers: Vec<(String, String)>,
    head_bytes: usize,
    framing: Framing,
    keep_alive: bool,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub fn connect(address: SocketAddr, options: ClientOptions) -> Result<Self, ClientError> {
        let mut client = Self { address, options, socket: None, input: Vec::new() };
        client.ensure_connected()?;
        Ok(client)
    }

    /// Sends a GET and waits for the answer.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn get(&mut self, target: &str) -> Result<ClientResponse, ClientError> {
        self.request("GET", target, &[], &[])
    }

    /// Sends a POST with a body of this type and waits for the answer.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn post(
        &mut self,
        target: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<ClientResponse, ClientError> {
        self.request("POST", target, &[("Content-Type", content_type)], body)
    }

    /// Sends a request and waits for its answer. Host and Content-Length are added.
    ///
    /// # Errors
    /// [`ClientError`]; whether the server acted on the request is then not known.
    ///
    /// # Panics
    /// When method, target or a header contains a control character: the request would be another one.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ClientResponse, ClientError> {
        self.ensure_connected()?;
        let result = self.exchange(method, target, headers, body);
        if result.is_err() {
            self.socket = None;
        }
        result
    }

    fn ensure_connected(&mut self) -> Result<(), ClientError> {
        if self.socket.is_some() {
            return Ok(());
        }
        let address = self.address;
        let open = || {
            let socket = TcpStream::connect_timeout(&address, self.options.connect_timeout)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(self.options.transfer_timeout))?;
            socket.set_write_timeout(Some(self.options.transfer_timeout))?;
            Ok(socket)
        };
        self.input.clear();
        self.socket = Some(open().map_err(|source| ClientError::Connect { address, source })?);
        Ok(())
    }

    fn exchange(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ClientResponse, ClientError> {
        let request = self.compose(method, target, headers, body);
        let address = self.address;
        let socket = self.socket.as_mut().ok_or(ClientError::Closed)?;
        socket.write_all(&request).map_err(|source| ClientError::Transfer { address, source })?;
        let head = loop {
            match parse_head(&self.input, method)? {
                // An interim answer: the final one follows.
                Some(head) if (100..200).contains(&head.status) && head.status != 101 => {
                    self.input.drain(..head.head_bytes);
                }
                Some(head) => break head,
                None if self.input.len() >= HEAD_BYTES_MAX => {
                    return Err(ClientError::TooLarge(HEAD_BYTES_MAX));
                }
                None => {
                    if !self.read_more()? {
                        return Err(ClientError::Closed);
                    }
                }
            }
        };
        self.input.drain(..head.head_bytes);
        let body = self.read_body(&head.framing)?;
        if !head.keep_alive || matches!(head.framing, Framing::UntilClose) {
            self.socket = None;
        }
        Ok(ClientResponse { status: head.status, headers: head.headers, body })
    }

    fn compose(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let pure = |text: &str| !text.bytes().any(|byte| byte < b' ' || byte == 0x7F);
        assert!(pure(method) && pure(target), "method and target are free of control characters");
        let mut request = Vec::with_capacity(256 + body.len());
        for part in [method, " ", target, " HTTP/1.1\r\nHost: ", &self.address.to_string(), "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            assert!(pure(name) && pure(value), "headers are free of control characters");
            for part in [name, ": ", value, "\r\n"] {
                request.extend_from_slice(part.as_bytes());
            }
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request.extend_from_slice(b"Content-Length: ");
            request.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        request
    }

    fn read_body(&mut self, framing: &Framing) -> Result<Vec<u8>, ClientError> {
        let max = self.options.body_bytes_max;
        match *framing {
            Framing::Length(length) if length > max => Err(ClientError::TooLarge(max)),
            Framing::Length(length) => {
                while self.input.len() < length {
                    if !self.read_more()? {
                        return Err(ClientError::Closed);
                    }
                }
                let rest = self.input.split_off(length);
                Ok(std::mem::replace(&mut self.input, rest))
            }
            Framing::UntilClose => {
                while self.read_more()? {
                    if self.input.len() > max {
                        return Err(ClientError::TooLarge(max));
                    }
                }
                Ok(std::mem::take(&mut self.input))
            }
            Framing::Chunked => {
                let limits = Limits { body_bytes_max: max, chunks_max: usize::MAX - 1, ..Limits::default() };
                let mut scratch = Vec::new();
                let mut bytes_min = 0;
                loop {
                    if self.input.len() >= bytes_min {
                        let decoded = chunked::decode(&self.input, &limits, &mut scratch)
                            .map_err(|_| ClientError::Malformed)?;
                        let (body, coded_bytes) = match decoded {
                            Chunked::Incomplete { coded_bytes_min } => {
                                bytes_min = coded_bytes_min;
                                (None, 0)
                            }
                            Chunked::InPlace { start, end, coded_bytes } => {
                                (Some(self.input[start..end].to_vec()), coded_bytes)
                            }
                            Chunked::Gathered { coded_bytes } => {
                                (Some(std::mem::take(&mut scratch)), coded_bytes)
                            }
                        };
                        if let Some(body) = body {
                            self.input.drain(..coded_bytes);
                            return Ok(body);
                        }
                    }
                    if !self.read_more()? {
                        return Err(ClientError::Closed);
                    }
                }
            }
        }
    }

    /// Reads what is there; false at the end.
    fn read_more(&mut self) -> Result<bool, ClientError> {
        let address = self.address;
        let socket = self.socket.as_mut().ok_or(ClientError::Closed)?;
        let mut piece = [0; 16 << 10];
        loop {
            match socket.read(&mut piece) {
                Ok(count) => {
                    self.input.extend_from_slice(&piece[..count]);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ClientError::Transfer { address, source }),
            }
        }
    }
}

fn parse_head(input: &[u8], method: &str) -> Result<Option<ResponseHead>, ClientError> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut raw = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(head_bytes) = raw.parse(input).map_err(|_| ClientError::Malformed)? else {
        return Ok(None);
    };
    let status = raw.code.ok_or(ClientError::Malformed)?;
    let headers: Vec<(String, String)> = raw
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let values = |name: &'static str| {
        headers
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let mut keep_alive = raw.version == Some(1);
    for option in values("connection").flat_map(|value| value.split(',')).map(str::trim) {
        if option.eq_ignore_ascii_case("close") {
            keep_alive = false;
        } else if option.eq_ignore_ascii_case("keep-alive") {
            keep_alive = true;
        }
    }
    let framing = if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
        Framing::Length(0)
    } else if let Some(coding) = values("transfer-encoding").next() {
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err(ClientError::Malformed);
        }
        Framing::Chunked
    } else if let Some(length) = values("content-length").next() {
        Framing::Length(length.parse().map_err(|_| ClientError::Malformed)?)
    } else {
        Framing::UntilClose
    };
    Ok(Some(ResponseHead { status, headers, head_bytes, framing, keep_alive }))
}
