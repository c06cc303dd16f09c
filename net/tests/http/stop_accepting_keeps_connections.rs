//! After `stop_accepting` the port is free, and connections that are there are still served.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Clock, Recorder, connect, drive, wire};
use net::wire::{ListenOptions, Wire, WireConfig, listen};

#[test]
fn the_port_is_released_and_the_rest_served() {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let (mut events, clock) = (Recorder::default(), Clock::new());
    let mut client = connect(address);
    drive(&mut wire, &mut events, &clock, |_, events| !events.accepted.is_empty());
    wire.stop_accepting();
    drive(&mut wire, &mut events, &clock, |_, _| TcpStream::connect(address).is_err());
    let exclusive = ListenOptions { reuse_port: false, ..ListenOptions::default() };
    listen(address, &exclusive).expect("the port is free again");
    let conn = events.accepted[0];
    client.write_all(b"ping").unwrap();
    drive(&mut wire, &mut events, &clock, |_, events| events.bytes(conn) == 4);
    wire.send(conn, b"pong").unwrap();
    drive(&mut wire, &mut events, &clock, |wire, _| wire.queued_bytes(conn) == 0);
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"pong");
}
