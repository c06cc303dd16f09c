//! One encoding serves all receivers of a broadcast, in order with what each is sent besides.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read;
use std::rc::Rc;

use crate::support::{Clock, Recorder, connect, drive, wire};
use net::wire::{CloseReason, ListenOptions, SendError, Wire, WireConfig};

#[test]
fn shared_and_own_bytes_keep_their_order() {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let mut socket = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 1);
    let conn = events.accepted[0];
    let mut expected = Vec::new();
    for round in 0..300_u32 {
        let shared: Rc<[u8]> = format!("shared {round};").into_bytes().into();
        for _ in 0..round % 4 {
            wire.send_shared(conn, &shared).unwrap();
            expected.extend_from_slice(&shared);
        }
        if round % 5 == 0 {
            let own = format!("own {round};");
            wire.send(conn, own.as_bytes()).unwrap();
            expected.extend_from_slice(own.as_bytes());
        }
        if round % 7 == 0 {
            wire.poll(clock.now_ns(), &mut events).unwrap();
        }
    }
    drive(&mut wire, &mut events, &clock, |wire, _| wire.queued_bytes(conn) == 0);
    let mut got = vec![0; expected.len()];
    socket.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
    wire.close(conn);
    drive(&mut wire, &mut events, &clock, |_, events| !events.closed.is_empty());
    assert_eq!(events.endings[0].handed_bytes, expected.len() as u64);
}

#[test]
fn what_waits_for_a_slow_reader_is_one_copy_for_all_and_bounded() {
    let config = WireConfig { output_bytes_max: 64 << 10, ..WireConfig::default() };
    let options = ListenOptions { send_buffer_bytes: Some(4096), ..ListenOptions::default() };
    let (mut wire, address) = wire(config, &options);
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let _sockets = [connect(address), connect(address)];
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 2);
    let shared: Rc<[u8]> = vec![7; 32 << 10].into();
    let overflow = loop {
        let results: Vec<_> = events.accepted.iter().map(|&conn| wire.send_shared(conn, &shared)).collect();
        wire.poll(clock.now_ns(), &mut events).unwrap();
        if results.iter().any(Result::is_err) {
            break results;
        }
        assert!(Rc::strong_count(&shared) <= 1 + 2 * 4, "no more than the bound holds");
    };
    assert!(overflow.contains(&Err(SendError::Overflow)));
    drive(&mut wire, &mut events, &clock, |_, events| !events.closed.is_empty());
    assert_eq!(events.closed[0].1, CloseReason::SlowReader);
    drop(wire);
    assert_eq!(Rc::strong_count(&shared), 1, "nothing keeps the bytes after the connections");
}
