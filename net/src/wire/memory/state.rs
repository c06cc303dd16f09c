//! What both ends share: connections in flight, slots, and the rules that move bytes between them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::network::{Link, PeerId, Pieces};
use crate::wire::addresses::{AddressKey, Addresses};
use crate::wire::inbox::Inbox;
use crate::wire::stream::Wishes;
use crate::wire::timing::Timing;
use crate::wire::{CloseReason, ConnId, Ending, WireConfig, WireMetrics};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Free,
    /// The peer has not taken the connection; given up at this moment, in nanoseconds.
    Connecting {
        until_ns: u64,
    },
    Open,
    Flushing,
}

pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) phase: Phase,
    pub(super) peer: PeerId,
    pub(super) inbox: Inbox,
    pub(super) pending: Vec<u8>,
    pub(super) paused: bool,
    pub(super) ready: bool,
    pub(super) ended: bool,
    pub(super) ended_told: bool,
    pub(super) wait_for: usize,
    pub(super) timing: Timing,
    pub(super) address: Option<AddressKey>,
    pub(super) taken_bytes: u64,
}

pub(super) struct State {
    pub(super) config: WireConfig,
    pub(super) pieces: Pieces,
    pub(super) draws: u64,
    pub(super) links: BTreeMap<PeerId, Link>,
    pub(super) next_peer: u64,
    pub(super) waiting: VecDeque<PeerId>,
    pub(super) accepting: bool,
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    /// Places whose last connection's end is not told yet: free once it is.
    pub(super) released: Vec<u32>,
    pub(super) gone: VecDeque<(ConnId, Ending)>,
    pub(super) addresses: Addresses,
    /// Outgoing connections that the network has not been told of.
    pub(super) dialled: VecDeque<PeerId>,
    pub(super) metrics: WireMetrics,
    pub(super) now_ns: u64,
}

impl State {
    pub(super) fn open_slot(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(conn.index())?;
        (slot.generation == conn.generation && slot.phase == Phase::Open).then_some(slot)
    }

    pub(super) fn piece_bytes(&mut self) -> usize {
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

    pub(super) fn accept(&mut self, peer: PeerId) -> Option<(ConnId, SocketAddr)> {
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
        let mut address = None;
        let ip = link.address.ip();
        if let Some(max) = self.config.connections_per_address_max
            && !(self.config.loopback_is_exempt && ip.to_canonical().is_loopback())
        {
            address = self.addresses.enter(ip, max);
            if address.is_none() {
                self.metrics.refused_address += 1;
                link.closed = true;
                self.free.push(index);
                return None;
            }
        }
        self.metrics.accepted += 1;
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Open;
        slot.peer = peer;
        slot.address = address;
        slot.timing = Timing::begin(self.now_ns, &self.config);
        let conn = ConnId::new(index, slot.generation);
        link.conn = Some(conn);
        Some((conn, link.address))
    }

    /// Begins an outgoing connection. `None` when all places are in use.
    pub(super) fn dial(&mut self, to: SocketAddr) -> Option<ConnId> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                if index >= self.config.connections_max {
                    return None;
                }
                self.slots.push(Slot::free(0));
                index
            }
        };
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Connecting { until_ns: self.now_ns.saturating_add(self.config.connect_ns) };
        slot.peer = peer;
        let conn = ConnId::new(index, slot.generation);
        self.links.insert(peer, Link { conn: Some(conn), taken: false, ..Link::new(to) });
        self.dialled.push_back(peer);
        Some(conn)
    }

    /// Moves an outgoing connection on. True when it has just been established.
    pub(super) fn advance_connect(&mut self, index: u32) -> bool {
        let slot = &mut self.slots[index as usize];
        let Phase::Connecting { until_ns } = slot.phase else { return false };
        match self.links.get(&slot.peer) {
            Some(link) if link.taken => {
                slot.phase = Phase::Open;
                slot.timing = Timing::begin(self.now_ns, &self.config);
                self.metrics.connected += 1;
                return true;
            }
            Some(link) if !link.reset => {
                if self.now_ns >= until_ns {
                    self.end(index, CloseReason::ConnectTimeout);
                }
            }
            _ => self.fail(index, CloseReason::ConnectFailed, Some(libc::ECONNREFUSED)),
        }
        false
    }

    /// Moves queued output to the peer, and closes what has nothing left to send.
    pub(super) fn flush(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !matches!(slot.phase, Phase::Open | Phase::Flushing) {
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
            slot.taken_bytes += room as u64;
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

    pub(super) fn end(&mut self, index: u32, reason: CloseReason) {
        self.fail(index, reason, None);
    }

    pub(super) fn fail(&mut self, index: u32, reason: CloseReason, os_error: Option<i32>) {
        let slot = &mut self.slots[index as usize];
        if slot.phase == Phase::Free {
            return;
        }
        let ending = Ending { reason, handed_bytes: slot.taken_bytes, os_error };
        self.gone.push_back((ConnId::new(index, slot.generation), ending));
        self.metrics.count_close(reason);
        if let Some(address) = slot.address.take() {
            self.addresses.leave(address);
        }
        if let Some(link) = self.links.get_mut(&slot.peer) {
            link.closed = true;
        }
        *slot = Slot::free(slot.generation.wrapping_add(1));
        self.released.push(index);
    }

    /// Takes in what arrived for a connection; true when it is to be delivered now.
    pub(super) fn receive(&mut self, index: u32) -> bool {
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
            let body = slot.timing.body_bytes > 0;
            slot.timing.delivered(self.now_ns, 0, slot.inbox.len(), false, body);
            return ready;
        }
        count > 0 || ends || ready
    }

    pub(super) fn follow(&mut self, index: u32, wishes: Wishes) {
        let slot = &mut self.slots[index as usize];
        let rest = slot.inbox.len();
        slot.wait_for = wishes.wait_for.min(self.config.input_bytes_max);
        slot.paused = wishes.pause;
        if let Some(patience) = wishes.patience {
            slot.timing.patience = patience;
        }
        if wishes.pause && slot.ended && rest > 0 {
            slot.ended_told = false;
        }
        slot.timing.delivered(self.now_ns, wishes.consumed, rest, wishes.pause, wishes.body);
        if wishes.close {
            slot.begin_close();
        } else if rest >= self.config.input_bytes_max && !wishes.pause {
            self.end(index, CloseReason::InputOverflow);
        }
    }
}

impl Slot {
    /// The consumer wants no more: what is queued is sent, then the connection ends.
    pub(super) fn begin_close(&mut self) {
        self.phase = Phase::Flushing;
        self.inbox.clear();
        self.timing.partial_since_ns = None;
    }

    pub(super) fn free(generation: u32) -> Self {
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
            address: None,
            taken_bytes: 0,
        }
    }
}
