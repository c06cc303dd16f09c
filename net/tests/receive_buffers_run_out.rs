//! With far too few receive buffers everything still arrives, complete and in order; the shortage is counted.

mod support;

use std::io::Write;

use net::wire::{ListenOptions, Wire, WireConfig};
use support::{Clock, Recorder, connect, drive, wire};

#[test]
fn two_buffers_for_thirty_connections() {
    const EACH: usize = 20_000;
    let config = WireConfig { receive_buffers: 2, receive_buffer_bytes: 64, ..WireConfig::default() };
    let (mut wire, address) = wire(config, &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let text: Vec<u8> = (0..EACH).map(|n| u8::try_from(n % 253).unwrap()).collect();
    let mut clients: Vec<_> = (0..30).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.write_all(&text).unwrap();
    }
    drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().bytes_in == 30 * EACH as u64);
    assert_eq!(events.accepted.len(), 30);
    assert!(events.accepted.iter().all(|conn| events.input[conn] == text));
    assert!(wire.metrics().receive_exhaustions > 0);
}
