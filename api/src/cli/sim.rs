//! `coinbitclub sim`: one seed with its trace, or a range of seeds on all cores with a summary.
//!
//! **Runs on**: the caller's thread for one seed; for a range, child processes of the same binary do the runs, so that a panic or
//! a hang costs one run and names its seed.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::sim::faults::{Coverage, Fault, Situation, unreachable};
use crate::sim::fleet::{Failure, Fleet, Totals};
use crate::sim::{BareTime, Judged, Outcome, Overrides, run};

/// `sim`.
#[derive(Args)]
pub struct SimArgs {
    /// Run this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run the seeds from A up to, and not including, B: `A..B`.
    #[arg(long, value_parser = range, value_name = "A..B", required_unless_present = "seed")]
    seeds: Option<(u64, u64)>,
    /// Print everything that happens in the run of --seed, one line each.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Print one JSON object at the end instead of the text.
    #[arg(long)]
    json: bool,
    /// Runs at a time; as many as there are CPUs when left out.
    #[arg(long)]
    jobs: Option<usize>,
    /// Leave these faults out, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = fault, value_name = "FAULT")]
    without: Vec<Fault>,
    /// Traders at most.
    #[arg(long)]
    traders: Option<u32>,
    /// Virtual seconds of load at most.
    #[arg(long)]
    load_seconds: Option<u32>,
    /// Accounts on exchanges in every seed, not only in a third.
    #[arg(long)]
    live: bool,
    /// Exit with 1 when a fault never struck in a situation that it can strike in.
    #[arg(long, requires = "seeds")]
    require_coverage: bool,
    /// Exit with 1 when less was held against the product than so many seeds must come to: a judge that excuses or agrees with
    /// everything finds nothing.
    #[arg(long, requires = "seeds")]
    require_judged: bool,
    /// Go on after this many failing seeds and no further.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// Leave a failing seed as it was found: do not make it smaller.
    #[arg(long, requires = "seeds")]
    as_found: bool,
    /// Runs the seeds that standard input names and says on standard output what came of each; for the parent's use.
    #[arg(long, hide = true)]
    worker: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("two numbers with `..` between them")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (from, to) = (number(from)?, number(to)?);
    if from < to { Ok((from, to)) } else { Err("the first number is below the second".to_owned()) }
}

