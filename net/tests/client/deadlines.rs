//! A call ends at its deadline, with what is known then; and the pool names the moment to come back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::SECOND_NS;
use crate::support::client::{Stage, address, answer};
use net::client::{NoAnswer, NotSent, OriginLimits, Outcome, PlainDial, PoolLimits, Request};
use net::wire::memory::Pieces;
use net::wire::{CloseReason, WireConfig};

fn stage() -> Stage {
    Stage::new(OriginLimits { connections_max: 1, ..OriginLimits::default() })
}

#[test]
fn while_it_waits_for_a_connection_to_be_made() {
    let mut stage = stage();
    let call = stage.get("/");
    let (peer, _) = stage.dialled().unwrap();
    assert_eq!(stage.caller.pool.next_deadline_ns(), Some(stage.caller.now_ns + SECOND_NS));
    stage.caller.advance(SECOND_NS - 1);
    assert!(stage.caller.outcomes.is_empty());
    stage.caller.advance(1);
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::Deadline)));
    stage.network.take(peer);
    stage.caller.turns(3);
    assert_eq!(stage.read(peer), "", "its request is not sent any more");
    let next = stage.get("/next");
    stage.caller.turns(2);
    assert!(stage.read(peer).starts_with("GET /next "), "the connection serves the next one");
    stage.answer(peer, "x");
    assert_eq!(stage.caller.answer(next).body, b"x");
}

#[test]
fn while_it_waits_for_others() {
    let mut stage = stage();
    let peer = stage.kept();
    let long = stage.caller.now_ns + 10 * SECOND_NS;
    let first = stage.caller.pool.call(stage.origin, &Request::get("/first"), long).unwrap();
    let second = stage.get("/second");
    stage.caller.turns(2);
    stage.caller.advance(SECOND_NS);
    assert!(matches!(stage.caller.outcomes[&second], Outcome::NotSent(NotSent::Deadline)));
    stage.answer(peer, "first");
    assert_eq!(stage.caller.answer(first).body, b"first");
    assert!(!stage.read(peer).contains("/second"));
}

#[test]
fn one_that_has_passed_already_sends_nothing() {
    let mut stage = stage();
    let peer = stage.kept();
    let now_ns = stage.caller.now_ns;
    let call = stage.caller.pool.call(stage.origin, &Request::get("/"), now_ns).unwrap();
    stage.caller.turns(2);
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::Deadline)));
    assert_eq!(stage.read(peer), "");
    assert!(!stage.network.is_closed(peer));
}

#[test]
fn after_the_request_has_left() {
    let mut stage = stage();
    let call = stage.get("/");
    let peer = stage.take().unwrap();
    stage.write(peer, &answer("slow").as_bytes()[..20]);
    stage.caller.advance(SECOND_NS - 1);
    assert!(!stage.network.is_closed(peer));
    stage.caller.advance(1);
    stage.caller.turn();
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NoAnswer(NoAnswer::Deadline)));
    assert!(stage.network.is_closed(peer));
}

#[test]
fn an_answer_that_is_there_counts_even_at_the_deadline() {
    let mut stage = stage();
    let call = stage.get("/");
    let peer = stage.take().unwrap();
    stage.network.write(peer, answer("in time").as_bytes());
    stage.caller.advance(SECOND_NS);
    assert_eq!(stage.caller.answer(call).body, b"in time");
}

#[test]
fn a_retry_keeps_the_deadline_of_its_call() {
    let mut stage = stage();
    let peer = stage.kept();
    let call = stage.get("/");
    stage.caller.pool.tick(stage.caller.now_ns, &mut stage.caller.wire, &mut PlainDial);
    stage.network.reset(peer);
    stage.caller.advance(SECOND_NS - 1);
    assert!(stage.dialled().is_some(), "it is tried again");
    assert!(stage.caller.outcomes.len() == 1);
    stage.caller.advance(1);
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::Deadline)));
}

#[test]
fn nothing_is_due_when_nothing_is_under_way() {
    let mut stage = stage();
    stage.caller.turn();
    assert_eq!(stage.caller.pool.next_deadline_ns(), None);
    stage.get("/");
    assert_eq!(stage.caller.pool.next_deadline_ns(), Some(0), "a new call is due at once");
}

#[test]
fn every_address_is_tried_in_turn_and_once() {
    let mut stage =
        Stage::with(OriginLimits::default(), PoolLimits::default(), WireConfig::default(), Pieces::Whole, 3);
    let calls = [stage.get("/a"), stage.get("/b")];
    let mut tried = Vec::new();
    while let Some((peer, to)) = stage.dialled() {
        tried.push(to);
        stage.network.reset(peer);
        stage.caller.turns(3);
        assert!(tried.len() < 100);
    }
    tried.sort_unstable();
    assert_eq!(tried, [1, 1, 2, 2, 3, 3].map(address), "each address once for each call");
    for call in calls {
        let refused =
            NotSent::Connect { reason: CloseReason::ConnectFailed, os_error: Some(libc::ECONNREFUSED) };
        match stage.caller.outcomes[&call] {
            Outcome::NotSent(why) => assert_eq!(why, refused),
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(stage.caller.pool.metrics(stage.origin).connect_failures, 6);
}

#[test]
fn an_address_that_works_is_asked_first_from_then_on() {
    let mut stage =
        Stage::with(OriginLimits::default(), PoolLimits::default(), WireConfig::default(), Pieces::Whole, 3);
    let call = stage.get("/");
    let (peer, to) = stage.dialled().unwrap();
    assert_eq!(to, address(1));
    stage.network.reset(peer);
    let (peer, to) = stage.dialled().unwrap();
    assert_eq!(to, address(2));
    stage.network.take(peer);
    stage.caller.turns(3);
    stage.write(peer, b"HTTP/1.0 204 No\r\n\r\n");
    assert_eq!(stage.caller.answer(call).status, 204);
    stage.get("/");
    assert_eq!(stage.dialled().unwrap().1, address(2));
}
