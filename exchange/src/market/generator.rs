//! Prices made from a seed: the same for every shard, and the same whenever the market is started.
//!
//! A price is a pure function of (seed, symbol, step), where a step is a fixed span of time since the epoch: a sum of
//! octaves of value noise whose amplitude grows with the root of their period, so that it wanders like a random walk
//! over spans up to three days and stays within bounds for ever. A restart continues the same path at once.
//!
//! **Invariants**: integers only; a price is at least one tick. **Bounds**: a price stays within
//! `wander_ppm * 3500` millionths of its base.

use std::sync::Arc;

use engine::core::fixed::Price;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::TrackTick;

/// Octaves have periods of 2^0 to 2^20 steps.
const OCTAVES: u32 = 21;
/// Fraction bits of a lattice value.
const VALUE_BITS: u32 = 15;
/// Amplitudes are in 1/1024 of the first octave's.
const AMPLITUDE_BITS: u32 = 10;

/// A symbol with generated prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratedSymbol {
    /// Which.
    pub symbol: Symbol,
    /// The price it wanders around.
    pub base: Price,
    /// Its price grid.
    pub tick: Price,
    /// How far it moves from one step to the next, about, in millionths; at most [`GeneratedSymbol::WANDER_PPM_MAX`].
    pub wander_ppm: u32,
}

impl GeneratedSymbol {
    /// Keeps the lowest price at a fifth of the base.
    pub const WANDER_PPM_MAX: u32 = 228;
}

/// A deterministic generator of prices for several symbols.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    symbols: Arc<[GeneratedSymbol]>,
    step_micros: u64,
    first_step: u64,
}

impl Generator {
    /// Prices of `symbols` every `step_micros` of market time (250 ms is usual), from the first step at or after
    /// `starts_at`. Every shard must be given the same values.
    ///
    /// # Panics
    /// When there is no symbol, the step is zero, or a symbol's base, tick or wander is out of range.
    #[must_use]
    pub fn new(seed: u64, symbols: &[GeneratedSymbol], step_micros: u64, starts_at: Timestamp) -> Self {
        assert!(!symbols.is_empty() && step_micros > 0, "a generator needs a symbol and a step above zero");
        for symbol in symbols {
            assert!(
                symbol.tick.is_positive()
                    && symbol.base >= symbol.tick
                    && symbol.wander_ppm <= GeneratedSymbol::WANDER_PPM_MAX,
                "{}: a generated symbol needs a tick above zero, a base of a tick or more and a wander up to {} ppm",
                symbol.symbol,
                GeneratedSymbol::WANDER_PPM_MAX,
            );
        }
        Self { seed, symbols: symbols.into(), step_micros, first_step: starts_at.0.div_ceil(step_micros) }
    }

    /// Its symbols.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.symbols.iter().map(|symbol| symbol.symbol)
    }

    fn width(&self) -> u64 {
        u64::try_from(self.symbols.len()).expect("a length fits")
    }

    /// The tick at `index`, counted from the start: every symbol once in each step.
    pub(super) fn tick(&self, index: u64) -> TrackTick {
        let step = self.first_step + index / self.width();
        let place = usize::try_from(index % self.width()).expect("below the number of symbols");
        TrackTick {
            symbol: self.symbols[place].symbol,
            venue_at: Timestamp(step.saturating_mul(self.step_micros)),
            price: self.price(place, step),
            continuous: index >= self.width(),
        }
    }

    /// The index of the first tick of the newest step at or before `at`; 0 when that is before the start.
    pub(super) fn first_of_last_step(&self, at: Timestamp) -> u64 {
        (at.0 / self.step_micros).saturating_sub(self.first_step).saturating_mul(self.width())
    }

    fn price(&self, place: usize, step: u64) -> Price {
        let symbol = &self.symbols[place];
        // The symbol's own text salts the path: it does not depend on which other symbols there are.
        let salt = symbol.symbol.as_str().bytes().fold(self.seed, |h, b| mix(h ^ u64::from(b)));
        let mut noise: i64 = 0;
        for octave in 0..OCTAVES {
            let period = 1_u64 << octave;
            let (cell, within) = (step / period, step % period);
            let left = lattice(salt, octave, cell);
            let right = lattice(salt, octave, cell + 1);
            let within = i64::try_from(within).expect("below 2^20");
            let value = left + (((right - left) * within) >> octave);
            noise += value * amplitude(octave);
        }
        let shift = 1_i128 << (VALUE_BITS + AMPLITUDE_BITS);
        let moved = i128::from(symbol.base.units()) * i128::from(symbol.wander_ppm) * i128::from(noise)
            / (shift * 1_000_000);
        let units = i64::try_from(i128::from(symbol.base.units()) + moved).unwrap_or(i64::MAX);
        Price::from_units(units).floor_to(symbol.tick).max(symbol.tick)
    }
}

/// `2^(octave/2)` in 1/1024.
const fn amplitude(octave: u32) -> i64 {
    let root = if octave.is_multiple_of(2) { 1 << AMPLITUDE_BITS } else { 1448 };
    root << (octave / 2)
}

/// The lattice value of a cell: evenly spread over -2^15..2^15.
fn lattice(salt: u64, octave: u32, cell: u64) -> i64 {
    let bits = mix(salt ^ mix(cell ^ (u64::from(octave) << 56))) >> (63 - VALUE_BITS);
    i64::try_from(bits).expect("16 bits") - (1 << VALUE_BITS)
}

/// The finaliser of splitmix64.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
