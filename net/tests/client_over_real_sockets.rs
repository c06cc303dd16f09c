//! The client over the kernel's sockets: kept connections, resets in the middle, refused addresses, source addresses.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use net::client::{CallId, NotSent, Origin, OriginId, OriginLimits, Outcome, PoolLimits, Request, Security};
use net::http::Limits;
use net::wire::uring::UringWire;
use net::wire::{ListenOptions, Wire, WireConfig};
use support::client::{Caller, answer};
use support::{Clock, PATIENCE, SECOND_NS, TestServer, any_port, readable, reset_on_close};

struct Real {
    caller: Caller<UringWire>,
    clock: Clock,
}

impl Real {
    fn new() -> Self {
        let wire = UringWire::with_listeners(Vec::new(), WireConfig::default()).unwrap();
        Self { caller: Caller::new(wire, PoolLimits::default()), clock: Clock::new() }
    }

    fn register(&mut self, addresses: Vec<SocketAddr>, source: Option<IpAddr>) -> OriginId {
        let origin = Origin { source, ..Origin::new("localhost", addresses, Security::Plain) };
        self.caller.pool.register(origin).unwrap()
    }

    fn call(&mut self, origin: OriginId, request: &Request<'_>) -> CallId {
        self.caller.now_ns = self.clock.now_ns();
        self.caller.pool.call(origin, request, self.caller.now_ns + 60 * SECOND_NS).unwrap()
    }

    /// Takes turns until a condition holds.
    fn until(&mut self, mut done: impl FnMut(&Caller<UringWire>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.caller) {
            assert!(Instant::now() < deadline, "the condition never came true: {:?}", self.caller.outcomes);
            self.caller.now_ns = self.clock.now_ns();
            self.caller.turn();
            if !self.caller.wire.has_work() {
                readable(self.caller.wire.descriptor(), 1);
            }
        }
    }

    fn outcome(&mut self, call: CallId) -> &Outcome {
        self.until(|caller| caller.outcomes.contains_key(&call));
        &self.caller.outcomes[&call]
    }
}

/// Reads a whole head; what was read when the peer ends.
fn read_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|count| count > 0) {
        head.push(byte[0]);
    }
    head
}

#[test]
fn many_calls_share_few_connections() {
    let server = TestServer::with(WireConfig::default(), ListenOptions::default(), Limits::default());
    let mut real = Real::new();
    let origin = real.register(vec![server.address], None);
    let bodies: Vec<String> = (0..60).map(|number| format!("{number}").repeat(100)).collect();
    let calls: Vec<_> = bodies
        .iter()
        .map(|body| {
            let request = Request { method: "POST", body: body.as_bytes(), ..Request::get("/echo") };
            real.call(origin, &request)
        })
        .collect();
    real.until(|caller| caller.outcomes.len() == calls.len());
    for (call, body) in calls.iter().zip(&bodies) {
        let answer = real.caller.answer(*call);
        assert_eq!((answer.status, answer.body.as_slice()), (200, body.as_bytes()));
        assert_eq!(answer.header_str("x-path"), Some("/echo"));
    }
    let metrics = real.caller.pool.metrics(origin);
    assert_eq!((metrics.answered, metrics.retries), (60, 0));
    assert!(metrics.connects <= 8, "{metrics:?}");
    assert_eq!(metrics.connects + metrics.reuses, 60);
}

#[test]
fn resets_in_the_middle_are_told_as_they_are() {
    let whole = answer("hello");
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let (reports, received) = mpsc::channel();
    let answer_bytes: Vec<usize> = (0..=whole.len()).step_by(3).chain([whole.len()]).collect();
    let server = std::thread::spawn({
        let (whole, answer_bytes) = (whole.clone(), answer_bytes.clone());
        move || {
            for count in answer_bytes {
                let (mut socket, _) = listener.accept().unwrap();
                reports.send(read_head(&mut socket).len()).unwrap();
                socket.write_all(&whole.as_bytes()[..count]).unwrap();
                // After a complete answer the client may have it before the reset comes.
                reset_on_close(&socket);
            }
        }
    });
    let mut real = Real::new();
    for count in answer_bytes {
        let origin = real.register(vec![address], None);
        let call = real.call(origin, &Request::get("/order"));
        let complete = count == whole.len();
        match real.outcome(call) {
            Outcome::Answered(answer) => assert!(complete && answer.body == b"hello"),
            Outcome::NoAnswer(_) => {}
            Outcome::NotSent(why) => panic!("the server has read it: {why}"),
        }
        assert!(received.recv().unwrap() > 0);
        assert!(received.try_recv().is_err(), "sent once");
    }
    server.join().unwrap();
}

