//! At what prices a signal was filled: each subscriber's own, and first, last, lowest, highest and spread over the fan-out.
//!
//! **Runs on**: the shard that owns the subscriber, then the shard that the request landed on. **Bounds**: two prices a
//! subscriber; four prices a side over the fan-out. **Never**: floating point. Orders that the state no longer keeps
//! (`ORDER_HISTORY_MAX` newer ones of the same user) have no price here; how many subscribers have one is told.

use engine::core::fixed::{Money, Price, Quantity, Rounding, UNIT, mul_div};
use engine::core::ids::{Leg, SignalId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::Side;
use engine::core::position::Order;
use engine::core::user::User;
use serde::Serialize;

use crate::reads::decimal;

/// What one subscriber's orders of a signal came to on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFill {
    /// Bought or sold.
    pub side: Side,
    /// Filled so far.
    pub quantity: Quantity,
    /// Average price of the fills, rounded half to even.
    pub price: Price,
    /// First fill.
    pub at: Timestamp,
}

/// What a user's orders of a signal came to, bought and sold. As in the receipt, entries speak for opens and signal closes for
/// closes: what stops, targets and reversals made is not the signal's price.
#[must_use]
pub fn fills_of(user: &User, signal: SignalId) -> [Option<LineFill>; 2] {
    let orders = || user.final_orders.iter().chain(&user.orders);
    [Side::Buy, Side::Sell].map(|side| {
        fill_of(orders().filter(|order| {
            let id = order.new.id;
            let of_it = matches!(id.leg, Leg::Entry | Leg::SignalClose)
                || (planted::planted!("reversal_told_as_the_signals_price") && id.leg == Leg::ReversalClose);
            id.signal == signal && order.new.side == side && of_it
        }))
    })
}

/// Several rounds of one leg as one fill.
fn fill_of<'a>(orders: impl Iterator<Item = &'a Order>) -> Option<LineFill> {
    let (mut quantity, mut notional, mut first) = (Quantity::ZERO, Money::ZERO, None::<&Order>);
    for order in orders.filter(|order| !order.filled.is_zero()) {
        quantity = quantity.checked_add(order.filled)?;
        notional = notional.checked_add(order.notional)?;
        first = Some(first.filter(|first| first.filled_at <= order.filled_at).unwrap_or(order));
    }
    let first = first?;
    LineFill::of(first.new.side, quantity, notional, first.filled_at)
}

impl LineFill {
    /// So much for so much; `None` for nothing, or where the price does not fit.
    #[must_use]
    pub fn of(side: Side, quantity: Quantity, notional: Money, at: Timestamp) -> Option<Self> {
        let price = mul_div(notional.units(), UNIT, quantity.units(), Rounding::HalfEven);
        price.map(|units| Self { side, quantity, price: Price::from_units(units), at })
    }
}

/// When who was first filled. Of one moment, users stand in the order of their ids, so that a fan-out always tells the same.
type When = (Timestamp, UserId);

/// The prices of one side.
#[derive(Clone, Copy, Debug)]
struct Prices {
    users: u64,
    first: (When, Price),
    last: (When, Price),
    lowest: Price,
    highest: Price,
}

/// The prices of a fan-out, bought and sold.
#[derive(Clone, Copy, Debug, Default)]
pub struct FillPrices([Option<Prices>; 2]);

impl FillPrices {
    /// Takes what came to one subscriber.
    pub fn add(&mut self, user: UserId, fills: &[Option<LineFill>; 2]) {
        for fill in fills.iter().flatten() {
            let one = ((fill.at, user), fill.price);
            let side = &mut self.0[usize::from(fill.side == Side::Sell)];
            *side = Some(match *side {
                None => Prices { users: 1, first: one, last: one, lowest: fill.price, highest: fill.price },
                Some(so_far) => Prices {
                    users: so_far.users + 1,
                    first: if one.0 < so_far.first.0 { one } else { so_far.first },
                    last: if one.0 > so_far.last.0 { one } else { so_far.last },
                    lowest: so_far.lowest.min(fill.price),
                    highest: so_far.highest.max(fill.price),
                },
            });
        }
    }

    /// For the receipt.
    #[must_use]
    pub fn view(&self, symbol: Symbol) -> Vec<FillPricesView> {
        let sides = [Side::Buy, Side::Sell].into_iter().zip(self.0);
        sides.filter_map(|(side, prices)| prices.map(|p| view(symbol, side, &p))).collect()
    }
}

fn view(symbol: Symbol, side: Side, prices: &Prices) -> FillPricesView {
    let (lowest, highest) = (i128::from(prices.lowest.units()), i128::from(prices.highest.units()));
    let spread = highest - lowest;
    FillPricesView {
        symbol: symbol.to_string(),
        side: side.as_str(),
        users: prices.users,
        first: prices.first.1.to_string(),
        first_at: prices.first.0.0.0,
        last: prices.last.1.to_string(),
        last_at: prices.last.0.0.0,
        lowest: prices.lowest.to_string(),
        highest: prices.highest.to_string(),
        spread: decimal(spread),
        spread_basis_points: hundredths_of_basis_points(spread, lowest).map(|n| decimal(n * 1_000_000)),
    }
}

