//! The world of a run: the server's current life, the disk it lives on, and what everybody shares.
//!
//! **Runs on**: the simulator's thread. **Invariants**: at most one life serves at a time; the disk outlives them all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::core::ids::{SignalId, UserId};
use engine::core::user::User;
use engine::seam::Nanos;
use engine::shard::ports::owner;

use super::bare::{BareTime, Regard};
use super::disk::{FaultyDisk, Kind};
use super::exchange::Exchange;
use super::executor::Executor;
use super::faults::{Fault, Situation, Strikes};
use super::judge::{Asked, Calendar, Judge, Session};
use super::judged::Judged;
use super::people::Published;
use super::plan::Plan;
use super::seams::{EPOCH_MICROS, Line};
use super::unavailable::Unavailable;
use super::venue;
use crate::web::gauges::Gauges;
use storage::ShardHome;
use storage::history::sim_database::SimDatabase;

/// How far the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No process runs.
    Down,
    /// It recovers.
    Starting,
    /// It serves.
    Up,
    /// It was told to stop.
    Stopping,
}

/// Shards that a run may have at most.
pub(super) const SHARDS_MAX: usize = 4;
/// After a disturbance, what it held up gets this long.
const CATCH_UP: Nanos = Nanos::from_millis(4_000);
/// A process that has just begun gets this long until it has its streams, and has compared what is held.
const FIND_OUT: Nanos = Nanos::from_millis(4_000);

/// Until when something keeps from working, and until when that is made up for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disturbed {
    pub(super) outage: Nanos,
    pub(super) until: Nanos,
}

impl Disturbed {
    /// From `now` on for a span, and what it held up for another.
    pub(super) fn extend(&mut self, now: Nanos, span: Nanos, catch_up: Nanos) {
        self.outage = self.outage.max(now.plus(span));
        self.until = self.until.max(now.plus(span).plus(catch_up));
    }

    /// What a moment counts for.
    pub(super) fn regard(self, now: Nanos) -> Regard {
        match () {
            () if now < self.outage => Regard::Excused,
            () if now < self.until => Regard::Capped,
            () => Regard::Judged,
        }
    }
}

/// One life of the server, as the world sees it.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) number: u32,
    pub(super) shards: u16,
    /// Clients' ends of each shard's network.
    pub(super) lines: Vec<Line>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) stop: Arc<AtomicBool>,
    /// Shards whose loop has ended.
    pub(super) ended: Rc<Cell<u16>>,
    /// Has every shard take a snapshot.
    pub(super) want_snapshot: Rc<dyn Fn()>,
}

/// See the module's head.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) executor: Rc<Executor>,
    pub(super) judge: Rc<RefCell<Judge>>,
    pub(super) disk: FaultyDisk,
    pub(super) venue: Rc<venue::Controls>,
    /// The exchange, where the seed has accounts on one.
    pub(super) exchange: Option<Rc<Exchange>>,
    /// The database that history is written to, where the seed has one.
    pub(super) database: Option<SimDatabase>,
    pub(super) strikes: Strikes,
    pub(super) stage: Cell<Stage>,
    pub(super) life: RefCell<Option<Life>>,
    pub(super) lives: Cell<u32>,
    /// The calendar errors of the shards, by shard; they outlive lives.
    pub(super) skews: Vec<Rc<Cell<i64>>>,
    /// How far the calendars are ahead at least and at most, from which moment on.
    pub(super) skewed: RefCell<Vec<(Nanos, i64, i64)>>,
    /// Users that the shards of the starting life have found so far.
    pub(super) found: RefCell<Vec<User>>,
    /// Why the last start failed, if it did.
    pub(super) start_failed: RefCell<Option<String>>,
    /// Clients finish what they are at and stop.
    pub(super) load_over: Cell<bool>,
    pub(super) clients_left: Cell<u32>,
    /// What keeps each shard from working.
    pub(super) disturbed: RefCell<[Disturbed; SHARDS_MAX]>,
    /// What keeps the paper venue from working.
    pub(super) paper_disturbed: Cell<Disturbed>,
    /// Nobody is disturbed any more from here on.
    pub(super) disturbed_until: Cell<Nanos>,
    /// Answers that were held against the model.
    pub(super) compared: Cell<u64>,
    /// What else was held against the product.
    pub(super) judged: Cell<Judged>,
    /// Since when the life that serves does.
    pub(super) up_since: Cell<Nanos>,
    /// When the last life ended.
    pub(super) ended_at: Cell<Option<Nanos>>,
    /// What clients are to suffer: the next so many requests.
    pub(super) resets: Cell<u32>,
    pub(super) stalled_readers: Cell<u32>,
    pub(super) resends: Cell<u32>,
    pub(super) slow_until: Cell<Nanos>,
    /// No client has been slow for that yet.
    pub(super) slow_unfelt: Cell<bool>,
    /// The database is away, and nobody has noticed yet.
    pub(super) database_unfelt: Cell<bool>,
    /// What publishers have published so far.
    pub(super) sources: RefCell<Vec<Published>>,
    /// Signals that were accepted, with the secret that reads their receipts.
    pub(super) accepted: RefCell<Vec<(SignalId, String)>>,
    /// When the server could not answer.
    pub(super) unavailable: Unavailable,
    /// What signals were recognised by, with the tag of the one that was first.
    pub(super) signal_keys: RefCell<BTreeMap<[u8; 16], String>>,
    /// The homes of the last start's shards.
    pub(super) homes: RefCell<Vec<ShardHome>>,
    /// People who are done with the load and wait for the end.
    pub(super) load_done: Cell<u32>,
    /// Nothing moves any more.
    pub(super) settled: Cell<bool>,
    /// Position-time without a live stop, as the server sees it.
    pub(super) bare: Cell<BareTime>,
    /// The run has ended in order.
    pub(super) finished: Cell<bool>,
}

