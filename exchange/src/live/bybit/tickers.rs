//! 24-hour tickers of all contracts: the change as a fraction, the turnover in the currency of the quotes.

use serde::Deserialize;

use super::fields::{Field, misread};
use super::rows::row;
use crate::live::protocol::{DayTickerView, Malformed, Millis};
use crate::live::tickers;

row! {
    /// What a ticker tells of 24 hours.
    DayTickerRow { symbol, last_price, price24h_pcnt, turnover24h }
}

impl DayTickerRow<'_> {
    /// As we see it, told at `at`; `None` without a price (CASES.md, F9).
    pub(super) fn view(&self, at: Millis) -> Result<Option<DayTickerView>, Malformed> {
        let symbol = self.symbol.symbol("symbol")?;
        if self.last_price.price("lastPrice")?.is_none() {
            return Ok(None);
        }
        let told = self.price24h_pcnt.number("price24hPcnt")?;
        let change = tickers::change(told).ok_or_else(|| misread("price24hPcnt", "out of range"))?;
        Ok(Some(DayTickerView { symbol, change, turnover: self.turnover24h.number("turnover24h")?, at }))
    }
}
