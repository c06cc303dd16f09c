//! The exchange's limits against us: the product keeps within them by itself, and stops when it is told to.
//!
//! **Runs on**: the simulator's thread, called by the exchange after each of its turns.
//! **Checks**: no limit of an exchange is exceeded by a process that knows what was spent. A process that has ended forgets what it
//! had spent; so after a restart nothing is held against anybody for as long as the exchange counts, but who was told that the address has
//! spent its minute asks no more in it (Binance; Bybit shuts out at once). Who was told that the address is shut out asks nothing, and
//! opens nothing, until the end. How much time was judged so is counted. **Never**: counts what a rule of faults refuses.

use engine::seam::Nanos;
use exchange::paper_exchange::FaceKind;
use exchange::paper_exchange::limits::Breaches;

use super::judged::Judged;
use super::seams::EPOCH_MICROS;

/// The longest window in which requests are counted (Binance's minute).
const REQUESTS_SPAN: Nanos = Nanos::from_millis(61_000);
/// The window in which sockets are counted, on both.
const SOCKETS_SPAN: Nanos = Nanos::from_millis(301_000);
/// In which an address may ask so much (Binance).
const MINUTE: Nanos = Nanos::from_millis(60_000);
const _: () =
    assert!(EPOCH_MICROS.is_multiple_of(60_000_000), "minutes of virtual time are minutes of calendars");
/// Who asks gets the answer within this, in fair weather: what was on its way when the first answer left has arrived.
const TOLD_SPAN: Nanos = Nanos::from_millis(1_000);
/// What an earlier process had on its way has arrived by then.
const LEFT_OVER_SPAN: Nanos = Nanos::from_millis(3_000);
/// After disturbed weather, what it held up arrives together for so long.
const HELD_UP_SPAN: Nanos = Nanos::from_millis(12_000);

/// When the minute ends.
pub(super) const fn end_of_minute(now: Nanos) -> Nanos {
    Nanos((now.0 / MINUTE.0 + 1) * MINUTE.0)
}

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
    /// Until when a shard is held up, by what strikes the server itself: it may not have read what it was told.
    pub(super) held_up_until: Nanos,
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
    /// The life that was told that the address has spent what it may, and when.
    spent: Option<(u32, Nanos)>,
    /// Until when another program has left nothing of the minute.
    others_until: Nanos,
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
        self.now.since(told) > TOLD_SPAN && self.has_heard(told) && !tolerated
    }

    /// Whether what was told then was read by who was told.
    fn has_heard(&self, told: Nanos) -> bool {
        self.rough_at < told && self.held_up_until < told
    }

    /// Which of the exchange's minutes it is; calendars begin with a whole one.
    const fn minute(at: Nanos) -> u64 {
        at.0 / MINUTE.0
    }

    /// Whether the minute lasts longer than by what clocks may be apart.
    fn is_within_the_minute(&self) -> bool {
        end_of_minute(self.now).since(self.now) > self.clocks_apart
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
        let Around { now, life, .. } = around;
        let over = [
            ("requests of the address", counted.of_addresses - seen.of_addresses, REQUESTS_SPAN),
            ("requests of an account", counted.of_accounts - seen.of_accounts, REQUESTS_SPAN),
            ("sockets of the address", counted.of_sockets - seen.of_sockets, SOCKETS_SPAN),
        ];
        let of_others = |what| what == over[0].0 && now < self.others_until;
        for (what, count, span) in over {
            if count > 0 && around.judges(span) && !of_others(what) {
                return Finding::Violation(format!(
                    "{face:?}'s limit for {what} was exceeded, and nothing had ended for {} s",
                    span.as_micros() / 1_000_000
                ));
            }
        }
        if face == FaceKind::Binance
            && counted.of_addresses > seen.of_addresses
            && let Some(after) = self.asked_though_spent(&around)
        {
            return Finding::Violation(format!(
                "{face:?} was asked {} ms after it had said that the address has spent its minute",
                after.as_micros() / 1_000
            ));
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
            Some((_, at)) if around.has_heard(at) => {}
            // It is told now: what was told before may not have arrived.
            _ => self.told = Some((life, now)),
        }
        Finding::ShutOut
    }

    /// For how long a life knows that the address has spent its minute which asks in it all the same; `None` for one that may not
    /// know.
    fn asked_though_spent(&mut self, around: &Around) -> Option<Nanos> {
        let now = around.now;
        let (life, since) = around.life.filter(|(_, since)| now.since(*since) > LEFT_OVER_SPAN)?;
        let minute = Around::minute;
        let knows = |(told, at): &(u32, Nanos)| {
            *told == life && *at >= since && around.has_heard(*at) && minute(*at) == minute(now)
        };
        match self.spent.filter(knows) {
            Some((_, at)) => {
                Some(now.since(at)).filter(|after| *after > TOLD_SPAN && around.is_within_the_minute())
            }
            // It is told now: what was told before may not have arrived.
            None => {
                self.spent = Some((life, now));
                None
            }
        }
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

    /// Another program has asked all that the address may in this minute.
    pub(super) const fn spent_by_others(&mut self, until: Nanos) {
        self.others_until = until;
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
            held_up_until: Nanos(0),
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
    fn who_was_told_that_a_minute_is_spent_asks_no_more_in_it() {
        // The process before it ended a moment ago, and what that had spent is known to nobody.
        let fresh = |ms| Around { ended: Some(Nanos::from_millis(9_000)), ..around(ms) };
        for (face, violated) in [(FaceKind::Binance, true), (FaceKind::Bybit, false)] {
            let (mut check, mut count) = (LimitCheck::default(), 0);
            let mut asks = |around| {
                count += 1;
                check.look(face, Breaches { of_addresses: count, ..Breaches::default() }, around)
            };
            assert_eq!(asks(fresh(12_000)), Finding::Refused, "now it is told");
            assert_eq!(asks(fresh(12_900)), Finding::Refused, "this was on its way");
            let lost = Around { rough_at: Nanos::from_millis(12_950), ..fresh(14_000) };
            assert_eq!(asks(lost), Finding::Refused, "the answer may have been lost");
            let held = Around { held_up_until: Nanos::from_millis(15_000), ..fresh(16_000) };
            assert_eq!(asks(held), Finding::Refused, "the answer may not have been read");
            let next = Around { life: Some((2, Nanos::from_millis(17_000))), ..fresh(21_000) };
            assert_eq!(asks(next), Finding::Refused, "another process has not been told");
            let at = |ms| Around { now: Nanos::from_millis(ms), ..next };
            let apart = Around { clocks_apart: Nanos::from_millis(9_000), ..at(52_000) };
            assert_eq!(
                asks(apart),
                Finding::Refused,
                "it may be the next minute by the clock that it follows"
            );
            assert_eq!(asks(at(61_000)), Finding::Refused, "another minute");
            assert_eq!(asks(at(61_900)), Finding::Refused, "on its way");
            assert_eq!(matches!(asks(at(62_100)), Finding::Violation(_)), violated);
        }
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
