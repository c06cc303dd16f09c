//! A venue of `exchange` as the shard sees it.

use engine::core::fixed::{Money, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, MarketView, Quote, Symbol};
use engine::core::order::{NewOrder, OrderState, VenueReport};
use engine::core::user::{User, VenueKind};
use engine::shard::ports::{Gateway, VenueBusy};
use exchange::venue::{AccountOpening, AccountSnapshot, OrderSnapshot, PositionSnapshot, Venue};

/// See the module's head.
pub struct VenueGateway<V> {
    /// The venue.
    pub venue: V,
}

impl<V: Venue> MarketView for VenueGateway<V> {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.venue.instrument(symbol)
    }

    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.venue.mark(symbol).map(|mark| Quote { mark: mark.price })
    }
}

impl<V: Venue> Gateway for VenueGateway<V> {
    fn open_account(&mut self, account: AccountId, wallet: Money) {
        if let Err(error) = self.venue.open_account(AccountOpening { id: account, wallet }) {
            // The account stays on the books; its orders will be refused by name and nothing is lost.
            tracing::error!(%account, %error, "the venue did not open an account");
        }
    }

    fn restore(&mut self, user: &User) -> Result<(), String> {
        for (account, index) in user.accounts.iter().zip(0_u8..).filter(|(a, _)| a.venue == VenueKind::Paper)
        {
            let id = AccountId { user: user.id, index };
            let positions = user
                .positions
                .iter()
                .filter(|p| p.account == index && p.quantity > Quantity::ZERO)
                .map(|p| PositionSnapshot {
                    symbol: p.symbol,
                    side: p.side,
                    quantity: p.quantity,
                    entry_cost: p.entry_cost,
                    leverage: p.leverage,
                    opened_at: p.opened_venue_at,
                    last_funding: (p.funded_at.0 != 0).then_some(p.funded_at),
                })
                .collect();
            let orders = user
                .orders
                .iter()
                .filter(|o| {
                    o.new.id.account.index == index
                        && matches!(o.state, OrderState::Submitted | OrderState::PartiallyFilled)
                })
                .map(|o| OrderSnapshot { order: o.new, filled: o.filled, fills: o.fills })
                .collect();
            let snapshot = AccountSnapshot {
                id,
                wallet: user.wallet(index),
                positions,
                orders,
                venue_fills: account.venue_fills,
            };
            self.venue.restore(&snapshot).map_err(|error| format!("account {id}: {error}"))?;
        }
        Ok(())
    }

    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy> {
        self.venue.submit(now, order).map_err(|_| VenueBusy)
    }

    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.venue.cancel(now, id).map_err(|_| VenueBusy)
    }

    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.venue.query(now, id).map_err(|_| VenueBusy)
    }

    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        self.venue.poll(now, budget, sink)
    }

    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.venue.next_due(now)
    }
}
