//! Answers to questions, read: the result of a REST call, or of a request over the trade socket.
//!
//! **Invariants**: fields on which nothing rests may be missing (CASES.md, O13). A list of the account with a row that cannot
//! be read is an error as a whole, for an order that is left out could be one that lives; rows of symbols that this server
//! cannot trade are left out. A list of the market leaves out rows that cannot be read: one instrument of many must not stop
//! the others.
//! **Bounds**: a list is as long as its body; the client bounds that.

use std::borrow::Cow;

use engine::core::fixed::{Money, ParseError, Price, Rate};
use engine::core::order::Liquidity;
use serde::Deserialize;

use super::json::{self, Flag, Num, is_set, malformed};
use super::klines;
use super::requests::{CURSOR_TIME, PAGE_ROWS, TRADES_SPAN_MS, trades_begin};
use super::{instruments, orders, positions, tickers};
use crate::live::protocol::{
    AccountView, Answer, Ask, BalanceView, BracketView, Cursor, ExecutionView, FundingView, KeyView, Maker,
    Malformed, MarkView, Millis, PositionMode, PositionView, SettingsView,
};

/// Longest listen key that is taken; the maker's have 64 characters.
const LISTEN_KEY_MAX: usize = 200;
/// Furthest page of income: three months of funding every hour on 400 symbols.
const PAGES_MAX: u32 = 1_000;

/// Reads the answer to a question. `now` is the exchange's clock where it is known: it tells whether a list goes on.
pub(super) fn read(ask: &Ask, text: &str, now: Option<Millis>) -> Result<Answer, Malformed> {
    match ask {
        Ask::Place(placement) => placed(text, placement.order.kind.is_trigger()),
        Ask::Cancel(_) | Ask::SetLeverage { .. } | Ask::SetIsolated(_) | Ask::KeepListenKey => {
            // Nothing in it is needed, but it has to be an answer: a page of a proxy is none.
            json::read::<serde::de::IgnoredAny>("answer", text).and_then(|_| {
                text.trim_start()
                    .starts_with('{')
                    .then_some(Answer::Done)
                    .ok_or_else(|| malformed("answer", "not an object"))
            })
        }
        Ask::Query(_) | Ask::QueryById { .. } | Ask::QueryEnded(_) => {
            let is_trigger = matches!(ask, Ask::Query(order) | Ask::QueryEnded(order) if order.is_trigger);
            let view = if is_trigger { orders::algo(text) } else { orders::plain(text) }?;
            let view = view.ok_or_else(|| malformed("order", "of another symbol"))?;
            Ok(Answer::Order(Box::new(view)))
        }
        Ask::OpenOrders(_) | Ask::ForcedOrders { .. } => Ok(Answer::Orders(rows(text, orders::plain)?, None)),
        Ask::OpenTriggers(_) => Ok(Answer::Orders(rows(text, orders::algo)?, None)),
        Ask::Positions(_) => Ok(Answer::Positions(rows(text, position)?, None)),
        Ask::Balances => Ok(Answer::Balances(rows(text, balance)?)),
        Ask::Executions { since, cursor, .. } => executions(text, *since, cursor, now),
        Ask::Funding { cursor, .. } => funding(text, cursor),
        Ask::Settings(_) => Ok(Answer::Settings(rows(text, settings)?)),
        Ask::Account => account(text),
        Ask::Key => key(text),
        Ask::OpenListenKey => listen_key(text),
        Ask::Time => time(text),
        Ask::Instruments(_) => Ok(Answer::Instruments(instruments::read(text)?, None)),
        Ask::Brackets(_) => {
            let rows = market_rows("brackets", text, brackets)?;
            Ok(Answer::Brackets(rows.into_iter().flatten().collect(), None))
        }
        Ask::Marks => Ok(Answer::Marks(market_rows("premium index", text, mark)?)),
        Ask::DayTickers => tickers::read(text),
        Ask::Klines { interval, from, to, cursor, .. } => klines::read(text, *interval, (*from, *to), cursor),
        Ask::Protect { .. } => Err(malformed("answer", "Binance has no triggers of a position")),
    }
}

