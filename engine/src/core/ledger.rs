//! The double-entry ledger. Each user's part is balanced in itself: the company's and the venue's side of a user's
//! movements are kept with that user, so a sum over any set of users is zero, whatever the number of shards.
//!
//! **Invariants**: every entry sums to zero in one currency; the balances of a currency sum to zero at every moment;
//! a correction is a new entry. Both are asserted in release builds, when an entry is posted.
//! **Bounds**: the statement keeps the newest [`STATEMENT_MAX`] entries; balances are complete.

use std::collections::VecDeque;
use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::Money;
use super::ids::{ClientOrderId, SignalId, Timestamp};
use super::instrument::Symbol;

/// Entries a user's statement keeps in memory. Older ones are in the log (and, with Postgres, in its history).
pub const STATEMENT_MAX: usize = 128;
/// Postings of one entry.
pub const POSTINGS_MAX: usize = 4;

/// A currency. Amounts of two currencies are never added. Paper money is a currency of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub enum Currency {
    /// Brazilian real.
    Brl,
    /// US dollar.
    Usd,
    /// Tether on a real venue.
    Usdt,
    /// Tether on the paper venue: not worth anything, and never mixed with what is.
    PaperUsdt,
}

impl Currency {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Brl, Self::Usd, Self::Usdt, Self::PaperUsdt];

    /// Its code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brl => "BRL",
            Self::Usd => "USD",
            Self::Usdt => "USDT",
            Self::PaperUsdt => "USDT-PAPER",
        }
    }
}

/// Where money can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub enum LedgerAccount {
    /// The wallet of an exchange account of the user (its place in the user's list).
    Wallet(u8),
    /// The user's deposits, withdrawable.
    Real,
    /// The user's coupons and bonuses, never withdrawable.
    Credit,
    /// The user's affiliate earnings.
    Commission,
    /// What the user owes the company: zero or negative.
    Debt,
    /// Where deposits come from: the outside world.
    Outside,
    /// The venue's side of realised profit and loss.
    VenueProfit,
    /// The venue's side of trading fees.
    VenueFee,
    /// The venue's side of funding.
    VenueFunding,
    /// The company's earnings.
    Revenue,
}

impl LedgerAccount {
    /// Its name in statements.
    #[must_use]
    pub fn name(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wallet(index) => return write!(f, "wallet:{index}"),
            Self::Real => "real",
            Self::Credit => "credit",
            Self::Commission => "commission",
            Self::Debt => "debt",
            Self::Outside => "outside",
            Self::VenueProfit => "venue_profit",
            Self::VenueFee => "venue_fee",
            Self::VenueFunding => "venue_funding",
            Self::Revenue => "company_revenue",
        })
    }
}

/// The business event behind an entry: unique for ever within a user's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum EntryKey {
    /// The opening balance of an exchange account.
    AccountOpened(u8),
    /// The prepaid balance that came with it.
    Prepaid(u8),
    /// The fee of a fill: the order and the fill's number.
    FillFee(ClientOrderId, u32),
    /// The realised profit of a fill.
    FillProfit(ClientOrderId, u32),
    /// A settlement of funding: account, symbol, venue's time.
    Funding(u8, Symbol, Timestamp),
    /// The fee of a liquidation: account and its number there.
    LiquidationFee(u8, u32),
    /// The realised loss of a liquidation.
    LiquidationProfit(u8, u32),
    /// The profit share of a position, by its opening signal and account.
    ProfitShare(SignalId, u8),
    /// A recharge, by its payment's number.
    Recharge(u64),
    /// The part of a recharge that paid debt.
    DebtOffset(u64),
    /// The fee of a close by somebody else: account and its number there, which counts with liquidations.
    OutsideFee(u8, u32),
    /// The realised profit of a close by somebody else.
    OutsideProfit(u8, u32),
    /// Money that was moved in or out at the venue: account and the number of this entry in the user's ledger.
    Transfer(u8, u64),
}

impl EntryKey {
    /// A stable text form.
    #[must_use]
    pub fn text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountOpened(a) => write!(f, "account_opened:{a}"),
            Self::Prepaid(a) => write!(f, "prepaid:{a}"),
            Self::FillFee(id, n) => write!(f, "fill_fee:{id}:{n}"),
            Self::FillProfit(id, n) => write!(f, "fill_profit:{id}:{n}"),
            Self::Funding(a, symbol, at) => write!(f, "funding:{a}:{symbol}:{}", at.millis()),
            Self::LiquidationFee(a, n) => write!(f, "liquidation_fee:{a}:{n}"),
            Self::LiquidationProfit(a, n) => write!(f, "liquidation_profit:{a}:{n}"),
            Self::ProfitShare(signal, a) => write!(f, "profit_share:{signal}:{a}"),
            Self::Recharge(n) => write!(f, "recharge:{n}"),
            Self::DebtOffset(n) => write!(f, "debt_offset:{n}"),
            Self::OutsideFee(a, n) => write!(f, "outside_fee:{a}:{n}"),
            Self::OutsideProfit(a, n) => write!(f, "outside_profit:{a}:{n}"),
            Self::Transfer(a, n) => write!(f, "transfer:{a}:{n}"),
        }
    }
}

/// One line of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Posting {
    /// Where.
    pub account: LedgerAccount,
    /// How much; positive goes in.
    pub amount: Money,
}

