//! Any bytes as a request to the JSON API. The check, and what it asserts, is in `api/tests/fuzz_checks/json_api.rs`.

#![no_main]

#[path = "../../api/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::json_api::check(bytes));
