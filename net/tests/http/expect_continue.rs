//! A client that waits for `100 Continue` gets it once, after the answers to what it sent before.

use std::io::{Read, Write};

use crate::support::{TestServer, raw_exchange, statuses};
use net::http::{Pipeline, ReplyMode};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn the_body_follows_the_interim_answer() {
    let server = TestServer::start();
    let mut socket = server.connect();
    for _ in 0..3 {
        socket.write_all(HEAD).unwrap();
        let mut interim = [0; CONTINUE.len()];
        socket.read_exact(&mut interim).unwrap();
        assert_eq!(interim, CONTINUE);
        socket.write_all(b"he").unwrap();
        socket.write_all(b"llo").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nhello") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert_eq!(statuses(&answer), [200]);
    }
}

#[test]
fn a_client_that_does_not_wait_gets_only_the_final_answer() {
    let server = TestServer::start();
    let answer = raw_exchange(server.address, &[HEAD, b"hello"].concat());
    assert_eq!(statuses(&answer), [200]);
}

#[test]
fn too_large_is_said_before_the_body() {
    let server = TestServer::start();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(statuses(&raw_exchange(server.address, head.as_bytes())), [413]);
}

#[test]
fn it_waits_for_earlier_answers() {
    let mut pipeline = Pipeline::new(4);
    let mut out = Vec::new();
    let earlier = pipeline.reserve(ReplyMode::default()).unwrap();
    pipeline.offer_continue(&mut out);
    pipeline.offer_continue(&mut out);
    assert!(out.is_empty());
    pipeline.complete(earlier, &mut out, |out, _| out.extend_from_slice(b"<1>"));
    pipeline.offer_continue(&mut out);
    assert_eq!(out, [b"<1>", CONTINUE].concat());
}
