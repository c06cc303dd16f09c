//! What follows from a decision: it is held until its record is durable, then answers are given and effects begin.

use super::*;
use crate::core::key::KeyState;
use crate::shard::limits::CLOSE_SLOW_ROUND;

impl<R: Reads, J: Journal, G: Gateway> Shard<R, J, G> {
    /// Effects, timers and counts of what was just decided.
    pub(super) fn follow_up(&mut self, now: Moment, lsn: Lsn, user: UserId, at: UserIndex, events: &[Event]) {
        for event in events {
            match event {
                Event::AccountOpened { index, wallet, .. } => {
                    let account = AccountId { user, index: *index };
                    self.hold(lsn, now, Held::Effect(Effect::OpenAccount(account, *wallet)));
                }
                Event::CredentialSet { account, .. }
                | Event::CredentialRemoved { account }
                | Event::KeyHealth { account, .. } => {
                    let account = AccountId { user, index: *account };
                    self.close_with_the_key(now, at, account);
                    self.hold(lsn, now, Held::Effect(Effect::Key(account)));
                    self.hold(lsn, now, Held::Effect(Effect::Expect(user)));
                }
                Event::Subscribed { .. } | Event::Unsubscribed { .. } => {
                    self.hold(lsn, now, Held::Effect(Effect::Expect(user)));
                }
                Event::EntryIntended { order, .. } => {
                    self.positions_open += 1;
                    self.hold(lsn, now, Held::Effect(Effect::Submit(*order)));
                }
                // Flat, in the end: without a fill that would make it a closed position.
                Event::EntryVoided { .. } => self.follow_flat(user, at),
                Event::ExitIntended { order, .. } => {
                    self.hold(lsn, now, Held::Effect(Effect::Submit(*order)));
                }
                Event::ProtectionIntended { order, position, .. } => {
                    self.hold(lsn, now, Held::Effect(Effect::Submit(*order)));
                    if order.id.leg == Leg::Stop {
                        let due = now.wall.plus_micros(self.rules.protection_span);
                        self.timers.set(due, Alarm::CheckProtection(order.id.account, *position));
                    }
                }
                Event::CancelIntended { id } => self.hold(lsn, now, Held::Effect(Effect::Cancel(*id))),
                Event::OrderUnknown { id } => {
                    self.counters.orders_unanswered += 1;
                    self.hold(lsn, now, Held::Effect(Effect::Query(*id)));
                }
                Event::OrderEnded { id, .. } => {
                    self.follow_ended(now, at, *id);
                    self.watch_protection(now, at, *id);
                }
                Event::SignalAccepted { signal, .. } => {
                    self.counters.signals += 1;
                    let source = self.state.source(signal.id.source);
                    let at_work = source.is_some_and(|s| s.working.contains(&signal.id.number));
                    let source_halted = source.is_some_and(|s| s.halted);
                    if at_work {
                        let order = FanOutOrder { signal: *signal, superseded: false, source_halted };
                        self.hold(lsn, now, Held::Effect(Effect::FanOut(order)));
                    }
                }
                Event::Filled { id, last, .. } => {
                    self.counters.fills += 1;
                    if *last {
                        self.watch_protection(now, at, *id);
                    }
                }
                Event::Liquidated { .. } | Event::ClosedOutside { .. } => self.counters.fills += 1,
                Event::LateEntry { opens, .. } => {
                    self.counters.fills += 1;
                    self.positions_open += usize::from(*opens);
                }
                Event::PositionClosed { .. } => {
                    self.counters.positions_closed += 1;
                    self.follow_flat(user, at);
                }
                _ => {}
            }
        }
    }

    /// A position is gone, or its entry ended before there was one: opens that wait for flat are decided now.
    fn follow_flat(&mut self, user: UserId, at: UserIndex) {
        self.positions_open = self.positions_open.saturating_sub(1);
        for signal in &self.state.user(at).reversals {
            self.internal.push_back(Command::Reconsider { user, signal: signal.id });
        }
    }

