//! HTTP requests to Bybit and their signature (EXCHANGES.md §3.2).
//!
//! **Invariants**: signed is timestamp, key, receive window and then the query as it stands in the target, or the body: the
//! very bytes that are sent (CASES.md, T6, T8). A GET has no body.

use planted::planted;

use crate::live::credential::Credential;
use crate::live::klines::{PAGE_ROWS, Window};
use crate::live::params::Params;
use crate::live::protocol::{Ask, HttpCall, Millis, OrderRef};

use super::{RECEIVE_WINDOW_MS, SETTLE_COIN, bodies, klines};

/// Rows of a page, the most that each endpoint gives.
const ORDERS_PAGE: u32 = 50;
const POSITIONS_PAGE: u32 = 200;
const EXECUTIONS_PAGE: u32 = 100;
/// The span of executions that one question tells, in milliseconds.
pub(super) const WINDOW_MS: u64 = 7 * 24 * 3_600_000;
/// Begins a cursor of executions; then follow the begin of its window, a colon, and Bybit's own cursor.
const CURSOR_WINDOW: char = 'w';
/// CASES.md, X18 and X19: without it only 500 instruments come.
const INSTRUMENTS_PAGE: u32 = 1_000;

/// The request of a question.
pub(super) fn request(ask: &Ask, credential: Option<&Credential>, at: Millis) -> HttpCall {
    let signed = credential.filter(|_| is_private(ask)).map(|credential| (credential, at));
    let get = |path: &str, params: Params| get(path, &params, signed);
    match ask {
        Ask::Place(placement) => post("/v5/order/create", bodies::place(placement), signed),
        Ask::Cancel(order) => post("/v5/order/cancel", bodies::cancel(order), signed),
        Ask::Protect { symbol, mode, position, protection } => {
            let body = bodies::protect(*symbol, *mode, *position, protection);
            post("/v5/position/trading-stop", body, signed)
        }
        Ask::SetLeverage { symbol, leverage } => {
            post("/v5/position/set-leverage", bodies::leverage(*symbol, *leverage), signed)
        }
        Ask::SetIsolated(_) => post("/v5/account/set-margin-mode", bodies::isolated(), signed),
        // By id, `realtime` also finds orders that have ended (the latest 500 of the account), of every kind. After a release or
        // a restart of Bybit those are in the history alone.
        Ask::Query(order) => get("/v5/order/realtime", one_order(order)),
        Ask::QueryEnded(order) => get("/v5/order/history", one_order(order)),
        Ask::QueryById { symbol, venue_id } => {
            let mut params = linear();
            params.push("symbol", symbol);
            params.push("orderId", venue_id);
            get("/v5/order/realtime", params)
        }
        Ask::OpenOrders(cursor) => get("/v5/order/realtime", open_orders("Order", cursor)),
        Ask::OpenTriggers(cursor) => get("/v5/order/realtime", open_orders("StopOrder", cursor)),
        Ask::Positions(cursor) => get("/v5/position/list", positions(cursor)),
        Ask::Balances => {
            let mut params = Params::default();
            params.push("accountType", "UNIFIED");
            get("/v5/account/wallet-balance", params)
        }
        Ask::Executions { symbol, order, since, cursor } => {
            let mut params = linear();
            params.push("symbol", symbol);
            if let Some(order) = order {
                params.push("orderId", order);
            }
            executions(&mut params, *since, cursor);
            get("/v5/execution/list", params)
        }
        // Not the transaction log: the stream tells funding as an execution, with the time and id that this list has, so that
        // one settlement told twice is seen to be one (CASES.md, F1). The list also reaches 7 days at a time, the log 1.
        Ask::Funding { since, cursor } => {
            let mut params = linear();
            params.push("execType", "Funding");
            executions(&mut params, *since, cursor);
            get("/v5/execution/list", params)
        }
        Ask::Settings(Some(symbol)) => {
            let mut params = linear();
            params.push("symbol", symbol);
            get("/v5/position/list", params)
        }
        Ask::Settings(None) => get("/v5/position/list", positions("")),
        Ask::Account => get("/v5/account/info", Params::default()),
        Ask::Key => get("/v5/user/query-api", Params::default()),
        Ask::OpenListenKey | Ask::KeepListenKey | Ask::ForcedOrders { .. } | Ask::Time => {
            get("/v5/market/time", Params::default())
        }
        Ask::Instruments(cursor) => {
            let mut params = linear();
            params.push("limit", INSTRUMENTS_PAGE);
            push_cursor(&mut params, cursor);
            get("/v5/market/instruments-info", params)
        }
        Ask::Brackets(cursor) => {
            let mut params = linear();
            push_cursor(&mut params, cursor);
            get("/v5/market/risk-limit", params)
        }
        // One list tells both.
        Ask::Marks | Ask::DayTickers => get("/v5/market/tickers", linear()),
        Ask::Klines { symbol, interval, from, to, cursor } => {
            let window = Window::of(*interval, *from, *to, cursor);
            let mut params = linear();
            params.push("symbol", symbol);
            params.push("interval", klines::word(*interval));
            params.push("start", window.first.0);
            params.push("end", window.last.0);
            params.push("limit", PAGE_ROWS);
            get("/v5/market/kline", params)
        }
    }
}

