//! Stop and take-profit: where they are, when an open is refused for them, and that no position stays without a stop.

mod desk;

use desk::{Desk, LONG, SHORT, draft, money, price, quantity, rate};
use engine::core::command::{Reply, SignalDraft};
use engine::core::event::Event;
use engine::core::fixed::{Price, Rate};
use engine::core::ids::{Leg, UserId};
use engine::core::instrument::{Brackets, MarketView};
use engine::core::order::{OrderKind, OrderState, Side, VenueReason};
use engine::core::position::{CloseReason, PositionState, liquidation_price};
use engine::core::rules::{SECOND, Settings};
use engine::core::signal::SignalKind;
use engine::core::user::Skip;

/// Stop, target and liquidation price of an open that was decided on.
fn intended(kind: SignalKind, mark: &str, change: impl Fn(&mut SignalDraft)) -> (String, String, String) {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.market.set_mark("BTCUSDT", Some(mark));
    let mut draft = draft(kind, "BTCUSDT", 1);
    change(&mut draft);
    desk.send_draft(draft);
    let p = desk.position(user);
    (p.stop.to_string(), p.take_profit.to_string(), p.liquidation.to_string())
}

fn check(kind: SignalKind, mark: &str, stop: &str, target: &str) {
    let (s, t, _) = intended(kind, mark, |_| ());
    assert_eq!((s.as_str(), t.as_str()), (stop, target), "{kind:?} at {mark}");
}

#[test]
fn two_percent_and_three_percent_of_price() {
    check(LONG, "20000", "19600", "20600");
    check(SHORT, "20000", "20400", "19400");
}

#[test]
fn rounded_to_the_tick_and_never_further_than_asked() {
    check(LONG, "20000.1", "19600.1", "20600.1"); // 19600.098, 20600.103
    check(SHORT, "20000.1", "20400.1", "19400.1"); // 20400.102, 19400.097
}

#[test]
fn the_settings_multiply() {
    let four_six = Settings {
        stop_multiplier: Rate::from_whole(4),
        take_profit_multiplier: Rate::from_whole(6),
        ..Settings::default()
    };
    let (mut desk, user) = Desk::with_trader(four_six);
    desk.send(LONG, "BTCUSDT");
    let p = desk.position(user);
    assert_eq!((p.stop, p.take_profit), (price("19200"), price("21200")));
}

#[test]
fn the_orders_follow_the_real_entry_price() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20100", "0.75", true);
    let (stop, target) = (desk.order(user, Leg::Stop).new, desk.order(user, Leg::TakeProfit).new);
    assert_eq!(stop.kind, OrderKind::StopMarket(price("19698")));
    assert_eq!(target.kind, OrderKind::TakeProfitMarket(price("20703")));
    for order in [stop, target] {
        assert_eq!((order.side, order.quantity, order.reduce_only), (Side::Sell, quantity("0.75"), true));
    }
    let p = desk.position(user);
    assert_eq!((p.stop, p.take_profit), (price("19698"), price("20703")), "and the position knows");
    assert_eq!(p.liquidation, price("16144.6"), "20100 · 0.8 / 0.996");
}

#[test]
fn the_first_fill_is_protected_at_once() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(SHORT, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20000", "0.1", false);
    assert_eq!(desk.order(user, Leg::Stop).new.quantity, quantity("0.1"));
    assert_eq!(desk.order(user, Leg::Stop).new.side, Side::Buy);
    desk.venue_fills(entry.id, "20000", "0.65", true);
    let stops = desk.sent.iter().filter(|o| o.id.leg == Leg::Stop).count();
    assert_eq!(stops, 1, "a trigger closes whatever is open: one is enough");
}

#[test]
fn prices_of_the_signal_are_kept_and_rounded_towards_the_price() {
    let named = |stop: &'static str, target: &'static str| {
        move |d: &mut SignalDraft| {
            d.stop_loss = Some(price(stop));
            d.take_profit = Some(price(target));
        }
    };
    let (stop, target, _) = intended(LONG, "20000", named("19500.05", "20700.05"));
    assert_eq!((stop.as_str(), target.as_str()), ("19500.1", "20700"));
    let (stop, target, _) = intended(SHORT, "20000", named("20500.05", "19300.05"));
    assert_eq!((stop.as_str(), target.as_str()), ("20500", "19300.1"));
}

#[test]
fn prices_of_the_signal_do_not_move_with_the_fill() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let mut draft = draft(LONG, "BTCUSDT", 1);
    draft.stop_loss = Some(price("19500"));
    desk.send_draft(draft);
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20100", "0.75", true);
    assert_eq!(desk.order(user, Leg::Stop).new.kind, OrderKind::StopMarket(price("19500")));
    assert_eq!(
        desk.order(user, Leg::TakeProfit).new.kind,
        OrderKind::TakeProfitMarket(price("20703")),
        "what it did not name does"
    );
}

fn refused(kind: SignalKind, stop: Option<&str>, target: Option<&str>) -> Skip {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let mut draft = draft(kind, "BTCUSDT", 1);
    draft.stop_loss = stop.map(price);
    draft.take_profit = target.map(price);
    let signal = desk.send_draft(draft);
    desk.skip(user, signal)
}

