//! What a crash left: it must be a state that the shards were in, of each shard a prefix of its records, with all that was promised.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::core::ids::UserId;
use engine::core::user::User;
use storage::history::Table;

use super::versions::Lost;
use super::{Judge, Promise, Undo};
use crate::sim::situation::flags_of;

impl Judge {
    /// A life of the server begins with these users, recovered by all its shards.
    pub(in crate::sim) fn recovered(&mut self, life: u32, shards: u16, users: &[User]) {
        let actual: BTreeMap<UserId, &User> = users.iter().map(|user| (user.id, user)).collect();
        if actual.len() != users.len() {
            self.violate("recovery: two shards have the same user".to_owned());
        }
        for (shard, mut undo) in std::mem::take(&mut self.undo).into_iter().enumerate() {
            self.take_back(shard, &mut undo, &actual);
        }
        for user in self.emails.clone() {
            let there = self.model.user(user).is_some();
            if there != actual.contains_key(&user) {
                self.violate(format!(
                    "recovery: user {user} is there: {}, and in the model: {there}",
                    !there
                ));
            } else if !there {
                self.emails.remove(&user);
                self.flags.remove(&user);
            }
        }
        for user in users {
            if let Some(difference) = self.model.differs(user) {
                self.violate(format!("recovery: user {} is no state it ever had: {difference}", user.id));
            }
            self.flags.insert(user.id, flags_of(user));
        }
        self.check_origins(&actual);
        self.recover_fan_outs();
        self.life = life;
        // What is recovered is never taken back: of the versions before, only those that a read may still show are kept.
        let oldest_needed = self.waiting.keys().next().copied().unwrap_or(self.index);
        for versions in self.versions.values_mut() {
            while versions.len() > 1 && versions[1].from <= oldest_needed {
                versions.pop_front();
            }
        }
        self.lost.retain(|lost| lost.until >= oldest_needed);
        // What was taken back is not seen by who asks from now on.
        self.index += 1;
        self.undo = (0..shards).map(|_| VecDeque::new()).collect();
        self.newest_lsn = vec![None; usize::from(shards)];
        self.promised = vec![Promise::default(); usize::from(shards)];
        self.submitted.values_mut().for_each(|sent| sent.again = true);
        self.intended.clear();
        self.cancels.clear();
        self.books.forget();
        self.note(|| format!("life {life} begins with {shards} shards and {} users", users.len()));
    }

    /// Orders and positions rest on signals that were accepted: a fan-out that began before its signal was durable would have
    /// left some that rest on nothing.
    fn check_origins(&mut self, actual: &BTreeMap<UserId, &User>) {
        let mut wrong = None;
        for user in actual.values() {
            let of_orders = user.orders.iter().map(|order| order.new.id.signal);
            for signal in of_orders.chain(user.positions.iter().map(|position| position.signal)) {
                let publisher = actual.get(&signal.source.owner);
                let source = publisher.and_then(|user| user.sources.get(usize::from(signal.source.index)));
                if source.is_none_or(|source| source.accepted < signal.number) {
                    wrong =
                        Some(format!("{} holds orders of signal {signal}, which nobody accepted", user.id));
                }
            }
        }
        if let Some(what) = wrong {
            self.violate(what);
        }
    }

    /// The life that has just ended was told to stop and did: whatever the next one recovers, nothing is missing.
    pub(in crate::sim) fn expect_nothing_lost(&mut self) {
        for (shard, undo) in self.undo.iter().enumerate() {
            if let Some(last) = undo.back() {
                self.promised[shard] = Promise { lsn: last.lsn, what: "an orderly stop".to_owned() };
            }
        }
    }

    /// Takes decisions of a shard back, newest first, until the model's users are those that were recovered.
    fn take_back(&mut self, shard: usize, undo: &mut VecDeque<Undo>, actual: &BTreeMap<UserId, &User>) {
        let touched: BTreeSet<UserId> = undo.iter().map(|one| one.user).collect();
        let mut wrong: BTreeSet<UserId> =
            touched.into_iter().filter(|user| !self.is_as(*user, actual)).collect();
        let mut through = u64::MAX;
        while !wrong.is_empty() {
            let Some(last) = undo.pop_back() else { break };
            through = last.lsn - 1;
            self.recorded.take(&last.rows);
            let versions = self.versions.get_mut(&last.user);
            if let Some(versions) = versions {
                if versions.back().is_some_and(|version| version.from == last.index)
                    && let Some(version) = versions.pop_back()
                {
                    self.lost.push(Lost { user: last.user, version, until: self.index });
                }
                let before = versions.back().and_then(|version| version.user.clone());
                self.model.put_user(last.user, before.map(|user| (*user).clone()));
            }
            if self.is_as(last.user, actual) {
                wrong.remove(&last.user);
            } else {
                wrong.insert(last.user);
            }
        }
        // A record that changed nothing but what is on record of people may be gone as well, if nobody was promised it.
        let promised = self.promised[shard].lsn;
        let doubted = undo.iter().filter(|one| one.lsn > promised).map(|one| one.rows.of(Table::AuditTrail));
        self.doubted += doubted.sum::<u64>();
        if through == u64::MAX {
            return;
        }
        self.note(|| format!("shard {shard} goes back to record {through}"));
        let promised = self.promised[shard].clone();
        if promised.lsn > through {
            self.violate(format!(
                "a crash took back what was promised: record {} of shard {shard} ({}), recovered through {through}",
                promised.lsn, promised.what
            ));
        }
    }

    fn is_as(&self, user: UserId, actual: &BTreeMap<UserId, &User>) -> bool {
        match actual.get(&user) {
            Some(found) => self.model.user(user).is_some() && self.model.differs(found).is_none(),
            None => self.model.user(user).is_none(),
        }
    }
}
