//! What the paper venue holds of one account: wallet, positions, live orders, and the newest finished ones.
//!
//! **Bounds**: live orders by `PaperLimits::open_orders_max`; one position per listed symbol; finished orders by
//! `PaperLimits::finished_kept`.

use std::collections::VecDeque;

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::Instrument;
use engine::core::order::{Fill, NewOrder, OrderKind, OrderState, Side, VenueReason, VenueReport};

use super::rules;

/// Place of an instrument in the venue's list.
pub(super) type InstrumentIndex = u16;

/// An open position.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) instrument: InstrumentIndex,
    pub(super) side: Side,
    pub(super) quantity: Quantity,
    pub(super) entry_cost: Money,
    pub(super) leverage: u8,
    pub(super) opened_at: Timestamp,
    pub(super) last_funding: Option<Timestamp>,
    /// The level that stands in the book for it.
    pub(super) liquidation: Option<Price>,
}

impl Position {
    pub(super) fn margin(&self) -> Money {
        rules::margin(self.entry_cost, self.leverage).expect("a position's leverage is 1 or more")
    }

    /// Funding boundaries up to here are settled or were before the position.
    pub(super) fn funded_through(&self) -> Timestamp {
        self.last_funding.map_or(self.opened_at, |at| at.max(self.opened_at))
    }
}

/// A live order.
#[derive(Clone, Debug)]
pub(super) struct LiveOrder {
    pub(super) order: NewOrder,
    pub(super) instrument: InstrumentIndex,
    pub(super) accepted_at: Timestamp,
    pub(super) filled: Quantity,
    /// All its fills, also those before a restore.
    pub(super) fill_count: u32,
    /// Its fills since it was submitted or restored.
    pub(super) fills: Vec<Fill>,
    /// Whether it takes from the market on each tick, as market orders and fired triggers do.
    pub(super) working: bool,
    /// Whether the book has its level, or its place among those that take.
    pub(super) standing: bool,
    /// The tick that filled it last.
    pub(super) last_tick: u64,
}

impl LiveOrder {
    pub(super) fn new(order: NewOrder, instrument: InstrumentIndex, accepted_at: Timestamp) -> Self {
        Self {
            order,
            instrument,
            accepted_at,
            filled: Quantity::ZERO,
            fill_count: 0,
            fills: Vec::new(),
            working: matches!(order.kind, OrderKind::Market),
            standing: false,
            last_tick: 0,
        }
    }

    /// Whether it can only make a position smaller.
    pub(super) fn closes_only(&self) -> bool {
        closes_only(&self.order)
    }

    pub(super) fn remaining(&self) -> Quantity {
        self.order.quantity.checked_sub(self.filled).expect("an order is never filled beyond its quantity")
    }

    /// The level at which a resting order waits, and whether the price has to rise to it.
    pub(super) fn level(&self) -> Option<(Price, bool)> {
        if self.working {
            return None;
        }
        let sells = self.order.side == Side::Sell;
        match self.order.kind {
            OrderKind::Market => None,
            OrderKind::Limit(price) | OrderKind::TakeProfitMarket(price) => Some((price, sells)),
            OrderKind::StopMarket(price) => Some((price, !sells)),
        }
    }

    /// Margin that a resting order holds back: initial margin and taker fee of what is left, at its limit.
    pub(super) fn reserved(&self, instrument: &Instrument) -> Money {
        match self.order.kind {
            OrderKind::Limit(price) if !self.closes_only() => {
                opening_cost(price, self.remaining(), self.order.leverage, instrument)
                    .expect("checked when the order was accepted")
            }
            _ => Money::ZERO,
        }
    }
}

/// Initial margin and taker fee of opening `quantity` at `price`; `None` when it does not fit.
pub(super) fn opening_cost(
    price: Price,
    quantity: Quantity,
    leverage: u8,
    instrument: &Instrument,
) -> Option<Money> {
    let notional = price.notional(quantity)?;
    rules::margin(notional, leverage)?.checked_add(rules::fee(notional, instrument.fee_taker)?)
}

/// Whether an order can only make a position smaller.
pub(super) fn closes_only(order: &NewOrder) -> bool {
    order.reduce_only || order.kind.is_trigger()
}

/// How an order ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Rejected(VenueReason),
    Filled,
    Ended(OrderState, VenueReason),
}

/// An order that ended, kept so that its id is answered with its state.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    id: ClientOrderId,
    fills: Vec<Fill>,
    end: End,
}

