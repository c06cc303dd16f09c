//! A user with everything that is theirs. A user lives on exactly one shard, and all state is per user: that is what
//! makes the state independent of the number of shards.
//!
//! **Bounds**: every list has a named maximum; histories keep the newest.

use std::collections::{BTreeMap, VecDeque};

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::Money;
use super::ids::{ClientOrderId, SignalId, SourceId, Timestamp, UserId};
use super::instrument::Symbol;
use super::key::{KeyFault, KeyState, StoredKey};
use super::ledger::{Currency, Ledger, LedgerAccount};
use super::order::VenueReason;
use super::position::{Order, Position};
use super::rules::Settings;
use super::signal::{Signal, SourceSignal};
use super::venue_account::{Egress, Environment, VenuePlace, VenueSite};

/// Sessions of a user; a new one ends the oldest. DOMAIN.md §4.
pub const SESSIONS_MAX: usize = 3;
/// Exchange accounts of a user: one base-62 digit names them in order ids, ten are enough.
pub const ACCOUNTS_MAX: usize = 10;
/// Sources of a publisher. Small, because a user is written to a snapshot as one piece.
pub const SOURCES_MAX: usize = 8;
/// Sources a user subscribes to.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Closed positions kept in memory.
pub const POSITION_HISTORY_MAX: usize = 64;
/// Final orders kept in memory.
pub const ORDER_HISTORY_MAX: usize = 64;
/// Outcomes of signals kept in memory.
pub const OUTCOMES_MAX: usize = 64;
/// Signals a source keeps with their bodies.
pub const SIGNALS_MAX: usize = 256;
/// Signals a source remembers for deduplication, each at least for `Rules::repeat_kept_min`.
pub const DEDUP_MAX: usize = 8_192;
/// Longest body kept with a signal, in bytes. The whole of it is in the log.
pub const BODY_KEPT_MAX: usize = 1_024;
const _: () = assert!(SOURCES_MAX <= 62 && ACCOUNTS_MAX <= 62, "named by one base-62 digit in order ids");

/// Which exchange an account is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum VenueKind {
    /// Our own simulated exchange.
    Paper,
    /// Binance USD-M futures.
    Binance,
    /// Bybit V5 linear.
    Bybit,
}

impl VenueKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Binance => "binance",
            Self::Bybit => "bybit",
        }
    }
}

/// An exchange account.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ExchangeAccount {
    /// On which venue. This and the next three are said when it is opened, for ever.
    pub venue: VenueKind,
    /// In which environment.
    pub environment: Environment,
    /// At which site of the exchange.
    pub site: VenueSite,
    /// From which address its requests leave.
    pub egress: Egress,
    /// Whether orders may be sent.
    pub enabled: bool,
    /// How its key stands.
    pub key_state: KeyState,
    /// Its key; `None` for paper, and when it was removed.
    pub key: Option<Box<StoredKey>>,
    /// Keys it ever had.
    pub keys: u32,
    /// Digest of the exchange's own id of the account, once the exchange told it.
    pub identity: Option<[u8; 16]>,
    /// End of the current day in the user's zone; zero before the first.
    pub day_ends_at: Timestamp,
    /// Equity when the current day began.
    pub day_equity: Money,
    /// Opens are refused until then, because the day's loss limit was hit.
    pub loss_latch_until: Timestamp,
    /// The venue's own executions (liquidations) booked so far.
    pub venue_fills: u32,
}

impl ExchangeAccount {
    /// A new one, without a key.
    #[must_use]
    pub fn new(place: VenuePlace) -> Self {
        let key_state = if place.venue == VenueKind::Paper { KeyState::NotNeeded } else { KeyState::Missing };
        Self {
            venue: place.venue,
            environment: place.environment,
            site: place.site,
            egress: place.egress,
            enabled: true,
            key_state,
            key: None,
            keys: 0,
            identity: None,
            day_ends_at: Timestamp(0),
            day_equity: Money::ZERO,
            loss_latch_until: Timestamp(0),
            venue_fills: 0,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> VenuePlace {
        VenuePlace { venue: self.venue, environment: self.environment, site: self.site, egress: self.egress }
    }

    /// The currency it settles in. What a test network or a demo pays out is worth nothing and is never added to money.
    #[must_use]
    pub fn currency(&self) -> Currency {
        if self.place().has_real_money() { Currency::Usdt } else { Currency::PaperUsdt }
    }

    /// How its key stands at a time: a key that was healthy may have ended meanwhile.
    #[must_use]
    pub fn key_state_at(&self, now: Timestamp) -> KeyState {
        let ended = self.key.as_ref().is_some_and(|key| key.expires_at.0 != 0 && key.expires_at <= now);
        match self.key_state {
            KeyState::Healthy if ended => KeyState::Unhealthy(KeyFault::Expired),
            state => state,
        }
    }
}

/// A log-in.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Session {
    /// SHA-256 of the token.
    pub token: [u8; 32],
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A repeat of an accepted signal is recognised by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Seen {
    /// The first one's number.
    pub number: u32,
    /// When it was accepted.
    pub at: Timestamp,
    /// Until when a repeat counts as one; the end of time for signals with an id or a time of their own.
    pub until: Timestamp,
}

/// A strategy that someone publishes.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Source {
    /// For people.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret: [u8; 32],
    /// Whether opens are stopped.
    pub halted: bool,
    /// Signals ever accepted; the last one's number.
    pub accepted: u32,
    /// The newest signals.
    pub signals: VecDeque<SourceSignal>,
    /// Numbers of signals whose fan-out is not finished, oldest first.
    pub working: Vec<u32>,
    /// Keys of accepted signals.
    pub seen: BTreeMap<[u8; 16], Seen>,
    /// The keys in the order they came.
    pub seen_order: VecDeque<[u8; 16]>,
    /// Start of the window that opens are counted in.
    pub window_start: Timestamp,
    /// Opens accepted in the window.
    pub window_opens: u32,
}

impl Source {
    /// A signal that is still kept.
    #[must_use]
    pub fn signal(&self, number: u32) -> Option<&SourceSignal> {
        self.signals.get(self.signal_place(number)?)
    }

