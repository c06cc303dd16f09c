//! The budget of a venue and an egress address, shared by all shards without locks.
//!
//! **Runs on**: every shard; one per (venue, address) in the process.
//! **Owns**: the counts of the address (HTTP; sockets, where those are counted apart) and its circuit.
//! **Invariants**: a count is one word that changes by compare-and-swap of a pure step, so every interleaving
//! equals some order of the steps, and what is taken is never above the ceiling of whoever takes it. Nothing
//! is published through a count: relaxed ordering will do. In a rolling span a unit is taken for good until
//! its shard gives it back, which is when it no longer counts at the exchange: so the sum over all shards is
//! the limit, wherever the units are.
//! **Never**: two budgets, or a budget and the circuit, on one cache line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::core::ids::Timestamp;

use super::circuit::{Circuit, CircuitView};
use super::limits::{Limit, SHARDS_MAX, Span, UnfitLimits, VenueLimits};
use super::window::{Count, Place};

/// How many units a shard takes in advance.
pub const LEASE_UNITS: u32 = 32;

/// One count of an address.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Pool {
    word: AtomicU64,
    limit: Limit,
    lease: u32,
}

impl Pool {
    fn new(limit: Limit, shards: u32) -> Self {
        // What all shards hold in advance stays below an eighth of the budget, so that one shard can use
        // nearly all of it.
        let lease = LEASE_UNITS.min(limit.units / (8 * shards));
        Self { word: AtomicU64::new(0), limit, lease }
    }

    /// The limit.
    pub(super) const fn limit(&self) -> Limit {
        self.limit
    }

    /// How much a shard holds in advance at most.
    pub(super) const fn lease(&self) -> u32 {
        self.lease
    }

    /// Where in time a moment of the exchange's clock is, for this count.
    pub(super) fn place(&self, venue_micros: u64) -> Place {
        match self.limit.span {
            Span::Fixed { micros } => Place::of(venue_micros, micros),
            Span::Rolling { .. } => Place::ALWAYS,
        }
    }

    /// Takes `need` units, and up to `want` when that is at most this shard's part of what is left. `None`:
    /// there are not so many below the ceiling.
    pub(super) fn take(&self, place: Place, need: u32, want: u32, shards: u32, ceiling: u32) -> Option<u32> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let count = Count::unpack(word);
            let share = count.left(place, ceiling) / shards;
            let (count, taken) = count.take(place, need, want.min(share), ceiling)?;
            match self.word.compare_exchange_weak(word, count.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(taken),
                Err(seen) => word = seen,
            }
        }
    }

    /// Gives units back that were taken at `place`.
    pub(super) fn give(&self, place: Place, units: u32) {
        if units > 0 {
            self.step(|count| Some(count.give(place, units)));
        }
    }

    /// The exchange says that at least so much is used.
    pub(super) fn raise(&self, place: Place, total: u32) {
        let count = Count::unpack(self.word.load(Ordering::Relaxed));
        if count.at(place).is_some_and(|count| count.used() < total) {
            self.step(|count| count.raise(place, total));
        }
    }

    /// How much is used or held by shards.
    pub(super) fn used(&self, place: Place) -> u32 {
        let count = Count::unpack(self.word.load(Ordering::Relaxed));
        count.at(place).unwrap_or(count).used().min(self.limit.units)
    }

    fn step(&self, step: impl Fn(Count) -> Option<Count>) {
        let apply = |word| step(Count::unpack(word)).map(Count::pack);
        // A step that declines leaves the count as it is: there is no error to handle.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, apply);
    }
}

/// What an address may still send to a venue. See the file's head.
#[derive(Debug)]
pub struct AddressBudget {
    limits: VenueLimits,
    shards: u32,
    http: Pool,
    socket: Option<Pool>,
    circuit: Circuit,
}

impl AddressBudget {
    /// The budget of an address that nothing was sent from, for so many shards.
    ///
    /// # Errors
    /// [`UnfitLimits`]: numbers that cannot be kept.
    pub fn new(limits: VenueLimits, shards: u32) -> Result<Arc<Self>, UnfitLimits> {
        limits.check()?;
        if shards == 0 || shards > SHARDS_MAX {
            return Err(UnfitLimits::Shards(shards));
        }
        Ok(Arc::new(Self {
            limits,
            shards,
            http: Pool::new(limits.http, shards),
            socket: limits.socket.map(|limit| Pool::new(limit, shards)),
            circuit: Circuit::default(),
        }))
    }

    /// Its limits.
    #[must_use]
    pub const fn limits(&self) -> &VenueLimits {
        &self.limits
    }

    /// How many shards share it.
    pub(super) const fn shards(&self) -> u32 {
        self.shards
    }

    /// The count that a request belongs to.
    pub(super) fn pool(&self, is_socket: bool) -> &Pool {
        match &self.socket {
            Some(socket) if is_socket => socket,
            _ => &self.http,
        }
    }

    /// Its circuit.
    pub(super) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// For people and metrics. `venue_micros`: the exchange's clock.
    #[must_use]
    pub fn view(&self, now: Timestamp, venue_micros: u64) -> AddressView {
        let budget =
            |pool: &Pool| BudgetView { used: pool.used(pool.place(venue_micros)), limit: pool.limit.units };
        AddressView {
            circuit: self.circuit.view(now),
            http: budget(&self.http),
            socket: self.socket.as_ref().map(budget),
        }
    }
}

/// A budget for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetView {
    /// Units used in the span, or held in advance by a shard.
    pub used: u32,
    /// Of how many.
    pub limit: u32,
}

/// An address for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressView {
    /// Its circuit.
    pub circuit: CircuitView,
    /// Requests by HTTP.
    pub http: BudgetView,
    /// Requests over sockets, where they are counted apart.
    pub socket: Option<BudgetView>,
}
