//! The exchange of a run: the paper exchange, which speaks Binance's and Bybit's protocols, as a server on a network of its own.
//!
//! It lives on when the server is killed, with its orders and their ids, and is what the judge believes about accounts on
//! exchanges. The shards reach it with the code of `server::venues` over [`super::internet`].
//!
//! **Runs on**: the simulator's thread, a task of the world. **Owns**: the exchange, its accounts and their keys, the vault.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use engine::core::fixed::Money;
use engine::core::ids::{Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, VenuePlace};
use engine::seam::Nanos;
use exchange::paper_exchange::faults::{Fault as Rule, Rule as FaultRule, When};
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::{AccountNo, Core, CoreSettings, FaceKind, PaperExchange};
use futures_lite::future::or;
use net::client::Security;
use net::tls::ClientConfig;
use net::tls::config::{ClientTrust, client};
use net::wire::memory::{MemoryNetwork, MemoryWire, Pieces, network};
use storage::sim_disk::SimRandom;

use super::faults::Fault;
use super::internet::{Internet, Weather};
use super::judge::Judge;
use super::people;
use super::plan::Plan;
use super::seams::{EPOCH_MICROS, SimEntropy};
use super::world::World;
use crate::server::paper_server::{PaperServer, wire_config};
use crate::server::venues::hosts::{AddressBook, LiveAt};
use crate::server::venues::prices::MarkBoards;
use crate::server::venues::{Budgets, LiveSetup};
use crate::vault::Vault;
use crate::vault::master::{MasterKey, MasterKeys};

/// What is in an account when the run begins, in USDT.
pub(super) const WALLET: i64 = 10_000;
/// Turns of the exchange at one moment: more is a loop.
const TURNS_MAX: u32 = 1_000;

/// Requests that place an entry or a close, as the exchange's faces name them.
const PLACE: &[&str] = &["order.place", "POST /fapi/v1/order", "order.create", "POST /v5/order/create"];
/// Requests that place a trigger.
const PROTECT: &[&str] = &["algoOrder.place", "POST /fapi/v1/algoOrder", "POST /v5/position/trading-stop"];
/// Requests that take an order back.
const CANCEL: &[&str] = &["order.cancel", "DELETE /fapi/*", "algoOrder.cancel", "POST /v5/order/cancel"];
/// Requests that faults are about; those that matter most are drawn most.
const REQUESTS: &[&[&str]] =
    &[PLACE, PLACE, PLACE, PROTECT, PROTECT, CANCEL, &["GET /fapi/*", "GET /v5/*"], &["*"]];

/// Requests and what they are refused with, for a limit of one account: Binance's, Bybit's.
const LIMITS_OF_ACCOUNTS: &[(&[&str], i64)] = &[
    (&["order.place", "POST /fapi/v1/order", "POST /fapi/v1/algoOrder"], -1015),
    (&["order.create", "POST /v5/order/create", "POST /v5/position/trading-stop", "GET /v5/*"], 10_006),
];
/// The same for a limit of the address.
const LIMITS_OF_ADDRESSES: &[(&[&str], i64)] = &[(&["GET /fapi/*"], -1003), (&["GET /v5/*"], 10_018)];

/// How long what a fault held up may go on after it.
const CATCH_UP: Nanos = Nanos::from_millis(10_000);
/// How long a refusal for a limit of one account holds up its requests: a minute's window, and what waited.
const LIMITED: Nanos = Nanos::from_millis(80_000);

/// An account on the exchange.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) no: AccountNo,
    pub(super) venue: VenueKind,
    key: (String, String),
}

