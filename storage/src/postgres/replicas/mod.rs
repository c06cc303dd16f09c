//! Reading history from replicas, and from the primary when they cannot answer and it can bear it.
//!
//! **Runs on**: the housekeeping thread's tokio runtime. The future of [`Readers::watch`] must run beside the reads.
//! **Owns**: a pool of connections for each server.
//! **Invariants**:
//! - A read that presents a [`Token`] is answered from a state that contains what the token stands for: the server's
//!   progress is asked on the connection that then answers, and what a connection shows never goes back.
//! - A replica that shows less than the primary had written [`ReadersOptions::lag_max`] ago, is a primary itself, or
//!   belongs to another cluster, answers nothing; nor does any before the primary was seen for half a second, at the start
//!   and after a fail-over, because nobody can say then how far behind it is.
//! - The primary answers at most [`ReadersOptions::primary_reads_max`] reads at a time.
//!
//! **Bounds**: [`COVER_WAIT_MAX`] for a replica to catch up, [`ReadersOptions::gate_max`] for a server to say where it is,
//! [`PRIMARY_WAIT_MAX`] for the primary's budget; the statement itself has the server's timeout.
//! **Never**: retries a statement that the server has found wrong or too slow.

mod health;
mod pool;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;

pub use health::ReplicaState;
use health::{Samples, Shown, shown};
pub use pool::{STATEMENTS_MAX, Session};

use super::connect::Role;
use super::target::{SessionSettings, SynchronousCommit, Target, chain};
use crate::{Generation, Lsn, ShardNumber};
use pool::Pool;

/// How long a read waits for a replica to show its token before it asks the primary.
pub const COVER_WAIT_MAX: Duration = Duration::from_millis(200);
/// How often it looks in that time.
const COVER_POLL: Duration = Duration::from_millis(10);
/// A server that does not say where it is within this time is gone, unless the options say otherwise. Three of these,
/// for two replicas and the primary, are less than a second.
pub const GATE_MAX: Duration = Duration::from_millis(250);
const _: () = assert!(3 * GATE_MAX.as_millis() < 1_000, "reads go elsewhere within a second");
/// How long a read waits for its turn at the primary.
pub const PRIMARY_WAIT_MAX: Duration = Duration::from_millis(100);
/// Reads that one replica answers at a time. A backend uses a core, and replicas have a few.
pub const REPLICA_READS_MAX: usize = 8;
/// What the network may add to the server's own limit of a statement.
const ANSWER_MARGIN: Duration = Duration::from_millis(250);

/// A position in a shard's log, as answers to writes carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The set of shards.
    pub generation: Generation,
    /// The shard.
    pub shard: ShardNumber,
    /// What the write has reached: a server whose progress is here or beyond shows it.
    pub lsn: Lsn,
}

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A replica, from one in the order of the options.
    Replica(usize),
    /// The primary.
    Primary,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(number) => write!(formatter, "replica-{number}"),
            Self::Primary => formatter.write_str("primary"),
        }
    }
}

/// Where to read, and within what limits.
#[derive(Debug, Clone)]
pub struct ReadersOptions {
    /// The primary, with the hosts that may become it.
    pub primary: Target,
    /// The replicas, each a host.
    pub replicas: Vec<Target>,
    /// The cluster's identifier, when it is known from before; otherwise the first primary that is seen says it.
    pub system_identifier: Option<i64>,
    /// How far behind a replica may be, by time.
    pub lag_max: Duration,
    /// How often each replica is looked at when nothing happens.
    pub health_interval: Duration,
    /// The server's limit of a statement.
    pub statement_timeout: Duration,
    /// How long a server may take to say where it is, with a new connection when none is idle.
    pub gate_max: Duration,
    /// How many reads the primary answers at a time.
    pub primary_reads_max: usize,
}

impl ReadersOptions {
    /// The usual limits.
    pub fn new(primary: Target, replicas: Vec<Target>) -> Self {
        Self {
            primary,
            replicas,
            system_identifier: None,
            lag_max: Duration::from_secs(10),
            health_interval: Duration::from_secs(15),
            statement_timeout: Duration::from_secs(5),
            gate_max: GATE_MAX,
            primary_reads_max: 4,
        }
    }
}

/// Why a read has no answer from PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No server shows the token's position yet: memory has it.
    #[error("no server of PostgreSQL shows this position yet")]
    Behind,
    /// The primary answers as many reads as it may, and no replica can: memory has the recent part.
    #[error("no replica can answer, and the primary answers all the reads that it may")]
    Busy,
    /// No server answers: memory has the recent part.
    #[error("no server of PostgreSQL answers: {0}")]
    Unavailable(String),
    /// The server has refused or ended the statement; another would do the same.
    #[error("{}", chain(.0))]
    Query(#[source] tokio_postgres::Error),
}

/// Reads history. Clones share everything.
#[derive(Debug, Clone)]
pub struct Readers(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    options: ReadersOptions,
    primary: Pool,
    /// Why the primary cannot be read from.
    primary_fault: RefCell<Option<String>>,
    primary_failed: Notify,
    replicas: Vec<Replica>,
    identifier: Cell<Option<i64>>,
    samples: RefCell<Samples>,
    /// Spreads reads over replicas that are equally busy.
    turn: Cell<usize>,
}

