//! A closed-loop HTTP load: many keep-alive connections from one thread, each sending its next request when the answer to
//! the last is complete.
//!
//! A closed loop understates latency when the server stalls: each connection notices a stall once. Quote percentiles with the
//! number of connections. Requests come ready made, so that this side costs less per request than the server does.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};

/// What to send and for how long.
pub struct Load<'a> {
    /// The server.
    pub address: SocketAddr,
    /// Connections at once.
    pub connections: u32,
    /// How long to go on after all connections are established.
    pub span: Duration,
    /// Appends the next request of a connection (counted from zero).
    pub request: &'a mut dyn FnMut(u32, &mut Vec<u8>),
}

/// What a load found.
pub struct Run {
    /// Answers with a status of 2xx.
    pub answers: u64,
    /// Other answers.
    pub refused: u64,
    /// The beginning of the first other answer.
    pub refusal: Option<String>,
    /// Connections lost on the way.
    pub lost: u64,
    /// How long it went on.
    pub span: Duration,
    /// From the sending of a request to its complete answer, in nanoseconds.
    pub latency: Histogram<u64>,
}

impl Run {
    /// Answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for a table")]
        let answers = self.answers as f64;
        answers / self.span.as_secs_f64()
    }

    /// A percentile of the latency, in microseconds.
    #[must_use]
    pub fn micros(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile) / 1_000
    }
}

struct Caller<'a, 'b> {
    load: &'a mut Load<'b>,
    start: Instant,
    ready: Vec<ConnId>,
    /// The caller's number and when its request was sent, by place of the connection.
    sent: Vec<(u32, u64)>,
    run: Run,
    measuring: bool,
    stopping: bool,
}

impl Caller<'_, '_> {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn ask(&mut self, number: u32, out: &mut Vec<u8>) -> (u32, u64) {
        (self.load.request)(number, out);
        (number, self.now_ns())
    }
}

/// Length and status of the answer at the beginning of `input`, once it is complete.
fn answer(input: &[u8]) -> Option<(usize, u16)> {
    let head_bytes = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&input[..head_bytes]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let total = head_bytes + length.unwrap_or(0);
    (input.len() >= total).then_some((total, status))
}

impl WireEvents for Caller<'_, '_> {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn connected(&mut self, conn: ConnId) {
        self.ready.push(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let Some((bytes, status)) = answer(stream.input()) else { return };
        let (number, sent_ns) = self.sent[conn.index()];
        if self.measuring {
            let span_ns = self.now_ns() - sent_ns;
            self.run.latency.saturating_record(span_ns);
            if (200..300).contains(&status) {
                self.run.answers += 1;
            } else {
                self.run.refused += 1;
                if self.run.refusal.is_none() {
                    self.run.refusal = Some(String::from_utf8_lossy(&stream.input()[..bytes]).into_owned());
                }
            }
        }
        stream.consume(bytes);
        if self.stopping {
            return stream.close();
        }
        self.sent[conn.index()] = self.ask(number, stream.output());
    }

    fn closed(&mut self, _conn: ConnId, _ending: Ending) {
        self.run.lost += u64::from(!self.stopping);
    }
}

/// Connects, warms up for a tenth of the span, measures, and ends. `edge` is called when measuring begins (true) and when it
/// ends, for reading counters of the server.
///
/// # Errors
/// When the network fails or not all connections can be made.
pub fn run(load: &mut Load<'_>, mut edge: impl FnMut(bool)) -> io::Result<Run> {
    let config =
        WireConfig { connections_max: load.connections, idle_ns: u64::MAX / 2, ..WireConfig::default() };
    let mut wire = UringWire::with_listeners(Vec::new(), config).map_err(io::Error::other)?;
    let latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).map_err(io::Error::other)?;
    let (address, connections, span) = (load.address, load.connections, load.span);
    let run = Run { answers: 0, refused: 0, refusal: None, lost: 0, span, latency };
    let mut caller = Caller {
        load,
        start: Instant::now(),
        ready: Vec::new(),
        sent: Vec::new(),
        run,
        measuring: false,
        stopping: false,
    };
    for _ in 0..connections {
        wire.connect(address, None).map_err(io::Error::other)?;
    }
    while caller.ready.len() < connections as usize {
        if caller.run.lost > 0 {
            return Err(io::Error::other(format!("{address} does not take {connections} connections")));
        }
        turn(&mut wire, &mut caller)?;
    }
    caller.sent = vec![(0, 0); connections as usize];
    for (number, conn) in (0..).zip(std::mem::take(&mut caller.ready)) {
        let Some(out) = wire.output(conn) else { continue };
        caller.sent[conn.index()] = caller.ask(number, out);
    }
    let warm = Instant::now();
    while warm.elapsed() < span / 10 {
        turn(&mut wire, &mut caller)?;
    }
    caller.measuring = true;
    edge(true);
    let begin = Instant::now();
    while begin.elapsed() < span {
        turn(&mut wire, &mut caller)?;
    }
    caller.run.span = begin.elapsed();
    edge(false);
    caller.measuring = false;
    caller.stopping = true;
    let end = Instant::now();
    while wire.connections() > 0 && end.elapsed() < Duration::from_secs(2) {
        turn(&mut wire, &mut caller)?;
    }
    Ok(caller.run)
}

fn turn(wire: &mut UringWire, caller: &mut Caller<'_, '_>) -> io::Result<()> {
    let now_ns = caller.now_ns();
    wire.poll(now_ns, caller)?;
    if !wire.has_work() {
        wire.wait(Duration::from_millis(100))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let whole = b"HTTP/1.1 202 Accepted\r\nDate: x\r\ncontent-length:  3\r\n\r\nabc";
        assert_eq!(answer(whole), Some((whole.len(), 202)));
        assert_eq!(answer(&whole[..whole.len() - 1]), None);
        assert_eq!(answer(b"HTTP/1.1 204 No Content\r\n\r\nHTTP"), Some((27, 204)));
    }
}
