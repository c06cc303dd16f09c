//! Receipts: their head and each of their lines is of a version that was current while they were put together, nobody is
//! missing who had a line all the while, and counts, spreads and prices over the fan-out are those of the lines.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use engine::core::ids::{SignalId, UserId};
use engine::core::order::Side;
use serde_json::{Value, json};

use super::Judge;
use super::answers::Asked;
use crate::sim::decimals::decimal;
use crate::sim::model::{FilledSide, ModelUser};

impl Judge {
    /// Whether a receipt may be told not to exist: at some moment its source did not keep the signal, or the subscriber who asks
    /// had no line of it.
    pub(in crate::sim) fn receipt_may_be_missing(
        &self,
        asked: &Asked,
        signal: SignalId,
        only: Option<UserId>,
    ) -> bool {
        let mut owner = self.during(asked, signal.source.owner);
        owner.any(|then| then.is_none_or(|then| !then.keeps_signal(signal)))
            || only.is_some_and(|user| !self.had_line(asked, user, signal))
    }

    /// Whether somebody had a line of this receipt at every moment since the request left.
    fn had_line(&self, asked: &Asked, user: UserId, signal: SignalId) -> bool {
        self.during(asked, user).all(|then| then.is_some_and(|then| then.has_receipt(signal)))
    }

    /// Holds a receipt, all of it, against what the model knows; `only` is the subscriber who asked, who sees their own line.
    pub(in crate::sim) fn receipt_agrees(
        &mut self,
        asked: &Asked,
        signal: SignalId,
        only: Option<UserId>,
        shown: &Value,
    ) -> Result<(), String> {
        let what = format!("the receipt of {signal} was shown");
        let of_publisher = only.is_none();
        self.read(asked, signal.source.owner, &what, |owner| {
            owner.receipt_head_agrees(signal, shown, of_publisher)
        })?;
        let rows = shown["rows"].as_array().ok_or("it lists nobody")?;
        let mut listed = BTreeSet::new();
        let mut counts: BTreeMap<(&str, Option<&str>), u64> = BTreeMap::new();
        let mut filled = Vec::new();
        for row in rows {
            let user = row["user"].as_str().and_then(UserId::parse).ok_or("a line without a user")?;
            if !listed.insert(user) {
                return Err(format!("two lines of {user}"));
            }
            if only.is_some_and(|only| only != user) {
                return Err(format!("a line of {user}, which is not for this reader"));
            }
            let fills = RefCell::new(Vec::new());
            let line = |then: &ModelUser| {
                then.receipt_line_agrees(signal, row)?;
                fills.replace(then.fills_of(signal));
                Ok(())
            };
            self.read(asked, user, &what, line).map_err(|why| format!("of {user}: {why}"))?;
            filled.extend(fills.into_inner().into_iter().map(|fill| (user, fill)));
            let words = (row["outcome"].as_str().unwrap_or_default(), row["reason"].as_str());
            *counts.entry(words).or_default() += 1;
        }
        let everybody = self.versions.keys().copied();
        let mut missing =
            everybody.filter(|user| only.is_none_or(|only| only == *user) && !listed.contains(user));
        if let Some(user) = missing.find(|user| self.had_line(asked, *user, signal)) {
            return Err(format!("no line of {user}"));
        }
        let told = shown["counts"].as_array().ok_or("it counts nothing")?;
        let words = |row: &Value| {
            Some((row["outcome"].as_str()?.to_owned(), row["reason"].as_str().map(str::to_owned)))
        };
        let told: BTreeMap<_, _> =
            told.iter().filter_map(|row| words(row).zip(row["users"].as_u64())).collect();
        let counted: BTreeMap<_, _> = counts
            .into_iter()
            .map(|((outcome, reason), users)| ((outcome.to_owned(), reason.map(str::to_owned)), users))
            .collect();
        if told != counted || shown["decided"] != rows.len() || shown["rows_left"] != 0 {
            return Err(format!("its counts are not those of its lines, which are {counted:?}"));
        }
        let accepted_at = shown["accepted_at"].as_u64().unwrap_or_default();
        for (spread, of) in [("sent", "sent_at"), ("filled", "filled_at")] {
            let asked = rows.iter().filter(|row| row["outcome"] != "skipped");
            let at = asked.filter_map(|row| row[of].as_u64());
            same(spread, &shown[spread], &spread_of(at.map(|at| at.saturating_sub(accepted_at)).collect()))?;
        }
        let prices: Vec<Value> = [Side::Buy, Side::Sell]
            .into_iter()
            .filter_map(|side| prices_of(&shown["symbol"], side, &filled))
            .collect();
        same("fill_prices", &shown["fill_prices"], &Value::from(prices))
    }
}

fn same(what: &str, shown: &Value, must_be: &Value) -> Result<(), String> {
    if shown == must_be { Ok(()) } else { Err(format!("{what}: shown {shown}, of its lines {must_be}")) }
}

/// DOMAIN.md §1: p50, p99, first and last over the fan-out. A percentile is the smallest value that so many are not above.
fn spread_of(mut spans: Vec<u64>) -> Value {
    spans.sort_unstable();
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Value::Null };
    let rank = |percent: usize| {
        let not_above = |span: &&u64| spans.iter().filter(|other| other <= span).count() * 100;
        spans.iter().find(|span| not_above(span) >= spans.len() * percent)
    };
    json!({ "count": spans.len(), "first_us": first, "p50_us": rank(50), "p99_us": rank(99), "last_us": last })
}

/// The prices of one side over the fan-out; of one moment, users count in the order of their ids.
fn prices_of(symbol: &Value, side: Side, filled: &[(UserId, FilledSide)]) -> Option<Value> {
    let mut of_side: Vec<_> = filled.iter().filter(|(_, fill)| fill.side == side).collect();
    of_side.sort_by_key(|(user, fill)| (fill.at, *user));
    let ((_, first), (_, last)) = (of_side.first()?, of_side.last()?);
    let lowest = of_side.iter().map(|(_, fill)| fill.price).min()?;
    let highest = of_side.iter().map(|(_, fill)| fill.price).max()?;
    let spread = highest - lowest;
    // Hundredths of a basis point, rounded down.
    let basis_points = (lowest > 0).then(|| decimal(spread * 1_000_000 / lowest * 1_000_000));
    Some(json!({
        "symbol": symbol, "side": if side == Side::Buy { "buy" } else { "sell" }, "users": of_side.len(),
        "first": decimal(first.price), "first_at": first.at, "last": decimal(last.price), "last_at": last.at,
        "lowest": decimal(lowest), "highest": decimal(highest),
        "spread": decimal(spread), "spread_basis_points": basis_points,
    }))
}
