//! Placing, cancelling and amending orders: the checks both exchanges make, and what goes on to the venue.

use engine::core::fixed::{Price, Quantity};
use engine::core::instrument::Instrument;
use engine::core::order::{OrderKind, Side, VenueReason};

use super::accounts::{Account, AccountNo, FaceKind};
use super::core::Core;
use super::events::Change;
use super::orders::{
    Attached, EndReason, Kind, Life, OrderNo, OrderSpec, PositionSide, Role, State, Trigger,
};
use super::refusal::Refusal;
use crate::paper::rules;
use crate::venue::Venue;

/// Waiting triggers of an account over all symbols (EXCHANGES.md §2.3).
pub(super) const TRIGGERS_MAX: usize = 200;

/// The refusal that a reason of the venue stands for, where the checks here did not see it coming.
pub(super) const fn refusal(reason: VenueReason) -> Refusal {
    match reason {
        VenueReason::Price => Refusal::PriceTick,
        VenueReason::Quantity => Refusal::PositionMax,
        VenueReason::Notional => Refusal::Notional,
        VenueReason::Margin => Refusal::Margin,
        VenueReason::Leverage => Refusal::Leverage,
        VenueReason::NothingToReduce => Refusal::NothingToReduce,
        VenueReason::WouldTrigger => Refusal::WouldTrigger,
        VenueReason::TooManyOrders => Refusal::TooManyOrders,
        VenueReason::Account => Refusal::Account,
        _ => Refusal::SymbolClosed,
    }
}

