//! A position and the orders around it: pure bookkeeping shared by `decide` (on a copy) and `apply`.
//!
//! **Invariants**: an exit never takes more than what is open; the cost shares of all exits sum to the entry cost; the
//! realised profit of a position is the sum over its fills, computed once and carried by the events.

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::{Money, Price, Quantity, Rate, Rounding, UNIT, mul_div};
use super::ids::{ClientOrderId, Leg, SignalId, Timestamp};
use super::instrument::{Instrument, Symbol};
use super::order::{Fill, NewOrder, OrderState, Side, VenueReason};

/// Where a position stands. See DOMAIN.md §2, States.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum PositionState {
    /// Its entry is on the way; perhaps filled in part.
    Opening,
    /// Its entry is complete.
    Open,
    /// It is being closed by an order of ours.
    Closing,
    /// Flat.
    Closed,
    /// Flat, by the venue's liquidation.
    Liquidated,
}

impl PositionState {
    /// The word DOMAIN.md uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "OPENING",
            Self::Open => "OPEN",
            Self::Closing => "CLOSING",
            Self::Closed => "CLOSED",
            Self::Liquidated => "LIQUIDATED",
        }
    }
}

/// Why a position was closed. See DOMAIN.md §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum CloseReason {
    /// Its take-profit.
    TakeProfit,
    /// Its stop-loss.
    StopLoss,
    /// A signal.
    Signal,
    /// The user.
    Manual,
    /// An opposite signal.
    Reversal,
    /// The venue.
    Liquidation,
    /// Somebody else on the exchange account.
    External,
    /// A halt that flattens.
    Halt,
    /// It had no live stop.
    Unprotected,
}

impl CloseReason {
    /// The word DOMAIN.md uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TakeProfit => "TAKE_PROFIT",
            Self::StopLoss => "STOP_LOSS",
            Self::Signal => "SIGNAL",
            Self::Manual => "MANUAL",
            Self::Reversal => "REVERSAL",
            Self::Liquidation => "LIQUIDATION",
            Self::External => "EXTERNAL",
            Self::Halt => "HALT",
            Self::Unprotected => "UNPROTECTED",
        }
    }
}

/// How a position is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Closing {
    /// Why.
    pub reason: CloseReason,
    /// The leg of its close orders.
    pub leg: Leg,
    /// The signal of its close orders: the closing one for `SIGNAL` and `REVERSAL`, else the opening one.
    pub signal: SignalId,
    /// The round of the next close order.
    pub round: u8,
}

/// A position of one account on one symbol. Its id is its opening signal together with the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Position {
    /// The signal that opened it.
    pub signal: SignalId,
    /// Place of the account in the user's list.
    pub account: u8,
    /// On what.
    pub symbol: Symbol,
    /// `Buy` is long, `Sell` is short.
    pub side: Side,
    /// Where it stands.
    pub state: PositionState,
    /// Leverage it was opened with.
    pub leverage: u8,
    /// What is open now.
    pub quantity: Quantity,
    /// Notional at entry of what is open now.
    pub entry_cost: Money,
    /// All that was ever bought into it.
    pub entry_quantity: Quantity,
    /// Margin set aside for the part of the entry that is not filled yet.
    pub reserved: Money,
    /// Realised profit before fees and funding.
    pub realised: Money,
    /// Trading fees paid.
    pub fees: Money,
    /// Funding received (negative: paid).
    pub funding: Money,
    /// Trigger of its stop-loss.
    pub stop: Price,
    /// Trigger of its take-profit.
    pub take_profit: Price,
    /// Where the venue liquidates it.
    pub liquidation: Price,
    /// Stop distance in percent of price, from the settings; zero when the signal named the stop itself.
    pub stop_multiplier: Rate,
    /// Take-profit distance likewise.
    pub take_profit_multiplier: Rate,
    /// The profit share that was agreed when it opened.
    pub share: Rate,
    /// The venue's time of its first fill.
    pub opened_venue_at: Timestamp,
    /// The venue's time of the last funding that was booked.
    pub funded_at: Timestamp,
    /// When it was decided on.
    pub decided_at: Timestamp,
    /// First fill.
    pub opened_at: Timestamp,
    /// Flat.
    pub closed_at: Timestamp,
    /// Set while it is being closed, and kept after.
    pub closing: Option<Closing>,
    /// Set when flat.
    pub closed: Option<CloseReason>,
}

