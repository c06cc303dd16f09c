//! A server under load is backed up, killed and restored: everything it had acknowledged before is there. A backup of which
//! one byte is another one is refused, by the file's name, before anything is written.

mod crash;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crash::calls::post;
use crash::check::Check;
use crash::files::{self, contents, flip};
use crash::load::{Load, post_signal};
use crash::people::{People, RULES, SYMBOLS, Source, TRADERS, create_source, signal_body, subscription};
use crash::promises::{Promises, locked};
use crash::server::{Ending, Place};
use crash::{Repeat, seed, wait_until};
use net::http::client::Client;

/// For how long a server is loaded before it is backed up.
const LOAD: Duration = Duration::from_millis(500);
/// Connections that go on while backups are taken.
const SENDERS: usize = 3;
/// Backups.
const BACKUPS: usize = 4;
/// Backups of which one is stopped in its middle, at most.
const HELD_UP_TRIES: usize = 50;
/// Signals that are sent again to what was restored.
const REPEATED: usize = 30;

fn run(arguments: &[&str], paths: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
    command.args(arguments).env_remove("COINBITCLUB_DATA_DIR");
    for (name, path) in paths {
        command.arg(name).arg(path);
    }
    command.output().expect("the binary starts")
}

fn done(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn backup(place: &Place, to: &Path) -> Output {
    run(&["backup"], &[("--data", &place.data()), ("--to", to)])
}

/// A backup that is stopped while it holds the files of the last shard, until its server has removed every one of them that it
/// will; `None` when it was done before it could be stopped.
fn backup_held_up(place: &Place, to: &Path) -> Option<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
    command.arg("backup").arg("--data").arg(place.data()).arg("--to").arg(to);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut child = Ended(child);
    let pid = child.0.id();
    while held_segments(pid).is_empty() {
        if child.0.try_wait().expect("a child can be waited for").is_some() {
            return None;
        }
    }
    signal(pid, "-STOP");
    let stopped = jiff::Timestamp::now();
    // Stopped among the files, or when it had let go of them: not what is wanted.
    let (held, there) = (held_segments(pid), segments_of_the_last_shard(&place.data()));
    if held.is_empty() || there.iter().any(|path| !held.contains(path)) {
        return None;
    }
    // What can go on is the one segment that is still written to when the others are gone.
    wait_until("what is held was pruned", || {
        let there: Vec<_> = held.iter().filter(|path| path.exists()).collect();
        (!there.is_empty()).then(|| format!("{there:?}"))
    });
    signal(pid, "-CONT");
    assert!(child.0.wait().expect("a child can be waited for").success(), "the backup was made");
    // It is of the moment it began with: nothing had it begin anew.
    let text = std::fs::read(to.join("MANIFEST.json")).expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let taken = manifest["manifest"]["taken_at"].as_str().expect("a time");
    assert!(taken.parse::<jiff::Timestamp>().expect("a time") < stopped, "{taken} is after {stopped}");
    Some(())
}

/// A child that is gone when this is, also when it is stopped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn segments_of_the_last_shard(data: &Path) -> Vec<PathBuf> {
    files::segments(data).into_iter().filter(|path| path.to_string_lossy().contains("/shard-001/")).collect()
}

/// The log's files that a process has open, of the last of two shards: those of the first are held before them.
fn held_segments(pid: u32) -> Vec<PathBuf> {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let files = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    files.filter(|path| path.to_string_lossy().contains("/data/gen-00000001/shard-001/seg-")).collect()
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(name).arg(pid.to_string()).status();
    assert!(sent.expect("kill is there").success(), "{name} was sent");
}

fn restore(from: &Path, data: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["restore"];
    arguments.extend(more);
    run(&arguments, &[("--from", from), ("--data", data)])
}

fn end_of(log: &serde_json::Value, name: &str) -> u64 {
    log[name].as_u64().expect("a number")
}