    /// A stop has ended. Whatever the venue said of it: where its position is open all the same, it has another live one in
    /// time or is closed.
    fn watch_protection(&mut self, now: Moment, at: UserIndex, id: ClientOrderId) {
        let position = self.state.user(at).position(id.signal, id.account.index);
        let is_bare = |p: &crate::core::position::Position| !p.quantity.is_zero() && p.closing.is_none();
        if id.leg == Leg::Stop
            && position.is_some_and(is_bare)
            && !planted::planted!("end_of_a_stop_not_watched")
        {
            let due = now.wall.plus_micros(self.rules.protection_span);
            self.timers.set(due, Alarm::CheckProtection(id.account, id.signal));
        }
    }

    /// A close order that ended unfilled is followed by another after a while, so that no venue is hammered.
    pub(super) fn follow_ended(&mut self, now: Moment, at: UserIndex, id: ClientOrderId) {
        let user = self.state.user(at);
        let is_close = !matches!(id.leg, Leg::Entry | Leg::Stop | Leg::TakeProfit);
        // One of an earlier life of the position may have been at work when this close began, and held it up.
        let ended = user.final_orders.iter().rev().find(|o| o.new.id == id).filter(|_| is_close);
        let closing = |p: &&crate::core::position::Position| {
            p.account == id.account.index
                && p.closing.is_some_and(|c| {
                    (c.signal == id.signal && c.leg == id.leg)
                        || ended.is_some_and(|o| o.position == p.signal)
                })
        };
        if let Some(position) = user.positions.iter().find(closing) {
            // Twice as long after each further refusal, up to a minute; once that has gone on for an hour, longer: the rounds of a
            // leg are few, and are to last for days.
            let times = match id.round {
                round @ 0..CLOSE_SLOW_ROUND => 1_u64 << round.min(6),
                CLOSE_SLOW_ROUND..124 => 300,
                124..186 => 900,
                _ => 3_600,
            };
            self.counters.closes_refused_long += u64::from(id.round >= CLOSE_SLOW_ROUND);
            let span = self.rules.close_retry_span.saturating_mul(times);
            let due = now.wall.plus_micros(span);
            if planted::planted!("refused_close_not_tried_again") {
                return;
            }
            self.timers.set(due, Alarm::DriveClose(id.account, position.signal));
        }
    }

    /// A key that works again, or another one: what waits to be closed with it does not wait out its pause.
    fn close_with_the_key(&mut self, now: Moment, at: UserIndex, account: AccountId) {
        let user = self.state.user(at);
        let is_usable = user
            .accounts
            .get(usize::from(account.index))
            .is_some_and(|a| matches!(a.key_state_at(now.wall), KeyState::Healthy | KeyState::Pending));
        for position in user.positions.iter().filter(|p| p.account == account.index && p.closing.is_some()) {
            if is_usable {
                let due = now.wall.plus_micros(self.rules.close_retry_span);
                self.timers.set(due, Alarm::DriveClose(account, position.signal));
            }
        }
    }

    pub(super) fn hold(&mut self, lsn: Lsn, now: Moment, held: Held<R::Answer>) {
        let early = match &held {
            Held::Answer { .. } => planted::planted!("answer_before_the_flush"),
            Held::Effect(Effect::Submit(_)) => planted::planted!("order_before_the_flush"),
            Held::Effect(Effect::Cancel(_)) => planted::planted!("cancel_before_the_flush"),
            Held::Effect(Effect::FanOut(_)) => planted::planted!("fan_out_before_the_flush"),
            Held::Effect(Effect::FanOutDone(..)) => planted::planted!("fan_out_done_before_the_flush"),
            Held::Effect(_) => false,
        };
        if early || (lsn <= self.journal.durable() && self.held.is_empty()) {
            self.release(now, now.mono, held);
        } else {
            self.held.push_back((lsn, now.mono, held));
        }
    }

    /// The log is durable up to `lsn`: everything that waited for it goes.
    pub fn durable(&mut self, now: Moment, lsn: Lsn) {
        while self.held.front().is_some_and(|(waits_for, _, _)| *waits_for <= lsn) {
            if let Some((_, since, held)) = self.held.pop_front() {
                self.release(now, since, held);
            }
        }
        self.mesh.ring();
    }

