//! The arithmetic of the paper venue, as pure functions: exactly what `docs/paper-venue.md` says, nothing else.
//!
//! **Invariants**: integers only; every rounding is named; `None` means that the result does not fit. Positions are
//! told by their opening side: `Buy` is long, `Sell` is short.

use engine::core::fixed::{Money, Price, Quantity, Rate, Rounding, UNIT};
use engine::core::ids::Timestamp;
use engine::core::instrument::{Bracket, Instrument};
use engine::core::order::Side;

use super::NOTIONAL_MAX;

/// Span between two funding boundaries, in microseconds: 8 hours, so 00:00, 08:00 and 16:00 UTC.
pub const FUNDING_EVERY_MICROS: u64 = 8 * 3_600 * 1_000_000;

/// The fee of a fill: `notional * rate`, half to even.
#[must_use]
pub fn fee(notional: Money, rate: Rate) -> Option<Money> {
    notional.times(rate, Rounding::HalfEven)
}

/// The part of a position's entry cost that an exit of `exit` out of `open` takes: `entry_cost * exit / open`, half
/// to even; the exit that empties the position takes all that is left.
#[must_use]
pub fn cost_share(entry_cost: Money, exit: Quantity, open: Quantity) -> Option<Money> {
    if exit >= open {
        return Some(entry_cost);
    }
    entry_cost.scaled(exit.units(), open.units(), Rounding::HalfEven)
}

/// What an exit earned before fees: `(exit notional − cost share)` for a long, the negative of it for a short.
#[must_use]
pub fn realised(position: Side, exit_notional: Money, cost_share: Money) -> Option<Money> {
    match position {
        Side::Buy => exit_notional.checked_sub(cost_share),
        Side::Sell => cost_share.checked_sub(exit_notional),
    }
}

/// What a position receives at a funding boundary (negative: pays): `−sign * (mark * quantity) * rate`, each product
/// half to even. A positive rate is paid by longs to shorts.
#[must_use]
pub fn funding(position: Side, mark: Price, quantity: Quantity, rate: Rate) -> Option<Money> {
    let amount = mark.notional(quantity)?.times(rate, Rounding::HalfEven)?;
    Some(match position {
        Side::Buy => amount.negated(),
        Side::Sell => amount,
    })
}

/// The isolated margin of a position or an order: `cost / leverage`, rounded up. `None` for leverage zero.
#[must_use]
pub fn margin(cost: Money, leverage: u8) -> Option<Money> {
    cost.scaled(1, i64::from(leverage), Rounding::Ceil)
}

/// The brackets of an instrument; one for every size when it has none of its own.
#[must_use]
pub fn brackets(instrument: &Instrument) -> Vec<Bracket> {
    let rows = instrument.brackets.rows().to_vec();
    let only = Bracket {
        notional_max: NOTIONAL_MAX,
        leverage_max: instrument.leverage_max,
        maintenance: instrument.maintenance,
        deduction: Money::ZERO,
    };
    if rows.is_empty() { vec![only] } else { rows }
}

/// The largest notional on a side of a symbol at a leverage.
#[must_use]
pub fn notional_max(instrument: &Instrument, leverage: u8) -> Money {
    instrument.brackets.cap_at(leverage).unwrap_or(NOTIONAL_MAX).min(NOTIONAL_MAX)
}

/// The maintenance margin of a notional: the largest that any bracket asks, `notional * rate − deduction`, half to even.
#[must_use]
pub fn maintenance(notional: Money, instrument: &Instrument) -> Option<Money> {
    let asked = |(rate, deduction)| fee(notional, rate)?.checked_sub(deduction);
    instrument.maintenance_rows().filter_map(asked).max()
}

/// The price at which the isolated margin is used up down to the maintenance margin, on the tick, rounded towards the
/// entry. With `E = entry_cost / quantity`, for the bracket whose price is nearest to the entry: long
/// `(E * (1 − 1/leverage) − deduction / quantity) / (1 − maintenance)`, short
/// `(E * (1 + 1/leverage) + deduction / quantity) / (1 + maintenance)`. `None` when there is no such price (a long at
/// leverage 1).
#[must_use]
pub fn liquidation_price(
    position: Side,
    entry_cost: Money,
    quantity: Quantity,
    leverage: u8,
    instrument: &Instrument,
) -> Option<Price> {
    let unit = i128::from(UNIT);
    let prices = instrument.maintenance_rows().filter_map(|(rate, deduction)| {
        let kept = match position {
            Side::Buy => unit.checked_sub(rate.units().into())?,
            Side::Sell => unit.checked_add(rate.units().into())?,
        };
        let cost = (entry_cost, deduction);
        margin_price(position, cost, quantity, leverage, (unit, kept), instrument.tick)
    });
    match position {
        Side::Buy => prices.max(),
        Side::Sell => prices.min(),
    }
}

