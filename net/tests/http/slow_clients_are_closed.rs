//! A started request must be complete in time, an idle connection ends, and neither disturbs others.

use std::io::{Read, Write};

use crate::support::{SECOND_NS, TestServer};
use net::http::Limits;
use net::wire::{CloseReason, ListenOptions, WireConfig};

fn server() -> TestServer {
    let config = WireConfig { request_ns: 10 * SECOND_NS, idle_ns: 60 * SECOND_NS, ..WireConfig::default() };
    TestServer::with(config, ListenOptions::default(), Limits::default())
}

#[test]
fn a_request_that_trickles() {
    let server = server();
    let mut slow = server.connect();
    let mut quiet = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let before = server.wait_until(|metrics, _| metrics.accepted == 2 && metrics.bytes_in == 16);
    // Each byte is activity, but the request's own time runs from its first.
    for second in 0..9 {
        server.advance(SECOND_NS);
        slow.write_all(b"X").unwrap();
        server.wait_until(|metrics, _| metrics.bytes_in == before.bytes_in + second + 1);
    }
    assert_eq!(server.wait_until(|_, _| true).closed, [0; CloseReason::ALL.len()]);
    server.advance(2 * SECOND_NS);
    server.wait_until(|metrics, _| metrics.closed_for(CloseReason::SlowRequest) == 1);
    assert!(matches!(slow.read(&mut [0; 16]), Ok(0) | Err(_)));
    quiet.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(quiet.read(&mut [0; 1024]).unwrap() > 0);
}

#[test]
fn an_idle_connection() {
    let server = server();
    let mut idle = server.connect();
    let mut busy = server.connect();
    server.wait_until(|metrics, _| metrics.accepted == 2);
    for _ in 0..2 {
        server.advance(35 * SECOND_NS);
        busy.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(busy.read(&mut [0; 1024]).unwrap() > 0);
    }
    server.wait_until(|metrics, connections| metrics.closed_for(CloseReason::Idle) == 1 && connections == 1);
    assert_eq!(idle.read(&mut [0; 16]).unwrap(), 0);
}
