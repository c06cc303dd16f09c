//! How much is opened, and where its stop, target and liquidation lie.

use engine::core::instrument::Instrument;
use engine::core::order::Side;
use engine::core::rules::{Settings, Sizing};
use engine::core::signal::Signal;
use engine::core::user::Skip;

use super::Turn;
use super::numbers::{ONE, Units, down, fits, margin, notional, up};

/// A size with its protection.
pub(super) struct Size {
    pub(super) quantity: Units,
    pub(super) leverage: u8,
    pub(super) margin: Units,
    pub(super) levels: Levels,
}

/// Prices around a position; a distance in percent is zero when the signal named the price itself.
pub(super) struct Levels {
    pub(super) stop: Units,
    pub(super) target: Units,
    pub(super) liquidation: Units,
    pub(super) stop_percent: Units,
    pub(super) target_percent: Units,
}

/// The first price of the grid at or above a fraction.
fn grid_above(numerator: Units, divisor: Units, tick: Units) -> Units {
    up(numerator, divisor * tick) * tick
}

/// The last price of the grid at or below a fraction; `None` when the product cannot hold the fraction.
fn grid_below(numerator: Units, divisor: Units, tick: Units) -> Option<Units> {
    fits(down(numerator, divisor)).then(|| down(numerator, divisor * tick) * tick)
}

/// A price that lies `percent` below or above the entry, on the grid, never further away than that.
fn away(entry: Units, below: bool, percent: Units, tick: Units) -> Option<Units> {
    let hundred = 100 * ONE;
    if below {
        Some(grid_above(entry * (hundred - percent), hundred, tick))
    } else {
        grid_below(entry * (hundred + percent), hundred, tick)
    }
}

/// Stop price at a distance against the position.
pub(super) fn stop_at(entry: Units, side: Side, percent: Units, tick: Units) -> Option<Units> {
    away(entry, side == Side::Buy, percent, tick)
}

/// Target price at a distance for the position.
pub(super) fn target_at(entry: Units, side: Side, percent: Units, tick: Units) -> Option<Units> {
    away(entry, side == Side::Sell, percent, tick)
}

/// What must be kept of a position, as (rate, what is taken off): a bracket's rate is asked of what lies within it alone, so
/// the difference to the rate before it is taken off for all below.
fn to_keep(instrument: &Instrument) -> Vec<(Units, Units)> {
    let mut asked = Vec::new();
    let (mut lower, mut rate, mut off) = (0, 0, 0);
    for row in instrument.brackets.rows() {
        let next = Units::from(row.maintenance.units());
        off += lower * (next - rate);
        (lower, rate) = (Units::from(row.notional_max.units()), next);
        asked.push((rate, down(off, ONE)));
    }
    if asked.is_empty() {
        asked.push((instrument.maintenance.units().into(), 0));
    }
    asked
}

/// Where isolated margin less maintenance is used up: `(entry × (1 ∓ 1/leverage) ∓ off/size) / (1 ∓ maintenance)`, on the grid
/// towards the entry; as soon as any bracket asks more than is left.
pub(super) fn liquidation_at(
    entry: Units,
    size: Units,
    side: Side,
    leverage: u8,
    instrument: &Instrument,
) -> Option<Units> {
    let leverage = Units::from(leverage);
    let tick = tick_of(instrument);
    let prices =
        to_keep(instrument).into_iter().map(|(rate, off)| (rate, down(off * ONE, size.max(1)) * leverage));
    match side {
        Side::Buy => prices
            .map(|(rate, off)| {
                grid_above((entry * (leverage - 1) - off) * ONE, leverage * (ONE - rate), tick)
            })
            .max(),
        Side::Sell => prices
            .filter_map(|(rate, off)| {
                grid_below((entry * (leverage + 1) + off) * ONE, leverage * (ONE + rate), tick)
            })
            .min(),
    }
}

/// The most that may be held at a leverage, less a hundredth for a price that moves meanwhile; `None` where nothing says so.
fn cap(instrument: &Instrument, leverage: u8) -> Option<Units> {
    let rows = instrument.brackets.rows();
    let mut most = rows.first().map(|_| 0);
    for row in rows {
        if row.leverage_max >= leverage {
            most = most.max(Some(down(99 * Units::from(row.notional_max.units()), 100)));
        }
    }
    most
}

