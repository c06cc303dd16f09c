//! What the model says of what goes to a venue, and of what a venue must hold of an account, to be held
//! against the venue itself.

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::ledger::LedgerAccount;
use engine::core::order::{NewOrder, OrderState, Side};
use engine::core::user::VenueKind;
use exchange::venue::{AccountSnapshot, OrderSnapshot, PositionSnapshot};

use super::numbers::{ONE, Units, money, price, quantity};
use super::user::{ModelUser, Order};

/// An open position of an account on an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePosition {
    /// Long or short.
    pub side: Side,
    /// Its size.
    pub quantity: Quantity,
    /// Its leverage.
    pub leverage: u8,
    /// The price of its stop; `None` while it is being closed.
    pub stop: Option<Price>,
    /// The price of its target, while that is live; one that a venue has ended again and again is given up.
    pub target: Option<Price>,
}

/// An account on an exchange.
#[derive(Clone, Debug)]
pub struct LiveAccount {
    /// What is open, by symbol.
    pub positions: BTreeMap<Symbol, LivePosition>,
    /// What the wallet holds.
    pub wallet: Option<Money>,
    /// Orders that the exchange has and that have not ended, but triggers that a position owns.
    pub live: Vec<ClientOrderId>,
    /// What is filled of each order that is remembered, by its id.
    pub filled: BTreeMap<ClientOrderId, Quantity>,
}

impl Order {
    /// Whether the venue has it, as far as it has said.
    const fn is_live(&self) -> bool {
        matches!(self.state, OrderState::Submitted | OrderState::PartiallyFilled)
    }
}

impl ModelUser {
    /// An order that is remembered, as it goes to a venue: with the stop and the target of its position when it is an entry.
    #[must_use]
    pub fn outgoing(&self, id: ClientOrderId) -> Option<(NewOrder, Option<(Price, Price)>)> {
        let order = self.orders.iter().chain(&self.final_orders).find(|o| o.new.id == id)?;
        let position = self.place_of_position(id.signal, id.account.index).filter(|_| id.leg == Leg::Entry);
        let planned = position.map(|at| &self.positions[at]).map(|p| (price(p.stop), price(p.target)));
        Some((order.new, planned))
    }

    /// Whether it was decided to take this order back, as long as it is remembered.
    #[must_use]
    pub fn is_taken_back(&self, id: ClientOrderId) -> bool {
        self.orders.iter().chain(&self.final_orders).any(|o| o.new.id == id && o.cancelling)
    }

    /// The accounts on the paper venue, as it must hold them: positions and live orders in no order of note.
    #[must_use]
    pub fn paper_accounts(&self) -> Vec<AccountSnapshot> {
        let all = (0_u8..).zip(&self.accounts).filter(|(_, a)| a.place.venue == VenueKind::Paper);
        all.map(|(index, account)| {
            let positions = self.positions.iter().filter(|p| p.account == index && p.open > 0);
            let orders = self.orders.iter().filter(|o| o.new.id.account.index == index && o.is_live());
            AccountSnapshot {
                id: self.account_id(index),
                wallet: money(self.wallet(index)),
                positions: positions
                    .map(|p| PositionSnapshot {
                        symbol: p.symbol,
                        side: p.side,
                        quantity: quantity(p.open),
                        entry_cost: money(p.cost),
                        leverage: p.leverage,
                        opened_at: Timestamp(p.opened_venue_at),
                        last_funding: (p.funded_at > 0).then_some(Timestamp(p.funded_at)),
                    })
                    .collect(),
                orders: orders
                    .map(|o| OrderSnapshot { order: o.new, filled: quantity(o.filled), fills: o.fills })
                    .collect(),
                venue_fills: account.liquidations,
            }
        })
        .collect()
    }

    /// The user's account on a venue; `None` without one, and where two accounts stand for one of the exchange.
    #[must_use]
    pub fn live_account(&self, venue: VenueKind) -> Option<LiveAccount> {
        let mut of_venue = (0_u8..).zip(&self.accounts).filter(|(_, account)| account.place.venue == venue);
        let (index, _) = of_venue.next()?;
        if of_venue.next().is_some() {
            return None;
        }
        let open = self.positions.iter().filter(|p| p.account == index && p.open > 0);
        let mine = |id: &ClientOrderId| id.account.index == index;
        let all_live = self.orders.iter().filter(|o| mine(&o.new.id) && o.is_live());
        let positions = open.map(|p| {
            let open = || p.closing.is_none();
            let aims = all_live.clone().any(|o| o.position == p.signal && o.new.id.leg == Leg::TakeProfit);
            let live = LivePosition {
                side: p.side,
                quantity: quantity(p.open),
                leverage: p.leverage,
                stop: open().then(|| price(p.stop)),
                target: (open() && aims).then(|| price(p.target)),
            };
            (p.symbol, live)
        });
        let owned = |leg| venue == VenueKind::Bybit && matches!(leg, Leg::Stop | Leg::TakeProfit);
        let live = all_live.clone().filter(|o| !owned(o.new.id.leg));
        let all = self.orders.iter().chain(&self.final_orders).filter(|o| mine(&o.new.id));
        Some(LiveAccount {
            positions: positions.collect(),
            wallet: i64::try_from(self.wallet(index)).ok().map(Money::from_units),
            live: live.map(|o| o.new.id).collect(),
            filled: all.map(|o| (o.new.id, quantity(o.filled))).collect(),
        })
    }

    /// What came from outside beyond what accounts were opened with, in the currency of the account on this exchange: what its
    /// wallet held when it was first looked at, and nothing else.
    #[must_use]
    pub fn found(&self, venue: VenueKind) -> Option<Money> {
        let at = self.accounts.iter().position(|account| account.place.venue == venue)?;
        let currency = self.currency(u8::try_from(at).ok()?);
        let same = |n: &u8| self.currency(*n) == currency;
        let brought: Units =
            (0_u8..).zip(&self.accounts).filter(|(n, _)| same(n)).map(|(_, account)| account.brought).sum();
        let found = -self.balance(currency, LedgerAccount::Outside) - brought;
        // Whole numbers of anything that a run holds fit; what does not is no amount that was put in.
        i64::try_from(found).ok().filter(|_| found.abs() < 1_000_000_000 * ONE).map(Money::from_units)
    }
}
