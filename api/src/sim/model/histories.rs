//! What the histories must show that are answered from memory (`docs/history.md`, "From the state"): which rows, in which order, to which
//! end, and what may be null.
//!
//! **Not compared**: `performance`, sums of the same rows; `format=csv`, and spans (`from`, `to`).

use engine::core::ids::ClientOrderId;
use engine::core::ledger::EntryKey;
use serde_json::Value;

use super::numbers::Units;
use super::pages::{Agrees, entry_name, kind_word, same, side_word, time};
use super::receipts::outcome_words;
use super::user::{Execution, HISTORY, ModelUser, Order, Position};
use crate::sim::decimals::decimal;

/// A kind of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Orders.
    Orders,
    /// Executions.
    Fills,
    /// Positions.
    Positions,
    /// The lines of the books.
    Ledger,
    /// What came of signals.
    Receipts,
    /// Profit shares.
    Fees,
}

impl History {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Orders, Self::Fills, Self::Positions, Self::Ledger, Self::Receipts, Self::Fees];

    /// Where it is.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Orders => "/api/history/orders",
            Self::Fills => "/api/history/fills",
            Self::Positions => "/api/history/positions",
            Self::Ledger => "/api/history/ledger",
            Self::Receipts => "/api/history/receipts",
            Self::Fees => "/api/history/fees",
        }
    }

    /// A text of each of its rows that the model knows.
    #[must_use]
    pub const fn telling(self) -> &'static str {
        match self {
            Self::Orders | Self::Positions => "state",
            Self::Fills => "order_id",
            Self::Ledger => "amount",
            Self::Receipts => "outcome",
            Self::Fees => "position_id",
        }
    }
}

/// What a field must be.
enum Field {
    /// This.
    Is(Value),
    /// This, or null where the state may not know it any more.
    IsOrNull(Value),
}

struct Row {
    at: u64,
    id: String,
    fields: Vec<(&'static str, Field)>,
}

fn is(value: impl Into<Value>) -> Field {
    Field::Is(value.into())
}

fn amount(units: Units) -> Field {
    is(decimal(units))
}

fn order(model: &Order) -> Row {
    let id = model.new.id;
    let (kind, price) = kind_word(model.new.kind);
    let fields = vec![
        ("decided_at", is(time(model.decided_at))),
        ("order_id", is(id.to_string())),
        ("account", is(id.account.index)),
        ("signal_id", is(id.signal.to_string())),
        ("position_id", is(model.position.to_string())),
        ("leg", is(id.leg.as_str())),
        ("symbol", is(model.new.symbol.to_string())),
        ("side", is(side_word(model.new.side))),
        ("kind", is(kind)),
        ("price", is(price.map(decimal))),
        ("quantity", amount(model.new.quantity.units().into())),
        ("reduce_only", is(model.new.reduce_only)),
        ("leverage", is(model.new.leverage)),
        ("state", is(model.state.as_str())),
        ("reason", is(model.reason.map(|reason| reason.as_str()))),
        ("filled", amount(model.filled)),
        ("notional", amount(model.notional)),
        ("fees", amount(model.fees)),
        ("sent_at", is(time(model.sent_at))),
        ("filled_at", is(time(model.filled_at))),
        ("done_at", is(time(model.done_at))),
    ];
    Row { at: model.decided_at, id: id.to_string(), fields }
}

fn position(model: &Position) -> Row {
    let fields = vec![
        ("decided_at", is(time(model.decided_at))),
        ("position_id", is(model.signal.to_string())),
        ("account", is(model.account)),
        ("symbol", is(model.symbol.to_string())),
        ("side", is(side_word(model.side))),
        ("state", is(model.state.as_str())),
        ("leverage", is(model.leverage)),
        ("quantity", amount(model.open)),
        ("entry_cost", amount(model.cost)),
        ("entry_quantity", amount(model.entered)),
        ("realised", amount(model.realised)),
        ("fees", amount(model.fees)),
        ("funding", amount(model.funding)),
        ("stop", amount(model.stop)),
        ("take_profit", amount(model.target)),
        ("liquidation", amount(model.liquidation)),
        ("opened_at", is(time(model.opened_at))),
        ("closed_at", is(time(model.closed_at))),
        ("close_reason", is(model.closed.map(|reason| reason.as_str()))),
    ];
    Row { at: model.decided_at, id: format!("{}:{}", model.signal, model.account), fields }
}

/// From then on a list that keeps the newest has everything.
fn since(is_full: bool, oldest: Option<u64>) -> u64 {
    oldest.filter(|_| is_full).map_or(0, |at| at + 1)
}

impl ModelUser {
    /// From when on the statement has every entry.
    fn statement_since(&self) -> u64 {
        let newest = &self.books.newest;
        since(self.books.entries > newest.len() as u64, newest.first().map(|entry| entry.at))
    }

