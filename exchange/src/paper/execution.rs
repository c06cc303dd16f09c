//! Fills: what an execution does to an order, a position and a wallet, and what is reported of it.

use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::order::{Fill, Liquidity, OrderKind, OrderState, Side, VenueReason, VenueReport};

use super::account::{End, InstrumentIndex, LiveOrder, Position, opening_cost};
use super::book::{Level, Slot, Target};
use super::{MARKET_FILLS_MAX, PaperVenue, rules};

const FITS: &str = "notionals are within NOTIONAL_MAX times the spread of prices";

/// One chance of an order to execute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance {
    pub(super) price: Price,
    /// At most this much.
    pub(super) quantity: Quantity,
    pub(super) liquidity: Liquidity,
    pub(super) venue_at: Timestamp,
    /// Number of the tick.
    pub(super) tick: u64,
}

impl PaperVenue {
    /// Lets an order take from the market at `price`, up to the instrument's depth.
    pub(super) fn take(
        &mut self,
        slot: Slot,
        index: InstrumentIndex,
        id: ClientOrderId,
        price: Price,
        venue_at: Timestamp,
        tick: u64,
    ) {
        let quantity = self.depths[usize::from(index)];
        self.execute(slot, id, Chance { price, quantity, liquidity: Liquidity::Taker, venue_at, tick });
    }

    /// Executes an order as far as the chance, its own quantity and (for closing orders) the position go.
    pub(super) fn execute(&mut self, slot: Slot, id: ClientOrderId, chance: Chance) {
        let Some(live) = self.account_at(slot).order(id) else { return };
        let (index, side, closes) = (live.instrument, live.order.side, live.closes_only());
        let trigger = live.order.kind.is_trigger();
        let wanted = if trigger { Quantity::MAX } else { live.remaining() };
        let mut left = wanted.min(chance.quantity);

        let opposite = self.account_at(slot).position(index).filter(|position| position.side != side);
        if let Some(open) = opposite.map(|position| position.quantity) {
            let quantity = left.min(open);
            let flat = quantity == open;
            let last = if trigger { flat } else { quantity == wanted };
            self.fill_closing(slot, index, id, Chance { quantity, ..chance }, last);
            if last {
                self.finish(slot, id, End::Filled);
            } else if flat && closes {
                self.finish(slot, id, End::Ended(OrderState::Expired, VenueReason::PositionClosed));
            }
            if flat {
                self.end_protection(slot, index);
            }
            left = left.checked_sub(quantity).expect("the lesser of the two was taken");
        } else if closes {
            self.finish(slot, id, End::Ended(OrderState::Expired, VenueReason::PositionClosed));
        }

        if !closes && left.is_positive() {
            self.open_up(slot, index, id, Chance { quantity: left, ..chance });
        }
        let worn_out = self
            .account_at(slot)
            .order(id)
            .is_some_and(|live| live.working && live.fill_count >= MARKET_FILLS_MAX);
        if worn_out {
            self.finish(slot, id, End::Ended(OrderState::Expired, VenueReason::Liquidity));
        }
    }

    /// The part of an execution that opens or adds, when the margin is there; else the order ends.
    fn open_up(&mut self, slot: Slot, index: InstrumentIndex, id: ClientOrderId, chance: Chance) {
        let instrument = *self.instrument_at(index);
        let account = self.account_at(slot);
        let Some(live) = account.order(id) else { return };
        let own = live.reserved(&instrument);
        let affordable = account.free(&self.instruments).checked_add(own).expect(FITS);
        let needed = opening_cost(chance.price, chance.quantity, live.order.leverage, &instrument);
        if needed.is_none_or(|needed| needed > affordable) {
            self.finish(slot, id, End::Ended(OrderState::Expired, VenueReason::Margin));
            return;
        }
        let (side, leverage) = (live.order.side, live.order.leverage);
        let last = chance.quantity == live.remaining();
        let notional = chance.price.notional(chance.quantity).expect(FITS);
        self.report_fill(slot, index, id, chance, notional, last);
        self.unstand_liquidation(slot, index);
        let account = self.account_at_mut(slot);
        match account.position_mut(index) {
            Some(position) => {
                position.quantity = position.quantity.checked_add(chance.quantity).expect(FITS);
                position.entry_cost = position.entry_cost.checked_add(notional).expect(FITS);
            }
            None => account.positions.push(Position {
                instrument: index,
                side,
                quantity: chance.quantity,
                entry_cost: notional,
                leverage,
                opened_at: chance.venue_at,
                last_funding: None,
                liquidation: None,
            }),
        }
        self.book_mut(index).holders.insert(slot);
        self.stand_liquidation(slot, index);
        if last {
            self.finish(slot, id, End::Filled);
        }
    }

    /// The part of an execution that closes.
    fn fill_closing(
        &mut self,
        slot: Slot,
        index: InstrumentIndex,
        id: ClientOrderId,
        chance: Chance,
        last: bool,
    ) {
        let notional = chance.price.notional(chance.quantity).expect(FITS);
        self.report_fill(slot, index, id, chance, notional, last);
        let realised = self.reduce(slot, index, chance.quantity, notional);
        self.account_at_mut(slot).pay(realised);
    }

