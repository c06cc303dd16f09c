//! Orders, positions and balances in Binance's words.

use engine::core::fixed::{Money, Price};
use engine::core::instrument::Instrument;
use engine::core::order::{Liquidity, Side};
use serde_json::{Value, json};

use super::super::accounts::{Account, AccountNo, Funds, Income, IncomeKind, Position};
use super::super::orders::{
    EndReason, Execution, Kind, Life, Order, PositionSide, Role, State, Trigger, Watched,
};
use crate::paper::rules;

/// The settlement asset: one for all symbols.
pub(super) const ASSET: &str = "USDT";

pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

pub(super) const fn position_side(side: PositionSide) -> &'static str {
    match side {
        PositionSide::Both => "BOTH",
        PositionSide::Long => "LONG",
        PositionSide::Short => "SHORT",
    }
}

pub(super) const fn life(life: Life) -> &'static str {
    match life {
        Life::UntilCancelled => "GTC",
        Life::Until(_) => "GTD",
        Life::ImmediateOrCancel => "IOC",
        Life::FillOrKill => "FOK",
        Life::PostOnly => "GTX",
    }
}

fn good_till(life: Life) -> u64 {
    match life {
        Life::Until(at) => at.millis(),
        _ => 0,
    }
}

/// What kind of order the market has.
pub(super) const fn kind(order: &Order) -> &'static str {
    match order.spec.kind {
        Kind::Market => "MARKET",
        Kind::Limit(_) => "LIMIT",
    }
}

/// What kind of conditional order it is.
pub(super) const fn algo_kind(order: &Order, trigger: Trigger) -> &'static str {
    match (order.spec.kind, trigger.role) {
        (Kind::Market, Role::TakeProfit) => "TAKE_PROFIT_MARKET",
        (Kind::Market, _) => "STOP_MARKET",
        (Kind::Limit(_), Role::TakeProfit) => "TAKE_PROFIT",
        (Kind::Limit(_), _) => "STOP",
    }
}

/// What it was asked for as.
fn original_kind(order: &Order) -> &'static str {
    order.spec.trigger.map_or(kind(order), |trigger| algo_kind(order, trigger))
}

pub(super) const fn state(order: &Order) -> &'static str {
    match order.state {
        State::Untriggered | State::New => "NEW",
        State::PartiallyFilled => "PARTIALLY_FILLED",
        State::Filled => "FILLED",
        State::Cancelled => match order.end {
            Some(EndReason::WouldTake) => "EXPIRED",
            _ => "CANCELED",
        },
        State::Expired => "EXPIRED",
        State::Rejected => "REJECTED",
    }
}

pub(super) const fn algo_state(order: &Order) -> &'static str {
    match (order.state, order.fired_as, order.went_live) {
        (State::Untriggered, ..) => "NEW",
        (State::Cancelled, None, _) => "CANCELED",
        (_, None, _) => "EXPIRED",
        (State::New | State::PartiallyFilled, Some(_), false) => "TRIGGERING",
        (State::New | State::PartiallyFilled, Some(_), true) => "TRIGGERED",
        (_, Some(_), false) => "REJECTED",
        (_, Some(_), true) => "FINISHED",
    }
}

/// The number of what the market has.
pub(super) fn market_no(order: &Order) -> u64 {
    order.fired_as.unwrap_or(order.no).0
}

fn text(value: Option<Price>) -> String {
    value.unwrap_or_default().to_string()
}

/// An order as placing, changing and cancelling answer it: without average and value (EXCHANGES.md §2.4).
pub(super) fn placed(order: &Order) -> Value {
    json!({
        "orderId": market_no(order),
        "symbol": order.spec.symbol.as_str(),
        "status": state(order),
        "clientOrderId": order.client_id(),
        "price": text(order.limit()),
        "origQty": order.spec.quantity.to_string(),
        "executedQty": order.filled.to_string(),
        "cumQty": order.filled.to_string(),
        "timeInForce": life(order.spec.life),
        "type": kind(order),
        "reduceOnly": order.spec.reduce_only,
        "closePosition": order.spec.close_position,
        "side": side(order.spec.side),
        "positionSide": position_side(order.spec.position_side),
        "stopPrice": text(order.spec.trigger.map(|trigger| trigger.price)),
        "workingType": working(order.spec.trigger),
        "priceProtect": false,
        "origType": original_kind(order),
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": good_till(order.spec.life),
        "updateTime": order.updated_at.millis(),
    })
}

