//! A second implementation of the business: what every command must lead to, worked out naively from DOMAIN.md,
//! `docs/rules.md` and `docs/paper-venue.md`, for the simulator to compare each decision of the product with.
//!
//! It shares with the product the types at the boundary (ids, commands, replies, orders, reports, rules as data) and no
//! code that decides or computes: numbers are plain 128-bit counts, lists are plain lists, and a command changes the
//! model's user at once instead of making events. `desk` has people's commands, `keys` accounts on exchanges, `signals` what a source does,
//! `opening` and `sizing` the way to an entry, `closing` the way out, `reports` what a venue tells, `late` entries that fill after
//! their end, `money` the books,
//! `compare` the comparison with the product, `pages`, `receipts` and `histories` what is to be shown of it, `invariants` what
//! must hold by itself.
//!
//! **Runs on**: the thread of the simulator. **Owns**: its users. **Invariants**: a refusal changes nothing.
//! **Never**: reads a clock, a price or a state of the product other than what it is shown.

mod closing;
mod compare;
mod desk;
mod histories;
mod invariants;
mod keys;
mod late;
mod live;
mod money;
mod numbers;
mod opening;
mod pages;
mod receipts;
mod reports;
mod signals;
mod sizing;
mod user;

use std::collections::BTreeMap;

use engine::core::command::{Command, Refusal, Reply};
use engine::core::fixed::{Money, Price};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp, UserId};
use engine::core::instrument::{Instrument, MarketView, Symbol};
use engine::core::order::NewOrder;
use engine::core::rules::Rules;
use engine::core::user::ExchangeAccount;
use engine::core::venue_account::VenuePlace;

pub use histories::History;
pub use live::{LiveAccount, LivePosition};
pub use pages::Page;
pub use receipts::FilledSide;
pub use user::ModelUser;

/// Where the model looks up what a decision could see of the market.
pub trait Market {
    /// The instrument of exactly this symbol, wherever it is listed.
    fn instrument(&self, symbol: Symbol) -> Option<Instrument>;
    /// Whether all venues have told what they list.
    fn is_complete(&self) -> bool;
    /// The instrument of exactly this symbol at a place.
    fn instrument_at(&self, place: VenuePlace, symbol: Symbol) -> Option<Instrument>;
    /// Its mark price there, `None` when there is none that may be used.
    fn mark_at(&self, place: VenuePlace, symbol: Symbol) -> Option<Price>;
}

impl<M: MarketView> Market for M {
    fn instrument(&self, symbol: Symbol) -> Option<Instrument> {
        MarketView::instrument(self, symbol).copied()
    }
    fn is_complete(&self) -> bool {
        MarketView::is_complete(self)
    }
    fn instrument_at(&self, place: VenuePlace, symbol: Symbol) -> Option<Instrument> {
        self.instrument_for(&ExchangeAccount::new(place), symbol).copied()
    }
    fn mark_at(&self, place: VenuePlace, symbol: Symbol) -> Option<Price> {
        self.quote_for(&ExchangeAccount::new(place), symbol).map(|quote| quote.mark)
    }
}

/// A command as the product saw it.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The time it was decided at.
    pub now: Timestamp,
    /// The command.
    pub command: &'a Command,
    /// Whom an `Offer` reaches; not looked at otherwise.
    pub user_of_offer: Option<UserId>,
    /// The market at that moment.
    pub market: &'a dyn Market,
}

/// What the product must have decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What is answered.
    pub outcome: Result<Reply, Refusal>,
    /// Whom the command changed; `None` when it was refused.
    pub user: Option<UserId>,
    /// New orders, in the order in which they are decided (a stop before its target).
    pub submits: Vec<NewOrder>,
    /// Orders to take back, in the order in which that is decided.
    pub cancels: Vec<ClientOrderId>,
    /// New paper accounts with their wallets.
    pub accounts_opened: Vec<(AccountId, Money)>,
    /// Whether anything is put on record.
    pub changed: bool,
}

/// All users of all shards.
#[derive(Clone, Debug)]
pub struct Model {
    rules: Rules,
    users: BTreeMap<UserId, ModelUser>,
}

/// One command at work on one user.
struct Turn<'a> {
    rules: &'a Rules,
    market: &'a dyn Market,
    now: u64,
    user: ModelUser,
    submits: Vec<NewOrder>,
    cancels: Vec<ClientOrderId>,
    accounts_opened: Vec<(AccountId, Money)>,
    changed: bool,
}

