//! A seed gives the same run, byte for byte: in one process again, in another process, and on another number of CPUs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use api::sim::{Overrides, run};

/// One of many lives and faults, and two with accounts on exchanges: with faults and without any.
const SEEDS: [u64; 3] = [5, 2, 11];

fn traced(program: &str, arguments: &[&str], seed: u64) -> String {
    let output = Command::new(program)
        .args(arguments)
        .args(["sim", "--trace", "--seed", &seed.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("{program} starts: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn traces_are_identical_byte_for_byte() {
    let binary = env!("CARGO_BIN_EXE_coinbitclub");
    for seed in SEEDS {
        let outcome = run(seed, &Overrides::default(), true);
        assert_eq!(outcome.violation, None);
        let here: String = outcome.trace.iter().map(|line| format!("{line}\n")).collect();
        assert!(here.lines().count() > 100, "seed {seed} does something: {} lines", here.lines().count());
        assert_eq!(run(seed, &Overrides::default(), false).digest, outcome.digest, "seed {seed} again");
        assert_eq!(traced(binary, &[], seed), here, "seed {seed} in another process");
        assert_eq!(traced("taskset", &["-c", "0", binary], seed), here, "seed {seed} on one CPU");
        assert_ne!(run(seed + 1, &Overrides::default(), false).digest, outcome.digest, "another seed");
    }
}

#[test]
fn a_smaller_run_is_repeated_by_its_options() {
    let overrides = Overrides { traders_max: Some(1), load_seconds_max: Some(2), ..Overrides::default() };
    let small = run(5, &overrides, false);
    let output = Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
        .args(["sim", "--seed", "5", "--traders", "1", "--load-seconds", "2", "--json"])
        .output()
        .unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["digest"], format!("{:016x}", small.digest));
    assert_ne!(small.digest, run(5, &Overrides::default(), false).digest);
}
