//! Answers leave in the order of their requests.
//!
//! **Runs on**: the shard that owns the connection; one [`Pipeline`] per connection.
//! **Owns**: a slot per unanswered request, and the bytes of answers that are early.
//! **Invariants**: bytes are released strictly in the order of [`Pipeline::reserve`]; a ticket is answered once.
//! **Bounds**: at most the given number of slots; then `reserve` refuses and the caller pauses reading. Early answers wait
//! in memory, so that number times the largest answer bounds a connection.
//! **Never** allocates when answers come in order: the oldest is written straight into the connection's output.

use std::collections::VecDeque;

use super::parse::{Head, Method, Version};
use super::response;

/// What of a request decides the form of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyMode {
    /// The connection goes on afterwards.
    pub keep_alive: bool,
    /// The request was HEAD: the answer has no body.
    pub head_only: bool,
    /// The client speaks HTTP/1.0.
    pub http10: bool,
}

impl Default for ReplyMode {
    fn default() -> Self {
        Self { keep_alive: true, head_only: false, http10: false }
    }
}

impl From<&Head<'_>> for ReplyMode {
    fn from(head: &Head<'_>) -> Self {
        Self {
            keep_alive: head.keep_alive,
            head_only: head.method == Method::Head,
            http10: head.version == Version::Http10,
        }
    }
}

/// The right to answer one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// What an answer set free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Answers that were written to the output, this one or others that had waited for it.
    pub answers: usize,
    /// The last of them ends the connection: close it now.
    pub close: bool,
    /// The pipeline was full and has room again: resume reading.
    pub room: bool,
}

struct Slot {
    mode: ReplyMode,
    /// The answer, once it is there and still has to wait.
    early: Option<Vec<u8>>,
}

/// The unanswered requests of one connection.
pub struct Pipeline {
    slots: VecDeque<Slot>,
    /// The ticket of the oldest slot.
    oldest: u64,
    depth_max: usize,
    /// A request without keep-alive, or a fault, was the last one.
    ending: bool,
    continue_state: Continue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continue {
    Unasked,
    Wanted,
    Sent,
}

impl Pipeline {
    /// An empty pipeline for at most `depth_max` unanswered requests. Holds no memory until the first.
    ///
    /// # Panics
    /// When `depth_max` is zero.
    #[must_use]
    pub fn new(depth_max: usize) -> Self {
        assert!(depth_max > 0, "a pipeline holds at least one request");
        Self {
            slots: VecDeque::new(),
            oldest: 0,
            depth_max,
            ending: false,
            continue_state: Continue::Unasked,
        }
    }

    /// Unanswered requests, early answers included.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.slots.len()
    }

    /// Whether [`Pipeline::reserve`] would refuse for want of room. Ask before parsing the next request.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.depth_max
    }

    /// Whether a request that ends the connection was reserved: parse no more.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// Reserves the next answer's place. `None` when full (pause reading) or ending.
    pub fn reserve(&mut self, mode: ReplyMode) -> Option<Ticket> {
        if self.is_full() || self.ending {
            return None;
        }
        self.continue_state = Continue::Unasked;
        self.ending = !mode.keep_alive;
        let ticket = Ticket(self.oldest + self.slots.len() as u64);
        self.slots.push_back(Slot { mode, early: None });
        Some(ticket)
    }

    /// Answers a request: `write` appends one complete answer for the given mode to the vector it gets, which is `out`
    /// itself when it is this request's turn. A ticket of another time (answered already) is ignored.
    pub fn complete(
        &mut self,
        ticket: Ticket,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>, ReplyMode),
    ) -> Released {
        let Some(place) = ticket.0.checked_sub(self.oldest).and_then(|place| usize::try_from(place).ok())
        else {
            return Released::default();
        };
        let was_full = self.is_full();
        let Some(slot) = self.slots.get_mut(place) else { return Released::default() };
        if slot.early.is_some() {
            return Released::default();
        }
        if place > 0 {
            let mut early = Vec::new();
            write(&mut early, slot.mode);
            slot.early = Some(early);
            return Released::default();
        }
        write(out, slot.mode);
        let mut released = Released::default();
        let mut keep_alive = self.pass(&mut released);
        while let Some(early) = self.slots.front_mut().and_then(|slot| slot.early.take()) {
            out.extend_from_slice(&early);
            keep_alive = self.pass(&mut released);
        }
        released.close = !keep_alive;
        released.room = was_full && keep_alive;
        if self.slots.is_empty() && self.continue_state == Continue::Wanted {
            self.offer_continue(out);
        }
        released
    }

    /// Drops the oldest slot, whose answer was written.
    fn pass(&mut self, released: &mut Released) -> bool {
        let slot = self.slots.pop_front().expect("the answered slot is the oldest");
        self.oldest += 1;
        released.answers += 1;
        slot.mode.keep_alive
    }

    /// The next request waits for `100 Continue`: writes it now, or after the answers before it, and once only.
    pub fn offer_continue(&mut self, out: &mut Vec<u8>) {
        if self.continue_state == Continue::Sent || self.ending {
            return;
        }
        if self.slots.is_empty() {
            out.extend_from_slice(response::CONTINUE);
            self.continue_state = Continue::Sent;
        } else {
            self.continue_state = Continue::Wanted;
        }
    }

    /// Empties the pipeline for the next connection in this place; tickets handed out before stay invalid.
    pub fn reset(&mut self) {
        self.oldest += self.slots.len() as u64;
        self.slots.clear();
        self.ending = false;
        self.continue_state = Continue::Unasked;
    }
}
