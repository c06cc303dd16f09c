//! The loop of a shard: it moves bytes and time around [`engine::shard::worker::Shard`], in a fixed order, at its own pace.
//!
//! **Runs on**: the shard's pinned executor, as its main task; flushes, segment preparation and snapshots are tasks beside
//! it that own what they touch.
//! **Order of a turn**: network, asks from inside, password results, the shard's turn, answers, log. Then it parks until
//! one of them has something, or gives the other tasks a turn when it does not.
//! **Invariants**: one flush at a time; its end is handled before anything else leaves. **Never**: blocks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use engine::core::ids::Timestamp;
use engine::seam::{Clock, Disk, Entropy, Nanos, Runtime, Watch};
use engine::shard::ask::{Answer, Ask};
use engine::shard::limits::JOURNAL_ROOM_MIN;
use engine::shard::ports::{Gateway, Journal, Lsn, Moment};
use engine::shard::runtime::notify::Notify;
use engine::shard::worker::Shard;
use futures_lite::future::or;
use net::tls::TlsMetrics;
use net::wire::Wire;
use ringbuf::doorbell::Doorbell;
use ringbuf::spsc::Consumer;
use storage::history::Progress;
use storage::{Flushed, Log, PrepareError, Prepared};

use super::hashing::HashDone;
use super::journal::LogJournal;
use super::readers::HistoryAnswer;
use super::snapshots::Snapshots;
use super::venues::hosts::AddressBook;
use super::venues::networked::{Networked, Routed};
use crate::reads::{Found, Question, ServerReads};
use crate::web::desk::{Desk, Target};
use crate::web::gauges::{Gauges, Latencies, ShardGauges};

/// Longest park, so that gauges and time-outs are looked at even on an idle server.
const PARK_MAX: Nanos = Nanos::from_millis(250);
/// How often the network's counters are published: scrapes are seconds apart.
const NETWORK_PUBLISH: Nanos = Nanos::from_millis(200);
/// How often the figures of the exchanges are published: people and scrapes look no more often.
const VENUES_PUBLISH: Nanos = Nanos::from_millis(1_000);
/// Messages from inside taken in one turn.
const INSIDE_MAX: usize = 256;
/// How long a stop waits for the answers of requests under way. Clients see the end of their connection after it; the unit
/// waits 30 s before it kills.
const STOP_PATIENCE: Nanos = Nanos::from_millis(5_000);
/// Busy passes after which the executor gets its turn in any case, for its timers (heartbeat, time-outs). A pass takes some
/// milliseconds at most; one that decides something has a flush under way, and gives the turn anyway.
const PASSES_PER_TURN: u32 = 8;
/// How long a full disk is left alone before the next segment is tried again.
const NO_SPACE_RETRY: Nanos = Nanos::from_millis(1_000);

/// How long a shard whose log takes no more waits before it looks again by itself.
const BLOCKED_LOOK: Nanos = Nanos::from_millis(1);

/// What other threads of the process tell a shard.
pub enum Inside {
    /// Please ask this.
    Ask(Target, Box<Ask<Question>>, Sender<Answer<Found>>),
    /// The newest latency figures.
    Latencies(Arc<Latencies>),
    /// Take a snapshot now.
    Snapshot,
    /// Opens are stopped, or go on: the logs that wait for the database fill the disk.
    StopOpens(bool),
    /// What the database said to a question of this key.
    History(u64, Result<Box<HistoryAnswer>, String>),
    /// Where the exchanges are now.
    Addresses(Arc<AddressBook>),
}

/// A shard's ends of the rings to other threads of the process.
pub struct Rings {
    /// From the main and housekeeping threads.
    pub inside: Consumer<Inside>,
    /// From the password workers.
    pub hashed: Consumer<(u64, HashDone)>,
    /// Rung by all of them and by other shards.
    pub bell: Doorbell,
}

/// What tasks hand back to the loop.
struct Returns<D: Disk> {
    /// Tasks under way beside the loop.
    tasks: Cell<u32>,
    flushed: RefCell<Option<Flushed<D::File>>>,
    prepared: RefCell<Option<Prepared<D::File>>>,
    notify: Rc<Notify>,
}

/// The descriptors that wake a parked loop.
struct Watches<W> {
    network: W,
    bell: W,
}

