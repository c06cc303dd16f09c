//! A network in memory: the same seam for tests and for the deterministic simulator.
//!
//! **Runs on**: one thread. [`MemoryWire`] is the server's end, [`MemoryNetwork`] the other end of every connection.
//! **Invariants**: without randomness of its own: the same calls give the same events (pieces follow [`Pieces`]). Bounds,
//! time-outs, pausing, half close and ids behave as with the real network.
//! **Bounds**: [`WireConfig`] for the server's end; the tester's end holds what the tester writes and does not read.
//! **Never** touches the operating system: [`Wire::descriptor`] is -1.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use super::inbox::Inbox;
use super::stream::Wishes;
use super::timing::Timing;
use super::{CloseReason, ConnId, SendError, Stream, Wire, WireConfig, WireEvents, WireMetrics};

/// How many bytes of a connection one poll delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// All that were written.
    Whole,
    /// At most this many (at least one).
    Fixed(usize),
    /// From one to `max`, drawn from a sequence that `seed` determines.
    Seeded {
        /// Start of the sequence.
        seed: u64,
        /// The largest piece.
        max: usize,
    },
}

/// The far end of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

/// A connection as the far end sees it.
struct Link {
    address: SocketAddr,
    to_server: VecDeque<u8>,
    to_peer: Vec<u8>,
    /// How much the server may have sent and the peer not read: its socket buffers.
    window_bytes: usize,
    ended: bool,
    reset: bool,
    closed: bool,
    conn: Option<ConnId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Free,
    Open,
    Flushing,
}

struct Slot {
    generation: u32,
    phase: Phase,
    peer: PeerId,
    inbox: Inbox,
    pending: Vec<u8>,
    paused: bool,
    ready: bool,
    ended: bool,
    ended_told: bool,
    wait_for: usize,
    timing: Timing,
}

struct State {
    config: WireConfig,
    pieces: Pieces,
    draws: u64,
    links: BTreeMap<PeerId, Link>,
    next_peer: u64,
    waiting: VecDeque<PeerId>,
    accepting: bool,
    slots: Vec<Slot>,
    free: Vec<u32>,
    gone: VecDeque<(ConnId, CloseReason)>,
    metrics: WireMetrics,
    now_ns: u64,
}

/// The server's end.
pub struct MemoryWire {
    state: Rc<RefCell<State>>,
    /// A buffer lent out by [`Wire::output`], with its owner; returned at the next call.
    lent: Option<(ConnId, Vec<u8>)>,
}

/// The other end of all connections. Clones are handles to the same network.
#[derive(Clone)]
pub struct MemoryNetwork {
    state: Rc<RefCell<State>>,
}

/// A network and its server end.
///
/// # Panics
/// When `config` is inconsistent or `pieces` is of size zero.
#[must_use]
pub fn network(config: WireConfig, pieces: Pieces) -> (MemoryWire, MemoryNetwork) {
    config.check();
    let draws = match pieces {
        Pieces::Whole => 0,
        Pieces::Fixed(max) => {
            assert!(max > 0, "a piece has at least a byte");
            0
        }
        Pieces::Seeded { seed, max } => {
            assert!(max > 0, "a piece has at least a byte");
            seed
        }
    };
    let state = Rc::new(RefCell::new(State {
        config,
        pieces,
        draws,
        links: BTreeMap::new(),
        next_peer: 0,
        waiting: VecDeque::new(),
        accepting: true,
        slots: Vec::new(),
        free: Vec::new(),
        gone: VecDeque::new(),
        metrics: WireMetrics::default(),
        now_ns: 0,
    }));
    (MemoryWire { state: Rc::clone(&state), lent: None }, MemoryNetwork { state })
}

impl MemoryNetwork {
    fn with_link<R: Default>(&self, peer: PeerId, act: impl FnOnce(&mut Link) -> R) -> R {
        self.state.borrow_mut().links.get_mut(&peer).map(act).unwrap_or_default()
    }

    /// Opens a connection; the server accepts it at its next poll.
    #[must_use]
    pub fn connect(&self, address: SocketAddr) -> PeerId {
        let mut state = self.state.borrow_mut();
        let peer = PeerId(state.next_peer);
        state.next_peer += 1;
        let closed = !state.accepting;
        let link = Link {
            address,
            to_server: VecDeque::new(),
            to_peer: Vec::new(),
            window_bytes: usize::MAX,
            ended: false,
            reset: false,
            closed,
            conn: None,
        };
        state.links.insert(peer, link);
        if !closed {
            state.waiting.push_back(peer);
        }
        peer
    }

