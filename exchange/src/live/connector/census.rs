//! How many accounts, unknown orders and foreign positions a connector has now, for status and metrics.
//!
//! **Runs on**: the shard, about once a second. **Bounds**: one look counts [`ACCOUNTS_PER_LOOK`] accounts, so that a full shard
//! loses no turn to it; the figures are those of the last whole round.

use engine::core::ids::ClientOrderId;

use super::account::Account;
use super::order::Phase;
use super::{Connector, Shape};

/// Accounts counted in one look: some tens of nanoseconds each, so a look stays far below a millisecond.
pub const ACCOUNTS_PER_LOOK: usize = 4_096;

/// What a connector has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Accounts, with and without a key.
    pub accounts: u64,
    /// Of these, accounts without a key: nothing is sent for them.
    pub without_key: u64,
    /// Accounts that open nothing until their user has acted.
    pub suspended: u64,
    /// Accounts whose private stream tells.
    pub streaming: u64,
    /// Orders of unknown outcome, those that a restart left behind included.
    pub unknown: u64,
    /// Positions, or parts of them, that are not ours.
    pub foreign: u64,
    /// Sockets that are open or being opened.
    pub sockets: u64,
}

impl Census {
    fn count(&mut self, account: &Account) {
        let is_unknown = |phase: Phase| matches!(phase, Phase::Unknown | Phase::Recovered);
        self.accounts += 1;
        self.without_key += u64::from(account.credential.is_none());
        self.suspended += u64::from(account.suspended.is_some());
        self.streaming += u64::from(account.private_is_ready);
        self.unknown += account.orders.values().filter(|order| is_unknown(order.phase)).count() as u64;
        self.foreign += account.foreign.len() as u64;
    }
}

/// A round that is being counted, and the last whole one.
#[derive(Debug, Default)]
pub(super) struct Counting {
    next: usize,
    part: Census,
    whole: Census,
}

impl<P: Shape> Connector<P> {
    /// Where an order stands, for people who look for a fault.
    #[must_use]
    pub fn order_text(&self, id: ClientOrderId) -> String {
        let account = self.slots.get(&id.account).map(|slot| &self.accounts[slot.0 as usize]);
        match account.and_then(|account| account.orders.get(&id).map(|order| (account, order))) {
            Some((account, o)) => format!(
                "{:?} cancel {:?} asking {} end {:?} booked {} retries {} setup {:?}",
                o.phase,
                o.cancel,
                o.asking,
                o.end,
                o.booked,
                o.retries,
                account.setups.get(&o.new.symbol)
            ),
            None => "not known".to_owned(),
        }
    }

    /// Goes on counting and tells the last whole round. With more accounts than [`ACCOUNTS_PER_LOOK`] it takes several looks.
    pub fn census(&mut self) -> Census {
        let Counting { next, part, whole } = &mut self.counting;
        let rest = self.accounts.get(*next..).unwrap_or(&[]);
        let taken = rest.len().min(ACCOUNTS_PER_LOOK);
        rest[..taken].iter().for_each(|account| part.count(account));
        *next += taken;
        if *next >= self.accounts.len() {
            *next = 0;
            *whole = std::mem::take(part);
        }
        Census { sockets: self.sockets.len() as u64, ..*whole }
    }
}
