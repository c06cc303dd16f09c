//! Orders over the WebSocket API: each request carries its own key and signature, so one connection serves many accounts
//! and there is no log-in (EXCHANGES.md §2.2).
//!
//! **Invariants**: the signature covers all parameters but itself, sorted by name, as they are and not percent-encoded;
//! whole numbers are JSON integers, decimals strings.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{self, Num};
use super::requests::{self, Value};
use super::{answers, errors};
use crate::live::credential::Credential;
use crate::live::protocol::{
    AccountUse, Answer, Ask, Failure, FailureKind, Malformed, Millis, StreamEvent, TradeMessage, TradeReply,
    Used,
};

/// The question as a message, or `None` when it is only asked by HTTP.
pub(super) fn message(ask: &Ask, credential: &Credential, request_id: &str, at: Millis) -> Option<String> {
    let (method, mut fields) = match ask {
        Ask::Place(placement) if placement.order.kind.is_trigger() => {
            ("algoOrder.place", requests::place(placement))
        }
        Ask::Place(placement) => ("order.place", requests::place(placement)),
        Ask::Cancel(order) if order.is_trigger => ("algoOrder.cancel", requests::named(order)),
        Ask::Cancel(order) => ("order.cancel", requests::named(order)),
        Ask::Query(order) if !order.is_trigger => ("order.status", requests::named(order)),
        _ => return None,
    };
    fields.push(("apiKey", Value::Text(credential.api_key().to_owned())));
    fields.extend(requests::window(at));
    if !planted::planted!("signed_in_another_order_than_the_exchange_checks") {
        fields.sort_unstable_by_key(|(name, _)| *name);
    }
    let mut signed = String::new();
    let mut params = String::new();
    for (name, value) in &fields {
        if !signed.is_empty() {
            signed.push('&');
        }
        let _never_fails = write!(signed, "{name}={value}");
        let _never_fails = match value {
            Value::Whole(number) => write!(params, "\"{name}\":{number},"),
            text => write!(params, "\"{name}\":{},", quoted(&text.to_string())),
        };
    }
    let signature = quoted(&credential.sign(signed.as_bytes()));
    let id = quoted(request_id);
    Some(format!(r#"{{"id":{id},"method":"{method}","params":{{{params}"signature":{signature}}}}}"#))
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always a JSON string")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    status: Option<u16>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorRow<'a>>,
    #[serde(borrow)]
    rate_limits: Option<Vec<LimitRow<'a>>>,
    #[serde(borrow)]
    event: Option<EventRow<'a>>,
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ErrorRow<'a> {
    code: i64,
    #[serde(borrow, default)]
    msg: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<ErrorData<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorData<'a> {
    #[serde(borrow)]
    retry_after: Option<Num<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitRow<'a> {
    #[serde(borrow)]
    rate_limit_type: Cow<'a, str>,
    #[serde(borrow)]
    interval: Cow<'a, str>,
    #[serde(borrow)]
    interval_num: Num<'a>,
    #[serde(borrow)]
    count: Num<'a>,
}

#[derive(Deserialize)]
struct EventRow<'a> {
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
}

/// Reads a message. `ask` finds the question of a request id.
pub(super) fn read<'a>(
    message: &str,
    ask: &dyn Fn(&str) -> Option<&'a Ask>,
) -> Result<TradeMessage, Malformed> {
    let frame: Frame<'_> = json::read("trade socket", message)?;
    let event = frame.event.and_then(|event| event.e).or(frame.e);
    if let Some(event) = event {
        let ends = event == "serverShutdown";
        return Ok(TradeMessage::Event(if ends { StreamEvent::Reconnect } else { StreamEvent::Pong }));
    }
    let status = frame.status.ok_or_else(|| json::malformed("trade socket", "no status"))?;
    let request_id = match frame.id.map(RawValue::get) {
        None | Some("null") => None,
        Some(text) if text.starts_with('"') => Some(json::read::<String>("id", text)?),
        Some(text) => Some(json::cut(text).to_owned()),
    };
    let used = frame.rate_limits.as_deref().map(used).unwrap_or_default();
    let Some(request_id) = request_id else {
        // The exchange could not tell what it answers to: a key that was revoked, or a frame that it could not read.
        let failed = outcome(&Ask::Time, status, None, frame.error).err();
        let failure = failed.filter(|failure| failure.kind != FailureKind::Unreadable);
        let failure = failure.ok_or_else(|| json::malformed("trade socket", "an answer without an id"))?;
        return Ok(TradeMessage::Event(StreamEvent::Refused(failure)));
    };
    let result = match ask(&request_id) {
        Some(ask) => outcome(ask, status, frame.result, frame.error),
        None => Err(Failure::new(FailureKind::Unreadable, 0, "an answer to a request that is not known")),
    };
    Ok(TradeMessage::Reply(TradeReply { request_id, result, used }))
}

fn outcome(
    ask: &Ask,
    status: u16,
    result: Option<&RawValue>,
    error: Option<ErrorRow<'_>>,
) -> Result<Answer, Failure> {
    if let Some(error) = error {
        let told = error.data.and_then(|data| data.retry_after);
        let until = told.and_then(|until| until.millis("retryAfter").ok());
        return errors::judge(ask, status, error.code, &error.msg, until.unwrap_or_default());
    }
    if !(200..300).contains(&status) {
        return errors::judge(ask, status, 0, "", Millis(0));
    }
    let result = result.map_or("null", RawValue::get);
    answers::read(ask, result, None).map_err(|error| Failure::new(FailureKind::Unreadable, 0, &error.0))
}

/// Budgets: weight per minute of the address, orders per ten seconds of the account. Rows that say anything else, or say it
/// in another form, tell nothing.
fn used(rows: &[LimitRow<'_>]) -> Used {
    let mut used = Used::default();
    for row in rows {
        let count = row.count.whole::<u32>("count").ok();
        let span = (&*row.interval, row.interval_num.whole::<u32>("intervalNum").unwrap_or(0));
        match (&*row.rate_limit_type, span) {
            ("REQUEST_WEIGHT", ("MINUTE", 1)) => used.address = count,
            ("ORDERS", ("SECOND", 10)) => used.account = count.map(AccountUse::Used),
            _ => {}
        }
    }
    used
}
