//! Signals: what a source says, and how one signal's life is tracked where its source lives.

#![allow(
    missing_docs,
    reason = "rkyv generates a type without docs per variant; the source documents every field"
)]

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::Price;
use super::ids::{SignalId, Timestamp};
use super::instrument::Symbol;
use super::order::Side;

/// What a signal asks for. See DOMAIN.md §1, kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum SignalKind {
    /// Open long; `strong` passes a looser market filter.
    OpenLong {
        /// The FORTE / STRONG spelling.
        strong: bool,
    },
    /// Open short; `strong` passes a looser market filter.
    OpenShort {
        /// The FORTE / STRONG spelling.
        strong: bool,
    },
    /// Close a long position.
    CloseLong,
    /// Close a short position.
    CloseShort,
    /// Close whatever side is open.
    CloseAll,
}

impl SignalKind {
    /// The side of an open, `None` for a close.
    #[must_use]
    pub const fn opens(self) -> Option<Side> {
        match self {
            Self::OpenLong { .. } => Some(Side::Buy),
            Self::OpenShort { .. } => Some(Side::Sell),
            Self::CloseLong | Self::CloseShort | Self::CloseAll => None,
        }
    }

    /// Whether it is a close that covers positions (and opens) of `side`.
    #[must_use]
    pub const fn closes(self, side: Side) -> bool {
        matches!(
            (self, side),
            (Self::CloseAll, _) | (Self::CloseLong, Side::Buy) | (Self::CloseShort, Side::Sell)
        )
    }

    /// A stable machine word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenLong { strong: false } => "open_long",
            Self::OpenLong { strong: true } => "open_long_strong",
            Self::OpenShort { strong: false } => "open_short",
            Self::OpenShort { strong: true } => "open_short_strong",
            Self::CloseLong => "close_long",
            Self::CloseShort => "close_short",
            Self::CloseAll => "close",
        }
    }
}

/// An accepted signal: all that a subscriber's decision needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Signal {
    /// Its id.
    pub id: SignalId,
    /// What it asks for.
    pub kind: SignalKind,
    /// On which symbol.
    pub symbol: Symbol,
    /// The sender's price, informative.
    pub price: Option<Price>,
    /// The sender's leverage; clamped to the user's own.
    pub leverage: Option<u8>,
    /// The sender's stop-loss price.
    pub stop_loss: Option<Price>,
    /// The sender's take-profit price.
    pub take_profit: Option<Price>,
    /// The signal's own time, when it carries one.
    pub signal_at: Option<Timestamp>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Opens whose decision comes later than this are skipped as expired. Closes never expire.
    pub expires_at: Timestamp,
}

/// How many subscribers a fan-out reached and what came of it, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct FanOutCounts {
    /// Subscribers who were decided on.
    pub users: u32,
    /// Orders that were made durable.
    pub intents: u32,
    /// Subscribers for whom a named reason spoke against an order.
    pub skipped: u32,
}

impl FanOutCounts {
    /// Adds another shard's part.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            users: self.users.saturating_add(other.users),
            intents: self.intents.saturating_add(other.intents),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }
}

/// A signal as its source remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SourceSignal {
    /// The signal.
    pub signal: Signal,
    /// The body as it was received, the secret taken out; unknown fields are kept here.
    pub body: String,
    /// The number of a later close that covers this open: subscribers not reached before it are skipped.
    pub superseded_by: Option<u32>,
    /// Set when every subscriber on every shard was decided on.
    pub finished: Option<FanOutCounts>,
    /// When `finished` was set.
    pub finished_at: Timestamp,
}