/// What the loop is made of.
pub struct LoopParts<RT, D: Disk, G, W, E, C> {
    /// Tasks.
    pub runtime: RT,
    /// Clocks.
    pub clock: C,
    /// The shard.
    pub shard: Shard<ServerReads, LogJournal<D>, G>,
    /// The network.
    pub wire: W,
    /// The desk.
    pub desk: Desk<E>,
    /// Rings.
    pub rings: Rings,
    /// Snapshots.
    pub snapshots: Snapshots<D>,
    /// Shared figures.
    pub gauges: Arc<Gauges>,
    /// Set when the server is to end.
    pub stop: Arc<AtomicBool>,
    /// Spin for so long before parking.
    pub spin: Nanos,
    /// How many ticks the market has played.
    pub market_ticks: fn(&G) -> u64,
    /// What TLS counted.
    pub tls_metrics: fn(&W) -> TlsMetrics,
}

/// Runs until told to stop; then flushes what was decided, and ends.
///
/// # Errors
/// What ended it otherwise: the network ring failed.
pub async fn run<RT, D, G, W, E, C>(parts: LoopParts<RT, D, G, W, E, C>) -> std::io::Result<()>
where
    RT: Runtime,
    D: Disk,
    G: Gateway + Networked<W>,
    W: Wire,
    E: Entropy,
    C: Clock,
{
    let LoopParts { runtime, clock, mut shard, mut wire, mut desk, mut rings, mut snapshots, .. } = parts;
    let (gauges, stop, spin, market_ticks) = (parts.gauges, parts.stop, parts.spin, parts.market_ticks);
    let tls_metrics = parts.tls_metrics;
    let mut network_published_at: Option<Nanos> = None;
    let mut venues_published_at: Option<Nanos> = None;
    let mine = &gauges.shards[shard.id().place()];
    let history = gauges.history_of(shard.id().place());
    if let Some(history) = &history {
        // What was there at the start.
        history.set_durable(shard.journal().log.durable());
    }
    let returns: Rc<Returns<D>> = Rc::new(Returns {
        tasks: Cell::new(0),
        flushed: RefCell::new(None),
        prepared: RefCell::new(None),
        notify: Rc::new(Notify::default()),
    });
    let mut space_retry_at = Nanos::default();
    let mut idle_since: Option<Nanos> = None;
    let mut stopped_at: Option<Nanos> = None;
    let mut passes = 0;
    let mut spin_pays = true;
    let mut watches =
        Watches { network: runtime.watch(wire.descriptor()), bell: runtime.watch(rings.bell.fd()) };
    mine.running.store(true, Ordering::Relaxed);
    loop {
        let now = moment(&clock);
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && stopped_at.is_none() {
            stopped_at = Some(now.mono);
            wire.stop_accepting();
            desk.drain(&mut wire);
        }
        desk.set_time(now);
        let network = wire.poll(now.mono.0, &mut Routed::<_, _, W>::new(&mut desk, shard.gateway_mut()))?;
        let inside = take_inside(&mut rings, &mut shard, &mut desk, &mut wire, &mut snapshots);
        for out in desk.outgoing().drain(..) {
            match out.target {
                Target::Owner => shard.ask(now, out.ask, out.reply),
                Target::Shard(to) => shard.ask_shard(now, to, out.ask, out.reply),
            }
        }
        let more = shard.turn(now, &clock);
        take_flushed(&mut shard, &returns, &clock, mine, history.as_deref());
        take_prepared(&mut shard, &returns, now, &mut space_retry_at, mine);
        let mut answers = std::mem::take(shard.answers());
        for (reply, answer) in answers.drain(..) {
            desk.answer(reply, answer, &mut wire);
        }
        *shard.answers() = answers;
        let live = shard.gateway_mut().tick(now, &mut wire);
        desk.tick(&mut wire);
        start_flush(&mut shard, &runtime, &returns);
        if now.mono >= space_retry_at {
            start_preparation(&mut shard, &runtime, &returns);
        }
        let snapshotting = snapshots.step(&mut shard, &runtime, &returns.notify, now, mine);
        publish(mine, &shard, &wire, &desk, market_ticks);
        if network_published_at.is_none_or(|at| now.mono.since(at) > NETWORK_PUBLISH) {
            network_published_at = Some(now.mono);
            mine.network.publish(&wire.metrics(), &desk.connection_metrics(), &tls_metrics(&wire));
        }
        if venues_published_at.is_none_or(|at| now.mono.since(at) > VENUES_PUBLISH) {
            venues_published_at = Some(now.mono);
            shard.gateway_mut().publish(now.wall, &mine.venues);
        }
        if let Some(since) = stopped_at
            && nothing_to_flush(&shard.journal().log, mine)
            && (desk.connections() == 0 || now.mono.since(since) > STOP_PATIENCE)
        {
            break;
        }
        let busy = more
            || live
            || network > 0
            || inside > 0
            || snapshotting
            || wire.has_work()
            || !desk.outgoing().is_empty()
            || returns.flushed.borrow().is_some();
        if busy {
            idle_since = None;
            passes += 1;
            // Giving the executor its turn costs 6.8 µs: every time while a task can go on, now and then for its timers.
            if returns.tasks.get() > 0 || snapshots.is_working() || snapshotting || passes >= PASSES_PER_TURN
            {
                passes = 0;
                runtime.turn().await;
            }
            continue;
        }
        passes = 0;
        if spin_pays && spin > Nanos::default() && now.mono.since(*idle_since.get_or_insert(now.mono)) < spin
        {
            std::hint::spin_loop();
            runtime.turn().await;
            continue;
        }
        let parked_at = clock.monotonic();
        park(&runtime, &mut watches, &mut shard, &mut wire, &desk, &mut rings, &returns, now).await;
        // Spinning would have met what ended a short wait, and only burns the CPU before a long one.
        spin_pays = clock.monotonic().since(parked_at) <= spin;
        idle_since = None;
    }
    mine.running.store(false, Ordering::Relaxed);
    let log = &shard.journal().log;
    let (shard, lsn, given_up) = (shard.id().0, log.durable().0, log.pending_bytes());
    if let Some(failure) = log.failure() {
        tracing::warn!(shard, lsn, %failure, "shard stopped; what was not durable when its log failed was never acknowledged");
    } else if given_up == 0 {
        tracing::info!(shard, lsn, "shard stopped; its log is flushed");
    } else {
        tracing::warn!(
            shard,
            lsn,
            given_up,
            "shard stopped; what its log could not take was never acknowledged"
        );
    }
    Ok(())
}