fn fault(name: &str) -> Result<Fault, String> {
    Fault::of_name(name).ok_or_else(|| {
        let names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

/// Runs it. The exit code is 1 when something was violated, or, where that is asked for, when a fault did not strike where it can.
///
/// # Errors
/// What kept the runs from being made.
pub fn sim(args: &SimArgs) -> Result<ExitCode, String> {
    let overrides = Overrides {
        without: args.without.clone(),
        traders_max: args.traders,
        load_seconds_max: args.load_seconds,
        live: args.live,
    };
    if args.worker {
        crate::sim::fleet::work(&overrides);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(seed) = args.seed {
        return Ok(one(args, seed, &overrides));
    }
    let (from, to) = args.seeds.ok_or("--seed or --seeds")?;
    many(args, from, to, &overrides)
}

fn one(args: &SimArgs, seed: u64, overrides: &Overrides) -> ExitCode {
    let outcome = run(seed, overrides, args.trace);
    for line in &outcome.trace {
        println!("{line}");
    }
    if args.json {
        println!("{}", outcome_json(&outcome));
    } else if !args.trace {
        let Outcome { virtual_ns, answers, decisions, lives, exchange_orders, digest, .. } = outcome;
        println!(
            "seed {seed}: {} virtual s, {answers} answers, {decisions} decisions, {lives} lives, {exchange_orders} orders on exchanges, digest {digest:016x}",
            virtual_ns / 1_000_000_000
        );
    }
    match &outcome.violation {
        Some(what) => {
            eprintln!("seed {seed}: {what}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn outcome_json(outcome: &Outcome) -> serde_json::Value {
    json!({
        "seed": outcome.seed,
        "violation": outcome.violation,
        "virtual_ns": outcome.virtual_ns,
        "answers": outcome.answers,
        "decisions": outcome.decisions,
        "lives": outcome.lives,
        "exchange_orders": outcome.exchange_orders,
        "without_stop": { "decided": bare_json(&outcome.bare), "on_exchanges": bare_json(&outcome.bare_there) },
        "judged": judged_json(&outcome.judged),
        "digest": format!("{:016x}", outcome.digest),
    })
}

fn many(args: &SimArgs, from: u64, to: u64, overrides: &Overrides) -> Result<ExitCode, String> {
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(to - from) };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left {msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let began = std::time::Instant::now();
    let mut fleet = Fleet::new(overrides.clone(), jobs, args.failures.max(1));
    let (mut failures, mut lines) = (0, 0);
    let totals = fleet.run(from, to, |so_far| {
        bar.set_position(so_far.seeds);
        // A failure is said when it is found: a long run can be ended before it has ended by itself.
        for failure in so_far.failures.iter().skip(failures) {
            bar.suspend(|| eprintln!("seed {}: {}", failure.seed, failure.what));
        }
        failures = so_far.failures.len();
        if failures > 0 {
            bar.set_message(format!("{failures} failed"));
        }
        if bar.is_hidden() && so_far.seeds / 5_000 > lines {
            lines = so_far.seeds / 5_000;
            eprintln!("{} of {} seeds, {failures} failed", so_far.seeds, to - from);
        }
    })?;
    bar.finish_and_clear();
    let smallest = totals
        .failures
        .first()
        .filter(|_| !args.as_found)
        .map(|failure| fleet.minimise(failure))
        .transpose()?;
    let wall_s = began.elapsed().as_secs();
    if args.json {
        println!("{}", totals_json(&totals, smallest.as_ref(), from, to, wall_s));
    } else {
        print_totals(&totals, from, to, wall_s);
    }
    if let Some(smallest) = &smallest {
        eprintln!("to repeat it at its smallest: {}", smallest.command());
        eprintln!("there: {}", smallest.what);
    }
    let too_little = totals.too_little();
    let unjudged = args.require_judged && !too_little.is_empty();
    if unjudged {
        eprintln!("{}", too_little.join("\n"));
    }
    let missing = missing(&totals.coverage);
    let lacks = args.require_coverage && !missing.is_empty();
    if lacks {
        eprintln!("these never struck: {}", missing.join(", "));
    }
    Ok(if totals.failures.is_empty() && !lacks && !unjudged { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The reachable pairs that never struck, in words.
fn missing(coverage: &Coverage) -> Vec<String> {
    coverage.missing().map(|(fault, s)| format!("{} in {}", fault.name(), s.name())).collect()
}

fn bare_json(bare: &BareTime) -> serde_json::Value {
    json!({
        "judged_ms": bare.judged_ms,
        "capped_ms": bare.capped_ms,
        "excused_ms": bare.excused_ms,
        "longest_ms": bare.longest_ms,
        "longest_capped_ms": bare.longest_capped_ms,
    })
}

/// Positions without a live stop, in a line: how much of it was held against the server.
fn print_bare(of: &str, bare: &BareTime) {
    println!(
        "without a live stop {of}: {} position-seconds judged, {} held against the cap alone, {} excused; at most {} ms undisturbed, {} ms in all",
        bare.judged_ms / 1_000,
        bare.capped_ms / 1_000,
        bare.excused_ms / 1_000,
        bare.longest_ms,
        bare.longest_capped_ms
    );
}

fn judged_json(judged: &Judged) -> serde_json::Value {
    json!({
        "pages": judged.pages,
        "spoilt_pages": judged.spoilt_pages,
        "spoilt_states": judged.spoilt_states,
        "accounts": judged.accounts,
        "watched_ms": judged.watched_us / 1_000,
        "requests_ms": judged.requests_ms,
        "sockets_ms": judged.sockets_ms,
        "resealed": judged.resealed,
        "banned_ms": judged.banned_ms,
    })
}

/// What else was held against the server, in two lines.
fn print_judged(judged: &Judged) {
    println!(
        "{} pages compared, and {} accounts with the exchanges; {} spoilt pages and {} spoilt states, all refused",
        judged.pages, judged.accounts, judged.spoilt_pages, judged.spoilt_states
    );
    println!(
        "positions on exchanges watched for {} s in which a missing stop is judged; limits judged: {} s of requests, {} s of sockets, {} s of bans",
        judged.watched_us / 1_000_000,
        judged.requests_ms / 1_000,
        judged.sockets_ms / 1_000,
        judged.banned_ms / 1_000
    );
}

/// Tenths of an hour of virtual time, as a decimal.
fn hours(virtual_ns: u128) -> String {
    let tenths = virtual_ns / 360_000_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn totals_json(
    totals: &Totals,
    smallest: Option<&Failure>,
    from: u64,
    to: u64,
    wall_s: u64,
) -> serde_json::Value {
    let coverage: BTreeMap<&str, BTreeMap<&str, u64>> = Fault::ALL
        .iter()
        .map(|fault| {
            let of = |s: &Situation| (s.name(), totals.coverage.count(*fault, *s));
            (fault.name(), Situation::ALL.iter().map(of).collect())
        })
        .collect();
    json!({
        "from": from,
        "to": to,
        "seeds_run": totals.seeds,
        "failing_seed": totals.failures.first().map(|failure| failure.seed),
        "failures": totals.failures.iter().map(|f| json!({ "seed": f.seed, "what": f.what })).collect::<Vec<_>>(),
        "repeat": smallest.map(Failure::command),
        "simulated_hours": hours(totals.virtual_ns),
        "answers": totals.answers,
        "decisions": totals.decisions,
        "lives": totals.lives,
        "exchange_orders": totals.exchange_orders,
        "digest": format!("{:016x}", totals.digest),
        "without_stop": { "decided": bare_json(&totals.bare), "on_exchanges": bare_json(&totals.bare_there) },
        "judged": judged_json(&totals.judged),
        "too_little": totals.too_little(),
        "coverage": coverage,
        "missing": missing(&totals.coverage),
        "wall_s": wall_s,
    })
}

fn print_totals(totals: &Totals, from: u64, to: u64, wall_s: u64) {
    println!(
        "{} seeds of {from}..{to} in {wall_s} s: {} simulated hours, {} answers and {} decisions compared with the model, {} lives of the server, {} orders on exchanges",
        totals.seeds,
        hours(totals.virtual_ns),
        totals.answers,
        totals.decisions,
        totals.lives,
        totals.exchange_orders
    );
    print_bare("by our books", &totals.bare);
    print_bare("on the exchanges", &totals.bare_there);
    print_judged(&totals.judged);
    print_coverage(&totals.coverage);
    println!("digest of all runs: {:016x}", totals.digest);
}

/// How often each fault struck in each situation; `-` where it cannot.
fn print_coverage(coverage: &Coverage) {
    print!("{:<15}", "fault");
    for situation in Situation::ALL {
        print!(" {:>11}", &situation.name()[..situation.name().len().min(11)]);
    }
    println!();
    for fault in Fault::ALL {
        print!("{:<15}", fault.name());
        for situation in Situation::ALL {
            let count = coverage.count(*fault, *situation);
            match unreachable(*fault, *situation) {
                Some(_) if count == 0 => print!(" {:>11}", "-"),
                _ => print!(" {count:>11}"),
            }
        }
        println!();
    }
    let missing = coverage.missing().count();
    println!("reachable pairs that never struck: {missing}");
}
