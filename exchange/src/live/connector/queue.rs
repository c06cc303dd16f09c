//! What is to be asked, in the order of its purpose and within the budgets; and what is due when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::instrument::Symbol;
use planted::planted;

use super::account::Slot;
use super::limits::{ANSWER_SPAN, EXIT_ANSWER_SPAN, JOBS_MAX, JOBS_RESERVED, READ_SPAN};
use super::outgoing::{Outgoing, Server, SocketId, Tag};
use super::{Connector, Shape};
use crate::live::pacing::shuffle::Shuffle;
use crate::live::pacing::{Admission, Pass, Purpose, Request};
use crate::live::protocol::{Ask, ExecutionView, Millis};

/// Requests by HTTP that are under way at once: more wait here, where closes can overtake them. Of these, too, a fifth is out of
/// reach for opens, as of every budget ([`Purpose::ceiling`]): an exit does not wait for the slow answers to a fan-out.
const CALLS_UNDER_WAY_MAX: u32 = 48;
/// So many of them entries may always have, in their turn: the answers to a fan-out's questions do not keep them waiting.
const OPENS_UNDER_WAY_MIN: usize = CALLS_UNDER_WAY_MAX as usize / 4;
/// Jobs that one turn looks at: the shard has other work, and the network is asked after each turn whether it is crowded.
const PUMP_MAX: usize = 128;

/// A public question that is asked again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PublicStep {
    Clock,
    Instruments,
    Brackets,
    Marks,
}

/// A list of executions that is read page by page.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub(super) rows: Vec<ExecutionView>,
    pub(super) pages: u32,
}

/// Whose question it is: who gets the answer.
#[derive(Clone, Debug)]
pub(super) enum Why {
    Place(ClientOrderId),
    Cancel(ClientOrderId),
    Query(ClientOrderId),
    /// What became of an entry that is over and may have been filled since.
    Late(ClientOrderId),
    /// The fills of an order, as far as they were read.
    Fills(ClientOrderId, Reading),
    /// Bybit: sets the position's trigger that the order stands for.
    Protect(ClientOrderId),
    Setup(Symbol),
    /// Leverage or margin type ahead of a signal.
    Prepare(Symbol),
    Compare,
    /// The executions of a symbol, as far as they were read, that may explain a difference.
    Explain(Symbol, Reading),
    /// Which of these executions of a symbol, that are not ours, the exchange made itself.
    Forced(Symbol, Vec<ExecutionView>),
    OpenKey,
    KeepKey,
    /// Of which number.
    Key(u32),
    /// Funding that a stream may have missed.
    Funding,
    Public(PublicStep),
}

/// A question that waits to be asked.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) slot: Option<Slot>,
    pub(super) ask: Ask,
    pub(super) why: Why,
    pub(super) purpose: Purpose,
}

/// A question that was asked.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) job: Job,
    /// The socket it went over; `None`: HTTP.
    pub(super) socket: Option<SocketId>,
    /// What the budgets have to learn when it ended.
    pub(super) pass: Pass,
    pub(super) sent_at: Timestamp,
}

/// What is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    AskAbout(Slot, ClientOrderId),
    GoOn(Slot, ClientOrderId),
    TakeBack(Slot, ClientOrderId),
    Unanswered(Tag),
    Expire(Slot, ClientOrderId),
    Explain(Slot, Symbol),
    Orphans(Slot),
    Compare(Slot),
    Mend(Slot),
    Prepare(Slot),
    KeepKey(Slot),
    Reopen(Slot),
    ReopenTrade,
    Heartbeat(SocketId),
    Watch(SocketId),
    StreamTells(Slot, ClientOrderId),
    Replace(SocketId),
    Public(PublicStep),
    Feed,
    OpenSockets,
    OpenStreams,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By purpose: closes first.
    lines: [VecDeque<Job>; Purpose::ALL.len()],
    /// Jobs that a budget holds back until a time.
    held: BTreeMap<(Timestamp, u64), Job>,
    timers: BTreeSet<(Timestamp, Timer)>,
    /// When those are due of which there is one at a time.
    single: BTreeMap<Timer, Timestamp>,
    next: u64,
    shuffle: Shuffle,
}