/// An order with all that happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Order {
    /// The order as it was decided.
    pub new: NewOrder,
    /// The opening signal of the position it belongs to.
    pub position: SignalId,
    /// Where it stands.
    pub state: OrderState,
    /// Filled so far.
    pub filled: Quantity,
    /// Notional of the fills.
    pub notional: Money,
    /// Fees of the fills.
    pub fees: Money,
    /// Number of the last fill.
    pub fills: u32,
    /// Why it was refused or ended.
    pub reason: Option<VenueReason>,
    /// Whether a cancel was asked for.
    pub cancelling: bool,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When its first byte left, after the intent was durable; zero until known.
    pub sent_at: Timestamp,
    /// First fill; zero until then.
    pub filled_at: Timestamp,
    /// When it became final; zero until then.
    pub done_at: Timestamp,
}

impl Order {
    /// A fresh order.
    #[must_use]
    pub const fn pending(new: NewOrder, position: SignalId, decided_at: Timestamp) -> Self {
        Self {
            new,
            position,
            state: OrderState::Pending,
            filled: Quantity::ZERO,
            notional: Money::ZERO,
            fees: Money::ZERO,
            fills: 0,
            reason: None,
            cancelling: false,
            decided_at,
            sent_at: Timestamp(0),
            filled_at: Timestamp(0),
            done_at: Timestamp(0),
        }
    }

    /// Whether something can still happen to it.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        !self.state.is_final()
    }

    /// Average price of the fills, rounded half to even; `None` without fills.
    #[must_use]
    pub fn average_price(&self) -> Option<Price> {
        if self.filled.is_zero() {
            return None;
        }
        mul_div(self.notional.units(), UNIT, self.filled.units(), Rounding::HalfEven).map(Price::from_units)
    }
}

/// The price at which the venue liquidates an isolated position of `quantity` entered at `entry`: where the margin left equals
/// the maintenance margin. Long: `(entry·(1 − 1/leverage) − deduction/quantity)/(1 − maintenance)`, short with plus signs;
/// rounded to the tick towards the entry.
///
/// Of several brackets the one whose price lies nearest to the entry counts: that is the bracket in which the position is when
/// it is liquidated, which for a short may be one above that of its entry. Deductions count: without them a position that has
/// just reached its next bracket would be liquidated at its own entry, and orders would be refused that the exchange takes.
#[must_use]
pub fn liquidation_price(
    entry: Price,
    quantity: Quantity,
    side: Side,
    leverage: u8,
    instrument: &Instrument,
) -> Option<Price> {
    let (unit, leverage) = (i128::from(UNIT), i128::from(leverage.max(1)));
    let (entry, quantity) = (i128::from(entry.units()), i128::from(quantity.units().max(1)));
    let prices = instrument.maintenance_rows().filter_map(|(rate, deduction)| {
        let rate = i128::from(rate.units());
        // Rounded down, which is towards the entry on both sides.
        let deducted = (i128::from(deduction.units()) * unit).div_euclid(quantity);
        let price = match side {
            Side::Buy => {
                let left = (entry * (leverage - 1) - deducted * leverage) * unit;
                -(-left).div_euclid(leverage * (unit - rate).max(1))
            }
            Side::Sell => {
                let left = (entry * (leverage + 1) + deducted * leverage) * unit;
                left.div_euclid(leverage * (unit + rate))
            }
        };
        i64::try_from(price).ok().map(Price::from_units)
    });
    match side {
        Side::Buy => prices.max().map(|price| price.ceil_to(instrument.tick)),
        Side::Sell => prices.min().map(|price| price.floor_to(instrument.tick)),
    }
}

