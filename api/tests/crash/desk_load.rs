//! Load at the desk: accounts, settings, halts, sessions, sources, sign-ups and manual closes; and somebody who watches pages.

use net::http::client::Client;
use serde_json::{Value, json};

use super::Random;
use super::calls::{Answer, list, text, try_call};
use super::load::Load;
use super::people::{PASSWORD, Source, TRADERS, sources_of, subscription};
use super::promises::{Promises, Register, SentAccount, SentSession, locked};
use engine::core::user::{ACCOUNTS_MAX, SOURCES_MAX};

/// Works at the desk until the server is gone.
pub fn work(load: &Load<'_>) {
    let Some((client, random)) = load.begin(3) else { return };
    let mut worker = Worker { load, client, random };
    while worker.step().is_some() {}
}

/// Reads pages until the server is gone: what they show is durable.
pub fn watch(load: &Load<'_>) {
    let Some((mut client, mut random)) = load.begin(4) else { return };
    loop {
        let trader = random.below(load.people.traders.len());
        let token = &load.people.traders[trader].token;
        let ledger = random.one_in(2);
        let path = if ledger { "/api/ledger" } else { "/api/orders" };
        let Some((status, page)) = try_call(&mut client, "GET", path, token, &Value::Null) else { return };
        assert_eq!(status, 200, "{path}: {page}");
        let mut promises = locked(load.promises);
        if ledger { promises.statement(trader, &page) } else { promises.orders(&page) }
    }
}

struct Worker<'a> {
    load: &'a Load<'a>,
    client: Client,
    random: Random,
}