/// A balanced journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Entry {
    /// Its number within the user's ledger, from 1.
    pub number: u64,
    /// When it was booked.
    pub at: Timestamp,
    /// Why.
    pub key: EntryKey,
    /// In which currency.
    pub currency: Currency,
    /// The lines; they sum to zero.
    pub postings: Vec<Posting>,
}

/// A user's ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Ledger {
    /// Balances that were ever touched, sorted by currency and account.
    balances: Vec<(Currency, LedgerAccount, Money)>,
    /// The newest entries.
    statement: VecDeque<Entry>,
    /// Entries ever booked.
    entries: u64,
}

impl Ledger {
    /// The balance of an account.
    #[must_use]
    pub fn balance(&self, currency: Currency, account: LedgerAccount) -> Money {
        match self.balances.binary_search_by_key(&(currency, account), |(c, a, _)| (*c, *a)) {
            Ok(at) => self.balances[at].2,
            Err(_) => Money::ZERO,
        }
    }

    /// All balances, sorted.
    #[must_use]
    pub fn balances(&self) -> &[(Currency, LedgerAccount, Money)] {
        &self.balances
    }

    /// The newest entries, oldest first.
    #[must_use]
    pub fn statement(&self) -> &VecDeque<Entry> {
        &self.statement
    }

    /// Entries ever booked.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The sum over all accounts of a currency, in units of 1e-8: zero, always.
    #[must_use]
    pub fn sum_units(&self, currency: Currency) -> i128 {
        self.balances.iter().filter(|(c, _, _)| *c == currency).map(|(_, _, m)| i128::from(m.units())).sum()
    }

    /// Books an entry; lines of amount zero are left out, and an entry without lines is not booked.
    ///
    /// # Panics
    /// When the lines do not sum to zero or a balance overflows: that would corrupt money.
    pub fn post(
        &mut self,
        at: Timestamp,
        key: EntryKey,
        currency: Currency,
        lines: &[(LedgerAccount, Money)],
    ) {
        assert!(lines.len() <= POSTINGS_MAX, "an entry has at most {POSTINGS_MAX} postings");
        let sum: i128 = lines.iter().map(|(_, amount)| i128::from(amount.units())).sum();
        assert!(sum == 0, "unbalanced entry {}: {sum} units of {}", key.text(), currency.as_str());
        let mut postings = Vec::with_capacity(lines.len());
        for (account, amount) in lines.iter().filter(|(_, amount)| !amount.is_zero()) {
            self.move_balance(currency, *account, *amount);
            postings.push(Posting { account: *account, amount: *amount });
        }
        if postings.is_empty() {
            return;
        }
        self.entries += 1;
        if self.statement.len() == STATEMENT_MAX {
            self.statement.pop_front();
        }
        self.statement.push_back(Entry { number: self.entries, at, key, currency, postings });
    }

    fn move_balance(&mut self, currency: Currency, account: LedgerAccount, amount: Money) {
        match self.balances.binary_search_by_key(&(currency, account), |(c, a, _)| (*c, *a)) {
            Ok(at) => {
                let balance = &mut self.balances[at].2;
                *balance = balance.checked_add(amount).expect("a balance beyond 92 billion");
            }
            Err(at) => self.balances.insert(at, (currency, account, amount)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::UserId;
    use crate::core::state::State;
    use crate::core::user::User;

    #[test]
    #[should_panic(expected = "unbalanced entry recharge:1")]
    fn an_unbalanced_entry_is_not_booked() {
        let lines =
            [(LedgerAccount::Real, Money::from_whole(2)), (LedgerAccount::Outside, Money::from_whole(-1))];
        Ledger::default().post(Timestamp(0), EntryKey::Recharge(1), Currency::Usd, &lines);
    }

    #[test]
    fn the_statement_is_bounded_and_the_balance_complete() {
        let mut ledger = Ledger::default();
        for n in 0..STATEMENT_MAX as u64 + 5 {
            let one = Money::from_whole(1);
            let lines = [(LedgerAccount::Real, one), (LedgerAccount::Outside, one.negated())];
            ledger.post(Timestamp(n), EntryKey::Recharge(n), Currency::Brl, &lines);
        }
        assert_eq!(ledger.statement().len(), STATEMENT_MAX);
        assert_eq!(ledger.entries(), 133);
        let all = Money::from_whole(133);
        let balances = [
            (Currency::Brl, LedgerAccount::Real, all),
            (Currency::Brl, LedgerAccount::Outside, all.negated()),
        ];
        assert_eq!(ledger.balances(), balances);
        assert_eq!(ledger.balance(Currency::Brl, LedgerAccount::Real), Money::from_whole(133));
        assert_eq!(ledger.balance(Currency::Usd, LedgerAccount::Real), Money::ZERO);
        assert_eq!(ledger.sum_units(Currency::Brl), 0);
    }

    #[test]
    fn books_that_do_not_balance_show_in_their_own_currency() {
        let mut user = User::new(UserId(1), Timestamp(0));
        user.ledger.balances.push((Currency::Brl, LedgerAccount::Real, Money::from_units(3)));
        let state = State::from_users([user.clone()]);
        for (currency, sum) in [(Currency::Brl, 3), (Currency::Usd, 0)] {
            assert_eq!(user.ledger.sum_units(currency), sum);
            assert_eq!(state.ledger_sum_units(currency), sum);
        }
    }
}
