//! Where mark prices come from: a public stream, and the exchange's list beside it whenever the stream does not tell.
//!
//! **Owns**: the public sockets of a connector, and its seat at the [`MarkBoard`] that all connectors to the same market share.
//! **Invariants**: only the connector whose turn it is subscribes and asks: the market costs the exchange the same with one
//! shard as with many. While the stream is silent, broken or not there yet, the list is asked for every [`MARKS_SPAN`]. A
//! stream that is open and says nothing is closed and opened anew (Binance tells nothing, and no error, on a path that a
//! stream does not belong to). An event that is ahead of the exchange's own clock is not taken. A connector that cannot get
//! any price gives its turn to another, whose address may still be served.
//! **Bounds**: [`FEED_SOCKETS_MAX`] sockets; one list is asked for at a time.

use engine::core::fixed::Price;
use engine::core::ids::Timestamp;
use engine::core::instrument::{InstrumentStatus, Symbol};

use super::limits::{
    DOUBT_SPAN, FEED_AHEAD_MAX, FEED_FRUITLESS_SPAN, FEED_LOOK, FEED_SOCKETS_MAX, HEARTBEAT_SPAN,
    LIST_LAG_MS, MARKS_SPAN, MARKS_SWEEP_SPAN, PUBLIC_RETRY, REOPEN_PAUSE_MAX, SOCKET_AGE_MAX,
    STREAM_SILENT_SPAN,
};
use super::outgoing::{Outgoing, Server, SocketId};
use super::placing::Ended;
use super::queue::{PublicStep, Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::marks::{Mark, MarkBoard, Seat, Taken};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, MarkView, StreamEvent, Topic};

/// Where a public socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Ending,
}

/// A public socket.
#[derive(Debug)]
struct FeedSocket {
    id: SocketId,
    phase: Phase,
    /// What it tells of; empty: everything.
    symbols: Vec<Symbol>,
    /// Since when it is open; before that, when it was dialled.
    opened_at: Timestamp,
    /// Of when the newest mark is that it told.
    heard_at: Option<Timestamp>,
    /// When a sign of life was sent last.
    beat_at: Timestamp,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Feed {
    seat: Seat,
    /// Since when it is this connector's turn.
    since: Option<Timestamp>,
    /// Until then it leaves the turn to others.
    rests_until: Timestamp,
    sockets: Vec<FeedSocket>,
    /// The pause before a socket is opened again; zero while they tell.
    pause: u64,
    reopen_at: Timestamp,
    /// When the list was asked for last, and whether that is not answered yet.
    asked_at: Option<Timestamp>,
    is_asking: bool,
    /// Not asked for again before this: it failed.
    ask_after: Timestamp,
    /// When an event last made the exchange's clock doubtful.
    doubted_at: Option<Timestamp>,
    /// Whether there may be symbols that no socket tells of.
    is_short: bool,
    events: Vec<StreamEvent>,
}

impl Feed {
    pub(super) fn new(seat: Seat) -> Self {
        Self {
            seat,
            since: None,
            rests_until: Timestamp(0),
            sockets: Vec::new(),
            pause: 0,
            reopen_at: Timestamp(0),
            asked_at: None,
            is_asking: false,
            ask_after: Timestamp(0),
            doubted_at: None,
            is_short: true,
            events: Vec::new(),
        }
    }

    fn of(&mut self, id: SocketId) -> Option<&mut FeedSocket> {
        self.sockets.iter_mut().find(|socket| socket.id == id)
    }

    /// Whether every socket tells.
    fn is_told(&self, now: Timestamp) -> bool {
        let tells = |socket: &FeedSocket| {
            let heard = socket.heard_at.is_some_and(|at| now.micros_since(at) <= STREAM_SILENT_SPAN);
            socket.phase == Phase::Open && heard
        };
        !self.is_short && !self.sockets.is_empty() && self.sockets.iter().all(tells)
    }

    /// What is listed has changed.
    pub(super) const fn list_changed(&mut self) {
        self.is_short = true;
    }

