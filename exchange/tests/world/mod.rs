//! A whole shard (core, timers, effects, log in memory) with a connector, and the paper exchange, on virtual time: what
//! passes between them can be late, lost, torn off, and the shard can be killed and recovered from its log.
//!
//! **Invariants**: everything follows from the seed. What the exchange holds is looked at directly, not through what the
//! connector says.

#![allow(dead_code, unreachable_pub, reason = "shared by several test programs; none uses all of it")]

mod gateway;
mod meddling;
mod network;
mod shut;
mod start;

use std::collections::BTreeMap;

use engine::core::apply::apply_record;
use engine::core::codec;
use engine::core::command::{Command, SignalDraft};
use engine::core::fixed::{Money, Price, Rate};
use engine::core::ids::{AccountId, ClientOrderId, SourceId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::key::{KeyHint, KeyKind as CoreKeyKind, NewKey, Sealed};
use engine::core::order::{OrderState, Side};
use engine::core::rules::{Rules, Settings, Sizing};
use engine::core::signal::SignalKind;
use engine::core::state::State;
use engine::core::user::User;
use engine::core::venue_account::{Environment, LiveVenues, VenuePlace};
use engine::seam::{Clock, Nanos};
use engine::shard::ask::{Answer, Ask, Auth, Op, ReplyTo};
use engine::shard::limits::MESH_CAPACITY;
use engine::shard::mesh::Mesh;
use engine::shard::ports::{Journal, JournalFailed, Lsn, Moment, Reads};
use engine::shard::worker::{Shard, ShardParts};
use exchange::live::connector::{Connector, Notice, Outgoing, Shape};
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::pacing::{AddressBudget, Pacer};
use exchange::paper_exchange::core::Core;
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::{AccountNo, FaceKind, PaperExchange};
use gateway::LiveGateway;
use network::Network;
pub use network::Weather;
use ringbuf::mesh::mesh;
use shut::Shut;
pub use start::Start;

pub const SECOND: u64 = 1_000_000;
/// 2023-11-14 22:13:20 UTC: not near a funding boundary.
pub const START: Timestamp = Timestamp(1_700_000_000 * SECOND);

/// The log: what was flushed survives a kill, the rest does not.
#[derive(Default)]
pub struct Memory {
    records: Vec<Vec<u8>>,
    durable: usize,
}

impl Journal for Memory {
    fn room_bytes(&self) -> usize {
        usize::MAX
    }
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalFailed> {
        self.records.push(record.to_vec());
        Ok(Lsn(self.records.len() as u64))
    }
    fn last(&self) -> Lsn {
        Lsn(self.records.len() as u64)
    }
    fn durable(&self) -> Lsn {
        Lsn(self.durable as u64)
    }
}

pub struct NoReads;

impl Reads for NoReads {
    type Question = ();
    type Answer = ();
    fn read(_: &State, _: &Rules, _: &impl engine::core::instrument::MarketView, _: Timestamp, (): ()) {}
}

#[derive(Clone, Copy)]
struct At(Timestamp);

impl Clock for At {
    fn monotonic(&self) -> Nanos {
        Nanos::from_micros(self.0.0 - START.0 + 1)
    }
    fn wall_micros(&self) -> u64 {
        self.0.0
    }
}

/// A small seeded generator (SplitMix64).
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
    pub fn chance(&mut self, millionths: u64) -> bool {
        self.below(1_000_000) < millionths
    }
}

/// An account on both sides.
pub struct Trader {
    pub user: UserId,
    pub account: AccountId,
    pub no: AccountNo,
    key: (String, String),
    /// What is open without a live stop: when it was seen so last, and for how long it has been, in microseconds. The time in which
    /// the exchange takes nothing from us is left out.
    bare: BTreeMap<Symbol, (Timestamp, u64)>,
    /// The longest such span.
    pub bare_longest: u64,
}

type Desk<P> = Shard<NoReads, Memory, LiveGateway<P>>;