#[test]
fn an_order_is_never_sent_twice() {
    // A server that keeps connections only for so long as it pleases, and ends them without a word, in both ways.
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let orders = Arc::new(AtomicUsize::new(0));
    std::thread::spawn({
        let orders = Arc::clone(&orders);
        move || {
            for number in 0_usize.. {
                let Ok((mut socket, _)) = listener.accept() else { return };
                for _ in 0..number % 3 {
                    if read_head(&mut socket).is_empty() {
                        break;
                    }
                    orders.fetch_add(1, Ordering::SeqCst);
                    let _the_client_may_be_gone = socket.write_all(answer("done").as_bytes());
                }
                if number % 2 == 0 {
                    reset_on_close(&socket);
                }
            }
        }
    });
    let mut real = Real::new();
    let limits = OriginLimits { connections_max: 1, ..OriginLimits::default() };
    let origin = Origin { limits, ..Origin::new("localhost", vec![address; 4], Security::Plain) };
    let origin = real.caller.pool.register(origin).unwrap();
    let (mut answered, mut ambiguous, mut not_sent) = (0, 0, 0);
    for _ in 0..300 {
        let call = real.call(origin, &Request { method: "DELETE", ..Request::get("/order") });
        match real.outcome(call) {
            Outcome::Answered(_) => answered += 1,
            Outcome::NoAnswer(_) => ambiguous += 1,
            Outcome::NotSent(_) => not_sent += 1,
        }
    }
    let orders = orders.load(Ordering::SeqCst);
    assert!(
        (answered..=answered + ambiguous).contains(&orders),
        "{orders} orders reached the server: {answered} answered, {ambiguous} ambiguous, {not_sent} not sent"
    );
    assert!(answered > 0);
}

#[test]
fn a_refused_address_leads_to_the_next() {
    let server = TestServer::start();
    let refused = {
        // An address where nothing else listens, so that nobody takes the port meanwhile.
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 99), 0)).unwrap();
        listener.local_addr().unwrap()
    };
    let mut real = Real::new();
    let origin = real.register(vec![refused, server.address], None);
    for _ in 0..2 {
        let call = real.call(origin, &Request::get("/"));
        assert!(matches!(real.outcome(call), Outcome::Answered(answer) if answer.status == 200));
    }
    let metrics = real.caller.pool.metrics(origin);
    assert_eq!((metrics.connect_failures, metrics.connects, metrics.reuses), (1, 1, 1));

    let nobody = real.register(vec![refused, refused], None);
    let call = real.call(nobody, &Request::get("/"));
    let outcome = real.outcome(call);
    let expected = Some(libc::ECONNREFUSED);
    assert!(
        matches!(outcome, Outcome::NotSent(NotSent::Connect { os_error, .. }) if *os_error == expected),
        "{outcome:?}"
    );
}

#[test]
fn each_origin_has_its_source_address() {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut real = Real::new();
    for last in [77, 78] {
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let origin = real.register(vec![address], Some(source));
        let sent_bytes = real.caller.wire.metrics().bytes_out;
        let call = real.call(origin, &Request::get("/"));
        real.until(|caller| caller.wire.metrics().bytes_out > sent_bytes);
        let (mut socket, peer) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(peer.ip(), source);
        read_head(&mut socket);
        socket.write_all(answer("x").as_bytes()).unwrap();
        assert!(matches!(real.outcome(call), Outcome::Answered(_)));
    }
    let foreign = real.register(vec![address], Some("192.0.2.1".parse().unwrap()));
    let call = real.call(foreign, &Request::get("/"));
    let outcome = real.outcome(call);
    let expected = Some(libc::EADDRNOTAVAIL);
    assert!(
        matches!(outcome, Outcome::NotSent(NotSent::Connect { os_error, .. }) if *os_error == expected),
        "{outcome:?}"
    );
}

#[test]
fn a_large_answer_comes_whole() {
    let body = "0123456789".repeat(90_000);
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn({
        let whole = answer(&body);
        move || {
            let (mut socket, _) = listener.accept().unwrap();
            read_head(&mut socket);
            socket.write_all(whole.as_bytes()).unwrap();
        }
    });
    let mut real = Real::new();
    let origin = real.register(vec![address], None);
    let call = real.call(origin, &Request::get("/"));
    assert!(matches!(real.outcome(call), Outcome::Answered(answer) if answer.body == body.as_bytes()));
    server.join().unwrap();
}
