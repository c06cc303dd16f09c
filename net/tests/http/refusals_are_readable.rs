//! A client that is refused while it still sends can read why: the connection is not reset under the answer.

use std::io::{Read, Write};

use crate::support::{TestServer, statuses};
use net::http::Limits;
use net::wire::{ListenOptions, WireConfig};

#[test]
fn a_body_that_is_too_large_gets_its_413() {
    let limits = Limits { body_bytes_max: 1000, ..Limits::default() };
    let server = TestServer::with(WireConfig::default(), ListenOptions::default(), limits);
    for _ in 0..20 {
        let mut socket = server.connect();
        socket.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n").unwrap();
        for _ in 0..30 {
            socket.write_all(&[b'x'; 10_000]).unwrap();
        }
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(statuses(&answer), [413]);
    }
    server.wait_until(|metrics, connections| metrics.accepted == 20 && connections == 0);
}

#[test]
fn a_client_that_never_ends_is_closed_after_the_linger() {
    let server = TestServer::start();
    let mut socket = server.connect();
    socket.write_all(b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(statuses(&answer), [501]);
    server.wait_until(|metrics, connections| metrics.closed.iter().sum::<u64>() == 1 && connections == 1);
    server.advance(WireConfig::default().linger_ns + crate::support::SECOND_NS);
    server.wait_until(|_, connections| connections == 0);
}
