//! Starting a server: lock, recovery, another number of shards if asked, then the shards all at once.
//!
//! **Invariants**: nothing listens before every shard is back; all shards begin their market at the same time; the first
//! thing that fails ends the start with a message that says what to do, and the data is as it was.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use engine::core::ids::Timestamp;
use engine::seam::{Clock, Entropy, Nanos};
use engine::shard::limits::MESH_CAPACITY;
use engine::shard::ports::{Moment, ShardId};
#[cfg(not(planted))]
use engine::shard::runtime::GlommioDisk as HostDisk;
use engine::shard::runtime::{ExecutorOptions, GlommioRuntime, HostClock, HostEntropy, Watchdog, run_pinned};
use exchange::market::{GeneratedSymbol, Generator, Market, Pace, RealTime, Speed};
use exchange::paper::{PaperSettings, PaperVenue, listings};
use exchange::venue::Venue;
use net::tls::config::{ServerIdentity, TlsConfigError};
use net::tls::store::CertificateStore;
use net::tls::{ServerConfig as TlsServerConfig, ServerSide, TlsWire, inner_config};
use net::wire::uring::UringWire;
use net::wire::{ListenOptions, Listener, WireConfig, listen};
use ringbuf::doorbell::{Ringer, doorbell};
use ringbuf::mesh::{Port, mesh};
use ringbuf::spsc::ring;
use storage::history::{EndedLogs, Fault};
use storage::postgres::replicas::ReadersOptions;
use storage::{DirectoryLock, ReadOnlyDisk, Salt, ShardHome};

use super::assembly::{Assembly, assemble, open_directory};
use super::config::{MarketPace, MarketSource, ServerConfig, TlsFiles};
#[cfg(planted)]
use super::failing_disk::FailingDisk as HostDisk;
use super::hashing::{self, HASH_QUEUE_MAX, HashJob, HashReturn};
use super::history;
use super::housekeeping::{self, Housekeeping};
use super::inside::{INSIDE_RING, Lines};
use super::keys_at_start::{self, KeysFound};
use super::readers::{self, HistorySender};
use super::recovery::{FoundShard, newest_venue_time, recover_shard};
use super::shard_loop::{LoopParts, Rings, run};
use super::venues::{self, LiveSetup, Venues};
use crate::alerts::quiet::Quiet;
use crate::alerts::signs::Machine;
use crate::alerts::telegram::Telegram;
use crate::alerts::{self, Alerts};
use crate::reads::ServerReads;
use crate::web::alerts::AlertGauges;
use crate::web::gauges::Gauges;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl StartError {
    fn from_text(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// A shard that takes no turn for this long is reported.
const STALL_LIMIT: Duration = Duration::from_millis(1_000);

/// What recovery found, over all shards.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    /// Users.
    pub users: u64,
    /// Records read.
    pub records: u64,
    /// Events applied.
    pub events: u64,
    /// Shards whose last write was torn and cut.
    pub torn: u64,
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it speaks TLS, and with which certificate.
    pub tls: Option<Tls>,
    /// Lines to the shards.
    pub lines: Lines,
    /// Shared figures.
    pub gauges: Arc<Gauges>,
    /// What was recovered.
    pub recovery: Recovery,
    /// Set to write the histograms.
    pub dump: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    shards: Vec<JoinHandle<Result<(), String>>>,
    others: Vec<JoinHandle<()>>,
    _lock: DirectoryLock,
}

/// TLS of a running server.
pub struct Tls {
    /// Where it listens.
    pub address: SocketAddr,
    files: TlsFiles,
    store: Arc<CertificateStore>,
}

impl Tls {
    /// Reads certificate and key again; new connections get them. On an error the old ones stay.
    ///
    /// # Errors
    /// Which file is wrong, and why.
    pub fn reload(&self) -> Result<(), String> {
        self.store.reload(&self.files.certificate, &self.files.key).map_err(|error| error.to_string())
    }
}

impl Server {
    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.lines.shards()
    }

    /// The flag that stops it.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Whether a shard has ended by itself.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shards.iter().any(JoinHandle::is_finished)
    }

    /// Ends it: no new connections, what was decided is flushed, threads are waited for.
    ///
    /// # Errors
    /// What ended a shard otherwise.
    pub fn stop(mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut result = Ok(());
        for shard in self.shards.drain(..) {
            let ended = shard.join().unwrap_or_else(|_| Err("a shard panicked".to_owned()));
            result = result.and(ended);
        }
        for other in self.others.drain(..) {
            if other.join().is_err() {
                result = result.and(Err("a housekeeping thread panicked".to_owned()));
            }
        }
        result
    }
}

