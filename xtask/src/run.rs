//! Running steps: one after the other, each with a limit, then the summary.
//!
//! **Bounds**: a step that exceeds its limit is ended together with everything it started.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::prerequisites;
use crate::repository;
use crate::steps::{Action, BUDGET, Outcome, STEPS, Step};

/// Which steps to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Print the steps instead.
    List,
    /// All of them.
    All,
    /// Those named.
    Only(Vec<String>),
}

impl Selection {
    /// Reads what follows `test` on the command line.
    pub(crate) fn parse(mut words: &[&str]) -> Result<Self, String> {
        let mut only = Vec::new();
        loop {
            match words {
                [] if only.is_empty() => return Ok(Self::All),
                [] => return Ok(Self::Only(only)),
                ["--list"] => return Ok(Self::List),
                ["--only", name, rest @ ..] => {
                    if STEPS.iter().all(|step| step.name != *name) {
                        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
                        return Err(format!("no step {name:?}; there are: {}", names.join(" ")));
                    }
                    only.push((*name).to_owned());
                    words = rest;
                }
                [word, ..] => return Err(format!("{word:?}: expected --only NAME or --list")),
            }
        }
    }

    fn includes(&self, step: &Step) -> bool {
        match self {
            Self::List => false,
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == step.name),
        }
    }
}

/// No files for building parts anew: the steps build everything once, and those files took more room than all programs
/// together (8.6 of 14 GB, `du -sh target/debug/incremental`).
pub(crate) const WHOLE_BUILDS: [(&str, &str); 1] = [("CARGO_INCREMENTAL", "0")];

/// One line of the summary.
struct Line {
    name: &'static str,
    result: &'static str,
    time: Duration,
    note: String,
}

/// Runs the selected steps up to the first failure, prints the summary and the closing line.
pub(crate) fn test(selection: &Selection) -> ExitCode {
    if *selection == Selection::List {
        for step in STEPS {
            println!("{:<18} {}", step.name, step.why);
        }
        return ExitCode::SUCCESS;
    }
    let mut lines: Vec<Line> = Vec::new();
    let mut failure = None;
    for step in STEPS.iter().filter(|step| selection.includes(step)) {
        if failure.is_some() {
            lines.push(Line {
                name: step.name,
                result: "not run",
                time: Duration::ZERO,
                note: String::new(),
            });
            continue;
        }
        println!("\n=== {}: {}", step.name, step.why);
        let started = Instant::now();
        let outcome = perform(step);
        let time = started.elapsed();
        let (result, note) = match outcome {
            Ok(Outcome::Passed(note)) => ("passed", note),
            Ok(Outcome::LeftOut(reason)) => ("left out", reason),
            Err(message) => {
                eprintln!("{message}");
                failure = Some(step);
                ("FAILED", String::new())
            }
        };
        lines.push(Line { name: step.name, result, time, note });
    }
    print!("{}", summary(&lines, failure));
    // A run in which nothing passed, because all that was asked for was left out, has shown nothing.
    let shown = lines.iter().any(|line| line.result == "passed");
    if failure.is_none() && shown { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(lines: &[Line], failure: Option<&Step>) -> String {
    let mut out = String::from("\n");
    let mut total = Duration::ZERO;
    for line in lines {
        total += line.time;
        let text = format!(
            "{:<18} {:<9} {:>7.1} s  {}",
            line.name,
            line.result,
            line.time.as_secs_f64(),
            line.note.lines().next().unwrap_or_default()
        );
        writeln!(out, "{}", text.trim_end()).expect("writing to a String cannot fail");
    }
    writeln!(out, "{:<28} {:>7.1} s", "all", total.as_secs_f64()).expect("writing to a String cannot fail");
    if total > BUDGET {
        writeln!(out, "over the budget of {} minutes: make the slowest step faster", BUDGET.as_secs() / 60)
            .expect("writing to a String cannot fail");
    }
    if let Some(step) = failure {
        writeln!(
            out,
            "\n{} failed. What to do: {}\nThen run it alone: cargo xtask test --only {}",
            step.name, step.remedy, step.name
        )
        .expect("writing to a String cannot fail");
    }
    let count = |result| lines.iter().filter(|line| line.result == result).count();
    writeln!(out, "\n{} passed, {} failed", count("passed"), count("FAILED"))
        .expect("writing to a String cannot fail");
    out
}

/// Where a test says that it, or a part of it, cannot be done on this machine, in the directory of the build: a file
/// `left-out-NAME.txt` with why.
const TOLD_BY_TESTS: &str = "tmp";

/// What tests have said that they left out; `forget` removes it.
fn left_out(told: &Path, forget: bool) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(told).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(test) = name.to_str().and_then(|name| name.strip_prefix("left-out-")) else { continue };
        let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
        if forget {
            fs::remove_file(&path).map_err(wrong)?;
        } else {
            let why = fs::read_to_string(&path).map_err(wrong)?;
            all.push(format!("{}: {}", test.trim_end_matches(".txt"), why.trim_end()));
        }
    }
    all.sort();
    Ok(all)
}

