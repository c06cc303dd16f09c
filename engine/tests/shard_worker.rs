//! The shard around the core: nothing leaves before it is durable, closes go first and are never refused, full queues answer,
//! a failed log stops everything. With a log, a venue and a clock that the test holds in its hands.

mod hand;

use engine::core::command::{Command, Refusal, Reply};
use engine::core::ids::{SignalId, UserId};
use engine::core::order::{OrderState, VenueReason, VenueReport};
use engine::core::rules::Settings;
use engine::core::signal::SignalKind;
use engine::core::user::{OutcomeKind, Skip, VenueKind};
use engine::seam::Nanos;
use engine::shard::ask::{Answer, Ask, Auth, Op, ReplyTo};
use engine::shard::limits::{
    JOURNAL_ROOM_MIN, LANE_CAPACITY, LANE_DEADLINE, REMOTE_ASKS_FOR_CLOSES, REMOTE_ASKS_MAX,
};
use engine::shard::ports::ShardId;

use hand::{
    Desk, LONG, Still, answered, ask, flush, house, later, now, settle, shards, signal, symbol, turn, user,
};

#[test]
fn answers_and_orders_wait_for_the_flush() {
    let (mut desk, hand, source) = house(1);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(7));
    turn(&mut desk);
    assert!(answered(&mut desk, 7).is_none(), "accepted and not durable: nobody hears of it");
    assert!(hand.last.get() > hand.durable.get());
    flush(&mut desk, &hand);
    let answer = answered(&mut desk, 7).expect("durable now");
    assert!(matches!(answer, Answer::Decided(Ok(Reply::Signal { repeat: false, .. }))), "{answer:?}");
    turn(&mut desk);
    assert!(desk.state().by_id(UserId::from_email("user0@example.com")).is_some_and(|u| u.orders.len() == 1));
    assert!(desk.gateway().sent.is_empty(), "the intent is not durable: no byte of it leaves");
    flush(&mut desk, &hand);
    assert_eq!(desk.gateway().sent.len(), 1);
    // A read of what is not durable yet waits too.
    desk.ask(now(), ask(source.owner, signal(source, LONG, 2)), ReplyTo(8));
    desk.ask(now(), Ask { auth: Auth::Open, op: Op::Question(()), user: source.owner }, ReplyTo(9));
    turn(&mut desk);
    assert!(answered(&mut desk, 9).is_none());
    flush(&mut desk, &hand);
    assert!(matches!(answered(&mut desk, 9), Some(Answer::Read(2))));
}

#[test]
fn a_full_lane_answers_busy_while_a_close_gets_through() {
    let (mut desk, hand, source) = house(1);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    settle(&mut desk, &hand);
    desk.answers().clear();
    // The log has no room: nothing is begun, and the lane fills.
    hand.room.set(JOURNAL_ROOM_MIN - 1);
    let capacity = LANE_CAPACITY[0] as u64;
    for n in 0..capacity {
        desk.ask(now(), ask(source.owner, signal(source, LONG, 100 + n)), ReplyTo(100 + n));
    }
    desk.turn(now(), &Still);
    assert!(desk.answers().is_empty() && hand.last.get() == hand.durable.get());
    desk.ask(now(), ask(source.owner, signal(source, LONG, 2)), ReplyTo(2));
    assert!(matches!(answered(&mut desk, 2), Some(Answer::Busy { retry_after: 1.. })));
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 3)), ReplyTo(3));
    assert!(answered(&mut desk, 3).is_none(), "taken, not refused");
    // Room again: the close is the first to be decided.
    hand.room.set(usize::MAX);
    desk.turn(now(), &Still);
    let source_now = desk.state().source(source).expect("there");
    assert_eq!(source_now.signals[1].signal.kind, SignalKind::CloseAll, "before everything that waited");
    settle(&mut desk, &hand);
    assert!(matches!(answered(&mut desk, 3), Some(Answer::Decided(Ok(Reply::Signal { .. })))));
}

#[test]
fn what_waited_longer_than_its_lane_allows_is_refused_and_a_close_is_not() {
    let (mut desk, hand, source) = house(1);
    for (lane, span, command) in [
        (0, LANE_DEADLINE[0], signal(source, LONG, 1)),
        (
            1,
            LANE_DEADLINE[1],
            Command::OpenAccount { user: source.owner, venue: VenueKind::Paper, wallet: None },
        ),
    ] {
        for (reply, over) in [(10 + lane, 0), (20 + lane, 1)] {
            desk.ask(now(), ask(source.owner, command.clone()), ReplyTo(reply));
            desk.turn(later(span.plus(Nanos(over))), &Still);
            flush(&mut desk, &hand);
            let refused = matches!(answered(&mut desk, reply), Some(Answer::DeadlineExceeded));
            assert_eq!(refused, over > 0, "lane {lane}");
        }
    }
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 2)), ReplyTo(3));
    desk.turn(later(Nanos::from_millis(3_600_000)), &Still);
    flush(&mut desk, &hand);
    assert!(matches!(answered(&mut desk, 3), Some(Answer::Decided(Ok(_)))));
}

