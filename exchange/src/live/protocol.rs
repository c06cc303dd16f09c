//! What a connector asks of an exchange and what it is told, in words that are the same for every exchange; and the trait
//! that turns them into an exchange's bytes and back.
//!
//! **Invariants**: pure. The same question at the same time with the same key gives the same bytes. An answer that cannot
//! be read is a [`Failure`] of kind [`FailureKind::Unreadable`], never a guess, never a panic. Fields that an exchange adds,
//! removes or leaves empty are tolerated where nothing rests on them (CASES.md, O13).
//! **Bounds**: texts of an exchange are cut at [`TEXT_MAX`] before they are kept.

use std::fmt;

use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::ClientOrderId;
use engine::core::instrument::{Instrument, Symbol};
use engine::core::order::{Liquidity, NewOrder, Side, VenueReason};

use super::credential::Credential;

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
    /// Bybit: sets the triggers of a position as a whole. Answer: [`Answer::Done`].
    Protect {
        /// Of which symbol.
        symbol: Symbol,
        /// The account's mode.
        mode: PositionMode,
        /// Side of the position, `Buy` is long.
        position: Side,
        /// The triggers; one that is `None` stays as it is.
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
    /// Binance: highest leverage and maintenance margin per symbol. Answer: [`Answer::Brackets`].
    Brackets,
    /// Mark prices of all symbols. Needs no key. Answer: [`Answer::Marks`].
    Marks,
}

impl Ask {
    /// Whether it has to be signed.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        !matches!(self, Self::Time | Self::Instruments(_) | Self::Marks)
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

/// What kind of exchange-side order it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// Market.
    Market,
    /// Limit.
    Limit,
    /// A stop-loss.
    Stop,
    /// A take-profit.
    TakeProfit,
    /// Any other.
    Other,
}

/// Where an order stands at the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewState {
    /// Live, nothing filled.
    New,
    /// Waits for its trigger.
    Untriggered,
    /// Its trigger was reached; the order that follows from it is on its way or is this one.
    Triggered,
    /// Live, filled in part.
    PartiallyFilled,
    /// Complete.
    Filled,
    /// Taken back; may hold fills (CASES.md, P3).
    Cancelled,
    /// Ended by the exchange; may hold fills.
    Expired,
    /// Refused.
    Rejected,
}

impl ViewState {
    /// Whether nothing more can happen to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled | Self::Expired | Self::Rejected)
    }
}

/// Who made an order or an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A client of the account: us, or the user by hand.
    Client,
    /// The position's own stop, where positions have one (Bybit).
    Stop,
    /// The position's own take-profit.
    TakeProfit,
    /// The exchange: liquidation.
    Liquidation,
    /// The exchange: auto-deleveraging.
    Adl,
    /// The exchange: settlement or delivery of the contract.
    Settlement,
}

/// An order as the exchange tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Its client id, as text; ours when it decodes. Empty when it has none.
    pub client_id: String,
    /// The exchange's id.
    pub venue_id: String,
    /// Client id of the order whose attached trigger this is (Bybit); else empty.
    pub parent: String,
    /// The exchange's id of the order that came of this trigger (Binance); else empty.
    pub became: String,
    /// Symbol.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// What kind.
    pub kind: ViewKind,
    /// Where it stands.
    pub state: ViewState,
    /// Why it ended, where the exchange says it.
    pub reason: Option<VenueReason>,
    /// How much was asked for; zero for those that close all.
    pub quantity: Quantity,
    /// How much of it is filled.
    pub filled: Quantity,
    /// Mean price of the fills; `None` without.
    pub average: Option<Price>,
    /// Trigger price of a trigger order.
    pub trigger: Option<Price>,
    /// Whether it can only make a position smaller.
    pub reduce_only: bool,
    /// Who made it.
    pub maker: Maker,
    /// The exchange's time of its last change.
    pub updated_at: Millis,
}

