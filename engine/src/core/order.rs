//! Orders: what is asked of a venue, what state it is in, and what a venue reports back.

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::{Money, Price, Quantity, Rate};
use super::ids::{AccountId, ClientOrderId, Timestamp};
use super::instrument::Symbol;

/// Buy or sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum Side {
    /// Buy.
    Buy,
    /// Sell.
    Sell,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
    /// +1 for buy, -1 for sell.
    #[must_use]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }
    /// The field's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// How an order meets the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum OrderKind {
    /// At once, at the market; the rest after a bounded number of ticks is cancelled.
    Market,
    /// At this price or better, until cancelled.
    Limit(Price),
    /// Market, once the mark price has moved against the position to the trigger. Closes the whole position.
    StopMarket(Price),
    /// Market, once the mark price has moved for the position to the trigger. Closes the whole position.
    TakeProfitMarket(Price),
}

impl OrderKind {
    /// A stable machine word, and the limit or trigger price.
    #[must_use]
    pub const fn words(self) -> (&'static str, Option<Price>) {
        match self {
            Self::Market => ("market", None),
            Self::Limit(price) => ("limit", Some(price)),
            Self::StopMarket(trigger) => ("stop_market", Some(trigger)),
            Self::TakeProfitMarket(trigger) => ("take_profit_market", Some(trigger)),
        }
    }

    /// Whether it waits for a trigger price.
    #[must_use]
    pub const fn is_trigger(self) -> bool {
        matches!(self, Self::StopMarket(_) | Self::TakeProfitMarket(_))
    }
}

/// An order as it is sent to a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NewOrder {
    /// Its id, unique for ever; also names the account.
    pub id: ClientOrderId,
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Market, limit or trigger.
    pub kind: OrderKind,
    /// How much. For trigger orders the size when placed; they close whatever is open when they trigger.
    pub quantity: Quantity,
    /// Only ever makes a position smaller; checked at fill time.
    pub reduce_only: bool,
    /// Leverage the account uses on this symbol, 1 or more.
    pub leverage: u8,
}

/// Where an order stands. See DOMAIN.md §2, States.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum OrderState {
    /// Decided and (once the record is flushed) durable; the venue has not confirmed it.
    Pending,
    /// The venue has it.
    Submitted,
    /// Some of it is filled and the rest is live.
    PartiallyFilled,
    /// All of it is filled.
    Filled,
    /// Taken back, perhaps after fills.
    Cancelled,
    /// Refused by the venue.
    Rejected,
    /// Ended by the venue, perhaps after fills.
    Expired,
    /// The outcome is not known; queried by its id until it is.
    Unknown,
}

impl OrderState {
    /// Whether nothing more can happen to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled | Self::Rejected | Self::Expired)
    }
    /// The word DOMAIN.md uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Submitted => "SUBMITTED",
            Self::PartiallyFilled => "PARTIALLY_FILLED",
            Self::Filled => "FILLED",
            Self::Cancelled => "CANCELLED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Why a venue refused an order or ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum VenueReason {
    /// No such symbol, or it takes no orders of this kind now.
    Symbol,
    /// Price off the tick or out of range.
    Price,
    /// Quantity off the step, below the minimum or above the maximum.
    Quantity,
    /// Notional below the minimum.
    Notional,
    /// Not enough margin.
    Margin,
    /// Leverage above the bracket.
    Leverage,
    /// Reduce-only and there is nothing (left) to reduce: for a close this means it is already flat.
    NothingToReduce,
    /// A trigger that would fire at once.
    WouldTrigger,
    /// The id was used before.
    DuplicateId,
    /// The account is not known or not allowed to trade.
    Account,
    /// The market did not hold enough liquidity in time.
    Liquidity,
    /// Asked for by us.
    Requested,
    /// The position it protected is gone.
    PositionClosed,
    /// Too many orders are open.
    TooManyOrders,
    /// The venue never got it: it does not know the id, and the order is older than a venue takes it for.
    NotReceived,
    /// It was never sent: the venue could not be reached, or its limits did not allow it while the signal was valid.
    NotSent,
    /// The exchange account holds a position on the symbol that is not ours.
    ForeignPosition,
}

impl VenueReason {
    /// As a stable machine word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Symbol => "symbol",
            Self::Price => "price",
            Self::Quantity => "quantity",
            Self::Notional => "notional",
            Self::Margin => "margin",
            Self::Leverage => "leverage",
            Self::NothingToReduce => "nothing_to_reduce",
            Self::WouldTrigger => "would_trigger",
            Self::DuplicateId => "duplicate_id",
            Self::Account => "account",
            Self::Liquidity => "liquidity",
            Self::Requested => "requested",
            Self::PositionClosed => "position_closed",
            Self::TooManyOrders => "too_many_orders",
            Self::NotReceived => "not_received",
            Self::NotSent => "not_sent",
            Self::ForeignPosition => "foreign_position",
        }
    }
}

