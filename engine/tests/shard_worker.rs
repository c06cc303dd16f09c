//! The shard around the core: nothing leaves before it is durable, closes go first and are never refused, full queues answer,
//! a failed log stops everything. With a log, a venue and a clock that the test holds in its hands.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::core::command::{Command, Refusal, Reply, SignalDraft};
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, ClientOrderId, SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::{Instrument, InstrumentStatus, MarketView, Quote, Symbol};
use engine::core::order::{NewOrder, OrderState, VenueReason, VenueReport};
use engine::core::rules::{Rules, Settings};
use engine::core::signal::SignalKind;
use engine::core::state::State;
use engine::core::user::{OutcomeKind, Skip, User, VenueKind};
use engine::seam::{Clock, Nanos};
use engine::shard::ask::{Answer, Ask, Auth, Op, ReplyTo};
use engine::shard::limits::{
    JOURNAL_ROOM_MIN, LANE_CAPACITY, MESH_CAPACITY, REMOTE_ASKS_FOR_CLOSES, REMOTE_ASKS_MAX,
};
use engine::shard::mesh::Mesh;
use engine::shard::ports::{Gateway, Journal, JournalFailed, Lsn, Moment, Reads, ShardId, VenueBusy};
use engine::shard::worker::{Shard, ShardParts};
use ringbuf::mesh::mesh;

