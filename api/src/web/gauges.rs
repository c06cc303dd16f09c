//! Figures that are measured outside of the shards' own counters, shared without locks: each written by one thread.
//!
//! **Runs on**: written by the shards' loops (log figures) and the housekeeping thread (process figures, latencies); read by
//! any. **Never**: a lock, or a figure nobody measured: what is not known yet is absent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use storage::Generation;
use storage::history::{Progress, Whose};

use super::alerts::AlertGauges;
use super::network::NetworkGauges;
use super::venues::VenueGauges;

/// Figures of one shard's log and loop.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardGauges {
    /// Bytes flushed since the start.
    pub log_bytes: AtomicU64,
    /// Flushes since the start.
    pub log_flushes: AtomicU64,
    /// Records made durable since the start.
    pub log_records: AtomicU64,
    /// Batches that had to wait for a segment.
    pub log_stalls: AtomicU64,
    /// Start of the newest snapshot, as a record's number; zero without one.
    pub snapshot_lsn: AtomicU64,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: AtomicU64,
    /// Connections on this shard.
    pub connections: AtomicU64,
    /// What the network counted.
    pub network: NetworkGauges,
    /// What the lines to the exchanges told.
    pub venues: VenueGauges,
    /// Requests read.
    pub requests: AtomicU64,
    /// Ticks of the market played.
    pub market_ticks: AtomicU64,
    /// How often a venue refused to close a position that it had refused to close for more than an hour.
    pub closes_refused_long: AtomicU64,
    /// The loop runs.
    pub running: AtomicBool,
    /// The shard stopped because its log failed.
    pub failed: AtomicBool,
    /// The log cannot go on for want of space.
    pub no_space: AtomicBool,
}

/// Figures of the process.
#[derive(Debug, Default)]
pub struct ProcessGauges {
    /// Resident memory in bytes; zero until measured.
    pub resident_bytes: AtomicU64,
    /// CPU time used, in microseconds.
    pub cpu_micros: AtomicU64,
    /// Free bytes where the data directory is.
    pub disk_free_bytes: AtomicU64,
    /// All bytes there.
    pub disk_bytes: AtomicU64,
    /// The longest time any shard has gone without a turn of its executor, in microseconds, since the start.
    pub stall_max_micros: AtomicU64,
    /// Shards that the watchdog finds without a turn for too long, now.
    pub stalled_shards: AtomicU64,
}

/// All figures.
#[derive(Debug)]
pub struct Gauges {
    /// By shard.
    pub shards: Box<[ShardGauges]>,
    /// The process.
    pub process: ProcessGauges,
    /// History in Postgres, where it is set up.
    pub history: Option<HistoryGauges>,
    /// Alerts to an operator, where they are set up.
    pub alerts: Option<AlertGauges>,
}

/// Figures of the history in Postgres.
#[derive(Debug)]
pub struct HistoryGauges {
    /// The set of shards.
    pub generation: Generation,
    /// How far it is, by shard.
    pub shards: Box<[Arc<Progress>]>,
    /// Opens are stopped, because the logs that wait for the database fill the disk.
    pub opens_stopped: AtomicBool,
    /// Logs that wait for it begin to fill the disk.
    pub disk_alarm: AtomicBool,
}

impl HistoryGauges {
    /// Why nobody may be told what the database holds. All of it is of one history, so what one shard found counts for all; and
    /// before each has looked, it may be rows of what never happened here, under the ids of people who are here.
    #[must_use]
    pub fn not_to_be_read(&self) -> Option<&'static str> {
        let any = |whose| self.shards.iter().any(|progress| progress.whose() == whose);
        if planted::planted!("another_history_is_told") {
            None
        } else if any(Whose::Another) {
            Some("the database holds another history than this server's")
        } else if any(Whose::Unknown) {
            Some("whose history the database holds is not known yet")
        } else {
            None
        }
    }
}

impl Gauges {
    /// Zeroed gauges for so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| ShardGauges::default()).collect(),
            process: ProcessGauges::default(),
            history: None,
            alerts: None,
        }
    }

    /// The same, with a history in Postgres.
    #[must_use]
    pub fn with_history(shards: usize, generation: Generation) -> Self {
        let history = HistoryGauges {
            generation,
            shards: (0..shards).map(|_| Arc::new(Progress::with_relay(storage::relay::BLOCKS))).collect(),
            opens_stopped: AtomicBool::new(false),
            disk_alarm: AtomicBool::new(false),
        };
        Self { history: Some(history), ..Self::new(shards) }
    }

    /// A shard's part of the history.
    #[must_use]
    pub fn history_of(&self, shard: usize) -> Option<Arc<Progress>> {
        self.history.as_ref().map(|history| Arc::clone(&history.shards[shard]))
    }

    /// Whether every shard runs, has a working log and takes turns.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.not_ready().is_none()
    }

    /// Why the server is not ready.
    #[must_use]
    pub fn not_ready(&self) -> Option<&'static str> {
        let any = |flag: fn(&ShardGauges) -> &AtomicBool, wanted: bool| {
            self.shards.iter().any(|s| flag(s).load(Ordering::Relaxed) == wanted)
        };
        if any(|s| &s.failed, true) {
            Some("a shard's log has failed: restart the server; it recovers everything acknowledged")
        } else if any(|s| &s.running, false) {
            Some("a shard is still starting")
        } else if any(|s| &s.no_space, true) {
            Some("the disk is full: make room; nothing acknowledged is lost")
        } else if self.process.stalled_shards.load(Ordering::Relaxed) > 0 {
            Some("a shard takes no turns")
        } else {
            None
        }
    }
}

/// Latency figures, published by the housekeeping thread about once a second and replaced as a whole.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// When they were put together, microseconds since the epoch.
    pub at_micros: u64,
    /// One row per stage and track that has values.
    pub rows: Vec<LatencyRow>,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct LatencyRow {
    /// The stage.
    pub stage: &'static str,
    /// The track (lane).
    pub track: &'static str,
    /// Values.
    pub count: u64,
    /// Sum, in nanoseconds, from the histogram's buckets.
    pub sum_ns: u64,
    /// Quantiles, in nanoseconds: p50, p90, p99, p99.9.
    pub quantiles_ns: [u64; 4],
    /// The largest, in nanoseconds.
    pub max_ns: u64,
}

/// The quantiles of a [`LatencyRow`].
pub const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
