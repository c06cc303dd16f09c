//! The projector of one shard: reads its log, turns records into rows, brings them into the database, again and again. While
//! the database works on a batch, the next one is made.
//!
//! **Runs on**: the projectors' thread; a shard never waits for it. **Owns**: the copy of the state, the batch under way.
//! **Invariants**: where the database stands is asked after every failure and never assumed, and the record it stands at is
//! compared with the log's: a directory that was put back gives its number to another. If it has the batch, the batch is
//! forgotten; if it stands where the batch begins, the batch is written again; if it stands elsewhere (a replica that missed
//! the tail was promoted), everything is rebuilt for that place from a snapshot and the log. A record that the database
//! refuses is found by halving batches, noted there by its position, and passed over. A batch that takes too long is halved too.
//! **Bounds**: [`Sizes`], for the batch that is written and for the next; back-off between failures up to [`BACK_OFF_MAX`].

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::core::codec::CodecError;
use engine::seam::{Disk, Nanos};
use futures_lite::future::{yield_now, zip};

use super::batch::Batch;
use super::middle;
use super::progress::{Fault, Progress, Whose};
use super::projection::Projection;
use super::seam::{History, HistoryError, Mark, Pause, Reached, Standing};
use crate::error::StorageError;
use crate::follow::{Base, Follower, base_for, oldest_base, read_sections, record_at, seed_base};
use crate::generation::ShardHome;
use crate::identity::{LogIdentity, Lsn};
use crate::relay::RelayReader;

/// How long it waits after the first failure; doubled with each, and varied by half.
const BACK_OFF_MIN: Nanos = Nanos::from_millis(50);
/// The longest it waits.
const BACK_OFF_MAX: Nanos = Nanos::from_millis(15_000);
/// How often a database that gets nothing is asked where it stands: it may have been put back by a fail-over.
const ASK_EVERY: Nanos = Nanos::from_millis(1_000);
/// Records that are read at once, before other work of the thread goes on (the writing of a batch, readers, other shards): a
/// fraction of a millisecond, because each answer of the database that a batch waits for may wait for that.
const STEP_RECORDS: usize = 32;
/// Records that are enough to begin with while the database has nothing to do. While it works on them, more are made than it
/// works on, so that batches grow by themselves where there is enough.
const ENOUGH_RECORDS: usize = 4_096;
/// The part of the largest batch that batches grow by at most, with each that was taken, after they had to be smaller; small ones
/// are doubled. Doubling large ones would be too much for every second one of a database that is slow all the time.
const GROWTH_SHARE: usize = 16;

/// Bytes of rows that all projectors of a server hold, in the batches that are written and in the next ones: about what one
/// shard's largest two batches came to (docs/history-bench.md). Each goes over its share by the rows of one step at most.
pub const ROW_BYTES_MAX: usize = 256 << 20;
/// The least share of a batch, however many shards there are.
const ROW_BYTES_MIN: usize = 1 << 20;

/// How large a batch may be.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Records.
    pub records_max: usize,
    /// Bytes of records.
    pub bytes_max: usize,
    /// Bytes of its rows.
    pub row_bytes_max: usize,
    /// How long the first record of a batch waits for others when there are no more.
    pub linger: Nanos,
    /// How long it waits for new records when there are none.
    pub idle: Nanos,
}

impl Default for Sizes {
    /// Those of the only projector.
    fn default() -> Self {
        Self::of_each(1)
    }
}

impl Sizes {
    /// Those of each of so many projectors in one process.
    #[must_use]
    pub const fn of_each(shards: usize) -> Self {
        let shards = if shards == 0 { 1 } else { shards };
        let share = ROW_BYTES_MAX / 2 / shards;
        Self {
            // A row that changes within a batch is written once: a larger batch writes fewer rows twice
            // (docs/history-bench.md).
            records_max: 150_000,
            bytes_max: 32 << 20,
            row_bytes_max: if share < ROW_BYTES_MIN { ROW_BYTES_MIN } else { share },
            linger: Nanos::from_millis(20),
            idle: Nanos::from_millis(5),
        }
    }
}

