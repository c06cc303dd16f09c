//! Decimal texts as they stand in a body: read exactly, whatever their form.
//!
//! **Invariants**: no floating point. Two texts of one value (`1.50`, `1.5`, `15e-1`) have one canonical form and give
//! one result. A chart's arithmetic prints up to 17 digits (`64123.450000000004`), so digits past the places asked for
//! are rounded, half to even, and never a reason to refuse.

/// Why a text is not a usable number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalError {
    NotANumber,
    Comma,
    NotFinite,
    OutOfRange,
}

/// A decimal number as text: `±whole.part × 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    part: &'a [u8],
    exponent: i64,
}

/// Exponents beyond this behave alike: too large, or zero.
const EXPONENT_MAX: i64 = 1_000_000;

/// Digits of the largest `i64`, and one to spare.
const RESULT_DIGITS_MAX: i64 = 20;

impl<'a> Decimal<'a> {
    /// Reads a text: blanks around it, a sign, digits with at most one point, an exponent.
    pub(super) fn parse(text: &'a str) -> Result<Self, DecimalError> {
        let text = text.trim_ascii();
        let (negative, body) = signed(text);
        if is_not_finite(body) {
            return Err(DecimalError::NotFinite);
        }
        let bytes = body.as_bytes();
        let (whole, rest) = bytes.split_at(digits_at_front(bytes));
        let (part, rest) = match rest.split_first() {
            Some((b'.', after)) => after.split_at(digits_at_front(after)),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && part.is_empty() {
            return Err(if rest.first() == Some(&b',') {
                DecimalError::Comma
            } else {
                DecimalError::NotANumber
            });
        }
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', after)) => parse_exponent(after).ok_or(DecimalError::NotANumber)?,
            Some((b',', _)) => return Err(DecimalError::Comma),
            Some(_) => return Err(DecimalError::NotANumber),
        };
        Ok(Self { negative, whole, part, exponent })
    }

    /// All digits in order, the point left out.
    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.whole.iter().chain(self.part).map(|b| b - b'0')
    }

    /// The value times 10^`places`, rounded half to even.
    pub(super) fn scaled(&self, places: i64) -> Result<i64, DecimalError> {
        let zeros = self.digits().take_while(|d| *d == 0).count();
        let mut rest = self.digits().skip(zeros).peekable();
        if rest.peek().is_none() {
            return Ok(0);
        }
        // How many of the remaining digits stand before the scaled point.
        let keep = signed_len(self.whole.len()) - signed_len(zeros) + self.exponent + places;
        if keep > RESULT_DIGITS_MAX {
            return Err(DecimalError::OutOfRange);
        }
        let mut value: i128 = 0;
        for _ in 0..keep {
            value = value * 10 + i128::from(rest.next().unwrap_or(0));
        }
        if keep >= 0 {
            let first = rest.next().unwrap_or(0);
            let half = first == 5 && rest.all(|d| d == 0);
            value += i128::from(if half { value % 2 != 0 } else { first >= 5 });
        }
        i64::try_from(if self.negative { -value } else { value }).map_err(|_| DecimalError::OutOfRange)
    }

    /// Whether the value is zero.
    pub(super) fn is_zero(&self) -> bool {
        self.whole.iter().chain(self.part).all(|b| *b == b'0')
    }

    /// Appends the one form that all texts of this value share.
    pub(super) fn write_canonical(&self, out: &mut Vec<u8>) {
        if self.is_zero() {
            out.push(b'0');
            return;
        }
        if self.negative {
            out.push(b'-');
        }
        let whole = without_front_zeros(self.whole);
        let part = if whole.is_empty() { without_front_zeros(self.part) } else { self.part };
        out.extend_from_slice(whole);
        out.extend_from_slice(part);
        let mut exponent = self.exponent - signed_len(self.part.len());
        // Stops at the latest at the digit that makes the value differ from zero.
        while out.last() == Some(&b'0') {
            out.pop();
            exponent += 1;
        }
        out.push(b'e');
        out.extend_from_slice(&exponent.to_be_bytes());
    }
}

