//! The venue side of a simulated shard: everything that passes is also told to the judge.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use engine::core::fixed::{Money, Price};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, MarketView, Quote, Symbol};
use engine::core::key::KeyFinding;
use engine::core::order::{NewOrder, VenueReport};
use engine::core::user::{ExchangeAccount, User};
use engine::shard::ports::{Decided, Gateway, Moment, VenueBusy};
use net::tls::TlsWire;
use net::wire::{ConnId, Ending, Stream};

use super::judge::Judge;
use super::paper_check;
use super::seams::{SimEntropy, SimWire};
use super::venue::FaultyVenue;
use crate::server::venues::Venues;
use crate::server::venues::hosts::AddressBook;
use crate::server::venues::networked::Networked;
use crate::web::venues::VenueGauges;

/// The wire of a simulated shard.
pub(super) type ShardWire = TlsWire<SimWire>;

/// See the module's head.
pub(super) struct WatchedGateway {
    pub(super) inner: Venues<FaultyVenue, SimEntropy>,
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
    fn is_complete(&self) -> bool {
        self.inner.is_complete()
    }
    fn instrument_for(&self, account: &ExchangeAccount, symbol: Symbol) -> Option<&Instrument> {
        self.inner.instrument_for(account, symbol)
    }
    fn quote_for(&self, account: &ExchangeAccount, symbol: Symbol) -> Option<Quote> {
        self.inner.quote_for(account, symbol)
    }
}

impl Networked<ShardWire> for WatchedGateway {
    fn owns(&self, conn: ConnId) -> bool {
        Networked::<ShardWire>::owns(&self.inner, conn)
    }
    fn connected(&mut self, conn: ConnId) {
        Networked::<ShardWire>::connected(&mut self.inner, conn);
    }
    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        Networked::<ShardWire>::received(&mut self.inner, conn, stream);
    }
    fn closed(&mut self, conn: ConnId, ending: Ending) {
        Networked::<ShardWire>::closed(&mut self.inner, conn, ending);
    }
    fn tick(&mut self, now: Moment, wire: &mut ShardWire) -> bool {
        self.inner.tick(now, wire)
    }
    fn next_deadline_ns(&self) -> Option<u64> {
        Networked::<ShardWire>::next_deadline_ns(&self.inner)
    }
    fn publish(&mut self, now: Timestamp, gauges: &VenueGauges) {
        Networked::<ShardWire>::publish(&mut self.inner, now, gauges);
    }
    fn readdress(&mut self, book: &Arc<AddressBook>) {
        Networked::<ShardWire>::readdress(&mut self.inner, book);
    }
}

impl Gateway for WatchedGateway {
    fn open_account(&mut self, account: AccountId, wallet: Money) {
        self.inner.open_account(account, wallet);
    }
    fn key_changed(&mut self, account: AccountId, now: &ExchangeAccount) {
        self.inner.key_changed(account, now);
    }
    fn restore(&mut self, user: &User) -> Result<(), String> {
        self.inner.restore(user)
    }
    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy> {
        let taken = self.inner.submit(now, order);
        if taken.is_ok() {
            self.judge.borrow_mut().submitted(self.shard, order, None);
        }
        taken
    }
    fn submit_entry(
        &mut self,
        now: Timestamp,
        order: &NewOrder,
        stop: Price,
        take_profit: Price,
        decided_at: Timestamp,
    ) -> Result<(), VenueBusy> {
        let taken = self.inner.submit_entry(now, order, stop, take_profit, decided_at);
        if taken.is_ok() {
            self.judge.borrow_mut().submitted(self.shard, order, Some((stop, take_profit)));
        }
        taken
    }
    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        let taken = self.inner.cancel(now, id);
        if taken.is_ok() {
            self.judge.borrow_mut().cancelled(self.shard, id);
        }
        taken
    }
    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.inner.query(now, id)
    }
    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        paper_check::look(self.shard, &self.inner.paper.venue.inner, &mut self.judge.borrow_mut());
        self.inner.poll(now, budget, sink)
    }
    fn take_key_finding(&mut self) -> Option<(AccountId, u32, KeyFinding)> {
        self.inner.take_key_finding()
    }
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.inner.next_due(now)
    }
    fn decided(&mut self, decision: Decided<'_>) {
        self.judge.borrow_mut().decided(self.shard, &decision, &self.inner);
    }
}