/// Why a projector cannot go on for now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Log(#[from] StorageError),
    #[error("record {lsn} of the log cannot be read: {cause}")]
    Record { lsn: Lsn, cause: CodecError },
    #[error(
        "the database holds records up to {found}, and the log ends at {durable}: the data directory was put back to an \
         earlier point. Give a new database, or put the database back as well"
    )]
    Ahead { found: Lsn, durable: Lsn },
    #[error(
        "the database holds another record {0} than the log: the data directory was put back to an earlier point and went on \
         from there. Give a new database, or put the database back to that point as well"
    )]
    OtherHistory(Lsn),
    #[error(
        "the database holds records up to {0}, and that one is not in the log any more, so that nobody can tell whether it is \
         the same. Give a new database"
    )]
    NotToBeTold(Lsn),
}

impl Trouble {
    fn fault(&self) -> Fault {
        match self {
            Self::History(HistoryError::Unreachable(_)) => Fault::Unreachable,
            Self::History(HistoryError::TooSlow(_)) => Fault::TooSlow,
            Self::History(HistoryError::Moved { .. }) => Fault::Moved,
            Self::History(HistoryError::Refused(_)) => Fault::Refused,
            Self::Log(_) | Self::Record { .. } => Fault::Log,
            Self::History(HistoryError::Foreign(_))
            | Self::Ahead { .. }
            | Self::OtherHistory(_)
            | Self::NotToBeTold(_) => Fault::AnotherHistory,
        }
    }
}

/// See the module's head.
pub struct Projector<D: Disk, H, P> {
    disk: D,
    home: ShardHome,
    history: H,
    pause: P,
    sizes: Sizes,
    /// The bound of records while a refused one is looked for, or the database is slow.
    records_max: usize,
    /// The bound of users at once of a history that begins in the middle.
    users_at_once: usize,
    projection: Option<(Projection, Follower<D>)>,
    relay: Option<RelayReader>,
    /// A batch that was sent and whose fate is not known.
    pending: Option<Batch>,
    failures: u32,
    noise: u64,
}

impl<D: Disk, H: History, P: Pause> Projector<D, H, P> {
    /// The projector of the shard in `home`.
    #[must_use]
    pub fn new(disk: D, home: ShardHome, history: H, pause: P, sizes: Sizes) -> Self {
        let noise = home.identity().salt.0 ^ u64::from(home.identity().shard.0);
        let records_max = sizes.records_max;
        Self {
            disk,
            home,
            history,
            pause,
            sizes,
            records_max,
            users_at_once: middle::USERS_AT_ONCE,
            projection: None,
            relay: None,
            pending: None,
            failures: 0,
            noise,
        }
    }

    fn place(&self) -> LogIdentity {
        *self.home.identity()
    }

    /// Works until `stop` is set; then the batch that waits is not written.
    pub async fn run(&mut self, progress: &Progress, stop: &AtomicBool) {
        if let Some(relay) = progress.take_relay_reader() {
            self.relay = Some(relay);
        }
        while !stop.load(Ordering::Relaxed) {
            let Err(trouble) = self.work(progress, stop).await else { return };
            progress.failed(trouble.fault(), &trouble.to_string());
            if trouble.fault() == Fault::AnotherHistory {
                progress.set_whose(Whose::Another);
            }
            progress.passes(self.pause.now());
            if !matches!(trouble, Trouble::History(_)) {
                // Where the follower stands after damage is not where it belongs once that is mended.
                (self.projection, self.pending) = (None, None);
            }
            self.failures = self.failures.saturating_add(1);
            let mut wait = self.back_off();
            // In small steps, so that a stop is not waited for.
            while wait > Nanos(0) && !stop.load(Ordering::Relaxed) {
                let step = wait.min(Nanos::from_millis(50));
                self.pause.pause(step).await;
                wait = wait.since(step);
            }
        }
    }

