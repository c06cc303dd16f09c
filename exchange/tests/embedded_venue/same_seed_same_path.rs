//! Generated prices: the same seed gives the same path to every shard, and to a market that starts later.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::ids::Timestamp;
use exchange::market::{GeneratedSymbol, Generator, Market, Tick};
use exchange::paper::{Listing, listings};

fn generator(seed: u64, starts_at: u64) -> Market {
    let symbols: Vec<GeneratedSymbol> = listings().iter().map(Listing::generated).collect();
    Market::generated(Generator::new(seed, &symbols, 250_000, Timestamp(starts_at)))
}

fn take(market: &mut Market, count: usize) -> Vec<Tick> {
    (0..count).filter_map(|_| market.advance()).collect()
}

#[test]
fn same_seed_same_path_and_another_seed_another() {
    let one = take(&mut generator(7, 0), 4_000);
    assert_eq!(one, take(&mut generator(7, 0), 4_000));
    let other = take(&mut generator(8, 0), 4_000);
    let same = one.iter().zip(&other).filter(|(a, b)| a.price == b.price).count();
    assert!(same < 200, "{same} of 4000 prices are equal");
}

#[test]
fn a_later_start_is_on_the_same_path() {
    let from = 1_700_000_000_000_000;
    let mut early = generator(7, from);
    let later = take(&mut generator(7, from + 600_000_000), 160);
    let mut last = Vec::new();
    early.skip_through(Timestamp(from + 600_000_000 - 1), &mut |tick| last.push(tick));
    assert_eq!(last.len(), listings().len(), "a skip shows the last price of each symbol and skips the rest");
    let met = take(&mut early, 160);
    assert_eq!(met[0].number, 2_400 * listings().len() as u64 + 1, "numbers count what was skipped");
    for (a, b) in met.iter().zip(&later) {
        assert_eq!((a.symbol, a.venue_at, a.price), (b.symbol, b.venue_at, b.price));
    }
}

#[test]
fn prices_move_stay_on_the_tick_and_within_bounds() {
    let listings = listings();
    let mut market = generator(1, 1_700_000_000_000_000);
    let mut seen = vec![(i64::MAX, i64::MIN); listings.len()];
    for tick in take(&mut market, listings.len() * 20_000) {
        let at = listings.iter().position(|listing| listing.instrument.symbol == tick.symbol).unwrap();
        assert_eq!(tick.price.floor_to(listings[at].instrument.tick), tick.price);
        let units = tick.price.units();
        seen[at] = (seen[at].0.min(units), seen[at].1.max(units));
    }
    for (listing, (low, high)) in listings.iter().zip(seen) {
        let base = listing.base.units();
        let reach = base / 1_000_000 * i64::from(listing.wander_ppm) * 3_500;
        assert!(low > 0 && low >= base - reach && high <= base + reach, "{}", listing.instrument.symbol);
        // Within 5000 s: no more than a tenth, and more than a thousandth.
        assert!(
            high - low > base / 1_000 && high - low < base / 10,
            "{}: {low} to {high}",
            listing.instrument.symbol
        );
    }
}

#[test]
fn time_advances_by_the_step_and_only_the_first_prices_jump() {
    let width = listings().len();
    let ticks = take(&mut generator(1, 1), width * 3);
    assert_eq!(ticks[0].venue_at, Timestamp(250_000));
    assert_eq!(ticks[width].venue_at, Timestamp(500_000));
    assert!(ticks.iter().enumerate().all(|(at, tick)| tick.continuous == (at >= width)));
    assert!(ticks.iter().enumerate().all(|(at, tick)| tick.number == at as u64 + 1));
    let _ = btc();
}
