//! Questions as Binance takes them: the endpoint, the parameters in the order in which they are sent, what they cost.
//!
//! **Invariants**: all parameters go into the query string, the body is empty; `signature` is the last one and covers
//! exactly the bytes before it (CASES.md, T6, T7). Decimals are plain, never in exponent form (X1, X5, X6). An exit is
//! reduce-only in one-way mode, names its side in hedge mode, or closes the position as a whole (H8): it can never open one.
//! Conditional orders go to the algo endpoint only (O11).
//! Source: EXCHANGES.md §2.2 to §2.6.

use engine::core::fixed::{Price, Quantity};
use engine::core::order::{OrderKind, Side};
use planted::planted;

use crate::live::credential::Credential;
use crate::live::klines::{self, Window};
use crate::live::params::Params;
use crate::live::protocol::{Ask, Cost, Group, HttpCall, Millis, OrderRef, Placement, PositionMode};

/// How long after its timestamp a request is taken, in milliseconds: the maker advises not more.
const RECV_WINDOW_MS: u64 = 5_000;
/// Rows of one page of trades or income: the most that the exchange gives.
pub(super) const PAGE_ROWS: usize = 1_000;
/// Rows of the list of forced orders: the most that the exchange gives, and more than close a position.
const FORCED_ROWS: u64 = 100;
/// The longest span of one question for trades, in milliseconds: seven days.
pub(super) const TRADES_SPAN_MS: u64 = 7 * 24 * 3_600_000;
/// How far back trades can be asked for, in milliseconds: three months, less some days to be inside for certain.
const TRADES_REACH_MS: u64 = 85 * 24 * 3_600_000;
/// Marks a cursor of trades that is a time and not a trade's id.
pub(super) const CURSOR_TIME: char = 't';

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Public,
    /// Whoever names a key (`USER_STREAM`).
    Key,
    /// Whoever signs.
    Signed,
}

/// The value of a parameter. The WebSocket API wants whole numbers as JSON integers and all others as strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A word of the protocol.
    Word(&'static str),
    /// Any other text, decimals too.
    Text(String),
    /// A whole number.
    Whole(u64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => number.fmt(f),
        }
    }
}

