//! Bybit's order entry over WebSocket: one connection per account, logged in once (EXCHANGES.md §3.4).
//!
//! **Invariants**: the same JSON as by HTTP; the time in the header is that of sending, as 10002 and not the log-in guards it.
//! A reply that says that the service restarts is still a reply: its order was not placed.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::live::credential::Credential;
use crate::live::protocol::{
    Answer, Ask, Failure, FailureKind, Malformed, Millis, StreamEvent, TradeMessage, TradeReply,
};

use super::answers::{object, placed};
use super::bodies::{self, Object};
use super::events::login_arguments;
use super::fields::{Field, misread};
use super::{RECEIVE_WINDOW_MS, errors};

/// The message that logs in.
pub(super) fn login(credential: &Credential, request_id: &str, at: Millis) -> String {
    let mut message = Object::new();
    message.text("reqId", request_id);
    message.text("op", "auth");
    message.raw("args", login_arguments(credential, at));
    message.end()
}

/// A new order or a cancellation as a message; the rest is asked by HTTP.
pub(super) fn message(ask: &Ask, request_id: &str, at: Millis) -> Option<String> {
    let (op, body) = match ask {
        Ask::Place(placement) => ("order.create", bodies::place(placement)),
        Ask::Cancel(order) => ("order.cancel", bodies::cancel(order)),
        _ => return None,
    };
    let mut header = Object::new();
    header.text("X-BAPI-TIMESTAMP", at.0);
    header.text("X-BAPI-RECV-WINDOW", RECEIVE_WINDOW_MS);
    let mut message = Object::new();
    message.text("reqId", request_id);
    message.raw("header", header.end());
    message.text("op", op);
    message.raw("args", format_args!("[{body}]"));
    Some(message.end())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header<'a> {
    #[serde(borrow, rename = "X-Bapi-Limit")]
    limit: Field<'a>,
    #[serde(borrow, rename = "X-Bapi-Limit-Status")]
    left: Field<'a>,
    #[serde(borrow, rename = "X-Bapi-Limit-Reset-Timestamp")]
    reset: Field<'a>,
}

impl Header<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let field = match name {
            errors::LIMIT => &self.limit,
            errors::LIMIT_LEFT => &self.left,
            errors::LIMIT_RESET => &self.reset,
            _ => return None,
        };
        (!field.is_empty()).then(|| field.as_str())
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Message<'a> {
    #[serde(borrow)]
    req_id: Field<'a>,
    #[serde(borrow)]
    ret_code: Field<'a>,
    #[serde(borrow)]
    ret_msg: Field<'a>,
    #[serde(borrow)]
    op: Field<'a>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    header: Option<Header<'a>>,
}

/// Reads a message.
pub(super) fn read<'a>(
    text: &str,
    find: &dyn Fn(&str) -> Option<&'a Ask>,
) -> Result<TradeMessage, Malformed> {
    let message: Message<'_> = object("message", text)?;
    let event = |event| Ok(TradeMessage::Event(event));
    let op = message.op.as_str();
    if matches!(op, "ping" | "pong") {
        return event(StreamEvent::Pong);
    }
    let code = message.ret_code.code("retCode")?;
    let request_id = message.req_id.id("reqId")?;
    let header = message.header.as_ref();
    let header = |name: &str| header.and_then(|header| header.get(name));
    let failure = |ask| errors::of_code(ask, code, message.ret_msg.as_str(), errors::reset(&header));
    if op == "auth" {
        return event(match code {
            0 | errors::LOGGED_IN_ALREADY => StreamEvent::Ready,
            errors::RESTARTING => StreamEvent::Reconnect,
            _ => StreamEvent::Refused(failure(None)),
        });
    }
    if request_id.is_empty() {
        return match code {
            errors::RESTARTING => event(StreamEvent::Reconnect),
            0 => Err(misread("reqId", "empty")),
            _ => event(StreamEvent::Refused(failure(None))),
        };
    }
    let ask = find(&request_id);
    let result = match code {
        0 => success(ask, op, message.data),
        code if ask.is_some_and(|ask| errors::is_so_already(ask, code)) => Ok(Answer::Done),
        _ => Err(failure(ask)),
    };
    let reply = TradeReply { request_id, result, used: errors::used(&header) };
    Ok(if code == errors::RESTARTING { TradeMessage::LastReply(reply) } else { TradeMessage::Reply(reply) })
}

/// What a success means: by the question when it is known, otherwise by the operation.
fn success(ask: Option<&Ask>, op: &str, data: Option<&RawValue>) -> Result<Answer, Failure> {
    let is_place = ask.map_or(op == "order.create", |ask| matches!(ask, Ask::Place(_)));
    if !is_place {
        return Ok(Answer::Done);
    }
    placed(data.map_or("null", RawValue::get))
        .map_err(|what| Failure::new(FailureKind::Unreadable, 0, &what.0))
}
