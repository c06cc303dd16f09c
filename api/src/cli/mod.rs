//! The command line.
//!
//! **Invariants**: what programs read goes to standard output, everything else to standard error; a failure exits with 1 and
//! a message that says what to do, a wrong use with 2.

pub mod backup;
pub mod backup_manifest;
pub mod demo;
pub mod demo_report;
pub mod demo_users;
pub mod exchange_reader;
pub mod fetch;
pub mod keys;
pub mod log;
pub mod market;
pub mod metrics;
pub mod paper;
pub mod postgres;
pub mod pulse;
pub mod restore;
pub mod rules_file;
pub mod serve;
pub mod sim;
pub mod telegram;
pub mod tune;
pub mod user_keys;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// CoinBitClub: signals become risk-checked, durable orders for every subscriber.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server until SIGTERM or Ctrl-C.
    Serve(ServeArgs),
    /// Shows the main job: users, one signal, orders, fills, a close, the books.
    Demo(DemoArgs),
    /// Looks at a data directory.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Copies a data directory, also while its server runs, and verifies the copy by restoring it.
    Backup(backup::BackupArgs),
    /// Makes a data directory from a backup, whole or up to a point in time.
    Restore(restore::RestoreArgs),
    /// A user's exchange keys at a running server, and master keys, under which servers seal them.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// An exchange's market: candles as files for the embedded market, and the Market Pulse.
    Market {
        #[command(subcommand)]
        command: MarketCommand,
    },
    /// The running server's histograms.
    Metrics {
        #[command(subcommand)]
        command: MetricsCommand,
    },
    /// Runs the whole server against faults on virtual time, from a seed, and checks every answer and every state.
    Sim(sim::SimArgs),
    /// Runs the paper exchange: a market that speaks the protocols of Binance and Bybit, for paper money and for tests.
    Paper(paper::PaperArgs),
    /// Checks this host.
    Tune(TuneArgs),
}

/// What both `serve` and `demo` take.
#[derive(Args, Clone)]
pub struct ServerArgs {
    /// Address and port to listen on; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// Address and port to speak TLS on, beside --listen.
    #[arg(long, requires = "tls_cert", requires = "tls_key")]
    pub tls_listen: Option<SocketAddr>,
    /// The certificate and those between it and its authority (PEM); read again on SIGHUP.
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM); read again on SIGHUP.
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    pub tls_key: Option<PathBuf>,
    /// Connections that one address may hold on a shard, this machine's own excepted; 0 for no limit.
    #[arg(long, default_value_t = crate::server::CONNECTIONS_PER_ADDRESS)]
    pub connections_per_address: u32,
    /// Number of shards; from the CPUs when left out.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: Option<u16>,
    /// Spin for so many microseconds before parking; only for shards that have their CPUs to themselves.
    #[arg(long, default_value_t = 0)]
    pub spin_us: u32,
    /// Do not pin shards to CPUs.
    #[arg(long)]
    pub no_pin: bool,
    /// Play the prices of this CSV of candles or trades; may be given several times.
    #[arg(long = "market", value_name = "FILE")]
    pub markets: Vec<PathBuf>,
    /// Symbol of each --market file, when its name does not begin with it.
    #[arg(long = "symbol", value_name = "SYMBOL")]
    pub symbols: Vec<String>,
    /// Funding rates of the symbol its name begins with: a CSV of `time_ms,funding_rate`.
    #[arg(long = "funding", value_name = "FILE")]
    pub funding: Vec<PathBuf>,
    /// Speed of a --market: `real`, `max`, or a factor such as 60.
    #[arg(long, default_value = "real")]
    pub speed: String,
    /// Seed of the built-in market.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Rules that differ from the default: a JSON file, see docs/rules.md.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Mebibytes of a log segment.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub segment_mib: u64,
    /// Mebibytes of log between two snapshots, at least.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub snapshot_mib: u64,
    /// Write history to this database: postgresql://user@host1,host2/name, of which the primary is found. The password is in
    /// COINBITCLUB_POSTGRES_PASSWORD or a file, see docs/history.md.
    #[arg(long, value_name = "URL", env = "COINBITCLUB_POSTGRES_PRIMARY")]
    pub postgres_primary: Option<String>,
    /// Read history from this replica; may be given several times.
    #[arg(long = "postgres-replica", value_name = "URL", requires = "postgres_primary")]
    pub postgres_replicas: Vec<String>,
    /// Contact this exchange: binance or bybit, a colon, mainnet, testnet or demo; may be given several times. Without it no
    /// exchange is contacted.
    #[arg(long = "live", value_name = "VENUE:ENVIRONMENT")]
    pub live: Vec<String>,
    /// Contact an exchange at this address instead of its own hosts, such as bybit:testnet=http://127.0.0.1:4000 for the paper
    /// exchange; https for TLS; may be given several times.
    #[arg(long = "live-at", value_name = "VENUE:ENVIRONMENT=URL", requires = "live")]
    pub live_at: Vec<String>,
    /// An address of this host that requests to exchanges may leave from, for accounts to choose; may be given several times.
    /// Accounts that chose none leave from the first.
    #[arg(long = "egress", value_name = "ADDRESS")]
    pub egress: Vec<IpAddr>,
    /// The file with the master key, readable by this user only; see docs/keys.md for the other places it may come from.
    #[arg(long, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Start although exchange keys do not open because their master key is lost: their owners enter them again.
    #[arg(long)]
    pub accept_unreadable_keys: bool,
    /// Alerts to an operator.
    #[command(flatten)]
    pub telegram: telegram::TelegramArgs,
}

