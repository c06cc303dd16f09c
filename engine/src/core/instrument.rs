//! What can be traded and by which filters: the exchange's own list, exact look-ups only.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::{Money, Price, Quantity, Rate};
use super::user::ExchangeAccount;

/// An exchange symbol such as `BTCUSDT` or `1000PEPEUSDT`: up to 24 bytes of UTF-8, as the exchange writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct Symbol([u8; Symbol::MAX_BYTES]);

impl Symbol {
    /// The longest symbol, in bytes.
    pub const MAX_BYTES: usize = 24;

    /// A symbol, or `None` when it is empty, too long or holds control characters or blanks. Does not look it up.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        fits.then(|| {
            let mut bytes = [0; Self::MAX_BYTES];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            Self(bytes)
        })
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(Self::MAX_BYTES);
        std::str::from_utf8(&self.0[..end]).unwrap_or("?")
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an instrument takes orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstrumentStatus {
    /// Opens and closes.
    Trading,
    /// Closes only (for example ahead of a delisting).
    CloseOnly,
    /// Nothing.
    Halted,
}

/// An instrument with its filters (Binance `exchangeInfo`, Bybit `instruments-info`; see EXCHANGES.md §2.5, §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Its symbol.
    pub symbol: Symbol,
    /// Whether it takes orders.
    pub status: InstrumentStatus,
    /// Price grid (`tickSize`).
    pub tick: Price,
    /// Quantity grid (`stepSize`).
    pub step: Quantity,
    /// Smallest quantity.
    pub quantity_min: Quantity,
    /// Largest quantity of a limit order.
    pub quantity_max_limit: Quantity,
    /// Largest quantity of a market order.
    pub quantity_max_market: Quantity,
    /// Smallest notional of an order that is not reduce-only.
    pub notional_min: Money,
    /// Highest leverage.
    pub leverage_max: u8,
    /// Maintenance margin as a share of notional.
    pub maintenance: Rate,
    /// Fee of a fill that took liquidity.
    pub fee_taker: Rate,
    /// Fee of a fill that made liquidity.
    pub fee_maker: Rate,
    /// Extra fee of a liquidation.
    pub fee_liquidation: Rate,
}

/// What a market reading says about a symbol at the moment of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The mark price.
    pub mark: Price,
}

/// Where a decision looks up instruments and prices. Implemented by the shard over its venue; a look-up, never a call.
pub trait MarketView {
    /// The instrument of exactly this symbol, on whichever venue lists it.
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument>;
    /// The newest price on whichever venue has one, `None` when there is none that may be used.
    fn quote(&self, symbol: Symbol) -> Option<Quote>;
    /// Whether every venue has told what it lists: only then a symbol that is not found is known not to exist.
    fn is_complete(&self) -> bool {
        true
    }
    /// The instrument of exactly this symbol on the venue of this account. Without another word all accounts are on one.
    fn instrument_for(&self, account: &ExchangeAccount, symbol: Symbol) -> Option<&Instrument> {
        let _ = account;
        self.instrument(symbol)
    }
    /// The newest price on the venue of this account, `None` when there is none that may be used.
    fn quote_for(&self, account: &ExchangeAccount, symbol: Symbol) -> Option<Quote> {
        let _ = account;
        self.quote(symbol)
    }
}
