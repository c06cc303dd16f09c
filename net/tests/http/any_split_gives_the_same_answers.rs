//! An answer means the same however its bytes arrive, is never read past its end, and nothing makes the reader panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use net::http::answer::{Answer, AnswerError, AnswerLimits, AnswerReader};
use proptest::prelude::*;
use proptest::sample::select;

const LIMITS: AnswerLimits = AnswerLimits {
    head_bytes_max: 200,
    headers_max: 5,
    interim_max: 2,
    body_bytes_max: 64,
    trailer_bytes_max: 40,
};

/// The answer and how many bytes it took, when there is one.
type Reading = Result<Option<(Answer, usize)>, AnswerError>;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, to_head: bool, ended: bool) -> Reading {
    let mut reader = AnswerReader::new(to_head, LIMITS);
    let mut taken = 0;
    for piece in pieces {
        let progress = reader.feed(piece)?;
        assert!(progress.taken <= piece.len());
        assert!(progress.complete || progress.taken == piece.len(), "what is not the end is taken");
        taken += progress.taken;
        if progress.complete {
            assert!(reader.is_complete(false));
            break;
        }
    }
    let complete = reader.is_complete(ended);
    let answer = reader.finish(ended);
    assert_eq!(answer.is_some(), complete);
    if let Some(answer) = &answer {
        assert!((200..600).contains(&answer.status) && answer.body.len() <= LIMITS.body_bytes_max);
    }
    Ok(answer.map(|answer| (answer, taken)))
}

fn split<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.sort_unstable();
    let starts = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain([bytes.len()]);
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

fn check(bytes: &[u8], places: &[usize], to_head: bool, ended: bool) -> Reading {
    let whole = read(std::iter::once(bytes), to_head, ended);
    assert_eq!(read(split(bytes, places).into_iter(), to_head, ended), whole);
    assert_eq!(read(bytes.chunks(1), to_head, ended), whole);
    whole
}

fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 No\r\n",
        "HTTP/1.1 101 S\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 99\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "A: b\r\n",
        "A: b\n",
        "\r\n",
        "\n",
        "\r",
        "hello",
        "5\r\nhello\r\n",
        "5;x\r\nhello\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        " ",
    ]);
    proptest::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn of_fragments(
        bytes in fragments(),
        places in proptest::collection::vec(any::<usize>(), 0..8),
        to_head in any::<bool>(),
        ended in any::<bool>(),
    ) {
        let mut started = b"HTTP/1.1 200 OK\r\n".to_vec();
        started.extend(&bytes);
        let _any_reading = check(&started, &places, to_head, ended);
        let _any_reading = check(&bytes, &places, to_head, ended);
    }

    #[test]
    fn of_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), ended in any::<bool>()) {
        let mut started = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        started.extend(&bytes);
        let _any_reading = check(&started, &[], false, ended);
        let _any_reading = check(&bytes, &[], false, ended);
    }

    #[test]
    fn of_mutated_answers(
        position in any::<usize>(),
        byte in any::<u8>(),
        places in proptest::collection::vec(any::<usize>(), 0..4),
    ) {
        let mut bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n"
            .to_vec();
        let position = position % bytes.len();
        bytes[position] = byte;
        let _any_reading = check(&bytes, &places, false, false);
    }
}

#[test]
fn of_an_answer_with_every_part() {
    let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\nHTTP";
    let (answer, taken) = check(bytes, &[3, 50, 90], false, false).unwrap().unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), taken), (201, &b"abcde"[..], bytes.len() - 4));
    assert_eq!(answer.header_str("x"), Some("y"));
}
