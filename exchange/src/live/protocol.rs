//! What a connector asks of an exchange and what it is told, in words that are the same for every exchange; and the trait
//! that turns them into an exchange's bytes and back.
//!
//! **Invariants**: pure. The same question at the same time with the same key gives the same bytes. An answer that cannot
//! be read is a [`Failure`] of kind [`FailureKind::Unreadable`], never a guess, never a panic. Fields that an exchange adds,
//! removes or leaves empty are tolerated where nothing rests on them (CASES.md, O13).
//! **Bounds**: texts of an exchange are cut at [`TEXT_MAX`] before they are kept.

use std::fmt;

use engine::core::fixed::Price;
use engine::core::ids::ClientOrderId;
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, Side, VenueReason};

use super::credential::Credential;
use super::klines::Interval;
pub use super::views::{
    AccountView, BalanceView, BracketView, DayTickerView, ExecutionView, FundingView, InstrumentView,
    KeyView, KlineView, Maker, MarkView, OrderView, PositionView, SettingsView, TradeView, ViewKind,
    ViewState,
};

/// Longest text of an exchange that is kept, in bytes.
pub const TEXT_MAX: usize = 200;

/// Milliseconds since the Unix epoch on the exchange's clock, as both exchanges sign them (CASES.md, T5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// Whether an account holds one net position per symbol, or a long and a short beside each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PositionMode {
    /// One net position.
    #[default]
    OneWay,
    /// Both sides.
    Hedge,
}

/// An order to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The order.
    pub order: NewOrder,
    /// The account's mode.
    pub mode: PositionMode,
    /// Bybit: triggers that take effect with the first fill of this entry. Exits never carry any.
    pub attached: Option<Protection>,
}

impl Placement {
    /// The side of the position it belongs to (`Buy` is long): its own for an entry, the opposite for an exit.
    #[must_use]
    pub fn position_side(&self) -> Side {
        if self.order.reduce_only { self.order.side.opposite() } else { self.order.side }
    }
}

/// Trigger prices of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Stop-loss.
    pub stop: Option<Price>,
    /// Take-profit.
    pub take_profit: Option<Price>,
}

/// An order that was placed, or may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRef {
    /// Its id.
    pub id: ClientOrderId,
    /// Its symbol.
    pub symbol: Symbol,
    /// Whether it waits for a trigger: Binance keeps those at another endpoint (CASES.md, O11).
    pub is_trigger: bool,
}

/// Where a list goes on: an exchange's cursor, or empty for its beginning.
pub type Cursor = String;