    fn is_subscribed(&self, symbol: Symbol) -> bool {
        self.sockets.iter().any(|socket| socket.phase != Phase::Ending && socket.symbols.contains(&symbol))
    }
}

/// How a connector's prices stand, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkFigures {
    /// Public sockets of this connector that tell.
    pub streams: u64,
    /// Age of the newest mark of the market, whoever feeds it, in milliseconds; zero before the first.
    pub newest_age_ms: u64,
    /// Age of the oldest mark among the symbols that trade, likewise.
    pub oldest_age_ms: u64,
    /// Symbols that trade and have no mark that may be used: no entry goes to them.
    pub unusable: u64,
}

impl<P: Shape> Connector<P> {
    /// Looks at the feed again and again.
    pub(super) fn feed_due(&mut self, now: Timestamp) {
        self.queue.set(now.plus_micros(FEED_LOOK), Timer::Feed);
        let is_mine = now >= self.feed.rests_until && self.marks.take_turn(self.feed.seat, now);
        if !is_mine {
            if self.feed.since.take().is_some() {
                self.close_feed();
            }
            return;
        }
        let since = *self.feed.since.get_or_insert(now);
        self.look_at_feed_sockets(now);
        self.open_feed(now);
        self.ask_for_marks(now);
        let newest = self.marks.newest().unwrap_or(Timestamp(0)).max(since);
        if now.micros_since(newest) >= FEED_FRUITLESS_SPAN && self.marks.seats() > 1 {
            self.marks.leave(self.feed.seat);
            self.feed.since = None;
            self.feed.rests_until = now.plus_micros(4 * FEED_LOOK);
            self.close_feed();
        }
    }

    fn close_feed(&mut self) {
        for socket in &mut self.feed.sockets {
            if socket.phase != Phase::Ending {
                socket.phase = Phase::Ending;
                self.outgoing.push_back(Outgoing::Close { socket: socket.id });
            }
        }
    }

    /// Closes what is silent or old, and sends signs of life.
    fn look_at_feed_sockets(&mut self, now: Timestamp) {
        let number = self.number().to_string();
        for socket in self.feed.sockets.iter_mut().filter(|socket| socket.phase == Phase::Open) {
            let heard = socket.heard_at.unwrap_or(socket.opened_at);
            let is_dead = now.micros_since(heard) >= P::MARKS_SILENCE_MAX;
            if is_dead || now.micros_since(socket.opened_at) >= SOCKET_AGE_MAX {
                socket.phase = Phase::Ending;
                self.metrics.gaps += u64::from(is_dead);
                self.outgoing.push_back(Outgoing::Close { socket: socket.id });
            } else if now.micros_since(socket.beat_at) >= HEARTBEAT_SPAN
                && let Some(text) = P::heartbeat(&number)
            {
                socket.beat_at = now;
                self.outgoing.push_back(Outgoing::Send { socket: socket.id, text });
            }
        }
    }

    /// Opens what is not told of yet.
    fn open_feed(&mut self, now: Timestamp) {
        if let Some(until) = self.no_dials_until(now) {
            self.feed.reopen_at = self.feed.reopen_at.max(until);
        }
        let full = self.feed.sockets.len() >= FEED_SOCKETS_MAX;
        if !self.feed.is_short || now < self.feed.reopen_at || full {
            return;
        }
        let missing: Vec<Symbol> = if P::MARKS_ARE_WHOLE {
            Vec::new()
        } else {
            let takes = |status| status != InstrumentStatus::Halted;
            let listed = self.instruments.iter().filter(|i| takes(i.status)).map(|i| i.symbol);
            listed.filter(|symbol| !self.feed.is_subscribed(*symbol)).collect()
        };
        let is_there = self.feed.sockets.iter().any(|socket| socket.phase != Phase::Ending);
        let is_wanted = if P::MARKS_ARE_WHOLE { !is_there } else { !missing.is_empty() };
        if !is_wanted {
            self.feed.is_short = false;
            return;
        }
        let id = SocketId(self.number());
        let symbols = missing[..missing.len().min(P::MARKS_PER_SOCKET)].to_vec();
        self.feed.sockets.push(FeedSocket {
            id,
            phase: Phase::Opening,
            symbols,
            opened_at: now,
            heard_at: None,
            beat_at: now,
        });
        // Exchanges count new sockets. These are few, and a fifth of what may be opened is left for them.
        self.opened_at.push_back(now);
        let target = P::MARKS_TARGET.to_owned();
        self.outgoing.push_back(Outgoing::Open { socket: id, server: Server::Public, target });
    }

