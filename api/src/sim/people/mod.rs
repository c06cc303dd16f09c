//! The people of a run: publishers who send signals, traders who follow them, and strangers.
//!
//! **Runs on**: the simulator's thread, a task of the world each. **Invariants**: a person has one change under way at a time,
//! or several on one connection whose order then counts; every answer is held against what was decided. People stop
//! when the load is over, after what they were at.

mod publisher;
mod receipt;
mod signal;
mod stranger;
mod trader;

pub(in crate::sim) use receipt::{Reader, check_receipt};
pub(in crate::sim) use signal::Sent;

use std::cell::Cell;
use std::rc::Rc;

use engine::core::auth::digest;
use engine::core::command::Reply;
use engine::core::ids::{SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::user::VenueKind;
use engine::seam::Nanos;
use exchange::paper::listings;
use serde_json::{Value, json};
use storage::sim_disk::SimRandom;

use crate::sim::client::{Client, Lost, Response, request};
use crate::sim::executor::Owner;
use crate::sim::faults::Fault;
use crate::sim::intent::{Intent, Known};
use crate::sim::judge::{Calendar, Session};
use crate::sim::model::{History, ModelUser, Page};
use crate::sim::spoil;
use crate::sim::unavailable::Queue;
use crate::sim::world::World;

/// Everybody's password.
pub(in crate::sim) const PASSWORD: &str = "correct horse battery";
/// Where everybody lives.
pub(in crate::sim) const ZONE: &str = "America/Sao_Paulo";
/// Tokens that a person remembers: more than sessions there can be.
const TOKENS: usize = 6;

/// A source as its publisher knows it.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Published {
    pub(in crate::sim) id: SourceId,
    pub(in crate::sim) secret: String,
}

/// Starts everybody.
pub(in crate::sim) fn start(world: &Rc<World>) {
    let (publishers, traders) = (world.plan.publishers, world.plan.traders);
    world.clients_left.set(publishers + traders + 1);
    for number in 0..publishers {
        let person = Person::new(world, number, "publisher");
        world.executor.spawn(Owner::World, publisher::publish(person));
    }
    for number in publishers..publishers + traders {
        let person = Person::new(world, number, "trader");
        world.executor.spawn(Owner::World, trader::trade(person));
    }
    let stranger = Client::new(world, 900);
    world.executor.spawn(Owner::World, stranger::disturb(stranger));
}

/// The address of a person.
pub(in crate::sim) fn email(role: &str, number: u32) -> String {
    format!("{role}{number}@example.com")
}

struct Person {
    client: Client,
    email: String,
    user: UserId,
    token: String,
    /// Tokens of its newest log-ins, this one's last.
    tokens: Vec<String>,
    /// The exchange that its first account is on.
    home: VenueKind,
    /// Makes names and amounts that nobody else has.
    unique: u64,
    /// In which of several ways that mean the same something is sent; a stream of its own, so that it moves nothing else.
    ways: SimRandom,
}

impl Person {
    fn new(world: &Rc<World>, number: u32, role: &str) -> Self {
        let email = email(role, number);
        let user = UserId::from_email(&email);
        let unique = u64::from(number) * 1_000_000;
        let trader = number.checked_sub(world.plan.publishers).and_then(|n| usize::try_from(n).ok());
        let home = trader.and_then(|n| world.plan.homes.get(n)).copied().unwrap_or(VenueKind::Paper);
        let (token, tokens) = (String::new(), Vec::new());
        let ways = world.plan.random(7_000 + u64::from(number));
        Self { client: Client::new(world, number), email, user, token, tokens, home, unique, ways }
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
        self.client.hashes = intent.hashes();
        let asked = self.world().sends(self.session_of(intent));
        let answer = self.client.call(bytes).await;
        (intent.check(self.world(), &asked, &answer), answer)
    }

    /// The session that this is asked for in.
    fn session_of(&self, intent: &Intent) -> Option<Session> {
        intent.needs_session().then(|| self.session(&self.token))
    }

    fn session(&self, token: &str) -> Session {
        Session { user: self.user, token: digest(token.as_bytes()) }
    }

    async fn change(&mut self, intent: Intent, method: &str, path: &str, body: Value) -> Known {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let bytes = request(method, path, &self.token, &body);
        if intent.may_be_resent() && take(&self.world().resends) {
            self.send_again(&intent, bytes.clone());
        }
        self.ask(&intent, &bytes).await.0
    }

    /// The same once more over another connection, perhaps before the first is there.
    fn send_again(&self, intent: &Intent, bytes: Vec<u8>) {
        let world = Rc::clone(self.world());
        world.strike(Fault::Resent);
        intent.doubt(&world);
        let (intent, session) = (intent.clone(), self.session_of(intent));
        let number = u32::try_from(10_000 + self.unique % 10_000).expect("small");
        world.clients_left.set(world.clients_left.get() + 1);
        let mut other = Client::new(&world, number);
        world.executor.spawn(Owner::World, async move {
            let asked = other.world.sends(session);
            other.pause(Nanos::from_millis(30)).await;
            let answer = other.call(&bytes).await;
            intent.check(&other.world, &asked, &answer);
            leave(&other.world);
        });
    }

