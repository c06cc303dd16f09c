//! Real threads, real eventfds: parked ends pass a long stream, and the bell costs no system call unless announced.
#![cfg(not(any(loom, shuttle)))]

use std::os::fd::RawFd;
use std::thread;
use std::time::Duration;

use ringbuf::{Consumer, Doorbell, Full, Producer, Ringer, doorbell, ring};

fn readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` points at one pollfd that lives through the call.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

#[test]
fn the_bell_is_struck_only_for_who_announced() {
    let (bell, ringer) = doorbell().unwrap();
    ringer.ring();
    assert!(!readable(bell.fd()), "nobody had announced");
    bell.announce();
    ringer.ring();
    ringer.clone().ring();
    assert!(readable(bell.fd()));
    bell.park();
    bell.drain();
    assert!(!readable(bell.fd()), "drained");
    ringer.ring();
    assert!(!readable(bell.fd()), "drain ends the announcement");
    bell.announce();
    bell.cancel();
    ringer.ring();
    assert!(!readable(bell.fd()), "cancelled");
    bell.announce();
    bell.park_for(Duration::from_millis(1));
    drop(bell);
    ringer.ring();
}

/// Echoes `count` items from `rx` to `tx`, parking by `bell` when there is none.
fn echo(
    bell: &Doorbell,
    other: &Ringer,
    rx: &mut Consumer<Box<u64>>,
    tx: &mut Producer<Box<u64>>,
    count: u64,
) {
    let mut expected = 0;
    while expected < count {
        let mut back = Vec::new();
        rx.pop_batch(usize::MAX, |item| back.push(item));
        if back.is_empty() {
            bell.announce();
            if rx.is_empty() {
                bell.park();
                bell.drain();
            } else {
                bell.cancel();
            }
        }
        for item in back {
            assert_eq!(*item, expected);
            expected += 1;
            tx.push(item).expect("no more than the ring holds are under way");
        }
        other.ring();
    }
}

#[test]
fn parked_threads_pass_a_long_stream_both_ways() {
    const COUNT: u64 = 50_000;
    const WINDOW: u64 = 8;
    let ((bell_a, ring_a), (bell_b, ring_b)) = (doorbell().unwrap(), doorbell().unwrap());
    let ((mut ask, mut asked), (mut answer, mut answered)) = (ring(8), ring(8));
    let other = thread::spawn(move || echo(&bell_b, &ring_a, &mut asked, &mut answer, COUNT));
    let (mut sent, mut got) = (0, 0);
    while got < COUNT {
        while sent < COUNT && sent - got < WINDOW {
            if let Err(Full(item)) = ask.push(Box::new(sent)) {
                panic!("a window of {WINDOW} fits the ring, {item} did not");
            }
            sent += 1;
        }
        ring_b.ring();
        let n = answered.pop_batch(usize::MAX, |item| {
            assert_eq!(*item, got);
            got += 1;
        });
        if n == 0 {
            bell_a.announce();
            if answered.is_empty() {
                bell_a.park();
                bell_a.drain();
            } else {
                bell_a.cancel();
            }
        }
    }
    other.join().unwrap();
}
