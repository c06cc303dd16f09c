//! The log on a real disk: what a durable record costs when 1, 16 or 256 writers wait for each of theirs, and how fast
//! recovery reads them back.
//!
//! `cargo bench -p coinbitclub-bench --bench log`. Each writer appends 256 bytes and waits until they are durable before
//! it appends again; nothing else runs on the executor. Segments have the default size and are made while records are
//! written, as in service. The disk is the one the build directory is on; `LOG_BENCH_DIR` names another.
//! What it does not show: the shard's own work between two records, and other users of the same disk.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::seam::{Disk, Runtime};
use engine::shard::runtime::{ExecutorOptions, GlommioDisk, GlommioRuntime, run_pinned};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use storage::{
    Generation, Log, LogIdentity, LogOptions, Lsn, Replayed, Salt, ShardHome, ShardNumber, recover,
};

const RECORD: [u8; 256] = [0x5a; 256];
const SCANNED_RECORDS: u64 = 1_000_000;

fn bench_dir() -> tempfile::TempDir {
    let base = std::env::var_os("LOG_BENCH_DIR").map_or(env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    tempfile::tempdir_in(base).expect("the benchmark's directory can be made")
}

fn home(dir: &Path) -> ShardHome {
    let identity = LogIdentity { generation: Generation(1), shard: ShardNumber(0), salt: Salt(1) };
    ShardHome::new(dir.to_owned(), identity)
}

/// Runs `work` on a fresh executor to its end.
fn on_executor<T, F>(work: impl FnOnce(GlommioRuntime) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let options = ExecutorOptions { name: "log-bench".to_owned(), cpu: None, heartbeat: None };
    let thread = run_pinned(options, work).expect("an executor starts");
    thread.join().expect("the benchmark does not panic")
}

async fn start<D: Disk>(disk: &D, home: &ShardHome) -> Log<D> {
    let recovered = recover(disk, home, |_| Ok::<_, Infallible>(())).await.expect("the directory is sound");
    let log = Log::start(disk.clone(), home.clone(), recovered.tail, LogOptions::default()).await;
    log.expect("the log starts")
}

/// A log that tasks share.
struct Shared<D: Disk> {
    log: RefCell<Log<D>>,
    waiting: RefCell<Vec<(Lsn, Waker)>>,
    left: Cell<u64>,
    writers: Cell<u64>,
}

impl<D: Disk> Shared<D> {
    async fn durable(&self, lsn: Lsn) {
        poll_fn(|context| {
            if self.log.borrow().durable() >= lsn {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push((lsn, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    async fn write_records(&self) {
        while let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            let lsn = self.log.borrow_mut().append(&RECORD).expect("256 writers do not fill the log");
            self.durable(lsn).await;
        }
        self.writers.set(self.writers.get() - 1);
    }

    fn committed(&self, durable: Lsn) {
        self.waiting.borrow_mut().retain(|(lsn, waker)| {
            let waits = *lsn > durable;
            if !waits {
                waker.wake_by_ref();
            }
            waits
        });
    }
}

/// Writes batch after batch until every writer has ended.
async fn flush<D: Disk>(shared: &Rc<Shared<D>>, runtime: &impl Runtime) {
    let returned = Rc::new(RefCell::new(None));
    while shared.writers.get() > 0 {
        if let Some(prepared) = returned.borrow_mut().take() {
            shared.log.borrow_mut().prepared(prepared).expect("the disk has room");
        }
        let preparation = shared.log.borrow_mut().take_preparation();
        if let Some(work) = preparation {
            let returned = Rc::clone(&returned);
            drop(runtime.spawn("segment", async move { *returned.borrow_mut() = Some(work.run().await) }));
        }
        let batch = shared.log.borrow_mut().take_batch().expect("the disk works");
        let Some(batch) = batch else {
            runtime.turn().await;
            continue;
        };
        let flushed = batch.write().await;
        let durable = shared.log.borrow_mut().committed(flushed).expect("the disk works");
        shared.committed(durable);
    }
}

/// Time that `writers` take for `records` between them.
fn append(writers: u64, records: u64) -> Duration {
    let dir = bench_dir();
    let home = home(dir.path());
    on_executor(move |runtime| async move {
        let log = start(&GlommioDisk::new(&runtime), &home).await;
        let shared = Rc::new(Shared {
            log: RefCell::new(log),
            waiting: RefCell::new(Vec::new()),
            left: Cell::new(records),
            writers: Cell::new(writers),
        });
        let begun = Instant::now();
        for _ in 0..writers {
            let shared = Rc::clone(&shared);
            drop(runtime.spawn("writer", async move { shared.write_records().await }));
        }
        flush(&shared, &runtime).await;
        let time = begun.elapsed();
        let shared = Rc::try_unwrap(shared).unwrap_or_else(|_| unreachable!("every task has ended"));
        shared.log.into_inner().close().await.expect("the files close");
        time
    })
}

fn group_commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("log append with group commit");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for writers in [1, 16, 256] {
        group.bench_function(format!("{writers} concurrent writers"), |b| {
            b.iter_custom(|records| append(writers, records));
        });
    }
    group.finish();
}

/// Makes a log of [`SCANNED_RECORDS`]; its length in bytes.
fn fill(home: ShardHome) -> u64 {
    on_executor(move |runtime| async move {
        let mut log = start(&GlommioDisk::new(&runtime), &home).await;
        while log.durable() < Lsn(SCANNED_RECORDS) {
            if let Some(work) = log.take_preparation() {
                log.prepared(work.run_at_once().await).expect("the disk has room");
            }
            while log.next_lsn() <= Lsn(SCANNED_RECORDS) && log.append(&RECORD).is_ok() {}
            while let Some(batch) = log.take_batch().expect("the disk works") {
                log.committed(batch.write().await).expect("the disk works");
            }
        }
        let bytes = log.stats().bytes;
        log.close().await.expect("the files close");
        bytes
    })
}

fn recovery_scan(c: &mut Criterion) {
    let dir = bench_dir();
    let home = home(dir.path());
    let bytes = fill(home.clone());
    let mut group = c.benchmark_group("log recovery scan");
    group.sample_size(10);
    let mut scan = |name: &str, throughput| {
        group.throughput(throughput).bench_function(name, |b| {
            b.iter_custom(|times| {
                let home = home.clone();
                on_executor(move |runtime| async move {
                    let disk = GlommioDisk::new(&runtime);
                    let begun = Instant::now();
                    for _ in 0..times {
                        let recovered = recover(&disk, &home, |replayed| {
                            if let Replayed::Record { bytes, .. } = replayed {
                                black_box(bytes);
                            }
                            Ok::<_, Infallible>(())
                        });
                        let recovered = recovered.await.expect("the log is sound");
                        assert_eq!(recovered.records, SCANNED_RECORDS);
                    }
                    begun.elapsed()
                })
            });
        });
    };
    scan("1,000,000 records of 256 bytes, by bytes", Throughput::Bytes(bytes));
    scan("1,000,000 records of 256 bytes, by records", Throughput::Elements(SCANNED_RECORDS));
    group.finish();
}

criterion_group!(benches, group_commit, recovery_scan);
criterion_main!(benches);
