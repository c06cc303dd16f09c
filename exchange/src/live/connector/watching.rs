//! Whether sockets live and private streams tell. A socket over which nothing comes is ended and opened anew; a stream that does
//! not tell what the exchange has acknowledged is suspect.
//!
//! **Invariants**: an account whose stream was given up is compared, at once and again when the new stream begins; one whose
//! stream is suspect is compared every [`SUSPECT_SPAN`] until the stream tells something of it (CASES.md S3, S11, S12).
//! **Bounds**: one timer for each socket, one for each order that was acknowledged. **Never**: takes a quiet stream for a dead
//! one: what the exchange promises to send while nothing happens is what is waited for ([`Shape::SILENCE_MAX`]).

use engine::core::ids::{ClientOrderId, Timestamp};

use super::account::Slot;
use super::limits::{LOGIN_SPAN, RENEW_SPAN, STREAM_TELLS_SPAN};
use super::outgoing::SocketId;
use super::queue::Timer;
use super::streams::{Kind, Phase, Socket};
use super::{Connector, Shape};
use crate::live::protocol::StreamEvent;

impl<P: Shape> Connector<P> {
    /// A ping or a pong of the WebSocket protocol came over a socket.
    pub fn socket_alive(&mut self, now: Timestamp, socket: SocketId) {
        if let Some(known) = self.sockets.get_mut(&socket).filter(|_| P::FRAMES_ARE_LIFE) {
            known.heard_at = now;
        }
    }

    /// A timer: whether a socket has been heard of. It is set to when the last sign of life is too old, and then looks.
    pub(super) fn watch(&mut self, now: Timestamp, socket: SocketId) {
        let Some(known) = self.sockets.get(&socket).filter(|s| s.phase != Phase::Ending) else { return };
        let mut due = known.heard_at.plus_micros(P::SILENCE_MAX);
        if known.phase == Phase::LoggingIn {
            due = due.min(known.opened_at.plus_micros(LOGIN_SPAN));
        }
        if now < due {
            self.queue.set(due, Timer::Watch(socket));
            return;
        }
        self.metrics.silent += 1;
        self.give_up_socket(now, socket);
    }

    /// A socket gave no answer to what was sent over it then. One over which nothing has come since is dead, though nobody says
    /// so; what is sent next, perhaps the same exit again, goes another way.
    pub(super) fn socket_owes(&mut self, now: Timestamp, socket: SocketId, sent_at: Timestamp) {
        let is_dead = |known: &Socket| known.phase != Phase::Ending && known.heard_at <= sent_at;
        if self.sockets.get(&socket).is_some_and(is_dead) {
            self.metrics.silent += 1;
            self.give_up_socket(now, socket);
        }
    }

    /// Ends a socket without waiting for its end: streams are opened anew at once. Orders under way over it are of unknown
    /// outcome when its end is told, or when their answers are overdue.
    fn give_up_socket(&mut self, now: Timestamp, socket: SocketId) {
        let slots = self.slots_of(socket);
        let Some(known) = self.sockets.get_mut(&socket) else { return };
        let tells = known.kind == Kind::Private;
        if tells {
            known.keys.clear();
            known.slot = None;
        }
        self.close(socket);
        for slot in slots.into_iter().filter(|_| tells) {
            self.stream_gone(slot);
            self.connect(now, slot);
        }
    }

    /// From here on no stream tells of this account: the next one begins with a comparison.
    pub(super) fn stream_gone(&mut self, slot: Slot) {
        let account = self.account_mut(slot);
        account.private = None;
        account.private_is_ready = false;
        account.funding_checked_at = None;
    }

    /// A private stream told something of an account.
    pub(super) fn stream_told(&mut self, now: Timestamp, slot: Slot, event: &StreamEvent) {
        let of_account = matches!(
            event,
            StreamEvent::Order(_)
                | StreamEvent::Execution(_)
                | StreamEvent::Funding(_)
                | StreamEvent::Position(_)
                | StreamEvent::Balance(_)
                | StreamEvent::Leverage { .. }
        );
        if of_account {
            let account = self.account_mut(slot);
            account.told_at = now;
            account.is_suspect = false;
        }
    }

    /// A private stream told of an order.
    pub(super) fn streamed(&mut self, slot: Slot, id: ClientOrderId) {
        if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
            order.streamed = true;
        }
    }

    /// The exchange acknowledged an order, by an answer: its stream has to tell of it, too.
    pub(super) fn acknowledged(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let account = self.account_mut(slot);
        if !account.private_is_ready {
            return;
        }
        let since = account.stream_since;
        let Some(order) = account.orders.get_mut(&id) else { return };
        // Of what was sent before it began, the stream has nothing to tell: a stop that rests since yesterday is quiet.
        if order.sent_at.is_none_or(|at| at < since) {
            return;
        }
        if !order.streamed && order.acknowledged_at.is_none() {
            order.acknowledged_at = Some(now);
            self.queue.set(now.plus_micros(STREAM_TELLS_SPAN), Timer::StreamTells(slot, id));
        }
    }

    /// A timer: whether the stream has told of an order that was acknowledged. If not, what else it kept to itself is looked
    /// for; if it told nothing at all of this account since, it is opened anew.
    pub(super) fn stream_should_have_told(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let account = self.account(slot);
        let Some(order) = account.orders.get(&id) else { return };
        let Some(acknowledged_at) = order.acknowledged_at.filter(|_| !order.streamed) else { return };
        if !account.private_is_ready || account.stream_since >= acknowledged_at {
            // Its gap is made up for already.
            return;
        }
        let told_nothing = account.told_at < acknowledged_at;
        self.metrics.untold += 1;
        self.metrics.gaps += 1;
        self.account_mut(slot).funding_checked_at = None;
        if told_nothing {
            self.suspect(now, slot);
        }
        self.want_comparison(now, slot);
    }

    fn suspect(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        account.is_suspect = true;
        if account.renewed_at.is_some_and(|at| now.micros_since(at) < RENEW_SPAN) {
            return;
        }
        account.renewed_at = Some(now);
        let Some(socket) = account.private else { return };
        let Some(known) = self.sockets.get_mut(&socket) else { return };
        known.keys.retain(|(_, of)| *of != slot);
        if known.keys.is_empty() {
            self.give_up_socket(now, socket);
        }
        // The others on a shared one are not concerned: this account gets another.
        if self.account(slot).private == Some(socket) {
            self.stream_gone(slot);
            self.connect(now, slot);
        }
    }
}
