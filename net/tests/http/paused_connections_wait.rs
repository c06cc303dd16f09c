//! A paused connection delivers nothing and holds a bounded amount; resumed, it loses nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use crate::support::{Clock, Recorder, connect, drive, wire};
use net::wire::{ListenOptions, Wire, WireConfig};

#[test]
fn backpressure_reaches_the_sender_and_nothing_is_lost() {
    // Whether more arrives than the bound depends on how the threads meet: several rounds, so that it shows.
    (0..8).for_each(|_| flood());
}

fn flood() {
    const TOTAL: usize = 16 << 20;
    let options = ListenOptions { receive_buffer_bytes: Some(64 << 10), ..ListenOptions::default() };
    let config = WireConfig::default();
    let (mut wire, address) = wire(config, &options);
    let (mut events, clock) = (Recorder { pause: true, ..Recorder::default() }, Clock::new());
    let text: Vec<u8> = (0..TOTAL).map(|n| u8::try_from(n % 249).unwrap()).collect();
    let mut client = connect(address);
    let sender = std::thread::spawn({
        let text = text.clone();
        move || {
            client.write_all(&text).unwrap();
            client
        }
    });
    drive(&mut wire, &mut events, &clock, |_, events| !events.input.is_empty());
    let conn = events.accepted[0];
    let delivered = events.bytes(conn);
    // Nothing more is delivered, and what is taken in meanwhile stays within the receive buffers.
    let bound = u64::from(config.receive_buffers) * u64::from(config.receive_buffer_bytes);
    for _ in 0..50 {
        wire.poll(clock.now_ns(), &mut events).unwrap();
        crate::support::readable(wire.descriptor(), 1);
    }
    assert_eq!(events.bytes(conn), delivered);
    assert!(wire.metrics().bytes_in - delivered as u64 <= bound);
    assert!(!sender.is_finished(), "the sender is held back");
    // Resumed and paused again at each delivery, it advances batch by batch.
    drive(&mut wire, &mut events, &clock, |wire, events| {
        assert!(wire.metrics().bytes_in - events.bytes(conn) as u64 <= bound);
        wire.resume(conn);
        events.bytes(conn) == TOTAL
    });
    assert!(events.input[&conn] == text);
    drop(sender.join().unwrap());
}

#[test]
fn what_trickles_in_is_kept_for_later() {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, clock) = (Recorder { pause: true, ..Recorder::default() }, Clock::new());
    let mut client = connect(address);
    client.write_all(b"0").unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| !events.input.is_empty());
    let conn = events.accepted[0];
    client.write_all(b"1").unwrap();
    drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().bytes_in == 2);
    // Taking that byte ended the receive: what follows stays with the kernel, and so with the sender.
    client.write_all(b"2").unwrap();
    for _ in 0..20 {
        wire.poll(clock.now_ns(), &mut events).unwrap();
        crate::support::readable(wire.descriptor(), 1);
    }
    assert_eq!((events.bytes(conn), wire.metrics().bytes_in), (1, 2));
    events.pause = false;
    wire.resume(conn);
    drive(&mut wire, &mut events, &clock, |_, events| events.bytes(conn) == 3);
    assert_eq!(events.input[&conn], b"012");
}
