//! The real network: one io_uring, multishot accept and receive, batched sends.
//!
//! **Runs on**: the thread that called [`UringWire::new`] (the ring is single-issuer; the type is not `Send`).
//! **Owns**: the listener, the ring, all sockets and their buffers.
//! **Invariants**: a slot becomes free only when the kernel has reported the end of its last operation, so a completion
//! always belongs to the connection that holds the slot. Output is sent in order, one send per connection at a time.
//! A receive is under way only while the consumer wants input, so a paused connection stops at what one batch of
//! receive buffers holds beyond its input bound.
//! **Bounds**: [`WireConfig`]. Work queues hold each connection at most once.
//! **Never**: blocks; allocates for a connection that is idle (buffers come from a pool and go back).
//!
//! A turn costs one `io_uring_enter`, which submits the sends of the last turn and collects the receives of this one.
//! Bytes are delivered straight from the kernel's receive buffer; only what is left unconsumed is copied.

mod delivery;
mod setup;
mod slot;
mod teardown;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

pub use setup::StartError;
use slot::{Phase, Receive, Slot};

use super::addresses::Addresses;
use super::pool::BufferPool;
use super::timing::{Sweep, Timing};
use super::{
    Arrival, CloseReason, ConnId, ConnectError, Ending, Listener, Patience, SendError, Wire, WireConfig,
    WireEvents, WireMetrics,
};
use crate::sys::{self, Completion, Generation, Ring};

/// A listener's accept operation.
#[derive(Debug)]
struct Acceptor {
    listener: Option<Listener>,
    armed: bool,
    /// No more connections are wanted; the operation's end was asked for when `cancelled`.
    stopping: bool,
    cancelled: bool,
    retry_ns: Option<u64>,
}

impl Acceptor {
    /// Whether the next poll has something to start or to end.
    fn is_due(&self) -> bool {
        if self.armed {
            self.stopping && !self.cancelled
        } else {
            self.listener.is_some() && self.retry_ns.is_none()
        }
    }
}

/// How much of several shared messages one send takes: what a socket's send buffer has room for at first (tcp(7)).
const JOINED_BYTES_MAX: usize = 16 << 10;

/// Places for shared messages that a connection which has caught up keeps: 64 bytes, so that a broadcast to connections
/// that keep up allocates nothing.
const SHARED_KEPT: usize = 4;

/// A [`Wire`] on one io_uring.
pub struct UringWire {
    // Declared first so that it is dropped first: the kernel's operations end before anything they refer to goes.
    ring: Ring,
    acceptors: Vec<Acceptor>,
    addresses: Addresses,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Places that are free once the ends of their last connections have been delivered.
    released: Vec<u32>,
    config: WireConfig,
    metrics: WireMetrics,
    pool: BufferPool,
    sweep: Sweep,
    now_ns: u64,
    /// Connections with output to send, to close, or to cancel.
    dirty: VecDeque<ConnId>,
    /// Connections whose receive is to be started.
    rearm: VecDeque<ConnId>,
    /// Connections whose waiting input is to be delivered again.
    ready: VecDeque<ConnId>,
    /// Ends that were not delivered yet.
    gone: VecDeque<(ConnId, Ending)>,
}

impl UringWire {
    /// Sets up the ring on this thread and takes over the listener. Accepting begins at the first poll.
    ///
    /// # Errors
    /// [`StartError`], whose message says what to change.
    ///
    /// # Panics
    /// When `config` is inconsistent.
    pub fn new(listener: Listener, config: WireConfig) -> Result<Self, StartError> {
        Self::with_listeners(vec![listener], config)
    }

    /// As [`UringWire::new`], with any number of listeners, none included.
    ///
    /// # Errors
    /// [`StartError`], whose message says what to change.
    ///
    /// # Panics
    /// When `config` is inconsistent.
    pub fn with_listeners(listeners: Vec<Listener>, config: WireConfig) -> Result<Self, StartError> {
        config.check();
        let acceptor = |listener| Acceptor {
            listener: Some(listener),
            armed: false,
            stopping: false,
            cancelled: false,
            retry_ns: None,
        };
        Ok(Self {
            ring: setup::open_ring(&config)?,
            acceptors: listeners.into_iter().map(acceptor).collect(),
            addresses: Addresses::default(),
            slots: Vec::new(),
            free: Vec::new(),
            released: Vec::new(),
            config,
            metrics: WireMetrics::default(),
            pool: BufferPool::default(),
            sweep: Sweep::default(),
            now_ns: 0,
            dirty: VecDeque::new(),
            rearm: VecDeque::new(),
            ready: VecDeque::new(),
            gone: VecDeque::new(),
        })
    }

