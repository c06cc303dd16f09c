//! The Market Pulse: how the contracts that are traded most have moved in the last 24 hours.
//!
//! **Runs on**: whoever has read both lists. **Owns**: nothing.
//! **Invariants**: pure, and exact until a name says otherwise; the order of the lists changes nothing. A contract counts when the
//! exchange's own list says that it is a perpetual one in USDT and trades: nothing is concluded from its name. One without a
//! price is left out and counted, for no price is not a change of zero (CASES.md, F9). A change of zero is not positive.
//! **Bounds**: [`PAIRS_MAX`] contracts; no sum of theirs can overflow (asserted below).

use std::collections::BTreeMap;

use engine::core::fixed::{Rate, Rounding, UNIT, mul_div};
use engine::core::instrument::{InstrumentStatus, Symbol};
use planted::planted;

use super::protocol::{DayTickerView, InstrumentView, Millis};
use super::tickers::{CHANGE_MAX, CHANGE_MIN, Turnover};

/// How many contracts make a reading: those of the highest turnover. On a market that has fewer, all.
pub const PAIRS_MAX: u32 = 100;

const _: () = assert!(
    PAIRS_MAX as i128 <= i128::MAX / Turnover::MAX.units() / CHANGE_MAX.units() as i128
        && CHANGE_MIN.units() >= -CHANGE_MAX.units(),
    "the sum of all turnovers, each times its change, must have a number"
);

/// What of the exchange's list is not in a reading, apart from contracts that are traded less than those which are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Perpetual contracts in USDT that do not trade: being settled or delivered, halted, not open yet.
    pub not_trading: u32,
    /// Those that trade, and of which the exchange tells no price, or nothing that can be read.
    pub without_figures: u32,
}

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketPulse {
    /// The exchange's time of the newest figure in it.
    pub at: Millis,
    /// How many contracts it is of: 1 to [`PAIRS_MAX`].
    pub pairs: u32,
    /// How many of them are above their price of 24 hours ago.
    pub positive: u32,
    /// PM+: the share of `positive`, as a fraction, half even at the eighth place. Exact when there are 100.
    pub plus: Rate,
    /// PM−: the share of all others, so that both together are 1.
    pub minus: Rate,
    /// The sum of each change times its turnover, in units of 1e-16 of the quote currency.
    pub weighted: i128,
    /// The sum of the turnovers, in units of 1e-8 of the quote currency; above zero.
    pub turnover: i128,
    /// VWΔ: the mean change by turnover, as a fraction, half even at the eighth place. Exactly it is
    /// `weighted / (turnover · 10^8)`.
    pub deviation: Rate,
    /// What is not in it.
    pub left_out: LeftOut,
}

/// Why there is no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PulseError {
    /// Nothing that counts has a price.
    #[error("no perpetual contract in USDT trades and has a price")]
    NoPairs,
    /// A mean by turnover of what was not traded is none.
    #[error("nothing was traded in 24 hours, so that no change has a weight")]
    NoTurnover,
}

impl MarketPulse {
    /// The reading of an exchange's complete list and its tickers, of which each symbol is there once. Of contracts with the same
    /// turnover, those whose symbols come first are taken.
    ///
    /// # Errors
    /// See [`PulseError`].
    pub fn of(listed: &[InstrumentView], day: &[DayTickerView]) -> Result<Self, PulseError> {
        let figures: BTreeMap<Symbol, &DayTickerView> = day.iter().map(|view| (view.symbol, view)).collect();
        let mut left_out = LeftOut::default();
        let mut ranked: BTreeMap<Symbol, &DayTickerView> = BTreeMap::new();
        for view in listed {
            let symbol = view.instrument.symbol;
            if !view.is_usdt_perpetual && !planted!("any_contract_in_the_pulse") {
                continue;
            }
            if view.instrument.status != InstrumentStatus::Trading {
                left_out.not_trading += 1;
            } else if let Some(figures) = figures.get(&symbol).copied() {
                ranked.insert(symbol, figures);
            } else {
                left_out.without_figures += 1;
            }
        }
        let mut ranked: Vec<&DayTickerView> = ranked.into_values().collect();
        // Stable: those of one turnover stay in the order of their symbols.
        ranked.sort_by_key(|view| std::cmp::Reverse(view.turnover));
        Self::of_pairs(ranked.into_iter().take(PAIRS_MAX as usize), left_out)
    }

