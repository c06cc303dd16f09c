//! Kill -9 and power failure at each operation that changes something on the disk, of the real program on real files: a
//! first start, load with rotation, snapshots and pruning, and the switch to another number of shards. Afterwards it starts,
//! everything acknowledged is there, starting has changed nothing of the state, and the books sum to zero.
//!
//! Built with `--cfg planted` only, because the disk that dies is in no other build: `cargo xtask test --only storage-faults`.
//! `COINBITCLUB_FAILPOINTS=all` takes every operation of the load instead of a spread over its kinds.
#![cfg(planted)]

mod crash;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Mutex;

use crash::calls::try_call;
use crash::check::Check;
use crash::load::Load;
use crash::people::{People, RULES, create_source, sign_up, signal_body};
use crash::promises::Promises;
use crash::server::{Place, Server};
use crash::{Random, Repeat, files, seed, settled, wait_until};
use net::http::client::{Client, ClientOptions};
use serde_json::Value;

/// Bytes of a signal that nobody reads: with a few dozen of them a segment is full and a snapshot due.
const FILLER: usize = 30_000;
/// The first write to the log of a start: recovery is over, and nothing has been decided yet.
const FIRST_BLOCK: &str = "write seg-.log 1:before";

/// A kill as `COINBITCLUB_KILL_AT` has it.
fn armed(place: &Place, kill: &str) -> Place {
    let mut place = place.clone();
    place.variables.push(("COINBITCLUB_KILL_AT", kill.to_owned()));
    place
}

fn was_killed(status: ExitStatus, kill: &str, place: &Place) {
    assert_eq!(status.signal(), Some(9), "killed at {kill}: {status}\n{}", place.logged());
}

/// A server that dies while it starts.
fn dies_starting(place: &Place, kill: &str, shards: u16) {
    match armed(place, kill).begin(shards).serving_or_ended() {
        Err(status) => was_killed(status, kill, place),
        Ok(_) => panic!("it was to die at {kill}, and serves"),
    }
}

/// Has a place write down its operations.
fn traced(place: &Place) -> (Place, PathBuf) {
    let file = place.root.join("trace.txt");
    std::fs::remove_file(&file).ok();
    let mut place = place.clone();
    place.variables.push(("COINBITCLUB_DISK_TRACE", file.display().to_string()));
    (place, file)
}

fn operations(trace: &Path) -> Vec<String> {
    std::fs::read_to_string(trace).expect("a trace is read").lines().map(str::to_owned).collect()
}

/// The moments at which an operation can be killed.
fn moments(operation: &str) -> &'static [&'static str] {
    if operation.starts_with("write ") {
        &["before", "after", "torn", "power"]
    } else {
        &["before", "after", "power"]
    }
}

/// How often each kind of operation was killed, by moment.
#[derive(Default)]
struct Kills {
    count: usize,
    kinds: BTreeMap<String, Vec<&'static str>>,
}

impl Kills {
    fn note(&mut self, operation: &str, moment: &'static str) {
        self.count += 1;
        let moments = self.kinds.entry(operation.to_owned()).or_default();
        if !moments.contains(&moment) {
            moments.push(moment);
        }
    }

    fn print(&self, of: &str, counted: usize, left_out: usize) {
        println!("{of}: {counted} operations, {} kills, {left_out} left out", self.count);
        self.kinds.iter().for_each(|(kind, moments)| println!("  {kind}: {}", moments.join(" ")));
    }
}

fn repeat(test: &str, seed: u64) -> Repeat {
    let command = format!(
        "COINBITCLUB_SEED={seed} RUSTFLAGS='--cfg planted' cargo test -p coinbitclub --target-dir target/planted --test failpoints {test}"
    );
    Repeat { command }
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).expect("an old copy is removed");
    }
    for (path, bytes) in files::contents(from) {
        let target = to.join(path.strip_prefix(from).expect("it is below"));
        std::fs::create_dir_all(target.parent().expect("a file is in a directory")).expect("it is made");
        std::fs::write(target, bytes).expect("it is copied");
    }
}

