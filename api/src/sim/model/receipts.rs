//! What a receipt must show: its head of the publisher's side, a line of each follower, with what their orders came to.

use engine::core::ids::{Leg, SignalId};
use engine::core::order::Side;
use engine::core::user::OutcomeKind;
use serde_json::{Value, json};

use super::numbers::{ONE, Units, even};
use super::pages::{Agrees, same, side_word, time};
use super::user::{Accepted, ModelUser};
use crate::sim::decimals::decimal;

/// What a follower's orders of a signal came to on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilledSide {
    /// Bought or sold.
    pub side: Side,
    /// How much, in units of 1e-8.
    pub quantity: i128,
    /// At which average price.
    pub price: i128,
    /// When for the first time, in microseconds.
    pub at: u64,
}

/// The words of an outcome, and of the reason for it.
pub(super) const fn outcome_words(kind: &OutcomeKind) -> (&'static str, Option<&'static str>) {
    match kind {
        OutcomeKind::Sent => ("sent", None),
        OutcomeKind::Filled => ("filled", None),
        OutcomeKind::FilledInPart => ("filled_in_part", None),
        OutcomeKind::Skipped(reason) => ("skipped", Some(reason.as_str())),
        OutcomeKind::Failed(reason) => ("failed", Some(reason.as_str())),
    }
}

impl FilledSide {
    fn shown(&self) -> Value {
        json!({
            "side": side_word(self.side),
            "quantity": decimal(self.quantity),
            "average_price": decimal(self.price),
        })
    }
}

impl ModelUser {
    /// What this user's orders of a signal came to, bought and sold: entries and the closes that the signal asked for, as far as the
    /// orders are remembered.
    #[must_use]
    pub fn fills_of(&self, signal: SignalId) -> Vec<FilledSide> {
        let of_signal = |side: Side| {
            let all = self.final_orders.iter().chain(&self.orders).filter(move |order| {
                let id = order.new.id;
                id.signal == signal
                    && order.new.side == side
                    && matches!(id.leg, Leg::Entry | Leg::SignalClose)
                    && order.filled != 0
            });
            let quantity: Units = all.clone().map(|order| order.filled).sum();
            let notional: Units = all.clone().map(|order| order.notional).sum();
            let at = all.map(|order| order.filled_at).min()?;
            Some(FilledSide { side, quantity, price: even(notional * ONE, quantity), at })
        };
        [Side::Buy, Side::Sell].into_iter().filter_map(of_signal).collect()
    }

    fn signal_kept(&self, signal: SignalId) -> Option<&Accepted> {
        let source =
            self.sources.get(usize::from(signal.source.index)).filter(|_| signal.source.owner == self.id)?;
        source.signals.iter().find(|kept| kept.signal.id == signal)
    }

    /// Whether this publisher's source still keeps a signal.
    #[must_use]
    pub fn keeps_signal(&self, signal: SignalId) -> bool {
        self.signal_kept(signal).is_some()
    }

    /// Whether this user has a line in the receipt of a signal.
    #[must_use]
    pub fn has_receipt(&self, signal: SignalId) -> bool {
        self.receipts.iter().any(|line| line.signal == signal)
    }

    /// Whether the head of a receipt shows what this publisher's source knows; the body is shown to the publisher alone.
    ///
    /// # Errors
    /// The first difference.
    pub fn receipt_head_agrees(&self, signal: SignalId, shown: &Value, with_body: bool) -> Agrees {
        let kept = self.signal_kept(signal).ok_or("the signal is not kept")?;
        let covered = kept.covered_by.map(|number| SignalId { source: signal.source, number }.to_string());
        let facts = [
            ("id", Value::from(signal.to_string())),
            ("kind", Value::from(kept.signal.kind.as_str())),
            ("symbol", Value::from(kept.signal.symbol.to_string())),
            ("body", if with_body { Value::from(kept.body.as_str()) } else { Value::Null }),
            ("signal_at", Value::from(kept.signal.signal_at.map(|at| at.0))),
            ("accepted_at", Value::from(kept.signal.accepted_at.0)),
            ("expires_at", Value::from(kept.signal.expires_at.0)),
            ("superseded_by", Value::from(covered)),
            ("state", Value::from(if kept.finished.is_some() { "finished" } else { "working" })),
            ("finished_at", time(kept.finished.map_or(0, |(_, at)| at))),
        ];
        facts.into_iter().try_for_each(|(name, value)| same(name, &shown[name], &value))
    }

    /// Whether a line of the receipt of a signal is this user's.
    ///
    /// # Errors
    /// The first difference.
    pub fn receipt_line_agrees(&self, signal: SignalId, shown: &Value) -> Agrees {
        let line = self.receipts.iter().find(|line| line.signal == signal).ok_or("there is no such line")?;
        let (outcome, reason) = outcome_words(&line.kind);
        let fills = self.fills_of(signal).iter().map(FilledSide::shown).collect::<Vec<_>>();
        let fills = if fills.is_empty() { Value::Null } else { Value::from(fills) };
        let facts = [
            ("fills", fills),
            ("outcome", Value::from(outcome)),
            ("reason", Value::from(reason)),
            ("account", Value::from(line.account)),
            ("decided_at", Value::from(line.decided_at)),
            ("sent_at", time(line.sent_at)),
            ("filled_at", time(line.filled_at)),
            ("done_at", time(line.done_at)),
        ];
        facts.into_iter().try_for_each(|(name, value)| same(name, &shown[name], &value))
    }
}