impl Worker<'_> {
    /// One piece of work; `None` when the server is gone.
    fn step(&mut self) -> Option<()> {
        match self.random.below(64) {
            0 => self.open_account(),
            1 => self.log_in(),
            2 => self.log_out(),
            3 => self.create_source(),
            4 if self.random.one_in(3) => self.sign_up(),
            4..20 => self.halt(),
            20..42 => self.change_leverage(),
            _ => self.close_position(),
        }
    }

    fn promises(&self) -> std::sync::MutexGuard<'_, Promises> {
        locked(self.load.promises)
    }

    fn post(&mut self, path: &str, token: &str, body: &Value) -> Option<Answer> {
        let (status, document) = try_call(&mut self.client, "POST", path, token, body)?;
        assert_ne!(document["error"]["code"], "shard_stopped", "POST {path}");
        Some((status, document))
    }

    fn open_account(&mut self) -> Option<()> {
        let trader = self.random.below(TRADERS);
        let wallet = {
            let promises = &mut *self.promises();
            let wallet = 1_000 + promises.accounts.values().map(Vec::len).sum::<usize>() as u64;
            let sent = promises.accounts.entry(trader).or_default();
            if sent.len() + 1 >= ACCOUNTS_MAX {
                return Some(());
            }
            sent.push(SentAccount { wallet, index: None });
            wallet
        };
        let body = json!({ "venue": "paper", "wallet": wallet });
        let token = self.load.people.traders[trader].token.clone();
        let (status, made) = self.post("/api/accounts", &token, &body)?;
        assert!(status == 201 || status == 503, "{status} {made}");
        let promises = &mut *self.promises();
        promises.count += 1;
        let sent = promises.accounts.get_mut(&trader).and_then(|sent| sent.last_mut()).expect("just sent");
        sent.index = made["account"].as_u64();
        Some(())
    }

    fn log_in(&mut self) -> Option<()> {
        self.promises().sessions.iter_mut().for_each(|session| session.later += 1);
        let body = json!({ "email": self.load.people.clerk.email, "password": PASSWORD });
        let (status, session) = self.post("/api/auth/login", "", &body)?;
        if status == 200 {
            let token = text(&session, "token").to_owned();
            let promises = &mut *self.promises();
            promises.count += 1;
            promises.sessions.push(SentSession { token, later: 0, ending: false, ended: false });
        }
        Some(())
    }

    fn log_out(&mut self) -> Option<()> {
        let token = {
            let promises = &mut *self.promises();
            let alive = |s: &&mut SentSession| s.later <= 2 && !s.ending;
            let Some(session) = promises.sessions.iter_mut().find(alive) else { return Some(()) };
            session.ending = true;
            session.token.clone()
        };
        let (status, answer) = self.post("/api/auth/logout", &token, &Value::Null)?;
        assert!(status == 200 || status == 503, "{status} {answer}");
        let promises = &mut *self.promises();
        promises.count += 1;
        let mut sessions = promises.sessions.iter_mut();
        let session = sessions.find(|session| session.token == token).expect("it is never forgotten");
        session.ended = status == 200;
        Some(())
    }

    fn create_source(&mut self) -> Option<()> {
        let token = self.alive_session()?;
        let name = {
            let promises = &mut *self.promises();
            if promises.sources_sent >= SOURCES_MAX {
                return Some(());
            }
            promises.sources_sent += 1;
            format!("desk {}", promises.sources_sent)
        };
        let (status, made) = self.post("/api/sources", &token, &json!({ "name": name }))?;
        assert!(status == 201 || status == 503, "{status} {made}");
        let promises = &mut *self.promises();
        if status == 201 {
            let source =
                Source { id: text(&made, "id").to_owned(), secret: text(&made, "secret").to_owned() };
            promises.count += 1;
            promises.sources.push(source);
        } else {
            promises.sources_sent -= 1;
        }
        Some(())
    }

    /// The clerk's newest session: three are kept, so it is alive whatever became of log-ins that were not answered.
    fn alive_session(&mut self) -> Option<String> {
        let found = {
            let promises = self.promises();
            promises.sessions.iter().rev().find(|s| s.later == 0 && !s.ending).map(|s| s.token.clone())
        };
        match found {
            Some(token) => Some(token),
            None => {
                self.log_in()?;
                let promises = self.promises();
                promises.sessions.last().map(|session| session.token.clone())
            }
        }
    }

    fn sign_up(&mut self) -> Option<()> {
        let email = {
            let promises = &mut *self.promises();
            let email = format!("late{}@example.com", promises.sign_ups.len());
            promises.sign_ups.insert(email.clone(), false);
            email
        };
        let (status, _) =
            self.post("/api/auth/signup", "", &json!({ "email": email, "password": PASSWORD }))?;
        if status == 201 {
            let promises = &mut *self.promises();
            promises.count += 1;
            promises.sign_ups.insert(email, true);
        }
        Some(())
    }

    fn halt(&mut self) -> Option<()> {
        let token = self.alive_session()?;
        let on = self.random.one_in(2);
        let sent = |promises: &mut Promises| {
            promises.halted.get_or_insert_with(|| Register::known(false)).sent(on);
        };
        sent(&mut self.promises());
        let (status, answer) = self.post("/api/halt", &token, &json!({ "on": on }))?;
        assert!(status == 200 || status == 503, "{status} {answer}");
        if status == 200 {
            let promises = &mut *self.promises();
            promises.count += 1;
            promises.halted.as_mut().expect("just sent").acknowledged(on);
        }
        Some(())
    }

    fn change_leverage(&mut self) -> Option<()> {
        let trader = self.random.below(TRADERS);
        let sources: Vec<usize> = sources_of(trader).collect();
        let source = *self.random.pick(&sources);
        let leverage = 1 + self.random.below(10) as u64;
        let register = || Register::known(5);
        self.promises().leverage.entry((trader, source)).or_insert_with(register).sent(leverage);
        let people = self.load.people;
        let body = subscription(trader, &people.sources[source], u8::try_from(leverage).expect("at most 10"));
        let (status, answer) = self.post("/api/subscriptions", &people.traders[trader].token, &body)?;
        assert!(status == 200 || status == 503, "{status} {answer}");
        if status == 200 {
            let promises = &mut *self.promises();
            promises.count += 1;
            promises.leverage.get_mut(&(trader, source)).expect("just sent").acknowledged(leverage);
        }
        Some(())
    }

    /// Closes a position by hand. When the answer comes, that position is being closed, unless it was closed already and
    /// another one on its symbol is: either way it is never open again.
    fn close_position(&mut self) -> Option<()> {
        let trader = self.random.below(TRADERS);
        let token = self.load.people.traders[trader].token.clone();
        let (status, page) = try_call(&mut self.client, "GET", "/api/positions", &token, &Value::Null)?;
        assert_eq!(status, 200, "{page}");
        let open: Vec<&Value> = list(&page, "open").iter().filter(|p| p["state"] == "OPEN").collect();
        if open.is_empty() {
            return Some(());
        }
        let position = *self.random.pick(&open);
        let body = json!({ "symbol": position["symbol"], "account": position["account"] });
        let (status, answer) = self.post("/api/positions/close", &token, &body)?;
        assert!(matches!(status, 202 | 404 | 409 | 503), "{status} {answer}");
        if status == 202 {
            let promises = &mut *self.promises();
            promises.count += 1;
            promises.closes.push((trader, text(position, "id").to_owned()));
        }
        Some(())
    }
}

/// Reads the profile behind a session; `None` when it is not valid.
pub fn profile(client: &mut Client, token: &str) -> Option<Value> {
    match super::calls::call(client, "GET", "/api/me", token, &Value::Null) {
        (200, page) => Some(page),
        (401, _) => None,
        (status, answer) => panic!("GET /api/me: {status} {answer}"),
    }
}
