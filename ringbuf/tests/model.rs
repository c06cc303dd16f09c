//! The ring, the lanes and the mesh against plain queues, over random operations.
#![cfg(not(any(loom, shuttle)))]

use std::collections::VecDeque;

use proptest::prelude::*;
use ringbuf::{Full, LANES, LaneFull, lanes, mesh, ring};

#[derive(Clone, Debug)]
enum Op {
    Push,
    PushBatch(usize),
    Pop,
    PopBatch(usize),
    Look,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Push),
        (0..20usize).prop_map(Op::PushBatch),
        Just(Op::Pop),
        (0..20usize).prop_map(Op::PopBatch),
        Just(Op::Look),
    ]
}

proptest! {
    #[test]
    fn a_ring_is_a_bounded_queue(capacity in 1..20usize, ops in prop::collection::vec(op(), 0..200)) {
        let (mut tx, mut rx) = ring(capacity);
        let capacity = capacity.next_power_of_two();
        prop_assert_eq!(tx.capacity(), capacity);
        let mut model = VecDeque::new();
        // Boxed, so that a slot read twice or never shows under AddressSanitizer.
        let mut next = 0u64;
        for op in ops {
            match op {
                Op::Push => match tx.push(Box::new(next)) {
                    Ok(()) => {
                        prop_assert!(model.len() < capacity);
                        model.push_back(next);
                        next += 1;
                    }
                    Err(Full(back)) => {
                        prop_assert_eq!(model.len(), capacity);
                        prop_assert_eq!(*back, next);
                    }
                },
                Op::PushBatch(n) => {
                    let mut items = (next..next + n as u64).map(Box::new);
                    let pushed = tx.push_batch(&mut items);
                    prop_assert_eq!(pushed, n.min(capacity - model.len()));
                    prop_assert_eq!(items.count(), n - pushed, "an item without a slot was taken");
                    model.extend(next..next + pushed as u64);
                    next += pushed as u64;
                }
                Op::Pop => prop_assert_eq!(rx.pop().map(|item| *item), model.pop_front()),
                Op::PopBatch(max) => {
                    let mut got = Vec::new();
                    let n = rx.pop_batch(max, |item| got.push(*item));
                    prop_assert_eq!(n, got.len());
                    prop_assert_eq!(got, model.drain(..max.min(model.len())).collect::<Vec<_>>());
                }
                Op::Look => {
                    prop_assert_eq!(rx.len(), model.len());
                    prop_assert_eq!(rx.is_empty(), model.is_empty());
                    prop_assert_eq!(tx.len(), model.len());
                    prop_assert_eq!(tx.free(), capacity - model.len());
                    prop_assert!(tx.has_room(capacity - model.len()));
                    prop_assert!(!tx.has_room(capacity - model.len() + 1));
                }
            }
        }
    }

    #[test]
    fn lanes_are_bounded_queues_served_by_weight(
        pushes in prop::collection::vec((0..3usize, 1..6usize), 0..60),
        pops in prop::collection::vec(0..12usize, 60),
        weights in prop::array::uniform3(1..6u32),
    ) {
        let (mut tx, mut rx) = lanes([4, 8, 16], weights);
        let mut model = [const { VecDeque::new() }; 3];
        let mut next = 0u32;
        for ((lane, n), max) in pushes.into_iter().zip(pops) {
            for _ in 0..n {
                match tx.push(lane, next) {
                    Ok(()) => model[lane].push_back(next),
                    Err(LaneFull { lane: full, item }) => {
                        prop_assert_eq!((full, item), (lane, next));
                        prop_assert_eq!(model[lane].len(), [4, 8, 16][lane]);
                    }
                }
                next += 1;
            }
            let waiting: usize = model.iter().map(VecDeque::len).sum();
            let backlog = model.each_ref().map(VecDeque::len);
            let mut got = [0usize; 3];
            let mut wrong = None;
            let n = rx.pop_batch(max, |lane, item| {
                got[lane] += 1;
                if model[lane].pop_front() != Some(item) {
                    wrong = Some((lane, item));
                }
            });
            prop_assert_eq!(wrong, None);
            prop_assert_eq!(n, max.min(waiting), "a turn was wasted");
            // Who still waits was not passed over: it had its weight for every whole round that another lane had.
            for lane in 0..3 {
                for other in 0..3 {
                    if got[lane] < backlog[lane] {
                        let rounds = got[other] / weights[other] as usize;
                        prop_assert!(
                            got[lane] >= rounds.saturating_sub(2) * weights[lane] as usize,
                            "lane {lane} starved: {got:?} of {backlog:?} by {weights:?}"
                        );
                    }
                }
            }
            prop_assert_eq!(rx.is_empty(), model.iter().all(VecDeque::is_empty));
        }
    }

    #[test]
    fn a_mesh_is_a_queue_per_sender_receiver_and_lane(
        shards in 1..5usize,
        ops in prop::collection::vec((0..5usize, 0..5usize, 0..LANES, 0..6usize), 0..200),
    ) {
        let capacities = [4, 4, 8, 2];
        let mut ports = mesh(shards, capacities);
        let mut model = vec![vec![[const { VecDeque::new() }; LANES]; shards]; shards];
        for (i, (a, b, lane, max)) in ops.into_iter().enumerate() {
            let (from, to) = (a % shards, b % shards);
            if from == to {
                let waiting: usize = model[to].iter().flatten().map(VecDeque::len).sum();
                let mut wrong = None;
                let n = ports[to].receive(max, |from, lane, item| {
                    if model[to][from][lane].pop_front() != Some(item) {
                        wrong = Some((from, lane, item));
                    }
                });
                prop_assert_eq!(wrong, None);
                prop_assert_eq!(n, max.min(waiting));
                prop_assert_eq!(ports[to].is_empty(), n == waiting);
            } else {
                let queue = &mut model[to][from][lane];
                prop_assert_eq!(ports[from].free(to, lane), capacities[lane] - queue.len());
                match ports[from].send(to, lane, i) {
                    Ok(()) => queue.push_back(i),
                    Err(Full(back)) => prop_assert_eq!((back, queue.len()), (i, capacities[lane])),
                }
            }
        }
    }
}
