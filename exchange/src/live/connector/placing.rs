//! Orders on their way: when one may be sent, what its answer proves, and how an unknown outcome is found out.

use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::key::KeyFault;
use engine::core::order::{OrderKind, OrderState, VenueReason, VenueReport};
use planted::planted;

use super::account::Slot;
use super::limits::{
    AGAIN_PAUSE, CANCEL_PAUSE_MAX, ENTRY_RETRIES, EXIT_RESENDS, LATE_LOOKS_SURE, NEVER_ARRIVED_DOUBT_SPAN,
    NEVER_ARRIVED_SPAN, RESEND_EXIT_SPAN, STREAM_PATIENCE, TRIGGER_VISIBLE_SPAN,
};
use super::order::{Cancel, Phase};
use super::queue::{Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::pacing::retry::retry_at;
use crate::live::pacing::{Purpose, Refusal};
use crate::live::protocol::{Answer, Ask, Failure, FailureKind, OrderRef, OrderView, Placement, ViewState};

/// What came of setting leverage or margin type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetUp {
    Done,
    /// Not now.
    Again,
    Refused,
}

/// What a question came to, in the end.
pub(super) enum Ended {
    /// No byte of it left.
    NotSent,
    /// Whether it happened is not known.
    NoAnswer,
    /// An answer.
    Answered(Result<Answer, Failure>),
}

impl<P: Shape> Connector<P> {
    pub(super) fn order_ref(order: &super::LiveOrder) -> OrderRef {
        OrderRef { id: order.new.id, symbol: order.new.symbol, is_trigger: order.new.kind.is_trigger() }
    }

    /// The next step of an order that has not been sent.
    pub(super) fn go_on(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let account = self.account(slot);
        let Some(order) = account.orders.get(&id).filter(|o| o.phase == Phase::Waiting) else { return };
        let new = order.new;
        if now >= order.expires_at {
            self.give_up(slot, id, VenueReason::NotSent);
            return;
        }
        if account.credential.is_none() || (account.suspended.is_some() && !new.reduce_only) {
            self.give_up(slot, id, VenueReason::Account);
            return;
        }
        if P::ATTACHES && new.kind.is_trigger() {
            self.attach(now, slot, id);
            return;
        }
        if new.reduce_only {
            self.enqueue(slot, id, Purpose::Close);
            return;
        }
        let deadline = order.expires_at;
        if !account.is_ready || !account.private_is_ready {
            // The comparison at the start tells whether something is open already, and nothing opens while no stream would
            // tell of its fills; with either this is looked at again. It does not wait out a pause that nobody needs.
            let idle = account.private.is_none() && !account.stream_refused;
            self.queue.set(deadline, Timer::Expire(slot, id));
            if idle {
                self.account_mut(slot).reopen_pause = 0;
                self.queue.set(now, Timer::Reopen(slot));
            }
            return;
        }
        if self.gated.get(&new.symbol).is_some_and(|until| now < *until) {
            self.give_up(slot, id, VenueReason::Symbol);
            return;
        }
        // A position of ours that the engine did not know of when it decided: an entry that was over was filled.
        let is_late = account.expected(new.symbol) != 0 && order.booked.is_zero();
        let is_foreign =
            is_late || !account.is_explained(new.symbol) || account.foreign.contains_key(&new.symbol);
        if is_foreign && !planted!("entry_beside_a_foreign_position") {
            self.give_up(slot, id, VenueReason::ForeignPosition);
            return;
        }
        if self.set_up(slot, id) {
            self.enqueue(slot, id, Purpose::Open);
        } else {
            self.queue.set(deadline, Timer::Expire(slot, id));
        }
    }

