//! What the user streams of accounts tell (EXCHANGES.md §2.7).
//!
//! **Invariants**: an event is told as a whole or not at all: whoever gets [`Malformed`] has a gap. Executions come before the
//! order that they complete. Events that are not known, or say nothing new, are left out.

use std::borrow::Cow;

use engine::core::fixed::{Money, Quantity};
use engine::core::instrument::Symbol;
use engine::core::order::Liquidity;
use serde::Deserialize;

use super::envelope::{self, Head, Message};
use super::json::{self, Flag, Num, is_set, malformed};
use super::orders::{self, Algo};
use super::positions;
use crate::live::protocol::{
    BalanceView, ExecutionView, FundingView, Malformed, Millis, OrderView, StreamEvent,
};

/// Reads a message of a connection with user streams.
pub(super) fn private(message: &str, sink: &mut dyn FnMut(&str, StreamEvent)) -> Result<(), Malformed> {
    let (stream, text) = match envelope::open(message)? {
        Message::Event { stream, text } => (stream, text),
        Message::Other(event) => {
            event.into_iter().for_each(|event| sink("", event));
            return Ok(());
        }
    };
    let head: Head<'_> = json::read("event", text)?;
    let key = head.listen_key.as_deref().unwrap_or_else(|| envelope::listen_key(&stream));
    let mut events = Vec::new();
    match head.e.as_deref().unwrap_or_default() {
        "ORDER_TRADE_UPDATE" => order(text, &mut events)?,
        "ALGO_UPDATE" => algo(text, &mut events)?,
        "ACCOUNT_UPDATE" => account(text, &mut events)?,
        "ACCOUNT_CONFIG_UPDATE" => config(text, &mut events)?,
        "listenKeyExpired" => events.push(StreamEvent::ListenKeyExpired),
        // TRADE_LITE: the full event follows. MARGIN_CALL, STRATEGY_UPDATE, GRID_UPDATE: nothing rests on them.
        _ => {}
    }
    events.into_iter().for_each(|event| sink(key, event));
    Ok(())
}

#[derive(Deserialize)]
struct OrderEvent<'a> {
    #[serde(rename = "T", borrow)]
    transaction: Option<Num<'a>>,
    #[serde(rename = "E", borrow)]
    event: Option<Num<'a>>,
    #[serde(borrow)]
    o: OrderData<'a>,
}

#[derive(Deserialize)]
struct OrderData<'a> {
    #[serde(borrow, rename = "s")]
    symbol: Cow<'a, str>,
    #[serde(borrow, rename = "c")]
    client_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "S")]
    side: Cow<'a, str>,
    #[serde(borrow, rename = "o")]
    order_type: Cow<'a, str>,
    #[serde(borrow, rename = "ot")]
    original_type: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "x")]
    execution: Cow<'a, str>,
    #[serde(borrow, rename = "X")]
    status: Cow<'a, str>,
    #[serde(borrow, rename = "i")]
    order_id: Num<'a>,
    #[serde(borrow, rename = "q")]
    quantity: Option<Num<'a>>,
    #[serde(borrow, rename = "z")]
    filled: Num<'a>,
    #[serde(borrow, rename = "ap")]
    average: Option<Num<'a>>,
    #[serde(borrow, rename = "sp")]
    trigger: Option<Num<'a>>,
    #[serde(borrow, rename = "l")]
    last_quantity: Option<Num<'a>>,
    #[serde(borrow, rename = "L")]
    last_price: Option<Num<'a>>,
    #[serde(borrow, rename = "n")]
    fee: Option<Num<'a>>,
    #[serde(borrow, rename = "N")]
    fee_asset: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "t")]
    trade_id: Option<Num<'a>>,
    #[serde(borrow, rename = "T")]
    traded_at: Option<Num<'a>>,
    #[serde(rename = "m")]
    is_maker: Option<Flag>,
    #[serde(rename = "R")]
    reduce_only: Option<Flag>,
    #[serde(rename = "cp")]
    closes: Option<Flag>,
    #[serde(borrow, rename = "er")]
    expiry: Option<Cow<'a, str>>,
}