#[derive(Clone, Default)]
struct Hand {
    room: Rc<Cell<usize>>,
    last: Rc<Cell<u64>>,
    durable: Rc<Cell<u64>>,
    venue_busy: Rc<Cell<bool>>,
    news: Rc<RefCell<Vec<VenueReport>>>,
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

struct Venue {
    sent: Vec<ClientOrderId>,
    busy: Rc<Cell<bool>>,
    news: Rc<RefCell<Vec<VenueReport>>>,
    instrument: Option<Instrument>,
}

fn symbol() -> Symbol {
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

impl Gateway for Venue {
    fn open_account(&mut self, _account: AccountId, _wallet: Money) {}
    fn restore(&mut self, _user: &User) -> Result<(), String> {
        Ok(())
    }
    fn submit(&mut self, _now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy> {
        if self.busy.get() {
            return Err(VenueBusy);
        }
        self.sent.push(order.id);
        Ok(())
    }
    fn cancel(&mut self, _now: Timestamp, _id: ClientOrderId) -> Result<(), VenueBusy> {
        Ok(())
    }
    fn query(&mut self, _now: Timestamp, _id: ClientOrderId) -> Result<(), VenueBusy> {
        Ok(())
    }
    fn poll(&mut self, _now: Timestamp, _budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        self.news.borrow_mut().drain(..).map(sink).count()
    }
    fn next_due(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
}

struct CountUsers;

impl Reads for CountUsers {
    type Question = ();
    type Answer = usize;
    fn read(state: &State, _: &Rules, _: &impl MarketView, _: Timestamp, (): ()) -> usize {
        state.users().len()
    }
}

#[derive(Clone)]
struct Still;

impl Clock for Still {
    fn monotonic(&self) -> Nanos {
        Nanos(1)
    }
    fn wall_micros(&self) -> u64 {
        0
    }
}

type Desk = Shard<CountUsers, Hand, Venue>;

fn instrument() -> Instrument {
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
        fee_taker: Rate::from_units(50_000),
        fee_maker: Rate::from_units(20_000),
        fee_liquidation: Rate::from_units(1_250_000),
    }
}

fn shards(count: usize) -> Vec<(Desk, Hand)> {
    mesh(count, MESH_CAPACITY)
        .into_iter()
        .map(|port| {
            let hand = Hand::default();
            hand.room.set(usize::MAX);
            let busy = Rc::clone(&hand.venue_busy);
            let news = Rc::clone(&hand.news);
            let gateway = Venue { instrument: Some(instrument()), busy, news, sent: Vec::new() };
            let parts = ShardParts {
                state: State::default(),
                rules: Rules { source_opens_max: u32::MAX, repeat_kept_min: 0, ..Rules::default() },
                journal: hand.clone(),
                gateway,
                mesh: Mesh::new(port, vec![None; count]),
            };
            (Shard::new(parts), hand)
        })
        .collect()
}

fn now() -> Moment {
    Moment { mono: Nanos(1), wall: Timestamp(1_700_000_000_000_000) }
}

fn ask(user: UserId, command: Command) -> Ask<()> {
    Ask { auth: Auth::Open, op: Op::Command(command), user }
}

fn turn(desk: &mut Desk) {
    while desk.turn(now(), &Still) && desk.answers().is_empty() {}
}

fn flush(desk: &mut Desk, hand: &Hand) {
    hand.durable.set(hand.last.get());
    desk.durable(now(), Lsn(hand.last.get()));
}

fn settle(desk: &mut Desk, hand: &Hand) {
    for _ in 0..50 {
        desk.turn(now(), &Still);
        flush(desk, hand);
    }
}

fn signal(source: SourceId, kind: SignalKind, key: u64) -> Command {
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

const LONG: SignalKind = SignalKind::OpenLong { strong: false };

/// One shard with a publisher and so many subscribers.
fn house(subscribers: u32) -> (Desk, Hand, SourceId) {
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

fn answered(desk: &mut Desk, reply: u64) -> Option<Answer<usize>> {
    let place = desk.answers().iter().position(|(to, _)| *to == ReplyTo(reply))?;
    Some(desk.answers().remove(place).1)
}

#[test]
fn answers_and_orders_wait_for_the_flush() {
    let (mut desk, hand, source) = house(1);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(7));
    turn(&mut desk);
    assert!(answered(&mut desk, 7).is_none(), "accepted and not durable: nobody hears of it");
    assert!(hand.last.get() > hand.durable.get());
    flush(&mut desk, &hand);
    let answer = answered(&mut desk, 7).expect("durable now");
    assert!(matches!(answer, Answer::Decided(Ok(Reply::Signal { repeat: false, .. }))), "{answer:?}");
    turn(&mut desk);
    assert!(desk.state().by_id(UserId::from_email("user0@example.com")).is_some_and(|u| u.orders.len() == 1));
    assert!(desk.gateway().sent.is_empty(), "the intent is not durable: no byte of it leaves");
    flush(&mut desk, &hand);
    assert_eq!(desk.gateway().sent.len(), 1);
    // A read of what is not durable yet waits too.
    desk.ask(now(), ask(source.owner, signal(source, LONG, 2)), ReplyTo(8));
    desk.ask(now(), Ask { auth: Auth::Open, op: Op::Question(()), user: source.owner }, ReplyTo(9));
    turn(&mut desk);
    assert!(answered(&mut desk, 9).is_none());
    flush(&mut desk, &hand);
    assert!(matches!(answered(&mut desk, 9), Some(Answer::Read(2))));
}

#[test]
fn a_full_lane_answers_busy_while_a_close_gets_through() {
    let (mut desk, hand, source) = house(1);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    settle(&mut desk, &hand);
    desk.answers().clear();
    // The log has no room: nothing is begun, and the lane fills.
    hand.room.set(JOURNAL_ROOM_MIN - 1);
    let capacity = LANE_CAPACITY[0] as u64;
    for n in 0..capacity {
        desk.ask(now(), ask(source.owner, signal(source, LONG, 100 + n)), ReplyTo(100 + n));
    }
    desk.turn(now(), &Still);
    assert!(desk.answers().is_empty() && hand.last.get() == hand.durable.get());
    desk.ask(now(), ask(source.owner, signal(source, LONG, 2)), ReplyTo(2));
    assert!(matches!(answered(&mut desk, 2), Some(Answer::Busy { retry_after: 1.. })));
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 3)), ReplyTo(3));
    assert!(answered(&mut desk, 3).is_none(), "taken, not refused");
    // Room again: the close is the first to be decided.
    hand.room.set(usize::MAX);
    desk.turn(now(), &Still);
    let source_now = desk.state().source(source).expect("there");
    assert_eq!(source_now.signals[1].signal.kind, SignalKind::CloseAll, "before everything that waited");
    settle(&mut desk, &hand);
    assert!(matches!(answered(&mut desk, 3), Some(Answer::Decided(Ok(Reply::Signal { .. })))));
}

#[test]
fn a_close_overtakes_a_fan_out_in_the_middle() {
    let users = 1_000;
    let (mut desk, hand, source) = house(users);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    desk.turn(now(), &Still);
    flush(&mut desk, &hand);
    desk.turn(now(), &Still);
    let decided = |desk: &Desk| desk.status().counters.offers;
    let reached = decided(&desk);
    assert!(reached > 0 && reached < u64::from(users), "a slice of it: {reached}");
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 2)), ReplyTo(2));
    settle(&mut desk, &hand);
    let open = SignalId { source, number: 1 };
    let (mut sent, mut superseded) = (0, 0);
    for user in desk.state().users().iter().filter(|u| u.id != source.owner) {
        match user.outcome(open).expect("everybody is decided on").kind {
            OutcomeKind::Skipped(Skip::Superseded) => superseded += 1,
            _ => sent += 1,
        }
    }
    assert_eq!(sent + superseded, users);
    assert!(superseded > 0 && sent > 0, "{sent} before the close, {superseded} after it");
    assert!(sent < users / 2, "the close waited for the whole fan-out: {sent}");
}

