//! What the server's gauges show at a look, as signs of what an operator should know.
//!
//! **Runs on**: the thread of the alerts, about once a second. **Owns**: what it takes to see that something grows, and the
//! thresholds that are passed. **Invariants**: every sign stands on a figure that was measured; one that was not measured yet
//! shows nothing. **Bounds**: a minute of CPU time, ten minutes of each address. **Never**: changes a gauge, asks a shard.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::core::ids::Timestamp;
use engine::seam::Nanos;
use exchange::live::pacing::circuit::CircuitReason;
use storage::history::Fault;

use super::conditions::{Kind, Sign};
use super::digest::Severity;
use crate::web::gauges::{Gauges, HistoryGauges, ShardGauges};
use crate::web::venues::standing::{Standing, standings};

/// Over which span CPU time is averaged.
const CPU_SPAN: Nanos = Nanos::from_millis(60_000);
/// Looks of that span that are kept: one a second and some more.
const CPU_LOOKS_MAX: usize = 64;
/// Within which span accounts that are suspended count as growing, in minutes.
const GROWTH_MINUTES: u64 = 10;
const MINUTE: u64 = 60_000_000_000;
/// How long after the start growth is not looked at: accounts are connected, and what is wrong with their keys found out.
const SETTLE: Nanos = Nanos::from_millis(300_000);
/// For so long after the last refusal a close counts as refused: it is tried again every hour at least (docs/rules.md).
const REFUSAL_SPAN: Nanos = Nanos::from_millis(75 * 60_000);

/// From which percentage on something holds, and below which it does not any more (DOMAIN.md, §5).
#[derive(Clone, Copy, Debug)]
struct Threshold {
    warning_from: u64,
    warning_until: u64,
    critical_from: u64,
    critical_until: u64,
}

const DISK: Threshold =
    Threshold { warning_from: 70, warning_until: 65, critical_from: 90, critical_until: 85 };
const CPU: Threshold =
    Threshold { warning_from: 70, warning_until: 60, critical_from: 90, critical_until: 80 };
const MEMORY: Threshold =
    Threshold { warning_from: 80, warning_until: 75, critical_from: 95, critical_until: 90 };

impl Threshold {
    fn level(self, before: Option<Severity>, percent: u64) -> Option<Severity> {
        let critical =
            if before == Some(Severity::Critical) { self.critical_until } else { self.critical_from };
        let warning = if before.is_some() { self.warning_until } else { self.warning_from };
        if percent >= critical {
            Some(Severity::Critical)
        } else {
            (percent >= warning).then_some(Severity::Warning)
        }
    }
}

/// What of the host the server may use; what is not known is not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// CPUs. `None` also where shards spin: they use up theirs whatever there is to do.
    pub cpus: Option<NonZeroU64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<NonZeroU64>,
}

/// Fewest suspended accounts of each of the last minutes.
#[derive(Debug, Default)]
struct Fewest(VecDeque<(u64, u64)>);

impl Fewest {
    /// Takes a number, and gives the smallest of the span.
    fn take(&mut self, now: Nanos, number: u64) -> u64 {
        let minute = now.0 / MINUTE;
        while self.0.front().is_some_and(|(at, _)| at + GROWTH_MINUTES < minute) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some((at, fewest)) if *at == minute => *fewest = number.min(*fewest),
            _ => self.0.push_back((minute, number)),
        }
        self.0.iter().map(|(_, fewest)| *fewest).min().unwrap_or(number)
    }
}

/// Looks at the gauges. See the file's head.
#[derive(Debug, Default)]
pub struct Observer {
    machine: Machine,
    began: Option<Nanos>,
    disk: Option<Severity>,
    cpu: Option<Severity>,
    memory: Option<Severity>,
    cpu_looks: VecDeque<(Nanos, u64)>,
    closes_refused: Option<u64>,
    closes_refused_at: Option<Nanos>,
    suspended: BTreeMap<String, Fewest>,
}

fn read(gauge: &AtomicU64) -> u64 {
    gauge.load(Ordering::Relaxed)
}

/// The shards of which something holds, in words: `shard 3`, `shards 0, 2`.
fn shards_with(shards: &[ShardGauges], flag: fn(&ShardGauges) -> &AtomicBool) -> Option<String> {
    let holds = |(_, gauges): &(usize, &ShardGauges)| flag(gauges).load(Ordering::Relaxed);
    let numbers: Vec<String> =
        shards.iter().enumerate().filter(holds).map(|(shard, _)| shard.to_string()).collect();
    match numbers.as_slice() {
        [] => None,
        [one] => Some(format!("shard {one}")),
        several => Some(format!("shards {}", several.join(", "))),
    }
}

fn sign(kind: Kind, severity: Severity, what: String, remedy: &'static str) -> Sign {
    Sign { kind, place: String::new(), severity, what, remedy }
}

