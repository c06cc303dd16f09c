//! The thread that brings the logs into Postgres, one projector per shard, all on one tokio runtime.
//!
//! **Runs on**: a thread of its own on the housekeeping CPU. **Never**: keeps a shard, or the start of the server, waiting:
//! a database that is not there is tried again, and the logs keep what it misses.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::seam::{Clock, Nanos};
use engine::shard::runtime::HostClock;
use storage::history::{Pause, Progress, Projector, Sizes};
use storage::inspect::{Found, inspect};
use storage::postgres::connect::{Role, Target, connect};
use storage::postgres::migrate::{MIGRATIONS, migrate};
use storage::postgres::writer::{Writer, complete};
use storage::{DataDirectory, Generation, Lsn, ReadOnlyDisk, ShardHome};

/// How long one try to bring the schema up to date may take to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Between two tries.
const TRY_AGAIN: Nanos = Nanos::from_millis(2_000);
/// How often a wait looks whether the server ends.
const LOOK: Nanos = Nanos::from_millis(50);

/// Waiting on tokio's clock; the shards' clock to tell the time by.
#[derive(Clone, Copy)]
struct TokioPause;

impl Pause for TokioPause {
    async fn pause(&self, span: Nanos) {
        tokio::time::sleep(Duration::from_nanos(span.0)).await;
    }

    fn now(&self) -> Nanos {
        HostClock.monotonic()
    }
}

/// Runs until `stop` is set.
///
/// # Errors
/// The runtime could not be made.
pub fn run(
    primary: &Target,
    homes: Vec<ShardHome>,
    progress: &[Arc<Progress>],
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if !schema(primary, progress, stop).await {
            return;
        }
        let mut projectors: Vec<_> = homes
            .into_iter()
            .map(|home| {
                Projector::new(ReadOnlyDisk, home, Writer::new(primary.clone()), TokioPause, Sizes::default())
            })
            .collect();
        let mut running: Vec<_> = projectors
            .iter_mut()
            .zip(progress)
            .map(|(projector, progress)| Box::pin(projector.run(progress, stop)))
            .collect();
        // All of them, each polled when anything happens: they are few.
        std::future::poll_fn(|context| {
            running.retain_mut(|one| one.as_mut().poll(context).is_pending());
            if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    });
    Ok(())
}

/// How long the history of a set of shards that ends is waited for.
const FINISH_MAX: Duration = Duration::from_secs(60);

/// The last record of a log that nobody writes to.
fn last_record(home: &ShardHome) -> Result<Lsn, String> {
    let mut last = Lsn(0);
    let visit = |found: Found<'_>| {
        match found {
            Found::Record { lsn, .. } => last = last.max(lsn),
            Found::Snapshot(snapshot) => last = last.max(snapshot.reflects()),
            _ => {}
        }
        Ok::<_, Infallible>(())
    };
    futures_lite::future::block_on(inspect(&ReadOnlyDisk, home.dir(), visit))
        .map_err(|error| error.to_string())?;
    Ok(last)
}

/// Says in the database that the logs of this generation have ended and are all there.
fn close(primary: &Target, generation: Generation) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let connected =
            connect(primary, Role::Primary, CONNECT_MAX).await.map_err(|error| error.to_string())?;
        complete(&connected.client, generation).await.map_err(|error| error.to_string())
    })
}

/// Brings everything in the logs of `homes` into the database, before another number of shards begins logs of its own.
///
/// # Errors
/// Why it is not there after [`FINISH_MAX`].
pub fn finish(primary: &Target, homes: Vec<ShardHome>) -> Result<(), String> {
    let generation = homes.first().map_or(Generation(0), |home| home.identity().generation);
    let ends = homes.iter().map(last_record).collect::<Result<Vec<_>, _>>()?;
    let progress: Vec<Arc<Progress>> = homes.iter().map(|_| Arc::default()).collect();
    for (progress, end) in progress.iter().zip(&ends) {
        progress.set_durable(*end);
    }
    let stop = AtomicBool::new(false);
    let there = || progress.iter().zip(&ends).all(|(progress, end)| progress.projected() >= *end);
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| run(primary, homes, &progress, &stop));
        let deadline = Instant::now() + FINISH_MAX;
        while !there() && Instant::now() < deadline && !worker.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        worker
            .join()
            .map_err(|_| "the history's thread panicked".to_owned())?
            .map_err(|error| error.to_string())
    })?;
    if there() {
        return close(primary, generation);
    }
    let failing = progress.iter().find_map(|progress| progress.report().failing);
    Err(failing.unwrap_or_else(|| format!("it takes longer than {} s", FINISH_MAX.as_secs())))
}

/// Brings the schema up to date, however often it takes. False when the server ends first.
async fn schema(primary: &Target, progress: &[Arc<Progress>], stop: &AtomicBool) -> bool {
    while !stop.load(Ordering::Relaxed) {
        let done = async {
            let connected =
                connect(primary, Role::Primary, CONNECT_MAX).await.map_err(|error| error.to_string())?;
            migrate(&connected.client, MIGRATIONS).await.map_err(|error| error.to_string())
        };
        match done.await {
            Ok(applied) => {
                tracing::info!(database = %primary, applied, "the database's schema is up to date");
                return true;
            }
            Err(why) => progress.iter().for_each(|progress| progress.failed(&why)),
        }
        let mut waited = Nanos(0);
        while waited < TRY_AGAIN && !stop.load(Ordering::Relaxed) {
            TokioPause.pause(LOOK).await;
            waited = waited.plus(LOOK);
        }
    }
    false
}

/// With how many shards to start: as many as wished, or as before while the history of the logs from before is not in the
/// database, since those logs end with a change.
pub fn shards_to_start(primary: &Target, data: &Path, wished: u16) -> u16 {
    let looked = futures_lite::future::block_on(DataDirectory::look(&ReadOnlyDisk, data));
    // What is wrong with the directory, the start says itself.
    let Ok(Some(homes)) = looked else { return wished };
    let before = u16::try_from(homes.len()).unwrap_or(wished);
    if before == wished {
        return wished;
    }
    match finish(primary, homes) {
        Ok(()) => wished,
        Err(why) => {
            tracing::warn!(
                shards = before,
                wished,
                why,
                "the number of shards stays as it is: the history of the logs so far is not in the database yet"
            );
            before
        }
    }
}
