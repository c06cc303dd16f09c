//! The WebSocket API (`/ws-fapi/v1`): the same requests as over HTTP, signed one by one or by a session's key
//! (EXCHANGES.md §2.2).

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::core::ids::Timestamp;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::super::face::{ConnNo, Desk, FaultAnswer};
use super::Binance;
use super::context::{check_time, find_key};
use super::errors::ApiError;
use super::limits::WEIGHT_MAX;
use super::params::Params;
use super::routes::{self, Security};
use crate::live::credential::KeyKind;

/// How long a connection lives, in microseconds.
const CONN_LIFE: u64 = 24 * 3_600 * 1_000_000;
/// How often the server pings.
const PING_EVERY: u64 = 180 * 1_000_000;

/// A connection.
#[derive(Debug)]
pub(super) struct ApiConn {
    pub(super) opened_at: Timestamp,
    pinged_at: Timestamp,
    /// The session's key, and since when.
    session: Option<(String, Timestamp)>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: String,
    #[serde(borrow, default)]
    params: Option<BTreeMap<String, &'a RawValue>>,
}

/// What a parameter's text is: strings without their quotes, numbers and flags as they are written.
fn plain(value: &RawValue) -> Option<String> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok(),
        b'{' | b'[' => None,
        _ if text == "null" => Some(String::new()),
        _ => Some(text.to_owned()),
    }
}

fn failed(id: &str, error: &ApiError) -> String {
    let error_text = error.body();
    format!(r#"{{"id":{id},"status":{},"error":{error_text},"rateLimits":[]}}"#, error.status)
}

/// The method of a message; empty when it has none.
pub(super) fn method(text: &str) -> String {
    serde_json::from_str::<Request<'_>>(text).map(|request| request.method).unwrap_or_default()
}

/// Whose key a message names; the session's, where it names none.
pub(super) fn key_of(text: &str, conn: Option<&ApiConn>) -> Option<String> {
    let request: Request<'_> = serde_json::from_str(text).ok()?;
    let named = request.params.and_then(|params| plain(params.get("apiKey")?));
    named.or_else(|| Some(conn?.session.as_ref()?.0.clone()))
}

/// The answer to a message that is to fail.
pub(super) fn fault(text: &str, fault: &FaultAnswer) -> Option<String> {
    let request: Request<'_> = serde_json::from_str(text).ok()?;
    let id = request.id.map_or("null", RawValue::get);
    Some(failed(id, &super::fault_error(fault)))
}

impl ApiConn {
    pub(super) const fn new(opened_at: Timestamp) -> Self {
        Self { opened_at, pinged_at: opened_at, session: None }
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.micros_since(self.opened_at) >= CONN_LIFE
    }

    /// Whether it is to be pinged now; asked once.
    pub(super) fn take_ping(&mut self, now: Timestamp) -> bool {
        let due = now.micros_since(self.pinged_at) >= PING_EVERY;
        if due {
            self.pinged_at = now;
        }
        due
    }

    /// When there is something to do with it.
    pub(super) fn next_due(&self) -> Timestamp {
        self.opened_at.plus_micros(CONN_LIFE).min(self.pinged_at.plus_micros(PING_EVERY))
    }
}

impl Binance {
    /// Answers a message on a connection of the WebSocket API.
    pub(super) fn call(&mut self, desk: &mut Desk<'_>, from: IpAddr, conn: ConnNo, text: &str) {
        let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
            let error = ApiError::plain(-1135, "Invalid JSON Request");
            desk.out.answer(conn, failed("null", &error));
            return;
        };
        let id = request.id.map_or("null", RawValue::get);
        let answer = match self.answer_call(desk, from, conn, &request) {
            Ok((result, used)) => format!(
                r#"{{"id":{id},"status":200,"result":{result},"rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":{WEIGHT_MAX},"count":{used}}}]}}"#
            ),
            Err(error) => failed(id, &error),
        };
        desk.out.answer(conn, answer);
        if self.limits.is_banned(desk.now, from) {
            desk.out.close(conn, 1008);
        }
    }

    fn answer_call(
        &mut self,
        desk: &mut Desk<'_>,
        from: IpAddr,
        conn: ConnNo,
        request: &Request<'_>,
    ) -> Result<(String, u64), ApiError> {
        let raw = request.params.as_ref();
        let pairs: Option<Vec<_>> =
            raw.into_iter().flatten().map(|(name, value)| Some((name.clone(), plain(value)?))).collect();
        let mut pairs = pairs.ok_or_else(|| ApiError::illegal("params"))?;
        let signature = take(&mut pairs, "signature");
        // What is signed: sorted by name, which the map has done.
        let payload: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let payload = payload.join("&");
        let told_key = take(&mut pairs, "apiKey");
        let params = Params::from_pairs(pairs);
        match request.method.as_str() {
            "session.logon" => {
                self.limits.check_ban(desk.now, desk.core.now(), from)?;
                let used = self.limits.spend(desk.now, desk.core.now(), from, 2)?;
                let key_text = told_key.ok_or_else(|| ApiError::mandatory("apiKey"))?;
                let key = find_key(desk, &key_text, from)?;
                check_time(&params, desk.core.now())?;
                let signature = signature.ok_or_else(|| ApiError::mandatory("signature"))?;
                if key.kind != KeyKind::Ed25519 {
                    return Err(ApiError::SESSION_KEY);
                }
                if !key.verifies(payload.as_bytes(), &signature) {
                    return Err(ApiError::SIGNATURE);
                }
                if let Some(told) = self.calls.get_mut(&conn) {
                    told.session = Some((key_text, desk.core.now()));
                }
                Ok((self.session_status(desk, conn), used))
            }
            "session.status" | "session.logout" => {
                let used = self.limits.spend(desk.now, desk.core.now(), from, 2)?;
                if request.method == "session.logout"
                    && let Some(told) = self.calls.get_mut(&conn)
                {
                    told.session = None;
                }
                Ok((self.session_status(desk, conn), used))
            }
            method => {
                let route = routes::of_method(method).ok_or(ApiError::METHOD)?;
                let session = self.calls.get(&conn).and_then(|told| told.session.as_ref());
                let session = session.map(|(key, _)| key.clone()).filter(|_| told_key.is_none());
                let api_key = session.clone().or(told_key).unwrap_or_default();
                if route.security == Security::Public || session.is_some() {
                    return self.run(desk, from, route, &params, &api_key, None);
                }
                let proof = (payload.as_bytes(), signature.as_deref());
                self.run(desk, from, route, &params, &api_key, Some(proof))
            }
        }
    }

    fn session_status(&self, desk: &Desk<'_>, conn: ConnNo) -> String {
        let told = self.calls.get(&conn);
        let session = told.and_then(|told| told.session.as_ref());
        json!({
            "apiKey": session.map(|(key, _)| key),
            "authorizedSince": session.map(|(_, since)| since.millis()),
            "connectedSince": told.map(|told| told.opened_at.millis()),
            "returnRateLimits": true,
            "serverTime": desk.core.now().millis(),
        })
        .to_string()
    }
}

fn take(pairs: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = pairs.iter().position(|(told, _)| told == name)?;
    Some(pairs.remove(at).1)
}
