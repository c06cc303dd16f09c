//! Support of the crash tests: the real program as a child process, people who trade, load, what was promised to them, and
//! what must hold afterwards.
//!
//! **Invariants**: a promise is what an answer or a page said, nothing that was merely sent; a check waits for conditions and
//! never for time; whatever a test starts ends with it.
//! **Bounds**: every wait ends after [`WAIT_MAX`] with what it waited for.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod calls;
pub mod check;
pub mod desk_load;
pub mod faulty_disk;
pub mod files;
pub mod inspect;
pub mod load;
pub mod loop_disk;
pub mod people;
pub mod promises;
pub mod server;
pub mod settled;
pub mod sim_server;

use std::time::{Duration, Instant};

/// The longest wait for a condition.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// A small generator (splitmix64): a seed is all it takes to draw the same again.
pub struct Random(u64);

impl Random {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    /// True once in `n` draws, on average.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of the list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A span of up to `max`, in whole microseconds.
    pub fn span(&mut self, max: Duration) -> Duration {
        let micros = usize::try_from(max.as_micros()).expect("a short span");
        Duration::from_micros(self.below(micros + 1) as u64)
    }
}

/// Waits until `missing` finds nothing missing any more.
///
/// # Panics
/// After [`WAIT_MAX`], with what is still missing.
pub fn wait_until(what: &str, mut missing: impl FnMut() -> Option<String>) {
    let began = Instant::now();
    while let Some(detail) = missing() {
        assert!(began.elapsed() < WAIT_MAX, "waited {WAIT_MAX:?} for this in vain: {what}; still: {detail}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: a whole number is wanted")),
        Err(_) => default,
    }
}

/// The seed of this run: `COINBITCLUB_SEED`, else one that differs from run to run.
pub fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    setting("COINBITCLUB_SEED", now.as_secs() ^ (u64::from(std::process::id()) << 32))
}

/// Says how to repeat a run when it fails.
pub struct Repeat {
    /// The command.
    pub command: String,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: {}", self.command);
        }
    }
}
