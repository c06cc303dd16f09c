//! The same rows by `psql`: out of one database into files, and from those into another with the same tables.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use storage::history::Table;

use crate::cluster::USER;

/// A file of binary COPY for each table.
pub(crate) struct Files {
    directory: PathBuf,
    port: u16,
    /// Statements that make the partitions of the database that the rows are from.
    partitions: String,
}

pub(crate) fn psql(
    port: u16,
    database: &str,
    commands: impl IntoIterator<Item = String>,
) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]);
    psql.args(["--host=127.0.0.1", "--username", USER, "--dbname", database]).arg(format!("--port={port}"));
    for command in commands {
        psql.args(["--command", &command]);
    }
    let output = psql.stdin(Stdio::null()).output().map_err(|error| format!("psql: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// How many rows all tables have.
pub(crate) fn rows(port: u16, database: &str) -> Result<u64, String> {
    let each = Table::ALL.map(|table| format!("(SELECT count(*) FROM coinbitclub.{})", table.name()));
    let text = psql(port, database, [format!("SELECT {}", each.join(" + "))])?;
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// Of each table, how many rows it has and the sum of what tells each from others: equal for the same rows in whatever order.
pub(crate) fn digests(port: u16, database: &str) -> Result<Vec<(Table, String)>, String> {
    let of = |table: Table| {
        let name = table.name();
        let question = format!(
            "SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM coinbitclub.{name} t"
        );
        psql(port, database, [question]).map(|digest| (table, digest))
    };
    Table::ALL.into_iter().map(of).collect()
}

impl Files {
    /// Takes all tables of a database out into files in `directory`.
    pub(crate) fn export(directory: &Path, database: &str, port: u16) -> Result<Self, String> {
        let question = "SELECT format('CREATE TABLE %s PARTITION OF %s %s %s;', p.oid::regclass, i.inhparent::regclass, \
                        pg_get_expr(p.relpartbound, p.oid), \
                        'WITH (' || array_to_string(p.reloptions, ', ') || ')') \
                        FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid WHERE p.relkind = 'r'";
        let partitions = psql(port, database, [question.to_owned()])?;
        let files = Self { directory: directory.to_owned(), port, partitions };
        let copies = Table::ALL.map(|table| {
            let (name, path) = (table.name(), files.path(table));
            format!("\\copy (SELECT * FROM coinbitclub.{name}) TO '{path}' (FORMAT binary)")
        });
        psql(port, database, copies).map(|_| files)
    }

    fn path(&self, table: Table) -> String {
        self.directory.join(table.name()).with_extension("copy").display().to_string()
    }

    /// Makes the partitions that the rows need.
    pub(crate) fn make_partitions(&self, database: &str) -> Result<(), String> {
        psql(self.port, database, [self.partitions.clone()]).map(drop)
    }

    /// The command that copies a table's file into the table of its name behind `schema`.
    pub(crate) fn copy(&self, table: Table, schema: &str) -> String {
        format!("\\copy {schema}{} FROM '{}' (FORMAT binary)", table.name(), self.path(table))
    }

    /// Copies the files into a database's tables; the CPU time that `psql` took.
    pub(crate) fn load(&self, database: &str) -> Result<Duration, String> {
        let before = children_cpu();
        let copies = Table::ALL.map(|table| self.copy(table, "coinbitclub."));
        psql(self.port, database, copies)?;
        Ok(children_cpu().saturating_sub(before))
    }
}

/// Ticks of `/proc` are hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of fields of a process's `stat`, by their places after its name.
fn ticks(process: &str, places: &[usize]) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let of = |place: &usize| fields.get(*place).and_then(|field| field.parse().ok()).unwrap_or(0);
    TICK * places.iter().map(of).sum::<u32>()
}

/// CPU time of this process's children that have ended.
fn children_cpu() -> Duration {
    ticks("self", &[13, 14])
}

/// CPU time of a PostgreSQL server: its own, that of its sessions, and that of those which have ended.
pub(crate) fn server_cpu(server: u32) -> Duration {
    let children =
        std::fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default();
    let children = children.split_whitespace().map(|child| ticks(child, &[11, 12]));
    ticks(&server.to_string(), &[11, 12, 13, 14]) + children.sum::<Duration>()
}
