//! Orders as Binance tells them, in each of the forms it has: plain and algo, by REST; the streams' forms share the words.
//!
//! **Invariants**: where an order stands is never guessed: a word that is not known is an error. Who made an order is told by
//! its client id (EXCHANGES.md §2.7).

use std::borrow::Cow;

use engine::core::fixed::{Price, Quantity};
use engine::core::instrument::Symbol;
use engine::core::order::{Side, VenueReason};
use planted::planted;
use serde::Deserialize;

use super::json::{self, Flag, Num, is_set, malformed};
use crate::live::protocol::{Maker, Malformed, Millis, OrderView, ViewKind, ViewState};

/// A symbol, or `None` when it is none that this server can trade.
pub(super) fn symbol(text: &str) -> Option<Symbol> {
    Symbol::new(text)
}

/// Buy or sell.
pub(super) fn side(text: &str) -> Result<Side, Malformed> {
    match text {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        _ => Err(malformed("side", json::cut(text))),
    }
}

/// What kind of order it is.
pub(super) fn kind(text: &str) -> ViewKind {
    match text {
        "MARKET" => ViewKind::Market,
        "LIMIT" => ViewKind::Limit,
        "STOP" | "STOP_MARKET" => ViewKind::Stop,
        "TAKE_PROFIT" | "TAKE_PROFIT_MARKET" => ViewKind::TakeProfit,
        _ => ViewKind::Other,
    }
}

/// Who made an order, by the beginning of its client id, and of which type it is.
pub(super) fn maker(client_id: &str, order_type: &str) -> Maker {
    if client_id.starts_with("adl_autoclose") {
        Maker::Adl
    } else if client_id.starts_with("autoclose-") || order_type == "LIQUIDATION" {
        Maker::Liquidation
    } else if client_id.starts_with("settlement_autoclose-") || client_id.starts_with("delivery_autoclose-") {
        Maker::Settlement
    } else {
        Maker::Client
    }
}

/// Where a plain order stands. `order_type` is what it is now: one that waits for its trigger still has that type.
/// `expiry` is the stream's reason: 8 says that its trigger was reached.
pub(super) fn state(status: &str, order_type: &str, expiry: &str) -> Result<ViewState, Malformed> {
    let waits = matches!(kind(order_type), ViewKind::Stop | ViewKind::TakeProfit)
        || order_type == "TRAILING_STOP_MARKET";
    Ok(match status {
        "NEW" if waits => ViewState::Untriggered,
        "NEW" | "NEW_INSURANCE" | "NEW_ADL" => ViewState::New,
        "PARTIALLY_FILLED" => ViewState::PartiallyFilled,
        "FILLED" => ViewState::Filled,
        "CANCELED" => ViewState::Cancelled,
        "EXPIRED" if expiry == "8" => ViewState::Triggered,
        "EXPIRED" | "EXPIRED_IN_MATCH" => ViewState::Expired,
        "REJECTED" => ViewState::Rejected,
        _ => return Err(malformed("status", json::cut(status))),
    })
}

/// Why a plain order ended, as far as that is told.
pub(super) fn ending(state: ViewState, kind: ViewKind, expiry: &str) -> Option<VenueReason> {
    match (state, expiry) {
        (ViewState::Cancelled | ViewState::Expired, "4") => Some(VenueReason::NothingToReduce),
        (ViewState::Cancelled | ViewState::Expired, "5" | "6") => Some(VenueReason::PositionClosed),
        (ViewState::Cancelled | ViewState::Expired, "7") => Some(VenueReason::Symbol),
        (ViewState::Cancelled, _) => Some(VenueReason::Requested),
        (ViewState::Expired, "1" | "2" | "3" | "9") => Some(VenueReason::Liquidity),
        (ViewState::Expired, _) if kind == ViewKind::Market => Some(VenueReason::Liquidity),
        _ => None,
    }
}

/// An algo order, from whichever form.
pub(super) struct Algo<'a> {
    pub(super) client_id: &'a str,
    pub(super) algo_id: Num<'a>,
    pub(super) symbol: Symbol,
    pub(super) side: &'a str,
    pub(super) order_type: &'a str,
    pub(super) status: &'a str,
    /// Why it was rejected, in words.
    pub(super) cause: &'a str,
    pub(super) quantity: Option<Num<'a>>,
    pub(super) became: Option<Num<'a>>,
    pub(super) filled: Option<Num<'a>>,
    pub(super) average: Option<Num<'a>>,
    pub(super) trigger: Option<Num<'a>>,
    pub(super) reduces: bool,
    pub(super) updated_at: Millis,
}

