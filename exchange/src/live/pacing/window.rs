//! Counting in fixed windows, as pure steps on a count that fits into one word.
//!
//! The exchange counts when a request arrives, by its clock; we count when it leaves, by our estimate of that
//! clock. So our windows begin [`SKEW_MICROS`] after the exchange's, and what leaves in the *tail* of a
//! window, when it may arrive in the next one, counts in both:
//!
//! ```text
//! exchange  |------------ window k ------------|------ k+1 ...
//! ours        |------- body of k -------|- tail -|--- body of k+1 ...
//!           SKEW                  TRANSIT+SKEW   SKEW
//! ```
//!
//! **Invariants**: as long as the estimate is right within [`SKEW_MICROS`] and a request arrives within
//! [`TRANSIT_MICROS`], what is taken never exceeds the ceiling in any window of the exchange. When our clock
//! is put back, or a shard comes with a time of long ago, what was counted goes on counting, in that window
//! and in the one after it.

/// How wrong the estimate of the exchange's clock may be, in microseconds: half of where its alarm begins
/// (CASES.md, T2).
pub(super) const SKEW_MICROS: u64 = 250_000;
/// How long a request may be under way to the exchange, in microseconds: a whole retransmission of TCP.
pub(super) const TRANSIT_MICROS: u64 = 1_000_000;
/// Length of a window's tail, in microseconds.
pub(super) const TAIL_MICROS: u64 = TRANSIT_MICROS + 2 * SKEW_MICROS;

/// Which part of which window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the window since the epoch.
    pub(super) window: u32,
    /// Whether what leaves now may arrive in the next window.
    pub(super) is_tail: bool,
}

impl Place {
    /// The only place of a budget that is not counted in fixed windows.
    pub(super) const ALWAYS: Self = Self { window: 0, is_tail: false };

    /// The place of a time of the exchange's clock.
    pub(super) fn of(venue_micros: u64, span_micros: u64) -> Self {
        let shifted = venue_micros.saturating_sub(SKEW_MICROS);
        Self {
            window: u32::try_from(shifted / span_micros).unwrap_or(u32::MAX) & !PUT_BACK,
            is_tail: shifted % span_micros >= span_micros - TAIL_MICROS,
        }
    }

    /// Microseconds until our next window begins; above zero.
    pub(super) fn ends_in(venue_micros: u64, span_micros: u64) -> u64 {
        if venue_micros < SKEW_MICROS {
            return SKEW_MICROS - venue_micros;
        }
        span_micros - (venue_micros - SKEW_MICROS) % span_micros
    }
}

/// Set in the number of a window that was put back. Numbers have 31 bits: windows of 3 seconds need them in
/// 2174.
const PUT_BACK: u32 = 1 << 31;

/// What is taken of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Its number, with [`PUT_BACK`] when a later one was counted before.
    window: u32,
    used: u16,
    /// How much of it counts in the next window too.
    carried: u16,
}

impl Count {
    /// As one word, for an atomic.
    pub(super) const fn pack(self) -> u64 {
        (self.window as u64) << 32 | (self.used as u64) << 16 | self.carried as u64
    }

