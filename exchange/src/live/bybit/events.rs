//! Private and public streams of Bybit (EXCHANGES.md §3.5).
//!
//! **Invariants**: rows of other categories are passed over. A row that cannot be read is an error of the message, after all
//! others have been told. Nothing is told twice as two things: an event that repeats is the reader's to see, by its ids.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::live::credential::Credential;
use crate::live::protocol::{Failure, FailureKind, Malformed, Millis, StreamEvent, Topic, TradeView};

use super::answers::{json, object};
use super::fields::{Field, misread};
use super::instruments::TickerRow;
use super::rows::{ExecutionRow, OrderRow, PositionRow, WalletRow, is_linear};
use super::{LOGIN_LIFE_MS, ROWS_MAX, SUBSCRIBE_MAX};

/// What a private stream is subscribed to: the topics of all categories, which may not be mixed with those of one.
const PRIVATE: &str = r#"{"op":"subscribe","args":["order","execution","position","wallet"]}"#;

/// A message of any stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    topic: Field<'a>,
    #[serde(borrow)]
    op: Field<'a>,
    #[serde(borrow)]
    success: Field<'a>,
    #[serde(borrow)]
    ret_msg: Field<'a>,
    #[serde(borrow)]
    ts: Field<'a>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// What a socket is logged in with: key, expiry, and the signature of both.
pub(super) fn login_arguments(credential: &Credential, at: Millis) -> String {
    let expires = at.0.saturating_add(LOGIN_LIFE_MS);
    let signature = credential.sign(format!("GET/realtime{expires}").as_bytes());
    // A key is letters, digits, '-' and '_', a signature hex or base64: nothing to escape.
    format!(r#"["{}",{expires},"{signature}"]"#, credential.api_key())
}

/// The messages that a private stream begins with.
pub(super) fn private_login(credential: &Credential, at: Millis) -> Vec<String> {
    vec![format!(r#"{{"op":"auth","args":{}}}"#, login_arguments(credential, at)), PRIVATE.to_owned()]
}

/// The messages that subscribe to these topics, each of at most [`SUBSCRIBE_MAX`].
pub(super) fn public_subscribe(topics: &[Topic]) -> Vec<String> {
    let name = |topic: &Topic| match topic {
        Topic::Mark(symbol) => format!("tickers.{symbol}"),
        Topic::Trades(symbol) => format!("publicTrade.{symbol}"),
    };
    let message = |group: &[Topic]| {
        let topics: Vec<String> = group.iter().map(name).collect();
        let topics = serde_json::to_string(&topics).expect("a list of texts is always JSON");
        format!(r#"{{"op":"subscribe","args":{topics}}}"#)
    };
    topics.chunks(SUBSCRIBE_MAX).map(message).collect()
}

/// Reads a message of a private stream.
pub(super) fn private_read(text: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed> {
    let message: Message<'_> = object("message", text)?;
    let topic = message.topic.as_str();
    match topic.split('.').next().unwrap_or_default() {
        "" => operation(&message, sink),
        "order" => rows(&message, |row: &OrderRow<'_>| {
            if is_linear(&row.category) {
                sink(StreamEvent::Order(Box::new(row.view()?)));
            }
            Ok(())
        }),
        // `execution.fast` is not subscribed to, and its rows lack what ours need.
        "execution" if topic != "execution.fast" => rows(&message, |row: &ExecutionRow<'_>| {
            if is_linear(&row.category)
                && let Some(event) = row.event()?
            {
                sink(event);
            }
            Ok(())
        }),
        "position" => rows(&message, |row: &PositionRow<'_>| {
            if is_linear(&row.category) {
                sink(StreamEvent::Position(row.view()?));
            }
            Ok(())
        }),
        "wallet" => rows(&message, |row: &WalletRow<'_>| {
            let mut views = Vec::new();
            let result = row.views(&mut views);
            views.into_iter().for_each(|view| sink(StreamEvent::Balance(view)));
            result
        }),
        _ => Ok(()),
    }
}

/// Reads a message of a public stream.
pub(super) fn public_read(text: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed> {
    let message: Message<'_> = object("message", text)?;
    if message.topic.is_empty() {
        return operation(&message, sink);
    }
    if message.topic.as_str().starts_with("tickers.") {
        let row: TickerRow<'_> = object("data", message.data.map_or("null", RawValue::get))?;
        if let Some(view) = row.mark(message.ts.millis("ts")?) {
            sink(StreamEvent::Mark(view));
        }
    } else if message.topic.as_str().starts_with("publicTrade.") {
        return rows(&message, |row: &TradeRow<'_>| {
            sink(StreamEvent::Trade(row.view()?));
            Ok(())
        });
    }
    Ok(())
}

/// A trade of the market.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TradeRow<'a> {
    #[serde(borrow, rename = "T")]
    at: Field<'a>,
    #[serde(borrow, rename = "s")]
    symbol: Field<'a>,
    #[serde(borrow, rename = "S")]
    side: Field<'a>,
    #[serde(borrow, rename = "v")]
    quantity: Field<'a>,
    #[serde(borrow, rename = "p")]
    price: Field<'a>,
    #[serde(borrow, rename = "i")]
    id: Field<'a>,
}

