//! What a source accepts, once: validity, repeats, limits, and closes that cover opens.

mod desk;

use desk::{Desk, LONG, SHORT, draft};
use engine::core::command::{Command, Refusal, Reply, SignalDraft};
use engine::core::ids::{Leg, SignalId, SourceId, Timestamp};
use engine::core::rules::{SECOND, Settings};
use engine::core::signal::{FanOutCounts, SignalKind};
use engine::core::user::{BODY_KEPT_MAX, DEDUP_MAX, OutcomeKind, SIGNALS_MAX, Seen, Skip};

const CLOSES: [SignalKind; 3] = [SignalKind::CloseLong, SignalKind::CloseShort, SignalKind::CloseAll];

fn at(mut draft: SignalDraft, at: Timestamp) -> SignalDraft {
    draft.at = Some(at);
    draft
}

fn id_of(reply: Result<Reply, Refusal>) -> (SignalId, bool) {
    match reply {
        Ok(Reply::Signal { id, repeat }) => (id, repeat),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_open_is_valid_for_30_seconds_from_its_own_time() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let now = desk.now.0;
    let just = desk.send_draft(at(draft(LONG, "BTCUSDT", 1), Timestamp(now - 30 * SECOND)));
    assert_eq!(desk.outcome(user, just).kind, OutcomeKind::Sent);
    let reply = desk.accept(at(draft(LONG, "ETHUSDT", 3), Timestamp(now - 30 * SECOND)));
    assert!(matches!(reply, Ok(Reply::Signal { repeat: false, .. })), "{reply:?}");
    let reply = desk.accept(at(draft(LONG, "ETHUSDT", 2), Timestamp(now - 30 * SECOND - 1)));
    assert!(matches!(reply, Ok(Reply::SignalExpired { .. })), "{reply:?}");
}

#[test]
fn an_expired_signal_is_on_record_and_a_repeat_of_it_too() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let old = at(draft(LONG, "BTCUSDT", 1), Timestamp(desk.now.0 - 31 * SECOND));
    let Ok(Reply::SignalExpired { id }) = desk.accept(old.clone()) else { panic!("not expired") };
    let source = desk.state_of(desk.publisher).source(desk.source).unwrap();
    assert_eq!(source.signal(id.number).unwrap().finished, Some(FanOutCounts::default()));
    assert!(source.working.is_empty());
    assert_eq!(id_of(desk.accept(old)), (id, true));
    desk.wait(1);
    assert_eq!(desk.offer(user, id), Reply::Skipped);
    assert_eq!(desk.skip(user, id), Skip::Expired, "even if it were offered");
}

#[test]
fn a_senders_clock_may_be_5_seconds_ahead() {
    let mut desk = Desk::new();
    let now = desk.now;
    id_of(desk.accept(at(draft(LONG, "BTCUSDT", 1), now.plus_micros(5 * SECOND))));
    let ahead = at(draft(LONG, "BTCUSDT", 2), now.plus_micros(5 * SECOND + 1));
    assert_eq!(desk.accept(ahead), Err(Refusal::SignalFromFuture));
}

#[test]
fn a_fan_out_lasts_120_seconds() {
    let mut desk = Desk::new();
    let users: Vec<_> =
        (0..2).map(|n| desk.trader(&format!("u{n}@example.com"), "10000", Settings::default())).collect();
    let signal = desk.accepted(LONG, "BTCUSDT");
    desk.wait(120 * SECOND);
    assert_eq!(desk.offer(users[0], signal), Reply::Intended);
    desk.wait(1);
    assert_eq!(desk.offer(users[1], signal), Reply::Skipped);
    assert_eq!(desk.skip(users[1], signal), Skip::Expired);
}

