//! Whose turn it is: weighted service of `N` lanes.
//!
//! **Invariants**: in a round each lane is served at most its weight; a new round begins only when every lane that
//! still has credit is empty. So a lane that has something is served in every round (nothing starves), saturated
//! lanes share in the ratio of their weights, and no turn is wasted on an empty lane (work-conserving).
//! **Bounds**: a lane waits at most for the other lanes' weights, whatever they hold.

/// The credit that each lane has left in the round. Lasts over calls, so that a caller that takes one item at a time
/// sees the same ratio as one that takes hundreds.
pub(crate) struct Turns<const N: usize> {
    weights: [u32; N],
    credits: [u32; N],
}

impl<const N: usize> Turns<N> {
    /// # Panics
    /// When there is no lane or a weight is zero: such a lane would starve.
    pub(crate) fn new(weights: [u32; N]) -> Self {
        assert!(N > 0, "lanes need at least one lane");
        assert!(weights.iter().all(|&weight| weight > 0), "a lane of weight zero would starve");
        Self { weights, credits: weights }
    }

    /// Serves up to `max` items. `serve(lane, want)` takes at most `want > 0` items from `lane` and returns how many;
    /// fewer than `want` means that the lane is empty now. Lower lanes come first within a round.
    #[inline]
    pub(crate) fn take(&mut self, max: usize, mut serve: impl FnMut(usize, usize) -> usize) -> usize {
        let mut taken = 0;
        while taken < max {
            let before = taken;
            for lane in 0..N {
                let want = (self.credits[lane] as usize).min(max - taken);
                if want == 0 {
                    continue;
                }
                let got = serve(lane, want);
                assert!(got <= want, "a lane gave more than its turn");
                self.credits[lane] -= u32::try_from(got).expect("got is at most a u32 credit");
                taken += got;
            }
            if taken == before {
                if self.credits == self.weights {
                    break;
                }
                self.credits = self.weights;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `calls` calls of `max` items over `backlog` and returns what each lane got.
    fn served(weights: [u32; 4], mut backlog: [usize; 4], calls: usize, max: usize) -> [usize; 4] {
        let mut turns = Turns::new(weights);
        let mut got = [0; 4];
        for _ in 0..calls {
            turns.take(max, |lane, want| {
                let n = want.min(backlog[lane]);
                backlog[lane] -= n;
                got[lane] += n;
                n
            });
        }
        got
    }

    #[test]
    fn saturated_lanes_share_by_weight() {
        for (calls, max) in [(1, 1000), (1000, 1), (100, 10), (143, 7)] {
            let got = served([4, 3, 2, 1], [10_000; 4], calls, max);
            let total: usize = got.iter().sum();
            assert_eq!(total, calls * max);
            for (lane, &weight) in [4, 3, 2, 1].iter().enumerate() {
                let fair = total * weight / 10;
                assert!(got[lane].abs_diff(fair) <= weight, "lane {lane} got {} of {total}", got[lane]);
            }
        }
    }

    #[test]
    fn empty_lanes_leave_their_share_to_the_others() {
        assert_eq!(served([4, 3, 2, 1], [0, 0, 0, 500], 1, 500), [0, 0, 0, 500]);
        assert_eq!(served([4, 3, 2, 1], [0, 600, 0, 600], 1, 400), [0, 300, 0, 100]);
        assert_eq!(served([4, 3, 2, 1], [0; 4], 3, 10), [0; 4]);
    }

    #[test]
    #[should_panic(expected = "would starve")]
    fn a_weight_of_zero_is_refused() {
        let _ = Turns::new([1, 0]);
    }
}
