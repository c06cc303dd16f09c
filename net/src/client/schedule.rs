//! The pool's turn: ends what is over, gives waiting calls to connections, opens new ones.

use super::connection::{Connection, Exchange, State};
use super::pool::{Call, Server};
use super::{CallId, Dial, NoAnswer, NotSent, OriginId, Outcome, Pool, Urgency};
use crate::http::answer::{AnswerLimits, AnswerReader};
use crate::wire::{CloseReason, ConnId, ConnectError, Patience, SendError, Wire};

/// The pool keeps the time of its connections itself: a call may take as long as its deadline says.
const PATIENCE: Patience = Patience { request_ns: u64::MAX, idle_ns: u64::MAX };

/// A server that keeps a connection for so many seconds is asked nothing in the last of them, in nanoseconds.
const KEPT_MARGIN_NS: u64 = 1_000_000_000;

impl Pool {
    /// Acts on what happened; to be called after each poll of `wire`. Costs next to nothing when nothing did.
    pub fn tick<W: Wire>(&mut self, now_ns: u64, wire: &mut W, dial: &mut impl Dial<W>) {
        self.settle(now_ns, wire);
        self.begin(now_ns, wire, dial);
    }

    /// The first half of a tick: what came is told, and nothing that waits is sent. Between both, a caller may take calls back by what
    /// it was told.
    pub fn settle<W: Wire>(&mut self, now_ns: u64, wire: &mut W) {
        if !self.is_due(now_ns) {
            return;
        }
        let mut turn = std::mem::take(&mut self.turn);
        turn.clear();
        turn.extend(self.connections.keys());
        for &conn in &turn {
            self.look_at(conn, now_ns, wire);
        }
        self.turn = turn;
    }

    fn is_due(&self, now_ns: u64) -> bool {
        self.changed || self.due_ns.is_some_and(|due_ns| now_ns >= due_ns)
    }

    /// The second half: what waits goes to connections.
    pub fn begin<W: Wire>(&mut self, now_ns: u64, wire: &mut W, dial: &mut impl Dial<W>) {
        if !self.is_due(now_ns) {
            return;
        }
        self.changed = false;
        for id in (0..).map(OriginId).take(self.servers.len()) {
            self.expire(id, now_ns);
            self.dispatch(id, wire);
            self.open(id, wire, dial);
        }
        self.due_ns = self.earliest_ns();
    }

    /// Moves one connection on.
    fn look_at<W: Wire>(&mut self, conn: ConnId, now_ns: u64, wire: &mut W) {
        let connection = self.connections.get_mut(&conn).expect("only an event removes a connection");
        match &mut connection.state {
            State::Opening | State::Closing => {}
            State::Opened => {
                wire.set_patience(conn, PATIENCE);
                connection.opened_ns = now_ns;
                connection.state = State::Idle { since_ns: now_ns };
            }
            State::Stray => end(connection, conn, wire),
            State::Idle { since_ns } => {
                let over = now_ns >= since_ns.saturating_add(connection.idle_ns);
                let server = &self.servers[connection.origin.0 as usize];
                if over || is_spent(connection, server, now_ns) {
                    end(connection, conn, wire);
                }
            }
            State::Busy(exchange) => {
                let untaken_bytes = wire.queued_bytes(conn);
                if exchange.reader.has_begun()
                    && untaken_bytes >= exchange.request_bytes
                    && exchange.failure.is_none()
                {
                    exchange.failure = Some(NoAnswer::Unasked);
                    let origin = connection.origin;
                    self.servers[origin.0 as usize].metrics.unsolicited += 1;
                }
                if exchange.is_answered() {
                    return self.take_answer(conn, now_ns, untaken_bytes == 0, wire);
                }
                if now_ns >= exchange.deadline_ns {
                    exchange.failure.get_or_insert(NoAnswer::Deadline);
                }
                if exchange.failure.is_some() && !exchange.aborted {
                    // The outcome waits for the connection's end, which tells whether anything had left.
                    exchange.aborted = true;
                    wire.abort(conn);
                }
            }
        }
    }

