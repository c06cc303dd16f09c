//! What clients are told: each answer is that of a decision made while it was waited for, each page shows a version that was
//! current then.

use engine::core::command::{Command, Refusal, Reply};
use engine::core::ids::{SignalId, UserId};
use engine::core::user::VenueKind;

use super::{Index, Judge, Place};
use crate::sim::model::ModelUser;

impl Judge {
    /// A request leaves; its answer is to be compared with what is decided from now on.
    pub(in crate::sim) fn sent(&mut self) -> Index {
        *self.waiting.entry(self.index).or_default() += 1;
        self.index
    }

    /// The request of this index is over.
    pub(in crate::sim) fn over(&mut self, sent: Index) {
        if let Some(count) = self.waiting.get_mut(&sent) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&sent);
            }
        }
    }

    /// Finds the decision that an answer speaks of: one of the right kind since the request left that `agrees`. It is then
    /// promised. Gives its index, or what was found instead.
    pub(in crate::sim) fn claim(
        &mut self,
        sent: Index,
        what: &str,
        is_of: impl Fn(&Command) -> bool,
        agrees: impl Fn(&Result<Reply, Refusal>) -> bool,
    ) -> Result<Index, String> {
        let from = self.decisions.partition_point(|decision| decision.index <= sent);
        let mut others = Vec::new();
        for decision in &mut self.decisions[from..] {
            if decision.claimed || !is_of(&decision.command) {
                continue;
            }
            if !agrees(&decision.outcome) {
                others.push(format!("{:?}", decision.outcome));
                continue;
            }
            decision.claimed = true;
            let (index, place) = (decision.index, decision.place);
            if place.life == self.life {
                self.promise(place.shard, place.lsn, || what.to_owned());
            }
            return Ok(index);
        }
        Err(if others.is_empty() {
            "nothing like it was decided since it was sent".to_owned()
        } else {
            format!("what was decided since it was sent: {}", others.join(", "))
        })
    }

    /// The outcome of the decision with this index.
    pub(in crate::sim) fn outcome_at(&self, index: Index) -> Option<Result<Reply, Refusal>> {
        let at = self.decisions.binary_search_by_key(&index, |decision| decision.index).ok()?;
        Some(self.decisions[at].outcome)
    }

    /// Whether something of this kind was decided since the request left and nobody has claimed it.
    pub(in crate::sim) fn was_decided(&self, sent: Index, is_of: impl Fn(&Command) -> bool) -> bool {
        let from = self.decisions.partition_point(|decision| decision.index <= sent);
        self.decisions[from..].iter().any(|decision| !decision.claimed && is_of(&decision.command))
    }

    /// Holds the receipt of a signal against what the model knows of each user it lists.
    pub(in crate::sim) fn receipt_agrees(
        &self,
        signal: SignalId,
        shown: &serde_json::Value,
    ) -> Result<(), String> {
        if shown["state"] != "finished" {
            return Err(format!("its state is {}", shown["state"]));
        }
        let rows = shown["rows"].as_array().ok_or("it lists nobody")?;
        for row in rows {
            let user = row["user"].as_str().and_then(UserId::parse).ok_or("a line without a user")?;
            let model = self.model.user(user).and_then(|user| user.receipt_words(signal));
            let shown = (row["outcome"].as_str().unwrap_or_default(), row["reason"].as_str());
            if model != Some(shown) {
                return Err(format!("of {user}: shown {shown:?}, must be {model:?}"));
            }
        }
        Ok(())
    }

    /// A user as the model has them.
    pub(in crate::sim) fn user(&self, user: UserId) -> Option<&ModelUser> {
        self.model.user(user)
    }

    /// Whether a user has an account on an exchange, as far as is decided.
    pub(in crate::sim) fn has_account_on(&self, user: UserId, venue: VenueKind) -> bool {
        self.model.user(user).is_some_and(|user| user.has_account_on(venue))
    }

    /// Holds a read of a user against the versions that were current while it was under way.
    pub(in crate::sim) fn read(
        &mut self,
        sent: Index,
        user: UserId,
        what: &str,
        agrees: impl Fn(&ModelUser) -> Result<(), String>,
    ) -> Result<(), String> {
        let versions = self.versions.get(&user).ok_or("nobody of this name")?;
        let mut why = String::from("there was no such user");
        // The version that was current when the request left, and all since.
        let first = versions.partition_point(|version| version.from <= sent).saturating_sub(1);
        let mut shown: Option<Place> = None;
        for version in versions.iter().skip(first) {
            let Some(then) = &version.user else { continue };
            match agrees(then) {
                Ok(()) => {
                    shown = Some(version.place);
                    break;
                }
                Err(difference) => why = difference,
            }
        }
        let Some(place) = shown else { return Err(why) };
        if place.life == self.life {
            self.promise(place.shard, place.lsn, || what.to_owned());
        }
        Ok(())
    }
}
