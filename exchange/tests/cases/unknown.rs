//! U and I: outcomes that are not known, and the ids by which they are found out.

use engine::core::ids::Leg;
use engine::core::order::{OrderState, VenueReason};
use engine::core::position::CloseReason;
use engine::core::user::OutcomeKind;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::paper_exchange::faults::{Fault, When};

use super::*;

const EXECUTED: Fault = Fault::Lost { executed: true };
const NOT_EXECUTED: Fault = Fault::Lost { executed: false };

#[test]
fn case_u1_case_u9_case_u13_an_unknown_outcome_is_asked_about_and_never_sent_again() {
    fn on<P: Spoken>() {
        for fault in [Fault::Unknown { executed: true }, EXECUTED] {
            let mut world = ready::<P>(11, 1);
            rule_on_orders(&mut world, When::Next(1), &fault);
            // What the stream would tell at once is to be found out by questions.
            silence(&mut world);
            world.signal(LONG, BTC);
            world.step(4 * SECOND);
            world.exchange.faults.clear();
            world.until("open", 30 * SECOND, World::is_open);
            assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
            assert!(world.connector().metrics().unknown > 0, "{}", world.picture());
            closed(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_u2_an_exit_that_is_sent_again_closes_once_and_flips_nothing() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(12, 1);
        rule_on_orders(&mut world, When::Next(2), &EXECUTED);
        world.signal(SignalKind::CloseAll, BTC);
        world.until("flat", 60 * SECOND, World::is_flat);
        assert_eq!(held(&world, 0), 0, "{}", world.picture());
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

/// Binance takes the second copy for an order of its own, for the first is over, and refuses it for what the first did.
#[test]
fn case_u2_an_exit_whose_second_copy_is_refused_is_looked_up_and_was_the_first() {
    let mut world = opened::<Binance>(224, 1);
    rule_on_orders(&mut world, When::Next(1), &EXECUTED);
    silence(&mut world);
    rule(&mut world, "GET /fapi/v1/order", When::Next(2), Fault::Code { code: -2013, executed: false });
    let sent = world.connector().metrics().orders_sent;
    world.signal(SignalKind::CloseAll, BTC);
    world.until("flat", 20 * SECOND, World::is_flat);
    assert!(world.connector().metrics().orders_sent - sent >= 2, "sent again: {}", world.picture());
    let user = world.user(0);
    let exit = user.final_orders.iter().rev().find(|o| o.new.id.leg == Leg::SignalClose).expect("decided");
    assert_eq!(exit.state, OrderState::Filled, "{}", world.picture());
    let position = user.closed_positions.back().expect("closed");
    assert_eq!(position.closed, Some(CloseReason::Signal), "{}", world.picture());
    world.exchange.faults.clear();
    settled(&mut world);
}

#[test]
fn case_u3_nothing_is_declared_dead_while_the_exchange_does_not_answer() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(13, 1);
        rule_on_orders(&mut world, When::Next(1), &EXECUTED);
        silence(&mut world);
        for on in ["GET *", "order.status"] {
            rule(&mut world, on, ALWAYS, Fault::Unavailable { executed: false });
        }
        world.signal(LONG, BTC);
        for _ in 0..40 {
            world.step(SECOND);
            let entry = world.user(0).orders.iter().find(|o| o.new.id.leg == Leg::Entry);
            assert!(entry.is_some_and(|o| o.state != OrderState::Rejected), "{}", world.picture());
        }
        world.exchange.faults.clear();
        world.until("open", 90 * SECOND, World::is_open);
        assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_u6_not_found_is_counted_and_becomes_an_end_only_when_nothing_can_arrive_any_more() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(14, 1);
        rule_on_orders(&mut world, When::Next(1), &NOT_EXECUTED);
        world.signal(LONG, BTC);
        world.step(8 * SECOND);
        assert!(!world.is_flat(), "given up too early; {}", world.picture());
        world.until("given up", 30 * SECOND, World::is_flat);
        assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 0, "{}", world.picture());
        let entry = *world.user(0).final_orders.back().unwrap();
        assert_eq!(entry.reason, Some(VenueReason::NotReceived), "{}", world.picture());
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_u8_an_order_that_is_not_visible_at_once_is_there_all_the_same() {
    // Binance answers a question too early with "does not exist".
    let mut world = ready::<Binance>(15, 1);
    rule_on_orders(&mut world, When::Next(1), &EXECUTED);
    silence(&mut world);
    for on in ["GET /fapi/v1/order", "order.status"] {
        rule(&mut world, on, When::Next(4), Fault::Code { code: -2013, executed: false });
    }
    world.signal(LONG, BTC);
    world.step(3 * SECOND);
    world.exchange.faults.clear();
    world.until("open", 30 * SECOND, World::is_open);
    assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
    closed(&mut world);
}

#[test]
fn case_u5_case_u7_case_u10_a_kill_at_any_moment_makes_one_order_or_none() {
    fn on<P: Spoken>() {
        // Leverage is set first: the order leaves some 20 to 40 ms after the signal.
        for moment in 0..24 {
            let mut world = ready::<P>(100 + moment, 1);
            if moment % 4 == 3 {
                rule_on_orders(&mut world, When::Next(1), &EXECUTED);
            }
            world.signal(LONG, BTC);
            world.step(moment * 2_500);
            world.kill();
            world.until("open or never sent", 60 * SECOND, |w| w.is_open() || w.is_flat());
            assert!(at_exchange(&world, 0, Leg::Entry).len() <= 1, "moment {moment}: {}", world.picture());
            settled(&mut world);
            if !world.is_flat() {
                closed(&mut world);
            }
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_u12_the_same_decision_again_is_not_a_second_position() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(16, 1);
        // Still on its way, then open: neither lets another one through.
        rule_on_orders(&mut world, When::Next(1), &Fault::Latency { ms: 1_500 });
        world.signal(LONG, BTC);
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
        world.signal(LONG, BTC);
        world.step(5 * SECOND);
        assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_i2_an_order_is_looked_up_by_exactly_the_id_that_was_sent() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(17, 1);
        closed(&mut world);
        for order in at_exchange(&world, 0, Leg::Entry) {
            let id = ClientOrderId::parse(order.client_id()).unwrap();
            assert_eq!(id.to_string(), order.client_id());
            assert!(world.user(0).final_orders.iter().any(|o| o.new.id == id), "{}", world.picture());
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_u2_a_duplicate_id_means_that_the_first_one_arrived() {
    fn on<P: Spoken>(code: i64) {
        let mut world = ready::<P>(18, 1);
        rule_on_orders(&mut world, When::Next(1), &Fault::Code { code, executed: true });
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
        assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>(-4116);
    on::<Bybit>(110_072);
}

#[test]
fn case_u11_a_cancel_without_a_clear_answer_is_no_end() {
    fn on<P: Spoken>(cancels: [&str; 2], not_there: i64) {
        for fault in [EXECUTED, NOT_EXECUTED, Fault::Code { code: not_there, executed: false }] {
            let mut world = ready::<P>(19, 1);
            // The entry fills at once, and neither its answer nor a stream says so before it is taken back.
            rule_on_orders(&mut world, When::Next(1), &Fault::Latency { ms: 1_000 });
            silence(&mut world);
            for on in cancels {
                rule(&mut world, on, When::Next(1), fault.clone());
            }
            world.signal(LONG, BTC);
            world.step(SECOND / 10);
            world.signal(SignalKind::CloseAll, BTC);
            world.step(3 * SECOND);
            world.exchange.faults.clear();
            world.until("flat", 60 * SECOND, World::is_flat);
            assert_eq!(held(&world, 0), 0, "{fault:?}: {}", world.picture());
            assert!(!world.user(0).closed_positions.is_empty(), "{fault:?}: {}", world.picture());
            settled(&mut world);
        }
    }
    on::<Binance>(["order.cancel", "DELETE /fapi/v1/order"], -2011);
    on::<Bybit>(["order.cancel", "POST /v5/order/cancel"], 110_001);
}

#[test]
fn case_u10_an_order_that_arrived_just_before_a_kill_is_found_and_not_sent_again() {
    fn on<P: Spoken>() {
        for seed in 140..148 {
            let mut world = ready::<P>(seed, 1);
            world.signal(LONG, BTC);
            while at_exchange(&world, 0, Leg::Entry).is_empty() {
                world.step(250);
            }
            // Nothing has come back yet.
            assert!(ours(&world, 0) == 0, "{}", world.picture());
            world.kill();
            world.until("open", 60 * SECOND, World::is_open);
            assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "seed {seed}: {}", world.picture());
            closed(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

/// An exchange that does not know an order and holds what it opened contradicts itself: nothing is concluded from that.
#[test]
fn case_u6_case_u8_an_entry_is_not_given_up_while_what_it_may_have_opened_is_held() {
    fn on<P: Spoken>(questions: &[&str], not_there: i64) {
        for restart in [false, true] {
            let mut world = ready::<P>(221, 1);
            rule_on_orders(&mut world, When::Next(1), &EXECUTED);
            silence(&mut world);
            for on in questions {
                rule(&mut world, on, ALWAYS, Fault::Code { code: not_there, executed: false });
            }
            world.signal(LONG, BTC);
            world.step(SECOND);
            if restart {
                world.kill();
            }
            for _ in 0..60 {
                world.step(SECOND);
                assert!(!world.is_flat(), "given up: {}", world.picture());
            }
            assert!(held(&world, 0) > 0, "{}", world.picture());
            world.exchange.faults.clear();
            world.until("known", 30 * SECOND, |w| ours(w, 0) == held(w, 0));
            assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
            world.until("protected or closed", 10 * SECOND, |w| w.is_open() || w.is_flat());
            settled(&mut world);
        }
    }
    on::<Binance>(&["GET /fapi/v1/order", "order.status"], -2013);
    on::<Bybit>(&["GET /v5/order/realtime", "GET /v5/order/history"], 110_001);
}

/// Comparisons of all accounts may use up what they may use of the minute. What an entry was filled, without which its position gets
/// no stop, is read all the same.
#[test]
fn fills_that_no_stream_told_are_read_whatever_comparisons_have_spent() {
    let mut world = ready::<Binance>(226, 1);
    silence(&mut world);
    let minute = 60 * SECOND;
    world.step(minute - world.now.0 % minute + SECOND);
    // More than what is left to comparisons, and less than all.
    world.others_ask(222);
    world.signal(LONG, BTC);
    world.until("open", 6 * SECOND, World::is_open);
    let view = world.connector().pacer().view(world.now).http;
    assert!(view.used * 10 > view.limit * 9, "{view:?}");
    world.exchange.faults.clear();
    closed(&mut world);
}

/// Questions about orders that nobody answers take up neither the places nor the line of an exit that has a socket to go over.
#[test]
fn an_exit_does_not_wait_behind_questions_about_orders_that_nobody_answers() {
    const TRADERS: usize = 60;
    let mut world = ready::<Binance>(227, TRADERS);
    // To begin with so many takes up most of a minute's budget.
    let minute = 60 * SECOND;
    world.step(minute - world.now.0 % minute + SECOND);
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    silence(&mut world);
    rule(&mut world, "GET /fapi/v1/order", ALWAYS, Fault::Latency { ms: 60_000 });
    world.signal(LONG, ETH);
    // Each entry is asked about after a second without news; not all of these questions have a place.
    world.step(2 * SECOND);
    let asked = world.exchange.faults.take_struck().filter(|struck| struck.rule == 2).count();
    assert!((20..TRADERS).contains(&asked), "{asked} questions are under way");
    world.signal(SignalKind::CloseAll, BTC);
    world.step(SECOND / 2);
    let closes: usize = (0..TRADERS).map(|n| at_exchange(&world, n, Leg::SignalClose).len()).sum();
    assert_eq!(closes, TRADERS, "{}", world.picture());
}

/// After a release or a restart of Bybit, orders that have ended are in its history alone.
#[test]
fn case_u3_an_order_that_bybit_knows_as_history_alone_is_found_there() {
    let mut world = ready::<Bybit>(225, 1);
    rule(&mut world, "GET /v5/order/realtime", ALWAYS, Fault::ForgetEnded);
    rule_on_orders(&mut world, When::Next(1), &EXECUTED);
    silence(&mut world);
    world.signal(LONG, BTC);
    world.until("known", 8 * SECOND, |w| ours(w, 0) != 0 && ours(w, 0) == held(w, 0));
    world.until("open", 10 * SECOND, World::is_open);
    assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
    rule_on_orders(&mut world, When::Next(1), &EXECUTED);
    let sent = world.connector().metrics().orders_sent;
    world.signal(SignalKind::CloseAll, BTC);
    world.until("flat", 8 * SECOND, World::is_flat);
    assert_eq!(world.connector().metrics().orders_sent - sent, 1, "{}", world.picture());
    assert_eq!(world.user(0).closed_positions.back().unwrap().closed, Some(CloseReason::Signal));
    world.exchange.faults.clear();
    settled(&mut world);
}

/// Beside what the user holds by hand, a second copy of an exit would close a part of that: Binance takes the id again once the first
/// is over, and shows an order only a moment after it.
#[test]
fn case_u2_case_u8_a_second_copy_of_an_exit_closes_nothing_of_somebody_elses() {
    for executed in [true, false] {
        let mut world = opened::<Binance>(226, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let theirs = held(&world, 0) / step * step;
        by_hand(&mut world, Side::Buy, Quantity::from_units(theirs), false);
        world.step(15 * SECOND);
        let fault = if executed { EXECUTED } else { NOT_EXECUTED };
        rule_on_orders(&mut world, When::Next(1), &fault);
        silence(&mut world);
        rule(&mut world, "GET /fapi/v1/order", When::Next(4), Fault::Code { code: -2013, executed: false });
        world.signal(SignalKind::CloseAll, BTC);
        world.until("flat", 30 * SECOND, World::is_flat);
        assert_eq!(held(&world, 0), theirs, "{executed}: {}", world.picture());
        assert_eq!(at_exchange(&world, 0, Leg::SignalClose).len(), 1, "{executed}: {}", world.picture());
        world.exchange.faults.clear();
        world.step(15 * SECOND);
        assert_eq!(held(&world, 0), theirs, "{executed}: {}", world.picture());
    }
}

/// The same while no stop protects ours: its close waits for a look at the positions, not for proof.
#[test]
fn case_u2_a_close_of_what_has_no_stop_is_sent_again_within_its_time() {
    for blind in [false, true] {
        let mut world = opened::<Binance>(227, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let theirs = held(&world, 0) / step * step;
        by_hand(&mut world, Side::Buy, Quantity::from_units(theirs), false);
        world.step(15 * SECOND);
        for on in ["algoOrder.place", "POST /fapi/v1/algoOrder"] {
            rule(&mut world, on, ALWAYS, Fault::Code { code: -2019, executed: false });
        }
        rule_on_orders(&mut world, When::Next(1), &NOT_EXECUTED);
        if blind {
            let positions = Fault::Unavailable { executed: false };
            rule(&mut world, "GET /fapi/v3/positionRisk", ALWAYS, positions);
        }
        let gone = world.now;
        take_triggers(&mut world, false);
        world.until("ours is closed there", 15 * SECOND, |w| held(w, 0) == theirs);
        let took = world.now.micros_since(gone);
        assert!(took < 12 * SECOND, "{blind}: after {took} µs; {}", world.picture());
        assert_eq!(at_exchange(&world, 0, Leg::UnprotectedClose).len(), 1, "{blind}: {}", world.picture());
        world.exchange.faults.clear();
        world.until("flat", 30 * SECOND, World::is_flat);
        world.step(15 * SECOND);
        assert_eq!(held(&world, 0), theirs, "{blind}: {}", world.picture());
    }
}

/// The exchange refuses an entry and executes it all the same. What it opened is held by nobody's will: it is booked and closed as
/// soon as anything tells of it, and the user sees why.
#[test]
fn case_u3_an_entry_that_fills_after_its_end_was_told_is_booked_and_closed() {
    fn on<P: Spoken>(code: i64, executions: &str) {
        // Streams tell it late; of the executions none tells; none tells anything; and the process that sent it is gone.
        let ways = [("", false, 4), (executions, false, 5), ("stream *", false, 330), ("stream *", true, 30)];
        for (lost, restart, within) in ways {
            let (mut world, entry) = refused::<P>(230, code, lost, 500);
            if restart {
                world.kill();
            }
            world.until("booked", within * SECOND, |w| !w.user(0).closed_positions.is_empty());
            assert_eq!(held(&world, 0), 0, "{}", world.picture());
            if within <= 5 {
                assert!(world.traders[0].bare_longest <= 5 * SECOND, "{}", world.picture());
            }
            let closed = *world.user(0).closed_positions.back().unwrap();
            assert_eq!(closed.closed, Some(CloseReason::Unprotected), "{}", world.picture());
            let receipt = world.user(0).outcome(entry.signal).unwrap();
            assert_eq!(receipt.kind, OutcomeKind::Filled, "{}", world.picture());
            assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 1, "{}", world.picture());
            settled(&mut world);
            assert!(world.is_flat() && world.user(0).closed_positions.len() == 1, "{}", world.picture());
        }
    }
    on::<Binance>(-2019, "stream ORDER_TRADE_UPDATE");
    on::<Bybit>(110_007, "stream execution");
}

/// The same, and another entry of the symbol has opened a position meanwhile, of either side.
#[test]
fn case_u3_an_entry_that_fills_late_goes_into_the_position_that_is_open() {
    fn on<P: Spoken>(code: i64) {
        for kind in [LONG, SHORT] {
            let (mut world, entry) = refused::<P>(231, code, "", 3_000);
            let first = held(&world, 0);
            rule(&mut world, "stream *", ALWAYS, Fault::Withhold { ms: 3_000 });
            world.signal(kind, BTC);
            world.step(SECOND);
            world.exchange.faults.clear();
            let is_booked = |w: &World<P>| {
                let mut over = w.user(0).final_orders.iter();
                over.any(|o| o.new.id == entry && !o.filled.is_zero())
            };
            world.until("booked", 30 * SECOND, |w| is_booked(w) && ours(w, 0) == held(w, 0));
            if kind == LONG {
                world.until("protected", 10 * SECOND, World::is_open);
                assert!(held(&world, 0) > first, "{}", world.picture());
                closed(&mut world);
            }
            world.until("flat or protected", 30 * SECOND, |w| w.is_flat() || w.is_open());
            settled(&mut world);
        }
    }
    on::<Binance>(-2019);
    on::<Bybit>(110_007);
}

/// A world whose exchange has just refused an entry that it has executed. What such streams tell is lost, and the rest comes so
/// much later.
fn refused<P: Spoken>(seed: u64, code: i64, lost: &str, late_ms: u64) -> (World<P>, ClientOrderId) {
    let mut world = ready::<P>(seed, 1);
    rule_on_orders(&mut world, When::Next(1), &Fault::Code { code, executed: true });
    if !lost.is_empty() {
        rule(&mut world, lost, ALWAYS, Fault::Lose);
    }
    rule(&mut world, "stream *", ALWAYS, Fault::Withhold { ms: late_ms });
    world.signal(LONG, BTC);
    world.until("refused", SECOND, |w| !w.user(0).final_orders.is_empty());
    assert!(world.is_flat() && held(&world, 0) > 0, "{}", world.picture());
    world.exchange.faults.clear();
    let entry = world.user(0).final_orders.back().unwrap().new.id;
    (world, entry)
}