    /// Sends bytes to the server.
    pub fn write(&self, peer: PeerId, bytes: &[u8]) {
        self.with_link(peer, |link| link.to_server.extend(bytes));
    }

    /// Takes what the server sent.
    #[must_use]
    pub fn read(&self, peer: PeerId) -> Vec<u8> {
        self.with_link(peer, |link| std::mem::take(&mut link.to_peer))
    }

    /// Ends the peer's direction, after what was written.
    pub fn end(&self, peer: PeerId) {
        self.with_link(peer, |link| link.ended = true);
    }

    /// Resets the connection: what was written and not delivered is lost.
    pub fn reset(&self, peer: PeerId) {
        self.with_link(peer, |link| {
            link.reset = true;
            link.to_server.clear();
        });
    }

    /// Whether the server has closed the connection (or never took it).
    #[must_use]
    pub fn is_closed(&self, peer: PeerId) -> bool {
        self.with_link(peer, |link| link.closed)
    }

    /// How many unread bytes the peer takes before it blocks the server.
    pub fn set_window(&self, peer: PeerId, bytes: usize) {
        self.with_link(peer, |link| link.window_bytes = bytes);
    }

    /// The server's id of this connection, once it was accepted.
    #[must_use]
    pub fn conn(&self, peer: PeerId) -> Option<ConnId> {
        self.with_link(peer, |link| link.conn)
    }

    /// Drops the peer's end and all it holds; a connection that is still open is reset.
    pub fn forget(&self, peer: PeerId) {
        let mut state = self.state.borrow_mut();
        state.waiting.retain(|&waiting| waiting != peer);
        state.links.remove(&peer);
    }
}

impl State {
    fn open_slot(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(conn.index())?;
        (slot.generation == conn.generation && slot.phase == Phase::Open).then_some(slot)
    }

    fn piece_bytes(&mut self) -> usize {
        match self.pieces {
            Pieces::Whole => usize::MAX,
            Pieces::Fixed(bytes) => bytes,
            Pieces::Seeded { max, .. } => {
                // SplitMix64: every seed gives a full-length sequence, zero included.
                self.draws = self.draws.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut mixed = self.draws;
                mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
                1 + usize::try_from((mixed ^ mixed >> 31) % max as u64).expect("below max, a usize")
            }
        }
    }

