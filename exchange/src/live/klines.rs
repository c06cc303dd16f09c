//! Spans of candles and the pages they are read in, alike for both exchanges.
//!
//! **Invariants**: a page is a window of the grid that holds at most the rows of one answer, so nothing rests on which of too
//! many rows an exchange would leave out (Binance the last, Bybit the first). A row that is outside of its window, off the
//! grid, told twice or not consistent is an error of the answer.

use engine::core::fixed::{Price, Rate, Rounding, UNIT, mul_div};

use super::protocol::{Cursor, KlineView, Malformed, Millis};

/// Rows of a page: the most that Bybit gives, and what Binance gives for the fewest weight a request (5).
pub const PAGE_ROWS: u64 = 1_000;
/// Milliseconds in a minute.
const MINUTE_MS: u64 = 60_000;

/// How long a candle is. All begin on a grid that begins with 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interval {
    /// One minute.
    M1,
    /// Three minutes.
    M3,
    /// Five minutes.
    M5,
    /// Fifteen minutes.
    M15,
    /// Thirty minutes.
    M30,
    /// One hour.
    H1,
    /// Two hours.
    H2,
    /// Four hours.
    H4,
    /// Six hours.
    H6,
    /// Twelve hours.
    H12,
    /// One day.
    D1,
}

impl Interval {
    /// All of them, shortest first.
    pub const ALL: [Self; 11] = [
        Self::M1,
        Self::M3,
        Self::M5,
        Self::M15,
        Self::M30,
        Self::H1,
        Self::H2,
        Self::H4,
        Self::H6,
        Self::H12,
        Self::D1,
    ];

    /// Its length in minutes.
    #[must_use]
    pub const fn minutes(self) -> u64 {
        match self {
            Self::M1 => 1,
            Self::M3 => 3,
            Self::M5 => 5,
            Self::M15 => 15,
            Self::M30 => 30,
            Self::H1 => 60,
            Self::H2 => 120,
            Self::H4 => 240,
            Self::H6 => 360,
            Self::H12 => 720,
            Self::D1 => 1_440,
        }
    }

    /// Its length in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.minutes() * MINUTE_MS
    }

    /// As people and Binance write it: `1m`, `4h`, `1d`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M1 => "1m",
            Self::M3 => "3m",
            Self::M5 => "5m",
            Self::M15 => "15m",
            Self::M30 => "30m",
            Self::H1 => "1h",
            Self::H2 => "2h",
            Self::H4 => "4h",
            Self::H6 => "6h",
            Self::H12 => "12h",
            Self::D1 => "1d",
        }
    }

    /// Reads what [`Interval::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.as_str() == text)
    }

    /// The first time on the grid that is not before this.
    #[must_use]
    pub const fn at_or_after(self, at: Millis) -> Millis {
        Millis(at.0.div_ceil(self.millis()).saturating_mul(self.millis()))
    }
}

/// By how much the close of the last candle is above the open of the first, as a fraction of that, half even at the eighth place;
/// `None` without candles, or when it cannot be held.
#[must_use]
pub fn change(oldest_first: &[KlineView]) -> Option<Rate> {
    let (open, close) = (oldest_first.first()?.open, oldest_first.last()?.close);
    let moved = close.checked_sub(open)?;
    mul_div(moved.units(), UNIT, open.units(), Rounding::HalfEven).map(Rate::from_units)
}

/// A page: the candles that open from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) first: Millis,
    pub(super) last: Millis,
    /// Where the next page begins; `None`: this is the last one.
    next: Option<Millis>,
}

impl Window {
    /// The page of the span `from..to` that begins at `cursor`. A span without a candle has one page, which is empty.
    pub(super) fn of(interval: Interval, from: Millis, to: Millis, cursor: &str) -> Self {
        let span = interval.millis();
        let begin = cursor.parse().map_or(from, |at: u64| from.max(Millis(at)));
        let first = interval.at_or_after(begin);
        let end = interval.at_or_after(to);
        if first >= end {
            // Asked for all the same: one candle, of which nothing is told.
            return Self { first, last: first, next: None };
        }
        let after = Millis(first.0.saturating_add(PAGE_ROWS * span)).min(end);
        Self { first, last: Millis(after.0 - span), next: (after < end).then_some(after) }
    }

