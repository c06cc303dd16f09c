//! The columns of each kind of history, in the order in which they are shown.

use super::{HistoryQuestion, Kind};

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As text.
    Text,
    /// As a number or a truth value.
    Plain,
}

/// A column of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) form: Form,
}

const fn text(name: &'static str) -> Column {
    Column { name, form: Form::Text }
}

const fn plain(name: &'static str) -> Column {
    Column { name, form: Form::Plain }
}

impl HistoryQuestion {
    /// The columns of its answer.
    pub(super) fn columns(&self) -> &'static [Column] {
        match self.kind {
            Kind::Orders => {
                const {
                    &[
                        plain("decided_at"),
                        text("order_id"),
                        plain("account"),
                        text("signal_id"),
                        text("position_id"),
                        text("leg"),
                        text("symbol"),
                        text("side"),
                        text("kind"),
                        text("price"),
                        text("quantity"),
                        plain("reduce_only"),
                        plain("leverage"),
                        text("state"),
                        text("reason"),
                        text("filled"),
                        text("notional"),
                        text("fees"),
                        plain("sent_at"),
                        plain("filled_at"),
                        plain("done_at"),
                    ]
                }
            }
            Kind::Fills => {
                const {
                    &[
                        plain("at"),
                        text("order_id"),
                        plain("number"),
                        plain("account"),
                        text("position_id"),
                        text("symbol"),
                        text("side"),
                        text("price"),
                        text("quantity"),
                        text("fee"),
                        text("realised"),
                        text("liquidity"),
                        plain("venue_at"),
                    ]
                }
            }
            Kind::Positions => {
                const {
                    &[
                        plain("decided_at"),
                        text("position_id"),
                        plain("account"),
                        text("symbol"),
                        text("side"),
                        text("state"),
                        plain("leverage"),
                        text("quantity"),
                        text("entry_cost"),
                        text("entry_quantity"),
                        text("realised"),
                        text("fees"),
                        text("funding"),
                        text("stop"),
                        text("take_profit"),
                        text("liquidation"),
                        plain("opened_at"),
                        plain("closed_at"),
                        text("close_reason"),
                    ]
                }
            }
            Kind::Ledger => {
                const {
                    &[
                        plain("at"),
                        plain("number"),
                        plain("line"),
                        text("key"),
                        text("account"),
                        text("currency"),
                        text("amount"),
                    ]
                }
            }
            Kind::Receipts => {
                const {
                    &[
                        plain("decided_at"),
                        text("signal_id"),
                        plain("account"),
                        text("outcome"),
                        text("reason"),
                        plain("sent_at"),
                        plain("filled_at"),
                        plain("done_at"),
                    ]
                }
            }
            Kind::Fees => {
                const {
                    &[
                        plain("at"),
                        text("position_id"),
                        plain("account"),
                        text("currency"),
                        text("net"),
                        text("from_credit"),
                        text("from_real"),
                        text("owed"),
                        text("carried_loss"),
                    ]
                }
            }
            Kind::Statement => {
                const { &[text("currency"), text("account"), text("opening"), text("change"), text("closing")] }
            }
            Kind::Performance(_) => {
                const {
                    &[
                        text("key"),
                        text("currency"),
                        plain("positions"),
                        plain("won"),
                        text("net"),
                        text("shares"),
                        text("entry_notional"),
                        text("net_percent_of_entry_notional"),
                    ]
                }
            }
        }
    }
}

pub(super) fn is_amount(name: &str) -> bool {
    matches!(
        name,
        "price"
            | "quantity"
            | "filled"
            | "notional"
            | "fees"
            | "fee"
            | "realised"
            | "entry_cost"
            | "entry_quantity"
            | "funding"
            | "stop"
            | "take_profit"
            | "liquidation"
            | "amount"
            | "net"
            | "from_credit"
            | "from_real"
            | "owed"
            | "carried_loss"
    )
}
