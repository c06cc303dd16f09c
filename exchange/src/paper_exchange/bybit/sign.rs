//! How a request says who sends it: the X-BAPI headers, the time rule and what is signed (EXCHANGES.md §3.2).
//!
//! **Invariants**: what is checked is exactly what came: the query string as it stands in the target, the body byte for byte.
//! A signature is checked after the key and the time, as Bybit does, so that a wrong clock is told as such.

use super::codes::Refusal;

/// The window when no header names one, in milliseconds.
pub const WINDOW_MS: u64 = 5_000;
/// How far a request's time may be ahead of the server's, whatever its window is, in milliseconds (CASES.md, T3).
pub const AHEAD_MS: u64 = 1_000;

/// What the headers of a signed request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The key's name.
    pub key: &'a str,
    /// The signature, hex or base64.
    pub signature: &'a str,
    timestamp: &'a str,
    window: &'a str,
    asked_ms: u64,
    window_ms: u64,
}

impl<'a> Signed<'a> {
    /// Reads the headers through a look-up that ignores case.
    ///
    /// # Errors
    /// 10001 when a header is missing or no number.
    pub fn read(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Refusal> {
        let of = |name| header(name).unwrap_or_default();
        let (key, timestamp, signature) = (of("x-bapi-api-key"), of("x-bapi-timestamp"), of("x-bapi-sign"));
        if key.is_empty() || timestamp.is_empty() || signature.is_empty() {
            return Err(Refusal::unsigned(timestamp, key, signature));
        }
        let window = of("x-bapi-recv-window");
        let number = |text: &str, name: &str| {
            text.parse::<u64>().map_err(|_| Refusal::parameter(format_args!("{name} invalid")))
        };
        let window_ms = if window.is_empty() { WINDOW_MS } else { number(window, "recv_window")? };
        Ok(Self { key, signature, timestamp, window, asked_ms: number(timestamp, "timestamp")?, window_ms })
    }

    /// The time rule: `server − window ≤ asked < server + 1000`.
    ///
    /// # Errors
    /// 10002.
    pub fn in_time(&self, server_ms: u64) -> Result<(), Refusal> {
        check_time(self.asked_ms, self.window_ms, server_ms)
    }

    /// The bytes that have to be signed: timestamp, key, window as they came, then the query or the body.
    #[must_use]
    pub fn origin(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(payload.len() + 96);
        for part in [self.timestamp, self.key, self.window] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(payload);
        out
    }
}

/// The time rule: `server − window ≤ asked < server + 1000`.
///
/// # Errors
/// 10002.
pub fn check_time(asked_ms: u64, window_ms: u64, server_ms: u64) -> Result<(), Refusal> {
    let fits =
        asked_ms >= server_ms.saturating_sub(window_ms) && asked_ms < server_ms.saturating_add(AHEAD_MS);
    if fits { Ok(()) } else { Err(Refusal::time(asked_ms, server_ms, window_ms)) }
}

/// What a socket's `auth` has to sign.
#[must_use]
pub fn socket_origin(expires_ms: u64) -> String {
    format!("GET/realtime{expires_ms}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str) -> Option<&'static str> {
        Some(match name {
            "x-bapi-api-key" => "KEY",
            "x-bapi-timestamp" => "1700000000000",
            "x-bapi-sign" => "c0ffee",
            "x-bapi-recv-window" => "5000",
            _ => return None,
        })
    }

    #[test]
    fn the_string_is_time_key_window_payload() {
        let signed = Signed::read(headers).unwrap();
        assert_eq!(signed.origin(b"{\"a\": 1}"), b"1700000000000KEY5000{\"a\": 1}");
    }

    #[test]
    fn case_t3_only_a_second_ahead_whatever_the_window_is() {
        assert_eq!(check_time(1_000, 60_000, 1), Ok(()));
        assert_eq!(check_time(1_001, 60_000, 1).unwrap_err().code, 10002);
        assert_eq!(check_time(5_000, 5_000, 10_000), Ok(()));
        assert_eq!(check_time(4_999, 5_000, 10_000).unwrap_err().code, 10002);
    }

    #[test]
    fn missing_headers_are_told() {
        let refused =
            Signed::read(|name| if name == "x-bapi-sign" { None } else { headers(name) }).unwrap_err();
        assert_eq!(
            (refused.code, refused.text.as_ref()),
            (10001, "empty value: apiTimestamp[1700000000000] apiKey[KEY] apiSignature[]")
        );
    }
}
