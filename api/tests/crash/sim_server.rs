//! A server of one shard on a simulated disk: the real loop, executor, network and market, and a disk that fails, fills up and
//! loses power on command.
//!
//! **Runs on**: an executor's thread of its own, one life after another on the same disk. **Owns**: the disk.
//! **Invariants**: faults are carried out by a task beside the loop; a life ends in order or by power failure.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use api::cli::rules_file;
use api::server::assembly::{Assembly, assemble, open_directory};
use api::server::gateway::VenueGateway;
use api::server::hashing::{self, HASH_QUEUE_MAX};
use api::server::inside::{INSIDE_RING, Lines};
use api::server::recovery::recover_shard;
use api::server::shard_loop::{LoopParts, Rings, run};
use api::web::gauges::Gauges;
use engine::core::ids::Timestamp;
use engine::seam::{Clock, Nanos, Runtime};
use engine::shard::limits::MESH_CAPACITY;
use engine::shard::ports::{Moment, ShardId};
use engine::shard::runtime::{ExecutorOptions, GlommioRuntime, HostClock, HostEntropy, run_pinned};
use exchange::market::{GeneratedSymbol, Generator, Market, Pace, RealTime, Speed};
use exchange::paper::{PaperSettings, PaperVenue, listings};
use net::wire::uring::UringWire;
use net::wire::{ListenOptions, WireConfig, listen};
use ringbuf::doorbell::doorbell;
use ringbuf::spsc::ring;
use storage::Salt;
use storage::sim_disk::SimDisk;

use super::faulty_disk::FaultyDisk;
use super::people::RULES;

/// Length of a segment: a short run fills it.
pub const SEGMENT_BYTES: u64 = 512 << 10;
/// How often the faults are looked at.
const LOOK: Nanos = Nanos::from_millis(1);

/// What the disk is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next data sync of the log fails.
    Sync,
    /// The next write of the log fails.
    Write,
    /// Nothing more fits.
    Full,
    /// There is room again.
    Room,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The loop is told to stop, and is waited for.
    InOrder,
    /// The power fails while it runs: what was not synced may be lost.
    PowerFailure,
}

/// What a life offers to the tester.
struct Alive {
    address: SocketAddr,
    lines: Lines,
    gauges: Arc<Gauges>,
    stop: Arc<AtomicBool>,
    faults: Sender<Fault>,
}

/// A server and its disk.
pub struct SimServer {
    alive: Alive,
    lives: Mutex<Receiver<Result<Alive, String>>>,
    ends: Sender<Option<End>>,
    thread: Option<JoinHandle<()>>,
}

impl SimServer {
    /// Starts a server on an empty disk.
    pub fn start(seed: u64) -> Self {
        let (lives_sender, lives) = channel();
        let (ends, end) = channel();
        let options = ExecutorOptions { name: "sim-server".to_owned(), cpu: None, heartbeat: None };
        let thread = run_pinned(options, move |runtime| async move {
            let disk = FaultyDisk::new(SimDisk::new(seed));
            // A life begins at once, then after each end that is not the last.
            while let Some(how) = live(&runtime, &disk, &lives_sender, &end).await {
                disk.inner.set_capacity(u64::MAX);
                match how {
                    End::InOrder => disk.inner.kill_process(),
                    End::PowerFailure => disk.inner.power_cycle(),
                }
            }
        });
        let thread = Some(thread.expect("an executor starts"));
        let alive = lives.recv().expect("a life begins").expect("it starts on an empty disk");
        Self { alive, lives: Mutex::new(lives), ends, thread }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.alive.address
    }

    /// The lines to its shard.
    pub fn lines(&self) -> &Lines {
        &self.alive.lines
    }

    /// Its figures.
    pub fn gauges(&self) -> &Gauges {
        &self.alive.gauges
    }

    /// Has the disk do this from now on.
    pub fn fault(&self, fault: Fault) {
        self.alive.faults.send(fault).expect("the server runs");
    }

    /// Ends this life like that and begins the next one, on a disk with room.
    ///
    /// # Panics
    /// When it does not end or does not start again.
    pub fn restart(&mut self, end: End) {
        self.end(end);
        self.next();
    }

    /// Ends this life like that and does not wait for it.
    pub fn end(&self, end: End) {
        self.ends.send(Some(end)).expect("the executor runs");
        self.alive.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the next life.
    ///
    /// # Panics
    /// When the last one does not end, or the next one does not start.
    pub fn next(&mut self) {
        let next = self
            .lives
            .get_mut()
            .expect("nobody failed")
            .recv_timeout(super::WAIT_MAX)
            .expect("a life ends and another begins");
        self.alive = next.unwrap_or_else(|error| panic!("it does not start again: {error}"));
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        let _ = self.ends.send(None);
        self.alive.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("the executor ends in order");
        }
    }
}

