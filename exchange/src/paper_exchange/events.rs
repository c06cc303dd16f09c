//! What happened to an account, in the order in which it happened; a face makes its stream messages from it.

use engine::core::fixed::Money;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::accounts::{AccountNo, Income, Position, SymbolSettings};
use super::orders::{Execution, Order};

/// Something that happened to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub account: AccountNo,
    /// Number, growing by one with each event of the exchange.
    pub seq: u64,
    /// The exchange's time of it.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Accepted: live, or waiting for its trigger.
    New,
    /// Its trigger fired; [`Change::Live`] or [`Change::Ended`] follows.
    Fired,
    /// It is live after its trigger fired.
    Live,
    /// Executed.
    Executed(Box<Execution>),
    /// Ended before it was complete; `Order::end` says why.
    Ended,
    /// Price, quantity or trigger were changed.
    Amended,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// To an order; it is told as it was just after.
    Order(Box<Order>, Change),
    /// A position changed; told as it was just after, `None`: flat.
    Position {
        /// Of which symbol.
        symbol: Symbol,
        /// The position.
        position: Option<Box<Position>>,
        /// The wallet just after.
        wallet: Money,
        /// By how much the wallet changed, without fees and realised profit.
        flow: Money,
        /// Why.
        cause: Cause,
    },
    /// Funding was settled; [`What::Position`] with [`Cause::Funding`] follows.
    Funding(Box<Income>),
    /// Settings of a symbol changed.
    Settings(Symbol, SymbolSettings),
    /// The position mode changed.
    Mode {
        /// Whether it is hedge mode now.
        hedge: bool,
    },
}

impl What {
    /// The symbol it is about.
    #[must_use]
    pub fn symbol(&self) -> Option<Symbol> {
        match self {
            Self::Order(order, _) => Some(order.spec.symbol),
            Self::Position { symbol, .. } | Self::Settings(symbol, _) => Some(*symbol),
            Self::Funding(income) => income.symbol,
            Self::Mode { .. } => None,
        }
    }
}

/// Why a position or wallet changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An execution.
    Order,
    /// The exchange's own close.
    Liquidation,
    /// Funding.
    Funding,
    /// Leverage or margin type.
    Settings,
    /// The triggers of the position.
    Triggers,
}