fn order(text: &str, events: &mut Vec<StreamEvent>) -> Result<(), Malformed> {
    let event: OrderEvent<'_> = json::read("ORDER_TRADE_UPDATE", text)?;
    let data = &event.o;
    let Some(symbol) = orders::symbol(&data.symbol) else { return Ok(()) };
    let at = time(data.traded_at.or(event.transaction).or(event.event))?;
    let client_id = data.client_id.as_deref().unwrap_or_default();
    let expiry = data.expiry.as_deref().unwrap_or_default();
    let kind = orders::kind(data.original_type.as_deref().unwrap_or(&data.order_type));
    let state = orders::state(&data.status, &data.order_type, expiry)?;
    let view = OrderView {
        client_id: json::cut(client_id).to_owned(),
        venue_id: data.order_id.id("order id")?.to_owned(),
        parent: String::new(),
        became: String::new(),
        symbol,
        side: orders::side(&data.side)?,
        kind,
        state,
        reason: orders::ending(state, kind, expiry),
        quantity: data.quantity.map(|q| q.exact("quantity")).transpose()?.unwrap_or_default(),
        filled: data.filled.exact("filled quantity")?,
        average: data.average.map(|price| price.mean("average price")).transpose()?.flatten(),
        trigger: orders::positive(data.trigger, "stop price")?,
        reduce_only: is_set(data.reduce_only) || is_set(data.closes),
        maker: orders::maker(client_id, &data.order_type),
        updated_at: at,
    };
    if matches!(&*data.execution, "TRADE" | "CALCULATED") {
        events.extend(execution(data, &view)?.map(|view| StreamEvent::Execution(Box::new(view))));
    }
    events.push(StreamEvent::Order(Box::new(view)));
    Ok(())
}

/// The execution that an order's event tells; `None` when nothing was executed.
fn execution(data: &OrderData<'_>, order: &OrderView) -> Result<Option<ExecutionView>, Malformed> {
    let quantity: Quantity = match data.last_quantity {
        Some(quantity) => quantity.exact("last quantity")?,
        None => return Err(malformed("last quantity", "missing")),
    };
    if !quantity.is_positive() {
        return Ok(None);
    }
    let price = data.last_price.ok_or_else(|| malformed("last price", "missing"))?.exact("last price")?;
    let told = data.trade_id.map(|id| id.id_if_any("trade id")).transpose()?.unwrap_or_default();
    // Some executions of the exchange's own orders have no trade id: the order and what it has filled name them as well.
    let trade_id =
        if told.is_empty() { format!("{}:{}", order.venue_id, order.filled) } else { told.to_owned() };
    Ok(Some(ExecutionView {
        sequence: told.parse().unwrap_or(0),
        trade_id,
        client_id: order.client_id.clone(),
        venue_id: order.venue_id.clone(),
        symbol: order.symbol,
        side: order.side,
        price,
        quantity,
        filled: Some(order.filled),
        is_last: Some(order.state.is_final()),
        fee: data.fee.map(|fee| fee.exact("fee")).transpose()?.unwrap_or(Money::ZERO),
        fee_asset: json::cut(data.fee_asset.as_deref().unwrap_or_default()).to_owned(),
        liquidity: if is_set(data.is_maker) { Liquidity::Maker } else { Liquidity::Taker },
        maker: order.maker,
        at: order.updated_at,
    }))
}

#[derive(Deserialize)]
struct AlgoEvent<'a> {
    #[serde(rename = "T", borrow)]
    transaction: Option<Num<'a>>,
    #[serde(rename = "E", borrow)]
    event: Option<Num<'a>>,
    #[serde(borrow)]
    o: AlgoData<'a>,
}

#[derive(Deserialize)]
struct AlgoData<'a> {
    #[serde(borrow, rename = "caid")]
    client_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "aid")]
    algo_id: Num<'a>,
    #[serde(borrow, rename = "o")]
    order_type: Cow<'a, str>,
    #[serde(borrow, rename = "s")]
    symbol: Cow<'a, str>,
    #[serde(borrow, rename = "S")]
    side: Cow<'a, str>,
    #[serde(borrow, rename = "q")]
    quantity: Option<Num<'a>>,
    #[serde(borrow, rename = "X")]
    status: Cow<'a, str>,
    #[serde(borrow, rename = "ai")]
    became: Option<Num<'a>>,
    #[serde(borrow, rename = "ap")]
    average: Option<Num<'a>>,
    #[serde(borrow, rename = "aq")]
    filled: Option<Num<'a>>,
    #[serde(borrow, rename = "tp")]
    trigger: Option<Num<'a>>,
    #[serde(rename = "cp")]
    closes: Option<Flag>,
    #[serde(rename = "R")]
    reduce_only: Option<Flag>,
    #[serde(borrow, rename = "rm")]
    cause: Option<Cow<'a, str>>,
}

fn algo(text: &str, events: &mut Vec<StreamEvent>) -> Result<(), Malformed> {
    let event: AlgoEvent<'_> = json::read("ALGO_UPDATE", text)?;
    let data = &event.o;
    let Some(symbol) = orders::symbol(&data.symbol) else { return Ok(()) };
    let algo = Algo {
        client_id: data.client_id.as_deref().unwrap_or_default(),
        algo_id: data.algo_id,
        symbol,
        side: &data.side,
        order_type: &data.order_type,
        status: &data.status,
        cause: data.cause.as_deref().unwrap_or_default(),
        quantity: data.quantity,
        became: data.became,
        filled: data.filled,
        average: data.average,
        trigger: data.trigger,
        reduces: is_set(data.reduce_only) || is_set(data.closes),
        updated_at: time(event.transaction.or(event.event))?,
    };
    events.push(StreamEvent::Order(Box::new(algo.view()?)));
    Ok(())
}

