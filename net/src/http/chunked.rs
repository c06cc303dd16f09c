//! Chunked bodies.
//!
//! **Invariants**: the answer depends on the bytes alone, not on how they arrived: the first offending byte decides.
//! **Bounds**: decoded bytes, number of chunks, length of a size line, of all extensions, of all trailers.

use super::{HttpError, Limits};

/// What a chunked body amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// More is needed: at least this many bytes of the coded body in all.
    Incomplete { coded_bytes_min: usize },
    /// The body lies contiguously in the coded bytes.
    InPlace { start: usize, end: usize, coded_bytes: usize },
    /// The body was put together in the scratch buffer.
    Gathered { coded_bytes: usize },
}

/// The longest size line that is accepted, its line end included: 16 digits are more than any size, the rest is for
/// chunk extensions, which nobody sends and which are ignored.
const SIZE_LINE_MAX: usize = 128;

/// Chunk extensions of one body, in bytes: RFC 9112 §7.1.1 asks for a limit on their total, because chunks of one byte
/// with long extensions are cheap to send and dear to read.
const EXTENSIONS_MAX: usize = 16 << 10;

/// Fields that say where the message ends, whom it is for or how it is handled, which RFC 9110 §6.5.1 forbids as trailers.
/// They would be dropped with the rest, but a server that merges trailers into the headers reads another request.
const FORBIDDEN_TRAILERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Decodes the body that begins at `coded[0]`. `scratch` is used when it has more than one chunk.
pub(super) fn decode(coded: &[u8], limits: &Limits, scratch: &mut Vec<u8>) -> Result<Chunked, HttpError> {
    scratch.clear();
    let mut first: Option<(usize, usize)> = None;
    let mut gathered = false;
    let mut decoded_bytes = 0_usize;
    let mut position = 0_usize;
    let mut extension_bytes = 0_usize;
    for _ in 0..=limits.chunks_max {
        let Some(line_bytes) = line(&coded[position..], SIZE_LINE_MAX, HttpError::Chunk)? else {
            // A partial size line is still checked, so that a bad digit is refused as soon as it is seen.
            size(coded[position..].split(|&byte| byte == b'\r').next().unwrap_or_default(), true)?;
            return Ok(Chunked::Incomplete { coded_bytes_min: coded.len() + 1 });
        };
        let size_line = &coded[position..position + line_bytes - 2];
        let chunk_bytes = size(size_line, false)?;
        extension_bytes += memchr::memchr(b';', size_line).map_or(0, |at| size_line.len() - at);
        if extension_bytes > EXTENSIONS_MAX {
            return Err(HttpError::Chunk);
        }
        position += line_bytes;
        if chunk_bytes == 0 {
            return Ok(match trailers(&coded[position..], limits)? {
                None => Chunked::Incomplete { coded_bytes_min: coded.len() + 1 },
                Some(trailer_bytes) => {
                    let coded_bytes = position + trailer_bytes;
                    match first {
                        _ if gathered => Chunked::Gathered { coded_bytes },
                        Some((start, end)) => Chunked::InPlace { start, end, coded_bytes },
                        None => Chunked::InPlace { start: 0, end: 0, coded_bytes },
                    }
                }
            });
        }
        decoded_bytes = decoded_bytes.checked_add(chunk_bytes).ok_or(HttpError::BodyTooLarge)?;
        if decoded_bytes > limits.body_bytes_max {
            return Err(HttpError::BodyTooLarge);
        }
        let end = position + chunk_bytes;
        for (offset, expected) in [(end, b'\r'), (end + 1, b'\n')] {
            match coded.get(offset) {
                Some(&byte) if byte == expected => {}
                Some(_) => return Err(HttpError::Chunk),
                // No further, or a fault that is there already would not be looked at.
                None => return Ok(Chunked::Incomplete { coded_bytes_min: offset + 1 }),
            }
        }
        match first {
            None => first = Some((position, end)),
            Some((start, first_end)) => {
                if !gathered {
                    gathered = true;
                    scratch.extend_from_slice(&coded[start..first_end]);
                }
                scratch.extend_from_slice(&coded[position..end]);
            }
        }
        position = end + 2;
    }
    Err(HttpError::BodyTooLarge)
}

