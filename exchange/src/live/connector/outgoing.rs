//! What a connector asks of whoever owns the network, and what it is told of it.

use engine::core::ids::Timestamp;

use crate::live::pacing::Purpose;
use crate::live::protocol::{HttpCall, HttpReply};

/// A request that is under way; never used twice by a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// A socket of a connector; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

/// Which of an exchange's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// Requests.
    Rest,
    /// Binance: requests about the key itself, which another host answers.
    Wallet,
    /// Order entry over a WebSocket.
    Trade,
    /// An account's own stream.
    Private,
    /// Streams of the market.
    Public,
}

impl Server {
    /// The server that a request's path belongs to.
    #[must_use]
    pub fn of_target(target: &str) -> Self {
        if target.starts_with("/sapi/") { Self::Wallet } else { Self::Rest }
    }
}

/// What is to be done on the network, in this order.
#[derive(Debug)]
pub enum Outgoing {
    /// Send this request; tell its end by `Connector::call_done`.
    Call {
        /// Its name.
        tag: Tag,
        /// To whom.
        server: Server,
        /// The request, signed for now.
        call: HttpCall,
        /// Give it up then.
        deadline: Timestamp,
        /// What it is for: the more urgent ones get their connection first.
        purpose: Purpose,
    },
    /// Open a WebSocket; tell by `socket_opened` or `socket_closed`.
    Open {
        /// Its name.
        socket: SocketId,
        /// To whom.
        server: Server,
        /// Path and query.
        target: String,
    },
    /// Send a message over it.
    Send {
        /// Which.
        socket: SocketId,
        /// What.
        text: String,
    },
    /// Close it; its end is told by `socket_closed` all the same.
    Close {
        /// Which.
        socket: SocketId,
    },
}

/// How a call ended.
#[derive(Clone, Copy)]
pub enum CallEnd<'a> {
    /// No byte of it left, for a reason of this side: no place, no time.
    NotSent,
    /// No byte of it left: no connection could be made.
    Unreachable,
    /// Some of it may have left, and no complete answer came.
    NoAnswer,
    /// A complete answer.
    Answered(HttpReply<'a>),
}