#[test]
fn what_was_acknowledged_before_the_backup_is_in_what_is_restored() {
    let seed = seed();
    let command = format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test backup_and_restore");
    let _repeat = Repeat { command };
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    let mut server = place.start(2);
    let people = People::gather(&mut server.client());
    let promises = Mutex::new(Promises::default());
    let address = server.address;
    let load = Load { people: &people, promises: &promises, address, round: 0, seed };
    // What this load was promised is in every backup; the next one, of signals only, runs while they are taken.
    load.run(|| {
        std::thread::sleep(LOAD);
        server.kill();
    });
    promises.lock().expect("nobody failed").server_gone();
    server = place.start(2);
    let others = Mutex::new(Promises::default());
    let busy = Load { people: &people, promises: &others, address: server.address, round: 1, seed };
    // A source of its own: what the first load was promised of the others is not pushed out by hundreds of newer signals.
    let source = create_source(&mut server.client(), &people.traders[0], "busy");
    for (trader, person) in people.traders.iter().enumerate().skip(TRADERS) {
        let body = subscription(trader, &source, 5);
        post(&mut server.client(), "/api/subscriptions", &person.token, &body, 200);
    }
    let mut backups: Vec<(PathBuf, Promises)> = Vec::new();
    std::thread::scope(|scope| {
        let _ending = Ending(server.address);
        for sender in 0..SENDERS {
            let (busy, source, mut client) = (&busy, &source, server.client());
            scope.spawn(move || flood(busy, source, &mut client, sender));
        }
        for n in 0..BACKUPS {
            wait_until("more is acknowledged", || {
                let count = locked(&others).count;
                (count < (n as u64 + 1) * 100).then(|| format!("{count} answers"))
            });
            let to = dir.path().join(format!("backup-{n}"));
            let known = acknowledged(&locked(&others));
            done(&backup(&place, &to));
            backups.push((to, known));
        }
        // However slow a backup is, what it began with stays readable.
        let slow = (0..HELD_UP_TRIES).find_map(|n| {
            let (to, known) = (dir.path().join(format!("slow-{n}")), acknowledged(&locked(&others)));
            backup_held_up(&place, &to).map(|()| (to, known))
        });
        backups.push(slow.expect("one of them was stopped while it held files"));
        assert!(refused(&restore(&backups[0].0, &place.data(), &[])).contains("in use by another"));
        server.kill();
    });

    for (n, (from, known)) in backups.into_iter().enumerate() {
        let again = Place { root: dir.path().join(format!("again-{n}")), ..place.clone() };
        std::fs::create_dir(&again.root).expect("a directory");
        done(&restore(&from, &again.data(), &[]));
        let server = again.start(3);
        let mut client = server.client();
        let signals: Vec<_> =
            known.signals.iter().map(|(sender, sent)| (sender.clone(), sent.body.clone())).collect();
        assert!(signals.len() == REPEATED, "{} signals had been acknowledged", signals.len());
        let known = Mutex::new(known);
        for signal in &signals {
            // Fails when it is taken as a new one.
            assert_eq!(post_signal(&mut client, &known, signal), Some(true));
        }
        if n == 0 {
            let mut known = promises.lock().expect("nobody failed");
            assert!(known.count > 100, "the load was real: {}", known.count);
            Check::new(&server, &people, &mut known, seed, 0).all();
        }
    }
}

/// Sends signals until the server is gone.
fn flood(load: &Load<'_>, source: &Source, client: &mut Client, sender: usize) {
    for n in 0_u64.. {
        let body_sender = format!("busy-{sender}-{n:08}");
        let action = if n % 3 == 2 { "close" } else { "buy" };
        let body = signal_body(source, &body_sender, action, SYMBOLS[(n % 5) as usize]);
        let signal = load.note(body_sender, None, n % 3 != 2, body);
        if post_signal(client, load.promises, &signal).is_none() {
            return;
        }
    }
}

/// The newest acknowledged signals, as promises to somebody who will be asked again.
fn acknowledged(promises: &Promises) -> Promises {
    let mut known = Promises::default();
    let answered = promises.signals.iter().rev().filter(|(_, sent)| sent.id.is_some());
    known.signals.extend(answered.take(REPEATED).map(|(sender, sent)| (sender.clone(), sent.clone())));
    known.server_gone();
    known
}

