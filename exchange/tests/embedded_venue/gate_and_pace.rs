//! A gate holds every shard at the very same tick; a clock plays a market at its speed; the last price stays.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Timestamp;
use engine::core::order::{Side, VenueReport};
use exchange::market::{Gate, Market, Pace, RealTime, Speed};
use exchange::paper::{PaperSettings, PaperVenue};
use exchange::venue::Venue;

const PRICES: [&str; 6] = ["1000", "1001", "1002", "1003", "1004", "1005"];

fn venue(pace: Pace) -> PaperVenue {
    PaperVenue::new(PaperSettings { pace, ..PaperSettings::default() }, trades(60_000, &PRICES)).unwrap()
}

fn play(venue: &mut PaperVenue, now: Timestamp) -> String {
    while venue.poll(now, 16, &mut |_| {}) == 16 {}
    venue.mark(btc()).unwrap().price.to_string()
}

#[test]
fn a_gate_holds_all_shards_at_one_tick() {
    let gate = Gate::new(2);
    let mut shards = [0, 1].map(|shard| venue(Pace { real_time: None, gate: Some(gate.seat(shard)) }));
    let mut all = |expected: &str| {
        for venue in &mut shards {
            assert_eq!(play(venue, NOW), expected);
        }
    };
    // The first instant is shown, and no more.
    all("1000");
    assert_eq!((gate.played(0), gate.played(1)), (1, 1));
    gate.allow_through(3);
    all("1002");
    gate.allow(1);
    all("1003");
    assert_eq!((gate.played(0), gate.played(1), gate.finished()), (4, 4, false));
    gate.release_all();
    gate.allow(5);
    all("1005");
    assert_eq!((gate.played(0), gate.played(7), gate.finished()), (6, 0, true));
}

#[test]
fn a_held_venue_asks_to_be_polled_again_and_a_finished_one_does_not() {
    let gate = Gate::new(1);
    let mut held = venue(Pace { real_time: None, gate: Some(gate.seat(0)) });
    assert_eq!(held.next_due(NOW), Some(NOW.plus_micros(Pace::GATE_LOOK_MICROS)));
    gate.release_all();
    assert_eq!(held.next_due(NOW), Some(NOW));
    play(&mut held, NOW);
    assert_eq!(held.next_due(NOW), None);
}

#[test]
fn a_clock_plays_at_its_speed() {
    let clock = |market, real| {
        let speed = Speed { market, real };
        let market_from = Timestamp::from_millis(60_000);
        Pace { real_time: Some(RealTime { market_from, real_from: NOW, speed }), gate: None }
    };
    for (pace, after_ms) in [(clock(1, 1), 2_000), (clock(2, 1), 1_000), (clock(1, 3), 6_000)] {
        let mut venue = venue(pace);
        assert_eq!(play(&mut venue, NOW), "1000");
        let due = NOW.plus_micros(after_ms * 1_000);
        assert_eq!(play(&mut venue, Timestamp(due.0 - 1)), "1001");
        assert_eq!(venue.next_due(NOW), Some(due));
        assert_eq!(play(&mut venue, due), "1002");
    }
}

#[test]
fn after_the_end_the_last_price_stays_and_orders_still_fill() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), trades(0, &PRICES));
    gate.release_all();
    desk.open(account(1), "10000");
    desk.drain();
    let reports = desk.enter(account(1), Side::Buy, "1");
    assert!(
        matches!(reports[1], VenueReport::Filled { fill, last: true, .. } if fill.price == price("1005"))
    );
    assert!(desk.venue.next_due(NOW).is_none());
}

#[test]
fn files_are_merged_by_time() {
    let file = |from: u64, prices: &[&str]| {
        let mut text = String::from("time_ms,id,side,price,quantity\n");
        for (at, price) in prices.iter().enumerate() {
            text += &format!("{},{at},buy,{price},1\n", from + 1_000 * at as u64);
        }
        exchange::market::MarketFile::parse("sample.csv", &text).unwrap()
    };
    let mut market = Market::new();
    market.add_file(&file(1_000, &["1", "2", "3"]), btc(), price("0.1")).unwrap();
    market.add_file(&file(2_000, &["7", "8"]), symbol("ETHUSDT"), price("0.01")).unwrap();
    let path: Vec<_> =
        std::iter::from_fn(|| market.advance()).map(|t| (t.number, t.price.to_string())).collect();
    let expected = [(1, "1"), (2, "2"), (3, "7"), (4, "3"), (5, "8")];
    assert_eq!(path, expected.map(|(number, price)| (number, price.to_owned())));
}
