//! What must hold for any bytes that are read as records or users. The fuzz target in `fuzz` includes this folder, and
//! `fuzz_corpus_replay.rs` runs the check over the seeds, so that what the fuzzer found once stays found.
//!
//! **Invariants**: a check decides by its bytes alone, so that a crash file repeats the crash; it panics or returns.

pub(crate) mod codec;
