//! Events: facts that were decided, each about one user. The log is a sequence of records, a record the events of one
//! decision; what a record says is never decided again.
//!
//! **Schema**: see [`super::codec`]: each record on disk says the version of its layout.

#![allow(
    missing_docs,
    reason = "rkyv generates a type without docs per variant; the source documents every field"
)]

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::{Money, Price, Rate};
use super::ids::{ClientOrderId, SignalId, SourceId, Timestamp, UserId};
use super::instrument::Symbol;
use super::key::{KeyFault, KeyHint, KeyKind, Sealed};
use super::ledger::Currency;
use super::order::{Fill, NewOrder, OrderState, Told, VenueReason};
use super::position::{CloseReason, Closing};
use super::rules::Settings;
use super::signal::{FanOutCounts, Signal};
use super::user::{Skip, VenueKind};
use super::venue_account::VenuePlace;

/// A halt latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Latch {
    /// The user's own.
    User,
    /// Of one of the user's sources, by its place.
    Source(u8),
}

/// What happened to a user. Amounts, prices and times are as decided.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub enum Event {
    /// The user came to be.
    SignedUp {
        /// Address as given.
        email: String,
        /// PHC string.
        password: String,
        /// IANA zone.
        zone: String,
        /// End of the trial.
        trial_ends_at: Timestamp,
    },
    /// A log-in.
    SessionOpened {
        /// SHA-256 of the token.
        token: [u8; 32],
        /// Its end.
        expires_at: Timestamp,
    },
    /// A log-out.
    SessionClosed {
        /// SHA-256 of the token.
        token: [u8; 32],
    },
    /// A wrong password.
    LoginFailed {
        /// Locked until then; zero when not.
        locked_until: Timestamp,
    },
    /// An exchange account.
    AccountOpened {
        /// Its place.
        index: u8,
        /// Its venue.
        venue: VenueKind,
        /// Paper: the wallet it starts with.
        wallet: Money,
        /// Paper: the prepaid balance it brings.
        prepaid: Money,
    },
    /// A published source.
    SourceCreated {
        /// Its place.
        index: u8,
        /// For people.
        name: String,
        /// SHA-256 of its secret.
        secret: [u8; 32],
    },
    /// A subscription, new or changed.
    Subscribed {
        /// To what.
        source: SourceId,
        /// With which account.
        account: u8,
        /// How.
        settings: Box<Settings>,
    },
    /// A subscription was switched off.
    Unsubscribed {
        /// To what.
        source: SourceId,
    },
    /// A halt latch was set or released.
    HaltSet {
        /// Which.
        latch: Latch,
        /// Set or released.
        on: bool,
    },
    /// Money came in.
    Recharged {
        /// Its number, unique for the user.
        number: u64,
        /// Which money.
        currency: Currency,
        /// How much.
        amount: Money,
        /// How much of it paid debt.
        debt_paid: Money,
    },
    /// A signal was accepted by its source.
    SignalAccepted {
        /// The signal.
        signal: Signal,
        /// What a repeat is recognised by.
        key: [u8; 16],
        /// Until when.
        key_until: Timestamp,
        /// Start of the window that the source's opens are counted in.
        window_start: Timestamp,
        /// The body without its secret.
        body: String,
    },
    /// A close was answered with another one that is still at work; a repeat of it is answered so again.
    SignalMerged {
        /// Place of the source.
        source: u8,
        /// The number of the one at work.
        number: u32,
        /// What a repeat is recognised by.
        key: [u8; 16],
        /// Until when.
        key_until: Timestamp,
    },
    /// A signal's fan-out is done on every shard.
    SignalFinished {
        /// Place of the source.
        source: u8,
        /// Its number.
        number: u32,
        /// What came of it.
        counts: FanOutCounts,
    },
    /// A signal led to no order.
    Skipped {
        /// Which.
        signal: SignalId,
        /// The account.
        account: u8,
        /// Whether the signal was an open.
        open: bool,
        /// Why.
        reason: Skip,
        /// For [`Skip::DailyLoss`]: until when the latch holds; else zero.
        until: Timestamp,
    },
    /// A day began for an account's loss limit.
    DayOpened {
        /// The account.
        account: u8,
        /// When it ends.
        ends_at: Timestamp,
        /// Equity when it began.
        equity: Money,
    },
    /// An order that opens a position was decided.
    EntryIntended {
        /// The order.
        order: NewOrder,
        /// Price it was decided at.
        mark: Price,
        /// Trigger of the stop, from the mark; set anew from the fill unless the signal named it.
        stop: Price,
        /// Trigger of the take-profit, likewise.
        take_profit: Price,
        /// Stop distance in percent of price; zero when the signal named the stop.
        stop_multiplier: Rate,
        /// Take-profit distance likewise.
        take_profit_multiplier: Rate,
        /// Liquidation price at the mark.
        liquidation: Price,
        /// Margin set aside.
        reserved: Money,
        /// The profit share agreed.
        share: Rate,
        /// Version of the rules.
        rules: u32,
    },
    /// An order that protects a position was decided.
    ProtectionIntended {
        /// The order.
        order: NewOrder,
        /// The position's opening signal.
        position: SignalId,
        /// Liquidation price of the position.
        liquidation: Price,
    },
    /// A position is to be closed.
    CloseRequested {
        /// The position's opening signal.
        position: SignalId,
        /// Its account.
        account: u8,
        /// How.
        closing: Closing,
        /// An open that follows once it is flat (boxed: rare).
        reversal: Option<Box<Signal>>,
    },
    /// An order that closes a position was decided.
    ExitIntended {
        /// The order.
        order: NewOrder,
        /// The position's opening signal.
        position: SignalId,
    },
    /// An order is to be taken back.
    CancelIntended {
        /// Which.
        id: ClientOrderId,
    },
    /// The venue has the order.
    OrderAccepted {
        /// Which.
        id: ClientOrderId,
        /// When its first byte left; zero when not known.
        sent_at: Timestamp,
    },
    /// The order was refused or ended before it was complete.
    OrderEnded {
        /// Which.
        id: ClientOrderId,
        /// Rejected, cancelled or expired.
        state: OrderState,
        /// Why.
        reason: VenueReason,
        /// When its first byte left; zero when not known.
        sent_at: Timestamp,
    },
    /// The order's outcome is not known.
    OrderUnknown {
        /// Which.
        id: ClientOrderId,
    },
    /// An order was executed.
    Filled {
        /// Which.
        id: ClientOrderId,
        /// The execution.
        fill: Fill,
        /// Whether the order is complete.
        last: bool,
        /// What it realised; zero for entries.
        realised: Money,
        /// When its first byte left; zero when not known.
        sent_at: Timestamp,
    },
    /// The venue closed (part of) a position.
    Liquidated {
        /// The position's opening signal.
        position: SignalId,
        /// Its account.
        account: u8,
        /// The execution.
        fill: Fill,
        /// What it realised.
        realised: Money,
    },
    /// Funding was settled.
    FundingSettled {
        /// The position's opening signal.
        position: SignalId,
        /// Its account.
        account: u8,
        /// On what.
        symbol: Symbol,
        /// The venue's time.
        venue_at: Timestamp,
        /// The rate.
        rate: Rate,
        /// The price it was computed at.
        mark: Price,
        /// Received; negative is paid.
        amount: Money,
    },
    /// A position is flat.
    PositionClosed {
        /// The position's opening signal.
        position: SignalId,
        /// Its account.
        account: u8,
        /// Why.
        reason: CloseReason,
        /// Profit after fees and funding.
        net: Money,
        /// Profit share, and where it was taken from.
        charge: Charge,
        /// Loss carried forward after this.
        carried_loss: Money,
        /// The symbol is in cool-down until then.
        cooldown_until: Timestamp,
    },
    /// The entry ended without a fill: there never was a position.
    EntryVoided {
        /// The signal.
        position: SignalId,
        /// The account.
        account: u8,
    },
    /// Somebody else on the exchange account closed (part of) a position. Since version 2, as all that follow.
    ClosedOutside {
        /// The position's opening signal.
        position: SignalId,
        /// Its account.
        account: u8,
        /// The execution.
        fill: Fill,
        /// What it realised.
        realised: Money,
    },
    /// The venue's wallet holds more or less than the books: money was moved in or out at the venue.
    WalletMoved {
        /// The account.
        account: u8,
        /// What came in; negative went out.
        amount: Money,
    },
    /// An account on an exchange.
    VenueAccountOpened {
        /// Its place in the user's list.
        index: u8,
        /// Where it is.
        place: VenuePlace,
        /// The prepaid balance that comes with one that has no real money.
        prepaid: Money,
    },
    /// A key was entered. The exchange has not been asked about it yet.
    CredentialSet {
        /// The account.
        account: u8,
        /// Which of the account's keys it is.
        number: u32,
        /// What it signs with.
        kind: KeyKind,
        /// What may be shown of its name.
        hint: KeyHint,
        /// Name and secret, sealed.
        sealed: Sealed,
    },
    /// A key is no longer kept.
    CredentialRemoved {
        /// The account.
        account: u8,
    },
    /// The exchange was asked about a key.
    KeyHealth {
        /// The account.
        account: u8,
        /// Why it cannot be used; `None` when it can.
        fault: Option<KeyFault>,
        /// When it ends; zero when it does not, or that is not known.
        expires_at: Timestamp,
        /// Digest of the exchange's own id of the account, where it told one.
        identity: Option<[u8; 16]>,
    },
    /// An entry whose end was told was executed all the same. Since version 3.
    LateEntry {
        /// The order (boxed: rare).
        order: Box<NewOrder>,
        /// The execution.
        fill: Fill,
        /// The opening signal of the position that it changed.
        position: SignalId,
        /// Whether that position began with it.
        opens: bool,
        /// What it realised; zero unless the position is of the other side.
        realised: Money,
        /// What was told of the order before, where the state has forgotten it (boxed: rarer). Since version 4.
        before: Option<Box<Told>>,
    },
    /// A key was sealed anew, under another master key; it is the same key. Since version 5.
    CredentialResealed {
        /// The account.
        account: u8,
        /// Which of the account's keys it is.
        number: u32,
        /// Name and secret, sealed.
        sealed: Sealed,
    },
}

/// Where a fee was taken from: credit first, then real, the rest becomes debt. DOMAIN.md §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Charge {
    /// From credit.
    pub credit: Money,
    /// From real.
    pub real: Money,
    /// Owed.
    pub debt: Money,
}

/// What one decision put on record.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub struct Record {
    /// Whom it is about.
    pub user: UserId,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened, in order.
    pub events: Vec<Event>,
}
