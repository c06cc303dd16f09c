//! The circuit of a venue and an address: whether anything at all may be sent there now.
//!
//! **Runs on**: every shard of the process looks at it before every request, and hardly ever writes it.
//! **Owns**: one word with state, end and reason, and the words that count towards opening it.
//! **Invariants**: each word stands alone and changes by compare-and-swap of a pure step, so every
//! interleaving equals some order of the steps (that is why relaxed ordering will do). A ban is never made
//! shorter by anything. An open circuit closes only through the answer to its probe; a mere limit ends with
//! its time.
//! **Bounds**: one probe at a time; failures of requests that were under way when one was counted are one
//! event.
//! **Never**: touches the circuit of another venue or address: nothing is shared between two of them.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::core::ids::Timestamp;

use super::limits::{BanRule, SECOND};
use super::purpose::Purpose;
use super::window::SKEW_MICROS;

/// So many connections in a row that could not be made open the circuit: one or two are a restart of a
/// gateway.
pub const UNREACHABLE_IN_A_ROW_MAX: u64 = 5;
/// So many unknown outcomes in a row open it. In peaks single ones are usual (EXCHANGES.md §2.8, 503), and
/// any answer between them ends the row.
pub const UNKNOWN_IN_A_ROW_MAX: u64 = 8;
/// How long failures open it the first time, in microseconds: a position may be without a stop for 5 s only.
pub const OPEN_FIRST_MICROS: u64 = SECOND;
/// How long at most, in microseconds; it doubles with each probe that fails.
pub const OPEN_MOST_MICROS: u64 = 30 * SECOND;
/// What a position may wait for (a close, or a question about an order) finds out this often however long failures keep it open, in
/// microseconds: after an outage of minutes, a position that lost its stop in it is not to wait for half a minute more.
pub const URGENT_MICROS: u64 = 2 * SECOND;
/// Without an answer for so long a probe is lost, and another may go, in microseconds.
pub const PROBE_MICROS: u64 = 3 * SECOND;
/// For so long after the end only a close may be the probe, in microseconds.
pub const CLOSES_FIRST_MICROS: u64 = SECOND / 4;
/// How soon to ask again while a probe is under way, in microseconds.
pub const PROBE_LOOK_MICROS: u64 = SECOND / 20;
/// So long after a ban's end sockets wait for what a request finds out, in microseconds; a connector measures the exchange's
/// clock and compares positions all the time, so one is sent.
const DIALS_AFTER_MICROS: u64 = 10 * SECOND;
/// A ban after so long without one counts as the first again, in microseconds.
pub const BAN_FORGOTTEN_MICROS: u64 = 24 * 3_600 * SECOND;
/// Doublings are counted up to here: 2 minutes doubled 12 times are more than the longest ban.
const DOUBLINGS_MAX: u64 = 12;

/// Why nothing may be sent; the later ones outweigh the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CircuitReason {
    /// Connections fail.
    Unreachable,
    /// No answers come.
    Unknown,
    /// The address used up its budget (429): everything waits. Who says so is there, so it outweighs what failed before.
    Limited,
    /// The address is banned (418, 403).
    Banned,
}

impl CircuitReason {
    const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Self::Unreachable),
            2 => Some(Self::Unknown),
            3 => Some(Self::Limited),
            4 => Some(Self::Banned),
            _ => None,
        }
    }
}

/// Where the circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Requests go.
    Closed,
    /// Nothing goes until then (the shard's clock).
    Open {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: CircuitReason,
    },
    /// One request may go, or is under way, to find out.
    HalfOpen {
        /// Why it was opened.
        reason: CircuitReason,
    },
}

/// The circuit for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitView {
    /// Where it stands.
    pub state: CircuitState,
    /// How often failures opened it since the start, failed probes included.
    pub opened: u64,
    /// Bans since the start.
    pub bans: u64,
    /// Limits of the address that were hit since the start.
    pub limits: u64,
    /// Connections in a row that failed.
    pub unreachable_in_a_row: u64,
    /// Outcomes in a row that are unknown.
    pub unknown_in_a_row: u64,
}

