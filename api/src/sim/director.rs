//! The director: starts and restarts the server, lets faults strike while people work, then heals everything and wants to
//! see it settle.
//!
//! **Runs on**: the simulator's thread, one task of the world. **Checks**: a start fails only for a reason that it was given, and
//! says which; a shard stops when its log failed in that life, and only then ([`super::disk_check`]); no position stays without a live stop ([`super::bare`]); after the faults everything settles within a bound of virtual time, and the
//! venues hold then what we say; an orderly stop loses nothing.

use std::ffi::OsStr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use engine::core::ids::{AccountId, SignalId, Timestamp};
use engine::core::user::VenueKind;
use engine::seam::Nanos;
use storage::history::Progress;
use storage::history::sim_database::WriteFault;
use storage::sim_disk::SimRandom;

use super::bare::{Clocks, Regard};
use super::client::Client;
use super::damage::Damage;
use super::disk::{IO_ERROR, SYNC_LATE_MAX};
use super::disk_check;
use super::faults::{Fault, Situation, unreachable};
use super::history;
use super::live_check;
use super::people::{self, Reader};
use super::seams::EPOCH_MICROS;
use super::server;
use super::world::{Stage, World};

/// How often the director looks.
const LOOK: Nanos = Nanos::from_millis(50);
/// How long a start may take after the last disturbance.
const START_MAX: Nanos = Nanos::from_millis(120_000);
/// How long an orderly stop may take after the last disturbance: the server's own patience and a flush.
const STOP_MAX: Nanos = Nanos::from_millis(12_000);
/// One in so many starts is struck while it is under way, which is over in milliseconds or takes a second.
const STRUCK_STARTS_ONE_IN: u64 = 5;
/// Within so many milliseconds of its begin at most, or a half of that, a quarter, and so on.
const START_MS_MAX: u64 = 512;
const START_HALVINGS: u64 = 10;
/// A position without a live stop is being closed after DOMAIN.md's 5 s and what it takes to decide that.
const UNPROTECTED_MAX: Nanos = Nanos::from_millis(7_000);
/// How long it may take until everything is settled: a fan-out's 120 s, an unanswered order's 10 s several times, and the
/// growing pauses between rounds of a close.
const SETTLE_MAX: Nanos = Nanos::from_millis(400_000);
/// What is on its way to the exchange or back when everything is settled here has arrived after this.
const IN_FLIGHT: Nanos = Nanos::from_millis(15_000);
/// How long it may take until the exchange and we say the same: a comparison on connect, and one more.
const AGREE_MAX: Nanos = Nanos::from_millis(60_000);
/// What the end of a process holds up beyond its absence.
const COME_BACK: Nanos = Nanos::from_millis(4_000);

/// What a disk without room says, and what is made of it.
const NO_SPACE: [&str; 2] = ["no storage space", "no space on the disk"];

/// See the module's head.
pub(super) struct Director {
    world: Rc<World>,
    random: SimRandom,
    next_fault: Nanos,
    next_of_exchange: Nanos,
    down_until: Nanos,
    failed_until: Option<Nanos>,
    stage_since: Nanos,
    shards: u16,
    damage: Option<Damage>,
    full_until: Option<Nanos>,
    venue_until: Option<Nanos>,
    database_until: Option<Nanos>,
    /// There was no room on the disk at a moment of this start.
    no_space: bool,
    unprotected: Clocks<(AccountId, SignalId)>,
    healing: bool,
}

impl Director {
    pub(super) fn new(world: &Rc<World>) -> Self {
        Self {
            world: Rc::clone(world),
            random: world.plan.random(77),
            next_fault: Nanos(0),
            next_of_exchange: Nanos(0),
            down_until: Nanos(0),
            failed_until: None,
            stage_since: world.executor.now(),
            shards: world.plan.shards,
            damage: None,
            full_until: None,
            venue_until: None,
            database_until: None,
            no_space: false,
            unprotected: Clocks::new(UNPROTECTED_MAX),
            healing: false,
        }
    }

    fn now(&self) -> Nanos {
        self.world.executor.now()
    }

    fn span(&mut self, from_ms: u64, to_ms: u64) -> Nanos {
        Nanos::from_micros(from_ms * 1_000 + self.random.below((to_ms - from_ms) * 1_000))
    }

