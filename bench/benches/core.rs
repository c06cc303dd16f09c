//! What one decision costs, and how fast a log is read back.
//!
//! **Question**: time of decide + apply for an open order, for the fill of an entry (which makes stop and take-profit) and
//! for the fill of a close (which settles the position); of a record's encoding into a reused buffer; and events per
//! second of recovery: validated access, deserialisation and apply from an empty state.
//! **Load**: 10,000 users with some history each, visited in the order a fan-out visits them; 300 instruments.
//! **Command**: `cargo bench -p coinbitclub-bench --bench core`.
//! **Does not show**: the log, the mesh, the venue.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::core::apply::{apply, apply_record};
use engine::core::codec::{Encoder, decode_record};
use engine::core::command::{Command, SignalDraft};
use engine::core::decide::{Calendar, Context, decide};
use engine::core::event::{Event, Record};
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{ClientOrderId, Leg, SourceId, Timestamp, UserId};
use engine::core::instrument::{Brackets, Instrument, InstrumentStatus, MarketView, Quote, Symbol};
use engine::core::order::{Fill, Liquidity, OrderState, VenueReason, VenueReport};
use engine::core::position::order_id;
use engine::core::rules::{MINUTE, Rules, SECOND, Settings};
use engine::core::signal::{Signal, SignalKind};
use engine::core::state::{State, UserIndex};
use engine::core::user::VenueKind;
use rkyv::util::AlignedVec;

const USERS: u32 = 10_000;
/// Positions that each user opened and closed before.
const HISTORY: u32 = 4;
const MARK: Price = Price::from_whole(20_000);

struct Market(Vec<Instrument>);

impl Market {
    fn new() -> Self {
        let mut instruments: Vec<Instrument> = (0..300)
            .map(|n| Instrument {
                symbol: Symbol::new(&if n == 0 { "BTCUSDT".to_owned() } else { format!("ALT{n}USDT") })
                    .expect("a symbol"),
                status: InstrumentStatus::Trading,
                tick: Price::from_units(10_000_000),
                step: Quantity::from_units(100_000),
                quantity_min: Quantity::from_units(100_000),
                quantity_max_limit: Quantity::from_whole(1_000),
                quantity_max_market: Quantity::from_whole(120),
                notional_min: Money::from_whole(5),
                leverage_max: 125,
                maintenance: Rate::from_units(400_000),
                brackets: Brackets::NONE,
                fee_taker: Rate::from_units(50_000),
                fee_maker: Rate::from_units(20_000),
                fee_liquidation: Rate::from_units(1_250_000),
            })
            .collect();
        instruments.sort_by_key(|i| i.symbol);
        Self(instruments)
    }
}

impl MarketView for Market {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.0.binary_search_by_key(&symbol, |i| i.symbol).ok().map(|at| &self.0[at])
    }
    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.instrument(symbol).map(|_| Quote { mark: MARK })
    }
}

struct Days;

impl Calendar for Days {
    fn day_end(&self, _: &str, now: Timestamp) -> Option<Timestamp> {
        let day = 24 * 60 * MINUTE;
        Some(Timestamp((now.0 / day + 1) * day))
    }
}

/// A shard's users and what happens to them.
struct World {
    state: State,
    market: Market,
    rules: Rules,
    now: Timestamp,
    source: SourceId,
    symbol: Symbol,
    signals: u32,
    events: Vec<Event>,
    /// When set, every record is kept.
    log: Option<Log>,
}

/// Records one after the other, each at an aligned place.
#[derive(Default)]
struct Log {
    bytes: AlignedVec<16>,
    places: Vec<(usize, usize)>,
    events: u64,
    encoder: Encoder,
}

impl Log {
    fn push(&mut self, record: &Record) {
        let bytes = self.encoder.record(record);
        self.places.push((self.bytes.len(), bytes.len()));
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        self.events += record.events.len() as u64;
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|(at, len)| &self.bytes[*at..*at + *len])
    }
}

impl World {
    fn new(log: Option<Log>) -> Self {
        let publisher = UserId::from_email("publisher@example.com");
        let mut world = Self {
            state: State::default(),
            market: Market::new(),
            rules: Rules::default(),
            now: Timestamp(1_673_352_000 * SECOND),
            source: SourceId { owner: publisher, index: 0 },
            symbol: Symbol::new("BTCUSDT").expect("a symbol"),
            signals: 0,
            events: Vec::new(),
            log,
        };
        world.sign_up("publisher@example.com");
        world.run(&Command::CreateSource { user: publisher, name: "trend".into(), secret: [1; 32] });
        for n in 0..USERS {
            let email = format!("user{n}@example.com");
            world.sign_up(&email);
            let user = UserId::from_email(&email);
            world.run(&Command::OpenAccount { user, venue: VenueKind::Paper, wallet: None });
            let (source, settings) = (world.source, Settings::default());
            world.run(&Command::Subscribe { user, source, account: 0, settings });
        }
        world
    }

