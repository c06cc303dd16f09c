//! Requests to Bybit: a query or a JSON body, with the signature in a header.
//!
//! The order of a query's parameters and of a body's members is each side's own and without meaning; a value's JSON type is
//! compared. ccxt's `Referer` is its broker's mark and not looked at.

use std::collections::BTreeMap;

use exchange::live::protocol::Millis;
use serde_json::Value;

use super::super::hmac;
use super::super::paper::Key;
use super::{Exchange, Parts, Sent, pairs};

const SIZES: &str = "a size of triggers that are the whole position's: only mode Partial has one";

/// See the module's head.
pub(crate) const EXCHANGE: Exchange = Exchange {
    name: "bybit",
    script: "ccxt_bybit_requests.py",
    only_theirs: &[("protect", "slSize", SIZES), ("protect", "tpSize", SIZES)],
    signed_at,
    parts,
    told_at,
    message_parts,
    // Each of the four messages comes with a login.
    count: 25,
};

fn signed_at(sent: &Sent) -> Millis {
    Millis(sent.header("X-BAPI-TIMESTAMP").parse().unwrap())
}

fn parts(sent: &Sent, key: &Key) -> Parts {
    let headers = ["X-BAPI-API-KEY", "X-BAPI-TIMESTAMP", "X-BAPI-RECV-WINDOW"];
    let mut headers: BTreeMap<_, _> =
        headers.into_iter().map(|name| (name, sent.header(name).to_owned())).collect();
    let is_get = sent.method == "GET";
    let payload = if is_get { sent.query() } else { &sent.body };
    assert!(if is_get { sent.body.is_empty() } else { sent.query().is_empty() }, "{}", sent.target);
    let window = &headers["X-BAPI-RECV-WINDOW"];
    let signed = format!("{}{}{window}{payload}", headers["X-BAPI-TIMESTAMP"], headers["X-BAPI-API-KEY"]);
    assert_eq!(sent.header("X-BAPI-SIGN"), hmac(&key.secret, signed.as_bytes()), "{signed}");
    let params = if is_get {
        pairs(payload).collect()
    } else {
        headers.insert("Content-Type", sent.header("Content-Type").to_owned());
        let body: serde_json::Map<String, Value> = serde_json::from_str(payload).unwrap();
        body.into_iter().collect()
    };
    Parts { method: sent.method.clone(), path: sent.path().to_owned(), params, headers }
}

/// A login has no time but its end, so that ours is made of another moment.
fn told_at(message: &Value) -> Millis {
    let at = message["header"]["X-BAPI-TIMESTAMP"].as_str().unwrap_or("1700000000000");
    Millis(at.parse().unwrap())
}

/// A login, of which each side chooses the end; or an order.
fn message_parts(message: &Value, key: &Key) -> Parts {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let method = text(&message["op"]);
    let args = message["args"].as_array().unwrap();
    let (params, headers) = if method == "auth" {
        let [name, end, signature] = &args[..] else { panic!("{message}") };
        assert_eq!(text(signature), hmac(&key.secret, format!("GET/realtime{}", text(end)).as_bytes()));
        (BTreeMap::from([("key".to_owned(), name.clone())]), BTreeMap::new())
    } else {
        let [order] = &args[..] else { panic!("{message}") };
        let header = message["header"].as_object().unwrap();
        let names = ["X-BAPI-TIMESTAMP", "X-BAPI-RECV-WINDOW"];
        assert_eq!(header.len(), names.len(), "{message}");
        let headers = names.into_iter().map(|name| (name, header[name].as_str().unwrap().to_owned()));
        let order = order.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.clone()));
        (order.collect(), headers.collect())
    };
    Parts { method, path: String::new(), params, headers }
}
