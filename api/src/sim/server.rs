//! A life of the server: start, recovery, serving, to the end; the same steps as [`crate::server::boot`], on the simulated
//! seams.
//!
//! **Runs on**: the simulator's thread, as tasks of that life. **Invariants**: nothing serves before every shard is back and the
//! judge has seen what they recovered.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Receiver;
use engine::core::fixed::{Money, Rounding};
use engine::core::ids::Timestamp;
use engine::seam::{Clock, Nanos};
use engine::shard::limits::MESH_CAPACITY;
use engine::shard::ports::{Moment, ShardId};
use exchange::market::{GeneratedSymbol, Generator, Market, Pace, RealTime, Speed};
use exchange::paper::{PaperLimits, PaperSettings, PaperVenue, listings};
use net::tls::{ServerSide, TlsWire, inner_config};
use net::wire::WireConfig;
use net::wire::memory::{Pieces, network};
use ringbuf::doorbell::doorbell;
use ringbuf::mesh::mesh;
use ringbuf::spsc::ring;
use storage::Salt;

use super::disk_check;
use super::executor::Owner;
use super::faults::Fault;
use super::gateway::WatchedGateway;
use super::history;
use super::masters;
use super::seams::{Line, SimClock, SimEntropy, SimRuntime, SimWire};
use super::venue::FaultyVenue;
use super::world::{Life, Stage, World};
use crate::server::assembly::{Assembly, assemble, open_directory};
use crate::server::hashing::{self, HASH_QUEUE_MAX, HashDone, HashJob, HashReturn, HashWork};
use crate::server::inside::{INSIDE_RING, Lines};
use crate::server::recovery::recover_shard;
use crate::server::shard_loop::{Inside, Rings, run};
use crate::server::venues::{LiveSetup, Venues};
use crate::web::gauges::Gauges;

/// Where the data directory is on the simulated disk.
pub(super) const DATA: &str = "/data";
/// One price of each symbol per second.
const MARKET_STEP_MICROS: u64 = 1_000_000;
/// How long hashing a password takes.
const HASH_SPAN: Nanos = Nanos::from_millis(21);

/// Begins a life with so many shards. It serves once [`World::stage`] says so; a start that fails says why in
/// [`World::start_failed`].
pub(super) fn begin(world: &Rc<World>, shards: u16) {
    let number = world.lives.get() + 1;
    world.lives.set(number);
    world.stage.set(Stage::Starting);
    world.found.borrow_mut().clear();
    *world.start_failed.borrow_mut() = None;
    world.disk.controls.failures.borrow_mut().clear();
    let started = Rc::clone(world);
    world.executor.spawn(Owner::Life(number, 0), async move {
        if let Err(cause) = start(&started, number, shards).await {
            *started.start_failed.borrow_mut() = Some(cause);
        }
    });
}

/// The process is gone, wherever it was.
pub(super) fn end(world: &World) {
    if world.stage.get() != Stage::Down {
        world.ended_at.set(Some(world.executor.now()));
    }
    if world.life.borrow().as_ref().is_some_and(|life| life.has_failed()) {
        world.unavailable.failed(world.executor.now());
    }
    world.executor.kill(world.lives.get());
    world.stage.set(Stage::Down);
    *world.life.borrow_mut() = None;
}

fn clock(world: &World, shard: u16) -> SimClock {
    let skew_micros = Rc::clone(&world.skews[usize::from(shard)]);
    // An oscillator is the host's: the same in each life.
    let range = world.drift_ppm_max();
    let drawn = world.plan.random(2_000 + u64::from(shard)).below(2 * range + 1);
    let drift_ppm = i64::try_from(drawn).unwrap_or(0) - i64::try_from(range).unwrap_or(0);
    SimClock { executor: Rc::clone(&world.executor), skew_micros, drift_ppm }
}

