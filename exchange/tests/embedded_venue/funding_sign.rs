//! Positive is received (F3): long and short, either sign of the rate, at the price of the first tick at or after.

use crate::support::*;
use engine::core::order::{Side, VenueReport};
use exchange::paper::PaperSettings;

const EIGHT: u64 = 8 * 3_600_000;

fn settled(side: Side, funding_rate: &str) -> (String, u64, String) {
    let settings = PaperSettings { funding_rate: rate(funding_rate), ..PaperSettings::default() };
    // The second tick is half a second after the boundary.
    let (mut desk, gate) = Desk::held(settings, trades(EIGHT - 500, &["1000", "1100"]));
    desk.open(account(1), "10000");
    desk.enter(account(1), side, "1.5");
    gate.release_all();
    let reports = desk.drain();
    desk.agree();
    let [VenueReport::Funding { amount, venue_at, mark, .. }] = reports[..] else { panic!("{reports:?}") };
    (amount.to_string(), venue_at.millis(), mark.to_string())
}

#[test]
fn long_and_short_times_the_sign_of_the_rate() {
    // 1.5 * 1100 * 0.0001 = 0.165.
    for (side, funding_rate, amount) in [
        (Side::Buy, "0.0001", "-0.165"),
        (Side::Sell, "0.0001", "0.165"),
        (Side::Buy, "-0.0001", "0.165"),
        (Side::Sell, "-0.0001", "-0.165"),
        (Side::Buy, "0", "0"),
    ] {
        let told = settled(side, funding_rate);
        assert_eq!(told, (amount.to_owned(), EIGHT, "1100".to_owned()), "{side:?} {funding_rate}");
    }
}

#[test]
fn before_the_triggers_of_the_same_tick() {
    use engine::core::{ids::Leg, order::OrderKind};
    let (mut desk, gate) = Desk::held(PaperSettings::default(), trades(EIGHT - 500, &["1000", "900"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, Side::Buy, "1");
    desk.send(order(id(a, 1, Leg::Stop), Side::Sell, OrderKind::StopMarket(price("980")), "1", true));
    gate.release_all();
    let reports = desk.drain();
    assert!(matches!(reports[0], VenueReport::Funding { .. }), "{reports:?}");
    assert!(matches!(reports[1], VenueReport::Filled { .. }), "{reports:?}");
    desk.agree();
}
