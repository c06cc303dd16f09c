//! The far end of every connection, for whoever plays the clients.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use super::state::State;
use crate::wire::ConnId;

/// How many bytes of a connection one poll delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// All that were written.
    Whole,
    /// At most this many (at least one).
    Fixed(usize),
    /// From one to `max`, drawn from a sequence that `seed` determines.
    Seeded {
        /// Start of the sequence.
        seed: u64,
        /// The largest piece.
        max: usize,
    },
}

/// The far end of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub(super) u64);

/// A connection as the far end sees it.
pub(super) struct Link {
    pub(super) address: SocketAddr,
    pub(super) to_server: VecDeque<u8>,
    pub(super) to_peer: Vec<u8>,
    /// How much the server may have sent and the peer not read: its socket buffers.
    pub(super) window_bytes: usize,
    pub(super) ended: bool,
    pub(super) reset: bool,
    pub(super) closed: bool,
    pub(super) conn: Option<ConnId>,
    /// The other end has taken the connection.
    pub(super) taken: bool,
}

impl Link {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            to_server: VecDeque::new(),
            to_peer: Vec::new(),
            window_bytes: usize::MAX,
            ended: false,
            reset: false,
            closed: false,
            conn: None,
            taken: true,
        }
    }
}

/// The other end of all connections. Clones are handles to the same network.
#[derive(Clone)]
pub struct MemoryNetwork {
    pub(super) state: Rc<RefCell<State>>,
}

impl MemoryNetwork {
    fn with_link<R: Default>(&self, peer: PeerId, act: impl FnOnce(&mut Link) -> R) -> R {
        self.state.borrow_mut().links.get_mut(&peer).map(act).unwrap_or_default()
    }

    /// Opens a connection; the server accepts it at its next poll.
    #[must_use]
    pub fn connect(&self, address: SocketAddr) -> PeerId {
        let mut state = self.state.borrow_mut();
        let peer = PeerId(state.next_peer);
        state.next_peer += 1;
        let closed = !state.accepting;
        state.links.insert(peer, Link { closed, ..Link::new(address) });
        if !closed {
            state.waiting.push_back(peer);
        }
        peer
    }

    /// The next connection that the wire opens to somewhere, and where to. It is established when [`MemoryNetwork::take`]
    /// was called, refused after [`MemoryNetwork::reset`].
    #[must_use]
    pub fn dialled(&self) -> Option<(PeerId, SocketAddr)> {
        let mut state = self.state.borrow_mut();
        let peer = state.dialled.pop_front()?;
        let address = state.links.get(&peer)?.address;
        Some((peer, address))
    }

    /// Takes a connection that the wire opens.
    pub fn take(&self, peer: PeerId) {
        self.with_link(peer, |link| link.taken = true);
    }

    /// Sends bytes to the server.
    pub fn write(&self, peer: PeerId, bytes: &[u8]) {
        self.with_link(peer, |link| link.to_server.extend(bytes));
    }

    /// Takes what the server sent.
    #[must_use]
    pub fn read(&self, peer: PeerId) -> Vec<u8> {
        self.with_link(peer, |link| std::mem::take(&mut link.to_peer))
    }

    /// How many bytes of the server wait to be read.
    #[must_use]
    pub fn unread_bytes(&self, peer: PeerId) -> usize {
        self.with_link(peer, |link| link.to_peer.len())
    }

    /// Ends the peer's direction, after what was written.
    pub fn end(&self, peer: PeerId) {
        self.with_link(peer, |link| link.ended = true);
    }

    /// Resets the connection: what was written and not delivered is lost.
    pub fn reset(&self, peer: PeerId) {
        self.with_link(peer, |link| {
            link.reset = true;
            link.to_server.clear();
        });
    }

    /// Whether the server has closed the connection (or never took it).
    #[must_use]
    pub fn is_closed(&self, peer: PeerId) -> bool {
        self.with_link(peer, |link| link.closed)
    }

    /// How many unread bytes the peer takes before it blocks the server.
    pub fn set_window(&self, peer: PeerId, bytes: usize) {
        self.with_link(peer, |link| link.window_bytes = bytes);
    }

    /// The server's id of this connection, once it was accepted.
    #[must_use]
    pub fn conn(&self, peer: PeerId) -> Option<ConnId> {
        self.with_link(peer, |link| link.conn)
    }

    /// Drops the peer's end and all it holds; a connection that is still open is reset.
    pub fn forget(&self, peer: PeerId) {
        let mut state = self.state.borrow_mut();
        state.waiting.retain(|&waiting| waiting != peer);
        state.links.remove(&peer);
    }
}