/// What a shard's thread is given.
struct ShardSetup {
    id: ShardId,
    home: ShardHome,
    config: ServerConfig,
    port: Port<engine::shard::ask::Message<ServerReads>>,
    ringers: Vec<Option<Ringer>>,
    rings: Rings,
    listeners: Vec<Listener>,
    tls: Option<Arc<TlsServerConfig>>,
    hashing: crossbeam_channel::Sender<HashJob>,
    history: Option<HistorySender>,
    dummy_hash: String,
    gauges: Arc<Gauges>,
    stop: Arc<AtomicBool>,
    found: mpsc::Sender<Result<Found, String>>,
    go: mpsc::Receiver<Go>,
    ready: mpsc::Sender<Result<(), String>>,
    shards: u16,
    venues: Option<LiveSetup<HostEntropy>>,
}

/// What a shard reports after recovery.
struct Found {
    newest_venue_time: Timestamp,
    recovery: Recovery,
    keys: KeysFound,
}

/// What all shards are told once all are back.
#[derive(Clone)]
struct Go {
    market_through: Timestamp,
    started: Moment,
}

/// Starts a server.
///
/// # Errors
/// [`StartError`] with a remedy.
pub fn start(config: &ServerConfig) -> Result<Server, StartError> {
    let lock =
        DirectoryLock::acquire(&config.data).map_err(|e| StartError::from_text("data directory", e))?;
    let plan = tuning::plan_for_host(config.shards.map(usize::from))
        .map_err(|e| StartError::from_text("CPUs", e))?;
    if config.vault.is_none() && !config.rules.live.is_empty() {
        return Err(StartError(keys_at_start::no_master()));
    }
    let mut config = config.clone();
    if plan.parked && config.spin_micros > 0 {
        tracing::warn!("shards share their CPUs with other threads here: they park and do not spin");
        config.spin_micros = 0;
    }
    let config = &config;
    let mut wished = u16::try_from(plan.shard_cpus.len()).unwrap_or(u16::MAX);
    let mut plan = plan;
    if let Some(primary) = &config.postgres {
        let shards = futures_lite::future::block_on(history::shards_to_start(
            &ReadOnlyDisk,
            &config.data,
            wished,
            async |homes| settle(homes),
            async |logs: &EndedLogs| history::finish(primary, logs),
        ))?;
        if shards != wished {
            wished = shards;
            plan = tuning::plan_for_host(Some(usize::from(shards)))
                .map_err(|e| StartError::from_text("CPUs", e))?;
        }
    }
    let homes = open_homes(&config.data, wished)?;
    lock.remove_empty_directories().map_err(|e| StartError::from_text("data directory", e))?;
    let shards = u16::try_from(homes.len()).map_err(|e| StartError::from_text("shards", e))?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut gauges = match config.postgres {
        Some(_) => Gauges::with_history(homes.len(), homes[0].identity().generation),
        None => Gauges::new(homes.len()),
    };
    gauges.alerts = config.alerts.as_ref().map(|_| AlertGauges::default());
    let gauges = Arc::new(gauges);
    let telegram = config
        .alerts
        .clone()
        .map(|set| Ok::<_, StartError>((set.chats, Telegram::new(set.at, set.token).map_err(StartError)?)));
    let telegram = telegram.transpose()?;
    let history_homes = homes.clone();
    let (hash_sender, hash_jobs) = hashing::queue();
    let dummy_hash = hashing::hash_password("no user has this password", &mut HostEntropy)
        .map_err(|e| StartError::from_text("password hashing", e))?;
    let mut listeners: Vec<Vec<Listener>> =
        bind(config.listen, homes.len())?.into_iter().map(|listener| vec![listener]).collect();
    let address = listeners[0][0].address();
    let (tls, tls_config) = match &config.tls {
        Some(files) => {
            let (tls, tls_config) = open_tls(files, &mut listeners)?;
            (Some(tls), Some(tls_config))
        }
        None => (None, None),
    };
    let (history_sender, history_jobs) = readers::queues();
    let history_sender = config.postgres.is_some().then_some(history_sender);
    let live = venues::start::prepare(config, shards).map_err(StartError)?;
    let (found_sender, found) = mpsc::channel();
    let (ready_sender, ready) = mpsc::channel();

    let mut bells = Vec::new();
    let mut ringers = Vec::new();
    for _ in 0..shards {
        let (bell, ringer) = doorbell().map_err(|e| StartError::from_text("eventfd", e))?;
        bells.push(bell);
        ringers.push(ringer);
    }
    let ports = mesh(homes.len(), MESH_CAPACITY);
    let watchdog = Watchdog::new(homes.len());
    let mut lines = Vec::new();
    let mut returns = Vec::new();
    let mut goes = Vec::new();
    let mut threads = Vec::new();
    for ((((home, port), bell), listeners), id) in
        homes.into_iter().zip(ports).zip(bells).zip(listeners).zip(0_u16..)
    {
        let place = usize::from(id);
        let (inside_sender, inside) = ring(INSIDE_RING);
        let (hashed_sender, hashed) = ring(HASH_QUEUE_MAX);
        lines.push((inside_sender, ringers[place].clone()));
        returns.push(HashReturn { results: hashed_sender, bell: ringers[place].clone() });
        let (go_sender, go) = mpsc::channel();
        goes.push(go_sender);
        let setup = ShardSetup {
            id: ShardId(id),
            home,
            config: config.clone(),
            port,
            ringers: ringers.iter().enumerate().map(|(n, r)| (n != place).then(|| r.clone())).collect(),
            rings: Rings { inside, hashed, bell },
            listeners,
            tls: tls_config.clone(),
            hashing: hash_sender.clone(),
            history: history_sender.clone(),
            dummy_hash: dummy_hash.clone(),
            gauges: Arc::clone(&gauges),
            stop: Arc::clone(&stop),
            found: found_sender.clone(),
            go,
            ready: ready_sender.clone(),
            shards,
            venues: live.clone(),
        };
        let options = ExecutorOptions {
            name: format!("shard-{id}"),
            cpu: config.pin.then(|| plan.shard_cpus[place]),
            heartbeat: Some(watchdog.pulse(place)),
        };
        let thread = run_pinned(options, move |runtime| shard_main(runtime, setup))
            .map_err(|e| StartError::from_text("shard", e))?;
        threads.push(thread);
    }
    drop((found_sender, ready_sender));

    let (recovery, keys) = all_back(&found, &goes, config, shards)?;
    for _ in 0..shards {
        let outcome = ready.recv().map_err(|_| StartError("a shard ended during its start".to_owned()))?;
        outcome.map_err(StartError)?;
    }
    let lines = Lines::new(lines);
    if let Some(vault) = &config.vault {
        keys_at_start::report(&lines, &keys.unreadable).map_err(StartError)?;
        keys_at_start::reseal(&lines, vault, keys.resealed);
    }
    let dump = Arc::new(AtomicBool::new(false));
    let housekeeping = Housekeeping {
        lines: lines.clone(),
        gauges: Arc::clone(&gauges),
        data: config.data.clone(),
        stop: Arc::clone(&stop),
        dump: Arc::clone(&dump),
        watchdog: Box::new(move || {
            let ages = watchdog.ages();
            let longest = ages.iter().copied().max().unwrap_or_default();
            (longest, ages.iter().filter(|age| **age > STALL_LIMIT).count() as u64)
        }),
    };
    let cpu = plan.housekeeping.filter(|_| config.pin);
    let vault = config.vault.clone();
    let mut others = vec![
        spawn("housekeeping", cpu, move || housekeeping::run(housekeeping))?,
        spawn("passwords", cpu, move || {
            hashing::run(&hash_jobs, &mut returns, vault.as_deref(), &mut HostEntropy);
        })?,
    ];
    drop(hash_sender);
    if let Some(live) = live {
        let (stop, lines) = (Arc::clone(&stop), lines.clone());
        others.push(spawn("addresses", cpu, move || venues::start::keep_addresses(&live, &lines, &stop))?);
    }
    if let Some(primary) = config.postgres.clone() {
        let options = ReadersOptions::new(primary.clone(), config.postgres_replicas.clone());
        let reading = history::Reading { options, jobs: history_jobs, lines: lines.clone() };
        let reads_stop = Arc::clone(&stop);
        others.push(spawn("readers", cpu, move || {
            if let Err(error) = history::read(reading, &reads_stop) {
                tracing::error!(%error, "the readers of the history could not begin: the state answers");
            }
        })?);
        let (gauges, stop) = (Arc::clone(&gauges), Arc::clone(&stop));
        others.push(spawn("history", cpu, move || {
            let Some(history) = &gauges.history else { return };
            if let Err(error) = history::write(&primary, history_homes, &history.shards, &stop) {
                let why = format!("the thread of the history could not begin: {error}");
                history.shards.iter().for_each(|progress| progress.failed(Fault::Start, &why));
            }
        })?);
    }
    if let Some((chats, telegram)) = telegram {
        let machine = machine(config);
        let alerts = Alerts {
            chats,
            telegram,
            gauges: Arc::clone(&gauges),
            machine,
            quiet: Quiet::of(&config.data),
            stop: Arc::clone(&stop),
        };
        others.push(spawn("alerts", cpu, move || alerts::run(alerts))?);
    }
    tracing::info!(%address, shards, users = recovery.users, records = recovery.records, "serving");
    Ok(Server { address, tls, lines, gauges, recovery, dump, stop, shards: threads, others, _lock: lock })
}

