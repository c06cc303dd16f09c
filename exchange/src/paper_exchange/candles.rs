//! One-minute candles of what was played, and longer ones made of them, for a client that asks for them.
//!
//! **Invariants**: each price that is seen is one trade of its symbol's smallest quantity at that price: the market has no other
//! trades, and what candles, tickers and streams tell of volumes is the sum of these. **Bounds**: [`CANDLES_MAX`]; sums end
//! at the largest number instead of going round.

use std::collections::{BTreeMap, VecDeque};

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

/// Minutes kept per symbol: those of a day, which tickers tell, and the one that is not over.
pub const CANDLES_MAX: usize = 24 * 60 + 1;
/// Span of a candle in milliseconds.
pub const CANDLE_MS: u64 = 60_000;
/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 3_600_000;

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
    /// How much was traded.
    pub volume: Quantity,
    /// The same in the quote currency.
    pub turnover: Money,
}

/// The candles of all symbols.
#[derive(Clone, Debug, Default)]
pub struct Candles {
    symbols: BTreeMap<Symbol, (Timestamp, VecDeque<Candle>)>,
}

impl Candles {
    /// Notes a price at which `size` was traded; false when it is the one that was seen last.
    pub(super) fn see(&mut self, symbol: Symbol, price: Price, size: Quantity, at: Timestamp) -> bool {
        let (last, candles) = self.symbols.entry(symbol).or_default();
        let same = candles.back().is_some_and(|candle| candle.close == price);
        if same && *last == at {
            return false;
        }
        *last = at;
        let open_ms = at.millis() / CANDLE_MS * CANDLE_MS;
        let turnover = price.notional(size).unwrap_or(Money::MAX);
        match candles.back_mut() {
            Some(candle) if candle.open_ms == open_ms => {
                candle.high = candle.high.max(price);
                candle.low = candle.low.min(price);
                candle.close = price;
                candle.prices = candle.prices.saturating_add(1);
                candle.volume = candle.volume.checked_add(size).unwrap_or(Quantity::MAX);
                candle.turnover = candle.turnover.checked_add(turnover).unwrap_or(Money::MAX);
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
                    volume: size,
                    turnover,
                });
            }
        }
        true
    }

    /// Those of a symbol, oldest first.
    pub fn of(&self, symbol: Symbol) -> impl DoubleEndedIterator<Item = &Candle> {
        self.symbols.get(&symbol).into_iter().flat_map(|(_, candles)| candles)
    }

    /// Those of a symbol that begin at `from_ms` or later, as one bar; `None` without any.
    #[must_use]
    pub fn since(&self, symbol: Symbol, from_ms: u64) -> Option<Bar> {
        let (_, candles) = self.symbols.get(&symbol)?;
        let mut minutes = candles.range(candles.partition_point(|minute| minute.open_ms < from_ms)..);
        let mut bar = Bar::of(minutes.next()?, CANDLE_MS);
        minutes.for_each(|minute| bar.add(minute));
        Some(bar)
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
    /// How much was traded.
    pub volume: Quantity,
    /// The same in the quote currency.
    pub turnover: Money,
}

impl Bar {
    /// The bar of `span_ms` that begins with this minute.
    fn of(minute: &Candle, span_ms: u64) -> Self {
        Self {
            start_ms: minute.open_ms - minute.open_ms % span_ms.max(CANDLE_MS),
            open: minute.open,
            high: minute.high,
            low: minute.low,
            close: minute.close,
            prices: minute.prices.into(),
            volume: minute.volume,
            turnover: minute.turnover,
        }
    }

    /// Takes a later minute in.
    fn add(&mut self, minute: &Candle) {
        self.high = self.high.max(minute.high);
        self.low = self.low.min(minute.low);
        self.close = minute.close;
        self.prices += u64::from(minute.prices);
        self.volume = self.volume.checked_add(minute.volume).unwrap_or(Quantity::MAX);
        self.turnover = self.turnover.checked_add(minute.turnover).unwrap_or(Money::MAX);
    }

    /// Of a price that stood still, at which nothing was traded.
    #[must_use]
    pub fn flat(price: Price) -> Self {
        Self {
            start_ms: 0,
            open: price,
            high: price,
            low: price,
            close: price,
            prices: 0,
            volume: Quantity::ZERO,
            turnover: Money::ZERO,
        }
    }
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
        let next = Bar::of(minute, span_ms);
        match out.last_mut() {
            Some(last) if last.start_ms == next.start_ms => last.add(minute),
            _ => out.push(next),
        }
    }
    out.retain(|bar| (from_ms..=to_ms).contains(&bar.start_ms));
    out
}
