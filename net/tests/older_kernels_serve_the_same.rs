//! With the operations of Linux 5.8 alone, everything works as with those of 6.0.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;

use net::http::Limits;
use net::wire::{CloseReason, ListenOptions, Wire, WireConfig};
use support::{Clock, PATIENCE, Recorder, SECOND_NS, TestServer, connect, drive, reset_on_close, wire};

fn single_shot() -> WireConfig {
    WireConfig { single_shot: true, ..WireConfig::default() }
}

#[test]
fn requests_are_answered_over_many_connections() {
    let server = TestServer::with(single_shot(), ListenOptions::default(), Limits::default());
    let mut sockets: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for round in 0..5 {
        for (place, socket) in sockets.iter_mut().enumerate() {
            let body = vec![b'x'; 1 + place * 97 * round];
            let head = format!("POST /{place} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
            socket.write_all(head.as_bytes()).unwrap();
            socket.write_all(&body).unwrap();
        }
        for (place, socket) in sockets.iter_mut().enumerate() {
            let answer = read_answer(socket);
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            assert!(answer.ends_with(&vec![b'x'; 1 + place * 97 * round]));
        }
    }
    drop(sockets);
    server.wait_until(|_, connections| connections == 0);
}

fn read_answer(socket: &mut std::net::TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 65536];
    loop {
        let count = socket.read(&mut piece).unwrap();
        assert!(count > 0, "the answer is whole");
        answer.extend_from_slice(&piece[..count]);
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).unwrap();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        if answer.len() == head + 4 + length {
            return answer;
        }
    }
}

#[test]
fn ends_resets_and_time_outs_are_seen() {
    let (mut wire, address) = wire(single_shot(), &ListenOptions::default());
    let (mut events, mut clock) = (Recorder::default(), Clock::new());
    let half_closed = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 1);
    half_closed.shutdown(Shutdown::Write).unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| events.ended.len() == 1);
    wire.send(events.accepted[0], b"still writable").unwrap();
    wire.close(events.accepted[0]);
    let mut rest = Vec::new();
    drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 0);
    (&half_closed).read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"still writable");

    let reset = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 2);
    reset_on_close(&reset);
    drop(reset);
    drive(&mut wire, &mut events, &clock, |_, events| events.closed.len() == 2);
    assert_eq!(events.closed[1].1, CloseReason::PeerReset);

    let _idle = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 3);
    clock.skew_ns += 80 * SECOND_NS;
    drive(&mut wire, &mut events, &clock, |wire, events| events.closed.len() == 3 && wire.connections() == 0);
    assert_eq!(events.closed[2].1, CloseReason::Idle);
    wire.stop_accepting();
    drive(&mut wire, &mut events, &clock, |wire, _| !wire.has_work());
}

#[test]
fn a_paused_connection_waits() {
    let (mut wire, address) = wire(single_shot(), &ListenOptions::default());
    let (mut events, clock) = (Recorder { pause: true, hoard: true, ..Recorder::default() }, Clock::new());
    let mut socket = connect(address);
    socket.write_all(b"one").unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| events.deliveries == 1);
    socket.write_all(b"two").unwrap();
    for _ in 0..10 {
        wire.poll(clock.now_ns(), &mut events).unwrap();
    }
    assert_eq!(events.deliveries, 1, "paused");
    (events.pause, events.hoard) = (false, false);
    let conn = events.accepted[0];
    wire.resume(conn);
    drive(&mut wire, &mut events, &clock, |_, events| {
        events.input.get(&conn).is_some_and(|bytes| bytes == b"onetwo")
    });
}
