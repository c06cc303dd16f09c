//! The host's clocks and randomness.

use super::sys;
use crate::seam::{Clock, Entropy, Nanos};

/// CLOCK_MONOTONIC and CLOCK_REALTIME, read without a system call where the clock source allows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn monotonic(&self) -> Nanos {
        Nanos(sys::clock_ns(libc::CLOCK_MONOTONIC))
    }

    fn wall_micros(&self) -> u64 {
        sys::clock_ns(libc::CLOCK_REALTIME) / 1_000
    }
}

/// The kernel's random number generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostEntropy;

impl Entropy for HostEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        sys::random(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_and_randomness_differs() {
        let (a, b) = (HostClock.monotonic(), HostClock.monotonic());
        assert!(a <= b && HostClock.wall_micros() > 1_700_000_000_000_000);
        let (mut one, mut other) = ([0; 32], [0; 32]);
        HostEntropy.fill(&mut one);
        HostEntropy.fill(&mut other);
        assert!(one != other && one != [0; 32]);
    }
}
