//! Hundreds of clients that send or read a byte a second, or cut answers in the middle: each is ended in time, what it made
//! the server hold is bounded and given back, and others are answered as ever.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{SECOND_NS, TestServer, reset_on_close, statuses};
use net::http::Limits;
use net::wire::{CloseReason, ListenOptions, WireConfig};

const SLOW: usize = 150;
/// A request whose answer is as large as a body may be.
const LARGE_BYTES: usize = 60 << 10;

fn large_request() -> Vec<u8> {
    let mut request =
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE_BYTES}\r\n\r\n").into_bytes();
    request.resize(request.len() + LARGE_BYTES, b'x');
    request
}

fn is_served(socket: &mut TcpStream) {
    socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = [0; 1024];
    let count = socket.read(&mut answer).unwrap();
    assert_eq!(statuses(&answer[..count]), [200]);
}

/// A small send buffer, so that a slow reader is one after a few kilobytes.
fn server() -> TestServer {
    let options = ListenOptions {
        send_buffer_bytes: Some(8 << 10),
        receive_buffer_bytes: Some(256 << 10),
        ..ListenOptions::default()
    };
    TestServer::with(WireConfig::default(), options, Limits::default())
}

#[test]
fn a_byte_a_second_in_either_direction() {
    let server = server();
    let mut other = server.connect();
    is_served(&mut other);
    let mut senders: Vec<_> = (0..SLOW).map(|_| server.connect()).collect();
    let mut readers: Vec<_> = (0..SLOW).map(|_| server.connect()).collect();
    for reader in &mut readers {
        // More than its own receive buffer and the server's send buffer hold together.
        for _ in 0..12 {
            let _ended_meanwhile = reader.write_all(&large_request());
        }
    }
    let request = b"GET /a-request-that-takes-long HTTP/1.1\r\nHost: x\r\n\r\n";
    for second in 0..16 {
        for sender in &mut senders {
            let _ended_meanwhile = sender.write_all(&request[second..=second]);
        }
        for reader in &mut readers {
            let _ended_meanwhile = reader.read(&mut [0; 1]);
        }
        is_served(&mut other);
        server.advance(SECOND_NS);
    }
    let metrics = server.wait_until(|_, connections| connections == 1);
    assert_eq!(metrics.closed_for(CloseReason::SlowRequest), SLOW as u64);
    assert_eq!(metrics.closed_for(CloseReason::SlowReader), SLOW as u64);
    is_served(&mut other);
}

#[test]
fn answers_cut_in_the_middle() {
    let server = server();
    let mut other = server.connect();
    is_served(&mut other);
    for round in 0..SLOW as u64 {
        let mut socket = server.connect();
        socket.write_all(&large_request()).unwrap();
        socket.write_all(&large_request()).unwrap();
        let mut start = [0; 512];
        socket.read_exact(&mut start).unwrap();
        reset_on_close(&socket);
        drop(socket);
        is_served(&mut other);
        server.wait_until(|metrics, connections| metrics.accepted == round + 2 && connections == 1);
    }
}
