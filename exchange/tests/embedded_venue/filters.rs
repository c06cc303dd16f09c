//! Each filter refuses by its own reason, and closes are exempt from those that could keep a position open.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::fixed::Rounding;
use engine::core::ids::Leg;
use engine::core::instrument::{Brackets, InstrumentStatus};
use engine::core::order::{NewOrder, OrderKind, Side, VenueReason, VenueReport};
use exchange::paper::{PaperLimits, PaperSettings, listings};
use exchange::venue::Venue;

fn settings(change: impl Fn(&mut exchange::paper::Listing)) -> PaperSettings {
    let mut listings = listings();
    listings.iter_mut().filter(|listing| listing.instrument.symbol == btc()).for_each(change);
    PaperSettings { listings, ..PaperSettings::default() }
}

fn desk(settings: PaperSettings) -> Desk {
    let (mut desk, _) = Desk::held(settings, trades(0, &["1000"]));
    desk.open(account(1), "1000000");
    desk
}

fn buy(kind: OrderKind, size: &str) -> NewOrder {
    order(id(account(1), 9, Leg::Entry), Side::Buy, kind, size, false)
}

/// The order is refused for this reason, and nothing else happens.
fn refused(desk: &mut Desk, order: NewOrder, reason: VenueReason) {
    assert_eq!(desk.send(order), [VenueReport::Rejected { id: order.id, reason }]);
    desk.agree();
}

/// The order is accepted.
fn taken(desk: &mut Desk, order: NewOrder) {
    let reports = desk.send(order);
    assert!(matches!(reports[0], VenueReport::Accepted { .. }), "{reports:?}");
}

#[test]
fn tick() {
    for kind in
        [OrderKind::Limit(price("999.95")), OrderKind::Limit(price("0")), OrderKind::Limit(price("-1"))]
    {
        refused(&mut desk(settings(|_| {})), buy(kind, "1"), VenueReason::Price);
    }
    taken(&mut desk(settings(|_| {})), buy(OrderKind::Limit(price("999.9")), "1"));
}

#[test]
fn step_and_least_quantity() {
    for size in ["1.0005", "0", "-1", "0.0005"] {
        refused(&mut desk(settings(|_| {})), buy(OrderKind::Market, size), VenueReason::Quantity);
    }
    let mut larger = desk(settings(|listing| listing.instrument.quantity_min = quantity("0.5")));
    refused(&mut larger, buy(OrderKind::Market, "0.499"), VenueReason::Quantity);
}

#[test]
fn largest_quantity_by_kind() {
    let limit = OrderKind::Limit(price("999"));
    refused(&mut desk(settings(|_| {})), buy(OrderKind::Market, "120.001"), VenueReason::Quantity);
    taken(&mut desk(settings(|_| {})), buy(OrderKind::Market, "120"));
    refused(&mut desk(settings(|_| {})), buy(limit, "1000.001"), VenueReason::Quantity);
    taken(&mut desk(settings(|_| {})), buy(limit, "1000"));
}

#[test]
fn least_notional_but_not_for_a_close() {
    refused(&mut desk(settings(|_| {})), buy(OrderKind::Market, "0.099"), VenueReason::Notional);
    refused(&mut desk(settings(|_| {})), buy(OrderKind::Limit(price("999")), "0.1"), VenueReason::Notional);
    let mut desk = desk(settings(|_| {}));
    taken(&mut desk, buy(OrderKind::Market, "0.1"));
    let close = order(id(account(1), 9, Leg::ManualClose), Side::Sell, OrderKind::Market, "0.001", true);
    taken(&mut desk, close);
}

#[test]
fn status() {
    let mut halted = desk(settings(|listing| listing.instrument.status = InstrumentStatus::Halted));
    refused(&mut halted, buy(OrderKind::Market, "1"), VenueReason::Symbol);
    let mut closing = desk(settings(|listing| listing.instrument.status = InstrumentStatus::CloseOnly));
    refused(&mut closing, buy(OrderKind::Market, "1"), VenueReason::Symbol);
    // What may close gets past the status, to the next check.
    let close = NewOrder { reduce_only: true, ..buy(OrderKind::Market, "1") };
    refused(
        &mut closing,
        NewOrder { id: id(account(1), 10, Leg::Entry), ..close },
        VenueReason::NothingToReduce,
    );
}

