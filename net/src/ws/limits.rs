//! What one connection may make this side hold.
//!
//! **Invariants**: lengths of one message fit 31 bits, which keeps a [`super::Session`] small.

/// Bounds of an incoming message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in bytes after decompression; at most [`Limits::MESSAGE_BYTES_MAX`]. 64 KiB: what a client
    /// sends to this server is a few KiB. Memory follows the bytes that arrived, not the announced length.
    pub message_bytes_max: u32,
    /// The most frames of one message, at least 1. Empty fragments add no bytes, so the bytes alone do not bound them.
    /// 4,096: a message of the default size in pieces of 16 bytes.
    pub fragments_max: u32,
}

impl Limits {
    /// The most that `message_bytes_max` may be: 1 GiB, so that twice as much still fits 32 bits.
    pub const MESSAGE_BYTES_MAX: u32 = 1 << 30;

    /// How many bytes the frames of one compressed message may have: twice the message and a little. Deflate never
    /// needs more than a few bytes above the size of its input, but empty blocks expand to nothing and must end too.
    pub(super) fn compressed_bytes_max(self) -> u32 {
        2 * self.message_bytes_max + 64
    }

    /// Panics when a bound is out of its range.
    pub(super) fn check(self) {
        assert!(self.message_bytes_max <= Self::MESSAGE_BYTES_MAX, "message_bytes_max is at most 1 GiB");
        assert!(self.fragments_max > 0, "a message has at least one frame");
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 64 << 10, fragments_max: 4096 }
    }
}
