//! The simulator's reference model and the core, two implementations of one set of rules, agree on whatever people, programs
//! and venues do: on every answer, every order and cancel, and on every figure of the user after each command.

mod model;

use std::collections::BTreeMap;

use api::sim::model::ModelUser;
use engine::core::command::{Command, Reply, SignalDraft};
use engine::core::fixed::{Money, Price, Rate};
use engine::core::ids::{AccountId, ClientOrderId, SignalId, SourceId, UserId};
use engine::core::order::{Fill, Liquidity, VenueReason, VenueReport};
use engine::core::position::Position;
use engine::core::rules::Rules;
use engine::core::signal::{FanOutCounts, SignalKind};
use model::steps::step;
use model::venue::tell;
use model::world::{World, symbol};
use proptest::prelude::*;

const LONG: SignalKind = SignalKind::OpenLong { strong: false };

/// Steps of one case.
const STEPS: usize = 400;

/// This many cases, or as many as PROPTEST_CASES says.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2_000, ..default }
}

proptest! {
    #![proptest_config(config(250))]

    /// Each number is the seed of one step, so that a failure shrinks to the steps that it needs.
    #[test]
    fn on_whatever_happens(seeds in prop::collection::vec(any::<u64>(), STEPS)) {
        let mut world = World::new();
        for seed in &seeds {
            step(&mut world, *seed);
        }
        world.compare_all();
    }
}

