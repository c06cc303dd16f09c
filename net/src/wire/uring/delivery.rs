//! Receives: from the kernel's buffers to the consumer.

use super::{Phase, Receive, UringWire};
use crate::sys::Lease;
use crate::wire::stream::Wishes;
use crate::wire::{CloseReason, Stream, WireEvents};

impl UringWire {
    pub(super) fn received(
        &mut self,
        index: u32,
        result: Result<Option<Lease>, i32>,
        more: bool,
        events: &mut impl WireEvents,
    ) {
        let slot = &mut self.slots[index as usize];
        if !more {
            slot.receive = Receive::Off;
        }
        match result {
            Ok(Some(lease)) => {
                let len = self.ring.bytes(&lease).len();
                self.metrics.bytes_in += len as u64;
                slot.timing.active_ns = self.now_ns;
                if slot.phase == Phase::Open {
                    self.deliver_lease(index, &lease, events);
                }
                self.ring.recycle(lease);
            }
            Ok(None) => {
                slot.ended = true;
                match slot.phase {
                    Phase::Open if !slot.paused && !slot.in_ready => self.deliver_inbox(index, events),
                    Phase::Lingering { .. } => self.tear_down(index),
                    _ => {}
                }
            }
            Err(libc::ENOBUFS) => self.metrics.receive_exhaustions += 1,
            // Our own cancellation, or nothing to read after all: started again below if it is wanted.
            Err(libc::ECANCELED | libc::EAGAIN | libc::EINTR) => {}
            Err(error) => self.fail(index, CloseReason::PeerReset, Some(error)),
        }
        if self.slots[index as usize].phase == Phase::Teardown {
            self.release_when_quiet(index);
        } else {
            self.mark_rearm(index);
        }
    }

    /// Offers waiting input again to the connections that were resumed.
    pub(super) fn deliver_ready(&mut self, events: &mut impl WireEvents) {
        // Only those that wait now: one that is resumed during a delivery has its turn at the next poll.
        for _ in 0..self.ready.len() {
            let Some(conn) = self.ready.pop_front() else { break };
            let Some(slot) = self.slot_of(conn) else { continue };
            slot.in_ready = false;
            if slot.phase == Phase::Open && !slot.paused {
                self.deliver_inbox(conn.index, events);
                self.mark_rearm(conn.index);
            }
        }
    }

    fn deliver_lease(&mut self, index: u32, lease: &Lease, events: &mut impl WireEvents) {
        let slot = &mut self.slots[index as usize];
        let bytes = self.ring.bytes(lease);
        if slot.paused || slot.in_ready {
            slot.inbox.append(bytes);
            if slot.paused
                && slot.receive == Receive::Armed
                && self.ring.cancel_receive(index, slot.generation)
            {
                slot.receive = Receive::Cancelling;
                // At once, not with the next turn: each buffer that is given back meanwhile could be filled again for
                // this connection. From here on at most one filling of all buffers is on its way. A failure leaves
                // the cancellation queued for the next turn.
                let _stays_queued = self.ring.enter();
            }
            return;
        }
        if !slot.inbox.is_empty() || bytes.len() < slot.wait_for {
            slot.inbox.append(bytes);
            return self.deliver_inbox(index, events);
        }
        // The usual case: whole requests in one buffer, parsed where the kernel put them.
        self.pool.equip(&mut slot.pending);
        let conn = slot.id(index);
        let queued_bytes = slot.queued_bytes() - slot.pending.len();
        let mut stream = Stream::new(bytes, &mut slot.pending, false).behind(queued_bytes);
        events.received(conn, &mut stream);
        let wishes = stream.into_wishes();
        if wishes.consumed < bytes.len() {
            slot.inbox.append(&bytes[wishes.consumed..]);
        }
        self.follow(index, wishes);
    }

    fn deliver_inbox(&mut self, index: u32, events: &mut impl WireEvents) {
        let slot = &mut self.slots[index as usize];
        if slot.inbox.len() < slot.wait_for && !slot.ended {
            let rest = slot.inbox.len();
            let body = slot.timing.body_bytes > 0;
            slot.timing.delivered(self.now_ns, 0, rest, false, body);
            return;
        }
        self.pool.equip(&mut slot.pending);
        let conn = slot.id(index);
        slot.ended_told |= slot.ended;
        let queued_bytes = slot.queued_bytes() - slot.pending.len();
        let mut stream =
            Stream::new(slot.inbox.as_slice(), &mut slot.pending, slot.ended).behind(queued_bytes);
        events.received(conn, &mut stream);
        let wishes = stream.into_wishes();
        slot.inbox.consume(wishes.consumed);
        self.follow(index, wishes);
    }

    /// Carries out what the consumer asked for.
    fn follow(&mut self, index: u32, wishes: Wishes) {
        let slot = &mut self.slots[index as usize];
        let rest = slot.inbox.len();
        slot.wait_for = wishes.wait_for.min(self.config.input_bytes_max);
        slot.paused = wishes.pause;
        if let Some(patience) = wishes.patience {
            slot.timing.patience = patience;
        }
        slot.timing.delivered(self.now_ns, wishes.consumed, rest, wishes.pause, wishes.body);
        let overflow = rest >= self.config.input_bytes_max && !wishes.pause && !wishes.close;
        if wishes.pause && slot.ended && rest > 0 {
            // What is left must be offered again after the pause although nothing new will arrive.
            slot.ended_told = false;
        }
        if slot.pending.is_empty() {
            self.pool.retire(&mut slot.pending);
        } else {
            self.mark_dirty(index);
        }
        if overflow {
            self.end(index, CloseReason::InputOverflow);
        } else if wishes.close {
            self.begin_close(index);
        }
    }
}
