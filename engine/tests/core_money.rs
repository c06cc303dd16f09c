//! The books: profit share with losses carried forward, where a fee is taken from, funding, liquidation, recharges.

mod desk;

use desk::{Desk, LONG, NOON, SHORT, money, price, quantity, rate};
use engine::core::command::{Command, Refusal, Reply};
use engine::core::event::Event;
use engine::core::fixed::{Money, Quantity};
use engine::core::ids::{Leg, Timestamp, UserId};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::order::VenueReason;
use engine::core::position::{CloseReason, PositionState};
use engine::core::rules::{MINUTE, SECOND, Settings, Sizing};
use engine::core::signal::SignalKind;
use engine::core::user::{OutcomeKind, Skip};
use proptest::prelude::*;

const PAPER: Currency = Currency::PaperUsdt;

/// Always one whole ETH.
fn one() -> Settings {
    Settings { sizing: Sizing::FixedNotional(money("1500")), ..Settings::default() }
}

/// A user whose fills cost no fee at the venue.
fn trader() -> (Desk, UserId) {
    let (mut desk, user) = Desk::with_trader(one());
    desk.rules.cooldown = 0;
    (desk, user)
}

/// Gains this much on a round trip without venue fees. Gives what was charged.
fn gain(desk: &mut Desk, user: UserId, amount: i64) -> Money {
    let before = charged(desk, user);
    desk.send(LONG, "ETHUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills_at(entry.id, price("1500"), entry.quantity, Money::ZERO, true);
    desk.close_by_hand(user, "ETHUSDT").expect("as the test wants it");
    let close = desk.close_order(user);
    let exit = price("1500")
        .checked_add(engine::core::fixed::Price::from_whole(amount))
        .expect("as the test wants it");
    desk.venue_fills_at(close.id, exit, close.quantity, Money::ZERO, true);
    desk.sweep(user);
    charged(desk, user).checked_sub(before).expect("as the test wants it")
}

fn balance(desk: &Desk, user: UserId, account: LedgerAccount) -> Money {
    desk.user(user).ledger.balance(PAPER, account)
}

fn charged(desk: &Desk, user: UserId) -> Money {
    balance(desk, user, LedgerAccount::Revenue)
}

// The profit share.

#[test]
fn a_fee_is_not_paid_twice_on_the_same_gains() {
    // CASES.md M1: 100 → 120 → 80 → 100 → 130.
    let (mut desk, user) = trader();
    assert_eq!(gain(&mut desk, user, 20), money("4"), "20 % of 20");
    assert_eq!(gain(&mut desk, user, -40), Money::ZERO);
    assert_eq!(desk.user(user).carried_loss(PAPER), money("40"));
    assert_eq!(gain(&mut desk, user, 20), Money::ZERO, "on the way back");
    assert_eq!(desk.user(user).carried_loss(PAPER), money("20"));
    assert_eq!(gain(&mut desk, user, 30), money("2"), "20 % of the 10 above the mark");
    assert_eq!(desk.user(user).carried_loss(PAPER), Money::ZERO);
}

#[test]
fn a_gain_that_just_makes_good_the_loss_costs_nothing() {
    let (mut desk, user) = trader();
    gain(&mut desk, user, -7);
    assert_eq!(gain(&mut desk, user, 7), Money::ZERO);
    assert_eq!(desk.user(user).carried_loss(PAPER), Money::ZERO);
    assert_eq!(gain(&mut desk, user, 0), Money::ZERO);
}

#[test]
fn a_user_who_never_lost_carries_nothing() {
    let (mut desk, user) = trader();
    gain(&mut desk, user, 7);
    assert_eq!(desk.user(user).carried_losses, []);
}

#[test]
fn deposits_are_no_profit() {
    let (mut desk, user) = trader();
    recharge(&mut desk, user, 1, "100000").unwrap();
    assert_eq!(gain(&mut desk, user, 0), Money::ZERO);
}

#[test]
fn the_share_is_of_the_profit_after_fees_and_funding() {
    let (mut desk, user) = trader();
    let position = desk.open(user, LONG, "ETHUSDT", "1500"); // fee 0.75
    desk.funding(user, "ETHUSDT", NOON, "0.0001", "-0.15");
    desk.close_by_hand(user, "ETHUSDT").unwrap();
    let closed = desk.exit(user, "1600"); // fee 0.8
    assert_eq!((closed.realised, closed.fees, closed.funding), (money("100"), money("1.55"), money("-0.15")));
    assert_eq!(closed.net(), money("98.3"));
    assert_eq!(charged(&desk, user), money("19.66"));
    assert_eq!(desk.user(user).wallet(0), money("10098.3"));
    assert_eq!(closed.signal, position.signal);
}

#[test]
fn the_share_is_rounded_half_to_even_at_the_eighth_place() {
    let (mut desk, user) = trader();
    for (net, fee) in [("0.00000002", "0"), ("0.00000003", "0.00000001"), ("0.00000008", "0.00000002")] {
        let before = charged(&desk, user);
        desk.send(LONG, "ETHUSDT");
        let entry = desk.order(user, Leg::Entry).new;
        desk.venue_fills_at(entry.id, price("1500"), entry.quantity, money(net).negated(), true);
        desk.close_by_hand(user, "ETHUSDT").unwrap();
        let close = desk.close_order(user);
        desk.venue_fills_at(close.id, price("1500"), close.quantity, Money::ZERO, true);
        desk.sweep(user);
        assert_eq!(charged(&desk, user).checked_sub(before), Some(money(fee)), "20 % of {net}");
    }
}

#[test]
fn the_rate_is_the_one_agreed_when_it_opened() {
    let (mut desk, user) = trader();
    desk.send(LONG, "ETHUSDT");
    let prepaid = desk.position(user).share;
    let end = desk.now.plus_micros(MINUTE);
    desk.edit(user, |u| u.plan_ends_at = end);
    desk.send(LONG, "SOLUSDT");
    let monthly = desk.user(user).positions[1].share;
    assert_eq!((prepaid, monthly), (rate("0.2"), rate("0.1")));
    desk.wait(2 * MINUTE);
    desk.rules.share_prepaid = rate("0.9");
    let sol = desk.user(user).orders.iter().find(|o| o.new.symbol == desk::symbol("SOLUSDT")).unwrap().new;
    desk.venue_fills_at(sol.id, price("25"), sol.quantity, Money::ZERO, true);
    desk.close_by_hand(user, "SOLUSDT").unwrap();
    let close = desk.close_order(user);
    desk.venue_fills_at(close.id, price("26"), close.quantity, Money::ZERO, true);
    assert_eq!(charged(&desk, user), money("6"), "10 % of 60");
}

// Where it is taken from.

/// Sets the user's credit and real.
fn endow(desk: &mut Desk, user: UserId, credit: &str, real: &str) {
    desk.edit(user, |u| {
        for (account, wanted) in [(LedgerAccount::Credit, credit), (LedgerAccount::Real, real)] {
            let change =
                money(wanted).checked_sub(u.ledger.balance(PAPER, account)).expect("as the test wants it");
            let lines = [(account, change), (LedgerAccount::Outside, change.negated())];
            u.ledger.post(Timestamp(1), EntryKey::Recharge(0), PAPER, &lines);
        }
    });
}

#[test]
fn a_fee_is_taken_from_credit_then_real_then_owed() {
    for (credit, real, after) in [
        ("50", "50", ("30", "50", "0")),
        ("20", "50", ("0", "50", "0")),
        ("5", "50", ("0", "35", "0")),
        ("5", "3", ("0", "0", "12")),
        ("0", "0", ("0", "0", "20")),
    ] {
        let (mut desk, user) = trader();
        endow(&mut desk, user, credit, real);
        assert_eq!(gain(&mut desk, user, 100), money("20"));
        let left = (balance(&desk, user, LedgerAccount::Credit), balance(&desk, user, LedgerAccount::Real));
        assert_eq!(left, (money(after.0), money(after.1)), "{credit} {real}");
        assert_eq!(desk.user(user).debt(PAPER), money(after.2), "{credit} {real}");
    }
}

fn recharge(desk: &mut Desk, user: UserId, number: u64, amount: &str) -> Result<Reply, Refusal> {
    desk.run(Command::Recharge { user, number, currency: PAPER, amount: money(amount) })
}

#[test]
fn debt_blocks_opens_until_a_recharge_offsets_it() {
    let (mut desk, user) = trader();
    endow(&mut desk, user, "0", "0");
    gain(&mut desk, user, 100);
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, signal), Skip::Debt);
    recharge(&mut desk, user, 1, "15").unwrap();
    assert_eq!(desk.user(user).debt(PAPER), money("5"));
    assert_eq!(balance(&desk, user, LedgerAccount::Real), Money::ZERO);
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, signal), Skip::Debt);
    recharge(&mut desk, user, 2, "30").unwrap();
    assert_eq!(desk.user(user).debt(PAPER), Money::ZERO);
    assert_eq!(balance(&desk, user, LedgerAccount::Real), money("25"));
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
    assert_eq!(charged(&desk, user), money("20"), "charged once, whoever paid it");
}

