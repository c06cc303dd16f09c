//! One connection's place in the table.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use crate::wire::addresses::AddressKey;
use crate::wire::inbox::Inbox;
use crate::wire::timing::Timing;
use crate::wire::{CloseReason, ConnId};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection; the slot is on the free list.
    Free,
    /// On its way to the other end.
    Connecting {
        /// Where to.
        to: SocketAddr,
        /// When to give up, in nanoseconds.
        until_ns: u64,
    },
    /// Delivering and sending.
    Open,
    /// Closed by the consumer; what is queued is still being sent.
    Flushing,
    /// All was sent and our direction is shut; waiting for the peer's end until this moment.
    Lingering {
        /// When to wait no longer, in nanoseconds.
        until_ns: u64,
    },
    /// Waiting for the kernel to end the operations; then the slot becomes free.
    Teardown,
}

/// The state of the slot's receive operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// None is under way.
    Off,
    /// The kernel delivers what arrives.
    Armed,
    /// Its end was asked for.
    Cancelling,
}

/// A connection and its buffers.
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) phase: Phase,
    pub(super) socket: Option<TcpStream>,
    pub(super) inbox: Inbox,
    /// Output that others share, before `pending`.
    pub(super) shared: VecDeque<Rc<[u8]>>,
    /// Length of all of `shared`.
    pub(super) shared_bytes: usize,
    /// Output that waits for the send under way.
    pub(super) pending: Vec<u8>,
    /// Length of what the ring holds for this slot, and how much of it the kernel took.
    pub(super) flight_bytes: usize,
    pub(super) flight_sent: usize,
    pub(super) send_armed: bool,
    pub(super) connect_armed: bool,
    /// Bytes that the kernel took since the beginning.
    pub(super) taken_bytes: u64,
    /// An end that is announced when the send under way has told how much of it was taken.
    pub(super) ending: Option<(CloseReason, Option<i32>)>,
    /// Whom the connection is counted for.
    pub(super) address: Option<AddressKey>,
    pub(super) receive: Receive,
    pub(super) paused: bool,
    /// The peer ended its direction.
    pub(super) ended: bool,
    /// The consumer was told so.
    pub(super) ended_told: bool,
    /// Bytes to wait for before delivering again.
    pub(super) wait_for: usize,
    pub(super) in_dirty: bool,
    pub(super) in_ready: bool,
    pub(super) in_rearm: bool,
    pub(super) timing: Timing,
}

impl Slot {
    pub(super) fn free(generation: u32) -> Self {
        Self {
            generation,
            phase: Phase::Free,
            socket: None,
            inbox: Inbox::default(),
            shared: VecDeque::new(),
            shared_bytes: 0,
            pending: Vec::new(),
            flight_bytes: 0,
            flight_sent: 0,
            send_armed: false,
            connect_armed: false,
            taken_bytes: 0,
            ending: None,
            address: None,
            receive: Receive::Off,
            paused: false,
            ended: false,
            ended_told: false,
            wait_for: 0,
            in_dirty: false,
            in_ready: false,
            in_rearm: false,
            timing: Timing::default(),
        }
    }

    pub(super) fn id(&self, index: u32) -> ConnId {
        ConnId::new(index, self.generation)
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_ref().expect("a slot that is not free has its socket").as_raw_fd()
    }

    /// Bytes the kernel has not taken.
    pub(super) fn queued_bytes(&self) -> usize {
        self.shared_bytes + self.pending.len() + self.flight_bytes - self.flight_sent
    }

    /// Whether a receive should be under way. Not before waiting input was offered again (`in_ready`): the inbox of
    /// a connection that is paused over and over would grow otherwise.
    pub(super) fn wants_receive(&self) -> bool {
        let reads = match self.phase {
            Phase::Open => !self.paused && !self.in_ready,
            Phase::Lingering { .. } => true,
            Phase::Free | Phase::Connecting { .. } | Phase::Flushing | Phase::Teardown => false,
        };
        reads && !self.ended && self.receive == Receive::Off
    }
}