fn perform(step: &Step) -> Result<Outcome, String> {
    match &step.action {
        Action::Check(check) => check(),
        Action::Command { words, variables } => {
            let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
            let told = repository::root().join(target).join(TOLD_BY_TESTS);
            left_out(&told, true)?;
            let passed = run_words(words, variables, step.limit)?;
            match (passed, left_out(&told, false)?) {
                (Outcome::Passed(_), some) if !some.is_empty() => {
                    Ok(Outcome::Passed(format!("without {}", some.join("; "))))
                }
                (passed, _) => Ok(passed),
            }
        }
        Action::Nightly { words, variables } => {
            if prerequisites::has_nightly() {
                run_words(words, variables, step.limit)
            } else {
                Ok(Outcome::LeftOut("no nightly toolchain (rustup toolchain install nightly)".to_owned()))
            }
        }
    }
}

fn run_words(words: &[&str], variables: &[(&str, &str)], limit: Duration) -> Result<Outcome, String> {
    let prefix: String = variables.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
    let shown = format!("{prefix}{}", words.join(" "));
    println!("$ {shown}");
    let (program, arguments) = words.split_first().ok_or("a step without a program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .envs(WHOLE_BUILDS)
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(Outcome::Passed(String::new())),
            Ok(Some(status)) => return Err(format!("{shown}: {status}")),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                end_with_descendants(&mut child);
                return Err(format!("{shown}: ended after {} s, the step's limit", limit.as_secs()));
            }
            Err(error) => return Err(format!("{shown}: {error}")),
        }
    }
}

/// Ends a process and all it started, so that no test server outlives a step that hangs. All are stopped first, until a
/// look finds nobody new: a running process could start another between the look and the end.
pub(crate) fn end_with_descendants(child: &mut Child) {
    let signal = |name: &str, ids: &[u32]| {
        // What has ended meanwhile makes kill complain; the child's own end is waited for below.
        let ids = ids.iter().map(u32::to_string);
        let _ = Command::new("kill").arg(name).args(ids).stderr(Stdio::null()).status();
    };
    let mut found: Vec<u32> = Vec::new();
    loop {
        let family = with_descendants(child.id());
        let grew = family.iter().any(|id| !found.contains(id));
        if !grew {
            break;
        }
        signal("-STOP", &family);
        found = family;
    }
    signal("-KILL", &found);
    let _ = child.kill();
    let _ = child.wait();
}

