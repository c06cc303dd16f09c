//! How large an order is: each sizing mode and each clamp of the chain, with exact numbers.

mod desk;

use desk::{Desk, LONG, SHORT, draft, money, price, quantity, rate};
use engine::core::fixed::{Money, Quantity, Rounding, UNIT};
use engine::core::ids::UserId;
use engine::core::instrument::{Brackets, MarketView};
use engine::core::order::NewOrder;
use engine::core::position::margin_of;
use engine::core::rules::{Settings, Sizing};
use engine::core::user::{OutcomeKind, Skip};
use proptest::prelude::*;

fn sized(sizing: Sizing) -> Settings {
    Settings { sizing, ..Settings::default() }
}

/// The order of an open on BTCUSDT at 20000.
fn order(desk: &mut Desk, user: UserId) -> NewOrder {
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
    desk.order(user, engine::core::ids::Leg::Entry).new
}

fn check(settings: Settings, prepare: fn(&mut Desk), size: &str) -> NewOrder {
    let (mut desk, user) = Desk::with_trader(settings);
    prepare(&mut desk);
    let order = order(&mut desk, user);
    assert_eq!(order.quantity, quantity(size));
    order
}

fn check_below_minimum(settings: Settings, prepare: fn(&mut Desk)) {
    let (mut desk, user) = Desk::with_trader(settings);
    prepare(&mut desk);
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.skip(user, signal), Skip::BelowMinimum);
}

#[test]
fn percent_of_balance_is_margin_times_leverage() {
    let order = check(Settings::default(), |_| (), "0.75"); // 10000 · 30 % · 5
    assert_eq!(order.leverage, 5);
    check(sized(Sizing::PercentOfBalance(rate("0.1"))), |_| (), "0.25");
    check(sized(Sizing::PercentOfBalance(rate("0.5"))), |_| (), "1.25");
}

#[test]
fn percent_is_of_the_wallet_not_of_what_is_free() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "ETHUSDT");
    assert_eq!(order_on_btc(&mut desk, user), quantity("0.75"));
}

fn order_on_btc(desk: &mut Desk, user: UserId) -> Quantity {
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
    desk.user(user)
        .orders
        .iter()
        .find(|o| o.new.id.signal == signal)
        .expect("as the test wants it")
        .new
        .quantity
}

#[test]
fn fixed_margin_is_times_leverage() {
    check(sized(Sizing::FixedMargin(money("1000"))), |_| (), "0.25");
}

#[test]
fn fixed_notional_is_as_it_is() {
    check(sized(Sizing::FixedNotional(money("1234.56"))), |_| (), "0.061"); // 0.061728 on the step
}

#[test]
fn risk_to_stop_loses_this_much_at_the_stop() {
    check(sized(Sizing::RiskToStop(money("100"))), |_| (), "0.25"); // stop 400 away: 0.25 · 400
    let (mut desk, _) = Desk::with_trader(sized(Sizing::RiskToStop(money("100"))));
    let mut draft = draft(LONG, "BTCUSDT", 1);
    draft.stop_loss = Some(price("19900"));
    desk.send_draft(draft);
    assert_eq!(desk.sent[0].quantity, quantity("1"), "a stop 100 away, named by the signal");
}

#[test]
fn the_users_largest_trade_clamps() {
    check(Settings { trade_max: Some(money("6000")), ..Settings::default() }, |_| (), "0.3");
}

#[test]
fn the_users_exposure_clamps() {
    let settings = Settings { exposure_max: Some(money("20000")), ..Settings::default() };
    let (mut desk, user) = Desk::with_trader(settings.clone());
    desk.open(user, LONG, "ETHUSDT", "1500"); // 10 · 1500
    assert_eq!(order_on_btc(&mut desk, user), quantity("0.25"));

    let full = Settings { exposure_max: Some(money("15000")), ..settings };
    let (mut desk, user) = Desk::with_trader(full);
    desk.open(user, LONG, "ETHUSDT", "1500");
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.skip(user, signal), Skip::BelowMinimum);
}

