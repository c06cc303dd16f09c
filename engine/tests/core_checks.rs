//! The checks of an open, each with its named reason, and their order.

mod desk;

use desk::{Desk, LONG, draft, money, price, quantity, symbol};
use engine::core::command::{Command, Reply, SignalDraft};
use engine::core::decide::{Calendar, Context, decide};
use engine::core::event::{Event, Latch};
use engine::core::fixed::Money;
use engine::core::ids::{Timestamp, UserId};
use engine::core::instrument::InstrumentStatus;
use engine::core::key::KeyState;
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::rules::{MINUTE, Settings};
use engine::core::signal::SignalKind;
use engine::core::user::{OutcomeKind, Skip, User, VenueKind};
use engine::core::venue_account::{Environment, LiveVenues};

type Break = fn(&mut Desk, UserId, &mut SignalDraft);

fn post(user: &mut User, currency: Currency, to: LedgerAccount, from: LedgerAccount, amount: Money) {
    let lines = [(to, amount), (from, amount.negated())];
    user.ledger.post(Timestamp(1), EntryKey::Recharge(0), currency, &lines);
}

fn hold(desk: &mut Desk, user: UserId, name: &str, at: &str) {
    let max = desk.rules.positions_max;
    desk.rules.positions_max = 9;
    desk.open(user, LONG, name, at);
    desk.rules.positions_max = max;
}

/// What makes an open on BTCUSDT fail, in the order in which the reasons are reported.
const BREAKS: [(Skip, Break); 20] = [
    (Skip::UserInactive, |desk, user, _| desk.edit(user, |u| u.active = false)),
    (Skip::NotSubscribed, |desk, user, _| {
        let source = desk.source;
        desk.run(Command::Unsubscribe { user, source }).expect("as the test wants it");
    }),
    (Skip::AccountDisabled, |desk, user, _| desk.edit(user, |u| u.accounts[0].enabled = false)),
    (Skip::VenueUnavailable, |desk, user, _| {
        desk.rules.live = LiveVenues::default();
        desk.edit(user, |u| u.accounts[0].venue = VenueKind::Bybit);
    }),
    (Skip::KeyUnhealthy, |desk, user, _| desk.edit(user, |u| u.accounts[0].key_state = KeyState::Pending)),
    (Skip::HaltedUser, |desk, user, _| desk.halt(user, Latch::User, true)),
    (Skip::HaltedSource, |desk, _, _| desk.halt(desk.publisher, Latch::Source(0), true)),
    (Skip::HaltedGlobal, |desk, _, _| desk.rules.halted = true),
    (Skip::Debt, |desk, user, _| {
        desk.edit(user, |u| {
            for currency in [Currency::PaperUsdt, Currency::Usdt] {
                post(u, currency, LedgerAccount::Outside, LedgerAccount::Debt, money("0.00000001"));
            }
        });
    }),
    (Skip::Plan, |desk, user, _| {
        desk.edit(user, |u| {
            u.accounts[0].venue = VenueKind::Binance;
            u.accounts[0].environment = Environment::Mainnet;
            u.trial_ends_at = Timestamp(1);
            post(u, Currency::Usdt, LedgerAccount::Wallet(0), LedgerAccount::Outside, money("10000"));
        });
    }),
    (Skip::SymbolNotAllowed, |desk, user, _| {
        desk.edit(user, |u| u.subscriptions[0].settings.symbols = vec![symbol("ETHUSDT")]);
    }),
    (Skip::SymbolNotTrading, |desk, _, _| {
        desk.market.edit("BTCUSDT", |i| i.status = InstrumentStatus::CloseOnly);
    }),
    (Skip::PositionOpen, |desk, user, _| hold(desk, user, "BTCUSDT", "20000")),
    (Skip::PositionsMax, |desk, user, _| {
        hold(desk, user, "ETHUSDT", "1500");
        hold(desk, user, "SOLUSDT", "25");
    }),
    (Skip::Cooldown, |desk, user, _| {
        let until = desk.now.plus_micros(1);
        desk.edit(user, |u| u.cooldowns.push((0, symbol("BTCUSDT"), until)));
    }),
    (Skip::DailyLoss, |desk, user, _| {
        let until = desk.now.plus_micros(1);
        desk.edit(user, |u| u.accounts[0].loss_latch_until = until);
    }),
    (Skip::InsufficientMargin, |desk, user, _| {
        desk.edit(user, |u| {
            let (currency, all) = (u.accounts[0].currency(), u.wallet(0));
            post(u, currency, LedgerAccount::Outside, LedgerAccount::Wallet(0), all);
        });
    }),
    (Skip::MarketReadingStale, |desk, _, _| desk.market.set_mark("BTCUSDT", None)),
    (Skip::ProtectionInvalid, |_, _, draft| draft.stop_loss = Some(price("20000"))),
    (Skip::BelowMinimum, |desk, _, _| {
        desk.market.edit("BTCUSDT", |i| i.quantity_min = quantity("1000"));
    }),
];