    /// The whole run.
    pub(super) async fn direct(mut self) {
        people::start(&self.world);
        let load_until = self.now().plus(self.world.plan.load);
        while self.now() < load_until && !self.world.is_over() {
            let next = self.next_moment();
            self.world.executor.sleep_until(next).await;
            self.look();
            if self.now() >= self.next_fault {
                let mean = self.world.plan.between_faults;
                self.next_fault = self.now().plus(Nanos(self.random.below(2 * mean.0)));
                self.strike(false);
                if self.random.one_in(8)
                    && let Some(life) = self.world.serving()
                {
                    (life.want_snapshot)();
                }
            }
            if self.world.exchange.is_some() && self.now() >= self.next_of_exchange {
                let mean = self.world.plan.between_exchange_faults;
                self.next_of_exchange = self.now().plus(Nanos(self.random.below(2 * mean.0)));
                self.strike(true);
            }
        }
        self.heal();
        let world = Rc::clone(&self.world);
        self.wait("the clients to finish", SETTLE_MAX, || world.clients_left.get() == world.load_done.get())
            .await;
        self.wait("everything to settle", SETTLE_MAX, || {
            world.stage.get() == Stage::Up && world.judge.borrow().flags().is_settled()
        })
        .await;
        self.agree_with_the_paper_venue().await;
        self.agree_with_the_exchange().await;
        world.settled.set(true);
        let marks: Vec<_> = self.history(Progress::durable);
        let world = Rc::clone(&self.world);
        self.wait("the database to get everything", SETTLE_MAX, || {
            let life = world.life.borrow();
            let history = life.as_ref().and_then(|life| life.gauges.history.as_ref());
            history.is_none_or(|history| history::has(&history.shards, &marks))
        })
        .await;
        self.wait("the last pages", SETTLE_MAX, || world.clients_left.get() == 0).await;
        self.receipts().await;
        self.restart_in_order().await;
        // The venues of the last life come to the same.
        self.agree_with_the_paper_venue().await;
        self.agree_with_the_exchange().await;
        let world = Rc::clone(&self.world);
        self.wait("the keys to be sealed anew", SETTLE_MAX, || {
            world.exchange.as_ref().is_none_or(|exchange| exchange.masters.is_rotation_over())
        })
        .await;
        self.world.finished.set(true);
    }

    /// When to look again: in a while, or at the moment of the next fault or start, which may be any.
    fn next_moment(&self) -> Nanos {
        let of_exchange = self.world.exchange.is_some().then_some(self.next_of_exchange);
        let start = (self.world.stage.get() == Stage::Down).then_some(self.down_until);
        let moments = [Some(self.next_fault), of_exchange, start].into_iter().flatten();
        let now = self.now();
        moments.fold(now.plus(LOOK), Nanos::min).max(Nanos(now.0 + 1))
    }

    /// What each shard's paper venue holds is what we say, once what it told late has arrived.
    async fn agree_with_the_paper_venue(&mut self) {
        let world = Rc::clone(&self.world);
        let since = self.now();
        while !world.is_over() {
            let shards = world.judge.borrow().shards();
            world.judge.borrow_mut().books.ask(shards);
            let asked = Rc::clone(&world);
            self.wait("the paper venues", AGREE_MAX, || asked.judge.borrow().books.shards.is_empty()).await;
            let Some(difference) = world.judge.borrow_mut().books.difference.take() else { return };
            if self.now().since(since) > AGREE_MAX {
                let seconds = AGREE_MAX.as_micros() / 1_000_000;
                let what = format!("after {seconds} s the paper venue still differs: {difference}");
                return world.judge.borrow_mut().violate(what);
            }
            self.world.executor.sleep(LOOK).await;
            self.look();
        }
    }

    /// What is on the exchange is what we say, once what was on its way has arrived.
    async fn agree_with_the_exchange(&mut self) {
        let world = Rc::clone(&self.world);
        let Some(exchange) = &world.exchange else { return };
        let since = self.now();
        self.world.executor.sleep(IN_FLIGHT).await;
        while let Some(difference) = live_check::differs(&world, exchange) {
            if world.is_over() {
                return;
            }
            if self.now().since(since.max(exchange.held_until())) > AGREE_MAX {
                let seconds = AGREE_MAX.as_micros() / 1_000_000;
                let what = format!("after {seconds} s the exchange still differs: {difference}");
                return self.world.judge.borrow_mut().violate(what);
            }
            self.world.executor.sleep(LOOK).await;
            self.look();
        }
    }

