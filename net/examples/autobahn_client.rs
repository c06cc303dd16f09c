//! The client that the Autobahn testsuite's fuzzing server asks for: it opens one WebSocket per case and echoes.
//!
//! `cargo run --release -p coinbitclub-net --example autobahn_client -- ADDRESS` (see `cargo xtask conformance`).

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net::sockets::{Feed, SocketEnd, Sockets, SocketsLimits, Talk};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};
use net::ws::handshake::DeflatePolicy;
use net::ws::handshake::client::ClientRequest;
use net::ws::{self, Message};

/// Echoes, or keeps what it is told.
#[derive(Default)]
struct Case {
    echoes: bool,
    told: String,
    ended: Option<SocketEnd>,
}

impl Feed for Case {
    fn opened(&mut self, _conn: ConnId, _protocol: Option<&str>, _talk: &mut Talk<'_>) {}

    fn message(&mut self, _conn: ConnId, message: Message<'_>, talk: &mut Talk<'_>) {
        if self.echoes {
            talk.send(message);
        } else if let Message::Text(text) = message {
            text.clone_into(&mut self.told);
        }
    }

    fn ended(&mut self, _conn: ConnId, end: SocketEnd) {
        self.ended = Some(end);
    }
}

struct Client {
    sockets: Sockets,
    case: Case,
}

impl WireEvents for Client {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn connected(&mut self, conn: ConnId) {
        self.sockets.connected(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.sockets.received(conn, stream, &mut self.case);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.sockets.closed(conn, ending, &mut self.case);
    }
}

fn main() -> io::Result<()> {
    let address =
        std::env::args().nth(1).ok_or_else(|| io::Error::other("usage: autobahn_client ADDRESS"))?;
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let config =
        WireConfig { input_bytes_max: 20 << 20, output_bytes_max: 40 << 20, ..WireConfig::default() };
    let mut wire = UringWire::with_listeners(Vec::new(), config).map_err(io::Error::other)?;
    let message = ws::Limits { message_bytes_max: 16 << 20, fragments_max: 1 << 20 };
    let sockets = Sockets::new(SocketsLimits { message, ..SocketsLimits::default() });
    let mut client = Client { sockets, case: Case::default() };
    let start = Instant::now();
    let count = run(&mut wire, &mut client, address, "/getCaseCount", false, start)?;
    let count: u32 = count.parse().map_err(io::Error::other)?;
    println!("{count} cases");
    for case in 1..=count {
        run(&mut wire, &mut client, address, &format!("/runCase?case={case}&agent=net"), true, start)?;
    }
    run(&mut wire, &mut client, address, "/updateReports?agent=net", false, start)?;
    Ok(())
}

/// Opens one WebSocket and stays until its connection is gone. Gives the last text it was told.
fn run(
    wire: &mut UringWire,
    client: &mut Client,
    address: SocketAddr,
    target: &str,
    echoes: bool,
    start: Instant,
) -> io::Result<String> {
    client.case = Case { echoes, ..Case::default() };
    let conn = wire.connect(address, None).map_err(io::Error::other)?;
    let host = address.to_string();
    let deflate = echoes.then(DeflatePolicy::default);
    let request = ClientRequest { host: &host, target, deflate, ..ClientRequest::default() };
    // Predictable keys do no harm on loopback, and make a failing case repeatable.
    let mut state = 0x9E37_79B9_u32;
    let masks = Box::new(move || {
        state = state.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F);
        state.to_be_bytes()
    });
    client.sockets.begin(conn, &request, *b"autobahn's nonce", masks).map_err(io::Error::other)?;
    while !client.sockets.is_empty() || wire.connections() > 0 {
        let now_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        wire.poll(now_ns, client)?;
        client.sockets.tick(now_ns, wire);
        if !wire.has_work() {
            wire.wait(Duration::from_millis(100))?;
        }
    }
    match client.case.ended.take() {
        Some(SocketEnd::Handshake(error)) => Err(io::Error::other(error)),
        _ => Ok(std::mem::take(&mut client.case.told)),
    }
}
