//! The wrapper: a wire whose connections speak TLS where they should.
//!
//! **Runs on**: the inner wire's thread. **Owns**: the inner wire and all TLS sessions.
//! **Invariants**: `accepted` is delivered when TCP is accepted, so that the bounds count it; `connected` when the handshake
//! is complete and the peer's certificate verified. All sizes and [`Ending::handed_bytes`](crate::wire::Ending) are in
//! plaintext. A peer that ends TCP without a close_notify has ended all the same (HTTP's own lengths tell whether
//! something is missing; `ends_without_notice` counts).
//! **Bounds**: those of [`WireConfig`], in plaintext. A handshake has `request_ns` in all on the server's side, and
//! `connect_ns` after TCP is connected on the client's. The inner wire's output bound holds for ciphertext:
//! [`inner_config`] leaves it room for what TLS adds. An idle TLS connection holds 3.9 KB more than a plain one (the test
//! `tls_idle_connections_are_small` measures).
//! **Never**: speaks in the clear where TLS was asked for.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{CipherSuite, ClientConfig, Error, HandshakeKind, ProtocolVersion, ServerConfig};
use rustls_pki_types::ServerName;

use super::TlsMetrics;
use super::delivery::{Core, Delivery};
use super::record::Side;
use super::session::{Session, Stage};
use super::table::Table;
use crate::wire::pool::BufferPool;
use crate::wire::timing::Sweep;
use crate::wire::uring::UringWire;
use crate::wire::{
    CloseReason, ConnId, ConnectError, Patience, SendError, Wire, WireConfig, WireEvents, WireMetrics,
};

/// For each listener of the inner wire, in their order: plain (`None`) or TLS. Listeners beyond the list are plain.
#[derive(Clone, Debug, Default)]
pub struct ServerSide {
    /// The configurations, by listener.
    pub listeners: Vec<Option<Arc<ServerConfig>>>,
}

/// Why an outgoing TLS connection was not begun.
#[derive(Debug, thiserror::Error)]
pub enum TlsConnectError {
    /// As without TLS.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The configuration does not allow it.
    #[error("no TLS with this configuration: {0}")]
    Config(Error),
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsDetails {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// How records are protected.
    pub cipher: CipherSuite,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// The bounds for the inner wire of a [`TlsWire`] with these bounds: its output holds ciphertext. A record of 16 KiB adds
/// at most 29 bytes; a sixty-fourth leaves room for records of 2 KiB. 32 KiB hold a handshake's certificates.
#[must_use]
pub fn inner_config(config: WireConfig) -> WireConfig {
    let output_bytes_max = config.output_bytes_max + config.output_bytes_max / 64 + (32 << 10);
    WireConfig { output_bytes_max, ..config }
}

/// Handshake steps in one poll. One takes 0.1 to 1 ms, for which a shard answers nobody else: what comes in a burst goes on in the
/// polls after it.
const HANDSHAKES_PER_POLL: u32 = 8;

/// A [`Wire`] that speaks TLS over `W`.
pub struct TlsWire<W> {
    inner: W,
    core: Core,
}

impl TlsWire<UringWire> {
    /// Waits until a poll has something to do, at most so long; see [`UringWire::wait`].
    ///
    /// # Errors
    /// As [`Wire::poll`].
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        if self.has_work() { Ok(()) } else { self.inner.wait(at_most) }
    }
}

impl<W: Wire> TlsWire<W> {
    /// Wraps a wire. `config` bounds plaintext; the inner wire was made with [`inner_config`] of it.
    ///
    /// # Errors
    /// rustls', when a listener's configuration is unusable.
    pub fn new(inner: W, config: WireConfig, server: ServerSide) -> Result<Self, Error> {
        for tls in server.listeners.iter().flatten() {
            UnbufferedServerConnection::new(Arc::clone(tls))?;
        }
        let core = Core {
            config,
            listeners: server.listeners,
            sessions: Table::default(),
            pool: BufferPool::default(),
            sweep: Sweep::default(),
            now_ns: 0,
            dirty: VecDeque::new(),
            ready: VecDeque::new(),
            broken: Vec::new(),
            scratch: Vec::new(),
            plain: Vec::new(),
            metrics: TlsMetrics::default(),
            recounted: [0; CloseReason::ALL.len()],
            failures: VecDeque::new(),
            handshakes_left: 0,
            postponed: VecDeque::new(),
        };
        Ok(Self { inner, core })
    }

