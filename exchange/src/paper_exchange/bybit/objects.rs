//! Orders, executions, positions and wallets as Bybit V5 writes them, in REST answers and in stream messages.
//!
//! **Invariants**: every number with a point is a text, plain decimal. A field that the paper exchange has no meaning for
//! has the value that Bybit gives it where it has none either.

use engine::core::fixed::{Money, Price, Quantity, Rate, Rounding};
use engine::core::ids::Timestamp;
use engine::core::instrument::{Instrument, Symbol};
use engine::core::order::{Liquidity, Side};
use serde_json::{Map, Value, json};

use super::wish::side_word;
use crate::paper::rules;
use crate::paper_exchange::accounts::{Funds, Income, IncomeKind, Position};
use crate::paper_exchange::orders::{
    EndReason, Execution, Life, Order, OrderNo, Origin, PositionSide, Role, State, Watched,
};

/// The settlement currency.
pub const COIN: &str = "USDT";

/// How an id begins that the exchange made where the client gave none: no client's can.
const MADE: char = '#';

/// A time as Bybit writes it.
#[must_use]
pub fn millis(at: Timestamp) -> String {
    at.millis().to_string()
}

/// `a / b` at eight places, half to even; zero for a `b` of zero or what does not fit.
#[must_use]
pub fn ratio(a: Money, b: Money) -> Rate {
    let one = Money::from_whole(1).units();
    a.scaled(one, b.units(), Rounding::HalfEven).map_or(Rate::ZERO, |ratio| Rate::from_units(ratio.units()))
}

fn text_or<T: ToString>(value: Option<T>, other: &str) -> String {
    value.map_or_else(|| other.to_owned(), |value| value.to_string())
}

const fn watched_word(watched: Watched) -> &'static str {
    match watched {
        Watched::Last => "LastPrice",
        Watched::Mark => "MarkPrice",
        Watched::Index => "IndexPrice",
    }
}

/// The client's id: empty for what the exchange made, and where the client gave none.
#[must_use]
pub fn link(order: &Order) -> &str {
    match order.spec.origin {
        Origin::Client => Some(order.client_id()).filter(|id| !id.starts_with(MADE)).unwrap_or_default(),
        Origin::Attached(_) | Origin::Liquidation => "",
    }
}

/// `positionIdx`.
#[must_use]
pub const fn index(side: PositionSide) -> u8 {
    match side {
        PositionSide::Both => 0,
        PositionSide::Long => 1,
        PositionSide::Short => 2,
    }
}

/// `orderStatus`.
#[must_use]
pub fn status(order: &Order) -> &'static str {
    let waited = order.spec.trigger.is_some() && order.fired_at.is_none();
    match order.state {
        State::Untriggered => "Untriggered",
        State::New => "New",
        State::PartiallyFilled => "PartiallyFilled",
        State::Filled => "Filled",
        State::Cancelled | State::Expired if waited => "Deactivated",
        State::Cancelled | State::Expired => "Cancelled",
        State::Rejected => "Rejected",
    }
}

/// `rejectReason`.
#[must_use]
pub fn reject_reason(order: &Order) -> &'static str {
    let Some(end) = order.end else { return "EC_NoError" };
    match end {
        EndReason::Requested => "EC_PerCancelRequest",
        EndReason::WouldTake => "EC_PostOnlyWillTakeLiquidity",
        EndReason::Immediate if order.spec.life == Life::FillOrKill => "EC_CancelForNoFullFill",
        EndReason::Immediate | EndReason::Liquidity => "EC_NoImmediateQtyToFill",
        EndReason::PositionClosed | EndReason::Replaced => "EC_NoError",
        EndReason::Margin | EndReason::Time | EndReason::Refused => "EC_Others",
    }
}

/// `cancelType`.
#[must_use]
pub fn cancel_type(order: &Order) -> &'static str {
    match order.end {
        Some(EndReason::Requested) => "CancelByUser",
        Some(EndReason::PositionClosed | EndReason::Replaced) if !stop_type(order).is_empty() => {
            "CancelByTpSlTsClear"
        }
        Some(EndReason::PositionClosed) => "CancelByReduceOnly",
        _ => "UNKNOWN",
    }
}

