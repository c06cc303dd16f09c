//! A paper exchange of a test's own: the program, as users start it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// When an answer counts as never coming.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running program; it ends with this.
pub(crate) struct Paper {
    child: Child,
    /// `http://ADDRESS:PORT`.
    pub(crate) base: String,
}

/// A key of an account.
pub(crate) struct Key {
    /// Its name.
    pub(crate) api_key: String,
    /// Its secret.
    pub(crate) secret: String,
}

impl Paper {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
            .args(["paper", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim_end().strip_prefix("paper exchange on ").expect(&line).to_owned();
        Self { child, base }
    }

    /// Opens an account with 10,000 USDT.
    pub(crate) fn account(&self, exchange: &str) -> Key {
        let body = json!({ "exchange": exchange, "wallet": "10000" }).to_string();
        let address = self.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /paper/accounts HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        let told: Value = serde_json::from_str(body).unwrap();
        let text = |name: &str| told["keys"][0][name].as_str().unwrap().to_owned();
        Key { api_key: text("api_key"), secret: text("secret") }
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