/// Recovers with so many shards as far as a start goes without writing a block: the state is what the files had said.
fn recovers(place: &Place, shards: u16, digest: &str, kill: &str) {
    dies_starting(place, FIRST_BLOCK, shards);
    assert_eq!(place.digest(), digest, "killed at {kill}, a start with {shards} shards changed the state");
}

#[test]
fn a_first_start() {
    let _repeat = repeat("a_first_start", 0);
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    // Not made by the server: a new directory is part of what a start makes.
    let (tracing, trace) = traced(&place);
    tracing.start(2).kill();
    let all = operations(&trace);
    let mut kills = Kills::default();
    for (n, operation) in (1..).zip(&all) {
        for moment in moments(operation) {
            std::fs::remove_dir_all(place.data()).expect("the last start's directory is removed");
            let kill = format!("{n}:{moment}");
            match armed(&place, &kill).begin(2).serving_or_ended() {
                Err(status) => was_killed(status, &kill, &place),
                // The last operations of a start may be those of a shard that is ahead of the other one.
                Ok(mut server) => was_killed(server.ended(), &kill, &place),
            }
            kills.note(operation, moment);
            let server = place.begin(1).serving_or_ended().unwrap_or_else(|status| {
                panic!(
                    "killed at {kill} ({operation}), it does not start again: {status}\n{}",
                    place.logged()
                )
            });
            let status = settled::status(&mut server.client());
            assert_eq!(status["books"]["users"], 0, "{status}");
            assert!(server.stop().success());
            let digest = place.digest();
            assert!(place.start(2).stop().success());
            assert_eq!(place.digest(), digest, "killed at {kill} ({operation}), a second start changed it");
        }
    }
    kills.print("a first start", all.len(), 0);
}

#[test]
fn a_switch_to_another_number_of_shards() {
    let _repeat = repeat("a_switch_to_another_number_of_shards", 0);
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    let server = place.start(1);
    let client = &mut server.client();
    for n in 0..3 {
        let person = sign_up(client, format!("publisher{n}@example.com"));
        let source = create_source(client, &person, "source");
        for signal in 0..4 {
            let body = signal_body(&source, &format!("signal {signal}"), "buy", "BTCUSDT");
            let body = serde_json::from_str(&body).expect("JSON");
            crash::calls::post(client, "/api/signals", "", &body, 200);
        }
    }
    assert!(server.stop().success());
    let (image, digest) = (dir.path().join("image"), place.digest());
    copy(&place.data(), &image);
    let (tracing, trace) = traced(&place);
    dies_starting(&tracing, FIRST_BLOCK, 2);
    let mut all = operations(&trace);
    // What the other shard does meanwhile is not part of the switch.
    all.truncate(
        all.iter().position(|operation| operation.starts_with("create seg-")).expect("segments are made"),
    );
    let mut kills = Kills::default();
    for (n, operation) in (1..).zip(&all) {
        for moment in moments(operation) {
            copy(&image, &place.data());
            let kill = format!("{n}:{moment}");
            dies_starting(&place, &kill, 2);
            kills.note(operation, moment);
            assert_eq!(place.digest(), digest, "killed at {kill} ({operation})");
            recovers(&place, 1 + u16::try_from(kills.count % 3).expect("small"), &digest, &kill);
        }
    }
    // The last one serves, and completes what was interrupted: nothing else is left.
    let server = place.start(2);
    settled::status(&mut server.client());
    assert!(server.stop().success());
    let generations = std::fs::read_dir(place.data()).expect("it is listed").count();
    assert_eq!(generations, 3, "CURRENT, LOCK and one generation");
    kills.print("a switch to another number of shards", all.len(), 0);
}

/// Posts signals that fill the log until the server is gone.
fn fill(load: &Load<'_>) {
    let Ok(mut client) = Client::connect(load.address, ClientOptions::default()) else { return };
    for n in 0_u64.. {
        let text = signal_body(&load.people.flood, &format!("{} fills {n}", load.round), "close", "BTCUSDT");
        let mut body: Value = serde_json::from_str(&text).expect("JSON");
        body["filler"] = Value::String("x".repeat(FILLER));
        let Some((status, answer)) = try_call(&mut client, "POST", "/api/signals", "", &body) else { return };
        assert!([200, 429, 503].contains(&status), "{answer}");
    }
}