fn without_front_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|b| **b == b'0').count()..]
}

fn signed_len(len: usize) -> i64 {
    i64::try_from(len).expect("a body has at most 64 KiB")
}

fn signed(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn digits_at_front(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// Whether a text without its sign is one of the words for what is not a finite number.
pub(super) fn is_not_finite(text: &str) -> bool {
    ["nan", "inf", "infinity"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn parse_exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value = (value * 10 + digit).min(EXPONENT_MAX);
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scaled(text: &str, places: i64) -> Result<i64, DecimalError> {
        Decimal::parse(text)?.scaled(places)
    }

    #[test]
    fn reads_every_form() {
        for (text, units) in [
            ("1.50", 150_000_000),
            ("15e-1", 150_000_000),
            ("0.0015E+3", 150_000_000),
            (" +1.5 ", 150_000_000),
            ("-.5", -50_000_000),
            ("5.", 500_000_000),
            ("9.2e-7", 92),
            ("0e999999999999", 0),
            ("000012", 1_200_000_000),
            ("92233720368.54775807", i64::MAX),
            // Rounded half to even at the eighth place.
            ("0.000000005", 0),
            ("0.000000015", 2),
            ("0.0000000050000000001", 1),
            ("0.0000000049", 0),
            ("1e-9", 0),
            ("1e-400", 0),
            ("64123.450000000004", 6_412_345_000_000),
        ] {
            assert_eq!(scaled(text, 8), Ok(units), "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, error) in [
            ("", DecimalError::NotANumber),
            ("-", DecimalError::NotANumber),
            (".", DecimalError::NotANumber),
            ("1e", DecimalError::NotANumber),
            ("1e+", DecimalError::NotANumber),
            ("1.2.3", DecimalError::NotANumber),
            ("5x", DecimalError::NotANumber),
            ("1 000", DecimalError::NotANumber),
            ("1,5", DecimalError::Comma),
            ("1.234,56", DecimalError::Comma),
            (",5", DecimalError::Comma),
            ("NaN", DecimalError::NotFinite),
            ("-Infinity", DecimalError::NotFinite),
            ("92233720368.54775808", DecimalError::OutOfRange),
            ("1e400", DecimalError::OutOfRange),
            ("1e99999999999999999999", DecimalError::OutOfRange),
        ] {
            assert_eq!(scaled(text, 8), Err(error), "{text:?}");
        }
    }

    proptest! {
        /// The engine's own parser is the second opinion for whatever has at most eight places.
        #[test]
        fn agrees_with_the_engine(text in "[-+]?[0-9]{1,9}(\\.[0-9]{0,8})?([eE][-+]?[0-2])?") {
            match engine::core::fixed::parse_units(&text) {
                Ok(units) => prop_assert_eq!(scaled(&text, 8), Ok(units)),
                Err(engine::core::fixed::ParseError::OutOfRange) => {
                    prop_assert_eq!(scaled(&text, 8), Err(DecimalError::OutOfRange));
                }
                Err(_) => prop_assert!(scaled(&text, 8).is_ok(), "rounded"),
            }
        }

        #[test]
        fn one_value_has_one_canonical_form(units in -1_000_000_000_i64..1_000_000_000, zeros in 0_usize..5, shift in 0_usize..12) {
            let canonical = |text: &str| {
                let mut out = Vec::new();
                Decimal::parse(text).unwrap().write_canonical(&mut out);
                out
            };
            let plain = canonical(&units.to_string());
            let padded = format!("{units}.{}", "0".repeat(zeros));
            let shifted = format!("{units}{}e-{shift}", "0".repeat(shift));
            prop_assert_eq!(&canonical(&padded), &plain);
            prop_assert_eq!(&canonical(&shifted), &plain);
            prop_assert_ne!(canonical(&format!("{}", units + 1)), plain);
        }
    }
}
