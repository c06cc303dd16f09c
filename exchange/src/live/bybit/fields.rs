//! Single values of Bybit's JSON: texts, numbers and flags, as text until somebody says what they are.
//!
//! Bybit tells the same value as a string here and as a number there, leaves it empty, or leaves it out. All of these are a
//! [`Field`]; a number in it never passes through a float (CASES.md, X5–X7).
//!
//! **Invariants**: what cannot be what it should be is [`Malformed`] with the name of the field, never a guess. Money,
//! quantities and prices are exact; only a mean price ([`Field::mean_price`]) is cut, for a mean has no last digit.

use std::borrow::Cow;
use std::str::FromStr;

use engine::core::fixed::{DECIMALS, ParseError, Price, Quantity};
use engine::core::instrument::Symbol;
use engine::core::order::Side;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::live::protocol::{Malformed, Millis, TEXT_MAX};

/// A value, as text; empty when it is null or absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => {
                let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
                if inner.contains('\\') {
                    serde_json::from_str(raw)
                        .map(|text: String| Self(Cow::Owned(text)))
                        .map_err(de::Error::custom)
                } else {
                    Ok(Self(Cow::Borrowed(inner)))
                }
            }
            Some(b'n') => Ok(Self(Cow::Borrowed(""))),
            Some(b'{' | b'[') | None => {
                Err(de::Error::custom("an object or a list where a value is expected"))
            }
            Some(_) => Ok(Self(Cow::Borrowed(raw))),
        }
    }
}

/// What is wrong with a field.
pub(super) fn misread(name: &str, what: impl std::fmt::Display) -> Malformed {
    Malformed(format!("{name}: {what}"))
}

