//! Several wires listen on one address, and every connection reaches exactly one of them.

use crate::support::{Clock, Recorder, any_port, connect};
use net::wire::uring::UringWire;
use net::wire::{ListenOptions, Wire, WireConfig, listen};

#[test]
fn two_wires_take_all_connections_between_them() {
    let options = ListenOptions::default();
    let first = listen(any_port(), &options).unwrap();
    let address = first.address();
    let second = listen(address, &options).unwrap();
    assert_eq!(second.address(), address);
    let mut wires = [first, second].map(|listener| UringWire::new(listener, WireConfig::default()).unwrap());
    let mut events = [Recorder::default(), Recorder::default()];
    let clock = Clock::new();
    let clients: Vec<_> = (0..200).map(|_| connect(address)).collect();
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while events.iter().map(|events| events.accepted.len()).sum::<usize>() < clients.len() {
        assert!(std::time::Instant::now() < deadline, "some connection reached nobody");
        for (wire, events) in wires.iter_mut().zip(&mut events) {
            wire.poll(clock.now_ns(), events).unwrap();
        }
    }
    // The kernel spreads by a hash of the addresses: 200 on one side only has a chance of 2 to the -199.
    assert!(events.iter().all(|events| !events.accepted.is_empty()));
}

#[test]
fn without_sharing_a_second_listener_is_refused_with_a_remedy() {
    let exclusive = ListenOptions { reuse_port: false, ..ListenOptions::default() };
    let first = listen(any_port(), &exclusive).unwrap();
    let error = listen(first.address(), &exclusive).unwrap_err();
    assert!(error.to_string().contains("another process listens there"), "{error}");
}
