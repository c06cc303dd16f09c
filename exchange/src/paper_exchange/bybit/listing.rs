//! Instruments and prices as Bybit V5 writes them: instruments-info, tickers, kline, orderbook, risk-limit, funding/history.

use engine::core::fixed::{Price, Quantity, Rate};
use engine::core::ids::Timestamp;
use engine::core::instrument::{Instrument, InstrumentStatus};
use serde_json::{Value, json};

use super::kline::Bar;
use super::objects::{COIN, millis};
use super::wish::most_price;
use crate::paper::rules;

/// Minutes between two fundings.
pub const FUNDING_MINUTES: u64 = 8 * 60;

/// The base coin: what is left of the symbol without the settlement currency, without a multiplier.
fn base(symbol: &str) -> &str {
    symbol.strip_suffix(COIN).unwrap_or(symbol)
}

/// How many decimals a grid needs.
fn scale(tick: Price) -> usize {
    tick.to_string().split_once('.').map_or(0, |(_, part)| part.len())
}

/// An instrument.
#[must_use]
pub fn instrument(instrument: &Instrument) -> Value {
    let symbol = instrument.symbol.as_str();
    let status = match instrument.status {
        InstrumentStatus::Trading | InstrumentStatus::CloseOnly => "Trading",
        InstrumentStatus::Halted => "Closed",
    };
    json!({
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": status,
        "baseCoin": base(symbol),
        "quoteCoin": COIN,
        "settleCoin": COIN,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": scale(instrument.tick).to_string(),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": instrument.leverage_max.to_string(),
            "leverageStep": "1",
        },
        "priceFilter": {
            "minPrice": instrument.tick.to_string(),
            "maxPrice": most_price(instrument).to_string(),
            "tickSize": instrument.tick.to_string(),
        },
        "lotSizeFilter": {
            "maxOrderQty": instrument.quantity_max_limit.to_string(),
            "minOrderQty": instrument.quantity_min.to_string(),
            "qtyStep": instrument.step.to_string(),
            "postOnlyMaxOrderQty": instrument.quantity_max_limit.to_string(),
            "maxMktOrderQty": instrument.quantity_max_market.to_string(),
            "minNotionalValue": instrument.notional_min.to_string(),
        },
        "unifiedMarginTrade": true,
        "fundingInterval": FUNDING_MINUTES,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": false,
        "preListingInfo": null,
        "riskParameters": { "priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02" },
        "displayName": "",
        "symbolType": "",
    })
}

/// What a ticker tells.
#[derive(Clone, Copy, Debug)]
pub struct Quote {
    /// The mark.
    pub mark: Price,
    /// The last 24 hours, when there was a price in them.
    pub day: Option<Bar>,
    /// The last hour.
    pub hour: Option<Bar>,
    /// The funding rate that will be settled next.
    pub rate: Rate,
    /// When.
    pub next_funding: Timestamp,
}

/// Bid and ask around a mark: the paper market has no spread, but a book whose sides are equal is crossed, so the bid is
/// the mark and the ask one tick above.
#[must_use]
pub fn best(mark: Price, instrument: &Instrument) -> (Price, Price) {
    (mark, mark.checked_add(instrument.tick).unwrap_or(mark))
}

/// A ticker.
#[must_use]
pub fn ticker(instrument: &Instrument, quote: &Quote) -> Value {
    let (bid, ask) = best(quote.mark, instrument);
    let mark = quote.mark.to_string();
    let day = quote.day.unwrap_or(Bar::flat(quote.mark));
    let hour = quote.hour.unwrap_or(Bar::flat(quote.mark));
    let moved = quote.mark.checked_sub(day.open).unwrap_or(Price::ZERO);
    let share = moved
        .scaled(Price::from_whole(1).units(), day.open.units(), engine::core::fixed::Rounding::HalfEven)
        .unwrap_or(Price::ZERO);
    let size = instrument.quantity_max_market.to_string();
    json!({
        "symbol": instrument.symbol.as_str(),
        "tickDirection": "ZeroPlusTick",
        "lastPrice": mark,
        "indexPrice": mark,
        "markPrice": mark,
        "prevPrice24h": day.open.to_string(),
        "price24hPcnt": share.to_string(),
        "highPrice24h": day.high.to_string(),
        "lowPrice24h": day.low.to_string(),
        "prevPrice1h": hour.open.to_string(),
        "openInterest": "0",
        "openInterestValue": "0",
        "turnover24h": day.turnover.to_string(),
        "volume24h": day.volume.to_string(),
        "fundingRate": quote.rate.to_string(),
        "fundingIntervalHour": (FUNDING_MINUTES / 60).to_string(),
        "fundingCap": "",
        "nextFundingTime": millis(quote.next_funding),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "ask1Size": size,
        "bid1Price": bid.to_string(),
        "ask1Price": ask.to_string(),
        "bid1Size": size,
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    })
}

/// A book of one level a side.
#[must_use]
pub fn book(instrument: &Instrument, mark: Price, at_ms: u64, number: u64) -> Value {
    let (bid, ask) = best(mark, instrument);
    let size: Quantity = instrument.quantity_max_market;
    json!({
        "s": instrument.symbol.as_str(),
        "b": [[bid.to_string(), size.to_string()]],
        "a": [[ask.to_string(), size.to_string()]],
        "ts": at_ms,
        "u": number,
        "seq": number,
        "cts": at_ms,
    })
}

/// A candle as a row of kline.
#[must_use]
pub fn kline_row(candle: &Bar) -> Value {
    json!([
        candle.start_ms.to_string(),
        candle.open.to_string(),
        candle.high.to_string(),
        candle.low.to_string(),
        candle.close.to_string(),
        candle.volume.to_string(),
        candle.turnover.to_string(),
    ])
}

/// A candle as the kline topic tells it.
#[must_use]
pub fn kline_event(candle: &Bar, interval: &str, span_ms: u64, at_ms: u64) -> Value {
    let end = candle.start_ms + span_ms - 1;
    json!({
        "start": candle.start_ms,
        "end": end,
        "interval": interval,
        "open": candle.open.to_string(),
        "high": candle.high.to_string(),
        "low": candle.low.to_string(),
        "close": candle.close.to_string(),
        "volume": candle.volume.to_string(),
        "turnover": candle.turnover.to_string(),
        "confirm": at_ms > end,
        "timestamp": at_ms,
    })
}

/// The risk limits of an instrument, the lowest first.
pub fn risk_limits(instrument: &Instrument) -> impl Iterator<Item = Value> {
    rules::brackets(instrument).into_iter().zip(1..).map(|(row, id)| {
        let initial = Rate::from_units(Rate::from_whole(1).units() / i64::from(row.leverage_max.max(1)));
        let deduction = if row.deduction.is_zero() { String::new() } else { row.deduction.to_string() };
        json!({
            "id": id,
            "symbol": instrument.symbol.as_str(),
            "riskLimitValue": row.notional_max.to_string(),
            "maintenanceMargin": row.maintenance.to_string(),
            "initialMargin": initial.to_string(),
            "isLowestRisk": i32::from(id == 1),
            "maxLeverage": row.leverage_max.to_string(),
            "mmDeduction": deduction,
        })
    })
}