/// Whether a fill took or made liquidity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Liquidity {
    /// Took.
    Taker,
    /// Made.
    Maker,
}

impl Liquidity {
    /// The field's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taker => "taker",
            Self::Maker => "maker",
        }
    }
}

/// One execution of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Fill {
    /// Number of this execution within its order, from 1: a repeat of an earlier number is the same fill told again.
    pub number: u32,
    /// Price, on the tick.
    pub price: Price,
    /// Quantity, on the step.
    pub quantity: Quantity,
    /// Fee in the settlement currency; positive is paid.
    pub fee: Money,
    /// Took or made.
    pub liquidity: Liquidity,
    /// The venue's time of it.
    pub venue_at: Timestamp,
}

/// What a venue tells about an account. A fact: it is never refused for a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VenueReport {
    /// The order is live at the venue.
    Accepted {
        /// Which order.
        id: ClientOrderId,
        /// The venue's time of it.
        venue_at: Timestamp,
    },
    /// The order was refused; it never had an effect.
    Rejected {
        /// Which order.
        id: ClientOrderId,
        /// Why.
        reason: VenueReason,
    },
    /// The order was executed, in part or in full.
    Filled {
        /// Which order.
        id: ClientOrderId,
        /// The execution.
        fill: Fill,
        /// Whether the order is now complete. Trigger orders close what is open, so their quantity does not tell.
        last: bool,
    },
    /// The order ended before it was filled completely; it may hold fills.
    Ended {
        /// Which order.
        id: ClientOrderId,
        /// Cancelled on request or expired by itself.
        state: OrderState,
        /// Why.
        reason: VenueReason,
    },
    /// Funding was settled on an open position.
    Funding {
        /// Whose.
        account: AccountId,
        /// On which symbol.
        symbol: Symbol,
        /// The venue's time of the settlement: at most one per account, symbol and time.
        venue_at: Timestamp,
        /// The rate; positive means longs pay shorts.
        rate: Rate,
        /// The mark price it was computed at.
        mark: Price,
        /// What the account received; negative is paid.
        amount: Money,
    },
    /// The venue closed (part of) a position by itself: liquidation or auto-deleveraging.
    Liquidated {
        /// Whose.
        account: AccountId,
        /// On which symbol.
        symbol: Symbol,
        /// The execution; its number counts the venue's own executions on this account, from 1.
        fill: Fill,
    },
    /// Somebody else on the exchange account closed (part of) a position: the user by hand, or another program.
    ClosedOutside {
        /// Whose.
        account: AccountId,
        /// On which symbol.
        symbol: Symbol,
        /// The execution; its number counts with those of `Liquidated`.
        fill: Fill,
    },
    /// What the venue says is in the wallet, at a moment when all it had done was told before.
    Wallet {
        /// Whose.
        account: AccountId,
        /// The wallet balance in the settlement currency, without unrealised profit.
        wallet: Money,
    },
    /// The answer to a query: the venue does not know this id.
    NotFound {
        /// Which order.
        id: ClientOrderId,
    },
    /// An entry was executed although its end was told. The order is told whole: it may be forgotten.
    LateEntry {
        /// The order.
        order: NewOrder,
        /// What was told of it before.
        before: Told,
        /// The execution; its number goes on from those of the order that were told before. It either makes a position of the
        /// other side smaller, by no more than is open, or does not.
        fill: Fill,
    },
}

/// What was told of an order so far: for a state that has forgotten it, so that the order stays the one that it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Told {
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Sum of its fills.
    pub filled: Quantity,
    /// Sum of price × quantity of its fills.
    pub notional: Money,
    /// Sum of their fees.
    pub fees: Money,
}

impl Told {
    /// With one more fill; sums that do not fit stay.
    #[must_use]
    pub fn with(self, fill: &Fill) -> Self {
        let notional = fill.price.notional(fill.quantity).and_then(|more| self.notional.checked_add(more));
        Self {
            decided_at: self.decided_at,
            filled: self.filled.checked_add(fill.quantity).unwrap_or(self.filled),
            notional: notional.unwrap_or(self.notional),
            fees: self.fees.checked_add(fill.fee).unwrap_or(self.fees),
        }
    }
}

impl VenueReport {
    /// The account it is about.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        match self {
            Self::Accepted { id, .. }
            | Self::Rejected { id, .. }
            | Self::Filled { id, .. }
            | Self::Ended { id, .. }
            | Self::NotFound { id } => id.account,
            Self::LateEntry { order, .. } => order.id.account,
            Self::Funding { account, .. }
            | Self::Liquidated { account, .. }
            | Self::ClosedOutside { account, .. }
            | Self::Wallet { account, .. } => *account,
        }
    }
}
