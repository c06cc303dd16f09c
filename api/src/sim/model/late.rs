//! Entries that were told to be over and were filled all the same: nothing that is open may be without somebody who follows it.

use engine::core::command::Reply;
use engine::core::ids::{ClientOrderId, Leg};
use engine::core::ledger::{EntryKey, LedgerAccount};
use engine::core::order::{Fill, NewOrder, OrderState, Told, VenueReason};
use engine::core::position::{CloseReason, PositionState};

use super::Turn;
use super::numbers::{Units, fits};
use super::reports::{holds, of_order, plausible};
use super::user::{Order, Position};

impl Turn<'_> {
    /// The fill goes into what is open on the symbol, as the exchange nets it; where nothing is, it is a position to be closed.
    pub(super) fn late_entry(&mut self, new: &NewOrder, before: Told, fill: &Fill) -> Reply {
        let (id, account) = (new.id, new.id.account.index);
        if self.user.place_of_order(id).is_some() {
            return self.order_filled(id, fill, false, 0);
        }
        let Some(worth) = plausible(fill) else { return Reply::Ignored };
        let known = self.user.final_orders.iter().rposition(|o| o.new.id == id);
        let mut order =
            known.map_or_else(|| forgotten(new, before, fill), |at| self.user.final_orders[at].clone());
        let (size, fee) = (Units::from(fill.quantity.units()), Units::from(fill.fee.units()));
        let all = Units::from(order.new.quantity.units());
        if id.leg != Leg::Entry
            || new.reduce_only
            || fill.number == 0
            || usize::from(account) >= self.user.accounts.len()
            || u64::from(fill.number) != u64::from(order.fills) + 1
            || order.filled < 0
            || order.notional < 0
            || order.filled + size > all
            || ![order.filled + size, order.notional + worth, order.fees + fee].into_iter().all(fits)
        {
            return Reply::Ignored;
        }
        let place = self.user.positions.iter().position(|p| {
            p.account == account
                && p.symbol == new.symbol
                && p.entered > 0
                && (p.side == new.side || p.open > 0)
        });
        if place.is_none() && self.user.place_of_position(id.signal, account).is_some() {
            return Reply::Ignored;
        }
        let fresh = Position { state: PositionState::Closing, late: true, ..Position::of(new, self.now) };
        let position = place.map_or(&fresh, |place| &self.user.positions[place]);
        if !holds(position, self.user.wallet(account), fill, worth) {
            return Reply::Ignored;
        }
        self.look_at_the_day(account);
        order.fills = fill.number;
        order.filled += size;
        order.notional += worth;
        order.fees += fee;
        order.state = if order.filled == all { OrderState::Filled } else { order.state };
        order.filled_at = if order.filled_at == 0 { self.now } else { order.filled_at };
        order.done_at = self.now;
        if let Some(at) = known {
            self.user.final_orders.remove(at);
        }
        self.user.orders.push(order);
        self.put_away(self.user.orders.len() - 1);
        self.changed = true;
        let Some(place) = place else {
            self.user.positions.push(fresh);
            let place = self.user.positions.len() - 1;
            self.added(place, id, fill, worth);
            self.close_late(place);
            return Reply::Done;
        };
        if self.user.positions[place].side == new.side {
            self.added(place, id, fill, worth);
            self.conclude(place, CloseReason::Signal);
        } else {
            self.left(place, fill, of_order(id, fill));
            self.conclude(place, CloseReason::External);
        }
        Reply::Done
    }

    /// More of a position, from an entry that is not its own.
    fn added(&mut self, place: usize, id: ClientOrderId, fill: &Fill, worth: Units) {
        let now = self.now;
        let (size, fee) = (Units::from(fill.quantity.units()), Units::from(fill.fee.units()));
        let position = &mut self.user.positions[place];
        position.open += size;
        position.entered += size;
        position.cost += worth;
        position.fees += fee;
        if position.opened_at == 0 {
            position.opened_at = now;
            position.opened_venue_at = fill.venue_at.0;
        }
        let account = position.account;
        self.executed(EntryKey::FillFee(id, fill.number), fill, 0);
        self.move_wallet(account, -fee, LedgerAccount::VenueFee, EntryKey::FillFee(id, fill.number));
    }
}

/// An order of which nothing is remembered: all that is known of it is what the exchange's side tells, and that this comes next.
fn forgotten(new: &NewOrder, before: Told, fill: &Fill) -> Order {
    Order {
        new: *new,
        position: new.id.signal,
        state: OrderState::Expired,
        filled: Units::from(before.filled.units()),
        notional: Units::from(before.notional.units()),
        fees: Units::from(before.fees.units()),
        fills: fill.number.saturating_sub(1),
        reason: Some(VenueReason::NotReceived),
        cancelling: false,
        decided_at: before.decided_at.0,
        sent_at: 0,
        filled_at: 0,
        done_at: 0,
        open_then: 0,
    }
}
