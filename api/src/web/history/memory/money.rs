//! Executions, profit shares and performance, put together from what the state keeps for other ends: ledger entries, orders and
//! closed positions.
//!
//! **Invariants**: what a row says is what the projector wrote; what the state does not know is null, never a guess.

use std::collections::BTreeMap;
use std::ops::Range;

use engine::core::fixed::{Money, Price, Quantity, UNIT};
use engine::core::ids::{Leg, SignalId, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::ledger::{Currency, Entry, EntryKey, LedgerAccount};
use engine::core::position::{Order, Position, margin_of};
use engine::core::user::{ExchangeAccount, POSITION_HISTORY_MAX, User};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::trades::statement_from;
use super::{Found, after, micros, some, time};
use crate::reads::decimal;
use crate::web::history::{By, Row};

/// What one execution booked.
struct Booked<'a> {
    at: Timestamp,
    /// As the database names it: the order, or who else closed.
    who: String,
    number: u32,
    account: u8,
    order: Option<&'a Order>,
    fee: Money,
    realised: Money,
}

/// Who made an execution.
enum Maker {
    Order(engine::core::ids::ClientOrderId),
    Other(&'static str, u8),
}

/// Which execution an entry is of, and whether it is its fee.
fn execution(key: &EntryKey) -> Option<(Maker, u32, bool)> {
    Some(match *key {
        EntryKey::FillFee(id, number) => (Maker::Order(id), number, true),
        EntryKey::FillProfit(id, number) => (Maker::Order(id), number, false),
        EntryKey::LiquidationFee(account, number) => (Maker::Other("liquidation", account), number, true),
        EntryKey::LiquidationProfit(account, number) => (Maker::Other("liquidation", account), number, false),
        EntryKey::OutsideFee(account, number) => (Maker::Other("outside", account), number, true),
        EntryKey::OutsideProfit(account, number) => (Maker::Other("outside", account), number, false),
        _ => return None,
    })
}

/// What an entry moved into (or out of) an account.
fn posted(entry: &Entry, is_it: impl Fn(LedgerAccount) -> bool) -> Money {
    entry.postings.iter().find(|posting| is_it(posting.account)).map_or(Money::ZERO, |posting| posting.amount)
}

/// Executions, from the entries that they booked. One that booked nothing (no fee, no profit) is known by its order, if it is the
/// order's only one.
pub(super) fn fills(user: &User) -> Found {
    let complete_from = statement_from(user);
    let known = |at: Timestamp| micros(at) >= complete_from;
    let orders = || user.orders.iter().chain(&user.final_orders);
    let mut booked: Vec<Booked<'_>> = Vec::new();
    for entry in user.ledger.statement().iter().filter(|entry| known(entry.at)) {
        let Some((maker, number, is_fee)) = execution(&entry.key) else { continue };
        let (who, account, order) = match maker {
            Maker::Order(id) => (id.to_string(), id.account.index, orders().find(|order| order.new.id == id)),
            Maker::Other(word, account) => (format!("{word}:{}:{account}", user.id), account, None),
        };
        let place = match booked.iter().rposition(|one| one.who == who && one.number == number) {
            Some(place) => place,
            None => {
                let (fee, realised) = (Money::ZERO, Money::ZERO);
                booked.push(Booked { at: entry.at, who, number, account, order, fee, realised });
                booked.len() - 1
            }
        };
        let into_wallet = posted(entry, |account| matches!(account, LedgerAccount::Wallet(_)));
        if is_fee {
            booked[place].fee = into_wallet.negated();
        } else {
            booked[place].realised = into_wallet;
        }
    }
    for order in orders().filter(|order| order.fills == 1 && known(order.filled_at)) {
        let who = order.new.id.to_string();
        if booked.iter().all(|one| one.who != who) {
            let (at, account) = (order.filled_at, order.new.id.account.index);
            let (fee, realised) = (Money::ZERO, Money::ZERO);
            booked.push(Booked { at, who, number: 1, account, order: Some(order), fee, realised });
        }
    }
    Found { rows: booked.iter().map(fill_row).collect(), complete_from }
}

fn fill_row(booked: &Booked<'_>) -> Row {
    let order = booked.order;
    // Of an order that was filled in several parts only the sums are kept.
    let whole = order.filter(|order| order.fills == 1);
    Row {
        at: micros(booked.at),
        id: format!("{}:{:010}", booked.who, booked.number),
        fields: vec![
            time(booked.at),
            some(&booked.who),
            some(booked.number),
            some(booked.account),
            order.and_then(|order| some(order.position)),
            order.and_then(|order| some(order.new.symbol)),
            order.and_then(|order| some(order.new.side.as_str())),
            whole.and_then(exact_price).and_then(some),
            whole.and_then(|order| some(order.filled)),
            some(booked.fee),
            some(booked.realised),
            None,
            None,
        ],
    }
}

/// The price of an order's only execution, where its notional was not rounded.
fn exact_price(order: &Order) -> Option<Price> {
    let price = order.average_price()?;
    let product = i128::from(price.units()) * i128::from(order.filled.units());
    (product == i128::from(order.notional.units()) * i128::from(UNIT)).then_some(price)
}

/// What a closed position cost its owner.
struct Fee {
    at: Timestamp,
    position: SignalId,
    account: u8,
    symbol: Symbol,
    currency: Currency,
    /// Profit when it was closed; none where funding came later, or may have.
    net: Option<Money>,
    /// From credit, from the prepaid balance, and owed.
    charge: Option<[Money; 3]>,
}

fn fee(user: &User, position: &Position) -> Fee {
    let key = EntryKey::ProfitShare(position.signal, position.account);
    // Everything that was booked since it was closed is still there.
    let followed = micros(position.closed_at) >= statement_from(user);
    let later = user.ledger.statement().iter().filter(|entry| entry.at >= position.closed_at);
    let funded_later = later.clone().any(|entry| match entry.key {
        EntryKey::Funding(account, symbol, venue_at) => {
            let of_it = position.opened_venue_at == Timestamp(0) || position.was_open_at(venue_at);
            account == position.account && symbol == position.symbol && of_it
        }
        _ => false,
    });
    let never_funded = position.funded_at == Timestamp(0);
    let net = (never_funded || followed && !funded_later).then(|| position.net());
    let mut shares = later.filter(|entry| entry.key == key);
    let nothing = || followed || net.is_some_and(|net| net <= Money::ZERO) || position.share.is_zero();
    let charge = match shares.next() {
        Some(entry) => {
            let from = [LedgerAccount::Credit, LedgerAccount::Real, LedgerAccount::Debt];
            Some(from.map(|account| posted(entry, |posted| posted == account).negated()))
        }
        None => nothing().then_some([Money::ZERO; 3]),
    };
    let account = user.accounts.get(usize::from(position.account));
    Fee {
        at: position.closed_at,
        position: position.signal,
        account: position.account,
        symbol: position.symbol,
        currency: account.map_or(Currency::Usdt, ExchangeAccount::currency),
        net,
        charge,
    }
}

fn closed_from(user: &User) -> i64 {
    let closed = &user.closed_positions;
    let oldest = closed.front().filter(|_| closed.len() >= POSITION_HISTORY_MAX);
    oldest.map_or(0, |position| after(position.closed_at))
}

/// Profit shares, from the closed positions and their entries.
pub(super) fn fees(user: &User) -> Found {
    let rows = user.closed_positions.iter().map(|position| {
        let fee = fee(user, position);
        let [credit, real, owed] = match fee.charge {
            Some(charge) => charge.map(some),
            None => [const { None }; 3],
        };
        Row {
            at: micros(fee.at),
            id: format!("{}:{}", fee.position, fee.account),
            fields: vec![
                time(fee.at),
                some(fee.position),
                some(fee.account),
                some(fee.currency.as_str()),
                fee.net.and_then(some),
                credit,
                real,
                owed,
                // What was carried forward then, nobody knows now.
                None,
            ],
        }
    });
    Found { rows: rows.collect(), complete_from: closed_from(user) }
}

/// Closed positions summed up.
#[derive(Default)]
struct Sum {
    positions: u64,
    won: u64,
    net: i128,
    shares: i128,
    /// What the entries came to; none where it is not known of one of them.
    entered: Option<i128>,
}

/// What the entries of a position came to, where the state has all of them still.
fn entry_notional(user: &User, position: &Position) -> Option<Money> {
    let of_it = |order: &&Order| {
        let id = order.new.id;
        id.leg == Leg::Entry && order.position == position.signal && id.account.index == position.account
    };
    let (mut filled, mut notional) = (Quantity::ZERO, Money::ZERO);
    for order in user.orders.iter().chain(&user.final_orders).filter(of_it) {
        filled = filled.checked_add(order.filled)?;
        notional = notional.checked_add(order.notional)?;
    }
    if planted::planted!("percentage_of_the_margin") {
        return Some(margin_of(notional, position.leverage));
    }
    (filled == position.entry_quantity).then_some(notional)
}

/// So many percent of it, with four places, half away from zero, of the exact quotient; none of nothing.
fn percent_of(part: i128, base: i128) -> Option<String> {
    const PLACES: i128 = 10_000;
    let ten_thousandths = (part.abs() * 100 * PLACES * 2 + base).checked_div(base * 2)?;
    Some(decimal(part.signum() * ten_thousandths * (i128::from(UNIT) / PLACES)))
}

/// Closed positions of a span summed up: those of which all is known. The percentage is of what their entries came to, which
/// exits in parts do not change (CASES.md F8).
pub(super) fn performance(user: &User, by: By, span: Range<i64>) -> Found {
    let zone = TimeZoneDatabase::bundled().get(&user.zone).unwrap_or(TimeZone::UTC);
    let mut sums: BTreeMap<(String, &'static str), Sum> = BTreeMap::new();
    let mut complete_from = closed_from(user);
    for position in &user.closed_positions {
        let fee = fee(user, position);
        let (Some(net), Some(charge)) = (fee.net, fee.charge) else {
            complete_from = complete_from.max(after(fee.at));
            continue;
        };
        let at = micros(fee.at);
        if !span.contains(&at) {
            continue;
        }
        let key = match by {
            By::Day => day(&zone, at),
            By::Symbol => fee.symbol.to_string(),
            By::Strategy => fee.position.source.to_string(),
            By::Position => fee.position.to_string(),
        };
        let sum = sums
            .entry((key, fee.currency.as_str()))
            .or_insert_with(|| Sum { entered: Some(0), ..Sum::default() });
        let entered = entry_notional(user, position);
        sum.entered = sum.entered.zip(entered).map(|(sum, entered)| sum + i128::from(entered.units()));
        sum.positions += 1;
        sum.won += u64::from(net > Money::ZERO);
        sum.net += i128::from(net.units());
        sum.shares += charge.iter().map(|part| i128::from(part.units())).sum::<i128>();
    }
    let rows = sums.into_iter().map(|((key, currency), sum)| Row {
        at: 0,
        id: format!("{key}:{currency}"),
        fields: vec![
            Some(key),
            some(currency),
            some(sum.positions),
            some(sum.won),
            some(decimal(sum.net)),
            some(decimal(sum.shares)),
            sum.entered.map(decimal),
            sum.entered.and_then(|entered| percent_of(sum.net, entered)),
        ],
    });
    Found { rows: rows.collect(), complete_from }
}

/// Balances before a span and after it: today's, less what was booked since. Null is what older entries would have to tell.
pub(super) fn statement(user: &User, span: Range<i64>) -> Found {
    #[derive(Default)]
    struct Sums {
        since_start: i128,
        since_end: i128,
        lines: u64,
    }
    let complete_from = statement_from(user);
    let mut booked: BTreeMap<(&'static str, LedgerAccount), Sums> = BTreeMap::new();
    for entry in user.ledger.statement() {
        let at = micros(entry.at);
        for posting in &entry.postings {
            let sums = booked.entry((entry.currency.as_str(), posting.account)).or_default();
            let amount = i128::from(posting.amount.units());
            sums.since_start += if at >= span.start { amount } else { 0 };
            sums.since_end += if at >= span.end { amount } else { 0 };
            sums.lines += u64::from(span.contains(&at));
        }
    }
    let rows = user.ledger.balances().iter().filter_map(|(currency, account, balance)| {
        let currency = currency.as_str();
        let sums = booked.remove(&(currency, *account)).unwrap_or_default();
        let now = i128::from(balance.units());
        let opening = (span.start >= complete_from).then(|| now - sums.since_start);
        let closing = (span.end >= complete_from).then(|| now - sums.since_end);
        let change = opening.zip(closing).map(|(opening, closing)| closing - opening);
        (opening != Some(0) || sums.lines > 0).then(|| Row {
            at: 0,
            id: format!("{currency}:{account}"),
            fields: vec![
                some(currency),
                some(account),
                opening.map(decimal),
                change.map(decimal),
                closing.map(decimal),
            ],
        })
    });
    Found { rows: rows.collect(), complete_from }
}

/// The day of an instant in a zone, cut where that zone's clocks show midnight.
fn day(zone: &TimeZone, at: i64) -> String {
    jiff::Timestamp::from_microsecond(at)
        .map(|instant| zone.to_datetime(instant).date().to_string())
        .unwrap_or_default()
}
