//! What a shard asks of an exchange, as one trait.
//!
//! **Runs on**: the shard that owns the accounts. **Owns**: nothing; this file holds the contract and its messages.
//! **Invariants**: calls never block and never answer in place: every answer is a
//! [`VenueReport`] that [`Venue::poll`] hands out, per account in the order in which things happened. One
//! [`ClientOrderId`] makes at most one order. The engine's durable state is the memory of an account: after a
//! restart [`Venue::restore`] tells the venue, and a fill that the engine had not made durable did not happen.
//! **Bounds**: requests wait in a queue of the venue; when it is full the call says [`Busy`] and nothing happened.
//! Requests that can only make a position smaller keep a reserved part of that queue.

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, Symbol};
use engine::core::order::{NewOrder, Side, VenueReport};

/// A price and when the venue had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The mark price, on the instrument's tick.
    pub price: Price,
    /// The venue's time of it.
    pub venue_at: Timestamp,
}

/// The request was not taken, for its queue is full: nothing happened. Poll, then ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the venue's request queue is full: poll it and ask again")]
pub struct Busy;

/// Why an account could not be opened or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The account is open already; nothing was changed.
    #[error("account {0} is open already")]
    AlreadyOpen(AccountId),
    /// The venue holds as many accounts as it may.
    #[error("the venue holds its maximum of {0} accounts: raise PaperLimits::accounts_max or add a shard")]
    TooMany(u32),
    /// A position or an order is on a symbol that the venue does not list.
    #[error("{0} is not in the venue's instrument list: list it before restoring this account")]
    UnknownSymbol(Symbol),
    /// The snapshot contradicts itself.
    #[error("the snapshot of account {account} cannot be: {what}")]
    Inconsistent {
        /// Whose.
        account: AccountId,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A new account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountOpening {
    /// Its id.
    pub id: AccountId,
    /// What is in it at the start, in the settlement currency, zero or more.
    pub wallet: Money,
}

/// An open position as the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionSnapshot {
    /// On which symbol.
    pub symbol: Symbol,
    /// `Buy` is long, `Sell` is short.
    pub side: Side,
    /// How much is open; above zero.
    pub quantity: Quantity,
    /// Notional of the entry fills that is still in the position (after the shares of partial exits).
    pub entry_cost: Money,
    /// Leverage of the position.
    pub leverage: u8,
    /// The venue's time of the fill that opened it from flat.
    pub opened_at: Timestamp,
    /// The venue's time of the last funding settled on this account and symbol.
    pub last_funding: Option<Timestamp>,
}

/// A live order as the engine knows it: confirmed by the venue and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderSnapshot {
    /// The order as it was submitted.
    pub order: NewOrder,
    /// How much of it is filled so far.
    pub filled: Quantity,
    /// How many fills it has so far.
    pub fills: u32,
}

/// Everything a venue must know again about an account after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// Which account.
    pub id: AccountId,
    /// Start + realised − fees + funding, by the rules of `docs/paper-venue.md`.
    pub wallet: Money,
    /// The open positions, at most one per symbol.
    pub positions: Vec<PositionSnapshot>,
    /// The live orders. Orders that are only pending belong not here: they are submitted again or queried.
    pub orders: Vec<OrderSnapshot>,
    /// How many executions the venue made by itself so far (`Liquidated` reports).
    pub venue_fills: u32,
}

/// An exchange. See the file's header for the contract.
pub trait Venue {
    /// All instruments, sorted by symbol.
    fn instruments(&self) -> &[Instrument];
    /// The instrument of exactly this symbol; O(log n).
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument>;
    /// The newest price of this symbol; `None` when there is none yet.
    fn mark(&self, symbol: Symbol) -> Option<Mark>;

    /// Makes a new account known.
    ///
    /// # Errors
    /// [`AccountError::AlreadyOpen`], [`AccountError::TooMany`], [`AccountError::Inconsistent`] for a wallet that is
    /// negative or too large to reckon with.
    fn open_account(&mut self, opening: AccountOpening) -> Result<(), AccountError>;
    /// Makes an account known again after a restart. All or nothing.
    ///
    /// # Errors
    /// See [`AccountError`].
    fn restore(&mut self, snapshot: &AccountSnapshot) -> Result<(), AccountError>;

    /// Asks for an order. Reports follow: `Accepted` and what comes of it, or `Rejected`. An id that the venue knows
    /// is answered with the state of the existing order and never makes a second one.
    ///
    /// # Errors
    /// [`Busy`]: not taken.
    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), Busy>;
    /// Asks to take an order back. Confirmed by `Ended`; an order that is gone is answered with its final state, an
    /// unknown one with `NotFound`.
    ///
    /// # Errors
    /// [`Busy`]: not taken.
    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy>;
    /// Asks for the state of an order: `Accepted` and its fills, its final state, or `NotFound`.
    ///
    /// # Errors
    /// [`Busy`]: not taken.
    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy>;

    /// Does at most `budget` units of work and hands what happened to `sink`. A unit is a report, a request, a price
    /// or one account's part of a price. Returns the units done: fewer than `budget` means that nothing is left for
    /// now. Prices do not advance while reports or requests wait.
    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize;
    /// When `poll` has work again at the latest; `None`: only after a request.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp>;
}
