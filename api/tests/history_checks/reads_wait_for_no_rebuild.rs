//! A projector that reads files for long keeps no reader waiting.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{answered_by, one_person, place, projected};
use crate::cluster::Cluster;
use crate::crash::calls::{get, post};
use crate::crash::wait_until;
use serde_json::json;

/// Puts a pipe that nobody writes to in the place of each file of the logs: whoever opens one waits for ever. The server has open
/// what it writes to.
fn bar(dir: &Path) -> usize {
    let mut barred = 0;
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            barred += bar(&path);
        } else if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("shard")) {
            fs::remove_file(&path).expect("it is removed");
            assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
            barred += 1;
        }
    }
    barred
}

/// What the thread of this name is waiting in, by number: 257 is `openat`, on x86-64.
fn waits_in(pid: u32, thread: &str) -> Option<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    tasks.flatten().find_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        (name.trim() == thread).then(|| fs::read_to_string(task.path().join("syscall")).ok())?
    })
}

#[test]
#[cfg(target_arch = "x86_64")]
fn reads_are_answered_while_a_projector_reads_files_for_ever() {
    let cluster = Cluster::start(0);
    let node = cluster.primary();
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path(), &cluster, 0);
    let (mut server, person) = one_person(&place);
    node.psql("CREATE TABLE before AS SELECT * FROM coinbitclub.projector_progress");
    post(&mut server.client(), "/api/accounts", &person.token, &json!({ "venue": "paper" }), 201);
    projected(&server);
    answered_by(&server, &person, "primary");
    assert!(bar(&place.data()) > 0, "the logs are where they were looked for");
    // As a replica without the tail would that took over.
    node.psql(
        "UPDATE coinbitclub.projector_progress p SET lsn = b.lsn, record_mark = b.record_mark FROM before b \
         WHERE p.generation = b.generation AND p.shard = b.shard",
    );
    wait_until("the projector waits for a file", || {
        let waits = waits_in(server.pid(), "history").unwrap_or_else(|| "there is no such thread".to_owned());
        (!waits.starts_with("257 ")).then_some(waits)
    });
    for kind in ["orders", "ledger", "performance"] {
        let page = get(&mut server.client(), &format!("/api/history/{kind}"), &person.token);
        assert_eq!(page["source"], "primary", "{page}");
    }
    assert!(
        waits_in(server.pid(), "history").is_some_and(|waits| waits.starts_with("257 ")),
        "it still does"
    );
    server.kill();
}
