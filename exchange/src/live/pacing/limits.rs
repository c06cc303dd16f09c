//! The limits of the exchanges as numbers, and what has to hold between them.
//!
//! **Invariants**: headers of the exchange win over these numbers at run time (EXCHANGES.md, head).
//! **Bounds**: [`UNITS_MAX`], [`LEVEL_MAX`], [`ACCOUNTS_MAX`], [`SHARDS_MAX`].

use super::ring::slot_micros;

/// Largest budget of an address, in units: a count has 16 bits, and one that a header pushed beyond the
/// budget must fit too.
pub const UNITS_MAX: u32 = 60_000;
/// Highest level of an account's group that is believed: fifty times the highest that Bybit names
/// (EXCHANGES.md §3.3).
pub const LEVEL_MAX: u32 = 10_000;
/// Accounts of one pacer; one costs about 500 bytes.
pub const ACCOUNTS_MAX: usize = 65_536;
/// Shards that share an address.
pub const SHARDS_MAX: u32 = 256;

/// A second, in microseconds.
pub(super) const SECOND: u64 = 1_000_000;
/// A minute, in microseconds.
pub(super) const MINUTE: u64 = 60 * SECOND;

/// How the exchange counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// In windows that begin at the multiples of their length on the exchange's clock.
    Fixed {
        /// Their length, in microseconds.
        micros: u64,
    },
    /// In every stretch of this length.
    Rolling {
        /// Its length, in microseconds.
        micros: u64,
    },
}

impl Span {
    /// Its length, in microseconds.
    #[must_use]
    pub const fn micros(self) -> u64 {
        match self {
            Self::Fixed { micros } | Self::Rolling { micros } => micros,
        }
    }
}

/// So many units in such a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many: 1 to [`UNITS_MAX`].
    pub units: u32,
    /// In what.
    pub span: Span,
}

/// What is counted per account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountLimits {
    /// One count of orders in two kinds of fixed windows.
    Fixed {
        /// Orders in the short window.
        short: u32,
        /// Its length, in microseconds.
        short_micros: u64,
        /// Orders in the long window.
        long: u32,
        /// Its length, in microseconds.
        long_micros: u64,
    },
    /// Each group by itself in a rolling second, until the exchange's headers tell another level.
    Rolling {
        /// New orders.
        place: u32,
        /// Cancellations.
        cancel: u32,
        /// Leverage, modes, triggers of a position.
        configure: u32,
        /// Questions.
        read: u32,
    },
}

/// How long a ban lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanRule {
    /// The first one whose end is not told, in microseconds; each further one is twice as long.
    pub first_micros: u64,
    /// No ban is taken to be shorter than this, whatever is told, in microseconds.
    pub least_micros: u64,
    /// No ban is taken to be longer than this, whatever is told, in microseconds.
    pub most_micros: u64,
}

/// All limits of a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueLimits {
    /// Requests of an address by HTTP.
    pub http: Limit,
    /// Requests of an address over sockets; `None`: they use the budget of `http`.
    pub socket: Option<Limit>,
    /// Per account.
    pub accounts: AccountLimits,
    /// Bans of an address.
    pub ban: BanRule,
}

/// Longest ban that either exchange names (EXCHANGES.md §2.3).
const BAN_MOST: u64 = 3 * 24 * 60 * MINUTE;

impl VenueLimits {
    /// Binance USD-M futures (EXCHANGES.md §2.3).
    pub const BINANCE: Self = Self {
        http: Limit { units: 2_400, span: Span::Fixed { micros: MINUTE } },
        socket: None,
        accounts: AccountLimits::Fixed {
            short: 300,
            short_micros: 10 * SECOND,
            long: 1_200,
            long_micros: MINUTE,
        },
        ban: BanRule { first_micros: 2 * MINUTE, least_micros: 0, most_micros: BAN_MOST },
    };
    /// Bybit V5 linear (EXCHANGES.md §3.3); levels of an account without a VIP grade. The configuring calls
    /// are counted as one although each endpoint has a limit of its own.
    pub const BYBIT: Self = Self {
        http: Limit { units: 600, span: Span::Rolling { micros: 5 * SECOND } },
        socket: Some(Limit { units: 3_000, span: Span::Rolling { micros: SECOND } }),
        accounts: AccountLimits::Rolling { place: 10, cancel: 10, configure: 10, read: 50 },
        ban: BanRule { first_micros: 10 * MINUTE, least_micros: 10 * MINUTE, most_micros: BAN_MOST },
    };