    /// Signs up and logs in; false when the run is over before.
    async fn arrive(&mut self) -> bool {
        let who = json!({ "email": self.email, "password": PASSWORD, "zone": ZONE });
        loop {
            if self.world().is_over() {
                return false;
            }
            match self
                .change(Intent::SignUp(self.email.clone()), "POST", "/api/auth/signup", who.clone())
                .await
            {
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
                self.tokens.push(self.token.clone());
                if self.tokens.len() > TOKENS {
                    self.tokens.remove(0);
                }
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

    /// Reads a history, page by page, to its end or for so many pages, and holds each page against the model.
    async fn read_history(&mut self, what: History, limit: usize, pages: usize) {
        let mut cursor = String::new();
        for _ in 0..pages {
            let after = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
            let path = format!("{}?limit={limit}{after}", what.path());
            let place = cursor.split_once('-').and_then(|(at, id)| Some((at.parse().ok()?, id)));
            let agrees = |user: &ModelUser, found: &Value, _| user.history_agrees(what, limit, place, found);
            let Some(found) = self.look_at((&path, what.telling()), &self.token.clone(), agrees).await else {
                return;
            };
            let Some(next) = found["next"].as_str() else { return };
            next.clone_into(&mut cursor);
        }
    }

    /// Reads a page and holds it against the model.
    async fn read(&mut self, page: Page) {
        let token = self.token.clone();
        self.read_in(page, &token).await;
    }

    /// The same in the session of this token.
    async fn read_in(&mut self, page: Page, token: &str) {
        let agrees = |user: &ModelUser, found: &Value, calendar: Calendar| {
            user.page_agrees(page, found, (calendar.earliest, calendar.latest))
        };
        self.look_at((page.path(), page.telling()), token, agrees).await;
    }

    /// Reads what is at a path in the session of a token, and looks that it is as this user was meanwhile, and that it would not be
    /// if a field of this name were another. Gives what was shown.
    async fn look_at(
        &mut self,
        (path, field): (&str, &str),
        token: &str,
        agrees: impl Fn(&ModelUser, &Value, Calendar) -> Result<(), String>,
    ) -> Option<Value> {
        let bytes = request("GET", path, token, "");
        self.client.hashes = false;
        let asked = self.world().sends(Some(self.session(token)));
        let answer = self.client.call(&bytes).await;
        let world = Rc::clone(self.world());
        let calendar = world.calendar_since(asked.at);
        let mut judge = world.judge.borrow_mut();
        judge.over(&asked);
        let response = answer.ok()?;
        judge.note(|| format!("page {path} {} {}", response.status, response.body.len()));
        if matches!(response.status, 200 | 401) {
            world.compared();
        }
        match response.status {
            200 => {
                let found = response.json();
                judge.check_served(&asked, calendar, path);
                let what = format!("{path} was shown");
                let shown = judge.read(&asked, self.user, &what, |user| agrees(user, &found, calendar));
                if let Err(difference) = shown {
                    judge.violate(format!("{path} of {} shows {found}: {difference}", self.email));
                }
                world.count(|judged| judged.pages += 1);
                if world.judged.get().pages.is_multiple_of(spoil::ONE_IN)
                    && let Some(spoilt) = spoil::spoilt(field, &found)
                {
                    if judge.read(&asked, self.user, &what, |user| agrees(user, &spoilt, calendar)).is_ok() {
                        judge.violate(format!("the judge agrees with a page that was spoilt: {spoilt}"));
                    }
                    world.count(|judged| judged.spoilt_pages += 1);
                }
                return Some(found);
            }
            401 => judge.check_turned_away(&asked, calendar, path),
            503 => {
                let code = response.code();
                let may_be = world.may_be_unavailable(&asked, judge.under_way(), Queue::Lanes, &code);
                if let Err(why) = may_be {
                    judge.violate(format!("{path} was answered {code}: {why}"));
                }
            }
            status => judge.violate(format!("{path} was answered {status}")),
        }
        None
    }
}

/// Takes one off a count; whether there was one.
fn take(count: &Cell<u32>) -> bool {
    let left = count.get();
    count.set(left.saturating_sub(1));
    left > 0
}

/// Which symbols are traded.
fn symbol(client: &mut Client) -> Symbol {
    let symbols = client.world.plan.symbols;
    let at = usize::try_from(client.below(symbols as u64)).expect("below a length");
    listings()[at].instrument.symbol
}

/// Somebody has gone home.
fn leave(world: &World) {
    world.clients_left.set(world.clients_left.get() - 1);
}
