//! The parser's result depends on the bytes, not on how they arrive; and no bytes make it panic.

use net::http::{HttpError, Limits, Parsed, Parser};
use proptest::prelude::*;
use proptest::sample::select;

const LIMITS: Limits = Limits {
    head_bytes_max: 200,
    headers_max: 5,
    target_bytes_max: 40,
    body_bytes_max: 64,
    chunks_max: 6,
    trailer_bytes_max: 40,
};

/// A request as a consumer sees it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: String,
    query: String,
    keep_alive: bool,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// Feeds `pieces` one by one, as a wire would, and collects requests until the end or the first fault.
fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>, obey_hint: bool) -> (Vec<Seen>, Option<HttpError>) {
    let mut parser = Parser::new(LIMITS);
    let mut input = Vec::new();
    let mut seen = Vec::new();
    let mut wait_for = 0;
    for piece in pieces {
        input.extend_from_slice(piece);
        while !input.is_empty() && (!obey_hint || input.len() >= wait_for) {
            match parser.parse(&input) {
                Ok(Parsed::Complete(request)) => {
                    seen.push(Seen {
                        path: request.head.path.to_owned(),
                        query: request.head.query.to_owned(),
                        keep_alive: request.head.keep_alive,
                        headers: request.head.headers().map(|(n, v)| (n.to_vec(), v.to_vec())).collect(),
                        body: request.body.to_vec(),
                    });
                    let input_bytes = request.input_bytes;
                    input.drain(..input_bytes);
                    wait_for = 0;
                }
                Ok(Parsed::Incomplete { bytes_min, .. }) => {
                    assert!(bytes_min > input.len(), "waiting for what is there would never end");
                    wait_for = bytes_min;
                    break;
                }
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

/// Splits `bytes` at the given places (taken modulo the length).
fn split<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.push(0);
    places.push(bytes.len());
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Fragments that make up requests, right and wrong ones.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = select(vec![
        "GET ",
        "POST ",
        "BREW ",
        "/",
        "/a%20b?c=d",
        "*",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/2.0\r\n",
        "\r\n",
        "\n",
        "\r",
        "Host: x\r\n",
        "Host: x\n",
        "Content-Length: 5\r\n",
        "Content-Length: 65\r\n",
        "Content-Length: x\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
        " folded\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\n",
        "3;e=1\r\nabc\r\n",
        "ffffffffffffffff\r\n",
        "41\r\n",
        "\0",
        "\u{e9}",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "GET /p HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]);
    proptest::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn of_fragments(bytes in fragments(), places in proptest::collection::vec(any::<usize>(), 0..8)) {
        let whole = feed(std::iter::once(&bytes[..]), true);
        let cut = split(&bytes, &places);
        prop_assert_eq!(&feed(cut.iter().copied(), true), &whole);
        prop_assert_eq!(&feed(cut.into_iter(), false), &whole);
        prop_assert_eq!(&feed(bytes.chunks(1), true), &whole);
        prop_assert_eq!(&feed(bytes.chunks(1), false), &whole);
    }

    #[test]
    fn of_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let whole = feed(std::iter::once(&bytes[..]), true);
        prop_assert_eq!(feed(bytes.chunks(1), false), whole);
    }

    #[test]
    fn of_mutated_requests(
        position in any::<usize>(),
        byte in any::<u8>(),
        places in proptest::collection::vec(any::<usize>(), 0..4),
    ) {
        let mut bytes = b"POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n\
            GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            .to_vec();
        let position = position % bytes.len();
        bytes[position] = byte;
        let whole = feed(std::iter::once(&bytes[..]), true);
        prop_assert_eq!(feed(split(&bytes, &places).into_iter(), true), whole);
    }
}
