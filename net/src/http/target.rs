//! Request targets: their form, and percent-decoding of paths and queries.
//!
//! **Bounds**: decoding never makes text longer, so [`super::Limits::target_bytes_max`] bounds it.

use std::borrow::Cow;

use super::HttpError;
use super::parse::Method;

/// Path and query of a request target in origin form (RFC 9112 §3.2.1), or `*` for OPTIONS (§3.2.4).
///
/// The absolute form and the authority form are refused. §3.2.2 wants servers to accept the first, but it names a host a
/// second time, a proxy in front may go by the other one, and this server is no proxy: its clients never send it. Bytes are
/// those that RFC 3986 allows, and those that browsers leave as they are beyond it (WHATWG URL, percent-encode sets); a
/// fragment or a backslash in the path is read differently by different servers.
pub(super) fn split(target: &str, method: Method) -> Result<(&str, &str), HttpError> {
    if target == "*" && method == Method::Options {
        return Ok((target, ""));
    }
    let path_bytes = memchr::memchr(b'?', target.as_bytes()).unwrap_or(target.len());
    let (path, query) = (&target[..path_bytes], target.get(path_bytes + 1..).unwrap_or_default());
    let all =
        |text: &str, part| text.bytes().fold(part, |found, byte| found & PLACES[usize::from(byte)]) == part;
    let fine = path.starts_with('/') && all(path, IN_PATH) && all(query, IN_QUERY);
    if fine { Ok((path, query)) } else { Err(HttpError::RequestTarget) }
}

const IN_PATH: u8 = 1;
const IN_QUERY: u8 = 2;

/// Where a byte may stand.
const PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        places[byte as usize] = match byte {
            b'#' | b'"' | b'<' | b'>' => 0,
            b'\\' | b'^' | b'`' | b'{' | b'}' => IN_QUERY,
            _ => IN_PATH | IN_QUERY,
        };
        byte += 1;
    }
    places
};

/// The percent-encoding or the text behind it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a percent sign must be followed by two hexadecimal digits and the result must be UTF-8 without NUL")]
pub struct DecodeError;

/// Decodes `%XX`. Borrows when there is nothing to decode.
///
/// # Errors
/// [`DecodeError`] for a bad escape, a NUL, or bytes that are not UTF-8.
pub fn decode(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    decode_with(text, false)
}

/// Decodes `%XX`, and `+` as a space: for the names and values of a query.
///
/// # Errors
/// As [`decode`].
pub fn decode_query(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    decode_with(text, true)
}

/// The segments of an absolute path, still encoded: split first, then [`decode`], so that an encoded slash stays part of
/// its segment. `/a/b` has two; `/` has one, which is empty.
pub fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// The pairs of a query, still encoded. A pair without `=` has an empty value; empty pairs are left out.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decode_with(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>, DecodeError> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|&byte| byte == b'%' || byte == 0 || plus_is_space && byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_first_chunk::<2>().ok_or(DecodeError)?;
                rest = after;
                hex(digits[0])? << 4 | hex(digits[1])?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    if decoded.contains(&0) {
        return Err(DecodeError);
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| DecodeError)
}

fn hex(digit: u8) -> Result<u8, DecodeError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(DecodeError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let get = |target| split(target, Method::Get);
        assert_eq!(get("/"), Ok(("/", "")));
        assert_eq!(get("/a%20b;c=d/[e]|?f=\\{g}?"), Ok(("/a%20b;c=d/[e]|", "f=\\{g}?")));
        assert_eq!(get("//x/y"), Ok(("//x/y", "")));
        assert_eq!(split("*", Method::Options), Ok(("*", "")));
        for target in
            ["*", "", "a", "?a", "x:80", "http://x/", "HTTPS://x", "/a#b", "/?a#b", "/\\", "/\"", "/é", "*?"]
        {
            assert_eq!(get(target), Err(HttpError::RequestTarget), "{target:?}");
        }
        assert_eq!(split("*?", Method::Options), Err(HttpError::RequestTarget));
    }

    #[test]
    fn decodes_and_borrows() {
        assert!(matches!(decode("plain"), Ok(Cow::Borrowed("plain"))));
        assert_eq!(decode("a%2Fb%c3%a9+").unwrap(), "a/bé+");
        assert_eq!(decode_query("a+b%2B").unwrap(), "a b+");
    }

    #[test]
    fn refuses_bad_escapes() {
        for text in ["%", "%4", "%zz", "%ff", "%00", "a\0b", "%+1"] {
            assert_eq!(decode(text), Err(DecodeError), "{text:?}");
            assert_eq!(decode_query(text), Err(DecodeError), "{text:?}");
        }
    }

    #[test]
    fn splits_before_decoding() {
        assert_eq!(segments("/a/b%2Fc/").collect::<Vec<_>>(), ["a", "b%2Fc", ""]);
        assert_eq!(segments("/").collect::<Vec<_>>(), [""]);
        assert_eq!(pairs("a=1&&b&c=d=e").collect::<Vec<_>>(), [("a", "1"), ("b", ""), ("c", "d=e")]);
    }
}
