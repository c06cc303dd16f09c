//! Sockets: private streams and order entry. A stream that was away is a gap: what it may have missed is asked for.
//!
//! **Invariants**: a listen key is never deleted, for every program of the account shares it (CASES.md S1). An order under way
//! on a socket that ends is of unknown outcome. A socket is replaced before the exchange ends it (S4), a private stream without
//! a gap. A log-in that is refused concerns its socket alone: what the account may do is asked by HTTP, and what it holds is
//! compared as before.

use engine::core::ids::Timestamp;
use engine::core::venue_account::Environment;
use planted::planted;

use super::account::{Account, Slot};
use super::limits::{
    HEARTBEAT_SPAN, LOGIN_SPAN, REFUSED_PAUSE_MAX, REOPEN_PAUSE_MAX, SOCKET_AGE_MAX, SUCCESSOR_SPAN,
};
use super::outgoing::{Outgoing, Server, SocketId, Tag};
use super::placing::Ended;
use super::queue::{Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Ask, Failure, HttpReply, StreamEvent, TradeMessage, TradeReply};

/// What Bybit says with a 403 to who asked or dialled too often (EXCHANGES.md §3.3).
const TOO_FREQUENT: &str = "access too frequent";

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Trade,
    Private,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    LoggingIn,
    Ready,
    /// It takes nothing new.
    Retiring,
    Ending,
}

/// A socket of a connector.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    /// The account it is for, where it is not shared.
    pub(super) slot: Option<Slot>,
    /// The listen keys on it.
    pub(super) keys: Vec<(String, Slot)>,
    /// When it was dialled; zero: not yet.
    dialled_at: Timestamp,
    pub(super) opened_at: Timestamp,
    /// When the last sign of life came over it.
    pub(super) heard_at: Timestamp,
    /// The private streams that it takes the place of once it tells.
    pub(super) succeeds: Vec<SocketId>,
}

impl Socket {
    /// Whether requests may be sent over it.
    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }
}

/// When something of an account is opened again: after a pause that doubles, and not all at once after an outage (CASES.md N6).
fn put_off(now: Timestamp, slot: Slot, pause: &mut u64, was_refused: bool) -> Timestamp {
    let most = if was_refused { REFUSED_PAUSE_MAX } else { REOPEN_PAUSE_MAX };
    *pause = (*pause * 2).clamp(500_000, most);
    let spread = u64::from(slot.0).wrapping_mul(104_729) % *pause;
    now.plus_micros(*pause / 2 + spread)
}

impl<P: Shape> Connector<P> {
    /// Opens what an account needs and is not open: its stream, and its order entry.
    pub(super) fn connect(&mut self, now: Timestamp, slot: Slot) {
        if self.account(slot).credential.is_none() || self.account(slot).mending.is_mute {
            return;
        }
        let account = self.account(slot);
        let stream = account.private.is_none() && (account.reopen_pause == 0 || now >= account.stream_from);
        let trade = account.trade.is_none() && (account.trade_pause == 0 || now >= account.trade_from);
        if P::SHARED {
            self.open_shared_trade();
            if stream {
                self.ask(Some(slot), Ask::OpenListenKey, Why::OpenKey, Purpose::Reconcile);
            }
        } else {
            if stream {
                let socket = self.open(Kind::Private, Some(slot));
                self.account_mut(slot).private = Some(socket);
            }
            if trade && Self::trades_by_socket(self.account(slot)) {
                let socket = self.open(Kind::Trade, Some(slot));
                self.account_mut(slot).trade = Some(socket);
            }
        }
        // What is held is looked at at once: a stream may be a while in coming.
        self.want_comparison(now, slot);
    }

    /// Whether an account's orders may go over a socket; else they go by HTTP.
    pub(super) fn trades_by_socket(account: &Account) -> bool {
        P::DEMO_TRADES || account.place.environment != Environment::Demo
    }

