//! Conditional orders: those that close a whole position wait at the venue, which fires them at their very price; all
//! others wait here and are fired by the price that is seen next. A fault makes one stay in between: it has fired, and no order
//! comes of it while its position is open.
//!
//! **Invariants**: each waiting order stands in [`Waiting`] once, or at the venue. A closing trigger whose position is gone
//! ends; any other stays until its price comes (CASES.md, O7, O10: that is how exchanges leave orphans behind).

use std::collections::{BTreeMap, BTreeSet};

use engine::core::fixed::{Money, Price};
use engine::core::instrument::Symbol;
use engine::core::order::{Side, VenueReason};

use super::accounts::AccountNo;
use super::core::{Core, Oddity};
use super::events::{Cause, Change};
use super::orders::{
    EndReason, Kind, Life, Order, OrderNo, OrderSpec, Origin, PositionSide, Role, State, Trigger, Watched,
};
use super::placing::TRIGGERS_MAX;
use super::refusal::Refusal;
use crate::paper::rules;

/// Triggers that wait here, by symbol and direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    rising: BTreeMap<Symbol, BTreeSet<(Price, OrderNo)>>,
    falling: BTreeMap<Symbol, BTreeSet<(Price, OrderNo)>>,
}

impl Waiting {
    fn side(&mut self, rising: bool) -> &mut BTreeMap<Symbol, BTreeSet<(Price, OrderNo)>> {
        if rising { &mut self.rising } else { &mut self.falling }
    }
}

impl Core {
    /// Takes a conditional order in.
    pub(super) fn place_trigger(
        &mut self,
        account: AccountNo,
        mut spec: OrderSpec,
        mark: Price,
    ) -> Result<OrderNo, Refusal> {
        let Some(trigger) = spec.trigger else { return Err(Refusal::WouldTrigger) };
        if rules::reached(mark, trigger.price, trigger.rising) {
            return Err(Refusal::WouldTrigger);
        }
        if self.open_orders(account).filter(|order| order.state == State::Untriggered).count() >= TRIGGERS_MAX
        {
            return Err(Refusal::TooManyTriggers);
        }
        let no = self.number(account, &mut spec);
        let is_stuck = self.oddity == Some(Oddity::StayTriggering);
        if is_stuck {
            self.stuck.insert(no);
        }
        let open = self.position(account, spec.symbol).filter(|open| open.side != spec.side);
        let at_venue =
            spec.close_position && spec.kind == Kind::Market && fits_role(&spec, trigger) && !is_stuck;
        if let Some(open) = open.filter(|_| at_venue) {
            // The size when it is placed; the venue closes what is open when it fires.
            let quantity = open.quantity;
            let size = std::mem::replace(&mut spec.quantity, quantity);
            let spec_told = OrderSpec { quantity: size, ..spec.clone() };
            self.file(no, account, spec, State::Untriggered);
            match self.send(no) {
                Ok(()) => return Ok(no),
                Err(VenueReason::WouldTrigger) => {
                    self.unfile(no);
                    return Err(Refusal::WouldTrigger);
                }
                // The venue has no room for more orders of this account; it waits here.
                Err(_) => {
                    self.unfile(no);
                    spec = spec_told;
                }
            }
        }
        let symbol = spec.symbol;
        self.file(no, account, spec, State::Untriggered);
        self.waiting.side(trigger.rising).entry(symbol).or_default().insert((trigger.price, no));
        self.tell_order(no, Change::New);
        Ok(no)
    }

    /// Takes an order out of those that wait here; true when it was among them.
    pub(super) fn forget_waiting(&mut self, no: OrderNo) -> bool {
        let Some(order) = self.orders.get(&no) else { return false };
        let (Some(trigger), symbol) = (order.spec.trigger, order.spec.symbol) else { return false };
        let side = self.waiting.side(trigger.rising);
        let Some(levels) = side.get_mut(&symbol) else { return false };
        let was = levels.remove(&(trigger.price, no));
        if levels.is_empty() {
            side.remove(&symbol);
        }
        was
    }

    /// Fires what the newest prices have reached.
    pub(super) fn fire_waiting(&mut self) {
        while let Some(no) = self.next_reached() {
            self.forget_waiting(no);
            self.fire(no);
            if !self.stuck.contains(&no) {
                self.send_fired(no);
            }
        }
    }

    fn next_reached(&self) -> Option<OrderNo> {
        let reached = |symbol: &Symbol, level: &(Price, OrderNo), rising| {
            self.mark(*symbol).is_some_and(|mark| rules::reached(mark, level.0, rising)).then_some(level.1)
        };
        let rising =
            self.waiting.rising.iter().filter_map(|(symbol, levels)| Some((symbol, levels.first()?)));
        let falling =
            self.waiting.falling.iter().filter_map(|(symbol, levels)| Some((symbol, levels.last()?)));
        rising
            .filter_map(|(symbol, level)| reached(symbol, level, true))
            .chain(falling.filter_map(|(symbol, level)| reached(symbol, level, false)))
            .next()
    }

