//! Numbers, flags and lists of Binance's JSON.
//!
//! **Invariants**: a number is kept as its text until it becomes a fixed-point type, so it never passes through a float; it
//! may come as a JSON number or as a string, as Binance writes some either way (EXCHANGES.md §2.5). What does not fit is an
//! error. The one exception are mean prices ([`Num::mean`]): a quotient has no exact form, so what is beyond the eighth
//! place is cut off.
//! **Never**: panics, whatever the text is.

use std::fmt::Display;
use std::str::FromStr;

use engine::core::fixed::{ParseError, Price, Quantity};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::live::protocol::{Malformed, Millis, TEXT_MAX};

/// Longest number that is an id: 2^64 has 20 digits.
const ID_DIGITS_MAX: usize = 20;

/// Says what could not be read, cut at [`TEXT_MAX`].
pub(super) fn malformed(what: &str, why: impl Display) -> Malformed {
    Malformed(cut(&format!("{what}: {why}")).to_owned())
}

/// The text up to [`TEXT_MAX`] bytes.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Reads a value of JSON.
pub(super) fn read<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| malformed(what, error))
}

/// The elements of a list, each to be read by itself.
pub(super) fn list<'a>(what: &str, text: &'a str) -> Result<Vec<&'a RawValue>, Malformed> {
    read(what, text)
}

/// A number as its text.
#[derive(Clone, Copy)]
pub(super) struct Num<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Num<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(unquoted(<&RawValue>::deserialize(deserializer)?.get())))
    }
}

impl<'a> Num<'a> {
    /// Exactly, or an error that names the field.
    pub(super) fn exact<T: FromStr<Err = ParseError>>(self, field: &str) -> Result<T, Malformed> {
        self.0.parse().map_err(|error| malformed(field, error))
    }

    /// Exactly, or why not.
    pub(super) fn fits<T: FromStr<Err = ParseError>>(self) -> Result<T, ParseError> {
        self.0.parse()
    }

    /// A mean price: what is beyond the eighth place is cut off. Zero and nothing are `None`: there is no mean then.
    pub(super) fn mean(self, field: &str) -> Result<Option<Price>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let kept = match self.0.find('.') {
            Some(point) if !self.0.contains(['e', 'E']) => {
                self.0.get(..(point + 9).min(self.0.len())).unwrap_or(self.0)
            }
            _ => self.0,
        };
        let price: Price = Num(kept).exact(field)?;
        Ok(Some(price).filter(|price| price.is_positive()))
    }

    /// A whole number.
    pub(super) fn whole<T: FromStr>(self, field: &str) -> Result<T, Malformed> {
        self.0.parse().map_err(|_| malformed(field, "not a whole number in range"))
    }

    /// Milliseconds.
    pub(super) fn millis(self, field: &str) -> Result<Millis, Malformed> {
        self.whole(field).map(Millis)
    }

    /// An id of the exchange's: digits.
    pub(super) fn id(self, field: &str) -> Result<&'a str, Malformed> {
        let fits = (1..=ID_DIGITS_MAX).contains(&self.0.len()) && self.0.bytes().all(|b| b.is_ascii_digit());
        if fits { Ok(self.0) } else { Err(malformed(field, "not an id")) }
    }

    /// An id that may be missing: nothing or zero is the empty text.
    pub(super) fn id_if_any(self, field: &str) -> Result<&'a str, Malformed> {
        if self.0.is_empty() || self.0 == "0" || self.0 == "null" { Ok("") } else { self.id(field) }
    }
}

/// A quantity that may be larger than can be held: then it is not told.
pub(super) fn fitting(number: Num<'_>, field: &str) -> Result<Option<Quantity>, Malformed> {
    match number.fits::<Quantity>() {
        Ok(quantity) if quantity.is_negative() => Err(malformed(field, "negative")),
        Ok(quantity) => Ok(Some(quantity)),
        Err(ParseError::OutOfRange) => Ok(None),
        Err(error) => Err(malformed(field, error)),
    }
}

/// A flag, which may come as `true` or as `"true"`.
#[derive(Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match unquoted(<&RawValue>::deserialize(deserializer)?.get()) {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err(de::Error::custom("not true or false")),
        }
    }
}

/// Whether a flag is there and set.
pub(super) fn is_set(flag: Option<Flag>) -> bool {
    flag.is_some_and(|flag| flag.0)
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num<T>(json: &str, then: impl Fn(Num<'_>) -> T) -> T {
        then(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn case_x7_numbers_are_read_exactly_in_every_form() {
        for json in ["0.00000092", "\"0.00000092\"", "9.2e-7", "\"9.2e-7\"", "\"0.000000920000\""] {
            let read = num(json, |n| n.exact::<Quantity>("q"));
            assert_eq!(read, Ok(Quantity::from_units(92)), "{json}");
        }
        // Not representable by a 64-bit float.
        assert_eq!(
            num("90071992547.40993", |n| n.exact::<Quantity>("q")).unwrap().to_string(),
            "90071992547.40993"
        );
        for json in ["\"\"", "null", "true", "{}", "[1]", "\"1,5\"", "\"NaN\"", "0.123456789", "1e12"] {
            assert!(num(json, |n| n.exact::<Quantity>("q")).is_err(), "{json}");
        }
    }

    #[test]
    fn means_are_cut_and_nothing_else_is() {
        let mean = |json| num(json, |n| n.mean("ap")).unwrap().map(|p| p.to_string());
        assert_eq!(mean("\"70.900038636\"").as_deref(), Some("70.90003863"));
        assert_eq!(mean("\"1.0833333333333333\"").as_deref(), Some("1.08333333"));
        assert_eq!(mean("\"0.00000\""), None);
        assert_eq!(mean("\"\""), None);
        assert_eq!(mean("6563.66500").as_deref(), Some("6563.665"));
        assert!(num("\"1.é\"", |n| n.mean("ap")).is_err());
        assert!(num("\"x\"", |n| n.mean("ap")).is_err());
    }

    #[test]
    fn ids_are_digits() {
        assert_eq!(num("283194212", |n| n.id("i").map(str::to_owned)), Ok("283194212".to_owned()));
        assert_eq!(num("\"\"", |n| n.id_if_any("ai").map(str::to_owned)), Ok(String::new()));
        for json in ["\"\"", "-1", "1.0", "\"1&2\"", "123456789012345678901", "{}"] {
            assert!(num(json, |n| n.id("i").map(str::to_owned)).is_err(), "{json}");
        }
    }

    #[test]
    fn flags_come_bare_and_quoted() {
        for (json, want) in [("true", true), ("\"true\"", true), ("false", false), ("\"false\"", false)] {
            assert_eq!(serde_json::from_str::<Flag>(json).unwrap().0, want);
        }
        assert!(serde_json::from_str::<Flag>("1").is_err());
    }
}
