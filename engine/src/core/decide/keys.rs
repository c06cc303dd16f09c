//! Accounts on exchanges and their keys: opened, set, removed, and what the exchange says of them.

use super::Context;
use crate::core::command::{Refusal, Reply};
use crate::core::event::Event;
use crate::core::fixed::Money;
use crate::core::ids::{AccountId, Timestamp};
use crate::core::key::{KeyFault, KeyFinding, KeyState, NewKey, SEALED_BYTES_MAX, Sealed, StoredKey};
use crate::core::user::{ACCOUNTS_MAX, ExchangeAccount, User, VenueKind};
use crate::core::venue_account::VenuePlace;

fn check_key(key: &NewKey) -> Result<(), Refusal> {
    if has_a_length(&key.sealed) { Ok(()) } else { Err(Refusal::Invalid("secret: too long")) }
}

const fn has_a_length(sealed: &Sealed) -> bool {
    !sealed.0.is_empty() && sealed.0.len() <= SEALED_BYTES_MAX
}

/// The configuration has to name the exchange: nothing else is ever contacted.
fn check_venue<M, C>(cx: &Context<'_, M, C>, place: VenuePlace) -> Result<(), Refusal> {
    if cx.rules.live.has(place.venue, place.environment) { Ok(()) } else { Err(Refusal::VenueUnavailable) }
}

fn set_event(account: u8, number: u32, key: &NewKey) -> Event {
    Event::CredentialSet { account, number, kind: key.kind, hint: key.hint, sealed: key.sealed.clone() }
}

pub(super) fn connect<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    index: u8,
    place: VenuePlace,
    key: &NewKey,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    check_venue(cx, place)?;
    if user.accounts.len() >= ACCOUNTS_MAX {
        return Err(Refusal::LimitReached("accounts"));
    }
    // The key is sealed for one place in the list and opens at no other.
    if usize::from(index) != user.accounts.len() {
        return Err(Refusal::AccountsChanged);
    }
    check_key(key)?;
    let prepaid = if place.has_real_money() { Money::ZERO } else { cx.rules.paper_prepaid };
    out.push(Event::VenueAccountOpened { index, place, prepaid });
    out.push(set_event(index, 1, key));
    Ok(Reply::Account(AccountId { user: user.id, index }))
}

/// The account, if it is on an exchange.
fn on_exchange(user: &User, account: u8) -> Result<&ExchangeAccount, Refusal> {
    let found = user.accounts.get(usize::from(account)).ok_or(Refusal::UnknownAccount)?;
    if found.venue == VenueKind::Paper {
        return Err(Refusal::Invalid("account: paper accounts have no key"));
    }
    Ok(found)
}

pub(super) fn set<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    key: &NewKey,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    let found = on_exchange(user, account)?;
    check_venue(cx, found.place())?;
    check_key(key)?;
    out.push(set_event(account, found.keys.saturating_add(1), key));
    Ok(Reply::Done)
}

/// Whether something is at work that only the account's key can see or end.
fn is_in_use(user: &User, account: u8) -> bool {
    user.positions.iter().any(|p| p.account == account)
        || user.orders.iter().any(|order| order.new.id.account.index == account)
}

pub(super) fn remove(user: &User, account: u8, out: &mut Vec<Event>) -> Result<Reply, Refusal> {
    let found = on_exchange(user, account)?;
    if found.key.is_none() {
        return Ok(Reply::Done);
    }
    if is_in_use(user, account) {
        return Err(Refusal::KeyInUse);
    }
    out.push(Event::CredentialRemoved { account });
    Ok(Reply::Done)
}

/// The same key under another master key: nothing else of it changes, and the exchange is not asked about it again.
pub(super) fn reseal(user: &User, account: u8, number: u32, sealed: &Sealed, out: &mut Vec<Event>) -> Reply {
    let key = user.accounts.get(usize::from(account)).and_then(|found| found.key.as_deref());
    // One that was replaced meanwhile was sealed under today's master key.
    let is_it = |key: &StoredKey| {
        key.number == number || planted::planted!("key_entered_meanwhile_replaced_by_the_old_one")
    };
    if !has_a_length(sealed) || !key.is_some_and(|key| is_it(key) && key.sealed != *sealed) {
        return Reply::Ignored;
    }
    out.push(Event::CredentialResealed { account, number, sealed: sealed.clone() });
    Reply::Done
}

/// What the exchange says of a key. Says it nothing new, nothing is put on record: the check is nightly, for everyone.
pub(super) fn report<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    number: u32,
    finding: &KeyFinding,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(found) = user.accounts.get(usize::from(account)) else { return Reply::Ignored };
    // About a key that was replaced meanwhile: the new one is not judged by it.
    let Some(key) = found.key.as_ref().filter(|key| key.number == number) else { return Reply::Ignored };
    let other_account =
        found.identity.is_some() && finding.identity.is_some() && found.identity != finding.identity;
    let same_place =
        |other: &ExchangeAccount| (other.venue, other.environment) == (found.venue, found.environment);
    let connected = finding.identity.is_some()
        && user.accounts.iter().enumerate().any(|(place, other)| {
            place != usize::from(account)
                && same_place(other)
                && other.key.is_some()
                && other.identity == finding.identity
        });
    let ended = finding.expires_at.0 != 0 && finding.expires_at <= cx.now;
    let fault = match finding.verdict {
        Err(fault) => Some(fault),
        // Its positions would look flat and be left alone: worse than any other fault.
        Ok(()) if other_account => Some(KeyFault::OtherAccount),
        Ok(()) if connected => Some(KeyFault::AlreadyConnected),
        Ok(()) if ended => Some(KeyFault::Expired),
        Ok(()) => None,
    };
    let state = fault.map_or(KeyState::Healthy, KeyState::Unhealthy);
    let identity = if fault.is_none() { finding.identity.or(found.identity) } else { found.identity };
    // A failed check tells no end: what was known of it stays.
    let expires_at = if fault.is_some() && finding.expires_at == Timestamp(0) {
        key.expires_at
    } else {
        finding.expires_at
    };
    // A key that may withdraw is not kept, unless it is what watches over a position.
    let give_up = fault == Some(KeyFault::WithdrawalRight) && !is_in_use(user, account);
    if !give_up && (state, identity, expires_at) == (found.key_state, found.identity, key.expires_at) {
        return Reply::Ignored;
    }
    if give_up {
        out.push(Event::CredentialRemoved { account });
    }
    out.push(Event::KeyHealth { account, fault, expires_at, identity });
    Reply::Done
}
