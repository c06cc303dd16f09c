//! The shard and the venue's answers: an order without one is queried and never sent again, a refused close is tried again,
//! and a recovered shard takes up what was under way.

mod hand;

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{ClientOrderId, Leg};
use engine::core::order::{Fill, Liquidity, OrderState, VenueReason, VenueReport};
use engine::core::rules::Rules;
use engine::core::signal::SignalKind;
use engine::core::state::State;
use engine::core::user::VenueKind;
use engine::seam::Nanos;
use engine::shard::ask::ReplyTo;
use engine::shard::limits::{ORDER_ANSWER_MAX_MICROS, ORDER_SWEEP_SPAN};
use engine::shard::ports::Moment;

use hand::{Desk, Hand, LONG, Still, ask, flush, house, later, now, settle, shard_of, signal, user};

fn settle_at(desk: &mut Desk, hand: &Hand, at: Moment) {
    for _ in 0..10 {
        desk.turn(at, &Still);
        flush(desk, hand);
    }
}

fn filled(desk: &Desk, id: ClientOrderId) -> VenueReport {
    let order = desk.state().by_id(id.account.user).and_then(|user| user.order(id)).expect("a live order");
    let fill = Fill {
        number: 1,
        price: Price::from_whole(20_000),
        quantity: order.new.quantity,
        fee: Money::ZERO,
        liquidity: Liquidity::Taker,
        venue_at: now().wall,
    };
    VenueReport::Filled { id, fill, last: true }
}

/// A shard whose one subscriber has an entry at the venue.
fn entered() -> (Desk, Hand, ClientOrderId, engine::core::ids::SourceId) {
    let (mut desk, hand, source) = house(1);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    settle(&mut desk, &hand);
    let entry = desk.gateway().sent[0];
    (desk, hand, entry, source)
}

#[test]
fn an_order_without_an_answer_is_queried_and_never_sent_again() {
    let (mut desk, hand, entry, _) = entered();
    let late = Nanos::from_micros(ORDER_ANSWER_MAX_MICROS);
    settle_at(&mut desk, &hand, later(Nanos::from_micros(ORDER_ANSWER_MAX_MICROS - 1)));
    assert!(desk.gateway().queried.is_empty());
    settle_at(&mut desk, &hand, later(late.plus(ORDER_SWEEP_SPAN)));
    assert_eq!(desk.gateway().queried, [entry]);
    let order = desk.state().by_id(user(0)).and_then(|user| user.order(entry)).expect("still there");
    assert_eq!(order.state, OrderState::Unknown);
    assert_eq!(desk.gateway().sent, [entry], "under no id");
}

#[test]
fn a_report_that_tells_nothing_is_no_answer() {
    let (mut desk, hand, entry, _) = entered();
    let VenueReport::Filled { id, fill, .. } = filled(&desk, entry) else { unreachable!("a fill") };
    hand.told.borrow_mut().push(VenueReport::Filled { id, fill: Fill { number: 2, ..fill }, last: true });
    settle(&mut desk, &hand);
    let late = Nanos::from_micros(ORDER_ANSWER_MAX_MICROS).plus(ORDER_SWEEP_SPAN);
    settle_at(&mut desk, &hand, later(late));
    assert_eq!(desk.gateway().queried, [entry], "the second fill came without the first");
}

#[test]
fn queries_are_repeated_until_they_are_answered() {
    let (mut desk, hand, entry, _) = entered();
    for times in 1..=3 {
        let late = ORDER_ANSWER_MAX_MICROS + ORDER_SWEEP_SPAN.as_micros();
        settle_at(&mut desk, &hand, later(Nanos::from_micros(times * late)));
        assert_eq!(desk.gateway().queried, vec![entry; usize::try_from(times).expect("small")]);
    }
}

#[test]
fn a_refused_close_is_tried_again_after_a_while() {
    let (mut desk, hand, entry, source) = entered();
    hand.told.borrow_mut().push(filled(&desk, entry));
    settle(&mut desk, &hand);
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 2)), ReplyTo(2));
    settle(&mut desk, &hand);
    let closes = |desk: &Desk| -> Vec<u8> {
        desk.gateway().sent.iter().filter(|id| id.leg == Leg::SignalClose).map(|id| id.round).collect()
    };
    assert_eq!(closes(&desk), [0]);
    let id = *desk.gateway().sent.last().expect("sent");
    hand.told.borrow_mut().push(VenueReport::Rejected { id, reason: VenueReason::Liquidity });
    settle(&mut desk, &hand);
    assert_eq!(closes(&desk), [0], "no venue is hammered");
    settle_at(&mut desk, &hand, later(Nanos::from_micros(Rules::default().close_retry_span)));
    assert_eq!(closes(&desk), [0, 1]);
}

