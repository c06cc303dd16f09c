//! What Bybit lists, and its mark prices.
//!
//! **Invariants**: filters are taken as they are told, never from the number of digits; the maximum of a market order differs
//! from that of a limit order. A row that cannot be held exactly is left out, so that one strange listing stops no other: its
//! symbol is then not known, and orders for it are refused.

use engine::core::fixed::{Money, ParseError, Quantity, Rate, Rounding, UNIT, mul_div};
use engine::core::instrument::{Brackets, Instrument, InstrumentStatus};
use serde::Deserialize;

use crate::live::protocol::{BracketView, InstrumentView, MarkView, Millis};

use super::SETTLE_COIN;
use super::fields::Field;
use super::rows::row;

/// Standard fees of a perpetual without VIP level: Bybit does not tell them with the instrument.
const FEE_TAKER: Rate = Rate::from_units(55_000);
const FEE_MAKER: Rate = Rate::from_units(20_000);

row! {
    /// Price filter.
    PriceFilter { tick_size }
}
row! {
    /// Quantity filter.
    LotSizeFilter { qty_step, min_order_qty, max_order_qty, max_mkt_order_qty, min_notional_value }
}
row! {
    /// Leverage filter.
    LeverageFilter { max_leverage }
}

/// An instrument.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct InstrumentRow<'a> {
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow)]
    status: Field<'a>,
    #[serde(borrow)]
    settle_coin: Field<'a>,
    #[serde(borrow)]
    quote_coin: Field<'a>,
    #[serde(borrow)]
    contract_type: Field<'a>,
    #[serde(borrow)]
    delivery_time: Field<'a>,
    #[serde(borrow)]
    price_filter: PriceFilter<'a>,
    #[serde(borrow)]
    lot_size_filter: LotSizeFilter<'a>,
    #[serde(borrow)]
    leverage_filter: LeverageFilter<'a>,
}

impl InstrumentRow<'_> {
    /// As we see it; `None` for what we do not trade or cannot hold.
    pub(super) fn view(&self) -> Option<InstrumentView> {
        if self.settle_coin.as_str() != SETTLE_COIN {
            return None;
        }
        let lots = &self.lot_size_filter;
        let step = positive(&lots.qty_step)?;
        let max_limit = positive(&lots.max_order_qty)?;
        let leverage_max = whole_leverage(&self.leverage_filter.max_leverage)?;
        let ends_at = self.delivery_time.millis("deliveryTime").ok()?;
        let instrument = Instrument {
            symbol: self.symbol.symbol("symbol").ok()?,
            status: match self.status.as_str() {
                "Trading" => InstrumentStatus::Trading,
                // PreLaunch, Settling, Delivering, Closed, and what may come (CASES.md, Y5).
                _ => InstrumentStatus::Halted,
            },
            tick: self.price_filter.tick_size.price("tickSize").ok()??,
            step,
            quantity_min: lots.min_order_qty.quantity("minOrderQty").ok()?.max(step),
            quantity_max_limit: max_limit,
            quantity_max_market: positive(&lots.max_mkt_order_qty).unwrap_or(max_limit),
            // Absent for old listings: then there is none (CASES.md, X13).
            notional_min: lots.min_notional_value.number_or_zero::<Money>("minNotionalValue").ok()?,
            leverage_max,
            maintenance: maintenance(leverage_max)?,
            brackets: Brackets::NONE,
            fee_taker: FEE_TAKER,
            fee_maker: FEE_MAKER,
            // A liquidation pays the taker's fee, and nothing beside it.
            fee_liquidation: Rate::ZERO,
        };
        // What is delivered on a date is a `LinearFutures`.
        let is_perpetual = self.contract_type.as_str() == "LinearPerpetual";
        Some(InstrumentView {
            instrument,
            ends_at: (ends_at.0 > 0).then_some(ends_at),
            is_usdt_perpetual: is_perpetual && self.quote_coin.as_str() == SETTLE_COIN,
        })
    }
}

fn positive(field: &Field<'_>) -> Option<Quantity> {
    field.quantity("quantity").ok().filter(|quantity| quantity.is_positive())
}

/// The whole part of the highest leverage: to go below it is always allowed.
fn whole_leverage(field: &Field<'_>) -> Option<u8> {
    let rate: Rate = field.number("maxLeverage").ok()?;
    let whole = u8::try_from((rate.units() / UNIT).min(i64::from(u8::MAX))).ok()?;
    (whole > 0).then_some(whole)
}

/// Bybit's lowest tier maintains half of its initial margin, which is one by the highest leverage. Not told with the
/// instrument; rounded up.
fn maintenance(leverage_max: u8) -> Option<Rate> {
    mul_div(UNIT, 1, 2 * i64::from(leverage_max), Rounding::Ceil).map(Rate::from_units)
}

row! {
    /// A risk tier.
    BracketRow { symbol, risk_limit_value, max_leverage, maintenance_margin }
}

impl BracketRow<'_> {
    /// A row by itself: whoever has all pages puts those of a symbol together. `None` for one that cannot be held: it takes
    /// nothing from the others. `mmDeduction` is not read, for limits and rates say it; nor is the sub-tier of an account that
    /// Bybit has moved to another one.
    pub(super) fn view(&self) -> Option<BracketView> {
        let leverage_max = whole_leverage(&self.max_leverage)?;
        let maintenance: Rate = self.maintenance_margin.number("maintenanceMargin").ok()?;
        let cap = match self.risk_limit_value.as_str().parse::<Money>() {
            // One beyond all numbers limits nothing.
            Err(ParseError::OutOfRange) => Money::MAX,
            cap => cap.ok()?,
        };
        if maintenance.is_negative() || maintenance >= Rate::from_whole(1) || !cap.is_positive() {
            return None;
        }
        let symbol = self.symbol.symbol("symbol").ok()?;
        Some(BracketView { symbol, notional_max: cap, leverage_max, maintenance })
    }
}

row! {
    /// A ticker. In a delta what did not change is absent, the mark price too.
    TickerRow { symbol, mark_price }
}

impl TickerRow<'_> {
    /// Its mark price, where it is told and can be held (CASES.md, F9, F10: none is not zero).
    pub(super) fn mark(&self, at: Millis) -> Option<MarkView> {
        let symbol = self.symbol.symbol("symbol").ok()?;
        let mark = self.mark_price.price("markPrice").ok()??;
        Some(MarkView { symbol, mark, at })
    }
}
