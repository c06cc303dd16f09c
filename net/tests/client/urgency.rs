//! Of the calls that wait, the more urgent ones come first; and some connections carry no others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::SECOND_NS;
use crate::support::client::Stage;
use net::client::{CallId, NotSent, OriginError, OriginLimits, Outcome, Refused, Request, Urgency};

fn ask(stage: &mut Stage, urgency: Urgency, target: &str) -> CallId {
    stage.caller.call(stage.origin, &Request { urgency, ..Request::get(target) })
}

/// The target of the one request that came over a connection.
fn target_of(text: &str) -> &str {
    text.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn an_urgent_call_overtakes_those_that_wait_and_none_of_its_own_kind() {
    let mut stage = Stage::new(OriginLimits { connections_max: 1, ..OriginLimits::default() });
    let peer = stage.kept();
    stage.get("/at-work");
    stage.caller.turns(2);
    assert_eq!(target_of(&stage.read(peer)), "/at-work");
    for (urgency, target) in [
        (Urgency::Usual, "/open-1"),
        (Urgency::Usual, "/open-2"),
        (Urgency::Soon, "/query-1"),
        (Urgency::First, "/close-1"),
        (Urgency::Usual, "/open-3"),
        (Urgency::First, "/close-2"),
        (Urgency::Soon, "/query-2"),
    ] {
        ask(&mut stage, urgency, target);
    }
    for target in ["/close-1", "/close-2", "/query-1", "/query-2", "/open-1", "/open-2", "/open-3"] {
        stage.answer(peer, "x");
        assert_eq!(target_of(&stage.read(peer)), target);
    }
}

#[test]
fn the_connections_that_are_kept_carry_urgent_calls_only() {
    let limits = OriginLimits { connections_max: 3, connections_kept: 1, ..OriginLimits::default() };
    let mut stage = Stage::new(limits);
    for n in 0..5 {
        stage.get(&format!("/open-{n}"));
    }
    let peers = [stage.take().unwrap(), stage.take().unwrap()];
    assert!(stage.take().is_none(), "the third is not for them");
    let close = ask(&mut stage, Urgency::First, "/close");
    let kept = stage.take().expect("one of its own");
    assert_eq!(target_of(&stage.read(kept)), "/close");
    stage.answer(kept, "closed");
    assert_eq!(stage.caller.answer(close).body, b"closed");
    stage.caller.turns(3);
    assert_eq!(stage.read(kept), "", "kept, and free for the next one");
    assert!(!stage.network.is_closed(kept));
    // The others are worked off two at a time, over whichever: one always stays without a call.
    let all = [peers[0], peers[1], kept];
    let mut at_work: Vec<(String, _)> = Vec::new();
    for n in 0..5 {
        for peer in all {
            let text = stage.read(peer);
            at_work.extend((!text.is_empty()).then(|| (target_of(&text).to_owned(), peer)));
        }
        assert_eq!(at_work.len(), 2.min(5 - n), "{at_work:?}");
        at_work.sort();
        let (target, peer) = at_work.remove(0);
        assert_eq!(target, format!("/open-{n}"));
        stage.answer(peer, "x");
    }
    assert!(all.iter().all(|peer| !stage.network.is_closed(*peer)));
    let limits = OriginLimits { connections_kept: 3, ..limits };
    let origin = net::client::Origin { limits, ..stage.caller.pool.origin(stage.origin).clone() };
    assert_eq!(stage.caller.pool.register(origin), Err(OriginError::Limits));
}

#[test]
fn each_urgency_has_room_of_its_own_and_its_deadline() {
    let limits = OriginLimits { connections_max: 1, waiting_max: 2, ..OriginLimits::default() };
    let mut stage = Stage::new(limits);
    stage.kept();
    let long = stage.caller.now_ns + 10 * SECOND_NS;
    stage.caller.pool.call(stage.origin, &Request::get("/at-work"), long).unwrap();
    stage.caller.turns(2);
    let mut waiting = Vec::new();
    for urgency in [Urgency::Usual, Urgency::Soon, Urgency::First] {
        waiting.extend([ask(&mut stage, urgency, "/1"), ask(&mut stage, urgency, "/2")]);
        let one_more = Request { urgency, ..Request::get("/3") };
        let refused = stage.caller.pool.call(stage.origin, &one_more, u64::MAX);
        assert_eq!(refused, Err(Refused::QueueFull(2)), "{urgency:?}");
    }
    stage.caller.advance(SECOND_NS);
    for call in waiting {
        assert!(matches!(stage.caller.outcomes[&call], Outcome::NotSent(NotSent::Deadline)));
    }
}
