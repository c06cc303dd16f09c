//! A user as version 1 of the layout wrote one, read into today's.
//!
//! Version 2 changed one thing in a user: exchange accounts have a place and a key. Version 1 knew paper accounts only. Its
//! records need no reader of their own: version 2 added kinds of events behind the others, none larger than the largest.
//!
//! **Invariants**: nothing here is ever changed; the golden users of version 1 are read by it.

#![allow(missing_docs, reason = "rkyv generates a type without docs; the source documents every field")]

use std::collections::VecDeque;

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::Money;
use super::ids::{Timestamp, UserId};
use super::instrument::Symbol;
use super::key::KeyState;
use super::ledger::{Currency, Ledger};
use super::position::{Order, Position};
use super::signal::Signal;
use super::user::{ExchangeAccount, Outcome, Session, Source, Subscription, User, VenueKind};
use super::venue_account::VenuePlace;

/// An exchange account: always paper.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct AccountV1 {
    venue: VenueKind,
    enabled: bool,
    key_healthy: bool,
    day_ends_at: Timestamp,
    day_equity: Money,
    loss_latch_until: Timestamp,
    venue_fills: u32,
}

/// A user. The fields are those of [`User`], in their order.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct UserV1 {
    id: UserId,
    email: String,
    password: String,
    zone: String,
    active: bool,
    halted: bool,
    created_at: Timestamp,
    trial_ends_at: Timestamp,
    plan_ends_at: Timestamp,
    login_failures: u8,
    locked_until: Timestamp,
    sessions: Vec<Session>,
    accounts: Vec<AccountV1>,
    sources: Vec<Source>,
    subscriptions: Vec<Subscription>,
    positions: Vec<Position>,
    closed_positions: VecDeque<Position>,
    orders: Vec<Order>,
    final_orders: VecDeque<Order>,
    outcomes: VecDeque<Outcome>,
    cooldowns: Vec<(u8, Symbol, Timestamp)>,
    reversals: Vec<Signal>,
    carried_losses: Vec<(Currency, Money)>,
    recharges: u64,
    ledger: Ledger,
}

impl From<AccountV1> for ExchangeAccount {
    fn from(old: AccountV1) -> Self {
        let new = Self::new(VenuePlace { venue: old.venue, ..VenuePlace::PAPER });
        // No event of version 1 made a key unhealthy, or opened anything but paper.
        let key_state = if old.key_healthy { new.key_state } else { KeyState::Missing };
        Self {
            enabled: old.enabled,
            key_state,
            day_ends_at: old.day_ends_at,
            day_equity: old.day_equity,
            loss_latch_until: old.loss_latch_until,
            venue_fills: old.venue_fills,
            ..new
        }
    }
}

impl From<UserV1> for User {
    fn from(old: UserV1) -> Self {
        Self {
            id: old.id,
            email: old.email,
            password: old.password,
            zone: old.zone,
            active: old.active,
            halted: old.halted,
            created_at: old.created_at,
            trial_ends_at: old.trial_ends_at,
            plan_ends_at: old.plan_ends_at,
            login_failures: old.login_failures,
            locked_until: old.locked_until,
            sessions: old.sessions,
            accounts: old.accounts.into_iter().map(ExchangeAccount::from).collect(),
            sources: old.sources,
            subscriptions: old.subscriptions,
            positions: old.positions,
            closed_positions: old.closed_positions,
            orders: old.orders,
            final_orders: old.final_orders,
            outcomes: old.outcomes,
            cooldowns: old.cooldowns,
            reversals: old.reversals,
            carried_losses: old.carried_losses,
            recharges: old.recharges,
            ledger: old.ledger,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_an_account_is_taken_over() {
        let old = |venue, key_healthy| AccountV1 {
            venue,
            enabled: false,
            key_healthy,
            day_ends_at: Timestamp(1),
            day_equity: Money::from_units(2),
            loss_latch_until: Timestamp(3),
            venue_fills: 4,
        };
        for (venue, key_healthy, key_state) in [
            (VenueKind::Paper, true, KeyState::NotNeeded),
            (VenueKind::Paper, false, KeyState::Missing),
            (VenueKind::Bybit, false, KeyState::Missing),
        ] {
            let new = ExchangeAccount::from(old(venue, key_healthy));
            assert_eq!((new.venue, new.enabled, new.key_state), (venue, false, key_state));
            assert_eq!((new.day_ends_at, new.day_equity), (Timestamp(1), Money::from_units(2)));
            assert_eq!((new.loss_latch_until, new.venue_fills), (Timestamp(3), 4));
        }
    }
}
