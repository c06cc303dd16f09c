//! Thousands of short connections from several threads leave nothing behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};

use support::{TestServer, connect, statuses};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn every_connection_is_served_and_every_descriptor_comes_back() {
    const THREADS: u64 = 4;
    const EACH: u64 = 500;
    let server = TestServer::start();
    server.wait_until(|metrics, _| metrics.enters > 0);
    let before = descriptors();
    let address = server.address;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            std::thread::spawn(move || {
                for round in 0..EACH {
                    let mut socket = connect(address);
                    match (thread + round) % 4 {
                        // Gone before it said anything, in the middle of a request, or before its answer.
                        0 => {}
                        1 => socket.write_all(b"GET / HT").unwrap(),
                        2 => socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap(),
                        _ => {
                            socket
                                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                                .unwrap();
                            let mut answer = Vec::new();
                            socket.read_to_end(&mut answer).unwrap();
                            assert_eq!(statuses(&answer), [200]);
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let metrics = server.wait_until(|metrics, connections| {
        metrics.closed.iter().sum::<u64>() == THREADS * EACH && connections == 0
    });
    assert_eq!(metrics.accepted, THREADS * EACH);
    assert_eq!(metrics.refused_full, 0);
    assert_eq!(descriptors(), before);
}