/// Positions are taken before anything forbids to take them.
fn is_first(skip: Skip) -> bool {
    matches!(skip, Skip::PositionOpen | Skip::PositionsMax)
}

fn reason(breaks: &[(Skip, Break)]) -> Skip {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.rules.live = LiveVenues::default().with(VenueKind::Binance, Environment::Mainnet);
    let mut draft = draft(LONG, "BTCUSDT", 0);
    for first in [true, false] {
        for (_, apply) in breaks.iter().filter(|(skip, _)| is_first(*skip) == first) {
            apply(&mut desk, user, &mut draft);
        }
    }
    let signal = desk.send_draft(draft);
    assert!(desk.sent.iter().all(|order| order.id.signal != signal), "a skipped signal makes no order");
    desk.skip(user, signal)
}

#[test]
fn nothing_broken_opens() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
}

#[test]
fn each_check_refuses_with_its_name() {
    for one in BREAKS {
        assert_eq!(reason(&[one]), one.0);
    }
}

#[test]
fn of_two_failing_checks_the_first_is_reported() {
    for (at, first) in BREAKS.into_iter().enumerate() {
        for second in &BREAKS[at + 1..] {
            assert_eq!(reason(&[first, *second]), first.0, "before {:?}", second.0);
        }
    }
}

#[test]
fn all_failing_checks_report_in_order() {
    for at in 0..BREAKS.len() {
        assert_eq!(reason(&BREAKS[at..]), BREAKS[at].0);
    }
}

#[test]
fn a_symbol_off_the_list_is_not_trading() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let signal = desk.accepted(LONG, "BTCUSDT");
    desk.market.delist("BTCUSDT");
    desk.fan_out(signal);
    assert_eq!(desk.skip(user, signal), Skip::SymbolNotTrading);
}

#[test]
fn an_opening_position_counts_as_open() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let second = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.skip(user, second), Skip::PositionOpen);
    desk.send(LONG, "ETHUSDT");
    let third = desk.send(LONG, "SOLUSDT");
    assert_eq!(desk.skip(user, third), Skip::PositionsMax);
}

#[test]
fn positions_are_counted_per_account() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    desk.send(LONG, "ETHUSDT");
    let account = desk.open_account(user, "10000");
    desk.subscribe(user, account, Settings::default());
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
    assert_eq!(desk.outcome(user, signal).account, account);
}

#[test]
fn the_place_of_a_voided_entry_is_free_again() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let bound = desk.user(user).available(0);
    assert!(bound < money("10000"));
    let entry = desk.order(user, engine::core::ids::Leg::Entry).new.id;
    desk.venue_rejects(entry, engine::core::order::VenueReason::Margin);
    assert_eq!(desk.user(user).available(0), money("10000"), "the margin is free again");
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent, "no cool-down either");
}

#[test]
fn the_cool_down_ends_120_minutes_after_the_close() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.wait(MINUTE);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    desk.exit(user, "20000");
    let closed = desk.now;
    desk.now = closed.plus_micros(120 * MINUTE - 1);
    let early = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.skip(user, early), Skip::Cooldown);
    let other = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.outcome(user, other).kind, OutcomeKind::Sent, "other symbols are free");
    desk.now = closed.plus_micros(120 * MINUTE);
    let late = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, late).kind, OutcomeKind::Sent);
}

#[test]
fn a_close_leaves_the_cool_down_of_another_symbol() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    for (name, price) in [("BTCUSDT", "20000"), ("ETHUSDT", "1500")] {
        desk.open(user, LONG, name, price);
        desk.close_by_hand(user, name).unwrap();
        desk.exit(user, price);
    }
    for name in ["BTCUSDT", "ETHUSDT"] {
        let signal = desk.send(LONG, name);
        assert_eq!(desk.skip(user, signal), Skip::Cooldown, "{name}");
    }
}