    pub(super) fn release(&mut self, now: Moment, since: Nanos, held: Held<R::Answer>) {
        match held {
            Held::Answer { to, answer, track, asked_at } => {
                self.histograms.record(Stage::Commit, track, now.mono.since(since));
                self.histograms.record(Stage::Total, track, now.mono.since(asked_at));
                self.give(to, answer);
            }
            Held::Effect(effect) => {
                if matches!(effect, Effect::Submit(_)) {
                    self.histograms.record(Stage::Commit, Track::FanOut, now.mono.since(since));
                }
                self.start(now, effect);
            }
        }
    }

    pub(super) fn start(&mut self, now: Moment, effect: Effect) {
        match effect {
            Effect::OpenAccount(account, wallet) => self.gateway.open_account(account, wallet),
            Effect::Key(account) => {
                let user = self.state.by_id(account.user);
                if let Some(found) = user.and_then(|user| user.accounts.get(usize::from(account.index))) {
                    self.gateway.key_changed(account, found);
                }
            }
            Effect::Expect(user) => self.expect(user),
            Effect::FanOut(order) => self.start_fan_out(order),
            Effect::FanOutDone(signal, counts) => {
                let home = owner(signal.source.owner, self.mesh.shards());
                if home == self.id() {
                    self.note_done(signal, counts);
                } else {
                    self.mesh.fan_out_done(home, signal, counts);
                }
            }
            Effect::Submit(_) | Effect::Cancel(_) | Effect::Query(_) => {
                let in_line = !self.unsent.is_empty()
                    && self.unsent.waits_for(self.place_of(&effect))
                    && !planted::planted!("order_overtakes_those_that_wait");
                if in_line || !self.reach_venue(now, &effect) {
                    self.let_wait(effect);
                }
            }
        }
    }

    /// It leaves when its venue has room.
    pub(super) fn let_wait(&mut self, effect: Effect) {
        let place = self.place_of(&effect);
        self.unsent.push(place, effect);
    }

    /// The venue that an order, a cancel or a question is for.
    fn place_of(&self, effect: &Effect) -> VenuePlace {
        let account = match effect {
            _ if planted::planted!("busy_venue_holds_up_the_others") => return VenuePlace::PAPER,
            Effect::Submit(order) => order.id.account,
            Effect::Cancel(id) | Effect::Query(id) => id.account,
            _ => return VenuePlace::PAPER,
        };
        let user = self.state.by_id(account.user);
        let account = user.and_then(|user| user.accounts.get(usize::from(account.index)));
        account.map_or(VenuePlace::PAPER, ExchangeAccount::place)
    }

    /// Tells the venue what a user's accounts on exchanges will probably trade.
    pub(super) fn expect(&mut self, user: UserId) {
        let Some(user) = self.state.by_id(user) else { return };
        for (account, index) in user.accounts.iter().zip(0_u8..) {
            if account.venue != VenueKind::Paper {
                let symbols = expected(user, index, &self.fan_outs.recent, &self.rules);
                self.gateway.expect(AccountId { user: user.id, index }, &symbols);
            }
        }
    }

    /// Hands an effect to the venue; false when its queue is full.
    pub(super) fn reach_venue(&mut self, now: Moment, effect: &Effect) -> bool {
        let taken = match effect {
            Effect::Submit(order) if planted::planted!("order_leaves_for_the_other_side") => {
                self.submit(now, &NewOrder { side: order.side.opposite(), ..*order })
            }
            Effect::Submit(order) => self.submit(now, order),
            Effect::Cancel(id) if planted::planted!("cancel_of_an_entry_names_its_stop") => {
                self.gateway.cancel(now.wall, ClientOrderId { leg: Leg::Stop, ..*id })
            }
            Effect::Cancel(id) => self.gateway.cancel(now.wall, *id),
            Effect::Query(_) if planted::planted!("unknown_order_never_queried") => Ok(()),
            Effect::Query(id) => self.gateway.query(now.wall, *id),
            Effect::OpenAccount(..)
            | Effect::Key(_)
            | Effect::Expect(_)
            | Effect::FanOut(_)
            | Effect::FanOutDone(..) => {
                return true;
            }
        };
        match (taken, effect) {
            (Ok(()), Effect::Submit(order)) => {
                self.counters.orders_sent += 1;
                self.in_flight.insert(order.id, now.wall);
                true
            }
            (Ok(()), Effect::Query(id)) => {
                self.in_flight.insert(*id, now.wall);
                true
            }
            (Ok(()), Effect::Cancel(id)) => {
                self.cancels.insert(*id, now.wall);
                true
            }
            (Ok(()), _) => true,
            (Err(_), _) => {
                self.counters.venue_busy += 1;
                false
            }
        }
    }

