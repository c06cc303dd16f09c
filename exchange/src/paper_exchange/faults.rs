//! Faults by rule: which requests or stream events, when, and what goes wrong with them.
//!
//! **Invariants**: deterministic: a probability is decided by the seed and the number of the look. The first rule that
//! applies decides; rules are looked at in the order in which they were added. **Bounds**: [`RULES_MAX`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::accounts::{AccountNo, FaceKind};
use super::face::FaultAnswer;
use super::orders::mix;

/// Rules at once: a test has a handful.
pub const RULES_MAX: usize = 256;
/// Strikes that are kept until somebody asks; the oldest go first. A simulator asks after each turn.
const STRUCK_MAX: usize = 1_024;

/// Whom a rule of faults meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Whose protocol it is.
    pub face: FaceKind,
    /// The account, where it is one's and that is known before anything is checked.
    pub account: Option<AccountNo>,
}

/// A rule that applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck {
    /// The rule's number.
    pub rule: u64,
    /// Whom it met.
    pub whose: Whose,
}

/// When a rule applies to what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// To every n-th.
    Every(u32),
    /// To the next n, then no more.
    Next(u32),
    /// To so many in a million.
    Chance(u32),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Fault {
    /// The answer comes so much later.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// 503 "Unknown error": executed or not.
    Unknown {
        /// Whether it was executed.
        executed: bool,
    },
    /// 503 "Service Unavailable". A rule may lie and execute it.
    Unavailable {
        /// Whether it was executed.
        executed: bool,
    },
    /// 503 with -1008, overload.
    Overload {
        /// Whether it was executed.
        executed: bool,
    },
    /// An error code of the exchange.
    Code {
        /// Which.
        code: i64,
        /// Whether it was executed.
        executed: bool,
    },
    /// The connection breaks instead of an answer.
    Lost {
        /// Whether it was executed.
        executed: bool,
    },
    /// A stream's event is told twice.
    Duplicate,
    /// A stream's event comes after the next ones.
    Reorder,
    /// A stream's event comes so much later.
    Withhold {
        /// Milliseconds.
        ms: u64,
    },
    /// A stream's event is never told.
    Lose,
    /// The stream breaks off instead of telling an event.
    Drop,
    /// The request is judged and stamped by a clock that is off by so much more than the exchange's own: what is refused for its
    /// time is refused by the check itself.
    Skew {
        /// Milliseconds; the clock is ahead when it is above zero.
        ms: i64,
    },
    /// The conditional order that the request places stays `TRIGGERING` once its price is reached: no order comes of it. Binance;
    /// on Bybit, whose triggers are positions' own, the rule meets nothing.
    StayTriggering,
    /// The question is answered as after a release or a restart of Bybit: orders that have ended are in the history alone. Binance
    /// keeps both together: there the rule meets nothing.
    ForgetEnded,
    /// The listenKey of the account ends before the request, or instead of the event, and its streams are told. Bybit has none:
    /// there the rule meets nothing.
    ExpireListenKey,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `POST /fapi/v1/order`, `order.place`, or `stream ORDER_TRADE_UPDATE`; a `*` at its end stands for anything.
    pub on: String,
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

#[derive(Clone, Debug)]
struct Active {
    id: u64,
    rule: Rule,
    matched: u64,
    applied: u64,
}

/// What a rule does to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestFault {
    Latency { ms: u64 },
    Answer { with: FaultAnswer, executed: bool },
    Lost { executed: bool },
    Skew { ms: i64 },
    StayTriggering,
    ForgetEnded,
    ExpireListenKey,
}

/// What a rule does to an event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFault {
    Duplicate,
    Reorder,
    Withhold { ms: u64 },
    Lose,
    Drop,
    ExpireListenKey,
}

/// The event that tells the end of a listenKey: no rule makes another end of it.
pub(super) const LISTEN_KEY_EXPIRED: &str = "listenKeyExpired";

/// The rules in force.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<Active>,
    seed: u64,
    looks: u64,
    next_id: u64,
    struck: VecDeque<Struck>,
    /// Accounts whose listenKey ends by a rule that met an event. They are taken after each event.
    expiring: Vec<AccountNo>,
}

impl Faults {
    /// No rules; probabilities are decided by this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Adds a rule and returns its number; `None`: there are [`RULES_MAX`].
    pub fn add(&mut self, rule: Rule) -> Option<u64> {
        if self.rules.len() >= RULES_MAX {
            return None;
        }
        self.next_id += 1;
        self.rules.push(Active { id: self.next_id, rule, matched: 0, applied: 0 });
        Some(self.next_id)
    }

