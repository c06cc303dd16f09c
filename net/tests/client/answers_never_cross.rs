//! An answer reaches the call it belongs to or nobody: late ones, extra ones and unasked ones end their connection.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::SECOND_NS;
use crate::support::client::{Stage, answer};
use net::client::{CallId, NoAnswer, NotSent, OriginLimits, Outcome, Request};
use net::http::answer::{AnswerError, CompleteBy};

fn stage() -> Stage {
    Stage::new(OriginLimits::default())
}

/// The next call goes over a new connection and gets its own answer.
fn next_is_clean(stage: &mut Stage) {
    let call = stage.get("/next");
    let peer = stage.take().expect("a new connection");
    assert!(stage.read(peer).starts_with("GET /next "));
    stage.answer(peer, "own");
    assert_eq!(stage.caller.answer(call).body, b"own");
}

fn no_answer(stage: &Stage, call: CallId) -> NoAnswer {
    match stage.caller.outcomes[&call] {
        Outcome::NoAnswer(why) => why,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_late_answer_reaches_nobody() {
    let mut stage = stage();
    let call = stage.get("/late");
    let peer = stage.take().unwrap();
    stage.caller.advance(SECOND_NS);
    stage.caller.turn();
    assert_eq!(no_answer(&stage, call), NoAnswer::Deadline);
    assert!(stage.network.is_closed(peer));
    stage.answer(peer, "late");
    next_is_clean(&mut stage);
}

#[test]
fn an_answer_between_the_deadline_and_its_report_reaches_nobody() {
    let mut stage = stage();
    let call = stage.get("/late");
    let peer = stage.take().unwrap();
    stage.write(peer, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nla");
    stage.caller.advance(SECOND_NS);
    assert!(stage.caller.outcomes.is_empty(), "the end of the connection tells what had left");
    let next = stage.get("/next");
    stage.write(peer, b"te");
    assert_eq!(no_answer(&stage, call), NoAnswer::Deadline);
    let peer = stage.take().unwrap();
    stage.answer(peer, "own");
    assert_eq!(stage.caller.answer(next).body, b"own");
}

#[test]
fn bytes_on_an_idle_connection_end_it() {
    for unsolicited in
        ["x", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "HTTP/1.1 408 Timeout\r\n\r\n"]
    {
        let mut stage = stage();
        let peer = stage.kept();
        stage.write(peer, unsolicited.as_bytes());
        assert!(stage.network.is_closed(peer));
        assert_eq!(stage.caller.pool.metrics(stage.origin).unsolicited, 1);
        next_is_clean(&mut stage);
    }
}

#[test]
fn bytes_before_the_first_request_end_the_connection() {
    let mut stage = stage();
    let call = stage.get("/a");
    let (peer, _) = stage.dialled().unwrap();
    stage.network.write(peer, b"220 smtp ready\r\n");
    stage.network.take(peer);
    stage.caller.turns(4);
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::Closed(_))));
    assert_eq!(stage.read(peer), "");
}

#[test]
fn bytes_after_an_answer_end_its_connection() {
    for together in [true, false] {
        let mut stage = stage();
        let call = stage.get("/a");
        let peer = stage.take().unwrap();
        let second = answer("evil");
        if together {
            stage.write(peer, (answer("a") + &second).as_bytes());
        } else {
            stage.answer(peer, "a");
            stage.write(peer, second.as_bytes());
        }
        assert_eq!(stage.caller.answer(call).body, b"a");
        assert!(stage.network.is_closed(peer));
        assert_eq!(stage.caller.pool.metrics(stage.origin).unsolicited, 1);
        next_is_clean(&mut stage);
    }
}

#[test]
fn an_answer_to_a_request_that_has_not_left_is_none() {
    let mut stage = stage();
    let peer = stage.kept();
    stage.network.set_window(peer, 0);
    let call = stage.get("/order");
    stage.caller.turns(2);
    stage.answer(peer, "evil");
    assert!(stage.network.is_closed(peer));
    assert!(stage.caller.outcomes.len() == 1, "nothing had left: it is sent again, on a new connection");
    let next = stage.take().unwrap();
    assert_eq!(stage.read(peer), "");
    assert!(stage.read(next).starts_with("GET /order "));
    stage.answer(next, "own");
    assert_eq!(stage.caller.answer(call).body, b"own");
}

