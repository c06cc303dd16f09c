//! What the tests of this crate share: an HTTP echo consumer, a recorder of raw events, a loop to drive a wire, and a
//! server on its own thread. Nothing here waits for a time to pass; loops wait for conditions and give up after
//! [`PATIENCE`], far beyond what any machine needs.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod client;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use net::http::{Limits, Request, response};
use net::server::{Acceptance, Requested, Server, ServerLimits, Service, Socket};
use net::wire::uring::UringWire;
use net::wire::{
    Arrival, CloseReason, ConnId, Ending, ListenOptions, Stream, Wire, WireConfig, WireEvents, WireMetrics,
    listen,
};
use net::ws::Message;
use net::ws::handshake::DeflatePolicy;
use net::ws::handshake::server::Upgrade;

/// When a condition counts as never coming true.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// One second of a wire's clock.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Any free loopback port.
pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A wire on a free port.
pub fn wire(config: WireConfig, options: &ListenOptions) -> (UringWire, SocketAddr) {
    let listener = listen(any_port(), options).unwrap();
    let address = listener.address();
    (UringWire::new(listener, config).unwrap(), address)
}

/// A client socket that gives up after [`PATIENCE`].
pub fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Makes the close of a socket a reset.
pub fn reset_on_close(socket: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = libc::socklen_t::try_from(size_of_val(&linger)).unwrap();
    // SAFETY: `linger` is valid for reads of `len` bytes during the call.
    let result = unsafe {
        libc::setsockopt(
            std::os::fd::AsRawFd::as_raw_fd(socket),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            len,
        )
    };
    assert_eq!(result, 0);
}

/// Whether a descriptor becomes readable within `millis`.
pub fn readable(descriptor: RawFd, millis: i32) -> bool {
    let mut entry = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, written during the call only.
    unsafe { libc::poll(&raw mut entry, 1, millis) == 1 }
}

/// The clock that is handed to a wire: real time plus what a test adds.
pub struct Clock {
    start: Instant,
    pub skew_ns: u64,
}

impl Clock {
    pub fn new() -> Self {
        Self { start: Instant::now(), skew_ns: 0 }
    }

    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap() + self.skew_ns
    }
}

/// Polls until `done`, sleeping on the descriptor as a shard does.
pub fn drive<W: Wire, E: WireEvents>(
    wire: &mut W,
    events: &mut E,
    clock: &Clock,
    mut done: impl FnMut(&mut W, &mut E) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        wire.poll(clock.now_ns(), events).unwrap();
        if done(wire, events) {
            return;
        }
        assert!(Instant::now() < deadline, "the condition never came true: {:#?}", wire.metrics());
        if !wire.has_work() && wire.descriptor() >= 0 {
            readable(wire.descriptor(), 1);
        }
    }
}

/// Records what a wire delivers, consumes everything, answers nothing.
#[derive(Debug, Default)]
pub struct Recorder {
    pub accepted: Vec<ConnId>,
    pub input: BTreeMap<ConnId, Vec<u8>>,
    pub ended: Vec<ConnId>,
    pub closed: Vec<(ConnId, CloseReason)>,
    pub endings: Vec<Ending>,
    pub connected: Vec<ConnId>,
    pub deliveries: usize,
    /// Consume nothing.
    pub hoard: bool,
    /// Pause after each delivery.
    pub pause: bool,
}

impl Recorder {
    pub fn bytes(&self, conn: ConnId) -> usize {
        self.input.get(&conn).map_or(0, Vec::len)
    }
}

impl WireEvents for Recorder {
    fn accepted(&mut self, conn: ConnId, arrival: Arrival) {
        assert!(arrival.peer.ip().is_loopback());
        self.accepted.push(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.deliveries += 1;
        if self.pause {
            stream.pause();
        }
        if stream.ended() {
            self.ended.push(conn);
        }
        if !self.hoard {
            self.input.entry(conn).or_default().extend_from_slice(stream.input());
            stream.consume(stream.input().len());
        }
    }

    fn connected(&mut self, conn: ConnId) {
        self.connected.push(conn);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.closed.push((conn, ending.reason));
        self.endings.push(ending);
    }
}

/// Answers each request with 200, its path in `X-Path`, and its own body; echoes what comes over a WebSocket.
pub struct Echo {
    server: Server,
    service: EchoService,
    pub closed: Vec<CloseReason>,
}

#[derive(Default)]
pub struct EchoService {
    pub requests: u64,
}

impl Service for EchoService {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        // Clients offer other protocols (h2c) by habit: those requests are served as they are (RFC 9110 §7.8).
        let offered = request.head.header("upgrade").unwrap_or_default();
        if request.head.upgrade && offered.eq_ignore_ascii_case(b"websocket") {
            match Upgrade::check(request.head) {
                Ok(upgrade) => {
                    let deflate = Some(DeflatePolicy::default());
                    requested.accept(&upgrade, &Acceptance { deflate, ..Acceptance::default() });
                }
                Err(refusal) => requested.refuse(refusal),
            }
            return;
        }
        self.requests += 1;
        requested.answer(|out, mode, date| {
            response::begin(out, 200, mode, date)
                .header("X-Path", request.head.path)
                .body("application/octet-stream", request.body);
        });
    }