    /// Whether leverage and margin type are as an entry wants them; asks for what is missing.
    fn set_up(&mut self, slot: Slot, id: ClientOrderId) -> bool {
        let account = self.account(slot);
        let Some(new) = account.orders.get(&id).map(|o| o.new) else { return false };
        let setup = account.setups.get(&new.symbol).copied().unwrap_or_default();
        let isolated = account.isolated.unwrap_or(setup.isolated);
        // What is on its way for an entry that was given up sets another one: none is known before its answer.
        let doubts = !planted!("leverage_on_its_way_not_doubted");
        let is_as_wanted = isolated && setup.leverage == new.leverage && !(setup.asking && doubts);
        if is_as_wanted || planted!("entry_sent_before_its_leverage") {
            return true;
        }
        if setup.asking {
            return false;
        }
        let ask = if isolated {
            Ask::SetLeverage { symbol: new.symbol, leverage: new.leverage }
        } else {
            Ask::SetIsolated(new.symbol)
        };
        let setup = self.account_mut(slot).setups.entry(new.symbol).or_default();
        (setup.asking, setup.leverage) = (true, if doubts { 0 } else { setup.leverage });
        self.ask(Some(slot), ask, Why::Setup(new.symbol), Purpose::Open);
        false
    }

    /// What came of setting leverage or margin type: the entries that wait for it go on, or are given up.
    pub(super) fn set_up_done(
        &mut self,
        now: Timestamp,
        slot: Slot,
        symbol: engine::core::instrument::Symbol,
        ask: &Ask,
        end: &Ended,
    ) -> SetUp {
        let account = self.account_mut(slot);
        let setup = account.setups.entry(symbol).or_default();
        setup.asking = false;
        let mut retry = 0;
        let mut failed = false;
        match end {
            Ended::Answered(Ok(_)) => match ask {
                Ask::SetLeverage { leverage, .. } => setup.leverage = *leverage,
                _ if account.isolated.is_some() => account.isolated = Some(true),
                _ => setup.isolated = true,
            },
            // Setting the same once more does no harm.
            Ended::NotSent | Ended::NoAnswer => retry = AGAIN_PAUSE,
            Ended::Answered(Err(failure)) => match failure.kind {
                FailureKind::Unknown
                | FailureKind::Unreadable
                | FailureKind::Retry
                | FailureKind::Limited { .. }
                | FailureKind::Banned { .. }
                | FailureKind::Clock => retry = AGAIN_PAUSE,
                _ => failed = true,
            },
        }
        let waiting: Vec<ClientOrderId> = account
            .orders
            .values()
            .filter(|o| o.phase == Phase::Waiting && o.new.symbol == symbol && !o.new.reduce_only)
            .map(|o| o.new.id)
            .collect();
        for id in waiting {
            if failed {
                self.give_up(slot, id, VenueReason::Leverage);
            } else if retry > 0 {
                self.queue.set(now.plus_micros(retry), Timer::GoOn(slot, id));
            } else {
                self.go_on(now, slot, id);
            }
        }
        match (failed, retry) {
            (true, _) => SetUp::Refused,
            (false, 0) => SetUp::Done,
            (false, _) => SetUp::Again,
        }
    }

    /// Entries that waited for the account are looked at again.
    pub(super) fn go_on_all(&mut self, now: Timestamp, slot: Slot) {
        let waiting: Vec<ClientOrderId> = self
            .account(slot)
            .orders
            .values()
            .filter(|o| o.phase == Phase::Waiting)
            .map(|o| o.new.id)
            .collect();
        for id in waiting {
            self.go_on(now, slot, id);
        }
    }

    fn enqueue(&mut self, slot: Slot, id: ClientOrderId, purpose: Purpose) {
        let account = self.account_mut(slot);
        let mode = account.mode;
        let Some(order) = account.orders.get_mut(&id) else { return };
        order.phase = Phase::Queued;
        let expires_at = order.expires_at;
        let (mut order, attached) = (order.new, order.planned.filter(|_| P::ATTACHES));
        if planted!("stop_told_live_and_never_set") && matches!(order.kind, OrderKind::StopMarket(_)) {
            return self.tell_live(expires_at, slot, id);
        }
        if let Some(attached) = attached {
            account.attached.insert(order.symbol, attached);
        }
        if planted!("order_a_step_smaller_on_the_wire")
            && let Some(step) = self.instrument(order.symbol).map(|listed| listed.step)
        {
            order.quantity = order.quantity.checked_sub(step).unwrap_or_default();
        }
        self.ask(Some(slot), Ask::Place(Placement { order, mode, attached }), Why::Place(id), purpose);
        if purpose == Purpose::Open {
            self.queue.shuffle_last();
            // Whatever holds it back: its time ends.
            self.queue.set(expires_at, Timer::Expire(slot, id));
        }
    }

