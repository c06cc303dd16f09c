//! Orders: create, amend, cancel and their batches, and the questions about them.
//!
//! **Invariants**: a request is checked as a whole before anything is done; the answer says that it was taken, what came of
//! it is told by the streams and the questions (EXCHANGES.md §3.4).

use engine::core::fixed::Price;
use engine::core::ids::Timestamp;
use serde_json::{Map, Value, json};

use super::codes::{self, Refusal};
use super::fields::Fields;
use super::market::instrument_of;
use super::objects::{self, OfOrder, link};
use super::wish::{Surroundings, Wish, linear, symbol};
use crate::paper_exchange::accounts::AccountNo;
use crate::paper_exchange::core::Oddity;
use crate::paper_exchange::orders::{Execution, Order, OrderNo, Origin, PositionSide, State};
use crate::paper_exchange::{Core, Refusal as CoreRefusal};
use engine::core::order::Liquidity;

/// Orders of one batch (EXCHANGES.md §3.4).
pub const BATCH_MAX: usize = 20;
/// Active orders of a symbol.
pub const ACTIVE_MAX: usize = 500;
/// Conditional orders of a symbol.
pub const CONDITIONAL_MAX: usize = 10;

/// What a refusal of the core is called at Bybit.
#[must_use]
pub fn refusal(refused: CoreRefusal) -> Refusal {
    match refused {
        CoreRefusal::Account => codes::KEY,
        CoreRefusal::MayNotTrade => codes::PERMISSION,
        CoreRefusal::Symbol => Refusal::symbol(),
        CoreRefusal::SymbolClosed => codes::NOT_LIVE,
        CoreRefusal::SymbolOnlyReduces => codes::ONLY_REDUCE,
        CoreRefusal::PriceZero => codes::PRICE_RANGE,
        CoreRefusal::PriceTick => codes::PRICE,
        CoreRefusal::QuantityZero => codes::TRUNCATED,
        CoreRefusal::QuantityStep => codes::QUANTITY,
        CoreRefusal::QuantityMin => codes::QUANTITY_LEAST,
        CoreRefusal::QuantityMax => codes::QUANTITY_MOST,
        CoreRefusal::Notional => Refusal::notional("minimum "),
        CoreRefusal::PositionMax => codes::POSITION_LIMIT,
        CoreRefusal::Margin => codes::MARGIN,
        CoreRefusal::Leverage | CoreRefusal::LeverageReduction => codes::LEVERAGE,
        CoreRefusal::NothingToReduce => codes::FLAT,
        CoreRefusal::WouldTrigger => Refusal::parameter("the trigger price is reached"),
        CoreRefusal::NotFilledAtOnce => Refusal::parameter("the FOK order could not be filled at once"),
        CoreRefusal::WouldTake => Refusal::parameter("the PostOnly order would take liquidity"),
        CoreRefusal::DuplicateId => codes::LINK_ID,
        CoreRefusal::TooManyOrders => codes::TOO_MANY_ACTIVE,
        CoreRefusal::TooManyTriggers => codes::TOO_MANY_CONDITIONAL,
        CoreRefusal::PositionSide | CoreRefusal::ReduceOnlyInHedge | CoreRefusal::BothSides => {
            codes::POSITION_INDEX
        }
        CoreRefusal::UnknownOrder | CoreRefusal::Finished => codes::NO_ORDER,
        CoreRefusal::NoChange => Refusal::fixed(
            10001,
            "The order remains unchanged as the parameters entered match the existing ones.",
        ),
        CoreRefusal::OrdersOpen => codes::MODE_ORDERS,
        CoreRefusal::PositionsOpen => codes::MODE_POSITION,
        CoreRefusal::NoPosition => codes::NO_POSITION,
        CoreRefusal::Lifetime => Refusal::parameter("timeInForce invalid"),
        CoreRefusal::Full | CoreRefusal::Key => codes::INTERNAL,
    }
}

