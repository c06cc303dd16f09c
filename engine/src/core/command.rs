//! Commands: what people, programs, venues and timers ask of the core; and its answers.

use super::event::Latch;
use super::fixed::{Money, Price};
use super::ids::{AccountId, ClientOrderId, SignalId, SourceId, Timestamp, UserId};
use super::instrument::Symbol;
use super::key::{KeyFinding, NewKey, Sealed};
use super::ledger::Currency;
use super::order::VenueReport;
use super::rules::Settings;
use super::signal::{FanOutCounts, Signal, SignalKind};
use super::state::UserIndex;
use super::user::VenueKind;
use super::venue_account::VenuePlace;

/// A signal as it was parsed, before its source accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalDraft {
    /// What it asks for.
    pub kind: SignalKind,
    /// On which symbol; looked up exactly by the core.
    pub symbol: Symbol,
    /// The sender's price.
    pub price: Option<Price>,
    /// The sender's leverage.
    pub leverage: Option<u8>,
    /// The sender's stop-loss price.
    pub stop_loss: Option<Price>,
    /// The sender's take-profit price.
    pub take_profit: Option<Price>,
    /// The signal's own time.
    pub at: Option<Timestamp>,
    /// What a repeat is recognised by: of the sender's id, or of the normalised body.
    pub key: [u8; 16],
    /// Whether `key` covers an id or a time of the sender's; otherwise a repeat counts only for a short span.
    pub key_is_lasting: bool,
    /// The body without its secret.
    pub body: String,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Command {
    /// A new user. The password was hashed off the shard.
    SignUp {
        /// Address as given; its normal form gives the id.
        email: String,
        /// Argon2id, PHC string.
        password: String,
        /// IANA zone; empty for UTC.
        zone: String,
    },
    /// A log-in whose password was verified off the shard.
    OpenSession {
        /// Who.
        user: UserId,
        /// SHA-256 of the token.
        token: [u8; 32],
    },
    /// A log-in whose password was wrong.
    FailLogin {
        /// Who.
        user: UserId,
    },
    /// A log-out.
    CloseSession {
        /// Who.
        user: UserId,
        /// SHA-256 of the token.
        token: [u8; 32],
    },
    /// A new paper account. Accounts on exchanges come with a key: [`Command::ConnectAccount`].
    OpenAccount {
        /// Whose.
        user: UserId,
        /// Where; any but paper is refused.
        venue: VenueKind,
        /// Paper: the wallet it starts with; the rules' default without.
        wallet: Option<Money>,
    },
    /// A new account on an exchange, with its key.
    ConnectAccount {
        /// Whose.
        user: UserId,
        /// Its place in the user's list, which the key was sealed for.
        index: u8,
        /// Where it is.
        place: VenuePlace,
        /// Its key.
        key: NewKey,
    },
    /// Another key for an account on an exchange.
    SetKey {
        /// Whose.
        user: UserId,
        /// Which account.
        account: u8,
        /// Its new key.
        key: NewKey,
    },
    /// The key of an account is not to be kept any longer.
    RemoveKey {
        /// Whose.
        user: UserId,
        /// Which account.
        account: u8,
    },
    /// An exchange was asked about a key. A fact: comes from a connector.
    ReportKey {
        /// Whose key.
        account: AccountId,
        /// Which of the account's keys it was asked with.
        number: u32,
        /// What it said.
        finding: KeyFinding,
    },
    /// The key of an account, sealed anew because the server's master key is another one. The key is the same. A fact: comes from
    /// the server's start.
    ResealKey {
        /// Whose key.
        account: AccountId,
        /// Which of the account's keys it is.
        number: u32,
        /// Name and secret.
        sealed: Sealed,
    },
    /// A new source.
    CreateSource {
        /// Its publisher.
        user: UserId,
        /// For people.
        name: String,
        /// SHA-256 of its secret.
        secret: [u8; 32],
    },
    /// A subscription, new or changed.
    Subscribe {
        /// Who.
        user: UserId,
        /// To what.
        source: SourceId,
        /// With which account.
        account: u8,
        /// How.
        settings: Settings,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Who.
        user: UserId,
        /// From what.
        source: SourceId,
    },
    /// Sets or releases a halt latch.
    SetHalt {
        /// Whose.
        user: UserId,
        /// Which.
        latch: Latch,
        /// Set or release.
        on: bool,
    },
    /// Money came in.
    Recharge {
        /// Whose.
        user: UserId,
        /// The payment's number: a number at or below the last one is a repeat.
        number: u64,
        /// Which money.
        currency: Currency,
        /// How much.
        amount: Money,
    },
    /// A signal for a source; its secret was verified when it was admitted.
    Signal {
        /// The source.
        source: SourceId,
        /// The signal.
        draft: Box<SignalDraft>,
    },
    /// The user closes a position.
    ClosePosition {
        /// Who.
        user: UserId,
        /// On which account.
        account: u8,
        /// On which symbol.
        symbol: Symbol,
    },
    /// A signal reaches a subscriber. Comes from a fan-out.
    Offer {
        /// Who.
        at: UserIndex,
        /// The signal.
        signal: Signal,
        /// A later close covers it.
        superseded: bool,
        /// The source's halt latch.
        source_halted: bool,
    },
    /// The fan-out of a signal is done on every shard.
    FinishSignal {
        /// Which.
        signal: SignalId,
        /// What came of it.
        counts: FanOutCounts,
    },
    /// A venue tells something. A fact: never refused for a limit.
    Report {
        /// What.
        report: VenueReport,
        /// When the order's first byte left; zero when not known or not about an order.
        sent_at: Timestamp,
    },
    /// An order got no answer in time.
    OrderUnanswered {
        /// Which.
        id: ClientOrderId,
    },
    /// Time to look whether a position has a live stop.
    CheckProtection {
        /// Its account.
        account: AccountId,
        /// Its opening signal.
        position: SignalId,
    },
    /// Time to try again to close a position.
    DriveClose {
        /// Its account.
        account: AccountId,
        /// Its opening signal.
        position: SignalId,
    },
    /// The opposite position is flat: the open that waits for it is decided now.
    Reconsider {
        /// Who.
        user: UserId,
        /// Which signal.
        signal: SignalId,
    },
}