/// See the module's head.
pub(super) struct Exchange {
    server: RefCell<PaperServer<MemoryWire>>,
    far: MemoryNetwork,
    pub(super) internet: RefCell<Internet>,
    /// Set when a shard may have sent something.
    pub(super) news: Rc<Cell<bool>>,
    accounts: BTreeMap<UserId, Held>,
    /// The rules in force at the exchange: which fault each is, and how often it was counted.
    rules: RefCell<BTreeMap<u64, (Fault, u64)>>,
    /// What is open without a live stop, and since when.
    pub(super) bare: RefCell<BTreeMap<(UserId, Symbol), Nanos>>,
    /// The longest that something was, while nothing was disturbed.
    pub(super) bare_longest: Cell<Nanos>,
    /// Requests that were refused for a limit or a ban, as far as they were looked at.
    limited: Cell<u64>,
    /// Nothing is held against anybody here before this moment.
    pub(super) disturbed_until: Cell<Nanos>,
    /// Where keys are sealed.
    pub(super) vault: Arc<Vault>,
    tls: Arc<ClientConfig>,
    book: Arc<AddressBook>,
}

fn wall(now: Nanos) -> Timestamp {
    Timestamp(EPOCH_MICROS + now.as_micros())
}

const fn place(venue: VenueKind) -> VenuePlace {
    VenuePlace { venue, environment: Environment::Testnet, ..VenuePlace::PAPER }
}

impl Exchange {
    /// The exchange of a plan, with an account for each trader who is to have one.
    pub(super) fn new(plan: &Plan) -> Self {
        let start = Timestamp(EPOCH_MICROS);
        let seed = plan.random(600).next_u64();
        let settings = CoreSettings::generated(seed, start);
        let mut exchange = PaperExchange::new(settings, seed).expect("the built-in listings are usable");
        let mut accounts = BTreeMap::new();
        for (n, venue) in (0_u32..).zip(plan.homes.iter().copied()) {
            let face = match venue {
                VenueKind::Paper => continue,
                VenueKind::Binance => FaceKind::Binance,
                VenueKind::Bybit => FaceKind::Bybit,
            };
            let key = (format!("key{n}"), format!("secret-of-{n}-that-nobody-guesses"));
            let opened = exchange.core.open_account(face, Money::from_whole(WALLET));
            let no = opened.expect("room for a few accounts");
            exchange.core.add_key(no, &KeySpec::hmac(&key.0, &key.1)).expect("a usable key");
            let user = UserId::from_email(&people::email("trader", plan.publishers + n));
            accounts.insert(user, Held { no, venue, key });
        }
        let (wire, far) = network(wire_config(), Pieces::Whole);
        let server = PaperServer::new(exchange, wire, start);
        let (tls, _) = client(&ClientTrust::Nobody).expect("a configuration without authorities");
        Self {
            server: RefCell::new(server),
            far,
            internet: RefCell::new(Internet::new(plan.random(601))),
            news: Rc::default(),
            accounts,
            rules: RefCell::default(),
            bare: RefCell::default(),
            bare_longest: Cell::new(Nanos(0)),
            limited: Cell::new(0),
            disturbed_until: Cell::new(Nanos(0)),
            vault: Arc::new(Vault::new(MasterKeys::one(MasterKey::random(&mut SimEntropy(
                plan.random(602),
            ))))),
            tls,
            book: Arc::new(book()),
        }
    }

    /// The live side of the shards of a new life; their budgets begin anew, as in a new process.
    pub(super) fn set_up(&self, world: &World, shards: u16) -> LiveSetup<SimEntropy> {
        let live = world.plan.rules.live;
        LiveSetup {
            live,
            vault: Arc::clone(&self.vault),
            budgets: Arc::new(Budgets::new(live, &[], shards)),
            marks: Arc::new(MarkBoards::new(&[place(VenueKind::Binance), place(VenueKind::Bybit)])),
            book: Arc::clone(&self.book),
            shards,
            tls: Arc::clone(&self.tls),
            entropy: SimEntropy(world.plan.random(603)),
        }
    }

    /// The accounts, and the exchange that holds them.
    pub(super) fn look<R>(&self, with: impl FnOnce(&BTreeMap<UserId, Held>, &Core) -> R) -> R {
        with(&self.accounts, &self.server.borrow().exchange().core)
    }