/// What of the host alerts are told by.
fn machine(config: &ServerConfig) -> Machine {
    let cpus = std::thread::available_parallelism().ok().map(NonZeroU64::try_from);
    Machine {
        cpus: cpus.and_then(Result::ok).filter(|_| config.spin_micros == 0),
        memory_bytes: crate::sys::memory_bytes().and_then(NonZeroU64::new),
    }
}

fn spawn(
    name: &str,
    cpu: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Some(id) = cpu {
                core_affinity::set_for_current(core_affinity::CoreId { id });
            }
            body();
        })
        .map_err(|e| StartError::from_text("thread", e))
}

/// Opens the data directory on an executor of its own.
fn open_homes(data: &Path, shards: u16) -> Result<Vec<ShardHome>, StartError> {
    let data = data.to_owned();
    let options = ExecutorOptions { name: "boot".to_owned(), cpu: None, heartbeat: None };
    let opened = run_pinned(options, move |runtime| async move {
        let salt = || {
            let mut bytes = [0; 8];
            HostEntropy.fill(&mut bytes);
            Salt(u64::from_le_bytes(bytes))
        };
        open_directory(&HostDisk::new(&runtime), &data, shards, salt).await
    })
    .map_err(|e| StartError::from_text("executor", e))?;
    let homes = opened.join().map_err(|_| StartError("opening the data directory panicked".to_owned()))?;
    homes.map_err(StartError)
}

