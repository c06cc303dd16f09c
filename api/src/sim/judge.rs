//! The judge: sees every decision of every shard, holds it against the model, and knows what was promised to whom.
//!
//! **Runs on**: the simulator's thread, called from the gateways, the clients and the director.
//! **Owns**: the model, the versions of every user, the undo list of each shard, what was acknowledged.
//! **Checks**: each decision, order and user state equals the model's; each answer belongs to a decision made between its
//! request and it; reads show a version that was current in between; what was acknowledged, shown or sent to a venue is never
//! taken back by a crash, and what a crash takes back is a suffix of each shard's records; money sums to zero.
//! The first violation is kept and ends the run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use engine::core::command::{Command, Refusal, Reply};
use engine::core::event::Event;
use engine::core::ids::{ClientOrderId, SignalId, UserId};
use engine::core::instrument::MarketView;
use engine::core::order::NewOrder;
use engine::core::rules::Rules;
use engine::core::user::User;
use engine::shard::ports::Decided;

use super::model::{Model, ModelUser, Seen};
use super::situation::{Flags, flags_of};

/// A decision in the order of all: the point at which a request took effect.
pub(super) type Index = u64;

/// One decision of somebody outside, as far as an answer can be compared with it.
pub(super) struct Decision {
    pub(super) index: Index,
    pub(super) command: Command,
    pub(super) outcome: Result<Reply, Refusal>,
    place: Place,
    claimed: bool,
}

/// Where a decision rests: a record of a shard in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    life: u32,
    shard: u16,
    lsn: u64,
}

/// A user from one decision on.
struct Version {
    from: Index,
    place: Place,
    user: Option<Rc<ModelUser>>,
}

/// What undoes a decision.
struct Undo {
    lsn: u64,
    index: Index,
    user: UserId,
}

/// What must not be taken back from a shard, and by what it was promised.
#[derive(Clone, Default)]
struct Promise {
    lsn: u64,
    what: String,
}

/// See the module's head.
pub(super) struct Judge {
    model: Model,
    index: Index,
    life: u32,
    decisions: Vec<Decision>,
    versions: BTreeMap<UserId, VecDeque<Version>>,
    /// Requests under way, by the index they were sent at: versions before the oldest are not needed.
    waiting: BTreeMap<Index, u32>,
    undo: Vec<VecDeque<Undo>>,
    newest_lsn: Vec<Option<u64>>,
    promised: Vec<Promise>,
    intended: BTreeMap<ClientOrderId, (u16, u64)>,
    submitted: BTreeMap<ClientOrderId, NewOrder>,
    emails: BTreeSet<UserId>,
    flags: BTreeMap<UserId, Flags>,
    /// Who had a subscription when a signal was accepted, and whether it opens.
    audience: BTreeMap<SignalId, (bool, Vec<UserId>)>,
    violation: Option<String>,
    /// Decisions seen.
    pub(super) decided: u64,
    /// What is told for a trace.
    pub(super) lines: Vec<String>,
    pub(super) tracing: bool,
    digest: u64,
}

