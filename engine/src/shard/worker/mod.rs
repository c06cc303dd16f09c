//! The shard: it admits asks, decides in the order of the lanes, appends to the log, and lets answers and effects go once
//! their record is durable.
//!
//! **Runs on**: its pinned executor; synchronous throughout, called by the loop with the time.
//! **Owns**: the state of its users, its lanes, timers, fan-outs and what waits for a flush.
//! **Invariants**: nothing leaves (answer, order, message) before the record it rests on is durable; reads wait for what
//! they saw; a user's commands are decided in the order they were admitted; facts from venues are never refused.
//! **Bounds**: `limits`. When the log is out of room, nothing further is begun until a flush makes room.
//! **Never**: waits, reads a clock other than the one it is handed, or touches a file or socket.

mod deciding;
mod effects;
mod unsent;

use std::collections::VecDeque;

use super::ask::{Answer, Ask, Auth, Message, Op, Origin, ReplyTo};
use super::calendar::ZoneCalendar;
use super::fanout::{FanOutOrder, FanOuts};
use super::foresight::expected;
use super::lanes::{Closes, Lane, Lanes};
use super::limits::{
    JOURNAL_ROOM_MIN, LANE_CAPACITY, LANE_DEADLINE, ORDER_ANSWER_MAX_MICROS, ORDER_SWEEP_SPAN, TURN_REPORTS,
    TURN_UNITS,
};
use super::mesh::Mesh;
use super::metrics::{Counters, Histograms, ShardStatus, Stage, Track};
use super::ports::{Decided, Gateway, Journal, JournalFailed, Lsn, Moment, Reads, ShardId, VenueBusy, owner};
use super::timers::{Alarm, Timers};
use crate::core::apply::apply;
use crate::core::auth::{session_is_alive, source_of_secret};
use crate::core::codec::Encoder;
use crate::core::command::{Command, Refusal, Reply};
use crate::core::decide::{Context, decide};
use crate::core::event::{Event, Record};
use crate::core::fixed::Money;
use crate::core::ids::{AccountId, ClientOrderId, Leg, SignalId, Timestamp, UserId};
use crate::core::order::{NewOrder, OrderState, VenueReport};
use crate::core::rules::Rules;
use crate::core::signal::FanOutCounts;
use crate::core::state::{IdMap, State, UserIndex};
use crate::core::user::{ExchangeAccount, OutcomeKind, User, VenueKind};
use crate::core::venue_account::VenuePlace;
use crate::seam::{Clock, Nanos};
use unsent::Unsent;

/// What happens outside once a record is durable.
#[derive(Clone, Copy, Debug)]
enum Effect {
    OpenAccount(AccountId, Money),
    Key(AccountId),
    Expect(UserId),
    Submit(NewOrder),
    Cancel(ClientOrderId),
    Query(ClientOrderId),
    FanOut(FanOutOrder),
    FanOutDone(SignalId, FanOutCounts),
}

/// What waits for a flush.
enum Held<A> {
    Answer { to: Origin, answer: Answer<A>, track: Track, asked_at: Nanos },
    Effect(Effect),
}

struct Task<Q> {
    op: Op<Q>,
    queued_at: Nanos,
}

struct Queued<Q> {
    task: Task<Q>,
    origin: Origin,
}

/// A signal of this shard whose fan-out other shards have not all confirmed.
struct Progress {
    shards_left: u16,
    counts: FanOutCounts,
}

/// What a shard is made of at the start.
pub struct ShardParts<R: Reads, J, G> {
    /// The recovered users.
    pub state: State,
    /// The rules in force.
    pub rules: Rules,
    /// The log.
    pub journal: J,
    /// The venue.
    pub gateway: G,
    /// The place in the mesh.
    pub mesh: Mesh<R>,
}

/// See the module's head.
pub struct Shard<R: Reads, J, G> {
    state: State,
    rules: Rules,
    /// What the rules say of the global halt; see [`Shard::stop_opens`].
    halted_by_rules: bool,
    journal: J,
    gateway: G,
    mesh: Mesh<R>,
    calendar: ZoneCalendar,
    lanes: Lanes<Queued<R::Question>>,
    closes: Closes<Task<R::Question>, Origin>,
    fan_outs: FanOuts,
    fan_out_turn: bool,
    progress: IdMap<SignalId, Progress>,
    timers: Timers,
    internal: VecDeque<Command>,
    held: VecDeque<(Lsn, Nanos, Held<R::Answer>)>,
    unsent: Unsent,
    in_flight: IdMap<ClientOrderId, Timestamp>,
    cancels: IdMap<ClientOrderId, Timestamp>,
    swept_at: Nanos,
    answers: Vec<(ReplyTo, Answer<R::Answer>)>,
    counters: Counters,
    histograms: Histograms,
    encoder: Encoder,
    events: Vec<Event>,
    reports: Vec<VenueReport>,
    positions_open: usize,
    failure: Option<String>,
}