/// Makes logs durable that an earlier process may have left otherwise.
fn settle(homes: Vec<ShardHome>) -> Result<EndedLogs, StartError> {
    let options = ExecutorOptions { name: "boot".to_owned(), cpu: None, heartbeat: None };
    let settled = run_pinned(options, move |runtime| async move {
        EndedLogs::settle(&HostDisk::new(&runtime), homes).await
    })
    .map_err(|e| StartError::from_text("executor", e))?;
    let settled = settled.join().map_err(|_| StartError("making the logs durable panicked".to_owned()))?;
    settled.map_err(|e| StartError::from_text("data directory", e))
}

fn bind(address: SocketAddr, shards: usize) -> Result<Vec<Listener>, StartError> {
    let error = |e: std::io::Error| StartError::from_text("listen", e);
    let first = listen(address, &ListenOptions::default()).map_err(error)?;
    let bound = first.address();
    let mut listeners = vec![first];
    for _ in 1..shards {
        listeners.push(listen(bound, &ListenOptions::default()).map_err(error)?);
    }
    Ok(listeners)
}

/// Waits until every shard is back, then lets all go on from the same moment of the market.
fn all_back(
    found: &mpsc::Receiver<Result<Found, String>>,
    goes: &[mpsc::Sender<Go>],
    config: &ServerConfig,
    shards: u16,
) -> Result<(Recovery, KeysFound), StartError> {
    let mut recovery = Recovery::default();
    let mut keys = KeysFound::default();
    let mut through = Timestamp(0);
    for _ in 0..shards {
        let outcome = found.recv().map_err(|_| StartError("a shard ended during its recovery".to_owned()))?;
        let part = outcome.map_err(StartError)?;
        through = through.max(part.newest_venue_time);
        recovery.users += part.recovery.users;
        recovery.records += part.recovery.records;
        recovery.events += part.recovery.events;
        recovery.torn += part.recovery.torn;
        keys.add(part.keys);
    }
    keys_at_start::judge(config, &keys.unreadable).map_err(StartError)?;
    let started = Moment { mono: HostClock.monotonic(), wall: Timestamp(HostClock.wall_micros()) };
    for go in goes {
        let message = Go { market_through: through, started };
        go.send(message).map_err(|_| StartError("a shard ended during its recovery".to_owned()))?;
    }
    Ok((recovery, keys))
}