    fn with_history() -> Self {
        let mut world = Self::new(None);
        for _ in 0..HISTORY {
            let signal = world.next_signal();
            world.everyone(|world, at| {
                world.offer(at, &signal);
                world.fill_entry(at, &signal);
                world.close(at);
                world.fill_close(at, &signal);
                world.end_protection(at, &signal);
            });
        }
        world
    }

    fn sign_up(&mut self, email: &str) {
        let password =
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo".into();
        self.run(&Command::SignUp { email: email.into(), password, zone: String::new() });
    }

    fn run(&mut self, command: &Command) {
        let cx = Context { now: self.now, rules: &self.rules, market: &self.market, calendar: &Days };
        let (user, _) = decide(&self.state, &cx, command, &mut self.events).expect("taken");
        if let Some(log) = &mut self.log {
            log.push(&Record { user, at: self.now, events: self.events.clone() });
        }
        match self.state.find(user) {
            Some(at) => {
                for event in &self.events {
                    apply(&mut self.state, at, self.now, event);
                }
            }
            None => {
                let events = self.events.clone();
                apply_record(&mut self.state, &Record { user, at: self.now, events });
            }
        }
        self.events.clear();
    }

    /// Every subscriber, in the order of a fan-out.
    fn everyone(&mut self, mut act: impl FnMut(&mut Self, UserIndex)) {
        for n in 1..=USERS {
            act(self, UserIndex(n));
        }
    }

    /// The next open; past every cool-down.
    fn next_signal(&mut self) -> Signal {
        self.now = self.now.plus_micros(self.rules.cooldown + MINUTE);
        self.signals += 1;
        let mut key = [0; 16];
        key[..4].copy_from_slice(&self.signals.to_le_bytes());
        let draft = SignalDraft {
            kind: SignalKind::OpenLong { strong: false },
            symbol: self.symbol,
            price: Some(MARK),
            leverage: None,
            stop_loss: None,
            take_profit: None,
            at: Some(self.now),
            key,
            key_is_lasting: true,
            body: r#"{"ticker":"BTCUSDT","action":"buy"}"#.into(),
        };
        self.run(&Command::Signal { source: self.source, draft: Box::new(draft) });
        let source = self.state.source(self.source).expect("known");
        let signal = source.signal(self.signals).expect("kept").signal;
        self.run(&Command::FinishSignal { signal: signal.id, counts: Default::default() });
        signal
    }

    #[inline]
    fn offer(&mut self, at: UserIndex, signal: &Signal) {
        self.run(&Command::Offer { at, signal: *signal, superseded: false, source_halted: false });
    }

    fn id(&self, at: UserIndex, signal: &Signal, leg: Leg) -> ClientOrderId {
        order_id(signal.id, self.state.user(at).id, 0, leg, 0)
    }

    fn report(&mut self, report: VenueReport) {
        self.run(&Command::Report { report, sent_at: self.now });
    }

    fn fill(&self, price: Price) -> Fill {
        Fill {
            number: 1,
            price,
            quantity: Quantity::from_units(10_000_000),
            fee: Money::from_whole(1),
            liquidity: Liquidity::Taker,
            venue_at: self.now,
        }
    }

    #[inline]
    fn fill_entry(&mut self, at: UserIndex, signal: &Signal) {
        let id = self.id(at, signal, Leg::Entry);
        self.report(VenueReport::Filled { id, fill: self.fill(MARK), last: true });
    }

    #[inline]
    fn close(&mut self, at: UserIndex) {
        let user = self.state.user(at).id;
        self.run(&Command::ClosePosition { user, account: 0, symbol: self.symbol });
    }

    #[inline]
    fn fill_close(&mut self, at: UserIndex, signal: &Signal) {
        let id = self.id(at, signal, Leg::ManualClose);
        let fill = self.fill(Price::from_whole(20_100));
        self.report(VenueReport::Filled { id, fill, last: true });
    }

    fn end_protection(&mut self, at: UserIndex, signal: &Signal) {
        for leg in [Leg::Stop, Leg::TakeProfit] {
            let id = self.id(at, signal, leg);
            let reason = VenueReason::PositionClosed;
            self.report(VenueReport::Ended { id, state: OrderState::Cancelled, reason });
        }
    }

