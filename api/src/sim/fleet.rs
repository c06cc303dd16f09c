//! Many seeds at once: child processes that take seeds from their standard input, and their parent.
//!
//! **Runs on**: the parent on its caller's thread with two reader threads per child; a child on its main thread.
//! **Invariants**: each seed is run by exactly one child; a child that dies or hangs fails the seed it was at.
//! **Bounds**: a child has one seed at a time, [`HANG_LIMIT`] of CPU and [`STARVED_LIMIT`] of time for it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use engine::core::ids::UserId;

use super::bare::BareTime;
use super::faults::{Coverage, Fault};
use super::judged::Judged;
use super::plan::Overrides;
use super::run::{Outcome, run};

/// A run takes some tens of milliseconds of a CPU, the longest a few seconds; one that takes this much of it hangs.
const HANG_LIMIT: Duration = Duration::from_mins(2);
/// One that waits for what never comes takes no CPU at all. A busy machine gives a run at a low priority a fiftieth of one, and a
/// run of two seconds is not a hang there.
const STARVED_LIMIT: Duration = Duration::from_hours(1);
/// Seeds given to a child at once.
const BATCH: u64 = 16;
/// What is kept of a child's complaints, the last of them: a panic's message and its place are a few lines.
const COMPLAINT_BYTES_MAX: usize = 16 << 10;

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was violated, or how the process ended.
    pub what: String,
    /// What was changed about it.
    pub overrides: Overrides,
}

impl Failure {
    /// The command that repeats it.
    #[must_use]
    pub fn command(&self) -> String {
        format!(
            "coinbitclub sim --seed {}{}",
            self.seed,
            words(&self.overrides).iter().map(|word| format!(" {word}")).collect::<String>()
        )
    }
}

fn words(overrides: &Overrides) -> Vec<String> {
    let mut words = Vec::new();
    if !overrides.without.is_empty() {
        let names: Vec<&str> = overrides.without.iter().map(|fault| fault.name()).collect();
        words.extend(["--without".to_owned(), names.join(",")]);
    }
    if let Some(traders) = overrides.traders_max {
        words.extend(["--traders".to_owned(), traders.to_string()]);
    }
    if let Some(seconds) = overrides.load_seconds_max {
        words.extend(["--load-seconds".to_owned(), seconds.to_string()]);
    }
    if overrides.live {
        words.push("--live".to_owned());
    }
    words
}

/// When a child began with a seed.
struct Since {
    at: Instant,
    /// What its main thread, which runs the seeds, had taken of a CPU; `None` on a kernel that does not say.
    busy: Option<Duration>,
}

impl Since {
    fn now(child: &Child) -> Self {
        Self { at: Instant::now(), busy: busy(child) }
    }

    fn hangs(&self, child: &Child) -> bool {
        let took = self.busy.zip(busy(child)).map(|(before, now)| now.saturating_sub(before));
        is_hang(self.at.elapsed(), took)
    }
}

/// What the main thread of a child has taken of a CPU so far.
fn busy(child: &Child) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{}/schedstat", child.id())).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Whether a seed that has taken so much time, and so much of a CPU, will not end.
fn is_hang(elapsed: Duration, busy: Option<Duration>) -> bool {
    elapsed > STARVED_LIMIT || busy.unwrap_or(elapsed) > HANG_LIMIT
}

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds that were run.
    pub seeds: u64,
    /// Virtual time.
    pub virtual_ns: u128,
    /// Answers that were held against the model.
    pub answers: u64,
    /// Decisions that were compared with the model.
    pub decisions: u64,
    /// Lives of the server.
    pub lives: u64,
    /// Orders that the exchanges were given.
    pub exchange_orders: u64,
    /// All digests, so combined that their order does not matter.
    pub digest: u64,
    /// Position-time without a live stop, as the server sees it.
    pub bare: BareTime,
    /// The same as the exchanges see it.
    pub bare_there: BareTime,
    /// What else was held against the product.
    pub judged: Judged,
    /// Which faults struck where.
    pub coverage: Coverage,
    /// The seeds that failed, smallest first.
    pub failures: Vec<Failure>,
}