#[test]
fn debt_in_one_currency_is_not_paid_by_another() {
    let (mut desk, user) = trader();
    endow(&mut desk, user, "0", "0");
    gain(&mut desk, user, 100);
    for (number, currency) in [(1, Currency::Brl), (2, Currency::Usd), (3, Currency::Usdt)] {
        desk.run(Command::Recharge { user, number, currency, amount: money("500") }).unwrap();
    }
    assert_eq!(desk.user(user).debt(PAPER), money("20"));
}

#[test]
fn one_payment_credits_once() {
    let (mut desk, user) = trader();
    recharge(&mut desk, user, 7, "10").unwrap();
    assert_eq!(recharge(&mut desk, user, 7, "10"), Err(Refusal::PaymentRepeated));
    desk.restart();
    assert_eq!(recharge(&mut desk, user, 6, "10"), Err(Refusal::PaymentRepeated));
    assert!(matches!(recharge(&mut desk, user, 8, "0"), Err(Refusal::Invalid(_))));
    assert!(matches!(recharge(&mut desk, user, 8, "-1"), Err(Refusal::Invalid(_))));
    assert_eq!(balance(&desk, user, LedgerAccount::Real), money("1010"));
}

#[test]
fn a_position_is_charged_once_whatever_is_told_again() {
    let (mut desk, user) = trader();
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.close_by_hand(user, "ETHUSDT").unwrap();
    let close = desk.close_order(user);
    desk.venue_fills(close.id, "1600", "1", true);
    let before = charged(&desk, user);
    for _ in 0..3 {
        desk.venue_fills(close.id, "1600", "1", true);
        desk.venue_cancels(close.id, VenueReason::Requested);
    }
    assert_eq!(charged(&desk, user), before);
}

