//! What the inner wire delivers, decrypted and handed on.
//!
//! **Invariants**: a plain connection is looked up once and passed on as it is. Nothing here calls the inner wire, which is
//! in the middle of its poll: what has to wait for its end is noted in [`Core::broken`] and [`Core::dirty`].

use std::collections::VecDeque;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::{Error, HandshakeKind, ServerConfig};

use super::TlsMetrics;
use super::record::Side;
use super::session::{Session, Stage};
use super::table::Table;
use crate::wire::pool::BufferPool;
use crate::wire::timing::Sweep;
use crate::wire::{Arrival, CloseReason, ConnId, Ending, Stream, WireConfig, WireEvents};

/// Failures whose errors are kept: who looks does so after the poll that delivered `closed`.
const FAILURES_KEPT: usize = 64;

/// All of a TLS wire but the inner wire.
pub(super) struct Core {
    pub(super) config: WireConfig,
    pub(super) listeners: Vec<Option<Arc<ServerConfig>>>,
    pub(super) sessions: Table,
    pub(super) pool: BufferPool,
    pub(super) sweep: Sweep,
    pub(super) now_ns: u64,
    /// Connections with something to encrypt, to begin or to close.
    pub(super) dirty: VecDeque<ConnId>,
    /// Connections whose waiting input is to be delivered again.
    pub(super) ready: VecDeque<ConnId>,
    /// Connections to be aborted after the poll.
    pub(super) broken: Vec<ConnId>,
    /// Ciphertext on its way through rustls.
    pub(super) scratch: Vec<u8>,
    /// What was decrypted of it.
    pub(super) plain: Vec<u8>,
    pub(super) metrics: TlsMetrics,
    /// Closes by another reason than the inner wire counted: how many more, by reason.
    pub(super) recounted: [i64; CloseReason::ALL.len()],
    pub(super) failures: VecDeque<(ConnId, Error)>,
    /// Handshake steps that this poll may still take.
    pub(super) handshakes_left: u32,
    /// Connections whose handshake goes on in a later poll.
    pub(super) postponed: VecDeque<ConnId>,
}

impl Core {
    pub(super) fn mark_dirty(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn)
            && !session.in_dirty
        {
            session.in_dirty = true;
            self.dirty.push_back(conn);
        }
    }

    /// Remembers why a connection was given up, and counts it.
    pub(super) fn note_failure(&mut self, conn: ConnId, handshaking: bool, error: Error) {
        if handshaking {
            self.metrics.handshakes_failed += 1;
        } else {
            self.metrics.broken += 1;
        }
        if self.failures.len() == FAILURES_KEPT {
            self.failures.pop_front();
        }
        self.failures.push_back((conn, error));
    }

    /// Follows a delivery: output is queued, a close begun, a buffer without use given back.
    pub(super) fn after_delivery(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.reason == Some(CloseReason::InputOverflow) {
            self.broken.push(conn);
        } else if session.pending.is_empty() && !session.closing {
            self.pool.retire(&mut session.pending);
            if session.patience_wish.is_some() {
                self.mark_dirty(conn);
            }
        } else {
            self.mark_dirty(conn);
        }
    }
}

/// The consumer of the inner wire's events.
pub(super) struct Delivery<'a, E> {
    pub(super) core: &'a mut Core,
    pub(super) events: &'a mut E,
}

impl<E: WireEvents> WireEvents for Delivery<'_, E> {
    fn accepted(&mut self, conn: ConnId, arrival: Arrival) {
        let core = &mut *self.core;
        if let Some(Some(config)) = core.listeners.get(arrival.listener) {
            let connection = UnbufferedServerConnection::new(Arc::clone(config));
            // It cannot fail with a configuration that was tried before; nothing would be spoken in the clear.
            let side = connection.map_or(Side::Unusable, Side::Server);
            let until_ns = core.now_ns.saturating_add(core.config.request_ns);
            let stage = Stage::Handshaking { until_ns };
            core.sessions.insert(Session::new(conn, side, stage, core.now_ns, &core.config));
        }
        self.events.accepted(conn, arrival);
    }

    fn connected(&mut self, conn: ConnId) {
        let core = &mut *self.core;
        let Some(session) = core.sessions.get_mut(conn) else { return self.events.connected(conn) };
        let until_ns = core.now_ns.saturating_add(core.config.connect_ns);
        session.stage = Stage::Handshaking { until_ns };
        core.mark_dirty(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let core = &mut *self.core;
        let Some(session) = core.sessions.get_mut(conn) else { return self.events.received(conn, stream) };
        if session.is_handshaking() {
            if core.handshakes_left == 0 {
                core.metrics.handshakes_postponed += 1;
                core.postponed.push_back(conn);
                return stream.pause();
            }
            core.handshakes_left -= 1;
        }
        let input = stream.input();
        stream.consume(input.len());
        let handshaking = session.is_handshaking();
        if session.stage == Stage::Over || session.closing && !handshaking {
            return;
        }
        core.plain.clear();
        let intake = session.take_in(input, &mut core.scratch, &mut core.plain, stream.output());
        if let Some(kind) = intake.established {
            match kind {
                HandshakeKind::Resumed => core.metrics.handshakes_resumed += 1,
                HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest => {
                    core.metrics.handshakes_full += 1;
                }
            }
            session.open(core.now_ns, &core.config);
            if session.side.is_client() {
                self.events.connected(conn);
            }
        }
        let mut failure = intake.failure;
        session.ended |= stream.ended() || session.peer_closed;
        if session.ended && session.is_handshaking() {
            failure.get_or_insert_with(|| Error::General("the peer left during the handshake".to_owned()));
        } else if stream.ended() && !session.peer_closed {
            core.metrics.ends_without_notice += 1;
        }
        if session.stage == Stage::Open && !session.closing {
            core.pool.equip(&mut session.pending);
            session.deliver(&core.plain, core.now_ns, &core.config, self.events);
        }
        if session.stage != Stage::Over
            && let Some(error) = failure
        {
            let handshaking = session.is_handshaking();
            session.fail(CloseReason::Protocol);
            core.note_failure(conn, handshaking, error);
            return stream.close();
        }
        if session.paused && !session.is_handshaking() {
            stream.pause();
        }
        core.after_delivery(conn);
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        let core = &mut *self.core;
        let Some(session) = core.sessions.remove(conn) else { return self.events.closed(conn, ending) };
        if session.is_handshaking() {
            core.note_failure(conn, true, Error::General("ended during the handshake".to_owned()));
        }
        let reason = session.reason.unwrap_or(ending.reason);
        core.recounted[ending.reason as usize] -= 1;
        core.recounted[reason as usize] += 1;
        let handed_bytes = session.ledger.handed(ending.handed_bytes);
        self.events.closed(conn, Ending { reason, handed_bytes, ..ending });
    }
}
