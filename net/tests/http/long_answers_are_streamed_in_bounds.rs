//! An answer of many megabytes leaves piece by piece: the server holds no more of it than its bound, goes on when the reader has
//! made room, and an answer before it in the pipeline comes first.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use net::http::{Appended, HttpDate, ReplyMode, Request, response};
use net::server::{RequestId, Requested, Server, ServerLimits, Service};
use net::wire::memory::{self, MemoryWire, Pieces};
use net::wire::{Wire, WireConfig};

const PIECES: usize = 400;
const PIECE_BYTES: usize = 10_000;

/// `GET /long` is streamed; everything else is kept until it is told to answer.
#[derive(Default)]
struct Streamer {
    kept: Vec<RequestId>,
    streams: Vec<Stream>,
    /// Streams that may go on.
    due: Vec<RequestId>,
}

struct Stream {
    id: RequestId,
    chunks: Option<response::Chunks>,
    sent: usize,
}

impl Service for Streamer {
    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        let id = requested.id();
        if request.head.path == "/long" {
            self.streams.push(Stream { id, chunks: None, sent: 0 });
            self.due.push(id);
        } else {
            self.kept.push(id);
        }
    }

    fn may_stream(&mut self, id: RequestId) {
        self.due.push(id);
    }
}

fn piece(number: usize) -> Vec<u8> {
    vec![b'a' + u8::try_from(number % 26).unwrap(); PIECE_BYTES]
}

impl Streamer {
    /// Appends until there is no room or no more.
    fn go_on(&mut self, server: &mut Server, wire: &mut MemoryWire) {
        for id in std::mem::take(&mut self.due) {
            let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { continue };
            while stream.sent < PIECES {
                let (chunks, sent) = (&mut stream.chunks, stream.sent);
                let write = |out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate| {
                    let chunks = chunks
                        .get_or_insert_with(|| response::begin(out, 200, mode, date).chunked("text/plain"));
                    chunks.chunk(out, &piece(sent));
                };
                match server.append(wire, id, write) {
                    Appended::Sent | Appended::Waiting => stream.sent += 1,
                    Appended::Full => break,
                    Appended::Gone => panic!("the client is there"),
                }
            }
            if stream.sent == PIECES
                && let Some(chunks) = stream.chunks.take()
            {
                server.answer(wire, id, |out, _, _| chunks.finish(out));
            }
        }
    }
}

/// The decoded body of a chunked answer.
fn decode(mut coded: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = coded.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&coded[..line]).unwrap(), 16).unwrap();
        coded = &coded[line + 2..];
        if size == 0 {
            assert_eq!(coded, b"\r\n");
            return body;
        }
        body.extend_from_slice(&coded[..size]);
        coded = &coded[size + 2..];
    }
}

#[test]
fn behind_another_answer_and_with_a_slow_reader() {
    let (mut wire, network) = memory::network(WireConfig::default(), Pieces::Whole);
    let limits = ServerLimits { stream_queue_bytes_max: 100_000, ..ServerLimits::default() };
    let (mut server, mut service) = (Server::new(limits), Streamer::default());
    let peer = network.connect(SocketAddr::from(([192, 0, 2, 1], 1)));
    network.set_window(peer, 30_000);
    network.write(peer, b"GET /first HTTP/1.1\r\nHost: t\r\n\r\nGET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    let turn = |server: &mut Server, service: &mut Streamer, wire: &mut MemoryWire| {
        wire.poll(0, &mut server.with(service)).unwrap();
        server.tick(wire, service);
        service.go_on(server, wire);
    };
    for _ in 0..5 {
        turn(&mut server, &mut service, &mut wire);
    }
    assert!(network.read(peer).is_empty(), "the first has not been answered");
    let waiting = service.streams[0].sent * PIECE_BYTES;
    assert!((1..=80_000).contains(&waiting), "{waiting} bytes wait for their turn");
    let first = service.kept[0];
    server.answer(&mut wire, first, |out, mode, date| {
        response::write(out, 200, mode, date, "text/plain", b"first");
    });
    let mut got = Vec::new();
    let conn = network.conn(peer).unwrap();
    for _ in 0..2_000 {
        turn(&mut server, &mut service, &mut wire);
        assert!(wire.queued_bytes(conn) <= 100_000 + PIECE_BYTES + 100);
        got.extend(network.read(peer));
        if got.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    let text_end = got.windows(5).position(|five| five == b"first").unwrap() + 5;
    let long = &got[text_end..];
    let body = long.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let expected: Vec<u8> = (0..PIECES).flat_map(piece).collect();
    assert!(decode(&long[body..]) == expected);
}
