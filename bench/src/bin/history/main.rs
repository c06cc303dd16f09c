//! What does the history in PostgreSQL cost? The projector beside a plain COPY of the same rows; ways into a table beside each
//! other; orders while the database is away.
//!
//! `cargo run --release -p coinbitclub-bench --bin history -- throughput|ways|outage [--seconds N]` (needs the server programs and
//! `psql` of PostgreSQL, and `taskset`). The log comes from a real server under load, and the database is a real one, with its
//! defaults and `fsync` on. docs/history-bench.md has figures and what they do not show.

#[path = "../../../../storage/tests/cluster/mod.rs"]
mod cluster;
mod copy;
mod logged;
mod outage;
mod throughput;
mod ways;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cluster::{Cluster, Options};
use storage::postgres::target::Target;

/// The CPU of the load; the server's is the other.
const LOAD_CPU: usize = 0;
const SERVER_CPU: usize = 1;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let _ = tuning::raise_soft_limits();
    let result = match words[..] {
        ["serve", data, ref url @ ..] => serve(data, url.first().copied()),
        ["throughput"] => throughput::measure(Duration::from_secs(8)),
        ["throughput", "--seconds", text] => seconds(text).and_then(throughput::measure),
        ["ways"] => ways::measure(Duration::from_secs(3)),
        ["ways", "--seconds", text] => seconds(text).and_then(ways::measure),
        ["outage"] => outage::measure(Duration::from_secs(20)),
        ["outage", "--seconds", text] => seconds(text).and_then(outage::measure),
        _ => Err("expected throughput, ways or outage, then perhaps --seconds N".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|error| format!("--seconds {text}: {error}"))
}

fn serve(data: &str, url: Option<&str>) -> Result<(), String> {
    let postgres = url.map(|url| Target::parse(url, None)).transpose().map_err(|error| error.to_string())?;
    bench_support::orders::serve(PathBuf::from(data), postgres, logged::USERS..logged::USERS)
}

/// A database as PostgreSQL makes it: the tests' own are small and do not sync.
fn database() -> Cluster {
    let settings = vec!["shared_buffers = 128MB".to_owned(), "wal_log_hints = off".to_owned()];
    Cluster::start_with(&Options { fsync: true, settings, ..Options::default() })
}
