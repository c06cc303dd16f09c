//! What needs no key: the exchange's clock and what is listed. Prices are the `feed`'s.

use engine::core::ids::Timestamp;
use engine::core::instrument::{Instrument, InstrumentStatus, Symbol};

use super::limits::{CLOCK_SPAN, CLOSE_ONLY_SPAN, INSTRUMENTS_SPAN, PAGES_MAX, PUBLIC_RETRY};
use super::placing::Ended;
use super::queue::{PublicStep, Timer, Why};
use super::{Connector, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, InstrumentView};

/// For how long a symbol that the exchange refused takes no opens: its state comes with the next list.
const GATE_SPAN: u64 = 600_000_000;

/// The question for the exchange's clock: one at a time, and its answer counts from when that one was sent. Were it paired with a
/// later one, it would look like a short way, and be the best of all that is known.
#[derive(Debug, Default)]
pub(super) struct ClockQuestion {
    /// It is queued or under way.
    is_asked: bool,
    /// When it was last wanted again meanwhile: it is asked after that.
    again_at: Option<Timestamp>,
    /// When the bytes left of the one that was answered.
    sent_at: Option<Timestamp>,
}

impl<P: Shape> Connector<P> {
    pub(super) fn start_public(&mut self, now: Timestamp) {
        for step in [PublicStep::Clock, PublicStep::Instruments] {
            self.queue.set(now, Timer::Public(step));
        }
        self.queue.set(now, Timer::Feed);
    }

    pub(super) fn ask_public(&mut self, now: Timestamp, step: PublicStep) {
        let (ask, span) = match step {
            PublicStep::Clock => (Ask::Time, CLOCK_SPAN),
            PublicStep::Instruments => {
                self.pages.clear();
                (Ask::Instruments(String::new()), INSTRUMENTS_SPAN)
            }
            PublicStep::Brackets => return self.ask_brackets(now),
            // The feed asks for it.
            PublicStep::Marks => return,
        };
        if step == PublicStep::Clock {
            if std::mem::replace(&mut self.clock_question.is_asked, true) {
                self.clock_question.again_at = Some(now);
                return;
            }
            self.clock_question.again_at = None;
        }
        self.ask(None, ask, Why::Public(step), Purpose::Reconcile);
        self.queue.set(now.plus_micros(span), Timer::Public(step));
    }

    pub(super) fn any_account(&self) -> Option<super::Slot> {
        // One that has answered: a key that the exchange does not take would be asked with for ever.
        let able = |a: &&super::Account| a.credential.is_some() && a.suspended.is_none() && a.is_ready;
        let id = self.accounts.iter().find(able)?.id;
        self.slots.get(&id).copied()
    }

    /// When a public question was sent that has just ended.
    pub(super) fn public_ended(&mut self, step: PublicStep, sent_at: Timestamp) {
        if step == PublicStep::Clock {
            let is_mixed_up = planted::planted!("answer_about_the_clock_paired_with_the_last_question");
            let last = self.clock_question.again_at.filter(|_| is_mixed_up);
            self.clock_question.sent_at = Some(last.unwrap_or(sent_at));
        }
    }

    pub(super) fn public_done(&mut self, now: Timestamp, step: PublicStep, end: Ended) {
        if step == PublicStep::Clock {
            self.clock_question.is_asked = false;
            let span = if self.clock_question.again_at.is_some() { 0 } else { CLOCK_SPAN };
            self.queue.set(now.plus_micros(span), Timer::Public(step));
        }
        match (step, end) {
            (PublicStep::Clock, Ended::Answered(Ok(Answer::Time(server)))) => {
                if let Some(sent) = self.clock_question.sent_at.take() {
                    let sample =
                        crate::live::pacing::clock::ClockSample { sent, received: now, venue: server };
                    if self.pacer.clock_mut().measured(sample).is_err() {
                        self.queue.set(now.plus_micros(PUBLIC_RETRY), Timer::Public(step));
                    }
                }
            }
            (PublicStep::Instruments, Ended::Answered(Ok(Answer::Instruments(rows, next)))) => {
                self.pages.extend(rows);
                match next.filter(|_| !planted::planted!("only_the_first_page_of_instruments_read")) {
                    Some(cursor) if self.pages.len() / 100 < PAGES_MAX as usize * 10 => {
                        self.ask(None, Ask::Instruments(cursor), Why::Public(step), Purpose::Reconcile);
                    }
                    _ => self.listed_anew(now),
                }
            }
            (PublicStep::Brackets, end) => self.brackets_told(now, end),
            (PublicStep::Marks, end) => self.marks_listed(now, end),
            _ => self.queue.set(now.plus_micros(PUBLIC_RETRY), Timer::Public(step)),
        }
    }

    fn listed_anew(&mut self, now: Timestamp) {
        let pages = std::mem::take(&mut self.pages);
        if pages.is_empty() {
            // An exchange that lists nothing has answered something else.
            self.queue.set(now.plus_micros(PUBLIC_RETRY), Timer::Public(PublicStep::Instruments));
            return;
        }
        self.listed = pages.into_iter().map(|view| (view.instrument.symbol, view)).collect();
        self.index_instruments(now);
        self.want_brackets(now);
    }

    /// The list as decisions look it up: sorted, with brackets, and closes only for what ends soon.
    pub(super) fn index_instruments(&mut self, now: Timestamp) {
        self.feed.list_changed();
        let clock = self.pacer.clock().now(now);
        let ends = |view: &InstrumentView| {
            view.ends_at.is_some_and(|at| at.0 > 0 && clock.0.saturating_add(CLOSE_ONLY_SPAN / 1_000) >= at.0)
        };
        self.instruments = self
            .listed
            .values()
            .map(|view| {
                let mut instrument = view.instrument;
                if ends(view) && instrument.status == InstrumentStatus::Trading {
                    instrument.status = InstrumentStatus::CloseOnly;
                }
                if let Some(brackets) = self.brackets.get(&instrument.symbol)
                    && let Some(first) = brackets.rows().first()
                {
                    instrument.leverage_max = first.leverage_max;
                    instrument.maintenance = first.maintenance;
                    instrument.brackets = *brackets;
                }
                instrument
            })
            .collect();
    }

    /// A symbol takes no opens for a while: the exchange has refused one (CASES.md X20, Y5).
    pub(super) fn gate(&mut self, now: Timestamp, symbol: Symbol) {
        self.gated.retain(|_, until| *until > now);
        self.gated.insert(symbol, now.plus_micros(GATE_SPAN));
        self.queue.set(now, Timer::Public(PublicStep::Instruments));
    }

    /// The instrument of exactly this symbol; O(log n).
    #[must_use]
    pub fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.instruments.binary_search_by_key(&symbol, |i| i.symbol).ok().map(|at| &self.instruments[at])
    }

    /// All instruments, sorted by symbol.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }
}
