//! Accounts after a restart: in from the engine's durable state, out for reconciliation.

use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::order::{OrderState, VenueReason};

use super::PaperVenue;
use super::account::{Account, End, LiveOrder, Position};
use super::book::Slot;
use crate::venue::{AccountError, AccountSnapshot, OrderSnapshot, PositionSnapshot};

impl PaperVenue {
    /// Makes an account known again. Levels that the price has passed meanwhile fire at the next tick of their symbol,
    /// at its price.
    pub(super) fn restore_account(&mut self, snapshot: &AccountSnapshot) -> Result<(), AccountError> {
        let (account, orphans) = self.rebuild(snapshot)?;
        let slot = self.enroll(account)?;
        let indexes: Vec<_> = self.account_at(slot).positions.iter().map(|p| p.instrument).collect();
        for index in indexes {
            let book = self.book_mut(index);
            book.holders.insert(slot);
            // The next tick looks at every holder again: this one may have funding to make up for.
            book.settled_through = Timestamp(0);
            self.stand_liquidation(slot, index);
        }
        for told in snapshot.orders.iter().filter(|told| !orphans.contains(&told.order.id)) {
            self.stand_order(slot, told.order.id);
        }
        for id in orphans {
            self.finish(slot, id, End::Ended(OrderState::Expired, VenueReason::PositionClosed));
        }
        Ok(())
    }

    /// Checks a snapshot and builds the account, without touching the venue. Closing orders that have nothing to close come
    /// beside it: the fill that closed their position was made durable and the end of these orders, which follows it, was not.
    /// They are told to have ended once more.
    fn rebuild(&self, snapshot: &AccountSnapshot) -> Result<(Account, Vec<ClientOrderId>), AccountError> {
        let refuse = |what| AccountError::Inconsistent { account: snapshot.id, what };
        let mut account = Account::new(snapshot.id, snapshot.wallet);
        account.venue_fills = snapshot.venue_fills;
        let mut orphans = Vec::new();
        for told in &snapshot.positions {
            let instrument = self.index_of(told.symbol).ok_or(AccountError::UnknownSymbol(told.symbol))?;
            if account.position(instrument).is_some() {
                return Err(refuse("two positions on one symbol"));
            }
            if !told.quantity.is_positive() || told.entry_cost.is_negative() || told.leverage == 0 {
                return Err(refuse("a position without quantity or leverage, or with a negative cost"));
            }
            account.positions.push(Position {
                instrument,
                side: told.side,
                quantity: told.quantity,
                entry_cost: told.entry_cost,
                leverage: told.leverage,
                opened_at: told.opened_at,
                last_funding: told.last_funding,
                liquidation: None,
            });
        }
        for told in &snapshot.orders {
            let order = told.order;
            let index = self.index_of(order.symbol).ok_or(AccountError::UnknownSymbol(order.symbol))?;
            if order.id.account != snapshot.id {
                return Err(refuse("an order of another account"));
            }
            if account.order(order.id).is_some() {
                return Err(refuse("two orders with one id"));
            }
            let trigger = order.kind.is_trigger();
            if told.filled.is_negative() || (!trigger && told.filled >= order.quantity) {
                return Err(refuse("a live order that is filled"));
            }
            let mut live =
                LiveOrder::new(order, index, self.book(index).mark.map_or(Timestamp(0), |m| m.venue_at));
            if live.closes_only() && account.position(index).is_none_or(|p| p.side == order.side) {
                orphans.push(order.id);
            }
            live.filled = told.filled;
            live.fill_count = told.fills;
            live.working |= trigger && told.fills > 0;
            account.orders.push(live);
        }
        Ok((account, orphans))
    }

    /// What the venue holds of an account.
    pub(super) fn snapshot_of(&self, slot: Slot) -> AccountSnapshot {
        let account = self.account_at(slot);
        AccountSnapshot {
            id: account.id,
            wallet: account.wallet,
            positions: account
                .positions
                .iter()
                .map(|position| PositionSnapshot {
                    symbol: self.instrument_at(position.instrument).symbol,
                    side: position.side,
                    quantity: position.quantity,
                    entry_cost: position.entry_cost,
                    leverage: position.leverage,
                    opened_at: position.opened_at,
                    last_funding: position.last_funding,
                })
                .collect(),
            orders: account
                .orders
                .iter()
                .map(|live| OrderSnapshot { order: live.order, filled: live.filled, fills: live.fill_count })
                .collect(),
            venue_fills: account.venue_fills,
        }
    }
}