    /// Something of each shard's history.
    fn history<T>(&self, of: impl Fn(&Progress) -> T) -> Vec<T> {
        let life = self.world.life.borrow();
        let history = life.as_ref().and_then(|life| life.gauges.history.as_ref());
        history.into_iter().flat_map(|history| history.shards.iter().map(|progress| of(progress))).collect()
    }

    /// Everything is healed; the server is brought back, and stays.
    fn heal(&mut self) {
        self.healing = true;
        self.world.disk.controls.heal();
        self.world.disk.inner.set_capacity(u64::MAX);
        self.world.venue.heal();
        if let Some(exchange) = &self.world.exchange {
            exchange.heal(&self.world);
        }
        if let Some(database) = &self.world.database {
            database.set_down(false);
            database.set_stall(None);
        }
        self.database_until = None;
        self.world.resets.set(0);
        self.world.stalled_readers.set(0);
        self.world.resends.set(0);
        self.world.slow_until.set(Nanos(0));
        self.full_until = None;
        self.world.disturb(Nanos(0));
        self.world.load_over.set(true);
        let now = self.now().0;
        self.world.judge.borrow_mut().note(|| format!("{now} HEAL"));
    }

    async fn wait(&mut self, what: &str, limit: Nanos, holds: impl Fn() -> bool) {
        let since = self.now();
        while !holds() && !self.world.is_over() {
            // Nobody may ask an exchange that has shut the address out.
            let held_until = self.world.exchange.as_ref().map_or(Nanos(0), |exchange| exchange.held_until());
            if self.now().since(since.max(held_until)) > limit {
                let flags = self.world.judge.borrow().flags();
                let stage = self.world.stage.get();
                let histories = self.history(Progress::report);
                let what = format!(
                    "waited {} s for {what}: {stage:?}, {flags:?}, {histories:?}",
                    limit.as_micros() / 1_000_000
                );
                self.world.judge.borrow_mut().violate(what);
                return;
            }
            self.world.executor.sleep(LOOK).await;
            self.look();
        }
    }

    /// Moves the server through its stages.
    fn look(&mut self) {
        let now = self.now();
        if self.full_until.is_some_and(|until| now >= until) {
            self.full_until = None;
            self.world.disk.inner.set_capacity(u64::MAX);
        }
        if self.database_until.is_some_and(|until| now >= until)
            && let Some(database) = &self.world.database
        {
            self.database_until = None;
            database.set_down(false);
            database.set_stall(None);
        }
        if self.venue_until.is_some_and(|until| now >= until) {
            self.venue_until = None;
            self.world.venue.late_micros_max.set(0);
            self.world.venue.twice_one_in.set(0);
        }
        disk_check::look(&self.world);
        match self.world.stage.get() {
            Stage::Down if now >= self.down_until => {
                self.no_space = self.full_until.is_some();
                self.set_stage();
                server::begin(&self.world, self.shards);
                if self.random.one_in(STRUCK_STARTS_ONE_IN) {
                    // As likely within the first millisecond as within the last quarter of a second.
                    let within = START_MS_MAX >> self.random.below(START_HALVINGS);
                    self.next_fault = self.next_fault.min(now.plus(self.span(0, within)));
                }
            }
            Stage::Down => {}
            Stage::Starting => self.look_at_start(),
            Stage::Up => self.look_at_service(),
            Stage::Stopping => {
                let ended =
                    self.world.life.borrow().as_ref().is_some_and(|life| life.ended.get() == life.shards);
                if ended {
                    // What a log that has failed or has no room could not take was never acknowledged.
                    let excused = self.world.life.borrow().as_ref().is_none_or(|life| life.is_stuck());
                    if !excused && self.full_until.is_none() {
                        self.world.judge.borrow_mut().expect_nothing_lost();
                    }
                    self.go_down(Crash::Process);
                } else if now.since(self.stage_since.max(self.world.disturbed_until.get())) > STOP_MAX {
                    let what = format!("a stop did not end within {} s", STOP_MAX.as_micros() / 1_000_000);
                    self.world.judge.borrow_mut().violate(what);
                }
            }
        }
        self.look_at_protection();
        if let Some(exchange) = &self.world.exchange {
            live_check::look(&self.world, exchange, self.full_until.is_none());
        }
    }

