//! Dropping a wire while the kernel still receives and sends ends all connections and frees everything.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};

use net::wire::{ListenOptions, Wire, WireConfig};
use support::{Clock, Recorder, connect, drive, wire};

fn count(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

fn mapped_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn thirty_times() {
    let config = WireConfig { output_bytes_max: 64 << 20, ..WireConfig::default() };
    let mut mapped = Vec::new();
    let descriptors = count("/proc/self/fd");
    for _ in 0..30 {
        let options = ListenOptions { send_buffer_bytes: Some(4096), ..ListenOptions::default() };
        let (mut wire, address) = wire(config, &options);
        let (mut events, clock) = (Recorder::default(), Clock::new());
        let mut clients: Vec<_> = (0..8).map(|_| connect(address)).collect();
        drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 8);
        for &conn in &events.accepted {
            wire.send(conn, &vec![5; 8 << 20]).unwrap();
        }
        drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().bytes_out > 0);
        for client in &mut clients {
            client.write_all(b"unread").unwrap();
        }
        assert!(events.accepted.iter().all(|&conn| wire.queued_bytes(conn) > 0), "sends are under way");
        drop(wire);
        // The last reference to each socket is gone with the ring: nothing holds the connections open.
        for client in &mut clients {
            let _ended_by_close_or_reset = client.read_to_end(&mut Vec::new());
        }
        drop(clients);
        assert_eq!(count("/proc/self/fd"), descriptors);
        mapped.push(mapped_bytes());
    }
    let (early, late) = (mapped[5], mapped[29]);
    assert!(late < early + (40 << 20), "memory of a dropped wire stays: {early} then {late}");
}
