//! From what a look at the server shows to what an operator is told: alerts are raised and cleared with hysteresis, and one
//! alert is told no more often than every five minutes, but for its turning critical.
//!
//! **Runs on**: the thread of the alerts, which looks about once a second and hands in the time. **Owns**: of each alert how
//! long it has shown, and what was told of it last.
//! **Invariants**: what is told last of an alert is how it stands, five minutes later at most; one that comes and goes is told
//! once, with how often it came. So an alert that is over is shown too long rather than one that holds not at all.
//! **Bounds**: [`ALERTS_MAX`] alerts; further ones are counted and not followed. **Never**: reads a clock or a gauge.

use std::collections::BTreeMap;

use engine::seam::Nanos;

use super::digest::{Line, Severity};

/// The least time between two tellings of one alert (DOMAIN.md, §5).
pub const COOL_DOWN: Nanos = Nanos::from_millis(300_000);
/// Alerts that are followed: a few of the process, and four for each exchange, environment and egress address.
pub const ALERTS_MAX: usize = 1_024;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A log failed.
    LogFailed,
    /// A log cannot go on for want of space.
    NoSpace,
    /// A shard takes no turns.
    NoTurns,
    /// Opens are stopped, because logs that wait for the database fill the disk.
    OpensStopped,
    /// Logs that wait for the database begin to fill the disk.
    Backlog,
    /// The database of the history fails.
    HistoryFails,
    /// Positions that the venue has refused to close for more than an hour.
    ClosesRefused,
    /// An address is banned by an exchange.
    Ban,
    /// A circuit is open for another reason.
    Circuit,
    /// This host's clock is wrong by an exchange's.
    Clock,
    /// Accounts that open nothing until their users have acted.
    Suspended,
    /// The disk of the data.
    Disk,
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
}

/// So many looks in a row raise an alert, so many without it clear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// With it.
    pub raise: u32,
    /// Without it.
    pub clear: u32,
}

impl Kind {
    /// How long it has to hold, at a look a second.
    #[must_use]
    pub const fn patience(self) -> Patience {
        let (raise, clear) = match self {
            // These do not pass by themselves, or have a hysteresis of their own.
            Self::LogFailed | Self::ClosesRefused => (1, 1),
            Self::OpensStopped | Self::Backlog => (1, 10),
            Self::NoSpace | Self::Ban => (2, 10),
            // Measured once a second: one that is long, or several.
            Self::NoTurns => (3, 30),
            Self::Disk => (5, 60),
            Self::Cpu | Self::Memory => (10, 60),
            Self::Clock => (30, 60),
            // A failure of some seconds is every day's; docs/operations.md says a minute.
            Self::Circuit => (60, 30),
            Self::HistoryFails | Self::Suspended => (60, 60),
        };
        Patience { raise, clear }
    }
}

/// Something that holds at a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// What it is about.
    pub kind: Kind,
    /// Where, when it may hold at several places; they are alerts of their own.
    pub place: String,
    /// How bad it is.
    pub severity: Severity,
    /// What holds and where, in words; without a stop at its end.
    pub what: String,
    /// What to do about it, in sentences.
    pub remedy: &'static str,
}

/// What was told of an alert last.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Nanos,
    /// `None`: that it is over.
    level: Option<Severity>,
}

/// One alert.
#[derive(Debug, Default)]
struct Alert {
    /// Looks in a row that showed it, at least as a warning.
    shown: u32,
    /// Looks in a row that showed it as critical.
    critical: u32,
    /// Looks in a row that did not show it.
    missed: u32,
    /// Looks in a row that did not show it as critical.
    uncritical: u32,
    level: Option<Severity>,
    raised_at: Nanos,
    ended_at: Nanos,
    /// How often it was raised since it was told last.
    raises: u64,
    told: Option<Told>,
    critical_told_at: Option<Nanos>,
    what: String,
    remedy: &'static str,
}

impl Alert {
    /// Takes what a look shows.
    fn look(&mut self, now: Nanos, patience: Patience, sign: Option<&Sign>) {
        if let Some(sign) = sign {
            self.shown = self.shown.saturating_add(1);
            self.missed = 0;
            self.what.clone_from(&sign.what);
            self.remedy = sign.remedy;
        } else {
            self.shown = 0;
            self.missed = self.missed.saturating_add(1);
        }
        if sign.is_some_and(|sign| sign.severity == Severity::Critical) {
            self.critical = self.critical.saturating_add(1);
            self.uncritical = 0;
        } else {
            self.critical = 0;
            self.uncritical = self.uncritical.saturating_add(1);
        }
        let shows = match (self.critical >= patience.raise, self.shown >= patience.raise) {
            (true, _) => Some(Severity::Critical),
            (false, true) => Some(Severity::Warning),
            (false, false) => None,
        };
        let before = self.level;
        self.level = match self.level {
            _ if self.missed >= patience.clear => None,
            Some(Severity::Critical) if self.uncritical >= patience.clear => Some(Severity::Warning),
            level => level.max(shows),
        };
        match (before, self.level) {
            (None, Some(_)) => {
                self.raised_at = now;
                self.raises += 1;
            }
            (Some(_), None) => self.ended_at = now,
            _ => {}
        }
    }

