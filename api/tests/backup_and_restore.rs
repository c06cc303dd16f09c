//! A server under load is backed up, killed and restored: everything it had acknowledged before is there. A backup of which
//! one byte is another one is refused, by the file's name, before anything is written.

mod crash;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::Duration;

use crash::check::Check;
use crash::files::{contents, flip};
use crash::load::Load;
use crash::people::{People, RULES};
use crash::promises::Promises;
use crash::server::Place;
use crash::{Repeat, seed};

/// For how long a server is loaded before it is backed up, and while it is.
const LOAD: Duration = Duration::from_millis(500);

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
    // The first half of the load is promised to be in the backup; the second runs while backups are taken.
    load.run(|| {
        std::thread::sleep(LOAD);
        server.kill();
    });
    promises.lock().expect("nobody failed").server_gone();
    server = place.start(2);
    let others = Mutex::new(Promises::default());
    let busy = Load { people: &people, promises: &others, address: server.address, round: 1, seed: !seed };
    let backups: Vec<PathBuf> = (0..4).map(|n| dir.path().join(format!("backup-{n}"))).collect();
    busy.run(|| {
        for to in &backups {
            done(&backup(&place, to));
        }
        assert!(refused(&restore(&backups[0], &place.data(), &[])).contains("in use by another"));
        server.kill();
    });

    for (n, from) in backups.iter().enumerate() {
        let again = Place { root: dir.path().join(format!("again-{n}")), ..place.clone() };
        done(&restore(from, &again.data(), &[]));
        assert!(!dir.path().join(format!("backup-{n}.verify")).exists());
        assert!(!dir.path().join(format!("backup-{n}.incomplete")).exists());
        let digest = again.digest();
        assert_eq!(digest, again.digest());
        if n == 0 {
            let server = again.start(3);
            let mut known = promises.lock().expect("nobody failed");
            assert!(known.count > 100, "the load was real: {}", known.count);
            Check::new(&server, &people, &mut known, seed, 0).all();
        }
    }
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