/// What a connector asks. One question is one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Places an order: market, limit or trigger. Answer: [`Answer::Placed`].
    Place(Placement),
    /// Takes an order back. Answer: [`Answer::Done`]: taken, not yet ended; the end comes by stream or query.
    Cancel(OrderRef),
    /// The state of one order. Answer: [`Answer::Order`].
    Query(OrderRef),
    /// The same of an order that may have ended, where those are kept elsewhere (Bybit, EXCHANGES.md §3.3: order/history).
    QueryEnded(OrderRef),
    /// The same by the exchange's id of it; never a trigger that waits.
    QueryById {
        /// Of which symbol.
        symbol: Symbol,
        /// The exchange's id.
        venue_id: String,
    },
    /// Bybit: sets the triggers of a position as a whole. Answer: [`Answer::Done`].
    Protect {
        /// Of which symbol.
        symbol: Symbol,
        /// The account's mode.
        mode: PositionMode,
        /// Side of the position, `Buy` is long.
        position: Side,
        /// The triggers; one that is `None` stays as it is, a price of zero takes it away (EXCHANGES.md §3.4).
        protection: Protection,
    },
    /// All live orders of the account that wait for no trigger. Answer: [`Answer::Orders`].
    OpenOrders(Cursor),
    /// All live orders that wait for a trigger. Answer: [`Answer::Orders`].
    OpenTriggers(Cursor),
    /// All positions that are not flat. Answer: [`Answer::Positions`].
    Positions(Cursor),
    /// What is in the account. Answer: [`Answer::Balances`].
    Balances,
    /// Executions of one symbol since a time, oldest first as far as the exchange allows. Answer: [`Answer::Executions`].
    Executions {
        /// Of which symbol.
        symbol: Symbol,
        /// Only of this order (the exchange's id), where the exchange can select by it.
        order: Option<String>,
        /// Not older than this.
        since: Millis,
        /// Where it goes on.
        cursor: Cursor,
    },
    /// Binance: orders by which the exchange itself closed positions on a symbol since a time; the list of executions does not
    /// tell them apart. Answer: [`Answer::Orders`].
    ForcedOrders {
        /// Of which symbol.
        symbol: Symbol,
        /// Not older than this.
        since: Millis,
    },
    /// Funding settled since a time. Answer: [`Answer::Funding`].
    Funding {
        /// Not older than this.
        since: Millis,
        /// Where it goes on.
        cursor: Cursor,
    },
    /// Leverage and margin type of all symbols (Binance), or of those with a position (Bybit). Answer: [`Answer::Settings`].
    Settings(Option<Symbol>),
    /// Sets the leverage. Answer: [`Answer::Done`]; "no change needed" is that too.
    SetLeverage {
        /// Of which symbol.
        symbol: Symbol,
        /// 1 or more.
        leverage: u8,
    },
    /// Sets isolated margin: per symbol on Binance, for the account on Bybit. Answer: [`Answer::Done`], likewise.
    SetIsolated(Symbol),
    /// Position mode and whether the account may trade. Answer: [`Answer::Account`].
    Account,
    /// What the key may do and how long it lives. Answer: [`Answer::Key`].
    Key,
    /// Binance: opens the account's user stream or gets the one that is open. Answer: [`Answer::ListenKey`].
    OpenListenKey,
    /// Binance: keeps it for another 60 minutes. Answer: [`Answer::Done`].
    KeepListenKey,
    /// The exchange's clock. Needs no key. Answer: [`Answer::Time`].
    Time,
    /// What is listed. Needs no key. Answer: [`Answer::Instruments`].
    Instruments(Cursor),
    /// Binance: the brackets of every symbol. Answer: [`Answer::Brackets`].
    Brackets,
    /// Mark prices of all symbols. Needs no key. Answer: [`Answer::Marks`].
    Marks,
    /// What all symbols did in the last 24 hours. Needs no key. Answer: [`Answer::DayTickers`].
    DayTickers,
    /// Candles of a symbol that open within a span, oldest first. Needs no key. Answer: [`Answer::Klines`].
    Klines {
        /// Of which symbol.
        symbol: Symbol,
        /// How long each is.
        interval: Interval,
        /// None opens before this.
        from: Millis,
        /// All open before this.
        to: Millis,
        /// Where it goes on.
        cursor: Cursor,
    },
}

/// What a public socket may be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The mark price of a symbol. Event: [`StreamEvent::Mark`].
    Mark(Symbol),
    /// The trades of a symbol. Event: [`StreamEvent::Trade`].
    Trades(Symbol),
}

impl Ask {
    /// Whether it has to be signed.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        !matches!(
            self,
            Self::Time | Self::Instruments(_) | Self::Marks | Self::DayTickers | Self::Klines { .. }
        )
    }

    /// Whether it changes what the exchange holds: its outcome then matters when no answer comes.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Place(_)
                | Self::Cancel(_)
                | Self::Protect { .. }
                | Self::SetLeverage { .. }
                | Self::SetIsolated(_)
        )
    }
}

/// What a request is counted against. One group is one limit of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// New orders.
    Place,
    /// Cancellations.
    Cancel,
    /// Leverage, modes, triggers of a position.
    Configure,
    /// Questions.
    Read,
    /// Nothing of an account: public questions.
    Public,
}

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Its group.
    pub group: Group,
    /// Of the address's budget: weight on Binance, requests on Bybit.
    pub address: u32,
    /// Of the account's budget in its group.
    pub account: u32,
}

/// A request, ready to be sent: `net` adds Host and Content-Length.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// The method.
    pub method: &'static str,
    /// Path and query, percent-encoded.
    pub target: String,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "HttpCall({} {path})", self.method)
    }
}

