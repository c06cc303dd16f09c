//! Closing: what closes a position, that nothing refuses it, and that it goes on until the position is flat.

mod desk;

use desk::{Desk, LONG, NOON, SHORT, draft, quantity, symbol};
use engine::core::command::{Command, Refusal, Reply};
use engine::core::event::Latch;
use engine::core::ids::{ClientOrderId, Leg, Timestamp, UserId};
use engine::core::instrument::InstrumentStatus;
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::order::VenueReason;
use engine::core::position::{CloseReason, Position, PositionState};
use engine::core::rules::{SECOND, Settings};
use engine::core::signal::SignalKind;
use engine::core::user::{OutcomeKind, Skip};

fn opened(kind: SignalKind) -> (Desk, UserId, Position) {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let position = desk.open(user, kind, "BTCUSDT", "20000");
    (desk, user, position)
}

// By signal.

#[test]
fn a_signal_closes_its_side() {
    for (kind, close) in [(LONG, SignalKind::CloseLong), (SHORT, SignalKind::CloseShort)] {
        for close in [close, SignalKind::CloseAll] {
            let (mut desk, user, position) = opened(kind);
            let signal = desk.send(close, "BTCUSDT");
            let order = desk.close_order(user);
            assert_eq!(order.id.signal, signal, "its id names the closing signal");
            assert_eq!((order.id.leg, order.side), (Leg::SignalClose, position.side.opposite()));
            assert_eq!(order.quantity, position.quantity);
            let closed = desk.exit(user, "20100");
            assert_eq!((closed.state, closed.closed), (PositionState::Closed, Some(CloseReason::Signal)));
            assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Filled);
            assert!(desk.is_flat(user) && desk.user(user).orders.is_empty());
        }
    }
}

#[test]
fn a_signal_does_not_close_the_other_side_symbol_or_source() {
    let (mut desk, user, _) = opened(LONG);
    for (kind, name) in [(SignalKind::CloseShort, "BTCUSDT"), (SignalKind::CloseLong, "ETHUSDT")] {
        let signal = desk.send(kind, name);
        assert_eq!(desk.skip(user, signal), Skip::NoPosition);
    }
    let publisher = desk.publisher;
    desk.run(Command::CreateSource { user: publisher, name: "other".into(), secret: [8; 32] }).unwrap();
    desk.source.index = 1;
    desk.subscribe(user, 0, Settings::default());
    // Its numbers are its own: they pass the opening signal's without meaning a later one.
    for _ in 0..3 {
        let signal = desk.send(SignalKind::CloseAll, "BTCUSDT");
        assert_eq!(desk.skip(user, signal), Skip::NoPosition, "another strategy's position");
    }
    assert!(desk.position(user).closing.is_none());
}

#[test]
fn a_second_close_finds_it_closing() {
    let (mut desk, user, _) = opened(LONG);
    desk.send(SignalKind::CloseLong, "BTCUSDT");
    let second = desk.send(SignalKind::CloseLong, "BTCUSDT");
    assert_eq!(desk.skip(user, second), Skip::AlreadyClosing);
    assert_eq!(desk.sent.iter().filter(|o| desk::is_close(o.id.leg)).count(), 1);
}

#[test]
fn a_close_older_than_the_position_was_not_meant_for_it() {
    let decided = NOON;
    for (at, meant) in [(decided.0 - 5 * SECOND, true), (decided.0 - 5 * SECOND - 1, false)] {
        let (mut desk, user, _) = opened(LONG);
        let mut close = draft(SignalKind::CloseAll, "BTCUSDT", 1_000);
        close.at = Some(Timestamp(at));
        let signal = desk.send_draft(close);
        assert_eq!(desk.position(user).closing.is_some(), meant);
        if !meant {
            assert_eq!(desk.skip(user, signal), Skip::Expired);
        }
    }
}

#[test]
fn a_close_accepted_before_the_open_does_not_close_it() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let close = desk.accepted(SignalKind::CloseAll, "BTCUSDT");
    desk.open(user, LONG, "BTCUSDT", "20000");
    assert_eq!(desk.offer(user, close), Reply::Skipped);
    assert_eq!(desk.skip(user, close), Skip::NoPosition);
}