    /// Whether the numbers can be kept at all.
    pub(super) fn check(&self) -> Result<(), UnfitLimits> {
        for limit in [Some(self.http), self.socket].into_iter().flatten() {
            if limit.units == 0 || limit.units > UNITS_MAX {
                return Err(UnfitLimits::Units(limit.units));
            }
            check_span(limit.span)?;
        }
        match self.accounts {
            AccountLimits::Fixed { short, short_micros, long, long_micros } => {
                check_span(Span::Fixed { micros: short_micros })?;
                check_span(Span::Fixed { micros: long_micros })?;
                check_levels(&[short, long])
            }
            AccountLimits::Rolling { place, cancel, configure, read } => {
                check_levels(&[place, cancel, configure, read])
            }
        }
    }
}

fn check_span(span: Span) -> Result<(), UnfitLimits> {
    // A fixed window has to be longer than what is counted twice at its end; an hour bounds every sum of
    // times here.
    let least = match span {
        Span::Fixed { .. } => 2 * super::window::TAIL_MICROS,
        Span::Rolling { .. } => SECOND,
    };
    if (least..=60 * MINUTE).contains(&span.micros()) {
        Ok(())
    } else {
        Err(UnfitLimits::Span(span.micros()))
    }
}

fn check_levels(levels: &[u32]) -> Result<(), UnfitLimits> {
    match levels.iter().find(|level| **level == 0 || **level > LEVEL_MAX) {
        Some(level) => Err(UnfitLimits::Level(*level)),
        None => Ok(()),
    }
}

/// Limits that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitLimits {
    /// A budget of an address.
    #[error("a budget of {0} units: 1 to {UNITS_MAX} can be kept")]
    Units(u32),
    /// A level of an account.
    #[error("a level of {0}: 1 to {LEVEL_MAX} can be kept")]
    Level(u32),
    /// A span.
    #[error(
        "a span of {0} microseconds: fixed windows from 3 seconds, rolling ones from 1 second, up to an hour"
    )]
    Span(u64),
    /// A number of shards.
    #[error("{0} shards would share the address: 1 to {SHARDS_MAX} can")]
    Shards(u32),
}

const _: () = {
    // A rolling second costs less than 5 % of what it allows: issue 6 asks for 95 %.
    assert!(
        slot_micros(SECOND, super::lease::SPENT_SLOTS) * super::lease::SPENT_SLOTS as u64
            <= SECOND * 100 / 95
    );
    assert!(slot_micros(SECOND, super::account::SLOTS) * super::account::SLOTS as u64 <= SECOND * 100 / 95);
    assert!(UNITS_MAX < u16::MAX as u32);
    assert!(LEVEL_MAX < u16::MAX as u32);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_both_venues_fit_and_others_are_named() {
        assert_eq!(VenueLimits::BINANCE.check(), Ok(()));
        assert_eq!(VenueLimits::BYBIT.check(), Ok(()));
        let with = |change: fn(&mut VenueLimits)| {
            let mut limits = VenueLimits::BINANCE;
            change(&mut limits);
            limits.check()
        };
        assert_eq!(with(|l| l.http.units = 0), Err(UnfitLimits::Units(0)));
        assert_eq!(with(|l| l.http.units = 60_001), Err(UnfitLimits::Units(60_001)));
        assert_eq!(with(|l| l.http.span = Span::Fixed { micros: SECOND }), Err(UnfitLimits::Span(SECOND)));
        assert_eq!(
            with(|l| l.accounts = AccountLimits::Rolling { place: 0, cancel: 1, configure: 1, read: 1 }),
            Err(UnfitLimits::Level(0))
        );
    }
}