    /// Where the next page begins.
    pub(super) fn next(&self) -> Option<Cursor> {
        self.next.map(|at| at.0.to_string())
    }

    /// The rows of an answer, oldest first, if they are what was asked for.
    pub(super) fn checked(
        &self,
        interval: Interval,
        to: Millis,
        mut rows: Vec<KlineView>,
    ) -> Result<Vec<KlineView>, Malformed> {
        let wrong = |what: &str| Err(Malformed(format!("candles: {what}")));
        rows.sort_by_key(|row| row.opens_at);
        for row in &rows {
            if row.opens_at.0 % interval.millis() != 0 {
                return wrong("one does not open on the grid of its interval");
            }
            if !(self.first..=self.last).contains(&row.opens_at) {
                return wrong("one was not asked for");
            }
            let all = [row.open, row.close, row.high, row.low];
            let inside = |price: &Price| *price >= row.low && *price <= row.high && price.is_positive();
            if !all.iter().all(inside) {
                return wrong("high and low do not contain open and close, or a price is not above zero");
            }
        }
        if rows.windows(2).any(|pair| pair[0].opens_at == pair[1].opens_at) {
            return wrong("one is told twice");
        }
        rows.retain(|row| row.opens_at < to);
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_pages(interval: Interval, from: u64, to: u64) -> Vec<(u64, u64)> {
        let (mut cursor, mut pages) = (String::new(), Vec::new());
        loop {
            let window = Window::of(interval, Millis(from), Millis(to), &cursor);
            pages.push((window.first.0, window.last.0));
            match window.next() {
                Some(next) => cursor = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_cover_a_span_once_and_end() {
        let minute = MINUTE_MS;
        assert_eq!(all_pages(Interval::M1, 0, 1), [(0, 0)]);
        assert_eq!(all_pages(Interval::M1, 1, 60_001), [(minute, minute)], "inward and outward to the grid");
        assert_eq!(all_pages(Interval::M1, 0, 1_000 * minute), [(0, 999 * minute)]);
        let pages = all_pages(Interval::M5, 7, 2_500 * 5 * minute);
        assert_eq!(pages.len(), 3);
        assert_eq!((pages[0].0, pages[2].1), (5 * minute, 2_499 * 5 * minute));
        for pair in pages.windows(2) {
            assert_eq!(pair[0].1 + 5 * minute, pair[1].0, "nothing twice, nothing left out");
        }
        assert_eq!(all_pages(Interval::H1, 50, 50), [(3_600_000, 3_600_000)], "an empty span asks once");
    }

    #[test]
    fn any_cursor_and_any_span_ends() {
        for (from, to) in [(u64::MAX, u64::MAX), (u64::MAX - 1, 0), (0, u64::MAX), (5, 0)] {
            for cursor in ["", "x", "-1", "18446744073709551615", "99999999999999999999999"] {
                for interval in Interval::ALL {
                    let window = Window::of(interval, Millis(from), Millis(to), cursor);
                    assert!(window.first <= window.last);
                    assert!(window.next.is_none_or(|next| next > window.last), "it goes forward");
                }
            }
        }
    }

    #[test]
    fn a_change_is_from_the_first_open_to_the_last_close() {
        let price = |text: &str| text.parse::<Price>().expect("a price");
        let candle = |open: &str, close: &str| {
            let (open, close) = (price(open), price(close));
            let (high, low) = (open.max(close), open.min(close));
            KlineView { opens_at: Millis(0), open, high, low, close, volume: None }
        };
        assert_eq!(change(&[]), None);
        let told = |rows: &[KlineView]| change(rows).map(|rate| rate.to_string());
        assert_eq!(told(&[candle("3", "4")]).as_deref(), Some("0.33333333"));
        assert_eq!(told(&[candle("3", "9"), candle("9", "1")]).as_deref(), Some("-0.66666667"));
        assert_eq!(told(&[candle("7", "8"), candle("9", "7")]).as_deref(), Some("0"));
        assert_eq!(told(&[candle("0.00000001", "90000000000")]), None);
    }

    #[test]
    fn words_of_intervals_are_read_back() {
        for interval in Interval::ALL {
            assert_eq!(Interval::parse(interval.as_str()), Some(interval));
            assert_eq!(1_440 % interval.minutes(), 0, "a day is a whole number of each");
        }
        assert_eq!((Interval::parse("1M"), Interval::parse("")), (None, None));
    }
}
