//! Answers under pressure: half-closed and overfull pipelines, answers larger than the output, bytes behind the last request,
//! streams that wait. Nothing is lost, nothing grows without bound, everybody who waits is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::SECOND_NS;
use net::http::{Appended, Request, response};
use net::server::{RequestId, Requested, Server, ServerLimits, Service};
use net::wire::memory::{MemoryNetwork, MemoryWire, PeerId, Pieces, network};
use net::wire::{Wire, WireConfig};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Keeps requests, or answers at once with `body` bytes.
#[derive(Default)]
struct Desk {
    kept: Vec<RequestId>,
    at_once: Option<usize>,
    may: Vec<RequestId>,
    requests: usize,
    most_out: usize,
}

impl Service for Desk {
    fn request(&mut self, _request: &Request<'_>, requested: Requested<'_>) {
        self.requests += 1;
        match self.at_once {
            Some(bytes) => requested.answer(|out, mode, date| {
                response::write(out, 200, mode, date, "text/plain", &vec![b'x'; bytes]);
                self.most_out = self.most_out.max(out.len());
            }),
            None => self.kept.push(requested.id()),
        }
    }
    fn may_stream(&mut self, id: RequestId) {
        self.may.push(id);
    }
}

struct Run {
    wire: MemoryWire,
    net: MemoryNetwork,
    server: Server,
    desk: Desk,
    now_ns: u64,
}

impl Run {
    fn new(limits: ServerLimits, desk: Desk) -> Self {
        let (wire, net) = network(WireConfig::default(), Pieces::Whole);
        Self { wire, net, server: Server::new(limits), desk, now_ns: 0 }
    }
    fn turn(&mut self) {
        self.server.set_time(self.now_ns, 0);
        self.wire.poll(self.now_ns, &mut self.server.with(&mut self.desk)).unwrap();
        self.server.tick(&mut self.wire, &mut self.desk);
    }
    fn turns(&mut self) {
        (0..10).for_each(|_| self.turn());
    }
    fn connect(&mut self) -> PeerId {
        let peer = self.net.connect("127.0.0.1:9".parse().unwrap());
        self.turns();
        peer
    }
    fn answer(&mut self, id: RequestId) {
        self.server.answer(&mut self.wire, id, |out, mode, date| {
            response::write(out, 200, mode, date, "text/plain", b"ok");
        });
    }
}

fn count(answers: &[u8]) -> usize {
    answers.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count()
}

/// More requests than the pipeline holds, the peer's end behind them, and all that are under way answered in one turn.
#[test]
fn half_closed_pipelines_are_answered_to_the_end() {
    let mut run = Run::new(ServerLimits { pipeline_max: 4, ..ServerLimits::default() }, Desk::default());
    let peer = run.connect();
    run.net.write(peer, &GET.repeat(10));
    run.net.end(peer);
    run.turns();
    for _ in 0..10 {
        for id in std::mem::take(&mut run.desk.kept) {
            run.answer(id);
        }
        run.turns();
    }
    let answers = run.net.read(peer);
    assert_eq!((run.desk.requests, count(&answers)), (10, 10));
}

/// One delivery holds requests whose answers together are far larger than an output may be.
#[test]
fn pipelined_answers_are_bounded_and_not_lost() {
    let desk = Desk { at_once: Some(60 << 10), ..Desk::default() };
    let mut run = Run::new(ServerLimits::default(), desk);
    let peer = run.connect();
    run.net.write(peer, &GET.repeat(2000));
    let mut answers = Vec::new();
    for _ in 0..3000 {
        run.turn();
        answers.extend(run.net.read(peer));
    }
    assert_eq!(
        count(&answers),
        2000,
        "closed: {}, output held {} bytes",
        run.net.is_closed(peer),
        run.desk.most_out
    );
    assert!(run.desk.most_out <= 2 << 20, "output held {} bytes", run.desk.most_out);
}

