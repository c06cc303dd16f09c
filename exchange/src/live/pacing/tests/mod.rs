//! The pacer as a whole: windows, reserve and fan-outs against an exchange that counts for itself, and the
//! cases R and T.

mod cases;
mod fan_out;
mod feedback;
mod windows;

use std::sync::Arc;

use engine::core::ids::Timestamp;

use super::limits::{Limit, Span, VenueLimits};
use super::{AccountSlot, AddressBudget, Admission, Pacer, Pass, Purpose, Request};
use crate::live::protocol::{Cost, FailureKind, Group, Used};

/// A moment well inside a minute, in microseconds.
const START: u64 = 1_800_000_005_000_000;

fn after(millis: u64) -> Timestamp {
    Timestamp(START + millis * 1_000)
}

/// Pacers of so many shards that share an address.
fn pacers(limits: VenueLimits, shards: u32) -> Vec<Pacer> {
    let shared = AddressBudget::new(limits, shards).expect("they fit");
    (0..shards).map(|_| Pacer::new(Arc::clone(&shared))).collect()
}

/// One pacer with one account.
fn single(limits: VenueLimits) -> (Pacer, AccountSlot) {
    let mut pacer = pacers(limits, 1).remove(0);
    let account = pacer.open_account().expect("there is room");
    (pacer, account)
}

impl Pacer {
    /// What is held in advance is at most what other shards reckon with.
    #[track_caller]
    fn assert_within_lease(&self) {
        assert!(self.http.held() <= self.shared.pool(false).lease());
        assert!(self.socket.held() <= self.shared.pool(true).lease());
    }
}

/// A request of an account by HTTP.
fn ask(account: AccountSlot, group: Group, address: u32, units: u32, purpose: Purpose) -> Request {
    Request {
        account: Some(account),
        cost: Cost { group, address, account: units },
        purpose,
        is_socket: false,
    }
}

/// An order over a trade socket of Bybit.
fn socket_order(account: AccountSlot, purpose: Purpose) -> Request {
    Request { is_socket: true, ..ask(account, Group::Place, 1, 1, purpose) }
}

/// An order at Binance: nothing for the address, one for the account.
fn weightless_order(account: AccountSlot, purpose: Purpose) -> Request {
    ask(account, Group::Place, 0, 1, purpose)
}

/// A public question of such a weight.
fn public(weight: u32, purpose: Purpose) -> Request {
    let cost = Cost { group: Group::Public, address: weight, account: 0 };
    Request { account: None, cost, purpose, is_socket: false }
}

#[track_caller]
fn go(pacer: &mut Pacer, now: Timestamp, request: &Request) -> Pass {
    match pacer.admit(now, request) {
        Admission::Go(pass) => pass,
        other => panic!("not admitted: {other:?}"),
    }
}

#[track_caller]
fn waits(pacer: &mut Pacer, now: Timestamp, request: &Request) -> Timestamp {
    match pacer.admit(now, request) {
        Admission::Wait(until) => {
            assert!(until > now, "a wait goes on");
            until
        }
        other => panic!("does not wait: {other:?}"),
    }
}

fn fails(pacer: &mut Pacer, now: Timestamp, pass: Pass, kind: FailureKind) {
    pacer.answered(now, pass, Used::default(), Some(&kind));
}

/// What arrived at an exchange.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// The exchange's clock, in microseconds.
    at: u64,
    units: u32,
    purpose: Purpose,
}

/// The most units of any window of the exchange, counted as plainly as can be.
fn most_in_a_window(arrivals: &[Arrival], span: Span, counts: impl Fn(&Arrival) -> bool) -> u32 {
    let mut sorted: Vec<_> = arrivals.iter().filter(|arrival| counts(arrival)).collect();
    sorted.sort_by_key(|arrival| arrival.at);
    let (mut most, mut sum, mut first) = (0, 0, 0);
    for (place, arrival) in sorted.iter().enumerate() {
        sum += arrival.units;
        let is_over = |old: &Arrival| match span {
            Span::Fixed { micros } => old.at / micros < arrival.at / micros,
            Span::Rolling { micros } => old.at + micros <= arrival.at,
        };
        while first < place && is_over(sorted[first]) {
            sum -= sorted[first].units;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

/// Asserts that neither everything nor the opens (and so on) exceed what they may in any window.
#[track_caller]
fn assert_within(arrivals: &[Arrival], limit: Limit) {
    for purpose in Purpose::ALL {
        let most = most_in_a_window(arrivals, limit.span, |arrival| arrival.purpose <= purpose);
        let ceiling = purpose.ceiling(limit.units);
        assert!(most <= ceiling, "{most} of {ceiling} units up to {purpose:?} in one window");
    }
}