/// An order as it is answered before the market had a word: nothing filled.
pub(super) fn acknowledged(order: &Order) -> Value {
    let mut value = placed(order);
    value["status"] = "NEW".into();
    value["executedQty"] = "0".into();
    value["cumQty"] = "0".into();
    value["updateTime"] = order.created_at.millis().into();
    value
}

/// An order as a query answers it.
pub(super) fn queried(order: &Order) -> Value {
    let mut value = placed(order);
    value["avgPrice"] = text(order.average()).into();
    value["cumQuote"] = order.cost.to_string().into();
    value["time"] = order.created_at.millis().into();
    value
}

/// Which price an order watches; of the index Binance knows nothing.
pub(super) fn working(trigger: Option<Trigger>) -> &'static str {
    match trigger.map(|trigger| trigger.watched) {
        Some(Watched::Mark) => "MARK_PRICE",
        Some(Watched::Last | Watched::Index) | None => "CONTRACT_PRICE",
    }
}

/// A conditional order.
pub(super) fn algo(order: &Order, trigger: Trigger) -> Value {
    json!({
        "algoId": order.no.0,
        "clientAlgoId": order.client_id(),
        "algoType": "CONDITIONAL",
        "orderType": algo_kind(order, trigger),
        "symbol": order.spec.symbol.as_str(),
        "side": side(order.spec.side),
        "positionSide": position_side(order.spec.position_side),
        "timeInForce": life(order.spec.life),
        "quantity": if order.spec.close_position { "0".to_owned() } else { order.spec.quantity.to_string() },
        "algoStatus": algo_state(order),
        "actualOrderId": order.fired_as.filter(|_| order.went_live).map_or_else(String::new, |no| no.0.to_string()),
        "actualPrice": text(order.average()),
        "triggerPrice": trigger.price.to_string(),
        "price": text(order.limit()),
        "icebergQuantity": null,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": working(Some(trigger)),
        "priceMatch": "NONE",
        "closePosition": order.spec.close_position,
        "priceProtect": false,
        "reduceOnly": order.spec.reduce_only,
        "createTime": order.created_at.millis(),
        "updateTime": order.updated_at.millis(),
        "triggerTime": order.fired_at.map_or(0, |at| at.millis()),
        "goodTillDate": good_till(order.spec.life),
    })
}

/// An execution.
pub(super) fn trade(execution: &Execution, order_id: u64) -> Value {
    json!({
        "symbol": execution.symbol.as_str(),
        "id": execution.no.0,
        "orderId": order_id,
        "side": side(execution.side),
        "price": execution.price.to_string(),
        "qty": execution.quantity.to_string(),
        "realizedPnl": execution.realised.to_string(),
        "quoteQty": execution.cost.to_string(),
        "commission": execution.fee.to_string(),
        "commissionAsset": ASSET,
        "time": execution.at.millis(),
        "positionSide": "BOTH",
        "buyer": execution.side == Side::Buy,
        "maker": execution.liquidity == Liquidity::Maker,
    })
}

/// A change of the wallet.
pub(super) fn income(income: &Income) -> Value {
    let kind = match income.kind {
        IncomeKind::Transfer => "TRANSFER",
        IncomeKind::Realised => "REALIZED_PNL",
        IncomeKind::Commission => "COMMISSION",
        IncomeKind::Funding { .. } => "FUNDING_FEE",
    };
    json!({
        "symbol": income.symbol.map_or_else(String::new, |symbol| symbol.to_string()),
        "incomeType": kind,
        "income": income.amount.to_string(),
        "asset": ASSET,
        "info": kind,
        "time": income.at.millis(),
        "tranId": income.no.0,
        "tradeId": income.execution.map_or_else(String::new, |no| no.0.to_string()),
    })
}

/// A position with its sign.
pub(super) fn amount(position: Option<&Position>) -> String {
    match position {
        None => "0".to_owned(),
        Some(position) if position.side == Side::Buy => position.quantity.to_string(),
        Some(position) => position.quantity.negated().to_string(),
    }
}

/// On which side of a hedge a position is told.
pub(super) fn side_of_position(account: &Account, position: Option<&Position>) -> &'static str {
    match (account.hedge, position) {
        (false, _) => "BOTH",
        (true, Some(position)) if position.side == Side::Sell => "SHORT",
        (true, _) => "LONG",
    }
}

