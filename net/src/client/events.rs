//! What the wire tells the pool. Nothing is decided here that needs the wire; [`Pool::tick`] does that.

use super::connection::{Connection, Exchange, State};
use super::{CallId, NoAnswer, NotSent, Outcome, Pool};
use crate::wire::{ConnId, Ending, Stream};

impl Pool {
    /// Whether events of this connection are the pool's.
    #[must_use]
    pub fn owns(&self, conn: ConnId) -> bool {
        self.connections.contains_key(&conn)
    }

    /// A connection is established.
    pub fn connected(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if !matches!(connection.state, State::Opening) {
            return;
        }
        connection.state = State::Opened;
        let Connection { origin, address, begun_for: call, .. } = *connection;
        if let Some(call) = self.calls.get_mut(&call) {
            call.dialling = false;
        }
        let server = self.server(origin);
        server.opening -= 1;
        server.metrics.connects += 1;
        if let Some(place) = server.origin.addresses.iter().position(|&known| known == address) {
            server.preferred = place;
        }
        self.changed = true;
    }

    /// Bytes came, or the server ended its direction. Consumes all of it.
    pub fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let (bytes, ended, cleanly) = (stream.input(), stream.ended(), stream.ended_cleanly());
        stream.consume(bytes.len());
        self.changed = true;
        match &mut connection.state {
            State::Busy(exchange) => exchange.take(bytes, ended, cleanly),
            State::Opened | State::Idle { .. } => {
                connection.state = State::Stray;
                let origin = connection.origin;
                // Whatever it is, it must not become the answer to the next request.
                self.server(origin).metrics.unsolicited += u64::from(!bytes.is_empty());
            }
            State::Opening | State::Stray | State::Closing => {}
        }
    }

    /// A connection is gone.
    pub fn closed(&mut self, conn: ConnId, ending: Ending) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.changed = true;
        let server = self.server(connection.origin);
        server.connections -= 1;
        match connection.state {
            State::Opening => {
                let call = connection.begun_for;
                server.opening -= 1;
                server.metrics.connect_failures += 1;
                if server.origin.addresses[server.preferred] == connection.address {
                    server.preferred = (server.preferred + 1) % server.origin.addresses.len();
                }
                if let Some(call) = self.calls.get_mut(&call) {
                    call.dialling = false;
                }
                let Ending { reason, os_error, .. } = ending;
                self.count_failure(call, NotSent::Connect { reason, os_error });
            }
            State::Busy(ref exchange) => {
                let call = exchange.call;
                match judge(&connection, ending) {
                    Verdict::Outcome(outcome) => self.finish(call, outcome),
                    Verdict::Retry => self.retry(call, connection.carried > 1, ending),
                    Verdict::Answered => {
                        let State::Busy(exchange) = connection.state else { unreachable!("matched above") };
                        self.finish_answered(*exchange);
                    }
                }
            }
            // A server that takes connections and nothing else counts as an address that failed.
            _ if connection.carried == 0 => {
                self.count_failure(connection.begun_for, NotSent::Closed(ending.reason));
            }
            State::Opened | State::Idle { .. } | State::Stray | State::Closing => {}
        }
    }

    /// Gives a call its complete answer.
    pub(super) fn finish_answered(&mut self, exchange: Exchange) {
        let Exchange { call, reader, ended, .. } = exchange;
        let answer = reader.finish(ended).expect("is_answered was asked before");
        self.finish(call, Outcome::Answered(answer));
    }

    /// A connection ended before it took a byte: the call waits again, at its old place.
    fn retry(&mut self, id: CallId, was_kept: bool, ending: Ending) {
        let call = self.calls.get_mut(&id).expect("a call that is carried has no outcome");
        call.wants_new = true;
        let origin = call.origin;
        self.let_wait(id);
        self.server(origin).metrics.retries += 1;
        if !was_kept {
            self.count_failure(id, NotSent::Closed(ending.reason));
        }
    }
}

enum Verdict {
    Outcome(Outcome),
    Answered,
    Retry,
}

/// What the end of a connection means for the call it carried.
fn judge(connection: &Connection, ending: Ending) -> Verdict {
    let State::Busy(exchange) = &connection.state else { unreachable!("asked of busy connections only") };
    let failure = exchange.failure;
    if ending.handed_bytes <= exchange.start_bytes || planted::planted!("handed_call_told_as_not_sent") {
        return match failure {
            Some(NoAnswer::Deadline) => Verdict::Outcome(Outcome::NotSent(NotSent::Deadline)),
            _ => Verdict::Retry,
        };
    }
    if exchange.is_answered() {
        return Verdict::Answered;
    }
    let Ending { reason, os_error, .. } = ending;
    Verdict::Outcome(Outcome::NoAnswer(failure.unwrap_or(NoAnswer::Broken { reason, os_error })))
}
