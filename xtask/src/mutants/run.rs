//! Running the checks: first all with no bug on, then each bug with its own.
//!
//! **Bounds**: a check that runs longer than [`LIMIT`] is ended with all it started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::build::{self, Program};
use super::{Check, Mutant, all};
use crate::repository;
use crate::run::end_with_descendants;
use crate::steps::Outcome;

/// The checks are chosen to take seconds, on a machine that does nothing else; what takes this long hangs.
const LIMIT: Duration = Duration::from_mins(5);
/// What the random cases of a check come from.
const SEED: &str = "1";
/// Where the programs' outputs are left.
const OUTPUTS: &str = "target/planted/outputs";
/// The server, which is the simulator as well.
const SERVER: &str = "target/planted/debug/coinbitclub";

/// How a run of a check ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// With success.
    Passed,
    /// With a failure; what failed.
    Failed(String),
    /// Not within the limit.
    Hung,
    /// It cannot be run at all, or found something that is not the bug.
    Broken(String),
}

/// What came of a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Caught,
    Survived,
}

/// The command line.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    names: Vec<String>,
    jobs: usize,
}

impl Plan {
    fn parse(mut words: &[&str]) -> Result<Self, String> {
        let mut plan =
            Self { names: Vec::new(), jobs: std::thread::available_parallelism().map_or(1, usize::from) };
        loop {
            words = match words {
                [] => return Ok(plan),
                ["--jobs", count, rest @ ..] => {
                    plan.jobs = count.parse().ok().filter(|jobs| *jobs > 0).ok_or("--jobs: 1 or more")?;
                    rest
                }
                [name, rest @ ..] => {
                    if all().all(|mutant| mutant.name != *name) {
                        return Err(format!("no bug is named {name:?}; the list is in xtask/src/mutants/"));
                    }
                    plan.names.push((*name).to_owned());
                    rest
                }
            }
        }
    }
}

