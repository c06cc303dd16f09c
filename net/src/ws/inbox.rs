//! Buffers for incoming messages, lent to sessions.
//!
//! **Runs on**: one thread; one inbox serves all its sessions.
//! **Owns**: the message that was delivered last, and a few spare buffers.
//! **Bounds**: [`SPARES_MAX`] buffers of at most [`KEPT_BYTES_MAX`] are kept; larger ones are freed after use.

use super::frame::CONTROL_BYTES_MAX;

/// More messages than this are seldom under way at once on one thread; further ones allocate.
const SPARES_MAX: usize = 16;

/// The largest buffer that is kept for reuse, in bytes: twice the default limit of a message, as a growing vector may
/// reach it.
const KEPT_BYTES_MAX: usize = 128 << 10;

/// See the module's contract.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The message delivered last.
    pub(super) message: Vec<u8>,
    /// The payload of the control frame delivered last.
    pub(super) control: Vec<u8>,
    spares: Vec<Vec<u8>>,
}

impl Inbox {
    /// An inbox without buffers; they come with use.
    #[must_use]
    pub fn new() -> Self {
        Self {
            message: Vec::new(),
            control: Vec::with_capacity(CONTROL_BYTES_MAX),
            spares: Vec::with_capacity(SPARES_MAX),
        }
    }

    /// Forgets what was delivered.
    pub(super) fn clear(&mut self) {
        self.message.clear();
        if self.message.capacity() > KEPT_BYTES_MAX {
            self.message = Vec::new();
        }
    }

    /// An empty buffer.
    pub(super) fn lend(&mut self) -> Vec<u8> {
        self.spares.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(super) fn take_back(&mut self, mut buffer: Vec<u8>) {
        if self.spares.len() < SPARES_MAX && (1..=KEPT_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.spares.push(buffer);
        }
    }

    /// Makes a lent buffer the delivered message.
    pub(super) fn deliver(&mut self, buffer: Vec<u8>) {
        let former = std::mem::replace(&mut self.message, buffer);
        self.take_back(former);
    }
}
