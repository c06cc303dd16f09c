//! From the wire's bytes to requests and messages.

use super::connection::{Connection, HttpState, Protocol, SocketState};
use super::sockets::Socket;
use super::{Outcome, RequestId, Requested, Server, Service, answer_fault};
use crate::http::{Parsed, Parser, Pipeline, ReplyMode};
use crate::wire::{Arrival, ConnId, Ending, Patience, Stream, WireEvents};
use crate::ws;

/// A server and its service, as a consumer of a wire's events.
pub struct Events<'a, S> {
    pub(super) server: &'a mut Server,
    pub(super) service: &'a mut S,
}

/// How far a delivery was read.
enum Read {
    /// As far as there are whole requests.
    All,
    /// Not to its end: there is no room for more now.
    Paused,
    /// The connection is being closed.
    Closing,
    /// The rest is WebSocket.
    Upgraded(Box<ws::Session>),
}

impl<S: Service> WireEvents for Events<'_, S> {
    fn accepted(&mut self, conn: ConnId, _arrival: Arrival) {
        let server = &mut *self.server;
        if conn.index() >= server.connections.len() {
            server.connections.resize_with(conn.index() + 1, Connection::default);
        }
        let pipeline = Pipeline::new(server.limits.pipeline_max);
        server.connections[conn.index()] =
            Connection { id: Some(conn), protocol: Protocol::Http(HttpState { pipeline, ended: false }) };
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let place = self.server.connections.get(conn.index()).filter(|place| place.id == Some(conn));
        match place.map(|place| &place.protocol) {
            Some(Protocol::Http(_)) => self.read_requests(conn, stream),
            Some(Protocol::Socket(_)) => self.read_messages(conn, stream),
            // Also one that was never accepted here: whoever dialled it has given it up.
            Some(Protocol::None) | None => stream.close(),
        }
    }

    fn closed(&mut self, conn: ConnId, _ending: Ending) {
        let places = &mut self.server.connections;
        let Some(place) = places.get_mut(conn.index()).filter(|place| place.id == Some(conn)) else { return };
        let connection = std::mem::take(place);
        if matches!(connection.protocol, Protocol::Socket(_)) {
            self.server.sockets -= 1;
            self.server.metrics.sockets_closed += 1;
            self.service.socket_closed(conn);
        }
    }
}

