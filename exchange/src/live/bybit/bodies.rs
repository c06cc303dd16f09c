//! The JSON of what is asked of Bybit: built once, as the bytes that are signed and sent (CASES.md, T8).
//!
//! **Invariants**: a number is plain decimal, never in exponent form (X5, X6); an exit always says `reduceOnly` (O4, H8) and
//! never carries triggers; `positionIdx` follows the account's mode (H5).

use std::fmt::{self, Display, Write};

use engine::core::fixed::Price;
use engine::core::instrument::Symbol;
use engine::core::order::{OrderKind, Side};
use planted::planted;

use crate::live::protocol::{OrderRef, Placement, PositionMode, Protection};

/// A JSON object under construction. Texts are escaped as they are written.
pub(super) struct Object(String);

impl Object {
    /// An empty object.
    pub(super) fn new() -> Self {
        // An order with triggers is about 400 bytes.
        let mut text = String::with_capacity(512);
        text.push('{');
        Self(text)
    }

    /// The object of a request for `category` linear.
    fn linear() -> Self {
        let mut object = Self::new();
        object.text("category", "linear");
        object
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// Adds `"name":"value"`.
    pub(super) fn text(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.0.push('"');
        let _never_fails = write!(Escaper(&mut self.0), "{value}");
        self.0.push('"');
    }

    /// Adds `"name":value` with a value that is JSON already.
    pub(super) fn raw(&mut self, name: &str, value: impl Display) {
        self.name(name);
        let _never_fails = write!(self.0, "{value}");
    }

    /// The object.
    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Escapes what passes through it for the inside of a JSON string.
struct Escaper<'a>(&'a mut String);

impl Write for Escaper<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(c);
                }
                c if c.is_control() => write!(self.0, "\\u{:04x}", u32::from(c))?,
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

/// Which position is meant: 0 in one-way mode, 1 for the long and 2 for the short in hedge mode (CASES.md, H5).
pub(super) const fn position_index(mode: PositionMode, position: Side) -> u8 {
    match (mode, position) {
        (PositionMode::OneWay, _) => 0,
        (PositionMode::Hedge, Side::Buy) => 1,
        (PositionMode::Hedge, Side::Sell) => 2,
    }
}

/// Bybit's word for a side.
pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    }
}

/// A new order. A trigger order is conditional, on the mark price, reduce-only and close-on-trigger, with the quantity `0`
/// by which Bybit closes whatever is open (EXCHANGES.md §3.4): its side tells which way the price has to go.
pub(super) fn place(placement: &Placement) -> String {
    let order = &placement.order;
    let mut body = Object::linear();
    body.text("symbol", order.symbol);
    body.text("side", side(order.side));
    let limit = matches!(order.kind, OrderKind::Limit(_));
    body.text("orderType", if limit { "Limit" } else { "Market" });
    if order.kind.is_trigger() || (order.reduce_only && planted::planted!("close_takes_the_foreign_part_too"))
    {
        body.text("qty", "0");
    } else {
        body.text("qty", order.quantity);
    }
    if let OrderKind::Limit(price) = order.kind {
        body.text("price", price);
    }
    body.text("timeInForce", if limit { "GTC" } else { "IOC" });
    body.raw("positionIdx", position_index(placement.mode, position_side(placement)));
    body.text("orderLinkId", order.id);
    if order.reduce_only || order.kind.is_trigger() {
        body.raw("reduceOnly", true);
    }
    match order.kind {
        OrderKind::StopMarket(trigger) => conditional(&mut body, trigger, order.side == Side::Buy),
        OrderKind::TakeProfitMarket(trigger) => conditional(&mut body, trigger, order.side == Side::Sell),
        OrderKind::Market | OrderKind::Limit(_) => {
            let attached = placement.attached.as_ref().filter(|_| !order.reduce_only);
            if let Some(attached) = attached.filter(|_| !planted!("entry_leaves_without_its_stop")) {
                triggers(&mut body, attached);
            }
        }
    }
    body.end()
}

/// The side of the position that an order belongs to. A trigger order closes even when it does not say so.
fn position_side(placement: &Placement) -> Side {
    if placement.order.kind.is_trigger() {
        placement.order.side.opposite()
    } else {
        placement.position_side()
    }
}

/// What makes an order wait for a price: 1 is a rise to it, 2 a fall.
fn conditional(body: &mut Object, trigger: Price, rises: bool) {
    body.text("triggerPrice", trigger);
    body.raw("triggerDirection", if rises { 1 } else { 2 });
    body.text("triggerBy", "MarkPrice");
    body.raw("closeOnTrigger", true);
}

/// Triggers for a position as a whole.
fn triggers(body: &mut Object, protection: &Protection) {
    body.text("tpslMode", "Full");
    if let Some(take_profit) = protection.take_profit {
        body.text("takeProfit", take_profit);
        body.text("tpTriggerBy", "MarkPrice");
        body.text("tpOrderType", "Market");
    }
    if let Some(stop) = protection.stop {
        body.text("stopLoss", stop);
        body.text("slTriggerBy", "MarkPrice");
        body.text("slOrderType", "Market");
    }
}

/// Takes an order back.
pub(super) fn cancel(order: &OrderRef) -> String {
    let mut body = Object::linear();
    body.text("symbol", order.symbol);
    body.text("orderLinkId", order.id);
    body.end()
}

/// Sets the triggers of a position; one that is `None` is not named and stays.
pub(super) fn protect(symbol: Symbol, mode: PositionMode, position: Side, protection: &Protection) -> String {
    let mut body = Object::linear();
    body.text("symbol", symbol);
    body.raw("positionIdx", position_index(mode, position));
    triggers(&mut body, protection);
    body.end()
}

/// Sets the leverage of both sides: they must be equal in one-way mode, and are with us in hedge mode too.
pub(super) fn leverage(symbol: Symbol, leverage: u8) -> String {
    let mut body = Object::linear();
    body.text("symbol", symbol);
    body.text("buyLeverage", leverage);
    body.text("sellLeverage", leverage);
    body.end()
}

/// Isolated margin for the account.
pub(super) fn isolated() -> String {
    let mut body = Object::new();
    body.text("setMarginMode", "ISOLATED_MARGIN");
    body.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let mut object = Object::new();
        object.text("a", "x\"\\\n\u{7f}é");
        object.raw("b", true);
        let text = object.end();
        assert_eq!(text, "{\"a\":\"x\\\"\\\\\\u000a\\u007fé\",\"b\":true}");
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["a"], "x\"\\\n\u{7f}é");
        assert_eq!(Object::new().end(), "{}");
    }

    #[test]
    fn case_h5_the_position_index_follows_the_mode() {
        for (mode, position, index) in [
            (PositionMode::OneWay, Side::Buy, 0),
            (PositionMode::OneWay, Side::Sell, 0),
            (PositionMode::Hedge, Side::Buy, 1),
            (PositionMode::Hedge, Side::Sell, 2),
        ] {
            assert_eq!(position_index(mode, position), index, "{mode:?} {position:?}");
        }
    }
}
