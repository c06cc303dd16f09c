//! How a server is set up, and what is wrong with a setting, with its remedy.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use engine::core::instrument::Symbol;
use engine::core::rules::Rules;
use exchange::market::{Gate, MarketFile, Speed};
use exchange::paper::FundingTable;
use storage::postgres::target::Target;

use super::venues::hosts::LiveAt;
use crate::alerts::AlertSettings;
use crate::vault::Vault;

/// Bytes of log after which a shard takes a snapshot, at least; and at least as many as the last snapshot had, so that
/// snapshots cost no more than the log itself.
pub const SNAPSHOT_LOG_BYTES_MIN: u64 = 64 << 20;

/// Where prices come from.
#[derive(Clone)]
pub enum MarketSource {
    /// The built-in generator.
    Generated {
        /// Its seed.
        seed: u64,
    },
    /// Files of candles or trades.
    Files(Vec<(Symbol, MarketFile)>),
}

/// How fast the market plays.
#[derive(Clone)]
pub enum MarketPace {
    /// By the clock.
    Real(Speed),
    /// As fast as it is polled; within the gate, when there is one.
    Max(Option<Arc<Gate>>),
}

/// Where TLS is spoken, and with which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Where to listen; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The certificate and those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Connections that one address may hold on a shard. A household or an office behind one address has a few dozen; one client
/// that opens all places would lock everybody out.
pub const CONNECTIONS_PER_ADDRESS: u32 = 1_000;

/// A server's set-up.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where log and snapshots are.
    pub data: PathBuf,
    /// Where to listen; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// TLS beside it.
    pub tls: Option<TlsFiles>,
    /// Connections that one address may hold on a shard; this machine's own are free of it. `None`: no limit.
    pub connections_per_address: Option<u32>,
    /// Shards; from the CPUs without.
    pub shards: Option<u16>,
    /// Spin for so long before parking, in microseconds; zero parks at once.
    pub spin_micros: u32,
    /// Whether shards are pinned to their CPUs.
    pub pin: bool,
    /// Prices.
    pub market: MarketSource,
    /// Their pace.
    pub pace: MarketPace,
    /// Funding rates over time.
    pub funding: Vec<(Symbol, Arc<FundingTable>)>,
    /// The rules in force.
    pub rules: Rules,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes of log between snapshots, at least.
    pub snapshot_log_bytes: u64,
    /// The database that history is written to.
    pub postgres: Option<Target>,
    /// Its replicas, which history is read from.
    pub postgres_replicas: Vec<Target>,
    /// Where exchange keys are sealed; needed where the rules name an exchange.
    pub vault: Option<Arc<Vault>>,
    /// The addresses that requests to exchanges may leave from.
    pub egress: Arc<[IpAddr]>,
    /// Start although keys do not open: their owners have to enter them again.
    pub accept_unreadable_keys: bool,
    /// Exchanges that are somewhere else than at their own hosts: the paper exchange, a proxy.
    pub live_at: Vec<LiveAt>,
    /// Alerts to an operator; nobody is told without.
    pub alerts: Option<AlertSettings>,
}

impl ServerConfig {
    /// The embedded default: paper venue, generated market at real speed.
    #[must_use]
    pub fn embedded(data: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            tls: None,
            connections_per_address: Some(CONNECTIONS_PER_ADDRESS),
            shards: None,
            spin_micros: 0,
            pin: true,
            market: MarketSource::Generated { seed: 1 },
            pace: MarketPace::Real(Speed::REAL),
            funding: Vec::new(),
            rules: Rules::default(),
            segment_bytes: 64 << 20,
            snapshot_log_bytes: SNAPSHOT_LOG_BYTES_MIN,
            postgres: None,
            postgres_replicas: Vec::new(),
            vault: None,
            egress: Arc::new([]),
            accept_unreadable_keys: false,
            live_at: Vec::new(),
            alerts: None,
        }
    }
}
