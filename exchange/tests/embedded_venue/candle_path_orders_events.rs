//! Inside a candle the path decides which level comes first: low before high when it closed up, else high before low.

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{OrderKind, Side, VenueReport};
use exchange::paper::PaperSettings;

fn first(candle: &str, side: Side) -> (Leg, String) {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), candles(0, &[candle]));
    let a = account(1);
    desk.open(a, "10000");
    desk.enter(a, side, "1");
    let (stop, take) = if side == Side::Buy { ("980", "1030") } else { ("1020", "970") };
    desk.send(order(id(a, 1, Leg::Stop), side.opposite(), OrderKind::StopMarket(price(stop)), "1", true));
    desk.send(order(
        id(a, 1, Leg::TakeProfit),
        side.opposite(),
        OrderKind::TakeProfitMarket(price(take)),
        "1",
        true,
    ));
    gate.release_all();
    let reports = desk.drain();
    desk.agree();
    let fills = fills(&reports);
    assert_eq!(fills.len(), 1);
    (fills[0].0, fills[0].1.clone())
}

#[test]
fn closed_up_goes_low_first() {
    assert_eq!(first("1000,1050,950,1000", Side::Buy), (Leg::Stop, "980".to_owned()));
    assert_eq!(first("1000,1050,950,1001", Side::Sell), (Leg::TakeProfit, "970".to_owned()));
}

#[test]
fn closed_down_goes_high_first() {
    assert_eq!(first("1000,1050,950,999.9", Side::Buy), (Leg::TakeProfit, "1030".to_owned()));
    assert_eq!(first("1000,1050,950,999.9", Side::Sell), (Leg::Stop, "1020".to_owned()));
}

#[test]
fn times_of_the_four_ticks() {
    let (mut desk, gate) = Desk::held(
        PaperSettings::default(),
        candles(300_000, &["1000,1050,950,1001", "1001,1001,1001,1001"]),
    );
    let a = account(1);
    desk.open(a, "100000");
    desk.enter(a, Side::Buy, "1");
    let limit = |n, side, at| order(id(a, n, Leg::Entry), side, OrderKind::Limit(price(at)), "1", false);
    desk.send(limit(2, Side::Buy, "960"));
    desk.send(limit(3, Side::Sell, "1040"));
    desk.send(limit(4, Side::Buy, "1010"));
    gate.release_all();
    desk.drain();
    let times: Vec<u64> = desk
        .reports
        .iter()
        .filter_map(|report| match report {
            VenueReport::Filled { fill, .. } => Some(fill.venue_at.millis()),
            _ => None,
        })
        .collect();
    // The entry at the open; the last limit was marketable at once; the low after a third, the high after two.
    assert_eq!(times, [300_000, 300_000, 400_000, 500_000]);
    desk.agree();
}

#[test]
fn a_position_opened_on_the_way_is_liquidated_further_down() {
    let (mut desk, gate) = Desk::held(PaperSettings::default(), candles(0, &["1000,1000,600,700"]));
    let a = account(1);
    desk.open(a, "10000");
    desk.send(order(id(a, 1, Leg::Entry), Side::Buy, OrderKind::Limit(price("900")), "1", false));
    gate.release_all();
    let reports = desk.drain();
    // 900 * 0.8 / 0.996 = 722.89…, up to the tick.
    let liquidated = reports.iter().find_map(|report| match report {
        VenueReport::Liquidated { fill, .. } => Some(fill.price.to_string()),
        _ => None,
    });
    assert_eq!(liquidated.as_deref(), Some("722.9"));
    desk.agree();
}