/// `stopOrderType`: empty for an order that never waited for a price.
#[must_use]
pub fn stop_type(order: &Order) -> &'static str {
    match (order.spec.trigger, order.spec.origin) {
        (None, _) => "",
        (Some(trigger), Origin::Attached(_)) if trigger.role == Role::Stop => "StopLoss",
        (Some(trigger), Origin::Attached(_)) if trigger.role == Role::TakeProfit => "TakeProfit",
        (Some(_), _) => "Stop",
    }
}

/// `createType`.
#[must_use]
pub fn create_type(order: &Order) -> &'static str {
    match (stop_type(order), order.spec.origin) {
        ("StopLoss", _) => "CreateByStopLoss",
        ("TakeProfit", _) => "CreateByTakeProfit",
        ("Stop", _) => "CreateByStopOrder",
        (_, Origin::Liquidation) => "CreateByLiq",
        _ if order.spec.closes_only() => "CreateByClosing",
        _ => "CreateByUser",
    }
}

/// `timeInForce`: market orders are immediate-or-cancel at Bybit.
#[must_use]
pub fn time_in_force(order: &Order) -> &'static str {
    match order.spec.life {
        Life::FillOrKill => "FOK",
        Life::PostOnly => "PostOnly",
        Life::ImmediateOrCancel => "IOC",
        Life::UntilCancelled | Life::Until(_) if order.limit().is_none() => "IOC",
        Life::UntilCancelled | Life::Until(_) => "GTC",
    }
}

/// `orderType`.
#[must_use]
pub fn order_type(order: &Order) -> &'static str {
    if order.limit().is_some() { "Limit" } else { "Market" }
}

/// An order, as order/realtime gives it.
#[must_use]
pub fn order(order: &Order, parent_link: &str) -> Map<String, Value> {
    let leaves = if order.state.is_final() { Quantity::ZERO } else { order.remaining() };
    let leaves_value = order.limit().and_then(|price| price.notional(leaves)).unwrap_or(Money::ZERO);
    let trigger = order.spec.trigger;
    let direction = trigger.map_or(0, |trigger| if trigger.rising { 1 } else { 2 });
    let attached = order.spec.attached;
    let has_protection =
        attached.stop.is_some() || attached.take_profit.is_some() || stop_type(order).len() > 4;
    let mut told = object(json!({
        "orderId": order.no.as_uuid(),
        "orderLinkId": link(order),
        "parentOrderLinkId": parent_link,
        "blockTradeId": "",
        "symbol": order.spec.symbol.as_str(),
        "price": text_or(order.limit(), "0"),
        "qty": order.spec.quantity.to_string(),
        "side": side_word(order.spec.side),
        "isLeverage": "",
        "positionIdx": index(order.spec.position_side),
        "orderStatus": status(order),
        "createType": create_type(order),
        "cancelType": cancel_type(order),
        "rejectReason": reject_reason(order),
        "avgPrice": text_or(order.average(), ""),
        "leavesQty": leaves.to_string(),
        "leavesValue": leaves_value.to_string(),
        "cumExecQty": order.filled.to_string(),
        "cumExecValue": order.cost.to_string(),
        "cumExecFee": order.fees.to_string(),
        "cumFeeDetail": { COIN: order.fees.to_string() },
        "closedPnl": order.closed_net.to_string(),
        "timeInForce": time_in_force(order),
        "orderType": order_type(order),
    }));
    told.extend(object(json!({
        "stopOrderType": stop_type(order),
        "orderIv": "",
        "marketUnit": "",
        "triggerPrice": text_or(trigger.map(|trigger| trigger.price), ""),
        "takeProfit": text_or(attached.take_profit, ""),
        "stopLoss": text_or(attached.stop, ""),
        "tpslMode": if has_protection { "Full" } else { "" },
        "ocoTriggerBy": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "tpTriggerBy": if attached.take_profit.is_some() { "MarkPrice" } else { "" },
        "slTriggerBy": if attached.stop.is_some() { "MarkPrice" } else { "" },
        "triggerDirection": direction,
        "triggerBy": trigger.map_or("", |trigger| watched_word(trigger.watched)),
        "lastPriceOnCreated": "",
        "reduceOnly": order.spec.closes_only(),
        "closeOnTrigger": order.spec.close_position,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "feeCurrency": "",
        "createdTime": millis(order.created_at),
        "updatedTime": millis(order.updated_at),
    })));
    told
}

