//! P: what fills in part, what others do, and what a restart finds.

use engine::core::ids::Leg;
use engine::core::order::VenueReason;
use engine::core::position::{CloseReason, PositionState};
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::Notice;
use exchange::paper_exchange::faults::{Fault, When};

use super::*;
use crate::world::Start;

/// A world whose market gives an order a few of its smallest steps at a time and then no more.
fn thin<P: Spoken>(seed: u64) -> World<P> {
    let mut start = Start::usual(seed);
    for listing in &mut start.settings.venue.listings {
        listing.depth = listing.instrument.step;
    }
    start.margins = vec![1_000];
    let mut world = World::<P>::with(seed, 1, CALM, start);
    world.until("ready", 60 * SECOND, World::is_ready);
    world
}

#[test]
fn case_p1_case_p2_case_p3_what_was_filled_is_the_position_and_is_protected_and_closed() {
    fn on<P: Spoken>() {
        let mut world = thin::<P>(21);
        world.signal(LONG, BTC);
        world.until("open", 60 * SECOND, World::is_open);
        let entry = at_exchange(&world, 0, Leg::Entry).pop().unwrap();
        assert!(entry.filled < entry.spec.quantity, "filled in full: {}", world.picture());
        assert_eq!(ours(&world, 0), entry.filled.units(), "{}", world.picture());
        assert_eq!(triggers(&world, 0), (1, 1), "{}", world.picture());
        settled(&mut world);
        // Its exits fill in parts too.
        closed(&mut world);
        assert_eq!(held(&world, 0), 0);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p4_case_p5_a_restart_and_a_reconnect_find_the_position_as_it_is() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(22, 2);
        let before = ours(&world, 0);
        world.kill();
        world.until("ready", 60 * SECOND, |w| w.is_ready() && w.is_open());
        settled(&mut world);
        assert_eq!(ours(&world, 0), before);
        assert_eq!(triggers(&world, 0), (1, 1), "{}", world.picture());
        // Closed while nobody listens: known when somebody does again.
        world.cut();
        world.step(5 * SECOND);
        price_by(&mut world, -3);
        world.step(5 * SECOND);
        assert_eq!(held(&world, 0), 0);
        world.weather(CALM);
        world.until("flat", 120 * SECOND, World::is_flat);
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p6_a_close_by_hand_is_booked_as_that() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(23, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let part = held(&world, 0) / 2 / step * step;
        by_hand(&mut world, Side::Sell, Quantity::from_units(part), true);
        world.step(15 * SECOND);
        assert_eq!(ours(&world, 0), held(&world, 0), "{}", world.picture());
        assert!(ours(&world, 0) > 0, "{}", world.picture());
        settled(&mut world);
        let rest = Quantity::from_units(held(&world, 0));
        by_hand(&mut world, Side::Sell, rest, true);
        world.until("flat", 30 * SECOND, World::is_flat);
        let position = *world.user(0).closed_positions.back().unwrap();
        assert_eq!(position.closed, Some(CloseReason::External), "{}", world.picture());
        settled(&mut world);
        assert_eq!(triggers(&world, 0), (0, 0), "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p6_what_was_opened_by_hand_is_left_alone_and_nothing_opens_beside_it() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(24, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step;
        let size = Quantity::from_units(step.units() * 100);
        by_hand(&mut world, Side::Sell, size, false);
        world.step(15 * SECOND);
        assert!(world.notices().iter().any(|n| matches!(n, Notice::Foreign(..))), "{}", world.picture());
        world.signal(LONG, BTC);
        world.step(5 * SECOND);
        assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 0, "{}", world.picture());
        assert_eq!(held(&world, 0), -size.units(), "{}", world.picture());
        let refused = *world.user(0).final_orders.back().unwrap();
        assert_eq!(refused.reason, Some(VenueReason::ForeignPosition), "{}", world.picture());
        // Other symbols are not concerned; nor is this one when the hand has closed it.
        world.signal(LONG, ETH);
        world.until("open", 30 * SECOND, World::is_open);
        by_hand(&mut world, Side::Buy, size, true);
        world.step(15 * SECOND);
        world.signal(SignalKind::CloseAll, ETH);
        world.until("flat", 30 * SECOND, World::is_flat);
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p7_the_position_and_not_the_history_says_what_is_open_and_what_it_cost() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(25, 1);
        let before = world.user(0).positions[0];
        for on in ["GET /fapi/v1/userTrades", "GET /v5/execution/list"] {
            rule(&mut world, on, ALWAYS, Fault::Unavailable { executed: false });
        }
        world.kill();
        world.until("ready", 60 * SECOND, |w| w.is_ready() && w.is_open());
        world.step(20 * SECOND);
        let after = world.user(0).positions[0];
        assert_eq!((after.quantity, after.entry_cost), (before.quantity, before.entry_cost));
        world.exchange.faults.clear();
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p4_case_p6_a_position_is_not_closed_by_a_list_that_is_older_than_it() {
    fn on<P: Spoken>(events: &str, list: &str) {
        for late in [Fault::Lost { executed: true }, Fault::Latency { ms: 4_000 }] {
            // A round before a restart: its executions are in the exchange's lists, and no order of ours is known for them.
            let mut world = opened::<P>(78, 1);
            closed(&mut world);
            world.kill();
            world.until("ready", 60 * SECOND, World::is_ready);
            rule(&mut world, &format!("stream {events}"), ALWAYS, Fault::Lose);
            rule(&mut world, list, ALWAYS, late);
            world.signal(LONG, BTC);
            world.until("open", 20 * SECOND, World::is_open);
            world.step(30 * SECOND);
            assert_eq!(ours(&world, 0), held(&world, 0), "{}", world.picture());
            assert!(held(&world, 0) > 0, "{}", world.picture());
            world.exchange.faults.clear();
            settled(&mut world);
            closed(&mut world);
        }
    }
    on::<Binance>("ACCOUNT_UPDATE", "GET /fapi/v3/positionRisk");
    on::<Bybit>("position", "GET /v5/position/list");
}

#[test]
fn case_p6_what_a_hand_does_on_one_symbol_does_not_hide_another() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(79, 1);
        let no = world.traders[0].no;
        let step = world.exchange.core.instrument(symbol(ETH)).unwrap().step.units();
        let quantity = Quantity::from_units(100 * step);
        silence(&mut world);
        price_by(&mut world, -4);
        world.until("closed there", SECOND, |w| held(w, 0) == 0);
        world.exchange.faults.clear();
        // A program of the user's trades beside us, more often than we look.
        let began = world.now;
        while !world.is_flat() {
            assert!(world.now.micros_since(began) < 400 * SECOND, "{}", world.picture());
            for side in [Side::Buy, Side::Sell] {
                world.exchange.core.place(no, OrderSpec::market(symbol(ETH), side, quantity)).unwrap();
                world.step(SECOND / 2);
            }
        }
        assert_eq!(held(&world, 0), 0, "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p6_a_position_by_hand_that_ended_unseen_is_forgotten() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(80, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let quantity = Quantity::from_units(10 * step);
        by_hand(&mut world, Side::Buy, quantity, false);
        world.step(10 * SECOND);
        silence(&mut world);
        by_hand(&mut world, Side::Sell, quantity, true);
        world.step(2 * SECOND);
        world.exchange.faults.clear();
        // The rotation finds it.
        world.step(400 * SECOND);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p8_what_a_fired_trigger_did_is_found_whichever_of_its_events_is_lost() {
    fn on<P: Spoken>(events: &[&str]) {
        for event in events {
            for percent in [-4, 4] {
                let mut world = opened::<P>(77, 1);
                rule(&mut world, &format!("stream {event}"), ALWAYS, Fault::Lose);
                price_by(&mut world, percent);
                world.until("closed there", SECOND, |w| held(w, 0) == 0);
                world.until("flat", 30 * SECOND, World::is_flat);
                let by = if percent < 0 { CloseReason::StopLoss } else { CloseReason::TakeProfit };
                let closed = world.user(0).closed_positions.back().unwrap().closed;
                assert_eq!(closed, Some(by), "{event} lost: {}", world.picture());
                settled(&mut world);
                world.exchange.faults.clear();
                world.signal(LONG, BTC);
                world.until("open again", 20 * SECOND, World::is_open);
            }
        }
    }
    on::<Binance>(&["ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE"]);
    on::<Bybit>(&["order", "execution", "position", "wallet"]);
}

#[test]
fn case_p8_a_position_that_only_its_fills_tell_is_looked_for() {
    fn on<P: Spoken>(event: &str) {
        let mut world = ready::<P>(78, 1);
        rule(&mut world, &format!("stream {event}"), ALWAYS, Fault::Lose);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        // By then it would be in its turn only minutes later.
        world.until("explained", 20 * SECOND, |w| w.connector().is_settled());
        world.check();
    }
    on::<Binance>("ACCOUNT_UPDATE");
    on::<Bybit>("position");
}

#[test]
fn case_p8_case_o14_the_stop_is_the_exchanges_and_what_it_did_while_we_were_away_is_its_own() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(26, 1);
        world.cut();
        world.kill();
        price_by(&mut world, -3);
        world.step(10 * SECOND);
        assert_eq!(held(&world, 0), 0, "the exchange closes without us: {}", world.picture());
        world.weather(CALM);
        world.until("flat", 120 * SECOND, World::is_flat);
        let position = *world.user(0).closed_positions.back().unwrap();
        assert_eq!(position.closed, Some(CloseReason::StopLoss), "{}", world.picture());
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p9_a_position_that_is_not_there_any_more_does_not_stay_in_view() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(27, 1);
        silence(&mut world);
        for on in ["GET /fapi/v1/userTrades", "GET /v5/execution/list"] {
            rule(&mut world, on, ALWAYS, Fault::Unavailable { executed: false });
        }
        let all = Quantity::from_units(held(&world, 0));
        by_hand(&mut world, Side::Sell, all, true);
        // Nobody tells; the comparison in rotation finds it, and no list explains it.
        world.until("flat", 400 * SECOND, World::is_flat);
        let position = *world.user(0).closed_positions.back().unwrap();
        assert_eq!(position.state, PositionState::Closed, "{}", world.picture());
        assert!(world.notices().iter().any(|n| matches!(n, Notice::Unexplained(..))), "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p10_a_fill_that_comes_before_the_answer_counts_and_is_protected() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(28, 1);
        rule_on_orders(&mut world, When::Next(1), &Fault::Latency { ms: 3_000 });
        world.signal(LONG, BTC);
        world.until("open before the answer", 2 * SECOND, World::is_open);
        world.step(5 * SECOND);
        assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p11_an_exit_that_ended_unfilled_closes_nothing() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(29, 1);
        let before = ours(&world, 0);
        take_triggers(&mut world, true);
        world.step(3 * SECOND);
        assert_eq!((ours(&world, 0), held(&world, 0)), (before, before), "{}", world.picture());
        assert!(world.user(0).closed_positions.is_empty(), "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p6_a_trade_by_hand_that_is_told_twice_counts_once() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(121, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let part = held(&world, 0) / 4 / step * step;
        rule(&mut world, "stream *", ALWAYS, Fault::Duplicate);
        by_hand(&mut world, Side::Sell, Quantity::from_units(part), true);
        let left = held(&world, 0);
        for _ in 0..40 {
            world.step(SECOND / 2);
            assert!(ours(&world, 0) >= left, "{}", world.picture());
        }
        assert_eq!(ours(&world, 0), left, "{}", world.picture());
        world.exchange.faults.clear();
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_p6_a_close_of_ours_leaves_what_a_hand_added() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(122, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let theirs = 10 * step;
        by_hand(&mut world, Side::Buy, Quantity::from_units(theirs), false);
        world.step(15 * SECOND);
        world.signal(SignalKind::CloseAll, BTC);
        world.until("flat", 60 * SECOND, World::is_flat);
        world.step(15 * SECOND);
        assert_eq!(held(&world, 0), theirs, "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}
