//! Chunked bodies.
//!
//! **Invariants**: the answer depends on the bytes alone, not on how they arrived: the first offending byte decides.
//! **Bounds**: decoded bytes, number of chunks, length of a size line, length of all trailers.

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

/// Decodes the body that begins at `coded[0]`. `scratch` is used when it has more than one chunk.
pub(super) fn decode(coded: &[u8], limits: &Limits, scratch: &mut Vec<u8>) -> Result<Chunked, HttpError> {
    scratch.clear();
    let mut first: Option<(usize, usize)> = None;
    let mut gathered = false;
    let mut decoded_bytes = 0_usize;
    let mut position = 0_usize;
    for _ in 0..=limits.chunks_max {
        let Some(line_bytes) = line(&coded[position..], SIZE_LINE_MAX, HttpError::Chunk)? else {
            // A partial size line is still checked, so that a bad digit is refused as soon as it is seen.
            size(coded[position..].split(|&byte| byte == b'\r').next().unwrap_or_default(), true)?;
            return Ok(Chunked::Incomplete { coded_bytes_min: coded.len() + 1 });
        };
        let chunk_bytes = size(&coded[position..position + line_bytes - 2], false)?;
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
                // The next chunk's shortest size line follows this one.
                None => return Ok(Chunked::Incomplete { coded_bytes_min: end + 2 + 3 }),
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
    if let Some(extension) = line.get(digits..).filter(|rest| !rest.is_empty()) {
        let introduced = extension[0] == b';';
        let printable = extension.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7F);
        if !introduced || !printable {
            return Err(HttpError::Chunk);
        }
    }
    let value = line[..digits].iter().fold(0_u64, |value, &digit| {
        value << 4 | u64::from((digit as char).to_digit(16).expect("only hexadecimal digits were counted"))
    });
    usize::try_from(value).map_err(|_| HttpError::BodyTooLarge)
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
            Some(line_bytes) => position += line_bytes,
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
        ] {
            assert_eq!(check(coded), Err(HttpError::Chunk), "{:?}", String::from_utf8_lossy(coded));
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
