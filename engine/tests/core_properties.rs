//! Whatever people, programs and venues do, in any order: the harness's invariants hold after every record, nothing
//! panics, the log gives the same state, and the number of shards does not matter.

mod desk;

use std::collections::HashSet;

use desk::{Desk, LONG, SHORT, draft, is_close, symbol};
use engine::core::command::{Command, Refusal, Reply, SignalDraft};
use engine::core::event::{Event, Latch};
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, Timestamp, UserId};
use engine::core::instrument::{InstrumentStatus, MarketView};
use engine::core::ledger::Currency;
use engine::core::order::{Fill, Liquidity, OrderKind, OrderState, VenueReason, VenueReport};
use engine::core::rules::{SECOND, Settings, Sizing};
use engine::core::signal::SignalKind;
use engine::core::user::OutcomeKind;
use proptest::prelude::*;

const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];
const USERS: usize = 4;
const REASONS: [VenueReason; 8] = [
    VenueReason::Symbol,
    VenueReason::Margin,
    VenueReason::NothingToReduce,
    VenueReason::WouldTrigger,
    VenueReason::Liquidity,
    VenueReason::Requested,
    VenueReason::PositionClosed,
    VenueReason::TooManyOrders,
];
const ENDS: [OrderState; 5] = [
    OrderState::Cancelled,
    OrderState::Expired,
    OrderState::Rejected,
    OrderState::Filled,
    OrderState::Unknown,
];

/// One step. Numbers pick among what there is, so that every step means something in every state.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Mark {
        symbol: usize,
        permille: i64,
        gone: bool,
    },
    Status {
        symbol: usize,
        status: u8,
    },
    Signal {
        kind: u8,
        symbol: usize,
        key: u64,
        age: Option<u64>,
        stop: Option<i64>,
        leverage: Option<u8>,
        all: bool,
    },
    Offer {
        signal: u8,
        user: usize,
    },
    Finish {
        signal: u8,
    },
    Answer {
        order: u8,
        what: Answer,
    },
    Again {
        report: u8,
    },
    Arbitrary {
        order: u8,
        leg: u8,
        round: u8,
        fill: (u32, i64, i64, i64),
        kind: u8,
        reason: usize,
        state: usize,
    },
    Funding {
        user: usize,
        symbol: usize,
        hour: u64,
        amount: i64,
    },
    Liquidate {
        user: usize,
        symbol: usize,
        number: u32,
        part: i64,
    },
    Close {
        user: usize,
        symbol: usize,
        account: u8,
    },
    Drive {
        user: usize,
    },
    Protect {
        user: usize,
    },
    Reconsider {
        user: usize,
    },
    Unanswered {
        order: u8,
    },
    Halt {
        user: Option<usize>,
        on: bool,
        all: bool,
    },
    Resubscribe {
        user: usize,
        sizing: u8,
        reverse: bool,
        account: u8,
        leverage: u8,
    },
    Unsubscribe {
        user: usize,
    },
    Recharge {
        user: usize,
        number: u64,
        amount: i64,
    },
    Restart,
}

