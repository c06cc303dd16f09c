//! What Bybit's HTTP answers mean.
//!
//! **Invariants**: a status that speaks for itself goes before the body; a body without `retCode` is no answer. A list ends
//! when its cursor is empty, its page is empty, or its cursor is the one that was asked with: paging never runs in circles.

use engine::core::order::VenueReason;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::live::protocol::{
    AccountView, Answer, Ask, Cursor, ExecutionView, Failure, FailureKind, HttpReply, KeyView, Malformed,
    Millis, StreamEvent,
};
use crate::live::tickers;

use super::fields::{Field, misread};
use super::instruments::{BracketRow, InstrumentRow, TickerRow};
use super::klines::Klines;
use super::requests::{WINDOW_MS, window_cursor, window_of};
use super::rows::{ExecutionRow, OrderRow, PositionRow, WalletRow, is_linear, row};
use super::tickers::DayTickerRow;
use super::{CURSOR_MAX, ROWS_MAX, errors};

/// What every answer is wrapped in.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Envelope<'a> {
    #[serde(borrow)]
    ret_code: Field<'a>,
    #[serde(borrow)]
    ret_msg: Field<'a>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Field<'a>,
}

impl<'a> Envelope<'a> {
    fn read(body: &'a [u8]) -> Result<(Self, i64), Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| misread("body", "not UTF-8"))?;
        let envelope: Self = object("body", text)?;
        let code = envelope.ret_code.code("retCode")?;
        Ok((envelope, code))
    }

    fn result<T: Deserialize<'a>>(&self) -> Result<T, Malformed> {
        json("result", self.result.map_or("null", RawValue::get))
    }
}

/// Reads JSON; says where it is wrong, never what it says.
pub(super) fn json<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        misread(name, format_args!("not the JSON that was expected, line {line}, column {column}"))
    })
}

/// The same for what has to be an object: a struct would also be read from a list, by position.
pub(super) fn object<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T, Malformed> {
    if text.trim_start().starts_with('{') { json(name, text) } else { Err(misread(name, "not an object")) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct List<'a, T> {
    list: Vec<T>,
    #[serde(borrow, default)]
    next_page_cursor: Field<'a>,
    #[serde(borrow, default)]
    category: Field<'a>,
}

impl<'a, T: Deserialize<'a>> List<'a, T> {
    fn of(envelope: &Envelope<'a>) -> Result<Self, Malformed> {
        let list: Self = envelope.result()?;
        if list.list.len() > ROWS_MAX {
            return Err(misread("list", "too long"));
        }
        if !is_linear(&list.category) {
            return Err(misread("category", "not linear"));
        }
        Ok(list)
    }

    /// Where the list goes on after a page that was asked for at `asked`.
    fn next(&self, asked: &str) -> Result<Option<Cursor>, Malformed> {
        let cursor = self.next_page_cursor.as_str();
        if cursor.len() > CURSOR_MAX {
            return Err(misread("nextPageCursor", "too long"));
        }
        let goes_on = !cursor.is_empty() && !self.list.is_empty() && cursor != asked;
        Ok(goes_on.then(|| cursor.to_owned()))
    }
}

/// What a reply to a question means.
pub(super) fn answer(ask: &Ask, reply: HttpReply<'_>) -> Result<Answer, Failure> {
    let envelope = Envelope::read(reply.body);
    if let Some(failure) = errors::of_status(reply, envelope.as_ref().ok().map(|(_, code)| *code)) {
        return Err(failure);
    }
    let (envelope, code) = envelope.map_err(|what| errors::of_unreadable(reply.status, &what.0))?;
    if code != 0 {
        if errors::is_so_already(ask, code) {
            return Ok(Answer::Done);
        }
        let until = errors::reset(reply.header);
        return Err(errors::of_code(Some(ask), code, envelope.ret_msg.as_str(), until));
    }
    // A success in the body of a status that is none is not to be trusted.
    if !(200..=299).contains(&reply.status) {
        return Err(errors::of_unreadable(reply.status, "success in the body of a refusal"));
    }
    read(ask, &envelope)
}

