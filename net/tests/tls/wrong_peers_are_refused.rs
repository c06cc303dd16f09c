//! Peers that are not who they should be, do not speak TLS, or do not finish: refused in time, and nothing of theirs
//! reaches a consumer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use crate::authority::{Authority, MemoryPeer, converse, in_memory, localhost, only};
use crate::support::{Recorder, SECOND_NS};
use net::tls::{ServerSide, TlsWire};
use net::wire::memory::{MemoryNetwork, MemoryWire, Pieces};
use net::wire::{CloseReason, ConnId, Wire, WireConfig};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, ServerConfig};

type Served = (TlsWire<MemoryWire>, MemoryNetwork, Recorder);

fn serving(authority: &Authority) -> Served {
    let (wire, network) = in_memory(WireConfig::default(), Pieces::Whole, only(&authority.server()));
    (wire, network, Recorder::default())
}

/// Our client calls `server`; gives why it gave up.
fn refused_server(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (Error, Option<Error>) {
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, ServerSide::default());
    let mut events = Recorder::default();
    let address = "127.0.0.1:443".parse().unwrap();
    let conn = wire.connect_tls(address, None, localhost(), client).unwrap();
    let mut peer = MemoryPeer::server(&network, server);
    converse(&mut wire, &mut events, &mut peer, |_, events, _| !events.closed.is_empty());
    assert_eq!(events.closed, [(conn, CloseReason::Protocol)]);
    assert_eq!(events.endings[0].handed_bytes, 0);
    assert!(events.connected.is_empty() && events.deliveries == 0);
    assert_eq!(wire.tls_metrics().handshakes_failed, 1);
    assert_eq!(wire.metrics().closed_for(CloseReason::Protocol), 1);
    (wire.failure(conn).unwrap().clone(), peer.error)
}

#[test]
fn servers_of_another_authority_name_or_time() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (error, seen) = refused_server(&authority.client(), &other.server());
    assert!(matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer)), "{error}");
    assert!(matches!(seen, Some(Error::AlertReceived(AlertDescription::UnknownCA))), "{seen:?}");

    let store = net::tls::store::CertificateStore::new(authority.identity("elsewhere"));
    let server = net::tls::config::server(store).unwrap();
    let (error, _) = refused_server(&authority.client(), &server);
    assert!(error.to_string().contains("localhost"), "{error}");

    let files = authority.issue_until("localhost", "stale", Some(2020));
    let stale = net::tls::config::ServerIdentity::load(&files.certificate, &files.key).unwrap();
    let server = net::tls::config::server(net::tls::store::CertificateStore::new(stale)).unwrap();
    let (error, _) = refused_server(&authority.client(), &server);
    assert!(error.to_string().contains("expired"), "{error}");
}

/// Sends raw bytes to the server's TLS port; gives the answer.
fn refused_client((wire, network, events): &mut Served, bytes: &[u8]) -> (ConnId, Vec<u8>) {
    let peer = network.connect("127.0.0.1:4000".parse().unwrap());
    network.write(peer, bytes);
    for _ in 0..4 {
        wire.poll(SECOND_NS, events).unwrap();
    }
    (network.conn(peer).unwrap(), network.read(peer))
}

#[test]
fn clients_that_do_not_speak_tls() {
    let authority = Authority::new();
    let mut served = serving(&authority);
    let plain = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let garbage: Vec<u8> = (0..5000_u32).map(|n| u8::try_from((n * n + 7) % 256).unwrap()).collect();
    // A record as long as no record may be.
    let oversized = [22, 3, 1, 0xFF, 0xFF, 1, 2, 3];
    for (count, bytes) in [&plain[..], &garbage, &oversized].into_iter().enumerate() {
        let (conn, answer) = refused_client(&mut served, bytes);
        assert_eq!(served.2.closed[count..], [(conn, CloseReason::Protocol)]);
        assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
        assert_eq!(served.2.deliveries, 0);
    }
    assert_eq!(served.0.tls_metrics().handshakes_failed, 3);
    assert_eq!(served.0.connections(), 0);
}

#[test]
fn clients_that_speak_only_http_2() {
    let authority = Authority::new();
    let (mut wire, network, mut events) = serving(&authority);
    let mut client = ClientConfig::clone(&authority.client());
    client.alpn_protocols = vec![b"h2".to_vec()];
    let mut peer = MemoryPeer::client(&network, &Arc::new(client));
    converse(&mut wire, &mut events, &mut peer, |_, events, _| !events.closed.is_empty());
    let refused = Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol));
    assert_eq!(peer.error, refused);
    assert_eq!(events.closed[0].1, CloseReason::Protocol);
}

