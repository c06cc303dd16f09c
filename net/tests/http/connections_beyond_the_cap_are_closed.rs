//! One connection more than the cap is closed at once and counted; when one leaves, the next is served.

use std::io::{Read, Write};

use crate::support::TestServer;
use net::http::Limits;
use net::wire::{ListenOptions, WireConfig};

#[test]
fn the_cap_holds_and_recovers() {
    let config = WireConfig { connections_max: 8, ..WireConfig::default() };
    let server = TestServer::with(config, ListenOptions::default(), Limits::default());
    let mut served: Vec<_> = (0..8).map(|_| server.connect()).collect();
    server.wait_until(|metrics, connections| metrics.accepted == 8 && connections == 8);
    for refused in 1..=20 {
        let mut excess = server.connect();
        assert!(matches!(excess.read(&mut [0; 16]), Ok(0) | Err(_)));
        server.wait_until(|metrics, connections| metrics.refused_full == refused && connections == 8);
    }
    for socket in &mut served {
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(socket.read(&mut [0; 1024]).unwrap() > 0, "those who came in time are served");
    }
    drop(served.pop());
    server.wait_until(|_, connections| connections == 7);
    let mut next = server.connect();
    next.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(next.read(&mut [0; 1024]).unwrap() > 0);
}