#[test]
fn an_opening_position_counts_at_its_own_leverage() {
    let settings = Settings { leverage: 10, exposure_max: Some(money("31000")), ..Settings::default() };
    let (mut desk, user) = Desk::with_trader(settings);
    desk.send(SHORT, "ETHUSDT"); // 30000 reserved at 10×
    let mut second = draft(LONG, "BTCUSDT", 1);
    second.leverage = Some(2);
    let signal = desk.send_draft(second);
    let order = desk.user(user).orders.iter().find(|o| o.new.id.signal == signal).unwrap().new;
    assert_eq!((order.quantity, order.leverage), (quantity("0.05"), 2)); // 1000 left
}

#[test]
fn case_l5_the_leverage_bracket_clamps() {
    let order = check(Settings::default(), |d| d.market.edit("BTCUSDT", |i| i.leverage_max = 3), "0.45");
    assert_eq!(order.leverage, 3);
    let order = check(Settings::default(), |d| d.rules.leverage_max = 4, "0.6");
    assert_eq!(order.leverage, 4);
}

/// 5000 at up to 50×, 12000 at up to 10×, 40000 at up to 4×.
fn brackets() -> Brackets {
    let rows = [("12000", 10, "0.02"), ("5000", 50, "0.004"), ("40000", 4, "0.05")];
    Brackets::of(rows.map(|(notional, leverage, kept)| (money(notional), leverage, rate(kept))))
}

#[test]
fn case_l6_the_largest_notional_at_the_leverage_clamps_and_leaves_the_leverage() {
    let bracketed: fn(&mut Desk) = |desk| desk.market.edit("BTCUSDT", |i| i.brackets = brackets());
    let at = |leverage| Settings { leverage, ..Settings::default() };
    // 99 % of 12000, of 15000 and 30000 that are wanted.
    for leverage in [5, 10] {
        assert_eq!(check(at(leverage), bracketed, "0.594").leverage, leverage);
    }
    // 12000 are wanted, 40000 allowed.
    assert_eq!(check(at(4), bracketed, "0.6").leverage, 4);
    check(sized(Sizing::FixedNotional(money("11880"))), bracketed, "0.594");
    check(sized(Sizing::FixedNotional(money("11879"))), bracketed, "0.593");
    // Other clamps are tighter, or looser.
    check(Settings { trade_max: Some(money("6000")), ..at(10) }, bracketed, "0.3");
    check(Settings { exposure_max: Some(money("20000")), ..at(10) }, bracketed, "0.594");
}

#[test]
fn a_leverage_that_no_bracket_allows_and_a_cap_below_the_minimum_open_nothing() {
    for rows in [[(money("5000"), 4, rate("0.01"))], [(money("5"), 50, rate("0.01"))]] {
        let (mut desk, user) = Desk::with_trader(Settings::default());
        desk.market.edit("BTCUSDT", |i| i.brackets = Brackets::of(rows));
        let signal = desk.send(LONG, "BTCUSDT");
        assert_eq!(desk.skip(user, signal), Skip::BelowMinimum);
    }
}

#[test]
fn of_more_brackets_than_are_kept_the_smallest_are() {
    let row = |n: u8| (Money::from_whole(i64::from(n) * 1_000), 100 - n, rate("0.01"));
    let kept: Vec<_> = (1..=16).map(|n| row(n).0).collect();
    for told in [(1..=20).collect::<Vec<u8>>(), (1..=20).rev().collect()] {
        let brackets = Brackets::of(told.into_iter().map(row));
        assert_eq!(brackets.rows().iter().map(|row| row.notional_max).collect::<Vec<_>>(), kept);
        assert_eq!(brackets.cap_at(1), Some(money("16000")), "the last one is the limit");
        assert_eq!(brackets.cap_at(84), Some(money("16000")));
        assert_eq!(brackets.cap_at(85), Some(money("15000")));
        assert_eq!(brackets.cap_at(100), Some(Money::ZERO));
    }
    assert_eq!(Brackets::NONE.cap_at(125), None);
    // As Binance computes its `cum`.
    let deductions: Vec<_> = brackets().rows().iter().map(|row| row.deduction.to_string()).collect();
    assert_eq!(deductions, ["0", "80", "440"]);
}

