//! Connections are kept and used again, within the limits of both sides; a kept one that is dead is replaced unseen.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::SECOND_NS;
use crate::support::client::{Stage, address, answer};
use net::client::{NotSent, OriginLimits, Outcome, PlainDial, Request};
use net::wire::Wire;

#[test]
fn a_connection_carries_one_call_after_another() {
    let mut stage = Stage::new(OriginLimits::default());
    let peer = stage.kept();
    for number in 0..10 {
        let call = stage.get(&format!("/{number}"));
        stage.caller.turns(2);
        assert_eq!(stage.read(peer), format!("GET /{number} HTTP/1.1\r\nHost: server\r\n\r\n"));
        stage.answer(peer, &format!("{number}"));
        assert_eq!(stage.caller.answer(call).body, number.to_string().as_bytes());
    }
    let metrics = stage.caller.pool.metrics(stage.origin);
    assert_eq!((metrics.calls, metrics.answered, metrics.connects, metrics.reuses), (11, 11, 1, 10));
}

#[test]
fn one_request_at_a_time() {
    let mut stage = Stage::new(OriginLimits { connections_max: 1, ..OriginLimits::default() });
    let peer = stage.kept();
    let calls = [stage.get("/a"), stage.get("/b")];
    stage.caller.turns(5);
    assert!(stage.read(peer).starts_with("GET /a "));
    assert_eq!(stage.read(peer), "", "the second waits for the first one's answer");
    stage.answer(peer, "a");
    assert!(stage.read(peer).starts_with("GET /b "));
    stage.answer(peer, "b");
    assert_eq!(calls.map(|call| stage.caller.answer(call).body.clone()), [b"a", b"b"]);
}

#[test]
fn an_idle_connection_is_closed_in_its_time() {
    let mut stage = Stage::new(OriginLimits::default());
    let peer = stage.kept();
    let due_ns = stage.caller.pool.next_deadline_ns().unwrap();
    assert_eq!(due_ns, stage.caller.now_ns + 20 * SECOND_NS);
    stage.caller.advance(20 * SECOND_NS - 1);
    stage.caller.turn();
    assert!(!stage.network.is_closed(peer));
    stage.caller.advance(1);
    stage.caller.turn();
    assert!(stage.network.is_closed(peer));
    assert_eq!(stage.caller.pool.connections(), 0);
    assert_eq!(stage.caller.pool.next_deadline_ns(), None);
}

#[test]
fn a_slow_answer_is_no_idle_connection() {
    let mut stage = Stage::new(OriginLimits::default());
    let deadline_ns = stage.caller.now_ns + 3600 * SECOND_NS;
    let call = stage.caller.pool.call(stage.origin, &Request::get("/"), deadline_ns).unwrap();
    let peer = stage.take().unwrap();
    stage.caller.advance(3000 * SECOND_NS);
    stage.answer(peer, "at last");
    assert_eq!(stage.caller.answer(call).body, b"at last");
}

#[test]
fn the_server_may_want_less() {
    for (header, kept_s) in
        [("Keep-Alive: timeout=5", 4), ("Keep-Alive: timeout=100", 20), ("Keep-Alive: timeout=1", 0)]
    {
        let mut stage = Stage::new(OriginLimits::default());
        let call = stage.get("/");
        let peer = stage.take().unwrap();
        stage.write(peer, format!("HTTP/1.1 204 No Content\r\n{header}\r\n\r\n").as_bytes());
        assert_eq!(stage.caller.answer(call).status, 204);
        assert_eq!(stage.network.is_closed(peer), kept_s == 0, "{header}");
        if kept_s > 0 {
            stage.caller.advance(kept_s * SECOND_NS - 1);
            stage.caller.turn();
            assert!(!stage.network.is_closed(peer), "{header}");
            stage.caller.advance(1);
            stage.caller.turn();
            assert!(stage.network.is_closed(peer), "{header}");
        }
    }
}

#[test]
fn the_server_may_want_none() {
    for head in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut stage = Stage::new(OriginLimits::default());
        let call = stage.get("/");
        let peer = stage.take().unwrap();
        stage.write(peer, head.as_bytes());
        assert_eq!(stage.caller.answer(call).status, 200);
        assert!(stage.network.is_closed(peer), "{head}");
    }
    let mut stage = Stage::new(OriginLimits::default());
    stage.get("/");
    let peer = stage.take().unwrap();
    stage.write(peer, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    assert!(!stage.network.is_closed(peer));
}

#[test]
fn a_connection_grows_no_older_than_its_limit() {
    let mut stage = Stage::new(OriginLimits { lifetime_ns: Some(10 * SECOND_NS), ..OriginLimits::default() });
    let peer = stage.kept();
    stage.caller.advance(10 * SECOND_NS - 1);
    stage.caller.turn();
    assert!(!stage.network.is_closed(peer));
    stage.caller.advance(1);
    stage.caller.turn();
    assert!(stage.network.is_closed(peer));
}

