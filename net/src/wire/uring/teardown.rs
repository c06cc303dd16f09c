//! The end of a connection: graceful, at once, or by time-out.
//!
//! **Invariants**: `closed` is queued exactly once, when a connection leaves `Open` or `Flushing`; when a send is under way
//! then, as soon as the kernel has said how much of it was taken (it is cancelled, so that is at once). The slot becomes free
//! only when neither a receive nor a send is under way; until then the kernel may still use what it holds.

use std::net::Shutdown;

use super::{CloseReason, Phase, Receive, Slot, UringWire};
use crate::sys;
use crate::wire::Ending;

impl UringWire {
    /// The consumer wants no more of an open connection: what is queued is sent, then it ends.
    pub(super) fn begin_close(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Flushing;
        slot.inbox.clear();
        slot.timing.partial_since_ns = None;
        self.mark_dirty(index);
    }

    /// All was sent: ends our direction and waits for the peer's end.
    pub(super) fn shut(&mut self, index: u32) {
        self.announce(index, CloseReason::Local, None);
        let slot = &mut self.slots[index as usize];
        slot.inbox.clear();
        if slot.ended {
            return self.tear_down(index);
        }
        slot.phase = Phase::Lingering { until_ns: self.now_ns.saturating_add(self.config.linger_ns) };
        if let Some(socket) = &slot.socket {
            // Fails only when the peer has reset the connection, which the receive reports.
            let _reported_by_receive = socket.shutdown(Shutdown::Write);
        }
        self.mark_rearm(index);
    }

    /// Ends a connection at once. Whoever still has bytes to read gets a reset, and so keeps no memory here.
    pub(super) fn end(&mut self, index: u32, reason: CloseReason) {
        self.fail(index, reason, None);
    }

    /// As [`UringWire::end`], with the system's error.
    pub(super) fn fail(&mut self, index: u32, reason: CloseReason, os_error: Option<i32>) {
        match self.slots[index as usize].phase {
            Phase::Free | Phase::Teardown => return,
            Phase::Lingering { .. } => {}
            Phase::Connecting { .. } | Phase::Open | Phase::Flushing => {
                let slot = &mut self.slots[index as usize];
                if slot.send_armed {
                    slot.ending = Some((reason, os_error));
                } else {
                    self.announce(index, reason, os_error);
                }
            }
        }
        let slot = &mut self.slots[index as usize];
        if slot.queued_bytes() > 0 {
            sys::reset_on_close(slot.descriptor());
        }
        self.tear_down(index);
    }

    /// Queues the one `closed` of a connection.
    pub(super) fn announce(&mut self, index: u32, reason: CloseReason, os_error: Option<i32>) {
        let slot = &self.slots[index as usize];
        self.gone.push_back((slot.id(index), Ending { reason, handed_bytes: slot.taken_bytes, os_error }));
        self.metrics.count_close(reason);
    }

    pub(super) fn tear_down(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Teardown;
        slot.inbox.clear();
        slot.shared.clear();
        slot.shared_bytes = 0;
        slot.pending = Vec::new();
        self.mark_dirty(index);
    }

    /// Asks for the end of what is under way, and frees the slot when nothing is. False when the ring takes nothing.
    pub(super) fn cancel_operations(&mut self, index: u32) -> bool {
        let slot = &mut self.slots[index as usize];
        let mut taken = true;
        if slot.receive == Receive::Armed && self.ring.cancel_receive(index, slot.generation) {
            slot.receive = Receive::Cancelling;
        }
        taken &= slot.receive != Receive::Armed;
        if slot.send_armed {
            taken &= self.ring.cancel_send(index, slot.generation);
        }
        if slot.connect_armed {
            taken &= self.ring.cancel_connect(index, slot.generation);
        }
        self.release_when_quiet(index);
        taken
    }

    pub(super) fn release_when_quiet(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let busy = slot.send_armed || slot.connect_armed || slot.receive != Receive::Off;
        if slot.phase != Phase::Teardown || busy {
            return;
        }
        if let Some(address) = slot.address.take() {
            self.addresses.leave(address);
        }
        let mut flight = Vec::new();
        self.ring.swap_flight(index, &mut flight);
        self.pool.retire(&mut flight);
        // Dropping the socket closes it. A wrapped generation would need four billion connections in this slot.
        *slot = Slot::free(slot.generation.wrapping_add(1));
        self.released.push(index);
    }

    /// Looks for time-outs in the slots whose turn it is.
    pub(super) fn sweep(&mut self) {
        for position in self.sweep.slice(self.now_ns, self.slots.len()) {
            let index = u32::try_from(position).expect("slots are at most connections_max, a u32");
            let slot = &self.slots[position];
            match slot.phase {
                Phase::Free => {}
                // The cancellation was asked for already; again costs nothing and cannot be forgotten.
                Phase::Teardown => self.mark_dirty(index),
                Phase::Lingering { until_ns } if self.now_ns >= until_ns => self.tear_down(index),
                Phase::Lingering { .. } => {}
                Phase::Connecting { until_ns, .. } if self.now_ns >= until_ns => {
                    self.end(index, CloseReason::ConnectTimeout);
                }
                // Not taken by the full ring at first: again.
                Phase::Connecting { .. } if !slot.connect_armed => self.mark_dirty(index),
                Phase::Connecting { .. } => {}
                Phase::Open | Phase::Flushing => {
                    if let Some(reason) = slot.timing.due(self.now_ns, &self.config) {
                        self.end(index, reason);
                    }
                }
            }
        }
    }
}
