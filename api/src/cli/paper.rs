//! `coinbitclub paper`: the paper exchange as a server, plain HTTP and WebSocket; [`serve`] also speaks TLS.
//!
//! **Runs on**: the thread that calls it, alone. **Owns**: the clock and the wait; the rest is [`PaperServer`]'s.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use engine::core::ids::Timestamp;
use exchange::market::{Market, MarketFile, symbol_from_file_name};
use exchange::paper_exchange::{CoreSettings, PaperExchange};
use net::tls::{ServerSide, TlsWire, inner_config};
use net::wire::uring::UringWire;
use net::wire::{ListenOptions, Listener, Wire, listen};

use crate::server::paper_server::{PaperServer, wire_config};

/// Longest wait, so that a signal is seen.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// How long a stop waits for connections to end.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// `paper`.
#[derive(Args)]
pub struct PaperArgs {
    /// Address and port to listen on; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:3100")]
    pub listen: SocketAddr,
    /// Seed of the built-in market and of faults by chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Play the prices of this CSV of candles or trades instead; may be given several times.
    #[arg(long = "market", value_name = "FILE")]
    pub markets: Vec<PathBuf>,
}

fn settings(args: &PaperArgs, now: Timestamp) -> Result<CoreSettings, String> {
    let generated = CoreSettings::generated(args.seed, now);
    if args.markets.is_empty() {
        return Ok(generated);
    }
    let mut market = Market::new();
    for path in &args.markets {
        let name = path.to_string_lossy();
        let symbol = symbol_from_file_name(&name)
            .ok_or_else(|| format!("{name}: the name does not begin with a symbol"))?;
        let listing = generated.venue.listings.iter().find(|listing| listing.instrument.symbol == symbol);
        let listing = listing.ok_or_else(|| format!("{name}: {symbol} is not listed"))?;
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let file = MarketFile::parse(&name, &text).map_err(|error| error.to_string())?;
        market.add_file(&file, symbol, listing.instrument.tick).map_err(|error| error.to_string())?;
    }
    let market_from = market.peek().map_or(now, |tick| tick.venue_at);
    Ok(CoreSettings { market, market_from, ..generated })
}

/// Runs the paper exchange until SIGTERM or Ctrl-C.
///
/// # Errors
/// What to do about it.
pub fn paper(args: &PaperArgs) -> Result<(), String> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let _logging = super::serve::start_logging("info");
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| format!("signals: {error}"))?;
    }
    let settings = settings(args, wall_clock())?;
    let exchange = PaperExchange::new(settings, args.seed).map_err(|error| error.to_string())?;
    let listener = listen(args.listen, &ListenOptions::default())
        .map_err(|error| format!("{}: {error}", args.listen))?;
    println!("paper exchange on http://{}", listener.address());
    serve(exchange, listener, ServerSide::default(), &stop)
}

/// This machine's clock.
#[must_use]
pub fn wall_clock() -> Timestamp {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX).max(1))
}

/// Serves an exchange until `stop` is set, over TLS where `tls` says so.
///
/// # Errors
/// What the system refuses.
pub fn serve(
    exchange: PaperExchange,
    listener: Listener,
    tls: ServerSide,
    stop: &AtomicBool,
) -> Result<(), String> {
    let (start, wall) = (Instant::now(), wall_clock());
    let address = listener.address();
    let text = |error: std::io::Error| format!("{address}: {error}");
    let wire = UringWire::new(listener, inner_config(wire_config())).map_err(|error| error.to_string())?;
    let wire = TlsWire::new(wire, wire_config(), tls).map_err(|error| error.to_string())?;
    let mut server = PaperServer::new(exchange, wire, wall);
    let mut stopped_at: Option<Instant> = None;
    loop {
        let elapsed = start.elapsed();
        let mono_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let now = wall.plus_micros(mono_ns / 1_000);
        if stop.load(Ordering::Relaxed) && stopped_at.is_none() {
            stopped_at = Some(Instant::now());
            server.stop();
        }
        let more = server.turn(mono_ns, now).map_err(text)?;
        if stopped_at.is_some_and(|at| server.wire_mut().connections() == 0 || at.elapsed() > STOP_PATIENCE) {
            return Ok(());
        }
        if !more {
            let span = server.quiet(mono_ns).unwrap_or(WAIT_MAX).min(WAIT_MAX);
            server.wire_mut().wait(span).map_err(text)?;
        }
    }
}