#[test]
fn a_signals_leverage_only_lowers() {
    for (asked, size, leverage) in [(2, "0.3", 2), (10, "0.75", 5), (0, "0.15", 1)] {
        let (mut desk, _) = Desk::with_trader(Settings::default());
        let mut draft = draft(LONG, "BTCUSDT", 1);
        draft.leverage = Some(asked);
        desk.send_draft(draft);
        assert_eq!((desk.sent[0].quantity, desk.sent[0].leverage), (quantity(size), leverage));
    }
}

#[test]
fn the_free_margin_less_fees_clamps() {
    // 10000 · 5 / (1 + 2 · 0.0005 · 5) = 49751.24…
    check(sized(Sizing::FixedMargin(money("20000"))), |_| (), "2.487");
    let (mut desk, user) = Desk::with_trader(sized(Sizing::FixedMargin(money("9000"))));
    desk.send(LONG, "ETHUSDT"); // 45000: 9000 bound, 1000 free
    assert_eq!(order_on_btc(&mut desk, user), quantity("0.248")); // 4975.12…
    assert!(desk.user(user).available(0).is_positive());
}

#[test]
fn the_exchanges_market_maximum_clamps_not_that_of_limit_orders() {
    check(
        Settings::default(),
        |desk| {
            desk.market.edit("BTCUSDT", |i| {
                i.quantity_max_market = quantity("0.5");
                i.quantity_max_limit = quantity("0.2");
            });
        },
        "0.5",
    );
    // A maximum off the step is not sent.
    check(
        Settings::default(),
        |d| d.market.edit("BTCUSDT", |i| i.quantity_max_market = quantity("0.5005")),
        "0.5",
    );
}