impl<S: Service> Events<'_, S> {
    fn read_requests(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let mut parser = self.server.parser.take().expect("events do not nest");
        let parsed = self.parse(conn, stream, &mut parser);
        self.server.parser = Some(parser);
        match parsed {
            Read::Upgraded(session) => self.open_socket(conn, *session, stream),
            Read::Closing => {}
            // What is left is read later; the end, if it has come, is behind it.
            Read::Paused => {}
            Read::All => {
                if let Protocol::Http(http) = &mut self.server.connections[conn.index()].protocol {
                    http.ended = stream.ended();
                    if http.ended && http.pipeline.depth() == 0 {
                        stream.close();
                    }
                }
            }
        }
    }

    fn parse(&mut self, conn: ConnId, stream: &mut Stream<'_>, parser: &mut Parser) -> Read {
        let server = &mut *self.server;
        let Protocol::Http(http) = &mut server.connections[conn.index()].protocol else { return Read::All };
        while !stream.input().is_empty() {
            if http.pipeline.is_ending() {
                // Behind the last request nothing is a request.
                stream.consume(stream.input().len());
                return Read::All;
            }
            if http.pipeline.is_full() {
                stream.pause();
                return Read::Paused;
            }
            if http.pipeline.is_held() || stream.queued_bytes() > server.limits.stream_queue_bytes_max {
                stream.pause();
                server.choked.insert(conn);
                return Read::Paused;
            }
            match parser.parse(stream.input()) {
                Ok(Parsed::Complete(request)) => {
                    let mut mode = ReplyMode::from(&request.head);
                    mode.keep_alive &= !server.draining;
                    let Some(ticket) = http.pipeline.reserve(mode) else { return Read::All };
                    server.metrics.requests += 1;
                    let mut outcome = Outcome::default();
                    let requested = Requested {
                        id: RequestId { conn, ticket },
                        http,
                        out: stream.output(),
                        date: &server.date,
                        outcome: &mut outcome,
                        message: server.limits.message,
                        codecs: &server.codecs,
                        draining: server.draining,
                    };
                    self.service.request(&request, requested);
                    stream.consume(request.input_bytes);
                    match outcome {
                        Outcome::Kept => {}
                        Outcome::Answered { close, turn } => {
                            if let Some(ticket) = turn {
                                server.streams.insert(RequestId { conn, ticket });
                            }
                            if close {
                                stream.close();
                                return Read::Closing;
                            }
                        }
                        Outcome::Upgraded(session) => return Read::Upgraded(session),
                    }
                }
                Ok(Parsed::Incomplete { bytes_min, expects_continue, in_body }) => {
                    if expects_continue {
                        http.pipeline.offer_continue(stream.output());
                    }
                    if in_body {
                        stream.wait_for_body(bytes_min);
                    } else {
                        stream.wait_for(bytes_min);
                    }
                    return Read::All;
                }
                Err(error) => {
                    server.metrics.malformed += 1;
                    let close = answer_fault(http, error, stream.output(), &server.date);
                    // Where the next request would begin is not known: the rest is no request.
                    stream.consume(stream.input().len());
                    if close {
                        stream.close();
                        return Read::Closing;
                    }
                    return Read::All;
                }
            }
        }
        if http.pipeline.is_held() {
            server.choked.insert(conn);
        }
        Read::All
    }

    fn open_socket(&mut self, conn: ConnId, session: ws::Session, stream: &mut Stream<'_>) {
        let server = &mut *self.server;
        let state =
            SocketState { session, heard_ns: server.now_ns, pinged: false, closing_ns: None, missed: 0 };
        server.connections[conn.index()].protocol = Protocol::Socket(Box::new(state));
        server.sockets += 1;
        server.metrics.sockets_opened += 1;
        // Silence is this side's business from here on: it asks with pings.
        let idle_ns = 2 * server.limits.silence_ns;
        stream.set_patience(Patience { request_ns: server.limits.silence_ns, idle_ns });
        let Protocol::Socket(state) = &mut server.connections[conn.index()].protocol else { return };
        let mut socket = Socket::new(&mut state.session, stream.output(), &mut server.metrics);
        self.service.opened(conn, &mut socket);
        self.read_messages(conn, stream);
    }

    fn read_messages(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let server = &mut *self.server;
        let Protocol::Socket(state) = &mut server.connections[conn.index()].protocol else { return };
        let mut inbox = server.inbox.take().expect("events do not nest");
        state.heard_ns = server.now_ns;
        state.pinged = false;
        let mut paused = false;
        loop {
            if stream.queued_bytes() > server.limits.socket_queue_bytes_max {
                // It sends without reading what it is answered: it is heard again when it has read.
                stream.pause();
                server.choked.insert(conn);
                paused = true;
                break;
            }
            match state.session.step(stream.input(), &mut inbox, stream.output()) {
                Ok(ws::Step { consumed_bytes, event }) => {
                    stream.consume(consumed_bytes);
                    match event {
                        None => break,
                        Some(ws::Event::Message(message)) => {
                            server.metrics.messages_in += 1;
                            let out = stream.output();
                            let mut socket = Socket::new(&mut state.session, out, &mut server.metrics);
                            self.service.message(conn, message, &mut socket);
                        }
                        Some(ws::Event::Ping(_) | ws::Event::Pong(_)) => {}
                        Some(ws::Event::Closed { .. }) => break,
                    }
                }
                Err(_fault) => {
                    server.metrics.socket_faults += 1;
                    stream.consume(stream.input().len());
                    break;
                }
            }
        }
        server.inbox = Some(inbox);
        if state.session.is_ended() || (stream.ended() && !paused) {
            stream.close();
        }
    }
}