#[test]
fn a_close_finds_the_position_though_the_subscription_moved_to_another_account() {
    let (mut desk, user, _) = opened(LONG);
    let account = desk.open_account(user, "10000");
    desk.subscribe(user, account, Settings::default());
    let open = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, open).account, account);
    assert_eq!(desk.user(user).positions.len(), 2, "one per account");
    desk.send(SignalKind::CloseLong, "BTCUSDT");
    assert!(desk.user(user).positions.iter().all(|p| p.closing.is_some()), "both are closed");
}

#[test]
fn a_close_of_an_unsubscribed_user_closes_what_the_source_opened() {
    let (mut desk, user, _) = opened(LONG);
    let source = desk.source;
    desk.run(Command::Unsubscribe { user, source }).unwrap();
    desk.send(SignalKind::CloseLong, "BTCUSDT");
    desk.exit(user, "20000");
    assert!(desk.is_flat(user));
}

// By hand.

#[test]
fn a_user_closes_by_hand_once() {
    let (mut desk, user, _) = opened(LONG);
    assert_eq!(desk.close_by_hand(user, "ETHUSDT"), Err(Refusal::UnknownPosition));
    assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Ok(Reply::Closing));
    assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Err(Refusal::AlreadyClosing), "it is on its way");
    assert_eq!(desk.exit(user, "20000").closed, Some(CloseReason::Manual));
    assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Err(Refusal::UnknownPosition));
}

#[test]
fn a_close_by_hand_finds_a_signals_close_at_work() {
    let (mut desk, user, _) = opened(LONG);
    desk.send(SignalKind::CloseLong, "BTCUSDT");
    assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Err(Refusal::AlreadyClosing));
    assert_eq!(desk.exit(user, "20000").closed, Some(CloseReason::Signal));
}

// Never refused.

#[test]
fn nothing_refuses_a_close() {
    type Trouble = fn(&mut Desk, UserId);
    let troubles: [(&str, Trouble); 11] = [
        ("inactive", |d, u| d.edit(u, |u| u.active = false)),
        ("halted by the user", |d, u| d.halt(u, Latch::User, true)),
        ("source halted", |d, _| d.halt(d.publisher, Latch::Source(0), true)),
        ("all halted", |d, _| d.rules.halted = true),
        ("account off", |d, u| d.edit(u, |u| u.accounts[0].enabled = false)),
        ("key unhealthy", |d, u| {
            d.edit(u, |u| u.accounts[0].key_state = engine::core::key::KeyState::Missing)
        }),
        ("in debt", |d, u| {
            d.edit(u, |u| {
                let lines =
                    [(LedgerAccount::Debt, desk::money("-50")), (LedgerAccount::Outside, desk::money("50"))];
                u.ledger.post(Timestamp(1), EntryKey::Recharge(0), Currency::PaperUsdt, &lines);
            });
        }),
        ("in cool-down, loss limit reached", |d, u| {
            let until = d.now.plus_micros(SECOND);
            d.edit(u, |u| {
                u.cooldowns.push((0, symbol("BTCUSDT"), until));
                u.accounts[0].loss_latch_until = until;
            });
        }),
        ("no price", |d, _| d.market.set_mark("BTCUSDT", None)),
        ("instrument halted", |d, _| d.market.edit("BTCUSDT", |i| i.status = InstrumentStatus::Halted)),
        ("instrument gone", |d, _| d.market.delist("BTCUSDT")),
    ];
    for by_hand in [true, false] {
        let (mut all, all_user, _) = opened(LONG);
        for (name, trouble) in troubles {
            let (mut desk, user, position) = opened(LONG);
            let close = desk.accepted(SignalKind::CloseLong, "BTCUSDT");
            trouble(&mut desk, user);
            trouble(&mut all, all_user);
            if by_hand {
                assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Ok(Reply::Closing), "{name}");
            } else {
                assert_eq!(desk.offer(user, close), Reply::Intended, "{name}");
            }
            assert_eq!(desk.close_order(user).quantity, position.quantity, "{name}");
            desk.exit(user, "20000");
            assert!(desk.is_flat(user), "{name}");
        }
        assert_eq!(all.close_by_hand(all_user, "BTCUSDT"), Ok(Reply::Closing), "all at once");
        all.exit(all_user, "19000");
    }
}

#[test]
fn an_unknown_entry_does_not_hold_up_a_close() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new;
    desk.venue_fills(entry.id, "20000", "0.5", false);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    assert_eq!(desk.close_order(user).quantity, quantity("0.5"));
}

// Until it is flat.