/// What an execution says of its order.
#[derive(Clone, Copy, Debug)]
pub struct OfOrder<'a> {
    /// The order, when it is still known.
    pub order: Option<&'a Order>,
    /// Its instrument's fee rate for this execution.
    pub fee_rate: Rate,
    /// The mark when it happened, or what comes nearest.
    pub mark: Price,
}

/// An execution, as execution/list gives it.
#[must_use]
pub fn execution(execution: &Execution, of: OfOrder<'_>) -> Map<String, Value> {
    let order = of.order;
    object(json!({
        "symbol": execution.symbol.as_str(),
        "orderId": execution.order.as_uuid(),
        "orderLinkId": order.map_or("", link),
        "side": side_word(execution.side),
        "orderPrice": text_or(order.and_then(Order::limit).or(Some(execution.price)), "0"),
        "orderQty": order.map_or(execution.quantity, |order| order.spec.quantity).to_string(),
        "leavesQty": order.map_or(Quantity::ZERO, Order::remaining).to_string(),
        "createType": if execution.liquidation { "CreateByLiq" } else { order.map_or("CreateByUser", create_type) },
        "orderType": order.map_or("Market", order_type),
        "stopOrderType": order.map_or("", stop_type),
        "execFee": execution.fee.to_string(),
        "execFeeV2": "",
        "execId": execution.no.as_uuid(),
        "execPrice": execution.price.to_string(),
        "execQty": execution.quantity.to_string(),
        "execType": if execution.liquidation { "BustTrade" } else { "Trade" },
        "execValue": execution.cost.to_string(),
        "execTime": millis(execution.at),
        "execPnl": execution.realised.to_string(),
        "feeCurrency": COIN,
        "isMaker": execution.liquidity == Liquidity::Maker,
        "feeRate": of.fee_rate.to_string(),
        "tradeIv": "",
        "markIv": "",
        "markPrice": of.mark.to_string(),
        "indexPrice": of.mark.to_string(),
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": execution.closed.to_string(),
        "isLeverage": "",
        "marketUnit": "",
        "extraFees": "",
        "seq": execution.no.0,
    }))
}

/// A settled funding, which Bybit tells as an execution (EXCHANGES.md §3.5): the fee is what was paid.
#[must_use]
pub fn funding(income: &Income) -> Option<Map<String, Value>> {
    let IncomeKind::Funding { rate, mark, quantity, side } = income.kind else { return None };
    let signed = if side == Side::Buy { rate } else { rate.negated() };
    Some(object(json!({
        "symbol": income.symbol.as_ref().map_or("", Symbol::as_str),
        "orderId": income.no.as_uuid(),
        "orderLinkId": "",
        "side": side_word(side),
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "createType": "",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "execFee": income.amount.negated().to_string(),
        "execFeeV2": "",
        "execId": income.no.as_uuid(),
        "execPrice": mark.to_string(),
        "execQty": quantity.to_string(),
        "execType": "Funding",
        "execValue": mark.notional(quantity).unwrap_or(Money::ZERO).to_string(),
        "execTime": millis(income.at),
        "execPnl": "0",
        "feeCurrency": COIN,
        "isMaker": false,
        "feeRate": signed.to_string(),
        "tradeIv": "",
        "markIv": "",
        "markPrice": mark.to_string(),
        "indexPrice": mark.to_string(),
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": "0",
        "isLeverage": "",
        "marketUnit": "",
        "extraFees": "",
        "seq": income.no.0,
    })))
}

