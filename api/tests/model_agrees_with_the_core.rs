//! The simulator's reference model and the core, two implementations of one set of rules, agree on whatever people, programs
//! and venues do: on every answer, every order and cancel, and on every figure of the user after each command.

mod model;

use std::collections::BTreeMap;

use engine::core::command::{Command, Reply, SignalDraft};
use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{AccountId, SourceId, UserId};
use engine::core::order::{Fill, Liquidity, VenueReason, VenueReport};
use engine::core::rules::Rules;
use engine::core::signal::{FanOutCounts, SignalKind};
use model::steps::step;
use model::venue::tell;
use model::world::{World, symbol};
use proptest::prelude::*;

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
            _ => SignalKind::OpenLong { strong: false },
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
            for number in 1..=u32::try_from(number).expect("few") {
                let signal = engine::core::ids::SignalId { source, number };
                let _ = world.run(&Command::FinishSignal { signal, counts: FanOutCounts::default() });
            }
        }
    }
    world.compare_all();
    let keys = world.user(world.publisher).sources[0].seen.len();
    assert!(keys == 8_192 && refused > 0, "{keys} keys, {refused} refused");
}

/// A venue that refuses every close until the close has used up its rounds; another close then takes over.
#[test]
fn on_a_close_that_is_refused_for_ever() {
    let mut world = World::new();
    let (user, source) = (world.traders[0], SourceId { owner: world.publisher, index: 0 });
    let open = |world: &mut World, kind, number| {
        let draft = Box::new(draft(kind, number, true));
        let Ok(Reply::Signal { id, .. }) = world.run(&Command::Signal { source, draft }) else {
            panic!("refused")
        };
        let signal = world.user(world.publisher).sources[0].signal(id.number).expect("kept").signal;
        let at = world.state.find(user).expect("signed up");
        world.run(&Command::Offer { at, signal, superseded: false, source_halted: false }).expect("offered")
    };
    assert_eq!(open(&mut world, SignalKind::OpenLong { strong: false }, 1), Reply::Intended);
    let entry = world.user(user).orders[0].new;
    let fill = Fill {
        number: 1,
        price: Price::from_whole(20_000),
        quantity: entry.quantity,
        fee: Money::from_whole(1),
        liquidity: Liquidity::Taker,
        venue_at: world.now,
    };
    tell(&mut world, VenueReport::Filled { id: entry.id, fill, last: true });
    let position = world.user(user).positions[0];
    let account = AccountId { user, index: position.account };
    let by_hand = Command::ClosePosition { user, account: position.account, symbol: position.symbol };
    assert_eq!(world.run(&by_hand), Ok(Reply::Closing));
    let refuse_all = |world: &mut World, user: UserId| {
        for round in 0..62 {
            let close = world.user(user).orders.last().expect("a close is at work").new;
            assert_eq!(close.id.round, round);
            tell(world, VenueReport::Rejected { id: close.id, reason: VenueReason::Symbol });
            world.run(&Command::DriveClose { account, position: position.signal }).expect("known");
        }
    };
    refuse_all(&mut world, user);
    assert_eq!(world.user(user).orders.len(), 2, "its rounds are used up");
    assert!(world.run(&by_hand).is_err(), "and so are the ids of a close by hand");
    assert_eq!(open(&mut world, SignalKind::CloseLong, 2), Reply::Intended);
    refuse_all(&mut world, user);
    assert_eq!(open(&mut world, SignalKind::CloseAll, 3), Reply::Intended);
    let close = world.user(user).orders.last().expect("a close is at work").new;
    let quantity = Quantity::from_units(close.quantity.units());
    tell(&mut world, VenueReport::Filled { id: close.id, fill: Fill { quantity, ..fill }, last: true });
    assert!(world.user(user).positions.is_empty());
    world.compare_all();
}
