//! Fan-outs of a signal to many accounts against the limits as they are documented.

use std::collections::VecDeque;

use super::super::limits::SECOND;
use super::super::shuffle::shuffled;
use super::*;

const SHARDS: u32 = 4;

/// A fan-out as a connector runs it: per shard a queue for each purpose, closes first, asked again when told.
struct Desk {
    pacers: Vec<Pacer>,
    queues: Vec<[VecDeque<Request>; Purpose::ALL.len()]>,
    arrivals: Vec<Arrival>,
    now: Timestamp,
}

impl Desk {
    fn new(limits: VenueLimits) -> Self {
        let queues = (0..SHARDS).map(|_| Default::default()).collect();
        Self { pacers: pacers(limits, SHARDS), queues, arrivals: Vec::new(), now: Timestamp(START) }
    }

    /// Accounts, spread over the shards.
    fn accounts(&mut self, n: usize) -> Vec<(usize, AccountSlot)> {
        (0..n).map(|n| (n % 4, self.pacers[n % 4].open_account().unwrap())).collect()
    }

    fn queue(&mut self, shard: usize, request: Request) {
        self.queues[shard][request.purpose as usize].push_back(request);
    }

    /// Sends what may go now, the shards side by side. When to go on; `None`: nothing is left.
    fn round(&mut self) -> Option<Timestamp> {
        let mut again: Option<Timestamp> = None;
        for purpose in Purpose::ALL.into_iter().rev() {
            let mut left: Vec<_> = self.queues.iter().map(|queues| queues[purpose as usize].len()).collect();
            while left.iter().any(|left| *left > 0) {
                for (shard, left) in left.iter_mut().enumerate() {
                    let some = (*left).min(16);
                    *left -= some;
                    for _ in 0..some {
                        let until = self.next_of(shard, purpose);
                        again = [again, until].into_iter().flatten().min();
                    }
                }
            }
        }
        for pacer in &mut self.pacers {
            if pacer.next_due().is_some_and(|due| due <= self.now) {
                pacer.settle(self.now);
            }
        }
        let due = self.pacers.iter().filter_map(Pacer::next_due).min();
        again.map(|again| due.map_or(again, |due| again.min(due)).max(self.now.plus_micros(1)))
    }

    /// Asks for the first of a queue, and puts it at the end when it has to wait: an account that waits holds
    /// nobody else up.
    fn next_of(&mut self, shard: usize, purpose: Purpose) -> Option<Timestamp> {
        let request = self.queues[shard][purpose as usize].pop_front()?;
        match self.pacers[shard].admit(self.now, &request) {
            Admission::Go(pass) => {
                // Under way for up to 29 ms, in no order.
                let jitter = (self.arrivals.len() as u64 * 7_919) % 29_000;
                self.arrivals.push(Arrival { at: self.now.0 + jitter, units: 1, purpose });
                self.pacers[shard].answered(self.now, pass, Used::default(), None);
                None
            }
            Admission::Wait(until) => {
                self.queues[shard][purpose as usize].push_back(request);
                Some(until)
            }
            Admission::Refused(why) => panic!("{why}"),
        }
    }

    /// Runs until nothing is left; how long that took, in microseconds.
    fn run(&mut self) -> u64 {
        let began = self.now;
        while let Some(next) = self.round() {
            self.now = next;
            assert!(self.now.micros_since(began) < 10 * SECOND, "no burst here takes ten seconds");
        }
        self.now.micros_since(began)
    }
}

#[test]
fn a_thousand_orders_at_binance_wait_for_nothing_even_when_the_address_has_nothing_left() {
    let mut desk = Desk::new(VenueLimits::BINANCE);
    let accounts = desk.accounts(1_000);
    while let Admission::Go(_) = desk.pacers[0].admit(desk.now, &public(1, Purpose::Close)) {}
    for place in shuffled(7, 1_000) {
        let (shard, account) = accounts[place as usize];
        desk.queue(shard, weightless_order(account, Purpose::Open));
    }
    assert_eq!(desk.run(), 0);
    assert_eq!(desk.arrivals.len(), 1_000);
}

