//! The people of a run: publishers who send signals, traders who follow them, and strangers.
//!
//! **Runs on**: the simulator's thread, a task of the world each. **Invariants**: a person has one change under way at a time,
//! or several on one connection whose order then counts; every answer is held against what was decided. People stop
//! when the load is over, after what they were at.

use std::rc::Rc;

use engine::core::command::Reply;
use engine::core::event::Latch;
use engine::core::fixed::Money;
use engine::core::ids::{SignalId, SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::seam::Nanos;
use exchange::paper::listings;
use serde_json::json;

use super::client::{Client, Lost, Response, request};
use super::executor::Owner;
use super::faults::Fault;
use super::intent::{Intent, Known};
use super::model::Page;
use super::world::World;

const PASSWORD: &str = "correct horse battery";

/// A source as its publisher knows it.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) id: SourceId,
    pub(super) secret: String,
}

/// Starts everybody.
pub(super) fn start(world: &Rc<World>) {
    let (publishers, traders) = (world.plan.publishers, world.plan.traders);
    world.clients_left.set(publishers + traders + 1);
    for number in 0..publishers {
        let person = Person::new(world, number, "publisher");
        world.executor.spawn(Owner::World, publish(person));
    }
    for number in publishers..publishers + traders {
        let person = Person::new(world, number, "trader");
        world.executor.spawn(Owner::World, trade(person));
    }
    let stranger = Client::new(world, 900);
    world.executor.spawn(Owner::World, disturb(stranger));
}

struct Person {
    client: Client,
    email: String,
    user: UserId,
    token: String,
    /// Makes names and amounts that nobody else has.
    unique: u64,
}

impl Person {
    fn new(world: &Rc<World>, number: u32, role: &str) -> Self {
        let email = format!("{role}{number}@example.com");
        let user = UserId::from_email(&email);
        let unique = u64::from(number) * 1_000_000;
        Self { client: Client::new(world, number), email, user, token: String::new(), unique }
    }

    fn world(&self) -> &Rc<World> {
        &self.client.world
    }

    fn over(&self) -> bool {
        self.world().load_over.get() || self.world().is_over()
    }

    fn my_source(&mut self) -> Option<Published> {
        let draw = self.client.random.next_u64();
        self.world().source_of(self.user, draw)
    }

    fn any_source(&mut self) -> Option<Published> {
        let draw = self.client.random.next_u64();
        self.world().any_source(draw)
    }

    fn next_unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    /// Sends a change and says what is known after it, and what was answered.
    async fn ask(&mut self, intent: &Intent, bytes: &[u8]) -> (Known, Result<Response, Lost>) {
        self.client.hashes = matches!(intent, Intent::SignUp(_) | Intent::LogIn(_));
        let sent = self.world().judge.borrow_mut().sent();
        let answer = self.client.call(bytes).await;
        (intent.check(self.world(), sent, &answer), answer)
    }

    async fn change(&mut self, intent: Intent, method: &str, path: &str, body: serde_json::Value) -> Known {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let bytes = request(method, path, &self.token, &body);
        self.ask(&intent, &bytes).await.0
    }

    /// Signs up and logs in; false when the run is over before.
    async fn arrive(&mut self) -> bool {
        let who = json!({ "email": self.email, "password": PASSWORD, "zone": "America/Sao_Paulo" });
        loop {
            if self.world().is_over() {
                return false;
            }
            match self.change(Intent::SignUp(self.user), "POST", "/api/auth/signup", who.clone()).await {
                Known::Done(..) => break,
                Known::Refused(code) if code == "email_taken" => break,
                _ => self.client.pause(Nanos::from_millis(300)).await,
            }
        }
        self.log_in().await
    }

    async fn log_in(&mut self) -> bool {
        let who = json!({ "email": self.email, "password": PASSWORD }).to_string();
        loop {
            if self.world().is_over() {
                return false;
            }
            let bytes = request("POST", "/api/auth/login", "", &who);
            let (known, answer) = self.ask(&Intent::LogIn(self.user), &bytes).await;
            if let (Known::Done(Reply::Session(_), _), Ok(response)) = (&known, &answer) {
                self.token = response.json()["token"].as_str().unwrap_or_default().to_owned();
                return true;
            }
            self.client.pause(Nanos::from_millis(1_500)).await;
        }
    }

