//! Booking an entry that was filled after its end was told.

use crate::core::fixed::Money;
use crate::core::ids::{SignalId, Timestamp};
use crate::core::ledger::EntryKey;
use crate::core::order::{Fill, NewOrder, OrderState, Told, VenueReason};
use crate::core::position::{Order, Position, PositionState};
use crate::core::user::User;

impl User {
    /// The order is remembered as the newest that ended, with this fill; `position` is what it changed, whether it began with it,
    /// and what that realised. An order that was forgotten is the one that it was `before`: version 3 did not tell that.
    pub(super) fn enter_late(
        &mut self,
        at: Timestamp,
        order: &NewOrder,
        fill: &Fill,
        (position, opens, realised): (SignalId, bool, Money),
        before: Option<&Told>,
    ) {
        let before = before.copied().unwrap_or(Told { decided_at: at, ..Told::default() });
        let (id, account) = (order.id, order.id.account.index);
        let currency = self.currency(account);
        let kept = self.final_orders.iter().rposition(|o| o.new.id == id);
        let mut record = kept.and_then(|place| self.final_orders.remove(place)).unwrap_or(Order {
            state: OrderState::Expired,
            reason: Some(VenueReason::NotReceived),
            filled: before.filled,
            notional: before.notional,
            fees: before.fees,
            ..Order::pending(*order, id.signal, before.decided_at)
        });
        record.fills = fill.number;
        record.filled = record.filled.checked_add(fill.quantity).expect("fills fit");
        let notional = fill.price.notional(fill.quantity).expect("the notional of a fill fits");
        record.notional = record.notional.checked_add(notional).expect("fills fit");
        record.fees = record.fees.checked_add(fill.fee).expect("fees fit");
        if record.filled == record.new.quantity {
            record.state = OrderState::Filled;
        }
        if record.filled_at == Timestamp(0) {
            record.filled_at = at;
        }
        record.done_at = at;
        self.orders.push(record);
        self.touch_outcome(id);
        self.archive_order(id);
        if opens {
            self.positions.push(Position::of_late_entry(order, at));
        }
        if let Some(p) = self.position_mut(position, account) {
            if p.side == order.side {
                p.enter_late(fill, at);
            } else {
                p.exit(fill.quantity.min(p.quantity), fill.fee, realised);
                p.state = PositionState::Closing;
            }
        }
        self.book_profit(at, EntryKey::FillProfit(id, fill.number), currency, account, realised);
        self.book_fee(at, EntryKey::FillFee(id, fill.number), currency, account, fill.fee);
    }
}