impl Core {
    /// Places an order. It is worked off at once: what it came to is in the order and in the events.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn place(&mut self, no: AccountNo, mut spec: OrderSpec) -> Result<OrderNo, Refusal> {
        let account = self.account(no).ok_or(Refusal::Account)?;
        if !account.may_trade {
            return Err(Refusal::MayNotTrade);
        }
        let instrument = *self.instrument(spec.symbol).ok_or(Refusal::Symbol)?;
        let mark = self.mark(spec.symbol).ok_or(Refusal::Symbol)?;
        self.check_hedge(account, &mut spec)?;
        Self::check_status(&instrument, spec.closes_only())?;
        check_numbers(&spec, &instrument, mark)?;
        if let Some(id) = &spec.client_id {
            let known = account.by_client.get(id).and_then(|known| self.orders.get(known));
            let taken = known.is_some_and(|known| account.face == FaceKind::Bybit || !known.state.is_final());
            if taken && !planted::planted!("paper_takes_the_id_of_a_live_order_again") {
                return Err(Refusal::DuplicateId);
            }
        }
        if let Life::Until(end) = spec.life
            && end <= self.now()
        {
            return Err(Refusal::Lifetime);
        }
        if spec.trigger.is_some() {
            return self.place_trigger(no, spec, mark);
        }
        if spec.closes_only() {
            let open = account.positions.get(&spec.symbol).filter(|open| open.side != spec.side);
            let open = open.ok_or(Refusal::NothingToReduce)?.quantity;
            if spec.close_position {
                spec.quantity = open;
            }
        }
        let takes = takes(&spec, mark);
        if takes && spec.life == Life::PostOnly && !spec.accept_first {
            return Err(Refusal::WouldTake);
        }
        let ends = match spec.life {
            Life::PostOnly if takes => Some(EndReason::WouldTake),
            Life::FillOrKill if !takes || self.venue.depth(spec.symbol) < Some(spec.quantity) => {
                Some(EndReason::Immediate)
            }
            _ => None,
        };
        if ends == Some(EndReason::Immediate) && !spec.accept_first {
            return Err(Refusal::NotFilledAtOnce);
        }
        let order = self.number(no, &mut spec);
        if let Some(reason) = ends {
            self.file(order, no, spec, State::New);
            self.tell_order(order, Change::New);
            let state = if reason == EndReason::WouldTake { State::Cancelled } else { State::Expired };
            self.end(order, state, reason);
            return Ok(order);
        }
        if let Life::Until(end) = spec.life {
            self.lifetimes.insert((end, order));
        }
        let life = spec.life;
        self.file(order, no, spec, State::New);
        if let Err(reason) = self.send(order) {
            self.unfile(order);
            return Err(refusal(reason));
        }
        if matches!(life, Life::ImmediateOrCancel | Life::FillOrKill) {
            self.end_at_venue(order, EndReason::Immediate);
        }
        self.follow_up();
        Ok(order)
    }

    /// Gives an order its number, and an id when its client gave none.
    pub(super) fn number(&mut self, account: AccountNo, spec: &mut OrderSpec) -> OrderNo {
        let order = self.next_no();
        if spec.client_id.is_none() {
            let face = self.account(account).map_or(FaceKind::Binance, |account| account.face);
            spec.client_id = Some(match face {
                FaceKind::Binance => format!("web_{:020}", super::orders::mix(order.0)),
                // Bybit leaves it empty; the number keeps it apart here.
                FaceKind::Bybit => format!("#{}", order.0),
            });
        }
        order
    }

    /// Sends an order to the venue and has it worked off.
    ///
    /// # Errors
    /// The venue's reason when it was refused.
    pub(super) fn send(&mut self, no: OrderNo) -> Result<(), VenueReason> {
        let Some(order) = self.orders.get(&no) else { return Err(VenueReason::Account) };
        let kind = match (order.spec.kind, order.spec.trigger, order.state) {
            (_, Some(trigger), State::Untriggered) => match trigger.role {
                Role::TakeProfit => OrderKind::TakeProfitMarket(trigger.price),
                Role::Stop | Role::Plain => OrderKind::StopMarket(trigger.price),
            },
            (Kind::Market, ..) => OrderKind::Market,
            (Kind::Limit(price), ..) => OrderKind::Limit(price),
        };
        let asked = self.venue_order(order, kind).ok_or(VenueReason::Account)?;
        self.refused = None;
        if self.venue.submit(self.now(), &asked).is_err() {
            return Err(VenueReason::TooManyOrders);
        }
        self.settle_requests();
        self.refused.take().map_or(Ok(()), Err)
    }

    /// Takes an order back.
    ///
    /// # Errors
    /// [`Refusal::UnknownOrder`], [`Refusal::Finished`].
    pub fn cancel(&mut self, account: AccountNo, no: OrderNo) -> Result<(), Refusal> {
        let order = self.order(account, no).ok_or(Refusal::UnknownOrder)?;
        if order.state.is_final() {
            return Err(Refusal::Finished);
        }
        self.end_order(no, EndReason::Requested);
        self.follow_up();
        Ok(())
    }

    /// Takes back a trigger that waits, as an exchange may by itself, with its position open or not (Binance: `EXPIRED`).
    ///
    /// # Errors
    /// [`Refusal::UnknownOrder`], [`Refusal::Finished`] when it waits no more.
    pub fn expire(&mut self, account: AccountNo, no: OrderNo) -> Result<(), Refusal> {
        let order = self.order(account, no).ok_or(Refusal::UnknownOrder)?;
        if order.state != State::Untriggered {
            return Err(Refusal::Finished);
        }
        self.end_order(no, EndReason::PositionClosed);
        self.follow_up();
        Ok(())
    }

    /// Ends an order, wherever it waits.
    pub(super) fn end_order(&mut self, no: OrderNo, reason: EndReason) {
        if self.forget_waiting(no) || self.stays_fired(no) {
            self.end(no, state_of(reason), reason);
        } else {
            self.end_at_venue(no, reason);
        }
    }

    /// Ends an order that the venue holds, if it still does.
    pub(super) fn end_at_venue(&mut self, no: OrderNo, reason: EndReason) {
        let Some(order) = self.orders.get_mut(&no).filter(|order| !order.state.is_final()) else { return };
        order.end = Some(reason);
        let id = (order.no, order.account);
        let id = self.venue_id(id.0, id.1);
        if self.venue.cancel(self.now(), id).is_ok() {
            self.settle_requests();
        }
    }

    /// The venue does not hold the order any more, and it goes on.
    pub(super) fn take_from_venue(&mut self, no: OrderNo) {
        self.amending = Some(no);
        self.end_at_venue(no, EndReason::Replaced);
        self.amending = None;
        if let Some(order) = self.orders.get_mut(&no) {
            order.end = None;
        }
    }

    /// Notes the end of an order and tells it.
    pub(super) fn end(&mut self, no: OrderNo, state: State, reason: EndReason) {
        let Some(order) = self.orders.get_mut(&no).filter(|order| !order.state.is_final()) else { return };
        order.state = state;
        order.end = Some(reason);
        if let Life::Until(at) = order.spec.life {
            self.lifetimes.remove(&(at, no));
        }
        self.tell_order(no, Change::Ended);
        self.close_file(no);
        self.forget_trigger_of_position(no);
    }

    /// Changes price and quantity of a live limit order; what is `None` stays. The order keeps its number and loses its
    /// place.
    ///
    /// # Errors
    /// [`Refusal::NoChange`], [`Refusal::UnknownOrder`], [`Refusal::Finished`], and those of a new order; then the order is
    /// as it was.
    pub fn amend(
        &mut self,
        account: AccountNo,
        no: OrderNo,
        price: Option<Price>,
        quantity: Option<Quantity>,
    ) -> Result<(), Refusal> {
        let order = self.order(account, no).ok_or(Refusal::UnknownOrder)?;
        if order.state.is_final() {
            return Err(Refusal::Finished);
        }
        let before = order.spec.clone();
        let mut spec = before.clone();
        if let (Kind::Limit(limit), Some(price)) = (&mut spec.kind, price) {
            *limit = price;
        }
        spec.quantity = quantity.unwrap_or(spec.quantity);
        if spec == before {
            return Err(Refusal::NoChange);
        }
        if spec.quantity <= order.filled {
            return Err(Refusal::QuantityMin);
        }
        let untriggered = order.state == State::Untriggered;
        let instrument = *self.instrument(spec.symbol).ok_or(Refusal::Symbol)?;
        let mark = self.mark(spec.symbol).ok_or(Refusal::Symbol)?;
        check_numbers(&spec, &instrument, mark)?;
        if untriggered {
            self.set_spec(no, spec);
        } else {
            if takes(&spec, mark) && spec.life == Life::PostOnly {
                return Err(Refusal::WouldTake);
            }
            self.take_from_venue(no);
            *self.generations.entry(no).or_insert(1) += 1;
            self.set_spec(no, spec);
            let sent = self.send(no);
            if let Err(reason) = sent {
                *self.generations.entry(no).or_insert(1) += 1;
                self.set_spec(no, before);
                if self.send(no).is_err() {
                    self.end(no, State::Cancelled, EndReason::Refused);
                }
                return Err(refusal(reason));
            }
        }
        if let Some(order) = self.orders.get_mut(&no) {
            order.amendments += 1;
        }
        self.tell_order(no, Change::Amended);
        self.follow_up();
        Ok(())
    }

    fn set_spec(&mut self, no: OrderNo, spec: OrderSpec) {
        if let Some(order) = self.orders.get_mut(&no) {
            order.spec = spec;
            order.end = None;
        }
    }

    /// Ends what has outlived its time.
    pub(super) fn end_lifetimes(&mut self) {
        while let Some((_, no)) = self.lifetimes.first().copied().filter(|(at, _)| *at <= self.now()) {
            self.lifetimes.pop_first();
            self.end_order(no, EndReason::Time);
        }
    }

    /// The mode of the account and the side of the position must go together; in hedge mode an order against the other
    /// side would have to be held beside it, which one position per symbol cannot.
    fn check_hedge(&self, account: &Account, spec: &mut OrderSpec) -> Result<(), Refusal> {
        let long = match (account.hedge, spec.position_side) {
            (false, PositionSide::Both) => return Ok(()),
            (false, _) | (true, PositionSide::Both) => return Err(Refusal::PositionSide),
            (true, PositionSide::Long) => true,
            (true, PositionSide::Short) => false,
        };
        let opens = (spec.side == Side::Buy) == long;
        let open = account.positions.get(&spec.symbol).map(|open| open.side == Side::Buy);
        if opens && open.is_some_and(|open| open != long) {
            return Err(Refusal::BothSides);
        }
        if !opens {
            if open != Some(long) && spec.trigger.is_none() {
                return Err(Refusal::NothingToReduce);
            }
            spec.reduce_only = true;
        }
        Ok(())
    }
}

