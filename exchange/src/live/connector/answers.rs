//! Who gets which answer.

use engine::core::ids::Timestamp;

use super::account::Slot;
use super::outgoing::{CallEnd, Tag};
use super::placing::Ended;
use super::queue::{Job, PublicStep, Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::pacing::Pass;
use crate::live::protocol::{Ask, Failure, FailureKind, Used};

impl<P: Shape> Connector<P> {
    /// How a call ended. One that is not known (any more) is ignored: its end was taken for unknown before.
    pub fn call_done(&mut self, now: Timestamp, tag: Tag, end: CallEnd<'_>) {
        let Some(flight) = self.in_flight.remove(&tag) else { return };
        let job = flight.job;
        self.call_ended(job.purpose);
        if let Why::Public(step) = job.why {
            self.public_ended(step, flight.sent_at);
        }
        let end = match end {
            CallEnd::NotSent => {
                self.pacer.withdrawn(now, flight.pass);
                Ended::NotSent
            }
            CallEnd::Unreachable => {
                self.pacer.unreachable(now, flight.pass);
                Ended::NotSent
            }
            CallEnd::NoAnswer => {
                self.pacer.answered(now, flight.pass, Used::default(), Some(&FailureKind::Unknown));
                Ended::NoAnswer
            }
            CallEnd::Answered(reply) => {
                let result = P::answer(&job.ask, reply);
                self.note_use(now, flight.pass, P::used(reply), result.as_ref().err());
                Ended::Answered(result)
            }
        };
        self.settle(now, job, end);
    }

    /// A timer: a request without an answer.
    pub(super) fn unanswered(&mut self, now: Timestamp, tag: Tag) {
        let Some(flight) = self.in_flight.remove(&tag) else { return };
        if flight.socket.is_none() {
            self.call_ended(flight.job.purpose);
        }
        self.pacer.answered(now, flight.pass, Used::default(), Some(&FailureKind::Unknown));
        if let Some(socket) = flight.socket {
            self.socket_owes(now, socket, flight.sent_at);
        }
        self.settle(now, flight.job, Ended::NoAnswer);
    }

    /// Budgets and the clock learn from every answer.
    pub(super) fn note_use(&mut self, now: Timestamp, pass: Pass, used: Used, failure: Option<&Failure>) {
        let kind = failure.map(|failure| failure.kind);
        if matches!(kind, Some(FailureKind::Limited { .. } | FailureKind::Banned { .. })) {
            self.metrics.limited += 1;
        }
        if kind == Some(FailureKind::Clock) && !planted::planted!("refused_time_not_measured_again") {
            self.queue.set(now, Timer::Public(PublicStep::Clock));
        }
        if kind == Some(FailureKind::Unreadable) {
            self.metrics.unreadable += 1;
            self.notice(Notice::Unreadable(failure.map(|f| f.text.clone()).unwrap_or_default()));
        }
        self.pacer.answered(now, pass, used, kind.as_ref());
    }

    /// Hands the end of a question to whoever asked it.
    pub(super) fn settle(&mut self, now: Timestamp, job: Job, end: Ended) {
        let Job { slot, ask, why, purpose } = job;
        if let Some(slot) = slot {
            self.note_refusals(now, slot, &ask, &why, &end);
        }
        if let (Ask::Query(order), Ended::Answered(Err(failure))) = (&ask, &end)
            && failure.kind == FailureKind::NotFound
            && P::ENDED_APART
            && !planted::planted!("ended_orders_asked_for_among_the_live_ones_alone")
        {
            // It is not live. Whoever asked is told once it is known whether it has ended.
            self.ask(slot, Ask::QueryEnded(*order), why, purpose);
        } else {
            self.hand_over(now, slot, why, &ask, end);
        }
        if let Some(slot) = slot {
            self.look_again_later(now, slot);
        }
    }

    fn hand_over(&mut self, now: Timestamp, slot: Option<Slot>, why: Why, ask: &Ask, end: Ended) {
        match (why, slot) {
            (Why::Public(step), _) => self.public_done(now, step, end),
            (Why::Place(id), Some(slot)) => self.placed(now, slot, id, end),
            (Why::Cancel(id), Some(slot)) => self.cancelled(now, slot, id, &end),
            (Why::Query(id), Some(slot)) => self.queried(now, slot, id, ask, end),
            (Why::Late(id), Some(slot)) => self.late_queried(now, slot, id, end),
            (Why::Fills(id, read), Some(slot)) => self.fills_read(now, slot, id, read, ask, end),
            (Why::Protect(id), Some(slot)) => self.protected(now, slot, id, &end),
            (Why::Setup(symbol), Some(slot)) => {
                self.set_up_done(now, slot, symbol, ask, &end);
            }
            (Why::Prepare(symbol), Some(slot)) => self.prepared(now, slot, symbol, ask, &end),
            (Why::Compare, Some(slot)) => self.compared(now, slot, end),
            (Why::Explain(symbol, read), Some(slot)) => self.explained(now, slot, symbol, read, ask, end),
            (Why::Forced(symbol, theirs), Some(slot)) => self.forced_read(now, slot, symbol, theirs, end),
            (why @ (Why::OpenKey | Why::KeepKey), Some(slot)) => self.key_done(now, slot, &why, end),
            (Why::Funding, Some(slot)) => self.funding_read(now, slot, ask, end),
            (Why::Key(number), Some(slot)) => self.key_read(now, slot, number, end),
            (_, None) => {}
        }
    }
}
