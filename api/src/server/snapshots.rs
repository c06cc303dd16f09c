//! Snapshots of a running shard: begun when the log has grown enough, written in slices, finished when everything they show
//! is durable; then older segments and snapshots are removed, all but the last two snapshots' worth.
//!
//! **Runs on**: the shard's loop, for slices; a task per step for bytes. **Bounds**: a slice encodes about
//! [`SLICE_BYTES`]; one step is under way at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::seam::{Disk, Runtime};
use engine::shard::ports::{Gateway, Moment};
use engine::shard::runtime::notify::Notify;
use engine::shard::worker::Shard;
use storage::follow::removable_behind;
use storage::history::Progress;
use storage::{DurableSnapshot, Lsn, ShardHome, SnapshotWriter, StorageError, prune};

use super::journal::LogJournal;
use crate::reads::ServerReads;
use crate::web::gauges::ShardGauges;

/// Bytes of users encoded in one turn of the loop.
const SLICE_BYTES: usize = 64 << 10;

enum Step<D: Disk> {
    /// Nothing is under way.
    Idle,
    /// A task is at work; its result comes to the place.
    Working,
    /// Ready to take users from this place on.
    Taking(Box<SnapshotWriter<D>>, u32),
    /// All users are taken; the newest record they show has to become durable.
    Waiting(Box<SnapshotWriter<D>>, Lsn),
}

/// What a task brings back.
enum Brought<D: Disk> {
    Writer(Box<SnapshotWriter<D>>, u32),
    Snapshot { taken: DurableSnapshot, base: Option<DurableSnapshot> },
    Failed(StorageError),
}

/// The snapshots of a shard.
pub struct Snapshots<D: Disk> {
    disk: D,
    home: ShardHome,
    log_bytes_min: u64,
    wanted: bool,
    step: Step<D>,
    brought: Rc<RefCell<Option<Brought<D>>>>,
    last: Option<DurableSnapshot>,
    /// What was removed behind, so that it is not read again to find that it is the one to keep.
    base: Option<DurableSnapshot>,
    log_bytes_at_last: u64,
    /// How far the database is, where there is one: what it may still need is not removed.
    history: Option<Arc<Progress>>,
}

impl<D: Disk> Snapshots<D> {
    /// Snapshots for the shard in `home`, the newest of which is `last`.
    #[must_use]
    pub fn new(
        disk: D,
        home: ShardHome,
        log_bytes_min: u64,
        last: Option<DurableSnapshot>,
        history: Option<Arc<Progress>>,
    ) -> Self {
        Self {
            disk,
            home,
            log_bytes_min,
            wanted: false,
            step: Step::Idle,
            brought: Rc::new(RefCell::new(None)),
            last,
            base: None,
            log_bytes_at_last: 0,
            history,
        }
    }

    /// Takes one as soon as possible.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether a task of a snapshot is under way.
    #[must_use]
    pub fn is_working(&self) -> bool {
        matches!(self.step, Step::Working)
    }

