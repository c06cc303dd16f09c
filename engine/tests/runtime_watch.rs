//! A watched descriptor: level-triggered, never read, never closed, and nothing is left of a watch that ended or that was
//! given up. One test, for it counts the process's descriptors.
#![cfg(feature = "shard")]

use std::os::fd::RawFd;

use engine::seam::{Nanos, Runtime, Watch};
use engine::shard::runtime::{ExecutorOptions, GlommioRuntime, run_pinned};
use futures_lite::future::{or, poll_once};
use ringbuf::{Doorbell, Ringer, doorbell};

const WAITS: usize = 100_000;
const GIVEN_UP: usize = 20_000;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux has /proc").count()
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc");
    text.split(' ').nth(1).expect("the second field").parse::<usize>().expect("a number of pages") * 4096
}

/// Waits for `fd` by a watch of its own.
async fn wait(runtime: &GlommioRuntime, fd: RawFd) {
    runtime.watch(fd).ready().await;
}

fn rung() -> (Doorbell, Ringer) {
    let (bell, ringer) = doorbell().expect("there are descriptors");
    bell.announce();
    ringer.ring();
    (bell, ringer)
}

#[test]
fn a_watch_waits_and_leaves_nothing_behind() {
    let body = |runtime: GlommioRuntime| async move {
        let (bell, ringer) = rung();
        // Level-triggered: at once, as often as one asks, and the eventfd still holds its count.
        let mut kept = runtime.watch(bell.fd());
        for _ in 0..3 {
            kept.ready().await;
            wait(&runtime, bell.fd()).await;
        }
        // Not readable: waits, and the same watch goes on after it was given up in between.
        bell.drain();
        let mut again = runtime.watch(bell.fd());
        for _ in 0..3 {
            assert_eq!(poll_once(again.ready()).await, None);
            let timeout = async {
                runtime.sleep(Nanos::from_millis(2)).await;
                false
            };
            let ready = async {
                again.ready().await;
                true
            };
            assert!(!or(ready, timeout).await, "nobody rang");
        }
        bell.announce();
        let bell_ringer = ringer.clone();
        let other = std::thread::spawn(move || bell_ringer.ring());
        again.ready().await;
        other.join().expect("the ringer does not panic");

        // Warm up what grows to its size once, then count.
        let (silent, _silent_ringer) = doorbell().expect("there are descriptors");
        let mut before = (0, 0);
        for round in 0..2 {
            let (waits, given_up) = if round == 0 { (2_000, 2_000) } else { (WAITS, GIVEN_UP) };
            before = if round == 0 { before } else { (descriptors(), resident_bytes()) };
            for _ in 0..waits {
                wait(&runtime, bell.fd()).await;
            }
            for i in 0..given_up {
                let mut watch = runtime.watch(silent.fd());
                assert_eq!(poll_once(watch.ready()).await, None);
                // Half of them have reached the kernel by then.
                if i % 2 == 0 {
                    runtime.turn().await;
                }
            }
            // The kernel answers what was given up in its own time.
            for _ in 0..100 {
                runtime.turn().await;
            }
        }
        let after = (descriptors(), resident_bytes());
        assert_eq!(after.0, before.0, "descriptors leaked");
        let grown = after.1.saturating_sub(before.1);
        assert!(grown < 4 << 20, "{grown} bytes more after {WAITS} waits and {GIVEN_UP} that were given up");

        // Never closed: both bells still work.
        for bell in [&bell, &silent] {
            bell.drain();
            assert_eq!(poll_once(runtime.watch(bell.fd()).ready()).await, None);
        }
    };
    let options = ExecutorOptions { name: "watch-test".to_owned(), ..ExecutorOptions::default() };
    run_pinned(options, body).expect("an executor starts").join().expect("its body does not panic");
}
