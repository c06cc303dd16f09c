//! An answer of unknown length leaves piece by piece over several turns: at once while it is the oldest, else in its
//! place; and never beyond its bound in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::support::{Clock, connect, drive, wire};
use net::http::response::Chunks;
use net::http::{
    Appended, HttpDate, Limits, Parsed, Parser, Pipeline, Released, ReplyMode, Ticket, WAITING_BYTES_MAX,
    response,
};
use net::wire::{ConnId, ListenOptions, Stream, Wire, WireConfig, WireEvents};
use proptest::prelude::*;

/// A piece without a meaning.
fn piece(text: &str) -> impl FnOnce(&mut Vec<u8>, ReplyMode) {
    move |out, _| out.extend_from_slice(text.as_bytes())
}

fn unwanted(_: &mut Vec<u8>, _: ReplyMode) {
    panic!("a refused piece is not written");
}

#[test]
fn the_oldest_goes_straight_out() {
    let (mut pipeline, mut out) = (Pipeline::new(4), Vec::new());
    let ticket = pipeline.reserve(ReplyMode::default()).unwrap();
    for (text, expected) in [("a", "a"), ("b", "ab"), ("", "ab")] {
        assert_eq!(pipeline.append(ticket, &mut out, piece(text)), Appended::Sent);
        assert_eq!(out, expected.as_bytes());
        assert_eq!(pipeline.depth(), 1);
    }
    let released = pipeline.complete(ticket, &mut out, piece("c"));
    assert_eq!(released, Released { answers: 1, ..Released::default() });
    assert_eq!(out, b"abc");
    assert_eq!(pipeline.append(ticket, &mut out, unwanted), Appended::Gone);
}

#[test]
fn a_younger_one_waits_and_is_told_its_turn() {
    let (mut pipeline, mut out) = (Pipeline::new(2), Vec::new());
    let first = pipeline.reserve(ReplyMode::default()).unwrap();
    let second = pipeline.reserve(ReplyMode::default()).unwrap();
    assert_eq!(pipeline.append(second, &mut out, piece("2a")), Appended::Waiting);
    assert_eq!(pipeline.append(first, &mut out, piece("1a")), Appended::Sent);
    assert_eq!(pipeline.append(second, &mut out, piece("2b")), Appended::Waiting);
    assert_eq!(out, b"1a");
    let released = pipeline.complete(first, &mut out, piece("1b"));
    assert_eq!(released, Released { answers: 1, close: false, room: true, turn: Some(second) });
    assert_eq!(out, b"1a1b2a2b");
    assert_eq!(pipeline.append(second, &mut out, piece("2c")), Appended::Sent);
    assert_eq!(pipeline.complete(second, &mut out, piece("2d")).answers, 1);
    assert_eq!(out, b"1a1b2a2b2c2d");
}

#[test]
fn what_waits_is_bounded() {
    let (mut pipeline, mut out) = (Pipeline::new(2), Vec::new());
    let first = pipeline.reserve(ReplyMode::default()).unwrap();
    let second = pipeline.reserve(ReplyMode::default()).unwrap();
    let most = "x".repeat(WAITING_BYTES_MAX - 1);
    assert_eq!(pipeline.append(second, &mut out, piece(&most)), Appended::Waiting);
    assert_eq!(pipeline.append(second, &mut out, piece("y")), Appended::Waiting);
    assert_eq!(pipeline.append(second, &mut out, unwanted), Appended::Full);
    assert_eq!(pipeline.complete(first, &mut out, piece("")).turn, Some(second));
    assert_eq!(out.len(), WAITING_BYTES_MAX);
    assert_eq!(pipeline.append(second, &mut out, piece("z")), Appended::Sent);
}

#[test]
fn a_reset_ends_it() {
    let (mut pipeline, mut out) = (Pipeline::new(2), Vec::new());
    let old = pipeline.reserve(ReplyMode::default()).unwrap();
    assert_eq!(pipeline.append(old, &mut out, piece("a")), Appended::Sent);
    pipeline.reset();
    let new = pipeline.reserve(ReplyMode::default()).unwrap();
    assert_eq!(pipeline.append(old, &mut out, unwanted), Appended::Gone);
    assert_eq!(pipeline.complete(old, &mut out, unwanted), Released::default());
    assert_eq!(pipeline.append(new, &mut out, piece("b")), Appended::Sent);
    assert_eq!(out, b"ab");
}

#[test]
fn nothing_follows_one_that_ends_with_the_connection() {
    let (mut pipeline, mut out) = (Pipeline::new(4), Vec::new());
    let old_client = ReplyMode { http10: true, ..ReplyMode::default() };
    let first = pipeline.reserve(old_client).unwrap();
    let second = pipeline.reserve(old_client).unwrap();
    assert_eq!(pipeline.complete(second, &mut out, piece("never sent")), Released::default());
    let appended = pipeline.append(first, &mut out, |out, mode| {
        assert!(!mode.keep_alive);
        out.push(b'a');
    });
    assert_eq!(appended, Appended::Sent);
    assert!(pipeline.is_ending());
    assert_eq!(pipeline.reserve(old_client), None);
    let released = pipeline.complete(first, &mut out, piece("b"));
    assert_eq!(released, Released { answers: 1, close: true, room: false, turn: None });
    assert_eq!(out, b"ab");
    assert_eq!(pipeline.depth(), 0);
    pipeline.reset();
    let next = pipeline.reserve(old_client).unwrap();
    assert!(next != first && next != second, "tickets of the last connection stay of another time");
}