fn unreadable(what: &Malformed) -> Failure {
    Failure::new(FailureKind::Unreadable, 0, &what.0)
}

fn read(ask: &Ask, envelope: &Envelope<'_>) -> Result<Answer, Failure> {
    match ask {
        Ask::Place(_) => {
            placed(envelope.result.map_or("null", RawValue::get)).map_err(|what| unreadable(&what))
        }
        Ask::Query(order) | Ask::QueryEnded(order) => {
            let id = order.id.to_string();
            query(envelope, &|row| row.order_link_id.as_str() == id)
        }
        Ask::QueryById { venue_id, .. } => query(envelope, &|row| row.order_id.as_str() == venue_id),
        Ask::SetIsolated(_) => isolated(envelope),
        _ => read_list(ask, envelope).map_err(|what| unreadable(&what)),
    }
}

fn read_list(ask: &Ask, envelope: &Envelope<'_>) -> Result<Answer, Malformed> {
    Ok(match ask {
        Ask::OpenOrders(cursor) | Ask::OpenTriggers(cursor) => {
            let list = List::<OrderRow<'_>>::of(envelope)?;
            let views = list.list.iter().map(OrderRow::view).collect::<Result<_, _>>()?;
            Answer::Orders(views, list.next(cursor)?)
        }
        Ask::Positions(cursor) => {
            let list = List::<PositionRow<'_>>::of(envelope)?;
            let mut views = Vec::new();
            for row in &list.list {
                let view = row.view()?;
                if !view.quantity.is_zero() {
                    views.push(view);
                }
            }
            Answer::Positions(views, list.next(cursor)?)
        }
        Ask::Settings(_) => {
            let list = List::<PositionRow<'_>>::of(envelope)?;
            Answer::Settings(list.list.iter().map(PositionRow::settings).collect::<Result<_, _>>()?)
        }
        Ask::Balances => {
            let mut views = Vec::new();
            for wallet in &List::<WalletRow<'_>>::of(envelope)?.list {
                wallet.views(&mut views)?;
            }
            Answer::Balances(views)
        }
        Ask::Executions { since, cursor, .. } => {
            let list = List::<ExecutionRow<'_>>::of(envelope)?;
            let mut views: Vec<ExecutionView> = Vec::new();
            for row in &list.list {
                if let Some(StreamEvent::Execution(view)) = row.event()? {
                    views.push(*view);
                }
            }
            // Bybit tells the newest first; each page is turned round.
            views.sort_by_key(|view| (view.at, view.sequence));
            Answer::Executions(views, next_of_windows(&list, *since, cursor, envelope)?)
        }
        Ask::Funding { since, cursor } => {
            let list = List::<ExecutionRow<'_>>::of(envelope)?;
            let mut views = Vec::new();
            for row in &list.list {
                if let Some(StreamEvent::Funding(view)) = row.event()? {
                    views.push(view);
                }
            }
            views.sort_by_key(|view| view.at);
            Answer::Funding(views, next_of_windows(&list, *since, cursor, envelope)?)
        }
        Ask::Account => Answer::Account(account(&envelope.result()?)),
        Ask::Key => Answer::Key(key(&envelope.result()?, envelope.time.millis("time")?)),
        Ask::Time => Answer::Time(time(&envelope.result()?, &envelope.time)?),
        Ask::Instruments(cursor) => {
            let list = List::<InstrumentRow<'_>>::of(envelope)?;
            let views = list.list.iter().filter_map(InstrumentRow::view).collect();
            Answer::Instruments(views, list.next(cursor)?)
        }
        Ask::Brackets(cursor) => {
            let list = List::<BracketRow<'_>>::of(envelope)?;
            Answer::Brackets(list.list.iter().filter_map(BracketRow::view).collect(), list.next(cursor)?)
        }
        Ask::Marks => {
            let at = envelope.time.millis("time")?;
            let list = List::<TickerRow<'_>>::of(envelope)?;
            Answer::Marks(list.list.iter().filter_map(|row| row.mark(at)).collect())
        }
        Ask::DayTickers => {
            let at = envelope.time.millis("time")?;
            if at.0 == 0 {
                return Err(misread("time", "no time"));
            }
            let list = List::<DayTickerRow<'_>>::of(envelope)?;
            Answer::DayTickers(tickers::checked(list.list.iter().map(|row| row.view(at)))?)
        }
        Ask::Klines { interval, from, to, cursor, .. } => {
            let klines: Klines<'_> = envelope.result()?;
            klines.answer(*interval, (*from, *to), cursor)?
        }
        Ask::Place(_)
        | Ask::Query(_)
        | Ask::QueryEnded(_)
        | Ask::QueryById { .. }
        | Ask::Cancel(_)
        | Ask::Protect { .. }
        | Ask::SetLeverage { .. }
        | Ask::SetIsolated(_)
        | Ask::OpenListenKey
        | Ask::KeepListenKey
        | Ask::ForcedOrders { .. } => Answer::Done,
    })
}

