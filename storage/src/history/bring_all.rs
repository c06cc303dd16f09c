//! All logs of a generation into the database, before another generation begins.
//!
//! **Invariants**: nobody writes to these logs any more, and what they hold is durable ([`EndedLogs`]); the generation is called
//! complete only when everything is there.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::seam::{Disk, Nanos};
use futures_lite::future::zip;
use futures_util::future::join_all;

use super::ended_logs::EndedLogs;
use super::progress::Progress;
use super::projector::{Projector, Sizes};
use super::seam::{History, Pause};
use crate::error::RecoverError;
use crate::generation::ShardHome;
use crate::identity::Lsn;
use crate::inspect::{Found, inspect};

/// How often it looks whether all is there.
const LOOK: Nanos = Nanos::from_millis(20);

/// The last record of a log that nobody writes to.
///
/// # Errors
/// What is damaged, or cannot be read.
pub async fn last_record<D: Disk>(disk: &D, home: &ShardHome) -> Result<Lsn, String> {
    let (mut last, mut damage) = (Lsn(0), None);
    let visit = |found: Found<'_>| {
        match found {
            Found::Record { lsn, .. } => last = last.max(lsn),
            Found::Snapshot(snapshot) => last = last.max(snapshot.reflects()),
            // What follows was not looked at: the end is not known.
            Found::Damage(error) => damage = Some(error.to_string()),
            _ => {}
        }
        Ok::<_, Infallible>(())
    };
    match inspect(disk, home.dir(), visit).await {
        Ok(_) => damage.map_or(Ok(last), Err),
        Err(RecoverError::Storage(error)) => Err(error.to_string()),
        Err(RecoverError::Visitor { source, .. }) => match source {},
    }
}

/// Runs several projectors side by side until all have ended.
pub async fn run_all<D: Disk, H: History, P: Pause>(
    projectors: &mut [Projector<D, H, P>],
    progress: &[impl AsRef<Progress>],
    stop: &AtomicBool,
) {
    let all = projectors.iter_mut().zip(progress);
    join_all(all.map(|(projector, progress)| projector.run(progress.as_ref(), stop))).await;
}

/// Brings everything in these logs into the database and says that it is complete.
///
/// # Errors
/// Why not all of it is there within `limit`.
pub async fn bring_all<D: Disk, H: History, P: Pause>(
    disk: &D,
    logs: &EndedLogs,
    history: impl Fn() -> H,
    pause: P,
    limit: Nanos,
) -> Result<(), String> {
    let (homes, mut ends) = (logs.homes(), Vec::new());
    for home in homes {
        ends.push(last_record(disk, home).await?);
    }
    let progress: Vec<Arc<Progress>> = homes.iter().map(|_| Default::default()).collect();
    for (progress, end) in progress.iter().zip(&ends) {
        progress.set_durable(*end);
    }
    let stop = AtomicBool::new(false);
    let sizes = Sizes::of_each(homes.len());
    let mut projectors: Vec<_> = homes
        .iter()
        .map(|home| Projector::new(disk.clone(), home.clone(), history(), pause.clone(), sizes))
        .collect();
    let there = || progress.iter().zip(&ends).all(|(progress, end)| progress.is_at(*end));
    let watch = async {
        let since = pause.now();
        while !there() && pause.now().since(since) < limit {
            pause.pause(LOOK).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    zip(watch, run_all(&mut projectors, &progress, &stop)).await;
    if !there() {
        let failing = progress.iter().find_map(|progress| progress.report().failing);
        return Err(failing.unwrap_or_else(|| "it takes too long".to_owned()));
    }
    let ends: Vec<_> = homes.iter().map(|home| *home.identity()).zip(ends.iter().copied()).collect();
    history().complete(&ends).await.map_err(|error| error.to_string())
}