impl<R: Reads, J: Journal, G: Gateway> Shard<R, J, G> {
    /// A shard ready to [`Shard::resume`].
    #[must_use]
    pub fn new(parts: ShardParts<R, J, G>) -> Self {
        Self {
            state: parts.state,
            halted_by_rules: parts.rules.halted,
            rules: parts.rules,
            journal: parts.journal,
            gateway: parts.gateway,
            mesh: parts.mesh,
            calendar: ZoneCalendar::default(),
            lanes: Lanes::default(),
            closes: Closes::default(),
            fan_outs: FanOuts::default(),
            fan_out_turn: false,
            progress: IdMap::default(),
            timers: Timers::default(),
            internal: VecDeque::new(),
            held: VecDeque::new(),
            unsent: Unsent::default(),
            in_flight: IdMap::default(),
            cancels: IdMap::default(),
            swept_at: Nanos::default(),
            answers: Vec::new(),
            counters: Counters::default(),
            histograms: Histograms::default(),
            encoder: Encoder::default(),
            events: Vec::new(),
            reports: Vec::new(),
            positions_open: 0,
            failure: None,
        }
    }

    /// Takes up after a recovery what the state says was under way: accounts and orders at the venue, orders that were
    /// durable and never confirmed (same id, so at most one exists), positions that need a stop or a close, fan-outs.
    ///
    /// # Errors
    /// What the venue cannot take back, with a remedy.
    pub fn resume(&mut self, now: Moment) -> Result<(), String> {
        let mut fan_outs = Vec::new();
        let sources = self.state.users().iter().flat_map(|user| &user.sources);
        for signal in sources.flat_map(|source| &source.signals) {
            self.fan_outs.recent.note(&signal.signal);
        }
        for user in self.state.users() {
            self.gateway.restore(user)?;
            self.positions_open += user.positions.len();
            for order in &user.orders {
                let account = user.accounts.get(usize::from(order.new.id.account.index));
                let place = account.map_or(VenuePlace::PAPER, ExchangeAccount::place);
                match order.state {
                    OrderState::Pending if planted::planted!("durable_order_not_sent_after_recovery") => {}
                    OrderState::Pending => self.unsent.push(place, Effect::Submit(order.new)),
                    OrderState::Unknown => self.unsent.push(place, Effect::Query(order.new.id)),
                    _ => {}
                }
                if order.cancelling {
                    self.unsent.push(place, Effect::Cancel(order.new.id));
                }
            }
            for position in &user.positions {
                let account = AccountId { user: user.id, index: position.account };
                // Its stop may only just be on its way again: it gets the whole span.
                let due = now.wall.plus_micros(self.rules.protection_span);
                if !planted::planted!("protection_check_lost_on_recovery") {
                    self.timers.set(due, Alarm::CheckProtection(account, position.signal));
                }
                if position.closing.is_some() {
                    self.timers.set(now.wall, Alarm::DriveClose(account, position.signal));
                }
            }
            for signal in &user.reversals {
                self.internal.push_back(Command::Reconsider { user: user.id, signal: signal.id });
            }
            fan_outs.extend(user.sources.iter().flat_map(|source| {
                source.working.iter().filter_map(|number| source.signal(*number)).map(|s| FanOutOrder {
                    signal: s.signal,
                    superseded: s.superseded_by.is_some(),
                    source_halted: source.halted,
                })
            }));
        }
        for order in fan_outs {
            self.start_fan_out(order);
        }
        let users: Vec<UserId> = self.state.users().iter().map(|user| user.id).collect();
        for user in users {
            self.expect(user);
        }
        Ok(())
    }

    /// Stops opens, whatever the rules say, or lets the rules decide again. Closes are not touched.
    pub fn stop_opens(&mut self, stop: bool) {
        self.rules.halted = self.halted_by_rules || stop;
    }

