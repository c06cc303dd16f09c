//! Durable orders before the database is killed, while it is away, and after it came back; then whether it has every event once.

use std::path::Path;
use std::time::{Duration, Instant};

use bench_support::load::Run;
use storage::history::last_record;
use storage::postgres::MIGRATIONS;
use storage::postgres::migrate::migrate;
use storage::postgres::target::Target;
use storage::{DataDirectory, ReadOnlyDisk};

use crate::cluster::{DATABASE, Node, USER};
use crate::throughput::{project, run};
use crate::{copy, database, logged};

/// Orders at once: fewer than make the server's queues the larger part of the latency.
const CONNECTIONS: u32 = 64;

/// Measures each part for so long.
pub(crate) fn measure(span: Duration) -> Result<(), String> {
    let cluster = database();
    println!("| database | orders/s | p50 µs | p99 µs | p99.9 µs | max µs |");
    println!("|---|---|---|---|---|---|");
    let line = |name: &str, run: &Run| {
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|quantile| run.micros(quantile));
        println!("| {name} | {:.0} | {p50} | {p99} | {p999} | {max} |", run.rate());
    };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let server = logged::start(&dir.path().join("none"), None)?;
    line("none set up", &logged::trade(&server, 0, CONNECTIONS, span)?);
    drop(server);
    let data = dir.path().join("data");
    let server = logged::start(&data, Some(&cluster.primary().url_without_password()))?;
    let before = logged::trade(&server, 1, CONNECTIONS, span)?;
    line("there", &before);
    cluster.primary().kill();
    let during = logged::trade(&server, 2, CONNECTIONS, span)?;
    line("killed", &during);
    cluster.primary().restart();
    let after = logged::trade(&server, 3, CONNECTIONS, span)?;
    line("back", &after);
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = during.micros(quantile) as f64 / before.micros(quantile) as f64;
        println!("{name} during the outage / before: {ratio:.2}");
    }
    drop(server);
    let answers = before.answers + during.answers + after.answers;
    println!("{} of {answers} orders were answered in the outage", during.answers);
    compare(&data, cluster.primary(), answers)
}

/// Lets the database catch up with the log, and compares it with one that was never away.
fn compare(data: &Path, node: &Node, answers: u64) -> Result<(), String> {
    let homes = futures_lite::future::block_on(DataDirectory::look(&ReadOnlyDisk, data));
    let homes = homes.map_err(|error| error.to_string())?.ok_or("the server left no log")?;
    let home = homes.first().ok_or("the server left no shard")?;
    let end = futures_lite::future::block_on(last_record(&ReadOnlyDisk, home))?;
    let target = |database: &str| {
        let url = format!("postgresql://{USER}@127.0.0.1:{}/{database}", node.port());
        Target::parse(&url, None).map_err(|error| error.to_string())
    };
    let stood = node.psql("SELECT lsn FROM coinbitclub.projector_progress");
    let begin = Instant::now();
    project(home, end, target(DATABASE)?)?;
    println!("records {stood} to {end} came after the load, in {:.1} s", begin.elapsed().as_secs_f64());
    node.psql("CREATE DATABASE never_away");
    run(migrate(&target("never_away")?, MIGRATIONS))?.map_err(|error| error.to_string())?;
    project(home, end, target("never_away")?)?;
    let found = copy::digests(node.port(), DATABASE)?;
    for ((table, found), (_, expected)) in found.iter().zip(copy::digests(node.port(), "never_away")?) {
        if *found != expected {
            return Err(format!("{}: {found}; of a database that was never away: {expected}", table.name()));
        }
    }
    let signals: u64 =
        node.psql("SELECT count(*) FROM coinbitclub.signals").parse().map_err(|_| "no number of signals")?;
    let unbalanced =
        "SELECT count(*) FROM (SELECT FROM coinbitclub.postings GROUP BY currency HAVING sum(amount) <> 0) x";
    if signals < answers || node.psql(unbalanced) != "0" {
        return Err(format!(
            "{signals} signals are there of {answers} that were answered, or sums are not zero"
        ));
    }
    println!(
        "{answers} orders answered, {signals} signals and {} rows in the database: each as in one that was never away",
        copy::rows(node.port(), DATABASE)?
    );
    Ok(())
}