#[test]
fn a_connection_carries_no_more_calls_than_its_limit() {
    let mut stage = Stage::new(OriginLimits { calls_per_connection_max: Some(2), ..OriginLimits::default() });
    let peer = stage.kept();
    stage.get("/second");
    stage.caller.turns(2);
    assert!(!stage.network.is_closed(peer));
    stage.answer(peer, "second");
    assert!(stage.network.is_closed(peer));
}

#[test]
fn connections_to_an_address_that_is_none_any_more_end_with_their_call() {
    let mut stage = Stage::new(OriginLimits::default());
    let idle = stage.kept();
    let call = stage.get("/");
    stage.caller.turns(2);
    stage.caller.pool.set_addresses(stage.origin, vec![address(7)]).unwrap();
    stage.caller.turns(2);
    assert!(!stage.network.is_closed(idle), "it carries a call");
    stage.answer(idle, "old");
    assert_eq!(stage.caller.answer(call).body, b"old");
    assert!(stage.network.is_closed(idle));
    stage.get("/");
    assert_eq!(stage.dialled().unwrap().1, address(7));
    assert!(stage.caller.pool.set_addresses(stage.origin, Vec::new()).is_err());
}

#[test]
fn a_kept_connection_that_the_server_ended_is_not_used() {
    let mut stage = Stage::new(OriginLimits::default());
    let peer = stage.kept();
    stage.network.end(peer);
    stage.caller.turns(2);
    assert!(stage.network.is_closed(peer));
    let call = stage.get("/");
    let next = stage.take().unwrap();
    stage.answer(next, "new");
    assert_eq!(stage.caller.answer(call).body, b"new");
    assert_eq!(stage.caller.pool.metrics(stage.origin).retries, 0);
}

#[test]
fn a_kept_connection_that_died_unseen_is_replaced() {
    let mut stage = Stage::new(OriginLimits::default());
    let peer = stage.kept();
    // Given to the connection in this turn, and found dead by the next poll.
    let call = stage.get("/again");
    stage.caller.pool.tick(stage.caller.now_ns, &mut stage.caller.wire, &mut PlainDial);
    stage.network.reset(peer);
    let next = stage.take().expect("a new connection");
    assert_eq!(stage.read(peer), "", "no byte of it had left");
    assert!(stage.read(next).starts_with("GET /again "));
    stage.write(next, answer("again").as_bytes());
    assert_eq!(stage.caller.answer(call).body, b"again");
    let metrics = stage.caller.pool.metrics(stage.origin);
    assert_eq!((metrics.calls, metrics.answered, metrics.retries), (2, 2, 1));
}

#[test]
fn the_replacement_is_new_even_when_others_are_kept() {
    let mut stage = Stage::new(OriginLimits { connections_max: 2, ..OriginLimits::default() });
    let calls = [stage.get("/a"), stage.get("/b")];
    let peers = [stage.take().unwrap(), stage.take().unwrap()];
    peers.iter().for_each(|&peer| stage.answer(peer, "x"));
    calls.iter().for_each(|&call| assert_eq!(stage.caller.answer(call).body, b"x"));
    // The server has gone and come back: all kept connections are dead, which nobody has seen.
    let call = stage.get("/c");
    stage.caller.pool.tick(stage.caller.now_ns, &mut stage.caller.wire, &mut PlainDial);
    let carrying: Vec<_> = peers.iter().filter(|&&peer| !stage.network.is_closed(peer)).collect();
    assert_eq!(carrying.len(), 2);
    // The one that carries the call dies; the other would take it, and is passed over.
    stage.network.set_window(peers[0], 0);
    stage.network.set_window(peers[1], 0);
    stage.caller.turns(2);
    let owner = if stage.caller.wire.queued_bytes(stage.network.conn(peers[0]).unwrap()) > 0 { 0 } else { 1 };
    stage.network.reset(peers[owner]);
    let next = stage.take().expect("a new connection");
    assert!(stage.read(next).starts_with("GET /c "));
    stage.answer(next, "c");
    assert_eq!(stage.caller.answer(call).body, b"c");
}

#[test]
fn a_server_that_takes_connections_only_to_drop_them_ends_the_call() {
    let mut stage = Stage::new(OriginLimits::default());
    let call = stage.get("/");
    let (peer, _) = stage.dialled().unwrap();
    stage.network.take(peer);
    stage.network.set_window(peer, 0);
    stage.caller.turns(2);
    stage.network.reset(peer);
    stage.caller.turns(5);
    assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::Closed(_))));
    assert!(stage.network.dialled().is_none());
}
