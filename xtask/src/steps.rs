//! The steps of `cargo xtask test`, as data. To add one, add an entry to [`STEPS`].
//!
//! **Invariants**: names are unique; cheap steps come first; every step says why it is there and what to do when it fails.

use std::time::Duration;

use crate::{clients, deny, deploy, mutants, peers, prerequisites, purity, tidy};

/// How a step that did not fail ended.
pub(crate) enum Outcome {
    /// Passed; the note goes into the summary.
    Passed(String),
    /// Not run, with the reason. Counted neither as passed nor as failed, and always shown.
    LeftOut(String),
}

/// What a step does.
pub(crate) enum Action {
    /// Runs a program in the repository's root, with these variables set.
    Command {
        /// Program and arguments.
        words: &'static [&'static str],
        /// Variables to set.
        variables: &'static [(&'static str, &'static str)],
    },
    /// The same, when the nightly toolchain is installed; otherwise left out.
    Nightly {
        /// Program and arguments.
        words: &'static [&'static str],
        /// Variables to set.
        variables: &'static [(&'static str, &'static str)],
    },
    /// Calls a check of this program.
    Check(fn() -> Result<Outcome, String>),
}

/// One step.
pub(crate) struct Step {
    /// Unique; what `--only` takes.
    pub(crate) name: &'static str,
    /// What it protects.
    pub(crate) why: &'static str,
    /// What it does.
    pub(crate) action: Action,
    /// What to do when it fails.
    pub(crate) remedy: &'static str,
    /// A step that takes longer hangs, and is ended.
    pub(crate) limit: Duration,
}

/// What all steps together should take on two cores from an empty build directory; the summary says when it was more.
pub(crate) const BUDGET: Duration = Duration::from_mins(20);

const LIMIT: Duration = Duration::from_mins(15);
/// 500 seeds have to be through in three minutes; on two quiet cores they take 42 s.
const SIM_LIMIT: Duration = Duration::from_mins(3);
/// For steps that take ten minutes on two quiet cores, and more beside other work.
const LONG_LIMIT: Duration = Duration::from_mins(45);

