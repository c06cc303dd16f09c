//! TLS in both roles: our server with a foreign client, our client with a foreign server, and both ours; beside plain
//! connections of the same wire.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::authority::{
    Authority, beside, blocking_client, blocking_server, calling, exchange, listening, localhost, only,
};
use crate::support::{Clock, Echo, PATIENCE, Recorder, any_port, bodies, drive};
use net::http::Limits;
use net::tls::{ServerSide, TlsWire, inner_config};
use net::wire::uring::UringWire;
use net::wire::{CloseReason, ListenOptions, Wire, WireConfig, listen};
use rustls::ProtocolVersion;

const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn a_foreign_client_is_served() {
    let authority = Authority::new();
    let (mut wire, address) = listening(WireConfig::default(), &authority.server());
    let mut echo = Echo::new(Limits::default());
    let body = vec![b'x'; 60_000];
    let mut request =
        format!("POST /big HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(&body);
    request.extend_from_slice(LAST);
    let answer = beside(&mut wire, &mut echo, || {
        let mut client = blocking_client(address, &authority.client());
        let answer = exchange(&mut client, &request);
        assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        answer
    });
    let answers = bodies(&mut answer.as_slice());
    assert_eq!(answers, [(200, body), (200, Vec::new())]);
    drive(&mut wire, &mut echo, &Clock::new(), |wire, _| wire.connections() == 0);
    assert_eq!(echo.closed, [CloseReason::Local]);
    let metrics = wire.tls_metrics();
    assert_eq!((metrics.handshakes_full, metrics.handshakes_failed, metrics.sessions), (1, 0, 0));
}

#[test]
fn both_versions_are_spoken_and_none_older() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (mut wire, address) = listening(WireConfig::default(), &authority.server());
        let mut echo = Echo::new(Limits::default());
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(authority.ca_file()).unwrap();
        roots.add(rustls_pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = std::sync::Arc::new(client);
        let answer = beside(&mut wire, &mut echo, || {
            let mut client = blocking_client(address, &client);
            let answer = exchange(&mut client, LAST);
            assert_eq!(client.conn.protocol_version(), Some(version.version));
            // This client offers no ALPN and is served all the same.
            assert_eq!(client.conn.alpn_protocol(), None);
            answer
        });
        assert_eq!(bodies(&mut answer.as_slice()), [(200, Vec::new())]);
    }
}

#[test]
fn a_foreign_server_is_called() {
    let authority = Authority::new();
    let mut wire = calling(WireConfig::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = authority.server();
    let answer: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let expected = answer.clone();
    let thread = std::thread::spawn(move || {
        let mut socket = blocking_server(&listener, &server);
        let mut question = [0; 8];
        socket.read_exact(&mut question).unwrap();
        socket.write_all(&answer).unwrap();
        socket.conn.send_close_notify();
        socket.flush().unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).unwrap();
        (question, rest)
    });
    let conn = wire.connect_tls(address, None, localhost(), &authority.client()).unwrap();
    assert!(wire.output(conn).is_none(), "nothing can be queued before it is established");
    drive(&mut wire, &mut events, &clock, |_, events| events.connected == [conn]);
    let details = wire.details(conn).unwrap();
    assert_eq!((details.version, details.resumed), (ProtocolVersion::TLSv1_3, false));
    wire.send(conn, b"question").unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| events.ended == [conn]);
    assert!(events.input[&conn] == expected);
    // The other direction is open still.
    wire.send(conn, b"thanks").unwrap();
    wire.close(conn);
    drive(&mut wire, &mut events, &clock, |wire, events| wire.connections() == 0 && events.closed.len() == 1);
    assert_eq!(events.closed, [(conn, CloseReason::Local)]);
    assert_eq!(events.endings[0].handed_bytes, 14);
    assert_eq!(thread.join().unwrap(), (*b"question", b"thanks".to_vec()));
    assert_eq!(wire.tls_metrics().ends_without_notice, 0);
}

#[test]
fn one_wire_serves_tls_and_plain_and_calls_both() {
    let authority = Authority::new();
    let config = WireConfig::default();
    let listeners: Vec<_> = (0..2).map(|_| listen(any_port(), &ListenOptions::default()).unwrap()).collect();
    let [plain, secure] = [0, 1].map(|place: usize| listeners[place].address());
    let inner = UringWire::with_listeners(listeners, inner_config(config)).unwrap();
    let mut side = only(&authority.server());
    side.listeners.insert(0, None);
    let mut wire = TlsWire::new(inner, config, ServerSide { ..side }).unwrap();
    let mut caller = calling(config);
    let (mut echo, mut events, clock) = (Echo::new(Limits::default()), Recorder::default(), Clock::new());
    let conns = [
        caller.connect(plain, None).unwrap(),
        caller.connect_tls(secure, None, localhost(), &authority.client()).unwrap(),
    ];
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut asked = 0;
    while events.ended.len() < 2 {
        assert!(std::time::Instant::now() < deadline);
        wire.poll(clock.now_ns(), &mut echo).unwrap();
        caller.poll(clock.now_ns(), &mut events).unwrap();
        while let Some(&conn) = events.connected.get(asked) {
            caller.send(conn, LAST).unwrap();
            asked += 1;
        }
    }
    for conn in conns {
        assert_eq!(bodies(&mut events.input[&conn].as_slice()), [(200, Vec::new())]);
        assert_eq!(caller.details(conn).is_some(), conn == conns[1]);
        caller.close(conn);
    }
    drive(&mut caller, &mut events, &clock, |wire, _| wire.connections() == 0);
    assert_eq!(wire.tls_metrics().handshakes_full, 1);
}