/// The price at which the isolated margin is used up entirely, on the tick, rounded towards the entry: a long's
/// `E * (1 − 1/leverage)`, a short's `E * (1 + 1/leverage)`. No liquidation fills beyond it.
#[must_use]
pub fn bankruptcy_price(
    position: Side,
    entry_cost: Money,
    quantity: Quantity,
    leverage: u8,
    tick: Price,
) -> Option<Price> {
    margin_price(position, (entry_cost, Money::ZERO), quantity, leverage, (1, 1), tick)
}

/// `(E * (leverage ∓ 1) / leverage ∓ deduction / quantity) * factor.0 / factor.1` on the tick, towards the entry, exact inside.
fn margin_price(
    position: Side,
    (entry_cost, deduction): (Money, Money),
    quantity: Quantity,
    leverage: u8,
    factor: (i128, i128),
    tick: Price,
) -> Option<Price> {
    let sign = i128::from(position.sign());
    let deducted = i128::from(deduction.units()).checked_mul(leverage.into())?.checked_mul(sign)?;
    let numerator = i128::from(entry_cost.units())
        .checked_mul(i128::from(leverage) - sign)?
        .checked_sub(deducted)?
        .checked_mul(UNIT.into())?
        .checked_mul(factor.0)?;
    let denominator = i128::from(quantity.units())
        .checked_mul(leverage.into())?
        .checked_mul(factor.1)?
        .checked_mul(tick.units().into())?;
    if denominator <= 0 {
        return None;
    }
    let floor = numerator.div_euclid(denominator);
    let inexact = numerator.rem_euclid(denominator) != 0;
    let ticks = match position {
        Side::Buy => floor + i128::from(inexact),
        Side::Sell => floor,
    };
    let units = i64::try_from(ticks.checked_mul(tick.units().into())?).ok()?;
    (units > 0).then(|| Price::from_units(units))
}

/// The fee of a liquidation: `notional * (taker + liquidation)`, half to even, but never more than what the loss left
/// of the isolated margin, and never negative: a liquidation takes the isolated margin at most.
#[must_use]
pub fn liquidation_fee(
    notional: Money,
    taker: Rate,
    liquidation: Rate,
    margin: Money,
    realised: Money,
) -> Option<Money> {
    let full = fee(notional, taker.checked_add(liquidation)?)?;
    let left = margin.checked_add(realised)?;
    Some(full.min(left).max(Money::ZERO))
}

/// How much of a resting limit order a price that merely touches it fills: half of what is left, floored to the step,
/// at least one step.
#[must_use]
pub fn touch_share(remaining: Quantity, step: Quantity) -> Quantity {
    let half = Quantity::from_units(remaining.units() / 2).floor_to(step);
    half.max(step).min(remaining)
}

/// The tick nearest to `price`; half a tick goes up. `None` when that is zero or does not fit.
#[must_use]
pub fn nearest_tick(price: Price, tick: Price) -> Option<Price> {
    if !tick.is_positive() {
        return None;
    }
    let half = price.units().checked_add(tick.units() / 2 + tick.units() % 2)?;
    // An odd tick has no exact half: one unit less keeps the nearest, and nothing lies in between.
    let half = if tick.units() % 2 == 0 { half } else { half.checked_sub(1)? };
    let rounded = Price::from_units(half).floor_to(tick);
    rounded.is_positive().then_some(rounded)
}

/// The newest funding boundary at or before `at`.
#[must_use]
pub const fn funding_boundary(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - at.0 % FUNDING_EVERY_MICROS)
}

/// Whether `price` has reached a level that is reached by rising (`true`) or by falling (`false`) to it.
#[must_use]
pub fn reached(price: Price, level: Price, rising: bool) -> bool {
    if rising { price >= level } else { price <= level }
}