    /// Notes that a trigger fired and tells it.
    pub(super) fn fire(&mut self, no: OrderNo) {
        let (fired, now) = (self.next_no(), self.now());
        let Some(order) = self.orders.get_mut(&no) else { return };
        order.state = State::New;
        order.fired_as = Some(fired);
        order.fired_at = Some(now);
        self.fired.insert(fired, no);
        self.tell_order(no, Change::Fired);
    }

    /// Makes a trigger that waits fire now, as for a price that came and went, and stay so: no order comes of it while its position is
    /// open.
    ///
    /// # Errors
    /// [`Refusal::UnknownOrder`], [`Refusal::Finished`] when it waits no more, [`Refusal::NoPosition`] when it has none to close.
    pub fn fire_and_stay(&mut self, account: AccountNo, no: OrderNo) -> Result<(), Refusal> {
        let order = self.order(account, no).ok_or(Refusal::UnknownOrder)?;
        if order.state != State::Untriggered {
            return Err(Refusal::Finished);
        }
        let spec = &order.spec;
        if self.position(account, spec.symbol).is_none_or(|open| open.side == spec.side) {
            return Err(Refusal::NoPosition);
        }
        if !self.forget_waiting(no) {
            self.take_from_venue(no);
        }
        self.stuck.insert(no);
        self.fire(no);
        self.follow_up();
        Ok(())
    }

    /// Whether it has fired and nothing comes of it.
    #[must_use]
    pub fn stays_fired(&self, no: OrderNo) -> bool {
        self.stuck.contains(&no) && self.orders.get(&no).is_some_and(|order| order.fired_at.is_some())
    }

    /// Sends what a fired trigger becomes.
    fn send_fired(&mut self, no: OrderNo) {
        let Some(order) = self.orders.get(&no) else { return };
        let spec = &order.spec;
        let open = self.position(order.account, spec.symbol).filter(|open| open.side != spec.side);
        let open = open.map(|open| open.quantity);
        if spec.closes_only() {
            let Some(open) = open else {
                self.end(no, State::Expired, EndReason::PositionClosed);
                return;
            };
            if spec.close_position
                && let Some(order) = self.orders.get_mut(&no)
            {
                order.spec.quantity = open;
            }
        }
        if let Err(reason) = self.send(no) {
            let (state, reason) = match reason {
                VenueReason::Margin => (State::Expired, EndReason::Margin),
                VenueReason::NothingToReduce => (State::Expired, EndReason::PositionClosed),
                _ => (State::Rejected, EndReason::Refused),
            };
            self.end(no, state, reason);
            return;
        }
        let life = self.orders.get(&no).map(|order| order.spec.life);
        if matches!(life, Some(Life::ImmediateOrCancel | Life::FillOrKill)) {
            self.end_at_venue(no, EndReason::Immediate);
        }
    }

    /// Ends the triggers that wait here and could only close a position that is gone.
    pub(super) fn end_closing_triggers(&mut self, account: AccountNo, symbol: Symbol) {
        if self.position(account, symbol).is_some() {
            return;
        }
        let closing = self.open_orders(account).filter(|order| {
            order.state == State::Untriggered && order.spec.close_position && order.spec.symbol == symbol
        });
        let closing: Vec<_> = closing.map(|order| order.no).collect();
        for no in closing {
            self.end_order(no, EndReason::PositionClosed);
        }
        let is_stuck = |order: &&Order| self.stuck.contains(&order.no) && order.spec.symbol == symbol;
        let stuck: Vec<_> = self.open_orders(account).filter(is_stuck).map(|order| order.no).collect();
        for no in stuck {
            self.end(no, State::Expired, EndReason::PositionClosed);
        }
    }

    // --- triggers of a position (Bybit, mode Full) --------------------------------------------------------------

