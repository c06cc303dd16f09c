//! Every seed of the fuzzers' corpora passes the check of its target. The corpora are folders of `fuzz/corpus`, named for
//! their targets; without nightly and cargo-fuzz this is what remains of fuzzing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fuzz_checks;

use std::path::Path;

/// Files of one corpus, and their bytes together, at most: the repository is no archive.
const FILES_MAX: usize = 120;
const BYTES_MAX: usize = 50 << 10;

fn corpora() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn replay(target: &str, check: impl Fn(&[u8])) {
    let (mut files, mut bytes_sum) = (0, 0);
    for entry in std::fs::read_dir(corpora().join(target)).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        files += 1;
        bytes_sum += bytes.len();
        // Captured, and shown when the check fails.
        println!("{}", path.display());
        check(&bytes);
    }
    assert!(
        (1..=FILES_MAX).contains(&files) && bytes_sum <= BYTES_MAX,
        "{target}: {files} files, {bytes_sum} bytes: minimise, see fuzz/Cargo.toml"
    );
}

#[test]
fn every_seed_of_signal_body_passes() {
    replay("signal_body", fuzz_checks::signal_body::check);
}

#[test]
fn every_seed_of_json_api_passes() {
    let mut kinds = std::collections::BTreeSet::new();
    let seen = std::cell::RefCell::new(&mut kinds);
    replay("json_api", |bytes| {
        fuzz_checks::json_api::check(bytes);
        seen.borrow_mut().extend(fuzz_checks::json_api::reached(bytes));
    });
    // A route that no seed reaches is one that the fuzzer hardly finds either.
    for kind in fuzz_checks::json_api::KINDS {
        assert!(kinds.contains(kind), "no seed is routed to {kind:?}");
    }
}

/// The other targets' corpora are replayed in `engine` and `storage`; this package sees all of them.
#[test]
fn every_corpus_has_its_check() {
    for entry in std::fs::read_dir(corpora()).unwrap() {
        let name = entry.unwrap().file_name();
        let known = ["signal_body", "json_api", "log_file", "snapshot_file", "codec"];
        assert!(known.iter().any(|target| name == *target), "{} has no check", name.display());
    }
}