/// Runs what standard input names, for the parent.
pub fn work(overrides: &Overrides) {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { return };
        let Some((from, to)) = line.split_once(' ') else { return };
        let (Ok(from), Ok(to)) = (from.parse::<u64>(), to.parse::<u64>()) else { return };
        let mut sum = Sum::default();
        for seed in from..to {
            if writeln!(out, "at {seed}").and_then(|()| out.flush()).is_err() {
                return;
            }
            let outcome = run(seed, overrides, false);
            if let Some(what) = &outcome.violation {
                let what = what.replace('\n', " ");
                if writeln!(out, "bad {seed} {what}").is_err() {
                    return;
                }
            }
            sum.add(&outcome);
        }
        if writeln!(out, "{}", sum.line()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    virtual_ns: u64,
    answers: u64,
    decisions: u64,
    lives: u64,
    exchange_orders: u64,
    digest: u64,
    bare: BareTime,
    bare_there: BareTime,
    judged: Judged,
    coverage: Coverage,
}

/// In so many seeds every fault strikes.
const EVERY_FAULT_WITHIN: u64 = 500;

impl Totals {
    /// What was judged less than it must be in so many seeds.
    #[must_use]
    pub fn too_little(&self) -> Vec<String> {
        let mut found = self.judged.too_little(self.seeds, self.decisions, self.answers, &self.bare);
        if self.seeds >= EVERY_FAULT_WITHIN {
            let never = self.coverage.never().map(Fault::name);
            found.extend(never.map(|fault| format!("too little was judged: {fault} never struck")));
        }
        found
    }
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.virtual_ns += outcome.virtual_ns;
        self.answers += outcome.answers;
        self.decisions += outcome.decisions;
        self.lives += outcome.lives;
        self.exchange_orders += outcome.exchange_orders;
        self.digest = self.digest.wrapping_add(outcome.digest);
        self.bare.add(&outcome.bare);
        self.bare_there.add(&outcome.bare_there);
        self.judged.add(&outcome.judged);
        self.coverage.add(&outcome.coverage);
    }

    fn line(&self) -> String {
        let Self { seeds, virtual_ns, answers, decisions, lives, exchange_orders, digest, .. } = self;
        let bare = [self.bare.numbers(), self.bare_there.numbers()].concat();
        let bare = [bare, self.judged.numbers().to_vec()].concat();
        let bare: String = bare.iter().map(|number| format!(" {number}")).collect();
        let coverage = self.coverage.to_line();
        format!(
            "sum {seeds} {virtual_ns} {answers} {decisions} {lives} {exchange_orders} {digest}{bare} {coverage}"
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(8 + 2 * BareTime::NUMBERS + Judged::NUMBERS, ' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let mut sum = Self {
            seeds: number()?,
            virtual_ns: number()?,
            answers: number()?,
            decisions: number()?,
            lives: number()?,
            exchange_orders: number()?,
            digest: number()?,
            ..Self::default()
        };
        for bare in [&mut sum.bare, &mut sum.bare_there] {
            let mut numbers = [0; BareTime::NUMBERS];
            for each in &mut numbers {
                *each = number()?;
            }
            *bare = BareTime::from_numbers(numbers);
        }
        let mut numbers = [0; Judged::NUMBERS];
        for each in &mut numbers {
            *each = number()?;
        }
        sum.judged = Judged::from_numbers(numbers);
        sum.coverage = Coverage::from_line(parts.next()?)?;
        Some(sum)
    }
}

/// What a child said.
enum Said {
    Line(usize, String),
    Ended(usize, String),
}

struct Crew {
    child: Child,
    seeds: Option<ChildStdin>,
    /// The batch it is at, and the seed within it.
    batch: Option<(u64, u64)>,
    at: u64,
    since: Since,
}

/// Hears what a child says, and at its end what it had complained of, while neither of its pipes fills up: a child that waits to
/// say something goes on with nothing else.
fn listen(child: &mut Child, number: usize, to: &mpsc::Sender<Said>) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let to = to.clone();
    let complaints = std::thread::spawn(move || {
        let mut last = Vec::new();
        if let Some(mut err) = err {
            let mut part = [0; COMPLAINT_BYTES_MAX];
            // A failure to read it is not worth more.
            while let Ok(got @ 1..) = err.read(&mut part) {
                last.extend_from_slice(&part[..got]);
                last.drain(..last.len().saturating_sub(COMPLAINT_BYTES_MAX));
            }
        }
        String::from_utf8_lossy(&last).into_owned()
    });
    std::thread::spawn(move || {
        for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok) {
            if to.send(Said::Line(number, line)).is_err() {
                return;
            }
        }
        let _ = to.send(Said::Ended(number, complaints.join().unwrap_or_default()));
    });
}

