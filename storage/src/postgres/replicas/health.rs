//! Whether a replica may be read from: that it is one, of our primary, there, and not too far behind.
//!
//! **Runs on**: the housekeeping thread, in the future that [`super::Readers::watch`] makes.
//! **Owns**: what is known of each replica, and the primary's positions of the last while.
//! **Invariants**: lag is measured by the primary's own positions on this machine's monotonic clock, so that neither a
//! quiet primary nor a replica that hears nothing of it is misjudged.
//! **Bounds**: one connection each for watching; [`SAMPLES_MAX`] positions; every question ends after a second or two.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::super::connect::{ConnectError, Role, connect};
use super::super::target::chain;
use super::pool::Session;
use super::{Inner, Source, Token};

/// What a new connection of the watch may take; it is not on the path of a read.
const CHECK_MAX: Duration = Duration::from_secs(2);
/// How soon a replica that is behind is looked at again.
const BEHIND_RECHECK: Duration = Duration::from_secs(1);
/// How soon a replica is looked at again of which nobody can say yet how far behind it is.
const UNKNOWN_RECHECK: Duration = Duration::from_millis(250);
/// While no position of the primary is as old as the allowed lag (at the start, and after a fail-over), its oldest one is what
/// replicas must show, once it is so old: a replica that streams is behind by far less, one that is paused shows itself at once.
const FLOOR_AGE_MIN: Duration = Duration::from_millis(500);
/// How many positions of the primary make up the allowed lag.
const SAMPLES_PER_LAG: u32 = 32;
/// The positions within the allowed lag, one older, and one for a timer that is early.
const SAMPLES_MAX: usize = SAMPLES_PER_LAG as usize + 2;
/// The primary is asked no more often than this, however small the allowed lag.
const SAMPLE_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// What is known of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaState {
    /// Not looked at yet, or the primary has not been seen for long enough to say whose replica it is and how far behind.
    /// Not read from.
    Unknown,
    /// Read from.
    Healthy,
    /// Further behind than allowed, by so many bytes of the primary's log.
    Behind {
        /// The bytes that it lacks of what the primary had written before the allowed lag.
        bytes: u64,
    },
    /// No connection, or no answer in time.
    Unreachable(String),
    /// Not a replica, or not of our primary.
    Refused(String),
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => formatter.write_str("unknown until the primary has been seen for a while"),
            Self::Healthy => formatter.write_str("healthy"),
            Self::Behind { bytes } => write!(formatter, "behind by {bytes} bytes more than allowed"),
            Self::Unreachable(why) => write!(formatter, "unreachable: {why}"),
            Self::Refused(why) => write!(formatter, "refused: {why}"),
        }
    }
}

/// The primary's positions, from old to new.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<(Instant, i64)>);

impl Samples {
    /// Adds a position. A lower one is that of a promoted replica, from which another history begins.
    pub(super) fn add(&mut self, now: Instant, position: i64, lag_max: Duration) {
        if self.0.back().is_some_and(|&(_, last)| position < last) {
            self.0.clear();
        }
        self.0.push_back((now, position));
        while self.0.len() > SAMPLES_MAX || self.0.get(1).is_some_and(|&(at, _)| now - at >= lag_max) {
            self.0.pop_front();
        }
    }

    /// What a replica must show: all that the primary had written when the allowed lag began, or the oldest that is known of a
    /// primary that has not been seen for so long. `None` while nobody can say.
    pub(super) fn floor(&self, now: Instant, lag_max: Duration) -> Option<i64> {
        let before = |age: Duration| move |&&(at, _): &&(Instant, i64)| now - at >= age;
        let begun = self.0.iter().rev().find(before(lag_max));
        let oldest = || self.0.front().filter(before(FLOOR_AGE_MIN.min(lag_max)));
        begun.or_else(oldest).map(|&(_, position)| position)
    }
}

/// What a server shows at this moment.
pub(super) struct Shown {
    pub(super) in_recovery: bool,
    /// The position in PostgreSQL's own log that it shows, in bytes.
    pub(super) position: i64,
    /// Whether it shows the token's position of the shard's log.
    pub(super) covers: bool,
}

const SHOWN: &str = "pg_is_in_recovery(), (case when pg_is_in_recovery() \
     then coalesce(pg_last_wal_replay_lsn(), '0/0') else pg_current_wal_lsn() end - '0/0'::pg_lsn)::bigint";