/// See the module's head.
pub struct World<P: Shape> {
    pub now: Timestamp,
    pub dice: Dice,
    pub exchange: PaperExchange,
    pub traders: Vec<Trader>,
    pub source: SourceId,
    network: Network,
    desk: Option<Desk<P>>,
    /// What the last process left, while there is none.
    log: Vec<Vec<u8>>,
    next_key: u64,
    next_reply: u64,
    pub kills: u32,
    /// Requests by HTTP, by method and path: how many were sent.
    pub calls: BTreeMap<String, u32>,
    environment: Environment,
    limits: VenueLimits,
    rules: Rules,
    /// What the exchange takes nothing for.
    shut: Shut,
}

pub trait Spoken: Shape {
    const FACE: FaceKind;
    const PACING: VenueLimits;
}

impl Spoken for exchange::live::binance::Binance {
    const FACE: FaceKind = FaceKind::Binance;
    const PACING: VenueLimits = VenueLimits::BINANCE;
}

impl Spoken for exchange::live::bybit::Bybit {
    const FACE: FaceKind = FaceKind::Bybit;
    const PACING: VenueLimits = VenueLimits::BYBIT;
}

pub fn symbol(name: &str) -> Symbol {
    Symbol::new(name).expect("a symbol")
}

impl<P: Spoken> World<P> {
    /// A publisher and so many traders, each with an account on the exchange that is connected and compared.
    pub fn new(seed: u64, traders: usize, weather: Weather) -> Self {
        Self::with(seed, traders, weather, Start::usual(seed))
    }

    /// The same with something different.
    pub fn with(seed: u64, traders: usize, weather: Weather, start: Start) -> Self {
        let Start { settings, margins, symbols, prepare, environment, limits } = start;
        let mut exchange = PaperExchange::new(settings, seed).expect("a usable exchange");
        exchange.poll(START, &mut |_, _| {});
        let live = LiveVenues::default().with(P::VENUE, environment);
        let mut world = Self {
            now: START,
            dice: Dice(seed ^ 0x5eed),
            exchange,
            traders: Vec::new(),
            source: SourceId { owner: UserId::from_email("publisher@example.com"), index: 0 },
            network: Network::new(weather),
            desk: None,
            log: Vec::new(),
            next_key: 1,
            next_reply: 1,
            kills: 0,
            calls: BTreeMap::new(),
            environment,
            limits: limits.unwrap_or(P::PACING),
            shut: Shut::default(),
            rules: Rules { live, cooldown: 0, daily_loss_max: Rate::from_whole(1), ..Rules::default() },
        };
        world.boot(State::default(), Memory::default());
        let publisher = world.source.owner;
        world.ask(publisher, sign_up("publisher@example.com"));
        world.ask(publisher, Command::CreateSource { user: publisher, name: "s".into(), secret: [1; 32] });
        if !symbols.is_empty() {
            // What is not listed cannot be named.
            world.until("listed", 10 * SECOND, |w| !w.connector().instruments().is_empty());
        }
        for n in 0..traders {
            let margin = margins.get(n).or(margins.last()).copied().expect("a margin");
            world.join(n, margin, &symbols, prepare);
        }
        world
    }

    fn join(&mut self, n: usize, margin: i64, symbols: &[&str], prepare: fn(&mut Core, AccountNo, usize)) {
        let email = format!("trader{n}@example.com");
        let user = UserId::from_email(&email);
        let (api_key, secret) = (format!("key{n}"), format!("secret-of-{n}-that-nobody-guesses"));
        let wallet = Money::from_whole(10_000);
        let no = self.exchange.core.open_account(P::FACE, wallet).expect("room for an account");
        self.exchange.core.add_key(no, &KeySpec::hmac(&api_key, &secret)).expect("a usable key");
        prepare(&mut self.exchange.core, no, n);
        let account = AccountId { user, index: 0 };
        self.traders.push(Trader {
            user,
            account,
            no,
            key: (api_key.clone(), secret),
            bare: BTreeMap::new(),
            bare_longest: 0,
        });
        let key = self.traders[n].key.clone();
        self.desk_mut().gateway_mut().keys.insert(account, key);
        self.ask(user, sign_up(&email));
        let place = VenuePlace { venue: P::VENUE, environment: self.environment, ..VenuePlace::PAPER };
        let key = NewKey {
            kind: CoreKeyKind::Hmac,
            hint: KeyHint::of(&api_key),
            sealed: Sealed(vec![1; 64].into_boxed_slice()),
        };
        self.ask(user, Command::ConnectAccount { user, index: 0, place, key });
        let settings = Settings {
            sizing: Sizing::FixedMargin(Money::from_whole(margin)),
            leverage: 5,
            symbols: symbols.iter().map(|name| symbol(name)).collect(),
            ..Settings::default()
        };
        self.ask(user, Command::Subscribe { user, source: self.source, account: 0, settings });
    }

