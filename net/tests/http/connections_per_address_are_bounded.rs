//! One address cannot take all places: one connection more than it may have is closed at once, and others are served.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};

use crate::support::{Clock, Recorder, connect, drive, wire};
use net::wire::uring::UringWire;
use net::wire::{ListenOptions, Wire, WireConfig};

#[test]
fn the_maximum_is_kept_and_given_back() {
    let config = WireConfig {
        connections_per_address_max: Some(2),
        loopback_is_exempt: false,
        ..WireConfig::default()
    };
    let (mut wire, address) = wire(config, &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let kept = [connect(address), connect(address)];
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 2);
    let mut third = connect(address);
    drive(&mut wire, &mut events, &clock, |wire, _| wire.metrics().refused_address == 1);
    assert_eq!(third.read(&mut [0; 1]).unwrap(), 0, "closed at once, without an event");
    assert_eq!((events.accepted.len(), wire.connections()), (2, 2));

    // Another address has places of its own.
    let mut other = UringWire::with_listeners(Vec::new(), WireConfig::default()).unwrap();
    let mut theirs = Recorder::default();
    other.connect(address, Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)))).unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| {
        other.poll(clock.now_ns(), &mut theirs).unwrap();
        events.accepted.len() == 3
    });

    drop(kept);
    drive(&mut wire, &mut events, &clock, |_, events| events.ended.len() == 2);
    for conn in events.ended.clone() {
        wire.close(conn);
    }
    drive(&mut wire, &mut events, &clock, |wire, _| wire.connections() == 1);
    let _again = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 4);
}

#[test]
fn this_machines_own_proxy_is_exempt() {
    let config = WireConfig { connections_per_address_max: Some(1), ..WireConfig::default() };
    let (mut wire, address) = wire(config, &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let _sockets = [connect(address), connect(address), connect(address)];
    drive(&mut wire, &mut events, &clock, |_, events| events.accepted.len() == 3);
}
