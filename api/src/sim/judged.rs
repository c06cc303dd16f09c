//! How much of what happens is held against the product: a judge that excuses everything, or agrees with everything, finds nothing.
//!
//! **Owns**: the counts of a run, and the least that many runs must come to ([`Judged::too_little`]).
//! **Invariants**: a count is made where a comparison has been made to its end, and nowhere else.
//! **Bounds**: the least are a quarter of what the first seeds come to, or less, so that a change of the load moves nothing here.

use super::bare::BareTime;

/// What was held against the product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Pages that were compared with the versions of their user.
    pub pages: u64,
    /// Pages that were spoilt to see whether the judge refuses them, and were refused.
    pub spoilt_pages: u64,
    /// Decisions and states that were spoilt in the same way, and were refused.
    pub spoilt_states: u64,
    /// Accounts that were found on an exchange as they are here, to the last unit.
    pub accounts: u64,
    /// Position-time on the exchanges in which a missing stop would have been held against the product, in microseconds.
    pub watched_us: u64,
    /// Time in which an exchange's limits on requests were held against the product, in milliseconds.
    pub requests_ms: u64,
    /// The same of its limits on sockets.
    pub sockets_ms: u64,
    /// Keys that a start sealed anew and put on record, after which their master keys were taken away.
    pub resealed: u64,
    /// Time in which the product knew that it is shut out, and any request was held against it.
    pub banned_ms: u64,
}

impl Judged {
    /// How many numbers it is.
    pub const NUMBERS: usize = 9;

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        let mut numbers = self.numbers();
        for (mine, theirs) in numbers.iter_mut().zip(other.numbers()) {
            *mine += theirs;
        }
        *self = Self::from_numbers(numbers);
    }

    /// As numbers, for passing it between processes.
    #[must_use]
    pub const fn numbers(&self) -> [u64; Self::NUMBERS] {
        let Self {
            pages,
            spoilt_pages,
            spoilt_states,
            accounts,
            watched_us,
            requests_ms,
            sockets_ms,
            resealed,
            banned_ms,
        } = *self;
        [
            pages,
            spoilt_pages,
            spoilt_states,
            accounts,
            watched_us,
            requests_ms,
            sockets_ms,
            resealed,
            banned_ms,
        ]
    }

    /// From such numbers.
    #[must_use]
    pub const fn from_numbers(numbers: [u64; Self::NUMBERS]) -> Self {
        let [
            pages,
            spoilt_pages,
            spoilt_states,
            accounts,
            watched_us,
            requests_ms,
            sockets_ms,
            resealed,
            banned_ms,
        ] = numbers;
        Self {
            pages,
            spoilt_pages,
            spoilt_states,
            accounts,
            watched_us,
            requests_ms,
            sockets_ms,
            resealed,
            banned_ms,
        }
    }

    /// What of this, and of what else was judged in so many seeds, is less than it must be.
    #[must_use]
    pub fn too_little(&self, seeds: u64, decisions: u64, answers: u64, bare: &BareTime) -> Vec<String> {
        // Of a hundred seeds.
        let least = [
            ("decisions compared", decisions, 15_000),
            ("answers compared", answers, 15_000),
            ("pages compared", self.pages, 5_000),
            ("spoilt pages refused", self.spoilt_pages, 500),
            ("spoilt states refused", self.spoilt_states, 100),
            ("accounts compared with the exchange", self.accounts, 50),
            ("ms judged of positions without a stop, by our books", bare.judged_ms + bare.capped_ms, 500),
            ("ms in which a missing stop there would have been judged", self.watched_us / 1_000, 100_000),
            ("ms judged of limits on requests", self.requests_ms, 100_000),
            ("ms judged of limits on sockets", self.sockets_ms, 100_000),
            ("keys sealed anew", self.resealed, 10),
        ];
        let of_hundred = |(_, found, least): &(&str, u64, u64)| found.saturating_mul(100) < least * seeds;
        let told = |(what, found, least): (&str, u64, u64)| {
            format!("too little was judged: {found} {what}, and {} must be", (least * seeds).div_ceil(100))
        };
        least.into_iter().filter(of_hundred).map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_that_says_nothing_is_told_of() {
        let bare = BareTime { judged_ms: 1_000_000, ..BareTime::default() };
        let all = Judged::from_numbers([100_000_000; Judged::NUMBERS]);
        let of = |judged: Judged, bare: BareTime| judged.too_little(100, 1_000_000, 1_000_000, &bare).len();
        assert_eq!(of(all, bare), 0);
        // Bans are too rare to be demanded of few seeds.
        for place in 0..Judged::NUMBERS - 1 {
            let mut numbers = all.numbers();
            numbers[place] = 0;
            assert_eq!(of(Judged::from_numbers(numbers), bare), 1, "number {place}");
        }
        assert_eq!(of(all, BareTime { excused_ms: 1_000_000, ..BareTime::default() }), 1);
    }
}
