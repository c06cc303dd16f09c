//! What callers ask of a shard and what they get; and the messages between shards.

use super::fanout::FanOutOrder;
use super::lanes::{CloseKey, Lane};
use super::metrics::{Histograms, ShardStatus};
use super::ports::{Reads, ShardId};
use crate::core::command::{Command, Refusal, Reply};
use crate::core::ids::{SignalId, SourceId, UserId};
use crate::core::signal::FanOutCounts;

/// Where an answer goes: opaque to the shard, made by whoever asked on this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo(pub u64);

/// How the caller proves who they are; checked on the owner's shard before anything is queued.
#[derive(Clone, Copy)]
pub enum Auth {
    /// Nothing to prove (sign-up, internal).
    Open,
    /// A session of the user: SHA-256 of its token.
    Session(UserId, [u8; 32]),
    /// The secret of one of this publisher's sources: its SHA-256. A signal gets the source from it.
    Secret(UserId, [u8; 32]),
    /// The secret of exactly this source.
    SourceSecret(SourceId, [u8; 32]),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Session(user, _) => write!(f, "Session({user})"),
            Self::Secret(owner, _) => write!(f, "Secret({owner})"),
            Self::SourceSecret(source, _) => write!(f, "SourceSecret({source})"),
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub enum Op<Q> {
    /// A change.
    Command(Command),
    /// A read.
    Question(Q),
    /// The shard's state of affairs.
    Status,
    /// The shard's histograms since the last time; it goes on with empty ones.
    TakeHistograms,
}

impl<Q> Op<Q> {
    /// The lane it waits in.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Command(command) => match command {
                Command::Signal { .. } | Command::ClosePosition { .. } => Lane::High,
                Command::FinishSignal { .. } => Lane::Background,
                _ => Lane::Medium,
            },
            Self::Question(_) | Self::Status | Self::TakeHistograms => Lane::Low,
        }
    }

    /// What it closes, when it is a close.
    #[must_use]
    pub fn close_key(&self) -> Option<CloseKey> {
        match self {
            Self::Command(Command::Signal { source, draft }) if draft.kind.opens().is_none() => {
                Some(CloseKey::signal(*source, draft.symbol, draft.kind))
            }
            Self::Command(Command::ClosePosition { user, account, symbol }) => {
                Some(CloseKey::Position(*user, *account, *symbol))
            }
            _ => None,
        }
    }
}

/// An ask on its way to the owner.
#[derive(Debug)]
pub struct Ask<Q> {
    /// Who asks.
    pub auth: Auth,
    /// What.
    pub op: Op<Q>,
    /// Whose line it waits in.
    pub user: UserId,
}

/// What a caller gets.
#[derive(Debug)]
pub enum Answer<A> {
    /// A command was decided, and what it did is durable.
    Decided(Result<Reply, Refusal>),
    /// A question was answered from durable state.
    Read(A),
    /// The state of affairs.
    Status(Box<ShardStatus>),
    /// The histograms.
    Histograms(Box<Histograms>),
    /// The session or secret is wrong.
    Unauthorized,
    /// A queue is full; nothing happened. Ask again after so many seconds.
    Busy {
        /// Whole seconds.
        retry_after: u32,
    },
    /// It waited longer than its lane allows; nothing happened.
    DeadlineExceeded,
    /// The shard has stopped: its log has failed. Nothing of it was acknowledged; whether it is in the log shows after the restart.
    Stopped,
}

/// A message from one shard to another.
#[derive(Debug)]
pub enum Message<R: Reads> {
    /// Please decide this; a place for the answer is reserved under the ticket.
    Ask(u32, Box<Ask<R::Question>>),
    /// The answer to a ticket.
    Answer(u32, Box<Answer<R::Answer>>),
    /// A signal for your subscribers.
    FanOut(Box<FanOutOrder>),
    /// Your signal's fan-out is done and durable here.
    FanOutDone(SignalId, FanOutCounts),
}

/// Where a task came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A caller on this shard.
    Local(ReplyTo),
    /// A caller on another shard.
    Remote(ShardId, u32),
}