/// What the circuit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Go.
    Clear,
    /// Go if [`Circuit::claim`] gives the probe for this word.
    HalfOpen(u64),
    /// Not before then.
    Wait(Timestamp),
    /// Not at all.
    Refused(Timestamp, CircuitReason),
}

/// State, end and reason in one word; zero is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Gate {
    until_millis: u64,
    is_probing: bool,
    reason: CircuitReason,
}

impl Gate {
    const fn pack(self) -> u64 {
        self.until_millis << 4 | (self.is_probing as u64) << 3 | (self.reason as u64 + 1)
    }

    fn unpack(word: u64) -> Option<Self> {
        let reason = CircuitReason::from_bits(word & 7)?;
        Some(Self { until_millis: word >> 4, is_probing: word & 8 != 0, reason })
    }

    const fn until(self) -> Timestamp {
        Timestamp::from_millis(self.until_millis)
    }
}

/// A time and a count in one word, for events that count once however many requests tell of them.
#[derive(Clone, Copy)]
struct Row {
    last_millis: u64,
    count: u64,
}

impl Row {
    const fn pack(self) -> u64 {
        self.last_millis << 8 | self.count
    }

    const fn unpack(word: u64) -> Self {
        Self { last_millis: word >> 8, count: word & 0xff }
    }

    /// Counts an event that a request sent at `sent` tells of at `now`. `None`: it was counted already.
    fn count(word: &AtomicU64, now: Timestamp, sent: Timestamp, forgotten_micros: u64) -> Option<u64> {
        let mut counted = None;
        let step = |word| {
            let row = Self::unpack(word);
            let last = Timestamp::from_millis(row.last_millis);
            let is_forgotten = row.count == 0 || now.micros_since(last) >= forgotten_micros;
            if !is_forgotten && sent <= last {
                counted = None;
                return None;
            }
            let count = if is_forgotten { 1 } else { (row.count + 1).min(0xff) };
            counted = Some(count);
            Some(Self { last_millis: millis_up(now), count }.pack())
        };
        // A step that declines has counted nothing: `counted` says so too.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        counted
    }
}

fn millis_up(at: Timestamp) -> u64 {
    at.0.div_ceil(1_000)
}

/// How long failures open it after so many openings in a row.
fn open_span(trips: u64) -> u64 {
    (OPEN_FIRST_MICROS << trips.min(DOUBLINGS_MAX)).min(OPEN_MOST_MICROS)
}

/// Whether anything may be sent. See the file's head.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Circuit {
    gate: AtomicU64,
    unreachable: AtomicU64,
    unknown: AtomicU64,
    banned: AtomicU64,
    /// Failed probes and openings in a row: how long the next opening lasts.
    trips: AtomicU64,
    opened: AtomicU64,
    bans: AtomicU64,
    limits: AtomicU64,
}

