//! The exchange of a run: the paper exchange, which speaks Binance's and Bybit's protocols, as a server on a network of its own.
//!
//! It lives on when the server is killed, with its orders and their ids, and is what the judge believes about accounts on
//! exchanges. The shards reach it with the code of `server::venues` over [`super::internet`].
//!
//! **Runs on**: the simulator's thread, a task of the world. **Owns**: the exchange, its accounts and their keys, the master keys.

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
use exchange::paper_exchange::faults::{Fault as Rule, Rule as FaultRule, Struck, When, Whose};
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::orders::OrderNo;
use exchange::paper_exchange::{AccountNo, Core, CoreSettings, FaceKind, PaperExchange};
use futures_lite::future::or;
use net::client::Security;
use net::tls::ClientConfig;
use net::tls::config::{ClientTrust, client};
use net::wire::memory::{MemoryNetwork, MemoryWire, Pieces, network};
use storage::sim_disk::SimRandom;

use super::bare::{Clocks, Regard};
use super::faults::Fault;
use super::internet::{HERE, Internet, Weather};
use super::judge::Judge;
use super::judged::Judged;
use super::limit_check::{self, Around, Finding, LimitCheck};
use super::live_check::BARE_MAX;
use super::masters::Masters;
use super::people;
use super::plan::Plan;
use super::seams::{EPOCH_MICROS, SimEntropy};
use super::world::{Disturbed, World};
use crate::server::paper_server::{PaperServer, wire_config};
use crate::server::venues::hosts::{AddressBook, LiveAt};
use crate::server::venues::prices::MarkBoards;
use crate::server::venues::{Budgets, LiveSetup};

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

/// Requests and what they are refused with for what they ask: the account's money, a price, a size, a trigger's side.
const REFUSALS: &[(&[&str], &[i64])] = &[
    (&["order.place", "POST /fapi/v1/order"], &[-2019, -4131, -4164, -2027]),
    (&["algoOrder.place", "POST /fapi/v1/algoOrder"], &[-2021, -4131, -4045]),
    (&["order.create", "POST /v5/order/create"], &[110_007, 110_094, 110_003, 110_090]),
    (&["POST /v5/position/trading-stop"], &[110_093, 110_003]),
];
/// After such a refusal there is none for as long: each further round of a close waits longer, so that a position would be open for
/// as long as it is refused.
const SAYS_NO_EVERY: Nanos = Nanos::from_millis(30_000);

/// How long what a fault held up may go on after it.
const CATCH_UP: Nanos = Nanos::from_millis(10_000);
/// Whoever finds no way to the exchange, or no leave, looks again so often at least.
const LOOK_AGAIN: Nanos = Nanos::from_millis(2_000);
/// For how long a refusal for a limit may stop what it is about: the window that it is counted in; Bybit's are seconds.
const LIMITED_BINANCE: Nanos = Nanos::from_millis(62_000);
const LIMITED_BYBIT: Nanos = Nanos::from_millis(7_000);
/// How long Bybit shuts an address out. It does not say so, and whoever is told waits as long from then on.
const BAN_BYBIT: Nanos = Nanos::from_millis(600_000);
/// The longest that Binance does here; it says until when.
const BAN_BINANCE_MS_MAX: u64 = 30_000;
/// So long after a ban one request finds out whether it is over, and no other may go meanwhile: several, where they are struck.
const UNSURE: Nanos = Nanos::from_millis(60_000);
/// The first ban that Binance imposes by itself is two minutes; a second one is brought on by who has learnt nothing of the first.
const OWN_BAN_MAX: Nanos = Nanos::from_millis(121_000);
/// When that one is struck, the next one goes within this: its patience, and a pause that grows.
const NEXT_PROBE: Nanos = Nanos::from_millis(12_000);
/// By so much calendars may differ, where they are set: an end that was told is over sooner for some.
const CLOCKS_SET: Nanos = Nanos::from_millis(20_000);
/// By so much our measure of the exchange's clock may be off, where requests are stamped by one that is.
const CLOCKS_SKEWED: Nanos = Nanos::from_millis(9_000);
/// Both protocols.
const FACES: [FaceKind; 2] = [FaceKind::Binance, FaceKind::Bybit];

