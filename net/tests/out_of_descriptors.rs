//! When the process has no descriptor left, accepting pauses and goes on once there is one; nobody is lost.

mod support;

use std::fs::File;

use net::wire::{ListenOptions, Wire, WireConfig};
use support::{Clock, Recorder, SECOND_NS, connect, drive, wire};

fn limit_descriptors(count: u64) {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: 1024 };
    // SAFETY: `limit` is valid for reads during the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
fn accepting_pauses_and_goes_on() {
    limit_descriptors(64);
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, mut clock) = (Recorder::default(), Clock::new());
    let _clients: Vec<_> = (0..3).map(|_| connect(address)).collect();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().accept_failures == 1);
    assert!(events.accepted.is_empty());
    assert!(wire.next_deadline_ns().is_some(), "the loop knows when to try again");
    let enters = wire.metrics().enters;
    for _ in 0..50 {
        wire.poll(clock.now_ns().min(wire.next_deadline_ns().unwrap() - 1), &mut events).unwrap();
    }
    assert!(wire.metrics().enters <= enters + 2, "no spinning meanwhile");
    hoard.truncate(hoard.len() - 10);
    clock.skew_ns += SECOND_NS;
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 3);
    assert_eq!(wire.metrics().accept_failures, 1);
}