    /// What a session that ended is answered by: another one.
    async fn after(&mut self, known: &Known) {
        if matches!(known, Known::Refused(code) if code == "unauthorized") {
            self.log_in().await;
        }
    }

    /// Reads a page and holds it against the model.
    async fn read(&mut self, page: Page) {
        let bytes = request("GET", page.path(), &self.token, "");
        self.client.hashes = false;
        let sent = self.world().judge.borrow_mut().sent();
        let answer = self.client.call(&bytes).await;
        let world = Rc::clone(self.world());
        let mut judge = world.judge.borrow_mut();
        judge.over(sent);
        let Ok(response) = answer else { return };
        judge.note(|| format!("page {} {} {}", page.path(), response.status, response.body.len()));
        match response.status {
            200 => {
                let found = response.json();
                let what = format!("{} was shown", page.path());
                if let Err(difference) =
                    judge.read(sent, self.user, &what, |user| user.page_agrees(page, &found))
                {
                    judge.violate(format!("{} of {} shows {found}: {difference}", page.path(), self.email));
                }
            }
            401 | 503 => {}
            status => judge.violate(format!("{} was answered {status}", page.path())),
        }
    }
}

/// Which symbols are traded.
fn symbol(client: &mut Client) -> Symbol {
    let symbols = client.world.plan.symbols;
    let at = usize::try_from(client.below(symbols as u64)).expect("below a length");
    listings()[at].instrument.symbol
}

async fn publish(mut person: Person) {
    if person.arrive().await {
        while !person.over() && person.world().sources_of(person.user) == 0 {
            new_source(&mut person).await;
        }
        while !person.over() {
            let think = person.world().plan.think;
            person.client.pause(think).await;
            match person.client.below(20) {
                0 => new_source(&mut person).await,
                1 => person.read(Page::Sources).await,
                2 => receipt(&mut person).await,
                3 => halt_source(&mut person).await,
                4 => person.read(Page::Profile).await,
                _ => signal(&mut person).await,
            }
        }
    }
    leave(&person.client.world);
}

fn leave(world: &World) {
    world.clients_left.set(world.clients_left.get() - 1);
}

async fn new_source(person: &mut Person) {
    let name = format!("source {}", person.next_unique());
    let intent = Intent::Source(person.user, name.clone());
    let bytes = request("POST", "/api/sources", &person.token, &json!({ "name": name }).to_string());
    let (known, answer) = person.ask(&intent, &bytes).await;
    if let (Known::Done(Reply::Source(id), _), Ok(response)) = (&known, &answer) {
        let secret = response.json()["secret"].as_str().unwrap_or_default().to_owned();
        person.world().sources.borrow_mut().push(Published { id: *id, secret });
    }
    person.after(&known).await;
}

async fn halt_source(person: &mut Person) {
    let Some(source) = person.my_source() else { return };
    let on = person.client.one_in(3);
    let intent = Intent::Halt(person.user, Latch::Source(source.id.index), on);
    let body = json!({ "on": on, "source": source.id.to_string() });
    let known = person.change(intent, "POST", "/api/halt", body).await;
    person.after(&known).await;
}

