//! Any bytes as records and users of the state. The check, and what it asserts, is in `engine/tests/fuzz_checks/codec.rs`.

#![no_main]

#[path = "../../engine/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::codec::check(bytes));