impl TradeRow<'_> {
    fn view(&self) -> Result<TradeView, Malformed> {
        let quantity = self.quantity.quantity("v")?;
        if !quantity.is_positive() || self.id.is_empty() || self.at.is_empty() {
            return Err(misread("trade", "quantity, time or id is missing"));
        }
        Ok(TradeView {
            id: self.id.id("i")?,
            symbol: self.symbol.symbol("s")?,
            side: self.side.side("S")?,
            price: self.price.price("p")?.ok_or_else(|| misread("p", "missing"))?,
            quantity,
            at: self.at.millis("T")?,
        })
    }
}

/// Tells every row that can be read; the first that cannot is the error.
fn rows<'a, T: Deserialize<'a>>(
    message: &Message<'a>,
    mut tell: impl FnMut(&T) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let rows: Vec<&'a RawValue> = json("data", message.data.map_or("null", RawValue::get))?;
    if rows.len() > ROWS_MAX {
        return Err(misread("data", "too long"));
    }
    let mut first = Ok(());
    for row in rows {
        let told = object("data", row.get()).and_then(|row: T| tell(&row));
        first = first.and(told);
    }
    first
}

/// What is answered to an operation: log-in, subscription, sign of life.
fn operation(message: &Message<'_>, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed> {
    let text = message.ret_msg.as_str();
    let refused = message.success.as_str() == "false";
    match message.op.as_str() {
        "ping" | "pong" => sink(StreamEvent::Pong),
        "auth" if !refused => sink(StreamEvent::Pong),
        "auth" => sink(StreamEvent::Refused(Failure::new(of_login(text), 0, text))),
        "subscribe" if !refused => sink(StreamEvent::Ready),
        "subscribe" => match of_subscription(text) {
            None => sink(StreamEvent::Ready),
            Some(kind) => sink(StreamEvent::Refused(Failure::new(kind, 0, text))),
        },
        // An error before the operation is known, such as a message that Bybit cannot read.
        "" if refused => sink(StreamEvent::Refused(Failure::new(FailureKind::Bug, 0, text))),
        "unsubscribe" => {}
        _ => return Err(misread("op", "not known")),
    }
    Ok(())
}

/// A log-in that is refused has a text only. That of an expiry that has passed is our clock; all others are the key.
fn of_login(text: &str) -> FailureKind {
    let text = text.to_ascii_lowercase();
    let is_key = ["api key", "api_key", "apikey"].iter().any(|word| text.contains(word));
    if !is_key && (text.contains("expire") || text.contains("timestamp")) {
        FailureKind::Clock
    } else {
        FailureKind::UserMustAct
    }
}

/// A subscription that is refused; `None` when it is so already.
fn of_subscription(text: &str) -> Option<FailureKind> {
    let text = text.to_ascii_lowercase();
    if text.contains("already subscribed") {
        None
    } else if text.contains("not authorized") {
        Some(FailureKind::Retry)
    } else if text.contains("handler not found") || text.contains("invalid symbol") {
        Some(FailureKind::SymbolGate)
    } else {
        Some(FailureKind::Bug)
    }
}

#[cfg(test)]
mod tests {
    use engine::core::instrument::Symbol;
    use engine::core::order::Side;

    use super::*;

    const ROW: &str = r#"{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",
        "i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"seq":1783284617}"#;

    fn told(rows: &str) -> (Vec<StreamEvent>, Result<(), Malformed>) {
        let mut events = Vec::new();
        let message = format!(
            r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{rows}]}}"#
        );
        let read = public_read(&message, &mut |event| events.push(event));
        (events, read)
    }

    #[test]
    fn trades_are_subscribed_to_and_read_exactly() {
        let symbol = Symbol::new("BTCUSDT").expect("a symbol");
        assert_eq!(
            public_subscribe(&[Topic::Trades(symbol), Topic::Mark(symbol)]),
            [r#"{"op":"subscribe","args":["publicTrade.BTCUSDT","tickers.BTCUSDT"]}"#]
        );
        let trade = TradeView {
            id: "20f43950-d8dd-5b31-9112-a178eb6023af".into(),
            symbol,
            side: Side::Buy,
            price: "16578.5".parse().expect("a price"),
            quantity: "0.001".parse().expect("a quantity"),
            at: Millis(1_672_304_486_865),
        };
        let two = StreamEvent::Trade(trade);
        assert_eq!(told(&format!("{ROW},{ROW}")), (vec![two.clone(), two], Ok(())));
    }

    #[test]
    fn a_trade_that_is_none_is_an_error_and_hides_no_other() {
        for (from, to) in [
            ("\"0.001\"", "\"0\""),
            ("\"0.001\"", "\"1e-9\""),
            ("\"16578.50\"", "\"\""),
            ("\"16578.50\"", "\"NaN\""),
            ("\"Buy\"", "\"buy\""),
            ("1672304486865", "null"),
            ("\"20f43950-d8dd-5b31-9112-a178eb6023af\"", "\"\""),
            ("\"BTCUSDT\"", "\"\""),
        ] {
            let (events, read) = told(&format!("{},{ROW}", ROW.replacen(from, to, 1)));
            assert_eq!((events.len(), read.is_err()), (1, true), "{to}");
        }
    }
}