/// The random steps reach what they are meant to reach: without this the two could agree for want of trades.
#[test]
fn on_everything_that_can_happen() {
    let mut counts = BTreeMap::<String, u32>::new();
    for case in 0..100_u64 {
        let mut world = World::new();
        // The first one goes on until the histories are full.
        let steps = if case == 0 { 60 * STEPS } else { STEPS };
        for seed in 0..steps as u64 {
            step(&mut world, case << 32 | seed);
        }
        world.compare_all();
        for name in world.happened {
            *counts.entry(name).or_default() += 1;
        }
    }
    let wanted = include_str!("model/wanted.txt").lines().filter(|line| !line.starts_with('#'));
    let missing: Vec<&str> = wanted.filter(|name| !counts.contains_key(*name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}\n{counts:#?}");
}

/// A crash takes back what was not durable, of both; they agree there and go on agreeing.
#[test]
fn on_a_step_back() {
    let mut world = World::new();
    (0..800).for_each(|seed| step(&mut world, seed));
    let (state, now) = (world.state.clone(), world.now);
    let users: Vec<_> = world.model.users().cloned().collect();
    let email = "late@example.com".to_owned();
    let late = Command::SignUp { email, password: String::new(), zone: String::new() };
    world.run(&late).expect("new");
    (800..1_200).for_each(|seed| step(&mut world, seed));
    let all: Vec<UserId> = world.model.users().map(ModelUser::id).collect();
    assert!(all.len() > users.len(), "somebody came in between");
    for id in all {
        world.model.put_user(id, users.iter().find(|user| user.id() == id).cloned());
    }
    assert!(world.state.users().iter().any(|user| world.model.differs(user).is_some()), "something happened");
    (world.state, world.now) = (state, now);
    world.compare_all();
    (1_200..2_000).for_each(|seed| step(&mut world, seed));
    world.compare_all();
}

fn draft(kind: SignalKind, number: u64, key_is_lasting: bool) -> SignalDraft {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    SignalDraft {
        kind,
        symbol: symbol("BTCUSDT"),
        price: None,
        leverage: None,
        stop_loss: None,
        take_profit: None,
        at: None,
        key,
        key_is_lasting,
        body: String::new(),
    }
}

/// A source sends more than it can have at work, more than it remembers with bodies, and more keys than it remembers.
#[test]
fn on_a_source_that_is_flooded() {
    let mut world = World::new();
    world.rules = Rules { source_opens_max: 1_000_000, ..Rules::default() };
    world.model.set_rules(world.rules.clone());
    world.compares_each = false;
    let source = SourceId { owner: world.publisher, index: 0 };
    let mut refused = 0;
    for number in 0..12_000_u64 {
        world.now = world.now.plus_micros(15_000);
        // Some keys come again after they stopped to count as repeats.
        let key = if number % 11 == 0 { number / 2 } else { number };
        let kind = match number % 5 {
            0 => SignalKind::CloseAll,
            1 => SignalKind::CloseLong,
            _ => LONG,
        };
        let draft = Box::new(draft(kind, key, !key.is_multiple_of(7)));
        match world.run(&Command::Signal { source, draft }) {
            Ok(Reply::Signal { id, repeat: false }) => {
                // For a while nothing is finished.
                if !(2_000..2_600).contains(&number) && number % 13 != 0 {
                    let counts = FanOutCounts { users: 1, intents: 0, skipped: 1 };
                    world.run(&Command::FinishSignal { signal: id, counts }).expect("known");
                }
            }
            Ok(_) => {}
            Err(_) => refused += 1,
        }
        if number % 400 == 0 {
            world.compare_all();
            for number in world.user(world.publisher).sources[0].working.clone() {
                let signal = SignalId { source, number };
                let _ = world.run(&Command::FinishSignal { signal, counts: FanOutCounts::default() });
            }
        }
    }
    world.compare_all();
    let keys = world.user(world.publisher).sources[0].seen.len();
    assert!(keys == 8_192 && refused > 0, "{keys} keys, {refused} refused");
}

/// The source sends a signal, and it is offered to the first trader.
fn send(world: &mut World, name: &str, kind: SignalKind, key: u64) -> Reply {
    let source = SourceId { owner: world.publisher, index: 0 };
    let draft = SignalDraft { symbol: symbol(name), ..draft(kind, key, true) };
    let Ok(Reply::Signal { id, .. }) = world.run(&Command::Signal { source, draft: Box::new(draft) }) else {
        panic!("refused")
    };
    let signal = world.user(world.publisher).sources[0].signal(id.number).expect("kept").signal;
    let at = world.state.find(world.traders[0]).expect("signed up");
    world.run(&Command::Offer { at, signal, superseded: false, source_halted: false }).expect("never refused")
}

/// The first trader opens at a price; there is no fee.
fn open(world: &mut World, name: &str, price: i64, key: u64) -> Position {
    let user = world.traders[0];
    assert_eq!(send(world, name, LONG, key), Reply::Intended);
    let entry = world.user(user).orders.last().expect("an entry").new;
    let fill = Fill {
        number: 1,
        price: Price::from_whole(price),
        quantity: entry.quantity,
        fee: Money::ZERO,
        liquidity: Liquidity::Taker,
        venue_at: world.now,
    };
    tell(world, VenueReport::Filled { id: entry.id, fill, last: true });
    *world.user(user).positions.last().expect("open")
}

/// A loss of exactly the limit stops opens; one unit less does not.
#[test]
fn on_where_the_daily_loss_limit_lies() {
    for (more, reply) in [(0, Reply::Skipped), (1, Reply::Intended)] {
        let mut world = World::new();
        let account = AccountId { user: world.traders[0], index: 0 };
        let position = open(&mut world, "BTCUSDT", 20_000, 1);
        // A tenth of the wallet of 10000.
        let amount = Money::from_units(-100_000_000_000 + more);
        let (symbol, venue_at) = (position.symbol, world.now);
        let (rate, mark) = (Rate::ZERO, Price::from_whole(20_000));
        tell(&mut world, VenueReport::Funding { account, symbol, venue_at, rate, mark, amount });
        assert_eq!(send(&mut world, "ETHUSDT", LONG, 2), reply);
    }
}

/// A venue that refuses every close: it goes on under other ids, by itself and by hand, until all are used up, and a signal after
/// that closes all the same.
#[test]
fn on_a_close_that_is_refused_for_ever() {
    let mut world = World::new();
    let user = world.traders[0];
    let position = open(&mut world, "BTCUSDT", 20_000, 1);
    let account = AccountId { user, index: position.account };
    let by_hand = Command::ClosePosition { user, account: position.account, symbol: position.symbol };
    let drive = Command::DriveClose { account, position: position.signal };
    assert_eq!(world.run(&by_hand), Ok(Reply::Closing));
    let mut used = std::collections::BTreeSet::new();
    let refuse = |world: &mut World| {
        let close = world.user(user).orders.last().expect("a close is at work").new.id;
        tell(world, VenueReport::Rejected { id: close, reason: VenueReason::Symbol });
        close
    };
    loop {
        let id = refuse(&mut world);
        assert!(used.insert(id), "{id} was used before");
        let hastened = used.len() % 7 == 0;
        if hastened {
            assert!(world.run(&by_hand).is_err(), "it was refused just now");
            world.now = world.now.plus_micros(64 * world.rules.close_retry_span);
        }
        world.run(if hastened { &by_hand } else { &drive }).ok();
        if world.user(user).orders.len() == 2 {
            break;
        }
    }
    assert_eq!(used.len(), 123 + 248 + 124, "the ids of a position are used up");
    world.now = world.now.plus_micros(64 * world.rules.close_retry_span);
    assert!(world.run(&by_hand).is_err());
    assert_eq!(send(&mut world, "BTCUSDT", SignalKind::CloseLong, 2), Reply::Intended);
    for round in 124..=ClientOrderId::ROUND_MAX {
        assert_eq!(refuse(&mut world).round, round);
        world.run(&drive).expect("known");
    }
    assert_eq!(send(&mut world, "BTCUSDT", SignalKind::CloseAll, 3), Reply::Intended);
    let close = world.user(user).orders.last().expect("a close is at work").new;
    let fill = Fill {
        number: 1,
        price: Price::from_whole(20_100),
        quantity: close.quantity,
        fee: Money::from_whole(1),
        liquidity: Liquidity::Taker,
        venue_at: world.now,
    };
    tell(&mut world, VenueReport::Filled { id: close.id, fill, last: true });
    assert!(world.user(user).positions.is_empty());
    world.compare_all();
}