// Partial exits.

#[test]
fn the_parts_of_an_exit_sum_to_the_whole() {
    let (mut desk, user) =
        Desk::with_trader(Settings { sizing: Sizing::FixedNotional(money("20000")), ..Settings::default() });
    desk.market.edit("BTCUSDT", |i| i.step = Quantity::from_units(1));
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills_at(entry.id, price("20000.3"), quantity("0.33333333"), Money::ZERO, false);
    desk.venue_fills_at(entry.id, price("20000.1"), quantity("0.66666667"), Money::ZERO, true);
    let cost = desk.position(user).entry_cost;
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let close = desk.close_order(user).id;
    let mut shares = Money::ZERO;
    for (size, last) in [("0.11111111", false), ("0.22222222", false), ("0.66666667", true)] {
        desk.venue_fills_at(close, price("20000.2"), quantity(size), Money::ZERO, last);
        let realised = desk
            .last
            .iter()
            .find_map(|e| if let Event::Filled { realised, .. } = e { Some(*realised) } else { None })
            .unwrap();
        let proceeds = price("20000.2").notional(quantity(size)).unwrap();
        shares = shares.checked_add(proceeds.checked_sub(realised).unwrap()).unwrap();
    }
    assert_eq!(shares, cost, "the cost shares of all exits are the entry cost, to the last unit");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_it_is_filled_the_wallet_moves_by_proceeds_less_cost(
        entries in proptest::collection::vec((1_i64..5_000_000_000_000, 1_i64..1_000_000_000), 1..5),
        exits in proptest::collection::vec((1_i64..5_000_000_000_000, 1_i64..1_000_000_000), 1..6),
        long: bool,
    ) {
        let (mut desk, user) = Desk::with_trader(Settings::default());
        desk.send(if long { LONG } else { SHORT }, "BTCUSDT");
        // An order of any size: the fills below are what matters.
        let total: i64 = entries.iter().map(|(_, size)| size).sum();
        desk.edit(user, |u| u.orders[0].new.quantity = Quantity::from_units(total));
        let entry = desk.order(user, Leg::Entry).new.id;
        let (mut cost, mut proceeds) = (0_i128, 0_i128);
        let notional = |p: i64, q: i64| engine::core::fixed::Price::from_units(p).notional(Quantity::from_units(q)).unwrap();
        for (at, (p, q)) in entries.iter().enumerate() {
            prop_assume!(!notional(*p, *q).is_zero());
            cost += i128::from(notional(*p, *q).units());
            let (p, q) = (engine::core::fixed::Price::from_units(*p), Quantity::from_units(*q));
            desk.venue_fills_at(entry, p, q, Money::ZERO, at + 1 == entries.len());
        }
        desk.close_by_hand(user, "BTCUSDT").unwrap();
        let mut left = total;
        for (at, (p, q)) in exits.iter().enumerate() {
            let q = if at + 1 == exits.len() { left } else { *(q.min(&left)) };
            if left == 0 { break }
            prop_assume!(!notional(*p, q).is_zero());
            left -= q;
            proceeds += i128::from(notional(*p, q).units());
            let close = desk.close_order(user).id;
            let p = engine::core::fixed::Price::from_units(*p);
            desk.venue_fills_at(close, p, Quantity::from_units(q), Money::ZERO, left == 0);
        }
        prop_assert!(desk.is_flat(user));
        let profit = if long { proceeds - cost } else { cost - proceeds };
        let moved = i128::from(desk.user(user).wallet(0).units()) - i128::from(money("10000").units());
        prop_assert_eq!(moved, profit);
        prop_assert_eq!(i128::from(desk.closed(user).realised.units()), profit);
    }
}