#[test]
fn a_close_before_the_first_fill_takes_the_entry_back() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    let close = desk.send(SignalKind::CloseLong, "BTCUSDT");
    assert_eq!(desk.cancels, [entry]);
    assert!(desk.find_order(user, Leg::SignalClose).is_none(), "there is nothing to close yet");
    desk.venue_cancels(entry, VenueReason::Requested);
    assert!(desk.is_flat(user) && desk.user(user).closed_positions.is_empty(), "there never was a position");
    assert_eq!(desk.skip(user, close), Skip::NoPosition, "and the close ends with a reason");
}

#[test]
fn an_entry_that_fills_while_it_is_taken_back_is_protected_and_closed() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    desk.venue_fills(entry, "20000", "0.75", true);
    assert!(desk.find_order(user, Leg::Stop).is_some());
    assert_eq!(desk.close_order(user).quantity, quantity("0.75"));
    desk.exit(user, "20000");
    assert!(desk.is_flat(user) && desk.user(user).orders.is_empty());
}

#[test]
fn what_fills_after_the_close_was_sent_is_closed_by_the_next_round() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    desk.venue_fills(entry, "20000", "0.2", false);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    assert_eq!(desk.cancels, [entry]);
    let first = desk.close_order(user);
    desk.venue_fills(entry, "20010", "0.3", false);
    assert_eq!(desk.sent.iter().filter(|o| desk::is_close(o.id.leg)).count(), 1, "one close at a time");
    desk.venue_fills(first.id, "20000", "0.2", true);
    let second = desk.close_order(user);
    assert_eq!((second.id.round, second.quantity), (1, quantity("0.3")));
    desk.venue_fills(second.id, "20000", "0.3", true);
    assert!(!desk.is_flat(user), "flat, but the rest of the entry is still out");
    desk.venue_cancels(entry, VenueReason::Requested);
    assert!(desk.is_flat(user));
    assert_eq!(desk.closed(user).entry_quantity, quantity("0.5"));
    desk.sweep(user);
    assert!(desk.user(user).orders.is_empty());
}

#[test]
fn a_close_that_is_refused_is_tried_again_with_the_next_round() {
    let (mut desk, user, position) = opened(LONG);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    for round in 0..5 {
        let close = desk.close_order(user);
        assert_eq!(close.id.round, round);
        assert_eq!(desk.drive_close(user, &position), Reply::Ignored, "one is at work");
        desk.venue_rejects(close.id, VenueReason::Symbol);
        assert!(
            desk.find_order(user, Leg::ManualClose).is_none(),
            "the timer sends the next, not the refusal"
        );
        assert_eq!(desk.drive_close(user, &position), Reply::Closing);
    }
    desk.exit(user, "20000");
    assert_eq!(desk.drive_close(user, &position), Reply::Ignored);
}

/// Refuses closes until the position has no order left to send; the legs and rounds of them.
fn refuse_all(desk: &mut Desk, user: UserId, position: &Position) -> Vec<(Leg, u8)> {
    let mut used = Vec::new();
    while let Some(close) = desk.user(user).orders.iter().find(|o| desk::is_close(o.new.id.leg)) {
        let id = close.new.id;
        // Only a signal's own close goes by another signal than the position's.
        assert_eq!(id.signal == position.signal, id.leg != Leg::SignalClose, "{id:?}");
        used.push((id.leg, id.round));
        desk.venue_rejects(id, VenueReason::Symbol);
        desk.drive_close(user, position);
    }
    used
}