fn line_of(purpose: Purpose) -> usize {
    match purpose {
        Purpose::Close if planted!("close_waits_behind_opens") => 4,
        Purpose::Close => 0,
        // What is kept for comparing and for finding out is kept by the budgets: opens are held back before it is used up.
        Purpose::Open => 1,
        Purpose::Ascertain if planted!("questions_about_orders_stand_among_exits") => 0,
        Purpose::Ascertain => 2,
        Purpose::Reconcile => 3,
        Purpose::Background => 4,
    }
}

/// Requests by HTTP under way at which another one for this purpose waits.
fn calls_max(purpose: Purpose) -> usize {
    if planted!("exit_waits_for_the_answers_to_entries") {
        return CALLS_UNDER_WAY_MAX as usize;
    }
    purpose.ceiling(CALLS_UNDER_WAY_MAX) as usize
}

impl Queue {
    /// Whether another question may wait.
    pub(super) fn has_room(&self, opens: bool) -> bool {
        let max = if opens { JOBS_MAX - JOBS_RESERVED } else { JOBS_MAX };
        self.len() < max
    }

    fn len(&self) -> usize {
        self.lines.iter().map(VecDeque::len).sum::<usize>() + self.held.len()
    }

    pub(super) fn push(&mut self, job: Job) {
        self.lines[line_of(job.purpose)].push_back(job);
    }

    /// Puts the newest open in a random place among those that wait: no account is always first.
    pub(super) fn shuffle_last(&mut self) {
        if !planted!("fan_out_in_the_order_of_accounts") {
            self.shuffle.place_last(&mut self.lines[line_of(Purpose::Open)]);
        }
    }

    /// What waits of an account's comparison in rotation waits as one that is wanted from now on.
    pub(super) fn hasten_comparison(&mut self, slot: Slot) {
        let wanted = |job: &Job| job.slot == Some(slot) && matches!(job.why, Why::Compare);
        let line = &mut self.lines[line_of(Purpose::Background)];
        let waiting = line.iter().position(wanted).and_then(|place| line.remove(place));
        let job = waiting.or_else(|| {
            let key = self.held.iter().find(|(_, job)| wanted(job)).map(|(key, _)| *key)?;
            self.held.remove(&key)
        });
        if let Some(job) = job {
            self.push(Job { purpose: Purpose::Reconcile, ..job });
        }
    }

    fn hold(&mut self, until: Timestamp, job: Job) {
        self.next += 1;
        self.held.insert((until, self.next), job);
    }

    /// Sets a timer. One that goes on by itself is there once, at the sooner of its times: were every failure to begin
    /// another one beside it, the questions of an outage would multiply until they used up the budgets.
    pub(super) fn set(&mut self, at: Timestamp, timer: Timer) {
        let is_single = match timer {
            Timer::AskAbout(..) => !planted!("questions_about_an_order_multiply"),
            Timer::Public(_) | Timer::Feed | Timer::Compare(_) | Timer::Explain(..) | Timer::KeepKey(_) => {
                true
            }
            _ => false,
        };
        if is_single {
            if let Some(set) = self.single.get(&timer).copied() {
                if set <= at {
                    return;
                }
                self.timers.remove(&(set, timer));
            }
            self.single.insert(timer, at);
        }
        self.timers.insert((at, timer));
    }

    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Timer> {
        self.timers.first().filter(|(at, _)| *at <= now)?;
        let (_, timer) = self.timers.pop_first()?;
        self.single.remove(&timer);
        Some(timer)
    }

    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.lines.iter().any(|line| !line.is_empty()) {
            // Held back by what is under way, or by this turn's bound: soon.
            return Some(now.plus_micros(1_000));
        }
        let held = self.held.first_key_value().map(|((at, _), _)| *at);
        let timer = self.timers.first().map(|(at, _)| *at);
        held.into_iter().chain(timer).min()
    }
}

impl<P: Shape> Connector<P> {
    /// Queues a question.
    pub(super) fn ask(&mut self, slot: Option<Slot>, ask: Ask, why: Why, purpose: Purpose) {
        self.queue.push(Job { slot, ask, why, purpose });
    }