/// Everybody, and what was promised to them over all rounds.
struct World {
    place: Place,
    people: People,
    promises: Mutex<Promises>,
    random: Random,
    round: u64,
    shards: u16,
}

impl World {
    fn new(root: &Path, seed: u64) -> Self {
        let place = Place::new(root, RULES);
        let server = place.start(1);
        let people = People::gather(&mut server.client());
        assert!(server.stop().success());
        Self { place, people, promises: Mutex::default(), random: Random::new(seed), round: 0, shards: 1 }
    }

    /// Load until the server is gone, which `until` sees to or waits for.
    fn load(&mut self, server: &mut Server, until: impl FnOnce(&mut Server)) {
        let (round, seed, address) = (self.round, self.random.next(), server.address);
        let load = Load { people: &self.people, promises: &self.promises, address, round, seed };
        std::thread::scope(|scope| {
            let filling = scope.spawn(|| fill(&load));
            load.run(|| until(server));
            filling.join().expect("the filler found nothing wrong");
        });
        self.promises.lock().expect("nobody failed").server_gone();
    }

    /// A run until snapshots were taken and something was pruned, without a kill at an operation: what it did.
    fn count(&mut self) -> Vec<String> {
        let (tracing, trace) = traced(&self.place);
        let mut server = tracing.start(self.shards);
        self.load(&mut server, |server| {
            wait_until("segments are pruned", || {
                let all = operations(&trace);
                let done = |what: &str| all.iter().any(|operation| operation == what);
                (!done("remove seg-.log") || !done("remove snap-.snap"))
                    .then(|| format!("{} operations", all.len()))
            });
            server.kill();
        });
        operations(&trace)
    }

    /// A run that is killed there, and everything that must hold afterwards, with another number of shards.
    fn kill_and_check(&mut self, kill: &str) {
        self.round += 1;
        let armed = armed(&self.place, kill);
        match armed.begin(self.shards).serving_or_ended() {
            Err(status) => was_killed(status, kill, &armed),
            Ok(mut server) => {
                self.load(&mut server, |server| was_killed(server.ended(), kill, &armed));
            }
        }
        let digest = self.place.digest();
        self.shards = 3 - self.shards;
        recovers(&self.place, self.shards, &digest, kill);
        let server = self.place.start(self.shards);
        let seed = self.random.next();
        let promises = self.promises.get_mut().expect("nobody failed");
        Check::new(&server, &self.people, promises, seed, self.round).all();
        promises.forget_before(self.round.saturating_sub(3));
        assert!(server.stop().success());
        recovers(&self.place, self.shards, &self.place.digest(), kill);
    }
}

#[test]
fn load_with_rotation_snapshots_and_pruning() {
    let seed = seed();
    let _repeat = repeat("load_with_rotation_snapshots_and_pruning", seed);
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::new(dir.path(), seed);
    let all = world.count();
    let possible: usize = all.iter().map(|operation| moments(operation).len()).sum();
    let mut kills = Kills::default();
    if std::env::var("COINBITCLUB_FAILPOINTS").is_ok_and(|which| which == "all") {
        for (n, operation) in (1..).zip(&all) {
            for moment in moments(operation) {
                world.kill_and_check(&format!("{n}:{moment}"));
                kills.note(operation, moment);
            }
        }
    } else {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        all.iter().for_each(|operation| *kinds.entry(operation).or_default() += 1);
        for (operation, counted) in kinds {
            for moment in moments(operation) {
                let n = 1 + world.random.below(counted);
                world.kill_and_check(&format!("{operation} {n}:{moment}"));
                kills.note(operation, moment);
            }
        }
    }
    let promised = world.promises.get_mut().expect("nobody failed").count;
    println!("seed {seed}, {promised} promises kept");
    assert!(promised > kills.count as u64, "the load was real");
    kills.print("load", all.len(), possible - kills.count);
}