/// Parameters in the order in which they are sent.
pub(super) type Fields = Vec<(&'static str, Value)>;

fn decimal(value: Quantity) -> Value {
    if planted!("quantity_in_scientific_form") {
        return Value::Text(format!("{}e-8", value.units()));
    }
    Value::Text(value.to_string())
}

fn price(value: Price) -> Value {
    Value::Text(value.to_string())
}

/// An endpoint with parameters.
struct Endpoint {
    method: &'static str,
    path: &'static str,
    access: Access,
    fields: Fields,
}

/// The request, signed at `at`.
pub(super) fn call(ask: &Ask, credential: Option<&Credential>, at: Millis) -> HttpCall {
    let Endpoint { method, path, access, fields } = endpoint(ask, at);
    let mut params = Params::default();
    for (name, value) in fields {
        params.push(name, value);
    }
    let mut headers = Vec::new();
    if access != Access::Public {
        let credential = credential.expect("only public questions come without a credential");
        headers.push(("X-MBX-APIKEY", credential.api_key().to_owned()));
        if access == Access::Signed {
            for (name, value) in window(at) {
                params.push(name, value);
            }
            params.push("signature", credential.sign(params.as_str().as_bytes()));
        }
    }
    let target = if params.is_empty() { path.to_owned() } else { format!("{path}?{}", params.as_str()) };
    HttpCall { method, target, headers, body: Vec::new() }
}

/// When a request was signed and for how long it is good.
pub(super) fn window(at: Millis) -> Fields {
    vec![("recvWindow", Value::Whole(RECV_WINDOW_MS)), ("timestamp", Value::Whole(at.0))]
}

fn endpoint(ask: &Ask, at: Millis) -> Endpoint {
    let (method, path, access, fields) = match ask {
        Ask::Place(placement) => {
            ("POST", order_path(placement.order.kind.is_trigger()), Access::Signed, place(placement))
        }
        Ask::Cancel(order) => ("DELETE", order_path(order.is_trigger), Access::Signed, named(order)),
        // Orders that have ended are told by the same question as those that live.
        Ask::Query(order) | Ask::QueryEnded(order) => {
            ("GET", order_path(order.is_trigger), Access::Signed, named(order))
        }
        Ask::QueryById { symbol, venue_id } => {
            let fields =
                vec![("symbol", Value::Text(symbol.to_string())), ("orderId", Value::Text(venue_id.clone()))];
            ("GET", order_path(false), Access::Signed, fields)
        }
        Ask::OpenOrders(_) => ("GET", "/fapi/v1/openOrders", Access::Signed, vec![]),
        Ask::OpenTriggers(_) => ("GET", "/fapi/v1/openAlgoOrders", Access::Signed, vec![]),
        Ask::Positions(_) => ("GET", "/fapi/v3/positionRisk", Access::Signed, vec![]),
        Ask::Balances => ("GET", "/fapi/v3/balance", Access::Signed, vec![]),
        Ask::Executions { symbol, order, since, cursor } => {
            let mut fields = vec![("symbol", Value::Text(symbol.to_string()))];
            fields.extend(order.as_ref().map(|order| ("orderId", Value::Text(order.clone()))));
            fields.extend(trades_from(*since, cursor, at));
            fields.push(("limit", Value::Whole(PAGE_ROWS as u64)));
            ("GET", "/fapi/v1/userTrades", Access::Signed, fields)
        }
        Ask::ForcedOrders { symbol, since } => {
            let fields = vec![
                ("symbol", Value::Text(symbol.to_string())),
                ("startTime", Value::Whole(since.0)),
                ("limit", Value::Whole(FORCED_ROWS)),
            ];
            ("GET", "/fapi/v1/forceOrders", Access::Signed, fields)
        }
        Ask::Funding { since, cursor } => {
            let mut fields =
                vec![("incomeType", Value::Word("FUNDING_FEE")), ("startTime", Value::Whole(since.0))];
            if !cursor.is_empty() {
                fields.push(("page", Value::Text(cursor.clone())));
            }
            fields.push(("limit", Value::Whole(PAGE_ROWS as u64)));
            ("GET", "/fapi/v1/income", Access::Signed, fields)
        }
        Ask::Settings(symbol) => {
            let fields = symbol.iter().map(|symbol| ("symbol", Value::Text(symbol.to_string()))).collect();
            ("GET", "/fapi/v1/symbolConfig", Access::Signed, fields)
        }
        Ask::SetLeverage { symbol, leverage } => {
            let fields = vec![
                ("symbol", Value::Text(symbol.to_string())),
                ("leverage", Value::Whole(u64::from(*leverage))),
            ];
            ("POST", "/fapi/v1/leverage", Access::Signed, fields)
        }
        Ask::SetIsolated(symbol) => {
            let fields =
                vec![("symbol", Value::Text(symbol.to_string())), ("marginType", Value::Word("ISOLATED"))];
            ("POST", "/fapi/v1/marginType", Access::Signed, fields)
        }
        Ask::Account => ("GET", "/fapi/v1/accountConfig", Access::Signed, vec![]),
        Ask::Key => ("GET", super::KEY_PATH, Access::Signed, vec![]),
        Ask::OpenListenKey => ("POST", "/fapi/v1/listenKey", Access::Key, vec![]),
        Ask::KeepListenKey => ("PUT", "/fapi/v1/listenKey", Access::Key, vec![]),
        Ask::Time => ("GET", "/fapi/v1/time", Access::Public, vec![]),
        Ask::Instruments(_) => ("GET", "/fapi/v1/exchangeInfo", Access::Public, vec![]),
        Ask::Brackets(_) => ("GET", "/fapi/v1/leverageBracket", Access::Signed, vec![]),
        Ask::Marks => ("GET", "/fapi/v1/premiumIndex", Access::Public, vec![]),
        // Of all symbols at once: one by one they would cost 1 each.
        Ask::DayTickers => ("GET", "/fapi/v1/ticker/24hr", Access::Public, vec![]),
        Ask::Klines { symbol, interval, from, to, cursor } => {
            let window = Window::of(*interval, *from, *to, cursor);
            let fields = vec![
                ("symbol", Value::Text(symbol.to_string())),
                ("interval", Value::Word(interval.as_str())),
                ("startTime", Value::Whole(window.first.0)),
                ("endTime", Value::Whole(window.last.0)),
                ("limit", Value::Whole(klines::PAGE_ROWS)),
            ];
            ("GET", "/fapi/v1/klines", Access::Public, fields)
        }
        // Binance has no such thing, so whoever asks is mistaken: this does no harm, and its answer is read as a mistake.
        Ask::Protect { .. } => ("GET", "/fapi/v1/ping", Access::Public, vec![]),
    };
    Endpoint { method, path, access, fields }
}

const fn order_path(is_trigger: bool) -> &'static str {
    if is_trigger { "/fapi/v1/algoOrder" } else { "/fapi/v1/order" }
}