impl Command {
    /// The user whose state it changes, when that is known without the state.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::SignUp { email, .. } => Some(UserId::from_email(email)),
            Self::OpenSession { user, .. }
            | Self::FailLogin { user }
            | Self::CloseSession { user, .. }
            | Self::OpenAccount { user, .. }
            | Self::ConnectAccount { user, .. }
            | Self::SetKey { user, .. }
            | Self::RemoveKey { user, .. }
            | Self::CreateSource { user, .. }
            | Self::Subscribe { user, .. }
            | Self::Unsubscribe { user, .. }
            | Self::SetHalt { user, .. }
            | Self::Recharge { user, .. }
            | Self::ClosePosition { user, .. }
            | Self::Reconsider { user, .. } => Some(*user),
            Self::Signal { source, .. } => Some(source.owner),
            Self::FinishSignal { signal, .. } => Some(signal.source.owner),
            Self::Report { report, .. } => Some(report.account().user),
            Self::OrderUnanswered { id } => Some(id.account.user),
            Self::ReportKey { account, .. }
            | Self::ResealKey { account, .. }
            | Self::CheckProtection { account, .. }
            | Self::DriveClose { account, .. } => Some(account.user),
            Self::Offer { .. } => None,
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing more to say.
    Done,
    /// The new user's id.
    User(UserId),
    /// The session's end.
    Session(Timestamp),
    /// The new account.
    Account(AccountId),
    /// The new source.
    Source(SourceId),
    /// The signal was accepted, now or earlier.
    Signal {
        /// Its id.
        id: SignalId,
        /// It was accepted earlier: this was a repeat.
        repeat: bool,
    },
    /// The signal was too old when it came; it is on record and not executed.
    SignalExpired {
        /// Its id.
        id: SignalId,
    },
    /// The close is on its way.
    Closing,
    /// A subscriber was decided on: an order was made.
    Intended,
    /// A subscriber was decided on: no order.
    Skipped,
    /// The fact was known already or is about nothing that is known; nothing changed.
    Ignored,
}