/// A shard's life: recover, wait for the others, serve.
async fn shard_main(runtime: GlommioRuntime, setup: ShardSetup) -> Result<(), String> {
    let disk = HostDisk::new(&runtime);
    let back = match recover_shard(&disk, &setup.home).await {
        Ok(back) => back,
        Err(error) => {
            let text = format!("shard {}: {error}", setup.id.0);
            let _ = setup.found.send(Err(text.clone()));
            return Err(text);
        }
    };
    let newest = newest_venue_time(&back.state);
    let recovery = Recovery {
        users: back.state.users().len() as u64,
        records: back.found.records,
        events: back.events,
        torn: u64::from(back.found.torn.is_some()),
    };
    let keys = KeysFound::of(setup.config.vault.as_deref(), back.state.users(), &mut HostEntropy);
    let _ = setup.found.send(Ok(Found { newest_venue_time: newest, recovery, keys }));
    // The start waits for every shard here; nothing is served yet, so waiting on this thread keeps nobody waiting.
    let Ok(go) = setup.go.recv() else { return Err("the start was given up".to_owned()) };
    let ready = setup.ready.clone();
    match assemble_on_host(runtime, disk, setup, back, &go).await {
        Ok(parts) => {
            // Before the start returns: who is told that it serves must not find it starting.
            parts.gauges.shards[parts.shard.id().place()].running.store(true, Ordering::Relaxed);
            let _ = ready.send(Ok(()));
            drop(ready);
            run(parts).await.map_err(|error| format!("the network ring failed: {error}"))
        }
        Err(text) => {
            let _ = ready.send(Err(text.clone()));
            Err(text)
        }
    }
}

/// Reads the certificate and listens for TLS beside each shard's plain listener.
fn open_tls(
    files: &TlsFiles,
    listeners: &mut [Vec<Listener>],
) -> Result<(Tls, Arc<TlsServerConfig>), StartError> {
    let error = |e: TlsConfigError| StartError::from_text("TLS", e);
    let identity = ServerIdentity::load(&files.certificate, &files.key).map_err(error)?;
    let store = CertificateStore::new(identity);
    let config = net::tls::config::server(Arc::clone(&store)).map_err(error)?;
    let bound = bind(files.listen, listeners.len())?;
    let address = bound[0].address();
    for (of_shard, listener) in listeners.iter_mut().zip(bound) {
        of_shard.push(listener);
    }
    Ok((Tls { address, files: files.clone(), store }, config))
}