/// A time as people and programs read it, to the second.
fn time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.millis() / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "no end that is known".to_owned(), |at| at.to_string())
}

/// That logs have failed: what a server says last.
#[must_use]
pub fn failed_logs(gauges: &Gauges) -> Option<Sign> {
    let shards = shards_with(&gauges.shards, |gauges| &gauges.failed)?;
    Some(sign(
        Kind::LogFailed,
        Severity::Critical,
        format!("the log of {shards} has failed, and the server ends"),
        "Nothing acknowledged is lost: a restart recovers it. The journal has the reason; look whether the disk is dying \
         (dmesg) and whether it is full.",
    ))
}

impl Observer {
    /// One that has looked at nothing yet.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self { machine, ..Self::default() }
    }

    /// What shows now.
    pub fn look(&mut self, now: Nanos, gauges: &Gauges) -> Vec<Sign> {
        let began = *self.began.get_or_insert(now);
        let mut signs: Vec<Sign> = failed_logs(gauges).into_iter().collect();
        if let Some(shards) = shards_with(&gauges.shards, |gauges| &gauges.no_space) {
            signs.push(sign(
                Kind::NoSpace,
                Severity::Critical,
                format!("the disk of the data directory is full: the log of {shards} cannot go on"),
                "Make room outside of the data directory, or grow the volume; nothing acknowledged is lost.",
            ));
        }
        let stalled = read(&gauges.process.stalled_shards);
        if stalled > 0 {
            signs.push(sign(
                Kind::NoTurns,
                Severity::Critical,
                format!("{stalled} of {} shards take no turns", gauges.shards.len()),
                "Run `coinbitclub tune --check`: look at steal_time, cpu_quota and data_flush. If it lasts, save the \
                 journal and restart.",
            ));
        }
        signs.extend(self.closes_refused(now, gauges));
        signs.extend(gauges.history.iter().flat_map(history));
        signs.extend(self.resources(now, gauges));
        let standings = standings(&gauges.shards);
        signs.extend(standings.iter().flat_map(circuit));
        signs.extend(standings.iter().filter_map(clock));
        self.suspended.retain(|place, _| standings.iter().any(|standing| standing.place == *place));
        signs.extend(standings.iter().filter_map(|standing| self.suspended(now, began, standing)));
        signs
    }

    fn closes_refused(&mut self, now: Nanos, gauges: &Gauges) -> Option<Sign> {
        let count: u64 = gauges.shards.iter().map(|shard| read(&shard.closes_refused_long)).sum();
        if self.closes_refused.replace(count).is_some_and(|before| count > before) {
            self.closes_refused_at = Some(now);
        }
        self.closes_refused_at.filter(|at| now.since(*at) < REFUSAL_SPAN).map(|_| {
            sign(
                Kind::ClosesRefused,
                Severity::Critical,
                "a venue has refused to close a position for more than an hour".to_owned(),
                "Trading in the symbol is halted or the key is dead, and the position may have no stop. Look for \
                 refused closes in the journal; mend the key, or close it at the exchange by hand.",
            )
        })
    }

    fn resources(&mut self, now: Nanos, gauges: &Gauges) -> Vec<Sign> {
        let process = &gauges.process;
        let (free, all) = (read(&process.disk_free_bytes), read(&process.disk_bytes));
        let disk = (all > 0).then(|| (all - free.min(all)).saturating_mul(100) / all);
        self.disk = disk.and_then(|percent| DISK.level(self.disk, percent));
        let memory =
            self.machine.memory_bytes.map(|all| read(&process.resident_bytes).saturating_mul(100) / all);
        self.memory = memory.and_then(|percent| MEMORY.level(self.memory, percent));
        let cpu = self.cpu_percent(now, read(&process.cpu_micros));
        self.cpu = cpu.and_then(|percent| CPU.level(self.cpu, percent));
        let of = |kind, level: Option<Severity>, percent: Option<u64>, what: &str, remedy| {
            let (severity, percent) = level.zip(percent)?;
            Some(sign(kind, severity, format!("{percent} % of {what}"), remedy))
        };
        let signs = [
            of(
                Kind::Disk,
                self.disk,
                disk,
                "the disk of the data directory is used",
                "Make room outside of the data directory, or grow the volume, before it is full.",
            ),
            of(
                Kind::Memory,
                self.memory,
                memory,
                "this machine's memory is used by the server",
                "Look which users and histories grew; give it more memory before the kernel ends it.",
            ),
            of(
                Kind::Cpu,
                self.cpu,
                cpu,
                "the CPU time of its CPUs is used by the server, over a minute",
                "Look at the latencies of the stages, and give it more CPUs.",
            ),
        ];
        signs.into_iter().flatten().collect()
    }

    /// The share of the CPUs that was used in the last minute; `None` before a minute is over.
    fn cpu_percent(&mut self, now: Nanos, micros: u64) -> Option<u64> {
        let cpus = self.machine.cpus.filter(|_| micros > 0)?;
        while self.cpu_looks.len() >= CPU_LOOKS_MAX
            || self.cpu_looks.get(1).is_some_and(|(at, _)| now.since(*at) >= CPU_SPAN)
        {
            self.cpu_looks.pop_front();
        }
        self.cpu_looks.push_back((now, micros));
        let (since, before) = *self.cpu_looks.front()?;
        let span = now.since(since);
        let had = span.as_micros().saturating_mul(cpus.get());
        (span >= CPU_SPAN).then(|| micros.saturating_sub(before).saturating_mul(100) / had.max(1))
    }

    /// Whether so many accounts of an address stopped that it is not their users alone.
    fn suspended(&mut self, now: Nanos, began: Nanos, standing: &Standing) -> Option<Sign> {
        let Standing { place, accounts, suspended, .. } = standing;
        let most = *suspended >= 3 && suspended.saturating_mul(2) >= *accounts;
        let fewest = if now.since(began) < SETTLE {
            *suspended
        } else {
            self.suspended.entry(place.clone()).or_default().take(now, *suspended)
        };
        // One in a hundred, and one at least.
        let grows = suspended - fewest > 0 && suspended - fewest >= accounts / 100;
        (most || grows).then(|| Sign {
            place: place.clone(),
            ..sign(
                Kind::Suspended,
                if most { Severity::Critical } else { Severity::Warning },
                format!(
                    "{place}: more accounts than before open nothing until their users act: {suspended} of {accounts}"
                ),
                "The journal names the faults. Many at once with address_not_allowed mean that this host's address has \
                 changed.",
            )
        })
    }
}