/// `cargo xtask mutants [NAME...] [--jobs N]`.
pub(crate) fn command(words: &[&str]) -> ExitCode {
    match Plan::parse(words).and_then(|plan| run(&plan)) {
        Ok(note) => {
            println!("{note}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The step of `cargo xtask test`.
pub(crate) fn step() -> Result<Outcome, String> {
    run(&Plan::parse(&[])?).map(Outcome::Passed)
}

fn run(plan: &Plan) -> Result<String, String> {
    let chosen: Vec<&Mutant> = all()
        .filter(|mutant| plan.names.is_empty() || plan.names.iter().any(|name| name == mutant.name))
        .collect();
    let mut programs = build::product()?;
    let pairs: Vec<(&Mutant, Check)> =
        chosen.iter().flat_map(|mutant| mutant.checks().map(|check| (*mutant, check))).collect();
    if pairs.iter().any(|(_, check)| matches!(check, Check::Loom { .. })) {
        programs.extend(build::loom()?);
    }
    fs::create_dir_all(repository::root().join(OUTPUTS)).map_err(|error| format!("{OUTPUTS}: {error}"))?;

    let mut checks: Vec<Check> = Vec::new();
    for (_, check) in &pairs {
        let check = without_words(*check);
        if !checks.contains(&check) {
            checks.push(check);
        }
    }
    let before: Vec<Ending> = side_by_side(plan.jobs, &checks, |place, check| {
        perform(&programs, *check, None, &format!("none-{place}"))
    });
    let wrong: Vec<String> = checks
        .iter()
        .zip(&before)
        .filter(|(_, ending)| **ending != Ending::Passed)
        .map(|(check, ending)| format!("{}: {ending:?}", shown(*check)))
        .collect();
    if !wrong.is_empty() {
        return Err(format!("with no bug on, these fail:\n{}", wrong.join("\n")));
    }
    println!("{} checks pass with no bug on", checks.len());

    let lines = Mutex::new(());
    let verdicts = side_by_side(plan.jobs, &pairs, |_, (mutant, check)| {
        let started = Instant::now();
        let output = match check {
            Check::Sim { .. } => format!("{}-sim", mutant.name),
            Check::Test { .. } | Check::Loom { .. } => mutant.name.to_owned(),
        };
        let ending = perform(&programs, *check, Some(mutant.name), &output);
        let (verdict, what) = judge(*check, &ending);
        let _whole = lines.lock();
        println!("{:<50} {:>5.1} s  {what}", mutant.name, started.elapsed().as_secs_f64());
        if verdict == Verdict::Survived {
            println!("    {} Its output: {OUTPUTS}/{output}.txt", mutant.does);
        }
        verdict
    });
    let survived = |mutant: &Mutant| {
        let mut of = pairs.iter().zip(&verdicts).filter(|((each, _), _)| each.name == mutant.name);
        of.any(|(_, verdict)| *verdict == Verdict::Survived)
    };
    let survivors = chosen.iter().filter(|mutant| survived(mutant)).count();
    let twice = chosen.iter().filter(|mutant| mutant.also.is_some()).count();
    let caught = chosen.len() - survivors;
    let note = format!("{caught} bugs caught, {survivors} survived ({twice} had two checks to catch them)");
    if survivors > 0 { Err(note) } else { Ok(note) }
}

/// What is run of a check: whatever the simulator finds with no bug on is wrong.
const fn without_words(check: Check) -> Check {
    match check {
        Check::Sim { live, seeds_max, .. } => Check::Sim { live, seeds_max, says: "" },
        Check::Test { .. } | Check::Loom { .. } => check,
    }
}

fn judge(check: Check, ending: &Ending) -> (Verdict, String) {
    match ending {
        Ending::Failed(what) => (Verdict::Caught, what.clone()),
        Ending::Hung => (Verdict::Survived, format!("SURVIVED: {} did not end", shown(check))),
        Ending::Passed => (Verdict::Survived, format!("SURVIVED: {} passed", shown(check))),
        Ending::Broken(why) => (Verdict::Survived, format!("SURVIVED: {why}")),
    }
}

fn shown(check: Check) -> String {
    match check {
        Check::Test { package, test, filter } => format!("{package} {test} {filter}"),
        Check::Loom { test, filter } => format!("ringbuf {test} {filter} (loom)"),
        Check::Sim { live: false, seeds_max, .. } => format!("sim, {seeds_max} seeds"),
        Check::Sim { live: true, seeds_max, .. } => format!("sim --live, {seeds_max} seeds"),
    }
}

/// Applies `each` to all items on so many threads; the results are in the items' order.
fn side_by_side<T: Sync, R: Send>(jobs: usize, items: &[T], each: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else { return };
                    let result = each(place, item);
                    results.lock().expect("no other thread panicked").push((place, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no thread panicked");
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Runs a check with the bug of this name on, or none.
fn perform(programs: &[Program], check: Check, bug: Option<&str>, output: &str) -> Ending {
    let root = repository::root();
    let mut command = match check {
        Check::Test { package, test, filter } => match test_command(programs, package, test, filter) {
            Ok(command) => command,
            Err(why) => return Ending::Broken(why),
        },
        Check::Loom { test, filter } => match test_command(programs, "ringbuf", test, filter) {
            Ok(command) => command,
            Err(why) => return Ending::Broken(why),
        },
        Check::Sim { live, seeds_max, .. } => {
            if !has_simulator(&root.join(SERVER)) {
                return Ending::Broken("this build has no simulator".to_owned());
            }
            let mut command = Command::new(root.join(SERVER));
            command.args([
                "sim",
                "--seeds",
                &format!("0..{seeds_max}"),
                "--json",
                "--as-found",
                "--require-judged",
            ]);
            command.args(live.then_some("--live")).current_dir(&root);
            command
        }
    };
    match bug {
        Some(name) => command.env("COINBITCLUB_PLANTED", name),
        None => command.env_remove("COINBITCLUB_PLANTED"),
    };
    // The same cases and loads each time: what is caught once is caught always. (The test step draws them anew.)
    command.env("PROPTEST_RNG_SEED", SEED).env("COINBITCLUB_SEED", SEED);
    // A failure here is wanted: it is neither made small nor kept as a regression.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1").env("PROPTEST_MAX_SHRINK_ITERS", "0");
    let path = root.join(OUTPUTS).join(format!("{output}.txt"));
    match end(&mut command, &path) {
        Err(why) => Ending::Broken(why),
        Ok(None) => Ending::Hung,
        Ok(Some(success)) => {
            let text = fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            match check {
                Check::Sim { says, .. } => told_by_simulator(&text, success, says),
                _ => told_by_tests(&text, success, &shown(check)),
            }
        }
    }
}

fn test_command(programs: &[Program], package: &str, test: &str, filter: &str) -> Result<Command, String> {
    let found = programs.iter().find(|program| program.package == package && program.test == test);
    let program = found.ok_or_else(|| format!("{package} has no test {test}"))?;
    let mut command = Command::new(&program.path);
    command.arg(filter).current_dir(&program.directory);
    Ok(command)
}

fn has_simulator(server: &Path) -> bool {
    let help = Command::new(server).args(["sim", "--help"]).stdin(Stdio::null()).output();
    help.is_ok_and(|output| output.status.success())
}

/// Runs a program to its end, its output in a file; `None` when it hung, else whether it succeeded.
fn end(command: &mut Command, output: &PathBuf) -> Result<Option<bool>, String> {
    let file = File::create(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let also = file.try_clone().map_err(|error| error.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(also)
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let deadline = Instant::now() + LIMIT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status.success())),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                end_with_descendants(&mut child);
                return Ok(None);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// What the output of a test program says.
fn told_by_tests(text: &str, success: bool, shown: &str) -> Ending {
    if text.contains("\nrunning 0 tests") || text.starts_with("running 0 tests") {
        return Ending::Broken(format!("{shown}: no test has such a name"));
    }
    if success {
        return Ending::Passed;
    }
    let failed = text
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .next()
        .map_or_else(|| format!("{shown}: ended in the middle"), |name| format!("{shown}: {name}"));
    Ending::Failed(failed)
}

/// How much of what the simulator says is shown.
const SHOWN_MAX: usize = 160;

/// What the simulator says: the violation that was expected of it, and neither another one nor an error of the command line.
fn told_by_simulator(text: &str, success: bool, says: &str) -> Ending {
    if success {
        return Ending::Passed;
    }
    let found = first_failure(text).map(|(seed, what)| (format!("seed {seed}"), what));
    match found.or_else(|| too_little(text)) {
        Some((place, what)) => {
            let shown: String = what.chars().take(SHOWN_MAX).collect();
            if says.split('|').any(|one| what.contains(one)) {
                Ending::Failed(format!("sim: {place}: {shown}"))
            } else {
                Ending::Broken(format!("sim: {place}: not {says:?}, but: {shown}"))
            }
        }
        None => {
            Ending::Broken(format!("sim: {}", text.lines().next_back().unwrap_or("ended without a word")))
        }
    }
}

/// The first of the failures in the simulator's summary: its seed and what was violated.
fn first_failure(text: &str) -> Option<(u64, String)> {
    let failures = &text[text.find("\"failures\":[{")?..];
    let seed = &failures[failures.find("\"seed\":")? + 7..];
    let seed: String = seed.chars().take_while(char::is_ascii_digit).collect();
    Some((seed.parse().ok()?, quoted(&failures[failures.find("\"what\":\"")? + 8..])?))
}

/// All that was judged less than it must be, where nothing was violated.
fn too_little(text: &str) -> Option<(String, String)> {
    let all = &text[text.find("\"too_little\":[\"")? + 14..];
    Some(("all seeds".to_owned(), all[..all.find(']')?].to_owned()))
}

/// The text that a JSON text begins with, after its first quotation mark.
fn quoted(json: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = json.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            // Of the escapes, those that are written as letters do not occur in what is looked for.
            '\\' => text.push(chars.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line() {
        let name = all().next().expect("there are bugs").name;
        let plan = Plan::parse(&["--jobs", "3", name]).unwrap();
        assert_eq!(plan, Plan { names: vec![name.to_owned()], jobs: 3 });
        assert!(Plan::parse(&["--jobs", "0"]).is_err());
        assert!(Plan::parse(&["nothing_like_it"]).is_err());
    }

    #[test]
    fn the_failing_test_is_named_and_a_filter_of_nothing_is_an_error() {
        let text = "\nrunning 2 tests\ntest a ... ok\ntest b::c ... FAILED\n";
        assert_eq!(told_by_tests(text, false, "x"), Ending::Failed("x: b::c".to_owned()));
        assert_eq!(told_by_tests(text, true, "x"), Ending::Passed);
        assert_eq!(
            told_by_tests("\nrunning 1 test\n", false, "x"),
            Ending::Failed("x: ended in the middle".to_owned())
        );
        assert!(matches!(told_by_tests("\nrunning 0 tests\n", true, "x"), Ending::Broken(_)));
    }

    #[test]
    fn what_the_simulator_found_is_read_and_nothing_else_catches_a_bug() {
        let text =
            r#"{"failing_seed":17,"failures":[{"seed":17,"what":"page \"a\" differs"}],"seeds_run":18}"#;
        let told = |says| told_by_simulator(text, false, says);
        assert_eq!(told("differs"), Ending::Failed("sim: seed 17: page \"a\" differs".to_owned()));
        assert!(matches!(told("a crash took back"), Ending::Broken(_)), "another violation is another bug's");
        assert_eq!(told_by_simulator(text, true, "differs"), Ending::Passed);
        let little = r#"{"failing_seed":null,"failures":[],"too_little":["too little: 0 pages","2 b"]}"#;
        let told = told_by_simulator(little, false, "0 pages");
        assert_eq!(told, Ending::Failed("sim: all seeds: \"too little: 0 pages\",\"2 b\"".to_owned()));
        for wrong in ["error: unexpected argument\n", r#"{"failures":[]}"#] {
            assert!(matches!(told_by_simulator(wrong, false, "differs"), Ending::Broken(_)));
        }
    }

    #[test]
    fn only_a_check_that_fails_has_caught_a_bug() {
        let check = Check::Sim { live: false, seeds_max: 1, says: "x" };
        for ending in [Ending::Hung, Ending::Passed, Ending::Broken("why".to_owned())] {
            assert_eq!(judge(check, &ending).0, Verdict::Survived, "{ending:?}");
        }
        assert_eq!(judge(check, &Ending::Failed("what".to_owned())).0, Verdict::Caught);
    }

    #[test]
    fn all_items_are_worked_in_their_order() {
        let doubled = side_by_side(3, &[1, 2, 3, 4, 5], |_, item| item * 2);
        assert_eq!(doubled, [2, 4, 6, 8, 10]);
    }
}
