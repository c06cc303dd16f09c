//! The exchange's limits against us: the product keeps within them by itself, and stops when it is told to.
//!
//! **Runs on**: the simulator's thread, called by the exchange after each of its turns.
//! **Checks**: no limit of an exchange is exceeded by a process that knows what was spent. A process that has ended forgets what it
//! had spent; so after a restart nothing is held against anybody for as long as the exchange counts. Who was told that the address is
//! shut out asks nothing, and opens nothing, until the end. How much time was judged so is counted. **Never**: counts what a rule of faults refuses.

use engine::seam::Nanos;
use exchange::paper_exchange::FaceKind;
use exchange::paper_exchange::limits::Breaches;

use super::judged::Judged;

/// The longest window in which requests are counted (Binance's minute).
const REQUESTS_SPAN: Nanos = Nanos::from_millis(61_000);
/// The window in which sockets are counted, on both.
const SOCKETS_SPAN: Nanos = Nanos::from_millis(301_000);
/// Who asks gets the answer within this, in fair weather: what was on its way when the first answer left has arrived.
const TOLD_SPAN: Nanos = Nanos::from_millis(1_000);
/// What an earlier process had on its way has arrived by then.
const LEFT_OVER_SPAN: Nanos = Nanos::from_millis(3_000);
/// After disturbed weather, what it held up arrives together for so long.
const HELD_UP_SPAN: Nanos = Nanos::from_millis(12_000);

/// The moment as the exchange's surroundings are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) now: Nanos,
    /// The life that serves, and since when.
    pub(super) life: Option<(u32, Nanos)>,
    /// When the life before it ended.
    pub(super) ended: Option<Nanos>,
    /// When the way there or an answer was disturbed last.
    pub(super) rough_at: Nanos,
    /// By so much clocks may be apart in this run.
    pub(super) clocks_apart: Nanos,
    /// Until when the address is shut out by a fault.
    pub(super) banned_until: Nanos,
}

/// What it knows of an exchange.
#[derive(Debug, Default)]
pub(super) struct LimitCheck {
    seen: Breaches,
    /// The life that was told of a ban, and when.
    told: Option<(u32, Nanos)>,
    looked: Nanos,
    /// Time in which something would have been held against us: requests, sockets, what is asked while shut out.
    judged: [Nanos; 3],
}

impl Around {
    /// Whether exceeding a limit that counts so far back is the product's own doing now.
    fn judges(&self, span: Nanos) -> bool {
        if planted::planted!("judge_excuses_every_limit") {
            return false;
        }
        let fresh = self.ended.is_some_and(|ended| self.now.since(ended) < span);
        let held_up = self.now < self.rough_at.plus(HELD_UP_SPAN) && self.rough_at.0 > 0;
        !fresh && !held_up
    }

    /// Whether a life that was told of a ban then has no excuse to ask now.
    fn forbids(&self, told: Nanos) -> bool {
        let tolerated = self.banned_until.since(self.now) < self.clocks_apart;
        self.now.since(told) > TOLD_SPAN && self.rough_at < told && !tolerated
    }
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing new.
    Nothing,
    /// Somebody was refused who may not have known; how long what that holds up may take is the caller's.
    Refused,
    /// Somebody asked who is shut out and may not have known.
    ShutOut,
    /// It is the product's fault.
    Violation(String),
}

impl LimitCheck {
    /// Holds what the exchange has counted against what the product could know.
    pub(super) fn look(&mut self, face: FaceKind, counted: Breaches, around: Around) -> Finding {
        self.pass(&around);
        let seen = std::mem::replace(&mut self.seen, counted);
        if seen == counted {
            return Finding::Nothing;
        }
        let Around { now, life, rough_at, .. } = around;
        let over = [
            ("requests of the address", counted.of_addresses - seen.of_addresses, REQUESTS_SPAN),
            ("requests of an account", counted.of_accounts - seen.of_accounts, REQUESTS_SPAN),
            ("sockets of the address", counted.of_sockets - seen.of_sockets, SOCKETS_SPAN),
        ];
        for (what, count, span) in over {
            if count > 0 && around.judges(span) {
                return Finding::Violation(format!(
                    "{face:?}'s limit for {what} was exceeded, and nothing had ended for {} s",
                    span.as_micros() / 1_000_000
                ));
            }
        }
        if counted.while_banned == seen.while_banned {
            return Finding::Refused;
        }
        let Some((life, since)) = life.filter(|(_, since)| now.since(*since) > LEFT_OVER_SPAN) else {
            return Finding::ShutOut;
        };
        let told = self.told.filter(|(told, at)| *told == life && *at >= since);
        match told {
            Some((_, at)) if around.forbids(at) => {
                return Finding::Violation(format!(
                    "{face:?} was asked {} ms after it had said that the address is banned",
                    now.since(at).as_micros() / 1_000
                ));
            }
            Some((_, at)) if rough_at < at => {}
            // It is told now: what was told before may not have arrived.
            _ => self.told = Some((life, now)),
        }
        Finding::ShutOut
    }

