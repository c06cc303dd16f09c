//! Any bytes as HTTP/1.1 answers. The check, and what it asserts, is in `net/tests/fuzz_checks/http_response.rs`.

#![no_main]

#[path = "../../tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::http_response::check(bytes));
