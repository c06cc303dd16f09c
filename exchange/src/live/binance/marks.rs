//! Mark prices: the public stream (EXCHANGES.md §2.7), subscribed to and read.
//!
//! **Bounds**: a subscription message has at most [`SUBSCRIBE_MAX`] symbols.

use std::borrow::Cow;

use engine::core::fixed::Price;
use engine::core::instrument::Symbol;
use serde::Deserialize;

use super::envelope::{self, Head, Message};
use super::json::{self, Num};
use super::orders;
use crate::live::protocol::{Malformed, MarkView, StreamEvent};

/// Symbols in one subscription message: with 24 bytes a symbol it stays below 4 KiB, and the 1,024 streams of a connection
/// take eleven messages, which is just above one second's allowance of ten.
const SUBSCRIBE_MAX: usize = 100;

/// Messages that subscribe to the mark prices of these symbols, once a second each. Stream names are lower-case; letters
/// outside ASCII stay as they are.
pub(super) fn subscribe(symbols: &[Symbol]) -> Vec<String> {
    (1_u32..)
        .zip(symbols.chunks(SUBSCRIBE_MAX))
        .map(|(id, symbols)| {
            let name = |symbol: &Symbol| format!("{}@markPrice@1s", symbol.as_str().to_ascii_lowercase());
            let names: Vec<String> = symbols.iter().map(name).collect();
            let names = serde_json::to_string(&names).expect("texts are always JSON");
            format!(r#"{{"method":"SUBSCRIBE","params":{names},"id":{id}}}"#)
        })
        .collect()
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

/// Reads a message of a public connection.
pub(super) fn public(message: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed> {
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
            if let Ok(Some(view)) = mark(row.get()) {
                sink(StreamEvent::Mark(view));
            }
        }
        return Ok(());
    }
    mark(text)?.into_iter().for_each(|view| sink(StreamEvent::Mark(view)));
    Ok(())
}

/// A mark; `None` for any other event, and for a mark that is no price (CASES.md, F9, F10).
fn mark(text: &str) -> Result<Option<MarkView>, Malformed> {
    let head: Head<'_> = json::read("event", text)?;
    if head.e.as_deref() != Some("markPriceUpdate") {
        return Ok(None);
    }
    let data: MarkData<'_> = json::read("markPriceUpdate", text)?;
    let Some(symbol) = orders::symbol(&data.symbol) else { return Ok(None) };
    let mark: Price = data.mark.exact("mark price")?;
    Ok(mark.is_positive().then_some(MarkView { symbol, mark, at: data.at.millis("event time")? }))
}