    fn accept(&mut self, at: UserIndex, signal: &Signal, leg: Leg) {
        let id = self.id(at, signal, leg);
        self.report(VenueReport::Accepted { id, venue_at: self.now });
    }
}

/// Times `act` for `iterations` users; `before` and `after` prepare everyone and clean up, untimed.
fn timed(
    world: &mut World,
    iterations: u64,
    before: impl Fn(&mut World, UserIndex, &Signal),
    act: impl Fn(&mut World, UserIndex, &Signal),
    after: impl Fn(&mut World, UserIndex, &Signal),
) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let now = u32::try_from(left.min(u64::from(USERS))).expect("at most USERS");
        let signal = world.next_signal();
        world.everyone(|world, at| before(world, at, &signal));
        let start = Instant::now();
        for n in 1..=now {
            act(world, UserIndex(n), &signal);
        }
        total += start.elapsed();
        for n in now + 1..=USERS {
            act(world, UserIndex(n), &signal);
        }
        world.everyone(|world, at| after(world, at, &signal));
        left -= u64::from(now);
    }
    total
}

fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide+apply");
    let mut world = World::with_history();
    group.bench_function("open an order", |b| {
        b.iter_custom(|n| {
            timed(
                &mut world,
                n,
                |_, _, _| (),
                World::offer,
                |world, at, signal| {
                    let id = world.id(at, signal, Leg::Entry);
                    world.report(VenueReport::Rejected { id, reason: VenueReason::Margin });
                },
            )
        });
    });
    group.bench_function("fill of an entry", |b| {
        b.iter_custom(|n| {
            timed(&mut world, n, World::offer, World::fill_entry, |world, at, signal| {
                world.close(at);
                world.fill_close(at, signal);
                world.end_protection(at, signal);
            })
        });
    });
    group.bench_function("fill of a close", |b| {
        b.iter_custom(|n| {
            timed(
                &mut world,
                n,
                |world, at, signal| {
                    world.offer(at, signal);
                    world.fill_entry(at, signal);
                    world.close(at);
                },
                World::fill_close,
                World::end_protection,
            )
        });
    });
    group.finish();
}

/// Everything that happened to 10,000 users in one life of a position each.
fn whole_log() -> Log {
    let mut world = World::new(Some(Log::default()));
    let signal = world.next_signal();
    world.everyone(|world, at| world.offer(at, &signal));
    world.everyone(|world, at| {
        world.accept(at, &signal, Leg::Entry);
        world.fill_entry(at, &signal);
        world.accept(at, &signal, Leg::Stop);
        world.accept(at, &signal, Leg::TakeProfit);
    });
    world.everyone(World::close);
    world.everyone(|world, at| {
        world.accept(at, &signal, Leg::ManualClose);
        world.fill_close(at, &signal);
        world.end_protection(at, &signal);
    });
    world.log.expect("kept")
}

fn bytes(c: &mut Criterion) {
    let log = whole_log();
    let records: Vec<Record> = log.records().map(|bytes| decode_record(bytes).expect("valid")).collect();
    let intent = |r: &&Record| r.events.iter().any(|e| matches!(e, Event::EntryIntended { .. }));
    let fill = |r: &&Record| r.events.iter().any(|e| matches!(e, Event::ProtectionIntended { .. }));
    let mut group = c.benchmark_group("encode");
    for (name, record) in [
        ("open an order", records.iter().rev().find(intent)),
        ("fill of an entry", records.iter().find(fill)),
    ] {
        let record = record.expect("one of them");
        let mut encoder = Encoder::default();
        group.throughput(Throughput::Bytes(encoder.record(record).len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), record, |b, record| {
            b.iter(|| black_box(encoder.record(black_box(record))).len());
        });
    }
    group.finish();

    let mut group = c.benchmark_group("recovery");
    group.sample_size(20).throughput(Throughput::Elements(log.events));
    println!("log: {} records, {} events, {} bytes", log.places.len(), log.events, log.bytes.len());
    group.bench_function("decode", |b| {
        b.iter(|| log.records().map(|r| decode_record(r).expect("valid").events.len()).sum::<usize>());
    });
    group.bench_function("apply", |b| {
        b.iter_batched(
            State::default,
            |mut state| {
                for record in &records {
                    apply_record(&mut state, record);
                }
                state
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("decode and apply", |b| {
        b.iter_batched(
            State::default,
            |mut state| {
                for bytes in log.records() {
                    apply_record(&mut state, &decode_record(bytes).expect("valid"));
                }
                state
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, decisions, bytes);
criterion_main!(benches);