    /// Sends what the budgets allow, closes before anything else.
    pub(super) fn pump(&mut self, now: Timestamp) {
        while let Some(entry) = self.queue.held.first_entry().filter(|entry| entry.key().0 <= now) {
            let job = entry.remove();
            // Back to the front of its line: it has waited.
            self.queue.lines[line_of(job.purpose)].push_front(job);
        }
        let takes = |socket| self.sockets.get(&socket).is_some_and(super::streams::Socket::is_ready);
        let is_crowded =
            self.crowded.is_some_and(|socket| self.shared_trade == Some(socket) && takes(socket))
                && !planted!("entries_signed_into_a_crowded_socket");
        let mut opens_wait = false;
        let mut stopped = [false; Purpose::ALL.len()];
        stopped[line_of(Purpose::Open)] = is_crowded;
        for _ in 0..PUMP_MAX {
            let may_go = |line: &usize| !stopped[*line];
            let mut lines = (0..self.queue.lines.len()).filter(may_go);
            let Some(line) = lines.find(|line| !self.queue.lines[*line].is_empty()) else { return };
            let Some(job) = self.queue.lines[line].pop_front() else { return };
            if self.is_pointless(&job) {
                self.not_prepared(&job);
                if matches!(job.why, Why::Public(PublicStep::Brackets)) {
                    // With the next key that is good.
                    self.brackets_told(now, super::placing::Ended::NotSent);
                }
                continue;
            }
            let socket = self.trade_socket_for(&job);
            // Questions may have more places under way: they would take each that becomes free before entries may have it.
            let is_question = matches!(job.purpose, Purpose::Ascertain | Purpose::Reconcile);
            let gives_way = opens_wait && is_question && self.opens_under_way < OPENS_UNDER_WAY_MIN;
            if socket.is_none() && (self.calls_under_way >= calls_max(job.purpose) || gives_way) {
                opens_wait |= job.purpose == Purpose::Open;
                self.queue.lines[line].push_front(job);
                stopped[line] = true;
                continue;
            }
            let request = Request {
                account: job.slot.map(|slot| self.account(slot).pacing),
                cost: P::cost(&job.ask),
                purpose: job.purpose,
                is_socket: socket.is_some(),
            };
            match self.pacer.admit(now, &request) {
                Admission::Go(pass) => self.send(now, job, socket, pass),
                Admission::Wait(until) => self.queue.hold(until.max(now.plus_micros(1_000)), job),
                Admission::Refused(why) => self.refused(now, job, why),
            }
        }
    }

    fn call_begins(&mut self, purpose: Purpose) {
        self.calls_under_way += 1;
        self.opens_under_way += usize::from(purpose == Purpose::Open);
    }

    /// A request by HTTP is under way no more.
    pub(super) fn call_ended(&mut self, purpose: Purpose) {
        self.calls_under_way = self.calls_under_way.saturating_sub(1);
        self.opens_under_way = self.opens_under_way.saturating_sub(usize::from(purpose == Purpose::Open));
    }

    /// Whether nobody waits for the answer any more.
    fn is_pointless(&self, job: &Job) -> bool {
        let Some(slot) = job.slot else { return false };
        let account = self.account(slot);
        match &job.why {
            Why::Place(id) => account.orders.get(id).is_none_or(|o| o.phase != super::Phase::Queued),
            Why::Prepare(symbol) => !account.may_open() || account.is_in_use(*symbol),
            Why::Protect(id) if account.orders.get(id).is_none_or(|o| !o.is_open()) => true,
            _ => account.credential.is_none(),
        }
    }

    /// The trade socket that a job may go over.
    fn trade_socket_for(&self, job: &Job) -> Option<SocketId> {
        if !matches!(job.why, Why::Place(_) | Why::Cancel(_)) {
            return None;
        }
        let account = self.account(job.slot?);
        let socket = if P::SHARED { self.shared_trade } else { account.trade }?;
        let is_ready = self.sockets.get(&socket).is_some_and(super::streams::Socket::is_ready);
        (is_ready && account.credential.is_some()).then_some(socket)
    }