/// One account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) wallet: Money,
    pub(super) positions: Vec<Position>,
    pub(super) orders: Vec<LiveOrder>,
    pub(super) venue_fills: u32,
    finished: VecDeque<Finished>,
}

impl Account {
    pub(super) fn new(id: AccountId, wallet: Money) -> Self {
        Self {
            id,
            wallet,
            positions: Vec::new(),
            orders: Vec::new(),
            venue_fills: 0,
            finished: VecDeque::new(),
        }
    }

    pub(super) fn position(&self, instrument: InstrumentIndex) -> Option<&Position> {
        self.positions.iter().find(|position| position.instrument == instrument)
    }

    pub(super) fn position_mut(&mut self, instrument: InstrumentIndex) -> Option<&mut Position> {
        self.positions.iter_mut().find(|position| position.instrument == instrument)
    }

    pub(super) fn order(&self, id: ClientOrderId) -> Option<&LiveOrder> {
        self.orders.iter().find(|order| order.order.id == id)
    }

    pub(super) fn order_mut(&mut self, id: ClientOrderId) -> Option<&mut LiveOrder> {
        self.orders.iter_mut().find(|order| order.order.id == id)
    }

    /// Cost of the position and of all resting opening orders on a symbol.
    pub(super) fn opened_at_most(&self, instrument: InstrumentIndex) -> Money {
        let resting = self.orders.iter().filter(|live| live.instrument == instrument && !live.closes_only());
        let resting = resting.filter_map(|live| match live.order.kind {
            OrderKind::Limit(price) => price.notional(live.remaining()),
            _ => None,
        });
        let held = self.position(instrument).map(|position| position.entry_cost);
        let fits = "checked when the orders were accepted";
        held.into_iter().chain(resting).fold(Money::ZERO, |sum, more| sum.checked_add(more).expect(fits))
    }

    /// Wallet less the margin of positions and resting orders.
    pub(super) fn free(&self, instruments: &[Instrument]) -> Money {
        let fits = "margins are parts of notionals within NOTIONAL_MAX each";
        let held = self.positions.iter().map(Position::margin);
        let reserved =
            self.orders.iter().map(|order| order.reserved(&instruments[usize::from(order.instrument)]));
        held.chain(reserved).fold(self.wallet, |free, held| free.checked_sub(held).expect(fits))
    }

    /// Adds to the wallet (a negative amount takes).
    pub(super) fn pay(&mut self, amount: Money) {
        self.wallet = self.wallet.checked_add(amount).expect("a wallet stays within the range of money");
    }

    /// Takes an order out of the live ones and remembers how it ended.
    pub(super) fn finish(&mut self, id: ClientOrderId, end: End, kept: usize) {
        let at = self.orders.iter().position(|order| order.order.id == id).expect("only live orders end");
        // Keeps the order of the rest: reports about several orders follow the order in which they were placed.
        let mut order = self.orders.remove(at);
        let fills = std::mem::take(&mut order.fills);
        self.remember(Finished { id, fills, end }, kept);
    }

    pub(super) fn reject(&mut self, id: ClientOrderId, reason: VenueReason, kept: usize) {
        self.remember(Finished { id, fills: Vec::new(), end: End::Rejected(reason) }, kept);
    }

    fn remember(&mut self, finished: Finished, kept: usize) {
        while self.finished.len() >= kept.max(1) {
            self.finished.pop_front();
        }
        self.finished.push_back(finished);
    }

    /// Tells the state of an order the account knows: live or finished. Returns whether it does.
    pub(super) fn tell_state(&self, id: ClientOrderId, out: &mut VecDeque<VenueReport>) -> bool {
        if let Some(live) = self.order(id) {
            out.push_back(VenueReport::Accepted { id, venue_at: live.accepted_at });
            out.extend(live.fills.iter().map(|fill| VenueReport::Filled { id, fill: *fill, last: false }));
            return true;
        }
        let Some(finished) = self.finished.iter().rev().find(|finished| finished.id == id) else {
            return false;
        };
        let all = finished.fills.len();
        out.extend(finished.fills.iter().enumerate().map(|(at, fill)| VenueReport::Filled {
            id,
            fill: *fill,
            last: at + 1 == all && matches!(finished.end, End::Filled),
        }));
        match finished.end {
            End::Rejected(reason) => out.push_back(VenueReport::Rejected { id, reason }),
            End::Filled => {}
            End::Ended(state, reason) => out.push_back(VenueReport::Ended { id, state, reason }),
        }
        true
    }
}
