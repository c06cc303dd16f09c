//! Sending to WebSockets, and their ends.

use std::rc::Rc;

use super::connection::{Connection, Protocol, SocketState};
use super::{Outcome, Requested, Server, ServerMetrics, Service};
use crate::wire::{ConnId, Wire};
use crate::ws::handshake::DeflatePolicy;
use crate::ws::handshake::server::{Refusal, Upgrade};
use crate::ws::{self, CloseCode, Message};

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// No such WebSocket, or it is closing.
    #[error("the WebSocket is gone")]
    Gone,
    /// Too much waits to be sent already. The message is left out and counted; [`Service::lagged`] follows when there is
    /// room again.
    #[error("the WebSocket reads too slowly: the message was left out")]
    Lagged,
}

/// An open WebSocket, while one of its events is handled.
pub struct Socket<'a> {
    session: &'a mut ws::Session,
    out: &'a mut Vec<u8>,
    metrics: &'a mut ServerMetrics,
}

impl<'a> Socket<'a> {
    pub(super) fn new(
        session: &'a mut ws::Session,
        out: &'a mut Vec<u8>,
        metrics: &'a mut ServerMetrics,
    ) -> Self {
        Self { session, out, metrics }
    }

    /// Sends a message. Nothing is sent once the WebSocket is closing.
    pub fn send(&mut self, message: Message<'_>) {
        if self.session.send(message, self.out).is_ok() {
            self.metrics.messages_out += 1;
        }
    }

    /// Begins the close handshake.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let _already_closing = self.session.close(code, reason, self.out);
    }
}

/// How a request becomes a WebSocket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acceptance<'a> {
    /// The sub-protocols that the service speaks, the preferred one first.
    pub protocols: &'a [&'a str],
    /// Whether permessage-deflate is accepted, and how. Off by default: it costs CPU and, with context takeover, memory.
    pub deflate: Option<DeflatePolicy>,
}

impl Requested<'_> {
    /// Makes the connection a WebSocket; what [`Upgrade::check`] refuses is answered with [`Requested::refuse`].
    ///
    /// Nothing before it may wait for its answer: a client that sends ahead of an upgrade is refused.
    pub fn accept(self, upgrade: &Upgrade<'_>, acceptance: &Acceptance<'_>) {
        if self.http.pipeline.depth() > 1 || self.draining {
            return self.refuse(Refusal::NotAnUpgrade);
        }
        let protocol = upgrade.choose(acceptance.protocols);
        let agreement = upgrade.accept(protocol, acceptance.deflate.as_ref(), self.out);
        let deflate = agreement.map(|agreement| ws::Deflate { agreement, codecs: Rc::clone(self.codecs) });
        *self.outcome = Outcome::Upgraded(Box::new(ws::Session::server(self.message, deflate)));
    }

    /// Answers a request that does not become a WebSocket.
    pub fn refuse(self, refusal: Refusal) {
        self.answer(|out, mode, date| refusal.write(out, mode, date));
    }
}

impl Server {
    /// Sends a message to one WebSocket.
    ///
    /// # Errors
    /// [`Unsent`].
    pub fn send(&mut self, wire: &mut impl Wire, conn: ConnId, message: Message<'_>) -> Result<(), Unsent> {
        let queue_bytes_max = self.limits.socket_queue_bytes_max;
        let state = socket_of(&mut self.connections, conn).ok_or(Unsent::Gone)?;
        if !state.session.is_open() {
            return Err(Unsent::Gone);
        }
        if state.missed > 0 || wire.queued_bytes(conn) + message.payload().len() > queue_bytes_max {
            return Err(self.miss(conn));
        }
        let out = wire.output(conn).ok_or(Unsent::Gone)?;
        state.session.send(message, out).map_err(|ws::NotOpen| Unsent::Gone)?;
        self.metrics.messages_out += 1;
        Ok(())
    }

    /// Sends a frame made by [`ws::encode_shared`] to one WebSocket: what waits to be sent is the one encoding, however many
    /// connections it goes to.
    ///
    /// # Errors
    /// [`Unsent`].
    pub fn share(&mut self, wire: &mut impl Wire, conn: ConnId, frame: &Rc<[u8]>) -> Result<(), Unsent> {
        let queue_bytes_max = self.limits.socket_queue_bytes_max;
        let state = socket_of(&mut self.connections, conn).ok_or(Unsent::Gone)?;
        if !state.session.is_open() {
            return Err(Unsent::Gone);
        }
        if state.missed > 0 || wire.queued_bytes(conn) + frame.len() > queue_bytes_max {
            return Err(self.miss(conn));
        }
        wire.send_shared(conn, frame).map_err(|_| Unsent::Gone)?;
        self.metrics.messages_out += 1;
        Ok(())
    }

