//! One signal to many accounts of an exchange, from one address: as fast as the exchange's limits allow, and without a breach.

mod world;

use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use engine::core::signal::SignalKind;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::pacing::limits::{Limit, VenueLimits};
use exchange::paper_exchange::faults::{Fault, Rule, When};
use exchange::paper_exchange::orders::OrderNo;
use world::{SECOND, Spoken, Start, Weather, World};

/// Orders of this leg that reached the exchange since then, in their order: when, which, and whose.
fn arrived<P: Spoken>(world: &World<P>, leg: Leg, since: Timestamp) -> Vec<(Timestamp, OrderNo, usize)> {
    let mut at = Vec::new();
    for (n, trader) in world.traders.iter().enumerate() {
        for order in world.exchange.core.all_orders(trader.no) {
            let is_meant = ClientOrderId::parse(order.client_id()).is_some_and(|id| id.leg == leg);
            if is_meant && order.created_at >= since {
                at.push((order.created_at, order.no, n));
            }
        }
    }
    at.sort_unstable();
    at
}

/// When the entries of the newest signal reached the exchange, sorted.
fn arrivals<P: Spoken>(world: &World<P>, since: Timestamp) -> Vec<Timestamp> {
    arrived(world, Leg::Entry, since).into_iter().map(|(at, ..)| at).collect()
}

/// When the last entry of a signal that is sent now has reached the exchange, in microseconds from now.
fn last_entry<P: Spoken>(world: &mut World<P>, accounts: usize) -> u64 {
    let began = world.now;
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("entered", 120 * SECOND, |w| arrivals(w, began).len() == accounts);
    arrivals(world, began).last().expect("some").micros_since(began)
}

/// Two trades of a symbol. With `ahead`, the accounts name it, and leverage and margin type are set before the first signal; else
/// the first signal sets them, and only the second is measured.
fn fan_out<P: Spoken>(accounts: usize, ready_span: u64, ahead: bool, all_within: u64) {
    let mut start = Start::usual(5);
    if ahead {
        start.symbols = vec!["ETHUSDT", "BTCUSDT"];
    }
    let mut world = World::<P>::with(5, accounts, Weather { delay_max: 5_000, ..Weather::default() }, start);
    world.until("ready", ready_span, World::is_ready);
    world.until("order entry is warm", ready_span, |w| w.connector().is_warm());
    world.until("prepared", ready_span, |w| w.connector().is_prepared());
    world.step(10 * SECOND);
    let limited = world.connector().metrics().limited;
    let set_up = settings_sent(&world);
    for trade in [1, 2] {
        let last = last_entry(&mut world, accounts);
        println!("{accounts} accounts, trade {trade} of a symbol: last entry {last} µs after the signal");
        if ahead || trade == 2 {
            assert!(last <= all_within, "trade {trade}: the last of {accounts} entries after {last} µs");
        }
        world.until("open", 240 * SECOND, World::is_open);
        assert_eq!(
            world.connector().metrics().limited,
            limited,
            "the exchange refused something for a limit"
        );
        world.signal(SignalKind::CloseAll, "BTCUSDT");
        world.until("flat", 240 * SECOND, World::is_flat);
        world.step(60 * SECOND);
        world.check();
    }
    if ahead {
        assert_eq!(settings_sent(&world), set_up, "all of it was set ahead");
    }
    assert_eq!(world.connector().metrics().limited, limited, "the exchange refused something for a limit");
    let bare = world.traders.iter().map(|t| t.bare_longest).max().unwrap_or(0);
    assert!(bare < 5 * SECOND, "{bare} µs without a stop");
    println!("at most {} ms without a stop", bare / 1_000);
}

/// Requests that set leverage or margin type.
fn settings_sent<P: Spoken>(world: &World<P>) -> u32 {
    let paths = [
        "POST /fapi/v1/leverage",
        "POST /fapi/v1/marginType",
        "POST /v5/position/set-leverage",
        "POST /v5/account/set-margin-mode",
    ];
    paths.iter().filter_map(|path| world.calls.get(*path)).sum()
}

/// Orders cost the address nothing on Binance: nothing but the network is waited for.
#[test]
fn binance_entries_do_not_wait_for_the_address() {
    fan_out::<Binance>(1_000, 1_800 * SECOND, false, SECOND / 2);
}