#[test]
fn a_close_that_is_refused_for_days_goes_on_under_other_ids() {
    let rounds = |leg: Leg, from: u8, to: u8| (from..=to).map(move |round| (leg, round));
    let carried = || {
        let hand = rounds(Leg::ManualClose, 124, ClientOrderId::ROUND_MAX);
        rounds(Leg::UnprotectedClose, 0, ClientOrderId::ROUND_MAX).chain(hand)
    };
    for leg in [Leg::SignalClose, Leg::ManualClose, Leg::UnprotectedClose] {
        let (mut desk, user, position) = opened(LONG);
        let reason = match leg {
            Leg::SignalClose => {
                desk.send(SignalKind::CloseLong, "BTCUSDT");
                CloseReason::Signal
            }
            Leg::ManualClose => {
                desk.close_by_hand(user, "BTCUSDT").unwrap();
                CloseReason::Manual
            }
            _ => {
                let stop = desk.order(user, Leg::Stop).new.id;
                desk.venue_cancels(stop, VenueReason::WouldTrigger);
                CloseReason::StopLoss
            }
        };
        let asked = rounds(leg, 0, 122).filter(|_| leg != Leg::UnprotectedClose);
        assert_eq!(refuse_all(&mut desk, user, &position), asked.chain(carried()).collect::<Vec<_>>());
        // A restart finds it as it is; only a signal has ids of its own now.
        desk.wait(3600 * SECOND);
        assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Err(Refusal::AlreadyClosing));
        for _ in 0..2 {
            desk.send(SignalKind::CloseAll, "BTCUSDT");
            let last = rounds(Leg::SignalClose, 124, ClientOrderId::ROUND_MAX).collect::<Vec<_>>();
            assert_eq!(refuse_all(&mut desk, user, &position), last);
        }
        desk.send(SignalKind::CloseAll, "BTCUSDT");
        let closed = desk.exit(user, "20000").closed;
        assert_eq!(closed, Some(CloseReason::Signal), "{reason:?} was asked for first");
        assert!(desk.is_flat(user));
        desk.check_replay();
    }
}

#[test]
fn the_reason_of_a_close_stays_when_it_goes_on_under_other_ids() {
    let (mut desk, user, position) = opened(LONG);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    while desk.close_order(user).id.leg == Leg::ManualClose {
        let close = desk.close_order(user).id;
        desk.venue_rejects(close, VenueReason::Symbol);
        desk.drive_close(user, &position);
    }
    assert_eq!(desk.exit(user, "20000").closed, Some(CloseReason::Manual));
}

#[test]
fn the_user_may_ask_for_the_next_try_of_a_close_that_waits_long() {
    let (mut desk, user, _) = opened(LONG);
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    for round in 0..3 {
        let close = desk.close_order(user).id;
        assert_eq!(close.round, round);
        desk.wait(64 * SECOND);
        assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Err(Refusal::AlreadyClosing), "one is at work");
        desk.venue_rejects(close, VenueReason::Symbol);
        desk.wait(64 * SECOND - 1);
        assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Err(Refusal::AlreadyClosing), "it goes on by itself");
        // Another position's close, just now, is no try of this one.
        if round == 1 {
            desk.close_by_hand(user, "ETHUSDT").unwrap();
            let other = desk.close_order(user);
            desk.venue_fills(other.id, "1500", &other.quantity.to_string(), true);
        }
        desk.wait(1);
        assert_eq!(desk.close_by_hand(user, "BTCUSDT"), Ok(Reply::Closing));
    }
    assert_eq!(desk.exit(user, "20000").closed, Some(CloseReason::Manual));
}

#[test]
fn a_close_larger_than_the_markets_maximum_goes_in_parts() {
    let (mut desk, user, _) = opened(LONG);
    desk.market.edit("BTCUSDT", |i| i.quantity_max_market = quantity("0.3005"));
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    for size in ["0.3", "0.3", "0.15"] {
        let close = desk.close_order(user);
        assert_eq!(close.quantity, quantity(size));
        desk.venue_fills(close.id, "20000", size, true);
    }
    assert!(desk.is_flat(user));
}

#[test]
fn case_x15_a_close_rounds_down_and_never_waits_for_a_minimum() {
    let (mut desk, user, _) = opened(LONG);
    desk.market.edit("BTCUSDT", |i| {
        i.step = quantity("0.2");
        i.quantity_min = quantity("100");
        i.notional_min = desk::money("1000000");
    });
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let close = desk.close_order(user);
    assert_eq!(close.quantity, quantity("0.6"));
    desk.venue_fills(close.id, "20000", "0.6", true);
    assert_eq!(desk.close_order(user).quantity, quantity("0.15"), "a rest below the step goes as it is");
}

#[test]
fn a_close_that_ends_in_the_middle_goes_on() {
    let (mut desk, user, position) = opened(LONG);
    let signal = desk.send(SignalKind::CloseLong, "BTCUSDT");
    let close = desk.close_order(user).id;
    desk.venue_fills(close, "20000", "0.5", false);
    desk.venue_cancels(close, VenueReason::Liquidity);
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::FilledInPart);
    assert_eq!(desk.drive_close(user, &position), Reply::Closing);
    assert_eq!(desk.close_order(user).quantity, quantity("0.25"));
    desk.exit(user, "20000");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Filled);
}

