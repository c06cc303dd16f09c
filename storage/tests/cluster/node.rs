//! One PostgreSQL server of a test's cluster: made, started, stopped, killed, frozen, promoted.
//!
//! **Runs on**: the thread of a test; several threads may share one.
//! **Owns**: the data directory, and the server while it runs.
//! **Invariants**: the port stays the same from the first successful start on, so that addresses stay valid.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;

use rustix::process::Signal;

use super::programs::{Programs, run};
use super::{DATABASE, Options, PASSWORD, USER, processes, wait_for};

/// How often another free port is tried when somebody was faster.
const PORTS_MAX: usize = 20;

/// What every server is told: little memory, quick reconnection, and everything that replicas and `pg_rewind` need.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 16MB
max_connections = 60
wal_level = replica
wal_log_hints = on
hot_standby = on
max_wal_senders = 10
max_replication_slots = 10
wal_keep_size = 64MB
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
log_line_prefix = '%m [%p] '
";

/// One server.
#[derive(Debug)]
pub(crate) struct Node {
    programs: Programs,
    data: PathBuf,
    name: String,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    port: Option<u16>,
    server: Option<Child>,
}

impl Node {
    pub(super) fn new(programs: &Programs, data: PathBuf, name: String) -> Self {
        Self { programs: programs.clone(), data, name, running: Mutex::default() }
    }