/// All rows of a list of the account.
fn rows<T>(text: &str, read: impl Fn(&str) -> Result<Option<T>, Malformed>) -> Result<Vec<T>, Malformed> {
    let mut out = Vec::new();
    for row in json::list("list", text)? {
        out.extend(read(row.get())?);
    }
    Ok(out)
}

/// The rows of a list of the market that can be read; an error when there are rows and none can be.
pub(super) fn market_rows<T>(
    what: &str,
    text: &str,
    read: impl Fn(&str) -> Result<Option<T>, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let (mut out, mut error) = (Vec::new(), None);
    for row in json::list(what, text)? {
        match read(row.get()) {
            Ok(row) => out.extend(row),
            Err(failed) => error = error.or(Some(failed)),
        }
    }
    match error {
        Some(error) if out.is_empty() => Err(error),
        _ => Ok(out),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlacedRow<'a> {
    #[serde(borrow)]
    order_id: Option<Num<'a>>,
    #[serde(borrow)]
    algo_id: Option<Num<'a>>,
}

fn placed(text: &str, is_trigger: bool) -> Result<Answer, Malformed> {
    let row: PlacedRow<'_> = json::read("new order", text)?;
    let id = if is_trigger { row.algo_id } else { row.order_id };
    let id = id.ok_or_else(|| malformed("new order", "no id"))?.id("order id")?;
    Ok(Answer::Placed { venue_id: id.to_owned() })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PositionRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow, default)]
    position_side: Cow<'a, str>,
    #[serde(borrow)]
    position_amt: Num<'a>,
    #[serde(borrow)]
    entry_price: Option<Num<'a>>,
    #[serde(borrow)]
    leverage: Option<Num<'a>>,
    #[serde(borrow)]
    update_time: Option<Num<'a>>,
}

