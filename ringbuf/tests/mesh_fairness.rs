//! Senders of a lane take turns, and lanes share by weight over all senders together.
#![cfg(not(any(loom, shuttle)))]

use ringbuf::{LANES, Port, WEIGHTS, mesh};

const SHARDS: usize = 5;

/// Fills every ring towards shard 0 and returns its port.
fn saturated() -> Vec<Port<usize>> {
    let mut ports = mesh(SHARDS, [256; LANES]);
    for port in &mut ports[1..] {
        for lane in 0..LANES {
            (0..256).for_each(|i| port.send(0, lane, i).expect("the ring holds 256"));
        }
    }
    ports
}

#[test]
fn saturated_senders_and_lanes_share_in_ratio() {
    for (calls, max) in [(1, 400), (400, 1), (57, 7)] {
        let mut ports = saturated();
        let mut got = [[0usize; LANES]; SHARDS];
        for _ in 0..calls {
            assert_eq!(ports[0].receive(max, |from, lane, _| got[from][lane] += 1), max);
        }
        for lane in 0..LANES {
            let weight = WEIGHTS[lane] as usize;
            let total: usize = got.iter().map(|lanes| lanes[lane]).sum();
            assert!(total.abs_diff(calls * max * weight / 10) <= weight, "lane {lane}: {got:?}");
            for from in got.iter().skip(1) {
                // A call may end within a turn, and the turn is then over.
                let turn = if max == 400 { weight } else { total / 10 };
                assert!(
                    from[lane].abs_diff(total / (SHARDS - 1)) <= turn.max(weight),
                    "lane {lane}: {got:?}"
                );
            }
        }
    }
}

#[test]
fn a_lone_sender_is_served_at_once_beside_floods() {
    let mut ports = mesh(3, [1024; LANES]);
    for i in 0..1024 {
        ports[1].send(0, 0, i).expect("the ring holds 1024");
    }
    ports[2].send(0, LANES - 1, 7777).expect("the ring is empty");
    ports[2].send(0, 0, 8888).expect("the ring is empty");
    // One round per lane weight and sender is the most that anyone waits.
    let round: usize = WEIGHTS.iter().map(|&weight| weight as usize).sum();
    let mut seen = Vec::new();
    ports[0].receive(2 * round, |_, _, item| seen.push(item));
    assert!(seen.contains(&7777) && seen.contains(&8888), "{seen:?}");
}

#[test]
#[should_panic(expected = "does not send to itself")]
fn a_shard_does_not_send_to_itself() {
    let _ = mesh(2, [1; LANES])[1].send(1, 0, ());
}

#[test]
fn halves_know_when_the_other_shard_is_gone() {
    let mut ports = mesh(2, [2; LANES]);
    let gone = ports.pop().expect("there are two");
    let (outbox, mut inbox) = ports.pop().expect("there are two").split();
    let (mut their_outbox, their_inbox) = gone.split();
    their_outbox.send(0, 2, "last words").expect("the ring is empty");
    assert!(!outbox.is_abandoned(1) && !inbox.is_abandoned(1));
    drop(their_inbox);
    assert!(outbox.is_abandoned(1) && !inbox.is_abandoned(1));
    drop(their_outbox);
    assert!(inbox.is_abandoned(1));
    assert_eq!(inbox.receive(9, |from, lane, item| assert_eq!((from, lane, item), (1, 2, "last words"))), 1);
}
