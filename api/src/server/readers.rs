//! Reading history from Postgres for the shards: questions come over bounded queues, answers go back over the lines, rendered.
//!
//! **Runs on**: the readers' thread, which nothing else uses: however long a projector reads files, no answer waits for it.
//! **Bounds**: [`QUEUE_MAX`] questions wait, [`AT_ONCE`] are asked; [`STREAMS_MAX`] streams a server, each with one question
//! under way and at most one page of [`STREAM_ROWS`] rows that is not sent yet.
//! **Never**: is waited for by a shard; a question that finds no room is answered from the state.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use engine::core::ids::UserId;
use engine::shard::ports::ShardId;
use storage::postgres::replicas::{ReadError, Readers, Token};
use storage::{Generation, Lsn, ShardNumber};
use tokio::sync::mpsc;

use super::inside::Lines;
use super::receipts::{self, Wanted};
use super::shard_loop::Inside;
use crate::web::history::{HistoryPage, HistoryQuestion, HistoryRows, STREAM_ROWS, StreamPage};

/// Questions that may wait.
pub const QUEUE_MAX: usize = 256;
/// Questions under way.
const AT_ONCE: usize = 32;
/// Rows that one answer is made from at most: more do not fit into its bytes in any table, and its `next` goes on behind them.
const PAGE_ROWS_MAX: usize = 2_500;
/// Streams of a server at a time. One keeps a reader of a replica busy for as long as its client takes, and a replica has eight.
pub const STREAMS_MAX: usize = 8;
/// Of one user: one that is not read any more, and the next try.
pub const STREAMS_OF_A_USER: usize = 2;
/// How often it looks whether the server ends.
const LOOK: Duration = Duration::from_millis(50);
/// How often a page of a stream is asked for before the stream is given up, and how long it waits in between: a server that is
/// busy for a moment, or a fail-over among replicas, ends no export.
const STREAM_TRIES: u32 = 10;
const STREAM_AGAIN: Duration = Duration::from_millis(200);
/// How long an answer waits before it tries a full line again.
const FULL_LINE: Duration = Duration::from_millis(5);

/// What of a history is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One answer.
    Page,
    /// The next page of a stream.
    Stream {
        /// It begins with headings.
        first: bool,
        /// The log that the user's events are in: how far the server has it is told with the answer, so that no later page shows
        /// less.
        log: (Generation, ShardNumber),
    },
}

/// A question of a shard.
pub struct HistoryJob {
    /// Whose.
    pub shard: ShardId,
    /// Comes back with the answer.
    pub key: u64,
    /// What is asked.
    pub asked: Asked,
}

/// What a shard asks.
pub enum Asked {
    /// So much of a history.
    History(Box<HistoryQuestion>, Part),
    /// The receipt of a signal.
    Receipt(Wanted),
}

/// What comes back.
#[derive(Debug)]
pub enum HistoryAnswer {
    /// To [`Part::Page`].
    Page(HistoryPage),
    /// To [`Part::Stream`]: the page, and how far the server that gave it has the log, where that is known.
    Stream(StreamPage, Option<Token>),
    /// To [`Asked::Receipt`]: the receipt, where there is one.
    Receipt(Option<receipts::Found>),
}

/// The shards' end of the queues.
#[derive(Clone)]
pub struct HistorySender {
    pages: mpsc::Sender<HistoryJob>,
    streams: mpsc::Sender<HistoryJob>,
    open: OpenStreams,
}

/// Whose streams are open.
type OpenStreams = Arc<Mutex<Vec<UserId>>>;

/// The readers' end of the queues.
pub struct HistoryJobs {
    pages: mpsc::Receiver<HistoryJob>,
    streams: mpsc::Receiver<HistoryJob>,
}

/// The right to one of the server's streams, for as long as it is kept.
pub struct StreamSlot(OpenStreams, UserId);

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open.iter().position(|user| *user == self.1) {
            open.swap_remove(place);
        }
    }
}

/// Both ends.
#[must_use]
pub fn queues() -> (HistorySender, HistoryJobs) {
    let (pages, page_jobs) = mpsc::channel(QUEUE_MAX);
    // Each stream has one question under way at most: there is always room.
    let (streams, stream_jobs) = mpsc::channel(STREAMS_MAX);
    let sender = HistorySender { pages, streams, open: Arc::default() };
    (sender, HistoryJobs { pages: page_jobs, streams: stream_jobs })
}

impl HistorySender {
    /// Hands a question over. False when there is no room, or nobody reads any more.
    pub fn ask(&self, job: HistoryJob) -> bool {
        let is_stream = matches!(job.asked, Asked::History(_, Part::Stream { .. }));
        let queue = if is_stream { &self.streams } else { &self.pages };
        queue.try_send(job).is_ok()
    }

    /// The right to a stream of this user; `None` when there are as many as may be.
    #[must_use]
    pub fn slot(&self, user: UserId) -> Option<StreamSlot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.iter().filter(|of| **of == user).count();
        if open.len() >= STREAMS_MAX || own >= STREAMS_OF_A_USER {
            return None;
        }
        open.push(user);
        Some(StreamSlot(Arc::clone(&self.open), user))
    }
}

/// Why the database does not answer: for the operator, since it names hosts and statements.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NoAnswer {
    why: String,
    /// It would not answer another time either.
    is_final: bool,
}

impl NoAnswer {
    /// Why, and whether it would not answer another time either.
    #[must_use]
    pub const fn new(why: String, is_final: bool) -> Self {
        Self { why, is_final }
    }
}

