//! What must hold for any bytes that strangers send: one check per kind of body. The fuzz targets in `fuzz` include this
//! folder, and `fuzz_corpus_replay.rs` runs the checks over the seeds, so that what the fuzzer found once stays found.
//!
//! **Invariants**: a check decides by its bytes alone, so that a crash file repeats the crash; it panics or returns.
#![allow(dead_code, reason = "each fuzz target uses its part")]

pub(crate) mod json_api;
pub(crate) mod signal_body;

/// A credential that the checks hide in what they send, in no other form than this.
const CREDENTIAL: &str = "cbs_8vP2xKq7WmZ";

/// How much of it an answer may not show.
const CREDENTIAL_PART: usize = 6;

/// What people read is short, of one line, and shows nothing of the credential.
fn check_message(message: &str) {
    assert!(!message.is_empty() && message.len() <= 1_000, "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    check_hidden(message);
}

fn check_hidden(text: &str) {
    assert!(!text.contains(&CREDENTIAL[..CREDENTIAL_PART]), "a credential is shown: {text}");
}

/// A code is one lower-case word for programs.
fn check_code(code: &str) {
    assert!(
        !code.is_empty()
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
        "{code}"
    );
}
