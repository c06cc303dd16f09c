//! Looking at accounts: funds, orders, positions.

use engine::core::fixed::Money;
use engine::core::instrument::Symbol;

use super::accounts::{AccountNo, Funds, Position};
use super::core::Core;
use super::orders::{Order, OrderNo, State};
use crate::paper::rules;
use crate::venue::AccountSnapshot;

impl Core {
    /// What an account has. `None` for no such account.
    #[must_use]
    pub fn funds(&self, no: AccountNo) -> Option<Funds> {
        let account = self.account(no)?;
        let fits = "the venue keeps sums of notionals within the range of money";
        let (mut unrealised, mut position_margin, mut maintenance) = (Money::ZERO, Money::ZERO, Money::ZERO);
        for (symbol, position) in &account.positions {
            let mark = self.mark(*symbol).unwrap_or_default();
            let instrument = self.instrument(*symbol)?;
            unrealised = unrealised.checked_add(position.unrealised(mark)).expect(fits);
            position_margin = position_margin.checked_add(position.margin()).expect(fits);
            let kept = rules::maintenance(position.notional(mark), instrument).expect(fits);
            maintenance = maintenance.checked_add(kept).expect(fits);
        }
        let mut order_margin = Money::ZERO;
        for order in account.open.iter().filter_map(|order| self.orders.get(order)) {
            let live = matches!(order.state, State::New | State::PartiallyFilled);
            let (Some(price), false, true) = (order.limit(), order.spec.closes_only(), live) else {
                continue;
            };
            let instrument = self.instrument(order.spec.symbol)?;
            let notional = price.notional(order.remaining()).expect(fits);
            let margin = rules::margin(notional, account.settings_of(instrument).leverage).expect(fits);
            let fee = rules::fee(notional, instrument.fee_taker).expect(fits);
            order_margin = order_margin.checked_add(margin).expect(fits).checked_add(fee).expect(fits);
        }
        let held = position_margin.checked_add(order_margin).expect(fits);
        let available = account.wallet.checked_sub(held).expect(fits).max(Money::ZERO);
        Some(Funds {
            wallet: account.wallet,
            unrealised,
            position_margin,
            order_margin,
            maintenance,
            available,
        })
    }

    /// An order of this account.
    #[must_use]
    pub fn order(&self, account: AccountNo, no: OrderNo) -> Option<&Order> {
        self.orders.get(&no).filter(|order| order.account == account)
    }

    /// The newest order of this account with this client id.
    #[must_use]
    pub fn order_by_client(&self, account: AccountNo, client_id: &str) -> Option<&Order> {
        self.orders.get(self.account(account)?.by_client.get(client_id)?)
    }

    /// The order of a fired trigger by the number under which the market has it ([`Order::fired_as`]).
    #[must_use]
    pub fn order_by_fired(&self, account: AccountNo, no: OrderNo) -> Option<&Order> {
        self.order(account, *self.fired.get(&no)?)
    }

    /// The live orders and waiting triggers, oldest first.
    pub fn open_orders(&self, account: AccountNo) -> impl Iterator<Item = &Order> {
        let open = self.account(account).map(|account| &account.open);
        open.into_iter().flatten().filter_map(|no| self.orders.get(no))
    }

    /// All orders that are kept, by number, oldest first.
    #[must_use]
    pub fn all_orders(&self, account: AccountNo) -> Vec<&Order> {
        let Some(told) = self.account(account) else { return Vec::new() };
        let mut numbers: Vec<_> = told.open.iter().chain(&told.finished).copied().collect();
        numbers.sort_unstable();
        numbers.iter().filter_map(|no| self.orders.get(no)).collect()
    }

    /// What the venue itself holds of an account, for comparison.
    #[must_use]
    pub fn venue_snapshot(&self, account: AccountNo) -> Option<AccountSnapshot> {
        self.venue.account(account.venue_id())
    }

    /// The position on a symbol.
    #[must_use]
    pub fn position(&self, account: AccountNo, symbol: Symbol) -> Option<&Position> {
        self.account(account)?.positions.get(&symbol)
    }
}
