//! One price, worked off in bounded pieces: funding first, then the levels along the way, then orders that take.
//!
//! **Invariants**: a tick is not over until all of it is done; requests wait that long. Each piece concerns one
//! account. Levels fire in the order in which the price comes by them; what a fill adds on the rest of the way fires
//! in the same tick, what it adds behind it waits for the next.

use engine::core::fixed::Price;
use engine::core::ids::{ClientOrderId, Timestamp};

use super::account::InstrumentIndex;
use super::book::{Level, Slot, Target};
use super::{FUNDING_CATCH_UP_MAX, PaperVenue, rules};
use crate::market::Tick;
use crate::venue::Mark;

/// A tick that is being worked off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    tick: Tick,
    index: InstrumentIndex,
    from: Price,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Funding up to a boundary; the next holder to see.
    Funding { boundary: Timestamp, next: Slot },
    /// Levels against the move: those that are overdue or rest at the very price.
    Against(Option<Level>),
    /// Levels along the move.
    Along(Option<Level>),
    /// Orders that take from the market.
    Working(Option<(Slot, ClientOrderId)>),
}

impl Running {
    fn rises(&self) -> bool {
        self.tick.price >= self.from
    }

    /// Where a level fires: at itself when the price moved through it, else where the price is now.
    fn price_at(&self, level: Price, rising: bool) -> Price {
        let on_the_way = if rising { level >= self.from } else { level <= self.from };
        if self.tick.continuous && on_the_way { level } else { self.tick.price }
    }
}

impl PaperVenue {
    /// Shows a new price and says what there is to do about it.
    pub(super) fn begin(&mut self, tick: Tick) -> Option<Running> {
        // Every symbol of the market was looked up when the venue was made.
        let index = self.index_of(tick.symbol)?;
        let book = self.book_mut(index);
        let from = book.mark.map_or(tick.price, |mark| mark.price);
        book.mark = Some(Mark { price: tick.price, venue_at: tick.venue_at });
        let boundary = rules::funding_boundary(tick.venue_at);
        let stage = if boundary > book.settled_through {
            Stage::Funding { boundary, next: 0 }
        } else {
            Stage::Against(None)
        };
        Some(Running { tick, index, from, stage })
    }

    /// Does the next piece; `None` when the tick is over.
    pub(super) fn go_on(&mut self, mut running: Running) -> Option<Running> {
        running.stage = match running.stage {
            Stage::Funding { boundary, next } => self.fund(&running, boundary, next),
            Stage::Against(last) => match self.fire_next(&running, !running.rises(), last) {
                Some(level) => Stage::Against(Some(level)),
                None => Stage::Along(None),
            },
            Stage::Along(last) => match self.fire_next(&running, running.rises(), last) {
                Some(level) => Stage::Along(Some(level)),
                None => Stage::Working(None),
            },
            Stage::Working(last) => Stage::Working(Some(self.work_next(&running, last)?)),
        };
        Some(running)
    }

    /// Settles what is due on the next holder.
    fn fund(&mut self, running: &Running, boundary: Timestamp, next: Slot) -> Stage {
        let book = self.book_mut(running.index);
        let Some(slot) = book.holders.range(next..).next().copied() else {
            book.settled_through = boundary;
            return Stage::Against(None);
        };
        let through = self
            .account_at(slot)
            .position(running.index)
            .map_or(boundary, |position| rules::funding_boundary(position.funded_through()));
        let due = boundary.micros_since(through) / rules::FUNDING_EVERY_MICROS;
        for back in (0..due.min(FUNDING_CATCH_UP_MAX)).rev() {
            let at = Timestamp(boundary.0 - back * rules::FUNDING_EVERY_MICROS);
            let rates = self.book(running.index).rates.as_ref();
            let rate = rates.and_then(|table| table.rate_at(at)).unwrap_or(self.funding_rate);
            self.settle(slot, running.index, at, running.tick.price, rate);
        }
        Stage::Funding { boundary, next: slot + 1 }
    }

    /// Fires the next level that the price has reached; returns it.
    fn fire_next(&mut self, running: &Running, rising: bool, last: Option<Level>) -> Option<Level> {
        let tick = running.tick;
        let level = self.book(running.index).next_reached(tick.price, rising, last)?;
        let price = running.price_at(level.price, rising);
        // At a price that was jumped to there was no way along which something else could come first.
        let (Target::Order(slot, _) | Target::Liquidation(slot)) = level.target;
        let jumped = price == tick.price && price != level.price;
        if jumped && self.liquidate_if_reached(slot, running.index, tick.price, tick.venue_at) {
            // What did not end with the position goes on at this price.
            if let Target::Liquidation(_) = level.target {
                return Some(level);
            }
        }
        match level.target {
            Target::Liquidation(slot) => self.liquidate(slot, running.index, price, tick.venue_at),
            Target::Order(slot, id) => {
                let at = (tick.venue_at, tick.number, tick.price);
                self.fire_order(slot, running.index, id, level.price, price, at);
            }
        }
        Some(level)
    }

    /// Lets the next order take from the market at this price; returns it.
    fn work_next(
        &mut self,
        running: &Running,
        last: Option<(Slot, ClientOrderId)>,
    ) -> Option<(Slot, ClientOrderId)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = last.map_or(Unbounded, Excluded);
        let next = self.book(running.index).working.range((from, Unbounded)).next().copied()?;
        let (slot, id) = next;
        let tick = running.tick;
        // A trigger that fired on this tick has had its share of it.
        if self.account_at(slot).order(id).is_some_and(|live| live.last_tick < tick.number) {
            self.take(slot, running.index, id, tick.price, tick.venue_at, tick.number);
        }
        Some(next)
    }
}
