//! Funding rates over time, from a CSV (`time_ms,funding_rate`) or one default.

use engine::core::fixed::Rate;
use engine::core::ids::Timestamp;

use crate::market::decimal::decimal_units;
use crate::market::file::{CsvError, Lines, Problem, time};

const HEADER: &str = "time_ms,funding_rate";
/// Exchanges stamp a settlement some milliseconds late; a row belongs to the minute it is in.
const JITTER_MS: u64 = 60_000;

/// The funding rates of one symbol, sorted by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FundingTable {
    rows: Vec<(u64, Rate)>,
}

impl FundingTable {
    /// Parses the text of a file; `name` is for error messages only.
    ///
    /// # Errors
    /// [`CsvError`] for the first line that cannot be used.
    pub fn parse(name: &str, text: &str) -> Result<Self, CsvError> {
        let lines = Lines::new(name, text);
        if lines.header != HEADER {
            return Err(lines.error(1, Problem::Header(lines.header.chars().take(80).collect())));
        }
        let rows = lines.parse(|columns: &[&str; 2], last: Option<&(u64, Rate)>| {
            let at = time(columns[0])? / JITTER_MS * JITTER_MS;
            let rate = decimal_units(columns[1]).map(Rate::from_units);
            let rate = rate.map_err(|error| Problem::Number { column: "funding_rate", error })?;
            if rate.abs() >= Rate::from_whole(1) {
                return Err(Problem::Rate);
            }
            if last.is_some_and(|last| at <= last.0) {
                return Err(Problem::Order);
            }
            Ok((at, rate))
        })?;
        Ok(Self { rows })
    }

    /// The newest rate at or before `boundary`; `None` before the first row.
    #[must_use]
    pub fn rate_at(&self, boundary: Timestamp) -> Option<Rate> {
        let after = self.rows.partition_point(|(at, _)| *at <= boundary.millis());
        after.checked_sub(1).map(|last| self.rows[last].1)
    }
}