    /// Asks for the list, if the stream does not tell, or does not tell everything.
    fn ask_for_marks(&mut self, now: Timestamp) {
        let span = match (self.feed.is_told(now), P::MARKS_ARE_WHOLE) {
            (true, true) => return,
            (true, false) => MARKS_SWEEP_SPAN,
            (false, _) => MARKS_SPAN,
        };
        let is_due = self.feed.asked_at.is_none_or(|at| now.micros_since(at) >= span);
        if is_due && !self.feed.is_asking && now >= self.feed.ask_after {
            self.feed.asked_at = Some(now);
            self.feed.is_asking = true;
            self.ask(None, Ask::Marks, Why::Public(PublicStep::Marks), Purpose::Reconcile);
        }
    }

    /// What came of it.
    pub(super) fn marks_listed(&mut self, now: Timestamp, end: Ended) {
        self.feed.is_asking = false;
        match end {
            Ended::Answered(Ok(Answer::Marks(rows))) => {
                for row in &rows {
                    let taken = self.marked(now, row, LIST_LAG_MS);
                    self.metrics.marks_listed += u64::from(taken.is_some());
                }
            }
            _ => {
                self.feed.asked_at = None;
                self.feed.ask_after = now.plus_micros(PUBLIC_RETRY);
            }
        }
    }

    /// Offers a mark to the board. When it was told, on this host's clock; `None`: it was not taken.
    fn marked(&mut self, now: Timestamp, view: &MarkView, newer_by: u64) -> Option<Timestamp> {
        let clock = self.pacer.clock();
        let is_known = clock.view().uncertain_micros.is_some();
        let venue = clock.venue_micros(now);
        let at = view.at.0.saturating_mul(1_000);
        if is_known && at > venue.saturating_add(FEED_AHEAD_MAX) {
            self.doubt_clock(now);
            return None;
        }
        let behind = if is_known { venue.saturating_sub(at) } else { 0 };
        if newer_by == 0 && behind > FEED_AHEAD_MAX {
            self.doubt_clock(now);
        }
        let told_at = Timestamp(now.0.saturating_sub(behind));
        (self.marks.offer(now, view, told_at, newer_by) == Taken::Yes).then_some(told_at)
    }

    /// An event does not fit the exchange's clock: the event, or what we think of the clock, is wrong.
    fn doubt_clock(&mut self, now: Timestamp) {
        if self.feed.doubted_at.is_none_or(|at| now.micros_since(at) >= DOUBT_SPAN) {
            self.feed.doubted_at = Some(now);
            self.queue.set(now, Timer::Public(PublicStep::Clock));
        }
    }

    /// A socket is open; whether it is the feed's.
    pub(super) fn feed_opened(&mut self, now: Timestamp, id: SocketId) -> bool {
        let Some(socket) = self.feed.of(id) else { return false };
        if socket.phase == Phase::Opening {
            socket.phase = Phase::Open;
            socket.opened_at = now;
            socket.beat_at = now;
            let topics: Vec<Topic> = socket.symbols.iter().copied().map(Topic::Mark).collect();
            for text in P::public_subscribe(&topics) {
                self.outgoing.push_back(Outgoing::Send { socket: id, text });
            }
        }
        true
    }

    /// When a socket of the feed that is not open yet was dialled.
    pub(super) fn feed_dialled_at(&self, id: SocketId) -> Option<Timestamp> {
        let opening = |socket: &&FeedSocket| socket.id == id && socket.phase == Phase::Opening;
        self.feed.sockets.iter().find(opening).map(|socket| socket.opened_at)
    }