type Parts =
    LoopParts<GlommioRuntime, HostDisk, Venues<PaperVenue>, TlsWire<UringWire>, HostEntropy, HostClock>;

async fn assemble_on_host(
    runtime: GlommioRuntime,
    disk: HostDisk,
    setup: ShardSetup,
    back: FoundShard,
    go: &Go,
) -> Result<Parts, String> {
    let venue = paper_venue(&setup.config, setup.id, go)?;
    let wire_config = WireConfig {
        connections_per_address_max: setup.config.connections_per_address,
        ..WireConfig::default()
    };
    let uring = UringWire::with_listeners(setup.listeners, inner_config(wire_config))
        .map_err(|error| error.to_string())?;
    if uring.kernel_floor() != "6.0" {
        let uses = uring.kernel_floor();
        tracing::warn!(
            uses,
            "this kernel lacks what Linux 6.0 has for sockets: requests cost more, see docs/operations.md"
        );
    }
    // The first listener is the plain one.
    let tls = ServerSide { listeners: vec![None, setup.tls] };
    let wire = TlsWire::new(uring, wire_config, tls).map_err(|error| error.to_string())?;
    assemble(Assembly {
        runtime,
        disk,
        clock: HostClock,
        entropy: HostEntropy,
        gateway: Venues::new(venue, setup.venues, go.started.wall),
        wire,
        id: setup.id,
        shards: setup.shards,
        home: setup.home,
        back,
        rules: setup.config.rules.clone(),
        segment_bytes: setup.config.segment_bytes,
        snapshot_log_bytes: setup.config.snapshot_log_bytes,
        port: setup.port,
        ringers: setup.ringers,
        rings: setup.rings,
        hashing: setup.hashing,
        history: setup.history,
        egress: setup.config.egress,
        dummy_hash: setup.dummy_hash,
        gauges: setup.gauges,
        stop: setup.stop,
        started: go.started,
        spin: Nanos::from_micros(u64::from(setup.config.spin_micros)),
        market_ticks: |gateway| gateway.paper.venue.played(),
        tls_metrics: TlsWire::tls_metrics,
    })
    .await
}

fn paper_venue(config: &ServerConfig, shard: ShardId, go: &Go) -> Result<PaperVenue, String> {
    let listings = listings();
    let (market, market_from) = match &config.market {
        MarketSource::Generated { seed } => {
            let symbols: Vec<GeneratedSymbol> = listings.iter().map(|l| l.generated()).collect();
            // The path depends on the absolute time alone, so a restart goes on where the market would be.
            let generator = Generator::new(*seed, &symbols, 250_000, go.started.wall);
            (Market::generated(generator), go.started.wall)
        }
        MarketSource::Files(files) => {
            let mut market = Market::new();
            let mut from = Timestamp(u64::MAX);
            for (symbol, file) in files {
                let listing = listings.iter().find(|l| l.instrument.symbol == *symbol);
                let tick = listing
                    .ok_or_else(|| format!("{symbol} is not listed by the paper venue"))?
                    .instrument
                    .tick;
                market.add_file(file, *symbol, tick).map_err(|error| error.to_string())?;
                from = from.min(file.starts_at());
            }
            (market, from.max(go.market_through))
        }
    };
    let pace = match &config.pace {
        MarketPace::Real(speed) => Pace {
            real_time: Some(RealTime { market_from, real_from: go.started.wall, speed: *speed }),
            gate: None,
        },
        MarketPace::Max(gate) => {
            Pace { real_time: None, gate: gate.as_ref().map(|gate| gate.seat(shard.place())) }
        }
    };
    let settings =
        PaperSettings { listings, funding: config.funding.clone(), pace, ..PaperSettings::default() };
    let mut venue = PaperVenue::new(settings, market).map_err(|error| error.to_string())?;
    if matches!(config.market, MarketSource::Files(_)) && go.market_through > Timestamp(0) {
        venue.skip_through(go.market_through);
    }
    debug_assert!(!venue.instruments().is_empty(), "the paper venue lists something");
    Ok(venue)
}

/// Real speed.
pub const REAL: Speed = Speed::REAL;