proptest! {
    /// Answers of several pieces, offered in any order, leave in the order of their requests and whole.
    #[test]
    fn any_order_of_pieces_gives_the_order_of_requests(
        counts in proptest::collection::vec(0_usize..5, 1..12),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 80),
    ) {
        let (mut pipeline, mut out) = (Pipeline::new(12), Vec::new());
        let mut expected = String::new();
        let mut open: Vec<(usize, Ticket, usize, usize)> = Vec::new();
        for (number, &count) in counts.iter().enumerate() {
            (0..=count).for_each(|part| expected.push_str(&format!("<{number}.{part}>")));
            open.push((number, pipeline.reserve(ReplyMode::default()).unwrap(), 0, count));
        }
        let mut answers = 0;
        for index in order {
            if open.is_empty() {
                break;
            }
            let at = index.index(open.len());
            let (number, ticket, part, count) = &mut open[at];
            let text = format!("<{number}.{part}>");
            if *part == *count {
                let released = pipeline.complete(*ticket, &mut out, piece(&text));
                answers += released.answers;
                open.remove(at);
                prop_assert!(released.turn.is_none_or(|turn| open.iter().any(|(_, ticket, ..)| *ticket == turn)));
            } else {
                let oldest = counts.len() - pipeline.depth();
                let appended = pipeline.append(*ticket, &mut out, piece(&text));
                prop_assert_eq!(appended, if *number == oldest { Appended::Sent } else { Appended::Waiting });
                *part += 1;
            }
        }
        prop_assert!(open.is_empty());
        prop_assert_eq!(answers, counts.len());
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

/// Answers `/stream` with a piece a turn, and anything else at once.
struct Streamer {
    parser: Parser,
    date: HttpDate,
    pipelines: BTreeMap<ConnId, Pipeline>,
    streams: Vec<(ConnId, Ticket, Option<Chunks>, u32)>,
}

const PIECES: u32 = 5;

impl Streamer {
    /// One turn: a piece of each stream, or its end.
    fn turn(&mut self, wire: &mut impl Wire) {
        let mut closing = Vec::new();
        self.streams.retain_mut(|(conn, ticket, chunks, count)| {
            let (Some(pipeline), Some(out)) = (self.pipelines.get_mut(conn), wire.output(*conn)) else {
                return false;
            };
            *count += 1;
            let Some(chunks) = *chunks else {
                let appended = pipeline.append(*ticket, out, |out, mode| {
                    *chunks = Some(response::begin(out, 200, mode, &self.date).chunked("text/plain"));
                });
                return appended != Appended::Gone;
            };
            if *count <= PIECES {
                let appended = pipeline
                    .append(*ticket, out, |out, _| chunks.chunk(out, format!("<{count}>").as_bytes()));
                return appended != Appended::Gone;
            }
            if pipeline.complete(*ticket, out, |out, _| chunks.finish(out)).close {
                closing.push(*conn);
            }
            false
        });
        closing.into_iter().for_each(|conn| wire.close(conn));
    }
}

impl WireEvents for Streamer {
    fn accepted(&mut self, conn: ConnId, _arrival: net::wire::Arrival) {
        self.pipelines.insert(conn, Pipeline::new(8));
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let pipeline = self.pipelines.get_mut(&conn).unwrap();
        while let Ok(Parsed::Complete(request)) = self.parser.parse(stream.input()) {
            let Some(ticket) = pipeline.reserve((&request.head).into()) else { break };
            if request.head.path == "/stream" {
                self.streams.push((conn, ticket, None, 0));
            } else {
                let released = pipeline.complete(ticket, stream.output(), |out, mode| {
                    response::write(out, 200, mode, &self.date, "text/plain", b"at once");
                });
                if released.close {
                    stream.close();
                }
            }
            stream.consume(request.input_bytes);
        }
    }

    fn closed(&mut self, conn: ConnId, _ending: net::wire::Ending) {
        self.pipelines.remove(&conn);
    }
}

/// Everything the server says to these requests until it closes.
fn served(requests: &str) -> String {
    let (mut wire, address) = wire(WireConfig::default(), &ListenOptions::default());
    let mut streamer = Streamer {
        parser: Parser::new(Limits::default()),
        date: HttpDate::from_unix(0),
        pipelines: BTreeMap::new(),
        streams: Vec::new(),
    };
    let mut socket = connect(address);
    socket.write_all(requests.as_bytes()).unwrap();
    let reading = std::thread::spawn(move || {
        let mut answers = String::new();
        socket.read_to_string(&mut answers).map(|_| answers)
    });
    drive(&mut wire, &mut streamer, &Clock::new(), |wire, streamer| {
        streamer.turn(wire);
        reading.is_finished()
    });
    reading.join().unwrap().unwrap()
}

const CHUNKS: &str = "00000003\r\n<2>\r\n00000003\r\n<3>\r\n00000003\r\n<4>\r\n00000003\r\n<5>\r\n0\r\n\r\n";
const CODING: &str = "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn over_a_real_socket_between_other_answers() {
    let requests = "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n\
        HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let date = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let once = "Content-Type: text/plain\r\nContent-Length: 7\r\n\r\nat once";
    let expected = format!(
        "{date}{once}{date}{CODING}{CHUNKS}{date}{CODING}{date}{CODING}{CHUNKS}{date}Connection: close\r\n{once}"
    );
    assert_eq!(served(requests), expected);
}

#[test]
fn an_http_1_0_client_reads_until_the_close() {
    let requests = "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n";
    let answers = served(requests);
    let (head, body) = answers.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Connection: close") && !head.contains("Transfer-Encoding"), "{head}");
    assert_eq!(body, "<2><3><4><5>");
}
