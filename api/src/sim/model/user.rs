//! What the model remembers of a user: the same facts as the product, in plain lists and numbers of its own.
//!
//! **Bounds**: histories keep the newest as DOMAIN and the product's documents say; the ids of all orders ever are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::key::{KeyHint, KeyKind, KeyState, Sealed};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::order::{NewOrder, OrderState, Side, VenueReason};
use engine::core::position::{CloseReason, PositionState};
use engine::core::rules::Settings;
use engine::core::signal::{FanOutCounts, Signal};
use engine::core::user::{OutcomeKind, VenueKind};
use engine::core::venue_account::{Environment, VenuePlace};

use super::numbers::Units;

/// Sessions at once.
pub(super) const SESSIONS: usize = 3;
/// Exchange accounts of a user.
pub(super) const ACCOUNTS: usize = 10;
/// Sources of a publisher.
pub(super) const SOURCES: usize = 8;
/// Subscriptions of a user.
pub(super) const SUBSCRIPTIONS: usize = 64;
/// Closed positions, final orders and receipt lines that are remembered, of each.
pub(super) const HISTORY: usize = 64;
/// Signals of a source that are remembered with their bodies.
pub(super) const SIGNALS: usize = 256;
/// Keys of signals that a source remembers.
pub(super) const KEYS: usize = 8_192;
/// Bytes of a body that are remembered.
pub(super) const BODY: usize = 1_024;
/// Entries of the books that the model compares after a decision: more than one decision makes.
pub(super) const ENTRIES: usize = 16;
/// Entries of the books that a statement shows.
pub(super) const STATEMENT: usize = 128;

/// Adds to a history that keeps the newest.
pub(super) fn keep<T>(history: &mut Vec<T>, max: usize, item: T) {
    history.push(item);
    if history.len() > max {
        history.remove(0);
    }
}

/// A user as the model sees them. Cloning is how a caller keeps a state to go back to.
#[derive(Clone, Debug)]
pub struct ModelUser {
    pub(super) id: UserId,
    pub(super) email: String,
    pub(super) password: String,
    pub(super) zone: String,
    pub(super) halted: bool,
    pub(super) created_at: u64,
    pub(super) trial_ends_at: u64,
    pub(super) failures: u8,
    pub(super) locked_until: u64,
    pub(super) sessions: Vec<([u8; 32], u64)>,
    pub(super) accounts: Vec<Account>,
    pub(super) sources: Vec<Source>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) positions: Vec<Position>,
    pub(super) closed: Vec<Position>,
    pub(super) orders: Vec<Order>,
    pub(super) final_orders: Vec<Order>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) cooldowns: Vec<(u8, Symbol, u64)>,
    pub(super) waiting: Vec<Signal>,
    pub(super) carried: BTreeMap<Currency, Units>,
    pub(super) recharges: u64,
    pub(super) books: Books,
    /// The newest executions, the oldest first.
    pub(super) executions: Vec<Rc<Execution>>,
    /// Every order ever, and the first id that was used twice.
    pub(super) ever_ordered: BTreeSet<ClientOrderId>,
    pub(super) ordered_twice: Option<ClientOrderId>,
}

/// An exchange account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) place: VenuePlace,
    pub(super) key: Option<AccountKey>,
    /// Keys it ever had.
    pub(super) keys: u32,
    pub(super) key_state: KeyState,
    pub(super) identity: Option<[u8; 16]>,
    /// What was put into it, and beside it, when it was opened.
    pub(super) brought: Units,
    pub(super) day_ends_at: u64,
    pub(super) day_equity: Units,
    pub(super) latched_until: u64,
    pub(super) liquidations: u32,
}

/// The key of an account on an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccountKey {
    pub(super) number: u32,
    pub(super) kind: KeyKind,
    pub(super) hint: KeyHint,
    pub(super) sealed: Sealed,
    pub(super) set_at: u64,
    pub(super) expires_at: u64,
}

/// A published source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) secret: [u8; 32],
    pub(super) halted: bool,
    pub(super) accepted: u32,
    pub(super) signals: Vec<Accepted>,
    /// In the order in which a key was first heard of.
    pub(super) keys: Vec<Key>,
    pub(super) window_start: u64,
    pub(super) window_opens: u32,
}

/// A signal at its source.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) signal: Signal,
    pub(super) body: String,
    pub(super) covered_by: Option<u32>,
    pub(super) finished: Option<(FanOutCounts, u64)>,
}

/// What a repeat is recognised by.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) key: [u8; 16],
    pub(super) number: u32,
    pub(super) at: u64,
    pub(super) until: u64,
}

/// A subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) source: SourceId,
    pub(super) account: u8,
    pub(super) active: bool,
    pub(super) settings: Settings,
    pub(super) last_open: u32,
    pub(super) last_close: u32,
}

/// How a position is being closed; `round` is that of the next order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) reason: CloseReason,
    pub(super) leg: Leg,
    pub(super) signal: SignalId,
    pub(super) round: u8,
}

/// A position.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) signal: SignalId,
    pub(super) account: u8,
    pub(super) symbol: Symbol,
    pub(super) side: Side,
    pub(super) state: PositionState,
    pub(super) leverage: u8,
    /// Open now, and its cost at entry.
    pub(super) open: Units,
    pub(super) cost: Units,
    /// Ever entered.
    pub(super) entered: Units,
    /// Margin kept for what the entry may still fill.
    pub(super) reserved: Units,
    pub(super) realised: Units,
    pub(super) fees: Units,
    pub(super) funding: Units,
    pub(super) stop: Units,
    pub(super) target: Units,
    pub(super) liquidation: Units,
    /// Distances in percent; zero when the signal named the price.
    pub(super) stop_percent: Units,
    pub(super) target_percent: Units,
    pub(super) share: Units,
    pub(super) opened_venue_at: u64,
    pub(super) funded_at: u64,
    pub(super) decided_at: u64,
    pub(super) opened_at: u64,
    pub(super) closed_at: u64,
    pub(super) closing: Option<Closing>,
    pub(super) closed: Option<CloseReason>,
    /// What it came to when it was closed.
    pub(super) net_then: Units,
    /// What its owner was charged then: from credit, from real, owed.
    pub(super) charged: [Units; 3],
    /// It is what an entry opened that was over.
    pub(super) late: bool,
}

