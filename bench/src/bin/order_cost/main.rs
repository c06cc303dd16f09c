//! What does an order cost the CPU of its shard: signed, written, its answer read, over TLS?
//!
//! `cargo run --release -p coinbitclub-bench --bin order_cost [-- --samples N] [--only PART]`, e.g. `--only binance` or
//! `--only bybit-http`. One thread (CPU 0) is a shard's side of an exchange: connector, transport, TLS, io_uring, nothing
//! else; the paper exchange, which checks every signature, is another thread (CPU 1). CPU time is the first thread's own, by
//! its clock, from handing the orders to the connector until the last answer was taken; streams are silent, so that nothing
//! but orders is paid for. *Alone*: each order waits for the answer to the one before, so that it pays its system calls alone;
//! *together*: all at once, as a fan-out leaves. Beside it, in the same run: fixed bytes of the same lengths over the same
//! client code and TLS, which nobody signs or reads (*wire*), and the signing and reading by themselves.
//! Not shown: latency, fills, a network card.

mod desk;
mod ways;
mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::ExitCode;

use ways::Way;

/// How often a sample is tried.
const ATTEMPTS: usize = 5;
/// CPUs of the shard's side and of the exchange.
pub(crate) const CPUS: [usize; 2] = [0, 1];

/// CPU time in microseconds per order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// One at a time.
    alone: f64,
    /// All at once.
    together: f64,
}

/// CPU microseconds of each of `count` things, by the thread's clock.
pub(crate) fn each<E>(count: usize, work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let began = bench_support::sys::thread_cpu_ns();
    work()?;
    let spent = bench_support::sys::thread_cpu_ns() - began;
    #[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
    Ok(spent as f64 / 1e3 / count as f64)
}

struct Options {
    samples: usize,
    only: String,
}

fn options() -> Result<Options, String> {
    let mut options = Options { samples: 3, only: String::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--samples" => {
                let count = words.next().and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                options.samples = count.ok_or("--samples: a number above zero")?;
            }
            "--only" => options.only = words.next().ok_or("--only: a part of a way's name")?,
            other => return Err(format!("{other:?}: expected --samples N or --only PART")),
        }
    }
    Ok(options)
}

fn measure(options: &Options) -> Result<(), String> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    if available < 2 {
        return Err("two CPUs are needed: one for the shard and one for the exchange".to_owned());
    }
    let _ = tuning::raise_soft_limits();
    bench_support::sys::run_on(CPUS[0]).map_err(|error| format!("CPU {}: {error}", CPUS[0]))?;
    println!("| order by | alone | of it wire | together | of it wire | sign and build | read the answer |");
    println!("|---|---|---|---|---|---|---|");
    for way in ways::ALL.into_iter().filter(|way| way.name.contains(&options.only)) {
        let samples = (0..options.samples).map(|_| sample(&way)).collect::<Result<Vec<_>, _>>()?;
        let of = |pick: fn(&Sample) -> f64| {
            let mut figures: Vec<f64> = samples.iter().map(pick).collect();
            figures.sort_by(f64::total_cmp);
            figures[0]
        };
        println!(
            "| {} | {:.1} µs | {:.1} | {:.1} µs | {:.1} | {:.2} | {:.2} |",
            way.name,
            of(|s| s.order.alone),
            of(|s| s.wire.alone),
            of(|s| s.order.together),
            of(|s| s.wire.together),
            of(|s| s.sign),
            of(|s| s.read),
        );
    }
    Ok(())
}

/// One look at a way; the least of several is shown, for other programs only ever add to it.
struct Sample {
    order: Cost,
    wire: Cost,
    sign: f64,
    read: f64,
}

fn sample(way: &Way) -> Result<Sample, String> {
    let parts = (way.parts)(way)?;
    // On a busy machine one that takes longer than a second is disturbed by questions: once more.
    let mut order = (way.orders)(way);
    for _ in 1..ATTEMPTS {
        if order.is_ok() {
            break;
        }
        order = (way.orders)(way);
    }
    let order = order?;
    let wire = wire::measure(way, &parts)?;
    Ok(Sample { order, wire, sign: parts.sign, read: parts.read })
}

fn main() -> ExitCode {
    match options().and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
