//! Edits of a shard's snapshots and segments. The check, and what it asserts, is in `storage/tests/fuzz_checks/snapshot_file.rs`.

#![no_main]

#[path = "../../storage/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::snapshot_file::check(bytes));