/// How an order is called that ended for this reason.
pub(super) const fn state_of(reason: EndReason) -> State {
    match reason {
        EndReason::Requested | EndReason::Replaced | EndReason::WouldTake => State::Cancelled,
        EndReason::Refused => State::Rejected,
        EndReason::Immediate
        | EndReason::Margin
        | EndReason::PositionClosed
        | EndReason::Liquidity
        | EndReason::Time => State::Expired,
    }
}

/// Whether an order takes from the market at once.
fn takes(spec: &OrderSpec, mark: Price) -> bool {
    match spec.kind {
        Kind::Market => true,
        Kind::Limit(limit) => rules::reached(mark, limit, spec.side == Side::Sell),
    }
}

fn check_price(price: Price, instrument: &Instrument) -> Result<(), Refusal> {
    if !price.is_positive() {
        return Err(Refusal::PriceZero);
    }
    if price.floor_to(instrument.tick) != price {
        return Err(Refusal::PriceTick);
    }
    Ok(())
}

fn check_numbers(spec: &OrderSpec, instrument: &Instrument, mark: Price) -> Result<(), Refusal> {
    let Attached { stop, take_profit } = spec.attached;
    let prices = [spec.trigger.map(|Trigger { price, .. }| price), stop, take_profit];
    for price in prices.into_iter().flatten() {
        check_price(price, instrument)?;
    }
    let most = match spec.kind {
        Kind::Market => instrument.quantity_max_market,
        Kind::Limit(price) => {
            check_price(price, instrument)?;
            instrument.quantity_max_limit
        }
    };
    if spec.close_position {
        return Ok(());
    }
    let quantity = spec.quantity;
    if !quantity.is_positive() {
        return Err(Refusal::QuantityZero);
    }
    if quantity < instrument.quantity_min {
        return Err(Refusal::QuantityMin);
    }
    if quantity.floor_to(instrument.step) != quantity {
        return Err(Refusal::QuantityStep);
    }
    if quantity > most {
        return Err(Refusal::QuantityMax);
    }
    let price = match (spec.kind, spec.trigger) {
        (Kind::Limit(price), _) => price,
        (Kind::Market, Some(trigger)) => trigger.price,
        (Kind::Market, None) => mark,
    };
    let notional = price.notional(quantity).ok_or(Refusal::PositionMax)?;
    if !spec.closes_only() && notional < instrument.notional_min {
        return Err(Refusal::Notional);
    }
    Ok(())
}