    /// An entry goes with the triggers that its position is to have.
    fn submit(&mut self, now: Moment, order: &NewOrder) -> Result<(), VenueBusy> {
        let id = order.id;
        let position = self
            .state
            .by_id(id.account.user)
            .filter(|_| id.leg == Leg::Entry)
            .and_then(|user| user.position(id.signal, id.account.index));
        match position {
            Some(p) if planted::planted!("entry_leaves_with_its_stop_for_a_target") => {
                self.gateway.submit_entry(now.wall, order, p.take_profit, p.stop, p.decided_at)
            }
            // A position is decided with its entry.
            Some(p) => self.gateway.submit_entry(now.wall, order, p.stop, p.take_profit, p.decided_at),
            None => self.gateway.submit(now.wall, order),
        }
    }

    pub(super) fn pass_effects(&mut self, now: Moment) {
        for venue in 0..self.unsent.venues() {
            while let Some(effect) = self.unsent.front(venue) {
                if !self.reach_venue(now, &effect) {
                    break;
                }
                self.unsent.pop(venue);
            }
        }
    }

    pub(super) fn start_fan_out(&mut self, order: FanOutOrder) {
        let shards_left = self.mesh.shards();
        self.progress.insert(order.signal.id, Progress { shards_left, counts: FanOutCounts::default() });
        self.fan_outs.begin(&self.state, order);
        self.mesh.fan_out(order);
    }

    pub(super) fn note_done(&mut self, signal: SignalId, counts: FanOutCounts) {
        let Some(progress) = self.progress.get_mut(&signal) else { return };
        progress.counts = progress.counts.plus(counts);
        progress.shards_left = progress.shards_left.saturating_sub(1);
        if progress.shards_left == 0 {
            let counts = progress.counts;
            self.progress.remove(&signal);
            self.internal.push_back(Command::FinishSignal { signal, counts });
        }
    }

    /// Orders that were sent and never answered become UNKNOWN and are queried, again and again until the venue says what
    /// became of them; never sent again. Cancels are repeated until their order has ended.
    pub(super) fn sweep_orders(&mut self, now: Moment) {
        for id in take_late(&mut self.in_flight, now) {
            match self.order_state(id) {
                Some(OrderState::Pending) => {
                    if planted::planted!("resend_with_a_new_id")
                        && let Some(order) = self.state.by_id(id.account.user).and_then(|user| user.order(id))
                    {
                        let id = ClientOrderId { round: id.round + 1, ..id };
                        let order = NewOrder { id, ..order.new };
                        self.let_wait(Effect::Submit(order));
                    }
                    self.in_flight.insert(id, now.wall);
                    self.internal.push_back(Command::OrderUnanswered { id });
                }
                Some(OrderState::Unknown) => self.start(now, Effect::Query(id)),
                _ => {}
            }
        }
        for id in take_late(&mut self.cancels, now) {
            if self.order_state(id).is_some_and(|state| !state.is_final()) {
                self.start(now, Effect::Cancel(id));
            }
        }
    }

    pub(super) fn order_state(&self, id: ClientOrderId) -> Option<OrderState> {
        self.state.by_id(id.account.user)?.order(id).map(|order| order.state)
    }
}

/// Takes out what was sent too long ago.
fn take_late(sent: &mut IdMap<ClientOrderId, Timestamp>, now: Moment) -> Vec<ClientOrderId> {
    let is_late = |at: Timestamp| now.wall.micros_since(at) >= ORDER_ANSWER_MAX_MICROS;
    let mut late: Vec<ClientOrderId> =
        sent.iter().filter(|(_, at)| is_late(**at)).map(|(id, _)| *id).collect();
    late.sort_unstable();
    sent.retain(|_, at| !is_late(*at));
    late
}