    fn message(&mut self, _conn: ConnId, message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

impl Echo {
    pub fn new(limits: Limits) -> Self {
        let limits = ServerLimits { request: limits, ..ServerLimits::default() };
        Self { server: Server::new(limits), service: EchoService::default(), closed: Vec::new() }
    }

    pub fn requests(&self) -> u64 {
        self.service.requests
    }

    pub fn tick(&mut self, now_ns: u64, wire: &mut impl Wire) {
        self.server.set_time(now_ns, 0);
        self.server.tick(wire, &mut self.service);
    }
}

impl WireEvents for Echo {
    fn accepted(&mut self, conn: ConnId, arrival: Arrival) {
        self.server.with(&mut self.service).accepted(conn, arrival);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.server.with(&mut self.service).received(conn, stream);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.server.with(&mut self.service).closed(conn, ending);
        self.closed.push(ending.reason);
    }
}

/// An echo server on its own thread.
pub struct TestServer {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    skew_ns: Arc<AtomicU64>,
    state: Arc<Mutex<(WireMetrics, usize)>>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    pub fn start() -> Self {
        Self::with(WireConfig::default(), ListenOptions::default(), Limits::default())
    }

    pub fn with(config: WireConfig, options: ListenOptions, limits: Limits) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let skew_ns = Arc::new(AtomicU64::new(0));
        let state = Arc::new(Mutex::new((WireMetrics::default(), 0)));
        let listener = listen(any_port(), &options).unwrap();
        let address = listener.address();
        let thread = std::thread::spawn({
            let (stop, skew_ns, state) = (Arc::clone(&stop), Arc::clone(&skew_ns), Arc::clone(&state));
            move || {
                let mut wire = UringWire::new(listener, config).unwrap();
                let mut echo = Echo::new(limits);
                let mut clock = Clock::new();
                while !stop.load(Ordering::Relaxed) {
                    clock.skew_ns = skew_ns.load(Ordering::Relaxed);
                    wire.poll(clock.now_ns(), &mut echo).unwrap();
                    echo.tick(clock.now_ns(), &mut wire);
                    *state.lock().unwrap() = (wire.metrics(), wire.connections());
                    if !wire.has_work() {
                        readable(wire.descriptor(), 1);
                    }
                }
            }
        });
        Self { address, stop, skew_ns, state, thread: Some(thread) }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Moves the server's clock on.
    pub fn advance(&self, span_ns: u64) {
        self.skew_ns.fetch_add(span_ns, Ordering::Relaxed);
    }

    /// Waits until the server's counters and number of connections meet a condition.
    pub fn wait_until(&self, done: impl Fn(&WireMetrics, usize) -> bool) -> WireMetrics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (metrics, connections) = *self.state.lock().unwrap();
            if done(&metrics, connections) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "the condition never came true: {connections}, {metrics:#?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server's thread panicked");
    }
}

/// Sends raw bytes and returns everything until the server closes.
pub fn raw_exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut socket = connect(address);
    // The server may refuse and close before it has read all.
    let _refused_early = socket.write_all(request);
    let _refused_early = socket.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    answer
}

/// The statuses of the answers in a byte stream; checks that each is framed by Content-Length.
pub fn statuses(mut answers: &[u8]) -> Vec<u16> {
    bodies(&mut answers).into_iter().map(|(status, _)| status).collect()
}

/// Status and body of each answer in a byte stream.
pub fn bodies(answers: &mut &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while !answers.is_empty() {
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut slots);
        let head_bytes = head.parse(answers).unwrap().unwrap();
        let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length: usize =
            length.map_or(0, |header| std::str::from_utf8(header.value).unwrap().trim().parse().unwrap());
        let status = head.code.unwrap();
        found.push((status, answers[head_bytes..head_bytes + length].to_vec()));
        *answers = &answers[head_bytes + length..];
    }
    found
}
