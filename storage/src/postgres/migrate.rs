//! The schema, made by plain SQL files that are applied in order and once.
//!
//! **Runs on**: start-up, on a connection of its own.
//! **Owns**: `coinbitclub.schema_migrations(number, name, sha256, applied_at)`.
//! **Invariants**: a migration and its record are one transaction; servers that start together apply each once; a
//! database is left as it is when it holds anything that this binary's list does not explain.
//! **Bounds**: another server's migrations are waited for [`LOCK_WAIT_MAX`]; a migration itself may take its time.
//! **Never**: undoes a migration: what was applied is changed by the next one.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;
use tokio_postgres::error::{ErrorPosition, SqlState};

use super::connect::{ConnectError, Role, connect};
use super::target::{Target, chain};

/// How long to wait for another server that migrates. Building an index over months of fills takes minutes.
pub const LOCK_WAIT_MAX: Duration = Duration::from_secs(600);
/// How long the connection may take.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The advisory lock, the same for every server of every version: "cbcmigra" in ASCII.
const LOCK_KEY: i64 = 0x6362_636d_6967_7261;

const RECORDS: &str = "
create schema if not exists coinbitclub;
create table if not exists coinbitclub.schema_migrations (
    number integer primary key check (number > 0),
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
)";

/// One file of `storage/migrations`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from one and without a gap.
    pub number: u32,
    /// The file's name without number and ending.
    pub name: &'static str,
    /// Its statements, none of which may begin or end a transaction.
    pub sql: &'static str,
}

/// Files of `storage/migrations` as a list: `migrations![(1, "history", "0001_history.sql"), …]`.
#[macro_export]
macro_rules! migrations {
    ($(($number:literal, $name:literal, $file:literal)),* $(,)?) => {
        &[$($crate::postgres::migrate::Migration {
            number: $number,
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $file)),
        }),*]
    };
}

impl Migration {
    /// The checksum that is recorded, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn title(&self) -> String {
        title(self.number.into(), self.name)
    }
}

/// What a start did to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The number that the schema is at.
    pub number: u32,
    /// How many migrations were applied to get there.
    pub applied: u32,
}

/// Why the schema is not what this binary needs. Nothing was changed by the migration that is named.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No primary.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The list of the binary has a gap or a repetition: a mistake of its build.
    #[error(
        "this binary's migration {found} stands where number {expected} must: number the files without a gap"
    )]
    ListHasGap {
        /// The number that is missing.
        expected: u32,
        /// What is there instead.
        found: String,
    },
    /// The record of one is missing below a later one.
    #[error(
        "the database has {found} but no record of migration {expected:04}: somebody has edited \
         coinbitclub.schema_migrations; restore the row, or the database from its backup"
    )]
    RecordsHaveGap {
        /// The number that is missing.
        expected: u32,
        /// What is there instead.
        found: String,
    },
    /// A newer binary was here.
    #[error(
        "the database is at {database} and this binary knows migrations up to {binary:04}: start the newer binary, \
         or restore the database from a backup of before"
    )]
    DatabaseIsNewer {
        /// What the database is at.
        database: String,
        /// The last number that this binary knows.
        binary: u32,
    },
    /// An applied migration is not the one of this binary.
    #[error(
        "migration {title} was applied on {applied_at} with other content (sha256 {recorded}, this binary has {own}): \
         put the file back as it was, and change the schema by a further migration"
    )]
    Changed {
        /// Number and name in this binary.
        title: String,
        /// When it was applied.
        applied_at: String,
        /// The checksum then, and the name when that differs.
        recorded: String,
        /// The checksum in this binary.
        own: String,
    },
    /// Another server holds the lock.
    #[error(
        "another server has been migrating for {0:?}: wait for it, or see who holds the lock in pg_locks"
    )]
    Locked(Duration),
    /// The server refused a statement of it.
    #[error("migration {title}{line} failed and was rolled back: {what}", line = line_words(*line))]
    Failed {
        /// Number and name.
        title: String,
        /// The line of its file, when the server names one.
        line: Option<usize>,
        /// The server's words.
        what: String,
    },
    /// The connection, or a statement around the migrations.
    #[error("migrating the database: {0}")]
    Database(String),
}

