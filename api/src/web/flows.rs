//! Requests that take several asks: log-in and sign-up (with the password work off the shard), receipts over all shards,
//! and the figures of the whole server.
//!
//! **Runs on**: the shard that the request landed on. Each flow is a small state machine stepped by answers.
//! **Bounds**: a receipt keeps at most [`RECEIPT_ROWS_MAX`] rows and two 8-byte spans per subscriber; prices as `super::fill_prices` says.

use std::collections::BTreeMap;

use engine::core::ids::{SignalId, UserId};
use engine::core::user::OutcomeKind;
use engine::shard::metrics::ShardStatus;
use serde::Serialize;

use super::desk::Http;
use super::fill_prices::{FillPrices, FillPricesView, LineFillView};
use crate::reads::{Audit, ReceiptLine, SignalHead};

/// Rows that a receipt shows at most, whatever is asked for.
pub const RECEIPT_ROWS_MAX: usize = 20_000;
/// Rows that it shows when nothing is asked for.
pub const RECEIPT_ROWS_DEFAULT: usize = 100;

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
    rows: Vec<ReceiptLine>,
    seen: usize,
    outcomes: BTreeMap<(&'static str, &'static str), u64>,
    sent: Vec<u64>,
    filled: Vec<u64>,
    prices: FillPrices,
}

#[derive(Serialize)]
struct Spread {
    count: usize,
    first_us: u64,
    p50_us: u64,
    p99_us: u64,
    last_us: u64,
}

impl Spread {
    fn of(mut spans: Vec<u64>) -> Option<Self> {
        spans.sort_unstable();
        let at = |percent: usize| spans[(spans.len() * percent).div_ceil(100).max(1) - 1];
        let (first, last) = (*spans.first()?, *spans.last()?);
        Some(Self { count: spans.len(), first_us: first, p50_us: at(50), p99_us: at(99), last_us: last })
    }
}

#[derive(Serialize)]
struct RowView {
    user: String,
    account: u8,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    decided_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filled_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_at: Option<u64>,
    /// What was bought and sold, at which average price.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fills: Vec<LineFillView>,
}

#[derive(Serialize)]
struct CountView {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    users: u64,
}

#[derive(Serialize)]
struct ReceiptView<'a> {
    id: String,
    kind: &'static str,
    symbol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    signal_at: Option<u64>,
    accepted_at: u64,
    expires_at: u64,
    superseded_by: Option<String>,
    /// `working` until every subscriber on every shard was decided on, then `finished`.
    state: &'static str,
    finished_at: Option<u64>,
    decided: usize,
    counts: Vec<CountView>,
    /// From acceptance to the moment the order left (it was durable by then).
    sent: Option<Spread>,
    /// From acceptance to the first fill.
    filled: Option<Spread>,
    /// Prices of all subscribers' fills, by side.
    fill_prices: Vec<FillPricesView>,
    rows: Vec<RowView>,
    rows_from: usize,
    rows_left: usize,
}

impl ReceiptFlow {
    /// Begins.
    #[must_use]
    pub fn new(http: Http, signal: SignalId, limit: usize, offset: usize) -> Self {
        Self {
            http,
            signal,
            limit: limit.min(RECEIPT_ROWS_MAX),
            offset,
            only: None,
            head: None,
            shard: 0,
            rows: Vec::new(),
            seen: 0,
            outcomes: BTreeMap::new(),
            sent: Vec::new(),
            filled: Vec::new(),
            prices: FillPrices::default(),
        }
    }

    /// Takes a page of lines.
    pub fn add(&mut self, lines: Vec<ReceiptLine>) {
        let Some(head) = &self.head else { return };
        let accepted_at = match head.signal.signal_at {
            Some(at) if planted::planted!("spread_since_the_signals_own_time") => at,
            _ => head.signal.accepted_at,
        };
        for line in lines {
            let (word, reason) = line.outcome.kind.words();
            *self.outcomes.entry((word, reason.unwrap_or(""))).or_default() += 1;
            if !matches!(line.outcome.kind, OutcomeKind::Skipped(_)) {
                if line.outcome.sent_at.0 != 0 {
                    self.sent.push(line.outcome.sent_at.micros_since(accepted_at));
                }
                if line.outcome.filled_at.0 != 0 {
                    self.filled.push(line.outcome.filled_at.micros_since(accepted_at));
                }
            }
            self.prices.add(line.user, &line.fills);
            if self.seen >= self.offset && self.rows.len() < self.limit {
                self.rows.push(line);
            }
            self.seen += 1;
        }
    }

    /// Whether any line came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen == 0
    }

    /// The document.
    ///
    /// # Panics
    /// Before the head is there.
    #[must_use]
    pub fn render(self) -> Vec<u8> {
        let head = self.head.expect("a receipt is rendered with its head");
        let at = |time: engine::core::ids::Timestamp| (time.0 != 0).then_some(time.0);
        let signal = &head.signal;
        let superseded_by =
            head.superseded_by.map(|number| SignalId { source: signal.id.source, number }.to_string());
        let view = ReceiptView {
            id: signal.id.to_string(),
            kind: signal.kind.as_str(),
            symbol: signal.symbol.to_string(),
            body: self.only.is_none().then_some(head.body.as_str()),
            signal_at: signal.signal_at.map(|t| t.0),
            accepted_at: signal.accepted_at.0,
            expires_at: signal.expires_at.0,
            superseded_by,
            state: if head.finished.is_some() { "finished" } else { "working" },
            finished_at: at(head.finished_at),
            decided: self.seen,
            counts: self
                .outcomes
                .iter()
                .map(|((outcome, reason), users)| CountView {
                    outcome,
                    reason: (!reason.is_empty()).then_some(*reason),
                    users: *users,
                })
                .collect(),
            sent: Spread::of(self.sent),
            filled: Spread::of(self.filled),
            fill_prices: self.prices.view(signal.symbol),
            rows_from: self.offset,
            rows_left: self.seen.saturating_sub(self.offset + self.rows.len()),
            rows: self
                .rows
                .iter()
                .map(|line| {
                    let (outcome, reason) = line.outcome.kind.words();
                    RowView {
                        user: line.user.to_string(),
                        account: line.outcome.account,
                        outcome,
                        reason,
                        decided_at: line.outcome.decided_at.0,
                        sent_at: at(line.outcome.sent_at),
                        filled_at: at(line.outcome.filled_at),
                        done_at: at(line.outcome.done_at),
                        fills: line.fills.iter().flatten().map(LineFillView::from).collect(),
                    }
                })
                .collect(),
        };
        serde_json::to_vec(&view).expect("this view is plain data")
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

/// What is collected for a document about the whole server.
pub struct GatherFlow {
    /// The caller.
    pub http: Http,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_name_exact_ranks() {
        let spread = Spread::of((1..=200).rev().collect()).expect("not empty");
        let got = (spread.count, spread.first_us, spread.p50_us, spread.p99_us, spread.last_us);
        assert_eq!(got, (200, 1, 100, 198, 200));
        assert!(Spread::of(Vec::new()).is_none());
        let one = Spread::of(vec![7]).expect("not empty");
        assert_eq!((one.p50_us, one.p99_us), (7, 7));
    }
}
