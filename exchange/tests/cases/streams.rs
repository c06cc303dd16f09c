//! S and T: streams that end, break or fall silent, and clocks that are wrong.

use engine::core::ids::Leg;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::paper_exchange::faults::{Fault, When};

use super::*;

#[test]
fn case_s1_case_s2_a_key_that_ends_is_a_gap_and_is_never_deleted_by_us() {
    let mut world = opened::<Binance>(41, 2);
    for kind in [None, Some(-3)] {
        // Another program of the same account has closed the key.
        let now = world.now;
        world.exchange.expire_listen_keys(now);
        if let Some(percent) = kind {
            // What happens in the gap is found.
            price_by(&mut world, percent);
            world.until("flat", 60 * SECOND, World::is_flat);
        }
        world.step(5 * SECOND);
        settled(&mut world);
    }
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    closed(&mut world);
    world.kill();
    world.step(5 * SECOND);
    assert!(world.calls.keys().all(|call| !call.starts_with("DELETE")), "{:?}", world.calls);
}

#[test]
fn case_s3_case_s11_case_s12_a_stream_that_is_silent_costs_time_and_no_fill() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(42, 1);
        silence(&mut world);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        price_by(&mut world, -3);
        world.until("closed there", SECOND, |w| held(w, 0) == 0);
        // Pings come, events do not: the comparison in rotation is what finds it.
        world.until("flat", 310 * SECOND, World::is_flat);
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s4_a_connection_is_replaced_before_its_day_ends() {
    use exchange::live::connector::limits::SOCKET_AGE_MAX;
    const DAY: u64 = 24 * 3_600 * SECOND;
    // With room for the slowest quiet moment.
    const { assert!(SOCKET_AGE_MAX + 600 * SECOND < DAY) };
}

#[test]
fn case_s5_the_listen_key_is_kept_and_fills_are_told_after_its_hour() {
    let mut world = opened::<Binance>(43, 1);
    world.step(62 * 60 * SECOND);
    assert!(world.calls["PUT /fapi/v1/listenKey"] >= 2, "{:?}", world.calls);
    assert_eq!(world.connector().metrics().gaps, 0, "{}", world.picture());
    if world.is_flat() {
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
    }
    let opened_keys = world.calls["POST /fapi/v1/listenKey"];
    assert_eq!(opened_keys, 1, "the key never ended: {:?}", world.calls);
    closed(&mut world);
}

#[test]
fn case_s8_case_s9_case_s10_after_a_break_everything_is_compared() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(44, 2);
        let before = world.connector().metrics().comparisons;
        world.cut();
        world.step(10 * SECOND);
        // The target of both fills while nobody listens.
        price_by(&mut world, 4);
        world.step(20 * SECOND);
        world.weather(CALM);
        world.until("flat", 120 * SECOND, World::is_flat);
        settled(&mut world);
        assert!(world.connector().metrics().comparisons >= before + 2, "{}", world.picture());
        world.signal(SHORT, BTC);
        world.until("the streams tell again", 20 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s12_a_dropped_stream_is_told_apart_from_a_quiet_one() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(45, 1);
        rule(&mut world, "stream *", When::Next(1), Fault::Drop);
        let before = world.connector().metrics().comparisons;
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
        world.step(5 * SECOND);
        assert!(world.connector().metrics().comparisons > before, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_t1_case_t2_case_t3_a_clock_that_jumps_is_measured_again_and_orders_go_through() {
    fn on<P: Spoken>() {
        for skew in [7_000, -7_000, 1_500, -1_500] {
            let mut world = ready::<P>(46, 1);
            world.exchange.core.clock.skew_ms = skew;
            world.signal(LONG, BTC);
            world.until("open", 30 * SECOND, World::is_open);
            assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{skew}: {}", world.picture());
            closed(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}