fn position(text: &str) -> Result<Option<PositionView>, Malformed> {
    let row: PositionRow<'_> = json::read("position", text)?;
    let Some(symbol) = orders::symbol(&row.symbol) else { return Ok(None) };
    let updated_at = row.update_time.map(|time| time.millis("updateTime")).transpose()?.unwrap_or_default();
    let mut view =
        positions::position(symbol, &row.position_side, row.position_amt, row.entry_price, updated_at)?;
    view.leverage = row.leverage.map(|leverage| leverage.whole("leverage")).transpose()?.unwrap_or_default();
    Ok(Some(view).filter(|view| !view.quantity.is_zero()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BalanceRow<'a> {
    #[serde(borrow)]
    asset: Cow<'a, str>,
    #[serde(borrow)]
    balance: Num<'a>,
    #[serde(borrow)]
    available_balance: Option<Num<'a>>,
    #[serde(borrow)]
    account_alias: Option<Cow<'a, str>>,
}

fn balance(text: &str) -> Result<Option<BalanceView>, Malformed> {
    let row: BalanceRow<'_> = json::read("balance", text)?;
    Ok(Some(BalanceView {
        asset: json::cut(&row.asset).to_owned(),
        wallet: row.balance.exact("balance")?,
        available: row.available_balance.map(|available| available.exact("availableBalance")).transpose()?,
        account: row
            .account_alias
            .map(|alias| json::cut(&alias).to_owned())
            .filter(|alias| !alias.is_empty()),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TradeRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    id: Num<'a>,
    #[serde(borrow)]
    order_id: Num<'a>,
    #[serde(borrow)]
    side: Cow<'a, str>,
    #[serde(borrow)]
    price: Num<'a>,
    #[serde(borrow)]
    qty: Num<'a>,
    #[serde(borrow)]
    commission: Option<Num<'a>>,
    #[serde(borrow)]
    commission_asset: Option<Cow<'a, str>>,
    maker: Option<Flag>,
    #[serde(borrow)]
    time: Num<'a>,
}

fn trade(text: &str) -> Result<Option<ExecutionView>, Malformed> {
    let row: TradeRow<'_> = json::read("trade", text)?;
    let Some(symbol) = orders::symbol(&row.symbol) else { return Ok(None) };
    Ok(Some(ExecutionView {
        trade_id: row.id.id("id")?.to_owned(),
        sequence: row.id.whole("id")?,
        client_id: String::new(),
        venue_id: row.order_id.id("orderId")?.to_owned(),
        symbol,
        side: orders::side(&row.side)?,
        price: row.price.exact("price")?,
        quantity: row.qty.exact("qty")?,
        filled: None,
        is_last: None,
        fee: row.commission.map(|fee| fee.exact("commission")).transpose()?.unwrap_or(Money::ZERO),
        fee_asset: json::cut(row.commission_asset.as_deref().unwrap_or_default()).to_owned(),
        liquidity: if is_set(row.maker) { Liquidity::Maker } else { Liquidity::Taker },
        maker: Maker::Client,
        at: row.time.millis("time")?,
    }))
}

/// A full page goes on after its last trade. A page that is not full ends its span of seven days; the next span follows as
/// long as it begins in the past, which only the exchange's clock tells.
fn executions(text: &str, since: Millis, cursor: &str, now: Option<Millis>) -> Result<Answer, Malformed> {
    let count = json::list("trades", text)?.len();
    let mut trades = rows(text, trade)?;
    trades.sort_unstable_by_key(|trade| trade.sequence);
    let by_id = !cursor.is_empty() && !cursor.starts_with(CURSOR_TIME);
    let next = if count >= PAGE_ROWS {
        trades.last().map(|last| last.sequence.saturating_add(1).to_string())
    } else if by_id {
        None
    } else {
        now.and_then(|now| {
            let next = trades_begin(since, cursor, now).0.saturating_add(TRADES_SPAN_MS);
            (next <= now.0).then(|| format!("{CURSOR_TIME}{next}"))
        })
    };
    Ok(Answer::Executions(trades, next))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IncomeRow<'a> {
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    income_type: Cow<'a, str>,
    #[serde(borrow)]
    income: Num<'a>,
    #[serde(borrow)]
    asset: Cow<'a, str>,
    #[serde(borrow)]
    time: Num<'a>,
}

fn income(text: &str) -> Result<Option<FundingView>, Malformed> {
    let row: IncomeRow<'_> = json::read("income", text)?;
    if row.income_type != "FUNDING_FEE" {
        return Ok(None);
    }
    Ok(Some(FundingView {
        symbol: row.symbol.as_deref().and_then(orders::symbol),
        amount: row.income.exact("income")?,
        asset: json::cut(&row.asset).to_owned(),
        rate: None,
        mark: None,
        at: row.time.millis("time")?,
    }))
}

fn funding(text: &str, cursor: &str) -> Result<Answer, Malformed> {
    let is_full = json::list("income", text)?.len() >= PAGE_ROWS;
    let page: u32 = if cursor.is_empty() { 1 } else { cursor.parse().unwrap_or(PAGES_MAX) };
    let next: Option<Cursor> = (is_full && page < PAGES_MAX).then(|| (page + 1).to_string());
    Ok(Answer::Funding(rows(text, income)?, next))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingsRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    leverage: Num<'a>,
    #[serde(borrow)]
    margin_type: Option<Cow<'a, str>>,
}

fn settings(text: &str) -> Result<Option<SettingsView>, Malformed> {
    let row: SettingsRow<'_> = json::read("symbol configuration", text)?;
    let Some(symbol) = orders::symbol(&row.symbol) else { return Ok(None) };
    let isolated = row.margin_type.as_deref().map(|kind| kind.eq_ignore_ascii_case("isolated"));
    Ok(Some(SettingsView { symbol, leverage: row.leverage.whole("leverage")?, isolated, mode: None }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountRow {
    dual_side_position: Flag,
    can_trade: Flag,
}

fn account(text: &str) -> Result<Answer, Malformed> {
    let row: AccountRow = json::read("account configuration", text)?;
    let mode = if row.dual_side_position.0 { PositionMode::Hedge } else { PositionMode::OneWay };
    Ok(Answer::Account(AccountView { mode: Some(mode), may_trade: row.can_trade.0, isolated: None }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyRow<'a> {
    ip_restrict: Flag,
    enable_withdrawals: Flag,
    enable_futures: Flag,
    #[serde(borrow)]
    trading_authority_expiration_time: Option<Num<'a>>,
}

/// Each of the three rights has to be told: that a key cannot withdraw is never concluded from silence.
fn key(text: &str) -> Result<Answer, Malformed> {
    let row: KeyRow<'_> = json::read("key", text)?;
    let expires_at =
        row.trading_authority_expiration_time.map(|time| time.millis("expiration")).transpose()?;
    Ok(Answer::Key(KeyView {
        may_trade: row.enable_futures.0,
        may_withdraw: row.enable_withdrawals.0,
        bound_to_address: row.ip_restrict.0,
        expires_at: expires_at.filter(|time| time.0 > 0),
        account: None,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListenKeyRow<'a> {
    #[serde(borrow)]
    listen_key: Cow<'a, str>,
}

/// The key becomes a part of an address, so it may hold nothing that means something there.
fn listen_key(text: &str) -> Result<Answer, Malformed> {
    let row: ListenKeyRow<'_> = json::read("listen key", text)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let fits = (1..=LISTEN_KEY_MAX).contains(&row.listen_key.len()) && row.listen_key.bytes().all(plain);
    if !fits {
        return Err(malformed("listen key", "not one"));
    }
    Ok(Answer::ListenKey(row.listen_key.into_owned()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimeRow<'a> {
    #[serde(borrow)]
    server_time: Num<'a>,
}

fn time(text: &str) -> Result<Answer, Malformed> {
    let row: TimeRow<'_> = json::read("time", text)?;
    Ok(Answer::Time(row.server_time.millis("serverTime")?))
}

#[derive(Deserialize)]
struct BracketsRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    brackets: Vec<BracketRow<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BracketRow<'a> {
    #[serde(borrow)]
    initial_leverage: Num<'a>,
    #[serde(borrow)]
    notional_cap: Num<'a>,
    #[serde(borrow)]
    maint_margin_ratio: Num<'a>,
}

impl BracketRow<'_> {
    /// Largest notional, highest leverage, maintenance rate.
    fn read(&self) -> Result<(Money, u8, Rate), Malformed> {
        let leverage: u8 = self.initial_leverage.whole("initialLeverage")?;
        let maintenance: Rate = self.maint_margin_ratio.exact("maintMarginRatio")?;
        let cap = match self.notional_cap.fits::<Money>() {
            // One beyond all numbers limits nothing.
            Err(ParseError::OutOfRange) => Money::MAX,
            cap => cap.map_err(|error| malformed("notionalCap", error))?,
        };
        let is_share = !maintenance.is_negative() && maintenance < Rate::from_whole(1);
        if leverage == 0 || !is_share || !cap.is_positive() {
            return Err(malformed("brackets", "out of range"));
        }
        Ok((cap, leverage, maintenance))
    }
}

/// The brackets of a symbol. `cum` is not read, for caps and rates say it; nor is `notionalCoef`, which is of the one account that
/// was asked.
fn brackets(text: &str) -> Result<Option<Vec<BracketView>>, Malformed> {
    let row: BracketsRow<'_> = json::read("brackets", text)?;
    let Some(symbol) = orders::symbol(&row.symbol) else { return Ok(None) };
    let mut rows = row.brackets.iter().map(BracketRow::read);
    let lowest = rows.next().transpose()?.ok_or_else(|| malformed("brackets", "none"))?;
    // One that cannot be read takes nothing from the others.
    let all = std::iter::once(lowest).chain(rows.filter_map(Result::ok));
    let view = |(notional_max, leverage_max, maintenance)| BracketView {
        symbol,
        notional_max,
        leverage_max,
        maintenance,
    };
    Ok(Some(all.map(view).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MarkRow<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    mark_price: Num<'a>,
    #[serde(borrow)]
    time: Num<'a>,
}

/// A mark of zero is no price (CASES.md, F9): it is left out.
fn mark(text: &str) -> Result<Option<MarkView>, Malformed> {
    let row: MarkRow<'_> = json::read("premium index", text)?;
    let Some(symbol) = orders::symbol(&row.symbol) else { return Ok(None) };
    let mark: Price = row.mark_price.exact("markPrice")?;
    Ok(mark.is_positive().then_some(MarkView { symbol, mark, at: row.time.millis("time")? }))
}