/// See the module's head.
pub struct Fleet {
    overrides: Overrides,
    jobs: usize,
    failures_max: usize,
}

impl Fleet {
    /// `jobs` runs at a time, until so many have failed.
    #[must_use]
    pub const fn new(overrides: Overrides, jobs: usize, failures_max: usize) -> Self {
        Self { overrides, jobs, failures_max }
    }

    fn hire(&self, number: usize, to: &mpsc::Sender<Said>) -> Result<Crew, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let mut child = Command::new(program)
            .args(["sim", "--worker", "--seed", "0"])
            .args(words(&self.overrides))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting a worker: {error}"))?;
        listen(&mut child, number, to);
        let seeds = child.stdin.take();
        let since = Since::now(&child);
        Ok(Crew { child, seeds, batch: None, at: 0, since })
    }

    /// Runs the seeds `from..to`, telling `progress` what came of those that are done.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn run(&mut self, from: u64, to: u64, mut progress: impl FnMut(&Totals)) -> Result<Totals, String> {
        let mut waiting: VecDeque<(u64, u64)> = VecDeque::new();
        let mut next = from;
        while next < to {
            waiting.push_back((next, to.min(next + BATCH)));
            next += BATCH;
        }
        let mut totals = Totals::default();
        let (sender, said) = mpsc::channel();
        let mut crews = Vec::new();
        for number in 0..self.jobs.min(waiting.len()).max(1) {
            crews.push(self.hire(number, &sender)?);
        }
        for crew in &mut crews {
            give(crew, &mut waiting);
        }
        while crews.iter().any(|crew| crew.batch.is_some()) {
            match said.recv_timeout(Duration::from_secs(1)) {
                Ok(Said::Line(number, line)) => {
                    hear(&mut crews[number], &line, &mut totals, &mut waiting, self)
                }
                Ok(Said::Ended(number, last_words)) => {
                    let (at, batch) = (crews[number].at, crews[number].batch.take());
                    let status = crews[number].child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
                    if let Some((_, end)) = batch {
                        // A panic says where it is before what comes of it; what was said before it is of other seeds.
                        let lines: Vec<&str> = last_words.lines().collect();
                        let from = lines.iter().rposition(|line| line.contains("panicked at")).unwrap_or(0);
                        let words = lines[from..].iter().take(3).copied().collect::<Vec<_>>().join(" ");
                        let what = format!("the process ended ({status}): {words}");
                        self.fail(&mut totals, at, what);
                        // It died without its sum; what is left of the batch is somebody else's.
                        totals.seeds += 1;
                        if at + 1 < end {
                            waiting.push_front((at + 1, end));
                        }
                        if totals.failures.len() < self.failures_max {
                            crews[number] = self.hire(number, &sender)?;
                            give(&mut crews[number], &mut waiting);
                        }
                    }
                }
                Err(_) => {
                    for crew in crews.iter_mut().filter(|crew| crew.batch.is_some()) {
                        if crew.since.hangs(&crew.child) {
                            // Its end is heard of like any other.
                            let _ = crew.child.kill();
                        }
                    }
                }
            }
            if totals.failures.len() >= self.failures_max {
                waiting.clear();
            }
            progress(&totals);
        }
        for crew in &mut crews {
            drop(crew.seeds.take());
            let _ = crew.child.wait();
        }
        totals.failures.sort_by_key(|failure| failure.seed);
        Ok(totals)
    }

    fn fail(&self, totals: &mut Totals, seed: u64, what: String) {
        totals.failures.push(Failure { seed, what, overrides: self.overrides.clone() });
    }

    /// Makes a failing run smaller, as long as the same is violated: fewer faults, fewer people, less time.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn minimise(&self, failure: &Failure) -> Result<Failure, String> {
        let mut smallest = failure.clone();
        for seconds in [1, 2, 4, 8, 16, 32] {
            let wanted = Overrides { load_seconds_max: Some(seconds), ..smallest.overrides.clone() };
            if let Some(found) = self.still_fails(&smallest, wanted)? {
                smallest = found;
                break;
            }
        }
        for traders in [1, 2, 3] {
            let wanted = Overrides { traders_max: Some(traders), ..smallest.overrides.clone() };
            if let Some(found) = self.still_fails(&smallest, wanted)? {
                smallest = found;
                break;
            }
        }
        for fault in Fault::ALL {
            if !smallest.overrides.without.contains(fault) {
                let mut wanted = smallest.overrides.clone();
                wanted.without.push(*fault);
                if let Some(found) = self.still_fails(&smallest, wanted)? {
                    smallest = found;
                }
            }
        }
        Ok(smallest)
    }

    fn still_fails(&self, failure: &Failure, overrides: Overrides) -> Result<Option<Failure>, String> {
        let mut one = Self::new(overrides, 1, 1);
        let found = one.run(failure.seed, failure.seed + 1, |_| {})?.failures.into_iter().next();
        // Another violation is another bug, and what led to this one would be lost.
        Ok(found.filter(|found| kind_of(&found.what) == kind_of(&failure.what)))
    }
}