impl World {
    /// Whether the world is at an end because something was found.
    pub(super) fn is_over(&self) -> bool {
        self.judge.borrow().violation().is_some()
    }

    /// The life that serves, if one does.
    pub(super) fn serving(&self) -> Option<Life> {
        if matches!(self.stage.get(), Stage::Up | Stage::Stopping) {
            self.life.borrow().clone()
        } else {
            None
        }
    }

    /// Counts a fault in all situations that hold now.
    pub(super) fn strike(&self, fault: Fault) {
        let situations = self.situations();
        self.judge.borrow_mut().note(|| {
            let names: Vec<&str> = situations.iter().map(|situation| situation.name()).collect();
            format!("{} FAULT {} in {}", self.executor.now().0, fault.name(), names.join(","))
        });
        self.strikes.0.borrow_mut().strike(fault, &situations);
    }

    /// Everything that holds now.
    pub(super) fn situations(&self) -> Vec<Situation> {
        let mut holds = Vec::new();
        match self.stage.get() {
            Stage::Down => return vec![Situation::Down],
            Stage::Starting => return vec![Situation::Starting],
            Stage::Stopping => holds.push(Situation::Stopping),
            Stage::Up => {}
        }
        let controls = &self.disk.controls;
        let flags = self.judge.borrow().flags();
        let failed = self.life.borrow().as_ref().is_some_and(|life| life.has_failed());
        let all = [
            (controls.is_under_way(Kind::Log), Situation::Flushing),
            (controls.is_under_way(Kind::Segment), Situation::Segment),
            (controls.is_under_way(Kind::Snapshot), Situation::Snapshot),
            (flags.working > 0, Situation::FanOut),
            (flags.pending > 0, Situation::OrderOpen),
            (flags.unknown > 0, Situation::OrderUnknown),
            (!flags.unprotected.is_empty(), Situation::Unprotected),
            (flags.closing > 0, Situation::Closing),
            (failed, Situation::Failed),
        ];
        holds.extend(all.into_iter().filter(|(held, _)| *held).map(|(_, situation)| situation));
        if holds.is_empty() {
            holds.push(Situation::Quiet);
        }
        holds
    }

    /// How many sources of this publisher are known.
    pub(super) fn sources_of(&self, user: UserId) -> usize {
        self.sources.borrow().iter().filter(|source| source.id.owner == user).count()
    }

    /// One of this publisher's sources, by a random number.
    pub(super) fn source_of(&self, user: UserId, draw: u64) -> Option<Published> {
        let sources = self.sources.borrow();
        let mine: Vec<_> = sources.iter().filter(|source| source.id.owner == user).collect();
        let at = usize::try_from(draw % mine.len().max(1) as u64).expect("below a length");
        mine.get(at).map(|source| (*source).clone())
    }

    /// One of all sources, by a random number.
    pub(super) fn any_source(&self, draw: u64) -> Option<Published> {
        let sources = self.sources.borrow();
        let at = usize::try_from(draw % sources.len().max(1) as u64).expect("below a length");
        sources.get(at).cloned()
    }

    /// True calendar time, in whole seconds.
    pub(super) fn true_seconds(&self) -> u64 {
        (EPOCH_MICROS + self.executor.now().as_micros()) / 1_000_000
    }

