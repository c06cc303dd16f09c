//! The receipt of a signal: its head, a line for each subscriber, and what they sum up to.
//!
//! **Runs on**: the shard that the request landed on for what the state has, the readers' thread for what only the database has.
//! **Bounds**: at most [`RECEIPT_ROWS_MAX`] lines and two 8-byte spans per subscriber are kept; prices as `super::fill_prices` says.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine::core::ids::{SignalId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::user::OutcomeKind;
use serde::Serialize;

use super::fill_prices::{FillPrices, FillPricesView, LineFill, LineFillView};
use crate::reads::{ReceiptLine, SignalHead};

/// Rows that a receipt shows at most, whatever is asked for.
pub const RECEIPT_ROWS_MAX: usize = 20_000;
/// Rows that it shows when nothing is asked for.
pub const RECEIPT_ROWS_DEFAULT: usize = 100;

/// A word of the state's, or one that the database holds.
pub type Word = Cow<'static, str>;

/// What is told of the signal itself.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its id.
    pub id: SignalId,
    /// What it asks for.
    pub kind: Word,
    /// On what.
    pub symbol: Symbol,
    /// The body without its secret.
    pub body: String,
    /// When its sender says it was made.
    pub signal_at: Option<Timestamp>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Until when it opened.
    pub expires_at: Timestamp,
    /// A later close that covers it.
    pub superseded_by: Option<u32>,
    /// Whether every subscriber was decided on.
    pub is_finished: bool,
    /// When; zero while they were not.
    pub finished_at: Timestamp,
}

impl From<&SignalHead> for Head {
    fn from(head: &SignalHead) -> Self {
        let signal = &head.signal;
        Self {
            id: signal.id,
            kind: signal.kind.as_str().into(),
            symbol: signal.symbol,
            body: head.body.clone(),
            signal_at: signal.signal_at,
            accepted_at: signal.accepted_at,
            expires_at: signal.expires_at,
            superseded_by: head.superseded_by,
            is_finished: head.finished.is_some(),
            finished_at: head.finished_at,
        }
    }
}

/// What came of it for one subscriber. Times are zero when that did not happen.
#[derive(Clone, Debug)]
pub struct Line {
    /// Who.
    pub user: UserId,
    /// On which account.
    pub account: u8,
    /// What came of it.
    pub outcome: Word,
    /// Why, where there is a reason.
    pub reason: Option<Word>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When the order left.
    pub sent_at: Timestamp,
    /// When it was first filled.
    pub filled_at: Timestamp,
    /// When it ended.
    pub done_at: Timestamp,
    /// At what price, bought and sold.
    pub fills: [Option<LineFill>; 2],
}

impl From<ReceiptLine> for Line {
    fn from(line: ReceiptLine) -> Self {
        let outcome = line.outcome;
        let (word, reason) = outcome.kind.words();
        // Nothing is sent for what was not done.
        let is_skipped = matches!(outcome.kind, OutcomeKind::Skipped(_));
        debug_assert_eq!(is_skipped, word == SKIPPED, "the word says it");
        Self {
            user: line.user,
            account: outcome.account,
            outcome: word.into(),
            reason: reason.map(Into::into),
            decided_at: outcome.decided_at,
            sent_at: outcome.sent_at,
            filled_at: outcome.filled_at,
            done_at: outcome.done_at,
            fills: line.fills,
        }
    }
}

/// The word for a subscriber for whom something spoke against an order.
const SKIPPED: &str = "skipped";

/// A receipt that is being put together.
pub struct Receipt {
    limit: usize,
    offset: usize,
    rows: Vec<Line>,
    seen: usize,
    outcomes: BTreeMap<(Word, Word), u64>,
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
struct RowView<'a> {
    user: String,
    account: u8,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
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
struct CountView<'a> {
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    users: u64,
}

#[derive(Serialize)]
struct ReceiptView<'a> {
    /// Who said it, where that was the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    id: String,
    kind: &'a str,
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
    counts: Vec<CountView<'a>>,
    /// From acceptance to the moment the order left (it was durable by then).
    sent: Option<Spread>,
    /// From acceptance to the first fill.
    filled: Option<Spread>,
    /// Prices of all subscribers' fills, by side.
    fill_prices: Vec<FillPricesView>,
    rows: Vec<RowView<'a>>,
    rows_from: usize,
    rows_left: usize,
}

impl Receipt {
    /// Begins one that shows at most `limit` rows, after the first `offset`.
    #[must_use]
    pub fn new(limit: usize, offset: usize) -> Self {
        Self {
            limit: limit.min(RECEIPT_ROWS_MAX),
            offset,
            rows: Vec::new(),
            seen: 0,
            outcomes: BTreeMap::new(),
            sent: Vec::new(),
            filled: Vec::new(),
            prices: FillPrices::default(),
        }
    }

    /// Takes a line of a signal that was accepted at this time.
    pub fn add(&mut self, accepted_at: Timestamp, line: Line) {
        let counted = (line.outcome.clone(), line.reason.clone().unwrap_or_default());
        *self.outcomes.entry(counted).or_default() += 1;
        if line.outcome != SKIPPED {
            if line.sent_at.0 != 0 {
                self.sent.push(line.sent_at.micros_since(accepted_at));
            }
            if line.filled_at.0 != 0 {
                self.filled.push(line.filled_at.micros_since(accepted_at));
            }
        }
        self.prices.add(line.user, &line.fills);
        if self.seen >= self.offset && self.rows.len() < self.limit {
            self.rows.push(line);
        }
        self.seen += 1;
    }

    /// Lines so far.
    #[must_use]
    pub const fn seen(&self) -> usize {
        self.seen
    }

    /// The document; without the body for who is not the publisher. `source` is the database that said it.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn render(self, head: &Head, with_body: bool, source: Option<&str>) -> Vec<u8> {
        let at = |time: Timestamp| (time.0 != 0).then_some(time.0);
        let superseded_by =
            head.superseded_by.map(|number| SignalId { source: head.id.source, number }.to_string());
        let view = ReceiptView {
            source,
            id: head.id.to_string(),
            kind: &head.kind,
            symbol: head.symbol.to_string(),
            body: with_body.then_some(head.body.as_str()),
            signal_at: head.signal_at.map(|t| t.0),
            accepted_at: head.accepted_at.0,
            expires_at: head.expires_at.0,
            superseded_by,
            state: if head.is_finished { "finished" } else { "working" },
            finished_at: at(head.finished_at),
            decided: self.seen,
            counts: self
                .outcomes
                .iter()
                .map(|((outcome, reason), users)| CountView {
                    outcome,
                    reason: (!reason.is_empty()).then_some(reason),
                    users: *users,
                })
                .collect(),
            sent: Spread::of(self.sent),
            filled: Spread::of(self.filled),
            fill_prices: self.prices.view(head.symbol),
            rows_from: self.offset,
            rows_left: self.seen.saturating_sub(self.offset + self.rows.len()),
            rows: self
                .rows
                .iter()
                .map(|line| RowView {
                    user: line.user.to_string(),
                    account: line.account,
                    outcome: &line.outcome,
                    reason: line.reason.as_deref(),
                    decided_at: line.decided_at.0,
                    sent_at: at(line.sent_at),
                    filled_at: at(line.filled_at),
                    done_at: at(line.done_at),
                    fills: line.fills.iter().flatten().map(LineFillView::from).collect(),
                })
                .collect(),
        };
        serde_json::to_vec(&view).expect("this view is plain data")
    }
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
