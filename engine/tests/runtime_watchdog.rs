//! The watchdog names an executor that takes no turn, and only that one.
#![cfg(feature = "shard")]

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use engine::seam::{Nanos, Runtime};
use engine::shard::runtime::{ExecutorOptions, Watchdog, run_pinned};

const LIMIT: Duration = Duration::from_secs(1);

/// Waits for `condition`, and fails instead of waiting for ever.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("waited in vain until {what}");
}

#[test]
fn an_executor_that_blocks_is_reported_until_it_goes_on() {
    let watchdog = Watchdog::new(2);
    let (release, released) = channel::<()>();
    let (stop, stopped) = channel::<()>();
    let blocked = {
        let options =
            ExecutorOptions { name: "blocked".to_owned(), heartbeat: Some(watchdog.pulse(0)), cpu: None };
        run_pinned(options, move |runtime| async move {
            // One turn, so that it has begun; then the mistake that the watchdog is there for.
            runtime.sleep(Nanos::from_millis(20)).await;
            released.recv().expect("the test releases it");
            while stopped.try_recv().is_err() {
                runtime.sleep(Nanos::from_millis(1)).await;
            }
        })
        .expect("an executor starts")
    };
    let (end, ended) = channel::<()>();
    let healthy = {
        let options =
            ExecutorOptions { name: "healthy".to_owned(), heartbeat: Some(watchdog.pulse(1)), cpu: None };
        run_pinned(options, move |runtime| async move {
            while ended.try_recv().is_err() {
                runtime.sleep(Nanos::from_millis(1)).await;
            }
        })
        .expect("an executor starts")
    };
    // The other one is late too when the machine gives it no CPU; the blocked one stays late until it is released.
    let only_the_blocked = || {
        let late = watchdog.late(LIMIT);
        matches!(late[..], [(0, age)] if age > LIMIT)
    };
    wait_until("the blocked one is late", only_the_blocked);
    release.send(()).expect("it waits");
    wait_until("nobody is late", || watchdog.late(LIMIT).is_empty());
    assert!(watchdog.longest()[0] > LIMIT, "the stall stays on record");
    stop.send(()).expect("it runs");
    end.send(()).expect("it runs");
    blocked.join().expect("it does not panic");
    healthy.join().expect("it does not panic");
}

#[test]
fn a_name_that_the_kernel_would_cut_is_refused() {
    let options = ExecutorOptions { name: "sixteen-letters!".to_owned(), ..ExecutorOptions::default() };
    let error = run_pinned(options, |_| async {}).expect_err("16 bytes");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_cpu_that_does_not_exist_is_an_error_with_a_remedy() {
    let options = ExecutorOptions { name: "nowhere".to_owned(), cpu: Some(100_000), heartbeat: None };
    let error = run_pinned(options, |_| async {}).expect_err("there is no such CPU");
    assert!(error.to_string().contains("online"), "{error}");
}
