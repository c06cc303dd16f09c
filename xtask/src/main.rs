//! The project's automation: `cargo xtask test | tidy | bench | bench-http | sim | mutants | fuzz | conformance`.
//!
//! **Purpose**: one command behind every check, the same for people and for the continuous integration.
//! **Invariants**: standard library only, so that it builds in seconds on a fresh clone; nothing is skipped silently; the
//! last line of `test` is `N passed, N failed`.
//! **Never**: reads standard input.

mod clients;
mod conformance;
mod deny;
mod deploy;
mod fuzz;
mod mutants;
mod peers;
mod prerequisites;
mod purity;
mod repository;
mod run;
mod source;
mod steps;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test              every check, in an order that fails fast; stops at the first failure
  test --only NAME  this step alone (may be given several times)
  test --list       the steps, each with its reason
  tidy              the repository's own lint
  bench [ARGS]      all criterion benchmarks; ARGS go to criterion, such as a name to filter by
  bench-http [ARGS] CPU per request beside nginx, durable orders, WebSockets; ARGS: --json, --seconds N,
                    --only static|durable|websocket
  sim [ARGS]        the simulator, optimised; ARGS go to `coinbitclub sim`, such as --seeds 0..100000 or --seed 7 --trace
  mutants [NAME...] known bugs, each switched on alone: a check must fail; --jobs N at once (all CPUs)
  fuzz [TARGET] [S] the fuzzers of net/fuzz and fuzz, each for S seconds (600), from the kept corpus (needs nightly)
  conformance [CASES]  the Autobahn testsuite against our WebSocket server and client (needs Python 2.7)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", rest @ ..] => match run::Selection::parse(rest) {
            Ok(selection) => run::test(&selection),
            Err(message) => fail(&message),
        },
        ["tidy"] => match tidy::check() {
            Ok(note) => {
                println!("{note}");
                ExitCode::SUCCESS
            }
            Err(message) => fail(&message),
        },
        ["bench", rest @ ..] => run::bench(rest),
        ["bench-http", rest @ ..] => run::bench_http(rest),
        ["sim", rest @ ..] => run::sim(rest),
        ["mutants", rest @ ..] => mutants::command(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["conformance", cases @ ..] => conformance::run(cases),
        _ => fail(USAGE),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{}", message.trim_end());
    ExitCode::FAILURE
}
