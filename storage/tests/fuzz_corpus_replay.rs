//! Every seed of the fuzzers' corpora passes the check of its target. The corpora are folders of `fuzz/corpus`, named for
//! their targets; without nightly and cargo-fuzz this is what remains of fuzzing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fuzz_checks;

use std::path::Path;

/// Files of one corpus, and their bytes together, at most: the repository is no archive.
const FILES_MAX: usize = 100;
const BYTES_MAX: usize = 50 << 10;

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let (mut files, mut bytes_sum) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
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
fn every_seed_of_log_file_passes() {
    replay("log_file", fuzz_checks::log_file::check);
}

#[test]
fn every_seed_of_snapshot_file_passes() {
    replay("snapshot_file", fuzz_checks::snapshot_file::check);
}
