//! Random schedules of what is too large for loom: longer rings, lanes, and a mesh of parking shards.
#![cfg(shuttle)]

use std::collections::HashMap;

use ringbuf::{Full, LANES, doorbell, lanes, mesh, ring};
use shuttle::thread;

const SCHEDULES: usize = 20_000;

/// Runs `model` under random schedules and under priority schedules, which find rare orders of few switches. A failure
/// prints the schedule that repeats it.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(model, SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, 3);
}

#[test]
fn a_long_ring_keeps_order_through_many_wraps() {
    check(|| {
        let (mut tx, mut rx) = ring(8);
        let other = thread::spawn(move || {
            let mut items = 0..60usize;
            while !items.is_empty() {
                if tx.push_batch(&mut items.by_ref().take(5)) == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < 60 {
            let got = rx.pop_batch(3, |item| {
                assert_eq!(item, expected);
                expected += 1;
            });
            if got == 0 {
                thread::yield_now();
            }
        }
        other.join().expect("the producer does not panic");
    });
}

#[test]
fn lanes_lose_nothing_and_keep_order() {
    check(|| {
        let (mut tx, mut rx) = lanes([2, 2, 4, 4], [4, 3, 2, 1]);
        let other = thread::spawn(move || {
            for i in 0..32usize {
                let lane = i % 4;
                while tx.push(lane, i).is_err() {
                    thread::yield_now();
                }
            }
        });
        let mut last = [None; 4];
        let mut got = 0;
        while got < 32 {
            let n = rx.pop_batch(5, |lane, item| {
                assert_eq!(item % 4, lane);
                assert_eq!(item, last[lane].map_or(lane, |last: usize| last + 4));
                last[lane] = Some(item);
            });
            got += n;
            if n == 0 {
                thread::yield_now();
            }
        }
        other.join().expect("the producer does not panic");
    });
}

#[test]
fn a_mesh_of_parking_shards_delivers_everything_in_order() {
    const SHARDS: usize = 3;
    const EACH: usize = 6;
    check(|| {
        let (bells, ringers): (Vec<_>, Vec<_>) =
            (0..SHARDS).map(|_| doorbell().expect("a modelled bell needs no descriptor")).unzip();
        let threads: Vec<_> = mesh::<usize>(SHARDS, [2; LANES])
            .into_iter()
            .zip(bells)
            .map(|(mut port, bell)| {
                let ringers = ringers.clone();
                thread::spawn(move || {
                    let me = port.shard();
                    let mut waiting: Vec<(usize, usize, usize)> = (0..SHARDS)
                        .filter(|&to| to != me)
                        .flat_map(|to| (0..EACH).map(move |i| (to, i % LANES, i)))
                        .collect();
                    let mut last = HashMap::new();
                    let mut got = 0;
                    while got < (SHARDS - 1) * EACH || !waiting.is_empty() {
                        // What does not fit stays, and everything behind it on the same ring too.
                        let mut full = Vec::new();
                        waiting.retain(|&(to, lane, i)| {
                            if full.contains(&(to, lane)) {
                                return true;
                            }
                            match port.send(to, lane, i) {
                                Ok(()) => false,
                                Err(Full(back)) => {
                                    assert_eq!(back, i);
                                    full.push((to, lane));
                                    true
                                }
                            }
                        });
                        (0..SHARDS).filter(|&to| to != me).for_each(|to| ringers[to].ring());
                        let n = port.receive(4, |from, lane, i| {
                            assert_ne!(from, me);
                            assert_eq!(i % LANES, lane);
                            let last = last.insert((from, lane), i);
                            assert_eq!(i, last.map_or(lane, |last: usize| last + LANES));
                        });
                        got += n;
                        if n > 0 {
                            continue;
                        }
                        if !waiting.is_empty() {
                            // Room is not announced: who waits for room looks again.
                            thread::yield_now();
                            continue;
                        }
                        if got == (SHARDS - 1) * EACH {
                            break;
                        }
                        bell.announce();
                        if port.is_empty() {
                            bell.park();
                            bell.drain();
                        } else {
                            bell.cancel();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a shard does not panic");
        }
    });
}
