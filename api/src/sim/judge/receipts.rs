//! Receipts: their head and each of their lines is of a version that was current while they were put together, and nobody is
//! missing who had a line all the while.

use std::collections::{BTreeMap, BTreeSet};

use engine::core::ids::{SignalId, UserId};
use serde_json::Value;

use super::Judge;
use super::answers::Asked;

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
        for row in rows {
            let user = row["user"].as_str().and_then(UserId::parse).ok_or("a line without a user")?;
            if !listed.insert(user) {
                return Err(format!("two lines of {user}"));
            }
            if only.is_some_and(|only| only != user) {
                return Err(format!("a line of {user}, which is not for this reader"));
            }
            self.read(asked, user, &what, |then| then.receipt_line_agrees(signal, row))
                .map_err(|why| format!("of {user}: {why}"))?;
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
        Ok(())
    }
}
