//! N: keys and accounts that stop working, what that costs the others, and that they are found to work again.

use engine::core::key::{KeyFault, KeyState};
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::Notice;
use exchange::live::connector::limits::{
    MEND_PAUSE_HELD_MAX, MEND_PAUSE_MAX, REFUSED_PAUSE_MAX, SUSPECT_SPAN,
};
use exchange::paper_exchange::AccountNo;
use exchange::paper_exchange::core::Core;
use exchange::paper_exchange::faults::{Fault, When};
use exchange::paper_exchange::keys::KeySpec;

use super::*;
use crate::world::{START, Start};

/// The longest that a look at an account that was mended may be away, and what it takes.
const MENDED_WITHIN: u64 = MEND_PAUSE_MAX + 20 * SECOND;

fn fault<P: Spoken>(world: &World<P>, n: usize) -> Option<KeyFault> {
    world.connector().standing(world.traders[n].account).1.map(|why| why.fault)
}

fn state<P: Spoken>(world: &World<P>, n: usize) -> KeyState {
    world.user(n).accounts[0].key_state
}

/// Requests about accounts.
fn questions<P: Spoken>(world: &World<P>) -> u32 {
    let words =
        ["account", "position", "listenKey", "balance", "order", "Order", "user", "execution", "income"];
    let of_account = |call: &&String| words.iter().any(|word| call.contains(word));
    world.calls.iter().filter(|(call, _)| of_account(call)).map(|(_, n)| n).sum()
}

