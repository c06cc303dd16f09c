//! What is listed: perpetual contracts quoted in USDT or USDC, with their filters (EXCHANGES.md §2.5).
//!
//! **Invariants**: grids come from the filters; `pricePrecision` and `quantityPrecision` are not read at all (CASES.md, X2).
//! A filter that is missing is tolerated (X13); a contract whose grids are not known is listed, but takes no orders.

use std::borrow::Cow;

use engine::core::fixed::{Money, ParseError, Price, Quantity, Rate};
use engine::core::instrument::{Brackets, Instrument, InstrumentStatus};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answers::market_rows;
use super::json::{self, Num};
use super::orders;
use crate::live::protocol::{InstrumentView, Malformed};

/// Where Binance puts the delivery of a contract that has none: 2100-12-25. The contract is delisted earlier when it says so.
const NEVER_DELIVERED_MS: u64 = 4_133_404_800_000;
/// Standard fees: 0.05 % for taking, 0.02 % for making.
const FEE_TAKER: Rate = Rate::from_units(50_000);
/// See [`FEE_TAKER`].
const FEE_MAKER: Rate = Rate::from_units(20_000);
/// Maintenance margin until the brackets are known: 0.5 %.
const MAINTENANCE: Rate = Rate::from_units(500_000);
/// Highest leverage until the brackets are known: what every account may use.
const LEVERAGE_MAX: u8 = 20;

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    symbols: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SymbolRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    contract_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    quote_asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    margin_asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delivery_date: Option<Num<'a>>,
    #[serde(borrow)]
    liquidation_fee: Option<Num<'a>>,
    #[serde(borrow, default)]
    filters: Vec<FilterRow<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterRow<'a> {
    #[serde(borrow)]
    filter_type: Cow<'a, str>,
    #[serde(borrow)]
    tick_size: Option<Num<'a>>,
    #[serde(borrow)]
    step_size: Option<Num<'a>>,
    #[serde(borrow)]
    min_qty: Option<Num<'a>>,
    #[serde(borrow)]
    max_qty: Option<Num<'a>>,
    #[serde(borrow)]
    notional: Option<Num<'a>>,
}

/// A filter of quantities; zero or absent means that there is none.
#[derive(Clone, Copy, Default)]
struct Lot {
    step: Quantity,
    min: Quantity,
    max: Option<Quantity>,
}

/// Reads the list.
pub(super) fn read(text: &str) -> Result<Vec<InstrumentView>, Malformed> {
    let listing: Listing<'_> = json::read("exchange information", text)?;
    market_rows("symbols", listing.symbols.get(), instrument)
}

/// One contract; `None` for those that are not traded here.
fn instrument(text: &str) -> Result<Option<InstrumentView>, Malformed> {
    let row: SymbolRow<'_> = json::read("symbol", text)?;
    let is_ours = row.contract_type.as_deref() == Some("PERPETUAL")
        && matches!(row.quote_asset.as_deref(), Some("USDT" | "USDC"));
    let (true, Some(symbol)) = (is_ours, orders::symbol(&row.symbol)) else { return Ok(None) };
    let mut tick = Price::ZERO;
    let mut notional_min = Money::ZERO;
    let (mut limit, mut market) = (Lot::default(), Lot::default());
    for filter in &row.filters {
        match &*filter.filter_type {
            "PRICE_FILTER" => tick = or_default(filter.tick_size, "tickSize")?,
            "LOT_SIZE" => limit = lot(filter)?,
            "MARKET_LOT_SIZE" => market = lot(filter)?,
            "MIN_NOTIONAL" => notional_min = or_default(filter.notional, "notional")?,
            _ => {}
        }
    }
    let step = limit.step.max(market.step);
    let is_known = tick.is_positive() && step.is_positive();
    let status = match row.status.as_deref() {
        Some("TRADING") if is_known => InstrumentStatus::Trading,
        // Every other state takes neither entries nor exits: before its listing, halted, being settled, closed, or new to us.
        _ => InstrumentStatus::Halted,
    };
    let ends_at = row.delivery_date.map(|date| date.millis("deliveryDate")).transpose()?;
    let instrument = Instrument {
        symbol,
        status,
        tick,
        step,
        quantity_min: limit.min.max(market.min),
        quantity_max_limit: limit.max.or(market.max).unwrap_or(Quantity::MAX),
        quantity_max_market: market.max.or(limit.max).unwrap_or(Quantity::MAX),
        notional_min,
        leverage_max: LEVERAGE_MAX,
        maintenance: MAINTENANCE,
        brackets: Brackets::NONE,
        fee_taker: FEE_TAKER,
        fee_maker: FEE_MAKER,
        fee_liquidation: or_default(row.liquidation_fee, "liquidationFee")?,
    };
    let quoted = row.quote_asset.as_deref();
    Ok(Some(InstrumentView {
        instrument,
        ends_at: ends_at.filter(|at| (1..NEVER_DELIVERED_MS).contains(&at.0)),
        is_usdt_perpetual: quoted == Some("USDT") && row.margin_asset.as_deref().or(quoted) == Some("USDT"),
    }))
}

fn lot(filter: &FilterRow<'_>) -> Result<Lot, Malformed> {
    let max = match filter.max_qty.map(Num::fits::<Quantity>).transpose() {
        Ok(max) => max.filter(|max| max.is_positive()),
        // A maximum beyond what can be counted here limits nothing.
        Err(ParseError::OutOfRange) => None,
        Err(error) => return Err(json::malformed("maxQty", error)),
    };
    Ok(Lot {
        step: or_default(filter.step_size, "stepSize")?,
        min: or_default(filter.min_qty, "minQty")?,
        max,
    })
}

fn or_default<T: Default + std::str::FromStr<Err = ParseError>>(
    number: Option<Num<'_>>,
    field: &str,
) -> Result<T, Malformed> {
    number.map_or_else(|| Ok(T::default()), |number| number.exact(field))
}
