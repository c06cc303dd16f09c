//! What must hold for any bytes: one check per parser. The fuzz targets in `net/fuzz` include this folder, and
//! `fuzz_corpus_replay.rs` runs the checks over the seeds, so that what the fuzzer found once stays found.
//!
//! **Invariants**: a check decides by its bytes alone, so that a crash file repeats the crash; it panics or returns.
#![allow(dead_code, reason = "each fuzz target uses its part")]

pub(crate) mod http_request;
pub(crate) mod http_response;
pub(crate) mod ws_session;

/// Longer inputs are not fed byte by byte: that takes quadratic time.
const BYTEWISE_MAX: usize = 1024;

/// A few places to cut, in order, decided by the bytes.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    // FNV-1a for the seed, then xorshift: any spread will do.
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) | 1;
    let mut cuts: Vec<usize> = (0..state % 8)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % (bytes.len() as u64 + 1)).unwrap_or(0)
        })
        .collect();
    cuts.sort_unstable();
    cuts
}