#[test]
fn a_key_that_was_deleted_costs_next_to_nothing_and_its_position_is_found_when_it_works_again() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(73, 2);
        world.delete_key(0);
        // Sockets break now and then: those of this account do not come up again.
        world.without_market_streams();
        world.step(60 * SECOND);
        assert_eq!(fault(&world, 0), Some(KeyFault::Rejected), "{}", world.picture());
        assert_eq!(state(&world, 0), KeyState::Unhealthy(KeyFault::Rejected));
        assert_eq!(fault(&world, 1), None);
        let (asked, dialled) = (questions(&world), world.dialled("/v5/private") + world.dialled("/v5/trade"));
        world.step(3_600 * SECOND);
        let asked = questions(&world) - asked;
        // The other one is compared each five minutes: positions, orders that rest, sometimes the balance. This one is looked at
        // each quarter of a minute, by one question, for it holds something.
        assert!(asked <= 120 + 3_600 / 11, "{asked} requests in an hour: {}", world.picture());
        let again = world.dialled("/v5/private") + world.dialled("/v5/trade") - dialled;
        assert_eq!(again, 0, "sockets that cannot log in were opened: {}", world.picture());
        // What happens meanwhile is not seen, and is made up for.
        price_by(&mut world, 6);
        world.until("closed there", SECOND, |w| held(w, 0) == 0);
        world.make_key(0);
        let soon = MEND_PAUSE_HELD_MAX + 10 * SECOND;
        world.until("works again", soon, |w| fault(w, 0).is_none() && state(w, 0).is_good());
        world.until("found", 60 * SECOND, World::is_flat);
        settled(&mut world);
        world.signal(LONG, ETH);
        world.until("open", 20 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn accounts_with_dead_keys_from_the_start_leave_the_address_to_the_others() {
    const DEAD: u32 = 30;
    fn on<P: Spoken>() {
        let mut start = Start::usual(74);
        start.prepare = |core, _, n| {
            if n > 0 {
                core.remove_key(&format!("key{n}"));
            }
        };
        let mut world = World::<P>::with(74, 1 + DEAD as usize, CALM, start);
        world.until("the good one is ready", 60 * SECOND, |w| w.connector().standing(w.traders[0].account).0);
        world.step(60 * SECOND);
        let (asked, now) = (questions(&world), world.now);
        world.step(600 * SECOND);
        let asked = questions(&world) - asked;
        let spent = world.connector().pacer().view(world.now).http;
        // Three looks or four in ten minutes: at first the account alone.
        assert!(asked <= DEAD * 6 + 40, "{asked} requests since {now:?}: {}", world.picture());
        assert!(spent.used * 4 < spent.limit, "{spent:?}");
        // A key that is entered anew is looked at at once.
        let no = world.traders[1].no;
        world.enter_key(1, 0, no);
        world.until("judged", 20 * SECOND, |w| state(w, 1).is_good());
    }
    on::<Binance>();
    on::<Bybit>();
}

/// A key that was entered anew and whose question had no answer is asked about again, whatever is wanted of its account in between.
#[test]
fn a_key_that_could_not_be_judged_at_once_is_judged_all_the_same() {
    fn on<P: Spoken>(question: &str) {
        let mut world = ready::<P>(220, 1);
        rule(&mut world, question, When::Next(1), Fault::Lost { executed: false });
        let no = world.traders[0].no;
        world.weather(Weather { delay_max: 300_000, ..CALM });
        // What the first was asked about is answered while the second is asked about, and one answer is left over.
        for _ in 0..2 {
            world.remove_key(0);
            world.enter_key(0, 0, no);
            world.step(20_000);
        }
        world.step(5 * SECOND);
        assert_eq!(state(&world, 0), KeyState::Pending, "not yet: {}", world.picture());
        world.until("judged", 60 * SECOND, |w| state(w, 0).is_good());
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>("GET /sapi/v1/account/apiRestrictions");
    on::<Bybit>("GET /v5/user/query-api");
}

#[test]
fn a_mistyped_secret_is_named_and_costs_the_others_nothing() {
    const MISTYPED: u32 = 20;
    fn on<P: Spoken>() {
        let mut start = Start::usual(218);
        // With the list read before, nobody but these could be asked with for the brackets.
        start.symbols = vec![BTC];
        start.prepare = |core, no, n| {
            if n < MISTYPED as usize {
                core.remove_key(&format!("key{n}"));
                core.add_key(no, &KeySpec::hmac(&format!("key{n}"), "what its user did not type")).unwrap();
            }
        };
        let good = MISTYPED as usize;
        let mut world = World::<P>::with(218, good + 1, CALM, start);
        world.until("ready", 60 * SECOND, |w| w.connector().standing(w.traders[good].account).0);
        for n in 0..good {
            assert_eq!(state(&world, n), KeyState::Unhealthy(KeyFault::Rejected), "{}", world.picture());
        }
        world.step(60 * SECOND);
        let there = world.exchange.core.instrument(symbol(BTC)).unwrap().leverage_max;
        let here = world.connector().instrument(symbol(BTC)).unwrap().leverage_max;
        assert_eq!(here, there, "the brackets were asked with a key that is not taken");
        let asked = questions(&world);
        world.step(600 * SECOND);
        let asked = questions(&world) - asked;
        assert!(asked <= MISTYPED * 6 + 40, "{asked} requests: {}", world.picture());
        // Typed right, it works at once.
        let no = world.traders[0].no;
        world.enter_key(0, 0, no);
        world.until("judged", 20 * SECOND, |w| state(w, 0).is_good());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn a_question_that_is_refused_for_no_reason_of_the_users_is_told_once_and_asked_ever_less() {
    fn on<P: Spoken>(question: &str, code: i64) {
        let mut world = World::<P>::new(219, 0, CALM);
        rule(&mut world, question, ALWAYS, Fault::Code { code, executed: false });
        world.trader_comes();
        world.step(600 * SECOND);
        let told = |n: &Notice| matches!(n, Notice::Bug(..));
        assert_eq!(world.notices().iter().filter(|n| told(n)).count(), 1, "{}", world.picture());
        assert_eq!(fault(&world, 0), None, "nothing that its user could mend");
        let asked = world.calls[question];
        assert!((5..=20).contains(&asked), "{asked} requests: {}", world.picture());
        world.exchange.faults.clear();
        world.until("ready", 310 * SECOND, World::is_ready);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        // With something open it is asked more often.
        rule(&mut world, "GET /fapi/v3/positionRisk", ALWAYS, Fault::Code { code, executed: false });
        rule(&mut world, "GET /v5/position/list", ALWAYS, Fault::Code { code, executed: false });
        world.step(900 * SECOND);
        silence(&mut world);
        let all = Quantity::from_units(held(&world, 0));
        by_hand(&mut world, Side::Sell, all, true);
        world.step(SECOND);
        world.exchange.faults.clear();
        world.until("found", MEND_PAUSE_HELD_MAX + 15 * SECOND, World::is_flat);
        settled(&mut world);
    }
    on::<Binance>("GET /fapi/v1/accountConfig", -1102);
    on::<Bybit>("GET /v5/account/info", 10_001);
}

/// Breaks something before the account is connected, sees it named and not cleared by time, mends it, and trades.
fn mends<P: Spoken>(
    seed: u64,
    breaks: fn(&mut Core, AccountNo, usize),
    mend: fn(&mut Core, AccountNo),
    is: KeyFault,
) {
    let mut start = Start::usual(seed);
    start.prepare = breaks;
    let mut world = World::<P>::with(seed, 1, CALM, start);
    world.until("named", 30 * SECOND, |w| state(w, 0) == KeyState::Unhealthy(is));
    for _ in 0..120 {
        world.step(SECOND);
        assert_eq!(fault(&world, 0), Some(is), "{}", world.picture());
        assert_eq!(state(&world, 0), KeyState::Unhealthy(is));
    }
    let no = world.traders[0].no;
    mend(&mut world.exchange.core, no);
    world.until("mended", MENDED_WITHIN, |w| fault(w, 0).is_none() && w.is_ready());
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    closed(&mut world);
}

fn unlisted(core: &mut Core, no: AccountNo, _: usize) {
    core.remove_key("key0");
    let elsewhere = vec![[192, 0, 2, 1].into()];
    let key = KeySpec::hmac("key0", "secret-of-0-that-nobody-guesses");
    core.add_key(no, &KeySpec { addresses: elsewhere, ..key }).unwrap();
}

fn listed(core: &mut Core, no: AccountNo) {
    core.remove_key("key0");
    core.add_key(no, &KeySpec::hmac("key0", "secret-of-0-that-nobody-guesses")).unwrap();
}

#[test]
fn a_fault_that_its_user_has_mended_is_cleared_and_the_account_trades() {
    let name = KeyFault::HedgeMode;
    mends::<Binance>(
        75,
        |core, no, _| core.set_hedge(no, true).unwrap(),
        |c, no| c.set_hedge(no, false).unwrap(),
        name,
    );
    mends::<Binance>(
        76,
        |core, no, _| core.account_mut(no).unwrap().may_trade = false,
        |core, no| core.account_mut(no).unwrap().may_trade = true,
        KeyFault::AccountRestricted,
    );
    mends::<Binance>(77, unlisted, listed, KeyFault::Rejected);
    mends::<Bybit>(78, unlisted, listed, KeyFault::AddressNotAllowed);
}

#[test]
fn case_h6_a_mode_learnt_from_a_refusal_is_asked_about_until_it_is_another() {
    let mut world = ready::<Bybit>(79, 1);
    let no = world.traders[0].no;
    world.exchange.core.set_hedge(no, true).unwrap();
    world.signal(LONG, BTC);
    world.until("named", 10 * SECOND, |w| fault(w, 0) == Some(KeyFault::HedgeMode));
    for _ in 0..120 {
        world.step(SECOND);
        assert_eq!(fault(&world, 0), Some(KeyFault::HedgeMode), "{}", world.picture());
    }
    world.exchange.core.set_hedge(no, false).unwrap();
    world.until("mended", MENDED_WITHIN, |w| fault(w, 0).is_none() && w.is_ready());
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    closed(&mut world);
}

#[test]
fn a_refusal_that_passes_is_forgotten_in_seconds() {
    fn on<P: Spoken>(positions: &str, code: i64) {
        let mut world = ready::<P>(80, 1);
        rule(&mut world, positions, When::Next(1), Fault::Code { code, executed: false });
        world.until("suspended", 320 * SECOND, |w| fault(w, 0).is_some());
        world.until("forgotten", 10 * SECOND, |w| fault(w, 0).is_none() && w.is_ready());
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>("GET /fapi/v3/positionRisk", -2015);
    on::<Bybit>("GET /v5/position/list", 10_003);
}

#[test]
fn a_key_that_ends_soon_is_told_of_once() {
    fn on<P: Spoken>() {
        let mut start = Start::usual(81);
        start.prepare = |core, no, _| {
            core.remove_key("key0");
            let end = START.plus_micros(6 * 24 * 3_600 * SECOND + 3_600 * SECOND);
            let key = KeySpec::hmac("key0", "secret-of-0-that-nobody-guesses");
            core.add_key(no, &KeySpec { expires_at: Some(end), ..key }).unwrap();
        };
        let mut world = World::<P>::with(81, 1, CALM, start);
        world.until("ready", 60 * SECOND, World::is_ready);
        world.step(700 * SECOND);
        let ends = |notice: &Notice| matches!(notice, Notice::KeyEnds(..));
        let told: Vec<_> = world.notices().into_iter().filter(ends).collect();
        assert_eq!(told, [Notice::KeyEnds(world.traders[0].account, 7)]);
    }
    on::<Binance>();
    on::<Bybit>();
}

/// What makes every new private stream be refused.
fn refuse_streams<P: Spoken>(world: &mut World<P>) {
    if P::ATTACHES {
        let done = r#""op":"auth","ret_msg":"","success":true"#;
        world.rewrite_streams(done, r#""op":"auth","ret_msg":"Params Error","success":false"#);
        world.cut_sockets();
    } else {
        rule(world, "POST /fapi/v1/listenKey", ALWAYS, Fault::Code { code: -2015, executed: false });
        let now = world.now;
        world.exchange.expire_listen_keys(now);
    }
}

#[test]
fn an_account_whose_stream_is_refused_is_compared_and_protected_by_its_questions() {
    fn on<P: Spoken>() {
        let mut world = opened::<P>(82, 1);
        refuse_streams(&mut world);
        world.step(120 * SECOND);
        assert!(!world.connector().is_warm(), "{}", world.picture());
        for _ in 0..3 {
            // No stream tells that it is gone.
            take_triggers(&mut world, false);
            world.until("seen", SUSPECT_SPAN + 10 * SECOND, |w| triggers(w, 0) == (1, 1) || ours(w, 0) == 0);
            assert!(ours(&world, 0) > 0, "{}", world.picture());
            world.step(7 * SECOND);
        }
        // Its key is fine, and its user is asked for nothing.
        assert_eq!((fault(&world, 0), state(&world, 0).is_good()), (None, true));
        let told = world.notices();
        assert_eq!(told.iter().filter(|n| matches!(n, Notice::SocketRefused(..))).count(), 1, "{told:?}");
        // Nothing opens meanwhile, and that makes no difference to how seldom it is tried.
        let (dialled, keys) = (world.dialled("/v5/private"), questions(&world));
        world.signal(LONG, ETH);
        world.step(130 * SECOND);
        assert!(world.dialled("/v5/private") - dialled <= 3, "{}", world.picture());
        assert!(questions(&world) - keys <= 100, "{}", world.picture());
        world.leave_streams_alone();
        world.exchange.faults.clear();
        world.until("warm", REFUSED_PAUSE_MAX * 3 / 2 + 10 * SECOND, |w| w.connector().is_warm());
        closed(&mut world);
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn an_account_whose_order_entry_is_refused_trades_by_http() {
    let mut world = ready::<Bybit>(83, 1);
    let done = r#""op":"auth","retCode":0,"retMsg":"OK""#;
    world.rewrite_streams(done, r#""op":"auth","retCode":10004,"retMsg":"error sign!""#);
    world.cut_sockets();
    world.step(60 * SECOND);
    assert_eq!((fault(&world, 0), state(&world, 0).is_good()), (None, true), "{}", world.picture());
    let dialled = world.dialled("/v5/trade");
    world.signal(LONG, BTC);
    world.until("open", 10 * SECOND, World::is_open);
    closed(&mut world);
    world.step(600 * SECOND);
    assert!(world.dialled("/v5/trade") - dialled <= 6, "{}", world.picture());
    world.leave_streams_alone();
    world.until("warm", REFUSED_PAUSE_MAX * 3 / 2 + 10 * SECOND, |w| w.connector().is_warm());
}

#[test]
fn an_account_whose_funding_may_not_be_read_is_compared_as_any_other() {
    fn on<P: Spoken>(funding: &str, code: i64) {
        let mut world = opened::<P>(84, 1);
        rule(&mut world, funding, ALWAYS, Fault::Code { code, executed: false });
        world.cut_sockets();
        world.step(120 * SECOND);
        assert_eq!(fault(&world, 0), None, "{}", world.picture());
        silence(&mut world);
        take_triggers(&mut world, false);
        world.step(SECOND / 10);
        world.cut_sockets();
        world.until("set again", 10 * SECOND, |w| triggers(w, 0) == (1, 1));
        world.exchange.faults.clear();
        world.cut_sockets();
        closed(&mut world);
    }
    on::<Binance>("GET /fapi/v1/income", -2015);
    on::<Bybit>("GET /v5/execution/list", 10_005);
}

#[test]
fn a_cancel_that_is_refused_goes_again_after_pauses() {
    let mut world = opened::<Binance>(85, 1);
    // Ours is closed and the user's is not: what would close that is to be taken back.
    let as_much = Quantity::from_units(held(&world, 0));
    by_hand(&mut world, Side::Buy, as_much, false);
    world.step(5 * SECOND);
    for on in ["algoOrder.cancel", "DELETE /fapi/v1/algoOrder"] {
        rule(&mut world, on, ALWAYS, Fault::Code { code: -2015, executed: false });
    }
    world.signal(SignalKind::CloseAll, BTC);
    world.until("closed", 20 * SECOND, |w| ours(w, 0) == 0);
    let asked = questions(&world);
    world.step(60 * SECOND);
    let asked = questions(&world) - asked;
    assert_eq!(triggers(&world, 0), (1, 1), "{}", world.picture());
    assert!(asked <= 120, "{asked} requests in a minute: {}", world.picture());
    world.exchange.faults.clear();
    world.until("taken back", 30 * SECOND, |w| triggers(w, 0) == (0, 0));
}