    /// Name and secret of the key of a user's account.
    pub(super) fn key_of(&self, user: UserId) -> Option<(String, String)> {
        self.accounts.get(&user).map(|held| held.key.clone())
    }

    /// A fault strikes, or will at the next opportunity.
    pub(super) fn disturb(&self, world: &World, fault: Fault, random: &mut SimRandom) {
        let now = world.executor.now();
        let mut internet = self.internet.borrow_mut();
        let mut server = self.server.borrow_mut();
        let within = |random: &mut SimRandom, from_ms: u64, to_ms: u64| {
            let span = Nanos::from_millis(from_ms + random.below(to_ms - from_ms));
            self.disturbed_for(world, span.plus(CATCH_UP));
            span
        };
        let some = u32::try_from(1 + random.below(3)).expect("small");
        let executed = random.one_in(2);
        let of_requests =
            REQUESTS[usize::try_from(random.below(REQUESTS.len() as u64)).expect("below a length")];
        let mut rule = |on: &[&str], when: When, does: Rule| {
            for on in on {
                let rule = FaultRule { on: (*on).to_owned(), when, fault: does.clone() };
                if let Some(id) = server.exchange_mut().faults.add(rule) {
                    self.rules.borrow_mut().insert(id, (fault, 0));
                }
            }
        };
        let next = When::Next(some);
        match fault {
            Fault::RequestLost => internet.weather.requests_lost = some,
            Fault::ReplyLost => internet.weather.answers_lost = some,
            Fault::ExchangeSlow => {
                let until = now.plus(within(random, 200, 6_000));
                internet.weather.slow = Some((1_000_000 * (50 + random.below(2_500)), until));
                world.strike(fault);
            }
            Fault::ExchangeCut => {
                internet.weather.cut_until = now.plus(within(random, 1, 5_000));
                internet.cut(&self.far);
                world.strike(fault);
            }
            Fault::ExchangeUnknown => rule(of_requests, next, Rule::Unknown { executed }),
            Fault::ExchangeRefuses if executed => {
                rule(of_requests, next, Rule::Unavailable { executed: false });
            }
            Fault::ExchangeRefuses => rule(of_requests, next, Rule::Overload { executed: false }),
            Fault::ExchangeLate => rule(of_requests, next, Rule::Latency { ms: 500 + random.below(9_000) }),
            // Everything waits for up to a minute then, which is most of a run.
            Fault::ExchangeLimits if !random.one_in(6) => {}
            Fault::ExchangeLimits => {
                self.disturbed_for(world, LIMITED);
                let limits = if executed { LIMITS_OF_ACCOUNTS } else { LIMITS_OF_ADDRESSES };
                for (of, code) in limits {
                    rule(of, When::Next(1), Rule::Code { code: *code, executed: false });
                }
            }
            Fault::StreamLost => {
                let does = match random.below(3) {
                    0 => Rule::Lose,
                    1 => Rule::Withhold { ms: 100 + random.below(4_000) },
                    _ => Rule::Drop,
                };
                rule(&["stream *"], next, does);
            }
            Fault::StreamTwice if executed => rule(&["stream *"], next, Rule::Duplicate),
            Fault::StreamTwice => rule(&["stream *"], next, Rule::Reorder),
            Fault::ExchangeClock => {
                let by = i64::try_from(random.below(16_000)).expect("small") - 8_000;
                server.exchange_mut().core.clock.skew_ms = by;
                world.strike(fault);
                self.disturbed_for(world, CATCH_UP);
            }
            Fault::ListenKeys => {
                server.exchange_mut().expire_listen_keys(wall(now));
                world.strike(fault);
                self.disturbed_for(world, CATCH_UP);
            }
            _ => {}
        }
        self.news.set(true);
    }