/// Whether Bybit wants it signed: what stands in for questions that it does not have is public.
const fn is_private(ask: &Ask) -> bool {
    ask.is_signed()
        && !matches!(
            ask,
            Ask::OpenListenKey | Ask::KeepListenKey | Ask::ForcedOrders { .. } | Ask::Brackets(_)
        )
}

fn linear() -> Params {
    let mut params = Params::default();
    params.push("category", "linear");
    params
}

fn one_order(order: &OrderRef) -> Params {
    let mut params = linear();
    params.push("symbol", order.symbol);
    params.push("orderLinkId", order.id);
    params
}

fn open_orders(filter: &str, cursor: &str) -> Params {
    let mut params = linear();
    params.push("settleCoin", SETTLE_COIN);
    params.push("openOnly", 0);
    params.push("orderFilter", filter);
    params.push("limit", ORDERS_PAGE);
    push_cursor(&mut params, cursor);
    params
}

fn positions(cursor: &str) -> Params {
    let mut params = linear();
    params.push("settleCoin", SETTLE_COIN);
    params.push("limit", POSITIONS_PAGE);
    push_cursor(&mut params, cursor);
    params
}

/// With a start alone, Bybit tells the seven days that follow it: the list goes on from there.
fn executions(params: &mut Params, since: Millis, cursor: &str) {
    let (begin, within) = window_of(since, cursor);
    params.push("startTime", begin.0);
    params.push("limit", EXECUTIONS_PAGE);
    push_cursor(params, within);
}

/// Which seven days a page of executions is of, and Bybit's own cursor within them.
pub(super) fn window_of(since: Millis, cursor: &str) -> (Millis, &str) {
    let parts = cursor.strip_prefix(CURSOR_WINDOW).and_then(|rest| rest.split_once(':'));
    let parts = parts.and_then(|(begin, within)| Some((Millis(begin.parse().ok()?), within)));
    parts.unwrap_or((since, cursor))
}

/// The cursor of a page of executions; see [`window_of`].
pub(super) fn window_cursor(begin: Millis, within: &str) -> String {
    format!("{CURSOR_WINDOW}{}:{within}", begin.0)
}

/// A cursor is a value like any other: it is encoded once more, though it often looks encoded.
fn push_cursor(params: &mut Params, cursor: &str) {
    if !cursor.is_empty() {
        params.push("cursor", cursor);
    }
}

type Signed<'a> = Option<(&'a Credential, Millis)>;

fn get(path: &str, params: &Params, signed: Signed<'_>) -> HttpCall {
    let query = params.as_str();
    let headers = headers(query.as_bytes(), signed);
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    HttpCall { method: "GET", target, headers, body: Vec::new() }
}

fn post(path: &str, body: String, signed: Signed<'_>) -> HttpCall {
    let body = body.into_bytes();
    let mut headers = if planted!("signed_body_written_another_time") {
        headers(String::from_utf8_lossy(&body).replace(':', ": ").as_bytes(), signed)
    } else {
        headers(&body, signed)
    };
    headers.push(("Content-Type", "application/json".to_owned()));
    HttpCall { method: "POST", target: path.to_owned(), headers, body }
}

fn headers(payload: &[u8], signed: Signed<'_>) -> Vec<(&'static str, String)> {
    let Some((credential, at)) = signed else { return Vec::new() };
    let (timestamp, window) = (at.0.to_string(), RECEIVE_WINDOW_MS.to_string());
    let parts = [timestamp.as_bytes(), credential.api_key().as_bytes(), window.as_bytes(), payload];
    let signature = credential.sign(&parts.concat());
    vec![
        ("X-BAPI-API-KEY", credential.api_key().to_owned()),
        ("X-BAPI-TIMESTAMP", timestamp),
        ("X-BAPI-RECV-WINDOW", window),
        ("X-BAPI-SIGN", signature),
    ]
}