async fn start(world: &Rc<World>, life: u32, shards: u16) -> Result<(), String> {
    let disk = world.disk.clone();
    let mut random = world.plan.random(1_000 + u64::from(life));
    let salt = || Salt(random.next_u64());
    let shards = history::shards_to_start(world, shards).await?;
    let homes = open_directory(&disk, Path::new(DATA), shards, salt).await?;
    world.homes.borrow_mut().clone_from(&homes);
    let history_homes = homes.clone();
    let mut bells = Vec::new();
    let mut ringers = Vec::new();
    for _ in 0..shards {
        let (bell, ringer) = doorbell().map_err(|error| error.to_string())?;
        bells.push(bell);
        ringers.push(ringer);
    }
    let gauges = Arc::new(match world.database {
        Some(_) => Gauges::with_history(usize::from(shards), homes[0].identity().generation),
        None => Gauges::new(usize::from(shards)),
    });
    let stop = Arc::new(AtomicBool::new(false));
    let (hash_sender, hash_jobs) = hashing::queue();
    let (mut lines, mut returns, mut inside_senders) = (Vec::new(), Vec::new(), Vec::new());
    let ended = Rc::new(Cell::new(0));
    let outgoing = world.exchange.as_ref().map_or_else(Rc::default, |exchange| Rc::clone(&exchange.news));
    let mut starting = Vec::new();
    let ports = mesh(usize::from(shards), MESH_CAPACITY);
    for (((home, port), bell), id) in homes.into_iter().zip(ports).zip(bells).zip(0_u16..) {
        let place = usize::from(id);
        let (inside_sender, inside) = ring(INSIDE_RING);
        let (hashed_sender, hashed) = ring(HASH_QUEUE_MAX);
        inside_senders.push((inside_sender, ringers[place].clone()));
        returns.push(HashReturn { results: hashed_sender, bell: ringers[place].clone() });
        let pieces = if world.plan.mix.has(Fault::SlowNetwork) {
            Pieces::Seeded { seed: world.plan.seed ^ u64::from(id), max: 700 }
        } else {
            Pieces::Whole
        };
        let (wire, network) = network(inner_config(WireConfig::default()), pieces);
        let ready = Rc::new(Cell::new(false));
        lines.push(Line { network, ready: Rc::clone(&ready) });
        let back = recover_shard(&disk, &home).await.map_err(|error| format!("shard {id}: {error}"))?;
        world.found.borrow_mut().extend(back.state.users().iter().cloned());
        let wakers = ringers.iter().enumerate().map(|(n, r)| (n != place).then(|| r.clone())).collect();
        let rings = Rings { inside, hashed, bell };
        starting.push((
            id,
            home,
            port,
            wakers,
            rings,
            SimWire { inner: wire, ready: Rc::clone(&ready), outgoing: Rc::clone(&outgoing), dials: false },
            ready,
            back,
        ));
    }
    world.judge.borrow_mut().recovered(life, shards, &world.found.borrow());
    let mut sealing = entropy(world, life, 5_000_000, 0);
    let resealed = masters::look_at_start(world, life, &world.found.borrow(), &mut sealing);
    let live = world.exchange.as_ref().map(|exchange| exchange.set_up(world, shards));
    let started = Moment { mono: world.executor.now(), wall: Timestamp(clock(world, 0).wall_micros()) };
    let mut parts = Vec::new();
    for (id, home, port, ringers, rings, wire, ready, back) in starting {
        let runtime =
            SimRuntime { executor: Rc::clone(&world.executor), owner: Owner::Life(life, id), network: ready };
        let venue = FaultyVenue::new(paper_venue(world, started.wall)?, &world.venue);
        let live =
            live.clone().map(|setup| LiveSetup { entropy: entropy(world, life, 3_000_000, id), ..setup });
        let inner = Venues::new(venue, live, started.wall);
        let gateway = WatchedGateway { inner, shard: id, judge: Rc::clone(&world.judge) };
        let wire = TlsWire::new(wire, WireConfig::default(), ServerSide::default())
            .map_err(|error| error.to_string())?;
        let assembled = assemble(Assembly {
            runtime,
            disk: disk.clone(),
            clock: clock(world, id),
            entropy: entropy(world, life, 2_000_000, id),
            gateway,
            wire,
            id: ShardId(id),
            shards,
            home,
            back,
            rules: world.plan.rules.clone(),
            segment_bytes: world.plan.segment_bytes,
            snapshot_log_bytes: world.plan.snapshot_log_bytes,
            port,
            ringers,
            rings,
            hashing: hash_sender.clone(),
            history: None,
            egress: Arc::new([]),
            dummy_hash: "hash of nothing".to_owned(),
            gauges: Arc::clone(&gauges),
            stop: Arc::clone(&stop),
            started,
            spin: Nanos::default(),
            market_ticks: |gateway: &WatchedGateway| gateway.inner.paper.venue.inner.played(),
            tls_metrics: TlsWire::tls_metrics,
        })
        .await?;
        parts.push((id, assembled));
    }
    for (id, parts) in parts {
        parts.gauges.shards[usize::from(id)].running.store(true, Ordering::Relaxed);
        let (told, ended) = (Rc::clone(world), Rc::clone(&ended));
        world.executor.spawn(Owner::Life(life, id), async move {
            if let Err(error) = run(parts).await {
                told.judge.borrow_mut().violate(format!("shard {id}: its network failed: {error}"));
            }
            ended.set(ended.get() + 1);
        });
    }
    world.executor.spawn(Owner::Life(life, u16::MAX), hash(Rc::clone(world), hash_jobs, returns));
    if let Some(history) = &gauges.history {
        history::begin(world, life, &history_homes, &history.shards);
    }
    disk_check::look_at_start(world);
    let inside = Lines::new(inside_senders);
    masters::begin(world, life, inside.clone(), resealed);
    let want_snapshot = snapshot_asker(inside);
    *world.life.borrow_mut() = Some(Life { number: life, shards, lines, gauges, stop, ended, want_snapshot });
    world.up_since.set(world.executor.now());
    world.stage.set(Stage::Up);
    Ok(())
}