// Funding.

#[test]
fn funding_is_booked_once_by_the_venues_time() {
    let (mut desk, user) = trader();
    desk.open(user, LONG, "ETHUSDT", "1500");
    let at = NOON;
    assert_eq!(desk.funding(user, "ETHUSDT", at, "0.0001", "-0.15"), Reply::Done);
    let wallet = desk.user(user).wallet(0);
    for again in [at, Timestamp(at.0 - SECOND)] {
        assert_eq!(desk.funding(user, "ETHUSDT", again, "0.0001", "-0.15"), Reply::Ignored);
    }
    desk.restart();
    assert_eq!(desk.funding(user, "ETHUSDT", at, "0.0001", "-0.15"), Reply::Ignored);
    assert_eq!(desk.user(user).wallet(0), wallet);
    assert_eq!(
        desk.funding(user, "ETHUSDT", at.plus_micros(8 * 60 * MINUTE), "0.0001", "-0.15"),
        Reply::Done
    );
}

#[test]
fn positive_funding_is_received() {
    // F3: a positive rate means that longs pay; the amount says what the account received.
    for (kind, amount, wallet) in [(LONG, "-0.15", "9999.1"), (SHORT, "0.15", "9999.4")] {
        let (mut desk, user) = trader();
        desk.open(user, kind, "ETHUSDT", "1500"); // fee 0.75
        desk.funding(user, "ETHUSDT", NOON, "0.0001", amount);
        assert_eq!(desk.position(user).funding, money(amount));
        assert_eq!(desk.user(user).wallet(0), money(wallet));
        assert_eq!(balance(&desk, user, LedgerAccount::VenueFunding), money(amount).negated());
    }
}