    /// A socket has ended; whether it was the feed's.
    pub(super) fn feed_closed(&mut self, now: Timestamp, id: SocketId) -> bool {
        let Some(place) = self.feed.sockets.iter().position(|socket| socket.id == id) else { return false };
        self.feed.sockets.swap_remove(place);
        self.feed.is_short = true;
        self.feed.pause = (self.feed.pause * 2).clamp(500_000, REOPEN_PAUSE_MAX);
        self.feed.reopen_at = now.plus_micros(self.feed.pause);
        // The list takes over at once.
        self.queue.set(now, Timer::Feed);
        true
    }

    /// A message came; whether it was for the feed.
    pub(super) fn feed_message(&mut self, now: Timestamp, id: SocketId, text: &str) -> bool {
        if self.feed.of(id).is_none() {
            return false;
        }
        let mut events = std::mem::take(&mut self.feed.events);
        if let Err(error) = P::public_read(text, &mut |event| events.push(event)) {
            self.metrics.unreadable += 1;
            self.notice(Notice::Unreadable(error.0));
        }
        let mut heard = None;
        for event in events.drain(..) {
            match event {
                StreamEvent::Mark(view) => match self.marked(now, &view, 0) {
                    Some(told_at) => {
                        heard = heard.max(Some(told_at));
                        self.metrics.marks_streamed += 1;
                    }
                    // It tells, but of what is past: that is as good as silence.
                    None => self.metrics.marks_refused += 1,
                },
                StreamEvent::Reconnect => {
                    if let Some(socket) = self.feed.of(id).filter(|socket| socket.phase != Phase::Ending) {
                        socket.phase = Phase::Ending;
                        self.outgoing.push_back(Outgoing::Close { socket: id });
                    }
                }
                // A refused subscription is silence, which is seen; its words say why.
                StreamEvent::Refused(failure) => self.notice(Notice::Unreadable(failure.to_string())),
                _ => {}
            }
        }
        self.feed.events = events;
        if heard.is_some() {
            self.feed.pause = 0;
            if let Some(socket) = self.feed.of(id) {
                socket.heard_at = socket.heard_at.max(heard);
            }
        }
        true
    }

    /// The newest mark price, unless it is too old to be used.
    #[must_use]
    pub fn mark(&self, now: Timestamp, symbol: Symbol) -> Option<Price> {
        self.marks.get(symbol).filter(|mark| mark.is_usable(now)).map(|mark| mark.price)
    }

    /// The newest mark price with its time, however old.
    #[must_use]
    pub fn mark_held(&self, symbol: Symbol) -> Option<Mark> {
        self.marks.get(symbol)
    }

    /// Shares the marks of this board, in place of a board of its own; before the connector's first turn.
    #[must_use]
    pub fn with_marks(mut self, marks: std::sync::Arc<MarkBoard>) -> Self {
        self.feed = Feed::new(marks.join());
        self.marks = marks;
        self
    }

    /// How the prices stand.
    #[must_use]
    pub fn mark_figures(&self, now: Timestamp) -> MarkFigures {
        let mut figures = MarkFigures {
            streams: self
                .feed
                .sockets
                .iter()
                .filter(|s| s.heard_at.is_some_and(|at| now.micros_since(at) <= STREAM_SILENT_SPAN))
                .count() as u64,
            newest_age_ms: self.marks.newest().map_or(0, |at| now.micros_since(at) / 1_000),
            ..MarkFigures::default()
        };
        for instrument in self.instruments.iter().filter(|i| i.status != InstrumentStatus::Halted) {
            let mark = self.marks.get(instrument.symbol);
            let age = mark.map_or(0, |mark| now.micros_since(mark.told_at) / 1_000);
            figures.oldest_age_ms = figures.oldest_age_ms.max(age);
            figures.unusable += u64::from(!mark.is_some_and(|mark| mark.is_usable(now)));
        }
        figures
    }
}
