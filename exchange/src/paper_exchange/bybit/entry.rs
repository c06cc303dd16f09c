//! Who speaks over a socket, and what is ordered over the trade socket.
//!
//! **Invariants**: a message counts against its address first, then is checked: op, who, reqId, time, right, limit of the
//! account, parameters; the first that fails names the retCode. **Bounds**: [`REQUEST_IDS_MAX`] request ids remembered per
//! socket.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use serde_json::{Value, json};

use super::codes::{self, Refusal};
use super::fields::Fields;
use super::frames::{self, Frame, SocketKind};
use super::groups::{Group, Standing, Usage};
use super::routes::{may_trade, usable_key};
use super::sign::{WINDOW_MS, check_time, socket_origin};
use super::trade::{self, Single};
use crate::paper_exchange::accounts::AccountNo;
use crate::paper_exchange::core::Core;
use crate::paper_exchange::face::Desk;

/// Request ids that one trade socket remembers: more than ten minutes of the fastest account.
pub const REQUEST_IDS_MAX: usize = 20_000;
/// Longest request id.
pub const REQUEST_ID_MAX: usize = 36;

/// Who speaks over a socket, once that is known.
#[derive(Debug, Default)]
pub struct Speaker {
    /// Whose socket it is.
    pub account: Option<AccountNo>,
    may_trade: bool,
    requests: BTreeSet<String>,
    requests_order: VecDeque<String>,
}

/// Checks a socket's `auth`.
///
/// # Errors
/// 20001, 10001, 10003, 33004, 10010, 10002, 10004.
pub fn authenticate(core: &Core, speaker: &mut Speaker, frame: &Frame, from: IpAddr) -> Result<(), Refusal> {
    if speaker.account.is_some() {
        return Err(codes::AUTH_AGAIN);
    }
    let wrong = || Refusal::parameter("auth needs apiKey, expires and signature");
    let (Some(name), Some(expires), Some(signature)) = (frame.text(0), frame.text(1), frame.text(2)) else {
        return Err(wrong());
    };
    let expires: u64 = expires.parse().map_err(|_| wrong())?;
    let key = usable_key(core, &name, from)?;
    if expires < core.now().millis() {
        return Err(Refusal::fixed(10002, "expires is in the past"));
    }
    if !key.verifies(socket_origin(expires).as_bytes(), &signature) {
        return Err(Refusal::fixed(10004, "Invalid sign"));
    }
    speaker.account = Some(key.account);
    speaker.may_trade = may_trade(key.rights);
    Ok(())
}

/// How an `auth` is answered.
#[must_use]
pub fn told_auth(kind: SocketKind, conn_id: &str, frame: &Frame, done: &Result<(), Refusal>) -> String {
    if kind == SocketKind::Private {
        let told = done.as_ref().map(|()| "").map_err(|refused| refused.text.as_ref());
        return frames::done("auth", &frame.id_told, conn_id, told);
    }
    let (code, text) = match done {
        Ok(()) => (0, "OK"),
        Err(refused) => (refused.code, refused.text.as_ref()),
    };
    json!({ "retCode": code, "retMsg": text, "op": "auth", "connId": conn_id }).to_string()
}

/// What an op of the trade socket does.
fn operation(op: &str) -> Option<(Group, Single, bool)> {
    Some(match op {
        "order.create" => (Group::Create, trade::create, false),
        "order.amend" => (Group::Amend, trade::amend, false),
        "order.cancel" => (Group::Cancel, trade::cancel, false),
        "order.create-batch" => (Group::CreateBatch, trade::create, true),
        "order.amend-batch" => (Group::AmendBatch, trade::amend, true),
        "order.cancel-batch" => (Group::CancelBatch, trade::cancel, true),
        _ => return None,
    })
}