/// Why a command was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is taken.
    #[error("this e-mail address is already registered")]
    EmailTaken,
    /// The address is not one.
    #[error("email: not an e-mail address")]
    EmailInvalid,
    /// The zone is unknown.
    #[error("zone: not an IANA time zone")]
    ZoneInvalid,
    /// No such user.
    #[error("no such user")]
    UnknownUser,
    /// Locked after failed log-ins.
    #[error("too many failed log-ins; try again in 15 minutes")]
    Locked,
    /// No such account.
    #[error("no such exchange account")]
    UnknownAccount,
    /// No such source.
    #[error("no such source")]
    UnknownSource,
    /// No such symbol.
    #[error("symbol: not in the venue's instrument list")]
    UnknownSymbol,
    /// It is not known yet what every venue lists.
    #[error("symbol: not known yet, for an exchange's list is still being read; send it again")]
    ListsIncomplete,
    /// No such position.
    #[error("no open position on this symbol")]
    UnknownPosition,
    /// The venue is not available.
    #[error("venue: this server is not set up for this exchange and environment")]
    VenueUnavailable,
    /// Another account was opened while this one's key was sealed.
    #[error("another account was opened at the same moment; send this one again")]
    AccountsChanged,
    /// The key is what watches over something.
    #[error(
        "the account has an open position or a live order, which nobody could watch over without the key: close it first"
    )]
    KeyInUse,
    /// A list is full.
    #[error("{0}: the limit is reached")]
    LimitReached(&'static str),
    /// A field is out of range.
    #[error("{0}")]
    Invalid(&'static str),
    /// The source sent too many signals.
    #[error("too many signals from this source; closes are still taken")]
    RateLimited {
        /// Whole seconds until the next one is taken.
        retry_after: u32,
    },
    /// The signal's time is in the future.
    #[error("time: more than 5 s in the future")]
    SignalFromFuture,
    /// It is being closed already.
    #[error("the position is being closed already")]
    AlreadyClosing,
    /// A payment number that was used.
    #[error("this payment was booked before")]
    PaymentRepeated,
}

impl Refusal {
    /// A stable machine word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::EmailTaken => "email_taken",
            Self::EmailInvalid => "email_invalid",
            Self::ZoneInvalid => "zone_invalid",
            Self::UnknownUser => "unknown_user",
            Self::Locked => "locked",
            Self::UnknownAccount => "unknown_account",
            Self::UnknownSource => "unknown_source",
            Self::UnknownSymbol => "unknown_symbol",
            Self::ListsIncomplete => "lists_incomplete",
            Self::UnknownPosition => "unknown_position",
            Self::VenueUnavailable => "venue_unavailable",
            Self::AccountsChanged => "accounts_changed",
            Self::KeyInUse => "key_in_use",
            Self::LimitReached(_) => "limit_reached",
            Self::Invalid(_) => "invalid",
            Self::RateLimited { .. } => "rate_limited",
            Self::SignalFromFuture => "signal_from_future",
            Self::AlreadyClosing => "already_closing",
            Self::PaymentRepeated => "payment_repeated",
        }
    }

    /// The HTTP status that fits.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::EmailTaken
            | Self::AlreadyClosing
            | Self::PaymentRepeated
            | Self::AccountsChanged
            | Self::KeyInUse => 409,
            Self::Locked | Self::RateLimited { .. } => 429,
            Self::UnknownUser | Self::UnknownAccount | Self::UnknownSource | Self::UnknownPosition => 404,
            Self::EmailInvalid
            | Self::ZoneInvalid
            | Self::UnknownSymbol
            | Self::VenueUnavailable
            | Self::Invalid(_)
            | Self::SignalFromFuture => 400,
            Self::LimitReached(_) => 422,
            Self::ListsIncomplete => 503,
        }
    }
}