#[test]
fn closes_are_taken_at_any_age() {
    for kind in CLOSES {
        let mut desk = Desk::new();
        let now = desk.now;
        id_of(desk.accept(at(draft(kind, "BTCUSDT", 1), Timestamp(1))));
        id_of(desk.accept(at(draft(kind, "ETHUSDT", 2), now.plus_micros(86_400 * SECOND))));
    }
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    let close = desk.accepted(SignalKind::CloseAll, "BTCUSDT");
    desk.wait(3600 * SECOND);
    assert_eq!(desk.offer(user, close), Reply::Intended, "long after its acceptance");
}

#[test]
fn a_repeat_by_id_or_time_is_one_for_ever_and_across_a_restart() {
    let mut desk = Desk::new();
    let (first, _) = id_of(desk.accept(draft(LONG, "BTCUSDT", 1)));
    for _ in 0..3 {
        assert_eq!(id_of(desk.accept(draft(LONG, "BTCUSDT", 1))), (first, true));
        desk.restart();
        desk.wait(365 * 86_400 * SECOND);
    }
    let (second, repeat) = id_of(desk.accept(draft(LONG, "BTCUSDT", 2)));
    assert!(!repeat && second.number == first.number + 1);
}

#[test]
fn a_repeat_of_a_bare_body_is_one_for_25_seconds() {
    let mut desk = Desk::new();
    let bare = SignalDraft { key_is_lasting: false, ..draft(LONG, "BTCUSDT", 1) };
    let (first, _) = id_of(desk.accept(bare.clone()));
    desk.restart();
    desk.wait(25 * SECOND);
    assert_eq!(id_of(desk.accept(bare.clone())), (first, true));
    desk.wait(1);
    let (second, repeat) = id_of(desk.accept(bare.clone()));
    assert!(!repeat && second != first, "the same words may be meant again");
    desk.wait(25 * SECOND);
    assert_eq!(id_of(desk.accept(bare)), (second, true), "the span counts from the newest");
}

#[test]
fn two_sources_do_not_share_their_memory() {
    let mut desk = Desk::new();
    let user = desk.publisher;
    desk.run(Command::CreateSource { user, name: "other".into(), secret: [8; 32] }).unwrap();
    let (first, _) = id_of(desk.accept(draft(LONG, "BTCUSDT", 1)));
    desk.source.index = 1;
    let (second, repeat) = id_of(desk.accept(draft(LONG, "BTCUSDT", 1)));
    assert!(!repeat && first.source != second.source);
}

#[test]
fn unknown_sources_and_symbols_are_refused() {
    let mut desk = Desk::new();
    assert_eq!(desk.accept(draft(LONG, "NOPEUSDT", 1)), Err(Refusal::UnknownSymbol));
    desk.source.index = 9;
    assert_eq!(desk.accept(draft(LONG, "BTCUSDT", 1)), Err(Refusal::UnknownSource));
    desk.source = SourceId { owner: engine::core::ids::UserId(5), index: 0 };
    assert_eq!(desk.accept(draft(LONG, "BTCUSDT", 1)), Err(Refusal::UnknownSource));
}

#[test]
fn the_rate_limit_counts_opens_in_a_window() {
    let mut desk = Desk::new();
    desk.rules.source_opens_max = 3;
    for key in 0..3 {
        desk.send_draft(draft(LONG, "BTCUSDT", key));
    }
    desk.wait(20 * SECOND);
    assert_eq!(desk.accept(draft(LONG, "BTCUSDT", 3)), Err(Refusal::RateLimited { retry_after: 40 }));
    assert!(id_of(desk.accept(draft(LONG, "BTCUSDT", 1))).1, "a repeat is answered all the same");
    desk.wait(40 * SECOND);
    id_of(desk.accept(draft(LONG, "BTCUSDT", 3)));
}

#[test]
fn the_rate_limit_never_drops_a_close() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.rules.source_opens_max = 0;
    assert!(matches!(desk.accept(draft(LONG, "ETHUSDT", 1)), Err(Refusal::RateLimited { .. })));
    for _ in 0..50 {
        for kind in CLOSES {
            desk.send(kind, "BTCUSDT");
        }
    }
    assert!(desk.position(user).closing.is_some());
}

