//! Each limit answers with its own status, and exactly the limit still passes.

use crate::support::{TestServer, raw_exchange, statuses};
use net::http::Limits;
use net::wire::{ListenOptions, WireConfig};

const LIMITS: Limits = Limits {
    head_bytes_max: 512,
    headers_max: 4,
    target_bytes_max: 64,
    body_bytes_max: 100,
    chunks_max: 10,
    trailer_bytes_max: 64,
};

fn check(request: &str, expected: u16) {
    let server = TestServer::with(WireConfig::default(), ListenOptions::default(), LIMITS);
    let answer = raw_exchange(server.address, request.as_bytes());
    assert_eq!(statuses(&answer), [expected], "{request:?}");
}

fn post(headers: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}")
}

#[test]
fn body() {
    check(&post("Content-Length: 100\r\n", &"b".repeat(100)), 200);
    check(&post("Content-Length: 101\r\n", &"b".repeat(101)), 413);
    check(&post("Content-Length: 101\r\n", ""), 413);
    check(&post("Transfer-Encoding: chunked\r\n", &format!("64\r\n{}\r\n0\r\n\r\n", "b".repeat(100))), 200);
    check(&post("Transfer-Encoding: chunked\r\n", "65\r\n"), 413);
    check(&post("Transfer-Encoding: chunked\r\n", &"1\r\na\r\n".repeat(11)), 413);
}

#[test]
fn target() {
    check(&format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "t".repeat(63)), 200);
    check(&format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "t".repeat(64)), 414);
    check(&format!("GET /{}", "t".repeat(64)), 414);
}

#[test]
fn head() {
    let rest = "GET / HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n".len();
    check(&format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "h".repeat(512 - rest)), 200);
    check(&format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "h".repeat(513 - rest)), 431);
    check(&format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: 1\r\n".repeat(3)), 200);
    check(&format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: 1\r\n".repeat(4)), 431);
    check(&post("Transfer-Encoding: chunked\r\n", &format!("0\r\n{}", "A: 1\r\n".repeat(11))), 431);
}

#[test]
fn method_version_expectation() {
    check("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501);
    check("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501);
    check("get / HTTP/1.1\r\nHost: x\r\n\r\n", 501);
    check("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505);
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    check("GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505);
    check("GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", 417);
    check("GET nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    check("GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    check("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200);
    check("GET http://x/p?q HTTP/1.1\r\nHost: x\r\n\r\n", 400);
}