    /// The next wait: doubled with each failure, and somewhere in its upper half, so that shards do not come back together.
    fn back_off(&mut self) -> Nanos {
        let doubled = BACK_OFF_MIN.0 << (self.failures - 1).min(20);
        let whole = doubled.min(BACK_OFF_MAX.0);
        // Marsaglia's xorshift; only to spread the shards.
        self.noise = self.noise.max(1);
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        Nanos(whole / 2 + self.noise % (whole / 2))
    }

    async fn work(&mut self, progress: &Progress, stop: &AtomicBool) -> Result<(), Trouble> {
        let found = self.history.position(self.place()).await?;
        self.settle(found.record());
        if self.projection.is_none() {
            // Of another history, nothing is in the database: neither is the log let go for it, nor is it said to be there.
            let own = self.is_own(found.record(), progress).await;
            if own.is_err() {
                progress.stands(None, self.pause.now());
            }
            own?;
        }
        progress.set_whose(Whose::Ours);
        progress.stands(found.record().map(|reached| reached.lsn), self.pause.now());
        if self.projection.is_none() {
            progress.set_refused(self.history.refusals(self.place()).await?);
            self.rebuild(found).await?;
            if found == Standing::Nothing {
                // Of its beginning.
                progress.set_refused(self.history.refusals(self.place()).await?);
            }
        }
        self.follow(progress, stop).await
    }

    /// Whether the database's last record is this log's.
    async fn is_own(&self, found: Option<Reached>, progress: &Progress) -> Result<(), Trouble> {
        let Some(Reached { lsn, mark }) = found else { return Ok(()) };
        let durable = progress.durable();
        if lsn > durable {
            return Err(Trouble::Ahead { found: lsn, durable });
        }
        if mark == Mark::Unknown || lsn == Lsn(0) || planted::planted!("another_history_is_grown_over") {
            return Ok(());
        }
        let record = record_at(&self.disk, &self.home, lsn).await?;
        match (mark, record.as_deref().map_or(Mark::Absent, Mark::of)) {
            (expected, is) if expected == is => Ok(()),
            (_, Mark::Absent) => {
                // A log that lacks what the database does says so itself.
                base_for(&self.disk, &self.home, lsn).await?;
                Err(Trouble::NotToBeTold(lsn))
            }
            _ => Err(Trouble::OtherHistory(lsn)),
        }
    }

    /// What the database's position says about the batch under way and the copy of the state.
    fn settle(&mut self, found: Option<Reached>) {
        let expected = match &self.pending {
            Some(batch) if found == Some(batch.through) => {
                self.pending = None;
                return;
            }
            Some(batch) => batch.after,
            None => match &self.projection {
                Some((projection, _)) => projection.waiting().after,
                None => return,
            },
        };
        if found != expected {
            self.pending = None;
            self.projection = None;
        }
    }