/// A complete answer to an [`HttpCall`].
#[derive(Clone, Copy)]
pub struct HttpReply<'a> {
    /// The status.
    pub status: u16,
    /// Looks a header up, in any case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What is answered to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order was taken. Fills come by stream or query, never from here (EXCHANGES.md §2.4, §3.4).
    Placed {
        /// The exchange's id.
        venue_id: String,
    },
    /// It was done, or was so already.
    Done,
    /// The order.
    Order(Box<OrderView>),
    /// Orders, and where the list goes on (`None`: it is complete).
    Orders(Vec<OrderView>, Option<Cursor>),
    /// Positions likewise.
    Positions(Vec<PositionView>, Option<Cursor>),
    /// Balances.
    Balances(Vec<BalanceView>),
    /// Executions likewise.
    Executions(Vec<ExecutionView>, Option<Cursor>),
    /// Funding likewise.
    Funding(Vec<FundingView>, Option<Cursor>),
    /// Leverage and margin types.
    Settings(Vec<SettingsView>),
    /// The account.
    Account(AccountView),
    /// The key.
    Key(KeyView),
    /// The key of the user stream.
    ListenKey(String),
    /// The exchange's clock.
    Time(Millis),
    /// Instruments likewise.
    Instruments(Vec<InstrumentView>, Option<Cursor>),
    /// Brackets.
    Brackets(Vec<BracketView>),
    /// Mark prices.
    Marks(Vec<MarkView>),
    /// The last 24 hours of all that have a price, each symbol once, whatever kind of contract it is.
    DayTickers(Vec<DayTickerView>),
    /// Candles, and where the span goes on (`None`: it is complete). A page may be empty and not the last: nothing was traded.
    Klines(Vec<KlineView>, Option<Cursor>),
}

/// Whom a rate limit or a ban concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// All requests from this address.
    Address,
    /// The account's requests of the same group.
    Account,
}

/// What a failure means for whoever asked: one variant for each thing that is done differently (EXCHANGES.md §2.8, §3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Whether it happened is not known: query, never send again blindly.
    Unknown,
    /// The answer cannot be read: for a write this is as good as unknown.
    Unreadable,
    /// It did not happen; the same may be sent again a little later.
    Retry,
    /// It did not happen, because of a limit. Nothing of this scope may be sent before `until` (exchange's clock; zero:
    /// not told).
    Limited {
        /// Whom it concerns.
        scope: LimitScope,
        /// Until when.
        until: Millis,
    },
    /// The address is banned until then (zero: not told).
    Banned {
        /// Until when.
        until: Millis,
    },
    /// It did not happen: the request's time is outside the window. Synchronise, then send again.
    Clock,
    /// The exchange does not know the order, now (CASES.md, U8).
    NotFound,
    /// The exchange has an order of this id.
    Duplicate,
    /// It did not happen and will not: the order breaks a rule of the exchange, or money is missing.
    Refused(VenueReason),
    /// The account's position mode, margin type, positions or orders are others than was thought: read them, then once more
    /// or not at all (EXCHANGES.md §2.8, state clash).
    Mode,
    /// The symbol takes no orders, or only closing ones: for everybody.
    SymbolGate,
    /// The position is being liquidated.
    InLiquidation,
    /// The user must act: key, rights, address, agreement, ban of the account. No orders for this account until then.
    UserMustAct,
    /// A mistake of ours: the operator must know.
    Bug,
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?} (code {code}): {text}")]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// The exchange's code; zero without.
    pub code: i64,
    /// The exchange's text, at most [`TEXT_MAX`] bytes.
    pub text: String,
}

impl Failure {
    /// A failure with the exchange's text, cut.
    #[must_use]
    pub fn new(kind: FailureKind, code: i64, text: &str) -> Self {
        let mut end = text.len().min(TEXT_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self { kind, code, text: text[..end].to_owned() }
    }
}

/// What the exchange's headers say about used budget, where they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Weight or requests of this address in the window.
    pub address: Option<u32>,
    /// Orders of this account in the short window, or what is left of its group.
    pub account: Option<AccountUse>,
}

/// What is said about an account's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountUse {
    /// Used so far in the window.
    Used(u32),
    /// Left, and when the window begins anew.
    Left {
        /// How many.
        left: u32,
        /// Of how many.
        limit: u32,
        /// Exchange's clock.
        resets_at: Millis,
    },
}