    fn set_stage(&mut self) {
        self.stage_since = self.now();
    }

    fn look_at_start(&mut self) {
        let failed = self.world.start_failed.borrow().clone();
        if let Some(cause) = failed {
            self.world.judge.borrow_mut().note(|| format!("the start failed: {cause}"));
            if !self.was_given(&cause) {
                self.world.judge.borrow_mut().violate(format!("it does not start: {cause}"));
            }
            self.mend();
            self.go_down(Crash::Process);
        } else if self.now().since(self.stage_since.max(self.world.disturbed_until.get())) > START_MAX {
            let what = format!("a start took more than {} s", START_MAX.as_micros() / 1_000_000);
            self.world.judge.borrow_mut().violate(what);
        }
    }

    /// Whether a start was given this reason to fail: damage that was done and that it names, a write or sync that was made to
    /// fail in it, no room while there was none.
    fn was_given(&self, cause: &str) -> bool {
        let says = |part: Option<&OsStr>| part.is_some_and(|part| cause.contains(&*part.to_string_lossy()));
        let named = self.damage.as_ref().is_some_and(|damage| {
            says(damage.path.file_name()) && says(damage.path.parent().map(Path::as_os_str))
        });
        let failed = !self.world.disk.controls.failures.borrow().is_empty() && cause.contains(IO_ERROR);
        let no_space = self.no_space && NO_SPACE.iter().any(|words| cause.contains(words));
        named || failed || no_space
    }

    fn look_at_service(&mut self) {
        // Whatever was damaged was met or stepped over by the recovery; the judge has seen what came of it.
        self.mend();
        let failed = self.world.life.borrow().as_ref().is_some_and(|life| life.has_failed());
        if !failed {
            self.failed_until = None;
            return;
        }
        let pause = self.span(1, 3_000);
        let until = *self.failed_until.get_or_insert(self.world.executor.now().plus(pause));
        if self.now() >= until {
            // What a failed write or sync left in memory may be gone, or may not.
            let crash = if self.random.one_in(2) { Crash::Power } else { Crash::Process };
            self.go_down(crash);
        }
    }

    fn mend(&mut self) {
        if let Some(damage) = self.damage.take() {
            damage.mend(&self.world.disk.inner);
        }
    }

    /// A position without a live stop is closed in time, whatever the venue does.
    fn look_at_protection(&mut self) {
        let now = self.now();
        let open: Vec<_> = self.world.judge.borrow().flags().unprotected;
        let found: Vec<_> = open
            .into_iter()
            .map(|(account, signal, venue)| {
                let paper = match venue {
                    VenueKind::Paper => self.world.paper_disturbed.get().regard(now),
                    VenueKind::Binance | VenueKind::Bybit => Regard::Judged,
                };
                let full = if self.full_until.is_some() { Regard::Excused } else { Regard::Judged };
                ((account, signal), self.world.regard(account.user).max(paper).max(full))
            })
            .collect();
        let over = self.unprotected.look(now, found);
        self.world.bare.set(self.unprotected.time());
        if let Some(((account, signal), what)) = over {
            let what = format!("position {signal} of {account} has had no live stop {what}");
            self.world.judge.borrow_mut().violate(what);
        }
    }

    fn go_down(&mut self, crash: Crash) {
        server::end(&self.world);
        match crash {
            Crash::Process => self.world.disk.inner.kill_process(),
            Crash::Power => self.world.disk.inner.power_cycle(),
        }
        self.failed_until = None;
        let pause = if self.healing { self.span(1, 10) } else { self.span(1, 1_500) };
        self.down_until = self.now().plus(pause);
        self.world.disturb(pause.plus(COME_BACK));
        self.set_stage();
    }

