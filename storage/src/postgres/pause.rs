//! Waiting on tokio's timer, with the time of another clock.

use std::time::Duration;

use engine::seam::{Clock, Nanos};

use crate::history::Pause;

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
