//! The order in which the orders of a fan-out leave.
//!
//! **Invariants**: the same seed and number give the same order, on every machine; every order of them is
//! equally likely as far as the seeds are. Nobody is first every time.

/// The numbers `0..n` in an order that is drawn from the seed.
#[must_use]
pub fn shuffled(seed: u64, n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    let mut dice = Dice(seed);
    // Fisher and Yates, from the end.
    for last in (1..order.len()).rev() {
        let other = dice.below(last as u64 + 1);
        order.swap(last, usize::try_from(other).expect("it is at most `last`, which is a usize"));
    }
    order
}

/// Numbers from a seed: SplitMix64, for which every seed is good, zero included.
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
    const OF_SEED_SEVEN: [u32; 8] = [1, 4, 5, 2, 6, 0, 3, 7];

    #[test]
    fn is_the_same_on_every_machine() {
        assert!(shuffled(7, 0).is_empty());
        assert_eq!(shuffled(7, 1), [0]);
        assert_eq!(shuffled(7, 8), OF_SEED_SEVEN);
        assert_ne!(shuffled(8, 8), OF_SEED_SEVEN);
    }
}