/// What a position is told with.
#[derive(Clone, Copy, Debug)]
pub struct OfPosition<'a> {
    /// Its instrument.
    pub instrument: &'a Instrument,
    /// The mark.
    pub mark: Price,
    /// What is set for the symbol.
    pub leverage: u8,
    /// Which side it is told for.
    pub side: PositionSide,
    /// Number of the newest event that concerned it.
    pub seq: u64,
    /// When a flat one was touched last.
    pub at: Timestamp,
}

/// A position, as position/list gives it; `stream` names the entry price as the topic does.
#[must_use]
pub fn position(position: Option<&Position>, of: OfPosition<'_>, stream: bool) -> Map<String, Value> {
    let zero = || Money::ZERO.to_string();
    let instrument = of.instrument;
    let mut out = object(json!({
        "positionIdx": index(of.side),
        "tradeMode": 0,
        "riskId": rules::brackets(instrument).iter().filter(|row| row.leverage_max >= of.leverage).count(),
        "riskLimitValue": rules::notional_max(instrument, of.leverage).to_string(),
        "symbol": instrument.symbol.as_str(),
        "leverage": of.leverage.to_string(),
        "autoAddMargin": 0,
        "markPrice": of.mark.to_string(),
        "positionStatus": "Normal",
        "adlRankIndicator": if position.is_some() { 2 } else { 0 },
        "tpslMode": "Full",
        "trailingStop": "0",
        "sessionAvgPrice": "",
        "isReduceOnly": false,
        "leverageSysUpdatedTime": "",
        "mmrSysUpdatedTime": "",
        "seq": of.seq,
    }));
    let entry_name = if stream { "entryPrice" } else { "avgPrice" };
    let Some(held) = position else {
        for name in ["size", "positionValue", "positionIM", "positionMM", "unrealisedPnl", "curRealisedPnl"] {
            out.insert(name.into(), zero().into());
        }
        for name in ["cumRealisedPnl", "positionBalance", "positionIMByMp", "positionMMByMp"] {
            out.insert(name.into(), zero().into());
        }
        for name in ["side", "liqPrice", "bustPrice", "breakEvenPrice", "takeProfit", "stopLoss"] {
            out.insert(name.into(), "".into());
        }
        out.insert(entry_name.into(), "0".into());
        out.insert("createdTime".into(), millis(of.at).into());
        out.insert("updatedTime".into(), millis(of.at).into());
        return out;
    };
    let maintenance = maintenance(held, of.mark, instrument);
    let realised = held.realised.to_string();
    let bust =
        rules::bankruptcy_price(held.side, held.entry_cost, held.quantity, held.leverage, instrument.tick);
    let trigger = |told: Option<(Price, OrderNo)>| text_or(told.map(|(price, _)| price), "");
    for (name, value) in [
        ("side", side_word(held.side).to_owned()),
        ("size", held.quantity.to_string()),
        (entry_name, held.entry().to_string()),
        ("breakEvenPrice", held.entry().to_string()),
        ("leverage", held.leverage.to_string()),
        ("positionValue", held.entry_cost.to_string()),
        ("positionBalance", held.margin().to_string()),
        ("positionIM", held.margin().to_string()),
        ("positionIMByMp", held.margin().to_string()),
        ("positionMM", maintenance.to_string()),
        ("positionMMByMp", maintenance.to_string()),
        ("liqPrice", text_or(held.liquidation(instrument), "")),
        ("bustPrice", text_or(bust, "")),
        ("takeProfit", trigger(held.take_profit)),
        ("stopLoss", trigger(held.stop)),
        ("unrealisedPnl", held.unrealised(of.mark).to_string()),
        ("curRealisedPnl", realised.clone()),
        ("cumRealisedPnl", realised),
        ("createdTime", millis(held.opened_at)),
        ("updatedTime", millis(held.updated_at)),
    ] {
        out.insert(name.into(), value.into());
    }
    out
}

/// Maintenance margin at a mark.
fn maintenance(held: &Position, mark: Price, instrument: &Instrument) -> Money {
    rules::maintenance(held.notional(mark), instrument).unwrap_or(Money::ZERO)
}