#[derive(Clone, Debug)]
enum Answer {
    Accept,
    Fill { permille: i64, slip: i64, fee: bool },
    Reject { reason: usize },
    End { state: usize, reason: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let any_user = 0..USERS;
    let any_symbol = 0..SYMBOLS.len();
    let answer = prop_oneof![
        3 => Just(Answer::Accept),
        6 => (prop_oneof![Just(1000), 1_i64..1000], -20_i64..20, any::<bool>())
            .prop_map(|(permille, slip, fee)| Answer::Fill { permille, slip, fee }),
        1 => (0..REASONS.len()).prop_map(|reason| Answer::Reject { reason }),
        1 => (0..2_usize, 0..REASONS.len()).prop_map(|(state, reason)| Answer::End { state, reason }),
    ];
    prop_oneof![
        2 => prop_oneof![1_u64..10, 20..40_u64, 100..140_u64, 7000..9000_u64, 80_000..100_000_u64].prop_map(Step::Wait),
        2 => (any_symbol.clone(), 900_i64..1100, prop::bool::weighted(0.1))
            .prop_map(|(symbol, permille, gone)| Step::Mark { symbol, permille, gone }),
        1 => (any_symbol.clone(), prop_oneof![4 => Just(0_u8), 1 => 1_u8..4])
            .prop_map(|(symbol, status)| Step::Status { symbol, status }),
        10 => (0_u8..7, any_symbol.clone(), 0_u64..200, prop::option::weighted(0.3, 0_u64..45),
              prop::option::weighted(0.2, -50_i64..50), prop::option::weighted(0.2, 0_u8..20), prop::bool::weighted(0.7))
            .prop_map(|(kind, symbol, key, age, stop, leverage, all)| Step::Signal { kind, symbol, key, age, stop, leverage, all }),
        20 => (any::<u8>(), any_user.clone()).prop_map(|(signal, user)| Step::Offer { signal, user }),
        2 => any::<u8>().prop_map(|signal| Step::Finish { signal }),
        40 => (any::<u8>(), answer).prop_map(|(order, what)| Step::Answer { order, what }),
        4 => any::<u8>().prop_map(|report| Step::Again { report }),
        4 => (any::<u8>(), 0_u8..7, 0_u8..3, nonsense_fill(), 0_u8..5, 0..REASONS.len(), 0..ENDS.len())
            .prop_map(|(order, leg, round, fill, kind, reason, state)| Step::Arbitrary { order, leg, round, fill, kind, reason, state }),
        2 => (any_user.clone(), any_symbol.clone(), 0_u64..4, nonsense_units())
            .prop_map(|(user, symbol, hour, amount)| Step::Funding { user, symbol, hour, amount }),
        1 => (any_user.clone(), any_symbol.clone(), 0_u32..5, 1_i64..1500)
            .prop_map(|(user, symbol, number, part)| Step::Liquidate { user, symbol, number, part }),
        6 => (any_user.clone(), any_symbol, prop_oneof![4 => Just(0_u8), 1 => 1_u8..3])
            .prop_map(|(user, symbol, account)| Step::Close { user, symbol, account }),
        6 => any_user.clone().prop_map(|user| Step::Drive { user }),
        2 => any_user.clone().prop_map(|user| Step::Protect { user }),
        3 => any_user.clone().prop_map(|user| Step::Reconsider { user }),
        2 => any::<u8>().prop_map(|order| Step::Unanswered { order }),
        1 => (prop::option::of(any_user.clone()), prop::bool::weighted(0.3), any::<bool>())
            .prop_map(|(user, on, all)| Step::Halt { user, on, all }),
        2 => (any_user.clone(), 0_u8..4, any::<bool>(), 0_u8..3, 1_u8..=10)
            .prop_map(|(user, sizing, reverse, account, leverage)| Step::Resubscribe { user, sizing, reverse, account, leverage }),
        1 => any_user.clone().prop_map(|user| Step::Unsubscribe { user }),
        1 => (any_user, 0_u64..6, 1_i64..100_000_000_000)
            .prop_map(|(user, number, amount)| Step::Recharge { user, number, amount }),
        1 => Just(Step::Restart),
    ]
}

fn nonsense_units() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -1_000_000_000_i64..1_000_000_000,
        1 => prop_oneof![Just(0), Just(1), Just(-1), Just(i64::MAX), Just(i64::MIN), any::<i64>()],
    ]
}

fn nonsense_fill() -> impl Strategy<Value = (u32, i64, i64, i64)> {
    (prop_oneof![4 => 0_u32..4, 1 => any::<u32>()], nonsense_units(), nonsense_units(), nonsense_units())
}

