//! One row of each table from what it tells of.
//!
//! **Invariants**: the fields stand in the order of [`Table::columns`]. **Never**: writes a secret.

use std::fmt::{Display, Write as _};

use engine::core::event::Charge;
use engine::core::fixed::Money;
use engine::core::ids::{AccountId, ClientOrderId, SignalId, SourceId, Timestamp, UserId};
use engine::core::ledger::{Currency, Entry, LedgerAccount};
use engine::core::order::Fill;
use engine::core::position::{Order, Position};
use engine::core::rules::{Settings, Sizing};
use engine::core::signal::SourceSignal;
use engine::core::user::{ExchangeAccount, Outcome, Source, Subscription, User, VenueKind};

use super::tables::Table;
use super::tuple::Tuple;

/// Text as JSON.
pub(super) fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // jsonb has no place for NUL.
            '\0' => out.push('\u{fffd}'),
            c if c < ' ' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a string does not fail")
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn settings(settings: &Settings) -> String {
    let (mode, value) = match settings.sizing {
        Sizing::PercentOfBalance(share) => ("percent_of_balance", share.to_string()),
        Sizing::FixedMargin(amount) => ("fixed_margin", amount.to_string()),
        Sizing::FixedNotional(amount) => ("fixed_notional", amount.to_string()),
        Sizing::RiskToStop(amount) => ("risk_to_stop", amount.to_string()),
    };
    let bound = |money: Option<Money>| money.map_or("null".to_owned(), |money| format!("\"{money}\""));
    let symbols: Vec<String> = settings.symbols.iter().map(|symbol| json_text(symbol.as_str())).collect();
    format!(
        "{{\"sizing\":{{\"mode\":\"{mode}\",\"value\":\"{value}\"}},\"leverage\":{},\"stop_multiplier\":\"{}\",\
         \"take_profit_multiplier\":\"{}\",\"trade_max\":{},\"exposure_max\":{},\"symbols\":[{}],\"reverse\":{}}}",
        settings.leverage,
        settings.stop_multiplier,
        settings.take_profit_multiplier,
        bound(settings.trade_max),
        bound(settings.exposure_max),
        symbols.join(","),
        settings.reverse,
    )
}

fn finish(tuple: Tuple, table: Table) -> Vec<u8> {
    tuple.finish(table.columns().len())
}

pub(super) fn user(user: &User) -> Vec<u8> {
    let mut row = Tuple::new();
    row.big(user.id.0).text(&user.email).text(&user.zone).boolean(user.active).boolean(user.halted);
    row.time(user.created_at).time_or_null(user.trial_ends_at).time_or_null(user.plan_ends_at);
    finish(row, Table::Users)
}

pub(super) fn account(user: UserId, index: u8, account: &ExchangeAccount) -> Vec<u8> {
    let mut row = Tuple::new();
    let (place, key) = (account.place(), account.key.as_deref());
    let on_exchange = place.venue != VenueKind::Paper;
    row.big(user.0).small(index).text(place.venue.as_str()).text(account.currency().as_str());
    row.boolean(account.enabled).boolean(account.key_state.is_good());
    row.text_or_null(on_exchange.then_some(place.environment.as_str()));
    row.text_or_null(Some(place.site.host()).filter(|host| !host.is_empty()));
    row.text_or_null(key.map(|key| key.kind.as_str()));
    row.text_or_null(key.map(|key| key.hint.text()).as_deref());
    row.text(account.key_state.as_str());
    row.time_or_null(key.map_or(Timestamp(0), |key| key.expires_at));
    finish(row, Table::ExchangeAccounts)
}

pub(super) fn source(id: SourceId, source: &Source) -> Vec<u8> {
    let mut row = Tuple::new();
    row.big(id.owner.0).small(id.index).text(&source.name).boolean(source.halted);
    finish(row, Table::Sources)
}

pub(super) fn subscription(user: UserId, subscription: &Subscription) -> Vec<u8> {
    let SourceId { owner, index } = subscription.source;
    let mut row = Tuple::new();
    row.big(user.0).big(owner.0).small(index).small(subscription.account).boolean(subscription.active);
    row.json(&settings(&subscription.settings));
    finish(row, Table::Subscriptions)
}

/// A signal; `body` is the whole of it where it is known.
pub(super) fn signal(kept: &SourceSignal, body: &str) -> Vec<u8> {
    let signal = &kept.signal;
    let mut row = Tuple::new();
    row.time(signal.accepted_at).id(signal.id);
    row.big(signal.id.source.owner.0).small(signal.id.source.index);
    row.text(signal.kind.as_str()).text(signal.symbol.as_str());
    row.numeric_or_null(signal.price.map(|price| price.units()));
    match signal.leverage {
        Some(leverage) => row.small(leverage),
        None => row.null(),
    };
    row.numeric_or_null(signal.stop_loss.map(|price| price.units()));
    row.numeric_or_null(signal.take_profit.map(|price| price.units()));
    row.time_or_null(signal.signal_at.unwrap_or(Timestamp(0))).time_or_null(signal.expires_at).text(body);
    match kept.superseded_by {
        Some(number) => row.big(u64::from(number)),
        None => row.null(),
    };
    match kept.finished {
        Some(counts) => {
            row.big(u64::from(counts.users)).big(u64::from(counts.intents)).big(u64::from(counts.skipped))
        }
        None => row.null().null().null(),
    };
    row.time_or_null(kept.finished_at);
    finish(row, Table::Signals)
}