    /// What is to be told now.
    fn telling(&mut self, now: Nanos) -> Option<Line> {
        let before = self.told.and_then(|told| told.level);
        if self.level == before && self.raises == 0 {
            return None;
        }
        let is_over = |at: Nanos| planted::planted!("alert_told_again_at_once") || now.since(at) >= COOL_DOWN;
        let cooled = self.told.is_none_or(|told| is_over(told.at));
        let turned = self.level == Some(Severity::Critical)
            && before != Some(Severity::Critical)
            && self.critical_told_at.is_none_or(is_over);
        if !cooled && !turned {
            return None;
        }
        let line = self.line(now, before);
        self.told = Some(Told { at: now, level: self.level });
        self.raises = 0;
        if self.level == Some(Severity::Critical) {
            self.critical_told_at = Some(now);
        }
        Some(line)
    }

    fn line(&self, now: Nanos, before: Option<Severity>) -> Line {
        let span = self.told.map_or(Nanos::default(), |told| now.since(told.at));
        // Raised more often than is told by this.
        let came = match self.raises.saturating_sub(u64::from(before.is_none())) {
            0 => String::new(),
            1 => format!(" (came again within {})", spoken(span)),
            times => format!(" (came again {times} times within {})", spoken(span)),
        };
        let Self { what, remedy, .. } = self;
        match self.level {
            Some(severity) => {
                let word = match severity {
                    Severity::Warning => "WARNING",
                    Severity::Critical => "CRITICAL",
                };
                Line::new(severity, &format!("{word}: {what}{came}. {remedy}"))
            }
            None => {
                let lasted = spoken(self.ended_at.since(self.raised_at));
                // As bad as what it ends: while it waits, it gives way to nothing that this would not.
                let severity = before.unwrap_or(Severity::Warning);
                Line::new(severity, &format!("OVER: {what}{came}. It lasted {lasted}."))
            }
        }
    }

    /// Whether something may still be told of it, or not yet again.
    fn is_followed(&self, now: Nanos) -> bool {
        self.level.is_some()
            || self.shown > 0
            || self.raises > 0
            || self.told.is_some_and(|told| told.level.is_some() || now.since(told.at) < COOL_DOWN)
    }
}