#[derive(Deserialize)]
struct AccountEvent<'a> {
    #[serde(rename = "T", borrow)]
    transaction: Option<Num<'a>>,
    #[serde(rename = "E", borrow)]
    event: Option<Num<'a>>,
    #[serde(borrow)]
    a: AccountData<'a>,
}

#[derive(Deserialize)]
struct AccountData<'a> {
    #[serde(borrow, rename = "m")]
    cause: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "B", default)]
    balances: Vec<BalanceData<'a>>,
    #[serde(borrow, rename = "P", default)]
    positions: Vec<PositionData<'a>>,
}

#[derive(Deserialize)]
struct BalanceData<'a> {
    #[serde(borrow, rename = "a")]
    asset: Cow<'a, str>,
    #[serde(borrow, rename = "wb")]
    wallet: Num<'a>,
    #[serde(borrow, rename = "bc")]
    change: Option<Num<'a>>,
}

#[derive(Deserialize)]
struct PositionData<'a> {
    #[serde(borrow, rename = "s")]
    symbol: Cow<'a, str>,
    #[serde(borrow, rename = "pa")]
    amount: Num<'a>,
    #[serde(borrow, rename = "ep")]
    entry: Option<Num<'a>>,
    #[serde(borrow, rename = "ps", default)]
    side: Cow<'a, str>,
}

fn account(text: &str, events: &mut Vec<StreamEvent>) -> Result<(), Malformed> {
    let event: AccountEvent<'_> = json::read("ACCOUNT_UPDATE", text)?;
    let at = time(event.transaction.or(event.event))?;
    let AccountData { cause, balances, positions } = &event.a;
    if cause.as_deref() == Some("FUNDING_FEE") {
        funding(balances, positions, at, events)?;
    }
    for row in balances {
        events.push(StreamEvent::Balance(BalanceView {
            asset: json::cut(&row.asset).to_owned(),
            wallet: row.wallet.exact("wallet balance")?,
            available: None,
            account: None,
        }));
    }
    for row in positions {
        let Some(symbol) = orders::symbol(&row.symbol) else { continue };
        // In hedge mode the net row beside a long or short row of the symbol says nothing.
        let is_net = |row: &PositionData<'_>| matches!(&*row.side, "BOTH" | "");
        let is_hedged = positions.iter().any(|other| other.symbol == row.symbol && !is_net(other));
        if is_net(row) && is_hedged {
            continue;
        }
        let view = positions::position(symbol, &row.side, row.amount, row.entry, at)?;
        events.push(StreamEvent::Position(view));
    }
    Ok(())
}

/// Funding: what each balance changed by. An isolated position is named beside it; crossed ones are not, and then the symbol is
/// known from the account's income only.
fn funding(
    balances: &[BalanceData<'_>],
    positions: &[PositionData<'_>],
    at: Millis,
    events: &mut Vec<StreamEvent>,
) -> Result<(), Malformed> {
    let first = positions.first().map(|row| &*row.symbol);
    let named: Option<Symbol> =
        first.filter(|first| positions.iter().all(|row| row.symbol == *first)).and_then(orders::symbol);
    for row in balances {
        let amount: Money = match row.change {
            Some(change) => change.exact("balance change")?,
            None => return Err(malformed("balance change", "missing")),
        };
        if amount.is_zero() {
            continue;
        }
        events.push(StreamEvent::Funding(FundingView {
            symbol: named,
            amount,
            asset: json::cut(&row.asset).to_owned(),
            rate: None,
            mark: None,
            at,
        }));
    }
    Ok(())
}

#[derive(Deserialize)]
struct ConfigEvent<'a> {
    #[serde(borrow)]
    ac: Option<ConfigData<'a>>,
}

#[derive(Deserialize)]
struct ConfigData<'a> {
    #[serde(borrow, rename = "s")]
    symbol: Cow<'a, str>,
    #[serde(borrow, rename = "l")]
    leverage: Num<'a>,
}

fn config(text: &str, events: &mut Vec<StreamEvent>) -> Result<(), Malformed> {
    let event: ConfigEvent<'_> = json::read("ACCOUNT_CONFIG_UPDATE", text)?;
    if let Some(data) = event.ac
        && let Some(symbol) = orders::symbol(&data.symbol)
    {
        events.push(StreamEvent::Leverage { symbol, leverage: data.leverage.whole("leverage")? });
    }
    Ok(())
}

fn time(number: Option<Num<'_>>) -> Result<Millis, Malformed> {
    number.ok_or_else(|| malformed("time", "missing"))?.millis("time")
}
