//! From a checked JSON object to a [`Draft`]: which field means what, and which contradictions are refused.
//!
//! Every known field that is used must be well-formed, or the body is refused. `null` and blank text count as absent.
//! Of two names for one thing, both must agree where it decides what is traded and by whom (symbol, action, secret).
//! Where the names are only related, one wins and the other is kept as an unknown field: `price` over `close` (an order's
//! price and a bar's), `timenow` over `timestamp` over `time` (a bar's opening), `strategy` over `strategy_name`,
//! `interval` over `timeframe`.

use engine::core::fixed::{Price, Rate, UNIT};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::decimal::{Decimal, DecimalError};
use super::error::SignalError;
use super::fingerprint::Fingerprint;
use super::json::{Document, Node, Shape};
use super::kind::{SignalKind, agreed, kind_of_text, strengthened, tag};
use super::secret::Secret;
use super::symbol::normalise_field;
use super::time::parse_time;
use super::{
    ACTION_BYTES_MAX, Draft, INTERVAL_BYTES_MAX, LEVERAGE_MAX, SECRET_BYTES_MAX, SIGNAL_ID_BYTES_MAX,
    STRATEGY_BYTES_MAX, STRENGTH_BYTES_MAX, TICKER_BYTES_MAX,
};

/// The fields that may occur once.
#[derive(Clone, Copy)]
enum Slot {
    Price,
    Close,
    Timenow,
    Timestamp,
    Time,
    SignalId,
    Leverage,
    StopLoss,
    TakeProfit,
    Rsi15,
    Rsi4h,
    Strategy,
    StrategyName,
    Interval,
    Timeframe,
    Strength,
}

impl Slot {
    /// In the order of the variants.
    const NAMES: [&str; 16] = [
        "price",
        "close",
        "timenow",
        "timestamp",
        "time",
        "signal_id",
        "leverage",
        "stop_loss",
        "take_profit",
        "rsi_15",
        "rsi_4h",
        "strategy",
        "strategy_name",
        "interval",
        "timeframe",
        "strength",
    ];

    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "price" => Self::Price,
            "close" => Self::Close,
            "timenow" => Self::Timenow,
            "timestamp" => Self::Timestamp,
            "time" => Self::Time,
            "signal_id" => Self::SignalId,
            "leverage" => Self::Leverage,
            "stop_loss" => Self::StopLoss,
            "take_profit" => Self::TakeProfit,
            "rsi_15" => Self::Rsi15,
            "rsi_4h" => Self::Rsi4h,
            "strategy" => Self::Strategy,
            "strategy_name" => Self::StrategyName,
            "interval" => Self::Interval,
            "timeframe" => Self::Timeframe,
            "strength" => Self::Strength,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

const _: () = assert!(Slot::Strength as usize + 1 == Slot::NAMES.len(), "every slot has a name");

const ACTIONS: [&str; 6] =
    ["action", "signal", "operation", "order_action", "strategy.order_action", "strategy.order.action"];

/// Reads the fields of a document.
pub(super) fn interpret(document: Document) -> Result<Draft, SignalError> {
    let mut fields = Fields { document: &document, slots: [None; Slot::NAMES.len()], unknown: Vec::new() };
    let mut symbol: Option<Named<(Symbol, String)>> = None;
    let mut action: Option<Named<SignalKind>> = None;
    for (index, node) in document.root() {
        let key = document.key(node);
        if let "ticker" | "symbol" = &*key {
            fields.symbol(&key, node, &mut symbol)?;
        } else if ACTIONS.contains(&&*key) {
            fields.action(&key, node, &mut action)?;
        } else {
            match Slot::of(&key) {
                // An object under `strategy` is the charts' nested form.
                Some(Slot::Strategy) if node.shape == Shape::Object => {
                    fields.nested_action(index, &mut action)?;
                    fields.unknown.push(index);
                }
                Some(slot) => fields.single(slot, index)?,
                None => fields.unknown.push(index),
            }
        }
    }
    let secret = source_secret(&document)?;
    let (symbol, ticker) = symbol.ok_or(SignalError::MissingSymbol)?.value;
    let mut kind = action.ok_or(SignalError::MissingAction)?.value;

    let price = fields.price(&[Slot::Price, Slot::Close])?;
    let at = fields.time()?;
    let signal_id = fields.text(&[Slot::SignalId], SIGNAL_ID_BYTES_MAX)?;
    let leverage = fields.leverage()?;
    let stop_loss = fields.price(&[Slot::StopLoss])?;
    let take_profit = fields.price(&[Slot::TakeProfit])?;
    let rsi_15 = fields.rsi(Slot::Rsi15)?;
    let rsi_4h = fields.rsi(Slot::Rsi4h)?;
    let strategy = fields.text(&[Slot::Strategy, Slot::StrategyName], STRATEGY_BYTES_MAX)?;
    let interval = fields.text(&[Slot::Interval, Slot::Timeframe], INTERVAL_BYTES_MAX)?;
    let strength = fields.text(&[Slot::Strength], STRENGTH_BYTES_MAX)?;
    if strength.as_deref().is_some_and(|s| ["strong", "forte"].iter().any(|w| s.eq_ignore_ascii_case(w))) {
        kind = strengthened(kind);
    }

    let mut fingerprint = Fingerprint::new();
    fingerprint.number(1, Some(i64::from(tag(kind))));
    fingerprint.text(2, Some(symbol.as_str()));
    fingerprint.number(3, price.map(Price::units));
    fingerprint.number(4, stop_loss.map(Price::units));
    fingerprint.number(5, take_profit.map(Price::units));
    fingerprint.number(6, leverage.map(i64::from));
    fingerprint.number(7, rsi_15.map(Rate::units));
    fingerprint.number(8, rsi_4h.map(Rate::units));
    fingerprint.text(9, signal_id.as_deref());
    fingerprint.text(10, strategy.as_deref());
    fingerprint.text(11, interval.as_deref());
    fingerprint.text(12, strength.as_deref());
    fingerprint.unknown(&document, &fields.unknown);

    Ok(Draft {
        kind,
        ticker,
        symbol,
        price,
        at,
        signal_id,
        leverage,
        stop_loss,
        take_profit,
        rsi_15,
        rsi_4h,
        strategy,
        interval,
        strength,
        secret,
        dedup_key: fingerprint.finish(),
        dedup_time: at.map(|at| at.0 / 1_000_000),
        body: document.text,
    })
}

/// A value with the name of the field it came from.
struct Named<T> {
    field: String,
    value: T,
}

/// What has been found so far.
struct Fields<'a> {
    document: &'a Document,
    /// Index of the node of each [`Slot`].
    slots: [Option<usize>; Slot::NAMES.len()],
    unknown: Vec<usize>,
}

