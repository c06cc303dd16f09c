//! What must hold once a server is back, whatever moment it was killed at and with however many shards it returns.

use std::sync::Mutex;

use net::http::client::Client;
use serde_json::{Value, json};

use super::Random;
use super::calls::{call, get, list, post, text, units};
use super::desk_load::profile;
use super::load::post_signal;
use super::people::{PASSWORD, People, SUBSCRIBERS};
use super::promises::Promises;
use super::server::Server;
use super::settled::{settle, status, unfinished};
use super::wait_until;

/// Old signals that are sent again after each restart.
const OLD_SIGNALS: usize = 24;

/// A check of one server.
pub struct Check<'a> {
    /// Who takes part.
    pub people: &'a People,
    /// What was promised.
    pub promises: &'a mut Promises,
    /// Draws which old promises are looked at.
    pub random: Random,
    /// The round that was just interrupted.
    pub round: u64,
    client: Client,
}

impl<'a> Check<'a> {
    /// A check of this server.
    pub fn new(
        server: &Server,
        people: &'a People,
        promises: &'a mut Promises,
        seed: u64,
        round: u64,
    ) -> Self {
        Self { people, promises, random: Random::new(!seed), round, client: server.client() }
    }

    /// Checks everything.
    ///
    /// # Panics
    /// With the promise that was broken.
    pub fn all(&mut self) {
        wait_until("the server is ready", || {
            let (status, answer) = call(&mut self.client, "GET", "/ready", "", &Value::Null);
            (status != 200).then(|| answer.to_string())
        });
        self.pages();
        self.sessions();
        self.settings();
        self.accounts();
        self.signals();
        settle(&mut self.client, &self.people.traders);
        self.receipts();
        self.closes();
        self.pages();
        self.users();
    }

    /// Nothing that was shown before is contradicted.
    fn pages(&mut self) {
        for (trader, person) in self.people.traders.iter().enumerate() {
            self.promises.orders(&get(&mut self.client, "/api/orders", &person.token));
            self.promises.statement(trader, &get(&mut self.client, "/api/ledger", &person.token));
        }
    }

    /// Sends the round's signals again, and some older ones: what was acknowledged is a repeat with the same id; what was
    /// not answered is accepted now or was accepted then, once.
    fn signals(&mut self) {
        let mut again = Vec::new();
        let mut old = Vec::new();
        for (sender, sent) in &self.promises.signals {
            let signal = (sender.clone(), sent.body.clone());
            if sent.round == self.round {
                again.push(signal);
            } else if sent.id.is_some() {
                old.push(signal);
            }
        }
        if !old.is_empty() {
            again.extend((0..OLD_SIGNALS).map(|_| self.random.pick(&old).clone()));
        }
        let promises = Mutex::new(std::mem::take(self.promises));
        for signal in &again {
            // A source takes no more opens for a moment when many of its signals are at work.
            wait_until("a signal is taken", || match post_signal(&mut self.client, &promises, signal) {
                Some(taken) => (!taken).then(|| format!("{signal:?}")),
                None => panic!("the server is gone"),
            });
        }
        *self.promises = promises.into_inner().expect("nobody failed");
    }

    /// Every signal of the round to a checked source has an outcome for every subscriber; to the flooded one it finishes.
    fn receipts(&mut self) {
        let of_round = self.promises.signals.values().filter(|sent| sent.round == self.round);
        let mut flood = None;
        for sent in of_round {
            let id = sent.id.as_deref().expect("it was sent again until it was taken");
            match sent.source {
                Some(source) => {
                    let secret = &self.people.sources[source].secret;
                    wait_until("the receipt is complete", || {
                        unfinished(&mut self.client, id, secret, SUBSCRIBERS)
                    });
                }
                None => flood = flood.max(Some(id)),
            }
        }
        if let Some(id) = flood {
            wait_until("the newest of the flood is finished", || {
                let receipt = get(&mut self.client, &format!("/api/signals/{id}"), &self.people.flood.secret);
                (receipt["state"] != "finished").then(|| receipt.to_string())
            });
        }
    }

    /// A position whose close by hand was acknowledged is not open.
    fn closes(&mut self) {
        for (trader, position) in std::mem::take(&mut self.promises.closes) {
            let page = get(&mut self.client, "/api/positions", &self.people.traders[trader].token);
            let open = list(&page, "open").iter().find(|p| p["id"] == json!(position));
            assert!(open.is_none(), "its close was acknowledged, and it is open: {open:?}");
        }
    }

