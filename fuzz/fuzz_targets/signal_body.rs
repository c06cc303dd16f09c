//! Any bytes as the body of a signal. The check, and what it asserts, is in `api/tests/fuzz_checks/signal_body.rs`.

#![no_main]

#[path = "../../api/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::signal_body::check(bytes));