impl Circuit {
    /// For people and metrics.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> CircuitView {
        let state = match Gate::unpack(self.gate.load(Ordering::Relaxed)) {
            None => CircuitState::Closed,
            Some(gate) if gate.is_probing => CircuitState::HalfOpen { reason: gate.reason },
            Some(gate) if now < gate.until() => {
                CircuitState::Open { until: gate.until(), reason: gate.reason }
            }
            Some(gate) if gate.reason == CircuitReason::Limited => CircuitState::Closed,
            Some(gate) => CircuitState::HalfOpen { reason: gate.reason },
        };
        CircuitView {
            state,
            opened: self.opened.load(Ordering::Relaxed),
            bans: self.bans.load(Ordering::Relaxed),
            limits: self.limits.load(Ordering::Relaxed),
            unreachable_in_a_row: Row::unpack(self.unreachable.load(Ordering::Relaxed)).count,
            unknown_in_a_row: Row::unpack(self.unknown.load(Ordering::Relaxed)).count,
        }
    }

    /// What it says to a request.
    pub(super) fn look(&self, now: Timestamp, purpose: Purpose) -> Look {
        let word = self.gate.load(Ordering::Relaxed);
        let Some(gate) = Gate::unpack(word) else { return Look::Clear };
        let until = gate.until();
        if gate.is_probing {
            // The probe is lost when its time is over: then another one may go.
            let soon = now.plus_micros(PROBE_LOOK_MICROS);
            return if now < until { Look::Wait(soon.min(until)) } else { Look::HalfOpen(word) };
        }
        let until = if matches!(purpose, Purpose::Close | Purpose::Ascertain | Purpose::Reconcile) {
            self.urgent_from(gate).min(until)
        } else {
            until
        };
        if now < until {
            return match (gate.reason, purpose) {
                (CircuitReason::Limited, _) => Look::Wait(until),
                (reason, Purpose::Open) => Look::Refused(until, reason),
                _ => Look::Wait(until),
            };
        }
        let others = until.plus_micros(CLOSES_FIRST_MICROS);
        match (gate.reason, purpose) {
            (CircuitReason::Limited, _) => Look::Clear,
            (_, Purpose::Close) => Look::HalfOpen(word),
            _ if now < others => Look::Wait(others),
            _ => Look::HalfOpen(word),
        }
    }

    /// Until when the exchange wants nothing from the address: a ban or a limit, not what failures opened. Whether a ban is over
    /// says the one request that is sent first; where none is for [`DIALS_AFTER_MICROS`], a socket may be it.
    pub(super) fn stopped_until(&self, now: Timestamp) -> Option<Timestamp> {
        let gate = Gate::unpack(self.gate.load(Ordering::Relaxed))?;
        let until = gate.until();
        match gate.reason {
            CircuitReason::Limited => (now < until).then_some(until),
            CircuitReason::Banned if now < until && !gate.is_probing => Some(until),
            CircuitReason::Banned => {
                (now < until.plus_micros(DIALS_AFTER_MICROS)).then(|| now.plus_micros(PROBE_LOOK_MICROS))
            }
            CircuitReason::Unreachable | CircuitReason::Unknown => None,
        }
    }

    /// Whether a ban or a limit of the address is in force and its probe not under way: nothing is admitted, whatever it is for.
    pub(super) fn is_shut(&self, now: Timestamp) -> bool {
        Gate::unpack(self.gate.load(Ordering::Relaxed)).is_some_and(|gate| {
            matches!(gate.reason, CircuitReason::Limited | CircuitReason::Banned)
                && now < gate.until()
                && (!gate.is_probing || planted::planted!("probe_of_a_ban_taken_back"))
        })
    }

    /// From when on something urgent may find out whether the exchange is there again.
    fn urgent_from(&self, gate: Gate) -> Timestamp {
        match gate.reason {
            CircuitReason::Unreachable | CircuitReason::Unknown => {
                let trips = self.trips.load(Ordering::Relaxed).saturating_sub(1);
                let opened_at = gate.until().0.saturating_sub(open_span(trips));
                Timestamp(opened_at.saturating_add(URGENT_MICROS))
            }
            CircuitReason::Limited | CircuitReason::Banned => gate.until(),
        }
    }

    /// Takes the probe, of which there is one. Returns the word that [`Circuit::answered`] closes the circuit
    /// by.
    pub(super) fn claim(&self, now: Timestamp, seen: u64) -> Option<u64> {
        let gate = Gate::unpack(seen)?;
        let until_millis = millis_up(now.plus_micros(PROBE_MICROS));
        let mut probe = Gate { until_millis, is_probing: true, ..gate }.pack();
        if probe == seen {
            probe = Gate { until_millis: until_millis + 1, is_probing: true, ..gate }.pack();
        }
        self.swap(seen, probe).then_some(probe)
    }

    /// The probe was not sent after all: another may go.
    pub(super) fn release(&self, now: Timestamp, probe: u64) {
        if let Some(gate) = Gate::unpack(probe) {
            let until_millis = now.millis().saturating_sub(CLOSES_FIRST_MICROS / 1_000);
            self.swap(probe, Gate { until_millis, is_probing: false, ..gate }.pack());
        }
    }

    /// The exchange answered: whatever it said, it is there. `probe` is what [`Circuit::claim`] gave, or
    /// zero.
    pub(super) fn answered(&self, probe: u64) {
        for row in [&self.unreachable, &self.unknown] {
            if row.load(Ordering::Relaxed) != 0 {
                row.store(0, Ordering::Relaxed);
            }
        }
        if probe != 0 && self.swap(probe, 0) {
            self.trips.store(0, Ordering::Relaxed);
        }
    }

    /// A request came to nothing: no connection, or no answer. Opens the circuit when it was the probe or one
    /// too many.
    pub(super) fn failed(&self, now: Timestamp, sent: Timestamp, probe: u64, reason: CircuitReason) {
        let (row, most) = match reason {
            CircuitReason::Unreachable => (&self.unreachable, UNREACHABLE_IN_A_ROW_MAX),
            _ => (&self.unknown, UNKNOWN_IN_A_ROW_MAX),
        };
        let count = Row::count(row, now, sent, u64::MAX).unwrap_or(0);
        let is_probe = probe != 0 && self.gate.load(Ordering::Relaxed) == probe;
        if is_probe || count >= most {
            row.store(0, Ordering::Relaxed);
            let trips = self.trips.fetch_add(1, Ordering::Relaxed);
            self.opened.fetch_add(1, Ordering::Relaxed);
            self.close_until(now, now.plus_micros(open_span(trips)), reason, probe);
        }
    }

    /// Everything stops until then: the budget of the address is used up.
    pub(super) fn limited(&self, now: Timestamp, until: Timestamp, probe: u64) {
        self.limits.fetch_add(1, Ordering::Relaxed);
        self.close_until(now, until, CircuitReason::Limited, probe);
    }

    /// The address is banned, until `told` when that is said. A ban that is told by many requests is one ban.
    pub(super) fn banned(
        &self,
        now: Timestamp,
        sent: Timestamp,
        told: Option<Timestamp>,
        rule: BanRule,
        probe: u64,
    ) {
        let counted = Row::count(&self.banned, now, sent, BAN_FORGOTTEN_MICROS);
        if counted.is_some() {
            self.bans.fetch_add(1, Ordering::Relaxed);
        }
        let row = Row::unpack(self.banned.load(Ordering::Relaxed));
        let from = if counted.is_some() { now } else { Timestamp::from_millis(row.last_millis) };
        let doublings = row.count.saturating_sub(1).min(DOUBLINGS_MAX);
        let guess = (rule.first_micros << doublings).max(rule.least_micros);
        let until = match told {
            // A little later than told: our idea of the exchange's clock may be wrong by so much.
            Some(told) if told > now => told.plus_micros(SKEW_MICROS).max(now.plus_micros(rule.least_micros)),
            // Over by our clock and not by the exchange's: ours is wrong, by little. It is tried soon, and less often each time;
            // for as long as a ban whose end is not told, exits would wait for nothing.
            Some(_) if !planted::planted!("told_end_of_a_ban_not_believed") => {
                now.plus_micros(open_span(row.count.saturating_sub(1)).max(rule.least_micros))
            }
            _ => from.plus_micros(guess),
        };
        self.close_until(now, until.min(now.plus_micros(rule.most_micros)), CircuitReason::Banned, probe);
    }

    /// Nothing goes until then. What is known already and lasts longer, or weighs more, stays; a limit that has ended is no more.
    /// Ends the probe of this word.
    fn close_until(&self, now: Timestamp, until: Timestamp, reason: CircuitReason, probe: u64) {
        let step = |word: u64| {
            let is_over = |gate: &Gate| gate.reason == CircuitReason::Limited && gate.until() <= now;
            let known = Gate::unpack(word).filter(|gate| !is_over(gate));
            let old = known.filter(|gate| !(word == probe && gate.is_probing));
            let outweighs = |gate: Gate| match gate.reason {
                CircuitReason::Unreachable | CircuitReason::Unknown
                    if planted::planted!("limit_told_after_failures_not_obeyed") =>
                {
                    gate.reason
                }
                before => before.max(reason),
            };
            let weight = known.map_or(reason, outweighs);
            let told = millis_up(until);
            let most = |gate: Gate| gate.until_millis.max(told);
            let old = old.filter(|_| !planted::planted!("ban_shortened_by_a_later_limit"));
            let until_millis = old.map_or(told, most);
            Some(Gate { until_millis, is_probing: false, reason: weight }.pack())
        };
        // The step never declines, so there is no error to handle.
        let _ = self.gate.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    fn swap(&self, from: u64, to: u64) -> bool {
        self.gate.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::pacing::limits::VenueLimits;

    const START: Timestamp = Timestamp(1_800_000_000_000_000);

    fn after(millis: u64) -> Timestamp {
        START.plus_micros(millis * 1_000)
    }

    fn open_by_failures(circuit: &Circuit) {
        for n in 0..UNREACHABLE_IN_A_ROW_MAX {
            circuit.failed(after(n * 10 + 1), after(n * 10), 0, CircuitReason::Unreachable);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_ends_the_row() {
        let circuit = Circuit::default();
        for n in 0..UNREACHABLE_IN_A_ROW_MAX - 1 {
            circuit.failed(after(n * 10 + 1), after(n * 10), 0, CircuitReason::Unreachable);
        }
        circuit.answered(0);
        circuit.failed(after(500), after(499), 0, CircuitReason::Unreachable);
        assert_eq!(circuit.view(after(500)).state, CircuitState::Closed);
        assert_eq!(circuit.view(after(500)).unreachable_in_a_row, 1);
        let circuit = Circuit::default();
        open_by_failures(&circuit);
        let (until, reason) = (after(41 + 1_000), CircuitReason::Unreachable);
        assert_eq!(circuit.view(after(42)).state, CircuitState::Open { until, reason });
        assert_eq!(circuit.look(after(42), Purpose::Open), Look::Refused(until, reason));
        assert_eq!(circuit.look(after(42), Purpose::Close), Look::Wait(until));
    }

    #[test]
    fn a_broken_connection_is_one_event_however_many_requests_were_on_it() {
        let circuit = Circuit::default();
        for n in 0..1_000 {
            circuit.failed(after(100 + n), after(99), 0, CircuitReason::Unknown);
        }
        assert_eq!(circuit.view(after(2_000)).unknown_in_a_row, 1);
        assert_eq!(circuit.view(after(2_000)).state, CircuitState::Closed);
    }

    #[test]
    fn one_probe_a_close_first_and_longer_with_each_that_fails() {
        let circuit = Circuit::default();
        open_by_failures(&circuit);
        let end = after(1_041);
        assert!(matches!(circuit.look(end, Purpose::Open), Look::Wait(_)), "closes go first");
        let Look::HalfOpen(word) = circuit.look(end, Purpose::Close) else { panic!("a close may probe") };
        let probe = circuit.claim(end, word).expect("nobody else has it");
        assert_eq!(circuit.claim(end, word), None);
        assert!(matches!(circuit.look(end, Purpose::Close), Look::Wait(_)));
        assert!(matches!(circuit.view(end).state, CircuitState::HalfOpen { .. }));
        circuit.failed(after(1_100), end, probe, CircuitReason::Unknown);
        assert!(
            matches!(circuit.view(after(1_100)).state, CircuitState::Open { until, .. } if until == after(3_100))
        );
        // A probe whose answer never comes is replaced; the answer of the first, when it comes after all,
        // closes nothing.
        let Look::HalfOpen(word) = circuit.look(after(3_400), Purpose::Open) else { panic!("grace is over") };
        let lost = circuit.claim(after(3_400), word).expect("free");
        let Look::HalfOpen(word) = circuit.look(after(6_400), Purpose::Close) else { panic!("it is lost") };
        let second = circuit.claim(after(6_400), word).expect("free");
        circuit.answered(lost);
        assert!(matches!(circuit.view(after(6_400)).state, CircuitState::HalfOpen { .. }));
        circuit.answered(second);
        assert_eq!(circuit.view(after(6_400)).state, CircuitState::Closed);
        open_by_failures(&circuit);
        assert!(matches!(circuit.view(after(50)).state, CircuitState::Open { until, .. } if until == end));
        assert_eq!(
            circuit.stopped_until(after(50)),
            None,
            "it may be tried whether a connection can be made"
        );
    }

    #[test]
    fn case_r1_a_limit_that_is_told_after_failures_stops_everything() {
        let circuit = Circuit::default();
        open_by_failures(&circuit);
        // Failures opened it, that is over, and who finds out is told of a limit.
        let Look::HalfOpen(word) = circuit.look(after(2_000), Purpose::Close) else { panic!("it is over") };
        let probe = circuit.claim(after(2_000), word).expect("free");
        circuit.limited(after(2_010), after(40_000), probe);
        let purposes = [Purpose::Close, Purpose::Ascertain, Purpose::Open];
        for purpose in purposes {
            assert_eq!(circuit.look(after(10_000), purpose), Look::Wait(after(40_000)), "{purpose:?}");
        }
        assert_eq!(circuit.stopped_until(after(10_000)), Some(after(40_000)), "sockets wait as well");
        assert!(circuit.is_shut(after(10_000)));
        // What fails meanwhile makes it no shorter, and no less of a limit.
        circuit.failed(after(10_001), after(10_000), probe, CircuitReason::Unknown);
        open_by_failures(&circuit);
        assert_eq!(circuit.look(after(10_002), Purpose::Close), Look::Wait(after(40_000)));
        for purpose in purposes {
            assert_eq!(circuit.look(after(40_000), purpose), Look::Clear, "it ends with its time");
        }
    }

    #[test]
    fn a_limit_that_has_ended_hides_no_failure() {
        let circuit = Circuit::default();
        circuit.limited(Timestamp(START.0 - 2_000), START, 0);
        open_by_failures(&circuit);
        let (until, reason) = (after(41 + 1_000), CircuitReason::Unreachable);
        assert_eq!(circuit.view(after(42)).state, CircuitState::Open { until, reason });
        assert_eq!(circuit.stopped_until(after(42)), None);
    }

    #[test]
    fn a_ban_is_not_shortened_by_a_limit_or_an_answer_and_grows() {
        let circuit = Circuit::default();
        let rule = VenueLimits::BINANCE.ban;
        circuit.banned(after(0), after(0), None, rule, 0);
        circuit.limited(after(5), after(10), 0);
        circuit.answered(0);
        let open = |millis| CircuitState::Open { until: after(millis), reason: CircuitReason::Banned };
        assert_eq!(circuit.view(after(20)).state, open(120_000));
        assert_eq!(circuit.stopped_until(after(20)), Some(after(120_000)));
        // Its end is found out by one request, not by everything that waits to dial.
        let look = PROBE_LOOK_MICROS / 1_000;
        assert_eq!(circuit.stopped_until(after(120_000)), Some(after(120_000 + look)));
        assert_eq!(circuit.stopped_until(after(120_000 + DIALS_AFTER_MICROS / 1_000)), None, "nobody asks");
        // Told of by another request of before: the same ban.
        circuit.banned(after(500), after(0), None, rule, 0);
        assert_eq!((circuit.view(after(500)).state, circuit.view(after(500)).bans), (open(120_000), 1));
        circuit.banned(after(200_000), after(199_000), None, rule, 0);
        assert_eq!(circuit.view(after(200_000)).state, open(200_000 + 240_000));
        // The ban has ended by our clock, and the exchange says that it goes on until then: it is our clock that is wrong.
        let wrong = Circuit::default();
        wrong.banned(after(0), after(0), Some(after(2_000)), rule, 0);
        assert!(wrong.is_shut(after(1_900)));
        let Look::HalfOpen(word) = wrong.look(after(2_250), Purpose::Close) else { panic!("it is over") };
        let probe = wrong.claim(after(2_250), word).expect("nobody else has it");
        assert!(
            !wrong.is_shut(after(2_251)),
            "what finds out is not taken back while it waits for a connection"
        );
        wrong.banned(after(2_260), after(2_250), Some(after(2_000)), rule, probe);
        assert_eq!(wrong.view(after(2_260)).state, open(2_260 + 2_000));
        let far = after(90_000_000_000);
        circuit.banned(after(600_000), after(599_000), Some(far), rule, 0);
        assert_eq!(circuit.view(after(600_000)).state, open(600_000 + rule.most_micros / 1_000));
    }
}
