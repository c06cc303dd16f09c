//! The server as a child process.
//!
//! **Invariants**: a child never outlives its value; its log lines are kept in a file, so that a failure can show them. What
//! loads a server until it is gone ends when whoever was to end it fails: see [`Ending`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use net::http::client::{Client, ClientOptions};

use super::wait_until;

/// How a server is started.
#[derive(Clone)]
pub struct Place {
    /// Where everything of this test is.
    pub root: PathBuf,
    /// Arguments beyond data, address and shards.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub variables: Vec<(&'static str, String)>,
}

impl Place {
    /// A place in `root` whose servers follow `rules` (JSON), with segments and snapshots so small that a short run
    /// rotates, snapshots and prunes.
    pub fn new(root: &Path, rules: &str) -> Self {
        let file = root.join("rules.json");
        std::fs::write(&file, rules).expect("the rules are written");
        let text = |part: &str| part.to_owned();
        let arguments = vec![
            text("--no-pin"),
            text("--segment-mib=1"),
            text("--snapshot-mib=1"),
            text("--rules"),
            file.display().to_string(),
        ];
        Self { root: root.to_owned(), arguments, variables: Vec::new() }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where log lines go.
    pub fn log_lines(&self) -> PathBuf {
        self.root.join("stderr.txt")
    }

    /// What the server that started last has logged.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log_lines()).unwrap_or_default()
    }

    fn command(&self, shards: u16) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
        let shards = shards.to_string();
        command.args(["serve", "--listen", "127.0.0.1:0", "--shards", shards.as_str(), "--data"]);
        command.arg(self.data()).args(&self.arguments);
        command.env_remove("COINBITCLUB_LOG").env_remove("COINBITCLUB_DATA_DIR");
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Begins a start and does not wait for it.
    pub fn begin(&self, shards: u16) -> Starting {
        let log_lines = File::create(self.log_lines()).expect("the log lines' file");
        let child = self.command(shards).stdout(Stdio::piped()).stderr(log_lines).spawn();
        Starting { child: Some(child.expect("the server's binary starts")), place: self.clone(), shards }
    }

    /// Starts a server and waits until it serves.
    ///
    /// # Panics
    /// When it does not, with its log lines.
    pub fn start(&self, shards: u16) -> Server {
        self.begin(shards).serving()
    }

    /// Runs a server that is expected to refuse: gives how it ended and what it said.
    ///
    /// # Panics
    /// When it serves.
    pub fn refused(&self, shards: u16) -> (ExitStatus, String) {
        let file = self.root.join("refusal.txt");
        let stderr = File::create(&file).expect("the refusal's file");
        let child = self.command(shards).stdout(Stdio::piped()).stderr(stderr).spawn();
        let mut child = child.expect("the server's binary starts");
        let mut printed = String::new();
        // Ends with the process, or with the line that says that it serves.
        let out = child.stdout.take().expect("its standard output is a pipe");
        BufReader::new(out).read_line(&mut printed).expect("a pipe is readable");
        let said = || std::fs::read_to_string(&file).unwrap_or_default();
        if !printed.is_empty() {
            end(&mut child);
            panic!("it was to refuse, and serves: {printed}{}", said());
        }
        let status = child.wait().expect("a child can be waited for");
        (status, said())
    }

    /// What `coinbitclub log …` prints.
    pub fn log_tool(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
        command.arg("log").args(arguments).arg(self.data()).output().expect("the binary starts")
    }

    /// The digest of the state in the data directory, as `coinbitclub log digest` prints it.
    pub fn digest(&self) -> String {
        let output = self.log_tool(&["digest"]);
        assert!(output.status.success(), "log digest: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }
}

/// A server that is starting.
pub struct Starting {
    child: Option<Child>,
    place: Place,
    shards: u16,
}

impl Starting {
    /// SIGKILL, in the middle of whatever it does.
    pub fn kill(mut self) {
        end(self.child.as_mut().expect("it is taken once"));
    }

    /// Waits until it serves.
    ///
    /// # Panics
    /// When it does not, with its log lines.
    pub fn serving(self) -> Server {
        let place = self.place.clone();
        self.serving_or_ended().unwrap_or_else(|status| {
            panic!("the server did not start: {status}\n{}", place.logged());
        })
    }

    /// Waits until it serves, or until it has ended by itself.
    ///
    /// # Errors
    /// How it ended.
    pub fn serving_or_ended(mut self) -> Result<Server, ExitStatus> {
        let mut child = self.child.take().expect("it is taken once");
        let mut line = String::new();
        let out = child.stdout.take().expect("its standard output is a pipe");
        BufReader::new(out).read_line(&mut line).expect("a pipe is readable");
        let address =
            line.strip_prefix("listening on http://").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let Some(address) = address else {
            if !line.is_empty() {
                end(&mut child);
                panic!("it says something else: {line:?}");
            }
            return Err(child.wait().expect("a child can be waited for"));
        };
        running().insert(address, child.id());
        Ok(Server { child, address, shards: self.shards })
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // Fails when it has ended already, which is as good.
    let _ = child.kill();
    child.wait().expect("a child can be waited for");
}

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// With how many shards it was started.
    pub shards: u16,
}

impl Server {
    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.address, ClientOptions::default()).expect("the server listens")
    }

    /// SIGKILL; the process is gone when this returns.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Waits for its end, which something else brings about.
    pub fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the server ends by itself", || {
            ended = self.child.try_wait().expect("a child can be waited for");
            ended.is_none().then(|| "it runs".to_owned())
        });
        ended.expect("it was just seen")
    }

    /// SIGTERM, then its end is waited for.
    pub fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", pid.as_str()]).status();
        assert!(sent.expect("kill is there").success(), "SIGTERM was sent");
        self.ended()
    }

    /// The process, to look at it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        running().remove(&self.address);
        end(&mut self.child);
    }
}

/// The servers that run, by where they listen.
fn running() -> MutexGuard<'static, BTreeMap<SocketAddr, u32>> {
    static RUNNING: Mutex<BTreeMap<SocketAddr, u32>> = Mutex::new(BTreeMap::new());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a server when the scope it stands in panics. Senders go on until their server is gone, and the end of a scope of
/// threads waits for them: without this a failure is a test that never ends and never says why.
pub struct Ending(pub SocketAddr);

impl Drop for Ending {
    fn drop(&mut self) {
        let pid = if std::thread::panicking() { running().get(&self.0).copied() } else { None };
        if let Some(pid) = pid {
            let pid = pid.to_string();
            // It may be gone already.
            let _ = Command::new("kill").args(["-KILL", pid.as_str()]).status();
        }
    }
}
