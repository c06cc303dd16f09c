//! Another leverage for a symbol that is in use.

use engine::core::fixed::Money;
use engine::core::ids::AccountId;
use engine::core::instrument::Symbol;
use engine::core::order::{Side, VenueReason};

use super::{PaperVenue, rules};

impl PaperVenue {
    /// Gives the position and the live opening orders of a symbol another leverage. Nothing changes when it is refused; an
    /// account that uses no leverage on the symbol is left as it is.
    ///
    /// # Errors
    /// [`VenueReason::Account`], [`VenueReason::Symbol`]: not known. [`VenueReason::Leverage`]: outside the instrument's
    /// range, the position and these orders are more than it allows, or the position would be liquidated at once.
    /// [`VenueReason::Margin`]: the wallet does not hold the margin.
    pub fn change_leverage(
        &mut self,
        id: AccountId,
        symbol: Symbol,
        leverage: u8,
    ) -> Result<(), VenueReason> {
        let slot = self.slots.get(&id).copied().ok_or(VenueReason::Account)?;
        let index = self.index_of(symbol).ok_or(VenueReason::Symbol)?;
        let instrument = *self.instrument_at(index);
        if leverage == 0 || leverage > instrument.leverage_max {
            return Err(VenueReason::Leverage);
        }
        if self.account_at(slot).opened_at_most(index) > rules::notional_max(&instrument, leverage) {
            return Err(VenueReason::Leverage);
        }
        let mut changed = self.account_at(slot).clone();
        if let Some(position) = changed.position_mut(index) {
            position.leverage = leverage;
            let liquidation = rules::liquidation_price(
                position.side,
                position.entry_cost,
                position.quantity,
                leverage,
                &instrument,
            );
            let rising = position.side == Side::Sell;
            let reached = |mark: &crate::venue::Mark| {
                liquidation.is_some_and(|level| rules::reached(mark.price, level, rising))
            };
            if self.book(index).mark.as_ref().is_some_and(reached) {
                return Err(VenueReason::Leverage);
            }
        }
        for live in &mut changed.orders {
            if live.instrument == index && !live.closes_only() {
                live.order.leverage = leverage;
            }
        }
        let before = self.account_at(slot).free(&self.instruments);
        let after = changed.free(&self.instruments);
        if after < before && after < Money::ZERO {
            return Err(VenueReason::Margin);
        }
        self.unstand_liquidation(slot, index);
        let account = self.account_at_mut(slot);
        if let Some(position) = account.position_mut(index) {
            position.leverage = leverage;
        }
        account.orders = changed.orders;
        self.stand_liquidation(slot, index);
        Ok(())
    }
}