/// A span as people say it.
fn spoken(span: Nanos) -> String {
    let seconds = span.as_micros() / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// All alerts. See the file's head.
#[derive(Debug, Default)]
pub struct Conditions {
    alerts: BTreeMap<(Kind, String), Alert>,
    not_followed: u64,
}

impl Conditions {
    /// Takes what a look shows, and gives what is to be told, the worst first.
    pub fn look(&mut self, now: Nanos, signs: &[Sign]) -> Vec<Line> {
        self.look_at(now, signs, true)
    }

    /// The same of a look that saw nothing else: what it does not show may hold all the same.
    pub fn look_at_some(&mut self, now: Nanos, signs: &[Sign]) -> Vec<Line> {
        self.look_at(now, signs, false)
    }

    /// What stands is told once more: lines about it may be lost.
    pub fn tell_again(&mut self) {
        for alert in self.alerts.values_mut().filter(|alert| alert.level.is_some()) {
            (alert.told, alert.critical_told_at) = (None, None);
        }
    }

    fn look_at(&mut self, now: Nanos, signs: &[Sign], saw_all: bool) -> Vec<Line> {
        let mut showing: BTreeMap<(Kind, &str), &Sign> = BTreeMap::new();
        for sign in signs {
            showing.insert((sign.kind, &sign.place), sign);
        }
        for (kind, place) in showing.keys() {
            let key = (*kind, (*place).to_owned());
            if self.alerts.len() < ALERTS_MAX || self.alerts.contains_key(&key) {
                self.alerts.entry(key).or_default();
            } else {
                self.not_followed += 1;
            }
        }
        let mut lines = Vec::new();
        for ((kind, place), alert) in &mut self.alerts {
            let shown = showing.get(&(*kind, place.as_str())).copied();
            if saw_all || shown.is_some() {
                alert.look(now, kind.patience(), shown);
                lines.extend(alert.telling(now).map(|line| line.about(format!("{kind:?} {place}"))));
            }
        }
        self.alerts.retain(|_, alert| alert.is_followed(now));
        lines.sort_by_key(|line| std::cmp::Reverse(line.severity()));
        lines
    }

    /// Alerts that stand, of this severity.
    #[must_use]
    pub fn standing(&self, severity: Severity) -> u64 {
        self.alerts.values().filter(|alert| alert.level == Some(severity)).count() as u64
    }

    /// Signs that were not followed, because there were too many.
    #[must_use]
    pub const fn not_followed(&self) -> u64 {
        self.not_followed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sign(kind: Kind, severity: Severity) -> Sign {
        Sign { kind, place: String::new(), severity, what: "it holds".to_owned(), remedy: "Do this." }
    }

    /// Looks once a second, from the second before on.
    struct Looks {
        conditions: Conditions,
        second: u64,
    }

    impl Looks {
        fn new() -> Self {
            Self { conditions: Conditions::default(), second: 1_000 }
        }

        /// Looks so many times with these signs; gives what was told, with the second since the beginning.
        fn look(&mut self, times: u64, signs: &[Sign]) -> Vec<(u64, String)> {
            let mut told = Vec::new();
            for _ in 0..times {
                let now = Nanos::from_millis(self.second * 1_000);
                let lines = self.conditions.look(now, signs);
                told.extend(lines.iter().map(|line| (self.second - 1_000, line.text().to_owned())));
                self.second += 1;
            }
            told
        }
    }

    const NOTHING: [(u64, String); 0] = [];

    fn told(at: u64, text: &str) -> Vec<(u64, String)> {
        vec![(at, text.to_owned())]
    }

    #[test]
    fn an_alert_is_raised_after_its_patience_and_cleared_after_another() {
        let mut looks = Looks::new();
        let clock = [sign(Kind::Clock, Severity::Warning)];
        assert_eq!(looks.look(29, &clock), NOTHING);
        assert_eq!(looks.look(1, &[]), NOTHING, "once without it, and it begins anew");
        assert_eq!(looks.look(29, &clock), NOTHING);
        assert_eq!(looks.look(1, &clock), told(59, "WARNING: it holds. Do this."));
        assert_eq!(looks.conditions.standing(Severity::Warning), 1);
        assert_eq!(looks.look(1_000, &clock), NOTHING, "told once");
        assert_eq!(looks.look(59, &[]), NOTHING);
        assert_eq!(looks.conditions.standing(Severity::Warning), 1);
        assert_eq!(looks.look(1, &[]), told(1_119, "OVER: it holds. It lasted 17 min."));
        assert_eq!(looks.look(1_000, &[]), NOTHING);
        assert!(looks.conditions.alerts.is_empty(), "and forgotten");
    }

    #[test]
    fn one_that_comes_and_goes_is_told_once_in_five_minutes_with_a_count() {
        let mut looks = Looks::new();
        let ban = [sign(Kind::Ban, Severity::Critical)];
        assert_eq!(looks.look(10, &ban), told(1, "CRITICAL: it holds. Do this."));
        let mut all = Vec::new();
        for _ in 0..14 {
            all.extend(looks.look(10, &[]));
            all.extend(looks.look(10, &ban));
        }
        assert_eq!(all, NOTHING, "nothing for 280 s");
        let again = "CRITICAL: it holds (came again 14 times within 5 min). Do this.";
        assert_eq!(looks.look(100, &ban), told(301, again));
        assert_eq!(looks.look(200, &[]), NOTHING, "its end waits as well: it may come again");
        assert_eq!(looks.look(100, &[]), told(601, "OVER: it holds. It lasted 118 s."));
        // Critical was told more than five minutes ago, so it is told at once; its end waits again.
        assert_eq!(looks.look(5, &ban), told(691, "CRITICAL: it holds. Do this."));
        assert_eq!(looks.look(500, &[]), told(991, "OVER: it holds. It lasted 13 s."));
    }

    #[test]
    fn a_warning_that_comes_after_its_end_was_told_waits() {
        let mut looks = Looks::new();
        let backlog = [sign(Kind::Backlog, Severity::Warning)];
        assert_eq!(looks.look(1, &backlog), told(0, "WARNING: it holds. Do this."));
        assert_eq!(looks.look(309, &[]), told(300, "OVER: it holds. It lasted 10 s."));
        assert_eq!(looks.look(5, &backlog), NOTHING);
        assert_eq!(looks.look(35, &[]), NOTHING);
        assert_eq!(looks.look(5, &backlog), NOTHING);
        let twice = "OVER: it holds (came again within 5 min). It lasted 14 s.";
        assert_eq!(looks.look(500, &[]), told(600, twice));
    }

    #[test]
    fn what_turns_critical_is_told_at_once_but_not_again_and_again() {
        let mut looks = Looks::new();
        let (warning, critical) =
            ([sign(Kind::Disk, Severity::Warning)], [sign(Kind::Disk, Severity::Critical)]);
        assert_eq!(looks.look(20, &warning), told(4, "WARNING: it holds. Do this."));
        assert_eq!(looks.look(20, &critical), told(24, "CRITICAL: it holds. Do this."));
        assert_eq!(looks.conditions.standing(Severity::Critical), 1);
        // A warning again, which waits for the cool-down.
        assert_eq!(looks.look(284, &warning), NOTHING);
        assert_eq!(looks.look(1, &warning), told(324, "WARNING: it holds. Do this."));
        // The other way it does not wait, for it was not called critical within five minutes.
        assert_eq!(looks.look(5, &critical), told(329, "CRITICAL: it holds. Do this."));
        assert_eq!(looks.look(70, &warning), NOTHING);
        assert_eq!(looks.look(70, &critical), NOTHING, "it was, this time, and is still called so");
    }

    #[test]
    fn the_worst_is_told_first_and_each_place_is_an_alert_of_its_own() {
        let mut looks = Looks::new();
        let at = |kind, severity, place: &str| Sign { place: place.to_owned(), ..sign(kind, severity) };
        let all = [
            at(Kind::Backlog, Severity::Warning, ""),
            at(Kind::LogFailed, Severity::Critical, ""),
            at(Kind::ClosesRefused, Severity::Critical, "a"),
            at(Kind::ClosesRefused, Severity::Critical, "b"),
        ];
        let told = looks.look(1, &all);
        assert_eq!(told.len(), 4);
        assert!(
            told[3].1.starts_with("WARNING") && told[..3].iter().all(|(_, text)| text.starts_with("CRIT"))
        );
    }

    #[test]
    fn no_more_alerts_are_followed_than_fit() {
        let mut looks = Looks::new();
        let sign = |n: usize| Sign { place: n.to_string(), ..sign(Kind::Ban, Severity::Critical) };
        let many: Vec<Sign> = (0..ALERTS_MAX + 3).map(sign).collect();
        assert_eq!(looks.look(2, &many).len(), ALERTS_MAX);
        assert_eq!(looks.conditions.not_followed(), 6, "three at each of two looks");
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        for (seconds, text) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h")]
        {
            assert_eq!(spoken(Nanos::from_millis(seconds * 1_000)), text);
        }
    }

    proptest! {
        /// Whatever shows: one alert is told no more often than it may be, and what was told last is how it stands, once the
        /// cool-down is over.
        #[test]
        fn an_alert_is_told_seldom_and_truly(
            runs in prop::collection::vec((0_u8..3, 1_u64..200), 1..80),
        ) {
            let mut looks = Looks::new();
            let mut told: Vec<(u64, String)> = Vec::new();
            for (shows, times) in runs {
                told.extend(match shows {
                    0 => looks.look(times, &[]),
                    1 => looks.look(times, &[sign(Kind::Disk, Severity::Warning)]),
                    _ => looks.look(times, &[sign(Kind::Disk, Severity::Critical)]),
                });
            }
            let word = |text: &str| text.split(':').next().map(str::to_owned);
            for (place, (at, text)) in told.iter().enumerate() {
                let Some((before, _)) = told[..place].last() else { continue };
                if at - before < 300 {
                    prop_assert!(text.starts_with("CRITICAL"), "{text} {}", at - before);
                    let critical = told[..place].iter().rfind(|(_, text)| text.starts_with("CRITICAL"));
                    prop_assert!(critical.is_none_or(|(earlier, _)| at - earlier >= 300), "{told:?}");
                }
            }
            let mut last = told.last().and_then(|(_, text)| word(text));
            // It holds on, or stays away.
            let critical = looks.conditions.standing(Severity::Critical) > 0;
            let signs: &[Sign] = if critical { &[sign(Kind::Disk, Severity::Critical)] } else { &[] };
            if let Some((_, text)) = looks.look(700, signs).last() {
                last = word(text);
            }
            let stands = if critical { Some("CRITICAL") } else { Some("OVER") };
            prop_assert!(last.as_deref() == stands || (last.is_none() && !critical), "{last:?} {stands:?}");
        }
    }
}
