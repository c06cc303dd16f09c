//! L and H: leverage, margin type and position mode.

use engine::core::fixed::{Money, Rate, Rounding};
use engine::core::ids::Leg;
use engine::core::instrument::Brackets;
use engine::core::key::{KeyFault, KeyState};
use engine::core::order::VenueReason;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::paper_exchange::Refusal;
use exchange::paper_exchange::faults::{Fault, When};

use super::*;
use crate::world::Start;

/// How the key of a trader's account stands.
fn standing<P: Spoken>(world: &World<P>, n: usize, index: usize) -> KeyState {
    world.user(n).accounts[index].key_state
}

#[test]
fn case_n12_one_account_of_an_exchange_that_is_connected_twice_is_found() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(71, 2);
        assert!(world.user(0).accounts[0].identity.is_some(), "the exchange tells which account it is");
        let others = [world.user(0).accounts[0].identity, world.user(1).accounts[0].identity];
        assert_ne!(others[0], others[1]);
        // The trader's own account once more; then one of their accounts that is another one.
        let no = world.traders[0].no;
        world.enter_key(0, 1, no);
        world.until("judged", 60 * SECOND, |w| standing(w, 0, 1) != KeyState::Pending);
        let found = KeyState::Unhealthy(KeyFault::AlreadyConnected);
        assert_eq!(standing(&world, 0, 1), found, "{}", world.picture());
        let other = world.exchange.core.open_account(P::FACE, Money::from_whole(10)).unwrap();
        world.enter_key(0, 2, other);
        world.until("judged", 60 * SECOND, |w| standing(w, 0, 2) != KeyState::Pending);
        assert!(standing(&world, 0, 2).is_good(), "{}", world.picture());
        assert!(standing(&world, 0, 0).is_good(), "the first one trades on: {}", world.picture());
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, |w| ours(w, 0) == held(w, 0) && held(w, 0) > 0);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_n12_a_key_of_another_account_is_found_and_nothing_is_taken_for_closed() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(72, 1);
        let (no, before) = (world.traders[0].no, ours(&world, 0));
        assert!(before > 0);
        let other = world.exchange.core.open_account(P::FACE, Money::from_whole(10_000)).unwrap();
        world.enter_key(0, 0, other);
        world.until("judged", 60 * SECOND, |w| standing(w, 0, 0) != KeyState::Pending);
        let found = KeyState::Unhealthy(KeyFault::OtherAccount);
        assert_eq!(standing(&world, 0, 0), found, "{}", world.picture());
        // Also by a process that has just begun.
        for restart in [false, true] {
            if restart {
                world.kill();
            }
            world.step(120 * SECOND);
            assert_eq!((ours(&world, 0), held(&world, 0)), (before, before), "{}", world.picture());
            assert_eq!(world.user(0).wallet(0), world.exchange.core.account(no).unwrap().wallet);
        }
        // With a key of the right one everything goes on.
        world.enter_key(0, 0, no);
        world.until("judged", 60 * SECOND, |w| standing(w, 0, 0).is_good());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

/// How often leverage or margin type was set.
fn set_up<P: Spoken>(world: &World<P>) -> u32 {
    let asked =
        |call: &&String| ["leverage", "marginType", "set-margin-mode"].iter().any(|w| call.ends_with(w));
    world.calls.iter().filter(|(call, _)| call.starts_with("POST") && asked(call)).map(|(_, n)| n).sum()
}

