//! Requests to Binance: a form, signed as the last of it.
//!
//! ccxt sends a POST's parameters in the body and we send all in the query; the exchange takes both alike and signs both
//! together (EXCHANGES.md §2.2), so that they are compared together.

use std::collections::BTreeMap;

use exchange::live::protocol::Millis;
use serde_json::Value;

use super::super::hmac;
use super::super::paper::Key;
use super::{Exchange, Parts, Sent, pairs};

const LIMITS: &str = "we read the counts that come with each answer, ccxt does not want them";

/// See the module's head.
pub(crate) const EXCHANGE: Exchange = Exchange {
    name: "binance",
    script: "ccxt_binance_requests.py",
    only_theirs: &[
        ("cancel stop", "symbol", "the endpoint has no such parameter: the id alone names the order"),
        ("socket entry", "returnRateLimits", LIMITS),
        ("socket close", "returnRateLimits", LIMITS),
        ("socket stop", "returnRateLimits", LIMITS),
        ("socket cancel", "returnRateLimits", LIMITS),
        ("socket stop", "stopLossPrice", "ccxt's own name of the trigger, which it leaves in"),
    ],
    signed_at,
    parts,
    told_at,
    message_parts,
    count: 20,
};

fn signed_at(sent: &Sent) -> Millis {
    let form = form(sent);
    let (_, at) = pairs(&form).find(|(name, _)| name == "timestamp").unwrap();
    Millis(at.as_str().unwrap().parse().unwrap())
}

/// Query and body, one of which is empty here.
fn form(sent: &Sent) -> String {
    assert!(sent.query().is_empty() || sent.body.is_empty(), "{} {}", sent.target, sent.body);
    sent.query().to_owned() + &sent.body
}

fn parts(sent: &Sent, key: &Key) -> Parts {
    let form = form(sent);
    let (signed, signature) = form.rsplit_once("&signature=").expect("the signature is the last parameter");
    assert_eq!(signature, hmac(&key.secret, signed.as_bytes()), "{form}");
    let params: BTreeMap<_, _> = pairs(signed).collect();
    assert_eq!(params.len(), pairs(signed).count(), "a parameter is there twice: {form}");
    let key = sent.header("X-MBX-APIKEY").to_owned();
    Parts {
        method: sent.method.clone(),
        path: sent.path().to_owned(),
        params,
        headers: BTreeMap::from([("X-MBX-APIKEY", key)]),
    }
}

fn told_at(message: &Value) -> Millis {
    Millis(message["params"]["timestamp"].as_u64().unwrap())
}

/// The parameters as the texts that are signed: a flag is a JSON string with us, as the maker says, and a JSON flag with ccxt.
fn message_parts(message: &Value, key: &Key) -> Parts {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // Sorted by name, as what is signed is.
    let mut params: BTreeMap<String, String> = message["params"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    let signature = params.remove("signature").unwrap();
    let signed: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let signed = signed.join("&");
    assert_eq!(signature, hmac(&key.secret, signed.as_bytes()), "{signed}");
    Parts {
        method: text(&message["method"]),
        path: String::new(),
        params: params.into_iter().map(|(name, value)| (name, value.into())).collect(),
        headers: BTreeMap::new(),
    }
}
