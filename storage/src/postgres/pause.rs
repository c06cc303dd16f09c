//! The runtime of the threads that speak with the database, and waiting on its timer with the time of another clock.

use std::time::Duration;

use engine::seam::{Clock, Nanos};

use crate::history::Pause;

/// A runtime of this thread for projectors and readers. It looks for what the database sent after everything it does, not after
/// every 61st as it would: a projector makes the next batch in steps that are always ready to go on, so that each answer of the
/// database waited for 61 of them, and the database for us.
///
/// # Errors
/// The kernel gave no descriptors.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()
}

/// The waits of projectors on a tokio runtime; the time is the clock's, so that it can be compared with the shards'.
#[derive(Clone, Copy, Debug)]
pub struct TokioPause<C>(pub C);

impl<C: Clock> Pause for TokioPause<C> {
    async fn pause(&self, span: Nanos) {
        tokio::time::sleep(Duration::from_nanos(span.0)).await;
    }

    fn now(&self) -> Nanos {
        self.0.monotonic()
    }
}
