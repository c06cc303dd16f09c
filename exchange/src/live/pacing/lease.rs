//! A shard's share of an address budget: what it took in advance, and in a rolling span what it spent.
//!
//! **Runs on**: one shard. **Owns**: the units it took and has not given back.
//! **Invariants**: a unit in stock was taken below the ceiling of its purpose, and is spent only by that
//! purpose or a more urgent one: so opens never spend what is kept for closes, whoever took it. In a rolling
//! span a unit goes back to the pool only when it no longer counts at the exchange; in a fixed one it is
//! worth nothing after its part of the window.
//! **Bounds**: the stocks together are at most [`super::address::LEASE_UNITS`]; a stock that lies idle for
//! [`IDLE_MICROS`] goes back, so that other shards do not wait for it.

use engine::core::ids::Timestamp;
use planted::planted;

use super::address::Pool;
use super::limits::{SECOND, Span};
use super::purpose::Purpose;
use super::ring::{Ring, slot_micros};
use super::window::Place;

/// A stock that nothing was taken from for so long goes back, in microseconds: what one shard holds at the
/// end of its part of a fan-out is what another waits for.
pub const IDLE_MICROS: u64 = SECOND / 50;
/// How soon to ask again for units that another shard may give back, in microseconds.
pub const LOOK_MICROS: u64 = SECOND / 100;
/// Slots of a rolling span: one more covers a hundredth of it.
pub(super) const SPENT_SLOTS: usize = 104;

/// Why units are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// Ask again then.
    Until(Timestamp),
    /// There never are so many.
    ForEver,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The shard's.
    pub(super) now: Timestamp,
    /// The exchange's, in microseconds.
    pub(super) venue_micros: u64,
}

/// A shard's share of one budget.
#[derive(Debug)]
pub(super) struct Lease {
    /// Per purpose.
    stock: [u32; Purpose::ALL.len()],
    /// What the stock was taken for.
    place: Place,
    spent: Ring<SPENT_SLOTS>,
    used_at: Timestamp,
}

impl Lease {
    /// Nothing taken.
    pub(super) const fn new() -> Self {
        Self {
            stock: [0; Purpose::ALL.len()],
            place: Place::ALWAYS,
            spent: Ring::new(),
            used_at: Timestamp(0),
        }
    }

    /// Spends units.
    pub(super) fn spend(
        &mut self,
        pool: &Pool,
        shards: u32,
        at: Moment,
        purpose: Purpose,
        units: u32,
    ) -> Result<(), Short> {
        if units == 0 {
            return Ok(());
        }
        self.settle(pool, at);
        let all = pool.limit().units;
        let ceiling = if planted!("no_share_kept_for_closes") { all } else { purpose.ceiling(all) };
        if units > ceiling {
            return Err(Short::ForEver);
        }
        let held: u32 = self.stock[..=purpose.index()].iter().sum();
        if held < units {
            // All stocks together stay within the lease: others reckon with that.
            let want = pool.lease().saturating_sub(self.held());
            let Some(taken) = pool.take(self.place, units - held, want, shards, ceiling) else {
                return Err(Short::Until(self.again(pool, shards, at)));
            };
            self.stock[purpose.index()] += taken;
        }
        self.used_at = at.now;
        let mut need = units;
        // First what nobody less urgent could use.
        for stock in self.stock[..=purpose.index()].iter_mut().rev() {
            let part = need.min(*stock);
            *stock -= part;
            need -= part;
        }
        debug_assert_eq!(need, 0, "held or taken");
        if let Span::Rolling { .. } = pool.limit().span {
            self.spent.add(units);
        }
        Ok(())
    }

    /// What was spent at `sent` was not sent after all.
    pub(super) fn unspend(&mut self, pool: &Pool, sent: Moment, units: u32) {
        match pool.limit().span {
            Span::Fixed { .. } => pool.give(pool.place(sent.venue_micros), units),
            Span::Rolling { micros } => {
                let forgotten = self.spent.forget(slot(sent.now, micros), units);
                pool.give(Place::ALWAYS, forgotten);
            }
        }
    }

    /// Gives back what is over, idle or no longer worth anything.
    pub(super) fn settle(&mut self, pool: &Pool, at: Moment) {
        match pool.limit().span {
            Span::Fixed { .. } => {
                let place = pool.place(at.venue_micros);
                if place != self.place {
                    self.give_stock(pool);
                    self.place = place;
                }
            }
            Span::Rolling { micros } => {
                let over = self.spent.advance(slot(at.now, micros));
                if !planted!("spent_lease_never_given_back") {
                    pool.give(Place::ALWAYS, over);
                }
            }
        }
        if at.now >= self.used_at.plus_micros(IDLE_MICROS) {
            self.give_stock(pool);
        }
    }

    /// Units in stock.
    pub(super) fn held(&self) -> u32 {
        self.stock.iter().sum()
    }

    /// When [`Lease::settle`] has something to give back.
    pub(super) fn next_due(&self, pool: &Pool) -> Option<Timestamp> {
        let idle = (self.held() > 0).then(|| self.used_at.plus_micros(IDLE_MICROS));
        [idle, self.next_free(pool)].into_iter().flatten().min()
    }

    fn next_free(&self, pool: &Pool) -> Option<Timestamp> {
        match pool.limit().span {
            Span::Fixed { .. } => None,
            Span::Rolling { micros } => {
                let slot = self.spent.next_free()?;
                Some(Timestamp(slot.saturating_mul(slot_micros(micros, SPENT_SLOTS))))
            }
        }
    }

    fn give_stock(&mut self, pool: &Pool) {
        let held = self.held();
        if held > 0 {
            pool.give(self.place, held);
            self.stock = [0; Purpose::ALL.len()];
        }
    }

    /// When to ask again.
    fn again(&self, pool: &Pool, shards: u32, at: Moment) -> Timestamp {
        let own = match pool.limit().span {
            Span::Fixed { micros } => Some(at.now.plus_micros(Place::ends_in(at.venue_micros, micros))),
            Span::Rolling { .. } => self.next_free(pool),
        };
        let look = at.now.plus_micros(LOOK_MICROS);
        match own {
            Some(own) if shards == 1 => own.max(at.now.plus_micros(1)),
            Some(own) => own.min(look).max(at.now.plus_micros(1)),
            None => look,
        }
    }
}

fn slot(now: Timestamp, span_micros: u64) -> u64 {
    now.0 / slot_micros(span_micros, SPENT_SLOTS)
}
