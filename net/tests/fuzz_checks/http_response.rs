//! Answers as a client receives them.

use net::http::answer::{Answer, AnswerError, AnswerLimits, AnswerReader};

use super::{BYTEWISE_MAX, cuts};

/// Bounds that short inputs reach.
const NARROW: AnswerLimits = AnswerLimits {
    head_bytes_max: 256,
    headers_max: 6,
    interim_max: 2,
    body_bytes_max: 48,
    trailer_bytes_max: 40,
};

/// An answer, its end, and the fault in it are the same however the bytes are cut, whatever was asked and however the
/// connection ends; what is taken is within its limits.
pub(crate) fn check(bytes: &[u8]) {
    for (limits, to_head, ended) in
        [(AnswerLimits::default(), false, false), (NARROW, false, true), (NARROW, true, false)]
    {
        let read = |ends: &mut dyn Iterator<Item = usize>| read(bytes, ends, limits, to_head, ended);
        let whole = read(&mut std::iter::once(bytes.len()));
        let mut cuts = cuts(bytes);
        cuts.push(bytes.len());
        assert_eq!(read(&mut cuts.into_iter()), whole, "cut by chance");
        if bytes.len() <= BYTEWISE_MAX {
            assert_eq!(read(&mut (1..=bytes.len())), whole, "byte by byte");
        }
    }
}

/// The answer and how many bytes it took, when there is one.
fn read(
    bytes: &[u8],
    ends: &mut dyn Iterator<Item = usize>,
    limits: AnswerLimits,
    to_head: bool,
    ended: bool,
) -> Result<Option<(Answer, usize)>, AnswerError> {
    let mut reader = AnswerReader::new(to_head, limits);
    let mut start = 0;
    for end in ends {
        let progress = reader.feed(&bytes[start..end])?;
        assert!(progress.complete || progress.taken == end - start, "what is not the end is taken");
        start += progress.taken;
        if progress.complete {
            break;
        }
    }
    let complete = reader.is_complete(ended);
    let answer = reader.finish(ended);
    assert_eq!(answer.is_some(), complete);
    if let Some(answer) = &answer {
        assert!((200..600).contains(&answer.status), "interim answers are passed over");
        assert!(answer.body.len() <= limits.body_bytes_max && answer.headers().count() <= limits.headers_max);
        assert!(!to_head || answer.body.is_empty());
    }
    Ok(answer.map(|answer| (answer, start)))
}
