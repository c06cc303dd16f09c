//! What the state itself can answer: the newest, where it keeps any of that kind.

use engine::core::user::User;

use super::{HistoryQuestion, HistoryRows, Kind};

impl HistoryQuestion {
    /// What the state keeps of it: the newest, where it keeps any.
    #[must_use]
    pub fn from_memory(&self, user: &User) -> Option<HistoryRows> {
        let some = |text: &str| Some(text.to_owned());
        let time = |micros: u64| (micros > 0).then(|| micros.to_string());
        let mut rows: Vec<(i64, Vec<Option<String>>)> = Vec::new();
        let at = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        match self.kind {
            Kind::Ledger => {
                for entry in user.ledger.statement() {
                    for (line, posting) in entry.postings.iter().enumerate() {
                        rows.push((
                            at(entry.at.0),
                            vec![
                                time(entry.at.0),
                                some(&entry.number.to_string()),
                                some(&line.to_string()),
                                some(&entry.key.text()),
                                some(&posting.account.name()),
                                some(entry.currency.as_str()),
                                some(&posting.amount.to_string()),
                            ],
                        ));
                    }
                }
            }
            Kind::Receipts => {
                for outcome in &user.outcomes {
                    let (word, reason) = outcome.kind.words();
                    rows.push((
                        at(outcome.decided_at.0),
                        vec![
                            time(outcome.decided_at.0),
                            some(&outcome.signal.to_string()),
                            some(&outcome.account.to_string()),
                            some(word),
                            reason.map(str::to_owned),
                            time(outcome.sent_at.0),
                            time(outcome.filled_at.0),
                            time(outcome.done_at.0),
                        ],
                    ));
                }
            }
            Kind::Orders => {
                let mut orders: Vec<_> = user.orders.iter().chain(&user.final_orders).collect();
                orders.sort_by_key(|order| (order.decided_at, order.new.id));
                for order in orders {
                    let (kind, price) = order.new.kind.words();
                    rows.push((
                        at(order.decided_at.0),
                        vec![
                            time(order.decided_at.0),
                            some(&order.new.id.to_string()),
                            some(&order.new.id.account.index.to_string()),
                            some(&order.new.id.signal.to_string()),
                            some(&order.position.to_string()),
                            some(order.new.id.leg.as_str()),
                            some(order.new.symbol.as_str()),
                            some(order.new.side.as_str()),
                            some(kind),
                            price.map(|price| price.to_string()),
                            some(&order.new.quantity.to_string()),
                            some(&order.new.reduce_only.to_string()),
                            some(&order.new.leverage.to_string()),
                            some(order.state.as_str()),
                            order.reason.map(|reason| reason.as_str().to_owned()),
                            some(&order.filled.to_string()),
                            some(&order.notional.to_string()),
                            some(&order.fees.to_string()),
                            time(order.sent_at.0),
                            time(order.filled_at.0),
                            time(order.done_at.0),
                        ],
                    ));
                }
            }
            Kind::Positions => {
                let mut positions: Vec<_> = user.positions.iter().chain(&user.closed_positions).collect();
                positions.sort_by_key(|position| (position.decided_at, position.signal, position.account));
                for position in positions {
                    rows.push((
                        at(position.decided_at.0),
                        vec![
                            time(position.decided_at.0),
                            some(&position.signal.to_string()),
                            some(&position.account.to_string()),
                            some(position.symbol.as_str()),
                            some(position.side.as_str()),
                            some(position.state.as_str()),
                            some(&position.leverage.to_string()),
                            some(&position.quantity.to_string()),
                            some(&position.entry_cost.to_string()),
                            some(&position.entry_quantity.to_string()),
                            some(&position.realised.to_string()),
                            some(&position.fees.to_string()),
                            some(&position.funding.to_string()),
                            some(&position.stop.to_string()),
                            some(&position.take_profit.to_string()),
                            some(&position.liquidation.to_string()),
                            time(position.opened_at.0),
                            time(position.closed_at.0),
                            position.closed.map(|reason| reason.as_str().to_owned()),
                        ],
                    ));
                }
            }
            Kind::Fills | Kind::Fees | Kind::Performance(_) => return None,
        }
        rows.retain(|(at, _)| (self.from..self.to).contains(at));
        rows.reverse();
        rows.truncate(self.limit);
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        Some(HistoryRows { columns: self.columns(), rows, next: None, source: "memory".to_owned() })
    }
}