/// Asks for rows, and how far the server has a log.
async fn read(
    readers: &Readers,
    question: &HistoryQuestion,
    limit: usize,
    log: Option<(Generation, ShardNumber)>,
) -> Result<(HistoryRows, Option<Token>), NoAnswer> {
    let statement = question.statement();
    let (time, id) = question.cursor();
    let user = question.user.0.cast_signed();
    let rows_max = i64::try_from(limit + 1).expect("a bounded number");
    let signal = question.signal.map(|signal| signal.to_string());
    let read = readers.read(question.position, async |session| {
        let mut reached = None;
        if let Some((generation, shard)) = log {
            let asked = "SELECT lsn FROM coinbitclub.projector_progress WHERE generation = $1 AND shard = $2";
            let rows = session.query(asked, &[&i64::from(generation.0), &i32::from(shard.0)]).await?;
            let lsn = rows.first().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok());
            reached = lsn.map(|lsn| Token { generation, shard, lsn: Lsn(lsn) });
        }
        let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
            vec![&user, &question.from, &question.to, &time, &id, &rows_max];
        if let Some(signal) = &signal {
            parameters.push(signal);
        }
        // After that: what it shows by now is no less.
        Ok((session.query(&statement, &parameters).await?, reached))
    });
    let ((rows, reached), source) = read.await.map_err(|error| NoAnswer {
        is_final: matches!(error, ReadError::Query(_)),
        why: error.to_string(),
    })?;
    let mut texts = Vec::with_capacity(rows.len());
    for row in &rows {
        let fields: Result<Vec<Option<String>>, _> = (0..row.len()).map(|place| row.try_get(place)).collect();
        texts.push(fields.map_err(|error| NoAnswer { is_final: true, why: error.to_string() })?);
    }
    let rows = question.answer(texts, limit, source.to_string());
    Ok((rows.map_err(|why| NoAnswer { is_final: true, why })?, reached))
}

/// Answers one question from the database.
///
/// # Errors
/// Why it does not answer: for the operator, since it names hosts and statements.
pub async fn answer(
    readers: &Readers,
    question: &HistoryQuestion,
    part: Part,
) -> Result<HistoryAnswer, NoAnswer> {
    match part {
        Part::Page => {
            let rows_max = question.page_rows().min(PAGE_ROWS_MAX);
            let (rows, _) = read(readers, question, rows_max, None).await?;
            Ok(HistoryAnswer::Page(rows.page(question.csv)))
        }
        Part::Stream { first, log } => {
            let (rows, reached) = read(readers, question, STREAM_ROWS, Some(log)).await?;
            Ok(HistoryAnswer::Stream(rows.stream(first), reached))
        }
    }
}

/// Answers questions until `stop` is set.
pub async fn run(readers: &Readers, mut jobs: HistoryJobs, lines: &Lines, stop: &AtomicBool) {
    let mut under_way: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    let mut watch = Box::pin(readers.watch());
    let mut look = Box::pin(tokio::time::sleep(LOOK));
    std::future::poll_fn(|context| {
        let _ = watch.as_mut().poll(context);
        if look.as_mut().poll(context).is_ready() {
            look.as_mut().reset(tokio::time::Instant::now() + LOOK);
            let _ = look.as_mut().poll(context);
        }
        // Of streams there are few, and they wait for one answer each.
        while let Poll::Ready(Some(job)) = jobs.streams.poll_recv(context) {
            under_way.push(Box::pin(serve(readers, job, lines)));
        }
        while under_way.len() < AT_ONCE
            && let Poll::Ready(Some(job)) = jobs.pages.poll_recv(context)
        {
            under_way.push(Box::pin(serve(readers, job, lines)));
        }
        let before = under_way.len();
        under_way.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if under_way.len() < before {
            // There is room for those that wait.
            context.waker().wake_by_ref();
        }
        if stop.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn serve(readers: &Readers, job: HistoryJob, lines: &Lines) {
    let HistoryJob { shard, key, asked } = job;
    let read = match asked {
        Asked::History(question, part) => {
            let mut read = answer(readers, &question, part).await;
            if part != Part::Page {
                for _ in 1..STREAM_TRIES {
                    if read.as_ref().map_or_else(|no| no.is_final, |_| true) {
                        break;
                    }
                    tokio::time::sleep(STREAM_AGAIN).await;
                    read = answer(readers, &question, part).await;
                }
            }
            read
        }
        Asked::Receipt(wanted) => receipts::read(readers, wanted).await.map(HistoryAnswer::Receipt),
    };
    let read = read.map(Box::new).map_err(|NoAnswer { why, .. }| {
        tracing::debug!(why, "a question about history was not answered by the database");
        "the database does not answer now".to_owned()
    });
    // The line holds thousands: full, the shard is far behind. Its request waits for this, and so does this for room.
    let mut message = Inside::History(key, read);
    while let Err(back) = lines.offer(shard, message) {
        message = back;
        tokio::time::sleep(FULL_LINE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_streams_and_each_gives_its_place_back() {
        let (sender, _jobs) = queues();
        let mut users = (0..).map(UserId);
        let of_one = [sender.slot(UserId(99)).expect("room"), sender.slot(UserId(99)).expect("room")];
        assert!(sender.slot(UserId(99)).is_none(), "one user takes not all");
        drop(of_one);
        let mut slots: Vec<_> =
            users.by_ref().take(STREAMS_MAX).map(|user| sender.clone().slot(user).expect("room")).collect();
        assert!(sender.slot(UserId(99)).is_none());
        slots.pop();
        assert!(sender.slot(UserId(99)).is_some());
    }
}