#[test]
fn case_f2_funding_is_counted_once_though_the_exit_is_in_parts() {
    let (mut desk, user) = trader();
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.funding(user, "ETHUSDT", NOON, "0.001", "-1.5");
    desk.close_by_hand(user, "ETHUSDT").unwrap();
    let close = desk.close_order(user).id;
    for last in [false, false, false, true] {
        desk.venue_fills_at(close, price("1510"), quantity("0.25"), Money::ZERO, last);
    }
    assert_eq!(desk.closed(user).net(), money("7.75"), "10 − 0.75 − 1.5");
}

#[test]
fn funding_told_again_after_the_position_closed_is_not_the_next_ones() {
    let (mut desk, user) = trader();
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.funding(user, "ETHUSDT", NOON, "0.0001", "-0.15");
    desk.close_by_hand(user, "ETHUSDT").unwrap();
    desk.exit(user, "1500");
    assert_eq!(desk.funding(user, "ETHUSDT", NOON, "0.0001", "-0.15"), Reply::Ignored);
    desk.open(user, LONG, "ETHUSDT", "1500");
    assert_eq!(desk.funding(user, "ETHUSDT", NOON, "0.0001", "-0.15"), Reply::Ignored);
    assert_eq!(desk.position(user).funding, Money::ZERO);
    let next = NOON.plus_micros(8 * 60 * MINUTE);
    assert_eq!(desk.funding(user, "ETHUSDT", next, "0.0001", "-0.15"), Reply::Done);
}

#[test]
fn case_f1_funding_told_after_its_position_closed_is_booked_to_it_once_and_carried() {
    let (mut desk, user) = trader();
    let first = desk.open(user, LONG, "ETHUSDT", "1500"); // fee 0.75
    let settled = desk.position(user).opened_venue_at.plus_micros(MINUTE);
    desk.wait(5 * MINUTE);
    desk.close_by_hand(user, "ETHUSDT").unwrap();
    desk.exit(user, "1600"); // fee 0.8
    let (charged_before, carried) = (charged(&desk, user), desk.user(user).carried_loss(PAPER));
    assert_eq!(desk.funding(user, "ETHUSDT", settled, "0.0001", "-0.15"), Reply::Done);
    assert_eq!(desk.funding(user, "ETHUSDT", settled, "0.0001", "-0.15"), Reply::Ignored, "told again");
    assert_eq!(desk.closed(user).funding, money("-0.15"));
    assert_eq!(desk.user(user).wallet(0), money("10098.3"));
    assert_eq!(balance(&desk, user, LedgerAccount::VenueFunding), money("0.15"));
    // The share was charged on a profit that was higher: the difference is a loss carried forward.
    assert_eq!(charged(&desk, user), charged_before);
    assert_eq!(desk.user(user).carried_loss(PAPER), carried.checked_add(money("0.15")).unwrap());
    // One that was opened since has no part in it.
    desk.wait(10 * MINUTE);
    desk.open(user, LONG, "ETHUSDT", "1500");
    let between = settled.plus_micros(1);
    assert_eq!(desk.funding(user, "ETHUSDT", between, "0.0001", "0.05"), Reply::Done);
    assert_eq!(desk.position(user).funding, Money::ZERO);
    let closed = desk.user(user).closed_positions.iter().find(|p| p.signal == first.signal).unwrap();
    assert_eq!(closed.funding, money("-0.1"));
}