/// A stream of randomness for one use in one shard of a life.
fn entropy(world: &World, life: u32, of: u64, id: u16) -> SimEntropy {
    SimEntropy(world.plan.random(of + u64::from(life) * 64 + u64::from(id)))
}

fn snapshot_asker(inside: Lines) -> Rc<dyn Fn()> {
    Rc::new(move || {
        for shard in 0..inside.shards() {
            // A shard that has no room for it has more to do than to be asked again.
            let _ = inside.tell(ShardId(shard), Inside::Snapshot);
        }
    })
}

/// The password workers: as many jobs at a time as come, each taking as long as a real one; the hash itself is made up,
/// for Argon2 would take 20 ms of the host's CPU each.
async fn hash(world: Rc<World>, jobs: Receiver<HashJob>, mut returns: Vec<HashReturn>) {
    let jobs = Rc::new(jobs);
    let mut sealing = entropy(&world, world.lives.get(), 4_000_000, 0);
    loop {
        let waiting = Rc::clone(&jobs);
        world.executor.until(move || !waiting.is_empty()).await;
        let mut taken: VecDeque<HashJob> = jobs.try_iter().collect();
        while let Some(job) = taken.pop_front() {
            world.executor.sleep(HASH_SPAN).await;
            let done = match job.work {
                HashWork::Hash { password } => HashDone::Hashed(format!("hash of {password}")),
                HashWork::Verify { password, hash } => {
                    HashDone::Verified(hash == format!("hash of {password}"))
                }
                HashWork::Seal(work) => {
                    let vault = world.exchange.as_ref().map(|exchange| exchange.masters.vault());
                    hashing::seal(*work, vault.as_deref(), &mut sealing)
                }
            };
            let back = &mut returns[job.shard];
            if back.results.push((job.key, done)).is_ok() {
                back.bell.ring();
            }
        }
    }
}

fn paper_venue(world: &World, now: Timestamp) -> Result<PaperVenue, String> {
    let mut listings: Vec<_> = listings().into_iter().take(world.plan.symbols).collect();
    if let Some(depth) = world.plan.depth_usdt {
        for listing in &mut listings {
            let quantity = Money::from_whole(depth).quantity_at(listing.base, Rounding::Floor);
            let quantity = quantity.unwrap_or(listing.depth).floor_to(listing.instrument.step);
            listing.depth = quantity.max(listing.instrument.step);
        }
    }
    let symbols: Vec<GeneratedSymbol> = listings.iter().map(|listing| listing.generated()).collect();
    let market = Market::generated(Generator::new(world.plan.seed, &symbols, MARKET_STEP_MICROS, now));
    let real_time = Some(RealTime { market_from: now, real_from: now, speed: Speed::REAL });
    // A real venue remembers an order for days; here some accounts end dozens within the seconds until they are asked about.
    let limits = PaperLimits { finished_kept: 4_096, ..PaperLimits::default() };
    let pace = Pace { real_time, gate: None };
    let settings = PaperSettings { listings, pace, limits, ..PaperSettings::default() };
    PaperVenue::new(settings, market).map_err(|error| error.to_string())
}