    /// An order that surely never reached the exchange and will not be sent.
    pub(super) fn give_up(&mut self, slot: Slot, id: ClientOrderId, reason: VenueReason) {
        if self.account(slot).orders.get(&id).is_some_and(super::LiveOrder::is_open) {
            self.end(slot, id, VenueReport::Rejected { id, reason });
        }
    }

    /// Tells the end of an order. A request of it that still waits is not sent.
    pub(super) fn end(&mut self, slot: Slot, id: ClientOrderId, report: VenueReport) {
        let account = self.account_mut(slot);
        if let Some(order) = account.orders.get_mut(&id) {
            order.phase = Phase::Ended;
        }
        account.put_away(id);
        self.reports.push_back(report);
    }

    /// The time of an entry is over, or that of a trigger to be set again.
    pub(super) fn expire(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        self.should_be_set(now, slot, id);
        if self.is_stuck(now, slot, id, false) {
            return;
        }
        let unsent =
            |o: &&super::LiveOrder| matches!(o.phase, Phase::Waiting | Phase::Queued) && now >= o.expires_at;
        if self.account(slot).orders.get(&id).filter(unsent).is_some() {
            self.give_up(slot, id, VenueReason::NotSent);
        }
    }

    /// The budgets will not allow it before a time that is too late for it.
    pub(super) fn refused(&mut self, now: Timestamp, job: super::queue::Job, why: Refusal) {
        if matches!(why, Refusal::UnknownAccount | Refusal::TooLarge)
            && let Some(slot) = job.slot
        {
            let account = self.account(slot).id;
            self.notice(Notice::Bug(account, why.to_string()));
        }
        match (&job.why, job.slot) {
            (Why::Place(id), Some(slot)) if job.purpose == Purpose::Open => {
                self.give_up(slot, *id, VenueReason::NotSent);
            }
            _ => self.settle(now, job, Ended::NotSent),
        }
    }

