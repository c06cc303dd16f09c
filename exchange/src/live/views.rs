//! What an exchange tells of orders, executions, positions, accounts and instruments, in words that are the same for both.

use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::instrument::{Instrument, Symbol};
use engine::core::order::{Liquidity, Side, VenueReason};

use super::protocol::{Millis, PositionMode};
use super::tickers::Turnover;

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
    /// What followed from its trigger is over; how much of that was filled is not told with it (Binance).
    Finished,
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
    /// The exchange's own name of the account, where this tells it (Binance: `accountAlias`).
    pub account: Option<String>,
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
    /// Its position mode, where that is the symbol's (Bybit); `None`: not told.
    pub mode: Option<PositionMode>,
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
    /// The exchange's own id of the account, where this tells it (Bybit: `userID`).
    pub account: Option<String>,
}

/// What positions of a symbol up to a notional are allowed, and must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BracketView {
    /// Symbol.
    pub symbol: Symbol,
    /// The largest notional.
    pub notional_max: Money,
    /// Highest leverage.
    pub leverage_max: u8,
    /// Maintenance margin as a share of the notional.
    pub maintenance: Rate,
}

/// An instrument with what the core's [`Instrument`] does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentView {
    /// The instrument. Fees are the exchange's standard where it does not tell them per symbol.
    pub instrument: Instrument,
    /// When it is delisted or delivered, where that is told.
    pub ends_at: Option<Millis>,
    /// Whether it is a perpetual contract that is quoted and margined in USDT: not one in another coin, nor one that is
    /// delivered on a date.
    pub is_usdt_perpetual: bool,
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

/// What a contract did in the last 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayTickerView {
    /// Symbol.
    pub symbol: Symbol,
    /// By how much the last price is above that of 24 hours ago, as a fraction of it: −1 to 10,000, exactly as it is told.
    /// Binance tells three places of a percentage: what moved by less is told as zero.
    pub change: Rate,
    /// What was traded in them, in the currency that it is quoted in.
    pub turnover: Turnover,
    /// The exchange's time at which they end.
    pub at: Millis,
}

/// A candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KlineView {
    /// When it opens, on the grid of its interval.
    pub opens_at: Millis,
    /// First price.
    pub open: Price,
    /// Highest price: not below any other.
    pub high: Price,
    /// Lowest price: not above any other.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// How much was traded, in the base asset; `None` when that is more than can be held exactly.
    pub volume: Option<Quantity>,
}

/// A trade of the market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeView {
    /// The exchange's id of it: unique within the symbol.
    pub id: String,
    /// Symbol.
    pub symbol: Symbol,
    /// What whoever took liquidity did.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub quantity: Quantity,
    /// The exchange's time of it.
    pub at: Millis,
}
