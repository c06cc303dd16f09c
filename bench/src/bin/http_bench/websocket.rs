//! WebSockets: an echo, 10,000 idle connections and their memory, a broadcast to all, and HTTP beside them.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bench_support::load::{self, Load};
use bench_support::sys;
use net::sockets::{Feed, SocketEnd, Sockets, SocketsLimits, Talk};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};
use net::ws::Message;
use net::ws::handshake::client::ClientRequest;

use crate::Cpus;
use crate::report::{Line, Report};
use crate::server::Server;

/// Idle WebSockets.
const IDLE: u32 = 10_000;
/// HTTP clients beside them.
const ACTIVE: u32 = 1_000;
/// Broadcasts, each to all idle WebSockets.
const BROADCASTS: u32 = 20;
/// When something counts as never coming.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures all of it.
pub(crate) fn measure(report: &mut Report, cpus: Cpus, span: Duration) -> Result<(), String> {
    for connections in [1, 64, 512] {
        let server = Server::start(&["net"], cpus.server)?;
        report.add(echo(&server, connections, span)?);
    }
    // Memory is read on a server that has done nothing else: freed memory would be used again.
    let server = Server::start(&["net"], cpus.server)?;
    let before = sys::resident_bytes(server.process());
    let mut crowd = Crowd::open(server.address, IDLE)?;
    let bytes = sys::resident_bytes(server.process()).saturating_sub(before) / u64::from(IDLE);
    report.add(broadcast(&server, &mut crowd, bytes)?);
    // Idle WebSockets are asked after 25 s whether they are there, and nobody reads for them here.
    let span = span.min(Duration::from_secs(20));
    let beside = http(&server, span)?;
    drop(crowd);
    let server = Server::start(&["net"], cpus.server)?;
    let alone = http(&server, span)?;
    #[expect(clippy::cast_precision_loss, reason = "a ratio for a table")]
    let ratio = beside.p99_us as f64 / alone.p99_us.max(1) as f64;
    let more = [None, Some(("p99_ratio_to_alone", format!("{ratio:.2}")))];
    let runs = [("http alone", alone), ("http beside 10,000 WebSockets", beside)];
    for ((name, run), more) in runs.into_iter().zip(more) {
        let mut line = run.line;
        name.clone_into(&mut line.server);
        line.more.extend(more);
        report.add(line);
    }
    Ok(())
}

struct HttpRun {
    line: Line,
    p99_us: u64,
}

