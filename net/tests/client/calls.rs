//! The blocking client: reuses a connection while the server keeps it, reads every framing, and names each failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::support::TestServer;
use net::http::client::{Client, ClientError, ClientOptions};

/// A server that sends the given bytes to each connection in turn, after reading a head, and closes.
fn scripted(answers: Vec<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            for piece in answer.chunks(3) {
                socket.write_all(piece).unwrap();
            }
        }
    });
    address
}

fn client(address: SocketAddr) -> Client {
    let options = ClientOptions { body_bytes_max: 1000, ..ClientOptions::default() };
    Client::connect(address, options).unwrap()
}

#[test]
fn keeps_the_connection() {
    let server = TestServer::start();
    let mut client = client(server.address);
    for number in 0..10 {
        let body = format!("{{\"number\":{number}}}");
        let answer = client.post(&format!("/p/{number}"), "application/json", body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text()), (200, body));
        assert_eq!(answer.header("x-path"), Some(format!("/p/{number}").as_str()));
        assert_eq!(client.request("HEAD", "/h", &[], &[]).unwrap().body, b"");
    }
    assert_eq!(server.wait_until(|_, _| true).accepted, 1);
}

#[test]
fn opens_anew_when_the_server_announced_its_end() {
    let server = TestServer::start();
    let mut client = client(server.address);
    for _ in 0..3 {
        assert_eq!(client.request("GET", "/", &[("Connection", "close")], &[]).unwrap().status, 200);
    }
    server.wait_until(|metrics, _| metrics.accepted == 3);
}

#[test]
fn reads_every_framing() {
    for (answer, body) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..], "hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        assert_eq!(client(scripted(vec![answer])).get("/").unwrap().text(), body);
    }
}

#[test]
fn names_each_failure() {
    let fails = |answer: &'static [u8]| client(scripted(vec![answer])).get("/").unwrap_err();
    assert!(matches!(fails(b""), ClientError::Closed));
    assert!(matches!(fails(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), ClientError::Closed));
    assert!(matches!(
        fails(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        ClientError::Closed
    ));
    assert!(matches!(fails(b"SMTP ready\r\n\r\n"), ClientError::Malformed(_)));
    assert!(matches!(fails(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), ClientError::TooLarge(1000)));
    assert!(matches!(fails(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), ClientError::Malformed(_)));
}

#[test]
fn gives_up_after_its_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ClientOptions { transfer_timeout: Duration::from_millis(10), ..ClientOptions::default() };
    let mut client = Client::connect(silent.local_addr().unwrap(), options).unwrap();
    assert!(matches!(client.get("/").unwrap_err(), ClientError::Transfer { .. }));
}

#[test]
fn a_call_ends_in_its_time_though_a_byte_comes_now_and_then() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        // Until the client has gone: an answer that is within all limits and does not end.
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        for byte in head.iter().chain(std::iter::repeat(&b'x')) {
            if socket.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let options =
        ClientOptions { call_timeout: Some(Duration::from_millis(100)), ..ClientOptions::default() };
    let mut client = Client::connect(address, options).unwrap();
    assert!(matches!(client.get("/").unwrap_err(), ClientError::Transfer { .. }));
    server.join().unwrap();
}

#[test]
fn says_where_it_could_not_connect() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let error = Client::connect(address, ClientOptions::default()).unwrap_err();
    assert!(error.to_string().contains(&address.to_string()));
}
