//! What a call is told is what really happened, wherever the server stops: it compares each outcome with the bytes that
//! the server received and sent.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use crate::support::client::Stage;
use net::client::{CallId, NoAnswer, NotSent, OriginLimits, Outcome, PoolLimits, Request};
use net::wire::WireConfig;
use net::wire::memory::{PeerId, Pieces};
use proptest::prelude::*;

/// What the server does on a connection when it comes to a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Reset,
    End,
    Stall,
    /// Breaks the answer's grammar.
    Garbage,
}

const GARBAGE: &[u8] = b"\0\n";

/// How the server behaves on one connection.
#[derive(Clone, Debug)]
struct Script {
    refused: bool,
    /// Bytes of requests it takes in all, bytes of answers it sends in all.
    request_bytes: usize,
    answer_bytes: usize,
    stop: Stop,
    window_bytes: usize,
    framing: usize,
}

impl Script {
    fn willing() -> Self {
        Self {
            refused: false,
            request_bytes: usize::MAX,
            answer_bytes: usize::MAX,
            stop: Stop::Stall,
            window_bytes: usize::MAX,
            framing: 0,
        }
    }
}

/// A connection as the server sees it. Each call has its own method, of one letter, so that even a single byte tells
/// whose it is.
struct Served {
    script: Script,
    stopped: bool,
    received: Vec<u8>,
    sent_bytes: usize,
    /// Bytes of `received` that were answered.
    answered_bytes: usize,
    to_send: Vec<u8>,
    /// Calls whose answers were written as a whole.
    complete: BTreeSet<u8>,
    /// Calls whose answers were completed with garbage.
    tainted: BTreeSet<u8>,
    ends: Vec<(usize, u8)>,
}

impl Served {
    /// The letters whose first byte has come.
    fn begun(&self) -> Vec<u8> {
        let mut letters = Vec::new();
        let mut rest = &self.received[..];
        while let Some(&letter) = rest.first() {
            letters.push(letter);
            match request_bytes(rest) {
                Some(count) => rest = &rest[count..],
                None => break,
            }
        }
        letters
    }
}

/// Length of the whole request at the beginning.
fn request_bytes(bytes: &[u8]) -> Option<usize> {
    let head_bytes = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_bytes]).unwrap();
    let length = head.split("Content-Length: ").nth(1);
    let length: usize = length.map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    (bytes.len() >= head_bytes + length).then_some(head_bytes + length)
}

/// The answer to a call, in one of several framings.
fn answer_to(letter: u8, framing: usize) -> Vec<u8> {
    let letter = letter as char;
    match framing {
        0 => format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<{letter}{letter}{letter}>"),
        1 => format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n<{letter}\r\n3;x\r\n{letter}{letter}>\r\n0\r\nT: 1\r\n\r\n"
        ),
        2 => format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 5\r\n\r\n<{letter}{letter}{letter}>"
        ),
        _ => format!("HTTP/1.0 400 Bad\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n<{letter}{letter}{letter}>"),
    }
    .into_bytes()
}

struct World {
    stage: Stage,
    scripts: Vec<Script>,
    served: BTreeMap<PeerId, Served>,
    calls: BTreeMap<CallId, u8>,
}

impl World {
    fn new(scripts: Vec<Script>, limits: OriginLimits, pieces: Pieces, addresses: u8) -> Self {
        let stage = Stage::with(limits, PoolLimits::default(), WireConfig::default(), pieces, addresses);
        Self { stage, scripts, served: BTreeMap::new(), calls: BTreeMap::new() }
    }

    /// The next letter calls, with this body, for so long.
    fn call(&mut self, body_bytes: usize, span_ns: u64) {
        let letter = b'A' + u8::try_from(self.calls.len()).unwrap();
        let method = (letter as char).to_string();
        let body = vec![b'.'; body_bytes];
        let request = Request { method: &method, body: &body, ..Request::get("/") };
        let caller = &mut self.stage.caller;
        let call = caller.pool.call(self.stage.origin, &request, caller.now_ns + span_ns).unwrap();
        self.calls.insert(call, letter);
    }

