//! Answers byte for byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use net::http::{HttpDate, HttpError, ReplyMode, response};

fn check(write: impl FnOnce(&mut Vec<u8>, &HttpDate), expected: &str) {
    let mut out = Vec::new();
    write(&mut out, &HttpDate::from_unix(784_111_777));
    let expected = expected.replace("DATE", "Date: Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

const KEEP: ReplyMode = ReplyMode { keep_alive: true, head_only: false, http10: false };

#[test]
fn with_a_body() {
    check(
        |out, date| response::write(out, 200, KEEP, date, "text/plain", b"hi"),
        "HTTP/1.1 200 OK\r\nDATE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
    );
    check(
        |out, date| {
            response::begin(out, 503, KEEP, date)
                .header_number("Retry-After", 1)
                .body_with("text/plain", |out| out.extend_from_slice(b"later"));
        },
        "HTTP/1.1 503 Service Unavailable\r\nDATE\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n\
         Content-Length:          5\r\n\r\nlater",
    );
}

#[test]
fn without_a_body() {
    check(
        |out, date| response::begin(out, 204, KEEP, date).body("text/plain", b"none"),
        "HTTP/1.1 204 No Content\r\nDATE\r\n\r\n",
    );
    check(
        |out, date| response::begin(out, 304, KEEP, date).empty(),
        "HTTP/1.1 304 Not Modified\r\nDATE\r\n\r\n",
    );
    check(
        |out, date| response::begin(out, 201, KEEP, date).empty(),
        "HTTP/1.1 201 Created\r\nDATE\r\nContent-Length: 0\r\n\r\n",
    );
}

#[test]
fn for_head_the_length_is_kept_and_the_body_left_out() {
    let head = ReplyMode { head_only: true, ..KEEP };
    let expected = "HTTP/1.1 200 OK\r\nDATE\r\nContent-Type: text/plain\r\nContent-Length: LEN\r\n\r\n";
    check(
        |out, date| response::write(out, 200, head, date, "text/plain", b"four"),
        &expected.replace("LEN", "4"),
    );
    check(
        |out, date| {
            response::begin(out, 200, head, date)
                .body_with("text/plain", |out| out.extend_from_slice(b"four"));
        },
        &expected.replace("LEN", "         4"),
    );
}

#[test]
fn connection_header() {
    let close = ReplyMode { keep_alive: false, ..KEEP };
    let old = ReplyMode { http10: true, ..KEEP };
    check(
        |out, date| response::begin(out, 200, close, date).empty(),
        "HTTP/1.1 200 OK\r\nDATE\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    check(
        |out, date| response::begin(out, 200, old, date).empty(),
        "HTTP/1.1 200 OK\r\nDATE\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    );
}

fn streamed(mode: ReplyMode, status: u16, expected: &str) {
    check(
        |out, date| {
            let chunks = response::begin(out, status, mode, date).header("X", "a").chunked("text/plain");
            chunks.chunk(out, b"hello ");
            chunks.chunk(out, b"");
            chunks.chunk_with(out, |out| out.extend_from_slice(&[b'x'; 26]));
            chunks.finish(out);
        },
        expected,
    );
}

#[test]
fn of_unknown_length() {
    let chunks = "00000006\r\nhello \r\n0000001a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n";
    let head = "X: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    streamed(KEEP, 200, &format!("HTTP/1.1 200 OK\r\nDATE\r\n{head}{chunks}"));
    let close = ReplyMode { keep_alive: false, ..KEEP };
    streamed(close, 200, &format!("HTTP/1.1 200 OK\r\nDATE\r\nConnection: close\r\n{head}{chunks}"));
    let head_only = ReplyMode { head_only: true, ..KEEP };
    streamed(head_only, 200, &format!("HTTP/1.1 200 OK\r\nDATE\r\n{head}"));
    streamed(KEEP, 204, "HTTP/1.1 204 No Content\r\nDATE\r\nX: a\r\n\r\n");
}

#[test]
fn of_unknown_length_for_http_1_0_ends_with_the_connection() {
    let head = "HTTP/1.1 200 OK\r\nDATE\r\nConnection: close\r\nX: a\r\nContent-Type: text/plain\r\n\r\n";
    for keep_alive in [true, false] {
        let old = ReplyMode { http10: true, keep_alive, head_only: false };
        streamed(old, 200, &format!("{head}hello xxxxxxxxxxxxxxxxxxxxxxxxxx"));
        streamed(ReplyMode { head_only: true, ..old }, 200, head);
    }
}

#[test]
fn a_value_cannot_end_its_line() {
    check(
        |out, date| response::begin(out, 200, KEEP, date).header("X", "a\r\nSet-Cookie: b\0").empty(),
        "HTTP/1.1 200 OK\r\nDATE\r\nX: a  Set-Cookie: b \r\nContent-Length: 0\r\n\r\n",
    );
}

#[test]
fn an_error_names_its_code() {
    check(
        |out, date| response::write_error(out, HttpError::BodyTooLarge, date),
        "HTTP/1.1 413 Content Too Large\r\nDATE\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length:         69\r\n\r\n\
         {\"error\":{\"code\":\"body_too_large\",\"message\":\"the body is too large\"}}",
    );
}
