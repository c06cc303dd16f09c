//! Any bytes as HTTP/1.1 requests. The check, and what it asserts, is in `net/tests/fuzz_checks/http_request.rs`.

#![no_main]

#[path = "../../tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::http_request::check(bytes));