const fn place_of(face: FaceKind) -> usize {
    match face {
        FaceKind::Binance => 0,
        FaceKind::Bybit => 1,
    }
}

/// What keeps us from an exchange: from all of it, or one account of it.
#[derive(Debug, Default)]
struct Ways {
    faces: [Disturbed; 2],
    accounts: BTreeMap<AccountNo, Disturbed>,
    /// When the way to it, or an answer on it, was disturbed last.
    rough_at: [Nanos; 2],
}

/// A ban that a fault has imposed.
#[derive(Clone, Copy, Debug, Default)]
struct Ban {
    until: Nanos,
    /// Until when those who were told stay away.
    held_until: Nanos,
    /// Until when one request at a time may find out whether it is over.
    unsure_until: Nanos,
    times: u32,
}

impl Ban {
    /// Whoever was told stays away until then, and finds out after it.
    fn hold_until(&mut self, until: Nanos) {
        self.held_until = self.held_until.max(until);
        self.unsure_until = self.held_until.plus(UNSURE);
    }
}

/// An account on the exchange.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) no: AccountNo,
    pub(super) venue: VenueKind,
    key: (String, String),
}

impl Held {
    const fn face(&self) -> FaceKind {
        match self.venue {
            VenueKind::Bybit => FaceKind::Bybit,
            VenueKind::Binance | VenueKind::Paper => FaceKind::Binance,
        }
    }
}

/// See the module's head.
pub(super) struct Exchange {
    server: RefCell<PaperServer<MemoryWire>>,
    far: MemoryNetwork,
    pub(super) internet: RefCell<Internet>,
    /// Set when a shard may have sent something.
    pub(super) news: Rc<Cell<bool>>,
    accounts: BTreeMap<UserId, Held>,
    /// The rules in force at the exchange: which fault each is, and what it does.
    rules: RefCell<BTreeMap<u64, (Fault, Rule)>>,
    /// What is open without a live stop, and for how long.
    pub(super) bare: RefCell<Clocks<(UserId, Symbol)>>,
    ways: RefCell<Ways>,
    limits: RefCell<[LimitCheck; 2]>,
    bans: RefCell<[Ban; 2]>,
    /// When it may refuse an order for what it asks again.
    says_no_from: Cell<Nanos>,
    /// Under what keys are sealed.
    pub(super) masters: Masters,
    tls: Arc<ClientConfig>,
    book: Arc<AddressBook>,
}

fn wall(now: Nanos) -> Timestamp {
    Timestamp(EPOCH_MICROS + now.as_micros())
}

