//! What a request is for, and how much of every budget it may use.
//!
//! **Invariants**: a more urgent purpose may use whatever a less urgent one may, and more: whenever an open
//! may go, a close may too. So whoever asks for closes first always lets them overtake.

/// What a request is for, least urgent first. Whoever holds a queue asks in the opposite order: closes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// What can be done at any time: leverage ahead of a signal, rotation of snapshots, key health.
    Background,
    /// Entries.
    Open,
    /// Finding out what is true: unknown outcomes, gaps of a stream.
    Reconcile,
    /// What became of an entry or an exit, and what was filled of it: without that its position can be neither protected nor closed.
    Ascertain,
    /// What can only make a risk smaller: exits, stops, cancellations.
    Close,
}

impl Purpose {
    /// All, least urgent first.
    pub const ALL: [Self; 5] = [Self::Background, Self::Open, Self::Reconcile, Self::Ascertain, Self::Close];

    /// How much of a budget may be used, by everybody together, when this one is still admitted.
    ///
    /// Opens leave 20 % to closes, cancellations and reconciliation (issue 6). Of those, reconciliation
    /// leaves the last 10 % to closes and what they rest on. Background leaves opens half of what they may use.
    #[must_use]
    pub const fn share_percent(self) -> u32 {
        match self {
            Self::Background => 40,
            Self::Open => 80,
            Self::Reconcile => 90,
            Self::Ascertain => 95,
            Self::Close => 100,
        }
    }

    /// The same in units of a budget of `limit`; at least one, so that no purpose is shut out of a small
    /// budget for good.
    #[must_use]
    pub const fn ceiling(self, limit: u32) -> u32 {
        // Whole hundreds and the rest apart: no product leaves 32 bits.
        let percent = self.share_percent();
        let share = limit / 100 * percent + limit % 100 * percent / 100;
        if share == 0 && limit > 0 { 1 } else { share }
    }

    /// Its place in [`Purpose::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_urgent_may_use_more() {
        for pair in Purpose::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
            for limit in [1, 2, 3, 10, 199, 300, 2_400, 60_000, u32::MAX] {
                assert!(pair[0].ceiling(limit) <= pair[1].ceiling(limit));
            }
        }
        assert_eq!(Purpose::Close.ceiling(2_400), 2_400);
        assert_eq!(Purpose::Open.ceiling(2_400), 1_920);
        assert_eq!(Purpose::Open.ceiling(199), 159);
        assert_eq!(Purpose::Open.ceiling(1), 1);
        assert_eq!(Purpose::Open.ceiling(0), 0);
    }
}