    /// Begins a TLS connection to `to`, whose certificate must be for `name`. As [`Wire::connect`] otherwise:
    /// [`WireEvents::connected`] when the peer is verified, or [`WireEvents::closed`] with
    /// [`CloseReason::Protocol`] when the handshake failed ([`TlsWire::failure`] says why).
    ///
    /// # Errors
    /// [`TlsConnectError`]; no event follows.
    pub fn connect_tls(
        &mut self,
        to: SocketAddr,
        from: Option<IpAddr>,
        name: ServerName<'static>,
        config: &Arc<ClientConfig>,
    ) -> Result<ConnId, TlsConnectError> {
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name);
        let side = Side::Client(connection.map_err(TlsConnectError::Config)?);
        let conn = self.inner.connect(to, from)?;
        let core = &mut self.core;
        // The inner wire bounds the time until TCP is connected; the handshake's begins then.
        core.sessions.insert(Session::new(conn, side, Stage::Dialling, core.now_ns, &core.config));
        Ok(conn)
    }

    /// What the handshake of an open connection agreed on; `None` for a plain one, or before.
    #[must_use]
    pub fn details(&self, conn: ConnId) -> Option<TlsDetails> {
        let common = self.core.sessions.get(conn)?.side.common().filter(|common| !common.is_handshaking())?;
        Some(TlsDetails {
            version: common.protocol_version()?,
            cipher: common.negotiated_cipher_suite()?.suite(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// Why TLS gave a connection up, for some dozens of the latest such ends.
    #[must_use]
    pub fn failure(&self, conn: ConnId) -> Option<&Error> {
        self.core.failures.iter().rev().find(|(failed, _)| *failed == conn).map(|(_, error)| error)
    }

    /// Counters of TLS since the start.
    #[must_use]
    pub fn tls_metrics(&self) -> TlsMetrics {
        TlsMetrics { sessions: self.core.sessions.live() as u64, ..self.core.metrics }
    }

    /// The inner wire, for what it alone knows.
    #[must_use]
    pub fn inner(&self) -> &W {
        &self.inner
    }

    fn abort_for(&mut self, conn: ConnId, reason: CloseReason) {
        if let Some(session) = self.core.sessions.get_mut(conn) {
            session.fail(reason);
            self.inner.abort(conn);
        }
    }

    /// Looks for time-outs in the slots whose turn it is.
    fn sweep(&mut self) {
        let core = &mut self.core;
        let mut late = None;
        for position in core.sweep.slice(core.now_ns, core.sessions.slots()) {
            let Some(session) = core.sessions.at(position) else { continue };
            let Some(reason) = session.due(core.now_ns, &core.config) else { continue };
            let (conn, handshaking) = (session.conn, session.is_handshaking());
            session.fail(reason);
            late.get_or_insert_with(Vec::new).push(conn);
            if handshaking {
                core.metrics.handshakes_timed_out += 1;
                core.note_failure(
                    conn,
                    true,
                    Error::General("the handshake was not complete in time".to_owned()),
                );
            }
        }
        late.into_iter().flatten().for_each(|conn| self.inner.abort(conn));
    }

    /// Offers waiting input again to the connections that were resumed.
    fn deliver_ready(&mut self, events: &mut impl WireEvents) {
        for _ in 0..self.core.ready.len() {
            let Some(conn) = self.core.ready.pop_front() else { break };
            let core = &mut self.core;
            let Some(session) = core.sessions.get_mut(conn) else { continue };
            core.pool.equip(&mut session.pending);
            session.deliver_again(core.now_ns, &core.config, events);
            let paused = session.paused;
            core.after_delivery(conn);
            if !paused {
                self.inner.resume(conn);
            }
        }
    }

    /// Encrypts what is queued straight into the inner wire's buffers.
    fn flush(&mut self) {
        for _ in 0..self.core.dirty.len() {
            let Some(conn) = self.core.dirty.pop_front() else { break };
            let queued_bytes = self.queued_bytes(conn);
            let core = &mut self.core;
            let Some(session) = core.sessions.get_mut(conn) else { continue };
            session.in_dirty = false;
            session.queued_behind_bytes = queued_bytes;
            if let Some(patience) = session.patience_wish.take() {
                self.inner.set_patience(conn, patience);
            }
            let handshaking = session.is_handshaking();
            if session.stage == Stage::Over {
                continue;
            }
            if queued_bytes > core.config.output_bytes_max {
                self.abort_for(conn, CloseReason::SlowReader);
                continue;
            }
            let taken = session.ledger.taken(self.inner.queued_bytes(conn));
            session.ledger.settle(taken);
            // The server's side speaks second; and who was lent a buffer may have written nothing.
            let quiet = session.pending.is_empty() && !session.closing;
            if handshaking && !session.side.is_client() || !handshaking && quiet {
                continue;
            }
            let Some(out) = self.inner.output(conn) else {
                core.pool.retire(&mut session.pending);
                continue;
            };
            core.plain.clear();
            let result = session.put_out(&mut core.plain, out);
            core.pool.retire(&mut session.pending);
            if let Err(error) = result {
                core.note_failure(conn, handshaking, error);
                self.abort_for(conn, CloseReason::Protocol);
            } else if session.closing && !handshaking {
                session.finish();
                self.inner.close(conn);
            }
        }
    }

    fn abort_broken(&mut self) {
        for conn in std::mem::take(&mut self.core.broken) {
            self.inner.abort(conn);
        }
    }
}

impl<W: Wire> Wire for TlsWire<W> {
    fn poll(&mut self, now_ns: u64, events: &mut impl WireEvents) -> io::Result<usize> {
        self.core.now_ns = now_ns;
        self.sweep();
        let resumed = self.core.ready.len();
        self.deliver_ready(events);
        self.flush();
        self.core.handshakes_left = HANDSHAKES_PER_POLL;
        for _ in 0..HANDSHAKES_PER_POLL {
            let Some(conn) = self.core.postponed.pop_front() else { break };
            self.inner.resume(conn);
        }
        let handled = self.inner.poll(now_ns, &mut Delivery { core: &mut self.core, events })?;
        self.abort_broken();
        Ok(resumed + handled)
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        if self.core.sessions.get(conn).is_none() {
            return self.inner.send(conn, bytes);
        }
        let queued_bytes = self.queued_bytes(conn);
        let max = self.core.config.output_bytes_max;
        let output = self.output(conn).ok_or(SendError::Gone)?;
        if queued_bytes + bytes.len() > max {
            self.abort_for(conn, CloseReason::SlowReader);
            return Err(SendError::Overflow);
        }
        output.extend_from_slice(bytes);
        Ok(())
    }

    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>) -> Result<(), SendError> {
        match self.core.sessions.get(conn) {
            // Each connection has its own keys: there is nothing to share.
            Some(_) => self.send(conn, bytes),
            None => self.inner.send_shared(conn, bytes),
        }
    }

    fn connect(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Result<ConnId, ConnectError> {
        self.inner.connect(to, from)
    }

    fn set_patience(&mut self, conn: ConnId, patience: Patience) {
        if let Some(session) = self.core.sessions.get_mut(conn) {
            session.set_patience(patience);
        }
        self.inner.set_patience(conn, patience);
    }

    fn output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        if self.core.sessions.get(conn).is_none() {
            return self.inner.output(conn);
        }
        self.core.mark_dirty(conn);
        let core = &mut self.core;
        let session = core.sessions.get_mut(conn).filter(|session| session.is_writable())?;
        core.pool.equip(&mut session.pending);
        Some(&mut session.pending)
    }

    fn queued_bytes(&self, conn: ConnId) -> usize {
        let cipher_bytes = self.inner.queued_bytes(conn);
        let Some(session) = self.core.sessions.get(conn) else { return cipher_bytes };
        session.pending.len() + session.ledger.unsettled(session.ledger.taken(cipher_bytes))
    }

    fn close(&mut self, conn: ConnId) {
        let Some(session) = self.core.sessions.get_mut(conn) else { return self.inner.close(conn) };
        if session.stage == Stage::Over || session.closing {
            return;
        }
        if session.stage == Stage::Dialling {
            return self.inner.close(conn);
        }
        if session.is_handshaking() && session.pending.is_empty() {
            // Nothing was said that could be finished.
            return self.abort(conn);
        }
        session.begin_close();
        self.core.mark_dirty(conn);
    }

    fn abort(&mut self, conn: ConnId) {
        let Some(session) = self.core.sessions.get_mut(conn) else { return self.inner.abort(conn) };
        if session.reason.is_none() {
            if session.is_handshaking() {
                self.core.metrics.handshakes_failed += 1;
            }
            self.abort_for(conn, CloseReason::Local);
        } else {
            self.inner.abort(conn);
        }
    }

    fn pause(&mut self, conn: ConnId) {
        let Some(session) = self.core.sessions.get_mut(conn) else { return self.inner.pause(conn) };
        session.pause();
        if session.stage == Stage::Open {
            self.inner.pause(conn);
        }
    }

    fn resume(&mut self, conn: ConnId) {
        let Some(session) = self.core.sessions.get_mut(conn) else { return self.inner.resume(conn) };
        if session.paused && session.stage != Stage::Over {
            session.resume(self.core.now_ns);
            if !session.in_ready {
                session.in_ready = true;
                self.core.ready.push_back(conn);
            }
        }
    }

    fn stop_accepting(&mut self) {
        self.inner.stop_accepting();
    }

    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn descriptor(&self) -> RawFd {
        self.inner.descriptor()
    }

    fn has_work(&mut self) -> bool {
        !self.core.dirty.is_empty()
            || !self.core.ready.is_empty()
            || !self.core.postponed.is_empty()
            || self.inner.has_work()
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        let sweep_ns = (self.core.sessions.live() > 0).then(|| self.core.sweep.next_ns());
        sweep_ns.into_iter().chain(self.inner.next_deadline_ns()).min()
    }

    fn metrics(&self) -> WireMetrics {
        let mut metrics = self.inner.metrics();
        for (count, more) in metrics.closed.iter_mut().zip(self.core.recounted) {
            *count = count.saturating_add_signed(more);
        }
        metrics
    }
}