    /// The Linux release whose operations are in use: 6.0 (multishot accept and receive into provided buffers), or 5.8
    /// (one operation each; a receive costs one more system call).
    #[must_use]
    pub fn kernel_floor(&self) -> &'static str {
        match self.ring.kernel() {
            Generation::Multishot => "6.0",
            Generation::SingleShot => "5.8",
        }
    }

    /// Waits until a poll has something to do, at most so long: for a thread that does nothing else, and costs one system call
    /// less than waiting on [`Wire::descriptor`]. A shard, whose executor waits for more than the network, does that.
    ///
    /// # Errors
    /// As [`Wire::poll`].
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        if self.has_work() { Ok(()) } else { self.ring.wait(at_most) }
    }

    fn slot_of(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(conn.index())?;
        (slot.generation == conn.generation).then_some(slot)
    }

    fn open_slot(&mut self, conn: ConnId) -> Option<&mut Slot> {
        self.slot_of(conn).filter(|slot| slot.phase == Phase::Open)
    }

    fn mark_dirty(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.in_dirty {
            slot.in_dirty = true;
            self.dirty.push_back(slot.id(index));
        }
    }

    fn mark_rearm(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.wants_receive() && !slot.in_rearm {
            slot.in_rearm = true;
            self.rearm.push_back(slot.id(index));
        }
    }

    /// Starts the accepts that are due.
    fn arm_accepts(&mut self) {
        for (place, acceptor) in (0..).zip(&mut self.acceptors) {
            if acceptor.stopping && acceptor.armed && !acceptor.cancelled {
                acceptor.cancelled = self.ring.cancel_accept(place);
            }
            if acceptor.armed || acceptor.retry_ns.is_some_and(|retry_ns| self.now_ns < retry_ns) {
                continue;
            }
            acceptor.retry_ns = None;
            if let Some(listener) = &acceptor.listener {
                acceptor.armed = self.ring.accept(place, listener.descriptor());
            }
        }
    }

    fn accepted(
        &mut self,
        listener: u32,
        result: Result<OwnedFd, i32>,
        more: bool,
        events: &mut impl WireEvents,
    ) {
        // First, so that a place is never taken before its last connection's end is known.
        self.deliver_ends(events);
        let acceptor = &mut self.acceptors[listener as usize];
        acceptor.armed = more;
        if !more && acceptor.stopping {
            acceptor.listener = None;
        }
        let socket = match result {
            Ok(socket) => TcpStream::from(socket),
            // The peer was gone before it was accepted, or we asked for the end.
            Err(libc::ECONNABORTED | libc::ECANCELED) => return,
            Err(_) => {
                self.metrics.accept_failures += 1;
                acceptor.retry_ns = Some(self.now_ns.saturating_add(self.config.accept_retry_ns));
                return;
            }
        };
        let Some(index) = self.take_slot() else {
            self.metrics.refused_full += 1;
            return;
        };
        self.metrics.accepted += 1;
        let Ok(peer) = socket.peer_addr() else {
            // Reset between its handshake and now: nothing was announced, so no event follows.
            self.metrics.count_close(CloseReason::PeerReset);
            self.free.push(index);
            return;
        };
        let mut address = None;
        if let Some(max) = self.config.connections_per_address_max
            && !(self.config.loopback_is_exempt && peer.ip().to_canonical().is_loopback())
        {
            address = self.addresses.enter(peer.ip(), max);
            if address.is_none() {
                self.metrics.accepted -= 1;
                self.metrics.refused_address += 1;
                self.free.push(index);
                return;
            }
        }
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Open;
        slot.socket = Some(socket);
        slot.address = address;
        slot.timing = Timing::begin(self.now_ns, &self.config);
        let conn = slot.id(index);
        events.accepted(conn, Arrival { peer, listener: listener as usize });
        self.mark_rearm(index);
    }

    fn connected(&mut self, index: u32, result: Result<(), i32>, events: &mut impl WireEvents) {
        let slot = &mut self.slots[index as usize];
        slot.connect_armed = false;
        match (slot.phase, result) {
            (Phase::Connecting { .. }, Ok(())) => {
                slot.phase = Phase::Open;
                slot.timing = Timing::begin(self.now_ns, &self.config);
                self.metrics.connected += 1;
                let conn = slot.id(index);
                events.connected(conn);
                self.mark_rearm(index);
            }
            (Phase::Connecting { .. }, Err(error)) => {
                self.fail(index, CloseReason::ConnectFailed, Some(error));
            }
            _ => self.release_when_quiet(index),
        }
    }

    /// Delivers the ends that wait; the places of those connections are free from here on.
    fn deliver_ends(&mut self, events: &mut impl WireEvents) {
        while let Some((conn, ending)) = self.gone.pop_front() {
            events.closed(conn, ending);
        }
        self.free.append(&mut self.released);
    }

    fn take_slot(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let index =
            u32::try_from(self.slots.len()).ok().filter(|&index| index < self.config.connections_max)?;
        self.slots.push(Slot::free(0));
        Some(index)
    }

    /// Sends what a connection has queued, or moves its close on. False when the ring takes nothing now.
    fn flush(&mut self, conn: ConnId) -> bool {
        let index = conn.index;
        let Some(slot) = self.slots.get_mut(conn.index()).filter(|slot| slot.generation == conn.generation)
        else {
            return true;
        };
        slot.in_dirty = false;
        match slot.phase {
            Phase::Free | Phase::Lingering { .. } => return true,
            Phase::Teardown => return self.cancel_operations(index),
            Phase::Connecting { to, .. } => {
                slot.connect_armed =
                    slot.connect_armed || self.ring.connect(index, slot.generation, slot.descriptor(), to);
                return slot.connect_armed;
            }
            Phase::Open | Phase::Flushing => {}
        }
        if slot.queued_bytes() > self.config.output_bytes_max {
            self.end(index, CloseReason::SlowReader);
            return true;
        }
        if slot.send_armed {
            return true;
        }
        if slot.queued_bytes() == 0 {
            if slot.phase == Phase::Flushing {
                self.shut(index);
            }
            return true;
        }
        if !self.ring.make_room() {
            return false;
        }
        if slot.flight_sent == slot.flight_bytes {
            slot.flight_sent = 0;
            slot.timing.sending_since_ns = Some(self.now_ns);
            self.load_flight(index);
        }
        let slot = &mut self.slots[index as usize];
        slot.send_armed = self.ring.send(index, slot.generation, slot.descriptor(), slot.flight_sent);
        slot.send_armed
    }

    /// Makes the next of what is queued the slot's flight.
    fn load_flight(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        match slot.shared.len() {
            0 => {
                slot.flight_bytes = slot.pending.len();
                self.ring.swap_flight(index, &mut slot.pending);
            }
            1 => {
                let bytes = slot.shared.pop_front().expect("there is one");
                slot.shared_bytes = 0;
                slot.flight_bytes = bytes.len();
                self.ring.share_flight(index, bytes);
                slot.shared.shrink_to(SHARED_KEPT);
            }
            _ => {
                // Several messages behind: one copy of a few of them costs less than a send each.
                let mut joined = Vec::new();
                self.pool.equip(&mut joined);
                while let Some(bytes) = slot.shared.front()
                    && (joined.is_empty() || joined.len() + bytes.len() <= JOINED_BYTES_MAX)
                {
                    joined.extend_from_slice(bytes);
                    slot.shared_bytes -= bytes.len();
                    slot.shared.pop_front();
                }
                slot.flight_bytes = joined.len();
                self.ring.swap_flight(index, &mut joined);
            }
        }
    }

    fn sent(&mut self, index: u32, result: Result<usize, i32>) {
        let slot = &mut self.slots[index as usize];
        slot.send_armed = false;
        match result {
            Ok(count) => {
                self.metrics.sends += 1;
                self.metrics.bytes_out += count as u64;
                slot.flight_sent += count;
                slot.taken_bytes += count as u64;
                slot.timing.active_ns = self.now_ns;
                slot.timing.sending_since_ns = Some(self.now_ns);
                if slot.flight_sent < slot.flight_bytes {
                    self.metrics.partial_sends += 1;
                } else {
                    slot.flight_bytes = 0;
                    slot.flight_sent = 0;
                    slot.timing.sending_since_ns = None;
                    let mut flight = Vec::new();
                    self.ring.swap_flight(index, &mut flight);
                    self.pool.retire(&mut flight);
                }
            }
            Err(libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM) => {}
            Err(_) if slot.phase == Phase::Teardown => {}
            Err(error) => return self.fail(index, CloseReason::PeerReset, Some(error)),
        }
        if let Some((reason, os_error)) = slot.ending.take() {
            self.announce(index, reason, os_error);
        }
        let slot = &self.slots[index as usize];
        match slot.phase {
            Phase::Teardown => self.release_when_quiet(index),
            Phase::Open if slot.queued_bytes() == 0 => {}
            _ => self.mark_dirty(index),
        }
    }

    /// Works through `dirty` and `rearm` as far as the ring takes entries.
    fn submit_queued(&mut self) {
        for _ in 0..self.dirty.len() {
            let Some(conn) = self.dirty.pop_front() else { break };
            if !self.flush(conn) {
                self.mark_dirty(conn.index);
                break;
            }
        }
        while let Some(conn) = self.rearm.pop_front() {
            let Some(slot) =
                self.slots.get_mut(conn.index()).filter(|slot| slot.generation == conn.generation)
            else {
                continue;
            };
            slot.in_rearm = false;
            if !slot.wants_receive() {
                continue;
            }
            if !self.ring.receive(conn.index, slot.generation, slot.descriptor()) {
                self.mark_rearm(conn.index);
                break;
            }
            slot.receive = Receive::Armed;
        }
    }
}