    /// Sets the triggers of a position: `None` leaves one as it is, `Some(None)` takes it away.
    ///
    /// # Errors
    /// [`Refusal::NoPosition`], [`Refusal::NoChange`], [`Refusal::WouldTrigger`] (nothing is changed then),
    /// [`Refusal::PriceTick`], [`Refusal::PriceZero`].
    pub fn set_position_triggers(
        &mut self,
        account: AccountNo,
        symbol: Symbol,
        stop: Option<Option<Price>>,
        take_profit: Option<Option<Price>>,
        parent: Option<OrderNo>,
    ) -> Result<(), Refusal> {
        let instrument = *self.instrument(symbol).ok_or(Refusal::Symbol)?;
        let mark = self.mark(symbol).ok_or(Refusal::Symbol)?;
        let position = self.position(account, symbol).ok_or(Refusal::NoPosition)?;
        let (side, old) = (position.side, [position.stop, position.take_profit]);
        let mut changes = [stop, take_profit];
        for (change, old) in changes.iter_mut().zip(old) {
            if *change == Some(old.map(|(price, _)| price)) {
                *change = None;
            }
        }
        if changes == [None, None] {
            return Err(Refusal::NoChange);
        }
        for (change, role) in changes.into_iter().zip([Role::Stop, Role::TakeProfit]) {
            if let Some(Some(price)) = change {
                if !price.is_positive() {
                    return Err(Refusal::PriceZero);
                }
                if price.floor_to(instrument.tick) != price {
                    return Err(Refusal::PriceTick);
                }
                if rules::reached(mark, price, rises(side, role)) {
                    return Err(Refusal::WouldTrigger);
                }
            }
        }
        for ((change, role), old) in changes.into_iter().zip([Role::Stop, Role::TakeProfit]).zip(old) {
            let Some(wanted) = change else { continue };
            if let Some((_, no)) = old {
                self.end_order(no, EndReason::Replaced);
            }
            if let Some(price) = wanted {
                self.make_trigger(account, symbol, side, role, price, parent);
            }
        }
        self.tell_position(account, symbol, Money::ZERO, Cause::Triggers);
        self.follow_up();
        Ok(())
    }

    /// Makes the order of a position's trigger. When the price is beyond it already, it fires at once.
    fn make_trigger(
        &mut self,
        account: AccountNo,
        symbol: Symbol,
        position: Side,
        role: Role,
        price: Price,
        parent: Option<OrderNo>,
    ) {
        let trigger = Trigger { price, watched: Watched::Mark, rising: rises(position, role), role };
        let spec = OrderSpec {
            close_position: true,
            reduce_only: true,
            trigger: Some(trigger),
            origin: Origin::Attached(parent),
            position_side: PositionSide::Both,
            ..OrderSpec::market(symbol, position.opposite(), Default::default())
        };
        let mark = self.mark(symbol).unwrap_or_default();
        match self.place_trigger(account, spec.clone(), mark) {
            Ok(no) => {
                if let Some(open) = self.of(account).positions.get_mut(&symbol) {
                    match role {
                        Role::TakeProfit => open.take_profit = Some((price, no)),
                        Role::Stop | Role::Plain => open.stop = Some((price, no)),
                    }
                }
            }
            Err(_) => {
                let mut spec = spec;
                let no = self.number(account, &mut spec);
                self.file(no, account, spec, State::Untriggered);
                self.tell_order(no, Change::New);
                self.fire(no);
                self.send_fired(no);
            }
        }
    }

    /// Gives a position the triggers of the order that was just filled.
    pub(super) fn attach_triggers(&mut self, no: OrderNo) {
        let Some(order) = self.orders.get(&no) else { return };
        let (account, symbol, side, attached) =
            (order.account, order.spec.symbol, order.spec.side, order.spec.attached);
        let Some(open) = self.position(account, symbol).filter(|open| open.side == side) else { return };
        let (stop, take_profit) = (open.stop, open.take_profit);
        let mut made = false;
        for (wanted, old, role) in
            [(attached.stop, stop, Role::Stop), (attached.take_profit, take_profit, Role::TakeProfit)]
        {
            let Some(price) = wanted.filter(|price| old.is_none_or(|(old, _)| old != *price)) else {
                continue;
            };
            if let Some((_, old)) = old {
                self.end_order(old, EndReason::Replaced);
            }
            if self.position(account, symbol).is_some() {
                self.make_trigger(account, symbol, side, role, price, Some(no));
                made = true;
            }
        }
        if made {
            self.tell_position(account, symbol, Money::ZERO, Cause::Triggers);
        }
    }

    /// A position's trigger has ended: it is not the position's any more.
    pub(super) fn forget_trigger_of_position(&mut self, no: OrderNo) {
        let Some(order) = self.orders.get(&no) else { return };
        if !matches!(order.spec.origin, Origin::Attached(_)) {
            return;
        }
        let (account, symbol) = (order.account, order.spec.symbol);
        if let Some(open) = self.of(account).positions.get_mut(&symbol) {
            open.stop = open.stop.filter(|(_, held)| *held != no);
            open.take_profit = open.take_profit.filter(|(_, held)| *held != no);
        }
    }
}

/// Whether the price has to rise to a trigger of this role on a position of this side.
const fn rises(position: Side, role: Role) -> bool {
    matches!((position, role), (Side::Buy, Role::TakeProfit) | (Side::Sell, Role::Stop | Role::Plain))
}

/// Whether the direction is that of the role: only then does the venue know the order.
fn fits_role(spec: &OrderSpec, trigger: Trigger) -> bool {
    trigger.role != Role::Plain && trigger.rising == rises(spec.side.opposite(), trigger.role)
}