fn history(history: &HistoryGauges) -> Vec<Sign> {
    let mut signs = Vec::new();
    if history.opens_stopped.load(Ordering::Relaxed) {
        signs.push(sign(
            Kind::OpensStopped,
            Severity::Critical,
            "opens are stopped: logs that wait for the database fill the disk".to_owned(),
            "Bring the database back, or make room. Closes go on.",
        ));
    }
    if history.disk_alarm.load(Ordering::Relaxed) {
        signs.push(sign(
            Kind::Backlog,
            Severity::Warning,
            "logs that wait for the database begin to fill the disk".to_owned(),
            "Bring the database back, or make room: opens will be stopped when it is nearly full.",
        ));
    }
    let faults = history.shards.iter().filter_map(|progress| progress.report().fault).map(Fault::as_str);
    if let Some(fault) = faults.min() {
        signs.push(sign(
            Kind::HistoryFails,
            Severity::Warning,
            format!("the database of the history fails: {fault}"),
            "The logs keep everything; the journal has the reason. docs/history.md says what each word means.",
        ));
    }
    signs
}

fn circuit(standing: &Standing) -> Option<Sign> {
    let trouble = standing.trouble?;
    let (word, remedy) = match trouble.reason {
        CircuitReason::Banned => (
            "is banned",
            "Find out what else asks from this address, and stop it. Do not restart: a new process would ask at once, \
             which makes the ban longer. Stops at the exchange protect meanwhile; closes wait and go first.",
        ),
        CircuitReason::Limited => (
            "has used up its limit of requests",
            "It ends by itself. If it comes back, spread the accounts over more --egress addresses, and look who else \
             uses this one.",
        ),
        CircuitReason::Unreachable => (
            "cannot reach the exchange",
            "Look at routes, DNS, the firewall and the exchange's status page. Do not restart.",
        ),
        CircuitReason::Unknown => (
            "gets no answers",
            "Look at the exchange's status page. Orders that are unknown are asked about when it answers. Do not restart.",
        ),
    };
    let is_ban = trouble.reason == CircuitReason::Banned;
    let until = trouble.until.map_or(String::new(), |until| format!(" until {}", time(until)));
    Some(Sign {
        place: standing.place.clone(),
        ..sign(
            if is_ban { Kind::Ban } else { Kind::Circuit },
            if is_ban { Severity::Critical } else { Severity::Warning },
            format!("{} {word}{until}", standing.place),
            remedy,
        )
    })
}

fn clock(standing: &Standing) -> Option<Sign> {
    standing.clock_alarm.then(|| Sign {
        place: standing.place.clone(),
        ..sign(
            Kind::Clock,
            Severity::Warning,
            format!(
                "this host's clock is {} ms off by the clock of {}",
                standing.clock_off_micros / 1_000,
                standing.place
            ),
            "Set the clock and look after its time service; orders are signed with the exchange's time all the same.",
        )
    })
}

#[cfg(test)]
mod tests;
