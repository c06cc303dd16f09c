//! What was spent, by the slot of time it was spent in, until it no longer counts in a rolling window.
//!
//! **Invariants**: a unit is freed no earlier than the window's length and [`MARGIN_PERCENT`] of it after it
//! was added, and no later than one slot more. Cost of a step in time: at most the number of slots.

/// How much longer a unit counts than the window is long. Requests that leave evenly can arrive in a bunch:
/// this is by how much, at most, one may overtake another under way without a breach.
const MARGIN_PERCENT: u64 = 3;

/// Length of a slot, so that `slots` of them cover the window, its margin and the part of a slot that is
/// already over.
pub(super) const fn slot_micros(window_micros: u64, slots: usize) -> u64 {
    (window_micros * (100 + MARGIN_PERCENT) / 100).div_ceil(slots as u64 - 1)
}

/// The units spent in the last `N` slots.
#[derive(Clone, Debug)]
pub(super) struct Ring<const N: usize> {
    slots: [u16; N],
    head: u64,
    sum: u32,
}

impl<const N: usize> Ring<N> {
    /// Nothing spent.
    pub(super) const fn new() -> Self {
        Self { slots: [0; N], head: 0, sum: 0 }
    }

    /// Goes on to a slot, and says how many units no longer count. A slot before the newest one is taken for
    /// the newest; a clock that was put back further than all slots makes everything as young as can be.
    pub(super) fn advance(&mut self, slot: u64) -> u32 {
        if slot <= self.head {
            if self.head - slot > N as u64 {
                self.slots = [0; N];
                self.head = slot;
                *self.newest() = u16::try_from(self.sum).unwrap_or(u16::MAX);
            }
            return 0;
        }
        let before = self.sum;
        if self.sum == 0 || slot - self.head >= N as u64 {
            self.slots = [0; N];
            self.sum = 0;
            self.head = slot;
        }
        while self.head < slot {
            self.head += 1;
            let over = std::mem::take(self.newest());
            self.sum -= u32::from(over);
        }
        before - self.sum
    }

    /// Adds units to the newest slot. The caller keeps the sum below what 16 bits hold.
    pub(super) fn add(&mut self, units: u32) {
        let newest = self.newest();
        let added = u16::try_from(units).unwrap_or(u16::MAX).min(u16::MAX - *newest);
        *newest += added;
        self.sum += u32::from(added);
    }

    /// Takes back up to so many units that were added in a slot, as they were never sent. How many it were.
    pub(super) fn forget(&mut self, slot: u64, units: u32) -> u32 {
        let slot = slot.min(self.head);
        if self.head - slot >= N as u64 {
            return 0;
        }
        let held = &mut self.slots[index::<N>(slot)];
        let forgotten = u16::try_from(units).unwrap_or(u16::MAX).min(*held);
        *held -= forgotten;
        self.sum -= u32::from(forgotten);
        u32::from(forgotten)
    }

    /// How many units count.
    pub(super) const fn sum(&self) -> u32 {
        self.sum
    }

    /// The slot at which the oldest of them stop to count.
    pub(super) fn next_free(&self) -> Option<u64> {
        if self.sum == 0 {
            return None;
        }
        (1..=N as u64).map(|ahead| self.head + ahead).find(|slot| self.slots[index::<N>(*slot)] > 0)
    }

    fn newest(&mut self) -> &mut u16 {
        &mut self.slots[index::<N>(self.head)]
    }
}

/// Where a slot is kept: that of `N` slots before and after.
fn index<const N: usize>(slot: u64) -> usize {
    usize::try_from(slot % N as u64).expect("it is below N, which is a usize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_unit_counts_for_all_slots_and_no_longer() {
        let mut ring = Ring::<4>::new();
        ring.advance(100);
        ring.add(3);
        assert_eq!((ring.advance(101), ring.sum(), ring.next_free()), (0, 3, Some(104)));
        ring.add(2);
        assert_eq!((ring.advance(103), ring.sum()), (0, 5));
        assert_eq!((ring.advance(104), ring.next_free()), (3, Some(105)));
        assert_eq!(ring.forget(101, 9), 2);
        assert_eq!((ring.sum(), ring.next_free()), (0, None));
    }

    #[test]
    fn a_clock_put_back_makes_all_young() {
        let mut ring = Ring::<4>::new();
        ring.advance(1_000);
        ring.add(3);
        assert_eq!(
            (ring.advance(998), ring.next_free()),
            (0, Some(1_004)),
            "a little: the newest slot goes on"
        );
        assert_eq!((ring.advance(10), ring.sum(), ring.next_free()), (0, 3, Some(14)));
    }

    proptest! {
        #[test]
        fn equals_a_list(steps in prop::collection::vec((0_u64..7, 0_u32..5), 1..60)) {
            let mut ring = Ring::<5>::new();
            let (mut slot, mut list) = (1_000, Vec::new());
            for (ahead, units) in steps {
                slot += ahead;
                let before: u32 = list.iter().map(|(_, units)| units).sum();
                list.retain(|(at, _)| at + 5 > slot);
                let kept: u32 = list.iter().map(|(_, units)| units).sum();
                prop_assert_eq!(ring.advance(slot), before - kept);
                ring.add(units);
                list.push((slot, units));
                prop_assert_eq!(ring.sum(), kept + units);
                let next = list.iter().filter(|(_, units)| *units > 0).map(|(at, _)| at + 5).min();
                prop_assert_eq!(ring.next_free(), next);
            }
        }
    }
}
