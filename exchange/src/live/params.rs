//! Names and values of a request, percent-encoded as they are written: what is signed is then what is sent (CASES.md, T6).

use std::fmt::{self, Write};

/// A query string or form body under construction. Every value is encoded when it is pushed, so that there is no form of
/// it that was signed and another that is sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(String);

impl Params {
    /// Adds `name=value`. The name must be plain ASCII letters, digits, `_` or `-`; the value is encoded.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        let _never_fails = write!(Encoder(&mut self.0), "{value}");
    }

    /// As it is signed and sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A signature is no secret, but whoever holds it can repeat the request for some seconds.
        f.debug_tuple("Params").field(&self.0.split("&signature=").next().unwrap_or_default()).finish()
    }
}

/// Writes what passes through it percent-encoded: all but the unreserved characters of RFC 3986 §2.3.
struct Encoder<'a>(&'a mut String);

impl Write for Encoder<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                write!(self.0, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_t6_values_are_encoded_before_they_are_signed() {
        let mut params = Params::default();
        assert!(params.is_empty());
        params.push("symbol", "币安人生USDT");
        params.push("note", "a@b c&d=e+f");
        params.push("n", 17);
        assert_eq!(
            params.as_str(),
            "symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&note=a%40b%20c%26d%3De%2Bf&n=17"
        );
    }

    #[test]
    fn debug_output_has_no_signature() {
        let mut params = Params::default();
        params.push("symbol", "BTCUSDT");
        params.push("signature", "c0ffee");
        assert!(!format!("{params:?}").contains("c0ffee"));
    }
}
