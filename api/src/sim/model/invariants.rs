//! What must hold in the model by itself, whatever happened: where it does not, the rules contradict each other.

use std::collections::BTreeMap;

use engine::core::ids::{Leg, UserId};
use engine::core::ledger::{Currency, LedgerAccount};
use engine::core::order::{OrderKind, OrderState};
use engine::core::position::PositionState;

use super::Model;
use super::closing::closes_at_market;
use super::numbers::Units;
use super::user::{ModelUser, Position};

type Holds = Result<(), String>;

fn holds(what: &str, right: bool, about: impl std::fmt::Debug) -> Holds {
    if right { Ok(()) } else { Err(format!("{what}: {about:?}")) }
}

impl Model {
    /// Whether everything holds, for every user and over all of them.
    ///
    /// # Errors
    /// What does not, in words.
    pub fn invariants(&self) -> Result<(), String> {
        let mut sums = BTreeMap::<Currency, Units>::new();
        for user in self.users.values() {
            self.check_user(user.id)?;
            for ((currency, _), amount) in &user.books.balances {
                *sums.entry(*currency).or_default() += amount;
            }
        }
        holds("every currency sums to zero", sums.values().all(|sum| *sum == 0), &sums)
    }

    /// Whether everything holds for one user.
    ///
    /// # Errors
    /// What does not, in words.
    pub fn check_user(&self, id: UserId) -> Result<(), String> {
        let Some(user) = self.user(id) else { return Ok(()) };
        let most = self.rules.positions_max;
        let checked =
            check_books(user).and_then(|()| check_positions(user, most)).and_then(|()| check_orders(user));
        checked.map_err(|what| format!("user {} {}: {what}", user.id, user.email))
    }
}

fn check_books(user: &ModelUser) -> Holds {
    let mut sums = BTreeMap::<Currency, Units>::new();
    for ((currency, account), balance) in &user.books.balances {
        *sums.entry(*currency).or_default() += balance;
        match account {
            LedgerAccount::Debt => holds("what is owed is never positive", *balance <= 0, balance)?,
            LedgerAccount::Real | LedgerAccount::Credit | LedgerAccount::Commission => {
                holds("what is owned is never negative", *balance >= 0, (account, balance))?;
            }
            _ => {}
        }
    }
    holds("a user's books sum to zero", sums.values().all(|sum| *sum == 0), &sums)?;
    holds("a carried loss is never negative", user.carried.values().all(|loss| *loss >= 0), &user.carried)
}

fn check_positions(user: &ModelUser, most: usize) -> Holds {
    for position in &user.positions {
        let same_account = user.positions.iter().filter(|p| p.account == position.account);
        let asked_for = same_account.clone().filter(|p| !p.late).count();
        holds("an account has too many positions", asked_for <= most, position)?;
        // Beside one that is being closed because its entry was over, another entry may be on its way.
        let same_symbol = same_account.filter(|p| p.symbol == position.symbol && p.late == position.late);
        holds("one position per account and symbol", same_symbol.count() == 1, position)?;
        check_position(user, position)?;
    }
    for position in &user.closed {
        let over = matches!(position.state, PositionState::Closed | PositionState::Liquidated);
        let flat = position.open == 0 && position.cost == 0 && position.reserved == 0;
        holds("a closed position is flat for a reason", over && flat && position.closed.is_some(), position)?;
    }
    Ok(())
}

fn check_position(user: &ModelUser, position: &Position) -> Holds {
    holds("exits never exceed what is open", (0..=position.entered).contains(&position.open), position)?;
    // A rest may be so small that its cost rounds to nothing, but nothing has no cost.
    let cost_with_size = position.cost == 0 || (position.cost > 0 && position.open > 0);
    holds("cost goes with size", cost_with_size, position)?;
    holds("margin kept is never negative", position.reserved >= 0, position)?;
    let of_position = user
        .orders
        .iter()
        .filter(|o| o.position == position.signal && o.new.id.account.index == position.account);
    let count = |wanted: &dyn Fn(Leg) -> bool| of_position.clone().filter(|o| wanted(o.new.id.leg)).count();
    for leg in [Leg::Entry, Leg::Stop, Leg::TakeProfit] {
        holds("one live order of a leg", count(&|l| l == leg) <= 1, (leg, position))?;
    }
    holds("one close at work", count(&closes_at_market) <= 1, position)?;
    if count(&|leg| leg == Leg::Entry) == 0 {
        holds("a position without an entry at work is open", position.open > 0, position)?;
        holds("and binds nothing for it", position.reserved == 0, position)?;
    }
    let closing = position.closing.is_none() || position.state == PositionState::Closing;
    holds("what is being closed says so", closing, position)
}

fn check_orders(user: &ModelUser) -> Holds {
    holds("one order per client id, ever", user.ordered_twice.is_none(), user.ordered_twice)?;
    for order in user.orders.iter().chain(&user.final_orders) {
        let entry = order.new.id.leg == Leg::Entry;
        let size = Units::from(order.new.quantity.units());
        holds("an order has a size", size > 0, order)?;
        holds("only entries open", order.new.reduce_only != entry, order)?;
        if entry {
            holds("an entry never fills beyond its size", order.filled <= size, order)?;
        } else {
            holds("an exit is never larger than what is open", size <= order.open_then, order)?;
        }
        let trigger = matches!(order.new.kind, OrderKind::StopMarket(_) | OrderKind::TakeProfitMarket(_));
        let protects = matches!(order.new.id.leg, Leg::Stop | Leg::TakeProfit);
        holds("triggers protect and nothing else does", trigger == protects, order)?;
        holds("fills make an order filled", (order.fills > 0) == (order.filled > 0), order)?;
    }
    for order in &user.orders {
        let over = matches!(
            order.state,
            OrderState::Filled | OrderState::Cancelled | OrderState::Rejected | OrderState::Expired
        );
        holds("a live order is not over", !over, order)?;
        let owned = user.place_of_position(order.position, order.new.id.account.index).is_some();
        holds("an order without a position is being taken back", owned || order.cancelling, order)?;
    }
    Ok(())
}