#[test]
fn a_close_overtakes_a_fan_out_in_the_middle() {
    let users = 1_000;
    let (mut desk, hand, source) = house(users);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    desk.turn(now(), &Still);
    flush(&mut desk, &hand);
    desk.turn(now(), &Still);
    let decided = |desk: &Desk| desk.status().counters.offers;
    let reached = decided(&desk);
    assert!(reached > 0 && reached < u64::from(users), "a slice of it: {reached}");
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 2)), ReplyTo(2));
    settle(&mut desk, &hand);
    let open = SignalId { source, number: 1 };
    let (mut sent, mut superseded) = (0, 0);
    for user in desk.state().users().iter().filter(|u| u.id != source.owner) {
        match user.outcome(open).expect("everybody is decided on").kind {
            OutcomeKind::Skipped(Skip::Superseded) => superseded += 1,
            _ => sent += 1,
        }
    }
    assert_eq!(sent + superseded, users);
    assert!(superseded > 0 && sent > 0, "{sent} before the close, {superseded} after it");
    assert!(sent < users / 2, "the close waited for the whole fan-out: {sent}");
}

#[test]
fn a_failed_log_stops_the_shard_and_everybody_is_told() {
    let (mut desk, hand, source) = house(1);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    turn(&mut desk);
    desk.journal_failed("sync failed");
    assert!(matches!(answered(&mut desk, 1), Some(Answer::Stopped)), "not durable, so not acknowledged");
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 2)), ReplyTo(2));
    assert!(matches!(answered(&mut desk, 2), Some(Answer::Stopped)));
    for _ in 0..3 {
        desk.turn(now(), &Still);
        flush(&mut desk, &hand);
    }
    assert!(desk.gateway().sent.is_empty(), "no order leaves after a failure");
    assert_eq!(desk.failure(), Some("sync failed"));
}

#[test]
fn flooded_shards_never_wait_for_each_other() {
    let mut all = shards(2);
    // Each asks the other more than it may: refused asks are told at once, taken ones are all answered.
    for (place, (desk, _)) in all.iter_mut().enumerate() {
        let to = ShardId(u16::try_from(1 - place).expect("0 or 1"));
        for n in 0..REMOTE_ASKS_MAX as u64 + 100 {
            let ask = Ask { auth: Auth::Open, op: Op::Question(()), user: UserId(n) };
            desk.ask_shard(now(), to, ask, ReplyTo(n));
        }
        let busy = desk.answers().drain(..).filter(|(_, a)| matches!(a, Answer::Busy { .. })).count();
        assert!(busy >= 100 + REMOTE_ASKS_FOR_CLOSES, "{busy} refused: places are kept for closes");
        // A close still finds its place.
        let user = UserId(5);
        let close = Command::ClosePosition { user, account: 0, symbol: symbol() };
        desk.ask_shard(now(), to, ask(user, close), ReplyTo(1 << 40));
        assert!(desk.answers().is_empty(), "a close is not refused for a full mesh");
    }
    let mut answers = [0, 0];
    let mut closes = [false, false];
    for _ in 0..100 {
        for (place, (desk, hand)) in all.iter_mut().enumerate() {
            desk.turn(now(), &Still);
            flush(desk, hand);
            for (to, answer) in desk.answers().drain(..) {
                answers[place] += 1;
                closes[place] |=
                    to == ReplyTo(1 << 40) && matches!(answer, Answer::Decided(Err(Refusal::UnknownUser)));
            }
        }
    }
    assert!(answers.iter().all(|count| *count > 400), "{answers:?}");
    assert_eq!(closes, [true, true]);
}

#[test]
fn a_busy_venue_gets_its_orders_later_and_in_order() {
    let (mut desk, hand, source) = house(3);
    hand.venue_busy.set(true);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    settle(&mut desk, &hand);
    assert!(desk.gateway().sent.is_empty() && desk.status().effects_waiting == 3);
    // The venue is free again just when further orders become durable: they stand behind those that wait.
    desk.ask(
        now(),
        ask(user(0), Command::ClosePosition { user: user(0), account: 0, symbol: symbol() }),
        ReplyTo(2),
    );
    desk.turn(now(), &Still);
    hand.venue_busy.set(false);
    flush(&mut desk, &hand);
    assert!(desk.gateway().cancelled.is_empty(), "nothing overtakes what waits");
    hand.venue_busy.set(false);
    settle(&mut desk, &hand);
    let subscribers: Vec<UserId> = (0..3).map(user).collect();
    let sent: Vec<UserId> = desk.gateway().sent.iter().map(|id| id.account.user).collect();
    assert_eq!(sent, subscribers, "each once, in the order of their decisions");
}

/// An entry that never filled leaves nothing to close: the open that waits for flat goes on all the same.
#[test]
fn a_reversal_of_an_entry_without_a_fill_opens_after_it_is_taken_back() {
    let (mut desk, hand, source) = house(1);
    let user = UserId::from_email("user0@example.com");
    let settings = Settings { reverse: true, ..Settings::default() };
    desk.ask(now(), ask(user, Command::Subscribe { user, source, account: 0, settings }), ReplyTo(1));
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(2));
    settle(&mut desk, &hand);
    let short = SignalKind::OpenShort { strong: false };
    desk.ask(now(), ask(source.owner, signal(source, short, 2)), ReplyTo(3));
    settle(&mut desk, &hand);
    let [id] = desk.gateway().sent[..] else { panic!("one entry: {:?}", desk.gateway().sent) };
    let (state, reason) = (OrderState::Cancelled, VenueReason::Requested);
    hand.told.borrow_mut().push(VenueReport::Ended { id, state, reason });
    settle(&mut desk, &hand);
    let signals: Vec<u32> = desk.gateway().sent.iter().map(|id| id.signal.number).collect();
    assert_eq!(signals, [1, 2], "the entry of the reversal is sent");
}