/// One execution as the exchange tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionView {
    /// The exchange's id of the execution: unique within the symbol.
    pub trade_id: String,
    /// Order among the executions of the symbol: greater is later.
    pub sequence: u64,
    /// Client id of its order, as text; may be empty.
    pub client_id: String,
    /// The exchange's id of its order.
    pub venue_id: String,
    /// Symbol.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub quantity: Quantity,
    /// Filled quantity of its order after it, where the exchange says it: tells a gap.
    pub filled: Option<Quantity>,
    /// Whether its order is complete with it, where the exchange says it.
    pub is_last: Option<bool>,
    /// Fee in `fee_asset`; positive is paid.
    pub fee: Money,
    /// The asset that the fee was paid in; empty: the settlement asset.
    pub fee_asset: String,
    /// Took or made.
    pub liquidity: Liquidity,
    /// Who made its order.
    pub maker: Maker,
    /// The exchange's time of it.
    pub at: Millis,
}

/// Funding that was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FundingView {
    /// Symbol; `None` when the exchange does not say.
    pub symbol: Option<Symbol>,
    /// Received; negative is paid. In `asset`.
    pub amount: Money,
    /// The asset.
    pub asset: String,
    /// The rate, where it is told; positive: longs pay shorts.
    pub rate: Option<Rate>,
    /// The mark price it was computed at, where it is told.
    pub mark: Option<Price>,
    /// The exchange's time of it.
    pub at: Millis,
}

/// A position as the exchange tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionView {
    /// Symbol.
    pub symbol: Symbol,
    /// `Buy` is long; meaningless when flat.
    pub side: Side,
    /// Its size; zero when flat.
    pub quantity: Quantity,
    /// Mean entry price; zero when flat or not told.
    pub entry: Price,
    /// Leverage; zero when not told.
    pub leverage: u8,
    /// Stop-loss of the whole position (Bybit); `None`: none or not told.
    pub stop: Option<Price>,
    /// Take-profit likewise.
    pub take_profit: Option<Price>,
    /// The exchange's time of its last change.
    pub updated_at: Millis,
}

/// What an account holds of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceView {
    /// The asset.
    pub asset: String,
    /// Wallet balance: without unrealised profit.
    pub wallet: Money,
    /// What may be used as margin, where it is told.
    pub available: Option<Money>,
}

/// Leverage and margin type of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingsView {
    /// Symbol.
    pub symbol: Symbol,
    /// Leverage.
    pub leverage: u8,
    /// Whether its margin is isolated; `None`: not told.
    pub isolated: Option<bool>,
}

/// Facts of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its mode; `None`: told per symbol only.
    pub mode: Option<PositionMode>,
    /// Whether it may trade.
    pub may_trade: bool,
    /// Whether margin is isolated for the account as a whole (Bybit); `None`: per symbol.
    pub isolated: Option<bool>,
}

/// Facts of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Whether it may place futures orders.
    pub may_trade: bool,
    /// Whether it may withdraw: such a key is refused.
    pub may_withdraw: bool,
    /// Whether it is bound to addresses.
    pub bound_to_address: bool,
    /// When it ends, where it does.
    pub expires_at: Option<Millis>,
}

/// Highest leverage and maintenance margin of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BracketView {
    /// Symbol.
    pub symbol: Symbol,
    /// Highest leverage of the first bracket.
    pub leverage_max: u8,
    /// Maintenance margin of the first bracket.
    pub maintenance: Rate,
}

/// An instrument with what the core's [`Instrument`] does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentView {
    /// The instrument. Fees are the exchange's standard where it does not tell them per symbol.
    pub instrument: Instrument,
    /// When it is delisted or delivered, where that is told.
    pub ends_at: Option<Millis>,
}

/// A price of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkView {
    /// Symbol.
    pub symbol: Symbol,
    /// Mark price.
    pub mark: Price,
    /// The exchange's time of it.
    pub at: Millis,
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

    /// Messages that subscribe a public socket to the mark prices of these symbols.
    fn public_subscribe(symbols: &[Symbol]) -> Vec<String>;
    /// Reads a message of a public stream.
    ///
    /// # Errors
    /// [`Malformed`].
    fn public_read(message: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed>;
}
