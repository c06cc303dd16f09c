//! Reversal: an opposite open closes the position, waits until it is flat, and then opens.

mod desk;

use desk::{Desk, LONG, SHORT, price};
use engine::core::command::{Command, Reply};
use engine::core::event::{Event, Latch};
use engine::core::ids::{Leg, SignalId, Timestamp, UserId};
use engine::core::order::{OrderState, Side, VenueReason};
use engine::core::position::CloseReason;
use engine::core::rules::{SECOND, Settings};
use engine::core::signal::SignalKind;
use engine::core::user::{OutcomeKind, Skip};

fn reversing() -> (Desk, UserId) {
    Desk::with_trader(Settings { reverse: true, ..Settings::default() })
}

#[test]
fn without_the_setting_an_opposite_open_is_skipped() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    let signal = desk.send(SHORT, "BTCUSDT");
    assert_eq!(desk.skip(user, signal), Skip::PositionOpen);
}

fn reconsider(desk: &mut Desk, user: UserId, signal: SignalId) -> Reply {
    desk.run(Command::Reconsider { user, signal }).expect("as the test wants it")
}

#[test]
fn a_reversal_closes_waits_for_flat_and_then_opens() {
    let (mut desk, user) = reversing();
    desk.open(user, LONG, "BTCUSDT", "20000");
    let signal = desk.send(SHORT, "BTCUSDT");
    assert_eq!(desk.close_order(user).id.leg, Leg::ReversalClose);
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Ignored, "not flat yet");
    desk.restart();
    assert_eq!(desk.exit(user, "20000").closed, Some(CloseReason::Reversal));
    desk.restart();
    assert_eq!(desk.outcome(user, signal).filled_at, Timestamp(0), "the open is not filled");
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Intended, "no cool-down of its own close");
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Ignored, "once");
    let position = desk.enter(user, "20000");
    assert_eq!((position.side, position.signal), (Side::Sell, signal));
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Filled);
}

#[test]
fn a_reversal_of_an_entry_without_a_fill_opens_after_it_is_taken_back() {
    let (mut desk, user) = reversing();
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    let signal = desk.send(SHORT, "BTCUSDT");
    desk.venue_cancels(entry, VenueReason::Requested);
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Intended);
}

#[test]
fn a_reversal_that_comes_too_late_is_skipped() {
    let (mut desk, user) = reversing();
    desk.open(user, LONG, "BTCUSDT", "20000");
    let signal = desk.send(SHORT, "BTCUSDT");
    desk.wait(121 * SECOND);
    desk.exit(user, "20000");
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Skipped);
    assert_eq!(desk.skip(user, signal), Skip::Expired);
    assert!(desk.user(user).reversals.is_empty());
}

#[test]
fn a_later_close_covers_a_waiting_reversal() {
    let (mut desk, user) = reversing();
    desk.open(user, LONG, "BTCUSDT", "20000");
    let signal = desk.send(SHORT, "BTCUSDT");
    desk.send(SignalKind::CloseShort, "BTCUSDT");
    assert_eq!(desk.skip(user, signal), Skip::Superseded);
    desk.exit(user, "20000");
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Ignored);
    assert!(desk.is_flat(user));
}

#[test]
fn a_halt_between_the_halves_of_a_reversal_stops_the_open() {
    let (mut desk, user) = reversing();
    desk.open(user, LONG, "BTCUSDT", "20000");
    let signal = desk.send(SHORT, "BTCUSDT");
    desk.halt(user, Latch::User, true);
    desk.exit(user, "20000");
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Skipped);
    assert_eq!(desk.skip(user, signal), Skip::HaltedUser);
}

#[test]
fn a_reversal_that_finds_another_position_leaves_it_alone() {
    let (mut desk, user) = reversing();
    desk.rules.cooldown = 0;
    desk.open(user, LONG, "BTCUSDT", "20000");
    let signal = desk.send(SHORT, "BTCUSDT");
    desk.exit(user, "20000");
    desk.open(user, LONG, "BTCUSDT", "20000"); // before the shard came to reconsider
    assert_eq!(reconsider(&mut desk, user, signal), Reply::Skipped);
    assert_eq!(desk.skip(user, signal), Skip::PositionOpen);
    assert!(desk.position(user).closing.is_none());
}

#[test]
fn a_reversal_is_a_reversal_of_its_own_close_order() {
    let (mut desk, user) = reversing();
    desk.open(user, SHORT, "BTCUSDT", "20000");
    let signal = desk.send(LONG, "BTCUSDT");
    assert!(matches!(desk.last.as_slice(), [Event::SignalFinished { .. }]));
    let close = desk.close_order(user);
    assert_eq!((close.id.signal, close.side, close.reduce_only), (signal, Side::Buy, true));
    assert_eq!(desk.position(user).stop, price("20400"), "it stays protected until it is flat");
    assert_eq!(desk.order(user, Leg::Stop).state, OrderState::Submitted);
}