    /// Counts the time since the last look, by what this moment is.
    fn pass(&mut self, around: &Around) {
        let passed = around.now.since(self.looked);
        self.looked = around.now;
        let Some((life, since)) = around.life else { return };
        let told = self.told.filter(|(told, at)| *told == life && *at >= since);
        let banned = around.now < around.banned_until && told.is_some_and(|(_, at)| around.forbids(at));
        let judged = [around.judges(REQUESTS_SPAN), around.judges(SOCKETS_SPAN), banned];
        for (time, _) in self.judged.iter_mut().zip(judged).filter(|(_, judged)| *judged) {
            *time = time.plus(passed);
        }
    }

    /// Adds for how long what was judged.
    pub(super) const fn count(&self, judged: &mut Judged) {
        let [requests, sockets, banned] = self.judged;
        judged.requests_ms += requests.0 / 1_000_000;
        judged.sockets_ms += sockets.0 / 1_000_000;
        judged.banned_ms += banned.0 / 1_000_000;
    }

    /// The ban has ended: the next one is told anew.
    pub(super) const fn begins(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(ms: u64) -> Around {
        Around {
            now: Nanos::from_millis(ms),
            life: Some((1, Nanos(1))),
            ended: None,
            rough_at: Nanos(0),
            clocks_apart: Nanos(0),
            banned_until: Nanos::from_millis(600_000),
        }
    }

    #[test]
    fn a_limit_that_is_exceeded_is_our_fault_unless_a_process_has_ended() {
        let counted = Breaches { of_accounts: 1, ..Breaches::default() };
        let look = |around| LimitCheck::default().look(FaceKind::Bybit, counted, around);
        assert!(matches!(look(around(100_000)), Finding::Violation(_)));
        let after = |ended| Around { ended: Some(Nanos::from_millis(ended)), ..around(100_000) };
        assert_eq!(look(after(60_000)), Finding::Refused);
        assert!(matches!(look(after(30_000)), Finding::Violation(_)));
        assert_eq!(
            look(Around { rough_at: Nanos::from_millis(99_000), ..around(100_000) }),
            Finding::Refused
        );
    }

    #[test]
    fn who_was_told_of_a_ban_asks_no_more() {
        let mut check = LimitCheck::default();
        let mut asks = {
            let mut count = 0;
            move |around| {
                count += 1;
                let counted = Breaches { while_banned: count, ..Breaches::default() };
                check.look(FaceKind::Binance, counted, around)
            }
        };
        assert_eq!(asks(around(10_000)), Finding::ShutOut, "now it is told");
        assert_eq!(asks(around(10_900)), Finding::ShutOut, "this was on its way");
        // The answer may have been lost: it is told again.
        assert_eq!(asks(Around { rough_at: Nanos::from_millis(10_950), ..around(12_000) }), Finding::ShutOut);
        assert_eq!(asks(around(12_500)), Finding::ShutOut);
        assert!(matches!(asks(around(13_100)), Finding::Violation(_)));
        // Another process has not been told.
        let next = Around { life: Some((2, Nanos::from_millis(20_000))), ..around(24_000) };
        assert_eq!(asks(next), Finding::ShutOut);
        let late = Around { clocks_apart: Nanos::from_millis(20_000), ..next };
        assert_eq!(asks(Around { now: Nanos::from_millis(590_000), ..late }), Finding::ShutOut);
        assert!(matches!(asks(Around { now: Nanos::from_millis(500_000), ..late }), Finding::Violation(_)));
    }
}
