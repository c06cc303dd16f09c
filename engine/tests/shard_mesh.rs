//! Shards beside each other: a fan-out reaches and counts everybody once, notes wait for room, places of answers come back,
//! and some are kept for closes.

mod hand;

use engine::core::command::Command;
use engine::core::ids::{SignalId, SourceId, Timestamp, UserId};
use engine::core::rules::Settings;
use engine::core::signal::{FanOutCounts, Signal, SignalKind};
use engine::core::user::VenueKind;
use engine::shard::ask::{Answer, Ask, Auth, Message, Op, ReplyTo};
use engine::shard::fanout::FanOutOrder;
use engine::shard::limits::{MESH_CAPACITY, MESH_FAN_OUTS_MAX, REMOTE_ASKS_FOR_CLOSES, REMOTE_ASKS_MAX};
use engine::shard::mesh::Mesh;
use engine::shard::ports::{ShardId, owner};
use ringbuf::mesh::mesh;

use hand::{CountUsers, Desk, Hand, LONG, Still, ask, flush, now, settle, shards, signal, symbol};

/// An address of someone who lives on this one of so many shards, the `nth`.
fn someone(shard: usize, count: u16, nth: usize) -> (UserId, String) {
    (0..)
        .map(|n| format!("user{n}@example.com"))
        .map(|email| (UserId::from_email(&email), email))
        .filter(|(user, _)| owner(*user, count).place() == shard)
        .nth(nth)
        .expect("addresses do not run out")
}

fn do_now(desk: &mut Desk, hand: &Hand, user: UserId, command: Command) {
    desk.ask(now(), ask(user, command), ReplyTo(0));
    settle(desk, hand);
    assert!(desk.answers().drain(..).all(|(_, answer)| matches!(answer, Answer::Decided(Ok(_)))));
}

#[test]
fn a_fan_out_reaches_every_shard_and_counts_each_once() {
    let mut all = shards(3);
    let (publisher, email) = someone(0, 3, 0);
    let source = SourceId { owner: publisher, index: 0 };
    let sign_up = |email| Command::SignUp { email, password: String::new(), zone: String::new() };
    let (desk, hand) = &mut all[0];
    do_now(desk, hand, publisher, sign_up(email));
    do_now(
        desk,
        hand,
        publisher,
        Command::CreateSource { user: publisher, name: "s".into(), secret: [1; 32] },
    );
    // One subscriber on the first shard, two on the second, four on the third: every wrong sum is another number.
    for (shard, subscribers) in [1, 2, 4].into_iter().enumerate() {
        let (desk, hand) = &mut all[shard];
        for nth in 1..=subscribers {
            let (user, email) = someone(shard, 3, nth);
            do_now(desk, hand, user, sign_up(email));
            do_now(desk, hand, user, Command::OpenAccount { user, venue: VenueKind::Paper, wallet: None });
            let settings = Settings::default();
            do_now(desk, hand, user, Command::Subscribe { user, source, account: 0, settings });
        }
    }
    let (desk, hand) = &mut all[0];
    do_now(desk, hand, publisher, signal(source, LONG, 1));
    let finished = |desk: &Desk| {
        let source = desk.state().source(source).expect("there");
        source.signal(1).expect("kept").finished
    };
    // The third shard is the last to get to it.
    for place in [1, 0] {
        let (desk, hand) = &mut all[place];
        settle(desk, hand);
    }
    assert_eq!(finished(&all[0].0), None, "a shard has not been heard of");
    for place in [2, 0] {
        let (desk, hand) = &mut all[place];
        settle(desk, hand);
    }
    assert_eq!(finished(&all[0].0), Some(FanOutCounts { users: 7, intents: 7, skipped: 0 }));
}

#[test]
fn notes_wait_for_room_and_all_arrive_in_order() {
    let mut ports = mesh(2, MESH_CAPACITY).into_iter();
    let mut port = || ports.next().expect("two");
    let mut from = Mesh::<CountUsers>::new(port(), vec![None; 2]);
    let mut to = Mesh::<CountUsers>::new(port(), vec![None; 2]);
    let source = SourceId { owner: UserId(1), index: 0 };
    let count = u32::try_from(MESH_FAN_OUTS_MAX + 1_000).expect("fits");
    for number in 1..=count {
        let signal = Signal {
            id: SignalId { source, number },
            kind: LONG,
            symbol: symbol(),
            price: None,
            leverage: None,
            stop_loss: None,
            take_profit: None,
            signal_at: None,
            accepted_at: Timestamp(0),
            expires_at: Timestamp(1),
        };
        from.fan_out(FanOutOrder { signal, superseded: false, source_halted: false });
    }
    assert!(from.has_notes(), "more than there is room for");
    let mut numbers = Vec::new();
    while to.has_messages() {
        to.receive(|_, message| {
            if let Message::FanOut(order) = message {
                numbers.push(order.signal.id.number);
            }
        });
        from.pass_notes();
    }
    assert!(numbers.iter().copied().eq(1..=count), "{} of {count}", numbers.len());
}

#[test]
fn places_of_answers_come_back() {
    let mut all = shards(2);
    for n in 0..2 * REMOTE_ASKS_MAX as u64 {
        let ask = Ask { auth: Auth::Open, op: Op::Question(()), user: UserId(n) };
        all[0].0.ask_shard(now(), ShardId(1), ask, ReplyTo(n));
        for place in [1, 0] {
            let (desk, hand) = &mut all[place];
            desk.turn(now(), &Still);
            flush(desk, hand);
        }
        let (_, answer) = all[0].0.answers().pop().expect("answered");
        assert!(matches!(answer, Answer::Read(0)), "the {n}th: {answer:?}");
    }
}

#[test]
fn opens_leave_places_for_closes() {
    let mut all = shards(2);
    let (publisher, _) = someone(1, 2, 0);
    let source = SourceId { owner: publisher, index: 0 };
    let desk = &mut all[0].0;
    for n in 0..REMOTE_ASKS_MAX as u64 {
        desk.ask(now(), ask(publisher, signal(source, LONG, n)), ReplyTo(n));
    }
    let refused = desk.answers().drain(..).filter(|(_, a)| matches!(a, Answer::Busy { .. })).count();
    assert_eq!(refused, REMOTE_ASKS_FOR_CLOSES);
    for n in 0..REMOTE_ASKS_FOR_CLOSES as u64 {
        desk.ask(now(), ask(publisher, signal(source, SignalKind::CloseAll, 1 << 32 | n)), ReplyTo(n));
    }
    assert!(desk.answers().is_empty(), "a close is not refused for opens");
}