#[test]
fn funding_of_another_symbol_at_the_same_time_is_its_own() {
    let (mut desk, user) = trader();
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.open(user, LONG, "SOLUSDT", "25");
    for name in ["ETHUSDT", "SOLUSDT"] {
        assert_eq!(desk.funding(user, name, NOON, "0.0001", "-0.15"), Reply::Done);
    }
    assert_eq!(desk.funding(user, "BTCUSDT", NOON, "0.0001", "-0.15"), Reply::Ignored, "no position there");
}

// Liquidation.

#[test]
fn a_liquidation_closes_books_and_charges_nothing() {
    let (mut desk, user) = trader();
    desk.open(user, LONG, "ETHUSDT", "1500");
    assert_eq!(desk.liquidation(user, "ETHUSDT", 1, "1210", "1", "10"), Reply::Done);
    assert!(desk.is_flat(user));
    let closed = desk.closed(user);
    assert_eq!((closed.state, closed.closed), (PositionState::Liquidated, Some(CloseReason::Liquidation)));
    assert_eq!(closed.net(), money("-300.75"), "−290 − 10 − 0.75");
    assert_eq!(desk.user(user).wallet(0), money("9699.25"));
    assert_eq!(desk.user(user).carried_loss(PAPER), money("300.75"));
    assert_eq!(charged(&desk, user), Money::ZERO);
    assert!(desk.user(user).orders.iter().all(|o| o.cancelling), "its protection is taken back");
}

#[test]
fn a_liquidation_told_again_does_not_reach_the_next_position() {
    let (mut desk, user) = trader();
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.liquidation(user, "ETHUSDT", 1, "1210", "1", "10");
    desk.sweep(user);
    desk.open(user, LONG, "ETHUSDT", "1500");
    assert_eq!(desk.liquidation(user, "ETHUSDT", 1, "1210", "1", "10"), Reply::Ignored);
    assert_eq!(desk.position(user).quantity, quantity("1"));
    assert_eq!(desk.liquidation(user, "ETHUSDT", 2, "1210", "0.5", "5"), Reply::Done, "in part");
    assert_eq!(desk.position(user).quantity, quantity("0.5"));
    assert_eq!(desk.liquidation(user, "ETHUSDT", 3, "1210", "0.5", "5"), Reply::Done);
    assert!(desk.is_flat(user));
}

#[test]
fn a_liquidation_while_the_entry_still_fills_takes_the_rest_back() {
    let (mut desk, user) = trader();
    desk.send(LONG, "ETHUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    desk.venue_fills(entry, "1500", "0.4", false);
    desk.liquidation(user, "ETHUSDT", 1, "1210", "0.4", "4");
    assert!(desk.order(user, Leg::Entry).cancelling);
    desk.venue_cancels(entry, VenueReason::Requested);
    assert_eq!(desk.closed(user).closed, Some(CloseReason::Liquidation));
}

// The statement.

#[test]
fn every_movement_is_a_balanced_entry_with_a_unique_key() {
    let (mut desk, user) = trader();
    gain(&mut desk, user, 20);
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.funding(user, "ETHUSDT", NOON, "0.0001", "-0.15");
    desk.send(SignalKind::CloseAll, "ETHUSDT");
    desk.exit(user, "1490");
    recharge(&mut desk, user, 1, "15").unwrap();
    let statement = desk.user(user).ledger.statement();
    let mut keys: Vec<String> = statement.iter().map(|entry| entry.key.text()).collect();
    for entry in statement {
        let sum: i128 = entry.postings.iter().map(|p| i128::from(p.amount.units())).sum();
        assert!(sum == 0 && entry.postings.len() >= 2, "{entry:?}");
    }
    assert!(keys.len() >= 9, "{keys:?}");
    keys.sort();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all);
}
