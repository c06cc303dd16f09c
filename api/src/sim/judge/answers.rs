//! What clients are told of their changes: each answer is that of a decision made while it was waited for.

use engine::core::command::{Command, Refusal, Reply};
use engine::core::ids::UserId;
use engine::core::user::VenueKind;
use engine::seam::Nanos;

use super::sessions::Session;
use super::{Decision, Index, Judge};
use crate::sim::model::ModelUser;

/// A request under way, as far as its answer is held against what happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Asked {
    /// What had been decided when it left.
    pub(in crate::sim) index: Index,
    /// When it left.
    pub(in crate::sim) at: Nanos,
    /// The session it was made in.
    pub(in crate::sim) session: Option<Session>,
}

impl Judge {
    /// A request leaves; its answer is to be compared with what is decided from now on.
    pub(in crate::sim) fn sent(&mut self, at: Nanos, session: Option<Session>) -> Asked {
        *self.waiting.entry(self.index).or_default() += 1;
        Asked { index: self.index, at, session }
    }

    /// The request is over.
    pub(in crate::sim) fn over(&mut self, asked: &Asked) {
        if let Some(count) = self.waiting.get_mut(&asked.index) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&asked.index);
            }
        }
    }

    /// Requests that wait for an answer.
    pub(in crate::sim) fn under_way(&self) -> usize {
        self.waiting.values().sum::<u32>() as usize
    }

    /// Finds the decision that an answer speaks of: one of the right kind since the request left that `agrees`. It is then
    /// promised. Gives its index, or what was found instead.
    pub(in crate::sim) fn claim(
        &mut self,
        asked: &Asked,
        what: &str,
        is_of: impl Fn(&Command) -> bool,
        agrees: impl Fn(&Result<Reply, Refusal>) -> bool,
    ) -> Result<Index, String> {
        let from = self.decisions.partition_point(|decision| decision.index <= asked.index);
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

    /// The decision with this index.
    pub(in crate::sim) fn decision_at(&self, index: Index) -> Option<&Decision> {
        let at = self.decisions.binary_search_by_key(&index, |decision| decision.index).ok()?;
        self.decisions.get(at)
    }

    /// Whether something of this kind was decided since the request left and nobody has claimed it.
    pub(in crate::sim) fn was_decided(&self, asked: &Asked, is_of: impl Fn(&Command) -> bool) -> bool {
        let from = self.decisions.partition_point(|decision| decision.index <= asked.index);
        self.decisions[from..].iter().any(|decision| !decision.claimed && is_of(&decision.command))
    }

    /// A user as the model has them.
    pub(in crate::sim) fn user(&self, user: UserId) -> Option<&ModelUser> {
        self.model.user(user)
    }

    /// A key was refused because there is no account on an exchange to have it: there was none at some moment.
    pub(in crate::sim) fn check_not_on_exchange(&mut self, asked: &Asked, user: UserId, account: u8) {
        if self.during(asked, user).all(|then| then.is_some_and(|then| then.is_on_exchange(account))) {
            self.violate(format!("account {account} of {user} was called none on an exchange, and is one"));
        }
    }

    /// Whether a user has an account on an exchange, as far as is decided.
    pub(in crate::sim) fn has_account_on(&self, user: UserId, venue: VenueKind) -> bool {
        self.model.user(user).is_some_and(|user| user.has_account_on(venue))
    }
}