    /// The name in this cluster, which is the name of the replication slot too.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.running.lock().unwrap().port.expect("a server has its port from the first start on")
    }

    /// `postgresql://user:password@127.0.0.1:port/database`.
    pub(crate) fn url(&self) -> String {
        let password = PASSWORD.replace('/', "%2F").replace('\'', "%27");
        format!("postgresql://{USER}:{password}@127.0.0.1:{}/{DATABASE}", self.port())
    }

    /// The same without the password.
    pub(crate) fn url_without_password(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{DATABASE}", self.port())
    }

    /// What the server has logged since it was made.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts the server and waits until it answers. Does nothing when it runs.
    pub(crate) fn restart(&self) {
        for _attempt in 0..PORTS_MAX {
            if self.launch() {
                return;
            }
        }
        panic!("{} found no free port\n{}", self.name, self.log());
    }

    /// Starts a server anew that has ended by itself, as what keeps it running would.
    pub(crate) fn revive(&self) {
        let mut running = self.running.lock().unwrap();
        if running.server.as_mut().is_some_and(|server| server.try_wait().unwrap().is_some()) {
            running.server = None;
        }
        drop(running);
        self.restart();
    }

    /// Shuts down fast: sessions are cut, everything is written.
    pub(crate) fn stop(&self) {
        let Some(mut server) = self.running.lock().unwrap().server.take() else { return };
        processes::signal(server.id(), Signal::INT);
        wait_for(&format!("{} shuts down", self.name), || server.try_wait().unwrap().is_some());
    }

    /// Kills the server with all its sessions as `kill -9` does. Does nothing when it does not run.
    pub(crate) fn kill(&self) {
        // A thread that panicked while it started the server must not keep others from ending it.
        let mut running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(mut server) = running.server.take() else { return };
        let all = processes::kill_all(server.id());
        let _status = server.wait();
        wait_for(&format!("{} is dead", self.name), || !all.iter().any(|&process| processes::lives(process)));
    }

    /// Freezes the server and all its sessions: it takes connections and answers none.
    pub(crate) fn pause(&self) {
        processes::freeze(self.process());
    }

    /// Lets a frozen server go on.
    pub(crate) fn resume(&self) {
        let server = self.process();
        for process in processes::children(server) {
            processes::signal(process, Signal::CONT);
        }
        processes::signal(server, Signal::CONT);
    }

    /// Makes a replica a primary, and waits until it takes writes.
    pub(crate) fn promote(&self) {
        assert_eq!(self.psql("select pg_promote(true, 120)"), "t", "{} is promoted", self.name);
        wait_for(&format!("{} takes writes", self.name), || {
            self.try_psql("select pg_is_in_recovery()") == Ok("f".to_owned())
        });
    }

    /// A replica goes on receiving and shows nothing new.
    pub(crate) fn pause_replay(&self) {
        self.psql("select pg_wal_replay_pause()");
        wait_for(&format!("{} pauses its replay", self.name), || {
            // The request is honoured before the next record.
            self.psql("select pg_get_wal_replay_pause_state()") == "paused"
        });
    }

    /// The replica shows what it has received.
    pub(crate) fn resume_replay(&self) {
        self.psql("select pg_wal_replay_resume()");
    }

    /// Runs statements as the owner; the rows, fields parted by `|`. Panics with the server's words when it fails.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.try_psql(sql).unwrap_or_else(|error| panic!("{}: {error}\nin {sql}", self.name))
    }

    /// The same, with the failure to look at.
    pub(crate) fn try_psql(&self, sql: &str) -> Result<String, String> {
        self.psql_in(DATABASE, sql)
    }

    /// A fresh data directory.
    pub(super) fn create(&self, options: &Options) {
        let password = self.data.with_extension("password");
        fs::write(&password, PASSWORD).unwrap();
        self.programs.give(&password);
        let mut initdb = self.programs.server("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--username", USER]);
        initdb.arg(if options.scram { "--auth=scram-sha-256" } else { "--auth=trust" });
        initdb.arg("--pwfile").arg(&password).arg("--pgdata").arg(&self.data);
        run(&mut initdb).unwrap();
        let mut settings = SETTINGS.to_owned();
        if !options.fsync {
            settings.push_str("fsync = off\n");
        }
        if let Some((certificate, key)) = &options.tls {
            self.put("server.crt", certificate);
            self.put("server.key", key);
            settings.push_str("ssl = on\n");
        }
        for line in &options.settings {
            settings.push_str(line);
            settings.push('\n');
        }
        let path = self.data.join("postgresql.conf");
        OpenOptions::new().append(true).open(path).unwrap().write_all(settings.as_bytes()).unwrap();
    }

    pub(super) fn create_database(&self) {
        self.psql_in("postgres", &format!("create database {DATABASE}")).unwrap();
    }

    /// Replaces the data directory by a copy of a running primary's, ready to follow it.
    pub(super) fn copy(&self, primary: &Self) {
        if self.data.exists() {
            fs::remove_dir_all(&self.data).unwrap();
        }
        let slot = &self.name;
        primary.psql(&format!(
            "select pg_create_physical_replication_slot('{slot}') \
             where not exists (select from pg_replication_slots where slot_name = '{slot}')"
        ));
        let mut backup = self.programs.server("pg_basebackup");
        backup.args(["--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf"]);
        backup.args(["--slot", slot, "--dbname", &primary.url()]).arg("--pgdata").arg(&self.data);
        run(&mut backup).unwrap();
    }

    /// Starts once; `false` when the port was taken.
    fn launch(&self) -> bool {
        let mut running = self.running.lock().unwrap();
        if running.server.is_some() {
            return true;
        }
        let port = running.port.unwrap_or_else(|| {
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
        });
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let before = self.log().len();
        let mut server = self
            .programs
            .server("postgres")
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &port.to_string()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut ended = false;
        wait_for(&format!("{} answers", self.name), || {
            ended = server.try_wait().unwrap().is_some();
            ended || self.psql_at(port, "postgres", "select 1").is_ok()
        });
        if !ended {
            *running = Running { port: Some(port), server: Some(server) };
            return true;
        }
        let said = self.log().split_off(before);
        assert!(said.contains("Address already in use"), "{} ended:\n{said}", self.name);
        false
    }

    /// Its first process.
    pub(crate) fn process(&self) -> u32 {
        self.running.lock().unwrap().server.as_ref().expect("the server runs").id()
    }

    fn psql_in(&self, database: &str, sql: &str) -> Result<String, String> {
        self.psql_at(self.port(), database, sql)
    }

    fn psql_at(&self, port: u16, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.programs.client("psql");
        psql.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5");
        psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--host=127.0.0.1", "--username", USER, "--dbname", database, "--command", sql]);
        psql.arg(format!("--port={port}"));
        run(&mut psql).map(|output| output.trim_end().to_owned())
    }

    fn log_path(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// A file in the data directory that only the server may read, as it wants its key to be.
    fn put(&self, name: &str, text: &str) {
        let path: &Path = &self.data.join(name);
        let mut file = File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        self.programs.give(path);
    }
}