    /// The server's turn.
    fn serve(&mut self) {
        while let Some((peer, _)) = self.stage.network.dialled() {
            let script = if self.scripts.is_empty() { Script::willing() } else { self.scripts.remove(0) };
            if script.refused {
                self.stage.network.reset(peer);
                continue;
            }
            self.stage.network.set_window(peer, script.window_bytes.min(script.request_bytes));
            self.stage.network.take(peer);
            let served = Served {
                script,
                stopped: false,
                received: Vec::new(),
                sent_bytes: 0,
                answered_bytes: 0,
                to_send: Vec::new(),
                complete: BTreeSet::new(),
                tainted: BTreeSet::new(),
                ends: Vec::new(),
            };
            self.served.insert(peer, served);
        }
        for (&peer, served) in &mut self.served {
            let network = &self.stage.network;
            served.received.extend(network.read(peer));
            let script = &served.script;
            let left = script.request_bytes - served.received.len().min(script.request_bytes);
            network.set_window(peer, script.window_bytes.min(left));
            while let Some(count) = request_bytes(&served.received[served.answered_bytes..]) {
                let letter = served.received[served.answered_bytes];
                served.answered_bytes += count;
                served.to_send.extend(answer_to(letter, script.framing));
                served.ends.push((served.to_send.len(), letter));
            }
            if served.stopped {
                continue;
            }
            let until = served.to_send.len().min(script.answer_bytes);
            network.write(peer, &served.to_send[served.sent_bytes..until]);
            served.sent_bytes = until;
            let ends = served.ends.iter().filter(|(end, _)| *end <= until);
            served.complete.extend(ends.map(|(_, letter)| letter));
            if served.received.len() >= script.request_bytes
                || !served.to_send.is_empty() && until == script.answer_bytes
            {
                served.stopped = true;
                match script.stop {
                    Stop::Reset => network.reset(peer),
                    Stop::End => network.end(peer),
                    Stop::Stall => {}
                    Stop::Garbage => {
                        network.write(peer, GARBAGE);
                        // Within a body that has a length, any bytes are the body.
                        let ends = served.ends.iter().filter(|(end, _)| {
                            script.framing != 1 && (until + 1..=until + GARBAGE.len()).contains(end)
                        });
                        served.tainted.extend(ends.map(|(_, letter)| letter));
                    }
                }
            }
        }
    }

    /// Until each call has its outcome, which the clock makes sure of.
    fn run(&mut self, step_ns: u64) {
        for _ in 0..2000 {
            self.serve();
            self.stage.caller.turn();
            if self.stage.caller.outcomes.len() == self.calls.len() {
                self.serve();
                return self.stage.caller.turns(3);
            }
            self.stage.caller.now_ns += step_ns;
        }
        panic!("calls without an outcome: {:?}", self.stage.caller.outcomes);
    }

    /// Compares what was told with what happened.
    fn check(&mut self) {
        for (&peer, served) in &mut self.served {
            served.received.extend(self.stage.network.read(peer));
        }
        let mut began: BTreeMap<u8, usize> = BTreeMap::new();
        let mut complete: BTreeSet<u8> = BTreeSet::new();
        let mut tainted: BTreeSet<u8> = BTreeSet::new();
        for served in self.served.values() {
            served.begun().into_iter().for_each(|letter| *began.entry(letter).or_default() += 1);
            complete.extend(&served.complete);
            tainted.extend(&served.tainted);
        }
        assert_eq!(self.stage.caller.outcomes.len(), self.calls.len());
        for (call, letter) in &self.calls {
            let times = began.get(letter).copied().unwrap_or(0);
            let name = *letter as char;
            match &self.stage.caller.outcomes[call] {
                Outcome::NotSent(why) => assert_eq!(times, 0, "{name} reached the server: {why}"),
                Outcome::NoAnswer(why) => assert_eq!(times, 1, "{name} is ambiguous without need: {why}"),
                Outcome::Answered(answer) => {
                    assert_eq!(times, 1, "{name} was sent {times} times");
                    assert!(complete.contains(letter) || tainted.contains(letter), "{name} was not answered");
                    let body = [b'<', *letter, *letter, *letter, b'>'];
                    assert!(answer.body == body || tainted.contains(letter), "{name} got another's answer");
                }
            }
        }
        let metrics = self.stage.caller.pool.metrics(self.stage.origin);
        assert_eq!(metrics.calls, metrics.not_sent + metrics.no_answer + metrics.answered);
        assert_eq!(self.stage.caller.pool.calls(), 0);
    }
}

const MILLI_NS: u64 = 1_000_000;

