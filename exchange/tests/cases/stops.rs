//! O and H: exits, stops and targets, and what may be left of them.

use engine::core::ids::Leg;
use engine::core::position::CloseReason;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::paper_exchange::faults::{Fault, When};

use super::*;

#[test]
fn case_o5_case_x15_a_close_of_what_is_flat_already_is_done_and_opens_nothing() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(31, 1);
        silence(&mut world);
        let all = Quantity::from_units(held(&world, 0));
        by_hand(&mut world, Side::Sell, all, true);
        // We still believe it to be open.
        world.signal(SignalKind::CloseAll, BTC);
        world.until("flat", 90 * SECOND, World::is_flat);
        assert_eq!(held(&world, 0), 0, "{}", world.picture());
        world.exchange.faults.clear();
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_o2_case_o3_case_o6_case_h8_exits_close_only_and_never_more_than_there_is() {
    fn on<P: Spoken>() {
        for kind in [LONG, SHORT] {
            let mut world = ready::<P>(32, 1);
            world.signal(kind, BTC);
            world.until("open", 20 * SECOND, World::is_open);
            let side = world.user(0).positions[0].side;
            // Half of it goes by hand at the very moment of the close.
            let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
            let half = held(&world, 0).abs() / 2 / step * step;
            by_hand(&mut world, side.opposite(), Quantity::from_units(half), true);
            closed(&mut world);
            assert_eq!(held(&world, 0), 0, "{}", world.picture());
            let account = world.exchange.core.all_orders(world.traders[0].no);
            let exits = account
                .into_iter()
                .filter(|o| ClientOrderId::parse(o.client_id()).is_some_and(|id| id.leg != Leg::Entry));
            for exit in exits {
                assert!(exit.spec.closes_only() && exit.spec.side == side.opposite(), "{exit:?}");
            }
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_o7_a_trigger_that_does_not_exist_yet_is_not_placed_a_second_time() {
    let mut world = ready::<Binance>(33, 1);
    for on in ["GET /fapi/v1/algoOrder", "algoOrder.status"] {
        rule(&mut world, on, ALWAYS, Fault::Code { code: -2013, executed: false });
    }
    rule(&mut world, "stream ALGO_UPDATE", ALWAYS, Fault::Lose);
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    // Streams break meanwhile, so that everything is compared: twice within the time that it may stay invisible.
    for _ in 0..3 {
        let now = world.now;
        world.exchange.expire_listen_keys(now);
        world.step(8 * SECOND);
        assert_eq!(triggers(&world, 0), (1, 1), "{}", world.picture());
        assert!(ours(&world, 0) > 0, "closed for a stop that is there: {}", world.picture());
    }
    assert_eq!(at_exchange(&world, 0, Leg::Stop).len(), 1, "{}", world.picture());
    assert_eq!(at_exchange(&world, 0, Leg::TakeProfit).len(), 1, "{}", world.picture());
    world.exchange.faults.clear();
    closed(&mut world);
    assert_eq!(triggers(&world, 0), (0, 0), "{}", world.picture());
}

#[test]
fn case_o8_the_other_one_of_the_pair_goes_when_one_has_filled() {
    fn on<P: Spoken>() {
        for percent in [-3, 4] {
            let mut world = opened::<P>(34, 1);
            price_by(&mut world, percent);
            world.until("flat", 60 * SECOND, World::is_flat);
            settled(&mut world);
            assert_eq!(triggers(&world, 0), (0, 0), "{}", world.picture());
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_o9_an_open_position_gets_its_stop_back_or_is_closed() {
    fn on<P: Spoken>() {
        for restart in [false, true] {
            let mut world = opened::<P>(35, 1);
            take_triggers(&mut world, false);
            if restart {
                world.kill();
            }
            let covered = |w: &World<P>| triggers(w, 0).0 == 1 || held(w, 0) == 0;
            world.until("protected or closed", 12 * SECOND, covered);
            world.until("both sides agree", 30 * SECOND, |w| w.is_open() || w.is_flat());
            settled(&mut world);
            assert!(covered(&world), "{}", world.picture());
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

/// Binance calls a trigger that its system took back `EXPIRED`, and gives a closed position as an example of why. With the position
/// open it is one like any other that is gone.
#[test]
fn case_o9_a_trigger_that_the_exchange_takes_back_by_itself_is_set_again() {
    fn on<P: Spoken>() {
        for restart in [false, true] {
            let mut world = opened::<P>(217, 1);
            for round in 1..=2 {
                if restart {
                    world.cut();
                    world.step(SECOND);
                }
                let no = world.traders[0].no;
                let waiting: Vec<_> = world
                    .exchange
                    .core
                    .open_orders(no)
                    .filter(|o| o.spec.trigger.is_some())
                    .map(|o| o.no)
                    .collect();
                for order in waiting {
                    world.exchange.core.expire(no, order).unwrap();
                }
                if restart {
                    world.kill();
                    world.weather(CALM);
                }
                let protected = |w: &World<P>| triggers(w, 0) == (1, 1) && w.is_open();
                world.until("protected", 12 * SECOND, protected);
                world.step(8 * SECOND);
                assert!(protected(&world), "closed though it could be protected: {}", world.picture());
                assert!(P::ATTACHES || at_exchange(&world, 0, Leg::Stop).len() == round + 1);
            }
            closed(&mut world);
            assert_eq!(triggers(&world, 0), (0, 0), "{}", world.picture());
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_o10_no_stop_of_an_old_position_meets_a_new_one() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(36, 1);
        for kind in [SHORT, LONG, SHORT] {
            world.signal(SignalKind::CloseAll, BTC);
            world.until("flat", 60 * SECOND, World::is_flat);
            world.signal(kind, BTC);
            world.until("open", 60 * SECOND, World::is_open);
            world.step(5 * SECOND);
            assert_eq!(triggers(&world, 0), (1, 1), "{}", world.picture());
            let side = world.user(0).positions[0].side;
            let no = world.traders[0].no;
            for order in world.exchange.core.open_orders(no) {
                assert_eq!(order.spec.side, side.opposite(), "{}", world.picture());
            }
        }
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_o12_triggers_go_one_by_one() {
    // By requests, where each is seen by its path: one for the stop, one for the target.
    let mut world = ready::<Binance>(37, 1);
    world.without_order_entry();
    world.until("ready again", 30 * SECOND, World::is_ready);
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    assert_eq!(triggers(&world, 0), (1, 1), "{}", world.picture());
    let posted = |path: &str| world.calls.get(&format!("POST {path}")).copied().unwrap_or(0);
    let by_path = ["/fapi/v1/order", "/fapi/v1/algoOrder", "/fapi/v1/batchOrders"].map(posted);
    assert_eq!(by_path, [1, 2, 0], "{:?}", world.calls);
}

/// What was to correct the stop that came with an entry can be lost, like any request; the next look corrects it.
#[test]
fn a_stop_that_is_not_at_our_price_is_corrected() {
    let mut world = opened::<Bybit>(88, 1);
    let no = world.traders[0].no;
    let there =
        |w: &World<Bybit>| w.exchange.core.position(no, symbol(BTC)).and_then(|p| p.stop).map(|s| s.0);
    let ours = there(&world).expect("it is protected");
    let tick = world.exchange.core.instrument(symbol(BTC)).unwrap().tick;
    let other = Price::from_units(ours.units() - 7 * tick.units());
    world.exchange.core.set_position_triggers(no, symbol(BTC), Some(Some(other)), None, None).unwrap();
    assert_eq!(there(&world), Some(other));
    world.cut();
    world.step(SECOND);
    world.weather(CALM);
    world.until("corrected", 60 * SECOND, |w| there(w) == Some(ours));
    closed(&mut world);
}

/// The price passes a stop that is gone before it can be set again: that is told, and what the stop was for is done.
#[test]
fn case_o9_a_lost_stop_whose_price_was_passed_closes_the_position() {
    fn on<P: Spoken>() {
        for restart in [false, true] {
            let mut world = opened::<P>(211, 1);
            world.cut();
            world.step(SECOND);
            take_triggers(&mut world, false);
            if restart {
                world.kill();
                world.cut();
            }
            price_by(&mut world, -3);
            world.step(3 * SECOND);
            assert!(held(&world, 0) > 0, "nothing closes it without us: {}", world.picture());
            world.weather(CALM);
            // Connected again, the list is read, and the price stays where it is.
            let began = world.now;
            while held(&world, 0) > 0 {
                assert!(world.now.micros_since(began) < 12 * SECOND, "{}", world.picture());
                price_at(&mut world, -3);
                world.step(SECOND / 4);
            }
            world.until("flat", 30 * SECOND, World::is_flat);
            let closed = world.user(0).closed_positions.back().unwrap().closed;
            // Binance tells the end of the stop, then the new one's refusal.
            assert!(closed.is_some(), "{}", world.picture());
            settled(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

/// What is gone and cannot be set again for any reason is the engine's to decide on: it closes within its 5 s.
#[test]
fn case_o9_a_lost_stop_that_cannot_be_set_again_closes_the_position() {
    for fault in [
        Fault::Unavailable { executed: false },
        Fault::Code { code: 10_001, executed: false },
        Fault::Code { code: 110_020, executed: false },
        Fault::Code { code: 10_016, executed: false },
        Fault::Lost { executed: false },
    ] {
        let mut world = opened::<Bybit>(212, 1);
        rule(&mut world, "POST /v5/position/trading-stop", ALWAYS, fault.clone());
        let gone = world.now;
        take_triggers(&mut world, false);
        world.until("closed there", 8 * SECOND, |w| held(w, 0) == 0);
        let took = world.now.micros_since(gone);
        assert!(took < 7 * SECOND, "{fault:?}: after {took} µs; {}", world.picture());
        world.until("flat", 30 * SECOND, World::is_flat);
        world.exchange.faults.clear();
        settled(&mut world);
        let position = *world.user(0).closed_positions.back().unwrap();
        assert_eq!(position.closed, Some(CloseReason::Unprotected), "{fault:?}: {}", world.picture());
    }
}

/// A trigger that fires and becomes no order protects nothing: the position is closed in its stead.
#[test]
fn case_o9_a_stop_that_never_ends_firing_closes_the_position() {
    for (percent, by, restart, lost) in [
        (-3, CloseReason::StopLoss, false, ""),
        (-3, CloseReason::StopLoss, false, "stream ALGO_UPDATE"),
        (-3, CloseReason::StopLoss, true, ""),
        (4, CloseReason::TakeProfit, false, ""),
    ] {
        let mut world = ready::<Binance>(214, 1);
        for on in ["algoOrder.place", "POST /fapi/v1/algoOrder"] {
            rule(&mut world, on, When::Next(2), Fault::StayTriggering);
        }
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        world.step(3 * SECOND);
        if !lost.is_empty() {
            rule(&mut world, lost, ALWAYS, Fault::Lose);
        }
        price_by(&mut world, percent);
        world.step(SECOND / 10);
        assert!(held(&world, 0) > 0, "nothing closes it without us: {}", world.picture());
        if restart {
            world.kill();
        }
        // What no stream tells is found by the accounts' turn.
        let within = if lost.is_empty() { 7 } else { 400 };
        world.until("closed there", within * SECOND, |w| held(w, 0) == 0);
        world.until("flat", 30 * SECOND, World::is_flat);
        let closed = world.user(0).closed_positions.back().unwrap().closed;
        assert_eq!(closed, Some(by), "{}", world.picture());
        settled(&mut world);
        assert_eq!(triggers(&world, 0), (0, 0), "{}", world.picture());
    }
}

/// Once refused, a stop is set again as soon as that works: nothing of it stays behind.
#[test]
fn case_o9_a_stop_that_was_refused_once_is_there_afterwards() {
    for round in 0..3 {
        let mut world = opened::<Bybit>(213, 1);
        for _ in 0..=round {
            let refusal = Fault::Code { code: 10_001, executed: false };
            rule(&mut world, "POST /v5/position/trading-stop", When::Next(1), refusal);
            take_triggers(&mut world, false);
            world.until("protected", 8 * SECOND, |w| triggers(w, 0) == (1, 1) && w.is_open());
            world.step(3 * SECOND);
        }
        closed(&mut world);
    }
}