#[test]
fn the_global_halt_and_the_latches_release() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.halt(user, Latch::User, true);
    desk.halt(desk.publisher, Latch::Source(0), true);
    desk.rules.halted = true;
    desk.rules.halted = false;
    desk.halt(desk.publisher, Latch::Source(0), false);
    desk.halt(user, Latch::User, false);
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
}

#[test]
fn each_signal_is_decided_once() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let signal = desk.accepted(LONG, "BTCUSDT");
    assert_eq!(desk.offer(user, signal), Reply::Intended);
    for _ in 0..3 {
        assert_eq!(desk.offer(user, signal), Reply::Ignored);
        desk.restart();
    }
    desk.wait(1000 * MINUTE);
    assert_eq!(desk.offer(user, signal), Reply::Ignored);
    assert_eq!(desk.sent.len(), 1);
}

#[test]
fn a_skipped_signal_stays_skipped() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.halt(user, Latch::User, true);
    let signal = desk.accepted(LONG, "BTCUSDT");
    assert_eq!(desk.offer(user, signal), Reply::Skipped);
    desk.halt(user, Latch::User, false);
    assert_eq!(desk.offer(user, signal), Reply::Ignored);
    assert!(desk.sent.is_empty());
}

// The daily loss.

/// Loses about `part` thousandths of 10000 on a long of notional 15000.
fn lose(desk: &mut Desk, user: UserId, exit: &str) {
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.close_by_hand(user, "BTCUSDT").expect("as the test wants it");
    desk.exit(user, exit);
}

#[test]
fn a_loss_of_ten_percent_latches_until_the_day_ends() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    lose(&mut desk, user, "18600"); // 0.75 · 1400 = 1050
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, signal), Skip::DailyLoss);
    let midnight = Timestamp(desk::NOON.0 + 12 * 60 * MINUTE);
    let latch = desk.user(user).accounts[0].loss_latch_until;
    assert_eq!(latch, midnight, "latched until midnight, by name in the record");
    assert!(matches!(desk.user(user).accounts[0].day_equity, e if e == money("10000")));

    desk.now = Timestamp(midnight.0 - 1);
    let before = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, before), Skip::DailyLoss);
    desk.now = midnight;
    let after = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.outcome(user, after).kind, OutcomeKind::Sent, "a new day, a new equity");
    assert_eq!(desk.user(user).accounts[0].day_equity, desk.user(user).wallet(0));
}

#[test]
fn the_latch_holds_though_the_loss_recovers() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.market.set_mark("BTCUSDT", Some("18600"));
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, signal), Skip::DailyLoss, "unrealised losses count");
    desk.market.set_mark("BTCUSDT", Some("21000"));
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, signal), Skip::DailyLoss);
}

#[test]
fn the_limit_is_reached_at_exactly_ten_percent() {
    for (fee, skips) in [("17.5", true), ("17.49999999", false)] {
        let (mut desk, user) = Desk::with_trader(Settings::default());
        let position = desk.open(user, LONG, "BTCUSDT", "20000"); // 0.75, fee 7.5
        desk.close_by_hand(user, "BTCUSDT").unwrap();
        let close = desk.close_order(user).id;
        desk.venue_fills_at(close, price("18700"), position.quantity, money(fee), true);
        let signal = desk.send(LONG, "ETHUSDT");
        assert_eq!(matches!(desk.outcome(user, signal).kind, OutcomeKind::Skipped(Skip::DailyLoss)), skips);
    }
}

#[test]
fn the_day_is_the_users_own() {
    let mut desk = Desk::new();
    let user = desk.sign_up("bia@example.com", "America/Sao_Paulo");
    desk.open_account(user, "10000");
    desk.subscribe(user, 0, Settings::default());
    lose(&mut desk, user, "18600");
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, signal), Skip::DailyLoss);
    let midnight_there = Timestamp(desk::NOON.0 + 15 * 60 * MINUTE);
    assert_eq!(desk.user(user).accounts[0].loss_latch_until, midnight_there);
}

#[test]
fn the_day_opens_before_a_fill_moves_the_wallet() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let position = desk.open(user, LONG, "BTCUSDT", "20000");
    desk.wait(24 * 60 * MINUTE);
    let wallet = desk.user(user).wallet(0);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let order = desk.close_order(user);
    desk.market.set_mark("BTCUSDT", Some("20100"));
    desk.venue_fills(order.id, "20100", &position.quantity.to_string(), true);
    let expected = wallet.checked_add(money("75")).unwrap();
    assert!(matches!(desk.last[0], Event::DayOpened { equity, .. } if equity == expected), "{:?}", desk.last);
}

