//! Exact decimal numbers for money, prices, quantities and rates.
//!
//! Each is an `i64` counting units of 1e-8, so the range is ±92 233 720 368.54775807. They are distinct types:
//! adding a price to a quantity does not compile.
//!
//! **Invariants**: no floating point; arithmetic is checked; printing is plain decimal, never in exponent form;
//! `parse(print(x)) == x`. Rounding happens only where a function's name or argument says so.

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

/// Units in one whole: 10^8.
pub const UNIT: i64 = 100_000_000;
/// Decimal places carried.
pub const DECIMALS: u32 = 8;

/// Why a text is not a number of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing, or no digit at all.
    #[error("not a number")]
    NotANumber,
    /// A comma where a decimal point is expected.
    #[error("a decimal comma; write a decimal point")]
    DecimalComma,
    /// `NaN`, `inf` and the like.
    #[error("not a finite number")]
    NotFinite,
    /// More than eight decimal places that are not zero.
    #[error("more than 8 decimal places")]
    TooPrecise,
    /// Outside ±92 233 720 368.54775807.
    #[error("out of range")]
    OutOfRange,
}

/// Which way an inexact result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest; a tie goes to the even neighbour.
    HalfEven,
    /// Towards negative infinity.
    Floor,
    /// Towards positive infinity.
    Ceil,
}

/// `a * b / divisor`, rounded; `None` when it does not fit or `divisor` is zero. Exact inside (128 bits).
#[must_use]
pub fn mul_div(a: i64, b: i64, divisor: i64, rounding: Rounding) -> Option<i64> {
    if divisor == 0 {
        return None;
    }
    let (mut numerator, mut denominator) = (i128::from(a) * i128::from(b), i128::from(divisor));
    if denominator < 0 {
        numerator = -numerator;
        denominator = -denominator;
    }
    let floor = numerator.div_euclid(denominator);
    let rest = numerator.rem_euclid(denominator);
    let up = match rounding {
        Rounding::Floor => false,
        Rounding::Ceil => rest > 0,
        Rounding::HalfEven => match (2 * rest).cmp(&denominator) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => floor % 2 != 0,
        },
    };
    i64::try_from(floor + i128::from(up)).ok()
}

/// Parses a decimal text exactly into units of 1e-8. Accepts a sign, a point, an exponent (`9.2e-7`) and blanks
/// around it; zeros beyond the eighth place are fine, other digits there are [`ParseError::TooPrecise`].
///
/// # Errors
/// See [`ParseError`]; every text that is not a finite decimal number within range is one.
pub fn parse_units(text: &str) -> Result<i64, ParseError> {
    let text = text.trim();
    let (negative, body) = match text.as_bytes().first() {
        None => return Err(ParseError::NotANumber),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    if ["nan", "inf", "infinity"].iter().any(|word| body.eq_ignore_ascii_case(word)) {
        return Err(ParseError::NotFinite);
    }
    let mut value: i128 = 0;
    let mut digits = 0_u32;
    let mut places: i64 = 0;
    let mut point = false;
    let mut exponent: i64 = 0;
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                if value >= 10_i128.pow(30) {
                    return Err(if point { ParseError::TooPrecise } else { ParseError::OutOfRange });
                }
                value = value * 10 + i128::from(byte - b'0');
                places += i64::from(point);
            }
            b'.' if !point => point = true,
            b',' => return Err(ParseError::DecimalComma),
            b'e' | b'E' if digits > 0 => {
                exponent = parse_exponent(&body[at + 1..])?;
                break;
            }
            _ => return Err(ParseError::NotANumber),
        }
    }
    if digits == 0 {
        return Err(ParseError::NotANumber);
    }
    let shift = i64::from(DECIMALS) + exponent - places;
    let mut units = value;
    if units != 0 {
        if shift >= 0 {
            for _ in 0..shift {
                units = units.checked_mul(10).ok_or(ParseError::OutOfRange)?;
                if units > i128::from(i64::MAX) {
                    return Err(ParseError::OutOfRange);
                }
            }
        } else {
            for _ in 0..-shift {
                if units % 10 != 0 {
                    return Err(ParseError::TooPrecise);
                }
                units /= 10;
            }
        }
    }
    let units = if negative { -units } else { units };
    i64::try_from(units).map_err(|_| ParseError::OutOfRange)
}