/// The name of an event.
fn name(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// A desk with its users, and what the venue has told so far.
struct World {
    desk: Desk,
    users: Vec<UserId>,
    signals: Vec<SignalId>,
    told: Vec<VenueReport>,
    /// Names of the events so far.
    seen: Vec<String>,
}

impl World {
    fn new(shards: usize) -> Self {
        let mut desk = Desk::with_shards(shards);
        desk.rules.cooldown = 60 * SECOND;
        let users = (0..USERS)
            .map(|n| {
                let email = format!("user{n}@example.com");
                let zone = if n == 1 { "America/Sao_Paulo" } else { "UTC" };
                let user = desk.sign_up(&email, zone);
                desk.open_account(user, ["10000", "500", "1000000", "20"][n]);
                desk.open_account(user, "3000");
                desk.subscribe(user, 0, Settings { reverse: n % 2 == 0, ..Settings::default() });
                user
            })
            .collect();
        Self { desk, users, signals: Vec::new(), told: Vec::new(), seen: Vec::new() }
    }

    /// Something that was sent: live ones mostly, and never dependent on how users are spread.
    fn order(&self, pick: u8) -> Option<ClientOrderId> {
        let live = |market_only: bool| -> Vec<ClientOrderId> {
            let orders = self.users.iter().flat_map(|user| self.desk.user(*user).orders.iter());
            orders.filter(|o| !market_only || !o.new.kind.is_trigger()).map(|o| o.new.id).collect()
        };
        // Entries and closes more often than the many stops and targets that wait.
        let mut orders = live(pick % 4 != 0);
        if orders.is_empty() {
            orders = live(false);
        }
        if orders.is_empty() { None } else { Some(orders[usize::from(pick) % orders.len()]) }
    }

    fn tell(&mut self, report: VenueReport) {
        self.told.push(report);
        self.desk.report(report);
    }

    fn step(&mut self, step: &Step) {
        match step.clone() {
            Step::Wait(seconds) => self.desk.wait(seconds * SECOND),
            Step::Mark { symbol: at, permille, gone } => {
                let base = [20_000, 1_500, 25][at];
                let mark = Price::from_units(base * permille * 100_000);
                self.desk.market.put_mark(symbol(SYMBOLS[at]), (!gone).then_some(mark));
            }
            Step::Status { symbol: at, status } => self.desk.market.edit(SYMBOLS[at], |i| {
                i.status = match status {
                    0 => InstrumentStatus::Trading,
                    1 => InstrumentStatus::CloseOnly,
                    _ => InstrumentStatus::Halted,
                };
            }),
            Step::Signal { kind, symbol: at, key, age, stop, leverage, all } => {
                let kind = [
                    LONG,
                    SHORT,
                    SignalKind::OpenLong { strong: true },
                    SignalKind::OpenShort { strong: true },
                    SignalKind::CloseLong,
                    SignalKind::CloseShort,
                    SignalKind::CloseAll,
                ][usize::from(kind)];
                let base = [20_000, 1_500, 25][at];
                let draft = SignalDraft {
                    at: age.map(|age| Timestamp(self.desk.now.0 + 10 * SECOND - age * SECOND)),
                    stop_loss: stop.map(|stop| Price::from_units(base * (1000 + stop) * 100_000)),
                    leverage,
                    key_is_lasting: key % 3 != 0,
                    ..draft(kind, SYMBOLS[at], key)
                };
                match self.desk.accept(draft) {
                    Ok(Reply::Signal { id, repeat: false }) => {
                        self.signals.push(id);
                        if all {
                            let users = self.users.clone();
                            for user in users {
                                self.offer(user, id);
                            }
                        }
                    }
                    Ok(Reply::Signal { .. } | Reply::SignalExpired { .. }) => {}
                    Err(Refusal::SignalFromFuture | Refusal::RateLimited { .. })
                        if kind.opens().is_some() => {}
                    other => panic!("{other:?}"),
                }
            }
            // The newest signals mostly. A shard offers a source's signals in their order; here any order goes.
            Step::Offer { signal, user } => {
                let back = usize::from(signal) % 4 + 1;
                if let Some(id) = self.signals.iter().rev().nth(back - 1).copied() {
                    self.offer(self.users[user], id);
                }
            }
            Step::Finish { signal } => {
                let back = usize::from(signal) % 8;
                if let Some(signal) = self.signals.iter().rev().nth(back).copied() {
                    self.desk.run(Command::FinishSignal { signal, counts: Default::default() }).unwrap();
                }
            }
            Step::Answer { order, what } => self.answer(order, &what),
            Step::Again { report } => {
                if !self.told.is_empty() {
                    let report = self.told[usize::from(report) % self.told.len()];
                    self.desk.report(report);
                }
            }
            Step::Arbitrary { order, leg, round, fill, kind, reason, state } => {
                let Some(id) = self.order(order) else { return };
                let legs = [
                    Leg::Entry,
                    Leg::Stop,
                    Leg::TakeProfit,
                    Leg::SignalClose,
                    Leg::ManualClose,
                    Leg::UnprotectedClose,
                    Leg::ReversalClose,
                ];
                let id =
                    if round == 0 { id } else { ClientOrderId { leg: legs[usize::from(leg)], round, ..id } };
                let (number, price, quantity, fee) = fill;
                let fill = Fill {
                    number,
                    price: Price::from_units(price),
                    quantity: Quantity::from_units(quantity),
                    fee: Money::from_units(fee),
                    liquidity: Liquidity::Maker,
                    venue_at: self.desk.now,
                };
                self.tell(match kind {
                    0 => VenueReport::Filled { id, fill, last: reason % 2 == 0 },
                    1 => VenueReport::Ended { id, state: ENDS[state], reason: REASONS[reason] },
                    2 => VenueReport::NotFound { id },
                    3 => VenueReport::Liquidated { account: id.account, symbol: symbol(SYMBOLS[0]), fill },
                    _ => VenueReport::Rejected { id, reason: REASONS[reason] },
                });
            }
            Step::Funding { user, symbol: at, hour, amount } => {
                let account = AccountId { user: self.users[user], index: 0 };
                let day = self.desk.now.0 / (86_400 * SECOND);
                let venue_at = Timestamp((day * 4 + hour) * 21_600 * SECOND);
                let (rate, mark) = (Rate::from_units(10_000), Price::from_whole(1));
                let (symbol, amount) = (symbol(SYMBOLS[at]), Money::from_units(amount));
                self.tell(VenueReport::Funding { account, symbol, venue_at, rate, mark, amount });
            }
            Step::Liquidate { user, symbol: at, number, part } => {
                let id = self.users[user];
                let symbol = symbol(SYMBOLS[at]);
                let Some(open) = self.desk.user(id).position_on(0, symbol).map(|p| p.quantity) else {
                    return;
                };
                let Some(quote) = self.desk.market.quote(symbol) else { return };
                let quantity = Quantity::from_units((open.units() / 1000).saturating_mul(part));
                let fill = Fill {
                    number,
                    price: quote.mark,
                    quantity,
                    fee: Money::ZERO,
                    liquidity: Liquidity::Taker,
                    venue_at: self.desk.now,
                };
                self.tell(VenueReport::Liquidated {
                    account: AccountId { user: id, index: 0 },
                    symbol,
                    fill,
                });
            }
            Step::Close { user, symbol: at, account } => {
                let user = self.users[user];
                let symbol = symbol(SYMBOLS[at]);
                match self.desk.run(Command::ClosePosition { user, account, symbol }) {
                    Ok(Reply::Closing) | Err(Refusal::UnknownPosition | Refusal::AlreadyClosing) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Drive { user } => {
                for position in self.desk.user(self.users[user]).positions.clone() {
                    self.desk.drive_close(self.users[user], &position);
                }
            }
            Step::Protect { user } => {
                for position in self.desk.user(self.users[user]).positions.clone() {
                    self.desk.check_protection(self.users[user], &position);
                }
            }
            Step::Reconsider { user } => {
                let user = self.users[user];
                for waiting in self.desk.user(user).reversals.clone() {
                    self.desk.run(Command::Reconsider { user, signal: waiting.id }).unwrap();
                }
            }
            Step::Unanswered { order } => {
                if let Some(id) = self.order(order) {
                    self.desk.run(Command::OrderUnanswered { id }).unwrap();
                }
            }
            Step::Halt { user, on, all } => match user {
                Some(user) => self.desk.halt(self.users[user], Latch::User, on),
                None if all => self.desk.rules.halted = on,
                None => self.desk.halt(self.desk.publisher, Latch::Source(0), on),
            },
            Step::Resubscribe { user, sizing, reverse, account, leverage } => {
                let sizing = match sizing {
                    0 => Sizing::PercentOfBalance(Rate::from_units(50_000_000)),
                    1 => Sizing::FixedMargin(Money::from_whole(100)),
                    2 => Sizing::FixedNotional(Money::from_whole(700)),
                    _ => Sizing::RiskToStop(Money::from_whole(30)),
                };
                let settings = Settings { sizing, reverse, leverage, ..Settings::default() };
                let (user, source) = (self.users[user], self.desk.source);
                let reply = self.desk.run(Command::Subscribe { user, source, account, settings });
                assert_eq!(reply.is_ok(), account < 2);
            }
            Step::Unsubscribe { user } => {
                let (user, source) = (self.users[user], self.desk.source);
                self.desk.run(Command::Unsubscribe { user, source }).unwrap();
            }
            Step::Recharge { user, number, amount } => {
                let (user, currency) = (self.users[user], Currency::PaperUsdt);
                let amount = Money::from_units(amount);
                let booked = self.desk.user(user).recharges;
                let reply = self.desk.run(Command::Recharge { user, number, currency, amount });
                assert_eq!(reply.is_ok(), number > booked);
            }
            Step::Restart => self.desk.restart(),
        }
    }

    /// Offers twice: the second time changes nothing, and one signal makes one order per account.
    fn offer(&mut self, user: UserId, id: SignalId) {
        let before = self.desk.sent.len();
        self.desk.offer(user, id);
        self.seen.extend(self.desk.last.iter().map(name));
        let sent = &self.desk.sent[before..];
        assert!(sent.iter().all(|order| order.id.signal == id), "orders of this signal only");
        let accounts: HashSet<u8> = sent.iter().map(|order| order.id.account.index).collect();
        assert_eq!(accounts.len(), sent.len(), "one order for one account");
        let sent = self.desk.sent.len();
        assert_eq!(self.desk.offer(user, id), Reply::Ignored, "decided once");
        assert_eq!(self.desk.sent.len(), sent);
    }

    /// The venue's answer to a live order, as a venue would give it: exits never fill beyond what is open.
    fn answer(&mut self, pick: u8, what: &Answer) {
        let Some(id) = self.order(pick) else { return };
        let user = self.desk.user(id.account.user);
        let order = *user.order(id).expect("live");
        let open = user.position(order.position, id.account.index).map_or(Quantity::ZERO, |p| p.quantity);
        match *what {
            Answer::Accept => self.tell(VenueReport::Accepted { id, venue_at: self.desk.now }),
            Answer::Reject { reason } => self.tell(VenueReport::Rejected { id, reason: REASONS[reason] }),
            Answer::End { state, reason } => {
                self.tell(VenueReport::Ended { id, state: ENDS[state], reason: REASONS[reason] });
            }
            Answer::Fill { permille, slip, fee } => {
                let rest = if id.leg == Leg::Entry {
                    order.new.quantity.checked_sub(order.filled).expect("within")
                } else if order.new.kind.is_trigger() {
                    open
                } else {
                    order.new.quantity.checked_sub(order.filled).map_or(Quantity::ZERO, |rest| rest.min(open))
                };
                let quantity = Quantity::from_units((rest.units() / 1000).saturating_mul(permille));
                let quantity = if permille == 1000 { rest } else { quantity };
                let mark =
                    self.desk.market.quote(order.new.symbol).map_or(Price::from_whole(100), |q| q.mark);
                let price = match order.new.kind {
                    OrderKind::StopMarket(at) | OrderKind::TakeProfitMarket(at) => at,
                    OrderKind::Limit(_) | OrderKind::Market => mark,
                };
                let price = Price::from_units(price.units() / 1000 * (1000 + slip));
                let notional = price.notional(quantity).unwrap_or(Money::ZERO);
                let fee = Money::from_units(if fee { notional.units() / 2000 } else { 0 });
                let number = order.fills + 1;
                let venue_at = self.desk.now;
                let fill = Fill { number, price, quantity, fee, liquidity: Liquidity::Taker, venue_at };
                self.tell(VenueReport::Filled { id, fill, last: quantity == rest });
            }
        }
    }
}

/// Ends everything: a venue that takes all closes makes everyone flat, whatever was before.
fn flatten(world: &mut World) {
    for _ in 0..200 {
        let mut left = false;
        for user in world.users.clone() {
            for position in world.desk.user(user).positions.clone() {
                left = true;
                let close =
                    Command::ClosePosition { user, account: position.account, symbol: position.symbol };
                let _ = world.desk.run(close);
                world.desk.drive_close(user, &position);
            }
            let orders: Vec<_> = world.desk.user(user).orders.iter().map(|o| o.new).collect();
            for order in orders {
                if is_close(order.id.leg) {
                    let live: Vec<u8> =
                        (0..=u8::MAX).filter(|pick| world.order(*pick) == Some(order.id)).collect();
                    if let Some(pick) = live.first() {
                        world.answer(*pick, &Answer::Fill { permille: 1000, slip: 0, fee: true });
                    }
                } else {
                    world.desk.venue_cancels(order.id, VenueReason::PositionClosed);
                }
            }
        }
        if !left {
            return;
        }
    }
    panic!("a position that cannot be closed");
}

/// This many cases, or as many as PROPTEST_CASES says.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..default }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn anything_may_happen(steps in prop::collection::vec(step(), 1..250)) {
        let mut world = World::new(1);
        for step in &steps {
            world.step(step);
        }
        flatten(&mut world);
        for user in &world.users {
            let user = world.desk.user(*user);
            assert!(user.positions.is_empty());
            for account in 0..2 {
                assert_eq!(user.available(account), user.wallet(account), "no margin stays bound");
            }
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn the_number_of_shards_does_not_matter(steps in prop::collection::vec(step(), 1..200)) {
        let digests: Vec<[u8; 32]> = (1..=3)
            .map(|shards| {
                let mut world = World::new(shards);
                for step in &steps {
                    world.step(step);
                }
                world.desk.digest()
            })
            .collect();
        prop_assert!(digests[0] == digests[1] && digests[1] == digests[2]);
    }
}

/// The random steps reach what they are meant to reach: without this the properties could hold for want of trades.
#[test]
fn the_random_steps_reach_all_that_can_happen_to_a_position() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let many = prop::collection::vec(step(), 250);
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..60 {
        let steps = many.new_tree(&mut runner).expect("a sample").current();
        let mut world = World::new(1);
        for step in &steps {
            world.step(step);
            world.seen.extend(world.desk.last.iter().map(name));
        }
        for user in &world.users {
            let user = world.desk.user(*user);
            world
                .seen
                .extend(user.closed_positions.iter().filter_map(|p| p.closed).map(|r| r.as_str().to_owned()));
            world.seen.extend(user.outcomes.iter().filter_map(|o| match o.kind {
                OutcomeKind::Skipped(skip) => Some(skip.as_str().to_owned()),
                _ => None,
            }));
        }
        for name in world.seen {
            *counts.entry(name).or_default() += 1;
        }
    }
    for wanted in [
        "EntryIntended",
        "EntryVoided",
        "OrderUnknown",
        "FundingSettled",
        "Liquidated",
        "DayOpened",
        "CancelIntended",
        "TAKE_PROFIT",
        "STOP_LOSS",
        "SIGNAL",
        "MANUAL",
        "REVERSAL",
        "LIQUIDATION",
        "UNPROTECTED",
        "position_open",
        "positions_max",
        "cooldown",
        "debt",
        "superseded_by_close",
        "already_closing",
    ] {
        assert!(counts.contains_key(wanted), "{wanted} never happened: {counts:#?}");
    }
}