/// Asks a server, in one round trip. Before the schema is there nothing is covered.
pub(super) async fn shown(session: &Session, token: Option<Token>) -> Result<Shown, tokio_postgres::Error> {
    let Some(token) = token else {
        let row = session.query(&format!("select {SHOWN}"), &[]).await?;
        return Ok(Shown { in_recovery: row[0].get(0), position: row[0].get(1), covers: true });
    };
    let sql = format!(
        "select {SHOWN}, exists (select from coinbitclub.projector_progress \
         where generation = $1 and shard = $2 and lsn >= $3)"
    );
    // Positions beyond the column's range are nowhere to be found, which is the right answer.
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let (generation, lsn) = (number(token.generation.0.into()), number(token.lsn.0));
    let shard = i32::from(token.shard.0);
    match session.query(&sql, &[&generation, &shard, &lsn]).await {
        Ok(row) => Ok(Shown { in_recovery: row[0].get(0), position: row[0].get(1), covers: row[0].get(2) }),
        Err(error)
            if matches!(error.code(), Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME)) =>
        {
            Ok(Shown { in_recovery: true, position: i64::MAX, covers: false })
        }
        Err(error) => Err(error),
    }
}

impl Inner {
    /// Looks after the primary for ever: its identity, its position, whether it answers.
    pub(super) async fn watch_primary(&self) {
        let interval = (self.options.lag_max / SAMPLES_PER_LAG).max(SAMPLE_INTERVAL_MIN);
        let mut session = None;
        loop {
            let outcome = tokio::time::timeout(CHECK_MAX, self.sample(&mut session)).await;
            let fault = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(what)) => Some(what),
                Err(_) => Some(format!("no answer within {CHECK_MAX:?}")),
            };
            if fault.is_some() {
                session = None;
            }
            self.set_primary(fault);
            let _either = tokio::time::timeout(interval, self.primary_failed.notified()).await;
        }
    }

    async fn sample(&self, kept: &mut Option<Session>) -> Result<(), String> {
        let session = match kept.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => {
                let target = &self.primary.target;
                let connected =
                    connect(target, Role::Primary, CHECK_MAX).await.map_err(|error| error.to_string())?;
                self.identify(connected.system_identifier())?;
                Session::new(connected)
            }
        };
        let shown = shown(&session, None).await.map_err(|error| chain(&error))?;
        if shown.in_recovery {
            return Err("is no primary any more".to_owned());
        }
        self.samples.borrow_mut().add(Instant::now(), shown.position, self.options.lag_max);
        *kept = Some(session);
        Ok(())
    }

    /// Takes the primary's identity, once and for all.
    fn identify(&self, identifier: i64) -> Result<(), String> {
        match self.identifier.get() {
            Some(known) if known == identifier => Ok(()),
            Some(known) => Err(format!("the primary's cluster is {identifier}, and was {known}")),
            None => {
                self.identifier.set(Some(identifier));
                for replica in &self.replicas {
                    replica.failed.notify_one();
                }
                Ok(())
            }
        }
    }

    /// Looks after one replica for ever.
    pub(super) async fn watch_replica(&self, index: usize) {
        loop {
            let state = tokio::time::timeout(CHECK_MAX, self.judge(index))
                .await
                .unwrap_or_else(|_| ReplicaState::Unreachable(format!("no answer within {CHECK_MAX:?}")));
            let pause = match state {
                ReplicaState::Behind { .. } => BEHIND_RECHECK.min(self.options.health_interval),
                ReplicaState::Unknown => UNKNOWN_RECHECK.min(self.options.health_interval),
                _ => self.options.health_interval,
            };
            self.set_replica(index, state);
            let _either = tokio::time::timeout(pause, self.replicas[index].failed.notified()).await;
        }
    }

    /// Connects anew, because only that shows that others can.
    async fn judge(&self, index: usize) -> ReplicaState {
        let Some(identifier) = self.identifier.get() else { return ReplicaState::Unknown };
        let pool = &self.replicas[index].pool;
        let connected = match connect(&pool.target, Role::Any, CHECK_MAX).await {
            Ok(connected) => connected,
            Err(ConnectError { tried, .. }) => {
                let faults: Vec<_> = tried.iter().map(|(place, fault)| format!("{place}: {fault}")).collect();
                return ReplicaState::Unreachable(faults.join("; "));
            }
        };
        if !connected.in_recovery() {
            return ReplicaState::Refused(format!("{} is a primary, not a replica", connected.place()));
        }
        if connected.system_identifier() != identifier {
            return ReplicaState::Refused(format!(
                "{} is a replica of another cluster ({}, our primary's is {identifier})",
                connected.place(),
                connected.system_identifier()
            ));
        }
        let session = Session::new(connected);
        match shown(&session, None).await {
            Ok(shown) => {
                let state = self.fitness(&shown);
                if state == ReplicaState::Healthy {
                    pool.keep(session);
                }
                state
            }
            Err(error) => ReplicaState::Unreachable(chain(&error)),
        }
    }

    /// What an answer says of the replica that gave it.
    pub(super) fn fitness(&self, shown: &Shown) -> ReplicaState {
        let floor = self.samples.borrow().floor(Instant::now(), self.options.lag_max);
        if !shown.in_recovery {
            return ReplicaState::Refused("it was promoted to a primary".to_owned());
        }
        let Some(floor) = floor else {
            let read = planted::planted!("replica_of_unknown_lag_is_read");
            return if read { ReplicaState::Healthy } else { ReplicaState::Unknown };
        };
        match u64::try_from(floor.saturating_sub(shown.position)) {
            Ok(bytes) if bytes > 0 => ReplicaState::Behind { bytes },
            _ => ReplicaState::Healthy,
        }
    }

    pub(super) fn set_replica(&self, index: usize, state: ReplicaState) {
        let replica = &self.replicas[index];
        if matches!(state, ReplicaState::Unreachable(_) | ReplicaState::Refused(_)) {
            replica.pool.clear();
        }
        let before = replica.state.replace(state.clone());
        if std::mem::discriminant(&before) != std::mem::discriminant(&state) {
            let source = Source::Replica(index + 1);
            match state {
                ReplicaState::Healthy => tracing::info!(%source, "reads go to this replica"),
                _ => tracing::warn!(%source, %state, "reads do not go to this replica"),
            }
        }
    }

    pub(super) fn set_primary(&self, fault: Option<String>) {
        if fault.is_some() {
            self.primary.clear();
        }
        let before = self.primary_fault.replace(fault.clone());
        match fault {
            None if before.is_some() => tracing::info!("reads may go to the primary"),
            Some(fault) if before.is_none() => tracing::warn!(fault, "reads cannot go to the primary"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_secs(10);

    #[test]
    fn a_replica_must_show_what_was_written_before_the_allowed_lag() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut samples = Samples::default();
        assert_eq!(samples.floor(at(0), LAG), None, "nobody can say");
        for second in 0..=30 {
            samples.add(at(second), 1_000 + i64::try_from(second).unwrap(), LAG);
        }
        assert_eq!(samples.floor(at(30), LAG), Some(1_020));
        assert_eq!(
            samples.floor(at(35), LAG),
            Some(1_025),
            "a primary that is away is asked no more than it said"
        );
        assert_eq!(samples.0.len(), 11, "one older than the lag is kept");
        for nanos in 0..1_000 {
            samples.add(at(42) + Duration::from_nanos(nanos), 1_040, LAG);
        }
        assert!(samples.0.len() <= SAMPLES_MAX);
    }

    #[test]
    fn before_the_allowed_lag_has_passed_the_oldest_position_counts_and_none_is_no_leave() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut samples = Samples::default();
        for (millis, position) in [(0, 1_000), (300, 1_010), (600, 1_020)] {
            samples.add(after(millis), position, LAG);
        }
        assert_eq!(samples.floor(after(499), LAG), None, "too young to ask for");
        assert_eq!(samples.floor(after(500), LAG), Some(1_000), "what a paused replica lacks");
        assert_eq!(samples.floor(after(9_999), LAG), Some(1_000), "no more is asked as time goes on");
        assert_eq!(samples.floor(after(10_000), LAG), Some(1_000));
        assert_eq!(samples.floor(after(10_300), LAG), Some(1_010));
        // A promoted replica that had less: another history, of which nothing is known yet.
        samples.add(after(11_000), 7, LAG);
        assert_eq!(samples.floor(after(11_000), LAG), None);
        assert_eq!(samples.floor(after(11_500), LAG), Some(7));
        // Where less lag is allowed than that age, it is not waited for.
        assert_eq!(samples.floor(after(11_100), Duration::from_millis(100)), Some(7));
    }
}