pub(super) fn outcome(user: UserId, outcome: &Outcome) -> Vec<u8> {
    let (word, reason) = outcome.kind.words();
    let mut row = Tuple::new();
    row.time(outcome.decided_at).big(user.0).id(outcome.signal).small(outcome.account);
    row.text(word).text_or_null(reason);
    row.time_or_null(outcome.sent_at).time_or_null(outcome.filled_at).time_or_null(outcome.done_at);
    finish(row, Table::Receipts)
}

pub(super) fn order(order: &Order) -> Vec<u8> {
    let new = &order.new;
    let (kind, price) = new.kind.words();
    let mut row = Tuple::new();
    row.time(order.decided_at).id(new.id).big(new.id.account.user.0).small(new.id.account.index);
    row.id(new.id.signal).id(order.position).text(new.id.leg.as_str());
    row.text(new.symbol.as_str()).text(new.side.as_str()).text(kind);
    row.numeric_or_null(price.map(|price| price.units())).numeric(new.quantity.units());
    row.boolean(new.reduce_only).small(new.leverage);
    row.text(order.state.as_str()).text_or_null(order.reason.map(|reason| reason.as_str()));
    row.numeric(order.filled.units()).numeric(order.notional.units()).numeric(order.fees.units());
    row.time_or_null(order.sent_at).time_or_null(order.filled_at).time_or_null(order.done_at);
    finish(row, Table::Orders)
}

/// A position; `state` is the field's word for where it stands.
pub(super) fn position(user: UserId, position: &Position, state: &str) -> Vec<u8> {
    let mut row = Tuple::new();
    row.time(position.decided_at).big(user.0).id(position.signal).small(position.account);
    row.text(position.symbol.as_str()).text(position.side.as_str()).text(state).small(position.leverage);
    row.numeric(position.quantity.units()).numeric(position.entry_cost.units());
    row.numeric(position.entry_quantity.units()).numeric(position.realised.units());
    row.numeric(position.fees.units()).numeric(position.funding.units());
    row.numeric(position.stop.units()).numeric(position.take_profit.units());
    row.numeric(position.liquidation.units());
    row.time_or_null(position.opened_at).time_or_null(position.closed_at);
    row.text_or_null(position.closed.map(|reason| reason.as_str()));
    finish(row, Table::Positions)
}

/// An execution of an order.
pub(super) fn fill(at: Timestamp, id: ClientOrderId, order: &Order, fill: &Fill, realised: Money) -> Vec<u8> {
    let words = [order.new.symbol.as_str(), order.new.side.as_str()];
    execution(at, id, id.account, order.position, words, fill, realised)
}

/// An execution that the venue made by itself, or somebody else on the exchange account.
pub(super) fn by_others(
    at: Timestamp,
    who: &str,
    account: AccountId,
    position: &Position,
    fill: &Fill,
    realised: Money,
) -> Vec<u8> {
    let id = format_args!("{who}:{}:{}", account.user, account.index);
    let words = [position.symbol.as_str(), position.side.opposite().as_str()];
    execution(at, id, account, position.signal, words, fill, realised)
}

fn execution(
    at: Timestamp,
    id: impl Display,
    account: AccountId,
    position: SignalId,
    [symbol, side]: [&str; 2],
    fill: &Fill,
    realised: Money,
) -> Vec<u8> {
    let mut row = Tuple::new();
    row.time(at).id(id).big(u64::from(fill.number)).big(account.user.0).small(account.index);
    row.id(position).text(symbol).text(side);
    row.numeric(fill.price.units()).numeric(fill.quantity.units()).numeric(fill.fee.units());
    row.numeric(realised.units());
    row.text(fill.liquidity.as_str());
    row.time_or_null(fill.venue_at);
    finish(row, Table::Fills)
}

/// What a closed position cost.
pub(super) struct Fee {
    pub(super) at: Timestamp,
    pub(super) account: AccountId,
    pub(super) position: SignalId,
    pub(super) currency: Currency,
    pub(super) net: Money,
    pub(super) charge: Charge,
    pub(super) carried_loss: Money,
}

pub(super) fn fee(fee: &Fee) -> Vec<u8> {
    let mut row = Tuple::new();
    row.time(fee.at).big(fee.account.user.0).id(fee.position).small(fee.account.index);
    row.text(fee.currency.as_str()).numeric(fee.net.units());
    row.numeric(fee.charge.credit.units()).numeric(fee.charge.real.units()).numeric(fee.charge.debt.units());
    row.numeric(fee.carried_loss.units());
    finish(row, Table::Fees)
}

pub(super) fn entry(user: UserId, entry: &Entry) -> Vec<u8> {
    let mut row = Tuple::new();
    row.time(entry.at).big(user.0).big(entry.number).id(entry.key).text(entry.currency.as_str());
    finish(row, Table::Entries)
}

/// A line of the entry with this number.
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) user: UserId,
    pub(super) number: u64,
    pub(super) line: usize,
    pub(super) account: LedgerAccount,
    pub(super) currency: Currency,
    pub(super) amount: i64,
}

pub(super) fn posting(line: &Line) -> Vec<u8> {
    let mut row = Tuple::new();
    row.time(line.at).big(line.user.0).big(line.number);
    row.small(i16::try_from(line.line).expect("an entry has few lines"));
    row.id(line.account).text(line.currency.as_str()).numeric(line.amount);
    finish(row, Table::Postings)
}