fn http(server: &Server, span: Duration) -> Result<HttpRun, String> {
    let mut request =
        |_: u32, out: &mut Vec<u8>| out.extend_from_slice(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut load = Load { address: server.address, connections: ACTIVE, span, request: &mut request };
    let (mut cpu_ns, process) = (0, server.process());
    let run = load::run(&mut load, |begins| {
        cpu_ns = if begins { sys::cpu_ns(process) } else { sys::cpu_ns(process) - cpu_ns };
    })
    .map_err(|error| error.to_string())?;
    let line = Line {
        server: "http".to_owned(),
        connections: ACTIVE,
        requests: run.answers,
        cpu_us_per_request: per(cpu_ns, run.answers),
        more: vec![("p50_us", run.micros(0.5).to_string()), ("p99_us", run.micros(0.99).to_string())],
    };
    Ok(HttpRun { line, p99_us: run.micros(0.99) })
}

fn per(cpu_ns: u64, count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
    let (cpu_ns, count) = (cpu_ns as f64, count.max(1) as f64);
    cpu_ns / 1e3 / count
}

#[derive(Default)]
struct Count {
    opened: u32,
    messages: u64,
    ended: u32,
    /// Sent when a WebSocket opens, and again for each echo.
    text: Option<String>,
}

impl Feed for Count {
    fn opened(&mut self, _conn: ConnId, _protocol: Option<&str>, talk: &mut Talk<'_>) {
        self.opened += 1;
        if let Some(text) = &self.text {
            talk.send(Message::Text(text));
        }
    }

    fn message(&mut self, _conn: ConnId, _message: Message<'_>, talk: &mut Talk<'_>) {
        self.messages += 1;
        if let Some(text) = &self.text {
            talk.send(Message::Text(text));
        }
    }

    fn ended(&mut self, _conn: ConnId, _end: SocketEnd) {
        self.ended += 1;
    }
}

struct Client {
    sockets: Sockets,
    count: Count,
}

impl WireEvents for Client {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn connected(&mut self, conn: ConnId) {
        self.sockets.connected(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.sockets.received(conn, stream, &mut self.count);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.sockets.closed(conn, ending, &mut self.count);
    }
}

/// Many WebSockets.
struct Crowd {
    wire: UringWire,
    client: Client,
    start: Instant,
}

impl Crowd {
    fn open(address: SocketAddr, count: u32) -> Result<Self, String> {
        Self::open_with(address, count, None)
    }

    fn open_with(address: SocketAddr, count: u32, text: Option<String>) -> Result<Self, String> {
        let config = WireConfig { connections_max: count, idle_ns: u64::MAX / 4, ..WireConfig::default() };
        let wire = UringWire::with_listeners(Vec::new(), config).map_err(|error| error.to_string())?;
        let client = Client {
            sockets: Sockets::new(SocketsLimits::default()),
            count: Count { text, ..Count::default() },
        };
        let mut crowd = Self { wire, client, start: Instant::now() };
        let host = address.to_string();
        for number in 1..=count {
            let conn = crowd.wire.connect(address, None).map_err(|error| error.to_string())?;
            let request = ClientRequest { host: &host, target: "/ws", ..ClientRequest::default() };
            // The load's masks need not be secret.
            let masks = Box::new(|| [1, 2, 3, 4]);
            crowd.client.sockets.begin(conn, &request, [7; 16], masks).map_err(|error| error.to_string())?;
            // A few at a time, as a backlog has its bound.
            if number % 256 == 0 || number == count {
                crowd.until(|crowd| crowd.client.count.opened == number)?;
            }
        }
        Ok(crowd)
    }

    fn turn(&mut self) -> Result<(), String> {
        let now_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.wire.poll(now_ns, &mut self.client).map_err(|error| error.to_string())?;
        self.client.sockets.tick(now_ns, &mut self.wire);
        if !self.wire.has_work() {
            self.wire.wait(Duration::from_millis(50)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !done(self) {
            if begin.elapsed() > PATIENCE || self.client.count.ended > 0 {
                let Count { opened, messages, ended, .. } = self.client.count;
                return Err(format!(
                    "{opened} WebSockets opened, {ended} ended, {messages} messages, and no more"
                ));
            }
            self.turn()?;
        }
        Ok(())
    }
}

fn echo(server: &Server, connections: u32, span: Duration) -> Result<Line, String> {
    let text = "x".repeat(64);
    let mut crowd = Crowd::open_with(server.address, connections, Some(text))?;
    let warm = Instant::now();
    while warm.elapsed() < span / 10 {
        crowd.turn()?;
    }
    let (cpu_before, messages_before) = (sys::cpu_ns(server.process()), crowd.client.count.messages);
    let begin = Instant::now();
    while begin.elapsed() < span {
        crowd.turn()?;
    }
    let cpu_ns = sys::cpu_ns(server.process()) - cpu_before;
    let messages = crowd.client.count.messages - messages_before;
    let rate = messages * 1_000 / u64::try_from(begin.elapsed().as_millis()).unwrap_or(1).max(1);
    Ok(Line {
        server: "websocket echo".to_owned(),
        connections,
        requests: messages,
        cpu_us_per_request: per(cpu_ns, messages),
        more: vec![("per_second", rate.to_string())],
    })
}

fn broadcast(server: &Server, crowd: &mut Crowd, bytes_per_idle: u64) -> Result<Line, String> {
    let body = "x".repeat(200);
    let mut trigger = TcpStream::connect(server.address).map_err(|error| error.to_string())?;
    let cpu_before = sys::cpu_ns(server.process());
    let begin = Instant::now();
    for number in 1..=BROADCASTS {
        let head =
            format!("POST /broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        trigger.write_all(head.as_bytes()).map_err(|error| error.to_string())?;
        trigger.write_all(body.as_bytes()).map_err(|error| error.to_string())?;
        let all = u64::from(number) * u64::from(IDLE);
        crowd.until(|crowd| crowd.client.count.messages == all)?;
    }
    let span = begin.elapsed();
    let cpu_ns = sys::cpu_ns(server.process()) - cpu_before;
    let messages = u64::from(BROADCASTS) * u64::from(IDLE);
    Ok(Line {
        server: "websocket broadcast".to_owned(),
        connections: IDLE,
        requests: messages,
        cpu_us_per_request: per(cpu_ns, messages),
        more: vec![
            ("ms_to_reach_all", (span / BROADCASTS).as_millis().to_string()),
            ("bytes_per_idle_connection", bytes_per_idle.to_string()),
        ],
    })
}