/// `serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// Where log and snapshots are.
    #[arg(long, default_value = "data", env = "COINBITCLUB_DATA_DIR")]
    pub data: PathBuf,
    /// The server's set-up.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Paper users to make.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub users: u32,
    /// End after the run instead of serving on.
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object at the end instead of the text.
    #[arg(long)]
    pub json: bool,
    /// Keep the data here; a temporary directory otherwise.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Write each user's settings, fills and ledger to this file as JSON lines, for an independent check.
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// The server's set-up.
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Subcommand)]
enum LogCommand {
    /// Prints the records of a data directory (or one shard's) and verifies every checksum. Writes nothing.
    Inspect(log::InspectArgs),
    /// Prints a digest of the state that a data directory holds, whatever its number of shards. Writes nothing.
    Digest {
        /// The data directory.
        dir: PathBuf,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Prints a fresh master key to standard output, and its id to standard error.
    NewMaster,
    /// Prints the accounts of a user, and of their keys type, last four characters, health and days left.
    List(user_keys::ListArgs),
    /// Opens an account on an exchange by entering its key.
    Add(user_keys::AddArgs),
    /// Enters another key for an account.
    Replace(user_keys::ReplaceArgs),
    /// Takes an account's key away; refused while a position is open or an order is live.
    Remove(user_keys::RemoveArgs),
}

#[derive(Subcommand)]
enum MarketCommand {
    /// Writes an exchange's candles of one symbol to a CSV file that `--market` plays. Only that exchange is contacted.
    Fetch(fetch::FetchArgs),
    /// Reads an exchange's Market Pulse: how its 100 contracts of highest turnover moved in 24 h. Only that exchange is contacted.
    Pulse(pulse::PulseArgs),
}

#[derive(Subcommand)]
enum MetricsCommand {
    /// Has the running server write its HdrHistograms (`.hgrm`, `.hlog`) and prints where. The same as SIGUSR1.
    Dump {
        /// The server's data directory.
        #[arg(long, default_value = "data", env = "COINBITCLUB_DATA_DIR")]
        data: PathBuf,
    },
}

/// `tune`.
#[derive(Args)]
pub struct TuneArgs {
    /// Check and report: now, wanted, why.
    #[arg(long, required = true)]
    pub check: bool,
    /// The data directory whose disk is measured.
    #[arg(long, default_value = "data", env = "COINBITCLUB_DATA_DIR")]
    pub data: PathBuf,
    /// Look at the limits of this process instead of our own.
    #[arg(long)]
    pub pid: Option<u32>,
    /// The number of shards that is planned.
    #[arg(long)]
    pub shards: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(args) => serve::serve(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Log { command: LogCommand::Inspect(args) } => log::inspect(&args),
        Command::Log { command: LogCommand::Digest { dir } } => log::digest(&dir),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => restore::restore(&args),
        Command::Keys { command } => match command {
            KeysCommand::NewMaster => keys::new_master(),
            KeysCommand::List(args) => user_keys::list(&args),
            KeysCommand::Add(args) => user_keys::add(&args),
            KeysCommand::Replace(args) => user_keys::replace(&args),
            KeysCommand::Remove(args) => user_keys::remove(&args),
        },
        Command::Market { command: MarketCommand::Fetch(args) } => fetch::fetch(&args),
        Command::Market { command: MarketCommand::Pulse(args) } => pulse::pulse(&args),
        Command::Metrics { command: MetricsCommand::Dump { data } } => metrics::dump(&data),
        Command::Paper(args) => paper::paper(&args),
        Command::Sim(args) => {
            return sim::sim(&args).unwrap_or_else(|message| {
                eprintln!("coinbitclub: {message}");
                ExitCode::FAILURE
            });
        }
        Command::Tune(args) => return tune::tune(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("coinbitclub: {message}");
            ExitCode::FAILURE
        }
    }
}
