//! Decimals as clients write and read them, without the product's own code.

/// Counts of 1e-8 as a decimal text, without zeros that say nothing.
pub(super) fn decimal(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:09}", units.unsigned_abs());
    let (whole, part) = digits.split_at(digits.len() - 8);
    let part = part.trim_end_matches('0');
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_no_zeros_that_say_nothing() {
        for (units, text) in [
            (0, "0"),
            (1, "0.00000001"),
            (-150_000_000, "-1.5"),
            (100_000_000, "1"),
            (6_250_050_000_000, "62500.5"),
        ] {
            assert_eq!(decimal(units), text);
        }
    }
}
