//! What events come in: bare, or in the envelope of a combined stream; and what answers a subscription.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::errors;
use super::json;
use crate::live::protocol::{Ask, Malformed, Millis, StreamEvent};

/// A message: an event, an event in the envelope of a combined stream, or an answer to a subscription.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorRow<'a>>,
    code: Option<i64>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ErrorRow<'a> {
    code: Option<i64>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
}

/// The name of an event, and the listen key that some carry.
#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) e: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "listenKey")]
    pub(super) listen_key: Option<Cow<'a, str>>,
}

/// What a message is.
pub(super) enum Message<'a> {
    /// An event, and the name of its stream (empty: not told).
    Event { stream: Cow<'a, str>, text: &'a str },
    /// Of the connection as a whole; `None` when it says nothing.
    Other(Option<StreamEvent>),
}

/// Takes a message out of its envelope.
pub(super) fn open(message: &str) -> Result<Message<'_>, Malformed> {
    let envelope: Envelope<'_> = json::read("stream", message)?;
    if let Some(data) = envelope.data {
        return Ok(Message::Event { stream: envelope.stream.unwrap_or_default(), text: data.get() });
    }
    if envelope.e.is_some() {
        return Ok(Message::Event { stream: Cow::Borrowed(""), text: message });
    }
    let (code, text) = match envelope.error {
        Some(error) => (error.code, error.msg),
        None => (envelope.code, envelope.msg),
    };
    if let Some(code) = code.filter(|code| *code != 0) {
        let refused = errors::judge(&Ask::Time, 400, code, &text.unwrap_or_default(), Millis(0));
        return Ok(Message::Other(refused.err().map(StreamEvent::Refused)));
    }
    Ok(Message::Other(envelope.id.map(|_| StreamEvent::Ready)))
}

/// The listen key in a stream's name. The maker documents the bare key; a filter of events may follow behind an `@`, and the
/// name may be the part of the address that the stream was opened with.
pub(super) fn listen_key(stream: &str) -> &str {
    let key = stream.split_once("listenKey=").map_or(stream, |(_, key)| key);
    key.split(['@', '&', '/']).next().unwrap_or_default()
}
