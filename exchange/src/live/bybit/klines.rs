//! Candles: lists of seven texts each, newest first, of which the first six are read.

use serde::Deserialize;

use super::fields::{Field, misread};
use crate::live::klines::{Interval, PAGE_ROWS, Window};
use crate::live::protocol::{Answer, Cursor, KlineView, Malformed, Millis};

/// An interval as Bybit writes it: minutes, or a letter.
pub(super) fn word(interval: Interval) -> String {
    if interval == Interval::D1 { "D".to_owned() } else { interval.minutes().to_string() }
}

/// What is answered; rows are told apart from other lists by their form.
#[derive(Deserialize)]
pub(super) struct Klines<'a> {
    #[serde(borrow)]
    list: Vec<Vec<Field<'a>>>,
}

impl Klines<'_> {
    /// Reads a page of the span `from..to` that was asked for at `cursor`.
    pub(super) fn answer(
        &self,
        interval: Interval,
        (from, to): (Millis, Millis),
        cursor: &Cursor,
    ) -> Result<Answer, Malformed> {
        let window = Window::of(interval, from, to, cursor);
        if self.list.len() as u64 > PAGE_ROWS {
            return Err(misread("list", "more than were asked for"));
        }
        let rows = self.list.iter().map(|row| candle(row)).collect::<Result<_, _>>()?;
        Ok(Answer::Klines(window.checked(interval, to, rows)?, window.next()))
    }
}

fn candle(row: &[Field<'_>]) -> Result<KlineView, Malformed> {
    let [starts_at, open, high, low, close, volume, ..] = row else {
        return Err(misread("list", "values of a candle are missing"));
    };
    let price = |field: &Field<'_>, name: &str| field.price(name)?.ok_or_else(|| misread(name, "missing"));
    Ok(KlineView {
        opens_at: starts_at.millis("startTime")?,
        open: price(open, "open")?,
        high: price(high, "high")?,
        low: price(low, "low")?,
        close: price(close, "close")?,
        volume: volume.quantity_if_held("volume")?,
    })
}
