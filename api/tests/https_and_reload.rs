//! The server without a proxy: TLS beside the plain port, a certificate replaced on SIGHUP, an orderly end on SIGTERM.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// When something counts as never coming.
const PATIENCE: Duration = Duration::from_secs(60);

/// A self-signed certificate for `localhost`.
fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    certificate_with(dir, name, &[])
}

/// The same with more arguments for its maker.
fn certificate_with(dir: &Path, name: &str, more: &[&str]) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:localhost"])
        .args(more)
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    (certificate, key)
}

struct Served {
    child: Child,
    http: String,
    https: String,
    /// What it logs, line by line.
    log: mpsc::Receiver<String>,
}

impl Served {
    fn start(dir: &Path, certificate: &Path, key: &Path) -> Self {
        let mut child =
            command(dir, certificate, key).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, log) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = || {
            let line = lines.next().unwrap().unwrap();
            line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned()
        };
        let (http, https) = (address(), address());
        Self { child, http, https: https.replace("127.0.0.1", "localhost"), log }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn wait_for_log(&self, part: &str) -> String {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(line) = self.log.recv_timeout(Duration::from_secs(1))
                && line.contains(part)
            {
                return line;
            }
        }
        panic!("{part:?} was never logged");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, certificate: &Path, key: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
    command.args(["serve", "--shards", "2", "--no-pin", "--segment-mib", "4", "--listen", "127.0.0.1:0"]);
    command.args(["--tls-listen", "127.0.0.1:0", "--tls-cert"]).arg(certificate).arg("--tls-key").arg(key);
    command.arg("--data").arg(dir.join("data")).stdin(Stdio::null());
    command
}

/// What curl gets of a page, or how it fails.
fn get(url: &str, authority: Option<&Path>) -> Result<String, i32> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--noproxy", "*", "--max-time", "30", "--ipv4"]);
    if let Some(authority) = authority {
        curl.arg("--cacert").arg(authority);
    }
    let output = curl.args(["--write-out", " %{http_code} %{http_version}"]).arg(url).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(output.status.code().unwrap()) }
}

/// curl: the peer's certificate is not trusted.
const UNTRUSTED: i32 = 60;

#[test]
fn a_certificate_is_replaced_while_it_serves() {
    let dir = tempfile::tempdir().unwrap();
    let (old, old_key) = certificate(dir.path(), "old");
    let (new, new_key) = certificate(dir.path(), "new");
    let (used, used_key) = (dir.path().join("used.pem"), dir.path().join("used.key"));
    let install = |certificate: &Path, key: &Path| {
        std::fs::copy(certificate, &used).unwrap();
        std::fs::copy(key, &used_key).unwrap();
    };
    install(&old, &old_key);
    let mut served = Served::start(dir.path(), &used, &used_key);
    let page = format!("{}/health", served.https);
    let live = "{\"status\":\"live\"} 200 1.1";
    assert_eq!(get(&page, Some(&old)).as_deref(), Ok(live));
    assert_eq!(get(&page, Some(&new)), Err(UNTRUSTED));
    assert_eq!(get(&format!("{}/health", served.http), None).as_deref(), Ok(live));

    install(&new, &new_key);
    served.signal("-HUP");
    served.wait_for_log("read again");
    assert_eq!(get(&page, Some(&new)).as_deref(), Ok(live));
    assert_eq!(get(&page, Some(&old)), Err(UNTRUSTED));

    std::fs::write(&used, "no certificate").unwrap();
    served.signal("-HUP");
    let line = served.wait_for_log("was not replaced");
    assert!(line.contains("used.pem"), "{line}");
    assert_eq!(get(&page, Some(&new)).as_deref(), Ok(live), "the old one stays in use");

    served.signal("-TERM");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_start_without_a_usable_certificate_says_which_file_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate_file, key) = certificate(dir.path(), "good");
    let (other, _) = certificate(dir.path(), "other");
    for (certificate, key, named) in [
        (&dir.path().join("missing.pem"), &key, "missing.pem"),
        (&certificate_file, &dir.path().join("missing.key"), "missing.key"),
        (&other, &key, "good.key"),
        (&key, &key, "good.key"),
    ] {
        let output = command(dir.path(), certificate, key).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(named), "{named}: {text}");
    }
}

#[test]
fn an_answer_under_way_is_given_before_the_end() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(dir.path(), "any");
    let mut served = Served::start(dir.path(), &certificate, &key);
    let address = served.http.trim_start_matches("http://").to_owned();
    // Hashing the password takes tens of milliseconds: the stop comes in the middle of it.
    let body = r#"{"email":"late@example.com","password":"correct horse battery"}"#;
    let request = format!(
        "POST /api/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut asking = std::net::TcpStream::connect(&address).unwrap();
    let mut idle = std::net::TcpStream::connect(&address).unwrap();
    for socket in [&asking, &idle] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    asking.write_all(request.as_bytes()).unwrap();
    // Asked on the same connection's shard or another: when this is answered, the one before it has been read or soon is.
    assert!(get(&format!("{}/health", served.http), None).is_ok());
    served.signal("-TERM");
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    let given = answer.starts_with("HTTP/1.1 201 ") && answer.contains("Connection: close");
    assert!(given || answer.is_empty(), "whole or not begun: {answer}");
    assert_eq!(idle.read(&mut [0; 16]).unwrap(), 0, "idle connections end in order");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_blocking_client_speaks_with_the_server_that_it_trusts_and_with_no_other() {
    use net::http::client::{Client, ClientError, ClientOptions};
    use net::tls::config::{ClientTrust, client};
    let dir = tempfile::tempdir().unwrap();
    // One that signs nothing but itself, as a server's does.
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let (trusted, key) = certificate_with(dir.path(), "trusted", &leaf);
    let (other, _) = certificate_with(dir.path(), "other", &leaf);
    let served = Served::start(dir.path(), &trusted, &key);
    let port = served.https.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let ask = |trust: &Path, host: &str| {
        let (config, _) = client(&ClientTrust::PrivateCa(trust.to_owned())).unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut client = Client::connect_to(address, host, Some(config), ClientOptions::default())?;
        client.get("/health")?;
        // Over the same connection.
        client.get("/api/enterprise/status").map(|answer| answer.status)
    };
    assert_eq!(ask(&trusted, &format!("localhost:{port}")).unwrap(), 200);
    for failed in [ask(&other, "localhost"), ask(&trusted, "example.com")] {
        assert!(matches!(failed, Err(ClientError::Transfer { .. })), "{failed:?}");
    }
    assert!(matches!(ask(&trusted, "no/name"), Err(ClientError::Name(_))));
    // The commands about keys believe whom they are told to believe.
    let keys = |authority: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
        command.args(["keys", "list", "--server", &served.https, "--ca-file"]).arg(authority);
        let output = command.env("COINBITCLUB_TOKEN", "nonsense").output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (told, untrusted) = (keys(&trusted), keys(&other));
    assert!(told.contains("401 unauthorized"), "{told}");
    assert!(untrusted.contains("certificate") && !untrusted.contains("401"), "{untrusted}");
}