/// What was violated, without which one: no ids, no numbers, and nothing of what stands in quotes or brackets.
fn kind_of(what: &str) -> String {
    let (mut plain, mut depth, mut quoted, mut escaped) = (String::new(), 0_u32, false, false);
    for c in what.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let words = plain.split_whitespace().map(|word| {
        let name = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        // Ids are that long, of letters and digits, and hold the digits of what they count.
        let id = name.len() >= UserId::WIDTH
            && name.chars().all(|c| c.is_ascii_alphanumeric())
            && name.contains(|c: char| c.is_ascii_digit());
        if id { String::new() } else { word.replace(|c: char| c.is_ascii_digit(), "") }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn give(crew: &mut Crew, waiting: &mut VecDeque<(u64, u64)>) {
    crew.batch = None;
    if let (Some(seeds), Some((from, to))) = (&mut crew.seeds, waiting.pop_front()) {
        // A child that is gone is heard of through its output's end.
        let _ = writeln!(seeds, "{from} {to}").and_then(|()| seeds.flush());
        crew.batch = Some((from, to));
        crew.at = from;
        crew.since = Since::now(&crew.child);
    }
}

fn hear(crew: &mut Crew, line: &str, totals: &mut Totals, waiting: &mut VecDeque<(u64, u64)>, fleet: &Fleet) {
    if let Some(seed) = line.strip_prefix("at ") {
        crew.at = seed.parse().unwrap_or(crew.at);
        crew.since = Since::now(&crew.child);
    } else if let Some((seed, what)) = line.strip_prefix("bad ").and_then(|rest| rest.split_once(' ')) {
        fleet.fail(totals, seed.parse().unwrap_or(crew.at), what.to_owned());
    } else if let Some(sum) = line.strip_prefix("sum ") {
        let Some(sum) = Sum::parse(sum) else {
            // Without it the batch would never end.
            fleet.fail(totals, crew.at, format!("a sum that cannot be read: {sum}"));
            return give(crew, waiting);
        };
        totals.seeds += sum.seeds;
        totals.virtual_ns += u128::from(sum.virtual_ns);
        totals.answers += sum.answers;
        totals.decisions += sum.decisions;
        totals.lives += sum.lives;
        totals.exchange_orders += sum.exchange_orders;
        totals.digest = totals.digest.wrapping_add(sum.digest);
        totals.bare.add(&sum.bare);
        totals.bare_there.add(&sum.bare_there);
        totals.judged.add(&sum.judged);
        totals.coverage.add(&sum.coverage);
        give(crew, waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found with seed 316, which takes two seconds of a CPU, at the lowest priority of a machine with ten others at work.
    #[test]
    fn a_run_that_gets_no_cpu_does_not_hang_and_one_that_takes_it_all_does() {
        let minutes = Duration::from_mins;
        assert!(!is_hang(minutes(20), Some(Duration::from_secs(2))));
        assert!(is_hang(minutes(3), Some(minutes(3))));
        assert!(is_hang(minutes(61), Some(Duration::ZERO)), "it waits for what never comes");
        assert!(is_hang(minutes(3), None), "time is all that is known");
        assert!(!is_hang(minutes(1), None));
    }

    #[test]
    fn another_violation_is_another_kind_and_other_numbers_are_not() {
        let of = |signal: &str, rows: u32| {
            format!(
                "the receipt of {signal} shows {{\"id\":\"{signal}\",\"rows\":[{rows}]}}: of {signal}: no line"
            )
        };
        assert_eq!(kind_of(&of("3kTMdAQzz9P1000001", 1)), kind_of(&of("7aaMdAQzz9P0000A0Z", 22)));
        let lost = |lsn: u64, what: &str| {
            format!(
                "a crash took back what was promised: record {lsn} of shard 1 ({what}), recovered through 2"
            )
        };
        assert_eq!(
            kind_of(&lost(3, "200 was answered to Signal(UserId(1), \"a ) \\\" b\")")),
            kind_of(&lost(44, "x"))
        );
        assert_ne!(kind_of(&lost(3, "x")), kind_of(&of("3kTMdAQzz9P1000001", 1)));
        assert_ne!(
            kind_of("shard 0 decided SignUp { .. } at 5: x"),
            kind_of("shard 0 decided Halt { .. } at 5: x")
        );
        let died = "the process ended (exit status: 101): thread panicked at api/src/a.rs:1:2: no";
        assert_eq!(kind_of(died), kind_of(&died.replace("1:2", "30:4")));
        assert_ne!(kind_of(died), kind_of(&died.replace("a.rs", "b.rs")));
    }

    #[test]
    fn what_a_child_came_to_is_read_as_it_was_said() {
        let mut sum = Sum { seeds: 1, virtual_ns: 2, answers: 3, decisions: 4, lives: 5, ..Sum::default() };
        (sum.exchange_orders, sum.digest) = (6, 7);
        (sum.bare.judged_ms, sum.bare_there.longest_capped_ms, sum.judged.banned_ms) = (8, 9, 10);
        let line = sum.line();
        let read = line.strip_prefix("sum ").and_then(Sum::parse).expect("it is read");
        assert_eq!(read.line(), line);
    }

    #[test]
    fn a_child_that_complains_more_than_a_pipe_holds_is_heard_to_its_end() {
        let script = "head -c 1000000 /dev/zero >&2; echo at 7; echo last >&2";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let (to, said) = mpsc::channel();
        listen(&mut child, 3, &to);
        let heard = || said.recv_timeout(Duration::from_secs(60)).expect("it does not wait for ever");
        assert!(matches!(heard(), Said::Line(3, line) if line == "at 7"));
        let Said::Ended(3, words) = heard() else { panic!("its end comes last") };
        assert!(words.ends_with("\0last\n") && words.len() == COMPLAINT_BYTES_MAX);
        child.wait().expect("it was started");
    }

    #[test]
    fn what_a_child_takes_of_a_cpu_is_known() {
        let mut child = Command::new("true").spawn().expect("there is such a program");
        // Until it is waited for, what it took is known.
        let took = Since::now(&child).busy;
        child.wait().expect("it was started");
        assert!(took.is_some(), "this kernel does not say");
    }
}