    /// Makes the copy of the state that belongs to a database which stands at `found`.
    async fn rebuild(&mut self, standing: Standing) -> Result<(), Trouble> {
        let found = standing.record();
        let base = match found {
            Some(found) => base_for(&self.disk, &self.home, found.lsn).await?,
            None if standing == Standing::Earlier => seed_base(&self.disk, &self.home).await?,
            None => oldest_base(&self.disk, &self.home).await?,
        };
        let mut projection = Projection::new(self.place());
        let mut start = Lsn(1);
        let mut bad = None;
        if let Base::Snapshot(snapshot) = &base {
            start = snapshot.start();
            read_sections(&self.disk, &self.home, snapshot, &mut |section| {
                if bad.is_none() {
                    bad = projection.load(section).err();
                }
            })
            .await?;
        }
        if let Some(cause) = bad {
            return Err(Trouble::Record { lsn: start, cause });
        }
        let lsn = Lsn(start.0 - 1);
        let mark = match found {
            // The history may begin here: which record is the last before it.
            None if lsn > Lsn(0) => record_at(&self.disk, &self.home, lsn).await?,
            _ => None,
        };
        projection.begin(Reached { lsn, mark: mark.as_deref().map_or(Mark::Absent, Mark::of) }, found);
        let mut follower = Follower::open(self.disk.clone(), &self.home, start).await?;
        if let (Standing::Nothing, Base::Snapshot(_)) = (standing, &base) {
            middle::begin(&mut self.history, &projection, &mut self.users_at_once).await?;
        }
        if found.is_none() {
            // Where the history begins is told even if nothing comes after it.
            self.pending = Some(projection.take());
        }
        while let Some(found) = found.map(|found| found.lsn).filter(|found| projection.through() < *found) {
            let bounds = (STEP_RECORDS, self.sizes.bytes_max);
            read(&mut projection, &mut follower, None, found, bounds, false).await?;
            yield_now().await;
        }
        self.projection = Some((projection, follower));
        Ok(())
    }

    async fn follow(&mut self, progress: &Progress, stop: &AtomicBool) -> Result<(), Trouble> {
        let mut waiting_since = self.pause.now();
        let mut heard = waiting_since;
        while !stop.load(Ordering::Relaxed) {
            // Also what was read ahead while a batch was written.
            progress.set_relayed(self.relay.as_ref());
            if self.pending.is_some() {
                self.write(progress, stop).await?;
                heard = self.pause.now();
                waiting_since = heard;
                continue;
            }
            let durable = progress.durable();
            let enough = self.records_max.min(ENOUGH_RECORDS);
            let (projection, follower) = self.projection.as_mut().expect("it was made before");
            if projection.waiting().records == 0 {
                waiting_since = self.pause.now();
            }
            let behind = projection.through() < durable;
            if behind && let Some((records, bytes)) = room(projection, enough, &self.sizes) {
                let bounds = (records.min(STEP_RECORDS), bytes);
                read(projection, follower, self.relay.as_mut(), durable, bounds, true).await?;
                yield_now().await;
                continue;
            }
            // Nothing more is waited for: there is enough, or there are no more for now.
            let held = projection.waiting().records;
            let late = self.pause.now().since(waiting_since) >= self.sizes.linger;
            if held > 0 && (behind || held >= self.records_max || late) {
                self.pending = Some(projection.take());
            } else if self.pause.now().since(heard) >= ASK_EVERY {
                let (projection, _) = self.projection.as_ref().expect("it was made before");
                let expected = projection.waiting().after;
                let found = self.history.position(self.place()).await?.record();
                if found != expected {
                    let [found, expected] = [found, expected].map(|place| place.map(|reached| reached.lsn));
                    return Err(HistoryError::Moved { found, expected }.into());
                }
                heard = self.pause.now();
            } else {
                self.pause.pause(self.sizes.idle).await;
            }
        }
        Ok(())
    }

