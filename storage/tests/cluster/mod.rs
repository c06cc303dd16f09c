//! A real PostgreSQL primary and its streaming replicas on loopback, for tests.
//!
//! The servers refuse to run as root: started by root they run as the user `postgres`. Everything is below one temporary
//! directory, and is gone when the cluster is dropped, also by a panic.
#![allow(dead_code, unreachable_pub, reason = "shared by several test programs; none uses all of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer, however busy the machine.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The name of the database, its owner and the owner's password.
pub const NAME: &str = "coinbitclub";

/// Where the server's programs are.
fn programs() -> PathBuf {
    let said =
        Command::new("pg_config").arg("--bindir").output().ok().filter(|output| output.status.success());
    let said = said.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let mut places: Vec<PathBuf> = said.into_iter().collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let found = places.into_iter().find(|place| place.join("initdb").is_file());
    found.expect("PostgreSQL's server is installed: cargo xtask test --only prerequisites")
}

/// The user that servers run as: nobody else when the test is not root's.
fn user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("there is a user postgres");
    let mut numbers = line.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

/// One server.
pub struct Node {
    /// What it is called.
    pub name: String,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    dir: PathBuf,
    process: Option<Child>,
}

/// The servers, the primary first.
pub struct Cluster {
    /// The primary, then the replicas.
    pub nodes: Vec<Node>,
    root: PathBuf,
}

fn command(program: &str) -> Command {
    let mut command = Command::new(programs().join(program));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    command.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
    if let Some((uid, gid)) = user() {
        command.uid(uid).gid(gid);
    }
    command
}

fn succeed(command: &mut Command) {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `done`, which says what is missing while it is.
pub fn wait_until(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match done() {
            Ok(()) => return,
            Err(missing) => assert!(Instant::now() < deadline, "{what}: {missing}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Node {
    /// How it is connected to.
    pub fn url(&self) -> String {
        format!("postgresql://{NAME}@127.0.0.1:{}/{NAME}", self.port)
    }

    /// Starts it, on another port when somebody took its own, and waits until it answers.
    fn start(&mut self) {
        for _ in 0..5 {
            let log =
                fs::File::options().create(true).append(true).open(self.dir.with_extension("log")).unwrap();
            let mut server = command("postgres");
            server.arg("-D").arg(&self.dir).arg("-p").arg(self.port.to_string());
            server.stderr(log.try_clone().unwrap()).stdout(log).process_group(0);
            self.process = Some(server.spawn().unwrap());
            let deadline = Instant::now() + WAIT_MAX;
            while Instant::now() < deadline {
                if self.process.as_mut().unwrap().try_wait().unwrap().is_some() {
                    break;
                }
                if self.try_psql("postgres", "SELECT 1").is_ok() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self.port = free_port();
        }
        let log = fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default();
        panic!("{} does not start: {log}", self.name);
    }

    /// Runs SQL in the database, unaligned, without headings.
    pub fn psql(&self, sql: &str) -> String {
        self.try_psql(NAME, sql).unwrap_or_else(|error| panic!("{}: {sql}: {error}", self.name))
    }

    /// The same, and what went wrong.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = command("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p"]);
        psql.arg(self.port.to_string()).args(["-U", NAME, "-d", database, "-c", sql]);
        let output = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn signal(&self, signal: &str, group: bool) {
        if let Some(process) = &self.process {
            let to = if group { format!("-{}", process.id()) } else { process.id().to_string() };
            drop(Command::new("kill").args([signal, "--", &to]).stderr(Stdio::null()).status());
        }
    }

    /// Every process of it: the server's children have groups of their own.
    fn signal_all(&self, signal: &str) {
        let Some(process) = &self.process else { return };
        let parent = process.id().to_string();
        drop(Command::new("pkill").args([signal, "-P", &parent]).stderr(Stdio::null()).status());
        self.signal(signal, false);
    }

    /// Ends it in order, cutting connections off.
    pub fn stop(&mut self) {
        self.signal("-INT", false);
        if let Some(mut process) = self.process.take() {
            process.wait().unwrap();
        }
    }

    /// Ends it with kill -9, all its processes.
    pub fn kill(&mut self) {
        self.signal_all("-KILL");
        if let Some(mut process) = self.process.take() {
            process.wait().unwrap();
        }
        // Children that were orphaned at that moment end by themselves; the next start waits for the shared memory.
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "{} runs", self.name);
        drop(fs::remove_file(self.dir.join("postmaster.pid")));
        self.start();
    }

    /// Holds all its processes.
    pub fn pause(&self) {
        self.signal_all("-STOP");
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.signal_all("-CONT");
    }

    /// Makes a replica the primary.
    pub fn promote(&self) {
        assert_eq!(self.psql("SELECT pg_promote(true, 60)"), "t");
    }
}

impl Cluster {
    /// A primary and so many replicas, which have streamed everything.
    pub fn start(replicas: usize) -> Self {
        let root = tempfile::Builder::new().prefix("coinbitclub-postgres-").tempdir().unwrap().keep();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((uid, gid)) = user() {
            chown(&root, Some(uid), Some(gid)).unwrap();
        }
        let mut cluster = Self { nodes: Vec::new(), root };
        let dir = cluster.root.join("primary");
        succeed(
            command("initdb").args(["-U", NAME, "-A", "trust", "-E", "UTF8", "--no-sync", "-D"]).arg(&dir),
        );
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nwal_level = replica\nhot_standby = on\n\
             max_wal_senders = 10\nwal_keep_size = '512MB'\nshared_buffers = '32MB'\nmax_connections = 60\nfsync = off\n\
             full_page_writes = off\nautovacuum_naptime = '1h'\nwal_log_hints = on\nlog_min_messages = warning\n\
             wal_receiver_status_interval = '1s'\nwal_retrieve_retry_interval = '100ms'\n",
            cluster.root.display()
        );
        let file = dir.join("postgresql.conf");
        let text = fs::read_to_string(&file).unwrap() + &settings;
        fs::write(&file, text).unwrap();
        let mut primary = Node { name: "primary".to_owned(), port: free_port(), dir, process: None };
        primary.start();
        primary.try_psql("postgres", &format!("CREATE DATABASE {NAME}")).unwrap();
        cluster.nodes.push(primary);
        for number in 1..=replicas {
            cluster.add_replica(0, &format!("replica-{number}"));
        }
        cluster
    }

    /// The primary as it was started.
    pub fn primary(&mut self) -> &mut Node {
        &mut self.nodes[0]
    }

    /// A replica, from 1.
    pub fn replica(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number]
    }

    /// A new replica of a node.
    pub fn add_replica(&mut self, of: usize, name: &str) {
        let dir = self.root.join(name);
        let port = self.nodes[of].port.to_string();
        let mut copy = command("pg_basebackup");
        copy.args([
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
            "-h",
            "127.0.0.1",
            "-U",
            NAME,
            "-p",
            &port,
            "-D",
        ]);
        succeed(copy.arg(&dir));
        let mut node = Node { name: name.to_owned(), port: free_port(), dir, process: None };
        node.start();
        self.nodes.push(node);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.resume();
            node.kill();
        }
        drop(fs::remove_dir_all(&self.root));
    }
}

/// The directory's path, for whoever wants to look while a test waits.
pub fn place(cluster: &Cluster) -> &Path {
    &cluster.root
}
