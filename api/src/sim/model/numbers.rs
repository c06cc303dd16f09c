//! Plain numbers: amounts, prices and quantities as counts of 1e-8 in 128 bits, with the three roundings of the rules.
//!
//! **Invariants**: exact; a product of two amounts always fits. **Never**: negative or zero divisors.

use engine::core::fixed::{Money, Price, Quantity};

/// A count of 1e-8 (of a currency, a price, a quantity or a rate).
pub(super) type Units = i128;

/// One whole.
pub(super) const ONE: Units = 100_000_000;

/// The quotient towards minus infinity.
pub(super) fn down(numerator: Units, divisor: Units) -> Units {
    assert!(divisor > 0, "the model divides by what is above zero");
    let cut = numerator / divisor;
    if numerator % divisor < 0 { cut - 1 } else { cut }
}

/// The quotient towards plus infinity.
pub(super) fn up(numerator: Units, divisor: Units) -> Units {
    -down(-numerator, divisor)
}

/// The quotient to the nearest, a tie to the even neighbour.
pub(super) fn even(numerator: Units, divisor: Units) -> Units {
    let below = down(numerator, divisor);
    let (to_below, to_above) = (numerator - below * divisor, (below + 1) * divisor - numerator);
    let odd = below % 2 != 0;
    if to_above < to_below || (to_above == to_below && odd) { below + 1 } else { below }
}

/// Price times quantity, to the nearest.
pub(super) fn notional(price: Units, quantity: Units) -> Units {
    even(price * quantity, ONE)
}

/// Margin of a notional: never less than it needs.
pub(super) fn margin(notional: Units, leverage: u8) -> Units {
    up(notional, Units::from(leverage))
}

/// Whether the product can hold the number.
pub(super) fn fits(units: Units) -> bool {
    i64::try_from(units).is_ok()
}

fn narrow(units: Units) -> i64 {
    i64::try_from(units).expect("the product holds the numbers that it decides on")
}

/// As the product's type.
pub(super) fn price(units: Units) -> Price {
    Price::from_units(narrow(units))
}

/// As the product's type.
pub(super) fn money(units: Units) -> Money {
    Money::from_units(narrow(units))
}

/// As the product's type.
pub(super) fn quantity(units: Units) -> Quantity {
    Quantity::from_units(narrow(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roundings_are_those_of_the_rules() {
        // numerator, divisor: down, up, to the nearest
        for (n, d, low, high, near) in [
            (5, 2, 2, 3, 2),
            (7, 2, 3, 4, 4),
            (-5, 2, -3, -2, -2),
            (-7, 2, -4, -3, -4),
            (6, 3, 2, 2, 2),
            (-6, 3, -2, -2, -2),
            (9, 4, 2, 3, 2),
            (11, 4, 2, 3, 3),
            (-1, 3, -1, 0, 0),
            (0, 7, 0, 0, 0),
        ] {
            assert_eq!((down(n, d), up(n, d), even(n, d)), (low, high, near), "{n}/{d}");
        }
    }
}
