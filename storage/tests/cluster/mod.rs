//! A real PostgreSQL primary with streaming replicas on loopback, for the tests of this workspace.
//!
//! **Runs on**: the thread of a test; everything here blocks.
//! **Owns**: one directory below the temporary one, named after this process, and the servers that run in it.
//! **Invariants**: dropping a [`Cluster`] kills its servers and removes the directory, also while a test panics; what a
//! killed test run left behind is removed by the next start, and takes no port and no directory of it.
//! **Bounds**: every wait ends after [`WAIT_MAX`] with the server's own log in the panic.
//! **Never**: uses a fixed port, or a server that it has not started.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod node;
mod processes;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) use node::Node;
use programs::Programs;

/// The role that owns everything; a superuser, as `initdb` makes it.
pub(crate) const USER: &str = "coinbitclub";
/// The database that the tests use.
pub(crate) const DATABASE: &str = "coinbitclub";
/// The role's password. The apostrophe and the slash show where quoting is forgotten.
pub(crate) const PASSWORD: &str = "it's/secret";

/// How long anything may take on a machine that does much else.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
const PREFIX: &str = "coinbitclub-postgres-";

/// How a cluster is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// How many streaming replicas.
    pub(crate) replicas: usize,
    /// Certificate chain and key in PEM: the servers then speak TLS too.
    pub(crate) tls: Option<(String, String)>,
    /// Whether clients must prove the password; otherwise everyone on loopback is trusted.
    pub(crate) scram: bool,
    /// Whether servers sync to disk, for tests of what a machine's crash leaves.
    pub(crate) fsync: bool,
    /// Lines added to every server's `postgresql.conf`.
    pub(crate) settings: Vec<String>,
    /// The primary's disk, in MiB: a file system of its own that can fill up. Only where [`may_mount`] says so.
    pub(crate) room_mib: Option<u32>,
}

/// One primary and its replicas.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    directory: PathBuf,
}

impl Cluster {
    /// A primary and `replicas` streaming replicas, all answering.
    pub(crate) fn start(replicas: usize) -> Self {
        Self::start_with(&Options { replicas, ..Options::default() })
    }

    /// The same, made as asked.
    pub(crate) fn start_with(options: &Options) -> Self {
        sweep();
        let programs = Programs::find();
        let own = std::process::id();
        let started = processes::seen(own).unwrap().started_ticks;
        let directory =
            tempfile::Builder::new().prefix(&format!("{PREFIX}{own}-{started}-")).tempdir().unwrap().keep();
        programs.give(&directory);
        // Made at once, so that a panic below removes what is there by then.
        let mut cluster = Self { nodes: Vec::new(), directory };
        if let Some(mib) = options.room_mib {
            let disk = cluster.directory.join("primary");
            fs::create_dir(&disk).unwrap();
            let size = format!("size={mib}M,mode=0700");
            programs::run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&disk))
                .unwrap();
            programs.give(&disk);
        }
        let primary = Node::new(&programs, cluster.directory.join("primary"), "primary".to_owned());
        cluster.nodes.push(primary);
        cluster.nodes[0].create(options);
        cluster.nodes[0].restart();
        cluster.nodes[0].create_database();
        for number in 1..=options.replicas {
            let name = format!("replica{number}");
            cluster.nodes.push(Node::new(&programs, cluster.directory.join(&name), name));
            cluster.nodes[number].copy(&cluster.nodes[0]);
            cluster.nodes[number].restart();
        }
        cluster
    }

    /// Where everything of it lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server that began as the primary.
    pub(crate) fn primary(&self) -> &Node {
        &self.nodes[0]
    }

    /// Replica `number`, from one.
    pub(crate) fn replica(&self, number: usize) -> &Node {
        assert!(number > 0, "replicas count from one");
        &self.nodes[number]
    }

    /// Makes a server anew as a replica of `primary`, whatever it held before, and starts it.
    pub(crate) fn rejoin(&self, node: &Node, primary: &Node) {
        node.kill();
        node.copy(primary);
        node.restart();
    }

    /// Waits until a replica has replayed all that the primary has written by now.
    pub(crate) fn catch_up(&self, replica: &Node, primary: &Node) {
        let position = primary.psql("select pg_current_wal_lsn()");
        wait_for(&format!("{} replays {position}", replica.name()), || {
            replica.try_psql(&format!("select pg_last_wal_replay_lsn() >= '{position}'"))
                == Ok("t".to_owned())
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.iter().rev() {
            node.kill();
        }
        remove(&self.directory);
    }
}

/// Whether this process may mount a file system for [`Options::room_mib`].
pub(crate) fn may_mount() -> bool {
    rustix::process::geteuid().is_root()
}

/// Removes a cluster's files, with the file system below them if there is one. What is left is left to the next sweep.
fn remove(directory: &Path) {
    let disk = directory.join("primary");
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if mounts.lines().any(|line| line.split(' ').nth(1) == disk.to_str()) {
        let _detached = Command::new("umount").arg("-l").arg(&disk).status();
    }
    let _gone_or_in_use = fs::remove_dir_all(directory);
}

/// Waits until a condition holds; panics with its name when it does not within [`WAIT_MAX`].
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < end, "not within {WAIT_MAX:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Ends what test runs that are gone left behind: a run that is killed cannot do so itself.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        if owner_is_gone(&entry.file_name().to_string_lossy()) {
            remove_stale(&entry.path());
        }
    }
}

/// Whether this names a cluster whose test process ended. The start time tells a later process of the same number apart.
fn owner_is_gone(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let mut parts = rest.split('-');
    let (Some(process), Some(started)) = (number(parts.next()), number(parts.next())) else { return false };
    let seen = u32::try_from(process).ok().and_then(processes::seen);
    seen.is_none_or(|seen| seen.started_ticks != started)
}

fn number(part: Option<&str>) -> Option<u64> {
    part?.parse().ok()
}

/// Kills the servers in a directory and removes it. Another run may do the same at the same time.
fn remove_stale(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let data = entry.path();
        let first_line = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let process = first_line.lines().next().and_then(|line| line.trim().parse().ok());
        if let Some(process) = process.filter(|&process| processes::serves(process, &data)) {
            let all = processes::kill_all(process);
            wait_for("a stale server is dead", || !all.iter().any(|&process| processes::lives(process)));
        }
    }
    remove(directory);
}
