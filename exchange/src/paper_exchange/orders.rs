//! Orders and executions as the paper exchange keeps them, in the words of neither face.

use engine::core::fixed::{Money, Price, Quantity, Rounding};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use engine::core::order::{Liquidity, Side};

use super::accounts::AccountNo;

/// Number of an order, of the order that a fired trigger became, or of an execution: unique in the exchange, growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderNo(pub u64);

impl OrderNo {
    /// As the text in the form of a UUID that Bybit uses: the same for the same number, and without an order.
    #[must_use]
    pub fn as_uuid(self) -> String {
        let (a, b) = (mix(self.0), mix(!self.0));
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xFFFF,
            a & 0xFFF,
            b >> 48 & 0xFFF,
            b & 0xFFFF_FFFF_FFFF
        )
    }
}

impl OrderNo {
    /// The number of a text that [`OrderNo::as_uuid`] made; `None` for any other.
    #[must_use]
    pub fn of_uuid(text: &str) -> Option<Self> {
        if text.len() != 36 || !text.is_ascii() {
            return None;
        }
        let hex = |part: &str| u64::from_str_radix(part, 16).ok();
        let known = hex(&text[..8])? << 32 | hex(&text[9..13])? << 16 | hex(&text[15..18])?;
        // Four bits of the number gave way to the version of the UUID.
        (0..16).map(|bits| Self(unmix(known | bits << 12))).find(|no| no.as_uuid() == text)
    }
}

/// The inverse of [`mix`].
const fn unmix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(0x3196_42B2_D24D_8EC3);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(0x96DE_1B17_3F11_9089);
    z = z ^ (z >> 30) ^ (z >> 60);
    z.wrapping_sub(0x9E37_79B9_7F4A_7C15)
}

/// A fixed mixing function (splitmix64), one to one.
pub(super) const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// How an order meets the market once it is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At the market.
    Market,
    /// At this price or better.
    Limit(Price),
}

/// How long an order lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until cancelled.
    UntilCancelled,
    /// Until this time.
    Until(Timestamp),
    /// What cannot be filled at once ends.
    ImmediateOrCancel,
    /// All at once or nothing.
    FillOrKill,
    /// Only if it does not take.
    PostOnly,
}

/// Which side of a hedge an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionSide {
    /// One-way mode.
    Both,
    /// The long side.
    Long,
    /// The short side.
    Short,
}

/// What a trigger is for, as far as that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Protects against loss.
    Stop,
    /// Takes a profit.
    TakeProfit,
    /// Neither is said (a plain conditional order of Bybit).
    Plain,
}

/// Which price a trigger watches. Mark, last and index price are one here, so this is told and changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watched {
    /// The last price: what both exchanges take when nothing is said.
    #[default]
    Last,
    /// The mark price.
    Mark,
    /// The index price (Bybit alone).
    Index,
}

/// When a conditional order becomes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The price.
    pub price: Price,
    /// Which price has to reach it.
    pub watched: Watched,
    /// Whether the price has to rise to it; else to fall to it.
    pub rising: bool,
    /// What it is for.
    pub role: Role,
}

/// Triggers that come into being with a position (Bybit: `takeProfit`, `stopLoss` of an order).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// The stop-loss.
    pub stop: Option<Price>,
    /// The take-profit.
    pub take_profit: Option<Price>,
}

/// Who made an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The account's client.
    Client,
    /// The exchange, for the triggers of a position (or of the order of this number).
    Attached(Option<OrderNo>),
    /// The exchange: liquidation.
    Liquidation,
}

/// A new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSpec {
    /// The client's id for it; made by the exchange when `None`. Its form was checked by the face.
    pub client_id: Option<String>,
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Market or limit (of what a trigger becomes, if there is one).
    pub kind: Kind,
    /// How long.
    pub life: Life,
    /// How much; not looked at with `close_position`.
    pub quantity: Quantity,
    /// Only makes a position smaller.
    pub reduce_only: bool,
    /// Closes all that is open. With a trigger it ends when the position does.
    pub close_position: bool,
    /// Waits for a price.
    pub trigger: Option<Trigger>,
    /// Which side of a hedge.
    pub position_side: PositionSide,
    /// Triggers for the position that it opens.
    pub attached: Attached,
    /// Who made it.
    pub origin: Origin,
    /// A post-only order that would take is accepted and then ends ([`EndReason::WouldTake`]), instead of
    /// [`super::Refusal::WouldTake`].
    pub accept_first: bool,
}

impl OrderSpec {
    /// A market order.
    #[must_use]
    pub fn market(symbol: Symbol, side: Side, quantity: Quantity) -> Self {
        Self {
            client_id: None,
            symbol,
            side,
            kind: Kind::Market,
            life: Life::UntilCancelled,
            quantity,
            reduce_only: false,
            close_position: false,
            trigger: None,
            position_side: PositionSide::Both,
            attached: Attached::default(),
            origin: Origin::Client,
            accept_first: false,
        }
    }

