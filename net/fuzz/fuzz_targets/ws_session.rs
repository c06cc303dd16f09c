//! Any bytes as the input of WebSocket sessions. The check, and what it asserts, is in `net/tests/fuzz_checks/ws_session.rs`.

#![no_main]

#[path = "../../tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::ws_session::check(bytes));
