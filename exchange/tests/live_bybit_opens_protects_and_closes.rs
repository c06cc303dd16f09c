//! A position on Bybit from signal to flat, with nothing going wrong.

mod world;

use engine::core::signal::SignalKind;
use exchange::live::bybit::Bybit;
use world::{SECOND, Weather, World};

#[test]
fn opens_protects_and_closes() {
    let mut world = World::<Bybit>::new(1, 2, Weather { delay_max: 20_000, ..Weather::default() });
    world.until("ready", 30 * SECOND, World::is_ready);
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("open", 20 * SECOND, World::is_open);
    world.step(5 * SECOND);
    world.check();
    world.signal(SignalKind::CloseLong, "BTCUSDT");
    world.until("flat", 20 * SECOND, World::is_flat);
    world.step(5 * SECOND);
    world.check();
    assert!(world.traders.iter().all(|t| t.bare_longest < SECOND), "the stop goes out with the entry");
}