    /// Counts and reports a fill of an order, takes the fee, and moves the order's state on.
    fn report_fill(
        &mut self,
        slot: Slot,
        index: InstrumentIndex,
        id: ClientOrderId,
        chance: Chance,
        notional: Money,
        last: bool,
    ) {
        let instrument = self.instrument_at(index);
        let rate = match chance.liquidity {
            Liquidity::Taker => instrument.fee_taker,
            Liquidity::Maker => instrument.fee_maker,
        };
        let fee = rules::fee(notional, rate).expect(FITS);
        let account = self.account_at_mut(slot);
        if !planted::planted!("paper_fee_told_and_not_taken") {
            account.pay(fee.negated());
        }
        let live = account.order_mut(id).expect("only live orders are executed");
        live.filled = live.filled.checked_add(chance.quantity).expect(FITS);
        live.fill_count += 1;
        live.last_tick = chance.tick;
        let fill = Fill {
            number: live.fill_count,
            price: chance.price,
            quantity: chance.quantity,
            fee,
            liquidity: chance.liquidity,
            venue_at: chance.venue_at,
        };
        // Most orders have one fill.
        live.fills.reserve_exact(1);
        live.fills.push(fill);
        let fired = !live.working && live.order.kind.is_trigger();
        self.reports.push_back(VenueReport::Filled { id, fill, last });
        if fired {
            self.set_working(slot, id);
        }
    }

    /// A fired trigger stops waiting for its price and takes from the market until it is done.
    fn set_working(&mut self, slot: Slot, id: ClientOrderId) {
        self.unstand_order(slot, id);
        let live = self.account_at_mut(slot).order_mut(id).expect("only live orders are executed");
        live.working = true;
        self.stand_order(slot, id);
    }

    /// Makes a position smaller by `quantity` and returns what that realised. The wallet is not touched.
    fn reduce(&mut self, slot: Slot, index: InstrumentIndex, quantity: Quantity, notional: Money) -> Money {
        self.unstand_liquidation(slot, index);
        let account = self.account_at_mut(slot);
        let position = account.position_mut(index).expect("only an open position is reduced");
        let share = rules::cost_share(position.entry_cost, quantity, position.quantity).expect(FITS);
        let realised = rules::realised(position.side, notional, share).expect(FITS);
        position.quantity = position.quantity.checked_sub(quantity).expect("capped at what is open");
        position.entry_cost = position.entry_cost.checked_sub(share).expect(FITS);
        assert!(!position.quantity.is_negative(), "a close flipped a position of {}", account.id);
        if position.quantity.is_zero() {
            account.positions.retain(|position| position.instrument != index);
            self.book_mut(index).holders.remove(&slot);
        } else {
            self.stand_liquidation(slot, index);
        }
        realised
    }

    /// Ends every closing order on a symbol whose position is gone.
    fn end_protection(&mut self, slot: Slot, index: InstrumentIndex) {
        let of_symbol = |live: &&LiveOrder| live.instrument == index && live.closes_only();
        while let Some(id) = self.account_at(slot).orders.iter().find(of_symbol).map(|live| live.order.id) {
            self.finish(slot, id, End::Ended(OrderState::Expired, VenueReason::PositionClosed));
        }
    }

    /// Ends an order: out of the book, remembered, and reported unless its last fill said so already.
    pub(super) fn finish(&mut self, slot: Slot, id: ClientOrderId, end: End) {
        let kept = self.limits.finished_kept;
        self.unstand_order(slot, id);
        self.account_at_mut(slot).finish(id, end, kept);
        if let End::Ended(state, reason) = end {
            self.reports.push_back(VenueReport::Ended { id, state, reason });
        }
    }

    /// The venue's own close of a position whose margin is used up. A jump beyond the bankruptcy price still fills
    /// there, so the isolated margin is all that is lost.
    pub(super) fn liquidate(
        &mut self,
        slot: Slot,
        index: InstrumentIndex,
        price: Price,
        venue_at: Timestamp,
    ) {
        let instrument = *self.instrument_at(index);
        let Some(position) = self.account_at(slot).position(index).cloned() else { return };
        let price = rules::bankruptcy_price(
            position.side,
            position.entry_cost,
            position.quantity,
            position.leverage,
            instrument.tick,
        )
        .map_or(price, |floor| match position.side {
            Side::Buy => price.max(floor),
            Side::Sell => price.min(floor),
        });
        let notional = price.notional(position.quantity).expect(FITS);
        let realised = self.reduce(slot, index, position.quantity, notional);
        let fee = rules::liquidation_fee(
            notional,
            instrument.fee_taker,
            instrument.fee_liquidation,
            position.margin(),
            realised,
        )
        .expect(FITS);
        let account = self.account_at_mut(slot);
        account.pay(realised);
        account.pay(fee.negated());
        account.venue_fills += 1;
        let report = VenueReport::Liquidated {
            account: account.id,
            symbol: instrument.symbol,
            fill: Fill {
                number: account.venue_fills,
                price,
                quantity: position.quantity,
                fee,
                liquidity: Liquidity::Taker,
                venue_at,
            },
        };
        self.reports.push_back(report);
        self.end_protection(slot, index);
    }