/// order/create.
///
/// # Errors
/// EXCHANGES.md §3.6.
pub fn create(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    let wish = Wish::read(fields)?;
    let instrument = instrument_of(core, wish.symbol)?;
    let mark = core.mark(wish.symbol).ok_or_else(Refusal::symbol)?;
    if !wish.link.is_empty() && core.order_by_client(account, &wish.link).is_some() {
        return Err(codes::LINK_ID);
    }
    let hedge = core.account(account).ok_or(codes::KEY)?.hedge;
    if (wish.position_side == PositionSide::Both) == hedge {
        return Err(codes::POSITION_INDEX);
    }
    let held = core.position(account, wish.symbol);
    let around = Surroundings {
        instrument: &instrument,
        mark,
        position: held.map(|position| (position.side, position.quantity)),
    };
    let quantity = wish.check(&around)?;
    let of_symbol = || core.open_orders(account).filter(|order| order.spec.symbol == wish.symbol);
    let conditional = of_symbol().filter(|order| is_conditional(order)).count();
    if wish.trigger.is_some() && conditional >= CONDITIONAL_MAX {
        return Err(codes::TOO_MANY_CONDITIONAL);
    }
    if wish.trigger.is_none()
        && of_symbol().filter(|order| order.state != State::Untriggered).count() >= ACTIVE_MAX
    {
        return Err(codes::TOO_MANY_ACTIVE);
    }
    let no = core.place(account, wish.spec(quantity)).map_err(|refused| match refused {
        // An account with nothing in it is told so.
        CoreRefusal::Margin if core.account(account).is_some_and(|account| !account.wallet.is_positive()) => {
            codes::WALLET
        }
        CoreRefusal::Notional => Refusal::notional(instrument.notional_min),
        refused => refusal(refused),
    })?;
    Ok(json!({ "orderId": no.as_uuid(), "orderLinkId": wish.link }))
}

fn is_conditional(order: &Order) -> bool {
    order.state == State::Untriggered && order.spec.origin == Origin::Client
}

/// The order that a request names by `orderId` or `orderLinkId`.
fn named<'a>(core: &'a Core, account: AccountNo, fields: &Fields) -> Result<&'a Order, Refusal> {
    let symbol = symbol(fields)?;
    let order = match (fields.text("orderId")?, fields.text("orderLinkId")?) {
        (Some(id), _) => by_id(core, account, id),
        (None, Some(link)) => core.order_by_client(account, link),
        (None, None) => return Err(Refusal::parameter("orderId or orderLinkId is required")),
    };
    order.filter(|order| order.spec.symbol == symbol).ok_or(codes::NO_ORDER)
}

/// The order with this id.
fn by_id<'a>(core: &'a Core, account: AccountNo, id: &str) -> Option<&'a Order> {
    core.order(account, OrderNo::of_uuid(id)?)
}

/// order/cancel: taken, not yet ended.
///
/// # Errors
/// 110001 also for an order that has ended.
pub fn cancel(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    let order = named(core, account, fields)?;
    let told = json!({ "orderId": order.no.as_uuid(), "orderLinkId": link(order) });
    let no = order.no;
    core.cancel(account, no).map_err(refusal)?;
    Ok(told)
}

/// order/amend: price and quantity.
///
/// # Errors
/// EXCHANGES.md §3.6.
pub fn amend(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    for other in ["triggerPrice", "takeProfit", "stopLoss", "orderIv"] {
        if fields.text(other)?.is_some() {
            return Err(Refusal::parameter(format_args!("{other} can not be amended here")));
        }
    }
    let order = named(core, account, fields)?;
    let told = json!({ "orderId": order.no.as_uuid(), "orderLinkId": link(order) });
    let (no, order_symbol) = (order.no, order.spec.symbol);
    let price: Option<Price> = fields.decimal("price")?;
    if let Some(price) = price {
        super::wish::check_price(price, &instrument_of(core, order_symbol)?)?;
    }
    core.amend(account, no, price, fields.decimal("qty")?).map_err(refusal)?;
    Ok(told)
}

/// Whether an order is of the kind that `orderFilter` names.
fn fits_filter(order: &Order, filter: Option<&str>) -> bool {
    match filter {
        None => true,
        Some("Order") => order.spec.trigger.is_none(),
        Some("StopOrder") => order.spec.trigger.is_some(),
        Some("tpslOrder") => matches!(order.spec.origin, Origin::Attached(_)),
        Some(_) => false,
    }
}

/// Whether an order is within what `symbol`, `settleCoin` or `baseCoin` name.
fn scope(fields: &Fields, needed: bool) -> Result<impl Fn(&str) -> bool + use<>, Refusal> {
    let symbol = fields.text("symbol")?.map(str::to_owned);
    let settle = fields.text("settleCoin")?.map(str::to_owned);
    let base = fields.text("baseCoin")?.map(|base| format!("{base}{}", objects::COIN));
    if needed && symbol.is_none() && settle.is_none() && base.is_none() {
        return Err(Refusal::fixed(
            10001,
            "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin",
        ));
    }
    Ok(move |of: &str| {
        symbol.as_deref().is_none_or(|symbol| symbol == of)
            && settle.as_deref().is_none_or(|coin| coin == objects::COIN)
            && base.as_deref().is_none_or(|base| base == of)
    })
}

