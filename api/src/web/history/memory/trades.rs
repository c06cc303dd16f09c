//! Orders, positions, receipts and the ledger, from the state.

use engine::core::ids::SignalId;
use engine::core::user::{ORDER_HISTORY_MAX, OUTCOMES_MAX, POSITION_HISTORY_MAX, User};

use super::{Found, after, micros, some, time};
use crate::web::history::Row;

pub(super) fn orders(user: &User) -> Found {
    let rows = user.orders.iter().chain(&user.final_orders).map(|order| {
        let id = order.new.id;
        let (kind, price) = order.new.kind.words();
        Row {
            at: micros(order.decided_at),
            id: id.to_string(),
            fields: vec![
                time(order.decided_at),
                some(id),
                some(id.account.index),
                some(id.signal),
                some(order.position),
                some(id.leg.as_str()),
                some(order.new.symbol),
                some(order.new.side.as_str()),
                some(kind),
                price.and_then(some),
                some(order.new.quantity),
                some(order.new.reduce_only),
                some(order.new.leverage),
                some(order.state.as_str()),
                order.reason.and_then(|reason| some(reason.as_str())),
                some(order.filled),
                some(order.notional),
                some(order.fees),
                time(order.sent_at),
                time(order.filled_at),
                time(order.done_at),
            ],
        }
    });
    // Those that were let go became final before the oldest that is kept did, and were decided before that.
    let oldest = user.final_orders.front().filter(|_| user.final_orders.len() >= ORDER_HISTORY_MAX);
    Found { rows: rows.collect(), complete_from: oldest.map_or(0, |order| after(order.done_at)) }
}

pub(super) fn positions(user: &User) -> Found {
    let rows = user.positions.iter().chain(&user.closed_positions).map(|position| Row {
        at: micros(position.decided_at),
        id: format!("{}:{}", position.signal, position.account),
        fields: vec![
            time(position.decided_at),
            some(position.signal),
            some(position.account),
            some(position.symbol),
            some(position.side.as_str()),
            some(position.state.as_str()),
            some(position.leverage),
            some(position.quantity),
            some(position.entry_cost),
            some(position.entry_quantity),
            some(position.realised),
            some(position.fees),
            some(position.funding),
            some(position.stop),
            some(position.take_profit),
            some(position.liquidation),
            time(position.opened_at),
            time(position.closed_at),
            position.closed.and_then(|reason| some(reason.as_str())),
        ],
    });
    let oldest =
        user.closed_positions.front().filter(|_| user.closed_positions.len() >= POSITION_HISTORY_MAX);
    Found { rows: rows.collect(), complete_from: oldest.map_or(0, |position| after(position.closed_at)) }
}

pub(super) fn receipts(user: &User, only: Option<SignalId>) -> Found {
    let asked = user.outcomes.iter().filter(|outcome| only.is_none_or(|signal| outcome.signal == signal));
    let rows = asked.map(|outcome| {
        let (word, reason) = outcome.kind.words();
        Row {
            at: micros(outcome.decided_at),
            id: outcome.signal.to_string(),
            fields: vec![
                time(outcome.decided_at),
                some(outcome.signal),
                some(outcome.account),
                some(word),
                reason.and_then(some),
                time(outcome.sent_at),
                time(outcome.filled_at),
                time(outcome.done_at),
            ],
        }
    });
    let oldest = user.outcomes.front().filter(|_| user.outcomes.len() >= OUTCOMES_MAX);
    Found { rows: rows.collect(), complete_from: oldest.map_or(0, |outcome| after(outcome.decided_at)) }
}

pub(super) fn ledger(user: &User) -> Found {
    let mut rows = Vec::new();
    for entry in user.ledger.statement() {
        for (line, posting) in entry.postings.iter().enumerate() {
            rows.push(Row {
                at: micros(entry.at),
                id: format!("{:020}:{line}", entry.number),
                fields: vec![
                    time(entry.at),
                    some(entry.number),
                    some(line),
                    some(entry.key),
                    some(posting.account),
                    some(entry.currency.as_str()),
                    some(posting.amount),
                ],
            });
        }
    }
    Found { rows, complete_from: statement_from(user) }
}

/// From when on the statement has every entry.
pub(super) fn statement_from(user: &User) -> i64 {
    let statement = user.ledger.statement();
    let whole = user.ledger.entries() == statement.len() as u64;
    statement.front().filter(|_| !whole).map_or(0, |oldest| after(oldest.at))
}