#[test]
fn symbol_and_price() {
    let unlisted = NewOrder { symbol: symbol("NOUSDT"), ..buy(OrderKind::Market, "1") };
    refused(&mut desk(settings(|_| {})), unlisted, VenueReason::Symbol);
    // Listed, but this market has no price of it.
    let unpriced = NewOrder { symbol: symbol("ETHUSDT"), ..buy(OrderKind::Market, "1") };
    refused(&mut desk(settings(|_| {})), unpriced, VenueReason::Symbol);
}

#[test]
fn leverage() {
    for leverage in [0, 126] {
        let order = NewOrder { leverage, ..buy(OrderKind::Market, "1") };
        refused(&mut desk(settings(|_| {})), order, VenueReason::Leverage);
    }
    let mut desk = desk(settings(|_| {}));
    taken(&mut desk, buy(OrderKind::Market, "1"));
    let other = NewOrder { id: id(account(1), 10, Leg::Entry), leverage: 6, ..buy(OrderKind::Market, "1") };
    refused(&mut desk, other, VenueReason::Leverage);
}

#[test]
fn margin_with_fee_and_reservations() {
    // 1 BTC at 1000 and leverage 5 needs 200 and 0.5 of fee.
    let with = |wallet: &str| {
        let (mut desk, _) = Desk::held(settings(|_| {}), trades(0, &["1000"]));
        desk.open(account(1), wallet);
        desk
    };
    refused(&mut with("200.49999999"), buy(OrderKind::Market, "1"), VenueReason::Margin);
    taken(&mut with("200.5"), buy(OrderKind::Market, "1"));
    // A resting order at 900 holds back 180.45; giving it back frees that.
    let mut desk = with("380.94999999");
    let resting = buy(OrderKind::Limit(price("900")), "1");
    taken(&mut desk, resting);
    let market = |n| NewOrder { id: id(account(1), n, Leg::Entry), ..buy(OrderKind::Market, "1") };
    refused(&mut desk, market(10), VenueReason::Margin);
    desk.venue.cancel(NOW, resting.id).unwrap();
    desk.drain();
    taken(&mut desk, market(11));
    desk.agree();
}

#[test]
fn margin_of_positions_and_resting_orders_together() {
    let market = |n| NewOrder { id: id(account(1), n, Leg::Entry), ..buy(OrderKind::Market, "1") };
    let resting = |n| NewOrder { kind: OrderKind::Limit(price("900")), ..market(n) };
    // A position holds 200 after a fee of 0.5, a resting order 180.45, another the same.
    let play = |wallet: &str| {
        let (mut desk, _) = Desk::held(settings(|_| {}), trades(0, &["1000"]));
        desk.open(account(1), wallet);
        taken(&mut desk, market(1));
        taken(&mut desk, resting(2));
        taken(&mut desk, resting(3));
        desk
    };
    refused(&mut play("761.89999999"), market(4), VenueReason::Margin);
    taken(&mut play("761.9"), market(4));
}

#[test]
fn largest_exposure() {
    let mut desk = desk(settings(|listing| listing.instrument.quantity_max_limit = quantity("900000")));
    let limit = |n, size| NewOrder {
        id: id(account(1), n, Leg::Entry),
        leverage: 125,
        ..buy(OrderKind::Limit(price("1")), size)
    };
    taken(&mut desk, limit(1, "900000"));
    let large = NewOrder { kind: OrderKind::Limit(price("1111")), ..limit(2, "900000") };
    refused(&mut desk, large, VenueReason::Quantity);
}

#[test]
fn largest_exposure_by_bracket() {
    let brackets = |listing: &mut exchange::paper::Listing| {
        let i = &mut listing.instrument;
        i.brackets = Brackets::of([
            (money("2000"), i.leverage_max, i.maintenance),
            (money("5000"), 5, "0.05".parse().unwrap()),
        ]);
    };
    let at = |leverage, size| NewOrder { leverage, ..buy(OrderKind::Market, size) };
    refused(&mut desk(settings(brackets)), at(6, "2.001"), VenueReason::Quantity);
    taken(&mut desk(settings(brackets)), at(6, "2"));
    refused(&mut desk(settings(brackets)), at(5, "5.001"), VenueReason::Quantity);
    let mut full = desk(settings(brackets));
    taken(&mut full, at(5, "5"));
    // What closes is no question of size, and what it opens beyond that is counted alone.
    let sell = |n, size| NewOrder { id: id(account(1), n, Leg::Entry), side: Side::Sell, ..at(5, size) };
    refused(&mut full, sell(2, "10.001"), VenueReason::Quantity);
    taken(&mut full, sell(3, "10"));
    // More leverage means less size.
    assert_eq!(full.venue.change_leverage(account(1), btc(), 6), Err(VenueReason::Leverage));
    assert_eq!(full.venue.change_leverage(account(1), btc(), 4), Ok(()));
}