    /// Closes what an account has open.
    pub(super) fn disconnect(&mut self, slot: Slot) {
        let account = self.account_mut(slot);
        account.private_is_ready = false;
        let shared = P::SHARED;
        let sockets = [account.private.take(), account.trade.take()];
        account.listen_key.clear();
        for socket in sockets.into_iter().flatten() {
            if shared {
                self.leave_stream(socket, slot);
            } else {
                self.close(socket);
            }
        }
    }

    pub(super) fn open(&mut self, kind: Kind, slot: Option<Slot>) -> SocketId {
        let socket = SocketId(self.number());
        let never = Timestamp(0);
        let phase = Phase::Opening;
        self.sockets.insert(
            socket,
            Socket {
                kind,
                phase,
                slot,
                keys: Vec::new(),
                dialled_at: never,
                opened_at: never,
                heard_at: never,
                succeeds: Vec::new(),
            },
        );
        // Streams before order entry: without the latter orders go by HTTP.
        if kind == Kind::Private {
            self.unopened.push_front(socket);
        } else {
            self.unopened.push_back(socket);
        }
        socket
    }

    /// Until when no socket may be opened, for the exchange wants nothing from this address.
    pub(super) fn no_dials_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.pacer.stopped_until(now).filter(|_| !planted!("sockets_opened_while_banned"))
    }

    /// Opens the sockets that wait, as many as the exchange allows, and none while it wants nothing from this address: who goes
    /// on dialling is banned for longer (CASES.md R2).
    pub(super) fn open_sockets(&mut self, now: Timestamp) {
        if let Some(until) = self.no_dials_until(now) {
            if !self.unopened.is_empty() {
                self.queue.set(until, Timer::OpenSockets);
            }
            return;
        }
        let span = P::SOCKET_OPENS.1;
        while self.opened_at.front().is_some_and(|at| now.micros_since(*at) >= span) {
            self.opened_at.pop_front();
        }
        while self.opened_at.len() < self.opens_max
            && let Some(socket) = self.unopened.pop_front()
        {
            let Some(known) = self.sockets.get_mut(&socket) else { continue };
            known.dialled_at = now;
            let keys: Vec<&str> = known.keys.iter().map(|(key, _)| key.as_str()).collect();
            let (server, target) = match known.kind {
                Kind::Trade => (Server::Trade, P::TRADE_TARGET.to_owned()),
                Kind::Private => (Server::Private, P::private_target(&keys)),
            };
            self.opened_at.push_back(now);
            self.outgoing.push_back(Outgoing::Open { socket, server, target });
        }
        if let Some(first) = self.opened_at.front().filter(|_| !self.unopened.is_empty()) {
            self.queue.set(first.plus_micros(span), Timer::OpenSockets);
        }
    }

    pub(super) fn close(&mut self, socket: SocketId) {
        if let Some(known) = self.sockets.get_mut(&socket) {
            known.phase = Phase::Ending;
            if self.unopened.contains(&socket) {
                self.unopened.retain(|other| *other != socket);
                self.sockets.remove(&socket);
            } else {
                self.outgoing.push_back(Outgoing::Close { socket });
            }
        }
    }

    /// Opens the order entry that all accounts share, unless it is open or a pause is on.
    pub(super) fn open_shared_trade(&mut self) {
        if P::SHARED && self.shared_trade.is_none() && !self.trade_waits {
            self.shared_trade = Some(self.open(Kind::Trade, None));
        }
    }

    pub(super) fn reopen_later(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        if account.mending.is_mute {
            // With the next look that finds its questions answered.
            return;
        }
        let at = put_off(now, slot, &mut account.reopen_pause, account.stream_refused);
        account.stream_from = at;
        self.queue.set(at, Timer::Reopen(slot));
    }

    /// The same for its order entry.
    fn reopen_trade_later(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        if account.mending.is_mute {
            return;
        }
        let at = put_off(now, slot, &mut account.trade_pause, account.trade_refused);
        account.trade_from = at;
        self.queue.set(at, Timer::Reopen(slot));
    }

    /// An account's stream was refused to it. Whether that is the key's fault say its questions by HTTP.
    pub(super) fn stream_was_refused(&mut self, now: Timestamp, slot: Slot, failure: &Failure) {
        let account = self.account_mut(slot);
        if !std::mem::replace(&mut account.stream_refused, true) {
            let id = account.id;
            self.notice(Notice::SocketRefused(id, failure.text.clone()));
        }
        self.doubt_key(now, slot);
    }

    /// The same for its order entry: orders go by HTTP meanwhile.
    fn trade_was_refused(&mut self, now: Timestamp, slot: Slot, failure: &Failure) {
        let account = self.account_mut(slot);
        if !std::mem::replace(&mut account.trade_refused, true) {
            let id = account.id;
            self.notice(Notice::SocketRefused(id, failure.text.clone()));
        }
        self.doubt_key(now, slot);
    }

    /// What the key may do is asked for anew, and what is held.
    pub(super) fn doubt_key(&mut self, now: Timestamp, slot: Slot) {
        self.account_mut(slot).key_checked_at = None;
        self.want_comparison(now, slot);
    }

    /// A socket is open.
    pub fn socket_opened(&mut self, now: Timestamp, socket: SocketId) {
        if self.feed_opened(now, socket) {
            return;
        }
        let at = self.pacer.clock().now(now);
        let number = self.number().to_string();
        let Some(known) = self.sockets.get_mut(&socket) else { return };
        let credential = known.slot.and_then(|slot| self.accounts[slot.0 as usize].credential.as_ref());
        let login = match (known.kind, credential) {
            (Kind::Trade, Some(credential)) => P::trade_login(credential, &number, at).into_iter().collect(),
            (Kind::Private, Some(credential)) => P::private_login(credential, at),
            (_, None) => Vec::new(),
        };
        let waits = !login.is_empty();
        (known.opened_at, known.heard_at) = (now, now);
        known.phase = if waits { Phase::LoggingIn } else { Phase::Ready };
        for text in login {
            self.outgoing.push_back(Outgoing::Send { socket, text });
        }
        self.queue.set(now.plus_micros(SOCKET_AGE_MAX), Timer::Replace(socket));
        self.queue.set(now.plus_micros(HEARTBEAT_SPAN), Timer::Heartbeat(socket));
        let patience = if waits { LOGIN_SPAN } else { P::SILENCE_MAX };
        self.queue.set(now.plus_micros(patience), Timer::Watch(socket));
        if !waits {
            self.socket_is_ready(now, socket);
        }
    }

    fn socket_is_ready(&mut self, now: Timestamp, socket: SocketId) {
        let Some(known) = self.sockets.get_mut(&socket) else { return };
        known.phase = Phase::Ready;
        if known.kind != Kind::Private {
            if self.shared_trade == Some(socket) {
                self.trade_pause = 0;
            }
            if let Some(slot) = known.slot {
                let account = self.account_mut(slot);
                (account.trade_pause, account.trade_refused) = (0, false);
            }
            return;
        }
        let succeeds = std::mem::take(&mut known.succeeds);
        if !succeeds.is_empty() {
            self.take_over(&succeeds, socket);
        }
        for slot in self.slots_of(socket) {
            self.stream_begins(now, slot);
        }
    }

    /// A stream takes the accounts that are still on those before it, which end. What else it carries is its own already.
    fn take_over(&mut self, olds: &[SocketId], new: SocketId) {
        let there: Vec<Slot> = olds.iter().flat_map(|old| self.slots_of(*old)).collect();
        let Self { accounts, sockets, .. } = self;
        let mut moves = |slot: Slot| {
            let account = &mut accounts[slot.0 as usize];
            if there.contains(&slot) && account.private.is_some_and(|socket| olds.contains(&socket)) {
                account.private = Some(new);
            }
            account.private == Some(new)
        };
        if let Some(known) = sockets.get_mut(&new) {
            known.keys.retain(|(_, slot)| moves(*slot));
            known.slot = known.slot.filter(|slot| moves(*slot));
        }
        for old in olds {
            if let Some(known) = self.sockets.get_mut(old) {
                known.keys.clear();
                known.slot = None;
                self.close(*old);
            }
        }
        if self.slots_of(new).is_empty() {
            // They have got another stream meanwhile.
            self.close(new);
        }
    }

    /// From here on the stream tells; what happened before is asked for.
    fn stream_begins(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        account.private_is_ready = true;
        account.stream_since = now;
        (account.reopen_pause, account.stream_refused) = (0, false);
        account.funding_checked_at = None;
        if !planted!("gap_of_a_stream_not_compared") {
            self.want_comparison(now, slot);
        }
        self.go_on_all(now, slot);
    }

    /// A socket was not opened, in these words. A ban or a limit of the address concerns all that goes there, whoever is told of it:
    /// it may be long until something is asked that would be told the same.
    pub fn socket_refused(&mut self, now: Timestamp, socket: SocketId, reply: HttpReply<'_>) {
        let dialled_at = self
            .feed_dialled_at(socket)
            .or_else(|| self.sockets.get(&socket).map(|known| known.dialled_at))
            .unwrap_or(now);
        // A firewall that says nothing may stand before this server alone; orders go to another.
        let is_said = reply.status != 403 || String::from_utf8_lossy(reply.body).contains(TOO_FREQUENT);
        if is_said
            && !planted!("ban_told_at_a_dial_not_heard")
            && let Err(failure) = P::answer(&Ask::Time, reply)
        {
            self.pacer.told_at_a_dial(now, dialled_at, &failure.kind);
        }
        self.socket_closed(now, socket);
    }

    /// A socket has ended, or could not be opened.
    pub fn socket_closed(&mut self, now: Timestamp, socket: SocketId) {
        if self.feed_closed(now, socket) {
            return;
        }
        let Some(ended) = self.sockets.remove(&socket) else { return };
        let under_way: Vec<Tag> = self
            .in_flight
            .iter()
            .filter(|(_, flight)| flight.socket == Some(socket))
            .map(|(tag, _)| *tag)
            .collect();
        for tag in under_way {
            if let Some(flight) = self.in_flight.remove(&tag) {
                let unknown = Some(&crate::live::protocol::FailureKind::Unknown);
                self.pacer.answered(now, flight.pass, crate::live::protocol::Used::default(), unknown);
                self.settle(now, flight.job, Ended::NoAnswer);
            }
        }
        if self.shared_trade == Some(socket) {
            self.shared_trade = None;
            // New sockets are counted: one that does not come up must not use up what the streams need.
            self.trade_pause = (self.trade_pause * 2).clamp(500_000, REOPEN_PAUSE_MAX);
            if !self.trade_waits {
                self.trade_waits = true;
                self.queue.set(now.plus_micros(self.trade_pause), Timer::ReopenTrade);
            }
        }
        let slots: Vec<Slot> = ended.keys.iter().map(|(_, slot)| *slot).chain(ended.slot).collect();
        for slot in slots {
            let account = self.account_mut(slot);
            if account.trade == Some(socket) {
                account.trade = None;
            }
            // One that was to take another's place leaves that as it is.
            let counts = ended.kind == Kind::Trade || account.private == Some(socket);
            let wanted = account.credential.is_some() && counts;
            if account.private == Some(socket) {
                self.stream_gone(slot);
            }
            match ended.kind {
                Kind::Trade if wanted => self.reopen_trade_later(now, slot),
                Kind::Private if wanted => self.reopen_later(now, slot),
                _ => {}
            }
        }
    }

    /// A message came over a socket.
    pub fn socket_message(&mut self, now: Timestamp, socket: SocketId, text: &str) {
        if self.feed_message(now, socket, text) {
            return;
        }
        let Some(known) = self.sockets.get_mut(&socket) else { return };
        known.heard_at = now;
        match known.kind {
            Kind::Trade => self.trade_message_came(now, socket, text),
            Kind::Private => {
                let mut events = Vec::new();
                let read = P::private_read(text, &mut |key, event| events.push((key.to_owned(), event)));
                if let Err(error) = read {
                    self.metrics.unreadable += 1;
                    self.notice(Notice::Unreadable(error.0));
                    // What it said is asked for: an event that cannot be read is a gap.
                    let slots: Vec<Slot> = self.slots_of(socket);
                    for slot in slots {
                        self.want_comparison(now, slot);
                    }
                }
                for (key, event) in events {
                    self.event(now, socket, &key, event);
                }
            }
        }
    }

    pub(super) fn slots_of(&self, socket: SocketId) -> Vec<Slot> {
        self.sockets
            .get(&socket)
            .map(|s| s.keys.iter().map(|(_, slot)| *slot).chain(s.slot).collect())
            .unwrap_or_default()
    }

    fn trade_message_came(&mut self, now: Timestamp, socket: SocketId, text: &str) {
        let flights = &self.in_flight;
        let ask = |id: &str| {
            let tag = Tag(id.parse().ok()?);
            flights.get(&tag).map(|flight| &flight.job.ask)
        };
        match P::trade_read(text, &ask) {
            Ok(TradeMessage::Reply(reply)) => self.trade_replied(now, reply, None),
            Ok(TradeMessage::LastReply(reply)) => self.trade_replied(now, reply, Some(socket)),
            Ok(TradeMessage::Event(event)) => self.event(now, socket, "", event),
            Err(error) => {
                self.metrics.unreadable += 1;
                self.notice(Notice::Unreadable(error.0));
            }
        }
    }

    /// An answer over a trade socket; `last`: the socket takes no more requests.
    fn trade_replied(&mut self, now: Timestamp, reply: TradeReply, last: Option<SocketId>) {
        if let Some(socket) = last {
            self.retire(now, socket);
        }
        let Some(tag) = reply.request_id.parse().ok().map(Tag) else { return };
        let Some(flight) = self.in_flight.remove(&tag) else { return };
        self.note_use(now, flight.pass, reply.used, reply.result.as_ref().err());
        self.settle(now, flight.job, Ended::Answered(reply.result));
    }

    /// Nothing new goes over a socket; it is closed when what is under way has its answers.
    fn retire(&mut self, now: Timestamp, socket: SocketId) {
        if let Some(known) = self.sockets.get_mut(&socket).filter(|s| s.phase != Phase::Ending) {
            known.phase = Phase::Retiring;
            self.queue.set(now, Timer::Replace(socket));
        }
    }

    fn event(&mut self, now: Timestamp, socket: SocketId, key: &str, event: StreamEvent) {
        let Some(known) = self.sockets.get(&socket) else { return };
        let slot = known.slot.or_else(|| {
            known
                .keys
                .iter()
                .find(|(of, _)| of == key || planted!("event_taken_for_another_accounts"))
                .map(|(_, slot)| *slot)
                .or({
                    // A connection with one key need not name it.
                    if key.is_empty() && known.keys.len() == 1 { Some(known.keys[0].1) } else { None }
                })
        });
        if let Some(slot) = slot.filter(|_| known.kind == Kind::Private) {
            self.stream_told(now, slot, &event);
        }
        let Some(known) = self.sockets.get(&socket) else { return };
        match event {
            StreamEvent::Ready => {
                if known.phase == Phase::LoggingIn {
                    self.socket_is_ready(now, socket);
                }
            }
            StreamEvent::Refused(failure) => {
                if let Some(slot) = slot {
                    let is_trade = known.kind == Kind::Trade;
                    if failure.kind == crate::live::protocol::FailureKind::UserMustAct {
                        if is_trade {
                            self.trade_was_refused(now, slot, &failure);
                        } else {
                            self.stream_was_refused(now, slot, &failure);
                        }
                        if planted!("refused_log_in_silences_the_account") {
                            self.account_mut(slot).mending.mute();
                            self.look_again_later(now, slot);
                        }
                    }
                    self.close(socket);
                }
            }
            StreamEvent::Reconnect => self.retire(now, socket),
            StreamEvent::Pong | StreamEvent::Mark(_) | StreamEvent::Trade(_) => {}
            StreamEvent::ListenKeyExpired => {
                if let Some(slot) = slot {
                    self.account_mut(slot).listen_key.clear();
                    self.stream_gone(slot);
                    self.leave_stream(socket, slot);
                    self.ask(Some(slot), Ask::OpenListenKey, Why::OpenKey, Purpose::Reconcile);
                }
            }
            StreamEvent::Order(view) => {
                let Some(slot) = slot else { return };
                match self.account(slot).find(&view.client_id, &view.venue_id) {
                    Some(id) if self.account(slot).orders.get(&id).is_some_and(|o| o.attached) => {
                        if self.trigger_told(now, slot, &view).is_some() {
                            self.absorb(now, slot, id, &view, false);
                        }
                    }
                    Some(id) => {
                        self.streamed(slot, id);
                        self.absorb(now, slot, id, &view, false);
                        self.look_at_orphans(now, slot);
                    }
                    None => {
                        if let Some(id) = self.trigger_told(now, slot, &view) {
                            self.absorb(now, slot, id, &view, false);
                            self.look_at_orphans(now, slot);
                        }
                    }
                }
            }
            StreamEvent::Execution(execution) => {
                if let Some(slot) = slot {
                    self.execution_told(now, slot, *execution);
                }
            }
            StreamEvent::Funding(funding) => {
                if let Some(slot) = slot {
                    self.funding_told(slot, &funding);
                }
            }
            StreamEvent::Position(position) => {
                if let Some(slot) = slot {
                    self.position_told(now, slot, position);
                }
            }
            StreamEvent::Balance(_) => {
                if let Some(slot) = slot {
                    // Only a comparison with nothing under way is believed; the next one looks.
                    self.account_mut(slot).wallet_told = None;
                }
            }
            StreamEvent::Leverage { symbol, leverage } => {
                if let Some(slot) = slot {
                    self.account_mut(slot).setups.entry(symbol).or_default().leverage = leverage;
                }
            }
        }
    }

    pub(super) fn heartbeat(&mut self, now: Timestamp, socket: SocketId) {
        let number = self.number().to_string();
        if self.sockets.contains_key(&socket) {
            if let Some(text) = P::heartbeat(&number) {
                self.outgoing.push_back(Outgoing::Send { socket, text });
            }
            self.queue.set(now.plus_micros(HEARTBEAT_SPAN), Timer::Heartbeat(socket));
        }
    }

    /// Before the exchange ends a socket by itself, it is ended: order entry in a quiet moment, a private stream when another
    /// tells in its place. If that does not come, the comparison fills the gap.
    pub(super) fn replace(&mut self, now: Timestamp, socket: SocketId) {
        if let Some(known) = self.sockets.get_mut(&socket).filter(|s| s.phase == Phase::Ready) {
            known.phase = Phase::Retiring;
            if known.kind == Kind::Private && !planted!("stream_replaced_with_a_gap") {
                let (slot, keys) = (known.slot, known.keys.clone());
                let next = self.open(Kind::Private, slot);
                if let Some(known) = self.sockets.get_mut(&next) {
                    known.keys = keys;
                    known.succeeds = vec![socket];
                }
                self.queue.set(now.plus_micros(SUCCESSOR_SPAN), Timer::Replace(socket));
                return;
            }
        }
        let busy = self.in_flight.values().any(|flight| flight.socket == Some(socket));
        if busy {
            self.queue.set(now.plus_micros(1_000_000), Timer::Replace(socket));
        } else {
            self.close(socket);
        }
    }
}