    /// Sets a shard's calendar so far ahead of true time, in microseconds.
    pub(super) fn skew(&self, shard: usize, micros: i64) {
        self.skews[shard].set(micros);
        let all = || self.skews.iter().map(|skew| skew.get());
        let (least, most) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
        self.skewed.borrow_mut().push((self.executor.now(), least, most));
    }

    /// Between which times the calendars of all shards have been since `from`.
    pub(super) fn calendar_since(&self, from: Nanos) -> Calendar {
        let skewed = self.skewed.borrow();
        // What held at that moment, and all since; before the first of them all calendars were right.
        let before = skewed.partition_point(|(at, ..)| *at <= from);
        let right = (before == 0).then_some((0, 0));
        let since = skewed.iter().skip(before.saturating_sub(1)).map(|(_, least, most)| (*least, *most));
        let (least, most) = right
            .into_iter()
            .chain(since)
            .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
            .unwrap_or_default();
        let drifted = |at: Nanos| at.as_micros() * self.drift_ppm_max() / 1_000_000 + 1;
        let now = self.executor.now();
        Calendar {
            earliest: (EPOCH_MICROS + from.as_micros()).saturating_add_signed(least) - drifted(from),
            latest: (EPOCH_MICROS + now.as_micros()).saturating_add_signed(most) + drifted(now),
        }
    }

    /// How much too fast or too slow a shard's calendar goes at most, in parts per million: ten times what real clocks do.
    pub(super) fn drift_ppm_max(&self) -> u64 {
        if self.plan.mix.has(Fault::ClockSet) { 1_000 } else { 0 }
    }

    /// An answer is held against the model.
    pub(super) fn compared(&self) {
        self.compared.set(self.compared.get() + 1);
    }

    /// Counts what was judged.
    pub(super) fn count(&self, count: impl FnOnce(&mut Judged)) {
        let mut judged = self.judged.get();
        count(&mut judged);
        self.judged.set(judged);
    }

    /// A request leaves.
    pub(super) fn sends(&self, session: Option<Session>) -> Asked {
        self.judge.borrow_mut().sent(self.executor.now(), session)
    }

    /// Nothing works for this long.
    pub(super) fn disturb(&self, span: Nanos) {
        for shard in 0..SHARDS_MAX {
            self.disturb_shard(shard, span);
        }
    }

    /// A shard does not work, or not in time, for this long.
    pub(super) fn disturb_shard(&self, shard: usize, span: Nanos) {
        let mut disturbed = self.disturbed.borrow_mut();
        disturbed[shard].extend(self.executor.now(), span, CATCH_UP);
        self.disturbed_until.set(self.disturbed_until.get().max(disturbed[shard].until));
    }

    /// The paper venue takes nothing for this long.
    pub(super) fn disturb_paper(&self, span: Nanos) {
        let mut disturbed = self.paper_disturbed.get();
        disturbed.extend(self.executor.now(), span, CATCH_UP);
        self.paper_disturbed.set(disturbed);
        self.disturbed_until.set(self.disturbed_until.get().max(disturbed.until));
    }

    /// What this moment counts for where a user's position has no stop, as far as the server and its machine go.
    pub(super) fn regard(&self, user: UserId) -> Regard {
        let now = self.executor.now();
        let life = self.life.borrow();
        if planted::planted!("judge_excuses_every_position") {
            return Regard::Excused;
        }
        let Some(life) = life.as_ref().filter(|_| self.stage.get() == Stage::Up) else {
            return Regard::Excused;
        };
        let shard = usize::from(owner(user, life.shards).0);
        if life.has_failed_at(shard) {
            return Regard::Excused;
        }
        let mut begins = Disturbed::default();
        begins.extend(self.up_since.get(), FIND_OUT, CATCH_UP);
        self.disturbed.borrow()[shard].regard(now).max(begins.regard(now))
    }
}

impl Life {
    /// Whether the log of a shard has failed, or has found no room when it looked last.
    pub(super) fn is_stuck(&self) -> bool {
        let stuck = |flag: &AtomicBool| flag.load(std::sync::atomic::Ordering::Relaxed);
        self.gauges.shards.iter().any(|shard| stuck(&shard.failed) || stuck(&shard.no_space))
    }

    /// Whether the log of this shard has failed.
    pub(super) fn has_failed_at(&self, shard: usize) -> bool {
        let gauges = self.gauges.shards.get(shard);
        gauges.is_some_and(|gauges| gauges.failed.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Whether the log of a shard has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.gauges.shards.iter().any(|shard| shard.failed.load(std::sync::atomic::Ordering::Relaxed))
    }
}
