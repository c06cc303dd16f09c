//! A shard with a log, a venue and a clock that the test holds in its hands.

#![allow(dead_code, unreachable_pub, reason = "shared by several test programs; none uses all of it")]

use engine::core::command::{Command, SignalDraft};
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, ClientOrderId, SourceId, Timestamp, UserId};
use engine::core::instrument::{Brackets, Instrument, InstrumentStatus, MarketView, Quote, Symbol};
use engine::core::order::{NewOrder, VenueReport};
use engine::core::rules::{Rules, Settings};
use engine::core::signal::SignalKind;
use engine::core::state::State;
use engine::core::user::{User, VenueKind};
use engine::seam::{Clock, Nanos};
use engine::shard::ask::{Answer, Ask, Auth, Message, Op, ReplyTo};
use engine::shard::limits::MESH_CAPACITY;
use engine::shard::mesh::Mesh;
use engine::shard::ports::{Gateway, Journal, JournalFailed, Lsn, Moment, Reads, VenueBusy};
use engine::shard::worker::{Shard, ShardParts};
use ringbuf::mesh::{Port, mesh};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

#[derive(Clone, Default)]
pub struct Hand {
    pub room: Rc<Cell<usize>>,
    pub last: Rc<Cell<u64>>,
    pub durable: Rc<Cell<u64>>,
    pub venue_busy: Rc<Cell<bool>>,
    /// The venue of this user alone takes nothing.
    pub busy_for: Rc<Cell<Option<UserId>>>,
    pub told: Rc<RefCell<Vec<VenueReport>>>,
}

impl Journal for Hand {
    fn room_bytes(&self) -> usize {
        self.room.get()
    }
    fn append(&mut self, _record: &[u8]) -> Result<Lsn, JournalFailed> {
        self.last.set(self.last.get() + 1);
        Ok(Lsn(self.last.get()))
    }
    fn last(&self) -> Lsn {
        Lsn(self.last.get())
    }
    fn durable(&self) -> Lsn {
        Lsn(self.durable.get())
    }
}

pub struct Venue {
    pub sent: Vec<ClientOrderId>,
    pub queried: Vec<ClientOrderId>,
    pub cancelled: Vec<ClientOrderId>,
    busy: Rc<Cell<bool>>,
    busy_for: Rc<Cell<Option<UserId>>>,
    told: Rc<RefCell<Vec<VenueReport>>>,
    instrument: Option<Instrument>,
}

pub fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").expect("a symbol")
}

impl MarketView for Venue {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.instrument.as_ref().filter(|i| i.symbol == symbol)
    }
    fn quote(&self, _symbol: Symbol) -> Option<Quote> {
        Some(Quote { mark: Price::from_whole(20_000) })
    }
}

impl Venue {
    fn is_busy(&self, id: ClientOrderId) -> bool {
        self.busy.get() || self.busy_for.get() == Some(id.account.user)
    }
}