#[test]
fn the_exchanges_maximum_clamps_even_what_is_beyond_all_numbers() {
    // 1.5 billion at 0.0012 would be 1.25e12 contracts: more than a quantity can say.
    let mut desk = Desk::new();
    desk.market.edit("SOLUSDT", |i| i.tick = price("0.0000001"));
    desk.market.set_mark("SOLUSDT", Some("0.0012"));
    let user = desk.trader("ana@example.com", "1000000000", Settings::default());
    let signal = desk.send(LONG, "SOLUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
    assert_eq!(desk.order(user, engine::core::ids::Leg::Entry).new.quantity, quantity("10000"));
}

#[test]
fn the_size_is_floored_to_the_step() {
    check(Settings::default(), |d| d.market.edit("BTCUSDT", |i| i.step = quantity("0.1")), "0.7");
}

#[test]
fn a_size_below_the_minimum_is_skipped() {
    check(Settings::default(), |d| d.market.edit("BTCUSDT", |i| i.quantity_min = quantity("0.75")), "0.75");
    check_below_minimum(Settings::default(), |d| {
        d.market.edit("BTCUSDT", |i| i.quantity_min = quantity("0.751"));
    });
}

#[test]
fn a_notional_below_the_minimum_is_skipped() {
    check(Settings::default(), |d| d.market.edit("BTCUSDT", |i| i.notional_min = money("15000")), "0.75");
    check_below_minimum(Settings::default(), |d| {
        d.market.edit("BTCUSDT", |i| i.notional_min = money("15000.00000001"));
    });
}

#[test]
fn a_size_that_floors_to_nothing_is_skipped() {
    check_below_minimum(sized(Sizing::FixedNotional(money("19.99"))), |d| {
        d.market.edit("BTCUSDT", |i| {
            i.notional_min = Money::ZERO;
            i.quantity_min = Quantity::ZERO;
        });
    });
}

#[test]
fn the_tightest_clamp_decides_in_the_chain() {
    let settings = Settings {
        sizing: Sizing::FixedMargin(money("9999")),
        trade_max: Some(money("6000")),
        exposure_max: Some(money("5990")),
        ..Settings::default()
    };
    check(settings.clone(), |_| (), "0.299");
    check(settings, |d| d.market.edit("BTCUSDT", |i| i.quantity_max_market = quantity("0.2999")), "0.299");
}

#[test]
fn the_margin_reserved_is_the_orders_rounded_up() {
    let (mut desk, user) = Desk::with_trader(sized(Sizing::FixedNotional(money("1000"))));
    desk.market.set_mark("BTCUSDT", Some("19999.9"));
    desk.send(LONG, "BTCUSDT"); // 0.050 · 19999.9 / 5
    assert_eq!(desk.position(user).reserved, money("199.999"));
    assert_eq!(desk.user(user).available(0), money("9800.001"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_breaks_any_limit(
        wallet in 1_i64..1_000_000_000_000_000,
        mark in 1_000_i64..10_000_000_000_000,
        mode in 0..4,
        amount in 1_i64..100_000_000_000_000,
        leverage in 1_u8..=10,
        trade_max in proptest::option::of(1_i64..100_000_000_000_000),
        step in 1_i64..1_000_000_000,
        long: bool,
    ) {
        let amount = Money::from_units(amount);
        let sizing = match mode {
            0 => Sizing::PercentOfBalance(rate("0.5")),
            1 => Sizing::FixedMargin(amount),
            2 => Sizing::FixedNotional(amount),
            _ => Sizing::RiskToStop(amount),
        };
        let trade_max = trade_max.map(Money::from_units);
        let mut desk = Desk::new();
        desk.market.edit("BTCUSDT", |i| {
            i.tick = engine::core::fixed::Price::from_units(1);
            i.step = Quantity::from_units(step);
            i.quantity_min = i.step;
        });
        desk.market.put_mark(desk::symbol("BTCUSDT"), Some(engine::core::fixed::Price::from_units(mark)));
        let settings = Settings { sizing, leverage, trade_max, ..Settings::default() };
        let user = desk.trader("ana@example.com", &Money::from_units(wallet).to_string(), settings);
        let free = desk.user(user).available(0);
        desk.send(if long { LONG } else { SHORT }, "BTCUSDT");
        if let Some(order) = desk.sent.first() {
            let instrument = *desk.market.instrument(order.symbol).unwrap();
            let cost = engine::core::fixed::Price::from_units(mark).notional(order.quantity).unwrap();
            prop_assert!(order.quantity.floor_to(instrument.step) == order.quantity);
            prop_assert!(order.quantity >= instrument.quantity_min);
            prop_assert!(order.quantity <= instrument.quantity_max_market);
            prop_assert!(cost >= instrument.notional_min);
            prop_assert!(trade_max.is_none_or(|max| cost <= max));
            let fees = cost.scaled(2 * instrument.fee_taker.units(), UNIT, Rounding::Floor).unwrap();
            let needed = margin_of(cost, order.leverage).checked_add(fees).unwrap();
            prop_assert!(needed <= free, "{} of {}", needed, free);
            prop_assert_eq!(desk.position(user).reserved, margin_of(cost, order.leverage));
        }
    }

    #[test]
    fn brackets_cap_a_notional_and_change_nothing_that_is_well_below(
        wanted in 1_i64..10_000_000_000_000,
        leverage in 1_u8..=10,
        rows in proptest::collection::vec((1_i64..10_000_000_000_000, 1_u8..=12), 0..20),
        long: bool,
    ) {
        let settings = Settings {
            leverage,
            ..sized(Sizing::FixedNotional(Money::from_units(wanted)))
        };
        let size = |brackets| {
            let mut desk = Desk::new();
            desk.market.edit("BTCUSDT", |i| i.brackets = brackets);
            desk.trader("ana@example.com", "1000000", settings.clone());
            desk.send(if long { LONG } else { SHORT }, "BTCUSDT");
            desk.sent.first().map(|order| order.quantity)
        };
        let kept = || rows.iter().map(|(cap, highest)| (Money::from_units(*cap), *highest, rate("0.004")));
        let free = size(Brackets::NONE);
        let capped = size(Brackets::of(kept()));
        let mut smallest: Vec<_> = rows.clone();
        smallest.sort_unstable();
        smallest.truncate(Brackets::MAX);
        let allowing = smallest.iter().filter(|(_, highest)| *highest >= leverage).map(|(cap, _)| *cap);
        let cap = if rows.is_empty() { i64::MAX } else { allowing.max().unwrap_or(0) };
        if let Some(quantity) = capped {
            prop_assert!(price("20000").notional(quantity).unwrap() <= Money::from_units(cap));
        }
        if wanted <= cap / 100 * 99 {
            prop_assert_eq!(capped, free);
        }
    }
}
