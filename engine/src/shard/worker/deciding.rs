//! What a shard decides in a turn, and in which order: venue reports, alarms, closes, what follows from earlier decisions,
//! closing fan-outs, then the lanes and opening fan-outs by weight.

use super::*;

impl<R: Reads, J: Journal, G: Gateway> Shard<R, J, G> {
    pub(super) fn work<C: Clock>(&mut self, now: Moment, clock: &C) -> Result<(), JournalFailed> {
        if self.has_room() {
            self.take_reports(now, clock)?;
        }
        while self.has_room()
            && let Some(alarm) = self.timers.due(now.wall)
        {
            let command = match alarm {
                Alarm::CheckProtection(account, position) => Command::CheckProtection { account, position },
                Alarm::DriveClose(account, position) => Command::DriveClose { account, position },
            };
            self.decide_internal(now, clock, &command)?;
        }
        if now.mono.since(self.swept_at) >= ORDER_SWEEP_SPAN {
            self.swept_at = now.mono;
            self.sweep_orders(now);
        }
        for _ in 0..TURN_UNITS {
            if !self.has_room() || !self.step(now, clock)? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn has_room(&self) -> bool {
        self.journal.room_bytes() >= JOURNAL_ROOM_MIN
    }

    /// One unit of work, the most urgent there is. False when there is none.
    pub(super) fn step<C: Clock>(&mut self, now: Moment, clock: &C) -> Result<bool, JournalFailed> {
        if let Some(queued) = self.closes.pop() {
            for (task, caller) in queued.tasks {
                self.decide_asked(now, clock, task, caller, Track::Close)?;
            }
            return Ok(true);
        }
        if let Some(command) = self.internal.pop_front() {
            self.decide_internal(now, clock, &command)?;
            return Ok(true);
        }
        if self.fan_outs.has_closes() {
            self.offer_next(now, clock, false)?;
            return Ok(true);
        }
        let Some(lane) = self.lanes.next_lane(self.fan_outs.has_opens()) else { return Ok(false) };
        // Inside the high lane, a fan-out and the queue take turns.
        if lane == Lane::High && self.fan_outs.has_opens() {
            self.fan_out_turn = !self.fan_out_turn;
            if self.fan_out_turn || self.lanes.lane(Lane::High).is_empty() {
                self.offer_next(now, clock, true)?;
                return Ok(true);
            }
        }
        let Some(queued) = self.lanes.pop(lane) else { return Ok(true) };
        let waited = now.mono.since(queued.task.queued_at);
        if waited > LANE_DEADLINE[lane.place()] && !planted::planted!("lane_deadline_ignored") {
            self.counters.deadline_exceeded += 1;
            self.give(queued.origin, Answer::DeadlineExceeded);
            return Ok(true);
        }
        self.decide_asked(now, clock, queued.task, queued.origin, Track::Lane(lane))?;
        Ok(true)
    }

    pub(super) fn decide_asked<C: Clock>(
        &mut self,
        now: Moment,
        clock: &C,
        task: Task<R::Question>,
        caller: Origin,
        track: Track,
    ) -> Result<(), JournalFailed> {
        self.histograms.record(Stage::Queue, track, now.mono.since(task.queued_at));
        let (lsn, answer) = match task.op {
            Op::Command(command) => {
                let (lsn, result) = self.decide_one(now, clock, &command, track)?;
                (lsn, Answer::Decided(result))
            }
            Op::Question(question) => {
                self.counters.reads += 1;
                let answer = R::read(&self.state, &self.rules, &self.gateway, now.wall, question);
                let lsn = if planted::planted!("read_of_what_is_not_durable") {
                    self.journal.durable()
                } else {
                    self.journal.last()
                };
                (lsn, Answer::Read(answer))
            }
            Op::Status => (self.journal.durable(), Answer::Status(Box::new(self.status()))),
            Op::TakeHistograms => {
                (self.journal.durable(), Answer::Histograms(Box::new(std::mem::take(&mut self.histograms))))
            }
        };
        self.hold(lsn, now, Held::Answer { to: caller, answer, track, asked_at: task.queued_at });
        Ok(())
    }

    pub(super) fn decide_internal<C: Clock>(
        &mut self,
        now: Moment,
        clock: &C,
        command: &Command,
    ) -> Result<(), JournalFailed> {
        let (_, result) = self.decide_one(now, clock, command, Track::Lane(Lane::Background))?;
        if let Err(refusal) = result {
            tracing::warn!(?command, %refusal, "an internal command was refused");
        }
        Ok(())
    }

    /// Decides on the next subscriber of the fan-out at work, or ends it.
    pub(super) fn offer_next<C: Clock>(
        &mut self,
        now: Moment,
        clock: &C,
        open: bool,
    ) -> Result<(), JournalFailed> {
        let fan_out = if open { self.fan_outs.open() } else { self.fan_outs.close() };
        let Some(fan_out) = fan_out else { return Ok(()) };
        let (order, is_news) = (fan_out.order, fan_out.is_news);
        let Some(at) = fan_out.step() else {
            let ended = if open { self.fan_outs.end_open() } else { self.fan_outs.end_close() };
            if let Some((signal, counts)) = ended {
                self.hold(self.journal.last(), now, Held::Effect(Effect::FanOutDone(signal, counts)));
            }
            return Ok(());
        };
        let command = Command::Offer {
            at,
            signal: order.signal,
            superseded: order.superseded,
            source_halted: order.source_halted,
        };
        let (_, result) = self.decide_one(now, clock, &command, Track::FanOut)?;
        if is_news {
            self.expect(self.state.user(at).id);
        }
        let intended = match result {
            Ok(Reply::Intended) => Some(true),
            Ok(Reply::Skipped) => Some(false),
            // Decided before a restart: the user's own record says how.
            Ok(Reply::Ignored) => self.decided_before(at, order.signal.id),
            _ => None,
        };
        if let Some(intended) = intended {
            self.counters.offers += 1;
            self.counters.intents += u64::from(intended);
            self.counters.skipped += u64::from(!intended);
            let fan_out = if open { self.fan_outs.open() } else { self.fan_outs.close() };
            if let Some(fan_out) = fan_out {
                fan_out.counts = fan_out.counts.plus(FanOutCounts {
                    users: 1,
                    intents: u32::from(intended),
                    skipped: u32::from(!intended),
                });
            }
        }
        Ok(())
    }

    pub(super) fn decided_before(&self, at: UserIndex, signal: SignalId) -> Option<bool> {
        let outcome = self.state.user(at).outcome(signal)?;
        Some(!matches!(outcome.kind, OutcomeKind::Skipped(_)))
    }

    pub(super) fn take_reports<C: Clock>(&mut self, now: Moment, clock: &C) -> Result<(), JournalFailed> {
        let mut reports = std::mem::take(&mut self.reports);
        self.gateway.poll(now.wall, TURN_REPORTS, &mut |report| reports.push(report));
        for report in reports.drain(..) {
            self.counters.reports += 1;
            let answered = match &report {
                VenueReport::Accepted { id, .. }
                | VenueReport::Rejected { id, .. }
                | VenueReport::Filled { id, .. }
                | VenueReport::Ended { id, .. } => self.in_flight.remove(id).map(|at| (*id, at)),
                _ => None,
            };
            let sent_at = answered.map_or(Timestamp(0), |(_, at)| at);
            let command = Command::Report { report, sent_at };
            let (_, result) = self.decide_one(now, clock, &command, Track::Report)?;
            match result {
                Ok(Reply::Ignored) => {
                    self.counters.reports_ignored += 1;
                    // A report that told nothing (the second fill before the first) is no answer: the order is asked about.
                    if let Some((id, at)) = answered
                        && matches!(self.order_state(id), Some(OrderState::Pending | OrderState::Unknown))
                    {
                        self.in_flight.insert(id, at);
                    }
                }
                Ok(_) => {}
                Err(refusal) => tracing::error!(?report, %refusal, "a venue's report is about nobody here"),
            }
        }
        self.reports = reports;
        while let Some((account, number, finding)) = self.gateway.take_key_finding() {
            self.internal.push_back(Command::ReportKey { account, number, finding });
        }
        Ok(())
    }

    /// Decides, applies, appends; holds the effects until the record is durable.
    pub(super) fn decide_one<C: Clock>(
        &mut self,
        now: Moment,
        clock: &C,
        command: &Command,
        track: Track,
    ) -> Result<(Lsn, Result<Reply, Refusal>), JournalFailed> {
        let began = clock.monotonic();
        self.counters.commands += 1;
        let mut events = std::mem::take(&mut self.events);
        let cx =
            Context { now: now.wall, rules: &self.rules, market: &self.gateway, calendar: &self.calendar };
        let decided = decide(&self.state, &cx, command, &mut events);
        let (user, reply) = match decided {
            Ok(decided) => decided,
            Err(refusal) => {
                events.clear();
                self.events = events;
                self.counters.refused += 1;
                let lsn = self.journal.last();
                self.tell_decided(now, None, command, &[], Err(refusal), lsn);
                return Ok((lsn, Err(refusal)));
            }
        };
        if matches!(reply, Reply::Signal { repeat: true, .. }) {
            self.counters.signals_repeated += 1;
        }
        if events.is_empty() {
            self.events = events;
            let lsn = self.journal.last();
            self.tell_decided(now, Some(user), command, &[], Ok(reply), lsn);
            return Ok((lsn, Ok(reply)));
        }
        let record = Record { user, at: now.wall, events };
        let at = match self.state.find(user) {
            Some(at) => at,
            None => self.state.put(User::new(user, now.wall)),
        };
        for event in &record.events {
            apply(&mut self.state, at, now.wall, event);
        }
        let lsn = self.journal.append(self.encoder.record(&record))?;
        self.counters.records += 1;
        self.counters.events += record.events.len() as u64;
        let ended = clock.monotonic();
        self.histograms.record(Stage::Decide, track, ended.since(began));
        let appended = Moment { mono: ended, wall: now.wall };
        let mut events = record.events;
        self.tell_decided(now, Some(user), command, &events, Ok(reply), lsn);
        self.follow_up(appended, lsn, user, at, &events);
        events.clear();
        self.events = events;
        Ok((lsn, Ok(reply)))
    }

    fn tell_decided(
        &mut self,
        now: Moment,
        user: Option<UserId>,
        command: &Command,
        events: &[Event],
        outcome: Result<Reply, Refusal>,
        lsn: Lsn,
    ) {
        let state = &self.state;
        self.gateway.decided(Decided { now: now.wall, user, command, events, outcome, lsn, state });
    }
}
