//! A consumer that takes nothing gets the same bytes again with what follows, until the bound closes the connection.

use std::io::Write;

use crate::support::{Clock, Recorder, connect, drive, wire};
use net::wire::{CloseReason, ListenOptions, WireConfig};

#[test]
fn the_bound_closes() {
    let config = WireConfig { input_bytes_max: 10_000, ..WireConfig::default() };
    let (mut wire, address) = wire(config, &ListenOptions::default());
    let (mut events, clock) = (Recorder { hoard: true, ..Recorder::default() }, Clock::new());
    let mut client = connect(address);
    client.write_all(&[1; 9_999]).unwrap();
    drive(&mut wire, &mut events, &clock, |wire, _| net::wire::Wire::metrics(wire).bytes_in == 9_999);
    assert!(events.closed.is_empty());
    client.write_all(&[1]).unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| !events.closed.is_empty());
    assert_eq!(events.closed, [(events.accepted[0], CloseReason::InputOverflow)]);
}