    /// The rows of a kind that the state has, in no order, and from when on it has all.
    fn rows_of(&self, what: History) -> (Vec<Row>, u64) {
        match what {
            History::Orders => {
                let full = self.final_orders.len() >= HISTORY;
                let oldest = self.final_orders.first().map(|order| order.done_at);
                (self.orders.iter().chain(&self.final_orders).map(order).collect(), since(full, oldest))
            }
            History::Positions => {
                let rows = self.positions.iter().chain(&self.closed).map(position).collect();
                (rows, self.closed_since())
            }
            History::Receipts => {
                let rows = self.receipts.iter().map(|line| {
                    let (outcome, reason) = outcome_words(&line.kind);
                    let fields = vec![
                        ("decided_at", is(time(line.decided_at))),
                        ("signal_id", is(line.signal.to_string())),
                        ("account", is(line.account)),
                        ("outcome", is(outcome)),
                        ("reason", is(reason)),
                        ("sent_at", is(time(line.sent_at))),
                        ("filled_at", is(time(line.filled_at))),
                        ("done_at", is(time(line.done_at))),
                    ];
                    Row { at: line.decided_at, id: line.signal.to_string(), fields }
                });
                let full = self.receipts.len() >= HISTORY;
                (rows.collect(), since(full, self.receipts.first().map(|line| line.decided_at)))
            }
            History::Ledger => {
                let lines = self.books.newest.iter().flat_map(|entry| {
                    entry.lines.iter().enumerate().map(move |(line, (account, moved))| Row {
                        at: entry.at,
                        id: format!("{:020}:{line}", entry.number),
                        fields: vec![
                            ("at", is(entry.at)),
                            ("number", is(entry.number)),
                            ("line", is(line)),
                            ("key", is(entry_name(&entry.key).0)),
                            ("account", is(account.name())),
                            ("currency", is(entry.currency.as_str())),
                            ("amount", amount(*moved)),
                        ],
                    })
                });
                (lines.collect(), self.statement_since())
            }
            History::Fees => (self.closed.iter().map(|model| self.fee(model)).collect(), self.closed_since()),
            History::Fills => {
                let since = self.statement_since();
                let known = self.executions.iter().filter(|one| one.at >= since);
                (known.filter_map(|one| self.execution(one)).collect(), since)
            }
        }
    }

    fn closed_since(&self) -> u64 {
        since(self.closed.len() >= HISTORY, self.closed.first().map(|position| position.closed_at))
    }

    /// What a closed position cost: what it came to then, or null where funding came to it, and what was charged then, or null
    /// where its entry may be gone.
    fn fee(&self, model: &Position) -> Row {
        let net = Value::from(decimal(model.net_then));
        let net = if model.funded_at == 0 { Field::Is(net) } else { Field::IsOrNull(net) };
        let gone = model.closed_at < self.statement_since();
        let charged = |part: usize| {
            let value = Value::from(decimal(model.charged[part]));
            if gone { Field::IsOrNull(value) } else { Field::Is(value) }
        };
        let fields = vec![
            ("at", is(model.closed_at)),
            ("position_id", is(model.signal.to_string())),
            ("account", is(model.account)),
            ("currency", is(self.currency(model.account).as_str())),
            ("net", net),
            ("from_credit", charged(0)),
            ("from_real", charged(1)),
            ("owed", charged(2)),
            ("carried_loss", is(Value::Null)),
        ];
        Row { at: model.closed_at, id: format!("{}:{}", model.signal, model.account), fields }
    }