    /// Its place in `signals`. They are in the order of their numbers, as a rule without a gap.
    pub(super) fn signal_place(&self, number: u32) -> Option<usize> {
        let first = self.signals.front()?.signal.id.number;
        let guess = usize::try_from(number.checked_sub(first)?).ok()?;
        let is_it = |place: &usize| self.signals.get(*place).is_some_and(|s| s.signal.id.number == number);
        Some(guess)
            .filter(is_it)
            .or_else(|| self.signals.binary_search_by_key(&number, |s| s.signal.id.number).ok())
    }
}

/// A user's subscription to a source.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Subscription {
    /// The source.
    pub source: SourceId,
    /// Which account trades it.
    pub account: u8,
    /// Whether it is on.
    pub active: bool,
    /// How it trades.
    pub settings: Settings,
    /// Number of the last open that was decided on: each is, exactly once, in their order.
    pub last_open: u32,
    /// Number of the last close that was decided on.
    pub last_close: u32,
}

/// Why a signal led to no order for a user. See DOMAIN.md §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub enum Skip {
    /// The user is not active.
    UserInactive,
    /// Not subscribed (any more).
    NotSubscribed,
    /// The exchange account is switched off.
    AccountDisabled,
    /// The venue does not accept the account's key.
    KeyUnhealthy,
    /// The user's halt latch is on.
    HaltedUser,
    /// The source's halt latch is on.
    HaltedSource,
    /// The global halt latch is on.
    HaltedGlobal,
    /// The user owes money.
    Debt,
    /// Neither a plan nor a sufficient prepaid balance.
    Plan,
    /// The user's list does not hold the symbol.
    SymbolNotAllowed,
    /// The venue does not have the symbol, or it takes no opens now.
    SymbolNotTrading,
    /// No price that may be used.
    MarketReadingStale,
    /// There is a position on the symbol.
    PositionOpen,
    /// The account has as many positions as it may.
    PositionsMax,
    /// The user closed a position on the symbol a short while ago.
    Cooldown,
    /// The day's loss limit is reached.
    DailyLoss,
    /// No margin is free.
    InsufficientMargin,
    /// After all clamps the order is below the venue's minimum.
    BelowMinimum,
    /// The signal's stop or target is on the wrong side of the price.
    ProtectionInvalid,
    /// The stop lies beyond the liquidation price.
    StopBeyondLiquidation,
    /// Decided later than the signal is valid.
    Expired,
    /// A later close covers it.
    Superseded,
    /// Nothing to close.
    NoPosition,
    /// It is being closed already.
    AlreadyClosing,
    /// The configuration does not name the account's exchange.
    VenueUnavailable,
}

impl Skip {
    /// A stable machine word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserInactive => "user_inactive",
            Self::NotSubscribed => "not_subscribed",
            Self::AccountDisabled => "account_disabled",
            Self::KeyUnhealthy => "key_unhealthy",
            Self::HaltedUser => "halted_user",
            Self::HaltedSource => "halted_source",
            Self::HaltedGlobal => "halted_global",
            Self::Debt => "debt",
            Self::Plan => "plan",
            Self::SymbolNotAllowed => "symbol_not_allowed",
            Self::SymbolNotTrading => "symbol_not_trading",
            Self::MarketReadingStale => "market_reading_stale",
            Self::PositionOpen => "position_open",
            Self::PositionsMax => "positions_max",
            Self::Cooldown => "cooldown",
            Self::DailyLoss => "daily_loss_limit",
            Self::InsufficientMargin => "insufficient_margin",
            Self::BelowMinimum => "below_minimum",
            Self::ProtectionInvalid => "protection_invalid",
            Self::StopBeyondLiquidation => "stop_beyond_liquidation",
            Self::Expired => "expired",
            Self::Superseded => "superseded_by_close",
            Self::NoPosition => "no_position",
            Self::AlreadyClosing => "already_closing",
            Self::VenueUnavailable => "venue_unavailable",
        }
    }
}

