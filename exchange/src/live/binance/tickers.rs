//! 24-hour tickers of all contracts: the change in percent, the turnover as `quoteVolume` (`volume` is in the base asset).

use std::borrow::Cow;

use engine::core::fixed::{Price, Rate};
use planted::planted;
use serde::Deserialize;

use super::json::{self, Num, malformed};
use super::orders;
use crate::live::protocol::{Answer, DayTickerView, Malformed};
use crate::live::tickers;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    price_change_percent: Num<'a>,
    #[serde(borrow)]
    last_price: Num<'a>,
    #[serde(borrow)]
    quote_volume: Num<'a>,
    #[serde(borrow)]
    close_time: Num<'a>,
}

/// Reads the list.
pub(super) fn read(text: &str) -> Result<Answer, Malformed> {
    let rows = json::list("24 h tickers", text)?;
    Ok(Answer::DayTickers(tickers::checked(rows.iter().map(|row| ticker(row.get())))?))
}

/// One contract; `None` without a price (CASES.md, F9).
fn ticker(text: &str) -> Result<Option<DayTickerView>, Malformed> {
    let row: Row<'_> = json::read("24 h ticker", text)?;
    let Some(symbol) = orders::symbol(&row.symbol) else { return Ok(None) };
    let last: Price = row.last_price.exact("lastPrice")?;
    if !last.is_positive() {
        return Ok(None);
    }
    let percent: Rate = row.price_change_percent.exact("priceChangePercent")?;
    let change = fraction(percent)
        .and_then(tickers::change)
        .ok_or_else(|| malformed("priceChangePercent", "out of range, or more than 6 decimal places"))?;
    Ok(Some(DayTickerView {
        symbol,
        change,
        turnover: row.quote_volume.exact("quoteVolume")?,
        at: row.close_time.millis("closeTime")?,
    }))
}

/// A percentage as a fraction, exactly; `None` when it has more places than that can hold.
fn fraction(percent: Rate) -> Option<Rate> {
    if planted!("percent_taken_for_a_fraction") {
        return Some(percent);
    }
    (percent.units() % 100 == 0).then(|| Rate::from_units(percent.units() / 100))
}