    fn sessions(&mut self) {
        self.promises.sessions.retain(|session| session.later <= 2 || session.ended);
        for session in &self.promises.sessions {
            let alive = profile(&mut self.client, &session.token).is_some();
            if session.ended {
                assert!(!alive, "its log-out was acknowledged, and the session is valid: {session:?}");
            } else if !session.ending {
                assert!(alive, "its log-in was acknowledged, and the session is not valid: {session:?}");
            }
        }
        let keep_from = self.promises.sessions.len().saturating_sub(8);
        self.promises.sessions.drain(..keep_from);
        for (email, acknowledged) in &mut self.promises.sign_ups {
            // Asked once each: hashing a password takes long.
            if std::mem::take(acknowledged) {
                let who = json!({ "email": email, "password": PASSWORD });
                post(&mut self.client, "/api/auth/login", "", &who, 200);
            }
        }
        for source in &self.promises.sources {
            let path = format!("/api/signals/{}000001", source.id);
            let (answer, _) = call(&mut self.client, "GET", &path, &source.secret, &Value::Null);
            assert_eq!(answer, 404, "its secret is known, and there is no signal yet: {source:?}");
        }
    }

    fn settings(&mut self) {
        for (trader, person) in self.people.traders.iter().enumerate() {
            let page = get(&mut self.client, "/api/subscriptions", &person.token);
            for source in super::people::sources_of(trader) {
                let Some(register) = self.promises.leverage.get_mut(&(trader, source)) else { continue };
                let id = &self.people.sources[source].id;
                let found = list(&page, "subscriptions").iter().find(|s| s["source"] == json!(id));
                let leverage = found.and_then(|s| s["leverage"].as_u64()).expect("the subscription is there");
                register.check("the leverage of a subscription", leverage);
            }
        }
        let newest = self.promises.sessions.iter().rev().find(|s| s.later <= 2 && !s.ending);
        if let (Some(session), Some(halted)) = (newest, &mut self.promises.halted) {
            let page = profile(&mut self.client, &session.token).expect("it is valid, as was just seen");
            halted.check("the clerk's halt latch", page["halted"].as_bool().expect("a truth value"));
        }
    }

    fn accounts(&mut self) {
        for (trader, sent) in &self.promises.accounts {
            let token = &self.people.traders[*trader].token;
            let page = get(&mut self.client, "/api/balances", token);
            let accounts = list(&page, "accounts");
            let wallet = |wanted: &u64| {
                let units = wanted * 100_000_000;
                accounts
                    .iter()
                    .skip(1)
                    .filter(move |a| u64::try_from(super::calls::units(a, "wallet")) == Ok(units))
            };
            for asked in sent {
                assert!(
                    wallet(&asked.wallet).count() <= 1,
                    "one request opened two accounts: {asked:?} {page}"
                );
                if let Some(index) = asked.index {
                    let opened = wallet(&asked.wallet).next().and_then(|account| account["index"].as_u64());
                    assert_eq!(opened, Some(index), "an acknowledged account is not there: {page}");
                }
            }
            let known = |account: &&Value| {
                sent.iter().any(|a| a.wallet * 100_000_000 == units(account, "wallet") as u64)
            };
            let extra = accounts.iter().skip(1).find(|account| !known(account));
            assert!(extra.is_none(), "nobody asked for this account: {extra:?}");
        }
    }

    fn users(&mut self) {
        let users = status(&mut self.client)["books"]["users"].as_u64().expect("a number");
        let (least, most) = (self.people.count() as u64, self.promises.sign_ups.len() as u64);
        assert!(users >= least && users <= least + most, "{users} users of {least} to {}", least + most);
        let ids = self.promises.sources.len();
        if ids > 0 {
            let newest = self.promises.sessions.iter().rev().find(|s| s.later <= 2 && !s.ending);
            if let Some(session) = newest {
                let page = get(&mut self.client, "/api/sources", &session.token);
                let there: Vec<&str> = list(&page, "sources").iter().map(|s| text(s, "id")).collect();
                let missing = self.promises.sources.iter().find(|s| !there.contains(&s.id.as_str()));
                assert!(missing.is_none(), "an acknowledged source is not there: {missing:?} {page}");
            }
        }
    }
}
