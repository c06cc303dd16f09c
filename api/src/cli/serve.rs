//! `coinbitclub serve`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use super::ServeArgs;
use super::market;
use crate::server::{self, Server};

/// How often it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Begins logging to standard error through a thread of its own, so that a slow terminal never holds up a shard. Lines that
/// the thread cannot keep up with are dropped. The guard flushes when it is dropped.
pub fn start_logging(default_level: &str) -> WorkerGuard {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let filter = EnvFilter::try_from_env("COINBITCLUB_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_env_filter(filter).with_ansi(false);
    // A second start in one process (tests) keeps the first.
    let _ = subscriber.try_init();
    guard
}

/// What signals ask for.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// SIGHUP: certificate and key are to be read again.
    reload: Arc<AtomicBool>,
}

/// Registers SIGTERM and SIGINT for `stop`, SIGUSR1 for `dump`, SIGHUP for reading the certificate again.
///
/// # Errors
/// The system's.
pub fn watch_signals(stop: &Arc<AtomicBool>, dump: &Arc<AtomicBool>) -> Result<Signals, String> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    let signals = Signals::default();
    let text = |error: std::io::Error| format!("signals: {error}");
    signal_hook::flag::register(SIGTERM, Arc::clone(stop)).map_err(text)?;
    signal_hook::flag::register(SIGINT, Arc::clone(stop)).map_err(text)?;
    signal_hook::flag::register(SIGUSR1, Arc::clone(dump)).map_err(text)?;
    signal_hook::flag::register(SIGHUP, Arc::clone(&signals.reload)).map_err(text)?;
    Ok(signals)
}

/// Waits until a signal or a failed shard ends the server, then ends it in order.
///
/// # Errors
/// What ended a shard.
pub fn serve_until_told(server: Server, stop: &AtomicBool, signals: &Signals) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        if signals.reload.swap(false, Ordering::Relaxed) {
            reload(&server);
        }
        if server.has_failed() {
            return server.stop().and(Err("a shard ended by itself".to_owned()));
        }
        let failed = server.gauges.shards.iter().position(|gauges| gauges.failed.load(Ordering::Relaxed));
        if let Some(shard) = failed {
            // What was acknowledged is durable; a new process recovers it. Going on half would serve some users only.
            let ended = server.stop();
            return ended.and(Err(format!(
                "the log of shard {shard} failed; see the log lines above. Restart recovers"
            )));
        }
        std::thread::sleep(LOOK);
    }
    tracing::info!("stopping");
    server.stop()
}

/// Reads the certificate again.
fn reload(server: &Server) {
    match &server.tls {
        Some(tls) => match tls.reload() {
            Ok(()) => tracing::info!("certificate and key were read again; new connections get them"),
            Err(error) => {
                tracing::error!(%error, "the certificate was not replaced; the old one stays in use")
            }
        },
        None => tracing::info!("nothing to read again: no TLS is set up"),
    }
}

/// Runs the server.
///
/// # Errors
/// What to do about it.
pub fn serve(args: &ServeArgs) -> Result<(), String> {
    let _logging = start_logging("info");
    let config = market::config(&args.server, &args.data, None)?;
    match tuning::raise_soft_limits() {
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "limits were not raised; see `coinbitclub tune --check`"),
    }
    let server = server::start(&config).map_err(|error| error.to_string())?;
    let stop = server.stop_flag();
    let signals = watch_signals(&stop, &server.dump)?;
    let recovered = server.recovery;
    println!(
        "listening on http://{} with {} shards; {} users recovered from {} records",
        server.address,
        server.shards(),
        recovered.users,
        recovered.records
    );
    if let Some(tls) = &server.tls {
        println!("listening on https://{}", tls.address);
    }
    serve_until_told(server, &stop, &signals)
}
