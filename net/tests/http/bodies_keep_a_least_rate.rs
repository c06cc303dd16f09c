//! A body may take longer than a head as long as it comes at the least rate; a head may not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::SECOND_NS;
use net::wire::memory::{self, Pieces};
use net::wire::{Arrival, CloseReason, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};

/// Waits for a whole message of a known length, as a head or as a body.
struct Waiting {
    body: bool,
    complete: bool,
    closed: Option<CloseReason>,
}

const MESSAGE_BYTES: usize = 60 << 10;

impl WireEvents for Waiting {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}

    fn received(&mut self, _conn: ConnId, stream: &mut Stream<'_>) {
        if stream.input().len() >= MESSAGE_BYTES {
            stream.consume(MESSAGE_BYTES);
            self.complete = true;
        } else if self.body {
            stream.wait_for_body(MESSAGE_BYTES);
        } else {
            stream.wait_for(MESSAGE_BYTES);
        }
    }

    fn closed(&mut self, _conn: ConnId, ending: Ending) {
        self.closed = Some(ending.reason);
    }
}

/// Sends at a rate until the message is complete or the connection is closed; gives the seconds it took.
fn send(body: bool, bytes_per_second: usize) -> (Waiting, u64) {
    let (mut wire, network) = memory::network(WireConfig::default(), Pieces::Whole);
    let mut events = Waiting { body, complete: false, closed: None };
    let peer = network.connect("192.0.2.1:1".parse().unwrap());
    let mut sent = 0;
    for second in 0.. {
        let piece = bytes_per_second.min(MESSAGE_BYTES - sent);
        network.write(peer, &vec![1; piece]);
        sent += piece;
        // Twice: what was written is delivered at the poll after the connection was accepted.
        wire.poll(second * SECOND_NS, &mut events).unwrap();
        wire.poll(second * SECOND_NS, &mut events).unwrap();
        if events.complete || events.closed.is_some() {
            return (events, second);
        }
    }
    unreachable!("the loop ends when the message does");
}

#[test]
fn a_body_at_the_rate_is_read_to_its_end() {
    let (events, seconds) = send(true, 1 << 10);
    assert!(events.complete && seconds > 50, "{seconds} s");
}

#[test]
fn a_body_below_the_rate_is_given_up() {
    let (events, seconds) = send(true, 512);
    assert_eq!(events.closed, Some(CloseReason::SlowRequest));
    assert!(
        (15..=30).contains(&seconds),
        "10 s, and half a second for each that it sends at half the rate: {seconds}"
    );
    let (events, seconds) = send(true, 1);
    assert_eq!(events.closed, Some(CloseReason::SlowRequest));
    assert!(seconds <= 12, "{seconds} s");
}

#[test]
fn a_head_gets_its_fixed_time_whatever_its_rate() {
    let (events, seconds) = send(false, 2 << 10);
    assert_eq!(events.closed, Some(CloseReason::SlowRequest));
    assert!((10..=12).contains(&seconds), "{seconds} s");
}