/// Where a list of executions goes on: in its seven days while Bybit's cursor does, then in the next ones, as long as they
/// begin in the past by the answer's own time.
fn next_of_windows<'a, T: Deserialize<'a>>(
    list: &List<'a, T>,
    since: Millis,
    asked: &str,
    envelope: &Envelope<'_>,
) -> Result<Option<Cursor>, Malformed> {
    let (begin, within) = window_of(since, asked);
    if let Some(next) = list.next(within)? {
        return Ok(Some(window_cursor(begin, &next)));
    }
    let next = Millis(begin.0.saturating_add(WINDOW_MS));
    // Without a time nothing says that there is more.
    let now = envelope.time.millis("time").unwrap_or_default();
    Ok((next <= now).then(|| window_cursor(next, "")))
}

row! {
    /// The answer to a new order.
    PlacedRow { order_id }
}

/// The answer to a new order, by HTTP and by the trade socket.
pub(super) fn placed(result: &str) -> Result<Answer, Malformed> {
    let venue_id = object::<PlacedRow<'_>>("result", result)?.order_id.id("orderId")?;
    if venue_id.is_empty() {
        return Err(misread("orderId", "empty"));
    }
    Ok(Answer::Placed { venue_id })
}

/// An order by its id: of what is told, only the one that was asked for.
fn query(envelope: &Envelope<'_>, is_it: &dyn Fn(&OrderRow<'_>) -> bool) -> Result<Answer, Failure> {
    let list = List::<OrderRow<'_>>::of(envelope).map_err(|what| unreadable(&what))?;
    let row = list.list.iter().find(|row| is_it(row));
    let row = row.ok_or_else(|| Failure::new(FailureKind::NotFound, 0, "no order of this id"))?;
    let view = row.view().map_err(|what| unreadable(&what))?;
    Ok(Answer::Order(Box::new(view)))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IsolatedResult<'a> {
    #[serde(borrow)]
    reasons: Vec<&'a RawValue>,
}

/// A margin mode that was not set says so inside a success.
fn isolated(envelope: &Envelope<'_>) -> Result<Answer, Failure> {
    let result: Option<IsolatedResult<'_>> = envelope.result().map_err(|what| unreadable(&what))?;
    match result.unwrap_or_default().reasons.first() {
        None => Ok(Answer::Done),
        Some(reason) => Err(Failure::new(FailureKind::Refused(VenueReason::Account), 0, reason.get())),
    }
}

row! {
    /// Facts of an account.
    AccountRow { unified_margin_status, margin_mode }
}

