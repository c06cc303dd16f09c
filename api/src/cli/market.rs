//! The server's set-up from its arguments: files are read and checked here, once, before anything starts.

use std::path::Path;
use std::sync::Arc;

use engine::core::instrument::Symbol;
use exchange::market::{Gate, MarketFile, Speed, symbol_from_file_name};
use exchange::paper::FundingTable;

use super::ServerArgs;
use super::keys;
use super::postgres;
use super::rules_file;
use super::telegram;
use crate::server::{MarketPace, MarketSource, ServerConfig, TlsFiles};

fn symbol_of(path: &Path) -> Option<Symbol> {
    symbol_from_file_name(&path.to_string_lossy())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The files of `--market` with their symbols.
///
/// # Errors
/// The file, the line and what is wrong with it.
pub fn market_files(args: &ServerArgs) -> Result<Vec<(Symbol, MarketFile)>, String> {
    if !args.symbols.is_empty() && args.symbols.len() != args.markets.len() {
        return Err("--symbol: give one for each --market, or none".to_owned());
    }
    let mut files = Vec::new();
    for (place, path) in args.markets.iter().enumerate() {
        let symbol = match args.symbols.get(place) {
            Some(text) => Symbol::new(text).ok_or_else(|| format!("--symbol {text}: not a symbol"))?,
            None => symbol_of(path).ok_or_else(|| {
                format!("{}: the name does not begin with a symbol; give --symbol", path.display())
            })?,
        };
        let text = read(path)?;
        let file = MarketFile::parse(&path.to_string_lossy(), &text).map_err(|error| error.to_string())?;
        files.push((symbol, file));
    }
    Ok(files)
}

fn speed(text: &str) -> Result<Option<Speed>, String> {
    match text {
        "real" => Ok(Some(Speed::REAL)),
        "max" => Ok(None),
        factor => match factor.parse::<u32>() {
            Ok(market) if market > 0 => Ok(Some(Speed { market, real: 1 })),
            _ => Err("--speed: `real`, `max` or a whole factor above 0".to_owned()),
        },
    }
}

/// The configuration for these arguments. With `gate`, a `max` market is held by it.
///
/// # Errors
/// The argument or file and what is wrong with it.
pub fn config(args: &ServerArgs, data: &Path, gate: Option<Arc<Gate>>) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::embedded(data.to_owned());
    config.listen = args.listen;
    config.connections_per_address = Some(args.connections_per_address).filter(|&max| max > 0);
    if let (Some(listen), Some(certificate), Some(key)) = (args.tls_listen, &args.tls_cert, &args.tls_key) {
        config.tls = Some(TlsFiles { listen, certificate: certificate.clone(), key: key.clone() });
    }
    config.shards = args.shards;
    config.spin_micros = args.spin_us;
    config.pin = !args.no_pin;
    config.segment_bytes = args.segment_mib << 20;
    config.snapshot_log_bytes = args.snapshot_mib << 20;
    if let Some(url) = &args.postgres_primary {
        config.postgres = Some(postgres::target(url).map_err(|why| format!("--postgres-primary: {why}"))?);
    }
    for url in &args.postgres_replicas {
        let replica = postgres::target(url).map_err(|why| format!("--postgres-replica: {why}"))?;
        config.postgres_replicas.push(replica);
    }
    if let Some(path) = &args.rules {
        config.rules = rules_file::read(path)?;
    }
    keys::configure(args, &mut config)?;
    config.alerts = telegram::settings(&args.telegram)?;
    let files = market_files(args)?;
    config.pace = match speed(&args.speed)? {
        Some(speed) => MarketPace::Real(speed),
        None => MarketPace::Max(gate),
    };
    if files.is_empty() {
        if matches!(config.pace, MarketPace::Max(_)) {
            return Err("--speed max: only for a --market FILE; the built-in market never ends".to_owned());
        }
        config.market = MarketSource::Generated { seed: args.seed };
    } else {
        config.market = MarketSource::Files(files);
    }
    for path in &args.funding {
        let symbol = symbol_of(path)
            .ok_or_else(|| format!("{}: the name does not begin with a symbol", path.display()))?;
        let table = FundingTable::parse(&path.to_string_lossy(), &read(path)?).map_err(|e| e.to_string())?;
        config.funding.push((symbol, Arc::new(table)));
    }
    Ok(config)
}