impl Model {
    /// Without users.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, users: BTreeMap::new() }
    }

    /// The rules change, as with a restart under another file.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Predicts what the command leads to, and moves on.
    pub fn step(&mut self, seen: &Seen<'_>) -> Expected {
        if let Command::SignUp { email, password, zone } = seen.command {
            return self.sign_up(seen.now.0, email, password, zone);
        }
        let id = match seen.command {
            Command::Offer { .. } => seen.user_of_offer,
            other => other.user(),
        };
        let Some(user) = id.and_then(|id| self.users.remove(&id)) else {
            let about_a_source =
                matches!(seen.command, Command::Signal { .. } | Command::FinishSignal { .. });
            return refused(if about_a_source { Refusal::UnknownSource } else { Refusal::UnknownUser });
        };
        let id = user.id;
        let mut turn = Turn {
            rules: &self.rules,
            market: seen.market,
            now: seen.now.0,
            user,
            submits: Vec::new(),
            cancels: Vec::new(),
            accounts_opened: Vec::new(),
            changed: false,
        };
        let outcome = turn.take(seen.command);
        let Turn { user, submits, cancels, accounts_opened, changed, .. } = turn;
        assert!(!changed || outcome.is_ok(), "the model refuses without a change: {:?}", seen.command);
        self.users.insert(id, user);
        let user = outcome.is_ok().then_some(id);
        Expected { outcome, user, submits, cancels, accounts_opened, changed }
    }

    /// A user.
    #[must_use]
    pub fn user(&self, id: UserId) -> Option<&ModelUser> {
        self.users.get(&id)
    }

    /// All users, by id.
    pub fn users(&self) -> impl Iterator<Item = &ModelUser> {
        self.users.values()
    }

    /// Puts a user back to an earlier clone, or takes them away: what a crash does to what was not durable.
    pub fn put_user(&mut self, id: UserId, user: Option<ModelUser>) {
        match user {
            Some(user) => self.users.insert(id, user),
            None => self.users.remove(&id),
        };
    }
}

fn refused(refusal: Refusal) -> Expected {
    Expected {
        outcome: Err(refusal),
        user: None,
        submits: Vec::new(),
        cancels: Vec::new(),
        accounts_opened: Vec::new(),
        changed: false,
    }
}

impl Turn<'_> {
    fn take(&mut self, command: &Command) -> Result<Reply, Refusal> {
        match command {
            Command::SignUp { .. } => Err(Refusal::EmailTaken),
            Command::OpenSession { token, .. } => self.open_session(token),
            Command::FailLogin { .. } => self.fail_login(),
            Command::CloseSession { token, .. } => Ok(self.close_session(token)),
            Command::OpenAccount { venue, wallet, .. } => self.open_account(*venue, *wallet),
            Command::ConnectAccount { index, place, key, .. } => self.connect_account(*index, *place, key),
            Command::SetKey { account, key, .. } => self.set_key(*account, key),
            Command::RemoveKey { account, .. } => self.remove_key(*account),
            Command::ReportKey { account, number, finding } => {
                Ok(self.report_key(account.index, *number, finding))
            }
            Command::ResealKey { account, number, sealed } => {
                Ok(self.reseal_key(account.index, *number, sealed))
            }
            Command::CreateSource { name, secret, .. } => self.create_source(name, secret),
            Command::Subscribe { source, account, settings, .. } => {
                self.subscribe(*source, *account, settings)
            }
            Command::Unsubscribe { source, .. } => self.unsubscribe(*source),
            Command::SetHalt { latch, on, .. } => self.set_halt(*latch, *on),
            Command::Recharge { number, currency, amount, .. } => self.recharge(*number, *currency, *amount),
            Command::Signal { source, draft } => self.accept_signal(*source, draft),
            Command::FinishSignal { signal, counts } => self.finish_signal(*signal, *counts),
            Command::Offer { signal, superseded, source_halted, .. } => {
                Ok(self.offer(signal, *superseded, *source_halted))
            }
            Command::Reconsider { signal, .. } => Ok(self.reconsider(*signal)),
            Command::ClosePosition { account, symbol, .. } => self.close_by_hand(*account, *symbol),
            Command::CheckProtection { account, position } => {
                Ok(self.check_protection(account.index, *position))
            }
            Command::DriveClose { account, position } => Ok(self.drive_close(account.index, *position)),
            Command::OrderUnanswered { id } => Ok(self.order_unanswered(*id)),
            Command::Report { report, sent_at } => Ok(self.report(report, sent_at.0)),
        }
    }
}