    fn accept(&mut self, peer: PeerId) -> Option<(ConnId, SocketAddr)> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok();
                let Some(index) = index.filter(|&index| index < self.config.connections_max) else {
                    self.metrics.refused_full += 1;
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.closed = true;
                    }
                    return None;
                };
                self.slots.push(Slot::free(0));
                index
            }
        };
        let Some(link) = self.links.get_mut(&peer) else {
            self.free.push(index);
            return None;
        };
        self.metrics.accepted += 1;
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Open;
        slot.peer = peer;
        slot.timing.active_ns = self.now_ns;
        let conn = ConnId::new(index, slot.generation);
        link.conn = Some(conn);
        Some((conn, link.address))
    }

    /// Moves queued output to the peer, and closes what has nothing left to send.
    fn flush(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.phase == Phase::Free {
            return;
        }
        if slot.pending.len() > self.config.output_bytes_max {
            return self.end(index, CloseReason::SlowReader);
        }
        let Some(link) = self.links.get_mut(&slot.peer).filter(|link| !link.reset) else {
            return self.end(index, CloseReason::PeerReset);
        };
        let room = link.window_bytes.saturating_sub(link.to_peer.len()).min(slot.pending.len());
        if room > 0 {
            link.to_peer.extend(slot.pending.drain(..room));
            self.metrics.sends += 1;
            self.metrics.bytes_out += room as u64;
            self.metrics.partial_sends += u64::from(!slot.pending.is_empty());
            slot.timing.active_ns = self.now_ns;
            slot.timing.sending_since_ns = None;
        }
        if slot.pending.is_empty() {
            if slot.phase == Phase::Flushing {
                self.end(index, CloseReason::Local);
            }
        } else if slot.timing.sending_since_ns.is_none() {
            slot.timing.sending_since_ns = Some(self.now_ns);
        }
    }

    fn end(&mut self, index: u32, reason: CloseReason) {
        let slot = &mut self.slots[index as usize];
        if slot.phase == Phase::Free {
            return;
        }
        self.gone.push_back((ConnId::new(index, slot.generation), reason));
        self.metrics.count_close(reason);
        if let Some(link) = self.links.get_mut(&slot.peer) {
            link.closed = true;
        }
        *slot = Slot::free(slot.generation.wrapping_add(1));
        self.free.push(index);
    }

    /// Takes in what arrived for a connection; true when it is to be delivered now.
    fn receive(&mut self, index: u32) -> bool {
        let piece_bytes = self.piece_bytes();
        let slot = &mut self.slots[index as usize];
        if slot.phase != Phase::Open || slot.paused {
            return false;
        }
        let Some(link) = self.links.get_mut(&slot.peer) else { return false };
        let count = link.to_server.len().min(piece_bytes);
        if count > 0 {
            let piece: Vec<u8> = link.to_server.drain(..count).collect();
            slot.inbox.append(&piece);
            slot.timing.active_ns = self.now_ns;
            self.metrics.bytes_in += count as u64;
        }
        let ends = link.ended && link.to_server.is_empty() && !slot.ended_told;
        slot.ended |= ends;
        let ready = std::mem::take(&mut slot.ready) && !slot.inbox.is_empty();
        if count > 0 && slot.inbox.len() < slot.wait_for && !ends {
            slot.timing.delivered(self.now_ns, 0, slot.inbox.len(), false);
            return ready;
        }
        count > 0 || ends || ready
    }

    fn follow(&mut self, index: u32, wishes: Wishes) {
        let slot = &mut self.slots[index as usize];
        let rest = slot.inbox.len();
        slot.wait_for = wishes.wait_for.min(self.config.input_bytes_max);
        slot.paused = wishes.pause;
        if wishes.pause && slot.ended && rest > 0 {
            slot.ended_told = false;
        }
        slot.timing.delivered(self.now_ns, wishes.consumed, rest, wishes.pause);
        if wishes.close {
            slot.phase = Phase::Flushing;
        } else if rest >= self.config.input_bytes_max && !wishes.pause {
            self.end(index, CloseReason::InputOverflow);
        }
    }
}

impl Slot {
    fn free(generation: u32) -> Self {
        Self {
            generation,
            phase: Phase::Free,
            peer: PeerId(u64::MAX),
            inbox: Inbox::default(),
            pending: Vec::new(),
            paused: false,
            ready: false,
            ended: false,
            ended_told: false,
            wait_for: 0,
            timing: Timing::default(),
        }
    }
}

impl MemoryWire {
    /// Puts a lent buffer back into its connection.
    fn settle(&mut self) {
        if let Some((conn, bytes)) = self.lent.take() {
            let mut state = self.state.borrow_mut();
            if let Some(slot) = state.open_slot(conn) {
                slot.pending = bytes;
            }
        }
    }

    /// Delivers without holding the state, so that a consumer may use its [`MemoryNetwork`] meanwhile.
    fn deliver(&mut self, index: u32, events: &mut impl WireEvents) {
        let (conn, mut inbox, mut pending, ended) = {
            let mut state = self.state.borrow_mut();
            let slot = &mut state.slots[index as usize];
            slot.ended_told |= slot.ended;
            let conn = ConnId::new(index, slot.generation);
            (conn, std::mem::take(&mut slot.inbox), std::mem::take(&mut slot.pending), slot.ended)
        };
        let mut stream = Stream::new(inbox.as_slice(), &mut pending, ended);
        events.received(conn, &mut stream);
        let wishes = stream.into_wishes();
        inbox.consume(wishes.consumed);
        let mut state = self.state.borrow_mut();
        let slot = &mut state.slots[index as usize];
        slot.inbox = inbox;
        slot.pending = pending;
        state.follow(index, wishes);
    }
}

