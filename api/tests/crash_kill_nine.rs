//! Kill -9 at random moments under load and while starting, restarts with another number of shards, many times over: nothing
//! acknowledged is lost, nothing that was shown is taken back, no order is made twice, every receipt is completed, every
//! position has its stop, and the books sum to zero.
//!
//! `COINBITCLUB_KILLS` is the number of kills under load (default 200), `COINBITCLUB_SEED` the seed of load, moments and shards.
//! The interleaving is the machine's: a seed repeats the plan of a run, not its every instant.

mod crash;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crash::check::Check;
use crash::files::Housework;
use crash::load::Load;
use crash::people::{People, RULES};
use crash::promises::Promises;
use crash::server::Place;
use crash::{Random, Repeat, inspect, seed, setting};

/// The latest moment of a kill after the load began.
const LOAD_MAX: Duration = Duration::from_millis(150);
/// The same for one round of [`LONG_EVERY`]: long enough for segments to fill and snapshots to be taken.
const LONG_LOAD_MAX: Duration = Duration::from_millis(1_200);
/// One round of so many is long.
const LONG_EVERY: u64 = 16;
/// The latest moment of a kill after a start began.
const START_MAX: Duration = Duration::from_millis(90);
/// The log is read record by record once in so many rounds.
const INSPECT_EVERY: u64 = 10;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let (seed, kills) = (seed(), setting("COINBITCLUB_KILLS", 200));
    let command = format!(
        "COINBITCLUB_SEED={seed} COINBITCLUB_KILLS={kills} cargo test -p coinbitclub --test crash_kill_nine -- --nocapture"
    );
    println!("{command}");
    let mut repeat = Repeat { command };
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), RULES);
    let mut server = place.start(2);
    let people = People::gather(&mut server.client());
    let promises = Mutex::new(Promises::default());
    let mut random = Random::new(seed);
    let (mut killed_starting, mut restarts, mut intents) = (0, Duration::ZERO, 0);
    let mut housework = Housework::default();
    for round in 0..kills {
        repeat.command = format!(
            "COINBITCLUB_SEED={seed} COINBITCLUB_KILLS={} cargo test -p coinbitclub --test crash_kill_nine -- --nocapture",
            round + 1
        );
        let round_seed = random.next();
        let moment = random.span(if round % LONG_EVERY == LONG_EVERY - 1 { LONG_LOAD_MAX } else { LOAD_MAX });
        let load =
            Load { people: &people, promises: &promises, address: server.address, round, seed: round_seed };
        load.run(|| {
            std::thread::sleep(moment);
            server.kill();
        });
        promises.lock().expect("nobody failed").server_gone();
        housework.look(&place.data());
        if round % INSPECT_EVERY == 0 {
            intents += inspect::intents(&place);
        }
        // A start is killed as well, with any number of shards, before the one that is let through.
        while random.one_in(4) {
            let starting = place.begin(shards(&mut random));
            std::thread::sleep(random.span(START_MAX));
            starting.kill();
            killed_starting += 1;
        }
        let began = Instant::now();
        server = place.start(shards(&mut random));
        restarts += began.elapsed();
        let mut known = promises.lock().expect("nobody failed");
        Check::new(&server, &people, &mut known, round_seed, round).all();
        known.forget_before(round.saturating_sub(3));
        if round % 20 == 19 {
            println!("{} kills, {} promises kept", round + 1, known.count);
        }
    }
    let promised = promises.lock().expect("nobody failed").count;
    println!(
        "{kills} kills under load, {killed_starting} while starting; {promised} promises kept; {intents} order intents read \
         in the logs; {housework:?}; {} ms a start on average",
        restarts.as_millis() / u128::from(kills.max(1))
    );
    assert!(promised > kills, "the load was real: {promised} promises over {kills} kills");
    assert!(kills < INSPECT_EVERY || intents > 0, "orders were made");
    let Housework { rotated, snapshots, pruned } = housework;
    assert!(
        kills < 100 || (rotated > 0 && snapshots > 0 && pruned > 0),
        "it was done under load: {housework:?}"
    );
}

fn shards(random: &mut Random) -> u16 {
    1 + u16::try_from(random.below(3)).expect("at most 3")
}
