//! A peer that does not read costs a bounded amount of memory and is closed, by size or by time.

use std::io::Read;

use crate::support::{Clock, Recorder, SECOND_NS, connect, drive, wire};
use net::wire::{CloseReason, ListenOptions, SendError, Wire, WireConfig};

#[test]
fn when_the_output_buffer_is_full() {
    let config = WireConfig { output_bytes_max: 64 << 10, ..WireConfig::default() };
    let options = ListenOptions { send_buffer_bytes: Some(4096), ..ListenOptions::default() };
    let (mut wire, address) = wire(config, &options);
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let mut client = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| !events.accepted.is_empty());
    let conn = events.accepted[0];
    let piece = [7; 8192];
    let mut refusal = None;
    // The kernel's own buffers are full after some megabytes at most.
    for _ in 0..10_000 {
        if let Err(error) = wire.send(conn, &piece) {
            refusal = Some(error);
            break;
        }
        assert!(wire.queued_bytes(conn) <= config.output_bytes_max);
        wire.poll(clock.now_ns(), &mut events).unwrap();
    }
    assert_eq!(refusal, Some(SendError::Overflow));
    assert_eq!(wire.send(conn, &piece), Err(SendError::Gone));
    drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 0);
    assert_eq!(events.closed, [(conn, CloseReason::SlowReader)]);
    assert!(client.read_to_end(&mut Vec::new()).is_err(), "a cut answer must not look like a whole one");
}

#[test]
fn when_the_bound_is_passed_through_the_buffer_itself() {
    let config = WireConfig { output_bytes_max: 1000, ..WireConfig::default() };
    let (mut wire, address) = wire(config, &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let _client = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| !events.accepted.is_empty());
    let conn = events.accepted[0];
    wire.output(conn).unwrap().resize(1001, 0);
    drive(&mut wire, &mut events, &clock, |_, events| !events.closed.is_empty());
    assert_eq!(events.closed, [(conn, CloseReason::SlowReader)]);
}

#[test]
fn when_nothing_moves_for_too_long() {
    let options = ListenOptions { send_buffer_bytes: Some(4096), ..ListenOptions::default() };
    let config = WireConfig { send_ns: 5 * SECOND_NS, output_bytes_max: 64 << 20, ..WireConfig::default() };
    let (mut wire, address) = wire(config, &options);
    let (mut events, mut clock) = (Recorder::default(), Clock::new());
    let _client = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| !events.accepted.is_empty());
    let conn = events.accepted[0];
    wire.send(conn, &vec![1; 32 << 20]).unwrap();
    drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().bytes_out > 0);
    assert!(events.closed.is_empty());
    clock.skew_ns += 6 * SECOND_NS;
    let mut last = 0;
    drive(&mut wire, &mut events, &clock, |wire, events| {
        // While the kernel's buffers still take something, that is progress and the time starts anew.
        let sent = wire.metrics().bytes_out;
        if sent == last {
            true
        } else {
            last = sent;
            !events.closed.is_empty()
        }
    });
    clock.skew_ns += 6 * SECOND_NS;
    drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 0);
    assert_eq!(events.closed, [(conn, CloseReason::SlowReader)]);
}
