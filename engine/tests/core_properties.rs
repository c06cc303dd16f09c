//! Whatever people, programs and venues do, in any order: the harness's invariants hold after every record, nothing
//! panics, the log gives the same state, and the number of shards does not matter.

mod desk;
#[path = "desk/steps.rs"]
mod steps;
#[path = "desk/world.rs"]
mod world;

use desk::is_close;
use engine::core::command::Command;
use engine::core::order::VenueReason;
use engine::core::user::OutcomeKind;
use proptest::prelude::*;
use steps::{Answer, step};
use world::{World, name};

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
            // A venue that told of more than was ordered has nothing left to fill: such an order ends instead.
            let orders = world.desk.user(user).orders.iter();
            let orders: Vec<_> = orders.map(|o| (o.new, o.filled < o.new.quantity)).collect();
            for (order, fillable) in orders {
                if is_close(order.id.leg) && fillable {
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
    for user in &world.users {
        let user = world.desk.user(*user);
        eprintln!("{:?}: {:?}\n{:?}", user.id, user.positions, user.orders);
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
    #![proptest_config(config(2_000))]

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
    #![proptest_config(config(600))]

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
        "LateEntry",
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
