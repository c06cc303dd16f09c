//! What happens to a request: the checks of a new order in their order, and taking an order back.

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::ClientOrderId;
use engine::core::instrument::{Instrument, InstrumentStatus};
use engine::core::order::{NewOrder, OrderKind, OrderState, Side, VenueReason, VenueReport};

use super::account::{Account, End, InstrumentIndex, LiveOrder, closes_only, opening_cost};
use super::book::Slot;
use super::{NOTIONAL_MAX, PaperVenue, rules};
use crate::venue::Mark;

impl PaperVenue {
    /// Takes or refuses a new order and does what it does at once.
    pub(super) fn admit(&mut self, order: &NewOrder) {
        let id = order.id;
        let Some(slot) = self.slots.get(&id.account).copied() else {
            self.reports.push_back(VenueReport::Rejected { id, reason: VenueReason::Account });
            return;
        };
        let known = self.accounts[slot as usize].tell_state(id, &mut self.reports);
        if known && !planted::planted!("one_id_makes_two_orders") {
            return;
        }
        if let Some(index) = self.index_of(order.symbol) {
            // Possible only just after a restore: then the exchange's own close comes first.
            self.liquidate_overdue(slot, index);
        }
        match self.check(slot, order) {
            Ok((index, mark)) => {
                self.reports.push_back(VenueReport::Accepted { id, venue_at: mark.venue_at });
                self.place(slot, LiveOrder::new(*order, index, mark.venue_at), mark);
            }
            Err(reason) => {
                let kept = self.limits.finished_kept;
                self.account_at_mut(slot).reject(id, reason, kept);
                self.reports.push_back(VenueReport::Rejected { id, reason });
            }
        }
    }

    /// The checks in the order of `docs/paper-venue.md`.
    fn check(&self, slot: Slot, order: &NewOrder) -> Result<(InstrumentIndex, Mark), VenueReason> {
        let account = self.account_at(slot);
        let index = self.index_of(order.symbol).ok_or(VenueReason::Symbol)?;
        let instrument = self.instrument_at(index);
        let mark = self.book(index).mark.ok_or(VenueReason::Symbol)?;
        let closes = closes_only(order);
        match instrument.status {
            InstrumentStatus::Trading => {}
            InstrumentStatus::CloseOnly if closes => {}
            InstrumentStatus::CloseOnly | InstrumentStatus::Halted => return Err(VenueReason::Symbol),
        }
        check_price(order, instrument)?;
        check_quantity(order, instrument)?;
        let price = price_at_most(order, mark.price);
        let notional = price.notional(order.quantity).ok_or(VenueReason::Quantity)?;
        if closes {
            check_closing(account, index, order, mark.price)?;
        } else {
            check_opening(account, index, order, instrument, mark.price, notional)?;
            check_bracket(account, index, order, instrument, mark.price)?;
        }
        let room = if closes { 0 } else { self.limits.orders_reserved };
        if account.orders.len() >= self.limits.orders_max - room {
            return Err(VenueReason::TooManyOrders);
        }
        if !closes {
            let opposite = account.position(index).filter(|position| position.side != order.side);
            let reduces = opposite.map_or_else(Default::default, |position| position.quantity);
            let opens = order.quantity.checked_sub(reduces).filter(|opens| opens.is_positive());
            if let Some(opens) = opens {
                let needed =
                    opening_cost(price, opens, order.leverage, instrument).ok_or(VenueReason::Quantity)?;
                if needed > account.free(&self.instruments) && !planted::planted!("venue_asks_for_no_margin")
                {
                    return Err(VenueReason::Margin);
                }
            }
        }
        Ok((index, mark))
    }

    /// Puts an accepted order where it belongs: into the book, or into the market at once.
    fn place(&mut self, slot: Slot, live: LiveOrder, mark: Mark) {
        let (index, id) = (live.instrument, live.order.id);
        let takes = match live.order.kind {
            OrderKind::Market => true,
            OrderKind::Limit(limit) => rules::reached(mark.price, limit, live.order.side == Side::Sell),
            OrderKind::StopMarket(_) | OrderKind::TakeProfitMarket(_) => false,
        };
        self.account_at_mut(slot).orders.push(live);
        if takes {
            self.take(slot, index, id, mark.price, mark.venue_at, self.market.played());
        }
        // What is left of it, if anything.
        self.stand_order(slot, id);
    }

    /// Takes an order back, or tells what became of it.
    pub(super) fn take_back(&mut self, id: ClientOrderId) {
        let slot = self.slots.get(&id.account).copied();
        let live = slot.filter(|slot| self.account_at(*slot).order(id).is_some());
        match live {
            Some(slot) => {
                self.finish(slot, id, End::Ended(OrderState::Cancelled, VenueReason::Requested));
            }
            None => self.tell(id),
        }
    }
}