/// order/cancel-all.
///
/// # Errors
/// 10001.
pub fn cancel_all(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    let within = scope(fields, true)?;
    if fields.text("symbol")?.is_some() {
        instrument_of(core, symbol(fields)?)?;
    }
    let filter = fields.text("orderFilter")?;
    let orders: Vec<_> = core
        .open_orders(account)
        .filter(|order| within(order.spec.symbol.as_str()) && fits_filter(order, filter))
        .map(|order| (order.no, link(order).to_owned()))
        .collect();
    let mut list = Vec::new();
    for (no, link) in orders {
        if core.cancel(account, no).is_ok() {
            list.push(json!({ "orderId": no.as_uuid(), "orderLinkId": link }));
        }
    }
    Ok(json!({ "list": list, "success": "1" }))
}

/// What one item of a batch does.
pub type Single = fn(&mut Core, AccountNo, &Fields) -> Result<Value, Refusal>;

/// The items of a batch.
///
/// # Errors
/// 10001.
pub fn batch_items(fields: &Fields) -> Result<Vec<Fields>, Refusal> {
    linear(fields)?;
    let mut items = fields.objects("request", BATCH_MAX)?;
    for item in &mut items {
        item.set("category", "linear");
    }
    Ok(items)
}

/// A batch: the first `admitted` items are done, the others are over the limit (EXCHANGES.md §3.3). Gives the result and the
/// outcome of each.
pub fn batch(
    core: &mut Core,
    account: AccountNo,
    items: &[Fields],
    admitted: usize,
    single: Single,
) -> (Value, Value) {
    let (mut list, mut outcomes) = (Vec::new(), Vec::new());
    for (at, item) in items.iter().enumerate() {
        let done = if at < admitted { single(core, account, item) } else { Err(codes::TOO_MANY) };
        let text = |name: &str| item.text(name).ok().flatten().unwrap_or_default().to_owned();
        let mut told = json!({
            "category": "linear",
            "symbol": text("symbol"),
            "orderId": "",
            "orderLinkId": text("orderLinkId"),
            "createAt": "",
        });
        match done {
            Ok(result) => {
                told["orderId"] = result["orderId"].clone();
                told["orderLinkId"] = result["orderLinkId"].clone();
                told["createAt"] = objects::millis(core.now()).into();
                outcomes.push(json!({ "code": 0, "msg": "OK" }));
            }
            Err(refused) => outcomes.push(json!({ "code": refused.code, "msg": refused.text })),
        }
        list.push(told);
    }
    (json!({ "list": list }), json!({ "list": outcomes }))
}

/// An order with the link of the order that its triggers came with.
#[must_use]
pub fn told_order(core: &Core, order: &Order) -> Map<String, Value> {
    let parent = match order.spec.origin {
        Origin::Attached(Some(parent)) => core.order(order.account, parent).map_or("", link),
        _ => "",
    };
    objects::order(order, parent)
}

/// order/realtime: open orders; by id also those that ended, unless a fault has them forgotten.
///
/// # Errors
/// 10001.
pub fn realtime(core: &Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    let single = fields.text("orderId")?.is_some() || fields.text("orderLinkId")?.is_some();
    let ended = fields.whole("openOnly")?.unwrap_or(0) != 0;
    let forgets = core.oddity == Some(Oddity::ForgetEnded);
    questions(core, account, fields, !single, &|order| {
        (single || ended == order.state.is_final()) && !(forgets && order.state.is_final())
    })
}

/// order/history: orders that ended.
///
/// # Errors
/// 10001.
pub fn history(core: &Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    questions(core, account, fields, false, &|order| order.state.is_final())
}

fn questions(
    core: &Core,
    account: AccountNo,
    fields: &Fields,
    needs_scope: bool,
    wanted: &dyn Fn(&Order) -> bool,
) -> Result<Value, Refusal> {
    if matches!(fields.text("category")?, Some("spot" | "inverse" | "option")) {
        return Ok(json!({ "category": fields.needed("category")?, "list": [], "nextPageCursor": "" }));
    }
    linear(fields)?;
    let within = scope(fields, needs_scope)?;
    let (id, client, filter) =
        (fields.text("orderId")?, fields.text("orderLinkId")?, fields.text("orderFilter")?);
    let status = fields.text("orderStatus")?;
    let (from, to) = period(fields)?;
    let limit = fields.limit(20, 50)?;
    let before = cursor(fields)?;
    let one = match (id, client) {
        (Some(id), _) => Some(by_id(core, account, id)),
        (None, Some(client)) => Some(core.order_by_client(account, client)),
        (None, None) => None,
    };
    let all = one.map_or_else(|| core.all_orders(account), |order| order.into_iter().collect());
    let mut rest = all.into_iter().rev().filter(|order| {
        order.no.0 < before
            && (from..=to).contains(&order.created_at)
            && within(order.spec.symbol.as_str())
            && client.is_none_or(|client| link(order) == client)
            && fits_filter(order, filter)
            && status.is_none_or(|status| objects::status(order) == status)
            && wanted(order)
    });
    let list: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(list.last()).map(|last| last.no.0.to_string()).unwrap_or_default();
    let list: Vec<_> = list.into_iter().map(|order| told_order(core, order)).collect();
    Ok(json!({ "category": "linear", "list": list, "nextPageCursor": next }))
}