/// The parameters of a new order, without time and signature.
pub(super) fn place(placement: &Placement) -> Fields {
    let order = &placement.order;
    let symbol = ("symbol", Value::Text(order.symbol.to_string()));
    let side = ("side", Value::Word(side_word(order.side)));
    // A trigger closes whatever its mark says, so it belongs to the opposite side.
    let position = if order.kind.is_trigger() { order.side.opposite() } else { placement.position_side() };
    let hedge = (placement.mode == PositionMode::Hedge).then(|| {
        let word = if position == Side::Buy { "LONG" } else { "SHORT" };
        ("positionSide", Value::Word(word))
    });
    let mut fields = Vec::with_capacity(12);
    match order.kind {
        OrderKind::Market | OrderKind::Limit(_) => {
            fields.extend([symbol, side]);
            fields.extend(hedge);
            if let OrderKind::Limit(limit) = order.kind {
                fields.push(("type", Value::Word("LIMIT")));
                fields.push(("timeInForce", Value::Word("GTC")));
                fields.push(("quantity", decimal(order.quantity)));
                fields.push(("price", price(limit)));
            } else {
                fields.push(("type", Value::Word("MARKET")));
                fields.push(("quantity", decimal(order.quantity)));
            }
            let says_so = order.reduce_only && placement.mode == PositionMode::OneWay;
            if says_so && !planted!("exit_without_reduce_only") {
                fields.push(("reduceOnly", Value::Word("true")));
            }
            fields.push(("newClientOrderId", Value::Text(order.id.to_string())));
        }
        OrderKind::StopMarket(trigger) | OrderKind::TakeProfitMarket(trigger) => {
            let is_stop = matches!(order.kind, OrderKind::StopMarket(_));
            fields.push(("algoType", Value::Word("CONDITIONAL")));
            fields.extend([symbol, side]);
            fields.extend(hedge);
            fields.push(("type", Value::Word(if is_stop { "STOP_MARKET" } else { "TAKE_PROFIT_MARKET" })));
            fields.push(("triggerPrice", price(trigger)));
            fields.push(("workingType", Value::Word("MARK_PRICE")));
            if planted!("stop_of_half_the_position") && is_stop {
                fields.push(("quantity", decimal(Quantity::from_units(order.quantity.units() / 2))));
                fields.push(("reduceOnly", Value::Word("true")));
            } else {
                fields.push(("closePosition", Value::Word("true")));
            }
            fields.push(("clientAlgoId", Value::Text(order.id.to_string())));
        }
    }
    fields.push(("newOrderRespType", Value::Word("ACK")));
    fields
}

/// The parameters that name an order: algo orders are found by their id alone.
pub(super) fn named(order: &OrderRef) -> Fields {
    if order.is_trigger {
        return vec![("clientAlgoId", Value::Text(order.id.to_string()))];
    }
    vec![
        ("symbol", Value::Text(order.symbol.to_string())),
        ("origClientOrderId", Value::Text(order.id.to_string())),
    ]
}

const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Where a span of trades begins when the exchange's clock says `now`: as asked for, but not before what it still knows.
pub(super) fn trades_begin(since: Millis, cursor: &str, now: Millis) -> Millis {
    let begin = cursor.strip_prefix(CURSOR_TIME).and_then(|time| time.parse().ok()).map_or(since, Millis);
    begin.max(Millis(now.0.saturating_sub(TRADES_REACH_MS)))
}

/// A page of trades begins at a trade's id, or is a span of at most seven days; the exchange takes no mixture.
fn trades_from(since: Millis, cursor: &str, at: Millis) -> Fields {
    if !cursor.is_empty() && !cursor.starts_with(CURSOR_TIME) {
        return vec![("fromId", Value::Text(cursor.to_owned()))];
    }
    let begin = trades_begin(since, cursor, at);
    let mut fields = vec![("startTime", Value::Whole(begin.0))];
    if at.0.saturating_sub(begin.0) >= TRADES_SPAN_MS {
        fields.push(("endTime", Value::Whole(begin.0.saturating_add(TRADES_SPAN_MS - 1))));
    }
    fields
}

/// What a question costs (EXCHANGES.md §2.3): weight of the address, and one of the account's orders for each new order.
pub(super) const fn cost(ask: &Ask) -> Cost {
    let (group, address) = match ask {
        Ask::Place(_) => return Cost { group: Group::Place, address: 0, account: 1 },
        Ask::Cancel(_) => (Group::Cancel, 1),
        Ask::SetLeverage { .. } | Ask::SetIsolated(_) | Ask::Protect { .. } => (Group::Configure, 1),
        Ask::Query(_)
        | Ask::QueryById { .. }
        | Ask::QueryEnded(_)
        | Ask::Brackets(_)
        | Ask::Key
        | Ask::OpenListenKey
        | Ask::KeepListenKey => (Group::Read, 1),
        // These cover all symbols at once.
        Ask::OpenOrders(_) | Ask::OpenTriggers(_) => (Group::Read, 40),
        Ask::DayTickers => (Group::Public, 40),
        Ask::Positions(_) | Ask::Balances | Ask::Executions { .. } | Ask::Settings(_) | Ask::Account => {
            (Group::Read, 5)
        }
        Ask::Funding { .. } => (Group::Read, 30),
        Ask::ForcedOrders { .. } => (Group::Read, 20),
        Ask::Time | Ask::Instruments(_) => (Group::Public, 1),
        Ask::Marks => (Group::Public, 10),
        // 500 to 1,000 rows.
        Ask::Klines { .. } => (Group::Public, 5),
    };
    Cost { group, address, account: 0 }
}
