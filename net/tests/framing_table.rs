//! Where each request ends, or why it is refused: the framing table, run in one piece, byte by byte, in every two pieces,
//! and against a real server.
//!
//! `UPDATE_CORPUS=1 cargo test -p coinbitclub-net --test framing_table` writes the rows as seeds of the fuzzer
//! (minimise them afterwards: `net/fuzz/Cargo.toml`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod framing;
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;

use framing::{Outcome, Row, look, rows};
use net::http::{Limits, Method, Parser};
use support::{TestServer, connect, statuses};

/// What is sent behind each request that must be refused: it must never be answered.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Seeds longer than this are left out of the corpus: the fuzzer prefers short ones.
const SEED_BYTES_MAX: usize = 1024;

impl Row {
    /// What is sent: behind a refused request a second one.
    fn sent(&self) -> Vec<u8> {
        let more = if matches!(self.outcome, Outcome::Refused(_)) { SMUGGLED } else { b"" };
        [&self.bytes[..], more].concat()
    }
}

/// Feeds `sent` up to each of `ends` in turn, as a wire does that heeds `bytes_min`, until there is an outcome.
fn feed(parser: &mut Parser, sent: &[u8], ends: impl Iterator<Item = usize>) -> Outcome {
    let mut bytes_min = 1;
    for end in ends {
        if end < bytes_min {
            continue;
        }
        match look(parser, &sent[..end]) {
            (Outcome::Incomplete, more) => {
                assert!(more > end, "waiting for what is there would never end");
                bytes_min = more;
            }
            (Outcome::Complete(mut served), _) => {
                served.rest_bytes += sent.len() - end;
                return Outcome::Complete(served);
            }
            (refused, _) => return refused,
        }
    }
    Outcome::Incomplete
}

#[test]
fn names_are_unique_and_sources_named() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    assert!(rows.len() >= 130, "{}", rows.len());
    assert!(rows.iter().all(|row| !row.source.is_empty()));
}

#[test]
fn in_one_piece() {
    let mut parser = Parser::new(Limits::default());
    for row in rows() {
        let sent = row.sent();
        assert_eq!(
            feed(&mut parser, &sent, [sent.len()].into_iter()),
            row.outcome,
            "{} ({})",
            row.name,
            row.source
        );
    }
}

#[test]
fn byte_by_byte() {
    let mut parser = Parser::new(Limits::default());
    for row in rows() {
        let sent = row.sent();
        assert_eq!(feed(&mut parser, &sent, 1..=sent.len()), row.outcome, "{} ({})", row.name, row.source);
    }
}

#[test]
fn waiting_misses_nothing() {
    let mut parser = Parser::new(Limits::default());
    for row in rows() {
        let mut bytes_min = 1;
        for end in 1..=row.bytes.len() {
            let (outcome, more) = look(&mut parser, &row.bytes[..end]);
            if outcome != Outcome::Incomplete {
                assert!(end >= bytes_min, "{} ({}): {outcome:?} at {end}", row.name, row.source);
                break;
            }
            bytes_min = bytes_min.max(more);
        }
    }
}

#[test]
fn in_every_two_pieces() {
    let mut parser = Parser::new(Limits::default());
    for row in rows() {
        let sent = row.sent();
        for cut in 1..sent.len() {
            let outcome = feed(&mut parser, &sent, [cut, sent.len()].into_iter());
            assert_eq!(outcome, row.outcome, "{} ({}) cut at {cut}", row.name, row.source);
        }
    }
}

#[test]
fn over_a_real_socket() {
    let server = TestServer::start();
    for row in rows() {
        let sent = row.sent();
        check_answers(&row, &exchange(server.address, std::iter::once(&sent[..])));
        // Long rows have their own limits' tests; byte by byte they would only take time.
        if matches!(row.outcome, Outcome::Refused(_)) && sent.len() <= SEED_BYTES_MAX {
            check_answers(&row, &exchange(server.address, sent.chunks(1)));
        }
    }
    server.wait_until(|_, connections| connections == 0);
}

/// Sends the pieces and returns everything until the server closes. The server may refuse and close before it has read all.
fn exchange<'a>(address: SocketAddr, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut socket = connect(address);
    for piece in pieces {
        if socket.write_all(piece).is_err() {
            break;
        }
    }
    let _refused_early = socket.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).unwrap();
    answers
}

/// The answers are those of the row: for a refusal exactly one, which announces the end, and nothing behind it.
fn check_answers(row: &Row, answers: &[u8]) {
    let text = String::from_utf8_lossy(answers);
    let says = format!("{} ({}): {text:?}", row.name, row.source);
    assert!(!text.contains("X-Path: /smuggled"), "{says}");
    match &row.outcome {
        Outcome::Refused(error) => {
            assert_eq!(statuses(answers), [error.status()], "{says}");
            assert!(text.contains("\r\nConnection: close\r\n"), "{says}");
            assert!(text.contains(error.code()), "{says}");
        }
        Outcome::Complete(served) => {
            let path = served.target.split('?').next().unwrap_or_default();
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{says}");
            assert!(text.contains(&format!("\r\nX-Path: {path}\r\n")), "{says}");
            assert_eq!(text.contains("\r\nX-Path: /next\r\n"), served.rest_bytes > 0, "{says}");
            if served.method != Method::Head && served.rest_bytes == 0 {
                assert_eq!(statuses(answers), [200], "{says}");
                assert!(answers.ends_with(&served.body), "{says}");
            }
        }
        Outcome::Incomplete => assert!(statuses(answers).iter().all(|&status| status == 100), "{says}"),
    }
}

#[test]
fn rows_are_seeds_of_the_fuzzer() {
    if std::env::var_os("UPDATE_CORPUS").is_none() {
        return;
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http_request");
    std::fs::create_dir_all(&corpus).unwrap();
    for row in rows().iter().filter(|row| row.bytes.len() <= SEED_BYTES_MAX) {
        std::fs::write(corpus.join(row.name), &row.bytes).unwrap();
    }
}
