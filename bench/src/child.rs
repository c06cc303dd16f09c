//! Servers under measurement, each in a process of its own on its CPU.
//!
//! The program is started again with `serve` and what to serve; it prints lines, then `ready ADDRESS`, and ends with its
//! standard input.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A running server.
pub struct Server {
    child: Child,
    _stdin: Option<ChildStdin>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What else it printed before it was ready.
    pub lines: Vec<String>,
}

impl Server {
    /// Starts this program again on a CPU, to serve what `words` say.
    ///
    /// # Errors
    /// It cannot be started, or ended before it was ready.
    pub fn start(words: &[&str], cpu: usize) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new("taskset")
            .args(["-c", &cpu.to_string()])
            .arg(program)
            .arg("serve")
            .args(words)
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
            None => Err(format!("the server {words:?} did not start: {}", lines.join("\n"))),
        }
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self._stdin = None;
        let _ = self.child.wait();
    }
}

/// Tells the parent that the server takes requests.
///
/// # Errors
/// Standard output is closed.
pub fn say_ready(address: SocketAddr) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {address}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// Waits for the end of standard input.
pub fn wait_for_the_end() {
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
}
