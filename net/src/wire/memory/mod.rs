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
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::rc::Rc;

mod network;
mod state;

pub use network::{MemoryNetwork, PeerId, Pieces};
use state::{Phase, Slot, State};

use super::addresses::Addresses;
use super::{
    Arrival, CloseReason, ConnId, ConnectError, Patience, SendError, Stream, Wire, WireConfig, WireEvents,
    WireMetrics,
};

/// The server's end.
pub struct MemoryWire {
    state: Rc<RefCell<State>>,
    /// A buffer lent out by [`Wire::output`], with its owner; returned at the next call.
    lent: Option<(ConnId, Vec<u8>)>,
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
        released: Vec::new(),
        gone: VecDeque::new(),
        addresses: Addresses::default(),
        dialled: VecDeque::new(),
        metrics: WireMetrics::default(),
        now_ns: 0,
    }));
    (MemoryWire { state: Rc::clone(&state), lent: None }, MemoryNetwork { state })
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

impl MemoryWire {
    /// Before a place is taken again, the end of its last connection is known.
    fn deliver_ends(&mut self, events: &mut impl WireEvents) {
        loop {
            let Some((conn, ending)) = self.state.borrow_mut().gone.pop_front() else { break };
            events.closed(conn, ending);
        }
        let state = &mut *self.state.borrow_mut();
        state.free.append(&mut state.released);
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
                let timed = matches!(slot.phase, Phase::Open | Phase::Flushing);
                let due = if timed { slot.timing.due(now_ns, &config) } else { None };
                match due {
                    Some(reason) => state.end(index, reason),
                    None => state.flush(index),
                }
            }
            slots
        };
        let mut handled = 0;
        for index in 0..slots {
            let connected = self.state.borrow_mut().advance_connect(index);
            if connected {
                handled += 1;
                let generation = self.state.borrow().slots[index as usize].generation;
                events.connected(ConnId::new(index, generation));
            }
            if self.state.borrow_mut().receive(index) {
                handled += 1;
                self.deliver(index, events);
            }
        }
        self.deliver_ends(events);
        while handled < self.state.borrow().config.completions_per_poll {
            let Some(peer) = self.state.borrow_mut().waiting.pop_front() else { break };
            handled += 1;
            let accepted = self.state.borrow_mut().accept(peer);
            if let Some((conn, address)) = accepted {
                events.accepted(conn, Arrival { peer: address, listener: 0 });
            }
        }
        self.deliver_ends(events);
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

    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>) -> Result<(), SendError> {
        self.send(conn, bytes)
    }

    /// The source address is not looked at: this network has one machine on each side.
    fn connect(&mut self, to: SocketAddr, _from: Option<IpAddr>) -> Result<ConnId, ConnectError> {
        let mut state = self.state.borrow_mut();
        let max = state.config.connections_max;
        state.dial(to).ok_or(ConnectError::Full(max))
    }

    fn set_patience(&mut self, conn: ConnId, patience: Patience) {
        if let Some(slot) = self.state.borrow_mut().open_slot(conn) {
            slot.timing.patience = patience;
        }
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
        let mut state = self.state.borrow_mut();
        if let Some(slot) = state.open_slot(conn) {
            slot.begin_close();
        } else if state.slots.get(conn.index()).is_some_and(|slot| {
            slot.generation == conn.generation && matches!(slot.phase, Phase::Connecting { .. })
        }) {
            state.end(conn.index, CloseReason::Local);
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
        state.slots.len() - state.free.len() - state.released.len()
    }

    fn descriptor(&self) -> RawFd {
        -1
    }

    fn has_work(&mut self) -> bool {
        self.settle();
        let state = self.state.borrow();
        let busy = |slot: &Slot| {
            let Some(link) = state.links.get(&slot.peer) else { return slot.phase != Phase::Free };
            if matches!(slot.phase, Phase::Connecting { .. }) {
                return link.taken || link.reset;
            }
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
        let due = |slot: &Slot| match slot.phase {
            Phase::Free => None,
            Phase::Connecting { until_ns } => Some(until_ns),
            Phase::Open | Phase::Flushing => Some(slot.timing.due_ns(&state.config)),
        };
        state.slots.iter().filter_map(due).min()
    }

    fn metrics(&self) -> WireMetrics {
        self.state.borrow().metrics
    }
}
