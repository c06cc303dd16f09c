//! A blocking HTTP/1.1 client on `std` sockets, plain or over TLS.
//!
//! **Runs on**: threads that may block: the demo, tools, tests. Never on a shard.
//! **Bounds**: each call has a deadline per read and write, and one for all of it where that is wished; head and body have
//! limits.
//! **Invariants**: a request is sent at most once. The connection is kept when the server keeps it, and opened anew only
//! when the server had announced its end before.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::answer::{AnswerError, AnswerLimits, AnswerReader};

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
    /// The server's name cannot be one in a certificate.
    #[error("{0} is no name that a certificate could be for")]
    Name(String),
    /// Sending or receiving failed, or took too long; over TLS also a certificate that is not trusted.
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
    /// The answer is not HTTP/1.1 that has one reading.
    #[error("the server's answer is refused: {0}")]
    Malformed(AnswerError),
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
    /// For a call as a whole, from its first byte to the last of its answer, once it is connected; the handshake of TLS is a
    /// part of the first call. `None`: a server that sends a byte now and then is waited for.
    pub call_timeout: Option<Duration>,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            transfer_timeout: Duration::from_secs(30),
            call_timeout: None,
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

/// A socket whose reads and writes end with the call that they are of.
#[derive(Debug)]
struct Timed {
    socket: TcpStream,
    step: Duration,
    call_ends: Option<Instant>,
}

impl Timed {
    /// How long the next step may take; `None` where its own time-out is in force already.
    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(ends) = self.call_ends else { return Ok(None) };
        let left = ends.saturating_duration_since(Instant::now());
        // Zero would be no time-out at all.
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left.min(self.step))) }
    }
}

impl Read for Timed {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.socket.set_read_timeout(Some(left))?;
        }
        self.socket.read(piece)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.socket.set_write_timeout(Some(left))?;
        }
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// A connection, plain or protected.
#[derive(Debug)]
enum Line {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Line {
    /// A call begins, which ends then at the latest.
    fn begin(&mut self, call_ends: Option<Instant>) {
        let timed = match self {
            Self::Plain(timed) => timed,
            Self::Tls(stream) => &mut stream.sock,
        };
        timed.call_ends = call_ends;
    }

    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(piece),
            // An end without TLS's own word for it is an error here: it may be an attacker's.
            Self::Tls(stream) => stream.read(piece),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// One connection to one server.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    /// What the server is called in requests.
    host: String,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    options: ClientOptions,
    socket: Option<Line>,
}

/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub fn connect(address: SocketAddr, options: ClientOptions) -> Result<Self, ClientError> {
        Self::connect_to(address, &address.to_string(), None, options)
    }

    /// Connects to a server that is called `host`; with a configuration over TLS, and then its certificate has to be for that
    /// name (without the port).
    ///
    /// # Errors
    /// [`ClientError::Connect`], [`ClientError::Name`].
    ///
    /// # Panics
    /// When the name contains a control character or a blank.
    pub fn connect_to(
        address: SocketAddr,
        host: &str,
        tls: Option<Arc<ClientConfig>>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        assert!(!host.bytes().any(|byte| byte <= b' ' || byte == 0x7F), "a host's name is one word");
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                let name = ServerName::try_from(name.to_owned());
                Some((name.map_err(|_| ClientError::Name(host.to_owned()))?, config))
            }
        };
        let mut client = Self { address, host: host.to_owned(), tls, options, socket: None };
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
            let socket = Timed { socket, step: self.options.transfer_timeout, call_ends: None };
            Ok(match &self.tls {
                None => Line::Plain(socket),
                Some((name, config)) => {
                    let session = ClientConnection::new(Arc::clone(config), name.clone());
                    Line::Tls(Box::new(StreamOwned::new(session.map_err(io::Error::other)?, socket)))
                }
            })
        };
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
        let mut request = self.compose(method, target, headers, body);
        let address = self.address;
        let socket = self.socket.as_mut().ok_or(ClientError::Closed)?;
        socket.begin(self.options.call_timeout.map(|span| Instant::now() + span));
        let sent = socket.write_all(&request);
        // It may hold a key or a session: nothing of it stays in memory that is given back.
        request.fill(0);
        std::hint::black_box(&request);
        sent.map_err(|source| ClientError::Transfer { address, source })?;
        let limits = AnswerLimits {
            head_bytes_max: HEAD_BYTES_MAX,
            body_bytes_max: self.options.body_bytes_max,
            ..AnswerLimits::default()
        };
        let mut reader = AnswerReader::new(method == "HEAD", limits);
        let mut piece = [0; 16 << 10];
        let mut alone = true;
        let ended = loop {
            let count = match socket.read(&mut piece) {
                Ok(0) => break true,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ClientError::Transfer { address, source }),
            };
            let progress = reader.feed(&piece[..count]).map_err(|error| match error {
                AnswerError::HeadTooLarge => ClientError::TooLarge(HEAD_BYTES_MAX),
                AnswerError::BodyTooLarge => ClientError::TooLarge(self.options.body_bytes_max),
                error => ClientError::Malformed(error),
            })?;
            if progress.complete {
                alone = progress.taken == count;
                break false;
            }
        };
        let keep_alive = reader.head().is_some_and(|head| head.keep_alive);
        let answer = reader.finish(ended).ok_or(ClientError::Closed)?;
        // Bytes after the answer belong to no request: what comes next could be taken for another's answer.
        if ended || !keep_alive || !alone {
            self.socket = None;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = answer.headers().map(|(name, value)| (text(name), text(value))).collect();
        Ok(ClientResponse { status: answer.status, headers, body: answer.body })
    }

    fn compose(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let pure = |text: &str| !text.bytes().any(|byte| byte < b' ' || byte == 0x7F);
        assert!(pure(method) && pure(target), "method and target are free of control characters");
        // Room for all of it: a request that moved while it grew would leave a copy behind.
        let fields: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let line = method.len() + target.len() + self.host.len();
        let mut request = Vec::with_capacity(128 + line + fields + body.len());
        for part in [method, " ", target, " HTTP/1.1\r\nHost: ", &self.host, "\r\n"] {
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
}