/// Length of the line at the beginning of `bytes`, CR LF included. `None` when its end has not arrived.
fn line(bytes: &[u8], bytes_max: usize, too_long: HttpError) -> Result<Option<usize>, HttpError> {
    let window = &bytes[..bytes.len().min(bytes_max)];
    match memchr::memchr2(b'\n', b'\r', window) {
        Some(at) if window[at] == b'\r' => match window.get(at + 1) {
            Some(b'\n') => Ok(Some(at + 2)),
            Some(_) => Err(HttpError::Chunk),
            None if window.len() == bytes_max => Err(too_long),
            None => Ok(None),
        },
        Some(_) => Err(HttpError::Chunk),
        None if window.len() == bytes_max => Err(too_long),
        None => Ok(None),
    }
}

/// The size in a size line without its line end. `partial`: the line may go on.
fn size(line: &[u8], partial: bool) -> Result<usize, HttpError> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    if digits == 0 && !(partial && line.is_empty()) || digits > 16 {
        return Err(HttpError::Chunk);
    }
    let extensions = &line[digits..];
    let known =
        if partial { extensions.iter().all(|&byte| is_text(byte)) } else { are_extensions(extensions) };
    if !known || extensions.first().is_some_and(|&byte| byte != b';') {
        return Err(HttpError::Chunk);
    }
    let value = line[..digits].iter().fold(0_u64, |value, &digit| {
        value << 4 | u64::from((digit as char).to_digit(16).expect("only hexadecimal digits were counted"))
    });
    usize::try_from(value).map_err(|_| HttpError::BodyTooLarge)
}

/// `;name`, `;name=value` or `;name="value"`, any number of times (RFC 9112 §7.1.1), without the blanks that §7.1.1 tolerates
/// and nobody sends.
fn are_extensions(mut rest: &[u8]) -> bool {
    while let Some(after) = rest.strip_prefix(b";") {
        let Some(after) = strip_token(after) else { return false };
        rest = match after.strip_prefix(b"=") {
            None => after,
            Some(value) => {
                let value = if let Some(quoted) = value.strip_prefix(b"\"") {
                    strip_quoted(quoted)
                } else {
                    strip_token(value)
                };
                let Some(after) = value else { return false };
                after
            }
        };
    }
    rest.is_empty()
}

/// What follows a token (RFC 9110 §5.6.2).
fn strip_token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&byte| !is_token(byte)).unwrap_or(bytes.len());
    (end > 0).then(|| &bytes[end..])
}

/// What follows a quoted string (RFC 9110 §5.6.4) whose opening quote is gone already.
fn strip_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] if is_text(*byte) => rest,
            [byte, rest @ ..] if *byte != b'\\' && is_text(*byte) => rest,
            _ => return None,
        };
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte that may stand in a field's value.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7F
}

/// A trailer without its line end: a field of its own (no continuation of the line before it), and none of
/// [`FORBIDDEN_TRAILERS`].
fn check_trailer(line: &[u8]) -> Result<(), HttpError> {
    let name_bytes = memchr::memchr(b':', line).ok_or(HttpError::Trailer)?;
    let (name, value) = (&line[..name_bytes], &line[name_bytes + 1..]);
    let field = !name.is_empty()
        && name.iter().all(|&byte| is_token(byte))
        && value.iter().all(|&byte| is_text(byte));
    let forbidden =
        FORBIDDEN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()));
    if field && !forbidden { Ok(()) } else { Err(HttpError::Trailer) }
}

