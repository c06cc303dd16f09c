//! A peer that ends its direction still gets its answers, and then the connection ends.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::support::{Clock, Recorder, TestServer, connect, drive, statuses, wire};
use net::wire::{CloseReason, ListenOptions, Wire, WireConfig};

#[test]
fn answers_follow_the_end() {
    let server = TestServer::start();
    let mut socket = server.connect();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).unwrap();
    assert_eq!(statuses(&answers), [200, 200]);
    server.wait_until(|metrics, connections| metrics.closed_for(CloseReason::Local) == 1 && connections == 0);
}

#[test]
fn a_consumer_may_answer_long_after_the_end() {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let mut client = connect(address);
    client.write_all(b"ask").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| !events.ended.is_empty());
    let conn = events.accepted[0];
    assert_eq!(events.input[&conn], b"ask");
    for _ in 0..10 {
        wire.poll(clock.now_ns(), &mut events).unwrap();
    }
    assert_eq!(events.ended, [conn], "the end is told once");
    wire.send(conn, b"answer").unwrap();
    wire.close(conn);
    drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 0);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert_eq!(events.closed, [(conn, CloseReason::Local)]);
}

#[test]
fn the_end_is_told_after_a_pause() {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, clock) = (Recorder { pause: true, ..Recorder::default() }, Clock::new());
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| !events.input.is_empty());
    client.write_all(b"two").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let conn = events.accepted[0];
    drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().bytes_in == 6);
    assert_eq!(events.input[&conn], b"one");
    events.pause = false;
    wire.resume(conn);
    drive(&mut wire, &mut events, &clock, |_, events| !events.ended.is_empty());
    assert_eq!(events.input[&conn], b"onetwo");
}
