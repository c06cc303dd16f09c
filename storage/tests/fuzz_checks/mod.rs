//! What must hold for any damage to a shard's files: one check per kind of file. The fuzz targets in `fuzz` include this
//! folder, and `fuzz_corpus_replay.rs` runs the checks over the seeds, so that what the fuzzer found once stays found.
//!
//! A check's bytes are no file but a script of edits ([`script`]) to the files of a small valid shard ([`scene`]): so
//! the fuzzer gets past checksums and finds what damage, copies and forgeries lead to.
//!
//! **Invariants**: a check decides by its bytes alone, so that a crash file repeats the crash; it panics or returns.
#![allow(dead_code, reason = "each fuzz target uses its part")]
#![allow(clippy::unwrap_used, reason = "a check fails by panicking")]

pub(crate) mod log_file;
mod readings;
#[path = "../rig/mod.rs"]
mod rig;
mod scene;
mod script;
pub(crate) mod snapshot_file;
mod watched;
