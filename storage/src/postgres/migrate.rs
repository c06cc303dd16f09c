//! Bringing the database's schema up to date: plain SQL files, in order, each once.
//!
//! **Invariants**: under an advisory lock, so that two servers which start together apply each file once; a file and the note
//! that it was applied are one transaction; a file that has changed since, or a database that is newer, is refused.

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

/// The lock's number: "cbc" and a one.
const LOCK: i64 = 0x63_62_63_01;

/// A migration.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub number: i32,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

/// All of them.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, name: "history", sql: include_str!("../../migrations/0001_history.sql") }];

/// Why a schema is not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database said no, or was not there.
    #[error("{what}: {}", said(source))]
    Database {
        /// What was tried.
        what: String,
        /// What came back.
        source: tokio_postgres::Error,
    },
    /// A file is not what was applied.
    #[error(
        "migration {number} ({name}) was applied with other contents: this program and the database do not belong together. \
         Start the version that made the database, or give a new database"
    )]
    Changed {
        /// Its number.
        number: i32,
        /// Its name in the database.
        name: String,
    },
    /// The database is newer.
    #[error(
        "the database has migration {found}, and this program knows them up to {known}: start a newer version"
    )]
    Newer {
        /// The database's last.
        found: i32,
        /// This program's last.
        known: i32,
    },
}

fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}

fn digest(sql: &str) -> Vec<u8> {
    Sha256::digest(sql.as_bytes()).to_vec()
}

/// Applies what is missing of `migrations`; how many that were. `client` is connected to the primary and used for nothing else.
///
/// # Errors
/// [`MigrateError`]; what was applied before stays.
pub async fn migrate(client: &Client, migrations: &[Migration]) -> Result<usize, MigrateError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| MigrateError::Database { what, source }
    };
    client
        .batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))
        .await
        .map_err(failed("wait for another server's migration"))?;
    let applied = apply(client, migrations).await;
    // A failure here ends with the connection, and the lock with it.
    let unlocked = client.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})")).await;
    let applied = applied?;
    unlocked.map_err(failed("let the next server migrate"))?;
    Ok(applied)
}

async fn apply(client: &Client, migrations: &[Migration]) -> Result<usize, MigrateError> {
    let failed = |what: String| move |source| MigrateError::Database { what, source };
    let table = "CREATE SCHEMA IF NOT EXISTS coinbitclub; CREATE TABLE IF NOT EXISTS coinbitclub.schema_migrations (\
                 number integer PRIMARY KEY, name text NOT NULL, sha256 bytea NOT NULL, \
                 applied_at timestamptz NOT NULL DEFAULT now())";
    client.batch_execute(table).await.map_err(failed("make the table of migrations".to_owned()))?;
    let rows = client
        .query("SELECT number, name, sha256 FROM coinbitclub.schema_migrations ORDER BY number", &[])
        .await
        .map_err(failed("read the table of migrations".to_owned()))?;
    for row in &rows {
        let (number, name, sha256): (i32, String, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
        let Some(known) = migrations.iter().find(|migration| migration.number == number) else {
            let known = migrations.last().map_or(0, |migration| migration.number);
            return Err(MigrateError::Newer { found: number, known });
        };
        if digest(known.sql) != sha256 {
            return Err(MigrateError::Changed { number, name });
        }
    }
    let missing = migrations.iter().filter(|one| !rows.iter().any(|row| row.get::<_, i32>(0) == one.number));
    let mut count = 0;
    for Migration { number, name, sql } in missing {
        let hex: String = digest(sql).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "BEGIN; {sql}; INSERT INTO coinbitclub.schema_migrations (number, name, sha256) \
             VALUES ({number}, '{name}', '\\x{hex}'); COMMIT"
        );
        if let Err(error) = client.batch_execute(&text).await {
            drop(client.batch_execute("ROLLBACK").await);
            return Err(failed(format!("apply migration {number} ({name})"))(error));
        }
        count += 1;
    }
    Ok(count)
}