/// 3,000 orders a second may be entered over WebSockets, a fifth of it is kept for closes: 1,000 are less than a second's allowance, so
/// that nothing but the network is waited for, be it the first trade of the symbol or not.
#[test]
fn bybit_entries_use_what_the_limits_allow() {
    fan_out::<Bybit>(1_000, 3_600 * SECOND, true, SECOND / 20);
}

/// 10,000 accounts at 3,000 orders a second, both divided by 20: the limit of the address is reached, and is what all of it takes. Entries
/// may have four fifths of it, closes all.
#[test]
fn bybit_entries_and_closes_that_reach_the_limit_use_95_percent_of_it_without_a_breach() {
    const ACCOUNTS: usize = 500;
    const NETWORK: u64 = 5_000;
    let mut start = Start::usual(10);
    start.symbols = vec!["BTCUSDT"];
    let socket = VenueLimits::BYBIT.socket.map(|limit| Limit { units: limit.units / 20, ..limit });
    let limit = socket.expect("Bybit has one").units as usize;
    start.limits = Some(VenueLimits { socket, ..VenueLimits::BYBIT });
    let weather = Weather { delay_max: NETWORK, ..Weather::default() };
    let mut world = World::<Bybit>::with(10, ACCOUNTS, weather, start);
    world.until("ready", 1_800 * SECOND, World::is_ready);
    world.until("order entry is warm", 1_800 * SECOND, |w| w.connector().is_warm());
    world.until("prepared", 1_800 * SECOND, |w| w.connector().is_prepared());
    world.step(10 * SECOND);
    let check = |at: &[Timestamp], began: Timestamp, a_second: usize| {
        assert_eq!(at.len(), ACCOUNTS);
        // The windows that have to be over before the last of them may leave.
        let least = ((ACCOUNTS - 1) / a_second) as u64 * SECOND;
        let took = at.last().expect("some").micros_since(began);
        println!("{ACCOUNTS} orders at {a_second} a second took {took} µs, {least} at least");
        assert!(took <= least * 100 / 95 + 2 * NETWORK, "{took} µs, {least} at least");
        for (first, next) in at.iter().zip(&at[limit..]) {
            assert!(next.micros_since(*first) >= SECOND, "more than {limit} within a second of {first:?}");
        }
    };
    let began = world.now;
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("open", 240 * SECOND, World::is_open);
    check(&arrivals(&world, began), began, limit * 4 / 5);
    world.step(10 * SECOND);
    let began = world.now;
    world.signal(SignalKind::CloseAll, "BTCUSDT");
    world.until("flat", 240 * SECOND, World::is_flat);
    let closes: Vec<Timestamp> =
        arrived(&world, Leg::SignalClose, began).into_iter().map(|(at, ..)| at).collect();
    check(&closes, began, limit);
    assert_eq!(world.connector().metrics().limited, 0, "the exchange refused something for a limit");
    world.step(30 * SECOND);
    world.check();
}

/// A world of accounts that are ready and whose order entry is warm.
fn warm<P: Spoken>(accounts: usize, start: Start) -> World<P> {
    let mut world = World::<P>::with(6, accounts, Weather::default(), start);
    world.until("ready", 600 * SECOND, World::is_ready);
    world.until("order entry is warm", 600 * SECOND, |w| w.connector().is_warm());
    world.step(10 * SECOND);
    world
}

/// Nobody is first every time: two signals to the same accounts reach them in two orders.
#[test]
fn no_account_is_always_the_first_of_a_fan_out() {
    fn on<P: Spoken>() {
        let mut world = warm::<P>(40, Start::usual(6));
        let mut round = || {
            let began = world.now;
            world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
            world.until("open", 60 * SECOND, World::is_open);
            let order: Vec<usize> = arrived(&world, Leg::Entry, began).into_iter().map(|(.., n)| n).collect();
            world.signal(SignalKind::CloseAll, "BTCUSDT");
            world.until("flat", 60 * SECOND, World::is_flat);
            world.step(10 * SECOND);
            order
        };
        // The first one finds leverage to be set, which mixes them by itself.
        let [_, second, third] = [round(), round(), round()];
        assert_eq!((second.len(), third.len()), (40, 40));
        assert_ne!(second, third, "the accounts came in the same order twice");
    }
    on::<Binance>();
    on::<Bybit>();
}

