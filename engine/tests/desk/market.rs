//! A fake market and calendar: instruments with settable marks, fixed days.

use std::collections::BTreeMap;

use engine::core::decide::Calendar;
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::Timestamp;
use engine::core::instrument::{Brackets, Instrument, InstrumentStatus, MarketView, Quote, Symbol};
use engine::core::rules::MINUTE;

/// A symbol.
pub fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("a symbol")
}
/// A price.
pub fn price(text: &str) -> Price {
    text.parse().expect("a price")
}
/// A quantity.
pub fn quantity(text: &str) -> Quantity {
    text.parse().expect("a quantity")
}
/// An amount of money.
pub fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}
/// A rate.
pub fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

/// Instruments and marks by symbol.
#[derive(Clone, Default)]
pub struct Market {
    listed: BTreeMap<Symbol, (Instrument, Option<Price>)>,
}

impl Market {
    /// BTCUSDT at 20000 and ETHUSDT at 1500, SOLUSDT at 25; a taker fee of 0.05 %.
    pub fn new() -> Self {
        let mut market = Self::default();
        for (name, tick, step, mark) in [
            ("BTCUSDT", "0.1", "0.001", "20000"),
            ("ETHUSDT", "0.01", "0.01", "1500"),
            ("SOLUSDT", "0.001", "1", "25"),
        ] {
            let instrument = Instrument {
                symbol: symbol(name),
                status: InstrumentStatus::Trading,
                tick: price(tick),
                step: quantity(step),
                quantity_min: quantity(step),
                quantity_max_limit: quantity("100000"),
                quantity_max_market: quantity("10000"),
                notional_min: money("5"),
                leverage_max: 50,
                maintenance: rate("0.004"),
                brackets: Brackets::NONE,
                fee_taker: rate("0.0005"),
                fee_maker: rate("0.0002"),
                fee_liquidation: rate("0.0125"),
            };
            market.listed.insert(symbol(name), (instrument, Some(price(mark))));
        }
        market
    }

    /// Sets or takes away the mark.
    pub fn set_mark(&mut self, name: &str, mark: Option<&str>) {
        self.listed.get_mut(&symbol(name)).expect("listed").1 = mark.map(price);
    }
    /// Sets the mark of a symbol.
    pub fn put_mark(&mut self, symbol: Symbol, mark: Option<Price>) {
        self.listed.get_mut(&symbol).expect("listed").1 = mark;
    }
    /// Changes the instrument.
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut Instrument)) {
        change(&mut self.listed.get_mut(&symbol(name)).expect("listed").0);
    }
    /// Takes the symbol off the list.
    pub fn delist(&mut self, name: &str) {
        self.listed.remove(&symbol(name));
    }
}

impl MarketView for Market {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.listed.get(&symbol).map(|(instrument, _)| instrument)
    }
    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.listed.get(&symbol)?.1.map(|mark| Quote { mark })
    }
}

/// Days of UTC and of a zone three hours behind it. Knows no other zone.
pub struct Days;

impl Calendar for Days {
    fn day_end(&self, zone: &str, now: Timestamp) -> Option<Timestamp> {
        const HOUR: u64 = 60 * MINUTE;
        let behind = match zone {
            "UTC" => 0,
            "America/Sao_Paulo" => 3 * HOUR,
            _ => return None,
        };
        let day = 24 * HOUR;
        Some(Timestamp(((now.0 - behind) / day + 1) * day + behind))
    }
}
