//! The smallest server on this crate: answers every request with 200 and the body it was sent, and echoes what comes over a
//! WebSocket (any path). For measuring what wire, parser and framing cost with nothing behind them, and for conformance.
//!
//! `cargo run --release -p coinbitclub-net --example echo -- [ADDRESS] [SECONDS] [--deflate]`
//!
//! Ends after SECONDS (default: never) and prints requests, CPU time per request and the counters.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use net::http::{Request, response};
use net::server::{Acceptance, Requested, Server, ServerLimits, Service, Socket};
use net::wire::uring::UringWire;
use net::wire::{ConnId, ListenOptions, Wire, WireConfig, listen};
use net::ws::handshake::DeflatePolicy;
use net::ws::handshake::server::Upgrade;
use net::ws::{self, Message};

struct Echo {
    deflate: Option<DeflatePolicy>,
}

impl Service for Echo {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        if request.head.upgrade {
            match Upgrade::check(request.head) {
                Ok(upgrade) => {
                    requested
                        .accept(&upgrade, &Acceptance { deflate: self.deflate, ..Acceptance::default() });
                }
                Err(refusal) => requested.refuse(refusal),
            }
            return;
        }
        requested.answer(|out, mode, date| response::write(out, 200, mode, date, "text/plain", request.body));
    }

    fn message(&mut self, _conn: ConnId, message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (flags, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.starts_with("--"));
    let address = words.first().map_or("127.0.0.1:8080", String::as_str);
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let seconds: Option<u64> = words.get(1).map(|word| word.parse()).transpose().map_err(io::Error::other)?;

    let listener = listen(address, &ListenOptions::default())?;
    println!("listening on {}", listener.address());
    // The conformance suite sends messages of 16 MiB.
    let config =
        WireConfig { input_bytes_max: 20 << 20, output_bytes_max: 40 << 20, ..WireConfig::default() };
    let mut wire = UringWire::new(listener, config).map_err(io::Error::other)?;
    let message = ws::Limits { message_bytes_max: 16 << 20, fragments_max: 1 << 20 };
    let mut server = Server::new(ServerLimits { message, ..ServerLimits::default() });
    let deflate = flags.iter().any(|flag| flag == "--deflate").then(DeflatePolicy::default);
    let mut echo = Echo { deflate };
    let start = Instant::now();
    let end = seconds.map(Duration::from_secs);
    loop {
        let elapsed = start.elapsed();
        if end.is_some_and(|end| elapsed >= end) {
            break;
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        server.set_time(now_ns, wall);
        wire.poll(now_ns, &mut server.with(&mut echo))?;
        server.tick(&mut wire, &mut echo);
        if !wire.has_work() {
            let due = wire.next_deadline_ns().into_iter().chain(server.next_deadline_ns()).min();
            let due = due.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns)));
            wire.wait(due.unwrap_or(Duration::from_secs(1)))?;
        }
    }
    let cpu = cpu_time();
    let requests = server.metrics().requests + server.metrics().messages_in;
    let each = cpu.checked_div(u32::try_from(requests).unwrap_or(u32::MAX)).unwrap_or_default();
    println!("{requests} requests and messages, {cpu:.2?} CPU, {each:.2?} each");
    println!("{:#?}\n{:#?}", wire.metrics(), server.metrics());
    Ok(())
}

/// CPU time of this process, user and system.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes of one timespec during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