    fn send(&mut self, now: Timestamp, job: Job, socket: Option<SocketId>, pass: Pass) {
        let tag = Tag(self.number());
        // Signed now, not when it was queued (CASES.md T4).
        let mut at = self.pacer.clock().now(now);
        if let (Ask::Place(placement), Some(slot)) = (&job.ask, job.slot)
            && planted!("signed_with_the_time_of_queueing")
        {
            let order = self.account(slot).orders.get(&placement.order.id);
            let queued = order.and_then(|o| o.expires_at.0.checked_sub(super::limits::ENTRY_SPAN));
            at = queued.filter(|_| !placement.order.reduce_only).map_or(at, |at| Millis(at / 1_000));
        }
        let credential = job.slot.and_then(|slot| self.accounts[slot.0 as usize].credential.as_ref());
        let message = match (socket, credential) {
            (Some(_), Some(credential)) => P::trade_message(&job.ask, credential, &tag.0.to_string(), at),
            _ => None,
        };
        let asks = !job.ask.is_write() && !matches!(job.why, Why::Public(_));
        let exits = matches!(job.why, Why::Place(_)) && job.purpose == Purpose::Close;
        let looks_back = matches!(job.why, Why::Funding | Why::Explain(..) | Why::Forced(..));
        let span = match (asks, exits) {
            (true, _) if !looks_back => READ_SPAN,
            (_, true) => EXIT_ANSWER_SPAN,
            (_, false) => ANSWER_SPAN,
        };
        let deadline = now.plus_micros(span);
        match (socket, message) {
            (Some(socket), Some(text)) => self.outgoing.push_back(Outgoing::Send { socket, text }),
            _ => {
                let call = P::request(&job.ask, credential, at);
                let server = Server::of_target(&call.target);
                let purpose = job.purpose;
                self.call_begins(purpose);
                self.outgoing.push_back(Outgoing::Call { tag, server, call, deadline, purpose });
            }
        }
        if let (Why::Prepare(symbol), Some(slot)) = (&job.why, job.slot) {
            // An entry that comes now waits for this answer instead of asking again.
            let setup = self.account_mut(slot).setups.entry(*symbol).or_default();
            (setup.asking, setup.leverage) = (true, 0);
        }
        if let (Why::Compare, Some(slot)) = (&job.why, job.slot) {
            // As of now, however long it waited.
            let account = &mut self.accounts[slot.0 as usize];
            match &job.ask {
                Ask::Positions(cursor) if cursor.is_empty() => account.views.ask(at),
                Ask::Balances => account.moves_asked = account.moves,
                _ => {}
            }
        }
        self.metrics.calls += 1;
        if let (Why::Place(id), Some(slot)) = (&job.why, job.slot) {
            self.metrics.orders_sent += 1;
            if let Some(order) = self.account_mut(slot).orders.get_mut(id) {
                order.phase = super::Phase::InFlight;
                order.sent_at = Some(now);
            }
        }
        self.queue.set(deadline.plus_micros(span / 6), Timer::Unanswered(tag));
        self.in_flight.insert(tag, InFlight { job, socket, pass, sent_at: now });
    }
}

#[cfg(test)]
mod tests {
    use engine::core::ids::{AccountId, Leg, SignalId, SourceId, UserId};

    use super::*;

    #[test]
    fn what_goes_on_by_itself_is_there_once_and_at_the_sooner_of_its_times() {
        let source = SourceId { owner: UserId(1), index: 0 };
        let account = AccountId { user: UserId(2), index: 0 };
        let id = |leg| ClientOrderId::first(SignalId { source, number: 1 }, account, leg);
        let (entry, stop) = (id(Leg::Entry), id(Leg::Stop));
        let mut queue = Queue::default();
        // Each comparison asks about an order of unknown outcome, and each answer sets the timer again.
        for at in [50, 30, 40, 90] {
            queue.set(Timestamp(at), Timer::AskAbout(Slot(0), entry));
        }
        queue.set(Timestamp(60), Timer::AskAbout(Slot(0), stop));
        let due = |queue: &mut Queue, now| queue.take_due(Timestamp(now));
        assert_eq!(due(&mut queue, 29), None);
        assert_eq!(due(&mut queue, 30), Some(Timer::AskAbout(Slot(0), entry)));
        assert_eq!(due(&mut queue, 59), None, "it was there once");
        queue.set(Timestamp(70), Timer::AskAbout(Slot(0), entry));
        assert_eq!(due(&mut queue, 100), Some(Timer::AskAbout(Slot(0), stop)));
        assert_eq!(due(&mut queue, 100), Some(Timer::AskAbout(Slot(0), entry)));
        assert_eq!(due(&mut queue, 1_000), None);
    }
}
