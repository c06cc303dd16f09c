//! An account as its holder sees it: wallet, positions, settings, and what became of its orders.
//!
//! **Invariants**: wallet and positions follow the venue's reports one by one, by the rules of `docs/paper-venue.md`, so
//! that what is told with a report is what was true just after it. **Bounds**: [`FINISHED_MAX`], [`EXECUTIONS_MAX`],
//! [`INCOMES_MAX`] per account.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, Timestamp, UserId};
use engine::core::instrument::{Instrument, Symbol};
use engine::core::order::Side;

use super::orders::{Execution, OrderNo, mean_price};
use crate::paper::rules;

/// Finished orders kept per account: what a client may still ask for. The newest; about a day of busy trading.
pub const FINISHED_MAX: usize = 2_000;
/// Executions kept per account, likewise.
pub const EXECUTIONS_MAX: usize = 4_000;
/// Changes of the wallet kept per account, likewise.
pub const INCOMES_MAX: usize = 4_000;
/// Leverage of a symbol that nobody has set: Binance's default.
pub const LEVERAGE_DEFAULT: u8 = 20;

const FITS: &str = "the venue keeps notionals within the range of money";

/// Number of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNo(pub u32);

impl AccountNo {
    /// Its name at the venue.
    #[must_use]
    pub fn venue_id(self) -> AccountId {
        AccountId { user: UserId(u64::from(self.0)), index: 0 }
    }

    pub(super) fn of_venue(id: AccountId) -> Self {
        Self(u32::try_from(id.user.0).expect("accounts are made by venue_id"))
    }
}

/// Which exchange's protocol an account is used with. Its keys are keys of that exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaceKind {
    /// Binance USD-M futures.
    Binance,
    /// Bybit V5.
    Bybit,
}

/// An open position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// `Buy` is long.
    pub side: Side,
    /// Its size, above zero.
    pub quantity: Quantity,
    /// Notional of the entries that are still in it.
    pub entry_cost: Money,
    /// Fees of these entries.
    pub entry_fees: Money,
    /// Its leverage.
    pub leverage: u8,
    /// What its exits realised, and its fees and funding (`curRealisedPnl`).
    pub realised: Money,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// The trigger that protects it, and its order (Bybit, mode Full).
    pub stop: Option<(Price, OrderNo)>,
    /// The trigger that takes its profit, likewise.
    pub take_profit: Option<(Price, OrderNo)>,
}

impl Position {
    /// Mean entry price.
    #[must_use]
    pub fn entry(&self) -> Price {
        mean_price(self.entry_cost, self.quantity).unwrap_or_default()
    }

    /// Profit that is not realised, at this mark.
    #[must_use]
    pub fn unrealised(&self, mark: Price) -> Money {
        let notional = mark.notional(self.quantity).expect(FITS);
        rules::realised(self.side, notional, self.entry_cost).expect(FITS)
    }

    /// Isolated margin.
    #[must_use]
    pub fn margin(&self) -> Money {
        rules::margin(self.entry_cost, self.leverage).expect("a position's leverage is 1 or more")
    }

    /// Notional at this mark.
    #[must_use]
    pub fn notional(&self, mark: Price) -> Money {
        mark.notional(self.quantity).expect(FITS)
    }

    /// The price at which it is liquidated; `None`: nowhere.
    #[must_use]
    pub fn liquidation(&self, instrument: &Instrument) -> Option<Price> {
        rules::liquidation_price(self.side, self.entry_cost, self.quantity, self.leverage, instrument)
    }
}

/// What an account has chosen for a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolSettings {
    /// Leverage.
    pub leverage: u8,
    /// Isolated, else cross. It is told and not more: margin is always isolated here.
    pub isolated: bool,
}

/// Why a wallet changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncomeKind {
    /// Given at the opening.
    Transfer,
    /// Realised by an execution.
    Realised,
    /// Fee of an execution (negative).
    Commission,
    /// Funding; positive is received.
    Funding {
        /// The rate.
        rate: Rate,
        /// The mark it was computed at.
        mark: Price,
        /// Size of the position.
        quantity: Quantity,
        /// Side of the position.
        side: Side,
    },
}

/// A change of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Income {
    /// Its number.
    pub no: OrderNo,
    /// Why.
    pub kind: IncomeKind,
    /// On which symbol.
    pub symbol: Option<Symbol>,
    /// How much; negative is paid.
    pub amount: Money,
    /// The wallet after it.
    pub balance: Money,
    /// The execution it belongs to.
    pub execution: Option<OrderNo>,
    /// When.
    pub at: Timestamp,
}