impl Wire for MemoryWire {
    fn poll(&mut self, now_ns: u64, events: &mut impl WireEvents) -> io::Result<usize> {
        self.settle();
        let slots = {
            let mut state = self.state.borrow_mut();
            state.now_ns = now_ns;
            let slots = u32::try_from(state.slots.len()).expect("slots are at most connections_max, a u32");
            for index in 0..slots {
                let config = state.config;
                let slot = &state.slots[index as usize];
                let due = if slot.phase == Phase::Free { None } else { slot.timing.due(now_ns, &config) };
                match due {
                    Some(reason) => state.end(index, reason),
                    None => state.flush(index),
                }
            }
            slots
        };
        let mut handled = 0;
        for index in 0..slots {
            if self.state.borrow_mut().receive(index) {
                handled += 1;
                self.deliver(index, events);
            }
        }
        while handled < self.state.borrow().config.completions_per_poll {
            let Some(peer) = self.state.borrow_mut().waiting.pop_front() else { break };
            handled += 1;
            let accepted = self.state.borrow_mut().accept(peer);
            if let Some((conn, address)) = accepted {
                events.accepted(conn, address);
            }
        }
        loop {
            let Some((conn, reason)) = self.state.borrow_mut().gone.pop_front() else { break };
            events.closed(conn, reason);
        }
        Ok(handled)
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        self.settle();
        let mut state = self.state.borrow_mut();
        let max = state.config.output_bytes_max;
        let slot = state.open_slot(conn).ok_or(SendError::Gone)?;
        if slot.pending.len() + bytes.len() > max {
            state.end(conn.index, CloseReason::SlowReader);
            return Err(SendError::Overflow);
        }
        slot.pending.extend_from_slice(bytes);
        Ok(())
    }

    fn output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        self.settle();
        let pending =
            self.state.borrow_mut().open_slot(conn).map(|slot| std::mem::take(&mut slot.pending))?;
        Some(&mut self.lent.insert((conn, pending)).1)
    }

    fn queued_bytes(&self, conn: ConnId) -> usize {
        if let Some((owner, bytes)) = &self.lent
            && *owner == conn
        {
            return bytes.len();
        }
        let state = self.state.borrow();
        let slot = state.slots.get(conn.index()).filter(|slot| slot.generation == conn.generation);
        slot.map_or(0, |slot| slot.pending.len())
    }

    fn close(&mut self, conn: ConnId) {
        self.settle();
        if let Some(slot) = self.state.borrow_mut().open_slot(conn) {
            slot.phase = Phase::Flushing;
        }
    }

    fn abort(&mut self, conn: ConnId) {
        self.settle();
        let mut state = self.state.borrow_mut();
        if state.slots.get(conn.index()).is_some_and(|slot| slot.generation == conn.generation) {
            state.end(conn.index, CloseReason::Local);
        }
    }

    fn pause(&mut self, conn: ConnId) {
        if let Some(slot) = self.state.borrow_mut().open_slot(conn) {
            slot.paused = true;
            slot.timing.partial_since_ns = None;
        }
    }

    fn resume(&mut self, conn: ConnId) {
        let mut state = self.state.borrow_mut();
        let now_ns = state.now_ns;
        let Some(slot) = state.open_slot(conn).filter(|slot| slot.paused) else { return };
        slot.paused = false;
        slot.ready = true;
        slot.wait_for = 0;
        if !slot.inbox.is_empty() {
            slot.timing.partial_since_ns = Some(now_ns);
        }
    }

    fn stop_accepting(&mut self) {
        let mut state = self.state.borrow_mut();
        state.accepting = false;
        while let Some(peer) = state.waiting.pop_front() {
            if let Some(link) = state.links.get_mut(&peer) {
                link.closed = true;
            }
        }
    }

    fn connections(&self) -> usize {
        let state = self.state.borrow();
        state.slots.len() - state.free.len()
    }

    fn descriptor(&self) -> RawFd {
        -1
    }

    fn has_work(&mut self) -> bool {
        self.settle();
        let state = self.state.borrow();
        let busy = |slot: &Slot| {
            let Some(link) = state.links.get(&slot.peer) else { return slot.phase != Phase::Free };
            let reads = slot.phase == Phase::Open && !slot.paused;
            let arrives = !link.to_server.is_empty() || link.ended && !slot.ended_told;
            let sends = !slot.pending.is_empty() && link.to_peer.len() < link.window_bytes
                || slot.pending.len() > state.config.output_bytes_max;
            let closes = slot.phase == Phase::Flushing && slot.pending.is_empty();
            reads && (arrives || slot.ready) || sends || closes || link.reset
        };
        !state.gone.is_empty() || !state.waiting.is_empty() || state.slots.iter().any(busy)
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        let state = self.state.borrow();
        let open = state.slots.iter().filter(|slot| slot.phase != Phase::Free);
        open.map(|slot| slot.timing.due_ns(&state.config)).min()
    }

    fn metrics(&self) -> WireMetrics {
        self.state.borrow().metrics
    }
}
