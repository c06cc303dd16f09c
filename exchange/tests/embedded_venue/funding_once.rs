//! Funding is settled once per account, symbol and boundary: not per exit (F1, F2), not again after a restore.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use crate::support::*;
use engine::core::ids::{Leg, Timestamp};
use engine::core::order::{OrderKind, Side, VenueReport};
use exchange::market::Pace;
use exchange::paper::{FUNDING_CATCH_UP_MAX, FundingTable, PaperSettings, PaperVenue};
use exchange::venue::Venue;

const HOUR: u64 = 3_600_000;

/// Trades every ten minutes.
fn ten_minutes(from_ms: u64, count: u64) -> exchange::market::Market {
    let mut text = String::from("time_ms,id,side,price,quantity\n");
    (0..count).for_each(|at| text += &format!("{},{at},buy,1000,1\n", from_ms + at * 600_000));
    file_market(&text)
}

fn boundaries(reports: &[VenueReport]) -> Vec<u64> {
    reports
        .iter()
        .filter_map(|report| match report {
            VenueReport::Funding { venue_at, .. } => Some(venue_at.millis() / HOUR),
            _ => None,
        })
        .collect()
}

#[test]
fn each_boundary_once_whatever_exits_there_are() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), ten_minutes(7 * HOUR, 20));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    for n in 1..20 {
        gate.allow(1);
        desk.drain();
        if n % 5 == 0 {
            let exit = id(a, n, Leg::SignalClose);
            desk.send(order(exit, Side::Sell, OrderKind::Market, "0.2", true));
        }
    }
    assert_eq!(boundaries(&desk.reports), [8]);
    desk.agree();
}

#[test]
fn a_position_opened_at_the_boundary_does_not_pay_for_it() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), ten_minutes(8 * HOUR, 10));
    desk.open(account(1), "10000");
    desk.enter(account(1), Side::Buy, "1");
    gate.release_all();
    assert!(boundaries(&desk.drain()).is_empty());
}

#[test]
fn not_again_after_a_restore_and_made_up_for_when_it_was_not_durable() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), ten_minutes(7 * HOUR, 12));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    let before = desk.snapshot(a);
    gate.allow(7);
    desk.drain();
    let after = desk.snapshot(a);
    assert_eq!(boundaries(&desk.reports), [8]);
    for (snapshot, expected) in [(after, vec![]), (before, vec![8])] {
        let mut venue = PaperVenue::new(PaperSettings::default(), ten_minutes(7 * HOUR, 12)).unwrap();
        venue.skip_through(Timestamp::from_millis(8 * HOUR + 600_000));
        venue.restore(&snapshot).unwrap();
        let mut told = Vec::new();
        while venue.poll(NOW, 64, &mut |report| told.push(report)) == 64 {}
        assert_eq!(boundaries(&told), expected);
    }
}

#[test]
fn a_gap_is_made_up_for_up_to_a_bound() {
    let week = FUNDING_CATCH_UP_MAX * 8 * HOUR;
    let text = format!("time_ms,id,side,price,quantity\n{},1,buy,1000,1\n{},2,buy,1000,1\n", 1000, week * 2);
    let (mut desk, gate) = Desk::held(PaperSettings::default(), file_market(&text));
    desk.open(account(1), "10000");
    desk.enter(account(1), Side::Buy, "1");
    gate.release_all();
    let told = boundaries(&desk.drain());
    assert_eq!(told.len() as u64, FUNDING_CATCH_UP_MAX);
    assert!(told.windows(2).all(|pair| pair[1] == pair[0] + 8));
    assert_eq!(told.last(), Some(&(2 * FUNDING_CATCH_UP_MAX * 8)));
    desk.agree();
}

#[test]
fn rates_come_from_the_newest_row_whatever_its_jitter() {
    let text = format!("time_ms,funding_rate\n{},0.0003\n{},-0.0002\n", 8 * HOUR + 17, 24 * HOUR + 6);
    let table = Arc::new(FundingTable::parse("funding.csv", &text).unwrap());
    let settings = PaperSettings {
        funding: vec![(btc(), table)],
        funding_rate: rate("0.0001"),
        pace: Pace::default(),
        ..PaperSettings::default()
    };
    let (mut desk, gate) = Desk::held(settings, ten_minutes(HOUR, 40 * 6));
    desk.open(account(1), "10000");
    desk.enter(account(1), Side::Sell, "1");
    gate.release_all();
    let rates: Vec<_> = desk
        .drain()
        .iter()
        .filter_map(|report| match report {
            VenueReport::Funding { venue_at, rate, .. } => Some((venue_at.millis() / HOUR, rate.to_string())),
            _ => None,
        })
        .collect();
    let expected = [(8, "0.0003"), (16, "0.0003"), (24, "-0.0002"), (32, "-0.0002"), (40, "-0.0002")];
    assert_eq!(rates, expected.map(|(hour, rate)| (hour, rate.to_owned())));
    desk.agree();
}
