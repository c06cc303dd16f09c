//! Everything is bounded: what waits, what is connected, what is sent, what a server may answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::client::{Stage, address, answer};
use net::client::{
    NoAnswer, NotSent, Origin, OriginError, OriginLimits, Outcome, PoolLimits, Refused, Request,
    RequestError, Security,
};
use net::http::answer::{AnswerError, AnswerLimits};
use net::wire::WireConfig;
use net::wire::memory::Pieces;

fn narrow() -> Stage {
    let limits = OriginLimits { connections_max: 2, waiting_max: 3, ..OriginLimits::default() };
    let answer = AnswerLimits {
        head_bytes_max: 200,
        headers_max: 4,
        interim_max: 2,
        body_bytes_max: 100,
        trailer_bytes_max: 20,
    };
    let pool = PoolLimits { request_bytes_max: 300, calls_max: 8, answer, ..PoolLimits::default() };
    Stage::with(limits, pool, WireConfig::default(), Pieces::Whole, 1)
}

#[test]
fn connections_and_waiting_calls_are_bounded() {
    let mut stage = narrow();
    let early = [stage.get("/0"), stage.get("/1")];
    let peers = [stage.take().unwrap(), stage.take().unwrap()];
    for _ in 0..3 {
        stage.get("/waits");
    }
    let full = stage.caller.pool.call(stage.origin, &Request::get("/"), u64::MAX);
    assert_eq!(full, Err(Refused::QueueFull(3)));
    assert!(stage.take().is_none(), "no third connection");
    assert_eq!(stage.caller.pool.connections(), 2);
    assert_eq!(stage.caller.pool.metrics(stage.origin).refused, 1);
    stage.answer(peers[0], "x");
    assert_eq!(stage.caller.answer(early[0]).body, b"x");
    stage.get("/room-again");
}

#[test]
fn outcomes_that_nobody_takes_count() {
    let mut stage = narrow();
    let past = 0;
    for _ in 0..8 {
        stage.caller.pool.call(stage.origin, &Request::get("/"), past).unwrap();
        stage.caller.pool.tick(5, &mut stage.caller.wire, &mut net::client::PlainDial);
    }
    let refused = stage.caller.pool.call(stage.origin, &Request::get("/"), past);
    assert_eq!(refused, Err(Refused::PoolFull(8)));
    while stage.caller.pool.take_finished().is_some() {}
    stage.caller.pool.call(stage.origin, &Request::get("/"), past).unwrap();
}

#[test]
fn requests_are_bounded_and_checked() {
    let mut stage = narrow();
    let big = Request { body: &[0; 400], ..Request::get("/") };
    let refused = stage.caller.pool.call(stage.origin, &big, u64::MAX);
    assert!(matches!(refused, Err(Refused::TooLarge { bytes_max: 300, .. })));
    let headers = [("X-A", "1\r\nX-B: 2")];
    let injected = Request { headers: &headers, ..Request::get("/") };
    let refused = stage.caller.pool.call(stage.origin, &injected, u64::MAX);
    assert_eq!(refused, Err(Refused::Request(RequestError::HeaderValue(0))));
    assert_eq!(stage.caller.pool.calls(), 0);
}

#[test]
fn a_request_larger_than_the_output_buffer_is_not_sent() {
    let wire = WireConfig { output_bytes_max: 100, ..WireConfig::default() };
    let mut stage = Stage::with(OriginLimits::default(), PoolLimits::default(), wire, Pieces::Whole, 1);
    let call = stage.caller.call(stage.origin, &Request { body: &[0; 200], ..Request::get("/") });
    let peer = stage.take().unwrap();
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::TooLarge)));
    assert_eq!(stage.read(peer), "");
}

