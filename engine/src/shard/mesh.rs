//! A shard's place in the mesh: asks that are under way to other shards, answers that are owed, fan-outs to pass on.
//!
//! **Runs on**: its shard. **Owns**: its port, the table of its unanswered asks.
//! **Invariants**: an ask leaves only with a reserved place for its answer, so an answer never meets a full ring and no
//! two shards can wait for each other.
//! **Bounds**: [`REMOTE_ASKS_MAX`] unanswered asks per shard; the last [`REMOTE_ASKS_FOR_CLOSES`] are for closes.

use std::collections::VecDeque;

use ringbuf::{
    doorbell::Ringer,
    mesh::{Inbox, Outbox, Port},
};

use super::ask::{Answer, Ask, Message, ReplyTo};
use super::fanout::FanOutOrder;
use super::lanes::Lane;
use super::limits::{MESH_FAN_OUTS_MAX, REMOTE_ASKS_FOR_CLOSES, REMOTE_ASKS_MAX, TURN_MESSAGES};
use super::ports::{Reads, ShardId};
use crate::core::ids::SignalId;
use crate::core::signal::FanOutCounts;

/// Ring of answers and fan-outs; served first.
const RING_ANSWERS: usize = 0;
/// How the rings share a turn.
const RING_WEIGHTS: [u32; 4] = [16, 4, 3, 2];

/// News for other shards that waits for room; small, for it is bounded by the signals at work.
enum Note {
    FanOut(Box<FanOutOrder>),
    Done(SignalId, FanOutCounts),
}

/// See the module's head.
pub struct Mesh<R: Reads> {
    shard: ShardId,
    outbox: Outbox<Message<R>>,
    inbox: Inbox<Message<R>>,
    ringers: Vec<Option<Ringer>>,
    rung: Vec<bool>,
    asked: Vec<Option<ReplyTo>>,
    free_tickets: Vec<u32>,
    notes: VecDeque<(ShardId, Note)>,
}

impl<R: Reads> Mesh<R> {
    /// Joins the mesh. `ringers[i]` wakes shard `i`; its own place is empty.
    ///
    /// # Panics
    /// When the ringers do not fit the port.
    #[must_use]
    pub fn new(port: Port<Message<R>>, ringers: Vec<Option<Ringer>>) -> Self {
        let place = port.shard();
        assert!(place < ringers.len(), "a ringer per shard");
        let shard = ShardId(u16::try_from(place).expect("fewer than 65536 shards"));
        let (outbox, mut inbox) = port.split();
        inbox.set_weights(RING_WEIGHTS);
        let tickets = u32::try_from(REMOTE_ASKS_MAX).expect("fits");
        Self {
            shard,
            outbox,
            inbox,
            rung: vec![false; ringers.len()],
            ringers,
            asked: (0..REMOTE_ASKS_MAX).map(|_| None).collect(),
            free_tickets: (0..tickets).rev().collect(),
            notes: VecDeque::new(),
        }
    }

    /// This shard.
    #[must_use]
    pub const fn shard(&self) -> ShardId {
        self.shard
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.ringers.len()).expect("fewer than 65536 shards")
    }

    /// Sends an ask to another shard.
    ///
    /// # Errors
    /// The caller, when no place is left: nothing was sent.
    pub fn ask(&mut self, to: ShardId, ask: Box<Ask<R::Question>>, reply: ReplyTo) -> Result<(), ReplyTo> {
        let close = ask.op.close_key().is_some();
        let reserves = !close || planted::planted!("close_finds_no_mesh_ticket");
        let kept = if reserves { REMOTE_ASKS_FOR_CLOSES } else { 0 };
        if self.free_tickets.len() <= kept {
            return Err(reply);
        }
        let ring = match ask.op.lane() {
            Lane::High => 1,
            Lane::Medium => 2,
            Lane::Low | Lane::Background => 3,
        };
        // Places of the high ring are kept for closes likewise.
        if self.outbox.free(to.place(), ring) <= kept {
            return Err(reply);
        }
        let ticket = self.free_tickets.pop().expect("counted above");
        if self.outbox.send(to.place(), ring, Message::Ask(ticket, ask)).is_err() {
            self.free_tickets.push(ticket);
            return Err(reply);
        }
        self.asked[ticket as usize] = Some(reply);
        self.rung[to.place()] = true;
        Ok(())
    }

    /// Sends an answer.
    ///
    /// # Panics
    /// When its place is taken: the asker reserved it.
    pub fn answer(&mut self, to: ShardId, ticket: u32, answer: Answer<R::Answer>) {
        let sent = self.outbox.send(to.place(), RING_ANSWERS, Message::Answer(ticket, Box::new(answer)));
        assert!(sent.is_ok(), "an answer's place was reserved when it was asked for");
        self.rung[to.place()] = true;
    }

    /// Takes an answer's caller off the table.
    pub fn redeem(&mut self, ticket: u32) -> Option<ReplyTo> {
        let reply = self.asked.get_mut(ticket as usize)?.take()?;
        if !planted::planted!("mesh_ticket_leaked") {
            self.free_tickets.push(ticket);
        }
        Some(reply)
    }

    /// Passes a signal to every other shard, now or as soon as there is room.
    pub fn fan_out(&mut self, order: FanOutOrder) {
        for place in (0..self.shards()).filter(|place| *place != self.shard.0) {
            self.notes.push_back((ShardId(place), Note::FanOut(Box::new(order))));
        }
        self.pass_notes();
    }

    /// Tells a signal's home that its fan-out is done here.
    pub fn fan_out_done(&mut self, home: ShardId, signal: SignalId, counts: FanOutCounts) {
        self.notes.push_back((home, Note::Done(signal, counts)));
        self.pass_notes();
    }

    /// Sends the notes that have room, in order; the rest later. Places of answers are never touched.
    pub fn pass_notes(&mut self) {
        while let Some((to, _)) = self.notes.front() {
            let to = *to;
            let capacity = self.outbox.capacity(to.place(), RING_ANSWERS);
            let reserved = capacity.saturating_sub(MESH_FAN_OUTS_MAX).max(REMOTE_ASKS_MAX);
            if self.outbox.free(to.place(), RING_ANSWERS) <= reserved {
                if planted::planted!("mesh_note_dropped_when_full") {
                    self.notes.pop_front();
                }
                return;
            }
            if planted::planted!("mesh_done_note_dropped")
                && matches!(self.notes.front(), Some((_, Note::Done(..))))
            {
                self.notes.pop_front();
                continue;
            }
            let message = match self.notes.pop_front() {
                Some((_, Note::FanOut(order))) => Message::FanOut(order),
                Some((_, Note::Done(signal, counts))) => Message::FanOutDone(signal, counts),
                None => return,
            };
            let sent = self.outbox.send(to.place(), RING_ANSWERS, message);
            assert!(sent.is_ok(), "room was counted before");
            self.rung[to.place()] = true;
        }
    }

    /// Takes messages, up to a turn's worth. Returns how many.
    pub fn receive(&mut self, mut take: impl FnMut(ShardId, Message<R>)) -> usize {
        self.inbox.receive(TURN_MESSAGES, |from, _, message| {
            take(ShardId(u16::try_from(from).expect("fewer than 65536 shards")), message);
        })
    }

    /// Wakes the shards that got something since the last time. One call per turn.
    pub fn ring(&mut self) {
        for (rung, ringer) in self.rung.iter_mut().zip(&self.ringers) {
            if std::mem::take(rung)
                && let Some(ringer) = ringer
            {
                ringer.ring();
            }
        }
    }

    /// Whether messages wait here.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether notes wait for room.
    #[must_use]
    pub fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }
}