#[test]
fn wherever_the_server_stops_reading() {
    let whole = "A / HTTP/1.1\r\nHost: server\r\nContent-Length: 9\r\n\r\n.........".len();
    for stop in [Stop::Reset, Stop::End, Stop::Stall, Stop::Garbage] {
        for request_bytes in 0..=whole {
            let script = Script { request_bytes, answer_bytes: usize::MAX, stop, ..Script::willing() };
            let mut world =
                World::new(vec![script.clone(), script], OriginLimits::default(), Pieces::Whole, 1);
            world.call(9, 50 * MILLI_NS);
            world.run(MILLI_NS);
            world.check();
            let outcome = world.stage.caller.outcomes.values().next().unwrap();
            let not_sent = matches!(outcome, Outcome::NotSent(_));
            assert_eq!(not_sent, request_bytes == 0, "{stop:?} at {request_bytes}: {outcome:?}");
            if request_bytes > 0 && request_bytes < whole {
                let why = match stop {
                    Stop::Stall => matches!(outcome, Outcome::NoAnswer(NoAnswer::Deadline)),
                    Stop::Reset => matches!(outcome, Outcome::NoAnswer(NoAnswer::Broken { .. })),
                    Stop::End => matches!(outcome, Outcome::NoAnswer(NoAnswer::Ended)),
                    Stop::Garbage => matches!(outcome, Outcome::NoAnswer(NoAnswer::Answer(_))),
                };
                assert!(why, "{stop:?} at {request_bytes}: {outcome:?}");
            }
        }
    }
}

#[test]
fn wherever_the_server_stops_answering() {
    for framing in 0..4 {
        let whole = answer_to(b'A', framing).len();
        for stop in [Stop::Reset, Stop::End, Stop::Stall, Stop::Garbage] {
            for answer_bytes in 0..=whole {
                for pieces in [Pieces::Whole, Pieces::Fixed(1)] {
                    let script = Script { answer_bytes, stop, framing, ..Script::willing() };
                    let mut world = World::new(vec![script], OriginLimits::default(), pieces, 1);
                    world.call(9, 300 * MILLI_NS);
                    world.run(MILLI_NS);
                    world.check();
                    let outcome = world.stage.caller.outcomes.values().next().unwrap();
                    // A reset destroys what was not delivered.
                    let answered = matches!(outcome, Outcome::Answered(_));
                    let tainted =
                        stop == Stop::Garbage && framing != 1 && answer_bytes + GARBAGE.len() >= whole;
                    let expected = answer_bytes == whole && stop != Stop::Reset || tainted;
                    assert_eq!(answered, expected, "{stop:?} at {answer_bytes} of {whole}: {outcome:?}");
                    assert!(!matches!(outcome, Outcome::NotSent(_)));
                }
            }
        }
    }
}

#[test]
fn a_deadline_that_passes_in_the_queue_of_the_connection_is_not_sent() {
    let script = Script { window_bytes: 0, ..Script::willing() };
    let mut world = World::new(vec![script], OriginLimits::default(), Pieces::Whole, 1);
    world.call(9, 50 * MILLI_NS);
    world.run(MILLI_NS);
    world.check();
    let outcome = world.stage.caller.outcomes.values().next().unwrap();
    assert!(matches!(outcome, Outcome::NotSent(NotSent::Deadline)), "{outcome:?}");
}

fn stops() -> impl Strategy<Value = Stop> {
    prop_oneof![Just(Stop::Reset), Just(Stop::End), Just(Stop::Stall), Just(Stop::Garbage)]
}

fn positions(max: usize) -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..max, 2 => Just(usize::MAX)]
}

prop_compose! {
    fn scripts()(
        refused in proptest::bool::weighted(0.15),
        request_bytes in positions(250),
        answer_bytes in positions(250),
        stop in stops(),
        window_bytes in prop_oneof![Just(usize::MAX), 0..40_usize],
        framing in 0..4_usize,
    ) -> Script {
        Script { refused, request_bytes, answer_bytes, stop, window_bytes, framing }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Several calls over several connections, each of which behaves in its own way.
    #[test]
    fn whatever_happens(
        scripts in proptest::collection::vec(scripts(), 0..6),
        calls in proptest::collection::vec((0..60_usize, 0..60_u64, 0..4_usize), 1..12),
        connections_max in 1..4_usize,
        lifetime in proptest::option::of(0..30_u64),
        addresses in 1..3_u8,
        seed in any::<u64>(),
        piece in 1..50_usize,
    ) {
        let limits = OriginLimits {
            connections_max,
            lifetime_ns: lifetime.map(|millis| millis * MILLI_NS),
            ..OriginLimits::default()
        };
        let mut world = World::new(scripts, limits, Pieces::Seeded { seed, max: piece }, addresses);
        for (body_bytes, span_ms, turns) in calls {
            world.call(body_bytes, span_ms * MILLI_NS);
            for _ in 0..turns {
                world.serve();
                world.stage.caller.advance(MILLI_NS);
            }
        }
        world.run(MILLI_NS);
        world.check();
    }
}