    /// One step. True when there is another to be made at once.
    pub fn step<RT: Runtime, G: Gateway>(
        &mut self,
        shard: &mut Shard<ServerReads, LogJournal<D>, G>,
        runtime: &RT,
        notify: &Rc<Notify>,
        now: Moment,
        gauges: &ShardGauges,
    ) -> bool {
        let brought = self.brought.borrow_mut().take();
        if let Some(brought) = brought {
            self.take(brought, shard, now, gauges);
        }
        let log = &shard.journal().log;
        match std::mem::replace(&mut self.step, Step::Working) {
            Step::Idle => {
                let grown = log.stats().bytes.saturating_sub(self.log_bytes_at_last);
                let due = self.last.as_ref().map_or(0, DurableSnapshot::bytes).max(self.log_bytes_min);
                if (!self.wanted && grown < due) || shard.failure().is_some() {
                    self.step = Step::Idle;
                    return false;
                }
                self.wanted = false;
                self.log_bytes_at_last = log.stats().bytes;
                let start = log.next_lsn();
                if let Some(last) = self.last.as_ref().filter(|last| last.start() == start) {
                    // Nothing was recorded since. One of the same name that shows more, because records come while it is
                    // written, would take the place of one that a history in Postgres may still begin with.
                    gauges.snapshot_lsn.store(last.start().0, Ordering::Relaxed);
                    self.step = Step::Idle;
                    return false;
                }
                let (disk, home) = (self.disk.clone(), self.home.clone());
                self.spawn(runtime, notify, async move {
                    match SnapshotWriter::begin(disk, home, start).await {
                        Ok(writer) => Brought::Writer(Box::new(writer), 0),
                        Err(error) => Brought::Failed(error),
                    }
                });
                false
            }
            Step::Working => false,
            Step::Taking(mut writer, from) => {
                let mut too_large = None;
                let next = shard.snapshot_slice(from, SLICE_BYTES, |section| {
                    if let Err(error) = writer.add(section) {
                        too_large = Some(error);
                    }
                });
                if let Some(error) = too_large {
                    tracing::error!(%error, "a user does not fit a snapshot's section: no snapshot is taken");
                    self.step = Step::Idle;
                    return false;
                }
                let Some(next) = next else {
                    let shows = Lsn(shard.journal().log.next_lsn().0 - 1);
                    self.step = Step::Waiting(writer, shows);
                    return true;
                };
                if writer.needs_drain() {
                    self.spawn(runtime, notify, async move {
                        match writer.drain().await {
                            Ok(()) => Brought::Writer(writer, next),
                            Err(error) => abandon(writer, error).await,
                        }
                    });
                    return false;
                }
                self.step = Step::Taking(writer, next);
                true
            }
            Step::Waiting(writer, shows) => {
                if log.durable() < shows {
                    self.step = Step::Waiting(writer, shows);
                    return false;
                }
                let position = log.position();
                let (disk, home, previous) = (self.disk.clone(), self.home.clone(), self.last.clone());
                let mut base = self.base.clone();
                let hold = self.history.as_ref().map_or(Lsn(u64::MAX), |history| history.hold());
                self.spawn(runtime, notify, async move {
                    match writer.finish(shows, position).await {
                        Ok(taken) => {
                            // Two are kept: damage to the newest costs a longer recovery and nothing else.
                            if let Some(previous) = previous
                                && let Err(error) =
                                    remove_behind(&disk, &home, &previous, hold, &mut base).await
                            {
                                tracing::warn!(%error, "old segments were not removed; the next snapshot tries again");
                            }
                            Brought::Snapshot { taken, base }
                        }
                        Err(error) => Brought::Failed(error),
                    }
                });
                false
            }
        }
    }

    fn take<G: Gateway>(
        &mut self,
        brought: Brought<D>,
        shard: &mut Shard<ServerReads, LogJournal<D>, G>,
        now: Moment,
        gauges: &ShardGauges,
    ) {
        match brought {
            Brought::Writer(writer, from) => self.step = Step::Taking(writer, from),
            Brought::Snapshot { taken: snapshot, base } => {
                shard.counters_mut().snapshots += 1;
                gauges.snapshot_lsn.store(snapshot.start().0, Ordering::Relaxed);
                gauges.snapshot_bytes.store(snapshot.bytes(), Ordering::Relaxed);
                let (path, bytes) = (snapshot.path().display(), snapshot.bytes());
                tracing::info!(%path, bytes, users = snapshot.sections(), "snapshot taken");
                (self.last, self.base) = (Some(snapshot), base);
                self.step = Step::Idle;
            }
            Brought::Failed(error) => {
                if planted::planted!("failed_snapshot_stops_the_shard") {
                    gauges.failed.store(true, Ordering::Relaxed);
                    shard.journal_failed(&error.to_string());
                }
                tracing::error!(%error, at = now.wall.0, "no snapshot was taken; log and older snapshots are not affected");
                self.step = Step::Idle;
            }
        }
    }

    fn spawn<RT: Runtime>(
        &mut self,
        runtime: &RT,
        notify: &Rc<Notify>,
        work: impl Future<Output = Brought<D>> + 'static,
    ) {
        self.step = Step::Working;
        let (brought, notify) = (Rc::clone(&self.brought), Rc::clone(notify));
        drop(runtime.spawn("snapshot", async move {
            let result = work.await;
            *brought.borrow_mut() = Some(result);
            notify.notify();
        }));
    }
}

async fn remove_behind<D: Disk>(
    disk: &D,
    home: &ShardHome,
    previous: &DurableSnapshot,
    hold: Lsn,
    done: &mut Option<DurableSnapshot>,
) -> Result<(), StorageError> {
    let Some(base) = removable_behind(disk, home, previous, hold, done.as_ref()).await? else {
        return Ok(());
    };
    prune(disk, home, &base).await?;
    *done = Some(base);
    Ok(())
}

async fn abandon<D: Disk>(writer: Box<SnapshotWriter<D>>, error: StorageError) -> Brought<D> {
    if let Err(also) = writer.abandon().await {
        tracing::warn!(%also, "an unfinished snapshot was not removed; the next start removes it");
    }
    Brought::Failed(error)
}