#[test]
fn a_price_on_the_wrong_side_refuses() {
    for (kind, stop, target) in [
        (LONG, Some("20000"), None),
        (LONG, Some("20400"), None),
        (LONG, Some("19999.95"), None), // becomes 20000 on the tick
        (LONG, Some("0"), None),
        (LONG, Some("-5"), None),
        (LONG, None, Some("20000")),
        (LONG, None, Some("19400")),
        (SHORT, Some("20000"), None),
        (SHORT, Some("19600"), None),
        (SHORT, None, Some("20000")),
        (SHORT, None, Some("20600")),
        (SHORT, None, Some("0")),
        (SHORT, None, Some("-5")),
        (LONG, Some("-92233720368"), Some("92233720368")),
    ] {
        assert_eq!(refused(kind, stop, target), Skip::ProtectionInvalid, "{kind:?} {stop:?} {target:?}");
    }
}

#[test]
fn case_f7_a_stop_beyond_the_liquidation_price_refuses() {
    let (_, _, liquidation) = intended(LONG, "20000", |_| ());
    assert_eq!(liquidation, "16064.3", "20000 · 0.8 / 0.996, towards the entry");
    assert_eq!(refused(LONG, Some("16064.3"), None), Skip::StopBeyondLiquidation);
    assert_eq!(refused(LONG, Some("1"), None), Skip::StopBeyondLiquidation);
    intended(LONG, "20000", |d| d.stop_loss = Some(price("16064.4")));

    let (_, _, liquidation) = intended(SHORT, "20000", |_| ());
    assert_eq!(liquidation, "23904.3", "20000 · 1.2 / 1.004, towards the entry");
    assert_eq!(refused(SHORT, Some("23904.3"), None), Skip::StopBeyondLiquidation);
    assert_eq!(refused(SHORT, Some("92233720368"), None), Skip::StopBeyondLiquidation);
    intended(SHORT, "20000", |d| d.stop_loss = Some(price("23904.2")));
}

#[test]
fn case_f7_the_bracket_of_the_size_moves_the_liquidation_price() {
    // 15000 at 5×. 0.4 % are kept of the first 5000 and 10 % of the rest.
    let open = |kind, stop: Option<&str>| {
        let (mut desk, user) = Desk::with_trader(Settings::default());
        let rows = [(money("5000"), 50, rate("0.004")), (money("40000"), 5, rate("0.1"))];
        desk.market.edit("BTCUSDT", |i| i.brackets = Brackets::of(rows));
        let mut draft = draft(kind, "BTCUSDT", 1);
        draft.stop_loss = stop.map(price);
        let signal = desk.send_draft(draft);
        (desk, user, signal)
    };
    for (kind, stop, liquidation) in [
        // (16000 · 0.75 − 480) / (0.75 · 0.9), (24000 · 0.75 + 480) / (0.75 · 1.1), towards the entry.
        (LONG, "17066.8", "17066.7"),
        (SHORT, "22399.9", "22400"),
    ] {
        let (mut desk, user, _) = open(kind, Some(stop));
        assert_eq!(desk.position(user).liquidation, price(liquidation));
        let (refused, other, signal) = open(kind, Some(liquidation));
        assert_eq!(refused.skip(other, signal), Skip::StopBeyondLiquidation);
        // A part of it is no further from it than all of it.
        let entry = desk.order(user, Leg::Entry).new;
        desk.venue_fills(entry.id, "20000", "0.01", false);
        assert_eq!(desk.position(user).liquidation, price(liquidation));
    }
}

#[test]
fn a_leverage_whose_liquidation_is_nearer_than_the_stop_refuses() {
    let mut desk = Desk::new();
    desk.rules.leverage_max = 50;
    let settings = Settings { leverage: 50, stop_multiplier: Rate::from_whole(4), ..Settings::default() };
    let user = desk.trader("ana@example.com", "10000", settings);
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.skip(user, signal), Skip::StopBeyondLiquidation);
}

/// A filled long whose stop and target wait for the venue's answer.
fn unanswered() -> (Desk, UserId) {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20000", "0.75", true);
    (desk, user)
}

#[test]
fn a_stop_that_would_trigger_at_once_closes_as_one() {
    let (mut desk, user) = unanswered();
    let stop = desk.order(user, Leg::Stop).new;
    desk.venue_rejects(stop.id, VenueReason::WouldTrigger);
    assert_eq!(desk.close_order(user).id.leg, Leg::UnprotectedClose);
    assert_eq!(desk.exit(user, "19500").closed, Some(CloseReason::StopLoss));
}

#[test]
fn a_target_that_would_trigger_at_once_closes_as_one() {
    let (mut desk, user) = unanswered();
    let target = desk.order(user, Leg::TakeProfit).new;
    desk.venue_rejects(target.id, VenueReason::WouldTrigger);
    assert_eq!(desk.exit(user, "20700").closed, Some(CloseReason::TakeProfit));
}

