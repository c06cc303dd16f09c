//! Our request and ccxt's for the same order: method, path and parameters are equal, and both signatures are good.
//!
//! The same for messages about orders over WebSockets. What may differ is listed with its reason, per exchange; what is
//! listed and no longer differs is a failure too.

pub(crate) mod binance;
pub(crate) mod bybit;

use std::collections::{BTreeMap, BTreeSet};

use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, OrderKind, Side};
use exchange::live::connector::Shape;
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::protocol::{Ask, HttpCall, Millis, OrderRef, Placement, PositionMode, Protection};
use serde_json::{Value, json};

use super::paper::{Key, Paper};
use super::{PYTHON, script};

const QUANTITY: &str = "0.015";
const LIMIT: &str = "59000.5";
const STOP: &str = "55000.5";
const TAKE_PROFIT: &str = "65000.5";
const LEVERAGE: u8 = 7;

/// A request taken apart, so that two can be compared.
#[derive(Debug, PartialEq)]
pub(crate) struct Parts {
    method: String,
    path: String,
    /// Parameters and what JSON value each has; those of a query and of a form are texts.
    params: BTreeMap<String, Value>,
    /// The headers that the exchange looks at, but for the signature.
    headers: BTreeMap<&'static str, String>,
}

/// A request as it would be sent.
pub(crate) struct Sent {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Sent {
    fn ours(call: &HttpCall) -> Self {
        Self {
            method: call.method.to_owned(),
            target: call.target.clone(),
            headers: call.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: String::from_utf8(call.body.clone()).unwrap(),
        }
    }

    fn theirs(told: &Value) -> Self {
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        let headers = told["headers"].as_object().unwrap();
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        Self { method: text("method"), target: text("target"), headers, body: text("body") }
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {} {}", self.method, self.target))
    }
}

/// What is said in `a=1&b=2`. Nothing here is percent-encoded.
fn pairs(text: &str) -> impl Iterator<Item = (String, Value)> {
    assert!(!text.contains(['%', '+']), "{text}");
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.into())
    })
}

/// A parameter that only one side sends: the request, the parameter, and why.
type Difference = (&'static str, &'static str, &'static str);

/// How requests of an exchange are compared.
pub(crate) struct Exchange {
    name: &'static str,
    script: &'static str,
    /// What ccxt sends and we do not.
    only_theirs: &'static [Difference],
    /// When a request says that it was signed.
    signed_at: fn(&Sent) -> Millis,
    /// Takes a request apart. Its signature is checked and taken out.
    parts: fn(&Sent, &Key) -> Parts,
    /// When a message says that it was made.
    told_at: fn(&Value) -> Millis,
    /// Takes a message apart. Its signature, where it has one, is checked and taken out.
    message_parts: fn(&Value, &Key) -> Parts,
    /// How many requests and messages are compared.
    count: usize,
}

/// Has ccxt make its requests, makes ours of the same moment, and compares.
pub(crate) fn compare<P: Shape>(exchange: &Exchange) {
    let paper = Paper::start();
    let key = paper.account(exchange.name);
    let wanted = json!({
        "quantity": QUANTITY, "limit": LIMIT, "stop": STOP, "take_profit": TAKE_PROFIT, "leverage": LEVERAGE,
        "entry_id": id(Leg::Entry).to_string(), "close_id": id(Leg::SignalClose).to_string(),
        "stop_id": id(Leg::Stop).to_string(), "profit_id": id(Leg::TakeProfit).to_string(),
    });
    let mut lines = script(PYTHON, exchange.script, &paper, &key, Some(&wanted.to_string()));
    assert_eq!(lines.pop().as_deref(), Some("agreed"));
    assert_eq!(lines.len(), exchange.count);
    let credential = Credential::new(KeyKind::Hmac, &key.api_key, &key.secret).unwrap();
    let mut differed = BTreeSet::new();
    for line in lines {
        let told: Value = serde_json::from_str(&line).unwrap();
        let name = told["name"].as_str().unwrap();
        let (ours, mut theirs) = match name.strip_prefix("socket ") {
            None => {
                let theirs = Sent::theirs(&told);
                let call = P::request(&ask(name), Some(&credential), (exchange.signed_at)(&theirs));
                ((exchange.parts)(&Sent::ours(&call), &key), (exchange.parts)(&theirs, &key))
            }
            Some(question) => {
                assert_eq!(told["target"], P::TRADE_TARGET);
                let theirs = &told["message"];
                let at = (exchange.told_at)(theirs);
                let ours = match question {
                    "login" => P::trade_login(&credential, "1", at),
                    question => P::trade_message(&ask(question), &credential, "1", at),
                };
                let ours = serde_json::from_str(&ours.unwrap()).unwrap();
                ((exchange.message_parts)(&ours, &key), (exchange.message_parts)(theirs, &key))
            }
        };
        for (request, param, _why) in exchange.only_theirs {
            if *request == name && theirs.params.remove(*param).is_some() {
                differed.insert((*request, *param));
            }
        }
        assert_eq!(ours, theirs, "{} {name}: ours is left", exchange.name);
    }
    let listed: BTreeSet<_> = exchange.only_theirs.iter().map(|(name, param, _)| (*name, *param)).collect();
    assert_eq!(differed, listed, "differences that are no more");
}

fn id(leg: Leg) -> ClientOrderId {
    let source = SourceId { owner: UserId(12), index: 0 };
    ClientOrderId::first(SignalId { source, number: 1 }, AccountId { user: UserId(7), index: 0 }, leg)
}

fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").unwrap()
}