    /// Enters a key of this account of the exchange: another one for an account that the trader has connected, or the first of
    /// a further one.
    pub fn enter_key(&mut self, n: usize, index: u8, no: AccountNo) {
        let (name, secret) = (format!("key{n}of{}", self.next_reply), format!("secret-of-{n}-and-{index}"));
        self.exchange.core.add_key(no, &KeySpec::hmac(&name, &secret)).expect("a usable key");
        let user = self.traders[n].user;
        let key = NewKey {
            kind: CoreKeyKind::Hmac,
            hint: KeyHint::of(&name),
            sealed: Sealed(vec![1; 64].into_boxed_slice()),
        };
        self.desk_mut().gateway_mut().keys.insert(AccountId { user, index }, (name, secret));
        let place = VenuePlace { venue: P::VENUE, environment: self.environment, ..VenuePlace::PAPER };
        let known = self.user(n).accounts.len() > usize::from(index);
        self.ask(
            user,
            if known {
                Command::SetKey { user, account: index, key }
            } else {
                Command::ConnectAccount { user, index, place, key }
            },
        );
    }

    fn boot(&mut self, state: State, journal: Memory) {
        let shared = AddressBudget::new(self.limits, 1).expect("usable limits");
        let mut gateway = LiveGateway::new(Connector::<P>::new(Pacer::new(shared), 1), self.now);
        for trader in &self.traders {
            gateway.keys.insert(trader.account, trader.key.clone());
        }
        let port = mesh(1, MESH_CAPACITY).pop().expect("one");
        let mut desk = Shard::new(ShardParts {
            state,
            rules: self.rules.clone(),
            journal,
            gateway,
            mesh: Mesh::new(port, vec![None]),
        });
        desk.resume(self.moment()).expect("a venue that takes everything up");
        self.desk = Some(desk);
    }

    fn moment(&self) -> Moment {
        Moment { mono: At(self.now).monotonic(), wall: self.now }
    }

    pub fn desk(&self) -> &Desk<P> {
        self.desk.as_ref().expect("up")
    }

    fn desk_mut(&mut self) -> &mut Desk<P> {
        self.desk.as_mut().expect("up")
    }

    pub fn connector(&self) -> &Connector<P> {
        &self.desk().gateway().connector
    }

    /// What the connector had to say besides orders.
    pub fn notices(&mut self) -> Vec<Notice> {
        let connector = &mut self.desk_mut().gateway_mut().connector;
        std::iter::from_fn(|| connector.take_notice()).collect()
    }

    pub fn user(&self, n: usize) -> &User {
        self.desk().state().by_id(self.traders[n].user).expect("a user")
    }

    /// How bad the network is from now on.
    pub fn weather(&mut self, weather: Weather) {
        self.network.set(weather);
    }

    /// From now on no stream of the market opens, and those that are open break: for tests that let hours pass.
    pub fn without_market_streams(&mut self) {
        self.network.without_market_streams = true;
        self.network.cut(self.now);
    }

    /// Nothing comes through from now on, and what was connected breaks.
    pub fn cut(&mut self) {
        const ALL: u64 = 1_000_000;
        self.network.set(Weather {
            delay_max: 10_000,
            request_lost: ALL,
            answer_lost: ALL,
            unreachable: ALL,
            socket_breaks: ALL,
        });
        self.network.cut(self.now);
    }