/// A price `percent` away from `entry`, against (`adverse`) or for the position, rounded to the tick towards the entry,
/// so that a stop or target is never further than asked.
#[must_use]
pub fn price_at_distance(
    entry: Price,
    side: Side,
    adverse: bool,
    percent: Rate,
    tick: Price,
) -> Option<Price> {
    let below = (side == Side::Buy) == adverse;
    let hundred = Rate::from_whole(100);
    let factor = if below { hundred.checked_sub(percent)? } else { hundred.checked_add(percent)? };
    let rounding = if below { Rounding::Ceil } else { Rounding::Floor };
    let price = entry.scaled(factor.units(), hundred.units(), rounding)?;
    Some(if below { price.ceil_to(tick) } else { price.floor_to(tick) })
}

/// How far the clock of an exchange, its round times and ours may be apart, in microseconds.
const CLOCKS_APART: u64 = 60_000_000;

impl Position {
    /// What an entry begins that is filled after its end was told: nothing yet, without triggers, margin set aside or a profit
    /// share.
    #[must_use]
    pub const fn of_late_entry(order: &NewOrder, at: Timestamp) -> Self {
        Self { state: PositionState::Closing, ..Self::of_entry(order, at) }
    }

    /// What an entry that was decided on then begins, before anything is set for it.
    #[must_use]
    pub const fn of_entry(order: &NewOrder, at: Timestamp) -> Self {
        Self {
            signal: order.id.signal,
            account: order.id.account.index,
            symbol: order.symbol,
            side: order.side,
            state: PositionState::Opening,
            leverage: order.leverage,
            quantity: Quantity::ZERO,
            entry_cost: Money::ZERO,
            entry_quantity: Quantity::ZERO,
            reserved: Money::ZERO,
            realised: Money::ZERO,
            fees: Money::ZERO,
            funding: Money::ZERO,
            stop: Price::ZERO,
            take_profit: Price::ZERO,
            liquidation: Price::ZERO,
            stop_multiplier: Rate::ZERO,
            take_profit_multiplier: Rate::ZERO,
            share: Rate::ZERO,
            opened_venue_at: Timestamp(0),
            funded_at: Timestamp(0),
            decided_at: at,
            opened_at: Timestamp(0),
            closed_at: Timestamp(0),
            closing: None,
            closed: None,
        }
    }

    /// Whether something of it was open at a time of the exchange, as far as clocks tell.
    #[must_use]
    pub fn was_open_at(&self, venue_at: Timestamp) -> bool {
        let opened = self.opened_venue_at != Timestamp(0)
            && self.opened_venue_at <= venue_at.plus_micros(CLOCKS_APART);
        opened && (self.is_active() || venue_at <= self.closed_at.plus_micros(CLOCKS_APART))
    }

    /// Average entry price of what is open, rounded half to even; `None` while nothing is.
    #[must_use]
    pub fn entry_price(&self) -> Option<Price> {
        if self.quantity.is_zero() {
            return None;
        }
        mul_div(self.entry_cost.units(), UNIT, self.quantity.units(), Rounding::HalfEven)
            .map(Price::from_units)
    }

