//! The servers under test, each in a process of its own on its CPU.
//!
//! `http_bench serve KIND` prints `ready ADDRESS` and, for kinds that have them, one line per secret; it ends with its
//! standard input.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A running server.
pub(crate) struct Server {
    child: Child,
    _stdin: Option<ChildStdin>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What else it printed before it was ready.
    pub(crate) lines: Vec<String>,
}

impl Server {
    /// Starts one of [`serve`]'s kinds on a CPU.
    pub(crate) fn start(kind: &str, cpu: usize) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new("taskset")
            .args(["-c", &cpu.to_string()])
            .arg(program)
            .args(["serve", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("taskset: {error} (apt-get install util-linux)"))?;
        let stdin = child.stdin.take();
        let mut lines = Vec::new();
        let mut address = None;
        for line in BufReader::new(child.stdout.take().ok_or("the server has an output")?).lines() {
            let line = line.map_err(|error| error.to_string())?;
            match line.strip_prefix("ready ") {
                Some(text) => {
                    address = text.parse().ok();
                    break;
                }
                None => lines.push(line),
            }
        }
        match address {
            Some(address) => Ok(Self { child, _stdin: stdin, address, lines }),
            None => Err(format!("the server {kind:?} did not start: {}", lines.join("\n"))),
        }
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self._stdin = None;
        let _ = self.child.wait();
    }
}

/// Runs a server in this process until its standard input ends.
pub(crate) fn serve(words: &[String]) -> Result<(), String> {
    let _ = tuning::raise_soft_limits();
    match words {
        [kind] if kind == "net" => super::bare::serve(),
        [kind] if kind == "durable" => super::durable::serve(),
        _ => Err("serve: net or durable".to_owned()),
    }
}

/// Tells the parent that the server takes requests.
pub(crate) fn say_ready(address: SocketAddr) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {address}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// Waits for the end of standard input.
pub(crate) fn wait_for_the_end() {
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
}
