//! What does a request cost the server, beside nginx in the same run? And what a durable order, a WebSocket message?
//!
//! `cargo xtask bench-http [--json] [--seconds N] [--only static|durable|websocket]` (needs `nginx` and `wrk`, which it
//! installs). Servers run one at a time on one CPU, the load on another; a server's CPU time is what the scheduler counted
//! for all its threads. Figures per operation and ratios hold on a noisy machine, rates do not.

mod bare;
mod durable;
mod nginx;
mod report;
mod server;
mod static_route;
mod websocket;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::ExitCode;
use std::time::Duration;

use report::Report;

/// Where the load runs and where the servers do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus {
    load: usize,
    server: usize,
}

/// What to measure.
struct Options {
    json: bool,
    span: Duration,
    only: Option<String>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self { json: false, span: Duration::from_secs(4), only: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--seconds" => {
                    let seconds = words.next().and_then(|word| word.parse().ok());
                    options.span = Duration::from_secs(seconds.ok_or("--seconds: a number")?);
                }
                "--only" => options.only = Some(words.next().ok_or("--only: a part's name")?.clone()),
                other => return Err(format!("{other:?}: expected --json, --seconds N or --only PART")),
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.first().map(String::as_str) {
        Some("serve") => server::serve(&words[1..]),
        _ => Options::parse(&words).and_then(|options| measure(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    if available < 2 {
        return Err("two CPUs are needed: one for the server and one for the load".to_owned());
    }
    let cpus = Cpus { load: 0, server: 1 };
    let _ = tuning::raise_soft_limits();
    bench_support::sys::run_on(cpus.load).map_err(|error| format!("CPU {}: {error}", cpus.load))?;
    let mut report = Report::new(options.json);
    let nginx = nginx::Nginx::start(cpus.server)?;
    if options.wants("static") {
        static_route::measure(&mut report, &nginx, cpus, options.span)?;
    } else {
        static_route::baseline(&mut report, &nginx, cpus, options.span)?;
    }
    drop(nginx);
    if options.wants("durable") {
        durable::measure(&mut report, cpus, options.span)?;
    }
    if options.wants("websocket") {
        websocket::measure(&mut report, cpus, options.span)?;
    }
    report.print();
    Ok(())
}