/// Early answers are set free at once and are together larger than an output may be.
#[test]
fn early_answers_set_free_together_are_not_lost() {
    let mut run = Run::new(ServerLimits::default(), Desk::default());
    let peer = run.connect();
    run.net.write(peer, &GET.repeat(40));
    run.turns();
    let kept = std::mem::take(&mut run.desk.kept);
    let body = vec![b'x'; 60 << 10];
    for &id in kept.iter().rev() {
        run.server.answer(&mut run.wire, id, |out, mode, date| {
            response::write(out, 200, mode, date, "text/plain", &body);
        });
    }
    let mut answers = Vec::new();
    for _ in 0..100 {
        run.turn();
        answers.extend(run.net.read(peer));
    }
    assert_eq!(count(&answers), 40);
}

/// A stray line end behind the last request of a connection.
#[test]
fn bytes_behind_a_last_request_do_not_cost_its_answer() {
    let mut run = Run::new(ServerLimits::default(), Desk::default());
    let peer = run.connect();
    run.net
        .write(peer, b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi\r\n");
    run.turns();
    run.now_ns += 12 * SECOND_NS;
    run.turns();
    let id = run.desk.kept[0];
    run.answer(id);
    run.turns();
    assert_eq!(count(&run.net.read(peer)), 1, "{:?}", run.wire.metrics().closed);
}

/// The rest of a refused body, behind a request under way.
#[test]
fn the_rest_of_a_refused_body_does_not_cost_the_answer_before_it() {
    let mut run = Run::new(ServerLimits::default(), Desk::default());
    let peer = run.connect();
    run.net.write(peer, GET);
    run.net.write(peer, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    run.turns();
    for _ in 0..40 {
        run.net.write(peer, &[b'x'; 8000]);
        run.turn();
    }
    let id = run.desk.kept[0];
    run.answer(id);
    run.turns();
    let answers = run.net.read(peer);
    assert_eq!(count(&answers), 1, "{:?}", run.wire.metrics().closed);
    assert!(String::from_utf8_lossy(&answers).contains("413"));
}

/// A streamed answer was refused a piece while it waited for its turn, and its connection ends.
#[test]
fn a_stream_that_waits_hears_of_its_end() {
    let mut run = Run::new(ServerLimits::default(), Desk::default());
    let peer = run.connect();
    run.net.write(peer, &GET.repeat(2));
    run.turns();
    let id = run.desk.kept[1];
    let append = |run: &mut Run| {
        run.server.append(&mut run.wire, id, |out, _, _| out.extend_from_slice(&[b'x'; 64 << 10]))
    };
    assert_eq!(append(&mut run), Appended::Waiting);
    assert_eq!(append(&mut run), Appended::Full);
    run.net.reset(peer);
    run.turns();
    assert_eq!(run.wire.connections(), 0);
    assert_eq!(run.desk.may, [id], "told to go on, so that it finds itself Gone");
}

/// A streamed answer was refused a piece, and its turn comes.
#[test]
fn a_stream_whose_turn_comes_is_told() {
    let mut run = Run::new(ServerLimits::default(), Desk::default());
    let peer = run.connect();
    run.net.write(peer, &GET.repeat(2));
    run.turns();
    let (first, id) = (run.desk.kept[0], run.desk.kept[1]);
    let append = |run: &mut Run| {
        run.server.append(&mut run.wire, id, |out, _, _| out.extend_from_slice(&[b'x'; 64 << 10]))
    };
    assert_eq!(append(&mut run), Appended::Waiting);
    assert_eq!(append(&mut run), Appended::Full);
    run.answer(first);
    run.turns();
    assert_eq!(run.desk.may, [id]);
}

/// Whatever the order in which answers become ready.
#[test]
fn the_last_answer_of_a_draining_connection_says_close() {
    let mut run = Run::new(ServerLimits::default(), Desk::default());
    let peer = run.connect();
    run.net.write(peer, &GET.repeat(2));
    run.turns();
    run.server.drain(&mut run.wire);
    let kept = run.desk.kept.clone();
    run.answer(kept[1]);
    run.answer(kept[0]);
    run.turns();
    let answers = String::from_utf8(run.net.read(peer)).unwrap();
    assert!(answers.rsplit("HTTP/1.1").next().unwrap().contains("Connection: close"), "{answers}");
}
