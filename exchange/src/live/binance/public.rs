//! Streams of the market: mark prices and trades, subscribed to and read (EXCHANGES.md §2.1).
//!
//! **Bounds**: a subscription message has at most [`SUBSCRIBE_MAX`] topics.

use std::borrow::Cow;

use engine::core::fixed::{Price, Quantity};
use engine::core::order::Side;
use serde::Deserialize;

use super::envelope::{self, Head, Message};
use super::json::{self, Flag, Num, malformed};
use super::orders;
use crate::live::protocol::{Malformed, MarkView, StreamEvent, Topic, TradeView};

/// Topics in one subscription message: with 24 bytes a symbol it stays below 4 KiB, and the 1,024 streams of a connection
/// take eleven messages, which is just above one second's allowance of ten.
const SUBSCRIBE_MAX: usize = 100;

/// Messages that subscribe to these topics: mark prices once a second, trades as they are aggregated by order. Stream names are
/// lower-case; letters outside ASCII stay as they are.
pub(super) fn subscribe(topics: &[Topic]) -> Vec<String> {
    let name = |topic: &Topic| match topic {
        Topic::Mark(symbol) => format!("{}@markPrice@1s", symbol.as_str().to_ascii_lowercase()),
        Topic::Trades(symbol) => format!("{}@aggTrade", symbol.as_str().to_ascii_lowercase()),
    };
    (1_u32..)
        .zip(topics.chunks(SUBSCRIBE_MAX))
        .map(|(id, topics)| {
            let names: Vec<String> = topics.iter().map(name).collect();
            let names = serde_json::to_string(&names).expect("texts are always JSON");
            format!(r#"{{"method":"SUBSCRIBE","params":{names},"id":{id}}}"#)
        })
        .collect()
}

/// Reads a message of a public connection.
pub(super) fn read(message: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed> {
    let text = if message.trim_start().starts_with('[') {
        message
    } else {
        match envelope::open(message)? {
            Message::Event { text, .. } => text,
            Message::Other(event) => {
                event.into_iter().for_each(sink);
                return Ok(());
            }
        }
    };
    if text.trim_start().starts_with('[') {
        // All marks in one message: one that cannot be read does not take the others along.
        for row in json::list("marks", text)? {
            if let Ok(Some(event)) = event(row.get()) {
                sink(event);
            }
        }
        return Ok(());
    }
    event(text)?.into_iter().for_each(sink);
    Ok(())
}

/// An event; `None` for any other kind, and for a symbol or a price that is none.
fn event(text: &str) -> Result<Option<StreamEvent>, Malformed> {
    let head: Head<'_> = json::read("event", text)?;
    Ok(match head.e.as_deref() {
        Some("markPriceUpdate") => mark(text)?.map(StreamEvent::Mark),
        Some("aggTrade") => trade(text)?.map(StreamEvent::Trade),
        _ => None,
    })
}

#[derive(Deserialize)]
struct MarkData<'a> {
    #[serde(borrow, rename = "s")]
    symbol: Cow<'a, str>,
    #[serde(borrow, rename = "p")]
    mark: Num<'a>,
    #[serde(borrow, rename = "E")]
    at: Num<'a>,
}

/// A mark; `None` for one that is no price (CASES.md, F9, F10).
fn mark(text: &str) -> Result<Option<MarkView>, Malformed> {
    let data: MarkData<'_> = json::read("markPriceUpdate", text)?;
    let Some(symbol) = orders::symbol(&data.symbol) else { return Ok(None) };
    let mark: Price = data.mark.exact("mark price")?;
    Ok(mark.is_positive().then_some(MarkView { symbol, mark, at: data.at.millis("event time")? }))
}

#[derive(Deserialize)]
struct TradeData<'a> {
    #[serde(borrow, rename = "s")]
    symbol: Cow<'a, str>,
    #[serde(borrow, rename = "a")]
    id: Num<'a>,
    #[serde(borrow, rename = "p")]
    price: Num<'a>,
    #[serde(borrow, rename = "q")]
    quantity: Num<'a>,
    #[serde(borrow, rename = "T")]
    at: Num<'a>,
    #[serde(rename = "m")]
    buyer_made: Flag,
}

/// A trade: all that one order took at one price.
fn trade(text: &str) -> Result<Option<TradeView>, Malformed> {
    let data: TradeData<'_> = json::read("aggTrade", text)?;
    let Some(symbol) = orders::symbol(&data.symbol) else { return Ok(None) };
    let price: Price = data.price.exact("price")?;
    let quantity: Quantity = data.quantity.exact("quantity")?;
    if !price.is_positive() || !quantity.is_positive() {
        return Err(malformed("trade", "price or quantity is not above zero"));
    }
    Ok(Some(TradeView {
        id: data.id.id("aggregate trade id")?.to_owned(),
        symbol,
        side: if data.buyer_made.0 { Side::Sell } else { Side::Buy },
        price,
        quantity,
        at: data.at.millis("trade time")?,
    }))
}

#[cfg(test)]
mod tests {
    use engine::core::instrument::Symbol;

    use super::*;
    use crate::live::protocol::Millis;

    /// The makers' example, with the field that came later.
    const TRADE: &str = r#"{"e":"aggTrade","E":123456789,"s":"BTCUSDT","a":5933014,"p":"0.001","q":"100","nq":"90",
        "f":100,"l":105,"T":123456785,"m":true}"#;

    fn told(message: &str) -> Result<Vec<StreamEvent>, Malformed> {
        let mut events = Vec::new();
        read(message, &mut |event| events.push(event)).map(|()| events)
    }

    #[test]
    fn trades_are_subscribed_to_and_read_exactly() {
        let symbol = Symbol::new("BTCUSDT").expect("a symbol");
        assert_eq!(
            subscribe(&[Topic::Trades(symbol), Topic::Mark(symbol)]),
            [r#"{"method":"SUBSCRIBE","params":["btcusdt@aggTrade","btcusdt@markPrice@1s"],"id":1}"#]
        );
        let trade = TradeView {
            id: "5933014".into(),
            symbol,
            side: Side::Sell,
            price: "0.001".parse().expect("a price"),
            quantity: "100".parse().expect("a quantity"),
            at: Millis(123_456_785),
        };
        let want = vec![StreamEvent::Trade(trade.clone())];
        assert_eq!(told(TRADE), Ok(want.clone()));
        assert_eq!(told(&format!(r#"{{"stream":"btcusdt@aggTrade","data":{TRADE}}}"#)), Ok(want));
        let bought = TRADE.replace("true", "false");
        assert_eq!(told(&bought), Ok(vec![StreamEvent::Trade(TradeView { side: Side::Buy, ..trade })]));
    }

    #[test]
    fn a_trade_that_is_none_is_an_error() {
        for (from, to) in [
            ("\"0.001\"", "\"0\""),
            ("\"0.001\"", "\"NaN\""),
            ("\"0.001\"", "\"0.000000001\""),
            ("\"100\"", "\"-1\""),
            ("\"100\"", "null"),
            ("5933014", "\"x\""),
            ("123456785", "1.5"),
            ("true", "7"),
        ] {
            assert!(told(&TRADE.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert_eq!(told(&TRADE.replace("BTCUSDT", "")), Ok(Vec::new()), "no symbol, no trade");
    }
}
