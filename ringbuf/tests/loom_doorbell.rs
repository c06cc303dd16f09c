//! Every interleaving of the doorbell, alone and with rings: a consumer that parks always gets the item. A lost
//! wake-up leaves the sleeper parked for ever, which loom reports as a deadlock.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use ringbuf::{Consumer, Doorbell, doorbell, ring};

/// Runs `model` in every interleaving.
fn check(model: impl Fn() + Sync + Send + 'static) {
    loom::model(model);
}

/// Runs `model`, which has three threads, in every interleaving with up to two preemptions: all of them would take
/// hours, and `shuttle_mesh` tries others at random.
fn check_three(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn bell() -> (Doorbell, ringbuf::Ringer) {
    doorbell().expect("a modelled bell needs no descriptor")
}

/// Parks by the protocol unless `look` finds something.
fn park_unless(bell: &Doorbell, look: impl FnOnce() -> bool) {
    bell.announce();
    if look() {
        bell.cancel();
    } else {
        bell.park();
        bell.drain();
    }
}

/// Takes `count` items, parking whenever there is none.
fn take_parking(bell: &Doorbell, rx: &mut Consumer<usize>, count: usize) {
    for expected in 0..count {
        loop {
            if let Some(item) = rx.pop() {
                assert_eq!(item, expected);
                break;
            }
            park_unless(bell, || !rx.is_empty());
        }
    }
}

#[test]
fn a_flag_set_before_ringing_wakes_the_sleeper() {
    check(|| {
        let (bell, ringer) = bell();
        let flag = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&flag);
        let other = thread::spawn(move || {
            flag.store(true, Ordering::Relaxed);
            ringer.ring();
        });
        while !seen.load(Ordering::Relaxed) {
            park_unless(&bell, || seen.load(Ordering::Relaxed));
        }
        other.join().expect("the ringer does not panic");
    });
}

#[test]
fn two_ringers_and_one_sleeper() {
    check_three(|| {
        let (bell, ringer) = bell();
        let count = Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (count, ringer) = (Arc::clone(&count), ringer.clone());
                thread::spawn(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    ringer.ring();
                })
            })
            .collect();
        let mut seen = 0;
        while seen < 2 {
            park_unless(&bell, || count.load(Ordering::Relaxed) != seen);
            seen = count.load(Ordering::Relaxed);
        }
        for other in others {
            other.join().expect("a ringer does not panic");
        }
    });
}

#[test]
fn a_consumer_that_parks_gets_every_item() {
    check(|| {
        let (bell, ringer) = bell();
        let (mut tx, mut rx) = ring(2);
        let other = thread::spawn(move || {
            for i in 0..2 {
                tx.push(i).expect("there are two slots");
                ringer.ring();
            }
        });
        take_parking(&bell, &mut rx, 2);
        other.join().expect("the producer does not panic");
    });
}

#[test]
fn one_ring_of_the_bell_stands_for_a_batch() {
    check(|| {
        let (bell, ringer) = bell();
        let (mut tx, mut rx) = ring(4);
        let other = thread::spawn(move || {
            assert_eq!(tx.push_batch(&mut (0..3)), 3);
            ringer.ring();
        });
        take_parking(&bell, &mut rx, 3);
        other.join().expect("the producer does not panic");
    });
}

#[test]
fn two_rings_share_one_doorbell() {
    check_three(|| {
        let (bell, ringer) = bell();
        let (mut rings, others): (Vec<_>, Vec<_>) = (0..2)
            .map(|_| {
                let (mut tx, rx) = ring(1);
                let ringer = ringer.clone();
                let other = thread::spawn(move || {
                    tx.push(0).expect("there is a slot");
                    ringer.ring();
                });
                (rx, other)
            })
            .unzip();
        let mut got = 0;
        while got < 2 {
            let before = got;
            for rx in &mut rings {
                got += rx.pop_batch(1, |_: usize| ());
            }
            if got == before {
                park_unless(&bell, || rings.iter().any(|rx| !rx.is_empty()));
            }
        }
        for other in others {
            other.join().expect("a producer does not panic");
        }
    });
}

#[test]
fn two_parking_sides_answer_each_other() {
    check(|| {
        let ((bell_a, ringer_a), (bell_b, ringer_b)) = (bell(), bell());
        let ((mut ask, mut asked), (mut answer, mut answered)) = (ring(1), ring(1));
        let other = thread::spawn(move || {
            take_parking(&bell_b, &mut asked, 1);
            answer.push(0).expect("the answer has its slot");
            ringer_a.ring();
        });
        ask.push(0).expect("there is a slot");
        ringer_b.ring();
        take_parking(&bell_a, &mut answered, 1);
        other.join().expect("the other side does not panic");
    });
}
