//! A poll does no more than its budget, the market waits for reports and requests, and a full queue says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{OrderKind, Side, VenueReport};
use exchange::paper::{PaperLimits, PaperSettings};
use exchange::venue::{AccountError, AccountOpening, Busy, Venue};

#[test]
fn whatever_the_budget_the_reports_are_the_same() {
    let play = |budget: usize| {
        let (mut desk, gate) =
            Desk::held(PaperSettings::default(), trades(8 * 3_600_000 - 1_000, &["1000", "970", "971"]));
        for user in 0..20 {
            desk.open(account(user), "10000");
            desk.enter(account(user), Side::Buy, "1");
            let stop = id(account(user), 1, Leg::Stop);
            desk.send(order(stop, Side::Sell, OrderKind::StopMarket(price("980")), "1", true));
        }
        gate.release_all();
        loop {
            let before = desk.reports.len();
            let done = desk.poll(budget);
            assert!(done <= budget && desk.reports.len() - before <= budget);
            if done < budget {
                break;
            }
        }
        desk.agree();
        desk.reports
    };
    let all = play(1);
    assert_eq!(all, play(7));
    assert_eq!(all, play(100_000));
    assert_eq!(all.iter().filter(|report| matches!(report, VenueReport::Funding { .. })).count(), 20);
}

#[test]
fn the_market_waits_for_requests_and_a_request_for_the_end_of_its_tick() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), trades(0, &["1000", "970", "960"]));
    desk.open(account(1), "10000");
    desk.open(account(2), "10000");
    desk.enter(account(1), Side::Buy, "1");
    desk.send(order(
        id(account(1), 1, Leg::Stop),
        Side::Sell,
        OrderKind::StopMarket(price("980")),
        "1",
        true,
    ));
    gate.release_all();
    // The tick has begun: its stop comes before the order that arrives now, and that before the next tick.
    assert_eq!(desk.poll(1), 1);
    desk.submit(order(id(account(2), 1, Leg::Entry), Side::Buy, OrderKind::Market, "1", false));
    let told = fills(&desk.drain());
    assert_eq!(
        told.iter().map(|fill| (fill.0, fill.1.as_str())).collect::<Vec<_>>(),
        [(Leg::Stop, "970"), (Leg::Entry, "970")]
    );
}

#[test]
fn a_full_queue_refuses_opens_before_closes() {
    let limits = PaperLimits { requests_max: 4, requests_reserved: 2, ..PaperLimits::default() };
    let settings = PaperSettings { limits, ..PaperSettings::default() };
    let (mut desk, _) = Desk::held(settings, trades(0, &["1000"]));
    let open = |n| order(id(account(1), n, Leg::Entry), Side::Buy, OrderKind::Market, "1", false);
    let close = |n| order(id(account(1), n, Leg::ManualClose), Side::Sell, OrderKind::Market, "1", true);
    let venue = &mut desk.venue;
    assert_eq!([1, 2, 3].map(|n| venue.submit(NOW, &open(n))), [Ok(()), Ok(()), Err(Busy)]);
    assert_eq!(venue.submit(NOW, &close(1)), Ok(()));
    assert_eq!(venue.cancel(NOW, open(1).id), Ok(()));
    assert_eq!(venue.submit(NOW, &close(2)), Err(Busy));
    assert_eq!((venue.cancel(NOW, open(1).id), venue.query(NOW, open(1).id)), (Err(Busy), Err(Busy)));
    assert_eq!(venue.next_due(NOW), Some(NOW));
    let mut told = 0;
    while venue.poll(NOW, 8, &mut |_| told += 1) == 8 {}
    assert_eq!(told, 4);
    assert_eq!(venue.submit(NOW, &open(4)), Ok(()));
}

#[test]
fn accounts_are_bounded_and_opened_once() {
    let limits = PaperLimits { accounts_max: 2, ..PaperLimits::default() };
    let (mut desk, _) =
        Desk::held(PaperSettings { limits, ..PaperSettings::default() }, trades(0, &["1000"]));
    let mut open =
        |user, wallet| desk.venue.open_account(AccountOpening { id: account(user), wallet: money(wallet) });
    assert!(matches!(open(1, "-1"), Err(AccountError::Inconsistent { .. })));
    assert_eq!(open(1, "5"), Ok(()));
    assert_eq!(open(1, "7"), Err(AccountError::AlreadyOpen(account(1))));
    assert_eq!(open(2, "5"), Ok(()));
    assert_eq!(open(3, "5"), Err(AccountError::TooMany(2)));
    assert_eq!(desk.venue.account(account(1)).unwrap().wallet, money("5"));
}
