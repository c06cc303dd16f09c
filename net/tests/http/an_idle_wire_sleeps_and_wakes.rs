//! Without work the descriptor is quiet; a connection or a byte makes it readable, without any call in between.

use std::io::Write;
use std::time::Instant;

use crate::support::{Clock, PATIENCE, Recorder, connect, drive, readable, wire};
use net::wire::{ListenOptions, Wire, WireConfig};

#[test]
fn the_descriptor_wakes_whoever_waits() {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let patience_ms = i32::try_from(PATIENCE.as_millis()).unwrap();
    // poll(2) looks again when its time is over, and would then find what it was not woken for.
    let woken = |descriptor| {
        let start = Instant::now();
        readable(descriptor, patience_ms) && start.elapsed() < PATIENCE
    };
    drive(&mut wire, &mut events, &clock, |wire, _| !wire.has_work());
    assert!(!readable(wire.descriptor(), 0));
    // The other side acts while this thread already sleeps on the descriptor.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let acting = std::thread::spawn(move || {
        let mut client = connect(address);
        for _ in 0..100 {
            wait.recv().unwrap();
            // Long enough that the other thread has gone to sleep most times; correct in either case.
            std::thread::sleep(std::time::Duration::from_millis(1));
            client.write_all(b"x").unwrap();
        }
        client
    });
    assert!(woken(wire.descriptor()), "a connection wakes");
    drive(&mut wire, &mut events, &clock, |wire, events| !events.accepted.is_empty() && !wire.has_work());
    for round in 0..100 {
        assert!(!readable(wire.descriptor(), 0));
        go.send(()).unwrap();
        assert!(woken(wire.descriptor()), "byte {round} wakes");
        drive(&mut wire, &mut events, &clock, |wire, events| {
            events.bytes(events.accepted[0]) == round + 1 && !wire.has_work()
        });
    }
    drop(acting.join().unwrap());
}

#[test]
fn a_wait_ends_with_what_arrives_or_with_its_time() {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    wire.poll(clock.now_ns(), &mut events).unwrap();
    wire.wait(std::time::Duration::from_millis(1)).unwrap();
    assert!(!wire.has_work(), "nothing came");
    let mut socket = connect(address);
    // Each wait is far longer than the test may take: only an arrival ends it.
    let long = std::time::Duration::from_secs(3600);
    while events.accepted.is_empty() {
        wire.wait(long).unwrap();
        wire.poll(clock.now_ns(), &mut events).unwrap();
    }
    std::io::Write::write_all(&mut socket, b"bytes").unwrap();
    while events.bytes(events.accepted[0]) < 5 {
        wire.wait(long).unwrap();
        wire.poll(clock.now_ns(), &mut events).unwrap();
    }
}