    /// Takes a rule away; true when it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|active| active.id != id);
        self.rules.len() != before
    }

    /// Takes all rules away.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The rules with their numbers and how often they matched and applied.
    pub fn rules(&self) -> impl Iterator<Item = (u64, &Rule, u64, u64)> {
        self.rules.iter().map(|active| (active.id, &active.rule, active.matched, active.applied))
    }

    /// Whether there is any rule.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules that applied since this was asked last, in their order.
    pub fn take_struck(&mut self) -> impl Iterator<Item = Struck> + '_ {
        self.struck.drain(..)
    }

    fn decide(&mut self, kind: &str, whose: Whose, of_stream: bool) -> Option<Fault> {
        for active in &mut self.rules {
            let meets = match active.rule.fault {
                Fault::Duplicate | Fault::Reorder | Fault::Withhold { .. } | Fault::Lose | Fault::Drop => {
                    of_stream
                }
                Fault::StayTriggering => !of_stream && whose.face == FaceKind::Binance,
                Fault::ForgetEnded => !of_stream && whose.face == FaceKind::Bybit,
                Fault::ExpireListenKey => {
                    whose.face == FaceKind::Binance
                        && whose.account.is_some()
                        && kind.strip_prefix("stream ") != Some(LISTEN_KEY_EXPIRED)
                }
                _ => !of_stream,
            };
            if !meets || !matches(&active.rule.on, kind) {
                continue;
            }
            active.matched += 1;
            self.looks += 1;
            let applies = match active.rule.when {
                When::Every(n) => n > 0 && active.matched.is_multiple_of(u64::from(n)),
                When::Next(n) => active.applied < u64::from(n),
                When::Chance(millionths) => {
                    mix(self.seed ^ mix(self.looks)) % 1_000_000 < u64::from(millionths)
                }
            };
            if applies {
                active.applied += 1;
                if self.struck.len() >= STRUCK_MAX {
                    self.struck.pop_front();
                }
                self.struck.push_back(Struck { rule: active.id, whose });
                return Some(active.rule.fault.clone());
            }
        }
        None
    }

    pub(super) fn of_request(&mut self, kind: &str, whose: Whose) -> Option<RequestFault> {
        if self.rules.is_empty() {
            return None;
        }
        let answer = |with, executed| Some(RequestFault::Answer { with, executed });
        match self.decide(kind, whose, false)? {
            Fault::Latency { ms } => Some(RequestFault::Latency { ms }),
            Fault::Unknown { executed } => answer(FaultAnswer::Unknown, executed),
            Fault::Unavailable { executed } => answer(FaultAnswer::Unavailable, executed),
            Fault::Overload { executed } => answer(FaultAnswer::Overload, executed),
            Fault::Code { code, executed } => answer(FaultAnswer::Code(code), executed),
            Fault::Lost { executed } => Some(RequestFault::Lost { executed }),
            Fault::Skew { ms } => Some(RequestFault::Skew { ms }),
            Fault::StayTriggering => Some(RequestFault::StayTriggering),
            Fault::ForgetEnded => Some(RequestFault::ForgetEnded),
            Fault::ExpireListenKey => Some(RequestFault::ExpireListenKey),
            _ => None,
        }
    }

    pub(super) fn of_event(&mut self, name: &str, whose: Whose) -> Option<StreamFault> {
        if self.rules.is_empty() {
            return None;
        }
        match self.decide(&format!("stream {name}"), whose, true)? {
            Fault::Duplicate => Some(StreamFault::Duplicate),
            Fault::Reorder => Some(StreamFault::Reorder),
            Fault::Withhold { ms } => Some(StreamFault::Withhold { ms }),
            Fault::Lose => Some(StreamFault::Lose),
            Fault::Drop => Some(StreamFault::Drop),
            Fault::ExpireListenKey => {
                self.expiring.extend(whose.account);
                Some(StreamFault::ExpireListenKey)
            }
            _ => None,
        }
    }

    /// An account whose listenKey is to end now.
    pub(super) fn take_expiring(&mut self) -> Option<AccountNo> {
        self.expiring.pop()
    }
}

/// Whether a pattern stands for a kind.
fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => kind.starts_with(begin),
        None => kind == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOSE: Whose = Whose { face: FaceKind::Bybit, account: Some(AccountNo(3)) };

    fn rule(on: &str, when: When) -> Rule {
        Rule { on: on.to_owned(), when, fault: Fault::Lost { executed: true } }
    }

    #[test]
    fn rules_apply_when_they_say() {
        let mut faults = Faults::new(1);
        faults.add(rule("POST /a", When::Every(3))).unwrap();
        faults.add(rule("POST /b*", When::Next(2))).unwrap();
        let hits = |faults: &mut Faults, kind: &str| -> Vec<bool> {
            (0..6).map(|_| faults.of_request(kind, WHOSE).is_some()).collect()
        };
        assert_eq!(hits(&mut faults, "POST /a"), [false, false, true, false, false, true]);
        assert_eq!(hits(&mut faults, "POST /bc"), [true, true, false, false, false, false]);
        assert_eq!(hits(&mut faults, "GET /a"), [false; 6]);
        let struck: Vec<_> = faults.take_struck().map(|struck| (struck.rule, struck.whose)).collect();
        assert_eq!(struck, [(1, WHOSE), (1, WHOSE), (2, WHOSE), (2, WHOSE)]);
        assert_eq!(faults.take_struck().count(), 0);
    }

    #[test]
    fn a_chance_depends_on_the_seed_alone() {
        let run = |seed| -> Vec<bool> {
            let mut faults = Faults::new(seed);
            faults.add(rule("*", When::Chance(300_000))).unwrap();
            (0..1_000).map(|_| faults.of_request("x", WHOSE).is_some()).collect()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let hits = run(1).iter().filter(|hit| **hit).count();
        assert!((200..400).contains(&hits), "{hits}");
    }
}
