//! A paused connection delivers nothing and holds a bounded amount; resumed, it loses nothing.

mod support;

use std::io::Write;

use net::wire::{ListenOptions, Wire, WireConfig};
use support::{Clock, Recorder, connect, drive, wire};

#[test]
fn backpressure_reaches_the_sender_and_nothing_is_lost() {
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
    for _ in 0..200 {
        wire.poll(clock.now_ns(), &mut events).unwrap();
        support::readable(wire.descriptor(), 1);
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
