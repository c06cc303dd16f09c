//! What the TLS tests share: an authority that issues certificates, files of them, and blocking peers by rustls.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use net::tls::config::{self, ClientTrust, ServerIdentity};
use net::tls::store::CertificateStore;
use net::tls::{ServerSide, TlsWire, inner_config};
use net::wire::memory::{MemoryNetwork, MemoryWire, PeerId, Pieces, network};
use net::wire::uring::UringWire;
use net::wire::{ListenOptions, Wire, WireConfig, listen};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::ServerName;

/// A certificate authority of this test, with its files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// The files of one certificate.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Each its own name: one authority's certificates do not seem to be another's with a wrong signature.
        static AUTHORITIES: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub fn ca_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Issues a certificate for `name` into files that begin with `stem`.
    pub fn issue(&self, name: &str, stem: &str) -> Files {
        self.issue_until(name, stem, None)
    }

    /// As [`Authority::issue`], valid until the year `last_year` begins.
    pub fn issue_until(&self, name: &str, stem: &str, last_year: Option<i32>) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if let Some(year) = last_year {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files =
            Files { certificate: self.path(&format!("{stem}.pem")), key: self.path(&format!("{stem}.key")) };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    pub fn identity(&self, name: &str) -> ServerIdentity {
        let files = self.issue(name, name);
        ServerIdentity::load(&files.certificate, &files.key).unwrap()
    }

    /// A server for `localhost`.
    pub fn server(&self) -> Arc<ServerConfig> {
        config::server(CertificateStore::new(self.identity("localhost"))).unwrap()
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> Arc<ClientConfig> {
        let (config, trusted) = config::client(&ClientTrust::PrivateCa(self.ca_file())).unwrap();
        assert_eq!(trusted, 1);
        config
    }
}

pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// The configuration of a wire's only listener.
pub fn only(server: &Arc<ServerConfig>) -> ServerSide {
    ServerSide { listeners: vec![Some(Arc::clone(server))] }
}

/// TLS over io_uring, listening.
pub fn listening(config: WireConfig, server: &Arc<ServerConfig>) -> (TlsWire<UringWire>, SocketAddr) {
    let listener = listen(super::support::any_port(), &ListenOptions::default()).unwrap();
    let address = listener.address();
    let inner = UringWire::new(listener, inner_config(config)).unwrap();
    (TlsWire::new(inner, config, only(server)).unwrap(), address)
}

/// TLS over io_uring for outgoing connections only.
pub fn calling(config: WireConfig) -> TlsWire<UringWire> {
    let inner = UringWire::with_listeners(Vec::new(), inner_config(config)).unwrap();
    TlsWire::new(inner, config, ServerSide::default()).unwrap()
}

pub type BlockingClient = StreamOwned<ClientConnection, TcpStream>;
pub type BlockingServer = StreamOwned<ServerConnection, TcpStream>;

/// A blocking client; its handshake happens with its first read or write.
pub fn blocking_client(address: SocketAddr, config: &Arc<ClientConfig>) -> BlockingClient {
    let connection = ClientConnection::new(Arc::clone(config), localhost()).unwrap();
    StreamOwned::new(connection, super::support::connect(address))
}

/// Accepts one connection of a blocking server.
pub fn blocking_server(listener: &TcpListener, config: &Arc<ServerConfig>) -> BlockingServer {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(super::support::PATIENCE)).unwrap();
    socket.set_write_timeout(Some(super::support::PATIENCE)).unwrap();
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), socket)
}

/// Writes `request` and reads until the peer says goodbye; a TCP end without it is an error.
pub fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Vec<u8> {
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Polls a wire on this thread while `act` plays the blocking peer on another.
pub fn beside<W: Wire, E: net::wire::WireEvents, R: Send>(
    wire: &mut W,
    events: &mut E,
    act: impl FnOnce() -> R + Send,
) -> R {
    let clock = super::support::Clock::new();
    std::thread::scope(|scope| {
        let thread = scope.spawn(act);
        super::support::drive(wire, events, &clock, |_, _| thread.is_finished());
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// TLS over the network in memory.
pub fn in_memory(
    config: WireConfig,
    pieces: Pieces,
    side: ServerSide,
) -> (TlsWire<MemoryWire>, MemoryNetwork) {
    let (inner, network) = network(inner_config(config), pieces);
    (TlsWire::new(inner, config, side).unwrap(), network)
}

/// rustls at the far end of a connection in memory.
pub struct MemoryPeer {
    pub connection: Connection,
    pub peer: PeerId,
    pub network: MemoryNetwork,
    /// What was decrypted so far.
    pub received: Vec<u8>,
    /// The wire's side said goodbye.
    pub ended: bool,
    pub error: Option<rustls::Error>,
}

impl MemoryPeer {
    /// A client that connects to the wire.
    pub fn client(network: &MemoryNetwork, config: &Arc<ClientConfig>) -> Self {
        let peer = network.connect(SocketAddr::from(([127, 0, 0, 1], 4000)));
        let connection = ClientConnection::new(Arc::clone(config), localhost()).unwrap();
        Self::over(network, peer, connection.into())
    }

    /// A server that takes the connection which the wire opens.
    pub fn server(network: &MemoryNetwork, config: &Arc<ServerConfig>) -> Self {
        let (peer, _) = network.dialled().unwrap();
        network.take(peer);
        Self::over(network, peer, ServerConnection::new(Arc::clone(config)).unwrap().into())
    }

    fn over(network: &MemoryNetwork, peer: PeerId, connection: Connection) -> Self {
        Self { connection, peer, network: network.clone(), received: Vec::new(), ended: false, error: None }
    }

    pub fn conn(&self) -> net::wire::ConnId {
        self.network.conn(self.peer).unwrap()
    }

    pub fn write(&mut self, plain: &[u8]) {
        self.connection.writer().write_all(plain).unwrap();
        self.put_out();
    }

    /// Sends the ciphertext that is due.
    pub fn put_out(&mut self) {
        let mut cipher = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut cipher).unwrap();
        }
        self.network.write(self.peer, &cipher);
    }

    /// Takes what arrived and answers it.
    pub fn pump(&mut self) {
        let arrived = self.network.read(self.peer);
        self.take_in(&arrived);
        self.put_out();
    }

    pub fn take_in(&mut self, mut cipher: &[u8]) {
        while !cipher.is_empty() && self.error.is_none() && !self.ended {
            self.connection.read_tls(&mut cipher).unwrap();
            match self.connection.process_new_packets() {
                Ok(state) => self.ended |= state.peer_has_closed(),
                Err(error) => self.error = Some(error),
            }
            let start = self.received.len();
            self.received.resize(start + (64 << 10), 0);
            let mut end = start;
            while let Ok(count @ 1..) = self.connection.reader().read(&mut self.received[end..]) {
                end += count;
                self.received.resize(end + (64 << 10), 0);
            }
            self.received.truncate(end);
        }
    }
}

/// Polls wire and peer until `done`.
pub fn converse<W: Wire, E: net::wire::WireEvents>(
    wire: &mut W,
    events: &mut E,
    peer: &mut MemoryPeer,
    mut done: impl FnMut(&mut W, &mut E, &mut MemoryPeer) -> bool,
) {
    let clock = super::support::Clock::new();
    peer.put_out();
    super::support::drive(wire, events, &clock, |wire, events| {
        peer.pump();
        done(wire, events, peer)
    });
}