    /// The opposite.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each part is cut out of the word with its own width"
    )]
    pub(super) const fn unpack(word: u64) -> Self {
        Self { window: (word >> 32) as u32, used: (word >> 16) as u16, carried: word as u16 }
    }

    /// The count when it is this window's turn. `None`: somebody whose clock is ahead counts the next window
    /// already.
    pub(super) fn at(self, place: Place) -> Option<Self> {
        let window = place.window;
        match i64::from(window) - i64::from(self.window & !PUT_BACK) {
            0 => Some(self),
            1 => Some(Self { window, used: self.carried, carried: 0 }),
            -1 => None,
            ahead if ahead < 0 => Some(self.put_back(place)),
            // The later window that was counted before may be this one.
            _ if self.window & PUT_BACK != 0 => Some(Self { window, used: self.used, carried: 0 }),
            _ => Some(Self { window, used: 0, carried: 0 }),
        }
    }

    /// Counts this window when a later one was counted: the clock was put back, and nobody else's is right.
    pub(super) fn put_back(self, place: Place) -> Self {
        if self.window & !PUT_BACK <= place.window {
            return self;
        }
        let used = self.used.max(self.carried);
        Self { window: place.window | PUT_BACK, used, carried: used }
    }

    /// Units used in the window; those of the tail may be counted in the next one as well.
    pub(super) fn used(self) -> u32 {
        u32::from(self.used)
    }

    /// What is left below a ceiling at this place.
    pub(super) fn left(self, place: Place, ceiling: u32) -> u32 {
        let Some(count) = self.at(place) else { return 0 };
        let used = if place.is_tail { count.used.max(count.carried) } else { count.used };
        ceiling.saturating_sub(u32::from(used))
    }

    /// Takes at least `need`, at most `want`, never above the ceiling. The count afterwards and how much was
    /// taken.
    pub(super) fn take(self, place: Place, need: u32, want: u32, ceiling: u32) -> Option<(Self, u32)> {
        let left = self.left(place, ceiling);
        if left < need {
            return None;
        }
        let mut count = self.at(place)?;
        let taken = want.max(need).min(left);
        count.used = add(count.used, taken);
        if place.is_tail {
            count.carried = add(count.carried, taken);
        }
        Some((count, taken))
    }

    /// Gives back what was taken at `place` and not sent. Of another window than the counted one: nothing to
    /// do.
    pub(super) fn give(self, place: Place, units: u32) -> Self {
        if place.window != self.window & !PUT_BACK {
            return self;
        }
        let units = u16::try_from(units).unwrap_or(u16::MAX);
        let carried = if place.is_tail { self.carried.saturating_sub(units) } else { self.carried };
        Self { used: self.used.saturating_sub(units), carried, ..self }
    }

    /// The exchange says that at least so much is used in this window.
    pub(super) fn raise(self, place: Place, total: u32) -> Option<Self> {
        let count = self.at(place)?;
        Some(Self { used: count.used.max(u16::try_from(total).unwrap_or(u16::MAX)), ..count })
    }

    /// The exchange says that exactly so much is used in this window, and nothing is under way.
    pub(super) fn set(self, place: Place, total: u32) -> Option<Self> {
        let count = self.at(place)?;
        Some(Self { used: u16::try_from(total).unwrap_or(u16::MAX), ..count })
    }
}

fn add(count: u16, units: u32) -> u16 {
    count.saturating_add(u16::try_from(units).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: u64 = 10_000_000;

    #[test]
    fn places() {
        let at = |micros| (Place::of(micros, SPAN), Place::ends_in(micros, SPAN));
        let place = |window, is_tail| Place { window, is_tail };
        assert_eq!(at(7 * SPAN + SKEW_MICROS), (place(7, false), SPAN));
        assert_eq!(at(7 * SPAN + SKEW_MICROS - 1), (place(6, true), 1));
        assert_eq!(at(8 * SPAN - TRANSIT_MICROS - SKEW_MICROS - 1).0, place(7, false));
        assert_eq!(at(8 * SPAN - TRANSIT_MICROS - SKEW_MICROS).0, place(7, true));
        assert_eq!(Place::ends_in(0, SPAN), SKEW_MICROS);
    }

    #[test]
    fn what_is_taken_in_the_tail_counts_twice_and_comes_back_twice() {
        let (body, tail) = (Place { window: 5, is_tail: false }, Place { window: 5, is_tail: true });
        let next = Place { window: 6, is_tail: false };
        let (count, _) = Count::default().take(body, 3, 3, 10).expect("all is free");
        let (count, _) = count.take(tail, 4, 4, 10).expect("7 are free");
        assert_eq!((count.left(tail, 10), count.left(next, 10)), (3, 6));
        let count = count.give(tail, 1);
        assert_eq!((count.left(tail, 10), count.left(next, 10)), (4, 7));
        assert_eq!(count.left(Place { window: 7, is_tail: false }, 10), 10);
    }

    #[test]
    fn a_clock_that_is_put_back_forgets_nothing() {
        let place = |window| Place { window, is_tail: false };
        let (count, _) = Count::default().take(place(500), 4, 4, 10).expect("all is free");
        assert_eq!(count.at(place(499)), None, "another shard is a little behind");
        let (back, _) = count.take(place(300), 1, 1, 10).expect("6 are free");
        assert_eq!((back.left(place(300), 10), back.left(place(301), 10)), (5, 6));
        // It was only one shard that came with an old time: the others find what they left, and what that one
        // took.
        assert_eq!(back.left(place(500), 10), 5);
        let next = back.at(place(301)).expect("goes on");
        assert_eq!((next.left(place(301), 10), next.left(place(303), 10)), (6, 10));
        assert_eq!(count.put_back(place(499)).left(place(499), 10), 6);
    }

    proptest! {
        #[test]
        fn a_word_holds_a_count(window: u32, used: u16, carried: u16) {
            let count = Count { window, used, carried };
            prop_assert_eq!(Count::unpack(count.pack()), count);
        }
    }
}
