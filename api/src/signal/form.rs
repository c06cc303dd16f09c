//! Form data that carries a signal in its field `text`.

use super::error::SignalError;

/// The field that holds the JSON.
const FIELD: &[u8] = b"text";

/// Whether a body that does not start like JSON is form data: its header says so, or it has a field `text`.
pub(super) fn is_form(content_type: Option<&str>, body: &[u8]) -> bool {
    let declared = content_type.is_some_and(|value| {
        let media = value.split(';').next().unwrap_or(value).trim();
        media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    declared || pairs(body).any(|(_, name, _)| name == FIELD)
}

/// The decoded field `text`. `base` is added to the offsets in errors.
pub(super) fn decode(body: &[u8], base: usize) -> Result<Vec<u8>, SignalError> {
    let mut found = pairs(body).filter(|(_, name, _)| *name == FIELD);
    let (offset, _, value) = found.next().ok_or(SignalError::FormWithoutText)?;
    if let Some((offset, ..)) = found.next() {
        return Err(SignalError::MultipleDocuments { offset: base + offset });
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digit = |i: usize| value.get(i).and_then(|b| hex(*b));
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    return Err(SignalError::MalformedForm { offset: base + offset + at });
                };
                decoded.push(high << 4 | low);
                at += 2;
            }
            other => decoded.push(*other),
        }
        at += 1;
    }
    Ok(decoded)
}

/// The pairs of a form as (offset of the value, name, value), still encoded.
fn pairs(body: &[u8]) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
    let mut start = 0;
    body.split(|b| *b == b'&').map(move |pair| {
        let here = start;
        start += pair.len() + 1;
        match pair.iter().position(|b| *b == b'=') {
            Some(at) => (here + at + 1, &pair[..at], &pair[at + 1..]),
            None => (here + pair.len(), pair, &pair[pair.len()..]),
        }
    })
}

/// The value of one hexadecimal digit.
pub(super) const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
