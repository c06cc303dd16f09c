//! What the exchange did while no process of ours ran, for minutes or for weeks: booked as it was.

use engine::core::fixed::Money;
use engine::core::position::CloseReason;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::Notice;
use exchange::paper_exchange::accounts::IncomeKind;
use exchange::paper_exchange::faults::Fault;

use super::*;
use crate::world::Start;

const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// What closes a position while nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Stop,
    Target,
    Hand,
    Liquidation,
}

/// The price is handed to the market again and again, so that it is never too old to trade at.
fn traded<P: Spoken>(world: &mut World<P>, span: u64) {
    let until = world.now.plus_micros(span);
    while world.now < until {
        let there = world.mark(BTC);
        world.price(BTC, there);
        world.step(2 * SECOND);
    }
}

/// A protected long position in a market that has a price every hour.
fn opened_slowly<P: Spoken>(seed: u64) -> World<P> {
    let start = Start::with_few_prices(seed, BTC);
    let base = start.settings.venue.listings[0].base;
    let mut world = World::<P>::with(seed, 1, CALM, start);
    world.price(BTC, base);
    traded(&mut world, 20 * SECOND);
    world.until("ready", 60 * SECOND, World::is_ready);
    traded(&mut world, SECOND);
    world.signal(LONG, BTC);
    world.until("open", 10 * SECOND, World::is_open);
    traded(&mut world, 4 * SECOND);
    world
}

/// Fundings that the exchange settled on the trader's account, and what they sum up to.
fn settled_there<P: Spoken>(world: &World<P>) -> (usize, Money) {
    let account = world.exchange.core.account(world.traders[0].no).unwrap();
    let of = |income: &&exchange::paper_exchange::accounts::Income| {
        matches!(income.kind, IncomeKind::Funding { .. })
    };
    let amounts: Vec<Money> = account.incomes.iter().filter(of).map(|income| income.amount).collect();
    let sum = amounts.iter().fold(Money::ZERO, |sum, amount| sum.checked_add(*amount).unwrap());
    (amounts.len(), sum)
}

/// Fundings that were booked.
fn booked<P: Spoken>(world: &World<P>) -> usize {
    let statement = world.user(0).ledger.statement();
    statement.iter().filter(|e| e.key.text().starts_with("funding:")).count()
}

