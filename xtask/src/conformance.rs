//! Suites that nobody here wrote: the Autobahn testsuite against our WebSocket server and our WebSocket client.
//!
//! The suite needs Python 2.7; it is installed into an environment of its own under `target/conformance`.
//! **Invariants**: a suite that could not run is a failure of the command, never a silent success.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::run::checked;

/// The suite's release, and that of the tool that makes an environment for it.
const SUITE: &str = "autobahntestsuite==25.10.1";
const VIRTUALENV: &str = "virtualenv==20.15.1";

/// How the suite judges a case that counts as passed. `UNIMPLEMENTED`: an extension's variant was declined, as the standard
/// allows; it is shown, so that nobody takes it for a test that was run.
const PASSING: &[&str] = &["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"];

/// Runs both directions; arguments are the suite's case patterns, such as `6.*`.
pub(crate) fn run(cases: &[&str]) -> ExitCode {
    match both(cases) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn both(cases: &[&str]) -> Result<(), String> {
    let home = Path::new("target/conformance");
    fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
    let home = home.canonicalize().map_err(|error| error.to_string())?;
    let suite = install(&home)?;
    let words =
        ["build", "--release", "--locked", "--package", "coinbitclub-net", "--example", "echo", "--example"];
    checked(Command::new("cargo").args(words).arg("autobahn_client"))?;
    let pattern = if cases.is_empty() { &["*"] } else { cases };
    let quoted: Vec<String> = pattern.iter().map(|case| format!("\"{case}\"")).collect();
    let cases = quoted.join(",");
    let server = server_side(&home, &suite, &cases)?;
    let client = client_side(&home, &suite, &cases)?;
    println!("our server: {}\nour client: {}", server.words(), client.words());
    match (server.failed.as_slice(), client.failed.as_slice()) {
        ([], []) => Ok(()),
        (server, client) => Err(format!("failed as a server: {server:?}\nfailed as a client: {client:?}")),
    }
}

/// Their client against our server.
fn server_side(home: &Path, suite: &Path, cases: &str) -> Result<Verdict, String> {
    let out = home.join("server");
    let mut ours = Running(
        Command::new("target/release/examples/echo")
            .args(["127.0.0.1:0", "--deflate"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the echo server: {error}"))?,
    );
    let mut line = String::new();
    BufReader::new(ours.0.stdout.take().ok_or("the echo server has an output")?)
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let spec = format!(
        "{{\"outdir\":\"{}\",\"servers\":[{{\"agent\":\"net\",\"url\":\"ws://{address}\"}}],\"cases\":[{cases}],\
         \"exclude-cases\":[],\"exclude-agent-cases\":{{}}}}",
        out.display()
    );
    run_suite(home, suite, "fuzzingclient", &spec)?.wait("the suite's client")?;
    Verdict::read(&out)
}

/// Our client against their server.
fn client_side(home: &Path, suite: &Path, cases: &str) -> Result<Verdict, String> {
    let out = home.join("client");
    // The suite cannot be handed a socket; it says so when somebody else was quicker.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .map_err(|error| error.to_string())?;
    let spec = format!(
        "{{\"outdir\":\"{}\",\"url\":\"ws://{address}\",\"cases\":[{cases}],\"exclude-cases\":[],\
         \"exclude-agent-cases\":{{}}}}",
        out.display()
    );
    let mut theirs = run_suite(home, suite, "fuzzingserver", &spec)?;
    theirs.wait_for(address)?;
    checked(Command::new("target/release/examples/autobahn_client").arg(address.to_string()))?;
    Verdict::read(&out)
}

fn run_suite(home: &Path, suite: &Path, mode: &str, spec: &str) -> Result<Running, String> {
    let path = home.join(format!("{mode}.json"));
    fs::write(&path, spec).map_err(|error| format!("{}: {error}", path.display()))?;
    let log = fs::File::create(home.join(format!("{mode}.log"))).map_err(|error| error.to_string())?;
    Command::new(suite)
        // Without its web page, which would want a fixed port.
        .args(["--webport", "0", "--mode", mode, "--spec"])
        .arg(&path)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map(Running)
        .map_err(|error| format!("the suite: {error}"))
}

/// A program that ends with its owner.
struct Running(Child);

impl Running {
    fn wait(&mut self, what: &str) -> Result<(), String> {
        let status = self.0.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("{what} ended: {status}")) }
    }

    /// Waits until it takes connections.
    fn wait_for(&mut self, address: SocketAddr) -> Result<(), String> {
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("the suite's server ended: {status}"));
            }
            if start.elapsed() > Duration::from_mins(1) {
                return Err("the suite's server takes no connection".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How the suite judged.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    counts: BTreeMap<String, usize>,
    /// Cases that failed, in the handling or in the closing of the connection.
    failed: Vec<String>,
}

impl Verdict {
    fn read(dir: &Path) -> Result<Self, String> {
        let path = dir.join("index.json");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let verdict = Self::parse(&text);
        if verdict.counts.is_empty() { Err(format!("{}: no case", path.display())) } else { Ok(verdict) }
    }

    /// Reads the suite's index: an object of agents, each an object of cases with `behavior` and `behaviorClose`.
    fn parse(text: &str) -> Self {
        let mut verdict = Self::default();
        let mut case = String::new();
        for line in text.lines().map(str::trim) {
            let Some((name, value)) = line.split_once(": ") else { continue };
            let name = name.trim_matches('"');
            let value = value.trim_end_matches([',', ' ']).trim_matches('"');
            match name {
                "behavior" | "behaviorClose" => {
                    if name == "behavior" {
                        *verdict.counts.entry(value.to_owned()).or_default() += 1;
                    }
                    if !PASSING.contains(&value) && !verdict.failed.contains(&case) {
                        verdict.failed.push(case.clone());
                    }
                }
                _ if value == "{" => name.clone_into(&mut case),
                _ => {}
            }
        }
        verdict
    }

    fn words(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        counts.join(", ")
    }
}

/// The suite's program, installed when it is not there.
fn install(home: &Path) -> Result<PathBuf, String> {
    let suite = home.join("env/bin/wstest");
    if suite.exists() {
        return Ok(suite);
    }
    let python = find_python().ok_or(
        "the Autobahn testsuite needs Python 2.7 and there is none (looked for python2.7 on PATH and under pyenv): \
         pyenv install 2.7.18",
    )?;
    let tool = home.join("tool");
    checked(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&tool)
            .arg(VIRTUALENV),
    )?;
    let env = home.join("env");
    checked(Command::new(&python).args(["-m", "virtualenv", "--quiet"]).arg(&env).env("PYTHONPATH", &tool))?;
    checked(Command::new(env.join("bin/pip")).args(["install", "--quiet", SUITE]))?;
    if suite.exists() { Ok(suite) } else { Err(format!("{} is not there after installing", suite.display())) }
}

fn find_python() -> Option<PathBuf> {
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")))?;
    let versions = fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
    let under_pyenv = versions
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("2.7"))
        .map(|entry| entry.path().join("bin/python2.7"));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&on_path).map(|dir| dir.join("python2.7")).collect();
    // A shim of pyenv is there for every version that any environment has, so the versions come first.
    under_pyenv.chain(on_path).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn an_index_is_read() {
        let text = r#"{
   "net": {
      "1.1.1": {
         "behavior": "OK",
         "behaviorClose": "OK",
         "duration": 1
      },
      "6.4.1": {
         "behavior": "NON-STRICT",
         "behaviorClose": "OK"
      },
      "7.1.1": {
         "behavior": "OK",
         "behaviorClose": "UNCLEAN"
      },
      "7.9.9": {
         "behavior": "FAILED",
         "behaviorClose": "FAILED"
      }
   }
}"#;
        let verdict = Verdict::parse(text);
        assert_eq!(verdict.words(), "1 FAILED, 1 NON-STRICT, 2 OK");
        assert_eq!(verdict.failed, ["7.1.1", "7.9.9"]);
    }
}
