//! Real prices from CSV text: candles or trades, told apart by the header.
//!
//! Candles (`time_ms,open,high,low,close,volume`) become four ticks each: the open as a jump, then low, high, close
//! when it closed at or above its open, else high, low, close, moving continuously, at t, t+Δ/3, t+2Δ/3, t+Δ−1 ms,
//! where Δ is the smallest span between two rows (one minute for a single row). Trades
//! (`time_ms,id,side,price,quantity`) become one jump each.
//!
//! Numbers may be as a float printed them; they are rounded half to even at the eighth place.
//!
//! **Invariants**: what was parsed is consistent: positive prices, low ≤ open, close ≤ high, time never going back,
//! highest price at most [`PRICE_SPREAD_MAX`] times the lowest. **Bounds**: [`ROWS_MAX`]. Shared, never copied.

use std::sync::Arc;

use engine::core::fixed::{ParseError, Price};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::TrackTick;
use super::decimal::decimal_units;
use crate::paper::rules;

/// Most rows of a file: ten years of minutes, at 40 bytes each 200 MB.
pub const ROWS_MAX: usize = 5_300_000;
/// How many times the lowest price the highest may be. With the paper venue's limit on notionals it keeps every
/// product within the range of `Money`.
pub const PRICE_SPREAD_MAX: i64 = 64;
/// Times after 2200-01-01 are no milliseconds.
const TIME_MS_MAX: u64 = 7_258_118_400_000;
/// Δ of a file with a single candle.
const SINGLE_CANDLE_MS: u64 = 60_000;

const CANDLES: &str = "time_ms,open,high,low,close,volume";
const TRADES: &str = "time_ms,id,side,price,quantity";

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The first line names neither format.
    #[error(
        "unknown header {0:?}: expected `time_ms,open,high,low,close,volume`, `time_ms,id,side,price,quantity` or, for funding, `time_ms,funding_rate`"
    )]
    Header(String),
    /// Another number of columns than the header has; a decimal comma does that too.
    #[error("{found} columns instead of {expected}: a decimal comma, or a row cut off?")]
    Columns {
        /// How many the header has.
        expected: usize,
        /// How many the line has.
        found: usize,
    },
    /// A column that is no number.
    #[error("column {column}: {error}")]
    Number {
        /// Its name in the header.
        column: &'static str,
        /// Why.
        error: ParseError,
    },
    /// A time that is no count of milliseconds since 1970, UTC, or too far off.
    #[error("time_ms is not milliseconds since 1970 (UTC, up to the year 2200)")]
    Time,
    /// A time that is not after the line before (for trades: that is before it).
    #[error("time_ms goes back or repeats: sort the rows and remove duplicates")]
    Order,
    /// A price that is zero or below.
    #[error("column {0} must be above zero")]
    NotPositive(&'static str),
    /// High or low do not contain open and close.
    #[error("high and low do not contain open and close")]
    Range,
    /// A price more than 64 times another of the same file.
    #[error("price more than 64 times the lowest one: a misplaced decimal point?")]
    Spread,
    /// A price that rounds to zero on the instrument's tick.
    #[error("price below half a tick of the instrument: another symbol's file?")]
    BelowTick,
    /// A funding rate of 100 % or more.
    #[error("a funding rate of 1 or more: write a fraction, not percent")]
    Rate,
    /// A header and nothing else, or nothing at all.
    #[error("no rows")]
    Empty,
    /// More than [`ROWS_MAX`] rows.
    #[error("too many rows: split the file")]
    TooManyRows,
}

/// A file that cannot be used, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct CsvError {
    /// The name given by the caller.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candle {
    time_ms: u64,
    open: Price,
    high: Price,
    low: Price,
    close: Price,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trade {
    time_ms: u64,
    price: Price,
}

#[derive(Debug)]
enum Rows {
    Candles { rows: Vec<Candle>, span_ms: u64 },
    Trades(Vec<Trade>),
}