/// Whether a stop has nothing to wait for: all is flushed, or it cannot be, because the log has failed or the disk is full.
fn nothing_to_flush<D: Disk>(log: &Log<D>, gauges: &ShardGauges) -> bool {
    let cannot = log.failure().is_some() || (log.is_stalled() && gauges.no_space.load(Ordering::Relaxed));
    !log.is_flushing() && (log.pending_bytes() == 0 || cannot)
}

/// Both clocks, read now.
pub(super) fn moment(clock: &impl Clock) -> Moment {
    Moment { mono: clock.monotonic(), wall: Timestamp(clock.wall_micros()) }
}

fn take_inside<D: Disk, G: Gateway + Networked<W>, E: Entropy, W: Wire>(
    rings: &mut Rings,
    shard: &mut Shard<ServerReads, LogJournal<D>, G>,
    desk: &mut Desk<E>,
    wire: &mut W,
    snapshots: &mut Snapshots<D>,
) -> usize {
    let mut taken = 0;
    while taken < INSIDE_MAX
        && let Some(message) = rings.inside.pop()
    {
        taken += 1;
        match message {
            Inside::Ask(target, ask, answer) => desk.ask_inside(target, *ask, answer),
            Inside::Latencies(latencies) => desk.set_latencies(latencies),
            Inside::Snapshot => snapshots.want(),
            Inside::StopOpens(stop) => shard.stop_opens(stop),
            Inside::History(key, read) => desk.history_read(key, read, wire),
            Inside::Addresses(book) => shard.gateway_mut().readdress(&book),
        }
    }
    while taken < INSIDE_MAX
        && let Some((key, done)) = rings.hashed.pop()
    {
        taken += 1;
        desk.hashed(done, key, wire);
    }
    taken
}

fn take_flushed<D: Disk, G: Gateway>(
    shard: &mut Shard<ServerReads, LogJournal<D>, G>,
    returns: &Returns<D>,
    clock: &impl Clock,
    gauges: &ShardGauges,
    history: Option<&Progress>,
) {
    let Some(flushed) = returns.flushed.borrow_mut().take() else { return };
    match shard.journal_mut().log.committed(flushed) {
        Ok(lsn) => {
            if let Some(history) = history {
                // Before answers leave, and they leave for other shards from within: their position must cover what they say.
                history.set_durable(lsn);
            }
            shard.durable(moment(clock), Lsn(lsn.0));
        }
        Err(failure) => {
            gauges.failed.store(true, Ordering::Relaxed);
            shard.journal_failed(&failure.to_string());
        }
    }
}

fn start_flush<RT: Runtime, D: Disk, G: Gateway>(
    shard: &mut Shard<ServerReads, LogJournal<D>, G>,
    runtime: &RT,
    returns: &Rc<Returns<D>>,
) {
    match shard.journal_mut().log.take_batch() {
        Ok(Some(batch)) => {
            let returns = Rc::clone(returns);
            returns.tasks.update(|tasks| tasks + 1);
            drop(runtime.spawn("flush", async move {
                let flushed = batch.write().await;
                returns.tasks.update(|tasks| tasks - 1);
                *returns.flushed.borrow_mut() = Some(flushed);
                returns.notify.notify();
            }));
        }
        Ok(None) => {}
        Err(failure) => shard.journal_failed(&failure.to_string()),
    }
}

