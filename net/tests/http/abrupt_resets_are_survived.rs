//! Peers that reset in the middle of a request or an answer are counted and forgotten.

use std::io::{Read, Write};

use crate::support::{Clock, Recorder, TestServer, connect, drive, reset_on_close, wire};
use net::wire::{CloseReason, ListenOptions, Wire, WireConfig};

#[test]
fn in_the_middle_of_a_request() {
    let server = TestServer::start();
    for round in 1..=50 {
        let mut socket = server.connect();
        socket.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
        server.wait_until(|metrics, _| metrics.accepted == round);
        reset_on_close(&socket);
        drop(socket);
        server.wait_until(|metrics, connections| {
            metrics.closed_for(CloseReason::PeerReset) == round && connections == 0
        });
    }
    let mut socket = server.connect();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(socket.read(&mut [0; 1024]).unwrap() > 0);
}

#[test]
fn in_the_middle_of_an_answer() {
    let config = WireConfig { output_bytes_max: 64 << 20, ..WireConfig::default() };
    let (mut wire, address) = wire(config, &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let client = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| !events.accepted.is_empty());
    let conn = events.accepted[0];
    wire.send(conn, &vec![3; 32 << 20]).unwrap();
    drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().bytes_out > 0);
    reset_on_close(&client);
    drop(client);
    drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 0);
    assert_eq!(events.closed, [(conn, CloseReason::PeerReset)]);
}
