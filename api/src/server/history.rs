//! The threads around Postgres: one brings the logs into it, with a projector per shard; another reads from it.
//!
//! **Runs on**: two threads of their own on the housekeeping CPU. A projector reads snapshots and logs with blocking calls,
//! for seconds when it rebuilds its copy; reads are on the other thread so that none of them waits for that.
//! **Never**: keeps a shard, or the start of the server, waiting: a database that is not there is tried again, and the logs keep
//! what it misses. Nor the end: what waits for a database is given up within [`LOOK`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::seam::{Disk, Nanos};
use engine::shard::runtime::HostClock;
use futures_lite::future::or;
use storage::history::{EndedLogs, Fault, Progress, Projector, Sizes, bring_all, run_all};
use storage::postgres::migrate::{MigrateError, migrate};
use storage::postgres::replicas::{Readers, ReadersOptions};
use storage::postgres::target::Target;
use storage::postgres::writer::Writer;
use storage::postgres::{MIGRATIONS, TokioPause, runtime};
use storage::{DataDirectory, ReadOnlyDisk, ShardHome};

use super::inside::Lines;
use super::readers::{self, HistoryJobs};

/// Between two tries.
const TRY_AGAIN: Nanos = Nanos::from_millis(2_000);
/// How often a wait looks whether the server ends.
const LOOK: Nanos = Nanos::from_millis(50);

/// What reading needs.
pub struct Reading {
    /// Where from.
    pub options: ReadersOptions,
    /// Questions of the shards.
    pub jobs: HistoryJobs,
    /// The way back.
    pub lines: Lines,
}

/// Runs the projectors, one for each shard, until `stop` is set.
///
/// # Errors
/// The runtime could not be made.
pub fn write(
    primary: &Target,
    homes: Vec<ShardHome>,
    progress: &[Arc<Progress>],
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let work = async {
        if !schema(primary, progress, stop).await {
            return;
        }
        let sizes = Sizes::of_each(homes.len());
        let mut projectors: Vec<_> = homes
            .into_iter()
            .map(|home| {
                let writer = Writer::new(primary.clone());
                Projector::new(ReadOnlyDisk, home, writer, TokioPause(HostClock), sizes)
            })
            .collect();
        run_all(&mut projectors, progress, stop).await;
    };
    let runtime = runtime()?;
    // Whatever is dropped in its middle: where the database stands is asked at the next start.
    runtime.block_on(or(work, stopped(stop)));
    // A host's name that is still looked up is not waited for either.
    runtime.shutdown_background();
    Ok(())
}

/// Waits for the end of the server. An answer of a database that is frozen or not reached may take a minute, another's migrations
/// ten.
async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_nanos(LOOK.0)).await;
    }
}

/// Answers the shards' questions until `stop` is set.
///
/// # Errors
/// The runtime could not be made.
pub fn read(reading: Reading, stop: &AtomicBool) -> std::io::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let readers = Readers::new(reading.options);
        readers::run(&readers, reading.jobs, &reading.lines, stop).await;
    });
    runtime.shutdown_background();
    Ok(())
}

/// How long the history of a set of shards that ends is waited for.
const FINISH_MAX: Nanos = Nanos::from_millis(60_000);

/// Brings everything in these logs into the database, before another number of shards begins logs of its own.
///
/// # Errors
/// Why they are not there, for a log line: the database, or the time that this may take.
pub fn finish(primary: &Target, logs: &EndedLogs) -> Result<(), String> {
    runtime().map_err(|error| error.to_string())?.block_on(async {
        migrate(primary, MIGRATIONS).await.map_err(|error| error.to_string())?;
        bring_all(&ReadOnlyDisk, logs, || Writer::new(primary.clone()), TokioPause(HostClock), FINISH_MAX)
            .await
    })
}

/// Brings the schema up to date, however often it takes. False when the server ends first.
async fn schema(primary: &Target, progress: &[Arc<Progress>], stop: &AtomicBool) -> bool {
    while !stop.load(Ordering::Relaxed) {
        match migrate(primary, MIGRATIONS).await {
            Ok(migrated) => {
                tracing::info!(places = ?primary.places(), applied = migrated.applied, "the database's schema is up to date");
                return true;
            }
            Err(why) => {
                let fault = match why {
                    MigrateError::Connect(_) | MigrateError::Database(_) => Fault::Unreachable,
                    _ => Fault::Schema,
                };
                progress.iter().for_each(|progress| progress.failed(fault, &why.to_string()));
            }
        }
        let mut waited = Nanos(0);
        while waited < TRY_AGAIN && !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_nanos(LOOK.0)).await;
            waited = waited.plus(LOOK);
        }
    }
    false
}

/// With how many shards to start: as many as wished, or as before while the history of the logs from before is not in the
/// database, since those logs end with a change. `settle` makes those logs durable, with the disk that shards write with;
/// `finish` brings them into the database, or says why it cannot.
///
/// # Errors
/// That of `settle`: no start may go on from what may not stay.
pub async fn shards_to_start<D: Disk, E>(
    disk: &D,
    data: &Path,
    wished: u16,
    settle: impl AsyncFnOnce(Vec<ShardHome>) -> Result<EndedLogs, E>,
    finish: impl AsyncFnOnce(&EndedLogs) -> Result<(), String>,
) -> Result<u16, E> {
    // What is wrong with the directory, the start says itself.
    let Ok(Some(homes)) = DataDirectory::look(disk, data).await else { return Ok(wished) };
    let before = u16::try_from(homes.len()).unwrap_or(wished);
    if before == wished {
        return Ok(wished);
    }
    match finish(&settle(homes).await?).await {
        Ok(()) => Ok(wished),
        Err(_) if planted::planted!("shards_change_before_their_history_is_kept") => Ok(wished),
        Err(why) => {
            tracing::warn!(
                shards = before,
                wished,
                why,
                "the number of shards stays as it is: the history of the logs so far is not in the database yet"
            );
            Ok(before)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    /// Less than a connection may take.
    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn a_database_that_never_answers_keeps_no_end_waiting() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = silent.local_addr().expect("it has one").port();
        let target =
            Target::parse(&format!("postgresql://somebody@127.0.0.1:{port}/x"), None).expect("a URL");
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, ends) = mpsc::channel();
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let progress = [Arc::new(Progress::default())];
            ended.send(write(&target, Vec::new(), &progress, &told).is_ok()).expect("somebody waits");
        });
        let (_taken, _) = silent.accept().expect("it connects");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(ends.recv_timeout(SOON), Ok(true), "it waits for the answer");
        thread.join().expect("it did not panic");
    }
}
