//! A venue restored from what was reported goes on exactly as the one that never stopped, whenever that is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::scenario::{ACCOUNTS, acts, market, perform, settings, shapes};
use crate::support::*;
use engine::core::ids::Timestamp;
use exchange::venue::Venue;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn at_any_point(acts in acts(), shapes in shapes(), cut in 0_usize..60) {
        let cut = cut.min(acts.len());
        let (mut going, gate) = Desk::held(settings(), market(&shapes));
        (0..ACCOUNTS).for_each(|user| going.open(account(user), "1000"));
        for (number, act) in acts[..cut].iter().enumerate() {
            perform(&mut going, act, number, |ticks| gate.allow(ticks));
        }

        let (mut fresh, other_gate) = Desk::held(settings(), market(&shapes));
        fresh.venue.skip_through(going.venue.mark(btc()).unwrap().venue_at);
        prop_assert_eq!(fresh.venue.played(), going.venue.played());
        // The opening tick is played without the gate.
        let allowed: u64 = acts[..cut].iter().map(|act| if let crate::support::scenario::Act::Ticks(n) = act { *n } else { 0 }).sum();
        other_gate.allow(allowed);
        for user in 0..ACCOUNTS {
            fresh.venue.restore(&going.snapshot(account(user))).unwrap();
        }
        fresh.books = going.books.clone();
        fresh.agree();

        going.reports.clear();
        for (number, act) in acts.iter().enumerate().skip(cut) {
            perform(&mut going, act, number, |ticks| gate.allow(ticks));
            perform(&mut fresh, act, number, |ticks| other_gate.allow(ticks));
        }
        gate.release_all();
        other_gate.release_all();
        going.drain();
        fresh.drain();
        prop_assert_eq!(&going.reports, &fresh.reports);
        going.agree();
        fresh.agree();
    }
}

#[test]
fn a_snapshot_that_cannot_be_is_refused_whole() {
    use engine::core::ids::Leg;
    use engine::core::order::{OrderKind, Side};
    use exchange::paper::PaperVenue;
    use exchange::venue::{AccountError, AccountSnapshot, OrderSnapshot};
    let (mut desk, _) = Desk::held(settings(), trades(0, &["1000"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "0.5");
    desk.send(order(id(a, 1, Leg::Stop), Side::Sell, OrderKind::StopMarket(price("980")), "0.5", true));
    let good = desk.snapshot(a);
    let twice = AccountSnapshot { orders: vec![good.orders[0]; 2], ..good.clone() };
    let double = AccountSnapshot { positions: vec![good.positions[0]; 2], ..good.clone() };
    let entry = order(id(a, 2, Leg::Entry), Side::Buy, OrderKind::Market, "1", false);
    let full = OrderSnapshot { order: entry, filled: quantity("1"), fills: 1 };
    let full = AccountSnapshot { orders: vec![full], ..good.clone() };
    let mut venue = PaperVenue::new(settings(), trades(0, &["1000"])).unwrap();
    for bad in [twice, double, full] {
        assert!(matches!(venue.restore(&bad), Err(AccountError::Inconsistent { .. })), "{bad:?}");
        assert!(venue.account(a).is_none());
    }
    venue.restore(&good).unwrap();
    assert_eq!(venue.restore(&good), Err(AccountError::AlreadyOpen(a)));
}

/// The fill that closed a position can be durable and the end of its stop, which the venue told after it, not.
#[test]
fn a_stop_without_its_position_is_told_to_have_ended() {
    use engine::core::ids::Leg;
    use engine::core::order::{OrderKind, OrderState, Side, VenueReason, VenueReport};
    use exchange::venue::AccountSnapshot;
    let (mut desk, _) = Desk::held(settings(), trades(0, &["1000"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "0.5");
    let stop = id(a, 1, Leg::Stop);
    desk.send(order(stop, Side::Sell, OrderKind::StopMarket(price("980")), "0.5", true));
    let flat = AccountSnapshot { positions: vec![], ..desk.snapshot(a) };
    let (mut fresh, _) = Desk::held(settings(), trades(0, &["1000"]));
    fresh.venue.restore(&flat).unwrap();
    let mut told = Vec::new();
    fresh.venue.poll(Timestamp::from_millis(1), 100, &mut |report| told.push(report));
    let ended =
        VenueReport::Ended { id: stop, state: OrderState::Expired, reason: VenueReason::PositionClosed };
    assert_eq!(told, [ended]);
    assert!(fresh.venue.account(a).unwrap().orders.is_empty());
}

#[test]
fn a_stop_that_was_passed_meanwhile_fires_at_the_next_price() {
    use engine::core::ids::{Leg, Timestamp};
    use engine::core::order::{OrderKind, Side};
    let prices = ["1000", "970", "975", "990"];
    let (mut desk, _) = Desk::held(settings(), trades(0, &prices));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "0.5");
    desk.send(order(id(a, 1, Leg::Stop), Side::Sell, OrderKind::StopMarket(price("980")), "0.5", true));
    let (mut fresh, gate) = Desk::held(settings(), trades(0, &prices));
    fresh.venue.skip_through(Timestamp::from_millis(1_000));
    fresh.venue.restore(&desk.snapshot(a)).unwrap();
    fresh.books = desk.books.clone();
    gate.release_all();
    assert_eq!(fills(&fresh.drain()), [(Leg::Stop, "975".to_owned(), "0.5".to_owned())]);
    fresh.agree();
}