    /// No fault from now on; what was lost is lost, and the clock stays where it was set.
    pub(super) fn heal(&self, world: &World) {
        self.disturbed_for(world, CATCH_UP);
        self.internet.borrow_mut().weather = Weather::default();
        self.server.borrow_mut().exchange_mut().faults.clear();
        self.rules.borrow_mut().clear();
    }

    /// What a disturbance held up gets this long.
    fn disturbed_for(&self, world: &World, span: Nanos) {
        let until = world.executor.now().plus(span);
        self.disturbed_until.set(self.disturbed_until.get().max(until));
    }

    /// Counts what has struck.
    fn count(&self, world: &World) {
        let mut struck = std::mem::take(&mut self.internet.borrow_mut().struck);
        {
            let mut rules = self.rules.borrow_mut();
            let mut server = self.server.borrow_mut();
            let faults = &mut server.exchange_mut().faults;
            let mut used_up = Vec::new();
            for (id, rule, _, applied) in faults.rules() {
                let Some((fault, counted)) = rules.get_mut(&id) else { continue };
                struck.extend((*counted..applied).map(|_| *fault));
                *counted = applied;
                if matches!(rule.when, When::Next(n) if applied >= u64::from(n)) {
                    used_up.push(id);
                }
            }
            for id in used_up {
                faults.remove(id);
                rules.remove(&id);
            }
        }
        // What a process that has ended had on its way is nobody's fault any more.
        let asks = world.serving().is_some();
        for fault in struck {
            if asks {
                world.strike(fault);
            }
            self.disturbed_for(world, CATCH_UP);
        }
    }

    /// Orders that it was given; notes what the run came to here.
    pub(super) fn finish(&self, judge: &mut Judge) -> u64 {
        let orders: usize =
            self.look(|accounts, core| accounts.values().map(|held| core.all_orders(held.no).len()).sum());
        let (bare, limited) = (self.bare_longest.get().as_micros(), self.limited.get());
        judge.note(|| format!("exchange: {orders} orders, {limited} refused for a limit, bare {bare} us"));
        orders as u64
    }

    /// Does everything that is due, and says when there is more.
    fn step(&self, world: &World) -> Nanos {
        let now = world.executor.now();
        let mut server = self.server.borrow_mut();
        for _ in 0..TURNS_MAX {
            let life = world.serving();
            let moved = self.internet.borrow_mut().step(now, life.as_ref(), &self.far);
            let more = server.turn(now.0, wall(now)).expect("a network in memory does not fail");
            if !(moved || more) {
                break;
            }
        }
        // A process that is killed again and again asks for more than the exchange's limits allow.
        if server.limited() > self.limited.replace(server.limited()) {
            self.disturbed_for(world, LIMITED);
        }
        let quiet = server
            .quiet(now.0)
            .map(|span| now.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)));
        let due = self.internet.borrow().next_due_ns().into_iter().chain(quiet).min();
        // A moment that is due already is looked at again in a microsecond: time moves with it.
        Nanos(due.unwrap_or(now.0 + 1_000_000_000).max(now.0 + 1_000))
    }
}

/// Both exchanges are at one address.
fn book() -> AddressBook {
    let at = |venue| LiveAt {
        venue,
        environment: Environment::Testnet,
        host: "198.51.100.9".to_owned(),
        port: 80,
        security: Security::Plain,
    };
    let mut book = AddressBook::new(vec![at(VenueKind::Binance), at(VenueKind::Bybit)]);
    book.resolve(&[place(VenueKind::Binance), place(VenueKind::Bybit)])
        .expect("an address resolves to itself");
    book
}

/// The exchange at work, until the run ends.
pub(super) async fn serve(world: Rc<World>) {
    let Some(exchange) = world.exchange.clone() else { return };
    while !world.is_over() {
        exchange.news.set(false);
        let next = exchange.step(&world);
        exchange.count(&world);
        let news = Rc::clone(&exchange.news);
        or(world.executor.until(move || news.get()), world.executor.sleep_until(next)).await;
    }
}
