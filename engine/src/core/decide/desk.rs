//! What users do at the desk: sign up, log in, open accounts, publish, subscribe, halt, recharge.

use super::{Calendar, Context};
use crate::core::command::{Refusal, Reply};
use crate::core::event::{Event, Latch};
use crate::core::fixed::Money;
use crate::core::ids::{AccountId, SourceId, UserId};
use crate::core::instrument::MarketView;
use crate::core::ledger::Currency;
use crate::core::rules::Settings;
use crate::core::state::State;
use crate::core::user::{ACCOUNTS_MAX, SOURCES_MAX, SUBSCRIPTIONS_MAX, User, VenueKind};

/// Longest e-mail address, RFC 5321.
const EMAIL_MAX: usize = 254;
/// Longest name of a source, in bytes.
const NAME_MAX: usize = 100;

pub(super) fn sign_up<M: MarketView, C: Calendar>(
    state: &State,
    cx: &Context<'_, M, C>,
    email: &str,
    password: &str,
    zone: &str,
    out: &mut Vec<Event>,
) -> Result<(UserId, Reply), Refusal> {
    let email = email.trim();
    let well_formed = email.len() <= EMAIL_MAX
        && email.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
        })
        && email.matches('@').count() == 1
        && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    if !well_formed {
        return Err(Refusal::EmailInvalid);
    }
    let zone = if zone.is_empty() { "UTC" } else { zone };
    cx.calendar.day_end(zone, cx.now).ok_or(Refusal::ZoneInvalid)?;
    let id = UserId::from_email(email);
    if state.find(id).is_some() {
        return Err(Refusal::EmailTaken);
    }
    out.push(Event::SignedUp {
        email: email.to_owned(),
        password: password.to_owned(),
        zone: zone.to_owned(),
        trial_ends_at: cx.now.plus_micros(cx.rules.trial_span),
    });
    Ok((id, Reply::User(id)))
}

pub(super) fn open_session<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    token: &[u8; 32],
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    if user.locked_until > cx.now {
        return Err(Refusal::Locked);
    }
    let expires_at = cx.now.plus_micros(cx.rules.session_span);
    out.push(Event::SessionOpened { token: *token, expires_at });
    Ok(Reply::Session(expires_at))
}

pub(super) fn fail_login<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    if user.locked_until > cx.now {
        return Err(Refusal::Locked);
    }
    let locks = user.login_failures.saturating_add(1) >= cx.rules.login_failures_max;
    let locked_until =
        if locks { cx.now.plus_micros(cx.rules.login_lock_span) } else { crate::core::ids::Timestamp(0) };
    out.push(Event::LoginFailed { locked_until });
    Ok(Reply::Done)
}

pub(super) fn open_account<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    venue: VenueKind,
    wallet: Option<Money>,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    if venue != VenueKind::Paper {
        return Err(Refusal::VenueUnavailable);
    }
    if user.accounts.len() >= ACCOUNTS_MAX {
        return Err(Refusal::LimitReached("accounts"));
    }
    let wallet = wallet.unwrap_or(cx.rules.paper_wallet);
    if !wallet.is_positive() || wallet > Money::from_whole(1_000_000_000) {
        return Err(Refusal::Invalid("wallet: above 0, at most 1000000000"));
    }
    let index = u8::try_from(user.accounts.len()).expect("ACCOUNTS_MAX fits a byte");
    out.push(Event::AccountOpened { index, venue, wallet, prepaid: cx.rules.paper_prepaid });
    Ok(Reply::Account(AccountId { user: user.id, index }))
}

pub(super) fn create_source(
    user: &User,
    name: &str,
    secret: &[u8; 32],
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::Invalid("name: 1 to 100 bytes, no control characters"));
    }
    if user.sources.len() >= SOURCES_MAX {
        return Err(Refusal::LimitReached("sources"));
    }
    let index = u8::try_from(user.sources.len()).expect("SOURCES_MAX fits a byte");
    out.push(Event::SourceCreated { index, name: name.to_owned(), secret: *secret });
    Ok(Reply::Source(SourceId { owner: user.id, index }))
}

pub(super) fn subscribe<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    source: SourceId,
    account: u8,
    settings: &Settings,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    settings.validate(cx.rules).map_err(Refusal::Invalid)?;
    if usize::from(account) >= user.accounts.len() {
        return Err(Refusal::UnknownAccount);
    }
    if settings.symbols.iter().any(|symbol| cx.instrument(user, account, *symbol).is_none()) {
        return Err(Refusal::UnknownSymbol);
    }
    if user.subscription(source).is_none() && user.subscriptions.len() >= SUBSCRIPTIONS_MAX {
        return Err(Refusal::LimitReached("subscriptions"));
    }
    out.push(Event::Subscribed { source, account, settings: Box::new(settings.clone()) });
    Ok(Reply::Done)
}

pub(super) fn unsubscribe(user: &User, source: SourceId, out: &mut Vec<Event>) -> Result<Reply, Refusal> {
    let subscription = user.subscription(source).ok_or(Refusal::UnknownSource)?;
    if subscription.active {
        out.push(Event::Unsubscribed { source });
    }
    Ok(Reply::Done)
}

pub(super) fn set_halt(user: &User, latch: Latch, on: bool, out: &mut Vec<Event>) -> Result<Reply, Refusal> {
    if let Latch::Source(index) = latch
        && usize::from(index) >= user.sources.len()
    {
        return Err(Refusal::UnknownSource);
    }
    out.push(Event::HaltSet { latch, on });
    Ok(Reply::Done)
}

pub(super) fn recharge(
    user: &User,
    number: u64,
    currency: Currency,
    amount: Money,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    if number <= user.recharges {
        return Err(Refusal::PaymentRepeated);
    }
    if !amount.is_positive() || amount > Money::from_whole(1_000_000_000) {
        return Err(Refusal::Invalid("amount: above 0, at most 1000000000"));
    }
    out.push(Event::Recharged { number, currency, amount, debt_paid: user.debt(currency).min(amount) });
    Ok(Reply::Done)
}