impl Judge {
    pub(super) fn new(rules: Rules, tracing: bool) -> Self {
        Self {
            model: Model::new(rules),
            index: 0,
            life: 0,
            decisions: Vec::new(),
            versions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            undo: Vec::new(),
            newest_lsn: Vec::new(),
            promised: Vec::new(),
            intended: BTreeMap::new(),
            submitted: BTreeMap::new(),
            emails: BTreeSet::new(),
            flags: BTreeMap::new(),
            audience: BTreeMap::new(),
            violation: None,
            decided: 0,
            lines: Vec::new(),
            tracing,
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Notes something that happened, for the trace and for the digest that two runs of a seed must share.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        let line = line();
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if self.tracing {
            self.lines.push(line);
        }
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Ends the run, if nothing has before.
    pub(super) fn violate(&mut self, what: String) {
        if self.violation.is_none() {
            self.note(|| format!("VIOLATION {what}"));
            self.violation = Some(what);
        }
    }

    /// What holds of any user now.
    pub(super) fn flags(&self) -> Flags {
        self.flags.values().fold(Flags::default(), |all, one| all.plus(one))
    }

    /// A life of the server begins with these users, recovered by all its shards.
    pub(super) fn recovered(&mut self, life: u32, shards: u16, users: &[User]) {
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
        self.life = life;
        // What is recovered is never taken back: of the versions before, only those that a read may still show are kept.
        let oldest_needed = self.waiting.keys().next().copied().unwrap_or(self.index);
        for versions in self.versions.values_mut() {
            while versions.len() > 1 && versions[1].from <= oldest_needed {
                versions.pop_front();
            }
        }
        self.undo = (0..shards).map(|_| VecDeque::new()).collect();
        self.newest_lsn = vec![None; usize::from(shards)];
        self.promised = vec![Promise::default(); usize::from(shards)];
        self.intended.clear();
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

    /// Notes who has to be decided on when a signal is accepted, and looks that they were when it is finished.
    fn follow_fan_out(&mut self, owner: UserId, events: &[Event]) {
        for event in events {
            match event {
                Event::SignalAccepted { signal, .. } => {
                    let subscribed = |user: &&ModelUser| {
                        user.has_decided(signal.id, signal.kind.opens().is_some()).is_some()
                    };
                    let audience = self.model.users().filter(subscribed).map(ModelUser::id).collect();
                    self.audience.insert(signal.id, (signal.kind.opens().is_some(), audience));
                }
                // An expired one reaches nobody.
                Event::SignalFinished { .. } if events.len() > 1 => {}
                Event::SignalFinished { source, number, .. } => {
                    let of_source = |id: &SignalId| id.number == *number && id.source.index == *source;
                    let found =
                        self.audience.keys().find(|id| id.source.owner == owner && of_source(id)).copied();
                    let Some(id) = found else { continue };
                    let Some((opens, audience)) = self.audience.remove(&id) else { continue };
                    for user in audience {
                        let decided = self.model.user(user).and_then(|user| user.has_decided(id, opens));
                        if decided == Some(false) {
                            self.violate(format!("signal {id} is finished and {user} was not decided on"));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The life that has just ended was told to stop and did: whatever the next one recovers, nothing is missing.
    pub(super) fn expect_nothing_lost(&mut self) {
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
            let versions = self.versions.get_mut(&last.user);
            if let Some(versions) = versions {
                if versions.back().is_some_and(|version| version.from == last.index) {
                    versions.pop_back();
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

    /// A shard has decided.
    pub(super) fn decided(&mut self, shard: u16, decision: &Decided<'_>, market: &impl MarketView) {
        self.decided += 1;
        let Decided { now, user, command, events, outcome, lsn, state } = *decision;
        let changed = !events.is_empty();
        let of_offer = user.filter(|_| matches!(command, Command::Offer { .. }));
        let seen = Seen { now, command, user_of_offer: of_offer, market };
        let expected = self.model.step(&seen);
        self.index += 1;
        let (index, life) = (self.index, self.life);
        let place = Place { life, shard, lsn: lsn.0 };
        self.note(|| {
            let orders = events.iter().filter(|event| intended_order(event).is_some()).count();
            let what = match command {
                Command::Report { report, .. } => format!("{report:?}"),
                _ => word(command),
            };
            format!("{} {shard} {lsn:?} {what} {outcome:?} {} {orders}", now.0, events.len())
        });
        if let Err(difference) = Model::matches(&expected, events, &outcome) {
            return self.violate(format!("shard {shard} decided {command:?} at {}: {difference}", now.0));
        }
        let newest = &mut self.newest_lsn[usize::from(shard)];
        if changed && newest.is_some_and(|newest| lsn.0 != newest + 1) {
            let newest = *newest;
            return self.violate(format!("shard {shard}: record {} follows {newest:?}", lsn.0));
        }
        *newest = Some(newest.unwrap_or(0).max(lsn.0));
        if changed && let Some(id) = user {
            self.follow_fan_out(id, events);
            let Some(found) = state.by_id(id) else {
                return self.violate(format!("shard {shard}: {id} changed and is not there"));
            };
            if let Some(difference) = self.model.differs(found) {
                return self.violate(format!("after {command:?} at {}: {difference}", now.0));
            }
            if let Err(broken) = self.model.check_user(id) {
                return self.violate(format!("after {command:?} at {}: {broken}", now.0));
            }
            self.emails.insert(id);
            self.flags.insert(id, flags_of(found));
            self.undo[usize::from(shard)].push_back(Undo { lsn: lsn.0, index, user: id });
            let version = Version { from: index, place, user: self.model.user(id).cloned().map(Rc::new) };
            let versions = self.versions.entry(id).or_default();
            versions.push_back(version);
            for event in events {
                if let Some(order) = intended_order(event) {
                    self.intended.insert(order.id, (shard, lsn.0));
                }
            }
        }
        if !is_internal(command) {
            let command = command.clone();
            self.decisions.push(Decision { index, command, outcome, place, claimed: false });
        }
    }

    /// An order went to a venue.
    pub(super) fn submitted(&mut self, shard: u16, order: &NewOrder) {
        self.note(|| format!("submit {}", order.id));
        if let Some((_, lsn)) = self.intended.get(&order.id).copied().filter(|(of, _)| *of == shard) {
            self.promise(shard, lsn, || format!("order {} went to the venue", order.id));
        }
        let user = self.model.user(order.id.account.user);
        if !user.is_some_and(|user| user.knows_order(order.id)) {
            self.violate(format!("order {} went to the venue and was never decided", order.id));
        }
        match self.submitted.get(&order.id) {
            Some(before) if before != order => {
                self.violate(format!("order {} went out as {before:?} and as {order:?}", order.id));
            }
            _ => drop(self.submitted.insert(order.id, *order)),
        }
    }

    fn promise(&mut self, shard: u16, lsn: u64, what: impl FnOnce() -> String) {
        let promise = &mut self.promised[usize::from(shard)];
        if lsn > promise.lsn {
            *promise = Promise { lsn, what: what() };
        }
    }

    /// A request leaves; its answer is to be compared with what is decided from now on.
    pub(super) fn sent(&mut self) -> Index {
        *self.waiting.entry(self.index).or_default() += 1;
        self.index
    }

    /// The request of this index is over.
    pub(super) fn over(&mut self, sent: Index) {
        if let Some(count) = self.waiting.get_mut(&sent) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&sent);
            }
        }
    }

    /// Finds the decision that an answer speaks of: one of the right kind since the request left that `agrees`. It is then
    /// promised. Gives its index, or what was found instead.
    pub(super) fn claim(
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
    pub(super) fn outcome_at(&self, index: Index) -> Option<Result<Reply, Refusal>> {
        let at = self.decisions.binary_search_by_key(&index, |decision| decision.index).ok()?;
        Some(self.decisions[at].outcome)
    }

    /// Whether something of this kind was decided since the request left and nobody has claimed it.
    pub(super) fn was_decided(&self, sent: Index, is_of: impl Fn(&Command) -> bool) -> bool {
        let from = self.decisions.partition_point(|decision| decision.index <= sent);
        self.decisions[from..].iter().any(|decision| !decision.claimed && is_of(&decision.command))
    }

    /// Holds the receipt of a signal against what the model knows of each user it lists.
    pub(super) fn receipt_agrees(&self, signal: SignalId, shown: &serde_json::Value) -> Result<(), String> {
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

    /// Holds a read of a user against the versions that were current while it was under way.
    pub(super) fn read(
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

/// The order that an event sends.
const fn intended_order(event: &Event) -> Option<&NewOrder> {
    match event {
        Event::EntryIntended { order, .. }
        | Event::ProtectionIntended { order, .. }
        | Event::ExitIntended { order, .. } => Some(order),
        _ => None,
    }
}

/// Commands that the server gives itself.
const fn is_internal(command: &Command) -> bool {
    matches!(
        command,
        Command::Offer { .. }
            | Command::FinishSignal { .. }
            | Command::Report { .. }
            | Command::OrderUnanswered { .. }
            | Command::CheckProtection { .. }
            | Command::DriveClose { .. }
            | Command::Reconsider { .. }
    )
}

/// A command in a word, without what is secret or random.
fn word(command: &Command) -> String {
    let text = format!("{command:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}
