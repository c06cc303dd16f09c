//! A million round trips between two parked executors, through the mesh and the doorbells: every message comes back, in
//! order, and no executor stalls for more than 250 ms while it could have had a CPU.
#![cfg(feature = "shard")]

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use engine::seam::{Nanos, Runtime, Watch};
use engine::shard::runtime::{ExecutorOptions, GlommioRuntime, Watchdog, run_pinned};
use futures_lite::future::or;
use ringbuf::{Doorbell, LANES, Port, Ringer, doorbell, mesh};

const ROUND_TRIPS: u64 = 1_000_000;
/// Messages under way at most: batches, so that the test takes seconds and both sides still park thousands of times.
const WINDOW: u64 = 64;
/// The longest stall that is allowed: a goal of the system.
const STALL_MAX: Duration = Duration::from_millis(250);
const BEAT: Duration = Duration::from_millis(10);

/// One side: its port, its own bell, and the other's.
struct Side {
    port: Port<u64>,
    bell: Doorbell,
    other: Ringer,
    peer: usize,
}

/// What one side saw.
#[derive(Debug)]
struct Seen {
    parks: u64,
    longest_stall: Duration,
    beats: u64,
}

/// Time that this thread waited for a CPU, and that the host took from this machine, since some start.
fn cpu_denied() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = schedstat.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let stolen_ticks: u64 = stat.split_whitespace().nth(8).and_then(|field| field.parse().ok()).unwrap_or(0);
    Duration::from_nanos(waited) + Duration::from_millis(10 * stolen_ticks)
}

/// Measures the longest time between two beats that the thread is to blame for, until `stop`.
async fn probe(runtime: GlommioRuntime, stop: Rc<Cell<bool>>, result: Rc<Cell<(Duration, u64)>>) {
    let (mut longest, mut beats) = (Duration::ZERO, 0);
    let mut last = (Instant::now(), cpu_denied());
    while !stop.get() {
        runtime.sleep(Nanos::from_millis(10)).await;
        let now = (Instant::now(), cpu_denied());
        let denied = now.1.saturating_sub(last.1);
        longest = longest.max((now.0 - last.0).saturating_sub(BEAT + denied));
        beats += 1;
        last = now;
    }
    result.set((longest, beats));
}

/// Waits for the bell. Fails, instead of waiting for ever, when there has long been something that nobody rang for.
async fn park(runtime: &GlommioRuntime, watch: &mut impl Watch, side: &Side) {
    let mut missed = 0;
    loop {
        let rung = async {
            watch.ready().await;
            true
        };
        let looked = async {
            runtime.sleep(Nanos::from_millis(1_000)).await;
            false
        };
        if or(rung, looked).await {
            return;
        }
        missed = if side.port.is_empty() { 0 } else { missed + 1 };
        assert!(missed < 30, "a wake-up was lost");
    }
}

/// Works until `step` says that all is done: `step` sends and receives, and returns whether it did anything.
async fn run(
    runtime: GlommioRuntime,
    mut side: Side,
    mut step: impl FnMut(&mut Side) -> Option<bool>,
) -> Seen {
    let (stop, result) = (Rc::new(Cell::new(false)), Rc::new(Cell::new((Duration::ZERO, 0))));
    let probe = runtime.spawn("probe", probe(runtime.clone(), Rc::clone(&stop), Rc::clone(&result)));
    let mut watch = runtime.watch(side.bell.fd());
    let (mut parks, mut busy) = (0, 0u32);
    while let Some(worked) = step(&mut side) {
        if worked {
            side.other.ring();
            busy += 1;
            if busy.is_multiple_of(256) {
                runtime.turn().await;
            }
            continue;
        }
        side.bell.announce();
        if side.port.is_empty() {
            parks += 1;
            park(&runtime, &mut watch, &side).await;
            side.bell.drain();
        } else {
            side.bell.cancel();
        }
    }
    side.other.ring();
    stop.set(true);
    probe.await;
    let (longest_stall, beats) = result.get();
    Seen { parks, longest_stall, beats }
}

/// The CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let list =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("the kernel tells");
    let number = |text: &str| text.trim().parse::<usize>().expect("a CPU number");
    list.split(',')
        .flat_map(|range| match range.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(range)..=number(range),
        })
        .collect()
}

#[test]
fn a_million_round_trips_without_a_stall() {
    let watchdog = Watchdog::new(2);
    let cpus = cpus();
    let mut ports = mesh::<u64>(2, [64; LANES]);
    let ((bell_0, ringer_0), (bell_1, ringer_1)) =
        (doorbell().expect("there are descriptors"), doorbell().expect("there are descriptors"));
    let mut options = (0..2).map(|place| ExecutorOptions {
        name: format!("soak-{place}"),
        cpu: Some(cpus[place % cpus.len()]),
        heartbeat: Some(watchdog.pulse(place)),
    });
    let mut next_options = || options.next().expect("there are two");

    let echo = Side { port: ports.pop().expect("two ports"), bell: bell_1, other: ringer_0, peer: 0 };
    let echo = run_pinned(next_options(), move |runtime| {
        let (mut echoed, mut back) = (0, Vec::with_capacity(64));
        run(runtime, echo, move |side| {
            side.port.receive(64, |_, lane, item| back.push((lane, item)));
            let worked = !back.is_empty();
            for (lane, item) in back.drain(..) {
                side.port.send(side.peer, lane, item).expect("no more than the window is under way");
                echoed += 1;
            }
            (echoed < ROUND_TRIPS || worked).then_some(worked)
        })
    })
    .expect("an executor starts");

    let ask = Side { port: ports.pop().expect("two ports"), bell: bell_0, other: ringer_1, peer: 1 };
    let ask = run_pinned(next_options(), move |runtime| {
        let (mut sent, mut received, mut last) = (0u64, 0u64, [None; LANES]);
        run(runtime, ask, move |side| {
            let before = (sent, received);
            while sent < ROUND_TRIPS && sent - received < WINDOW {
                let lane = usize::try_from(sent).expect("fits") % LANES;
                side.port.send(side.peer, lane, sent).expect("the window fits the ring");
                sent += 1;
            }
            side.port.receive(64, |from, lane, item| {
                assert_eq!(from, side.peer);
                let expected = last[lane].map_or(lane as u64, |last: u64| last + LANES as u64);
                assert_eq!(item, expected, "lane {lane} is out of order");
                last[lane] = Some(item);
                received += 1;
            });
            (received < ROUND_TRIPS).then_some((sent, received) != before)
        })
    })
    .expect("an executor starts");

    let asked = ask.join().expect("every message comes back in order");
    let echoed = echo.join().expect("every message is echoed");
    println!("asking: {asked:?}; echoing: {echoed:?}; by the watchdog: {:?}", watchdog.longest());
    for seen in [&asked, &echoed] {
        assert!(seen.parks > 100, "they were to park: {seen:?}");
        assert!(seen.beats > 0, "the probe ran: {seen:?}");
        assert!(seen.longest_stall <= STALL_MAX, "an executor stalled: {seen:?}");
    }
    assert!(watchdog.longest().iter().all(|longest| *longest > Duration::ZERO), "both hearts beat");
}