    /// Finishes the call of a connection whose answer is complete, and keeps the connection if it may be.
    fn take_answer<W: Wire>(&mut self, conn: ConnId, now_ns: u64, all_left: bool, wire: &mut W) {
        let connection = self.connections.get_mut(&conn).expect("the caller has just found it");
        let server = &mut self.servers[connection.origin.0 as usize];
        let state = std::mem::replace(&mut connection.state, State::Idle { since_ns: now_ns });
        let State::Busy(exchange) = state else { unreachable!("the caller has just found it busy") };
        let head = *exchange.reader.head().expect("a complete answer has a head");
        server.metrics.unsolicited += u64::from(exchange.excess);
        let kept_ns = head.keep_alive_s.map_or(u64::MAX, |seconds| u64::from(seconds) * 1_000_000_000);
        connection.idle_ns = server.origin.limits.idle_ns.min(kept_ns.saturating_sub(KEPT_MARGIN_NS));
        let keeps = head.keep_alive
            && all_left
            && !exchange.excess
            && !exchange.ended
            && connection.idle_ns > 0
            && !is_spent(connection, server, now_ns);
        if !keeps {
            end(connection, conn, wire);
        }
        self.finish_answered(*exchange);
    }

    /// Ends the waiting calls whose time is over.
    fn expire(&mut self, id: OriginId, now_ns: u64) {
        let mut place = 0;
        while let Some(&call) = self.server(id).waiting.get(place) {
            if now_ns < self.calls[&call].deadline_ns {
                place += 1;
                continue;
            }
            self.server(id).waiting.remove(place);
            self.finish(call, Outcome::NotSent(NotSent::Deadline));
        }
    }

    /// Gives waiting calls to connections without one, the most urgent first, to the connection used last. Usual ones leave the
    /// connections that are kept.
    fn dispatch<W: Wire>(&mut self, id: OriginId, wire: &mut W) {
        let mut place = 0;
        while let Some(&call) = self.server(id).waiting.get(place) {
            let Call { wants_new, urgency, .. } = self.calls[&call];
            if urgency == Urgency::Usual && self.busy(id) >= self.servers[id.0 as usize].usual_max() {
                // All behind it are usual, too.
                return;
            }
            match self.free_connection(id, wants_new) {
                Some(conn) => {
                    // Nothing was queued when this is false: the connection was gone. The next one is tried.
                    self.give(call, conn, place, wire);
                }
                None if wants_new => place += 1,
                None => return,
            }
        }
    }

    /// Connections that carry a call.
    fn busy(&self, id: OriginId) -> usize {
        let is_busy =
            |connection: &&Connection| connection.origin == id && matches!(connection.state, State::Busy(_));
        self.connections.values().filter(is_busy).count()
    }

    fn free_connection(&self, id: OriginId, wants_new: bool) -> Option<ConnId> {
        let idle = |(&conn, connection): (&ConnId, &Connection)| match connection.state {
            State::Idle { since_ns } if connection.origin == id && !(wants_new && connection.carried > 0) => {
                Some((since_ns, conn))
            }
            _ => None,
        };
        self.connections.iter().filter_map(idle).max().map(|(_, conn)| conn)
    }

    fn give<W: Wire>(&mut self, id: CallId, conn: ConnId, place: usize, wire: &mut W) {
        let call = &self.calls[&id];
        let connection = self.connections.get_mut(&conn).expect("a free connection was chosen");
        match wire.send(conn, &call.bytes) {
            Ok(()) => {}
            Err(SendError::Gone) => {
                connection.state = State::Closing;
                return;
            }
            Err(SendError::Overflow) => {
                connection.state = State::Closing;
                let origin = call.origin;
                self.server(origin).waiting.remove(place);
                return self.finish(id, Outcome::NotSent(NotSent::TooLarge));
            }
        }
        let limits = AnswerLimits { body_bytes_max: call.answer_bytes_max, ..self.limits.answer };
        connection.state = State::Busy(Box::new(Exchange {
            call: id,
            deadline_ns: call.deadline_ns,
            start_bytes: connection.given_bytes,
            request_bytes: call.bytes.len(),
            reader: AnswerReader::new(call.to_head, limits),
            excess: false,
            ended: false,
            failure: None,
            aborted: false,
        }));
        connection.given_bytes += call.bytes.len() as u64;
        connection.carried += 1;
        let reused = connection.carried > 1;
        let origin = call.origin;
        let server = self.server(origin);
        server.metrics.reuses += u64::from(reused);
        server.waiting.remove(place);
    }

