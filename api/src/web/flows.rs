//! Requests that take several asks: log-in and sign-up (with the password work off the shard), receipts over all shards,
//! and the figures of the whole server.
//!
//! **Runs on**: the shard that the request landed on. Each flow is a small state machine stepped by answers.
//! **Bounds**: those of a receipt are in `super::receipt`.

use engine::core::ids::{SignalId, UserId};
use engine::shard::metrics::ShardStatus;

use super::desk::Http;
use super::receipt::{Head, Receipt};
use crate::reads::{Audit, ReceiptLine, SignalHead};

/// What is collected for `GET /api/signals/{id}`.
pub struct ReceiptFlow {
    /// The caller.
    pub http: Http,
    /// Which signal.
    pub signal: SignalId,
    /// Rows wanted.
    pub limit: usize,
    /// Rows to leave out first.
    pub offset: usize,
    /// A subscriber who may see only their own line.
    pub only: Option<UserId>,
    /// The head, once it is there.
    pub head: Option<Box<SignalHead>>,
    /// The shard that is being paged through.
    pub shard: u16,
    receipt: Receipt,
}

impl ReceiptFlow {
    /// Begins.
    #[must_use]
    pub fn new(http: Http, signal: SignalId, limit: usize, offset: usize) -> Self {
        let receipt = Receipt::new(limit, offset);
        Self { http, signal, limit, offset, only: None, head: None, shard: 0, receipt }
    }

    /// Takes a page of lines.
    pub fn add(&mut self, lines: Vec<ReceiptLine>) {
        let Some(head) = &self.head else { return };
        let accepted_at = match head.signal.signal_at {
            Some(at) if planted::planted!("spread_since_the_signals_own_time") => at,
            _ => head.signal.accepted_at,
        };
        for line in lines {
            self.receipt.add(accepted_at, line.into());
        }
    }

    /// Lines so far.
    #[must_use]
    pub const fn seen(&self) -> usize {
        self.receipt.seen()
    }

    /// Whether subscribers were decided on of whom the state has no line any more.
    #[must_use]
    pub fn lacks_lines(&self) -> bool {
        let decided = self.head.as_ref().and_then(|head| head.finished).map_or(0, |counts| counts.users);
        self.only.is_none() && u64::from(decided) > self.seen() as u64
    }

    /// The document.
    ///
    /// # Panics
    /// Before the head is there.
    #[must_use]
    pub fn render(self) -> Vec<u8> {
        let head = self.head.expect("a receipt is rendered with its head");
        self.receipt.render(&Head::from(&*head), self.only.is_none(), None)
    }
}

/// Which document the figures of all shards are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figures {
    /// `/api/enterprise/status`.
    Status,
    /// `/api/enterprise/metrics`.
    Json,
    /// `/metrics`.
    Prometheus,
}

/// Who is told figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Whoever made a request.
    Caller(Http),
    /// The dashboards that look on.
    Watchers,
}

/// What is collected for a document about the whole server.
pub struct GatherFlow {
    /// Whom it is for.
    pub asker: Asker,
    /// For which document.
    pub figures: Figures,
    /// Shards that have not answered.
    pub left: usize,
    /// What came.
    pub shards: Vec<ShardStatus>,
    /// Shards that answered that they have stopped or are too busy.
    pub silent: usize,
    /// The books, for the status document.
    pub audit: Option<Audit>,
    /// The shard whose books are being summed.
    pub audit_shard: u16,
}
