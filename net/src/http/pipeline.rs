//! Answers leave in the order of their requests.
//!
//! **Runs on**: the shard that owns the connection; one [`Pipeline`] per connection.
//! **Owns**: a slot per unanswered request, and the bytes of answers that are early.
//! **Invariants**: bytes are released strictly in the order of [`Pipeline::reserve`]; a ticket is answered once, at once
//! ([`Pipeline::complete`]) or piece by piece ([`Pipeline::append`], then `complete`). Nothing follows an answer that ends
//! the connection.
//! **Bounds**: at most the given number of slots; then `reserve` refuses and the caller pauses reading. Early answers wait
//! in memory, so that number times the largest answer bounds a connection; a streamed one is refused pieces while
//! [`WAITING_BYTES_MAX`] of it wait. What is written to the output is the wire's to bound.
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

impl ReplyMode {
    /// The mode of an answer whose length is not known when it begins: HTTP/1.0 knows no chunks, so that the connection's
    /// end is the body's (RFC 9112 §6.3 rule 8).
    #[must_use]
    pub const fn streamed(self) -> Self {
        Self { keep_alive: self.keep_alive && !self.http10, ..self }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Bytes of one streamed answer that may wait for its turn before [`Pipeline::append`] refuses more (the last piece may
/// go beyond): a few pieces of the usual size, and 1 MiB for a connection with 16 such answers.
pub const WAITING_BYTES_MAX: usize = 64 << 10;

/// How much of answers that waited is written to an output at a time, in bytes: a quarter of what the wire lets a connection
/// queue.
pub const RELEASED_BYTES_MAX: usize = 256 << 10;

/// What an answer set free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Answers that were written to the output to their end, this one or others that had waited for it.
    pub answers: usize,
    /// The last of them ends the connection: close it now.
    pub close: bool,
    /// The pipeline was full and has room again: resume reading.
    pub room: bool,
    /// The streamed answer whose turn has come: what waited of it was written, and more goes straight to the output.
    pub turn: Option<Ticket>,
}

/// What became of a piece of a streamed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a piece that was refused must be offered again, or the answer given up"]
pub enum Appended {
    /// Written to the connection's output.
    Sent,
    /// Kept until the answers before it are complete.
    Waiting,
    /// Not taken: [`WAITING_BYTES_MAX`] wait already. Offer it again when [`Released::turn`] names the ticket.
    Full,
    /// Not taken: the request was answered already, or its connection is gone. Stop.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Unanswered,
    /// Pieces were appended, more may follow.
    Streaming,
    Complete,
}

struct Slot {
    mode: ReplyMode,
    progress: Progress,
    /// What there is of the answer while it has to wait.
    waiting: Vec<u8>,
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
        self.slots.push_back(Slot { mode, progress: Progress::Unanswered, waiting: Vec::new() });
        Some(ticket)
    }

    /// Answers a request: `write` appends one complete answer for the given mode (or the end of a streamed one) to the
    /// vector it gets, which is `out` itself when it is this request's turn. A ticket of another time (answered already)
    /// is ignored.
    pub fn complete(
        &mut self,
        ticket: Ticket,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>, ReplyMode),
    ) -> Released {
        let Some((place, slot)) = self.open_slot(ticket) else { return Released::default() };
        slot.progress = Progress::Complete;
        if planted::planted!("answer_overtakes_an_earlier_one") && place > 0 {
            write(out, slot.mode);
            return Released::default();
        }
        // An answer whose turn it is waits too while much waits before it to be sent: two large ones at once would be more than a
        // connection may have queued.
        if place > 0 || !slot.waiting.is_empty() || out.len() >= RELEASED_BYTES_MAX {
            write(&mut slot.waiting, slot.mode);
            return Released::default();
        }
        write(out, slot.mode);
        self.release(out)
    }

