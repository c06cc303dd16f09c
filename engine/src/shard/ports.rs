//! What a shard needs from outside, as traits: its log, its venue, its callers and what they read.
//!
//! Static dispatch only; the server wires the real ones, the simulator its own.

use crate::core::command::{Command, Refusal, Reply};
use crate::core::event::Event;
use crate::core::fixed::{Money, Price};
use crate::core::ids::{AccountId, ClientOrderId, Timestamp, UserId};
use crate::core::instrument::{MarketView, Symbol};
use crate::core::key::KeyFinding;
use crate::core::order::{NewOrder, VenueReport};
use crate::core::rules::Rules;
use crate::core::state::State;
use crate::core::user::{ExchangeAccount, User};
use crate::seam::Nanos;

/// Number of a record in a shard's log, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// As an index.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// The shard that owns a user when there are `shards` of them: slots in equal runs.
#[must_use]
pub fn owner(user: UserId, shards: u16) -> ShardId {
    let slots = u32::from(crate::core::ids::SLOTS);
    let place = u32::from(user.slot()) * u32::from(shards) / slots;
    ShardId(u16::try_from(place).expect("below the number of shards"))
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// The monotonic clock.
    pub mono: Nanos,
    /// The calendar.
    pub wall: Timestamp,
}

/// The log cannot take records any more: the shard stops.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct JournalFailed(pub String);

/// The shard's log, as far as the shard itself sees it. Flushing is the loop's.
pub trait Journal {
    /// Bytes of records that fit now, at least.
    fn room_bytes(&self) -> usize;
    /// Takes a record. Durable later.
    ///
    /// # Errors
    /// [`JournalFailed`], for ever after.
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalFailed>;
    /// The last record taken.
    fn last(&self) -> Lsn;
    /// The last record that is durable.
    fn durable(&self) -> Lsn;
}

/// The venue's request queue is full; ask again after the next poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueBusy;

/// A decision as it was just made and applied, for whoever checks the shard from outside.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The time it was made at.
    pub now: Timestamp,
    /// Whom it is about; `None` with a refusal.
    pub user: Option<UserId>,
    /// What was to be decided.
    pub command: &'a Command,
    /// What was decided; empty when nothing changed.
    pub events: &'a [Event],
    /// What is answered.
    pub outcome: Result<Reply, Refusal>,
    /// The record that holds the events, or the newest one when there are none.
    pub lsn: Lsn,
    /// The state after it.
    pub state: &'a State,
}

/// The venue side of a shard: effects go in, reports come out, and prices can be looked up.
pub trait Gateway: MarketView {
    /// Makes a new account known.
    fn open_account(&mut self, account: AccountId, wallet: Money);
    /// Is told that the key of an account on an exchange was entered, removed or judged; `now` is how the account stands
    /// after it. A venue without keys has nothing to do.
    fn key_changed(&mut self, account: AccountId, now: &ExchangeAccount) {
        let _ = (account, now);
    }
    /// Makes a recovered user's accounts, positions and live orders known.
    ///
    /// # Errors
    /// Why not, with a remedy.
    fn restore(&mut self, user: &User) -> Result<(), String>;
    /// Is told what an account will probably trade next, and with which leverage, so that it can prepare what an entry would
    /// wait for; replaces what was told before. Nothing rests on it.
    fn expect(&mut self, account: AccountId, symbols: &[(Symbol, u8)]) {
        let _ = (account, symbols);
    }
    /// Sends an order.
    ///
    /// # Errors
    /// [`VenueBusy`]: not taken.
    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy>;
    /// Sends an order that opens a position, and says which triggers are planned for it: a venue that attaches them to the
    /// position sets them with the order. When it was decided is told again if it fills late.
    ///
    /// # Errors
    /// [`VenueBusy`]: not taken.
    fn submit_entry(
        &mut self,
        now: Timestamp,
        order: &NewOrder,
        stop: Price,
        take_profit: Price,
        decided_at: Timestamp,
    ) -> Result<(), VenueBusy> {
        let _ = (stop, take_profit, decided_at);
        self.submit(now, order)
    }
    /// Takes an order back.
    ///
    /// # Errors
    /// [`VenueBusy`]: not taken.
    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy>;
    /// Asks what became of an order.
    ///
    /// # Errors
    /// [`VenueBusy`]: not taken.
    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy>;
    /// Hands over at most `budget` reports' worth of news; the units of work done.
    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize;
    /// What a venue said about an account's key, and which of its keys it was asked with.
    fn take_key_finding(&mut self) -> Option<(AccountId, u32, KeyFinding)> {
        None
    }
    /// When `poll` has work again at the latest.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp>;
    /// Is told each decision, with the prices it was made on still in force. The simulator's looks on here and compares;
    /// a real one has nothing to do.
    fn decided(&mut self, decision: Decided<'_>) {
        let _ = decision;
    }
}

/// What callers read: a question against the state, bounded in work, and its answer.
pub trait Reads {
    /// A question. Crosses shards.
    type Question: Send + 'static;
    /// Its answer. Crosses shards.
    type Answer: Send + 'static;
    /// Answers. Must do a bounded amount of work.
    fn read(
        state: &State,
        rules: &Rules,
        market: &impl MarketView,
        now: Timestamp,
        question: Self::Question,
    ) -> Self::Answer;
}