/// An account.
#[derive(Debug)]
pub struct Account {
    /// Its number.
    pub no: AccountNo,
    /// Which protocol it is used with.
    pub face: FaceKind,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Wallet balance, without what is not realised.
    pub wallet: Money,
    /// The open positions.
    pub positions: BTreeMap<Symbol, Position>,
    /// Settings that differ from the default.
    pub settings: BTreeMap<Symbol, SymbolSettings>,
    /// Whether the account holds long and short beside each other.
    pub hedge: bool,
    /// Whether margin is isolated where no symbol says otherwise (Bybit: for all).
    pub isolated: bool,
    /// Whether it may trade at all.
    pub may_trade: bool,
    /// The live orders and waiting triggers.
    pub open: BTreeSet<OrderNo>,
    /// The newest finished orders, oldest first.
    pub finished: VecDeque<OrderNo>,
    /// The newest executions, oldest first.
    pub executions: VecDeque<Execution>,
    /// The newest changes of the wallet, oldest first.
    pub incomes: VecDeque<Income>,
    /// The newest order of each client id.
    pub(super) by_client: BTreeMap<String, OrderNo>,
}

/// What an account has and could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funds {
    /// Wallet balance.
    pub wallet: Money,
    /// Profit that is not realised.
    pub unrealised: Money,
    /// Margin of positions.
    pub position_margin: Money,
    /// What resting orders hold back.
    pub order_margin: Money,
    /// Maintenance margin of positions.
    pub maintenance: Money,
    /// What could be used for a new order, zero or more.
    pub available: Money,
}

impl Account {
    pub(super) fn new(no: AccountNo, face: FaceKind, now: Timestamp) -> Self {
        Self {
            no,
            face,
            opened_at: now,
            wallet: Money::ZERO,
            positions: BTreeMap::new(),
            settings: BTreeMap::new(),
            hedge: false,
            isolated: false,
            may_trade: true,
            open: BTreeSet::new(),
            finished: VecDeque::new(),
            executions: VecDeque::new(),
            incomes: VecDeque::new(),
            by_client: BTreeMap::new(),
        }
    }

    /// What is set for a symbol.
    #[must_use]
    pub fn settings_of(&self, instrument: &Instrument) -> SymbolSettings {
        self.settings.get(&instrument.symbol).copied().unwrap_or(SymbolSettings {
            leverage: LEVERAGE_DEFAULT.min(instrument.leverage_max),
            isolated: self.isolated,
        })
    }

    pub(super) fn pay(&mut self, amount: Money) {
        self.wallet = self.wallet.checked_add(amount).expect(FITS);
    }

    pub(super) fn remember_income(&mut self, income: Income) {
        if self.incomes.len() >= INCOMES_MAX {
            self.incomes.pop_front();
        }
        self.incomes.push_back(income);
    }

    pub(super) fn remember_execution(&mut self, execution: Execution) {
        if self.executions.len() >= EXECUTIONS_MAX {
            self.executions.pop_front();
        }
        self.executions.push_back(execution);
    }

    /// Books a fill into the position: what it realised, the entries' fees for what it closed, and how much it closed.
    pub(super) fn fill(
        &mut self,
        symbol: Symbol,
        side: Side,
        (quantity, notional): (Quantity, Money),
        fee: Money,
        leverage: u8,
        now: Timestamp,
    ) -> (Money, Money, Quantity) {
        let Some(position) = self.positions.get_mut(&symbol) else {
            self.positions.insert(
                symbol,
                Position {
                    side,
                    quantity,
                    entry_cost: notional,
                    entry_fees: fee,
                    leverage,
                    realised: fee.negated(),
                    opened_at: now,
                    updated_at: now,
                    stop: None,
                    take_profit: None,
                },
            );
            return (Money::ZERO, Money::ZERO, Quantity::ZERO);
        };
        position.updated_at = now;
        position.realised = position.realised.checked_sub(fee).expect(FITS);
        if position.side == side {
            position.quantity = position.quantity.checked_add(quantity).expect(FITS);
            position.entry_cost = position.entry_cost.checked_add(notional).expect(FITS);
            position.entry_fees = position.entry_fees.checked_add(fee).expect(FITS);
            return (Money::ZERO, Money::ZERO, Quantity::ZERO);
        }
        let share = rules::cost_share(position.entry_cost, quantity, position.quantity).expect(FITS);
        let fees = rules::cost_share(position.entry_fees, quantity, position.quantity).expect(FITS);
        let realised = rules::realised(position.side, notional, share).expect(FITS);
        position.realised = position.realised.checked_add(realised).expect(FITS);
        position.quantity = position.quantity.checked_sub(quantity).expect(FITS);
        position.entry_cost = position.entry_cost.checked_sub(share).expect(FITS);
        position.entry_fees = position.entry_fees.checked_sub(fees).expect(FITS);
        assert!(!position.quantity.is_negative(), "the venue never closes more than is open");
        if position.quantity.is_zero() {
            self.positions.remove(&symbol);
        }
        (realised, fees, quantity)
    }
}