#[test]
fn a_close_with_nothing_to_reduce_waits_for_the_fill_that_made_it_so() {
    let (mut desk, user, position) = opened(LONG);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let stop = desk.order(user, Leg::Stop).new.id;
    let close = desk.close_order(user).id;
    desk.venue_rejects(close, VenueReason::NothingToReduce);
    assert!(!desk.is_flat(user), "an error proves nothing: only fills close");
    desk.venue_fills(stop, "19590", "0.75", true);
    assert!(desk.is_flat(user));
    assert_eq!(desk.closed(user).closed, Some(CloseReason::StopLoss));
    assert_eq!(desk.drive_close(user, &position), Reply::Ignored);
}

#[test]
fn a_signals_close_that_found_nothing_to_reduce_is_no_failure() {
    // CASES.md O5: its stop was faster.
    let (mut desk, user, _) = opened(LONG);
    let signal = desk.send(SignalKind::CloseAll, "BTCUSDT");
    let (stop, close) = (desk.order(user, Leg::Stop).new.id, desk.close_order(user).id);
    desk.venue_fills(stop, "19590", "0.75", true);
    desk.venue_rejects(close, VenueReason::NothingToReduce);
    assert_eq!(desk.skip(user, signal), Skip::NoPosition);
}

#[test]
fn a_stop_that_fills_first_ends_the_close_and_the_position_is_closed_once() {
    let (mut desk, user, _) = opened(LONG);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let (stop, close) = (desk.order(user, Leg::Stop).new.id, desk.close_order(user).id);
    desk.venue_fills(stop, "19590", "0.75", true);
    assert!(desk.is_flat(user));
    assert!(desk.cancels.contains(&close));
    desk.venue_rejects(close, VenueReason::NothingToReduce);
    desk.sweep(user);
    assert!(desk.user(user).orders.is_empty());
    assert_eq!(desk.user(user).closed_positions.len(), 1);
}

#[test]
fn stop_and_close_share_the_position() {
    let (mut desk, user, _) = opened(LONG);
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let (stop, close) = (desk.order(user, Leg::Stop).new.id, desk.close_order(user).id);
    desk.venue_fills(stop, "19590", "0.25", false);
    desk.venue_fills(close, "19580", "0.5", false);
    assert!(desk.is_flat(user));
    assert_eq!(desk.closed(user).closed, Some(CloseReason::Manual), "what closed the last of it");
    desk.venue_cancels(close, VenueReason::PositionClosed);
    desk.venue_cancels(stop, VenueReason::PositionClosed);
    desk.sweep(user);
    assert!(desk.user(user).orders.is_empty());
}

#[test]
fn take_profit_and_stop_close_by_name() {
    for (leg, at, reason) in
        [(Leg::Stop, "19590", CloseReason::StopLoss), (Leg::TakeProfit, "20600", CloseReason::TakeProfit)]
    {
        let (mut desk, user, _) = opened(LONG);
        let order = desk.order(user, leg).new.id;
        desk.venue_fills(order, at, "0.75", true);
        assert_eq!(desk.closed(user).closed, Some(reason));
        let left: Vec<_> = desk.user(user).orders.iter().map(|o| (o.new.id.leg, o.cancelling)).collect();
        let other = if leg == Leg::Stop { Leg::TakeProfit } else { Leg::Stop };
        assert_eq!(left, [(other, true)], "the other of the pair is taken back");
        desk.venue_cancels(desk.order(user, other).new.id, VenueReason::PositionClosed);
        assert!(desk.user(user).orders.is_empty());
    }
}

#[test]
fn a_stop_that_closes_a_half_filled_entry_takes_the_rest_back() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    desk.venue_fills(entry, "20000", "0.4", false);
    let stop = desk.order(user, Leg::Stop).new.id;
    desk.venue_accepts(stop);
    desk.venue_fills(stop, "19600", "0.4", true);
    assert!(!desk.is_flat(user) && desk.order(user, Leg::Entry).cancelling);
    desk.venue_fills(entry, "19600", "0.1", false);
    let close = desk.close_order(user);
    assert_eq!(close.quantity, quantity("0.1"), "what came meanwhile is closed");
    desk.venue_cancels(entry, VenueReason::Requested);
    desk.venue_fills(close.id, "19600", "0.1", true);
    assert!(desk.is_flat(user));
    assert_eq!(desk.closed(user).closed, Some(CloseReason::StopLoss));
}