impl Wire for UringWire {
    fn poll(&mut self, now_ns: u64, events: &mut impl WireEvents) -> io::Result<usize> {
        self.now_ns = now_ns;
        self.sweep();
        self.deliver_ready(events);
        self.arm_accepts();
        self.submit_queued();
        if self.ring.wants_enter() {
            self.ring.enter()?;
        }
        let mut handled = 0;
        while handled < self.config.completions_per_poll {
            let Some(completion) = self.ring.complete() else { break };
            handled += 1;
            match completion {
                Completion::Accepted { listener, result, more } => {
                    self.accepted(listener, result, more, events);
                }
                Completion::Connected { index, generation, result } => {
                    debug_assert_eq!(
                        generation,
                        self.slots[index as usize].generation & sys::GENERATION_MASK
                    );
                    self.connected(index, result, events);
                }
                Completion::Received { index, generation, result, more } => {
                    debug_assert_eq!(
                        generation,
                        self.slots[index as usize].generation & sys::GENERATION_MASK
                    );
                    self.received(index, result, more, events);
                }
                Completion::Sent { index, generation, result } => {
                    debug_assert_eq!(
                        generation,
                        self.slots[index as usize].generation & sys::GENERATION_MASK
                    );
                    self.sent(index, result);
                }
                Completion::Cancelled => {}
            }
        }
        self.deliver_ends(events);
        Ok(handled)
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        let max = self.config.output_bytes_max;
        let slot = self.open_slot(conn).ok_or(SendError::Gone)?;
        if slot.queued_bytes() + bytes.len() > max {
            self.end(conn.index, CloseReason::SlowReader);
            return Err(SendError::Overflow);
        }
        self.output(conn).ok_or(SendError::Gone)?.extend_from_slice(bytes);
        Ok(())
    }

    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>) -> Result<(), SendError> {
        let max = self.config.output_bytes_max;
        let slot = self.open_slot(conn).ok_or(SendError::Gone)?;
        if slot.queued_bytes() + bytes.len() > max {
            self.end(conn.index, CloseReason::SlowReader);
            return Err(SendError::Overflow);
        }
        if !slot.pending.is_empty() {
            slot.pending.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            slot.shared_bytes += bytes.len();
            slot.shared.push_back(Rc::clone(bytes));
        }
        self.mark_dirty(conn.index);
        Ok(())
    }

    fn connect(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Result<ConnId, ConnectError> {
        let index = self.take_slot().ok_or(ConnectError::Full(self.config.connections_max))?;
        let socket = match sys::open_outgoing(to, from) {
            Ok(socket) => socket,
            Err(source) => {
                self.free.push(index);
                return Err(ConnectError::Socket { to, from, source });
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Connecting { to, until_ns: self.now_ns.saturating_add(self.config.connect_ns) };
        slot.socket = Some(socket);
        let conn = slot.id(index);
        self.mark_dirty(index);
        Ok(conn)
    }

    fn set_patience(&mut self, conn: ConnId, patience: Patience) {
        if let Some(slot) = self.slot_of(conn) {
            slot.timing.patience = patience;
        }
    }

    fn output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        self.open_slot(conn)?;
        self.mark_dirty(conn.index);
        let slot = &mut self.slots[conn.index()];
        self.pool.equip(&mut slot.pending);
        Some(&mut slot.pending)
    }

    fn queued_bytes(&self, conn: ConnId) -> usize {
        let slot = self.slots.get(conn.index()).filter(|slot| slot.generation == conn.generation);
        slot.map_or(0, Slot::queued_bytes)
    }

    fn close(&mut self, conn: ConnId) {
        match self.slot_of(conn).map(|slot| slot.phase) {
            Some(Phase::Open) => self.begin_close(conn.index),
            Some(Phase::Connecting { .. }) => self.end(conn.index, CloseReason::Local),
            _ => {}
        }
    }

    fn abort(&mut self, conn: ConnId) {
        if let Some(slot) = self.slot_of(conn) {
            // Also when all is sent: a peer that waits for more must not take the end of what it has for the end of all.
            let is_open = matches!(slot.phase, Phase::Open | Phase::Flushing);
            if is_open && !planted::planted!("abort_looks_like_an_end") {
                sys::reset_on_close(slot.descriptor());
            }
            self.end(conn.index, CloseReason::Local);
        }
    }

    fn pause(&mut self, conn: ConnId) {
        if let Some(slot) = self.open_slot(conn) {
            slot.paused = true;
            slot.timing.partial_since_ns = None;
        }
    }

    fn resume(&mut self, conn: ConnId) {
        let now_ns = self.now_ns;
        let Some(slot) = self.open_slot(conn).filter(|slot| slot.paused) else { return };
        slot.paused = false;
        slot.wait_for = 0;
        if !slot.inbox.is_empty() {
            slot.timing.partial_since_ns = Some(now_ns);
        }
        if (!slot.inbox.is_empty() || slot.ended && !slot.ended_told) && !slot.in_ready {
            slot.in_ready = true;
            self.ready.push_back(conn);
        } else {
            self.mark_rearm(conn.index);
        }
    }

    fn stop_accepting(&mut self) {
        for acceptor in &mut self.acceptors {
            acceptor.stopping = true;
            if !acceptor.armed {
                acceptor.listener = None;
            }
        }
    }

    fn connections(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn descriptor(&self) -> RawFd {
        self.ring.descriptor()
    }

    fn has_work(&mut self) -> bool {
        !self.dirty.is_empty()
            || !self.ready.is_empty()
            || !self.rearm.is_empty()
            || !self.gone.is_empty()
            || self.ring.has_completions()
            || self.ring.wants_enter()
            || self.acceptors.iter().any(Acceptor::is_due)
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        let sweep_ns = (self.connections() > 0).then(|| self.sweep.next_ns());
        let retries_ns = self.acceptors.iter().filter_map(|acceptor| acceptor.retry_ns);
        sweep_ns.into_iter().chain(retries_ns).min()
    }

    fn metrics(&self) -> WireMetrics {
        WireMetrics { enters: self.ring.enters(), ..self.metrics }
    }
}
