//! The judge: sees every decision of every shard, holds it against the model, and knows what was promised to whom.
//!
//! **Runs on**: the simulator's thread, called from the gateways, the clients and the director.
//! **Owns**: the model, the versions of every user, the undo list of each shard, what was acknowledged.
//! **Checks**: each decision, order and user state equals the model's; each answer belongs to a decision made between its
//! request and it; what leaves for a venue is what the model decided, to the stop and target that an entry goes with, and no cancel
//! goes that was not decided; reads and receipts show versions that were current in between, to those whose session was alive then; what was acknowledged, shown or sent to a venue is never
//! taken back by a crash, and what a crash takes back is a suffix of each shard's records; money sums to zero.
//! The first violation is kept and ends the run.

mod answers;
mod fan_outs;
mod outgoing;
mod receipts;
mod recorded;
mod recovery;
mod sessions;
mod spoilt;
mod versions;

pub(in crate::sim) use answers::Asked;
pub(in crate::sim) use outgoing::Sent;
pub(in crate::sim) use sessions::{Calendar, Session};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use engine::core::command::{Command, Refusal, Reply};
use engine::core::event::Event;
use engine::core::ids::{ClientOrderId, SignalId, UserId};
use engine::core::instrument::MarketView;
use engine::core::order::NewOrder;
use engine::core::rules::Rules;
use engine::core::signal::Signal;
use engine::core::user::User;
use engine::shard::ports::Decided;

use crate::sim::model::{Expected, Model, ModelUser, Seen};
use crate::sim::paper_check;
use crate::sim::situation::{Flags, flags_of};
use recorded::Rows;
use versions::Lost;

/// One in so many decisions is held against the model once more, spoilt: a judge that agrees with it agrees with anything.
const SPOILT_ONE_IN: u64 = 32;

/// A decision in the order of all: the point at which a request took effect.
pub(in crate::sim) type Index = u64;

/// One decision of somebody outside, as far as an answer can be compared with it.
pub(in crate::sim) struct Decision {
    pub(in crate::sim) index: Index,
    pub(in crate::sim) command: Command,
    pub(in crate::sim) outcome: Result<Reply, Refusal>,
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
    rows: Rows,
}

/// What must not be taken back from a shard, and by what it was promised.
#[derive(Clone, Default)]
struct Promise {
    lsn: u64,
    what: String,
}

/// See the module's head.
pub(in crate::sim) struct Judge {
    model: Model,
    index: Index,
    life: u32,
    decisions: Vec<Decision>,
    versions: BTreeMap<UserId, VecDeque<Version>>,
    /// What crashes took back, as long as an answer that left before may show it.
    lost: Vec<Lost>,
    /// Requests under way, by the index they were sent at: versions before the oldest are not needed.
    waiting: BTreeMap<Index, u32>,
    undo: Vec<VecDeque<Undo>>,
    newest_lsn: Vec<Option<u64>>,
    /// What the history must hold of all that is not taken back.
    recorded: Rows,
    /// Lines of the audit trail that may be gone with a crash that took nothing else with them.
    doubted: u64,
    promised: Vec<Promise>,
    /// The record that holds the decision, of each order and of each cancel of this life.
    intended: BTreeMap<ClientOrderId, (u16, u64)>,
    cancels: BTreeMap<ClientOrderId, (u16, u64)>,
    submitted: BTreeMap<ClientOrderId, Sent>,
    /// What the shards' paper venues are asked.
    pub(in crate::sim) books: paper_check::Asked,
    emails: BTreeSet<UserId>,
    flags: BTreeMap<UserId, Flags>,
    /// Who had a subscription when a signal was accepted, and whether it opens.
    audience: BTreeMap<SignalId, (bool, Vec<UserId>)>,
    /// The same of those that were finished in this life.
    finished: BTreeMap<SignalId, (bool, Vec<UserId>)>,
    /// The closes that were accepted.
    closes: BTreeMap<SignalId, Signal>,
    violation: Option<String>,
    /// Decisions and states that were spoilt, and refused.
    pub(in crate::sim) spoilt: u64,
    /// Decisions seen.
    pub(in crate::sim) decided: u64,
    /// What is told for a trace.
    pub(in crate::sim) lines: Vec<String>,
    pub(in crate::sim) tracing: bool,
    digest: u64,
}