#[test]
fn leverage_is_set_ahead_of_the_signal_for_what_is_named_or_was_signalled() {
    fn on<P: Spoken>() {
        let mut start = Start::usual(67);
        start.symbols = vec![ETH, BTC];
        let mut world = World::<P>::with(67, 2, CALM, start);
        world.until("ready", 60 * SECOND, World::is_ready);
        world.until("prepared", 60 * SECOND, |w| w.connector().is_prepared());
        let ahead = set_up(&world);
        assert!(ahead > 0, "{}", world.picture());
        for name in [BTC, ETH] {
            world.signal(LONG, name);
            world.until("open", 20 * SECOND, World::is_open);
            closed(&mut world);
        }
        assert_eq!(set_up(&world), ahead, "nothing was left for the entries: {}", world.picture());
        // Without names: what the source signalled is set ahead, also by a process that has just begun.
        let mut world = ready::<P>(68, 2);
        assert_eq!(set_up(&world), 0, "{}", world.picture());
        world.signal(LONG, ETH);
        world.until("open", 20 * SECOND, World::is_open);
        closed(&mut world);
        world.kill();
        world.until("ready", 60 * SECOND, World::is_ready);
        world.until("prepared", 60 * SECOND, |w| w.connector().is_prepared());
        let ahead = set_up(&world);
        world.signal(SHORT, ETH);
        world.until("open", 20 * SECOND, World::is_open);
        assert_eq!(set_up(&world), ahead, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn nothing_is_set_ahead_on_what_is_open_and_an_entry_does_not_wait_for_what_is_queued() {
    fn on<P: Spoken>() {
        let mut start = Start::usual(69);
        start.symbols = vec![BTC];
        start.prepare = |core, no, _| {
            let size = core.instrument(symbol(BTC)).unwrap().step.units() * 100;
            let spec = OrderSpec::market(symbol(BTC), Side::Buy, Quantity::from_units(size));
            core.place(no, spec).unwrap();
        };
        let mut world = World::<P>::with(69, 1, CALM, start);
        world.until("ready", 60 * SECOND, World::is_ready);
        world.step(30 * SECOND);
        assert_eq!(set_up(&world), 0, "the user's position keeps its leverage: {}", world.picture());
        // What is set ahead fails for a while: the entry sets it itself, and at once.
        let mut start = Start::usual(70);
        start.symbols = vec![ETH, BTC];
        let mut world = World::<P>::with(70, 1, CALM, start);
        for on in ["POST /fapi/v1/leverage", "POST /v5/position/set-leverage"] {
            rule(&mut world, on, When::Every(1), Fault::Unavailable { executed: false });
        }
        world.until("ready", 60 * SECOND, World::is_ready);
        world.step(5 * SECOND);
        world.exchange.faults.clear();
        world.signal(LONG, BTC);
        world.until("open", 2 * SECOND, World::is_open);
        closed(&mut world);
        world.until("prepared", 60 * SECOND, |w| w.connector().is_prepared());
        let ahead = set_up(&world);
        world.signal(LONG, ETH);
        world.until("open", 20 * SECOND, World::is_open);
        assert_eq!(set_up(&world), ahead, "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_l1_case_l2_what_needs_no_change_is_set() {
    fn on<P: Spoken>(settings: &[(&str, i64)]) {
        let mut world = ready::<P>(61, 1);
        for (on, code) in settings {
            rule(&mut world, on, When::Next(1), Fault::Code { code: *code, executed: true });
        }
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        let account = world.exchange.core.account(world.traders[0].no).unwrap();
        assert_eq!(account.positions[&symbol(BTC)].leverage, 5, "{}", world.picture());
        closed(&mut world);
    }
    on::<Binance>(&[("POST /fapi/v1/marginType", -4046)]);
    on::<Bybit>(&[("POST /v5/position/set-leverage", 110_043)]);
}

#[test]
fn case_l4_case_l6_a_setting_that_is_refused_concerns_its_symbol_and_nothing_else() {
    fn on<P: Spoken>(place: &str, codes: &[i64]) {
        for code in codes {
            let mut world = ready::<P>(62, 1);
            rule(&mut world, place, When::Next(1), Fault::Code { code: *code, executed: false });
            world.signal(LONG, BTC);
            world.until("refused", 20 * SECOND, World::is_flat);
            let refused = *world.user(0).final_orders.back().unwrap();
            assert_eq!(refused.reason, Some(VenueReason::Leverage), "{code}: {}", world.picture());
            assert_eq!(at_exchange(&world, 0, Leg::Entry).len(), 0, "{}", world.picture());
            let (may_open, why) = world.connector().standing(world.traders[0].account);
            assert!(may_open && why.is_none(), "{code}: {why:?}");
            world.signal(LONG, ETH);
            world.until("open", 20 * SECOND, World::is_open);
            closed(&mut world);
        }
    }
    on::<Binance>("POST /fapi/v1/leverage", &[-4028, -4161]);
    on::<Bybit>("POST /v5/position/set-leverage", &[110_013]);
}

/// A world of one trader with 2,000 of margin at 5×, where 5× is allowed up to a notional of 4,000.
fn small<P: Spoken>(seed: u64) -> World<P> {
    let mut start = Start::usual(seed);
    start.margins = vec![2_000];
    // With names the account comes after the list, which nobody could ask brackets with.
    start.symbols = vec![BTC];
    start.prepare = |core, no, _| core.set_leverage(no, symbol(BTC), 5, false).unwrap();
    let listings = &mut start.settings.venue.listings;
    let listed = &mut listings.iter_mut().find(|l| l.instrument.symbol == symbol(BTC)).unwrap().instrument;
    let highest = (Money::from_whole(1_000), listed.leverage_max, listed.maintenance);
    let lower = |notional, leverage| (Money::from_whole(notional), leverage, Rate::from_units(5_000_000));
    listed.brackets = Brackets::of([highest, lower(4_000, 5)]);
    let mut world = World::with(seed, 1, CALM, start);
    world.until("ready", 60 * SECOND, World::is_ready);
    world.until("brackets", 60 * SECOND, |w| {
        w.connector().instrument(symbol(BTC)).is_some_and(|btc| !btc.brackets.rows().is_empty())
    });
    // What the user's settings come to is refused, whoever asks for it.
    let instrument = *world.exchange.core.instrument(symbol(BTC)).unwrap();
    let all = Money::from_whole(10_000).quantity_at(world.mark(BTC), Rounding::Floor).unwrap();
    let all = OrderSpec::market(symbol(BTC), Side::Buy, all.floor_to(instrument.step));
    assert_eq!(world.exchange.core.place(world.traders[0].no, all), Err(Refusal::PositionMax));
    world
}

#[test]
fn case_l6_an_order_above_the_bracket_is_made_as_large_as_the_bracket_allows() {
    fn on<P: Spoken>(seed: u64) {
        let mut world = small::<P>(seed);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        let placed = at_exchange(&world, 0, Leg::Entry);
        assert_eq!(placed.len(), 1, "{}", world.picture());
        let cost = world.user(0).positions[0].entry_cost;
        assert!(cost > Money::from_whole(3_800) && cost <= Money::from_whole(4_000), "{cost}");
        assert_eq!(world.user(0).positions[0].leverage, 5, "as the user chose it");
        closed(&mut world);
    }
    on::<Binance>(76);
    on::<Bybit>(77);
}

const BRACKETS: [&str; 2] = ["GET /fapi/v1/leverageBracket", "GET /v5/market/risk-limit"];

/// A world whose brackets are read in spite of this, and how often a page was asked for.
fn read_brackets<P: Spoken>(seed: u64, when: When, fault: &Fault) -> (World<P>, u32) {
    let mut world = World::<P>::with(seed, 8, CALM, Start::usual(seed));
    BRACKETS.iter().for_each(|on| rule(&mut world, on, when, fault.clone()));
    world.until("ready", 60 * SECOND, World::is_ready);
    world.until("brackets", 60 * SECOND, |w| {
        w.connector().instruments().iter().any(|i| !i.brackets.rows().is_empty())
    });
    let asked =
        world.calls.iter().filter(|(call, _)| BRACKETS.contains(&call.as_str())).map(|(_, n)| n).sum();
    (world, asked)
}

/// How many pages there are.
fn pages<P: Spoken>(world: &World<P>) -> u32 {
    let listed = u32::try_from(world.exchange.core.instruments().len()).unwrap();
    if P::VENUE == engine::core::user::VenueKind::Bybit { listed.div_ceil(15) } else { 1 }
}

#[test]
fn case_l6_brackets_are_read_to_the_last_page() {
    fn on<P: Spoken>(seed: u64) {
        // Some pages do not come at once.
        let (world, asked) = read_brackets::<P>(seed, When::Next(3), &Fault::Unavailable { executed: false });
        assert_eq!(asked, pages(&world) + 3, "what came is not asked for again");
        let listed = world.exchange.core.instruments();
        assert!(listed.len() > 15, "more than a page of Bybit's");
        for there in listed {
            let here = world.connector().instrument(there.symbol).unwrap();
            let (symbol, brackets) = (there.symbol, exchange::paper::rules::brackets(there));
            assert_eq!(here.brackets.rows(), brackets, "{symbol}");
            let most = (there.leverage_max, there.maintenance);
            assert_eq!((here.leverage_max, here.maintenance), most, "{symbol}");
        }
    }
    on::<Binance>(78);
    on::<Bybit>(79);
}

#[test]
fn brackets_are_read_once_however_many_accounts_want_them() {
    fn on<P: Spoken>(seed: u64) {
        let slow = Fault::Latency { ms: 3_000 };
        let (world, asked) = read_brackets::<P>(seed, ALWAYS, &slow);
        assert_eq!(asked, pages(&world), "{}", world.picture());
    }
    on::<Binance>(80);
    on::<Bybit>(81);
}

#[test]
fn case_l5_the_leverage_is_set_before_the_first_order_of_a_symbol_leaves() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(63, 1);
        for on in ["POST /fapi/v1/leverage", "POST /v5/position/set-leverage"] {
            rule(&mut world, on, When::Next(2), Fault::Unavailable { executed: false });
        }
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
        let account = world.exchange.core.account(world.traders[0].no).unwrap();
        assert_eq!(account.positions[&symbol(BTC)].leverage, world.user(0).positions[0].leverage);
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_l5_an_entry_does_not_go_by_a_leverage_that_another_one_is_changing() {
    fn on<P: Spoken>(fault: &Fault) {
        let mut world = ready::<P>(65, 1);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        closed(&mut world);
        for on in ["POST /fapi/v1/leverage", "POST /v5/position/set-leverage"] {
            rule(&mut world, on, When::Next(1), fault.clone());
        }
        // Nor does a stream tell which it is.
        for on in ["stream ACCOUNT_CONFIG_UPDATE", "stream position"] {
            rule(&mut world, on, ALWAYS, Fault::Lose);
        }
        // One that wants another leverage is given up while that is on its way, or its answer lost.
        world.signal_with(LONG, BTC, Some(3));
        world.step(SECOND / 20);
        world.signal(SignalKind::CloseAll, BTC);
        world.step(SECOND / 20);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        let ours = world.user(0).positions[0].leverage;
        world.exchange.faults.clear();
        settled(&mut world);
        let account = world.exchange.core.account(world.traders[0].no).unwrap();
        assert_eq!((ours, account.positions[&symbol(BTC)].leverage), (5, 5), "{}", world.picture());
        closed(&mut world);
    }
    for fault in [Fault::Latency { ms: 2_000 }, Fault::Unavailable { executed: true }] {
        on::<Binance>(&fault);
        on::<Bybit>(&fault);
    }
}

#[test]
fn case_h2_case_h3_case_h4_a_hedge_account_is_named_and_left_as_it_is_while_others_trade() {
    let mut start = Start::usual(64);
    // The second trader's account holds a long and a short beside each other.
    start.prepare = |core, no, n| {
        if n == 1 {
            core.set_hedge(no, true).unwrap();
        }
    };
    let mut world = World::<Binance>::with(64, 2, CALM, start);
    world.step(20 * SECOND);
    let (may_open, why) = world.connector().standing(world.traders[1].account);
    assert!(!may_open, "{}", world.picture());
    assert_eq!(why.map(|w| w.fault), Some(KeyFault::HedgeMode), "{}", world.picture());
    assert!(!world.user(1).accounts[0].key_state.is_good(), "its user is told");
    world.signal(LONG, BTC);
    world.until("the other one is open", 20 * SECOND, |w| !w.user(0).positions.is_empty() && held(w, 0) > 0);
    world.step(5 * SECOND);
    assert_eq!(held(&world, 1), 0, "{}", world.picture());
    assert!(world.exchange.core.account(world.traders[1].no).unwrap().hedge, "nobody changed its mode");
    let changes = ["POST /fapi/v1/positionSide/dual", "POST /v5/position/switch-mode"];
    assert!(changes.iter().all(|change| !world.calls.contains_key(*change)), "{:?}", world.calls);
}

#[test]
fn case_h6_a_mode_that_clashes_at_an_order_is_learnt_from_the_refusal() {
    // Bybit tells no mode of an account: the refusal of an order does.
    let mut world = ready::<Bybit>(65, 1);
    let no = world.traders[0].no;
    world.exchange.core.set_hedge(no, true).unwrap();
    world.signal(LONG, BTC);
    world.step(10 * SECOND);
    assert_eq!(held(&world, 0), 0, "{}", world.picture());
    let why = world.connector().standing(world.traders[0].account).1;
    assert_eq!(why.map(|w| w.fault), Some(KeyFault::HedgeMode), "{}", world.picture());
}

/// What is asked while there is no key is never answered: with the next key it is asked again.
#[test]
fn case_u3_what_was_asked_without_a_key_is_asked_again_with_the_next_one() {
    fn on<P: Spoken>() {
        for executed in [true, false] {
            let mut world = ready::<P>(73, 1);
            let no = world.traders[0].no;
            for on in ENTRIES {
                rule(&mut world, on, When::Next(1), Fault::Lost { executed });
            }
            for on in ["GET /fapi/v1/order", "order.status", "GET /v5/order/realtime"] {
                rule(&mut world, on, ALWAYS, Fault::Unavailable { executed: false });
            }
            world.signal(LONG, BTC);
            world.step(7 * SECOND);
            let other = world.exchange.core.open_account(P::FACE, Money::from_whole(10_000)).unwrap();
            world.enter_key(0, 0, other);
            world.until("judged", 60 * SECOND, |w| standing(w, 0, 0) != KeyState::Pending);
            world.step(30 * SECOND);
            world.exchange.faults.clear();
            assert!(
                !world.user(0).orders.is_empty(),
                "it is not known what became of it: {}",
                world.picture()
            );
            world.enter_key(0, 0, no);
            world.until("found out", 60 * SECOND, |w| w.is_flat() || w.is_open());
            assert_eq!(world.is_open(), executed, "{}", world.picture());
            settled(&mut world);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

/// A key that goes takes with it what waits to be sent: nothing is left that could sign it.
#[test]
fn what_waits_when_its_key_goes_is_given_up() {
    fn on<P: Spoken>() {
        for moment in 0..16 {
            let mut world = ready::<P>(74, 1);
            let other = world.exchange.core.open_account(P::FACE, Money::from_whole(10_000)).unwrap();
            world.enter_key(0, 0, other);
            // The other key is judged within some tens of milliseconds.
            world.step(moment * 4_000);
            world.signal(LONG, BTC);
            world.until("judged", 60 * SECOND, |w| standing(w, 0, 0) != KeyState::Pending);
            world.step(20 * SECOND);
            let no = world.traders[0].no;
            world.enter_key(0, 0, no);
            world.until("over", 180 * SECOND, |w| w.user(0).orders.is_empty() || w.is_open());
        }
    }
    on::<Binance>();
    on::<Bybit>();
}