#[test]
fn opens_wait_while_too_many_are_being_worked_and_closes_do_not() {
    let mut desk = Desk::new();
    let mut taken = 0;
    while taken < SIGNALS_MAX as u64 && desk.accept(draft(LONG, "BTCUSDT", taken)).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, SIGNALS_MAX as u64 / 2);
    assert_eq!(desk.accept(draft(LONG, "BTCUSDT", taken)), Err(Refusal::RateLimited { retry_after: 1 }));
    let mut ids = Vec::new();
    for key in 0..1000 {
        let close = draft(SignalKind::CloseAll, "BTCUSDT", 10_000 + key);
        ids.push(id_of(desk.accept(close)).0);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "a thousand closes are one");
    assert!(desk.state_of(desk.publisher).source(desk.source).unwrap().signals.len() <= SIGNALS_MAX);
}

#[test]
fn a_close_that_is_being_worked_takes_in_the_next_one() {
    let mut desk = Desk::new();
    let (first, _) = id_of(desk.accept(draft(SignalKind::CloseLong, "BTCUSDT", 1)));
    assert_eq!(id_of(desk.accept(draft(SignalKind::CloseLong, "BTCUSDT", 2))), (first, true));
    for (kind, name, key) in [(SignalKind::CloseShort, "BTCUSDT", 3), (SignalKind::CloseLong, "ETHUSDT", 4)] {
        assert!(!id_of(desk.accept(draft(kind, name, key))).1, "another side or symbol is another close");
    }
    id_of(desk.accept(draft(LONG, "BTCUSDT", 5)));
    let (after_open, repeat) = id_of(desk.accept(draft(SignalKind::CloseLong, "BTCUSDT", 6)));
    assert!(!repeat && after_open != first, "an open came between: this close has work of its own");
    desk.run(Command::FinishSignal { signal: after_open, counts: FanOutCounts::default() }).unwrap();
    let (later, repeat) = id_of(desk.accept(draft(SignalKind::CloseLong, "BTCUSDT", 7)));
    assert!(!repeat && later != after_open, "the finished one takes in nothing");
}

#[test]
fn a_close_covers_the_opens_before_it_that_are_not_decided_yet() {
    let mut desk = Desk::new();
    let users: Vec<_> =
        (0..3).map(|n| desk.trader(&format!("u{n}@example.com"), "10000", Settings::default())).collect();
    let open = desk.accepted(LONG, "BTCUSDT");
    assert_eq!(desk.offer(users[0], open), Reply::Intended);
    desk.enter(users[0], "20000");
    assert_eq!(desk.offer(users[1], open), Reply::Intended);
    let close = desk.accepted(SignalKind::CloseLong, "BTCUSDT");
    desk.restart();
    desk.fan_out(close);
    assert_eq!(desk.close_order(users[0]).id.leg, Leg::SignalClose, "reached and filled: it is closed");
    assert!(desk.order(users[1], Leg::Entry).cancelling, "reached and not filled: it is taken back");
    assert_eq!(desk.skip(users[2], close), Skip::NoPosition);
    assert_eq!(desk.offer(users[2], open), Reply::Skipped);
    assert_eq!(desk.skip(users[2], open), Skip::Superseded, "not reached: it is not opened any more");
}

#[test]
fn a_close_covers_its_side_and_symbol_only() {
    let mut desk = Desk::new();
    let covered = |desk: &Desk, id| desk.signal(id).1;
    let long = desk.accepted(LONG, "BTCUSDT");
    let short = desk.accepted(SHORT, "BTCUSDT");
    let other = desk.accepted(LONG, "ETHUSDT");
    desk.accepted(SignalKind::CloseLong, "BTCUSDT");
    let later = desk.accepted(LONG, "BTCUSDT");
    assert!(covered(&desk, long) && !covered(&desk, short));
    assert!(!covered(&desk, other) && !covered(&desk, later));
    desk.accepted(SignalKind::CloseAll, "BTCUSDT");
    assert!(covered(&desk, short) && covered(&desk, later) && !covered(&desk, other));
}