fn start_preparation<RT: Runtime, D: Disk, G: Gateway>(
    shard: &mut Shard<ServerReads, LogJournal<D>, G>,
    runtime: &RT,
    returns: &Rc<Returns<D>>,
) {
    if let Some(preparation) = shard.journal_mut().log.take_preparation() {
        let returns = Rc::clone(returns);
        returns.tasks.update(|tasks| tasks + 1);
        drop(runtime.spawn("segment", async move {
            let prepared = preparation.run().await;
            returns.tasks.update(|tasks| tasks - 1);
            *returns.prepared.borrow_mut() = Some(prepared);
            returns.notify.notify();
        }));
    }
}

fn take_prepared<D: Disk, G: Gateway>(
    shard: &mut Shard<ServerReads, LogJournal<D>, G>,
    returns: &Returns<D>,
    now: Moment,
    space_retry_at: &mut Nanos,
    gauges: &ShardGauges,
) {
    let Some(prepared) = returns.prepared.borrow_mut().take() else { return };
    match shard.journal_mut().log.prepared(prepared) {
        Ok(()) => gauges.no_space.store(false, Ordering::Relaxed),
        Err(PrepareError::NoSpace { path, needed }) => {
            gauges.no_space.store(true, Ordering::Relaxed);
            *space_retry_at = now.mono.plus(NO_SPACE_RETRY);
            let path = path.display();
            tracing::error!(%path, needed, "the disk is full: make room; the log goes on as far as its segment reaches");
        }
        Err(PrepareError::Failed(failure)) => {
            gauges.failed.store(true, Ordering::Relaxed);
            shard.journal_failed(&failure.to_string());
        }
    }
}

fn publish<D: Disk, G: Gateway, E: Entropy>(
    gauges: &ShardGauges,
    shard: &Shard<ServerReads, LogJournal<D>, G>,
    wire: &impl Wire,
    desk: &Desk<E>,
    market_ticks: fn(&G) -> u64,
) {
    let stats = shard.journal().log.stats();
    gauges.log_bytes.store(stats.bytes, Ordering::Relaxed);
    gauges.log_flushes.store(stats.flushes, Ordering::Relaxed);
    gauges.log_records.store(stats.records, Ordering::Relaxed);
    gauges.log_stalls.store(stats.stalls, Ordering::Relaxed);
    gauges.connections.store(wire.connections() as u64, Ordering::Relaxed);
    gauges.requests.store(desk.requests(), Ordering::Relaxed);
    gauges.market_ticks.store(market_ticks(shard.gateway()), Ordering::Relaxed);
    gauges.closes_refused_long.store(shard.counters().closes_refused_long, Ordering::Relaxed);
}

/// Waits until the network, the bell, a task or a timer has something. Announces first and looks again, so that no bell
/// is missed.
#[expect(clippy::too_many_arguments, reason = "all that can end the wait")]
async fn park<RT: Runtime, D: Disk, G: Gateway + Networked<W>, E: Entropy, W: Wire>(
    runtime: &RT,
    watches: &mut Watches<RT::Watch>,
    shard: &mut Shard<ServerReads, LogJournal<D>, G>,
    wire: &mut W,
    desk: &Desk<E>,
    rings: &mut Rings,
    returns: &Returns<D>,
    now: Moment,
) {
    rings.bell.announce();
    if shard.has_work() || !rings.inside.is_empty() || !rings.hashed.is_empty() || wire.has_work() {
        rings.bell.cancel();
        return;
    }
    let mut span = PARK_MAX;
    if let Some(due) = shard.next_due(now.wall) {
        span = span.min(Nanos::from_micros(due.micros_since(now.wall)));
    }
    let gateway = shard.gateway().next_deadline_ns();
    for due in wire.next_deadline_ns().into_iter().chain(desk.next_deadline_ns()).chain(gateway) {
        span = span.min(Nanos(due).since(now.mono));
    }
    if shard.failure().is_some() || shard.journal().room_bytes() < JOURNAL_ROOM_MIN {
        // What is due cannot be done now; the end of a flush, or whatever arrives, ends the wait before.
        span = span.max(BLOCKED_LOOK);
    }
    if span > Nanos::default() {
        shard.counters_mut().parks += 1;
        let descriptors = or(watches.network.ready(), watches.bell.ready());
        or(or(returns.notify.wait(), descriptors), runtime.sleep(span)).await;
    } else {
        // Something has become due meanwhile.
        runtime.turn().await;
    }
    rings.bell.cancel();
    rings.bell.drain();
}