impl Position {
    /// What an entry that was decided on then begins, before anything is set for it.
    pub(super) fn of(new: &NewOrder, now: u64) -> Self {
        Self {
            signal: new.id.signal,
            account: new.id.account.index,
            symbol: new.symbol,
            side: new.side,
            state: PositionState::Opening,
            leverage: new.leverage,
            open: 0,
            cost: 0,
            entered: 0,
            reserved: 0,
            realised: 0,
            fees: 0,
            funding: 0,
            stop: 0,
            target: 0,
            liquidation: 0,
            stop_percent: 0,
            target_percent: 0,
            share: 0,
            opened_venue_at: 0,
            funded_at: 0,
            decided_at: now,
            opened_at: 0,
            closed_at: 0,
            closing: None,
            closed: None,
            net_then: 0,
            charged: [0; 3],
            late: false,
        }
    }
}

/// An order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) new: NewOrder,
    pub(super) position: SignalId,
    pub(super) state: OrderState,
    pub(super) filled: Units,
    pub(super) notional: Units,
    pub(super) fees: Units,
    pub(super) fills: u32,
    pub(super) reason: Option<VenueReason>,
    pub(super) cancelling: bool,
    pub(super) decided_at: u64,
    pub(super) sent_at: u64,
    pub(super) filled_at: u64,
    pub(super) done_at: u64,
    /// What was open when it was decided.
    pub(super) open_then: Units,
}

/// A user's line in the receipt of a signal.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) signal: SignalId,
    pub(super) account: u8,
    pub(super) kind: OutcomeKind,
    pub(super) decided_at: u64,
    pub(super) sent_at: u64,
    pub(super) filled_at: u64,
    pub(super) done_at: u64,
}

/// An execution of an order, or of a close by somebody else.
#[derive(Clone, Debug)]
pub(super) struct Execution {
    pub(super) at: u64,
    /// What its fee is booked under.
    pub(super) key: EntryKey,
    pub(super) price: Units,
    pub(super) quantity: Units,
    pub(super) fee: Units,
    pub(super) realised: Units,
}

/// The books of a user.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) balances: BTreeMap<(Currency, LedgerAccount), Units>,
    pub(super) entries: u64,
    /// The newest entries, the oldest first.
    pub(super) newest: Vec<Rc<Booked>>,
}

/// An entry of the books.
#[derive(Clone, Debug)]
pub(super) struct Booked {
    pub(super) number: u64,
    pub(super) at: u64,
    /// What it is of.
    pub(super) key: EntryKey,
    pub(super) currency: Currency,
    pub(super) lines: Vec<(LedgerAccount, Units)>,
}

impl ModelUser {
    /// How many journal entries are booked.
    #[must_use]
    pub const fn booked(&self) -> u64 {
        self.books.entries
    }

    /// Who it is.
    #[must_use]
    pub const fn id(&self) -> UserId {
        self.id
    }

    /// The ids of all orders that can still do something, in the order in which they were decided.
    #[must_use]
    pub fn live_orders(&self) -> Vec<ClientOrderId> {
        self.orders.iter().map(|order| order.new.id).collect()
    }

    /// Whether they have an account on this venue.
    #[must_use]
    pub fn has_account_on(&self, venue: VenueKind) -> bool {
        self.accounts.iter().any(|account| account.place.venue == venue)
    }

    /// Whether this account is one on an exchange.
    #[must_use]
    pub fn is_on_exchange(&self, account: u8) -> bool {
        let found = self.accounts.get(usize::from(account));
        found.is_some_and(|account| account.place.venue != VenueKind::Paper)
    }

    /// How many positions are not flat.
    #[must_use]
    pub fn positions_open(&self) -> usize {
        self.positions.len()
    }

    pub(super) fn account_id(&self, index: u8) -> AccountId {
        AccountId { user: self.id, index }
    }

    pub(super) fn place_of_position(&self, signal: SignalId, account: u8) -> Option<usize> {
        self.positions.iter().position(|p| p.signal == signal && p.account == account)
    }

    pub(super) fn place_on_symbol(&self, account: u8, symbol: Symbol) -> Option<usize> {
        self.positions.iter().position(|p| p.account == account && p.symbol == symbol)
    }

    pub(super) fn place_of_order(&self, id: ClientOrderId) -> Option<usize> {
        self.orders.iter().position(|o| o.new.id == id)
    }

    /// The currency an account settles in: what is worth something is on an exchange's main network.
    pub(super) fn currency(&self, account: u8) -> Currency {
        match self.accounts.get(usize::from(account)).map(|a| (a.place.venue, a.place.environment)) {
            Some((VenueKind::Paper, _) | (_, Environment::Testnet | Environment::Demo)) => {
                Currency::PaperUsdt
            }
            _ => Currency::Usdt,
        }
    }

    pub(super) fn balance(&self, currency: Currency, account: LedgerAccount) -> Units {
        self.books.balances.get(&(currency, account)).copied().unwrap_or(0)
    }

    pub(super) fn wallet(&self, account: u8) -> Units {
        self.balance(self.currency(account), LedgerAccount::Wallet(account))
    }
}