const fn places(environment: Environment) -> [VenuePlace; 2] {
    let binance = VenuePlace { venue: VenueKind::Binance, environment, ..VenuePlace::PAPER };
    [binance, VenuePlace { venue: VenueKind::Bybit, ..binance }]
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
            // Where the money is real a key has to be bound to an address.
            let addresses = (plan.environment == Environment::Mainnet).then(|| HERE.ip());
            let spec =
                KeySpec { addresses: addresses.into_iter().collect(), ..KeySpec::hmac(&key.0, &key.1) };
            exchange.core.add_key(no, &spec).expect("a usable key");
            let user = UserId::from_email(&people::email("trader", plan.publishers + n));
            accounts.insert(user, Held { no, venue, key });
        }
        let (wire, far) = network(wire_config(), Pieces::Whole);
        let server = PaperServer::new(exchange, wire, start);
        let (tls, _) = client(&ClientTrust::Nobody).expect("a configuration without authorities");
        Self {
            server: RefCell::new(server),
            far,
            // What tells that a trigger was taken away, or became nothing, is found by the comparison in rotation alone when it is
            // lost without its connection: after minutes. So connections break there.
            internet: RefCell::new(Internet::new(
                plan.random(601),
                !plan.mix.has(Fault::TriggerTaken) && !plan.mix.has(Fault::TriggerStuck),
            )),
            news: Rc::default(),
            accounts,
            rules: RefCell::default(),
            bare: RefCell::new(Clocks::new(BARE_MAX)),
            ways: RefCell::default(),
            limits: RefCell::default(),
            bans: RefCell::default(),
            says_no_from: Cell::default(),
            masters: Masters::new(&mut SimEntropy(plan.random(602))),
            tls,
            book: Arc::new(book(plan.environment)),
        }
    }

    /// The live side of the shards of a new life; their budgets begin anew, as in a new process.
    pub(super) fn set_up(&self, world: &World, shards: u16) -> LiveSetup<SimEntropy> {
        let live = world.plan.rules.live;
        LiveSetup {
            live,
            vault: self.masters.vault(),
            budgets: Arc::new(Budgets::new(live, &[], shards)),
            marks: Arc::new(MarkBoards::new(&places(world.plan.environment))),
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
            self.cut_off(now, &FACES, span.plus(LOOK_AGAIN));
            span
        };
        let some = u32::try_from(1 + random.below(3)).expect("small");
        let executed = random.one_in(2);
        let of_requests =
            REQUESTS[usize::try_from(random.below(REQUESTS.len() as u64)).expect("below a length")];
        if fault == Fault::ExchangeSaysNo && now >= self.says_no_from.get() {
            // Those that met nothing yet give way to new ones.
            self.rules
                .borrow_mut()
                .retain(|id, (of, _)| *of != fault || !server.exchange_mut().faults.remove(*id));
        }
        let mut rule = |on: &[&str], when: When, does: Rule| {
            for on in on {
                let rule = FaultRule { on: (*on).to_owned(), when, fault: does.clone() };
                if let Some(id) = server.exchange_mut().faults.add(rule) {
                    self.rules.borrow_mut().insert(id, (fault, does.clone()));
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
                internet.weather.slow_unfelt = true;
            }
            Fault::ExchangeCut => {
                internet.weather.cut_until = now.plus(within(random, 1, 5_000));
                internet.weather.cut_unfelt = true;
                internet.cut(&self.far);
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
                self.cut_off(now, &FACES, Nanos(0));
            }
            Fault::ExchangeSaysNo if now < self.says_no_from.get() => {}
            Fault::ExchangeSaysNo => {
                self.says_no_from.set(now.plus(SAYS_NO_EVERY));
                for (of, codes) in REFUSALS {
                    let code = codes[usize::try_from(random.below(codes.len() as u64)).expect("small")];
                    rule(of, When::Next(1), Rule::Code { code, executed: false });
                }
            }
            Fault::ExchangeSkew => {
                let ms = i64::try_from(random.below(16_000)).expect("small") - 8_000;
                rule(of_requests, next, Rule::Skew { ms });
            }
            Fault::EndedForgotten => rule(&["GET /v5/order/realtime"], next, Rule::ForgetEnded),
            // Of one account, in the middle of what it asks or is told.
            Fault::ListenKeys if random.one_in(2) => {
                let of = if executed { of_requests } else { &["stream *"][..] };
                rule(of, next, Rule::ExpireListenKey);
            }
            Fault::ListenKeys => {
                // Whoever has no account on Binance has none.
                if server.exchange_mut().expire_listen_keys(wall(now)) > 0 {
                    world.strike(fault);
                }
                self.cut_off(now, &[FaceKind::Binance], Nanos(0));
            }
            // As with limits.
            Fault::ExchangeBan if !random.one_in(4) => {}
            Fault::ExchangeBan => {
                let used =
                    FACES.into_iter().filter(|face| self.accounts.values().any(|held| held.face() == *face));
                let mut used: Vec<FaceKind> = used.collect();
                let face = used.swap_remove(usize::try_from(random.below(used.len() as u64)).expect("small"));
                let span = match face {
                    FaceKind::Binance => Nanos::from_millis(1_000 + random.below(BAN_BINANCE_MS_MAX)),
                    FaceKind::Bybit => BAN_BYBIT,
                };
                let ban = &mut self.bans.borrow_mut()[place_of(face)];
                // Bybit does not say how long: who asks too soon, which a calendar that was set makes us do, and who is banned again
                // waits twice as long.
                let unsure = ban.times > 0 || world.plan.mix.has(Fault::ClockSet);
                if now < ban.held_until || face == FaceKind::Bybit && unsure {
                    return;
                }
                let until = now.plus(span);
                *ban = Ban { until, times: ban.times + 1, ..*ban };
                ban.hold_until(until);
                self.limits.borrow_mut()[place_of(face)].begins();
                let ms = span.as_micros() / 1_000;
                world.judge.borrow_mut().note(|| format!("{face:?} bans the address for {ms} ms"));
                server.exchange_mut().ban(wall(now), face, HERE.ip(), span.as_micros());
                world.strike(fault);
                // Whoever is told keeps away, which nothing else excuses: the way there is no rougher for it.
                self.ways.borrow_mut().faces[place_of(face)].extend(now, span.plus(LOOK_AGAIN), CATCH_UP);
            }
            // As with bans.
            Fault::AddressSpent if !random.one_in(4) => {}
            Fault::AddressSpent => {
                let binance = place_of(FaceKind::Binance);
                let ban = &mut self.bans.borrow_mut()[binance];
                let is_used = self.accounts.values().any(|held| held.face() == FaceKind::Binance);
                if !is_used || now < ban.held_until {
                    return;
                }
                server.exchange_mut().spend_minute(wall(now), HERE.ip());
                let until = limit_check::end_of_minute(now);
                ban.held_until = until;
                self.limits.borrow_mut()[binance].spent_by_others(until);
                world.strike(fault);
                // Whoever is told waits for the end of the minute, which nothing else excuses.
                let span = until.since(now);
                self.ways.borrow_mut().faces[binance].extend(now, span.plus(LOOK_AGAIN), CATCH_UP);
            }
            // That the event which tells of it is lost by itself is found by the comparison in rotation alone, after minutes.
            Fault::TriggerTaken if !world.plan.mix.has(Fault::StreamLost) => {
                let core = &mut server.exchange_mut().core;
                // By its user, or by the exchange itself, which tells it as if the position were gone.
                let taken = self.draw_trigger(core, random, |_| true).map(|(no, order)| {
                    if executed { core.cancel(no, order) } else { core.expire(no, order) }
                });
                if taken.is_some_and(|taken| taken.is_ok()) {
                    world.strike(fault);
                }
            }
            // The same holds of the event that tells of this one. Bybit's triggers are positions' own: they have nothing to become.
            Fault::TriggerStuck if !world.plan.mix.has(Fault::StreamLost) => {
                let core = &mut server.exchange_mut().core;
                let drawn = self.draw_trigger(core, random, |face| face == FaceKind::Binance);
                if drawn.is_some_and(|(no, order)| core.fire_and_stay(no, order).is_ok()) {
                    world.strike(fault);
                }
            }
            _ => {}
        }
        self.news.set(true);
    }

    /// One of the live triggers of accounts on these exchanges.
    fn draw_trigger(
        &self,
        core: &Core,
        random: &mut SimRandom,
        on: impl Fn(FaceKind) -> bool,
    ) -> Option<(AccountNo, OrderNo)> {
        let of = |no: AccountNo| core.open_orders(no).filter(|order| order.spec.trigger.is_some());
        let accounts = self.accounts.values().filter(|held| on(held.face()));
        let live = accounts.flat_map(|held| of(held.no).map(|order| (held.no, order.no)));
        let live: Vec<_> = live.collect();
        live.get(usize::try_from(random.below(live.len().max(1) as u64)).expect("small")).copied()
    }

    /// No fault from now on; what was lost is lost, and the clock stays where it was set.
    pub(super) fn heal(&self, world: &World) {
        self.cut_off(world.executor.now(), &FACES, Nanos(0));
        self.internet.borrow_mut().weather = Weather::default();
        self.server.borrow_mut().exchange_mut().faults.clear();
        self.rules.borrow_mut().clear();
    }

    /// There is no way there, or no leave to ask, for a span.
    fn cut_off(&self, now: Nanos, faces: &[FaceKind], span: Nanos) {
        let mut ways = self.ways.borrow_mut();
        for place in faces.iter().map(|face| place_of(*face)) {
            ways.faces[place].extend(now, span, CATCH_UP);
            ways.rough_at[place] = ways.rough_at[place].max(now.plus(span));
        }
    }

    /// What this moment counts for where a position of this account has no stop, as far as the exchange and the way there go.
    pub(super) fn regard(&self, now: Nanos, held: &Held) -> Regard {
        if planted::planted!("judge_excuses_every_exchange") {
            return Regard::Excused;
        }
        let ways = self.ways.borrow();
        let own = ways.accounts.get(&held.no).copied().unwrap_or_default();
        ways.faces[place_of(held.face())].regard(now).max(own.regard(now))
    }

    /// Until when somebody who was shut out stays away.
    pub(super) fn held_until(&self) -> Nanos {
        self.bans.borrow().iter().map(|ban| ban.held_until).max().unwrap_or_default()
    }

    /// A request or an answer of an exchange was struck: soon after a ban it may have been the one that was to find out, and nobody may
    /// ask before the next. The way there is no rougher for it.
    fn struck_after_a_ban(&self, now: Nanos, face: FaceKind) {
        let ban = self.bans.borrow()[place_of(face)];
        if (ban.held_until..ban.unsure_until).contains(&now) {
            self.ways.borrow_mut().faces[place_of(face)].extend(now, NEXT_PROBE, CATCH_UP);
        }
    }

    /// A request, an answer or an event was struck: its account is disturbed, where it is one's alone, or else its exchange.
    fn struck(&self, now: Nanos, fault: Fault, does: &Rule, whose: Whose) {
        let is_overload = matches!(does, Rule::Overload { .. });
        let of_stream = matches!(
            does,
            Rule::Duplicate
                | Rule::Reorder
                | Rule::Withhold { .. }
                | Rule::Lose
                | Rule::Drop
                | Rule::ExpireListenKey
        );
        if !of_stream {
            self.struck_after_a_ban(now, whose.face);
        }
        let span = match (fault, whose.face) {
            (Fault::ExchangeLimits, FaceKind::Binance) => LIMITED_BINANCE,
            (Fault::ExchangeLimits, FaceKind::Bybit) => LIMITED_BYBIT,
            // It refuses all of an address for its own load too.
            (Fault::ExchangeRefuses, FaceKind::Bybit) if is_overload => LIMITED_BYBIT,
            _ => Nanos(0),
        };
        let of_address = matches!(does, Rule::Code { code: -1003 | 10_018, .. })
            || is_overload && whose.face == FaceKind::Bybit;
        // The stream that breaks off is one of several accounts.
        let shared = of_address || matches!(does, Rule::Drop);
        match whose.account.filter(|_| !shared) {
            Some(account) => {
                let mut ways = self.ways.borrow_mut();
                ways.accounts.entry(account).or_default().extend(now, span, CATCH_UP);
                let rough = &mut ways.rough_at[place_of(whose.face)];
                *rough = (*rough).max(now);
            }
            None => self.cut_off(now, &[whose.face], span),
        }
    }

    /// Counts what has struck.
    fn count(&self, world: &World) {
        let now = world.executor.now();
        let lost = std::mem::take(&mut self.internet.borrow_mut().struck);
        for (fault, face) in lost {
            world.strike(fault);
            for face in face.as_ref().map_or(&FACES[..], std::slice::from_ref) {
                self.struck_after_a_ban(now, *face);
                self.cut_off(now, &[*face], Nanos(0));
            }
        }
        let mut server = self.server.borrow_mut();
        let faults = &mut server.exchange_mut().faults;
        let mut rules = self.rules.borrow_mut();
        for Struck { rule, whose } in faults.take_struck() {
            if let Some((fault, does)) = rules.get(&rule) {
                world.strike(*fault);
                if *fault == Fault::ExchangeSaysNo {
                    self.says_no_from.set(now.plus(SAYS_NO_EVERY));
                }
                self.struck(now, *fault, does, whose);
            }
        }
        let is_over =
            |rule: &FaultRule, applied| matches!(rule.when, When::Next(n) if applied >= u64::from(n));
        let over = faults.rules().filter(|(_, rule, _, applied)| is_over(rule, *applied));
        for id in over.map(|(id, ..)| id).collect::<Vec<_>>() {
            faults.remove(id);
            rules.remove(&id);
        }
    }

    /// Holds the exchange's limits against us.
    fn look_at_limits(&self, world: &World) {
        let now = world.executor.now();
        for face in FACES {
            let counted = self.server.borrow().exchange().breaches(face);
            let mut ban = self.bans.borrow()[place_of(face)];
            let around = Around {
                now,
                life: world.serving().map(|life| (life.number, world.up_since.get())),
                ended: world.ended_at.get(),
                rough_at: self.ways.borrow().rough_at[place_of(face)],
                held_up_until: world.disturbed_until.get(),
                clocks_apart: match &world.plan.mix {
                    mix if mix.has(Fault::ClockSet) || mix.has(Fault::ExchangeClock) => CLOCKS_SET,
                    mix if mix.has(Fault::ExchangeSkew) => CLOCKS_SKEWED,
                    _ => Nanos(0),
                },
                banned_until: ban.until,
            };
            let found = self.limits.borrow_mut()[place_of(face)].look(face, counted, around);
            // One that we brought on ourselves, in restarts that forgot what was spent, ends by itself.
            let own_ban = || {
                let until = self.server.borrow().exchange().banned_until(wall(now), face, HERE.ip());
                let left = until.map(|until| Nanos::from_micros(until.micros_since(wall(now))));
                left.filter(|left| *left <= OWN_BAN_MAX)
            };
            let span = match found {
                Finding::Nothing => continue,
                // The last of many refusals is a ban, and who obeys that is told of nothing more.
                Finding::Refused if face == FaceKind::Binance => {
                    own_ban().map_or(LIMITED_BINANCE, |left| left.max(LIMITED_BINANCE))
                }
                Finding::Refused => LIMITED_BYBIT,
                Finding::ShutOut if face == FaceKind::Binance => own_ban().unwrap_or(ban.until.since(now)),
                Finding::ShutOut => BAN_BYBIT,
                Finding::Violation(ref what) => return world.judge.borrow_mut().violate(what.clone()),
            };
            world.judge.borrow_mut().note(|| {
                let refused = matches!(found, Finding::Refused);
                format!(
                    "{face:?} refuses (banned: {}); what waits may wait for {} ms",
                    !refused,
                    span.as_micros() / 1_000
                )
            });
            match found {
                Finding::Refused => ban.held_until = ban.held_until.max(now.plus(span)),
                _ => ban.hold_until(now.plus(span)),
            }
            self.bans.borrow_mut()[place_of(face)] = ban;
            self.ways.borrow_mut().faces[place_of(face)].extend(now, span.plus(LOOK_AGAIN), CATCH_UP);
        }
    }

    /// For how long its limits were held against us, where somebody has an account.
    pub(super) fn count_limits(&self, judged: &mut Judged) {
        for face in FACES {
            if self.accounts.values().any(|held| held.face() == face) {
                self.limits.borrow()[place_of(face)].count(judged);
            }
        }
    }

    /// Orders that it was given; notes what the run came to here.
    pub(super) fn finish(&self, judge: &mut Judge) -> u64 {
        let orders: usize =
            self.look(|accounts, core| accounts.values().map(|held| core.all_orders(held.no).len()).sum());
        let bare = self.bare.borrow().time();
        let breaches = FACES.map(|face| self.server.borrow().exchange().breaches(face));
        judge.note(|| format!("exchange: {orders} orders, {breaches:?}, {bare:?}"));
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
        let quiet = server
            .quiet(now.0)
            .map(|span| now.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)));
        let due = self.internet.borrow().next_due_ns().into_iter().chain(quiet).min();
        // A moment that is due already is looked at again in a microsecond: time moves with it.
        Nanos(due.unwrap_or(now.0 + 1_000_000_000).max(now.0 + 1_000))
    }
}

/// Both exchanges are at one address.
fn book(environment: Environment) -> AddressBook {
    let at = |VenuePlace { venue, environment, .. }| LiveAt {
        venue,
        environment,
        host: "198.51.100.9".to_owned(),
        port: 80,
        security: Security::Plain,
    };
    let mut book = AddressBook::new(places(environment).map(at).to_vec());
    book.resolve(&places(environment)).expect("an address resolves to itself");
    book
}

/// The exchange at work, until the run ends.
pub(super) async fn serve(world: Rc<World>) {
    let Some(exchange) = world.exchange.clone() else { return };
    while !world.is_over() {
        exchange.news.set(false);
        let next = exchange.step(&world);
        exchange.count(&world);
        exchange.look_at_limits(&world);
        let news = Rc::clone(&exchange.news);
        or(world.executor.until(move || news.get()), world.executor.sleep_until(next)).await;
    }
}
