//! The projector beside `psql`'s COPY of the rows that it made, in turn.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench_support::sys;
use engine::core::ids::UserId;
use engine::shard::runtime::HostClock;
use storage::history::{Batch, History, HistoryError, Progress, Projector, Reached, Sizes, Standing};
use storage::postgres::migrate::migrate;
use storage::postgres::target::Target;
use storage::postgres::writer::Writer;
use storage::postgres::{MIGRATIONS, TokioPause};
use storage::{LogIdentity, Lsn, ReadOnlyDisk, ShardHome};

use crate::copy::{Files, server_cpu};
use crate::{cluster, database, logged};

const REPETITIONS: usize = 3;

/// A writer whose waits are added up.
struct Timed {
    writer: Writer,
    spent: Rc<Cell<Duration>>,
}

impl History for Timed {
    async fn position(&mut self, place: LogIdentity) -> Result<Standing, HistoryError> {
        self.writer.position(place).await
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), HistoryError> {
        let begin = Instant::now();
        let done = self.writer.write(batch).await;
        self.spent.set(self.spent.get() + begin.elapsed());
        done
    }

    async fn complete(&mut self, ends: &[(LogIdentity, Lsn)]) -> Result<(), HistoryError> {
        self.writer.complete(ends).await
    }

    async fn pass_over(
        &mut self,
        place: LogIdentity,
        after: Option<Reached>,
        refused: Reached,
        why: &str,
    ) -> Result<(), HistoryError> {
        self.writer.pass_over(place, after, refused, why).await
    }

    async fn refusals(&mut self, place: LogIdentity) -> Result<u64, HistoryError> {
        self.writer.refusals(place).await
    }

    async fn leave_out(
        &mut self,
        place: LogIdentity,
        at: Reached,
        user: UserId,
        why: &str,
    ) -> Result<(), HistoryError> {
        self.writer.leave_out(place, at, user, why).await
    }
}

/// Makes a log under load for so long, and measures.
pub(crate) fn measure(span: Duration) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let data = dir.path().join("data");
    let (home, end) = logged::made(&data, span)?;
    let cluster = database();
    let node = cluster.primary();
    let port = node.port();
    println!("{end} records, PostgreSQL {}", node.psql("SHOW server_version"));
    println!("| run | way | rows | s | rows/s | µs CPU/row: client | PostgreSQL |");
    println!("|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for repetition in 1..=REPETITIONS {
        let rates = [("projector", true), ("COPY", false)].map(|(way, projects)| {
            let database = format!("{}{repetition}", if projects { "projected" } else { "copied" });
            node.psql(&format!("CREATE DATABASE {database}"));
            let url = format!("postgresql://{}@127.0.0.1:{port}/{database}", cluster::USER);
            let target = Target::parse(&url, None).map_err(|error| error.to_string())?;
            run(migrate(&target, MIGRATIONS))?.map_err(|error| error.to_string())?;
            let files = if projects {
                None
            } else {
                let files = Files::export(dir.path(), &format!("projected{repetition}"), port)?;
                files.make_partitions(&database)?;
                Some(files)
            };
            node.psql("CHECKPOINT");
            let (begin, cpu) = (Instant::now(), server_cpu(node.process()));
            let own = sys::cpu_ns(std::process::id());
            let client = match &files {
                None => {
                    let spent = project(&home, end, target)?;
                    eprintln!("{:.2} s of it in writes", spent.as_secs_f64());
                    Duration::from_nanos(sys::cpu_ns(std::process::id()) - own)
                }
                Some(files) => files.load(&database)?,
            };
            let (elapsed, cpu) = (begin.elapsed(), server_cpu(node.process()).saturating_sub(cpu));
            let rows = crate::copy::rows(port, &database)?;
            #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
            let count = rows as f64;
            let (rate, micros) =
                (count / elapsed.as_secs_f64(), |span: Duration| span.as_secs_f64() * 1e6 / count);
            println!(
                "| {repetition} | {way} | {rows} | {:.2} | {rate:.0} | {:.2} | {:.2} |",
                elapsed.as_secs_f64(),
                micros(client),
                micros(cpu)
            );
            Ok::<_, String>(rate)
        });
        let [projector, copy] = rates;
        ratios.push(projector? / copy?);
    }
    ratios.sort_by(f64::total_cmp);
    println!("projector / COPY: {ratios:.2?}, the median {:.2}", ratios[REPETITIONS / 2]);
    Ok(())
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(work))
}

/// Brings what the database lacks of a log into it; how long the writes took.
pub(crate) fn project(home: &ShardHome, end: Lsn, target: Target) -> Result<Duration, String> {
    let (progress, stop, spent) = (Progress::default(), AtomicBool::new(false), Rc::default());
    progress.set_durable(end);
    let history = Timed { writer: Writer::new(target), spent: Rc::clone(&spent) };
    let pause = TokioPause(HostClock);
    let mut projector = Projector::new(ReadOnlyDisk, home.clone(), history, pause, Sizes::default());
    let watch = async {
        while !progress.is_at(end) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    run(futures_lite::future::zip(projector.run(&progress, &stop), watch))?;
    let report = progress.report();
    eprintln!(
        "{} rows written in {} batches, {} failures; {} MiB resident",
        report.rows,
        report.batches,
        report.failures,
        sys::resident_bytes(std::process::id()) >> 20
    );
    Ok(spent.get())
}
