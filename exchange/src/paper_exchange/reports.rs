//! What the venue reports becomes what accounts hold and what is told about it.

use engine::core::fixed::{Money, Price, Rate};
use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::order::{Fill, OrderState, Side, VenueReason, VenueReport};

use super::accounts::{AccountNo, Income, IncomeKind};
use super::core::{Core, FollowUp};
use super::events::{Cause, Change, What};
use super::orders::{EndReason, Execution, Kind, OrderNo, OrderSpec, Origin, State};
use super::placing::state_of;

const FITS: &str = "the venue keeps notionals within the range of money";

impl Core {
    /// Takes a report in.
    pub(super) fn absorb(&mut self, report: VenueReport) {
        match report {
            VenueReport::Accepted { id, .. } => self.accepted(id),
            VenueReport::Rejected { reason, .. } => self.refused = Some(reason),
            VenueReport::Filled { id, fill, last } => self.filled(id, &fill, last),
            VenueReport::Ended { id, state, reason } => self.ended(id, state, reason),
            VenueReport::Funding { account, symbol, venue_at, rate, mark, amount } => {
                self.funded(AccountNo::of_venue(account), symbol, venue_at, (rate, mark), amount);
            }
            VenueReport::Liquidated { account, symbol, fill } => {
                self.liquidated(AccountNo::of_venue(account), symbol, &fill);
            }
            VenueReport::NotFound { .. }
            | VenueReport::ClosedOutside { .. }
            | VenueReport::Wallet { .. }
            | VenueReport::LateEntry { .. } => {}
        }
    }

    /// The order that a report is about; `None` when it is about one that was amended since.
    fn no_of(&self, id: ClientOrderId) -> Option<OrderNo> {
        let no = OrderNo(id.signal.source.owner.0);
        let current = self.generations.get(&no).copied().unwrap_or(1);
        (id.signal.number == current).then_some(no)
    }

    fn accepted(&mut self, id: ClientOrderId) {
        let Some(no) = self.no_of(id) else { return };
        if id.signal.number > 1 {
            // It was amended and is told of as that.
            return;
        }
        match self.orders.get(&no) {
            Some(order) if order.fired_as.is_some() => self.went_live(no),
            Some(_) => self.tell_order(no, Change::New),
            None => {}
        }
    }

    fn went_live(&mut self, no: OrderNo) {
        if let Some(order) = self.orders.get_mut(&no) {
            order.went_live = true;
        }
        self.tell_order(no, Change::Live);
    }

    fn filled(&mut self, id: ClientOrderId, fill: &Fill, last: bool) {
        let Some(no) = self.no_of(id) else { return };
        if self.orders.get(&no).is_some_and(|order| order.state == State::Untriggered) {
            // A trigger that the venue held: this is how it says that it fired.
            self.fire(no);
            self.went_live(no);
        }
        let Some(order) = self.orders.get_mut(&no) else { return };
        let (account, symbol, side) = (order.account, order.spec.symbol, order.spec.side);
        let notional = fill.price.notional(fill.quantity).expect(FITS);
        order.filled = order.filled.checked_add(fill.quantity).expect(FITS);
        order.cost = order.cost.checked_add(notional).expect(FITS);
        order.fees = order.fees.checked_add(fill.fee).expect(FITS);
        order.state = if last { State::Filled } else { State::PartiallyFilled };
        if order.spec.trigger.is_some() && order.spec.close_position {
            order.spec.quantity = order.spec.quantity.max(order.filled);
        }
        let execution = self.execute(no, account, symbol, side, fill, notional, false);
        self.tell_order(no, Change::Executed(Box::new(execution)));
        self.tell_position(account, symbol, Money::ZERO, Cause::Order);
        if last {
            if let Some(order) = self.orders.get(&no)
                && let super::orders::Life::Until(at) = order.spec.life
            {
                self.lifetimes.remove(&(at, no));
            }
            self.close_file(no);
        }
        if self.orders.get(&no).is_some_and(|order| order.spec.attached != Default::default()) {
            self.follow_ups.push_back(FollowUp::Attach(no));
        }
    }