#[derive(Debug)]
struct Replica {
    pool: Pool,
    state: RefCell<ReplicaState>,
    failed: Notify,
    asked: Cell<u64>,
}

/// How a server took a read.
enum Attempt<T> {
    Answered(T),
    /// The server is well and does not show the token yet, or answers all the reads that it may.
    NotYet,
    /// The server cannot answer this: another may.
    Failed(String),
    /// No server would answer this.
    Wrong(tokio_postgres::Error),
}

/// What went wrong between the question and its answer.
enum Fault {
    /// The server is gone.
    Gone(String),
    /// The server is well; what it was doing stood in the way.
    Conflict(String),
    /// The statement is at fault.
    Statement(tokio_postgres::Error),
}

impl Readers {
    /// Readers that have not looked at any server yet.
    pub fn new(mut options: ReadersOptions) -> Self {
        let settings = SessionSettings {
            statement_timeout: options.statement_timeout,
            idle_in_transaction_timeout: options.statement_timeout,
            synchronous_commit: SynchronousCommit::Off,
            read_only: true,
        };
        let replicas = std::mem::take(&mut options.replicas)
            .into_iter()
            .map(|target| Replica {
                pool: Pool::new(target.with_settings(settings.clone()), Role::Replica, REPLICA_READS_MAX),
                state: RefCell::new(ReplicaState::Unknown),
                failed: Notify::new(),
                asked: Cell::new(0),
            })
            .collect();
        let target = options.primary.clone().with_settings(settings);
        Self(Rc::new(Inner {
            primary: Pool::new(target, Role::Primary, options.primary_reads_max),
            primary_fault: RefCell::new(Some("it has not been looked at yet".to_owned())),
            primary_failed: Notify::new(),
            replicas,
            identifier: Cell::new(options.system_identifier),
            samples: RefCell::default(),
            turn: Cell::new(0),
            options,
        }))
    }

    /// Looks after the servers for as long as it is polled.
    pub async fn watch(&self) {
        let inner = &*self.0;
        let mut all: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + '_>>> =
            vec![Box::pin(inner.watch_primary())];
        for index in 0..inner.replicas.len() {
            all.push(Box::pin(inner.watch_replica(index)));
        }
        // Each is woken by few things, and looking at all of them is cheaper than telling whose it was.
        std::future::poll_fn(|context| {
            for future in &mut all {
                assert!(future.as_mut().poll(context).is_pending(), "they watch for ever");
            }
            std::task::Poll::<()>::Pending
        })
        .await;
    }

    /// What is known of each replica, in the order of the options.
    pub fn states(&self) -> Vec<ReplicaState> {
        self.0.replicas.iter().map(|replica| replica.state.borrow().clone()).collect()
    }

    /// How many reads each replica was asked, whether or not it answered, in the order of the options.
    pub fn asked(&self) -> Vec<u64> {
        self.0.replicas.iter().map(|replica| replica.asked.get()).collect()
    }

    /// Why reads cannot go to the primary; `None` when they can.
    pub fn primary_fault(&self) -> Option<String> {
        self.0.primary_fault.borrow().clone()
    }

    /// The cluster's identifier, once it is known.
    pub fn system_identifier(&self) -> Option<i64> {
        self.0.identifier.get()
    }

    /// Runs `query` on a replica that covers the token, else on the primary when that does. It may be run again on
    /// another server when one fails in the middle.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read<T>(
        &self,
        token: Option<Token>,
        query: impl AsyncFn(&Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<(T, Source), ReadError> {
        let inner = &*self.0;
        let end = Instant::now() + COVER_WAIT_MAX;
        let mut faults = Vec::new();
        loop {
            let mut waits = false;
            for index in inner.order() {
                match inner.try_replica(index, token, &query).await {
                    Attempt::Answered(answer) => return Ok((answer, Source::Replica(index + 1))),
                    Attempt::Wrong(error) => return Err(ReadError::Query(error)),
                    Attempt::Failed(fault) => faults.push(format!("{}: {fault}", Source::Replica(index + 1))),
                    Attempt::NotYet => waits = true,
                }
            }
            if !waits || Instant::now() >= end {
                return inner.try_primary(token, &query, waits, faults).await;
            }
            tokio::time::sleep(COVER_POLL).await;
        }
    }
}

impl Inner {
    /// The healthy replicas, the least busy first, and those that are equally busy in turn.
    fn order(&self) -> Vec<usize> {
        let (count, turn) = (self.replicas.len(), self.turn.get());
        self.turn.set(turn.wrapping_add(1));
        let healthy = |index: &usize| *self.replicas[*index].state.borrow() == ReplicaState::Healthy;
        let mut order: Vec<usize> =
            (0..count).map(|step| (turn % count + step) % count).filter(healthy).collect();
        order.sort_by_key(|&index| self.replicas[index].pool.used());
        order
    }

