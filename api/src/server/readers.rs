//! Reading history from Postgres for the shards: questions come over a bounded queue, answers go back over the lines.
//!
//! **Runs on**: the history's thread, beside the projectors. **Bounds**: [`QUEUE_MAX`] questions wait, [`AT_ONCE`] are asked.
//! **Never**: is waited for by a shard; a question that finds no room is answered from the state.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use engine::shard::ports::ShardId;
use storage::postgres::replicas::Readers;
use tokio::sync::mpsc;

use super::inside::Lines;
use super::shard_loop::Inside;
use crate::web::history::{HistoryQuestion, HistoryRows};

/// Questions that may wait.
pub const QUEUE_MAX: usize = 256;
/// Questions under way.
const AT_ONCE: usize = 32;
/// How often it looks whether the server ends.
const LOOK: Duration = Duration::from_millis(50);

/// A question of a shard.
pub struct HistoryJob {
    /// Whose.
    pub shard: ShardId,
    /// Comes back with the answer.
    pub key: u64,
    /// What is asked.
    pub question: Box<HistoryQuestion>,
}

/// The shards' end of the queue.
pub type HistorySender = mpsc::Sender<HistoryJob>;

async fn ask(readers: &Readers, question: &HistoryQuestion) -> Result<HistoryRows, String> {
    let statement = question.statement();
    let (time, id) = question.cursor();
    let user = question.user.0.cast_signed();
    let limit = i64::try_from(question.limit + 1).expect("a bounded number");
    let read = readers.read(question.position, async |session| {
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&user, &question.from, &question.to, &time, &id, &limit];
        session.query(&statement, &parameters).await
    });
    let (rows, source) = read.await.map_err(|error| error.to_string())?;
    let mut texts = Vec::with_capacity(rows.len());
    for row in &rows {
        let fields: Result<Vec<Option<String>>, _> = (0..row.len()).map(|place| row.try_get(place)).collect();
        texts.push(fields.map_err(|error| error.to_string())?);
    }
    Ok(question.answer(texts, source.to_string()))
}

/// Answers questions until `stop` is set.
pub async fn run(readers: &Readers, mut jobs: mpsc::Receiver<HistoryJob>, lines: &Lines, stop: &AtomicBool) {
    let mut under_way: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    let mut watch = Box::pin(readers.watch());
    let mut look = Box::pin(tokio::time::sleep(LOOK));
    std::future::poll_fn(|context| {
        let _ = watch.as_mut().poll(context);
        if look.as_mut().poll(context).is_ready() {
            look.as_mut().reset(tokio::time::Instant::now() + LOOK);
            let _ = look.as_mut().poll(context);
        }
        while under_way.len() < AT_ONCE
            && let Poll::Ready(Some(job)) = jobs.poll_recv(context)
        {
            under_way.push(Box::pin(async move {
                let HistoryJob { shard, key, question } = job;
                let read = ask(readers, &question).await.map(Box::new).map_err(|why| {
                    // It names hosts and statements: for the operator, not for whoever asked.
                    tracing::debug!(why, "a question about history was not answered by the database");
                    "the database does not answer now".to_owned()
                });
                // The line holds thousands: full, the shard is far behind, and tries again are the caller's.
                if lines.tell(shard, Inside::History(key, read)).is_err() {
                    tracing::warn!(
                        shard = shard.0,
                        "an answer of the database was lost: the shard's line is full"
                    );
                }
            }));
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