/// One signal: opens and closes of all kinds, fresh and old, known symbols and unknown, sent once or again.
async fn signal(person: &mut Person) {
    let Some(source) = person.my_source() else { return };
    let tag = format!("tag-{}-", person.next_unique());
    let actions =
        ["BUY", "SELL", "strong_buy", "STRONG_SELL", "CLOSE_LONG", "CLOSE_SHORT", "EXIT", "BUY", "SELL"];
    let action = actions[usize::try_from(person.client.below(actions.len() as u64)).expect("small")];
    let ticker = if person.client.one_in(30) {
        "NOSUCHUSDT".to_owned()
    } else {
        symbol(&mut person.client).to_string()
    };
    let mut body = json!({ "ticker": ticker, "action": action, "tag": tag, "secret": source.secret });
    if !person.client.one_in(4) {
        body["signal_id"] = json!(tag);
    }
    let seconds = person.world().true_seconds();
    match person.client.below(10) {
        0 => body["time"] = json!(seconds - 40),
        1 => body["time"] = json!(seconds + 20),
        2..=4 => body["time"] = json!(seconds),
        _ => {}
    }
    if person.client.one_in(6) {
        body["leverage"] = json!(1 + person.client.below(12));
    }
    let bytes = request("POST", "/webhook", "", &body.to_string());
    let intent = Intent::Signal(person.user, tag);
    if take(&person.world().resends) {
        person.world().strike(Fault::Resent);
        let (world, intent, bytes) = (Rc::clone(person.world()), intent.clone(), bytes.clone());
        let number = u32::try_from(10_000 + person.unique % 10_000).expect("small");
        world.clients_left.set(world.clients_left.get() + 1);
        let mut other = Client::new(&world, number);
        world.executor.spawn(Owner::World, async move {
            let sent = other.world.judge.borrow_mut().sent();
            other.pause(Nanos::from_millis(30)).await;
            let answer = other.call(&bytes).await;
            intent.check(&other.world, sent, &answer);
            leave(&other.world);
        });
    }
    // As TradingView does: again after a lost answer or a 5xx, the same body.
    for _ in 0..4 {
        let (known, _) = person.ask(&intent, &bytes).await;
        match known {
            Known::Done(Reply::Signal { id, .. }, _) => {
                person.world().accepted.borrow_mut().push((id, source.secret.clone()));
                if !person.client.one_in(8) {
                    return;
                }
            }
            Known::Done(..) => return,
            Known::Refused(code) => {
                if code == "unauthorized" {
                    let what = format!("the secret of {} was acknowledged and is not valid", source.id);
                    person.world().judge.borrow_mut().violate(what);
                }
                return;
            }
            Known::Again => {}
        }
        if person.world().is_over() {
            return;
        }
        person.client.pause(Nanos::from_millis(3_000)).await;
    }
}

fn take(count: &std::cell::Cell<u32>) -> bool {
    let left = count.get();
    count.set(left.saturating_sub(1));
    left > 0
}

async fn receipt(person: &mut Person) {
    let accepted = person.world().accepted.borrow().clone();
    if accepted.is_empty() {
        return;
    }
    let at = usize::try_from(person.client.below(accepted.len() as u64)).expect("below a length");
    let (id, secret) = &accepted[at];
    check_receipt(&mut person.client, *id, secret, false).await;
}

/// Reads a receipt; `settled` wants it finished and every line of it right.
pub(super) async fn check_receipt(client: &mut Client, id: SignalId, secret: &str, settled: bool) {
    let world = Rc::clone(&client.world);
    let answer = client.call(&request("GET", &format!("/api/signals/{id}?limit=1000"), secret, "")).await;
    let Ok(response) = answer else { return };
    let mut judge = world.judge.borrow_mut();
    judge.note(|| format!("receipt {id} {}", response.status));
    match response.status {
        200 if settled => {
            let found = response.json();
            if let Err(difference) = judge.receipt_agrees(id, &found) {
                judge.violate(format!("the receipt of {id} shows {found}: {difference}"));
            }
        }
        // Only the newest signals are kept.
        200 | 404 | 503 => {}
        status => judge.violate(format!("the receipt of {id} was answered {status}")),
    }
}

async fn trade(mut person: Person) {
    if person.arrive().await {
        let mut accounts = 0;
        while !person.over() && accounts == 0 {
            accounts += u8::from(open_account(&mut person).await);
        }
        while !person.over() {
            let think = person.world().plan.think;
            person.client.pause(think).await;
            match person.client.below(24) {
                0..=5 => subscribe(&mut person).await,
                6 => unsubscribe(&mut person).await,
                7 => halt(&mut person).await,
                8..=10 => close(&mut person).await,
                11 => accounts += u8::from(accounts < 3 && open_account(&mut person).await),
                12 => log_out(&mut person).await,
                13 => in_a_row(&mut person).await,
                14 => wrong_password(&mut person).await,
                15..=16 => person.read(Page::Positions).await,
                17..=18 => person.read(Page::Orders).await,
                19 => person.read(Page::Ledger).await,
                20 => person.read(Page::Subscriptions).await,
                21 => person.read(Page::Profile).await,
                _ => person.read(Page::Balances).await,
            }
        }
        // The latch is released, so that what is open can be settled by signals too; whether it worked does not matter.
        settle(&mut person).await;
    }
    leave(&person.client.world);
}

