//! The id of a closed connection never reaches the next one in its slot.

use std::io::{Read, Write};

use crate::support::{Clock, Recorder, connect, drive, wire};
use net::wire::{ListenOptions, SendError, Wire, WireConfig};

#[test]
fn a_slot_used_again_has_another_generation() {
    let config = WireConfig { connections_max: 1, ..WireConfig::default() };
    let (mut wire, address) = wire(config, &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    for round in 0..20 {
        let mut client = connect(address);
        drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == round + 1);
        let conn = events.accepted[round];
        assert_eq!(conn.index(), 0);
        for &old in &events.accepted[..round] {
            assert_ne!(old, conn);
            assert_eq!(wire.send(old, b"for another"), Err(SendError::Gone));
            assert!(wire.output(old).is_none());
            assert_eq!(wire.queued_bytes(old), 0);
            wire.pause(old);
            wire.resume(old);
            wire.close(old);
            wire.abort(old);
        }
        client.write_all(b"ping").unwrap();
        drive(&mut wire, &mut events, &clock, |_, events| events.bytes(conn) == 4);
        wire.send(conn, b"pong").unwrap();
        wire.close(conn);
        assert_eq!(wire.send(conn, b"late"), Err(SendError::Gone));
        drive(&mut wire, &mut events, &clock, |_, events| events.closed.len() == round + 1);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"pong");
        drop(client);
        drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 0);
    }
    assert!(wire.metrics().refused_full == 0);
}