/// A parsed file. Cloning shares the data.
#[derive(Clone, Debug)]
pub struct MarketFile {
    name: Arc<str>,
    rows: Arc<Rows>,
}

impl MarketFile {
    /// Parses the text of a file; `name` is for error messages only. A byte order mark and blank lines at the end are skipped.
    ///
    /// # Errors
    /// [`CsvError`] for the first line that cannot be used.
    pub fn parse(name: &str, text: &str) -> Result<Self, CsvError> {
        let lines = Lines::new(name, text);
        let rows = match lines.header {
            CANDLES => candles(&lines)?,
            TRADES => Rows::Trades(trades(&lines)?),
            other => return Err(lines.error(1, Problem::Header(other.chars().take(80).collect()))),
        };
        Ok(Self { name: name.into(), rows: Arc::new(rows) })
    }

    /// Time of the first tick.
    #[must_use]
    pub fn starts_at(&self) -> Timestamp {
        Timestamp::from_millis(match &*self.rows {
            Rows::Candles { rows, .. } => rows.first().map_or(0, |row| row.time_ms),
            Rows::Trades(rows) => rows.first().map_or(0, |row| row.time_ms),
        })
    }

    /// How many ticks it makes.
    #[must_use]
    pub fn ticks(&self) -> usize {
        match &*self.rows {
            Rows::Candles { rows, .. } => rows.len() * 4,
            Rows::Trades(rows) => rows.len(),
        }
    }

    /// Checks that no price vanishes on this grid.
    pub(super) fn check_grid(&self, grid: Price) -> Result<(), CsvError> {
        let lowest = match &*self.rows {
            Rows::Candles { rows, .. } => rows.iter().map(|row| row.low).enumerate().min_by_key(|row| row.1),
            Rows::Trades(rows) => rows.iter().map(|row| row.price).enumerate().min_by_key(|row| row.1),
        };
        match lowest {
            Some((row, price)) if rules::nearest_tick(price, grid).is_none() => {
                Err(CsvError { file: self.name.to_string(), line: row + 2, problem: Problem::BelowTick })
            }
            _ => Ok(()),
        }
    }

    /// The tick at `index`, or `None` after the last.
    pub(super) fn tick(&self, index: usize, symbol: Symbol, grid: Price) -> Option<TrackTick> {
        let (time_ms, price, continuous) = match &*self.rows {
            Rows::Trades(rows) => rows.get(index).map(|trade| (trade.time_ms, trade.price, false))?,
            Rows::Candles { rows, span_ms } => {
                let candle = rows.get(index / 4)?;
                let (second, third) = if candle.close >= candle.open {
                    (candle.low, candle.high)
                } else {
                    (candle.high, candle.low)
                };
                let (after, price) = match index % 4 {
                    0 => (0, candle.open),
                    1 => (span_ms / 3, second),
                    2 => (span_ms * 2 / 3, third),
                    _ => (span_ms.saturating_sub(1), candle.close),
                };
                (candle.time_ms + after, price, !index.is_multiple_of(4))
            }
        };
        let price = rules::nearest_tick(price, grid).expect("check_grid was called when the track was made");
        Some(TrackTick { symbol, venue_at: Timestamp::from_millis(time_ms), price, continuous })
    }
}

/// The symbol a file's name begins with: `btcusdt-5m-2023-01.csv` is BTCUSDT. For the command line only, where a
/// person sees what was guessed; the symbol is looked up exactly afterwards.
#[must_use]
pub fn symbol_from_file_name(path: &str) -> Option<Symbol> {
    let name = path.rsplit(['/', '\\']).next()?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    Symbol::new(&name[..end].to_ascii_uppercase())
}