/// After the load: every page once more, now that nothing moves but the market.
async fn settle(person: &mut Person) {
    person.world().load_done.set(person.world().load_done.get() + 1);
    let world = Rc::clone(person.world());
    let waiting = Rc::clone(person.world());
    while !world.settled.get() && !world.is_over() {
        let waiting = Rc::clone(&waiting);
        futures_lite::future::or(
            world.executor.until(move || waiting.settled.get()),
            world.executor.sleep(Nanos::from_millis(1_000)),
        )
        .await;
    }
    if world.is_over() || !person.log_in().await {
        return;
    }
    for page in Page::ALL {
        person.read(*page).await;
    }
}

async fn open_account(person: &mut Person) -> bool {
    let units = i64::try_from(person.next_unique()).expect("small");
    let wallet = Money::from_units((3_000 + units % 7_000) * 100_000_000 + units);
    let intent = Intent::Account(person.user, wallet);
    let body = json!({ "venue": "paper", "wallet": wallet.to_string() });
    let known = person.change(intent, "POST", "/api/accounts", body).await;
    person.after(&known).await;
    matches!(known, Known::Done(..))
}

fn subscription(person: &mut Person) -> Option<(Intent, serde_json::Value)> {
    let source = person.any_source()?;
    let units = i64::try_from(person.next_unique()).expect("small");
    let most = Money::from_units(50_000 * 100_000_000 + units);
    let mut body = json!({
        "source": source.id.to_string(),
        "leverage": 1 + person.client.below(10),
        "trade_max": most.to_string(),
        "reverse": person.client.one_in(2),
        "account": u8::from(person.client.one_in(8)),
    });
    match person.client.below(5) {
        0 => body["sizing"] = json!({ "mode": "fixed_margin", "value": "250.5" }),
        1 => body["sizing"] = json!({ "mode": "fixed_notional", "value": 1_000 }),
        2 => body["sizing"] = json!({ "mode": "risk_to_stop", "value": "33.33" }),
        _ => body["sizing"] = json!({ "mode": "percent_of_balance", "value": 10 + person.client.below(41) }),
    }
    if person.client.one_in(3) {
        body["stop_multiplier"] = json!("2.5");
        body["take_profit_multiplier"] = json!("4.25");
    }
    Some((Intent::Subscribe(person.user, source.id, most), body))
}

async fn subscribe(person: &mut Person) {
    let Some((intent, body)) = subscription(person) else { return };
    let known = person.change(intent, "POST", "/api/subscriptions", body).await;
    person.after(&known).await;
}

async fn unsubscribe(person: &mut Person) {
    let Some(source) = person.any_source() else { return };
    let intent = Intent::Unsubscribe(person.user, source.id);
    let path = format!("/api/subscriptions/{}", source.id);
    let known = person.change(intent, "DELETE", &path, serde_json::Value::Null).await;
    person.after(&known).await;
}

async fn halt(person: &mut Person) {
    let on = person.client.one_in(4);
    let intent = Intent::Halt(person.user, Latch::User, on);
    let known = person.change(intent, "POST", "/api/halt", json!({ "on": on })).await;
    person.after(&known).await;
}

async fn close(person: &mut Person) {
    let symbol = symbol(&mut person.client);
    let account = u8::from(person.client.one_in(8));
    let intent = Intent::Close(person.user, account, symbol);
    let body = json!({ "symbol": symbol.to_string(), "account": account });
    let known = person.change(intent, "POST", "/api/positions/close", body).await;
    person.after(&known).await;
}