    /// A limit order until it is cancelled.
    #[must_use]
    pub fn limit(symbol: Symbol, side: Side, quantity: Quantity, price: Price) -> Self {
        Self { kind: Kind::Limit(price), ..Self::market(symbol, side, quantity) }
    }

    /// Whether it can only make a position smaller.
    #[must_use]
    pub const fn closes_only(&self) -> bool {
        self.reduce_only || self.close_position
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for its trigger.
    Untriggered,
    /// Live, nothing filled.
    New,
    /// Live, filled in part.
    PartiallyFilled,
    /// Complete.
    Filled,
    /// Taken back by the client; may hold fills.
    Cancelled,
    /// Ended by the exchange; may hold fills.
    Expired,
    /// Refused when its trigger fired.
    Rejected,
}

impl State {
    /// Whether nothing more can happen to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled | Self::Expired | Self::Rejected)
    }
}

/// Why an order ended without being complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client asked.
    Requested,
    /// The rest of an immediate-or-cancel or fill-or-kill order.
    Immediate,
    /// A post-only order would have taken.
    WouldTake,
    /// The margin was not there when it was to be executed.
    Margin,
    /// The position that it could close is gone.
    PositionClosed,
    /// The market did not hold enough.
    Liquidity,
    /// Its time is over.
    Time,
    /// Refused when its trigger fired, for another reason.
    Refused,
    /// Replaced by another trigger of its position.
    Replaced,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub no: OrderNo,
    /// Whose.
    pub account: AccountNo,
    /// As it was asked for, with what was amended since; `client_id` is always there.
    pub spec: OrderSpec,
    /// Where it stands.
    pub state: State,
    /// Why it ended, when it is not complete.
    pub end: Option<EndReason>,
    /// How much is filled.
    pub filled: Quantity,
    /// Notional of the fills.
    pub cost: Money,
    /// Fees of the fills.
    pub fees: Money,
    /// What the fills that closed something brought, less the fees of entry and exit.
    pub closed_net: Money,
    /// The number under which it went to the market when its trigger fired (Binance: `actualOrderId`).
    pub fired_as: Option<OrderNo>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its trigger fired.
    pub fired_at: Option<Timestamp>,
    /// Whether the market had it after its trigger fired.
    pub went_live: bool,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// How often it was amended.
    pub amendments: u32,
}

impl Order {
    /// The client's id for it.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.spec.client_id.as_deref().unwrap_or_default()
    }

    /// Mean price of the fills, half to even at the eighth place; `None` without fills.
    #[must_use]
    pub fn average(&self) -> Option<Price> {
        mean_price(self.cost, self.filled)
    }

    /// What is left to fill.
    #[must_use]
    pub fn remaining(&self) -> Quantity {
        self.spec.quantity.checked_sub(self.filled).filter(|left| !left.is_negative()).unwrap_or_default()
    }

    /// Its limit price.
    #[must_use]
    pub const fn limit(&self) -> Option<Price> {
        match self.spec.kind {
            Kind::Limit(price) => Some(price),
            Kind::Market => None,
        }
    }
}

/// `cost / quantity`, half to even at the eighth place; `None` for no quantity.
#[must_use]
pub fn mean_price(cost: Money, quantity: Quantity) -> Option<Price> {
    let one = Quantity::from_whole(1).units();
    cost.scaled(one, quantity.units(), Rounding::HalfEven).map(|mean| Price::from_units(mean.units()))
}

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Its number: the trade id.
    pub no: OrderNo,
    /// Of which order.
    pub order: OrderNo,
    /// On which symbol.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub quantity: Quantity,
    /// Notional.
    pub cost: Money,
    /// Fee; positive is paid.
    pub fee: Money,
    /// What it realised before fees.
    pub realised: Money,
    /// The part of the entries' fees that belongs to what it closed.
    pub entry_fee: Money,
    /// How much of it made a position smaller.
    pub closed: Quantity,
    /// Took or made.
    pub liquidity: Liquidity,
    /// Whether it is the exchange's own close of a position.
    pub liquidation: bool,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_its_number_again() {
        for no in [0, 1, 8_000_000_001, 8_000_123_456, u64::MAX] {
            assert_eq!(OrderNo::of_uuid(&OrderNo(no).as_uuid()), Some(OrderNo(no)));
        }
        for text in ["", "é", "00000000-0000-4000-a000-000000000000", &"+".repeat(36), &"é".repeat(18)] {
            assert_eq!(OrderNo::of_uuid(text), None, "{text}");
        }
    }
}
