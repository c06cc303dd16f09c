//! What an account chooses: leverage and margin type of a symbol, position mode.

use engine::core::instrument::Symbol;
use engine::core::order::VenueReason;

use super::accounts::{AccountNo, SymbolSettings};
use super::core::Core;
use super::events::What;
use super::refusal::Refusal;

impl Core {
    /// Sets the leverage of a symbol. `lower_isolated` says whether that of an isolated position may be lowered (Bybit:
    /// yes; Binance: -4161).
    ///
    /// # Errors
    /// [`Refusal::NoChange`] when it is so already, [`Refusal::Leverage`], [`Refusal::LeverageReduction`],
    /// [`Refusal::Margin`], [`Refusal::Symbol`], [`Refusal::Account`].
    pub fn set_leverage(
        &mut self,
        no: AccountNo,
        symbol: Symbol,
        leverage: u8,
        lower_isolated: bool,
    ) -> Result<(), Refusal> {
        let instrument = *self.instrument(symbol).ok_or(Refusal::Symbol)?;
        let account = self.account(no).ok_or(Refusal::Account)?;
        if leverage == 0 || leverage > instrument.leverage_max {
            return Err(Refusal::Leverage);
        }
        let settings = account.settings_of(&instrument);
        if settings.leverage == leverage {
            return Err(Refusal::NoChange);
        }
        let open = account.positions.contains_key(&symbol);
        if open && settings.isolated && leverage < settings.leverage && !lower_isolated {
            return Err(Refusal::LeverageReduction);
        }
        self.venue.change_leverage(no.venue_id(), symbol, leverage).map_err(|reason| match reason {
            VenueReason::Margin => Refusal::Margin,
            VenueReason::Account => Refusal::Account,
            _ => Refusal::Leverage,
        })?;
        let account = self.of(no);
        if let Some(position) = account.positions.get_mut(&symbol) {
            position.leverage = leverage;
        }
        let settings = SymbolSettings { leverage, ..settings };
        account.settings.insert(symbol, settings);
        self.tell(no, What::Settings(symbol, settings));
        Ok(())
    }

    /// Sets isolated or cross margin of a symbol.
    ///
    /// # Errors
    /// [`Refusal::NoChange`], [`Refusal::OrdersOpen`], [`Refusal::PositionsOpen`], [`Refusal::Symbol`],
    /// [`Refusal::Account`].
    pub fn set_isolated(&mut self, no: AccountNo, symbol: Symbol, isolated: bool) -> Result<(), Refusal> {
        let instrument = *self.instrument(symbol).ok_or(Refusal::Symbol)?;
        let account = self.account(no).ok_or(Refusal::Account)?;
        let settings = account.settings_of(&instrument);
        if settings.isolated == isolated {
            return Err(Refusal::NoChange);
        }
        if self.open_orders(no).any(|order| order.spec.symbol == symbol) {
            return Err(Refusal::OrdersOpen);
        }
        if account.positions.contains_key(&symbol) {
            return Err(Refusal::PositionsOpen);
        }
        let settings = SymbolSettings { isolated, ..settings };
        self.of(no).settings.insert(symbol, settings);
        self.tell(no, What::Settings(symbol, settings));
        Ok(())
    }

    /// Sets the position mode.
    ///
    /// # Errors
    /// [`Refusal::NoChange`], [`Refusal::OrdersOpen`], [`Refusal::PositionsOpen`], [`Refusal::Account`].
    pub fn set_hedge(&mut self, no: AccountNo, hedge: bool) -> Result<(), Refusal> {
        let account = self.account_mut(no).ok_or(Refusal::Account)?;
        if account.hedge == hedge {
            return Err(Refusal::NoChange);
        }
        if !account.open.is_empty() {
            return Err(Refusal::OrdersOpen);
        }
        if !account.positions.is_empty() {
            return Err(Refusal::PositionsOpen);
        }
        account.hedge = hedge;
        self.tell(no, What::Mode { hedge });
        Ok(())
    }
}