    /// What came of placing an order.
    pub(super) fn placed(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, end: Ended) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        if order.phase != Phase::InFlight && order.phase != Phase::Queued {
            // The stream was faster.
            if let Ended::Answered(Ok(Answer::Placed { venue_id })) = end {
                self.account_mut(slot).name(&venue_id, id);
            }
            return;
        }
        match end {
            Ended::Answered(Ok(answer)) => {
                order.phase = Phase::Live;
                order.asked = 0;
                if let Answer::Placed { venue_id } = answer {
                    order.venue_id.clone_from(&venue_id);
                    self.account_mut(slot).name(&venue_id, id);
                }
                self.acknowledged(now, slot, id);
                if P::ANSWER_IS_PROOF {
                    self.tell_live(now, slot, id);
                }
                self.queue.set(now.plus_micros(STREAM_PATIENCE), Timer::AskAbout(slot, id));
                self.take_back(now, slot, id);
            }
            Ended::NotSent => self.send_again(now, slot, id),
            Ended::NoAnswer if planted!("lost_answer_sends_the_order_again") => {
                self.send_again(now, slot, id)
            }
            Ended::NoAnswer if planted!("lost_answer_taken_for_not_placed") => {
                self.give_up(slot, id, VenueReason::NotSent);
            }
            Ended::NoAnswer => self.unknown(now, slot, id),
            Ended::Answered(Err(failure)) => self.refused_by_exchange(now, slot, id, &failure),
        }
    }

    fn refused_by_exchange(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, failure: &Failure) {
        match failure.kind {
            FailureKind::Unknown | FailureKind::Unreadable | FailureKind::NotFound => {
                self.unknown(now, slot, id);
            }
            // Ours, from a request whose answer was lost: whatever it says about itself is the truth (CASES.md U2).
            FailureKind::Duplicate if planted!("duplicate_id_taken_for_a_refusal") => {
                self.give_up(slot, id, VenueReason::Account);
            }
            FailureKind::Duplicate => self.unknown(now, slot, id),
            FailureKind::Retry
            | FailureKind::Clock
            | FailureKind::Limited { .. }
            | FailureKind::Banned { .. } => self.send_again(now, slot, id),
            FailureKind::Mode => {
                // A long and a short beside each other: named and refused; never changed from here (CASES.md H2, H3).
                self.account_mut(slot).mode_is_known = false;
                self.suspend(slot, KeyFault::HedgeMode, failure.code, &failure.text);
                self.give_up(slot, id, VenueReason::Account);
            }
            FailureKind::SymbolGate => {
                let symbol = self.account(slot).orders.get(&id).map(|o| o.new.symbol);
                if let Some(symbol) = symbol {
                    self.gate(now, symbol);
                }
                self.give_up(slot, id, VenueReason::Symbol);
            }
            FailureKind::UserMustAct => {
                self.user_must_act(slot, failure);
                self.give_up(slot, id, VenueReason::Account);
            }
            FailureKind::Bug => {
                let account = self.account(slot).id;
                self.notice(Notice::Bug(account, failure.text.clone()));
                self.give_up(slot, id, VenueReason::Account);
            }
            FailureKind::InLiquidation => {
                self.want_comparison(now, slot);
                self.give_up(slot, id, VenueReason::Account);
            }
            FailureKind::Refused(reason) => {
                if reason == VenueReason::NothingToReduce {
                    // It is flat, or somebody else's order holds the size: what the exchange holds decides (CASES.md O5).
                    self.want_comparison(now, slot);
                }
                if self.may_be_of_the_one_before(slot, id, reason) {
                    self.unknown(now, slot, id);
                    return;
                }
                if matches!(reason, VenueReason::Quantity | VenueReason::Price | VenueReason::Notional) {
                    self.queue.set(now, Timer::Public(super::queue::PublicStep::Instruments));
                }
                self.give_up(slot, id, reason);
            }
        }
    }

    /// Whether an order was refused for what the same order did that was sent before, unknown to us: then the exchange is asked.
    fn may_be_of_the_one_before(&mut self, slot: Slot, id: ClientOrderId, reason: VenueReason) -> bool {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| o.retries > 0) else {
            return false;
        };
        match reason {
            // A trigger that closes this way is there already (CASES.md O7).
            VenueReason::TooManyOrders => true,
            // It has closed what this one was to close. A client id of what is over is free again on Binance, so that the refusal
            // says nothing of a duplicate (CASES.md U2).
            VenueReason::NothingToReduce if !planted!("second_copy_of_an_exit_refused_for_the_first") => {
                order.refused_again = true;
                true
            }
            _ => false,
        }
    }

    /// Surely nothing of it happened: once more, while it is valid and not too often.
    pub(super) fn send_again(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        let exit = order.new.reduce_only;
        if order.cancel == Cancel::Wanted {
            self.give_up(slot, id, VenueReason::Requested);
            return;
        }
        // Of an exit the engine sends another round, which this one would block.
        let (purpose, most) =
            if exit { (Purpose::Close, EXIT_RESENDS) } else { (Purpose::Open, ENTRY_RETRIES) };
        let attempt = u32::try_from(order.retries).unwrap_or(u32::MAX);
        let at = retry_at(now, attempt, purpose, order.expires_at).filter(|_| order.retries < most);
        let Some(at) = at else {
            self.give_up(slot, id, VenueReason::NotSent);
            return;
        };
        order.retries += 1;
        order.phase = Phase::Waiting;
        self.queue.set(at, Timer::GoOn(slot, id));
    }

    /// Whether it arrived is not known: it is asked about, and never sent again before that is answered (CASES.md U1–U13).
    pub(super) fn unknown(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        self.metrics.unknown += 1;
        let mode = self.account(slot).mode;
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        if planted!("unknown_order_sent_again_with_another_id") {
            let (mut order, attached) = (order.new, order.planned.filter(|_| P::ATTACHES));
            order.id.round += 1;
            let again = Ask::Place(Placement { order, mode, attached });
            self.ask(Some(slot), again, Why::Query(id), Purpose::Close);
            return;
        }
        order.phase = Phase::Unknown;
        order.asked = 0;
        order.not_found = 0;
        let pause = order.query_pause();
        self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
    }

    /// Tells once that an order is live.
    pub(super) fn tell_live(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        if !order.told_live && order.is_open() {
            order.told_live = true;
            self.reports.push_back(VenueReport::Accepted { id, venue_at: now });
        }
    }

    /// Asks about an order unless the question is under way.
    pub(super) fn ask_about(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, pause: u64) {
        if pause > 0 {
            self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
            return;
        }
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        if order.asking || !order.is_open() || matches!(order.phase, Phase::Waiting | Phase::Queued) {
            return;
        }
        if order.attached {
            // It has no id of ours to ask by. One that fired has the exchange's: its fills are asked for, and until they are
            // there nothing else can explain what is gone of the position.
            if order.end.is_some()
                && !order.venue_id.is_empty()
                && !planted!("fills_of_a_fired_trigger_not_asked_for")
            {
                self.want_fills(now, slot, id, 0);
            } else {
                self.want_comparison(now, slot);
            }
            return;
        }
        order.asking = true;
        let (purpose, ask) = (order.asked_for(), order.question(Self::order_ref(order), P::IDS_COME_BACK));
        self.ask(Some(slot), ask, Why::Query(id), purpose);
    }

    /// A timer: an order that should have been told about by now.
    pub(super) fn ask_about_if_open(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account(slot).orders.get(&id) else { return };
        if order.doubt > 0 {
            self.look(now, slot, id);
            return;
        }
        let wanted = match order.phase {
            Phase::Unknown | Phase::Recovered => true,
            // A resting trigger that was told live needs no question; whatever else is live does until it ends.
            Phase::Live => {
                let ends = order.end.is_some() || order.fired.is_some();
                !order.told_live || !order.new.kind.is_trigger() || ends
            }
            _ => false,
        };
        if wanted {
            self.ask_about(now, slot, id, 0);
        }
    }

    /// What the exchange said about an order that was asked about.
    pub(super) fn queried(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, ask: &Ask, end: Ended) {
        if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
            // Before the comparison ends by it: nothing is under way for this question any more.
            order.asking = planted!("last_question_keeps_the_wallet_from_counting") && order.asking;
        }
        self.answered_for_comparison(now, slot);
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        order.asking = false;
        if !order.is_open() {
            // It ended while this was asked. Who doubts it waits for this answer.
            if order.doubt > 0 && !planted!("answer_after_the_end_dropped") {
                self.late_queried(now, slot, id, end);
            }
            return;
        }
        order.asked += 1;
        if matches!(ask, Ask::QueryById { .. }) && order.fired.is_some() {
            self.became_told(now, slot, id, end);
            return;
        }
        match end {
            Ended::Answered(Ok(Answer::Order(view))) => {
                self.absorb(now, slot, id, &view, true);
                return;
            }
            Ended::Answered(Err(failure)) if failure.kind == FailureKind::NotFound => {
                order.not_found += 1;
                if self.not_known(now, slot, id) {
                    return;
                }
            }
            Ended::Answered(Err(failure)) if failure.kind == FailureKind::UserMustAct => {
                self.user_must_act(slot, &failure);
            }
            _ => {}
        }
        let Some(order) = self.account(slot).orders.get(&id).filter(|o| o.is_open()) else { return };
        let pause = order.query_pause();
        self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
    }

    /// The exchange does not know an order. True when that settles it.
    fn not_known(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) -> bool {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id) else { return true };
        let is_young = order.sent_at.is_some_and(|at| now.micros_since(at) < TRIGGER_VISIBLE_SPAN);
        if order.told_live && order.new.kind.is_trigger() && order.not_found >= 2 && !is_young {
            // A trigger that was live is gone without a word: for the engine that is an end (CASES.md O9).
            self.not_received(now, slot, id);
            return true;
        }
        if order.refused_again {
            // Whatever else had closed it: there is nothing to reduce, so none of its copies did, or will. An order may be visible
            // only a moment after it (CASES.md U8), so one answer is not enough.
            if order.not_found < 2 {
                return false;
            }
            self.metrics.resolved += 1;
            self.give_up(slot, id, VenueReason::NothingToReduce);
            return true;
        }
        let settled = order.sent_at.is_some_and(|at| now.micros_since(at) >= RESEND_EXIT_SPAN);
        let lost = matches!(order.phase, Phase::Unknown | Phase::Recovered) && !order.told_live;
        if order.new.reduce_only
            && lost
            && settled
            && order.cancel == Cancel::No
            && order.retries < EXIT_RESENDS
            && let Some(is_settled) = self.go_again(now, slot, id)
        {
            return is_settled;
        }
        let Some(order) = self.account(slot).orders.get(&id) else { return true };
        if !order.never_arrived(now) {
            return false;
        }
        if !self.is_nothing_held_of(now, slot, id) && !planted!("entry_given_up_beside_what_it_opened") {
            return false;
        }
        self.metrics.resolved += 1;
        let order = self.account_mut(slot).orders.get_mut(&id).expect("looked up above");
        if order.phase == Phase::Recovered && now < order.expires_at && order.cancel == Cancel::No {
            // A process that is gone meant to send it and never did: now it may be sent, for the first time.
            order.phase = Phase::Waiting;
            order.sent_at = None;
            order.asked = 0;
            self.go_on(now, slot, id);
        } else {
            self.not_received(now, slot, id);
        }
        true
    }

    /// Whether the positions agree that an order never arrived: by a list that was sent for when nothing of it could arrive any
    /// more. A list is asked for where there is none. Exits make nothing that could be held.
    fn is_nothing_held_of(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) -> bool {
        let account = self.account(slot);
        let Some(order) = account.orders.get(&id).filter(|o| !o.new.reduce_only) else { return true };
        let Some(sent_at) = order.sent_at else { return true };
        let symbol = order.new.symbol;
        let over = self.pacer.clock().now(sent_at.plus_micros(NEVER_ARRIVED_SPAN));
        if !account.views.is_listed_after(symbol, over) {
            self.want_comparison(now, slot);
            return false;
        }
        account.is_explained(symbol) || now.micros_since(sent_at) >= NEVER_ARRIVED_DOUBT_SPAN
    }

    fn not_received(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let (state, reason) = (OrderState::Expired, VenueReason::NotReceived);
        self.end(slot, id, VenueReport::Ended { id, state, reason });
        self.want_comparison(now, slot);
    }

    /// Takes in what the exchange says about one of our orders, by stream or answer.
    pub(super) fn absorb(
        &mut self,
        now: Timestamp,
        slot: Slot,
        id: ClientOrderId,
        view: &OrderView,
        asked: bool,
    ) {
        let account = self.account_mut(slot);
        account.name(&view.venue_id, id);
        account.name(&view.became, id);
        let Some(order) = account.orders.get_mut(&id) else { return };
        if P::IDS_COME_BACK && order.is_another_copy(&view.venue_id) {
            return;
        }
        if !order.is_open() {
            if view.filled > order.booked {
                self.doubt(now, slot, id, LATE_LOOKS_SURE);
            }
            return;
        }
        let was_unknown = matches!(order.phase, Phase::Unknown | Phase::Recovered);
        order.phase = Phase::Live;
        let missing = order.note(view);
        let (fires, has_fired) = (order.note_fired(now, view), order.fired.is_some());
        let of_trigger =
            matches!(view.state, ViewState::Untriggered | ViewState::Triggered | ViewState::Finished);
        let refused = view.state == ViewState::Rejected;
        self.metrics.resolved += u64::from(was_unknown);
        if asked && !refused {
            self.acknowledged(now, slot, id);
        }
        if !refused {
            self.tell_live(now, slot, id);
        }
        if fires {
            self.firing_ends(now, slot, id);
        }
        if missing && !planted!("missed_fills_not_asked_for") {
            self.metrics.gaps += u64::from(asked);
            self.want_fills(now, slot, id, if asked { 0 } else { STREAM_PATIENCE });
        } else if has_fired && of_trigger {
            self.fired(now, slot, id, view.state, asked);
        } else if view.state == ViewState::Triggered {
            self.queue.set(now.plus_micros(STREAM_PATIENCE), Timer::AskAbout(slot, id));
        } else if asked && !view.state.is_final() && !self.account(slot).orders[&id].new.kind.is_trigger() {
            // A market order that is neither filled nor over: soon again, without hurry.
            let pause = self.account(slot).orders[&id].query_pause().max(STREAM_PATIENCE);
            self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
        }
        self.finish(now, slot, id);
        self.take_back(now, slot, id);
    }

    /// Sends the cancel that is wanted, when it can mean something.
    pub(super) fn take_back(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account(slot).orders.get(&id).filter(|o| o.cancel == Cancel::Wanted) else {
            return;
        };
        let asked = Self::order_ref(order);
        match order.phase {
            Phase::Waiting | Phase::Queued => {
                // Nothing of it has left, and nothing will.
                let (state, reason) = (OrderState::Cancelled, VenueReason::Requested);
                self.end(slot, id, VenueReport::Ended { id, state, reason });
            }
            Phase::Live if order.attached => self.detach(now, slot, id),
            // It was refused a moment ago; a timer comes back to it.
            Phase::Live if now < order.cancel_from => {}
            Phase::Live => {
                if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
                    order.cancel = Cancel::Sent;
                }
                self.ask(Some(slot), Ask::Cancel(asked), Why::Cancel(id), Purpose::Close);
            }
            // Known first, then taken back.
            Phase::InFlight | Phase::Unknown | Phase::Recovered | Phase::Ended => {}
        }
    }

    /// What came of taking an order back: its end is what the exchange then says of it, never this answer (CASES.md U11).
    pub(super) fn cancelled(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, end: &Ended) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| o.is_open()) else { return };
        let taken = matches!(end, Ended::Answered(Ok(_)));
        let not_there = matches!(end, Ended::Answered(Err(failure)) if failure.kind == FailureKind::NotFound);
        let lost = matches!(end, Ended::NoAnswer) && planted!("lost_answer_to_a_cancel_taken_for_done");
        let gone = not_there && planted!("cancel_of_what_is_not_there_taken_for_done");
        if lost || gone {
            let (state, reason) = (OrderState::Cancelled, VenueReason::Requested);
            self.end(slot, id, VenueReport::Ended { id, state, reason });
            return;
        }
        if !taken {
            order.cancel = Cancel::Wanted;
            if !planted!("refused_cancel_repeated_at_once") {
                order.cancel_pause = (order.cancel_pause * 2).clamp(AGAIN_PAUSE, CANCEL_PAUSE_MAX);
                order.cancel_from = now.plus_micros(order.cancel_pause);
                let from = order.cancel_from;
                self.queue.set(from, Timer::TakeBack(slot, id));
            }
        }
        if let Ended::Answered(Err(failure)) = end
            && failure.kind == FailureKind::UserMustAct
        {
            self.user_must_act(slot, failure);
        }
        let pause = if taken { STREAM_PATIENCE } else { AGAIN_PAUSE };
        self.ask_about(now, slot, id, pause);
        // A trigger that is told live is not asked about by the timer: it is here, for its cancel is under way.
        self.ask_about(now, slot, id, 0);
    }
}
