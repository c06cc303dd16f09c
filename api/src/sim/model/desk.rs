//! What people do: sign up, log in, open accounts, publish, subscribe, halt, recharge.

use std::collections::{BTreeMap, BTreeSet};

use engine::core::command::{Refusal, Reply};
use engine::core::event::Latch;
use engine::core::fixed::{Money, Rate};
use engine::core::ids::{SourceId, UserId};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::rules::{Rules, Settings, Sizing};
use engine::core::user::VenueKind;
use engine::core::venue_account::VenuePlace;

use super::money::day_end;
use super::numbers::{ONE, Units};
use super::user::{
    ACCOUNTS, Account, Books, ModelUser, SESSIONS, SOURCES, SUBSCRIPTIONS, Source, Subscription,
};
use super::{Expected, Model, Turn, refused};

/// The most that one wallet or payment may bring.
const AMOUNT_MAX: Units = 1_000_000_000 * ONE;

/// An address: one `@`, a name before it, a host with an inner dot after it, nothing blank, 254 bytes.
fn is_address(email: &str) -> bool {
    let parts: Vec<&str> = email.split('@').collect();
    let [name, host] = parts[..] else { return false };
    let blank = |c: char| c.is_whitespace() || c.is_control();
    email.len() <= 254
        && !name.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !email.contains(blank)
}

impl Model {
    pub(super) fn sign_up(&mut self, now: u64, email: &str, password: &str, zone: &str) -> Expected {
        let email = email.trim();
        if !is_address(email) {
            return refused(Refusal::EmailInvalid);
        }
        let zone = if zone.is_empty() { "UTC" } else { zone };
        if day_end(zone, now).is_none() {
            return refused(Refusal::ZoneInvalid);
        }
        let id = UserId::from_email(email);
        if self.users.contains_key(&id) {
            return refused(Refusal::EmailTaken);
        }
        let user = ModelUser {
            id,
            email: email.to_owned(),
            password: password.to_owned(),
            zone: zone.to_owned(),
            halted: false,
            created_at: now,
            trial_ends_at: now.saturating_add(self.rules.trial_span),
            failures: 0,
            locked_until: 0,
            sessions: Vec::new(),
            accounts: Vec::new(),
            sources: Vec::new(),
            subscriptions: Vec::new(),
            positions: Vec::new(),
            closed: Vec::new(),
            orders: Vec::new(),
            final_orders: Vec::new(),
            receipts: Vec::new(),
            cooldowns: Vec::new(),
            waiting: Vec::new(),
            carried: BTreeMap::new(),
            recharges: 0,
            books: Books::default(),
            executions: Vec::new(),
            ever_ordered: BTreeSet::new(),
            ordered_twice: None,
        };
        self.users.insert(id, user);
        Expected {
            outcome: Ok(Reply::User(id)),
            user: Some(id),
            changed: true,
            ..refused(Refusal::EmailTaken)
        }
    }
}

/// The ranges of DOMAIN §2 that settings must keep, in the order in which they are told.
fn settings_refused(settings: &Settings, rules: &Rules) -> Option<&'static str> {
    let percent = |rate: Rate| Units::from(rate.units()) * 100;
    let between =
        |rate: Rate, low: Units, high: Units| (low * ONE..=high * ONE).contains(&Units::from(rate.units()));
    let positive = |amount: Money| amount.units() > 0;
    match settings.sizing {
        Sizing::PercentOfBalance(share) if !(10 * ONE..=50 * ONE).contains(&percent(share)) => {
            return Some("sizing: percent of balance is from 10 to 50");
        }
        Sizing::FixedMargin(amount) | Sizing::FixedNotional(amount) | Sizing::RiskToStop(amount)
            if !positive(amount) =>
        {
            return Some("sizing: the amount is above zero");
        }
        _ => {}
    }
    let maxima = [settings.trade_max, settings.exposure_max];
    let checks = [
        ((1..=rules.leverage_max).contains(&settings.leverage), "leverage: from 1 to 10"),
        (between(settings.stop_multiplier, 2, 4), "stop_multiplier: from 2 to 4"),
        (between(settings.take_profit_multiplier, 3, 6), "take_profit_multiplier: from 3 to 6"),
        (maxima.into_iter().flatten().all(positive), "trade_max, exposure_max: above zero"),
        (settings.symbols.len() <= 64, "symbols: at most 64"),
    ];
    checks.into_iter().find(|(kept, _)| !kept).map(|(_, message)| message)
}