    async fn write(&mut self, progress: &Progress, stop: &AtomicBool) -> Result<(), Trouble> {
        let batch = self.pending.as_ref().expect("the caller looked");
        let (projection, follower) = self.projection.as_mut().expect("it was made before");
        let (records_max, sizes) = (self.records_max, self.sizes);
        let is_written = Cell::new(false);
        let ahead = async {
            // A step is never given up half-way: the follower would have given records that nobody took.
            while !is_written.get() && !stop.load(Ordering::Relaxed) {
                let durable = progress.durable();
                let Some((records, bytes)) = room(projection, records_max, &sizes) else { break };
                if projection.through() >= durable {
                    break;
                }
                let bounds = (records.min(STEP_RECORDS), bytes);
                read(projection, follower, self.relay.as_mut(), durable, bounds, true).await?;
                yield_now().await;
            }
            Ok::<_, Trouble>(())
        };
        let write = async {
            let written = self.history.write(batch).await;
            is_written.set(true);
            written
        };
        let (written, read_ahead) = zip(write, ahead).await;
        match written {
            Ok(()) => {}
            // The database is asked anew, whatever it said, when the log does not let on what comes next.
            Err(_) if read_ahead.is_err() => return read_ahead,
            Err(HistoryError::Refused(why)) => return self.refused(&why, progress).await,
            Err(error) => {
                if matches!(error, HistoryError::TooSlow(_))
                    && !planted::planted!("slow_batch_not_made_smaller")
                {
                    self.make_smaller();
                }
                return Err(error.into());
            }
        }
        self.failures = 0;
        let more = (self.sizes.records_max / GROWTH_SHARE).min(self.records_max).max(1);
        self.records_max = (self.records_max + more).min(self.sizes.records_max);
        progress.written(batch, self.pause.now());
        if let Some(batch) = self.pending.take() {
            projection.written(batch);
        }
        read_ahead
    }

    /// The batch was too much for the time it had: it is made anew, half as large. If it was committed after all, the next one
    /// goes on behind it.
    fn make_smaller(&mut self) {
        let Some(batch) = self.pending.take() else { return };
        self.projection = None;
        self.records_max = (batch.records / 2).max(1);
        // It has waited long enough.
        self.failures = 0;
        tracing::warn!(
            records = batch.records, rows = batch.rows(), through = %batch.through.lsn, next = self.records_max,
            "the database is too slow for a batch; smaller ones are tried"
        );
    }

    /// Looks for the record that the database refuses: half as many at once from where it stands, until it is one.
    async fn refused(&mut self, why: &str, progress: &Progress) -> Result<(), Trouble> {
        let batch = self.pending.take().expect("the caller looked");
        if batch.records > 1 {
            self.projection = None;
            self.records_max = (batch.records / 2).max(1);
            tracing::warn!(
                records = batch.records, after = ?batch.after, through = %batch.through.lsn, why,
                "the database refuses a row of a batch; it is looked for"
            );
            // Everything is asked and made anew, without a growing wait: there are some halves to go.
            self.failures = 0;
            return Err(HistoryError::Refused(why.to_owned()).into());
        }
        let place = batch.place;
        tracing::error!(
            generation = %place.generation, shard = %place.shard, record = %batch.through.lsn, why,
            "the database refuses this record: it is noted in coinbitclub.refused_records and passed over"
        );
        if let Err(error) = self.history.pass_over(place, batch.after, batch.through, why).await {
            // Whether it was noted is not known: the database is asked, and the record tried again if it was not.
            self.projection = None;
            return Err(error.into());
        }
        progress.passed_over(batch.through.lsn, self.pause.now());
        Ok(())
    }
}

/// How many records and bytes the waiting batch takes yet; none when it is full.
fn room(projection: &Projection, records_max: usize, sizes: &Sizes) -> Option<(usize, usize)> {
    let waiting = projection.waiting();
    let records = records_max.checked_sub(waiting.records)?;
    let bytes = sizes.bytes_max.checked_sub(waiting.record_bytes)?;
    let has_room = waiting.row_bytes() < sizes.row_bytes_max;
    (records > 0 && bytes > 0 && has_room).then_some((records, bytes))
}

/// Reads records on, up to `until`.
async fn read<D: Disk>(
    projection: &mut Projection,
    follower: &mut Follower<D>,
    relay: Option<&mut RelayReader>,
    until: Lsn,
    bounds: (usize, usize),
    rows: bool,
) -> Result<(), Trouble> {
    let mut bad = None;
    let visit = &mut |lsn: Lsn, bytes: &[u8]| {
        if bad.is_none()
            && let Err(cause) = projection.record(lsn, bytes, rows)
        {
            bad = Some(Trouble::Record { lsn, cause });
        }
    };
    follower.next(relay, until, bounds, visit).await?;
    bad.map_or(Ok(()), Err)
}