async fn log_out(person: &mut Person) {
    let intent = Intent::LogOut(person.user);
    let known = person.change(intent, "POST", "/api/auth/logout", serde_json::Value::Null).await;
    if let Known::Done(..) = known {
        let bytes = request("GET", "/api/me", &person.token, "");
        person.client.hashes = false;
        if let Ok(response) = person.client.call(&bytes).await
            && response.status == 200
        {
            let what = "a session answers after its log-out was acknowledged".to_owned();
            person.world().judge.borrow_mut().violate(what);
        }
    }
    person.log_in().await;
}

async fn wrong_password(person: &mut Person) {
    let body = json!({ "email": person.email, "password": "not the password" }).to_string();
    person.client.hashes = true;
    if let Ok(response) = person.client.call(&request("POST", "/api/auth/login", "", &body)).await
        && !matches!(response.status, 401 | 429 | 503)
    {
        let what = format!("a wrong password was answered {}", response.status);
        person.world().judge.borrow_mut().violate(what);
    }
}

/// Several settings on one connection, one behind the other: they are decided in that order.
async fn in_a_row(person: &mut Person) {
    let mut intents = Vec::new();
    let mut requests = Vec::new();
    for _ in 0..2 + person.client.below(4) {
        let Some((intent, body)) = subscription(person) else { return };
        requests.push(request("POST", "/api/subscriptions", &person.token, &body.to_string()));
        intents.push(intent);
    }
    person.client.hashes = false;
    let sent: Vec<_> = intents.iter().map(|_| person.world().judge.borrow_mut().sent()).collect();
    let answers = person.client.pipeline(&requests).await;
    let mut newest = 0;
    for ((intent, sent), answer) in intents.iter().zip(sent).zip(&answers) {
        if let Known::Done(_, index) = intent.check(person.world(), sent, answer) {
            if index < newest {
                let what = format!("{intent:?} was decided before one that was sent before it");
                person.world().judge.borrow_mut().violate(what);
            }
            newest = index;
        }
    }
}

/// What no client should send.
const HOSTILE: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET /api/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer cbt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n{\"a\"",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n{\"ticker\":\"{{ticker}}\",\"a\":\"b\"}",
    "POST /api/auth/signup HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]",
    "POST /api/subscriptions HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n",
    "GET /api/signals/zzzzzzzzzzzzzzzzzz HTTP/1.1\r\nHost: a\r\n\r\n",
    "\0\0\0\0",
    "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// A stranger: probes, figures, and hostile bytes where the mix has them.
async fn disturb(mut client: Client) {
    let world = Rc::clone(&client.world);
    while !world.load_over.get() && !world.is_over() {
        client.pause(Nanos::from_millis(2_000)).await;
        match client.below(6) {
            0 => probe(&mut client, "/health", &[200]).await,
            1 => probe(&mut client, "/ready", &[200, 503]).await,
            2 => probe(&mut client, "/api/enterprise/status", &[200, 503]).await,
            3 => probe(&mut client, "/metrics", &[200, 503]).await,
            _ if world.plan.mix.has(Fault::Hostile) => {
                let at = usize::try_from(client.below(HOSTILE.len() as u64)).expect("below a length");
                client.hostile(HOSTILE[at].as_bytes()).await;
            }
            _ => probe(&mut client, "/api/enterprise/metrics", &[200, 503]).await,
        }
    }
    leave(&world);
}

async fn probe(client: &mut Client, path: &str, statuses: &[u16]) {
    let Ok(response) = client.call(&request("GET", path, "", "")).await else { return };
    let mut judge = client.world.judge.borrow_mut();
    if !statuses.contains(&response.status) {
        judge.violate(format!("{path} was answered {}", response.status));
    }
    if path.ends_with("status") && response.status == 200 {
        let found = response.json();
        for (currency, sum) in found["books"]["ledger_sum"].as_object().into_iter().flatten() {
            if sum.as_str().is_some_and(|sum| sum != "0") {
                judge.violate(format!("the books of {currency} sum to {sum}"));
            }
        }
    }
}