/// Length of the trailer section with its closing empty line. Trailers are dropped: nothing here may be overruled by
/// them.
fn trailers(bytes: &[u8], limits: &Limits) -> Result<Option<usize>, HttpError> {
    let mut position = 0;
    loop {
        let bytes_max = limits.trailer_bytes_max - position;
        if bytes_max == 0 {
            return Err(HttpError::HeadTooLarge);
        }
        match line(&bytes[position..], bytes_max, HttpError::HeadTooLarge)? {
            None => return Ok(None),
            Some(2) => return Ok(Some(position + 2)),
            Some(line_bytes) => {
                check_trailer(&bytes[position..position + line_bytes - 2])?;
                position += line_bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(coded: &[u8]) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
        let mut scratch = Vec::new();
        let limits = Limits { body_bytes_max: 64, chunks_max: 8, trailer_bytes_max: 32, ..Limits::default() };
        Ok(match decode(coded, &limits, &mut scratch)? {
            Chunked::Incomplete { .. } => None,
            Chunked::InPlace { start, end, coded_bytes } => Some((coded[start..end].to_vec(), coded_bytes)),
            Chunked::Gathered { coded_bytes } => Some((scratch, coded_bytes)),
        })
    }

    #[test]
    fn decodes() {
        assert_eq!(check(b"0\r\n\r\n"), Ok(Some((b"".to_vec(), 5))));
        assert_eq!(check(b"5\r\nhello\r\n0\r\n\r\nGET"), Ok(Some((b"hello".to_vec(), 15))));
        assert_eq!(
            check(b"3;name=\"x\"\r\nhel\r\n02\r\nlo\r\n0\r\nX-T: 1\r\n\r\n"),
            Ok(Some((b"hello".to_vec(), 38)))
        );
    }

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        for coded in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"\r\n",
            b"00000000000000005\r\nhello\r\n0\r\n\r\n",
            b"0\r\nX: 1\n\r\n",
            b"5;\x00\r\nhello\r\n0\r\n\r\n",
            b"5;\r\nhello\r\n0\r\n\r\n",
            b"5;a=\r\nhello\r\n0\r\n\r\n",
            b"5;a=\"b\r\nhello\r\n0\r\n\r\n",
            b"5; a\r\nhello\r\n0\r\n\r\n",
            b"5;a b\r\nhello\r\n0\r\n\r\n",
        ] {
            assert_eq!(check(coded), Err(HttpError::Chunk), "{:?}", String::from_utf8_lossy(coded));
        }
    }

    #[test]
    fn extensions_are_ignored() {
        for extensions in [";a", ";a=b", ";a;b=c", ";a=\"b c;\\\"d\"", ";a=\"\";b"] {
            let coded = format!("5{extensions}\r\nhello\r\n0{extensions}\r\n\r\n");
            assert_eq!(check(coded.as_bytes()), Ok(Some((b"hello".to_vec(), coded.len()))), "{extensions:?}");
        }
    }

    #[test]
    fn trailers_are_fields_that_change_nothing() {
        for trailer in ["X: 1", "X-Checksum:abc\t", "X:"] {
            let coded = format!("0\r\n{trailer}\r\n\r\n");
            assert_eq!(check(coded.as_bytes()), Ok(Some((Vec::new(), coded.len()))), "{trailer:?}");
        }
        for trailer in
            ["X", ": 1", "X : 1", " X: 1", "\tX: 1", "X: \0", "content-length: 5", "Host: x", "TE:"]
        {
            let coded = format!("0\r\n{trailer}\r\n\r\n");
            assert_eq!(check(coded.as_bytes()), Err(HttpError::Trailer), "{trailer:?}");
        }
    }

    #[test]
    fn is_bounded() {
        assert_eq!(check(b"41\r\n"), Err(HttpError::BodyTooLarge));
        assert_eq!(check(b"FFFFFFFFFFFFFFFF\r\n"), Err(HttpError::BodyTooLarge));
        assert_eq!(check(&b"1\r\na\r\n".repeat(9)), Err(HttpError::BodyTooLarge));
        assert_eq!(check(&[b"0\r\n", &b"A: b\r\n".repeat(9)[..]].concat()), Err(HttpError::HeadTooLarge));
        assert_eq!(check(&[b'1'; SIZE_LINE_MAX]), Err(HttpError::Chunk));
    }
}