#[test]
fn only_the_newest_signals_are_kept_and_bodies_are_cut_at_a_character() {
    let mut desk = Desk::new();
    let long_body = SignalDraft { body: "ç".repeat(BODY_KEPT_MAX), ..draft(LONG, "BTCUSDT", 0) };
    let first = desk.send_draft(SignalDraft { body: format!("x{}", long_body.body), ..long_body });
    let source = desk.state_of(desk.publisher).source(desk.source).unwrap();
    assert_eq!(source.signal(first.number).unwrap().body.len(), BODY_KEPT_MAX - 1);
    desk.rules.source_opens_max = 1_000;
    for key in 1..=300 {
        desk.send_draft(draft(LONG, "BTCUSDT", key));
    }
    let source = desk.state_of(desk.publisher).source(desk.source).unwrap();
    assert_eq!(source.signals.len(), SIGNALS_MAX);
    assert!(source.signal(first.number).is_none());
    assert!(id_of(desk.accept(draft(LONG, "BTCUSDT", 0))).1, "its repeat is known all the same");
}

#[test]
fn the_receipt_counts_and_is_finished_once() {
    let mut desk = Desk::new();
    for n in 0..5 {
        desk.trader(&format!("u{n}@example.com"), "10000", Settings::default());
    }
    let poor = engine::core::ids::UserId::from_email("u3@example.com");
    desk.halt(poor, engine::core::event::Latch::User, true);
    let signal = desk.accepted(LONG, "BTCUSDT");
    let counts = desk.fan_out(signal);
    assert_eq!(counts, FanOutCounts { users: 5, intents: 4, skipped: 1 });
    let again = Command::FinishSignal { signal, counts: FanOutCounts::default() };
    assert_eq!(desk.run(again), Ok(Reply::Ignored));
    let source = desk.state_of(desk.publisher).source(desk.source).unwrap();
    assert_eq!(source.signal(signal.number).unwrap().finished, Some(counts));
}

#[test]
fn a_window_begins_with_its_first_open_and_the_next_when_it_ends() {
    let mut desk = Desk::new();
    desk.rules.source_opens_max = 2;
    let begun = desk.now;
    for (after, refused) in [
        (0, false),
        (1, false),
        (2, true),
        (60 * SECOND - 1, true),
        (60 * SECOND, false),
        (60 * SECOND, false),
        (60 * SECOND, true),
        (120 * SECOND - 1, true),
        (120 * SECOND, false),
    ] {
        desk.now = begun.plus_micros(after);
        let key = desk.key();
        let reply = desk.accept(draft(LONG, "BTCUSDT", key));
        assert_eq!(matches!(reply, Err(Refusal::RateLimited { .. })), refused, "{after}: {reply:?}");
    }
}

#[test]
fn a_full_memory_of_keys_takes_the_next_open_when_the_oldest_is_300_seconds_old() {
    let mut desk = Desk::new();
    let now = desk.now;
    desk.edit(desk.publisher, |user| {
        let source = &mut user.sources[0];
        for number in 0..u32::try_from(DEDUP_MAX).unwrap() {
            let mut key = [0xff; 16];
            key[..4].copy_from_slice(&number.to_le_bytes());
            source.seen.insert(key, Seen { number: 1, at: now, until: Timestamp(u64::MAX) });
            source.seen_order.push_back(key);
        }
    });
    for (age, refused) in [(0, true), (300 * SECOND - 1, true), (300 * SECOND, false)] {
        desk.now = now.plus_micros(age);
        let reply = desk.accept(draft(LONG, "BTCUSDT", 1));
        assert_eq!(reply == Err(Refusal::RateLimited { retry_after: 1 }), refused, "{age}: {reply:?}");
    }
}