fn order(leg: Leg, side: Side, kind: OrderKind) -> Placement {
    let order = NewOrder {
        id: id(leg),
        symbol: symbol(),
        side,
        kind,
        quantity: QUANTITY.parse().unwrap(),
        reduce_only: leg != Leg::Entry,
        leverage: LEVERAGE,
    };
    Placement { order, mode: PositionMode::OneWay, attached: None }
}

fn protection() -> Protection {
    Protection { stop: Some(STOP.parse().unwrap()), take_profit: Some(TAKE_PROFIT.parse().unwrap()) }
}

/// The questions that both exchanges are asked.
fn ask(name: &str) -> Ask {
    let entry = order(Leg::Entry, Side::Buy, OrderKind::Market);
    let close = order(Leg::SignalClose, Side::Sell, OrderKind::Market);
    let hedged = |placement| Placement { mode: PositionMode::Hedge, ..placement };
    let named = |leg, is_trigger| OrderRef { id: id(leg), symbol: symbol(), is_trigger };
    match name {
        "entry" => Ask::Place(entry),
        "protected entry" => Ask::Place(Placement { attached: Some(protection()), ..entry }),
        "limit" => Ask::Place(order(Leg::Entry, Side::Buy, OrderKind::Limit(LIMIT.parse().unwrap()))),
        "close" => Ask::Place(close),
        "hedge entry" => Ask::Place(hedged(entry)),
        "hedge close" => Ask::Place(hedged(close)),
        "stop" => Ask::Place(order(Leg::Stop, Side::Sell, OrderKind::StopMarket(STOP.parse().unwrap()))),
        "take profit" => {
            let kind = OrderKind::TakeProfitMarket(TAKE_PROFIT.parse().unwrap());
            Ask::Place(order(Leg::TakeProfit, Side::Sell, kind))
        }
        "protect" => Ask::Protect {
            symbol: symbol(),
            mode: PositionMode::OneWay,
            position: Side::Buy,
            protection: protection(),
        },
        "cancel" => Ask::Cancel(named(Leg::Entry, false)),
        "cancel stop" => Ask::Cancel(named(Leg::Stop, true)),
        "query" => Ask::Query(named(Leg::Entry, false)),
        "leverage" => Ask::SetLeverage { symbol: symbol(), leverage: LEVERAGE },
        "margin" => Ask::SetIsolated(symbol()),
        "positions" => Ask::Positions(String::new()),
        "open orders" => Ask::OpenOrders(String::new()),
        "open triggers" => Ask::OpenTriggers(String::new()),
        "balances" => Ask::Balances,
        other => panic!("{other}: not a question of ours"),
    }
}