/// 1 is an account that is not unified: its orders would go elsewhere.
fn account(row: &AccountRow<'_>) -> AccountView {
    AccountView {
        mode: None,
        may_trade: matches!(row.unified_margin_status.as_str(), "3" | "4" | "5" | "6"),
        isolated: Some(row.margin_mode.as_str() == "ISOLATED_MARGIN"),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Permissions<'a> {
    #[serde(borrow)]
    contract_trade: Vec<Field<'a>>,
    #[serde(borrow)]
    derivatives: Vec<Field<'a>>,
    #[serde(borrow)]
    wallet: Vec<Field<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyRow<'a> {
    #[serde(borrow, default)]
    read_only: Field<'a>,
    #[serde(borrow)]
    permissions: Permissions<'a>,
    #[serde(borrow, default)]
    ips: Vec<Field<'a>>,
    #[serde(borrow, default)]
    deadline_day: Field<'a>,
    #[serde(borrow, default)]
    expired_at: Field<'a>,
    #[serde(borrow, default, rename = "userID")]
    user_id: Field<'a>,
}

fn key(row: &KeyRow<'_>, now: Millis) -> KeyView {
    let holds = |list: &[Field<'_>], word: &str| list.iter().any(|right| right.as_str() == word);
    let permissions = &row.permissions;
    let trades =
        holds(&permissions.contract_trade, "Order") || holds(&permissions.derivatives, "DerivativesTrade");
    KeyView {
        may_trade: row.read_only.as_str() == "0" && trades,
        may_withdraw: holds(&permissions.wallet, "Withdraw"),
        bound_to_address: !row.ips.is_empty() && !holds(&row.ips, "*"),
        expires_at: expires(row, now),
        account: account_id(row.user_id.as_str()),
    }
}

/// A user's number; zero is none.
fn account_id(text: &str) -> Option<String> {
    let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && text.bytes().any(|byte| byte != b'0')).then(|| text.to_owned())
}

/// When a key ends. One that is bound to addresses does not: its date is of the year 1970 and its days are negative.
fn expires(row: &KeyRow<'_>, now: Millis) -> Option<Millis> {
    const DAY_MS: u64 = 86_400_000;
    let days = row.deadline_day.as_str().parse::<u64>().ok();
    let by_date = instant(row.expired_at.as_str()).filter(|at| at.0 > DAY_MS);
    by_date.or_else(|| Some(Millis(now.0.checked_add(days?.checked_mul(DAY_MS)?)?)))
}

/// The instant of `2023-05-15T03:13:24Z`.
fn instant(text: &str) -> Option<Millis> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let whole = time.split('.').next()?;
    let mut parts = date.split('-').chain(whole.split(':')).map(|part| {
        (part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<u64>().ok())?
    });
    let mut part = |range: std::ops::RangeInclusive<u64>| parts.next()?.filter(|value| range.contains(value));
    let (year, month, day) = (part(1970..=9999)?, part(1..=12)?, part(1..=31)?);
    let (hour, minute, second) = (part(0..=23)?, part(0..=59)?, part(0..=60)?);
    // Days since 1970-03-01 of a year that begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(Millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000))
}

row! {
    /// The exchange's clock.
    TimeRow { time_nano }
}

/// Of the three forms of the clock, the finest that is told, in milliseconds (CASES.md, T5).
fn time(row: &TimeRow<'_>, envelope: &Field<'_>) -> Result<Millis, Malformed> {
    let at = match row.time_nano.count("timeNano")? {
        0 => envelope.millis("time")?,
        nanos => Millis(nanos / 1_000_000),
    };
    if at.0 == 0 { Err(misread("timeNano", "no time")) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-05-15T03:13:24Z", 1_684_120_404_000),
            ("2024-02-29T23:59:59Z", 1_709_251_199_000),
            ("2000-03-01T00:00:00.123Z", 951_868_800_000),
        ] {
            assert_eq!(instant(text), Some(Millis(ms)), "{text}");
        }
        for text in ["", "2023-05-15", "2023-13-15T03:13:24Z", "2023-05-15T03:13:24", "x-y-zTa:b:cZ"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
