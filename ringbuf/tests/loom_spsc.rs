//! Every interleaving of a small ring: order, no loss, no double, no race on a slot, and the drops at the end.
#![cfg(loom)]

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use ringbuf::{Consumer, Full, Producer, ring};

/// Runs `producer` and `consumer` on two threads in every interleaving.
fn check<T: Send + 'static>(
    capacity: usize,
    producer: impl Fn(Producer<T>) + Copy + Send + Sync + 'static,
    consumer: impl Fn(Consumer<T>) + Copy + Send + Sync + 'static,
) {
    loom::model(move || {
        let (tx, rx) = ring(capacity);
        let other = thread::spawn(move || producer(tx));
        consumer(rx);
        other.join().expect("the producer does not panic");
    });
}

fn push_all(mut tx: Producer<usize>, count: usize) {
    for i in 0..count {
        let mut item = i;
        while let Err(Full(back)) = tx.push(item) {
            assert_eq!(back, i, "a full ring gives the same item back");
            item = back;
            thread::yield_now();
        }
    }
}

fn pop_all(mut rx: Consumer<usize>, count: usize) {
    for i in 0..count {
        loop {
            if let Some(item) = rx.pop() {
                assert_eq!(item, i);
                break;
            }
            thread::yield_now();
        }
    }
    assert!(rx.pop().is_none());
}

#[test]
fn one_slot_passes_items_in_order() {
    check(1, |tx| push_all(tx, 3), |rx| pop_all(rx, 3));
}

#[test]
fn two_slots_wrap_around() {
    check(2, |tx| push_all(tx, 3), |rx| pop_all(rx, 3));
}

#[test]
fn batches_pass_items_in_order() {
    check(
        2,
        |mut tx: Producer<usize>| {
            let mut items = 0..3;
            while !items.is_empty() {
                if tx.push_batch(&mut items) == 0 {
                    thread::yield_now();
                }
            }
        },
        |mut rx| {
            let mut expected = 0;
            while expected < 3 {
                let got = rx.pop_batch(2, |item| {
                    assert_eq!(item, expected);
                    expected += 1;
                });
                if got == 0 {
                    thread::yield_now();
                }
            }
        },
    );
}

#[test]
fn who_sees_the_producer_gone_sees_all_it_pushed() {
    check(
        2,
        |mut tx: Producer<usize>| {
            tx.push(0).expect("there are two slots");
            tx.push(1).expect("there are two slots");
        },
        |mut rx| {
            let mut got = 0;
            loop {
                let gone = rx.is_abandoned();
                got += rx.pop_batch(2, |_| ());
                if gone {
                    assert_eq!(got, 2);
                    break;
                }
                thread::yield_now();
            }
        },
    );
}

#[test]
fn items_left_in_the_ring_are_dropped_once() {
    struct Counted(StdArc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    loom::model(|| {
        let drops = StdArc::new(AtomicUsize::new(0));
        let (mut tx, mut rx) = ring(2);
        let counter = StdArc::clone(&drops);
        let other = thread::spawn(move || {
            let mut made = 0;
            for _ in 0..3 {
                // A refused item is given back and dropped here.
                let _ = tx.push(Counted(StdArc::clone(&counter)));
                made += 1;
            }
            made
        });
        drop(rx.pop());
        drop(rx);
        let made = other.join().expect("the producer does not panic");
        assert_eq!(drops.load(Ordering::SeqCst), made);
    });
}
