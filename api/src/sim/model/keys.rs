//! Accounts on exchanges and their keys: connected, replaced, removed, and what the exchange says of them.

use engine::core::command::{Refusal, Reply};
use engine::core::key::{KeyFault, KeyFinding, KeyState, NewKey, SEALED_BYTES_MAX, Sealed};
use engine::core::ledger::{EntryKey, LedgerAccount};
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, VenuePlace};

use super::Turn;
use super::numbers::Units;
use super::user::{ACCOUNTS, Account, AccountKey};

impl Account {
    /// A new one.
    pub(super) fn new(place: VenuePlace, brought: Units) -> Self {
        let paper = place.venue == VenueKind::Paper;
        Self {
            place,
            key: None,
            keys: 0,
            key_state: if paper { KeyState::NotNeeded } else { KeyState::Missing },
            identity: None,
            brought,
            day_ends_at: 0,
            day_equity: 0,
            latched_until: 0,
            liquidations: 0,
        }
    }

    /// Whether its key lets it open: paper has none, and one that has ended is none.
    pub(super) fn may_be_used(&self, now: u64) -> bool {
        let ended = self.key.as_ref().is_some_and(|key| key.expires_at != 0 && key.expires_at <= now);
        match self.key_state {
            KeyState::NotNeeded => true,
            KeyState::Healthy => !ended,
            _ => false,
        }
    }
}

fn no_key(key: &NewKey) -> bool {
    key.sealed.0.is_empty() || key.sealed.0.len() > SEALED_BYTES_MAX
}

impl Turn<'_> {
    fn may_contact(&self, place: VenuePlace) -> Result<(), Refusal> {
        if self.rules.live.has(place.venue, place.environment) {
            Ok(())
        } else {
            Err(Refusal::VenueUnavailable)
        }
    }

    fn on_exchange(&self, account: u8) -> Result<usize, Refusal> {
        let at = usize::from(account);
        match self.user.accounts.get(at) {
            None => Err(Refusal::UnknownAccount),
            Some(found) if found.place.venue == VenueKind::Paper => {
                Err(Refusal::Invalid("account: paper accounts have no key"))
            }
            Some(_) => Ok(at),
        }
    }

    fn give_key(&mut self, at: usize, key: &NewKey) {
        let account = &mut self.user.accounts[at];
        account.keys += 1;
        account.key_state = KeyState::Pending;
        account.key = Some(AccountKey {
            number: account.keys,
            kind: key.kind,
            hint: key.hint,
            sealed: key.sealed.clone(),
            set_at: self.now,
            expires_at: 0,
        });
        self.changed = true;
    }

    pub(super) fn connect_account(
        &mut self,
        index: u8,
        place: VenuePlace,
        key: &NewKey,
    ) -> Result<Reply, Refusal> {
        self.may_contact(place)?;
        if self.user.accounts.len() >= ACCOUNTS {
            return Err(Refusal::LimitReached("accounts"));
        }
        if usize::from(index) != self.user.accounts.len() {
            return Err(Refusal::AccountsChanged);
        }
        if no_key(key) {
            return Err(Refusal::Invalid("secret: too long"));
        }
        let worth = place.environment == Environment::Mainnet;
        let prepaid = if worth { 0 } else { Units::from(self.rules.paper_prepaid.units()) };
        self.user.accounts.push(Account::new(place, prepaid));
        let lines = [(LedgerAccount::Real, prepaid), (LedgerAccount::Outside, -prepaid)];
        let currency = self.user.currency(index);
        self.user.books.book(self.now, EntryKey::Prepaid(index), currency, &lines);
        self.give_key(usize::from(index), key);
        Ok(Reply::Account(self.user.account_id(index)))
    }

    pub(super) fn set_key(&mut self, account: u8, key: &NewKey) -> Result<Reply, Refusal> {
        let at = self.on_exchange(account)?;
        self.may_contact(self.user.accounts[at].place)?;
        if no_key(key) {
            return Err(Refusal::Invalid("secret: too long"));
        }
        self.give_key(at, key);
        Ok(Reply::Done)
    }

    /// Whether anything of the account is open or under way.
    fn is_at_work(&self, account: u8) -> bool {
        self.user.positions.iter().any(|p| p.account == account)
            || self.user.orders.iter().any(|o| o.new.id.account.index == account)
    }

    pub(super) fn remove_key(&mut self, account: u8) -> Result<Reply, Refusal> {
        let at = self.on_exchange(account)?;
        if self.user.accounts[at].key.is_some() {
            if self.is_at_work(account) {
                return Err(Refusal::KeyInUse);
            }
            self.user.accounts[at].key = None;
            self.user.accounts[at].key_state = KeyState::Missing;
            self.changed = true;
        }
        Ok(Reply::Done)
    }

    /// The same key under another master key.
    pub(super) fn reseal_key(&mut self, account: u8, number: u32, sealed: &Sealed) -> Reply {
        let size_is_right = (1..=SEALED_BYTES_MAX).contains(&sealed.0.len());
        let key = self.user.accounts.get_mut(usize::from(account)).and_then(|found| found.key.as_mut());
        match key {
            Some(key) if size_is_right && key.number == number && key.sealed != *sealed => {
                key.sealed = sealed.clone();
                self.changed = true;
                Reply::Done
            }
            _ => Reply::Ignored,
        }
    }

    /// What the exchange says of a key: of the one in use, and only what is new.
    pub(super) fn report_key(&mut self, account: u8, number: u32, finding: &KeyFinding) -> Reply {
        let at = usize::from(account);
        let Some(found) = self.user.accounts.get(at) else { return Reply::Ignored };
        let Some(key) = found.key.as_ref().filter(|key| key.number == number) else { return Reply::Ignored };
        let twin = |(place, other): (usize, &Account)| {
            place != at
                && other.key.is_some()
                && other.place.venue == found.place.venue
                && other.place.environment == found.place.environment
                && other.identity == finding.identity
        };
        let fault = match (finding.verdict, finding.identity) {
            (Err(fault), _) => Some(fault),
            (Ok(()), Some(told)) if found.identity.is_some_and(|known| known != told) => {
                Some(KeyFault::OtherAccount)
            }
            (Ok(()), Some(_)) if self.user.accounts.iter().enumerate().any(twin) => {
                Some(KeyFault::AlreadyConnected)
            }
            _ if finding.expires_at.0 != 0 && finding.expires_at.0 <= self.now => Some(KeyFault::Expired),
            _ => None,
        };
        let (state, identity) = match fault {
            Some(fault) => (KeyState::Unhealthy(fault), found.identity),
            None => (KeyState::Healthy, finding.identity.or(found.identity)),
        };
        let expires_at =
            if fault.is_some() && finding.expires_at.0 == 0 { key.expires_at } else { finding.expires_at.0 };
        let known = (found.key_state, found.identity, key.expires_at);
        let given_up = fault == Some(KeyFault::WithdrawalRight) && !self.is_at_work(account);
        if !given_up && known == (state, identity, expires_at) {
            return Reply::Ignored;
        }
        let account = &mut self.user.accounts[at];
        account.key_state = state;
        account.identity = identity;
        match &mut account.key {
            key if given_up => *key = None,
            Some(key) => key.expires_at = expires_at,
            None => {}
        }
        self.changed = true;
        Reply::Done
    }
}
