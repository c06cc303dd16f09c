//! Putting a shard together: its directory, its log, its state and what surrounds it, whatever clock, disk, network and
//! venue these are made of.
//!
//! **Runs on**: start-up, then the shard's executor. The host's start ([`super::boot`]) and the simulator use the same code.
//! **Invariants**: a shard is resumed before anything reaches it.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::core::rules::Rules;
use engine::seam::{Clock, Disk, Entropy, Nanos, Runtime};
use engine::shard::ask::Message;
use engine::shard::mesh::Mesh;
use engine::shard::ports::{Gateway, Moment, ShardId};
use engine::shard::worker::{Shard, ShardParts};
use net::tls::TlsMetrics;
use net::wire::Wire;
use ringbuf::doorbell::Ringer;
use ringbuf::mesh::Port;
use storage::{DataDirectory, Log, LogOptions, Salt, ShardHome};

use super::hashing::HashJob;
use super::journal::LogJournal;
use super::readers::HistorySender;
use super::recovery::{FoundShard, reshard};
use super::shard_loop::{LoopParts, Rings};
use super::snapshots::Snapshots;
use crate::reads::ServerReads;
use crate::web::desk::{Desk, DeskParts};
use crate::web::gauges::Gauges;
use crate::web::keys::KeySetup;

/// Opens the data directory, and hands its users to another number of shards when it was written by one.
///
/// # Errors
/// What cannot be opened or read, with its remedy; the data is as it was.
pub async fn open_directory<D: Disk>(
    disk: &D,
    data: &Path,
    shards: u16,
    mut salt: impl FnMut() -> Salt,
) -> Result<Vec<ShardHome>, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let mut directory =
        DataDirectory::open(disk.clone(), data, shards, salt()).await.map_err(|e| text(&e))?;
    if directory.shards().len() != usize::from(shards) {
        tracing::info!(from = directory.shards().len(), to = shards, "handing the users to their new shards");
        directory = reshard(disk, directory, shards, salt()).await.map_err(|e| text(&e))?;
    }
    Ok(directory.shards())
}

/// What a shard is put together from.
pub struct Assembly<RT, D: Disk, G, W, E, C> {
    /// Tasks.
    pub runtime: RT,
    /// The disk.
    pub disk: D,
    /// Clocks.
    pub clock: C,
    /// Randomness for tokens.
    pub entropy: E,
    /// The venue, with no account yet.
    pub gateway: G,
    /// The network.
    pub wire: W,
    /// Which shard this is.
    pub id: ShardId,
    /// How many there are.
    pub shards: u16,
    /// Where its files are.
    pub home: ShardHome,
    /// What recovery found there.
    pub back: FoundShard,
    /// The rules in force.
    pub rules: Rules,
    /// Length of a log segment in bytes.
    pub segment_bytes: u64,
    /// Bytes of log between two snapshots, at least.
    pub snapshot_log_bytes: u64,
    /// Its place in the mesh.
    pub port: Port<Message<ServerReads>>,
    /// Wakes the other shards; its own place is empty.
    pub ringers: Vec<Option<Ringer>>,
    /// Its ends of the rings to other threads.
    pub rings: Rings,
    /// The password workers.
    pub hashing: crossbeam_channel::Sender<HashJob>,
    /// The readers of the history, where there is a database.
    pub history: Option<HistorySender>,
    /// The addresses that requests to exchanges may leave from.
    pub egress: Arc<[IpAddr]>,
    /// A hash that no password has.
    pub dummy_hash: String,
    /// Shared figures.
    pub gauges: Arc<Gauges>,
    /// Set when the server is to end.
    pub stop: Arc<AtomicBool>,
    /// When the server started.
    pub started: Moment,
    /// Spin for so long before parking.
    pub spin: Nanos,
    /// How many ticks the market has played.
    pub market_ticks: fn(&G) -> u64,
    /// What TLS counted.
    pub tls_metrics: fn(&W) -> TlsMetrics,
}

/// Starts the log, hands the state to a shard and resumes it.
///
/// # Errors
/// What the log or the venue cannot take up, with its remedy.
pub async fn assemble<RT, D, G, W, E, C>(
    from: Assembly<RT, D, G, W, E, C>,
) -> Result<LoopParts<RT, D, G, W, E, C>, String>
where
    RT: Runtime,
    D: Disk,
    G: Gateway,
    W: Wire,
    E: Entropy,
    C: Clock,
{
    let options = LogOptions { segment_bytes: from.segment_bytes };
    let mut log = Log::start(from.disk.clone(), from.home.clone(), from.back.found.tail, options)
        .await
        .map_err(|error| error.to_string())?;
    let history = from.gauges.history_of(from.id.place());
    if let Some(relay) = history.as_ref().and_then(|history| history.take_relay_writer()) {
        log.set_relay(relay);
    }
    let keys = KeySetup { live: from.rules.live, egress: from.egress };
    let mut shard = Shard::new(ShardParts {
        state: from.back.state,
        rules: from.rules,
        journal: LogJournal { log },
        gateway: from.gateway,
        mesh: Mesh::new(from.port, from.ringers),
    });
    shard.resume(super::shard_loop::moment(&from.clock))?;
    let desk = Desk::new(DeskParts {
        shard: from.id,
        shards: from.shards,
        hashing: from.hashing,
        history: from.history,
        keys,
        dummy_hash: from.dummy_hash,
        gauges: Arc::clone(&from.gauges),
        entropy: from.entropy,
        started: from.started,
    });
    let snapshots =
        Snapshots::new(from.disk, from.home, from.snapshot_log_bytes, from.back.found.snapshot, history);
    Ok(LoopParts {
        runtime: from.runtime,
        clock: from.clock,
        shard,
        wire: from.wire,
        desk,
        rings: from.rings,
        snapshots,
        gauges: from.gauges,
        stop: from.stop,
        spin: from.spin,
        market_ticks: from.market_ticks,
        tls_metrics: from.tls_metrics,
    })
}