#[test]
fn trigger_that_would_fire_at_once() {
    let mut desk = desk(settings(|_| {}));
    taken(&mut desk, buy(OrderKind::Market, "1"));
    let close = |n, kind| order(id(account(1), n, Leg::Stop), Side::Sell, kind, "1", true);
    refused(&mut desk, close(1, OrderKind::StopMarket(price("1000"))), VenueReason::WouldTrigger);
    refused(&mut desk, close(2, OrderKind::TakeProfitMarket(price("1000"))), VenueReason::WouldTrigger);
    refused(&mut desk, close(3, OrderKind::StopMarket(price("999.95"))), VenueReason::Price);
    taken(&mut desk, close(4, OrderKind::StopMarket(price("999.9"))));
    taken(&mut desk, close(5, OrderKind::TakeProfitMarket(price("1000.1"))));
}

#[test]
fn reduce_only_with_nothing_to_reduce() {
    let close =
        |side| order(id(account(1), 9, Leg::Stop), side, OrderKind::StopMarket(price("900")), "1", true);
    refused(&mut desk(settings(|_| {})), close(Side::Sell), VenueReason::NothingToReduce);
    let mut desk = desk(settings(|_| {}));
    taken(&mut desk, order(id(account(1), 1, Leg::Entry), Side::Buy, OrderKind::Market, "1", false));
    refused(&mut desk, close(Side::Buy), VenueReason::NothingToReduce);
}

#[test]
fn unknown_account() {
    let (mut desk, _) = Desk::held(settings(|_| {}), trades(0, &["1000"]));
    let order = buy(OrderKind::Market, "1");
    assert_eq!(desk.send(order), [VenueReport::Rejected { id: order.id, reason: VenueReason::Account }]);
}

#[test]
fn open_orders_keep_places_for_closes() {
    let limits = PaperLimits { orders_max: 5, orders_reserved: 2, ..PaperLimits::default() };
    let mut desk = desk(PaperSettings { limits, ..PaperSettings::default() });
    desk.enter(account(1), Side::Buy, "1");
    let resting =
        |n| NewOrder { id: id(account(1), n, Leg::Entry), ..buy(OrderKind::Limit(price("900")), "1") };
    (10..13).for_each(|n| taken(&mut desk, resting(n)));
    refused(&mut desk, resting(13), VenueReason::TooManyOrders);
    let stop =
        |n| order(id(account(1), n, Leg::Stop), Side::Sell, OrderKind::StopMarket(price("950")), "1", true);
    (20..22).for_each(|n| taken(&mut desk, stop(n)));
    refused(&mut desk, stop(22), VenueReason::TooManyOrders);
}

#[test]
fn the_list_itself_is_sound() {
    let desk = desk(PaperSettings::default());
    let list = desk.venue.instruments();
    assert!(list.len() >= 10 && list.windows(2).all(|pair| pair[0].symbol < pair[1].symbol));
    for listing in listings() {
        let i = listing.instrument;
        assert_eq!(desk.venue.instrument(i.symbol), Some(&i));
        for (value, grid) in
            [(i.quantity_min, i.step), (i.quantity_max_limit, i.step), (i.quantity_max_market, i.step)]
        {
            assert_eq!(value.floor_to(grid), value, "{}", i.symbol);
        }
        assert_eq!(listing.base.floor_to(i.tick), listing.base, "{}", i.symbol);
        // The least notional is reachable, and far below what one market order may move.
        assert!(i.notional_min.quantity_at(listing.base, Rounding::Ceil).unwrap() < i.quantity_max_market);
    }
    assert!(desk.venue.instrument(symbol("btcusdt")).is_none(), "look-ups are exact");
}
