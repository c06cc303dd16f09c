//! What can be traded and by which filters: the exchange's own list, exact look-ups only.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::{Money, Price, Quantity, Rate, UNIT};
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

/// A bracket: what is allowed, and what must be kept, of a position up to a notional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bracket {
    /// The largest notional of the bracket; the smallest is the largest of the bracket below it.
    pub notional_max: Money,
    /// Highest leverage.
    pub leverage_max: u8,
    /// Maintenance margin as a share of the notional.
    pub maintenance: Rate,
    /// What is taken off that share, so that each rate counts only for what lies within its bracket.
    pub deduction: Money,
}

/// The brackets of an instrument, smallest first; none where the exchange has not told them.
///
/// **Bounds**: [`Brackets::MAX`] rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Brackets {
    rows: [Bracket; Brackets::MAX],
    count: usize,
}

impl Brackets {
    /// Most rows that are kept. Binance has up to about a dozen for a symbol.
    pub const MAX: usize = 16;
    const EMPTY: Bracket = Bracket {
        notional_max: Money::ZERO,
        leverage_max: 0,
        maintenance: Rate::ZERO,
        deduction: Money::ZERO,
    };
    /// Not known.
    pub const NONE: Self = Self { rows: [Self::EMPTY; Self::MAX], count: 0 };

    /// Brackets by largest notional, highest leverage and maintenance rate, in any order. Of more than [`Brackets::MAX`] those
    /// of the smallest notionals are kept: the last of them is then the limit, which is below the exchange's. Deductions are
    /// what makes the maintenance margin go on without a step from bracket to bracket, as exchanges compute theirs (`cum`);
    /// rounded down, so that never too little is kept.
    #[must_use]
    pub fn of(told: impl IntoIterator<Item = (Money, u8, Rate)>) -> Self {
        let mut brackets = Self::NONE;
        for (notional_max, leverage_max, maintenance) in told {
            let at = brackets.rows().partition_point(|row| row.notional_max <= notional_max);
            if at < Self::MAX {
                brackets.count = Self::MAX.min(brackets.count + 1);
                brackets.rows[at..brackets.count].rotate_right(1);
                brackets.rows[at] =
                    Bracket { notional_max, leverage_max, maintenance, deduction: Money::ZERO };
            }
        }
        let mut below = brackets.rows[0];
        let mut sum = 0_i128;
        for row in &mut brackets.rows[..brackets.count] {
            let rise = i128::from(row.maintenance.units()) - i128::from(below.maintenance.units());
            sum = sum.saturating_add(i128::from(below.notional_max.units()).saturating_mul(rise));
            // One that no number can say is left out: more is kept then.
            row.deduction = i64::try_from(sum.div_euclid(UNIT.into())).map_or(Money::ZERO, Money::from_units);
            below = *row;
        }
        brackets
    }

    /// The rows, smallest first.
    #[must_use]
    pub fn rows(&self) -> &[Bracket] {
        &self.rows[..self.count]
    }

    /// The largest notional that may be held at a leverage: nothing at one that no bracket allows. `None` when no bracket is
    /// known, which limits nothing.
    #[must_use]
    pub fn cap_at(&self, leverage: u8) -> Option<Money> {
        let allowing = self.rows().iter().filter(|row| row.leverage_max >= leverage);
        let cap = allowing.map(|row| row.notional_max).max().unwrap_or(Money::ZERO);
        (self.count > 0).then_some(cap)
    }
}

impl fmt::Debug for Brackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
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
    /// Highest leverage: that of the first bracket, where brackets are known.
    pub leverage_max: u8,
    /// Maintenance margin as a share of notional: that of the first bracket, where brackets are known.
    pub maintenance: Rate,
    /// What larger positions are allowed, and must keep.
    pub brackets: Brackets,
    /// Fee of a fill that took liquidity.
    pub fee_taker: Rate,
    /// Fee of a fill that made liquidity.
    pub fee_maker: Rate,
    /// Extra fee of a liquidation.
    pub fee_liquidation: Rate,
}

impl Instrument {
    /// Maintenance rates with their deductions. What must be kept of a notional is the largest that any of them asks:
    /// `rate × notional − deduction`. The rates rise, so that is what its own bracket asks.
    pub fn maintenance_rows(&self) -> impl Iterator<Item = (Rate, Money)> {
        let rows = self.brackets.rows();
        let only = rows.is_empty().then_some((self.maintenance, Money::ZERO));
        only.into_iter().chain(rows.iter().map(|row| (row.maintenance, row.deduction)))
    }
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
