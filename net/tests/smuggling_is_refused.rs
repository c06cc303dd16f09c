//! Requests whose end two implementations could place differently are refused, and nothing after them is served.

mod support;

use support::{TestServer, raw_exchange, statuses};

#[test]
fn ambiguous_requests_get_400_or_501_and_end_the_connection() {
    let server = TestServer::start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for (status, head) in [
        (400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        (400, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        (400, "Content-Length: 5\r\nContent-Length: 6\r\n"),
        (400, "Content-Length: 5\r\nContent-Length: 5\r\n"),
        (400, "Content-Length: 5, 5\r\n"),
        (400, "Content-Length: +5\r\n"),
        (400, "Content-Length: -1\r\n"),
        (400, "Content-Length: 0x5\r\n"),
        (400, "Content-Length: 5 5\r\n"),
        (400, "Content-Length:\r\n"),
        (400, "Content-Length: 99999999999999999999\r\n"),
        (400, "Content-Length : 5\r\n"),
        (400, " Content-Length: 5\r\n"),
        (400, "X: a\r\n b\r\n"),
        (400, "X: a\r\n\tb\r\n"),
        (400, "X: a\nContent-Length: 5\r\n"),
        (400, "X: a\rContent-Length: 5\r\n"),
        (400, "X: a\0b\r\n"),
        (400, "X\r\n"),
        (400, ": a\r\n"),
        (400, "Host: y\r\n"),
        (501, "Transfer-Encoding: gzip, chunked\r\n"),
        (501, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        (501, "Transfer-Encoding: xchunked\r\n"),
        (501, "Transfer-Encoding: identity\r\n"),
        (501, "Transfer-Encoding: chunked, identity\r\n"),
        (501, "Transfer-Encoding: \x0bchunked\r\n"),
    ] {
        let status = if head.contains('\x0b') { 400 } else { status };
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n{smuggled}");
        let answer = raw_exchange(server.address, request.as_bytes());
        assert_eq!(statuses(&answer), [status], "{head:?}");
        assert!(String::from_utf8_lossy(&answer).contains("Connection: close\r\n"), "{head:?}");
    }
}

#[test]
fn ambiguous_chunks_get_400_and_end_the_connection() {
    let server = TestServer::start();
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\rX\nhello\r\n0\r\n\r\n",
        "0\r\nX: a\n\r\n\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /s HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        assert_eq!(statuses(&raw_exchange(server.address, request.as_bytes())), [400], "{body:?}");
    }
}

#[test]
fn a_transfer_coding_needs_http_1_1() {
    let server = TestServer::start();
    let request = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(statuses(&raw_exchange(server.address, request)), [400]);
}

#[test]
fn host_is_needed_once_in_http_1_1() {
    let server = TestServer::start();
    assert_eq!(statuses(&raw_exchange(server.address, b"GET / HTTP/1.1\r\n\r\n")), [400]);
    assert_eq!(statuses(&raw_exchange(server.address, b"GET / HTTP/1.0\r\n\r\n")), [200]);
}

#[test]
fn two_lengths_are_refused_even_when_each_alone_would_do() {
    let server = TestServer::start();
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        // Five bytes for one reader, an empty chunked body for the other.
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n0\r\n\r\n");
        let answer = raw_exchange(server.address, request.as_bytes());
        assert_eq!(statuses(&answer), [400], "{headers:?}");
        assert!(String::from_utf8_lossy(&answer).contains("conflicting_lengths"), "{headers:?}");
    }
}