/// The wallet: one account with one coin.
#[must_use]
pub fn wallet(funds: &Funds) -> Map<String, Value> {
    let plus = |a: Money, b: Money| a.checked_add(b).unwrap_or(a);
    let equity = plus(funds.wallet, funds.unrealised);
    let initial = plus(funds.position_margin, funds.order_margin);
    let text = |money: Money| Value::from(money.to_string());
    let coin = json!({
        "coin": COIN,
        "equity": text(equity),
        "usdValue": text(equity),
        "walletBalance": text(funds.wallet),
        "free": "",
        "locked": "0",
        "spotHedgingQty": "0",
        "spotBorrow": "0",
        "borrowAmount": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": text(funds.order_margin),
        "totalPositionIM": text(funds.position_margin),
        "totalPositionMM": text(funds.maintenance),
        "unrealisedPnl": text(funds.unrealised),
        "cumRealisedPnl": "0",
        "bonus": "0",
        "collateralSwitch": true,
        "marginCollateral": true,
    });
    object(json!({
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "accountIMRate": ratio(initial, equity).to_string(),
        "accountIMRateByMp": ratio(initial, equity).to_string(),
        "accountMMRate": ratio(funds.maintenance, equity).to_string(),
        "accountMMRateByMp": ratio(funds.maintenance, equity).to_string(),
        "totalEquity": text(equity),
        "totalWalletBalance": text(funds.wallet),
        "totalMarginBalance": text(equity),
        "totalAvailableBalance": text(funds.available),
        "totalPerpUPL": text(funds.unrealised),
        "totalInitialMargin": text(initial),
        "totalInitialMarginByMp": text(initial),
        "totalMaintenanceMargin": text(funds.maintenance),
        "totalMaintenanceMarginByMp": text(funds.maintenance),
        "coin": [coin],
    }))
}

/// A change of the wallet, as transaction-log gives it.
#[must_use]
pub fn transaction(income: &Income, execution: Option<&Execution>, link: &str) -> Map<String, Value> {
    let zero = Money::ZERO;
    let (kind, side, quantity, price, fee, funding) = match income.kind {
        IncomeKind::Transfer => ("TRANSFER_IN", "None", Quantity::ZERO, Price::ZERO, zero, zero),
        IncomeKind::Funding { mark, quantity, side, .. } => {
            ("SETTLEMENT", side_word(side), quantity, mark, zero, income.amount)
        }
        IncomeKind::Realised | IncomeKind::Commission => {
            let side = execution.map_or("None", |execution| side_word(execution.side));
            let quantity = execution.map_or(Quantity::ZERO, |execution| execution.quantity);
            let price = execution.map_or(Price::ZERO, |execution| execution.price);
            let paid = if income.kind == IncomeKind::Commission { income.amount.negated() } else { zero };
            ("TRADE", side, quantity, price, paid, zero)
        }
    };
    let cash = if kind == "TRADE" && fee.is_zero() || kind == "TRANSFER_IN" { income.amount } else { zero };
    object(json!({
        "id": income.no.as_uuid(),
        "symbol": income.symbol.as_ref().map_or("", Symbol::as_str),
        "category": if income.symbol.is_some() { "linear" } else { "" },
        "side": side,
        "transactionTime": millis(income.at),
        "type": kind,
        "transSubType": "",
        "qty": quantity.to_string(),
        "size": "",
        "currency": COIN,
        "tradePrice": price.to_string(),
        "funding": if kind == "SETTLEMENT" { funding.to_string() } else { String::new() },
        "fee": fee.to_string(),
        "cashFlow": cash.to_string(),
        "change": income.amount.to_string(),
        "cashBalance": income.balance.to_string(),
        "feeRate": match income.kind { IncomeKind::Funding { rate, .. } => rate.to_string(), _ => String::new() },
        "bonusChange": "",
        "tradeId": execution.map(|execution| execution.no.as_uuid()).unwrap_or_default(),
        "orderId": execution.map(|execution| execution.order.as_uuid()).unwrap_or_default(),
        "orderLinkId": link,
        "extraFees": "",
    }))
}

/// The object of a `json!` that is one.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