    /// Liquidates when `price` has reached the liquidation price; returns whether it did.
    pub(super) fn liquidate_if_reached(
        &mut self,
        slot: Slot,
        index: InstrumentIndex,
        price: Price,
        venue_at: Timestamp,
    ) -> bool {
        let due = self.account_at(slot).position(index).is_some_and(|position| {
            position
                .liquidation
                .is_some_and(|level| rules::reached(price, level, position.side == Side::Sell))
        });
        if due {
            self.liquidate(slot, index, price, venue_at);
        }
        due
    }

    /// Liquidates what the newest price should have liquidated already.
    pub(super) fn liquidate_overdue(&mut self, slot: Slot, index: InstrumentIndex) {
        if let Some(mark) = self.book(index).mark {
            self.liquidate_if_reached(slot, index, mark.price, mark.venue_at);
        }
    }

    /// Settles one funding boundary on a position.
    pub(super) fn settle(
        &mut self,
        slot: Slot,
        index: InstrumentIndex,
        boundary: Timestamp,
        mark: Price,
        rate: Rate,
    ) {
        let symbol = self.instrument_at(index).symbol;
        let account = self.account_at_mut(slot);
        let Some(position) = account.position_mut(index) else { return };
        let amount = rules::funding(position.side, mark, position.quantity, rate).expect(FITS);
        position.last_funding = Some(boundary);
        account.pay(amount);
        let report =
            VenueReport::Funding { account: account.id, symbol, venue_at: boundary, rate, mark, amount };
        self.reports.push_back(report);
    }

    /// Puts a live order's level, or its place among those that take, into the book. Fine when it is there.
    pub(super) fn stand_order(&mut self, slot: Slot, id: ClientOrderId) {
        let Some(live) = self.account_at_mut(slot).order_mut(id).filter(|live| !live.standing) else {
            return;
        };
        live.standing = true;
        let (index, level) = (live.instrument, live.level());
        let book = self.book_mut(index);
        match level {
            Some((price, rising)) => book.insert(Level { price, target: Target::Order(slot, id) }, rising),
            None => {
                book.working.insert((slot, id));
            }
        }
    }

    fn unstand_order(&mut self, slot: Slot, id: ClientOrderId) {
        let Some(live) = self.account_at_mut(slot).order_mut(id).filter(|live| live.standing) else { return };
        live.standing = false;
        let (index, level) = (live.instrument, live.level());
        let book = self.book_mut(index);
        match level {
            Some((price, rising)) => book.remove(Level { price, target: Target::Order(slot, id) }, rising),
            None => {
                book.working.remove(&(slot, id));
            }
        }
    }

    /// Works out a position's liquidation price and puts it into the book.
    pub(super) fn stand_liquidation(&mut self, slot: Slot, index: InstrumentIndex) {
        let instrument = *self.instrument_at(index);
        let Some(position) = self.account_at_mut(slot).position_mut(index) else { return };
        position.liquidation = rules::liquidation_price(
            position.side,
            position.entry_cost,
            position.quantity,
            position.leverage,
            &instrument,
        );
        let rising = position.side == Side::Sell;
        if let Some(price) = position.liquidation {
            self.book_mut(index).insert(Level { price, target: Target::Liquidation(slot) }, rising);
        }
    }

    pub(super) fn unstand_liquidation(&mut self, slot: Slot, index: InstrumentIndex) {
        let Some(position) = self.account_at_mut(slot).position_mut(index) else { return };
        let rising = position.side == Side::Sell;
        if let Some(price) = position.liquidation.take() {
            self.book_mut(index).remove(Level { price, target: Target::Liquidation(slot) }, rising);
        }
    }

    /// What a level does when it fires at `price`.
    pub(super) fn fire_order(
        &mut self,
        slot: Slot,
        index: InstrumentIndex,
        id: ClientOrderId,
        level: Price,
        price: Price,
        tick: (Timestamp, u64, Price),
    ) {
        let Some(live) = self.account_at(slot).order(id) else { return };
        let (venue_at, number, end) = tick;
        match live.order.kind {
            OrderKind::Limit(_) => {
                let step = self.instrument_at(index).step;
                let left = live.remaining();
                // Through it: all of it. Only just to it: a share.
                let quantity = if end == level { rules::touch_share(left, step) } else { left };
                let liquidity = Liquidity::Maker;
                self.execute(slot, id, Chance { price: level, quantity, liquidity, venue_at, tick: number });
            }
            OrderKind::Market | OrderKind::StopMarket(_) | OrderKind::TakeProfitMarket(_) => {
                self.take(slot, index, id, price, venue_at, number);
            }
        }
    }
}
