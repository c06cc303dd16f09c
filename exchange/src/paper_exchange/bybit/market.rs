//! The public routes: what is listed and what it costs.

use engine::core::fixed::Rate;
use engine::core::ids::Timestamp;
use engine::core::instrument::{Instrument, Symbol};
use serde_json::{Value, json};

use super::codes::Refusal;
use super::fields::Fields;
use super::kline::{bars, span_ms};
use super::listing::{self, Quote};
use super::wish::{linear, symbol};
use crate::paper::rules;
use crate::paper_exchange::Core;
use crate::paper_exchange::candles::DAY_MS;

/// The funding rate that is told for the next settlement: the paper venue's default (docs/paper-venue.md). A symbol with
/// a table of its own is settled at the table's.
const FUNDING_RATE: Rate = Rate::from_units(10_000);
const HOUR_MS: u64 = 3_600_000;

/// Whether this category has nothing here: asked for all the same by clients that read all markets.
fn is_empty_category(fields: &Fields) -> Result<bool, Refusal> {
    Ok(matches!(fields.text("category")?, Some("spot" | "inverse" | "option")))
}

fn empty(fields: &Fields) -> Result<Value, Refusal> {
    Ok(json!({ "category": fields.needed("category")?, "list": [], "nextPageCursor": "" }))
}

/// /v5/market/time.
#[must_use]
pub fn time(core: &Core) -> Value {
    let now = core.now();
    let nanos = u128::from(now.0) * 1_000;
    json!({ "timeSecond": (now.0 / 1_000_000).to_string(), "timeNano": nanos.to_string() })
}

/// The instrument of `symbol`.
///
/// # Errors
/// 10001.
pub fn instrument_of(core: &Core, symbol: Symbol) -> Result<Instrument, Refusal> {
    core.instrument(symbol).copied().ok_or_else(Refusal::symbol)
}

/// Those of a list from a cursor on, which is the symbol of the first; and the next cursor.
fn page<'a>(
    all: Vec<&'a Instrument>,
    fields: &Fields,
    limit: usize,
) -> Result<(Vec<&'a Instrument>, String), Refusal> {
    let cursor = fields.text("cursor")?.unwrap_or_default();
    let mut rest = all.into_iter().skip_while(|instrument| instrument.symbol.as_str() < cursor);
    let list: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().map(|instrument| instrument.symbol.to_string()).unwrap_or_default();
    Ok((list, next))
}

/// The instruments that a request is about: one, or all.
fn asked<'a>(core: &'a Core, fields: &Fields) -> Result<Vec<&'a Instrument>, Refusal> {
    match fields.text("symbol")? {
        None => Ok(core.instruments().iter().collect()),
        Some(_) => Ok(vec![core.instrument(symbol(fields)?).ok_or_else(Refusal::symbol)?]),
    }
}

/// /v5/market/instruments-info: 500 a page when nothing is said, at most 1000 (CASES.md, X18, X19).
///
/// # Errors
/// 10001.
pub fn instruments(core: &Core, fields: &Fields) -> Result<Value, Refusal> {
    if is_empty_category(fields)? {
        return empty(fields);
    }
    linear(fields)?;
    let mut all = asked(core, fields)?;
    if fields.text("status")?.is_some_and(|status| status != "Trading") {
        all.clear();
    }
    if let Some(base) = fields.text("baseCoin")? {
        all.retain(|instrument| instrument.symbol.as_str().strip_suffix("USDT") == Some(base));
    }
    let (list, next) = page(all, fields, fields.limit(500, 1_000)?)?;
    let list: Vec<_> = list.into_iter().map(listing::instrument).collect();
    Ok(json!({ "category": "linear", "list": list, "nextPageCursor": next }))
}

/// What a ticker of this instrument tells now; `None` without a price.
#[must_use]
pub fn quote(core: &Core, instrument: &Instrument) -> Option<Quote> {
    let now_ms = core.now().millis();
    let newest = |span_ms: u64| core.candles().since(instrument.symbol, now_ms.saturating_sub(span_ms));
    let every = rules::FUNDING_EVERY_MICROS;
    Some(Quote {
        mark: core.mark(instrument.symbol)?,
        day: newest(DAY_MS),
        hour: newest(HOUR_MS),
        rate: FUNDING_RATE,
        next_funding: Timestamp(core.now().0 - core.now().0 % every + every),
    })
}