/// The first flight of a client.
fn hello(authority: &Authority) -> Vec<u8> {
    let connection = rustls::ClientConnection::new(authority.client(), localhost());
    let mut bytes = Vec::new();
    connection.unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn handshakes_that_never_complete() {
    let authority = Authority::new();
    let (mut wire, network, mut events) = serving(&authority);
    let hello = hello(&authority);
    // Silent, halfway, trickling, and silent after the whole first flight.
    let written = [0, hello.len() / 2, 1, hello.len()];
    let peers = written.map(|bytes| {
        let peer = network.connect("127.0.0.1:4000".parse().unwrap());
        network.write(peer, &hello[..bytes]);
        peer
    });
    let mut now_ns = 0;
    while events.closed.len() < peers.len() {
        wire.poll(now_ns, &mut events).unwrap();
        assert!(now_ns <= 11 * SECOND_NS, "{events:?}");
        assert!(events.closed.is_empty() || now_ns > 10 * SECOND_NS, "{events:?}");
        let trickled = usize::try_from(now_ns / (SECOND_NS / 10)).unwrap();
        network.write(peers[2], &hello[1 + trickled..2 + trickled]);
        now_ns += SECOND_NS / 10;
    }
    assert!(events.closed.iter().all(|&(_, reason)| reason == CloseReason::SlowRequest), "{events:?}");
    assert_eq!(events.deliveries, 0);
    let metrics = wire.tls_metrics();
    assert_eq!((metrics.handshakes_timed_out, metrics.handshakes_failed), (4, 4));
}

#[test]
fn servers_that_never_answer() {
    let authority = Authority::new();
    let (mut wire, network) = in_memory(WireConfig::default(), Pieces::Whole, ServerSide::default());
    let mut events = Recorder::default();
    let address = "127.0.0.1:443".parse().unwrap();
    let conn = wire.connect_tls(address, None, localhost(), &authority.client()).unwrap();
    let (peer, _) = network.dialled().unwrap();
    network.take(peer);
    let mut now_ns = 0;
    while events.closed.is_empty() {
        assert!(now_ns <= 6 * SECOND_NS);
        wire.poll(now_ns, &mut events).unwrap();
        now_ns = wire.next_deadline_ns().unwrap_or(now_ns).max(now_ns + 1);
    }
    assert!(now_ns > 5 * SECOND_NS);
    assert_eq!(events.closed, [(conn, CloseReason::ConnectTimeout)]);
}

#[test]
fn peers_that_leave() {
    let authority = Authority::new();
    let (mut wire, network, mut events) = serving(&authority);
    // In the middle of its first flight.
    let peer = network.connect("127.0.0.1:4000".parse().unwrap());
    network.write(peer, &hello(&authority)[..50]);
    network.end(peer);
    for now_ns in 0..4 {
        wire.poll(now_ns, &mut events).unwrap();
    }
    assert_eq!(events.closed, [(network.conn(peer).unwrap(), CloseReason::Protocol)]);
    // After a request, without a goodbye: what was said is delivered, and that it ended.
    let mut peer = MemoryPeer::client(&network, &authority.client());
    peer.write(b"some words");
    converse(&mut wire, &mut events, &mut peer, |_, events, _| events.deliveries == 1);
    network.end(peer.peer);
    converse(&mut wire, &mut events, &mut peer, |_, events, _| !events.ended.is_empty());
    assert_eq!(events.input[&peer.conn()], b"some words");
    assert_eq!(wire.tls_metrics().ends_without_notice, 1);
    assert_eq!(wire.tls_metrics().broken, 0);
}

#[test]
fn peers_that_break_it_later() {
    let authority = Authority::new();
    let (mut wire, network, mut events) = serving(&authority);
    let mut peer = MemoryPeer::client(&network, &authority.client());
    peer.write(b"good");
    converse(&mut wire, &mut events, &mut peer, |_, events, _| events.deliveries == 1);
    // A record of application data that decrypts to nothing, behind a good one.
    peer.write(b" and good");
    network.write(
        peer.peer,
        &[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
    );
    converse(&mut wire, &mut events, &mut peer, |_, events, _| !events.closed.is_empty());
    let conn = events.accepted[0];
    assert_eq!(events.closed, [(conn, CloseReason::Protocol)]);
    assert_eq!(events.input[&conn], b"good and good");
    assert_eq!(peer.error, Some(Error::AlertReceived(AlertDescription::BadRecordMac)));
    assert_eq!(wire.tls_metrics().broken, 1);
}
