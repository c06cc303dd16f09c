//! The parameters of a request, decoded, and the very bytes that were signed.

use std::collections::BTreeMap;

use engine::core::fixed::{Price, Quantity};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::errors::ApiError;

/// Parameters that a request may have; more are refused: no request has a tenth of it.
const PARAMS_MAX: usize = 256;

/// Decoded parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    values: BTreeMap<String, String>,
}

/// Parameters as they came over HTTP, with what is signed.
pub(super) struct Sent {
    pub(super) params: Params,
    /// Query and body without the signature, joined without a separator.
    pub(super) payload: Vec<u8>,
    /// The signature; `None`: it was not there. Empty: it was not the last parameter.
    pub(super) signature: Option<String>,
}

impl Params {
    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { values: pairs.into_iter().collect() }
    }

    /// Reads query and body. What is in both is taken from the query.
    pub(super) fn read(query: &str, body: &[u8]) -> Result<Sent, ApiError> {
        let body = std::str::from_utf8(body).map_err(|_| ApiError::illegal("body"))?;
        let mut values = BTreeMap::new();
        let mut signature = None;
        let mut payload = String::new();
        for (place, part) in [body, query].into_iter().enumerate() {
            let pieces: Vec<_> = part.split('&').filter(|piece| !piece.is_empty()).collect();
            if pieces.len() > PARAMS_MAX {
                return Err(ApiError::TOO_MANY_PARAMETERS);
            }
            let last = pieces.len().saturating_sub(1);
            let mut signed = part;
            for (at, piece) in pieces.iter().enumerate() {
                let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                let (name, value) = (decode(name)?, decode(value)?);
                if name == "signature" {
                    signature = Some(if at == last { value } else { String::new() });
                    signed = part.find("signature=").map_or(part, |at| part[..at].trim_end_matches('&'));
                    continue;
                }
                values.insert(name, value);
            }
            // The query comes first in what is signed.
            if place == 0 { payload.push_str(signed) } else { payload.insert_str(0, signed) }
        }
        Ok(Sent { params: Self { values }, payload: payload.into_bytes(), signature })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn must(&self, name: &'static str) -> Result<&str, ApiError> {
        self.text(name).ok_or(ApiError::mandatory(name))
    }

    pub(super) fn symbol(&self) -> Result<Symbol, ApiError> {
        Symbol::new(self.must("symbol")?).ok_or(ApiError::SYMBOL)
    }

    pub(super) fn maybe_symbol(&self) -> Result<Option<Symbol>, ApiError> {
        self.text("symbol").map(|text| Symbol::new(text).ok_or(ApiError::SYMBOL)).transpose()
    }

    pub(super) fn integer(&self, name: &'static str) -> Result<Option<u64>, ApiError> {
        self.text(name).map(|text| text.parse().map_err(|_| ApiError::illegal(name))).transpose()
    }

    /// A moment in milliseconds.
    pub(super) fn millis(&self, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
        Ok(self.integer(name)?.map(Timestamp::from_millis))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, ApiError> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::illegal(name)),
        }
    }

    /// A decimal as the exchange takes it: digits and a point, nothing else (CASES.md, X5, X6).
    fn decimal(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits(whole) && digits(part) { Ok(Some(text)) } else { Err(ApiError::illegal(name)) }
    }

    pub(super) fn price(&self, name: &'static str) -> Result<Option<Price>, ApiError> {
        let text = self.decimal(name)?;
        text.map(|text| text.parse().map_err(|_| ApiError::PRECISION)).transpose()
    }

    pub(super) fn quantity(&self, name: &'static str) -> Result<Option<Quantity>, ApiError> {
        let text = self.decimal(name)?;
        text.map(|text| text.parse().map_err(|_| ApiError::PRECISION)).transpose()
    }
}

/// Undoes percent-encoding and `+`.
fn decode(text: &str) -> Result<String, ApiError> {
    if !text.contains(['%', '+']) {
        return Ok(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let (high, low) = (digit(), digit());
                let (Some(high), Some(low)) = (high, low) else { return Err(ApiError::illegal("query")) };
                out.push(high << 4 | low);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| ApiError::illegal("query"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_was_sent_without_the_signature() {
        let sent = Params::read("a=1&b=%40x", b"c=3&signature=ff").unwrap();
        assert_eq!((sent.payload.as_slice(), sent.signature.as_deref()), (&b"a=1&b=%40xc=3"[..], Some("ff")));
        assert_eq!(sent.params.text("b"), Some("@x"));
        let sent = Params::read("a=1&signature=a%2Bb", b"").unwrap();
        assert_eq!((sent.payload.as_slice(), sent.signature.as_deref()), (&b"a=1"[..], Some("a+b")));
        let sent = Params::read("signature=ff&a=1", b"").unwrap();
        assert_eq!(sent.signature.as_deref(), Some(""), "case_t7: it has to be the last");
    }

    #[test]
    fn case_x5_numbers_in_scientific_form_are_refused() {
        for text in ["9.2e-7", "1E3", "+1", "-1", ".5", "5.", "1,5", "NaN", "1.2.3", "0x10"] {
            let params = Params::from_pairs([("price".to_owned(), text.to_owned())]);
            assert_eq!(params.price("price"), Err(ApiError::illegal("price")), "{text}");
        }
        let params = Params::from_pairs([("price".to_owned(), "0.00000092".to_owned())]);
        assert_eq!(params.price("price").unwrap().unwrap().units(), 92);
    }
}
