//! The real files parse and play to the end, when they are here: in `COINBITCLUB_DATA`, or `../shared/data` beside
//! the repository. Without them the same checks run on rows copied from them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;

use crate::support::*;
use engine::core::ids::Leg;
use engine::core::order::{OrderKind, Side, VenueReport};
use exchange::market::{Market, MarketFile, symbol_from_file_name};
use exchange::paper::{FundingTable, PaperSettings, listings};
use exchange::venue::Venue;

const CANDLES: &str = "time_ms,open,high,low,close,volume
1672677900000,16727.3,16728.8,16726.0,16726.1,691.508
1672678200000,16726.0,16726.8,16705.0,16707.5,1301.173
1672678500000,16707.4,16711.8,16704.0,16704.1,566.041
";
const TRADES: &str = "time_ms,id,side,price,quantity
1675329600138,1206419187,buy,1666.8,26.062
1675329600214,1206419188,sell,1666.79,0.152
1675329600228,1206419189,buy,1666.8,0.226
";
const FUNDING: &str = "time_ms,funding_rate
1637193600017,0.0001
1637222400007,0.0001
1637251200011,0.0001
";

/// The text of a real file, or the sample.
fn text(name: &str, sample: &str) -> String {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("COINBITCLUB_DATA").map_or(beside, PathBuf::from);
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|_| sample.to_owned())
}

fn play(name: &str, sample: &str, funding: Vec<(&str, Arc<FundingTable>)>) {
    let text = text(name, sample);
    let symbol = symbol_from_file_name(name).unwrap();
    let file = MarketFile::parse(name, &text).unwrap();
    let instrument = listings().into_iter().find(|l| l.instrument.symbol == symbol).unwrap().instrument;
    let mut market = Market::new();
    market.add_file(&file, symbol, instrument.tick).unwrap();
    let rows = text.lines().count() - 1;
    assert!(file.ticks() == rows || file.ticks() == rows * 4);

    let funding = funding.into_iter().map(|(name, table)| (crate::support::symbol(name), table)).collect();
    let (mut desk, gate) = Desk::held(PaperSettings { funding, ..PaperSettings::default() }, market);
    desk.open(account(1), "10000");
    desk.open(account(2), "10000");
    // One long and one short, opened again whenever the stop or the take-profit closed them.
    let mut number = 0;
    for round in 0..u64::try_from(file.ticks()).unwrap() {
        for (user, side) in [(1, Side::Buy), (2, Side::Sell)] {
            let a = account(user);
            if desk.venue.account(a).unwrap().positions.is_empty() {
                number += 1;
                let mark = desk.venue.mark(symbol).unwrap().price;
                let at = |permille: i64| {
                    let units = mark.units() / 1000 * (1000 + permille * side.sign());
                    engine::core::fixed::Price::from_units(units).floor_to(instrument.tick)
                };
                let size = money("1000").quantity_at(mark, engine::core::fixed::Rounding::Floor).unwrap();
                let entry = engine::core::order::NewOrder {
                    symbol,
                    quantity: size.floor_to(instrument.step),
                    ..order(id(a, number, Leg::Entry), side, OrderKind::Market, "1", false)
                };
                let close = |leg, kind| engine::core::order::NewOrder {
                    id: id(a, number, leg),
                    side: side.opposite(),
                    kind,
                    reduce_only: true,
                    ..entry
                };
                desk.send(entry);
                desk.send(close(Leg::Stop, OrderKind::StopMarket(at(-20))));
                desk.send(close(Leg::TakeProfit, OrderKind::TakeProfitMarket(at(30))));
            }
        }
        gate.allow_through(round + 2);
        desk.drain();
    }
    assert!(gate.finished());
    desk.agree();
    let refused = desk.reports.iter().filter(|report| matches!(report, VenueReport::Rejected { .. })).count();
    assert_eq!(refused, 0);
}

#[test]
fn candles() {
    play("btcusdt-5m-2023-01.csv", CANDLES, vec![]);
}

#[test]
fn candles_with_funding() {
    let table = FundingTable::parse("funding.csv", &text("xrpusdt-funding-8h-2021.csv", FUNDING)).unwrap();
    let sample = "time_ms,open,high,low,close,volume
1636934400000,1.1893,1.1954,1.1891,1.1941,9289043.5
1636934700000,1.1941,1.1993,1.1934,1.1972,7267451.9
";
    play("xrpusdt-5m-2021-11.csv", sample, vec![("XRPUSDT", Arc::new(table))]);
}

#[test]
fn trades_of_a_file() {
    play("ethusdt-trades-2023-02-02.csv", TRADES, vec![]);
}