/// What came of a signal for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum OutcomeKind {
    /// An order is durable and on its way.
    Sent,
    /// The order is filled completely.
    Filled,
    /// The order ended with a part of it filled.
    FilledInPart,
    /// No order, and why.
    Skipped(Skip),
    /// The order failed, and why.
    Failed(VenueReason),
}

impl OutcomeKind {
    /// A stable machine word and, where there is one, the reason.
    #[must_use]
    pub const fn words(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Sent => ("sent", None),
            Self::Filled => ("filled", None),
            Self::FilledInPart => ("filled_in_part", None),
            Self::Skipped(skip) => ("skipped", Some(skip.as_str())),
            Self::Failed(reason) => ("failed", Some(reason.as_str())),
        }
    }
}

/// A user's line in the receipt of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Outcome {
    /// The signal.
    pub signal: SignalId,
    /// The account.
    pub account: u8,
    /// What came of it.
    pub kind: OutcomeKind,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When the order's first byte left (its intent was durable by then); zero without.
    pub sent_at: Timestamp,
    /// First fill; zero without.
    pub filled_at: Timestamp,
    /// When the outcome became final; zero until then.
    pub done_at: Timestamp,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// E-mail address, as given.
    pub email: String,
    /// Argon2id hash of the password, in PHC string form.
    pub password: String,
    /// IANA time zone, for the day's boundary.
    pub zone: String,
    /// Whether they may trade.
    pub active: bool,
    /// The user's halt latch: opens are stopped.
    pub halted: bool,
    /// When they signed up.
    pub created_at: Timestamp,
    /// End of the trial.
    pub trial_ends_at: Timestamp,
    /// End of the paid plan; zero without.
    pub plan_ends_at: Timestamp,
    /// Failed log-ins since the last good one.
    pub login_failures: u8,
    /// No log-in before that.
    pub locked_until: Timestamp,
    /// Log-ins.
    pub sessions: Vec<Session>,
    /// Exchange accounts.
    pub accounts: Vec<ExchangeAccount>,
    /// Published sources.
    pub sources: Vec<Source>,
    /// Subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Positions that are not flat.
    pub positions: Vec<Position>,
    /// The newest flat positions.
    pub closed_positions: VecDeque<Position>,
    /// Orders that are not final.
    pub orders: Vec<Order>,
    /// The newest final orders.
    pub final_orders: VecDeque<Order>,
    /// The newest outcomes.
    pub outcomes: VecDeque<Outcome>,
    /// Symbols in cool-down: account, symbol, until when.
    pub cooldowns: Vec<(u8, Symbol, Timestamp)>,
    /// Opens that wait for an opposite position to be flat.
    pub reversals: Vec<Signal>,
    /// Losses carried forward against later profit, per currency; zero or above.
    pub carried_losses: Vec<(Currency, Money)>,
    /// Recharges booked, by number, so that each counts once.
    pub recharges: u64,
    /// The books.
    pub ledger: Ledger,
}

impl User {
    /// The live order with this id.
    #[must_use]
    pub fn order(&self, id: ClientOrderId) -> Option<&Order> {
        self.orders.iter().find(|o| o.new.id == id)
    }

    /// The active position opened by `signal` on `account`.
    #[must_use]
    pub fn position(&self, signal: SignalId, account: u8) -> Option<&Position> {
        self.positions.iter().find(|p| p.signal == signal && p.account == account)
    }

    /// The active position on a symbol.
    #[must_use]
    pub fn position_on(&self, account: u8, symbol: Symbol) -> Option<&Position> {
        self.positions.iter().find(|p| p.account == account && p.symbol == symbol)
    }

    /// The subscription to a source.
    #[must_use]
    pub fn subscription(&self, source: SourceId) -> Option<&Subscription> {
        self.subscriptions.iter().find(|s| s.source == source)
    }

    /// The exchange account's wallet.
    #[must_use]
    pub fn wallet(&self, account: u8) -> Money {
        let currency =
            self.accounts.get(usize::from(account)).map_or(Currency::Usdt, ExchangeAccount::currency);
        self.ledger.balance(currency, LedgerAccount::Wallet(account))
    }

    /// Wallet less the margin bound by positions; may be negative after losses.
    #[must_use]
    pub fn available(&self, account: u8) -> Money {
        let bound = self
            .positions
            .iter()
            .filter(|p| p.account == account)
            .fold(0_i64, |sum, p| sum.saturating_add(p.margin().units()));
        Money::from_units(self.wallet(account).units().saturating_sub(bound))
    }

    /// The loss carried forward in a currency.
    #[must_use]
    pub fn carried_loss(&self, currency: Currency) -> Money {
        self.carried_losses.iter().find(|(c, _)| *c == currency).map_or(Money::ZERO, |(_, m)| *m)
    }

    /// The receipt line of a signal.
    #[must_use]
    pub fn outcome(&self, signal: SignalId) -> Option<&Outcome> {
        self.outcomes.iter().rev().find(|o| o.signal == signal)
    }
}