#[test]
fn a_stop_that_ended_is_missed_whatever_the_venue_says_of_its_end() {
    let span = Nanos::from_micros(Rules::default().protection_span);
    for end in [None, Some(VenueReason::PositionClosed)] {
        let (mut desk, hand, entry, _) = entered();
        hand.told.borrow_mut().push(filled(&desk, entry));
        settle(&mut desk, &hand);
        let stop = *desk.gateway().sent.iter().find(|id| id.leg == Leg::Stop).expect("it is protected");
        hand.told.borrow_mut().push(VenueReport::Accepted { id: stop, venue_at: now().wall });
        settle_at(&mut desk, &hand, later(span));
        let forced =
            |desk: &Desk| desk.gateway().sent.iter().filter(|id| id.leg == Leg::UnprotectedClose).count();
        assert_eq!(forced(&desk), 0, "it is live");
        let told = match end {
            Some(reason) => VenueReport::Ended { id: stop, state: OrderState::Expired, reason },
            // It fills, and what it closed is not all that is open.
            None => match filled(&desk, stop) {
                VenueReport::Filled { id, fill, .. } => {
                    let quantity = Quantity::from_units(1);
                    VenueReport::Filled { id, fill: Fill { quantity, ..fill }, last: true }
                }
                _ => unreachable!("a fill"),
            },
        };
        hand.told.borrow_mut().push(told);
        settle_at(&mut desk, &hand, later(span));
        settle_at(&mut desk, &hand, later(Nanos(span.0 * 2 - 1)));
        assert_eq!(forced(&desk), 0, "the fills that closed it may be on their way");
        settle_at(&mut desk, &hand, later(Nanos(span.0 * 2)));
        assert_eq!(forced(&desk), 1, "{end:?}: open, and without a stop");
    }
}

#[test]
fn a_close_that_is_refused_for_longer_than_an_hour_is_tried_for_days_and_counted() {
    let (mut desk, hand, entry, source) = entered();
    hand.told.borrow_mut().push(filled(&desk, entry));
    settle(&mut desk, &hand);
    desk.ask(now(), ask(source.owner, signal(source, SignalKind::CloseAll, 2)), ReplyTo(2));
    settle(&mut desk, &hand);
    let mut at = Nanos(0);
    let mut tried = 1;
    while at < Nanos::from_millis(6 * 24 * 3_600_000) {
        let id = *desk.gateway().sent.last().expect("sent");
        hand.told.borrow_mut().push(VenueReport::Rejected { id, reason: VenueReason::Liquidity });
        settle_at(&mut desk, &hand, later(at));
        let closes = |desk: &Desk| {
            let is_close = |id: &&ClientOrderId| !matches!(id.leg, Leg::Entry | Leg::Stop | Leg::TakeProfit);
            desk.gateway().sent.iter().filter(is_close).count()
        };
        // Never longer than an hour until the next one; within the first hour, than about a minute.
        let began = at;
        let step = Nanos::from_millis(if began < Nanos::from_millis(3_600_000) { 1_000 } else { 30_000 });
        while closes(&desk) == tried {
            at = at.plus(step);
            let most = if began < Nanos::from_millis(3_600_000) { 65_000 } else { 3_630_000 };
            assert!(at.since(began) <= Nanos::from_millis(most), "after {tried} tries, {began:?}");
            desk.turn(later(at), &Still);
            flush(&mut desk, &hand);
        }
        tried += 1;
        if tried == 62 {
            assert_eq!(desk.status().counters.closes_refused_long, 0);
        }
    }
    assert!(desk.status().counters.closes_refused_long > 100);
    assert!(tried > 300, "{tried}");
}

#[test]
fn a_recovered_shard_takes_up_what_was_under_way() {
    // An order that is durable and whose fate is not known goes out again under its id, so at most one exists.
    let (desk, _, entry, _) = entered();
    let (mut again, hand) = recovered(&desk);
    settle(&mut again, &hand);
    assert_eq!(again.gateway().sent, [entry]);
    // A position whose stop the venue never confirmed is closed when its time is over.
    hand.told.borrow_mut().push(filled(&again, entry));
    settle(&mut again, &hand);
    let (mut third, hand) = recovered(&again);
    let span = Rules::default().protection_span;
    settle_at(&mut third, &hand, later(Nanos::from_micros(span - 1)));
    let forced =
        |desk: &Desk| desk.gateway().sent.iter().filter(|id| id.leg == Leg::UnprotectedClose).count();
    assert_eq!(forced(&third), 0);
    settle_at(&mut third, &hand, later(Nanos::from_micros(span)));
    assert_eq!(forced(&third), 1);
}

/// A venue that takes nothing holds up its own orders, and those of no other: the stop of a position on an exchange does not wait
/// until a paper venue has room.
#[test]
fn a_busy_venue_holds_up_no_other() {
    let (mut desk, hand, source) = house(2);
    hand.venue_busy.set(true);
    desk.ask(now(), ask(source.owner, signal(source, LONG, 1)), ReplyTo(1));
    settle(&mut desk, &hand);
    let mut users = desk.state().users().to_vec();
    let second = users.iter_mut().find(|of| of.id == user(1)).expect("a subscriber");
    second.accounts[0].venue = VenueKind::Binance;
    let (mut desk, hand) = shard_of(State::from_users(users));
    hand.busy_for.set(Some(user(0)));
    desk.resume(now()).expect("the venue takes them back");
    settle(&mut desk, &hand);
    let sent = |desk: &Desk| desk.gateway().sent.iter().map(|id| id.account.user).collect::<Vec<_>>();
    assert_eq!(sent(&desk), [user(1)], "what waited from the start");
    // What is decided while another venue's orders wait does not stand behind them.
    let id = desk.gateway().sent[0];
    hand.told.borrow_mut().push(filled(&desk, id));
    settle(&mut desk, &hand);
    assert_eq!(sent(&desk), [user(1); 3], "its stop and its target");
    assert_eq!(desk.status().effects_waiting, 1);
    hand.busy_for.set(None);
    settle(&mut desk, &hand);
    assert_eq!((sent(&desk).last(), desk.status().effects_waiting), (Some(&user(0)), 0));
}

/// What a recovery makes of a shard's users.
fn recovered(desk: &Desk) -> (Desk, Hand) {
    let (mut again, hand) = shard_of(State::from_users(desk.state().users().iter().cloned()));
    again.resume(now()).expect("the venue takes them back");
    (again, hand)
}
