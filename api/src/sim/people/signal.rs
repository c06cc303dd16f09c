//! Signals as they are sent, in every way that `docs/api.md` and DOMAIN.md §1 promise, with what must be understood of each.
//!
//! What is sent is made from what is meant; nothing of the product's parser is used, so that a word, a number or a place that it
//! reads otherwise shows. The same signal goes another way each time it is sent again: by another route, as JSON, text or a
//! form, with its secret in another place.

use std::cell::Cell;
use std::rc::Rc;

use engine::core::command::{Command, SignalDraft};
use engine::core::fixed::Price;
use engine::core::ids::{SourceId, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::signal::SignalKind;
use exchange::paper::listings;
use serde_json::{Map, Value, json};
use storage::sim_disk::SimRandom;

use super::Published;
use crate::sim::client::request_as;
use crate::sim::decimals::decimal;

/// DOMAIN.md §1, kinds: what each spelling means, in some of the ways that it may be written.
const SPELLINGS: [(SignalKind, &[&str]); 7] = [
    (
        SignalKind::OpenLong { strong: false },
        &["BUY", "buy", "LONG", "OPEN_LONG", "open long", "SINAL LONG", "Sinal_Long"],
    ),
    (
        SignalKind::OpenShort { strong: false },
        &["SELL", "sell", "SHORT", "OPEN_SHORT", "Open Short", "SINAL SHORT", "sinal_short"],
    ),
    (SignalKind::OpenLong { strong: true }, &["strong_buy", "STRONG BUY", "SINAL LONG FORTE"]),
    (SignalKind::OpenShort { strong: true }, &["STRONG_SELL", "strong sell", "Sinal_Short_Forte"]),
    (SignalKind::CloseLong, &["CLOSE_LONG", "close long", "FECHE LONG", "feche_long"]),
    (SignalKind::CloseShort, &["CLOSE_SHORT", "Close Short", "FECHE_SHORT", "feche short"]),
    (SignalKind::CloseAll, &["EXIT", "exit", "CLOSE", "FLAT", "flat"]),
];

/// Places in [`SPELLINGS`], by how often each is sent.
pub(super) const DRAWN: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 0, 1];

/// One of a list.
fn one<'a>(of: &[&'a str], random: &mut SimRandom) -> &'a str {
    of[usize::try_from(random.below(of.len() as u64)).expect("below a length")]
}

/// A number as a number or as text.
fn number(text: &str, random: &mut SimRandom) -> Value {
    let as_number = serde_json::from_str(text).expect("a decimal");
    if random.one_in(2) { as_number } else { json!(text) }
}

/// A signal that is sent, perhaps more than once.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Sent {
    source: SourceId,
    /// Unique, in the body.
    tag: String,
    /// What it means. Its key is the product's own affair; what must hold of keys is in [`Sent::check`].
    draft: SignalDraft,
    /// What it was recognised by when it was decided first.
    key: Rc<Cell<Option<[u8; 16]>>>,
}

impl Sent {
    /// A signal of this kind; `symbol` is `None` for one that is listed nowhere.
    pub(super) fn new(
        source: &Published,
        tag: String,
        kind: usize,
        symbol: Option<Symbol>,
        random: &mut SimRandom,
    ) -> (Self, Map<String, Value>) {
        let (kind, words) = SPELLINGS[kind];
        let named = symbol.unwrap_or_else(|| Symbol::new("NOSUCHUSDT").expect("it could be one"));
        let mut body = Map::new();
        let field = one(&["action", "action", "signal", "operation"], random);
        body.insert(field.to_owned(), json!(one(words, random)));
        let ticker = match random.below(6) {
            0 => format!("BINANCE:{named}.P"),
            1 => format!("BYBIT:{named}"),
            2 => named.to_string().to_lowercase(),
            3 => format!("{named}-PERP"),
            _ => named.to_string(),
        };
        body.insert(one(&["ticker", "ticker", "symbol"], random).to_owned(), json!(ticker));
        body.insert("tag".to_owned(), json!(tag));
        let mut draft = SignalDraft {
            kind,
            symbol: named,
            price: None,
            leverage: None,
            stop_loss: None,
            take_profit: None,
            at: None,
            key: [0; 16],
            key_is_lasting: false,
            body: String::new(),
        };
        for (name, value) in [("strategy", "moving averages"), ("interval", "15"), ("rsi_15", "55.5")] {
            if random.one_in(4) {
                body.insert(name.to_owned(), json!(value));
            }
        }
        let base = listings().iter().find(|one| one.instrument.symbol == named).map(|one| one.base.units());
        if let Some(base) = base {
            // So many thousandths of the price at which the market began, without more digits than a sender has.
            let near = |thousandths: i64, random: &mut SimRandom| {
                let units = (base / 1_000 * thousandths / 100 * 100).max(100);
                (Price::from_units(units), number(&decimal(units.into()), random))
            };
            if random.one_in(2) {
                let (price, value) = near(1_000, random);
                draft.price = Some(price);
                body.insert(one(&["price", "close"], random).to_owned(), value);
            }
            if random.one_in(6) {
                let away = 15 + i64::try_from(random.below(40)).expect("small");
                let long = matches!(kind, SignalKind::OpenLong { .. });
                let (below, above) = (near(1_000 - away, random), near(1_000 + 2 * away, random));
                let (stop, target) = if long { (below, above) } else { (above, below) };
                draft.stop_loss = Some(stop.0);
                draft.take_profit = Some(target.0);
                body.insert("stop_loss".to_owned(), stop.1);
                body.insert("take_profit".to_owned(), target.1);
            }
        }
        (Self { source: source.id, tag, draft, key: Rc::default() }, body)
    }

