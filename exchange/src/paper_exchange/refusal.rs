//! Why the paper exchange refuses something; each face has its own codes for it.

/// Why a request was refused. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such account.
    #[error("no such account")]
    Account,
    /// The account may not trade.
    #[error("the account may not trade")]
    MayNotTrade,
    /// No such symbol, or no price for it.
    #[error("no such symbol")]
    Symbol,
    /// The symbol takes no orders (of this kind) now.
    #[error("the symbol takes no such orders now")]
    SymbolClosed,
    /// The symbol takes orders that close only.
    #[error("the symbol takes closing orders only")]
    SymbolOnlyReduces,
    /// A price of zero or less.
    #[error("price not above zero")]
    PriceZero,
    /// A price off the tick.
    #[error("price not on the tick")]
    PriceTick,
    /// A quantity of zero or less.
    #[error("quantity not above zero")]
    QuantityZero,
    /// A quantity off the step.
    #[error("quantity not on the step")]
    QuantityStep,
    /// Below the smallest quantity.
    #[error("quantity below the minimum")]
    QuantityMin,
    /// Above the largest quantity of its kind.
    #[error("quantity above the maximum")]
    QuantityMax,
    /// Below the smallest notional.
    #[error("notional below the minimum")]
    Notional,
    /// Position and orders of the symbol would become larger than anything here may be.
    #[error("position above the maximum")]
    PositionMax,
    /// Not enough margin.
    #[error("not enough margin")]
    Margin,
    /// Leverage outside the bracket.
    #[error("leverage outside the bracket")]
    Leverage,
    /// Leverage of an isolated position cannot be lowered.
    #[error("leverage of an isolated position cannot be lowered")]
    LeverageReduction,
    /// Reduce-only, and there is nothing to reduce.
    #[error("nothing to reduce")]
    NothingToReduce,
    /// The trigger would fire at once.
    #[error("the trigger would fire at once")]
    WouldTrigger,
    /// Post-only, and it would take.
    #[error("the post-only order would take")]
    WouldTake,
    /// Fill or kill, and it could not be filled at once.
    #[error("the fill-or-kill order could not be filled at once")]
    NotFilledAtOnce,
    /// The client's id is in use.
    #[error("the client's id is in use")]
    DuplicateId,
    /// Too many live orders.
    #[error("too many live orders")]
    TooManyOrders,
    /// Too many waiting triggers.
    #[error("too many waiting triggers")]
    TooManyTriggers,
    /// The side of the position does not go with the mode.
    #[error("the side of the position does not go with the mode")]
    PositionSide,
    /// Reduce-only is not for hedge mode.
    #[error("reduce-only is not for hedge mode")]
    ReduceOnlyInHedge,
    /// Long and short beside each other on one symbol, which is not emulated.
    #[error("long and short on one symbol are not emulated")]
    BothSides,
    /// No such order.
    #[error("no such order")]
    UnknownOrder,
    /// The order is finished.
    #[error("the order is finished")]
    Finished,
    /// It is so already.
    #[error("no change")]
    NoChange,
    /// Not while there are live orders.
    #[error("not with live orders")]
    OrdersOpen,
    /// Not while there is a position.
    #[error("not with a position")]
    PositionsOpen,
    /// There is no position.
    #[error("no position")]
    NoPosition,
    /// The lifetime ends in the past or too soon.
    #[error("the lifetime ends too soon")]
    Lifetime,
    /// The exchange has as many accounts or keys as it may.
    #[error("no room")]
    Full,
    /// The key's text is taken, or its secret is none of its kind.
    #[error("unusable key")]
    Key,
}
