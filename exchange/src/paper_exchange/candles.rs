//! One-minute candles of what was played, and longer ones made of them, for a client that asks for them.

use std::collections::{BTreeMap, VecDeque};

use engine::core::fixed::Price;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

/// Minutes kept per symbol: four hours.
pub const CANDLES_MAX: usize = 240;
/// Span of a candle in milliseconds.
pub const CANDLE_MS: u64 = 60_000;

/// One minute of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candle {
    /// Its beginning, in milliseconds of the caller's clock.
    pub open_ms: u64,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// How many prices it is made of.
    pub prices: u32,
}

/// The candles of all symbols.
#[derive(Clone, Debug, Default)]
pub struct Candles {
    symbols: BTreeMap<Symbol, (Timestamp, VecDeque<Candle>)>,
}

impl Candles {
    /// Notes a price; false when it is the one that was seen last.
    pub(super) fn see(&mut self, symbol: Symbol, price: Price, at: Timestamp) -> bool {
        let (last, candles) = self.symbols.entry(symbol).or_default();
        let same = candles.back().is_some_and(|candle| candle.close == price);
        if same && *last == at {
            return false;
        }
        *last = at;
        let open_ms = at.millis() / CANDLE_MS * CANDLE_MS;
        match candles.back_mut() {
            Some(candle) if candle.open_ms == open_ms => {
                candle.high = candle.high.max(price);
                candle.low = candle.low.min(price);
                candle.close = price;
                candle.prices = candle.prices.saturating_add(1);
            }
            _ => {
                if candles.len() >= CANDLES_MAX {
                    candles.pop_front();
                }
                candles.push_back(Candle {
                    open_ms,
                    open: price,
                    high: price,
                    low: price,
                    close: price,
                    prices: 1,
                });
            }
        }
        true
    }

    /// Those of a symbol, oldest first.
    pub fn of(&self, symbol: Symbol) -> impl DoubleEndedIterator<Item = &Candle> {
        self.symbols.get(&symbol).into_iter().flat_map(|(_, candles)| candles)
    }
}

/// One candle of some span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Its first millisecond.
    pub start_ms: u64,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// How many prices it is made of.
    pub prices: u64,
}

/// The bars of `span_ms` that begin within `from_ms..=to_ms`, of minutes told oldest first; oldest first.
#[must_use]
pub fn bars<'a>(
    minutes: impl Iterator<Item = &'a Candle>,
    span_ms: u64,
    (from_ms, to_ms): (u64, u64),
) -> Vec<Bar> {
    let mut out: Vec<Bar> = Vec::new();
    for minute in minutes {
        let start_ms = minute.open_ms - minute.open_ms % span_ms.max(CANDLE_MS);
        match out.last_mut() {
            Some(last) if last.start_ms == start_ms => {
                last.high = last.high.max(minute.high);
                last.low = last.low.min(minute.low);
                last.close = minute.close;
                last.prices += u64::from(minute.prices);
            }
            _ => out.push(Bar {
                start_ms,
                open: minute.open,
                high: minute.high,
                low: minute.low,
                close: minute.close,
                prices: minute.prices.into(),
            }),
        }
    }
    out.retain(|bar| (from_ms..=to_ms).contains(&bar.start_ms));
    out
}
