//! Decimals as exchanges' histories hold them: exact, or as a float printed them (`1.1938000000000001`).

use engine::core::fixed::{DECIMALS, ParseError, parse_units};

/// Units of 1e-8 of a decimal text. What goes beyond the eighth place is rounded half to even: a file of prices is an
/// observation, not an order, so a float's print of it is no error.
pub(crate) fn decimal_units(text: &str) -> Result<i64, ParseError> {
    match parse_units(text) {
        Err(ParseError::TooPrecise) => rounded(text.trim()).ok_or(ParseError::TooPrecise),
        told => told,
    }
}

/// A decimal text of up to 37 digits and more than eight places, rounded; `None` for any other.
fn rounded(text: &str) -> Option<i64> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (body, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{part}").parse().ok().filter(|digits| *digits < i128::MAX / 4)?;
    let drop = i64::try_from(part.len()).ok()?.checked_sub(exponent)?.checked_sub(i64::from(DECIMALS))?;
    let drop = u32::try_from(drop).ok()?;
    // A divisor that does not fit is far above any digits: nothing is left at the eighth place.
    let Some(divisor) = 10_i128.checked_pow(drop).filter(|divisor| *divisor < i128::MAX / 4) else {
        return Some(0);
    };
    let (floor, rest) = (digits / divisor, digits % divisor);
    let up = match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => floor % 2,
    };
    let units = i64::try_from(floor + up).ok()?;
    Some(if negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_float_printed_is_rounded() {
        for (text, units) in [
            ("0.0001", 10_000),
            ("8.995e-05", 8_995),
            ("-0.0021933400000000002", -219_334),
            ("1.1938000000000001", 119_380_000),
            ("0.000000015", 2),
            ("0.000000025", 2),
            ("2.50000001e-8", 3),
            ("-1e-90", 0),
        ] {
            assert_eq!(decimal_units(text), Ok(units), "{text}");
        }
        for text in ["0.00000000x", "0,000000001", "", "1e-9999", "0.-000000001"] {
            assert!(decimal_units(text).is_err(), "{text}");
        }
    }
}