/// While entries wait for the address, closes do not: they have all of the budget first.
#[test]
fn closes_overtake_the_entries_that_wait() {
    const ACCOUNTS: usize = 60;
    let mut start = Start::usual(7);
    let few = VenueLimits::BYBIT.socket.map(|limit| Limit { units: 20, ..limit });
    start.limits = Some(VenueLimits { socket: few, ..VenueLimits::BYBIT });
    let mut world = warm::<Bybit>(ACCOUNTS, start);
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("open", 120 * SECOND, World::is_open);
    world.step(10 * SECOND);
    let began = world.now;
    // 16 entries a second at most, so four seconds of them.
    world.signal(SignalKind::OpenLong { strong: false }, "ETHUSDT");
    world.until("some have entered", 60 * SECOND, |w| arrivals(w, began).len() > 4);
    let asked = world.now;
    world.signal(SignalKind::CloseAll, "BTCUSDT");
    world.until("closed", 60 * SECOND, |w| arrived(w, Leg::SignalClose, asked).len() == ACCOUNTS);
    let took = world.now.micros_since(asked);
    let entered = arrivals(&world, began).len();
    assert!(took < 5 * SECOND, "{ACCOUNTS} closes took {took} µs at 20 a second");
    assert!(entered < ACCOUNTS, "all entries went before the last close");
}

/// Entries over a socket whose network has enough of them wait unsigned: closes do not wait behind their bytes, and what was
/// never sent is nothing that anybody has to ask about.
#[test]
fn closes_overtake_the_entries_that_a_crowded_socket_holds_back() {
    const ACCOUNTS: usize = 60;
    let mut world = warm::<Binance>(ACCOUNTS, Start::usual(8));
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("open", 120 * SECOND, World::is_open);
    world.step(10 * SECOND);
    let began = world.now;
    world.crowd(true);
    world.signal(SignalKind::OpenLong { strong: false }, "ETHUSDT");
    world.step(SECOND / 2);
    world.signal(SignalKind::CloseAll, "BTCUSDT");
    world.until("closed", 10 * SECOND, |w| arrived(w, Leg::SignalClose, began).len() == ACCOUNTS);
    assert_eq!(arrivals(&world, began), [], "entries went over a crowded socket");
    world.crowd(false);
    world.until("entered", 10 * SECOND, |w| arrivals(w, began).len() == ACCOUNTS);
    world.until("open", 60 * SECOND, World::is_open);
    world.check();
    assert_eq!(world.connector().metrics().unknown, 0);
}

/// Without a socket for orders, entries go by HTTP, and the exchange may be slow to answer them: a fifth of what may be under way is
/// out of their reach, so that closes go at once.
#[test]
fn closes_overtake_the_entries_whose_answers_by_http_are_slow() {
    const ACCOUNTS: usize = 60;
    let mut world = warm::<Binance>(ACCOUNTS, Start::usual(9));
    world.signal(SignalKind::OpenLong { strong: false }, "BTCUSDT");
    world.until("open", 120 * SECOND, World::is_open);
    world.step(10 * SECOND);
    world.without_order_entry();
    world.step(20 * SECOND);
    let slow = Rule {
        on: "POST /fapi/v1/order".to_owned(),
        when: When::Every(1),
        fault: Fault::Latency { ms: 1_500 },
    };
    world.exchange.faults.add(slow).expect("room");
    let began = world.now;
    world.signal(SignalKind::OpenLong { strong: false }, "ETHUSDT");
    world.step(SECOND * 2 / 5);
    assert_eq!(arrivals(&world, began).len(), 38, "as many as may be under way: {}", world.picture());
    let asked = world.now;
    world.signal(SignalKind::CloseAll, "BTCUSDT");
    world.step(SECOND / 5);
    let at_once = arrived(&world, Leg::SignalClose, asked).len();
    assert!(at_once >= 10, "{at_once} closes went at once: {}", world.picture());
    // What becomes free is theirs first.
    world.until("nearly all closed", 10 * SECOND, |w| {
        arrived(w, Leg::SignalClose, asked).len() >= ACCOUNTS - 5
    });
    assert_eq!(arrivals(&world, began).len(), 38, "entries went before the closes: {}", world.picture());
    world.until("closed", 10 * SECOND, |w| arrived(w, Leg::SignalClose, asked).len() == ACCOUNTS);
    world.exchange.faults.clear();
    world.until("entered", 60 * SECOND, |w| arrivals(w, began).len() == ACCOUNTS);
    world.until("open", 60 * SECOND, World::is_open);
    world.step(30 * SECOND);
    world.check();
}