/// A spread in hundredths of a basis point of the lowest price, rounded down; `None` when that is zero.
fn hundredths_of_basis_points(spread: i128, lowest: i128) -> Option<i128> {
    (lowest > 0).then(|| spread * 1_000_000 / lowest)
}

/// The prices of one side of a symbol over the fan-out.
#[derive(Serialize)]
pub struct FillPricesView {
    symbol: String,
    side: &'static str,
    /// Subscribers with a fill.
    users: u64,
    /// Average price of the subscriber whose first fill was the earliest.
    first: String,
    first_at: u64,
    /// Of the one whose first fill was the latest.
    last: String,
    last_at: u64,
    lowest: String,
    highest: String,
    /// Highest less lowest, in units of the price.
    spread: String,
    /// The same in basis points of the lowest, to two places, rounded down.
    spread_basis_points: Option<String>,
}

/// One subscriber's fill in a row of the receipt.
#[derive(Serialize)]
pub struct LineFillView {
    side: &'static str,
    quantity: String,
    average_price: String,
}

impl From<&LineFill> for LineFillView {
    fn from(fill: &LineFill) -> Self {
        Self {
            side: fill.side.as_str(),
            quantity: fill.quantity.to_string(),
            average_price: fill.price.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::core::ids::{AccountId, ClientOrderId, SourceId};
    use engine::core::order::{NewOrder, OrderKind};

    use super::*;

    fn signal() -> SignalId {
        SignalId { source: SourceId { owner: UserId(1), index: 0 }, number: 3 }
    }

    fn order(round: u8, filled: &str, notional: &str, at: u64) -> Order {
        let account = AccountId { user: UserId(9), index: 0 };
        let id = ClientOrderId { round, ..ClientOrderId::first(signal(), account, Leg::SignalClose) };
        let new = NewOrder {
            id,
            symbol: Symbol::new("BTCUSDT").expect("a symbol"),
            side: Side::Sell,
            kind: OrderKind::Market,
            quantity: "2".parse().expect("exact"),
            reduce_only: true,
            leverage: 1,
        };
        Order {
            filled: filled.parse().expect("exact"),
            notional: notional.parse().expect("exact"),
            filled_at: Timestamp(at),
            ..Order::pending(new, signal(), Timestamp(1))
        }
    }

    fn fill(side: Side, price: &str, at: u64) -> [Option<LineFill>; 2] {
        let price = price.parse().expect("exact");
        let fill = LineFill { side, quantity: Quantity::from_units(UNIT), price, at: Timestamp(at) };
        if side == Side::Buy { [Some(fill), None] } else { [None, Some(fill)] }
    }

    #[test]
    fn rounds_of_a_leg_are_one_price() {
        let rounds = [order(0, "0.5", "50", 30), order(1, "0", "0", 0), order(2, "1.5", "154", 20)];
        let fill = fill_of(rounds.iter()).expect("filled");
        assert_eq!((fill.price.to_string(), fill.at), ("102".into(), Timestamp(20)));
        assert_eq!(fill.quantity.to_string(), "2");
        assert_eq!(fill_of(rounds[1..2].iter()), None, "nothing filled, no price");
    }

    #[test]
    fn first_last_and_spread_are_those_of_the_whole_fan_out() {
        let mut prices = FillPrices::default();
        for (user, price, at) in
            [(7, "100.2", 30), (3, "100", 20), (5, "100.05", 20), (4, "100.33333333", 25), (8, "100.1", 30)]
        {
            prices.add(UserId(user), &fill(Side::Buy, price, at));
        }
        prices.add(UserId(6), &fill(Side::Sell, "99", 21));
        prices.add(UserId(2), &[None, None]);
        let views = prices.view(Symbol::new("BTCUSDT").expect("a symbol"));
        let json = serde_json::to_value(&views).expect("plain data");
        assert_eq!(
            json,
            serde_json::json!([
                {
                    "symbol": "BTCUSDT", "side": "buy", "users": 5,
                    "first": "100", "first_at": 20, "last": "100.1", "last_at": 30,
                    "lowest": "100", "highest": "100.33333333",
                    "spread": "0.33333333", "spread_basis_points": "33.33",
                },
                {
                    "symbol": "BTCUSDT", "side": "sell", "users": 1,
                    "first": "99", "first_at": 21, "last": "99", "last_at": 21,
                    "lowest": "99", "highest": "99", "spread": "0", "spread_basis_points": "0",
                },
            ])
        );
    }

    #[test]
    fn the_widest_prices_do_not_overflow() {
        let most = i128::from(i64::MAX);
        assert_eq!(hundredths_of_basis_points(most - 1, 1), Some((most - 1) * 1_000_000));
        assert_eq!(hundredths_of_basis_points(0, 0), None);
        assert!(!decimal((most - 1) * 1_000_000 * 1_000_000).is_empty());
    }
}