    /// A fault that can strike now, if the mix has one: of the exchange, or of all else.
    fn strike(&mut self, of_exchange: bool) {
        let (full, mix) = (self.full_until.is_some(), self.world.plan.mix.clone());
        let situations = self.world.situations();
        let may = |fault: Fault| {
            let out_of_place = match situations[0] {
                // What is not there when a start asks for it was taken away before.
                Situation::Down if matches!(fault, Fault::DatabaseDown | Fault::DatabaseAnswer) => false,
                Situation::Down | Situation::Starting | Situation::Stopping => {
                    unreachable(fault, situations[0]).is_some()
                }
                _ => unreachable(fault, Situation::FanOut).is_some(),
            };
            // What a power failure leaves of damaged bytes that were not synced cannot be mended.
            let on_damage = self.damage.is_some() && fault == Fault::PowerLoss;
            let of_database =
                matches!(fault, Fault::DatabaseDown | Fault::DatabaseAnswer | Fault::DatabaseFailOver);
            let no_database = of_database && self.world.database.is_none();
            let other = fault.is_of_exchange() != of_exchange;
            !(out_of_place || no_database || other || on_damage || full && fault == Fault::DiskFull)
        };
        let Some(fault) = mix.pick(&mut self.random, may) else { return };
        let world = Rc::clone(&self.world);
        let now = self.now();
        world.judge.borrow_mut().note(|| format!("{} ARMED {}", now.0, fault.name()));
        match fault {
            Fault::Kill => {
                world.strike(fault);
                self.go_down(Crash::Process);
            }
            Fault::PowerLoss => {
                world.strike(fault);
                self.go_down(Crash::Power);
            }
            Fault::Stop => {
                world.strike(fault);
                if let Some(life) = world.life.borrow().as_ref() {
                    life.stop.store(true, Ordering::Relaxed);
                }
                world.stage.set(Stage::Stopping);
                self.set_stage();
            }
            Fault::Reshard => {
                let others: Vec<u16> = [1, 2, 3, 4].into_iter().filter(|n| *n != self.shards).collect();
                self.shards = others[usize::try_from(self.random.below(3)).expect("small")];
                world.strike(fault);
            }
            Fault::LogBit | Fault::SnapshotBit | Fault::Misdirected => {
                let homes = world.homes.borrow().clone();
                if self.damage.is_none() && !homes.is_empty() {
                    self.damage = Damage::make(fault, &world.disk.inner, &homes, &mut self.random);
                    if let Some(damage) = &self.damage {
                        let (what, path) = (damage.what, damage.path.display().to_string());
                        world.judge.borrow_mut().note(|| format!("{what} in {path}"));
                        world.strike(fault);
                    }
                }
            }
            // These and whatever else is in force until it is felt is counted then.
            Fault::SyncFails => world.disk.controls.sync_fails.set(true),
            Fault::WriteFails => world.disk.controls.write_fails.set(true),
            Fault::SyncLate => {
                let span = self.span(20, SYNC_LATE_MAX.as_micros() / 1_000);
                world.disk.controls.sync_late.set(Some(span));
            }
            Fault::DiskFull => {
                let span = self.span(200, 8_000);
                self.no_space = true;
                self.full_until = Some(now.plus(span));
                world.disk.controls.fill();
                world.disk.inner.set_capacity(world.disk.inner.used_bytes());
                world.disturb(span);
            }
            Fault::DiskStalls => {
                let span = self.span(20, 6_000);
                world.disk.controls.stall(now.plus(span));
                world.disturb(span);
            }
            Fault::Reset => world.resets.set(world.resets.get() + 1),
            Fault::StalledReader => world.stalled_readers.set(world.stalled_readers.get() + 1),
            Fault::Resent => world.resends.set(world.resends.get() + 1),
            Fault::SlowNetwork => {
                let span = self.span(100, 3_000);
                world.slow_until.set(now.plus(span));
                world.slow_unfelt.set(true);
            }
            // The stranger's own.
            Fault::Hostile => {}
            Fault::ClockSet => {
                let shard = usize::try_from(self.random.below(u64::from(self.shards))).expect("small");
                let micros = i64::try_from(self.random.below(6_000_000)).expect("small") - 3_000_000;
                world.strike(fault);
                world.skew(shard, world.skews[shard].get() / 2 + micros);
                world.disturb_shard(shard, Nanos::from_millis(6_000));
            }
            Fault::Starved => {
                let shard = u16::try_from(self.random.below(u64::from(self.shards))).expect("small");
                let span = self.span(5, 3_000);
                world.strike(fault);
                world.executor.starve(shard, span);
                world.disturb_shard(usize::from(shard), span);
            }
            Fault::AnswerLost => world.venue.answers_lost.set(1 + count(&mut self.random)),
            Fault::OrderLost => world.venue.orders_lost.set(1 + count(&mut self.random)),
            Fault::Refused => world.venue.refused.set(1 + count(&mut self.random)),
            Fault::AnswerLate => {
                world.venue.answer_late(1_000 + self.random.below(8_000_000));
                self.venue_until = Some(now.plus(self.span(500, 6_000)));
            }
            Fault::AnswerTwice => {
                world.venue.answer_twice(1 + self.random.below(3));
                self.venue_until = Some(now.plus(self.span(500, 6_000)));
            }
            Fault::DatabaseDown | Fault::DatabaseAnswer | Fault::DatabaseFailOver => {
                self.disturb_database(fault);
            }
            Fault::VenueBusy => {
                let span = self.span(50, 6_000);
                let wall = Timestamp(EPOCH_MICROS + now.plus(span).as_micros());
                world.venue.be_busy(wall);
                world.disturb_paper(span.plus(Nanos::from_millis(8_000)));
            }
            Fault::RequestLost
            | Fault::ReplyLost
            | Fault::ExchangeSlow
            | Fault::ExchangeCut
            | Fault::ExchangeUnknown
            | Fault::ExchangeRefuses
            | Fault::ExchangeLate
            | Fault::ExchangeLimits
            | Fault::StreamLost
            | Fault::StreamTwice
            | Fault::ExchangeClock
            | Fault::ListenKeys
            | Fault::ExchangeBan
            | Fault::TriggerTaken
            | Fault::TriggerStuck
            | Fault::ExchangeSaysNo
            | Fault::ExchangeSkew
            | Fault::EndedForgotten
            | Fault::AddressSpent => {
                if let Some(exchange) = &world.exchange {
                    exchange.disturb(&world, fault, &mut self.random);
                }
            }
        }
    }