impl Fields<'_> {
    fn symbol(
        &self,
        key: &str,
        node: &Node,
        found: &mut Option<Named<(Symbol, String)>>,
    ) -> Result<(), SignalError> {
        let Some(text) = self.string(key, node, TICKER_BYTES_MAX)? else { return Ok(()) };
        let symbol = normalise_field(key, &text)?;
        match found {
            None => *found = Some(Named { field: key.to_owned(), value: (symbol, text) }),
            Some(other) if other.value.0 == symbol => {}
            Some(other) => return Err(conflict(&other.field, key)),
        }
        Ok(())
    }

    fn action(
        &self,
        key: &str,
        node: &Node,
        found: &mut Option<Named<SignalKind>>,
    ) -> Result<(), SignalError> {
        let Some(text) = self.string(key, node, ACTION_BYTES_MAX)? else { return Ok(()) };
        let kind = kind_of_text(&text).ok_or_else(|| SignalError::UnknownAction { field: key.to_owned() })?;
        match found {
            None => *found = Some(Named { field: key.to_owned(), value: kind }),
            Some(other) => {
                other.value = agreed(other.value, kind).ok_or_else(|| conflict(&other.field, key))?;
            }
        }
        Ok(())
    }

    /// `{"strategy":{"order_action":…}}` and `{"strategy":{"order":{"action":…}}}`.
    fn nested_action(
        &self,
        strategy: usize,
        found: &mut Option<Named<SignalKind>>,
    ) -> Result<(), SignalError> {
        for (index, node) in self.document.children(strategy) {
            match &*self.document.key(node) {
                "order_action" => self.action("strategy.order_action", node, found)?,
                "order" if node.shape == Shape::Object => {
                    for (_, node) in self.document.children(index) {
                        if self.document.key(node) == "action" {
                            self.action("strategy.order.action", node, found)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a field that may occur once; again only with the same value.
    fn single(&mut self, slot: Slot, index: usize) -> Result<(), SignalError> {
        let node = self.document.node(index);
        if node.shape == Shape::Null {
            return Ok(());
        }
        match self.slots[slot as usize] {
            None => self.slots[slot as usize] = Some(index),
            Some(earlier) => {
                let earlier = self.document.node(earlier);
                if earlier.shape != node.shape || self.document.value(earlier) != self.document.value(node) {
                    return Err(conflict(slot.name(), slot.name()));
                }
            }
        }
        Ok(())
    }

    /// The text or number under the first of these slots that is there and not blank; the later ones become unknown
    /// fields.
    fn first(&mut self, slots: &[Slot]) -> Result<Option<(&'static str, String)>, SignalError> {
        let mut chosen = None;
        for slot in slots {
            let Some(index) = self.slots[*slot as usize] else { continue };
            if chosen.is_some() {
                self.unknown.push(index);
                continue;
            }
            let node = self.document.node(index);
            if !matches!(node.shape, Shape::Text | Shape::Number) {
                return Err(wrong_type(slot.name(), "a text or a number"));
            }
            let value = self.document.value(node);
            let text = value.trim();
            if !text.is_empty() {
                chosen = Some((slot.name(), text.to_owned()));
            }
        }
        Ok(chosen)
    }

    fn text(&mut self, slots: &[Slot], limit: usize) -> Result<Option<String>, SignalError> {
        self.first(slots)?.map(|(field, text)| limited(field, text, limit)).transpose()
    }

    fn decimal(&mut self, slots: &[Slot]) -> Result<Option<Reading>, SignalError> {
        let Some((field, text)) = self.first(slots)? else { return Ok(None) };
        let named = || field.to_owned();
        let units =
            Decimal::parse(&text).and_then(|number| number.scaled(8)).map_err(|error| match error {
                DecimalError::NotANumber => SignalError::NotANumber { field: named() },
                DecimalError::Comma => SignalError::DecimalComma { field: named() },
                DecimalError::NotFinite => SignalError::NotFinite { field: named() },
                DecimalError::OutOfRange => out_of_range(field, "at most 92233720368"),
            })?;
        Ok(Some(Reading { field, units }))
    }

    fn price(&mut self, slots: &[Slot]) -> Result<Option<Price>, SignalError> {
        match self.decimal(slots)? {
            None => Ok(None),
            Some(Reading { units, .. }) if units > 0 => Ok(Some(Price::from_units(units))),
            Some(Reading { field, .. }) => Err(out_of_range(field, "a price is at least 0.00000001")),
        }
    }

    fn leverage(&mut self) -> Result<Option<u8>, SignalError> {
        let Some(Reading { field, units }) = self.decimal(&[Slot::Leverage])? else { return Ok(None) };
        u8::try_from(units / UNIT)
            .ok()
            .filter(|whole| units % UNIT == 0 && (1..=LEVERAGE_MAX).contains(whole))
            .map(Some)
            .ok_or_else(|| out_of_range(field, "a whole number from 1 to 125"))
    }

    fn rsi(&mut self, slot: Slot) -> Result<Option<Rate>, SignalError> {
        let Some(Reading { field, units }) = self.decimal(&[slot])? else { return Ok(None) };
        if (0..=100 * UNIT).contains(&units) {
            Ok(Some(Rate::from_units(units)))
        } else {
            Err(out_of_range(field, "an RSI is from 0 to 100"))
        }
    }

    fn time(&mut self) -> Result<Option<Timestamp>, SignalError> {
        let Some((field, text)) = self.first(&[Slot::Timenow, Slot::Timestamp, Slot::Time])? else {
            return Ok(None);
        };
        parse_time(&text).map(Some).ok_or_else(|| SignalError::InvalidTime { field: field.to_owned() })
    }

    /// A string as sent, within its limit once trimmed; `None` when absent.
    fn string(&self, field: &str, node: &Node, limit: usize) -> Result<Option<String>, SignalError> {
        match node.shape {
            Shape::Null => Ok(None),
            Shape::Text => {
                let value = self.document.value(node);
                let text = value.trim();
                if text.is_empty() { Ok(None) } else { limited(field, text.to_owned(), limit).map(Some) }
            }
            _ => Err(wrong_type(field, "a text")),
        }
    }
}

/// A number in units of 1e-8, with the name of its field.
struct Reading {
    field: &'static str,
    units: i64,
}

fn source_secret(document: &Document) -> Result<Option<Secret>, SignalError> {
    let mut found: Option<(&'static str, &str)> = None;
    for credential in &document.credentials {
        let value = credential.value.as_deref().ok_or_else(|| wrong_type(credential.field, "a text"))?;
        if value.len() > SECRET_BYTES_MAX {
            return Err(SignalError::TooLong { field: credential.field.to_owned(), limit: SECRET_BYTES_MAX });
        }
        match found {
            _ if value.is_empty() => {}
            None => found = Some((credential.field, value)),
            Some((_, other)) if other == value => {}
            Some((field, _)) => return Err(conflict(field, credential.field)),
        }
    }
    Ok(found.map(|(_, value)| Secret::new(value.to_owned())))
}

fn limited(field: &str, text: String, limit: usize) -> Result<String, SignalError> {
    if text.len() > limit { Err(SignalError::TooLong { field: field.to_owned(), limit }) } else { Ok(text) }
}

fn conflict(first: &str, second: &str) -> SignalError {
    SignalError::Conflict { first: first.to_owned(), second: second.to_owned() }
}

fn wrong_type(field: &str, expected: &'static str) -> SignalError {
    SignalError::WrongType { field: field.to_owned(), expected }
}

fn out_of_range(field: &str, allowed: &'static str) -> SignalError {
    SignalError::OutOfRange { field: field.to_owned(), allowed }
}