impl Gateway for Venue {
    fn open_account(&mut self, _account: AccountId, _wallet: Money) {}
    fn restore(&mut self, _user: &User) -> Result<(), String> {
        Ok(())
    }
    fn submit(&mut self, _now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy> {
        if self.is_busy(order.id) {
            return Err(VenueBusy);
        }
        self.sent.push(order.id);
        Ok(())
    }
    fn cancel(&mut self, _now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        if self.is_busy(id) {
            return Err(VenueBusy);
        }
        self.cancelled.push(id);
        Ok(())
    }
    fn query(&mut self, _now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        self.queried.push(id);
        Ok(())
    }
    fn poll(&mut self, _now: Timestamp, _budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        self.told.borrow_mut().drain(..).map(sink).count()
    }
    fn next_due(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
}

pub struct CountUsers;

impl Reads for CountUsers {
    type Question = ();
    type Answer = usize;
    fn read(state: &State, _: &Rules, _: &impl MarketView, _: Timestamp, (): ()) -> usize {
        state.users().len()
    }
}

#[derive(Clone)]
pub struct Still;

impl Clock for Still {
    fn monotonic(&self) -> Nanos {
        Nanos(1)
    }
    fn wall_micros(&self) -> u64 {
        0
    }
}

pub type Desk = Shard<CountUsers, Hand, Venue>;

pub fn instrument() -> Instrument {
    Instrument {
        symbol: symbol(),
        status: InstrumentStatus::Trading,
        tick: Price::from_units(10_000_000),
        step: Quantity::from_units(100_000),
        quantity_min: Quantity::from_units(100_000),
        quantity_max_limit: Quantity::from_whole(1_000),
        quantity_max_market: Quantity::from_whole(100),
        notional_min: Money::from_whole(5),
        leverage_max: 100,
        maintenance: Rate::from_units(400_000),
        brackets: Brackets::NONE,
        fee_taker: Rate::from_units(50_000),
        fee_maker: Rate::from_units(20_000),
        fee_liquidation: Rate::from_units(1_250_000),
    }
}

fn venue(hand: &Hand) -> Venue {
    let (busy, told) = (Rc::clone(&hand.venue_busy), Rc::clone(&hand.told));
    Venue {
        instrument: Some(instrument()),
        busy,
        busy_for: Rc::clone(&hand.busy_for),
        told,
        sent: Vec::new(),
        queried: Vec::new(),
        cancelled: Vec::new(),
    }
}

/// Empty shards in one mesh.
pub fn shards(count: usize) -> Vec<(Desk, Hand)> {
    mesh(count, MESH_CAPACITY).into_iter().map(|port| shard(State::default(), port, count)).collect()
}

/// A shard alone, with these users.
pub fn shard_of(state: State) -> (Desk, Hand) {
    shard(state, mesh(1, MESH_CAPACITY).pop().expect("one"), 1)
}

fn shard(state: State, port: Port<Message<CountUsers>>, count: usize) -> (Desk, Hand) {
    let hand = Hand::default();
    hand.room.set(usize::MAX);
    let parts = ShardParts {
        state,
        rules: Rules { source_opens_max: u32::MAX, repeat_kept_min: 0, ..Rules::default() },
        journal: hand.clone(),
        gateway: venue(&hand),
        mesh: Mesh::new(port, vec![None; count]),
    };
    (Shard::new(parts), hand)
}

pub fn now() -> Moment {
    Moment { mono: Nanos(1), wall: Timestamp(1_700_000_000_000_000) }
}

pub fn ask(user: UserId, command: Command) -> Ask<()> {
    Ask { auth: Auth::Open, op: Op::Command(command), user }
}

/// So long after [`now`].
pub fn later(span: Nanos) -> Moment {
    let now = now();
    Moment { mono: now.mono.plus(span), wall: now.wall.plus_micros(span.as_micros()) }
}

pub fn turn(desk: &mut Desk) {
    while desk.turn(now(), &Still) && desk.answers().is_empty() {}
}

pub fn flush(desk: &mut Desk, hand: &Hand) {
    hand.durable.set(hand.last.get());
    desk.durable(now(), Lsn(hand.last.get()));
}

pub fn settle(desk: &mut Desk, hand: &Hand) {
    for _ in 0..50 {
        desk.turn(now(), &Still);
        flush(desk, hand);
    }
}

pub fn signal(source: SourceId, kind: SignalKind, key: u64) -> Command {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.to_le_bytes());
    let draft = SignalDraft {
        kind,
        symbol: symbol(),
        price: None,
        leverage: None,
        stop_loss: None,
        take_profit: None,
        at: None,
        key: bytes,
        key_is_lasting: true,
        body: String::new(),
    };
    Command::Signal { source, draft: Box::new(draft) }
}

pub const LONG: SignalKind = SignalKind::OpenLong { strong: false };

/// Who subscribes in [`house`].
pub fn user(n: u32) -> UserId {
    UserId::from_email(&format!("user{n}@example.com"))
}

/// One shard with a publisher and so many subscribers.
pub fn house(subscribers: u32) -> (Desk, Hand, SourceId) {
    let (mut desk, hand) = shards(1).pop().expect("one");
    let publisher = UserId::from_email("publisher@example.com");
    let source = SourceId { owner: publisher, index: 0 };
    let sign_up = |email: String| Command::SignUp { email, password: String::new(), zone: String::new() };
    let mut commands = vec![
        (publisher, sign_up("publisher@example.com".into())),
        (publisher, Command::CreateSource { user: publisher, name: "s".into(), secret: [1; 32] }),
    ];
    for n in 0..subscribers {
        let email = format!("user{n}@example.com");
        let user = UserId::from_email(&email);
        commands.push((user, sign_up(email)));
        commands.push((user, Command::OpenAccount { user, venue: VenueKind::Paper, wallet: None }));
        commands.push((user, Command::Subscribe { user, source, account: 0, settings: Settings::default() }));
    }
    for (user, command) in commands {
        desk.ask(now(), ask(user, command), ReplyTo(0));
        settle(&mut desk, &hand);
    }
    assert!(desk.answers().drain(..).all(|(_, answer)| matches!(answer, Answer::Decided(Ok(_)))));
    (desk, hand, source)
}

pub fn answered(desk: &mut Desk, reply: u64) -> Option<Answer<usize>> {
    let place = desk.answers().iter().position(|(to, _)| *to == ReplyTo(reply))?;
    Some(desk.answers().remove(place).1)
}