#[test]
fn a_failed_log_stops_the_shard_and_everybody_is_told() {
    let (mut desk, hand, source) = house(1);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    turn(&mut desk);
    desk.journal_failed("sync failed");
    assert!(matches!(answered(&mut desk, 1), Some(Answer::Stopped)), "not durable, so not acknowledged");
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 2)), ReplyTo(2));
    assert!(matches!(answered(&mut desk, 2), Some(Answer::Stopped)));
    for _ in 0..3 {
        desk.turn(now(), &Still);
        flush(&mut desk, &hand);
    }
    assert!(desk.gateway().sent.is_empty(), "no order leaves after a failure");
    assert_eq!(desk.failure(), Some("sync failed"));
}

#[test]
fn flooded_shards_never_wait_for_each_other() {
    let mut all = shards(2);
    // Each asks the other more than it may: refused asks are told at once, taken ones are all answered.
    for (place, (desk, _)) in all.iter_mut().enumerate() {
        let to = ShardId(u16::try_from(1 - place).expect("0 or 1"));
        for n in 0..REMOTE_ASKS_MAX as u64 + 100 {
            let ask = Ask { auth: Auth::Open, op: Op::Question(()), user: UserId(n) };
            desk.ask_shard(now(), to, ask, ReplyTo(n));
        }
        let busy = desk.answers().drain(..).filter(|(_, a)| matches!(a, Answer::Busy { .. })).count();
        assert!(busy >= 100 + REMOTE_ASKS_FOR_CLOSES, "{busy} refused: places are kept for closes");
        // A close still finds its place.
        let user = UserId(5);
        let close = Command::ClosePosition { user, account: 0, symbol: symbol() };
        desk.ask_shard(now(), to, ask(user, close), ReplyTo(1 << 40));
        assert!(desk.answers().is_empty(), "a close is not refused for a full mesh");
    }
    let mut answers = [0, 0];
    let mut closes = [false, false];
    for _ in 0..100 {
        for (place, (desk, hand)) in all.iter_mut().enumerate() {
            desk.turn(now(), &Still);
            flush(desk, hand);
            for (to, answer) in desk.answers().drain(..) {
                answers[place] += 1;
                closes[place] |=
                    to == ReplyTo(1 << 40) && matches!(answer, Answer::Decided(Err(Refusal::UnknownUser)));
            }
        }
    }
    assert!(answers.iter().all(|count| *count > 400), "{answers:?}");
    assert_eq!(closes, [true, true]);
}

#[test]
fn a_busy_venue_gets_its_orders_later_and_in_order() {
    let (mut desk, hand, source) = house(3);
    hand.venue_busy.set(true);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    settle(&mut desk, &hand);
    assert!(desk.gateway().sent.is_empty() && desk.status().effects_waiting == 3);
    hand.venue_busy.set(false);
    settle(&mut desk, &hand);
    let subscribers: Vec<UserId> =
        (0..3).map(|n| UserId::from_email(&format!("user{n}@example.com"))).collect();
    let sent: Vec<UserId> = desk.gateway().sent.iter().map(|id| id.account.user).collect();
    assert_eq!(sent, subscribers, "each once, in the order of their decisions");
}

/// An entry that never filled leaves nothing to close: the open that waits for flat goes on all the same.
#[test]
fn a_reversal_of_an_entry_without_a_fill_opens_after_it_is_taken_back() {
    let (mut desk, hand, source) = house(1);
    let user = UserId::from_email("user0@example.com");
    let settings = Settings { reverse: true, ..Settings::default() };
    desk.ask(now(), ask(user, Command::Subscribe { user, source, account: 0, settings }), ReplyTo(1));
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(2));
    settle(&mut desk, &hand);
    let short = SignalKind::OpenShort { strong: false };
    desk.ask(now(), ask(source.owner, signal(source, short, 2)), ReplyTo(3));
    settle(&mut desk, &hand);
    let [id] = desk.gateway().sent[..] else { panic!("one entry: {:?}", desk.gateway().sent) };
    let (state, reason) = (OrderState::Cancelled, VenueReason::Requested);
    hand.news.borrow_mut().push(VenueReport::Ended { id, state, reason });
    settle(&mut desk, &hand);
    let signals: Vec<u32> = desk.gateway().sent.iter().map(|id| id.signal.number).collect();
    assert_eq!(signals, [1, 2], "the entry of the reversal is sent");
}
