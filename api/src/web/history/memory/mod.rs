//! What the state itself can answer: the newest of each kind, in the order and with the cursors of the database's statements.
//!
//! **Runs on**: the shard that owns the user, and only where no database answers. **Bounds**: what a user's lists hold: a few
//! hundred rows.
//! **Invariants**: a page that goes on is never answered with rows it does not go on with: where older rows may be missing, the
//! answer says so, and where the database has them, no row is told beyond the first that may be missing.

mod money;
mod trades;

use engine::core::ids::Timestamp;
use engine::core::user::User;

use super::rows::Kept;
use super::{HistoryQuestion, HistoryRows, Kind, Row};

/// What the state keeps of a kind.
struct Found {
    rows: Vec<Row>,
    /// From then on nothing is missing.
    complete_from: i64,
}

/// An instant as a number of the protocol.
fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// Right after an instant: of what was then, some may be missing.
fn after(at: Timestamp) -> i64 {
    micros(at).saturating_add(1)
}

fn some(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// An instant that may not have come.
fn time(at: Timestamp) -> Option<String> {
    (at.0 > 0).then(|| at.0.to_string())
}

impl HistoryQuestion {
    /// What the state keeps of it. With a `database` that does not answer now, what may be missing is left to it: then rows end
    /// where the first may be missing, and `None` says that there are none to tell before that.
    #[must_use]
    pub fn from_memory(&self, user: &User, database: bool) -> Option<HistoryRows> {
        if self.from_day.is_some() || self.to_day.is_some() {
            let mut at = self.clone();
            at.in_zone(&user.zone);
            return at.from_memory(user, database);
        }
        let found = match self.kind {
            Kind::Orders => trades::orders(user),
            Kind::Positions => trades::positions(user),
            Kind::Receipts => trades::receipts(user, self.signal),
            Kind::Ledger => trades::ledger(user),
            Kind::Fills => money::fills(user),
            Kind::Fees => money::fees(user),
            Kind::Statement => money::statement(user, self.from..self.to),
            Kind::Performance(by) => money::performance(user, by, self.from..self.to),
        };
        let Found { mut rows, complete_from } = found;
        let truncated = complete_from > self.from;
        let sums = self.kind.is_of_sums();
        let elsewhere = truncated && database;
        // A sum of which a part is missing goes on nowhere, and whoever wants all wants no part.
        if elsewhere && (sums || self.is_stream()) {
            return None;
        }
        let (time, id) = self.cursor();
        if !planted::planted!("memory_forgets_the_cursor") {
            rows.retain(|row| (row.at, row.id.as_str()) < (time, id));
        }
        if !sums {
            let from = if elsewhere { complete_from } else { self.from };
            rows.retain(|row| (from..self.to).contains(&row.at));
        }
        rows.sort_unstable_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        if elsewhere && rows.is_empty() {
            return None;
        }
        let limit = if self.is_stream() { usize::MAX } else { self.page_rows() };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let kept = Some(Kept { complete_from, truncated, elsewhere });
        Some(HistoryRows { columns: self.columns(), rows, more, source: "memory".to_owned(), kept })
    }
}