#[test]
fn an_early_answer_counts_and_ends_the_connection() {
    // A server may refuse a body before it has read it (RFC 9112 §9.3).
    let mut stage = stage();
    let request = Request { method: "POST", body: &[b'.'; 1000], ..Request::get("/big") };
    let call = stage.caller.call(stage.origin, &request);
    let (peer, _) = stage.dialled().unwrap();
    stage.network.set_window(peer, 100);
    stage.network.take(peer);
    stage.caller.turns(3);
    stage.write(peer, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(stage.caller.answer(call).status, 413);
    assert!(stage.network.is_closed(peer), "the rest of the request would be taken for another one");
    assert_eq!(stage.read(peer).len(), 100);
    next_is_clean(&mut stage);
}

#[test]
fn what_has_two_readings_is_no_answer() {
    for (bytes, error) in [
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", AnswerError::BareLineEnd),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\rc\r\n\r\n", AnswerError::BareLineEnd),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", AnswerError::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", AnswerError::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\na", AnswerError::ContentLength),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            AnswerError::ConflictingLengths,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", AnswerError::TransferCoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", AnswerError::Chunk),
        ("HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil", AnswerError::ConflictingLengths),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", AnswerError::SwitchedProtocols),
        ("HTTP/2 200\r\n\r\n", AnswerError::Malformed),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", AnswerError::Malformed),
        ("HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", AnswerError::Malformed),
    ] {
        let mut stage = stage();
        let call = stage.get("/a");
        let peer = stage.take().unwrap();
        stage.write(peer, bytes.as_bytes());
        assert_eq!(no_answer(&stage, call), NoAnswer::Answer(error), "{bytes:?}");
        assert!(stage.network.is_closed(peer));
        next_is_clean(&mut stage);
    }
}

#[test]
fn a_body_is_there_only_where_it_can_be() {
    // Were the announced five bytes awaited, the next answer would begin with them.
    let mut stage = stage();
    let head = Request { method: "HEAD", ..Request::get("/") };
    let call = stage.caller.call(stage.origin, &head);
    let peer = stage.take().unwrap();
    stage.write(peer, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(stage.caller.answer(call).body, b"");
    assert_eq!(stage.caller.answer(call).header_str("content-length"), Some("5"));
    let call = stage.get("/");
    stage.caller.turns(2);
    stage.write(peer, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(stage.caller.answer(call).status, 304);
    assert!(!stage.network.is_closed(peer));
}

#[test]
fn an_answer_that_ends_with_the_connection_says_so() {
    for (reset, head) in [(false, "HTTP/1.1 200 OK\r\n\r\n"), (true, "HTTP/1.0 200 OK\r\n\r\n")] {
        let mut stage = stage();
        let call = stage.get("/");
        let peer = stage.take().unwrap();
        stage.write(peer, head.as_bytes());
        stage.write(peer, b"some");
        assert!(stage.caller.outcomes.is_empty());
        if reset {
            stage.network.reset(peer);
            stage.caller.turns(2);
            assert!(matches!(no_answer(&stage, call), NoAnswer::Broken { .. }));
        } else {
            stage.network.end(peer);
            stage.caller.turns(2);
            let answer = stage.caller.answer(call);
            assert_eq!((&answer.body[..], answer.complete_by), (&b"some"[..], CompleteBy::Close));
        }
        next_is_clean(&mut stage);
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let mut stage = stage();
    let call = stage.get("/");
    let peer = stage.take().unwrap();
    stage.write(peer, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n");
    assert!(stage.caller.outcomes.is_empty());
    stage.answer(peer, "final");
    assert_eq!(stage.caller.answer(call).body, b"final");
    assert_eq!(stage.caller.answer(call).header("link"), None);
    assert!(!stage.network.is_closed(peer));
}