/// /v5/market/tickers.
///
/// # Errors
/// 10001.
pub fn tickers(core: &Core, fields: &Fields) -> Result<Value, Refusal> {
    if is_empty_category(fields)? {
        return empty(fields);
    }
    linear(fields)?;
    let told = |instrument: &&Instrument| Some(listing::ticker(instrument, &quote(core, instrument)?));
    let list: Vec<_> = asked(core, fields)?.iter().filter_map(told).collect();
    Ok(json!({ "category": "linear", "list": list }))
}

/// /v5/market/kline: at most 1000 rows, 200 when nothing is said.
///
/// # Errors
/// 10001.
pub fn kline(core: &Core, fields: &Fields) -> Result<Value, Refusal> {
    if fields.text("category")?.is_some() {
        linear(fields)?;
    }
    let instrument = instrument_of(core, symbol(fields)?)?;
    let span = span_ms(fields.needed("interval")?).ok_or_else(|| Refusal::parameter("Invalid interval"))?;
    let within = (fields.whole("start")?.unwrap_or(0), fields.whole("end")?.unwrap_or(u64::MAX));
    let rows = bars(core.candles().of(instrument.symbol), span, within, fields.limit(200, 1_000)?);
    let list: Vec<_> = rows.iter().map(listing::kline_row).collect();
    Ok(json!({ "symbol": instrument.symbol.as_str(), "category": "linear", "list": list }))
}

/// /v5/market/orderbook.
///
/// # Errors
/// 10001.
pub fn orderbook(core: &Core, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    let instrument = instrument_of(core, symbol(fields)?)?;
    let mark = core.mark(instrument.symbol).ok_or_else(Refusal::symbol)?;
    let now_ms = core.now().millis();
    Ok(listing::book(&instrument, mark, now_ms, now_ms))
}

/// /v5/market/risk-limit.
///
/// # Errors
/// 10001.
pub fn risk_limit(core: &Core, fields: &Fields) -> Result<Value, Refusal> {
    if is_empty_category(fields)? {
        return empty(fields);
    }
    linear(fields)?;
    let (list, next) = page(asked(core, fields)?, fields, fields.limit(15, 1_000)?)?;
    let list: Vec<_> = list.into_iter().flat_map(listing::risk_limits).collect();
    Ok(json!({ "category": "linear", "list": list, "nextPageCursor": next }))
}

/// /v5/market/funding/history: the newest settlements at the default rate, at most 200.
///
/// # Errors
/// 10001.
pub fn funding_history(core: &Core, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    let instrument = instrument_of(core, symbol(fields)?)?;
    let limit = fields.limit(200, 200)?;
    let end_ms = fields.whole("endTime")?.unwrap_or(u64::MAX).min(core.now().millis());
    let start_ms = fields.whole("startTime")?.unwrap_or(0);
    let newest = rules::funding_boundary(Timestamp::from_millis(end_ms)).millis();
    let every_ms = rules::FUNDING_EVERY_MICROS / 1_000;
    let times = (0_u64..).map_while(|back| newest.checked_sub(back * every_ms));
    let list: Vec<_> = times
        .take_while(|at| *at >= start_ms && *at > 0)
        .take(limit)
        .map(|at| {
            json!({
                "symbol": instrument.symbol.as_str(),
                "fundingRate": FUNDING_RATE.to_string(),
                "fundingRateTimestamp": at.to_string(),
            })
        })
        .collect();
    Ok(json!({ "category": "linear", "list": list }))
}

/// /v5/account/fee-rate.
///
/// # Errors
/// 10001.
pub fn fee_rate(core: &Core, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    let list: Vec<_> = asked(core, fields)?
        .iter()
        .map(|instrument| {
            json!({
                "symbol": instrument.symbol.as_str(),
                "takerFeeRate": instrument.fee_taker.to_string(),
                "makerFeeRate": instrument.fee_maker.to_string(),
            })
        })
        .collect();
    Ok(json!({ "category": "linear", "list": list }))
}