/// A position in the form of v2 (with leverage) or v3.
pub(super) fn position(
    account: &Account,
    instrument: &Instrument,
    position: Option<&Position>,
    mark: Price,
    v2: bool,
) -> Value {
    let settings = account.settings_of(instrument);
    let zero = Money::ZERO;
    let unrealised = position.map_or(zero, |position| position.unrealised(mark));
    let margin = position.map_or(zero, Position::margin);
    let notional = position.map_or(zero, |position| {
        let notional = position.notional(mark);
        if position.side == Side::Sell { notional.negated() } else { notional }
    });
    let kept = rules::maintenance(notional.abs(), instrument).unwrap_or_default();
    let entry = text(position.map(Position::entry));
    let liquidation = text(position.and_then(|position| position.liquidation(instrument)));
    let isolated_margin = if settings.isolated { margin } else { zero };
    let mut value = json!({
        "symbol": instrument.symbol.as_str(),
        "positionSide": side_of_position(account, position),
        "positionAmt": amount(position),
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "markPrice": mark.to_string(),
        "unRealizedProfit": unrealised.to_string(),
        "liquidationPrice": liquidation,
        "isolatedMargin": isolated_margin.to_string(),
        "notional": notional.to_string(),
        "isolatedWallet": isolated_margin.to_string(),
        "updateTime": position.map_or(0, |position| position.updated_at.millis()),
    });
    let more = if v2 {
        json!({
            "leverage": settings.leverage.to_string(),
            "marginType": if settings.isolated { "isolated" } else { "cross" },
            "maxNotionalValue": rules::notional_max(instrument, settings.leverage).to_string(),
            "isAutoAddMargin": "false",
            "adlQuantile": 0,
        })
    } else {
        json!({
            "marginAsset": ASSET,
            "initialMargin": margin.to_string(),
            "maintMargin": kept.to_string(),
            "positionInitialMargin": margin.to_string(),
            "openOrderInitialMargin": "0",
            "adl": 0,
            "bidNotional": "0",
            "askNotional": "0",
        })
    };
    merge(&mut value, more);
    value
}

/// A position within `account`.
pub(super) fn account_position(
    account: &Account,
    instrument: &Instrument,
    position: Option<&Position>,
    mark: Price,
    v2: bool,
) -> Value {
    let mut value = self::position(account, instrument, position, mark, false);
    value["unrealizedProfit"] = value["unRealizedProfit"].take();
    if v2 {
        let settings = account.settings_of(instrument);
        merge(
            &mut value,
            json!({
                "leverage": settings.leverage.to_string(),
                "isolated": settings.isolated,
                "maxNotional": rules::notional_max(instrument, settings.leverage).to_string(),
            }),
        );
    }
    value
}

/// A balance in the form of `balance`.
pub(super) fn balance(account: AccountNo, funds: &Funds, now_ms: u64) -> Value {
    json!({
        "accountAlias": format!("paper{}", account.0),
        "asset": ASSET,
        "balance": funds.wallet.to_string(),
        "crossWalletBalance": funds.wallet.to_string(),
        "crossUnPnl": funds.unrealised.to_string(),
        "availableBalance": funds.available.to_string(),
        "maxWithdrawAmount": funds.available.to_string(),
        "marginAvailable": true,
        "updateTime": now_ms,
    })
}

/// The sums of an account, in the form of an asset of `account`.
pub(super) fn asset(funds: &Funds, now_ms: u64) -> Value {
    let margin = funds.wallet.checked_add(funds.unrealised).unwrap_or(funds.wallet);
    let initial = funds.position_margin.checked_add(funds.order_margin).unwrap_or(funds.position_margin);
    json!({
        "asset": ASSET,
        "walletBalance": funds.wallet.to_string(),
        "unrealizedProfit": funds.unrealised.to_string(),
        "marginBalance": margin.to_string(),
        "maintMargin": funds.maintenance.to_string(),
        "initialMargin": initial.to_string(),
        "positionInitialMargin": funds.position_margin.to_string(),
        "openOrderInitialMargin": funds.order_margin.to_string(),
        "crossWalletBalance": funds.wallet.to_string(),
        "crossUnPnl": funds.unrealised.to_string(),
        "availableBalance": funds.available.to_string(),
        "maxWithdrawAmount": funds.available.to_string(),
        "marginAvailable": true,
        "updateTime": now_ms,
    })
}

/// Adds the members of `more` to `value`.
pub(super) fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend(more);
    }
}
