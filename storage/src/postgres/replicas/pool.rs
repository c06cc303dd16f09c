//! The connections to one server that readers share, each with the statements it has prepared.
//!
//! **Runs on**: the housekeeping thread.
//! **Owns**: the idle connections.
//! **Invariants**: a connection goes back only after its last answer was complete: a read that is given up closes its own.
//! **Bounds**: as many connections as the pool has permits; [`STATEMENTS_MAX`] statements on each.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::super::connect::{Connected, Role, connect};
use super::super::target::Target;

/// Statements prepared on one connection. The routes have a few dozen; beyond this the cache begins anew.
pub const STATEMENTS_MAX: usize = 64;

/// A connection to read with.
#[derive(Debug)]
pub struct Session {
    connected: Connected,
    statements: RefCell<HashMap<String, Statement>>,
}

impl Session {
    pub(super) fn new(connected: Connected) -> Self {
        Self { connected, statements: RefCell::default() }
    }

    /// Runs a statement that is prepared once for each connection.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let statement = self.prepared(sql).await?;
        self.connected.query(&statement, parameters).await
    }

    /// The prepared statement, for what [`Self::query`] does not offer.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        let known = self.statements.borrow().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.connected.prepare(sql).await?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.connected
    }
}

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) target: Target,
    role: Role,
    permits: Semaphore,
    permits_max: usize,
    idle: RefCell<Vec<Session>>,
}

impl Pool {
    pub(super) fn new(target: Target, role: Role, permits_max: usize) -> Self {
        Self { target, role, permits: Semaphore::new(permits_max), permits_max, idle: RefCell::default() }
    }

    /// How many connections are in use.
    pub(super) fn used(&self) -> usize {
        self.permits_max - self.permits.available_permits()
    }

    /// A permit, when one is free within `wait`.
    pub(super) async fn permit(&self, wait: Duration) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        tokio::time::timeout(wait, self.permits.acquire()).await.ok()?.ok()
    }

    /// An idle connection, or a new one within `connect_max` to the cluster with this identifier.
    pub(super) async fn session(&self, identifier: i64, connect_max: Duration) -> Result<Session, String> {
        while let Some(session) = self.pop() {
            if !session.is_closed() {
                return Ok(session);
            }
        }
        let connected =
            connect(&self.target, self.role, connect_max).await.map_err(|error| error.to_string())?;
        if connected.system_identifier() == identifier {
            Ok(Session::new(connected))
        } else {
            Err(format!("{} belongs to another cluster", connected.place()))
        }
    }

    /// Keeps a connection for the next read.
    pub(super) fn keep(&self, session: Session) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.permits_max && !session.is_closed() {
            idle.push(session);
        }
    }

    /// Closes what is idle.
    pub(super) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    fn pop(&self) -> Option<Session> {
        self.idle.borrow_mut().pop()
    }
}