impl Algo<'_> {
    /// The view. A trigger that fired is followed by a plain order, [`OrderView::became`]; what that one filled is told by its
    /// executions. `FINISHED` says that it has ended: filled when it holds fills, otherwise expired. Where that is answered and not
    /// told by a stream, the quantity is left out: the plain order has it.
    pub(super) fn view(self) -> Result<OrderView, Malformed> {
        let became = self.became.map(|id| id.id_if_any("actualOrderId")).transpose()?.unwrap_or_default();
        let told = self.filled.map(|filled| filled.exact::<Quantity>("executed quantity")).transpose()?;
        let filled = told.unwrap_or_default();
        let average = self.average.map(|price| price.mean("average price")).transpose()?.flatten();
        let is_untold = !filled.is_positive() && (told.is_none() || average.is_some());
        let (state, reason) = match self.status {
            "NEW" => (ViewState::Untriggered, None),
            "TRIGGERING" | "TRIGGERED" => (ViewState::Triggered, None),
            "FINISHED" if filled.is_positive() => (ViewState::Filled, None),
            "FINISHED"
                if is_untold
                    && !became.is_empty()
                    && !planted!("fired_trigger_without_a_quantity_taken_for_filled") =>
            {
                (ViewState::Finished, None)
            }
            "FINISHED" if average.is_some() => (ViewState::Filled, None),
            "FINISHED" => (ViewState::Expired, Some(VenueReason::Liquidity)),
            "CANCELED" => (ViewState::Cancelled, Some(VenueReason::Requested)),
            // "Canceled by the system", of which a closed position is the maker's example: whether it is one is seen in what is held.
            "EXPIRED" => (ViewState::Expired, Some(VenueReason::PositionClosed)),
            "REJECTED" => (ViewState::Rejected, rejection(self.cause)),
            _ => return Err(malformed("algo status", json::cut(self.status))),
        };
        Ok(OrderView {
            client_id: json::cut(self.client_id).to_owned(),
            venue_id: self.algo_id.id("algo id")?.to_owned(),
            parent: String::new(),
            became: became.to_owned(),
            symbol: self.symbol,
            side: side(self.side)?,
            kind: kind(self.order_type),
            state,
            reason,
            quantity: self.quantity.map(|q| q.exact("quantity")).transpose()?.unwrap_or_default(),
            filled,
            average,
            trigger: positive(self.trigger, "trigger price")?,
            reduce_only: self.reduces,
            maker: Maker::Client,
            updated_at: self.updated_at,
        })
    }
}

fn rejection(cause: &str) -> Option<VenueReason> {
    let cause = cause.to_ascii_lowercase();
    if cause.contains("reduce") {
        Some(VenueReason::NothingToReduce)
    } else if cause.contains("margin") {
        Some(VenueReason::Margin)
    } else {
        None
    }
}

/// A price that is zero when there is none.
pub(super) fn positive(number: Option<Num<'_>>, field: &str) -> Result<Option<Price>, Malformed> {
    let price: Option<Price> = number.map(|number| number.exact(field)).transpose()?;
    Ok(price.filter(|price| price.is_positive()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    order_id: Num<'a>,
    #[serde(borrow)]
    client_order_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    side: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    order_type: Cow<'a, str>,
    #[serde(borrow)]
    orig_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    orig_qty: Num<'a>,
    #[serde(borrow)]
    executed_qty: Num<'a>,
    #[serde(borrow)]
    avg_price: Option<Num<'a>>,
    #[serde(borrow)]
    stop_price: Option<Num<'a>>,
    reduce_only: Option<Flag>,
    close_position: Option<Flag>,
    #[serde(borrow)]
    update_time: Option<Num<'a>>,
    #[serde(borrow)]
    time: Option<Num<'a>>,
}

/// A plain order by REST; `None` when it is of a symbol that this server cannot trade.
pub(super) fn plain(text: &str) -> Result<Option<OrderView>, Malformed> {
    let row: OrderRow<'_> = json::read("order", text)?;
    let Some(symbol) = symbol(&row.symbol) else { return Ok(None) };
    let client_id = row.client_order_id.unwrap_or_default();
    let kind = kind(row.orig_type.as_deref().unwrap_or(&row.order_type));
    let state = state(&row.status, &row.order_type, "")?;
    let updated_at = row.update_time.or(row.time).map(|time| time.millis("updateTime")).transpose()?;
    Ok(Some(OrderView {
        client_id: json::cut(&client_id).to_owned(),
        venue_id: row.order_id.id("orderId")?.to_owned(),
        parent: String::new(),
        became: String::new(),
        symbol,
        side: side(&row.side)?,
        kind,
        state,
        reason: ending(state, kind, ""),
        quantity: row.orig_qty.exact("origQty")?,
        filled: row.executed_qty.exact("executedQty")?,
        average: row.avg_price.map(|price| price.mean("avgPrice")).transpose()?.flatten(),
        trigger: positive(row.stop_price, "stopPrice")?,
        reduce_only: is_set(row.reduce_only) || is_set(row.close_position),
        maker: maker(&client_id, &row.order_type),
        updated_at: updated_at.unwrap_or_default(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlgoRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    algo_id: Num<'a>,
    #[serde(borrow)]
    client_algo_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    side: Cow<'a, str>,
    #[serde(borrow)]
    order_type: Cow<'a, str>,
    #[serde(borrow)]
    algo_status: Cow<'a, str>,
    #[serde(borrow)]
    quantity: Option<Num<'a>>,
    #[serde(borrow)]
    actual_order_id: Option<Num<'a>>,
    #[serde(borrow)]
    actual_price: Option<Num<'a>>,
    #[serde(borrow)]
    trigger_price: Option<Num<'a>>,
    close_position: Option<Flag>,
    reduce_only: Option<Flag>,
    #[serde(borrow)]
    update_time: Option<Num<'a>>,
    #[serde(borrow)]
    create_time: Option<Num<'a>>,
}

/// An algo order by REST; `None` when it is of a symbol that this server cannot trade.
pub(super) fn algo(text: &str) -> Result<Option<OrderView>, Malformed> {
    let row: AlgoRow<'_> = json::read("algo order", text)?;
    let Some(symbol) = symbol(&row.symbol) else { return Ok(None) };
    let updated_at = row.update_time.or(row.create_time).map(|time| time.millis("updateTime")).transpose()?;
    let algo = Algo {
        client_id: row.client_algo_id.as_deref().unwrap_or_default(),
        algo_id: row.algo_id,
        symbol,
        side: &row.side,
        order_type: &row.order_type,
        status: &row.algo_status,
        cause: "",
        quantity: row.quantity,
        became: row.actual_order_id,
        // There is no such field in the answer.
        filled: None,
        average: row.actual_price,
        trigger: row.trigger_price,
        reduces: is_set(row.reduce_only) || is_set(row.close_position),
        updated_at: updated_at.unwrap_or_default(),
    };
    algo.view().map(Some)
}
