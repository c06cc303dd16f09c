//! The server of `net` with nothing behind it: a fixed answer, a WebSocket echo, and a broadcast on demand.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use net::http::{Request, response};
use net::server::{Acceptance, Requested, Server, ServerLimits, Service, Socket};
use net::wire::uring::UringWire;
use net::wire::{ConnId, ListenOptions, Wire, WireConfig, listen};
use net::ws::handshake::server::Upgrade;
use net::ws::{Message, encode_shared};

/// More than all parts together open at once.
const CONNECTIONS_MAX: u32 = 16_384;

#[derive(Default)]
struct Bare {
    /// Bodies to be sent to every WebSocket.
    broadcasts: Vec<String>,
}

impl Service for Bare {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        if request.head.upgrade {
            return match Upgrade::check(request.head) {
                Ok(upgrade) => requested.accept(&upgrade, &Acceptance::default()),
                Err(refusal) => requested.refuse(refusal),
            };
        }
        if request.head.path == "/broadcast" {
            self.broadcasts.push(String::from_utf8_lossy(request.body).into_owned());
        }
        requested
            .answer(|out, mode, date| response::write(out, 200, mode, date, "text/plain", b"hello world\n"));
    }

    fn message(&mut self, _conn: ConnId, message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

/// Serves until standard input ends.
pub(crate) fn serve() -> Result<(), String> {
    let address = ([127, 0, 0, 1], 0).into();
    let listener = listen(address, &ListenOptions::default()).map_err(|error| error.to_string())?;
    let address = listener.address();
    let config = WireConfig { connections_max: CONNECTIONS_MAX, ..WireConfig::default() };
    let mut wire = UringWire::new(listener, config).map_err(|error| error.to_string())?;
    let (mut server, mut bare) = (Server::new(ServerLimits::default()), Bare::default());
    crate::server::say_ready(address)?;
    std::thread::spawn(|| {
        crate::server::wait_for_the_end();
        std::process::exit(0);
    });
    let start = Instant::now();
    loop {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        server.set_time(now_ns, wall);
        wire.poll(now_ns, &mut server.with(&mut bare)).map_err(|error| error.to_string())?;
        for text in bare.broadcasts.drain(..) {
            server.broadcast(&mut wire, &encode_shared(Message::Text(&text)));
        }
        server.tick(&mut wire, &mut bare);
        if !wire.has_work() {
            let due = wire.next_deadline_ns().into_iter().chain(server.next_deadline_ns()).min();
            let due = due.map_or(200_000_000, |due_ns| due_ns.saturating_sub(now_ns));
            wire.wait(Duration::from_nanos(due) + Duration::from_millis(1))
                .map_err(|error| error.to_string())?;
        }
    }
}
