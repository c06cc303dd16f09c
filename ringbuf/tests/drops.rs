//! Whatever was accepted is dropped exactly once, however the ends go.
#![cfg(not(any(loom, shuttle)))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ringbuf::{LANES, mesh, ring};

/// Runs `body` with a source of counted items; afterwards no item is alive.
fn check(body: impl FnOnce(&dyn Fn() -> Arc<()>)) {
    let root = Arc::new(());
    body(&|| Arc::clone(&root));
    // A double drop would end below one (and free the root early: AddressSanitizer sees that).
    assert_eq!(Arc::strong_count(&root), 1, "items leaked");
}

#[test]
fn items_left_behind_are_dropped_with_the_last_end() {
    for producer_first in [true, false] {
        check(|item| {
            let (mut tx, mut rx) = ring(8);
            // Wrap around first, so that what is left lies across the end of the slots.
            for _ in 0..6 {
                tx.push(item()).expect("the ring is empty");
                drop(rx.pop());
            }
            assert_eq!(tx.push_batch(&mut (0..5).map(|_| item())), 5);
            assert!(!tx.is_abandoned() && !rx.is_abandoned());
            if producer_first {
                drop(tx);
                assert!(rx.is_abandoned());
                assert_eq!(rx.len(), 5);
            } else {
                drop(rx);
                assert!(tx.is_abandoned());
            }
        });
    }
}

#[test]
fn a_refused_item_comes_back() {
    check(|item| {
        let (mut tx, _rx) = ring(1);
        tx.push(item()).expect("the ring is empty");
        let back = tx.push(item()).expect_err("the ring is full");
        drop(back);
    });
}

#[test]
fn an_iterator_that_panics_loses_nothing() {
    check(|item| {
        let (mut tx, mut rx) = ring(8);
        let mut given = 0;
        let mut items = std::iter::from_fn(|| {
            given += 1;
            assert!(given < 4, "the iterator breaks");
            Some(item())
        });
        catch_unwind(AssertUnwindSafe(|| tx.push_batch(&mut items))).expect_err("the panic passes through");
        assert_eq!(rx.pop_batch(9, drop), 3);
        tx.push(item()).expect("the ring still works");
        assert_eq!(rx.len(), 1);
    });
}

#[test]
fn a_taker_that_panics_loses_nothing_else() {
    check(|item| {
        let (mut tx, mut rx) = ring(8);
        assert_eq!(tx.push_batch(&mut (0..6).map(|_| item())), 6);
        let mut taken = 0;
        let take = |_| {
            taken += 1;
            assert!(taken < 3, "the taker breaks");
        };
        catch_unwind(AssertUnwindSafe(|| rx.pop_batch(9, take))).expect_err("the panic passes through");
        assert_eq!(rx.len(), 3);
        assert_eq!(tx.free(), 5);
    });
}

#[test]
fn a_mesh_drops_what_is_under_way() {
    check(|item| {
        let mut ports = mesh(3, [4; LANES]);
        for (from, port) in ports.iter_mut().enumerate() {
            for to in (0..3).filter(|&to| to != from) {
                for lane in 0..LANES {
                    port.send(to, lane, item()).expect("the ring is empty");
                }
            }
        }
        ports[1].receive(3, |_, _, item| drop(item));
        ports.remove(0);
    });
}

#[test]
fn items_without_size_are_counted_too() {
    let (mut tx, mut rx) = ring(4);
    assert_eq!(tx.push_batch(&mut std::iter::repeat(())), 4);
    assert_eq!(rx.pop_batch(9, |()| ()), 4);
}