    /// [`Server::share`] with every WebSocket. Gives how many took it.
    pub fn broadcast(&mut self, wire: &mut impl Wire, frame: &Rc<[u8]>) -> usize {
        let mut taken = 0;
        for place in 0..self.connections.len() {
            if let Connection { id: Some(conn), protocol: Protocol::Socket(_) } = self.connections[place] {
                taken += usize::from(self.share(wire, conn, frame).is_ok());
            }
        }
        taken
    }

    /// Counts a message that found no room.
    fn miss(&mut self, conn: ConnId) -> Unsent {
        self.metrics.messages_missed += 1;
        if let Some(state) = socket_of(&mut self.connections, conn) {
            self.lagging.insert(conn);
            state.missed += 1;
        }
        Unsent::Lagged
    }

    /// Begins the close handshake of a WebSocket.
    pub fn close_socket(&mut self, wire: &mut impl Wire, conn: ConnId, code: CloseCode, reason: &str) {
        let now_ns = self.now_ns;
        let Some(state) = socket_of(&mut self.connections, conn) else { return };
        let Some(out) = wire.output(conn) else { return };
        if state.session.close(code, reason, out).is_ok() {
            state.closing_ns = Some(now_ns);
        }
    }

    /// What time brings: pings, the end of silent and closing WebSockets, and word to those that have room again. Call it
    /// in every turn; it does a bounded part of its work.
    pub fn tick<S: Service>(&mut self, wire: &mut impl Wire, service: &mut S) {
        self.relieve(wire);
        self.tell_streams(wire, service);
        self.tell_lagged(wire, service);
        if self.sockets == 0 || self.now_ns < self.sweep_ns {
            return;
        }
        let begin = if self.sweep_at < self.connections.len() { self.sweep_at } else { 0 };
        let end = (begin + SLICE).min(self.connections.len());
        self.sweep_at = end;
        let slices = self.connections.len().div_ceil(SLICE) as u64;
        self.sweep_ns = self.now_ns.saturating_add(SWEEP_NS / slices.max(1));
        for place in begin..end {
            if let Connection { id: Some(conn), protocol: Protocol::Socket(_) } = self.connections[place] {
                self.look_at(wire, conn);
            }
        }
    }

    fn look_at(&mut self, wire: &mut impl Wire, conn: ConnId) {
        let (now_ns, limits) = (self.now_ns, self.limits);
        let Some(state) = socket_of(&mut self.connections, conn) else { return };
        let silent_ns = now_ns.saturating_sub(state.heard_ns);
        if !state.session.is_open() && state.closing_ns.is_none() {
            // Its service closed it during an event.
            state.closing_ns = Some(now_ns);
        }
        if state.closing_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) > limits.close_ns) {
            wire.close(conn);
        } else if silent_ns > limits.silence_ns {
            self.metrics.sockets_silent += 1;
            wire.abort(conn);
        } else if silent_ns > limits.ping_ns
            && !state.pinged
            && let Some(out) = wire.output(conn)
        {
            state.pinged = state.session.ping(b"", out).is_ok();
        }
    }

    fn tell_lagged<S: Service>(&mut self, wire: &mut impl Wire, service: &mut S) {
        for conn in self.lagging.slice() {
            let Some(state) = socket_of(&mut self.connections, conn) else {
                self.lagging.remove(conn);
                continue;
            };
            if wire.queued_bytes(conn) > self.limits.socket_queue_bytes_max / 2 {
                continue;
            }
            let missed = std::mem::take(&mut state.missed);
            self.lagging.remove(conn);
            if let Some(out) = wire.output(conn) {
                service.lagged(conn, missed, &mut Socket::new(&mut state.session, out, &mut self.metrics));
            }
        }
    }

    /// When [`Server::tick`] has something to do even if nothing arrives.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let now_ns = self.now_ns;
        let sweep_ns = (self.sockets > 0).then_some(self.sweep_ns);
        [self.choked.due_ns(now_ns), self.streams.due_ns(now_ns), self.lagging.due_ns(now_ns), sweep_ns]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Every WebSocket is looked at this often, in nanoseconds: pings are tens of seconds apart.
const SWEEP_NS: u64 = 1_000_000_000;
/// WebSockets looked at in one turn.
const SLICE: usize = 256;

fn socket_of(connections: &mut [Connection], conn: ConnId) -> Option<&mut SocketState> {
    let connection = connections.get_mut(conn.index()).filter(|connection| connection.id == Some(conn))?;
    match &mut connection.protocol {
        Protocol::Socket(state) => Some(state),
        Protocol::Http(_) | Protocol::None => None,
    }
}