#[test]
fn a_loss_that_cannot_be_measured_refuses() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.market.set_mark("BTCUSDT", None);
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.skip(user, signal), Skip::MarketReadingStale);
}

#[test]
fn a_loss_of_another_account_is_not_this_ones() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    lose(&mut desk, user, "18600");
    let account = desk.open_account(user, "10000");
    desk.subscribe(user, account, Settings::default());
    let signal = desk.send(SignalKind::OpenShort { strong: true }, "ETHUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
}

#[test]
fn an_open_loss_of_another_account_is_not_this_ones() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    let account = desk.open_account(user, "10000");
    desk.subscribe(user, account, Settings::default());
    desk.market.set_mark("BTCUSDT", Some("18000"));
    let signal = desk.send(LONG, "ETHUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
    assert_eq!(desk.user(user).accounts[usize::from(account)].day_equity, money("10000"));
}

/// Knows no zone, not even UTC.
struct NoZone;

impl Calendar for NoZone {
    fn day_end(&self, _: &str, _: Timestamp) -> Option<Timestamp> {
        None
    }
}

#[test]
fn without_any_calendar_a_day_lasts_24_hours() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let id = desk.accepted(LONG, "BTCUSDT");
    let (signal, superseded) = desk.signal(id);
    let state = desk.state_of(user);
    let cx = Context { now: desk.now, rules: &desk.rules, market: &desk.market, calendar: &NoZone };
    let at = state.find(user).unwrap();
    let mut events = Vec::new();
    decide(state, &cx, &Command::Offer { at, signal, superseded, source_halted: false }, &mut events)
        .unwrap();
    let tomorrow = Timestamp(desk.now.0 + 86_400_000_000);
    assert!(matches!(events[0], Event::DayOpened { ends_at, .. } if ends_at == tomorrow), "{events:?}");
}

#[test]
fn a_real_account_needs_a_trial_or_a_plan_that_has_not_ended_and_testnet_and_paper_need_none() {
    let now = desk::NOON.0;
    let (paper, real) = ((VenueKind::Paper, Environment::Demo), (VenueKind::Binance, Environment::Mainnet));
    for ((venue, environment), trial, plan, sent) in [
        (paper, 1, 1, true),
        ((VenueKind::Binance, Environment::Testnet), 1, 1, true),
        ((VenueKind::Bybit, Environment::Demo), 1, 1, true),
        (real, now, 1, true),
        (real, now - 1, 1, false),
        (real, 1, now, true),
        (real, 1, now - 1, false),
    ] {
        let (mut desk, user) = Desk::with_trader(Settings::default());
        desk.rules.live = desk.rules.live.with(venue, environment);
        desk.edit(user, |u| {
            (u.accounts[0].venue, u.accounts[0].environment) = (venue, environment);
            (u.trial_ends_at, u.plan_ends_at) = (Timestamp(trial), Timestamp(plan));
            post(u, Currency::Usdt, LedgerAccount::Wallet(0), LedgerAccount::Outside, money("10000"));
        });
        let signal = desk.send(LONG, "BTCUSDT");
        let kind = if sent { OutcomeKind::Sent } else { OutcomeKind::Skipped(Skip::Plan) };
        assert_eq!(desk.outcome(user, signal).kind, kind, "{venue:?} {trial} {plan}");
    }
}

#[test]
fn a_close_keeps_the_cool_downs_of_other_accounts_and_forgets_those_that_ended() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let (now, bitcoin) = (desk.now, symbol("BTCUSDT"));
    let (later, until) = (now.plus_micros(1), now.plus_micros(120 * MINUTE));
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.edit(user, |u| {
        u.cooldowns = vec![
            (0, bitcoin, later),
            (1, bitcoin, later),
            (1, symbol("ETHUSDT"), now),
            (0, symbol("SOLUSDT"), now),
        ];
    });
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    desk.exit(user, "20000");
    assert_eq!(desk.user(user).cooldowns, [(1, bitcoin, later), (0, bitcoin, until)]);
}

#[test]
fn a_cool_down_of_no_time_is_none() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.rules.cooldown = 0;
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    desk.exit(user, "20000");
    assert_eq!(desk.user(user).cooldowns, []);
}
