//! With what a world begins: the market, the limits, the traders' settings.

use engine::core::ids::Timestamp;
use engine::core::venue_account::Environment;
use exchange::live::pacing::limits::VenueLimits;
use exchange::market::{Generator, Market};
use exchange::paper::Listing;
use exchange::paper_exchange::core::Core;
use exchange::paper_exchange::{AccountNo, CoreSettings};

use super::{SECOND, START, symbol};

/// What differs from the usual world.
pub struct Start {
    /// Of the exchange.
    pub settings: CoreSettings,
    /// Margin of each trader's entries; the last one counts for those after it.
    pub margins: Vec<i64>,
    /// What each subscription names; none: everything may be traded.
    pub symbols: Vec<&'static str>,
    /// Done to each exchange account before it is connected; the number is the trader's.
    pub prepare: fn(&mut Core, AccountNo, usize),
    /// Which of the exchange's environments it is.
    pub environment: Environment,
    /// What the connector takes for the exchange's limits, where that is not what they are.
    pub limits: Option<VenueLimits>,
}

impl Start {
    pub fn usual(seed: u64) -> Self {
        Self {
            settings: CoreSettings::generated(seed, START),
            margins: vec![100],
            symbols: Vec::new(),
            prepare: |_, _, _| {},
            environment: Environment::Testnet,
            limits: None,
        }
    }

    /// A market of one symbol that nearly stands still, with a price every hour: for tests that let days pass. Whoever wants to
    /// trade in it hands it a price, for those of an hour ago are too old.
    pub fn with_few_prices(seed: u64, name: &str) -> Self {
        let mut start = Self::with_one_symbol(seed, name);
        let mut generated = start.settings.venue.listings.iter().map(Listing::generated).collect::<Vec<_>>();
        for symbol in &mut generated {
            symbol.wander_ppm = 1;
        }
        let hour = 3_600 * SECOND;
        // The first price of a market is always played, so it is one of the past.
        let begin = Timestamp(START.0 - hour);
        start.settings.market = Market::generated(Generator::new(seed, &generated, hour, begin));
        start
    }

    /// A market of one symbol and not of all that the exchange lists: for tests of many runs.
    pub fn with_one_symbol(seed: u64, name: &str) -> Self {
        let mut venue = CoreSettings::venue();
        venue.listings.retain(|listing| listing.instrument.symbol == symbol(name));
        let generated = venue.listings.iter().map(Listing::generated).collect::<Vec<_>>();
        let market = Market::generated(Generator::new(seed, &generated, 250_000, START));
        let settings = CoreSettings { venue, market, ..CoreSettings::generated(seed, START) };
        Self { settings, ..Self::usual(seed) }
    }
}