    /// Every connection that is open falls silent without ending; new ones are as the weather has it.
    pub fn hush(&mut self) {
        self.network.hush();
    }

    /// The network has enough of what goes over the socket that all orders share, or takes more again.
    pub fn crowd(&mut self, is_crowded: bool) {
        let connector = &mut self.desk_mut().gateway_mut().connector;
        let socket = connector.order_socket().expect("open");
        connector.set_crowded(socket, is_crowded);
    }

    /// Sockets that came up since the beginning.
    pub fn sockets_opened(&self) -> u64 {
        self.network.came_up
    }

    /// The process is killed: what was not flushed is lost, connections break, and a new one recovers from the log.
    pub fn kill(&mut self) {
        self.down();
        self.up();
    }

    /// The process is killed, and none takes its place before [`World::up`].
    pub fn down(&mut self) {
        self.kills += 1;
        let mut dead = self.desk.take().expect("up");
        let memory = std::mem::take(dead.journal_mut());
        drop(dead);
        self.network.all_break(&mut self.exchange);
        self.log = memory.records[..memory.durable].to_vec();
    }

    /// Time passes at the exchange while no process of ours runs.
    pub fn pass(&mut self, span: u64) {
        let end = self.now.plus_micros(span);
        while self.now < end {
            self.now = self.now.plus_micros(600 * SECOND).min(end);
            while self.exchange.poll(self.now, &mut |_, _| {}) {}
        }
    }

    /// A process begins, from the log of the last one.
    pub fn up(&mut self) {
        let records = std::mem::take(&mut self.log);
        let mut state = State::default();
        for bytes in &records {
            let record = codec::decode_record(bytes).expect("what was written");
            apply_record(&mut state, &record);
        }
        let durable = records.len();
        self.boot(state, Memory { records, durable });
    }

    fn ask(&mut self, user: UserId, command: Command) {
        let now = self.moment();
        let reply = ReplyTo(self.next_reply);
        self.next_reply += 1;
        self.desk_mut().ask(now, Ask { auth: Auth::Open, op: Op::Command(command), user }, reply);
        for _ in 0..10_000 {
            self.step(SECOND / 1_000);
            let place = self.desk_mut().answers().iter().position(|(to, _)| *to == reply);
            if let Some(place) = place {
                let answer = self.desk_mut().answers().remove(place).1;
                assert!(matches!(answer, Answer::Decided(Ok(_))), "refused: {:?}", text_of(&answer));
                return;
            }
        }
        panic!("no answer");
    }

    /// A signal of the source, to all traders.
    pub fn signal(&mut self, kind: SignalKind, name: &str) {
        self.signal_with(kind, name, None);
    }

