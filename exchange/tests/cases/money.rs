//! F and X: funding, liquidation, sizes and what is left of them.

use engine::core::fixed::UNIT;
use engine::core::ids::Leg;
use engine::core::position::CloseReason;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::Notice;
use exchange::paper_exchange::accounts::IncomeKind;
use exchange::paper_exchange::faults::{Fault, When};

use super::*;
use crate::world::{START, Start};

fn fundings<P: Spoken>(world: &World<P>) -> usize {
    let statement = world.user(0).ledger.statement();
    statement.iter().filter(|e| e.key.text().starts_with("funding:")).count()
}

#[test]
fn case_f1_case_f2_case_f3_funding_is_booked_once_by_the_exchanges_time_whoever_tells_it() {
    fn on<P: Spoken>() {
        for kind in [LONG, SHORT] {
            let mut world = ready::<P>(51, 1);
            world.without_market_streams();
            // To a minute before midnight.
            let day = 24 * 3_600 * SECOND;
            let left = day - START.0 % day - world.now.micros_since(START);
            world.step(left - 60 * SECOND);
            world.signal(kind, BTC);
            world.until("open", 20 * SECOND, World::is_open);
            rule(&mut world, "stream *", ALWAYS, Fault::Duplicate);
            let side = world.user(0).positions[0].side;
            world.step(90 * SECOND);
            assert_eq!(fundings(&world), 1, "{}", world.picture());
            // Told again by the list after a restart.
            world.kill();
            world.step(30 * SECOND);
            assert_eq!(fundings(&world), 1, "{}", world.picture());
            let funding = world.user(0).positions.first().map(|p| p.funding);
            if let Some(funding) = funding {
                // The rate is positive here: longs pay.
                assert_eq!(funding.is_positive(), side == Side::Sell, "{funding}");
            }
            world.exchange.faults.clear();
            if !world.is_flat() {
                closed(&mut world);
            }
            assert_eq!(fundings(&world), 1, "{}", world.picture());
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_f1_funding_that_no_stream_told_is_found() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(52, 1);
        world.without_market_streams();
        let day = 24 * 3_600 * SECOND;
        let left = day - START.0 % day - world.now.micros_since(START);
        world.step(left - 60 * SECOND);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        world.cut();
        world.step(90 * SECOND);
        world.weather(CALM);
        world.step(60 * SECOND);
        assert_eq!(fundings(&world), 1, "{}", world.picture());
        world.until("open or closed by its triggers", 60 * SECOND, |w| w.is_open() || w.is_flat());
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_f1_funding_of_a_position_that_closed_in_the_same_outage_is_booked_once() {
    fn on<P: Spoken>(outage: fn(&mut World<P>), over: fn(&mut World<P>)) {
        let mut world = ready::<P>(57, 1);
        let day = 24 * 3_600 * SECOND;
        let left = day - START.0 % day - world.now.micros_since(START);
        world.step(left - 60 * SECOND);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        world.step(5 * SECOND);
        outage(&mut world);
        world.until("settled there", 120 * SECOND, |w| {
            let account = w.exchange.core.account(w.traders[0].no).unwrap();
            account.incomes.iter().any(|income| matches!(income.kind, IncomeKind::Funding { .. }))
        });
        world.step(20 * SECOND);
        price_by(&mut world, -4);
        world.until("closed there", SECOND, |w| held(w, 0) == 0);
        world.step(10 * SECOND);
        over(&mut world);
        // The list of funding is not there at first: the close is known before it.
        for on in ["GET /fapi/v1/income", "GET /v5/execution/list"] {
            rule(&mut world, on, When::Next(1), Fault::Unavailable { executed: false });
        }
        world.until("flat", 400 * SECOND, World::is_flat);
        // The wallet is looked at in the comparisons that follow: it holds nothing that is not explained.
        world.step(1_500 * SECOND);
        settled(&mut world);
        assert_eq!(fundings(&world), 1, "{}", world.picture());
        let position = *world.user(0).closed_positions.back().unwrap();
        assert!(position.funding.is_negative(), "longs pay here: {}", world.picture());
    }
    fn each<P: Spoken>() {
        let calm = |world: &mut World<P>| world.weather(CALM);
        // Nothing comes through; the same, and the process begins anew; streams alone tell nothing.
        on::<P>(World::cut, calm);
        on::<P>(World::cut, |world| {
            world.kill();
            world.weather(CALM);
        });
        on::<P>(silence, |world| world.exchange.faults.clear());
    }
    each::<Binance>();
    each::<Bybit>();
}

#[test]
fn a_stop_that_fires_while_the_wallet_is_asked_for_is_no_money_from_outside() {
    fn on<P: Spoken>() {
        for fault in [Fault::Withhold { ms: 2_000 }, Fault::Lose] {
            // At every moment of the comparisons that follow a restart: before, between and after their questions.
            for after in (0..60).map(|tenths| tenths * SECOND / 100) {
                let mut world = opened::<P>(58, 1);
                world.kill();
                rule(&mut world, "stream *", ALWAYS, fault.clone());
                world.step(after);
                price_by(&mut world, -4);
                world.until("closed there", SECOND, |w| held(w, 0) == 0);
                world.step(5 * SECOND);
                world.exchange.faults.clear();
                // What no stream told and no comparison met is found in rotation.
                world.until("flat", 400 * SECOND, World::is_flat);
                settled(&mut world);
            }
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn a_fill_that_is_not_told_yet_is_no_money_from_outside() {
    fn on<P: Spoken>() {
        for seed in 0..40 {
            let mut world = ready::<P>(600 + seed, 1);
            // Comparisons follow each other while the order is sent: one looks at the wallet, the fill is found by a question,
            // its fee by another.
            rule(&mut world, "stream *", ALWAYS, Fault::Drop);
            world.signal(LONG, BTC);
            world.until("open", 60 * SECOND, World::is_open);
            world.exchange.faults.clear();
            world.step(seed * SECOND / 1_000);
            closed(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_f6_a_liquidation_is_seen_and_leaves_no_ghost() {
    fn on<P: Spoken>() {
        for told in [true, false] {
            let mut world = opened::<P>(53, 1);
            if !told {
                world.cut();
                world.step(SECOND);
            }
            take_triggers(&mut world, true);
            price_by(&mut world, -25);
            world.until("liquidated", SECOND, |w| held(w, 0) == 0);
            if !told {
                world.step(5 * SECOND);
                world.weather(CALM);
            }
            world.until("flat", 120 * SECOND, World::is_flat);
            let position = *world.user(0).closed_positions.back().unwrap();
            assert_eq!(position.closed, Some(CloseReason::Liquidation), "{}", world.picture());
            settled(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_f6_a_close_by_hand_that_nobody_told_is_no_liquidation() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(56, 1);
        world.cut();
        world.step(SECOND);
        let all = Quantity::from_units(held(&world, 0));
        by_hand(&mut world, Side::Sell, all, true);
        world.step(5 * SECOND);
        // The list of forced orders is not there at first: that delays what is known and changes nothing about it.
        rule(&mut world, "GET /fapi/v1/forceOrders", When::Next(1), Fault::Unavailable { executed: false });
        world.weather(CALM);
        world.until("flat", 120 * SECOND, World::is_flat);
        let position = *world.user(0).closed_positions.back().unwrap();
        assert_eq!(position.closed, Some(CloseReason::External), "{}", world.picture());
        assert!(world.notices().iter().all(|n| !matches!(n, Notice::Unexplained(..))), "{}", world.picture());
        settled(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_x10_each_followers_size_is_on_the_step() {
    fn on<P: Spoken>() {
        let mut start = Start::usual(54);
        start.margins = vec![97, 311, 1_003];
        let mut world = World::<P>::with(54, 3, CALM, start);
        world.until("ready", 60 * SECOND, World::is_ready);
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let sizes: Vec<i64> = (0..3).map(|n| held(&world, n)).collect();
        assert!(sizes.iter().all(|size| size % step == 0), "{sizes:?}");
        assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_x11_case_x14_a_rest_below_every_minimum_is_closed_to_the_last_step() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(55, 1);
        let step = world.exchange.core.instrument(symbol(BTC)).unwrap().step.units();
        let most = Quantity::from_units(held(&world, 0) - step);
        by_hand(&mut world, Side::Sell, most, true);
        world.until("known", 30 * SECOND, |w| ours(w, 0) == step);
        closed(&mut world);
        assert_eq!(held(&world, 0), 0, "{}", world.picture());
        let last = at_exchange(&world, 0, Leg::SignalClose).pop().unwrap();
        assert_eq!(last.filled.units(), step, "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_f5_a_fee_in_another_asset_is_booked_at_its_price_or_evened_out_by_the_wallet() {
    fn on<P: Spoken>(field: &str) {
        for (asset, has_price) in [("BNB", true), ("NOSUCH", false)] {
            let mut world = ready::<P>(59, 1);
            let told = |asset: &str| format!("\"{field}\":\"{asset}\"");
            world.rewrite_streams(&told("USDT"), &told(asset));
            let wallet = |w: &World<P>| w.exchange.core.account(w.traders[0].no).unwrap().wallet;
            let before = wallet(&world);
            world.signal(LONG, BTC);
            world.until("open", 20 * SECOND, World::is_open);
            let charged = before.checked_sub(wallet(&world)).unwrap();
            assert!(charged.is_positive(), "the entry was charged a fee");
            let entry = world.user(0).final_orders.iter().find(|o| o.new.id.leg == Leg::Entry).unwrap();
            let fees = entry.fees;
            if has_price {
                // The price moves a little between the fill and now.
                let price = world.mark("BNBUSDT").units();
                let units = i128::from(charged.units()) * i128::from(price) / i128::from(UNIT);
                let off = (i128::from(fees.units()) - units).abs();
                assert!(off * 50 < units, "{fees} for {charged} at {price}: {}", world.picture());
            } else {
                assert!(fees.is_zero(), "{fees}: {}", world.picture());
            }
            assert_eq!(world.user(0).wallet(0), before.checked_sub(fees).unwrap(), "booked to the wallet");
            // What was charged in truth is found in the balance, and is money that was moved.
            world.until("evened out", 2_400 * SECOND, |w| w.user(0).wallet(0) == wallet(w));
            let moved = world
                .user(0)
                .ledger
                .statement()
                .iter()
                .filter(|e| e.key.text().starts_with("transfer:"))
                .count();
            assert!(moved >= 2, "{}", world.picture());
        }
    }
    on::<Binance>("N");
    on::<Bybit>("feeCurrency");
}
