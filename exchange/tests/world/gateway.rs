//! The shard's side of the connector, without a vault and a wire.

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Price};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, MarketView, Quote, Symbol};
use engine::core::key::{KeyFault, KeyFinding, KeyState};
use engine::core::order::{NewOrder, VenueReport};
use engine::core::user::{ExchangeAccount, User};
use engine::shard::ports::{Gateway, VenueBusy};
use exchange::live::connector::{Connector, Shape, known_account};
use exchange::live::protocol::Protection;

pub struct LiveGateway<P: Shape> {
    pub connector: Connector<P>,
    pub now: Timestamp,
    /// What the vault holds.
    pub keys: BTreeMap<AccountId, (String, String)>,
    known: BTreeMap<AccountId, u32>,
}

impl<P: Shape> LiveGateway<P> {
    pub fn new(connector: Connector<P>, now: Timestamp) -> Self {
        Self { connector, now, keys: BTreeMap::new(), known: BTreeMap::new() }
    }
}

impl<P: Shape> MarketView for LiveGateway<P> {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.connector.instrument(symbol)
    }
    fn is_complete(&self) -> bool {
        !self.connector.instruments().is_empty()
    }
    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.connector.mark(self.now, symbol).map(|mark| Quote { mark })
    }
}

impl<P: Shape> Gateway for LiveGateway<P> {
    fn open_account(&mut self, _account: AccountId, _wallet: Money) {}
    fn key_changed(&mut self, account: AccountId, now: &ExchangeAccount) {
        let number = now.key.as_ref().map_or(0, |key| key.number);
        if self.known.insert(account, number) == Some(number) {
            if now.key_state == KeyState::Unhealthy(KeyFault::OtherAccount) {
                self.connector.remove_credential(account);
            }
            return;
        }
        if now.key.is_none() {
            self.connector.remove_credential(account);
            return;
        }
        let credential = self.keys.get(&account).map(super::credential);
        let known = exchange::live::connector::KnownAccount {
            id: account,
            place: now.place(),
            credential,
            key_number: number,
            positions: Vec::new(),
            orders: Vec::new(),
            others_fills: now.venue_fills,
            expects: Vec::new(),
        };
        self.connector.add_account(self.now, known).expect("room");
    }
    fn restore(&mut self, user: &User) -> Result<(), String> {
        for (account, index) in user.accounts.iter().zip(0_u8..).filter(|(a, _)| a.venue == P::VENUE) {
            let id = AccountId { user: user.id, index };
            let is_of_another = account.key_state == KeyState::Unhealthy(KeyFault::OtherAccount);
            let credential = self.keys.get(&id).map(super::credential).filter(|_| !is_of_another);
            self.known.insert(id, account.key.as_ref().map_or(0, |key| key.number));
            let known = known_account(user, index, credential).expect("an account");
            self.connector.add_account(self.now, known).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
    fn expect(&mut self, account: AccountId, symbols: &[(Symbol, u8)]) {
        self.connector.expect(account, symbols);
    }
    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy> {
        self.connector.submit(now, order, None, now).map_err(|_| VenueBusy)
    }
    fn submit_entry(
        &mut self,
        now: Timestamp,
        order: &NewOrder,
        stop: Price,
        take_profit: Price,
        decided_at: Timestamp,
    ) -> Result<(), VenueBusy> {
        let planned = Protection { stop: Some(stop), take_profit: Some(take_profit) };
        self.connector.submit(now, order, Some(planned), decided_at).map_err(|_| VenueBusy)
    }
    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.connector.cancel(now, id).map_err(|_| VenueBusy)
    }
    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.connector.query(now, id).map_err(|_| VenueBusy)
    }
    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        self.now = now;
        self.connector.poll(now, budget, sink)
    }
    fn take_key_finding(&mut self) -> Option<(AccountId, u32, KeyFinding)> {
        self.connector.take_finding()
    }
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.connector.next_due(now)
    }
}
