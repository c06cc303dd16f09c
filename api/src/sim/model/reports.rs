//! What a venue tells: each fact is booked once, and what it makes necessary is decided with it.

use std::rc::Rc;

use engine::core::command::Reply;
use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::ledger::{EntryKey, LedgerAccount};
use engine::core::order::{Fill, NewOrder, OrderKind, OrderState, Side, VenueReason, VenueReport};
use engine::core::position::{CloseReason, PositionState};
use engine::core::user::{OutcomeKind, Skip, VenueKind};

use super::Turn;
use super::closing::other;
use super::numbers::{ONE, Units, even, fits, margin, notional, price, quantity};
use super::sizing::{liquidation_at, stop_at, target_at, tick_of};
use super::user::{Execution, HISTORY, Order, Position, STATEMENT, keep};

/// Stops and targets that the venue ended are placed again up to this round.
const ROUNDS: u8 = 3;
/// No execution or settlement is larger.
const LARGEST: Units = 10_000_000_000 * ONE;

/// The notional of an execution that can be one.
pub(super) fn plausible(fill: &Fill) -> Option<Units> {
    let (at, size, fee) = (fill.price.units(), fill.quantity.units(), Units::from(fill.fee.units()));
    let worth = notional(at.into(), size.into());
    (at > 0 && size > 0 && (1..=LARGEST).contains(&worth) && fee.abs() <= worth).then_some(worth)
}

/// Whether the sums of a position and its wallet hold an execution, whatever it realises.
pub(super) fn holds(position: &Position, wallet: Units, fill: &Fill, worth: Units) -> bool {
    let most = worth + position.cost + Units::from(fill.fee.units()).abs();
    fits(most) && [position.realised, position.fees, wallet].iter().all(|sum| fits(sum.abs() + most))
}

/// What the profit and the fee of an order's execution are booked under.
pub(super) fn of_order(id: ClientOrderId, fill: &Fill) -> [EntryKey; 2] {
    [EntryKey::FillProfit(id, fill.number), EntryKey::FillFee(id, fill.number)]
}

/// The share of the cost that an exit takes with it: the last one takes the rest.
fn cost_of(position: &Position, size: Units) -> Units {
    if size == position.open { position.cost } else { even(position.cost * size, position.open) }
}