type Parts =
    LoopParts<GlommioRuntime, FaultyDisk, VenueGateway<PaperVenue>, UringWire, HostEntropy, HostClock>;

/// One life. Gives how it is to end, `None` when it was the last.
async fn live(
    runtime: &GlommioRuntime,
    disk: &FaultyDisk,
    lives: &Sender<Result<Alive, String>>,
    ends: &Receiver<Option<End>>,
) -> Option<End> {
    let (alive, parts, faults) = match begin(runtime, disk).await {
        Ok(begun) => begun,
        Err(error) => {
            let _ = lives.send(Err(error));
            return None;
        }
    };
    let ended = Rc::new(Cell::new(false));
    let task = runtime.spawn("faults", carry_out(runtime.clone(), disk.clone(), faults, Rc::clone(&ended)));
    if lives.send(Ok(alive)).is_err() {
        return None;
    }
    run(parts).await.expect("the network works");
    ended.set(true);
    task.await;
    // Nothing is served any more, so waiting on this thread keeps nobody waiting.
    ends.recv().ok().flatten()
}

/// Carries out faults until the life has ended.
async fn carry_out(
    runtime: GlommioRuntime,
    disk: FaultyDisk,
    faults: Receiver<Fault>,
    ended: Rc<Cell<bool>>,
) {
    while !ended.get() {
        while let Ok(fault) = faults.try_recv() {
            match fault {
                Fault::Sync | Fault::Write => disk.fail(fault),
                Fault::Full => {
                    let used = disk.inner.contents().values().map(|bytes| bytes.len() as u64).sum();
                    disk.inner.set_capacity(used);
                }
                Fault::Room => disk.inner.set_capacity(u64::MAX),
            }
        }
        runtime.sleep(LOOK).await;
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn begin(
    runtime: &GlommioRuntime,
    disk: &FaultyDisk,
) -> Result<(Alive, Parts, Receiver<Fault>), String> {
    let data = Path::new("/data");
    let home = open_directory(disk, data, 1, || Salt(7)).await?.remove(0);
    let back = recover_shard(disk, &home).await.map_err(text)?;
    let (bell, ringer) = doorbell().map_err(text)?;
    let now = Moment { mono: HostClock.monotonic(), wall: Timestamp(HostClock.wall_micros()) };
    let listener = listen(([127, 0, 0, 1], 0).into(), &ListenOptions::default()).map_err(text)?;
    let address = listener.address();
    let (inside_sender, inside) = ring(INSIDE_RING);
    // Nobody hashes here: users are made from inside.
    let (_, hashed) = ring(HASH_QUEUE_MAX);
    let gauges = Arc::new(Gauges::new(1));
    let stop = Arc::new(AtomicBool::new(false));
    let (faults_sender, faults) = channel();
    let alive = Alive {
        address,
        lines: Lines::new(vec![(inside_sender, ringer)]),
        gauges: Arc::clone(&gauges),
        stop: Arc::clone(&stop),
        faults: faults_sender,
    };
    let parts = assemble(Assembly {
        runtime: runtime.clone(),
        disk: disk.clone(),
        clock: HostClock,
        entropy: HostEntropy,
        gateway: VenueGateway { venue: venue()? },
        wire: UringWire::new(listener, WireConfig::default()).map_err(text)?,
        id: ShardId(0),
        shards: 1,
        home,
        back,
        rules: rules_file::parse(RULES)?,
        segment_bytes: SEGMENT_BYTES,
        snapshot_log_bytes: 4 * SEGMENT_BYTES,
        port: ringbuf::mesh::mesh(1, MESH_CAPACITY).remove(0),
        ringers: vec![None],
        rings: Rings { inside, hashed, bell },
        hashing: hashing::queue().0,
        history: None,
        egress: Arc::new([]),
        dummy_hash: String::new(),
        gauges,
        stop,
        started: now,
        spin: Nanos::default(),
        market_ticks: |gateway: &VenueGateway<PaperVenue>| gateway.venue.played(),
        tls_metrics: |_| net::tls::TlsMetrics::default(),
    })
    .await?;
    Ok((alive, parts, faults))
}

fn venue() -> Result<PaperVenue, String> {
    let listings = listings();
    let symbols: Vec<GeneratedSymbol> = listings.iter().map(|listing| listing.generated()).collect();
    let now = Timestamp(HostClock.wall_micros());
    let market = Market::generated(Generator::new(1, &symbols, 250_000, now));
    let real_time = Some(RealTime { market_from: now, real_from: now, speed: Speed::REAL });
    let pace = Pace { real_time, gate: None };
    PaperVenue::new(PaperSettings { listings, pace, ..PaperSettings::default() }, market).map_err(text)
}
