//! A turn really gives the reactor its turn: I/O that is due gets through a task that never stops taking turns.
#![cfg(feature = "shard")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::seam::{Runtime, Watch};
use engine::shard::runtime::{ExecutorOptions, GlommioRuntime, run_pinned};

/// Runs `body` on an executor of its own.
fn check<T: Send + 'static, F: Future<Output = T> + 'static>(
    body: impl FnOnce(GlommioRuntime) -> F + Send + 'static,
) -> T {
    let options = ExecutorOptions { name: "turn-test".to_owned(), ..ExecutorOptions::default() };
    run_pinned(options, body).expect("an executor starts").join().expect("its body does not panic")
}

#[test]
fn a_watched_descriptor_is_seen_by_a_loop_that_takes_turns() {
    let turns = check(|runtime| async move {
        let (bell, ringer) = ringbuf::doorbell().expect("there are descriptors");
        bell.announce();
        ringer.ring();
        let seen = Rc::new(Cell::new(false));
        let (flag, mut watch) = (Rc::clone(&seen), runtime.watch(bell.fd()));
        let task = runtime.spawn("watcher", async move {
            watch.ready().await;
            flag.set(true);
        });
        let mut turns = 0u32;
        while !seen.get() {
            runtime.turn().await;
            turns += 1;
            assert!(turns < 10_000, "the reactor had no turn in {turns} turns");
        }
        task.await;
        turns
    });
    // A plain yield takes hundreds of thousands until the preempt timer fires.
    assert!(turns < 100, "{turns} turns for one poll");
}

#[test]
fn two_loops_that_take_turns_take_them_in_turn() {
    check(|runtime| async move {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..2)
            .map(|me| {
                let (order, own) = (Rc::clone(&order), runtime.clone());
                runtime.spawn("turns", async move {
                    for _ in 0..100 {
                        order.borrow_mut().push(me);
                        own.turn().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        let order = order.borrow();
        // While both run neither gets far ahead.
        let (mut lead, mut most) = (0i32, 0i32);
        for &me in order.iter() {
            lead += if me == 0 { 1 } else { -1 };
            most = most.max(lead.abs());
        }
        assert!(order.len() == 200 && most <= 3, "one was ahead by {most}");
    });
}

#[test]
fn a_spawned_task_begins_after_its_spawner_lets_go() {
    check(|runtime| async move {
        let state = Rc::new(RefCell::new(0));
        let shared = Rc::clone(&state);
        let task = {
            // The spawner holds its state while it spawns; the task takes it when it runs.
            let mut held = state.borrow_mut();
            *held += 1;
            runtime.spawn("later", async move { *shared.borrow_mut() += 1 })
        };
        task.await;
        assert_eq!(*state.borrow(), 2);
    });
}

#[test]
fn a_dropped_task_runs_on() {
    check(|runtime| async move {
        let done = Rc::new(Cell::new(false));
        let (flag, own) = (Rc::clone(&done), runtime.clone());
        drop(runtime.spawn("dropped", async move {
            own.turn().await;
            own.sleep(engine::seam::Nanos::from_micros(100)).await;
            flag.set(true);
        }));
        for _ in 0..100_000 {
            if done.get() {
                return;
            }
            runtime.turn().await;
        }
        panic!("the task ended with its handle");
    });
}