/// An exponent of at most three digits; larger ones cannot be in range.
fn parse_exponent(text: &str) -> Result<i64, ParseError> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::NotANumber);
    }
    if digits.len() > 3 {
        return Err(ParseError::OutOfRange);
    }
    Ok(sign * digits.parse::<i64>().map_err(|_| ParseError::NotANumber)?)
}

/// Writes units of 1e-8 as plain decimal: no exponent, no trailing zeros, no `-0`.
fn print_units(units: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let magnitude = units.unsigned_abs();
    let (whole, part) = (magnitude / UNIT.unsigned_abs(), magnitude % UNIT.unsigned_abs());
    let mut text = [0_u8; 32];
    let mut at = text.len();
    if part != 0 {
        let mut rest = part;
        let mut started = false;
        for _ in 0..DECIMALS {
            let digit = u8::try_from(rest % 10).expect("a digit fits");
            rest /= 10;
            started |= digit != 0;
            if started {
                at -= 1;
                text[at] = b'0' + digit;
            }
        }
        at -= 1;
        text[at] = b'.';
    }
    let mut rest = whole;
    loop {
        at -= 1;
        text[at] = b'0' + u8::try_from(rest % 10).expect("a digit fits");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    f.pad_integral(units >= 0, "", std::str::from_utf8(&text[at..]).expect("only ASCII was written"))
}

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Archive, Serialize, Deserialize,
        )]
        pub struct $name(i64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(i64::MAX);

            /// From units of 1e-8.
            #[must_use]
            pub const fn from_units(units: i64) -> Self {
                Self(units)
            }
            /// From a whole number; for constants.
            ///
            /// # Panics
            /// When it does not fit.
            #[must_use]
            pub const fn from_whole(whole: i64) -> Self {
                assert!(whole <= i64::MAX / UNIT && whole >= i64::MIN / UNIT, "whole number out of range");
                Self(whole * UNIT)
            }
            /// Units of 1e-8.
            #[must_use]
            pub const fn units(self) -> i64 {
                self.0
            }
            /// Sum, or `None` when it does not fit.
            #[must_use]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }
            /// Difference, or `None` when it does not fit.
            #[must_use]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }
            /// The negative; saturates at the one value that has none.
            #[must_use]
            pub const fn negated(self) -> Self {
                Self(self.0.saturating_neg())
            }
            /// Magnitude; saturating.
            #[must_use]
            pub const fn abs(self) -> Self {
                Self(self.0.saturating_abs())
            }
            /// Whether it is zero.
            #[must_use]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
            /// Whether it is above zero.
            #[must_use]
            pub const fn is_positive(self) -> bool {
                self.0 > 0
            }
            /// Whether it is below zero.
            #[must_use]
            pub const fn is_negative(self) -> bool {
                self.0 < 0
            }
            /// The largest multiple of `grid` that is not above it; itself when `grid` is not positive.
            #[must_use]
            pub const fn floor_to(self, grid: Self) -> Self {
                if grid.0 <= 0 { self } else { Self(self.0 - self.0.rem_euclid(grid.0)) }
            }
            /// The smallest multiple of `grid` that is not below it, saturating; itself when `grid` is not positive.
            #[must_use]
            pub const fn ceil_to(self, grid: Self) -> Self {
                if grid.0 <= 0 {
                    return self;
                }
                let rest = self.0.rem_euclid(grid.0);
                if rest == 0 { self } else { Self((self.0 - rest).saturating_add(grid.0)) }
            }
            /// `self * rate`, rounded; `None` when it does not fit.
            #[must_use]
            pub fn times(self, rate: Rate, rounding: Rounding) -> Option<Self> {
                mul_div(self.0, rate.0, UNIT, rounding).map(Self)
            }
            /// `self * numerator / denominator` of two numbers of one kind, rounded; `None` when it does not fit.
            #[must_use]
            pub fn scaled(self, numerator: i64, denominator: i64, rounding: Rounding) -> Option<Self> {
                mul_div(self.0, numerator, denominator, rounding).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                parse_units(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                print_units(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

fixed_point! {
    /// An amount of one currency, signed.
    Money
}
fixed_point! {
    /// A price in quote currency for one unit of base.
    Price
}
fixed_point! {
    /// An amount of base currency (contracts), unsigned by convention; the side says which way.
    Quantity
}
fixed_point! {
    /// A dimensionless factor: 0.0005 is 5 basis points, 0.3 is 30 percent.
    Rate
}

impl Price {
    /// `price * quantity` in quote currency, rounded half to even at the eighth place; `None` when it does not fit.
    #[must_use]
    pub fn notional(self, quantity: Quantity) -> Option<Money> {
        mul_div(self.0, quantity.0, UNIT, Rounding::HalfEven).map(Money)
    }
}

impl Money {
    /// How much base this buys at `price`, rounded; `None` when it does not fit or the price is zero.
    #[must_use]
    pub fn quantity_at(self, price: Price, rounding: Rounding) -> Option<Quantity> {
        mul_div(self.0, UNIT, price.0, rounding).map(Quantity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_print(units: i64, text: &str) {
        assert_eq!(Money::from_units(units).to_string(), text);
        assert_eq!(text.parse::<Money>(), Ok(Money::from_units(units)));
    }

    #[test]
    fn prints_plain_decimals() {
        check_print(0, "0");
        check_print(1, "0.00000001");
        check_print(-1, "-0.00000001");
        check_print(92, "0.00000092");
        check_print(UNIT, "1");
        check_print(-UNIT - 50_000_000, "-1.5");
        check_print(i64::MAX, "92233720368.54775807");
        check_print(i64::MIN, "-92233720368.54775808");
    }

    #[test]
    fn accepts_exponents_and_blanks() {
        for (text, units) in [
            ("9.2e-7", 92),
            ("1E3", 1000 * UNIT),
            ("1e+003", 1000 * UNIT),
            (" 5 ", 5 * UNIT),
            ("+.5", UNIT / 2),
            ("1.", UNIT),
            ("0e99", 0),
        ] {
            assert_eq!(parse_units(text), Ok(units), "{text}");
        }
        assert_eq!(parse_units("0.1000000000000"), Ok(UNIT / 10));
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, error) in [
            ("", ParseError::NotANumber),
            ("-", ParseError::NotANumber),
            (".", ParseError::NotANumber),
            ("e5", ParseError::NotANumber),
            ("e1234", ParseError::NotANumber),
            ("1e", ParseError::NotANumber),
            ("1e--5", ParseError::NotANumber),
            ("1exxxx", ParseError::NotANumber),
            ("12x", ParseError::NotANumber),
            ("1.2.3", ParseError::NotANumber),
            ("1,5", ParseError::DecimalComma),
            ("NaN", ParseError::NotFinite),
            ("-Infinity", ParseError::NotFinite),
            ("0.000000001", ParseError::TooPrecise),
            ("92233720368.54775808", ParseError::OutOfRange),
            ("1e400", ParseError::OutOfRange),
            ("1e99999999999999999999", ParseError::OutOfRange),
            ("99999999999999999999999999999999999999", ParseError::OutOfRange),
        ] {
            assert_eq!(parse_units(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn rounds_half_to_even() {
        for (a, divisor, want) in
            [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (6, 4, 2), (9, 4, 2), (11, 4, 3)]
        {
            assert_eq!(mul_div(a, 1, divisor, Rounding::HalfEven), Some(want), "{a}/{divisor}");
        }
        for (a, rounding, want) in
            [(7, Rounding::HalfEven, -4), (7, Rounding::Floor, -4), (7, Rounding::Ceil, -3)]
        {
            assert_eq!(mul_div(a, 1, -2, rounding), Some(want), "{a}/-2 {rounding:?}");
        }
        assert_eq!(mul_div(-1, 1, 3, Rounding::Floor), Some(-1));
        assert_eq!(mul_div(-1, 1, 3, Rounding::Ceil), Some(0));
        assert_eq!(mul_div(1, 1, 0, Rounding::Floor), None);
        assert_eq!(mul_div(i64::MAX, 2, 1, Rounding::Floor), None);
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(units: i64) {
            let text = Price::from_units(units).to_string();
            prop_assert!(!text.contains(['e', 'E', '+', ' ']));
            prop_assert_eq!(text.parse::<Price>(), Ok(Price::from_units(units)));
        }

        #[test]
        fn parsing_never_panics(text in "[-+0-9.,eE xnaif]{0,40}") {
            let _ = parse_units(&text);
        }

        #[test]
        fn grid_rounding_brackets_the_value(units in 0_i64..1_000_000_000_000, grid in 1_i64..1_000_000) {
            let (value, grid) = (Quantity::from_units(units), Quantity::from_units(grid));
            let (low, high) = (value.floor_to(grid), value.ceil_to(grid));
            prop_assert!(low <= value && value <= high);
            prop_assert!(high.units() - low.units() == 0 || high.units() - low.units() == grid.units());
            prop_assert_eq!(low.units() % grid.units(), 0);
        }
    }
}
