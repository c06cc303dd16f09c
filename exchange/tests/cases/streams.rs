//! S and T: streams that end, break or fall silent, and clocks that are wrong.

use engine::core::ids::Leg;
use engine::core::position::CloseReason;
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
        // Pings come, events do not: that the entry was not told of makes the stream suspect, and what else it keeps to
        // itself is looked for, long before the rotation would.
        world.until("flat", 45 * SECOND, World::is_flat);
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s3_an_exit_into_a_socket_that_swallows_it_goes_another_way() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(49, 1);
        let silent = world.connector().metrics().silent;
        // Every socket stays open and is dead.
        world.hush();
        world.signal(SignalKind::CloseAll, BTC);
        world.until("flat there", 5 * SECOND, |w| held(w, 0) == 0);
        assert!(world.connector().metrics().silent > silent, "it is given up: {}", world.picture());
        world.until("flat", 20 * SECOND, World::is_flat);
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s3_case_s12_an_order_that_the_stream_does_not_tell_of_makes_it_suspect() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(47, 2);
        let sockets = world.sockets_opened();
        rule(&mut world, "stream *", ALWAYS, Fault::Lose);
        let before = world.connector().metrics().comparisons;
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        world.step(8 * SECOND);
        let metrics = world.connector().metrics();
        assert!(metrics.untold >= 2, "{}", world.picture());
        assert!(metrics.comparisons >= before + 2, "compared at once: {}", world.picture());
        assert!(world.sockets_opened() > sockets, "opened anew: {}", world.picture());
        // A stream that tells again is trusted again.
        world.exchange.faults.clear();
        closed(&mut world);
        let (sockets, metrics) = (world.sockets_opened(), world.connector().metrics());
        world.step(240 * SECOND);
        assert_eq!(world.sockets_opened(), sockets, "{}", world.picture());
        let more = world.connector().metrics().comparisons - metrics.comparisons;
        assert!(more <= 4, "{more} comparisons in 4 minutes: {}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s3_a_socket_over_which_nothing_comes_is_ended_and_opened_anew() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(48, 2);
        // To just after a comparison in rotation: the next one is five minutes away.
        for n in 0..2 {
            let before = world.connector().metrics().comparisons;
            world.until("compared", 310 * SECOND, |w| w.connector().metrics().comparisons > before + n);
        }
        if !world.is_open() {
            world.signal(LONG, BTC);
            world.until("open", 20 * SECOND, World::is_open);
            world.step(5 * SECOND);
        }
        let sockets = world.sockets_opened();
        world.hush();
        price_by(&mut world, -3);
        world.until("closed there", SECOND, |w| held(w, 0) == 0);
        assert!(!world.is_flat(), "nobody told: {}", world.picture());
        // A sign of life may have come just before; then sockets are opened and the lists are read.
        world.until("flat", P::SILENCE_MAX + 15 * SECOND, World::is_flat);
        assert!(world.connector().metrics().silent > 0, "{}", world.picture());
        assert!(world.sockets_opened() > sockets, "{}", world.picture());
        settled(&mut world);
        let gaps = world.connector().metrics().gaps;
        world.signal(SHORT, BTC);
        world.until("the streams tell again", 20 * SECOND, World::is_open);
        world.step(6 * SECOND);
        assert_eq!(world.connector().metrics().gaps, gaps, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s3_case_s6_a_quiet_socket_is_not_taken_for_a_dead_one() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(49, 2);
        let sockets = world.sockets_opened();
        // Nothing happens but pings and their answers.
        world.step(2 * 3_600 * SECOND);
        assert_eq!(world.connector().metrics().silent, 0, "{}", world.picture());
        assert_eq!(world.sockets_opened(), sockets, "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s4_a_connection_is_replaced_before_its_day_ends_and_nothing_told_meanwhile_is_lost() {
    use exchange::live::connector::limits::SOCKET_AGE_MAX;
    const DAY: u64 = 24 * 3_600 * SECOND;
    fn on<P: Spoken>(stream: &str) {
        // A day of one symbol's prices: of all of them it takes minutes.
        let start = crate::world::Start::with_one_symbol(50, BTC);
        let mut world = World::<P>::with(50, 1, CALM, start);
        world.until("ready", 60 * SECOND, World::is_ready);
        world.without_market_streams();
        world.until("warm again", 60 * SECOND, |w| w.connector().is_warm());
        // An hour before the end of the day that the exchange gives a socket, and not much later.
        world.step(SOCKET_AGE_MAX - 120 * SECOND);
        let (dialled, alone) = (world.dialled(stream), world.dialled_alone(stream));
        if !world.is_open() {
            world.signal(LONG, BTC);
            world.until("open", 20 * SECOND, World::is_open);
        }
        let gaps = world.connector().metrics().gaps;
        world.until("replaced", 300 * SECOND, |w| w.dialled(stream) > dialled);
        assert_eq!(world.dialled_alone(stream), alone, "the one before it tells still: {}", world.picture());
        // Its stop fires at that very moment.
        price_by(&mut world, -3);
        world.until("closed there", SECOND, |w| held(w, 0) == 0);
        // The stream that ends tells of it: the other one is not there yet.
        world.until("flat", SECOND / 2, World::is_flat);
        settled(&mut world);
        assert_eq!(world.connector().metrics().gaps, gaps, "{}", world.picture());
        let replaced = world.dialled(stream);
        world.step(DAY - SOCKET_AGE_MAX);
        assert_eq!(world.dialled(stream), replaced, "the exchange had none to end: {}", world.picture());
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>("/private/stream");
    on::<Bybit>("/v5/private");
}

#[test]
fn order_entry_that_does_not_come_up_holds_up_no_stream() {
    let mut world = ready::<Bybit>(51, 1);
    world.without_market_streams();
    world.without_order_entry();
    // Until a minute lies between two attempts.
    world.step(600 * SECOND);
    let came_up = world.sockets_opened();
    world.cut_sockets();
    world.until("the stream is back", 2 * SECOND, |w| w.sockets_opened() > came_up);
    let tried = world.dialled("/v5/trade");
    world.step(600 * SECOND);
    assert!((5..=40).contains(&(world.dialled("/v5/trade") - tried)), "{}", world.picture());
}

#[test]
fn a_demo_without_order_entry_by_socket_trades_by_requests_and_opens_none() {
    let mut start = crate::world::Start::usual(52);
    start.environment = engine::core::venue_account::Environment::Demo;
    let mut world = World::<Bybit>::with(52, 2, CALM, start);
    world.until("ready", 60 * SECOND, World::is_ready);
    world.step(SECOND);
    assert!(world.connector().is_warm(), "nothing is missing: {}", world.picture());
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    world.cut_sockets();
    world.step(60 * SECOND);
    assert_eq!(world.dialled("/v5/trade"), 0, "{}", world.picture());
    assert!(world.dialled("/v5/private") >= 4, "streams are there: {}", world.picture());
    closed(&mut world);
}

/// The private streams that are open, by what the exchange has of them.
fn private_streams(world: &World<Binance>) -> usize {
    world.connector().private_streams()
}

#[test]
fn accounts_that_come_one_by_one_share_few_streams_and_nothing_told_meanwhile_is_lost() {
    const COMING: usize = 70;
    let mut world = opened::<Binance>(222, 1);
    let mut most = 0;
    for n in 1..=COMING {
        world.trader_comes();
        world.step(3 * SECOND);
        most = most.max(private_streams(&world));
        assert!(private_streams(&world) <= 2 * n / 32 + 9, "after {n}: {}", world.picture());
        if n % 8 == 3 {
            // While streams are joined, a position ends at the exchange, and another is opened.
            price_by(&mut world, -3);
            world.until("ended", 20 * SECOND, World::is_flat);
            let closed = world.user(0).closed_positions.back().unwrap().closed;
            let by_itself = matches!(closed, Some(CloseReason::StopLoss | CloseReason::TakeProfit));
            assert!(by_itself, "{closed:?} is not what the exchange did: {}", world.picture());
            world.signal(LONG, BTC);
        }
    }
    assert!(most >= 3, "{most}: nothing was joined");
    let metrics = world.connector().metrics();
    let moves = metrics.comparisons / (COMING as u64 + 1);
    assert!(moves <= 12, "each account was compared {moves} times");
    world.step(20 * SECOND);
    let gaps = metrics.gaps;
    closed(&mut world);
    world.signal(SHORT, BTC);
    world.until("all open", 30 * SECOND, World::is_open);
    closed(&mut world);
    assert!(world.connector().metrics().gaps <= gaps + 2, "streams that do not tell: {}", world.picture());
    // Whoever comes last is on a stream that tells as well as those of the first.
    assert!(private_streams(&world) <= 8, "{}", private_streams(&world));
}

#[test]
fn a_listen_key_that_cannot_be_kept_and_still_lives_gets_no_second_stream() {
    for fault in [Fault::Unknown { executed: true }, Fault::Lost { executed: true }] {
        let mut world = ready::<Binance>(223, 3);
        world.without_market_streams();
        world.step(60 * SECOND);
        rule(&mut world, "PUT /fapi/v1/listenKey", ALWAYS, fault);
        let (streams, sockets) = (private_streams(&world), world.dialled("/private/stream"));
        let asked = world.calls["POST /fapi/v1/listenKey"];
        world.step(4_000 * SECOND);
        assert!(world.calls["POST /fapi/v1/listenKey"] >= asked + 6, "{:?}", world.calls);
        assert_eq!(private_streams(&world), streams, "{}", world.picture());
        assert_eq!(world.dialled("/private/stream"), sockets, "{}", world.picture());
    }
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

#[test]
fn case_t4_an_order_that_had_to_wait_is_signed_when_it_leaves() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(47, 1);
        for on in ["POST /fapi/v1/leverage", "POST /v5/position/set-leverage"] {
            rule(&mut world, on, ALWAYS, Fault::Unavailable { executed: false });
        }
        world.signal(LONG, BTC);
        // Twice as long as the exchange takes a signature for.
        world.step(12 * SECOND);
        assert!(!world.is_flat(), "{}", world.picture());
        world.exchange.faults.clear();
        world.until("open", 30 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s9_what_happens_between_the_first_look_and_the_stream_is_found_at_once() {
    let mut world = opened::<Binance>(48, 1);
    world.kill();
    // Positions were looked at, and once more for the wallet; the stream waits for its listen key.
    rule(&mut world, "POST /fapi/v1/listenKey", ALWAYS, Fault::Latency { ms: 1_200 });
    world.step(SECOND * 9 / 10);
    price_by(&mut world, -3);
    world.until("closed there", SECOND, |w| held(w, 0) == 0);
    world.exchange.faults.clear();
    // Sooner than an account that holds something and has no stream is compared again.
    world.until("flat", 15 * SECOND, World::is_flat);
    settled(&mut world);
}

#[test]
fn an_event_of_a_shared_stream_reaches_its_own_account_at_once() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(49, 3);
        world.signal(LONG, BTC);
        // Sooner than anything is asked for that no stream has told.
        world.until("open", SECOND * 4 / 5, World::is_open);
        world.step(5 * SECOND);
        assert_eq!(world.connector().metrics().gaps, 0, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_r2_while_the_address_is_banned_nothing_is_asked_or_opened_and_exits_go_right_after() {
    fn on<P: Spoken>(span: u64) {
        let mut world = opened::<P>(50, 1);
        world.ban(span);
        // What is open ends meanwhile, and an exit is wanted.
        world.cut_sockets();
        world.signal(SignalKind::CloseAll, BTC);
        world.step(5 * SECOND);
        let asked = world.exchange.breaches(P::FACE).while_banned;
        assert!(asked > 0, "it was told: {}", world.picture());
        world.step(span - 6 * SECOND);
        let on = world.exchange.breaches(P::FACE).while_banned - asked;
        assert_eq!(on, 0, "asked on: {}", world.picture());
        assert!(held(&world, 0) != 0, "nothing gets there");
        world.until("flat there", 10 * SECOND, |w| held(w, 0) == 0);
        settled(&mut world);
    }
    on::<Binance>(60 * SECOND);
    on::<Bybit>(600 * SECOND);
}

#[test]
fn case_t1_case_t3_what_the_exchange_judges_or_stamps_by_a_wrong_clock_is_done_once() {
    fn on<P: Spoken>() {
        // Refused for being ahead or too old, and taken with the time of another clock.
        for ms in [-3_000, 7_000, -900, 3_000] {
            let mut world = ready::<P>(51, 1);
            rule_on_orders(&mut world, When::Next(1), &Fault::Skew { ms });
            world.signal(LONG, BTC);
            world.until("open", 30 * SECOND, World::is_open);
            assert!(world.exchange.faults.rules().any(|(.., applied)| applied > 0), "{}", world.picture());
            assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{ms}: {}", world.picture());
            closed(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s1_a_key_that_ends_in_the_middle_of_an_order_or_of_what_is_told_hides_nothing() {
    for on in [
        "order.place",
        "algoOrder.place",
        "stream ORDER_TRADE_UPDATE",
        "stream ACCOUNT_UPDATE",
        "stream ALGO_UPDATE",
    ] {
        let mut world = ready::<Binance>(52, 2);
        rule(&mut world, on, When::Next(1), Fault::ExpireListenKey);
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
        let met: Vec<u64> = world.exchange.faults.rules().map(|(.., applied)| applied).collect();
        assert_eq!(met, [1], "{on}: {}", world.picture());
        let bare = world.traders.iter().map(|t| t.bare_longest).max().unwrap();
        assert!(bare < 5 * SECOND, "{on}: {bare} µs; {}", world.picture());
        closed(&mut world);
    }
}