impl Turn<'_> {
    pub(super) fn report(&mut self, report: &VenueReport, sent_at: u64) -> Reply {
        match *report {
            VenueReport::Accepted { id, .. } => self.order_accepted(id, sent_at),
            VenueReport::Rejected { id, reason } => {
                self.order_ended(id, OrderState::Rejected, reason, sent_at)
            }
            VenueReport::Ended { id, state, reason } => self.order_ended(id, state, reason, sent_at),
            VenueReport::Filled { id, fill, last } => self.order_filled(id, &fill, last, sent_at),
            VenueReport::Funding { account, symbol, venue_at, amount, .. } => {
                self.funded(account.index, symbol, venue_at, amount.units().into())
            }
            VenueReport::Liquidated { account, symbol, fill } => {
                self.closed_by_others(account.index, symbol, &fill, CloseReason::Liquidation)
            }
            VenueReport::ClosedOutside { account, symbol, fill } => {
                self.closed_by_others(account.index, symbol, &fill, CloseReason::External)
            }
            VenueReport::Wallet { account, wallet } => self.wallet_told(account.index, wallet.units().into()),
            VenueReport::LateEntry { order, before, fill } => self.late_entry(&order, before, &fill),
            // In the first seconds that proves nothing; of an old order, that it never arrived.
            VenueReport::NotFound { id } => {
                let old = self.user.place_of_order(id).map(|at| &self.user.orders[at]).is_some_and(|order| {
                    order.state == OrderState::Unknown
                        && self.now.saturating_sub(order.decided_at) >= self.rules.not_received_span
                });
                if !old {
                    return Reply::Ignored;
                }
                self.order_ended(id, OrderState::Expired, VenueReason::NotReceived, 0)
            }
        }
    }

    pub(super) fn order_unanswered(&mut self, id: ClientOrderId) -> Reply {
        match self.user.place_of_order(id) {
            Some(at) if self.user.orders[at].state == OrderState::Pending => {
                self.user.orders[at].state = OrderState::Unknown;
                self.changed = true;
                Reply::Done
            }
            _ => Reply::Ignored,
        }
    }

    fn order_accepted(&mut self, id: ClientOrderId, sent_at: u64) -> Reply {
        let Some(at) = self.user.place_of_order(id) else { return Reply::Ignored };
        let order = &mut self.user.orders[at];
        if order.state != OrderState::Pending && order.state != OrderState::Unknown {
            return Reply::Ignored;
        }
        order.state = OrderState::Submitted;
        if order.sent_at == 0 {
            order.sent_at = sent_at;
        }
        self.update_receipt(at);
        self.changed = true;
        Reply::Done
    }

    fn order_ended(
        &mut self,
        id: ClientOrderId,
        state: OrderState,
        reason: VenueReason,
        sent_at: u64,
    ) -> Reply {
        let Some(at) = self.user.place_of_order(id) else { return Reply::Ignored };
        if !matches!(state, OrderState::Rejected | OrderState::Cancelled | OrderState::Expired) {
            return Reply::Ignored;
        }
        let order = &mut self.user.orders[at];
        order.state = state;
        order.reason = Some(reason);
        order.done_at = self.now;
        if order.sent_at == 0 {
            order.sent_at = sent_at;
        }
        let order = self.put_away(at);
        self.changed = true;
        let Some(place) = self.user.place_of_position(order.position, id.account.index) else {
            return Reply::Done;
        };
        match id.leg {
            Leg::Entry => {
                let position = &mut self.user.positions[place];
                position.reserved = 0;
                if position.entered == 0 {
                    self.never_was(place);
                } else {
                    if position.state == PositionState::Opening {
                        position.state = PositionState::Open;
                    }
                    self.conclude(place, CloseReason::Signal);
                }
            }
            Leg::Stop | Leg::TakeProfit => self.protection_ended(place, &order, reason),
            // A close that ended is tried again later, when the timer of the shard says so.
            _ => {}
        }
        Reply::Done
    }

    /// The entry ended without a fill. A signal that was to close it had nothing to close.
    fn never_was(&mut self, place: usize) {
        let position = self.user.positions.remove(place);
        if let Some(closing) = position.closing.filter(|closing| closing.leg == Leg::SignalClose) {
            self.receipt(closing.signal, position.account, OutcomeKind::Skipped(Skip::NoPosition));
        }
    }

    fn protection_ended(&mut self, place: usize, ended: &Order, reason: VenueReason) {
        let position = self.user.positions[place].clone();
        if position.open == 0 || position.closing.is_some() || reason == VenueReason::PositionClosed {
            return;
        }
        let is_stop = ended.new.id.leg == Leg::Stop;
        if ended.fills > 0 || reason == VenueReason::WouldTrigger {
            // The price was reached: what is left goes at the market.
            let why = if is_stop { CloseReason::StopLoss } else { CloseReason::TakeProfit };
            self.force_close(place, why);
        } else if ended.new.id.round < ROUNDS {
            let id = ClientOrderId { round: ended.new.id.round + 1, ..ended.new.id };
            let again = NewOrder { id, quantity: quantity(position.open), ..ended.new };
            self.order(again, position.signal, position.open);
        } else if is_stop {
            self.force_close(place, CloseReason::Unprotected);
        }
    }

    pub(super) fn order_filled(&mut self, id: ClientOrderId, fill: &Fill, last: bool, sent_at: u64) -> Reply {
        let account = id.account.index;
        let Some(at) = self.user.place_of_order(id) else { return Reply::Ignored };
        let order = &self.user.orders[at];
        let entry = id.leg == Leg::Entry;
        let (size, fee) = (Units::from(fill.quantity.units()), Units::from(fill.fee.units()));
        let Some(worth) = plausible(fill) else { return Reply::Ignored };
        // The next one and no other; an entry never gets more than it asked for.
        if u64::from(fill.number) != u64::from(order.fills) + 1
            || (entry && order.filled + size > Units::from(order.new.quantity.units()))
            || ![order.filled + size, order.notional + worth, order.fees + fee].into_iter().all(fits)
        {
            return Reply::Ignored;
        }
        let Some(place) = self.user.place_of_position(order.position, account) else { return Reply::Ignored };
        if !holds(&self.user.positions[place], self.user.wallet(account), fill, worth) {
            return Reply::Ignored;
        }
        self.look_at_the_day(account);
        let order = &mut self.user.orders[at];
        let asked = Units::from(order.new.quantity.units());
        order.fills += 1;
        order.filled += size;
        order.notional += worth;
        order.fees += fee;
        order.state = if last { OrderState::Filled } else { OrderState::PartiallyFilled };
        order.filled_at = if order.filled_at == 0 { self.now } else { order.filled_at };
        order.sent_at = if order.sent_at == 0 { sent_at } else { order.sent_at };
        order.done_at = if last { self.now } else { order.done_at };
        if last {
            self.put_away(at);
        } else {
            self.update_receipt(at);
        }
        self.changed = true;
        if entry {
            let first = self.entered(place, fill, worth, last);
            self.executed(EntryKey::FillFee(id, fill.number), fill, 0);
            self.move_wallet(account, -fee, LedgerAccount::VenueFee, EntryKey::FillFee(id, fill.number));
            if first {
                self.protect(place, asked);
            }
            self.conclude(place, CloseReason::Signal);
        } else {
            self.left(place, fill, of_order(id, fill));
            let why = match (id.leg, self.user.positions[place].closing) {
                (Leg::Stop, _) => CloseReason::StopLoss,
                (Leg::TakeProfit, _) => CloseReason::TakeProfit,
                (_, Some(closing)) => closing.reason,
                (_, None) => CloseReason::External,
            };
            self.conclude(place, why);
        }
        Reply::Done
    }

    /// A fill of the entry; whether it is the first.
    fn entered(&mut self, place: usize, fill: &Fill, worth: Units, last: bool) -> bool {
        let now = self.now;
        let position = &mut self.user.positions[place];
        let first = position.entered == 0;
        position.open += Units::from(fill.quantity.units());
        position.entered += Units::from(fill.quantity.units());
        position.cost += worth;
        position.fees += Units::from(fill.fee.units());
        // Each fill uses up its part of the margin that was kept; the last one gives back the rest.
        let kept = position.reserved - margin(worth, position.leverage);
        position.reserved = if last { 0 } else { kept.max(0) };
        if first {
            position.opened_at = now;
            position.opened_venue_at = fill.venue_at.0;
        }
        if last && position.state == PositionState::Opening {
            position.state = PositionState::Open;
        }
        first
    }

    /// A fill of an exit or a liquidation: never more than is open, with the whole of its fee. Booked as its profit and its fee.
    pub(super) fn left(&mut self, place: usize, fill: &Fill, [profit, paid]: [EntryKey; 2]) {
        let position = &mut self.user.positions[place];
        let size = Units::from(fill.quantity.units()).min(position.open);
        let (proceeds, cost) = (notional(fill.price.units().into(), size), cost_of(position, size));
        let realised = if position.side == Side::Buy { proceeds - cost } else { cost - proceeds };
        let fee = Units::from(fill.fee.units());
        position.open -= size;
        position.cost -= cost;
        position.realised += realised;
        position.fees += fee;
        position.state = PositionState::Closing;
        let account = position.account;
        self.executed(paid, fill, realised);
        self.move_wallet(account, realised, LedgerAccount::VenueProfit, profit);
        self.move_wallet(account, -fee, LedgerAccount::VenueFee, paid);
    }

    /// Remembers an execution by what its fee is booked under.
    pub(super) fn executed(&mut self, key: EntryKey, fill: &Fill, realised: Units) {
        let executed = Execution {
            at: self.now,
            key,
            price: fill.price.units().into(),
            quantity: fill.quantity.units().into(),
            fee: fill.fee.units().into(),
            realised,
        };
        keep(&mut self.user.executions, STATEMENT, Rc::new(executed));
    }

    /// The stop and then the target of a position that has just begun, from its real entry price. Its liquidation is that of
    /// all that its entry asked for.
    fn protect(&mut self, place: usize, asked: Units) {
        let (account, symbol) = (self.user.positions[place].account, self.user.positions[place].symbol);
        let listed = self.instrument_on(account, symbol);
        let position = &mut self.user.positions[place];
        let entry = even(position.cost * ONE, position.open);
        // What was planned at the mark protects when no better can be said.
        if let Some(instrument) = listed.filter(|_| fits(entry)) {
            let (side, tick) = (position.side, tick_of(&instrument));
            if position.stop_percent > 0 {
                position.stop = stop_at(entry, side, position.stop_percent, tick).unwrap_or(position.stop);
            }
            if position.target_percent > 0 {
                position.target =
                    target_at(entry, side, position.target_percent, tick).unwrap_or(position.target);
            }
            position.liquidation = liquidation_at(entry, asked, side, position.leverage, &instrument)
                .unwrap_or(position.liquidation);
        }
        let position = position.clone();
        for (leg, kind) in [
            (Leg::Stop, OrderKind::StopMarket(price(position.stop))),
            (Leg::TakeProfit, OrderKind::TakeProfitMarket(price(position.target))),
        ] {
            let id = ClientOrderId {
                signal: position.signal,
                account: self.user.account_id(position.account),
                leg,
                round: 0,
            };
            let order = NewOrder {
                id,
                symbol: position.symbol,
                side: other(position.side),
                kind,
                quantity: quantity(position.open),
                reduce_only: true,
                leverage: position.leverage,
            };
            self.order(order, position.signal, position.open);
        }
    }

    fn funded(&mut self, account: u8, symbol: Symbol, venue_at: Timestamp, amount: Units) -> Reply {
        // Of what was open then: the open position, else the newest closed one; one that is open takes what is nobody's.
        const APART: u64 = 60_000_000;
        let was_open = |p: &Position, closed: bool| {
            p.account == account
                && p.symbol == symbol
                && p.opened_venue_at != 0
                && p.opened_venue_at <= venue_at.0 + APART
                && (!closed || venue_at.0 <= p.closed_at + APART)
        };
        let place = self.user.place_on_symbol(account, symbol);
        let open = place.map(|place| &self.user.positions[place]);
        let late = self.user.closed.iter().rposition(|p| was_open(p, true));
        let late = late.filter(|_| open.is_none_or(|open| !was_open(open, false)));
        let Some(position) = late.map(|at| &self.user.closed[at]).or(open) else { return Reply::Ignored };
        // Known already: of this position, or of one on the symbol that was closed before it.
        let before = self.user.closed.iter().filter(|p| p.account == account && p.symbol == symbol);
        let known = before.chain([position]).any(|p| venue_at.0 <= p.funded_at);
        let held = fits(position.funding + amount) && fits(self.user.wallet(account) + amount);
        if known || !held || amount.abs() > LARGEST {
            return Reply::Ignored;
        }
        self.look_at_the_day(account);
        if late.is_some() {
            // Its account was closed: what was paid is carried forward as a loss.
            let currency = self.user.currency(account);
            let carried = self.user.carried.get(&currency).copied().unwrap_or(0);
            let now = (carried - amount).max(0);
            if now != carried {
                self.user.carried.insert(currency, now);
            }
        }
        let position = match (late, place) {
            (Some(at), _) => &mut self.user.closed[at],
            (None, Some(place)) => &mut self.user.positions[place],
            (None, None) => return Reply::Ignored,
        };
        position.funding += amount;
        position.funded_at = venue_at.0;
        let key = EntryKey::Funding(account, symbol, venue_at);
        self.move_wallet(account, amount, LedgerAccount::VenueFunding, key);
        self.changed = true;
        Reply::Done
    }

    /// On a real venue the books follow the wallet: the difference came from outside.
    fn wallet_told(&mut self, account: u8, wallet: Units) -> Reply {
        let real =
            self.user.accounts.get(usize::from(account)).is_some_and(|a| a.place.venue != VenueKind::Paper);
        let moved = wallet - self.user.wallet(account);
        if !real || moved == 0 || wallet.abs() > LARGEST || !fits(moved) {
            return Reply::Ignored;
        }
        self.look_at_the_day(account);
        self.user.accounts[usize::from(account)].day_equity += moved;
        let key = EntryKey::Transfer(account, self.user.books.entries + 1);
        self.move_wallet(account, moved, LedgerAccount::Outside, key);
        self.changed = true;
        Reply::Done
    }

    fn closed_by_others(&mut self, account: u8, symbol: Symbol, fill: &Fill, why: CloseReason) -> Reply {
        let Some(place) = self.user.place_on_symbol(account, symbol) else { return Reply::Ignored };
        let position = &self.user.positions[place];
        let booked = self.user.accounts[usize::from(account)].liquidations;
        let Some(worth) = plausible(fill) else { return Reply::Ignored };
        if fill.number <= booked
            || position.open == 0
            || !holds(position, self.user.wallet(account), fill, worth)
        {
            return Reply::Ignored;
        }
        self.look_at_the_day(account);
        self.user.accounts[usize::from(account)].liquidations = fill.number;
        let keys = match why {
            CloseReason::Liquidation => [
                EntryKey::LiquidationProfit(account, fill.number),
                EntryKey::LiquidationFee(account, fill.number),
            ],
            _ => [EntryKey::OutsideProfit(account, fill.number), EntryKey::OutsideFee(account, fill.number)],
        };
        self.left(place, fill, keys);
        self.changed = true;
        self.conclude(place, why);
        Reply::Done
    }

    /// What a change of a position makes necessary: the next step of its close, or its final account once it is flat and
    /// nothing of its entry can fill any more.
    pub(super) fn conclude(&mut self, place: usize, why: CloseReason) {
        let position = self.user.positions[place].clone();
        if position.open > 0 {
            self.drive(place);
            return;
        }
        if self.orders_of(&position).any(|order| order.new.id.leg == Leg::Entry) {
            if position.closing.is_none() {
                self.force_close(place, why);
            } else {
                self.take_back(&position, |order| order.new.id.leg == Leg::Entry);
            }
            return;
        }
        self.take_back(&position, |_| true);
        let why = match position.closing {
            Some(closing) if why == CloseReason::Signal => closing.reason,
            _ => why,
        };
        self.settle(place, why);
    }

    /// An order that is final moves to the history.
    pub(super) fn put_away(&mut self, at: usize) -> Order {
        self.update_receipt(at);
        let order = self.user.orders.remove(at);
        keep(&mut self.user.final_orders, HISTORY, order.clone());
        order
    }

    /// Brings the receipt line of an order's signal up to date: entries speak for opens, signal closes for closes, and the
    /// close of a reversal only for the time at which the first byte left.
    fn update_receipt(&mut self, at: usize) {
        let order = &self.user.orders[at];
        let leg = order.new.id.leg;
        if !matches!(leg, Leg::Entry | Leg::SignalClose | Leg::ReversalClose) {
            return;
        }
        let signal = order.new.id.signal;
        let Some(line) = self.user.receipts.iter_mut().find(|line| line.signal == signal) else { return };
        if line.sent_at == 0 {
            line.sent_at = order.sent_at;
        }
        if leg == Leg::ReversalClose {
            return;
        }
        if line.filled_at == 0 {
            line.filled_at = order.filled_at;
        }
        line.done_at = order.done_at;
        let over = matches!(order.state, OrderState::Cancelled | OrderState::Rejected | OrderState::Expired);
        line.kind = match (order.state, order.reason) {
            (OrderState::Filled, _) => OutcomeKind::Filled,
            (_, Some(reason)) if over && order.filled == 0 => {
                // A close that came too late for its position has done its work.
                let flat = matches!(
                    reason,
                    VenueReason::NothingToReduce | VenueReason::PositionClosed | VenueReason::Requested
                );
                if leg == Leg::SignalClose && flat {
                    OutcomeKind::Skipped(Skip::NoPosition)
                } else {
                    OutcomeKind::Failed(reason)
                }
            }
            _ if over => OutcomeKind::FilledInPart,
            _ => OutcomeKind::Sent,
        };
    }
}