    async fn try_replica<T>(
        &self,
        index: usize,
        token: Option<Token>,
        query: &impl AsyncFn(&Session) -> Result<T, tokio_postgres::Error>,
    ) -> Attempt<T> {
        let pool = &self.replicas[index].pool;
        let Some(identifier) = self.identifier.get() else { return Attempt::Failed("unknown".to_owned()) };
        let Some(_permit) = pool.permit(Duration::ZERO).await else { return Attempt::NotYet };
        self.replicas[index].asked.set(self.replicas[index].asked.get() + 1);
        let gone = |fault: String| {
            self.set_replica(index, ReplicaState::Unreachable(fault.clone()));
            self.replicas[index].failed.notify_one();
            Attempt::Failed(fault)
        };
        let (session, shown) = match self.gate(pool, identifier, token).await {
            Ok(both) => both,
            Err(fault) => return gone(fault),
        };
        let state = self.fitness(&shown);
        if state != ReplicaState::Healthy {
            let words = state.to_string();
            self.set_replica(index, state);
            self.replicas[index].failed.notify_one();
            return Attempt::Failed(words);
        }
        if !shown.covers {
            pool.keep(session);
            return Attempt::NotYet;
        }
        match self.ask(pool, session, query).await {
            Ok(answer) => Attempt::Answered(answer),
            Err(Fault::Gone(fault)) => gone(fault),
            Err(Fault::Conflict(fault)) => Attempt::Failed(fault),
            Err(Fault::Statement(error)) => Attempt::Wrong(error),
        }
    }

    async fn try_primary<T>(
        &self,
        token: Option<Token>,
        query: &impl AsyncFn(&Session) -> Result<T, tokio_postgres::Error>,
        replicas_are_well: bool,
        mut faults: Vec<String>,
    ) -> Result<(T, Source), ReadError> {
        let unavailable = |mut faults: Vec<String>, fault: String| {
            faults.push(format!("primary: {fault}"));
            // A replica that answers and does not cover is no outage.
            if replicas_are_well { ReadError::Behind } else { ReadError::Unavailable(faults.join("; ")) }
        };
        let known = self.primary_fault.borrow().clone();
        let (None, Some(identifier)) = (&known, self.identifier.get()) else {
            return Err(unavailable(faults, known.unwrap_or_default()));
        };
        let Some(_permit) = self.primary.permit(PRIMARY_WAIT_MAX).await else { return Err(ReadError::Busy) };
        let gone = |faults: Vec<String>, fault: String| {
            self.set_primary(Some(fault.clone()));
            self.primary_failed.notify_one();
            unavailable(faults, fault)
        };
        let (session, shown) = match self.gate(&self.primary, identifier, token).await {
            Ok(both) => both,
            Err(fault) => return Err(gone(faults, fault)),
        };
        if !shown.covers {
            self.primary.keep(session);
            return Err(ReadError::Behind);
        }
        if shown.in_recovery {
            return Err(gone(faults, "is no primary any more".to_owned()));
        }
        match self.ask(&self.primary, session, query).await {
            Ok(answer) => Ok((answer, Source::Primary)),
            Err(Fault::Gone(fault)) => Err(gone(faults, fault)),
            Err(Fault::Statement(error)) => Err(ReadError::Query(error)),
            Err(Fault::Conflict(fault)) => {
                faults.push(format!("primary: {fault}"));
                Err(ReadError::Unavailable(faults.join("; ")))
            }
        }
    }

    /// Runs the query, and keeps the connection when it is as before.
    async fn ask<T>(
        &self,
        pool: &Pool,
        session: Session,
        query: &impl AsyncFn(&Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Fault> {
        let limit = self.options.statement_timeout + ANSWER_MARGIN;
        let error = match timeout(limit, query(&session)).await {
            Ok(Ok(answer)) => {
                pool.keep(session);
                return Ok(answer);
            }
            Ok(Err(error)) => error,
            // The server's own limit is lower: one that is well has ended the statement.
            Err(_) => return Err(Fault::Gone(format!("no answer within {limit:?}"))),
        };
        let words = chain(&error);
        if session.is_closed() || error.is_closed() {
            return Err(Fault::Gone(words));
        }
        match error.code() {
            Some(&(SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW)) => {
                Err(Fault::Gone(words))
            }
            // On a replica: what it replays needs the rows that the statement reads.
            Some(&(SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED)) => {
                pool.keep(session);
                Err(Fault::Conflict(words))
            }
            // "cached plan must not change result type": a migration came by; all statements are prepared anew.
            Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
                pool.clear();
                Err(Fault::Conflict(words))
            }
            _ => {
                pool.keep(session);
                Err(Fault::Statement(error))
            }
        }
    }

    /// A connection, and what its server shows, in the time that the options allow.
    async fn gate(
        &self,
        pool: &Pool,
        identifier: i64,
        token: Option<Token>,
    ) -> Result<(Session, Shown), String> {
        let limit = self.options.gate_max;
        let asked = async {
            let session = pool.session(identifier, limit).await?;
            let shown = shown(&session, token).await.map_err(|error| chain(&error))?;
            Ok((session, shown))
        };
        timeout(limit, asked).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }
}
