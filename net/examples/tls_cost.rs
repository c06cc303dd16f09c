//! What TLS costs a server: processor time per request over kept connections, plain and TLS, and per handshake.
//!
//! `cargo run --release -p coinbitclub-net --example tls_cost` runs a few seconds and prints. One thread plays both ends
//! over loopback and measures only the polls of the wire in which something happened, system calls included.
//! Certificate: ECDSA P-256. Not shown: latency, and clients on other machines.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::tls::config::{self, ClientTrust, ServerIdentity};
use net::tls::store::CertificateStore;
use net::tls::{ServerSide, TlsWire, inner_config};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, ListenOptions, Stream, Wire, WireConfig, WireEvents, listen};
use rustls::{ClientConfig, ClientConnection, ServerConfig};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const REQUEST: &[u8] = &[b'q'; 300];
const ANSWER: &[u8] = &[b'a'; 500];
const REQUESTS: u32 = 20_000;
const HANDSHAKES: u32 = 1_000;

/// Answers each 300 bytes with 500.
struct Answering;

impl WireEvents for Answering {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn received(&mut self, _conn: ConnId, stream: &mut Stream<'_>) {
        while stream.input().len() >= REQUEST.len() {
            stream.consume(REQUEST.len());
            stream.output().extend_from_slice(ANSWER);
        }
        if stream.ended() {
            stream.close();
        }
    }

    fn closed(&mut self, _conn: ConnId, _ending: Ending) {}
}

/// A wire whose polls are timed.
struct Timed {
    wire: TlsWire<UringWire>,
    start: Instant,
    busy: Duration,
}

impl Timed {
    fn poll(&mut self) -> Outcome<()> {
        let begun = Instant::now();
        let due = self.wire.has_work();
        let handled = self.wire.poll(u64::try_from((begun - self.start).as_nanos())?, &mut Answering)?;
        if due || handled > 0 {
            self.busy += begun.elapsed();
        }
        Ok(())
    }
}

/// A client that never blocks, plain or TLS.
struct Client {
    socket: TcpStream,
    tls: Option<ClientConnection>,
}

impl Client {
    fn connect(address: SocketAddr, config: Option<&Arc<ClientConfig>>) -> Outcome<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let name = "localhost".try_into()?;
        let tls = config.map(|config| ClientConnection::new(Arc::clone(config), name)).transpose()?;
        Ok(Self { socket, tls })
    }

    fn say(&mut self, bytes: &[u8]) -> Outcome<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.socket.write_all(bytes)?,
        }
        self.pump()
    }

    /// Moves ciphertext both ways.
    fn pump(&mut self) -> Outcome<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        loop {
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Err("the server left".into()),
                Ok(_) => tls.process_new_packets().map(|_state| ())?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    fn hear(&mut self) -> Outcome<usize> {
        self.pump()?;
        let mut room = [0; 4096];
        let result = match &mut self.tls {
            Some(tls) => tls.reader().read(&mut room),
            None => self.socket.read(&mut room),
        };
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            result => Ok(result?),
        }
    }

    /// Asks and awaits the answer, while the server is polled.
    fn ask(&mut self, server: &mut Timed) -> Outcome<()> {
        self.say(REQUEST)?;
        let mut heard = 0;
        while heard < ANSWER.len() {
            server.poll()?;
            heard += self.hear()?;
        }
        Ok(())
    }
}

fn server(tls: Option<&Arc<ServerConfig>>) -> Outcome<(Timed, SocketAddr)> {
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), &ListenOptions::default())?;
    let address = listener.address();
    let config = WireConfig::default();
    let inner = UringWire::new(listener, inner_config(config))?;
    let wire = TlsWire::new(inner, config, ServerSide { listeners: vec![tls.cloned()] })?;
    Ok((Timed { wire, start: Instant::now(), busy: Duration::ZERO }, address))
}

fn requests(tls: Option<(&Arc<ServerConfig>, &Arc<ClientConfig>)>) -> Outcome<Duration> {
    let (mut server, address) = server(tls.map(|(server, _)| server))?;
    let mut client = Client::connect(address, tls.map(|(_, client)| client))?;
    (0..1000).try_for_each(|_| client.ask(&mut server))?;
    server.busy = Duration::ZERO;
    (0..REQUESTS).try_for_each(|_| client.ask(&mut server))?;
    Ok(server.busy / REQUESTS)
}

/// Connections that ask once each.
fn plain_connections() -> Outcome<Duration> {
    let (mut server, address) = server(None)?;
    (0..HANDSHAKES).try_for_each(|_| Client::connect(address, None)?.ask(&mut server))?;
    Ok(server.busy / HANDSHAKES)
}

/// Connections that ask once each; a client of its own for each, or one that comes back.
fn handshakes(tls: &Arc<ServerConfig>, trust: &ClientTrust, resumed: bool) -> Outcome<Duration> {
    let (mut server, address) = server(Some(tls))?;
    let (mut config, _) = config::client(trust)?;
    Client::connect(address, Some(&config))?.ask(&mut server)?;
    server.busy = Duration::ZERO;
    for _ in 0..HANDSHAKES {
        if !resumed {
            config = config::client(trust)?.0;
        }
        Client::connect(address, Some(&config))?.ask(&mut server)?;
    }
    let metrics = server.wire.tls_metrics();
    let counted = if resumed { metrics.handshakes_resumed } else { metrics.handshakes_full };
    assert!(counted >= u64::from(HANDSHAKES), "{metrics:?}");
    Ok(server.busy / HANDSHAKES)
}

fn identity(folder: &Path) -> Outcome<(Arc<ServerConfig>, ClientTrust)> {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
    std::fs::write(&certificate, signed.cert.pem())?;
    std::fs::write(&key, signed.signing_key.serialize_pem())?;
    let store = CertificateStore::new(ServerIdentity::load(&certificate, &key)?);
    Ok((config::server(store)?, ClientTrust::PrivateCa(certificate)))
}

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let (server, trust) = identity(folder.path())?;
    let (client, _) = config::client(&trust)?;
    println!("a request of {} bytes with {} of answer, kept connection:", REQUEST.len(), ANSWER.len());
    println!("  plain  {:?}", requests(None)?);
    println!("  TLS    {:?}", requests(Some((&server, &client)))?);
    println!("a new connection with one request:");
    println!("  plain   {:?}", plain_connections()?);
    for (name, resumed) in [("full", false), ("resumed", true)] {
        let each = handshakes(&server, &trust, resumed)?;
        println!("  {name:7} {each:?}, {:.0} a second on one core", 1.0 / each.as_secs_f64());
    }
    Ok(())
}