/// What a private or public stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// An order changed.
    Order(Box<OrderView>),
    /// An execution.
    Execution(Box<ExecutionView>),
    /// Funding was settled.
    Funding(FundingView),
    /// A position changed.
    Position(PositionView),
    /// A balance changed.
    Balance(BalanceView),
    /// The leverage of a symbol changed.
    Leverage {
        /// Symbol.
        symbol: Symbol,
        /// Its leverage now.
        leverage: u8,
    },
    /// The stream's key has ended: what follows is missing until another is opened (CASES.md, S2).
    ListenKeyExpired,
    /// The log-in or subscription succeeded.
    Ready,
    /// The log-in or subscription was refused.
    Refused(Failure),
    /// The exchange asks for a new connection (Bybit 10019), or ends this one.
    Reconnect,
    /// A sign of life without content.
    Pong,
    /// A mark price.
    Mark(MarkView),
    /// A trade of the market.
    Trade(TradeView),
}

/// What a trade socket answers to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeReply {
    /// The id that the request was sent with.
    pub request_id: String,
    /// What came of it.
    pub result: Result<Answer, Failure>,
    /// What it says about budgets.
    pub used: Used,
}

/// A message of a trade socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TradeMessage {
    /// An answer to a request.
    Reply(TradeReply),
    /// An answer to a request, and the exchange asks for a new connection (Bybit 10019): requests that are under way are still
    /// answered here, new ones are not taken.
    LastReply(TradeReply),
    /// Anything that a private stream says too: log-in, sign of life, reconnect.
    Event(StreamEvent),
}

/// A message that cannot be read; says what and where, never the whole of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the exchange cannot be read: {0}")]
pub struct Malformed(pub String);

/// An exchange's language. Implemented by a type without state; see the file's head.
pub trait Protocol {
    /// For people and metrics.
    const NAME: &'static str;

    /// What the question costs when it is asked by HTTP.
    fn cost(ask: &Ask) -> Cost;
    /// The request, signed at `at` (the exchange's clock, at the moment of sending: CASES.md, T4). Without a credential only
    /// for questions that need none.
    fn request(ask: &Ask, credential: Option<&Credential>, at: Millis) -> HttpCall;
    /// What the answer means.
    ///
    /// # Errors
    /// A [`Failure`]: the exchange's refusal, or that the answer cannot be read.
    fn answer(ask: &Ask, reply: HttpReply<'_>) -> Result<Answer, Failure>;
    /// What the answer's headers say about budgets.
    fn used(reply: HttpReply<'_>) -> Used;

    /// The message that a trade socket begins with, where it logs in.
    fn trade_login(credential: &Credential, request_id: &str, at: Millis) -> Option<String>;
    /// The question as a message of a trade socket, or `None` when it is only asked by HTTP.
    fn trade_message(ask: &Ask, credential: &Credential, request_id: &str, at: Millis) -> Option<String>;
    /// Reads a message of a trade socket. `ask` finds the question of a request id.
    ///
    /// # Errors
    /// [`Malformed`].
    fn trade_read<'a>(
        message: &str,
        ask: &dyn Fn(&str) -> Option<&'a Ask>,
    ) -> Result<TradeMessage, Malformed>;

    /// Messages that a private stream begins with (log-in, subscription), in order.
    fn private_login(credential: &Credential, at: Millis) -> Vec<String>;
    /// Reads a message of a private stream. Binance streams of several accounts share a connection: each event comes with the
    /// listen key it is for (empty: of the connection as a whole).
    ///
    /// # Errors
    /// [`Malformed`].
    fn private_read(message: &str, sink: &mut dyn FnMut(&str, StreamEvent)) -> Result<(), Malformed>;
    /// The message that keeps a socket alive, where the client has to send one.
    fn heartbeat(request_id: &str) -> Option<String>;

    /// Messages that subscribe a public socket to these topics.
    fn public_subscribe(topics: &[Topic]) -> Vec<String>;
    /// Reads a message of a public stream.
    ///
    /// # Errors
    /// [`Malformed`].
    fn public_read(message: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed>;
}