    fn disturb_database(&mut self, fault: Fault) {
        let Some(database) = self.world.database.clone() else { return };
        match fault {
            Fault::DatabaseDown => {
                let span = self.span(50, 8_000);
                self.world.database_unfelt.set(true);
                // It answers nothing, or too late; drawn from the same number, so that what else a seed draws stays as it is.
                if span.as_micros().is_multiple_of(3) {
                    let executor = Rc::clone(&self.world.executor);
                    let wait = move || -> Pin<Box<dyn Future<Output = ()>>> {
                        let executor = Rc::clone(&executor);
                        Box::pin(async move { executor.sleep(LOOK).await })
                    };
                    database.set_stall(Some(Rc::new(wait)));
                } else {
                    database.set_down(true);
                }
                self.database_until = Some(self.now().plus(span));
            }
            Fault::DatabaseAnswer if self.random.one_in(2) => database.set_fault(WriteFault::LostAfter),
            Fault::DatabaseAnswer => database.set_fault(WriteFault::LostBefore),
            _ => {
                let missing = usize::try_from(self.random.below(4)).expect("small");
                self.world.strike(fault);
                database.replicate(missing);
                database.fail_over();
            }
        }
    }

    /// The newest receipts, now that nothing moves.
    async fn receipts(&mut self) {
        let accepted = self.world.accepted.borrow().clone();
        let mut client = Client::new(&self.world, 950);
        for (id, secret) in accepted.iter().rev().take(12) {
            if self.world.is_over() {
                return;
            }
            people::check_receipt(&mut client, *id, &Reader::publisher(secret), true).await;
        }
    }

    /// An orderly stop and a start with another number of shards lose nothing.
    async fn restart_in_order(&mut self) {
        if self.world.is_over() {
            return;
        }
        if let Some(life) = self.world.life.borrow().as_ref() {
            life.stop.store(true, Ordering::Relaxed);
        }
        self.world.stage.set(Stage::Stopping);
        self.set_stage();
        self.shards = self.shards % 4 + 1;
        let lives = self.world.lives.get();
        let world = Rc::clone(&self.world);
        self.wait("the last start", START_MAX, || {
            world.lives.get() > lives && world.stage.get() == Stage::Up
        })
        .await;
    }
}

/// How a life ends.
#[derive(Clone, Copy)]
enum Crash {
    /// The process only.
    Process,
    /// The power.
    Power,
}

fn count(random: &mut SimRandom) -> u32 {
    u32::try_from(random.below(3)).expect("small")
}
