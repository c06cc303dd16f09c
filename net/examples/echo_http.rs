//! The smallest server on this crate: answers every request with 200 and the body it was sent. For measuring what the
//! wire and the parser cost, without anything behind them.
//!
//! `cargo run --release -p coinbitclub-net --example echo_http -- [ADDRESS] [SECONDS]`
//!
//! Ends after SECONDS (default: never) and prints requests, CPU time per request and the wire's counters.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use net::http::{HttpDate, Parsed, Parser, Pipeline, Ticket, response};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, ListenOptions, Stream, Wire, WireConfig, WireEvents, listen};

/// Requests of one connection that may be unanswered. This server answers at once, so one would do.
const DEPTH_MAX: usize = 16;

struct Server {
    parser: Parser,
    date: HttpDate,
    pipelines: Vec<Pipeline>,
    requests: u64,
}

impl WireEvents for Server {
    fn accepted(&mut self, conn: ConnId, _arrival: Arrival) {
        if conn.index() >= self.pipelines.len() {
            self.pipelines.resize_with(conn.index() + 1, || Pipeline::new(DEPTH_MAX));
        }
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let pipeline = &mut self.pipelines[conn.index()];
        while !stream.input().is_empty() {
            match self.parser.parse(stream.input()) {
                Ok(Parsed::Complete(request)) => {
                    let ticket: Option<Ticket> = pipeline.reserve((&request.head).into());
                    let Some(ticket) = ticket else { break };
                    self.requests += 1;
                    let released = pipeline.complete(ticket, stream.output(), |out, mode| {
                        response::write(out, 200, mode, &self.date, "text/plain", request.body);
                    });
                    stream.consume(request.input_bytes);
                    if released.close {
                        return stream.close();
                    }
                }
                Ok(Parsed::Incomplete { bytes_min, expects_continue }) => {
                    if expects_continue {
                        pipeline.offer_continue(stream.output());
                    }
                    stream.wait_for(bytes_min);
                    break;
                }
                Err(error) => {
                    response::write_error(stream.output(), error, &self.date);
                    return stream.close();
                }
            }
        }
        if stream.ended() {
            stream.close();
        }
    }

    fn closed(&mut self, conn: ConnId, _ending: Ending) {
        self.pipelines[conn.index()].reset();
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let seconds: Option<u64> =
        arguments.next().map(|text| text.parse()).transpose().map_err(io::Error::other)?;

    let listener = listen(address, &ListenOptions::default())?;
    println!("listening on {}", listener.address());
    let mut wire = UringWire::new(listener, WireConfig::default()).map_err(io::Error::other)?;
    let mut server = Server {
        parser: Parser::new(net::http::Limits::default()),
        date: HttpDate::from_unix(0),
        pipelines: Vec::new(),
        requests: 0,
    };
    let start = Instant::now();
    let end = seconds.map(Duration::from_secs);
    loop {
        let elapsed = start.elapsed();
        if end.is_some_and(|end| elapsed >= end) {
            break;
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        server.date.update(wall);
        let now_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        wire.poll(now_ns, &mut server)?;
        if !wire.has_work() {
            let due =
                wire.next_deadline_ns().map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns)));
            wait_readable(wire.descriptor(), due.unwrap_or(Duration::from_secs(1)));
        }
    }
    let cpu = cpu_time();
    let per_request = cpu.checked_div(u32::try_from(server.requests).unwrap_or(u32::MAX)).unwrap_or_default();
    println!("{} requests, {cpu:.2?} CPU, {per_request:.2?} each", server.requests);
    println!("{:#?}", wire.metrics());
    Ok(())
}

/// What a shard's executor does when idle, with plain `poll(2)`.
fn wait_readable(descriptor: RawFd, at_most: Duration) {
    // SAFETY: the wire owns the descriptor and outlives this call.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let mut entry = libc::pollfd {
        fd: std::os::fd::AsRawFd::as_raw_fd(&descriptor.as_fd()),
        events: libc::POLLIN,
        revents: 0,
    };
    let millis = i32::try_from(at_most.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
    // SAFETY: one valid pollfd, written during the call only.
    unsafe { libc::poll(&raw mut entry, 1, millis) };
}

/// CPU time of this process, user and system.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes of one timespec during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