#[test]
fn case_p8_case_p9_what_closed_a_position_in_a_downtime_is_booked_by_its_executions() {
    fn on<P: Spoken>() {
        for (by, before, after) in [
            (By::Stop, 15 * MINUTE, 15 * MINUTE),
            (By::Target, 15 * MINUTE, 2 * DAY),
            (By::Stop, 2 * DAY, 9 * DAY),
            (By::Hand, MINUTE, 30 * MINUTE),
            (By::Hand, 9 * DAY, 3 * DAY),
            (By::Liquidation, MINUTE, 30 * MINUTE),
            (By::Liquidation, 8 * DAY, DAY),
        ] {
            let mut world = opened_slowly::<P>(201);
            world.down();
            world.pass(before);
            match by {
                By::Stop => price_by(&mut world, -3),
                By::Target => price_by(&mut world, 4),
                By::Hand => {
                    let all = Quantity::from_units(held(&world, 0));
                    by_hand(&mut world, Side::Sell, all, true);
                }
                By::Liquidation => {
                    take_triggers(&mut world, true);
                    price_by(&mut world, -25);
                }
            }
            // What is due is filled at the prices that follow.
            for _ in 0..10 {
                world.pass(2 * SECOND);
                let there = world.mark(BTC);
                world.price(BTC, there);
            }
            world.pass(MINUTE);
            let orders = world.exchange.core.all_orders(world.traders[0].no);
            let orders: Vec<_> = orders.iter().map(|o| (o.state, o.filled, o.spec.trigger)).collect();
            assert_eq!(held(&world, 0), 0, "{by:?} after {before}: open at {}, {orders:?}", world.mark(BTC));
            // When we are back it is worth quite another price.
            world.pass(after);
            price_by(&mut world, 12);
            world.pass(MINUTE);
            world.up();
            world.until("flat", 120 * SECOND, World::is_flat);
            // The wallet is looked at in the comparisons that follow: it holds nothing that is not explained.
            world.step(1_300 * SECOND);
            settled(&mut world);
            let position = *world.user(0).closed_positions.back().unwrap();
            let reason = match by {
                By::Stop => CloseReason::StopLoss,
                By::Target => CloseReason::TakeProfit,
                By::Hand => CloseReason::External,
                By::Liquidation => CloseReason::Liquidation,
            };
            let what = format!("{by:?} after {before}, {after} before the restart: {}", world.picture());
            assert_eq!(position.closed, Some(reason), "{what}");
            let account = world.exchange.core.account(world.traders[0].no).unwrap();
            let fees = account.executions.iter().fold(Money::ZERO, |sum, e| sum.checked_add(e.fee).unwrap());
            let (count, funding) = settled_there(&world);
            assert_eq!((position.fees, position.funding), (fees, funding), "{what}");
            assert_eq!(booked(&world), count, "{what}");
            assert_eq!(position.realised.is_positive(), by == By::Target, "{what}");
            let unexplained = |n: &Notice| matches!(n, Notice::Unexplained(..));
            assert!(!world.notices().iter().any(unexplained), "{what}");
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_f1_case_x18_funding_of_a_long_downtime_is_read_to_its_last_page() {
    fn on<P: Spoken>() {
        // In the last one are more settlements than a page of Bybit's list holds.
        for away in [DAY, 40 * DAY] {
            let mut world = opened_slowly::<P>(202);
            let before = world.user(0).positions[0];
            world.down();
            world.pass(away);
            assert!(held(&world, 0) > 0, "a trigger has fired: the market moves too much");
            world.up();
            traded(&mut world, 30 * SECOND);
            let (count, sum) = settled_there(&world);
            assert!(count as u64 >= away / (DAY / 3), "{count} settlements");
            world.until("booked", 60 * SECOND, |w| booked(w) == count);
            let position = world.user(0).positions[0];
            assert_eq!((position.signal, position.funding), (before.signal, sum), "{}", world.picture());
            traded(&mut world, 1_300 * SECOND);
            closed(&mut world);
            assert_eq!(booked(&world), settled_there(&world).0, "{}", world.picture());
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_f1_funding_that_a_stream_tells_first_does_not_hide_what_was_settled_before_it() {
    fn on<P: Spoken>() {
        let mut world = opened_slowly::<P>(203);
        let boundary = DAY / 3;
        let to_next = |now: u64| boundary - now % boundary;
        world.down();
        world.pass(2 * DAY);
        world.pass(to_next(world.now.0) - 25 * SECOND);
        // The list is not there before the stream has told the next one.
        for on in ["GET /fapi/v1/income", "GET /v5/execution/list"] {
            rule(&mut world, on, ALWAYS, Fault::Unavailable { executed: false });
        }
        world.up();
        traded(&mut world, 40 * SECOND);
        assert_eq!(booked(&world), 0, "{}", world.picture());
        world.exchange.faults.clear();
        let count = settled_there(&world).0;
        assert!(count >= 7, "{count} settlements");
        world.until("booked", 60 * SECOND, |w| booked(w) == count);
        traded(&mut world, 10 * SECOND);
        closed(&mut world);
        assert_eq!(booked(&world), count, "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn funding_that_cannot_be_read_is_asked_for_ever_more_seldom_and_said() {
    fn on<P: Spoken>(list: &str) {
        let mut world = opened_slowly::<P>(204);
        rule(&mut world, list, ALWAYS, Fault::Unavailable { executed: false });
        world.cut_sockets();
        let asked = |w: &World<P>| w.calls.get(list).copied().unwrap_or(0);
        let before = asked(&world);
        traded(&mut world, 1_200 * SECOND);
        let often = asked(&world) - before;
        assert!((8..=12).contains(&often), "{often} times: {}", world.picture());
        let said = |n: &Notice| matches!(n, Notice::FundingUnread(_));
        assert_eq!(world.notices().into_iter().filter(said).count(), 1);
        // The wallet is not held up by it for ever.
        let more = Money::from_whole(77);
        let no = world.traders[0].no;
        let account = world.exchange.core.account_mut(no).unwrap();
        account.wallet = account.wallet.checked_add(more).unwrap();
        let there = |w: &World<P>| w.exchange.core.account(w.traders[0].no).unwrap().wallet;
        traded(&mut world, 1_300 * SECOND);
        assert_eq!(world.user(0).wallet(0), there(&world), "{}", world.picture());
        world.exchange.faults.clear();
        traded(&mut world, 1_000 * SECOND);
        let now = asked(&world);
        traded(&mut world, 1_000 * SECOND);
        assert!(asked(&world) - now <= 1, "{}", world.picture());
    }
    on::<Binance>("GET /fapi/v1/income");
    on::<Bybit>("GET /v5/execution/list");
}