#[test]
fn a_thousand_orders_at_bybit_over_sockets_leave_at_once() {
    let mut desk = Desk::new(VenueLimits::BYBIT);
    for (shard, account) in desk.accounts(1_000) {
        desk.queue(shard, socket_order(account, Purpose::Open));
    }
    assert_eq!(desk.run(), 0, "one window of the address allows 3,000, and opens 2,400 of them");
    assert_within(&desk.arrivals, VenueLimits::BYBIT.socket.unwrap());
}

/// So many orders per account, and how long they may take at 95 % of what the limits allow.
fn burst(accounts: usize, orders: usize, purpose: Purpose) {
    let mut desk = Desk::new(VenueLimits::BYBIT);
    let all = desk.accounts(accounts);
    for _ in 0..orders {
        all.iter().for_each(|(shard, account)| desk.queue(*shard, socket_order(*account, purpose)));
    }
    let took = desk.run();
    assert_eq!(desk.arrivals.len(), accounts * orders);
    assert_within(&desk.arrivals, VenueLimits::BYBIT.socket.unwrap());
    // As many whole windows as have to be over before the last orders may leave, by the tighter of both
    // limits.
    let windows = |units: usize, limit: u32| (units - 1) / purpose.ceiling(limit) as usize;
    let least = windows(accounts * orders, 3_000).max(windows(orders, 10)) as u64 * SECOND;
    assert!(took <= least * 100 / 95, "{took} microseconds, {least} at least");
    assert!(took >= least, "{took} microseconds are fewer than the limits allow");
}

#[test]
fn bybit_over_sockets_uses_95_percent_of_what_its_limits_allow_without_a_breach() {
    // Bound by the address: opens by their 80 %, closes by all of it.
    burst(10_000, 1, Purpose::Open);
    burst(10_000, 1, Purpose::Close);
    // Bound by the accounts: a thousand orders of twenty accounts.
    burst(20, 50, Purpose::Close);
    burst(20, 50, Purpose::Open);
    // By both.
    burst(1_000, 12, Purpose::Close);
}

#[test]
fn bybit_by_http_uses_95_percent_too() {
    let mut desk = Desk::new(VenueLimits::BYBIT);
    for (shard, account) in desk.accounts(1_000) {
        desk.queue(shard, ask(account, Group::Place, 1, 1, Purpose::Close));
    }
    let took = desk.run();
    assert_within(&desk.arrivals, VenueLimits::BYBIT.http);
    assert!(took <= 5 * SECOND * 100 / 95, "{took}");
}

#[test]
fn closes_in_the_middle_of_a_fan_out_overtake() {
    let mut desk = Desk::new(VenueLimits::BYBIT);
    let accounts = desk.accounts(5_000);
    for (shard, account) in &accounts {
        desk.queue(*shard, socket_order(*account, Purpose::Open));
    }
    let next = desk.round().expect("2,400 of 5,000 go at once");
    let opened = desk.arrivals.len();
    // But for what shards hold in advance.
    assert!((2_300..=2_400).contains(&opened), "{opened}");
    desk.now = Timestamp(START + 1_000);
    assert!(desk.now < next);
    for (shard, account) in accounts.iter().take(500) {
        desk.queue(*shard, socket_order(*account, Purpose::Close));
    }
    desk.round();
    let closes = &desk.arrivals[opened..];
    assert_eq!(closes.len(), 500, "all of them, at once");
    assert!(closes.iter().all(|arrival| arrival.purpose == Purpose::Close));
    desk.run();
    assert_eq!(desk.arrivals.len(), 5_500);
    assert_within(&desk.arrivals, VenueLimits::BYBIT.socket.unwrap());
}
