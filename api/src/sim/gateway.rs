//! The venue side of a simulated shard: everything that passes is also told to the judge.

use std::cell::RefCell;
use std::rc::Rc;

use engine::core::fixed::Money;
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, MarketView, Quote, Symbol};
use engine::core::order::{NewOrder, VenueReport};
use engine::core::user::User;
use engine::shard::ports::{Decided, Gateway, VenueBusy};

use net::wire::Wire;

use super::judge::Judge;
use super::venue::FaultyVenue;
use crate::server::gateway::VenueGateway;
use crate::server::venues::networked::Networked;

/// See the module's head.
pub(super) struct WatchedGateway {
    pub(super) inner: VenueGateway<FaultyVenue>,
    pub(super) shard: u16,
    pub(super) judge: Rc<RefCell<Judge>>,
}

impl MarketView for WatchedGateway {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.inner.instrument(symbol)
    }
    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.inner.quote(symbol)
    }
}

impl<W: Wire> Networked<W> for WatchedGateway {}

impl Gateway for WatchedGateway {
    fn open_account(&mut self, account: AccountId, wallet: Money) {
        self.inner.open_account(account, wallet);
    }
    fn restore(&mut self, user: &User) -> Result<(), String> {
        self.inner.restore(user)
    }
    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy> {
        let taken = self.inner.submit(now, order);
        if taken.is_ok() {
            self.judge.borrow_mut().submitted(self.shard, order);
        }
        taken
    }
    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.inner.cancel(now, id)
    }
    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.inner.query(now, id)
    }
    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        self.inner.poll(now, budget, sink)
    }
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.inner.next_due(now)
    }
    fn decided(&mut self, decision: Decided<'_>) {
        self.judge.borrow_mut().decided(self.shard, &decision, &self.inner);
    }
}
