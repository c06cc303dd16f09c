//! Connections that come and go by the thousands, in every way a peer can go, leave no descriptor and no memory behind, and
//! a client that stays is served throughout.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};

use net::wire::uring::UringWire;
use net::wire::{Wire, WireConfig};
use support::{Clock, Recorder, TestServer, drive, statuses};

const AT_ONCE: usize = 500;
const ROUNDS: usize = 40;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn opened_and_dropped() {
    let server = TestServer::start();
    server.wait_until(|metrics, _| metrics.enters > 0);
    let mut staying = server.connect();
    server.wait_until(|metrics, _| metrics.accepted == 1);
    let before = descriptors();
    let mut resident_after_warm_up = 0;
    for round in 0..ROUNDS {
        let mut wire = UringWire::with_listeners(Vec::new(), WireConfig::default()).unwrap();
        let (mut events, clock) = (Recorder::default(), Clock::new());
        // Source addresses of their own, or the ports that wait after a close would run out.
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(round % 16).unwrap() + 1));
        let conns: Vec<_> = (0..AT_ONCE).map(|_| wire.connect(server.address, Some(from)).unwrap()).collect();
        drive(&mut wire, &mut events, &clock, |_, events| events.connected.len() == AT_ONCE);
        for (place, &conn) in conns.iter().enumerate() {
            match place % 5 {
                // Gone before it said anything, in the middle of a request, before its answer, after it.
                0 => wire.abort(conn),
                1 => wire.close(conn),
                2 => wire.send(conn, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhal").unwrap(),
                3 => wire.send(conn, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap(),
                _ => wire.send(conn, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap(),
            }
        }
        let answered =
            |events: &Recorder| conns.iter().skip(4).step_by(5).all(|&conn| events.bytes(conn) > 0);
        drive(&mut wire, &mut events, &clock, |_, events| answered(events));
        drop(wire);
        staying.write_all(b"GET /staying HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        let count = loop {
            // A ring that was just dropped interrupts its thread's next call.
            match staying.read(&mut answer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result.unwrap(),
            }
        };
        assert_eq!(statuses(&answer[..count]), [200]);
        let done = (round + 1) * AT_ONCE + 1;
        server.wait_until(|metrics, connections| metrics.accepted == done as u64 && connections == 1);
        if round == 4 {
            resident_after_warm_up = resident_bytes();
        }
    }
    assert_eq!(descriptors(), before);
    let grown = resident_bytes().saturating_sub(resident_after_warm_up);
    // 17,500 connections since: a kilobyte each would be 17 MB.
    assert!(grown < 8 << 20, "{grown} bytes more than after the first 2,500 connections");
}