#[cfg(test)]
mod tests {
    use engine::core::instrument::Brackets;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }
    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }
    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }
    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }
    fn listed() -> Instrument {
        crate::paper::listings()[0].instrument
    }

    #[test]
    fn liquidation_rounds_towards_the_entry() {
        let (cost, size, tick) = (money("100"), quantity("1"), price("0.1"));
        let mut listed = listed();
        (listed.maintenance, listed.tick) = (rate("0.004"), tick);
        // 100 * 0.8 / 0.996 = 80.3212…; 100 * 1.2 / 1.004 = 119.5219…
        assert_eq!(liquidation_price(Side::Buy, cost, size, 5, &listed), Some(price("80.4")));
        assert_eq!(liquidation_price(Side::Sell, cost, size, 5, &listed), Some(price("119.5")));
        assert_eq!(bankruptcy_price(Side::Buy, cost, size, 5, tick), Some(price("80")));
        assert_eq!(bankruptcy_price(Side::Sell, cost, size, 5, tick), Some(price("120")));
        assert_eq!(liquidation_price(Side::Buy, cost, size, 1, &listed), None);
    }

    #[test]
    fn maintenance_and_liquidation_go_on_from_bracket_to_bracket() {
        let mut listed = listed();
        (listed.maintenance, listed.tick) = (rate("0.01"), price("0.01"));
        listed.brackets = Brackets::of([
            (money("4000"), 5, rate("0.1")),
            (money("1000"), 20, rate("0.01")),
            (money("2000"), 10, rate("0.05")),
        ]);
        // 1 % of the first 1000, 5 % of the next, 10 % of the rest.
        for (notional, kept) in
            [("500", "5"), ("1000", "10"), ("1500", "35"), ("2000", "60"), ("3000", "160")]
        {
            assert_eq!(maintenance(money(notional), &listed), Some(money(kept)), "{notional}");
        }
        let at = |side, quantity_: &str| {
            let (cost, size) =
                (money(quantity_).scaled(100, 1, Rounding::Floor).unwrap(), quantity(quantity_));
            liquidation_price(side, cost, size, 10, &listed)
        };
        // (90 · 20 − 40) / (20 · 0.95): at 92.64 a margin of 200 less a loss of 147.4 is 5 % of 1852.6 less 40.
        assert_eq!(at(Side::Buy, "20"), Some(price("92.64")));
        // (90 · 5) / (5 · 0.99): within the first bracket.
        assert_eq!(at(Side::Buy, "5"), Some(price("90.91")));
        // A short of 2000 is one of more than that when it is liquidated: (110 · 20 + 140) / (20 · 1.1).
        assert_eq!(at(Side::Sell, "20"), Some(price("106.36")));
    }

    #[test]
    fn liquidation_fee_stays_within_the_margin() {
        let (taker, extra) = (rate("0.0005"), rate("0.0125"));
        let of = |realised: &str| {
            liquidation_fee(money("80.4"), taker, extra, money("20"), money(realised)).unwrap()
        };
        assert_eq!(of("-10"), money("1.0452"));
        assert_eq!(of("-19.6"), money("0.4"));
        assert_eq!(of("-20"), Money::ZERO);
    }

    #[test]
    fn nearest_tick_takes_the_half_up() {
        let tick = price("0.1");
        for (from, to) in [("1.04", "1"), ("1.05", "1.1"), ("1.1", "1.1"), ("0.05", "0.1")] {
            assert_eq!(nearest_tick(price(from), tick), Some(price(to)), "{from}");
        }
        assert_eq!(nearest_tick(price("0.04"), tick), None);
        let odd = Price::from_units(3);
        assert_eq!(nearest_tick(Price::from_units(4), odd), Some(Price::from_units(3)));
        assert_eq!(nearest_tick(Price::from_units(5), odd), Some(Price::from_units(6)));
        assert_eq!(nearest_tick(Price::from_units(1), odd), None);
        assert_eq!(nearest_tick(Price::from_units(7), Price::from_units(1)), Some(Price::from_units(7)));
    }

    #[test]
    fn a_touch_fills_half() {
        let step = quantity("0.001");
        assert_eq!(touch_share(quantity("0.007"), step), quantity("0.003"));
        assert_eq!(touch_share(quantity("0.001"), step), quantity("0.001"));
    }

    #[test]
    fn funding_sign() {
        let of = |side, r| funding(side, price("100"), quantity("2"), rate(r)).unwrap();
        assert_eq!(of(Side::Buy, "0.0001"), money("-0.02"));
        assert_eq!(of(Side::Sell, "0.0001"), money("0.02"));
        assert_eq!(of(Side::Buy, "-0.0001"), money("0.02"));
        assert_eq!(of(Side::Sell, "-0.0001"), money("-0.02"));
    }

    #[test]
    fn the_last_exit_takes_the_rest() {
        let cost = money("10.00000001");
        let first = cost_share(cost, quantity("1"), quantity("3")).unwrap();
        assert_eq!(first, money("3.33333334"));
        let rest = cost.checked_sub(first).unwrap();
        assert_eq!(cost_share(rest, quantity("2"), quantity("2")), Some(rest));
    }
}
