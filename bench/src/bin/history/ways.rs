//! Ways into a table, of the same rows and beside each other: which of those that may be done twice costs the least?
//!
//! The rows are the orders that the projector made of a real log. A COPY straight into the table is there for comparison: of
//! rows that the database has already it makes an error.

use std::time::{Duration, Instant};

use storage::history::Table;
use storage::postgres::MIGRATIONS;
use storage::postgres::connect::{Connected, Role, connect};
use storage::postgres::migrate::migrate;
use storage::postgres::target::Target;
use tokio_postgres::types::ToSql;

use crate::copy::{Files, psql, server_cpu};
use crate::throughput::{project, run};
use crate::{cluster, database, logged};

const REPETITIONS: usize = 3;
/// The table whose rows are written.
const TABLE: Table = Table::Orders;

/// A way of writing rows.
#[derive(Clone, Copy)]
enum Way {
    Copy,
    Merge,
    Unnest(usize),
}

const WAYS: [(&str, Way); 4] = [
    ("COPY into the table", Way::Copy),
    ("COPY beside it, one upsert of all", Way::Merge),
    ("upsert of arrays (unnest), 1,000 rows each", Way::Unnest(1_000)),
    ("upsert of arrays (unnest), 10,000 rows each", Way::Unnest(10_000)),
];

/// Makes a log under load for so long, and measures each way into a database of its own.
pub(crate) fn measure(span: Duration) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let data = dir.path().join("data");
    let (home, end) = logged::made(&data, span)?;

    let cluster = database();
    let node = cluster.primary();
    let port = node.port();
    let target = |database: &str| {
        let url = format!("postgresql://{}@127.0.0.1:{port}/{database}", cluster::USER);
        Target::parse(&url, None).map_err(|error| error.to_string())
    };
    let made = |database: &str| {
        node.psql(&format!("CREATE DATABASE {database}"));
        run(migrate(&target(database)?, MIGRATIONS))?.map_err(|error| error.to_string())
    };
    made("source")?;
    project(&home, end, target("source")?)?;
    let files = Files::export(dir.path(), "source", port)?;
    let columns = run(rows_as_text(&target("source")?))??;
    let rows = columns.first().map_or(0, Vec::len);
    println!("{rows} orders, PostgreSQL {}", node.psql("SHOW server_version"));
    println!("| run | way | rows/s | µs CPU of PostgreSQL/row |\n|---|---|---|---|");
    for repetition in 1..=REPETITIONS {
        for (place, (name, way)) in WAYS.into_iter().enumerate() {
            let into = format!("way{place}_{repetition}");
            made(&into)?;
            files.make_partitions(&into)?;
            node.psql("CHECKPOINT");
            let (begin, cpu) = (Instant::now(), server_cpu(node.process()));
            match way {
                Way::Copy => drop(psql(port, &into, [files.copy(TABLE, "coinbitclub.")])?),
                Way::Merge => merge(port, &into, &files)?,
                Way::Unnest(at_once) => run(unnest(&target(&into)?, &columns, at_once))??,
            }
            let (elapsed, cpu) = (begin.elapsed(), server_cpu(node.process()).saturating_sub(cpu));
            let there = psql(port, &into, [format!("SELECT count(*) FROM coinbitclub.{}", TABLE.name())])?;
            if there != rows.to_string() {
                return Err(format!("{name}: {there} rows of {rows}"));
            }
            #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
            let count = rows as f64;
            let (rate, micros) = (count / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count);
            println!("| {repetition} | {name} | {rate:.0} | {micros:.2} |");
        }
    }
    Ok(())
}

/// What a row that is there already becomes.
fn on_conflict() -> String {
    let (key, rest) = TABLE.columns().split_at(TABLE.key());
    let rest: Vec<String> = rest.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!("ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), rest.join(", "))
}

/// As the projector writes rows that may be there.
fn merge(port: u16, into: &str, files: &Files) -> Result<(), String> {
    let (name, columns) = (TABLE.name(), TABLE.columns().join(", "));
    psql(
        port,
        into,
        [
            format!("CREATE TEMP TABLE stage_{name} (LIKE coinbitclub.{name})"),
            files.copy(TABLE, "stage_"),
            format!(
                "INSERT INTO coinbitclub.{name} ({columns}) SELECT {columns} FROM stage_{name} {}",
                on_conflict()
            ),
        ],
    )
    .map(drop)
}

async fn connected(target: &Target) -> Result<Connected, String> {
    connect(target, Role::Primary, Duration::from_secs(10)).await.map_err(|error| error.to_string())
}

/// All rows as text, by column.
async fn rows_as_text(target: &Target) -> Result<Vec<Vec<Option<String>>>, String> {
    let client = connected(target).await?;
    let texts: Vec<String> = TABLE.columns().iter().map(|column| format!("{column}::text")).collect();
    let question = format!("SELECT {} FROM coinbitclub.{}", texts.join(", "), TABLE.name());
    let rows = client.query(&question, &[]).await.map_err(|error| error.to_string())?;
    let of = |column: usize| rows.iter().map(|row| row.get(column)).collect();
    Ok((0..texts.len()).map(of).collect())
}

async fn unnest(target: &Target, columns: &[Vec<Option<String>>], at_once: usize) -> Result<(), String> {
    let client = connected(target).await?;
    let wrong = |error: tokio_postgres::Error| error.to_string();
    let question = format!(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
         WHERE attrelid = 'coinbitclub.{}'::regclass AND attnum > 0",
        TABLE.name()
    );
    let types = client.query(&question, &[]).await.map_err(wrong)?;
    let kind = |column: &str| -> String {
        types.iter().find(|row| row.get::<_, &str>(0) == column).map_or_else(String::new, |row| row.get(1))
    };
    let names = TABLE.columns();
    let cast: Vec<String> = names.iter().map(|name| format!("{name}::{}", kind(name))).collect();
    let arrays: Vec<String> = (1..=names.len()).map(|n| format!("${n}::text[]")).collect();
    let text = format!(
        "INSERT INTO coinbitclub.{} ({names}) SELECT {} FROM unnest({}) AS rows ({names}) {}",
        TABLE.name(),
        cast.join(", "),
        arrays.join(", "),
        on_conflict(),
        names = names.join(", "),
    );
    let statement = client.prepare(&text).await.map_err(wrong)?;
    client.batch_execute("BEGIN").await.map_err(wrong)?;
    let rows = columns.first().map_or(0, Vec::len);
    for from in (0..rows).step_by(at_once) {
        let to = (from + at_once).min(rows);
        let slices: Vec<&[Option<String>]> = columns.iter().map(|column| &column[from..to]).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> =
            slices.iter().map(|slice| slice as &(dyn ToSql + Sync)).collect();
        client.execute(&statement, &parameters).await.map_err(wrong)?;
    }
    client.batch_execute("COMMIT").await.map_err(wrong)
}
