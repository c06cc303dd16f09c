//! What an account earned and paid: closed-pnl and the transaction log.

use engine::core::fixed::{Money, Quantity};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use engine::core::order::Side;
use serde_json::{Value, json};

use super::account::held;
use super::codes::Refusal;
use super::fields::Fields;
use super::objects::{self, link, millis};
use super::trade::{cursor, period};
use super::wish::{linear, side_word};
use crate::paper_exchange::Core;
use crate::paper_exchange::accounts::{AccountNo, Income, IncomeKind};
use crate::paper_exchange::orders::{Order, OrderNo, mean_price};

/// position/closed-pnl: one row per order that closed something, newest first.
///
/// # Errors
/// 10001.
pub fn closed_pnl(core: &Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    let held = held(core, account)?;
    let symbol = fields.text("symbol")?;
    let (from, to) = period(fields)?;
    let (limit, before) = (fields.limit(50, 100)?, cursor(fields)?);
    let mut rows: Vec<Closed> = Vec::new();
    for execution in &held.executions {
        let fits = execution.closed.is_positive()
            && (from..=to).contains(&execution.at)
            && symbol.is_none_or(|symbol| execution.symbol.as_str() == symbol);
        if !fits {
            continue;
        }
        let exit = execution.price.notional(execution.closed).unwrap_or(Money::ZERO);
        let entry = match execution.side {
            Side::Sell => exit.checked_sub(execution.realised),
            Side::Buy => exit.checked_add(execution.realised),
        };
        let row = match rows.iter_mut().rev().find(|row| row.order == execution.order) {
            Some(row) => row,
            None => {
                rows.push(Closed {
                    order: execution.order,
                    symbol: execution.symbol,
                    side: execution.side,
                    ..Closed::default()
                });
                let Some(row) = rows.last_mut() else { continue };
                row
            }
        };
        let add = |a: &mut Money, b: Money| *a = a.checked_add(b).unwrap_or(*a);
        row.quantity = row.quantity.checked_add(execution.closed).unwrap_or(row.quantity);
        add(&mut row.entry, entry.unwrap_or(exit));
        add(&mut row.exit, exit);
        add(&mut row.realised, execution.realised);
        add(&mut row.entry_fee, execution.entry_fee);
        add(&mut row.fee, execution.fee);
        row.fills += 1;
        row.at = execution.at;
        row.liquidation |= execution.liquidation;
        row.no = execution.no;
    }
    let mut rest = rows.into_iter().rev().filter(|row| row.no.0 < before);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|last| last.no.0.to_string()).unwrap_or_default();
    let list: Vec<_> = page.iter().map(|row| row.told(core, account)).collect();
    Ok(json!({ "category": "linear", "list": list, "nextPageCursor": next }))
}

/// What an order closed.
struct Closed {
    order: OrderNo,
    no: OrderNo,
    symbol: Symbol,
    side: Side,
    quantity: Quantity,
    entry: Money,
    exit: Money,
    realised: Money,
    entry_fee: Money,
    fee: Money,
    fills: u32,
    liquidation: bool,
    at: Timestamp,
}

impl Default for Closed {
    fn default() -> Self {
        Self {
            order: OrderNo(0),
            no: OrderNo(0),
            symbol: Symbol::new("-").expect("a name of one character is one"),
            side: Side::Buy,
            quantity: Quantity::ZERO,
            entry: Money::ZERO,
            exit: Money::ZERO,
            realised: Money::ZERO,
            entry_fee: Money::ZERO,
            fee: Money::ZERO,
            fills: 0,
            liquidation: false,
            at: Timestamp(0),
        }
    }
}

impl Closed {
    fn told(&self, core: &Core, account: AccountNo) -> Value {
        let order = core.order(account, self.order);
        let mean = |cost| mean_price(cost, self.quantity).unwrap_or_default().to_string();
        let fees = self.fee.checked_add(self.entry_fee).unwrap_or(self.fee);
        let net = self.realised.checked_sub(fees).unwrap_or(self.realised);
        json!({
            "symbol": self.symbol.as_str(),
            "orderId": self.order.as_uuid(),
            "side": side_word(self.side),
            "qty": order.map_or(self.quantity, |order| order.spec.quantity).to_string(),
            "orderPrice": order.and_then(Order::limit).map_or_else(|| mean(self.exit), |price| price.to_string()),
            "orderType": order.map_or("Market", objects::order_type),
            "execType": if self.liquidation { "BustTrade" } else { "Trade" },
            "closedSize": self.quantity.to_string(),
            "cumEntryValue": self.entry.to_string(),
            "avgEntryPrice": mean(self.entry),
            "cumExitValue": self.exit.to_string(),
            "avgExitPrice": mean(self.exit),
            "closedPnl": net.to_string(),
            "openFee": self.entry_fee.to_string(),
            "closeFee": self.fee.to_string(),
            "fillCount": self.fills.to_string(),
            "leverage": core.instrument(self.symbol).zip(core.account(account))
                .map_or_else(String::new, |(instrument, held)| held.settings_of(instrument).leverage.to_string()),
            "createdTime": millis(order.map_or(self.at, |order| order.created_at)),
            "updatedTime": millis(self.at),
        })
    }
}

/// account/transaction-log, newest first.
///
/// # Errors
/// 10001.
pub fn transactions(core: &Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    let held = held(core, account)?;
    let (from, to) = period(fields)?;
    let (limit, before) = (fields.limit(20, 50)?, cursor(fields)?);
    let (kind, currency) = (fields.text("type")?, fields.text("currency")?);
    let category = fields.text("category")?;
    let fits = |income: &&Income| {
        let told = match income.kind {
            IncomeKind::Transfer => "TRANSFER_IN",
            IncomeKind::Realised | IncomeKind::Commission => "TRADE",
            IncomeKind::Funding { .. } => "SETTLEMENT",
        };
        income.no.0 < before
            && (from..=to).contains(&income.at)
            && kind.is_none_or(|kind| kind == told)
            && currency.is_none_or(|currency| currency == objects::COIN)
            && category.is_none_or(|category| category == "linear" && income.symbol.is_some())
    };
    let mut rest = held.incomes.iter().rev().filter(fits);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|last| last.no.0.to_string()).unwrap_or_default();
    let list: Vec<_> = page
        .into_iter()
        .map(|income| {
            let execution =
                income.execution.and_then(|no| held.executions.iter().find(|execution| execution.no == no));
            let link = execution.and_then(|execution| core.order(account, execution.order)).map_or("", link);
            objects::transaction(income, execution, link)
        })
        .collect();
    Ok(json!({ "list": list, "nextPageCursor": next }))
}
