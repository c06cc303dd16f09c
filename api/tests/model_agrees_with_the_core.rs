//! The simulator's reference model and the core, two implementations of one set of rules, agree on whatever people, programs
//! and venues do: on every answer, every order and cancel, and on every figure of the user after each command.

mod model;

use std::collections::BTreeMap;

use model::steps::step;
use model::world::World;
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
    for case in 0..60_u64 {
        let mut world = World::new();
        for seed in 0..STEPS as u64 {
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
