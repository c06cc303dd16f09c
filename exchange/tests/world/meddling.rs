//! What a test does to sockets, to what streams tell and to keys.

use engine::core::command::Command;
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::transport::{HttpAnswer, HttpIn, Outcome};

use super::network::HERE;
use super::{Spoken, Trader, World};

impl<P: Spoken> World<P> {
    /// From now on no socket for orders opens; every socket that is open breaks, and the others may be opened again.
    pub fn without_order_entry(&mut self) {
        self.network.without_order_entry = true;
        self.network.cut(self.now);
    }

    /// Every socket breaks, and may be opened again.
    pub fn cut_sockets(&mut self) {
        self.network.cut(self.now);
    }

    /// How often a socket of this path was dialled.
    pub fn dialled(&self, path: &str) -> u64 {
        self.network.dialled.get(path).copied().unwrap_or(0)
    }

    /// How often one was dialled when no other of this path stood.
    pub fn dialled_alone(&self, path: &str) -> u64 {
        self.network.dialled_alone.get(path).copied().unwrap_or(0)
    }

    /// From now on streams tell `to` wherever they would tell `from`.
    pub fn rewrite_streams(&mut self, from: &str, to: &str) {
        self.network.rewrites.push((from.to_owned(), to.to_owned()));
    }

    /// From now on streams tell what they have to.
    pub fn leave_streams_alone(&mut self) {
        self.network.rewrites.clear();
    }

    /// A trader comes who was not there at the beginning.
    pub fn trader_comes(&mut self) {
        self.join(self.traders.len(), 100, &[], |_, _, _| {});
    }

    /// Another program at our address asks for all prices of Binance so often: each time is 10 of the minute's 2,400.
    pub fn others_ask(&mut self, times: u32) {
        let ask = HttpIn {
            method: "GET".to_owned(),
            target: "/fapi/v1/premiumIndex".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        for _ in 0..times {
            let answer = self.exchange.http(self.now, HERE, &ask);
            assert!(matches!(answer.what, Outcome::Answer(HttpAnswer { status: 200, .. })));
        }
    }

    /// A trader takes the key out of the account.
    pub fn remove_key(&mut self, n: usize) {
        let user = self.traders[n].user;
        self.ask(user, Command::RemoveKey { user, account: 0 });
    }

    /// Deletes a trader's key at the exchange, or makes it again as it was.
    pub fn delete_key(&mut self, n: usize) {
        assert!(self.exchange.core.remove_key(&self.traders[n].key.0), "there is one");
    }

    /// See [`World::delete_key`].
    pub fn make_key(&mut self, n: usize) {
        let Trader { no, key: (name, secret), .. } = &self.traders[n];
        self.exchange.core.add_key(*no, &KeySpec::hmac(name, secret)).expect("a usable key");
    }
}