    /// The same with a leverage of its own.
    pub fn signal_with(&mut self, kind: SignalKind, name: &str, leverage: Option<u8>) {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.next_key.to_le_bytes());
        self.next_key += 1;
        let draft = SignalDraft {
            kind,
            symbol: symbol(name),
            price: None,
            leverage,
            stop_loss: None,
            take_profit: None,
            at: None,
            key,
            key_is_lasting: true,
            body: String::new(),
        };
        let source = self.source;
        self.ask(source.owner, Command::Signal { source, draft: Box::new(draft) });
    }

    /// Lets at most `span` microseconds pass: does what is due now, then goes on to what is due next.
    pub fn step(&mut self, span: u64) {
        let end = self.now.plus_micros(span);
        loop {
            self.turn();
            let next = self.next_due().min(end);
            if next >= end {
                self.now = end;
                self.turn();
                return;
            }
            self.now = next.max(self.now.plus_micros(1));
        }
    }

    /// Lets time pass until something holds; fails after `span`.
    pub fn until(&mut self, what: &str, span: u64, mut holds: impl FnMut(&Self) -> bool) {
        let end = self.now.plus_micros(span);
        while !holds(self) {
            assert!(self.now < end, "{what}: not within {} s; {}", span / SECOND, self.picture());
            self.step(20_000);
        }
    }

    fn next_due(&self) -> Timestamp {
        let far = self.now.plus_micros(3_600 * SECOND);
        let desk = self.desk().next_due(self.now);
        let exchange = self.exchange.next_due(self.now);
        let network = self.network.next_due();
        let soonest = desk.into_iter().chain(exchange).chain(network).min().unwrap_or(far);
        // A shard looks round at least this often.
        soonest.max(self.now.plus_micros(100)).min(self.now.plus_micros(250_000))
    }

    fn turn(&mut self) {
        let now = self.moment();
        let clock = At(self.now);
        for _ in 0..8 {
            while self.exchange.poll(self.now, &mut |conn, out| self.network.send_back(self.now, conn, out)) {
            }
            let desk = self.desk.as_mut().expect("up");
            desk.gateway_mut().now = self.now;
            self.network.deliver(
                self.now,
                &mut self.dice,
                &mut self.exchange,
                &mut desk.gateway_mut().connector,
            );
            let more = desk.turn(now, &clock);
            let last = desk.journal().last();
            desk.journal_mut().durable = usize::try_from(last.0).expect("small");
            desk.durable(now, last);
            let mut moved = false;
            while let Some(outgoing) = desk.gateway_mut().connector.take_outgoing() {
                moved = true;
                if let Outgoing::Call { call, .. } = &outgoing {
                    let path = call.target.split('?').next().unwrap_or_default();
                    *self.calls.entry(format!("{} {path}", call.method)).or_default() += 1;
                }
                self.network.send(self.now, &mut self.dice, outgoing);
            }
            if !more && !moved && !self.network.is_due(self.now) {
                break;
            }
        }
        self.watch_limits();
        self.watch_protection();
    }

    /// Looks at the exchange itself: what is open there without a live stop, and since when.
    fn watch_protection(&mut self) {
        for trader in &mut self.traders {
            let Some(account) = self.exchange.core.account(trader.no) else { continue };
            let open: Vec<(Symbol, Side)> = account.positions.iter().map(|(s, p)| (*s, p.side)).collect();
            trader.bare.retain(|symbol, _| open.iter().any(|(s, _)| s == symbol));
            for (symbol, side) in open {
                let covered = self.exchange.core.open_orders(trader.no).any(|order| {
                    order.spec.symbol == symbol
                        && order.spec.side == side.opposite()
                        && order.spec.trigger.is_some_and(|t| t.rising == (order.spec.side == Side::Buy))
                        && !order.state.is_final()
                        && (order.fired_as.is_none() || order.went_live)
                });
                if covered {
                    trader.bare.remove(&symbol);
                } else {
                    let (looked, span) = trader.bare.entry(symbol).or_insert((self.now, 0));
                    *span += self.now.micros_since((*looked).max(self.shut.until()));
                    *looked = self.now;
                    trader.bare_longest = trader.bare_longest.max(*span);
                }
            }
        }
    }

    /// What must hold when all is quiet.
    pub fn check(&self) {
        for (n, trader) in self.traders.iter().enumerate() {
            let user = self.user(n);
            let account = self.exchange.core.account(trader.no).expect("an account");
            // Never two orders for one intent.
            let mut seen: BTreeMap<String, u32> = BTreeMap::new();
            for order in self.exchange.core.all_orders(trader.no) {
                if ClientOrderId::parse(order.client_id()).is_some() {
                    *seen.entry(order.client_id().to_owned()).or_default() += 1;
                }
            }
            for (id, count) in &seen {
                assert_eq!(*count, 1, "{id} was placed {count} times; {}", self.picture());
            }
            // What is open there is what we say.
            for (symbol, position) in &account.positions {
                let ours = user.position_on(0, *symbol).map(|p| (p.side, p.quantity));
                assert_eq!(ours, Some((position.side, position.quantity)), "{symbol}; {}", self.picture());
            }
            for position in &user.positions {
                let there = account.positions.contains_key(&position.symbol);
                assert!(
                    there || position.quantity.is_zero(),
                    "{} is not there; {}",
                    position.symbol,
                    self.picture()
                );
            }
            // The ledger is the exchange's own account, to the last unit.
            assert_eq!(user.wallet(0), account.wallet, "the wallet; {}", self.picture());
            let moved =
                user.ledger.statement().iter().filter(|e| e.key.text().starts_with("transfer:")).count();
            assert_eq!(moved, 1, "only the first look at the wallet may find money; {}", self.picture());
        }
    }

    /// No order is open in the engine's eyes.
    pub fn is_flat(&self) -> bool {
        (0..self.traders.len()).all(|n| self.user(n).positions.is_empty() && self.user(n).orders.is_empty())
    }

    /// Every trader has a position that is fully entered, with both triggers live.
    pub fn is_open(&self) -> bool {
        (0..self.traders.len()).all(|n| {
            let user = self.user(n);
            let live = |o: &&engine::core::position::Order| {
                o.new.kind.is_trigger() && o.state == OrderState::Submitted
            };
            user.positions.len() == 1
                && user.orders.iter().filter(live).count() == 2
                && user.orders.len() == 2
        })
    }

    /// The connectors are up and every account has been compared and its key found good.
    pub fn is_ready(&self) -> bool {
        self.traders.iter().enumerate().all(|(n, t)| {
            self.connector().standing(t.account).0
                && self.user(n).accounts[0].key_state.is_good()
                && !self.user(n).wallet(0).is_zero()
        })
    }

    /// The price goes there, through everything in between.
    pub fn price(&mut self, name: &str, price: Price) {
        let now = self.now;
        self.exchange.core.hand_price(now, symbol(name), price, false).expect("a listed symbol");
    }

    pub fn mark(&self, name: &str) -> Price {
        self.exchange.core.mark(symbol(name)).expect("a price")
    }

    /// For failures: both sides, in short.
    pub fn picture(&self) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "at +{} ms, kills {}, {:?}, {:?}\n",
            (self.now.0 - START.0) / 1_000,
            self.kills,
            self.connector().metrics(),
            self.calls
        );
        let _ = writeln!(text, " asked: {:?}", self.network.asked);
        for (n, trader) in self.traders.iter().enumerate() {
            let user = self.user(n);
            for p in &user.positions {
                let _ = writeln!(text, " ours {n}: {} {:?} {} {:?}", p.symbol, p.side, p.quantity, p.state);
            }
            for o in &user.orders {
                let _ = writeln!(
                    text,
                    " connector {n}: {:?} {}",
                    o.new.id.leg,
                    self.connector().order_text(o.new.id)
                );
            }
            for o in user.orders.iter().chain(user.final_orders.iter()) {
                let _ = writeln!(
                    text,
                    " ours {n}: {:?} r{} {:?} filled {} {:?}",
                    o.new.id.leg, o.new.id.round, o.state, o.filled, o.reason
                );
            }
            if let Some(account) = self.exchange.core.account(trader.no) {
                for (symbol, p) in &account.positions {
                    let _ = writeln!(text, " there {n}: {symbol} {:?} {}", p.side, p.quantity);
                }
                let _ = writeln!(
                    text,
                    " wallets {n}: ours {} there {}; standing {:?}",
                    user.wallet(0),
                    account.wallet,
                    self.connector().standing(trader.account)
                );
            }
            for o in self.exchange.core.all_orders(trader.no) {
                let leg = ClientOrderId::parse(o.client_id()).map(|id| (id.leg, id.round));
                let _ = writeln!(text, " there {n}: {leg:?} {:?} filled {}", o.state, o.filled);
            }
        }
        text
    }
}

fn sign_up(email: &str) -> Command {
    Command::SignUp { email: email.into(), password: String::new(), zone: String::new() }
}

fn text_of(answer: &Answer<()>) -> String {
    match answer {
        Answer::Decided(result) => format!("{result:?}"),
        _ => "not decided".into(),
    }
}

/// The credential of a trader, as the vault would give it.
pub fn credential((api_key, secret): &(String, String)) -> Credential {
    Credential::new(KeyKind::Hmac, api_key, secret).expect("a usable key")
}
