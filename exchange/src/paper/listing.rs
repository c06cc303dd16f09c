//! What the paper venue lists, as data.
//!
//! The filters have the form and the order of magnitude of Binance's `exchangeInfo` for USDT perpetuals
//! (EXCHANGES.md §2.5); they are the paper venue's own and are not refreshed from anywhere. Most symbols have one bracket for
//! every size, with the maintenance of a lowest one; a few have brackets as Binance gives them to small symbols.

use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::instrument::{Brackets, Instrument, InstrumentStatus, Symbol};

use crate::market::GeneratedSymbol;

/// An instrument of the paper venue with what only a paper venue needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The instrument.
    pub instrument: Instrument,
    /// How much one order can take from the market in one tick; a multiple of the step, at least one step.
    pub depth: Quantity,
    /// The price that generated prices wander around.
    pub base: Price,
    /// How far a generated price moves per step, about, in millionths.
    pub wander_ppm: u32,
}

impl Listing {
    /// What the price generator needs of it.
    #[must_use]
    pub const fn generated(&self) -> GeneratedSymbol {
        GeneratedSymbol {
            symbol: self.instrument.symbol,
            base: self.base,
            tick: self.instrument.tick,
            wander_ppm: self.wander_ppm,
        }
    }
}

/// symbol, tick, step (and smallest quantity), largest limit, largest market, smallest notional, leverage,
/// maintenance, base price, wander.
type Row = (&'static str, &'static str, &'static str, i64, i64, i64, u8, &'static str, &'static str, u32);

const ROWS: [Row; 16] = [
    ("1000PEPEUSDT", "0.0000001", "1", 120_000_000, 80_000_000, 5, 75, "0.0065", "0.0112", 110),
    ("1000SHIBUSDT", "0.000001", "1", 100_000_000, 40_000_000, 5, 75, "0.0065", "0.0245", 90),
    ("ADAUSDT", "0.0001", "1", 2_000_000, 300_000, 5, 75, "0.005", "0.62", 80),
    ("ARBUSDT", "0.0001", "0.1", 1_000_000, 300_000, 5, 75, "0.0065", "0.81", 90),
    ("AVAXUSDT", "0.001", "1", 500_000, 50_000, 5, 75, "0.005", "36.4", 85),
    ("BNBUSDT", "0.01", "0.01", 100_000, 2_000, 5, 75, "0.005", "585", 55),
    ("BTCUSDT", "0.1", "0.001", 1_000, 120, 100, 125, "0.004", "62500", 45),
    ("DOGEUSDT", "0.00001", "1", 50_000_000, 30_000_000, 5, 75, "0.0065", "0.145", 90),
    ("DOTUSDT", "0.001", "0.1", 1_000_000, 200_000, 5, 75, "0.0065", "7.1", 80),
    ("ETHUSDT", "0.01", "0.001", 10_000, 2_000, 20, 125, "0.004", "3150", 55),
    ("LINKUSDT", "0.001", "0.01", 200_000, 20_000, 20, 75, "0.005", "17.3", 80),
    ("LTCUSDT", "0.01", "0.001", 10_000, 5_000, 20, 75, "0.005", "84", 70),
    ("SOLUSDT", "0.01", "0.01", 1_000_000, 40_000, 5, 100, "0.005", "148", 80),
    ("SUIUSDT", "0.0001", "0.1", 1_000_000, 250_000, 5, 75, "0.0065", "1.36", 100),
    ("TRXUSDT", "0.00001", "1", 10_000_000, 5_000_000, 5, 75, "0.0065", "0.121", 50),
    ("XRPUSDT", "0.0001", "0.1", 10_000_000, 2_000_000, 5, 100, "0.005", "1.19", 70),
];

/// The symbols with brackets ...
const SMALL: [&str; 3] = ["1000SHIBUSDT", "ARBUSDT", "SUIUSDT"];
/// ... and these: largest notional, highest leverage, maintenance. The first has leverage and maintenance of their rows.
const BRACKETS: [(i64, u8, &str); 8] = [
    (5_000, 75, "0.0065"),
    (8_000, 50, "0.01"),
    (12_000, 20, "0.025"),
    (20_000, 10, "0.05"),
    (40_000, 5, "0.1"),
    (80_000, 4, "0.125"),
    (200_000, 2, "0.25"),
    (500_000, 1, "0.5"),
];

/// The paper venue's list, sorted by symbol. Fees: 0.05 % taker, 0.02 % maker, 1.25 % more for a liquidation. A tick
/// holds as much as the largest market order, so that partial fills happen only where a depth is set lower.
#[must_use]
pub fn listings() -> Vec<Listing> {
    ROWS.iter().map(listing).collect()
}

fn listing(row: &Row) -> Listing {
    let (symbol, tick, step, limit, market, notional, leverage_max, maintenance, base, wander_ppm) = *row;
    let text = "the table holds exact decimals";
    let step: Quantity = step.parse().expect(text);
    let brackets = BRACKETS.iter().map(|(notional, leverage, maintenance)| {
        (Money::from_whole(*notional), *leverage, maintenance.parse().expect(text))
    });
    Listing {
        instrument: Instrument {
            symbol: Symbol::new(symbol).expect("the table holds valid symbols"),
            status: InstrumentStatus::Trading,
            tick: tick.parse().expect(text),
            step,
            quantity_min: step,
            quantity_max_limit: Quantity::from_whole(limit),
            quantity_max_market: Quantity::from_whole(market),
            notional_min: Money::from_whole(notional),
            leverage_max,
            maintenance: maintenance.parse().expect(text),
            brackets: if SMALL.contains(&symbol) { Brackets::of(brackets) } else { Brackets::NONE },
            fee_taker: Rate::from_units(50_000),
            fee_maker: Rate::from_units(20_000),
            fee_liquidation: Rate::from_units(1_250_000),
        },
        depth: Quantity::from_whole(market),
        base: base.parse().expect(text),
        wander_ppm,
    }
}