#[test]
fn a_backup_with_another_byte_is_refused_and_a_point_in_time_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    let server = place.start(2);
    People::gather(&mut server.client());
    let from = dir.path().join("backup");
    done(&backup(&place, &from));
    assert!(server.stop().success());
    assert!(refused(&backup(&place, &from)).contains("not empty"));

    let data = dir.path().join("restored");
    let files = contents(&from);
    assert!(files.len() >= 4, "CURRENT, the manifest and two shards: {:?}", files.keys());
    for (path, bytes) in &files {
        // Every byte of what is small, some of the rest: each takes a run of the program.
        let step = (bytes.len() / 12).max(1);
        for at in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            flip(path, at);
            let said = refused(&restore(&from, &data, &[]));
            assert!(said.contains(&path.display().to_string()), "byte {at} of {}: {said}", path.display());
            flip(path, at);
        }
    }
    assert_eq!(contents(&from), files);
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).expect("it is there").flatten().map(|e| e.path()).collect();
    assert!(!left.iter().any(|path| path.display().to_string().contains("restored")), "{left:?}");

    let text = std::fs::read(from.join("MANIFEST.json")).expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let log = &manifest["manifest"]["logs"][0];
    let (first, last) = (end_of(log, "first_lsn"), end_of(log, "last_lsn"));
    for lsn in [first, first + 1, u64::midpoint(first, last), last - 1, last] {
        let data = dir.path().join(format!("to-{lsn}"));
        let said = done(&restore(&from, &data, &["--shard-lsn", &format!("0:{lsn}")]));
        assert!(said.contains(&format!("shard 0 to record {lsn} ")), "{said}");
    }
    let beyond = restore(&from, &data, &["--shard-lsn", &format!("0:{}", last + 1)]);
    assert!(refused(&beyond).contains(&format!("from record {first}, the earliest possible, to {last}")));

    // At the time of its own last record a shard loses nothing.
    let at = log["last_at"].as_str().expect("a time");
    let said = done(&restore(&from, &data, &["--at", at]));
    assert!(said.contains(&format!("shard 0 to record {last} of {at}")), "{said}");
}

/// The unit's line before the backup, as systemd would give it to the shell, for another directory.
fn before_the_hourly_one(backups: &Path) -> String {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/coinbitclub-backup.service");
    let unit = std::fs::read_to_string(unit).expect("the unit");
    let line =
        unit.lines().find_map(|line| line.strip_prefix("ExecStartPre=/bin/sh -c '")).expect("it is there");
    let line = line.strip_suffix('\'').expect("a quote").replace("$$", "$").replace("%%", "%");
    line.replace("/var/backups/coinbitclub", &backups.display().to_string())
}

#[test]
fn what_a_failed_backup_left_is_in_nobodys_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    assert!(place.start(2).stop().success());
    let backups = dir.path().join("backups");
    let left = |name: &str| {
        for ending in ["incomplete", "verify"] {
            let half = backups.join(format!("{name}.{ending}/gen-00000009"));
            std::fs::create_dir_all(&half).expect("a directory");
            std::fs::write(half.join("half"), "of a file").expect("a file");
        }
        backups.join(format!("{name}.incomplete"))
    };
    // One of the same name that is written to, and then was.
    let (to, work) = (backups.join("first"), left("first"));
    let held = std::fs::File::open(&work).expect("a directory");
    held.lock().expect("it is free");
    assert!(refused(&backup(&place, &to)).contains("another backup is writing to it"));
    assert!(work.join("gen-00000009/half").exists(), "nothing of it was touched");
    drop(held);
    done(&backup(&place, &to));
    assert!(!work.exists() && !backups.join("first.verify").exists() && !to.join("gen-00000009").exists());
    done(&restore(&to, &dir.path().join("restored"), &[]));

    // The hourly one has another name each time.
    let (busy, dead) = (left("busy"), left("dead"));
    let held = std::fs::File::open(&busy).expect("a directory");
    held.lock().expect("it is free");
    let ran = Command::new("/bin/sh").arg("-c").arg(before_the_hourly_one(&backups)).status();
    assert!(ran.expect("a shell").success());
    assert!(busy.exists() && backups.join("busy.verify").exists(), "it is written to");
    assert!(!dead.exists() && !backups.join("dead.verify").exists(), "nobody writes to it");
    assert!(to.join("MANIFEST.json").exists(), "a backup stays");
}
