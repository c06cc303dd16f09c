//! What contracts did in the last 24 hours, alike for both exchanges.
//!
//! **Invariants**: a change is exact, a fraction from [`CHANGE_MIN`] to [`CHANGE_MAX`]. A contract without a price has no change:
//! it is not told, rather than with a change of zero (CASES.md, F9). A row that cannot be read takes nothing from the others; a
//! symbol that is told twice makes the answer unreadable, for nothing says which of the two it is.
//! **Bounds**: those of the answer's body; [`Turnover::MAX`].

use std::str::FromStr;

use engine::core::fixed::{DECIMALS, ParseError, Rate, UNIT, parse_units};
use engine::core::instrument::Symbol;

use super::protocol::{DayTickerView, Malformed};

/// The lowest change: a price cannot lose more than itself.
pub const CHANGE_MIN: Rate = Rate::from_whole(-1);
/// The highest change that is believed: a million percent. New listings have risen some thousand percent in a day.
pub const CHANGE_MAX: Rate = Rate::from_whole(10_000);

/// What was traded of a contract in 24 hours, in the currency that it is quoted in: units of 1e-8, from zero to
/// [`Turnover::MAX`]. Wider than `Money`, which ends at 92 billion: the busiest contract comes near that on the busiest days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turnover(i128);

impl Turnover {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that is believed: 10^15, ten thousand times what the busiest contract ever had.
    pub const MAX: Self = Self(1_000_000_000_000_000 * UNIT as i128);

    /// From units of 1e-8; `None` outside of the range.
    #[must_use]
    pub const fn from_units(units: i128) -> Option<Self> {
        if units >= 0 && units <= Self::MAX.0 { Some(Self(units)) } else { None }
    }

    /// Units of 1e-8.
    #[must_use]
    pub const fn units(self) -> i128 {
        self.0
    }
}

/// Reads a decimal. What is beyond the eighth place is cut off: it is a weight, and that is less than a millionth of a cent of it.
impl FromStr for Turnover {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let units = match parse_units(text) {
            Ok(units) => i128::from(units),
            // Beyond 64 bits, or beyond the eighth place: both are fine here as long as it is a plain decimal.
            Err(error @ (ParseError::OutOfRange | ParseError::TooPrecise)) => {
                plain_units(text.trim()).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        Self::from_units(units).ok_or(ParseError::OutOfRange)
    }
}

/// Units of a plain decimal without a sign, cut after the eighth place; `None` for any other text, and beyond 128 bits.
fn plain_units(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_plain(whole) || !is_plain(part) {
        return None;
    }
    let places = usize::try_from(DECIMALS).ok()?;
    let kept = &part[..part.len().min(places)];
    let part: i128 = format!("{kept:0<places$}").parse().ok()?;
    whole.parse::<i128>().ok()?.checked_mul(i128::from(UNIT))?.checked_add(part)
}

/// A change, where it is one that a price can make.
pub(super) fn change(told: Rate) -> Option<Rate> {
    (CHANGE_MIN..=CHANGE_MAX).contains(&told).then_some(told)
}

/// The rows of an answer that can be read and have a price.
///
/// # Errors
/// There are rows, and none can be read; or a symbol is told twice.
pub(super) fn checked(
    rows: impl Iterator<Item = Result<Option<DayTickerView>, Malformed>>,
) -> Result<Vec<DayTickerView>, Malformed> {
    let (mut views, mut unreadable, mut readable) = (Vec::new(), None, 0_usize);
    for row in rows {
        match row {
            Ok(view) => {
                readable += 1;
                views.extend(view);
            }
            Err(error) => unreadable = unreadable.or(Some(error)),
        }
    }
    if let Some(error) = unreadable
        && readable == 0
    {
        return Err(error);
    }
    let mut symbols: Vec<Symbol> = views.iter().map(|view| view.symbol).collect();
    symbols.sort_unstable();
    match symbols.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Malformed(format!("24 h tickers: {} is told twice", pair[0]))),
        None => Ok(views),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Result<i128, ParseError> {
        text.parse::<Turnover>().map(Turnover::units)
    }

    #[test]
    fn a_turnover_is_read_beyond_what_money_can_be() {
        for (text, want) in [
            ("0", 0),
            ("0.00000001", 1),
            (" 15449851.6", 1_544_985_160_000_000),
            ("92233720368.54775807", i128::from(i64::MAX)),
            ("92233720368.54775808", i128::from(i64::MAX) + 1),
            ("123456789012345.123456789", 12_345_678_901_234_512_345_678),
            ("1.2e10", 1_200_000_000_000_000_000),
            ("2352.949500469", 235_294_950_046),
            ("1000000000000000.000000000", Turnover::MAX.units()),
        ] {
            assert_eq!(units(text), Ok(want), "{text}");
        }
        for text in [
            "",
            ".",
            "-1",
            "-0.000000001",
            "NaN",
            "inf",
            "1,5",
            "1e400",
            "1.5x",
            "123456789012345.12345678x",
            "123456789012345.1.2",
            "１２３456789012345.5",
            "1000000000000000.00000001",
            "99999999999999999999999999999999999999999999",
        ] {
            assert!(units(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_change_is_one_that_a_price_can_make() {
        let rate = |text: &str| text.parse::<Rate>().expect("a rate");
        for inside in ["-1", "-0.95960", "0", "0.00000001", "10000"] {
            assert_eq!(change(rate(inside)), Some(rate(inside)));
        }
        for outside in ["-1.00000001", "10000.00000001", "92233720368"] {
            assert_eq!(change(rate(outside)), None);
        }
    }

    proptest! {
        #[test]
        fn a_turnover_is_read_to_the_digit(whole in 0_u64..=1_000_000_000_000_000, part in "[0-9]{0,12}") {
            let text = format!("{whole}.{part}");
            let mut want = i128::from(whole);
            for place in 0..8 {
                let digit = part.as_bytes().get(place).map_or(0, |byte| i128::from(byte - b'0'));
                want = want * 10 + digit;
            }
            let want = Some(want).filter(|units| *units <= Turnover::MAX.units());
            prop_assert_eq!(units(&text).ok(), want);
        }

        #[test]
        fn any_text_is_a_turnover_or_an_error(text in ".{0,60}") {
            if let Ok(units) = units(&text) {
                prop_assert!((0..=Turnover::MAX.units()).contains(&units));
            }
        }
    }
}