/// Every step, in the order they run.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "prerequisites",
        why: "the other steps need these programs; what is missing is installed when that is possible",
        action: Action::Check(prerequisites::check),
        remedy: "install what is named above",
        limit: LIMIT,
    },
    Step {
        name: "format",
        why: "one layout, so that a difference is a change",
        action: Action::Command { words: &["cargo", "fmt", "--all", "--check"], variables: &[] },
        remedy: "cargo fmt --all",
        limit: LIMIT,
    },
    Step {
        name: "tidy",
        why: "the rules of the house that no other tool knows",
        action: Action::Check(|| tidy::check().map(Outcome::Passed)),
        remedy: "mend each finding; the rules are in xtask/src/tidy/",
        limit: LIMIT,
    },
    Step {
        name: "core-purity",
        why: "engine::core decides the same for ever only without clock, file, thread, socket or float",
        action: Action::Check(purity::check),
        remedy: "move the impure part above engine::core and hand its result in",
        limit: LIMIT,
    },
    Step {
        name: "deploy",
        why: "the unit stays hardened, and the shards can still pin themselves and use io_uring",
        action: Action::Check(deploy::check),
        remedy: "systemd-analyze security --offline=true deploy/systemd/coinbitclub.service",
        limit: LIMIT,
    },
    Step {
        name: "deny",
        why: "nothing is built in under a licence, from a place, or twice, that nobody has looked at",
        action: Action::Check(deny::check),
        remedy: "deny.toml says what is allowed and why; a new entry is a decision",
        limit: LIMIT,
    },
    Step {
        name: "clippy",
        why: "warnings are errors",
        action: Action::Command {
            words: &[
                "cargo",
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--features",
                "coinbitclub-net/websocket-peers",
                "--",
                "-D",
                "warnings",
            ],
            variables: &[],
        },
        remedy: "mend each warning; expect(…, reason = \"…\") only where the lint is wrong",
        limit: LIMIT,
    },
    Step {
        name: "core-build",
        why: "engine::core builds alone",
        action: Action::Command {
            words: &[
                "cargo",
                "build",
                "--package",
                "coinbitclub-engine",
                "--no-default-features",
                "--locked",
            ],
            variables: &[],
        },
        remedy: "put what needs a runtime behind the feature `shard`",
        limit: LIMIT,
    },
    Step {
        name: "tests",
        why: "all unit, integration and documentation tests, with debug assertions",
        action: Action::Command { words: &["cargo", "test", "--workspace", "--locked"], variables: &[] },
        remedy: "cargo test -p PACKAGE NAME runs one; a failing seeded test prints the command that repeats it",
        limit: LONG_LIMIT,
    },
    Step {
        name: "sim-build",
        why: "the simulator is built apart, so that its run is measured alone",
        action: Action::Command {
            words: &["cargo", "build", "--package", "coinbitclub", "--locked"],
            variables: &[],
        },
        remedy: "cargo build --package coinbitclub",
        limit: LIMIT,
    },
    Step {
        name: "sim",
        why: "the whole server keeps its promises through 500 seeds of faults, and enough of them was judged",
        action: Action::Command {
            words: &[
                "cargo",
                "run",
                "--package",
                "coinbitclub",
                "--locked",
                "--",
                "sim",
                "--seeds",
                "0..500",
                "--require-judged",
            ],
            variables: &[],
        },
        remedy: "the last lines are the command that repeats the failure at its smallest; docs/trust.md says how to read it",
        limit: SIM_LIMIT,
    },
    Step {
        name: "mutants",
        why: "a test that cannot fail protects nothing: known bugs are switched on one at a time, and each is caught",
        action: Action::Check(mutants::step),
        remedy: "cargo xtask mutants NAME runs one; strengthen the check that xtask/src/mutants/ names for it",
        limit: LONG_LIMIT,
    },
    Step {
        name: "storage-faults",
        why: "kill -9 and power failure at every operation on the disk lose nothing acknowledged",
        action: Action::Command {
            words: &[
                "cargo",
                "test",
                "--package",
                "coinbitclub",
                "--locked",
                "--test",
                "failpoints",
                "--target-dir",
                "target/planted",
            ],
            variables: &[("RUSTFLAGS", "--cfg planted")],
        },
        remedy: "the failure names the operation and the moment; api/src/server/failing_disk.rs says how to kill there by hand",
        limit: LIMIT,
    },
    Step {
        name: "websocket-peers",
        why: "WebSocket libraries that nobody here wrote agree with our server and our client",
        action: Action::Check(peers::check),
        remedy: "net/tests/peers/ has the peers' programs; run one by hand against `--example echo`",
        limit: LIMIT,
    },
    Step {
        name: "foreign-clients",
        why: "clients of Binance and Bybit that nobody here wrote take the paper exchange for the real ones, and send what we send",
        action: Action::Check(clients::check),
        remedy: "exchange/tests/clients/ has the scripts; run one by hand: target/clients/clients/bin/python SCRIPT http://ADDRESS KEY SECRET against `coinbitclub paper`",
        limit: LIMIT,
    },
    Step {
        name: "loom",
        why: "every interleaving of a small ring and doorbell: no lost wake-up, no torn item",
        action: Action::Command {
            words: &[
                "cargo",
                "test",
                "--package",
                "coinbitclub-ringbuf",
                "--release",
                "--locked",
                "--test",
                "loom_*",
                "--target-dir",
                "target/loom",
            ],
            variables: &[("RUSTFLAGS", "--cfg loom")],
        },
        remedy: "LOOM_LOG=trace with the failing test's name prints the interleaving",
        limit: LIMIT,
    },
    Step {
        name: "shuttle",
        why: "random schedules of rings too large for every interleaving",
        action: Action::Command {
            words: &[
                "cargo",
                "test",
                "--package",
                "coinbitclub-ringbuf",
                "--release",
                "--locked",
                "--test",
                "shuttle_*",
                "--target-dir",
                "target/shuttle",
            ],
            variables: &[("RUSTFLAGS", "--cfg shuttle")],
        },
        remedy: "the failure prints a schedule that shuttle::replay repeats",
        limit: LIMIT,
    },
    Step {
        name: "address-sanitizer",
        why: "the rings' unsafe code touches no memory that is not its own",
        action: Action::Nightly {
            words: &[
                "rustup",
                "run",
                "nightly",
                "cargo",
                "test",
                "--package",
                "coinbitclub-ringbuf",
                "--locked",
                "--lib",
                "--tests",
                "--target",
                "x86_64-unknown-linux-gnu",
                "--target-dir",
                "target/asan",
            ],
            variables: &[("RUSTFLAGS", "-Zsanitizer=address")],
        },
        remedy: "the report names the access and the allocation",
        limit: LIMIT,
    },
    Step {
        name: "address-sanitizer-net",
        why: "what the kernel reads and writes for the socket driver is memory that is still its own",
        action: Action::Nightly {
            words: &[
                "rustup",
                "run",
                "nightly",
                "cargo",
                "test",
                "--package",
                "coinbitclub-net",
                "--locked",
                "--lib",
                "--tests",
                "--target",
                "x86_64-unknown-linux-gnu",
                "--target-dir",
                "target/asan",
                "--",
                // It watches the process's memory, which the sanitizer keeps on purpose.
                "--skip",
                "opened_and_dropped",
            ],
            // On the operations of old kernels a driver that ends gives its memory up rather than free it too early.
            variables: &[("RUSTFLAGS", "-Zsanitizer=address"), ("ASAN_OPTIONS", "detect_leaks=0")],
        },
        remedy: "the report names the access and the allocation",
        limit: LIMIT,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_nothing_is_left_blank() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..index].iter().all(|other| other.name != step.name), "{} twice", step.name);
            assert!(!step.why.is_empty() && !step.remedy.is_empty(), "{}", step.name);
        }
    }

    #[test]
    fn every_cargo_step_keeps_the_lock_file() {
        for step in STEPS {
            if let Action::Command { words, .. } | Action::Nightly { words, .. } = &step.action {
                assert!(words.contains(&"--locked") || words[1] == "fmt", "{} lacks --locked", step.name);
            }
        }
    }
}