    /// Opens connections for calls that wait, as far as the origin's limit goes.
    fn open<W: Wire>(&mut self, id: OriginId, wire: &mut W, dial: &mut impl Dial<W>) {
        let mut place = 0;
        loop {
            let server = &self.servers[id.0 as usize];
            let Some(&call_id) = server.waiting.get(place) else { return };
            if server.opening >= server.waiting.len() {
                return;
            }
            let (usual_max, connections) = (server.usual_max(), server.connections);
            if self.calls[&call_id].urgency == Urgency::Usual && connections >= usual_max {
                // With as many at work it waits for one of them; otherwise there is one that it may not use.
                if self.busy(id) < usual_max {
                    self.make_room(id, wire);
                }
                return;
            }
            if connections >= server.origin.limits.connections_max {
                return self.make_room(id, wire);
            }
            let call = self.calls.get_mut(&call_id).expect("a waiting call has no outcome");
            if call.dialling {
                place += 1;
                continue;
            }
            let first = *call.first_address.get_or_insert(server.preferred);
            let addresses = &server.origin.addresses;
            let address = addresses[(first + call.failures) % addresses.len()];
            match dial.dial(wire, &server.origin, address) {
                Ok(conn) => {
                    call.dialling = true;
                    place += 1;
                    let idle_ns = server.origin.limits.idle_ns;
                    let server = self.server(id);
                    server.connections += 1;
                    server.opening += 1;
                    self.connections.insert(
                        conn,
                        Connection {
                            origin: id,
                            address,
                            begun_for: call_id,
                            opened_ns: 0,
                            carried: 0,
                            given_bytes: 0,
                            idle_ns,
                            state: State::Opening,
                        },
                    );
                }
                // With connections of its own the call waits for one of them.
                Err(ConnectError::Full(_)) if server.connections > 0 => return,
                Err(ConnectError::Full(_)) => {
                    self.server(id).waiting.remove(place);
                    self.finish(call_id, Outcome::NotSent(NotSent::NoPlace));
                }
                Err(ConnectError::Socket { source, .. }) => {
                    self.server(id).metrics.connect_failures += 1;
                    let reason = CloseReason::ConnectFailed;
                    let os_error = source.raw_os_error();
                    self.count_failure(call_id, NotSent::Connect { reason, os_error });
                }
            }
        }
    }

    /// All places are taken and a call waits: a kept connection that no waiting call may use gives way.
    fn make_room<W: Wire>(&mut self, id: OriginId, wire: &mut W) {
        let closing = |connection: &Connection| {
            connection.origin == id && matches!(connection.state, State::Closing | State::Stray)
        };
        if self.connections.values().any(closing) {
            return;
        }
        if let Some(conn) = self.free_connection(id, false) {
            let connection = self.connections.get_mut(&conn).expect("it was just chosen");
            end(connection, conn, wire);
        }
    }

    fn earliest_ns(&self) -> Option<u64> {
        let waiting = self.servers.iter().flat_map(|server| &server.waiting);
        let deadlines = waiting.map(|call| self.calls[call].deadline_ns);
        let connections = self.connections.values().filter_map(|connection| match &connection.state {
            State::Busy(exchange) => exchange.failure.is_none().then_some(exchange.deadline_ns),
            State::Idle { since_ns } => {
                let idle_ns = since_ns.saturating_add(connection.idle_ns);
                let limits = &self.servers[connection.origin.0 as usize].origin.limits;
                let lifetime_ns =
                    limits.lifetime_ns.map(|span_ns| connection.opened_ns.saturating_add(span_ns));
                Some(lifetime_ns.map_or(idle_ns, |lifetime_ns| lifetime_ns.min(idle_ns)))
            }
            State::Opening | State::Opened | State::Stray | State::Closing => None,
        });
        deadlines.chain(connections).min()
    }
}

/// Whether a connection without a call may carry no other.
fn is_spent(connection: &Connection, server: &Server, now_ns: u64) -> bool {
    let limits = &server.origin.limits;
    let too_old =
        limits.lifetime_ns.is_some_and(|span_ns| now_ns >= connection.opened_ns.saturating_add(span_ns));
    let used_up = limits.calls_per_connection_max.is_some_and(|calls_max| connection.carried >= calls_max);
    too_old || used_up || !server.origin.addresses.contains(&connection.address)
}

/// Ends a connection that carries no call: at once, because nothing of it is wanted any more.
fn end<W: Wire>(connection: &mut Connection, conn: ConnId, wire: &mut W) {
    connection.state = State::Closing;
    if wire.queued_bytes(conn) > 0 {
        wire.abort(conn);
    } else {
        wire.close(conn);
    }
}