impl Turn<'_> {
    pub(super) fn open_session(&mut self, token: &[u8; 32]) -> Result<Reply, Refusal> {
        if self.now < self.user.locked_until {
            return Err(Refusal::Locked);
        }
        let ends = self.now.saturating_add(self.rules.session_span);
        self.user.sessions.retain(|(_, end)| *end > self.now);
        while self.user.sessions.len() >= SESSIONS {
            self.user.sessions.remove(0);
        }
        self.user.sessions.push((*token, ends));
        self.user.failures = 0;
        self.user.locked_until = 0;
        self.changed = true;
        Ok(Reply::Session(engine::core::ids::Timestamp(ends)))
    }

    pub(super) fn fail_login(&mut self) -> Result<Reply, Refusal> {
        if self.now < self.user.locked_until {
            return Err(Refusal::Locked);
        }
        self.user.failures += 1;
        self.user.locked_until = 0;
        if self.user.failures >= self.rules.login_failures_max {
            self.user.failures = 0;
            self.user.locked_until = self.now.saturating_add(self.rules.login_lock_span);
        }
        self.changed = true;
        Ok(Reply::Done)
    }

    /// A log-out is put on record whether the session is known or not.
    pub(super) fn close_session(&mut self, token: &[u8; 32]) -> Reply {
        self.user.sessions.retain(|(known, _)| known != token);
        self.changed = true;
        Reply::Done
    }

    pub(super) fn open_account(&mut self, venue: VenueKind, wallet: Option<Money>) -> Result<Reply, Refusal> {
        if venue != VenueKind::Paper {
            return Err(Refusal::VenueUnavailable);
        }
        if self.user.accounts.len() >= ACCOUNTS {
            return Err(Refusal::LimitReached("accounts"));
        }
        let wallet = wallet.unwrap_or(self.rules.paper_wallet);
        let amount = Units::from(wallet.units());
        if !(1..=AMOUNT_MAX).contains(&amount) {
            return Err(Refusal::Invalid("wallet: above 0, at most 1000000000"));
        }
        let index = u8::try_from(self.user.accounts.len()).expect("few accounts");
        let prepaid = Units::from(self.rules.paper_prepaid.units());
        self.user.accounts.push(Account::new(VenuePlace::PAPER, amount + prepaid));
        for (account, key, amount) in [
            (LedgerAccount::Wallet(index), EntryKey::AccountOpened(index), amount),
            (LedgerAccount::Real, EntryKey::Prepaid(index), prepaid),
        ] {
            let lines = [(account, amount), (LedgerAccount::Outside, -amount)];
            self.user.books.book(self.now, key, Currency::PaperUsdt, &lines);
        }
        let account = self.user.account_id(index);
        self.accounts_opened.push((account, wallet));
        self.changed = true;
        Ok(Reply::Account(account))
    }

    pub(super) fn create_source(&mut self, name: &str, secret: &[u8; 32]) -> Result<Reply, Refusal> {
        let name = name.trim();
        if !(1..=100).contains(&name.len()) || name.contains(char::is_control) {
            return Err(Refusal::Invalid("name: 1 to 100 bytes, no control characters"));
        }
        if self.user.sources.len() >= SOURCES {
            return Err(Refusal::LimitReached("sources"));
        }
        let index = u8::try_from(self.user.sources.len()).expect("few sources");
        self.user.sources.push(Source {
            name: name.to_owned(),
            secret: *secret,
            halted: false,
            accepted: 0,
            signals: Vec::new(),
            keys: Vec::new(),
            window_start: 0,
            window_opens: 0,
        });
        self.changed = true;
        Ok(Reply::Source(SourceId { owner: self.user.id, index }))
    }

    pub(super) fn subscribe(
        &mut self,
        source: SourceId,
        account: u8,
        settings: &Settings,
    ) -> Result<Reply, Refusal> {
        if let Some(message) = settings_refused(settings, self.rules) {
            return Err(Refusal::Invalid(message));
        }
        if self.user.accounts.get(usize::from(account)).is_none() {
            return Err(Refusal::UnknownAccount);
        }
        if !settings.symbols.iter().all(|symbol| self.instrument_on(account, *symbol).is_some()) {
            return Err(Refusal::UnknownSymbol);
        }
        let place = self.user.subscriptions.iter().position(|s| s.source == source);
        if place.is_none() && self.user.subscriptions.len() >= SUBSCRIPTIONS {
            return Err(Refusal::LimitReached("subscriptions"));
        }
        // Another account or other settings do not make a signal one that was not decided yet.
        let (last_open, last_close) = place.map_or((0, 0), |at| {
            (self.user.subscriptions[at].last_open, self.user.subscriptions[at].last_close)
        });
        let settings = settings.clone();
        let subscription = Subscription { source, account, active: true, settings, last_open, last_close };
        match place {
            Some(at) => self.user.subscriptions[at] = subscription,
            None => self.user.subscriptions.push(subscription),
        }
        self.changed = true;
        Ok(Reply::Done)
    }

    pub(super) fn unsubscribe(&mut self, source: SourceId) -> Result<Reply, Refusal> {
        let known = self.user.subscriptions.iter_mut().find(|s| s.source == source);
        let subscription = known.ok_or(Refusal::UnknownSource)?;
        self.changed = subscription.active;
        subscription.active = false;
        Ok(Reply::Done)
    }

    pub(super) fn set_halt(&mut self, latch: Latch, on: bool) -> Result<Reply, Refusal> {
        match latch {
            Latch::User => self.user.halted = on,
            Latch::Source(index) => {
                let source = self.user.sources.get_mut(usize::from(index)).ok_or(Refusal::UnknownSource)?;
                source.halted = on;
            }
        }
        self.changed = true;
        Ok(Reply::Done)
    }

    /// Money from outside goes to `real`, and pays debt from there.
    pub(super) fn recharge(
        &mut self,
        number: u64,
        currency: Currency,
        amount: Money,
    ) -> Result<Reply, Refusal> {
        if number <= self.user.recharges {
            return Err(Refusal::PaymentRepeated);
        }
        let amount = Units::from(amount.units());
        if !(1..=AMOUNT_MAX).contains(&amount) {
            return Err(Refusal::Invalid("amount: above 0, at most 1000000000"));
        }
        let pays = self.owed(currency).min(amount);
        self.user.recharges = number;
        let came = [(LedgerAccount::Real, amount), (LedgerAccount::Outside, -amount)];
        self.user.books.book(self.now, EntryKey::Recharge(number), currency, &came);
        let offset = [(LedgerAccount::Real, -pays), (LedgerAccount::Debt, pays)];
        self.user.books.book(self.now, EntryKey::DebtOffset(number), currency, &offset);
        self.changed = true;
        Ok(Reply::Done)
    }
}