/// A message of the trade socket that is not about the socket itself.
#[must_use]
pub fn order_entry(
    desk: &mut Desk<'_>,
    usage: &mut Usage,
    speaker: &mut Speaker,
    conn_id: &str,
    frame: &Frame,
    fits: bool,
) -> String {
    let mut standing = None;
    let outcome =
        if fits { ordered(desk, usage, speaker, frame, &mut standing) } else { Err(codes::SOCKET_ADDRESS) };
    let now_ms = desk.core.now().millis();
    let (code, text, data, ext) = match outcome {
        Ok((data, ext)) => (0, "OK".into(), data, ext),
        Err(refused) => (refused.code, refused.text, json!({}), json!({})),
    };
    let mut header = json!({ "Timenow": now_ms.to_string(), "Traceid": conn_id });
    if let Some(told) = standing {
        let Standing { limit, left, reset_at } = told;
        header["X-Bapi-Limit"] = limit.to_string().into();
        header["X-Bapi-Limit-Status"] = left.to_string().into();
        header["X-Bapi-Limit-Reset-Timestamp"] = reset_at.millis().to_string().into();
    }
    json!({
        "reqId": frame.id, "retCode": code, "retMsg": text, "op": frame.op, "data": data, "retExtInfo": ext,
        "header": header, "connId": conn_id,
    })
    .to_string()
}

fn ordered(
    desk: &mut Desk<'_>,
    usage: &mut Usage,
    speaker: &mut Speaker,
    frame: &Frame,
    standing: &mut Option<Standing>,
) -> Result<(Value, Value), Refusal> {
    let (group, single, batch) = operation(&frame.op).ok_or(codes::OP_NOT_FOUND)?;
    let account = speaker.account.ok_or(Refusal::fixed(10003, "Request not authorized"))?;
    if frame.id.len() > REQUEST_ID_MAX {
        return Err(Refusal::parameter("reqId too long"));
    }
    if !frame.id.is_empty() && !remember(speaker, &frame.id) {
        return Err(codes::REQUEST_ID);
    }
    let number = |name: &str| header_number(&frame.header, name);
    let asked_ms =
        number("X-BAPI-TIMESTAMP")?.ok_or_else(|| Refusal::parameter("X-BAPI-TIMESTAMP is required"))?;
    let window_ms = number("X-BAPI-RECV-WINDOW")?.unwrap_or(WINDOW_MS);
    check_time(asked_ms, window_ms, desk.core.now().millis())?;
    if !speaker.may_trade {
        return Err(codes::PERMISSION);
    }
    let body = frame.args.first().ok_or_else(|| Refusal::parameter("args is required"))?;
    let fields = Fields::of_json(body.get().as_bytes())?;
    let mut take = |count| {
        let (taken, told) = usage.take(account, group, count, desk.now);
        *standing = Some(told);
        taken
    };
    if batch {
        let items = trade::batch_items(&fields)?;
        let taken = take(items.len());
        return Ok(trade::batch(desk.core, account, &items, taken, single));
    }
    if take(1) == 0 {
        return Err(codes::TOO_MANY);
    }
    Ok((single(desk.core, account, &fields)?, json!({})))
}

/// A number of a message's header: a text or a JSON number.
fn header_number(header: &Fields, name: &str) -> Result<Option<u64>, Refusal> {
    match header.text(name) {
        Ok(Some(text)) => {
            text.parse().map(Some).map_err(|_| Refusal::parameter(format_args!("{name} invalid")))
        }
        Ok(None) => Ok(None),
        Err(_) => header.whole(name),
    }
}

/// Remembers a request id; false when it was used before.
fn remember(speaker: &mut Speaker, id: &str) -> bool {
    if speaker.requests.contains(id) {
        return false;
    }
    if speaker.requests_order.len() >= REQUEST_IDS_MAX
        && let Some(oldest) = speaker.requests_order.pop_front()
    {
        speaker.requests.remove(&oldest);
    }
    speaker.requests.insert(id.to_owned());
    speaker.requests_order.push_back(id.to_owned());
    true
}

/// What a message over the trade socket is answered that failed, whatever it was.
#[must_use]
pub fn refused(text: &str, refused: &Refusal) -> String {
    let frame = Frame::read(text).unwrap_or_default();
    json!({
        "reqId": frame.id, "retCode": refused.code, "retMsg": refused.text, "op": frame.op, "data": {},
        "retExtInfo": {}, "header": {}, "connId": "",
    })
    .to_string()
}