/// The price grid.
pub(super) fn tick_of(instrument: &Instrument) -> Units {
    Units::from(instrument.tick.units()).max(1)
}

fn levels(
    settings: &Settings,
    signal: &Signal,
    side: Side,
    instrument: &Instrument,
    mark: Units,
) -> Result<Levels, Skip> {
    let tick = tick_of(instrument);
    let long = side == Side::Buy;
    // Prices that the signal names go to the grid towards the mark as well.
    let (stop, stop_percent) = match signal.stop_loss {
        Some(named) if long => (Some(grid_above(named.units().into(), 1, tick)), 0),
        Some(named) => (grid_below(named.units().into(), 1, tick), 0),
        None => {
            let percent = Units::from(settings.stop_multiplier.units());
            (stop_at(mark, side, percent, tick), percent)
        }
    };
    let (target, target_percent) = match signal.take_profit {
        Some(named) if long => (grid_below(named.units().into(), 1, tick), 0),
        Some(named) => (Some(grid_above(named.units().into(), 1, tick)), 0),
        None => {
            let percent = Units::from(settings.take_profit_multiplier.units());
            (target_at(mark, side, percent, tick), percent)
        }
    };
    let (Some(stop), Some(target)) = (stop, target) else {
        return Err(Skip::ProtectionInvalid);
    };
    let (low, high) = if long { (stop, target) } else { (target, stop) };
    if low <= 0 || low >= mark || mark >= high {
        return Err(Skip::ProtectionInvalid);
    }
    Ok(Levels { stop, target, liquidation: 0, stop_percent, target_percent })
}

impl Turn<'_> {
    /// The clamp chain of DOMAIN §2 at the mark: amounts are cut down, margins rounded up.
    pub(super) fn size(
        &self,
        settings: &Settings,
        signal: &Signal,
        side: Side,
        account: u8,
        instrument: &Instrument,
        mark: Units,
    ) -> Result<Size, Skip> {
        let wished = signal.leverage.unwrap_or(settings.leverage).min(settings.leverage);
        let leverage = wished.min(self.rules.leverage_max).min(instrument.leverage_max).max(1);
        let mut levels = levels(settings, signal, side, instrument, mark)?;
        let times = Units::from(leverage);
        let wanted = match settings.sizing {
            Sizing::PercentOfBalance(share) => {
                down(self.user.wallet(account) * Units::from(share.units()), ONE) * times
            }
            Sizing::FixedMargin(fixed) => Units::from(fixed.units()) * times,
            Sizing::FixedNotional(fixed) => fixed.units().into(),
            Sizing::RiskToStop(risk) => {
                down(Units::from(risk.units()) * mark, (mark - levels.stop).abs().max(1))
            }
        };
        let mut most = vec![wanted];
        most.extend(settings.trade_max.map(|max| Units::from(max.units())));
        if let Some(max) = settings.exposure_max {
            let of_account = self.user.positions.iter().filter(|p| p.account == account);
            let exposed: Units = of_account.map(|p| p.cost + p.reserved * Units::from(p.leverage)).sum();
            most.push(Units::from(max.units()) - exposed);
        }
        most.extend(cap(instrument, leverage));
        // Margin, and the fees of the way in and the way out, must be there.
        let fee = Units::from(instrument.fee_taker.units());
        most.push(down(self.user.available(account) * times * ONE, ONE + 2 * fee * times));
        let least = most.into_iter().min().expect("a wish is one of them");
        if least <= 0 {
            return Err(Skip::BelowMinimum);
        }
        let step = Units::from(instrument.step.units()).max(1);
        let quantity = down(least * ONE, mark).min(instrument.quantity_max_market.units().into());
        let quantity = down(quantity, step) * step;
        let cost = notional(mark, quantity);
        if quantity == 0
            || quantity < Units::from(instrument.quantity_min.units())
            || cost < Units::from(instrument.notional_min.units())
        {
            return Err(Skip::BelowMinimum);
        }
        levels.liquidation =
            liquidation_at(mark, quantity, side, leverage, instrument).ok_or(Skip::ProtectionInvalid)?;
        let (nearer, farther) = match side {
            Side::Buy => (levels.stop, levels.liquidation),
            Side::Sell => (levels.liquidation, levels.stop),
        };
        if nearer <= farther {
            return Err(Skip::StopBeyondLiquidation);
        }
        Ok(Size { quantity, leverage, margin: margin(cost, leverage), levels })
    }
}