#[test]
fn answers_are_bounded() {
    let long_head = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(200));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(5));
    let interims = "HTTP/1.1 100 Continue\r\n\r\n".repeat(3);
    let trailers =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "A: b\r\n".repeat(5));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n".to_owned()
        + &"x".repeat(100)
        + "\r\n1\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(101);
    for (bytes, error) in [
        (long_head.as_str(), AnswerError::HeadTooLarge),
        (&many, AnswerError::HeadTooLarge),
        (&interims, AnswerError::HeadTooLarge),
        (&trailers, AnswerError::HeadTooLarge),
        ("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", AnswerError::BodyTooLarge),
        ("HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n", AnswerError::BodyTooLarge),
        (&chunked, AnswerError::BodyTooLarge),
        (&until_close, AnswerError::BodyTooLarge),
    ] {
        let mut stage = narrow();
        let call = stage.get("/");
        let peer = stage.take().unwrap();
        stage.write(peer, bytes.as_bytes());
        match stage.caller.outcomes[&call] {
            Outcome::NoAnswer(NoAnswer::Answer(found)) => assert_eq!(found, error, "{bytes:?}"),
            ref other => panic!("{bytes:?}: {other:?}"),
        }
        assert!(stage.network.is_closed(peer));
    }
}

#[test]
fn a_call_has_its_own_bound() {
    let mut stage = narrow();
    for (bound, answered) in [(Some(150), true), (Some(149), false), (None, false)] {
        let call = stage.caller.call(stage.origin, &Request { answer_bytes_max: bound, ..Request::get("/") });
        let peer = stage.take().unwrap();
        stage.write(
            peer,
            answer(&"x".repeat(150)).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        let found = matches!(stage.caller.outcomes[&call], Outcome::Answered(_));
        assert_eq!(found, answered, "{bound:?}");
    }
}

#[test]
fn chunks_of_a_byte_do_not_go_on_for_ever() {
    let mut stage = Stage::new(OriginLimits::default());
    let call = stage.get("/");
    let peer = stage.take().unwrap();
    stage.write(peer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(100)).repeat(100);
    let mut written = 0;
    while stage.caller.outcomes.is_empty() {
        stage.write(peer, chunk.as_bytes());
        written += chunk.len();
        assert!(written < 200 << 10);
    }
    let outcome = &stage.caller.outcomes[&call];
    assert!(matches!(outcome, Outcome::NoAnswer(NoAnswer::Answer(AnswerError::BodyTooLarge))), "{outcome:?}");
}

#[test]
fn a_wire_without_places_is_told() {
    let wire = WireConfig { connections_max: 1, ..WireConfig::default() };
    let mut stage = Stage::with(OriginLimits::default(), PoolLimits::default(), wire, Pieces::Whole, 1);
    let other = Origin::new("other", vec![address(9)], Security::Plain);
    let other = stage.caller.pool.register(other).unwrap();
    let first = stage.get("/a");
    let peer = stage.take().unwrap();
    let waiting = stage.get("/b");
    let nowhere = stage.caller.get(other, "/c");
    stage.caller.turns(3);
    assert!(matches!(stage.caller.outcomes[&nowhere], Outcome::NotSent(NotSent::NoPlace)));
    assert!(!stage.caller.outcomes.contains_key(&waiting), "it waits for the connection of its origin");
    stage.answer(peer, "a");
    stage.answer(peer, "b");
    assert_eq!(stage.caller.answer(first).body, b"a");
    assert_eq!(stage.caller.answer(waiting).body, b"b");
}

#[test]
fn no_plain_connection_to_an_origin_that_wants_tls() {
    let mut stage = narrow();
    let secret = Origin::new("bank", vec![address(9), address(8)], Security::Tls);
    let secret = stage.caller.pool.register(secret).unwrap();
    let call = stage.caller.get(secret, "/");
    assert!(stage.dialled().is_none());
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::Connect { .. })));
}

#[test]
fn origins_are_bounded_and_checked() {
    let mut stage = narrow();
    let mut register = |origin: Origin| stage.caller.pool.register(origin);
    let plain = |host: &str, addresses| Origin::new(host, addresses, Security::Plain);
    for host in ["", "a b", "a\r\nX: y", "user@host", "a/b"] {
        assert_eq!(register(plain(host, vec![address(1)])), Err(OriginError::Host), "{host:?}");
    }
    assert_eq!(register(plain("a", Vec::new())), Err(OriginError::Addresses(0)));
    assert_eq!(register(plain("a", vec![address(1); 17])), Err(OriginError::Addresses(17)));
    let limits = OriginLimits { connections_max: 0, ..OriginLimits::default() };
    assert_eq!(register(Origin { limits, ..plain("a", vec![address(1)]) }), Err(OriginError::Limits));
    for _ in 1..256 {
        register(plain("a", vec![address(1)])).unwrap();
    }
    assert_eq!(register(plain("a", vec![address(1)])), Err(OriginError::Full));
}