/// The price that sizes an order: its limit, or the market where that is worse for what it costs.
fn price_at_most(order: &NewOrder, mark: Price) -> Price {
    match order.kind {
        OrderKind::Limit(price) if order.side == Side::Buy => price,
        OrderKind::Limit(price) => price.max(mark),
        _ => mark,
    }
}

fn check_price(order: &NewOrder, instrument: &Instrument) -> Result<(), VenueReason> {
    match order.kind {
        OrderKind::Market => Ok(()),
        OrderKind::Limit(price) | OrderKind::StopMarket(price) | OrderKind::TakeProfitMarket(price) => {
            let fits = price.is_positive() && price.floor_to(instrument.tick) == price;
            if fits { Ok(()) } else { Err(VenueReason::Price) }
        }
    }
}

fn check_quantity(order: &NewOrder, instrument: &Instrument) -> Result<(), VenueReason> {
    let most = match order.kind {
        OrderKind::Market => instrument.quantity_max_market,
        OrderKind::Limit(_) => instrument.quantity_max_limit,
        // Closes whatever is open when it fires.
        OrderKind::StopMarket(_) | OrderKind::TakeProfitMarket(_) => return Ok(()),
    };
    let quantity = order.quantity;
    let fits = quantity.is_positive()
        && quantity >= instrument.quantity_min
        && quantity <= most
        && quantity.floor_to(instrument.step) == quantity;
    if fits { Ok(()) } else { Err(VenueReason::Quantity) }
}

fn check_closing(
    account: &Account,
    index: InstrumentIndex,
    order: &NewOrder,
    mark: Price,
) -> Result<(), VenueReason> {
    if account.position(index).is_none_or(|position| position.side == order.side) {
        return Err(VenueReason::NothingToReduce);
    }
    let sells = order.side == Side::Sell;
    let at_once = match order.kind {
        OrderKind::StopMarket(trigger) => rules::reached(mark, trigger, !sells),
        OrderKind::TakeProfitMarket(trigger) => rules::reached(mark, trigger, sells),
        OrderKind::Market | OrderKind::Limit(_) => false,
    };
    if at_once { Err(VenueReason::WouldTrigger) } else { Ok(()) }
}

fn check_opening(
    account: &Account,
    index: InstrumentIndex,
    order: &NewOrder,
    instrument: &Instrument,
    mark: Price,
    notional: Money,
) -> Result<(), VenueReason> {
    if notional < instrument.notional_min {
        return Err(VenueReason::Notional);
    }
    if order.leverage == 0 || order.leverage > instrument.leverage_max {
        return Err(VenueReason::Leverage);
    }
    // One leverage per symbol while something uses it.
    let position = account.position(index);
    let used = position
        .map(|position| position.leverage)
        .or_else(|| {
            let mut live =
                account.orders.iter().filter(|live| live.instrument == index && !live.closes_only());
            live.next().map(|live| live.order.leverage)
        })
        .unwrap_or(order.leverage);
    if used != order.leverage {
        return Err(VenueReason::Leverage);
    }
    // All that may come to be open on the symbol, so that no product leaves the range of money.
    let resting = account.orders.iter().filter(|live| live.instrument == index && !live.closes_only());
    let exposure = resting
        .map(|live| price_at_most(&live.order, mark).notional(live.remaining()))
        .chain([position.map(|position| position.entry_cost).or(Some(Money::ZERO))])
        .try_fold(notional, |sum, more| sum.checked_add(more?));
    if exposure.is_none_or(|exposure| exposure > NOTIONAL_MAX) {
        return Err(VenueReason::Quantity);
    }
    Ok(())
}

/// What a side of the symbol may come to is at most what the brackets allow at the order's leverage: the position on that side,
/// the orders that rest for it, and of this order what it does not close.
fn check_bracket(
    account: &Account,
    index: InstrumentIndex,
    order: &NewOrder,
    instrument: &Instrument,
    mark: Price,
) -> Result<(), VenueReason> {
    let position = account.position(index);
    let closes = position.filter(|open| open.side != order.side).map_or(Quantity::ZERO, |open| open.quantity);
    let Some(opens) = order.quantity.checked_sub(closes).filter(|opens| opens.is_positive()) else {
        return Ok(());
    };
    let held = position.filter(|open| open.side == order.side).map(|open| open.entry_cost);
    let of_side =
        |live: &&LiveOrder| live.instrument == index && !live.closes_only() && live.order.side == order.side;
    let resting = account.orders.iter().filter(of_side);
    let sum = resting
        .map(|live| price_at_most(&live.order, mark).notional(live.remaining()))
        .chain([price_at_most(order, mark).notional(opens)])
        .try_fold(held.unwrap_or(Money::ZERO), |sum, more| sum.checked_add(more?));
    let most = rules::notional_max(instrument, order.leverage);
    if sum.is_none_or(|sum| sum > most) { Err(VenueReason::Quantity) } else { Ok(()) }
}