    fn of_pairs<'a>(
        taken: impl Iterator<Item = &'a DayTickerView>,
        left_out: LeftOut,
    ) -> Result<Self, PulseError> {
        let (mut at, mut pairs, mut positive) = (Millis(0), 0_u32, 0_u32);
        let (mut weighted, mut turnover) = (0_i128, 0_i128);
        for view in taken {
            at = at.max(view.at);
            pairs += 1;
            let is_up = view.change.is_positive()
                || (view.change.is_zero() && planted!("zero_change_counted_as_positive"));
            positive += u32::from(is_up);
            weighted += i128::from(view.change.units()) * view.turnover.units();
            turnover += view.turnover.units();
        }
        let share = mul_div(positive.into(), UNIT, pairs.into(), Rounding::HalfEven);
        let plus = share.map(Rate::from_units).ok_or(PulseError::NoPairs)?;
        let deviation = half_even(weighted, turnover).ok_or(PulseError::NoTurnover)?;
        Ok(Self {
            at,
            pairs,
            positive,
            plus,
            minus: Rate::from_units(UNIT - plus.units()),
            weighted,
            turnover,
            deviation: Rate::from_units(deviation),
            left_out,
        })
    }
}

/// `numerator / denominator`, half even; `None` for a denominator of zero, and when it does not fit. Not for numbers in the upper half
/// of what 128 bits hold.
fn half_even(numerator: i128, denominator: i128) -> Option<i64> {
    let (floor, rest) =
        (numerator.checked_div_euclid(denominator)?, numerator.checked_rem_euclid(denominator)?);
    let is_up = match (2 * rest).cmp(&denominator) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => floor % 2 != 0,
    };
    i64::try_from(floor + i128::from(is_up)).ok()
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::{Money, Price, Quantity};
    use engine::core::instrument::{Brackets, Instrument};
    use proptest::prelude::*;

    use super::*;

    fn symbol(name: &str) -> Symbol {
        Symbol::new(name).expect("a symbol")
    }

    fn listed(name: &str) -> InstrumentView {
        let instrument = Instrument {
            symbol: symbol(name),
            status: InstrumentStatus::Trading,
            tick: Price::from_units(1),
            step: Quantity::from_units(1),
            quantity_min: Quantity::from_units(1),
            quantity_max_limit: Quantity::MAX,
            quantity_max_market: Quantity::MAX,
            notional_min: Money::ZERO,
            leverage_max: 20,
            maintenance: Rate::from_units(500_000),
            brackets: Brackets::NONE,
            fee_taker: Rate::ZERO,
            fee_maker: Rate::ZERO,
            fee_liquidation: Rate::ZERO,
        };
        InstrumentView { instrument, ends_at: None, is_usdt_perpetual: true }
    }

    fn day(name: &str, change: &str, turnover: &str) -> DayTickerView {
        DayTickerView {
            symbol: symbol(name),
            change: change.parse().expect("a change"),
            turnover: turnover.parse().expect("a turnover"),
            at: Millis(1_700_000_000_000),
        }
    }

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    #[test]
    fn a_reading_by_hand() {
        let listed = ["AUSDT", "BUSDT", "CUSDT"].map(listed);
        let newest = DayTickerView { at: Millis(1_700_000_000_001), ..day("BUSDT", "-0.02", "1000") };
        let rows = [day("AUSDT", "0.05", "3000"), newest, day("CUSDT", "0.01", "2000.5")];
        let pulse = MarketPulse::of(&listed, &rows).expect("a reading");
        assert_eq!((pulse.at, pulse.pairs, pulse.positive), (Millis(1_700_000_000_001), 3, 2));
        assert_eq!((pulse.plus, pulse.minus), (rate("0.66666667"), rate("0.33333333")));
        // 150 - 20 + 20.005 = 150.005 of 6000.5.
        assert_eq!((pulse.weighted, pulse.turnover), (1_500_050_000_000_000_000, 600_050_000_000));
        assert_eq!(pulse.deviation, rate("0.02499875"));
        assert_eq!(pulse.left_out, LeftOut::default());
    }

    #[test]
    fn zero_is_not_positive_and_minus_is_all_the_rest() {
        let listed = ["AUSDT", "BUSDT", "CUSDT", "DUSDT"].map(listed);
        let rows = [
            day("AUSDT", "0.00000001", "1"),
            day("BUSDT", "0", "1"),
            day("CUSDT", "-0.1", "1"),
            day("DUSDT", "0", "1"),
        ];
        let pulse = MarketPulse::of(&listed, &rows).expect("a reading");
        assert_eq!((pulse.positive, pulse.plus, pulse.minus), (1, rate("0.25"), rate("0.75")));
        assert_eq!(pulse.deviation, rate("-0.025"), "the nearest to -0.0249999975");
    }

    #[test]
    fn case_f9_case_y5_what_does_not_trade_or_has_no_price_is_left_out_and_counted() {
        let mut all = ["AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT", "FUSDT-27DEC24"].map(listed);
        all[1].instrument.status = InstrumentStatus::Halted;
        all[2].instrument.status = InstrumentStatus::CloseOnly;
        // Its name ends like the others', and it is of another kind.
        all[4].is_usdt_perpetual = false;
        all[5].is_usdt_perpetual = false;
        let rows = [
            day("AUSDT", "-0.01", "10"),
            day("BUSDT", "0.5", "1000"),
            day("CUSDT", "0.5", "1000"),
            day("EUSDT", "0.5", "1000"),
            day("FUSDT-27DEC24", "0.5", "1000"),
            day("NOTLISTEDUSDT", "0.5", "1000"),
        ];
        let pulse = MarketPulse::of(&all, &rows).expect("a reading");
        assert_eq!((pulse.pairs, pulse.positive, pulse.deviation), (1, 0, rate("-0.01")));
        assert_eq!(pulse.left_out, LeftOut { not_trading: 2, without_figures: 1 });
    }

    #[test]
    fn the_hundred_of_highest_turnover_count_and_ties_go_by_symbol() {
        let names: Vec<String> = (0..130).map(|n| format!("S{n:03}USDT")).collect();
        let listed: Vec<_> = names.iter().map(|name| listed(name)).collect();
        // The last 20 are the largest; the 110 before them are alike, so that the first 80 of these are taken.
        let rows: Vec<_> = (0..130)
            .map(|n| {
                let change = if (80..110).contains(&n) { "1" } else { "-0.5" };
                day(&names[n], change, if n < 110 { "5" } else { "6" })
            })
            .collect();
        let pulse = MarketPulse::of(&listed, &rows).expect("a reading");
        assert_eq!((pulse.pairs, pulse.positive, pulse.deviation), (100, 0, rate("-0.5")));
        assert_eq!(pulse.turnover, i128::from(UNIT) * (80 * 5 + 20 * 6));
        assert_eq!(pulse.left_out, LeftOut::default(), "who is traded less is not left out");
        let reversed: Vec<_> = rows.iter().rev().copied().collect();
        assert_eq!(MarketPulse::of(&listed, &reversed), Ok(pulse));
    }

    #[test]
    fn without_contracts_or_turnover_there_is_no_reading() {
        assert_eq!(MarketPulse::of(&[], &[]), Err(PulseError::NoPairs));
        assert_eq!(MarketPulse::of(&[], &[day("AUSDT", "0.1", "1")]), Err(PulseError::NoPairs));
        assert_eq!(MarketPulse::of(&[listed("AUSDT")], &[]), Err(PulseError::NoPairs));
        let idle = [day("AUSDT", "0.1", "0")];
        assert_eq!(MarketPulse::of(&[listed("AUSDT")], &idle), Err(PulseError::NoTurnover));
    }

    #[test]
    fn the_largest_numbers_have_a_reading() {
        let names: Vec<String> = (0..PAIRS_MAX).map(|n| format!("S{n}")).collect();
        let listed: Vec<_> = names.iter().map(|name| listed(name)).collect();
        for change in [CHANGE_MAX, CHANGE_MIN] {
            let most = |name: &String| DayTickerView {
                symbol: symbol(name),
                change,
                turnover: Turnover::MAX,
                at: Millis(u64::MAX),
            };
            let rows: Vec<_> = names.iter().map(most).collect();
            let pulse = MarketPulse::of(&listed, &rows).expect("a reading");
            assert_eq!((pulse.deviation, pulse.pairs), (change, PAIRS_MAX));
        }
    }

    /// A contract as an exchange may tell it: whether it is of our kind, whether it trades, its change and turnover.
    type Contract = (bool, bool, Option<(i64, u64)>);

    fn markets() -> impl Strategy<Value = Vec<Contract>> {
        // Few turnovers, so that there are ties; small and large ones.
        let turnover = prop_oneof![0_u64..4, 0_u64..1_000_000_000_000, Just(u64::MAX)];
        let change = prop_oneof![Just(0_i64), -100_000_000_i64..=1_000_000_000_000, -3_i64..=3];
        let figures = proptest::option::weighted(0.9, (change, turnover));
        let one = (proptest::bool::weighted(0.9), proptest::bool::weighted(0.9), figures);
        proptest::collection::vec(one, 0..180)
    }

    proptest! {
        /// Against a reading that is made another way: each contract's rank is counted, not sorted for, and quotients are compared,
        /// not made.
        #[test]
        fn a_reading_is_what_the_rules_say(market in markets(), turn in 0_usize..180) {
            let name = |n: usize| format!("S{n:03}");
            let mut all: Vec<_> = (0..market.len()).map(|n| listed(&name(n))).collect();
            let mut rows = Vec::new();
            let mut counted: Vec<(usize, i128, i128)> = Vec::new();
            let (mut idle, mut blank) = (0, 0);
            for (n, (is_ours, trades, figures)) in market.iter().enumerate() {
                all[n].is_usdt_perpetual = *is_ours;
                if !trades {
                    all[n].instrument.status = InstrumentStatus::Halted;
                }
                if let Some((change, turnover)) = figures {
                    rows.push(DayTickerView {
                        symbol: symbol(&name(n)),
                        change: Rate::from_units(*change),
                        turnover: Turnover::from_units(i128::from(*turnover)).expect("in range"),
                        at: Millis(n as u64),
                    });
                }
                match (is_ours, trades, figures) {
                    (true, true, Some((change, turnover))) => {
                        counted.push((n, i128::from(*change), i128::from(*turnover)));
                    }
                    (true, true, None) => blank += 1,
                    (true, false, _) => idle += 1,
                    (false, ..) => {}
                }
            }
            let above = |one: &(usize, i128, i128)| {
                counted.iter().filter(|other| other.2 > one.2 || (other.2 == one.2 && other.0 < one.0)).count()
            };
            let taken: Vec<_> = counted.iter().filter(|one| above(one) < 100).copied().collect();
            let turnover: i128 = taken.iter().map(|one| one.2).sum();
            let weighted: i128 = taken.iter().map(|one| one.1 * one.2).sum();
            if !rows.is_empty() {
                let by = turn % rows.len();
                rows.rotate_left(by);
            }
            let read = MarketPulse::of(&all, &rows);
            if taken.is_empty() {
                prop_assert_eq!(read, Err(PulseError::NoPairs));
            } else if turnover == 0 {
                prop_assert_eq!(read, Err(PulseError::NoTurnover));
            } else {
                let pulse = read.expect("a reading");
                let ups = taken.iter().filter(|one| one.1 > 0).count();
                prop_assert_eq!((pulse.pairs as usize, pulse.positive as usize), (taken.len(), ups));
                prop_assert_eq!((pulse.weighted, pulse.turnover), (weighted, turnover));
                prop_assert_eq!(Some(pulse.at.0), taken.iter().map(|one| one.0 as u64).max());
                prop_assert_eq!((pulse.left_out.not_trading, pulse.left_out.without_figures), (idle, blank));
                // Rounded quotients are no further from the exact ones than half a unit.
                let off = i128::from(pulse.deviation.units()) * turnover - weighted;
                prop_assert!(2 * off.abs() <= turnover);
                let count = taken.len() as i128;
                let off = i128::from(pulse.plus.units()) * count - ups as i128 * i128::from(UNIT);
                prop_assert!(2 * off.abs() <= count);
                prop_assert_eq!(pulse.plus.units() + pulse.minus.units(), UNIT);
            }
        }
    }
}