/// The process and all its descendants.
fn with_descendants(id: u32) -> Vec<u32> {
    let mut family = vec![id];
    let mut next = 0;
    while let Some(&id) = family.get(next) {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    family
}

/// Runs every criterion benchmark; `rest` goes to criterion.
pub(crate) fn bench(rest: &[&str]) -> ExitCode {
    let mut words = vec!["cargo", "bench", "--workspace", "--benches", "--locked", "--"];
    words.extend(rest);
    command(&words)
}

/// Measures the whole server over HTTP beside nginx; `rest` goes to the measuring program.
pub(crate) fn bench_http(rest: &[&str]) -> ExitCode {
    if let Err(message) = prerequisites::need(&["nginx", "wrk", "taskset"]) {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    optimised(&["--package", "coinbitclub-bench", "--bin", "http_bench", "--"], rest)
}

/// Runs the simulator, optimised; `rest` goes to it.
pub(crate) fn sim(rest: &[&str]) -> ExitCode {
    optimised(&["--package", "coinbitclub", "--", "sim"], rest)
}

/// Builds a program of this workspace for release and runs it. Not announced on standard output, which is the program's alone.
fn optimised(program: &[&str], rest: &[&str]) -> ExitCode {
    let status = Command::new("cargo")
        .args(["run", "--release", "--locked", "--quiet"])
        .args(program)
        .args(rest)
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a program to its end; a failure says which.
pub(crate) fn checked(command: &mut Command) -> Result<(), String> {
    let status = command
        .envs(WHOLE_BUILDS)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended: {status}")) }
}

/// Runs a command that people start by hand, for as long as it takes.
pub(crate) fn command(words: &[&str]) -> ExitCode {
    match run_words(words, &[], Duration::from_hours(4)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &'static str, result: &'static str, note: &str) -> Line {
        Line { name, result, time: Duration::from_millis(1250), note: note.to_owned() }
    }

    #[test]
    fn the_summary_ends_in_the_counts_and_shows_what_was_left_out() {
        let lines = [
            line("format", "passed", ""),
            line("asan", "left out", "no nightly toolchain"),
            line("x", "passed", ""),
        ];
        let text = summary(&lines, None);
        assert_eq!(text.lines().last(), Some("2 passed, 0 failed"));
        assert!(text.contains("asan               left out      1.2 s  no nightly toolchain"), "{text}");
    }

    #[test]
    fn what_tests_leave_out_is_told_once() {
        let dir = std::env::temp_dir().join(format!("xtask-left-out-{}", std::process::id()));
        assert_eq!(left_out(&dir, false), Ok(vec![]), "no such directory");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("left-out-disk.txt"), "no loop device\n").unwrap();
        fs::write(dir.join("other.txt"), "of somebody else").unwrap();
        assert_eq!(left_out(&dir, false), Ok(vec!["disk: no loop device".to_owned()]));
        left_out(&dir, true).unwrap();
        assert_eq!(left_out(&dir, false), Ok(vec![]));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let failed = STEPS.iter().find(|step| step.name == "format");
        let text = summary(&[line("format", "FAILED", ""), line("tidy", "not run", "")], failed);
        assert!(text.contains("What to do: cargo fmt --all\n"), "{text}");
        assert!(text.ends_with("\n0 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn selections() {
        assert_eq!(Selection::parse(&[]), Ok(Selection::All));
        assert_eq!(Selection::parse(&["--list"]), Ok(Selection::List));
        assert_eq!(
            Selection::parse(&["--only", "tidy", "--only", "loom"]),
            Ok(Selection::Only(vec!["tidy".to_owned(), "loom".to_owned()]))
        );
        assert!(Selection::parse(&["--only", "nothing"]).is_err_and(|error| error.contains("prerequisites")));
        assert!(Selection::parse(&["--only"]).is_err());
        assert!(Selection::parse(&["fast"]).is_err());
    }

    #[test]
    fn a_failing_and_a_missing_program_are_failures() {
        assert!(run_words(&["false"], &[], Duration::from_mins(1)).is_err());
        assert!(run_words(&["/nonexistent/program"], &[], Duration::from_mins(1)).is_err());
        assert!(run_words(&["sh", "-c", "test \"$A\" = 1"], &[("A", "1")], Duration::from_mins(1)).is_ok());
    }

    #[test]
    fn a_step_that_hangs_is_ended_with_what_it_started() {
        // The inner shell holds the pipe as well: the read below ends when all its holders have ended, and an inner shell
        // that outlived its parent would still say so.
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'echo ready; sleep 20; echo outlived'; true"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        std::io::BufRead::read_line(&mut pipe, &mut first).unwrap();
        end_with_descendants(&mut child);
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut pipe, &mut rest).unwrap();
        assert_eq!((first.as_str(), rest.as_str()), ("ready\n", ""));
    }
}