    /// Whether anything is or may become open.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !matches!(self.state, PositionState::Closed | PositionState::Liquidated)
    }

    /// Margin bound by it: the entry cost over the leverage, rounded up, and what is reserved for the rest of the entry.
    #[must_use]
    pub fn margin(&self) -> Money {
        margin_of(self.entry_cost, self.leverage).checked_add(self.reserved).unwrap_or(Money::MAX)
    }

    /// Profit at `mark` of what is open, before fees.
    #[must_use]
    pub fn unrealised(&self, mark: Price) -> Money {
        let now = mark.notional(self.quantity).unwrap_or(Money::ZERO);
        let profit = now.checked_sub(self.entry_cost).unwrap_or(Money::ZERO);
        if self.side == Side::Buy { profit } else { profit.negated() }
    }

    /// What a fill of an exit of `quantity` at `price` realises. The cost share of a partial exit is rounded half to
    /// even, the last exit takes the rest. `None` when a number does not fit.
    #[must_use]
    pub fn realise(&self, price: Price, quantity: Quantity) -> Option<Money> {
        let cost = if planted::planted!("rounding_remainder_lost") {
            self.entry_price()?.notional(quantity)?
        } else {
            self.cost_share(quantity)?
        };
        let profit = price.notional(quantity)?.checked_sub(cost)?;
        Some(if self.side == Side::Buy { profit } else { profit.negated() })
    }

    fn cost_share(&self, quantity: Quantity) -> Option<Money> {
        if quantity >= self.quantity {
            return Some(self.entry_cost);
        }
        self.entry_cost.scaled(quantity.units(), self.quantity.units(), Rounding::HalfEven)
    }

    /// Books a fill of the entry.
    ///
    /// # Panics
    /// When a sum does not fit: `decide` refuses such sizes.
    pub fn enter(&mut self, fill: &Fill, last: bool, at: Timestamp) {
        let notional = fill.price.notional(fill.quantity).expect("the notional of a fill fits");
        self.quantity = self.quantity.checked_add(fill.quantity).expect("a position's size fits");
        self.entry_quantity = self.entry_quantity.checked_add(fill.quantity).expect("a position's size fits");
        self.entry_cost = self.entry_cost.checked_add(notional).expect("a position's cost fits");
        self.fees = self.fees.checked_add(fill.fee).expect("fees fit");
        self.reserved = if last {
            Money::ZERO
        } else {
            let rest = self.reserved.checked_sub(margin_of(notional, self.leverage)).unwrap_or(Money::ZERO);
            if rest.is_negative() { Money::ZERO } else { rest }
        };
        if self.opened_at == Timestamp(0) {
            self.opened_at = at;
            self.opened_venue_at = fill.venue_at;
        }
        if last && self.state == PositionState::Opening {
            self.state = PositionState::Open;
        }
    }

    /// Books a fill of another entry on its symbol and side: what is set aside for its own entry stays.
    ///
    /// # Panics
    /// When a sum does not fit: `decide` refuses such sizes.
    pub fn enter_late(&mut self, fill: &Fill, at: Timestamp) {
        let reserved = self.reserved;
        self.enter(fill, false, at);
        self.reserved = reserved;
    }

    /// Books a fill of an exit that realised `realised` on `quantity`.
    ///
    /// # Panics
    /// When a sum does not fit.
    pub fn exit(&mut self, quantity: Quantity, fee: Money, realised: Money) {
        let cost = self.cost_share(quantity).expect("a cost share is below the cost");
        self.entry_cost = self.entry_cost.checked_sub(cost).expect("a cost share is below the cost");
        self.quantity = self.quantity.checked_sub(quantity).expect("an exit is within what is open");
        self.realised = self.realised.checked_add(realised).expect("profit fits");
        self.fees = self.fees.checked_add(fee).expect("fees fit");
    }

    /// Profit after fees and funding so far.
    ///
    /// # Panics
    /// When a sum does not fit.
    #[must_use]
    pub fn net(&self) -> Money {
        let after_fees = self.realised.checked_sub(self.fees).expect("profit fits");
        after_fees.checked_add(self.funding).expect("profit fits")
    }
}

/// Margin of a notional at a leverage, rounded up.
#[must_use]
pub fn margin_of(notional: Money, leverage: u8) -> Money {
    notional.scaled(1, i64::from(leverage.max(1)), Rounding::Ceil).unwrap_or(Money::MAX)
}

/// The client order id of a position's order.
#[must_use]
pub const fn order_id(
    signal: SignalId,
    user: super::ids::UserId,
    account: u8,
    leg: Leg,
    round: u8,
) -> ClientOrderId {
    ClientOrderId { signal, account: super::ids::AccountId { user, index: account }, leg, round }
}