    /// Books an execution into its account.
    #[expect(clippy::too_many_arguments, reason = "what an execution is made of")]
    fn execute(
        &mut self,
        order: OrderNo,
        account: AccountNo,
        symbol: Symbol,
        side: Side,
        fill: &Fill,
        notional: Money,
        liquidation: bool,
    ) -> Execution {
        let no = self.next_no();
        let at = self.now();
        let leverage = self.instrument(symbol).copied().map_or(1, |instrument| {
            self.account(account).map_or(1, |account| account.settings_of(&instrument).leverage)
        });
        let held = self.of(account);
        let (realised, entry_fee, closed) =
            held.fill(symbol, side, (fill.quantity, notional), fill.fee, leverage, at);
        let execution = Execution {
            no,
            order,
            symbol,
            side,
            price: fill.price,
            quantity: fill.quantity,
            cost: notional,
            fee: fill.fee,
            realised,
            entry_fee,
            closed,
            liquidity: fill.liquidity,
            liquidation,
            at,
        };
        held.remember_execution(execution.clone());
        if closed.is_positive() {
            self.book(account, IncomeKind::Realised, Some(symbol), realised, Some(no), at);
        }
        self.book(account, IncomeKind::Commission, Some(symbol), fill.fee.negated(), Some(no), at);
        if let Some(order) = self.orders.get_mut(&order).filter(|_| closed.is_positive()) {
            let fees = fill.fee.checked_add(entry_fee).expect(FITS);
            let net = realised.checked_sub(fees).expect(FITS);
            order.closed_net = order.closed_net.checked_add(net).expect(FITS);
        }
        execution
    }

    /// Changes a wallet and remembers why.
    fn book(
        &mut self,
        account: AccountNo,
        kind: IncomeKind,
        symbol: Option<Symbol>,
        amount: Money,
        execution: Option<OrderNo>,
        at: Timestamp,
    ) -> Income {
        let no = self.next_no();
        let held = self.of(account);
        held.pay(amount);
        let income = Income { no, kind, symbol, amount, balance: held.wallet, execution, at };
        held.remember_income(income.clone());
        income
    }

    pub(super) fn tell_position(&mut self, account: AccountNo, symbol: Symbol, flow: Money, cause: Cause) {
        let held = self.of(account);
        let position = held.positions.get(&symbol).cloned().map(Box::new);
        let wallet = held.wallet;
        if position.is_none() {
            self.follow_ups.push_back(FollowUp::Flat(account, symbol));
        }
        self.tell(account, What::Position { symbol, position, wallet, flow, cause });
    }

    fn ended(&mut self, id: ClientOrderId, state: OrderState, reason: VenueReason) {
        let Some(no) = self.no_of(id).filter(|no| self.amending != Some(*no)) else { return };
        let Some(order) = self.orders.get(&no) else { return };
        let asked = order.end.filter(|_| state == OrderState::Cancelled);
        let reason = asked.unwrap_or(match reason {
            VenueReason::Margin => EndReason::Margin,
            VenueReason::PositionClosed => EndReason::PositionClosed,
            VenueReason::Liquidity => EndReason::Liquidity,
            VenueReason::Requested => EndReason::Requested,
            _ => EndReason::Refused,
        });
        self.end(no, state_of(reason), reason);
    }

    fn funded(
        &mut self,
        account: AccountNo,
        symbol: Symbol,
        venue_at: Timestamp,
        (rate, mark): (Rate, Price),
        amount: Money,
    ) {
        let at = if self.clock.standing.is_some() { self.now() } else { self.time_of_market(venue_at) };
        let held = self.of(account);
        let Some(position) = held.positions.get_mut(&symbol) else { return };
        let kind = IncomeKind::Funding { rate, mark, quantity: position.quantity, side: position.side };
        position.realised = position.realised.checked_add(amount).expect(FITS);
        let income = self.book(account, kind, Some(symbol), amount, None, at);
        self.tell(account, What::Funding(Box::new(income)));
        self.tell_position(account, symbol, amount, Cause::Funding);
    }

    fn liquidated(&mut self, account: AccountNo, symbol: Symbol, fill: &Fill) {
        let Some(position) = self.of(account).positions.get(&symbol) else { return };
        let side = position.side.opposite();
        let no = self.next_no();
        let spec = OrderSpec {
            client_id: Some(format!("autoclose-{}", no.0)),
            kind: Kind::Limit(fill.price),
            life: super::orders::Life::ImmediateOrCancel,
            reduce_only: true,
            origin: Origin::Liquidation,
            ..OrderSpec::market(symbol, side, fill.quantity)
        };
        self.file(no, account, spec, State::New);
        self.tell_order(no, Change::New);
        let notional = fill.price.notional(fill.quantity).expect(FITS);
        let execution = self.execute(no, account, symbol, side, fill, notional, true);
        if let Some(order) = self.orders.get_mut(&no) {
            order.filled = fill.quantity;
            order.cost = notional;
            order.fees = fill.fee;
            order.state = State::Filled;
        }
        self.tell_order(no, Change::Executed(Box::new(execution)));
        self.tell_position(account, symbol, Money::ZERO, Cause::Liquidation);
        self.close_file(no);
    }
}
