//! How other threads of the process talk to the shards: a ring and a bell each.
//!
//! **Runs on**: main, demo and housekeeping threads, never on a shard: senders share a ring under a lock that no shard
//! takes. **Bounds**: [`INSIDE_RING`] messages per shard; a full ring is an error to the sender.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::bounded;
use engine::core::ids::UserId;
use engine::shard::ask::{Answer, Ask};
use engine::shard::ports::{ShardId, owner};
use ringbuf::doorbell::Ringer;
use ringbuf::spsc::Producer;

use super::shard_loop::Inside;
use crate::reads::{Found, Question};
use crate::web::desk::Target;

/// Messages that may wait for a shard.
pub const INSIDE_RING: usize = 16_384;

struct Line {
    ring: Mutex<Producer<Inside>>,
    bell: Ringer,
}

/// The lines to all shards.
#[derive(Clone)]
pub struct Lines {
    lines: Arc<[Line]>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Too much is waiting.
    #[error("the shard's ring is full")]
    Full,
    /// It did not answer in time or is gone.
    #[error("the shard did not answer in time")]
    Silent,
}

/// The receiving end of one answer.
pub type Waiting = crossbeam_channel::Receiver<Answer<Found>>;

impl Lines {
    /// Lines over these rings and bells, in the order of the shards.
    #[must_use]
    pub fn new(ends: Vec<(Producer<Inside>, Ringer)>) -> Self {
        let line = |(ring, bell)| Line { ring: Mutex::new(ring), bell };
        Self { lines: ends.into_iter().map(line).collect() }
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.lines.len()).expect("fewer than 65536 shards")
    }

    /// Sends a message to a shard.
    ///
    /// # Errors
    /// [`NoAnswer::Full`].
    ///
    /// # Panics
    /// When another sender panicked while it held the line.
    pub fn tell(&self, shard: ShardId, message: Inside) -> Result<(), NoAnswer> {
        self.offer(shard, message).map_err(|_| NoAnswer::Full)
    }

    /// The same, for whoever offers it again later.
    ///
    /// # Errors
    /// The message, when the ring is full.
    ///
    /// # Panics
    /// When another sender panicked while it held the line.
    pub fn offer(&self, shard: ShardId, message: Inside) -> Result<(), Inside> {
        let line = &self.lines[shard.place()];
        line.ring.lock().expect("no sender panics with the line").push(message).map_err(|full| full.0)?;
        line.bell.ring();
        Ok(())
    }

    /// Asks the owner of a user; the answer comes to the receiver.
    ///
    /// # Errors
    /// [`NoAnswer::Full`].
    pub fn begin(&self, ask: Ask<Question>) -> Result<Waiting, NoAnswer> {
        let shard = owner(ask.user, self.shards());
        self.begin_at(shard, ask)
    }

    /// Asks one shard.
    ///
    /// # Errors
    /// [`NoAnswer::Full`].
    pub fn begin_at(&self, shard: ShardId, ask: Ask<Question>) -> Result<Waiting, NoAnswer> {
        let (sender, receiver) = bounded(1);
        self.tell(shard, Inside::Ask(Target::Shard(shard), Box::new(ask), sender))?;
        Ok(receiver)
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub fn ask(&self, ask: Ask<Question>, limit: Duration) -> Result<Answer<Found>, NoAnswer> {
        self.begin(ask)?.recv_timeout(limit).map_err(|_| NoAnswer::Silent)
    }

    /// Asks one shard and waits.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub fn ask_at(
        &self,
        shard: ShardId,
        ask: Ask<Question>,
        limit: Duration,
    ) -> Result<Answer<Found>, NoAnswer> {
        self.begin_at(shard, ask)?.recv_timeout(limit).map_err(|_| NoAnswer::Silent)
    }
}

/// The user that an ask which is about no user counts for.
#[must_use]
pub const fn nobody() -> UserId {
    UserId(0)
}