impl Judge {
    pub(in crate::sim) fn new(rules: Rules, tracing: bool) -> Self {
        Self {
            model: Model::new(rules),
            index: 0,
            life: 0,
            decisions: Vec::new(),
            versions: BTreeMap::new(),
            lost: Vec::new(),
            waiting: BTreeMap::new(),
            undo: Vec::new(),
            newest_lsn: Vec::new(),
            recorded: Rows::default(),
            doubted: 0,
            promised: Vec::new(),
            intended: BTreeMap::new(),
            cancels: BTreeMap::new(),
            submitted: BTreeMap::new(),
            books: paper_check::Asked::default(),
            emails: BTreeSet::new(),
            flags: BTreeMap::new(),
            audience: BTreeMap::new(),
            finished: BTreeMap::new(),
            closes: BTreeMap::new(),
            violation: None,
            spoilt: 0,
            decided: 0,
            lines: Vec::new(),
            tracing,
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Notes something that happened, for the trace and for the digest that two runs of a seed must share.
    pub(in crate::sim) fn note(&mut self, line: impl FnOnce() -> String) {
        let line = line();
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if self.tracing {
            self.lines.push(line);
        }
    }

    pub(in crate::sim) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(in crate::sim) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Ends the run, if nothing has before.
    pub(in crate::sim) fn violate(&mut self, what: String) {
        if self.violation.is_none() {
            self.note(|| format!("VIOLATION {what}"));
            self.violation = Some(what);
        }
    }

    /// What holds of any user now.
    pub(in crate::sim) fn flags(&self) -> Flags {
        self.flags.values().fold(Flags::default(), |all, one| all.plus(one))
    }

    /// A shard has decided.
    pub(in crate::sim) fn decided(&mut self, shard: u16, decision: &Decided<'_>, market: &impl MarketView) {
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
            let skipped = events.iter().find_map(|event| match event {
                Event::Skipped { reason, .. } => Some(reason.as_str()),
                _ => None,
            });
            let skipped = skipped.unwrap_or_default();
            format!("{} {shard} {lsn:?} {what} {outcome:?} {} {orders} {skipped}", now.0, events.len())
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
        if let (Some(id), Command::Offer { signal, .. }, Ok(Reply::Intended)) = (of_offer, command, &outcome)
        {
            self.check_order_of_signals(id, signal);
        }
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
            if self.decided.is_multiple_of(SPOILT_ONE_IN) {
                self.spoil(&expected, events, &outcome, found);
            }
            self.emails.insert(id);
            self.flags.insert(id, flags_of(found));
            let rows = Rows::told_by(events);
            self.recorded.add(&rows);
            self.undo[usize::from(shard)].push_back(Undo { lsn: lsn.0, index, user: id, rows });
            let version = Version { from: index, place, user: self.model.user(id).cloned().map(Rc::new) };
            let versions = self.versions.entry(id).or_default();
            versions.push_back(version);
            for event in events {
                if let Some(order) = intended_order(event) {
                    self.intended.insert(order.id, (shard, lsn.0));
                } else if let Event::CancelIntended { id } = event {
                    self.cancels.insert(*id, (shard, lsn.0));
                }
            }
        }
        if !is_internal(command) {
            let command = command.clone();
            self.decisions.push(Decision { index, command, outcome, place, claimed: false });
        }
    }

    /// Holds a decision and a state that nobody made against the model, which must refuse both.
    fn spoil(&mut self, made: &Expected, events: &[Event], told: &Result<Reply, Refusal>, found: &User) {
        let (what, other) = spoilt::state(found, self.spoilt);
        if self.model.differs(&other).is_none() {
            self.violate(format!("the judge agrees with a state that was spoilt: {what} of {}", found.id));
        }
        let (what, others, answer) = spoilt::decision(events, told, self.spoilt);
        if Model::matches(made, &others, &answer).is_ok() {
            self.violate(format!(
                "the judge agrees with a decision that was spoilt ({what}): not {events:?}"
            ));
        }
        self.spoilt += 1;
    }

    /// All users of the model, by id.
    pub(in crate::sim) fn users(&self) -> impl Iterator<Item = &ModelUser> {
        self.model.users()
    }

    /// How many shards this life has.
    pub(in crate::sim) fn shards(&self) -> u16 {
        u16::try_from(self.newest_lsn.len()).expect("the shards of a life are few")
    }

    fn promise(&mut self, shard: u16, lsn: u64, what: impl FnOnce() -> String) {
        let promise = &mut self.promised[usize::from(shard)];
        if lsn > promise.lsn {
            *promise = Promise { lsn, what: what() };
        }
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
            | Command::ReportKey { .. }
            | Command::ResealKey { .. }
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