/// `startTime` and `endTime`.
///
/// # Errors
/// 10001.
pub fn period(fields: &Fields) -> Result<(Timestamp, Timestamp), Refusal> {
    let from = fields.whole("startTime")?.map_or(Timestamp(0), Timestamp::from_millis);
    let to = fields
        .whole("endTime")?
        .map_or(Timestamp(u64::MAX), |to| Timestamp::from_millis(to).plus_micros(999));
    Ok((from, to))
}

/// The same of a list that tells seven days at once: those after the start, or the newest before the end.
///
/// # Errors
/// 10001.
fn week(fields: &Fields) -> Result<(Timestamp, Timestamp), Refusal> {
    const WEEK: u64 = 7 * 24 * 3_600_000_000;
    let (from, to) = period(fields)?;
    let (starts, ends) = (fields.text("startTime")?.is_some(), fields.text("endTime")?.is_some());
    match (starts, ends) {
        (true, true) if to.micros_since(from) > WEEK + 999 => {
            Err(Refusal::parameter("the time range between start and end is more than 7 days"))
        }
        (true, true) | (false, false) => Ok((from, to)),
        (true, false) => Ok((from, from.plus_micros(WEEK))),
        (false, true) => Ok((Timestamp(to.0.saturating_sub(WEEK)), to)),
    }
}

/// `cursor`: only what has a smaller number comes.
///
/// # Errors
/// 10001.
pub fn cursor(fields: &Fields) -> Result<u64, Refusal> {
    match fields.text("cursor")? {
        None => Ok(u64::MAX),
        Some(text) => text.parse().map_err(|_| Refusal::parameter("cursor invalid")),
    }
}

/// An execution with what its order says.
#[must_use]
pub fn told_execution(core: &Core, execution: &Execution, order: Option<&Order>) -> Map<String, Value> {
    let rate = core.instrument(execution.symbol).map(|instrument| match execution.liquidity {
        Liquidity::Taker => instrument.fee_taker,
        Liquidity::Maker => instrument.fee_maker,
    });
    let of = OfOrder { order, fee_rate: rate.unwrap_or_default(), mark: execution.price };
    objects::execution(execution, of)
}

/// execution/list: trades and fundings, newest first.
///
/// # Errors
/// 10001.
pub fn executions(core: &Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    if matches!(fields.text("category")?, Some("spot" | "inverse" | "option")) {
        return Ok(json!({ "category": fields.needed("category")?, "list": [], "nextPageCursor": "" }));
    }
    linear(fields)?;
    let within = scope(fields, false)?;
    let (from, to) = week(fields)?;
    let (id, client, kind) = (fields.text("orderId")?, fields.text("orderLinkId")?, fields.text("execType")?);
    let (limit, before) = (fields.limit(50, 100)?, cursor(fields)?);
    let held = core.account(account).ok_or(codes::KEY)?;
    let mut rows: Vec<(OrderNo, Map<String, Value>)> = Vec::new();
    let wanted = |told: &str| kind.is_none_or(|kind| kind == told);
    for execution in held.executions.iter().rev() {
        if !wanted(if execution.liquidation { "BustTrade" } else { "Trade" }) {
            continue;
        }
        let order = core.order(account, execution.order);
        let fits = execution.no.0 < before
            && (from..=to).contains(&execution.at)
            && within(execution.symbol.as_str())
            && id.is_none_or(|id| execution.order.as_uuid() == id)
            && client.is_none_or(|client| order.is_some_and(|order| link(order) == client));
        if fits && rows.len() <= limit {
            rows.push((execution.no, told_execution(core, execution, order)));
        }
    }
    let mut fundings = 0;
    for income in held.incomes.iter().rev().filter(|_| id.is_none() && client.is_none() && wanted("Funding"))
    {
        let symbol = income.symbol.as_ref().map_or("", engine::core::instrument::Symbol::as_str);
        let fits = income.no.0 < before && (from..=to).contains(&income.at) && within(symbol);
        if fits
            && fundings <= limit
            && let Some(row) = objects::funding(income)
        {
            fundings += 1;
            rows.push((income.no, row));
        }
    }
    rows.sort_by_key(|(no, _)| std::cmp::Reverse(*no));
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(no, _)| no.0.to_string()).unwrap_or_default();
    let list: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(json!({ "category": "linear", "list": list, "nextPageCursor": next }))
}