    /// With an id of the sender's.
    pub(super) fn with_id(&mut self, body: &mut Map<String, Value>) {
        body.insert("signal_id".to_owned(), json!(self.tag));
        self.draft.key_is_lasting = true;
    }

    /// With a time of its own, written in one of the ways there are.
    pub(super) fn with_time(&mut self, body: &mut Map<String, Value>, seconds: u64, random: &mut SimRandom) {
        self.draft.at = Some(Timestamp(seconds * 1_000_000));
        self.draft.key_is_lasting = true;
        let iso = || {
            let seconds = i64::try_from(seconds).expect("a time of our age");
            jiff::Timestamp::from_second(seconds).expect("a time of our age").to_string()
        };
        let value = match random.below(5) {
            0 => json!(seconds.to_string()),
            1 => json!(seconds * 1_000),
            2 => json!(iso()),
            _ => json!(seconds),
        };
        body.insert(one(&["time", "time", "timenow", "timestamp"], random).to_owned(), value);
    }

    /// With the sender's leverage.
    pub(super) fn with_leverage(
        &mut self,
        body: &mut Map<String, Value>,
        leverage: u8,
        random: &mut SimRandom,
    ) {
        self.draft.leverage = Some(leverage);
        body.insert("leverage".to_owned(), number(&leverage.to_string(), random));
    }

    /// As a request, in one of the ways in which a signal may come. What is kept of the body is the same each time.
    pub(super) fn request(
        &mut self,
        body: &Map<String, Value>,
        secret: &str,
        random: &mut SimRandom,
    ) -> Vec<u8> {
        self.draft.body = Value::Object(body.clone()).to_string();
        let mut body = body.clone();
        let (mut in_path, mut bearer) = ("", "");
        match random.below(6) {
            0 => in_path = secret,
            1 => bearer = secret,
            2 => drop(body.insert("token".to_owned(), json!(secret))),
            _ => drop(body.insert("secret".to_owned(), json!(secret))),
        }
        let route = match random.below(5) {
            0 if in_path.is_empty() => "/api/signals",
            0 | 1 => "/api/webhooks/signal",
            _ => "/webhook",
        };
        let path = if in_path.is_empty() { route.to_owned() } else { format!("{route}/{in_path}") };
        let text = Value::Object(body).to_string();
        let (content_type, text) = match random.below(6) {
            0 => ("text/plain; charset=utf-8", format!("{text}\n")),
            1 => ("application/x-www-form-urlencoded", format!("text={}", encoded(&text))),
            2 => ("", format!(" {text}\r\n")),
            _ => ("application/json", text),
        };
        request_as("POST", &path, bearer, content_type, &text)
    }

    /// Its tag.
    pub(in crate::sim) fn tag(&self) -> &str {
        &self.tag
    }

    /// Whether it closes.
    pub(in crate::sim) const fn closes(&self) -> bool {
        matches!(self.draft.kind, SignalKind::CloseLong | SignalKind::CloseShort | SignalKind::CloseAll)
    }

    /// Whether a command is what became of it, rightly or not.
    pub(in crate::sim) fn is_in(&self, command: &Command) -> bool {
        match command {
            Command::Signal { source, draft } => {
                source.owner == self.source.owner && draft.body.contains(self.tag.as_str())
            }
            _ => false,
        }
    }

    /// Whether what was decided is what was sent, to the last field; and whether it is recognised by the same each time.
    pub(in crate::sim) fn check(&self, source: SourceId, draft: &SignalDraft) -> Result<(), String> {
        if source != self.source {
            return Err(format!("it was sent to {} and decided for {source}", self.source));
        }
        let wanted = SignalDraft { key: draft.key, ..self.draft.clone() };
        if *draft != wanted {
            return Err(format!("it was understood as {draft:?} and means {wanted:?}"));
        }
        match self.key.get() {
            Some(known) if known != draft.key => Err("sent again, it counts as another signal".to_owned()),
            _ => {
                self.key.set(Some(draft.key));
                Ok(())
            }
        }
    }
}

/// As the value of a form's field.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
