//! Every seed of the fuzzers' corpora passes the check of its target. The corpora are folders of `net/fuzz/corpus`, named
//! for their targets; without nightly and cargo-fuzz this is what remains of fuzzing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fuzz_checks;

use std::path::{Path, PathBuf};

/// Files of one corpus, and their bytes together, at most: the repository is no archive.
const FILES_MAX: usize = 300;
const BYTES_MAX: usize = 400 << 10;

type Check = fn(&[u8]);

/// Each target and its check.
const TARGETS: &[(&str, Check)] = &[
    ("http_request", fuzz_checks::http_request::check),
    ("http_response", fuzz_checks::http_response::check),
    ("ws_session", fuzz_checks::ws_session::check),
];

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn every_seed_passes() {
    for (target, check) in TARGETS {
        let mut files = 0;
        let mut bytes_sum = 0;
        for entry in std::fs::read_dir(corpora().join(target)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            files += 1;
            bytes_sum += bytes.len();
            // Captured, and shown when the check fails.
            println!("{}", path.display());
            check(&bytes);
        }
        assert!(files > 0, "{target} has no seeds");
        assert!(
            files <= FILES_MAX && bytes_sum <= BYTES_MAX,
            "{target}: {files} files, {bytes_sum} bytes: minimise, see net/fuzz/Cargo.toml"
        );
    }
}

#[test]
fn every_corpus_has_its_check() {
    for entry in std::fs::read_dir(corpora()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{} has no check", name.display());
    }
}