/// The lines of a CSV text, with their numbers.
pub(crate) struct Lines<'a> {
    name: &'a str,
    pub(crate) header: &'a str,
    body: &'a str,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (header, body) = text.split_once('\n').unwrap_or((text, ""));
        Self { name, header: header.trim(), body }
    }

    pub(crate) fn error(&self, line: usize, problem: Problem) -> CsvError {
        CsvError { file: self.name.to_owned(), line, problem }
    }

    /// Parses each line with `row`, which is given exactly `N` columns. Row `i` is line `i + 2`.
    pub(crate) fn parse<const N: usize, T>(
        &self,
        mut row: impl FnMut(&[&str; N], Option<&T>) -> Result<T, Problem>,
    ) -> Result<Vec<T>, CsvError> {
        let mut rows: Vec<T> = Vec::new();
        for (at, text) in self.body.trim_end().lines().enumerate() {
            let line = at + 2;
            if rows.len() >= ROWS_MAX {
                return Err(self.error(line, Problem::TooManyRows));
            }
            let found = text.split(',').count();
            if found != N {
                return Err(self.error(line, Problem::Columns { expected: N, found }));
            }
            let mut columns = [""; N];
            for (column, value) in columns.iter_mut().zip(text.split(',')) {
                *column = value.trim();
            }
            let parsed = row(&columns, rows.last()).map_err(|problem| self.error(line, problem))?;
            rows.push(parsed);
        }
        if rows.is_empty() {
            return Err(self.error(2, Problem::Empty));
        }
        Ok(rows)
    }
}

pub(crate) fn time(text: &str) -> Result<u64, Problem> {
    text.parse::<u64>().ok().filter(|time| *time <= TIME_MS_MAX).ok_or(Problem::Time)
}

fn price(text: &str, column: &'static str) -> Result<Price, Problem> {
    let price =
        decimal_units(text).map(Price::from_units).map_err(|error| Problem::Number { column, error })?;
    if price.is_positive() { Ok(price) } else { Err(Problem::NotPositive(column)) }
}

/// Keeps the lowest and the highest price seen, and refuses what is too far from either.
struct Spread(Option<(Price, Price)>);

impl Spread {
    fn add(&mut self, low: Price, high: Price) -> Result<(), Problem> {
        let (lowest, highest) = self.0.map_or((low, high), |(l, h)| (l.min(low), h.max(high)));
        if highest.units() / PRICE_SPREAD_MAX >= lowest.units() {
            return Err(Problem::Spread);
        }
        self.0 = Some((lowest, highest));
        Ok(())
    }
}

fn candles(lines: &Lines<'_>) -> Result<Rows, CsvError> {
    let mut spread = Spread(None);
    let mut span_ms: Option<u64> = None;
    let rows = lines.parse(|columns: &[&str; 6], last: Option<&Candle>| {
        let candle = Candle {
            time_ms: time(columns[0])?,
            open: price(columns[1], "open")?,
            high: price(columns[2], "high")?,
            low: price(columns[3], "low")?,
            close: price(columns[4], "close")?,
        };
        decimal_units(columns[5]).map_err(|error| Problem::Number { column: "volume", error })?;
        if candle.low > candle.open.min(candle.close) || candle.high < candle.open.max(candle.close) {
            return Err(Problem::Range);
        }
        spread.add(candle.low, candle.high)?;
        if let Some(last) = last {
            let span =
                candle.time_ms.checked_sub(last.time_ms).filter(|span| *span > 0).ok_or(Problem::Order)?;
            span_ms = Some(span_ms.map_or(span, |least| least.min(span)));
        }
        Ok(candle)
    })?;
    Ok(Rows::Candles { rows, span_ms: span_ms.unwrap_or(SINGLE_CANDLE_MS) })
}

fn trades(lines: &Lines<'_>) -> Result<Vec<Trade>, CsvError> {
    let mut spread = Spread(None);
    lines.parse(|columns: &[&str; 5], last: Option<&Trade>| {
        let trade = Trade { time_ms: time(columns[0])?, price: price(columns[3], "price")? };
        spread.add(trade.price, trade.price)?;
        if last.is_some_and(|last| trade.time_ms < last.time_ms) {
            return Err(Problem::Order);
        }
        Ok(trade)
    })
}