impl Field<'_> {
    /// As text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it says true.
    pub(super) fn is_true(&self) -> bool {
        matches!(self.as_str(), "true" | "1")
    }

    /// An identifier, kept whole: one that is too long is no identifier of theirs.
    pub(super) fn id(&self, name: &str) -> Result<String, Malformed> {
        if self.0.len() > TEXT_MAX { Err(misread(name, "too long")) } else { Ok(self.0.to_string()) }
    }

    /// An exact number of one of our kinds.
    pub(super) fn number<T: FromStr<Err = ParseError>>(&self, name: &str) -> Result<T, Malformed> {
        self.as_str().parse().map_err(|error| misread(name, error))
    }

    /// The same, zero when empty.
    pub(super) fn number_or_zero<T: FromStr<Err = ParseError> + Default>(
        &self,
        name: &str,
    ) -> Result<T, Malformed> {
        if self.is_empty() { Ok(T::default()) } else { self.number(name) }
    }

    /// A quantity, zero when empty.
    pub(super) fn quantity(&self, name: &str) -> Result<Quantity, Malformed> {
        let quantity: Quantity = self.number_or_zero(name)?;
        if quantity.is_negative() { Err(misread(name, "negative")) } else { Ok(quantity) }
    }

    /// A quantity that may be larger than can be held: then it is `None`.
    pub(super) fn quantity_if_held(&self, name: &str) -> Result<Option<Quantity>, Malformed> {
        if matches!(self.as_str().parse::<Quantity>(), Err(ParseError::OutOfRange)) {
            return Ok(None);
        }
        self.quantity(name).map(Some)
    }

    /// A price; `None` when it is empty or zero, which both mean that there is none.
    pub(super) fn price(&self, name: &str) -> Result<Option<Price>, Malformed> {
        let price: Price = self.number_or_zero(name)?;
        if price.is_negative() {
            return Err(misread(name, "negative"));
        }
        Ok(price.is_positive().then_some(price))
    }

    /// A mean of prices, likewise; digits beyond the eighth place are cut.
    pub(super) fn mean_price(&self, name: &str) -> Result<Option<Price>, Malformed> {
        let text = self.as_str();
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let places = usize::try_from(DECIMALS).expect("eight fits");
        match text.find('.') {
            Some(point) if plain && text.len() - point - 1 > places => {
                Field(Cow::Borrowed(&text[..=point + places])).price(name)
            }
            _ => self.price(name),
        }
    }

    /// A time in milliseconds; zero when empty.
    pub(super) fn millis(&self, name: &str) -> Result<Millis, Malformed> {
        self.count(name).map(Millis)
    }

    /// A whole number that is not negative; zero when empty.
    pub(super) fn count(&self, name: &str) -> Result<u64, Malformed> {
        if self.is_empty() {
            return Ok(0);
        }
        if !self.0.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(misread(name, "not a whole number"));
        }
        self.as_str().parse().map_err(|_| misread(name, "out of range"))
    }

    /// A code of the exchange.
    pub(super) fn code(&self, name: &str) -> Result<i64, Malformed> {
        self.as_str().parse().map_err(|_| misread(name, "not a code"))
    }

    /// A symbol.
    pub(super) fn symbol(&self, name: &str) -> Result<Symbol, Malformed> {
        Symbol::new(self.as_str()).ok_or_else(|| misread(name, "not a symbol"))
    }

    /// Buy or sell.
    pub(super) fn side(&self, name: &str) -> Result<Side, Malformed> {
        match self.as_str() {
            "Buy" => Ok(Side::Buy),
            "Sell" => Ok(Side::Sell),
            _ => Err(misread(name, "neither Buy nor Sell")),
        }
    }

    /// A leverage; zero (not told) when it is empty, no whole number, or above what we hold.
    pub(super) fn leverage(&self) -> u8 {
        let whole = self.as_str().trim_end_matches('0').strip_suffix('.');
        whole.unwrap_or(self.as_str()).parse().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(json: &str) -> Field<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn case_x7_a_number_is_text_until_it_is_parsed_exactly() {
        for json in ["\"9.2e-7\"", "9.2e-7", "\"0.00000092\"", "0.00000092"] {
            assert_eq!(field(json).number::<Price>("p").unwrap().to_string(), "0.00000092", "{json}");
        }
        // A float would make 0.34999999999999997 of it (X1).
        assert_eq!(field("0.35").number::<Price>("p").unwrap(), Price::from_units(35_000_000));
        assert_eq!(field("92233720368.54775807").number::<Price>("p").unwrap(), Price::MAX);
    }

    #[test]
    fn what_cannot_be_held_is_an_error_and_not_a_rounding() {
        let refused = field("\"0.000000001\"").number::<Quantity>("execQty").unwrap_err();
        assert_eq!(refused.0, "execQty: more than 8 decimal places");
        assert!(field("\"\"").number::<Quantity>("q").is_err());
        assert!(field("\"-1\"").quantity("q").is_err());
        assert!(field("\"-1\"").price("p").is_err());
        assert!(field("\"1,5\"").price("p").is_err());
    }

    #[test]
    fn a_mean_price_is_cut_at_the_eighth_place() {
        let mean = |json: &str| Field::mean_price(&field(json), "avgPrice").unwrap().map(|p| p.to_string());
        assert_eq!(mean("\"0.123456789012\""), Some("0.12345678".to_owned()));
        assert_eq!(mean("\"28184.5\""), Some("28184.5".to_owned()));
        assert_eq!(mean("\"\""), None);
        assert_eq!(mean("\"0.00\""), None);
        assert!(field("\"1.123456789x\"").mean_price("p").is_err());
        assert!(field("\"1.1.123456789\"").mean_price("p").is_err());
    }

    #[test]
    fn empty_null_and_escaped_values_are_read() {
        assert!(field("null").is_empty() && field("\"\"").is_empty());
        assert_eq!(field(r#""a\"\u00e9""#).as_str(), "a\"é");
        assert!(field("true").is_true() && field("1").is_true() && !field("false").is_true());
        assert!(serde_json::from_str::<Field<'_>>("[1]").is_err());
        assert!(serde_json::from_str::<Field<'_>>("{}").is_err());
    }

    #[test]
    fn case_t5_a_time_is_whole_milliseconds() {
        assert_eq!(field("\"1672364174443\"").millis("t").unwrap(), Millis(1_672_364_174_443));
        assert!(field("1.6e12").millis("t").is_err());
        assert!(field("-1").millis("t").is_err());
        assert!(field("\"99999999999999999999\"").millis("t").is_err());
    }

    #[test]
    fn a_leverage_that_is_not_whole_is_not_told() {
        for (json, leverage) in
            [("\"10\"", 10), ("\"100.00\"", 100), ("\"12.5\"", 0), ("\"\"", 0), ("300", 0), ("\"-3\"", 0)]
        {
            assert_eq!(field(json).leverage(), leverage, "{json}");
        }
    }
}