    /// Which shard this is.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.mesh.shard()
    }

    /// The users.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The log.
    #[must_use]
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// The log, for flushing.
    pub fn journal_mut(&mut self) -> &mut J {
        &mut self.journal
    }

    /// The venue.
    #[must_use]
    pub fn gateway(&self) -> &G {
        &self.gateway
    }

    /// The venue, for whoever moves its bytes.
    pub fn gateway_mut(&mut self) -> &mut G {
        &mut self.gateway
    }

    /// Why the shard has stopped, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What it counted since its start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts a park of the loop or a snapshot.
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Answers for callers on this shard; the list is to be drained.
    pub fn answers(&mut self) -> &mut Vec<(ReplyTo, Answer<R::Answer>)> {
        &mut self.answers
    }

    /// Takes an ask from a caller on this shard; the answer comes later, perhaps from another shard.
    pub fn ask(&mut self, now: Moment, ask: Ask<R::Question>, reply: ReplyTo) {
        let to = owner(ask.user, self.mesh.shards());
        self.ask_shard(now, to, ask, reply);
    }

    /// Takes an ask for a shard that the caller names: reads that go to every shard.
    pub fn ask_shard(&mut self, now: Moment, to: ShardId, ask: Ask<R::Question>, reply: ReplyTo) {
        if to == self.id() {
            self.admit(now, ask, Origin::Local(reply));
        } else if let Err(reply) = self.mesh.ask(to, Box::new(ask), reply) {
            self.counters.mesh_full += 1;
            self.answers.push((reply, Answer::Busy { retry_after: 1 }));
        }
    }

    fn admit(&mut self, now: Moment, mut ask: Ask<R::Question>, origin: Origin) {
        let slow = planted::planted!("slow_flush_told_as_stopped")
            && self.journal.last().0 > self.journal.durable().0 + 2;
        if self.failure.is_some() || slow {
            return self.give(origin, Answer::Stopped);
        }
        let allowed = match ask.auth {
            Auth::Open => true,
            Auth::Session(user, token) => session_is_alive(&self.state, user, &token, now.wall),
            Auth::Secret(owner, secret) => match source_of_secret(&self.state, owner, &secret) {
                Some(found) => {
                    if let Op::Command(Command::Signal { source, .. }) = &mut ask.op {
                        *source = found;
                    }
                    true
                }
                None => false,
            },
            Auth::SourceSecret(source, secret) => {
                let found = source_of_secret(&self.state, source.owner, &secret);
                found == Some(source) || (planted::planted!("secret_of_another_source") && found.is_some())
            }
        };
        if !allowed {
            self.counters.unauthorized += 1;
            return self.give(origin, Answer::Unauthorized);
        }
        let key = ask.op.close_key();
        let lane = ask.op.lane();
        let task = Task { op: ask.op, queued_at: now.mono };
        match key {
            Some(_)
                if planted::planted!("close_refused_on_a_full_lane")
                    && self.lanes.lane(lane).len() == LANE_CAPACITY[lane.place()] =>
            {
                self.give(origin, Answer::Busy { retry_after: 1 });
            }
            Some(key) => {
                let merged = self.closes.len();
                let joined = self.closes.push(key, task, origin);
                self.counters.closes_merged += u64::from(self.closes.len() == merged);
                if let Err(origin) = joined {
                    self.give(origin, Answer::Busy { retry_after: 1 });
                }
            }
            None => {
                if let Err(refused) = self.lanes.push(lane, ask.user, Queued { task, origin }) {
                    self.counters.lane_full += 1;
                    let retry_after = u32::try_from(lane.place() + 1).unwrap_or(1);
                    self.give(refused.origin, Answer::Busy { retry_after });
                }
            }
        }
    }

    /// Hands an answer over now.
    fn give(&mut self, to: Origin, answer: Answer<R::Answer>) {
        match to {
            Origin::Local(reply) => self.answers.push((reply, answer)),
            Origin::Remote(shard, ticket) => self.mesh.answer(shard, ticket, answer),
        }
    }

    /// One turn: messages, effects, venue, timers, closes, then the lanes. Returns whether work is left for now.
    pub fn turn<C: Clock>(&mut self, now: Moment, clock: &C) -> bool {
        self.counters.turns += 1;
        self.take_messages(now);
        if self.failure.is_none() {
            self.pass_effects(now);
            if let Err(failed) = self.work(now, clock) {
                self.stop(&failed);
            }
        }
        self.mesh.pass_notes();
        self.mesh.ring();
        self.has_work()
    }

    /// Whether a further turn has something to do right now.
    #[must_use]
    pub fn has_work(&self) -> bool {
        if self.mesh.has_messages() || !self.answers.is_empty() {
            return true;
        }
        let waiting = !self.closes.is_empty()
            || !self.lanes.is_empty()
            || !self.fan_outs.is_empty()
            || !self.internal.is_empty()
            || !self.reports.is_empty();
        self.failure.is_none() && waiting && self.journal.room_bytes() >= JOURNAL_ROOM_MIN
    }

    /// When the next turn is due even if nothing arrives, on the calendar.
    #[must_use]
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let sweep = (!self.in_flight.is_empty() || !self.cancels.is_empty())
            .then(|| now.plus_micros(ORDER_SWEEP_SPAN.as_micros()));
        let busy = (!self.unsent.is_empty() || self.mesh.has_notes()).then(|| now.plus_micros(1_000));
        [self.timers.next(), self.gateway.next_due(now), sweep, busy].into_iter().flatten().min()
    }

    fn stop(&mut self, failed: &JournalFailed) {
        let shard = self.id().0;
        tracing::error!(shard, cause = %failed, "the log has failed: the shard stops; nothing acknowledged is lost");
        self.failure = Some(failed.to_string());
        while let Some(queued) = self.closes.pop() {
            for (_, origin) in queued.tasks {
                self.give(origin, Answer::Stopped);
            }
        }
        for lane in Lane::ALL {
            while let Some(queued) = self.lanes.pop(lane) {
                self.give(queued.origin, Answer::Stopped);
            }
        }
        for (_, _, held) in std::mem::take(&mut self.held) {
            if let Held::Answer { to, .. } = held {
                self.give(to, Answer::Stopped);
            }
        }
        self.unsent.clear();
    }

    /// The log could not be flushed: nothing that was not durable ever leaves.
    pub fn journal_failed(&mut self, cause: &str) {
        if self.failure.is_none() {
            self.stop(&JournalFailed(cause.to_owned()));
        }
    }

    fn take_messages(&mut self, now: Moment) {
        let mut messages = Vec::new();
        self.mesh.receive(|from, message| messages.push((from, message)));
        for (from, message) in messages {
            match message {
                Message::Ask(ticket, ask) => {
                    self.counters.remote_asks += 1;
                    self.admit(now, *ask, Origin::Remote(from, ticket));
                }
                Message::Answer(ticket, answer) => {
                    if let Some(reply) = self.mesh.redeem(ticket) {
                        self.answers.push((reply, *answer));
                    }
                }
                Message::FanOut(order) => {
                    self.fan_outs.begin(&self.state, *order);
                    if planted::planted!("mesh_fan_out_begun_twice") {
                        self.fan_outs.begin(&self.state, *order);
                    }
                }
                Message::FanOutDone(signal, counts) => {
                    self.note_done(signal, counts);
                    if planted::planted!("mesh_done_counted_twice") {
                        self.note_done(signal, counts);
                    }
                }
            }
        }
    }

    /// The state of affairs.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        ShardStatus {
            shard: self.id().0,
            counters: self.counters,
            lanes: Lane::ALL.map(|lane| self.lanes.lane(lane).len()),
            closes: self.closes.len(),
            fan_outs: self.fan_outs.len(),
            uncommitted: self.held.len(),
            orders_in_flight: self.in_flight.len(),
            effects_waiting: self.unsent.len(),
            users: self.state.users().len(),
            positions_open: self.positions_open,
            lsn: self.journal.last().0,
            durable_lsn: self.journal.durable().0,
        }
    }

    /// Encodes users from place `from` on, at least one and about `bytes_max` bytes, each as of the newest record. Gives
    /// the next place, `None` at the end.
    pub fn snapshot_slice(
        &mut self,
        from: u32,
        bytes_max: usize,
        mut push: impl FnMut(&[u8]),
    ) -> Option<u32> {
        let late = u64::from(planted::planted!("snapshot_as_of_one_too_late"));
        let early = u64::from(planted::planted!("snapshot_as_of_one_too_early"));
        let as_of = (self.journal.last().0 + late).saturating_sub(early);
        let mut bytes = 0;
        let mut at = from;
        while bytes < bytes_max {
            let user = self.state.users().get(at as usize)?;
            let section = self.encoder.user(user, as_of);
            bytes += section.len();
            push(section);
            at += 1;
        }
        Some(at)
    }
}