    /// Writes what waits and whose turn it is, until `out` holds [`RELEASED_BYTES_MAX`]: what is left then is
    /// [`Pipeline::is_held`], and this is to be called again when the connection has taken some.
    pub fn release(&mut self, out: &mut Vec<u8>) -> Released {
        let was_full = self.is_full();
        let before = self.slots.len();
        let mut released = Released::default();
        while let Some(front) = self.slots.front_mut() {
            if !front.waiting.is_empty() {
                if out.len() >= RELEASED_BYTES_MAX {
                    break;
                }
                out.append(&mut front.waiting);
                // The memory is given back even when the answer goes on for long.
                front.waiting = Vec::new();
            }
            if front.progress != Progress::Complete {
                break;
            }
            let keep_alive = self.pass(&mut released);
            if !keep_alive {
                released.close = true;
                self.drop_slots();
                return released;
            }
        }
        let turn = |slot: &&Slot| slot.progress == Progress::Streaming && slot.waiting.is_empty();
        released.turn = self.slots.front().filter(turn).map(|_| Ticket(self.oldest));
        released.room = was_full && self.slots.len() < before;
        if self.slots.is_empty() && self.continue_state == Continue::Wanted {
            self.offer_continue(out);
        }
        released
    }

    /// Streams a piece of an answer, which [`Pipeline::complete`] ends later: `write` appends the piece to the vector it
    /// gets, which is `out` itself when it is this request's turn. The first piece holds the head
    /// ([`response::Response::chunked`]). `write` is not called when the piece is refused.
    ///
    /// An HTTP/1.0 client finds the end of such an answer by the connection's end: the mode that `write` gets says so, and
    /// requests behind it are not answered.
    pub fn append(
        &mut self,
        ticket: Ticket,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>, ReplyMode),
    ) -> Appended {
        let Some((place, slot)) = self.open_slot(ticket) else { return Appended::Gone };
        if slot.waiting.len() >= WAITING_BYTES_MAX {
            return Appended::Full;
        }
        slot.progress = Progress::Streaming;
        slot.mode = slot.mode.streamed();
        let (appended, to) = if place == 0 && slot.waiting.is_empty() {
            (Appended::Sent, out)
        } else {
            (Appended::Waiting, &mut slot.waiting)
        };
        write(to, slot.mode);
        if !slot.mode.keep_alive {
            self.ending = true;
        }
        appended
    }

    /// Whether the next bytes to be sent wait in the pipeline, for want of room in the output: see [`Pipeline::release`].
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.slots.front().is_some_and(|slot| !slot.waiting.is_empty())
    }

    /// Whether what is written for a ticket goes straight to the output.
    #[must_use]
    pub fn is_turn(&self, ticket: Ticket) -> bool {
        ticket.0 == self.oldest && !self.is_held() && !self.slots.is_empty()
    }

    /// Makes the newest request the last: its answer says so where it is not written yet, and the connection ends with it.
    pub fn end(&mut self) {
        self.ending = true;
        self.continue_state = Continue::Unasked;
        if let Some(last) = self.slots.back_mut() {
            last.mode.keep_alive = false;
        }
    }

    /// The slot of a ticket whose answer is not complete, and its place.
    fn open_slot(&mut self, ticket: Ticket) -> Option<(usize, &mut Slot)> {
        let place = usize::try_from(ticket.0.checked_sub(self.oldest)?).ok()?;
        let slot = self.slots.get_mut(place)?;
        (slot.progress != Progress::Complete).then_some((place, slot))
    }

    /// Drops the oldest slot, whose answer was written.
    fn pass(&mut self, released: &mut Released) -> bool {
        let slot = self.slots.pop_front().expect("the answered slot is the oldest");
        self.oldest += 1;
        released.answers += 1;
        slot.mode.keep_alive
    }

    /// Drops all slots; their tickets are of another time from now on.
    fn drop_slots(&mut self) {
        self.oldest += self.slots.len() as u64;
        self.slots.clear();
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
        self.drop_slots();
        self.ending = false;
        self.continue_state = Continue::Unasked;
    }
}
