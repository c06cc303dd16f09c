//! OpenSSL's client agrees with ours about TLS: certificates, ALPN, both versions, resumption, and what is refused.
//! Needs the program `openssl`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command};

use crate::authority::{Authority, listening};
use crate::support::{Clock, Echo, drive};
use net::http::Limits;
use net::tls::TlsWire;
use net::wire::WireConfig;
use net::wire::uring::UringWire;

/// A child that does not outlive its test.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        self.0.wait().unwrap();
    }
}

struct Server {
    authority: Authority,
    wire: TlsWire<UringWire>,
    address: SocketAddr,
    echo: Echo,
}

impl Server {
    fn start() -> Self {
        let authority = Authority::new();
        let (wire, address) = listening(WireConfig::default(), &authority.server());
        Self { authority, wire, address, echo: Echo::new(Limits::default()) }
    }

    /// Runs `openssl s_client` with a request as its input; gives whether it succeeded and what it printed.
    fn visit(&mut self, more: &[&str]) -> (bool, String) {
        let [request, printed] = ["request", "printed"].map(|name| self.authority.path(name));
        std::fs::write(
            &request,
            "GET /from/openssl HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        let output = File::create(&printed).unwrap();
        let child = Command::new("openssl")
            .args(["s_client", "-ign_eof", "-verify_return_error", "-servername", "localhost"])
            .args(["-verify_hostname", "localhost", "-connect", &self.address.to_string(), "-CAfile"])
            .arg(self.authority.ca_file())
            .args(more)
            .stdin(File::open(&request).unwrap())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn();
        let mut child = Guarded(child.expect("this test needs the program openssl"));
        let mut status = None;
        drive(&mut self.wire, &mut self.echo, &Clock::new(), |_, _| {
            status = child.0.try_wait().unwrap();
            status.is_some()
        });
        let printed = std::fs::read(&printed).unwrap();
        (status.unwrap().success(), String::from_utf8_lossy(&printed).into_owned())
    }
}

#[test]
fn requests_are_answered_and_sessions_resumed() {
    let mut server = Server::start();
    let session = server.authority.path("session");
    let session = session.to_str().unwrap();
    for (version, name) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        for (file, kind) in [("-sess_out", "New"), ("-sess_in", "Reused")] {
            let (success, printed) = server.visit(&[version, "-alpn", "http/1.1", file, session]);
            assert!(success, "{printed}");
            assert!(printed.contains("ALPN protocol: http/1.1"), "{printed}");
            assert!(printed.contains(&format!("{kind}, {name}")), "{kind}, {name}: {printed}");
            assert!(printed.contains("X-Path: /from/openssl"), "{printed}");
        }
    }
    let metrics = server.wire.tls_metrics();
    assert_eq!((metrics.handshakes_full, metrics.handshakes_resumed, metrics.handshakes_failed), (2, 2, 0));
}

#[test]
fn older_versions_and_other_protocols_are_refused() {
    let mut server = Server::start();
    for refused in [
        &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..],
        &["-alpn", "h2"],
        &["-tls1_2", "-cipher", "AES128-SHA"],
    ] {
        let (success, printed) = server.visit(refused);
        assert!(!success && printed.contains("alert"), "{refused:?}: {printed}");
    }
    assert_eq!(server.wire.tls_metrics().handshakes_failed, 3);
    assert_eq!(server.echo.requests(), 0);
}
