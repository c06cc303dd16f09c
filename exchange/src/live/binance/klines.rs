//! Candles: lists of twelve values each, oldest first, of which the first six are read.

use engine::core::fixed::Price;

use super::json::{self, Num, malformed};
use crate::live::klines::{Interval, PAGE_ROWS, Window};
use crate::live::protocol::{Answer, Cursor, KlineView, Malformed, Millis};

/// Reads a page of the span `from..to` that was asked for at `cursor`.
pub(super) fn read(
    text: &str,
    interval: Interval,
    (from, to): (Millis, Millis),
    cursor: &Cursor,
) -> Result<Answer, Malformed> {
    let window = Window::of(interval, from, to, cursor);
    let rows = json::list("candles", text)?;
    if rows.len() as u64 > PAGE_ROWS {
        return Err(malformed("candles", "more than were asked for"));
    }
    let rows = rows.iter().map(|row| candle(row.get())).collect::<Result<_, _>>()?;
    Ok(Answer::Klines(window.checked(interval, to, rows)?, window.next()))
}

fn candle(text: &str) -> Result<KlineView, Malformed> {
    let values: Vec<Num<'_>> = json::read("candle", text)?;
    let [opens_at, open, high, low, close, volume, ..] = values[..] else {
        return Err(malformed("candle", "values are missing"));
    };
    let price = |value: Num<'_>, name: &str| value.exact::<Price>(name);
    Ok(KlineView {
        opens_at: opens_at.millis("open time")?,
        open: price(open, "open")?,
        high: price(high, "high")?,
        low: price(low, "low")?,
        close: price(close, "close")?,
        volume: json::fitting(volume, "volume")?,
    })
}
