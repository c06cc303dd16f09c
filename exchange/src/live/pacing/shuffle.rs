//! The order in which the orders of a fan-out leave.
//!
//! **Invariants**: the same seed and number give the same order, on every machine; every order of them is
//! equally likely as far as the seeds are. Nobody is first every time.

use std::collections::VecDeque;

/// Puts whoever comes last in a place that is drawn: after each of them, every order of the line is equally likely.
#[derive(Debug, Default)]
pub struct Shuffle(Dice);

impl Shuffle {
    /// Draws from this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Dice(seed))
    }

    /// Changes places between the last of the line and one that is drawn from all of it (Fisher and Yates, from the beginning).
    pub fn place_last<T>(&mut self, line: &mut VecDeque<T>) {
        let Some(last) = line.len().checked_sub(1) else { return };
        let other = self.0.below(last as u64 + 1);
        line.swap(usize::try_from(other).expect("it is at most `last`, which is a usize"), last);
    }
}

/// The numbers `0..n`, each put in its place when it came.
#[cfg(test)]
pub(super) fn shuffled(seed: u64, n: u32) -> Vec<u32> {
    let mut shuffle = Shuffle::new(seed);
    let mut line = VecDeque::new();
    for number in 0..n {
        line.push_back(number);
        shuffle.place_last(&mut line);
    }
    line.into()
}

/// Numbers from a seed: SplitMix64, for which every seed is good, zero included.
#[derive(Debug, Default)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `n`, all equally likely; `n` is above zero.
    fn below(&mut self, n: u64) -> u64 {
        // What lies above the last whole multiple of n would make small numbers likelier.
        let uneven = u64::MAX - u64::MAX % n;
        loop {
            let word = self.next();
            if word < uneven {
                return word % n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_every_number_once_and_repeats_itself(seed: u64, n in 0_u32..2_000) {
            let order = shuffled(seed, n);
            prop_assert_eq!(&order, &shuffled(seed, n));
            let mut sorted = order;
            sorted.sort_unstable();
            prop_assert!(sorted.into_iter().eq(0..n));
        }
    }

    #[test]
    fn nobody_is_favoured() {
        // Each of 10 is at each of 10 places in about a tenth of 20,000 orders; 2,000 ± 5 standard deviations
        // of 42.
        let mut times = [[0_u32; 10]; 10];
        for seed in 0..20_000 {
            for (place, who) in shuffled(seed, 10).into_iter().enumerate() {
                times[usize::try_from(who).unwrap()][place] += 1;
            }
        }
        assert!(times.iter().flatten().all(|n| (1_790..=2_210).contains(n)), "{times:?}");
    }

    /// Written down once: another order is another protocol for whoever replays a fan-out.
    const OF_SEED_SEVEN: [u32; 8] = [2, 0, 1, 5, 4, 6, 7, 3];

    #[test]
    fn is_the_same_on_every_machine() {
        assert!(shuffled(7, 0).is_empty());
        assert_eq!(shuffled(7, 1), [0]);
        assert_eq!(shuffled(7, 8), OF_SEED_SEVEN);
        assert_ne!(shuffled(8, 8), OF_SEED_SEVEN);
    }
}
