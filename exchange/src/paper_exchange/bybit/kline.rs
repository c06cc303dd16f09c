//! Longer candles of one-minute ones, by Bybit's words for intervals.

use crate::paper_exchange::candles::{self, CANDLE_MS, Candle};

pub use crate::paper_exchange::candles::Bar;

/// The newest `limit` bars of `span_ms` that begin within a span, newest first, of minutes told oldest first.
#[must_use]
pub fn bars<'a>(
    minutes: impl Iterator<Item = &'a Candle>,
    span_ms: u64,
    within: (u64, u64),
    limit: usize,
) -> Vec<Bar> {
    let mut out = candles::bars(minutes, span_ms, within);
    out.reverse();
    out.truncate(limit);
    out
}

/// Milliseconds of an interval's word; weeks and months are counted in days from the epoch.
#[must_use]
pub fn span_ms(interval: &str) -> Option<u64> {
    let minutes = match interval {
        "1" | "3" | "5" | "15" | "30" | "60" | "120" | "240" | "360" | "720" => interval.parse().ok()?,
        "D" => 1_440,
        "W" => 7 * 1_440,
        "M" => 30 * 1_440,
        _ => return None,
    };
    Some(minutes * CANDLE_MS)
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::{Money, Price, Quantity};

    use super::*;

    #[test]
    fn longer_bars_are_made_of_minutes() {
        let price = Price::from_whole;
        let minute = |open_ms, open, high, low, close| Candle {
            open_ms,
            open: price(open),
            high: price(high),
            low: price(low),
            close: price(close),
            prices: 4,
            volume: Quantity::from_whole(2),
            turnover: Money::from_whole(30),
        };
        let minutes =
            [minute(0, 10, 14, 9, 9), minute(60_000, 11, 11, 8, 11), minute(300_000, 20, 20, 20, 20)];
        let all = bars(minutes.iter(), 300_000, (0, u64::MAX), 10);
        let (open, high, low, close) = (price(10), price(14), price(8), price(11));
        let (volume, turnover) = (Quantity::from_whole(4), Money::from_whole(60));
        let first = Bar { start_ms: 0, open, high, low, close, prices: 8, volume, turnover };
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].start_ms, all[1]), (300_000, first));
        assert_eq!(bars(minutes.iter(), 60_000, (0, 60_000), 1)[0].start_ms, 60_000);
        assert_eq!((span_ms("5"), span_ms("7")), (Some(300_000), None));
    }
}