    /// An execution: of its order what is remembered, its price and size where that was filled at once. `None` for one that
    /// booked nothing, and is not its order's only one.
    fn execution(&self, model: &Execution) -> Option<Row> {
        let remembered = |id: ClientOrderId| {
            self.orders.iter().chain(&self.final_orders).find(move |order| order.new.id == id)
        };
        let (who, account, number, order) = match model.key {
            EntryKey::FillFee(id, number) => (id.to_string(), id.account.index, number, remembered(id)),
            EntryKey::LiquidationFee(account, number) => {
                (format!("liquidation:{}:{account}", self.id), account, number, None)
            }
            EntryKey::OutsideFee(account, number) => {
                (format!("outside:{}:{account}", self.id), account, number, None)
            }
            _ => return None,
        };
        let whole = order.filter(|order| order.fills == 1);
        if model.fee == 0 && model.realised == 0 && whole.is_none() {
            return None;
        }
        // A notional that was rounded does not give the price back.
        let price = whole.map_or(Field::Is(Value::Null), |_| Field::IsOrNull(decimal(model.price).into()));
        let fields = vec![
            ("at", is(model.at)),
            ("order_id", is(who.as_str())),
            ("number", is(number)),
            ("account", is(account)),
            ("position_id", is(order.map(|order| order.position.to_string()))),
            ("symbol", is(order.map(|order| order.new.symbol.to_string()))),
            ("side", is(order.map(|order| side_word(order.new.side)))),
            ("price", price),
            ("quantity", is(whole.map(|_| decimal(model.quantity)))),
            ("fee", amount(model.fee)),
            ("realised", amount(model.realised)),
            ("liquidity", is(Value::Null)),
            ("venue_at", is(Value::Null)),
        ];
        Some(Row { at: model.at, id: format!("{who}:{number:010}"), fields })
    }

    /// Whether a page of a history is what this user's state has to tell: of all rows that come after `after` (the time and id of the
    /// last row of the page before), the first `limit`, newest first; and whether it says so when there are more.
    ///
    /// # Errors
    /// The first difference.
    pub fn history_agrees(
        &self,
        what: History,
        limit: usize,
        after: Option<(u64, &str)>,
        shown: &Value,
    ) -> Agrees {
        let (mut rows, since) = self.rows_of(what);
        rows.retain(|row| after.is_none_or(|after| (row.at, row.id.as_str()) < after));
        rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| format!("{}-{}", row.at, row.id));
        same("source", &shown["source"], &Value::from("memory"))?;
        same("complete_from", &shown["complete_from"], &Value::from(since))?;
        same("truncated", &shown["truncated"], &Value::from(since > 0))?;
        let found = shown["rows"].as_array().ok_or("no rows")?;
        same("number of rows", &found.len(), &rows.len())?;
        same("next", &shown["next"], &Value::from(next))?;
        for (shown, row) in found.iter().zip(&rows) {
            let columns = shown.as_object().map_or(0, serde_json::Map::len);
            same(format_args!("columns of {}", row.id), &columns, &row.fields.len())?;
            for (name, field) in &row.fields {
                let shown = &shown[*name];
                match field {
                    Field::IsOrNull(_) if shown.is_null() => {}
                    Field::Is(value) | Field::IsOrNull(value) => {
                        same(format_args!("{name} of {}", row.id), shown, value)?;
                    }
                }
            }
        }
        Ok(())
    }
}
