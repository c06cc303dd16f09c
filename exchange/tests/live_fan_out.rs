//! One signal to many accounts of an exchange, from one address: as fast as the exchange's limits allow, and without a breach.

mod world;

use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use engine::core::signal::SignalKind;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use world::{SECOND, Spoken, Weather, World};

/// When the entries of the newest signal reached the exchange, sorted.
fn arrivals<P: Spoken>(world: &World<P>, since: Timestamp) -> Vec<Timestamp> {
    let mut at = Vec::new();
    for trader in &world.traders {
        for order in world.exchange.core.all_orders(trader.no) {
            let entry = ClientOrderId::parse(order.client_id()).is_some_and(|id| id.leg == Leg::Entry);
            if entry && order.created_at >= since {
                at.push(order.created_at);
            }
        }
    }
    at.sort_unstable();
    at
}

fn fan_out<P: Spoken>(accounts: usize, ready_span: u64, all_within: u64) {
    let mut world = World::<P>::new(5, accounts, Weather { delay_max: 5_000, ..Weather::default() });
    world.until("ready", ready_span, World::is_ready);
    world.until("order entry is warm", ready_span, |w| w.connector().is_warm());
    world.step(10 * SECOND);
    let limited = world.connector().metrics().limited;
    // The first signal finds leverage and margin type as the exchange has them, and sets them; the next finds them set.
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("open for the first time", 240 * SECOND, World::is_open);
    world.signal(SignalKind::CloseAll, "BTCUSDT");
    world.until("flat for the first time", 240 * SECOND, World::is_flat);
    world.step(60 * SECOND);
    let began = world.now;
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("entered", 60 * SECOND, |w| arrivals(w, began).len() == accounts);
    let entries = arrivals(&world, began);
    let last = entries.last().expect("some").micros_since(began);
    assert!(last <= all_within, "the last of {accounts} entries left after {last} µs");
    world.until("open", 120 * SECOND, World::is_open);
    assert_eq!(world.connector().metrics().limited, limited, "the exchange refused something for a limit");
    world.signal(SignalKind::CloseAll, "BTCUSDT");
    world.until("flat", 120 * SECOND, World::is_flat);
    world.step(20 * SECOND);
    world.check();
    assert_eq!(world.connector().metrics().limited, limited, "the exchange refused something for a limit");
    let bare = world.traders.iter().map(|t| t.bare_longest).max().unwrap_or(0);
    assert!(bare < 5 * SECOND, "{bare} µs without a stop");
    println!(
        "{accounts} accounts: last entry {last} µs after the signal, at most {} ms without a stop",
        bare / 1_000
    );
}

/// Orders cost the address nothing on Binance: nothing but the network is waited for.
#[test]
fn binance_entries_do_not_wait_for_the_address() {
    fan_out::<Binance>(1_000, 1_800 * SECOND, SECOND / 2);
}

/// 3,000 orders a second may be entered over WebSockets, a fifth of it is kept for closes: 1,000 take 0.42 s.
#[test]
fn bybit_entries_use_what_the_limits_allow() {
    fan_out::<Bybit>(1_000, 3_600 * SECOND, SECOND);
}