/// Brings the schema of `target`'s primary up to the last of `migrations`.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(target: &Target, migrations: &[Migration]) -> Result<Migrated, MigrateError> {
    migrate_within(target, migrations, LOCK_WAIT_MAX).await
}

/// The same with another limit for the wait.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate_within(
    target: &Target,
    migrations: &[Migration],
    lock_wait_max: Duration,
) -> Result<Migrated, MigrateError> {
    for (expected, migration) in (1..).zip(migrations) {
        if migration.number != expected {
            return Err(MigrateError::ListHasGap { expected, found: migration.title() });
        }
    }
    let mut connected = connect(target, Role::Primary, CONNECT_MAX).await?;
    let limits = format!("set statement_timeout = 0; set lock_timeout = {}", lock_wait_max.as_millis());
    connected.batch_execute(&limits).await.map_err(database)?;
    match connected.execute("select pg_advisory_lock($1)", &[&LOCK_KEY]).await {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            return Err(MigrateError::Locked(lock_wait_max));
        }
        other => other.map_err(database)?,
    };
    connected.batch_execute(RECORDS).await.map_err(database)?;
    let done = check(&connected, migrations).await?;
    for migration in &migrations[done..] {
        apply(&mut connected, migration).await?;
        tracing::info!(migration = migration.title(), "the database was migrated");
    }
    // The end of the connection would do it too, but only when the server notices.
    connected.execute("select pg_advisory_unlock($1)", &[&LOCK_KEY]).await.map_err(database)?;
    let count = |length: usize| u32::try_from(length).expect("the list is numbered by u32");
    Ok(Migrated { number: count(migrations.len()), applied: count(migrations.len() - done) })
}

/// How many of `migrations` the database has: the first so many, and nothing else.
async fn check(client: &Client, migrations: &[Migration]) -> Result<usize, MigrateError> {
    let sql =
        "select number, name, sha256, applied_at::text from coinbitclub.schema_migrations order by number";
    let rows = client.query(sql, &[]).await.map_err(database)?;
    let binary = migrations.last().map_or(0, |migration| migration.number);
    if let Some(last) = rows.last() {
        let number: i32 = last.get(0);
        if i64::from(number) > i64::from(binary) {
            return Err(MigrateError::DatabaseIsNewer {
                database: title(number.into(), last.get(1)),
                binary,
            });
        }
    }
    for (row, migration) in rows.iter().zip(migrations) {
        let (number, name, recorded): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
        if i64::from(number) != i64::from(migration.number) {
            let found = title(number.into(), name);
            return Err(MigrateError::RecordsHaveGap { expected: migration.number, found });
        }
        let own = migration.sha256();
        if recorded != own || name != migration.name {
            let recorded =
                if name == migration.name { recorded.to_owned() } else { format!("{recorded} as {name}") };
            let (title, applied_at) = (migration.title(), row.get(3));
            return Err(MigrateError::Changed { title, applied_at, recorded, own });
        }
    }
    Ok(rows.len())
}

async fn apply(client: &mut Client, migration: &Migration) -> Result<(), MigrateError> {
    let transaction = client.transaction().await.map_err(database)?;
    transaction.batch_execute(migration.sql).await.map_err(|error| failed(migration, &error))?;
    let number = i32::try_from(migration.number).expect("numbers count the files");
    transaction
        .execute(
            "insert into coinbitclub.schema_migrations (number, name, sha256) values ($1, $2, $3)",
            &[&number, &migration.name, &migration.sha256()],
        )
        .await
        .map_err(|error| failed(migration, &error))?;
    transaction.commit().await.map_err(|error| failed(migration, &error))
}

fn failed(migration: &Migration, error: &tokio_postgres::Error) -> MigrateError {
    let position = error.as_db_error().and_then(|error| error.position());
    let line = match position {
        Some(ErrorPosition::Original(character)) => {
            let before = usize::try_from(*character).unwrap_or(usize::MAX).saturating_sub(1);
            Some(1 + migration.sql.chars().take(before).filter(|&letter| letter == '\n').count())
        }
        _ => None,
    };
    MigrateError::Failed { title: migration.title(), line, what: chain(error) }
}

fn title(number: i64, name: &str) -> String {
    format!("{number:04}_{name}")
}

fn line_words(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line},")).unwrap_or_default()
}

fn database(error: tokio_postgres::Error) -> MigrateError {
    MigrateError::Database(chain(&error))
}