#[test]
fn a_rejected_stop_is_placed_three_times_more_and_then_the_position_is_closed() {
    let (mut desk, user) = unanswered();
    for round in 0..=3 {
        let stop = desk.order(user, Leg::Stop).new;
        assert_eq!((stop.id.round, stop.kind), (round, OrderKind::StopMarket(price("19600"))));
        assert!(desk.position(user).closing.is_none());
        desk.venue_rejects(stop.id, VenueReason::TooManyOrders);
    }
    assert!(desk.find_order(user, Leg::Stop).is_none());
    assert_eq!(desk.position(user).state, PositionState::Closing);
    assert_eq!(desk.exit(user, "20000").closed, Some(CloseReason::Unprotected));
}

#[test]
fn a_rejected_target_alone_closes_nothing() {
    let (mut desk, user) = unanswered();
    for _ in 0..=3 {
        let target = desk.order(user, Leg::TakeProfit).new;
        desk.venue_rejects(target.id, VenueReason::TooManyOrders);
    }
    assert!(desk.find_order(user, Leg::TakeProfit).is_none());
    assert!(desk.position(user).closing.is_none());
}

#[test]
fn a_stop_that_somebody_cancels_is_placed_again_at_the_size_that_is_open() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20000", "0.1", false);
    desk.venue_fills(entry.id, "20000", "0.65", true);
    let stop = desk.order(user, Leg::Stop).new;
    desk.venue_accepts(stop.id);
    desk.venue_cancels(stop.id, VenueReason::Requested);
    let again = desk.order(user, Leg::Stop).new;
    assert_eq!((again.id.round, again.quantity), (1, quantity("0.75")));
}

#[test]
fn a_stop_that_ends_in_the_middle_closes_the_rest() {
    let (mut desk, user) = unanswered();
    let stop = desk.order(user, Leg::Stop).new;
    desk.venue_accepts(stop.id);
    desk.venue_fills(stop.id, "19590", "0.5", false);
    desk.venue_cancels(stop.id, VenueReason::Liquidity);
    assert_eq!(desk.close_order(user).quantity, quantity("0.25"));
    assert_eq!(desk.exit(user, "19500").closed, Some(CloseReason::StopLoss));
}

#[test]
fn without_a_live_stop_after_five_seconds_the_position_is_closed() {
    let (mut desk, user) = unanswered();
    let position = desk.position(user);
    desk.wait(5 * SECOND);
    assert_eq!(desk.check_protection(user, &position), Reply::Closing);
    assert_eq!(desk.check_protection(user, &position), Reply::Ignored, "once");
    assert_eq!(desk.exit(user, "20000").closed, Some(CloseReason::Unprotected));
    assert_eq!(desk.check_protection(user, &position), Reply::Ignored, "it is flat");
}

#[test]
fn a_stop_whose_fate_is_unknown_is_not_a_live_one() {
    let (mut desk, user) = unanswered();
    let stop = desk.order(user, Leg::Stop).new.id;
    desk.run(engine::core::command::Command::OrderUnanswered { id: stop }).unwrap();
    assert_eq!(desk.order(user, Leg::Stop).state, OrderState::Unknown);
    let position = desk.position(user);
    assert_eq!(desk.check_protection(user, &position), Reply::Closing);
}

#[test]
fn with_a_live_stop_the_check_does_nothing() {
    let (mut desk, user) = unanswered();
    let position = desk.position(user);
    let stop = desk.order(user, Leg::Stop).new.id;
    desk.venue_accepts(stop);
    assert_eq!(desk.check_protection(user, &position), Reply::Ignored);
}

#[test]
fn protection_of_a_delisted_symbol_stays_at_the_decided_prices() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    desk.market.delist("BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20100", "0.75", true);
    assert!(desk.last.iter().any(|e| matches!(e, Event::ProtectionIntended { .. })));
    assert_eq!(desk.order(user, Leg::Stop).new.kind, OrderKind::StopMarket(price("19600")));
}

#[test]
fn an_entry_price_beyond_all_numbers_is_protected_where_it_was_planned() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    let planned = desk.position(user);
    // The least quantity at the highest price: its notional is rounded up, and the average price with it.
    desk.venue_fills(entry, "92233720368.54775807", "0.00000001", false);
    let kinds = [Leg::Stop, Leg::TakeProfit].map(|leg| desk.order(user, leg).new.kind);
    let (stop, target) = (planned.stop, planned.take_profit);
    assert_eq!(kinds, [OrderKind::StopMarket(stop), OrderKind::TakeProfitMarket(target)]);
}

#[test]
fn a_liquidation_price_is_rounded_towards_the_entry_though_the_tick_is_the_smallest_number() {
    let market = desk::Market::new();
    let mut instrument = *market.instrument(desk::symbol("BTCUSDT")).unwrap();
    (instrument.tick, instrument.maintenance) = (Price::from_units(1), Rate::ZERO);
    for (side, at) in [(Side::Buy, "0.66666667"), (Side::Sell, "1.33333333")] {
        let liquidation = liquidation_price(price("1"), quantity("1"), side, 3, &instrument);
        assert_eq!(liquidation, Some(price(at)), "{side:?}");
    }
}
