//! Messages that wait until their socket has sent what is before them: a fan-out over one socket is more than a network takes
//! at once. The connector is told, and holds back what opens: here are closes, and what one turn of it signed.
//!
//! **Runs on**: the shard. **Owns**: the messages, for each socket in their order.
//! **Invariants**: no message overtakes another of its socket. What waits was not sent: when its socket ends, it never is.
//! **Bounds**: [`BYTES_MAX`] for all sockets together.

use std::collections::{BTreeMap, VecDeque};

use super::connector::SocketId;

/// Bytes that wait at most: an order of some 500 bytes for each account of a connector, twice over.
pub(super) const BYTES_MAX: usize = 20 << 20;
/// A socket is given more once less than this waits in it: half of what `net::sockets` lets wait there.
pub(super) const SOCKET_BYTES: usize = 128 << 10;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    queues: BTreeMap<SocketId, VecDeque<String>>,
    bytes: usize,
}

impl Backlog {
    /// Whether something waits for this socket.
    pub(super) fn waits(&self, socket: SocketId) -> bool {
        self.queues.contains_key(&socket)
    }

    /// Keeps a message. False when there is no room for it.
    pub(super) fn push(&mut self, socket: SocketId, text: String) -> bool {
        if self.bytes + text.len() > BYTES_MAX {
            return false;
        }
        self.bytes += text.len();
        self.queues.entry(socket).or_default().push_back(text);
        true
    }

    /// Forgets what waits for a socket that ended.
    pub(super) fn forget(&mut self, socket: SocketId) {
        let gone = self.queues.remove(&socket).unwrap_or_default();
        self.bytes -= gone.iter().map(String::len).sum::<usize>();
    }

    /// Sends what can be sent: `send` says whether it took the message. True when it took any.
    pub(super) fn flush(&mut self, mut send: impl FnMut(SocketId, &str) -> bool) -> bool {
        let Self { queues, bytes } = self;
        let before = *bytes;
        queues.retain(|socket, queue| {
            while let Some(text) = queue.front() {
                if !send(*socket, text) {
                    return true;
                }
                *bytes -= text.len();
                queue.pop_front();
            }
            false
        });
        *bytes < before
    }
}
